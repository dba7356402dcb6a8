--- Scripted replies: what an author writes for a model to say, in one form wherever a model is scripted: t.model in a test,
--- `--sim=FILE.lua`, STOKE_SIM, `stoke sim --script FILE`, and `sim.new { script = }`.
---
--- A script is a list of replies for the first, second, ... request, or a function (request, n) that returns the reply. A file of
--- replies returns one of them. A reply is
---
---     "Hello"                                              a text
---     { tool = "get_weather", args = { city = "Oslo" } }   a call of a tool
---     { { tool = "a", args = {} }, { tool = "b" } }        several calls
---     { json = { city = "Oslo", temp = 4 } }               a structured answer
---     { error = "boom", status = 500 }                     a refusal
---     function(request, n) return "..." end                one of these, made when it is asked for
---
--- and may hold besides:
---
---     text = "Let me see.", thinking = "...",              beside calls, too
---     done_reason = "length",
---     delay = 1.5,                                         seconds before the first token
---     tps = 20,                                            tokens a second
---     error_after = 3,                                     the error comes as a line after so many tokens
---     cut = { 3, 1, 40 },                                  the bytes go out in pieces of these sizes; "random"
---     fault = "reset"                                      see stdlib/sim/faults.lua
---
--- The long form of calls is taken, too: tool_calls = { { name = "f", arguments = { a = 1 }, id = "call_1" } }. `arguments` as a
--- text goes out as it is, whether it is JSON or not. `request` is the decoded body, with endpoint = "chat" or "generate". A
--- function runs inside the simulator's scheduler and must not wait. After the last reply of a list, and where a function
--- returns nil, the simulator's own rules answer; in a test that is a failure.

local errors = require "core.errors"
local faults = require "stoke.sim.faults"

local M = {}

local FORMS = 'a reply is a text, { tool = "name", args = { ... } }, a list of such calls, { json = value } or { error = "text" }'

local CALL = { tool = "string", name = "string", args = "table", arguments = true, id = "string", ["function"] = "table",
  type = true }
local FIELDS = {
  text = "string", thinking = "string", tool_calls = "table", json = true, done_reason = "string", delay = "number", tps = "number",
  error = "string", status = "number", error_after = "number", cut = true, fault = "string",
}
for name, kind in next, CALL do
  if name ~= "type" and name ~= "function" then FIELDS[name] = kind end
end
--- What is called otherwise elsewhere.
local MEANT = { content = "text", response = "text", message = "text", calls = "tool_calls", reasoning = "thinking",
  parameters = "args", input = "args" }

local function wrong(where, format, ...)
  errors.raise("argument", ("%s: %s"):format(where, format:format(...)), { hint = FORMS })
end

local function sorted(names)
  table.sort(names)
  return names
end

