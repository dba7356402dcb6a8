--- The record of a person in the state of a world: plain data, changed by steps alone.
---
---     id, name, x, y, walk          who and where; walk is stoke.place's
---     doing, mood, asleep           what the map shows
---     plan, planned, item           the plan of the day { from, activity, place }, of which day it is, which item is under way
---     news, feedback                what has happened, and what did not work, since it was asked last
---     said                          { text, time, to }
---     talk, host, room              a conversation: its id, who holds it, and at the holder the conversation itself
---     next, met, mind               when it is asked again at the latest, whom it met when, what it thought last
---     player                        a person outside: it is moved by inputs

local head = require "core.text".head

local M = {}

--- Things that have happened, kept until the person is asked.
M.NEWS = 40
--- Bytes of one.
M.LONGEST = 600

--- Something has happened that a person knows of.
---@param member table
---@param text string
---@param time number
---@param importance integer 0 to 10
---@param origin? "script"|"agent"|"stranger" who says so ("script")
---
--- Example: `record.note(ada, "The bell rang.", here.time, 3)`
function M.note(member, text, time, importance, origin)
  if member.player then return end
  local news = member.news
  if #news >= M.NEWS then
    local least = 1
    for i = 2, #news do
      if news[i].importance < news[least].importance then least = i end
    end
    table.remove(news, least) -- the oldest of what matters least
  end
  if #text > M.LONGEST then text = head(text, M.LONGEST) .. "..." end
  news[#news + 1] = { text = text, time = time, importance = importance, origin = origin or "script" }
end

--- How a plan of a day is remembered.
---@param plan { activity: string }[]
---@return string
---
--- Example: `record.note(ada, record.plan(ada.plan), here.time, 3, "agent")`
function M.plan(plan)
  local lines = {}
  for i, item in ipairs(plan) do lines[i] = item.activity end
  return "My plan for today: " .. table.concat(lines, ", ")
end

--- How far apart two are: the steps of a king in chess.
---@param a table
---@param b table
---@return integer
---
--- Example: `if record.distance(ada, bob) <= 2 then ... end`
function M.distance(a, b)
  local dx, dy = a.x - b.x, a.y - b.y
  if dx < 0 then dx = -dx end
  if dy < 0 then dy = -dy end
  return dx > dy and dx or dy
end

return M
