--- stoke.team.mixture: members propose answers at the same time, in one layer or several, each of which reads the proposals of
--- the one before; then one answer is made of the last proposals.
---
---     local broth = stoke.team.mixture { members = { qwen, llama, gemma }, layers = 2 }
---     print(broth:run("Explain tides to a child").text)

local make = require "stoke.team.make"
local texts = require "stoke.agent.texts"

local M = {}

texts.add {
  mixture_layer = { "the proposals of the layer before, beside the task", "proposals",
    "These answers were proposed:\n\n{proposals}\n\nGive a better answer to the task. Correct what is wrong in them." },
  mixture_final = { "the question that makes one answer of the proposals", "task proposals",
    "The task:\n{task}\n\nProposed answers:\n\n{proposals}\n\nMake one answer to the task of them. Keep what is right, leave out "
    .. "what is wrong or said twice, and do not mention that there were proposals." },
}

local function numbered(list)
  local lines = {}
  for i, result in ipairs(list) do lines[i] = ("%d. %s"):format(i, result.text) end
  return table.concat(lines, "\n\n")
end

local function play(talk, team)
  local proposals
  for layer = 1, team.layers do
    local question = proposals and talk:words("mixture_layer", { proposals = numbered(proposals) }) or nil
    local list = talk:each(team.members, function()
      return talk:view(nil, question), { plain = true, otherwise = "go_on", why = "proposes" }
    end)
    local made = {}
    for i, result in ipairs(list) do
      if result then
        made[#made + 1] = result
        talk:say(team.members[i], result, true)
      end
    end
    talk:tell { type = "progress", layer = layer, answers = #made }
    if not made[1] then return talk:answer() end -- raises
    proposals = made
  end
  if not proposals[2] then
    talk.stopped = "one proposal was left"
    return proposals[1].text, proposals[1].output
  end
  local question = talk:words("mixture_final", { task = talk:goal(), proposals = numbered(proposals) })
  local result, who = talk:ask(team.aggregator or make.inner(team, "aggregator"), { { role = "user", content = question } },
    { plain = true, why = "aggregates" })
  if not result then error(who, 0) end
  return talk:say(who, result, true), result.output
end

local PATTERN = { name = "mixture", play = play, first = make.first_alone,
  members = 2, options = { layers = "number", aggregator = "table" },
  texts = { "mixture_layer", "mixture_final", "team_earlier", "team_again" } }

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
