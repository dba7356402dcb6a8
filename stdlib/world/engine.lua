--- The engine of a world: its state, and what a tick does to it. It knows no clock, no file and no model, so that a past moment is
--- found by the same code as the next one: from a snapshot, with the inputs that were logged.

local data = require "stoke.world.data"
local errors = require "core.errors"
local here = require "stoke.world.here"
local json = require "stoke.json"
local ordered = require "core.ordered"
local pure = require "core.pure"
local random = require "stoke.world.random"

local M = {}

---@class stoke.world.row an entry of the log
---@field n? integer its number, once it has one
---@field tick? integer at whose beginning it takes effect
---@field kind "input"|"answer"
---@field member? string
---@field name string of the input, or the thought
---@field args any of an input; the answer of a thought
---@field failed? table why a thought has none: { kind, message }
---@field begun? integer the tick in which the thought was begun
---@field sent? integer what world:send gave
---@field result any of an input
---@field error? table { kind, message, hint } of an input that raised

---@class stoke.world.engine
---@field def table the definition, checked
---@field state table
---@field members table<string, table>|nil
---@field list table[] their records, in the order of ids
---@field now integer the tick that is next
---@field thinking table<string, { name: string, q: any, begun: integer, due: integer }>
---@field limit integer no tick from here on is stepped without a look at what is due
---@field events table[] that were not taken yet
---@field count integer events so far
---@field apart? table ticks of members that are not all in the same one: see stdlib/world/order.lua
---@field on_think? fun(who: string, entry: table)
local Engine = {}
Engine.__index = Engine

local HINT <const> = "what takes time is a thought (here:think); random numbers are here:random(member)"

-- ---- the state -----------------------------------------------------------------------------------------------------------------

--- The members may have changed: their list is made anew.
local function gather(self)
  local members = self.state.members
  self.members, self.list = members, {}
  self.here.ground = self.state.ground
  if members == nil then return end
  local what = self.def.what
  if type(members) ~= "table" then errors.argument("%s: state.members must be a table, got %s", what, errors.describe(members)) end
  for id, member in next, members do
    if type(id) ~= "string" or type(member) ~= "table" then
      errors.argument("%s: state.members has tables by ids that are texts, got [%s] = %s", what, tostring(id),
        errors.describe(member))
    end
    if member.id == nil then member.id = id end
    if member.id ~= id then errors.argument("%s: the member %q has the id %s", what, id, errors.describe(member.id)) end
  end
  for i, id in ipairs(ordered.names(members)) do self.list[i] = members[id] end
  for _, who in ipairs(ordered.names(self.thinking)) do
    if not members[who] then self.thinking[who] = nil end -- it has gone
  end
end

local function blank(def)
  local self = setmetatable({ def = def, now = 0, thinking = {}, limit = 0, events = {}, count = 0, list = {}, places = {},
    parts = {} }, Engine)
  self.here = here.new(self)
  return self
end

--- The first state, as the definition gives it.
local function first(def)
  local state = def.state
  if errors.callable(state) then
    state = pure.run(def.what .. ": the function of its first state", "it gets a generator of random numbers", state,
      random.new(def.seed, ""):at(-1))
  end
  if type(state) ~= "table" then errors.argument("%s: the state must be a table, got %s", def.what, errors.describe(state)) end
  return data.checked(state, def.what .. ": the state", true)
end

--- A world at its beginning.
---@param def table
---@return stoke.world.engine
---Raises `argument`.
---
--- Example: `local engine = engine.new(def)`
function M.new(def)
  local self = blank(def)
  self.state = first(def)
  gather(self)
  return self
end

--- What a snapshot says.
local function kept_of(def, shot)
  local where, hint = def.file or def.what, "go on with a copy of the file from before"
  if shot.tick > 0 then hint = ("DELETE FROM snapshot WHERE tick = %d; it is made again from the one before"):format(shot.tick) end
  local kept = data.stored(shot.text, hint, "%s: the snapshot of tick %d", where, shot.tick)
  if type(kept) ~= "table" or kept.tick ~= shot.tick or type(kept.state) ~= "table" or type(kept.thinking) ~= "table"
    or math.type(kept.events) ~= "integer" then
    errors.raise("db", ("%s: the snapshot of tick %d is damaged: it is none"):format(where, shot.tick), { hint = hint })
  end
  return kept
