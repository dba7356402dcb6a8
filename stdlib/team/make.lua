--- How a team is made of its options. A team is an agent whose turns its members do, so whatever takes an agent takes a team.

local budgets = require "core.gate.budget"
local cache = require "core.cache.settings"
local errors = require "core.errors"
local ordered = require "core.ordered"
local scopes = require "core.scope"
local terms = require "core.terms"
local agents = require "stoke.agent"
local history = require "stoke.agent.history"
local reading = require "stoke.reading"
local schema = require "stoke.schema"
local stop = require "stoke.team.stop"
local talks = require "stoke.team.talk"
local texts = require "stoke.agent.texts"

local M = {}

--- Messages of members in a run, where the team does not say.
M.MAX_TURNS = 20
--- How often a member that failed is asked again.
M.RETRIES = 1

texts.add {
  team_note = { "added to the instructions of a member of a conversation", "agent others",
    "You are {agent}. You talk with: {others}. Answer as {agent} and for {agent} alone, and do not repeat what was said." },
  team_said = { "a message of another member", "agent text", "{agent}: {text}" },
  team_earlier = { "the question of the user to a planner, a manager or a judge, where there was a conversation before it",
    "conversation task", "{conversation}\n\nNow: {task}" },
  team_go_on = { "asked of a member whose own message was the last one", "", "Go on." },
  team_again = { "added to the question of a member that failed, or of who takes its place", "problem",
    "The last attempt failed: {problem}\nTry once more, another way." },
  team_gap = { "in the place of a member that failed, where the team goes on", "agent problem",
    "({agent} could not answer: {problem})" },
  team_output = { "the answer of a team, to be put into its schema", "task text",
    "The task:\n{task}\n\nThe answer:\n{text}\n\nPut this answer into the shape that is wanted. Add nothing." },
}

---@class stoke.team.definition what all teams take
---@field members stoke.agent[] agents with names, or teams
---@field name? string as of an agent: needed for handoffs, as_tool, serving and reload
---@field description? string what others read about it
---@field model? string of the team's own questions: who speaks next, a plan, a verdict; the first member's where not given
---@field endpoint? string
---@field route? string|string[]
---@field options? table|string sampling of these questions (temperature 0)
---@field think? boolean|string
---@field budget? { tokens?: integer, calls?: integer, seconds?: number } of a run, all members together
---@field deadline? number seconds of a run
---@field class? "interactive"|"normal"|"batch"
---@field cache? boolean|table
---@field output? any a schema: the answer is put into it, by one question more where it does not fit
---@field max_turns? integer messages of members in a run (20)
---@field stop? stoke.team.stop.condition|fun(state: stoke.team.state): boolean|string|nil
---@field retries? integer how often a member that failed is asked again (1)
---@field on_failure? "stop"|"go_on"|"replace"|fun(failure: { agent: string, error: stoke.error, tries: integer }): string|nil what
---  becomes of a member that failed for good: the run ends with its error, goes on with a word of it in its place, or another one
---  takes its place; a function also says "retry"
---@field substitute? stoke.agent|table<string, stoke.agent> who takes the place of a member: anybody's, or by name
---@field texts? table<string, string|function|false> what the team says to models, replaced: explain shows them

local OPTIONS = { name = "string", description = "string", members = "table", model = "string", endpoint = "string", route = true,
  options = true, think = true, budget = "table", deadline = "number", class = true, cache = true, output = true,
  max_turns = "number", stop = true, retries = "number", on_failure = true, substitute = "table", texts = "table" }

local POLICIES = { stop = true, go_on = true, replace = true }

local function whole(where, name, value, least)
  if value ~= nil and (math.type(value) ~= "integer" or value < least) then
    errors.argument("%s: %s must be a whole number of at least %d, got %s", where, name, least, errors.describe(value))
  end
end
M.whole = whole

--- Is this an agent, or a team?
---@param value any
---@return boolean
function M.is(value) return getmetatable(value) == agents.Agent end

local function check_member(where, member)
  if not M.is(member) then
    errors.argument("%s must be an agent (stoke.agent { ... }) or a team, got %s", where, errors.describe(member))
  end
  if not member.definition.name then
    errors.argument("%s is the agent made at %s, which has no name: a member of a team needs one", where, member.name)
  end
end
M.check_member = check_member

--- The members, checked: agents with names of their own.
local function members_of(where, list, least, most)
  if list == nil then errors.argument("%s: members is missing: { writer, critic }", where) end
  if M.is(list) then errors.argument("%s: members must be a list, { ... }, got %s alone", where, tostring(list)) end
  errors.list(where .. ": members", list)
  if #list < least then errors.argument("%s: members must be at least %d, got %d", where, least, #list) end
  if most and #list > most then errors.argument("%s: members must be at most %d, got %d", where, most, #list) end
  local out, seen = {}, {}
  for i, member in ipairs(list) do
    check_member(("%s: members[%d]"):format(where, i), member)
    if seen[member.name] then errors.argument("%s: two members are named %s", where, member.name) end
    out[i], seen[member.name] = member, true
  end
  return out
