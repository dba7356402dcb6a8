--- stoke.world: a world that goes on tick by tick: people in a town, a market, a game. What happens follows from its seed and from
--- a log of inputs alone, so that any moment can be gone back to, and a run comes out the same again.
---
---     local town <close> = stoke.world {
---       name = "town", seed = 7, file = "town.world", start = 8 * 3600,
---       state = { members = { ada = { x = 1, y = 1 }, bob = { x = 9, y = 4 } } },
---       step = function(member, here)
---         if not here:thinking(member) then here:think(member, "plan") end
---       end,
---       thoughts = { plan = { takes = 60,
---         ask = function(_, who, time) return planner:run(("It is %d s. What does %s do?"):format(time, who)).text end,
---         apply = function(member, answer, here) member.plan = answer here:emit("plans", answer) end } },
---       inputs = { say = function(member, args) member.heard = args.text return "heard" end },
---     }
---     stoke.spawn(function() print(town:ask("say", { text = "Hello" }, { member = "ada" })) end)
---     town:run { speed = "free", ticks = 3600 }
---
--- **A step** is ordinary code on plain data: `step(member, here)` for each member and tick, in the order of ids. It computes and
--- waits for nothing; effects are refused in it, `pairs` goes in an order, and random numbers are `here:random(member)`. In a world
--- without members it is `step(state, here)`.
---
--- **A thought** is what takes time: a model, a tool, a search. A step begins it (`here:think`), its `ask` works outside of the
--- steps, and its answer is applied at its due tick, `takes` world seconds later: nobody moves past that moment until the answer is
--- there, so a slow machine gives the same world. With `wait = false` the clock goes on, and answers are applied when they come.
---
--- **An input** comes from outside (world:send, world:ask), takes effect at the next tick, and has a result. Inputs and answers are
--- the log.

local data = require "stoke.world.data"
local definition = require "stoke.world.definition"
local errors = require "core.errors"
local events = require "stoke.world.events"
local history = require "stoke.world.history"
local life = require "stoke.world.life"
local memory = require "stoke.world.memory"
local running = require "stoke.world.run"
local schedules = require "core.schedule"
local scopes = require "core.scope"
local tasks = require "core.task"
local thoughts = require "stoke.world.thoughts"
local time = require "stoke.time"

local M = {}

--- Those that are open: for who shows them.
---@private
---@type table<stoke.world, true>
M.live = setmetatable({}, { __mode = "k" })

---@class stoke.world
---@field name string
---@field file? string
---@field db? stoke.db.database of its file, for tables beside its own
---@field origin? stoke.world the world it is a branch of
---@field view any what the definition says for those who show the world
---@field closed? boolean
---@field private def table
---@field private engine stoke.world.engine
local World = {}
World.__index = World
World.__name = "stoke.world"

-- ---- opening -------------------------------------------------------------------------------------------------------------------

--- Steps do not call the world that they are in.
local function check_outside(self, what)
  if self.busy and self.runner == tasks.current() then
    errors.raise("argument", ("%s: called by a step of the world %q"):format(what, self.name),
      { hint = "a step changes the state itself, and sees what here gives it" })
  end
end

--- The state is whole: after a step has failed it is the one before that tick.
local function check(self, what)
  scopes.check_self(self, World, what)
  if self.closed then errors.argument("%s: the world %q is closed", what, self.name) end
  if schedules.any then schedules.check(self.schedule, "table", what) end
  check_outside(self, what)
  if self.torn then life.take_up(self, self.torn, true) end
end

local function open_log(def)
  if not def.file then return memory.new() end
  if schedules.any and schedules.own() then
    errors.raise("argument", ("%s: a world with a file keeps its own log, and is opened outside of durable runs"):format(def.what),
      { hint = "without a file it is replayed with the run" })
  end
  return require "stoke.world.file".open(def)
end

