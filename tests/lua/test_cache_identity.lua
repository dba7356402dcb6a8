-- Servers that do not tell which model they have under a name: nothing is kept, unless the caller says what it is.

local config = require "stoke.config"
local gate = require "core.gate.cache"
local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"

-- A server of OpenAI's wire that counts what it is asked.
local function serve(dialect)
  gate.forget()
  local n = 0
  local server = scripted(function()
    n = n + 1
    return "answer " .. n
  end)
  config.use_endpoint("here", server.url, "this test", false, dialect)
  return server, function() return n end
end

local function ask(cache, text)
  return stoke.chat { model = scripted.MODEL, messages = { { role = "user", content = text or "Hi" } },
    options = { temperature = 0 }, cache = cache }
end

for _, dialect in ipairs { "openai", "openai-responses" } do
  test("nothing is kept of a server that tells no digests: " .. dialect, function(t)
    local server <close>, asked = serve(dialect)
    ask(true)
    t.eq({ ask(true).cached, asked() }, { nil, 2 })
    local why = next(gate.counts.skipped)
    t.match(why, "do not tell which model they have under a name")
    t.match(why, "cache = { identity = ")
    local _ = server
  end)

  test("what the caller says that the model is stands for its digest: " .. dialect, function(t)
    local server <close>, asked = serve(dialect)
    local first = ask { identity = "a" }
    local again = ask { identity = "a" }
    t.eq({ again.cached, again.text, again.usage.calls, again.usage.cached, asked() }, { "exact", first.text, 0, 1, 1 })
    t.eq({ ask({ identity = "b" }).cached, asked() }, { nil, 2 }) -- it is another model now
    t.eq({ ask({ identity = "a" }, "Hello").cached, asked() }, { nil, 3 })
    local _ = server
  end)

  test("a stream, too: " .. dialect, function(t)
    local server <close>, asked = serve(dialect)
    local text, done = "", nil
    ask { identity = "a" }
    for ev in stoke.stream { model = scripted.MODEL, messages = { { role = "user", content = "Hi" } },
      options = { temperature = 0 }, cache = { identity = "a" } } do
      if ev.type == "text" then text = text .. ev.text end
      done = ev
    end
    t.eq({ text, done.cached, done.usage.calls, asked() }, { "answer 1", "exact", 0, 1 })
    local _ = server
  end)
end

test("vectors of texts: kept where the caller says what the model is", function(t)
  for identity, hits in pairs { [false] = 0, ["minilm, 2026-01"] = 1 } do
    gate.forget()
    local server <close> = require "stoke.sim".serve { mem = "identity" .. hits }
    config.use_endpoint("here", server.url, "this test", false, "openai")
    local given = { model = "nomic-embed-text", input = "a text", cache = identity and { identity = identity } or nil }
    local first, second = stoke.embed(given), stoke.embed(given)
    t.eq({ first.usage.calls, second.usage.calls, second.usage.cached or 0 }, { 1, 1 - hits, hits })
    t.eq(second.vectors, first.vectors)
  end
end)

test("where the server tells the digest, what the caller says changes nothing", function(t)
  local server <close> = require "cached" ()
  server:chat("Hi", { cache = { identity = "a" } })
  t.eq({ server:chat("Hi", { cache = { identity = "b" } }).cached, server.asked }, { "exact", 1 })
  t.match(t.raises("argument", server.chat, server, "Hi", { cache = { identity = "" } }).message, "must not be empty")
end)
