--- What makes vectors of the texts of a memory, or of notes: a model, through the embedding cache, or a function.

local call = require "stoke.model.call"
local errors = require "core.errors"

local M = {}

--- Texts that are asked for at once.
local AT_ONCE <const> = 256

local FIELDS = { model = "string", endpoint = "string", route = true, dimensions = "number", timeouts = "table" }

local function check(where, list, count)
  if type(list) ~= "table" or #list ~= count then
    errors.argument("%s: embed must return a vector for each of %d texts, got %s", where, count,
      type(list) == "table" and #list or errors.describe(list))
  end
  return list
end

--- Texts in parts.
local function in_parts(where, ask)
  return function(texts)
    local out = {}
    for first = 1, #texts, AT_ONCE do
      local part = table.move(texts, first, math.min(first + AT_ONCE - 1, #texts), 1, {})
      table.move(check(where, ask(part), #part), 1, #part, #out + 1, out)
    end
    return out
  end
end

--- What a memory was given as `embed`.
---@param given nil|string|table|function
---@param where? string who was given it: "stoke.memory"
---@return { name: string, ask: fun(texts: string[]): number[][] }|nil embed nil: none
---Raises `argument`.
function M.of(given, where)
  where = where or "stoke.memory"
  if given == nil then return nil end
  if errors.callable(given) then return { name = "a function", ask = in_parts(where, given) } end
  local o = type(given) == "string" and { model = given } or given
  if type(o) ~= "table" then
    errors.argument("%s: embed is the name of a model, { model = }, or a function; got %s", where, errors.describe(given))
  end
  errors.options(o, FIELDS, where .. ": embed")
  if not o.model and not o.route then errors.argument("%s: embed has no model", where) end
  return { name = o.model or tostring(o.route), ask = in_parts(where, function(texts)
    return call.embed { model = o.model, endpoint = o.endpoint, route = o.route, dimensions = o.dimensions, timeouts = o.timeouts,
      input = texts }.vectors
  end) }
end

return M
