-- What must hold when memory fails, when the process ends in the middle of everything, and over many rounds.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local SCALE = tonumber(os.getenv "STOKE_SCALE") or 1 -- below 1 in the slow builds
local function many(n) return math.max(20, math.floor(n * SCALE)) end

local PASSED_ON = require "binary".PASSED_ON

local function run(argv, env)
  env = env or {}
  env.HOME = "/nonexistent"
  return proc.run { argv = { about.executable(), table.unpack(argv) }, env_allow = PASSED_ON, env = env, timeout = 30 }
end

-- ---- memory that fails ----------------------------------------------------------------------------------------------------

local function ends_well(t, what, r)
  local told = ("%s: exit %s\n%s%s"):format(what, tostring(r.code or r.signal), r.stdout, r.stderr)
  t.ok(r.code and r.code ~= 99 and not r.timed_out, told)
  t.ok(r.code == 0 or r.stderr:find "^stoke: " or r.stderr:find "\nstoke: " or r.stderr:find "error", told)
  t.eq(r.stderr:find("internal error at", 1, true), nil, told)
end

test("memory that fails at start-up is one message", { real = true }, function(t)
  for n = 1, 400, 57 do
    local r = run({ "-e", "print(1)" }, { STOKE_MEM_FAIL = tostring(n) })
    ends_well(t, "allocation " .. n, r)
    t.ok(r.code == 0 or select(2, r.stderr:gsub("\n", "")) == 1, r.stderr)
  end
end)

test("memory that fails while tasks, servers and streams live is no hang", { real = true }, function(t)
  local step = math.floor(900 / math.max(SCALE, 0.2))
  for n = 4000, 16000, step do
    ends_well(t, "hello, allocation " .. n, run({ "agents/hello.lua", "--sim" }, { STOKE_MEM_FAIL = tostring(n) }))
    ends_well(t, "world, allocation " .. n, run({ "tests/oom/world.lua" }, { STOKE_MEM_FAIL = tostring(n) }))
  end
end)

test("a block beyond the limit of memory is an error of kind limit, and the rest goes on", { real = true }, function(t)
  local r = run({ "-e", [[
    local ok, err = require "stoke".try(function() return ("x"):rep(1 << 30) end)
    print(ok, err.kind, err.message)
    print(pcall(string.rep, "x", 1 << 30))
  ]] }, { STOKE_MAX_MEMORY = "50M" })
  t.match(r.stdout, "^nil\tlimit\tthe host holds [^\n]*, and 1024 MB more would go far above its limit of 50 MB\n"
    .. "false\tnot enough memory\n$")
  t.eq(r.code, 0)
end)

-- ---- the end, in the middle of everything ---------------------------------------------------------------------------------

local BUSY = [[
  local stoke, http, proc = require "stoke", require "stoke.http", require "stoke.proc"
  local ollama, fs = require "stoke.ollama", require "stoke.fs"
  local outer <close> = stoke.scope {}
  local inner <close> = stoke.scope { deadline = 60 }
  local server = http.serve { port = 0, handler = function() stoke.sleep(60) end }
  local child = proc.spawn { argv = { "sleep", "60" } }
  print(child.pid)
  io.stdout:flush()
  stoke.spawn(http.get, server.url)
  inner:spawn(http.get, "http://localhost:9/")
  outer:spawn(stoke.sleep, 60)
  stoke.spawn(proc.run, { argv = { "sleep", "60" } })
  for _ = 1, 20 do outer:spawn(fs.read, "/etc/passwd") end
  for ev in ollama.stream { model = "qwen2.5:3b", messages = { { role = "user", content = "hi" } } } do
    if ev.type == "text" then %s end
  end
]]

test("a process ends at once, whatever is open, and leaves no child", { real = true }, function(t)
  for ending, code in pairs { ["os.exit(9)"] = 9, ["error 'enough'"] = 1, ["stoke.spawn(os.exit, 8) stoke.sleep(60)"] = 8 } do
    local began = time.monotonic()
    local r = run { "--sim", "-e", BUSY:format(ending) }
    t.ok(r.code == code or r.code == 4, ("%s: %s\n%s"):format(ending, tostring(r.code), r.stderr))
    t.ok(time.monotonic() - began < 10, ending)
    local pid = r.stdout:match "^%d+"
    t.ok(pid, r.stdout .. r.stderr)
    stoke.sleep(0.05)
    t.eq(stoke.try(fs.read, "/proc/" .. pid .. "/cmdline"), nil, "the child lives")
  end
end)

