--- The agents of a file as an agent of ACP, the Agent Client Protocol: an editor starts the program, opens sessions, sends prompts,
--- and is told what happens. Which agent of the file answers is the mode of a session.

local about = require "core.about"
local approval = require "core.approval"
local config = require "stoke.mcp.config"
local content = require "stoke.acp.content"
local errors = require "core.errors"
local json = require "core.json"
local kept = require "stoke.sessions"
local mcp = require "stoke.mcp.client"
local peers = require "stoke.acp.peer"
local sessions = require "stoke.acp.session"
local tasks = require "core.task"
local time = require "stoke.time"
local wire = require "stoke.ollama.server.wire"

local M = {}

--- The version of the protocol, sessions that are open at once, and sessions on a page of the list.
M.VERSION, M.OPEN, M.PAGE = 1, 1000, 50
--- Seconds that a question of a turn waits for its call to be told first.
M.SETTLE = 1

---@class stoke.acp.server
---@field registry stoke.serve.registry the agents
---@field peer stoke.acp.peer
---@field sessions table<string, stoke.acp.conversation>
local Server = {}
Server.__index = Server

local function refuse(code, message, data) return nil, { code = code, message = message, data = data } end

-- ---- sessions -------------------------------------------------------------------------------------------------------------------

--- The agents as modes, where there is a choice.
local function modes(self, session)
  local list = {}
  for i, entry in ipairs(self.registry.list) do
    list[i] = { id = entry.name, name = entry.name, description = entry.handle.definition.description }
  end
  if #list < 2 then return nil end
  return { currentModeId = session.mode, availableModes = json.array(list) }
end

--- Names with values, as ACP has them.
local function map(list)
  local out = {}
  for _, one in ipairs(type(list) == "table" and list or {}) do
    if type(one) == "table" and type(one.name) == "string" and type(one.value) == "string" then out[one.name] = one.value end
  end
  return out
end

--- The servers of MCP that a client brings.
local function servers(given)
  local out = {}
  for i, one in ipairs(type(given) == "table" and given or {}) do
    if type(one) ~= "table" or type(one.name) ~= "string" then
      return nil, ("mcpServers[%d] must be { name, command, args, env } or { type: http, name, url, headers }"):format(i - 1)
    elseif one.type == "sse" then
      return nil, ("mcpServers[%d]: the transport sse is not spoken"):format(i - 1)
    end
    local spec = one.type == "http" and { name = one.name, url = one.url, headers = map(one.headers) }
      or { name = one.name, command = one.command, args = one.args, env = map(one.env) }
    local ok, checked = pcall(config.check, spec, ("mcpServers[%d]"):format(i - 1))
    if not ok then return nil, errors.wrap(checked).message end
    out[i] = mcp.new(checked)
  end
  return out
end

local function folder(params)
  if type(params.cwd) ~= "string" or params.cwd:sub(1, 1) ~= "/" then return nil, "cwd must be an absolute path" end
  return params.cwd
end

--- Open a session, of an id or a new one.
local function open(self, params, fields)
  if self.count >= M.OPEN then return refuse(-32603, ("%d sessions are open; session/close ends one"):format(M.OPEN)) end
  local cwd, wrong = folder(params)
  local clients
  if cwd then clients, wrong = servers(params.mcpServers) end
  if wrong then return refuse(-32602, wrong) end
  fields.cwd, fields.servers = cwd, clients
  local session = sessions.new(self.peer, fields)
  session.mode = fields.mode
  self.sessions[session.id], self.count = session, self.count + 1
  return session
end

--- End a session of this process. What was said stays.
local function close(self, session)
  if self.sessions[session.id] ~= session then return end
  session:cancel()
  for _, client in ipairs(session.servers) do client:close() end
  self.sessions[session.id], self.count = nil, self.count - 1
end

local function session_of(self, params)
  local session = self.sessions[params.sessionId or ""]
  if session then return session end
  local id = params.sessionId
  return refuse(-32002, type(id) == "string" and ("no session %q is open"):format(id) or "sessionId is missing")
end

