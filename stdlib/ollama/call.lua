--- One call of the model through the door, its reply checked for a prompt that was cut. For stoke.ollama, which checks what it is
--- given first, and for those that have checked theirs once and ask many times (stoke.agent).

local effect = require "core.effect"
local protocol = require "stoke.ollama.protocol"
local window = require "stoke.ollama.window"

local M = {}

local PATHS = { chat = "/api/chat", generate = "/api/generate" }

--- What goes through the door: pure data, nothing of this process in it.
---@param way "chat"|"generate"
---@param about table { model, endpoint?, timeouts? }
---@param body table
---@return table q
function M.shape(way, about, body)
  local q = { protocol = "ollama", path = PATHS[way], model = about.model, body = body }
  if about.endpoint or about.timeouts then q.endpoint, q.timeouts = about.endpoint, about.timeouts end
  return q
end

--- Make a call.
---@param q table of shape
---@return table|nil reply
---@return stoke.error? err
---Raises `cancelled`.
function M.try(q)
  local reply, err = effect.perform("llm.chat", q)
  if err then return nil, window.complete(err, q) end
  err = window.cut(q, reply)
  if err then return nil, err end
  return reply
end

--- A chat of which everything has been checked; images are base64.
---@param about stoke.ollama.call
---@param messages table[]
---@param tools? table[]
---@param format? table
---@return table|nil reply
---@return stoke.error? err
---Raises `cancelled`.
function M.chat(about, messages, tools, format)
  local body = protocol.body(about, protocol.endpoint(about.endpoint), false)
  body.messages, body.tools, body.format = messages, tools, format
  return M.try(M.shape("chat", about, body))
end

return M
