--- stoke.cascade: a small model first, a large one where the small one's answer will not do.
---
--- It counts what it does. Where the small one is asked in vain so often that going to the large one at once takes less time, it
--- goes there, and tries the small one now and then: two models that share the memory of one server would be loaded in turn
--- otherwise. The model that will be needed is loaded ahead, where that takes nobody's memory.

local combine = require "core.combine"
local errors = require "core.errors"
local journals = require "core.journal"
local scopes = require "core.scope"
local agents = require "stoke.agent"
local fallback = require "stoke.model.fallback"
local models = require "stoke.model"
local stream = require "stoke.agent.stream"
local time = require "stoke.time"
local usages = require "stoke.agent.usage"

local M = {}

---@class stoke.cascade
local Cascade = {}
Cascade.__index = Cascade
Cascade.__name = "stoke.cascade"

--- Runs that are remembered of a rung; fewer than FEW tell nothing.
local KEPT <const>, FEW <const> = 20, 8
--- While a rung is passed over, one run in so many tries it.
local TRY <const> = 10
--- Part of the runs that go on to the next rung from which on its model is loaded ahead.
local OFTEN <const> = 0.5

--- What of a small model's answer another one may mend, beside what a fallback does.
local MENDED = { invalid_output = true, limit = true, loop = true, max_steps = true, context_overflow = true }

-- ---- what is remembered of a rung -----------------------------------------------------------------------------------------