--- A world from a log.
local function make(def, log, origin)
  local self = setmetatable({ name = def.name, file = def.file, def = def, log = log, db = log.db, feed = events.new(), sent = {},
    asking = {}, begun = {}, steps = 0, batch = 64, levels = 64, pace = 1,
    schedule = schedules.any and schedules.own() or nil, view = def.view, origin = origin }, World)
  local me = tasks.current()
  if not me then errors.argument "stoke.world: a world lives in a task" end
  self.home = scopes.innermost(me)
  self.thoughts = thoughts.new(self, self.home, life.answered, life.failed)
  if def.on_open then def.on_open(self) end
  local resumed = log:before(0) ~= nil
  self.sent = log:waiting()
  life.take_up(self, log.reached, resumed)
  if not resumed then log:snapshot(0, self.engine:encode()) end
  scopes.own(self.home, self)
  M.live[self] = true
  return self
end

--- A world: new, or the one in its file, at the tick to which it had come.
---@param given stoke.world.definition
---@return stoke.world
---Raises `argument`; for a file `db`, `os`, `denied`, `cancelled`.
---
--- Example: `local town <close> = stoke.world { name = "town", state = { members = { ada = {} } }, step = live }`
function M.new(given)
  local def = definition.check(given)
  local log = open_log(def)
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil then log:close() end end }) -- luacheck: ignore
  return make(def, log)
end

--- Stop it and close its file. What `<close>` and the end of its scope do.
---
--- Example: `town:close()`
function World:close()
  scopes.check_self(self, World, "world:close()")
  if self.closed then return end
  check_outside(self, "world:close()")
  self:stop()
  self.closed, M.live[self] = true, nil
  scopes.disown(self.home, self)
  self.thoughts:stop()
  self.feed:close()
  life.settle(self)
  for _, asked in next, self.asking do tasks.wake(asked.task) end
  if not self.torn then pcall(self.log.reach, self.log, self.engine.now) end
  local guard <close> = setmetatable({}, { __close = function() self.log:close() end }) -- luacheck: ignore
  if self.def.on_close then self.def.on_close(self) end
end

World.__close = World.close

-- ---- running -------------------------------------------------------------------------------------------------------------------

local RUN = { speed = true, until_time = "number", ticks = "number" }

local function check_speed(what, speed)
  if speed == nil then return 1 end
  if speed == "free" then return speed end
  if type(speed) == "number" and speed > 0 and speed < math.huge then return speed end
  errors.argument('%s: speed must be world seconds in a second, above 0, or "free", got %s', what, errors.describe(speed))
end

--- Run it, until a moment, or until somebody stops it. Only one task runs a world at a time.
---@param options? { speed?: number|"free", until_time?: number, ticks?: integer } speed: world seconds in a second (1), or "free":
---  as fast as steps and thoughts allow; until_time: world time; ticks: from now on
---@return "done"|"stopped" why it returned
---Raises `argument`; `script` for a step that failed: the world is as it was before that tick; what a thought `stops` for; `db`,
---`cancelled`.
---
--- Example: `town:run { speed = "free", until_time = 22 * 3600 }`
function World:run(options)
  check(self, "world:run()")
  local o = errors.options(options, RUN, "world:run")
  if self.runner then errors.argument("world:run: another task runs the world %q", self.name) end
  self.pace = check_speed("world:run", o.speed)
  local goal, engine = math.maxinteger, self.engine
  if o.ticks then
    goal = math.tointeger(o.ticks)
    if not goal or goal < 0 then
      errors.argument("world:run: ticks must be a whole number of at least 0, got %s", tostring(o.ticks))
    end
    goal = engine.now + goal
  end
  if o.until_time then goal = math.min(goal, self:ticks_until(o.until_time)) end
  local guard <close> = running.claim(self) -- luacheck: ignore
  self.failure = nil -- of a run before: what failed is asked again
  self.thoughts:begin_all(true)
  local why = running.run(self, goal)
  if not self.closed then self.log:reach(self.engine.now) end
  return why
