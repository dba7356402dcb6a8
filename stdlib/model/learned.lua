--- What the answers of models have taught, by target (lua/endpoint.lua): { rate = bytes a token, window = tokens | false where the
--- server does not tell, and what a dialect keeps beside them }. It is plain data.
---
--- The process's own knowledge grows with every call. An agent run must not ask otherwise because another run came before it: it
--- begins with a copy of what is known then, which is on the tape, and from there on learns from its own answers alone.
---
--- The rate tells how many tokens a prompt has before the server has counted it: servers show no tokenizer, so it is worked out of
--- bytes.

local effect = require "core.effect"
local json = require "core.json"
local current = require "core.task".current

local M = {}

local ceil, next, type = math.ceil, next, type

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for name, inner in next, value do out[name] = copy(inner) end
  return out
end

--- What is known, as the running task may know it: where a tape is in force, the outcome is on it. A table of its own.
local function recorded(target, known)
  local task = current()
  if not task or not (task.scope or task).context.gated then return known end
  return copy(effect.perform("llm.learned", { protocol = target.dialect.name, path = "learned", model = target.name,
    body = { model = target.name } }, known) or known)
end

--- The window that the server told before, for a call of its own or a run's.
---@param target stoke.target
---@return integer|false|nil tokens false where it does not tell
---
--- Example: `local tokens = learned.window(target)`
function M.window(target)
  if target.shared then return target.learned.window end -- the run began with a record of it
  return recorded(target, { window = target.learned.window }).window
end

--- target -> what makes another table say the same as it.
local same_as = setmetatable({}, { __mode = "k", __index = function(list, target)
  local meta = { __index = target }
  list[target] = meta
  return meta
end })

--- A target for one agent run: what others learn meanwhile does not change what it knows.
---@param target stoke.target
---@param apart? boolean it teaches nobody: only for a look
---@return stoke.target
---
--- Example: `local own = learned.begin(target)`
function M.begin(target, apart)
  local known = { rate = nil, window = nil } -- in the size that most have in the end
  for name, value in next, target.learned do known[name] = type(value) == "table" and copy(value) or value end
  if not apart then known = recorded(target, known) end
  local own = { learned = known, shared = not apart and (target.shared or target.learned) or nil, fitted = true, candidates = nil }
  if target.route then
    own.candidates = { route = target.route.name, table.unpack(target.candidates) }
  else
    own.candidates = { own }
  end
  return setmetatable(own, same_as[target])
end

--- Note a fact, for the run and for those that begin later.
---@param target stoke.target
---@param name string
---@param value any plain data
---
--- Example: `learned.note(target, "window", 8192)`
function M.note(target, name, value)
  target.learned[name] = value
  if target.shared then target.shared[name] = value end
end

-- ---- tokens -----------------------------------------------------------------------------------------------------------------

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

local function blend(facts, rate)
  local known = facts.rate
  facts.rate = not known and rate or rate < known and rate or known * 0.9 + rate * 0.1 -- denser text counts at once
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
  blend(target.learned, rate)
  if target.shared then blend(target.shared, rate) end
end

return M
