-- Hot reload as it is used: files that editors save, conversations that go on, stoke run --watch.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local pool = require "core.gate.pool"
local proc = require "stoke.proc"
local reload = require "stoke.reload"
local reloading = require "reloading"
local scripted = require "scripted"
local stoke = require "stoke"

local REAL = { real = true }

local function sh(script, ...)
  local result = proc.run { argv = { "sh", "-c", script, "sh", ... }, timeout = 10 }
  if result.code ~= 0 then error(result.stderr) end
end

--- Watch while f runs; f gets the reports so far, and a function that waits for the next.
local function watching(f)
  local reports = stoke.channel(100)
  local stop = reload.on_change(function(report) reports:send(report) end)
  local _ <close> = setmetatable({}, { __close = function()
    reload.watch(false)
    stop()
    stoke.sleep(0.01)
  end })
  reload.watch(true)
  stoke.sleep(0.05)
  f(function(seconds) return reports:recv(seconds or 5) end)
end

local function new_text(n) return ("return { n = %d }\n"):format(n) end

local WAYS = {
  { "in place", function(path, text) sh('printf %s "$2" > "$1"', path, text) end },
  { "by a temporary file and a rename", function(path, text) sh('printf %s "$2" > "$1.swp" && mv "$1.swp" "$1"', path, text) end },
  { "by removing and making", function(path, text) sh('rm "$1"; printf %s "$2" > "$1"', path, text) end },
  { "with a backup", function(path, text) sh('mv "$1" "$1~"; printf %s "$2" > "$1"', path, text) end },
  { "in two halves 50 ms apart", function(path, text)
    sh('printf %s "$2" > "$1"; sleep 0.05; printf %s "$3" >> "$1"', path, text:sub(1, 9), text:sub(10)) end },
  { "by removing, and making 50 ms later", function(path, text) sh('rm "$1"; sleep 0.05; printf %s "$2" > "$1"', path, text) end },
}

