--- Runs a script: loads its file, then what it gave to stoke.main.

local effect = require "core.effect"
local errors = require "core.errors"
local scopes = require "core.scope"
local source = require "core.source"
local tasks = require "core.task"

local M = {}

local main

--- What stoke.main was given; the last call counts.
function M.set_main(f) main = f end

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
    timer_scope = setmetatable({ site = "stoke.every", co = false, on_child_error = function(err)
      if err.kind == "exit" then return end
      require "core.stdio".err(("stoke: a timer failed: %s\n"):format(tostring(err)))
    end }, tasks.Task)
  end
  return timer_scope
end

--- "name:12: message" of the parser, as an error of ours.
local function syntax_error(message)
  errors.raise("script", message, { hint = "the file was not run" })
end

local function run(chunk, args)
  main = nil
  local env = require "core.env"
  rawset(env.globals, "arg", args)
  local _ <close> = setmetatable({}, { __close = M.end_timers })
  chunk(table.unpack(args))
  if main then main(args) end
  if timer_scope then scopes.Scope.wait(timer_scope) end
end

local function compile(code, chunkname)
  code = code:gsub("^#[^\n]*", "")
  local chunk, message = load(code, chunkname, "t", require "core.env".globals)
  if not chunk then syntax_error(message) end
  source.remember(chunkname, code)
  return chunk
end

local function compile_file(path)
  require "core.driver.fs"
  require "core.env".set_folder(path:match "^(.*)/[^/]*$" or ".")
  return compile(errors.check(effect.perform("fs.read", { path = path })), "@" .. path)
end

--- Run source text.
---@param code string
---@param chunkname string "=stdin", "@path"
---@param args string[]
function M.run_string(code, chunkname, args) return run(compile(code, chunkname), args or {}) end

--- Run a file.
---@param path string
---@param args string[]
function M.run_file(path, args) return run(compile_file(path), args or {}) end

--- Run the body of a file and no more: what it, or a module it requires, gives to stoke.main stays undone, and timers end.
---@param path string
function M.define_file(path)
  local chunk = compile_file(path)
  rawset(require "core.env".globals, "arg", {})
  local _ <close> = setmetatable({}, { __close = function()
    main = nil
    M.end_timers()
  end })
  chunk()
end

return M
