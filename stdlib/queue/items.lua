--- Items of a stream as a group does them: who reads them, and how each is settled.

local channel = require "core.channel"
local driver = require "core.driver.queue"
local effect = require "core.effect"
local engine = require "core.engine"
local errors = require "core.errors"
local scopes = require "core.scope"
local time = require "stoke.time"
local words = require "stoke.queue.words"

local M = {}

local perform, check = effect.perform, errors.check

-- ---- what is published ------------------------------------------------------------------------------------------------------

--- Items as engines take them.
---@param what string
---@param list { key?: string, id?: string, value: any }[]
---@return core.engine.item[] items
---@return true|nil unnamed some have no id
function M.checked(what, list)
  local out, unnamed = {}, nil
  for i, item in ipairs(list) do
    local id = words.maybe(what .. ": an id", item.id)
    if not id then unnamed = true end
    out[i] = { id = id, key = words.maybe(what .. ": a key", item.key), value = words.encode(what, item.value),
      v = engine.PROTOCOL }
  end
  return out, unnamed
end

--- What a settled item hands over, each with an id: that of the item, numbered from the second one of a stream on.
local function handed(what, list, item)
  errors.list(what .. ": publish", list)
  local out, seen = M.checked(what .. ": publish", list), {}
  for i, given in ipairs(list) do
    local one = out[i]
    one.stream = words.name(what .. ": the stream of publish", given.stream)
    if not one.id then
      local n = (seen[one.stream] or 0) + 1
      seen[one.stream] = n
      one.id = n == 1 and item.id or ("%s#%d"):format(item.id, n)
    end
  end
  return out
end

-- ---- an item ----------------------------------------------------------------------------------------------------------------

---@class stoke.queue.item
---@field stream string
---@field id string
---@field key? string
---@field value any
---@field offset integer
---@field try integer 1: for the first time
---@field lost? true its lease has run out, and it is another's
local Item = {}
Item.__index = Item
Item.__name = "stoke.queue.item"
M.Item = Item

local function item_of(reader, claim)
  local value = words.decode(("item %s of the stream %s"):format(claim.id, claim.stream), claim.value, claim.v)
  local own = {} -- all but the value, which may be large: whose the item is
  for name, field in next, claim do
    if name ~= "value" then own[name] = field end
  end
  return setmetatable({ stream = claim.stream, id = claim.id, key = claim.key, offset = claim.offset, try = claim.try,
    value = value, claim = own, reader = reader }, Item)
end

--- A settlement as engines take it: what of the claim they look at, and what came of it.
local function settlement(what, item, state, given)
  return { claim = item.claim, state = state, reason = given.reason, delay = given.delay,
    value = given.value ~= nil and words.encode(what .. ": value", given.value) or nil,
    publish = given.publish and handed(what, given.publish, item) or nil }
end

--- Settle several items of one queue in one step.
---@param queue stoke.queue
---@param what string
---@param items stoke.queue.item[]
---@param list core.engine.settlement[]
---@return boolean[]
function M.settle(queue, what, items, list)
  for _, item in ipairs(items) do
    if item.settled then errors.argument("%s: the item %s was settled already", what, item.id) end
  end
  local good = check(perform("queue.settle", { queue = queue.name, list = list }, queue))
  for i, item in ipairs(items) do
    item.settled = list[i].state
    item.reader.mine[item] = nil
    if not good[i] then item.lost = true end
    driver.release(queue, item)
  end
  return good
end

local function settle(item, what, state, given)
  return M.settle(item.reader.queue, what, { item }, { settlement(what, item, state, given) })[1]
end

local function ack_options(what, options)
  return errors.options(options, { value = true, publish = "table" }, what)
end

--- It is done. What came of it, and items that it hands over to other streams, are written with that, all or nothing.
---@param options? { value?: any, publish?: { stream: string, key?: string, id?: string, value: any }[] } value: the outcome, as
---  queue:outcomes tells it; publish: items without an id have that of this item
---@return boolean mine false: its lease has run out and another has it, so nothing was written
---Raises `argument`, and what the engine raises.
---
--- Example: `item:ack { value = #text, publish = { { stream = "texts", value = text } } }`
function Item:ack(options)
  scopes.check_self(self, Item, "item:ack()")
  return settle(self, "item:ack", "done", ack_options("item:ack", options))
