--- The cache gate: an answer that is kept instead of the call, or the call that somebody makes already; else the call, whose
--- answer is kept. It stands behind the policy, so that what is denied is not answered either, and before the budget: what costs
--- nothing is never refused. Journal and tape stand around it: a replay gives what the run was given, whatever the cache holds by
--- then.
---
--- Off unless asked for: `cache = true | { ttl =, stale =, stale_if_error =, scope =, sampled = }` of a call, an agent, a scope, a
--- route, or the settings, in this order. Until somebody asks, no call comes here (lua/effect.lua).
---
--- What is asked goes into the key as the bytes that would be sent (lua/cache/key.lua), with the digest of the model that the
--- server has under the name. Along a route each candidate has a key of its own, and an answer is kept under that of the one that
--- gave it.

local clock = require "host.time"
local host = require "host.task"
local errors = require "core.errors"
local files = require "core.cache.file"
local flights = require "core.cache.flight"
local keys = require "core.cache.key"
local models = require "core.cache.models"
local plain = require "core.store.plain"
local pool = require "core.gate.pool"
local prefix = require "core.cache.prefix"
local streams = require "core.stream"
local scopes = require "core.scope"
local tasks = require "core.task"

local M = {}

local wall = clock.wall

---@class stoke.cache.settings
---@field ttl? number seconds for which an answer is fresh; nil: for ever
---@field stale? number seconds after that in which it is given, and asked for anew beside
---@field stale_if_error? number seconds after that in which it is given where the call fails
---@field scope? string answers are shared inside it alone
---@field sampled? boolean answers drawn at random are kept, too
---@field embeddings? boolean

--- Has anybody asked for a cache? Told by M.use.
M.on = false
--- Told when M.on changes; set by lua/effect.lua.
M.changed = nil
--- Settings of calls for which nobody says anything else; nil: none are cached.
---@type stoke.cache.settings|nil
M.default = nil
--- Put the settings into force.
---@param settings { calls?: boolean|table, bytes?: integer, path?: string } of the cache; embeddings see lua/cache/embedding.lua
function M.configure(settings)
  M.default = M.check("cache.calls", settings.calls) or nil
  files.BYTES, files.path = settings.bytes or files.USUAL, settings.path
  files.forget()
end

--- Answers to questions that mean the same (lua/gate/semantic.lua); nil until somebody asks for them.
M.semantic = nil
--- The vector of a text: fun(model, endpoint?, text) -> packed|nil, digest|err. Set by stoke.model.
M.packed = nil

--- What became of calls: hits, shared, misses, stale, and why answers were not looked for or not kept.
M.counts = { exact = 0, shared = 0, prefix = 0, misses = 0, stale = 0, errors = 0, skipped = {}, unkept = {} }

local function count(list, why) list[why] = (list[why] or 0) + 1 end

--- Somebody wants a cache.
function M.use()
  if M.on then return end
  M.on = true
  if M.changed then M.changed() end
end

local NAMES = { ttl = "number", stale = "number", stale_if_error = "number", scope = "string", sampled = "boolean",
  embeddings = "boolean", semantic = true }

--- Settings as somebody gives them.
---@param what string who was given them, for the error
---@param given any
---@return stoke.cache.settings|false|nil settings false: off
---Raises `argument`.
---
--- Example: `local settings = cache.check("stoke.agent", given.cache)`
function M.check(what, given)
  if given == nil or given == false then return given end
  if given == true then given = {} end
  if type(given) ~= "table" then
    errors.argument("%s: cache must be true, false or a table such as { ttl = 3600 }, got %s", what, errors.describe(given))
  end
  errors.options(given, NAMES, what .. ": cache")
  for _, name in ipairs { "ttl", "stale", "stale_if_error" } do
    local value = given[name]
    if value and not (value >= 0 and value < math.huge) then
      errors.argument("%s: cache.%s must be seconds, 0 or more, got %s", what, name, tostring(value))
    end
  end
  if given.stale and not given.ttl then errors.argument("%s: cache.stale says nothing without cache.ttl", what) end
  if given.semantic then
    if not M.check_semantic then require "core.gate.semantic" end
    M.check_semantic(what, given.semantic)
  end
  M.use()
  local out = {}
  for name, value in next, given do out[name] = value end
  return out
end

--- The settings of a call; nil: it is not cached.
---@param call table of lua/effect.lua
---@return stoke.cache.settings|nil
local function settings_of(call)
  local work = call.work
  local said = nil
  if work then said = work.cache end
  if said == nil then
    local terms = call.context.terms
    said = terms and terms.cache
  end
  if said == nil and work then said = work.route_cache end
  if said == nil then said = M.default end
  return said or nil