test("a second signal ends a process that does not unwind", { real = true }, function(t)
  local code = [[
    local stoke = require "stoke"
    local slow <close> = setmetatable({}, { __close = function() stoke.shield(4, function() stoke.sleep(4) end) end })
    print "up"
    io.stdout:flush()
    stoke.sleep(60)
  ]]
  local p <close> = proc.spawn { argv = { about.executable(), "-e", code }, env_allow = PASSED_ON }
  t.eq(p:lines()(), "up")
  p:kill "SIGINT"
  stoke.sleep(0.2)
  local began = time.monotonic()
  p:kill "SIGINT"
  t.eq(p:wait().code, 130)
  t.ok(time.monotonic() - began < 2, "at once")
end)

-- ---- nothing grows --------------------------------------------------------------------------------------------------------

local function held()
  collectgarbage()
  collectgarbage()
  return about.memory()
end

-- Bytes held after `count` rounds, over those after as many rounds as fill what grows once (the table of strings is 64 KB).
local function grows(count, round)
  for i = 1, math.max(count // 10, math.min(count, 1000)) do round(i) end
  local before = held()
  for i = 1, count do round(i) end
  return held() - before
end

test("a hundred thousand short tasks leave nothing behind", function(t)
  local scope <close> = stoke.scope {}
  t.ok(grows(many(100000), function() scope:spawn(stoke.sleep, 0):await() end) < 20000, "awaited")
  t.ok(grows(many(20000), function()
    local task = stoke.spawn(stoke.sleep, 100)
    stoke.sleep(0)
    task:cancel()
    pcall(task.await, task)
  end) < 20000, "cancelled")
  t.ok(grows(many(20000), function() stoke.timeout(10, stoke.sleep, 0) end) < 20000, "with a deadline")
end)

test("twenty thousand requests leave nothing behind, whole or cut", { effects = false }, function(t)
  local server <close> = http.serve { mem = "many", handler = function(req) return { path = req.path } end }
  t.ok(grows(many(20000), function() http.get(server.url) end) < 20000, "whole")
  t.ok(grows(many(2000), function()
    local task = stoke.spawn(http.get, server.url)
    stoke.sleep(0)
    task:cancel()
    pcall(task.await, task)
  end) < 20000, "cut")
end)

test("a thousand streams of the simulator leave nothing behind, whole or left", { effects = false }, function(t)
  local server <close> = sim.serve { mem = "ollama", slots = 4, tokens_per_second = 10, script = { "one two three four" } }
  local request = { model = "qwen2.5:3b", messages = { { role = "user", content = "hi" } }, endpoint = server.url }
  local function round(leave)
    for ev in ollama.stream(request) do
      if leave and ev.type == "text" then return end
    end
  end
  t.ok(grows(many(1000), function() round(false) end) < 60000, "whole")
  t.ok(grows(many(1000), function() round(true) end) < 60000, "left")
end)

local function open_files() return #fs.list "/proc/self/fd" end

test("descriptors and threads: what is over is closed", { real = true }, function(t)
  if not stoke.try(fs.list, "/proc/self/fd") then return end
  local function threads() return tonumber(fs.read "/proc/self/status":match "Threads:%s*(%d+)") end
  local function round()
    proc.run { argv = { "true" } }
    proc.run { argv = { "sleep", "9" }, timeout = 0.002 }
    stoke.try(proc.run, { argv = { "no-such-program-here" } })
    stoke.try(fs.read, "/no/such/file")
    stoke.try(http.get, "http://127.0.0.1:1/")
  end
  local server <close> = http.serve { port = 0, handler = function(req)
    if req.path == "/slow" then stoke.sleep(9) end
    return "x"
  end }
  local function requests()
    http.get(server.url)
    stoke.try(stoke.timeout, 0.002, http.get, server.url .. "/slow")
  end
  for _ = 1, 3 do round() requests() end
  local files, running = open_files(), threads()
  for _ = 1, many(60) do round() requests() end
  stoke.sleep(0.1)
  t.ok(open_files() <= files + 4, ("%d descriptors, %d before"):format(open_files(), files))
  t.ok(threads() <= running, ("%d threads, %d before"):format(threads(), running))
end)