local function check_fields(given, known, where, first)
  local names = {}
  for name in next, given do
    if not (math.type(name) == "integer" and name >= 1 and name <= first) then names[#names + 1] = name end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    local wanted = known[name]
    if not wanted then
      local all = {}
      for candidate in next, known do all[#all + 1] = candidate end
      local near = type(name) == "string" and (known[MEANT[name]] and MEANT[name] or errors.suggest(name, sorted(all)))
      wrong(where, "unknown field %s%s", tostring(name), near and (" (did you mean %s?)"):format(near) or "")
    elseif wanted ~= true and type(given[name]) ~= wanted then
      wrong(where, "%s must be a %s, got %s", name, wanted, errors.describe(given[name]))
    end
  end
end

--- A call in either form: { name, arguments, id }.
local function call_of(given, where)
  if type(given) ~= "table" then
    wrong(where, 'a call is { tool = "name", args = { ... } }, got %s', errors.describe(given))
  end
  check_fields(given, CALL, where, 0)
  local wire = given["function"] -- as it stands in a request
  if wire then
    check_fields(wire, { name = "string", arguments = true, index = true }, where, 0)
    return { name = wire.name or wrong(where, "a call needs a name"), arguments = wire.arguments, id = given.id }
  end
  if given.tool and given.name then wrong(where, "tool and name are two words for one thing") end
  if given.args and given.arguments ~= nil then wrong(where, "args and arguments are two words for one thing") end
  local name, arguments = given.tool or given.name, given.args or given.arguments
  if not name then
    wrong(where, 'a call needs the name of its tool: { tool = "get_weather", args = { city = "Oslo" } }')
  end
  return { name = name, arguments = arguments == nil and {} or arguments, id = given.id }
end

--- The calls of a reply, from all places where they may stand.
local function calls_of(given, where)
  local calls = {}
  local function add(list)
    for _, call in ipairs(list) do
      calls[#calls + 1] = call_of(call, ("%s, call %d"):format(where, #calls + 1))
    end
  end
  if given.tool_calls then
    errors.list(where .. ": tool_calls", given.tool_calls)
    add(given.tool_calls)
  end
  add(given)
  if given.tool or given.name then
    calls[#calls + 1] = call_of({ tool = given.tool, name = given.name, args = given.args, arguments = given.arguments,
      id = given.id }, where)
  else
    for _, name in ipairs { "args", "arguments", "id" } do
      if given[name] ~= nil then wrong(where, "%s without the tool they are for", name) end
    end
  end
  return calls[1] and calls or nil
end

local function at_least(given, where, name, least)
  local value = given[name]
  if value and not (value >= least and value < math.huge) then
    wrong(where, "%s must be %g or more, got %s", name, least, tostring(value))
  end
end

local function check_numbers(given, where)
  at_least(given, where, "delay", 0)
  at_least(given, where, "tps", 0)
  at_least(given, where, "error_after", 0)
  local status = given.status
  if status and not (math.tointeger(status) and status >= 300 and status <= 599) then
    wrong(where, "status must be that of an error, 300 to 599, got %s", tostring(status))
  end
  for _, name in ipairs { "status", "error_after" } do
    if given[name] and not given.error then wrong(where, "%s without an error", name) end
  end
end

local function check_cut(cut, where)
  if cut == nil or cut == "random" then return end
  local good = type(cut) == "table" and cut[1] ~= nil
  for _, size in ipairs(good and cut or {}) do good = good and math.type(size) == "integer" and size > 0 end
  if not good then wrong(where, 'cut must be a list of sizes or "random", got %s', errors.describe(cut)) end
end

local function check_fault(fault, where)
  if not fault or faults.parse(fault) then return end
  local near = errors.suggest(fault, faults.NAMES)
  wrong(where, "no fault '%s'%s", fault, near and (" (did you mean %s?)"):format(near)
    or "; known: " .. table.concat(faults.NAMES, ", "))
end

--- Read one reply.
---@param given any as an author writes it, but no function
---@param where string for messages: the file and the number of the reply
---@return table reply { text?, thinking?, tool_calls? = { { name, arguments, id? } }, done_reason?, delay?, tps?, error?, ... }
---Raises `argument`.
---
--- Example: `local reply = script.reply({ tool = "get_weather", args = { city = "Oslo" } }, "reply 1")`
function M.reply(given, where)
  if type(given) == "string" then return { text = given } end
  if type(given) ~= "table" then wrong(where, "a text, a table or a function expected, got %s", errors.describe(given)) end
  if next(given) == nil then wrong(where, "the reply is empty; a model that says nothing is the text \"\"") end
  check_fields(given, FIELDS, where, #given)
  local calls = calls_of(given, where)
  check_numbers(given, where)
  check_cut(given.cut, where)
  check_fault(given.fault, where)
  local text = given.text
  if given.json ~= nil then
    if text then wrong(where, "text and json are two answers") end
    local encoded, err = require "core.json".encode(given.json)
    if not encoded then wrong(where, "json: %s", err.message) end
    text = encoded
  end
  return { text = text, thinking = given.thinking, tool_calls = calls, done_reason = given.done_reason, delay = given.delay,
    tps = given.tps, error = given.error, status = given.status, error_after = given.error_after, cut = given.cut,
    fault = given.fault }
end

--- A script that has been read: replies are read already, but those that functions make.
---@class stoke.sim.script
---@field name string for messages
---@field list? table[]|function[] replies
---@field make? fun(request: table, n: integer): any
local Script = {}
Script.__index = Script
Script.__name = "stoke.sim.script"

--- Validate a whole script, so that mistakes are reported before the first request.
---@param given table|function a list of replies or a function
---@param name string for messages: the file, or the option
---@return stoke.sim.script
---Raises `argument`: the name, the number of the reply, and what is wrong with it.
---
--- Example: `local replies = script.read({ "Hello" }, "replies.lua")`
function M.read(given, name)
  if getmetatable(given) == Script then return given end
  if type(given) == "function" then return setmetatable({ name = name, make = given }, Script) end
  if type(given) ~= "table" then
    errors.raise("argument", ("%s: a list of replies or a function expected, got %s"):format(name, errors.describe(given)),
      { hint = FORMS })
  end
  local keys = {}
  for key in next, given do
    if math.type(key) ~= "integer" then keys[#keys + 1] = tostring(key) end
  end
  if keys[1] then
    errors.raise("argument", ("%s: a list of replies expected; for one reply write { { %s = ... } }"):format(name, sorted(keys)[1]),
      { hint = FORMS })
  end
  errors.list(name, given)
  local list = {}
  for i, reply in ipairs(given) do
    list[i] = type(reply) == "function" and reply or M.reply(reply, ("%s: reply %d"):format(name, i))
  end
  return setmetatable({ name = name, list = list }, Script)
end

--- The reply to a request.
---@param request table
---@param n integer which request it is
---@return table|nil reply nil where the script has none
---@return string|nil failed what went wrong in a function of it
---
--- Example: `local reply, failed = replies:answer(request, 1)`
function Script:answer(request, n)
  local entry = self.make
  if not entry then entry = self.list[n] end
  if type(entry) ~= "function" then return entry end
  local where = self.make and ("the function's reply to request %d"):format(n) or ("reply %d"):format(n)
  local ok, made = pcall(entry, request, n)
  if ok then
    if made == nil then return nil end
    ok, made = pcall(M.reply, made, ("%s: %s"):format(self.name, where))
    if ok then return made end
    return nil, made.message
  end
  return nil, ("%s: %s: %s"):format(self.name, where, type(made) == "table" and rawget(made, "message") or tostring(made))
end

--- What a failure of a script begins with on the wire; stdlib/ollama/failures.lua knows it.
M.FAILED = "stoke sim: the script failed: "

--- The function that answers in the simulator.
---@param given table|function|stoke.sim.script|nil
---@param name? string for messages
---@return (fun(request: table, n: integer): table?, string?)?
---Raises as read.
---
--- Example: `local answer = script.answerer { "Hello" }`
function M.answerer(given, name)
  if given == nil then return nil end
  local script = M.read(given, name or "the script")
  return function(request, n)
    local reply, failed = script:answer(request, n)
    return reply, failed and M.FAILED .. failed
  end
end

--- Run the text of a file of replies, and read what it returns.
---@param text string
---@param name string for messages
---@return stoke.sim.script|nil
---@return stoke.error? err kind `script`: the file, the reply, and what is wrong with it
---
--- Example: `local replies, err = script.compile('return { "Hello" }', "replies.lua")`
function M.compile(text, name)
  local chunk, err = load(text, "@" .. name, "t")
  if not chunk then return nil, errors.new("script", err) end
  local ok, value = pcall(chunk)
  if not ok then
    return nil, errors.is(value) and value or errors.new("script", type(value) == "string" and value or errors.describe(value))
  end
  if type(value) ~= "function" and type(value) ~= "table" then
    return nil, errors.new("script", ("%s: a file of replies returns a list of them or a function, not %s"):format(name,
      errors.describe(value)), { hint = FORMS })
  end
  ok, value = pcall(M.read, value, name)
  if ok then return value end
  return nil, errors.new("script", value.message, { hint = value.hint })
end

--- Read a file of replies.
---@param path string
---@return stoke.sim.script|nil
---@return stoke.error? err kind `usage` for a file that cannot be read, else as compile
---
--- Example: `local replies, err = script.load "replies.lua"`
function M.load(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, errors.new("usage", "cannot read the script: " .. problem) end
  local text
  text, problem = file:read "a"
  file:close()
  if not text then return nil, errors.new("usage", "cannot read the script: " .. problem) end
  return M.compile(text, path)
end

return M
