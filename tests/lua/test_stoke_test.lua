-- stoke test, seen from outside: small test files in a folder of their own, run by the binary.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"

local PASSED_ON = require "binary".PASSED_ON

local HEAD = 'local test, stoke = require "stoke.test", require "stoke"\n'

-- A folder with these files; run(...) is `stoke test ...` in it. A file's text goes behind the usual requires.
local function place(files)
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  local self = setmetatable({ path = path }, { __close = function() fs.remove(path, { recursive = true }) end })
  function self.write(name, text)
    fs.mkdir((path .. "/" .. name):match "^(.*)/", { parents = true })
    fs.write(path .. "/" .. name, name:find "%.lua$" and HEAD .. text or text)
  end
  function self.run(...)
    local r = proc.run { argv = { about.executable(), "test", ... }, cwd = path, env = { HOME = path, TMPDIR = self.tmp }, env_allow = PASSED_ON,
      stdin = "", timeout = 60 }
    r.all = r.stdout .. r.stderr
    return r
  end
  for name, text in next, files do self.write(name, text) end
  return self
end

-- One file, one run.
local function run(text, ...)
  local here <close> = place { ["a_test.lua"] = text }
  return here.run(...)
end

local function has(t, r, text) t.ok(r.all:find(text, 1, true), ("no %q in:\n%s"):format(text, r.all)) end
local function lacks(t, r, text) t.ok(not r.all:find(text, 1, true), ("%q in:\n%s"):format(text, r.all)) end

local function last_line(r) return r.stdout:match "([^\n]*)\n$" end

test("stoke test: what passes, fails, raises and is left out is counted, the last line says how many", { real = true }, function(t)
  local r = run [[
    test("good", function(t) t.eq({ 1, { a = 2 } }, { 1, { a = 2 } }) end)
    test("bad", function(t) t.eq(1, 2) end)
    test("raises", function() local x; return x.y end)
    test("not today", { skip = "too late" }, function() end)
    test("not here", function(t) t.skip "no server" end)]]
  t.eq(r.code, 1)
  t.eq(last_line(r), "1 passed, 2 failed, 2 skipped")
  has(t, r, "FAIL a_test.lua: bad\n     value: expected 2, got 1\n     at a_test.lua:3\n")
  has(t, r, "a_test.lua:4: attempt to index a nil value (local 'x')")
  has(t, r, "skip a_test.lua: not today: too late")
  has(t, r, "skip a_test.lua: not here: no server")
  local good = run 'test("good", function(t) t.ok(true) end)'
  t.eq({ good.code, last_line(good) }, { 0, "1 passed, 0 failed" })
end)

test("stoke test: a failure may be told in anything, and a check that is called wrongly says so", { real = true }, function(t)
  local r = run [[
    test("number", function(t) t.fail(5) end)
    test("nothing", function(t) t.fail() end)
    test("table", function(t) t.eq(1, 2, { "why" }) end)
    test("kind", function(t) t.raises(5, error) end)
    test("function", function(t) t.raises("argument", nil) end)]]
  t.eq(last_line(r), "0 passed, 5 failed")
  has(t, r, "FAIL a_test.lua: number\n     5\n")
  has(t, r, "FAIL a_test.lua: nothing\n     failed\n")
  has(t, r, '{ "why" }: value: expected 2, got 1')
  has(t, r, "t.raises: a kind or a pattern expected, got 5")
  has(t, r, "t.raises: a function expected, got nil")
end)

test("stoke test: each test has the random numbers of the seed, whichever tests run before it", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = [[
    for i = 1, 3 do
      test("draws " .. i, function(t) t.fail(("drew %d %d"):format(math.random(1 << 40), stoke.rand.int(1, 1 << 40))) end)
    end]] }
  local all, numbers = here.run("--seed", "5").all, {}
  for drawn in all:gmatch "drew %d+ %d+" do numbers[#numbers + 1] = drawn end
  t.eq(numbers, { numbers[1], numbers[1], numbers[1] })
  has(t, here.run("-f", "draws 3", "--seed", "5"), numbers[1])
end)

