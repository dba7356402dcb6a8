--- How people live in a world: what their steps do, and what becomes of their thoughts. All of it is quick and pure; models are
--- asked outside (stoke.person.mind).
---
--- A person is thought for at beats, whole minutes of the world unless `beat` says otherwise: so what several people think is asked
--- at once, and models change places at most once a beat. Between beats people walk.

local record = require "stoke.person.record"
local talk = require "stoke.person.talk"

local M = {}

local note, DAY <const> = record.note, 86400
--- People who are told to be near at most; lines of a conversation that are asked with.
local NEAR <const>, LINES <const> = 8, 20
--- From this importance on, what happened is thought about at once.
local URGENT <const> = 8

-- ---- where to -------------------------------------------------------------------------------------------------------------------

--- It sets out for a place.
local function go(people, member, place, here)
  if not people.place or not place then return end
  member.target = place
  if people.place:at(member.x, member.y) == place then
    people.place:stop(member)
  else
    people.place:go(member, place, here.tick)
  end
end

--- It has come into a conversation, or out of one: it stops, walks to the host, or goes on with what it did.
local function come(people, member, here)
  member.came = member.talk
  if member.talk then
    local _, host = talk.room(member, here)
    if not people.place then return end
    if host and host ~= member and record.distance(member, host) > people.limits.close then
      people.place:go(member, { x = host.x, y = host.y }, here.tick)
    else
      people.place:stop(member)
    end
  elseif member.resume then
    member.resume = nil
    if not member.player then go(people, member, member.target, here) end
  end
end

-- ---- what a person is asked -----------------------------------------------------------------------------------------------------

local function take(member, name)
  local list = member[name]
  member[name] = {}
  return list
end

