--- stoke.team.debate: members answer apart, then read the answers of the others and answer again; a judge gives the last one.
--- Where all agree there is nothing to judge.
---
---     local panel = stoke.team.debate { members = { optimist, sceptic, engineer }, rounds = 2 }
---     print(panel:run("Should the bridge be repaired or replaced?").text)

local make = require "stoke.team.make"
local texts = require "stoke.agent.texts"
local vote = require "stoke.team.vote"

local M = {}

texts.add {
  debate_round = { "the answers of the others, from the second round on", "answers",
    "Others have answered:\n\n{answers}\n\nWhat is right and what is wrong in them? Then give your answer to the task again, "
    .. "changed or not." },
  debate_judge = { "the question to the judge", "task answers",
    "The task:\n{task}\n\nThe answers:\n\n{answers}\n\nGive the best answer to the task. Take what is right from the answers and "
    .. "leave out what is wrong." },
}

--- The answers but one, with their names.
local function others(talk, members, answers, but)
  local lines = {}
  for i, member in ipairs(members) do
    if i ~= but and answers[i] then
      lines[#lines + 1] = talk:words("team_said", { agent = member.name, text = answers[i].text })
    end
  end
  return table.concat(lines, "\n\n")
end

--- One round: everybody answers at the same time.
local function round(talk, team, conversations, answers)
  local before = answers
  local list = talk:each(team.members, function(member, i)
    local messages = conversations[i]
    if before then
      if not before[i] then return nil end -- it failed, and is out
      messages[#messages + 1] = { role = "assistant", content = before[i].text }
      messages[#messages + 1] = { role = "user", content = talk:words("debate_round",
        { answers = others(talk, team.members, before, i) }) }
    end
    return messages, { plain = true, otherwise = "go_on", why = "debates" }, member
  end)
  local out, count = {}, 0
  for i, result in ipairs(list) do
    out[i] = result or false
    if result then
      count = count + 1
      talk:say(team.members[i], result, true)
    end
  end
  return out, count
end

--- Do all that are left say the same?
local function agree(team, answers)
  local key
  for i in ipairs(team.members) do
    if answers[i] then
      local own = vote.key(answers[i])
      if key and own ~= key then return false end
      key = own
    end
  end
  return true
end

local function first_of(answers)
  for _, result in ipairs(answers) do
    if result then return result end
  end
end

local function play(talk, team)
  local conversations, answers = {}, nil
  for i in ipairs(team.members) do conversations[i] = talk:view() end
  for n = 1, team.rounds do
    local count
    answers, count = round(talk, team, conversations, answers)
    talk:tell { type = "progress", round = n, answers = count }
    if count == 0 then return talk:answer() end -- raises
    if count == 1 or agree(team, answers) then
      talk.stopped = count == 1 and "one answer was left" or ("all agree after round %d"):format(n)
      local result = first_of(answers)
      return result.text, result.output
    end
  end
  local question = talk:words("debate_judge", { task = talk:goal(), answers = others(talk, team.members, answers) })
  local result, who = talk:ask(team.judge or make.inner(team, "judge"), { { role = "user", content = question } },
    { plain = true, why = "judges" })
  if not result then error(who, 0) end
  talk.stopped = ("judged after %d rounds"):format(team.rounds)
  return talk:say(who, result, true), result.output
end

local PATTERN = { name = "debate", play = play, first = make.first_alone,
  members = 2, options = { rounds = "number", judge = "table" },
  texts = { "debate_round", "debate_judge", "team_earlier", "team_said", "team_again" } }

function PATTERN.make(team, given, where)
  make.whole(where, "rounds", given.rounds, 1)
  if given.judge ~= nil then make.check_member(where .. ": judge", given.judge) end
  team.rounds, team.judge = given.rounds or 2, given.judge
end

--- Members that answer, read each other, and answer again; then a judge.
---@param given stoke.team.definition and rounds? = how often they answer (2), judge? = who gives the last answer (the model of the
---  team)
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local panel = stoke.team.debate { members = { optimist, sceptic }, judge = editor }`
function M.new(given) return make.team(PATTERN, given) end

return M
