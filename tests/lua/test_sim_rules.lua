-- The simulator's built-in answers, embeddings, JSON and request decoding.

local test = require "stoke.test"
local json = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"
local embed = require "stoke.sim.embed"
local models = require "stoke.sim.models"
local reply = require "stoke.sim.reply"
local rules = require "stoke.sim.rules"

local function tool(name, description, parameters)
  return json.decode(('{"type":"function","function":{"name":"%s","description":"%s","parameters":%s}}')
    :format(name, description, parameters))
end

local WEATHER = tool("get_weather", "Current weather in a city",
  '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
local ADD = tool("add", "Adds two numbers",
  '{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["a","b"]}')
local CONVERT = tool("convert_temperature", "Convert temperature between units",
  '{"type":"object","properties":{"value":{"type":"number"},"unit":{"type":"string","enum":["celsius","fahrenheit"]},'
  .. '"note":{"type":"string"}},"required":["value","unit"]}')
local NOW = tool("time_now", "What time is it now", '{"type":"object","properties":{}}')
local ALL = json.array { WEATHER, ADD, CONVERT, NOW }

local function say(text, o)
  o = o or {}
  o.model, o.messages = "m", o.messages or { { role = "user", content = text } }
  return rules.answer(o)
end

local function calls(text, tools)
  local out = {}
  for i, c in ipairs(say(text, { tools = tools or ALL }).tool_calls or {}) do
    out[i] = c.name .. json.encode(c.arguments)
  end
  return table.concat(out, " ")
end

test("rules: a tool is chosen by its schema and filled from the message", function(t)
  t.eq(calls "What is the weather in New York and Rome?", 'get_weather{"city":"New York"} get_weather{"city":"Rome"}')
  t.eq(calls "How's the weather in 'Sao Paulo'?", 'get_weather{"city":"Sao Paulo"}')
  t.eq(calls "add 3 and 4.5", 'add{"a":3,"b":4.5}')
  t.eq(calls "Convert 20 degrees to fahrenheit", 'convert_temperature{"value":20,"unit":"fahrenheit"}')
  t.eq(calls "what time is it?", "time_now{}")
  t.eq(calls "Please call get_weather for Paris", 'get_weather{"city":"Paris"}')
  t.eq(calls("Do I need an umbrella in Oslo?", { WEATHER }), 'get_weather{"city":"Oslo"}')
  t.eq(calls "hello there", "")
  t.eq(calls "Write a poem about the sea", "")
end)

test("rules: after a tool's result comes a text with it, and no new call", function(t)
  local r = say(nil, { tools = ALL, messages = { { role = "user", content = "weather in Oslo?" }, { role = "assistant" },
    { role = "tool", tool_name = "get_weather", content = "12 C, rain" } } })
  t.eq(r.text, "get_weather returned 12 C, rain.")
  t.eq(r.tool_calls, nil)
end)

test("rules: plain talk says what it is; a summary is the first sentences", function(t)
  local r = say "Why is the sky blue?"
  t.ok(r.text:find "stoke simulator" and r.text:find "not a language model" and r.text:find "Why is the sky blue?")
  t.eq(r.thinking, nil)
  t.ok(say("x", { think = true }).thinking)
  t.eq(say "Summarize the following text:\n\nThe cat sat on the mat. It was happy.\n\nThen it left. Nobody knew.".text,
    "The cat sat on the mat. Then it left.")
end)

local function filled(schema, text) return say(text or "", { format = json.decode(schema) }).text end

test("rules: a JSON schema is filled, from the text where it says", function(t)
  t.eq(filled([[{"type":"object","properties":{"vendor":{"type":"string"},"total":{"type":"number","minimum":0},
    "due":{"type":"string","format":"date"},"lines":{"type":"array","items":{"type":"object","properties":{
    "item":{"type":"string"},"qty":{"type":"integer","minimum":1}}}},"paid":{"type":"boolean"}}}]],
    'Invoice from vendor: ACME Corp, total is 42.50, due 2026-03-01. Items: "Widget" qty: 3'),
    '{"vendor":"ACME Corp","total":42.5,"due":"2026-03-01","lines":[{"item":"Widget","qty":3}],"paid":true}')
  t.eq(filled '{"type":"integer","minimum":3,"maximum":5}', "3")
  t.eq(filled('{"type":"integer","maximum":5}', "there are 99"), "5")
  t.eq(filled('{"enum":["good","bad"]}', "this is bad."), '"bad"')
  t.eq(filled '{"const":7}', "7")
  t.eq(filled '{"type":["null","string"],"maxLength":3}', '"tex"')
  t.eq(filled '{"type":"array","items":{"type":"boolean"},"minItems":2}', "[true,true]")
  t.eq(filled '{"$defs":{"p":{"type":"object","properties":{"n":{"type":"null"}}}},"$ref":"#/$defs/p"}', '{"n":null}')
  t.eq(filled '{"anyOf":[{"type":"number"},{"type":"string"}]}', "0")
  t.ok(json.decode(say("hi", { format = "json" }).text).simulator)
  t.ok(json.decode(filled "{}"))
  t.ok(filled '{"$ref":"#"}', "a schema that is its own reference ends")
  t.ok(filled '{"type":"object","properties":{"a":{"$ref":"#"}}}')
end)

test("embeddings: length one, near texts nearer, cut ones too", function(t)
  local function cosine(a, b)
    local s = 0
    for i = 1, #a do s = s + a[i] * b[i] end
    return s
  end
  for _, n in ipairs { 768, 64 } do
    local function v(text) return embed.shorten(embed.vector(text, 768), n) end
    local a, b, c = v "the cat sat on the mat", v "a cat sat on a mat", v "quarterly revenue grew by nine percent"
    t.eq(#a, n)
    t.ok(math.abs(cosine(a, a) - 1) < 1e-9)
    t.ok(cosine(a, b) > cosine(a, c) + 0.2, ("%g %g"):format(cosine(a, b), cosine(a, c)))
  end
  t.ok(math.abs(cosine(embed.vector("?!", 8), embed.vector("?!", 8)) - 1) < 1e-9)
end)

test("tokens: joined they are the text; none is longer than twelve bytes", function(t)
  for _, text in ipairs { "", "a", "  lead", "one two\n\nthree", ("x"):rep(100), ("\u{1F600}"):rep(9), "a \u{e9}" } do
    local list = reply.split(text)
    t.eq(table.concat(list), text)
    for _, p in ipairs(list) do t.ok(#p <= 12 and utf8.len(p)) end
  end
end)

-- Texts taken from Go 1.26.
local SYNTAX = {
  ["}"] = "invalid character '}' looking for beginning of value",
  ['{"a" 1}'] = "invalid character '1' after object key",
  ['{"a":1'] = "unexpected EOF",
  ['{"a":01}'] = "invalid character '1' after object key:value pair",
  ["[1 2]"] = "invalid character '2' after array element",
  ['{"a":tru}'] = "invalid character '}' in literal true (expecting 'e')",
  ['{"a":"\n"}'] = [[invalid character '\n' in string literal]],
  ['{"a":"\\x"}'] = "invalid character 'x' in string escape code",
  ["{a:1}"] = "invalid character 'a' looking for beginning of object key string",
  ['{"a":-}'] = "invalid character '}' in numeric literal",
  ['{"a":1.}'] = "invalid character '}' after decimal point in numeric literal",
  ['{"a":1e}'] = "invalid character '}' in exponent of numeric literal",
  ['{"a":"\\u12g4"}'] = [[invalid character 'g' in \u hexadecimal character escape]],
  ["{'a':1}"] = [[invalid character '\'' looking for beginning of object key string]],
  ["\xff"] = "invalid character '\u{ff}' looking for beginning of value",
}

test("json: Go's syntax errors, word for word", function(t)
  for text, want in pairs(SYNTAX) do
    local _, err = json.decode(text)
    t.eq(err, want, text)
  end
end)

local TYPES = {
  ['{"messages":[{"role":1}]}'] = "json: cannot unmarshal number into Go struct field ChatRequest.messages.role of type string",
  ['{"messages":["x"]}'] = "json: cannot unmarshal string into Go struct field ChatRequest.messages of type api.Alias",
  ["[]"] = "json: cannot unmarshal array into Go value of type api.ChatRequest",
  ['{"model":1,"keep_alive":true}'] = "Unsupported type: 'bool'",
  ['{"stream":1,"model":2}'] = "json: cannot unmarshal number into Go struct field ChatRequest.stream of type bool",
  ['{"tools":{}}'] = "json: cannot unmarshal object into Go struct field ChatRequest.tools of type api.Tools",
  ['{"tools":[{"function":{"name":1}}]}'] =
    "json: cannot unmarshal number into Go struct field ToolFunction.tools.function.name of type string",
  ['{"top_logprobs":1.5}'] = "json: cannot unmarshal number 1.5 into Go struct field ChatRequest.top_logprobs of type int",
  ['{"options":[]}'] =
    "json: cannot unmarshal array into Go struct field ChatRequest.options of type map[string]interface {}",
}

test("decode: Go's type errors, word for word; nulls and unknown fields are nothing", function(t)
  for text, want in pairs(TYPES) do
    local _, err = decode.request(text, decode.requests.chat)
    t.eq(err, want, text)
  end
  local q = decode.request('{"MODEL":"m","stream":null,"x":[],"messages":[{"role":"USER"}]}', decode.requests.chat)
  t.eq({ q.model, q.stream == nil, q.messages[1].role }, { "m", true, "user" })
end)

test("decode: base64 positions and durations", function(t)
  for text, at in pairs { ["abc"] = 0, ["ab*d"] = 2, ["abcd="] = 4, ["ab=d"] = 2, ["abcdef"] = 4, ["ab==cd"] = 4, ["ab="] = 3 } do
    local _, err = decode.request('{"images":["' .. text .. '"]}', decode.requests.generate)
    t.eq(err, "illegal base64 data at input byte " .. at, text)
  end
  t.ok(decode.request('{"images":["YWJj","YQ=="]}', decode.requests.generate))
  t.eq(decode.duration "1h30m", 5400)
  t.eq(decode.duration "-1m", -60)
  t.eq(select(2, decode.duration "5x"), 'time: unknown unit "x" in duration "5x"')
end)

test("json: numbers, escapes and key order as Go writes them", function(t)
  t.eq(json.encode(json.decode '{"z":1,"a":[1.5,1e300,1e21,1e20,0.000001,1e-7,[],{},null,true,"<&>\\u2028\\ud83d\\ude00"]}'),
    '{"z":1,"a":[1.5,1e+300,1e+21,100000000000000000000,0.000001,1e-7,[],{},null,true,'
    .. '"\\u003c\\u0026\\u003e\\u2028\u{1F600}"]}')
  t.eq(json.number(0.1, 32), "0.1")
  t.eq(json.number(1 / 3, 32), "0.33333334")
end)

test("models: names, canonical forms, descriptions", function(t)
  t.eq(models.canonical "x", "x:latest")
  t.eq(models.canonical "registry.ollama.ai/library/x:1", "x:1")
  t.eq(models.long_name "x", "registry.ollama.ai/library/x:latest")
  t.ok(models.valid_name "hf.co/a/b:Q4_K_M" and not models.valid_name "a b" and not models.valid_name "")
  local m = models.new { "a,tps=3,size=2G,caps=completion+vision", "b,calls=done" }
  t.eq({ m:find("A").tps, m:find("a:latest").size, models.can(m:find "a", "vision"), m:find("b").calls },
    { 3, 2000000000, true, "done" })
  local _, err, word = models.parse "a,tsp=3"
  t.eq({ err, word }, { "unknown model key 'tsp'", "tsp" })
end)