--- Who is near, as the person sees them.
local function near(people, member, here)
  local out = {}
  for _, other in ipairs(here:near(member, people.hearing)) do
    if not other.asleep and #out < NEAR then
      out[#out + 1] = { id = other.id, name = other.name, doing = other.talk and "talking" or other.doing }
    end
  end
  return out
end

--- Begin a turn.
local function think(people, def, member, here, kind, more)
  local q = { kind = kind, at = people.place and people.place:at(member.x, member.y) or nil, doing = member.doing,
    mood = member.mood, news = take(member, "news"), feedback = take(member, "feedback"), near = near(people, member, here) }
  for name, value in next, more do q[name] = value end
  member.next = here.time + def.every
  here:think(member, "turn", q)
end

--- It is in a conversation: it answers who speaks to it, or speaks when it has the word.
local function converse(people, def, member, here)
  local room = talk.room(member, here)
  if not room then return end
  local invited = talk.invited(room, member)
  if not invited and not talk.turn(member, here) then return end
  local lines, first = {}, math.max(1, #room.lines - LINES + 1)
  for i = first, #room.lines do
    local one = room.lines[i]
    lines[#lines + 1] = { id = one.id, name = one.name, text = one.text }
  end
  local others = {}
  for i, other in ipairs(talk.others(room, member, here)) do others[i] = { id = other.id, name = other.name } end
  think(people, def, member, here, invited and "invited" or "talk", { talk = room.id, since = room.opened, lines = lines,
    others = others, from = others[1] and others[1].name or nil })
end

--- Is somebody near whom it has not met lately?
local function meets(people, member, here)
  local found = false
  for _, other in ipairs(here:near(member, people.hearing)) do
    local met = member.met[other.id]
    if not other.asleep and (not met or here.time - met > people.limits.again) then
      member.met[other.id], found = here.time, true
    end
  end
  return found
end

local function urgent(member)
  for _, one in ipairs(member.news) do
    if one.importance >= URGENT then return true end
  end
  return false
end

-- ---- the day --------------------------------------------------------------------------------------------------------------------

local function awake(def, clock)
  if def.wake == def.sleep then return true end
  if def.wake < def.sleep then return clock >= def.wake and clock < def.sleep end
  return clock >= def.wake or clock < def.sleep
end

--- It goes home, sleeps, and thinks about what it has lived.
local function night(people, def, member, here)
  if not member.bed then
    member.bed, member.item = true, nil
    go(people, member, def.home, here)
    member.doing = "going to bed"
  end
  if member.walk and member.walk.to then return end
  if not member.asleep then member.asleep, member.doing = true, "asleep" end
  if def.memory and def.reflect and not member.reflected then
    member.reflected = true
    here:think(member, "reflect", { news = take(member, "news") })
  end
end

--- What is to be done now, by the plan: the index of it.
local function item_at(def, plan, clock)
  local since, index = (clock - def.wake) % DAY, nil
  for i, item in ipairs(plan) do
    if (item.from - def.wake) % DAY <= since then index = i end
  end
  return index
end

--- The plan of the day is followed; true when something else begins.
local function follow(people, def, member, here, clock)
  local index = item_at(def, member.plan, clock)
  if not index or index == member.item then return false end
  local item = member.plan[index]
  member.item, member.doing = index, item.activity
  go(people, member, item.place, here)
  here:emit("does", { name = member.name, doing = item.activity, place = item.place })
  return true
end

local function rise(member)
  member.asleep, member.bed, member.reflected, member.met = nil, nil, nil, {}
  member.doing = "getting up"
end

--- Once a beat.
local function beat(people, def, member, here)
  if here:thinking(member) then return end
  if member.talk then return converse(people, def, member, here) end
  local clock = here.time % DAY
  if not awake(def, clock) then return night(people, def, member, here) end
  if member.bed or member.asleep then rise(member) end
  local day = math.tointeger((here.time - def.wake) // DAY)
  if member.planned ~= day then
    member.planned, member.item = day, nil
    if def.plan then return here:think(member, "day", { day = day, news = take(member, "news"), places = people.places }) end
    member.plan = def.routine
  end
  local begins = follow(people, def, member, here, clock)
  local meeting = meets(people, member, here)
  if begins or meeting or here.time >= member.next or urgent(member) then
    think(people, def, member, here, "free", { plan = member.plan, item = member.item })
  end
end

--- A step of a person.
---@param people stoke.people
---@param member table
---@param here stoke.world.here
---
--- Example: `stoke.world { step = function(member, here) live.step(people, member, here) end }`
function M.step(people, member, here)
  if member.talk ~= member.came then come(people, member, here) end
  local now = here.time // people.beat
  if now ~= member.beat then
    member.beat = now
    talk.recover(member, here)
    if member.room then talk.keep(member, here, people.limits) end
    local def = people.defs[member.id]
    if def then beat(people, def, member, here) end
    if member.talk ~= member.came then come(people, member, here) end
  end
  local place = people.place
  if place then place:step(member, here) end
end

-- ---- what a person does ---------------------------------------------------------------------------------------------------------

--- Somebody near, by name.
local function named(people, member, name, here)
  for _, other in ipairs(here:near(member, people.hearing)) do
    if other.name == name then return other end
  end
  return nil, name .. " is not near any more"
end

--- What each action does: false, and why, when it cannot be done any more.
local DO = {}

function DO.TALK(people, member, action, here, answer)
  local _ = people
  if member.talk ~= answer.talk then return false, "the conversation is over" end
  return talk.say(member, action.text, here)
end

function DO.REACH_OUT(people, member, action, here)
  local other, why = named(people, member, action.to, here)
  if not other then return false, why end
  local room = talk.room(member, here)
  if room and room.waiting[member.id] and room.members[1] == other.id then return talk.accept(member, action.text, here) end
  return talk.open(member, other, action.text, here, people.limits)
end

function DO.ACCEPT(people, member, action, here, answer)
  local _ = people
  if member.talk ~= answer.talk then return false, "nobody waits for that any more" end
  return talk.accept(member, action.text, here)
end

function DO.DECLINE(people, member, action, here, answer)
  local _ = people
  if member.talk ~= answer.talk then return false, "nobody waits for that any more" end
  return talk.decline(member, action.text, here)
end

function DO.LEAVE(people, member, action, here, answer)
  local _ = people
  if member.talk ~= answer.talk then return false, "the conversation is over" end
  return talk.leave(member, action.text, here)
end

function DO.GO(people, member, action, here)
  if member.talk then return false, "you are in a conversation" end
  go(people, member, action.place, here)
  member.doing = "going to the " .. action.place
  return true
end

function DO.DO(people, member, action, here)
  local _ = people
  member.doing = action.activity
  note(member, "I did this: " .. action.activity, here.time, 2, "agent")
  return true
end

function DO.THINK(people, member, action, here)
  local _ = people
  member.mood = action.mood
  note(member, "I thought: " .. action.thought, here.time, 4, "agent")
  here:emit("thinks", { name = member.name, text = action.thought, mood = action.mood })
  return true
end

function DO.DONE() return true end

--- An action of the world's own: who is named must still be near, and its `check` must agree.
local function own(people, member, action, here)
  local known, args, hearers = people.actions[action.action], {}, {}
  for _, param in ipairs(known.params) do
    local name = param[1]
    args[name] = action[name]
    if param[2] == "near" then
      local other, why = named(people, member, action[name], here)
      if not other then return false, why end
      args[name], hearers[#hearers + 1] = other, other
    end
  end
  if known.own.check then
    local ok, why = known.own.check(member, args, here)
    if not ok then return false, why or "that cannot be done" end
  end
  local remembered, heard = known.own.apply(member, args, here)
  if type(remembered) == "string" then note(member, remembered, here.time, 4) end
  for _, other in ipairs(type(heard) == "string" and hearers or {}) do note(other, heard, here.time, 4) end
  return true
end

--- What was thought for a turn becomes what is done, as far as it can be done now; the rest the person is told next time.
---@param people stoke.people
---@param member table
---@param answer stoke.person.answer
---@param here stoke.world.here
---
--- Example: `thoughts.turn.apply = function(member, answer, here) live.turn(people, member, answer, here) end`
function M.turn(people, member, answer, here)
  local feedback = answer.problems
  for _, action in ipairs(answer.actions) do
    local name = action.action
    local ok, why = (DO[name] or own)(people, member, action, here, answer)
    if not ok then feedback[#feedback + 1] = ("%s: %s"):format(name, why) end
  end
  member.feedback = feedback
  answer.mind.time, answer.mind.kind, answer.mind.failed = here.time, answer.kind, answer.failed
  member.mind = answer.mind
  M.silent(people, member, answer.talk, here)
end

--- Who was asked in a conversation, and did nothing there, has said nothing.
---@param people stoke.people
---@param member table
---@param id string|nil the conversation that it was asked in
---@param here stoke.world.here
---
--- Example: `live.silent(people, member, answer.talk, here)`
function M.silent(people, member, id, here)
  if not id or member.talk ~= id then return end
  local room = talk.room(member, here)
  if not room then return end
  if room.waiting[member.id] then
    talk.decline(member, nil, here)
  elseif room.speaker == member.id then
    talk.silent(member, here, people.limits)
  end
end

--- The plan of the day has come; where there is none, the day is as the last one was, or as the definition says.
---@param people stoke.people
---@param member table
---@param answer { plan?: table[], failed?: string, mind?: table }
---@param here stoke.world.here
---
--- Example: `live.day(people, member, { failed = "no model" }, here)`
function M.day(people, member, answer, here)
  local def = people.defs[member.id]
  member.plan = answer.plan or member.plan[1] and member.plan or def.routine
  if answer.mind then
    answer.mind.time, answer.mind.kind, answer.mind.failed = here.time, "day", answer.failed
    member.mind = answer.mind
  end
  if not answer.plan then return end
  local lines = {}
  for i, item in ipairs(member.plan) do lines[i] = item.activity end
  note(member, "My plan for today: " .. table.concat(lines, ", "), here.time, 3, "agent")
end

--- It could not be asked at all: a day goes by the routine, who had the word has said nothing, who is invited is asked again.
---@param people stoke.people
---@param member table
---@param kind "turn"|"day"|"reflect"
---@param failed { kind: string, message: string }
---@param here stoke.world.here
---
--- Example: `live.failed(people, ada, "turn", { kind = "timeout", message = "no answer within 600 s" }, here)`
function M.failed(people, member, kind, failed, here)
  member.mind = { time = here.time, kind = kind, failed = failed.message, found = {} }
  if kind == "day" then return M.day(people, member, { failed = failed.message }, here) end
  local room = kind == "turn" and talk.room(member, here)
  if room and room.speaker == member.id then talk.silent(member, here, people.limits) end
end

return M
