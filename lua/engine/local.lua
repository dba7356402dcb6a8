--- The local engine: a file of SQLite that the processes of one machine share. Nothing has to be installed.
---
---     "local"            .stoke/queue.db beside the script
---     "local:jobs.db"    a file; "local::memory:" is one that only this process has
---
--- The engine's clock is the machine's. Changes of this process wake who waits at once; whether another process has written is
--- looked at while somebody waits. What is published or settled is on the disk before it returns; a claim need not be: a power cut
--- ends all readers, and an item whose claim is forgotten waits as before.

local errors = require "core.errors"
local host = require "host.task"
local items = require "core.engine.local.items"
local kv = require "core.engine.local.kv"
local schema = require "core.engine.local.schema"
local tasks = require "core.task"
local time = require "host.time"
local turns = require "core.engine.local.turn"

local monotonic, wall = time.monotonic, time.wall

local M = {}

--- Seconds between two looks whether another process has written.
M.LOOK = 0.025
--- Less than the clock can tell: a wait of that is over.
local TICK <const> = 1e-6

---@class core.engine.local: core.engine
---@field hub core.engine.hub
local Engine = {}
Engine.__index = Engine
Engine.traits = { order = "key", fenced = true, handover = "one step", cas = true, dedup = "always", processes = true }

-- ---- a file in this process -------------------------------------------------------------------------------------------------

--- What all engines of this process on one file share.
---@class core.engine.hub
---@field path string
---@field db userdata
---@field turns core.engine.turns
---@field users integer engines that are open
---@field changes table<string, integer> how often something of a name has changed
---@field others integer how often another process has written
---@field waiters table<string, table<thread, true>>
---@field waiting integer
local Hub = {}
Hub.__index = Hub

local hubs = {} -- path -> hub

--- Something of this name has changed.
function Hub:tell(name)
  self.changes[name] = (self.changes[name] or 0) + 1
  local list = self.waiters[name]
  if not list then return end
  self.waiters[name] = nil
  for co in next, list do host.wake(co) end
end

--- Another process has written something.
function Hub:tell_all()
  self.others = self.others + 1
  for name in next, self.waiters do self:tell(name) end
end

--- A number that changes with what has a name.
---@param name string
---@return integer
function Hub:seen(name) return (self.changes[name] or 0) + self.others end

--- While somebody waits, look for what other processes write. What they wrote since the last look is news, too: whoever waits now
--- may have looked before it.
local function look(self)
  while self.waiting > 0 do
    local now = self.db:version()
    if now ~= self.version then
      self.version = now
      self:tell_all()
    end
    if self.waiting == 0 or host.park("queue", M.LOOK) == nil then break end
  end
  self.looking = nil
end

--- Wait until something of a name has changed since it was `seen`.
---@param name string
---@param seen integer
---@param seconds number
---@return boolean|nil true; nil and an error
---@return stoke.error|nil err
function Hub:await(name, seen, seconds)
  local co = host.enter "queue".co
  if self:seen(name) ~= seen then return true end
  self.waiters[name] = self.waiters[name] or {}
  self.waiters[name][co] = true
  self.waiting = self.waiting + 1
  if not self.looking then
    self.looking = tasks.spawn(look, { system = true, name = "queue" }, self)
  end
  local woken, err = host.park("queue", seconds)
  self.waiting = self.waiting - 1
  if self.waiting == 0 and self.looking and self.looking.co then host.wake(self.looking.co) end
  if self.waiters[name] then self.waiters[name][co] = nil end
  if woken == nil then return nil, err end
  return true
end

local function hub_of(path)
  local hub = hubs[path]
  if hub then
    hub.users = hub.users + 1
    return hub
  end
  local db, err = schema.open(path)
  if not db then return nil, err end
  hub = setmetatable({ path = path, db = db, users = 1, changes = {}, others = 0, waiters = {}, waiting = 0 }, Hub)
  hub.turns = turns.new(db, function(changed)
    for name in next, changed do hub:tell(name) end
  end, items.FLEETING)
  if path ~= ":memory:" then hubs[path] = hub end
  return hub
end

--- Open one.
---@param url string
---@param options { file?: string }
---@return core.engine|nil
---@return stoke.error|nil err
function M.open(url, options)
  local hub, err = hub_of(url:match "^%a+:(.+)$" or options.file or ".stoke/queue.db")
  if not hub then return nil, err end
  return setmetatable({ url = url, hub = hub, closed = false }, Engine)
end

--- The error of an engine that was closed.
local function over(self) return errors.new("cancelled", ("the queue %s was closed"):format(self.hub.path)) end

--- Wait for a change, unless it is closed.
local function await(self, name, seen, seconds)
  local ok, err = self.hub:await(name, seen, seconds)
  if ok and self.closed then return nil, over(self) end
  return ok, err
