-- JSON as the server written in Go reads it: one reader in C for what is strict JSON, one in Lua for the rest.

local test = require "stoke.test"
local gojson = require "stoke.ollama.server.gojson"
local json = require "core.json"

--- What the reader in Lua makes of a text: what follows a value is ignored by Go, and refused by the reader in C.
local function slow(text) return gojson.decode(text .. " x") end

local function both(t, text)
  t.eq(select(2, json.decode(text)), nil, text)
  local quick, plain = gojson.decode(text), slow(text)
  t.eq(quick, plain, text)
  t.eq({ gojson.encode(quick), gojson.kind(quick) }, { gojson.encode(plain), gojson.kind(plain) }, text)
end

test("both readers give the same values, with the keys in their order", function(t)
  for _, text in ipairs {
    "null", "true", "0", "-0", "1.0", "-1.5e3", "9223372036854775807", "1e300", '""', '"a\\u00e9\\n\\ud83d\\ude00"', "[]", "{}",
    "[[],{}]",
    '{"b":1,"a":{"d":null,"c":[1,2]}}', '{"a":1,"b":2,"a":3}', '[null,[null],{"x":null}]', ' {"z":"<&>\\u2028"} ',
  } do
    both(t, text)
  end
  t.eq(gojson.keys(gojson.decode '{"b":1,"a":2,"c":3}'), { "b", "a", "c" })
end)

test("so they do with values drawn by chance", function(t)
  local made, state = 0, 11
  local function draw(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n
  end
  local STRINGS = { "", "a", "A", "é", "\u{10FFFF}", 'q"\\', "\t\0" }
  local function value(depth)
    made = made + 1
    local kind = draw(depth > 4 and 5 or 8)
    if kind == 0 then return "null" end
    if kind == 1 then return draw(2) == 0 and "true" or "false" end
    if kind == 2 then return tostring(draw(1000000) - 500000) end
    if kind == 3 then return ("%.17g"):format((draw(2000001) - 1000000) / 7 * 10.0 ^ (draw(20) - 10)) end
    if kind == 4 then return gojson.quote(STRINGS[draw(#STRINGS) + 1]) end
    local items = {}
    for i = 1, draw(5) do
      items[i] = kind == 5 and value(depth + 1) or gojson.quote(STRINGS[draw(#STRINGS) + 1]) .. ":" .. value(depth + 1)
    end
    return kind == 5 and "[" .. table.concat(items, ",") .. "]" or "{" .. table.concat(items, " , ") .. "}"
  end
  for _ = 1, 300 do both(t, value(0)) end
  t.ok(made > 500)
end)

test("what is no strict JSON has Go's words, or is taken as Go takes it", function(t)
  t.eq({ gojson.decode '{"a":1} trailing' }, { { a = 1 } })
  t.eq(gojson.decode '"half \\ud83d"', "half \u{FFFD}")
  t.eq(gojson.decode '"byte \xff"', "byte \u{FFFD}")
  t.eq(gojson.decode "123456789012345678901234567890", 1.2345678901234568e29)
  local QUOTE = "invalid character '\\'' looking for beginning of object key string"
  for text, words in pairs {
    ["{"] = "unexpected EOF", [""] = "EOF", ["{'a':1}"] = QUOTE,
    ["[1,]"] = "invalid character ']' looking for beginning of value",
  } do
    t.eq({ gojson.decode(text) }, { nil, words }, text)
  end
  t.eq(select(2, gojson.decode(("["):rep(300) .. ("]"):rep(300))), "exceeded max depth")
end)
