--- The plan of stoke.team.orchestrate: parts, each with a worker, bound by a grammar to the names of the members.

local json = require "stoke.json"
local make = require "stoke.team.make"
local schema = require "stoke.schema"
local texts = require "stoke.agent.texts"
local window = require "stoke.team.window"

local M = {}

--- Characters of a part: what a small model begins it does not always end.
M.LENGTH = 400

texts.add {
  orchestrate_plan = { "the question that makes the plan", "task members limit",
    "The task:\n{task}\n\nWho can work on it:\n{members}\n\nSplit the task into separate parts, at most {limit}. Each part is done "
    .. "by one of them, at the same time as the others and without knowing them. Write each part so that it can be understood "
    .. "alone. Do not make a part of putting the results together." },
}

--- The shape of a plan.
---@param team table
---@return stoke.Schema
function M.shape(team)
  local names = make.names(team.members)
  local properties = { part = { type = "string", minLength = 1, maxLength = M.LENGTH, description = "what is to be done" },
    worker = { type = "string", enum = json.array(names) } }
  local order = #names > 1 and { "part", "worker" } or { "part" }
  if #names == 1 then properties.worker = nil end
  return schema.json { type = "object", required = { "parts" }, properties = { parts = { type = "array", minItems = 1,
    maxItems = team.max_tasks, items = { type = "object", required = json.array(order),
    properties = json.object(properties, order) } } } }
end

--- The question that makes it.
---@param talk stoke.team.talk
---@param team table
---@param short? boolean with less of what was said before it
---@return table[] messages
function M.question(talk, team, short)
  return talk:question("orchestrate_plan", { task = talk:goal(short), members = table.concat(make.lines(team.members), "\n"),
    limit = team.max_tasks }, not team.planner and team.sees)
end

--- Who makes the plan: an agent of the script's, bound to the shape, or the team's model.
---@param team table
---@return table definition
---@return stoke.agent planner
function M.planner(team)
  local planner = team.planner or make.inner(team, "planner", team.plan)
  if not team.planner then return planner.definition, planner end
  return setmetatable({ output = team.plan }, { __index = planner.definition }), planner
end

--- Make a plan.
---@param talk stoke.team.talk
---@param team table
---@return { part: string, worker: string }[]
---Raises what the planner raises.
function M.make(talk, team)
  local bound, planner = M.planner(team)
  local messages, shorter = window.elastic({}, function(_, short) return M.question(talk, team, short) end)
  local result, err = talk:ask(planner, messages, { plain = true, definition = bound, why = "plans", shorter = shorter })
  if not result then error(err, 0) end
  local tasks = {}
  for i, part in ipairs(result.output.parts) do
    tasks[i] = { part = part.part, worker = part.worker or team.members[1].name }
  end
  talk:tell { type = "plan", plan = tasks }
  return tasks
end

return M
