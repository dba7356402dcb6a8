--- Tool calls that arrived as such, made fit to be used: models and servers leave out ids, or what is round the name, and write
--- arguments as a string of JSON, sound or damaged.

local frames = require "core.frame"
local json = require "core.json"
local random = require "core.random"
local texts = require "core.text"

local M = {}

local null, is_array, type = json.null, json.is_array, type

local ORDERED = { ordered = true, exact = true }

local LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

--- In the server's own style, for calls that came without.
local function new_id()
  local id = frames.id "call"
  if id then return "call_" .. id:sub(1, 8) end
  local ids, out = random.stream "call id", {}
  for i = 1, 8 do
    local at = ids:int(1, #LETTERS)
    out[i] = LETTERS:sub(at, at)
  end
  return "call_" .. table.concat(out)
end

local WANT = { want = "object" }

--- Arguments in a string, as some servers and many models write them; damaged ones are mended.
local function read_arguments(text)
  if not text:find "%S" then return nil, 0 end
  local value, bad = json.decode(text, ORDERED)
  if bad == nil and type(value) ~= "string" then return value, 0 end
  value = require "stoke.reading.repair".repair(type(value) == "string" and value or text, WANT)
  return type(value) == "table" and value or false, 1
end

--- The arguments as an object, and how many repairs that took; nil and what is wrong when they are none. Who takes any gets such
--- arguments as the model wrote them.
local function arguments_of(f, any)
  local arguments, repairs = f.arguments, 0
  if type(arguments) == "string" then arguments, repairs = read_arguments(arguments) end
  if arguments == nil or arguments == null then return json.object {}, 0 end
  if type(arguments) == "table" then
    if not is_array(arguments) then return arguments, repairs end
    if #arguments == 0 then return json.object {}, repairs end
  end
  if any then return arguments or f.arguments, 0 end
  return nil, ("the arguments of the tool call %s are no JSON object"):format(texts.excerpt(f.name, 80))
end

--- The function of a call, and 1 where it had to be found: some models leave out what is round it.
local function function_of(call)
  local f = type(call) == "table" and call["function"]
  if type(f) == "table" and type(f.name) == "string" then
    if f.arguments ~= nil then return f, 0 end
    f.arguments, f.parameters = f.parameters, nil
    return f, f.arguments ~= nil and 1 or 0
  end
  if f == nil and type(call.name) == "string" then
    call["function"] = { name = call.name, arguments = call.arguments == nil and call.parameters or call.arguments }
    call.name, call.arguments, call.parameters = nil, nil, nil
    return call["function"], 1
  end
end

--- Make a message's tool calls fit to be used and sent back: each { id, function = { name, arguments = an object } }.
---@param holder table the message, or what else has tool_calls
---@param any? boolean arguments that are no object stay as the model wrote them
---@return table[]|nil calls nil when there are none
---@return string|integer|nil wrong what is wrong with them, or how many repairs it took
---@return boolean|nil foreign that was no list of calls at all: the server, not the model, is to blame
function M.tidy(holder, any)
  local calls = holder.tool_calls
  if calls == null then
    holder.tool_calls = nil
    return nil
  end
  if type(calls) ~= "table" or (not is_array(calls) and next(calls) ~= nil) then return nil, "tool_calls is no list", true end
  local repairs = 0
  for i = 1, #calls do
    local call = calls[i]
    local f, found = function_of(call)
    if not f then return nil, ("tool call %d names no function"):format(i) end
    local arguments, mended = arguments_of(f, any)
    if arguments == nil then return nil, mended end
    f.arguments = arguments
    repairs = repairs + math.max(found, mended)
    if type(call.id) ~= "string" or call.id == "" then call.id = new_id() end
  end
  return calls, repairs
end

return M
