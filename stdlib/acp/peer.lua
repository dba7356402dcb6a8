--- The other end of a connection of an editor: JSON-RPC in both directions, over the standard streams or whatever brings messages.
--- By ACP an agent is asked by its client, and asks back: may this tool run? By LSP (stoke.lsp.server) it is asked alone.

local errors = require "core.errors"
local json = require "core.json"
local rpc = require "stoke.mcp.rpc"
local scopes = require "core.scope"
local spans = require "core.gate.span"
local tasks = require "core.task"
local time = require "stoke.time"
local traceparent = require "core.gate.traceparent"

local M = {}

--- Requests of the client at once, and of ours that wait for its answer, at most.
M.RUNNING, M.ASKED = 256, 256

---@class stoke.acp.peer
---@field send fun(message: table)
---@field handlers table<string, fun(params: table, id: any): table|nil, table|nil> a result, or nil and an error { code, message }
---@field running table<any, table> tasks of the client's requests, by their ids
---@field fresh integer those of them that have not begun
local Peer = {}
Peer.__index = Peer

--- A connection.
---@param send fun(message: table)
---@param handlers table<string, function> by methods; those of notifications get no id
---@return stoke.acp.peer
---
--- Example: `local peer = peers.new(lines.send, { ["session/new"] = function(params) return {} end })`
function M.new(send, handlers)
  return setmetatable({ send = send, handlers = handlers, running = {}, count = 0, fresh = 0, asked = {}, waiting = 0, last = 0,
  }, Peer)
end

--- Tell the client something.
---@param method string
---@param params table
function Peer:notify(method, params) self.send { jsonrpc = "2.0", method = method, params = params } end

--- Ask the client something, and wait for its answer. One that is not waited for any more is told so.
---@param method string
---@param params table
---@return table|nil result
---@return string|nil problem
---Raises `cancelled`.
---
--- Example: `local result = peer:ask("session/request_permission", params)`
function Peer:ask(method, params)
  if self.waiting >= M.ASKED then return nil, ("%d questions wait for the client"):format(M.ASKED) end
  local id = self.last + 1
  self.last, self.waiting = id, self.waiting + 1
  local entry = { task = tasks.current() }
  self.asked[id] = entry
  local _ <close> = setmetatable({}, { __close = function()
    self.asked[id], self.waiting = nil, self.waiting - 1
    if not entry.over then self:notify("$/cancel_request", { requestId = id }) end
  end })
  self.send { jsonrpc = "2.0", id = id, method = method, params = params }
  while not entry.over do tasks.park "acp.ask" end
  local message = entry.message
  if type(message.result) == "table" then return message.result end
  local err = type(message.error) == "table" and message.error or {}
  return nil, type(err.message) == "string" and err.message or method .. " was refused"
end

local function answered(self, message)
  local entry = self.asked[message.id]
  if not entry or entry.over then return end -- an answer to nothing
  entry.message, entry.over = message, true
  tasks.wake(entry.task)
end

--- The span of a request, where somebody traces: all that its handler does is inside. It belongs to the trace of the client.
local function span_of(message)
  local params = message.params or {}
  local meta = type(params._meta) == "table" and params._meta or {}
  local seen = spans.enter("acp.serve", message.method, traceparent.read(meta.traceparent, meta.tracestate))
  if seen then spans.inside(seen) end
  return seen
end

--- Do what a request asks for.
local function perform(self, message)
  local seen <close> = spans.on and span_of(message) or nil -- luacheck: ignore
  local id = message.id
  self.fresh = self.fresh - 1
  local ok, result, err = pcall(self.handlers[message.method], message.params or json.object {}, id)
  self.running[id], self.count = nil, self.count - 1
  if ok and result then
    return self.send { jsonrpc = "2.0", id = id, result = result == json.null and result or json.object(result) }
  end
  if ok then return self.send(rpc.refusal(id, err.code, err.message, err.data)) end
  local raised = errors.wrap(result)
  if raised.kind == "cancelled" then
    self.send(rpc.refusal(id, -32800, "Request cancelled"))
    error(result, 0)
  end
  if self.report and errors.bug(raised) then self.report(message.method, raised) end
  self.send(rpc.refusal(id, -32603, raised.message, { kind = raised.kind, hint = rawget(raised, "hint") }))
end

--- What is wrong with a message; nil: nothing.
local function problem(message)
  if type(message) ~= "table" or json.is_array(message) then return "a message is one object", json.null end
  local id = message.id
  local readable = (type(id) == "string" or math.type(id) == "integer") and id or json.null
  if message.jsonrpc ~= "2.0" then return 'jsonrpc must be "2.0"', readable end
  if type(message.method) ~= "string" then return "method is missing", readable end
  if id ~= nil and readable == json.null then return "id must be a text or an integer", readable end
  local params = message.params
  if params ~= nil and params ~= json.null and (type(params) ~= "table" or json.is_array(params)) then
    return "params must be an object", readable
  end
end

--- A line has come.
---@param line string
---@param scope table in which requests are worked on
function Peer:take(line, scope)
  local message, bad = json.decode(line)
  if bad then return self.send(rpc.refusal(json.null, -32700, "Parse error: " .. bad.message)) end
  if type(message) == "table" and message.method == nil and message.id ~= nil and message.jsonrpc == "2.0"
    and (message.result ~= nil or message.error ~= nil) then
    return answered(self, message)
  end
  local what, id = problem(message)
  if what then return self.send(rpc.refusal(id, -32600, what)) end
  if message.params == json.null then message.params = nil end
  local handler = self.handlers[message.method]
  if message.id == nil then
    while self.fresh > 0 do time.sleep(0) end -- a cancel may come in the same read as what it cancels, which has to begin first
    if handler then pcall(handler, message.params or {}) end
    return
  end
  if not handler then return self.send(rpc.refusal(id or message.id, -32601, "Method not found: " .. message.method)) end
  id = message.id
  if self.running[id] then return self.send(rpc.refusal(id, -32600, "a request with this id is under way")) end
  if self.count >= M.RUNNING then
    return self.send(rpc.refusal(id, -32603, ("%d requests are under way"):format(M.RUNNING)))
  end
  self.count, self.fresh, self.running[id] = self.count + 1, self.fresh + 1, true
  local task = tasks.start(scope, "acp " .. message.method, perform, self, message)
  if self.running[id] then self.running[id] = task end
end

--- Cancel a request of the client's.
---@param id any
function Peer:cancel(id)
  local task = id ~= nil and self.running[id]
  if type(task) == "table" then task:cancel "the client cancelled it" end
end

--- Serve lines until they end: `each` calls a function for each.
---@param each fun(f: fun(line: string))
---@param goodbye? fun() called when they have, before what is under way is cancelled
function Peer:serve(each, goodbye)
  local scope <close> = scopes.open {}
  scope.on_child_error = function() end
  each(function(line) self:take(line, scope) end)
  if goodbye then goodbye() end
  scope:cancel "the client has left"
end

return M
