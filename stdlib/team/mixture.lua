--- stoke.team.mixture: members propose answers at the same time, in one layer or several, each of which reads the proposals of
--- the one before; then one answer is made of the last proposals.
---
---     local broth = stoke.team.mixture { members = { qwen, llama, gemma }, layers = 2 }
---     print(broth:run("Explain tides to a child").text)

local make = require "stoke.team.make"
local texts = require "stoke.agent.texts"
local window = require "stoke.team.window"

local M = {}

texts.add {
  mixture_layer = { "the proposals of the layer before, beside the task", "proposals",
    "These answers were proposed:\n\n{proposals}\n\nGive a better answer to the task. Correct what is wrong in them." },
  mixture_final = { "the question that makes one answer of the proposals", "task proposals",
    "The task:\n{task}\n\nProposed answers:\n\n{proposals}\n\nMake one answer to the task of them. Keep what is right, leave out "
    .. "what is wrong or said twice, and do not mention that there were proposals." },
}

local function numbered(texts_of)
  local lines = {}
  for i, text in ipairs(texts_of) do lines[i] = ("%d. %s"):format(i, text) end
  return table.concat(lines, "\n\n")
end

--- A layer: everybody proposes, having read the proposals of the one before.
local function layer_of(talk, team, proposals)
  local list, who = talk:each(team.members, function()
    local how = { plain = true, otherwise = "go_on", why = "proposes" }
    if not proposals then return talk:view(), how end
    local messages, shorter = window.elastic(proposals, function(parts)
      return talk:view(nil, talk:words("mixture_layer", { proposals = numbered(parts) }))
    end)
    how.shorter = shorter
    return messages, how
  end)
  local made, said = {}, {}
  for i, result in ipairs(list) do
    if result then
      made[#made + 1], said[#said + 1] = result, result.text
      talk:say(who[i], result, true)
    end
  end
  return made, said
end

local function play(talk, team)
  local made, said
  for layer = 1, team.layers do
    made, said = layer_of(talk, team, said)
    talk:tell { type = "progress", layer = layer, answers = #made }
    if not made[1] then return talk:answer() end -- raises
  end
  if not made[2] then
    talk.stopped = "one proposal was left"
    return made[1].text, made[1].output
  end
  local messages, shorter = window.elastic(said, function(parts, short)
    return talk:question("mixture_final", { task = talk:goal(short), proposals = numbered(parts) },
      not team.aggregator and team.sees)
  end)
  local text, value = talk:conclude(team.aggregator or make.inner(team, "aggregator"), messages,
    { plain = true, why = "aggregates", shorter = shorter })
  if not text then talk.stopped = "the aggregator failed" end
  return text or numbered(said), value
end

local BOUNDED <const> = "`layers` says how often they propose, `budget` and `deadline` what they cost"

local PATTERN = { name = "mixture", play = play, first = make.first_alone,
  members = 2, options = { layers = "number", aggregator = "table" },
  refuses = { max_turns = BOUNDED, stop = BOUNDED },
  texts = { "mixture_layer", "mixture_final", "team_earlier", "team_said", "team_again" } }

function PATTERN.make(team, given, where)
  make.whole(where, "layers", given.layers, 1)
  if given.aggregator ~= nil then make.check_member(where .. ": aggregator", given.aggregator) end
  team.layers, team.aggregator = given.layers or 1, given.aggregator
end

--- Proposals of several members, and one answer made of them.
---@param given stoke.team.definition and layers? = how often they propose (1), aggregator? = who makes one answer (the model of the
---  team)
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local broth = stoke.team.mixture { members = { qwen, llama, gemma } }`
function M.new(given) return make.team(PATTERN, given) end

return M
