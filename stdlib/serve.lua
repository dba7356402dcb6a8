--- stoke.serve: agents as models. Whoever talks to Ollama talks to them unchanged: Open WebUI, editors, `ollama run`.
---
---     local stoke = require "stoke"
---     local poet = stoke.agent { name = "poet", model = "qwen2.5:3b", instructions = "Answer in verse." }
---     local server <close> = stoke.serve { agents = { poet }, port = 11500 }
---     server:wait()                               -- OLLAMA_HOST=127.0.0.1:11500 ollama run poet "Hello"
---
--- Each agent is a model under its name. Requests are stateless, as the protocol is: the client sends the conversation. One that it
--- names (X-Stoke-Session and others, see the guide) is a kept session. A client that leaves ends its run, and a slow one makes it
--- wait. Tools of the client are lent to the agent: their calls go out to it.

local errors = require "core.errors"
local wire = require "stoke.ollama.server.wire"
local http = require "stoke.http"
local log = require "stoke.log"
local behind = require "stoke.serve.behind"
local guards = require "stoke.serve.guard"
local lent = require "stoke.serve.lent"
local looks = require "stoke.serve.looks"
local ollama = require "stoke.serve.ollama"
local openai = require "stoke.serve.openai"
local registry = require "stoke.serve.registry"
local sessions = require "stoke.serve.sessions"
local spans = require "core.gate.span"
local turn = require "stoke.serve.turn"

local M = {}

--- The port where none is told.
---@private
M.PORT = 11500
--- Turns at once where the options do not say.
---@private
M.TURNS = 1024

local OPTIONS = { agents = true, port = "number", address = "string", mem = "string", max_turns = "number", activity = "boolean",
  class = "string", drain = "number", max_body = "number", token = "string", token_file = "string", origins = "table",
  hosts = "table", sessions = true, models = true, max_connections = "number", header_timeout = "number", max_header = "number" }

--- The hosts of servers that live, for those who look.
---@private
M.live = setmetatable({}, { __mode = "k" })

--- Turns that clients have under way here.
---@private
---@return integer
---
--- Example: `print(serve.turns())`
function M.turns()
  local count = 0
  for host in next, M.live do count = count + host.gate.count end
  return count
end

--- Own fields of the host that handlers work with.
---@class stoke.serve.host
---@field registry stoke.serve.registry
---@field gate table
---@field lent stoke.serve.lent
---@field holes table<string, table> holes that are being filled, by model and client
---@field sessions stoke.serve.sessions
---@field looks stoke.serve.looks
---@field guard stoke.serve.guard
---@field class? string
---@field activity boolean
---@field left_out table<string, integer> agents that answered without what clients lent, and how many tools these were
---@field report fun(err: any, q: table)

-- ---- one request ----------------------------------------------------------------------------------------------------------------

local METHODS = { "HEAD", "GET", "POST", "DELETE" }

