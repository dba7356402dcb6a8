--- What a failed call of a model can be helped by, and what is looked at in one that was answered: for stoke.ollama, and as the
--- dialect's part of stoke.model.

local thinking = require "stoke.reading.thinking"
local window = require "stoke.ollama.window"

local M = {}

--- Of a route the place where a call has failed: the error says which (lua/driver/llm.lua).
local function place_of(target, err)
  if not target.route then return target end
  for _, one in ipairs(target.candidates) do
    if one.endpoint.name == rawget(err, "endpoint") and one.served == err.model then return one end
  end
end

--- Mend what a failed call lacked: a window that fits into memory, or one that holds the prompt; a model that is pulled, where the
--- call was told to.
---@param target stoke.target
---@param q table the request
---@param err stoke.error
---@param about? table the call
---@param round integer how often it was mended before
---@return boolean again it may be made once more
---@return stoke.error? failed in the place of the error
---Raises `cancelled`.
function M.mend(target, q, err, about, round)
  if round == 0 and window.smaller(target, err) or window.larger(target, err) then return true end
  if err.status ~= 404 then return false end
  local pulls = require "stoke.ollama.pulls"
  local place = place_of(target, err)
  if not place or round > 1 or not pulls.wanted(err, place, about) then return false end
  local failed = pulls.pull(place ~= target and { model = place.served, endpoint = place.endpoint.name } or q, place)
  if failed then return false, failed end
  return true
end

--- The text of a streamed answer without a reasoning that only a closing tag ends: its opening tag was in the prompt, so nobody
--- could know before.
---@param target stoke.target
---@param about table
---@param text string
---@param before? string the reasoning that was told as such
---@return string text
---@return string|nil thinking
function M.settled(target, about, text, before)
  local thought, rest = thinking.lone(text)
  if not thought or about.split_thinking == false or target.profile.split_thinking == false then return text, before end
  if thought == "" then return rest, before end
  return rest, before and before .. "\n" .. thought or thought
end

--- What an error says, beyond its kind: "call", and the text in which a call of a tool stands that the server could not read;
--- "think", where it knows no levels of thinking for this model.
---@param err stoke.error
---@return "call"|"think"|nil meaning
---@return string|nil text
function M.reads(err)
  if err.kind == "invalid_output" then return "call", rawget(err, "server") or err.message end
  if err.status == 400 and err.message:find("think value", 1, true) then return "think" end
end

return M
