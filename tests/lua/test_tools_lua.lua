-- lua_eval: what it answers, and that no program gets out of it or on anybody's nerves.

local test = require "stoke.test"
local about = require "core.about"
local lua = require "stoke.tools.lua"
local proc = require "stoke.proc"
local stoke = require "stoke"
local time = require "stoke.time"

local SCALE = tonumber(os.getenv "STOKE_SCALE") or 1 -- below 1 in the slow builds
local eval = lua.lua_eval()
local function run(code) return eval:call { code = code } end

local function failure(t, code, tool)
  local value, err = stoke.try(eval.call, tool or eval, { code = code })
  t.eq(value, nil, code)
  t.eq(err.kind, "tool", code .. ": " .. tostring(err))
  return err.message
end

test("lua: an expression is its value", { real = true }, function(t)
  t.eq(run "1 + 1", "2")
  t.eq(run "7 / 2", "3.5")
  t.eq(run "2^10", "1024.0")
  t.eq(run "('x'):rep(3)", "xxx")
  t.eq(run "#'four' == 4", "true")
  t.eq(run "1, 'two', nil", '1, "two", nil')
  t.eq(run "9007199254740993", "9007199254740993")
  t.eq(run "1/0, -1/0, 0/0", "math.huge, -math.huge, nan")
end)

test("lua: a program is what it returns and prints", { real = true }, function(t)
  t.eq(run "local s = 0 for i = 1, 100 do s = s + i end return s", "5050")
  t.eq(run "print('a', 1, nil) print({} ~= nil)", "a\t1\tnil\ntrue")
  t.eq(run "print 'a' return 'b'", "a\nb")
  t.eq(run "return 1 -- a comment", "1")
  t.eq(run "x = 5 return x * 2", "10")
  t.eq(run "local a = 1", "(no result: return a value, or print it)")
  t.eq(run "", "(no result: return a value, or print it)")
end)

