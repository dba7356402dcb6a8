--- Thoughts of a world: what a step has begun is worked on outside of the steps, in a task of its own, and comes back as an entry
--- of the log.

local channel = require "core.channel"
local data = require "stoke.world.data"
local errors = require "core.errors"
local ordered = require "core.ordered"
local scopes = require "core.scope"
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
  return setmetatable({ world = world, scope = scope, answered = answered, failed = failed, tasks = {}, answers = {}, ahead = {},
    said = {}, what = world.def.what .. ": the answer of a thought",
    seats = channel.semaphore(world.def.at_once) }, Thoughts)
end

--- What is asked, within its time. What it spawned has ended when it returns.
local function ask(self, who, entry, thought)
  local world = self.world
  local fields = { deadline = thought.deadline, deadline_kind = "timeout", site = "a thought" }
  local scope <close> = scopes.open(fields) -- luacheck: ignore
  local answer = thought.ask(data.copy(entry.q), who, world.engine:time(entry.begun), world)
  return data.checked(answer, self.what)
end

--- One attempt: the answer, or nil and why there is none. A cancellation of the thought itself is raised.
local function attempt(self, who, entry, thought)
  local ok, answer = xpcall(ask, errors.handler, self, who, entry, thought)
  if ok then return answer end
  scopes.deliver(tasks.current())
  return nil, errors.wrap(answer)
end

local function told(err)
  return { kind = err.kind, message = err.message, hint = rawget(err, "hint") }
end

--- It is asked again: what it did outside of the world is undone.
local function undo(self, who, entry)
  local world = self.world
  if world.def.on_back then world.def.on_back(who, world.engine:time(entry.begun), world) end
end

--- What ends the run of the world: the thought is under way as before, and is asked again by the next run.
local function stopped(self, who, entry, err)
  local said = ("world %q: the thought %q of %q failed: %s"):format(self.world.def.name, entry.name, who, err.message)
  return errors.new(err.kind, said, { hint = rawget(err, "hint"), cause = err })
end

--- Whoever writes no `failed` hears of it once for each thought and kind of error: a world that goes on without its answers must
--- not look as if all were well.
local function say(self, who, entry, thought, err)
  local key = entry.name .. " " .. err.kind
  if thought.failed or self.said[key] then return end
  self.said[key] = true
  scopes.tell(("world %q: the thought %q of %q has no answer: %s%s"):format(self.world.def.name, entry.name, who, err.message,
    rawget(err, "hint") and "; " .. err.hint or ""))
end

--- Think, until there is an answer or a reason why there is none.
---@return stoke.world.row|nil row nil: the world stops
---@return stoke.error|nil err
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
    if not err.retryable or try > thought.retries then
      if thought.stops and thought.stops(err) then return nil, stopped(self, who, entry, err) end
      say(self, who, entry, thought, err)
      break
    end
    time.sleep(math.min(PAUSE * 2 ^ (try - 1), LONGEST))
    undo(self, who, entry)
  end
  permit:release()
  return row
end

--- An answer that the log has of a thought that is under way, or will be begun when members that were ahead come there again: it is
--- not asked again.
---@param row stoke.world.row
---
--- Example: `thoughts:know(row)`
function Thoughts:know(row)
  local engine, who = self.world.engine, row.member
  local entry = engine.thinking[who]
  if entry and entry.begun == row.begun and entry.name == row.name then
    self.answers[who] = row
  elseif row.begun >= engine.now then
    local ahead = self.ahead[who] or {}
    self.ahead[who], ahead[row.begun] = ahead, row
  end
end

--- The last tick in which a member began a thought whose answer is known and will be asked for again.
---@param who string
---@return integer|nil
---
--- Example: `local begun = thoughts:known_until "ada"`
function Thoughts:known_until(who)
  local last
  for begun in next, self.ahead[who] or {} do last = math.max(last or begun, begun) end
  return last
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
  local ahead = self.ahead[who] and self.ahead[who][entry.begun]
  if ahead and ahead.name == entry.name then
    self.answers[who], self.ahead[who][entry.begun] = ahead, nil
    return
  end
  local thought = self.world.def.thoughts[entry.name]
  if not thought then
    self.answers[who] = { kind = "answer", member = who, name = entry.name, begun = entry.begun,
      failed = { kind = "argument", message = ("the world has no thought %q"):format(entry.name) } }
    return
  end
  local task
  task = tasks.start(self.scope, "thought " .. entry.name, function()
    local row, err = think(self, who, entry, thought)
    if self.tasks[who] ~= task then return end -- nobody waits for it any more
    local ok = false
    if row then ok, err = pcall(self.answered, self.world, row, entry) end
    if self.tasks[who] ~= task then return end
    self.tasks[who] = nil
    if not ok then self.failed(self.world, err) end
  end)
  self.tasks[who] = task
end

--- Those that are under way and not worked on are begun: at first, after going back, and where one has stopped the world.
---@param anew? boolean what they did outside of the world is undone before
---
--- Example: `thoughts:begin_all()`
function Thoughts:begin_all(anew)
  local thinking, list = self.world.engine.thinking, {}
  for who, entry in next, thinking do list[#list + 1] = { who, entry } end
  table.sort(list, function(a, b)
    if a[2].begun ~= b[2].begun then return a[2].begun < b[2].begun end
    return a[1] < b[1]
  end)
  for _, one in ipairs(list) do
    local who, entry = one[1], one[2]
    if not self.tasks[who] then
      if anew and not self.answers[who] then undo(self, who, entry) end
      self:begin(who, entry)
    end
  end
end

--- Take the answers that are due at a tick, in the order of members.
---@param tick integer
---@return stoke.world.row[]|nil rows nil: some that have to be waited for have not come
---@return integer missing how many
---
--- Example: `local rows = thoughts:due(engine.now)`
function Thoughts:due(tick)
  local world, due, missing = self.world, {}, 0
  for who, entry in next, world.engine.thinking do
    if entry.due <= tick then
      local row = self.answers[who]
      if row then due[#due + 1] = row else missing = missing + 1 end
    end
  end
  if missing > 0 and world.def.wait then return nil, missing end
  if due[2] then table.sort(due, function(a, b) return a.member < b.member end) end
  return due, 0
end

--- Is something being thought?
---@return boolean
---
--- Example: `if thoughts:busy() then print "thinking" end`
function Thoughts:busy() return next(self.tasks) ~= nil end

--- Forget all, and stop working on them. What is just being written of one is written when this returns.
---
--- Example: `thoughts:stop()`
function Thoughts:stop()
  local names, working = ordered.names(self.tasks), self.tasks
  self.tasks, self.answers, self.ahead = {}, {}, {}
  for _, who in ipairs(names) do working[who]:cancel "nobody waits for this thought any more" end
  local me = tasks.current()
  for _, who in ipairs(names) do
    if working[who] ~= me then pcall(working[who].await, working[who]) end
  end
  if me then scopes.deliver(me) end
end

return M
