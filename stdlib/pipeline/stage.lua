--- The workers of a stream: so many tasks that take its items, do the work, and settle each by what came of it. A batch has one
--- such stage, a pipeline several.
---
--- A failure is the item's own, or of the place where it happened (stoke.pipeline.failures). An item that failed by itself is tried
--- again after a pause, and is a dead letter after so many tries. Where the place is at fault (no server answers), the item is
--- handed back and no try is counted; when nothing was done for a while, the stage ends with that error.

local combine = require "core.combine"
local failures = require "stoke.pipeline.failures"
local settling = require "stoke.pipeline.settling"
local time = require "stoke.time"

local M = {}

--- Seconds that a server may be away once it has answered; before that, items that may find it away.
local PATIENCE <const>, CHANCES <const> = 60, 3

--- Seconds in which what was done is settled where the stage is stopped.
local SETTLE <const> = 3

--- Seconds of one wait for an item.
local LOOK <const> = 60

--- Items that are taken at once: as many as are worked at, and more of those that are done in no time.
local AT_ONCE <const>, MOST <const> = 64, 512

--- An item was lent more often than it was tried where hosts died; that many times more, and it is held to be what kills them.
local DEATHS <const> = 20

---@class stoke.pipeline.stage
---@field name string
---@field queue stoke.queue
---@field stream string
---@field group string
---@field concurrency integer
---@field tries integer
---@field lease number seconds
---@field work fun(item: stoke.queue.item): table|nil what item:ack is given
---@field room? fun() waits until what comes of an item has room
---@field told? fun(item: stoke.queue.item, state: "done"|"dead"|"again"|"back"|"lost", detail: any) what became of it: what it was
---  acknowledged with, or the error
local Stage = {}
Stage.__index = Stage

--- A stage; it begins with `run`.
---@param given table the fields above
---@return stoke.pipeline.stage
function M.new(given)
  given.tries, given.lease = given.tries or 3, given.lease or 30
  return setmetatable(given, Stage)
end

local function tell(self, item, state, detail)
  if self.told then self.told(item, state, detail) end
end

--- Nothing works there: wait a little, or give up.
local function lament(self, err)
  self.failures = (self.failures or 0) + 1
  local now = time.monotonic()
  self.since = self.since or now
  local patient = self.answered and err.kind ~= "auth"
  if patient and now - self.since > PATIENCE or not patient and self.failures >= CHANCES then error(err, 0) end
  time.sleep(failures.delay(math.min(self.failures, 4)))
end

local function fail(self, item, err)
  if failures.ends_all(err) or self.fatal and self.fatal(err) then error(err, 0) end
  local entry = { item = item, detail = err }
  if failures.of_place(err) then
    entry.state = "back"
  elseif failures.final(err) or item.try >= self.tries then
    entry.state, entry.reason = "dead", failures.reason(err)
  else
    entry.state, entry.reason, entry.delay = "again", failures.reason(err), failures.delay(item.try)
  end
  self.settling:add(entry)
  if entry.state == "back" then lament(self, err) end
end

local function handle(self, item, try)
  self.busy[item] = true
  local outcome, err = try(self.work, item)
  self.busy[item] = nil
  if err then return fail(self, item, err) end
  self.answered, self.failures, self.since = true, nil, nil
  self.settling:add { item = item, state = "done", value = outcome and outcome.value, publish = outcome and outcome.publish,
    detail = outcome }
end

local function work(self, reader)
  local try, _ <close> = combine.tries()
  while not self.stopped do
    if self.room then self.room() end
    local item = reader:take(LOOK)
    if item then handle(self, item, try) end
  end
end

--- What was done is settled also where the stage is stopped; what is worked at goes back, and that try is not counted.
local function finish(self)
  combine.shield(SETTLE, function()
    for item in next, self.busy do
      if not item.lost then self.settling:add { item = item, state = "back" } end
    end
    self.settling:finish()
  end)
end

local function serve(self)
  local reader <close> = self.queue:consume(self.stream, self.group, { lease = self.lease, tries = self.tries + DEATHS,
    prefetch = math.min(self.concurrency, AT_ONCE), most = MOST })
  self.busy, self.settling = {}, settling.new(self.queue, function(entry, mine)
    tell(self, entry.item, mine and entry.state or "lost", entry.detail)
  end, function(entry, err) fail(self, entry.item, err) end)
  local _ <close> = setmetatable({}, { __close = function() finish(self) end })
  local scope <close> = combine.scope()
  scope:spawn(self.settling.serve, self.settling)
  for _ = 1, self.concurrency do scope:spawn(work, self, reader) end
  scope:wait()
end

--- Work until `stop`, or until an error ends it.
---Raises what ends it: `cancelled`, the error of a place where nothing works, `db` and what else an engine says.
function Stage:run()
  repeat
    self.again, self.stopped = false, false
    self.task = combine.spawn(serve, self)
    local _, err = combine.try(self.task.await, self.task)
    if err and not self.again and not self.stopped then error(err, 0) end
  until not self.again
end

--- End it. What is lent and not settled goes back.
function Stage:stop()
  self.stopped = true
  if self.task then self.task:cancel(("the stage %s ends"):format(self.name)) end
end

--- Give back what is worked at, and begin anew: with newer code, or after it hung.
function Stage:restart()
  self.again = true
  if self.task then self.task:cancel(("the stage %s begins anew"):format(self.name)) end
end

return M
