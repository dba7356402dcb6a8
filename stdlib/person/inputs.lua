--- What comes to people from outside of their world: somebody joins, walks and speaks; somebody is told something. What raises has
--- changed nothing.

local errors = require "core.errors"
local ordered = require "core.ordered"
local record = require "stoke.person.record"
local talk = require "stoke.person.talk"
local text = require "core.text"

local M = {}

--- Players at most; bytes of what they say, and of a name.
local PLAYERS <const>, SAID <const>, NAME <const> = 100, 1000, 40

local function check(what, args, fields)
  if args == nil then args = {} end
  return errors.options(args, fields, what)
end

--- A text from outside, on one line.
local function said(what, name, value, most)
  if type(value) ~= "string" then errors.argument("%s: %s must be a text, got %s", what, name, errors.describe(value)) end
  value = text.line(text.clean(text.valid(value)))
  if value == "" then errors.argument("%s: %s is empty", what, name) end
  if #value > most then errors.argument("%s: %s has %d bytes, %d at most", what, name, #value, most) end
  return value
end

local function player(what, member)
  if not member.player then errors.argument("%s: %s is not played by anybody: only who has joined can", what, member.name) end
end

--- An id that nobody has, made of a name.
local function free_id(members, name)
  local base = name:lower():gsub("[^%w]+", "_"):gsub("^[^%a]+", ""):sub(1, 24)
  if base == "" then base = "player" end
  local id, n = base, 1
  while members[id] do
    n = n + 1
    id = ("%s_%d"):format(base, n)
  end
  return id
end

local function join(people, state, args)
  local o = check("join", args, { name = "string", at = "string", x = "number", y = "number" })
  local name = said("join", "name", o.name, NAME)
  local count = 0
  local others = {}
  for _, member in next, state.members do
    if member.player then count = count + 1 end
    if member.name == name then errors.argument("join: there is a %s already", name) end
    others[#others + 1] = member
  end
  if count >= PLAYERS then errors.argument("join: %d have joined already, which is the most", PLAYERS) end
  local x, y = math.tointeger(o.x or 1), math.tointeger(o.y or 1)
  local place = people.place
  if place then
    if not (o.x and o.y) then x, y = place:nearest(o.at or place:names()[1], others) end
    if not x or not y or not place:free(x, y, others) then errors.argument("join: that tile is not free") end
  end
  local id = free_id(state.members, name)
  state.members[id] = people.new { id = id, name = name, player = true, x = x, y = y }
  return { id = id }
end

--- What a conversation needs of a step, where all members are at hand.
local function everybody(state, here)
  return { time = here.time, tick = here.tick, member = function(_, id) return state.members[id] end,
    emit = function(_, ...) here:emit(...) end }
end

local function leave(state, args, here)
  local o = check("leave", args, { id = "string" })
  local member = state.members[o.id or ""]
  if not member then errors.argument("leave: there is no %s", tostring(o.id)) end
  player("leave", member)
  talk.leave(member, nil, everybody(state, here))
  state.members[member.id] = nil
end

local function walk(people, member, args, here)
  local o = check("walk", args, { x = "number", y = "number", to = "string" })
  player("walk", member)
  if not people.place then errors.argument "walk: this world has no place" end
  if not o.to and not (o.x and o.y) then errors.argument "walk: say where to: x and y, or the name of a spot as `to`" end
  people.place:go(member, o.to or { x = math.tointeger(o.x), y = math.tointeger(o.y) }, here.tick)
end

--- Whom a player speaks to: who is named, else the nearest that can be spoken to.
local function listener(people, member, name, here)
  local best, far, why = nil, nil, "nobody is near"
  for _, other in ipairs(here:near(member, people.hearing)) do
    local distance = record.distance(member, other)
    if name and other.name == name or not name and not other.asleep and (not best or distance < far) then
      best, far = other, distance
    end
  end
  if name and not best then why = name .. " is not near" end
  return best, why
end

local function say(people, member, args, here)
  local o = check("say", args, { text = "string", to = "string" })
  player("say", member)
  local words = said("say", "text", o.text, SAID)
  local ok, why
  if member.talk then
    ok, why = talk.say(member, words, here)
  else
    local other, nobody = listener(people, member, o.to, here)
    if not other then errors.argument("say: %s", nobody) end
    ok, why = talk.open(member, other, words, here, people.limits)
  end
  if not ok then errors.argument("say: %s", why) end
end

--- What somebody is to know, and how much it matters: from 8 on it is thought about at once.
local function told(what, args)
  local o = check(what, args, { text = "string", importance = "number" })
  local importance = o.importance == nil and 8 or math.tointeger(o.importance)
  if not importance or importance < 0 or importance > 10 then
    errors.argument("%s: importance must be a whole number from 0 to 10, got %s", what, tostring(o.importance))
  end
  return said(what, "text", o.text, SAID), importance
end

local function tell(member, args, here)
  local news, importance = told("tell", args)
  record.note(member, news, here.time, importance)
end

local function broadcast(state, args, here)
  local news, importance = told("broadcast", args)
  for _, id in ipairs(ordered.names(state.members)) do record.note(state.members[id], news, here.time, importance) end
end

--- The inputs of a world of people.
---@param people stoke.people
---@return table<string, fun(record: table, args: any, here: stoke.world.here): any>
---
--- Example: `stoke.world { inputs = people.inputs }`
function M.of(people)
  return {
    join = function(state, args) return join(people, state, args) end,
    leave = leave,
    hang_up = function(member, args, here)
      check("hang_up", args, {})
      player("hang_up", member)
      talk.leave(member, nil, here)
    end,
    walk = function(member, args, here) return walk(people, member, args, here) end,
    say = function(member, args, here) return say(people, member, args, here) end,
    tell = tell,
    broadcast = broadcast,
  }
end

return M
