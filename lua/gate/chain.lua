--- The chain of a prompt: a hash of its beginning up to each message, so that what two prompts have in common is found by comparing
--- numbers (lua/pool/prefix.lua). Messages are known by themselves, not by their text: those of a conversation stay the same tables
--- from question to question, and a long text is not read again for this. Instructions, which are written anew each time, are known
--- by their text.

local M = {}

--- message -> number; forgotten with the message.
local numbers = setmetatable({}, { __mode = "k" })
--- text of instructions -> number; bounded.
local texts, count = {}, 0
local TEXTS <const> = 256
local last = 0

--- Bytes of a token and bytes that a template writes round a message, at a guess.
local TOKEN <const>, FRAME <const> = 4, 12
local PRIME <const> = 0x100000001b3

local function number_of(message)
  local system = message.role == "system" and message.content
  local number
  if system then number = texts[system] else number = numbers[message] end
  if number then return number end
  last = last + 1
  if not system then
    numbers[message] = last
    return last
  end
  if count >= TEXTS then texts, count = {}, 0 end
  texts[system], count = last, count + 1
  return last
end

--- The chain of a list of messages.
---@param messages table[]
---@return stoke.pool.chain chain { hash up to the 1st message, up to the 2nd ..., tokens = { tokens up to there ... } }
function M.of(messages)
  local tokens, hash, sum = {}, 0, 0
  local chain = { tokens = tokens }
  for i = 1, #messages do
    local message = messages[i]
    local content = message.content
    hash = (hash ~ number_of(message)) * PRIME
    sum = sum + ((type(content) == "string" and #content or 0) + FRAME) // TOKEN
    chain[i], tokens[i] = hash, sum
  end
  return chain
end

return M
