-- Values as the prompt shows them.

local test = require "stoke.test"
local errors = require "core.errors"
local printer = require "stoke.repl.print"
local json = require "stoke.json"
local stoke = require "stoke"

local show = printer.show

test("print: scalars are as Lua writes them, strings are quoted", function(t)
  local rows = { { nil, "nil" }, { true, "true" }, { 1, "1" }, { 1.0, "1.0" }, { 0 / 0, tostring(0 / 0) }, { "a", '"a"' },
    { 'say "hi"\\', [["say \"hi\"\\"]] }, { "tab\tesc\27", [["tab\tesc\27"]] }, { "日本é", '"日本é"' },
    { "\xff\0", [["\xFF\0"]] } }
  for _, row in ipairs(rows) do t.eq(show(row[1]), row[2]) end
end)

test("print: a string of several lines that stands alone is shown as such", function(t)
  t.eq(show "one\ntwo", "[[\none\ntwo]]")
  t.eq(show { "one\ntwo" }, [[{ "one\ntwo" }]])
  t.eq(show "]]\n", '"]]\\n"')
end)

test("print: a long string is cut, at a character", function(t)
  t.match(show(("é"):rep(2000)), "^\"[é]+\" %.%.%. 2000 bytes more$")
  t.match(show { ("x"):rep(500) }, "^{\n?%s*\"x+\" %.%.%. 300 bytes more")
end)

test("print: tables on one line, keys sorted, the list first", function(t)
  t.eq(show {}, "{}")
  t.eq(show({ 1, 2, b = true, a = "x", [10] = 0, ["odd key"] = 1, ["end"] = 2, [false] = 3 }, { columns = 100 }),
    '{ 1, 2, [10] = 0, a = "x", b = true, ["end"] = 2, ["odd key"] = 1, [false] = 3 }')
end)

test("print: what is wide goes over several lines", function(t)
  t.eq(show({ first = ("a"):rep(20), second = { ("b"):rep(20), x = 1 } }, { columns = 40 }),
    '{\n  first = "aaaaaaaaaaaaaaaaaaaa",\n  second = {\n    "bbbbbbbbbbbbbbbbbbbb",\n    x = 1\n  }\n}')
  local list = {}
  for i = 1, 20 do list[i] = i end
  t.eq(show(list, { columns = 30 }), "{\n  1, 2, 3, 4, 5, 6, 7, 8, 9,\n  10, 11, 12, 13, 14, 15, 16,\n  17, 18, 19, 20\n}")
end)

test("print: cycles, depth and length end somewhere", function(t)
  local loop = { name = "x" }
  loop.me, loop.inner = loop, { up = loop }
  t.eq(show(loop), '{ inner = { up = <the table 2 up> }, me = <the table 1 up>, name = "x" }')
  t.eq(show({ { { { 1 } } } }, { depth = 2 }), "{ { {...} } }")
  local long = {}
  for i = 1, 500 do long[i] = i end
  t.match(show(long, { items = 3 }), "^{ 1, 2, 3, %.%.%. 497 more }$")
  local wide = {}
  for i = 1, 100 do
    wide[i] = {}
    for j = 1, 100 do wide[i][j] = { j } end
  end
  t.ok(#show(wide) < 200000)
end)

test("print: the same table twice is no cycle", function(t)
  local shared = { 1 }
  t.eq(show { shared, shared }, "{ { 1 }, { 1 } }")
end)

test("print: functions tell their parameters and their place", function(t)
  t.match(show(function(a, b, ...) return a, b, ... end), "^<function%(a, b, %.%.%.%) .*test_repl_print%.lua:%d+>$")
  t.eq(show(string.len), "<function: built in>")
end)

test("print: objects tell what they say of themselves, and nothing else is called", function(t)
  local trap = function() error "never called" end
  t.eq(show(setmetatable({ x = 1 }, { __index = trap, __len = trap, __pairs = trap })), "{ x = 1 }")
  t.eq(show(setmetatable({}, { __tostring = function() return "a thing\nof lines" end })), "<a thing ...>")
  t.eq(show(setmetatable({ 1 }, { __tostring = trap })), "{ 1 }")
  t.eq(show(stoke.channel(1)), "<stoke.channel>")
  t.eq(show(json.decode "[1,{}]"), "{ 1, {} }")
  t.match(show(coroutine.create(print)), "^<coroutine: suspended>$")
end)

test("print: an error is shown with its hint", function(t)
  t.eq(show(errors.new("refused", "nobody there", { hint = "start it" })), "refused: nobody there\n  hint: start it")
end)

test("print: colours take no room", function(t)
  local function paint(_, text) return "\27[32m" .. text .. "\27[0m" end
  t.ok(not show({ "aaaa", "bbbb", "cccc" }, { columns = 30, paint = paint }):find "\n")
end)
