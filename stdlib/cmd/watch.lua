-- stoke run --watch FILE: the script, its files replaced as they change; its stoke.main again once it has ended.

local channel = require "core.channel"
local core = require "core.reload"
local effect = require "core.effect"
local env = require "core.env"
local errors = require "core.errors"
local keeper = require "core.keeper"
local modules = require "core.modules"
local scopes = require "core.scope"
local script = require "core.script"
local stdio = require "core.stdio"
local tasks = require "core.task"
local reload = require "stoke.reload"
local stoke = require "stoke"

local function say(text, ...) stdio.err("stoke: " .. text:format(...) .. "\n") end

local function report(err)
  if err.kind == "exit" or err.kind == "cancelled" then return end
  local trace = (err.kind == "script" or err.kind == "argument") and errors.readable(rawget(err, "traceback") or "")
  say("%s%s", tostring(err), trace and "\n" .. trace or "")
end

-- Run f as the script: what fails in it, and its os.exit, end it and not us.
local function as_script(f, ...)
  local scope <close> = scopes.open { on_child_error = function() end }
  local task = tasks.start(scope, "script", f, ...)
  local outer = keeper.script
  keeper.script = task
  local _ <close> = setmetatable({}, { __close = function() keeper.script = outer end })
  local _, err = stoke.try(task.await, task)
  if keeper.exit_code and task.state and not tasks.current().cancelled then
    say("the script called os.exit(%d)", keeper.exit_code)
    keeper.exit_code = nil
  elseif err then
    report(err)
  end
  return err == nil
end

-- Say why, and wait until one of the files has changed and rests.
local function wait_for_change(path, why)
  local paths = { path, modules.broken }
  for _, file in ipairs(modules.list) do paths[#paths + 1] = file.path end
  local stream = errors.check(effect.perform("fs.watch", { paths = paths }))
  say("%s; waiting for changes", why)
  if not core.stale()[1] then errors.check(stream:next()) end -- else it has changed already
  repeat local more = stream:next(reload.SETTLE) until not more
  stream:close()
end

-- stoke.main, again after each reload, for ever.
local function keep_running(argv, reloaded)
  while true do
    as_script(script.main, argv)
    say "the script has ended; waiting for changes"
    while reloaded:recv(0) do end -- what came while it ran
    reloaded:recv()
  end
end

---@param path string
---@param argv string[]
return function(path, argv)
  local reloaded = channel.new(16)
  reload.on_change(function(change)
    stdio.err(reload.text(change))
    if not change.err and #change.lines > 0 then
      reloaded:recv(0)
      reloaded:send(true)
    end
  end)
  while true do
    reload.watch(true)
    local loaded = false
    as_script(script.run_file, path, argv, function(body)
      body()
      loaded = true
      if script.main then return keep_running(argv, reloaded) end
      if script.has_timers() then scopes.Scope.wait(script.timers()) end
    end)
    reload.watch(false)
    wait_for_change(path, loaded and "the script has ended" or "the script was not loaded")
    modules.forget(env.globals.package.loaded)
  end
end
