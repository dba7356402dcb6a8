--- An MCP server over the standard streams of this process. Its standard output carries messages alone: what scripts print goes to
--- standard error, and what they read is empty.

local combine = require "core.combine"
local errors = require "core.errors"
local json = require "core.json"
local lines = require "stoke.mcp.lines"
local rpc = require "stoke.mcp.rpc"
local scopes = require "core.scope"
local tasks = require "core.task"
local server = require "stoke.mcp.server"
local time = require "stoke.time"

local M = {}

--- Requests at once, and seconds that calls may go on when the input has ended.
M.RUNNING, M.GRACE = 256, 5

local send = lines.send

--- Wait as one who ends with the client alone.
local function waiter(running)
  return function()
    running.idle = running.idle + 1
    local _ <close> = setmetatable({}, { __close = function() running.idle = running.idle - 1 end })
    tasks.park "mcp.listen"
  end
end

local function answer(self, message, running)
  local wait = waiter(running)
  local ok, out = pcall(self.server.answer, self.server, message, send, wait)
  running[message.id], running.count = nil, running.count - 1
  if ok then return send(out) end
  if errors.is(out) and out.kind == "cancelled" then error(out, 0) end -- who cancels waits for no answer
  send(rpc.refusal(message.id, -32603, errors.wrap(out).message))
end

local function take(self, line, scope, running)
  local message, bad = json.decode(line)
  if bad then return send(rpc.refusal(json.null, -32700, "Parse error: " .. bad.message)) end
  local problem, id = server.problem(message)
  if problem then
    if type(message) == "table" and (message.result ~= nil or message.error ~= nil) then return end -- we ask nothing
    return send(rpc.refusal(id, -32600, problem))
  end
  id = message.id
  if id == nil then
    local params = message.params or {}
    local task = message.method == "notifications/cancelled" and params.requestId ~= nil and running[params.requestId]
    if type(task) == "table" then task:cancel "the client cancelled it" end
    if message.method == "notifications/initialized" and self.server.source and not self.announcing then
      self.announcing = true
      running.count = running.count + 1
      tasks.start(scope, "mcp changes", server.announce, self.server, send, waiter(running))
    end
    return
  end
  if running[id] then return send(rpc.refusal(id, -32600, "a request with this id is under way")) end
  if running.count >= M.RUNNING then return send(rpc.refusal(id, -32603, ("%d requests are under way"):format(M.RUNNING))) end
  running.count = running.count + 1
  running[id] = true
  local task = tasks.start(scope, "mcp request", answer, self, message, running)
  if running[id] then running[id] = task end
end

--- Serve until the input ends.
---@param made stoke.mcp.server
function M.serve(made)
  local running = { count = 0, idle = 0 } -- idle: those that end with the client alone
  local scope <close> = scopes.open {}
  scope.on_child_error = function() end
  local self = { server = made }
  lines.each(function(line) take(self, line, scope, running) end)
  pcall(combine.timeout, M.GRACE, function()
    while running.count > running.idle do time.sleep(0.02) end
  end)
  scope:cancel "the client has left"
end

return M
