--- stoke.team.orchestrate: a plan of separate parts, each done by a member at the same time as the others, and one answer made of
--- the results, in the order of the plan. A member that fails twice is replaced by another one, who is told what went wrong; a
--- part that nobody could do is told to who writes the answer.
---
---     local crew = stoke.team.orchestrate { members = { reader, searcher, counter }, max_tasks = 5 }
---     local result = crew:run "Compare the three offers in offers/"
---     print(result.text, #result.tasks)

local errors = require "core.errors"
local history = require "stoke.agent.history"
local make = require "stoke.team.make"
local plans = require "stoke.team.plan"
local talks = require "stoke.team.talk"
local texts = require "stoke.agent.texts"
local window = require "stoke.team.window"

local M = {}

--- Parts of a plan, and others that are tried for one part.
local TASKS <const>, REPLACEMENTS <const> = 5, 2

texts.add {
  orchestrate_task = { "a part, as its worker reads it", "task part",
    "You do one part of a larger task. The larger task is:\n{task}\n\nYour part:\n{part}\n\nDo your part alone, and answer with "
    .. "its result." },
  orchestrate_failed = { "in the place of a result that there is not", "problem", "(this part could not be done: {problem})" },
  orchestrate_answer = { "the question that makes one answer of the results", "task results",
    "The task:\n{task}\n\nIt was done in parts:\n\n{results}\n\nWrite the answer to the task from these results, and only from "
    .. "them. If a part could not be done, say what is missing." },
}

--- Who else could do a part: the members after the one that failed, each once.
local function replacements(team, first)
  local count, at = 0, team.by_name[first]
  return function()
    count = count + 1
    if count > team.max_replacements or count >= #team.members then return nil end
    return team.members[(at + count - 1) % #team.members + 1]
  end
end

local function work(talk, team, task)
  local member = team.members[team.by_name[task.worker]]
  local messages, shorter = window.elastic({}, function(_, short)
    return talk:question("orchestrate_task", { task = talk:goal(short), part = task.part }, true)
  end)
  local result, who = talk:ask(member, messages, { plain = true, replace = replacements(team, task.worker), otherwise = "go_on",
    why = task.part, shorter = shorter })
  if result then
    task.text, task.worker = talk:say(who, result, true), who.name
  else
    task.failed = who.message
  end
  talk:tell { type = "progress", part = task.part, worker = task.worker, failed = task.failed }
  return true
end

--- The results, and which of them are there.
local function results_of(talk, tasks)
  local list, done = {}, 0
  for i, task in ipairs(tasks) do
    if task.text then done = done + 1 end
    list[i] = task.text or talk:words("orchestrate_failed", { problem = task.failed })
  end
  return list, done
end

--- The results with their parts, in the order of the plan.
local function listed(tasks, results)
  local lines = {}
  for i, task in ipairs(tasks) do lines[i] = ("%d. %s\n%s"):format(i, task.part, results[i]) end
  return table.concat(lines, "\n\n")
end

local function question(talk, team, tasks, results)
  return window.elastic(results, function(parts, short)
    return talk:question("orchestrate_answer", { task = talk:goal(short), results = listed(tasks, parts) },
      not team.editor and team.sees)
  end)
end

local function play(talk, team)
  local tasks = plans.make(talk, team)
  talk.more = { tasks = tasks }
  talk:side_by_side(tasks, function(task) return work(talk, team, task) end, team.at_once)
  local results, done = results_of(talk, tasks)
  if done == 0 then return talk:answer() end -- raises
  talk.stopped = ("%d of %d parts done"):format(done, #tasks)
  if team.aggregate then
    local text = team.aggregate(tasks)
    if type(text) ~= "string" then
      errors.argument("%s: aggregate must return a text, got %s", team.label, errors.describe(text))
    end
    return text
  end
  local messages, shorter = question(talk, team, tasks, results)
  local text, value = talk:conclude(team.editor or make.inner(team, "editor"), messages,
    { plain = true, why = "writes the answer", shorter = shorter })
  if not text then talk.stopped = talk.stopped .. ", the editor failed" end
  return text or listed(tasks, results), value
end

local BOUNDED <const> = "`max_tasks` says how many parts there are, `budget` and `deadline` what they cost"

local PATTERN = { name = "orchestrate", play = play, options = { max_tasks = "number", at_once = "number", planner = "table",
  editor = "table", aggregate = "function", max_replacements = "number" },
  refuses = { max_turns = BOUNDED, stop = BOUNDED },
  texts = { "orchestrate_plan", "orchestrate_task", "orchestrate_failed", "orchestrate_answer", "team_earlier", "team_said",
    "team_again" } }

function PATTERN.make(team, given, where)
  make.whole(where, "max_tasks", given.max_tasks, 1)
  make.whole(where, "at_once", given.at_once, 1)
  make.whole(where, "max_replacements", given.max_replacements, 0)
  for _, name in ipairs { "planner", "editor" } do
    if given[name] then make.check_member(("%s: %s"):format(where, name), given[name]) end
  end
  team.max_tasks, team.at_once = given.max_tasks or TASKS, given.at_once
  team.max_replacements = given.max_replacements or REPLACEMENTS
  team.planner, team.editor, team.aggregate = given.planner, given.editor, given.aggregate
  team.plan = plans.shape(team)
end

function PATTERN.first(team, past)
  return plans.planner(team), history.new(plans.question(talks.new { agent = team, history = past }, team))
end

--- A plan, its parts done side by side, and one answer.
---@param given stoke.team.definition and max_tasks? = parts of a plan (5), at_once? = parts that are done at once (all), planner? =
---  an agent that makes the plan, editor? = one that writes the answer (the model of the team), aggregate? = fun(tasks): string
---  instead of an editor, max_replacements? = others that are tried for a part (2). The result has `tasks` = { { part, worker,
---  text, failed } ... } in the order of the plan
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local crew = stoke.team.orchestrate { members = { reader, searcher } }`
function M.new(given) return make.team(PATTERN, given) end

return M
