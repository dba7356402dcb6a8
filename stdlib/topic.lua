--- stoke.topic: what is published reaches everybody who has subscribed, each by a mailbox of their own.
---
---     local news = stoke.topic "news"
---     local mine <close> = news:subscribe { retained = true }
---     news:publish("headline", "It rains", { retain = true })
---     print(mine:receive().body)
---
--- A subscriber that is behind by the capacity of its mailbox keeps publishers waiting, unless it says `full = "drop"`: then the
--- oldest letters in its mailbox give way, and are counted. A subscription ends with the scope it was made in, or when its
--- mailbox is closed.

local engine = require "core.mailbox"
local errors = require "core.errors"
local scopes = require "core.scope"
local schedules = require "core.schedule"
local tasks = require "core.task"
local time = require "stoke.time"
require "stoke.mailbox" -- what subscribers can do with theirs

local M = {}

---@class stoke.topic
---@field name string
local Topic = {}
Topic.__index = Topic
Topic.__name = "stoke.topic"

local named = engine.names "topics"

--- Subscribers from which on those that have left are looked for when another one comes.
local SWEEP <const> = 64

--- Those that have left need no letters.
local function forget_closed(self)
  local boxes, to = self.boxes, 0
  for i = 1, #boxes do
    local box = boxes[i]
    boxes[i] = nil
    if not box.closed then
      to = to + 1
      boxes[to] = box
    end
  end
end

--- Subscribe, until the scope around this ends, or the mailbox is closed.
---@param options? { capacity?: integer, full?: "wait"|"drop", retained?: boolean, types?: string|string[] } capacity of the mailbox
---  (1000); full: what is done when it is full (wait); retained: begin with the letter that was kept last; types: only letters of
---  these
---@return stoke.mailbox mailbox `mailbox:close()`, or `<close>`, ends the subscription; `mailbox.dropped` counts what gave way
---Raises `argument`.
---
--- Example: `local mine <close> = news:subscribe { full = "drop", capacity = 10 }`
function Topic:subscribe(options)
  scopes.check_self(self, Topic, "topic:subscribe()")
  if schedules.any then schedules.check(self.schedule, "mailbox", "topic:subscribe()") end
  options = errors.options(options, { capacity = "number", full = "string", retained = "boolean", types = true }, "topic:subscribe")
  local full, capacity, types = options.full or "wait", options.capacity, options.types
  if full ~= "wait" and full ~= "drop" then
    errors.argument("topic:subscribe: full must be \"wait\" or \"drop\", got %s", errors.describe(full))
  end
  if capacity and (math.type(capacity) ~= "integer" or capacity < 1) then
    errors.argument("topic:subscribe: capacity must be a whole number of at least 1, got %s", tostring(capacity))
  end
  if type(types) == "string" then types = { types } end
  local set = types and {} or nil
  errors.list("topic:subscribe: types", types or {})
  for _, kind in ipairs(types or {}) do
    if type(kind) ~= "string" or kind == "" then
      errors.argument("topic:subscribe: types must be texts that are not empty, got %s", errors.describe(kind))
    end
    set[kind] = true
  end
  local box = engine.new(nil, capacity)
  local me = tasks.current()
  if me then -- a task that fails must not keep publishers waiting for ever
    box.owner = scopes.innermost(me)
    scopes.own(box.owner, box)
  end
  box.of, box.dropped, box.drops, box.wants = self.name, 0, full == "drop", set
  local kept = options.retained and self.kept
  if kept and (not set or set[kept.type]) then box:post(kept.type, kept.body) end
  local count = #self.boxes
  if count >= self.swept then -- subscribers come and go also where nobody publishes
    forget_closed(self)
    self.swept = math.max(SWEEP, 2 * #self.boxes)
  end
  self.boxes[#self.boxes + 1] = box
  return box
end

--- Publish a letter: every subscriber gets a copy, in the order in which letters were published. Waits for subscribers that are
--- behind.
---@param kind string its type
---@param body any plain data, or nothing
---@param options? { retain?: boolean, timeout?: number } retain: it is kept for those who subscribe later, until the next one that
---  is; timeout: seconds to wait in all, after which it goes to those who have room; without it as long as the scope lets it
---@return integer heard how many subscribers got it
---@return integer missed how many had no room for it in time
---Raises `argument` for what is no data.
---
--- Example: `news:publish("headline", { text = "It rains" })`
function Topic:publish(kind, body, options)
  scopes.check_self(self, Topic, "topic:publish()")
  if type(kind) ~= "string" or kind == "" then
    errors.argument("topic:publish: the type must be a string that is not empty, got %s", errors.describe(kind))
  end
  if schedules.any then schedules.check(self.schedule, "mailbox", "topic:publish()") end
  options = errors.options(options, { retain = "boolean", timeout = "number" }, "topic:publish")
  local timeout = options.timeout
  if timeout then errors.check_seconds(timeout, "topic:publish: timeout") end
  local last = timeout and time.monotonic() + timeout
  body = engine.data(("topic %q"):format(self.name), kind, body)
  if options.retain then self.kept = { type = kind, body = body } end
  local heard, missed, list = 0, 0, table.move(self.boxes, 1, #self.boxes, 1, {})
  for _, box in ipairs(list) do
    if not box.closed and (not box.wants or box.wants[kind]) then
      if box.drops and box.count >= box.capacity then
        box:discard()
        box.dropped = box.dropped + 1
      end
      -- the clock is asked where it may matter, for it is an effect
      local full = last and box.count >= box.capacity
      local sent, why = box:post(kind, body, full and math.max(0, last - time.monotonic()) or nil)
      if sent then heard = heard + 1 elseif why == "timeout" then missed = missed + 1 end
    end
  end
  forget_closed(self)
  return heard, missed
end

--- The body of the letter that was kept last.
---@return any body nil: there is none
---
--- Example: `print(news:retained())`
function Topic:retained()
  scopes.check_self(self, Topic, "topic:retained()")
  local kept = self.kept
  return kept and engine.data("topic", kept.type, kept.body)
end

--- How many subscribe.
---@return integer
---
--- Example: `print(news:subscribers())`
function Topic:subscribers()
  scopes.check_self(self, Topic, "topic:subscribers()")
  local live = 0
  for _, box in ipairs(self.boxes) do
    if not box.closed then live = live + 1 end
  end
  return live
end

function Topic:__tostring() return ("topic %s: %d subscribers"):format(self.name, self:subscribers()) end

--- The topic of a name; each durable run has names of its own.
---@param name string
---@param options? { shared?: boolean } where an engine is set, the one of this name that all hosts have (stdlib/topic/shared.lua)
---@return stoke.topic
---Raises `argument`; `limit` where there are too many.
---
--- Example: `local news = stoke.topic "news"`
function M.new(name, options)
  if type(name) ~= "string" or name == "" then
    errors.argument("stoke.topic: a name expected, got %s", errors.describe(name))
  end
  local wanted = options ~= nil and errors.options(options, { shared = "boolean" }, "stoke.topic").shared
  local far = wanted and require "stoke.topic.shared".named(name)
  if far then return far end
  return (named:get(name, function(schedule) return setmetatable({ name = name, boxes = {}, swept = SWEEP, schedule = schedule },
    Topic) end))
end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
