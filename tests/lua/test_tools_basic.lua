-- now and calculator.

local test = require "stoke.test"
local about = require "core.about"
local basic = require "stoke.tools.basic"
local calculate = require "stoke.tools.calculate"
local proc = require "stoke.proc"
local stoke = require "stoke"

-- ---- now ------------------------------------------------------------------------------------------------------------------

test("now: date, time, weekday, offset and ISO 8601 of the clock", function(t)
  local got = basic.now({ utc = true }):call()
  t.eq(got.iso, "2026-01-01T00:00:00Z")
  t.eq(got.date, "2026-01-01")
  t.eq(got.time, "00:00:00")
  t.eq(got.weekday, "Thursday")
  t.eq(got.utc_offset, "+00:00")
  t.eq(got.unix, 1767225600)
  t.eq(tostring(got), "Thursday, 1 January 2026, 00:00:00 (UTC+00:00)\n2026-01-01T00:00:00Z")
  stoke.sleep(86400 * 9 + 3661)
  t.eq(basic.now({ utc = true }):call().iso, "2026-01-10T01:01:01Z")
end)

test("now: local time knows its offset", { real = true }, function(t)
  local script = 'local n = require("stoke.tools.basic").now():call() print(n.utc_offset, n.iso:sub(-6))'
  for zone, offset in pairs { ["XYZ-5:30"] = "+05:30", ["XYZ+3:30"] = "-03:30", ["UTC0"] = "+00:00", ["XYZ-14"] = "+14:00",
    ["XYZ12"] = "-12:00" } do
    local r = proc.run { argv = { about.executable(), "-e", script }, env_allow = { "PATH", "STOKE_PATH", "ASAN_OPTIONS" },
      env = { TZ = zone, HOME = "/nonexistent" } }
    t.eq(r.stdout, offset .. "\t" .. offset .. "\n", zone .. r.stderr)
  end
end)

test("now: unknown options are named", function(t)
  t.raises("argument", basic.now, { zone = "x" })
  t.raises("argument", basic.calculator, { digits = 1 })
end)

-- ---- calculator -----------------------------------------------------------------------------------------------------------

local function is(t, expression, wanted)
  local value, complaint = calculate.evaluate(expression)
  t.ok(value, ("%s: %s"):format(expression, complaint))
  t.eq(calculate.show(value), wanted, expression)
end

local function fails(t, expression, wanted)
  local value, complaint = calculate.evaluate(expression)
  t.eq(value, nil, expression)
  t.match(complaint, wanted)
end

test("calculator: precedence and associativity are those of mathematics", function(t)
  is(t, "1 + 2 * 3", "7")
  is(t, "(1 + 2) * 3", "9")
  is(t, "10 - 4 - 3", "3")
  is(t, "100 / 10 / 5", "2")
  is(t, "2 ^ 3 ^ 2", "512")
  is(t, "-2 ^ 2", "-4")
  is(t, "(-2) ^ 2", "4")
  is(t, "2 ^ -1", "0.5")
  is(t, "2 * -3", "-6")
  is(t, "10 - -3", "13")
  is(t, "--3", "3")
  is(t, "+3", "3")
  is(t, "2 + 3 * 4 ^ 2 / 8 - 1", "7")
  is(t, "7 // 2", "3")
  is(t, "-7 // 2", "-4")
  is(t, "10 % 3 * 2", "2")
end)

test("calculator: whole numbers are exact while they fit", function(t)
  is(t, "9007199254740993 + 0", "9007199254740993")
  is(t, "123456789 * 987654321", "121932631112635269")
  is(t, "2^62", "4611686018427387904")
  is(t, "3^39", "4052555153018976267")
  is(t, "(-2)^63", "-9223372036854775808")
  is(t, "factorial(20)", "2432902008176640000")
  is(t, "9223372036854775807 + 1", "9.22337203685478e+18")
  is(t, "-9223372036854775807 - 2", "-9.22337203685478e+18")
  is(t, "3037000500 * 3037000500", "9.22337203700025e+18")
  is(t, "(-9223372036854775807 - 1) // -1", "9.22337203685478e+18")
  is(t, "-(-9223372036854775807 - 1)", "9.22337203685478e+18")
  is(t, "9223372036854775808", "9.22337203685478e+18")
  is(t, "6 / 2", "3")
  is(t, "7 / 2", "3.5")
  is(t, "0.1 + 0.2", "0.3")
  is(t, "1e3", "1000")
end)

test("calculator: numbers and signs as people write them", function(t)
  is(t, "1,234.5 * 2", "2469")
  is(t, "1,234,567", "1234567")
  is(t, "20%", "0.2")
  is(t, "200 * 20%", "40")
  is(t, "50 %", "0.5")
  is(t, "10 % 4", "2")
  is(t, "10 % (4)", "2")
  is(t, "6 × 7 ÷ 2 − 1", "20")
  is(t, "2·3", "6")
  is(t, "2 ** 10", "1024")
  is(t, "√16 + √(9)", "7")
  is(t, "1.5e-3", "0.0015")
  is(t, ".5 + 5.", "5.5")
  is(t, "5!", "120")
  is(t, "3!!", "720")
  is(t, "2 + 2 =", "4")
  is(t, "= 2 + 2", "4")
end)

