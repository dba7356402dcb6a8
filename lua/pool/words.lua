--- Why a call waits, in words for people: in spans, in stoke.pool(), in errors. Made only where somebody reads it. Pure.

local chores = require "core.pool.chores"
local choose = require "core.pool.choose"
local lanes = require "core.pool.lane"
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

--- Less than this, in seconds, is not worth a number.
local SOON <const> = 0.15

--- Seconds that are left, "a moment" when they are over.
local function left(seconds) return seconds < SOON and "a moment" or M.seconds(seconds) end

local function name_of(lane) return lane.target and lane.target.name or lane.key end

local function server_of(lane) return lane.target and lane.target.endpoint.name or lane.server.url end

-- ---- the server ------------------------------------------------------------------------------------------------------------

--- What keeps a lane from taking calls at all.
---@param lane stoke.pool.lane
---@param now number
---@return string|nil reason "m failed too often at gpu (refused); it is tried again in 4.0 s"
function M.shut(lane, now)
  if not chores.open(lane.server) then
    local watch = lane.server.watch
    return ("%s takes calls and answers none; it %s"):format(server_of(lane), watch.state == "sick" and watch.till > now and
      "is tried again in " .. M.seconds(watch.till - now) or "is asked for one token now")
  end
  local breaker = lane.breaker
  if not breaker or breaker:allows(now) then return nil end
  if now < breaker.paced_until then
    return ("%s wants to be left alone for %s more"):format(server_of(lane), left(breaker.paced_until - now))
  end
  return ("%s failed too often at %s%s; %s"):format(name_of(lane), server_of(lane),
    breaker.last and (" (%s)"):format(breaker.last.kind) or "",
    breaker.state == "open" and breaker.till > now and "it is tried again in " .. M.seconds(breaker.till - now)
      or "one call tries now whether it is back")
end

-- ---- the model -------------------------------------------------------------------------------------------------------------

--- Models in memory that have work, in words.
local function at_work(residency, but)
  local first, n = nil, 0
  for _, m in ipairs(residency.list) do
    local other = m.lane
    if m.resident and other ~= but and (other.busy > 0 or choose.waiting(other) > 0) then first, n = first or other, n + 1 end
  end
  if n == 1 then return name_of(first) .. " has work" end
  return n > 1 and ("the %d loaded ones have work"):format(n) or nil
end

