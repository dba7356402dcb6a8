--- Why a call waits, in words for people: in spans, in stoke.pool(), in errors. Made only where somebody reads it. Pure.

local choose = require "core.pool.choose"
local where = require "core.pool.where"

local M = {}

--- A number of things.
local function count(n, one, many) return n == 1 and "1 " .. one or n .. " " .. (many or one .. "s") end

--- Seconds as people say them: "0.4 s", "12 s", "3 min".
---@param seconds number
---@return string
function M.seconds(seconds)
  if seconds < 9.95 then return ("%.1f s"):format(math.max(0, seconds)) end
  if seconds < 119.5 then return ("%.0f s"):format(seconds) end
  return ("%.0f min"):format(seconds / 60)
end

local function name_of(lane) return lane.target and lane.target.name or lane.key end

--- What keeps a whole lane from taking calls.
local function shut(lane, now)
  local room, due = choose.room(lane, now)
  if room >= 0 then return nil, room end
  local server = lane.target and lane.target.endpoint.name or lane.server.url
  return ("%s failed too often at %s; %s"):format(name_of(lane), server,
    due and due > now and "it is tried again in " .. M.seconds(due - now) or "one call tries whether it is back"), room
end

--- Its model has to be loaded first, or makes room for another.
local function away(lane, verdict, now)
  if not verdict or verdict.may[lane] then return nil end
  if verdict.kind == "stay" and verdict.lane then return "another model is being loaded" end
  if verdict.lane == lane then
    local left = 0
    for _, victim in ipairs(lane.server.lanes) do
      if victim ~= lane and victim.busy > 0 then left = math.max(left, where.rest(victim, now)) end
    end
    return "its model is not resident; swap in " .. M.seconds(left)
  end
  if verdict.lane then return ("its model makes room for %s, which others wait for"):format(name_of(verdict.lane)) end
  return verdict.due and verdict.due > now and "its model is not resident; swap in " .. M.seconds(verdict.due - now) .. " at most"
    or "its model is not resident; the resident ones have work"
end

--- Those before it in its queue.
local function behind(ticket, now)
  local tickets, programs = ticket.group.queue:before(ticket)
  local lane = ticket.group.lanes[1]
  local eta = ticket.group.lanes[2] == nil and where.usual(lane) and
    ("; about %s to wait"):format(M.seconds(where.ahead(lane, ticket, now))) or ""
  if programs > 0 then return count(programs, "program") .. " before this one" .. eta end
  if tickets > 0 then return count(tickets, "call") .. " before this one" .. eta end
  local busy, slots = 0, 0
  for _, other in ipairs(ticket.group.lanes) do
    busy, slots = busy + other.busy, slots + (other.limit or other.slots.believed)
  end
  if busy == 0 then return "next, as soon as a call may begin" end
  return ("next; %s busy"):format(slots == 1 and "the one slot is" or ("all %d slots are"):format(math.max(slots, busy))) .. eta
end

--- Why a ticket waits.
---@param ticket stoke.pool.ticket
---@param now number
---@return string reason "3 programs before this one; about 12 s to wait"
function M.reason(ticket, now)
  local lanes = ticket.group.lanes
  if ticket.home then
    return ("it waits up to %s for %s, which should end it first"):format(M.seconds(ticket.till - now), name_of(lanes[1]) ..
      (lanes[1].target and " at " .. lanes[1].target.endpoint.name or ""))
  end
  local first
  for _, lane in ipairs(lanes) do
    local why, room = shut(lane, now)
    why = why or away(lane, lane.server.verdict, now)
    if not why then
      first = nil
      if room > 0 and lane.holds and #lane.holds >= room then
        return "a slot is kept for a conversation whose tool is at work, until it goes on or " ..
          M.seconds(math.max(0, lane.holds[1].till - now)) .. " have passed"
      end
      break
    end
    first = first or why
  end
  local rests = lanes[1].server.rests
  return first or rests and "this machine is to rest: " .. rests or behind(ticket, now)
end

--- Why a ticket was refused.
---@param ticket stoke.pool.ticket with `late`
---@param now number
---@return string
function M.refused(ticket, now)
  local tickets = ticket.before_it or 0
  local why = tickets > 0 and count(tickets, "call") .. " before it" or "its answer takes longer than that"
  return ("would miss its deadline by %s: it has %s left, and there %s"):format(M.seconds(ticket.late),
    M.seconds(math.max(0, ticket.deadline - now)), tickets > 0 and (tickets == 1 and "is " or "are ") .. why
      or "is no time for an answer of about " .. M.seconds(ticket.at_most or 0))
end

return M
