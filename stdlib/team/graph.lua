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

local M = {}

texts.add {
  graph_input = { "what comes to a member from the one before", "agent text", "{agent}:\n{text}" },
}

-- ---- a run: rounds of all that are ready ----------------------------------------------------------------------------------------

--- What a member reads: the task, then what comes to it; what it said itself before are its answers.
local function conversation(talk, state, member, came)
  local lines = {}
  for _, from in ipairs(came) do
    lines[#lines + 1] = talk:words("graph_input", { agent = from.name, text = from.text })
  end
  local messages = state.messages[member.name]
  if not messages then
    messages = talk:view(nil, lines[1] and table.concat(lines, "\n\n") or nil)
    state.messages[member.name] = messages
  else
    messages[#messages + 1] = { role = "user", content = lines[1] and table.concat(lines, "\n\n") or talk:words "team_go_on" }
  end
  return messages
end

--- Which edges lead on from a member that has said this.
local function follow(team, talk, member, text)
  local out = {}
  for _, edge in ipairs(team.edges) do
    if edge.from == member.name and (not edge.when or edge.when(text, talk)) then out[#out + 1] = edge end
  end
  return out
end

--- Something has come to a member: is it ready? One that waits for all has to hear from each of those before it.
local function arrive(team, state, edge, text)
  local came = state.came[edge.to]
  for i, one in ipairs(came) do
    if one.name == edge.from then table.remove(came, i) break end -- the newest counts
  end
  came[#came + 1] = { name = edge.from, text = text }
  return team.join[edge.to] ~= "all" or #came >= #team.before[edge.to]
end

--- One round: all that are ready work at the same time; what they say goes on in the order of the members.
local function round(talk, team, state, ready)
  local inputs = {}
  for i, member in ipairs(ready) do
    inputs[i] = conversation(talk, state, member, state.came[member.name])
    state.came[member.name] = {}
    state.visits[member.name] = (state.visits[member.name] or 0) + 1
  end
  local hows = {}
  local results = talk:each(ready, function(_, i)
    hows[i] = { plain = true, otherwise = "stop", why = "its turn" }
    return inputs[i], hows[i]
  end)
  local next_ones, ends = {}, {}
  for i, member in ipairs(ready) do
    local text = results[i] and talk:say(member, results[i], true) or talk:words("team_gap", { agent = member.name,
      problem = hows[i].failed.message })
    table.insert(state.messages[member.name], { role = "assistant", content = text })
    local onward = follow(team, talk, member, text)
    if not onward[1] then ends[#ends + 1] = { name = member.name, text = text, result = results[i] or nil } end
    for _, edge in ipairs(onward) do
      if arrive(team, state, edge, text) then next_ones[edge.to] = true end
    end
  end
  return next_ones, ends
end

--- The members that are next, in their order; those that have worked too often are left out.
local function capped(team, state, names)
  local list, tired = {}, nil
  for _, member in ipairs(team.members) do
    if names[member.name] then
      if (state.visits[member.name] or 0) < team.max_visits then list[#list + 1] = member else tired = tired or member.name end
    end
  end
  return list, tired
end

local function waiting(team, state)
  local names = {}
  for _, member in ipairs(team.members) do
    if state.came[member.name][1] then names[#names + 1] = member.name end
  end
  return names[1] and names or nil
end

--- The answer: what was said last where no edge led on.
local function answer(talk, ends)
  if not ends[1] then return talk:answer() end
  if not ends[2] then
    talk.speaker = ends[1].name
    return ends[1].text, ends[1].result and ends[1].result.output
  end
  local lines = {}
  for i, one in ipairs(ends) do lines[i] = talk:words("team_said", { agent = one.name, text = one.text }) end
  return table.concat(lines, "\n\n")
end

local function play(talk, team)
  local state, ends = { messages = {}, came = {}, visits = {} }, {}
  for _, member in ipairs(team.members) do state.came[member.name] = {} end
  local ready = capped(team, state, team.begin)
  while ready[1] do
    local tired
    local names, ended = round(talk, team, state, ready)
    if ended[1] then ends = ended end
    if talk:over() then break end
    ready, tired = capped(team, state, names)
    if tired then talk.stopped = ("%s has worked %d times"):format(tired, team.max_visits) end
  end
  talk.more = { waiting = not talk.stopped and waiting(team, state) or nil }
  if talk.more.waiting then talk.stopped = table.concat(talk.more.waiting, ", ") .. " still waits for others" end
  return answer(talk, ends)
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
