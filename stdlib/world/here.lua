--- What a step of a world sees: the time, who is near, random numbers, thoughts, events. One table for all steps of a world:
--- nothing is made for a member to whom nothing happens.

local data = require "stoke.world.data"
local definition = require "stoke.world.definition"
local errors = require "core.errors"
local random = require "stoke.world.random"

local chebyshev <const> = definition.chebyshev

local M = {}

---@class stoke.world.here
---@field tick integer
---@field time number world seconds
---@field day integer 0 is the first
---@field ground table what all share: read it; inputs without a member change it
---@field current table|nil the record of the member that is stepped
---@field private engine stoke.world.engine
local Here = {}
Here.__index = Here
Here.__name = "stoke.world.here"

--- Of a world's engine.
---@param engine stoke.world.engine
---@return stoke.world.here
---
--- Example: `self.here = here.new(self)`
function M.new(engine)
  return setmetatable({ engine = engine, tick = 0, time = 0, day = 0, ground = nil, current = nil, streams = {} }, Here)
end

local function name_of(self, member, what)
  if type(member) == "string" then return member end
  local id = type(member) == "table" and rawget(member, "id") or nil
  if id ~= nil and (not self.engine.members or self.engine.members[id] == member) then return id end
  if member == nil and not self.engine.members then return "" end
  errors.argument("here:%s: a member expected, got %s", what, errors.describe(member))
end

--- The random numbers of a member in this tick; in a world without members, those of a name.
---@param member? table|string
---@return stoke.world.random
---Raises `argument`.
---
--- Example: `if here:random(member):float() < 0.01 then member.mood = "bored" end`
function Here:random(member)
  local id = name_of(self, member, "random")
  local stream = self.streams[id]
  if not stream then
    stream = random.new(self.engine.def.seed, id)
    self.streams[id] = stream
  end
  return stream:at(self.tick)
end

--- The same for the distance that worlds have where they say nothing: without a call for each.
local function near_by(list, member, radius)
  local out, n, x, y = {}, 0, member.x, member.y
  if not x or not y then return out end
  for i = 1, #list do
    local other = list[i]
    local ox, oy = other.x, other.y
    if ox and oy and ox - x <= radius and x - ox <= radius and oy - y <= radius and y - oy <= radius and other ~= member then
      n = n + 1
      out[n] = other
    end
  end
  return out
end

--- The members near one, in the order of their ids.
---@param member table
---@param radius? number at most the world's reach, which is the default; all members in a world without one
---@return table[] members without the member itself
---Raises `argument`.
---
--- Example: `for _, other in ipairs(here:near(member, 3)) do greet(member, other) end`
function Here:near(member, radius)
  local engine = self.engine
  local def = engine.def
  local reach = def.reach or math.huge
  if type(member) ~= "table" then errors.argument("here:near: a member expected, got %s", errors.describe(member)) end
  if radius == nil then radius = reach end
  if type(radius) ~= "number" or not (radius >= 0) then
    errors.argument("here:near: the radius must be a number of at least 0, got %s", tostring(radius))
  end
  if radius > reach then
    errors.raise("argument", ("here:near: a radius of %g is more than the world's reach, %g"):format(radius, reach),
      { hint = "reach = says how far members see; it is given with the world" })
  end
  local out, n, distance, list = {}, 0, def.distance, engine.list
  if distance == chebyshev and radius < math.huge then return near_by(list, member, radius) end
  for i = 1, #list do
    local other = list[i]
    if other ~= member and distance(member, other) <= radius then
      n = n + 1
      out[n] = other
    end
  end
  return out
end

--- A member by its id. In a world with a reach: the one that is stepped, and those that are near it or tied to it.
---@param id string
---@return table|nil member nil: there is none, or it is out of reach
---
--- Example: `local friend = here:member(member.friend)`
function Here:member(id)
  local engine = self.engine
  local other = engine.members and engine.members[id]
  local current, def = self.current, engine.def
  if not other or not def.reach or not current or other == current then return other end
  if def.distance(current, other) <= def.reach or def.tied and def.tied(current, other) then return other end
  return nil
end

--- Begin a thought: its `ask` is called outside of the steps, and its `apply` with the answer in a later one. A member thinks one
--- thought at a time.
---@param member table|string a member; in a world without members, a name
---@param name string one of the world's thoughts
---@param q? any plain data for `ask`
---Raises `argument`.
---
--- Example: `if not here:thinking(member) then here:think(member, "plan", { mood = member.mood }) end`
function Here:think(member, name, q)
  local engine, who = self.engine, name_of(self, member, "think")
  local thought = engine.def.thoughts[name]
  if not thought then
    local near = type(name) == "string" and errors.suggest(name, engine.def.thought_names)
    errors.argument("here:think: the world has no thought %s%s", errors.named(name),
      near and (" (did you mean %s?)"):format(near) or "")
  end
  local entry = engine.thinking[who]
  if entry then
    errors.raise("argument", ("here:think: %q thinks %q already, since tick %d"):format(who, entry.name, entry.begun),
      { hint = "here:thinking(member) says so; one thought at a time" })
  end
  local due = self.tick + thought.ticks
  entry = { name = name, q = data.checked(q, "here:think: the question"), begun = self.tick, due = due }
  engine.thinking[who] = entry
  if due < engine.limit then engine.limit = due end
  if engine.on_think then engine.on_think(who, entry) end
end

--- Is it thinking?
---@param member table|string
---@return string|nil name of the thought
---
--- Example: `if here:thinking(member) then return end`
function Here:thinking(member)
  local entry = self.engine.thinking[name_of(self, member, "thinking")]
  return entry and entry.name or nil
end

--- Tell those who watch the world. It is no part of the state.
---@param kind string the event's type
---@param value? any plain data
---Raises `argument`.
---
--- Example: `here:emit("says", { text = "Hello!" })`
function Here:emit(kind, value)
  if type(kind) ~= "string" or kind == "" then
    errors.argument("here:emit: the type must be a text that is not empty, got %s", errors.describe(kind))
  end
  local current = self.current
  self.engine:tell(kind, current and current.id or nil, data.checked(value, "here:emit: the data"))
end

return M