test("calculator: functions and constants", function(t)
  is(t, "sqrt(2)", "1.4142135623731")
  is(t, "sin(0) + cos(0) + tan(0)", "1")
  is(t, "asin(1) * 2 - pi", "0")
  is(t, "acos(1)", "0")
  is(t, "atan(1) * 4", "3.14159265358979")
  is(t, "atan(1, -1)", "2.35619449019234")
  is(t, "ln(e)", "1")
  is(t, "log(1000)", "3")
  is(t, "log(8, 2)", "3")
  is(t, "log2(1024) + log10(100)", "12")
  is(t, "exp(0)", "1")
  is(t, "abs(-3) + abs(3.5)", "6.5")
  is(t, "floor(-2.5)", "-3")
  is(t, "ceil(2.1)", "3")
  is(t, "round(2.5)", "3")
  is(t, "round(-2.5)", "-3")
  is(t, "round(2.567, 2)", "2.57")
  is(t, "round(1234, -2)", "1200")
  is(t, "min(3, 1, 2) + max(1,5)", "6")
  is(t, "max((1,234), 5)", "1234")
  is(t, "gcd(12, 18, 27)", "3")
  is(t, "gcd(sqrt(16), 6)", "2")
  is(t, "PI", "3.14159265358979")
  is(t, "Sqrt(4)", "2")
end)

test("calculator: a mistake is told with its position", function(t)
  fails(t, "", "nothing to calculate, at position 1")
  fails(t, "1 +", "a number is missing at the end, at position 4")
  fails(t, "1 + * 2", "a number expected, not `%*`, at position 5")
  fails(t, "(1 + 2", "`%)` expected to close the parenthesis, at position 7")
  fails(t, "1 + 2)", "`%)` is one too many, at position 6")
  fails(t, "2(3)", "an operator is missing before `%(`, at position 2")
  fails(t, "2π", "an operator is missing before `π`, at position 2")
  fails(t, "2 3", "an operator is missing before `3`, at position 3")
  fails(t, "× 3", "at position 1")
  fails(t, "1 × × 3", "at position 5")
  fails(t, "foo(1)", "foo is unknown; there are pi, e and abs")
  fails(t, "sin 3", "`%(` expected after sin, at position 5")
  fails(t, "min()", "a number expected, not `%)`, at position 5")
  fails(t, "sqrt(1, 2)", "sqrt takes 1 argument, got 2, at position 1")
  fails(t, "gcd(1)", "gcd takes 2 to 50 arguments, got 1")
  fails(t, "$5", "%$ means nothing here, at position 1")
  fails(t, "1..2", "one point, at position 3")
  fails(t, "0x10", "in decimal")
  fails(t, "1,23", "`,` is one too many, at position 2")
  fails(t, "\xff", "no valid UTF%-8")
end)

test("calculator: what has no value says so", function(t)
  fails(t, "1 / 0", "division by zero, at position 3")
  fails(t, "1 // 0", "division by zero")
  fails(t, "1 % 0", "division by zero")
  fails(t, "0 ^ -1", "division by zero")
  fails(t, "(-8) ^ (1/3)", "no such power")
  fails(t, "sqrt(-1)", "no square root")
  fails(t, "ln(0)", "above 0")
  fails(t, "log(2, 1)", "base")
  fails(t, "asin(2)", "%-1 to 1")
  fails(t, "factorial(2.5)", "whole number")
  fails(t, "factorial(171)", "at most 170")
  fails(t, "gcd(1.5, 2)", "whole numbers")
  fails(t, "1e308 * 10", "too large")
  fails(t, "10 ^ 400", "too large")
  fails(t, "1e999", "too large")
  fails(t, "exp(1000)", "too large")
end)

test("calculator: length and depth are capped", function(t)
  fails(t, ("1+"):rep(500) .. "1", "longer than 1000 characters")
  is(t, ("1+"):rep(499) .. "1", "500")
  for _, text in ipairs { ("("):rep(900) .. "1", ("-"):rep(900) .. "1", ("2^"):rep(400) .. "1", ("sin("):rep(200),
    ("√"):rep(300) .. "1" } do
    t.ok(select(2, calculate.evaluate(text)) or calculate.evaluate(text), text)
  end
  fails(t, ("("):rep(900) .. "1", "more than 100 levels deep")
end)

test("calculator: nothing in an expression is ever Lua", function(t)
  for _, text in ipairs { "os.exit(1)", "load('x')", "1;2", "a=1", "(function() end)()", "print(1)", "_G", "nil", "math.huge",
    "1==1", "{1}",
    "'x'", "[[x]]", "#1", "1 and 2", "not 1", "...", "1 .. 2", "~1", "1<<2", "--[[x]] 1", "tostring(1)", "string.rep('x',1e9)" } do
    t.eq(calculate.evaluate(text), nil, text)
  end
end)

test("calculator: any bytes give a number or a complaint", function(t)
  local alphabet = { "1", "2,", "000", ".", "e", "+", "-", "*", "/", "//", "%", "^", "(", ")", ",", "!", "pi", "sqrt(", "max(",
    " ", "×", "√", "9", "log(",
    "π", "=", "é", "_" }
  local state = 7
  local function random(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % n + 1
  end
  for _ = 1, 20000 do
    local parts = {}
    for i = 1, random(12) do parts[i] = alphabet[random(#alphabet)] end
    local text = table.concat(parts)
    local value, complaint = calculate.evaluate(text)
    t.ok(type(value) == "number" and value == value or type(complaint) == "string" and not complaint:find "^stoke:", text)
  end
end)

test("calculator: as a tool it answers with text, and raises kind tool", function(t)
  local tool = basic.calculator()
  t.eq(tool:call { expression = "1,200 * 20%" }, "240")
  t.raises("tool", tool.call, tool, { expression = "1 +" })
  t.eq(tool.name, "calculator")
end)
