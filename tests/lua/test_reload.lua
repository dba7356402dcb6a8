-- Hot reload, point by point: what changes, what stays, what is told.

local test = require "stoke.test"
local modules = require "core.modules"
local reload = require "stoke.reload"
local reloading = require "reloading"
local script = require "core.script"
local scripted = require "scripted"
local stoke = require "stoke"

local MODEL = scripted.MODEL

test("reload: holders of the old module table have the new code", function(t)
  local files <close> = reloading { ["lib.lua"] = "return { score = function() return 1 end, gone = function() end }" }
  local lib = require "lib"
  files.edit("lib.lua", "return { score = function() return 2 end, fresh = function() return 3 end }")
  t.eq({ lib.score(), lib.fresh(), lib.gone }, { 2, 3, nil })
  t.ok(rawequal(require "lib", lib))
end)

test("reload: a file whose text is the same is not reloaded", function(t)
  local files <close> = reloading { ["lib.lua"] = "return { t = {} }" }
  local before = require "lib".t
  t.eq(files.edit("lib.lua", "return { t = {} }"), { files = {}, lines = {} })
  t.ok(rawequal(require "lib".t, before))
end)

test("reload: a function kept elsewhere stays the old one until its keeper is reloaded", function(t)
  local files <close> = reloading {
    ["lib.lua"] = "return { f = function() return 1 end }",
    ["user.lua"] = "local lib = require 'lib' local f = lib.f "
      .. "return { kept = function() return f() end, asked = function() return lib.f() end }" }
  local user = require "user"
  files.edit("lib.lua", "return { f = function() return 2 end }")
  t.eq({ user.kept(), user.asked() }, { 1, 2 })
  reload.module "user"
  t.eq({ user.kept(), user.asked() }, { 2, 2 })
end)

test("reload: the new code knows the old table as its own", function(t)
  local text = "local M = { hits = 0 } M.__index = M function M.hit() M.hits = M.hits + 1 return %d end "
    .. "function M.new() return setmetatable({}, M) end local inner = { back = M } function M.inner() return inner end return M"
  local files <close> = reloading { ["lib.lua"] = text:format(1) }
  local lib = require "lib"
  files.edit("lib.lua", text:format(2))
  t.eq(lib.hit(), 2)
  t.eq(lib.hits, 1)
  t.ok(rawequal(getmetatable(lib.new()), lib))
  t.ok(rawequal(lib.__index, lib))
  t.ok(rawequal(lib.inner().back, lib))
end)

test("reload: the metatable of the module is the new one", function(t)
  local files <close> = reloading { ["lib.lua"] = "return setmetatable({}, { __call = function() return 1 end })" }
  local lib = require "lib"
  files.edit("lib.lua", "return setmetatable({}, { __call = function() return 2 end })")
  t.eq(lib(), 2)
  files.edit("lib.lua", "return {}")
  t.eq(getmetatable(lib), nil)
end)

