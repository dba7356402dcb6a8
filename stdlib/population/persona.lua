--- A persona as text: what a model is told of the person that it is to be.

local line = require "core.text".line
local ordered = require "core.ordered"
local texts = require "stoke.agent.texts"

local M = {}

texts.add {
  population_persona = { "the instructions of a person of a study", "name facts", "You are {name}. Speak as {name} would, as "
    .. "\"I\", in "
    .. "at most three sentences of plain words. Judge by your own life, needs and money. You may dislike things and say "
    .. "no.\n{facts}" },
}

local function shown(value)
  if type(value) ~= "table" then return line(tostring(value)) end
  local parts = {}
  for i, one in ipairs(value) do parts[i] = line(tostring(one)) end
  return table.concat(parts, ", ")
end

--- What is known of a person, one line a field, sorted, the field `text` last and alone.
---@param persona table<string, any>
---@return string
function M.facts(persona)
  local lines = {}
  for _, name in ipairs(ordered.names(persona)) do
    if type(name) == "string" and name ~= "text" then lines[#lines + 1] = ("%s: %s"):format(name, shown(persona[name])) end
  end
  if persona.text then lines[#lines + 1] = line(persona.text) end
  return table.concat(lines, "\n")
end

--- The instructions of a person.
---@param person { name: string, persona: table }
---@param own? table<string, string|function|false> texts
---@return string
function M.instructions(person, own)
  return texts.of("population_persona", own, { name = person.name, facts = M.facts(person.persona or {}) })
end

return M
