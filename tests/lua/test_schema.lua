-- stoke.schema: checking values, and what is said of what is wrong with them.

local json = require "stoke.json"
local schema = require "stoke.schema"
local stoke = require "stoke"
local test = require "stoke.test"

local null = json.null

local function wrong(t, s, value)
  local got, err = s:try(value)
  t.eq(got, nil)
  t.ok(err, "taken, but should not be")
  t.eq(err.kind, "invalid_output")
  return err.message
end

local function invoice()
  return schema { vendor = "string", total = "number >= 0", due = "date?", lines = { { item = "string", qty = "integer >= 1" } } }
end

local GOOD = '{"vendor":"ACME","total":12.5,"due":"2026-02-28","lines":[{"item":"bolt","qty":4},{"item":"nut","qty":8}]}'

-- ---- checks ---------------------------------------------------------------------------------------------------------

test("schema: a value that fits comes back itself", function(t)
  local value = json.decode(GOOD)
  t.ok(rawequal(invoice():check(value), value))
  local checked, err = invoice():try(value)
  t.ok(rawequal(checked, value) and err == nil)
  t.eq(schema "boolean":try(false), false)
end)

test("schema: a wrong value is named by its path, what was expected and what was found", function(t)
  local value = json.decode(GOOD)
  value.lines[2].qty = "two"
  local err = t.raises("invalid_output", function() invoice():check(value) end)
  t.eq(err.message, 'lines[2].qty: expected integer >= 1, got "two"')
  t.eq(err.path, "lines[2].qty")
  t.eq(err.problems, { { path = "lines[2].qty", expected = "integer >= 1", found = '"two"',
                         message = 'lines[2].qty: expected integer >= 1, got "two"' } })
  local none, same = invoice():try(value)
  t.eq(none, nil)
  t.eq(same.message, err.message)
end)

