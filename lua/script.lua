--- Runs a script: loads its file, then what it gave to stoke.main.

local effect = require "core.effect"
local contexts = require "core.context"
local errors = require "core.errors"
local modules = require "core.modules"
local scopes = require "core.scope"
local source = require "core.source"
local tasks = require "core.task"

local M = {}

--- What stoke.main was given; the last call counts.
M.main = nil

--- The script's own words.
M.args = {}

--- Say what the script does. The body of a file only defines; this runs once the file is loaded, as the first task.
---@param f fun(args: string[]): any
---
--- Example: `stoke.main(function(args) print(#args) end)`
function M.on_main(f)
  errors.check_callable(f, "stoke.main")
  M.main = f
end

local timer_scope

--- The script has ended, or is being cancelled: its timers end too, with what they have open.
function M.end_timers()
  local scope = timer_scope
  timer_scope = nil
  if not scope then return end
  scopes.cancel(scope, errors.new("cancelled", "the script has ended"))
  scopes.join(scope)
  scopes.stop_alarms(scope)
end

--- The supervisor of stoke.every: a child's error is logged, the others live on.
function M.timers()
  if not timer_scope then
    local me = tasks.current()
    local tape = me and scopes.innermost(me).context.tape -- of its scope nothing else concerns a timer, which outlives it
    timer_scope = tasks.supervisor("stoke.every", function(err)
      if err.kind == "exit" then return end
      require "core.stdio".err(("stoke: a timer failed: %s\n"):format(tostring(err)))
    end, contexts.with(contexts.root, { tape = tape }))
  end
  return timer_scope
end

--- "name:12: message" of the parser, as an error of ours.
local function syntax_error(message, code)
  errors.raise("script", message, { hint = require "core.names".syntax(message, code) or "the file was not run" })
end

--- The global `arg`: the words behind the script, which itself is arg[0], as in every Lua.
local function set_arg(name, args) rawset(require "core.env".globals, "arg", table.move(args, 1, #args, 1, { [0] = name })) end

--- Runs the body of the script, and ends its timers when `f`, which does the rest, is over.
local function run(chunk, name, file, args, f)
  M.main, M.args = nil, args
  set_arg(name, args)
  local _ <close> = setmetatable({}, { __close = M.end_timers })
  local function body()
    local _ <close> = file and modules.enter(file)
    chunk(table.unpack(args))
  end
  return f(body)
end

--- Are there timers that go on?
---@return boolean
function M.has_timers() return timer_scope ~= nil and timer_scope.first ~= nil end

--- The usual: the body, what it gave to stoke.main, then the timers for as long as there are any.
local function once(body)
  body()
  if M.main then M.main(M.args) end
  if timer_scope then scopes.Scope.wait(timer_scope) end
end

local function compile(code, chunkname)
  local chunk, message = load(source.code(code), chunkname, "t", require "core.env".globals)
  if not chunk then syntax_error(message, code) end
  source.remember(chunkname, code)
  return chunk
end

local function compile_file(path)
  require "core.driver.fs"
  require "core.env".set_folder(path:match "^(.*)/[^/]*$" or ".")
  local code = errors.check(effect.perform("fs.read", { path = path }))
  local file = modules.file(nil, path, code) -- known also when it cannot be compiled: it is watched
  return compile(code, "@" .. path), file
end

--- Run source text.
---@param code string
---@param chunkname string "=stdin", "@path"
---@param args string[]
function M.run_string(code, chunkname, args)
  return run(compile(code, chunkname), chunkname == "=stdin" and "-" or chunkname:sub(2), nil, args or {}, once)
end

--- Run a file.
---@param path string
---@param args string[]
---@param f? fun(body: function) does it another way: calls the body, and what is to follow
function M.run_file(path, args, f)
  local chunk, file = compile_file(path)
  return run(chunk, path, file, args or {}, f or once)
end

--- Run the body of a file and no more: what it, or a module it requires, gives to stoke.main stays undone, and timers end.
---@param path string
function M.define_file(path)
  local chunk, file = compile_file(path)
  run(chunk, path, file, {}, function(body) body() end)
  M.main = nil
end

--- Run the body of a file for a session: what it gives to stoke.main is kept (M.main), and its timers go on.
---@param path string
---@return any what it returns
function M.run_body(path)
  local chunk, file = compile_file(path)
  M.main, M.args = nil, {}
  set_arg(path, {})
  local _ <close> = modules.enter(file)
  local value = chunk()
  if type(value) == "table" and not M.main then -- a module, by the name it would be required by
    local name = path:match "([^/]*)%.lua$" or path:match "[^/]*$"
    file.name, file.value, modules.by_name[name] = name, value, file
    require "core.env".globals.package.loaded[name] = value
  end
  return value
end

return M
