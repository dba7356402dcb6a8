--- stoke.team.round_robin: the members speak in turn, each hearing all that was said, until a condition holds.
---
---     local pair = stoke.team.round_robin { members = { writer, critic }, stop = stoke.team.stop.text "APPROVE" }
---     print(pair:run("A slogan for a bakery").text)

local make = require "stoke.team.make"

local M = {}

local function play(talk, team)
  local members, i = team.members, 0
  repeat
    local member = members[i % #members + 1]
    i = i + 1
    local result, who = talk:ask(member, talk:view(member.name))
    if result then talk:say(who, result) else talk:gap(member, who) end
  until talk:over()
  return talk:answer()
end

local PATTERN = { name = "round_robin", play = play, texts = { "team_note", "team_said", "team_go_on", "team_again", "team_gap" } }

--- Members that speak in turn.
---@param given stoke.team.definition
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local pair = stoke.team.round_robin { members = { writer, critic }, max_turns = 6 }`
function M.new(given) return make.team(PATTERN, given) end

return M
