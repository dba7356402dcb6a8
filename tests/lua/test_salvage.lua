-- Tool calls that did not arrive as tool calls: what is taken for one, and what never.

local test = require "stoke.test"
local json = require "stoke.json"
local salvage = require "stoke.reading.salvage"

local NAMES = { get_weather = true, search = true, now = true }
local OSLO = 'get_weather {"city":"Oslo"}'
local TEXT, REACT = "a tool call written as text", "a tool call written as Action and Action Input"

local function marked(mark) return "a tool call written as text, marked " .. mark end

local function shown(calls)
  local list = {}
  for i, call in ipairs(calls or {}) do list[i] = ("%s %s"):format(call.name, json.encode(call.arguments)) end
  return calls and table.concat(list, ", ") or "no call"
end

--- Each row: text, the calls, the rest, the repairs.
local function calls(name, rows)
  test("salvage: " .. name, function(t)
    for _, row in ipairs(rows) do
      local found, rest, repairs = salvage.from_text(row[1], NAMES)
      t.eq(("%s\n=> %s | %s | %s"):format(row[1], shown(found), rest, table.concat(repairs, "; ")),
           ("%s\n=> %s | %s | %s"):format(row[1], row[2], row[3] or "", row[4] or TEXT))
    end
  end)
end

local function no_calls(name, texts)
  test("salvage: " .. name, function(t)
    for _, text in ipairs(texts) do
      local found, rest, repairs = salvage.from_text(text, NAMES)
      t.eq(("%s\n=> %s"):format(text, shown(found)), ("%s\n=> no call"):format(text))
      t.eq(rest, text)
      t.eq(#repairs, 0)
    end
  end)
end

calls("an object that stands alone and names a tool", {
  { '{"name":"get_weather","arguments":{"city":"Oslo"}}', OSLO },
  { '  {"name": "get_weather", "parameters": {"city": "Oslo"}}\n', OSLO },
  { '{"tool":"get_weather","args":{"city":"Oslo"}}', OSLO }, { '{"tool_name":"get_weather","input":{"city":"Oslo"}}', OSLO },
  { '{"function":"get_weather","params":{"city":"Oslo"}}', OSLO },
  { '{"function_name":"get_weather","arguments":{"city":"Oslo"}}', OSLO },
  { '{"action":"get_weather","action_input":{"city":"Oslo"}}', OSLO },
  { '{"type":"function","function":{"name":"get_weather","arguments":"{\\"city\\":\\"Oslo\\"}"}}', OSLO },
  { '{"get_weather":{"city":"Oslo"}}', OSLO }, { '{"now":{}}', "now {}" },
  { '{"name":"now"}', "now {}" }, { '{"name":"now","arguments":null}', "now {}" }, { '{"name":"now","arguments":""}', "now {}" },
  { '{"name":"now","arguments":[]}', "now {}" }, { '{"id":"call_1","type":"function","name":"now"}', "now {}" },
  { '{"name":"functions.get_weather","arguments":{"city":"Oslo"}}', OSLO },
  { '{"reasoning":"I need it","name":"get_weather","arguments":{"city":"Oslo"},"sure":true}', OSLO },
  { '{"name":"Ada","tool":"get_weather","arguments":{"city":"Oslo"}}', OSLO },
  { '<think>{"name":"now"} or not?</think>\n{"name":"get_weather","arguments":{"city":"Oslo"}}', OSLO },
  { '{"name":"get_weather","arguments":{"city":"Oslo"}}<|im_end|>', OSLO },
})

calls("fences and a short sentence may stand round it", {
  { '```json\n{"name":"get_weather","arguments":{"city":"Oslo"}}\n```', OSLO },
  { '```tool_call\n{"name":"get_weather","arguments":{"city":"Oslo"}}\n```', OSLO },
  { 'I will check the weather now:\n{"name":"get_weather","arguments":{"city":"Oslo"}}', OSLO, "I will check the weather now:" },
  { 'Let me look.\n```json\n{"name":"get_weather","arguments":{"city":"Oslo"}}\n```', OSLO, "Let me look." },
})

calls("several calls: a list, a wrapper, one after the other", {
  { '[{"name":"get_weather","arguments":{"city":"Oslo"}},{"name":"now"}]', OSLO .. ", now {}" },
  { '{"tool_calls":[{"id":"x","type":"function","function":{"name":"now","arguments":"{}"}}]}', "now {}" },
  { '{"function_call":{"name":"now","arguments":{}}}', "now {}" },
  { '{"name":"get_weather","arguments":{"city":"Oslo"}}\n{"name":"now"}', OSLO .. ", now {}" },
  { '```json\n{"name":"get_weather","arguments":{"city":"Oslo"}}\n```\n```json\n{"name":"now"}\n```', OSLO .. ", now {}" },
})

calls("marks of models", {
  { '<tool_call>\n{"name":"get_weather","arguments":{"city":"Oslo"}}\n</tool_call>', OSLO, "", marked "<tool_call>" },
  { '<tool_call>{"name":"get_weather","arguments":{"city":"Oslo"}}', OSLO, "", marked "<tool_call>" },
  { '<tool_call>{"name":"now"}</tool_call>\n<tool_call>{"name":"get_weather","arguments":{"city":"Oslo"}}</tool_call>',
    "now {}, " .. OSLO, "", marked "<tool_call>" },
  { 'First I weigh this.\nThen that, for example.\n<tool_call>\n{"name":"now"}\n</tool_call>', "now {}",
    "First I weigh this.\nThen that, for example.", marked "<tool_call>" },
  { '<function_call>{"name":"get_weather","arguments":{"city":"Oslo"}}</function_call>', OSLO, "", marked "<function_call>" },
  { '[TOOL_CALLS] [{"name":"get_weather","arguments":{"city":"Oslo"}}]', OSLO, "", marked "[TOOL_CALLS]" },
  { '[TOOL_CALLS]get_weather[ARGS]{"city":"Oslo"}</s>', OSLO, "", marked "[TOOL_CALLS]" },
  { '<|python_tag|>{"name":"get_weather","parameters":{"city":"Oslo"}}<|eom_id|>', OSLO, "", marked "<|python_tag|>" },
  { '<|python_tag|>get_weather.call(city="Oslo")', OSLO, "", marked "<|python_tag|>" },
  { 'functools[{"name":"get_weather","arguments":{"city":"Oslo"}}]', OSLO, "", marked "functools[" },
  { '<function=get_weather>{"city":"Oslo"}</function>', OSLO, "", marked "<function=" },
  { "<function=now></function>", "now {}", "", marked "<function=" },
  { "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>"
      .. "\n</tool_call>",
    'get_weather {"city":"Oslo","days":3}', "", marked "<tool_call>" },
  { '<tool_call>{"name":"now"}</tool_call>\n<tool_response>{"time":"12:00"}</tool_response>\nIt is noon.', "now {}", "",
    marked "<tool_call>" .. "; made-up answer of the tool left out" },
})

calls("ReAct", {
  { 'Action: get_weather\nAction Input: {"city": "Oslo"}', OSLO, "", REACT },
  { 'Thought: I need the weather.\nAction: get_weather\nAction Input: {"city": "Oslo"}', OSLO,
    "Thought: I need the weather.", REACT },
  { 'Action: `now`\nAction Input:', "now {}", "", REACT },
  { '**Action:** x\nAction: get_weather\nAction Input: ```json\n{"city": "Oslo"}\n```\nObservation: rain\nThought: done',
    OSLO,
    "**Action:** x", REACT .. "; made-up answer of the tool left out" },
})

calls("a call as a program has it", {
  { 'get_weather({"city":"Oslo"})', OSLO }, { 'get_weather(city="Oslo")', OSLO }, { "now()", "now {}" },
  { '```tool_code\nprint(get_weather(city="Oslo", days=3))\n```', 'get_weather {"city":"Oslo","days":3}' },
  { "I'll check.\n```python\nget_weather(city='Oslo')\n```", OSLO, "I'll check." },
})

calls("what is wrong with the JSON is mended and said", {
  { "{'name': 'get_weather', 'arguments': {'city': 'Oslo',}", OSLO, "",
    TEXT .. "; single quotes read as double quotes, 5 times; trailing comma left out; missing } put in" },
  { '{"name":"get_weather","arguments":"{city: \'Oslo\'}"}', OSLO, "",
    TEXT .. "; quotes put round a key; single quotes read as double quotes" },
})

calls("an unknown name in the one shape of a call is given back", {
  { '{"name":"get_wether","arguments":{"city":"Oslo"}}', 'get_wether {"city":"Oslo"}' },
  { '<tool_call>{"name":"get_wether","parameters":{"city":"Oslo"}}</tool_call>', 'get_wether {"city":"Oslo"}',
  "", marked "<tool_call>" },
})

no_calls("an answer is no call", {
  "", "It is 4 degrees in Oslo.", '{"city":"Oslo","temperature":4}', '{"name":"Ada","age":36}', '{"name":"search","score":3}',
  '{"name":"Oslo","parameters":{"population":700000}}', '{"name":"The Big Sleep","arguments":{"for":["plot"]}}', "[1,2,3]", "[]",
  "{}",
  '{"action":"Final Answer","action_input":"4 degrees"}', '{"search":"a word"}', '{"get_weather":{"city":"Oslo"},"more":1}',
  'The result: {"city":"Oslo"}', '<think>{"name":"now"}</think>It is noon.', '<think>{"name":"now"}',
  '{"name":"get_weather","arguments":"Oslo"}',
  '{"name":"get_weather","arguments":["Oslo"]}', 'search("x")', "Action: Final Answer\nAction Input: {}",
  "Action: search\nAction Input: x",
  '[{"name":"now"},{"name":"Ada","age":36}]', '{"name":"now"}\n{"city":"Oslo"}',
})

no_calls("a call that is only spoken of is none", {
  'For example: {"name":"get_weather","arguments":{"city":"Oslo"}}',
  'You could send {"name":"get_weather","arguments":{"city":"Oslo"}}',
  'The format is\n```json\n{"name":"get_weather","arguments":{"city":"Oslo"}}\n```', 'I did not call {"name":"now"}',
  '{"name":"get_weather","arguments":{"city":"Oslo"}}\nThis is how the tool is called.',
  'Write `<tool_call>{"name":"now"}</tool_call>` for that.',
  '<tool_call>{"name":"now"}</tool_call>\nIt is noon.',
  'Like so:\n```\n<tool_call>{"name":"now"}</tool_call>\n```\nThat is the syntax.',
  ("A long explanation of what tools are and how they work. "):rep(4) .. '{"name":"get_weather","arguments":{"city":"Oslo"}}',
  'First line.\nSecond line.\n{"name":"get_weather","arguments":{"city":"Oslo"}}',
  'get_weather({"city":"Oslo"}) tells the weather.', "One calls now() for the time.",
  '{"name":"get_weather","description":"Weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}',
})

no_calls("a call that is cut inside a value is none", {
  '{"name":"get_weather","arguments":{"city":"Os', '{"name":"get_weather","arguments":{"city":"Oslo","days":1',
  '<tool_call>{"name":"get_weather","arguments":{"city":"Oslo",', '{"name":"get_weather","arguments":{"ci',
  '{"name":"now","arguments":',
  '{"name":"get_weather","arguments":"{\\"city\\":\\"Os"}', "<function=get_weather><parameter=city>Os",
  '[TOOL_CALLS]get_weather[ARGS]{"city":"Os',
})

-- message, calls of the tools above, calls when get_weather is the only tool
local ERRORS = {
  { [[error parsing tool call: raw='{"city": "Oslo", }', err=invalid character '}' looking for beginning of object key string]],
    "no call", OSLO },
  { [[error parsing tool call: raw='{"city": "it's Oslo', "x"', err=invalid character 'x' after object key:value pair]],
  "no call", "no call" },
  { [[error parsing tool call: raw='{"name": "get_weather",
  "arguments": {"city": "Oslo"}', err=unexpected end of JSON input]], OSLO, OSLO },
  { [[error parsing tool call get_weather: raw='{city: Oslo}', err=invalid character 'c']], OSLO, OSLO },
  { [[error parsing tool call: raw='{}{}', err=invalid character '{' after top-level value]], "no call", "no call" },
  { [[error parsing tool call: raw='', err=unexpected end of JSON input]], "no call", "no call" },
  { [[error parsing tool call: raw='{"city": "Os', err=unexpected end of JSON input]], "no call", "no call" },
  { [[llama-server returned invalid tool call arguments for "get_weather": invalid character '}' looking for beginning of value]],
    "no call", "no call" },
  { [[llama-server returned invalid tool call arguments for "get_weather": {"city": Oslo}: invalid character 'O']], OSLO, OSLO },
  { [[llama-server returned invalid tool call arguments for "get_wether": {"city": Oslo}: invalid character 'O']], "no call",
  "no call" },
  { [[{"error":{"code":500,"message":"invalid tool call arguments for \"get_weather\": {'city': 'Oslo'}"}}]], OSLO, OSLO },
  { [[{"error":"failed to parse tool call: <tool_call>{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Oslo\",}}"}]],
    OSLO, OSLO },
  { [[model "x" not found {"city": "Oslo"}]], "no call", "no call" },
  { [[{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size"}}]], "no call", "no call" },
  { "", "no call", "no call" },
}

test("salvage: a call that the server refused is read out of its error", function(t)
  for _, row in ipairs(ERRORS) do
    t.eq(row[1] .. "\n=> " .. shown(salvage.from_error(row[1], NAMES)), row[1] .. "\n=> " .. row[2])
    t.eq(row[1] .. "\n=> " .. shown(salvage.from_error(row[1], { get_weather = true })), row[1] .. "\n=> " .. row[3])
  end
  local _, repairs = salvage.from_error(ERRORS[1][1], { get_weather = true })
  t.eq(repairs, { "a tool call that the server refused read again", "trailing comma left out" })
end)

test("salvage: a name with a magic character is looked for as it is", function(t)
  t.eq(shown(salvage.from_error([[error parsing tool call my-tool: raw='{a: 1}', err=x]], { ["my-tool"] = true, other = true })),
       'my-tool {"a":1}')
end)

test("salvage: arguments keep their order and are objects also when they are empty", function(t)
  local found = salvage.from_text('{"name":"now","arguments":{"z":1,"a":2}}', NAMES)
  t.eq(json.encode(found[1].arguments), '{"z":1,"a":2}')
  found = salvage.from_text('{"name":"now","arguments":{}}', NAMES)
  t.ok(not json.is_array(found[1].arguments))
  t.eq(json.encode(found[1].arguments), "{}")
end)

test("salvage: what it is asked is checked", function(t)
  t.raises("argument", salvage.from_text, nil, NAMES)
  t.raises("argument", salvage.from_text, "x", nil)
  t.raises("argument", salvage.from_error, {}, NAMES)
end)

test("salvage: a call that is cut is known by its tool, and only when it is all there is", function(t)
  for _, text in ipairs { '{"name":"get_weather","arguments":{"city":"Os', '[{"name":"get_weather","arguments":{"city":"Os',
    '<tool_call>{"name":"get_weather","arguments":{"ci', '```json\n{"function":{"name":"get_weather","arguments":{"ci' } do
    t.eq(salvage.cut_call(text, NAMES), "get_weather")
  end
  for _, text in ipairs { "", "get_weather", '{"name":"get_weather","arguments":{}}', '{"name":"other","arguments":{"city":"Os',
    'Say {"name":"get_weather","arguments":{"city":"Os', '{"city":"Os' } do
    t.eq(salvage.cut_call(text, NAMES), nil)
  end
end)
