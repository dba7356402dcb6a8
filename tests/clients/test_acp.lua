-- ACP against others: the client of the protocol's own library, and `stoke acp FILE`.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local peers = require "peers"

test("npm @agentclientprotocol/sdk, its client: turns, questions, sessions, cancellation, modes", peers.REAL, function(t)
  peers.needs(t, "npm.stamp")
  local home <close> = peers.home()
  fs.write(home.path .. "/town.lua", [[
local stoke = require "stoke"
local note = stoke.tool { name = "write_note", description = "Writes a note", params = { text = "string" }, needs_approval = true,
  run = function(args) return "wrote " .. args.text end }
stoke.agent { name = "clerk", model = "qwen2.5:3b", tools = { note } }
stoke.agent { name = "poet", model = "qwen2.5:3b" }
]])
  peers.check(t, { peers.node(), "tests/clients/acp.mjs", about.executable(), home.path .. "/town.lua", home.path }, nil, 5)
end)
