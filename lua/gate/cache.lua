--- The cache gate: an answer that is kept instead of the call, or the call that somebody makes already; else the call, whose answer
--- is kept. It stands behind the policy, so that what is denied is not answered either, and before the budget: what costs nothing
--- is never refused. Journal and tape stand around it: a replay gives what the run was given, whatever the cache holds by then.
---
--- Off unless asked for (lua/cache/settings.lua); until somebody asks, this file is not loaded. Where answers are kept:
--- lua/cache/place.lua; what is kept of them: lua/cache/value.lua; calls that several wait for: lua/cache/flight.lua. Along a route
--- each candidate has a key of its own, and an answer is kept under that of the one that gave it.

local host = require "host.task"
local clock = require "host.time"
local errors = require "core.errors"
local files = require "core.cache.file"
local fly = require "core.gate.cache.fly"
local kinds = require "core.cache.settings"
local models = require "core.cache.models"
local place_of = require "core.cache.place"
local prefix = require "core.cache.prefix"
local scopes = require "core.scope"
local streams = require "core.stream"
local tasks = require "core.task"
local values = require "core.cache.value"

local M = {}

local wall, monotonic = clock.wall, clock.monotonic

--- Answers to questions that mean the same (lua/gate/semantic.lua); nil until somebody asks for them.
M.semantic = nil

--- What became of calls.
---@class stoke.cache.counts
---@field exact integer answered by what was kept
---@field shared integer by a call that was being made
---@field semantic integer by the answer to a question that means the same
---@field prefix integer by the rest of an answer that had begun with what was typed since
---@field misses integer by a model
---@field stale integer of the exact ones: those that were past their time, and are asked for anew
---@field errors integer answered by what was past its time, since the call failed
---@field saved_input integer tokens of prompts that were not sent, as far as entries tell
---@field saved_output integer tokens of answers that were not written
---@field skipped table<string, integer> not looked for, by why
---@field unkept table<string, integer> answers that were not kept, by why

local function nothing()
  return { exact = 0, shared = 0, semantic = 0, prefix = 0, misses = 0, stale = 0, errors = 0, saved_input = 0, saved_output = 0,
    skipped = {}, unkept = {} }
end

---@type stoke.cache.counts
M.counts = nothing()

local function count(list, why) list[why] = (list[why] or 0) + 1 end

-- ---- looking ----------------------------------------------------------------------------------------------------------------

--- How old an entry is: "fresh", "stale" (given, and asked for anew), "late" (given where the call fails), or nil.
local function age_of(meta, settings)
  local ttl, own = settings.ttl, meta.ttl
  if own and (not ttl or own < ttl) then ttl = own end
  if not ttl then return "fresh" end
  local age = math.max(wall() - meta.made, 0)
  if age <= ttl then return "fresh" end
  if age <= ttl + (settings.stale or 0) then return "stale" end
  if age <= ttl + (settings.stale_if_error or 0) or settings.only then return "late" end
end

---@class core.cache.found
---@field place core.cache.place
---@field text string
---@field meta stoke.cache.meta
---@field age "fresh"|"stale"|"late" what is under a digest that is unsure is late

--- The first candidate whose answer is there.
---@return core.cache.found|nil
local function look(places, call, settings)
  local late = nil
  for _, place in ipairs(places) do
    if not place_of.was_given(call, settings, place) then
      local text, meta = files.of():get(place.kind, place.key)
      local age = text and age_of(meta, settings)
      if place.unsure and age then age = (settings.stale_if_error or settings.only) and "late" end
      local found = age and { place = place, text = text, meta = meta, age = age }
      if found and age ~= "late" then return found end
      late = late or found or nil
    end
  end
  return late
end

--- It is answered by what is kept.
---@param meta? stoke.cache.meta of the entry
local function answered(call, how, meta)
  local file, counts = files.of(), M.counts
  file.hits, counts[how], call.cached = file.hits + 1, counts[how] + 1, how
  local facts = meta and meta.facts
  if not facts then return end
  counts.saved_input = counts.saved_input + (math.tointeger(facts.input_tokens) or 0)
  counts.saved_output = counts.saved_output + (math.tointeger(facts.output_tokens) or 0)
end

--- What was found, as the caller gets it; nil: it cannot be read, and counts as nothing.
local function value_of(def, q, found, how, stale)
  local mark = { how = how, made = found.meta.made, stale = stale }
  if def.stream then return values.stream(found.text, mark) end
  local value = values.whole(found.text, q.path)
  return value and values.mark(value, mark)
end

--- Completions that others go on with.
local completions = prefix.new()

