--- What a C program asks of the host it holds (host/api/stoke.h): in place of lua/boot.lua, which runs a command line. Each order
--- is a task of its own, whose end is told to the program.

local coro = require "core.coro"
pcall, xpcall, coroutine.wrap, coroutine.resume = coro.pcall, coro.xpcall, coro.coroutine.wrap, coro.coroutine.resume

local errors = require "core.errors"
local host = require "host.embedder"
local json = require "core.json"
local keeper = require "core.keeper"
local overrun = require "core.overrun"
local stop = require "host.task".stop
local tasks = require "core.task"
local texts = require "core.text"

local M = {}

local calls = {} -- number -> task; each tells its error by itself
local home = tasks.supervisor("the program", function() end)

--- A value as the program gets it.
local function told(value)
  if value == nil then return "null" end
  local text, err = json.encode(value)
  if not text then errors.argument("what was returned is no data: %s", err.message) end
  return text
end

-- ---- orders: each gives the JSON that it ends with ------------------------------------------------------------------------------

local ORDERS = {}

--- The flags of the program, put into force.
function ORDERS.open(_, _, words) require "stoke.cmd".embed(words) end

function ORDERS.run(path, _, words)
  require "stoke.cmd".check_file(path)
  local script = require "core.script"
  local ok, err = xpcall(script.run_file, errors.handler, path, words)
  keeper.exit_code = nil
  if not ok and not (err.kind == "exit" and err.code == 0) then error(err, 0) end
end

function ORDERS.load(path)
  require "stoke.cmd".check_file(path)
  require "core.script".run_body(path)
end

function ORDERS.chunk(name, code)
  local env = require "core.env".globals
  local chunk, problem = load(code, "=" .. name, "t", env)
  if not chunk then errors.raise("script", problem, { hint = "nothing of it was run" }) end
  return told((chunk()))
end

--- The function with this name, "MODULE.NAME".
local function find(name)
  local path, field = name:match "^(.+)%.([^.]+)$"
  if not path then errors.argument("a function is called by its module and name, MODULE.NAME, not by %q", name) end
  local module = require "core.env".globals.require(path)
  local f = type(module) == "table" and module[field]
  if f and errors.callable(f) then return f end
  local names = {}
  for key, value in next, type(module) == "table" and module or {} do
    if type(key) == "string" and errors.callable(value) then names[#names + 1] = key end
  end
  local near = errors.suggest(field, names)
  errors.raise("argument", ("the module %s has no function %s"):format(path, field),
    { hint = near and ("did you mean %s.%s?"):format(path, near) or "it is a field of the table that the file returns" })
end

function ORDERS.call(name, arguments)
  local f = find(name)
  local list, err = {}, nil
  if arguments then list, err = json.decode(arguments) end
  if err then errors.raise("argument", ("the arguments of %s are no JSON: %s"):format(name, err.message)) end
  if type(list) ~= "table" or next(list) ~= nil and #list == 0 then
    errors.argument("the arguments of %s must be a JSON array", name)
  end
  local count = #list
  for i = 1, count do
    if list[i] == json.null then list[i] = nil end
  end
  return told((f(table.unpack(list, 1, count))))
end

-- ---- their end ------------------------------------------------------------------------------------------------------------------

local function failure(task)
  local err = task.err
  if task.state == "cancelled" then err = keeper.deadlock or err end
  return err.kind, texts.valid(tostring(err.message)), err.hint and texts.valid(tostring(err.hint)) or nil
end

local function report(number, task)
  while not task.state do pcall(task.await, task) end
  calls[number] = nil
  local ok
  if task.state == "done" then
    ok = host.answer(number, task.value or "null")
  else
    ok = host.answer(number, nil, failure(task))
  end
  if next(calls) == nil then keeper.deadlock = nil end
  if not ok then stop(1) end -- no memory for a few bytes; the program is told that the host has stopped
end

local function on_deadlock(err)
  keeper.deadlock = err
  for _, task in next, calls do task:cancel(err.message) end
  return true
end

--- Cancels all that runs, and gives the durable runs up: they go on where they are started next.
function ORDERS.close()
  local me = tasks.current()
  local script = require "core.script"
  for _, task in next, calls do
    if task ~= me then task:cancel "the program closes its host" end
  end
  for _, task in next, calls do
    while task ~= me and not task.state do pcall(task.await, task) end
  end
  script.end_timers()
  if keeper.last then keeper.last() end
end

--- Begin to do what the program asks for.
---@param number integer by which its end is told
---@param kind "open"|"run"|"load"|"chunk"|"call"|"cancel"|"close"
---@param first? string
---@param second? string
---@param words string[]
local function begin(number, kind, first, second, words)
  if kind == "cancel" then
    local task = calls[number]
    if task then task:cancel "the program cancelled it" end
    return
  end
  local task = tasks.start(home, first or kind, ORDERS[kind], first, second, words)
  calls[number] = task
  tasks.start(tasks.system, "embedder", report, number, task)
end

--- Once, before the first order; `begin` is what the program calls from then on.
---@return fun(number: integer, kind: string, first?: string, second?: string, words: string[])
function M.start()
  keeper.start()
  overrun.start()
  keeper.on_deadlock = on_deadlock
  return begin
end

return M
