-- Scripted peers on a real socket that speak the bytes of vLLM and of llama-server, from the list of models to the last chunk: an
-- agent with a tool, a stream, a schema; a server that loads its model; one that goes away.
-- luacheck: max line length 420

local test = require "stoke.test"
local config = require "stoke.config"
local http = require "stoke.http"
local json = require "stoke.json"
local model = require "stoke.model"
local speaking = require "speaking"
local stoke = require "stoke"

local REAL = { real = true }
local JSON, SSE = { ["Content-Type"] = "application/json" }, { ["Content-Type"] = "text/event-stream; charset=utf-8" }

-- vLLM 0.11: null fields everywhere, an empty first delta with the role, calls by index with their first arguments empty.
local VLLM = {}

function VLLM.whole(message, finish)
  return ('{"id":"chatcmpl-9a1b","object":"chat.completion","created":1730000000,"model":"m","choices":[{"index":0,"message":%s,"logprobs":null,"finish_reason":"%s","stop_reason":null}],"service_tier":null,"system_fingerprint":null,"usage":{"prompt_tokens":214,"total_tokens":233,"completion_tokens":19,"prompt_tokens_details":null},"prompt_logprobs":null,"kv_transfer_params":null}'):format(message, finish)
end

VLLM.CALL = VLLM.whole('{"role":"assistant","content":null,"refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[{"id":"chatcmpl-tool-5f1c","type":"function","function":{"name":"get_weather","arguments":"{\\"city\\": \\"Oslo\\"}"}}],"reasoning_content":"The user wants the weather.\\n"}', "tool_calls")
VLLM.ANSWER = VLLM.whole('{"role":"assistant","content":"\\n\\nTake one.","refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning_content":null}', "stop")

local function vllm_chunk(delta, finish)
  return ('data: {"id":"chatcmpl-9a1b","object":"chat.completion.chunk","created":1730000000,"model":"m","choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'):format(delta, finish or "null")
end

VLLM.STREAM = vllm_chunk '{"role":"assistant","content":""}' .. vllm_chunk '{"reasoning_content":"The user"}' .. vllm_chunk '{"reasoning_content":" greets."}'
  .. vllm_chunk '{"content":"Hi"}' .. vllm_chunk('{"content":" there."}', '"stop","stop_reason":null')
  .. 'data: {"id":"chatcmpl-9a1b","object":"chat.completion.chunk","created":1730000000,"model":"m","choices":[],"usage":{"prompt_tokens":11,"total_tokens":21,"completion_tokens":10}}\n\ndata: [DONE]\n\n'

VLLM.CALLS = vllm_chunk '{"role":"assistant","content":""}'
  .. vllm_chunk '{"tool_calls":[{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"get_weather","arguments":""}}]}'
  .. vllm_chunk '{"tool_calls":[{"index":0,"function":{"arguments":"{\\"city\\": \\""}}]}' .. vllm_chunk '{"tool_calls":[{"index":0,"function":{"arguments":"Oslo\\"}"}}]}'
  .. vllm_chunk '{"tool_calls":[{"id":"chatcmpl-tool-2","type":"function","index":1,"function":{"name":"get_weather","arguments":"{\\"city\\": \\"Rome\\"}"}}]}'
  .. vllm_chunk('{"content":""}', '"tool_calls","stop_reason":null') .. "data: [DONE]\n\n"

-- llama-server: its first delta has content null, its last chunk has timings, and usage comes in a chunk without choices.
local LLAMA = {}

LLAMA.TIMINGS = '"timings":{"cache_n":0,"prompt_n":13,"prompt_ms":52.0,"prompt_per_token_ms":4.0,"prompt_per_second":250.0,"predicted_n":3,"predicted_ms":90.0,"predicted_per_token_ms":30.0,"predicted_per_second":33.3}'
LLAMA.WHOLE = '{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","reasoning_content":"Hm.","content":"{\\"total\\":12}"}}],"created":1730000000,"model":"m","system_fingerprint":"b6800-1","object":"chat.completion","usage":{"completion_tokens":3,"prompt_tokens":13,"total_tokens":16},"id":"chatcmpl-Qx",' .. LLAMA.TIMINGS .. "}"

