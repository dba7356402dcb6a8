--- stoke.team.reflect: one works, one criticizes, and the work is done again, until the critic finds nothing, nothing changes any
--- more, or the rounds are over.
---
---     local careful = stoke.team.reflect { members = { writer }, rounds = 3 }
---     print(careful:run("A haiku about rain, 5-7-5").text)

local make = require "stoke.team.make"
local schema = require "stoke.schema"
local texts = require "stoke.agent.texts"
local vote = require "stoke.team.vote"
local window = require "stoke.team.window"

local M = {}

--- The critic's answer: the faults before the verdict, as a model should think.
local VERDICT = schema({ faults = "string 1..300[] 0..5: what is wrong, each in one sentence",
  good = "boolean: is it good as it is?" },
  { order = { "faults", "good" } })

texts.add {
  reflect_critic = { "the question to the critic", "task work",
    "The task:\n{task}\n\nThe work:\n{work}\n\nDoes the work do what the task asks? Name what is wrong. No praise." },
  reflect_again = { "the faults, to who works", "faults", "A critic found:\n{faults}\n\nDo it again without these faults. "
    .. "Answer with the new version alone." },
}

--- The critic, bound to a verdict: the second member, or the model of the team.
local function critic_of(team)
  local critic = team.members[2]
  if not critic then return make.inner(team, "critic", VERDICT) end
  if critic.definition.output then return critic end
  return critic, setmetatable({ output = VERDICT }, { __index = critic.definition })
end

--- The faults that the critic finds; none: it is good, or the critic has failed and the work stands.
local function faults_of(talk, team, work)
  local critic, bound = critic_of(team)
  local messages, shorter = window.elastic({ work }, function(parts, short)
    return talk:question("reflect_critic", { task = talk:goal(short), work = parts[1] }, team.members[2] ~= nil or team.sees)
  end)
  local result, who = talk:ask(critic, messages, { plain = true, definition = bound, why = "criticizes", shorter = shorter })
  if not result then return nil, who end
  local verdict = result.output
  if type(verdict) ~= "table" then verdict = { faults = { result.text }, good = false } end
  talk:tell { type = "progress", good = verdict.good == true, faults = verdict.faults }
  if verdict.good == true or not verdict.faults or not verdict.faults[1] then return {} end
  return verdict.faults
end

local function play(talk, team)
  local writer, messages, work = team.members[1], talk:view(), nil
  for n = 1, team.rounds do
    local result, who = talk:ask(writer, messages, { plain = true, why = n == 1 and "works" or "works again" })
    if not result then
      if work then break end -- the work of the round before stands
      error(who, 0)
    end
    local before = work
    work = result
    talk:say(who, result, true)
    if before and vote.key(before) == vote.key(work) then
      talk.stopped = "nothing changed"
      break
    elseif n == team.rounds then
      talk.stopped = ("rounds (%d)"):format(n)
      break
    end
    local faults, err = faults_of(talk, team, work.text)
    if err or not faults[1] then
      talk.stopped = err and "the critic failed" or ("good after round %d"):format(n)
      break
    end
    messages[#messages + 1] = { role = "assistant", content = work.text }
    messages[#messages + 1] = { role = "user", content = talk:words("reflect_again",
      { faults = "- " .. table.concat(faults, "\n- ") }) }
  end
  talk.speaker = talk.last.from
  return work.text, work.output
end

local BOUNDED <const> = "`rounds` says how often the work is done, `budget` and `deadline` what they cost"

local PATTERN = { name = "reflect", play = play, first = make.first_alone, options = { rounds = "number" }, most = 2,
  refuses = { max_turns = BOUNDED, stop = BOUNDED },
  texts = { "reflect_critic", "reflect_again", "team_earlier", "team_said", "team_again" } }

function PATTERN.make(team, given, where)
  make.whole(where, "rounds", given.rounds, 1)
  team.rounds = given.rounds or 3
end

--- Work, criticism, work again.
---@param given stoke.team.definition of one member, who works, or two: the second one criticizes, its answer bound to { faults =
---  { ... }, good = true|false } unless it has a schema with these; rounds? = how often the work is done (3)
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local careful = stoke.team.reflect { members = { writer, critic }, rounds = 3 }`
function M.new(given) return make.team(PATTERN, given) end

return M
