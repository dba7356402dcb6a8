-- stoke.chat and stoke.stream take a class, a deadline and a cache, as the calls of a dialect do.

local test = require "stoke.test"
local routed = require "routed"
local stoke = require "stoke"

local MODELS = { gpu = { models = { "m" }, tokens_per_second = 20 } }

local function ask(more)
  local given = { model = "m", endpoint = "gpu", prompt = "Tell me about rain", options = { temperature = 0 } }
  for name, value in next, more do given[name] = value end
  return given
end

test("the same question is answered once; the answer says so", function(t)
  local _ <close> = routed(MODELS)
  local first = stoke.chat(ask { cache = true })
  local second = stoke.chat(ask { cache = true })
  t.eq({ first.cached, second.cached, second.text, second.usage.calls }, { nil, "exact", first.text, 0 })
end)

test("a stream that was kept is a stream", function(t)
  local _ <close> = routed(MODELS)
  local texts = {}
  for i = 1, 2 do
    local parts = {}
    for ev in stoke.stream(ask { cache = true }) do
      if ev.type == "text" then parts[#parts + 1] = ev.text end
      if ev.type == "done" then t.eq(ev.cached, i == 2 and "exact" or nil) end
    end
    texts[i] = table.concat(parts)
  end
  t.eq(texts[1], texts[2])
end)

test("a deadline ends the call, whole or streamed", function(t)
  local _ <close> = routed(MODELS)
  t.match(t.raises("deadline", stoke.chat, ask { deadline = 0.01 }).message, "^stoke.chat: m did not answer within 0.01 s")
  t.raises("deadline", function()
    for _ in stoke.stream(ask { deadline = 0.01 }) do t.ok(true) end
  end)
end)

test("a class that nobody knows is told with the one that was meant", function(t)
  local _ <close> = routed(MODELS)
  t.match(t.raises("argument", stoke.chat, ask { class = "bach" }).hint, "batch")
end)
