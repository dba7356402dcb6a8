--- What the engine wants to have done in the world: a list of { what, server, lane, ... } that the shell works off
--- (lua/gate/chores.lua). Pure.
---
---   look     read which models the server holds
---   trial    one token from a lane whose breaker is open
---   probe    one token from a server that has finished nothing for long, within `seconds`
---   unload   tell `lanes` to leave the server's memory

local watches = require "core.pool.watch"

local M = {}

--- Seconds for which a call is expected to be served where nothing is known of its lane.
local UNKNOWN <const> = 10

---@class stoke.pool.chore
---@field what "look"|"trial"|"probe"|"unload"
---@field server stoke.pool.server
---@field lane? stoke.pool.lane
---@field lanes? stoke.pool.lane[]
---@field seconds? number

--- Can a lane be asked for one token?
---@param lane stoke.pool.lane
---@return boolean
function M.can_ask(lane)
  local dialect = lane.target and lane.target.dialect
  return dialect ~= nil and dialect.pooling ~= nil
end

--- Does a server take calls? With the time at which to ask again, where not.
---@param server stoke.pool.server
---@return boolean
---@return number|nil due
function M.open(server)
  if server.watch then return server.watch:allows() end
  return true
end

--- Need a server not be watched any more? One of several is, as long as it has calls: nobody may wait for it, and still the next
--- call should not go there if it is wedged.
---@param server stoke.pool.server
---@return boolean
function M.quiet(server)
  if not server.watch then return true end
  if server.watch.state ~= "well" then return false end
  for _, lane in ipairs(server.lanes) do
    if lane.busy > 0 and lane.breaker and not lane.breaker.alone then return false end
  end
  return true
end

--- A call is sent.
---@param lane stoke.pool.lane
---@param now number
function M.sent(lane, now)
  local server, out = lane.server, 0
  for _, other in ipairs(server.lanes) do out = out + other.busy end
  if not server.watch then server.watch = watches.new(now) end
  server.watch:sent(now, out - 1)
end

--- A call has ended. Whatever came from the server is a sign of life.
---@param lane stoke.pool.lane
---@param outcome { err?: stoke.error, cancelled?: boolean }
---@param now number
function M.finished(lane, outcome, now)
  local watch, err = lane.server.watch, outcome.err
  if watch and not outcome.cancelled and (not err or rawget(err, "status")) then watch:sign(now) end
end

-- ---- what is to be done -----------------------------------------------------------------------------------------------------

--- The longest that a call of a lane should take.
local function longest(lane)
  local most = lane.facts and (lane.facts:most() or lane.facts:mean()) or UNKNOWN
  for ticket in next, lane.running or {} do most = math.max(most, ticket.at_most or 0) end
  return most
end

--- The lanes of a server that have nothing in flight, and whose models are loaded.
local function idle(server)
  local list, residency = {}, server.residency
  for _, lane in ipairs(server.lanes) do
    if lane.busy == 0 and residency and residency:resident(lane) then list[#list + 1] = lane end
  end
  return list
end

--- A lane of a server to ask for one token: one that should be loaded.
local function probed(server)
  local found
  for _, lane in ipairs(server.lanes) do
    if lane.target and (not found or lane.busy > 0) then found = lane end
  end
  return found
end

local function watch_over(server, now, chores)
  local watch, residency = server.watch, server.residency
  local loading = residency and residency.loading
  local count, most = 0, 0
  for _, lane in ipairs(server.lanes) do
    if lane.target then count = count + lane.busy end
  end
  if watch.state == "well" and not loading and now < watch.calm then -- signs of life only make it later
    return count > 0 and watch.calm or nil
  end
  for _, lane in ipairs(server.lanes) do
    if lane.busy > 0 and lane.target then most = math.max(most, longest(lane)) end
  end
  local out = { count = count, longest = most }
  local free = loading and idle(server) or {}
  if loading then out.load, out.idle = residency:price(loading.lane), #free > 0 end
  local act, due = watch:check(now, out)
  watch.calm = not loading and due or now
  if act == "unload" then
    watch:unloading(now)
    chores[#chores + 1] = { what = "unload", server = server, lanes = free }
  elseif act == "probe" then
    chores[#chores + 1] = { what = "probe", server = server, lane = probed(server), seconds = watch:probing(out.longest) }
  end
  return due
end

--- What a server needs now.
---@param server stoke.pool.server
---@param now number
---@param waiting fun(lane: stoke.pool.lane): integer
---@param chores stoke.pool.chore[] added to
---@return number|nil due when to ask again
function M.settle(server, now, waiting, chores)
  local verdict, due = server.verdict, nil
  if verdict and verdict.look and not server.looking then
    server.looking = true
    chores[#chores + 1] = { what = "look", server = server }
  end
  for _, lane in ipairs(server.lanes) do
    local breaker = lane.breaker
    if not server.watch and breaker and lane.busy > 0 and waiting(lane) > 0 then
      server.watch = watches.new(now) -- they were sent before anybody watched
    end
    if breaker and breaker.state == "open" and waiting(lane) > 0 then
      local wants, at = breaker:wants_trial(now)
      if wants then
        breaker:trial()
        chores[#chores + 1] = { what = "trial", server = server, lane = lane }
      elseif at and at < (due or math.huge) then
        due = at
      end
    end
  end
  local at = server.watch and watch_over(server, now, chores)
  if at and at < (due or math.huge) then due = at end
  return due
end

--- Why should a call not wait for a lane any longer? Through an outage that does not end nobody should.
---@param lane stoke.pool.lane
---@param arrived number
---@param now number
---@param class? integer
---@return stoke.error|table|nil err the last of the server; { wedged = true } where it takes calls and answers none
function M.refusal(lane, arrived, now, class)
  local watch, breaker = lane.server.watch, lane.breaker
  local err = breaker and breaker.since and breaker:refusal(arrived, now)
  if err then return err end
  if watch and watch.sick_since and watch:hopeless(arrived, now, class) then return { wedged = true } end
end

--- In a word, for people.
---@param server stoke.pool.server
---@param now number
---@return "ok"|"paced"|"sick"|"loading"
function M.word(server, now)
  local watch, worst = server.watch, "ok"
  if watch and (watch.state == "sick" or watch.state == "probing" and watch.was == "sick") then return "sick" end
  for _, lane in ipairs(server.lanes) do
    local word = lane.breaker and lane.breaker:word(now) or "ok"
    if word == "sick" then return word end
    if word ~= "ok" then worst = word end
  end
  if worst == "ok" and server.residency and server.residency.loading then return "loading" end
  return worst
end

return M
