-- Specs: tables of a script checked, and written, in one pass; no to all that is not plain.

local test = require "stoke.test"
local json = require "stoke.json"
local rand = require "stoke.rand"
local engine = require "core.json"
local hash = require "core.hash"

local null, spec = json.null, engine.spec

local function generator()
  local seed = rand.int(0, 0x7FFFFFFF)
  local state = seed
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end, seed
end

local message = spec {
  { name = "content", kind = "string" },
  { name = "role", kind = "string", required = true, words = { "user", "assistant" } },
}
local request = spec {
  { name = "endpoint", kind = "string", unsent = true },
  { name = "messages", kind = "list", required = true, of = { kind = "record", of = message, pieces = true } },
  { name = "model", kind = "string", required = true, min = 1 },
  { name = "options", kind = "record", default = { num_ctx = 4096 },
    of = spec { { name = "num_ctx", constant = 4096 }, { name = "seed", kind = "integer" }, { name = "stop", kind = "list" } } },
  { name = "stream", constant = false },
  { name = "think", kind = "boolean|string", default = false },
  { name = "tools", kind = "table" },
}

local function given(more)
  local out = { model = "m", messages = { { role = "user", content = "hi" } } }
  for key, value in next, more or {} do out[key] = value end
  return out
end

local HI = '[{"content":"hi","role":"user"}]'

test("spec: writes what is given in the order of its fields, and what stands for the rest", function(t)
  t.eq(request:encode(given()), ('{"messages":%s,"model":"m","options":{"num_ctx":4096},"stream":false,"think":false}'):format(HI))
  t.eq(request:encode(given { think = "low", endpoint = "gpu", tools = json.object({ b = 1, a = { 2 } }, { "b" }),
    options = { seed = 7, stop = { "x", "\u{E9}\n" } } }), ('{"messages":%s,"model":"m","options":{"num_ctx":4096,"seed":7,'
    .. '"stop":["x","\u{E9}\\n"]},"stream":false,"think":"low","tools":{"b":1,"a":[2]}}'):format(HI))
  t.eq(request:encode(given { options = {} }), request:encode(given()))
  t.eq(spec({ { name = "a", kind = "any" } }):encode { a = null }, '{"a":null}')
  t.eq(spec({ { name = "a\n", kind = "any" } }):encode {}, "{}")
end)

test("spec: takes pieces where it says so", function(t)
  local hi = json.piece { role = "user", content = "hi" }
  t.eq(request:encode(given { messages = { hi, { role = "user", content = "hi" } } }),
    request:encode(given { messages = { { role = "user", content = "hi" }, hi } }))
  t.eq(request:encode(given { tools = hi }), nil)
  t.eq(request:encode(given { model = json.piece "m" }), nil)
end)

test("spec: says no to all that is not plain", function(t)
  local meta = setmetatable({}, { __index = { model = "m" } })
  local loop = {}
  loop.loop = loop
  local bad = {
    { colour = 1 }, { model = false }, { model = "" }, { model = "\xFF" }, { messages = "hi" }, { messages = {} },
    { messages = { a = 1 } }, { messages = { nil, { role = "user" } } }, { messages = { { content = "hi" } } },
    { messages = { { role = "system" } } }, { messages = { { role = "user", content = 1 } } },
    { messages = { { role = "user", more = 1 } } }, { messages = { { "user" } } }, { messages = json.object { { role = "user" } } },
    { messages = { json.object({ role = "user" }, { "role" }) } }, { messages = { setmetatable({ role = "user" }, {}) } },
    { messages = json.array { setmetatable({}, { __index = { role = "user" } }) } }, { stream = false }, { stream = true },
    { think = 1 }, { think = null }, { options = { num_ctx = 1 } }, { options = { seed = 1.0 } }, { options = json.array {} },
    { options = { seed = 0 / 0 } }, { options = { stop = { print } } }, { options = { stop = { a = 1 } } }, { tools = meta },
    { tools = loop }, { tools = hash.new() }, { endpoint = 1 }, { tools = print }, { [1] = 2 },
    { options = { stop = { 1, 2, x = 3 } } }, { options = { stop = { 0 / 0 } } },
  }
  for i, more in ipairs(bad) do
    if request:encode(given(more)) ~= nil then error(("case %d was written"):format(i)) end
  end
  t.eq(request:encode { model = "m" }, nil)
  t.eq(request:encode "m", nil)
  t.eq(request:encode(meta), nil)
  t.eq(request:encode(given()), request:encode(given())) -- and the next one is right
end)

test("spec: limits of numbers, characters and items", function(t)
  local function fits(field, value)
    field.name = "a"
    return spec({ field }):fits { a = value } ~= nil
  end
  local function row(field, yes, no)
    for i, value in ipairs(yes) do t.ok(fits(field, value), ("%s: %d was refused"):format(field.kind, i)) end
    for i, value in ipairs(no) do t.ok(not fits(field, value), ("%s: %d was taken"):format(field.kind, i)) end
  end
  row({ kind = "integer", least = 1, most = 3 }, { 1, 3 }, { 0, 4, 2.0, "2", true, null, math.maxinteger, math.mininteger })
  row({ kind = "number", above = 0, below = 1 }, { 0.5 }, { 0, 1, 0.0, 1.0 })
  row({ kind = "number" }, { 1, -1.5, math.maxinteger, 1e300 }, { "1", true })
  t.ok(not fits({ kind = "number" }, 0 / 0) and not fits({ kind = "number" }, math.huge))
  row({ kind = "string", min = 2, max = 4 }, { "ab", "abcd" }, { "a", "abcde", 12 })
  row({ kind = "string", max = 4 }, { "\u{E9}\u{E9}", "" }, { "abcde" })
  row({ kind = "string", min = 1 }, { "abcd", "a" }, { "" })
  row({ kind = "string|null", words = { "on", "off" } }, { "on", null }, { "ON", "", "onn", true })
  row({ kind = "boolean" }, { true, false }, { 0, "true" })
  row({ kind = "list", min = 1, max = 2, of = { kind = "integer" } }, { { 1 }, { 1, 2 } },
    { {}, json.array {}, { 1, 2, 3 }, { 1.5 } })
  row({ kind = "list" }, { json.array {}, { 1 }, engine.fixed { 1 } }, { {}, { a = 1 }, json.object {}, json.object { 1 } })
  row({ kind = "list", of = { kind = "list", of = { kind = "any" } } }, { { { 1, "x" }, { {} } } }, { { 1 }, { { 1, x = 2 } } })
  row({ kind = "any" }, { 1, "x", {}, null, { a = 1 } }, {})
  t.ok(fits({ kind = "any" }, print))
end)

