-- What a script sees: every standard function kept, made an effect or refused with what to use instead; strict globals.

local test = require "stoke.test"
local stoke = require "stoke"

test("an undefined variable is an error with the nearest name", function(t)
  t.match(select(2, pcall(function() return prnt end)), "undefined variable 'prnt' %(did you mean 'print'%?%)") -- luacheck: ignore
  t.match(select(2, pcall(function() return zzzzzz end)), "undefined variable 'zzzzzz'$") -- luacheck: ignore
  t.eq(rawget(_G, "prnt"), nil)
end)

test("a global cannot be made inside a function, and can at the top of a file", function(t)
  local ok, message = pcall(function() some_global = 1 end) -- luacheck: ignore
  t.eq(ok, false)
  t.match(message, "test_globals.lua:%d+: assignment to the undeclared global 'some_global' inside a function; write `local")
  load "made_at_the_top = 5" ()
  t.eq(made_at_the_top, 5) -- luacheck: ignore
  pcall(function() made_at_the_top = 6 end) -- luacheck: ignore
  t.eq(rawget(_G, "made_at_the_top"), 6)
  rawset(_G, "made_at_the_top", nil)
end)

test("only text can be loaded", function(t)
  local f, message = load "\27Lua"
  t.eq(f, nil)
  t.match(message, "binary")
  t.match(t.raises("argument", load, "return 1", "x", "b").message, "only text can be loaded")
  t.eq(load("return 1", "x", "t")(), 1)
  t.eq(load("return y", "x", "t", { y = 2 })(), 2)
  local parts = { "return ", "3", "", "ignored" }
  t.eq(load(function() return table.remove(parts, 1) end)(), 3)
  t.eq({ load "x x" }, { nil, '[string "x x"]:1: syntax error near \'x\'' })
  t.raises("undefined variable", load "return nowhere")
end)

test("refused functions name the alternative", function(t)
  for name, words in pairs {
    ["os.execute"] = "stoke.proc", ["io.popen"] = "stoke.proc", ["io.open"] = "stoke.fs", ["io.tmpfile"] = "stoke.fs",
    ["os.tmpname"] = "TMPDIR", ["io.input"] = "io.read", ["io.output"] = "io.write",
  } do
    local lib, f = name:match "(%w+)%.(%w+)"
    local err = t.raises("argument", _G[lib][f], "x")
    t.ok(err.message:find(name .. " is not available to scripts: ", 1, true), err.message)
    t.ok(err.message:find(words, 1, true), err.message)
  end
end)

test("the clock and the generator are effects: virtual and seeded", function(t)
  t.eq(os.time(), 1767225600)
  stoke.sleep(90)
  t.eq(os.time(), 1767225690)
  t.eq(os.date("!%Y-%m-%d %H:%M:%S"), "2026-01-01 00:01:30")
  t.eq(os.time { year = 2026, month = 1, day = 1, hour = 12, isdst = false } % 3600, 0)
  math.randomseed(42)
  local a = { math.random(), math.random(10), math.random(5, 6) }
  math.randomseed(42)
  t.eq({ math.random(), math.random(10), math.random(5, 6) }, a)
  t.ok(a[1] >= 0 and a[1] < 1 and a[2] >= 1 and a[2] <= 10 and a[3] >= 5 and a[3] <= 6)
  t.raises("no integer between", math.random, 2, 1)
end)

test("a script's own changes to the libraries stay its own", function(t)
  local strings, tables = string, table
  local format, insert = strings.format, tables.insert
  rawset(strings, "format", nil)
  rawset(tables, "insert", nil)
  local _, err = stoke.try(stoke.sleep, -1)
  rawset(strings, "format", format)
  rawset(tables, "insert", insert)
  t.match(err.message, "sleep: seconds must be a number")
end)

test("what a script adds to string is a method of its strings", function(t)
  rawset(string, "trimmed", function(s) return (s:gsub("^%s+", ""):gsub("%s+$", "")) end)
  t.eq(("  x "):trimmed(), "x")
  rawset(string, "trimmed", nil)
  t.raises("string has no trimmed", function() return ("x"):trimmed() end)
end)

test("every standard function is kept, an effect or refused", function(t)
  local all = {
    _G = [[assert collectgarbage dofile error getmetatable ipairs load loadfile next pairs pcall print rawequal rawget rawlen
      rawset require select setmetatable tonumber tostring type warn xpcall]],
    coroutine = "close create isyieldable resume running status wrap yield",
    debug = [[debug gethook getinfo getlocal getmetatable getregistry getupvalue getuservalue sethook setlocal setmetatable
      setupvalue setuservalue traceback upvalueid upvaluejoin]],
    io = "close flush input lines open output popen read tmpfile type write",
    math = [[abs acos asin atan ceil cos deg exp floor fmod log max min modf rad random randomseed sin sqrt tan tointeger
      type ult]],
    os = "clock date difftime execute exit getenv remove rename setlocale time tmpname",
    package = "loadlib searchpath",
    string = [[byte char dump find format gmatch gsub len lower match pack packsize rep reverse sub unpack upper]],
    table = "concat insert move pack remove sort unpack", utf8 = "char codepoint codes len offset",
  }
  for library, names in pairs(all) do
    local place = library == "_G" and _G or _G[library]
    for name in names:gmatch "%S+" do t.eq(type(rawget(place, name)), "function", library .. "." .. name) end
  end
  t.match(t.raises("argument", string.dump, print).message, "string.dump is not available to scripts: ")
  t.match(t.raises("argument", debug.sethook).message, "watchdog")
end)

test("math.random takes what the manual says", function(t)
  t.eq(math.type(math.random(0)), "integer")
  t.eq(math.random(3.0, 3), 3)
  t.match(t.raises("argument", math.random, 1.5).message, "argument 1 must be an integer, got 1.5")
  t.raises("argument", math.random, "x")
end)

test("a table that was raised comes along with the error", function(t)
  local mine = { code = 7 }
  local _, err = stoke.try(error, mine)
  t.eq(err.kind, "script")
  t.ok(err.value == mine)
end)

test("setmetatable wants its second argument, as Lua's does", function(t)
  local ok, problem = pcall(setmetatable, {})
  t.eq(ok, false)
  t.match(tostring(problem), "nil or table expected")
  t.eq(getmetatable(setmetatable(setmetatable({}, {}), nil)), nil)
end)
