--- Child processes: run a program to its end, or exchange data with it while it runs. No shell is involved: argv is passed
--- unchanged.
---
--- Each program leads a process group of its own. When its task is cancelled, its time is up or its scope ends, the whole group
--- gets SIGTERM, and after two seconds SIGKILL.
---
--- With `sandbox` the program can write only where it may, reads little beyond the system, has no network, and cannot reach the
--- user's other processes: no socket in the file system, no signal, no limit or priority of theirs, no shared memory. It may make
--- pairs of sockets for itself. How much of that holds depends on the system, and the result says it:
--- "landlock7+seccomp+rlimits(...)" is all of it, with the limits that are in force; "rlimits(...)" are limits alone (no Linux, or
--- an old one), and what is not held stands behind it ("; not held: files, sockets, modes, signals"). `require` refuses to run with
--- less. What no sandbox here limits: how much of the disk many files take, and what a program reads of the system and of the
--- command lines of others in /proc. With `net` it reaches the whole network, also services at 127.0.0.1.

local effect = require "core.effect"
local errors = require "core.errors"
require "core.driver.proc"

local M = {}

local LINE_MAX = 64 << 20

local function perform(name, q, work) return errors.check(effect.perform(name, q, work)) end

-- ---- checking -----------------------------------------------------------------------------------------------------------

local function check_text(value, what)
  if type(value) ~= "string" then errors.argument("%s must be a string, got %s", what, type(value)) end
  if value:find("\0", 1, true) then errors.argument("%s holds a NUL byte", what) end
  return value
end

local function check_list(list, what)
  if type(list) ~= "table" then errors.argument("%s must be an array of strings, got %s", what, type(list)) end
  local out = {}
  for i = 1, #list do
    local value = list[i]
    if type(value) == "number" then value = tostring(value) end
    out[i] = check_text(value, ("%s[%d]"):format(what, i))
  end
  return out
end

local function check_env(env, what)
  if env == nil then return nil end
  local out = {}
  for name, value in next, env do
    check_text(name, what .. ": a name")
    if name == "" or name:find("=", 1, true) then errors.argument("%s: %q is no name of a variable", what, name) end
    out[name] = check_text(type(value) == "number" and tostring(value) or value, ("%s.%s"):format(what, name))
  end
  return out
end

local COMMON = {
  argv = "table", cwd = "string", env = "table", env_allow = "table", stdin = true, stderr = "string", timeout = "number",
  sandbox = true,
}
local RUN, SPAWN = { max_output = "number", keep = "string" }, {}
for name, wanted in next, COMMON do RUN[name], SPAWN[name] = wanted, wanted end

-- ---- the sandbox ----------------------------------------------------------------------------------------------------------

---@class stoke.proc.sandbox
---@field write? string[] folders it may change; the one it starts in when not given, {} for none. A temp folder of its own comes
---  with it, in TMPDIR (and in HOME where none is passed on), and is gone afterwards
---@field read? string[] folders it may read and run from, beside those and the system (/usr, /bin, /lib, /proc, and of /etc what
---  everybody may read)
---@field net? boolean the network; without it no sockets but pairs of its own
---@field cpu? number seconds of processor time for each process, rounded up; no limit when not given
---@field memory? integer|false bytes used, by all that it starts together; 2 GiB when not given, false (here and in the next two)
---  for no limit. When given, also what one process may write to, used or not: sanitizers, which reserve terabytes, meet that
---@field file_size? integer|false bytes a file may grow to; 256 MiB when not given. Nothing limits how many files there are
---@field processes? integer|false processes and threads, of all that it starts together; 512 when not given. More are refused;
---  where the system exempts root from that, it is ended
---@field require? "landlock"|"seccomp"|"landlock+seccomp" fail with kind `denied` where this is missing

local SANDBOX = {
  write = "table", read = "table", net = "boolean", cpu = "number", memory = true, file_size = true, processes = true,
  require = "string",
}
local FOLDERS_MAX = 60
local REQUIRE = { landlock = true, seccomp = true, ["landlock+seccomp"] = true }

local function check_sandbox(given, what)
  if given == nil or given == false then return nil end
  if given == true then return true end
  what = what .. ": sandbox"
  if type(given) ~= "table" then errors.argument("%s must be true or a table, got %s", what, type(given)) end
  errors.options(given, SANDBOX, what)
  local out = { net = given.net, require = given.require }
  for _, name in ipairs { "write", "read" } do
    out[name] = given[name] and check_list(given[name], ("%s.%s"):format(what, name))
    for i, path in ipairs(out[name] or {}) do
      if path == "" then errors.argument("%s.%s[%d] is empty", what, name, i) end
    end
    if out[name] and #out[name] > FOLDERS_MAX then errors.argument("%s.%s: at most %d folders", what, name, FOLDERS_MAX) end
  end
  for _, name in ipairs { "cpu", "memory", "file_size", "processes" } do
    local value = given[name]
    local fits = value == nil or value == false or type(value) == "number" and value > 0 and (value < 2 ^ 53 or value == math.huge)
    if not fits then errors.argument("%s.%s must be a number above 0%s", what, name, name == "cpu" and "" or ", or false") end
    out[name] = value
  end
  if given.require and not REQUIRE[given.require] then
    errors.argument("%s.require must be \"landlock\", \"seccomp\" or \"landlock+seccomp\", not %q", what, given.require)
  end
  return out