end

-- ---- doing ------------------------------------------------------------------------------------------------------------------

--- Do something in a transaction.
function Engine:take(f, about, undo)
  if self.closed then return nil, over(self) end
  local value, more = self.hub.turns:take(f, about, undo)
  if value == nil and errors.is(more) then return nil, schema.explain(self.hub.path, more) end
  return value, more
end

--- Rows of one of the statements of items.lua and kv.lua, as records.
function Engine:look_up(what, params)
  if self.closed then return nil, over(self) end
  local found, err = self.hub.db:query(what[1], params)
  if not found then return nil, schema.explain(self.hub.path, err) end
  local list = {}
  for i, row in ipairs(found.rows) do list[i] = what[2](row) end
  return list
end

function Engine:publish(stream, list) return self:take(items.publish, { stream = stream, items = list }) end

function Engine:settle(list) return self:take(items.settle, list) end

function Engine:renew(claims, lease) return self:take(items.renew, { claims = claims, lease = lease }) end

function Engine:claim(q)
  local last = monotonic() + q.wait
  local function undo(claims)
    local list = {}
    for i, claim in ipairs(claims) do list[i] = { claim = claim, state = "back" } end
    if list[1] then tasks.spawn(function() self:settle(list) end, { system = true, name = "queue" }) end
  end
  while true do
    local seen = self.hub:seen(q.stream)
    local claims, due = self:take(items.claim, q, undo)
    if not claims then return nil, due end
    local left = last - monotonic()
    if claims[1] or left < TICK then return claims end
    local ok, err = await(self, q.stream, seen, due and math.min(left, math.max(due - wall(), 0.001)) or left)
    if not ok then return nil, err end
  end
end

function Engine:read(stream, from, limit) return self:look_up(items.READ, { stream, from, limit }) end

function Engine:outcomes(stream, group, from, limit) return self:look_up(items.OUTCOMES, { stream, group, from, limit }) end

function Engine:rewind(stream, group, offset)
  return self:take(items.rewind, { stream = stream, group = group, offset = offset })
end

function Engine:revive(stream, group, ids) return self:take(items.revive, { stream = stream, group = group, ids = ids }) end

function Engine:trim(stream, before) return self:take(items.trim, { stream = stream, before = before }) end

function Engine:streams()
  if self.closed then return nil, over(self) end
  return items.streams(self.hub.db)
end

-- ---- keys and logs ----------------------------------------------------------------------------------------------------------

function Engine:kv_get(bucket, key)
  local list, err = self:look_up(kv.GET, { bucket, key })
  if not list then return nil, err end
  return list[1] or false
end

function Engine:kv_put(bucket, key, value) return self:take(kv.put, { bucket = bucket, key = key, value = value }) end

function Engine:kv_swap(bucket, key, value, revision)
  return self:take(kv.put, { bucket = bucket, key = key, value = value, expected = revision })
end

function Engine:kv_delete(bucket, key, revision)
  return self:take(kv.delete, { bucket = bucket, key = key, expected = revision })
end

function Engine:kv_keys(bucket, prefix) return self:look_up(kv.KEYS, { bucket, prefix }) end

function Engine:kv_watch(bucket, prefix, since, wait)
  local last, name = monotonic() + wait, kv.name(bucket)
  while true do
    local seen = self.hub:seen(name)
    local list, err = self:look_up(kv.CHANGES, { bucket, prefix, since })
    if not list then return nil, err end
    local left = last - monotonic()
    if list[1] or left < TICK then return list end
    local ok
    ok, err = await(self, name, seen, left)
    if not ok then return nil, err end
  end
end

function Engine:log_append(name, key, after, value)
  return self:take(kv.append, { name = name, key = key, after = after, value = value })
end

function Engine:log_read(name, key, from, limit) return self:look_up(kv.LOG, { name, key, from, limit }) end

function Engine:log_drop(name, key) return self:take(kv.drop, { name = name, key = key }) end

-- ---- itself -----------------------------------------------------------------------------------------------------------------

function Engine:now()
  if self.closed then return nil, over(self) end
  return wall()
end

function Engine:health()
  local began = monotonic()
  local found, err = self:look_up({ "SELECT sqlite_version()", function(row) return row[1] end }, {})
  if not found then return nil, err end
  return { engine = "local", version = "SQLite " .. found[1], ok = true, latency = monotonic() - began, detail = self.hub.path }
end

function Engine:close()
  if self.closed then return true end
  self.closed = true
  local hub = self.hub
  hub.users = hub.users - 1
  hub:tell_all()
  if hub.users == 0 then
    hubs[hub.path] = nil
    hub.db:close()
  end
  return true
end

Engine.__close = Engine.close

return M