end

--- A name that must be one of the members', or one of some others.
---@param team table
---@param where string "stoke.team.graph: edges[1]"
---@param name any
---@param others? string[]
---@return string name
---Raises `argument`, with the name that was probably meant.
function M.check_name(team, where, name, others)
  if team.by_name[name] then return name end
  local names = {}
  for i, member in ipairs(team.members) do names[i] = member.name end
  for _, other in ipairs(others or {}) do
    if other == name then return name end
    names[#names + 1] = other
  end
  local near = errors.suggest(tostring(name), names)
  errors.argument("%s names %s, who is no member%s", where, errors.describe(name),
    near and (" (did you mean %s?)"):format(near) or "")
end

--- Members with what they are good for, a line each, for a model that chooses among them.
---@param members stoke.agent[]
---@param names? table<string, any> only those
---@return string[]
function M.lines(members, names)
  local lines = {}
  for _, member in ipairs(members) do
    if not names or names[member.name] then
      local about = member.definition.description
      lines[#lines + 1] = about and ("- %s: %s"):format(member.name, about) or "- " .. member.name
    end
  end
  return lines
end

--- The names of members.
---@param members stoke.agent[]
---@return string[]
function M.names(members)
  local names = {}
  for i, member in ipairs(members) do names[i] = member.name end
  return names
end

local function check_policy(where, given)
  local policy = given.on_failure
  if policy ~= nil and not POLICIES[policy] and not errors.callable(policy) then
    errors.argument("%s: on_failure must be \"stop\", \"go_on\", \"replace\" or a function, got %s", where, errors.describe(policy))
  end
  local other = given.substitute
  if M.is(other) then return check_member(where .. ": substitute", other) end
  for name, one in next, other or {} do check_member(("%s: substitute.%s"):format(where, tostring(name)), one) end
end

--- What options are called elsewhere, and here.
local CALLED <const> = { agents = "members", participants = "members", team = "members", nodes = "members", termination = "stop",
  termination_condition = "stop", stop_when = "stop", max_rounds = "max_turns", max_messages = "max_turns",
  workers = "members", critic = "members", system = "texts", prompts = "texts", start = "begin", entry_point = "begin" }

--- The name of a team, or a step.
---@param where string
---@param name string|nil
---Raises `argument`.
function M.check_label(where, name)
  if name ~= nil and (#name > 64 or not name:find "^[%w_][%w_ .-]*$") then
    errors.argument("%s: the name must be letters, digits, `_`, `-`, `.` or blanks, at most 64; got %q", where, name)
  end
end

local function check_names(where, given, known, pattern)
  if given[1] ~= nil then errors.argument("%s: the members stand in a list of their own: members = { writer, critic }", where) end
  for name in next, given do
    local why, here = pattern.refuses and pattern.refuses[name], CALLED[name]
    if why then errors.argument("%s: %s has no meaning here: %s", where, name, why) end
    if here == "max_turns" and known.rounds then here = "rounds" end
    if not known[name] and here and known[here] then errors.argument("%s: %s is called %s here", where, name, here) end
  end
end

local function check(where, given, pattern)
  if type(given) ~= "table" then errors.argument("%s: a table expected, got %s", where, errors.describe(given)) end
  local known = {}
  for name, kind in next, OPTIONS do known[name] = kind end
  for name, kind in next, pattern.options or {} do known[name] = kind end
  check_names(where, given, known, pattern)
  errors.options(given, known, where)
  M.check_label(where, given.name)
  whole(where, "max_turns", given.max_turns, 1)
  whole(where, "retries", given.retries, 0)
  if given.budget then budgets.check(given.budget, where .. ": budget") end
  if given.deadline then errors.check_seconds(given.deadline, where .. ": deadline") end
  if given.texts then texts.check(where, given.texts) end
  check_policy(where, given)
end

--- An agent for the team's own questions: temperature 0, no tools.
---@param team table its definition
---@param label string
---@param output any the schema of the answer, or nil for a text
---@param instructions? string
---@return stoke.agent
function M.inner(team, label, output, instructions)
  local asked = team.asked
  local options = asked.options
  if options == nil then options = { temperature = 0 } end
  return agents.inner({ model = asked.model, endpoint = asked.endpoint, route = asked.route, options = options, think = asked.think,
    texts = team.texts, output = output, instructions = instructions }, ("%s, %s"):format(team.label, label))
end

-- ---- its turns ----------------------------------------------------------------------------------------------------------------

--- The answer in the schema of the team: as it is where it fits, else one question more puts it there.
local function shaped(talk, text)
  local team = talk.team
  local value, err = reading.value(team.output, text)
  if not err then return text, value end
  local writer = M.inner(team, "output", team.output)
  local made, result = talk:decide(writer, talk:words("team_output", { task = talk:task(), text = text }))
  return result.text, made
end

--- The run of a team: its pattern, in a scope whose agents work for it.
local function played(pattern)
  return function(run)
    local scope <close> = scopes.open { run = run } -- luacheck: ignore
    local talk = talks.new(run)
    run.talk = talk
    run.report = function(result) talk:report(result) end
    local text, value = pattern.play(talk, run.agent)
    if run.agent.output and value == nil then text, value = shaped(talk, text) end
    local past = run.history
    local last = past[#past]
    if not (last and last.role == "assistant" and last.content == text) then past:push { role = "assistant", content = text } end
    run.last_text = text
    talk:tell { type = "text", text = text }
    return text, value, { reason = "stop", told = run.report }
  end
end

--- What explain prints of a team before its first question.
local function about(team)
  local names = M.names(team.members)
  return ("team %s: %s of %s; at most %d messages"):format(team.label, team.pattern, table.concat(names, ", "), team.max_turns)
end

--- The first question of a pattern that begins with its first member.
---@param team table
---@param past stoke.agent.history
---@return table definition of who is asked
---@return stoke.agent.history past
function M.first_member(team, past)
  local talk = talks.new { agent = team, history = past, route = nil }
  local member = team.members[1]
  return talk:in_company(member), history.new(talk:view(member.name))
end

--- The same for one whose members hear nothing of each other at first.
---@param team table
---@param past stoke.agent.history
---@return table definition
---@return stoke.agent.history past
function M.first_alone(team, past)
  return team.members[1].definition, history.new(table.move(past, 1, #past, 1, {}))
end

--- The first member that has a model: the team asks its own questions with it.
local function lead_of(members)
  for _, member in ipairs(members) do
    if member.definition.model or member.definition.route then return member.definition end
  end
  return members[1].definition
end

--- The names of what it says.
local function said_by(pattern, given)
  local names = table.move(pattern.texts or {}, 1, #(pattern.texts or {}), 1, {})
  if given.output ~= nil then names[#names + 1] = "team_output" end
  return names
end

---@class stoke.team.pattern
---@field name string
---@field play fun(talk: stoke.team.talk, team: table): string, any
---@field first? fun(team: table, past: stoke.agent.history): table, stoke.agent.history what is asked first
---@field options? table<string, string|true> its own options, beside those of all teams
---@field texts? string[] the names of its texts
---@field members? integer at least so many (1)
---@field most? integer at most so many
---@field refuses? table<string, string> options of all teams that mean nothing here, and what bounds it instead
---@field make? fun(team: table, given: table, where: string) works out its own options

--- Names that only mean something where somebody has them: those of substitutes, and of conditions that end it.
local function check_others(team, where)
  local other, stands_in = team.substitute, {}
  if M.is(other) then
    stands_in[1] = other.name
  else
    for _, name in ipairs(ordered.names(other or {})) do
      M.check_name(team, where .. ": substitute", name)
      stands_in[#stands_in + 1] = other[name].name
    end
  end
  local condition = team.stop or {}
  for _, name in ipairs(condition.from or {}) do M.check_name(team, where .. ": stop: from", name, stands_in) end
  for _, name in ipairs(condition.handoffs or {}) do
    if not team.outside_names then errors.argument("%s: stop.handoff: nobody hands over here; that is stoke.team.swarm", where) end
    M.check_name(team, where .. ": stop.handoff", name, team.outside_names)
  end
end

--- Make a team of a pattern.
---@param pattern stoke.team.pattern
---@param given table
---@return stoke.agent
---Raises `argument`.
function M.team(pattern, given)
  local where = "stoke.team." .. pattern.name
  check(where, given, pattern)
  if given.name then where = where .. " " .. given.name end
  local members = members_of(where, given.members, pattern.members or 1, pattern.most)
  local lead, by_name = lead_of(members), {}
  for i, member in ipairs(members) do by_name[member.name] = i end
  local own = given.model ~= nil or given.route ~= nil
  local team = { label = given.name or errors.place() or "a team", name = given.name, description = given.description,
    pattern = pattern.name, members = members, by_name = by_name, model = given.model or lead.model, endpoint = given.endpoint,
    route = given.route, budget = given.budget, deadline = given.deadline, class = terms.check(where, given.class),
    cache = cache.check(where, given.cache), texts = given.texts, max_turns = given.max_turns or M.MAX_TURNS,
    stop = given.stop ~= nil and stop.of(given.stop, where .. ": stop") or nil, retries = given.retries or M.RETRIES,
    on_failure = given.on_failure, substitute = given.substitute, play = played(pattern),
    first = pattern.first or M.first_member, about = about, said = said_by(pattern, given) }
  team.sees = not own -- the model of its own questions is that of a member, who may be shown images
  if not own then team.endpoint, team.route = given.endpoint or lead.endpoint, lead.route end
  team.asked = { model = team.model, endpoint = team.endpoint, route = team.route, options = given.options, think = given.think }
  if given.output ~= nil then team.output = schema(given.output) end
  if pattern.make then pattern.make(team, given, where) end
  check_others(team, where)
  return agents.played(team)
end

return M
