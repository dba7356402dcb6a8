--- How a world runs: tick after tick, at the pace of a clock, as far as thoughts have come.

local combine = require "core.combine"
local life = require "stoke.world.life"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds for which ticks are stepped before others have a turn, about.
local SLICE <const> = 0.005
--- Ticks that are stepped at once, at the most.
local MOST <const> = 4096
--- Seconds after which the tick that was reached is written down.
local WRITE <const> = 1

--- Tell the events of what was stepped, and begin the thoughts that it began.
local function publish(self)
  local engine = self.engine
  local events = engine.events
  if events[1] then
    engine.events = {}
    for i = 1, #events do self.feed:put(events[i]) end
  end
  local begun = self.begun
  if begun[1] then
    self.begun = {}
    for _, one in ipairs(begun) do
      if engine.thinking[one[1]] == one[2] then self.thoughts:begin(one[1], one[2]) end
    end
  end
end

--- Those whose inputs have a result are woken.
local function answer(self, rows)
  for i = 1, #rows do
    local row = rows[i]
    local asked = row.sent and self.asking[row.sent]
    if asked then
      asked.row.result, asked.row.error, asked.row.done = row.result, row.error, true
      tasks.wake(asked.task)
    end
  end
end

--- What was sent and takes effect at a tick: without a member first, then by member, each in the order of sending.
local function sent_until(self, tick)
  local due, rest = {}, {}
  for _, row in ipairs(self.sent) do
    if (row.at or 0) <= tick then due[#due + 1] = row else rest[#rest + 1] = row end
  end
  if due[1] then self.sent = rest end
  return due
end

local function before(a, b)
  if a.member ~= b.member then
    if a.member == nil or b.member == nil then return a.member == nil end
    return a.member < b.member
  end
  if a.kind ~= b.kind then return a.kind == "input" end
  return (a.sent or 0) < (b.sent or 0)
end

--- The entries for the tick that is next, written to the log; nil: a thought has to be waited for.
local function collect(self)
  local engine = self.engine
  local tick = engine.now
  local logged = self.logged
  if logged then -- written, but what they led to failed, or the process ended
    self.logged = nil
    if logged[1] and logged[1].tick == tick then return logged end
  end
  local answers = self.soonest <= tick and self.thoughts:due(tick) or (self.soonest > tick and {} or nil)
  if not answers then return nil end
  local rows = self.sent[1] and sent_until(self, tick) or {}
  table.move(answers, 1, #answers, #rows + 1, rows)
  if not rows[1] then return rows end
  if rows[2] then table.sort(rows, before) end
  for _, row in ipairs(rows) do row.tick = tick end
  local written, err = combine.try(self.log.add, self.log, rows)
  if err then
    for _, row in ipairs(rows) do
      if row.kind == "input" then table.insert(self.sent, row) end -- it was not written: it waits again
    end
    error(err, 0)
  end
  local _ = written
  for _, row in ipairs(answers) do self.thoughts.answers[row.member] = nil end
  return rows
end

--- The tick before which nothing but steps can happen.
local function quiet_until(self, goal)
  local engine = self.engine
  local now = engine.now
  local limit = math.min(goal, now + self.batch, now - now % self.def.every + self.def.every)
  if self.soonest < limit then limit = self.soonest end
  for _, row in ipairs(self.sent) do
    if (row.at or 0) < limit then limit = math.max(row.at or 0, now) end
  end
  return limit
end

--- Step once with entries of the log, or many times without.
local function advance(self, goal)
  local engine = self.engine
  if engine.now >= quiet_until(self, goal) or self.logged then
    local rows = collect(self)
    if not rows then return false end
    engine:tick(rows)
    if rows[1] then
      self.log:results(rows)
      for _, row in ipairs(rows) do
        if row.kind == "answer" then self.thoughts.answers[row.member] = nil end
      end
      answer(self, rows)
    end
  else
    engine:run(quiet_until(self, goal))
  end
  return true
end

--- Go forward for a slice of time, not beyond a tick.
---@param self stoke.world
---@param goal integer
---@return boolean moved false: a thought has to be waited for
local function slice(self, goal)
  local engine, from, began = self.engine, self.engine.now, time.monotonic()
  repeat
    local tick = engine.now
    self.soonest = engine:soonest()
    local done <close> = setmetatable({}, { __close = function(_, err) -- luacheck: ignore
      if err ~= nil then self.torn = engine.whole or engine.now end
    end })
    if not advance(self, goal) then break end
    publish(self)
    if engine.now % self.def.every == 0 then self.log:snapshot(engine.now, engine:encode()) end
    local spent = time.monotonic() - began
    if engine.now - tick >= self.batch and spent < SLICE then self.batch = math.min(self.batch * 2, MOST) end
    if spent > 2 * SLICE then self.batch = math.max(self.batch // 2, 1) end
  until engine.now >= goal or spent >= SLICE or self.paused and self.steps == 0
  self.steps = math.max(0, self.steps - (engine.now - from))
  return engine.now > from
end

local Idle = { __close = function(idle)
  local self = idle[1]
  self.busy = nil
  if self.settling then life.settle(self) end
end }

--- The same, while nobody else changes the world.
local function undisturbed(self, goal)
  self.busy = true
  local idle <close> = setmetatable({ self }, Idle) -- luacheck: ignore
  return slice(self, goal)
end

-- ---- the clock -----------------------------------------------------------------------------------------------------------------

--- The tick that the clock allows now, and seconds until the next one.
local function allowed(self)
  local pace = self.pace
  if pace == "free" then return math.maxinteger, nil end
  local now = time.monotonic()
  local per = self.def.tick / pace -- seconds of a tick
  if not self.anchor then self.anchor = { at = now, tick = self.engine.now } end
  local tick = self.anchor.tick + math.floor((now - self.anchor.at) / per)
  if tick - self.engine.now > math.max(1, 1 / per) then -- more than a second behind: that time is not caught up with
    self.anchor = { at = now - per, tick = self.engine.now }
    tick = self.engine.now + 1
  end
  return tick, self.anchor.at + (self.engine.now + 1 - self.anchor.tick) * per - now
end

local function wait(self, seconds)
  if self.stirred then return end
  self.waiting = true
  tasks.park("world.run", seconds and math.max(seconds, 0.0005) or nil)
  self.waiting = false
end

--- The tick is written down now and then.
local function note(self)
  local now = time.monotonic()
  if now - self.noted < WRITE then return end
  self.noted = now
  self.log:reach(self.engine.now)
end

--- Run until a tick is reached, or somebody stops it.
---@param self stoke.world
---@param goal integer
---@return "done"|"stopped"
function M.run(self, goal)
  self.anchor, self.noted = nil, time.monotonic()
  while self.engine.now < goal do
    self.stirred = nil
    if self.stopping then return "stopped" end
    if self.failure then
      local err = self.failure
      self.failure = nil
      error(err, 0)
    end
    if self.changing then
      wait(self)
    elseif self.paused and self.steps == 0 then
      self.anchor = nil
      self.log:reach(self.engine.now)
      wait(self)
    else
      local until_tick, seconds
      if self.paused then
        until_tick = math.min(goal, self.engine.now + self.steps)
      else
        local tick
        tick, seconds = allowed(self)
        until_tick = math.min(goal, tick)
      end
      if self.engine.now >= until_tick then
        wait(self, seconds)
      elseif undisturbed(self, until_tick) then
        note(self)
        time.sleep(0)
      else
        note(self)
        self.anchor = nil -- the clock stands while a thought is waited for
        wait(self)
      end
    end
  end
  return "done"
end

--- Claim the world for the running task.
---@param self stoke.world
---@return table guard to be closed
function M.claim(self)
  self.runner = tasks.current()
  self.stopping = nil
  return setmetatable({}, { __close = function()
    self.runner, self.waiting = nil, false
    life.settle(self)
  end })
end

return M
