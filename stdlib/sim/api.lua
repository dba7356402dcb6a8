--- The routes of the simulated server.

local front = require "stoke.sim.front"
local wire = require "stoke.ollama.server.wire"
local inference = require "stoke.sim.inference"
local registry = require "stoke.sim.registry"

local M = {}

local function json_text(res, text) return wire.send(res, 200, wire.JSON, text) end

local function root(_, _, res) return res:reply(200, wire.TEXT_UTF8, "Ollama is running") end

local function version(sim, _, res) return json_text(res, '{"version":"' .. sim.version .. '"}') end

local function status(_, _, res) return json_text(res, '{"cloud":{"disabled":false,"source":"none"}}') end

local function tags(sim, _, res) return json_text(res, wire.tags(sim.models:sorted(), sim.habits)) end

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

--- OpenAI's API: most simulators are never asked for it.
local function v1(name) return function(...) return require "stoke.sim.v1"[name](...) end end

local function responses(...) return require "stoke.sim.v1.responses".handle(...) end

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
  ["/v1/chat/completions"] = { POST = v1 "chat" },
  ["/v1/completions"] = { POST = v1 "completion" },
  ["/v1/embeddings"] = { POST = v1 "embeddings" },
  ["/v1/responses"] = { POST = responses },
  ["/v1/models"] = { GET = v1 "models" },
  ["/sim/ledger"] = { GET = ledger },
}

local MODEL = { GET = v1 "model" }
local BLOBS = { HEAD = registry.blob, POST = registry.blob }

-- The order in which the original knows its methods, for the Allow header.
local METHODS = { "HEAD", "GET", "POST", "DELETE" }

local function route_of(path)
  return ROUTES[path] or path:match "^/api/blobs/[^/]+$" and BLOBS or path:match "^/v1/models/[^/]+$" and MODEL or nil
end

local function has(path, method)
  local route = route_of(path)
  return route ~= nil and route[method] ~= nil
end

local function allowed(route)
  local list = {}
  for _, method in ipairs(METHODS) do if route[method] then list[#list + 1] = method end end
  return table.concat(list, ", ")
end

--- Answers one HTTP request.
---@param sim table
---@param req { method: string, path: string, target: string?, headers: table?, body: string? }
---@param res table reply(status, headers, body), start(status, headers), write(bytes), reset()
function M.handle(sim, req, res)
  local path = req.path
  local route = route_of(path)
  if path ~= "/sim/ledger" then sim.ledger.requests = sim.ledger.requests + 1 end
  local run = route and route[req.method]
  if not run and not route and front.redirects(req, res, has) or front.cleans(req, res) then return end
  local allow = route and not run and allowed(route) or nil
  res = front.admit(req, res, allow, sim.guarded)
  if not res then return end
  if not route then return res:reply(404, wire.TEXT, "404 page not found") end
  if not run then
    return res:reply(405, { ["Content-Type"] = "text/plain", Allow = allow }, "405 method not allowed")
  end
  return run(sim, req, res)
end

return M
