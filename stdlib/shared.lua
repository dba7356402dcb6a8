--- stoke.shared: a value that several tasks and agents have together. Who reads it gets a copy; who changes it says what it was, so
--- that nobody's change is lost.
---
---     local board = stoke.shared("board", { votes = 0 })
---     board:update(function(value) value.votes = value.votes + 1 return value end)
---     print(board:get().votes)
---     for value, version in board:changes() do print(version, value.votes) break end
---
--- With `durable = true` it is kept in the store, and is there in the next process: it is an actor, whose handler compares and
--- sets.

local combine = require "core.combine"
local errors = require "core.errors"
local plain = require "core.journal.plain"
local schedules = require "core.schedule"
local scopes = require "core.scope"
local tasks = require "core.task"

local M = {}

--- How often an update begins anew because somebody else was faster.
local TRIES <const> = 100
---@class stoke.shared
---@field name string
local Shared = {}
Shared.__index = Shared
Shared.__name = "stoke.shared"

local named = require "core.mailbox".names "shared values"

local function data(self, value)
  local copy, odd = plain.copy(value)
  if odd then
    errors.raise("argument", ("shared %q holds data, and %s"):format(self.name, odd), { hint = "texts, numbers, tables of these" })
  end
  return copy
end

local function check(self, what)
  scopes.check_self(self, Shared, what)
  if schedules.any then schedules.check(self.schedule, "table", what) end
end

-- ---- where it is: in this process, or with an actor ---------------------------------------------------------------------------

local Here = {}
Here.__index = Here

function Here:read() return self.value, self.version end

function Here:write(value, version)
  if version and version ~= self.version then return false end
  self.value, self.version = value, self.version + 1
  return true
end

local There = {}
There.__index = There

function There:read()
  local state = self.actor:state()
  return state.value, state.version
end

function There:write(value, version) return self.actor:ask("set", value, version) end

--- The actors of all values that are kept, one for each name.
local function actor_of(name, initial)
  local kind = require "stoke.actor"("stoke.shared", { state = { version = 0 }, on = {
    begin = function(state, value)
      if state.version == 0 then state.value, state.version = value, 1 end
    end,
    set = function(state, value, version)
      if version and version ~= state.version then return false end
      state.value, state.version = value, state.version + 1
      return true
    end,
  } })
  local actor = kind(name)
  actor:ask("begin", initial)
  return actor
end

-- ---- what it can do -----------------------------------------------------------------------------------------------------

--- The value, a copy, and its version: a number that grows with each change.
---@return any value
---@return integer version
---
--- Example: `local value, version = board:get()`
function Shared:get()
  check(self, "shared:get()")
  local value, version = self.place:read()
  return data(self, value), version
end

local function told(self)
  local watchers = self.watchers
  self.watchers = {}
  for _, task in ipairs(watchers) do tasks.wake(task) end
end

--- Set the value; with a version only if it still is that one.
---@param value any plain data
---@param version? integer
---@param options? { timeout?: number } seconds to wait for the store, of a durable one; without it as long as the scope lets it
---@return boolean set false: somebody has changed it since
---Raises `argument` for what is no data; `timeout`: it may still be set.
---
--- Example: `if not board:set(value, version) then print "too late" end`
function Shared:set(value, version, options)
  check(self, "shared:set()")
  options = errors.options(options, { timeout = "number" }, "shared:set")
  if options.timeout then errors.check_seconds(options.timeout, "shared:set: timeout") end
  if version ~= nil and math.type(version) ~= "integer" then
    errors.argument("shared:set: the version must be what shared:get() gave, got %s", errors.describe(version))
  end
  local place, copy = self.place, data(self, value)
  local set
  if options.timeout then
    set = combine.timeout(options.timeout, place.write, place, copy, version)
  else
    set = place:write(copy, version)
  end
  if set then told(self) end
  return set
end

