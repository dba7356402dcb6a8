--- The effect lua.eval: untrusted Lua code, run by host/fence/luabox.c in a separate process that can only compute.

local about = require "core.about"
local effect = require "core.effect"
local errors = require "core.errors"
local proc = require "core.driver.proc"

local FAILED, LIMIT, NOT_RUN = 1, 2, 121 -- exit codes, of luabox.h and sandbox.h
local GRACE = 10                         -- seconds of real time beyond the processor time
local TEXT_MAX = 256 << 10               -- more than luabox.lua shows

local function outcome(status)
  local level, text = status.stderr:match "^([%w+]*rlimits)\n(.*)$"
  if not level then
    local why = status.stderr:match "^stoke: ([^\n]*)" or "its process ended without a word"
    if status.timed_out then return nil, errors.new("timeout", "the Lua code could not be run: no processor time for it") end
    return nil, errors.new(status.code == NOT_RUN and "denied" or "os", "the Lua code could not be run: " .. why)
  end
  local verdict = status.code == 0 and "ok" or status.code == FAILED and "error" or "limit"
  return { verdict = verdict, printed = status.stdout, text = text, sandbox = level, seconds = status.seconds }
end

local function run(q)
  local program, missing = about.helper()
  if not program then return nil, missing end
  local argv = {
    program, "--lua-eval", ("cpu_ms=%d"):format(math.ceil(q.cpu * 1000)), ("memory=%d"):format(q.memory),
    ("output=%d"):format(q.max_output),
  }
  if q.require then argv[#argv + 1] = "require=" .. q.require end
  local status, err = proc.run {
    argv = argv, env = {}, stdin = q.code, timeout = q.cpu + GRACE, max_output = q.max_output + TEXT_MAX,
  }
  if err then return nil, err end
  if status.signal and not status.timed_out then -- killed by the system's limits, which lie beyond its own
    local text = ("stopped by the system (%s)"):format(status.signal)
    return { verdict = "limit", printed = status.stdout, text = text, seconds = status.seconds }
  end
  if status.code and status.code > LIMIT and status.code ~= NOT_RUN then
    return nil, errors.new("os", ("the Lua code could not be run: exit code %d: %s"):format(status.code, status.stderr))
  end
  return outcome(status)
end

effect.define("lua.eval", { run = run })
