--- Thoughts of a world: what a step has begun is worked on outside of the steps, in a task of its own, and comes back as an entry
--- of the log.

local channel = require "core.channel"
local combine = require "core.combine"
local data = require "stoke.world.data"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds before the second attempt; doubled for each further one, up to LONGEST.
local PAUSE <const>, LONGEST <const> = 0.5, 30

---@class stoke.world.thoughts
---@field private tasks table<string, stoke.task>
---@field answers table<string, stoke.world.row> that have come and were not applied yet
local Thoughts = {}
Thoughts.__index = Thoughts

--- Those of a world.
---@param world stoke.world
---@param scope table in which their tasks live
---@param answered fun(world: stoke.world, row: stoke.world.row, entry: table) told of each answer; may wait, and raise
---@param failed fun(world: stoke.world, err: stoke.error) told of what that raised
---@return stoke.world.thoughts
---
--- Example: `self.thoughts = thoughts.new(self, scope, life.answered, life.failed)`
function M.new(world, scope, answered, failed)
  return setmetatable({ world = world, scope = scope, answered = answered, failed = failed, tasks = {}, answers = {},
    seats = channel.semaphore(world.def.at_once) }, Thoughts)
end

--- One attempt, within its time.
local function attempt(self, who, entry, thought)
  local world = self.world
  return combine.try(function()
    local answer = combine.timeout(thought.deadline, thought.ask, data.copy(entry.q), who, world.engine:time(entry.begun), world)
    return data.checked(answer, ("world %q: the answer of the thought %q of %q"):format(world.def.name, entry.name, who))
  end)
end

local function told(err)
  return { kind = err.kind, message = err.message, hint = rawget(err, "hint") }
end

--- Think, until there is an answer or a reason why there is none.
local function think(self, who, entry, thought)
  local permit <close> = self.seats:acquire()
  local row = { kind = "answer", member = who, name = entry.name, begun = entry.begun }
  for try = 1, thought.retries + 1 do
    local answer, err = attempt(self, who, entry, thought)
    if err == nil then
      row.args, row.failed = answer, nil
      break
    end
    row.failed = told(err)
    if not err.retryable or try > thought.retries then break end
    time.sleep(math.min(PAUSE * 2 ^ (try - 1), LONGEST))
  end
  permit:release()
  return row
end

--- An answer that the log has of a thought that is under way: it is not asked again.
---@param row stoke.world.row
---
--- Example: `thoughts:know(row)`
function Thoughts:know(row)
  local entry = self.world.engine.thinking[row.member]
  if entry and entry.begun == row.begun and entry.name == row.name then self.answers[row.member] = row end
end

--- Begin to work on a thought, unless its answer is known.
---@param who string
---@param entry table
---
--- Example: `thoughts:begin("ada", entry)`
function Thoughts:begin(who, entry)
  local known = self.answers[who]
  if known and known.begun == entry.begun and known.name == entry.name then return end
  self.answers[who] = nil
  local thought = self.world.def.thoughts[entry.name]
  if not thought then
    self.answers[who] = { kind = "answer", member = who, name = entry.name, begun = entry.begun,
      failed = { kind = "argument", message = ("the world has no thought %q"):format(entry.name) } }
    return
  end
  local task
  task = tasks.start(self.scope, "thought " .. entry.name, function()
    local row = think(self, who, entry, thought)
    if self.tasks[who] ~= task then return end -- nobody waits for it any more
    local _, err = combine.try(self.answered, self.world, row, entry)
    self.tasks[who] = nil
    if err then self.failed(self.world, err) end
  end)
  self.tasks[who] = task
end

--- Those that are under way and not worked on are begun: at first, and after going back.
---
--- Example: `thoughts:begin_all()`
function Thoughts:begin_all()
  local thinking, list = self.world.engine.thinking, {}
  for who, entry in next, thinking do list[#list + 1] = { who, entry } end
  table.sort(list, function(a, b)
    if a[2].begun ~= b[2].begun then return a[2].begun < b[2].begun end
    return a[1] < b[1]
  end)
  for _, one in ipairs(list) do
    if not self.tasks[one[1]] then self:begin(one[1], one[2]) end
  end
end

--- Take the answers that are due at a tick, in the order of members.
---@param tick integer
---@return stoke.world.row[]|nil rows nil: one that has to be waited for has not come
---
--- Example: `local rows = thoughts:due(engine.now)`
function Thoughts:due(tick)
  local world, due = self.world, nil
  for who, entry in next, world.engine.thinking do
    if entry.due <= tick then
      local row = self.answers[who]
      if row then
        due = due or {}
        due[#due + 1] = row
      elseif world.def.wait then
        return nil
      end
    end
  end
  if not due then return {} end
  if due[2] then table.sort(due, function(a, b) return a.member < b.member end) end
  return due
end

--- Is something being thought?
---@return boolean
---
--- Example: `if thoughts:busy() then print "thinking" end`
function Thoughts:busy() return next(self.tasks) ~= nil end

--- Forget a thought, and stop working on it.
---@param who string
---
--- Example: `thoughts:drop "ada"`
function Thoughts:drop(who)
  local task = self.tasks[who]
  self.tasks[who], self.answers[who] = nil, nil
  if task then task:cancel "nobody waits for this thought any more" end
end

--- Forget all.
---
--- Example: `thoughts:stop()`
function Thoughts:stop()
  local list = {}
  for who in next, self.tasks do list[#list + 1] = who end
  table.sort(list)
  for _, who in ipairs(list) do self:drop(who) end
  self.answers = {}
end

return M