test("stoke test: a test that ends the process says that the rest was not run", { real = true }, function(t)
  local r = run [[
    test("exits", function() os.exit(0) end)
    test("behind", function() end)]]
  has(t, r, "the tests behind it in the file were not run")
  t.eq(last_line(r), "0 passed, 1 failed")
end)

test("stoke test: finds *_test.lua and test_*.lua below ./tests, else below the folder", { real = true }, function(t)
  local one = 'test("x", function() end)'
  local here <close> = place { ["a_test.lua"] = one, ["test_b.lua"] = one, ["deep/er/c_test.lua"] = one,
    ["other.lua"] = "error 'no'",
    [".hidden/d_test.lua"] = "error 'no'", ["lua_modules/e_test.lua"] = "error 'no'" }
  t.eq(last_line(here.run()), "3 passed, 0 failed")
  t.eq(last_line(here.run "deep/"), "1 passed, 0 failed")
  t.eq(last_line(here.run("a_test.lua", "test_b.lua")), "2 passed, 0 failed")
  here.write("tests/f_test.lua", one)
  t.eq(last_line(here.run()), "1 passed, 0 failed")
end)

test("stoke test: a use that makes no sense has exit code 2", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = 'test("x", function() end)', ["empty/readme.txt"] = "" }
  for _, argv in ipairs { { "nothere" }, { "empty" }, { "--json", "--tap" }, { "-j", "0" }, { "-f", "nothing like it" },
    { "--nope" } } do
    local r = here.run(table.unpack(argv))
    t.eq(r.code, 2, table.concat(argv, " ") .. "\n" .. r.all)
  end
end)

test("stoke test: what a test leaves behind fails it", { real = true }, function(t)
  local r = run [[
    local kept
    test("task", function() stoke.spawn(stoke.sleep, 1e5) end)
    test("timer", function() stoke.every("beat", 1, function() end) end)
    test("server", function() kept = stoke.http.serve { mem = "kept", handler = function() return "x" end } end)
    test("cancelled", function() stoke.spawn(stoke.sleep, 1e5):cancel() end)
    test("waited for", function() stoke.spawn(stoke.sleep, 1):await() end)]]
  has(t, r, "FAIL a_test.lua: task\n     left behind: task spawned at a_test.lua:3, waits for time.sleep")
  has(t, r, "FAIL a_test.lua: timer\n     left behind:")
  has(t, r, "FAIL a_test.lua: server\n     left behind:")
  t.eq(last_line(r), "2 passed, 3 failed")
end)

test("stoke test: a check that fails fails its test, wherever it stands", { real = true }, function(t)
  local r = run [[
    local tool = stoke.tool { name = "look", params = {}, run = function() checks.eq(1, 2, "in a tool") return "seen" end }
    local function each(name, f) test(name, function(t) rawset(_G, "checks", t) f(t) end) end
    checks = false
    each("tool", function(t)
      t.model("qwen2.5:3b", { { tool = "look", args = {} }, "Done." })
      t.eq(stoke.agent { model = "qwen2.5:3b", tools = { tool } }:run("x").text, "Done.")
    end)
    each("try", function(t) stoke.try(function() t.ok(false, "in a try") end) end)
    each("pcall", function(t) pcall(t.fail, "in a pcall") end)
    each("raises", function(t) t.raises(nil, t.eq, 1, 2) end)
    each("race", function(t) stoke.try(stoke.race, { function() t.eq(1, 2, "in a race") end }) end)
    each("task", function(t) stoke.try(function() stoke.spawn(function() t.contains({}, { a = 1 }) end):await() end) end)
    each("handler", function(t)
      local server <close> = stoke.http.serve { mem = "h", handler = function() t.eq(1, 2, "in a handler") end }
      stoke.try(stoke.http.get, server.url)
    end)
    each("reply", function(t)
      t.model("qwen2.5:3b", function(request) t.eq(request.model, "other", "in a reply") return "x" end)
      stoke.try(function() stoke.agent { model = "qwen2.5:3b" }:run "x" end)
    end)
    each("passed on", function(t) t.eq(1, 2, "once") end)
    each("after it", function(t) t.eq(1, 1) end)]]
  t.eq(last_line(r), "1 passed, 9 failed")
  for _, spot in ipairs { "tool", "try", "pcall", "race", "handler", "reply" } do has(t, r, "in a " .. spot) end
  has(t, r, "a_test.lua:2 (its error was caught; a check that fails fails its test)")
  t.eq(select(2, r.all:gsub("once: value: expected 2", "")), 1, "what the test failed with is told once")
end)

