--- Conversations of two and more: plain data, changed by the steps of those who take part.
---
--- A conversation lives in the record of one of them, the host (`host.room`); the others have its id and the host's (`talk`,
--- `host`). One has one field for it, so nobody is ever in two. Who is spoken to is in it from then on, and waits there until it
--- has accepted or declined. One speaks at a time: `room.speaker` is a lock, which its holder has as long as it thinks; then the
--- next one has it.
---
--- All who take part must step at the same tick: `tied` of stoke.world.

local record = require "stoke.person.record"

local M = {}

---@class stoke.person.talk.limits
---@field turns? integer things that are said before it ends (12)
---@field seconds? number it lasts at most, in world seconds (900)
---@field silences? integer turns in a row in which nobody says anything, after which it ends (2)
---@field members? integer who take part at most (4)
---@field patience? number world seconds that an invitation, or a player's turn, is waited for (300)
---@field close? integer how near they walk to the host (2)
---@field apart? integer tiles from the host from which on somebody who stands there has left (12)
---@field again? number world seconds before two who have talked meet as if for the first time (3600)

--- Where nothing else is said.
---@type stoke.person.talk.limits
M.LIMITS = { turns = 12, seconds = 900, silences = 2, members = 4, patience = 300, close = 2, apart = 12, again = 3600 }

--- Lines that are kept: the others are in the memories of those who heard them.
local KEPT <const> = 24

--- The conversation that somebody is in, or is invited to.
---@param member table
---@param here stoke.world.here
---@return table|nil room
---@return table|nil host
---
--- Example: `local room = talk.room(ada, here)`
function M.room(member, here)
  if not member.talk then return nil end
  local host = member.host == member.id and member or here:member(member.host)
  local room = host and host.room
  if room and room.id == member.talk then return room, host end
  return nil, nil
end

local function place_of(list, id)
  for i, one in ipairs(list) do
    if one == id then return i end
  end
end

--- Is it invited, and has not answered yet?
---@param room table
---@param member table
---@return boolean
---
--- Example: `if talk.invited(room, bob) then ... end`
function M.invited(room, member) return room.waiting[member.id] ~= nil end