end

--- A world as a snapshot has it.
---@param def table
---@param shot { tick: integer, text: string }
---@return stoke.world.engine
---Raises `db` where it is damaged.
---
--- Example: `local engine = engine.from(def, log:before(3600))`
function M.from(def, shot)
  local self, kept = blank(def), kept_of(def, shot)
  self.state, self.now, self.thinking, self.count = kept.state, kept.tick, kept.thinking, kept.events
  gather(self)
  return self
end

--- What a snapshot holds.
---@return string text
---Raises `argument` for a state that is no data, with the place.
---
--- Example: `local text = engine:encode()`
function Engine:encode()
  local text = data.encode(self.state, self.def.what .. ": the state", true)
  local rest = json.encode { events = self.count, thinking = self.thinking, tick = self.now }
  return rest:sub(1, 1) .. '"state":' .. text .. "," .. rest:sub(2)
end

--- The digest of the state, the thoughts that are under way, and the tick.
---@return string hex
---
--- Example: `print(engine:hash())`
function Engine:hash()
  return json.digest { tick = self.now, thinking = self.thinking, state = data.checked(self.state, self.def.what .. ": the state",
    true) }
end

--- World seconds of a tick.
---@param tick integer
---@return number
---
--- Example: `print(engine:time(engine.now))`
function Engine:time(tick) return self.def.start + tick * self.def.tick end

-- ---- a tick --------------------------------------------------------------------------------------------------------------------

