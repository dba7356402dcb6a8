--- The life of a world between its parts: how its state is taken up from the log, and who is woken when something has come.

local engines = require "stoke.world.engine"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Wake the task that runs it, if it waits.
---@param self stoke.world
---
--- Example: `life.wake(town)`
function M.wake(self)
  self.stirred = true -- it may be about to wait
  if self.waiting then tasks.wake(self.runner) end
end

--- Tell watchers what was done with the world; it is no event of the state.
---@param self stoke.world
---@param kind string
---@param value? table
---
--- Example: `life.announce(town, "paused")`
function M.announce(self, kind, value)
  local engine = self.engine
  self.feed:put { tick = engine.now, time = engine:time(engine.now), type = kind, data = value }
end

-- ---- those who wait for a moment between two slices ----------------------------------------------------------------------------

--- They look again.
---@param self stoke.world
---
--- Example: `life.settle(town)`
function M.settle(self)
  local waiting = self.settling
  self.settling = nil
  for _, task in ipairs(waiting or {}) do tasks.wake(task) end
end

local Unlisted = { __close = function(unlisted)
  local list, task = unlisted[1].settling, unlisted[2]
  for i, one in ipairs(list or {}) do
    if one == task then return table.remove(list, i) end
  end
end }

--- Wait for the next one.
---@param self stoke.world
---
--- Example: `while town.busy do life.wait_settled(town) end`
function M.wait_settled(self)
  local me = tasks.current()
  self.settling = self.settling or {}
  table.insert(self.settling, me)
  local unlisted <close> = setmetatable({ self, me }, Unlisted) -- luacheck: ignore
  tasks.park "world.step"
end

-- ---- answers -------------------------------------------------------------------------------------------------------------------

--- An answer has come: it is in the log before anybody goes on with it.
---@param self stoke.world
---@param row stoke.world.row
---@param entry table the thought
---
--- Example: `life.answered(town, row, entry)`
function M.answered(self, row, entry)
  if self.def.wait then row.tick = entry.due end
  self.log:answer(row, self.engine.now)
  if self.engine.thinking[row.member] ~= entry then return end -- it was given up meanwhile
  self.thoughts.answers[row.member] = row
  if self.missing and entry.due <= self.engine.now then
    self.missing = self.missing - 1
    if self.missing > 0 then return end -- nobody can go on yet
  end
  M.wake(self)
end

--- It could not be written: world:run raises that.
---@param self stoke.world
---@param err stoke.error
---
--- Example: `life.failed(town, err)`
function M.failed(self, err)
  self.failure = err
  M.wake(self)
end

-- ---- the state -----------------------------------------------------------------------------------------------------------------

local function rest() time.sleep(0) end

--- The state as the log has it, before the inputs of a tick.
---@param self stoke.world
---@param tick integer
---@param mend? boolean results that a killed process had not written are written
---@return stoke.world.engine
---
--- Example: `local engine = life.load(town, 3600)`
function M.load(self, tick, mend)
  local log, def = self.log, self.def
  local shot = log:before(tick)
  local engine = shot and engines.from(def, shot) or engines.new(def)
  local rows, lost = nil, {}
  engine:replay(function(from, to)
    rows = log:ticks(from, to)
    for _, row in ipairs(rows) do lost[row] = row.result == nil and not row.error or nil end
    return rows
  end, tick, rest)
  local found = {}
  for _, row in ipairs(mend and rows or {}) do
    if lost[row] and (row.result ~= nil or row.error) then found[#found + 1] = row end
  end
  log:results(found)
  return engine
end

--- The same for a look back: from the moment that was looked at last, where that is nearer than a snapshot.
---@param self stoke.world
---@param tick integer
---@return stoke.world.engine engine to be read before anything waits
---
--- Example: `local state = life.past(town, 3600).state`
function M.past(self, tick)
  local log, seen, age = self.log, self.seen, self.age
  self.seen = nil -- nobody else takes it meanwhile
  local shot = log:before(tick)
  if seen and seen.now <= tick and seen.now >= (shot and shot.tick or 0) then
    seen:replay(function(from, to) return log:ticks(from, to) end, tick, rest)
  else
    seen = M.load(self, tick)
  end
  if age == self.age then self.seen = seen end -- else somebody went back meanwhile
  return seen
end

--- What thoughts of members did outside of the world is undone, from the beginning of one that will be asked again, else from now.
local function undo_outside(self)
  local def, engine = self.def, self.engine
  if not def.on_back then return end
  local function undo(who)
    local entry, known, last = engine.thinking[who], self.thoughts.answers[who], self.thoughts:known_until(who)
    local from = entry and not known and entry.begun or last and last + 1 or engine.now
    def.on_back(who, engine:time(from), self)
  end
  if not engine.members then return undo "" end
  for _, member in ipairs(engine.list) do undo(member.id) end
end

--- Take up the state of a tick: at first, after going back, after a failure.
---@param self stoke.world
---@param tick integer
---@param anew? boolean thoughts were begun after it, in this process or another
---
--- Example: `life.take_up(town, 3600, true)`
function M.take_up(self, tick, anew)
  self.thoughts:stop()
  self.begun, self.torn, self.seen, self.age = {}, nil, nil, {}
  local engine = M.load(self, tick, true)
  self.engine = engine
  engine.on_think = function(who, entry) self.begun[#self.begun + 1] = { who, entry } end
  local logged = self.log:ticks(tick, math.maxinteger) -- written, but not done
  self.logged = logged[1] and logged or nil
  for i = #self.sent, 1, -1 do -- written meanwhile, though it was said that it was not
    if self.log:ticket(self.sent[i].sent) then table.remove(self.sent, i) end
  end
  for _, row in ipairs(self.log:answers()) do self.thoughts:know(row) end
  for _, row in ipairs(logged) do
    if row.kind == "answer" then self.thoughts:know(row) end
  end
  self.floor = 0
  for who in next, self.thoughts.ahead do self.floor = math.max(self.floor, self.thoughts:known_until(who) + 1) end
  if anew then undo_outside(self) end
  self.thoughts:begin_all()
end

return M
