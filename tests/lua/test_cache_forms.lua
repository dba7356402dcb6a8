-- A stream and a whole answer of the same question are one entry: each is given in the place of the other.

local cached = require "cached"
local flights = require "core.cache.flight"
local gate = require "core.gate.cache"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local test = require "stoke.test"

local CALL = { { id = "c1", ["function"] = { name = "f", arguments = { b = 1, a = json.array {} } } } }

-- What a server says: each has its parts.
local ANSWERS = {
  text = { content = "one two three" },
  ["a thought and a text"] = { content = "one two", thinking = "let me think" },
  ["a call of a tool"] = { content = "", tool_calls = CALL },
  ["a text and a call"] = { content = "so", thinking = "hm", tool_calls = CALL },
  nothing = { content = "" },
  ["a text with its odds"] = { content = "yes", logprobs = { { token = "yes", logprob = -0.5 } } },
}

local function asked(server, more)
  local given = { model = "m", endpoint = server.url, options = { temperature = 0 }, cache = true,
    messages = { { role = "user", content = "Hi" } } }
  for name, value in pairs(more or {}) do given[name] = value end
  return given
end

local function events(given)
  local list = {}
  given.merge = false
  for ev in ollama.stream(given) do list[#list + 1] = ev end
  return list
end

-- What is said, without how it was come by.
local function told(list)
  local out = { text = "", thinking = "", calls = {}, odds = {} }
  for _, ev in ipairs(list) do
    if out[ev.type] then out[ev.type] = out[ev.type] .. ev.text end
    if ev.type == "tool_call" then out.calls[#out.calls + 1] = { ev.name, ev.arguments } end
    if ev.logprobs then out.odds = ev.logprobs end
    out.reason = ev.reason
  end
  return out
end

local function words(reply)
  local message, odds = reply.message, {}
  for i, one in ipairs(reply.logprobs or {}) do odds[i] = { one.token, one.logprob } end
  return { message.content, message.thinking, message.tool_calls, reply.done_reason, reply.eval_count, reply.model, odds }
end

for what, answer in pairs(ANSWERS) do
  test("a whole answer is given as a stream: " .. what, function(t)
    local server <close> = cached { answer = function() return answer end }
    ollama.chat(asked(server))
    local list = events(asked(server))
    local done = list[#list]
    t.eq({ done.type, done.cached, done.usage.calls, done.usage.cached, server.asked }, { "done", "exact", 0, 1, 1 })
    t.eq(told(list), told(events(asked(server, { cache = false }))))
    t.eq({ done.reply.eval_count, done.usage.tool_calls }, { 5, answer.tool_calls and 1 or 0 })
  end)

  test("a stream is given as a whole answer: " .. what, function(t)
    local server <close> = cached { answer = function() return answer end }
    events(asked(server))
    local reply = ollama.chat(asked(server))
    t.eq({ reply.cached, reply.usage.calls, reply.usage.cached, server.asked }, { "exact", 0, 1, 1 })
    t.eq(words(reply), words(ollama.chat(asked(server, { cache = false }))))
  end)
end

test("a completion: as a whole, and as a stream", function(t)
  local server <close> = cached { answer = function(body) return body.prompt .. " two three" end }
  local function given(prompt) return { model = "m", endpoint = server.url, prompt = prompt, options = { temperature = 0 },
    cache = true } end
  ollama.generate(given "a")
  t.eq(told(events(given "a")).text, "a two three")
  events(given "b")
  local reply = ollama.generate(given "b")
  t.eq({ reply.response, reply.done, reply.message, server.asked }, { "b two three", true, nil, 2 })
end)

test("an agent's run and its stream are one question", function(t)
  local server <close> = cached()
  local agent = stoke.agent { model = "m", endpoint = server.url, options = { temperature = 0 }, cache = true }
  t.eq(agent:run("Hi").text, "1: Hi")
  local result
  for ev in agent:stream "Hi" do result = ev.type == "done" and ev.result or result end
  t.eq({ result.text, result.usage.cached, server.asked }, { "1: Hi", 1, 1 })
end)

test("a field of the request that is called stream, deeper in it, is part of the question", function(t)
  local server <close> = cached()
  local function schema(value) return { format = { properties = { stream = value } } } end
  ollama.chat(asked(server, schema(true)))
  t.eq(events(asked(server, schema(false)))[1].text, "2: ")
  t.eq({ events(asked(server, schema(true)))[1].text, server.asked }, { "1: Hi", 2 })
end)

-- ---- at the same time -----------------------------------------------------------------------------------------------------------

test("who wants a whole answer waits for the stream that is under way", function(t)
  local server <close> = cached { pace = 1, answer = function() return "a b c" end }
  local scope <close> = stoke.scope()
  local first = scope:spawn(events, asked(server))
  stoke.sleep(0.5)
  local budget <close> = stoke.scope { budget = { calls = 5 } }
  local reply = ollama.chat(asked(server))
  t.eq({ reply.message.content, reply.cached, server.asked, budget.budget.used.calls }, { "a b c", "shared", 1, 0 })
  t.eq({ #first:await(), flights.count() }, { 4, 0 })
end)

test("who wants a stream waits for the whole answer that is under way", function(t)
  local server <close> = cached { delay = 2 }
  local scope <close> = stoke.scope()
  local first = scope:spawn(ollama.chat, asked(server))
  stoke.sleep(0.5)
  local list = events(asked(server))
  t.eq({ told(list).text, list[#list].cached, list[#list].usage.calls, server.asked }, { "1: Hi", "shared", 0, 1 })
  t.eq(first:await().cached, nil)
end)

test("the one who asked first leaves: who waits for it in the other form pays", function(t)
  for _, form in ipairs { "stream", "whole" } do
    local server <close> = cached { delay = 2 }
    local scope <close> = stoke.scope()
    local first = scope:spawn(form == "stream" and ollama.chat or events, asked(server))
    stoke.sleep(0.5)
    local second = scope:spawn(function()
      local inner <close> = stoke.scope { budget = { tokens = 1000 } }
      local got = (form == "stream" and events or ollama.chat)(asked(server))
      local last = form == "stream" and got[#got] or got
      return { last.cached, last.usage.calls, last.usage.output_tokens, inner.budget.used.calls, inner.budget.used.tokens }
    end)
    stoke.sleep(0.5)
    first:cancel()
    t.eq({ second:await(), server.asked }, { { nil, 1, 5, 1, 15 }, 1 })
  end
end)

test("a fallback to the cache gives a stream what was asked as a whole", function(t)
  local server <close> = cached()
  local extra = { cache = { ttl = 60, stale_if_error = 600 } }
  ollama.chat(asked(server, extra))
  stoke.sleep(70)
  server.down = true
  local list = events(asked(server, extra))
  t.eq({ told(list).text, list[#list].stale, gate.counts.errors }, { "1: Hi", true, 1 })
end)
