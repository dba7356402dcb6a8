--- stoke.queue: streams of items that several programs share, each item done once by a group of readers. A URL says what carries
--- them; the script stays the same.
---
---     local queue <close> = stoke.queue()
---     queue:publish("jobs", nil, "job 1", { file = "a.txt" })
---     for item in queue:consume("jobs", "workers") do
---       print(item.id, item.value.file)
---       item:ack()
---     end
---
--- "local" is a file beside the script, and needs nothing installed; "postgres://..." and "nats://..." are servers
--- that many machines share. Without a URL it is the setting `engine`, or STOKE_ENGINE, or "local".
---
--- An item that is taken is **lent** for some seconds, and renewed for as long as its reader lives; whoever dies with it loses it
--- to another. Done means acknowledged: what came of it, and what it hands over to other streams, is one step with that. An item
--- that fails again and again ends as a **dead letter**, with the reason. Items with the same **key** are done in their order. An
--- **id** is known in its stream for ever: publishing it again does nothing, so whoever does not know whether it did may do it
--- again.

local config = require "stoke.config"
local driver = require "core.driver.queue"
local effect = require "core.effect"
local engine = require "core.engine"
local errors = require "core.errors"
local items = require "stoke.queue.items"
local keys = require "stoke.queue.keys"
local scopes = require "core.scope"
local words = require "stoke.queue.words"

local M = {}

---@class stoke.queue
---@field name string its URL, without a password
local Queue = {}
Queue.__index = Queue
Queue.__name = "stoke.queue"

local function perform(self, name, q)
  q.queue = self.name
  return errors.check(effect.perform(name, q, self))
end

local function check_self(self, what) scopes.check_self(self, Queue, what .. "()") end

--- Open a queue. It belongs to the scope it is opened in, and is closed with it.
---@param url? string "local", "local:jobs.db", "postgres://host/database", "nats://host"; default: the setting `engine`, else
---  "local"
---@return stoke.queue
---Raises `argument` for an engine that nobody knows; `refused`, `auth`, `timeout`, `db` where it cannot be opened.
---
--- Example: `local jobs <close> = stoke.queue "postgres://localhost/jobs"`
function M.open(url)
  if url == nil then url = config.get().engine or "local" end
  if type(url) ~= "string" or url == "" then
    errors.argument("stoke.queue: a URL expected, got %s", errors.describe(url))
  end
  local self = setmetatable({ name = engine.plain(url), url = url }, Queue)
  self.stream = errors.check(effect.perform("queue.open", { queue = self.name }, self))
  return self
end

--- Publish an item.
---@param stream string
---@param key string|nil items of one key are done in their order
---@param id string|nil by which it is known in the stream for ever; nil: one is made
---@param value any plain data
---@return boolean new false: its id was known, and nothing was done
---Raises `argument`, `limit` (a value of more than 16 MB), and what the engine raises.
---
--- Example: `jobs:publish("mails", "ada", "welcome ada", { to = "ada@example.org" })`
function Queue:publish(stream, key, id, value)
  check_self(self, "queue:publish")
  return self:publish_all(stream, { { key = key, id = id, value = value } }) == 1
end

--- Publish several items to one stream, all or none.
---@param stream string
---@param list { key?: string, id?: string, value: any }[]
---@return integer new how many ids were not known
---Raises what queue:publish raises.
---
--- Example: `jobs:publish_all("rows", { { id = "1", value = { 1 } }, { id = "2", value = { 2 } } })`
function Queue:publish_all(stream, list)
  check_self(self, "queue:publish_all")
  words.name("queue:publish: the stream", stream)
  errors.list("queue:publish_all: items", list)
  local made, unnamed = items.checked("queue:publish", list)
  if not made[1] then return 0 end
  local news, count = perform(self, "queue.publish", { stream = stream, items = made, unnamed = unnamed }), 0
  for _, new in ipairs(news) do
    if new then count = count + 1 end
  end
  return count
end