test("stoke test: what is open or written when a test ends is left behind", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = [[
    local fs = stoke.fs
    test("watch", function() fs.watch "." end)
    test("stream", function(t) t.model { "a b c" } stoke.ollama.stream { model = "m", prompt = "x" } end)
    test("program", { programs = true }, function() stoke.proc.spawn { argv = { "cat" } } end)
    test("file", function() fs.write("out.txt", "x") end)
    test("folders", function() fs.mkdir("a/b/c", { parents = true }) fs.write("a/b/c/d.txt", "x") end)
    test("below a root", function() fs.write("rooted.txt", "x", { root = "." }) end)
    test("renamed", function() fs.rename("mine.txt", "other.txt") end)
    test("tool", function(t)
      t.model { { tool = "write_file", args = { path = "told.txt", content = "x" } }, "Done." }
      stoke.policy { allow = { tool = { "write_file" } } }
      stoke.agent { model = "m", tools = { stoke.tools.write_file { root = "." } } }:run "x"
    end)
    test("closed", function()
      local watch <close> = fs.watch "."
      for _ in stoke.ollama.stream { model = "qwen2.5:3b", prompt = "x" } do break end
    end)
    test("removed", function() fs.write("out.txt", "x") fs.remove "out.txt" end)
    test("was there", function() fs.write("data.txt", "y") end)
    test("own folder", function(t)
      t.ne(t.tmp(), t.tmp())
      fs.mkdir(t.tmp() .. "/a/b", { parents = true })
      fs.write(t.tmp() .. "/x.txt", "x")
    end)]], ["data.txt"] = "x", ["mine.txt"] = "precious" }
  local r = here.run()
  t.eq(last_line(r), "4 passed, 8 failed")
  has(t, r, "FAIL a_test.lua: watch\n     left behind: an open fs.watch\n")
  has(t, r, "left behind: an open llm.stream")
  has(t, r, "left behind: an open proc.spawn")
  has(t, r, "/out.txt (removed now; t.tmp() is for a test's files)")
  has(t, r, "FAIL a_test.lua: folders\n     left behind: ")
  lacks(t, r, "c/d.txt")
  has(t, r, "/told.txt")
  t.eq(fs.read(here.path .. "/other.txt"), "precious", "what was there before, under another name, is not removed")
  local names = {}
  for _, entry in ipairs(fs.list(here.path)) do names[#names + 1] = entry.name end
  t.eq(names, { "a_test.lua", "data.txt", "other.txt" })
  fs.rename(here.path .. "/other.txt", here.path .. "/mine.txt")
  t.eq(last_line(here.run()), "4 passed, 8 failed", "the same again")
end)

