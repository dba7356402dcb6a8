--- stoke.team.ledger: a manager notes what is known, makes a plan, and after each step judges whether there was progress and says
--- who does what next. When `max_stalls` steps have brought nothing it notes and plans anew; after `max_plans` plans it answers
--- with what there is.
---
---     local crew = stoke.team.ledger { members = { coder, tester }, max_stalls = 3 }
---     print(crew:run("Make the tests in app/ pass").text)

local errors = require "core.errors"
local history = require "stoke.agent.history"
local json = require "stoke.json"
local make = require "stoke.team.make"
local schema = require "stoke.schema"
local talks = require "stoke.team.talk"
local texts = require "stoke.agent.texts"
local window = require "stoke.team.window"

local M = {}

--- Whose words the instructions are, in the conversation.
local MANAGER <const> = "manager"

local STALLS <const>, PLANS <const> = 3, 3

texts.add {
  ledger_facts = { "the question for what is known", "task",
    "The task:\n{task}\n\nList in short lines: what the task says, what has to be found out, and what you guess." },
  ledger_facts_again = { "the same when a plan has failed", "task facts conversation",
    "The task:\n{task}\n\nWhat was known:\n{facts}\n\nWhat was done since:\n\n{conversation}\n\nIt did not succeed. Write the list "
    .. "anew, in short lines: what is known now, what still has to be found out, and what was a wrong guess." },
  ledger_plan = { "the question for a plan", "task members facts",
    "The task:\n{task}\n\nWho can work on it:\n{members}\n\nWhat is known:\n{facts}\n\nWrite a plan of a few short steps. Say who "
    .. "does each step. Leave out who is not needed." },
  ledger_judge = { "the judgement after each step", "task members facts plan conversation",
    "The task:\n{task}\n\nWho can work on it:\n{members}\n\nWhat is known:\n{facts}\n\nThe plan:\n{plan}\n\nWhat was done "
    .. "so far:\n\n{conversation}\n\nJudge it. Is the task done? Did the last step bring it forward, or is the same done again? "
    .. "Who is next, and what exactly should they do?" },
  ledger_step = { "what a member is told to do", "agent instruction", "{agent}: {instruction}" },
  ledger_answer = { "the question for the answer", "task conversation",
    "The task:\n{task}\n\nWhat was done:\n\n{conversation}\n\nWrite the answer to the task from this. If it is not done, say what "
    .. "is missing." },
}

--- Ask the manager: the script's agent, or the team's model. Its failure is answered as that of a member. `said` is what was said,
--- where it reads that.
local function manage(talk, team, name, about, output, said)
  about.members = table.concat(make.lines(team.members), "\n")
  local agent = team.manager or make.inner(team, "manager", output)
  local bound = team.manager and output and setmetatable({ output = output }, { __index = agent.definition }) or nil
  local messages, shorter = window.elastic(said or {}, function(parts, short)
    about.task, about.conversation = talk:goal(short), table.concat(parts, "\n\n")
    return talk:question(name, about, not team.manager and team.sees)
  end)
  local result, err = talk:ask(agent, messages, { plain = true, definition = bound, why = name:gsub("^ledger_", ""),
    shorter = shorter })
  if not result then return nil, err end
  return output and result.output or result.text, result
end

--- Facts and a plan; and again, when the ones before have failed. False: the manager has failed.
local function plan_anew(talk, team, ledger)
  ledger.plans, ledger.stalls, ledger.steps = ledger.plans + 1, 0, #talk.turns
  local before = ledger.facts
  local facts = manage(talk, team, before and "ledger_facts_again" or "ledger_facts", { facts = before }, nil,
    before and talk:steps(team.recent) or nil)
  local plan = facts and manage(talk, team, "ledger_plan", { facts = facts })
  if not plan then return false end
  ledger.facts, ledger.plan = facts, plan
  talk:tell { type = "plan", plan = plan, facts = facts, number = ledger.plans }
  return true
end

