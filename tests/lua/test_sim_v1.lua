-- The simulator's /v1, against the bytes that a real Ollama 0.17.4 gave to the same requests; and what is newer.
-- luacheck: max line length 250

local test = require "stoke.test"
local json = require "stoke.json"
local sim = require "stoke.sim"
local world = require "world"

-- One request; status, type and body of the answer. Ids and times are made equal.
local function ask(path, body, o)
  local w = world.new()
  local options = { seams = w.seams, like = "0.17", models = { "a,tps=0,load=0,tools=false", "think,tps=0,load=0,thinking=true",
    "tools,tps=0,load=0,tools=true", "minilm,caps=embedding,load=0" } }
  for name, value in pairs(o or {}) do options[name] = value end
  local s = sim.new(options)
  local got = { body = "" }
  local res = {
    reply = function(_, status, h, text) got.status, got.type, got.body = status, h["Content-Type"], text end,
    start = function(_, status, h) got.status, got.type = status, h["Content-Type"] end,
    write = function(_, bytes) got.body = got.body .. bytes end,
    reset = function() got.reset = true end,
  }
  local text = type(body) == "table" and json.encode(body) or body
  w.seams.tasks.spawn(function()
    s.handler({ method = body and "POST" or "GET", path = path, target = path, headers = { host = "127.0.0.1" }, body = text or "" }, res)
  end)
  w:run()
  got.body = got.body:gsub('"created":%d+', '"created":1'):gsub('"created_at":%d+', '"created_at":1'):gsub('"completed_at":%d+', '"completed_at":1')
    :gsub('"chatcmpl%-%d+"', '"chatcmpl-1"'):gsub('"cmpl%-%d+"', '"cmpl-1"'):gsub('"call_%w+"', '"call_1"')
    :gsub('resp_%d+', "resp_1"):gsub('msg_%d+', "msg_1"):gsub('fc_%d+_', "fc_1_")
  return got
end

local HI = json.array { { role = "user", content = "Hi" } }
local TOOLS = json.array { { type = "function", ["function"] = { name = "get_weather", description = "Weather",
  parameters = { type = "object", properties = { city = { type = "string" } }, required = json.array { "city" } } } } }

local function chat(t, more, want, o)
  local body = { model = "a", messages = HI }
  for name, value in pairs(more) do body[name] = value end
  local got = ask("/v1/chat/completions", body, o)
  t.eq({ got.status, got.type, got.body }, want)
end

local JSON, CHARSET, SSE = "application/json", "application/json; charset=utf-8", "text/event-stream"

local function head(kind, model) return ('{"id":"chatcmpl-1","object":"%s","created":1,"model":"%s","system_fingerprint":"fp_ollama",'):format(kind, model) end

test("sim /v1: a chat, its reasoning, its calls", function(t)
  chat(t, {}, { 200, JSON, head("chat.completion", "a") .. '"choices":[{"index":0,"message":{"role":"assistant","content":"Hello you"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n' },
    { script = { "Hello you" } })
  local got = ask("/v1/chat/completions", { model = "think", messages = HI }, { script = { { thinking = "Hm", text = "Hi" } } })
  t.match(got.body, '"message":{"role":"assistant","content":"Hi","reasoning":"Hm"},"finish_reason":"stop"')
  got = ask("/v1/chat/completions", { model = "tools", messages = HI, tools = TOOLS }, { script = { { tool = "get_weather", args = { city = "Oslo" } } } })
  t.match(got.body, '"message":{"role":"assistant","content":"","tool_calls":%[{"id":"call_1","index":0,"type":"function","function":{"name":"get_weather","arguments":"{\\"city\\":\\"Oslo\\"}"}}%]},"finish_reason":"tool_calls"')
end)

test("sim /v1: a stream as 0.17 wrote it: the role in each chunk, the reason in the last", function(t)
  local h = "data: " .. head("chat.completion.chunk", "a") .. '"choices":'
  chat(t, { stream = true, stream_options = { include_usage = true } }, { 200, SSE,
    h .. '[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'
    .. h .. '[{"index":0,"delta":{"role":"assistant","content":" you"},"finish_reason":null}]}\n\n'
    .. h .. '[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}\n\n'
    .. h .. '[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\ndata: [DONE]\n\n' }, { script = { "Hello you" } })
end)

