-- A part of test_ollama_live.lua: one corpus of requests sent to a real Ollama and to the simulator with the habits of its
-- version. The answers must be the same but for what a model says and how long it takes. A build that does not know its version
-- (0.0.0) is taken for STOKE_LIVE_LIKE (0.17).

local test = require "stoke.test"
local compare = require "compare"
local corpus = require "corpus"
local habits = require "stoke.sim.habits"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local sim = require "stoke.sim"
local stoke = require "stoke"

local ROLES = { CHAT = true, OWN = true, TOOLS = true, THINK = true, EMBED = true }

local function version_of(url)
  local host = os.getenv "OLLAMA_HOST"
  if not host or host == "" then return nil, "OLLAMA_HOST is not set" end
  local told, err = stoke.try(ollama.version)
  if err then return nil, ("no Ollama answers at %s (%s)"):format(url, err.kind) end
  if http.get(url .. "/sim/ledger", { raise = false }).status == 200 then return nil, url .. " is the simulator" end
  if told.version == "0.0.0" then return os.getenv "STOKE_LIVE_LIKE" or "0.17" end
  return told.version
end

-- Which model plays which role, and a description of each for the simulator.
local function cast(like)
  local own, roles, list = assert(habits.of(like)), {}, {}
  local models = ollama.tags().models
  table.sort(models, function(a, b) return a.size < b.size or a.size == b.size and a.name < b.name end)
  for _, m in ipairs(models) do
    local shown = ollama.show(m.name)
    local can = {}
    for _, c in ipairs(shown.capabilities or {}) do can[c] = true end
    local engine = habits.engine(own, { family = shown.details.family })
    local plain = can.completion and not can.tools and not can.thinking
    local role = can.embedding and "EMBED" or can.thinking and "THINK" or can.tools and "TOOLS"
      or plain and (engine == "ollama" and "OWN" or "CHAT")
    local info = shown.model_info
    local family = shown.details.family
    if role and not roles[role] then
      roles[role] = m.name:gsub(":latest$", "")
      list[#list + 1] = { name = m.name, family = family, caps = shown.capabilities, quant = shown.details.quantization_level,
        context = info[family .. ".context_length"], embedding = info[family .. ".embedding_length"],
        parameters = shown.parameters and { stop = { "<|end|>" } } or nil }
    end
  end
  return roles, list
end

test("live: the simulator answers as the real server does", { real = true, timeout = 900 }, function(t)
  local real = ollama.endpoint()
  local like, why = version_of(real)
  if not like then t.skip(why) end
  local roles, models = cast(like)
  local server <close> = sim.serve { port = 0, like = like, models = models, tokens_per_second = 0, load_seconds = 0 }
  for _, url in ipairs { real, server.url } do -- so that both list one at /api/ps
    http.post(url .. "/api/generate", { json = { model = roles.CHAT or roles.OWN }, timeout = 300 })
  end
  local same, differ, passed_over = 0, {}, 0
  for _, entry in ipairs(corpus) do
    local lacks = false
    for word in (entry.body or ""):gmatch "%f[%u]%u%u%u+%f[%U]" do
      if ROLES[word] and not roles[word] then lacks = true end
    end
    if lacks then
      passed_over = passed_over + 1
    else
      local theirs, ours = compare.ask(real, entry, roles), compare.ask(server.url, entry, roles)
      if theirs == ours then
        same = same + 1
      else
        differ[#differ + 1] = ("%s\n-- real\n%s\n-- simulated\n%s"):format(entry.name:sub(1, 300), theirs, ours)
      end
    end
  end
  print(("%d answers are the same, %d differ, %d need a model that is not here"):format(same, #differ, passed_over))
  t.eq(table.concat(differ, "\n\n"), "")
end)
