--- The past of a world: a moment looked at, gone back to, or taken as the beginning of another world; and what two worlds have
--- different. It all is a snapshot with the log applied: no model is asked.

local data = require "stoke.world.data"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "stoke.json"
local memory = require "stoke.world.memory"
local ordered = require "core.ordered"

local M = {}

--- Entries of two logs that are compared at once.
local CHUNK <const> = 1000

--- Ticks from the beginning to a moment: a whole number where it is the time of a tick, also where a tick is a part of a second.
---@param def table
---@param moment number world time
---@return number
---
--- Example: `local tick = math.floor(history.ticks(def, 9 * 3600))`
function M.ticks(def, moment)
  local n = (moment - def.start) / def.tick
  local nearest = math.floor(n + 0.5)
  return math.abs(n - nearest) <= 1e-9 * math.max(1, math.abs(n)) and nearest or n
end

--- The tick of a moment that has been.
---@param world stoke.world
---@param what string the call
---@param moment any
---@return integer tick
---Raises `argument`.
---
--- Example: `local tick = history.tick_of(town, "world:at", 9 * 3600)`
function M.tick_of(world, what, moment)
  local engine, def = world.engine, world.def
  if type(moment) ~= "number" or moment ~= moment then
    errors.argument("%s: a world time in seconds expected, got %s", what, errors.describe(moment))
  end
  local now = engine:time(engine.now)
  if moment < def.start or moment > now then
    errors.argument("%s: %g is no moment that has been: the world is at %g, and began at %g", what, moment, now, def.start)
  end
  return math.floor(M.ticks(def, moment))
end

--- A world of its own from what another one has up to a tick.
---@param world stoke.world
---@param tick integer
---@param file? string
---@return table def
---@return table|nil log in memory; nil: it is in the file
---Raises `argument`, `db`.
---
--- Example: `local def, log = history.branch(town, 3600, "other.world")`
function M.branch(world, tick, file)
  local def = {}
  for name, value in next, world.def do def[name] = value end
  def.file = file
  if not file then return def, memory.of(world.log, tick) end
  if not world.file then
    errors.raise("argument", "world:branch: a world in memory branches in memory, without a file",
      { hint = "a world that was made with a file branches into another file" })
  end
  if fs.stat(file) then
    errors.raise("argument", ("world:branch: there is a file %s already"):format(file), { hint = "name another one, or remove it" })
  end
  world.log:reach(world.engine.now)
  world.db:backup(file)
  return def, nil
end

-- ---- two worlds ----------------------------------------------------------------------------------------------------------------

local function said(row)
  return json.encode { row.tick, row.kind, row.name, row.member or json.null, row.args == nil and json.null or row.args,
    row.failed or json.null }
end

--- The first entry of two logs that is not the same.
local function first_difference(a, b)
  for from = 1, math.max(a.log.last, b.log.last), CHUNK do
    local one, other = a:inputs { from = from, to = from + CHUNK - 1 }, b:inputs { from = from, to = from + CHUNK - 1 }
    for i = 1, math.max(#one, #other) do
      if not one[i] or not other[i] or said(one[i]) ~= said(other[i]) then
        return { n = from + i - 1, a = one[i], b = other[i] }
      end
    end
  end
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
  return json.encode(data.checked(a, "world.diff")) == json.encode(data.checked(b, "world.diff"))
end

--- Keys under which two tables have different values.
local function keys_of(a, b)
  local all, out = {}, {}
  for key in next, a do all[key] = true end
  for key in next, b do all[key] = true end
  for key in next, all do
    if not same(a[key], b[key]) then out[#out + 1] = key end
  end
  table.sort(out, function(x, y) return tostring(x) < tostring(y) end)
  return out
end

--- What two worlds have different.
---@param a stoke.world
---@param b stoke.world
---@return table difference see stoke.world.diff
---
--- Example: `local difference = history.diff(town, other)`
function M.diff(a, b)
  local one, other = a:look(), b:look()
  local mine, theirs, ids, members = one.members or {}, other.members or {}, {}, {}
  for id in next, mine do ids[id] = true end
  for id in next, theirs do ids[id] = true end
  for _, id in ipairs(ordered.names(ids)) do
    if not mine[id] or not theirs[id] then
      members[#members + 1] = { id = id, only = mine[id] and "a" or "b" }
    elseif not same(mine[id], theirs[id]) then
      members[#members + 1] = { id = id, fields = keys_of(mine[id], theirs[id]) }
    end
  end
  one.members, other.members = nil, nil
  local counts = { tick = { a = a:tick(), b = b:tick() }, inputs = { a = a.log.last, b = b.log.last } }
  local input, state = first_difference(a, b), keys_of(one, other)
  return { input = input, members = members, state = state, counts = counts,
    equal = not input and not members[1] and not state[1] and counts.tick.a == counts.tick.b }
end

return M
