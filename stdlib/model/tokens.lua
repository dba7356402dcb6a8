--- How many tokens a prompt has, before the server has counted it. Servers show no tokenizer, so it is worked out of bytes, at a
--- rate that each model teaches by its own counts (target.learned.rate, bytes a token).

local json = require "core.json"
local learned = require "stoke.model.learned"

local M = {}

local ceil, next, type = math.ceil, next, type

--- Of tables in tables that are looked into.
local DEPTH <const> = 64

--- Tokens of an image, as the server counts it when it cuts a history (server/prompt.go).
M.IMAGE = 768

--- Bytes a token has until the model has taught better: few, so that the guess is rather too large.
local BYTES = 3

--- Bytes that a template writes round each message.
local FRAME = 12

--- Bytes of a value as JSON, at a guess: nothing is written only to be measured.
local function written(value, depth)
  if type(value) == "string" then return #value + 2 end
  if type(value) ~= "table" or depth > DEPTH then return 4 end
  local bytes = 2
  for key, inner in next, value do
    bytes = bytes + (type(key) == "string" and #key + 4 or 1)
      + (type(inner) == "string" and #inner + 2 or written(inner, depth + 1))
  end
  return bytes
end

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
      bytes = bytes + #call.name + written(call.arguments, 0) + 24
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
---@param target stoke.target
---@param bytes integer
---@param images? integer
---@return integer
function M.estimate(target, bytes, images)
  local text = ceil(bytes / (target.learned.rate or BYTES))
  return images and images > 0 and text + images * M.IMAGE or text
end

--- The server has counted a prompt of this size.
---@param target stoke.target
---@param bytes integer
---@param images integer
---@param tokens integer
function M.learn(target, bytes, images, tokens)
  local text = tokens - images * M.IMAGE
  if bytes < 64 or text < 8 then return end
  local rate = bytes / text
  if rate < 0.5 or rate > 12 then return end -- a cut prompt, or another way to count images
  learned.rate(target, rate)
end

return M
