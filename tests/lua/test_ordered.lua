-- pairs and next of scripts, in tests: one order, the same in each process.

local test = require "stoke.test"
local about = require "core.about"
local ordered = require "core.ordered"
local proc = require "stoke.proc"

local function keys(iterate, t)
  local out = {}
  for key in iterate(t) do out[#out + 1] = key end
  return out
end

local function with_next(t) return ordered.next, t, nil end

local MIXED = { "x", "y", [10] = 1, [2.5] = 1, [-1] = 1, b = 1, a = 1, [true] = 1, [false] = 1 }
local SORTED = { -1, 1, 2, 2.5, 10, "a", "b", false, true }

test("keys come sorted: numbers, strings, booleans", function(t)
  t.eq(keys(pairs, MIXED), SORTED)
  t.eq(keys(with_next, MIXED), SORTED)
end)

test("objects as keys come last, each once", function(t)
  local one, two = {}, print
  local got = keys(pairs, { [one] = 1, [two] = 2, name = 3 })
  t.eq({ #got, got[1], (got[2] == one or got[3] == one) and (got[2] == two or got[3] == two) }, { 3, "name", true })
end)

test("values may be set, and keys taken out, on the way", function(t)
  local map, seen = { a = 1, b = 2, c = 3 }, {}
  for key, value in pairs(map) do
    seen[#seen + 1] = key .. value
    map[key], map.b = value + 1, nil
  end
  t.eq(seen, { "a1", "c3" })
  t.eq(map, { a = 2, c = 4 })
end)

test("next empties a table, and says that one is empty", function(t)
  local map = { c = 1, a = 1, b = 1 }
  local taken = {}
  while next(map) do
    local key = next(map)
    taken[#taken + 1], map[key] = key, nil
  end
  t.eq(taken, { "a", "b", "c" })
  t.eq(next(map), nil)
end)

test("a walk may go on with a key of its own", function(t)
  t.eq({ next({ a = 1, b = 2, c = 3 }, nil) }, { "a", 1 })
  local map = { a = 1, b = 2, c = 3 }
  t.eq({ next(map, (next(map))) }, { "b", 2 })
  t.eq(pcall(next, map, "not there"), false)
end)

test("__pairs is asked, and what is no table is an error of the usual words", function(t)
  local counted = setmetatable({}, { __pairs = function() return function(_, i) if i < 2 then return i + 1 end end, nil, 0 end })
  t.eq(keys(pairs, counted), { 1, 2 })
  local _, problem = pcall(function() for _ in pairs(nil) do end end)
  t.match(problem, "bad argument #1 to '[^']*' %(table expected, got nil%)")
end)

test("outside a test the order is Lua's own", { real = true }, function(t)
  local code = [[
    local seen = {}
    for key in pairs { a = 1, b = 2, c = 3 } do seen[key] = true end
    print(seen.a and seen.b and seen.c, next({}), next({ 7 }))]]
  t.eq(proc.run { argv = { about.executable(), "-e", code } }.stdout, "true\tnil\t1\t7\n")
end)