local function note(rung, passed_on, seconds)
  local kept = rung.kept
  kept[#kept + 1] = { passed_on, seconds }
  if #kept > KEPT then table.remove(kept, 1) end
end

--- Part of the runs that went on to the next, and mean seconds.
local function usual(rung)
  local passed, seconds = 0, 0
  for _, one in ipairs(rung.kept) do
    passed, seconds = passed + (one[1] and 1 or 0), seconds + one[2]
  end
  return passed / #rung.kept, seconds / #rung.kept
end

--- Does asking this rung first take more time than it saves?
local function in_vain(self, i)
  local rung, next_one = self.rungs[i], self.rungs[i + 1]
  if #rung.kept < FEW or #next_one.kept == 0 then return false end
  local passed, seconds = usual(rung)
  local _, after = usual(next_one)
  return seconds > (1 - passed) * after
end

--- The rung that a run begins with.
local function first_of(self)
  if journals.current() then return 1 end -- what it goes by is of this process
  local i = 1
  while i < #self.rungs and in_vain(self, i) do
    local rung = self.rungs[i]
    rung.skipped = rung.skipped + 1
    if rung.skipped % TRY == 0 then break end
    i = i + 1
  end
  return i
end

--- Load the model of the next rung ahead, where it is likely to be needed and is on a server of its own.
local function prewarm(self, i, scope)
  local rung, next_one = self.rungs[i], self.rungs[i + 1]
  if not next_one or next_one.warm or #rung.kept < FEW or usual(rung) < OFTEN or journals.current() then return end
  local here, there = rung.agent.definition, next_one.agent.definition
  local target = models.open(there.model, there.endpoint, there.route)
  local before = models.open(here.model, here.endpoint, here.route)
  for _, one in ipairs(before.candidates) do
    if one.endpoint.meant == target.candidates[1].endpoint.meant then return end
  end
  next_one.warm = true
  scope:spawn(combine.try, models.load, target)
end

-- ---- a run ------------------------------------------------------------------------------------------------------------------

--- Why an answer will not do; nil where it does.
local function reason(self, result, err)
  if err then
    return (MENDED[err.kind] or fallback.worth(err)) and err.kind or nil
  end
  if self.margin and result.margin and result.margin < self.margin then
    return ("margin %.2f"):format(result.margin)
  end
  local rule = self.escalate and self.escalate(result)
  if rule then return type(rule) == "string" and rule or "escalate" end
end

--- Events that an answer consists of: nobody is told them before it is known that it will do.
local TAKEN_BACK = { text = true, thinking = true }

--- Keep such an event; texts that follow each other as one.
local function hold(held, event)
  local last = held[#held]
  if not last or last.type ~= event.type then
    last = { type = event.type, parts = {} }
    held[#held + 1] = last
  end
  last.parts[#last.parts + 1], last.partial = event.text, event.partial
end

local function tell_held(held, hear)
  for _, event in ipairs(held) do hear { type = event.type, text = table.concat(event.parts), partial = event.partial } end
end

--- A run whose events are told: what it does as it does it, and its texts, too, where `live`.
local function heard(rung, given, limits, hear, live)
  local result, held = nil, {}
  for event in rung.agent:stream(given, limits) do
    local kind = event.type
    if kind == "done" then
      result = event.result
    elseif kind ~= "usage" then
      if live or not TAKEN_BACK[kind] then hear(event) else hold(held, event) end
    end
  end
  return { result = result, held = held }
end

---@return stoke.agent.result|nil
---@return stoke.error|nil err
---@return table[]|nil held
local function ask(rung, given, options, margin, hear, live)
  local limits = {}
  for name, value in next, options or {} do limits[name] = value end
  if margin then limits.logprobs = true end
  limits = next(limits) and limits or nil
  if not hear then return combine.try(rung.agent.run, rung.agent, given, limits) end
  local got, err = combine.try(heard, rung, given, limits, hear, live)
  if err then return nil, err end
  return got.result, nil, got.held
end

--- Ask the first rung, and the next where its answer will not do. hear: who is told the events.
local function climb(self, given, options, hear)
  local usage, tried, i = usages.new(), {}, first_of(self)
  local scope <close> = scopes.open {}
  while true do
    local rung, began = self.rungs[i], time.monotonic()
    prewarm(self, i, scope)
    local last = i == #self.rungs
    local result, err, held = ask(rung, given, options, not last and self.margin, hear, last)
    local done = result or rawget(err, "work")
    if done then usages.add(usage, done.usage) end
    local why = not last and reason(self, result, err) or nil
    note(rung, why ~= nil, time.monotonic() - began)
    if not why then
      if err then error(err, 0) end
      if held then tell_held(held, hear) end
      result.usage, result.rung = usage, i
      if tried[1] then result.tried = tried end
      return result
    end
    tried[#tried + 1] = { rung = i, why = why }
    if hear then hear { type = "escalated", rung = i + 1, why = why } end
    i = i + 1
  end
end

--- Ask the first rung, and the next where its answer will not do.
---@param given string|{ text: string, images?: (string|table)[] }|table[]
---@param options? stoke.agent.limits for each rung
---@return stoke.agent.result result of the rung that answered: `rung` is its number, `tried` = { { rung, why } ... } those
---  before it; `usage` is of all of them
---Raises what the last rung raises; `cancelled`, `budget` and other errors that no other model mends at once.
---
--- Example: `local result = careful:run("How many days has a leap year?")`
function Cascade:run(given, options)
  scopes.check_self(self, Cascade, "cascade:run()")
  return climb(self, given, options)
end

--- The same, and iterate over the events. What is done comes as it is done: calls of tools, approvals, handoffs. A text comes
--- once it is known that it will do, as one event; that of the last rung, which nobody judges, as it is written. Where an answer
--- will not do there is { type = "escalated", rung = the next one, why = }, and nothing is told of its texts. At the end
--- { type = "usage", usage } and { type = "done", result = as of cascade:run }.
---@param given string|{ text: string, images?: (string|table)[] }|table[]
---@param options? stoke.agent.limits for each rung
---@return stoke.agent.stream iterator; raises what cascade:run raises
---@return nil
---@return nil
---@return stoke.agent.stream closing it ends the run
---
--- Example: `for ev in careful:stream(text) do if ev.type == "text" then io.write(ev.text) end end`
function Cascade:stream(given, options)
  scopes.check_self(self, Cascade, "cascade:stream()")
  return stream.open(function(hear)
    local result = climb(self, given, options, hear)
    hear { type = "usage", usage = result.usage }
    hear { type = "done", result = result }
  end)
end

--- What it has done lately.
---@return { agent: string, runs: integer, passed_on: number, seconds: number, skipped: integer }[] of each rung; passed_on: the
---  part of its last runs that went on to the next rung
---
--- Example: `print(careful:state()[1].passed_on)`
function Cascade:state()
  scopes.check_self(self, Cascade, "cascade:state()")
  local out = {}
  for i, rung in ipairs(self.rungs) do
    local passed, seconds = 0, 0
    if rung.kept[1] then passed, seconds = usual(rung) end
    out[i] = { agent = rung.agent.name, runs = #rung.kept, passed_on = passed, seconds = seconds, skipped = rung.skipped }
  end
  return out
end

--- Make a cascade.
---@param given table the agents, the smallest first; `escalate` = fun(result): whether its answer will not do (a text says why);
---  `margin` = nats: an answer whose margin is smaller goes on (stoke.agent.limits.logprobs)
---@return stoke.cascade cascade with cascade:run(input, options), cascade:stream(input, options) and cascade:state()
---Raises `argument`.
---
--- Example: `local careful = stoke.cascade { small, large, escalate = function(result) return #result.text < 20 end }`
function M.new(given)
  if type(given) ~= "table" then errors.argument("stoke.cascade: a table of agents expected, got %s", errors.describe(given)) end
  local named, rungs = {}, {}
  for name, value in next, given do
    if math.type(name) ~= "integer" then named[name] = value end
  end
  errors.options(named, { escalate = true, margin = "number" }, "stoke.cascade")
  if named.escalate ~= nil then errors.check_callable(named.escalate, "stoke.cascade: escalate") end
  if #given < 2 then errors.argument("stoke.cascade: two agents at least, the smallest first; got %d", #given) end
  for i, agent in ipairs(given) do
    if getmetatable(agent) ~= agents.Agent then
      errors.argument("stoke.cascade: [%d] must be an agent (stoke.agent { ... }), got %s", i, errors.describe(agent))
    end
    rungs[i] = { agent = agent, kept = {}, skipped = 0, warm = false }
  end
  return setmetatable({ rungs = rungs, escalate = named.escalate, margin = named.margin }, Cascade)
end

return M