end
M.settings_of = settings_of

-- ---- keys -----------------------------------------------------------------------------------------------------------------

local NONE <const> = {}

--- Is an answer the same each time, as far as anybody can say?
local function is_sampled(q, target)
  local said, usual = q.body and q.body.options or NONE, target.sampling or NONE
  local seed, temperature = said.seed, said.temperature
  if seed == nil then seed = usual.seed end
  if temperature == nil then temperature = usual.temperature end
  return seed == nil and temperature ~= 0
end

--- What would be sent to a target, whether it is read as it comes or not; nil where it cannot be told.
local function text_of(def, q, target, work)
  local sent = rawget(q, "sent")
  if not sent then
    local options
    options, sent = target.dialect.request(q, target, def.stream == true, nil, work)
    if not options or type(sent) ~= "string" then return nil end
  end
  return (sent:gsub('"stream":%l+', '"stream":0', 1))
end

---@class core.cache.place where an answer is kept
---@field kind "exact"|"stream"
---@field key string
---@field target stoke.target
---@field goes_on? string|false of a completion: what those have in common that go on behind another text (lua/cache/prefix.lua)

--- Where the answers of a call's candidates are kept.
---@return core.cache.place[]|nil places
---@return string|stoke.error why there are none
local function places_of(def, q, call, settings)
  if q.raw or q.method or q.path == "/api/embed" or q.path == "/v1/embeddings" then return nil, "it is no question" end
  local work, list, why = call.work, {}, "no model was found"
  for _, target in ipairs(type(work) == "table" and work or NONE) do
    if not settings.sampled and is_sampled(q, target) then return nil, "its answer is drawn at random" end
    local digest, reason = models.digest(target)
    if digest then
      local text = text_of(def, q, target, work)
      if not text then return nil, "its request cannot be told" end
      local aside = ("%s\0%s\0%s\0%s"):format(q.protocol, q.path, tostring(q.split_thinking), tostring(q.any_arguments))
      list[#list + 1] = { kind = def.stream and "stream" or "exact", target = target, digest = digest,
        key = keys.of(def.stream and "stream" or "whole", aside, text, digest, settings.scope or ""),
        goes_on = q.path == "/api/generate" and prefix.scope(q, settings.scope or "", digest, target.profile, target.sampling) }
    else
      if reason.kind == "cancelled" then return nil, reason end
      why = reason.message
    end
  end
  if not list[1] then return nil, why end
  return list
end

-- ---- what was given ---------------------------------------------------------------------------------------------------------

--- The conversations that asked for answers drawn at random, and what they got: none of them gets the same twice.
local given = setmetatable({}, { __mode = "k" })

local function unit_of(call)
  local work = call.work
  local run = type(work) == "table" and work.run or call.context.run
  while run and run.outer do run = run.outer end
  return run and run.history
end

local function was_given(call, settings, place)
  local unit = settings.sampled and unit_of(call)
  if not unit then return false end
  local list = given[unit]
  return list ~= nil and list[place.key] ~= nil
end

local function note_given(call, settings, place)
  local unit = settings.sampled and unit_of(call)
  if not unit then return end
  local list = given[unit]
  if not list then
    list = {}
    given[unit] = list
  end
  list[place.key] = true
end

-- ---- values -----------------------------------------------------------------------------------------------------------------

--- An answer says where it came from. What it cost was paid before: its usage counts nothing but itself.
local function mark(value, how, meta, stale)
  value.cached = how
  if meta then value.made = meta.made end
  if stale then value.stale = true end
  return value
end

--- The last event of a stream that comes from the cache.
local function mark_event(event, how, meta, stale)
  local out = {}
  for name, value in next, event do out[name] = value end
  if type(out.reply) == "table" then
    local reply = {}
    for name, value in next, out.reply do reply[name] = value end
    out.reply = mark(reply, how, meta, stale)
  end
  out.usage = { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0,
    tool_calls = event.usage and event.usage.tool_calls or 0, repairs = 0, seconds = 0, load_seconds = 0,
    estimated = false, cached = 1 }
  return mark(out, how, meta, stale)
end

local Kept = {}
Kept.__index = Kept

--- A stream that is kept: all of it is there.
local function kept_stream(text, how, meta, stale)
  local player = streams.player(text, { began = -math.huge })
  return setmetatable({ player = player, how = how, meta = meta, stale = stale }, Kept)
end

