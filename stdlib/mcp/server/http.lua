--- An MCP server at an address: streamable HTTP, without sessions in both eras. Each message is a request of its own; an answer is
--- JSON, or a stream of events once there is progress to tell.

local errors = require "core.errors"
local hash = require "core.hash"
local headers = require "stoke.mcp.headers"
local http = require "stoke.http"
local is_loopback = require "stoke.http.request".is_loopback
local json = require "core.json"
local rpc = require "stoke.mcp.rpc"
local server = require "stoke.mcp.server"
local tasks = require "core.task"

local M = {}

--- Where it is, and bytes of a request, at most.
M.PATH, M.BODY = "/mcp", 16 << 20

local JSON <const> = { ["Content-Type"] = "application/json" }
local EVENTS <const> = { ["Content-Type"] = "text/event-stream", ["Cache-Control"] = "no-cache", ["X-Accel-Buffering"] = "no" }
-- What an error of a request is as a status; all others are answers like any.
local STATUS <const> = { [-32601] = 404, [-32020] = 400, [-32021] = 400, [-32022] = 400, [-32700] = 400, [-32600] = 400 }

local function reply(res, status, message) return res:reply(status, JSON, (json.encode(message))) end

--- Compared by digests: how long that takes says nothing of the token.
local function knows(req, token)
  local given = (req.headers.authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(.-) *$"
  return given ~= nil and hash.sha256(given) == hash.sha256(token)
end

--- Headers that must say what the message says.
local function mismatch(self, req, message)
  local params, given = message.params or {}, setmetatable({}, { __index = function(_, name)
    local value = req.headers[name]
    return value and value:match "^%s*(.-)%s*$"
  end })
  if given["mcp-protocol-version"] ~= (server.version(message)) then return "MCP-Protocol-Version" end
  if given["mcp-method"] ~= message.method then return "Mcp-Method" end
  local name = headers.name(message.method, params)
  if name and (not given["mcp-name"] or headers.decode(given["mcp-name"]) ~= name) then return "Mcp-Name" end
  local one = message.method == "tools/call" and self.server.entries.tools[params.name]
  if not one then return nil end
  one.mirrored = one.mirrored or headers.mirrored(one.tool.params:json_schema()) or {}
  for _, wanted in ipairs(one.mirrored) do
    local header = "Mcp-Param-" .. wanted.header
    local arguments = type(params.arguments) == "table" and params.arguments or {}
    local got, value = given[header:lower()], headers.value(arguments, wanted.path)
    if got then got = headers.decode(got) end
    if got ~= value and not (tonumber(got) and tonumber(got) == tonumber(value)) then return header end
  end
end

local function park() tasks.park "mcp.listen" end

local function answer(self, req, res, message)
  if server.version(message) then
    local header = mismatch(self, req, message)
    if header then
      local words = ("Header mismatch: %s does not say what the body says"):format(header)
      return reply(res, 400, rpc.refusal(message.id, -32020, words))
    end
  end
  local function emit(note)
    if not res.started then res:start(200, EVENTS) end
    res:write("data: " .. json.encode(note) .. "\n\n")
  end
  local ok, out = pcall(self.server.answer, self.server, message, emit, park)
  if not ok then
    if errors.is(out) and out.kind == "cancelled" then error(out, 0) end
    out = rpc.refusal(message.id, -32603, errors.wrap(out).message)
  end
  local text, bad = json.encode(out)
  if bad then text = json.encode(rpc.refusal(message.id, -32603, "the answer is no JSON: " .. bad.message)) end
  if res.started then return res:write("data: " .. text .. "\n\n") end
  local code = out.error and out.error.code
  local malformed = code == -32602 and message.method ~= "tools/call"
  local modern = server.version(message) or server.MODERN_ONLY[message.method]
  return res:reply(modern and (malformed and 400 or STATUS[code]) or 200, JSON, text)
end

--- What clients of the versions with a handshake hear of changes: a stream of its own.
local function announce(self, req, res)
  if not (req.headers.accept or ""):find("text/event-stream", 1, true) then return res:reply(406) end
  res:start(200, EVENTS)
  res:write ": changes\n\n"
  server.announce(self.server, function(note) res:write("data: " .. json.encode(note) .. "\n\n") end, park)
end

local function handle(self, req, res)
  if self.token and not knows(req, self.token) then
    return res:reply(401, { ["WWW-Authenticate"] = "Bearer" }, "a token is wanted: Authorization: Bearer TOKEN\n")
  end
  local origin = req.headers.origin
  if self.foreign and origin and not self.foreign[origin:lower()] then return res:reply(403) end
  if req.path ~= M.PATH then return res:reply(404, nil, ("the server is at %s\n"):format(M.PATH)) end
  if req.method == "GET" and self.server.source then return announce(self, req, res) end
  if req.method ~= "POST" then return res:reply(405, { Allow = self.server.source and "GET, POST" or "POST" }) end
  local message, bad = json.decode(req.body or "")
  if bad then return reply(res, 400, rpc.refusal(json.null, -32700, "Parse error: " .. bad.message)) end
  local problem, id = server.problem(message)
  if problem then return reply(res, 400, rpc.refusal(id, -32600, problem)) end
  if message.id == nil then return res:reply(202) end
  return answer(self, req, res, message)
end

--- Serve.
---@param made stoke.mcp.server
---@param options { port?: integer, address?: string, mem?: string, token?: string, hosts?: string[], origins?: string[] } beyond
---  loopback a token is wanted
---@return stoke.http.server
---Raises `argument`, `os`.
function M.serve(made, options)
  local address = options.address or "127.0.0.1"
  local loopback = options.mem or is_loopback(address)
  if not loopback and not options.token then
    errors.raise("usage", ("%s is no address of this machine alone: anybody could call the tools"):format(address),
      { hint = "--token FILE names a file with a token that clients must send" })
  end
  local foreign
  for _, origin in ipairs(not loopback and (options.origins or {}) or {}) do
    foreign = foreign or {}
    foreign[origin:lower()] = true
  end
  local self = { server = made, token = options.token, foreign = not loopback and (foreign or {}) or nil }
  return http.serve { port = not options.mem and (options.port or 0) or nil, address = options.address, mem = options.mem,
    hosts = options.hosts, origins = options.origins, max_body = M.BODY,
    handler = function(req, res) return handle(self, req, res) end }
end

return M
