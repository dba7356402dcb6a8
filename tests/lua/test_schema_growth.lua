-- stoke.schema: the work and the texts grow no faster than the schema and the value. A test here that goes wrong does not end.

local test = require "stoke.test"
local fill = require "stoke.sim.fill"
local gojson = require "stoke.ollama.server.gojson"
local json = require "stoke.json"
local schema = require "stoke.schema"
local stoke = require "stoke"

--- `n` definitions that each refer to all of them.
local function mutual(n, form)
  local defs = {}
  for i = 1, n do
    local all, fields = {}, {}
    for j = 1, n do
      all[j] = { ["$ref"] = "#/$defs/D" .. j }
      fields["f" .. j] = all[j]
    end
    defs["D" .. i] = form == "fields" and { type = "object", properties = fields } or form == "any" and { anyOf = all }
      or form == "needed" and { type = "object", properties = fields, required = { "f1", "f2" } }
      or { type = "array", items = { oneOf = all } }
  end
  return { ["$ref"] = "#/$defs/D1", ["$defs"] = defs }
end

local FORMS = { "fields", "any", "items", "needed" }
local LONGEST = 9000 -- bytes of a description: the cap, and the ends of what is open

test("schema: definitions that refer to each other are described once each, within a limit", function(t)
  for _, form in ipairs(FORMS) do
    for _, n in ipairs { 2, 8, 40 } do
      local text = schema.json(mutual(n, form)):describe()
      t.ok(#text <= LONGEST, ("%s, %d: %d bytes"):format(form, n, #text))
    end
  end
  local text = schema.json(mutual(3, "fields")):describe()
  t.eq(select(2, text:gsub("{", "")), 3, text)
  t.match(text, "%(D1 again%)")
  t.match(text, "%(D3 as above%)")
end)

test("schema: a definition of one word is repeated, a larger one named", function(t)
  t.eq(schema.json({ type = "object", required = { "a", "b", "c", "d" }, properties = {
    a = { ["$ref"] = "#/$defs/Id" }, b = { ["$ref"] = "#/$defs/Id" }, c = { ["$ref"] = "#/$defs/Place" },
    d = { ["$ref"] = "#/$defs/Place" } },
    ["$defs"] = { Id = { type = "integer" }, Place = { type = "object", required = { "city" },
      properties = { city = { type = "string" } } } } }):describe(),
    "{\n  \"a\": integer,\n  \"b\": integer,\n  \"c\": {\n    \"city\": string\n  },\n  \"d\": (Place as above)\n}")
end)

test("schema: a large schema is described within the limit, all its first fields first", function(t)
  local wide, deep = {}, { type = "string" }
  for i = 1, 40 do
    local inner = {}
    for j = 1, 40 do inner["inner" .. j] = { type = "string", description = "field " .. j .. " of " .. i } end
    wide["outer" .. i] = { type = "object", properties = inner }
  end
  local text = schema.json({ type = "object", properties = wide }):describe()
  t.ok(#text <= LONGEST, #text)
  for i = 1, 40 do t.ok(text:find('"outer' .. i .. '"', 1, true), i) end
  for _ = 1, 90 do deep = { type = "object", properties = { a = deep, b = { type = "string" } } } end
  t.ok(#schema.json(deep):describe() <= LONGEST)
  local branches, words, flat = {}, {}, {}
  for i = 1, 3000 do
    branches[i] = { type = "object", properties = { ["key" .. i] = { const = i } } }
    words[i] = ("word %d "):format(i):rep(20)
    flat["field" .. i] = { type = "string", description = ("long "):rep(1000) }
  end
  for _, s in ipairs { { anyOf = branches }, { enum = words }, { type = "object", properties = flat },
    { type = "string", description = ("long "):rep(100000) } } do
    t.ok(#schema.json(s):describe() <= LONGEST, json.encode(s):sub(1, 40))
  end
end)

test("schema: what a message says of a schema is short", function(t)
  local branches, names = {}, {}
  for i = 1, 3000 do branches[i] = { type = "object", properties = { [("k"):rep(1000) .. i] = true }, required = { "x" .. i } } end
  for i = 1, 20 do names[("n"):rep(5000) .. i] = { type = "integer" } end
  local any = t.raises("invalid_output", schema.json({ anyOf = branches }).check, schema.json { anyOf = branches }, 5)
  t.ok(#any.message < 2500, #any.message)
  local s = schema.json { type = "array", items = { type = "object", properties = names, additionalProperties = false } }
  local list = {}
  for i = 1, 100 do list[i] = { wrong = i } end
  t.ok(#t.raises("invalid_output", s.check, s, list).message < 5000)
  for _, form in ipairs(FORMS) do
    local m = schema.json(mutual(12, form))
    local _, err = m:try { f1 = { f2 = 5 }, other = { 1, 2 } }
    t.ok(#tostring(err) < 3000, form)
  end
end)

test("schema: checking and reading a value that goes many ways end", function(t)
  local ways = schema.json { ["$ref"] = "#/$defs/A", ["$defs"] = { A = { anyOf = {
    { type = "object", properties = { x = { ["$ref"] = "#/$defs/A" } }, required = { "x", "y" } },
    { type = "object", properties = { x = { ["$ref"] = "#/$defs/A" } }, required = { "x", "z" } }, { type = "integer" } } } } }
  local value = 1
  for _ = 1, 60 do value = { x = value } end
  t.raises("invalid_output", ways.check, ways, value)
  ways:coerce(value)
  for _, form in ipairs(FORMS) do
    local s = schema.json(mutual(8, form))
    s:try { f1 = { f2 = { f3 = 5 } } }
    s:coerce { f1 = { f2 = { f3 = "x" } } }
  end
end)

test("schema: a branch that was checked for one alternative says the same for the next, each time at its own place", function(t)
  local s = schema.json { ["$defs"] = { P = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } } },
    anyOf = { { type = "object", properties = { a = { ["$ref"] = "#/$defs/P" }, k = { const = 1 } }, required = { "a", "k" } },
      { type = "object", properties = { b = { ["$ref"] = "#/$defs/P" }, k = { const = 2 } }, required = { "b", "k" } } } }
  local shared = { n = "x" }
  t.match(t.raises("invalid_output", s.check, s, { a = shared, b = shared, k = 1 }).message, "^a%.n: expected integer")
  t.match(t.raises("invalid_output", s.check, s, { a = shared, b = shared, k = 2 }).message, "^b%.n: expected integer")
end)

test("schema: a chain of many definitions is read", function(t)
  local refs, objects = {}, {}
  for i = 1, 3000 do
    local following = { ["$ref"] = "#/$defs/D" .. i + 1 }
    refs["D" .. i] = following
    objects["D" .. i] = { type = "object", properties = { following = following } }
  end
  refs.D3001, objects.D3001 = { type = "string" }, { type = "string" }
  t.raises("invalid_output", schema.json({ ["$ref"] = "#/$defs/D1", ["$defs"] = refs }).check,
    schema.json { ["$ref"] = "#/$defs/D2990", ["$defs"] = refs }, 5)
  t.eq(schema.json({ ["$ref"] = "#/$defs/D1", ["$defs"] = objects }):check { following = {} }, { following = {} })
end)

test("schema: many wrong fields, words and names are looked at once", function(t)
  local fields, needed, given, words, items = {}, {}, {}, {}, {}
  for i = 1, 3000 do
    fields["field number " .. i], needed[i], given["Field-nmber " .. i] = { type = "string" }, "field number " .. i, "x"
    words[i], items[i] = "word number " .. i, "Wrd-nmber " .. i
  end
  local s = schema.json { type = "object", properties = fields, required = needed, additionalProperties = false }
  t.raises("invalid_output", s.check, s, given)
  s:coerce(given)
  local list = schema.json { type = "array", items = { type = "string", enum = words } }
  t.raises("invalid_output", list.check, list, items)
  list:coerce(items)
end)

test("schema: no text that a model writes takes the square of its length to read", function()
  local long = 200000
  for _, s in ipairs { { type = "integer" }, { type = "string", maxLength = 3 }, { type = "boolean" }, { enum = { "a", "b" } },
    { type = "string", format = "date" }, { type = { "number", "null" } } } do
    for _, text in ipairs { "x" .. (" "):rep(long) .. "x", ("1"):rep(long) .. "x", (" "):rep(long), ("é"):rep(long),
      ("1e"):rep(long), ("{"):rep(long) } do schema.json(s):coerce(text) end
  end
  for name in pairs(require "stoke.schema.formats".check) do
    for _, text in ipairs { ("1"):rep(long), ("a."):rep(long), ("a@"):rep(long), ("-"):rep(long), (":"):rep(long),
      "http://" .. ("@"):rep(long), '"' .. ("\\a"):rep(long) .. '"@', ("%41"):rep(long) } do
      schema.json({ type = "string", format = name }):try(text)
    end
  end
end)

test("schema: lists in lists that must differ end", function(t)
  local s, leaf = { type = "array", uniqueItems = true }, {}
  for i = 1, 2000 do leaf[i] = { i } end
  local value = leaf
  for _ = 1, 90 do
    s = { type = "array", uniqueItems = true, items = s }
    value = { value }
  end
  schema.json(s):try(value)
  t.match(t.raises("invalid_output", schema.json({ type = "array", uniqueItems = true }).check,
    schema.json { type = "array", uniqueItems = true }, { { 1 }, { 2 }, { 1 } }).message, "%[1%] and %[3%]")
end)

test("simulator: an answer for definitions that refer to each other ends, and fits what it can", function(t)
  for _, form in ipairs(FORMS) do
    local definition = gojson.decode(json.encode(schema.json(mutual(8, form)):json_schema()))
    t.ok(#gojson.encode(fill.format(definition, "hello")) < 100000, form)
  end
  local tree = schema.json { ["$ref"] = "#/$defs/Node", ["$defs"] = { Node = { type = "object", required = { "name", "children" },
    properties = { name = { type = "string" }, parent = { ["$ref"] = "#/$defs/Node" },
      children = { type = "array", items = { ["$ref"] = "#/$defs/Node" } } } } } }
  local made = json.decode(gojson.encode(fill.format(gojson.decode(json.encode(tree:json_schema())), "the node Root")))
  t.ok(tree:check(made))
end)

test("schema: the prompt of an agent with such an output is as short", function(t)
  local model = t.model { { json = {} } }
  local bot = stoke.agent { model = "m", output = schema.json(mutual(40, "fields")), repair = 0 }
  bot:run "x"
  local size = 0
  for _, message in ipairs(model.requests[1].messages) do size = size + #message.content end
  t.ok(size < LONGEST + 2000, size)
end)