function Kept:next()
  local item, err = self.player:next()
  if type(item) == "table" and item.type == "done" then
    item = mark_event(item, self.how, self.meta, self.stale)
    self.done = item
  end
  return item, err
end
function Kept:came() return self.player:came() end
function Kept:close() self.player:close() end

--- What is kept as it is given; nil: it cannot be read, and counts as nothing.
local function value_of(place, text, how, meta, stale)
  if place.kind == "stream" then return kept_stream(text, how, meta, stale) end
  local value = plain.decode(text)
  if type(value) ~= "table" then return nil end
  return mark(value, how, meta, stale)
end

-- ---- looking ----------------------------------------------------------------------------------------------------------------

--- Seconds that a clock may be wrong by: an entry of later than that has no age that anybody knows, and is as old as can be.
local DRIFT <const> = 60

--- How old an entry is: "fresh", "stale" (given, and asked for anew), "late" (given where the call fails), or nil.
local function age_of(meta, settings)
  local ttl, own = settings.ttl, meta.ttl
  if own and (not ttl or own < ttl) then ttl = own end
  if not ttl then return "fresh" end
  local age = wall() - meta.made
  if age < -DRIFT then age = math.huge end
  if age <= ttl then return "fresh" end
  if age <= ttl + (settings.stale or 0) then return "stale" end
  if age <= ttl + (settings.stale_if_error or 0) then return "late" end
end

--- The first candidate whose answer is there.
---@return core.cache.place|nil place
---@return string|nil text
---@return table|nil meta
---@return "fresh"|"stale"|"late"|nil age
local function look(places, call, settings)
  local late, late_text, late_meta = nil, nil, nil
  for _, place in ipairs(places) do
    if not was_given(call, settings, place) then
      local text, meta = files.of():get(place.kind, place.key)
      local age = text and age_of(meta, settings)
      if age == "fresh" or age == "stale" then return place, text, meta, age end
      if age and not late then late, late_text, late_meta = place, text, meta end
    end
  end
  if late then return late, late_text, late_meta, "late" end
end

--- Completions that others go on with.
local completions = prefix.new()

--- The rest of an answer that has begun with what was typed since it was asked for.
local function gone_on(def, q, call, settings, places)
  for _, place in ipairs(places) do
    if place.goes_on and not (settings.sampled and unit_of(call)) then
      completions:load(files.of())
      local text, reason, made = completions:find(place.goes_on, q.body.prompt,
        function(when) return age_of({ made = when }, settings) == "fresh" end)
      if text then
        local reply = { model = place.target.served or place.target.name, response = text, done = true, done_reason = reason }
        if not def.stream then return mark(reply, "prefix", { made = made }) end
        local transcript = streams.transcript()
        streams.note(transcript, { type = "text", text = text }, 0)
        reply.response = ""
        streams.note(transcript, { type = "done", reason = reason, reply = reply }, 0)
        return kept_stream(transcript:text(), "prefix", { made = made })
      end
    end
  end
end

-- ---- keeping ----------------------------------------------------------------------------------------------------------------

--- Why an answer is not kept; nil: it is.
local function unfit(q, reason, call)
  if reason == "length" then
    if call.amend then return "it was cut by a budget" end
    local options = q.body and q.body.options
    if not (options and options.num_predict) then return "it was cut by the window" end
  elseif reason ~= "stop" and reason ~= "tool_calls" then
    return "it has no end"
  end
end

local function facts_of(place, call, usage)
  local journal = call.context.journal
  return { model = place.target.served or place.target.name, digest = place.digest:sub(1, 19),
    endpoint = place.target.endpoint.name, run = journal and (journal.run_id or journal.id) or nil,
    input_tokens = usage and usage.input_tokens, output_tokens = usage and usage.output_tokens, seconds = usage and usage.seconds }
end

---@param answer fun(): string|nil the text alone, nil where it is not all that was said
local function keep(places, q, call, settings, target, reason, usage, text, answer, reply)
  for _, place in ipairs(places) do
    if place.target == target or place.target.key == target.key then
      local why = unfit(q, reason, call)
      if why then return count(M.counts.unkept, why) end
      local encoded = text()
      if not encoded then return count(M.counts.unkept, "it is no plain data") end
      if not files.of():put(place.kind, place.key, encoded, facts_of(place, call, usage), settings.ttl) then
        count(M.counts.unkept, "it is too large")
      end
      if call.meant then M.semantic.answered(call.meant, q, place, reply) end
      local words = place.goes_on and answer()
      if words then
        completions:keep(place.goes_on, q.body.prompt, words, reason, files.of(), facts_of(place, call, usage))
      end
      return note_given(call, settings, place)
    end
  end