local function llama_chunk(delta, finish)
  return ('data: {"choices":[{"finish_reason":%s,"index":0,"delta":%s}],"created":1730000000,"id":"chatcmpl-Qx","model":"m","system_fingerprint":"b6800-1","object":"chat.completion.chunk"}\n\n'):format(finish or "null", delta)
end

LLAMA.STREAM = llama_chunk '{"role":"assistant","content":null}' .. llama_chunk '{"content":"Hi"}' .. llama_chunk '{"content":"."}' .. llama_chunk("{}", '"stop"')
  .. 'data: {"choices":[],"created":1730000000,"id":"chatcmpl-Qx","model":"m","system_fingerprint":"b6800-1","object":"chat.completion.chunk","usage":{"completion_tokens":3,"prompt_tokens":13,"total_tokens":16},' .. LLAMA.TIMINGS .. '}\n\ndata: [DONE]\n\n'

-- Answers in turn: a text is a whole reply, { stream = } one, { status =, body = } an error.
local function peer(kind, answers)
  local sent = {}
  local server = http.serve { port = 0, drain = 0, handler = function(req, res)
    if req.path == "/v1/models" then return res:reply(200, JSON, speaking.MODELS[kind]) end
    if req.path == "/props" then return res:reply(200, JSON, speaking.PROPS) end
    sent[#sent + 1] = json.decode(req.body)
    local a = answers[math.min(#sent, #answers)]
    if type(a) == "string" then return res:reply(200, JSON, a) end
    if a.status then return res:reply(a.status, JSON, a.body) end
    res:start(200, SSE)
    for i = 1, #a.stream, 61 do res:write(a.stream:sub(i, i + 60)) end
    if a.dies then res:reset() end
  end }
  config.use_endpoint(kind, server.url, "this test", false, "openai")
  return setmetatable({ sent = sent }, { __close = function() server:close() end })
end

local function weather()
  return stoke.tool { name = "get_weather", description = "Weather", params = { city = "string: a city" },
    run = function(a) return "rain in " .. a.city end }
end

test("vLLM: an agent calls its tool and answers", REAL, function(t)
  local server <close> = peer("vllm", { VLLM.CALL, VLLM.ANSWER })
  local result = stoke.agent { model = "m", endpoint = "vllm", instructions = "Short.", tools = { weather() }, think = true }:run "Umbrella?"
  t.match(result.text, "Take one%.")
  t.eq({ result.steps, result.usage.input_tokens, result.usage.output_tokens, result.usage.tool_calls }, { 2, 428, 38, 1 })
  local first, second = server.sent[1], server.sent[2].messages
  t.eq({ first.stream, first.chat_template_kwargs, first.tools[1]["function"].name }, { false, { enable_thinking = true }, "get_weather" })
  t.eq({ second[3].reasoning_content, second[3].tool_calls[1].id, second[4].tool_call_id, second[4].content },
    { "The user wants the weather.\n", "chatcmpl-tool-5f1c", "chatcmpl-tool-5f1c", "rain in Oslo" })
end)

test("vLLM: a stream, and two calls in pieces", REAL, function(t)
  local server <close> = peer("vllm", { { stream = VLLM.STREAM }, { stream = VLLM.CALLS } })
  local said = { text = "", thinking = "" }
  local usage
  for ev in stoke.stream { model = "m", prompt = "Hi", endpoint = "vllm", think = true } do
    if said[ev.type] then said[ev.type] = said[ev.type] .. ev.text end
    usage = ev.usage
  end
  t.eq(said, { text = "Hi there.", thinking = "The user greets." })
  t.eq({ usage.input_tokens, usage.output_tokens, usage.estimated }, { 11, 10, false })
  t.eq(server.sent[1].stream_options, { include_usage = true })
  local cities = {}
  for ev in stoke.stream { model = "m", prompt = "Weather?", endpoint = "vllm", tools = { weather():definition() } } do
    if ev.type == "tool_call" then cities[#cities + 1] = ev.id .. " " .. ev.arguments.city end
  end
  t.eq(cities, { "chatcmpl-tool-1 Oslo", "chatcmpl-tool-2 Rome" })
end)

test("llama-server: loading, then a schema, with its own times; a stream of the same", REAL, function(t)
  local server <close> = peer("llama", { { status = 503, body = '{"error":{"message":"Loading model","type":"unavailable_error","code":503}}' }, LLAMA.WHOLE, { stream = LLAMA.STREAM } })
  local target = model.open("m", "llama")
  local bot = stoke.agent { model = "m", endpoint = "llama", output = stoke.schema { total = "integer" } }
  t.eq(bot:run("A bill of 12.").output, { total = 12 })
  t.eq(server.sent[2].response_format.json_schema.schema.properties.total.type, "integer")
  t.ok(server.sent[2].max_tokens <= 2048, "no more than the slot's window has")
  local done
  for ev in stoke.stream { model = "m", prompt = "Hi", endpoint = "llama" } do done = ev end
  local timings = target.dialect.timings(done.reply)
  t.eq({ timings.prefill, timings.decode, timings.output }, { 0.052, 0.09, 3 })
  t.eq({ done.usage.input_tokens, done.usage.output_tokens }, { 13, 3 })
end)

test("vLLM: a server that dies in the middle of a whole answer is asked again; of a stream that was read it is said", REAL, function(t)
  local server <close> = peer("vllm", { { stream = VLLM.STREAM:sub(1, 500), dies = true }, { stream = VLLM.STREAM } })
  t.eq(stoke.chat { model = "m", prompt = "Hi", endpoint = "vllm" }.text, "Hi there.")
  t.eq(#server.sent, 2)
  local dead <close> = peer("vllm", { { stream = VLLM.STREAM:sub(1, 700), dies = true } })
  t.raises("incomplete", function()
    for _ in stoke.stream { model = "m", prompt = "Hi", endpoint = "vllm" } do end -- luacheck: ignore
  end)
  t.eq(#dead.sent, 1)
end)

-- ---- llama-cpp-python: a schema beside json_object, no usage in streams, and what its validation refuses is a 500 ----------------

local PYTHON = { WHOLE = [[{"id":"chatcmpl-1","object":"chat.completion","created":1796035913,"model":"m","choices":[{"index":0,"message":{"content":]]
    .. [["{ \"total\": 3}","role":"assistant"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":16,]]
    .. [["completion_tokens":11,"total_tokens":27}}]],
  REFUSES = [[{"error":{"message":"1 validation error:\n  {'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), ]]
    .. [['msg': \"Input should be 'text' or 'json_object'\", 'input': 'json_schema'}","type":"internal_server_error","param":null,]]
    .. [["code":null}}]] }

test("llama-cpp-python: a schema goes beside json_object, and options by their names there", REAL, function(t)
  local server <close> = peer("python", { PYTHON.WHOLE })
  local bot = stoke.agent { model = "m", endpoint = "python", output = stoke.schema { total = "integer" }, options = { top_k = 5 } }
  t.eq(bot:run("How many?").output, { total = 3 })
  local format = server.sent[1].response_format
  t.eq({ format.type, format.schema.properties.total.type, server.sent[1].top_k }, { "json_object", "integer", 5 })
end)

test("a validation error that comes as a 500 is mended as any refusal, and asked once more", REAL, function(t)
  local server <close> = peer("other", { { status = 500, body = PYTHON.REFUSES }, PYTHON.WHOLE })
  local bot = stoke.agent { model = "m", endpoint = "other", output = stoke.schema { total = "integer" } }
  t.eq(bot:run("How many?").output, { total = 3 })
  t.eq(#server.sent, 2)
  t.eq({ server.sent[1].response_format.type, server.sent[2].response_format.type }, { "json_schema", "json_object" })
end)
