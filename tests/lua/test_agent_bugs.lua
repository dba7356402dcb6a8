-- Errors of tools: a bug reaches the author, what is raised on purpose the model.

local about = require "core.about"
local bugs = require "stoke.log.bugs"
local errors = require "core.errors"
local log = require "stoke.log"
local proc = require "stoke.proc"
local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"

local MODEL = scripted.MODEL

--- What the model reads of a tool that does this, what the log says, and the error of the event.
local function play(run, given)
  local lines = {}
  bugs.forget()
  log.configure { write = function(line) lines[#lines + 1] = line end, level = "info" }
  local server <close> = scripted { { tool_calls = { { name = "probe", arguments = {} } } }, "ok",
    { tool_calls = { { name = "probe", arguments = {} } } }, "ok" }
  given = given or {}
  given.name, given.run = "probe", run
  local bot = stoke.agent { name = "bot", model = MODEL, tools = { stoke.tool(given) }, endpoint = server.url }
  local err
  for ev in bot:stream "x" do
    if ev.type == "tool_result" then err = ev.err end
  end
  local told = bot:run("x").messages[3].content
  log.configure { write = require "core.stdio".err, level = "info" }
  return told, table.concat(lines), err
end

local function nothing() end

local function deep(city) local name = city.name.x return name end

test("bugs: an error of Lua itself is told once, with place and traceback, and the model hears that the tool is broken", function(t)
  local told, logged, err = play(function() local name = deep {} return name end)
  t.match(told, "^error: probe is broken: attempt to index a nil value %(field 'name'%)\nThe fault is in the tool")
  t.ok(not told:find "test_agent_bugs")
  local _, count = logged:gsub("a bug in the tool probe", "")
  t.eq(count, 1, "two runs, one place")
  t.match(logged, "agent=bot .*test_agent_bugs.lua:%d+: attempt to index a nil value")
  t.match(logged, "stack traceback:\n.*test_agent_bugs.lua:%d+: in .*'deep'")
  t.ok(not logged:find "stdlib/")
  t.eq({ err.kind, errors.bug(err) }, { "script", true })
  t.match(err.traceback, "test_agent_bugs")
end)

local BUGS = {
  ["a call of nil"] = function() nothing().x() end,
  ["arithmetic on a text"] = function() return {} + 1 end,
  ["a comparison"] = function() return {} < 1 end,
  ["a bad argument of a library"] = function() return ("x"):rep({}) end,
  ["an assert without words"] = function() assert(nil) end,
  ["endless recursion"] = function() local function f() return 1 + f() end return f() end,
  ["a global that there is not"] = function() return undefined_thing.x end, -- luacheck: ignore
  ["raised again by pcall and error"] = function()
    local ok, err = pcall(deep, {})
    if not ok then error(err, 0) end
  end,
  ["in a task of its own"] = function() return stoke.spawn(deep, {}):await() end,
  ["in a coroutine"] = function() return coroutine.wrap(deep)({}) end,
  ["inside stoke.try, raised again"] = function()
    local _, err = stoke.try(deep, {})
    error(err, 0)
  end,
}

for name, run in pairs(BUGS) do
  test("bugs: " .. name .. " is one", function(t)
    local told, logged = play(run)
    t.match(told, "^error: probe is broken: ")
    t.match(logged, "a bug in the tool probe")
  end)
end

local ON_PURPOSE = {
  ["a text"] = { function() error("no such city", 0) end, "^error: no such city$" },
  ["a text with its place"] = { function() error "no such city" end, "^error: no such city$" },
  ["an assert with words"] = { function() assert(false, "no such city") end, "^error: no such city$" },
  ["nil and why"] = { function() return nil, "no such city" end, "^error: no such city$" },
  ["an error of a kind, with its hint"] = { function() stoke.raise("limit", "too far", "ask for less") end,
    "^error: too far\nhint: ask for less$" },
  ["what the world says"] = { function() return stoke.http.get "http://127.0.0.1:9/" end, "^error: .*127.0.0.1" },
  ["a text that looks like a place"] = { function() error("12:30: too late", 0) end, "^error: 12:30: too late$" },
}

for name, case in pairs(ON_PURPOSE) do
  test("bugs: " .. name .. " is for the model alone", function(t)
    local told, logged, err = play(case[1])
    t.match(told, case[2])
    t.eq(logged, "")
    t.ok(err, "it is in the event")
  end)
end

test("bugs: a wrong call of the library is told to both", function(t)
  local told, logged = play(function() return stoke.sleep "soon" end)
  t.match(told, "^error: sleep: seconds must be a number")
  t.match(logged, "a bug in the tool probe")
end)

test("bugs: one in needs_approval is told, and the tool does not run", function(t)
  local ran = false
  local told, logged = play(function() ran = true end, { needs_approval = function() return deep {} end })
  t.match(told, "^error: probe is broken: attempt to index")
  t.match(logged, "a bug in the tool probe")
  t.ok(not ran)
end)

test("bugs: are on stderr of a plain run, once for a hundred calls, and in the trace", { real = true }, function(t)
  local code = [[
    local stoke = require "stoke"
    local bad = stoke.tool { name = "bad", params = { n = "integer" }, run = function(a) return a.city.name end }
    local calls = {}
    for i = 1, 30 do calls[i] = { name = "bad", arguments = { n = i } } end
    local server = stoke.sim.serve { mem = "x", load_seconds = 0, script = { { tool_calls = calls }, "ok" } }
    stoke.main(function() stoke.agent { model = "qwen2.5:3b", tools = { bad }, endpoint = server.url }:run "x" end)
  ]]
  local r = proc.run { argv = { about.executable(), "-e", code }, timeout = 30, env = { STOKE_DEBUG = "effect" } }
  t.eq(r.code, 0, r.stderr)
  local _, count = r.stderr:gsub("a bug in the tool bad", "")
  t.eq(count, 1, r.stderr)
  t.match(r.stderr, "effect tool.call .*script")
end)

test("bugs: in a check of a schema and in a summary are told, too", function(t)
  local lines = {}
  bugs.forget()
  log.configure { write = function(line) lines[#lines + 1] = line end, level = "info" }
  local shape = stoke.schema({ n = "integer" }, { check = function(v) return deep(v) end })
  for _ = 1, 3 do t.ok(not shape:try { n = 1 }) end
  local plain = stoke.schema({ n = "integer" }, { check = function() error("never", 0) end })
  t.ok(not plain:try { n = 1 })
  log.configure { write = require "core.stdio".err, level = "info" }
  local _, count = table.concat(lines):gsub("a bug in a check of a schema", "")
  t.eq({ count, #lines }, { 1, 1 })
end)
