-- Agents under OpenAI's API, as its libraries read it: each record is a line of data, a stream ends with [DONE].

local test = require "stoke.test"
local stoke = require "stoke"
local json = require "stoke.json"
local served = require "served"

local USER = { { role = "user", content = "Hello" } }
local PATH = "/v1/chat/completions"

local function body_of(more)
  local body = { model = "poet", messages = USER }
  for name, value in pairs(more or {}) do body[name] = value end
  return body
end

local OPEN = { type = "function", ["function"] = { name = "open_file", description = "Open a file",
  parameters = { type = "object", properties = { path = { type = "string" } }, required = { "path" } } } }
local OPENS = { tool = "open_file", args = { path = "a.lua" } }

-- ---- models ---------------------------------------------------------------------------------------------------------------------

test("the list of models, and one of them", function(t)
  local place <close> = served {}
  local list = place:get "/v1/models":json()
  t.eq({ list.object, #list.data }, { "list", 1 })
  local m = place:get "/v1/models/poet":json()
  t.eq(m, list.data[1])
  t.eq({ m.id, m.object, math.type(m.created), type(m.owned_by) }, { "poet", "model", "integer", "string" })
  t.eq(place:get "/v1/models/bard".status, 404)
end)

-- ---- chats ----------------------------------------------------------------------------------------------------------------------

test("a stream: the role once, text, a finish_reason, [DONE]", function(t)
  local place <close> = served({ "one two three" }, nil, nil, { tokens_per_second = 10 })
  local r = place:post(PATH, body_of { stream = true })
  t.eq({ r.status, r.headers["content-type"] }, { 200, "text/event-stream" })
  local events, ended = served.events(r.body)
  t.ok(ended, "[DONE]")
  t.eq(#events, 4)
  local said = {}
  for i, event in ipairs(events) do
    t.eq({ event.id, event.object, event.model, #event.choices }, { events[1].id, "chat.completion.chunk", "poet", 1 })
    local choice = event.choices[1]
    t.eq(choice.index, 0)
    t.eq(choice.delta.role, i == 1 and "assistant" or nil)
    said[#said + 1] = choice.delta.content
    t.eq(choice.finish_reason ~= json.null and choice.finish_reason or nil, i == #events and "stop" or nil)
  end
  t.eq(table.concat(said), "one two three")
end)

test("include_usage: one more chunk, without a choice, with the sum", function(t)
  local place <close> = served { "one two three" }
  local r = place:post(PATH, body_of { stream = true, stream_options = { include_usage = true } })
  local events = served.events(r.body)
  local last = events[#events]
  t.eq(#last.choices, 0)
  t.eq(last.usage.completion_tokens, 3)
  t.eq(last.usage.total_tokens, last.usage.prompt_tokens + 3)
end)

test("a whole answer, not streamed where nobody asks for a stream", function(t)
  local place <close> = served { { thinking = "hm", text = "one two" } }
  local value = place:post(PATH, body_of()):json()
  t.eq({ value.object, value.model, #value.choices }, { "chat.completion", "poet", 1 })
  t.eq(value.choices[1], { index = 0, message = { role = "assistant", content = "one two", reasoning = "hm" },
    finish_reason = "stop" })
  t.ok(value.usage.total_tokens > 0)
end)

test("an answer that was cut off says length", function(t)
  local place <close> = served { { text = "one two", done_reason = "length" } }
  t.eq(place:post(PATH, body_of()):json().choices[1].finish_reason, "length")
end)

test("response_format shapes the answer", function(t)
  local place <close> = served { '{"city":"Oslo"}', '{"b":1}' }
  local shape = { type = "object", properties = { city = { type = "string" } }, required = { "city" } }
  local value = place:post(PATH, body_of { response_format = { type = "json_schema",
    json_schema = { name = "place", schema = shape } } }):json()
  t.eq(json.decode(value.choices[1].message.content), { city = "Oslo" })
  t.eq(place.model.requests[1].format.properties.city.type, "string")
  value = place:post(PATH, body_of { response_format = { type = "json_object" } }):json()
  t.eq(json.decode(value.choices[1].message.content), { b = 1 })
end)

test("content in parts, a developer's message, a data URL", function(t)
  local place <close> = served({ "a cat" }, nil, nil, { models = { "qwen2.5:3b,caps=completion+vision" } })
  place:post(PATH, body_of { messages = { { role = "developer", content = "Rhyme." }, { role = "user", content = {
    { type = "text", text = "What is it?" }, { type = "image_url", image_url = { url = "data:image/png;base64,AAAA" } } } } } })
  local asked = place.model.requests[1].messages
  t.eq({ asked[2].role, asked[2].content, asked[3].content, asked[4].images }, { "system", "Rhyme.", "What is it?", { "AAAA" } })
end)

-- ---- tools of the client --------------------------------------------------------------------------------------------------------

test("the call of a client's tool goes out, and the run goes on with its result", function(t)
  local place <close> = served { OPENS, "It prints." }
  local choice = place:post(PATH, body_of { tools = { OPEN } }):json().choices[1]
  t.eq(choice.finish_reason, "tool_calls")
  local call = choice.message.tool_calls[1]
  t.eq({ call.type, call["function"].name, json.decode(call["function"].arguments) },
    { "function", "open_file", { path = "a.lua" } })
  local back = { USER[1], choice.message, { role = "tool", tool_call_id = call.id, content = "print(1)" } }
  choice = place:post(PATH, body_of { tools = { OPEN }, messages = back }):json().choices[1]
  t.eq({ choice.finish_reason, choice.message.content }, { "stop", "It prints." })
  t.eq(place.model.requests[2].messages[4].content, "print(1)")
end)

test("a streamed call has its index, its id and whole arguments", function(t)
  local place <close> = served { OPENS }
  local events, ended = served.events(place:post(PATH, body_of { stream = true, tools = { OPEN } }).body)
  local delta = events[1].choices[1].delta
  t.eq({ delta.role, delta.tool_calls[1].index, delta.tool_calls[1]["function"].arguments },
    { "assistant", 0, '{"path":"a.lua"}' })
  t.match(delta.tool_calls[1].id, "^call_")
  t.eq({ events[2].choices[1].finish_reason, ended }, { "tool_calls", true })
end)

test("tool_choice none lends nothing", function(t)
  local place <close> = served { "I will not." }
  place:post(PATH, body_of { tools = { OPEN }, tool_choice = "none" })
  t.eq(place.model.requests[1].tools, nil)
end)

-- ---- completions ----------------------------------------------------------------------------------------------------------------

test("completions, whole and streamed", function(t)
  local place <close> = served { "one", "two" }
  local value = place:post("/v1/completions", { model = "poet", prompt = "Hello" }):json()
  t.eq({ value.object, value.choices[1].text, value.choices[1].finish_reason }, { "text_completion", "one", "stop" })
  local events, ended = served.events(place:post("/v1/completions", { model = "poet", prompt = "Hello", stream = true }).body)
  t.eq({ events[1].choices[1].text, events[2].choices[1].finish_reason, ended }, { "two", "stop", true })
end)

test("LangChain: the prompt of a completion may be a list of one text, and of no more", function(t)
  local place <close> = served { "one" }
  t.eq(place:post("/v1/completions", { model = "poet", prompt = { "Hello" } }):json().choices[1].text, "one")
  local r = place:post("/v1/completions", { model = "poet", prompt = { "a", "b" } })
  t.eq(r.status, 400)
  t.match(r:json().error.message, "2 texts")
  t.match(place:post("/v1/completions", { model = "poet", prompt = { 1 } }):json().error.message, "cannot unmarshal array")
end)

-- ---- errors ---------------------------------------------------------------------------------------------------------------------

local function refused(t, place, path, body, status, kind, text)
  local r = place:post(path, body)
  t.eq(r.status, status, text)
  local err = r:json().error
  t.eq({ err.type, err.param }, { kind, json.null })
  t.match(err.message, text)
end

test("bad requests get errors in this API's form", function(t)
  local place <close> = served {}
  local bad = "invalid_request_error"
  refused(t, place, PATH, "", 400, bad, "no body")
  refused(t, place, PATH, "{", 400, bad, "unexpected EOF")
  refused(t, place, PATH, '{"model":1}', 400, bad, "cannot unmarshal number")
  refused(t, place, PATH, body_of { model = "poets" }, 404, "not_found_error", "did you mean poet")
  refused(t, place, PATH, body_of { messages = json.array() }, 400, bad, "too short")
  refused(t, place, PATH, body_of { reasoning_effort = "hard" }, 400, bad, "invalid reasoning value")
  refused(t, place, "/v1/embeddings", { model = "poet", input = "a" }, 400, bad, "does not support embeddings")
  t.eq(#place.model.requests, 0)
end)

test("an error before a word has a status; one in the middle is the last record, and no [DONE] follows", function(t)
  local place <close> = served({ { error = "boom", status = 500 }, { text = "one two three", error = "boom", error_after = 2 } },
    nil, nil, { tokens_per_second = 10 })
  refused(t, place, PATH, body_of { stream = true }, 502, "api_error", "boom")
  local events, ended = served.events(place:post(PATH, body_of { stream = true }).body)
  t.eq({ #events, ended }, { 3, false })
  t.match(events[3].error.message, "boom")
end)

test("two stokes are each other's model: an agent asks one that is served", function(t)
  local place <close> = served({ "one two" })
  local far = stoke.agent { name = "far", model = "poet", endpoint = place.url }
  t.eq(far:run("Hello").text, "one two")
end)
