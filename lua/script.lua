--- Runs a script: its file, then the function it passed to stoke.main.

local effect = require "core.effect"
local contexts = require "core.context"
local errors = require "core.errors"
local modules = require "core.modules"
local scopes = require "core.scope"
local source = require "core.source"
local spans = require "core.gate.span"
local tasks = require "core.task"

local M = {}

--- The function passed to stoke.main; the last call wins.
M.main = nil

--- The script's command-line arguments.
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

--- The path of the script; nil where there is none.
M.path = nil

--- Called when the body of the script has run: fun().
M.after_body = nil

--- Called before that, where agents were made whose sessions may have been left in a turn: fun().
M.left = nil

--- What durable runs need of the script's end: { leave = fun(), wait = fun() } (lua/runs.lua).
M.runs = nil

--- The script has ended, or is being cancelled: its durable runs are given up.
function M.leave_runs()
  local runs = M.runs
  M.runs, M.after_body, M.left = nil, nil, nil
  if runs then runs.leave() end
end

--- The script has ended, or is being cancelled: end its timers and close what they have open.
function M.end_timers()
  M.leave_runs()
  local scope = timer_scope
  timer_scope = nil
  if not scope then return end
  scopes.cancel(scope, errors.new("cancelled", "the script has ended"))
  scopes.join(scope)
  scopes.stop_alarms(scope)
end

--- The supervisor of stoke.every: it logs a child's error, and the other timers go on.
function M.timers()
  if not timer_scope then
    local me = tasks.current()
    local tape = me and scopes.innermost(me).context.tape -- a timer outlives the scope, so it inherits nothing else from it
    timer_scope = tasks.supervisor("stoke.every", function(err)
      if err.kind == "exit" then return end
      require "core.stdio".err(("stoke: a timer failed: %s\n"):format(tostring(err)))
    end, contexts.with(contexts.root, { tape = tape }))
  end
  return timer_scope
end

--- "name:12: message" of the parser, as a stoke error.
local function syntax_error(message, code)
  errors.raise("script", message, { hint = require "core.names".syntax(message, code) or "the file was not run" })
end

--- The global `arg`: the script is arg[0], its arguments follow, as in standalone Lua.
local function set_arg(name, args) rawset(require "core.env".globals, "arg", table.move(args, 1, #args, 1, { [0] = name })) end

--- Run the body of the script through `f`, and end its timers when `f` returns.
local function run(chunk, name, file, args, f)
  M.main, M.args = nil, args
  M.path = file and name or nil
  set_arg(name, args)
  local _ <close> = setmetatable({}, { __close = M.end_timers })
  local function body()
    do
      local _ <close> = file and modules.enter(file)
      chunk(table.unpack(args))
    end
    if M.left then M.left() end
    if M.after_body then M.after_body() end
  end
  return f(body)
end

--- Are there running timers?
---@return boolean
function M.has_timers() return timer_scope ~= nil and timer_scope.first ~= nil end

--- The default `f`: the body, the function passed to stoke.main, then wait for the timers and the durable runs.
local function once(body)
  body()
  if M.main then M.main(M.args) end
  if timer_scope then scopes.Scope.wait(timer_scope) end
  if M.runs then M.runs.wait() end
end

--- The span of a script, where somebody traces: all that its first task does is inside, with all that it spawns.
local function span_of(name)
  local seen = spans.on and spans.enter("script", name) or nil
  if seen then spans.inside(seen) end
  return seen
end

local function compile(code, chunkname)
  local chunk, message = load(source.code(code), chunkname, "t", require "core.env".globals)
  if not chunk then syntax_error(message, code) end
  source.remember(chunkname, code)
  return chunk
end

local function compile_file(path)
  M.path = path
  require "core.driver.fs"
  require "core.env".set_folder(path:match "^(.*)/[^/]*$" or ".")
  local code = errors.check(effect.perform("fs.read", { path = path }))
  local file = modules.file(nil, path, code) -- registered even if it does not compile, since it is watched
  return compile(code, "@" .. path), file
end

--- Run source text.
---@param code string
---@param chunkname string "=stdin", "@path"
---@param args string[]
function M.run_string(code, chunkname, args)
  local seen <close> = span_of(chunkname) -- luacheck: ignore
  return run(compile(code, chunkname), chunkname == "=stdin" and "-" or chunkname:sub(2), nil, args or {}, once)
end

--- Run a file.
---@param path string
---@param args string[]
---@param f? fun(body: function) replaces the default: must call the body, and whatever follows it
function M.run_file(path, args, f)
  local seen <close> = span_of(path) -- luacheck: ignore
  local chunk, file = compile_file(path)
  return run(chunk, path, file, args or {}, f or once)
end

--- Run only the body of a file: functions passed to stoke.main are not called, and timers end.
---@param path string
function M.define_file(path)
  local chunk, file = compile_file(path)
  run(chunk, path, file, {}, function(body) body() end)
  M.main = nil
end

--- Run the body of a file for a session: the function passed to stoke.main is kept in M.main, and timers go on.
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