end

--- The first tick whose time is not before a moment.
---@private
---@param moment number world seconds
---@return integer
---
--- Example: `local goal = town:ticks_until(9 * 3600)`
function World:ticks_until(moment)
  local n = history.ticks(self.def, moment)
  if n ~= n or n > 2 ^ 53 then return math.maxinteger end
  return math.max(0, math.ceil(n))
end

--- Stand still, from the next tick on; world:run goes on waiting.
---
--- Example: `town:pause()`
function World:pause()
  check(self, "world:pause()")
  if self.paused then return end
  self.paused, self.steps = true, 0
  life.announce(self, "paused")
  life.wake(self)
end

--- Go on after a pause.
---
--- Example: `town:resume()`
function World:resume()
  check(self, "world:resume()")
  if not self.paused then return end
  self.paused, self.steps = nil, 0
  life.announce(self, "resumed")
  life.wake(self)
  life.settle(self)
end

--- A world that stood before a step stands behind it, also where the step fails.
local Standing = { __close = function(standing) standing[1].paused = true end }

--- Do some ticks and stand still. Where no task runs the world, it is run for these.
---@param n? integer 1
---@return integer tick that is reached
---Raises as world:run.
---
--- Example: `town:step(10)`
function World:step(n)
  check(self, "world:step()")
  n = n == nil and 1 or math.tointeger(n)
  if not n or n < 1 then errors.argument("world:step: a whole number of at least 1 expected, got %s", tostring(n)) end
  if not self.runner then
    local stands <close> = self.paused and setmetatable({ self }, Standing) or nil -- luacheck: ignore
    self.paused = nil
    self:run { ticks = n, speed = "free" }
    return self.engine.now
  end
  self:pause()
  self.steps = self.steps + n
  life.wake(self)
  local goal = self.engine.now + n
  while self.runner and self.paused and not self.closed and self.engine.now < goal do life.wait_settled(self) end
  return self.engine.now
end

--- Change the speed at which it runs.
---@param speed number|"free" as of world:run
---Raises `argument`.
---
--- Example: `town:speed(60)`
function World:speed(speed)
  check(self, "world:speed()")
  self.pace, self.anchor = check_speed("world:speed", speed), nil
  life.announce(self, "speed", { speed = self.pace })
  life.wake(self)
end

--- End world:run, from another task.
---
--- Example: `town:stop()`
function World:stop()
  scopes.check_self(self, World, "world:stop()")
  self.stopping = true
  life.wake(self)
end

