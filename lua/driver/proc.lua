--- Effects on child processes: proc.run to the end, or proc.spawn and then read, write, wait, signal.
---
--- Whoever leaves early (cancel, deadline, end of scope) waits until the whole process group is gone: two seconds after
--- SIGTERM it is killed.

local effect = require "core.effect"
local errors = require "core.errors"
local env = require "host.env"
local host = require "host.proc"

local OUTPUT_MAX = 1 << 20  -- proc.run keeps this much of each output
local HIGH_WATER = 256 << 10 -- proc.spawn reads this far ahead
local ALLOWED = { "PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER" }

--- What the child sees: `env` alone, or what `env_allow` lets through of ours with `env` on top.
local function environment(q)
  local values, names = {}, {}
  if q.env_allow or not q.env then
    for _, name in ipairs(q.env_allow or ALLOWED) do values[name] = env.get(name) end
  end
  for name, value in next, q.env or {} do values[name] = value end
  for name in next, values do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = name .. "=" .. values[name] end
  return names
end

--- End the group and wait until it is gone.
local function finish(p)
  p:stop()
  p:wait()
  p:close()
end

local function start(q, more)
  more.argv, more.cwd, more.env, more.timeout = q.argv, q.cwd, environment(q), q.timeout
  local p, err = host.spawn(more)
  if err then return nil, err end
  if type(q.stdin) == "string" then
    local _, failed = p:feed(q.stdin)
    if failed then
      finish(p)
      return nil, failed
    end
  end
  return p
end

local function run(q)
  local p, err = start(q, {
    stdin = q.stdin ~= nil, stderr = q.stderr, capture = true, cap = q.max_output or OUTPUT_MAX,
  })
  if err then return nil, err end
  local _ <close> = p
  local status, failed = p:wait()
  if failed then
    finish(p)
    return nil, failed
  end
  local out, diagnostics, truncated = p:output()
  if out == nil then return nil, diagnostics end
  status.stdout, status.stderr, status.truncated = out, diagnostics, truncated
  return status
end

--- What the policy judges: the words of the command.
local function subject(q) return "command", table.concat(q.argv, " ") end

effect.define("proc.run", { run = run, subject = subject })

-- ---- processes a script talks to ------------------------------------------------------------------------------------------------

local processes, count = {}, 0

--- The stream that proc.spawn opens: its items are what the process writes to standard output.
local Source = {}
Source.__index = Source

local function read(p, from, max)
  local bytes, err
  repeat bytes, err = p:read(from, max) until bytes ~= "" -- "": another reader was faster
  return bytes, err
end

function Source:next() return read(self.process, "stdout") end

function Source:close()
  processes[self.id] = nil
  finish(self.process)
end

effect.define("proc.spawn", {
  stream = true, subject = subject,
  run = function(q)
    local p, err = start(q, { stdin = q.stdin ~= false, stderr = q.stderr or "inherit", cap = HIGH_WATER })
    if err then return nil, err end
    count = count + 1
    processes[count] = p
    return setmetatable({ process = p, id = count, pid = p:pid() }, Source)
  end,
})

local function define(name, method)
  effect.define(name, {
    run = function(q)
      local p = processes[q.process]
      if not p then return nil, errors.new("os", "the process was closed, with the scope it was started in or by hand") end
      return method(p, q)
    end,
  })
end

define("proc.read", function(p, q) return read(p, q.from, q.max) end)
define("proc.write", function(p, q) return p:write(q.bytes) end)
define("proc.wait", function(p) return p:wait() end)
define("proc.signal", function(p, q) return p:kill(q.signal) end)
define("proc.close_stdin", function(p)
  p:close_stdin()
  return true
end)
