--- The definition of a world, checked: what a script gives to stoke.world, with what it did not say.

local errors = require "core.errors"
local ordered = require "core.ordered"

local M = {}

---@class stoke.world.thought
---@field ask fun(q: any, who: string, time: number, world: stoke.world): any what is done outside of the steps; gives the answer.
---  q: what here:think was given; time: of its beginning
---@field apply? fun(member: table, answer: any, here: stoke.world.here, who: string) takes the answer, as a step does
---@field failed? fun(member: table, err: { kind: string, message: string }, here: stoke.world.here, who: string) if there is none
---@field takes? number world seconds from its beginning to its answer (a tick)
---@field retries? integer attempts more, where the error may pass (the world's)
---@field deadline? number seconds of an attempt (the world's)
---@field stops? fun(err: stoke.error): boolean true: world:run ends with this error, and the next run asks again

---@class stoke.world.definition
---@field state table|fun(random: stoke.world.random): table { members = { ID = record }, ground = what all share, ... }
---@field step? fun(member: table, here: stoke.world.here) for each member and tick; without members step(state, here)
---@field inputs? table<string, fun(record: table, args: any, here: stoke.world.here): any> they get the record of the member, or
---  the whole state
---@field thoughts? table<string, stoke.world.thought>
---@field after? fun(state: table, here: stoke.world.here) called once a tick, after the steps
---@field name? string "world"
---@field seed? integer of all random numbers of steps (1)
---@field file? string where it is kept; nil: in memory
---@field tick? number world seconds of a tick (1)
---@field start? number world time at tick 0: seconds since midnight of day 0 (0)
---@field snapshot? number world seconds between snapshots (3600)
---@field wait? boolean nobody moves past the moment a thought is due (true)
---@field reach? number how far members see and change others
---@field speed? number how far they move in a tick, for `ahead`
---@field ahead? integer ticks that members may be ahead of the slowest; needs reach and speed (0)
---@field distance? fun(a: table, b: table): number between two members (of x and y, as a king goes on a chessboard)
---@field tied? fun(a: table, b: table): boolean members that see each other, and are stepped together, however far apart
---@field retries? integer of a thought whose error may pass (2)
---@field deadline? number seconds of an attempt of a thought (600)
---@field at_once? integer thoughts that are worked on at the same time (1000)
---@field cap? integer inputs that may wait (10000)
---@field on_open? fun(world: stoke.world) called once in the scope of the world, before anything runs
---@field on_back? fun(who: string, time: number, world: stoke.world) called for each member after going back, in a branch and after
---  resuming, with the moment from which on what its thoughts did outside is to be undone
---@field on_close? fun(world: stoke.world) called when it is closed, before its file is
---@field view? any kept as world.view, for those who show it

local KNOWN = { name = "string", seed = "number", file = "string", tick = "number", start = "number", state = true,
  step = "function", after = "function", inputs = "table", thoughts = "table", wait = "boolean", ahead = "number",
  reach = "number", speed = "number", distance = "function", tied = "function", snapshot = "number",
  retries = "number", deadline = "number", at_once = "number", cap = "number", on_back = "function",
  on_open = "function", on_close = "function", view = true }

local THOUGHT = { ask = "function", apply = "function", failed = "function", takes = "number", retries = "number",
  deadline = "number", stops = "function" }

local function whole(what, name, value, least)
  local n = math.tointeger(value)
  if n and n >= least then return n end
  errors.argument("%s: %s must be a whole number of at least %d, got %s", what, name, least, tostring(value))
end

local function positive(what, name, value)
  if value > 0 and value < math.huge then return value end
  errors.argument("%s: %s must be a number above 0, got %s", what, name, tostring(value))
end

--- How far apart two members are that have x and y: as a king goes on a chessboard. Who has no place meets nobody.
local function chebyshev(a, b)
  local ax, ay, bx, by = a.x, a.y, b.x, b.y
  if not (ax and ay and bx and by) then return math.huge end
  local dx, dy = ax - bx, ay - by
  if dx < 0 then dx = -dx end
  if dy < 0 then dy = -dy end
  return dx > dy and dx or dy
end
M.chebyshev = chebyshev

--- What a thought is, checked.
local function thought_of(def, name, given)
  local what = ("%s: the thought %q"):format(def.what, name)
  if type(given) ~= "table" then errors.argument("%s must be a table { ask =, apply = }, got %s", what, errors.describe(given)) end
  local o = errors.options(given, THOUGHT, what)
  if not o.ask then errors.argument("%s has no ask: what is done outside of the step, and gives the answer", what) end
  local takes = o.takes and positive(what, "takes", o.takes) or def.tick
  return { ask = o.ask, apply = o.apply, failed = o.failed, stops = o.stops, ticks = math.max(1, math.ceil(takes / def.tick)),
    retries = whole(what, "retries", o.retries or def.retries, 0),
    deadline = positive(what, "deadline", o.deadline or def.deadline) }
end

local function check_names(what, list)
  for name, f in next, list do
    if type(name) ~= "string" or name == "" then errors.argument("%s: the name must be a text, got %s", what, tostring(name)) end
    if what:find "input" then errors.check_callable(f, ("%s %q"):format(what, name)) end
  end
  return list
end

--- Running ahead needs to know who could meet whom.
local function check_ahead(def)
  local what = def.what
  if def.reach and not (def.reach >= 0 and def.reach < math.huge) then
    errors.argument("%s: reach must be a number of at least 0, got %s", what, tostring(def.reach))
  end
  if def.ahead == 0 then return end
  local function refuse(why, hint) errors.raise("argument", ("%s: ahead = %d %s"):format(what, def.ahead, why), { hint = hint }) end
  if not def.reach or not def.speed then
    refuse("needs reach and speed", "reach: how far a member sees; speed: how far it moves in a tick at the most")
  end
  if not (def.speed >= 0 and def.speed < math.huge) then refuse("needs a speed of at least 0") end
  if not def.wait then refuse("needs wait = true", "an answer that is applied whenever it comes gives another order each time") end
  if def.after then refuse("and after do not go together", "after sees all members in the same tick, so all are in lock step") end
end

--- Check a definition.
---@param given table
---@return table def
---Raises `argument`.
---
--- Example: `local def = definition.check { name = "town", state = { members = {} }, step = live }`
function M.check(given)
  if type(given) ~= "table" then errors.argument("stoke.world: a table expected, got %s", errors.describe(given)) end
  local o = errors.options(given, KNOWN, "stoke.world")
  local name, def = o.name or "world", {}
  for key, value in next, o do def[key] = value end
  def.name, def.what = name, ("world %q"):format(name)
  def.wait, def.distance, def.start = o.wait ~= false, o.distance or chebyshev, o.start or 0
  local what = def.what
  if o.state == nil then errors.argument("%s: there is no state: a table, or a function that makes it", what) end
  if not o.step and not o.inputs then errors.argument("%s: there is neither step nor inputs, so nothing could happen", what) end
  def.step = o.step or function() end
  def.seed = math.tointeger(o.seed or 1) or errors.argument("%s: the seed must be a whole number, got %s", what, tostring(o.seed))
  def.tick = positive(what, "tick", o.tick or 1)
  if def.start ~= def.start or def.start < 0 or def.start == math.huge then
    errors.argument("%s: start must be seconds of at least 0, got %s", what, tostring(def.start))
  end
  def.every = math.max(1, math.floor(positive(what, "snapshot", o.snapshot or 3600) / def.tick))
  def.ahead, def.cap = whole(what, "ahead", o.ahead or 0, 0), whole(what, "cap", o.cap or 10000, 1)
  def.at_once, def.retries = whole(what, "at_once", o.at_once or 1000, 1), whole(what, "retries", o.retries or 2, 0)
  def.deadline = positive(what, "deadline", o.deadline or 600)
  def.inputs, def.thoughts = check_names(what .. ": the input", o.inputs or {}), {}
  for thought, of in next, check_names(what .. ": thoughts", o.thoughts or {}) do
    def.thoughts[thought] = thought_of(def, thought, of)
  end
  def.thought_names, def.input_names = ordered.names(def.thoughts), ordered.names(def.inputs)
  check_ahead(def)
  def.bounded = def.ahead > 0 and def.distance == chebyshev
  return def
end

return M