end

--- It did not work: it is lent again, or becomes a dead letter if this was the last of its tries.
---@param options? { reason?: string, delay?: number } delay: seconds before it is lent again (0)
---@return boolean mine
---Raises `argument`, and what the engine raises.
---
--- Example: `item:nack { reason = err.message, delay = 10 }`
function Item:nack(options)
  scopes.check_self(self, Item, "item:nack()")
  options = errors.options(options, { reason = "string", delay = "number" }, "item:nack")
  if options.delay then errors.check_seconds(options.delay, "item:nack: delay") end
  if self.try >= self.reader.tries then
    return settle(self, "item:nack", "dead", { reason = options.reason or ("it was tried %d times"):format(self.try) })
  end
  return settle(self, "item:nack", "again", options)
end

--- It will never work: a dead letter, which queue:outcomes tells and queue:revive brings back.
---@param reason string
---@return boolean mine
---Raises `argument`, and what the engine raises.
---
--- Example: `item:dead "no such customer"`
function Item:dead(reason)
  scopes.check_self(self, Item, "item:dead()")
  if type(reason) ~= "string" or reason == "" then
    errors.argument("item:dead: a reason expected, got %s", errors.describe(reason))
  end
  return settle(self, "item:dead", "dead", { reason = reason })
end

--- Hand it back as it came: this try is not counted.
---@return boolean mine
---
--- Example: `if stopping then item:back() end`
function Item:back()
  scopes.check_self(self, Item, "item:back()")
  return settle(self, "item:back", "back", {})
end

--- Hold it for so many seconds from now on. An item that is held is renewed by itself; this is for who says how long.
---@param seconds number
---@return boolean mine
---
--- Example: `item:extend(300)`
function Item:extend(seconds)
  scopes.check_self(self, Item, "item:extend()")
  errors.check_seconds(seconds, "item:extend")
  local queue = self.reader.queue
  local lost = check(perform("queue.renew", { queue = queue.name, claims = { self.claim }, lease = seconds }, queue))
  if lost[1] then
    self.lost = true
    driver.release(queue, self)
    return false
  end
  driver.hold(queue, self, self.claim, seconds)
  return true
end

function Item:__tostring() return ("item %s of %s"):format(self.id, self.stream) end

-- ---- a reader ---------------------------------------------------------------------------------------------------------------

--- Seconds that one question to the engine waits, where a reader waits for ever.
local LONG <const> = 60

--- Seconds before an item that its readers may have died of: what else they have is settled by then.
local APART <const> = 1

--- In the channel of a reader: whoever gets it asks the engine for more.
local ASK <const> = "ask"

---@class stoke.queue.reader
---@field queue stoke.queue
---@field stream string
---@field group string
---@field tries integer
---@field ready stoke.channel items that are lent and not given yet, and behind them who asks for more
---@field mine table<stoke.queue.item, true> what is not settled; weak
local Reader = {}
Reader.__index = Reader
Reader.__name = "stoke.queue.reader"

local OPTIONS = { lease = "number", tries = "number", prefetch = "number", from = true }

--- A reader of a group.
---@param queue stoke.queue
---@param stream string
---@param group string
---@param options table
---@return stoke.queue.reader
function M.reader(queue, stream, group, options)
  local what = "queue:consume"
  options = errors.options(options, OPTIONS, what)
  local lease, from = options.lease or 30, options.from
  if type(lease) ~= "number" or not (lease >= 0.1 and lease <= 86400) then
    errors.argument("%s: lease must be seconds from 0.1 to 86400, got %s", what, errors.describe(lease))
  end
  if from ~= nil and from ~= "first" and from ~= "new" then words.whole(what .. ': from (or "first", or "new")', from, 1) end
  local self = setmetatable({ queue = queue, stream = words.name(what .. ": the stream", stream),
    group = words.name(what .. ": the group", group), lease = lease, from = from,
    tries = words.whole(what .. ": tries", options.tries or 5, 1),
    prefetch = words.whole(what .. ": prefetch", options.prefetch or 1, 1, engine.MOST),
    mine = setmetatable({}, { __mode = "k" }) }, Reader)
  self.ready = channel.new(self.prefetch + 1)
  self.ready:send(ASK)
  return self
