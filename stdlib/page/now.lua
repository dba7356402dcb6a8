--- The view of a page on what its host does now: calls and tokens, servers and models with their slots and queues, agents, caches,
--- and what failed.
---
--- It is looked at once a second whoever looks, and not at all when nobody does; of what was shown only what differs is published.

local activity = require "stoke.attach.activity"
local json = require "core.json"
local redact = require "core.redact"
local time = require "stoke.time"

local M = {}

--- Seconds between two looks; looks whose speeds are kept.
local EVERY <const>, KEPT <const> = 1, 120
--- Agents that are told: those that are in something, or ran last.
local AGENTS <const> = 100

---@class stoke.page.now
---@field id "now"
---@field kind "now"
local View = {}
View.__index = View

--- A view on this host.
---@return stoke.page.now
---
--- Example: `page:add(now.new())`
function M.new()
  return setmetatable({ id = "now", kind = "now", title = "Now", shown = {}, speeds = json.array(), last = nil }, View)
end

-- ---- what is seen ---------------------------------------------------------------------------------------------------------------

--- Tokens of answers so far: those that have ended, and those of streams that have not.
local function written(counts)
  local sum = counts.output_tokens
  local function add(lane)
    for _, call in ipairs(lane.calls) do sum = sum + (call.tokens or 0) end
  end
  for _, server in ipairs(counts.pool.servers) do
    for _, lane in ipairs(server.lanes) do add(lane) end
  end
  return sum
end

--- Tokens a second since the look before. A call that is told of when it ends, whole, was not written in that second: a mean of
--- some seconds is shown.
local function note_speed(self, counts)
  local now, before = { at = time.monotonic(), tokens = written(counts) }, self.last
  self.last = now
  if not before or now.at - before.at > 5 * EVERY then
    self.speeds = json.array()
    return
  end
  if now.at - before.at < EVERY / 2 then
    self.last = before
    return
  end
  local speeds = self.speeds
  speeds[#speeds + 1] = math.floor(math.max(0, now.tokens - before.tokens) / (now.at - before.at) * 10 + 0.5) / 10
  if #speeds > KEPT then table.remove(speeds, 1) end
end

--- The agents that are in something first, then those that ran last.
local function agents()
  local all = activity.agents()
  table.sort(all, function(a, b)
    if (a.busy or 0) ~= (b.busy or 0) then return (a.busy or 0) > (b.busy or 0) end
    if (a.newest or 0) ~= (b.newest or 0) then return (a.newest or 0) > (b.newest or 0) end
    return a.name < b.name
  end)
  return json.array(table.move(all, 1, math.min(#all, AGENTS), 1, {}))
end

--- What messages of failures quote may be secret.
local function failures()
  local list, dropped = activity.failures()
  local redactor = redact.new()
  for _, failure in ipairs(list) do
    failure.message = redact.known(redactor:prose(failure.message))
    failure.about = failure.about and redact.known(tostring(failure.about))
  end
  return json.array(list), dropped
end

--- All that is shown, by parts.
local function look(self)
  local counts = activity.counts()
  note_speed(self, counts)
  local state = counts.pool
  counts.pool = nil
  local list, dropped = failures()
  return { host = counts, pool = state, agents = agents(), cache = activity.cache(), failures = list, dropped = dropped,
    speeds = self.speeds }
end

--- Look, and publish the parts that are not as they were.
local function sample(self, stream)
  local change, differs = { view = self.id }, false
  for name, part in next, look(self) do
    local text = json.encode(part)
    if self.shown[name] ~= text then
      self.shown[name], change[name], differs = text, part, true
    end
  end
  if differs then stream:publish("change", change) end
end

-- ---- what the page asks for -----------------------------------------------------------------------------------------------------

--- All that a browser needs to begin with.
---@return table
---
--- Example: `local picture = view:picture()`
function View:picture()
  local picture = look(self)
  picture.view = self.id
  return picture
end

--- Look at the host as long as anybody watches.
---@param stream stoke.page.stream
---Raises `cancelled`.
---
--- Example: `tasks.spawn(view.follow, {}, view, page.stream)`
function View:follow(stream)
  while true do
    stream:watched()
    sample(self, stream)
    time.sleep(EVERY)
  end
end

return M
