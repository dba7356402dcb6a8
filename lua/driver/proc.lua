--- Effects on child processes: proc.run to the end, or proc.spawn and then read, write, wait, signal.
---
--- A task that leaves early (cancel, deadline, end of scope) sends SIGTERM and waits until the whole process group is gone; after
--- two seconds the group is killed.
---
--- With `sandbox` in the request our own binary is started first, sandboxes itself and executes the program (core.sandbox).

local effect = require "core.effect"
local errors = require "core.errors"
local env = require "host.env"
local fs = require "host.fs"
local redacting = require "core.redact"
local host = require "host.proc"
local testbed = require "core.testbed"
local sandbox = require "core.sandbox"

local M = {}

local OUTPUT_MAX = 1 << 20  -- bytes of each output that proc.run keeps
local HIGH_WATER = 256 << 10 -- bytes that proc.spawn reads ahead
local ALLOWED = { "PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR", "USER" }

--- The child's environment: `env` alone, or our variables that `env_allow` permits, overridden by `env`.
local function environment(q, fence)
  local values, names = {}, {}
  if q.env_allow or not q.env then
    for _, name in ipairs(q.env_allow or ALLOWED) do values[name] = env.get(name) end
  end
  if q.env then redacting.learn_fields(q.env) end
  if fence then values.TMPDIR = fence.temp end
  for name, value in next, q.env or {} do values[name] = value end
  if fence and not values.HOME then values.HOME = fence.temp end
  for name in next, values do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = name .. "=" .. values[name] end
  return names
end

--- Terminate the process group and wait until it is gone.
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

--- Isolated tests may not start programs: their behaviour cannot be repeated.
local function closed(q)
  if not testbed.no_programs then return nil end
  return errors.new("denied", ("a test starts no programs unless it says so: %s was not started"):format(
    errors.describe(q.argv[1])), { hint = "{ programs = true } lets this test start them, { real = true } opens all of the world" })
end

--- The effect proc.run.
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

--- The subject of policy rules: the words of the command; for a program given by its path also with its bare name.
local function subject(q)
  local words, name = table.concat(q.argv, " "), q.argv[1]:match "/([^/]+)$"
  return "command", words, name and name .. words:sub(#q.argv[1] + 1) or nil
end

--- Values of the environment are secret by their names.
local function redact(q, redactor)
  if q.env then redactor:fields(q.env) end
end

local ASIDE = { "timeout" }

--- What a person says came of a program.
local function said(value)
  local given = type(value) == "table" and value or {}
  if math.type(given.code) ~= "integer" then return nil, '{"code":0,"stdout":"..."}' end
  return { code = given.code, stdout = tostring(given.stdout or ""), stderr = tostring(given.stderr or ""), seconds = 0 }
end

effect.define("proc.run", { said = said, run = M.run, subject = subject, class = "unsafe", aside = ASIDE, redact = redact })
effect.define("proc.sandbox_level", { run = sandbox.level, class = "pure" })

--- Find a program along PATH; returns its path and the path of the folder in the request, both resolved.
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

effect.define("proc.which", { run = which, class = "pure" })

-- ---- processes a script talks to ------------------------------------------------------------------------------------------------

local count = 0

--- The stream of proc.spawn: its items are the chunks of the process's standard output.
local Source = {}
Source.__index = Source

local function read(p, from, max)
  local bytes, err
  repeat bytes, err = p:read(from, max) until bytes ~= "" -- "": another reader was faster
  return bytes, err
end

function Source:next() return read(self.process, "stdout") end

--- The id of a process in later requests: in a journalled run the key of the effect that started it, otherwise a number.
local function id_of(call)
  if call and call.key then return call.key end
  count = count + 1
  return count
end

function Source:close()
  local process = self.process
  if not process then return end
  self.process = nil
  finish(process)
  if self.fence then self.fence:close() end
end

effect.define("proc.spawn", {
  stream = true, subject = subject, class = "unsafe", aside = ASIDE, redact = redact,
  run = function(q, call)
    local unwanted = closed(q)
    if unwanted then return nil, unwanted end
    local fence, refused = sandbox.open(q)
    if refused then return nil, refused end
    local p, err = start(q, { stdin = q.stdin ~= false, stderr = q.stderr or "inherit", cap = HIGH_WATER }, fence)
    if err then
      if fence then fence:close() end
      return nil, err
    end
    return setmetatable({ process = p, fence = fence,
      about = { id = id_of(call), pid = p:pid(), sandbox = fence and fence.level } }, Source)
  end,
})

--- Define an effect on a running process: q.process is its id, `source` the stream of proc.spawn.
local function define(name, method)
  effect.define(name, {
    class = "unsafe",
    run = function(q, _, source)
      while source.inner do source = source.inner end -- unwrap the recorder of the journal
      if source.recorded then
        return nil, errors.new("interrupted", "the process was started by the run that was recorded, and is gone")
      end
      local p = source.process
      if not p then return nil, errors.new("os", "the process was closed, with the scope it was started in or by hand") end
      return method(p, q, source.fence)
    end,
  })
end

define("proc.read", function(p, q) return read(p, q.from, q.max) end)
define("proc.write", function(p, q) return p:write(q.bytes) end)
define("proc.wait", function(p, _, fence)
  local status, err = p:wait()
  if status and fence then status.limit = fence:limit(p) end
  return status, err
end)
define("proc.signal", function(p, q) return p:kill(q.signal) end)
define("proc.close_stdin", function(p)
  p:close_stdin()
  return true
end)

return M
