--- A line typed by somebody who looks into this host: a colon command, a look-up by dotted name, or, for those who may write, Lua.

local approve = require "stoke.approve"
local errors = require "core.errors"
local printer = require "stoke.repl.print"
local globals = require "core.env".globals
local inspect = require "stoke.inspect"
local json = require "core.json"
local words = require "stoke.agent.texts"
local time = require "stoke.time"

local M = {}

--- Of what is shown, for a client that does not say how wide its terminal is; names of a table that are looked at; words sent.
local COLUMNS, LOOKED_AT, COMPLETIONS = 100, 10000, 500

-- ---- commands ---------------------------------------------------------------------------------------------------------------

local function given(word) return word == "" and "nothing" or errors.describe(word) end

local function number(word, what)
  local n = math.tointeger(tonumber(word))
  if not n then errors.argument("%s wants a number, got %s", what, given(word)) end
  return n
end

--- Working out a request calls the functions that the agent has: for its instructions, summaries, and agents made later.
local function check_request(whose)
  local definition = type(whose) == "string" and inspect.agent(whose).definition or inspect.session(whose).handle.definition
  for name, field in next, { instructions = "instructions", summarize = "summarize", complete = "handoffs" } do
    if errors.callable(definition[name]) then
      errors.raise("denied", ("a function of the agent %s would run, that of its %s"):format(definition.label, field),
        { hint = "stoke attach --write" })
    end
  end
  for _, name in ipairs { "schema", "summary" } do
    if errors.callable(words.template(name, definition.texts)) then
      errors.raise("denied", ("a function of the agent %s would run, that of its text %s"):format(definition.label, name),
        { hint = "stoke attach --write" })
    end
  end
end

--- name -> { usage, summary, run = fun(rest, run: fun(code: string), write: boolean): string, write? = it changes something }
---@type table<string, { usage: string, summary: string, run: fun(rest, run, write): string, write?: boolean }>
M.commands = {
  tasks = { usage = ":tasks [NUMBER|all]", summary = "what lives and what it waits for; the stack of one", run = function(rest)
    if rest == "" or rest == "all" then return inspect.tasks(rest == "all") end
    return inspect.traceback(number(rest, ":tasks"))
  end },
  agents = { usage = ":agents", summary = "agents, their models and tools", run = function() return inspect.agents() end },
  sessions = { usage = ":sessions", summary = "conversations", run = function() return inspect.sessions() end },
  messages = { usage = ":messages SESSION", summary = "what was said in one",
    run = function(rest) return inspect.messages(number(rest, ":messages")) end },
  window = { usage = ":window SESSION", summary = "how full its context window is",
    run = function(rest) return inspect.window(number(rest, ":window")) end },
  request = { usage = ":request SESSION|AGENT [TEXT]", summary = "the exact request its next turn would send",
    run = function(rest, _, write)
      local word, text = rest:match "^(%S*)%s*(.*)$"
      local whose = math.tointeger(tonumber(word)) or word
      if whose == "" then errors.argument ":request wants the number of a session, or the name of an agent" end
      if not write then check_request(whose) end
      return inspect.request(whose, text ~= "" and text or nil)
    end },
  pool = { usage = ":pool", summary = "slots of each model, and who waits for one", run = function() return inspect.pool() end },
  models = { usage = ":models", summary = "the models of the server", run = function() return inspect.models() end },
  pending = { usage = ":pending", summary = "what waits for approval", run = function() return inspect.pending() end },
  reload = { usage = ":reload [MODULE]", summary = "load changed files again, or a module", write = true, run = function(rest)
    local reload = require "stoke.reload"
    local report = rest == "" and reload.all() or reload.module(rest)
    local text = reload.text(report)
    return text ~= "" and text:gsub("\n*$", "\n") or "nothing has changed\n"
  end },
  watch = { usage = ":watch [on|off]", summary = "load changed files again as they are saved", write = true, run = function(rest)
    if rest ~= "on" and rest ~= "off" then errors.argument(":watch wants on or off, got %s", given(rest)) end
    require "stoke.reload".watch(rest == "on")
    return ("watching: %s\n"):format(rest)
  end },
  time = { usage = ":time CODE", summary = "run it and say how long that took", write = true, run = function(rest, run)
    local began = time.monotonic()
    run(rest)
    return ("%.3f s\n"):format(time.monotonic() - began)
  end },
  quit = { usage = ":quit", summary = "leave (Ctrl-D does too)", run = function() return "" end }, -- the client does that
  cancel = { usage = ":cancel TASK", summary = "cancel a task", write = true, run = function(rest)
    inspect.cancel(number(rest, ":cancel"), "cancelled by somebody attached to the host")
    return "cancelled\n"
  end },
  approve = { usage = ":approve NUMBER", summary = "let a pending call be made", write = true, run = function(rest)
    approve.find(rest, ":approve"):approve()
    return "approved\n"
  end },
  reject = { usage = ":reject NUMBER [REASON]", summary = "refuse a pending call", write = true, run = function(rest)
    local word, reason = rest:match "^(%S*)%s*(.*)$"
    approve.find(word, ":reject"):reject(reason ~= "" and reason or nil)
    return "rejected\n"
  end },
  edit = { usage = ":edit NUMBER JSON", summary = "let a pending call be made with other arguments", write = true,
    run = function(rest)
      local word, text = rest:match "^(%S*)%s*(.*)$"
      local entry = approve.find(word, ":edit")
      local args, err = json.decode(text)
      if type(args) ~= "table" then
        errors.argument(":edit wants the arguments as JSON: %s", err and err.message or errors.describe(args))
      end
      entry:edit(args)
      return "approved with these arguments\n"
    end },
}