for _, way in ipairs(WAYS) do
  test("saved " .. way[1] .. ": reloaded once, without an error", REAL, function(t)
    local files <close> = reloading { ["lib.lua"] = new_text(1) }
    local lib = require "lib"
    watching(function(next_report)
      for n = 2, 4 do
        way[2](files.path .. "/lib.lua", new_text(n))
        local report = next_report()
        t.eq({ report.err, lib.n, #report.lines }, { nil, n, 1 })
        t.eq(next_report(0.15), nil)
      end
    end)
  end)
end

test("touched: nothing is reloaded", REAL, function(t)
  local files <close> = reloading { ["lib.lua"] = new_text(1) }
  local _ = require "lib"
  watching(function(next_report)
    sh('touch "$1"', files.path .. "/lib.lua")
    t.eq(next_report(0.3), nil)
  end)
end)

test("a file that is a link: its target is watched, and the link itself", REAL, function(t)
  local files <close> = reloading {}
  sh([[mkdir "$1/real"; echo "return { n = 1 }" > "$1/real/one"; echo "return { n = 5 }" > "$1/real/two"
    ln -s real/one "$1/lib.lua"]], files.path)
  local lib = require "lib"
  watching(function(next_report)
    sh('echo "return { n = 2 }" > "$1/real/one"', files.path)
    t.eq({ next_report().err, lib.n }, { nil, 2 })
    sh('ln -sf real/two "$1/lib.lua"', files.path)
    t.eq({ next_report().err, lib.n }, { nil, 5 })
    sh('echo "return { n = 6 }" > "$1/real/two"', files.path)
    t.eq({ next_report().err, lib.n }, { nil, 6 })
  end)
end)

test("a module that is required later is watched from then on", REAL, function(t)
  local files <close> = reloading { ["a.lua"] = new_text(1), ["b.lua"] = new_text(1) }
  local _ = require "a"
  watching(function(next_report)
    local b = require "b"
    stoke.sleep(0.05)
    files.write("b.lua", new_text(2))
    t.eq({ next_report().err, b.n }, { nil, 2 })
    files.write("a.lua", "return { n = require 'c'.n }")
    files.write("c.lua", new_text(3))
    t.eq(next_report().err, nil)
    files.write("c.lua", new_text(4))
    t.eq({ next_report().err, require "c".n }, { nil, 4 })
  end)
end)

test("a folder that is replaced as a whole", REAL, function(t)
  local files <close> = reloading { ["lib.lua"] = new_text(1) }
  local lib = require "lib"
  watching(function(next_report)
    sh('cp -r "$1" "$1.new"; echo "return { n = 2 }" > "$1.new/lib.lua"; mv "$1" "$1.old"; mv "$1.new" "$1"; rm -r "$1.old"',
      files.path)
    t.eq({ next_report().err, lib.n }, { nil, 2 })
    files.write("lib.lua", new_text(3))
    t.eq({ next_report().err, lib.n }, { nil, 3 })
  end)
end)

test("a bad save tells once; a good one after it is taken", REAL, function(t)
  local files <close> = reloading { ["lib.lua"] = new_text(1) }
  local lib = require "lib"
  watching(function(next_report)
    files.write("lib.lua", "return {")
    t.match(next_report().err.message, "lib.lua:1: ")
    sh('touch "$1"', files.path .. "/lib.lua")
    t.eq({ next_report(0.3), lib.n }, { nil, 1 })
    files.write("lib.lua", new_text(2))
    t.eq({ next_report().err, lib.n }, { nil, 2 })
  end)
end)

test("a file that is removed is told once, and taken when it comes back", REAL, function(t)
  local files <close> = reloading { ["lib.lua"] = new_text(1) }
  local lib = require "lib"
  watching(function(next_report)
    sh('rm "$1"', files.path .. "/lib.lua")
    t.match(next_report().lines[1], "the old code of .*lib.lua goes on")
    t.eq({ next_report(0.5), lib.n }, { nil, 1 })
    files.write("lib.lua", new_text(2))
    t.eq({ next_report().err, lib.n }, { nil, 2 })
  end)
end)

test("300 edits under 100 conversations: no turn fails, new turns use the new code", { effects = false }, function(t)
  local text = [[local stoke = require "stoke"
    local look = stoke.tool { name = "look", params = { at = "string" }, run = function(a) return "look %d" end }
    return { version = %d, bot = stoke.agent { name = "bot", model = %q, endpoint = %q, instructions = "v%d",
      tools = { look }, max_steps = 3 } }]]
  local asked
  local server <close> = scripted(function(request, n)
    asked[n] = nil -- not kept: the heap is measured
    local last, first = request.messages[#request.messages], request.messages[1]
    if last.role == "user" then return { tool_calls = { { name = "look", arguments = { at = "x" } } }, delay = 0.3 } end
    return { text = first.content .. " " .. last.content, delay = 0.3 }
  end, { slots = 100 })
  asked = server.requests
  local function version(n) return text:format(n, n, scripted.MODEL, server.url, n) end
  local files <close> = reloading { ["bots.lua"] = version(0) }
  local bots, width = require "bots", pool.default_width
  local _ <close> = setmetatable({}, { __close = function() pool.set_default(width) end })
  pool.set_default(100)
  local turns, stop, latest = 0, false, 0
  local scope <close> = stoke.scope {}
  for _ = 1, 100 do
    scope:spawn(function()
      local chat = bots.bot:session()
      repeat
        local begun = latest
        local answer = chat:run("go").text
        local said, looked = answer:match "^v(%d+) look (%d+)$"
        t.eq({ tonumber(said), tonumber(looked) }, { begun, begun }, answer) -- a turn ends with the version it began with
        turns = turns + 1
        if chat.turns > 3 then chat = bots.bot:session() end
      until stop
    end)
  end
  local before
  for n = 1, 300 do
    stoke.sleep(0.05)
    files.edit("bots.lua", version(n))
    latest = n
    if n == 100 then
      collectgarbage()
      before = collectgarbage "count"
    end
  end
  collectgarbage()
  local grown = collectgarbage "count" - before
  stop = true
  scope:wait()
  t.ok(turns > 1000, turns .. " turns")
  t.ok(grown < 1024, ("the heap grew by %.0f KB"):format(grown))
end)

-- ---- stoke run --watch ----------------------------------------------------------------------------------------------------------

local PASSED_ON = require "binary".PASSED_ON

--- A child that runs s.lua of the folder; f gets a function that waits for a line of its output.
local function run_watched(folder, f)
  local child <close> = proc.spawn { argv = { about.executable(), "run", "--watch", "s.lua", "word" }, cwd = folder,
    env_allow = PASSED_ON, env = { HOME = "/nonexistent" }, stderr = "merge" }
  local next_line = child:lines()
  local function expect(pattern)
    local seen = {}
    while true do
      local line = stoke.timeout(20, next_line)
      if not line then error("ended, and never said " .. pattern .. ":\n" .. table.concat(seen, "\n")) end
      seen[#seen + 1] = line
      if line:find(pattern) then return line, seen end
    end
  end
  f(expect, child)
  child:kill "SIGINT"
  return child:wait().code
end

test("stoke run --watch: a script that ended runs again when it is saved; Ctrl-C ends it", REAL, function(t)
  local files <close> = reloading {
    ["lib.lua"] = "return { word = 'one' }",
    ["s.lua"] = "local stoke, lib = require 'stoke', require 'lib' stoke.main(function(args) print(args[1], lib.word) end)" }
  local code = run_watched(files.path, function(expect)
    expect "^word\tone$"
    expect "the script has ended; waiting for changes"
    files.write("lib.lua", "return { word = 'two' }")
    expect "reloaded .*lib.lua: field `word`"
    expect "^word\ttwo$"
    expect "has ended"
    files.write("s.lua", "local stoke = require 'stoke' stoke.main(function() error 'oops' end)")
    expect "reloaded s.lua: main"
    expect "s.lua:1: oops"
    expect "has ended"
    files.write("s.lua", "local stoke = require 'stoke' stoke.main(function() os.exit(3) end)")
    expect "called os.exit%(3%)"
    files.write("s.lua", "local stoke = require 'stoke' stoke.main(function() print 'fine' end")
    expect "not reloaded: s.lua:1: .*; the old code goes on"
    files.write("s.lua", "local stoke = require 'stoke' stoke.main(function() print 'fine' end)")
    expect "^fine$"
  end)
  t.eq(code, 130)
end)

test("stoke run --watch: an effect in a body is told at the start, once a file, with its line", REAL, function(t)
  local files <close> = reloading {
    ["reads.lua"] = "local home = os.getenv 'HOME'\nlocal now = os.time()\n"
      .. "local text = require 'stoke'.fs.read 's.lua'\nreturn #text",
    ["waits.lua"] = "require 'stoke'.sleep(0.001)\nrequire 'stoke'.sleep(0.001)\nreturn 1",
    ["spawns.lua"] = "require 'stoke'.spawn(function() end)\nreturn 1", ["good.lua"] = "return os.getenv 'HOME' or 1",
    ["s.lua"] = "local stoke = require 'stoke'\n"
      .. "local r, w, s, g = require 'reads', require 'waits', require 'spawns', require 'good'\n"
      .. "stoke.main(function() stoke.fs.read 's.lua' print('ran', r, w, s, g) end)" }
  local warned = {}
  run_watched(files.path, function(expect)
    local _, seen = expect "^ran\t"
    for _, line in ipairs(seen) do
      if line:find "warning" then warned[#warned + 1] = line end
    end
  end)
  t.eq(#warned, 3)
  t.match(warned[1], "reads.lua:3: an effect in the body of a file: local text = .*; with it the file cannot be reloaded")
  t.match(warned[2], "waits.lua:1: ")
  t.match(warned[3], "spawns.lua:1: ")
end)

test("stoke run --watch: a running script goes on with the new code", REAL, function(t)
  local files <close> = reloading {
    ["lib.lua"] = "return { word = function() return 'one' end }",
    ["s.lua"] = [[local stoke, lib = require 'stoke', require 'lib'
      stoke.main(function() for i = 1, 1e9 do print(i, lib.word()) stoke.sleep(0.05) end end)]] }
  local code = run_watched(files.path, function(expect)
    expect "one"
    files.write("lib.lua", "return { word = function() return 'two' end }")
    t.ok(tonumber(expect("\ttwo"):match "^%d+") > 1)
  end)
  t.eq(code, 130)
end)

test("stoke run --watch: what cannot be loaded is loaded when it is mended", REAL, function(t)
  local files <close> = reloading { ["s.lua"] = "local lib = require 'lib' print(lib.n)", ["lib.lua"] = "return {" }
  local code = run_watched(files.path, function(expect)
    expect "lib.lua:1: "
    expect "was not loaded; waiting for changes"
    files.write("lib.lua", "return { n = 'mended' }")
    expect "^mended$"
    expect "has ended"
    files.write("s.lua", "local lib = require 'lib' print(lib.n, 'again')")
    expect "^mended\tagain$"
    expect "has ended"
    files.write("s.lua", "local x = = 1")
    expect "s.lua:1: "
    files.write("s.lua", "require 'stoke'.main(function() print 'at last' end)")
    expect "^at last$"
  end)
  t.eq(code, 130)
end)

test("stoke run --watch: needs a file", REAL, function(t)
  local result = proc.run { argv = { about.executable(), "run", "--watch", "-" }, env_allow = PASSED_ON, timeout = 20 }
  t.eq(result.code, 2)
  fs.stat "."
  t.match(result.stderr, "standard input does not change")
end)
