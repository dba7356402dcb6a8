-- Programs that people type at, against `stoke serve agents/served.lua`: llm of PyPI with its plugin, and Ollama's own.

local test = require "stoke.test"
local fs = require "stoke.fs"
local peers = require "peers"

local SEA = 'You wrote: "The sea"'

--- What a program says, its standard output and error apart from each other.
local function ask(t, argv, env)
  local result = peers.run(argv, env)
  t.eq(result.code, 0, result.stdout .. result.stderr)
  return result.stdout, result.stderr
end

-- ---- llm ------------------------------------------------------------------------------------------------------------------------

--- llm with a folder of its own that is kept for the test, so that a conversation can go on.
local function llm(t, place, ...)
  return ask(t, { peers.path "py/bin/llm", ... }, { OLLAMA_HOST = place.url, LLM_USER_PATH = place.home .. "/llm" })
end

test("llm: the agents are models of its plugin for Ollama", peers.REAL, function(t)
  peers.needs(t, "py.stamp")
  local place <close> = peers.serving(t)
  local models = llm(t, place, "ollama", "models")
  for _, name in ipairs { "clerk:latest", "desk:latest", "poet:latest" } do t.contains(models, name) end
  t.contains(llm(t, place, "models"), "ollama/clerk")
end)

test("llm: a prompt, the conversation that goes on, a tool of its own, a schema", peers.REAL, function(t)
  peers.needs(t, "py.stamp")
  local place <close> = peers.serving(t)
  t.contains(llm(t, place, "-m", "ollama/clerk", "What is 17 * 23?"), "391")
  t.contains(llm(t, place, "-c", "And more?"), 'You wrote: "And more?"')
  t.contains(llm(t, place, "-m", "ollama/poet", "-T", "llm_version", "What version of llm is it?"), "llm_version returned 0.36")
  t.eq(llm(t, place, "-m", "ollama/poet", "--schema", "age int", "I am 42"):gsub("%s", ""), '{"age":42}')
end)

test("llm: an agent as a model of OpenAI's API", peers.REAL, function(t)
  peers.needs(t, "py.stamp")
  local place <close> = peers.serving(t)
  fs.mkdir(place.home .. "/llm")
  fs.write(place.home .. "/llm/extra-openai-models.yaml", ([[
- model_id: poet-v1
  model_name: poet
  api_base: "%s/v1"
  supports_tools: true
  supports_schema: true
]]):format(place.url))
  t.contains(llm(t, place, "-m", "poet-v1", "--key", "any", "The sea"), SEA)
  t.eq(llm(t, place, "-m", "poet-v1", "--key", "any", "--schema", "age int", "I am 42"):gsub("%s", ""), '{"age":42}')
end)

-- ---- ollama ---------------------------------------------------------------------------------------------------------------------

--- Ollama's own program: STOKE_OLLAMA names it where it is not in PATH. No registry has it, so it is skipped where it is absent.
local function program(t)
  local given = os.getenv "STOKE_OLLAMA"
  if given then return given end
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    if fs.stat(folder .. "/ollama") then return folder .. "/ollama" end
  end
  t.skip "there is no ollama in PATH, and STOKE_OLLAMA names none"
end

local function ollama(t, place, ...)
  return ask(t, { program(t), ... }, { OLLAMA_HOST = place.url:gsub("^http://", "") })
end

test("ollama: list, ps and show know the agents", peers.REAL, function(t)
  program(t)
  local place <close> = peers.serving(t)
  for _, verb in ipairs { "list", "ps" } do
    local text = ollama(t, place, verb)
    for _, name in ipairs { "clerk:latest", "desk:latest", "poet:latest" } do t.contains(text, name) end
  end
  local shown = ollama(t, place, "show", "clerk")
  for _, word in ipairs { "stoke", "completion", "tools", "thinking", "context length" } do t.contains(shown, word) end
end)

test("ollama run: an agent answers, with its thoughts and without", peers.REAL, function(t)
  program(t)
  local place <close> = peers.serving(t)
  t.contains(ollama(t, place, "run", "poet", "The sea"), SEA)
  local text = ollama(t, place, "run", "clerk", "What is 17 * 23?")
  t.contains(text, "> calculator")
  t.contains(text, "391")
  t.ok(not ollama(t, place, "run", "--think=false", "clerk", "What is 17 * 23?"):find("> calculator", 1, true))
end)

test("ollama run of a name that is nearly one says which", peers.REAL, function(t)
  local path = program(t)
  local place <close> = peers.serving(t)
  local result = peers.run({ path, "run", "peot", "?" }, { OLLAMA_HOST = place.url:gsub("^http://", "") })
  t.ok(result.code ~= 0)
  t.contains(result.stderr, "did you mean poet?")
end)

-- ---- coding tools ---------------------------------------------------------------------------------------------------------------

test("Continue's command line: an agent of its configuration answers", peers.REAL, function(t)
  peers.needs(t, "npm.stamp")
  local place <close> = peers.serving(t)
  local config = place.home .. "/config.yaml"
  fs.write(config, ([[
name: local
version: 0.0.1
schema: v1
models:
  - name: clerk
    provider: ollama
    model: clerk
    apiBase: %s
    roles: [chat]
    capabilities: [tool_use]
]]):format(place.url))
  local text = ask(t, { peers.node(), peers.path "npm/node_modules/.bin/cn", "-p", "What is 17 * 23?", "--config", config })
  t.contains(text, "391")
end)

test("Codex: a command that the agent asks for runs there, and its output comes back", peers.REAL, function(t)
  peers.needs(t, "npm.stamp")
  local place <close> = peers.starting("serve", "tests/clients/coder.lua", "--sim=tests/clients/coder_replies.lua", "--port", "0")
  fs.mkdir(place.home .. "/.codex")
  fs.mkdir(place.home .. "/work")
  fs.write(place.home .. "/.codex/config.toml", ([[
model = "coder"
model_provider = "stoke"
[model_providers.stoke]
name = "stoke"
base_url = "%s/v1"
wire_api = "responses"
]]):format(place.url))
  local result = peers.run({ peers.node(), peers.path "npm/node_modules/.bin/codex", "exec", "--skip-git-repo-check",
    "What is 17 * 23?" }, { HOME = place.home }, place.home .. "/work")
  t.eq(result.code, 0, result.stdout .. result.stderr)
  t.contains(result.stdout, "The command said:")
  t.contains(result.stdout, "391")
end)
