--- What the end of a call teaches: of the lane's slots and speeds, of what its server remembers, of whether it answers, and of the
--- models that are in memory. Pure.

local chores = require "core.pool.chores"

local M = {}

--- The error of a call that was not wanted any more, for those who count errors.
local CUT <const> = { kind = "cancelled" }

--- When a prompt that was cancelled would have been read: its slot is taken until then, whoever has asked.
local function prompt_ends(lane, ticket, now)
  if not ticket or not lane.facts then return nil end
  local _, reading = lane.facts:service(ticket.input, 0, ticket.agent)
  local till = reading and ticket.began + reading
  return till and till > now and till or nil
end

--- A model that was loaded anew remembers nothing; and where the pool did not ask for that, the server may have been started anew,
--- with other slots.
local function loaded(lane, ticket, timings, now)
  local wanted = ticket and ticket.loads
  if not lane.facts:loaded(timings, wanted) then return end
  lane.cache:forget()
  if not wanted and not lane.limit then lane.slots:lost(now, "load") end
end

--- Slots are learned of a lane for which nobody has said a number.
local function teach_slots(lane, ticket, outcome, out, now)
  local slots, timings, err = lane.slots, outcome.timings, outcome.err
  if timings or not (err or outcome.cancelled) then return slots:answered(now, timings, out, ticket and ticket.began) end
  if outcome.cancelled then
    return slots:lost(now, "gone", outcome.in_prefill and prompt_ends(lane, ticket, now) or nil, ticket and ticket.began)
  end
  slots:lost(now, err.status == 503 and "503" or "gone", nil, ticket and ticket.began)
end

--- A prompt was read of which less was remembered than this says nothing of it: speeds vary.
local LITTLE <const> = 0.1

--- How many tokens prompts had, and how many of these the server remembered; for people.
local function count_prompt(lane, input, seen)
  lane.asked = (lane.asked or 0) + input
  lane.remembered = (lane.remembered or 0) + (seen > LITTLE and seen * input or 0)
end

--- A server that could not be reached answers again. It may have been started anew: with other slots, and nothing remembered. (That
--- its model was loaded for who asked whether it is back, no call of ours has said.)
---@param server stoke.pool.server
---@param now number
function M.back(server, now)
  for _, lane in ipairs(server.lanes) do
    if lane.slots then
      lane.cache:forget()
      if not lane.limit then lane.slots:lost(now, "load") end
    end
  end
end

--- What a finished call teaches of its lane.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket|nil nil: it was counted without one
---@param outcome { err?: table, timings?: table, cancelled?: boolean, in_prefill?: boolean }
---@param out integer calls that are still out
---@param now number
function M.of(lane, ticket, outcome, out, now)
  local timings, err = outcome.timings, outcome.err
  if not lane.slots then return end
  local seen = timings and lane.facts:seen_part(timings)
  if timings then
    lane.replies = (lane.replies or 0) + 1
    if seen then count_prompt(lane, timings.input, seen) end
    loaded(lane, ticket, timings, now)
  end
  if not lane.limit then teach_slots(lane, ticket, outcome, out, now) end
  local server = lane.server
  if server.residency then
    local load = server.residency:answered(lane, now, timings, err or outcome.cancelled and CUT or nil, err and err.unfit)
    if timings then timings.load = load end -- without the wait for others, which is no load
  end
  if timings then
    lane.facts:learn(timings, ticket and ticket.agent, ticket and ticket.shared, out + 1, ticket and ticket.loads)
    if not lane.limit and lane.cache.slots ~= lane.slots.believed then lane.cache:resize(lane.slots.believed) end
  end
  if ticket and ticket.unit then lane.cache:give(ticket.unit, timings and timings.output or 0, nil, seen or nil) end
  for _ = 1, lane.failed or 0 do lane.breaker:done(lane.last_error, now) end -- while nobody watched
  lane.failed, lane.last_error = nil, nil
  if not (err and err.unfit) then lane.breaker:done(outcome.cancelled and CUT or err, now) end
  chores.finished(lane, outcome, now)
end

return M
