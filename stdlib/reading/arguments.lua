--- Arguments that are no object, or that lie in another one: `[{...}]`, `{"arguments":{...}}`, the same as a string of JSON, and
--- the schema written out with a value in each place. Where what is inside fits the tool's parameters exactly, and the outer does
--- not, it is what was meant. Everything else stays as it was and goes back to the model as arguments that do not fit.

local engine = require "core.json"

local M = {}

local is_array, type, next = engine.is_array, type, next

--- What arguments are wrapped in.
local WRAPS = { "arguments", "parameters", "args", "params", "input", "kwargs", "properties", "tool_input", "action_input" }
local IS_WRAP = {}
for _, name in ipairs(WRAPS) do IS_WRAP[name] = true end

--- What may stand beside them.
local BESIDE = { name = true, type = true, id = true, tool = true, tool_name = true, required = true, ["function"] = true,
  description = true }

--- What a schema says of one property; `value` is what the model filled in.
local OF_SCHEMA = { type = true, description = true, title = true, value = true, enum = true, format = true, required = true }

local DEPTH = 4

local function is_object(value) return type(value) == "table" and not is_array(value) end

--- The schema written out: { city = { type = "string", value = "Oslo" } }.
local function filled_in(value)
  local out, order = {}, {}
  for key, item in next, value do
    if not is_object(item) or item.value == nil or item.type == nil then return nil end
    for word in next, item do
      if not OF_SCHEMA[word] then return nil end
    end
    out[key], order[#order + 1] = item.value, key
  end
  if order[1] == nil then return nil end
  table.sort(order)
  return engine.object(out, order)
end

--- What lies in a value, if it holds one thing.
local function unwrap(value, name)
  if type(value) == "string" then
    local inner = value:find "^%s*[{%[]" and engine.decode(value, { ordered = true, exact = true })
    return type(inner) == "table" and inner or nil
  end
  if type(value) ~= "table" then return nil end
  if is_array(value) then return #value == 1 and value[1] or nil end
  local found
  for key, item in next, value do
    if IS_WRAP[key] or key == name then
      if found ~= nil then return nil end
      found = item
    elseif not BESIDE[key] then
      return filled_in(value)
    end
  end
  if found == nil then return filled_in(value) end
  return found
end

--- May arguments be something else than they seem? Looks at their first member only: nearly all are what they are.
local function odd(arguments, name)
  if not is_object(arguments) then return true end
  local key, value = next(arguments)
  if key == nil then return false end
  if IS_WRAP[key] or BESIDE[key] or key == name then return true end
  return type(value) == "table" and value.type ~= nil
end

--- The arguments inside a wrapping that match the tool's schema; nil if the arguments match unchanged, or nothing in them does.
local function unwrapped_arguments(tool, arguments)
  local _, unfit = tool:check(arguments)
  if not unfit then return nil end
  for _ = 1, DEPTH do
    arguments = unwrap(arguments, tool.name)
    if arguments == nil then return nil end
    if is_object(arguments) then
      _, unfit = tool:check(arguments)
      if not unfit then return arguments end
    end
  end
end

--- call -> arguments that are no object, as the model wrote them; in the history, which the server reads, stands an empty one.
local written = setmetatable({}, { __mode = "k" })

--- Make the arguments of an answer's calls fit to be sent back, and read those that lie in a wrapping.
---@param calls table[]
---@param tools table<string, stoke.tool>
---@return integer repairs those that were read
function M.settle(calls, tools)
  local repairs = 0
  for i = 1, #calls do
    local call = calls[i]
    local f = call["function"]
    local given = f.arguments
    if odd(given, f.name) then
      local tool = tools[f.name]
      local inner = tool and unwrapped_arguments(tool, given)
      if inner then
        f.arguments, repairs = inner, repairs + 1
      elseif type(given) ~= "table" or is_array(given) then
        f.arguments, written[call] = engine.object {}, given
      end
    end
  end
  return repairs
end

--- What a call is to be run with.
---@param call table
---@return any
function M.of(call)
  local given = written[call]
  if given ~= nil then return given end
  return call["function"].arguments
end

return M
