-- Code that never waits: its deadlines, its cancellation and the limit of memory reach it all the same, and the others live.

local test = require "stoke.test"
local stoke = require "stoke"
local about = require "core.about"
local http = require "stoke.http"
local overrun = require "core.overrun"
local proc = require "stoke.proc"

local PASSED_ON = require "binary".PASSED_ON

-- ThreadSanitizer holds signals back until code that it compiled runs again; Lua's loop is none.
local blind = os.getenv "TSAN_OPTIONS" and "ThreadSanitizer holds signals back" or nil

-- The report of a task that runs long is not what is asked about here.
local function run(code, max_memory)
  local result = proc.run { argv = { about.executable(), "--max-memory", max_memory or "0", "-e", code },
    env_allow = PASSED_ON, env = { HOME = "/nonexistent" }, stderr = "merge", timeout = 120 }
  return (result.stdout:gsub("stoke: a task has run[^\n]*\n", "")), result.code
end

-- Under the real clock; `body` is a function that must end by its deadline, though nobody else can run.
local LOOPS = {
  { "a loop", "while true do end" },
  { "a loop that catches every error", "while true do pcall(error) end" },
  { "a loop inside pcall inside a loop", "while true do pcall(function() while true do end end) end" },
  { "waits that are refused, and caught", "while true do pcall(stoke.sleep, 10) end" },
  { "waits that are refused, in stoke.try", "while true do stoke.try(stoke.sleep, 10) end" },
  { "a generator", "for _ in coroutine.wrap(function() while true do end end) do end" },
  { "one coroutine after the other", "while true do pcall(coroutine.wrap(function() for _ = 1, 1e6 do end end)) end" },
  { "a comparison in table.sort", [[
    local t = {}
    for i = 1, 1000 do t[i] = i end
    while true do table.sort(t, function(a, b) return a * 7919 % 1009 < b * 7919 % 1009 end) end]] },
  { "a replacement in string.gsub", "while true do (('x'):rep(1000)):gsub('.', function() return 'yy' end) end" },
  { "a metamethod", [[
    local t = setmetatable({}, { __index = function() while true do end end })
    print(t.x)]] },
  { "a handler of xpcall", "xpcall(error, function() while true do end end)" },
  { "a handler of what broke a loop", [[
    while true do xpcall(function() while true do end end, function() while true do end end) end]] },
  { "coroutine.close", [[
    local co = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function() while true do end end })
      coroutine.yield()
    end)
    coroutine.resume(co)
    coroutine.close(co)]] },
}

for _, case in ipairs(LOOPS) do
  test("a deadline reaches code that never waits: " .. case[1], { real = true, skip = blind }, function(t)
    local text, code = run(([[
      local stoke = require "stoke"
      stoke.main(function()
        local _, err = stoke.try(stoke.timeout, 0.1, function() %s end)
        print(err.kind, err.message)
        local channel = stoke.channel(1)
        stoke.spawn(function() for i = 1, 3 do channel:send(i) stoke.sleep(0.001) end channel:close() end)
        for i in channel do print(i, stoke.race { function() return stoke.timeout(1, function() return i end) end }) end
      end)]]):format(case[2]))
    t.match(text, "^timeout\tdeadline of 0.1 s of the scope opened at [^\n]*\n1\t1\t1\n2\t2\t1\n3\t3\t1\n$")
    t.eq(code, 0)
  end)
end

test("a tool that loops ends by its timeout, and the agents beside it go on", { real = true, skip = blind }, function(t)
  local text, code = run([[
    local stoke = require "stoke"
    local stuck = stoke.tool { name = "stuck", timeout = 0.1, run = function() while true do end end }
    stoke.main(function()
      local other = stoke.spawn(function() stoke.sleep(0.01) return "the other went on" end)
      local _, err = stoke.try(stuck.call, stuck, {})
      print(err.kind, err.message)
      print(other:await())
    end)]])
  t.eq({ text, code }, { "timeout\tstuck did not finish within 0.1 s\nthe other went on\n", 0 })
end)

