-- Randomness: the same seed gives the same numbers, on every machine and for ever.

local test = require "stoke.test"
local rand = require "stoke.rand"

test("the numbers of a seed never change", function(t)
  local g = rand.new(42)
  t.eq(g:int(math.mininteger, math.maxinteger), 1546998764402558742)
  t.eq(g:int(1, 6), 1)
  t.eq(("%.17g"):format(g:float()), "0.68004341102813937")
  t.eq((g:bytes(5):gsub(".", function(c) return ("%02x"):format(c:byte()) end)), "a160b30347")
  t.eq(table.concat(g:permutation(6), " "), "2 3 1 5 4 6")
end)

test("an id is a prefix and the digits of the next number", function(t)
  local random = require "core.random"
  local before = random.seeded
  random.seed(42)
  local number = random.stream("run id"):int(0, 0xffffffff)
  random.seed(42)
  t.eq(random.id(random.streams["run id"], "run_"), ("run_%08x"):format(number))
  if before then random.seed(before) end
end)

test("seeding repeats", function(t)
  local function draw()
    rand.seed(7)
    return table.concat({ rand.float(), rand.int(1, 1000), rand.pick { "a", "b", "c" }, rand.bytes(8),
      table.concat(rand.shuffle { 1, 2, 3, 4, 5, 6, 7, 8 }) }, " ")
  end
  t.eq(draw(), draw())
  math.randomseed(7)
  local a = math.random(1, 1000000)
  rand.seed(7)
  t.eq(rand.int(1, 1000000), a)
end)

test("floats are in [0, 1), integers in their range, and all of them come", function(t)
  local g, low, high, seen, count = rand.new(1), 1, 0, {}, 0
  for _ = 1, 10000 do
    local x = g:float()
    low, high = math.min(low, x), math.max(high, x)
    local i = g:int(-2, 2)
    t.ok(i >= -2 and i <= 2, "range")
    if not seen[i] then seen[i], count = 0, count + 1 end
    seen[i] = seen[i] + 1
  end
  t.ok(low >= 0 and low < 0.01 and high < 1 and high > 0.99, "spread")
  t.eq(count, 5)
  for i = -2, 2 do t.ok(seen[i] > 1800 and seen[i] < 2200, i .. " came " .. seen[i] .. " times") end
  t.eq(g:int(5, 5), 5)
  t.ok(math.type(g:int(math.mininteger, math.maxinteger)) == "integer", "the whole range")
end)

test("shuffle keeps the elements, and the list it was given", function(t)
  local list = { "a", "b", "c", "d", "e", "f", "g", "h" }
  local out = rand.shuffle(list)
  t.eq(table.concat(list), "abcdefgh")
  t.eq(#out, 8)
  table.sort(out)
  t.eq(table.concat(out), "abcdefgh")
  t.eq(#rand.shuffle {}, 0)
end)

test("bytes", function(t)
  t.eq(#rand.bytes(0), 0)
  t.eq(#rand.bytes(1001), 1001)
  t.ok(rand.bytes(16) ~= rand.bytes(16), "they differ")
end)

test("uuids are of version 7, differ, and sort by time", { real = true }, function(t)
  local last = ""
  for _ = 1, 5 do
    local id = rand.uuid()
    t.ok(id:find "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", id)
    t.ok(id:sub(1, 13) >= last:sub(1, 13), "later ones sort behind")
    t.ok(id ~= last, "they differ")
    last = id
    require "stoke".sleep(0.002)
  end
end)

test("mistakes of the caller are named", function(t)
  t.raises("argument", rand.int)
  t.raises("argument", rand.int, 2, 1)
  t.raises("argument", rand.int, 1.5, 2)
  t.raises("argument", rand.int, "1", 2)
  t.raises("argument", rand.pick, {})
  t.raises("argument", rand.pick)
  t.raises("argument", rand.shuffle, "abc")
  t.raises("argument", rand.seed)
  t.raises("argument", rand.bytes, -1)
  t.raises("argument", rand.new)
end)

-- ---- one seed, a stream for each purpose ---------------------------------------------------------------------------------

local random = require "core.random"

test("what is drawn for one purpose does not change what is drawn for another", function(t)
  local function script_draws(before)
    random.seed(7)
    for _ = 1, before do random.stream("retry"):float() end
    return rand.int(1, 1 << 40)
  end
  t.eq(script_draws(3), script_draws(0))
end)

test("purposes have numbers of their own, and the same each time", function(t)
  local function draw(purpose)
    random.seed(7)
    return random.stream(purpose):int(1, 1 << 40)
  end
  t.ok(draw "a" ~= draw "b")
  t.eq(draw "a", draw "a")
end)

test("--seed: a call that is tried again does not change the numbers of the script", { real = true }, function(t)
  local about, proc = require "core.about", require "stoke.proc"
  local code = [[
    local stoke = require "stoke"
    local again = arg[1] == "again"
    if again then stoke.try(stoke.ollama.generate, { model = "m", prompt = "x", endpoint = "http://127.0.0.1:9" }) end
    print(math.random(1000000))]]
  local function drawn(how)
    return proc.run { argv = { about.executable(), "--seed", "7", "-e", code, how }, timeout = 60 }.stdout
  end
  t.match(drawn "once", "^%d+\n$")
  t.eq(drawn "again", drawn "once")
end)
