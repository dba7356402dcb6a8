--- stoke.team.debate: members answer apart, then read the answers of the others and answer again; a judge gives the last one.
--- Where all agree there is nothing to judge.
---
---     local panel = stoke.team.debate { members = { optimist, sceptic, engineer }, rounds = 2 }
---     print(panel:run("Should the bridge be repaired or replaced?").text)

local make = require "stoke.team.make"
local texts = require "stoke.agent.texts"
local vote = require "stoke.team.vote"
local window = require "stoke.team.window"

local M = {}

texts.add {
  debate_round = { "the answers of the others, from the second round on", "answers",
    "Others have answered:\n\n{answers}\n\nWhat is right and what is wrong in them? Then give your answer to the task again, "
    .. "changed or not." },
  debate_judge = { "the question to the judge", "task answers",
    "The task:\n{task}\n\nThe answers:\n\n{answers}\n\nGive the best answer to the task. Take what is right from the answers and "
    .. "leave out what is wrong." },
}

--- The answers but one, with the names of who gave them; who has none is named, too.
local function others(talk, state, but)
  local lines = {}
  for i, member in ipairs(state.members) do
    local answer, err = state.answers[i], state.out[i]
    if i ~= but and (answer or err) then
      lines[#lines + 1] = answer and talk:words("team_said", { agent = state.who[i].name, text = answer.text })
        or talk:words("team_gap", { agent = member.name, problem = err.message })
    end
  end
  return lines
end

--- What a member is asked in a later round: its conversation, in which its own answer and those of the others are the newest.
local function asked_again(talk, state, lines, i)
  local messages = state.conversations[i]
  local at = #messages + 2
  messages[at - 1] = { role = "assistant", content = state.answers[i].text }
  return window.elastic(lines, function(parts)
    messages[at] = { role = "user", content = talk:words("debate_round", { answers = table.concat(parts, "\n\n") }) }
    return messages
  end)
end

--- One round: everybody that is still in it answers at the same time. Who fails is out; what it said before stands.
local function round(talk, state)
  local lines, hows, count = {}, {}, 0
  for i in ipairs(state.members) do lines[i] = state.answers[i] and others(talk, state, i) or nil end
  local list, who = talk:each(state.members, function(_, i)
    if state.out[i] then return nil end
    local messages, shorter = state.conversations[i], nil
    if lines[i] then messages, shorter = asked_again(talk, state, lines[i], i) end
    hows[i] = { plain = true, otherwise = "go_on", why = "debates", shorter = shorter }
    return messages, hows[i]
  end)
  for i, result in ipairs(list) do
    if result then
      count = count + 1
      state.answers[i], state.who[i] = result, who[i]
      talk:say(who[i], result, true)
    elseif hows[i] then
      state.out[i] = hows[i].failed
    end
  end
  return count
end

--- The only answer, or one that all have given; nil: there is something to judge.
local function settled(state, count)
  local first, key
  for i in ipairs(state.members) do
    local answer = state.answers[i]
    if answer and first and (count == 1 or vote.key(answer) ~= key) then return nil end
    if answer then first, key = first or answer, vote.key(answer) end
  end
  return first
end

local function play(talk, team)
  local state, rounds = { members = team.members, conversations = {}, answers = {}, who = {}, out = {} }, 0
  for i in ipairs(team.members) do state.conversations[i] = talk:view() end
  repeat
    local count = round(talk, state)
    rounds = rounds + 1
    talk:tell { type = "progress", round = rounds, answers = count }
    local result = settled(state, count)
    if not result and not next(state.answers) then return talk:answer() end -- raises
    if result then
      talk.stopped = count == 1 and "one answer was left" or ("all agree after round %d"):format(rounds)
      return result.text, result.output
    end
  until rounds == team.rounds or count < 2
  local messages, shorter = window.elastic(others(talk, state), function(parts, short)
    return talk:question("debate_judge", { task = talk:goal(short), answers = table.concat(parts, "\n\n") },
      not team.judge and team.sees)
  end)
  local text, value = talk:conclude(team.judge or make.inner(team, "judge"), messages,
    { plain = true, why = "judges", shorter = shorter })
  talk.stopped = text and ("judged after %d rounds"):format(rounds) or "the judge failed"
  return text or table.concat(others(talk, state), "\n\n"), value
end

local BOUNDED <const> = "`rounds` says how often they answer, `budget` and `deadline` what they cost"

local PATTERN = { name = "debate", play = play, first = make.first_alone,
  members = 2, options = { rounds = "number", judge = "table" },
  refuses = { max_turns = BOUNDED, stop = BOUNDED },
  texts = { "debate_round", "debate_judge", "team_earlier", "team_said", "team_again", "team_gap" } }

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