end

--- What a sandbox reaches on this system.
---@return string level such as "landlock7+seccomp+rlimits(memory=2G,processes=512,file_size=256M)", at least "rlimits(...)"
---
--- Example: `if not proc.sandbox_level():find "landlock" then print "files are not protected here" end`
function M.sandbox_level() return perform "proc.sandbox_level" end

-- ---- all of the options ---------------------------------------------------------------------------------------------------

local STDERR = { capture = true, inherit = true, merge = true }

local function check(options, known, what)
  if options == nil then errors.argument("%s: options expected, such as { argv = { \"git\", \"status\" } }", what) end
  errors.options(options, known, what)
  local argv = check_list(options.argv, what .. ": argv")
  if not argv[1] or argv[1] == "" then errors.argument("%s: argv names no program", what) end
  local timeout = options.timeout
  if timeout and not (timeout > 0) then errors.argument("%s: timeout must be a number of seconds above 0", what) end
  if options.stderr and not STDERR[options.stderr] then
    errors.argument("%s: stderr must be \"capture\", \"inherit\" or \"merge\", not %q", what, options.stderr)
  end
  return {
    argv = argv, cwd = options.cwd and check_text(options.cwd, what .. ": cwd"), timeout = timeout, stdin = options.stdin,
    env = check_env(options.env, what .. ": env"), stderr = options.stderr,
    env_allow = options.env_allow and check_list(options.env_allow, what .. ": env_allow"),
    sandbox = check_sandbox(options.sandbox, what),
  }
end

-- ---- run ------------------------------------------------------------------------------------------------------------------

---@class stoke.proc.options
---@field argv string[] the program, found along PATH, and its arguments
---@field cwd? string folder to start it in
---@field env? table<string, string> its whole environment; with env_allow: additional variables
---@field env_allow? string[] variables passed on from this process; PATH HOME LANG LC_ALL TERM TMPDIR USER when neither is given
---@field stdin? string its standard input; empty by default
---@field timeout? number seconds
---@field stderr? "capture"|"inherit"|"merge" "merge": into stdout
---@field sandbox? boolean|stoke.proc.sandbox restrictions; none by default

---@class stoke.proc.result
---@field code? integer exit code, nil when a signal ended it
---@field signal? string "SIGTERM"
---@field stdout string
---@field stderr string
---@field truncated boolean output beyond max_output was dropped
---@field timed_out boolean
---@field seconds number how long it ran
---@field sandbox? string the level of its sandbox: "landlock7+seccomp+rlimits(memory=2G,processes=512,file_size=256M)"
---@field limit? "memory"|"processes" the limit of its sandbox that ended it

--- Run a program to its end. An exit code other than 0 raises no error.
---@param options stoke.proc.options and max_output: bytes kept of each output, 1 MB when not given; the rest is dropped, so
---  that a full pipe does not block the program; keep: "first" bytes (when not given) or the "last", then at least half
---  of max_output
---@return stoke.proc.result
---Raises `os` when it cannot be started, `denied` when its sandbox is not available, `argument`, `cancelled`.
---
--- Example: `local r = proc.run { argv = { "git", "status" }, timeout = 10, sandbox = true }; print(r.code, r.stdout)`
function M.run(options)
  local q = check(options, RUN, "proc.run")
  if q.stdin ~= nil and type(q.stdin) ~= "string" then
    errors.argument("proc.run: stdin must be a string, got %s", type(q.stdin))
  end
  q.max_output = options.max_output and math.tointeger(options.max_output)
  if options.max_output and (not q.max_output or q.max_output < 1) then
    errors.argument("proc.run: max_output must be a whole number of bytes above 0")
  end
  q.keep = options.keep
  if q.keep and q.keep ~= "first" and q.keep ~= "last" then
    errors.argument("proc.run: keep must be \"first\" or \"last\", not %q", q.keep)
  end
  return perform("proc.run", q)
end

-- ---- spawn ----------------------------------------------------------------------------------------------------------------

--- A running program. It belongs to the scope it was started in, and ends with it.
---@class stoke.proc.process
---@field pid integer
---@field sandbox? string the level of its sandbox
local Process = {}
Process.__index = Process
Process.__name = "stoke.process"

