--- Effects of queues: queue.open, queue.publish, queue.take, queue.settle, queue.renew, and what looks and moves.
---
--- queue.open is a stream without items: the scope it is opened in owns it. The others name the queue by its URL, without a
--- password; beside the request stands `work`, the handle of stdlib/queue.lua, which has `stream` (that of queue.open) and the
--- whole URL. A replayed stream has no engine behind it: where a run goes on live, the engine is opened again.
---
--- An item that a script has taken is held: its lease is renewed until it is settled, or nobody has it any more.

local can_wait = require "host.task".can_wait
local effect = require "core.effect"
local engine = require "core.engine"
local errors = require "core.errors"
local host = require "host.task"
local monotonic = require "host.time".monotonic
local place = require "core.store.place"
local pool = require "core.gate.pool"
local rand = require "host.rand"
local script = require "core.script"
local tasks = require "core.task"

local M = {}

-- ---- opening ----------------------------------------------------------------------------------------------------------------

---@class core.queue.held an item of stdlib/queue/items.lua
---@field claim core.engine.claim
---@field try integer
---@field read? true somebody has seen it; else it goes back as it came
---@field spent? true it is lent for the last time: given back by who has seen it, it is dead
---@field lost? true nobody has it any more; set here

--- What becomes of an item whose reader ends, of its own or by an error.
---@param item core.queue.held
---@return "back"|"again"|"dead" state
---@return string|nil reason
function M.left(item)
  if not item.read then return "back" end
  if item.spent then return "dead", ("its reader was closed at try %d"):format(item.try) end
  return "again", "its reader was closed"
end

--- The stream's source.
---@class core.queue
---@field engine core.engine
---@field held table<core.queue.held, { lease: number, due: number }> weak
local Queue = {}
Queue.__index = Queue

function Queue.next() return nil end

--- Nothing is held: nothing has to be renewed.
function Queue:rest()
  if self.renewing and not next(self.held) and self.renewing.co then host.wake(self.renewing.co) end
end

