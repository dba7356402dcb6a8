-- stoke.schema: the notation, plain JSON Schema, and mistakes in both.

local json = require "stoke.json"
local schema = require "stoke.schema"
local stoke = require "stoke"
local test = require "stoke.test"

local null = json.null

local function text(definition, options) return json.encode(schema(definition, options):json_schema()) end

-- The JSON Schema of one field.
local function field(notation) return json.encode(schema({ x = notation }):json_schema().properties.x) end

local function mistake(t, definition, options)
  return t.raises("argument", function() return schema(definition, options) end).message
end

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

-- ---- the notation ---------------------------------------------------------------------------------------------------

test("schema: the sketch of an invoice becomes JSON Schema with sorted keys, the same each time", function(t)
  local Invoice = invoice()
  local wanted = '{"properties":{"due":{"format":"date","type":"string"},"lines":{"items":{"properties":{"item":' ..
    '{"type":"string"},"qty":{"minimum":1,"type":"integer"}},"required":["item","qty"],"type":"object"},"type":"array"},' ..
    '"total":{"minimum":0,"type":"number"},"vendor":{"type":"string"}},"required":["lines","total","vendor"],"type":"object"}'
  t.eq(json.encode(Invoice:json_schema()), wanted)
  t.ok(rawequal(Invoice:json_schema(), Invoice:json_schema()))
  t.eq(stoke.schema, schema)
end)

local NOTATIONS = {
  { "string", '{"type":"string"}' }, { "  integer  ", '{"type":"integer"}' }, { "number", '{"type":"number"}' },
  { "boolean", '{"type":"boolean"}' }, { "null", '{"type":"null"}' }, { "any", "{}" }, { "object", '{"type":"object"}' },
  { "array", '{"type":"array"}' }, { "date", '{"format":"date","type":"string"}' },
  { "datetime", '{"format":"date-time","type":"string"}' }, { "time", '{"format":"time","type":"string"}' },
  { "email", '{"format":"email","type":"string"}' }, { "url", '{"format":"uri","type":"string"}' },
  { "uuid", '{"format":"uuid","type":"string"}' }, { "ipv4", '{"format":"ipv4","type":"string"}' },
  { "string 1..80", '{"maxLength":80,"minLength":1,"type":"string"}' }, { "string ..5", '{"maxLength":5,"type":"string"}' },
  { "string > 0", '{"minLength":1,"type":"string"}' }, { "string < 5", '{"maxLength":4,"type":"string"}' },
  { "integer >= 1", '{"minimum":1,"type":"integer"}' }, { "integer 1..10", '{"maximum":10,"minimum":1,"type":"integer"}' },
  { "integer>=1", '{"minimum":1,"type":"integer"}' }, { "integer -5..-1", '{"maximum":-1,"minimum":-5,"type":"integer"}' },
  { "number 0..1", '{"maximum":1,"minimum":0,"type":"number"}' },
  { "number 0.5..1.5", '{"maximum":1.5,"minimum":0.5,"type":"number"}' },
  { "number > 0 < 1e-3", '{"exclusiveMaximum":0.001,"exclusiveMinimum":0,"type":"number"}' },
  { "< 5", '{"exclusiveMaximum":5,"type":"number"}' }, { "number 3..", '{"minimum":3,"type":"number"}' },
  { "string[]", '{"items":{"type":"string"},"type":"array"}' },
  { "integer[] 1..5", '{"items":{"type":"integer"},"maxItems":5,"minItems":1,"type":"array"}' },
  { "integer 1..5[] >= 2", '{"items":{"maximum":5,"minimum":1,"type":"integer"},"minItems":2,"type":"array"}' },
  { "number[][]", '{"items":{"items":{"type":"number"},"type":"array"},"type":"array"}' },
  { "a|b|c", '{"enum":["a","b","c"],"type":"string"}' },
  { "in progress | done", '{"enum":["in progress","done"],"type":"string"}' },
  { "low|high|null", '{"enum":["low","high",null],"type":["string","null"]}' },
  { "1|2|3", '{"enum":[1,2,3],"type":"integer"}' },
  { "0.5|1", '{"enum":[0.5,1],"type":"number"}' }, { "'1'|'2'", '{"enum":["1","2"],"type":"string"}' },
  { '"date"|"a:b"|"c|d"', '{"enum":["date","a:b","c|d"],"type":"string"}' },
  { "yes?|no", '{"enum":["yes?","no"],"type":"string"}' },
  { "don't know|it's", '{"enum":["don\'t know","it\'s"],"type":"string"}' },
  { "any time|date only", '{"enum":["any time","date only"],"type":"string"}' },
  { "'only'", '{"enum":["only"],"type":"string"}' },
  { "(low|high)[] 1..2", '{"items":{"enum":["low","high"],"type":"string"},"maxItems":2,"minItems":1,"type":"array"}' },
  { "string|null", '{"type":["string","null"]}' }, { "integer|string", '{"type":["integer","string"]}' },
  { "integer >= 1|null", '{"minimum":1,"type":["integer","null"]}' },
  { "date|null", '{"format":"date","type":["string","null"]}' },
  { "string[]|null", '{"items":{"type":"string"},"type":["array","null"]}' },
  { "date|email", '{"anyOf":[{"format":"date","type":"string"},{"format":"email","type":"string"}]}' },
  { "integer 1..5|number", '{"anyOf":[{"maximum":5,"minimum":1,"type":"integer"},{"type":"number"}]}' },
  { "(string|null)[]", '{"items":{"type":["string","null"]},"type":"array"}' }, { "string|any", "{}" },
  { "string: city name", '{"description":"city name","type":"string"}' },
  { "integer >= 1: how many: at least one", '{"description":"how many: at least one","minimum":1,"type":"integer"}' },
  { "a|b: which | of the two?", '{"description":"which | of the two?","enum":["a","b"],"type":"string"}' },
  { "string:", '{"type":"string"}' }, { "any: whatever", '{"description":"whatever"}' },
}

