-- Plain data as text: it reads back as exactly what it was, and says as JSON what JSON can say.

local test = require "stoke.test"
local json = require "core.json"
local errors = require "core.errors"
local copy = require "core.journal.plain".copy
local plain = require "core.store.plain"

local ORDER = getmetatable(json.object({}, { "" }))[1]

-- Where two values differ, or nil: types, kinds of numbers, marks, orders and all fields count.
local function difference(a, b, path)
  path = path or "it"
  if type(a) ~= type(b) then return ("%s: a %s became a %s"):format(path, type(a), type(b)) end
  if type(a) ~= "table" then
    if math.type(a) ~= math.type(b) then return path .. ": another kind of number" end
    if a == b and (a ~= 0 or math.type(a) == "integer" or 1 / a == 1 / b) or a ~= a
      and tostring(a) == tostring(b) then return nil end
    return ("%s: %s became %s"):format(path, tostring(a), tostring(b))
  end
  local of, is = getmetatable(a), getmetatable(b)
  if of ~= is then
    local both = type(of) == "table" and type(is) == "table" and rawget(of, 1) == ORDER and rawget(is, 1) == ORDER
    if not both or #of ~= #is then return path .. ": another mark" end
    for i = 2, #of do
      if of[i] ~= is[i] then return path .. ": another order" end
    end
  end
  for key, value in next, a do
    local odd = difference(value, rawget(b, key), ("%s[%s]"):format(path, tostring(key)))
    if odd then return odd end
  end
  for key in next, b do
    if rawget(a, key) == nil then return ("%s: has %s more"):format(path, tostring(key)) end
  end
end

local STRINGS = { "", "a", "Oslo", "\0", "\255\254", "two\nlines", "\"quoted\" \\", "\u{1F600}", "$ref", "$pairs", "$mark", "\xC3",
  ("long "):rep(60), ("\xFF\0"):rep(150), "\u{7FF}\u{FFFF}", " ", "\127" }
local NUMBERS = { 0, 1, -1, 1.0, -0.0, 0.1, 1e300, 5e-324, math.maxinteger, math.mininteger, math.huge, -math.huge, 0 / 0, -(0 / 0),
  2.0 ^ 53, 255 }