test("stoke test: t.tmp is empty, differs from test to test, and is gone at the end", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = [[
    test("one", function(t) local path = t.tmp() stoke.fs.write(path .. "/x", "x") print(path) t.fail() end)
    test("two", function(t) local path = t.tmp() t.eq(#stoke.fs.list(path), 0) print(path) t.fail() end)]] }
  here.tmp = here.path -- in the common one another suite may take the name again
  local r, count = here.run(), 0
  for path in r.all:gmatch "| (/%S*)" do
    count = count + 1
    t.eq(fs.stat(path), nil)
  end
  t.eq(count, 2)
end)

test("stoke test: a test starts programs only if it says so", { real = true }, function(t)
  local r = run [[
    local function start() return stoke.proc.run { argv = { "true" } }.code end
    test("offline", function() start() end)
    test("spawned", function() stoke.proc.spawn { argv = { "cat" } } end)
    test("programs", { programs = true }, function(t) t.eq(start(), 0) end)
    test("an hour beside them", { programs = true }, function(t) stoke.sleep(3600) t.eq(start(), 0) end)
    test("real", { real = true }, function(t) t.eq(start(), 0) end)
    test("again offline", function(t) t.raises("denied", start) end)]]
  t.eq(last_line(r), "4 passed, 2 failed")
  has(t, r, 'a test starts no programs unless it says so: the string "true" was not started')
  has(t, r, "{ programs = true } lets this test start them")
end)

test("stoke test: a real test that asks for more time than the patience gets it", { real = true }, function(t)
  local r = run([[test("slow", { real = true, timeout = 30 }, function() stoke.sleep(0.6) end)]], "--patience", "0.3")
  t.eq(last_line(r), "1 passed, 0 failed")
  r = run([[test("slow", { real = true }, function() stoke.sleep(0.6) end)]], "--patience", "0.3")
  has(t, r, "no end after 0.3 s of real time")
end)

test("stoke test: a test's own timeout is of its own clock, its patience of the real one", { real = true }, function(t)
  local r = run [[
    test("too slow", { timeout = 5 }, function() stoke.sleep(6) end)
    test("an hour", function() stoke.sleep(3600) end)]]
  has(t, r,
    "FAIL a_test.lua: too slow\n     timeout: the test did not end within 5 s of its own clock\n       at a_test.lua:2")
  t.eq(last_line(r), "1 passed, 1 failed")
  local stuck = run([[test("stuck", function() while true do end end)]], "--patience", "0.5")
  has(t, stuck, "FAIL a_test.lua: stuck\n     no end after 0.5 s of real time")
  t.eq(last_line(stuck), "0 passed, 1 failed")
end)

test("stoke test: a test that never waits ends, says where it was, and the tests behind it run", { real = true }, function(t)
  local r = run([[
    test("stuck", function()
      while true do end
    end)
    test("next", function() end)]], "--patience", "8")
  has(t, r, "FAIL a_test.lua: stuck\n     timeout: the test ran for 2 s of real time without waiting, at a_test.lua:3\n")
  t.eq(last_line(r), "1 passed, 1 failed")
end)

test("stoke test: a test that waits for ever ends, and says where it waited", { real = true }, function(t)
  local r = run 'test("stuck", function() stoke.channel(1):recv() end)'
  has(t, r, "the test did not end within 1000000 s of its own clock\n       at a_test.lua:2")
end)

test("stoke test: a model that runs out of words fails the test, whatever becomes of the error", { real = true }, function(t)
  local r = run [[
    test("short", function(t)
      t.model("qwen2.5:3b", { "one" })
      local bot = stoke.agent { model = "qwen2.5:3b" }
      t.eq(bot:run("first").text, "one")
      stoke.try(function() bot:run "second" end)
    end)]]
  has(t, r, "FAIL a_test.lua: short\n     the script of the model qwen2.5:3b has 1 reply and was asked a 2nd time; "
    .. 'its last message was "second"\n')
  t.eq(last_line(r), "0 passed, 1 failed")
end)

test("stoke test: Ctrl-C ends the run", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = 'test("x", { real = true }, function() print(1) stoke.sleep(600) end)' }
  local child <close> = proc.spawn { argv = { about.executable(), "test", "a_test.lua" }, cwd = here.path,
    env = { HOME = here.path }, env_allow = PASSED_ON, stderr = "merge", stdin = false }
  stoke.sleep(0.3)
  child:kill "INT"
  t.eq(child:wait().code, 130)
end)

test("stoke test: a file that does not load and one whose process dies are named failures", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = "x = = 1", ["b_test.lua"] = [[
    test("first", function() end)
    test("leaves", function() os.exit(7) end)]], ["c_test.lua"] = 'test("fine", function() end)' }
  local r = here.run()
  has(t, r, "FAIL a_test.lua: (loading the file)")
  has(t, r, "FAIL b_test.lua: leaves")
  t.eq(last_line(r), "2 passed, 2 failed")
end)

test("stoke test: a script under test is required, not run", { real = true }, function(t)
  local here <close> = place { ["bot.lua"] = [[
    stoke.every("beat", 1, function() end)
    stoke.main(function() error "run" end)
    return { answer = 42 }]], ["a_test.lua"] = [[
    local bot = require "bot"
    test("one", function(t) t.eq(bot.answer, 42) end)
    test("two", function(t) stoke.sleep(100) end)]] }
  t.eq(last_line(here.run()), "2 passed, 0 failed")
end)

test("stoke test: what a test prints is shown when it fails, and is no record", { real = true }, function(t)
  local r = run [[
    test("quiet", function() print "unseen" end)
    test("loud", function(t) print '{"name":"loud","passed":true}' io.write "half a line" t.fail "no" end)]]
  has(t, r, '     | {"name":"loud","passed":true}\n     | half a line\n')
  lacks(t, r, "unseen")
  t.eq(last_line(r), "1 passed, 1 failed")
end)

test("stoke test: the seed of a failure repeats it", { real = true }, function(t)
  local here <close> = place { ["a_test.lua"] = [[
    test("it's luck", function(t) t.fail("drew " .. math.random(1 << 40)) end)
    test("other", function() end)]] }
  local first = here.run()
  local drawn = first.stdout:match "drew %d+"
  local command = first.stdout:match "again: stoke test (.-)\n"
  t.match(command, "^a_test.lua %-f 'it'\\''s luck' %-%-seed %d+$")
  local again = proc.run { argv = { "sh", "-c", about.executable() .. " test " .. command }, cwd = here.path,
    env = { HOME = here.path }, env_allow = PASSED_ON, stdin = "", timeout = 60 }
  t.eq(again.stdout:match "drew %d+", drawn)
  t.match(again.stdout, "0 passed, 1 failed\n$")
  t.ne(here.run().stdout:match "drew %d+", drawn)
end)

test("stoke test: -f takes a text or a pattern", { real = true }, function(t)
  local text = 'for _, n in ipairs { "a (b)", "abc", "xyz" } do test(n, function() end) end'
  for filter, count in next, { ["a (b)"] = 1, ["^a"] = 2, ["z"] = 1, ["b%)$"] = 1 } do
    t.eq(last_line(run(text, "-f", filter)), count .. " passed, 0 failed", filter)
  end
end)

test("stoke test: files run at once, each in a process of its own", { real = true }, function(t)
  local text = [[
    marks = (rawget(_G, "marks") or 0) + 1
    test("alone", function(t) t.eq(marks, 1) end)
    test("slow", { real = true }, function() stoke.sleep(0.4) end)]]
  local files = {}
  for i = 1, 4 do files[("f%d_test.lua"):format(i)] = text end
  local here <close> = place(files)
  local r = here.run("-j", "4", "--json")
  local lines = {}
  for line in r.stdout:gmatch "[^\n]+" do lines[#lines + 1] = json.decode(line) end
  local summary = lines[#lines]
  t.eq({ summary.summary, summary.passed, summary.failed, summary.files }, { true, 8, 0, 4 })
  t.ok(summary.seconds < 1.5, "four times 0.4 s took " .. summary.seconds)
end)

test("stoke test: --json has one object a test, and a summary", { real = true }, function(t)
  local r = run([[
    test("good", function() end)
    test("bad", function(t) print "\xff" t.fail "no \xfe" end)
    test("left out", { skip = "so" }, function() end)]], "--json", "--seed", "3")
  t.eq(r.code, 1)
  local lines = {}
  for line in r.stdout:gmatch "[^\n]+" do lines[#lines + 1] = json.decode(line) end
  t.eq(#lines, 4)
  t.eq({ lines[1].file, lines[1].name, lines[1].outcome }, { "a_test.lua", "good", "passed" })
  t.eq({ lines[2].outcome, lines[2].message, lines[2].again }, { "failed", "no \\xfe", "stoke test a_test.lua -f bad --seed 3" })
  t.eq({ lines[3].outcome, lines[3].message }, { "skipped", "so" })
  t.eq({ lines[4].passed, lines[4].failed, lines[4].skipped, lines[4].seed }, { 1, 1, 1, 3 })
end)

test("stoke test: --tap is TAP 13", { real = true }, function(t)
  local r = run([[
    test("good", function() end)
    test("bad # one", function(t) t.eq("a", "b") end)
    test("left out", { skip = "so" }, function() end)]], "--tap", "--seed", "3")
  t.eq(r.stdout, table.concat({ "TAP version 13", "ok 1 - a_test.lua: good", "not ok 2 - a_test.lua: bad \\# one", "  ---",
    "  message: |", '    value: expected "b", got "a"', "    at a_test.lua:3",
    "    again: stoke test a_test.lua -f 'bad # one' --seed 3", "  ...",
    "ok 3 - a_test.lua: left out # SKIP so", "1..3", "# 1 passed, 1 failed, 1 skipped", "" }, "\n"))
  t.eq(r.code, 1)
end)

test("stoke test: --slow lists the slowest", { real = true }, function(t)
  local r = run([[
    test("quick", function() end)
    test("slow", { real = true }, function() stoke.sleep(0.05) end)]], "--slow", "1")
  t.match(r.stdout, "slowest:\n +0%.%d+ s  a_test.lua: slow\n2 passed")
end)

test("stoke test: golden files are missing, written, compared and rewritten", { real = true }, function(t)
  local text = [[
    test("report", function(t)
      t.golden("text", "one\ntwo\nthree")
      t.golden("value", { b = { 1, 2 }, a = "x", ["a b"] = true })
      t.eq(#t.effects(), 0)
    end)]]
  local here <close> = place { ["sub/a_test.lua"] = text }
  local missing = here.run()
  has(t, missing, "there is no golden file sub/golden/text.txt")
  has(t, missing, "stoke test sub/a_test.lua -f report --update")
  t.eq(last_line(missing), "0 passed, 1 failed")
  local written = here.run "--update"
  has(t, written, "wrote sub/golden/text.txt\nwrote sub/golden/value.txt\n")
  t.eq(last_line(written), "1 passed, 0 failed")
  t.eq(fs.read(here.path .. "/sub/golden/text.txt"), "one\ntwo\nthree\n")
  t.eq(fs.read(here.path .. "/sub/golden/value.txt"),
    '{\n  a = "x",\n  ["a b"] = true,\n  b = {\n    1,\n    2,\n  },\n}\n')
  local same = here.run()
  t.eq(last_line(same), "1 passed, 0 failed")
  lacks(t, here.run "--update", "wrote")
  here.write("sub/a_test.lua", (text:gsub("two", "2")))
  local changed = here.run()
  has(t, changed, "sub/golden/text.txt: the texts differ from line 2 on (- expected, + got)\n       one\n     - two\n     + 2\n")
  t.eq(last_line(here.run "--update"), "1 passed, 0 failed")
  t.eq(last_line(here.run()), "1 passed, 0 failed")
end)