test("schema: every notation, and the JSON Schema it stands for", function(t)
  for _, row in ipairs(NOTATIONS) do
    t.eq(field(row[1]), row[2], row[1])
    t.eq(json.encode(schema({ x = row[1] }):json_schema().required), '["x"]', row[1])
  end
end)

test("schema: a question mark makes a field optional, wherever it stands", function(t)
  for _, notation in ipairs { "integer?", "integer? >= 1", "integer >= 1?", "integer >= 1 ?", "a|b?", "string|null?", "'a'|'b'?",
                              "string[]?", "integer[]? 1..5", "(a|b)[]?", "date?: when" } do
    t.eq(json.encode(schema({ x = notation }):json_schema().required), "[]", notation)
  end
  t.eq(text { ["x?"] = "integer" }, '{"properties":{"x":{"type":"integer"}},"required":[],"type":"object"}')
  t.eq(text { ["x?"] = { { a = "null" } }, ["y?"] = { b = "null" } },
    '{"properties":{"x":{"items":{"properties":{"a":{"type":"null"}},"required":["a"],"type":"object"},"type":"array"},' ..
    '"y":{"properties":{"b":{"type":"null"}},"required":["b"],"type":"object"}},"required":[],"type":"object"}')
end)

test("schema: one element is an array of it; a single string is a schema, too", function(t)
  t.eq(text { "string" }, '{"items":{"type":"string"},"type":"array"}')
  t.eq(text { { { a = "null" } } },
    '{"items":{"items":{"properties":{"a":{"type":"null"}},"required":["a"],"type":"object"},"type":"array"},"type":"array"}')
  t.eq(text "integer >= 1", '{"minimum":1,"type":"integer"}')
  t.eq(text {}, '{"properties":{},"required":[],"type":"object"}')
end)

local MISTAKES = {
  { "integr", 'unknown type "integr" (did you mean integer?)' }, { "int", 'unknown type "int" (did you mean integer?)' },
  { "Strng[]", '(did you mean string?)' }, { "bool?", "(did you mean boolean?)" },
  { "date-time", "(did you mean datetime?)" },
  { "zebra", 'unknown type "zebra"' }, { "integr|null", "did you mean integer?" }, { "int|str", "words stand in quotes" },
  { "string|low", '"low" is no type' }, { "", "no type given" }, { ": city", "no type given" },
  { "a||b", "beside | is empty" },
  { "string 5", "5 alone says nothing" }, { "string 1.5..2", "whole numbers" }, { "string -1..2", "from 0 up" },
  { "integer >= 0.5", "the limits of an integer are whole numbers" }, { "integer 5..1", "nothing can be between 5 and 1" },
  { "number > 1 < 1", "nothing can be between" }, { "boolean 1..2", "boolean takes no range" },
  { "any >= 1", "any takes no range" },
  { "integer >=", "a number must follow >=" }, { "string 1..80 foo", 'cannot read "foo"' },
  { "string[5]", 'cannot read "[5]"' },
  { "a|a", '"a" stands twice' }, { "number 0..1..2", "the same limit is given twice" }, { "string?[]", "put the ? last" },
  { "(a|b?)[]", "put the ? last" }, { "integer ..", "a range needs an end" }, { "string??", "one ? is enough" },
  { "string 1..x|integer", "1.." },
}

