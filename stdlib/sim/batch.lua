--- What the streams of one runner do to each other. A runner works in steps; each step gives every
--- stream one token, and takes longer the more streams there are. A new prompt is evaluated in the
--- steps of all, so the others crawl meanwhile; prompts come one after the other.
---
--- Progress is one number for the whole runner, in seconds that a stream alone would have needed: it
--- grows by a second each second for one stream, by less for more. A stream that joined at progress p
--- has token i at p + i * each, whatever happens between. So a change of speed costs nothing for each
--- stream.

local heap = require "core.heap"

local M = {}
local Batch = {}
Batch.__index = Batch

local MOST = 32 -- beyond this a further stream does not slow the others: no real server has more

--- `streams` get tokens, `reading` are those whose prompt is not yet read.
---@param cost number what each stream beyond the first adds to a step, as a part of it
function M.new(cost)
  return setmetatable({ cost = cost, at = 0, progress = 0, streams = 0, reading = 0, busy_from = 0, busy_until = 0, crawl = 0,
    ends = heap.new() }, Batch)
end

--- How much longer a step takes than for one stream.
---@param more integer? streams that would be there in addition
function Batch:slowness(more)
  local n = self.streams + (more or 0)
  if n <= 1 then return 1 end
  return 1 + self.cost * (math.min(n, MOST) - 1)
end

-- Progress over an interval with nothing changing but prompts.
local function span(self, from, to)
  local slow = self:slowness()
  local stalled = math.max(0, math.min(to, self.busy_until) - math.max(from, self.busy_from))
  return (to - from - stalled) / slow + stalled * self.crawl
end

--- Brings the progress up to a time.
---@param now number
function Batch:advance(now)
  if now <= self.at then return end
  if self.streams > 0 then self.progress = self.progress + span(self, self.at, now) end
  self.at = now
end

--- When the progress will be there, if nothing changes.
---@param progress number
---@return number
function Batch:time_of(progress)
  local left, at, slow = progress - self.progress, self.at, self:slowness()
  if left <= 0 then return at end
  if at < self.busy_from then
    local free = (self.busy_from - at) / slow
    if left <= free then return at + left * slow end
    left, at = left - free, self.busy_from
  end
  if at < self.busy_until then
    local crawled = (self.busy_until - at) * self.crawl
    if left <= crawled then return at + left / self.crawl end
    left, at = left - crawled, self.busy_until
  end
  return at + left * slow
end

--- A prompt comes: when its evaluation begins.
---@param now number
---@param wait number seconds until the running step lets it in
---@param seconds number how long it takes
---@param crawl number the progress of the others meanwhile, a second
---@return number
function Batch:prompt(now, wait, seconds, crawl)
  self:advance(now)
  local begins = now + wait
  if self.busy_until > now then
    if begins < self.busy_until then begins = self.busy_until end
  else
    self.busy_from = begins
  end
  if seconds > 0 then self.busy_until, self.crawl = begins + seconds, crawl end
  return begins
end

--- A stream joins, with so much work to do.
---@param t table gets `from`, the progress at which it joined
---@param work number
function Batch:join(now, t, work)
  self:advance(now)
  self.streams = self.streams + 1
  t.from = self.progress
  if work < math.huge then t.end_event = self.ends:add(t.from + work, "end", t) end
end

--- A stream will end earlier than it was to.
---@param progress number
function Batch:shorten(t, progress)
  if t.end_event then self.ends:cancel(t.end_event) end
  t.end_event = self.ends:add(progress, "end", t)
end

--- A stream is gone.
function Batch:quit(now, t)
  self:advance(now)
  self.streams = self.streams - 1
  if t.end_event then self.ends:cancel(t.end_event) end
  t.end_event = nil
end

--- When the next stream ends, or nil.
---@return number?
function Batch:next_end()
  local e = self.ends:first()
  return e and self:time_of(e.at)
end

local NEAR = 1e-9

--- A stream that has done its work by now, or nil.
---@param now number
---@return table?
function Batch:ended(now)
  self:advance(now)
  local e = self.ends:first()
  if not e or e.at > self.progress + NEAR then return nil end
  e.arg.end_event = nil
  return self.ends:take(e.at).arg
end

return M