test("sim /v1: a stream as 0.33 writes it: the role once, the reason in an empty chunk", function(t)
  local h = "data: " .. head("chat.completion.chunk", "a") .. '"choices":[{"index":0,"delta":'
  chat(t, { stream = true }, { 200, SSE, h .. '{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'
    .. h .. '{"content":" you"},"finish_reason":null}]}\n\n' .. h .. '{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n' },
    { script = { "Hello you" }, like = "0.30" })
end)

test("sim /v1: odds of tokens, whole and streamed", function(t)
  local got = ask("/v1/chat/completions", { model = "a", messages = HI, logprobs = true, top_logprobs = 2 }, { script = { "Hello you" } })
  local odds = json.decode(got.body).choices[1].logprobs.content
  t.eq({ #odds, odds[1].token, #odds[1].top_logprobs, odds[1].bytes }, { 2, "Hello", 2, { 72, 101, 108, 108, 111 } })
  got = ask("/v1/chat/completions", { model = "a", messages = HI, logprobs = true, stream = true }, { script = { "Hello you" } })
  t.match(got.body, '"finish_reason":null,"logprobs":{"content":%[{"token":"Hello"')
end)

test("sim /v1: an error that comes in mid-stream is lost, as in the original", function(t)
  local got = ask("/v1/chat/completions", { model = "a", messages = HI, stream = true }, { script = { { text = "one two three four", error = "boom", error_after = 2 } } })
  t.eq({ got.status, got.body:find("boom", 1, true), got.body:find("[DONE]", 1, true) }, { 200, nil, nil })
  t.match(got.body, '"model":"","system_fingerprint":"fp_ollama","choices":%[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}%]}\n\n$')
end)

local function refused(text) return ('{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":null}}'):format(text:gsub('"', '\\"')) end
local function failed(text, kind) return ('{"error":{"message":"%s","type":"%s","param":null,"code":null}}\n'):format(text:gsub('"', '\\"'), kind or "api_error") end

test("sim /v1: what cannot be read is refused with Go's words", function(t)
  for _, case in ipairs {
    { "", "EOF" }, { '{"model":', "unexpected EOF" }, { { messages = json.array {} }, "[] is too short - 'messages'" },
    { { model = 5 }, "json: cannot unmarshal number into Go struct field ChatCompletionRequest.model of type string" },
    { { temperature = "x" }, "json: cannot unmarshal string into Go struct field ChatCompletionRequest.temperature of type float64" },
    { { messages = json.array { { role = "user", content = 5 } } }, "invalid message content type: float64" },
    { { messages = json.array { { role = "user" } } }, "invalid message content type: \\u003cnil\\u003e" },
    { { messages = json.array { { role = "user", content = json.array { { type = "zz" } } } } }, "invalid message format" },
    { { messages = json.array { { role = "user", content = json.array { { type = "image_url", image_url = { url = "http://x/y.png" } } } } } },
      "image URLs are not currently supported, please use base64 encoded data instead" },
    { { messages = json.array { { role = "assistant", tool_calls = json.array { { id = "c", type = "function", ["function"] = { name = "f", arguments = "{bad" } } } } } }, "invalid tool call arguments" },
    { { reasoning_effort = "xx" }, [[invalid reasoning value: 'xx' (must be "high", "medium", "low", or "none")]] },
  } do
    local body = case[1]
    if type(body) == "table" then
      body = { model = "a", messages = HI }
      for name, value in pairs(case[1]) do body[name] = value end
    end
    local got = ask("/v1/chat/completions", body)
    t.eq({ got.status, got.type, got.body }, { 400, CHARSET, refused(case[2]) })
  end
end)

test("sim /v1: what the native call refuses comes with its status; newer servers tell the type by it", function(t)
  chat(t, { model = "nope" }, { 404, JSON, failed "model 'nope' not found" })
  chat(t, { tools = TOOLS }, { 400, JSON, failed "registry.ollama.ai/library/a:latest does not support tools" })
  chat(t, { reasoning_effort = "medium" }, { 400, JSON, failed [["a" does not support thinking]] })
  chat(t, { response_format = { type = "json_schema", json_schema = { name = "x", schema = { type = "banana" } } } }, { 500, JSON, failed "invalid JSON schema in format" })
  chat(t, { model = "nope" }, { 404, JSON, failed("model 'nope' not found", "not_found_error") }, { like = "0.30" })
  chat(t, { tools = TOOLS }, { 400, JSON, failed("registry.ollama.ai/library/a:latest does not support tools", "invalid_request_error") }, { like = "0.30" })
end)

test("sim /v1: completions", function(t)
  local h = '{"id":"cmpl-1","object":"text_completion","created":1,'
  local got = ask("/v1/completions", { model = "a", prompt = "Hi" }, { script = { "Hello you" } })
  t.eq({ got.status, got.type, got.body }, { 200, JSON, h .. '"model":"a","system_fingerprint":"fp_ollama","choices":[{"text":"Hello you","index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n' })
  got = ask("/v1/completions", { model = "a", prompt = "Hi", stream = true, stream_options = { include_usage = true } }, { script = { "Hello" } })
  local zero = '"model":"a","system_fingerprint":"fp_ollama","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\n'
  t.eq(got.body, "data: " .. h .. '"choices":[{"text":"Hello","index":0,"finish_reason":null}],' .. zero
    .. "data: " .. h .. '"choices":[{"text":"","index":0,"finish_reason":"stop"}],' .. zero
    .. "data: " .. h .. '"choices":[],"model":"a","system_fingerprint":"fp_ollama","usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}\n\ndata: [DONE]\n\n')
  t.eq(ask("/v1/completions", { model = "a", prompt = json.array { "a" } }).body, refused "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string")
end)

test("sim /v1: embeddings, as numbers and as base64", function(t)
  local got = ask("/v1/embeddings", { model = "minilm", input = "a text", dimensions = 2 })
  local value = json.decode(got.body)
  t.eq({ value.object, value.data[1].index, value.model, value.usage.prompt_tokens }, { "list", 0, "minilm", value.usage.total_tokens })
  local packed = json.decode(ask("/v1/embeddings", { model = "minilm", input = "a text", dimensions = 2, encoding_format = "base64" }).body).data[1].embedding
  t.eq(#packed, 12)
  t.eq(ask("/v1/embeddings", { model = "minilm", input = json.array {} }).body, refused "invalid input")
  t.eq(ask("/v1/embeddings", { model = "minilm" }).body, refused "invalid input")
  t.eq(ask("/v1/embeddings", { model = "minilm", input = "x", encoding_format = "zz" }).body, refused "Invalid value for 'encoding_format' = zz. Supported values: ['float', 'base64'].")
  t.eq(ask("/v1/embeddings", { model = "minilm", input = json.array { 1 } }).body, failed "invalid input type")
  t.eq(ask("/v1/embeddings", { model = "nope", input = "x" }).body, failed 'model "nope" not found, try pulling it first')
end)

test("sim /v1: models", function(t)
  local list = json.decode(ask("/v1/models").body)
  t.eq({ list.object, #list.data, list.data[1].object, list.data[1].owned_by }, { "list", 4, "model", "library" })
  t.eq(ask("/v1/models/tools").body, '{"id":"tools","object":"model","created":1,"owned_by":"library"}\n')
  local got = ask("/v1/models/nope")
  t.eq({ got.status, got.body }, { 404, failed "model 'nope' not found" })
end)

test("sim /v1: responses, whole and as events", function(t)
  local got = ask("/v1/responses", { model = "a", input = "Hi", max_output_tokens = 9 }, { script = { "Hello you" } })
  local value = json.decode(got.body)
  t.eq({ value.status, value.output[1].content[1].text, value.usage.output_tokens, value.max_output_tokens }, { "completed", "Hello you", 2, 9 })
  got = ask("/v1/responses", { model = "tools", input = "Hi", stream = true, tools = json.array { { type = "function", name = "f", description = "d" } } },
    { script = { { text = "So.", tool = "f", args = { x = 1 } } } })
  local kinds = {}
  for kind in got.body:gmatch "event: response%.([^\n]+)" do kinds[#kinds + 1] = kind end
  t.eq(kinds, { "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_item.added",
    "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "output_text.done", "content_part.done",
    "output_item.done", "completed" })
  t.match(got.body, 'data: {"delta":"{\\"x\\":1}","item_id":"fc_1_0","output_index":0')
end)