--- How it runs now.
---@return { tick: integer, time: number, first: number, tick_seconds: number, speed: number|"free", running: boolean, paused:
---  boolean, inflight: integer, waiting: integer } first: the oldest moment that `at` can give; inflight: thoughts under way;
---  waiting: inputs that have not taken effect
---
--- Example: `print(town:clock().paused)`
function World:clock()
  check(self, "world:clock()")
  local engine, inflight = self.engine, 0
  for _ in next, engine.thinking do inflight = inflight + 1 end
  return { tick = engine.now, time = engine:time(engine.now), first = self.def.start, tick_seconds = self.def.tick,
    speed = self.pace, running = self.runner ~= nil, paused = self.paused == true, inflight = inflight, waiting = #self.sent }
end

--- Who thinks, and what: the names of thoughts by the ids of members.
---@return table<string, string>
---
--- Example: `print(town:thinking().ada)`
function World:thinking()
  check(self, "world:thinking()")
  local out = {}
  for who, entry in next, self.engine.thinking do out[who] = entry.name end
  return out
end

-- ---- inputs --------------------------------------------------------------------------------------------------------------------

local SEND = { member = "string", at = "number" }
local ASK = { member = "string", at = "number", timeout = "number" }

local function send(self, what, name, args, o)
  local def = self.def
  if not def.inputs[name] then
    local near = type(name) == "string" and errors.suggest(name, def.input_names)
    errors.argument("%s: the world %q has no input %s%s", what, self.name, errors.named(name),
      near and (" (did you mean %s?)"):format(near) or "")
  end
  if #self.sent >= def.cap then
    errors.raise("limit", ("%s: %d inputs wait for the world %q"):format(what, #self.sent, self.name),
      { hint = "does it run? cap = says how many may wait" })
  end
  if o.at and o.at ~= o.at then errors.argument("%s: at must be a world time in seconds, got %s", what, tostring(o.at)) end
  local log = self.log
  log.sent = log.sent + 1
  local row = { kind = "input", name = name, args = data.checked(args, what .. ": the arguments"), member = o.member,
    sent = log.sent, at = o.at and self:ticks_until(o.at) or nil }
  log:send(row)
  self.sent[#self.sent + 1] = row
  life.wake(self)
  return row
end

--- Send an input: it takes effect at the next tick. A world with a file has written it when this returns.
---@param name string one of the world's inputs
---@param args? any plain data
---@param options? { member?: string, at?: number } member: whose record it changes; without one it gets the whole state; at: world
---  time before which it does not take effect
---@return integer number by which world:result knows it
---Raises `argument`; `limit` where too many wait.
---
--- Example: `local number = town:send("say", { text = "Hello" }, { member = "ada" })`
function World:send(name, args, options)
  check(self, "world:send()")
  return send(self, "world:send", name, args, errors.options(options, SEND, "world:send")).sent
end

local Leaving = { __close = function(leaving) leaving[1].asking[leaving[2]] = nil end }

--- Send an input, and wait for its result.
---@param name string
---@param args? any plain data
---@param options? { member?: string, at?: number, timeout?: number } timeout: seconds to wait (60)
---@return any result
---Raises what the input raised; `timeout`; `incomplete` where the world is closed meanwhile; as world:send.
---
--- Example: `local answer = town:ask("say", { text = "Hello" }, { member = "ada" })`
function World:ask(name, args, options)
  check(self, "world:ask()")
  local o = errors.options(options, ASK, "world:ask")
  local seconds = o.timeout or 60
  errors.check_seconds(seconds, "world:ask: timeout")
  local row = send(self, "world:ask", name, args, o)
  self.asking[row.sent] = { task = tasks.current(), row = row }
  local leaving <close> = setmetatable({ self, row.sent }, Leaving) -- luacheck: ignore
  local ends = time.monotonic() + seconds
  while not row.done and not self.closed do
    local left = ends - time.monotonic()
    if left <= 0 or not tasks.park("world.ask", left) and not row.done and not self.closed then
      errors.raise("timeout", ("world:ask: the input %q had no result within %g s"):format(name, seconds),
        { hint = self.paused and "the world is paused" or not self.runner and "nobody runs the world"
          or next(self.engine.thinking) ~= nil and "a thought may be waited for, until it is due" or nil })
    end
  end
  if not row.done then
    errors.raise("incomplete", ("world:ask: the world %q was closed before the input %q had a result"):format(self.name, name),
      { hint = self.file and "the input is in its file, and takes effect when the world is opened and run again" or nil })
  end
  if row.error then
    errors.raise(errors.kinds[row.error.kind] and row.error.kind or "script", row.error.message, { hint = row.error.hint })
  end
  return data.copy(row.result)
end

--- The names of its inputs, sorted.
---@return string[]
---
--- Example: `print(table.concat(town:offers(), ", "))`
function World:offers()
  check(self, "world:offers()")
  local names = self.def.input_names
  return table.move(names, 1, #names, 1, {})
end

--- What came of an input.
---@param number integer that world:send gave
---@return { n: integer, tick: integer, member?: string, name: string, args: any, result: any, error?: { kind: string, message:
---  string } }|nil entry nil: it has not taken effect
---Raises `argument`, `db`.
---
--- Example: `local entry = town:result(number)`
function World:result(number)
  check(self, "world:result()")
  if math.type(number) ~= "integer" then errors.argument("world:result: a number expected, got %s", errors.describe(number)) end
  local row = self.log:ticket(number)
  return row and row.n and row.tick < self.engine.now and data.copy(row) or nil
end

--- The log: inputs and answers of thoughts, in the order in which they took effect.
---@param options? { from?: integer, to?: integer } numbers of entries; without `from` the last 1000
---@return { n: integer, tick: integer, kind: "input"|"answer", member?: string, name: string, args: any, result: any, error?:
---  table, failed?: table, begun?: integer, sent?: integer }[] args: what was sent, or the answer; failed: why there is none;
---  begun: the tick in which the thought began
---Raises `argument`, `db`.
---
--- Example: `for _, entry in ipairs(town:inputs()) do print(entry.n, entry.name) end`
function World:inputs(options)
  check(self, "world:inputs()")
  local o = errors.options(options, { from = "number", to = "number" }, "world:inputs")
  for _, name in ipairs { "from", "to" } do
    if o[name] and not math.tointeger(o[name]) then
      errors.argument("world:inputs: %s must be the number of an entry, got %s", name, tostring(o[name]))
    end
  end
  local to = math.min(o.to or self.log.last, self.log.last)
  local rows = self.log:numbers(o.from or math.max(1, to - 999), to)
  for i, row in ipairs(rows) do
    rows[i] = data.copy(row)
    rows[i].id, rows[i].at, rows[i].done = nil, nil, nil
  end
  return rows
end

-- ---- looking -------------------------------------------------------------------------------------------------------------------

--- The tick that is next: how many were done.
---@return integer
---
--- Example: `print(town:tick())`
function World:tick()
  check(self, "world:tick()")
  return self.engine.now
end

--- World time: seconds since midnight of day 0.
---@return number
---
--- Example: `print(town:time() // 3600)`
function World:time()
  check(self, "world:time()")
  return self.engine:time(self.engine.now)
end

--- A copy of the state, or of a part of it. Members that are ahead of others are where they are.
---@param ... string|integer keys, from the state on
---@return any
---
--- Example: `local ada = town:look("members", "ada")`
function World:look(...)
  check(self, "world:look()")
  local value = self.engine.state
  for i = 1, select("#", ...) do
    if type(value) ~= "table" then return nil end
    value = value[(select(i, ...))]
  end
  return data.copy(value)
end

--- Look at the state itself, without a copy: for who draws it often. The function must not change it, keep it or wait.
---@param f fun(state: table, tick: integer, time: number, ...): any
---@param ... any further arguments of f
---@return any ... what it returned
---Raises what it raises.
---
--- Example: `local x = town:peek(function(state) return state.members.ada.x end)`
function World:peek(f, ...)
  check(self, "world:peek()")
  errors.check_callable(f, "world:peek")
  local engine = self.engine
  return f(engine.state, engine.now, engine:time(engine.now), ...)
end

--- The digest of the state: equal for two worlds in which everything is equal.
---@return string hex
---Raises `argument` for a state that is no data, with the place.
---
--- Example: `assert(town:hash() == other:hash())`
function World:hash()
  check(self, "world:hash()")
  local engine = self.engine
  return (engine.apart and life.load(self, engine.now) or engine):hash() -- of the tick that all have come to
end

--- Watch it: an iterator of what steps emit, of inputs, of thoughts, and of what is done with the world.
---@param options? { from?: integer, cap?: integer } from: number of the first event, of the last 1000; without it, from now on;
---  cap: events that may wait for this reader (1000): more are lost, and it gets one { type = "gap", lost = n }
---@return stoke.world.events iterator of { n, tick, time, type, member?, data? }; `events:close()`, or the end of the scope, ends
---  it. Types beside those that are emitted: "input" (name, args, result, error), "thought" (its answer was applied),
---  "thought_failed"; without a number: "paused", "resumed", "speed", "back", "gap"
---Raises `argument`.
---
--- Example: `for event in town:events() do print(event.time, event.member, event.type) end`
function World:events(options)
  check(self, "world:events()")
  local o = errors.options(options, { from = "number", cap = "number" }, "world:events")
  local cap = math.tointeger(o.cap or 1000)
  if not cap or cap < 1 then errors.argument("world:events: cap must be a whole number of at least 1, got %s", tostring(o.cap)) end
  return self.feed:read(o.from, cap)
end

-- ---- the past ------------------------------------------------------------------------------------------------------------------

--- A moment that has been: found from a snapshot and the log; no model is asked.
---@param moment number world time
---@return { time: number, tick: integer, state: table, thinking: table } moment thinking: what members thought of then
---Raises `argument`, `db`.
---
--- Example: `print(town:at(9 * 3600).state.members.ada.plan)`
function World:at(moment)
  check(self, "world:at()")
  local tick = history.tick_of(self, "world:at", moment)
  local engine = life.past(self, tick)
  return { time = engine:time(tick), tick = tick, state = data.copy(engine.state), thinking = data.copy(engine.thinking) }
end

local Changed = { __close = function(changed)
  changed[1].changing = nil
  life.wake(changed[1])
end }

--- Go back to a moment: all that came later is gone, in the file too. A task that runs the world goes on from there. Inputs that
--- have not taken effect yet stay, and so do answers of thoughts that were under way at that moment.
---@param moment number world time
---Raises `argument`, `db`.
---
--- Example: `town:back(9 * 3600)`
function World:back(moment)
  check(self, "world:back()")
  local tick = history.tick_of(self, "world:back", moment)
  if self.changing then errors.argument("world:back: another task goes back in the world %q", self.name) end
  self.changing = true
  local changed <close> = setmetatable({ self }, Changed) -- luacheck: ignore
  while self.busy do life.wait_settled(self) end
  self.torn = tick
  self.thoughts:stop()
  self.log:cut(tick)
  life.take_up(self, tick, true)
  self.anchor = nil
  self.feed:forget()
  life.announce(self, "back")
end

--- Another world that has the same past up to a moment.
---@param options? { at?: number, file?: string } at: the moment (now); file: where it is kept, in memory without one. Only a world
---  with a file branches into one
---@return stoke.world branch of the scope around
---Raises `argument`, `db`.
---
--- Example: `local other <close> = town:branch { at = 9 * 3600, file = "other.world" }`
function World:branch(options)
  check(self, "world:branch()")
  local o = errors.options(options, { at = "number", file = "string" }, "world:branch")
  local tick = o.at and history.tick_of(self, "world:branch", o.at) or self.engine.now
  local def, log = history.branch(self, tick, o.file)
  if not log then
    log = require "stoke.world.file".open(def)
    log:cut(tick)
  end
  return make(def, log, self)
end

--- What two worlds have different.
---@param a stoke.world
---@param b stoke.world
---@return { equal: boolean, input?: { n: integer, a?: table, b?: table }, members: { id: string, fields?: string[], only?: "a"|"b"
---  }[], state: string[], counts: { tick: { a: integer, b: integer }, inputs: { a: integer, b: integer } } } difference input: the
---  first entry of the log that is not the same; members: who differs now, and in which fields; state: other keys of the state that
---  do
---Raises `argument`, `db`.
---
--- Example: `for _, member in ipairs(stoke.world.diff(town, other).members) do print(member.id) end`
function M.diff(a, b)
  for _, one in ipairs { a or false, b or false } do
    if type(one) ~= "table" or getmetatable(one) ~= World then
      errors.argument("world.diff: two worlds expected, got %s", errors.describe(one or nil))
    end
    check(one, "world.diff")
  end
  return history.diff(a, b)
end

function World:__tostring() return ("world %s: tick %d"):format(self.name, self.engine.now) end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
