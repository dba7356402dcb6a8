-- Schemas as model servers can bind an answer to them. What is wanted here was measured: Ollama 0.17.4 refuses, or ends at, what is
-- given here as it stands, and takes what comes of it.

local json = require "stoke.json"
local pattern = require "stoke.schema.pattern"
local schema = require "stoke.schema"
local test = require "stoke.test"

local ANY = '{"type":["object","array","string","number","boolean","null"]}'

--- What goes out for a schema, as JSON.
local function sent(text)
  return (json.encode(schema.json(json.decode(text, { ordered = true })):format()):gsub(ANY:gsub("%p", "%%%0"), "ANY"))
end

test("format: what servers know goes out as it is, the same table", function(t)
  for _, definition in ipairs {
    { type = "object", properties = { a = { type = "string", maxLength = 2000 } }, required = { "a" } },
    { type = "string", pattern = "^[a-c]{2}$" }, { enum = { "a", 1 } }, { type = "integer", minimum = 1, maximum = 5 },
  } do
    local s = schema.json(definition)
    t.ok(s:format() == s:json_schema(), json.encode(definition))
  end
end)

test("format: a schema without a type is any value, not an object", function(t)
  for _, text in ipairs { "{}", "true", '{"title":"x"}', '{"not":{"type":"string"}}', '{"minimum":1}', '{"anyOf":[]}',
    '{"if":{"const":1},"then":{"type":"null"}}', '{"oneOf":[true,{"type":"null"}]}' } do
    t.eq(sent(text), "ANY", text)
  end
  t.eq(sent '{"type":"object","properties":{"a":{"description":"x"},"b":true,"c":false}}',
    '{"type":"object","properties":{"a":ANY,"b":ANY}}')
  t.eq(sent '{"type":"array","items":true}', '{"type":"array"}')
  t.eq(sent '{"type":"array","prefixItems":[{"type":"null"},true],"items":false}',
    '{"type":"array","prefixItems":[{"type":"null"},ANY]}')
end)

test("format: a reference to the whole, or deep into it, becomes one to a definition", function(t)
  t.eq(sent '{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}',
    '{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/part1"},{"type":"null"}]}},"$defs":{"part1":'
      .. '{"type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/part1"},{"type":"null"}]}}}}}')
  for _, ref in ipairs { "#/$defs/a~1b", "#/$defs/a%2Fb", "#/properties/y", "#/properties/z/anyOf/1" } do
    local s = schema.json(json.decode('{"type":"object","$defs":{"a/b":{"type":"null"},"part1":{"type":"null"}},'
      .. '"properties":{"x":{"$ref":"' .. ref .. '"},"y":{"type":"null"},"z":{"anyOf":[{"type":"string"},{"type":"null"}]}}}',
      { ordered = true }))
    t.eq(s:format().properties.x["$ref"], "#/$defs/part2", ref)
    t.eq(s:format()["$defs"].part2, { type = "null" }, ref)
  end
end)

test("format: no more repetitions than a grammar may have, no limits beyond whole numbers", function(t)
  t.eq(sent '{"type":"string","minLength":1,"maxLength":2001}', '{"type":"string","minLength":1}')
  t.eq(sent '{"type":"array","items":{"type":"null"},"minItems":3000}', '{"type":"array","items":{"type":"null"}}')
  t.eq(sent '{"type":"integer","minimum":0.5,"maximum":1e20,"exclusiveMaximum":10}', '{"type":"integer","minimum":1,"maximum":9}')
  t.eq(sent '{"type":"integer","minimum":-9223372036854775808}', '{"type":"integer"}')
  t.eq(sent '{"type":"integer","minimum":3,"exclusiveMinimum":true}', '{"type":"integer","minimum":4}')
  t.eq(sent '{"type":"integer","minimum":5,"maximum":2}', '{"type":"integer"}')
end)

test("format: alternatives that bind nothing leave the fields bound; what joins no objects is taken alone", function(t)
  t.eq(sent '{"type":"object","properties":{"a":{"type":"null"}},"anyOf":[{"required":["a"]},{"required":["b"]}]}',
    '{"type":"object","properties":{"a":{"type":"null"}}}')
  t.eq(sent '{"allOf":[{"type":"string"},{"maxLength":3}]}', '{"type":"string"}')
end)

test("format: check still looks at what was left out", function(t)
  local s = schema.json { type = "integer", multipleOf = 5, ["not"] = { const = 10 }, maximum = 1e20 }
  t.eq(s:check(15), 15)
  t.raises("invalid_output", s.check, s, 10)
end)

test("pattern: said in the words of a grammar, or not at all", function(t)
  for given, wanted in pairs {
    ["^\\d{3}-\\w+$"] = "^[0-9]{3}-[A-Za-z0-9_]+$", ["^(?:a|b)\\.c$"] = "^(a|b)[.]c$", ["^a+?b*?$"] = "^a+b*$",
    ["^[\\d.]{2,4}$"] = "^[0-9.]{2,4}$",
    ["^a\\-b$"] = "^a[-]b$", ["^[a-z]-$"] = "^[a-z]-$",
    ["^$"] = "^$", ["^é{2}$"] = "^é{2}$",
  } do
    t.eq(pattern.bindable(given, 2000), wanted, given)
  end
  for _, given in ipairs { "a", "^a", "a$", "^a|b$", "^(?=a)b$", "^(?!a)b$", "^(?<n>a)$",
    "^\\bab\\b$", "^\\s$", "^\\p{L}$", "^[^a]$", "^.$", '^"$',
    '^["]$',
    "^[\\s]$", "^a{2001}$", "^a{,3}$", "^(a$", "^a)$", "^[a$", "^a\\$", "^a^b$", "^a$b$", "^\\1$", "^\\u0041$", "^a\nb$" } do
    t.eq(pattern.bindable(given, 2000), nil, given)
  end
end)