test("schema: a mistake in the notation says where, what was read, and what was meant", function(t)
  t.eq(mistake(t, { lines = { { qty = "integr" } } }), 'schema: lines[].qty: unknown type "integr" (did you mean integer?)')
  t.eq(mistake(t, "integr"), 'schema: unknown type "integr" (did you mean integer?)')
  for _, row in ipairs(MISTAKES) do
    local message = mistake(t, { a = { b = row[1] } })
    t.ok(message:find("schema: a.b: ", 1, true) == 1, message)
    t.ok(message:find(row[2], 1, true), row[1] .. ": " .. message)
  end
end)

test("schema: a mistake in a table says where", function(t)
  t.match(mistake(t, { a = { "x", "y" } }), "^schema: a: .* stands for an array of it; this one has 2")
  t.match(mistake(t, { a = { "string", b = "string" } }), "^schema: a: .* this one has names too")
  t.match(mistake(t, { a = { "string?" } }), "^schema: a%[%]: items of a list cannot be optional")
  t.match(mistake(t, { a = 5 }), "^schema: a: .* got 5")
  t.match(mistake(t, { a = true }), "^schema: a: .* got true")
  t.match(mistake(t, { a = print }), "^schema: a: .* got function")
  t.match(mistake(t, { a = null }), "^schema: a: ")
  t.match(mistake(t, { [2.5] = "string" }), "fields have names, got the key 2.5")
  t.match(mistake(t, { ["a?"] = "string", a = "string" }), "^schema: a: stands twice")
  t.match(mistake(t, { [""] = "string" }), "no name")
  t.match(mistake(t, nil), "^schema: ")
  t.match(mistake(t, "string?"), "only a field can be optional")
  local circle = {}
  circle.a = circle
  t.match(mistake(t, circle), "in a circle")
  t.match(mistake(t, { a = "string" }, { ordr = {} }), "did you mean order")
  t.match(mistake(t, { verdict = "string" }, { order = { "verdit" } }), "did you mean verdict")
  t.match(mistake(t, { a = "string" }, { order = { "a", "a" } }), "names a twice")
  t.match(mistake(t, { a = "string" }, { check = 5 }), "check must be a function")
  t.match(mistake(t, { a = "string" }, { check = { 5 } }), "check 1 is no function")
end)

test("schema: fields are asked for in the order of the options, the others sorted after them", function(t)
  local s = schema({ verdict = "yes|no", reasoning = "string", a = "null", ["b?"] = "null" },
    { order = { "reasoning", "verdict" } })
  t.eq(json.encode(s:json_schema()), '{"properties":{"reasoning":{"type":"string"},"verdict":{"enum":["yes","no"],' ..
    '"type":"string"},"a":{"type":"null"},"b":{"type":"null"}},"required":["reasoning","verdict","a"],"type":"object"}')
  t.match(s:describe(), '^{\n  "reasoning": string,\n  "verdict": "yes" | "no",\n  "a": null,\n  "b": null  // optional\n}$')
  t.eq(text(json.object({ b = "null", a = "null" }, { "b", "a" })),
    '{"properties":{"b":{"type":"null"},"a":{"type":"null"}},"required":["b","a"],"type":"object"}')
end)

test("schema: a schema is returned as it is, copied with options, and serves as a field", function(t)
  local Line = schema({ item = "string" }, { name = "Line", description = "one line" })
  t.ok(rawequal(schema(Line), Line))
  t.ok(schema.is(Line) and not schema.is {} and not schema.is "string")
  t.eq(Line.name, "Line")
  local strict = schema(Line, { strict = true })
  t.ok(not rawequal(strict, Line))
  t.eq(strict.name, "Line")
  t.eq(Line:check { item = "x", more = 1 }, { item = "x" })
  t.match(wrong(t, strict, { item = "x", more = 1 }), "^more: unknown field")
  local line = '{"description":"one line","properties":{"item":{"type":"string"}},"required":["item"],"title":"Line",' ..
    '"type":"object"}'
  t.eq(text { lines = { Line }, first = Line }, ('{"properties":{"first":%s,"lines":{"items":%s,"type":"array"}},' ..
    '"required":["first","lines"],"type":"object"}'):format(line, line))
end)

-- ---- JSON Schema ----------------------------------------------------------------------------------------------------

