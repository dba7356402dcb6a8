-- Clients of stoke serve that leave in the middle: 50 ms later no slot of the model is taken for them, whatever they asked for.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local served = require "served"

local USER = { { role = "user", content = "Hello" } }
local LONG = ("word "):rep(400)
local NAMED = { ["X-Stoke-Session"] = "conversation-of-ada-1" }

--- Ask, and leave after a while.
local function leave(place, path, body, headers, after)
  body.model = body.model or "poet"
  local task = stoke.spawn(stoke.try, http.request, { method = "POST", url = place.url .. path, json = body, headers = headers })
  stoke.sleep(after or 0.5)
  task:cancel()
  stoke.sleep(0.05)
end

local CASES = {
  { "/api/chat", { messages = USER } },
  { "/api/chat", { messages = USER, stream = false } },
  { "/api/chat", { messages = USER }, NAMED },
  { "/api/chat", { messages = USER, stream = false }, NAMED },
  { "/api/generate", { prompt = "Hello" } },
  { "/api/generate", { prompt = "Hello", stream = false } },
  { "/v1/chat/completions", { messages = USER, stream = true } },
  { "/v1/chat/completions", { messages = USER } },
  { "/v1/completions", { prompt = "Hello", stream = true } },
  { "/v1/responses", { input = "Hello", stream = true } },
  { "/v1/responses", { input = "Hello" } },
  { "/v1/responses", { input = "Hello", store = false } },
}

for i, case in ipairs(CASES) do
  local path, body, headers = table.unpack(case)
  local how = (body.stream == nil and path:find "^/api" or body.stream) and "streamed" or "whole"
  test(("%d: %s, %s%s: the slot is free"):format(i, path, how, headers and ", in a session" or ""), function(t)
    local place <close> = served({ LONG, "Yes." }, nil, nil, { tokens_per_second = 10 })
    leave(place, path, body, headers)
    local ledger = place.model.sim.ledger
    t.eq({ ledger.streams_open, ledger.disconnects, #place.model.requests }, { 0, 1, 1 })
  end)
end

test("an agent that works for the agent ends with it", function(t)
  local place <close> = served({ { tool = "helper", args = { input = "x" } }, LONG }, function(agent)
    return { agent { tools = { agent { name = "helper" }:as_tool() } } }
  end, nil, { tokens_per_second = 10 })
  leave(place, "/api/chat", { messages = USER }, nil, 2)
  local ledger = place.model.sim.ledger
  t.eq({ #place.model.requests, ledger.streams_open, ledger.disconnects }, { 2, 0, 1 })
end)

test("who waits for a conversation and leaves does not hold up the next one", function(t)
  local place <close> = served({ ("word "):rep(20), "Yes." }, nil, nil, { tokens_per_second = 10 })
  local first = stoke.spawn(http.post, place.url .. "/api/chat", { headers = NAMED, json = { model = "poet", messages = USER } })
  stoke.sleep(0.1)
  leave(place, "/api/chat", { messages = USER }, NAMED)
  first:await()
  local r = http.post(place.url .. "/api/chat", { headers = NAMED, json = { model = "poet", stream = false, messages = USER } })
  t.eq({ r:json().message.content, #place.model.requests }, { "Yes.", 2 })
end)

test("the place of who has left is another's", function(t)
  local place <close> = served({ LONG, "Yes." }, nil, { max_turns = 1 }, { tokens_per_second = 10 })
  leave(place, "/api/chat", { messages = USER })
  t.eq(place:post("/api/chat", { model = "poet", messages = USER }).status, 200)
end)

test("two stokes are each other's model: who leaves the first frees the slot behind the second", function(t)
  local place <close> = served({ "two leaves", LONG, "Yes." }, function(agent)
    return { agent { name = "leaf" }, agent { name = "far", model = "leaf", endpoint = "http://other.mem" } }
  end, nil, { tokens_per_second = 10 })
  local other <close> = stoke.serve { mem = "other", agents = {
    stoke.agent { name = "leaf", model = "leaf", endpoint = place.url } } }
  t.eq(place:post("/api/chat", { model = "far", stream = false, messages = USER }):json().message.content, "two leaves")
  leave(place, "/api/chat", { model = "far", messages = USER })
  local ledger = place.model.sim.ledger
  t.eq({ ledger.streams_open, ledger.disconnects }, { 0, 1 })
  t.eq(http.post(other.url .. "/api/chat", { json = { model = "leaf", stream = false, messages = USER } }):json().message.content,
    "Yes.")
end)
