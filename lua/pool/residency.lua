--- Stand-in: room for one model; stays while the one in memory has work, drains before it changes.
local M = {}
local Residency = {}
Residency.__index = Residency
function M.new(server) return setmetatable({ current = server.current, since = 0 }, Residency) end
function Residency:sent(lane) self.current = lane end
function Residency:answered() end
function Residency:seen() end
local function oldest_of(work, current)
  local best
  for _, w in ipairs(work) do
    if w.waiting > 0 and w.lane ~= current and (not best or w.class < best.class or w.class == best.class and w.oldest < best.oldest)
    then best = w end
  end
  return best
end
function Residency:decide(now, work)
  local mine, busy, due
  for _, w in ipairs(work) do
    if w.lane == self.current then mine = w elseif w.busy > 0 then busy = w.lane end
  end
  if busy and not mine then return { kind = "stay", may = { [busy] = true } } end
  local other = oldest_of(work, self.current)
  if not other then return { kind = "stay", may = { [self.current or work[1].lane] = true } } end
  local wants = other.overdue or other.class < (mine and mine.class or 4) or other.oldest + 10 <= now
  if mine and mine.waiting > 0 and not wants then
    due = other.oldest + 10
    return { kind = "stay", may = { [self.current] = true }, due = due }
  end
  if mine and mine.busy > 0 then return { kind = "drain", lane = other.lane, may = {} } end
  return { kind = "swap", lane = other.lane, may = { [other.lane] = true } }
end
return M
