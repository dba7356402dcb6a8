-- Ctrl-C, SIGTERM, and tasks that never wait: the binary seen from outside.

local test = require "stoke.test"
local stoke = require "stoke"
local about = require "core.about"
local proc = require "stoke.proc"
local time = require "stoke.time"

local PASSED_ON = require "binary".PASSED_ON

-- Under a sanitizer or valgrind everything takes its time.
local patience = tonumber(os.getenv "STOKE_SCALE") and 20 or 5

-- Runs code, tells `script` when a line containing `mark` has been written, and gathers what was said.
local function watch(code, mark, script)
  local child <close> = proc.spawn { argv = { about.executable(), "-e", code }, env_allow = PASSED_ON,
                                     env = { HOME = "/nonexistent" }, stderr = "merge", stdin = false }
  local lines, result = {}, {}
  for line in child:lines() do
    lines[#lines + 1] = line
    if line:find(mark, 1, true) and not result.since then
      result.since = time.monotonic()
      script(child)
    end
  end
  local status = child:wait()
  result.code, result.signal, result.text = status.code, status.signal, table.concat(lines, "\n")
  result.took = result.since and time.monotonic() - result.since
  return result
end

local function interrupt(child) child:kill "SIGINT" end

test("Ctrl-C cancels the main task and runs <close>, the second ends at once", { real = true }, function(t)
  local waits = [[
    local stoke = require "stoke"
    local _ <close> = setmetatable({}, { __close = function(_, err)
      stoke.sleep(0.1)
      print("closed by", err.kind, err.message)
      if arg[1] then stoke.sleep(100) end
    end })
    stoke.spawn(function()
      local _ <close> = setmetatable({}, { __close = function() print "child closed" end })
      stoke.sleep(100)
    end)
    print "ready"
    stoke.sleep(100)]]
  local r = watch(waits, "ready", interrupt)
  t.eq(r.code, 130, r.text)
  t.match(r.text, "child closed")
  t.match(r.text, "closed by\tcancelled\tSIGINT")
  t.ok(r.took < patience)
  r = watch(waits, "ready", function(child) child:kill "SIGTERM" end)
  t.eq(r.code, 143, r.text)
  t.match(r.text, "closed by\tcancelled\tSIGTERM")
  r = watch(waits:gsub("if arg%[1%] then", "if true then"), "ready", function(child)
    interrupt(child)
    stoke.sleep(0.5)
    interrupt(child)
  end)
  t.eq(r.code, 130)
  t.ok(r.took < patience)
end)

-- The terminal that it runs on is closed.
local function hang_up(child) child:kill "SIGHUP" end

local HANGS = [[
  local stoke = require "stoke"
  local proc = require "stoke.proc"
  local _ <close> = setmetatable({}, { __close = function(_, err)
    stoke.sleep(WAIT)
    print("closed by", err.kind, err.message)
  end })
  stoke.spawn(function() proc.run { argv = { "sleep", "300" } } end)
  local p = proc.spawn { argv = { "sleep", "300" } }
  print("ready", p.pid)
  stoke.sleep(100)]]

-- Not one that has ended and was not asked how, either.
local function lives(pid)
  return proc.run({ argv = { "sh", "-c", "kill -0 $1 && ! grep -qs '^State:.Z' /proc/$1/status", "sh", pid } }).code == 0
end

test("a closed terminal ends the program as SIGTERM does, with its child programs", { real = true }, function(t)
  local r = watch(HANGS:gsub("WAIT", "0.1"), "ready", hang_up)
  t.eq(r.code, 129, r.text)
  t.match(r.text, "closed by\tcancelled\tSIGHUP")
  t.eq(lives(r.text:match "ready\t(%d+)"), false)
end)

test("a closed terminal is told twice, by the kernel and the shell, and counts once", { real = true }, function(t)
  local r = watch(HANGS:gsub("WAIT", "0.2"), "ready", function(child)
    for _ = 1, 3 do hang_up(child) end
  end)
  t.eq(r.code, 129, r.text)
  t.match(r.text, "closed by")
  r = watch(HANGS:gsub("WAIT", "100"), "ready", function(child)
    hang_up(child)
    stoke.sleep(0.5)
    hang_up(child)
  end)
  t.eq(r.code, 129, r.text)
  t.ok(not r.text:find "closed by", r.text)
  t.eq(lives(r.text:match "ready\t(%d+)"), false, "a child program of a host that ended at once")
end)

test("under nohup a closed terminal changes nothing", { real = true }, function(t)
  local code = [[require "stoke".sleep(0.5) print "still here"]]
  local nohup = 'trap "" HUP; (sleep 0.2; kill -HUP $$) & exec "$@"'
  local r = proc.run { argv = { "sh", "-c", nohup, "sh", about.executable(), "-e", code }, env_allow = PASSED_ON,
    env = { HOME = "/nonexistent" } }
  t.eq({ r.code, r.stdout }, { 0, "still here\n" })
end)

test("Ctrl-C ends the timers of stoke.every, with their handlers", { real = true }, function(t)
  local r = watch([[
    local stoke = require "stoke"
    stoke.every("x", 0.01, function()
      local _ <close> = setmetatable({}, { __close = function() stoke.sleep(0.01) print "timer closed" end })
      print "ready"
      stoke.sleep(100)
    end)]], "ready", interrupt)
  t.eq({ r.code, r.text }, { 130, "ready\ntimer closed" })
  t.ok(r.took < 4)
end)

test("Ctrl-C: what does not end in five seconds is abandoned, and the program ends", { real = true }, function(t)
  local r = watch([[
    local stoke = require "stoke"
    local _ <close> = setmetatable({}, { __close = function() stoke.sleep(1000) end })
    print "ready"
    stoke.sleep(1000)]], "ready", interrupt)
  t.eq(r.code, 130, r.text)
  t.match(r.text, "abandoned task main %(.*%): it did not end within 5 s of being cancelled; it waits for time.sleep")
  t.ok(r.took >= 4.9 and r.took < 5 + patience, r.took)
end)

test("a script's own error during Ctrl-C is told", { real = true }, function(t)
  local r = watch([[
    local stoke = require "stoke"
    local _ <close> = setmetatable({}, { __close = function() error "cleanup failed" end })
    print "ready"
    stoke.sleep(100)]], "ready", interrupt)
  t.eq(r.code, 130)
  t.match(r.text, "cleanup failed")
end)

local RUNAWAYS = {
  { "a loop", "print 'go'\nwhile true do end", 2 },
  { "a loop that catches errors", "print 'go'\nwhile true do pcall(error) end", 2 },
  { "a loop around stoke.try", "print 'go'\nlocal try = require 'stoke'.try\nwhile true do try(error, 'x') end", 3 },
  { "a nested coroutine", [[
local function spin() while true do end end
coroutine.wrap(function() coroutine.wrap(function() print 'go' spin() end)() end)()]], 1 },
  { "one coroutine after the other", [[
print 'go'
while true do pcall(coroutine.wrap(function() for _ = 1, 1e7 do end end)) end]], 2 },
  { "a task beside main", [[
local stoke = require 'stoke'
stoke.spawn(function() print 'go' while true do end end)
stoke.sleep(100)]], 2 },
  { "a close handler", [[
local _ <close> = setmetatable({}, { __close = function() print 'go' while true do end end })
error 'first']], 1 },
}

-- ThreadSanitizer holds signals back until code that it compiled runs again; Lua's loop is none.
local blind = os.getenv "TSAN_OPTIONS" and "ThreadSanitizer holds signals back" or nil

for _, case in ipairs(RUNAWAYS) do
  local name = ("a runaway is reported with its line and broken by Ctrl-C: %s"):format(case[1])
  test(name, { real = true, skip = blind }, function(t)
    local seen = false
    local child <close> = proc.spawn { argv = { about.executable(), "-e", case[2] }, env_allow = PASSED_ON,
      env = { HOME = "/nonexistent" }, stderr = "merge", stdin = false }
    local lines, interrupted = {}, nil
    for line in child:lines() do
      lines[#lines + 1] = line
      if line:find "has run for" then
        seen = true
        t.match(line, ("has run for 1.0 s without waiting, at %%-e:%d;"):format(case[3]))
        interrupted = time.monotonic()
        child:kill "SIGINT"
      end
    end
    local status = child:wait()
    local text = table.concat(lines, "\n")
    t.ok(seen, text)
    t.eq(status.code, 130, text)
    t.ok(time.monotonic() - interrupted < patience, text)
    t.ok(not text:find "internal error" and not text:find "no text", text)
    local _, reports = text:gsub("has run for", "")
    t.eq(reports, 1)
  end)
end

-- One slice of so many seconds, in most of which the process is stopped: as one that waits for the processor, or in the kernel.
local function stopped(seconds)
  local code = [[
    local monotonic = require "stoke".time.monotonic
    local begin = monotonic()
    io.stderr:write "go\n"
    while monotonic() < begin + %g do end
    print "done"]]
  return watch(code:format(seconds + 0.6), "go", function(child)
    stoke.sleep(0.3) -- the watchdog has seen the slice
    child:kill "SIGSTOP"
    stoke.sleep(seconds)
    child:kill "SIGCONT"
  end)
end

test("a slice is not blamed for time in which it had no processor", { real = true }, function(t)
  local r = stopped(1.5)
  t.eq({ r.code, r.text }, { 0, "go\ndone" })
end)

test("a slice that takes ten seconds without running is reported in words of its own", { real = true, skip = blind,
  timeout = 60 }, function(t)
  t.match(stopped(10.1).text, "^go\nstoke: a task has not waited for 1%d%.%d s, but had the processor for only 0%.%d s of them, "
    .. "at %-e:4: a call that blocks the process, or a machine with too much to do;[^\n]*\ndone$")
end)

test("a slice that was long leaves no report to a short one", { real = true }, function(t)
  local r = watch([[
    local stoke = require "stoke"
    local function burn(s) local e = os.clock() + s while os.clock() < e do end end
    local gen = coroutine.wrap(function() while true do burn(1.4) coroutine.yield() end end)
    gen()
    gen = coroutine.wrap(function() for _ = 1, 3 do coroutine.yield() end print "done" end)
    for _ = 1, 3 do stoke.sleep(0.01) gen() end
    stoke.sleep(0.01)
    gen()]], "done", function() end)
  t.eq(r.code, 0, r.text)
  local _, reports = r.text:gsub("has run for", "")
  t.ok(reports <= 1, r.text)
end)
