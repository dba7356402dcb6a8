--- How a world runs: tick after tick, at the pace of a clock, as far as thoughts have come.

local combine = require "core.combine"
local data = require "stoke.world.data"
local errors = require "core.errors"
local life = require "stoke.world.life"
local order = require "stoke.world.order"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds of the processor for which ticks are stepped before others have a turn, about. (In tests other clocks stand still.)
local SLICE <const> = 0.005
--- Ticks that are stepped at once, at the most: the next ones may be a hundred times as dear.
local MOST <const> = 256
--- Seconds after which the tick that was reached is written down.
local WRITE <const> = 1

--- Tell the events of what was stepped, and begin the thoughts that it began.
local function publish(self)
  local engine = self.engine
  local events = engine.events
  if events[1] and not engine.apart then
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

--- The tick before which an input does not take effect: `floor` is beyond all thoughts whose answers are known already, since who
--- thought them knew of no such input.
local function due_at(self, row) return math.max(row.at or 0, self.floor) end

--- What was sent and takes effect at a tick.
local function sent_until(self, tick)
  local due, rest = {}, {}
  for _, row in ipairs(self.sent) do
    if due_at(self, row) <= tick then due[#due + 1] = row else rest[#rest + 1] = row end
  end
  if due[1] then self.sent = rest end
  return due
end

--- In a tick inputs without a member come first; then those of members in the order of ids, each as they were sent, and the answer.
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
  local answers = {}
  if self.soonest <= tick then
    local due, missing = self.thoughts:due(tick)
    if not due then
      self.missing = self.def.ahead == 0 and missing or nil
      return nil
    end
    answers = due
  end
  local rows = answers
  local sent = self.sent[1] and sent_until(self, tick)
  if sent and sent[1] then
    rows = table.move(answers, 1, #answers, #sent + 1, sent)
    table.sort(rows, before)
  end
  if not rows[1] then return rows end
  for _, row in ipairs(rows) do row.tick = tick end
  local written, err = combine.try(self.log.add, self.log, rows)
  if err then
    for _, row in ipairs(rows) do
      if row.kind == "input" then table.insert(self.sent, row) end -- it was not written: it waits again
    end
    error(err, 0)
  end
  local _ = written
  return rows
end

--- The tick before which nothing but steps can happen.
local function quiet_until(self, goal)
  local engine = self.engine
  local now = engine.now
  local limit = math.min(goal, now + self.batch, now - now % self.def.every + self.def.every)
  if self.soonest < limit then limit = self.soonest end
  for _, row in ipairs(self.sent) do
    local at = due_at(self, row)
    if at < limit then limit = math.max(at, now) end
  end
  return limit
end

--- Step all once with entries of the log, or many times without.
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

-- ---- members apart -------------------------------------------------------------------------------------------------------------

--- The tick beyond which nobody goes, as there is something that concerns all.
local function barrier(self, goal)
  local engine = self.engine
  local now, front = engine.now, engine.apart.front
  local limit = math.min(goal, now - now % self.def.every + self.def.every)
  for _, row in ipairs(self.sent) do limit = math.min(limit, math.max(due_at(self, row), front)) end
  return limit
end

--- Step those who need not wait, and commit what all have passed.
local function advance_apart(self, goal)
  local engine = self.engine
  engine.apart = engine.apart or order.begin(engine)
  local done = order.advance(engine, self.thoughts.answers, barrier(self, goal), self.levels)
  local slowest = order.slowest(engine)
  if slowest > engine.now then
    local rows = order.applied(engine, slowest)
    if rows[1] then self.log:add(rows) end
    engine.now = slowest
    for _, event in ipairs(engine:passed(slowest)) do self.feed:put(event) end
  end
  if slowest == engine.apart.front then engine.apart = nil end
  return done
end

--- Members that run ahead of each other do not see each other's changes of what all share.
local function check_ground(self)
  local engine = self.engine
  local text = data.encode(engine.state.ground, self.def.what .. ": ground")
  if engine.ground and engine.ground ~= text then
    errors.raise("argument", ("%s: a step, or the answer of a thought, has changed state.ground"):format(self.def.what),
      { hint = "with ahead > 0 only inputs without a member change what all share" })
  end
  engine.ground = text
end

local function snapshot(self)
  if self.def.ahead > 0 then check_ground(self) end
  self.log:snapshot(self.engine.now, self.engine:encode())
end

--- A piece of work between two looks at the time: how many ticks were done.
local function work(self, goal)
  local engine = self.engine
  local tick = engine.now
  local done <close> = setmetatable({}, { __close = function(_, err) -- luacheck: ignore
    if err ~= nil then self.torn = engine.whole or engine.now end
  end })
  self.soonest, self.missing = engine:soonest(), nil
  local ticks = 0
  if not engine.apart and advance(self, goal) then
    ticks = engine.now - tick
  elseif self.def.ahead > 0 and engine.list[2] then
    ticks = advance_apart(self, goal)
  end
  publish(self)
  if engine.now > tick and engine.now % self.def.every == 0 then snapshot(self) end
  return ticks
end

--- Go forward for a slice of time, not beyond a tick.
---@param self stoke.world
---@param goal integer
---@return boolean moved false: thoughts have to be waited for
local function slice(self, goal)
  local from, began, moved, spent = self.engine.now, time.cpu(), false, 0
  repeat
    local apart = self.engine.apart
    local size = apart and "levels" or "batch"
    local ticks, so_far = work(self, goal), spent
    if ticks == 0 then break end
    moved, spent = true, time.cpu() - began
    if ticks >= self[size] and spent < SLICE then self[size] = math.min(self[size] * 2, MOST) end
    if spent - so_far > 2 * SLICE then self[size] = math.max(self[size] // 2, 1) end
  until self.engine.now >= goal or spent >= SLICE or self.paused and self.steps == 0
  self.steps = math.max(0, self.steps - (self.engine.now - from))
  return moved
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
    elseif self.paused and self.steps == 0 and not self.engine.apart then
      self.anchor = nil
      self.log:reach(self.engine.now)
      wait(self)
    else
      local until_tick, seconds
      if self.paused then
        local apart = self.engine.apart -- they come together where the first of them is
        until_tick = math.min(goal, math.max(self.engine.now + self.steps, apart and apart.front or 0))
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
