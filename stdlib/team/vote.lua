--- stoke.team.vote: several answers to one question, and the one that most give. It ends as soon as no other can win: of five votes
--- three equal ones are enough, and the calls of the rest are cancelled.
---
---     local sure = stoke.team.vote { members = { solver }, votes = 5 }
---     local result = sure:run "How many legs have 3 spiders and 2 cats?"
---     print(result.text, result.votes[1].count)

local channel = require "core.channel"
local errors = require "core.errors"
local scopes = require "core.scope"
local make = require "stoke.team.make"
local json = require "stoke.json"

local M = {}

--- Votes where there is one member and nothing is said.
local VOTES <const> = 5

--- What makes two answers the same: a value of a schema as JSON, a text without its case, its spacing, and the marks of sentences,
--- quotes and emphasis at its ends. Signs stay: -5 is not 5, and C++ not C.
---@param result stoke.agent.result
---@return string
function M.key(result)
  if result.output ~= nil then return json.digest(result.output) or result.text end
  local text = result.text:lower():gsub("%s+", " ")
  local words = text:match "^[%s\"'`*(]*(.-)[%s\"'`*).,;:!?]*$"
  return words ~= "" and words or text
end

--- A member whose samples differ: each vote has a seed of its own where the agent has one, and no answer comes out of the cache.
local function sampler(member, i)
  local definition = member.definition
  local options = definition.options
  if definition.play or type(options) ~= "table" or math.type(options.seed) ~= "integer" then return definition end
  local own = {}
  for name, value in next, options do own[name] = value end
  own.seed = options.seed + i - 1
  return setmetatable({ options = own, capped = false }, { __index = definition })
end

--- Count a vote.
local function count(groups, by_key, key, i, member, result)
  local group = by_key[key]
  if not group then
    group = { count = 0, from = {}, first = i }
    by_key[key], groups[#groups + 1] = group, group
  end
  group.count = group.count + 1
  group.from[#group.from + 1] = member.name
  if not group.result or i < group.first then group.first, group.result = i, result end
  table.sort(groups, function(a, b) return a.count > b.count or a.count == b.count and a.first < b.first end)
end

--- Can no other answer win any more?
local function decided(groups, open)
  local first, second = groups[1], groups[2]
  return first ~= nil and first.count > (second and second.count or 0) + open
end

local function ask(talk, team, i, messages)
  local member = team.members[(i - 1) % #team.members + 1]
  local limits = { cache = false, route = talk.run.route }
  return talk:ask(member, messages, { definition = sampler(member, i), plain = true, limits = limits, otherwise = "go_on" })
end

local function play(talk, team)
  local messages = talk:view()
  local groups, by_key, open = {}, {}, team.votes
  local ends, started = channel.new(team.votes), 0
  do
    local scope <close> = scopes.open {}
    for _ = 1, math.min(team.votes, team.at_once) do
      scope:spawn(function()
        while started < team.votes do
          started = started + 1
          local i = started
          local result, who = ask(talk, team, i, messages)
          ends:send { i, result or false, who }
        end
      end)
    end
    while open > 0 and not decided(groups, open) do
      local ended = ends:recv()
      local i, result, who = ended[1], ended[2], ended[3]
      open = open - 1
      if result then
        talk:say(who, result, true)
        count(groups, by_key, team.by(result), i, who, result)
      end
    end
  end
  local won = groups[1]
  if not won then return talk:answer() end -- raises: nobody has answered
  talk.speaker = won.from[1]
  if open > 0 then talk.stopped = ("decided after %d of %d votes"):format(team.votes - open, team.votes) end
  local votes = {}
  for i, group in ipairs(groups) do votes[i] = { text = group.result.text, count = group.count, from = group.from } end
  talk.more = { votes = votes }
  talk:tell { type = "progress", votes = votes }
  return won.result.text, won.result.output
end

local BOUNDED <const> = "`votes` says how many there are, `budget` and `deadline` what they cost"

local PATTERN = { name = "vote", play = play, first = make.first_alone,
  options = { votes = "number", at_once = "number", by = "function" },
  refuses = { max_turns = BOUNDED, stop = BOUNDED },
  texts = { "team_again" } }

function PATTERN.make(team, given, where)
  make.whole(where, "votes", given.votes, 1)
  make.whole(where, "at_once", given.at_once, 1)
  team.votes = given.votes or #team.members > 1 and #team.members or VOTES
  for _, member in ipairs(team.members) do
    local options = member.definition.options
    if team.votes > #team.members and type(options) == "table" and options.temperature == 0 then
      errors.argument("%s: %s has temperature 0: its votes would be one answer, said several times", where, member.name)
    end
  end
  team.at_once = given.at_once or team.votes
  team.by = function(result)
    local key = (given.by or M.key)(result)
    if type(key) ~= "string" and math.type(key) == nil and type(key) ~= "boolean" then
      errors.argument("%s: by must return a text, a number or a boolean, got %s", where, errors.describe(key))
    end
    return tostring(key)
  end
end

--- Several answers, and the one that most give.
---@param given stoke.team.definition and votes? = how many (one of each member; 5 of one), at_once? = how many calls at once (all),
---  by? = fun(result): what makes two answers the same (M.key). The result has `votes` = { { text, count, from } ... }
---@return stoke.agent team
---Raises `argument`.
---
--- Example: `local sure = stoke.team.vote { members = { solver }, votes = 5 }`
function M.new(given) return make.team(PATTERN, given) end

return M