--- Read a stream with a group, which does each item once: `for item in queue:consume(...) do ... item:ack() end`, which waits for
--- items for ever, or `reader:take(seconds)`. Leaving the loop, or its scope, gives back what was not settled.
---@param stream string
---@param group string readers of one group share the items; each group does all of them
---@param options? { lease?: number, tries?: integer, prefetch?: integer, most?: integer, from?: "first"|"new"|integer } lease:
---  seconds after which an item is another's whose reader is gone (30); tries: how often it is lent (5); prefetch: items that are
---  taken at once (1); most: so many at once while they are done in no time (prefetch); from: where a group begins that is new
---  ("first")
---@return stoke.queue.reader reader
---@return nil
---@return nil
---@return stoke.queue.reader reader for the loop to close
---Raises `argument`; when it is read, what the engine raises.
---
--- Example: `for item in jobs:consume("mails", "senders", { tries = 3 }) do send(item.value) item:ack() end`
function Queue:consume(stream, group, options)
  check_self(self, "queue:consume")
  local reader = items.reader(self, stream, group, options)
  return reader, nil, nil, reader
end

--- Settle several items at once, in one step.
---@param list { item: stoke.queue.item, state: "done"|"again"|"dead"|"back", value?: any, publish?: table[], reason?: string,
---  delay?: number }[] as item:ack, item:nack, item:dead and item:back take them
---@return boolean[] mine false: it was another's
---Raises `argument`, and what the engine raises.
---
--- Example: `jobs:settle { { item = a, state = "done" }, { item = b, state = "again", delay = 5 } }`
function Queue:settle(list)
  check_self(self, "queue:settle")
  errors.list("queue:settle", list)
  local own, made = {}, {}
  for i, given in ipairs(list) do
    if getmetatable(given.item) ~= items.Item then errors.argument("queue:settle: [%d] has no item", i) end
    own[i] = given.item
    made[i] = items.settlement("queue:settle", given.item, given.state, given)
  end
  if not own[1] then return {} end
  return items.settle(self, "queue:settle", own, made)
end

-- ---- looking ----------------------------------------------------------------------------------------------------------------

--- Items or outcomes that one question asks for.
local PAGE <const> = 200

--- An iterator over what `ask(from, limit)` gives, page by page.
local function pages(options, what, ask, give)
  options = errors.options(options, { from = "number", limit = "number" }, what)
  local from = words.whole(what .. ": from", options.from or 1, 0)
  local left = options.limit and words.whole(what .. ": limit", options.limit, 0) or math.huge
  local list, at = {}, 0
  return function()
    if left <= 0 then return nil end
    if at == #list then
      local limit = math.min(left, PAGE)
      list, at = ask(from, limit), 0
      if not list[1] then
        left = 0
        return nil
      end
    end
    at, left = at + 1, left - 1
    from = list[at].offset + 1
    return give(list[at])
  end
end

--- The items of a stream, whoever has done what with them.
---@param stream string
---@param options? { from?: integer, limit?: integer } from: an offset (1); limit: so many at most
---@return fun(): { id: string, key?: string, offset: integer, value: any }|nil iterator
---Raises what the engine raises, while it is iterated.
---
--- Example: `for item in jobs:read "jobs" do print(item.offset, item.id) end`
function Queue:read(stream, options)
  check_self(self, "queue:read")
  words.name("queue:read: the stream", stream)
  return pages(options, "queue:read", function(from, limit)
    return perform(self, "queue.read", { stream = stream, from = from, limit = limit })
  end, function(item)
    return { id = item.id, key = item.key, offset = item.offset,
      value = words.decode("item %s of the stream %s", item.value, item.v, item.id, stream) }
  end)
end

--- What came of the items that a group has settled, by offset.
---@param stream string
---@param group string
---@param options? { from?: integer, limit?: integer }
---@return fun(): { id: string, key?: string, offset: integer, state: "done"|"dead", tries: integer, value?: any,
---  reason?: string }|nil iterator
---Raises what the engine raises, while it is iterated.
---
--- Example: `for done in jobs:outcomes("jobs", "workers") do print(done.id, done.state, done.reason) end`
function Queue:outcomes(stream, group, options)
  check_self(self, "queue:outcomes")
  words.name("queue:outcomes: the stream", stream)
  words.name("queue:outcomes: the group", group)
  return pages(options, "queue:outcomes", function(from, limit)
    return perform(self, "queue.outcomes", { stream = stream, group = group, from = from, limit = limit })
  end, function(done)
    return { id = done.id, key = done.key, offset = done.offset, state = done.state, tries = done.tries, reason = done.reason,
      value = words.decode("the outcome of %s", done.value, nil, done.id) }
  end)