end

--- Keep an answer as a whole.
local function keep_value(places, def, q, call, settings, value, record, text)
  local target = record.target or places[1].target
  keep(places, q, call, settings, target, value.done_reason, def.usage(value, q), function() return text end,
    function() return not value.thinking and value.response or nil end, value)
end

--- The text of a stream, where it is nothing but text.
local function words_of(transcript)
  local list = {}
  for _, item in streams.items(transcript) do
    if item.type == "text" then
      list[#list + 1] = item.text
    elseif item.type ~= "done" then
      return nil
    end
  end
  return table.concat(list)
end

--- Keep a stream that has come to its end.
local function keep_stream(places, q, call, settings, flight, record)
  local done = flight.done
  if not done then return end
  keep(places, q, call, settings, record.target or places[1].target, done.reason, done.usage,
    function() return flight.transcript:text() end, function() return words_of(flight.transcript) end, done.reply)
end

-- ---- asking -----------------------------------------------------------------------------------------------------------------

--- The call of a flight: that of who began it, with a task and a slot of its own.

local function release(record, value, err)
  local slot = record.slot
  if slot then
    record.slot = nil
    pool.release(slot, value, err)
  end
end

local function record_of(call, flight, class)
  local work = {}
  for name, value in next, call.work do work[name] = value end
  work.class, work.deadline, work.cache = class, nil, false
  local record = { task = host.current(), asker = call.task, work = work, slot = nil, attempts = 0, target = nil,
    outer = nil, settled = false, flight = flight }
  record.task.call = record
  return setmetatable(record, { __index = call, settle = function(_, value, err) release(record, value, err) end })
end

--- Make the call, in the flight's task.
local function fly(flight, def, q, call, settings, places, attempts, class)
  local record = record_of(call, flight, class)
  local ok, value, err = pcall(attempts, def, q, record)
  if not ok then value, err = nil, errors.wrap(value) end
  if err == nil and def.stream then
    local slot, source = record.slot, value
    if slot and slot.began then pool.began(slot) end
    ok, value, err = pcall(flights.pump, flight, source)
    if not ok then value, err = nil, errors.wrap(value) end
    release(record, err == nil and source or nil, err)
    if err == nil then keep_stream(places, q, call, settings, flight, record) end
  else
    release(record, value, err)
    if err == nil then
      flight.text = plain.encode(value) -- before anybody has the value
      keep_value(places, def, q, call, settings, value, record, flight.text)
    end
  end
  record.task.call = nil
  return value, err
end

--- Errors that are of who asked, not of what was asked: who waited beside asks itself.
local OWN = { budget = true, cancelled = true, deadline = true, argument = true, denied = true }

--- An answer as a whole, of a flight that is under way or begins now.
local function whole(def, q, call, settings, places, way)
  local key = places.key
  while true do
    local flight = flights.of(key)
    local first = not flight
    if not flight then
      local err = way.pay(call)
      if err then return nil, err end
      flight = flights.of(key)
      first = not flight
      if first then
        flight = flights.begin(key, function(own)
          return fly(own, def, q, call, settings, places, way.attempts, way.class(call))
        end)
        flight.payer, flight.first, flight.amended = call, call, call.amend ~= nil
      end
    end
    local value, err, paid = flight:await(call, way.pay)
    if first then return value, err end
    local cut = value and flight.amended and value.done_reason == "length"
    if err and err.kind == "cancelled" and not flight.over then return nil, err end
    if not cut and not (err and OWN[err.kind] and not paid) then
      if err then return nil, err end
      M.counts.shared = M.counts.shared + 1
      if paid then return flight.text and plain.decode(flight.text) or value end
      return mark(flight.text and plain.decode(flight.text) or value, "shared")
    end
  end
end

--- The same of a stream.
local function stream(def, q, call, settings, places, way)
  local flight = flights.of(places.key)
  local first = not flight
  if not flight then
    local err = way.pay(call)
    if err then return nil, err end
    flight = flights.begin(places.key, function(own)
      return fly(own, def, q, call, settings, places, way.attempts, way.class(call))
    end)
    flight.payer = call
  end
  local reader = flight:reader(call, function(event, paid)
    if paid then return event end
    return mark_event(event, "shared")
  end)
  local err = reader:opened()
  if err then
    reader:close()
    if not first and OWN[err.kind] and flight.over then return stream(def, q, call, settings, places, way) end
    return nil, err
  end
  if not first then M.counts.shared = M.counts.shared + 1 end
  return reader
end

--- Ask for what is stale anew, beside whoever got it.
local refreshing = {}

local function refresh(def, q, call, settings, place)
  if refreshing[place.key] then return end
  refreshing[place.key] = true
  local work = {}
  for name, value in next, call.work do work[name] = value end
  work.class, work.deadline, work.run, work.cache = 3, nil, nil, setmetatable({ again = true }, { __index = settings })
  tasks.spawn(function()
    local value = M.perform(def.name, q, work)
    if value and def.stream then value:rest() end
    refreshing[place.key] = nil
  end, { system = true, name = "cache" })
end

--- The answer to a question that means the same; nil: the model is asked, and what it says is learned from (call.meant).
local function meant(def, q, call, settings, places)
  local place = places[1]
  local asked, why = M.semantic.look(q, place, text_of(def, q, place.target, call.work), settings)
  if not asked then
    if type(why) == "table" then return nil, why end
    count(M.counts.skipped, why)
    return nil
  end
  call.meant = asked
  if asked.found.action ~= "serve" then return nil end
  local answer = asked.found.entry.answer
  local text, meta = files.of():get(answer.kind, answer.key)
  local value = text and age_of(meta, settings) == "fresh" and value_of(answer, text, "semantic", meta)
  if not value then
    M.semantic.gone(asked)
    return nil
  end
  if not def.stream then value.semantic = M.semantic.told(asked.found) end
  M.counts.semantic = (M.counts.semantic or 0) + 1
  call.cached = "semantic"
  return value
end

--- The answer of a call.
---@param def stoke.effect
---@param q table
---@param call table
---@param way { pay: fun(call): stoke.error?, attempts: fun(def, q, call): any, stoke.error?, class: fun(call): integer }
---@return any value
---@return stoke.error? err
function M.through(def, q, call, way)
  local settings = settings_of(call)
  local places, why
  if settings then places, why = places_of(def, q, call, settings) end
  if not places then
    if type(why) == "table" then return nil, why end
    if why then M.skip(why, call) end
    local err = way.pay(call)
    if err then return nil, err end
    return way.attempts(def, q, call)
  end
  local list = {}
  for i, place in ipairs(places) do list[i] = place.key end
  places.key = #list == 1 and list[1] or keys.of(table.unpack(list))
  local place, text, meta, age = nil, nil, nil, nil
  if not settings.again then place, text, meta, age = look(places, call, settings) end
  if age == "fresh" or age == "stale" then
    local value = value_of(place, text, "exact", meta, age == "stale")
    if value then
      M.counts.exact = M.counts.exact + 1
      call.cached = "exact"
      note_given(call, settings, place)
      if age == "stale" then
        M.counts.stale = M.counts.stale + 1
        refresh(def, q, call, settings, place)
      end
      return value
    end
  end
  local rest = not (age or settings.again) and gone_on(def, q, call, settings, places)
  if rest then
    M.counts.prefix, call.cached = M.counts.prefix + 1, "prefix"
    return rest
  end
  if settings.semantic and not settings.again then
    local value, err = meant(def, q, call, settings, places)
    if value or err then return value, err end
  end
  M.counts.misses = M.counts.misses + 1
  local value, err = (def.stream and stream or whole)(def, q, call, settings, places, way)
  if err and age == "late" and err.kind ~= "cancelled" and not OWN[err.kind] then
    local old = value_of(place, text, "exact", meta, true)
    if old then
      M.counts.errors = M.counts.errors + 1
      call.cached = "exact"
      return old
    end
  end
  return value, err
end

local told = {}

--- A call is not cached though somebody asked for it. The reason that a script can do something about is said once.
function M.skip(why, call)
  count(M.counts.skipped, why)
  if told[why] or why == "it is no question" then return end
  told[why] = true
  local work = call.work
  local name = type(work) == "table" and work[1] and work[1].name or call.q.model
  if why == "its answer is drawn at random" then
    scopes.tell(("answers of %s are not cached, as they are drawn at random: give temperature = 0 or a seed, or " ..
      "cache = { sampled = true }"):format(name))
  else
    scopes.tell(("answers of %s are not cached: %s"):format(name, why))
  end
end

--- As at the beginning, for tests.
function M.forget()
  M.on, M.default, told, refreshing = false, nil, {}, {}
  M.counts = { exact = 0, shared = 0, prefix = 0, misses = 0, stale = 0, errors = 0, skipped = {}, unkept = {} }
  models.forget()
  files.forget()
  completions:forget()
  if M.changed then M.changed() end
end


return M
