--- An agent as somebody outside wants it for one run: with tools that are lent to it, with instructions that follow its own, with
--- the shape of the answer. The definition itself does not change.

local errors = require "core.errors"
local json = require "core.json"
local schema = require "stoke.schema"

local M = {}

--- The tool definitions for the model, encoded once and not for each question.
---@param definition table
---@param definitions table[] as models read them
---Raises `argument` for words that are no UTF-8.
function M.tell(definition, definitions)
  local text, err = json.encode(definitions)
  if not text then
    errors.raise("argument", ("%s: its tools cannot be told to a model: %s"):format(definition.label or "stoke.agent", err.message),
      { cause = err })
  end
  definition.definitions = json.fixed(definitions)
  definition.tools_bytes = #text
end

local function lend(out, definition, lent)
  local names, outside, definitions = {}, {}, {}
  for name in next, definition.names do names[name] = true end
  for i, known in ipairs(definition.definitions or {}) do definitions[i] = known end
  for _, given in ipairs(lent) do
    local name = given["function"].name
    names[name], outside[name] = true, true
    definitions[#definitions + 1] = given
  end
  out.names, out.outside = names, outside
  M.tell(out, definitions)
end

--- Instructions with those of somebody else behind them, also where they are worked out for each run.
local function followed(own, words)
  if own == nil or own == "" then return words end
  if type(own) == "string" then return own .. "\n\n" .. words end
  return function(...)
    local text = own(...)
    if text ~= nil and type(text) ~= "string" then return text end -- refused by who asked for them
    return text and text ~= "" and text .. "\n\n" .. words or words
  end
end

local ANY_OBJECT = { type = "object" }

--- A definition for one run. Calls of lent tools are not run: they end the run with the reason "tool_calls", and its result has
--- them as `calls`; who lent them goes on with the history and the results. Whom the agent hands over to gets the same.
---@param definition table of an agent
---@param about { lend?: table[], system?: string, format?: table|string } lend: definitions of tools as models read them, of other
---  names than the agent's own; system: follows its instructions; format: "json" or a JSON Schema, where it has no shape of its own
---@return table definition itself where there is nothing to add
---Raises `argument` for a schema that is none.
---
--- Example: `local definition = guest.with(bot.definition, { lend = { open_file:definition() } })`
function M.with(definition, about)
  local lent, system = about.lend, about.system
  if definition.play then lent = nil end -- the members of a team have tools of their own, and take no others
  local format = not definition.output and about.format or nil
  if not lent and not system and not format then return definition end
  if definition.ready then definition = definition:ready() end
  if definition.complete then definition:complete() end
  local out = setmetatable({}, { __index = definition })
  if lent then lend(out, definition, lent) end
  if system then out.instructions = followed(definition.instructions, system) end
  if format then out.output = schema.json(format == "json" and ANY_OBJECT or format) end
  if lent or system then
    out.lend = function(other) return M.with(other, { lend = lent, system = system }) end
  end
  return out
end

return M
