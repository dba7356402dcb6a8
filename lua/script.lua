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
local function end_timers()
  local scope = timer_scope
  timer_scope = nil
  if not scope then return end
  scopes.cancel(scope, errors.new("cancelled", "the script has ended"))
  scopes.join(scope)
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
  local _ <close> = setmetatable({}, { __close = end_timers })
  chunk(table.unpack(args))
  if main then main(args) end
  if timer_scope then scopes.Scope.wait(timer_scope) end
end

--- Run source text.
---@param code string
---@param chunkname string "=stdin", "@path"
---@param args string[]
function M.run_string(code, chunkname, args)
  local env = require "core.env"
  code = code:gsub("^#[^\n]*", "")
  local chunk, message = load(code, chunkname, "t", env.globals)
  if not chunk then syntax_error(message) end
  source.remember(chunkname, code)
  return run(chunk, args or {})
end

--- Run a file.
---@param path string
---@param args string[]
function M.run_file(path, args)
  require "core.driver.fs"
  local env = require "core.env"
  env.set_folder(path:match "^(.*)/[^/]*$" or ".")
  local code = errors.check(effect.perform("fs.read", { path = path }))
  return M.run_string(code, "@" .. path, args)
end

return M
