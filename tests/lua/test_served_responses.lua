-- /v1/responses of stoke serve: whole, streamed, and going on by previous_response_id.

local test = require "stoke.test"
local stoke = require "stoke"
local json = require "stoke.json"
local served = require "served"
local sessions = require "stoke.sessions"

local PATH = "/v1/responses"

local function ask(place, body, headers)
  body.model = body.model or "poet"
  local r = place:post(PATH, body, headers)
  return r:json(), r.status
end

--- The text of a response.
local function text_of(response)
  local out = {}
  for _, item in ipairs(response.output) do
    for _, part in ipairs(item.type == "message" and item.content or {}) do out[#out + 1] = part.text end
  end
  return table.concat(out)
end

local function roles(request)
  local out = {}
  for i, m in ipairs(request.messages) do out[i] = m.role end
  return table.concat(out, " ")
end

--- Events of a stream, each of which says its own name.
local function events(text)
  local out = {}
  for name, data in text:gmatch "event: ([^\n]*)\ndata: ([^\n]*)\n\n" do
    out[#out + 1] = json.decode(data)
    assert(out[#out].type == name and out[#out].sequence_number == #out - 1, "each event has its name and its number")
  end
  return out
end

local LOOK = { tool = "weather", args = { city = "Oslo" } }

local function with_weather(count)
  return function(agent)
    return { agent { tools = { stoke.tool { name = "weather", params = { city = "string" }, run = function(a)
      count.calls = (count.calls or 0) + 1
      return "rain in " .. a.city
    end } } } }
  end
end

local OPEN = { type = "function", name = "open_file", description = "Open a file",
  parameters = { type = "object", properties = { path = { type = "string" } }, required = { "path" } } }

-- ---- one response ---------------------------------------------------------------------------------------------------------------

test("a whole response: its message, its usage, and all fields that the libraries need", function(t)
  local place <close> = served { { thinking = "hm", text = "one two" } }
  local value, status = ask(place, { input = "Hello" })
  t.eq({ status, value.object, value.status, value.model, #value.output }, { 200, "response", "completed", "poet", 2 })
  t.eq({ value.output[1].type, value.output[1].summary[1].text }, { "reasoning", "hm" })
  t.eq({ value.output[2].role, text_of(value) }, { "assistant", "one two" })
  t.match(value.id, "^resp_" .. ("%x"):rep(32) .. "$")
  t.eq({ value.usage.output_tokens, value.usage.total_tokens - value.usage.input_tokens }, { 3, 3 })
end)

test("a stream: created, the item, its deltas, and the whole response at its end", function(t)
  local place <close> = served({ "one two three" }, nil, nil, { tokens_per_second = 10 })
  local r = place:post(PATH, { model = "poet", input = "Hello", stream = true })
  t.eq(r.headers["content-type"], "text/event-stream")
  local list, kinds, said = events(r.body), {}, {}
  for i, event in ipairs(list) do kinds[i], said[i] = event.type, event.delta or "" end
  t.eq(kinds, { "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    "response.output_text.delta", "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
    "response.content_part.done", "response.output_item.done", "response.completed" })
  t.eq(table.concat(said), "one two three")
  t.eq(text_of(list[#list].response), "one two three")
end)

test("instructions, messages in parts, images, and the shape of the answer", function(t)
  local place <close> = served({ '{"a":1}' }, nil, nil, { models = { "qwen2.5:3b,caps=completion+vision" } })
  ask(place, { instructions = "Rhyme.", text = { format = { type = "json_schema", name = "x", schema = { type = "object" } } },
    input = { { role = "user", content = { { type = "input_text", text = "What is it?" },
      { type = "input_image", image_url = "data:image/png;base64,AAAA" } } } } })
  local asked = place.model.requests[1]
  t.match(asked.messages[1].content, "^Be brief%.\n\nRhyme%.")
  t.eq({ asked.messages[2].content, asked.messages[2].images, asked.format.type }, { "What is it?", { "AAAA" }, "object" })
end)

test("an answer that was cut off is incomplete", function(t)
  local place <close> = served { { text = "one two", done_reason = "length" }, { text = "one two", done_reason = "length" } }
  local value = ask(place, { input = "Hello" })
  t.eq({ value.status, value.incomplete_details.reason }, { "incomplete", "max_output_tokens" })
  local list = events(place:post(PATH, { model = "poet", input = "Hello", stream = true }).body)
  t.eq(list[#list].type, "response.incomplete")
end)

-- ---- the next one ---------------------------------------------------------------------------------------------------------------

test("previous_response_id: what was said is here, with what the client never saw", function(t)
  local count = {}
  local place <close> = served({ LOOK, "Take one.", "Yes." }, with_weather(count))
  local first = ask(place, { input = "Oslo?" })
  t.eq(first.store, true)
  local second = ask(place, { input = "Sure?", previous_response_id = first.id })
  t.eq({ text_of(second), second.previous_response_id }, { "Yes.", first.id })
  t.eq({ roles(place.model.requests[3]), count.calls }, { "system user assistant tool assistant user", 1 })
end)

test("the same response may be gone on from twice: two branches", function(t)
  local place <close> = served { "One.", "Two.", "Three." }
  local first = ask(place, { input = "a" })
  ask(place, { input = "b", previous_response_id = first.id })
  ask(place, { input = "c", previous_response_id = first.id })
  t.eq(roles(place.model.requests[3]), "system user assistant user")
  t.eq(place.model.requests[3].messages[4].content, "c")
  t.eq(#sessions.list { prefix = "served/" }, 2)
end)

test("a conversation goes on by its id, with what is new alone", function(t)
  local place <close> = served { "One.", "Two." }
  local id = "conv_of_ada_0123456789"
  ask(place, { input = "a", conversation = id })
  t.eq(text_of((ask(place, { input = "b", conversation = { id = id } }))), "Two.")
  t.eq(roles(place.model.requests[2]), "system user assistant user")
  local value, status = ask(place, { input = "c", conversation = "1" })
  t.eq(status, 400)
  t.match(value.error.message, "16 to 200 characters")
end)

test("instructions hold for their own response", function(t)
  local place <close> = served { "One.", "Two." }
  local first = ask(place, { input = "a", instructions = "Rhyme." })
  ask(place, { input = "b", previous_response_id = first.id })
  t.eq(place.model.requests[2].messages[1].content, "Be brief.")
end)

test("Codex: a call goes out, its output comes back by the response's id, and the run goes on", function(t)
  local place <close> = served { { tool = "open_file", args = { path = "a.lua" } }, "It prints." }
  local list = events(place:post(PATH, { model = "poet", input = "Look", stream = true, tools = { OPEN } }).body)
  local response = list[#list].response
  local call = response.output[1]
  t.eq({ call.type, call.name, call.arguments }, { "function_call", "open_file", '{"path":"a.lua"}' })
  local value = ask(place, { previous_response_id = response.id, tools = { OPEN },
    input = { { type = "function_call_output", call_id = call.call_id, output = "print(1)" } } })
  t.eq(text_of(value), "It prints.")
  local asked = place.model.requests[2].messages
  t.eq({ roles(place.model.requests[2]), asked[4].content, asked[4].tool_name },
    { "system user assistant tool", "print(1)", "open_file" })
end)

test("a call that was given no output is said to have none", function(t)
  local place <close> = served { { tool = "open_file", args = { path = "a.lua" } }, "Then not." }
  local first = ask(place, { input = "Look", tools = { OPEN } })
  ask(place, { previous_response_id = first.id, input = "Leave it.", tools = { OPEN } })
  t.eq(roles(place.model.requests[2]), "system user assistant tool user")
end)

test("store = false: the client sends all of it, calls and outputs as items, and nothing is kept", function(t)
  local place <close> = served { "It prints." }
  local value = ask(place, { store = false, tools = { OPEN }, input = { { role = "user", content = "Look" },
    { type = "reasoning", summary = json.array() },
    { type = "function_call", call_id = "c1", name = "open_file", arguments = '{"path":"a.lua"}' },
    { type = "function_call_output", call_id = "c1", output = "print(1)" } } })
  t.eq({ text_of(value), value.store }, { "It prints.", false })
  t.eq(roles(place.model.requests[1]), "system user assistant tool")
  t.eq(#(stoke.try(sessions.list, { prefix = "served/" }) or {}), 0) -- nil where there is no store at all
end)

-- ---- what is refused ------------------------------------------------------------------------------------------------------------

test("a previous response that is not there, or another's, is refused in OpenAI's words", function(t)
  local token = ("k"):rep(20)
  local place <close> = served({ "One." })
  local first = ask(place, { input = "a" })
  local guarded <close> = served({}, nil, { token = token })
  for _, case in ipairs { { place, "resp_0" }, { guarded, first.id } } do
    local value, status = ask(case[1], { input = "b", previous_response_id = case[2] }, { Authorization = "Bearer " .. token })
    t.eq({ status, value.error.code, value.error.param }, { 400, "previous_response_not_found", "previous_response_id" })
    t.match(value.error.message, "^Previous response with id '" .. case[2] .. "' not found")
  end
end)

test("a previous response that another agent gave is refused with its name", function(t)
  local place <close> = served({ "One." }, function(agent) return { agent(), agent { name = "other" } } end)
  local first = ask(place, { input = "a" })
  local value, status = ask(place, { model = "other", input = "b", previous_response_id = first.id })
  t.eq(status, 400)
  t.match(value.error.message, "given by poet")
end)

test("wrong types get the words of the server it stands for", function(t)
  local place <close> = served {}
  local function refused(body, text, status)
    local r = place:post(PATH, body)
    t.eq(r.status, status or 400, text)
    t.eq(r:json().error.message, text)
  end
  local function user(content) return { model = "poet", input = { { role = "user", content = content } } } end
  refused("{", "unexpected EOF")
  refused("[]", "json: cannot unmarshal array into Go value of type openai.ResponsesRequest")
  refused({ input = "a" }, "model is required")
  refused({ model = "poet" }, "input is missing")
  refused({ model = "poet", input = 5 },
    "input must be a string or array: json: cannot unmarshal number into Go value of type []json.RawMessage")
  refused({ model = "poet", input = "a", instructions = 5 },
    "json: cannot unmarshal number into Go struct field ResponsesRequest.instructions of type string")
  refused({ model = "poet", input = "a", tools = { 5 } },
    "json: cannot unmarshal number into Go struct field ResponsesRequest.tools of type openai.ResponsesTool")
  refused({ model = "poet", input = "a", text = { format = 5 } },
    "json: cannot unmarshal number into Go struct field ResponsesText.text.format of type openai.ResponsesTextFormat")
  refused({ model = "poet", input = { { type = "nope" } } }, "input[0]: unknown input item type: nope")
  refused(user(5), "input[0]: content must be a string or array: json: cannot unmarshal number into Go value of type "
    .. "[]json.RawMessage")
  refused(user { { type = "zz" } }, "input[0]: content[0]: unknown content type: zz")
  refused(user { { type = "input_image", image_url = "http://x/y" } },
    "image URLs are not currently supported, please use base64 encoded data instead")
  refused({ model = "poet", input = { { type = "function_call", call_id = "x", name = "f", arguments = "{" } } },
    "failed to parse function call arguments: unexpected end of JSON input")
  refused({ model = "poet", input = "a", previous_response_id = 5 }, "previous_response_id must be a string")
  refused({ model = "poet", input = "a", background = true }, "a response is made while its client waits: leave background out")
  refused({ model = "poet", input = "a", previous_response_id = "resp_0", conversation = "conv_of_ada_0123456789" },
    "previous_response_id or conversation, one of both")
  refused({ model = "bard", input = "a" }, "model 'bard' not found", 404)
  t.eq(#place.model.requests, 0)
end)

test("items of the input with fields of other types are refused, and null is none", function(t)
  local world <close> = served(function() return "Yes." end)
  local function call(field, value)
    local item = json.object { type = "function_call", call_id = "c", name = "look", arguments = "{}" }
    item[field] = value
    return ask(world, { input = { item, { type = "function_call_output", call_id = "c", output = "x" } } })
  end
  for _, field in ipairs { "call_id", "name", "arguments" } do
    local r, status = call(field, 7)
    t.eq(status, 400)
    t.match(r.error.message, "cannot unmarshal number into Go struct field ResponsesFunctionCall." .. field .. " of type string")
    t.eq(select(2, call(field, json.null)), 200)
  end
  local r, status = ask(world, { input = { { type = "function_call_output", call_id = {}, output = "x" } } })
  t.eq(status, 400)
  t.match(r.error.message, "ResponsesFunctionCallOutput.call_id of type string")
end)

test("an error before a word has a status; one in the middle is the event response.failed, and the last", function(t)
  local place <close> = served({ { error = "boom", status = 500 }, { text = "one two three", error = "boom", error_after = 2 } },
    nil, nil, { tokens_per_second = 10 })
  local r = place:post(PATH, { model = "poet", input = "a", stream = true })
  t.eq(r.status, 502)
  local list = events(place:post(PATH, { model = "poet", input = "a", stream = true }).body)
  local last = list[#list]
  t.eq({ last.type, last.response.status }, { "response.failed", "failed" })
  t.match(last.response.error.message, "boom")
end)

test("two stokes: an agent whose endpoint speaks /v1/responses asks one that is served", function(t)
  local place <close> = served { "one two", "three" }
  local config = require "stoke.config"
  config.load { getenv = function() return nil end, read = function(path)
    return path == "./stoke.config.lua" and ([[return { endpoints = { far = { url = %q, dialect = "openai-responses" } } }]])
      :format(place.url) or nil
  end }
  local _ <close> = setmetatable({}, { __close = function()
    config.load { getenv = function() return nil end, read = function() return nil end }
  end })
  local far = stoke.agent { name = "far", model = "poet", endpoint = "far" }
  t.eq(far:run("Hello").text, "one two")
  local said = {}
  for event in far:stream "Hello" do said[#said + 1] = event.type == "text" and event.text or nil end
  t.eq(table.concat(said), "three")
end)
