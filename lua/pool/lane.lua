--- Lanes and servers: the records that the pool counts in. A server is one address; a lane is one model on it, or a plain key of an
--- effect that is no model's. Pure, and needed by every process that asks a model: what only a contended lane has is added when
--- there is contention (lua/pool/engine.lua).

local M = {}

--- Calls at once of a plain key whose effect names no width. (A model's number is learned, from 1 on.)
M.PLAIN = 2

---@class stoke.pool.server
---@field url string address, or the plain key
---@field lanes stoke.pool.lane[]
---@field current? stoke.pool.lane the one lane that may be taken in place: no other model of this server is in use
---@field engaged boolean every call goes through the engine: somebody waits, or the server has to be watched
---@field residency? table which models are in memory (lua/pool/residency.lua); from the second model on
---@field verdict? stoke.pool.change what it decided last
---@field due? number when the server has to be looked at again though nothing happened
---@field touched? boolean something happened that may allow a grant

---@class stoke.pool.lane
---@field key string
---@field server stoke.pool.server
---@field target? stoke.target nil for a plain key
---@field model? string its name in the server's lists
---@field limit? integer calls at once, where somebody has said it
---@field busy integer calls that are out
---@field open integer while busy is less, a call may count itself in `busy` and needs no turn; while it is not 0, a call that
---  counted itself in may count itself out. 0 while the server is engaged
---@field failed? integer failures in a row that were seen while nobody watched
---@field last_error? stoke.error of these
---@field newest? number when the last call for it arrived
---@field queues? boolean more calls were sent than it has slots
---@field group? stoke.pool.group the calls that may go to this lane alone; from here on only once it was engaged
---@field groups? stoke.pool.group[] all groups that may go to this lane
---@field replies? integer that told how long they took
---@field asked? number tokens of prompts of which is known how much was remembered,
---@field remembered? number and how many were
---@field running? table<stoke.pool.ticket, true>
---@field slots? table lua/pool/slots.lua
---@field facts? table lua/pool/estimate.lua
---@field cache? table lua/pool/prefix.lua
---@field breaker? table lua/pool/breaker.lua
---@field talked? number when a conversation last called a tool whose context could be displaced meanwhile
---@field holds? stoke.pool.hold[] slots that are kept for a conversation

--- A server without lanes.
---@param url string
---@return stoke.pool.server
function M.server(url)
  return { url = url, lanes = {}, current = nil, engaged = false, touched = false, due = nil, residency = nil }
end

--- A lane of a server, idle.
---@param key string
---@param server stoke.pool.server
---@param target? stoke.target
---@return stoke.pool.lane
function M.new(key, server, target)
  local lane = { key = key, server = server, target = target, model = target and key:sub(#server.url + 2), limit = nil, busy = 0,
    open = 0 }
  server.lanes[#server.lanes + 1] = lane
  return lane
end

--- How many calls may be out at once, as far as anybody knows.
---@param lane stoke.pool.lane
---@return integer
function M.width(lane)
  local slots = lane.slots
  return lane.limit or slots and slots.believed or lane.target and 1 or M.PLAIN
end

--- Make a lane the one that may be taken in place. Only for a server that is not engaged.
---@param lane stoke.pool.lane
function M.reopen(lane)
  local server = lane.server
  local before = server.current
  if before and before ~= lane then before.open = 0 end
  server.current = lane
  lane.open = lane.failed and 0 or M.width(lane)
end

--- The engine takes over: nobody is counted in place.
---@param server stoke.pool.server
function M.engage(server)
  server.engaged = true
  for _, lane in ipairs(server.lanes) do lane.open = 0 end
end

--- Take a lane off its server.
---@param lane stoke.pool.lane
function M.remove(lane)
  local server = lane.server
  if server.current == lane then server.current = nil end
  for i, other in ipairs(server.lanes) do
    if other == lane then return table.remove(server.lanes, i) end
  end
end

return M