--- Change the value by a function of it. The function may wait; where somebody changes the value meanwhile it is called again,
--- with the new one, so it should do nothing else.
---@param f fun(value: any): any
---@return any value as it is now
---Raises what the function raises, `argument` (also: it returned nothing); `limit` where it was changed by others a hundred times
---meanwhile.
---
--- Example: `board:update(function(value) value.votes = value.votes + 1 return value end)`
function Shared:update(f)
  errors.check_callable(f, "shared:update")
  for _ = 1, TRIES do
    local value, version = self:get()
    value = f(value)
    if value == nil then
      errors.raise("argument", ("shared %q: the function of update returned nothing"):format(self.name),
        { hint = "return the value, also where it is a table that the function has changed" })
    end
    if self:set(value, version) then return value end
  end
  errors.raise("limit", ("shared %q: it was changed by others %d times while it was being updated"):format(self.name, TRIES),
    { hint = "let the function do less, or nothing that waits" })
end

--- Takes a task off the list of those that wait.
local Leaving = { __close = function(leaving)
  local list, task = leaving[1], leaving[2]
  for i, one in ipairs(list) do
    if one == task then return table.remove(list, i) end
  end
end }

--- Wait for a change.
---@param version? integer the one that is known; without it, the next change
---@param seconds? number
---@return any value nil and "timeout" where there was none
---@return integer|string version
---
--- Example: `local value, version = board:changed(version, 10)`
function Shared:changed(version, seconds)
  check(self, "shared:changed()")
  if version ~= nil and math.type(version) ~= "integer" then
    errors.argument("shared:changed: the version must be what shared:get() gave, got %s", errors.describe(version))
  end
  if seconds ~= nil then errors.check_seconds(seconds, "shared:changed") end
  local value, now = self:get()
  if version and now > version then return value, now end
  local me = tasks.current()
  table.insert(self.watchers, me)
  local _ <close> = setmetatable({ self.watchers, me }, Leaving)
  if not tasks.park("shared.changed", seconds) then return nil, "timeout" end
  return self:get()
end

--- `for value, version in shared:changes() do`: the value now, then after each change. What comes while the loop is busy is seen
--- as one change, the newest. A change that another process makes to a durable value is not seen.
---@return fun(): any, integer iterator
---
--- Example: `for value in board:changes() do if value.votes > 3 then break end end`
function Shared:changes()
  check(self, "shared:changes()")
  local known = -1
  return function()
    local value, version = self:changed(known)
    known = version
    return value, version
  end
end

function Shared:__tostring() return ("shared %s"):format(self.name) end

--- A value of a name; the same one whenever the same name is given. Each durable run has names of its own.
---@param name string
---@param initial? any plain data: the value it begins with ({})
---@param options? { durable?: boolean } kept in the store
---@return stoke.shared
---Raises `argument` (also: there is one that `durable` is not true of); `db` where it is kept and the store cannot be written.
---
--- Example: `local board = stoke.shared("board", { votes = 0 }, { durable = true })`
function M.new(name, initial, options)
  if type(name) ~= "string" or name == "" then
    errors.argument("stoke.shared: a name expected, got %s", errors.describe(name))
  end
  options = errors.options(options, { durable = "boolean" }, "stoke.shared")
  local initial_of = function(shared) return data(shared, initial == nil and {} or initial) end
  local known = named:get(name, function(schedule)
    local shared = setmetatable({ name = name, watchers = {}, schedule = schedule }, Shared)
    if options.durable then
      shared.place = setmetatable({ actor = actor_of(name, initial_of(shared)) }, There)
    else
      shared.place = setmetatable({ value = initial_of(shared), version = 1 }, Here)
    end
    return shared
  end)
  local durable = getmetatable(known.place) == There
  if options.durable ~= nil and options.durable ~= durable then
    errors.argument("stoke.shared: there is a value %q that is %s", name,
      durable and "kept in the store" or "of this process alone")
  end
  return known
end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