--- Start a program and talk to it.
---@param options stoke.proc.options with stdin: true (the default, p:write), false (nothing) or a string; stderr "inherit" when
---  not given, with "capture" it is read by p:read(max, "stderr")
---@return stoke.proc.process
---Raises `os` when it cannot be started, `denied` when its sandbox cannot be had, `argument`, `cancelled`.
---
--- Example:
---   local p <close> = proc.spawn { argv = { "bc", "-l" } }
---   p:write "2^64\n"
---   print(p:lines()())
function M.spawn(options)
  local q = check(options, SPAWN, "proc.spawn")
  if q.stdin ~= nil and type(q.stdin) ~= "string" and type(q.stdin) ~= "boolean" then
    errors.argument("proc.spawn: stdin must be a string or a boolean, got %s", type(q.stdin))
  end
  local stream = perform("proc.spawn", q)
  local about = stream.about
  return setmetatable({ stream = stream, id = about.id, pid = about.pid, sandbox = about.sandbox, rest = "" }, Process)
end

--- What the program has written: waits for the first bytes, then gives what is there.
---@param max? integer at most this many bytes; 65536 when not given
---@param from? "stdout"|"stderr"
---@return string|nil bytes nil at the end
---Raises `os` after p:close, `argument`, `cancelled`.
---
--- Example: `for bytes in function() return p:read() end do io.write(bytes) end`
function Process:read(max, from)
  if max ~= nil and (math.type(max) ~= "integer" or max < 1) then
    errors.argument("p:read: max must be a whole number above 0, got %s", tostring(max))
  end
  if from ~= nil and from ~= "stdout" and from ~= "stderr" then
    errors.argument("p:read: \"stdout\" or \"stderr\" expected, got %s", tostring(from))
  end
  if from ~= "stderr" and self.rest ~= "" then
    local bytes = self.rest:sub(1, max or -1)
    self.rest = self.rest:sub(#bytes + 1)
    return bytes
  end
  return perform("proc.read", { process = self.id, from = from or "stdout", max = max }, self.stream.source)
end

--- The lines of its standard output, without their ends; the last one also when it has none.
---@return fun(): string|nil
---Raises as p:read, and `limit` for a line above 64 MB.
---
--- Example: `for line in p:lines() do print(line) end`
function Process:lines()
  return function()
    local parts, size = {}, 0
    while true do
      local bytes = self:read()
      if not bytes then
        if size == 0 then return nil end
        return table.concat(parts)
      end
      local lf = bytes:find("\n", 1, true)
      parts[#parts + 1] = lf and bytes:sub(1, lf - 1) or bytes
      size = size + #parts[#parts]
      if size > LINE_MAX then errors.raise("limit", "the process wrote a line of more than 64 MB") end
      if lf then
        self.rest = bytes:sub(lf + 1)
        return table.concat(parts)
      end
    end
  end
end

--- Send bytes to its standard input; waits until the pipe has taken them.
---@param bytes string
---@return boolean read false when the program reads no more; that is no error
---Raises `os`, `argument`, `cancelled`.
---
--- Example: `p:write(line .. "\n")`
function Process:write(bytes)
  if type(bytes) ~= "string" then errors.argument("p:write: a string expected, got %s", type(bytes)) end
  return perform("proc.write", { process = self.id, bytes = bytes }, self.stream.source)
end

--- Tell it that no more will come.
---
--- Example: `p:close_stdin()`
function Process:close_stdin() perform("proc.close_stdin", { process = self.id }, self.stream.source) end

--- Wait until it has ended. One that writes much needs a reader meanwhile, or it waits for that.
---@return { code?: integer, signal?: string, timed_out: boolean, seconds: number, limit?: string } limit: of its sandbox, which
---  ended it
---Raises `os` after p:close, `cancelled`.
---
--- Example: `if p:wait().code ~= 0 then print "it failed" end`
function Process:wait() return perform("proc.wait", { process = self.id }, self.stream.source) end

--- Send a signal to it and all its children.
---@param signal? string|integer "SIGTERM" when not given; "TERM" is the same
---@return boolean sent false when it has ended
---Raises `argument` for an unknown signal, `os` after p:close.
---
--- Example: `p:kill "SIGINT"`
function Process:kill(signal)
  if signal ~= nil and type(signal) ~= "string" and math.type(signal) ~= "integer" then
    errors.argument("p:kill: the name of a signal expected, got %s", tostring(signal))
  end
  return perform("proc.signal", { process = self.id, signal = signal }, self.stream.source)
end

--- End it, if it has not ended, and wait for that; a no-op the second time. What `<close>` does.
---
--- Example: `p:close()`
function Process:close() self.stream:close() end

function Process:__close() self.stream:close() end

return M