M.commands.help = { usage = ":help", summary = "this", run = function()
  local names, out, width = {}, {}, 0
  for name, command in next, M.commands do
    names[#names + 1] = name
    width = math.max(width, #command.usage)
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local command = M.commands[name]
    out[i] = ("%-" .. width .. "s  %s%s\n"):format(command.usage, command.summary, command.write and " (with --write)" or "")
  end
  out[#out + 1] = "A dotted name (stoke.version, config.models[1]) is looked up; with --write it is Lua, and ?name is explained.\n"
  return table.concat(out)
end }

local function run_command(text, write, run)
  local name, rest = text:match "^:(%S*)%s*(.-)%s*$"
  local command = M.commands[name]
  if not command then
    local names = {}
    for known in next, M.commands do names[#names + 1] = known end
    local near = errors.suggest(name, names)
    errors.argument("there is no command :%s%s", name, near and (" (did you mean :%s?)"):format(near) or "; :help lists them")
  end
  if command.write and not write then
    errors.raise("denied", (":%s changes something"):format(name), { hint = "stoke attach --write" })
  end
  return command.run(rest, run, write)
end

-- ---- look-ups -------------------------------------------------------------------------------------------------------------------

--- The value of a dotted name, by raw access alone: nothing is called, no metamethod runs.
---@param text string
---@return any
---Raises `argument`.
---
--- Example: `console.lookup "stoke.version"`
function M.lookup(text)
  local name, at = text:match "^%s*([%a_][%w_]*)()"
  if not name then
    errors.raise("denied", "only names can be looked up here: a.b[1].c", { hint = ":help, or stoke attach --write to run Lua" })
  end
  local value = rawget(globals, name)
  if value == nil then value = rawget(globals.package.loaded, name) end
  if value == nil and package.loaded["stoke." .. name] then value = package.loaded["stoke." .. name] end
  if value == nil and name == "stoke" then value = package.loaded.stoke end
  local path = name
  while text:find("%S", at) do
    local key, stop = text:match("^%s*%.%s*([%a_][%w_]*)()", at)
    if not key then
      local inner
      inner, stop = text:match("^%s*%[%s*(%-?%d+)%s*%]()", at)
      key = inner and math.tointeger(tonumber(inner))
      if not inner then key, stop = text:match("^%s*%[%s*[\"']([^\"']*)[\"']%s*%]()", at) end
    end
    if not stop then
      errors.raise("denied", ("only names can be looked up here, not %q"):format(text:sub(at)),
        { hint = "stoke attach --write runs Lua" })
    end
    if type(value) ~= "table" then
      errors.argument("%s is %s: it has no fields", path, value == nil and "nil" or "a " .. type(value))
    end
    value, at = rawget(value, key), stop
    path = ("%s[%s]"):format(path, tostring(key))
  end
  return value
end

-- ---- completion -------------------------------------------------------------------------------------------------------------

--- Names in a table, by raw access alone, as lookup finds them.
local function names_in(out, value, start)
  if type(value) ~= "table" then return end
  local looked_at = 0
  for name in next, value do
    looked_at = looked_at + 1
    if looked_at > LOOKED_AT then return end
    if type(name) == "string" and name:find "^[%a_][%w_]*$" and name:sub(1, #start) == start then out[name] = true end
  end
end

--- Of a dotted name, for who may only look.
local function complete_name(before)
  local path, start = before:match "^%s*(.-)%.?([%a_]?[%w_]*)$"
  local found, list = {}, {}
  if path == "" then
    names_in(found, globals, start)
    names_in(found, globals.package.loaded, start)
  else
    local ok, value = pcall(M.lookup, path)
    if not ok then return nil end
    names_in(found, value, start)
  end
  for name in next, found do list[#list + 1] = name end
  table.sort(list)
  return #before - #start + 1, list
end

--- What Tab may make of the word before the cursor.
---@param before string
---@param write? boolean whether Lua may be entered
---@param client? string
---@return integer|nil from byte where the word begins
---@return string[]|nil list
---
--- Example: `console.complete(":pen")`
function M.complete(before, write, client)
  local start = before:match "^%s*:(%l*)$"
  if start then
    local list = {}
    for name, command in next, M.commands do
      if name:sub(1, #start) == start and (write or not command.write) then list[#list + 1] = name end
    end
    table.sort(list)
    return #before - #start + 1, list
  end
  if before:find "^%s*:" and not before:find "^%s*:time%s" and not before:find "^%s*::" then return nil end
  if write then return require "stoke.attach.eval".complete(before, client or "") end
  return complete_name(before)
end

-- ---- a line -----------------------------------------------------------------------------------------------------------------

--- Do what a line says, and write what comes of it. An error is written, too.
---@param asked { line: string, write?: boolean, client?: string, columns?: integer, complete?: boolean } complete: the line is what
---  stands before the cursor; the answer is JSON, { from, list }
---@param write fun(text: string)
---
--- Example: `console.run({ line = ":tasks" }, io.write)`
function M.run(asked, write)
  if asked.complete then
    local _, from, list = pcall(M.complete, asked.line, asked.write, asked.client)
    local known = math.type(from) == "integer" and type(list) == "table"
    local answer = known and { from = from, list = require("stoke.json").array(table.move(list, 1, COMPLETIONS, 1, {})) } or {}
    return write(json.encode(answer) .. "\n")
  end
  local text = asked.line:match "^%s*(.-)%s*$"
  if text == "" then return end
  local columns = math.tointeger(asked.columns)
  columns = columns and math.max(20, math.min(columns, 1000)) or COLUMNS
  local function run(code) require "stoke.attach.eval".run(code, asked.client or "", write, columns) end
  local ok, err = pcall(function()
    if text:find "^:" and not text:find "^::" then
      write(run_command(text, asked.write, run))
    elseif asked.write then
      run(text)
    else
      write(printer.show(M.lookup(text), { columns = columns, depth = 3, items = 20, raw = true }) .. "\n")
    end
  end)
  if ok then return end
  if errors.is(err) and err.kind == "cancelled" then error(err, 0) end
  write(tostring(errors.wrap(err)) .. "\n")
end

return M
