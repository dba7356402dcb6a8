-- stoke.schema: tolerant reading, and the description for a prompt.

local json = require "stoke.json"
local schema = require "stoke.schema"
local test = require "stoke.test"

-- ---- tolerant reading -----------------------------------------------------------------------------------------------

-- definition, given, read as, repairs
local READINGS = {
  { { qty = "integer" }, '{"qty":"2"}', '{"qty":2}', { 'qty: "2" read as 2' } },
  { { qty = "integer" }, '{"qty":" 2.0 "}', '{"qty":2}', { 'qty: " 2.0 " read as 2' } },
  { { n = "number" }, '{"n":"-1.5e3"}', '{"n":-1500}', { 'n: "-1.5e3" read as -1500' } },
  { { b = "boolean" }, '{"b":"Yes"}', '{"b":true}', { 'b: "Yes" read as true' } },
  { { b = "boolean" }, '{"b":0}', '{"b":false}', { "b: 0 read as false" } },
  { { s = "string" }, '{"s":5}', '{"s":"5"}', { 's: 5 read as "5"' } },
  { { s = "string" }, '{"s":["x"]}', '{"s":"x"}', { "s: an array of 1 item read as the one item in it" } },
  { { s = "string" }, '{"s":{"value":"x"}}', '{"s":"x"}', { "s: an object { value } read as the value in it" } },
  { { t = "string[]" }, '{"t":"a"}', '{"t":["a"]}', { 't: "a" read as an array of one item' } },
  { { t = "integer[]" }, '{"t":"3"}', '{"t":[3]}', { 't[1]: "3" read as 3', 't: "3" read as an array of one item' } },
  { { t = "string[]" }, '{"t":"[\\"a\\"]"}', '{"t":["a"]}', { 't: "[\\"a\\"]" read as the JSON in it' } },
  { { e = "low|in progress" }, '{"e":" In_Progress."}', '{"e":"in progress"}', { 'e: " In_Progress." read as "in progress"' } },
  { { e = "caf\u{E9}|th\u{E9}" }, '{"e":"CAFE\\u0301"}', '{"e":"caf\u{E9}"}', { 'e: "CAFE\u{301}" read as "caf\u{E9}"' } },
  { { e = "1|2" }, '{"e":"2"}', '{"e":2}', { 'e: "2" read as 2' } },
  { { e = "'1'|'2'" }, '{"e":2}', '{"e":"2"}', { 'e: 2 read as "2"' } },
  { { d = "date" }, '{"d":"2026/1/5"}', '{"d":"2026-01-05"}', { 'd: "2026/1/5" read as "2026-01-05"' } },
  { { d = "date?" }, '{"d":"none"}', "{}", { 'd: "none" read as absent' } },
  { { d = "date|null" }, '{"d":""}', '{"d":null}', { 'd: "" read as null' } },
  { { m = "email" }, '{"m":" a@b.c "}', '{"m":"a@b.c"}', { 'm: " a@b.c " read as "a@b.c"' } },
  { { order_id = "integer" }, '{"orderId":"7"}', '{"order_id":7}',
    { '"orderId" taken for the field "order_id"', 'order_id: "7" read as 7' } },
  { { item = "string" }, '{"properties":{"item":"x"}}', '{"item":"x"}',
    { "an object { properties } read as the properties in it" } },
  { { item = "string" }, '[{"item":"x"}]', '{"item":"x"}', { "an array of 1 item read as the one item in it" } },
  { { v = "integer >= 5|boolean" }, '{"v":"7"}', '{"v":7}', { 'v: "7" read as 7' } },
  { "integer", '"7"', "7", { '"7" read as 7' } },
  { { { a = "integer" } }, '{"a":"1"}', '[{"a":1}]', { '[1].a: "1" read as 1', "an object { a } read as an array of one item" } },
  { { lines = { { qty = "integer" } } }, '{"lines":[{"qty":"1"},{"qty":"x"}]}', '{"lines":[{"qty":1},{"qty":"x"}]}',
    { 'lines[1].qty: "1" read as 1' } },
}

test("schema: what was plainly meant is read, in a copy, and every change is said", function(t)
  for _, row in ipairs(READINGS) do
    local given = json.decode(row[2])
    local value, repairs = schema(row[1]):coerce(given)
    t.eq(json.encode(value), row[3], row[2])
    t.eq(repairs, row[4], row[2])
    t.eq(json.encode(given), json.encode(json.decode(row[2])))
  end
end)

test("schema: what is not plain stays as it was", function(t)
  for _, row in ipairs {
    { "integer", '"2.5"' }, { "integer", '"two"' }, { "integer", '"0x10"' }, { "integer", '""' }, { "integer", "[1,2]" },
    { "number", '"1,5"' }, { "boolean", "2" }, { "boolean", '"maybe"' }, { "string", "null" }, { "string", '{"t":"x"}' },
    { "string", '"fine"' }, { "string[]", "null" }, { "a b|a_b", '"A B"' }, { "C|D", '"C#"' }, { "date", '"tomorrow"' },
    { "date", '"01/02/2026"' }, { "any", '"5"' }, { "object", '"{}x"' },
  } do
    local given = json.decode(row[2])
    local value, repairs = schema(row[1]):coerce(given)
    t.ok(rawequal(value, given), row[1] .. " " .. row[2])
    t.eq(repairs, {}, row[2])
  end
end)

-- ---- in words -------------------------------------------------------------------------------------------------------

test("schema: a description for a prompt, one line a field", function(t)
  local s = schema({ city = "string 1..80: city\nname", n = "integer >= 1?", when = "date", on = "boolean", e = "a|b|null",
                     tags = "string[] 1..5", u = "string|null", any = "any",
                     ["lines?"] = { { item = "string: what", qty = "integer 1..9" } } }, { description = "An order" })
  t.eq(s:describe(), [[
{  // An order
  "any": any value,
  "city": string of 1 to 80 characters,  // city name
  "e": "a" | "b" | null,
  "lines": [  // optional
    {
      "item": string,  // what
      "qty": integer from 1 to 9
    },
    ...
  ],
  "n": integer >= 1,  // optional
  "on": true | false,
  "tags": [ string, ... ],  // 1 to 5 items
  "u": string or null,
  "when": date YYYY-MM-DD
}]])
  t.eq(tostring(s), s:describe())
  t.eq(schema "low|high: how bad":describe(), '"low" | "high"  // how bad')
  t.eq(schema { "integer" }:describe(), "[ integer, ... ]")
  t.eq(schema {}:describe(), "{}")
end)

test("schema: a description of what refers to itself ends", function(t)
  local X = { anyOf = { { type = "null" }, { type = "object", properties = { x = { ["$ref"] = "#/$defs/X" } } } } }
  local s = schema.json { type = "object", ["$defs"] = { X = X }, properties = {
    kids = { type = "array", items = { ["$ref"] = "#" } }, x = { ["$ref"] = "#/$defs/X" } } }
  t.eq(s:describe(), [[
{
  "kids": [ (the whole again), ... ],  // optional
  "x": null or {  // optional
    "x": (X again)  // optional
  }
}]])
end)
