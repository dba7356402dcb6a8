--- stoke.team.stop: when a conversation of agents ends. Conditions are values: `a | b` ends it when one holds, `a & b` when both
--- hold at the same message. They are asked after each message, and remember nothing, so one condition serves many runs.
---
---     stop = stop.text("APPROVE", { from = "critic" }) & stop.messages(4) | stop.tokens(20000)

local errors = require "core.errors"
local time = require "stoke.time"

local M = {}

---@class stoke.team.state what a condition is asked about
---@field turns { from: string, text: string, calls?: string[] }[] what the members said in this run; calls: the tools that they
---  called for it, by their names
---@field last { from: string, text: string, calls?: string[] } the newest of these
---@field usage stoke.usage so far
---@field began number of time.monotonic
---@field handoff? string a swarm: who was handed to and is no member

---@class stoke.team.stop.condition
---@field test fun(state: stoke.team.state): string|nil why it ends
---@field from? string[] members whose words it waits for
---@field handoffs? string[] those that it waits for to be handed over to
local Condition = {}
Condition.__index = Condition
Condition.__name = "stoke.team.stop"

local function new(test, from, handoffs)
  return setmetatable({ test = test, from = from, handoffs = handoffs }, Condition)
end

--- One condition of several.
local function combined(list, test)
  local from, handoffs = {}, {}
  for _, one in ipairs(list) do
    table.move(one.from or {}, 1, #(one.from or {}), #from + 1, from)
    table.move(one.handoffs or {}, 1, #(one.handoffs or {}), #handoffs + 1, handoffs)
  end
  return new(test, from, handoffs)
end

--- A condition, of a condition or a function.
---@param given any
---@param where string for errors
---@return stoke.team.stop.condition
---Raises `argument`.
---
--- Example: `local condition = stop.of(given.stop, "stoke.team.selector: stop")`
function M.of(given, where)
  if getmetatable(given) == Condition then return given end
  for name, maker in next, M do
    if given == maker then errors.argument("%s is stop.%s itself, which makes a condition: call it", where, name) end
  end
  if errors.callable(given) then return M.when(given) end
  errors.raise("argument", ("%s must be a condition or a function, got %s"):format(where, errors.describe(given)),
    { hint = "stoke.team.stop.messages(10) | stoke.team.stop.text \"DONE\"" })
end

--- Ends when one of several conditions holds; `a | b` is the same.
---@param ... stoke.team.stop.condition|fun(state: stoke.team.state): boolean|string|nil
---@return stoke.team.stop.condition
---
--- Example: `stop.any(stop.messages(10), stop.text "DONE")`
function M.any(...)
  local list = table.pack(...)
  for i = 1, list.n do list[i] = M.of(list[i], ("stop.any: condition %d"):format(i)) end
  return combined(list, function(state)
    for i = 1, list.n do
      local why = list[i].test(state)
      if why then return why end
    end
  end)
end

--- Ends when all of several conditions hold at the same message; `a & b` is the same.
---@param ... stoke.team.stop.condition|fun(state: stoke.team.state): boolean|string|nil
---@return stoke.team.stop.condition
---
--- Example: `stop.all(stop.messages(4), stop.text "APPROVE")`
function M.all(...)
  local list = table.pack(...)
  for i = 1, list.n do list[i] = M.of(list[i], ("stop.all: condition %d"):format(i)) end
  return combined(list, function(state)
    local whys = {}
    for i = 1, list.n do
      whys[i] = list[i].test(state)
      if not whys[i] then return nil end
    end
    return table.concat(whys, " and ")
  end)
end

function Condition.__bor(a, b) return M.any(a, b) end
function Condition.__band(a, b) return M.all(a, b) end

local function positive(what, n)
  if type(n) ~= "number" or not (n > 0) then
    errors.argument("stop.%s: a number above 0 expected, got %s", what, errors.describe(n))
  end
end

--- After so many messages of members.
---@param n integer
---@return stoke.team.stop.condition
---
--- Example: `stop.messages(10)`
function M.messages(n)
  positive("messages", n)
  return new(function(state) return #state.turns >= n and ("%d messages"):format(#state.turns) or nil end)
end

--- After so many tokens of the run, prompts and answers together.
---@param n integer
---@return stoke.team.stop.condition
---
--- Example: `stop.tokens(20000)`
function M.tokens(n)
  positive("tokens", n)
  return new(function(state)
    local used = state.usage.input_tokens + state.usage.output_tokens
    return used >= n and ("%d tokens"):format(used) or nil
  end)
end

--- After so many seconds: the message that is being written is finished first. `deadline =` of a team ends it at once, with an
--- error.
---@param n number
---@return stoke.team.stop.condition
---
--- Example: `stop.seconds(120)`
function M.seconds(n)
  positive("seconds", n)
  return new(function(state)
    local passed = time.monotonic() - state.began
    return passed >= n and ("%.1f seconds"):format(passed) or nil
  end)
end

--- Where a text stands in another as words of its own, and what is before and after it: "APPROVE" is not in "DISAPPROVED".
local function each_place(text, words)
  local from = 1
  return function()
    while true do
      local first, last = text:find(words, from, true)
      if not first then return nil end
      from = first + 1
      local before, after = text:sub(1, first - 1), text:sub(last + 1)
      local glued = words:find "^%w" and before:find "[%w_]$" or words:find "%w$" and after:find "^[%w_]"
      if not glued then return before, after end
    end
  end
end

local ASIDE <const> = "^[%s%p]*$"

local function has_words(text, words, alone)
  for before, after in each_place(text, words) do
    if not alone or before:find(ASIDE) and after:find(ASIDE) then return true end
  end
  return false
end

--- When the newest message has these words in it.
---@param words string as they are written; they must stand alone: "APPROVE" is not in "DISAPPROVED"
---@param options? { from?: string, alone?: boolean } from: only messages of this member; alone: nothing else may be in the message
---  but blanks and punctuation around them
---@return stoke.team.stop.condition
---
--- Example: `stop.text("APPROVE", { from = "critic" })`
function M.text(words, options)
  if type(words) ~= "string" or words == "" then errors.argument("stop.text: a text expected, got %s", errors.describe(words)) end
  options = errors.options(options, { from = "string", alone = "boolean" }, "stop.text")
  return new(function(state)
    local last = state.last
    if not last or options.from and last.from ~= options.from then return nil end
    return has_words(last.text, words, options.alone) and ("%s said %q"):format(last.from, words) or nil
  end, { options.from })
end

--- When a tool was called for the newest message, however the call ended; the message is finished first.
---@param name string of the tool
---@param options? { from?: string } from: only messages of this member
---@return stoke.team.stop.condition
---
--- Example: `stop.call("submit", { from = "writer" })`
function M.call(name, options)
  if type(name) ~= "string" or name == "" then errors.argument("stop.call: a name expected, got %s", errors.describe(name)) end
  options = errors.options(options, { from = "string" }, "stop.call")
  return new(function(state)
    local last = state.last
    if not last or options.from and last.from ~= options.from then return nil end
    for _, called in ipairs(last.calls or {}) do
      if called == name then return ("%s called %s"):format(last.from, name) end
    end
  end, { options.from })
end

--- When a member of a swarm hands over to somebody who is no member: to the user, say.
---@param name string
---@return stoke.team.stop.condition
---
--- Example: `stop.handoff "user"`
function M.handoff(name)
  if type(name) ~= "string" or name == "" then errors.argument("stop.handoff: a name expected, got %s", errors.describe(name)) end
  return new(function(state) return state.handoff == name and "handed over to " .. name or nil end, nil, { name })
end

--- When a function says so.
---@param f fun(state: stoke.team.state): boolean|string|nil a text says why
---@return stoke.team.stop.condition
---
--- Example: `stop.when(function(state) return #state.last.text < 10 end)`
function M.when(f)
  errors.check_callable(f, "stop.when")
  return new(function(state)
    local why = f(state)
    if not why then return nil end
    return type(why) == "string" and why or "a condition of the script"
  end)
end

return M
