--- Events of a world, for those who watch it: each reader has a queue of its own. One that is too slow loses the oldest and is told
--- how many; it never keeps the world waiting.

local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"

local M = {}

--- Events that are kept for readers that come later.
---@private
M.KEPT = 1000

---@class stoke.world.events
---@field private first integer
---@field private last integer
---@field private lost integer
local Reader = {}
Reader.__index = Reader
Reader.__name = "stoke.world.events"

local Feed = {}
Feed.__index = Feed

--- The source of events of a world.
---@return table
---
--- Example: `self.feed = events.new()`
function M.new() return setmetatable({ readers = {}, kept = {}, first = 1, last = 0 }, Feed) end

local function wake(reader)
  local task = reader.task
  if task then tasks.wake(task) end
end

local function put(reader, event)
  if reader.last - reader.first + 1 >= reader.cap then
    reader[reader.first] = nil
    reader.first, reader.lost = reader.first + 1, reader.lost + 1
  end
  reader.last = reader.last + 1
  reader[reader.last] = event
  wake(reader)
end

--- Hand an event to all readers.
---@param event table
---
--- Example: `feed:put(event)`
function Feed:put(event)
  self.last = self.last + 1
  self.kept[self.last] = event
  if self.last - self.first + 1 > M.KEPT then
    self.kept[self.first] = nil
    self.first = self.first + 1
  end
  for _, reader in ipairs(self.readers) do put(reader, event) end
end

--- A new reader, which ends with the scope around.
---@param from? integer number of the first event it wants; without it, what comes from now on
---@param cap integer
---@return stoke.world.events
---
--- Example: `local reader = feed:read(nil, 1000)`
function Feed:read(from, cap)
  local reader = setmetatable({ feed = self, first = 1, last = 0, lost = 0, cap = cap, closed = self.closed }, Reader)
  if from then
    local oldest = nil
    for i = self.first, self.last do
      local event = self.kept[i]
      if event.n and not oldest then oldest = event.n end
      if not event.n or event.n >= from then put(reader, event) end
    end
    if oldest and oldest > from then reader.lost = reader.lost + oldest - from end
  end
  self.readers[#self.readers + 1] = reader
  local me = tasks.current()
  if me then
    reader.scope = scopes.innermost(me)
    scopes.own(reader.scope, reader)
  end
  return reader
end

--- Forget what was kept: the time after a moment is gone.
---
--- Example: `feed:forget()`
function Feed:forget() self.kept, self.first, self.last = {}, 1, 0 end

--- All readers end, when they have read what there is.
---
--- Example: `feed:close()`
function Feed:close()
  self.closed = true
  for _, reader in ipairs(self.readers) do
    reader.closed = true
    wake(reader)
  end
end

local Leaving = { __close = function(leaving) leaving[1].task = nil end }

local function wait(reader)
  local me = tasks.current()
  if reader.task then
    errors.argument("world:events: another task reads these; each reader calls world:events() itself")
  end
  reader.task = me
  local _ <close> = setmetatable({ reader }, Leaving)
  tasks.park "world.events"
end

--- The next event; waits for it. `for event in world:events() do` calls it.
---@return table|nil event { n, tick, time, type, member, data }; { type = "gap", lost = } where some were lost; nil at the end
---Raises `cancelled`.
---
--- Example: `local event = reader()`
function Reader:__call()
  while self.first > self.last and self.lost == 0 do
    if self.closed then return nil end
    wait(self)
  end
  if self.lost > 0 then
    local lost = self.lost
    self.lost = 0
    return { type = "gap", lost = lost }
  end
  local event = self[self.first]
  self[self.first] = nil
  self.first = self.first + 1
  return event
end

--- Is there an event that was not read?
---@return boolean
---
--- Example: `while reader:waiting() do show(reader()) end`
function Reader:waiting() return self.first <= self.last or self.lost > 0 end

--- Stop reading; leaving the loop or the scope does it, too.
---
--- Example: `reader:close()`
function Reader:close()
  if self.scope then scopes.disown(self.scope, self) end
  self.closed, self.scope = true, nil
  local readers = self.feed.readers
  for i, one in ipairs(readers) do
    if one == self then
      table.remove(readers, i)
      break
    end
  end
  wake(self)
end

Reader.__close = Reader.close

return M