local function pick(list) return list[math.random(#list)] end

local value_of

local KEYS = { function() return pick(STRINGS) end, function() return "k" .. math.random(9) end, function() return math.random(-2,
  9) end,
  function() return math.random() end, function() return math.random(2) == 1 end }

local TABLES = {
  function(depth) -- a list
    local t = {}
    for i = 1, math.random(0, 5) do t[i] = value_of(depth) end
    return t
  end,
  function(depth) -- names
    local t = {}
    for _ = 1, math.random(0, 5) do t[KEYS[math.random(2)]()] = value_of(depth) end
    return t
  end,
  function(depth) -- anything
    local t = {}
    for _ = 1, math.random(0, 6) do t[KEYS[math.random(#KEYS)]()] = value_of(depth) end
    return t
  end,
}

local function marked(t)
  local how = math.random(8)
  if how == 1 then return json.array(t) end
  if how == 2 then return json.object(t) end
  if how == 3 then
    local order, seen = {}, {}
    for key in next, t do
      if type(key) == "string" and math.random(5) > 1 then table.insert(order, math.random(#order + 1), key) end
    end
    for _, key in ipairs(order) do seen[key] = true end
    if math.random(5) == 1 and not seen.absent then order[#order + 1] = "absent" end
    return json.object(t, order)
  end
  if how == 4 and t.kind == nil then return errors.new("refused", "no", t) end
  return t
end

function value_of(depth)
  local kind = math.random(depth > 4 and 5 or 8)
  if kind <= 2 then return pick(STRINGS) end
  if kind == 3 then return pick(NUMBERS) end
  if kind == 4 then return math.random(2) == 1 end
  if kind == 5 then return json.null end
  return marked(TABLES[math.random(#TABLES)](depth + 1))
end

test("random plain data reads back exactly, whatever is marked and wherever long strings stand", function(t)
  for seed = 1, 10000 do
    math.randomseed(seed)
    local value = value_of(0)
    local sink = seed % 2 == 0 and {} or nil
    local text = assert(plain.encode(value, sink), "seed " .. seed)
    local back, err = plain.decode(text, sink)
    local odd = err and err.message or difference(value, back)
    if odd then t.eq(("seed %d: %s in %s"):format(seed, odd, text), nil) end
  end
end)

test("what a journal's copy keeps of a value is what its text keeps", function(t)
  for seed = 1, 3000 do
    math.randomseed(seed)
    local value = value_of(0)
    local odd = difference((copy(value)), (plain.decode(plain.encode(value))))
    if odd then t.eq(("seed %d: %s"):format(seed, odd), nil) end
  end
end)

test("what JSON can say is said as JSON", function(t)
  t.eq(plain.encode { city = "Oslo", degrees = 4, wind = 2.5, tags = { "cold", "dry" }, rain = false, more = json.null },
    '{"city":"Oslo","degrees":4,"more":null,"rain":false,"tags":["cold","dry"],"wind":2.5}')
  t.eq(json.decode(plain.encode(json.object({ b = 1, a = json.array() }, { "b", "a" }))), { a = {}, b = 1 })
end)

test("equal values have equal texts, in whatever order they were made", function(t)
  local a, b = {}, {}
  for i = 1, 200 do a["key" .. i] = i end
  for i = 200, 1, -1 do b["key" .. i] = i end
  t.eq(plain.encode(a) == plain.encode(b), true)
end)

test("what JSON cannot say has a tag", function(t)
  t.eq(plain.encode "\xFF\xFE", '{"$bytes":"//4="}')
  t.eq(plain.encode { math.huge }, '[{"$number":"inf"}]')
  t.eq(plain.encode { [3] = "x" }, '{"$pairs":[[3,"x"]]}')
  t.eq(plain.encode { ["$text"] = 1 }, '{"$pairs":[["$text",1]]}')
  t.eq(plain.encode(errors.new("refused", "no")), '{"$error":{"kind":"refused","message":"no"}}')
end)

test("a long string stands by its hash, a short one itself", function(t)
  local sink, long = {}, ("x"):rep(200)
  local text = plain.encode({ long, long, ("y"):rep(199) }, sink)
  local hash = plain.hash(long)
  t.eq(sink, { [hash] = long })
  t.eq(#hash, 20)
  t.eq(text, ('[{"$text":"%s"},{"$text":"%s"},"%s"]'):format(hash, hash, ("y"):rep(199)))
end)

test("an object of a class is no plain data, unless that does not matter", function(t)
  local object = setmetatable({ a = 1 }, { __index = {} })
  t.eq(plain.encode { object }, nil)
  t.eq(plain.encode({ object }, nil, true), '[{"a":1}]')
  t.eq(plain.encode { f = print }, nil)
  t.eq(plain.encode { [{}] = 1 }, nil)
  local cycle = {}
  cycle.cycle = cycle
  t.eq(plain.encode(cycle), nil)
end)

test("of an error what is not plain is left out", function(t)
  local err = errors.new("tool", "no", { work = setmetatable({}, { __index = {} }), run = print, asked = { 1 } })
  local back = plain.decode(plain.encode { err })[1]
  t.eq({ back.kind, back.message, back.asked, rawget(back, "work"), rawget(back, "run") }, { "tool", "no", { 1 } })
  t.eq(errors.is(back), true)
end)

test("a value with more bytes than allowed is refused, also where they stand elsewhere", function(t)
  for _, sink in ipairs { false, {} } do
    local text, err = plain.encode({ ("x"):rep(3000) }, sink or nil, false, 2000)
    t.eq({ text, err.kind }, { nil, "limit" })
  end
end)

test("a damaged text is told with the byte", function(t)
  local whole = plain.encode { a = { 1, 2, { b = "\xFF" } }, list = json.array { 1 } }
  for n = 0, #whole - 1 do
    local value, err = plain.decode(whole:sub(1, n))
    t.eq({ value, err.kind }, { nil, "protocol" })
  end
  for _, text in ipairs { '{"$text":"nowhere"}', '{"$bytes":"?"}', '{"$pairs":[1]}', '{"$pairs":[[null]]}', '{"$mark":1}',
    '{"$error":1}',
    '{"$bytes":"","x":1}', '{"$pairs":[],"$mark":7}' } do
    local value, err = plain.decode(text)
    t.eq({ value, err and err.kind }, { nil, "protocol" })
  end
end)

test("a digest takes 32 bytes, and any other text stays as it is", function(t)
  local hex = ("0123456789abcdef"):rep(4)
  t.eq(#plain.pack(hex), 32)
  t.eq(plain.unpack(plain.pack(hex)), hex)
  for _, text in ipairs { "nil", "json", ("x"):rep(64), ("AB"):rep(32) } do t.eq(plain.unpack(plain.pack(text)), text) end
end)
