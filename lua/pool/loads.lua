--- What loading a model takes, told apart from waiting for it. A server counts into the load of an answer all the time from the
--- arrival of its call until the model was there: also the wait until other models had nothing in flight. Where it is known when
--- the load itself began, each answer that waited for it tells how long it was, whichever comes first. A part of
--- lua/pool/residency.lua; `self` is the residency. Pure.

local M = {}

local NEVER = math.huge
--- A call that arrives within so many seconds of another one arrives with it.
local NEAR <const> = 0.1

--- Seconds for which the call that loads has waited in the server, until the others had nothing in flight. NEVER: nobody knows.
---@param load table the load under way, as residency keeps it
---@param seconds number from when that call was sent until the load was through
---@return number
function M.waited(load, seconds)
  if not load.waited then return 0 end
  if load.adopted or not load.pause then return NEVER end
  local wait = load.pause - load.since
  return seconds > wait and wait or 0 -- the load was through before: there was room
end

--- A model's load is through: its answers are going to tell what it took.
---@param m table the model
---@param load table
---@param wait number as M.waited gave
---@param ended number
function M.ended(m, load, wait, ended)
  m.learns = not load.adopted and wait < NEVER
  m.begins, m.ends = m.learns and load.since + wait or nil, not (load.adopted and wait < NEVER) and ended or nil
end

--- The seconds that an answer's load took without waiting for others; nil: nobody knows.
---@param m table
---@param now number
---@param seconds? number as the server told it
---@param total? number seconds from the call's arrival to its end
---@param least number less is no load
---@return number|nil seconds
---@return boolean load is it that of the model's last load?
function M.alone(m, now, seconds, total, least)
  if not seconds then return nil, false end
  local arrived, ends = total and now - total, m.ends
  if arrived and ends and arrived > ends then return seconds, false end -- of another load, or none
  local begins = m.begins
  if not arrived then arrived = begins or now end
  if not begins then -- nobody knows when it began
    if ends and seconds >= least then return nil, false end
    return seconds, false
  end
  local apart = arrived - begins
  if apart > NEAR and seconds < least then return seconds, false end -- it was through
  if apart < NEAR and apart > -NEAR then apart = 0 end
  return math.max(seconds + apart, 0), true
end

--- The first answer after a load says what it took.
---@param self stoke.pool.residency
---@param m table
---@param seconds number
function M.learn(self, m, seconds)
  m.learns = false
  local known = self.loads[m.name]
  local load = known and known + 0.3 * (seconds - known) or seconds
  self.loads[m.name], self.usual = load, math.max(load, self.usual or 0)
end

return M
