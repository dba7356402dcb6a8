-- The libraries and programs of others against `stoke serve agents/served.lua`: their own types and parsers judge what they get.
--
-- What each checks is in its file here; the agents' model is the simulator.

local test = require "stoke.test"
local peers = require "peers"

--- A program in JavaScript, with the newer Node.
local function javascript(t, file, packages, least)
  peers.needs(t, "node/node_modules/node/bin/node", table.unpack(packages))
  local place <close> = peers.serving(t)
  peers.check(t, { peers.node(), "tests/clients/" .. file, place.url }, nil, least)
end

--- One in Python.
local function python(t, file, packages, least, ...)
  peers.needs(t, "py/bin/python", table.unpack(packages))
  local place <close> = peers.serving(t, ...)
  peers.check(t, { peers.python(), "tests/clients/" .. file, place.url }, nil, least)
end

test("npm ollama", peers.REAL, function(t) javascript(t, "ollama.mjs", { "npm.stamp" }, 15) end)
test("npm openai", peers.REAL, function(t) javascript(t, "openai.mjs", { "npm.stamp" }, 15) end)
test("npm @langchain/ollama, and ai with @ai-sdk/openai-compatible", peers.REAL, function(t)
  javascript(t, "others.mjs", { "npm.stamp" }, 10)
end)
test("PyPI ollama", peers.REAL, function(t) python(t, "ollama_lib.py", { "py.stamp" }, 11) end)
test("PyPI openai", peers.REAL, function(t) python(t, "openai_lib.py", { "py.stamp" }, 16) end)
test("PyPI langchain-ollama and langchain-openai", peers.REAL, function(t) python(t, "langchain_lib.py", { "py.stamp" }, 12) end)
test("PyPI ollama, openai and LangChain: the models behind, passed through", peers.REAL, function(t)
  python(t, "behind_lib.py", { "py.stamp" }, 7, "--models")
end)