--- A session of an earlier process: of the agent that it was begun with.
local function reopen(self, params)
  local id = params.sessionId
  if type(id) ~= "string" or not sessions.folder(id) then
    return refuse(-32002, ("there is no session %s"):format(errors.named(id)))
  end
  if self.sessions[id] then close(self, self.sessions[id]) end
  local ok, shown = pcall(kept.list, { prefix = id, limit = 1 })
  local record = ok and shown[1] and shown[1].id == id and shown[1] or nil
  if not record then return refuse(-32002, ("there is no session %q"):format(id)) end
  for _, entry in ipairs(self.registry.list) do
    if entry.handle.name == record.agent then
      local session, err = open(self, params, { id = id, handle = entry.handle, mode = entry.name })
      if session and record.present then session:clear(record.present) end
      return session, err
    end
  end
  return refuse(-32002, ("the session %q is with the agent %s, which is not in this file"):format(id, record.agent))
end

-- ---- methods --------------------------------------------------------------------------------------------------------------------

local METHODS = {}

function METHODS.initialize(self, params)
  if math.type(params.protocolVersion) ~= "integer" then return refuse(-32602, "protocolVersion must be an integer") end
  self.client = params
  return { protocolVersion = M.VERSION, authMethods = json.array {},
    agentInfo = { name = self.name, title = self.name, version = about.version },
    agentCapabilities = { loadSession = true, mcpCapabilities = { http = true, sse = false },
      promptCapabilities = { image = true, audio = false, embeddedContext = true },
      sessionCapabilities = { list = json.object {}, delete = json.object {}, resume = json.object {}, close = json.object {} } } }
end

METHODS["session/new"] = function(self, params)
  local entry = self.registry.list[1]
  for _, one in ipairs(self.registry.list) do
    if one.name == self.default then entry = one end
  end
  local session, err = open(self, params, { handle = entry.handle, mode = entry.name })
  if not session then return nil, err end
  return { sessionId = session.id, modes = modes(self, session) }
end

METHODS["session/load"] = function(self, params)
  local session, err = reopen(self, params)
  if not session then return nil, err end
  session:replay()
  return { modes = modes(self, session) }
end

METHODS["session/resume"] = function(self, params)
  local session, err = reopen(self, params)
  if not session then return nil, err end
  return { modes = modes(self, session) }
end

METHODS["session/close"] = function(self, params)
  local session, err = session_of(self, params)
  if not session then return nil, err end
  close(self, session)
  return {}
end

METHODS["session/delete"] = function(self, params)
  local id = params.sessionId
  if type(id) ~= "string" or not sessions.folder(id) then
    return refuse(-32002, ("there is no session %s"):format(errors.named(id)))
  end
  if self.sessions[id] then close(self, self.sessions[id]) end
  local ok, err = pcall(kept.delete, id)
  if ok or errors.is(err) and err.kind == "usage" then return {} end -- one without a turn was not kept
  error(err, 0)
end

