--- What a server does not take: said once for each endpoint and word, and learned, so that it is not sent again.

local learned = require "stoke.model.learned"
local log = require "stoke.log"

local M = {}

local said = {}

--- Say something once.
---@param target stoke.target
---@param what string what it is about
---@param text string
function M.once(target, what, text)
  local key = target.endpoint.meant .. "\n" .. (target.served or "") .. "\n" .. what
  if said[key] then return end
  said[key] = true
  log.warn(text, { endpoint = target.endpoint.name, model = target.served })
end

--- What was learned of a model's wire: { schema = "json_schema"|"json_object"|"none", most = field that bounds an answer, refused
--- = { [field] = true }, usage = false where streams bring none, reasoning = field of the thinking, and what a probe has seen }.
---@param target stoke.target
---@return table
function M.learned(target) return target.learned.openai or {} end

--- Learn something of it.
---@param target stoke.target
---@param name string
---@param value any plain data
function M.learn(target, name, value)
  local facts = {}
  for key, known in next, M.learned(target) do facts[key] = known end
  facts[name] = value
  learned.note(target, "openai", facts)
end

--- Learn that a field is refused.
---@param target stoke.target
---@param field string
---@return boolean new
function M.refuse(target, field)
  local refused = {}
  for key in next, M.learned(target).refused or {} do refused[key] = true end
  if refused[field] then return false end
  refused[field] = true
  M.learn(target, "refused", refused)
  return true
end

--- Say everything anew: for tests.
function M.forget() said = {} end

return M