test("a deadline of a scope reaches a child that never waits", { real = true, skip = blind }, function(t)
  local text = run([[
    local stoke = require "stoke"
    stoke.main(function()
      local _, err = stoke.try(function()
        local scope <close> = stoke.scope { deadline = 0.1 }
        scope:spawn(function() while true do end end)
        scope:wait()
      end)
      print(err.kind)
    end)]])
  t.eq(text, "deadline\n")
end)

test("a shield keeps a deadline off, its own ends it", { real = true, skip = blind }, function(t)
  local text = run([[
    local stoke = require "stoke"
    stoke.main(function()
      stoke.try(stoke.timeout, 0.1, function()
        local _, err = stoke.try(stoke.shield, 0.5, function() while true do end end)
        print(err.kind, err.message:match "of 0.5 s")
      end)
    end)]])
  t.eq(text, "timeout\tof 0.5 s\n")
end)

test("<close> handlers of code that was broken run", { real = true, skip = blind }, function(t)
  local text = run([[
    local stoke = require "stoke"
    stoke.main(function()
      stoke.try(stoke.timeout, 0.1, function()
        local _ <close> = setmetatable({}, { __close = function() stoke.sleep(0.01) print "closed" end })
        while true do end
      end)
    end)]])
  t.eq(text, "closed\n")
end)

test("a <close> handler that never ends is cut off after five seconds", { real = true, skip = blind }, function(t)
  local text = run([[
    local stoke = require "stoke"
    stoke.main(function()
      local _, err = stoke.try(stoke.timeout, 0.1, function()
        local _ <close> = setmetatable({}, { __close = function() while true do pcall(error) end end })
        stoke.sleep(10)
      end)
      print(err.kind)
    end)]])
  t.match(text, "timeout\n$")
end)

test("in virtual time, what a task has spent of the real counts", { skip = blind }, function(t)
  local before = stoke.time.monotonic()
  local _, err = stoke.try(stoke.timeout, 0.1, function() while true do end end)
  t.eq(err.kind, "timeout")
  t.eq(stoke.time.monotonic(), before)
end)

local HOARDERS = {
  { "tables", "local t = {} while true do t[#t + 1] = {} end" },
  { "strings", "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end" },
  { "one string that doubles", "local s = 'x' while true do s = s .. s end" },
  { "coroutines", "local t = {} while true do t[#t + 1] = coroutine.create(print) end" },
  { "what pcall catches", "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1e6) .. #t end) end" },
  { "in slow steps", "local t = {} while true do for _ = 1, 100 do t[#t + 1] = ('x'):rep(1000) .. #t end stoke.sleep(0) end" },
}

