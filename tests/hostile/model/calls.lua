-- What is wrong with the calls: how they are written, what they name, what they hand over.

local say = require "tests.hostile.model.say"

local GOOD = say.text "It rains."
local list = {}
local function add(case)
  case.expect = case.expect or "value"
  list[#list + 1] = case
end

--- Calls as JSON text, then an answer.
local function calls(name, text, more)
  local case = { name = name, raw = { say.raw_calls(text), GOOD } }
  for key, value in pairs(more or {}) do case[key] = value end
  add(case)
end

--- One call of get_weather whose arguments are this JSON text.
local function arguments(name, text, more)
  calls("arguments: " .. name, ('[{"function":{"name":"get_weather","arguments":%s}}]'):format(text), more)
end

local OSLO, NONE = "get_weather Oslo", ""

-- ---- arguments ----
arguments("as a string of JSON", [["{\"city\":\"Oslo\"}"]], { seen = OSLO, repairs = 0 })
arguments("a string of JSON that is cut", [["{\"city\":\"Oslo\""]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("a string with single quotes", [["{'city': 'Oslo'}"]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("a string with a comma too many", [["{\"city\":\"Oslo\",}"]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("a string with a fence round it", [["```json\n{\"city\":\"Oslo\"}\n```"]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("a string with words round it", [["Sure: {\"city\": \"Oslo\"} there."]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("JSON in a string in a string", [["\"{\\\"city\\\":\\\"Oslo\\\"}\""]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("an empty string", [[""]], { seen = NONE })
arguments("the bare value", [["Oslo"]], { seen = NONE, repairs = 1 })
arguments("null", "null", { seen = NONE, repairs = 1 })
arguments("left out", [[null,"x":1]], { seen = NONE, repairs = 1 })
arguments("an empty list", "[]", { seen = NONE, repairs = 1 })
arguments("a list", [=[["Oslo"]]=], { seen = NONE, repairs = 1 })
arguments("a list with the object", [=[[{"city":"Oslo"}]]=], { seen = OSLO, repairs = 1, requests = 2 })
arguments("a list with two objects", [=[[{"city":"Oslo"},{"city":"Rome"}]]=], { seen = NONE, repairs = 1, requests = 2 })
arguments("a list with an object that does not fit", [=[[{"town":"Oslo"}]]=], { seen = NONE, repairs = 1, requests = 2 })
arguments("a number", "7", { seen = NONE, repairs = 1 })
arguments("true", "true", { seen = NONE, repairs = 1 })
arguments("false", "false", { seen = NONE, repairs = 1 })
arguments("of a wrong name", [[{"town":"Oslo"}]], { seen = NONE, repairs = 1, requests = 2 })
arguments("of a wrong type", [[{"city":{"name":"Oslo","country":"Norway"}}]], { seen = NONE, repairs = 1 })
arguments("null inside", [[{"city":null}]], { seen = NONE, repairs = 1 })
arguments("a number for a text", [[{"city":7}]], { seen = NONE, repairs = 1 })
arguments("with more than is known", [[{"city":"Oslo","unit":"C","why":[1,2]}]], { seen = OSLO, repairs = 0 })
for _, name in ipairs { "arguments", "parameters", "args", "input", "get_weather" } do
  arguments("in an object of their own: " .. name, ([[{"%s":{"city":"Oslo"}}]]):format(name), { seen = OSLO, repairs = 1,
    requests = 2 })
end
arguments("in an object, as a string of JSON", [[{"arguments":"{\"city\":\"Oslo\"}"}]], { seen = OSLO, repairs = 1, requests = 2 })
arguments("in an object with the name", [[{"name":"get_weather","arguments":{"city":"Oslo"}}]], { seen = OSLO, repairs = 1,
  requests = 2 })
arguments("wrapped twice", [=[[{"parameters":{"arguments":{"city":"Oslo"}}}]]=], { seen = OSLO, repairs = 1, requests = 2 })
arguments("in an object, and they do not fit", [[{"arguments":{"town":"Oslo"}}]], { seen = NONE, repairs = 1, requests = 2 })
arguments("in an object, a number for a text", [[{"arguments":{"city":7}}]], { seen = NONE, repairs = 1, requests = 2 })
arguments("the schema itself", [[{"type":"object","properties":{"city":{"type":"string","value":"Oslo"}}}]], { seen = OSLO,
  repairs = 1, requests = 2 })
arguments("the schema of each", [[{"city":{"type":"string","description":"city name","value":"Oslo"}}]], { seen = OSLO, repairs = 1,
  requests = 2 })
arguments("the schema without values", [[{"city":{"type":"string"}}]], { seen = NONE, repairs = 1, requests = 2 })
arguments("the values under properties", [[{"type":"object","properties":{"city":"Oslo"}}]], { seen = OSLO, repairs = 1,
  requests = 2 })
arguments("half a character", '{"city":"Oslo \xF0\x9F"}', { seen = OSLO .. " \u{FFFD}", repairs = 1, requests = 2 })
arguments("half a surrogate pair", [[{"city":"Oslo \ud83d"}]], { seen = OSLO .. " \u{FFFD}", repairs = 1, requests = 2 })
arguments("half a character in a name", '{"city":"Oslo","\xF0\x9F":1}', { seen = OSLO, repairs = 1, requests = 2 })
for _, number in ipairs { "12345678901234567890123", "-9223372036854775809", "9007199254740993.0", "1e300" } do
  calls("an integer that is none: " .. number, ('[{"function":{"name":"add","arguments":{"a":%s,"b":1}}}]'):format(number),
    { seen = NONE, repairs = 1, told = "too large for an integer; send it as a string" })
end
calls("a number beyond all numbers", '[{"function":{"name":"add","arguments":{"a":1e400,"b":1}}}]', { seen = NONE, repairs = 1 })
calls("the largest integer", '[{"function":{"name":"add","arguments":{"a":9223372036854775807,"b":0}}}]',
  { seen = "add 9223372036854775807 0", repairs = 0 })
arguments("another spelling of the name", [[{"City":"Oslo"}]], { seen = NONE, repairs = 1 })
arguments("a long text", '{"city":"' .. ("x"):rep(200000) .. '"}', { expect = "value context_overflow" })
arguments("deep", ('{"city":"Oslo","x":%s}'):format(("["):rep(400) .. ("]"):rep(400)), { seen = OSLO })
arguments("control characters", [[{"city":"Os\u0000\u001b[31mlo"}]], {})
arguments("a key of Lua's", [[{"city":"Oslo","__index":{"a":1},"__tostring":"x","__gc":1}]], { seen = OSLO })
calls("numbers in strings", [=[[{"function":{"name":"add","arguments":{"a":"1","b":"2"}}}]]=], { seen = NONE, repairs = 1 })
calls("floats for integers", [=[[{"function":{"name":"add","arguments":{"a":1.0,"b":2e0}}}]]=], { seen = "add 1 2", repairs = 0 })
calls("half a number for an integer", [=[[{"function":{"name":"add","arguments":{"a":1.5,"b":2}}}]]=], { seen = NONE, repairs = 1 })
calls("words for numbers", [=[[{"function":{"name":"add","arguments":{"a":"one","b":"two"}}}]]=], { seen = NONE, repairs = 1 })
calls("parameters for arguments", [=[[{"function":{"name":"get_weather","parameters":{"city":"Oslo"}}}]]=], { seen = OSLO,
  repairs = 1, requests = 2 })

-- ---- names ----
local function named(name, seen, more)
  local case = { name = "the name is " .. name, seen = seen and OSLO or NONE, repairs = 1, requests = 2,
    raw = { say.calls(say.call(name, { city = "Oslo" })), GOOD } }
  for key, value in pairs(more or {}) do case[key] = value end
  add(case)
end
named("functions.get_weather", true)
named("functions:get_weather", true)
named("default_api.get_weather", true)
named("tools/get_weather", true)
named("GET_WEATHER", true)
named("getWeather", true)
named("get-weather", true)
named("Get Weather", true)
named(" get_weather ", true)
named("get_weather()", true)
named("get_weather<|channel|>commentary", true)
named("`get_weather`", true)
named("get_weather\n", true)
named("get_wether", false)
named("weather", false)
named("get_weather_v2", false)
named("get_weather get_weather", false)
named("", false)
named(" ", false)
named("__index", false)
named("..", false)
named("nil", false)
named("\0", false)
named(("x"):rep(100000), false, { expect = "value context_overflow", repairs = false, requests = false })
named("transfer_to_nobody", false)
named("🌦", false)

calls("no name", [=[[{"function":{"arguments":{"city":"Oslo"}}}]]=], { seen = NONE, repairs = 1, requests = 2 })
calls("a name that is null", [=[[{"function":{"name":null,"arguments":{"city":"Oslo"}}}]]=], { seen = NONE, repairs = 1 })
calls("a name that is a number", [=[[{"function":{"name":7,"arguments":{}}}]]=], { seen = NONE, repairs = 1 })
calls("a name that is an object", [=[[{"function":{"name":{"a":1},"arguments":{}}}]]=], { seen = NONE, repairs = 1 })
calls("no function", [=[[{"id":"a"}]]=], { seen = NONE, repairs = 1 })
calls("a function that is a text", [=[[{"function":"get_weather"}]]=], { seen = NONE, repairs = 1 })
calls("a function that is null", [=[[{"function":null}]]=], { seen = NONE, repairs = 1 })
calls("a function that is a list", [=[[{"function":["get_weather",{"city":"Oslo"}]}]]=], { seen = NONE, repairs = 1 })
calls("a call without its wrapping", [=[[{"name":"get_weather","arguments":{"city":"Oslo"}}]]=], { seen = OSLO, repairs = 1 })
calls("a call that is a text", [=[["get_weather"]]=], { seen = NONE, repairs = 1 })
calls("a call that is null", [=[[null]]=], { seen = NONE, repairs = 1 })
calls("a call that is a list", [=[[["get_weather"]]]=], { seen = NONE, repairs = 1 })
calls("a good call and one without a name", [=[[{"function":{"name":"get_weather","arguments":{"city":"Oslo"}}},{"function":{}}]]=],
  { repairs = 1 })
calls("an object for the list", [=[{"function":{"name":"get_weather","arguments":{"city":"Oslo"}}}]=],
  { expect = "value protocol" })
calls("a string for the list", [=["get_weather"]=], { expect = "value protocol" })
calls("an empty list", "[]", { repairs = 1, requests = 2 })

-- ---- ids, types, indexes ----
calls("an id that is a number", [=[[{"id":7,"function":{"name":"get_weather","arguments":{"city":"Oslo"}}}]]=], { seen = OSLO,
  repairs = 0 })
calls("an id that is null", [=[[{"id":null,"function":{"name":"get_weather","arguments":{"city":"Oslo"}}}]]=], { seen = OSLO,
  repairs = 0 })
calls("an id that is an object", [=[[{"id":{},"function":{"name":"get_weather","arguments":{"city":"Oslo"}}}]]=],
  { seen = OSLO, repairs = 0 })
calls("an empty id", [=[[{"id":"","function":{"name":"get_weather","arguments":{"city":"Oslo"}}}]]=], { seen = OSLO, repairs = 0 })
calls("an index that is a text",
  [=[[{"index":"x","function":{"index":"y","name":"get_weather","arguments":{"city":"Oslo"}}}]]=], { seen = OSLO, repairs = 0 })
calls("a type that is none", [=[[{"type":7,"function":{"name":"get_weather","arguments":{"city":"Oslo"}}}]]=], { seen = OSLO,
  repairs = 0 })
add { name = "three calls with one id", raw = { say.calls(say.weather("Oslo", "x"), say.weather("Rome", "x"),
  say.weather("Bern", "x")), GOOD },
  seen = "get_weather Bern, get_weather Oslo, get_weather Rome", repairs = 0 }
add { name = "the same id in each turn", raw = { say.calls(say.weather("Oslo", "x")), say.calls(say.weather("Rome", "x")), GOOD },
  seen = "get_weather Oslo, get_weather Rome", repairs = 0 }

-- ---- many, and mixed ----
add { name = "five times the same call in one answer", raw = { say.calls(say.weather(), say.weather(), say.weather(), say.weather(),
  say.weather()), GOOD }, requests = 2 }
add { name = "a hundred calls at once", raw = { say.calls((function()
  local out = {}
  for i = 1, 100 do out[i] = say.weather("City " .. i) end
  return table.unpack(out)
end)()), GOOD }, requests = 2 }
add { name = "a hundred calls of the same at once", raw = { say.calls((function()
  local out = {}
  for i = 1, 100 do out[i] = say.weather() end
  return table.unpack(out)
end)()), GOOD }, requests = 2 }
add { name = "text and a call", raw = { say.last { role = "assistant", content = "Let me see.",
  tool_calls = { say.weather() } }, GOOD },
  seen = OSLO, text = "It rains." }
add { name = "thinking and a call", raw = { say.last { role = "assistant", content = "", thinking = "Hm.",
  tool_calls = { say.weather() } },
  GOOD }, seen = OSLO, text = "It rains." }
add { name = "a call cut off by length", raw = { say.last({ role = "assistant", content = "", tool_calls = { say.weather() } },
  { done_reason = "length" }), GOOD }, seen = "", expect = "limit", requests = 1, says = "cut off at its call of get_weather" }
add { name = "a good call, an unknown one and one that does not fit", raw = { say.calls(say.weather(), say.call "nope",
  say.call("add", { a = "x" })), GOOD }, seen = OSLO, repairs = 2, requests = 2 }
add { name = "calls where there are no tools", with = "plain", raw = { say.calls(say.weather()), GOOD }, repairs = 1, requests = 2 }
add { name = "calls without names where there are no tools", with = "plain", raw = { say.raw_calls "[{}]", GOOD }, repairs = 1 }
add { name = "nothing but wrong calls", raw = { say.raw_calls "[{}]" }, expect = "invalid_output", requests = 3 }
add { name = "nothing but unreadable arguments", raw = { say.raw_calls '[{"function":{"name":"add","arguments":"all of them"}}]' },
  expect = "loop", requests = 3, repairs = 3 }
add { name = "nothing but unknown tools", raw = { say.calls(say.call "nope") }, expect = "loop", requests = 3, repairs = 3 }
add { name = "nothing but arguments that do not fit", raw = { say.calls(say.call("add", { a = "x" })) }, expect = "loop",
  requests = 3,
  repairs = 3 }

return list