test("lua: tables are shown as Lua writes them, keys sorted", { real = true }, function(t)
  t.eq(run "{ 1, 2, { x = 1 } }", "{ 1, 2, { x = 1 } }")
  t.eq(run "{ b = 1, a = 2, [10] = 3, ['b c'] = 4, [2.5] = 5, ['end'] = 6, [true] = 7 }",
    '{ [2.5] = 5, [10] = 3, a = 2, b = 1, ["b c"] = 4, ["end"] = 6, [true] = 7 }')
  t.eq(run "{}", "{}")
  t.eq(run "{ 'a\\nb', \"q\\\"\", '\\0' }", [[{ "a\nb", "q\"", "\0" }]])
  t.eq(run "local t = {} t.t = t return t", "{ t = {...} }")
  t.eq(run "local t = {} return { t, t }", "{ {}, {} }")
  t.eq(run "{ print, coroutine.create(print) }", "{ <function>, <thread> }")
  t.eq(run "setmetatable({ 1 }, { __index = error, __tostring = error, __pairs = error, __len = error })", "{ 1 }")
  local deep = run "local t = {} for i = 1, 100 do t = { t } end return t"
  t.ok(#deep < 100 and deep:find("{...}", 1, true), deep)
end)

test("lua: much output is cut, and it says so", { real = true }, function(t)
  local text = run "for i = 1, 1e5 do print(i) end"
  t.ok(#text < 17000 and text:find "1\n2\n3\n", #text)
  t.match(text, "cut")
  t.match(run "local t = {} for i = 1, 1e5 do t[i] = i end return t", "cut")
  t.match(run "('x'):rep(1e6)", "cut")
  t.eq(run "('\\xff')", "\xff")
  t.eq(eval:text(run "('\\xff')"), "\u{FFFD}")
end)

test("lua: a failure says what was printed before", { real = true }, function(t)
  t.eq(failure(t, "print 'here'\nerror 'no'"), "line 2: no\nprinted before: here\n")
  t.match(failure(t, "print 'here' while true do end", lua.lua_eval { cpu = 0.05 }),
    "^stopped after 0.05 s of CPU\nprinted before: here")
  t.eq(failure(t, "local t = {} while true do t[#t + 1] = {} end"), "out of memory (32 MiB)")
end)

test("lua: code that is nested too deeply is told so, in a line that names nothing of ours", { real = true }, function(t)
  for _, code in ipairs { ("("):rep(1e5) .. "1" .. (")"):rep(1e5), ("{"):rep(1000), ("do "):rep(1000) .. ("end "):rep(1000),
    "return " .. ("not "):rep(1e5) .. "1", ("function f() "):rep(300) .. ("end "):rep(300) } do
    t.eq(failure(t, code), "syntax error: the code is nested too deeply (stack overflow: about 200 levels are the most)")
  end
  t.eq(failure(t, "return coroutine.wrap(function() coroutine.wrap(function() error 'in' end)() end)()"), "line 1: in")
end)

test("lua: no hostile program gets anywhere", { real = true, timeout = 600 }, function(t)
  local programs = dofile "tests/hostile/programs.lua"
  t.ok(#programs >= 60, #programs .. " programs")
  local box = lua.lua_eval { cpu = 0.15 / math.max(SCALE, 0.02) ^ 0.5, max_output = 4096 }
  local scope <close> = stoke.scope {}
  local problems = scope:map(programs, function(program)
    local name, code, wanted = table.unpack(program)
    local began = time.monotonic()
    local value, err = stoke.try(box.call, box, { code = code })
    local took = time.monotonic() - began
    if value ~= nil then return name .. ": it returned " .. tostring(value):sub(1, 100) end
    if err.kind ~= "tool" then return name .. ": " .. tostring(err) end
    local slow = wanted == "out of memory" and err.message:find "^stopped after" -- whichever cap is met first
    if not err.message:find(wanted) and not slow then return name .. ": " .. err.message:sub(1, 200) end
    if #err.message > 80000 then return name .. ": a message of " .. #err.message .. " bytes" end
    if took > 20 / SCALE then return ("%s: it took %.1f s"):format(name, took) end
    return "fine"
  end, { limit = 2 })
  for i = 1, #programs do t.eq(problems[i], "fine") end
end)

test("lua: what one call leaves behind the next does not find", { real = true }, function(t)
  run "string.format = nil x = 1 print = nil"
  t.eq(run "x == nil and string.format('%d', 7)", "7")
end)

test("lua: it can compute for its whole time without harm to others", { real = true }, function(t)
  local slow = stoke.spawn(function() return failure(t, "while true do end", lua.lua_eval { cpu = 0.3 }) end)
  t.eq(run "1 + 1", "2")
  t.match(slow:await(), "stopped after 0.3 s of CPU")
end)

test("lua: code longer than 1 MB is refused", { real = true }, function(t)
  local _, err = stoke.try(eval.call, eval, { code = ("-"):rep(1100000) })
  t.match(err.message, "longer than 1048576 bytes")
  t.eq(run("--" .. ("-"):rep(1000000) .. "\nreturn 5"), "5")
end)

test("lua: mistakes in its options are named", function(t)
  for _, options in ipairs { { cpu = 0 }, { cpu = -1 }, { memory = 1 }, { max_output = 1 }, { require = "x" }, { time = 1 } } do
    t.raises("argument", lua.lua_eval, options)
  end
  t.eq(lua.lua_eval({ name = "calc" }).name, "calc")
  t.eq(lua.lua_eval().idempotent, true)
end)

test("lua: the process can do nothing but compute", { real = true }, function(t)
  if not proc.run({ argv = { "true" }, sandbox = true }).sandbox:find "seccomp" then t.skip "no seccomp here" end
  local r = proc.run { argv = { about.executable(), "--lua-eval", "require=seccomp" }, stdin = "return 1", env = {} }
  t.eq(r.code, 0)
  t.match(r.stderr, "seccomp")
  r = proc.run { argv = { about.executable(), "--lua-eval", "nonsense=1" }, stdin = "return 1", env = {} }
  t.eq(r.code, 121)
  t.match(r.stderr, 'does not understand "nonsense=1"')
end)

test("lua: a call is cancelled like any wait", { real = true }, function(t)
  local began = time.monotonic()
  local value, err = stoke.try(stoke.timeout, 0.2, run, "while true do end")
  t.eq(value, nil)
  t.eq(err.kind, "timeout")
  t.ok(time.monotonic() - began < 1.5 / SCALE, time.monotonic() - began)
end)