--- Until those that must leave have nothing in flight.
local function drained(victims, now)
  local seconds, names = 0, {}
  for _, victim in ipairs(victims) do
    if victim.busy > 0 then seconds, names[#names + 1] = math.max(seconds, where.rest(victim, now)), name_of(victim) end
  end
  if seconds > 0 then return "loading begins in " .. M.seconds(seconds) end
  if not names[1] then return "loading begins now" end
  return ("loading begins as soon as %s %s answered"):format(table.concat(names, " and "), names[2] and "have" or "has")
end

--- A load is over some time after this many times what loads of the model take, though no answer has told yet.
local OVER <const> = 1.1

--- What a server is loading. No answer has come since, so it may be at its first answer already: where it is known what the load
--- takes, that is told apart by the time.
---@param server stoke.pool.server
---@param now number
---@return stoke.pool.lane|nil lane nil: nothing, or it must be there by now
---@return string|nil words "is being loaded (2.1 s of about 3.0 s)"
---@return number|nil seconds left, where that is known
function M.loading(server, now)
  local residency = server.residency
  local loading = residency and residency.loading
  if not loading or loading.try then return nil end
  local lane, so_far = loading.lane, now - loading.since
  local takes = residency.loads[lane.model or lane.key]
  if not takes and lane.facts then
    local load, known = lane.facts:load()
    takes = known and load or nil
  end
  if not takes then
    if so_far < SOON then return lane, "was just asked for" end
    return lane, ("was asked for %s ago and has not answered yet"):format(M.seconds(so_far))
  end
  if so_far > OVER * takes then return nil end
  return lane, ("is being loaded (%s of about %s)"):format(M.seconds(so_far), M.seconds(takes)), math.max(0, takes - so_far)
end

--- What another model of its server is at, which comes first.
local function other_first(lane, other, now)
  local loading, how = M.loading(lane.server, now)
  if loading == other then return name_of(other) .. " " .. how end
  local load = lane.server.residency.loading
  return name_of(other) .. (load and load.lane == other and not load.try and " has work" or " is loaded first")
end

--- The loaded models stay; until when at most?
local function others_stay(residency, lane, from, now)
  local working, most = at_work(residency, lane), from and from > now and from < math.huge and M.seconds(from - now)
  if not working then return most and "loading begins in " .. most or "it waits for its turn" end
  return most and ("%s, for %s more at most"):format(working, most) or working
end

--- The model of a lane has to be loaded first, or makes room for another.
local function away(lane, now)
  local residency, verdict = lane.server.residency, lane.server.verdict
  if not residency or not verdict or verdict.may[lane] then return nil end
  local other, there, load = verdict.lane, residency:resident(lane), residency.loading
  if there and other then return ("its model makes room for %s, which others wait for"):format(name_of(other)) end
  local why
  if other and other ~= lane then
    why = other_first(lane, other, now)
  elseif other and load and load.try and verdict.kind == "stay" then
    why = "a call for it waits in the server until there is room"
  elseif other then
    why = drained(verdict.victims or {}, now)
  elseif residency.doubt then
    why = "the server is asked which models are"
  else
    why = others_stay(residency, lane, verdict.from[lane], now)
  end
  return (there == nil and "its model is perhaps not loaded; " or "its model is not loaded; ") .. why
end

--- The model of a lane is on its way.
---@return string|nil words
---@return number|nil seconds until it is there
local function coming(lane, now)
  local residency = lane.server.residency
  local load = residency and residency.loading
  if load and load.lane == lane and load.try then return "its model is loaded when the server has room for it" end
  local loading, how, seconds = M.loading(lane.server, now)
  if loading ~= lane then return nil end
  return "its model " .. how, seconds
end

-- ---- its turn --------------------------------------------------------------------------------------------------------------

--- All that goes before a ticket, also of other groups that want the same lane.
local function ahead_of(ticket)
  local sum = { calls = 0, better = 0, held = 0, programs = 0, seen = {} }
  local only = ticket.group.lanes
  for _, group in ipairs(only[2] and { ticket.group } or only[1].groups) do group.queue:ahead(ticket, sum) end
  return sum
end

local BETTER <const> = { [2] = "interactive call", [3] = "call" }

--- "2 interactive calls and 3 programs before this one".
local function before_it(ticket, sum)
  local parts = {}
  if sum.better > 0 then
    parts[1] = count(sum.better, BETTER[ticket.class]) .. (ticket.class == 3 and " of a higher class" or "")
  end
  if sum.held > 0 then parts[#parts + 1] = count(sum.held, "call that others wait for", "calls that others wait for") end
  if sum.programs > 0 then
    parts[#parts + 1] = count(sum.programs, "program")
  elseif sum.calls > sum.better + sum.held then
    parts[#parts + 1] = count(sum.calls - sum.better - sum.held, ticket.group.queue.ranks and "call of its own program" or "call",
      ticket.group.queue.ranks and "calls of its own program")
  end
  local last = table.remove(parts)
  return (parts[1] and table.concat(parts, ", ") .. " and " or "") .. last .. " before this one"
end

local PASSES <const> = { overdue = "one that has waited longer than it may", deadline = "one whose deadline is near",
  prefix = "one whose conversation the slot still holds" }

--- The first hold of a lane to end, and how many of its slots are kept for conversations whose tools are at work.
local function held(lane, now)
  local kept = lane.holds
  local room = kept and choose.room(lane, now) or 0
  if room <= 0 or #kept < math.min(room, lanes.width(lane) - lane.busy) then return nil end
  local first
  for _, hold in ipairs(kept) do
    if hold.ticket then return "next, after a conversation whose slot is kept" end
    if not first or hold.till < first.till then first = hold end
  end
  return ("held for the conversation of %s, whose tool %sis at work: %s more at most"):format(first.agent or "an agent",
    first.tool and first.tool .. " " or "", left(first.till - now))
end

--- It is the next one: what is it that the lanes do not have? Those that take no calls now have nothing to give.
local function next_one(ticket, now)
  local busy, slots, ghosts, open = 0, 0, 0, {}
  for _, lane in ipairs(ticket.group.lanes) do
    if not M.shut(lane, now) then
      busy, slots, open[#open + 1] = busy + lane.busy, slots + lanes.width(lane), lane
      ghosts = ghosts + (lane.slots and lane.slots.ghosts and #lane.slots.ghosts or 0)
    end
  end
  if ghosts > 0 and busy < slots then return "next; a slot is still at the prompt of a call that was cancelled" end
  if busy == 0 then return "next, as soon as a call may begin" end
  local place = #open == 1 and ticket.group.lanes[2] and " of " .. server_of(open[1]) or ""
  return ("next; %s busy"):format(slots == 1 and ("the one slot%s is"):format(place) or
    ("all %d slots%s are"):format(slots, place))
end

--- Was a call sent that came later than this one? Then more may come that go before it, and its wait is no sum of what waits now.
local function overtaken(ticket)
  for _, lane in ipairs(ticket.group.lanes) do
    for other in next, lane.running do
      if other.arrived > ticket.arrived then return true end
    end
  end
  return false
end

--- Its turn has not come.
local function behind(ticket, lane, now)
  local sum, alone, q = ahead_of(ticket), ticket.group.lanes[2] == nil, ticket.group.queue
  local best, why = choose.best(lane, now)
  local load, until_there = coming(lane, now)
  local text
  if best == ticket then
    local kept = held(lane, now)
    if kept then return kept end
    text = next_one(ticket, now)
    sum.calls = 0
  elseif q.ranks and now - ticket.arrived >= q.bounds[ticket.class] then
    text = ("it has waited %s and goes before others, the oldest such call first"):format(M.seconds(now - ticket.arrived))
    alone = false
  elseif sum.calls == 0 then
    local other = best and best.group ~= ticket.group and "one that may go nowhere else" or "another one"
    text = "next, after " .. (PASSES[why] or other)
    sum.calls = 1
  else
    text = before_it(ticket, sum)
  end
  local usual = alone and where.usual(lane)
  if load then text = load .. "; " .. text end
  if not usual or load and not until_there then return text end
  local seconds = until_there and until_there + (1 + sum.calls / lanes.width(lane)) * usual
    or where.ahead(lane, ticket, now, sum.calls)
  if best ~= ticket and overtaken(ticket) then
    return ("%s; at least %s to wait, as more come that go before it"):format(text, M.seconds(seconds))
  end
  if seconds < SOON then return text .. "; any moment now" end
  return ("%s; about %s to wait"):format(text, M.seconds(seconds))
end

--- Why a ticket waits.
---@param ticket stoke.pool.ticket
---@param now number
---@param power? stoke.pool.power
---@return string reason "3 programs before this one; about 12 s to wait"
function M.reason(ticket, now, power)
  if power then
    local allowed, _, why = power:allows(now, ticket.class)
    if not allowed then return why or "this machine is to rest" end
  end
  local places, first = ticket.group.lanes, nil
  for _, lane in ipairs(places) do
    local why = M.shut(lane, now) or away(lane, now)
    if why and not places[2] then
      local sum = ahead_of(ticket)
      return sum.calls > 0 and why .. "; " .. before_it(ticket, sum) or why
    end
    if not why then
      if not ticket.home or ticket.shuns then return behind(ticket, lane, now) end
      return ("it waits up to %s for %s at %s, which should answer it sooner"):format(left(ticket.till - now), name_of(lane),
        server_of(lane))
    end
    first = first or why
  end
  return (places[2] and ("none of the %d places of its route takes it now: "):format(#places) or "") .. first
end

--- The places where a ticket may go: "m at gpu", "m at gpu or at 2 other places".
local function places_of(ticket)
  local places = (ticket.home or ticket.group).lanes
  local lane, others = places[1], #places - 1
  local first = lane.target and ("%s at %s"):format(name_of(lane), server_of(lane)) or lane.key
  return others == 0 and first or ("%s or at %s of its route"):format(first, count(others, "other place"))
end

--- What a ticket has waited for, once nobody waits for it any more.
---@param ticket stoke.pool.ticket that is still in its queue
---@param now number
---@param power? stoke.pool.power
---@return string "waited 3.0 s for a slot of m at gpu: 4 calls before this one; about 36 s to wait"
function M.waited(ticket, now, power)
  return ("waited %s for a slot of %s: %s"):format(M.seconds(now - ticket.arrived), places_of(ticket), M.reason(ticket, now, power))
end

--- Why a ticket was refused.
---@param ticket stoke.pool.ticket with `late`
---@param now number
---@return string
function M.refused(ticket, now)
  local has, before = math.max(0, ticket.deadline - now), ticket.before_it or 0
  local others = before > 0 and count(before, "call goes", "calls go") .. " before it, and" or "and"
  return ("would miss its deadline by %s: it has %s left, %s its answer is expected in %s"):format(M.seconds(ticket.late),
    M.seconds(has), others, M.seconds(has + ticket.late))
end

return M