--- One step: a member does what the manager has said.
local function step(talk, team, verdict)
  local member = team.members[team.by_name[verdict.next]]
  local told = talk:words("ledger_step", { agent = member.name, instruction = verdict.instruction })
  talk.run.history:push { role = "assistant", name = MANAGER, content = told }
  local result, who = talk:ask(member, talk:view(member.name), { otherwise = "go_on", why = verdict.instruction })
  if result then talk:say(who, result) else talk:gap(member, who) end
end

--- After a step: is it done, or does it stall?
local function judged(talk, team, ledger)
  local verdict = manage(talk, team, "ledger_judge", { facts = ledger.facts, plan = ledger.plan }, team.verdict,
    talk:steps(team.recent))
  if not verdict then return nil end
  if #talk.turns > ledger.steps then -- before the first step of a plan there is nothing to bring forward
    ledger.stalls = verdict.progress and math.max(0, ledger.stalls - 1) or ledger.stalls + 1
  end
  talk:tell { type = "progress", done = verdict.done, progress = verdict.progress, reason = verdict.reason,
    next = not verdict.done and ledger.stalls < team.max_stalls and verdict.next or nil, stalls = ledger.stalls }
  return verdict
end

local function play(talk, team)
  local ledger = { plans = 0, stalls = 0, steps = 0 }
  talk.more = { ledger = ledger }
  local managed = plan_anew(talk, team, ledger)
  while managed do
    local verdict = judged(talk, team, ledger)
    if not verdict or verdict.done and talk.turns[1] then
      talk.stopped, managed = verdict and "done", verdict ~= nil
      break
    end
    if ledger.stalls < team.max_stalls then
      step(talk, team, verdict)
    elseif ledger.plans < team.max_plans then
      managed = plan_anew(talk, team, ledger)
    else
      talk.stopped = ("no progress after %d plans"):format(ledger.plans)
      break
    end
    if talk:over() then break end
  end
  local text, result = nil, nil
  if managed then text, result = manage(talk, team, "ledger_answer", {}, nil, talk:steps(team.recent)) end
  if not text then -- what was said last stands
    talk.stopped = "the manager failed"
    return talk:answer()
  end
  talk.speaker = result.agent
  return text
end

local PATTERN = { name = "ledger", play = play, options = { manager = "table", max_stalls = "number", max_plans = "number",
  recent = "number" },
  texts = { "ledger_facts", "ledger_facts_again", "ledger_plan", "ledger_judge", "ledger_step", "ledger_answer",
    "team_earlier", "team_note", "team_said", "team_again", "team_gap" } }

function PATTERN.make(team, given, where)
  for _, name in ipairs { "max_stalls", "max_plans", "recent" } do make.whole(where, name, given[name], 1) end
  if team.by_name[MANAGER] then
    errors.argument("%s: no member may be named %q: what the manager says stands under that name", where, MANAGER)
  end
  if given.manager then make.check_member(where .. ": manager", given.manager) end
  team.manager, team.max_stalls, team.max_plans = given.manager, given.max_stalls or STALLS, given.max_plans or PLANS
  team.recent = given.recent or 12
  local order = { "reason", "done", "progress", "next", "instruction" }
  team.verdict = schema.json { type = "object", required = json.array(order), properties = json.object({
    reason = { type = "string", maxLength = 300 }, done = { type = "boolean" }, progress = { type = "boolean" },
    next = { type = "string", enum = json.array(make.names(team.members)) },
    instruction = { type = "string", minLength = 1, maxLength = 400 } }, order) }
end

function PATTERN.first(team, past)
  local talk = talks.new { agent = team, history = past }
  local agent = team.manager or make.inner(team, "manager")
  return agent.definition, history.of(talk:words("ledger_facts", { task = talk:goal() }))
end

--- A manager that keeps a ledger of facts, a plan and progress.
---@param given stoke.team.definition and manager? = an agent that manages (the model of the team), max_stalls? = steps without
---  progress before it plans anew (3), max_plans? (3), recent? = messages that the manager reads (12). The result has `ledger` = {
---  facts, plan, plans = how many, stalls, steps = messages before this plan }
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local crew = stoke.team.ledger { members = { coder, tester }, max_stalls = 3 }`
function M.new(given) return make.team(PATTERN, given) end

return M
