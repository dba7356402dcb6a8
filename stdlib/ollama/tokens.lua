--- How many tokens a prompt has, before the server has counted it. The API has no tokenizer, so it is worked out of bytes, at a
--- rate that each model teaches by its own counts (prompt_eval_count).

local json = require "core.json"
local canonical = require "stoke.ollama.options".canonical

local M = {}

local ceil = math.ceil

--- Tokens of an image, as the server counts it when it cuts a history (server/prompt.go).
M.IMAGE = 768

--- Bytes a token has until the model has taught better: few, so that the guess is rather too large.
local BYTES = 3

--- Bytes that a template writes round each message.
local FRAME = 12

--- model -> bytes a token
local rates = {}

--- Forget what the models taught.
function M.forget() rates = {} end

--- The size of a message: bytes of text, and images.
---@param message table
---@return integer bytes
---@return integer images
function M.size(message)
  local thinking, name, calls = message.thinking, message.tool_name, message.tool_calls
  local bytes = #(message.content or "") + FRAME
  if thinking then bytes = bytes + #thinking end
  if name then bytes = bytes + #name end
  if calls then
    for i = 1, #calls do
      local call = calls[i]["function"]
      bytes = bytes + #call.name + #(json.encode(call.arguments) or "") + 24
    end
  end
  return bytes, message.images and #message.images or 0
end

--- The size of what a request's body asks.
---@param body table
---@return integer bytes
---@return integer images
function M.body_size(body)
  local bytes, images = 0, 0
  if body.messages then
    for _, message in ipairs(body.messages) do
      local more, pictures = M.size(message)
      bytes, images = bytes + more, images + pictures
    end
    if body.tools then bytes = bytes + #(json.encode(body.tools) or "") + FRAME end
  elseif type(body.input) == "table" then
    for _, text in ipairs(body.input) do bytes = bytes + #text end
  else
    bytes = #(body.input or body.prompt or "") + #(body.system or "") + #(body.suffix or "") + FRAME
    images = body.images and #body.images or 0
  end
  return bytes, images
end

--- A guess at the tokens of so many bytes and images, rather too large than too small.
---@param model string
---@param bytes integer
---@param images? integer
---@return integer
function M.estimate(model, bytes, images)
  local text = ceil(bytes / (rates[canonical(model)] or BYTES))
  return images and images > 0 and text + images * M.IMAGE or text
end

--- The server has counted a prompt of this size.
---@param model string
---@param bytes integer
---@param images integer
---@param tokens integer
function M.learn(model, bytes, images, tokens)
  local text = tokens - images * M.IMAGE
  if bytes < 64 or text < 8 then return end
  local key, rate = canonical(model), bytes / text
  if rate < 0.5 or rate > 12 then return end -- a cut prompt, or another way to count images
  local known = rates[key]
  rates[key] = not known and rate or rate < known and rate or known * 0.9 + rate * 0.1 -- denser text counts at once
end

--- Answers are bound to this many tokens where a budget of tokens holds and the call does not say.
M.ANSWER = 2048
--- An answer of fewer tokens is not worth a call.
local LEAST = 16

--- Set tokens of a budget aside for a call: its prompt, and its answer, which is cut down to what is free. That is no part of what
--- was asked: it goes beside the request (call.amend), so that a recording finds the same request under another budget.
---@param q table the request
---@param room number tokens that are free
---@param call table
---@return integer|nil tokens
---@return integer? least
function M.reserve(q, room, call)
  local body = q.body
  local input = M.estimate(q.model, M.body_size(body))
  call.asked = input
  if q.path == "/api/embed" then return input <= room and input or nil, input end
  local wanted = body.options and body.options.num_predict
  if not wanted or wanted < 0 then wanted = M.ANSWER end
  local output = math.min(wanted, math.floor(room) - input)
  if output < math.min(LEAST, wanted) then return nil, input + math.min(LEAST, wanted) end
  call.amend = { num_predict = output }
  return input + output
end

return M