-- definition -> is it taken for "json", "fields", or refused as "either"
local JUDGED = {
  { { type = "string", name = "string" }, "fields" }, { { type = "string", description = "string" }, "fields" },
  { { type = "a|b", items = { { name = "string" } } }, "fields" }, { { title = "string", description = "string" }, "fields" },
  { { properties = "object", required = "string[]" }, "fields" }, { { type = "string", format = "string" }, "fields" },
  { { type = "string", minimum = "number", maximum = "number?" }, "fields" }, { { items = { { a = "string" } } }, "fields" },
  { { type = "string", default = "any" }, "fields" }, { { enum = { "string" } }, "fields" },
  { { ["if"] = "string" }, "fields" },
  { { type = "string", description = "The city" }, "json" }, { { type = "string", minLength = 3 }, "json" },
  { { type = "string", enum = { "a", "b" } }, "json" }, { { type = { "string", "null" } }, "json" },
  { { const = 3 }, "json" },
  { { enum = { 1, 2 } }, "json" }, { { type = "object", properties = {} }, "json" },
  { { type = "object", properties = { a = { type = "string" } }, required = { "a" } }, "json" },
  { { type = "array", items = { type = "string" } }, "json" }, { { type = "object", additionalProperties = false }, "json" },
  { { anyOf = { { type = "string" }, { type = "null" } } }, "json" }, { { ["$ref"] = "#" }, "json" },
  { { ["$schema"] = "https://json-schema.org/draft/2020-12/schema" }, "json" },
  { { type = "string" }, "either" }, { { type = "object" }, "either" }, { { type = "string", format = "date" }, "either" },
  { { type = "object", properties = { a = "string" } }, "either" }, { { type = "array", items = "string" }, "either" },
  { { properties = { a = { type = "string", minLength = 1 } } }, "either" },
  -- with keys that JSON Schema does not know
  { { type = "object", properties = { city = { type = "string" } }, name = "get_weather" }, "json" },
  { { type = "object", properties = { city = { type = "string" } }, name = "string" }, "json" },
  { { type = "object", properties = { city = { name = "string" } }, name = "string" }, "fields" },
  { { type = "object", properties = {}, strict = true }, "json" }, { { type = "string", nullable = true }, "json" },
  { { type = "string", enum = { "a", "b" }, name = "string" }, "json" }, { { type = "integer", minimum = 1, unit = "cm" }, "json" },
  { { type = "string", description = "The city", example = "Oslo" }, "json" },
  { { type = "string", ["x-order"] = 1 }, "json" }, { { type = { "string", "null" }, example = "Oslo" }, "json" },
  { { properties = { city = { type = "string" } }, strict = true }, "json" },
  { { anyOf = { { type = "string" }, { type = "null" } }, discriminator = { propertyName = "kind" } }, "json" },
  { { enum = { "a", "b" }, enumNames = { "A", "B" } }, "json" },
  { { ["$id"] = "x", name = "string", city = "string" }, "json" },
  { { type = "array", items = { type = "string" }, cache_control = { type = "ephemeral" } }, "json" },
  { { type = "string", count = 5 }, "either" }, { { type = "string", city = "strng: the city" }, "either" },
  { { type = "string", description = "The city", name = "string" }, "either" },
  { { type = "string", example = "string" }, "fields" }, { { type = "a|b", strict = "boolean", name = "string" }, "fields" },
  { { properties = { a = { type = "string", minLength = 1 } }, name = "string" }, "fields" },
}

--- Keywords of vendors and of other dialects, met in published tool definitions.
local FOREIGN = {
  strict = true, nullable = true, example = "Oslo", ["x-order"] = { "city" }, discriminator = { propertyName = "kind" },
  xml = { name = "x" }, externalDocs = { url = "https://example.org" }, propertyOrdering = { "city" }, ["ui:order"] = { "city" },
  markdownDescription = "The **city**", errorMessage = { required = "city is missing" }, cache_control = { type = "ephemeral" },
  input_examples = { { city = "Oslo" } }, enumNames = { "A", "B" }, defaultSnippets = { { body = {} } }, version = 1,
  deprecationMessage = "use place", optional = {}, propertyOrder = 3, name = "get_weather", additional_properties = false,
  readOnly = "yes", examples = { a = 1 }, id = 7,
}

test("schema: a keyword that the standard does not know is ignored, as the standard says", function(t)
  local heads = { {}, { ["$schema"] = "https://json-schema.org/draft/2020-12/schema" }, { description = "The weather" } }
  for key, value in pairs(FOREIGN) do
    for _, head in ipairs(heads) do
      local definition = { type = "object", properties = { city = { type = "string" } }, required = { "city" }, [key] = value }
      for name, said in pairs(head) do definition[name] = said end
      local s = schema(definition)
      t.eq(s:check { city = "Oslo" }, { city = "Oslo" }, key)
      t.match(t.raises("invalid_output", s.check, s, {}).message, "^city: missing")
      t.eq(s:json_schema()[key], value)
      t.eq(stoke.tool { name = "get", params = definition, run = print }.params:json_schema().properties.city.type, "string", key)
    end
  end
end)