--- Give back what is held, and close the engine.
function Queue:close()
  local own = self.engine
  self.engine = nil
  if not own then return end
  local list = {}
  for item in next, self.held do
    local state, reason = M.left(item)
    list[#list + 1] = { claim = item.claim, state = state, reason = reason }
    item.lost = true
  end
  self.held = {}
  self:rest()
  if list[1] and can_wait() then own:settle(list) end
  own:close()
end

--- The file of the local engine where the URL names none: beside the store of the script.
local function file_here()
  local path = script.path ~= "-" and script.path or "./x"
  return ((pool.store or place.path(path)):gsub("[^/]*$", "queue.db"))
end

local function open(q, url)
  local own, err = engine.open(url, { file = file_here() })
  if not own then return nil, err end
  return setmetatable({ engine = own, held = setmetatable({}, { __mode = "k" }), about = { url = q.queue } }, Queue)
end

effect.define("queue.open", { stream = true, lasts = true, class = "idempotent", run = function(q, _, work)
  return open(q, work.url)
end })

-- ---- the engine of a request ------------------------------------------------------------------------------------------------

local function closed(work)
  return errors.new("cancelled", ("the queue %s was closed, with the scope it was opened in or by hand"):format(work.name))
end

--- The engine behind a stream that was replayed is opened now.
local function again(work, player)
  local opened, err = open(player.q, work.url)
  if err then return nil, err end
  if work.stream.ended or player.again then -- meanwhile
    opened:close()
    if work.stream.ended then return nil, closed(work) end
    return player.again
  end
  player.again = opened
  return opened
end

---@param work { stream: stoke.stream, url: string, name: string }
---@return core.queue|nil
---@return stoke.error|nil err
local function queue_of(work)
  local source = work.stream.source
  while source.inner do source = source.inner end -- the recorder of a journal
  if work.stream.ended then return nil, closed(work) end
  if not source.recorded then return source end
  if source.again then return source.again end
  return again(work, source)
end

--- What an engine promises.
---@param work table
---@return core.engine.traits|nil
---@return stoke.error|nil err
function M.traits(work)
  local queue, err = queue_of(work)
  if not queue then return nil, err end
  return queue.engine.traits
end

-- ---- items ------------------------------------------------------------------------------------------------------------------

--- f(engine, q, call), with the engine of the request.
local function on_engine(f)
  return function(q, call, work)
    local queue, err = queue_of(work)
    if not queue then return nil, err end
    return f(queue.engine, q, call)
  end
end

local chance = rand.new() -- of no seed: in two processes they must not be the same

--- Ids for items that have none: the same ones whenever a run does this again.
local function name_items(items, call)
  local journal = call and call.key and call.context.journal
  local base = journal and journal:idempotency(call.key)
    or chance:bytes(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  local list = {}
  for i, item in ipairs(items) do
    list[i] = item.id and item
      or { id = #items > 1 and base .. "-" .. i or base, key = item.key, value = item.value, v = item.v }
  end
  return list
end

effect.define("queue.publish", { class = "idempotent", repeats = true, keyed = function(q) return q.unnamed and "disk" end,
  run = on_engine(function(own, q, call)
    return own:publish(q.stream, q.unnamed and name_items(q.items, call) or q.items)
  end) })

effect.define("queue.take", { class = "idempotent", repeats = true, run = on_engine(function(own, q)
  return own:claim { stream = q.stream, group = q.group, n = q.n, lease = q.lease, wait = q.wait, tries = q.tries, from = q.from }
end) })

effect.define("queue.settle", { class = "idempotent", repeats = true, run = on_engine(function(own, q)
  return own:settle(q.list)
end) })

effect.define("queue.renew", { class = "idempotent", repeats = true, run = on_engine(function(own, q)
  return own:renew(q.claims, q.lease)
end) })

-- ---- what is held -----------------------------------------------------------------------------------------------------------

--- Seconds between two looks at what is held, at least; of a lease, the part after which it is renewed.
local SHORTEST <const>, PART <const> = 0.05, 1 / 3

--- Claims that are due, by lease; and seconds until the next is.
local function due_of(held)
  local now, by, left = monotonic(), {}, math.huge
  local later = {}
  for item, hold in next, held do
    if hold.due <= now then
      by[hold.lease] = by[hold.lease] or {}
      table.insert(by[hold.lease], item.claim)
      later[hold] = true
    else
      left = math.min(left, hold.due - now)
    end
  end
  for hold in next, later do
    hold.due = now + hold.lease * PART
    left = math.min(left, hold.lease * PART)
  end
  return by, math.max(left, SHORTEST)
end

local function forget_lost(held, lost)
  for item in next, held do
    for _, claim in ipairs(lost) do
      local own = item.claim
      if claim.offset == own.offset and claim.fence == own.fence and claim.stream == own.stream then
        item.lost, held[item] = true, nil
      end
    end
  end
end

local function renew(queue)
  while queue.engine and next(queue.held) do
    local by, left = due_of(queue.held)
    for lease, claims in next, by do
      local lost = queue.engine and queue.engine:renew(claims, lease) -- where the server is away, the next look tries again
      if lost and lost[1] then forget_lost(queue.held, lost) end
    end
    if not queue.engine or not next(queue.held) then break end -- meanwhile: who woke it then found it asking
    if host.park("queue", left) == nil then break end
  end
  queue.renewing = nil
end

--- Renew the leases of items from now on.
---@param work table
---@param items core.queue.held[]
---@param lease number seconds
function M.hold(work, items, lease)
  local queue = queue_of(work)
  if not queue or not items[1] then return end
  local hold = { lease = lease, due = monotonic() + lease * PART } -- of all of them
  for _, item in ipairs(items) do queue.held[item] = hold end
  if queue.renewing then return end
  queue.renewing = tasks.spawn(renew, { system = true, name = "queue" }, queue)
end

--- They are settled.
---@param work table
---@param items core.queue.held[]
function M.release(work, items)
  local queue = queue_of(work)
  if not queue then return end
  for _, item in ipairs(items) do queue.held[item] = nil end
  queue:rest()
end

-- ---- looking and moving -----------------------------------------------------------------------------------------------------

--- name -> { class, f(engine, q) }
local OTHERS = {
  read = { "pure", function(own, q) return own:read(q.stream, q.from, q.limit) end },
  outcomes = { "pure", function(own, q) return own:outcomes(q.stream, q.group, q.from, q.limit) end },
  rewind = { "idempotent", function(own, q) return own:rewind(q.stream, q.group, q.offset) end },
  revive = { "idempotent", function(own, q) return own:revive(q.stream, q.group, q.ids) end },
  trim = { "idempotent", function(own, q) return own:trim(q.stream, q.before) end },
  streams = { "pure", function(own) return own:streams() end },
  health = { "pure", function(own) return own:health() end },
  now = { "pure", function(own) return own:now() end },
  kv_get = { "pure", function(own, q) return own:kv_get(q.bucket, q.key) end },
  kv_keys = { "pure", function(own, q) return own:kv_keys(q.bucket, q.prefix) end },
  kv_watch = { "pure", function(own, q) return own:kv_watch(q.bucket, q.prefix, q.since, q.wait) end },
  kv_put = { "idempotent", function(own, q) return own:kv_put(q.bucket, q.key, q.value) end },
  kv_swap = { "unsafe", function(own, q) return own:kv_swap(q.bucket, q.key, q.value, q.revision) end },
  kv_delete = { "unsafe", function(own, q) return own:kv_delete(q.bucket, q.key, q.revision) end },
  log_read = { "pure", function(own, q) return own:log_read(q.name, q.key, q.from, q.limit) end },
  log_append = { "unsafe", function(own, q)
    local offset, last = own:log_append(q.name, q.key, q.after, q.value)
    if offset == nil then return nil, last end
    return { offset = offset, last = last }
  end },
  log_drop = { "idempotent", function(own, q) return own:log_drop(q.name, q.key) end },
}

for name, about in next, OTHERS do
  local class, f = about[1], about[2]
  effect.define("queue." .. name, { class = class, repeats = class == "idempotent" or nil, run = on_engine(f) })
end

return M
