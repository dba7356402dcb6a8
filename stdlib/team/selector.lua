--- stoke.team.selector: a model says after each message who speaks next. A grammar binds its answer to the names, so it is always
--- one of them; where a server knows no grammar and the model rambles, the next one in the order speaks. Prose is never searched.
---
---     local room = stoke.team.selector { members = { planner, writer, critic }, may_end = true, max_turns = 12 }
---     print(room:run("An announcement of our summer party").text)

local combine = require "core.combine"
local errors = require "core.errors"
local cut = require "stoke.tool.text".cut
local history = require "stoke.agent.history"
local json = require "stoke.json"
local make = require "stoke.team.make"
local schema = require "stoke.schema"
local talks = require "stoke.team.talk"
local texts = require "stoke.agent.texts"
local window = require "stoke.team.window"

local M = {}

--- Messages, and bytes of each, that the model reads which chooses.
local RECENT <const>, BYTES <const> = 8, 1500
--- What it answers where nobody has to speak any more.
local NOBODY <const> = "nobody"

texts.add {
  selector_choice = { "who speaks next; {members} is a line for each", "members conversation",
    "These work on a task together:\n{members}\n\nTheir conversation:\n\n{conversation}\n\n"
    .. "Who should speak next? Answer with one name." },
  selector_end = { "added to the members, where the model may end the conversation", "",
    "- nobody: the task is done, nothing is left to say" },
}

--- Those whom the script lets speak now, in the order of the team; nil: it says nothing.
local function allowed(talk, team)
  local given = team.candidates and team.candidates(talk)
  if given == nil then return nil end
  local where, named, names = team.label .. ": candidates", {}, {}
  errors.list(where, given)
  for _, one in ipairs(given) do
    local name = make.is(one) and one.name or one
    named[make.check_name(team, where, name)] = true
  end
  for _, member in ipairs(team.members) do
    if named[member.name] then names[#names + 1], names[member.name] = member.name, true end
  end
  if not names[1] then
    errors.raise("argument", where .. " are none", { hint = "nil leaves the choice free; select = ends a conversation by false" })
  end
  return names
end

--- Who may speak now: whom the script names; else not who has just spoken, unless there is nobody else.
local function candidates(talk, team)
  local names = allowed(talk, team)
  if names then return names end
  names = {}
  for _, member in ipairs(team.members) do
    if team.allow_repeat or member.name ~= talk.speaker or #team.members == 1 then
      names[#names + 1], names[member.name] = member.name, true
    end
  end
  return names
end

--- The agent that chooses among these; one for each set of names.
local function chooser(team, names, may_end)
  local key = table.concat(names, "\n") .. (may_end and "\n\n" or "")
  local known = team.choosers[key]
  if not known then
    local words = table.move(names, 1, #names, 1, {})
    if may_end then words[#words + 1] = NOBODY end
    known = make.inner(team, "who is next", schema.json { type = "object", required = { "next" },
      properties = { next = { type = "string", enum = json.array(words) } } })
    team.choosers[key] = known
  end
  return known
end

local function question(talk, team, names, may_end)
  local lines = make.lines(team.members, names)
  if may_end then lines[#lines + 1] = talk:words "selector_end" end
  local said = { talk:goal(true) }
  for i = math.max(1, #talk.turns - RECENT + 1), #talk.turns do
    local turn = talk.turns[i]
    said[#said + 1] = talk:words("team_said", { agent = turn.from, text = cut(turn.text, BYTES) })
  end
  return window.elastic(said, function(parts)
    return talk:question("selector_choice", { members = table.concat(lines, "\n"), conversation = table.concat(parts, "\n\n") },
      team.sees)
  end)
end

--- The member after who has just spoken, of these.
local function in_order(talk, team, names)
  local at = 0
  for i, member in ipairs(team.members) do
    if member.name == talk.speaker then at = i end
  end
  for i = 1, #team.members do
    local name = team.members[(at + i - 1) % #team.members + 1].name
    if names[name] then return name end
  end
end

--- The script chooses.
local function by_function(talk, team)
  local name = team.select(talk)
  if name == nil or name == false then return name end
  return make.check_name(team, team.label .. ": select", name)
end

--- The name of who speaks next; nil: nobody.
local function choose(talk, team)
  if team.select then
    local name = by_function(talk, team)
    if name ~= nil then return name or nil, "select" end
  end
  local names = candidates(talk, team)
  local may_end = team.may_end and talk.turns[1] ~= nil
  if #names == 1 and not may_end then return names[1], "nobody else" end
  local value, err = combine.try(talk.decide, talk, chooser(team, names, may_end), question(talk, team, names, may_end))
  if not err then
    if value.next == NOBODY then return nil end
    return value.next, "chosen"
  end
  if not talks.passes(err) then error(err, 0) end
  talk:failed(team.label, err, "go_on")
  return in_order(talk, team, names), "in order"
end

local function play(talk, team)
  repeat
    local name, why = choose(talk, team)
    if not name then
      talk.stopped = "nobody was chosen"
      break
    end
    local member = team.members[team.by_name[name]]
    local result, who = talk:ask(member, talk:view(name), { why = why })
    if result then talk:say(who, result) else talk:gap(member, who) end
  until talk:over()
  return talk:answer()
end

local PATTERN = { name = "selector", play = play, members = 2,
  options = { select = "function", candidates = "function", may_end = "boolean", allow_repeat = "boolean" },
  texts = { "selector_choice", "selector_end", "team_earlier", "team_note", "team_said", "team_go_on", "team_again", "team_gap" } }

function PATTERN.make(team, given, where)
  team.select, team.candidates = given.select, given.candidates
  team.may_end, team.allow_repeat = given.may_end, given.allow_repeat
  team.choosers = {}
  if team.by_name[NOBODY] then errors.argument("%s: no member may be named %q: it ends the conversation", where, NOBODY) end
end

function PATTERN.first(team, past)
  local talk = talks.new { agent = team, history = past }
  local names = candidates(talk, team)
  return chooser(team, names, false).definition, history.new(question(talk, team, names, false))
end

--- Members of whom a model says who speaks next.
---@param given stoke.team.definition and select? = fun(state): string|false|nil (who speaks next; false: nobody; nil: the model
---  decides), candidates? = fun(state): (string|stoke.agent)[]|nil (of whom the model chooses now; nil: of all), may_end? = true:
---  the model may end it, allow_repeat? = true: a member may speak twice in a row
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local room = stoke.team.selector { members = { planner, writer, critic }, may_end = true }`
function M.new(given) return make.team(PATTERN, given) end

return M