--- An event of this tick.
---@param kind string
---@param member? string
---@param value any
---
--- Example: `engine:tell("says", "ada", { text = "Hi" })`
function Engine:tell(kind, member, value)
  local at = self.here
  local event = { n = nil, tick = at.tick, time = at.time, type = kind, member = member, data = value }
  self.events[#self.events + 1] = event
  if self.apart then
    self.parts[event] = { order = #self.events, applied = self.doing ~= nil }
    return
  end
  self.count = self.count + 1
  event.n = self.count
end

local function earlier(parts)
  return function(a, b)
    if a.tick ~= b.tick then return a.tick < b.tick end
    local one, other = parts[a], parts[b]
    if one.applied ~= other.applied then return one.applied end
    if a.member ~= b.member then return a.member < b.member end
    return one.order < other.order
  end
end

--- Take the events of ticks before one that all members have passed, numbered as if they had been stepped together.
---@param tick integer
---@return table[]
---
--- Example: `for _, event in ipairs(engine:passed(17)) do feed:put(event) end`
function Engine:passed(tick)
  local out, rest, parts = {}, {}, self.parts
  for _, event in ipairs(self.events) do
    if event.tick < tick then out[#out + 1] = event else rest[#rest + 1] = event end
  end
  table.sort(out, earlier(parts))
  for _, event in ipairs(out) do
    self.count = self.count + 1
    event.n, parts[event] = self.count, nil
  end
  for i, event in ipairs(rest) do parts[event].order = i end
  self.events = rest
  return out
end

--- The time that steps see.
local function clock(self, tick)
  local at, time = self.here, self.def.start + tick * self.def.tick
  at.tick, at.time, at.day, at.current = tick, time, time // 86400, nil
  return at
end

local function told(raised)
  local err = errors.wrap(raised)
  return { kind = err.kind, message = err.message, hint = rawget(err, "hint") }
end

--- What an input changes is taken back if it raises.
local function attempt(record, f, ...)
  local before = data.copy(record)
  local ok, value = xpcall(f, errors.handler, record, ...)
  if ok then return value end
  data.restore(record, before)
  return nil, value
end

local function apply_input(self, row)
  local def, at = self.def, self.here
  local record = row.member == nil and self.state or self.members and self.members[row.member]
  local f = def.inputs[row.name]
  if not f then
    row.error = { kind = "argument", message = ("the world has no input %q"):format(row.name) }
  elseif not record then
    row.error = { kind = "argument", message = ("there is no member %q"):format(tostring(row.member)) }
  else
    at.current = row.member and record or nil
    local value, err = attempt(record, f, data.copy(row.args), at)
    if row.member == nil then
      gather(self)
      self.ground = nil
    end
    local ok, result = pcall(data.checked, value, ("the result of the input %q"):format(row.name))
    if err == nil and not ok then err = result end
    if err ~= nil then row.error = told(err) else row.result = result end
  end
  self:tell("input", row.member, { name = row.name, args = data.copy(row.args), result = data.copy(row.result), error = row.error })
end

local function apply_answer(self, row)
  local who, def, at = row.member, self.def, self.here
  local entry = self.thinking[who]
  if not entry or entry.begun ~= row.begun then return end -- who thought it has gone
  self.thinking[who] = nil
  local record = self.members and self.members[who] or not self.members and self.state or nil
  local thought = def.thoughts[entry.name]
  if not record or not thought then return end
  at.current = self.members and record or nil
  if def.bounded then self.places[who] = { record.x, record.y } end
  if row.failed then
    self:tell("thought_failed", who, { name = row.name, error = row.failed })
    if thought.failed then thought.failed(record, data.copy(row.failed), at, who) end
  else
    self:tell("thought", who, { name = row.name })
    if thought.apply then thought.apply(record, data.copy(row.args), at, who) end
  end
end

--- What takes effect at the beginning of a tick, in order.
---@param rows stoke.world.row[]
---@param tick integer
---Raises what the function of a thought raises.
---
--- Example: `engine:apply(rows, engine.now)`
function Engine:apply(rows, tick)
  clock(self, tick)
  for i = 1, #rows do
    local row = rows[i]
    self.doing = row
    if row.kind == "input" then apply_input(self, row) else apply_answer(self, row) end
  end
  self.doing = nil
end

--- The same where members may run ahead of each other: none moves farther in a tick than it was said.
local function step_bounded(self, list, at)
  local step, speed, places = self.def.step, self.def.speed, self.places
  for i = 1, #list do
    local member = list[i]
    at.current = member
    local x, y, before = member.x, member.y, places[member.id]
    if before then x, y, places[member.id] = before[1], before[2], nil end
    step(member, at)
    local to_x, to_y = member.x, member.y
    if (to_x ~= x or to_y ~= y) and x and y and to_x and to_y then
      local far = math.max(math.abs(to_x - x), math.abs(to_y - y))
      if far > speed then
        errors.raise("argument", ("it moved %g in a tick, and the world's speed is %g"):format(far, speed),
          { hint = "speed = says how far members move in a tick at the most; inputs may move them farther" })
      end
    end
  end
end

--- Step some members for one tick.
---@param list table[] their records, in the order of ids
---@param tick integer
---Raises what a step raises.
---
--- Example: `engine:step(engine.list, engine.now)`
function Engine:step(list, tick)
  local at, step = clock(self, tick), self.def.step
  if self.members then
    if self.def.bounded then
      step_bounded(self, list, at)
    else
      for i = 1, #list do
        local member = list[i]
        at.current = member
        step(member, at)
      end
    end
    at.current = nil
    if self.def.after then self.def.after(self.state, at) end
  elseif step then
    step(self.state, at)
  end
end

--- All members, tick after tick, up to `limit`, which here:think may bring nearer.
local function advance(self)
  local list, def, at = self.list, self.def, self.here
  if not self.members or def.bounded or def.after then
    while self.now < self.limit do
      self:step(list, self.now)
      self.now = self.now + 1
    end
    return
  end
  local step, start, seconds, now, n = def.step, def.start, def.tick, self.now, #list -- most ticks of most worlds pass here
  while now < self.limit do
    local time = start + now * seconds
    at.tick, at.time, at.day = now, time, time // 86400
    for i = 1, n do
      local member = list[i]
      at.current = member
      step(member, at)
    end
    now = now + 1
    self.now = now
  end
  at.current = nil
end

local function tick_with(self, rows)
  self.limit = math.maxinteger
  self:apply(rows, self.now)
  self:step(self.list, self.now)
  self.now = self.now + 1
end

--- What failed, in words: of whom, and when.
local function explain(self, raised)
  local err, at = errors.wrap(raised), self.here
  local row, member = self.doing, at.current
  self.doing = nil
  if err.kind == "cancelled" or err.kind == "deadline" or err.kind == "limit" then error(err, 0) end -- it was stopped
  local what = row and ("the %s %q"):format(row.kind == "input" and "input" or "answer of the thought", row.name) or "the step"
  local who = member and member.id and (" of %q"):format(tostring(member.id)) or ""
  local words = ("%s: %s%s at tick %d failed: %s"):format(self.def.what, what, who, at.tick, err.message)
  errors.raise(err.kind, words, { hint = rawget(err, "hint"), where = rawget(err, "where"), traceback = rawget(err, "traceback"),
    value = rawget(err, "value"), own = rawget(err, "own") })
end

--- Run code of the world: purely, and with its errors explained. What is seen only when it has run, that it waited, may have been
--- in any of the ticks since `whole`.
local function guarded(self, f, ...)
  self.whole = self.now
  local ok, raised = xpcall(pure.run, errors.handler, "a step of the " .. self.def.what, HINT, f, self, ...)
  if ok then
    self.whole = nil
    return
  end
  if not (errors.is(raised) and rawget(raised, "impure")) then
    self.whole = nil
    explain(self, raised)
  end
  raised.message = ("%s (from tick %d to %d)"):format(raised.message, self.whole, self.here.tick)
  error(raised, 0)
end

--- Do what was logged for the next tick, and step all.
---@param rows stoke.world.row[]
---Raises the error of what failed, with of whom and when. The state is then in the middle of the tick.
---
--- Example: `engine:tick(rows)`
function Engine:tick(rows) guarded(self, tick_with, rows) end

--- Step all members in ticks for which nothing was logged, up to a tick, or until a thought is due.
---@param limit integer
---Raises as engine:tick.
---
--- Example: `engine:run(engine.now + 100)`
function Engine:run(limit)
  self.limit = limit
  guarded(self, advance)
end

--- Do something with the world as in a tick: purely, with its errors explained.
---@param f fun(engine: stoke.world.engine, ...)
---@param ... any
---Raises as engine:tick.
---
--- Example: `engine:guarded(pass, limit)`
function Engine:guarded(f, ...) guarded(self, f, ...) end

--- When the next answer of a thought is due.
---@return integer tick math.maxinteger: nobody thinks
---
--- Example: `local limit = math.min(limit, engine:soonest())`
function Engine:soonest()
  local soonest = math.maxinteger
  for _, entry in next, self.thinking do
    if entry.due < soonest then soonest = entry.due end
  end
  return soonest
end

--- Go to a later tick with what was logged.
---@param rows fun(from: integer, to: integer): stoke.world.row[] those of ticks `from` to `to` - 1, in order
---@param goal integer
---@param rest? fun() called now and then, so that others have a turn
---Raises as engine:tick.
---
--- Example: `engine:replay(function(from, to) return log:rows(from, to) end, 3600)`
function Engine:replay(rows, goal, rest)
  local logged, i = rows(self.now, goal), 1
  while self.now < goal do
    local row = logged[i]
    if row and row.tick <= self.now then
      local due = {}
      while logged[i] and logged[i].tick <= self.now do due[#due + 1], i = logged[i], i + 1 end
      self:tick(due)
    else
      local to = math.min(goal, row and row.tick or goal, self.now + 32)
      repeat self:run(to) until self.now >= to
      if rest then rest() end
    end
    self.events = {}
  end
end

return M