local function allowed(route)
  local list = {}
  for _, method in ipairs(METHODS) do
    if route[method] then list[#list + 1] = method end
  end
  return table.concat(list, ", ")
end

--- The span of the request, where somebody traces, is named after what is asked: there are few such paths.
local function note_route(path)
  local seen = spans.on and spans.around()
  if seen and seen.facts then seen.facts.route = path:find "^/v1/models/." and "/v1/models/{model}" or path end
end

--- What is there beside what the protocols have.
local function get_metrics(_, _, res) return require "stoke.metrics".reply(res) end
local OWN <const> = { ["/metrics"] = { GET = get_metrics, HEAD = get_metrics } }

local function handle(host, req, res)
  local path = req.path
  res = host.guard:admit(req, res, path:find "^/v1/" and openai.refuse or ollama.refuse)
  if not res then return end
  if #path > 1 and path:sub(-1) == "/" then path = path:sub(1, -2) end -- the server it stands for redirects there
  local route = ollama.ROUTES[path] or openai.ROUTES[path] or OWN[path] or path:find("^/v1/models/.") and openai.MODEL
  if not route then return res:reply(404, wire.TEXT, "404 page not found") end
  note_route(path)
  local run = route[req.method]
  if run then return run(host, req, res) end
  return res:reply(405, { ["Content-Type"] = "text/plain", Allow = allowed(route) }, "405 method not allowed")
end

-- ---- the server -----------------------------------------------------------------------------------------------------------------

--- Kinds that are the client's doing, or were told to it: nothing for the log.
local QUIET = { argument = true, overloaded = true, context_overflow = true }

local function report(err, q)
  if errors.is(err) and QUIET[err.kind] then return end
  log.error("a turn failed", { agent = q.entry.name, error = tostring(err) })
end

--- A host for a source of agents, and the options of its server.
local function host_of(options, source)
  local guard, seen = guards.new(options), looks.new()
  local known = registry.new(source)
  known.behind = behind.new(options.models, seen)
  return { registry = known, looks = seen, gate = turn.gate(math.tointeger(options.max_turns) or M.TURNS), lent = lent.new(),
    holes = {}, left_out = {}, guard = guard, sessions = sessions.new(options.sessions, guard.user),
    class = options.class or "interactive", activity = options.activity ~= false, report = report }
end

--- Check the options of a server, all but its agents.
---@private
---@param options table
---@return table options
---Raises `argument`.
---
--- Example: `local options = serve.check { port = 0 }`
function M.check(options)
  options = errors.options(options, OPTIONS, "stoke.serve")
  local most = options.max_turns
  if most and (not math.tointeger(most) or most < 1) then
    errors.argument("stoke.serve: max_turns must be a whole number of at least 1, got %s", tostring(most))
  end
  return options
end

--- Serve agents under Ollama's API. The server is a child of the current scope, as http.serve's is.
---@param options { agents?: stoke.agent|stoke.agent[]|table<string, stoke.agent>, port?: integer, address?: string }
---  agents: one, a list of agents with names, or a map of names to agents; port (11500; 0: any free one), address (127.0.0.1), or
---  mem: a name, for http://NAME.mem/ inside this process; max_turns (1024) at once, beyond which a client is told to come again
---  (503 and Retry-After); activity: false leaves out what agents do from what clients are shown as thoughts; class
---  ("interactive") of the calls of agents that have none; drain (5 seconds for turns under way when the server closes); max_body
---  (16 MB); token, or token_file, the path of a file of the owner's alone, made where it is not there: what a client must send as
---  its Bearer, needed for an address that others reach; origins: pages that may ask ("https://chat.example", "*"), none without;
---  hosts: names that this machine is asked by on loopback, beside its own; max_header (6 KB), max_connections (10000) and
---  header_timeout (60 seconds for a request to arrive), as http.serve has them; sessions: false keeps none of the conversations
---  that clients name, { most = 1000, lifetime = seconds } says how many are kept, and for how long after their last turn (30
---  days); models: true offers the models of the default endpoint and the routes of the settings beside the agents, a list of
---  names these
---@return stoke.http.server
---Raises `argument`; `os` when it cannot listen.
---
--- Example: `local server <close> = stoke.serve { agents = { poet, critic }, port = 11500 }`
function M.new(options)
  options = M.check(options)
  local given = options.agents
  if given == nil and not options.models then errors.argument "stoke.serve: agents is missing: { bot, ... }" end
  given = given or {}
  return M.open(options, function() return registry.entries("stoke.serve: agents", given) end)
end

--- Bytes of a request's head. A connection costs as much memory and a little more, as long as it is there.
local HEAD <const> = 6 * 1024

--- Names and pages are judged by our own guard, which tells why.
local EVERY = { "*" }

--- The same for a source that is asked again after a reload.
---@private
---@param options table
---@param source fun(): stoke.serve.entry[]
---@return stoke.http.server server
---@return stoke.serve.host host
---
--- Example: `local server, host = serve.open({ port = 0 }, source)`
function M.open(options, source)
  local host = host_of(options, source)
  if not host.registry.list[1] and not options.models then
    errors.raise("usage", "there is no agent to serve", { hint = "stoke.agent { name = \"poet\", ... } in the body of the file" })
  end
  local server = http.serve { port = not options.mem and (options.port or M.PORT) or nil, address = options.address,
    mem = options.mem, drain = options.drain, max_body = options.max_body, hosts = EVERY, origins = EVERY,
    max_header = options.max_header or HEAD, max_connections = options.max_connections, header_timeout = options.header_timeout,
    handler = function(req, res) return handle(host, req, res) end }
  M.live[host], host.looks.task, host.sessions.task = true, server.task, server.task
  ollama.ahead(host)
  return server, host
end

return setmetatable(M, { __call = function(_, options) return (M.new(options)) end })
