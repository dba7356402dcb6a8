--- A line typed by somebody who looks into this host: a colon command, a look-up by dotted name, or, for those who may write, Lua.

local approval = require "core.approval"
local errors = require "core.errors"
local texts = require "core.text"
local globals = require "core.env".globals
local inspect = require "stoke.inspect"
local time = require "stoke.time"

local M = {}

-- ---- commands ---------------------------------------------------------------------------------------------------------------

local function given(word) return word == "" and "nothing" or errors.describe(word) end

local function number(word, what)
  local n = math.tointeger(tonumber(word))
  if not n then errors.argument("%s wants a number, got %s", what, given(word)) end
  return n
end

local function pending(word, what)
  local id = number(word, what)
  for _, entry in ipairs(approval.list()) do
    if entry.id == id then return entry end
  end
  errors.argument("nothing waits under the number %d; :pending lists what does", id)
end

--- Working out a request calls the functions that the agent has: for its instructions, summaries, and agents made later.
local function check_request(id)
  local definition = inspect.session(id).handle.definition
  for name, field in next, { instructions = "instructions", summarize = "summarize", complete = "handoffs" } do
    if type(definition[name]) == "function" then
      errors.raise("denied", ("a function of the agent %s would run, that of its %s"):format(definition.label, field),
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
  request = { usage = ":request SESSION [TEXT]", summary = "the exact request its next turn would send",
    run = function(rest, _, write)
      local word, text = rest:match "^(%S*)%s*(.*)$"
      local id = number(word, ":request")
      if not write then check_request(id) end
      return inspect.request(id, text ~= "" and text or nil)
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
    pending(rest, ":approve"):approve()
    return "approved\n"
  end },
  reject = { usage = ":reject NUMBER [REASON]", summary = "refuse a pending call", write = true, run = function(rest)
    local word, reason = rest:match "^(%S*)%s*(.*)$"
    pending(word, ":reject"):reject(reason ~= "" and reason or nil)
    return "rejected\n"
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

-- ---- values ---------------------------------------------------------------------------------------------------------------------

local SHOWN, LOOKED_AT, DEPTH, LONG = 20, 1000, 3, 300

local function name_of(value)
  local mt = debug.getmetatable(value)
  local name = type(mt) == "table" and rawget(mt, "__name")
  return ("%s: %p"):format(type(name) == "string" and name:sub(1, 100) or type(value), value)
end

local show

--- Keys in order, of the first LOOKED_AT there are: a table may have millions.
local function keys_of(value)
  local keys = {}
  for key in next, value do
    keys[#keys + 1] = key
    if #keys == LOOKED_AT then break end
  end
  table.sort(keys, function(a, b)
    local x, y = type(a), type(b)
    if x ~= y then return x < y end
    return (x == "number" or x == "string") and a < b
  end)
  return keys
end

local function show_table(value, depth)
  local parts = {}
  for i, key in ipairs(keys_of(value)) do
    if i > SHOWN then
      parts[i] = "..."
      break
    end
    local shown = show(rawget(value, key), depth + 1)
    local name = type(key) == "string" and key:find "^[%a_][%w_]*$" and key or ("[%s]"):format(show(key, DEPTH))
    parts[i] = key == i and shown or ("%s = %s"):format(name, shown)
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

--- A value in one line, by raw access alone, as lookup finds it.
function show(value, depth)
  local kind = type(value)
  if kind == "string" then
    local cut = #value > LONG and texts.head(value, LONG)
    return ("%q"):format(cut or value):gsub("\\\n", "\\n"):gsub("\r", "\\r") .. (cut and "..." or "")
  elseif kind == "nil" or kind == "boolean" or kind == "number" then
    return tostring(value)
  elseif kind ~= "table" then
    return name_of(value)
  elseif depth >= DEPTH then
    return next(value) == nil and "{}" or "{...}"
  end
  local name = debug.getmetatable(value) and name_of(value) .. " " or ""
  return name .. show_table(value, depth)
end

-- ---- a line -----------------------------------------------------------------------------------------------------------------

--- Do what a line says, and write what comes of it. An error is written, too.
---@param asked { line: string, write?: boolean, client?: string }
---@param write fun(text: string)
---
--- Example: `console.run({ line = ":tasks" }, io.write)`
function M.run(asked, write)
  local text = asked.line:match "^%s*(.-)%s*$"
  if text == "" then return end
  local function run(code) require "stoke.attach.eval".run(code, asked.client or "", write) end
  local ok, err = pcall(function()
    if text:find "^:" and not text:find "^::" then
      write(run_command(text, asked.write, run))
    elseif asked.write then
      run(text)
    else
      write(show(M.lookup(text), 0) .. "\n")
    end
  end)
  if ok then return end
  if errors.is(err) and err.kind == "cancelled" then error(err, 0) end
  write(tostring(errors.wrap(err)) .. "\n")
end

return M
