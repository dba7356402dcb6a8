--- Start-up: starts the keeper and the main task, and reports how the main task ended.
---
--- How a script is run: host/main.c -> here -> stdlib/cmd/init.lua (which verb?) -> lua/script.lua (load, run).

local coro = require "core.coro"
pcall, xpcall, coroutine.wrap, coroutine.resume = coro.pcall, coro.xpcall, coro.coroutine.wrap, coro.coroutine.resume

local stdio = require "host.stdio"
local errors = require "core.errors"
local host = require "host.task"
local keeper = require "core.keeper"
local overrun = require "core.overrun"
local tasks = require "core.task"
local texts = require "core.text"

--- STOKE_DEBUG=effect: write one line for each effect to standard error.
local function trace_effects()
  local wanted = os.getenv "STOKE_DEBUG"
  if not wanted or not ("," .. wanted .. ","):find(",effect,", 1, true) then return end
  local span = require "core.gate.span"
  span.listen(span.printer(require "core.stdio".err))
end

--- The error as one line of JSON, for scripts.
local function as_json(err, known)
  local json = require "core.json"
  local text = { kind = err.kind, message = err.message, hint = err.hint, where = rawget(err, "where"),
    retryable = err.retryable or false, exit_code = err.exit }
  for key, value in next, text do
    if type(value) == "string" then text[key] = known(utf8.len(value) and value or (value:gsub("[\x80-\xFF]", "?"))) end
  end
  return json.encode(json.object(text, { "kind", "message", "hint", "where", "retryable", "exit_code" })) .. "\n"
end

--- Report the script's error on standard error, after the pending standard output.
local function report(err)
  local known = require "core.redact".known
  if keeper.json then return stdio.write(2, as_json(err, known)) end
  local text = { ("stoke: %s"):format(tostring(err)) }
  if err.kind == "script" or err.kind == "argument" or os.getenv "STOKE_DEBUG" then
    text[2] = errors.readable(rawget(err, "traceback") or "")
  end
  local others = rawget(err, "suppressed") or {}
  local reported, more = { [tostring(err)] = true }, 0
  for _, other in ipairs(others) do
    local message = tostring(other)
    if reported[message] or #text > 4 then
      more = more + 1
    else
      reported[message] = true
      text[#text + 1] = "also: " .. message
    end
  end
  if more > 0 then text[#text + 1] = ("and %d more"):format(more) end
  stdio.write(2, texts.clean(known(table.concat(text, "\n"))) .. "\n")
end

--- The exit code, from the way the main task ended.
local function exit_code_of(main)
  if keeper.deadlock then
    report(keeper.deadlock)
    return 1
  end
  keeper.exit_code = keeper.exit_code or keeper.late_exit(main.state == "done")
  if keeper.exit_code then
    local err = main.err
    if main.state == "failed" and err.kind ~= "cancelled" and err.kind ~= "exit" then report(err) end
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
  overrun.start()
  local main = tasks.spawn(function() return require "stoke.cmd".main(argv) end, { name = "main" })
  keeper.main = main
  tasks.spawn(function()
    while not main.state do pcall(main.await, main) end
    if keeper.last then pcall(keeper.last) end
    host.stop(exit_code_of(main))
  end, { system = true, name = "reporter" })
end
