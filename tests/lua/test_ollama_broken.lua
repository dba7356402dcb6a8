-- What stoke.ollama raises when an answer is broken: it ends too soon, or is no JSON, or odd JSON.

local test = require "stoke.test"
local asking = require "asking"
local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local sim = require "stoke.sim"
local stoke = require "stoke"

local DONE, TEXT, WHOLE = asking.DONE, asking.TEXT, asking.WHOLE
local options_for, stream, both = asking.options_for, asking.stream, asking.both

-- ---- answers that end too soon --------------------------------------------------------------------------------------

test("incomplete: a stream that ends without done, after its first event", function(t)
  local server <close> = fake { { lines = { TEXT, TEXT } } }
  local seen = {}
  local err = t.raises("incomplete", stream, options_for(server, { merge = false }), seen)
  t.eq({ err.message, err.retryable, #seen, #server.requests },
    { "the answer of m ended before it was done", true, 2, 1 })
  t.match(err.hint, "asking again may help")
end)

test("incomplete: before the first event it is asked again", function(t)
  local server <close> = fake { { lines = {} }, { lines = { "" } }, { lines = { TEXT, DONE } } }
  local events = stream(options_for(server))
  t.eq({ #events, #server.requests, events[2].usage.attempts }, { 2, 3, 3 })
end)

test("incomplete: one reply with done:false keeps its text", function(t)
  local server <close> = fake { [[{"model":"m","message":{"role":"assistant","content":"Half of"},"done":false}]] }
  local err = t.raises("incomplete", ollama.chat, options_for(server))
  t.eq({ err.partial, err.retryable, #server.requests }, { "Half of", true, 3 })
  local other <close> = fake { [[{"model":"m","response":"Half of","done":false}]] }
  err = t.raises("incomplete", ollama.generate, { model = "m", prompt = "x", endpoint = other.url })
  t.eq(err.partial, "Half of")
  local third <close> = fake { [[{"model":"","created_at":"0001","message":{"role":"","content":""},"done":false}]] }
  t.eq(t.raises("incomplete", ollama.chat, options_for(third)).partial, "")
end)

test("incomplete: JSON that stops in the middle of a line", function(t)
  local server <close> = fake { { lines = { TEXT, TEXT:sub(1, 50) }, open = true } }
  local err = t.raises("incomplete", stream, options_for(server))
  t.match(err.cause.message, "invalid JSON at byte 51")
  local other <close> = fake { WHOLE:sub(1, 40), WHOLE }
  t.eq(ollama.chat(options_for(other)).done, true)
end)

test("an error line after 200 is told as it is, and nothing is tried again", function(t)
  local server <close> = fake { { lines = { TEXT, [[{"error":"an error was encountered while running the model: boom"}]] } } }
  local seen = {}
  local err = t.raises("incomplete", stream, options_for(server, { merge = false }), seen)
  t.eq({ err.message, err.retryable, #seen, #server.requests },
    { "an error was encountered while running the model: boom", true, 1, 1 })
  local other <close> = fake { { lines = { TEXT, [[{"error":"something else"}]] } } }
  err = t.raises("http", stream, options_for(other))
  t.eq({ err.message, err.retryable, err.model }, { "something else", false, "m" })
  local first <close> = fake { { lines = { [[{"error":"an error was encountered while running the model: boom"}]] } },
    { lines = { TEXT, DONE } } }
  t.eq({ #stream(options_for(first)), #first.requests }, { 2, 2 }, "as the first line it is asked again")
end)

test("the simulator's faults", function(t)
  local want = { ["404"] = "http", ["500"] = "incomplete", ["503"] = "overloaded", reset = "incomplete", html = "overloaded",
    ["error-line"] = "incomplete", ["silent-end"] = "incomplete", nondone = "incomplete" }
  for fault, kind in pairs(want) do
    local server <close> = sim.serve { mem = "faulty", models = { "m" }, fault = fault, load_seconds = 0,
      script = function() return "a b c d e f" end }
    t.eq(t.raises(kind, stream, options_for(server)).model, "m")
    pool.forget() -- or calls are held back from a server that has failed so often
    local err = t.raises(kind, ollama.chat, options_for(server))
    t.eq(err.model, "m")
    if fault == "nondone" or fault == "silent-end" then t.eq(err.partial, "a b c") end
    stoke.sleep(1)
    t.eq(server.sim.ledger.streams_open, 0)
  end
  for _, fault in ipairs { "slow", "cuts" } do
    local server <close> = sim.serve { mem = "faulty", models = { "m" }, fault = fault, load_seconds = 0 }
    t.ok(#stream(options_for(server)) >= 2)
  end
end)

-- ---- JSON that is none, and odd JSON --------------------------------------------------------------------------------

test("broken JSON", function(t)
  both(t, "{]", { kind = "protocol",
    message = "the server sent broken JSON, byte 2 of 2: expected a key or '}', found ']': {>>>]" })
  both(t, "OK", { kind = "protocol", message = "the server sent broken JSON, byte 1 of 2: expected a value, found 'O': >>>OK" })
  both(t, "\0\1\2\255 binary", { kind = "protocol", message = "the server sent broken JSON, byte 1 of 11: expected a value, "
    .. "found byte 0x00: >>>\u{FFFD} binary" })
  both(t,
    '{"model":"m","message":{"role":"assistant","content":"one long answer, and in its middle a \tTAB, that strict JSON has not"}}',
    { kind = "protocol", message = "the server sent broken JSON, byte 92 of 124: raw control character in a string: "
      .. "...\":\"one long answer, and in its middle a>>>TAB, that strict JSON has not\"}}", fields = { offset = 92 } })
  local server <close> = fake { { lines = { TEXT, "{oops}" } } }
  local err = t.raises("protocol", stream, options_for(server))
  t.eq({ err.message, err.retryable }, { "the server sent broken JSON, byte 2 of 6: expected a key or '}', found 'o': {>>>oops}",
    false })
  t.match(err.cause.message, "invalid JSON at byte 2")
end)

test("an over-long line", function(t)
  local server <close> = fake(function(_, res)
    res:start(200)
    local block = ("x"):rep(1 << 20)
    for _ = 1, 20 do res:write(block) end
  end)
  local err = t.raises("limit", stream, options_for(server))
  t.match(err.message, "a line of the answer is longer than max_line %(16777216 bytes%)")
end)

local ODD = { "null", "true", "7", '"text"', "[]", "[1]", "{}", "[{}]" }

-- Replies in which one field is something else: the caller gets what the API promises, or an error of ours.
local function odd_replies(base, paths)
  local out = {}
  for _, odd in ipairs(ODD) do
    out[#out + 1] = odd
    for _, path in ipairs(paths) do
      local value = json.decode(base)
      local holder = value
      for name in path:gmatch "([^.]+)%." do holder = holder[math.tointeger(tonumber(name)) or name] end
      local last = path:match "[^.]+$"
      holder[math.tointeger(tonumber(last)) or last] = json.decode(odd)
      out[#out + 1] = json.encode(value)
    end
  end
  return out
end

local function never_lua(t, what, f)
  local value, err = stoke.try(f)
  if err then
    local ours = { protocol = 1, incomplete = 1, invalid_output = 1, http = 1, context_overflow = 1 }
    t.ok(ours[err.kind], what .. ": " .. tostring(err))
  end
  return value
end

local FULL = [[{"model":"m","created_at":"x","message":{"role":"assistant","content":"Hi","thinking":"Hm","tool_calls":]] ..
  [=[[{"id":"i","function":{"index":0,"name":"f","arguments":{"a":1}}}]},"logprobs":[{"token":"a"}],"done":true,]=] ..
  [["done_reason":"stop","total_duration":1,"load_duration":1,"prompt_eval_count":300,"eval_count":1}]]
local FIELDS = { "message", "message.content", "message.thinking", "message.tool_calls", "message.tool_calls.1",
  "message.tool_calls.1.id", "message.tool_calls.1.function", "message.tool_calls.1.function.name",
  "message.tool_calls.1.function.arguments", "logprobs", "done", "done_reason", "total_duration", "load_duration",
  "prompt_eval_count", "eval_count", "error", "model" }

test("odd JSON never becomes an error of Lua: chat", function(t)
  local body
  local server <close> = fake(function(req, res)
    res:reply(200, nil, req.path == "/api/ps" and "[]" or body .. "\n")
  end)
  for _, reply in ipairs(odd_replies(FULL, FIELDS)) do
    body = reply
    local got = never_lua(t, reply, function() return ollama.chat(options_for(server)) end)
    if got then
      t.eq({ type(got.message.content), got.done }, { "string", true }, reply)
      for _, call in ipairs(got.message.tool_calls or {}) do
        t.eq({ type(call.id), type(call["function"].name), type(call["function"].arguments) }, { "string", "string", "table" })
      end
      t.ok(ollama.usage(got).input_tokens >= 0)
    end
    never_lua(t, reply, function()
      for ev in ollama.stream(options_for(server)) do
        t.eq(type(ev.text or ev.id or ev.usage), ev.type == "done" and "table" or "string", reply)
      end
    end)
  end
end)

test("odd JSON never becomes an error of Lua: generate and embed", function(t)
  local body
  local server <close> = fake(function(_, res) res:reply(200, nil, body .. "\n") end)
  local function generate() return ollama.generate { model = "m", prompt = "x", endpoint = server.url } end
  for _, reply in ipairs(odd_replies([[{"model":"m","response":"Hi","thinking":"Hm","done":true,"context":[1],"tool_calls":[]}]],
    { "response", "thinking", "done", "context", "tool_calls", "error" })) do
    body = reply
    local got = never_lua(t, reply, generate)
    if got then t.eq(type(got.response), "string") end
    never_lua(t, reply, function() for _ in ollama.stream { model = "m", prompt = "x", endpoint = server.url } do end end)
  end
  for _, reply in ipairs(odd_replies([=[{"model":"m","embeddings":[[0.5,1]],"prompt_eval_count":7}]=],
    { "embeddings", "embeddings.1", "embeddings.1.1", "prompt_eval_count", "error" })) do
    body = reply
    local got = never_lua(t, reply, function() return ollama.embed { model = "m", input = "x", endpoint = server.url } end)
    if got then t.eq({ #got.embeddings, math.type(got.embeddings[1][1]) ~= nil }, { 1, true }, reply) end
  end
end)

test("odd JSON never becomes an error of Lua: inventory and progress", function(t)
  local body
  local server <close> = fake(function(_, res) res:reply(200, nil, body .. "\n") end)
  for _, reply in ipairs(odd_replies([[{"models":[{"name":"a","model":"a"}],"version":"1","status":"success","completed":1}]],
    { "models", "models.1", "models.1.name", "version", "status", "completed", "error" })) do
    body = reply
    for _, f in ipairs { ollama.tags, ollama.ps } do
      local got = never_lua(t, reply, function() return f(server.url) end)
      for _, m in ipairs(got and got.models or {}) do t.eq(type(m.name), "string", reply) end
    end
    local got = never_lua(t, reply, function() return ollama.version(server.url) end)
    if got then t.eq(type(got.version), "string") end
    never_lua(t, reply, function() return ollama.show("m", { endpoint = server.url }) end)
    never_lua(t, reply, function() return ollama.copy("a", "b", server.url) end)
    never_lua(t, reply, function()
      for ev in ollama.pull { model = "m", endpoint = server.url } do t.eq(type(ev.status), "string") end
    end)
  end
end)
