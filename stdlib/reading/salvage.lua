--- Tool calls that did not arrive as tool calls: the model wrote one as text, or the server could not read what it wrote.
---
--- What is taken for a call, since a mistake here runs a tool:
--- * Text with a mark of its own, at the beginning of a line: <tool_call>, <function_call>, [TOOL_CALLS], <|python_tag|>,
---   <function=name>, functools[, or ReAct's "Action:" and "Action Input:". Any text may stand before it, none behind it.
--- * JSON without a mark, bare or in a code fence, or name({...}), or calls in Python's notation (literals only), when it stands
---   alone: before it at most one short sentence (160 bytes, one line) that speaks of no example or possibility, behind it nothing.
--- * The value must name a tool there is, or have the one shape nothing else has, { name, arguments }; then an unknown name
---   is given back too, so that the model can be told which tools there are. Every value in the text must be a call.
--- * Never a tool's definition, and never a call cut inside a string or a number: half an argument is not what was meant.

local engine = require "core.json"
local errors = require "core.errors"
local resolve = require "stoke.reading.names".exact
local notes = require "stoke.reading.notes"
local repair = require "stoke.reading.repair"
local python = require "stoke.reading.python"
local scan = require "stoke.reading.scan"
local strings = require "stoke.reading.strings"

local find, sub, match = string.find, string.sub, string.match
local note = notes.note

local M = {}

---@class stoke.reading.salvaged
---@field name string
---@field arguments table

local MAX_DEPTH = 256
local NAME_KEYS = { "name", "tool", "tool_name", "function", "function_name", "action" }
local ARGUMENT_KEYS = { "arguments", "parameters", "args", "input", "params", "action_input" }

--- What may stand beside a name whose arguments are missing, and beside an unknown name.
local ENVELOPE = { id = true, type = true, index = true, call_id = true, tool_call_id = true, thought = true, thoughts = true,
                   reason = true, reasoning = true, explanation = true }

--- Objects that only hold the calls.
local WRAPPERS = { "tool_calls", "tool_call", "function_calls", "function_call", "calls" }

local function is_object(value) return type(value) == "table" and not engine.is_array(value) end

--- A tool's parameters as a schema say what it takes, they are no arguments.
local function is_schema(arguments)
  return arguments.type == "object" and is_object(arguments.properties)
end

--- Arguments as an object: they may be missing, null, or JSON in a string; nil when they are none of it.
local function as_arguments(value, said)
  if value == nil or value == engine.null then return engine.object {} end
  if type(value) == "string" then
    if find(value, "^%s*$") then return engine.object {} end
    local list = scan.values(value, 1, MAX_DEPTH)
    local found = list[1]
    if not found or list[2] or found.cut or found.kind ~= "object" then return nil end
    local mended, repairs = repair.repair(value)
    if mended == nil or not is_object(mended) then return nil end
    for _, what in ipairs(repairs) do note(said, (what:gsub(",[%a ]* at byte %d+$", ""))) end
    value = mended
  end
  if type(value) == "table" and next(value) == nil then return engine.object {} end
  return is_object(value) and not is_schema(value) and value or nil
end

--- Nothing but these keys, besides the envelope's?
local function only(object, a, b)
  for key in next, object do
    if key ~= a and key ~= b and not ENVELOPE[key] then return false end
  end
  return true
end

local function arguments_key(object)
  for _, key in ipairs(ARGUMENT_KEYS) do
    if object[key] ~= nil then return key end
  end
end

--- { name, arguments } of a name that is no tool's.
local function unknown_call(object, names, said, marked)
  local key = object.arguments ~= nil and "arguments" or marked and arguments_key(object)
  local name = object.name
  if not key or type(name) ~= "string" or not find(name, "^[%a_][%w_.:/%-]*$") or not only(object, "name", key) then return nil end
  if type(object[key]) ~= "table" and type(object[key]) ~= "string" then return nil end
  local arguments = as_arguments(object[key], said)
  return arguments and { name = resolve(name, names) or name, arguments = arguments }
end

--- The call an object stands for, if it does.
local function call_of(object, names, said, marked)
  if not is_object(object) then return nil end
  if is_object(object["function"]) then return call_of(object["function"], names, said, marked) end
  for _, key in ipairs(NAME_KEYS) do
    local name = resolve(object[key], names)
    if name then
      local holds = arguments_key(object)
      if not holds and not only(object, key) then return nil end
      local arguments = as_arguments(holds and object[holds], said)
      return arguments and { name = name, arguments = arguments }
    end
  end
  local key, value = next(object)
  if key and next(object, key) == nil and resolve(key, names) and is_object(value) and not is_schema(value) then
    return { name = resolve(key, names), arguments = next(value) and value or engine.object {} }
  end
  return unknown_call(object, names, said, marked)
end

--- Add all calls of a value to the list; false when it is not made of calls alone.
local function add_calls(list, value, names, said, marked)
  if type(value) ~= "table" then return false end
  if engine.is_array(value) then
    for _, item in ipairs(value) do
      local call = call_of(item, names, said, marked)
      if not call then return false end
      list[#list + 1] = call
    end
    return #value > 0
  end
  for _, key in ipairs(WRAPPERS) do
    local inner = value[key]
    if type(inner) == "table" and not names[key] and next(inner) ~= nil then return add_calls(list, inner, names, said, true) end
  end
  local call = call_of(value, names, said, marked)
  list[#list + 1] = call
  return call ~= nil
end

-- ---- the text round the calls --------------------------------------------------------------------------------------------

local function trim(text) return strings.rtrim(match(text, "^%s*(.*)$")) end

--- Tokens of chat templates that leak into the text.
local function without_tokens(text)
  return (text:gsub("<|[%w_]+|>", " "):gsub("</s>", " "):gsub("<end_of_turn>", " "):gsub("<eos>", " "))
end

--- A text without code fences and without the marks in `tags`.
local function without_marks(text, tags)
  text = without_tokens(text):gsub("```+[ \t]*[%w_]*", " ")
  for _, tag in ipairs(tags or {}) do text = text:gsub(tag:gsub("%p", "%%%0"), " ") end
  return trim(text)
end

--- Words that speak of a call and do not make it.
local ONLY_SPEAKS = { "example", "instance", "e%.g%.", "such as", "would", "could", "might", "format", "like th", "looks like",
                      "something like", "instead", "schema", "syntax", "n't", "%f[%w]not%f[%W]", "never", "return", "respon",
                      "output", "definition", "defined" }

--- A short sentence such as a model says before it calls.
local function is_lead_in(text)
  if #text > 160 or find(text, "\n", 1, true) then return false end
  local lower = text:lower()
  for _, word in ipairs(ONLY_SPEAKS) do
    if find(lower, word) then return false end
  end
  return true
end

local function begins_line(text, at)
  repeat at = at - 1 until not find(text, "^[ \t*]", at)
  return at == 0 or sub(text, at, at) == "\n"
end

--- The first of several marks that stands at the beginning of a line: where, and the entry it is of.
local function first_mark(text, marks)
  local first, entry
  for _, mark in ipairs(marks) do
    local at = find(text, mark[1], 1, true)
    while at and not begins_line(text, at) do at = find(text, mark[1], at + 1, true) end
    if at and (not first or at < first) then first, entry = at, mark end
  end
  return first, entry
end

--- Answers of tools that the model made up behind its call.
local function without_answers(text, said)
  local at = find(text, "\nObservation:", 1, true) or find(text, "<tool_response>", 1, true)
    or find(text, "<function_response>", 1, true)
  if not at then return text end
  note(said, "made-up answer of the tool left out")
  return sub(text, 1, at - 1)
end

--- The arguments that a text holds, and nothing else, from a place on.
local function arguments_in(text, from, said)
  local list = scan.values(text, from, MAX_DEPTH)
  local found = list[1]
  if not found or list[2] or found.cut then return nil end
  if without_marks(sub(text, from, found.first - 1) .. " " .. sub(text, found.last + 1)) ~= "" then return nil end
  local arguments = found.kind == "object" and as_arguments(found.value, said)
  if arguments then notes.append(said, found) end
  return arguments or nil
end

--- All values of a text as calls, when nothing else is in it but fences, tokens and these tags.
local function calls_in(text, names, said, marked, tags)
  local list, too_deep = scan.values(text, 1, MAX_DEPTH)
  if too_deep or #list == 0 then return nil end
  local calls, pos, lead = {}, 1, ""
  for i, found in ipairs(list) do
    local gap = without_marks(sub(text, pos, found.first - 1), tags)
    if i == 1 then lead = gap elseif find(gap, "[^%s,;]") then return nil end
    if found.cut or not add_calls(calls, found.value, names, said, marked) then return nil end
    notes.append(said, found)
    pos = found.last + 1
  end
  if find(without_marks(sub(text, pos), tags), "[^%s;`%]})]") then return nil end
  return calls, lead
end

-- ---- the ways to write a call --------------------------------------------------------------------------------------------

--- <parameter=city>Oslo</parameter>: values are JSON where they are strictly that, else text.
local function tagged_parameters(body)
  local arguments, order = {}, {}
  for key, value in body:gmatch "<parameter=([^>\n]+)>(.-)</parameter>" do
    value = match(value, "^\n?(.-)\n?$")
    local decoded, err = engine.decode(value, { ordered = true, exact = true })
    key = trim(key)
    if arguments[key] == nil then order[#order + 1] = key end
    if err ~= nil or type(decoded) == "string" then arguments[key] = value else arguments[key] = decoded end
  end
  return engine.object(arguments, order)
end

--- <function=name>{...}</function>, <function=name><parameter=key>value</parameter></function>
local function function_tags(text, names, said)
  local calls, pos = {}, 1
  while true do
    local name, after = match(text, "^[%s,;]*<function=[\"']?([%w_.:/%-]+)[\"']?>()", pos)
    if not name then break end
    local stop, last = find(text, "</function>", after, true)
    local body = sub(text, after, (stop or #text + 1) - 1)
    local arguments
    if find(body, "^%s*<parameter=") then
      if not stop then return nil end
      arguments = tagged_parameters(body)
    elseif find(without_marks(body), "^$") then
      arguments = engine.object {}
    else
      arguments = arguments_in(body, 1, said)
    end
    if not arguments then return nil end
    calls[#calls + 1] = { name = resolve(name, names) or name, arguments = arguments }
    pos = (last or #text) + 1
  end
  if #calls == 0 or without_marks(sub(text, pos), { "</tool_call>", "<tool_call>" }) ~= "" then return nil end
  return calls
end

--- get_weather(city="Oslo"), [get_weather(city='Oslo'), now()]: calls of tools there are, and of no other.
local function python_calls(body, names)
  local calls = python.calls(body)
  for _, call in ipairs(calls or {}) do
    call.name = resolve(call.name:gsub("%.call$", ""), names)
    if not call.name then return nil end
  end
  return calls
end

--- get_weather({"city": "Oslo"}), or in Python's notation
local function written_call(text, names, said, tags)
  local body = without_marks(text, tags)
  local name, inside = match(body, "^([%a_][%w_.]*)%s*%(%s*({.*})%s*%);?$")
  if not name then name, inside = match(body, "^print%(([%a_][%w_.]*)%s*%(%s*({.*})%s*%)%s*%);?$") end
  if not name then return python_calls(body, names) end
  name = resolve(name:gsub("%.call$", ""), names)
  local list = name and scan.values(inside, 1, MAX_DEPTH) or {}
  local found = list[1]
  if not found or list[2] or found.cut or found.first ~= 1 or found.last ~= #inside then return nil end
  local arguments = found.kind == "object" and as_arguments(found.value, said)
  if not arguments then return nil end
  notes.append(said, found)
  return { { name = name, arguments = arguments } }
end

--- [TOOL_CALLS]name[ARGS]{...}
local function mistral(text, names, said)
  local name, after = match(text, "^%s*([%w_.%-]+)%s*%[ARGS%]()")
  if not name then return nil end
  local arguments = arguments_in(text, after, said)
  return arguments and { { name = resolve(name, names) or name, arguments = arguments } }
end

--- mark, the tags that may stand round the values behind it
local MARKS = {
  { "<tool_call>", { "<tool_call>", "</tool_call>" } }, { "<tool_calls>", { "<tool_calls>", "</tool_calls>" } },
  { "<function_call>", { "<function_call>", "</function_call>" } }, { "<tools>", { "<tools>", "</tools>" } },
  { "<functioncall>", { "<functioncall>", "</functioncall>" } }, { "<|tool_call|>", {} }, { "[TOOL_CALLS]", { "[TOOL_CALLS]" } },
  { "<|python_tag|>", {} }, { "functools[", { "functools" } }, { "<function=", {} },
}

--- Text with a mark of its own.
local function marked_call(text, names, said)
  local at, mark = first_mark(text, MARKS)
  if not at then return nil end
  local lead = sub(text, 1, at - 1)
  if find(lead, "```", 1, true) and not is_lead_in(without_marks(lead)) then return nil end
  local skip = mark[1] == "functools[" and #"functools" or mark[1] == "<function=" and 0 or #mark[1]
  local body = without_answers(sub(text, at + skip), said)
  local calls
  if find(body, "^%s*<function=") then
    calls = function_tags(body, names, said)
  elseif find(body, "^%s*[%w_.%-]+%s*%[ARGS%]") then
    calls = mistral(body, names, said)
  else
    local before
    calls, before = calls_in(body, names, said, true, mark[2])
    if calls and before ~= "" then calls = nil end
    calls = calls or written_call(body, names, said, mark[2])
  end
  return calls, trim(lead), ("a tool call written as text, marked %s"):format(mark[1])
end

--- ReAct: Action: name, Action Input: {...}
local function react(text, names, said)
  local at, name, after = match(text, "()Action:[ \t]*[`\"'*]*([%w_.%-]+)[`\"'*()]*[ \t]*\n%s*Action Input:()")
  name = resolve(name, names)
  if not name or not begins_line(text, at) then return nil end
  local body = without_answers(sub(text, after), said)
  local arguments = without_marks(body) == "" and engine.object {} or arguments_in(body, 1, said)
  if not arguments then return nil end
  return { { name = name, arguments = arguments } }, trim(sub(text, 1, at - 1)), "a tool call written as Action and Action Input"
end

--- name(...) after at most a short sentence.
local function spoken_call(text, names, said)
  local lead, body = match(text, "^([^\n`(]*)\n(.*)$")
  lead = trim(lead or "")
  if not is_lead_in(lead) then return nil end
  return written_call(body or text, names, said), lead, "a tool call written as text"
end

--- JSON that stands alone.
local function lone_call(text, names, said)
  local calls, lead = calls_in(text, names, said, false)
  if not calls or not is_lead_in(lead) then return nil end
  return calls, lead, "a tool call written as text"
end

local FORMS = { marked_call, react, spoken_call, lone_call }

local function check(text, names, what)
  if type(text) ~= "string" then errors.argument("%s: a text expected, got %s", what, type(text)) end
  if type(names) ~= "table" then errors.argument("%s: a set of tool names expected, got %s", what, type(names)) end
end

--- Is there anything in a text that a call could begin with? Plain searches: nearly all answers are none, and some are long.
local function may_call(text)
  return find(text, "{", 1, true) or find(text, "(", 1, true) or find(text, "[", 1, true) or find(text, "<", 1, true)
    or find(text, "Action:", 1, true)
end

--- The tool calls in a text that a model wrote instead of calling.
---@param text string
---@param names table<string, any> the tools there are, name -> true
---@return stoke.reading.salvaged[]|nil calls nil when the text is no call
---@return string rest what the model said besides; the text itself when there is no call
---@return string[] repairs how the calls were written and what was mended
---Raises `argument`.
---
--- Example: `local calls = salvage.from_text('{"name": "now", "arguments": {}}', { now = true })`
function M.from_text(text, names)
  check(text, names, "salvage.from_text")
  if not may_call(text) then return nil, text, {} end
  local from = scan.past_thinking(text, 1)
  local body = from and strings.rtrim(sub(text, from)) or ""
  for _, form in ipairs(FORMS) do
    local said = notes.new()
    local calls, rest, how = form(body, names, said)
    if calls then
      local repairs = notes.list(said, false)
      table.insert(repairs, 1, how)
      return calls, rest, repairs
    end
  end
  return nil, text, {}
end

--- The tool that a text calls and nothing else, when the call ends in the middle: too little to run, and no answer either.
---@param text string
---@param names table<string, any> the tools there are, name -> true
---@return string|nil name
---Raises `argument`.
---
--- Example: `salvage.cut_call('{"name": "now", "arguments": {"zone": "Eu', { now = true })  --> "now"`
function M.cut_call(text, names)
  check(text, names, "salvage.cut_call")
  local value_begins = find(text, "{", 1, true) or find(text, "[", 1, true)
  if not value_begins and not find(text, "(", 1, true) then return nil end
  local from = scan.past_thinking(text, 1)
  if not from then return nil end
  local body = sub(text, from)
  local called = match(without_marks(body), "^%[?%s*([%a_][%w_.]*)%(%s*[%a_][%w_]*%s*=%s*['\"%d%[{TFN-][^)]*$")
  if called then return resolve(called, names) end
  if not value_begins then return nil end
  local list = scan.values(body, 1, MAX_DEPTH)
  local found = list[1]
  if not found or list[2] or not found.cut then return nil end
  if without_marks(sub(body, 1, found.first - 1), { "<tool_call>", "[TOOL_CALLS]" }) ~= "" then return nil end
  local value = found.value
  while engine.is_array(value) do value = value[#value] end
  if not is_object(value) then return nil end
  if is_object(value["function"]) then value = value["function"] end
  return resolve(value.name, names)
end

-- ---- errors ---------------------------------------------------------------------------------------------------------------

--- The text in errors that are JSON in turn: {"error": {"message": "..."}}.
local function innermost(message)
  for _ = 1, 3 do
    local value = find(message, "^%s*{") and engine.decode(message)
    local inner = is_object(value) and value.error
    if is_object(inner) then inner = inner.message end
    if type(inner) ~= "string" then return message end
    message = inner
  end
  return message
end

--- The one tool an error can be about: the one it names, or the only one there is.
local function tool_in(message, names)
  local quoted = match(message, 'tool call arguments for "([^"]+)"') or match(message, "tool call arguments for '([^']+)'")
  if quoted then return resolve(quoted, names) end
  local named, only_one, count = nil, nil, 0
  for name in next, names do
    count, only_one = count + 1, name
    if find(message, "%f[%w_]" .. name:gsub("%p", "%%%0") .. "%f[^%w_]") then
      if named then return nil end
      named = name
    end
  end
  return named or (count == 1 and only_one or nil)
end

--- Errors about a call that could not be read, and no others.
local function is_about_a_call(message)
  local lower = message:lower()
  if find(lower, "failed to parse input at pos", 1, true) then return true end -- llama-server's reader of answers
  return (find(lower, "tool.call") or find(lower, "function.call") or find(lower, "toolcall")) ~= nil
    and (find(lower, "pars") or find(lower, "invalid") or find(lower, "malformed") or find(lower, "unmarshal")) ~= nil
end

--- What the model wrote, out of the error's text, and the error without it.
local function raw_of(message)
  local first = match(message, "raw='()") or match(message, "raw=`()") or match(message, 'raw="()')
  if not first then return nil, message end
  local last = match(message, "^.*()['`\"],? err=", first) or #message
  return sub(message, first, last - 1), sub(message, 1, first - 1) .. sub(message, last)
end

--- The one value of a text; `sure`: passing over what is hardly meant as JSON.
local function only_value(text, sure)
  local list, too_deep = scan.values(text, 1, MAX_DEPTH)
  local only_one
  for _, found in ipairs(list) do
    if not sure or found.rank == 3 then
      if only_one then return nil end
      only_one = found
    end
  end
  return not too_deep and only_one and not only_one.cut and only_one or nil
end

--- The tool call in the text of an error: the server refused what the model wrote because it is no JSON.
---@param message string the error's text as the server sent it
---@param names table<string, any> the tools there are, name -> true
---@return stoke.reading.salvaged[]|nil calls nil when the text holds too little, or a call cut in the middle of a value
---@return string[] repairs
---Raises `argument`.
---
--- Example: `local calls = salvage.from_error(err.message, { get_weather = true })`
function M.from_error(message, names)
  check(message, names, "salvage.from_error")
  message = innermost(message)
  if not is_about_a_call(message) then return nil, {} end
  local raw, about = raw_of(message)
  local said = notes.new()
  local found = only_value(raw or message, raw == nil)
  if not found then return nil, {} end
  local calls = {}
  if not add_calls(calls, found.value, names, said, raw ~= nil) then
    if not raw then about = sub(message, 1, found.first - 1) .. sub(message, found.last + 1) end
    local name = tool_in(about, names)
    local arguments = name and found.kind == "object" and as_arguments(found.value, said)
    if not arguments then return nil, {} end
    calls = { { name = name, arguments = arguments } }
  end
  notes.append(said, found)
  local repairs = notes.list(said, false)
  table.insert(repairs, 1, "a tool call that the server refused read again")
  return calls, repairs
end

return M
