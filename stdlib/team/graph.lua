--- stoke.team.graph: members work along edges. An edge may have a condition; a member waits for any of those before it, or for
--- all; a way back makes a cycle, which has a cap.
---
---     local flow = stoke.team.graph { members = { writer, critic, editor }, edges = {
---       { "writer", "critic" },
---       { "critic", "writer", when = function(text) return text:find "again" end },
---       { "critic", "editor", when = function(text) return not text:find "again" end } } }
---     print(flow:run("A slogan for a bakery").text)

local history = require "stoke.agent.history"
local edges = require "stoke.team.edges"
local make = require "stoke.team.make"
local texts = require "stoke.agent.texts"
local window = require "stoke.team.window"

local M = {}

texts.add {
  graph_input = { "what comes to a member from the one before", "agent text", "{agent}:\n{text}" },
}

-- ---- a run: rounds of all that are ready ----------------------------------------------------------------------------------------

--- What a member reads: the task, then what comes to it; what it said itself before are its answers. Made again, with what comes
--- to it cut, where that does not fit.
local function conversation(talk, state, member, came)
  local before, said = state.messages[member.name], {}
  local at = before and #before + 1
  for i, from in ipairs(came) do said[i] = from.text end
  local messages, shorter = window.elastic(said, function(parts)
    local lines = {}
    for i, from in ipairs(came) do lines[i] = talk:words("graph_input", { agent = from.name, text = parts[i] }) end
    local question = lines[1] and table.concat(lines, "\n\n") or nil
    if not before then return talk:view(nil, question) end
    before[at] = { role = "user", content = question or talk:words "team_go_on" }
    return before
  end)
  return messages, said[1] and shorter or nil
end

--- What a member has said, or that it could not: what goes on, and its place among the ends.
local function spoken(talk, member, result, who, how)
  if not result then return talk:gap(member, how.failed, true) end
  return talk:say(who, result, true)
end

--- One round: all that are ready work at the same time; what they say goes on in the order of the members. Where no edge leads on
--- is an end, until that member works again.
local function round(talk, team, state, ready)
  local inputs, hows = {}, {}
  for i, member in ipairs(ready) do
    local name = member.name
    local messages, shorter = conversation(talk, state, member, state.came[name])
    hows[i] = { plain = true, otherwise = "stop", why = "its turn", shorter = shorter }
    inputs[i], state.messages[name], state.came[name], state.ends[name] = messages, messages, {}, nil
    state.visits[name] = (state.visits[name] or 0) + 1
  end
  local results, who = talk:each(ready, function(_, i) return inputs[i], hows[i] end)
  local next_ones = {}
  for i, member in ipairs(ready) do
    local name, result = member.name, results[i]
    local text = spoken(talk, member, result, who[i], hows[i])
    table.insert(state.messages[name], { role = "assistant", content = text })
    local onward = edges.follow(team, talk, member, text)
    if not onward[1] then state.ends[name] = { name = who[i].name, text = text, result = result } end
    for _, edge in ipairs(onward) do
      if edges.arrive(team, state, edge, text) then next_ones[edge.to] = true end
    end
  end
  return next_ones
end

--- The answer: what was said where no edge led on, in the order of the members. A member that could not answer has none alone.
local function answer(talk, team, state)
  local ends, good = {}, false
  for _, member in ipairs(team.members) do
    local one = state.ends[member.name]
    ends[#ends + 1], good = one, good or one ~= nil and one.result ~= false
  end
  if not good then return talk:answer() end
  if not ends[2] then
    talk.speaker = ends[1].name
    return ends[1].text, ends[1].result.output
  end
  local lines = {}
  for i, one in ipairs(ends) do lines[i] = talk:words("team_said", { agent = one.name, text = one.text }) end
  return table.concat(lines, "\n\n")
end

local function play(talk, team)
  local state = { messages = {}, came = {}, visits = {}, ends = {} }
  for _, member in ipairs(team.members) do state.came[member.name] = {} end
  local ready = edges.ready(talk, team, state, team.begin)
  while ready[1] do
    local tired
    local names = round(talk, team, state, ready)
    if talk:over() then break end
    ready, tired = edges.ready(talk, team, state, names)
    if tired then talk.stopped = ("%s has worked %d times"):format(tired, team.max_visits) end
  end
  talk.more = { waiting = not talk.stopped and edges.waiting(team, state) or nil }
  if talk.more.waiting then talk.stopped = table.concat(talk.more.waiting, ", ") .. " still waits for others" end
  return answer(talk, team, state)
end

local PATTERN = { name = "graph", play = play, make = edges.read,
  options = { edges = "table", join = "table", begin = true, max_visits = "number" },
  texts = { "graph_input", "team_said", "team_go_on", "team_again", "team_gap" } }

function PATTERN.first(team, past)
  for _, member in ipairs(team.members) do
    if team.begin[member.name] then return member.definition, history.new(table.move(past, 1, #past, 1, {})) end
  end
end

--- Members that work along edges.
---@param given stoke.team.definition and edges = { { "from", "to", when? = fun(text: string, state): boolean } ... }, join? = {
---  name = "any"|"all" }: whom a member waits for (any), begin? = who begins (those that nobody is before), max_visits? = how
---  often a member works in a run (5)
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local flow = stoke.team.graph { members = { writer, critic }, edges = { { "writer", "critic" } } }`
function M.new(given) return make.team(PATTERN, given) end

return M
