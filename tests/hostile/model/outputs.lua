-- What is wrong with structured answers. The schema is env.Invoice: vendor, total >= 0, due?, kind "goods|services", lines of
-- { item, qty >= 1 }.

local json = require "stoke.json"
local say = require "tests.hostile.model.say"

local GOOD = '{"vendor":"Acme","total":12.5,"kind":"goods","lines":[{"item":"nut","qty":3}]}'
local list = {}

--- Mended without another question; `again`: asked for again.
local function add(name, text, more)
  local case = { name = name, script = { text }, after = GOOD, with = "output", expect = "value" }
  for key, value in pairs(more or {}) do case[key] = value end
  list[#list + 1] = case
end
local function mended(name, text, due)
  local output = json.decode(GOOD)
  output.due = due
  add(name, text, { repairs = 1, requests = 1, output = output })
end
local function again(name, text) add(name, text, { repairs = 1, requests = 2, output = json.decode(GOOD) }) end
local function with(change)
  return (GOOD:gsub(change[1]:gsub("%p", "%%%0"), (change[2]:gsub("%%", "%%%%"))))
end

add("all is well", GOOD, { repairs = 0, requests = 1 })
add("white space round it", "\n\n " .. GOOD .. " \n", { repairs = 0, requests = 1 })
mended("in a fence", "```json\n" .. GOOD .. "\n```")
mended("words before", "Here it is: " .. GOOD)
mended("words behind", GOOD .. "\nI hope this helps!")
mended("single quotes", (GOOD:gsub('"', "'")))
mended("Python's literals", with { '"kind"', '"due":None,"kind"' })
mended("a comma too many", with { "]}", ",]}" })
mended("a comment", with { "{", "{ // the invoice\n" })
mended("the end is missing without a word", GOOD:sub(1, -3))
add("thinking before", "<think>Let me {see}.</think>" .. GOOD, { repairs = 0, requests = 1 })
mended("double-encoded", say.encode(GOOD))
mended("numbers as strings", with { "12.5", '"12.5"' })
mended("the case of an enum", with { '"goods"', '"GOODS"' })
mended("the case of a name", with { '"vendor"', '"Vendor"' })
mended("one item for the list", with { '[{"item":"nut","qty":3}]', '{"item":"nut","qty":3}' })
mended("dates with slashes", with { '"kind"', '"due":"2026/01/31","kind"' }, "2026-01-31")
mended("a list with the object in it", "[" .. GOOD .. "]")
mended("an object round it", '{"invoice":' .. GOOD .. "}")
mended("answer round it", '{"answer":' .. GOOD .. "}")
mended("BOM before", "\u{FEFF}" .. GOOD)
add("more fields than wanted", with { "{", '{"extra":1,' }, { repairs = 0, requests = 1 })
add("null for what may be absent", with { '"kind"', '"due":null,"kind"' }, { repairs = 0, requests = 1 })
add("JSON lines", GOOD .. "\n" .. GOOD, { repairs = 1 })
again("no JSON", "I cannot do that.")
again("nothing", "")
again("white space", " \n ")
again("an empty object", "{}")
again("an empty list", "[]")
again("null", "null")
again("a number", "42")
again("a text", '"Acme"')
again("true", "true")
again("a field is missing", with { '"vendor":"Acme",', "" })
again("a field is null", with { '"Acme"', "null" })
again("an object for a text", with { '"Acme"', '{"name":["Acme"],"x":1}' })
again("words for a number", with { "12.5", '"twelve and a half"' })
again("a number below its limit", with { "12.5", "-1" })
again("no word of the enum", with { '"goods"', '"bananas"' })
again("wrong inside a list", with { '"qty":3', '"qty":"many"' })
again("half an item", with { '"qty":3', '"qty":1.5' })
again("a date that is none", with { '"kind"', '"due":"next week","kind"' })
again("the schema itself", '{"type":"object","properties":{"vendor":{"type":"string"}},"required":["vendor"]}')
again("the description of the fields", '{"vendor":"string","total":"number","kind":"goods|services","lines":"array"}')
again("an error in JSON", '{"error":"no invoice found"}')
local n = 0
again("a thousand wrong items", (GOOD:gsub("%[.*%]", function()
  return "[" .. ('{"item":1,"qty":"x"},'):rep(1000):gsub("1", function() n = n + 1 return tostring(n) end):sub(1, -2) .. "]"
end)))
add("a wrong text of a megabyte", '{"vendor":{"x":"' .. ("x"):rep(1000000) .. '"}}', { long = true,
  expect = "value context_overflow limit loop", differs = "what repeats itself is seen in a stream" })
add("a name of a megabyte", '{"' .. ("x"):rep(1000000) .. '":1}', { long = true, expect = "value context_overflow limit loop",
  differs = "what repeats itself is seen in a stream" })
add("a thousand brackets", ("["):rep(1000), {})
add("a call for the answer", { tool_calls = { { name = "invoice", arguments = { vendor = "Acme", total = 12.5, kind = "goods",
  lines = { { item = "nut", qty = 3 } } } } } }, { repairs = 1, requests = 1 })
add("a call of something else", { tool_calls = { { name = "search", arguments = { q = "x" } } } }, { repairs = 1, requests = 2 })
add("a call written as the answer", '{"name":"invoice","arguments":' .. GOOD .. "}", {})
add("cut off by length", { text = GOOD:sub(1, 40), done_reason = "length" }, { expect = "limit", requests = 1 })
add("cut off by length, though whole", { text = GOOD, done_reason = "length" }, { expect = "limit value", requests = 1 })
add("nothing, cut off by length", { text = "", done_reason = "length" }, { expect = "limit" })
add("an error of its grammar", { error = 'invalid format: "x"; expected "json" or a valid JSON Schema object', status = 500 },
  { expect = "http" })
add("a call that cannot be read", { error = "error parsing tool call: raw='{\"vendor\":', err=unexpected end", status = 500 },
  { repairs = 1, requests = 2 })
add("wrong, ever", "", { script = function() return '{"vendor":7}' end, expect = "invalid_output", repairs = 2, requests = 3,
  says = "does not fit" })
add("no JSON, ever", "", { script = function() return "No." end, expect = "invalid_output", repairs = 2, requests = 3 })
add("nothing, ever", "", { script = function() return "" end, expect = "invalid_output", repairs = 2, requests = 3 })
add("calls, ever", "", { script = function() return say.scripted { "search", { q = "x" } } end, expect = "invalid_output",
  requests = 3 })
add("an error, ever", "", { script = function() return { error = "error parsing tool call: raw='', err=EOF", status = 500 } end,
  expect = "invalid_output", requests = 3 })

-- ---- with tools: first the tools, then the answer ----
add("with tools: words, then the answer", "It is Acme.", { with = "both", repairs = 0, requests = 2 })
add("with tools: the answer at once", GOOD, { with = "both", repairs = 0, requests = 1 })
add("with tools: nothing", "", { with = "both", repairs = 1 })
add("with tools: a wrong call", say.scripted { "get_weather", { town = "x" } }, { with = "both" })
add("with tools: calls under the grammar, ever", "", { with = "both", script = function(request)
  return request.format and say.scripted { "get_weather", { city = "Oslo" } } or "It is Acme."
end, expect = "invalid_output" })

-- ---- choices: billing, support or "none of these" ----
local function choice(name, text, more)
  local case = { name = "choice: " .. name, script = { text }, after = '{"choice":"billing"}', with = "choose", expect = "value" }
  for key, value in pairs(more or {}) do case[key] = value end
  list[#list + 1] = case
end
choice("as wanted", '{"choice":"support"}', { text = "support", repairs = 0, requests = 1 })
choice("another case", '{"choice":"SUPPORT"}', { text = "support", repairs = 1, requests = 1 })
choice("the bare word", "support", { requests = 2 })
choice("the bare word in quotes", '"support"', {})
choice("a number", '{"choice":2}', { text = "billing", requests = 2 })
choice("a list", '{"choice":["billing","support"]}', { text = "billing", requests = 2 })
choice("null", '{"choice":null}', { text = "billing", requests = 2 })
choice("none", '{"choice":""}', { text = "billing", requests = 2 })
choice("words", "It depends.", { text = "billing", requests = 2, repairs = 1 })
choice("cut off", { text = '{"choice":"bil', done_reason = "length" }, { expect = "limit" })
choice("an unknown option, ever", "", { script = function() return '{"choice":"refund"}' end, expect = "invalid_output",
  requests = 4 })
choice("words, ever", "", { script = function() return "billing or support" end, expect = "invalid_output", requests = 4 })

return list
