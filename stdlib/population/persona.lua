--- What a model is told of the person that it is to be, in a study.

local persona = require "stoke.person.persona"
local texts = require "stoke.agent.texts"

local M = {}

texts.add {
  population_persona = { "the instructions of a person of a study", "name facts",
    "You are {name}. Speak as {name} would, as \"I\", in at most three sentences of plain words. Judge by your own life, needs "
    .. "and money. You may dislike things and say no.\n{facts}" },
}

--- The instructions of a person.
---@param where string
---@param person { name: string, persona: string|table }
---@param own? table<string, string|function|false> texts
---@return string
---Raises `argument`, and what reading the file of a persona raises.
function M.instructions(where, person, own)
  return texts.of("population_persona", own, { name = person.name, facts = persona.text(where, person.persona) })
end

return M