--- Who takes part beside somebody, without those who have not answered.
---@param room table
---@param member table
---@param here stoke.world.here
---@return table[] members
---
--- Example: `for _, other in ipairs(talk.others(room, ada, here)) do print(other.name) end`
function M.others(room, member, here)
  local out = {}
  for _, id in ipairs(room.members) do
    if id ~= member.id and not room.waiting[id] then out[#out + 1] = here:member(id) end
  end
  return out
end

--- The next one has the word: who was spoken to, else the next in the order in which they came.
local function pass(room, from, to)
  local count = #room.members
  local at = place_of(room.members, from) or 0
  room.speaker = nil
  if to and to ~= from and place_of(room.members, to) and not room.waiting[to] then
    room.speaker = to
    return
  end
  for i = 1, count do
    local id = room.members[(at + i - 1) % count + 1]
    if id ~= from and not room.waiting[id] then
      room.speaker = id
      return
    end
  end
end

--- Somebody is heard by all in the conversation.
local function utter(room, member, text, here, to)
  local lines = room.lines
  if #lines >= KEPT then table.remove(lines, 1) end
  lines[#lines + 1] = { id = member.id, name = member.name, text = text, time = here.time }
  room.last, room.count, room.quiet = here.time, room.count + 1, 0
  member.said = { text = text, time = here.time, to = to }
  local names = {}
  for _, id in ipairs(room.members) do
    local other = id ~= member.id and here:member(id)
    if other then
      names[#names + 1] = other.name
      record.note(other, ("%s said: %s"):format(member.name, text), here.time, 4, member.player and "stranger" or "agent")
    end
  end
  record.note(member, ("I said to %s: %s"):format(table.concat(names, " and "), text), here.time, 3, "agent")
  here:emit("said", { name = member.name, text = text, talk = room.id, to = to })
end

--- Those who take part, as records. To be had before anybody is freed: who is in no conversation any more is not tied to the
--- others, and sees only who is near.
local function present(room, here)
  local out = {}
  for _, id in ipairs(room.members) do out[#out + 1] = here:member(id) end
  return out
end

--- Somebody is in no conversation any more.
local function free(member, room, here)
  if member.talk ~= room.id then return end
  member.talk, member.host, member.resume = nil, nil, true
  for _, id in ipairs(room.members) do
    if id ~= member.id then member.met[id] = here.time end
  end
end

--- It is over for those who are left in it.
local function close(room, host, left, here, why)
  for _, member in ipairs(left) do free(member, room, here) end
  host.room = nil
  here:emit("talk over", { talk = room.id, why = why, count = room.count })
end

--- Who holds the conversation after its host: the first who has answered, else the first.
local function heir_of(room, left)
  for _, member in ipairs(left) do
    if not room.waiting[member.id] then return member end
  end
  return left[1]
end

--- Somebody goes. Where the host goes, another one has the conversation; where less than two are left, it is over.
local function remove(room, host, id, here, why)
  local left = {}
  for _, member in ipairs(present(room, here)) do
    if member.id == id then
      free(member, room, here)
    else
      left[#left + 1] = member
      member.met[id] = here.time
    end
  end
  table.remove(room.members, place_of(room.members, id))
  room.waiting[id] = nil
  if #left < 2 then return close(room, host, left, here, why) end
  if host.id == id then
    local heir = heir_of(room, left)
    host.room, heir.room = nil, room
    for _, member in ipairs(left) do member.host = heir.id end
  end
  if room.speaker == id or room.speaker == nil then pass(room, id) end
end

--- Begin to talk with somebody who is near, or join the conversation that it is in.
---@param member table
---@param other table
---@param text string the first words
---@param here stoke.world.here
---@param limits stoke.person.talk.limits
---@return boolean
---@return string|nil why not
---
--- Example: `local ok, why = talk.open(ada, bob, "Good morning!", here, talk.LIMITS)`
function M.open(member, other, text, here, limits)
  if member.talk then return false, "you are in a conversation already" end
  if other == member then return false, "you cannot talk with yourself" end
  if other.asleep then return false, other.name .. " is asleep" end
  local room, host = M.room(other, here)
  if other.talk and not room then return false, other.name .. " talks with somebody else" end
  if room then
    if room.waiting[other.id] then return false, other.name .. " is just being spoken to" end
    if #room.members >= limits.members then return false, "too many people talk there" end
    room.members[#room.members + 1] = member.id
  else
    room = { id = ("%s@%d"):format(member.id, here.time), members = { member.id, other.id },
      waiting = { [other.id] = here.time }, lines = {}, count = 0, quiet = 0, opened = here.time, last = here.time }
    host, member.room = member, room
    other.talk, other.host = room.id, member.id
    here:emit("talk", { talk = room.id, from = member.name, to = other.name })
  end
  member.talk, member.host, member.met[other.id] = room.id, host.id, here.time
  local lock = room.speaker
  utter(room, member, text, here, other.id)
  if other.player and room.waiting[other.id] then M.accept(other, nil, here) end
  if lock == nil or lock == member.id then pass(room, member.id, other.id) end
  return true
end

--- Who is invited takes part.
---@param member table
---@param text string|nil its first words
---@param here stoke.world.here
---@return boolean
---@return string|nil why not
---
--- Example: `talk.accept(bob, "Good morning, Ada.", here)`
function M.accept(member, text, here)
  local room = M.room(member, here)
  if not room or not room.waiting[member.id] then return false, "nobody is waiting for that" end
  room.waiting[member.id] = nil
  if text then
    utter(room, member, text, here)
    pass(room, member.id)
  else
    room.speaker = room.speaker or member.id
  end
  return true
end

--- Who is invited does not take part.
---@param member table
---@param text string|nil
---@param here stoke.world.here
---@return boolean
---@return string|nil why not
---
--- Example: `talk.decline(bob, "Not now, I am late.", here)`
function M.decline(member, text, here)
  local room, host = M.room(member, here)
  if not room or not room.waiting[member.id] then return false, "nobody is waiting for that" end
  if text then utter(room, member, text, here) end
  remove(room, host, member.id, here, "declined")
  return true
end

--- Somebody speaks; the next one has the word. A player may speak whenever it likes.
---@param member table
---@param text string
---@param here stoke.world.here
---@param to? string id of whom it speaks to
---@return boolean
---@return string|nil why not
---
--- Example: `talk.say(ada, "How is the bread today?", here)`
function M.say(member, text, here, to)
  local room = M.room(member, here)
  if not room then return false, "the conversation is over" end
  if room.waiting[member.id] then
    if not member.player then return false, "accept first" end
    room.waiting[member.id] = nil
  end
  local holds = room.speaker == member.id or room.speaker == nil
  if not holds and not member.player then return false, "it is not your turn" end
  utter(room, member, text, here, to)
  if holds then pass(room, member.id, to) end
  return true
end

--- Who has the word says nothing; where nobody says anything any more, it is over.
---@param member table
---@param here stoke.world.here
---@param limits stoke.person.talk.limits
---@return boolean
---
--- Example: `talk.silent(ada, here, talk.LIMITS)`
function M.silent(member, here, limits)
  local room, host = M.room(member, here)
  if not room or room.speaker ~= member.id then return false end
  room.quiet, room.last = room.quiet + 1, here.time
  if room.quiet >= limits.silences then
    close(room, host, present(room, here), here, "silence")
  else
    pass(room, member.id)
  end
  return true
end

--- Somebody leaves.
---@param member table
---@param text string|nil its last words
---@param here stoke.world.here
---@return boolean
---
--- Example: `talk.leave(ada, "Goodbye!", here)`
function M.leave(member, text, here)
  local room, host = M.room(member, here)
  if not room then return false end
  if text then utter(room, member, text, here) end
  remove(room, host, member.id, here, "left")
  return true
end

--- Is it on its way? Who only makes way for another one is not.
local function walks(member) return member.walk ~= nil and member.walk.to ~= nil end

--- Why somebody takes part no more: it does not answer, has walked away, or is not in the world any more.
local function missing(room, host, member, here, limits)
  if not member then return "gone" end
  local since = room.waiting[member.id]
  if since and here.time - since >= limits.patience then return "no answer" end
  if record.distance(host, member) >= limits.apart and not walks(host) and not walks(member) then return "left" end
end

--- The host sees to it that a conversation ends, and that nobody is waited for too long.
---@param host table
---@param here stoke.world.here
---@param limits stoke.person.talk.limits
---
--- Example: `if ada.room then talk.keep(ada, here, talk.LIMITS) end`
function M.keep(host, here, limits)
  local room = host.room
  if room.count >= limits.turns then return close(room, host, present(room, here), here, "turns") end
  if here.time - room.opened >= limits.seconds then return close(room, host, present(room, here), here, "time") end
  for i = #room.members, 1, -1 do
    local id = room.members[i]
    local why = missing(room, host, here:member(id), here, limits)
    if why then remove(room, host, id, here, why) end
    if host.room ~= room then return end
  end
  local speaker = room.speaker and here:member(room.speaker)
  if speaker and speaker.player and here.time - room.last >= limits.patience then M.silent(speaker, here, limits) end
end

--- Who is in a conversation that nobody holds any more, because its host was taken out of the world, is in none.
---@param member table
---@param here stoke.world.here
---
--- Example: `talk.recover(ada, here)`
function M.recover(member, here)
  if member.talk and not M.room(member, here) then member.talk, member.host, member.resume = nil, nil, true end
end

--- May somebody speak now? It has the word, and those who walk there have arrived.
---@param member table
---@param here stoke.world.here
---@return boolean
---
--- Example: `if talk.turn(ada, here) then ... end`
function M.turn(member, here)
  local room, host = M.room(member, here)
  if not room or room.speaker ~= member.id then return false end
  if walks(member) or walks(host) then return false end
  for _, other in ipairs(M.others(room, member, here)) do
    if walks(other) then return false end
  end
  return true
end

return M