--- The rest of an answer that has begun with what was typed since it was asked for.
local function gone_on(def, q, call, settings, places)
  for _, place in ipairs(places) do
    local scope = not place.unsure and not (settings.sampled and place_of.unit_of(call, settings)) and
      prefix.scope(q, place_of.own(settings), place.digest, place.target.profile, place.target.sampling)
    if scope then
      completions:load(files.of())
      local text, reason, made = completions:find(scope, q.body.prompt,
        function(when) return age_of({ made = when }, settings) == "fresh" end)
      if text then
        local reply = { model = place.target.served or place.target.name, response = text, done = true, done_reason = reason }
        local mark = { how = "prefix", made = made }
        if not def.stream then return values.mark(reply, mark) end
        local transcript = streams.transcript()
        streams.note(transcript, { type = "text", text = text }, 0)
        reply.response = ""
        streams.note(transcript, { type = "done", reason = reason, reply = reply }, 0)
        return values.stream(transcript:text(), mark)
      end
    end
  end
end

--- The answer to a question that means the same; nil: the model is asked, and what it says is learned from (call.meant).
local function meant(def, q, call, settings, places)
  local place = places[1]
  if place.unsure then return nil end
  local asked, why = M.semantic.look(q, place, place_of.text(def, q, place.target, call.work), settings)
  if not asked then
    if type(why) == "table" then return nil, why end
    count(M.counts.skipped, why)
    return nil
  end
  call.meant = asked
  if asked.found.action ~= "serve" then return nil end
  local answer = asked.found.entry.answer
  local text, meta = files.of():get(answer.kind, answer.key)
  local value = text and age_of(meta, settings) == "fresh" and value_of(def, q, { text = text, meta = meta }, "semantic")
  if not value then
    M.semantic.gone(asked)
    return nil
  end
  answered(call, "semantic", meta)
  if not def.stream then value.semantic = M.semantic.told(asked.found) end
  return value
end

-- ---- keeping ----------------------------------------------------------------------------------------------------------------

local function facts_of(place, call, usage)
  local journal = call.context.journal
  return { model = place.target.served or place.target.name, digest = place.digest, endpoint = place.target.endpoint.name,
    run = journal and (journal.run_id or journal.id) or nil, script = M.script(), input_tokens = usage and usage.input_tokens,
    output_tokens = usage and usage.output_tokens, seconds = usage and usage.seconds }
end

--- Hook: the name of the script that asks.
function M.script()
  local path = require "core.script".path
  return path and path:match "[^/]*$" or nil
end

---@class core.cache.answer what a call has brought
---@field target stoke.target that gave it
---@field reason any why it ended
---@field text string|nil as it is kept; nil: it is no plain data
---@field words? fun(): string|nil all that it says, where that is nothing but text
---@field reply any
---@field usage table|nil

local REPLACED <const> = "its model was changed while it was asked"

--- Why an answer must not be kept, though it has an end; nil: it may.
local function doubt(def, q, call, place, settings)
  local text = place_of.text(def, q, place.target, call.work)
  if text ~= place.text then return "its request was changed while it was asked" end
  local digest, _, unsure = models.digest(place.target, settings.identity)
  if unsure or digest ~= place.digest then return REPLACED end
end

--- Keep an answer.
---@return boolean|nil changed true: it may answer another question than the one it is for
local function keep(asking, answer)
  local q, call, settings = asking.q, asking.call, asking.settings
  for _, place in ipairs(asking.places) do
    if place.target == answer.target or place.target.key == answer.target.key then
      local why = place_of.unfit(q, call, answer.reason) or doubt(asking.def, q, call, place, settings)
        or not answer.text and "it is no plain data"
      local facts = not why and facts_of(place, call, answer.usage)
      if facts and not files.of():put(place.kind, place.key, answer.text, facts, settings.ttl) then why = "it is too large" end
      if why then
        count(M.counts.unkept, why)
        return why:find "was changed" ~= nil
      end
      if settings.stale_if_error then models.keep(place.target, place.digest) end
      if call.meant then M.semantic.answered(call.meant, q, place, answer.reply) end
      local scope = prefix.scope(q, place_of.own(settings), place.digest, place.target.profile, place.target.sampling)
      local words = scope and answer.words()
      if words then completions:keep(scope, q.body.prompt, words, answer.reason, files.of(), facts) end
      models.confirm(place.target, place.digest, function()
        count(M.counts.unkept, REPLACED)
        files.of():delete(place.kind, place.key)
        if words then completions:drop(scope, q.body.prompt, files.of()) end
      end)
      return place_of.note_given(call, settings, place)
    end
  end
end

-- ---- refreshing -------------------------------------------------------------------------------------------------------------

--- Keys that are asked for anew, or were in vain: until when they are left alone.
local refreshing = {}
--- Seconds for which a key is left alone that could not be asked for.
local REST <const> = 5

