-- Streams of OpenAI's wire: events, calls in pieces, and that no split of the bytes changes them; what odd servers leave out.
-- luacheck: max line length 170

local test = require "stoke.test"
local cut = require "stoke.http.cut"
local json = require "stoke.json"
local speaking = require "speaking"
local stoke = require "stoke"

local function delta(fields, finish)
  return ([[{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":%s,]]
    .. [["logprobs":null,"finish_reason":%s}]}]]):format(fields, finish and '"' .. finish .. '"' or "null")
end

local function text(s) return delta('{"content":' .. json.encode(s) .. "}") end

local USAGE = [[{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],]]
  .. [["usage":{"prompt_tokens":12,"total_tokens":17,"completion_tokens":5}}]]

local function call(fields) return delta('{"tool_calls":[' .. fields .. "]}") end

-- Events in short: { "text:Hi", "done:stop" }.
local function short(events)
  local out = {}
  for i, ev in ipairs(events) do
    if ev.type == "tool_call" then
      out[i] = ("call:%s:%s:%s"):format(ev.id, ev.name, json.encode(ev.arguments))
    else
      out[i] = ("%s:%s"):format(ev.type, ev.text or ev.reason or "")
    end
  end
  return out
end

local function ask(server, more)
  local given = { model = "m", prompt = "Hi", endpoint = server.name, merge = false }
  for name, value in pairs(more or {}) do given[name] = value end
  local out = {}
  for ev in stoke.stream(given) do out[#out + 1] = ev end
  return out
end

local function one(bytes, more)
  local server <close> = speaking("vllm", { { bytes = bytes } })
  return ask(server, more)
end

local function sse(list)
  local out = {}
  for i, data in ipairs(list) do out[i] = "data: " .. data .. "\n\n" end
  return table.concat(out)
end

local HELLO = sse { delta '{"role":"assistant","content":""}', text "He", text "llo", delta("{}", "stop"), USAGE, "[DONE]" }

test("openai: text, then done with the tokens that the server counted", function(t)
  local events = one(HELLO)
  t.eq(short(events), { "text:He", "text:llo", "done:stop" })
  local usage = events[3].usage
  usage.seconds = 0
  t.eq(usage, { input_tokens = 12, output_tokens = 5, calls = 1, attempts = 1, tool_calls = 0, repairs = 0, seconds = 0,
    load_seconds = 0, estimated = false })
end)

test("openai: reasoning comes as thinking, whatever field it has", function(t)
  for _, field in ipairs { "reasoning_content", "reasoning" } do
    local bytes = sse { delta(('{"role":"assistant","content":null,"%s":"Hm"}'):format(field)), text "Hi", delta("{}", "stop"),
      "[DONE]" }
    t.eq(short(one(bytes)), { "thinking:Hm", "text:Hi", "done:stop" }, field)
  end
  local tagged = sse { text "<think>", text "Hm</think>", text "Hi", delta("{}", "stop"), "[DONE]" }
  t.eq(short(one(tagged)), { "thinking:Hm", "text:Hi", "done:stop" }, "and where nobody has split it off")
end)

local PIECES = sse {
  call '{"index":0,"id":"call_a","type":"function","function":{"name":"f","arguments":""}}',
  call '{"index":0,"function":{"arguments":"{\\"x\\":"}}', call '{"index":0,"function":{"arguments":" 1}"}}',
  call '{"index":1,"id":"call_b","type":"function","function":{"name":"g","arguments":"{\\"y\\""}}',
  call '{"index":1,"function":{"arguments":":\\"\195\169\\"}"}}', delta("{}", "tool_calls"), USAGE, "[DONE]" }

test("openai: calls in pieces are gathered by index, and told when they are whole", function(t)
  local events = one(PIECES)
  t.eq(short(events), { 'call:call_a:f:{"x":1}', 'call:call_b:g:{"y":"é"}', "done:stop" })
  t.eq(events[3].usage.tool_calls, 2)
end)

test("openai: without an index a new id, or a name, begins a new call", function(t)
  t.eq(short(one(sse { call '{"id":"a","function":{"name":"f","arguments":"{\\"x\\":"}}', call '{"function":{"arguments":"1}"}}',
    call '{"id":"b","function":{"name":"f","arguments":"{}"}}', delta("{}", "tool_calls"), "[DONE]" })),
    { 'call:a:f:{"x":1}', "call:b:f:{}", "done:stop" })
  t.eq(short(one(sse { call '{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}',
    call '{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}', delta("{}", "tool_calls"), "[DONE]" })),
    { "call:a:f:{}", "call:b:g:{}", "done:stop" }, "one index for all")
end)

test("openai: an id that changes within a call is no new call; a call without one gets an id", function(t)
  t.eq(short(one(sse { call '{"index":0,"id":"a","function":{"name":"f","arguments":"{\\"x\\""}}',
    call '{"index":0,"id":"z","function":{"arguments":":2}"}}', delta("{}", "tool_calls"), "[DONE]" })),
    { 'call:a:f:{"x":2}', "done:stop" })
  local events = one(sse { call '{"index":0,"function":{"name":"f","arguments":{"x":3}}}', delta("{}", "tool_calls"), "[DONE]" })
  t.match(events[1].id, "^call_%w+$")
  t.eq(events[1].arguments, { x = 3 })
end)

test("openai: comments, names of events, CRLF and data without a blank change nothing", function(t)
  local odd = ": OPENROUTER PROCESSING\n\n" .. HELLO:gsub("data: ", "id: 7\nevent: message\nretry: 10\ndata:")
  t.eq(short(one(odd)), short(one(HELLO)))
  t.eq(short(one((HELLO:gsub("\n", "\r\n")))), short(one(HELLO)))
end)

test("openai: an event of several lines of data is one object", function(t)
  local bytes = "data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
  t.eq(short(one(bytes)), { "text:Hi", "done:stop" })
end)

test("openai: an end without [DONE] is an end where a reason was given, and no other", function(t)
  t.eq(short(one(sse { text "Hi", delta("{}", "length") })), { "text:Hi", "done:length" })
  t.eq(short(one(sse { text "Hi", "[DONE]" })), { "text:Hi", "done:stop" }, "[DONE] without a reason")
  local server <close> = speaking("vllm", { { bytes = sse { text "Hi" } } })
  t.eq(t.raises("incomplete", ask, server).model, "m")
end)

test("openai: a server that does not stream gives its answer at once", function(t)
  local body = [[{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",]]
    .. [["reasoning_content":"Hm","content":"Hi","tool_calls":[{"id":"a","type":"function","function":{"name":"f",]]
    .. [["arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}]]
  for _, text_of in ipairs { body, (body:gsub(",", ",\n  ")) } do
    local events = one(text_of)
    t.eq(short(events), { "thinking:Hm", "text:Hi", "call:a:f:{}", "done:stop" })
    t.eq(events[4].usage.input_tokens, 3)
  end
end)

test("openai: tokens that nobody counted are a guess, and flagged", function(t)
  local events = one(sse { text(("word "):rep(30)), delta("{}", "stop"), "[DONE]" })
  local usage = events[#events].usage
  t.eq(usage.estimated, true)
  t.ok(usage.output_tokens >= 30 and usage.output_tokens <= 100, usage.output_tokens)
  t.ok(usage.input_tokens > 0)
end)

test("openai: an error in the stream is an error, with its kind", function(t)
  local function fails(data)
    local server <close> = speaking("vllm", { { bytes = sse { text "Hi", data } } })
    local seen = {}
    local ok, err = pcall(function()
      for ev in stoke.stream { model = "m", prompt = "Hi", endpoint = server.name } do seen[#seen + 1] = ev.text end
    end)
    t.eq({ ok, seen }, { false, { "Hi" } })
    return err
  end
  local err = fails [[{"error":{"message":"EngineCore encountered an issue. EngineDeadError","type":"InternalServerError","code":500}}]]
  t.eq({ err.kind, err.retryable }, { "incomplete", true })
  err = fails [[{"id":"gen-1","error":{"code":502,"message":"Provider returned error"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}]]
  t.eq({ err.kind, err.message }, { "overloaded", "Provider returned error" })
  err = fails [[{"object":"error","message":"boom","type":"ServerError","code":500}]]
  t.eq({ err.kind, err.message }, { "http", "boom" })
end)

test("openai: what is no answer of this wire is said to be none", function(t)
  local function fails(kind, bytes)
    local server <close> = speaking("vllm", { { bytes = bytes } })
    return t.raises(kind, ask, server)
  end
  t.match(fails("protocol", "<html><title>Bad</title></html>\n").message, "HTML instead of JSON")
  t.match(fails("protocol", "data: {\"choices\": oops}\n\n").message, "broken JSON")
  t.match(fails("protocol", "data: [1,2]\n\ndata: 5\n\n").message, "not OpenAI's")
  t.match(fails("protocol", sse { '{"choices":5}' }).message, "choices is no list")
  t.match(fails("protocol", sse { delta '{"content":{"a":1}}' }).message, "delta.content is a table")
  t.match(fails("protocol", sse { delta '{"tool_calls":5}' }).message, "tool_calls is no list")
  local err = fails("protocol", '{"model":"m","created_at":"x","message":{"role":"assistant","content":"Hi"},"done":false}\n')
  t.match(err.message, "Ollama's own API")
  t.match(err.hint, 'dialect = "ollama"')
  fails("incomplete", "data: {\"choices\":[{\"delta\":{\"content\":\"H")
  fails("incomplete", "")
end)

test("openai: a line beyond every limit ends the stream", function(t)
  local server <close> = speaking("vllm", { { bytes = "data: {\"a\":\"" .. ("x"):rep(17 * 1024 * 1024) .. "\"}\n\n" } })
  t.match(t.raises("limit", ask, server).message, "max_line")
end)

test("openai: characters that are split between pieces are joined", function(t)
  local bytes = sse { '{"choices":[{"index":0,"delta":{"content":"a\xF0\x9F"}}]}',
    '{"choices":[{"index":0,"delta":{"content":"\x98\x80b"}}]}',
    delta("{}", "stop"), "[DONE]" }
  local text_of = {}
  for _, ev in ipairs(one(bytes)) do text_of[#text_of + 1] = ev.text end
  t.eq(table.concat(text_of), "a\u{1F600}b")
end)

test("openai: no split of the bytes changes the events", function(t)
  local whole = short(one(PIECES))
  local hello = short(one(HELLO))
  for at = 1, #PIECES, 7 do
    local server <close> = speaking("vllm", { function(_, res)
      res:start(200, { ["Content-Type"] = "text/event-stream" })
      res:write(PIECES:sub(1, at))
      stoke.sleep(0.001)
      res:write(PIECES:sub(at + 1))
    end })
    t.eq(short(ask(server)), whole, at)
  end
  local guard <close> = setmetatable({}, { __close = function() cut(1, 0) end }) -- luacheck: ignore
  for seed = 1, 5 do
    cut(seed, 5)
    t.eq(short(one(HELLO)), hello, seed)
    t.eq(short(one(PIECES)), whole, seed)
  end
end)

test("openai: leaving the loop ends the question", function(t)
  local left = stoke.channel(1)
  local server <close> = speaking("vllm", { function(_, res)
    res:start(200, { ["Content-Type"] = "text/event-stream" })
    local _ <close> = setmetatable({}, { __close = function() left:send(true) end })
    for _ = 1, 1000 do
      res:write(sse { text "word " })
      stoke.sleep(1)
    end
  end })
  for _ in stoke.stream { model = "m", prompt = "Hi", endpoint = server.name } do break end -- luacheck: ignore
  t.eq(left:recv(), true)
end)
