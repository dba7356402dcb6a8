--- The routes of the server.

local wire = require "stoke.sim.wire"
local inference = require "stoke.sim.inference"
local registry = require "stoke.sim.registry"

local M = {}

local function json_text(res, text) return res:reply(200, wire.JSON, text) end

local function root(_, _, res) return res:reply(200, wire.TEXT_UTF8, "Ollama is running") end

local function version(sim, _, res) return json_text(res, '{"version":"' .. sim.version .. '"}') end

local function status(_, _, res) return json_text(res, '{"cloud":{"disabled":false,"source":"none"}}') end

local function tags(sim, _, res) return json_text(res, wire.tags(sim.models:sorted())) end

local function ps(sim, _, res)
  local now = sim.clock()
  sim.scheduler:advance(now)
  return json_text(res, wire.ps(sim.scheduler:resident(), sim.wall() - now))
end

local function ledger(sim, _, res)
  local now = sim.clock()
  sim.scheduler:advance(now)
  return json_text(res, wire.ledger(sim.ledger:report(now)))
end

local ROUTES = {
  ["/"] = { GET = root, HEAD = root },
  ["/api/version"] = { GET = version, HEAD = version },
  ["/api/tags"] = { GET = tags, HEAD = tags },
  ["/api/status"] = { GET = status },
  ["/api/ps"] = { GET = ps },
  ["/api/show"] = { POST = registry.show },
  ["/api/generate"] = { POST = inference.generate },
  ["/api/chat"] = { POST = inference.chat },
  ["/api/embed"] = { POST = inference.embed },
  ["/api/embeddings"] = { POST = inference.embeddings },
  ["/api/pull"] = { POST = registry.pull },
  ["/api/push"] = { POST = registry.push },
  ["/api/create"] = { POST = registry.create },
  ["/api/copy"] = { POST = registry.copy },
  ["/api/delete"] = { DELETE = registry.delete },
  ["/sim/ledger"] = { GET = ledger },
}

local BLOBS = { HEAD = registry.blob, POST = registry.blob }

--- Answers one HTTP request.
---@param sim table
---@param req { method: string, path: string, body: string? }
---@param res table reply(status, headers, body), start(status, headers), write(bytes), reset()
function M.handle(sim, req, res)
  local path = req.path
  local route = ROUTES[path] or (path:sub(1, 11) == "/api/blobs/" and BLOBS) or nil
  if path ~= "/sim/ledger" then sim.ledger.requests = sim.ledger.requests + 1 end
  if not route then return res:reply(404, wire.TEXT, "404 page not found") end
  local run = route[req.method]
  if not run then return res:reply(405, wire.TEXT, "405 method not allowed") end
  return run(sim, req, res)
end

return M
