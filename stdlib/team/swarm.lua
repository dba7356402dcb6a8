--- stoke.team.swarm: members hand the conversation over, by calls; who answers without one has answered the user. In a session the
--- next question goes to who answered last.
---
---     local desk = stoke.team.swarm { members = { triage, billing, repairs }, outside = { person = "a human clerk" } }
---     print(desk:run("My invoice is wrong").text)

local errors = require "core.errors"
local guest = require "stoke.agent.guest"
local json = require "stoke.json"
local history = require "stoke.agent.history"
local make = require "stoke.team.make"
local talks = require "stoke.team.talk"
local texts = require "stoke.agent.texts"

local M = {}

--- Handoffs in a run where the team does not say; then who has the conversation must answer.
local HANDOFFS <const> = 6

texts.add {
  swarm_tool = { "the description of a handoff, as a tool; {description} begins with a blank, or is empty", "agent description",
    "Hand the conversation over to {agent}.{description} Only when it is not yours to answer." },
  swarm_param = { "the description of what goes with a handoff", "agent", "what {agent} has to know, in one or two sentences" },
  swarm_said = { "what the next one reads of a handoff", "agent to note", "(handed over to {to}: {note})" },
}

local function call_name(name) return "transfer_to_" .. name:gsub("[^%w_-]", "_") end

--- Two whom a model cannot tell apart: its calls have no blanks, and no points.
local function check_names(where, team)
  local seen = {}
  local function check(name)
    local call = call_name(name)
    if seen[call] then
      errors.argument("%s: %q and %q are the same name in a call of a model, %s; name one of them otherwise", where, seen[call],
        name, call)
    end
    seen[call] = name
  end
  for _, member in ipairs(team.members) do check(member.name) end
  for _, name in ipairs(team.outside_names) do check(name) end
end

--- A handoff as the model sees it.
local function tool_of(team, name, description)
  local params = json.object({ type = "object", required = { "note" }, properties = json.object { note = { type = "string",
    description = texts.of("swarm_param", team.texts, { agent = name }) } } }, { "type", "required", "properties" })
  return { type = "function", ["function"] = { name = call_name(name), parameters = params,
    description = texts.of("swarm_tool", team.texts, { agent = name,
      description = description and " " .. description .. "." or "" }) } }
end

--- Whom a member may hand over to: { name, description } each, members first, in their order.
local function targets(team, member)
  local allowed, out = team.to[member.name], {}
  local function add(name, description)
    if not allowed or allowed[name] then out[#out + 1] = { name, description } end
  end
  for _, other in ipairs(team.members) do
    if other ~= member then add(other.name, other.definition.description) end
  end
  for _, name in ipairs(team.outside_names) do add(name, team.outside[name]) end
  return out
end

--- The definition of a member with its handoffs; and which call means whom.
local function at_work(talk, team, member)
  local definition, by_call, lent = talk:in_company(member), {}, {}
  if #talk.turns >= team.max_handoffs or definition.play then return definition, by_call end
  for i, target in ipairs(targets(team, member)) do
    lent[i] = tool_of(team, target[1], target[2])
    by_call[call_name(target[1])] = target[1]
  end
  return lent[1] and guest.with(definition, { lend = lent }) or definition, by_call
end

--- Who has the conversation at the beginning: who answered last, else `begin`.
local function begins(talk, team)
  local past = talk.run.history
  for i = #past, 1, -1 do
    local at = past[i].role == "assistant" and team.by_name[past[i].name]
    if at then return team.members[at] end
  end
  return team.members[team.begin]
end

--- What a handoff says to the next one.
local function note_of(call)
  local note = type(call["function"].arguments) == "table" and call["function"].arguments.note
  return type(note) == "string" and note:find "%S" and note or "..."
end

local function play(talk, team)
  local member = begins(talk, team)
  while true do
    local definition, by_call = at_work(talk, team, member)
    local result, who = talk:ask(member, talk:view(member.name), { definition = definition })
    local call = result and result.calls and result.calls[1]
    local to = call and by_call[call["function"].name]
    if not result then -- the conversation goes back to who began, if that is another one
      talk:gap(member, who)
      if member == team.members[team.begin] then return talk:answer() end
      member = team.members[team.begin]
    elseif not to then
      talk:say(who, result)
      talk.stopped = who.name .. " answered"
      return talk:answer()
    else
      local words = talk:words("swarm_said", { agent = who.name, to = to, note = note_of(call) })
      result.text = result.text:find "%S" and result.text .. "\n" .. words or words
      talk:say(who, result)
      talk.handoff = to
      talk:tell { type = "handoff", from = who.name, to = to }
      if not team.by_name[to] then
        talk.stopped = "handed over to " .. to
        return note_of(call)
      end
      member = team.members[team.by_name[to]]
    end
    if talk:over() then return talk:answer() end
  end
end

local PATTERN = { name = "swarm", play = play, members = 2, options = { begin = "string", to = "table", outside = "table",
  max_handoffs = "number" },
  texts = { "swarm_tool", "swarm_param", "swarm_said", "team_note", "team_said", "team_go_on", "team_again", "team_gap" } }

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
  check_names(where, team)
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
  return (at_work(talk, team, begins(talk, team))), history.new(talk:view(begins(talk, team).name))
end

--- Members that hand the conversation over to each other.
---@param given stoke.team.definition and begin? = the name of who begins (the first member), to? = { name = { names } }: to whom a
---  member may hand over (all others), outside? = { name = "what for" }: others than members, the run then ends with what they are
---  told, max_handoffs? (6)
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local desk = stoke.team.swarm { members = { triage, billing }, outside = { person = "a human clerk" } }`
function M.new(given) return make.team(PATTERN, given) end

return M
