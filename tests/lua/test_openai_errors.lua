-- What servers of OpenAI's wire say when they fail, in their own bytes: the kind, what is tried again, the cure; and what is asked
-- another way, since the server does not take it as it was.
-- luacheck: max line length 320

local test = require "stoke.test"
local json = require "stoke.json"
local notes = require "stoke.openai.notes"
local speaking = require "speaking"
local stoke = require "stoke"

local OK = [[{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},]]
  .. [["finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}]]

local function ask(server, more)
  local given = { model = "m", prompt = "Hi", endpoint = server.name }
  for name, value in pairs(more or {}) do given[name] = value end
  return stoke.chat(given)
end

local function fails(t, kind, status, body, headers, of)
  local head = { ["Content-Type"] = "application/json" }
  for name, value in pairs(headers or {}) do head[name] = value end
  local server <close> = speaking(of or "openai", { { status = status, body = type(body) == "table" and json.encode(body) or body, headers = head } })
  local err = t.raises(kind, ask, server)
  return err, #server.sent
end

local function object(message, more)
  local err = { message = message, type = "invalid_request_error" }
  for name, value in pairs(more or {}) do err[name] = value end
  return { error = err }
end

test("openai errors: a prompt that is too long, in each server's words", function(t)
  for _, case in ipairs {
    { object("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.", { code = "context_length_exceeded", param = "messages" }), 9001, 8192 },
    { { object = "error", message = "This model's maximum context length is 6048 tokens. However, you requested 6616 tokens (6568 in the messages, 48 in the completion). Please reduce the length of the messages or completion.", type = "BadRequestError", code = 400 }, 6568, 6048 },
    { object("The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make sure that `max_model_len` is no smaller than the number of text tokens.", { type = "BadRequestError", code = 400 }), 5000, 4096 },
    { object("request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it", { code = 400, type = "exceed_context_size_error", n_prompt_tokens = 9000, n_ctx = 4096 }), 9000, 4096 },
    { object("The input (5000 tokens) is longer than the model's context length (4096 tokens).", { code = 400 }), 5000, 4096 },
    { object("litellm.ContextWindowExceededError: litellm.BadRequestError: too long", { type = json.null, code = "400" }) },
    { object("the input length exceeds the context length", { type = "api_error" }) },
  } do
    local err, asked = fails(t, "context_overflow", 400, case[1])
    t.eq({ err.tokens, err.window, asked }, { case[2], case[3], 1 }, err.server)
  end
end)

test("openai errors: keys, credit, limits", function(t)
  local err = fails(t, "auth", 401, object("Incorrect API key provided: sk-x.", { code = "invalid_api_key" }))
  t.match(err.hint, "key")
  t.eq(fails(t, "auth", 401, object("Invalid API Key", { type = "authentication_error", code = 401 })).message, "Invalid API Key")
  t.eq(fails(t, "auth", 401, [[{"error":"Unauthorized"}]]).message, "Unauthorized", "vLLM with --api-key")
  local _, asked = fails(t, "overloaded", 429, object("You exceeded your current quota, please check your plan.", { type = "insufficient_quota", code = "insufficient_quota" }))
  t.eq(asked, 1)
  t.eq(fails(t, "overloaded", 402, { error = { message = "Insufficient Balance", type = "unknown_error", param = json.null, code = "invalid_request_error" } }).retryable, false)
  err, asked = fails(t, "overloaded", 429, object("Rate limit reached for m", { type = "requests", code = "rate_limit_exceeded" }), { ["Retry-After"] = "2" })
  t.eq({ err.retry_after, err.retryable, asked }, { 2, true, 3 })
  err, asked = fails(t, "overloaded", 429, object("Rate limit reached", { code = "429" }), { ["Retry-After"] = "3600" })
  t.eq({ err.retry_after, asked }, { 3600, 1 }, "nobody waits for an hour")
end)

test("openai errors: a server that loads its model is asked again", function(t)
  local loading = { status = 503, body = [[{"error":{"message":"Loading model","type":"unavailable_error","code":503}}]] }
  local server <close> = speaking("llama", { loading, loading, OK })
  t.eq(ask(server).text, "Hi")
  t.eq(#server.sent, 3)
end)

test("openai errors: an unknown model is said with what there is", function(t)
  local err = fails(t, "http", 404, object("The model `n` does not exist.", { type = "NotFoundError", param = "model", code = 404 }), nil, "vllm")
  t.eq({ err.status, err.hint }, { 404, "it has: m" })
  t.match(fails(t, "http", 404, [[{"detail":"Not Found"}]], nil, "none").hint, "nothing is at this path")
  t.match(fails(t, "http", 404, [[{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}]], nil, "none").hint, "nothing is at this path")
end)

test("openai errors: what has to be switched on at the server is said", function(t)
  local err = fails(t, "http", 400, object([["auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set]], { type = "BadRequestError", code = 400 }))
  t.match(err.hint, "start vLLM with")
  t.match(fails(t, "http", 500, object("tools param requires --jinja flag", { code = 500, type = "server_error" })).hint, "llama%-server with %-%-jinja")
end)

test("openai errors: what gateways write is no mystery", function(t)
  t.match(fails(t, "overloaded", 502, "<html><head><title>502 Bad Gateway</title></head></html>", { ["Content-Type"] = "text/html" }).message, "502 Bad Gateway")
  t.eq(fails(t, "http", 422, [[{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{}}]}]]).message, "body.messages: Field required")
  t.eq(fails(t, "overloaded", 529, object("Overloaded")).message, "Overloaded")
  t.eq(fails(t, "protocol", 308, "", { Location = "https://x.example/v1/chat/completions" }).kind, "protocol")
  t.eq(fails(t, "http", 400, [=[[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]]=]).message, "API key not valid.")
end)

test("openai errors: an error in the place of a whole answer", function(t)
  local server <close> = speaking("llama", { [[{"error":{"message":"boom","code":500,"type":"server_error"}}]] })
  t.eq(t.raises("http", ask, server).message, "boom")
  local odd <close> = speaking("llama", { [[{"choices":[]}]] })
  t.match(t.raises("protocol", ask, odd).message, "its list of choices is empty")
  local half <close> = speaking("llama", { [[{"choices":[{"mess]] })
  t.raises("incomplete", ask, half)
end)

-- ---- asked another way ------------------------------------------------------------------------------------------------------------

local function mends(t, refusal, more, of)
  notes.forget()
  local server <close> = speaking(of or "openai", { { status = 400, body = json.encode(refusal) }, OK })
  local given = { model = "m" .. server.name }
  for name, value in pairs(more or {}) do given[name] = value end
  t.eq(ask(server, given).text, "Hi")
  local first, second = server.sent[1], server.sent[2]
  ask(server, given)
  return first, second, server.sent[3]
end

test("openai: the field that bounds an answer has two names; the one that is taken is learned", function(t)
  local first, second, third = mends(t, object("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    { code = "unsupported_parameter", param = "max_tokens" }), { options = { num_predict = 7 } })
  t.eq({ first.max_tokens, second.max_completion_tokens, third.max_completion_tokens, second.max_tokens }, { 7, 7, 7, nil })
end)

test("openai: an option that is refused is left out, and not sent again", function(t)
  local first, second, third = mends(t, object("Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    { code = "unsupported_value", param = "temperature" }), { options = { temperature = 0, seed = 3 } })
  t.eq({ first.temperature, second.temperature, second.seed, third.temperature }, { 0, nil, 3, nil })
  first, second = mends(t, { detail = { { type = "extra_forbidden", loc = { "body", "top_k" }, msg = "Extra inputs are not permitted" } } },
    { options = { top_k = 5 } }, "vllm")
  t.eq({ first.top_k, second.top_k }, { 5, nil })
  first, second = mends(t, object("stream_options is not supported"), nil)
  t.eq({ first.stream_options ~= nil, second.stream_options }, { true, nil })
end)

test("openai: a schema that is not taken becomes JSON that is checked here", function(t)
  local schema = { type = "object", properties = { a = { type = "integer" } }, required = { "a" } }
  local first, second, third = mends(t, object("This response_format type is unavailable now"), { format = schema }, "deepseek")
  t.eq({ first.response_format.type, second.response_format.type, third.response_format.type }, { "json_schema", "json_object", "json_object" })
  local server <close> = speaking("openai", { { status = 400, body = json.encode(object("Invalid schema for response_format 'answer': x", { code = "invalid_json_schema", param = "response_format" })) } })
  t.raises("http", ask, server, { format = schema })
  t.eq(#server.sent, 1, "a wrong schema is not sent in other words")
end)

test("openai: an answer that does not fit beside its prompt is bound to what is left", function(t)
  local first, second = mends(t, object("'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 100 input tokens (4096 > 4096 - 100). None",
    { type = "BadRequestError", code = 400 }), { options = { num_predict = 4096 } }, "litellm")
  t.eq({ first.max_tokens, second.max_tokens }, { 4096, 3996 })
end)

test("openai: a window that the list of models tells bounds answers from the start", function(t)
  local server <close> = speaking("vllm", { OK })
  ask(server, { options = { num_predict = 4096 } })
  local sent = server.sent[1].max_tokens
  t.ok(sent < 4096 and sent > 4000, sent)
end)

test("openai: an agent whose prompt is too long makes it shorter and asks again", function(t)
  local n = 0
  local server <close> = speaking("openai", { function(req, res)
    n = n + 1
    local long = #json.encode(json.decode(req.body).messages) > 6000
    if not long then return res:reply(200, { ["Content-Type"] = "application/json" }, OK) end
    res:reply(400, { ["Content-Type"] = "application/json" }, json.encode(object("This model's maximum context length is 1000 tokens. However, your messages resulted in 2500 tokens.", { code = "context_length_exceeded" })))
  end })
  local chat = stoke.agent { model = "m", endpoint = server.name, instructions = "Short.", options = { num_predict = 50 } }:session()
  for _ = 1, 4 do chat:run(("word "):rep(400)) end
  t.ok(n > 4, n)
end)
