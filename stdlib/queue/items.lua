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

--- Its own claim is what settling looks at: not the value, which may be large.
local function item_of(reader, claim)
  local own = { stream = claim.stream, group = claim.group, offset = claim.offset, id = claim.id, key = claim.key,
    fence = claim.fence }
  return setmetatable({ stream = own.stream, id = claim.id, key = own.key, offset = own.offset, try = claim.try,
    value = words.decode("item %s of the stream %s", claim.value, claim.v, claim.id, claim.stream), claim = own,
    reader = reader, spent = claim.try >= reader.tries or nil }, Item)
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
  end
  driver.release(queue, items)
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
  if self.spent then
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
    driver.release(queue, { self })
    return false
  end
  driver.hold(queue, { self }, seconds)
  return true
end

function Item:__tostring() return ("item %s of %s"):format(self.id, self.stream) end

-- ---- a reader ---------------------------------------------------------------------------------------------------------------

--- Seconds that one question to the engine waits, where a reader waits for ever.
local LONG <const> = 60

--- Seconds in which a lot of items is gone that might have been larger.
local QUICK <const> = 0.1

--- Seconds before an item that its readers may have died of: what else they have is settled by then.
local APART <const> = 1

---@class stoke.queue.reader
---@field queue stoke.queue
---@field stream string
---@field group string
---@field tries integer
---@field prefetch integer items that are taken at once, at least
---@field most integer at most
---@field lot integer now
---@field got? number when a whole lot came
---@field mine table<stoke.queue.item, true> what is not settled; weak
---@field first integer of the items that are lent and not given yet, which stand in the reader itself
---@field last integer
---@field asking boolean somebody asks the engine for more
---@field turn stoke.channel wakes one of those who wait: there is an item, or somebody has to ask. Who is woken takes one, and
---  wakes the next: so a task that goes on at once takes all there is, and wakes nobody for nothing
---@field waiting integer who wait for their turn
local Reader = {}
Reader.__index = Reader
Reader.__name = "stoke.queue.reader"

local OPTIONS = { lease = "number", tries = "number", prefetch = "number", most = "number", from = true }

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
  local prefetch = words.whole(what .. ": prefetch", options.prefetch or 1, 1, engine.MOST)
  local self = setmetatable({ queue = queue, stream = words.name(what .. ": the stream", stream),
    group = words.name(what .. ": the group", group), lease = lease, from = from,
    tries = words.whole(what .. ": tries", options.tries or 5, 1),
    prefetch = prefetch, most = words.whole(what .. ": most", options.most or prefetch, prefetch, engine.MOST), lot = prefetch,
    mine = setmetatable({}, { __mode = "k" }), first = 1, last = 0, asking = false, turn = channel.new(1), waiting = 0 }, Reader)
  return self
end

--- Claims as items. Where one cannot be read, it and those behind it are handed back, and that is told.
local function receive(self, claims)
  local queue, items, failure = self.queue, {}, nil
  for i, claim in ipairs(claims) do
    local ok, item = pcall(item_of, self, claim)
    if not ok then
      local list = {}
      for j = i, #claims do list[#list + 1] = { claim = claims[j], state = "back" } end
      perform("queue.settle", { queue = queue.name, list = list }, queue)
      failure = item
      break
    end
    items[i], self.mine[item] = item, true
  end
  table.move(items, 1, #items, self.last + 1, self)
  self.last = self.last + #items
  driver.hold(queue, items, self.lease)
  if failure then error(failure, 0) end
end

--- A question to the engine costs as much as many items that are done at once, so more are taken at once while these are gone fast;
--- those that take their time are better left to other readers.
local function adapt(self)
  if self.most == self.prefetch then return end
  local quick = self.got and time.monotonic() - self.got < QUICK
  self.lot = quick and math.min(self.lot * 2, self.most) or math.max(self.lot // 2, self.prefetch)
end

local function claim(self, seconds)
  adapt(self)
  local claims = check(perform("queue.take", { queue = self.queue.name, stream = self.stream, group = self.group, n = self.lot,
    lease = self.lease, wait = seconds, tries = self.tries, from = self.from }, self.queue))
  self.got = #claims == self.lot and self.most > self.prefetch and time.monotonic() or nil
  return claims
end

--- Wake one who waits.
local function pass(self)
  if self.waiting > 0 and not self.passed and not self.closed then
    self.passed = true
    self.turn:send(true)
  end
end

--- Ask for more, as the only one.
local function ask(self, seconds)
  self.asking = true
  local _ <close> = setmetatable({}, { __close = function()
    self.asking = false
    pass(self)
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

--- An item that is there.
local function next_ready(self)
  while self.first <= self.last do
    local item = self[self.first]
    self[self.first], self.first = nil, self.first + 1
    if not item.lost then
      item.read = true
      pass(self)
      return item
    end
  end
end

--- Wait for a turn; false: it did not come in time, or the reader is closed.
local function await_turn(self, seconds)
  self.waiting = self.waiting + 1
  local ok, come = pcall(self.turn.recv, self.turn, seconds)
  self.waiting = self.waiting - 1
  if not ok then error(come, 0) end
  if come then self.passed = false end
  return come
end

--- Wait for the next item.
local function await_item(self, seconds)
  local last = seconds and seconds > 0 and time.monotonic() + seconds
  local left, asked = seconds or LONG, false
  while not self.closed do
    if not self.asking then
      if asked and left <= 0 then return nil end
      ask(self, math.min(left, LONG))
      asked = true
    elseif not await_turn(self, seconds and left) then
      return nil
    end
    local item = not self.closed and next_ready(self)
    if item then return item end
    if seconds then left = last and math.max(0, last - time.monotonic()) or 0 end
  end
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
  if self.closed then return nil end
  return next_ready(self) or await_item(self, seconds)
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
  self.turn:close()
  local queue, items, list = self.queue, {}, {}
  for item in next, self.mine do
    if not item.settled and not item.lost then items[#items + 1] = item end
  end
  table.sort(items, function(a, b) return a.offset < b.offset end)
  for i, item in ipairs(items) do
    local state, reason = driver.left(item)
    list[i] = settlement("reader:close", item, state, { reason = reason })
  end
  if list[1] and not queue.stream.ended then M.settle(queue, "reader:close", items, list) end
end

Reader.__close = Reader.close

function Reader:__tostring() return ("reader of %s in the group %s"):format(self.stream, self.group) end

M.settlement = settlement

return M