end

--- Claims as items. Where one cannot be read, it and those behind it are handed back, and that is told.
local function receive(self, claims)
  local queue, list = self.queue, {}
  for i, claim in ipairs(claims) do
    local ok, item = pcall(item_of, self, claim)
    if not ok then
      for j = i, #claims do list[#list + 1] = { claim = claims[j], state = "back" } end
      perform("queue.settle", { queue = queue.name, list = list }, queue)
      error(item, 0)
    end
    driver.hold(queue, item, item.claim, self.lease, true)
    self.mine[item] = true
    self.ready:send(item)
  end
end

local function claim(self, seconds)
  return check(perform("queue.take", { queue = self.queue.name, stream = self.stream, group = self.group, n = self.prefetch,
    lease = self.lease, wait = seconds, tries = self.tries, from = self.from }, self.queue))
end

--- Ask for more, as the only one.
local function ask(self, seconds)
  local _ <close> = setmetatable({}, { __close = function()
    if not self.closed then self.ready:send(ASK) end
  end })
  local claims = claim(self, seconds)
  if claims[1] and claims[1].alone then time.sleep(math.min(self.lease / 4, APART)) end
  if self.closed then
    local list = {}
    for i, one in ipairs(claims) do list[i] = { claim = one, state = "back" } end
    if list[1] then perform("queue.settle", { queue = self.queue.name, list = list }, self.queue) end
    return
  end
  receive(self, claims)
end

--- Take the next item; waits while there is none. Several tasks may take from one reader.
---@param seconds? number to wait (for ever)
---@return stoke.queue.item|nil item nil: there was none in time, or the reader is closed
---Raises what the engine raises; `protocol` for an item of a newer stoke.
---
--- Example: `local item = reader:take(5)`
function Reader:take(seconds)
  scopes.check_self(self, Reader, "reader:take()")
  if seconds ~= nil then errors.check_seconds(seconds, "reader:take") end
  local last = seconds and seconds > 0 and time.monotonic() + seconds
  local left, asked = seconds or LONG, false
  while not self.closed do
    local item = self.ready:recv(seconds and left)
    if item == ASK and asked and left <= 0 then
      self.ready:send(ASK)
      return nil
    elseif item == ASK then
      ask(self, math.min(left, LONG))
      asked = true
    elseif item == nil then
      return nil
    elseif not item.lost then
      item.read = true
      driver.read(self.queue, item)
      return item
    end
    if seconds then left = last and math.max(0, last - time.monotonic()) or 0 end
  end
  return nil
end

--- `for item in queue:consume(...) do`
function Reader:__call() return self:take() end

--- End it: what it has taken and not settled goes back, to be lent again. Idempotent.
---
--- Example: `reader:close()`
function Reader:close()
  scopes.check_self(self, Reader, "reader:close()")
  if self.closed then return end
  self.closed = true
  self.ready:close()
  local queue, items, list = self.queue, {}, {}
  for item in next, self.mine do
    if not item.settled and not item.lost then items[#items + 1] = item end
  end
  table.sort(items, function(a, b) return a.offset < b.offset end)
  for i, item in ipairs(items) do
    list[i] = settlement("reader:close", item, item.read and "again" or "back",
      { reason = item.read and "its reader was closed" or nil })
  end
  if list[1] and not queue.stream.ended then M.settle(queue, "reader:close", items, list) end
end

Reader.__close = Reader.close

function Reader:__tostring() return ("reader of %s in the group %s"):format(self.stream, self.group) end

M.settlement = settlement

return M
