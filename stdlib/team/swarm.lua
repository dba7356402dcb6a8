--- stoke.team.swarm: members hand the conversation over, by calls; who answers without one has answered the user. Who hands over to
--- several has them answer one after the other. In a session the next question goes to who answered last.
---
---     local desk = stoke.team.swarm { members = { triage, billing, repairs }, outside = { person = "a human clerk" } }
---     print(desk:run("My invoice is wrong").text)

local errors = require "core.errors"
local handoffs = require "stoke.team.handoffs"
local history = require "stoke.agent.history"
local make = require "stoke.team.make"
local talks = require "stoke.team.talk"

local M = {}

--- Handoffs in a run where the team does not say; then who has the conversation must answer.
local HANDOFFS <const> = 6

--- Who has the conversation at the beginning: who answered last, else `begin`.
local function begins(talk, team)
  local past = talk.run.history
  for i = #past, 1, -1 do
    local at = past[i].role == "assistant" and team.by_name[past[i].name]
    if at then return team.members[at] end
  end
  return team.members[team.begin]
end

--- Who is next of those that were handed over to; nil: nobody, the conversation has its answer.
local function next_of(talk, team, open)
  local one = table.remove(open, 1)
  if not one then return nil end
  talk.handoff = one.to
  talk:tell { type = "handoff", from = one.from, to = one.to }
  return team.members[team.by_name[one.to]], one
end

--- Who was handed over to and was not asked, because the run is over.
local function left(one, open)
  local names = { one and one.to }
  for _, other in ipairs(open) do names[#names + 1] = other.to end
  return names[1] and names or nil
end

--- The answer: that of who answered; where several were handed over to, all of theirs.
local function answer(talk, said)
  if not said[2] then return talk:answer() end
  local lines = {}
  for i, one in ipairs(said) do lines[i] = talk:words("team_said", { agent = one.name, text = one.text }) end
  return table.concat(lines, "\n\n")
end

local function play(talk, team)
  local member, said, open = begins(talk, team), {}, {}
  while true do
    local definition, by_call = handoffs.lend(talk, team, member)
    local result, who = talk:ask(member, talk:view(member.name), { definition = definition, hint = handoffs.hint })
    local list = handoffs.of(team, result, by_call)
    local back
    if not result then -- the conversation goes back to who began, if that is another one
      talk:gap(member, who)
      back = not open[1] and member ~= team.members[team.begin] and team.members[team.begin]
    elseif list[1] then
      handoffs.say(talk, who, result, list)
      for i, handoff in ipairs(list) do
        handoff.from = who.name
        table.insert(open, i, handoff)
      end
    else
      said[#said + 1] = { name = who.name, text = talk:say(who, result) }
      talk.stopped = who.name .. " answered"
    end
    local one
    member = back
    if not back then member, one = next_of(talk, team, open) end
    if one and not member then
      talk.stopped = "handed over to " .. one.to
      return said[1] and answer(talk, said) .. "\n\n" .. one.note or one.note
    end
    if not member or talk:over() then
      talk.more = { open = member and left(one, open) or nil }
      return answer(talk, said)
    end
  end
end

local PATTERN = { name = "swarm", play = play, members = 2, options = { begin = "string", to = "table", outside = "table",
  max_handoffs = "number" },
  texts = { "swarm_tool", "swarm_param", "swarm_said", "swarm_result", "team_note", "team_said", "team_go_on", "team_again",
    "team_gap" } }

function PATTERN.make(team, given, where)
  make.whole(where, "max_handoffs", given.max_handoffs, 0)
  team.outside, team.outside_names = given.outside or {}, {}
  for name, about in next, team.outside do
    if type(name) ~= "string" or type(about) ~= "string" then
      errors.argument("%s: outside must be a map of names to what they are for, { user = \"a question to the user\" }", where)
    end
    team.outside_names[#team.outside_names + 1] = name
  end
  table.sort(team.outside_names)
  team.to = {}
  handoffs.check_names(where, team)
  for name, list in next, given.to or {} do
    make.check_name(team, where .. ": to", name)
    errors.list(where .. ": to." .. name, list)
    team.to[name] = {}
    for _, other in ipairs(list) do
      team.to[name][make.check_name(team, where .. ": to." .. name, other, team.outside_names)] = true
    end
  end
  team.begin = given.begin and team.by_name[make.check_name(team, where .. ": begin", given.begin)] or 1
  team.max_handoffs = given.max_handoffs or HANDOFFS
end

function PATTERN.first(team, past)
  local talk = talks.new { agent = team, history = past }
  return (handoffs.lend(talk, team, begins(talk, team))), history.new(talk:view(begins(talk, team).name))
end

--- Members that hand the conversation over to each other.
---@param given stoke.team.definition and begin? = the name of who begins (the first member), to? = { name = { names } }: to whom a
---  member may hand over (all others), outside? = { name = "what for" }: others than members, the run then ends with what they are
---  told, max_handoffs? (6). The result has `open`: names that were handed over to and not
---  asked, because a condition or max_turns ended the run
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local desk = stoke.team.swarm { members = { triage, billing }, outside = { person = "a human clerk" } }`
function M.new(given) return make.team(PATTERN, given) end

return M