end

--- What there is: streams and their groups.
---@return { stream: string, items: integer, last: integer, groups: { group: string, waiting: integer, lent: integer, done: integer,
---  dead: integer }[] }[] sorted; waiting: not lent and not settled
---
--- Example: `for _, s in ipairs(jobs:streams()) do print(s.stream, s.items) end`
function Queue:streams()
  check_self(self, "queue:streams")
  return perform(self, "queue.streams", {})
end

--- How the engine is.
---@return { engine: string, version: string, ok: boolean, latency: number, detail?: string } latency: seconds
---
--- Example: `print(jobs:health().version)`
function Queue:health()
  check_self(self, "queue:health")
  return perform(self, "queue.health", {})
end

--- What the engine promises.
---@return core.engine.traits
---
--- Example: `if jobs:traits().order ~= "key" then print "failed items do not hold up those behind them" end`
function Queue:traits()
  check_self(self, "queue:traits")
  return errors.check(driver.traits(self))
end

--- The engine's clock, by which leases run.
---@return number seconds since 1970
---
--- Example: `print(jobs:now() - stoke.time.now())`
function Queue:now()
  check_self(self, "queue:now")
  return perform(self, "queue.now", {})
end

-- ---- moving -----------------------------------------------------------------------------------------------------------------

--- Let a group do a stream again from an offset on. What it had done from there on is void, and so are claims that are out. Where
--- it has tried nothing from there on yet, it goes ahead: what it has still to do before that is skipped, but for what is lent.
---@param stream string
---@param group string
---@param offset integer 1: all of it
---
--- Example: `jobs:rewind("texts", "counters", 1)`
function Queue:rewind(stream, group, offset)
  check_self(self, "queue:rewind")
  perform(self, "queue.rewind", { stream = words.name("queue:rewind: the stream", stream),
    group = words.name("queue:rewind: the group", group), offset = words.whole("queue:rewind: the offset", offset, 1) })
end

--- Let a group try dead letters again.
---@param stream string
---@param group string
---@param ids? string[] which; all of them without it
---@return integer revived
---
--- Example: `print(jobs:revive("jobs", "workers"))`
function Queue:revive(stream, group, ids)
  check_self(self, "queue:revive")
  if ids ~= nil then
    errors.list("queue:revive: ids", ids)
    for _, id in ipairs(ids) do words.name("queue:revive: an id", id) end
  end
  return perform(self, "queue.revive", { stream = words.name("queue:revive: the stream", stream),
    group = words.name("queue:revive: the group", group), ids = ids })
end

--- Forget the values of items that all groups have settled. Their ids stay known.
---@param stream string
---@param options { before: integer } an offset
---@return integer trimmed
---
--- Example: `jobs:trim("jobs", { before = 100000 })`
function Queue:trim(stream, options)
  check_self(self, "queue:trim")
  options = errors.options(options, { before = "number" }, "queue:trim")
  return perform(self, "queue.trim", { stream = words.name("queue:trim: the stream", stream),
    before = words.whole("queue:trim: before", options.before, 1) })
end

-- ---- keys and logs ----------------------------------------------------------------------------------------------------------

--- Values by key that all users of this engine share.
---@param bucket string
---@return stoke.queue.kv
---
--- Example: `local kv = jobs:kv "settings"`
function Queue:kv(bucket)
  check_self(self, "queue:kv")
  return keys.kv(self, bucket)
end

--- A log by key: who appends says after which record, so that only one goes on with a key.
---@param name string
---@return stoke.queue.log
---
--- Example: `local history = jobs:log "runs"`
function Queue:log(name)
  check_self(self, "queue:log")
  return keys.log(self, name)
end

--- Close it: items that are held go back; who waits gets an error of kind `cancelled`. Idempotent.
---
--- Example: `jobs:close()`
function Queue:close()
  check_self(self, "queue:close")
  self.stream:close()
end

Queue.__close = Queue.close

function Queue:__tostring() return "queue " .. self.name end

return setmetatable(M, { __call = function(_, url) return M.open(url) end })
