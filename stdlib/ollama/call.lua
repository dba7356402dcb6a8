--- One call of the model through the door, its reply checked for a prompt that was cut. For stoke.ollama, which checks what it is
--- given first, and for those that have checked theirs once and ask many times (stoke.agent).

local effect = require "core.effect"
local protocol = require "stoke.ollama.protocol"
local thinking = require "stoke.reading.thinking"
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
  if about.split_thinking ~= nil then q.split_thinking = about.split_thinking end
  return q
end

--- What a reader of calls wants to get and the server is not told: kept off the request, which recordings are found by.
local ANY = { __index = { any_arguments = true } }

--- Arguments of tool calls that are no object come as the model wrote them.
---@param q table
---@return table q
function M.any_arguments(q) return setmetatable(q, ANY) end

--- Perform an effect; a model that is missing is pulled first where the call was told to, and the call made again.
---@param name string
---@param q table of shape
---@param about? table the call
---@return any value
---@return stoke.error? err
---Raises `cancelled`.
function M.perform(name, q, about)
  local value, err = effect.perform(name, q)
  if err and window.smaller(q, err) then value, err = effect.perform(name, q) end
  if err and err.status == 404 then
    local pulls = require "stoke.ollama.pulls"
    if pulls.wanted(err, q, about) then
      local failed = pulls.pull(q)
      if failed then return nil, failed end
      return effect.perform(name, q)
    end
  end
  return value, err
end

--- The text of a streamed answer without a reasoning that only a closing tag ends: its opening tag was in the prompt, so nobody
--- could know before.
---@param about stoke.ollama.call
---@param text string
---@param before? string the reasoning that was told as such
---@return string text
---@return string|nil thinking
function M.without_thinking(about, text, before)
  local thought, rest = thinking.lone(text)
  if not thought or about.split_thinking == false or protocol.profile(about.model).split_thinking == false then
    return text, before
  end
  if thought == "" then return rest, before end
  return rest, before and before .. "\n" .. thought or thought
end

--- Make a call.
---@param q table of shape
---@param about? table the call
---@return table|nil reply
---@return stoke.error? err
---Raises `cancelled`.
function M.try(q, about)
  local reply, err = M.perform("llm.chat", q, about)
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
---@param options? table sampling, in the place of the call's own
---@return table|nil reply
---@return stoke.error? err
---Raises `cancelled`.
function M.chat(about, messages, tools, format, options)
  local body = protocol.body(about, protocol.endpoint(about.endpoint), false, options)
  body.messages, body.tools, body.format = messages, tools, format
  return M.try(M.any_arguments(M.shape("chat", about, body)), about)
end

return M
