-- A client of ACP for tests: it speaks the real lines to a server of ours in this process.
--
--     local editor <close> = acp_client { agents = { bot } }
--     local id = editor:open()
--     local answer = editor:ask("session/prompt", { sessionId = id, prompt = { { type = "text", text = "Hi" } } })
--     editor.updates                        each { sessionUpdate = ... }
--     editor.permit = function(params) return "allow" end       the option that a person takes; nil: the turn was cancelled

local channel = require "stoke".channel
local json = require "stoke.json"
local registry = require "stoke.serve.registry"
local servers = require "stoke.acp.server"
local stoke = require "stoke"

local Editor = {}
Editor.__index = Editor

function Editor:write(message)
  if type(message) == "table" then
    message.jsonrpc = "2.0"
    message = json.encode(message)
  end
  self.lines:send(message)
end

--- Send a request without waiting; its id.
function Editor:begin(method, params)
  self.last = self.last + 1
  self:write { id = self.last, method = method, params = json.object(params or {}) }
  return self.last
end

--- Wait for the answer to a request.
function Editor:answer(id)
  for _ = 1, 10000 do
    local answer = self.answers[id]
    if answer then return answer end
    stoke.sleep(0.005)
  end
  error("no answer to request " .. id)
end

function Editor:ask(method, params) return self:answer(self:begin(method, params)) end

function Editor:open(params)
  params = params or {}
  params.cwd, params.mcpServers = params.cwd or "/work", params.mcpServers or json.array {}
  local answer = self:ask("session/new", params)
  return answer.result and answer.result.sessionId, answer
end

function Editor:prompt(id, text)
  return self:ask("session/prompt", { sessionId = id, prompt = json.array { { type = "text", text = text } } })
end

--- What was told of a kind, joined.
function Editor:said(kind)
  local out = {}
  for _, update in ipairs(self.updates) do
    if update.sessionUpdate == kind then out[#out + 1] = update.content.text end
  end
  return table.concat(out)
end

--- Updates of a kind.
function Editor:of(kind)
  local out = {}
  for _, update in ipairs(self.updates) do
    if update.sessionUpdate == kind then out[#out + 1] = update end
  end
  return out
end

local function receive(self, message)
  message = json.decode((json.encode(message))) -- as it goes over the wire
  self.all[#self.all + 1] = message
  if message.method == "session/update" then
    message.params.update.session = message.params.sessionId
    self.updates[#self.updates + 1] = message.params.update
  elseif message.method == "session/request_permission" then
    self.asked[#self.asked + 1] = message.params
    self.questions:send(message)
  elseif message.method then
    self.told[#self.told + 1] = message
  elseif message.id and not message.method then
    self.answers[message.id] = message
  end
end

--- The person in front of it: one question after the other.
local function decide(self)
  for message in function() return (self.questions:recv()) end do
    local option = self.permit and self.permit(message.params)
    self:write { id = message.id, result = { outcome = option and { outcome = "selected", optionId = option }
      or { outcome = "cancelled" } } }
  end
end

function Editor:__close()
  self.questions:close()
  self.person:await()
  self.lines:close()
  self.task:await()
end

return function(options)
  local self = setmetatable({ lines = channel(1000), questions = channel(1000), told = {}, answers = {}, updates = {}, asked = {},
    all = {}, last = 0 }, Editor)
  local known = registry.new(function() return registry.entries("test", options.agents) end)
  self.server = servers.new(known, { name = "test", default = options.default,
    send = function(message) receive(self, message) end })
  self.task = stoke.spawn(function()
    self.server:serve(function(f)
      for line in function() return (self.lines:recv()) end do f(line) end
    end)
  end)
  self.person = stoke.spawn(decide, self)
  self.hello = self:ask("initialize", { protocolVersion = 1, clientCapabilities = json.object {} })
  return self
end