test("schema: a plain JSON Schema is told from fields, and what could be both is refused", function(t)
  for _, row in ipairs(JUDGED) do
    local shown = json.encode(row[1])
    local ok, s = pcall(schema, row[1])
    local verdict = not ok and s.message:find "this could be a JSON Schema or fields" and "either" or not ok and s.message
      or json.encode(s:json_schema()) == shown and "json" or "fields"
    t.eq(verdict, row[2], shown)
  end
  t.match(t.raises("argument", schema, { type = "string" }).hint, "schema%.json.*schema%.fields")
end)

test("schema: schema.json and schema.fields say which is meant", function(t)
  t.eq(json.encode(schema.json({ type = "string" }):json_schema()), '{"type":"string"}')
  t.eq(json.encode(schema.fields({ type = "string" }):json_schema()),
    '{"properties":{"type":{"type":"string"}},"required":["type"],"type":"object"}')
  t.match(t.raises("argument", schema.fields, { "string" }).message, "^schema: a table of fields expected, got an array of 1 item")
  t.match(t.raises("argument", schema.fields, "string").message, "a table of fields expected")
  t.eq(schema.json(true):check(5), 5)
  t.match(wrong(t, schema.json(false), 5), "expected nothing here, got 5")
  t.eq(field { type = "string", minLength = 2 }, '{"minLength":2,"type":"string"}')
end)

test("schema: a plain JSON Schema is copied, its lists marked and its order kept", function(t)
  local given = { type = "object", properties = { a = { enum = { "x" } } }, required = {}, description = "d e" }
  local s = schema(given)
  given.properties.a.enum[1] = "changed"
  t.eq(json.encode(s:json_schema()), '{"description":"d e","properties":{"a":{"enum":["x"]}},"required":[],"type":"object"}')
  local decoded = json.decode('{"type":"object","properties":{"z":{"type":"null"},"a":{"type":"null"}}}', { ordered = true })
  t.eq(json.encode(schema.json(decoded):json_schema()),
    '{"type":"object","properties":{"z":{"type":"null"},"a":{"type":"null"}}}')
  t.eq(json.encode(schema.json(decoded, { order = { "a" }, name = "T", description = "D" }):json_schema()),
    '{"type":"object","properties":{"a":{"type":"null"},"z":{"type":"null"}},"description":"D","title":"T"}')
end)

test("schema: a mistake in a plain JSON Schema says where", function(t)
  local function json_mistake(definition) return t.raises("argument", schema.json, definition).message end
  t.eq(json_mistake { type = "integr" }, 'schema: type: unknown type "integr" (did you mean integer?)')
  t.match(json_mistake { properties = { qty = { minimum = "1" } } },
    '^schema: properties%.qty%.minimum: a number expected, got the string "1"')
  t.match(json_mistake { properties = { qty = "string" } }, "^schema: properties%.qty: a JSON Schema .* expected")
  t.match(json_mistake { anyOf = { { type = "null" }, 5 } }, "^schema: anyOf%[2%]: ")
  t.match(json_mistake { required = "a" }, "^schema: required: a list of names expected")
  t.match(json_mistake { minLength = -1 }, "^schema: minLength: a whole number from 0 up")
  t.match(json_mistake { multipleOf = 0 }, "^schema: multipleOf: a number above 0")
  t.match(json_mistake { uniqueItems = "yes" }, "^schema: uniqueItems: true or false expected")
  t.match(json_mistake { ["$ref"] = "https://example.com/s.json" }, 'leads out of the schema$')
  t.match(json_mistake { ["$ref"] = "#/$defs/Nod", ["$defs"] = { Node = {} } }, 'leads nowhere$')
  t.match(json_mistake "string", "^schema: a JSON Schema")
  local circle = { type = "object" }
  circle.properties = { a = circle }
  t.match(json_mistake(circle), "in a circle: use %$ref")
end)

test("schema: keywords that are passed on unchecked are listed", function(t)
  local s = schema.json { type = "object", patternProperties = {}, additionalProperties = false, properties = {
    a = { type = "string", pattern = "^a", format = "regex", description = "d", minimun = 3 },
    b = { type = "string", format = "date", default = "x", ["$comment"] = "c" } } }
  t.eq(s.unchecked, { "additionalProperties", "format=regex", "minimun", "pattern", "patternProperties" })
  t.eq(s:check { a = "b", z = 1 }, { a = "b", z = 1 })
  t.eq(invoice().unchecked, {})
end)