test("reload: files that changed together see each other's new code, whatever their order", function(t)
  local files <close> = reloading {
    ["a.lua"] = "local b = require 'b' return { f = b.f, n = 1 }", ["b.lua"] = "return { f = function() return 1 end }" }
  local a = require "a"
  files.write("a.lua", "local b = require 'b' return { f = b.f, n = 2 }")
  local report = files.edit("b.lua", "return { f = function() return 2 end }")
  t.eq({ a.f(), a.n, #report.files }, { 2, 2, 2 })
end)

test("reload: one bad file keeps back all that changed with it", function(t)
  local files <close> = reloading { ["a.lua"] = "return { n = 1 }", ["b.lua"] = "return { n = 1 }" }
  local a, b = require "a", require "b"
  files.write("a.lua", "return { n = 2 }")
  files.bad("b.lua", "return { n = oops.x }")
  t.eq({ a.n, b.n }, { 1, 1 })
  files.edit("b.lua", "return { n = 2 }")
  t.eq({ a.n, b.n }, { 2, 2 })
end)

test("reload: a module that the new code requires for the first time is loaded the same way", function(t)
  local files <close> = reloading { ["a.lua"] = "return { f = function() return 0 end }" }
  local a = require "a"
  files.write("b.lua", "return { g = function() return require 'c'.n end, n = require 'c'.n }")
  files.write("c.lua", "return { n = 7 }")
  files.edit("a.lua", "local b = require 'b' return { f = function() return b.g() + b.n end }")
  t.eq(a.f(), 14)
  t.ok(modules.by_name.b and modules.by_name.c)
  files.edit("c.lua", "return { n = 8 }")
  t.eq(a.f(), 15) -- b kept n = 7
  t.ok(modules.by_name.b.requires.c)
end)

test("reload: a module that fails while it is new is not left loaded", function(t)
  local files <close> = reloading { ["a.lua"] = "return { n = 1 }" }
  local a = require "a"
  files.write("b.lua", "return { n = 2 }")
  files.bad("a.lua", "require 'b' error 'late'")
  t.eq({ a.n, rawget(package.loaded, "b"), modules.by_name.b }, { 1, nil, nil })
end)

test("reload: agents keep their identity by name; sessions go on with the new definition", function(t)
  local server <close> = scripted(function(request) return request.messages[1].content end)
  local text = [[local stoke = require "stoke"
    local bot = stoke.agent { name = "bot", model = %q, endpoint = %q, instructions = %q }
    return { bot = bot, ask = function(x) return bot:run(x).text end }]]
  local files <close> = reloading { ["bots.lua"] = text:format(MODEL, server.url, "one") }
  local bots = require "bots"
  local handle, chat = bots.bot, bots.bot:session()
  t.eq(chat:run("hi").text, "one")
  local report = files.edit("bots.lua", text:format(MODEL, server.url, "two"))
  t.match(report.lines[1], "bots.lua: agent `bot`: instructions$")
  t.ok(rawequal(bots.bot, handle))
  t.eq({ chat:run("hi").text, bots.ask "x", chat.turns }, { "two", "two", 2 })
end)

test("reload: a team keeps its identity by name, and hears of its members' new versions", function(t)
  local server <close> = scripted(function(request) return request.messages[1].content:match "^%w+" end)
  local text = [[local stoke = require "stoke"
    local function member(name) return stoke.agent { name = name, model = %q, endpoint = %q, instructions = %q } end
    return { team = stoke.team.round_robin { name = "pair", members = { member "ada", member "bob" }, max_turns = %d } }]]
  local files <close> = reloading { ["crew.lua"] = text:format(MODEL, server.url, "one", 2) }
  local crew = require "crew"
  local handle, chat = crew.team, crew.team:session()
  t.eq({ chat:run("hi").text, #chat.messages }, { "one", 3 })
  local report = files.edit("crew.lua", text:format(MODEL, server.url, "two", 3))
  t.match(report.lines[1], "agent `pair`: max_turns")
  t.ok(rawequal(crew.team, handle))
  t.eq({ chat:run("hi").text, #chat.messages }, { "two", 7 })
end)

test("reload: a turn that has begun keeps its definition and its tools", function(t)
  local text = [[local stoke = require "stoke"
    local look = stoke.tool { name = "look", params = { at = "string" }, description = "v%d",
      run = function(a) return "v%d " .. a.at end }
    return { bot = stoke.agent { name = "bot", model = %q, endpoint = %q, instructions = "v%d", tools = { look } } }]]
  local function version(n, url) return text:format(n, n, MODEL, url, n) end
  local server <close> = scripted { { tool_calls = { { name = "look", arguments = { at = "x" } } }, delay = 10 }, "old",
    { tool_calls = { { name = "look", arguments = { at = "y" } } } }, "new" }
  local files <close> = reloading { ["bots.lua"] = version(1, server.url) }
  local bot = require "bots".bot
  local turn = stoke.spawn(function() return bot:run "go" end)
  stoke.sleep(1)
  files.edit("bots.lua", version(2, server.url))
  t.eq(turn:await().messages[3].content, "v1 x")
  t.eq(server.requests[2].messages[1].content, "v1")
  t.eq(server.requests[2].tools[1]["function"].description, "v1")
  t.eq(bot:run("go").messages[3].content, "v2 y")
  t.eq(server.requests[4].messages[1].content, "v2")
  t.eq(server.requests[4].tools[1]["function"].description, "v2")
end)

test("reload: an agent of another file sees the new version of a tool", function(t)
  local server <close> = scripted { { tool_calls = { { name = "add", arguments = { a = 1, b = 2 } } } }, "done" }
  local tool = [[local stoke = require "stoke"
    return { add = stoke.tool { name = "add", params = %s, run = function(a) return %s end } }]]
  local files <close> = reloading {
    ["tools.lua"] = tool:format('{ a = "integer" }', "a.a"),
    ["bots.lua"] = ([[local stoke = require "stoke" local tools = require "tools"
      return stoke.agent { name = "bot", model = %q, endpoint = %q, tools = { tools.add } }]]):format(MODEL, server.url) }
  local bot = require "bots"
  local report = files.edit("tools.lua", tool:format('{ a = "integer", b = "integer" }', "a.a + a.b"))
  t.match(report.lines[1], "tool `add`: params, run$")
  t.eq(bot:run("go").messages[3].content, "3")
  t.ok(server.requests[1].tools[1]["function"].parameters.properties.b)
end)

test("reload: handoffs say what the other agent is now", function(t)
  local server <close> = scripted { "ok", "ok" }
  local text = 'local stoke = require "stoke" return stoke.agent { name = "b", model = "m", description = %q }'
  local files <close> = reloading { ["b.lua"] = text:format "old",
    ["a.lua"] = ([[return require "stoke".agent { name = "a", model = %q, endpoint = %q, handoffs = { (require "b") } }]])
      :format(MODEL, server.url) }
  local a = require "a"
  files.edit("b.lua", text:format "new")
  a:run "x"
  t.match(server.requests[1].tools[1]["function"].description, "new$")
end)

test("reload: agents made by the dozen under one name are matched in their order", function(t)
  local text = [[local stoke = require "stoke" local M = {} for i = 1, 3 do
    M[i] = stoke.agent { name = "judge", model = "m" .. i, instructions = %q } end return M]]
  local files <close> = reloading { ["judges.lua"] = text:format "a" }
  local judges = require "judges"
  local second = judges[2]
  files.edit("judges.lua", text:format "b")
  t.ok(rawequal(judges[2], second))
  t.eq({ second.definition.model, second.definition.instructions }, { "m2", "b" })
end)

test("reload: timers go on by name with the new function, and end when they are not named any more", function(t)
  local text = [[local stoke = require "stoke" local log = stoke.state "log"
    stoke.every("tick", 10, function() log[#log + 1] = %q end) %s return {}]]
  local files <close> = reloading {
    ["lib.lua"] = text:format("a", "stoke.every('tock', 10, function() log[#log + 1] = 'tock' end)"),
    ["s.lua"] = "require 'lib'" }
  files.script("s.lua", function()
    local log = stoke.state "log"
    stoke.sleep(15)
    local report = files.edit("lib.lua", text:format("b", ""))
    t.match(report.lines[1], "timer `tick`: function; timer `tock`: removed$")
    stoke.sleep(6) -- t = 21: the phase is the old one
    t.eq(log, { "a", "tock", "b" })
    files.edit("lib.lua", (text:format("c", ""):gsub("10", "3")))
    stoke.sleep(10)
    t.eq(log, { "a", "tock", "b", "c", "c", "c" })
    files.bad("lib.lua", (text:format("d", "error 'late'"):gsub("10", "1")))
    stoke.sleep(3)
    t.eq(log[#log], "c")
    t.eq(#log, 7)
  end)
end)

test("reload: stoke.state stays, and gets what is missing of a new default", function(t)
  local files <close> = reloading { ["lib.lua"] = "local s = require 'stoke'.state('st', { n = 1 }) return { s = s }" }
  local lib = require "lib"
  lib.s.n = 5
  files.edit("lib.lua", "local s = require 'stoke'.state('st', { n = 1, m = 2 }) return { s = s }")
  t.eq(lib.s, { n = 5, m = 2 })
  files.bad("lib.lua", "require 'stoke'.state('st', { k = 3 }) require 'stoke'.state 'other' error 'late'")
  t.eq(lib.s, { n = 5, m = 2 })
  t.raises("argument", stoke.state, 1)
  t.raises("argument", stoke.state, "x", 1)
end)

test("reload: a body may read the environment and the clock, print and log", function(t)
  local files <close> = reloading { ["lib.lua"] = "return { n = 1 }" }
  local lib = require "lib"
  local log, lines = require "stoke.log", {}
  log.configure { write = function(line) lines[#lines + 1] = line end }
  files.edit("lib.lua", [[
    local stoke = require "stoke"
    stoke.log.info("loaded", { n = 2 })
    stoke.log.with({ part = "lib" }).warn "careful"
    return { n = 2, home = os.getenv "PATH", names = #stoke.env.names(), now = os.time(), day = os.date "%Y", cpu = os.clock(),
             at = stoke.time.monotonic(), none = stoke.env.get("STOKE_NO_SUCH_VARIABLE", "none") }
  ]])
  log.configure { write = require "core.stdio".err }
  t.eq({ lib.n, lib.home, lib.day, lib.none }, { 2, os.getenv "PATH", os.date "%Y", "none" })
  t.ok(lib.now > 0 and lib.names > 0 and lib.cpu >= 0 and lib.at >= 0)
  t.match(lines[1], "loaded.*n=2")
  t.match(lines[2], "careful.*part=lib")
end)

test("reload: stoke.main is taken over and not called", function(t)
  local files <close> = reloading { ["s.lua"] = "local stoke = require 'stoke' ran = 0 stoke.main(function() ran = ran + 1 end)" }
  files.script("s.lua", function()
    local old = script.main
    local report = files.edit("s.lua", "local stoke = require 'stoke' stoke.main(function() ran = ran + 10 end)")
    t.eq(report.lines, { ("reloaded %s/s.lua: main"):format(files.path) })
    t.ne(script.main, old)
    t.eq(rawget(_G, "ran"), 0)
    script.main()
    t.eq(rawget(_G, "ran"), 10)
  end)
  rawset(_G, "ran", nil)
end)

test("reload: policy, profiles and globals of a body that fails are taken back", function(t)
  local files <close> = reloading { ["lib.lua"] = "return {}" }
  require "lib"
  files.bad("lib.lua", [[local stoke = require "stoke" new_global = 1 string.trim = function() end
    stoke.policy { deny = { path = { "/**" } } } stoke.models { m = { num_ctx = 99 } } error "late"]])
  t.eq({ rawget(_G, "new_global"), rawget(string, "trim") }, {})
  t.eq(require "core.gate.policy".rules, nil)
end)

test("reload: on_reload has the old fields, on_dispose is the old one; their errors are told and undo nothing", function(t)
  local log = stoke.state "hooks"
  local text = [[local log = require "stoke".state "hooks" local M = { n = %d }
    function M.on_reload(old) require "stoke".sleep(1) log[#log + 1] = "reload " .. old.n .. " -> " .. M.n %s end
    function M.on_dispose() log[#log + 1] = "dispose " .. %d end return M]]
  local files <close> = reloading { ["lib.lua"] = text:format(1, "", 1) }
  local lib = require "lib"
  files.edit("lib.lua", text:format(2, "", 2))
  t.eq(log, { "reload 1 -> 2", "dispose 1" })
  local report = files.edit("lib.lua", text:format(3, "error 'oops'", 3))
  t.eq({ lib.n, log[4] }, { 3, "dispose 2" })
  t.match(report.lines[2], "on_reload failed: .*oops")
  local slow = files.edit("lib.lua", text:format(4, "require 'stoke'.sleep(60)", 4))
  t.match(slow.lines[2], "on_reload failed: timeout")
end)

test("reload: what changed is named, by code and by value, and a moved line is no change", function(t)
  local files <close> = reloading { ["lib.lua"] =
    "local LIMIT = 5 local M = {} function M.a() return LIMIT end function M.b() return 1 end M.c = { 1 } M.d = 1 return M" }
  require "lib"
  local report = files.edit("lib.lua", "-- moved\n\nlocal LIMIT = 6 local M = {}\nfunction M.a() return LIMIT end\n"
    .. "function M.b() return 1 end M.c = { 2 } M.e = 1 function M.f() end return M")
  t.match(report.lines[1], "lib.lua: function `a`; field `c`; field `d`: removed; field `e`: new; function `f`: new$")
  t.match(files.edit("lib.lua", "-- moved again\nlocal LIMIT = 6 local M = {}\nfunction M.a() return LIMIT end\n"
    .. "function M.b() return 1 end M.c = { 2 } M.e = 1 function M.f() end return M").lines[1],
    "lib.lua: only comments or spacing changed$")
  t.match(files.edit("lib.lua", "local LIMIT, UNUSED = 6, 'x'\nlocal M = {}\nfunction M.a() return LIMIT end\n"
    .. "function M.b() return 1 end M.c = { 2 } M.e = 1 function M.f() end return M").lines[1], "lib.lua: nothing that has a name$")
end)

test("reload: agents and tools that came and went are named", function(t)
  local files <close> = reloading { ["lib.lua"] = [[local s = require "stoke"
    local go = s.tool { name = "go", run = function() end }
    return { s.agent { name = "a", model = "m", tools = { go } } }]] }
  require "lib"
  local report = files.edit("lib.lua", [[local s = require "stoke" local walk = s.tool { name = "walk", run = function() end }
    return { s.agent { name = "a", model = "n", max_steps = 3, tools = { walk } }, s.agent { name = "b", model = "m" } }]])
  t.match(report.lines[1], "agent `a`: model, tools, max_steps; agent `b`: new; tool `go`: removed; tool `walk`: new$")
end)

test("reload: an agent module that is renamed stays the object that everybody has", function(t)
  local files <close> = reloading { ["bot.lua"] = 'return require "stoke".agent { name = "a", model = "m" }' }
  local bot = require "bot"
  files.edit("bot.lua", 'return require "stoke".agent { name = "b", model = "m" }')
  t.eq(bot.name, "b")
  t.ok(rawequal(bot.definition.handle, bot))
end)

test("reload: who listens is told, until he stops", function(t)
  local files <close> = reloading { ["lib.lua"] = "return { n = 1 }" }
  require "lib"
  local told = {}
  local stop = reload.on_change(function(report) told[#told + 1] = reload.text(report) end)
  files.edit("lib.lua", "return { n = 2 }")
  files.bad("lib.lua", "return {")
  stop()
  files.edit("lib.lua", "return { n = 3 }")
  t.eq(#told, 2)
  t.match(told[1], "^stoke: reloaded .*lib.lua: field `n`\n$")
  t.match(told[2], "^stoke: not reloaded: .*lib.lua:1: .*; the old code goes on\n$")
end)

test("reload: a module by its name, changed or not; unknown names are refused", function(t)
  local files <close> = reloading {
    ["lib.lua"] = "local n = require 'stoke'.state 'runs' n.n = (n.n or 0) + 1 return {}" }
  require "lib"
  t.eq(#reload.module("lib").files, 1)
  t.eq(stoke.state "runs".n, 2)
  t.match(t.raises("argument", reload.module, "lab").message, "did you mean lib")
  t.raises("argument", reload.module, nil)
  t.raises("argument", reload.watch, 1)
  t.raises("argument", reload.on_change, 1)
  files.write("lib.lua", "return 1")
  t.eq(reload.files()[1].name, "lib")
end)

test("reload: modules that are no tables are new for those who require them anew", function(t)
  local files <close> = reloading { ["f.lua"] = "return function() return 1 end", ["none.lua"] = "seen_none = 1" }
  local f = require "f"
  t.eq(require "none", true)
  files.edit("f.lua", "return function() return 2 end")
  t.eq({ f(), require "f"() }, { 1, 2 })
  files.edit("none.lua", "seen_none = 2")
  t.eq(rawget(_G, "seen_none"), 2)
  rawset(_G, "seen_none", nil)
end)

test("reload: a thousand reloads leave one table of the module, and the heap as it was", { effects = false }, function(t)
  local text = [[local stoke = require "stoke" local M = {} local big = ("x"):rep(%d)
    local go = stoke.tool { name = "go", params = { a = "string" }, description = "%d", run = function() return M, big end }
    M.bot = stoke.agent { name = "bot", model = "m", instructions = "%d", tools = { go } }
    stoke.every("t", 60, function() return M, %d end) return M]]
  local files <close> = reloading { ["lib.lua"] = text:format(0, 0, 0, 0), ["s.lua"] = "require 'lib'" }
  files.script("s.lua", function()
    local versions = setmetatable({}, { __mode = "k" })
    local function run(from, to)
      for i = from, to do
        files.edit("lib.lua", text:format(1000 + i, i, i, i))
        versions[require "lib".bot.definition] = true
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    local before = run(1, 100)
    local after = run(101, 1000)
    t.ok(after - before < 64, ("grew by %.1f KB"):format(after - before))
    local left = 0
    for _ in pairs(versions) do left = left + 1 end
    t.ok(left <= 2, left .. " versions of the definition")
  end)
end)