for _, case in ipairs(HOARDERS) do
  test("the limit of memory ends who grows the heap: " .. case[1], { real = true, skip = blind }, function(t)
    local text, code = run(([[
      local stoke = require "stoke"
      local hoard = stoke.tool { name = "hoard", run = function() %s end }
      stoke.main(function()
        local other = stoke.spawn(function() stoke.sleep(0.01) return #("y"):rep(1000) end)
        local _, err = stoke.try(hoard.call, hoard, {})
        print(err.kind, err.hint)
        print(other:await())
        local again = {}
        for i = 1, 1e5 do again[i] = {} end
        print "room again"
      end)]]):format(case[2]), "64M")
    t.match(text, "^limit\tkeep less at once, or raise the limit: %-%-max%-memory [^\n]*\n1000\nroom again\n$")
    t.eq(code, 0)
  end)
end

test("garbage is no reason to end a task", { real = true }, function(t)
  local text = run("for i = 1, 2000 do local s = ('0123456789'):rep(1e4) .. i end print 'fine'", "32M")
  t.eq(text, "fine\n")
end)

test("an amount of memory is read as a person writes it", function(t)
  t.eq(overrun.bytes "1024", 1024)
  t.eq(overrun.bytes "512M", 512 * 1024 * 1024)
  t.eq(overrun.bytes "1.5g", 1536 * 1024 * 1024)
  t.eq(overrun.bytes "2 GiB", 2 * 1024 * 1024 * 1024)
  t.eq(overrun.bytes(0), 0)
  t.ok(overrun.bytes "50%" > 0)
  for _, wrong in ipairs { "", "many", "-1", "1X", "101%", "1e3", -5, 0.5 } do t.eq(overrun.bytes(wrong), nil) end
end)

test("--max-memory that is no amount is an error of use", { real = true }, function(t)
  local text, code = run("print 'ran'", "lots")
  t.match(text, "%-%-max%-memory wants bytes, as in \"512M\", \"2G\" or \"50%%\", or 0 for no limit, got \"lots\"")
  t.eq(code, 2)
end)

-- ---- a process that was stopped ----------------------------------------------------------------------------------------

-- Runs code, stops the process for a while when it says "ready", and gives what it wrote.
local function stopped(code, seconds)
  local child <close> = proc.spawn { argv = { about.executable(), "-e", code }, env_allow = PASSED_ON,
    env = { HOME = "/nonexistent" }, stderr = "merge", stdin = false }
  local lines = {}
  for line in child:lines() do
    if line == "ready" then
      child:kill "SIGSTOP"
      stoke.sleep(seconds)
      child:kill "SIGCONT"
    else
      lines[#lines + 1] = line
    end
  end
  child:wait()
  return table.concat(lines, "\n")
end

test("a stopped process reads what came in time before it judges a deadline", { real = true }, function(t)
  local server <close> = http.serve { port = 0, handler = function(_, res)
    res:start(200, {})
    for i = 1, 40 do
      res:write(i .. "\n")
      stoke.sleep(0.02)
    end
  end }
  t.eq(stopped(([[
    local stoke = require "stoke"
    local lines = 0
    for line in stoke.http.get("%s", { stream = "lines", timeout = { idle = 0.5 } }):lines() do
      lines = lines + 1
      if lines == 5 then print "ready" io.stdout:flush() end
    end
    print(lines)]]):format(server.url), 1.5), "40")
end)

test("after a stop, what was due first goes first", { real = true }, function(t)
  t.eq(stopped([[
    local stoke = require "stoke"
    local channel = stoke.channel(1)
    stoke.spawn(function() stoke.sleep(0.3) channel:send "in time" end)
    stoke.spawn(function() stoke.sleep(0.05) print "ready" io.stdout:flush() end)
    print(channel:recv(0.6))
    print(stoke.timeout(0.6, function() stoke.sleep(0.3) return "in time" end))]], 1.5), "in time\nin time")
end)

test("what an engine cannot keep for the limit of memory is an error of kind limit", { real = true }, function(t)
  local text = run([[
    local stoke = require "stoke"
    local _, err = stoke.try(stoke.proc.run, { argv = { "yes" }, max_output = 1e12 })
    print(err.kind, err.message)
    print(#stoke.proc.run { argv = { "echo", "room again" } }.stdout)]], "64M")
  t.eq(text, "limit\tout of memory: cannot keep what the process says\n11\n")
end)

test("a finalizer that never ends is broken by a deadline, and its errors are told", { real = true, skip = blind }, function(t)
  local text = run([[
    local stoke = require "stoke"
    stoke.main(function()
      local _, err = stoke.try(stoke.timeout, 0.2, function()
        setmetatable({}, { __gc = function() while true do end end })
        collectgarbage()
        stoke.sleep(10)
      end)
      print(err.kind)
      setmetatable({}, { __gc = function() error "oh" end })
      collectgarbage()
      local seen
      setmetatable({ 7 }, { __gc = function(object) seen = object[1] end })
      collectgarbage()
      print(seen)
    end)]])
  t.match(text, "a finalizer %(__gc%) failed: .*timeout\n")
  t.match(text, "a finalizer %(__gc%) failed: %-e:%d+: oh\n")
  t.match(text, "7\n$")
end)

test("a signal ends a process that is stuck in one native function", { real = true, skip = blind }, function(t)
  local child <close> = proc.spawn { argv = { about.executable(), "-e", 'print(("a"):rep(40000):find((".-"):rep(6) .. "b"))' },
    env_allow = PASSED_ON, env = { HOME = "/nonexistent" }, stderr = "merge", stdin = false }
  local said
  for line in child:lines() do
    said = said or line
    child:kill "SIGTERM"
  end
  t.match(said, "inside one native function")
  t.eq(child:wait().code, 143)
end)