--- Ask for what is stale anew, beside whoever got it.
local function refresh(def, q, call, settings, place)
  local till = refreshing[place.key]
  if till and monotonic() < till then return end
  refreshing[place.key] = math.huge
  local work = {}
  for name, value in next, call.work do work[name] = value end
  work.class, work.deadline, work.run = 3, nil, nil
  work.cache = setmetatable({ again = true }, { __index = settings })
  tasks.spawn(function()
    local ok, value = pcall(require "core.effect".perform, def.name, q, work)
    if ok and value and def.stream then ok, value = pcall(value.rest, value) end
    refreshing[place.key] = not (ok and value) and monotonic() + REST or nil
  end, { system = true, name = "cache" })
end

-- ---- the gate -----------------------------------------------------------------------------------------------------------------

local told = {}

--- A call is not cached though somebody asked for it. The reason that a script can do something about is said once.
local function skip(why, call)
  count(M.counts.skipped, why)
  if told[why] or why == place_of.NO_QUESTION then return end
  told[why] = true
  local work = call.work
  local name = type(work) == "table" and work[1] and work[1].name or call.q.model
  if why == place_of.RANDOM then
    scopes.tell(("answers of %s are not cached, as they are drawn at random: give temperature = 0 or a seed, or " ..
      "cache = { sampled = true }"):format(name))
  else
    scopes.tell(("answers of %s are not cached: %s"):format(name, why))
  end
end

--- What is kept of a question; nil: nothing that could be given.
local function kept(def, q, call, settings, found)
  if not found or found.age == "late" then return nil end
  local value = value_of(def, q, found, "exact", found.age == "stale")
  if not value then return nil end
  answered(call, "exact", found.meta)
  place_of.note_given(call, settings, found.place)
  if found.age == "stale" then
    M.counts.stale = M.counts.stale + 1
    refresh(def, q, call, settings, found.place)
  end
  return value
end

--- An old answer in the place of an error.
local function instead(def, q, call, found)
  local value = value_of(def, q, found, "exact", true)
  if value then
    M.counts.errors = M.counts.errors + 1
    answered(call, "exact", found.meta)
  end
  return value
end

--- What answers a question without a model that is asked it: nil, and an error of kind `cancelled`; nil alone.
local function look_further(def, q, call, settings, places)
  local value = gone_on(def, q, call, settings, places)
  if value then
    answered(call, "prefix")
    return value
  end
  local err
  if settings.semantic and M.semantic then value, err = meant(def, q, call, settings, places) end
  return value, err
end

local function none(call)
  return errors.new("unreachable", ("no answer of %s is kept to this question"):format(tostring(call.q.model)),
    { retryable = false, hint = "the cache keeps what was asked with cache = true" })
end

---@class core.cache.way what the gate is given by lua/effect.lua
---@field pay fun(call: table): stoke.error? sets aside what a call may use
---@field charge fun(call: table, used: table|nil) counts what one has used for which nothing was set aside
---@field attempts fun(def: stoke.effect, q: any, call: table): any, stoke.error?

--- The answer of a call.
---@param def stoke.effect
---@param q table
---@param call table
---@param way core.cache.way
---@return any value
---@return stoke.error? err
function M.through(def, q, call, way)
  local settings = kinds.of(call)
  local places, why
  if settings then places, why = place_of.of(def, q, call, settings) end
  if not places then
    if type(why) == "table" then return nil, why end
    if why then skip(why, call) end
    if why and settings.only then return nil, none(call) end
    local err = way.pay(call)
    if err then return nil, err end
    return way.attempts(def, q, call)
  end
  local found = not settings.again and look(places, call, settings) or nil
  local value, err = kept(def, q, call, settings, found), nil
  if value then return value end
  if settings.only then
    value = found and instead(def, q, call, found)
    if value then return value end
    return nil, none(call)
  end
  if not found and not settings.again then value, err = look_further(def, q, call, settings, places) end
  if value or err then return value, err end
  local shared
  value, err, shared = fly.ask { def = def, q = q, call = call, settings = settings, places = places, way = way, keep = keep,
    fresh = function(meta) return age_of(meta, settings) == "fresh" end }
  local file = files.of()
  if shared then
    answered(call, "shared")
    file:given(places)
  else
    M.counts.misses, file.misses = M.counts.misses + 1, file.misses + 1
  end
  if err and found and not fly.OWN[err.kind] then
    value = instead(def, q, call, found)
    if value then return value end
  end
  return value, err
end

--- Is somebody waiting for the host to end? For tests: wait until nothing is asked for anew any more.
function M.settle()
  while true do
    local busy = false
    for _, till in next, refreshing do busy = busy or till == math.huge end
    if not busy or host.park("cache", 0.01) == nil then return end
  end
end

--- As at the beginning, for tests.
function M.forget()
  M.counts, told, refreshing = nothing(), {}, {}
  kinds.forget()
  models.forget()
  files.forget()
  completions:forget()
end

return M
