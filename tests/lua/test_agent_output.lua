-- Structured output: the ladder from what a model wrote to a value that fits, each rung counted; and choices.

local test = require "stoke.test"
local json = require "stoke.json"
local scripted = require "scripted"
local stoke = require "stoke"

local MODEL = scripted.MODEL

local Invoice = stoke.schema { vendor = "string", total = "number >= 0", due = "date?",
  lines = { { item = "string", qty = "integer >= 1" } } }

local GOOD = '{"vendor":"Acme","total":12.5,"lines":[{"item":"nut","qty":3}]}'

local function reader(server, more)
  local given = { name = "reader", model = MODEL, output = Invoice, endpoint = server.url }
  for name, value in pairs(more or {}) do given[name] = value end
  return stoke.agent(given)
end

test("output: the first request is constrained by the schema, and says its shape", function(t)
  local server <close> = scripted { GOOD }
  local result = reader(server):run "text"
  t.eq(result.output, { vendor = "Acme", total = 12.5, lines = { { item = "nut", qty = 3 } } })
  t.eq({ result.usage.calls, result.usage.repairs }, { 1, 0 })
  local request = server.requests[1]
  t.eq(request.format.type, "object")
  t.match(request.messages[1].content, "Answer with JSON of this shape")
  t.match(request.messages[1].content, "vendor")
end)

test("output: damaged JSON is mended, and counted", function(t)
  local server <close> = scripted {
    "Here you are:\n```json\n{'vendor': 'Acme', \"total\": 12.5, lines: [{item: 'nut', qty: 3.0},],}\n```" }
  local result = reader(server):run "text"
  t.eq(result.output.lines, { { item = "nut", qty = 3 } })
  t.eq(math.type(result.output.lines[1].qty), "integer")
  t.eq({ result.usage.calls, result.usage.repairs }, { 1, 1 })
end)