test("spec: many fields, long names, and those that are open", function(t)
  local fields, value = {}, {}
  for i = 1, 64 do
    local name = ("n%d"):format(i):rep(1 + i % 30)
    fields[i], value[name] = { name = name, kind = "integer", required = i % 2 == 0 }, i
  end
  local many = spec(fields)
  t.eq(many:fits(value), 1)
  t.eq(json.encode(json.decode(many:encode(value))), json.encode(value))
  value[fields[64].name] = nil
  t.eq(many:fits(value), nil)
  t.eq(spec({ open = true, { name = "a", kind = "integer" } }):fits { a = 1, b = print }, 1)
  t.eq(spec({ open = true, { name = "a", kind = "integer" } }):encode { a = 1 }, nil)
  t.eq(spec({ { kind = "list", of = { kind = "integer" } } }, true):fits { 1, 2 }, 1)
  t.eq(spec({ { kind = "list", of = { kind = "integer" } } }, true):encode { 1, 2 }, nil)
end)

test("spec: a value shared many times over ends", function(t)
  local inner = { kind = "integer" }
  local value = 1
  for _ = 1, 6 do
    inner = { kind = "list", of = inner }
    local list = {}
    for i = 1, 60 do list[i] = value end
    value = list
  end
  inner.name = "a"
  t.eq(spec({ inner }):fits { a = value }, nil)
  t.eq(spec({ inner }):encode { a = value }, nil)
end)

test("spec: a definition that is none is refused", function(t)
  local function refused(word, definition) t.match(t.raises("argument", spec, definition).message, word) end
  refused("no kind strin", { { name = "a", kind = "strin" } })
  refused("needs a name", { { kind = "string" } })
  refused("needs a kind", { { name = "a" } })
  refused("twice", { { name = "a", kind = "any" }, { name = "a", kind = "any" } })
  refused("twice", { { name = ("a"):rep(50), kind = "any" }, { name = ("a"):rep(50), kind = "any" } })
  refused("needs `of`", { { name = "a", kind = "record" } })
  refused("must be a number", { { name = "a", kind = "number", least = "1" } })
  refused("cannot encode", { { name = "a", default = print, kind = "any" } })
  refused("words must be", { { name = "a", kind = "string", words = { 1 } } })
  refused("must be a table", { "a" })
  local fields = {}
  for i = 1, 65 do fields[i] = { name = "n" .. i, kind = "any" } end
  refused("more than 64", fields)
  t.match(t.raises("argument", request.encode, {}, {}).message, "spec:encode: expected a spec")
  t.match(t.raises("argument", request.fits, json.piece(1), {}).message, "spec:fits: expected a spec")
end)

-- A random field with a value that fits it, and one that does not.
local function random_field(random, depth)
  local kind = random(depth > 0 and 7 or 5)
  if kind == 0 then return { kind = "string" }, ("\u{E9}x"):rep(random(9)), 1 end
  if kind == 1 then return { kind = "integer", least = -5 }, random(100) - 5, -6 end
  if kind == 2 then return { kind = "number|null" }, random(2) == 0 and null or random(99) / 7, "1" end
  if kind == 3 then return { kind = "boolean" }, random(2) == 0, null end
  if kind == 4 then return { kind = "string", words = { "a", "b" } }, "b", "c" end
  if kind == 5 then
    local of, good, bad = random_field(random, depth - 1)
    local list = json.array {}
    for i = 1, random(4) do list[i] = good end
    local spoiled = table.move(list, 1, #list, 1, {})
    spoiled[#spoiled + 1] = bad
    return { kind = "list", of = of }, list, spoiled
  end
  local fields, good, bad = {}, {}, {}
  local n = 1 + random(5)
  for i = 1, n do
    local name = ("f%02d"):format(i)
    local field, right, wrong = random_field(random, depth - 1)
    field.name, field.required = name, random(2) == 0
    fields[i] = field
    if field.required or random(2) == 0 then good[name] = right end
    bad[name] = i == n and wrong or right
  end
  return { kind = "record", of = spec(fields) }, good, bad
end

test("spec: random values are written as json.encode writes them, and the wrong ones are not", function()
  local random, seed = generator()
  for i = 1, 400 do
    local field, good, bad = random_field(random, 4)
    field.name = "it"
    local made = spec { field }
    local right, wrong = { it = good }, { it = bad }
    if made:encode(right) ~= json.encode(right) or not made:fits(right) or made:encode(wrong) ~= nil or made:fits(wrong) then
      error(("seed %d, round %d: %s or %s"):format(seed, i, json.encode(right), json.encode(wrong)))
    end
  end
end)
