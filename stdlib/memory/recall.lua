--- A memory at an agent: what it is shown before it answers, and two tools.
---
--- What is recalled stands beside the question, as notes, each on a line of its own; it is never a part of the instructions,
--- whoever wrote it. It is sent with this question alone: the conversation that is kept has the question without it.

local errors = require "core.errors"
local line = require "core.text".line
local loop = require "stoke.agent.loop"
local origins = require "stoke.memory.origin"
local texts = require "stoke.agent.texts"
local time = require "stoke.time"
local tool = require "stoke.tool"

local M = {}

local UNITS = { { 86400 * 365, "year" }, { 86400 * 30, "month" }, { 86400, "day" }, { 3600, "hour" }, { 60, "minute" } }

--- How long ago, in words.
local function ago(seconds)
  for _, unit in ipairs(UNITS) do
    local n = seconds // unit[1]
    if n >= 1 then return ("%d %s%s ago"):format(n, unit[2], n > 1 and "s" or "") end
  end
  return "just now"
end

--- Memories as a model reads them, a line each.
---@param found stoke.memory.found[]
---@param now number
---@return string
function M.lines(found, now)
  local lines = {}
  for i, one in ipairs(found) do
    local from = origins.foreign(one.origin) and (", as a %s said"):format(origins.worse(one.origin, "tool")) or ""
    lines[i] = ("- (%s%s) %s"):format(ago(now - one.created), from, line(one.text))
  end
  return table.concat(lines, "\n")
end

--- How a line begins that others wrote.
local MARK <const> = "\n%- %([^()\n]*, as a (%l+) said%) "

--- The origin of what the running agent remembers: no better than what it was told in this conversation, by tools or by memories
--- of others. Read off the messages, so that a run that is resumed finds the same.
local function origin_now(best)
  local run, worst = loop.outer(), best
  if not run then return worst end
  for _, one in ipairs(run.recalled or {}) do worst = origins.worse(worst, one.origin) end
  for _, message in ipairs(run.history) do
    if message.role == "tool" and message.tool_name == "recall" then
      for origin in ("\n" .. message.content):gmatch(MARK) do worst = origins.worse(worst, origin) end
    elseif message.role == "tool" and message.tool_name ~= "remember" then
      worst = origins.worse(worst, "tool")
    end
  end
  return worst
end

--- What is told of a question without being asked for has to have to do with it: as a cosine, and as a share of the words.
local RELEVANT <const>, SHARED <const> = 0.25, 0.01

local function relevant(memory, given) return given or memory.embed and RELEVANT or SHARED end

local TOOLS = { k = "number", kind = true, tags = "table", origin = "string", min_relevance = "number" }

--- The tools, of what `get` gives for a run.
local function tools_of(get, o)
  local best = origins.check("memory:tools", o.origin or "agent")
  return {
    tool { name = "recall", description = "Look up what you remember: from earlier conversations, of people, of what was decided.",
      params = { about = "string: what you want to know" },
      run = function(a)
        local memory = get(loop.outer())
        local found = memory:search(a.about, { k = o.k or 5, kind = o.kind, tags = o.tags,
          min_relevance = relevant(memory, o.min_relevance) })
        return found[1] and M.lines(found, time.now()) or "nothing is remembered of that"
      end },
    tool { name = "remember", description = "Remember something that will matter in later conversations. One fact at a time.",
      params = { fact = "string 1..1000: one sentence", importance = "integer? 0..10: how much it matters" },
      run = function(a)
        local _, added = get(loop.outer()):add(a.fact, { kind = "fact", origin = origin_now(best), importance = a.importance,
          tags = o.tags })
        return added and "remembered" or "that is remembered already"
      end },
  }
end

--- See memory:tools.
---@param memory stoke.memory
---@param given table|nil
---@return stoke.tool[]
function M.tools(memory, given)
  return tools_of(function() return memory end, errors.options(given, TOOLS, "memory:tools"))
end

local FIELDS = { k = "number", kind = true, tags = "table", min = "number", min_relevance = "number", recall = "boolean",
  tools = "boolean", origin = "string" }

--- What is recalled for the question of a run goes with it.
local function recall_for(has, run, only_looking)
  local past = run.history
  local question = past[past.asked] and past[past.asked].content or ""
  if not question:find "%S" then return past:recall(nil) end
  local memory = has.get(run)
  local found = memory:search(question, { k = has.k, kind = has.kind, tags = has.tags, min = has.min,
    min_relevance = relevant(memory, has.min_relevance), touch = not only_looking })
  past:recall(found[1] and texts.of("recalled", run.agent.texts, { memories = M.lines(found, time.now()) }) or nil)
  run.recalled = found
  if run.listener then run.listener { type = "recalled", memories = found } end
end

--- What gives the memory to a run, and the options of an agent beside it.
local function given_as(where, given)
  local is = require "stoke.memory".is
  if is(given) then return function() return given end, {} end
  if type(given) ~= "table" or not is(given[1]) and type(given[1]) ~= "string" then
    errors.argument("%s: memory must be what stoke.memory gave, { memory, k = 5 }, or { \"path\", embed = ... }, got %s", where,
      errors.describe(given))
  end
  local own, others = {}, {}
  for name, value in next, given do
    if FIELDS[name] then own[name] = value elseif name ~= 1 then others[name] = value end
  end
  errors.options(own, FIELDS, where .. ": memory")
  if type(given[1]) == "string" then return require "stoke.memory.lazy".of(where, given[1], others), own end
  errors.options(others, FIELDS, where .. ": memory")
  return function() return given[1] end, own
end

--- What an agent was given as `memory`.
---@param where string
---@param given any a memory, or { memory, k =, kind =, tags =, min =, min_relevance =, origin =, recall =, tools = }; in the place
---  of the memory a path, with its options beside these
---@return { recall_for: fun(run: table, only_looking?: boolean), with: fun(tools: table[]|nil): table[] } has
---Raises `argument`.
function M.of(where, given)
  local get, o = given_as(where, given)
  local k = o.k == nil and 5 or math.tointeger(o.k)
  if not k or k < 1 then errors.argument("%s: memory: k must be a whole number of at least 1, got %s", where, tostring(o.k)) end
  local has = { get = get, k = k, kind = o.kind, tags = o.tags, min = o.min, min_relevance = o.min_relevance }
  local own = o.tools ~= false and tools_of(get, { k = k, kind = o.kind, tags = o.tags, origin = o.origin,
    min_relevance = o.min_relevance }) or {}
  return {
    recall_for = function(run, only_looking)
      if o.recall ~= false then recall_for(has, run, only_looking) else get(run) end
    end,
    with = function(tools)
      local all = table.move(tools or {}, 1, #(tools or {}), 1, {})
      return table.move(own, 1, #own, #all + 1, all)
    end,
  }
end

return M
