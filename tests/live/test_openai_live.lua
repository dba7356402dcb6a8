-- Our client of OpenAI's API against a real server of it: the /v1 of an Ollama, where one answers at OLLAMA_HOST, or of another
-- server, whose address, which ends in /v1, is in STOKE_LIVE_V1. STOKE_LIVE_MODEL names the model to ask.

local test = require "stoke.test"
local http = require "stoke.http"
local openai = require "stoke.openai"
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local HI = { { role = "user", content = "Say hello in one short sentence." } }
local BRIEF = { num_predict = 24, temperature = 0, seed = 1 }

-- What there is: { url, model, tools, embedding, counts = the tokens of streams, knows = its models by name } or { skip = why }.
local found

--- The smallest model of an Ollama that can do something, beside what can embed alone.
local function of_ollama(able)
  local best
  for _, m in ipairs(ollama.tags().models) do
    for _, can in ipairs(ollama.show(m.name).capabilities or {}) do
      if can == able and (not best or m.size < best.size) then best = m end
    end
  end
  return best and best.name
end

local function look()
  local url = os.getenv "STOKE_LIVE_V1"
  if url then return { url = url, model = os.getenv "STOKE_LIVE_MODEL" or openai.models(url)[1].id } end
  local host = os.getenv "OLLAMA_HOST"
  if not host or host == "" then return { skip = "neither STOKE_LIVE_V1 nor OLLAMA_HOST is set" } end
  local _, err = stoke.try(ollama.version)
  if err then return { skip = ("no Ollama answers at %s (%s)"):format(ollama.endpoint(), err.kind) } end
  if http.get(ollama.endpoint() .. "/sim/ledger", { raise = false }).status == 200 then
    return { skip = ollama.endpoint() .. " is the simulator" }
  end
  return { url = ollama.endpoint() .. "/v1", counts = true, knows = true, tools = of_ollama "tools",
    embedding = of_ollama "embedding", model = os.getenv "STOKE_LIVE_MODEL" or of_ollama "completion" }
end

local function live(name, f)
  test("live, /v1: " .. name, { real = true, timeout = 600 }, function(t)
    found = found or look()
    if found.skip then t.skip(found.skip) end
    f(t)
  end)
end

live("a whole answer with its usage", function(t)
  local reply = stoke.chat { model = found.model, endpoint = found.url, messages = HI, options = BRIEF }
  t.ok(#reply.text > 0 and reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0)
  t.ok(reply.usage.output_tokens <= 24)
end)

live("a stream: text in pieces, then its end with usage", function(t)
  local text, last = {}, nil
  for ev in stoke.stream { model = found.model, endpoint = found.url, messages = HI, options = BRIEF } do
    if ev.type == "text" then text[#text + 1] = ev.text end
    last = ev
  end
  t.ok(#table.concat(text) > 0)
  t.eq(last.type, "done")
  t.ok(last.usage.output_tokens > 0)
  if found.counts then t.eq(last.usage.estimated, false) end
end)

live("a choice and a schema are held to", function(t)
  local choice = stoke.choose { model = found.model, endpoint = found.url, prompt = "Is the sea wet?", options = { "yes", "no" } }
  t.ok(choice == "yes" or choice == "no")
  local bot = stoke.agent { model = found.model, endpoint = found.url, options = BRIEF, output = { wet = "boolean" } }
  t.eq(type(bot:run("Is the sea wet?").output.wet), "boolean")
end)

live("a tool is called, and the answer follows", function(t)
  if not found.tools then t.skip "no model here calls tools" end
  local count = 0
  local weather = stoke.tool { name = "get_weather", description = "The weather in a city", params = { city = "string" },
    run = function(args)
      count = count + 1
      return "rain in " .. args.city
    end }
  local bot = stoke.agent { model = found.tools, endpoint = found.url, tools = { weather }, max_steps = 5 }
  local result = bot:run "What is the weather in Oslo?"
  t.ok(count >= 1 and #result.text > 0)
end)

live("embeddings", function(t)
  if not found.embedding then t.skip "no model here embeds" end
  local vectors = stoke.embed { model = found.embedding, endpoint = found.url, input = { "a cat", "a dog" } }.vectors
  t.eq({ #vectors, #vectors[1] }, { 2, #vectors[2] })
end)

live("a model that is not there: what there is", function(t)
  if not found.knows then t.skip "llama-cpp-python, for one, answers under any name" end
  local _, err = stoke.try(stoke.chat, { model = "no-such-model", endpoint = found.url, messages = HI })
  t.eq({ err.kind, err.status }, { "http", 404 })
  t.match(err.message, "no%-such%-model")
end)