test("schema: all problems are listed, in the order of the fields; the message names eight", function(t)
  t.eq(wrong(t, invoice(), { vendor = 1, lines = { { qty = 0 } } }),
    "lines[1].item: missing, expected string; lines[1].qty: expected integer >= 1, got 0; " ..
    "total: missing, expected number >= 0; vendor: expected string, got 1")
  local list = {}
  for i = 1, 30 do list[i] = "x" end
  local _, err = schema "integer[]":try(list)
  t.eq(#err.problems, 30)
  t.match(err.message, '^%[1%]: expected integer, got "x"; .*%[8%]: expected integer, got "x"; and 22 more$')
  for i = 31, 5000 do list[i] = "x" end
  _, err = schema "integer[]":try(list)
  t.eq(#err.problems, 100)
end)

-- notation, value, message
local FOUND = {
  { "string", 5, "expected string, got 5" }, { "string", null, "expected string, got null" },
  { "string", true, "expected string, got true" },
  { "integer", 2.5, "expected integer, got 2.5" }, { "integer", "3", 'expected integer, got "3"' },
  { "integer", 0 / 0, "expected integer, got NaN" },
  { "number", 1 / 0, "expected number, got infinity" }, { "number 0..1", 1.5, "expected number from 0 to 1, got 1.5" },
  { "number > 0", 0, "expected number > 0, got 0" }, { "integer 1..3", 4, "expected integer from 1 to 3, got 4" },
  { "boolean", "yes", 'expected true or false, got "yes"' }, { "null", 0, "expected null, got 0" },
  { "string 2..3", "a", 'expected string of 2 to 3 characters, got "a" (1 character)' },
  { "string 1..", "", 'expected non-empty string, got "" (0 characters)' },
  { "string ..2", "\u{E9}\u{E9}\u{E9}", 'expected string of at most 2 characters, got "\u{E9}\u{E9}\u{E9}" (3 characters)' },
  { "low|high", "Low", 'expected one of "low", "high", got "Low"' }, { "1|2", "1", 'expected one of 1, 2, got "1"' },
  { "date", "2026-02-30", 'expected date such as "2026-01-31", got "2026-02-30"' },
  { "datetime", "2026-01-31", 'expected date and time such as "2026-01-31T09:30:00Z", got "2026-01-31"' },
  { "email", "a@", 'expected email address, got "a@"' }, { "uuid", "x", 'expected UUID, got "x"' },
  { "url", "example.com", 'expected URL such as "https://example.com/", got "example.com"' },
  { "string[]", "a", 'expected array, got "a"' },
  { "string[] 1..2", { "a", "b", "c" }, "expected array of 1 to 2 items, got 3" },
  { "string[]", { a = 1 }, "expected array, got an object { a }" },
  { "object", json.array(), "expected object, got an empty array" },
  { "string|null", 5, "expected string or null, got 5" },
  { "date|email", "x", 'expected date such as "2026-01-31" or email address, got "x"' },
  { "integer|string", {}, "expected integer or string, got an empty object" },
  { "string", print, "expected string, got a function" },
  { "string", { 1, 2 }, "expected string, got an array of 2 items" },
  { "integer", ("x"):rep(100), 'got "' .. ("x"):rep(60) .. '..."' },
}

test("schema: what was found is shown as JSON has it", function(t)
  for _, row in ipairs(FOUND) do
    local _, err = schema(row[1]):try(row[2])
    t.ok(err and err.message:find(row[3], 1, true), ("%s: %s"):format(row[1], err and err.message or "taken"))
    t.eq(err.path, "")
  end
  t.eq(wrong(t, schema { a = "string" }, nil), "expected object { a }, got nothing")
  t.eq(wrong(t, schema { ["a b"] = "string", ["\u{E9}"] = "null" }, { ["a b"] = 1 }),
    '["a b"]: expected string, got 1; ["\u{E9}"]: missing, expected null')
end)

test("schema: an integral float becomes an integer, in a copy", function(t)
  local s = schema { n = "integer", list = "integer[]", u = "integer|null", x = "number" }
  local value = json.decode '{"n":3.0,"list":[1,2.0],"u":4.0,"x":5.0}'
  local checked = s:check(value)
  t.eq(checked, { n = 3, list = { 1, 2 }, u = 4, x = 5.0 })
  t.eq(math.type(checked.n) .. math.type(checked.list[2]) .. math.type(checked.u), "integerintegerinteger")
  t.eq(json.encode(value), '{"list":[1,2.0],"n":3.0,"u":4.0,"x":5.0}')
  t.ok(json.is_array(checked.list))
  t.eq(schema "integer":check(2.0 ^ 53 - 1), (1 << 53) - 1)
end)

-- Beyond 2^53 a float is the nearest number, not the one that was written; beyond 64 bits there is no integer at all.
test("schema: an integer that came as another number is refused, never changed", function(t)
  local s = schema { id = "integer?", some = "integer|null?", any = "number?", text = "string?", both = "integer|string?" }
  local words = "too large for an integer; send it as a string"
  for _, text in ipairs { "12345678901234567890123", "9223372036854775808", "-9223372036854775809", "1e300", "9007199254740993.0",
      "12345678901234567168" } do
    for _, exact in ipairs { false, true } do
      for _, name in ipairs { "id", "some" } do
        local said = wrong(t, s, json.decode(('{"%s":%s}'):format(name, text), { exact = exact }))
        t.match(said, "^" .. name .. ": expected .-, got [^,]+, " .. words .. "$")
      end
    end
  end
  t.eq(wrong(t, s, json.decode('{"any":12345678901234567890123}', { exact = true })),
    "any: expected number, got 12345678901234567890123, more digits than a number holds; write 1.23456789012346e+22")
  t.match(wrong(t, s, { id = "12345678901234567890123" }), "got 12345678901234567890123, " .. words)
  t.eq(s:check(json.decode('{"id":9223372036854775807,"some":-9223372036854775808,"any":1e22}')),
    { id = math.maxinteger, some = math.mininteger, any = 1e22 })
  t.eq(s:coerce(json.decode('{"text":12345678901234567168}', { exact = true })), { text = "12345678901234567168" })
  t.eq(s:check(json.decode('{"text":12345678901234567890123,"both":12345678901234567890123}', { exact = true })),
    { text = "12345678901234567890123", both = "12345678901234567890123" })
end)

test("schema: {} of JSON is no array; an empty table of Lua is one where one is wanted", function(t)
  local s = schema { list = "string[]" }
  t.eq(wrong(t, s, json.decode '{"list":{}}'), "list: expected array, got an empty object")
  t.eq(json.encode(s:check { list = {} }), '{"list":[]}')
  t.eq(json.encode(s:check(json.decode '{"list":[]}')), '{"list":[]}')
  local value, repairs = s:coerce(json.decode '{"list":{}}')
  t.eq({ json.encode(value), #repairs }, { '{"list":[]}', 1 })
  t.eq(wrong(t, schema { o = { a = "string?" } }, json.decode '{"o":[]}'), "o: expected object { a }, got an empty array")
end)

test("schema: null in an optional field is left out, unless the field takes null", function(t)
  local s = schema { a = "string?", b = "string|null?", c = "any?", d = "string" }
  t.eq(s:check { a = null, b = null, c = null, d = "x" }, { b = null, c = null, d = "x" })
  t.eq(wrong(t, s, { d = null }), "d: expected string, got null")
end)

test("schema: fields that are not named are left out of the copy; strict makes them problems", function(t)
  local value = { a = "x", more = 1, b = { c = 1, deep = true } }
  local given = { a = "string", b = { c = "integer" } }
  t.eq(schema(given):check(value), { a = "x", b = { c = 1 } })
  t.eq(value, { a = "x", more = 1, b = { c = 1, deep = true } })
  local s = schema({ qty = "integer", lines = { { item = "string" } } }, { strict = true })
  t.eq(s:json_schema().additionalProperties, false)
  t.eq(s:json_schema().properties.lines.items.additionalProperties, false)
  t.eq(wrong(t, s, { qty = 1, qtty = 2, lines = { { item = "x", zzz = 1 } } }),
    "lines[1].zzz: unknown field, only item exist; qtty: unknown field (did you mean qty?)")
  t.eq(wrong(t, schema { total = "number" }, { Total = 1 }), 'total: missing, expected number (there is "Total" instead)')
  t.eq(schema.json({ type = "object", properties = {}, additionalProperties = true }):check(value), value)
  t.eq(schema "object":check(value), value)
end)

test("schema: fields of one alternative are not left out for the sake of another", function(t)
  local a, b = { properties = { a = { type = "integer" } } }, { properties = { b = { type = "integer" } } }
  local s = schema.json { anyOf = { a, b } }
  t.eq(s:check { a = 1, b = 2 }, { a = 1, b = 2 })
  s = schema.json { allOf = { a, b } }
  t.eq(s:check { a = 1.0, b = 2.0 }, { a = 1, b = 2 })
  s = schema.json { anyOf = { { type = "object", properties = { a = { type = "integer" } } }, { type = "null" } } }
  t.eq(s:check { a = 1, b = 2 }, { a = 1 })
end)

test("schema: an empty table is an array where one is wanted, and marked so", function(t)
  local value = { list = {} }
  local checked = schema { list = "string[]" }:check(value)
  t.eq(json.encode(checked), '{"list":[]}')
  t.eq(json.encode(value), '{"list":{}}')
  t.eq(schema { o = {} }:check { o = {} }, { o = {} })
  t.match(wrong(t, schema { list = "string[]" }, { list = json.object() }), "^list: expected array, got an empty object")
  t.match(wrong(t, schema { list = "string[]" }, { list = { "x", y = 1 } }), "^list: expected array, got a table of both")
end)

test("schema: no metamethod of a value runs", function(t)
  local trap = setmetatable({}, { __index = function() error "ran" end, __len = function() error "ran" end, __eq = error })
  t.match(wrong(t, schema { a = "string" }, trap), "^a: missing")
  t.match(wrong(t, schema "integer[] 1..", trap), "got 0")
end)

test("schema: of several alternatives the one that was meant is explained", function(t)
  local function figure(kind, size)
    return { type = "object", properties = { kind = { const = kind }, [size] = { type = "number" } }, required = { "kind", size } }
  end
  for _, key in ipairs { "anyOf", "oneOf" } do
    local s = schema.json { [key] = { figure("circle", "r"), figure("square", "side"), { type = "null" } } }
    t.eq(wrong(t, s, { kind = "circle", r = "x" }), 'r: expected number, got "x"')
    t.eq(wrong(t, s, { kind = "oval", r = 1 }), 'kind: expected "circle" or "square", got "oval"')
    t.eq(wrong(t, s, 3), "expected object { kind, r }, object { kind, side } or null, got 3")
    t.eq(s:check { kind = "square", side = 1 }, { kind = "square", side = 1 })
  end
  t.match(wrong(t, schema.json { oneOf = { { minimum = 1 }, { minimum = 2 } } }, 3), "exactly one of the alternatives .* fits 2$")
  t.match(wrong(t, schema.json { ["not"] = { type = "string" } }, "x"), "expected anything but string")
end)

test("schema: schemas that refer to themselves check as deep as the value goes", function(t)
  local properties = { v = { type = "integer" }, kids = { type = "array", items = { ["$ref"] = "#" } } }
  local Node = schema({ type = "object", properties = properties, required = { "v" } }, { name = "Node" })
  local Doc = schema { root = Node, others = { Node } }
  t.eq(json.encode(Doc:json_schema()["$defs"].Node.properties.kids), '{"items":{"$ref":"#/$defs/Node"},"type":"array"}')
  t.eq(wrong(t, Doc, { root = { v = 1, kids = { { v = 2 }, { v = "x" } } }, others = json.array() }),
    'root.kids[2].v: expected integer, got "x"')
  t.eq(Doc:check { root = { v = 1.0, x = 1 }, others = {} }, { root = { v = 1 }, others = {} })
  t.match(wrong(t, schema.json { ["$ref"] = "#" }, 1), "nested deeper than 200")
end)

test("schema: a value in a circle, and one that is shared endlessly, end in an error", function(t)
  local Tree = schema.json { type = "object", properties = { a = { ["$ref"] = "#" }, b = { ["$ref"] = "#" } } }
  local circle = {}
  circle.a, circle.b = circle, circle
  t.match(wrong(t, Tree, circle), "nested deeper than 200, or too large to check")
  t.match(wrong(t, schema.json { ["not"] = Tree:json_schema() }, circle), "nested deeper")
  local shared = {}
  for _ = 1, 60 do shared = { a = shared, b = shared } end
  t.match(wrong(t, Tree, shared), "too large to check")
  local list = {}
  list[1] = list
  t.ok(not schema.json({ enum = { { 1 } } }):try(list))
  t.eq(select(2, Tree:coerce(circle)), {})
end)

test("schema: a very long name or path is cut in the message", function(t)
  local value = {}
  for _ = 1, 300 do value = { n = value } end
  local s = schema.json { type = "object", properties = { n = { ["$ref"] = "#" }, x = { type = "string" } } }
  t.ok(#wrong(t, s, value) < 300)
  t.ok(#wrong(t, schema({ a = "string?" }, { strict = true }), { [("k"):rep(100000)] = 1 }) < 300)
end)

-- ---- checks of the script's own -------------------------------------------------------------------------------------

local function order_check(v)
  if v.from <= v.to then return true end
  return false, "from must not be after to", "from"
end

test("schema: a check of one's own runs when the shape is right, and its message is a problem", function(t)
  local calls = 0
  local Span = schema({ from = "integer", to = "integer" }, { check = function(v)
    calls = calls + 1
    return order_check(v)
  end })
  t.eq(Span:check { from = 1.0, to = 2 }, { from = 1, to = 2 })
  t.eq(wrong(t, Span, { from = 3, to = 2 }), "from: from must not be after to")
  t.eq(calls, 2)
  t.match(wrong(t, Span, { from = "x", to = 2 }), "^from: expected integer")
  t.eq(calls, 2)
  t.eq(wrong(t, schema { spans = { Span } }, { spans = { { from = 1, to = 2 }, { from = 2, to = 1 } } }),
    "spans[2].from: from must not be after to")
end)

test("schema: several checks all run; nil, no message and an error raised are problems, too", function(t)
  local s = schema("integer", { check = { function() return nil, "first", "[2]" end, function() return false end,
    function() error("third", 0) end, function(v) return v.x.y end } })
  local _, err = s:try(1)
  t.eq(#err.problems, 4)
  t.match(err.message, "^%[2%]: first; does not pass the check; third; .*attempt to index")
  local twice = schema(s, { check = function() return false, "fifth" end })
  t.eq(#select(2, twice:try(1)).problems, 5)
  t.eq(#select(2, s:try(1)).problems, 4)
end)

test("schema: a check that waits and is cancelled is no problem of the value", function(t)
  local s = schema("integer", { check = function() stoke.sleep(10) return true end })
  local _, err = stoke.try(stoke.timeout, 1, function() return s:check(1) end)
  t.eq(err.kind, "timeout")
end)

test("schema: formats by their rules", function(t)
  for format, rows in next, {
    date = { "2024-02-29", "!2023-02-29", "!2026-13-01", "!2026-1-1", "!2026-01-01 ", "!20260101" },
    time = { "09:30:00Z", "09:30:00.25+01:00", "23:59:60Z", "!12:00:60Z", "!09:30", "!24:00:00Z", "!09:30:00" },
    datetime = { "2026-01-31T09:30:00Z", "2026-01-31t09:30:00.1-05:30", "!2026-01-31 09:30:00Z", "!2026-01-31" },
    email = { "a@b.c", "first.last+tag@sub.example.org", '"a b"@c.d', "me@[127.0.0.1]",
      "!a", "!a@", "!@b", "!a..b@c.d", "!a@b@c" },
    url = { "http://a.b", "https://a.b/c?d=e#f", "mailto:a@b.c", "http://[::1]:80/",
      "!a.b", "!http://a b", "!http://a/%zz", "!//a.b/" },
    uuid = { "0b6a3e6e-2f1d-4a5c-9a0b-6f2f4c1d2e3f", "!0b6a3e6e2f1d4a5c9a0b6f2f4c1d2e3f", "!g" },
    ipv4 = { "127.0.0.1", "!256.0.0.1", "!1.2.3", "!01.2.3.4" },
    ipv6 = { "::", "::1", "1::8", "::ffff:1.2.3.4", "!1::2::3", "!12345::" },
    hostname = { "a.example", "!-a.b", "!a_b", "!" },
  } do
    local s = schema(format)
    for _, row in ipairs(rows) do
      local bad = row:match "^!(.*)$"
      t.eq(s:try(bad or row), not bad and row or nil, format .. " " .. row)
    end
  end
end)

test("schema: a constant that JSON does not have is refused", function(t)
  local deep = {}
  local inner = deep
  for _ = 1, 300 do
    inner[1] = {}
    inner = inner[1]
  end
  t.match(t.raises("argument", schema.json, { const = 0 / 0 }).message, "NaN")
  t.match(t.raises("argument", schema.json, { enum = { 0 / 0 } }).message, "NaN")
  t.match(t.raises("argument", schema.json, { const = deep }).message, "nested too deep")
end)

test("schema: equal objects are equal in whatever order their keys were read", function(t)
  local function read(text) return json.decode(text, { ordered = true }) end
  local one, other = '{"a":1,"b":{"c":2,"d":[3]}}', '{"b":{"d":[3.0],"c":2},"a":1}'
  t.raises("invalid_output", schema.json({ uniqueItems = true }).check, schema.json { uniqueItems = true },
    read(("[%s,%s]"):format(one, other)))
  t.ok(schema.json({ const = read(one) }):check(read(other)))
  t.ok(schema.json({ enum = { read(one) } }):check(read(other)))
end)

test("schema: one that is only a reference goes to a server as what it leads to, with the definitions", function(t)
  local tree = { ["$ref"] = "#/$defs/Tree", ["$defs"] = { Tree = { ["$ref"] = "#/$defs/Node" },
    Node = { type = "object", properties = { next = { ["$ref"] = "#/$defs/Node" } } } } }
  t.eq(json.encode(schema.json(tree):format()),
    '{"properties":{"next":{"$ref":"#/$defs/Node"}},"type":"object","$defs":' .. json.encode(tree["$defs"]) .. "}")
  local plain = schema { name = "string" }
  t.ok(plain:format() == plain:json_schema())
end)

test("an exact object has all of its properties, in their order, and no others", function(t)
  local s = schema.json(schema.exact({ why = { type = "string" }, good = { type = "boolean" } }, { "why", "good" }))
  t.eq(json.encode(s:json_schema().properties), [[{"why":{"type":"string"},"good":{"type":"boolean"}}]])
  t.eq(s:try { why = "it is", good = true }, { why = "it is", good = true })
  t.eq(select(2, s:try { why = "it is" }).kind, "invalid_output")
  t.eq(select(2, s:try { why = "it is", good = true, more = 1 }).kind, "invalid_output")
end)