METHODS["session/list"] = function(_, params)
  local skip = 0
  if params.cursor ~= nil and params.cursor ~= json.null then
    skip = math.tointeger(tonumber(params.cursor))
    if not skip or skip < 0 then return refuse(-32602, "no such cursor") end
  end
  local ok, records = pcall(kept.list, { prefix = sessions.PREFIX })
  if not ok then
    if errors.is(records) and records.kind == "usage" then return { sessions = json.array {} } end -- there is no store yet
    error(records, 0)
  end
  local out, seen = {}, 0
  for _, record in ipairs(records) do
    local cwd = sessions.folder(record.id)
    if cwd and (type(params.cwd) ~= "string" or params.cwd == cwd) then
      seen = seen + 1
      if seen > skip and #out < M.PAGE then
        out[#out + 1] = { sessionId = record.id, cwd = cwd, title = sessions.title(record.id),
          updatedAt = wire.time(record.changed // 1) }
      end
    end
  end
  return { sessions = json.array(out), nextCursor = seen > skip + #out and tostring(skip + #out) or nil }
end

METHODS["session/set_mode"] = function(self, params)
  local session, err = session_of(self, params)
  if not session then return nil, err end
  local entry = type(params.modeId) == "string" and self.registry:find(params.modeId)
  if not entry then return refuse(-32602, ("no agent is named %s"):format(errors.describe(params.modeId))) end
  if entry.handle.name ~= session.handle.name and (session.task or session:begun()) then
    return refuse(-32602, "a session stays with the agent that it was begun with; a new one may be with another")
  end
  session.handle, session.mode = entry.handle, entry.name
  return {}
end

METHODS["session/prompt"] = function(self, params, id)
  local session, err = session_of(self, params)
  if not session then return nil, err end
  local input, wrong = content.input(params.prompt)
  if not input then return refuse(-32602, wrong) end
  session.request = id
  return session:prompt(input)
end

METHODS["session/cancel"] = function(self, params)
  local session = self.sessions[params.sessionId or ""]
  if session then session:cancel() end
end

METHODS["$/cancel_request"] = function(self, params)
  for _, session in next, self.sessions do
    if session.task and session.request == params.requestId then return session:cancel() end
  end
  self.peer:cancel(params.requestId)
end

-- ---- questions of turns ------------------------------------------------------------------------------------------------------

--- The session whose turn waits; nil: none of ours.
local function asking(self, entry)
  local only, count = nil, 0
  for _, session in next, self.sessions do
    if session.task then
      if entry.run and session:turn_is(entry.run) then return session end
      only, count = session, count + 1
    end
  end
  return count == 1 and only or nil
end

--- Ask the client about what waits for a person. The call is told before it is asked about.
local function put(self, entry)
  local session = asking(self, entry)
  if not session then return end
  local last = time.monotonic() + M.SETTLE
  while entry.call and not session.calls[entry.call] and not entry.decision and time.monotonic() < last do
    time.sleep(0.005)
  end
  if not entry.decision then session:permit(entry) end
end

--- Requests that start to wait come here, in the task of whoever waits.
local function listen(self)
  self.news = {}
  self.watcher = tasks.spawn(function()
    while true do
      local news = self.news
      self.news = {}
      for _, entry in ipairs(news) do
        local asked = tasks.spawn(put, { system = true, name = "acp permission" }, self, entry)
        function asked.on_error() end
      end
      if not self.news[1] then tasks.park "acp.listen" end
    end
  end, { system = true, name = "acp" })
  approval.told = function(entry)
    self.news[#self.news + 1] = entry
    tasks.wake(self.watcher)
  end
end

--- The client has left: its turns are taken back, as nobody is there to read them.
local function leave(self)
  local busy = {}
  for _, session in ipairs(self:opened()) do
    if session.task then busy[#busy + 1] = session end
    session:cancel()
  end
  local last = time.monotonic() + sessions.END
  for _, session in ipairs(busy) do
    while session.task and time.monotonic() < last do time.sleep(0.01) end
  end
end

--- A server of agents.
---@param registry stoke.serve.registry
---@param fields { name: string, default?: string, send: fun(message: table),
---  report?: fun(method: string, err: stoke.error) } default: the agent of a new session, the first one
---@return stoke.acp.server
---
--- Example: `local server = servers.new(registry.new(source), { name = "town", send = lines.send })`
function M.new(registry, fields)
  local self = setmetatable({ registry = registry, name = fields.name, default = fields.default, sessions = {}, count = 0 }, Server)
  local handlers = {}
  for name, f in next, METHODS do
    handlers[name] = function(params, id) return f(self, params, id) end
  end
  self.peer = peers.new(fields.send, handlers)
  self.peer.report = fields.report
  return self
end

--- Serve lines until they end.
---@param each fun(f: fun(line: string))
---
--- Example: `server:serve(lines.each)`
function Server:serve(each)
  listen(self)
  local _ <close> = setmetatable({}, { __close = function()
    approval.told = nil
    self.watcher:cancel "the client has left"
    for _, session in ipairs(self:opened()) do close(self, session) end
  end })
  self.peer:serve(each, function() leave(self) end)
end

--- The sessions that are open, as a list.
function Server:opened()
  local out = {}
  for _, session in next, self.sessions do out[#out + 1] = session end
  return out
end

return M
