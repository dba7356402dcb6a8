--- Start-up: makes the keeper and the first task, and says how it ended.
---
--- The way of a script: host/main.c -> here -> stdlib/cmd/init.lua (which verb?) -> lua/script.lua (load, run).

local coro = require "core.coro"
pcall, xpcall, coroutine.wrap, coroutine.resume = coro.pcall, coro.xpcall, coro.coroutine.wrap, coro.coroutine.resume

local host = require "host.task"
local keeper = require "core.keeper"
local tasks = require "core.task"

--- STOKE_DEBUG=effect: a line for each effect, on standard error.
local function trace_effects()
  local wanted = os.getenv "STOKE_DEBUG"
  if not wanted or not ("," .. wanted .. ","):find(",effect,", 1, true) then return end
  local span = require "core.gate.span"
  span.listen(span.printer(function(text) io.stderr:write(text) end))
end

--- "file:line: " of a script error is already in its message; ours name it in the traceback.
local function report(err)
  local stderr = function(text) io.stderr:write(text) end
  stderr(("stoke: %s\n"):format(tostring(err)))
  if err.kind == "script" or err.kind == "argument" or os.getenv "STOKE_DEBUG" then
    local traceback = rawget(err, "traceback")
    if traceback then stderr(traceback .. "\n") end
  end
  for _, other in ipairs(rawget(err, "suppressed") or {}) do
    stderr(("also: %s\n"):format(tostring(other)))
  end
end

--- Exit code of how the main task ended.
local function verdict(main)
  if keeper.deadlock then
    report(keeper.deadlock)
    return 1
  end
  if keeper.exit_code then
    local err = main.err
    if main.state == "failed" and err.kind ~= "cancelled" then report(err) end
    return keeper.exit_code
  end
  if main.state == "done" then return 0 end
  local err = main.err
  if err.kind == "exit" then return math.tointeger(err.code) or 0 end
  if err.kind == "os" and err.pipe then return 141 end -- as if SIGPIPE had ended us: `stoke x.lua | head`
  report(err)
  return err.exit
end

---@param argv string[] without the program's name
return function(argv)
  trace_effects()
  keeper.start()
  tasks.root.on_child_error = function() end -- told below
  local main = tasks.spawn(function() return require "stoke.cmd".main(argv) end, { name = "main" })
  keeper.main = main
  tasks.spawn(function()
    while not main.state do
      main.waiters = main.waiters or {}
      table.insert(main.waiters, host.current())
      host.park "main"
    end
    host.stop(verdict(main))
  end, { system = true, name = "reporter" })
end
