--- Topics that hosts share: stoke.topic(name, { shared = true }) where an engine is set.
---
--- What is published on one host reaches who has subscribed on any. Nobody waits for a subscriber that is behind: it misses what is
--- more than 256 letters of one publisher back, and `mailbox.missed` counts that.

local driver = require "core.driver.letters"
local effect = require "core.effect"
local engine = require "core.mailbox"
local errors = require "core.errors"
local journals = require "core.journal"
local runs = require "core.runs"
local scopes = require "core.scope"
local tasks = require "core.task"
require "stoke.mailbox" -- what subscribers can do with theirs
require "stoke.workflow" -- which says where the engine is

local M = {}

---@class stoke.topic.shared
---@field name string
local Topic = {}
Topic.__index = Topic
Topic.__name = "stoke.topic"

local perform, check = effect.perform, errors.check

--- Publish a letter. The engine has it when this returns.
---@param kind string its type
---@param body any plain data, or nothing
---@param options? { retain?: boolean } retain: it is kept for those who subscribe later
---Raises `argument`, what the engine raises.
---
--- Example: `news:publish("headline", { text = "It rains" })`
function Topic:publish(kind, body, options)
  scopes.check_self(self, Topic, "topic:publish()")
  if type(kind) ~= "string" or kind == "" then
    errors.argument("topic:publish: the type must be a string that is not empty, got %s", errors.describe(kind))
  end
  options = errors.options(options, { retain = "boolean" }, "topic:publish")
  check(perform("topic.publish", { topic = self.name, type = kind, body = engine.data("topic", kind, body),
    from = driver.sender(), retain = options.retain }))
end

local SUBSCRIBE = { capacity = "number", full = "string", retained = "boolean", types = true }

local function options_of(options)
  options = errors.options(options, SUBSCRIBE, "topic:subscribe")
  local full, types, set = options.full or "wait", options.types, nil
  if full ~= "wait" and full ~= "drop" then
    errors.argument("topic:subscribe: full must be \"wait\" or \"drop\", got %s", errors.describe(full))
  end
  if types ~= nil then
    set = {}
    if type(types) == "string" then types = { types } end
    errors.list("topic:subscribe: types", types)
    for _, kind in ipairs(types) do set[kind] = true end
  end
  return full == "drop", set, options
end

--- Seconds until an engine that does not answer is asked again.
local AGAIN <const> = 1

--- Letters of the engine go to a subscriber's mailbox, in their order.
local function follow(self, box, drops, types, since)
  local seen = {} -- publisher -> the number of its last letter
  while not box.closed do
    local list, err = perform("topic.read", { topic = self.name, since = since })
    if err and (err.kind == "cancelled" or tasks.park("engine", AGAIN) == nil) then return end
    since = list and list.since or since
    for _, word in ipairs(list or {}) do
      local before = seen[word.publisher]
      if before and word.n > before + 1 then box.missed = box.missed + word.n - before - 1 end
      seen[word.publisher] = word.n
      if not types or types[word.type] then
        if drops and box.count >= box.capacity then
          box:discard()
          box.missed = box.missed + 1
        end
        box:post(word.type, word.body)
      end
    end
  end
end

--- Subscribe, until the scope around this ends, or the mailbox is closed.
---@param options? { capacity?: integer, full?: "wait"|"drop", retained?: boolean, types?: string|string[] } as of other topics
---@return stoke.mailbox mailbox a local one; `mailbox.missed` counts what it did not get
---Raises `argument`, what the engine raises.
---
--- Example: `local mine <close> = news:subscribe { retained = true }`
function Topic:subscribe(options)
  scopes.check_self(self, Topic, "topic:subscribe()")
  if journals.visible() then
    errors.raise("argument", "topic:subscribe: a durable run does not subscribe to a topic that hosts share",
      { hint = "signals reach it: run:signal(name, value) sends one, stoke.signal(name) takes it" })
  end
  local drops, types, given = options_of(options)
  local box = engine.new(nil, given.capacity)
  box.of, box.missed = self.name, 0
  box.owner = scopes.innermost(tasks.current())
  scopes.own(box.owner, box)
  local since = check(perform("topic.join", { topic = self.name }))
  local kept = given.retained and check(perform("topic.kept", { topic = self.name }))
  if kept and (not types or types[kept.type]) then box:post(kept.type, kept.body) end
  tasks.spawn(follow, { name = "topic " .. self.name, system = true }, self, box, drops, types, since)
  return box
end

--- The body of the letter that was kept last.
---@return any body nil: there is none
function Topic:retained()
  scopes.check_self(self, Topic, "topic:retained()")
  local kept = check(perform("topic.kept", { topic = self.name }))
  return kept and kept.body or nil
end

function Topic:__tostring() return ("topic %s, shared by hosts"):format(self.name) end

local named = {}

--- The topic of a name.
---@param name string
---@return stoke.topic.shared|nil topic nil: no engine is set
function M.named(name)
  if not runs.engine() then return nil end
  named[name] = named[name] or setmetatable({ name = name }, Topic)
  return named[name]
end

return M