test("output: what does not fit is asked for again with the exact path", function(t)
  local server <close> = scripted { '{"vendor":"Acme","total":1,"lines":[{"item":"a","qty":1},{"item":"b","qty":"two"}]}', GOOD }
  local result = reader(server):run "text"
  t.eq(result.output.total, 12.5)
  t.eq({ result.usage.calls, result.usage.repairs }, { 2, 1 })
  local again = server.requests[2].messages
  t.match(again[#again].content, 'lines%[2%]%.qty: expected integer >= 1, got "two"')
  t.eq(#result.messages, 2, "the exchange is not part of the conversation")
end)

test("output: after `repair` tries the error names what is wrong and has the text", function(t)
  local server <close> = scripted(function() return '{"vendor":7}' end)
  local err = t.raises("invalid_output", function() reader(server, { repair = 1 }):run "text" end)
  t.match(err.message, "^the answer of reader does not fit: ")
  t.eq(err.text, '{"vendor":7}')
  t.eq({ err.work.usage.calls, err.work.usage.repairs }, { 2, 1 })
end)

test("output: an answer that was cut off is told apart from an invalid one", function(t)
  local server <close> = scripted { { text = '{"vendor":"Acme","total":12.5,"lines":[', done_reason = "length" } }
  local err = t.raises("limit", function() reader(server, { options = { num_predict = 12 } }):run "text" end)
  t.match(err.message, "cut off after %d+ bytes %(num_predict = 12%)")
  t.eq(#server.requests, 1)
end)

test("output: with tools, tools come first, then one constrained request without them", function(t)
  local lookup = stoke.tool { name = "lookup", run = function() return "Acme" end }
  local server <close> = scripted { { tool_calls = { { name = "lookup", arguments = {} } } }, "It is Acme.", GOOD }
  local result = reader(server, { tools = { lookup } }):run "text"
  t.eq(result.output.vendor, "Acme")
  t.eq({ server.requests[1].format, server.requests[2].format }, {})
  t.eq({ #server.requests[2].tools, #(server.requests[3].tools or {}) }, { 1, 0 })
  t.eq(server.requests[3].format.type, "object")
  t.eq(result.usage.calls, 3)
end)

test("output: partial values come while it streams", function(t)
  local server <close> = scripted { GOOD }
  local vendors, last = {}, nil
  for ev in reader(server):stream "text" do
    if ev.type == "text" and ev.partial then
      last = ev.partial
      vendors[#vendors + 1] = last.vendor
    end
  end
  t.eq(vendors[#vendors], "Acme")
  t.eq(last.total, 12.5)
end)

test("output: a cross-field check is a rung like the others", function(t)
  local Range = stoke.schema({ low = "number", high = "number" },
    { check = function(v) return v.low <= v.high, "low must not exceed high" end })
  local server <close> = scripted { '{"low":3,"high":1}', '{"low":1,"high":3}' }
  local result = stoke.agent { model = MODEL, output = Range, endpoint = server.url }:run "x"
  t.eq(result.output.low, 1)
  t.match(server.requests[2].messages[#server.requests[2].messages].content, "low must not exceed high")
end)

test("choose: gives one of the options as they were written", function(t)
  local server <close> = scripted { '{"choice":"billing"}', '{"choice":"no"}' }
  local route, index = stoke.choose { model = MODEL, prompt = "My bill is wrong.", options = { "support", { "billing", "money" } },
    endpoint = server.url }
  t.eq({ route, index }, { "billing", 2 })
  t.match(server.requests[1].messages[1].content, "%- billing: money")
  t.eq(stoke.choose { model = MODEL, prompt = "ok?", options = { "yes", "no" }, endpoint = server.url }, "no")
end)

test("choose: what is no option is asked for again, and never read out of prose", function(t)
  local server <close> = scripted { "I would say billing, because of the bill.", '{"choice":"Billing"}' }
  t.eq(stoke.choose { model = MODEL, prompt = "x", options = { "support", "billing" }, endpoint = server.url }, "billing")
  t.eq(#server.requests, 2)
  local rambling <close> = scripted(function() return "It depends: billing or support?" end)
  t.raises("invalid_output", stoke.choose,
    { model = MODEL, prompt = "x", options = { "support", "billing" }, endpoint = rambling.url })
end)

test("choose: 1,000 choices of a model that rambles until it is bound by the grammar: 1,000 valid", function(t)
  local options, asked = { "billing", "support", "sales", "none of these", "ünïcode \"quoted\"" }, {}
  local server <close> = scripted(function(request)
    local case = request.messages[#request.messages > 1 and request.messages[1].role == "system" and 2 or 1].content
    asked[case] = (asked[case] or tonumber(case:match "%d+")) + 1 -- whoever else asks meanwhile
    local n = asked[case]
    local pick = options[n % #options + 1]
    if n % 3 == 0 then return "Well, let me think about " .. pick .. " and the others." end
    if n % 7 == 0 then return { text = '{"choice":"' .. pick:sub(1, 3), done_reason = "stop" } end
    if n % 11 == 0 then return '{"choice": "' .. pick:upper() .. '"' end
    return request.format and json.encode { choice = pick } or "rambling"
  end)
  local valid = {}
  for _, name in ipairs(options) do valid[name] = true end
  local scope <close> = stoke.scope {}
  local numbers = {}
  for i = 1, 1000 do numbers[i] = i end
  local bad = 0
  scope:map(numbers, function(i)
    if not valid[stoke.choose { model = MODEL, prompt = "Case " .. i, options = options, endpoint = server.url, repair = 5 }] then
      bad = bad + 1
    end
  end, { limit = 8 })
  t.eq(bad, 0)
end)

test("choose: mistakes are named", function(t)
  t.match(t.raises("argument", stoke.choose, { model = MODEL, prompt = "x" }).message, "options is missing")
  t.match(t.raises("argument", stoke.choose).message, "prompt is missing")
  for words, options in pairs { ['the key the string "b"'] = { "a", b = "c" }, ["%[2%] is missing"] = { "a", [3] = "c" },
    ["options%[1%] is not UTF%-8"] = { "\xff", "b" } } do
    t.match(t.raises("argument", stoke.choose, { model = MODEL, prompt = "x", options = options }).message, words)
  end
  t.match(t.raises("argument", stoke.choose, { model = MODEL, prompt = "x", options = {} }).message, "options is empty")
  t.match(t.raises("argument", stoke.choose, { model = MODEL, prompt = "x", options = { "a", "a" } }).message, "is there twice")
  t.match(t.raises("argument", stoke.choose, { model = MODEL, promt = "x", options = { "a" } }).message, "did you mean prompt?")
end)

test("output: a large id is never another number: asked for again where an integer is due, kept where a text is", function(t)
  local server <close> = scripted { '{"id":12345678901234567890123}', '{"id":7}' }
  local result = reader(server, { output = { id = "integer" } }):run "text"
  t.eq({ result.output.id, result.usage.calls, result.usage.repairs }, { 7, 2, 1 })
  local again = server.requests[2].messages
  t.match(again[#again].content, "id: expected integer, got 12345678901234567890123, too large for an integer; send it as a string")
  local other <close> = scripted { '{"id":12345678901234567890123,"n":9007199254740993,}' }
  result = reader(other, { output = { id = "string", n = "integer" } }):run "text"
  t.eq(result.output, { id = "12345678901234567890123", n = 9007199254740993 })
end)

test("output: {} where a list is due is read as an empty one, and counted", function(t)
  local server <close> = scripted { '{"vendor":"Acme","total":1,"lines":{}}' }
  local result = reader(server):run "text"
  t.eq(json.encode(result.output.lines), "[]")
  t.eq(result.usage.repairs, 1)
end)

test("a call that a budget's bound on the answer cut off is not run", function(t)
  local ran = 0
  local tool = stoke.tool { name = "f", params = { city = "string" }, run = function() ran = ran + 1 end }
  local server <close> = scripted(function(request)
    return { tool_calls = { { name = "f", arguments = { city = "Os" } } },
      done_reason = request.options and request.options.num_predict and "length" or "stop" }
  end)
  local bot = stoke.agent { name = "bot", model = MODEL, endpoint = server.url, tools = { tool }, budget = { tokens = 2000 } }
  for _, ask in ipairs { function() bot:run "x" end, function() for _ in bot:stream "x" do end end } do
    local err = t.raises("limit", ask)
    t.match(err.message, "^the answer of bot was cut off at its call of f, which was not run$")
    t.match(err.hint, "num_predict.*budget")
  end
  t.eq(ran, 0)
end)
