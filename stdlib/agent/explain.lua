--- What an agent would ask, and may be told, shown without asking.

local stdio = require "core.stdio"
local answers = require "stoke.agent.answer"
local loop = require "stoke.agent.loop"
local texts = require "stoke.agent.texts"
local json = require "stoke.json"
local models = require "stoke.model"

local M = {}

--- What may be said to the model of this agent, in the order in which it may happen.
local function applicable(agent)
  if agent.play then
    local out = {}
    for i, name in ipairs(agent.said) do out[i] = { name = name, text = texts.template(name, agent.texts) } end
    return out
  end
  local calls = agent.definitions
  local function when(condition, ...) return condition and { ... } or {} end
  local names = {}
  for _, list in ipairs {
    { "empty" }, when(calls and agent.nudge ~= false, "nudge"), when(agent.output, "schema", "misfit"),
    when(calls, "unreadable", "unknown_tool", "bad_arguments", "too_many_calls", "repeated", "failure", "bug", "denied",
      "cancelled"),
    when(not calls, "unreadable_without_tools", "no_tools"),
    when(agent.targets, "handoff", "second_handoff"), when(agent.summarize, "summary_task", "summary"),
    when(agent.memory, "recalled"),
  } do
    table.move(list, 1, #list, #names + 1, names)
  end
  local out = {}
  for i, name in ipairs(names) do out[i] = { name = name, text = texts.template(name, agent.texts) } end
  return out
end

--- The request that a run would send first.
---@param agent table its definition
---@param past stoke.agent.history with the new messages
---@return { method: string, url: string, body: string, answer: string, texts: { name: string, text: string|function }[] }
---  of a team also agent: who is asked, team: what it is, in words
function M.next_request(agent, past)
  if agent.play then -- of a team: what its first member is asked, and what the team says
    local first, given = agent.first(agent, past)
    local made = M.next_request(first, given)
    made.agent, made.team = first.label, agent.about(agent)
    made.texts = table.move(made.texts, 1, #made.texts, #agent.said + 1, applicable(agent))
    return made
  end
  local run = loop.new(agent, past, 1)
  agent = run.agent
  local format = agent.output and not agent.definitions and agent.output:format() or nil
  run.target = loop.target(agent, true)
  if agent.memory then agent.memory.recall_for(run, true) end
  local messages, cap = loop.prompt(run, format)
  local made = models.request(run.target, agent, false, messages, not format and agent.definitions or nil, format,
    answers.options(agent, cap))
  made.answer, made.texts = answers.bound(agent, run.target), applicable(agent)
  return made
end

--- Print a request.
---@param made { method: string, url: string, body: string, answer: string, texts: table }
---@return { method: string, url: string, body: string, answer: string, texts: table } the same
function M.show(made)
  local body = json.encode(json.decode(made.body, { ordered = true }), { pretty = true })
  local lines = { ("%s %s\n%s"):format(made.method, made.url, body), "answer: " .. made.answer,
    "said to the model where it applies:" }
  if made.team then table.insert(lines, 1, ("%s\nthe first question, to %s:"):format(made.team, made.agent)) end
  for _, entry in ipairs(made.texts) do
    local text = type(entry.text) == "string" and entry.text:gsub("\n", "\n    ") or "(a function)"
    lines[#lines + 1] = ("  %s: %s"):format(entry.name, text)
  end
  stdio.print(table.concat(lines, "\n"))
  return made
end

return M
