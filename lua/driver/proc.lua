--- Effects on child processes: proc.run to the end, or proc.spawn and then read, write, wait, signal.
---
--- Whoever leaves early (cancel, deadline, end of scope) waits until the whole process group is gone: two seconds after
--- SIGTERM it is killed.
---
--- With `sandbox` in the request our own binary is started first, fences itself in and becomes the program (core.sandbox).

local effect = require "core.effect"
local errors = require "core.errors"
local env = require "host.env"
local fs = require "host.fs"
local host = require "host.proc"
local isolation = require "core.isolation"
local sandbox = require "core.sandbox"

local M = {}

local OUTPUT_MAX = 1 << 20  -- proc.run keeps this much of each output
local HIGH_WATER = 256 << 10 -- proc.spawn reads this far ahead
local ALLOWED = { "PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER" }

--- What the child sees: `env` alone, or what `env_allow` lets through of ours with `env` on top.
local function environment(q, fence)
  local values, names = {}, {}
  if q.env_allow or not q.env then
    for _, name in ipairs(q.env_allow or ALLOWED) do values[name] = env.get(name) end
  end
  if fence then values.TMPDIR = fence.temp end
  for name, value in next, q.env or {} do values[name] = value end
  if fence and not values.HOME then values.HOME = fence.temp end
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

local function start(q, more, fence)
  more.argv, more.cwd, more.env, more.timeout = fence and fence.argv or q.argv, q.cwd, environment(q, fence), q.timeout
  more.fenced = fence ~= nil
  local p, err = host.spawn(more)
  if err then return nil, err end
  if fence then
    local _, failed = fence:started(p, q.argv[1])
    if failed then
      finish(p)
      return nil, failed
    end
  end
  if type(q.stdin) == "string" then
    local _, failed = p:feed(q.stdin)
    if failed then
      finish(p)
      return nil, failed
    end
  end
  return p
end

--- A test runs on its own: what a program does nobody can repeat.
local function closed(q)
  if not isolation.no_programs then return nil end
  return errors.new("denied", ("a test starts no programs unless it says so: %s was not started"):format(
    errors.describe(q.argv[1])), { hint = "{ programs = true } lets this test start them, { real = true } opens all of the world" })
end

--- What the effect proc.run does.
---@param q table argv, cwd, env, env_allow, stdin, stderr, max_output, keep, timeout, sandbox
---@return table|nil status
---@return stoke.error|nil err
function M.run(q)
  local unwanted = closed(q)
  if unwanted then return nil, unwanted end
  local fence <close>, refused = sandbox.open(q)
  if refused then return nil, refused end
  local p, err = start(q, {
    stdin = q.stdin ~= nil, stderr = q.stderr, capture = true, tail = q.keep == "last",
    cap = q.max_output or OUTPUT_MAX,
  }, fence)
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
  if fence then status.sandbox, status.limit = fence.level, fence:limit(p) end
  return status
end

--- What the policy judges: the words of the command; and again by its name for a program that is given by its path.
local function subject(q)
  local words, name = table.concat(q.argv, " "), q.argv[1]:match "/([^/]+)$"
  return "command", words, name and name .. words:sub(#q.argv[1] + 1) or nil
end

effect.define("proc.run", { run = M.run, subject = subject })
effect.define("proc.sandbox_level", { run = sandbox.level })

--- Where a program lies that is found along PATH, and the folder that is asked about, both by their real names.
local function which(q)
  local folder, err = fs.resolve(q.folder)
  if not folder then return nil, err end
  local places = q.program:find("/", 1, true) and { q.program } or {}
  if not places[1] then
    for place in q.path:gmatch "[^:]+" do places[#places + 1] = place .. "/" .. q.program end
  end
  for _, place in ipairs(places) do
    local real, failed = fs.resolve(place)
    local st = real and fs.stat(real)
    if failed and failed.kind == "cancelled" then return nil, failed end
    if st and st.type == "file" and st.mode & 73 ~= 0 then return { program = real, folder = folder } end -- 0111
  end
  return nil, errors.new("os", ('cannot start "%s": there is no such program'):format(q.program), { code = fs.ENOENT })
end

effect.define("proc.which", { run = which })

-- ---- processes a script talks to ------------------------------------------------------------------------------------------------

local processes, fences, count = {}, {}, 0

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
  processes[self.id], fences[self.id] = nil, nil
  finish(self.process)
  if self.fence then self.fence:close() end
end

effect.define("proc.spawn", {
  stream = true, subject = subject,
  run = function(q)
    local unwanted = closed(q)
    if unwanted then return nil, unwanted end
    local fence, refused = sandbox.open(q)
    if refused then return nil, refused end
    local p, err = start(q, { stdin = q.stdin ~= false, stderr = q.stderr or "inherit", cap = HIGH_WATER }, fence)
    if err then
      if fence then fence:close() end
      return nil, err
    end
    count = count + 1
    processes[count], fences[count] = p, fence
    return setmetatable({ process = p, id = count, fence = fence,
      about = { id = count, pid = p:pid(), sandbox = fence and fence.level } }, Source)
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
define("proc.wait", function(p, q)
  local status, err = p:wait()
  local fence = status and fences[q.process]
  if fence then status.limit = fence:limit(p) end
  return status, err
end)
define("proc.signal", function(p, q) return p:kill(q.signal) end)
define("proc.close_stdin", function(p)
  p:close_stdin()
  return true
end)

return M
