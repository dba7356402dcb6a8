--- The program of a task: what the pool gives turns to. A program is all that was begun by one task of the script's main one, or by
--- one request of a server, or one durable run; its unit is the conversation inside it (a session, an agent's run) or, without
--- one, the task that asks. Age is the order in which they first had to wait.

local channel = require "core.channel"
local order = require "core.pool.order"

local M = {}

---@class stoke.pool.program
---@field seq integer its age
---@field kind? string the agent that asked first, "" for none; from here on what lua/pool/programs.lua keeps
---@field had? integer calls that were answered
---@field out? integer calls that wait or are out
---@field level? integer how much of it is still to be done
---@field first? stoke.pool.ticket a call that waits,
---@field more? table<stoke.pool.ticket, true> and the others
---@field owner table weak: the task; of a run its first one

local last = 0
--- object -> its program or its age. What has ended is forgotten with it.
local programs, ages = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })
local OWNER <const> = { __mode = "v" }

local function age(object)
  local seq = ages[object]
  if not seq then
    last = last + 1
    seq = last
    ages[object] = seq
  end
  return seq
end

--- The task below the outermost one that all this belongs to; the outermost one itself where it asks.
local function root_of(task)
  local top, below = task, task
  local up = task.up
  while up do
    local owner = up.task or up
    if not owner.co then break end -- a root of the tree, or a supervisor
    top, below = owner, top
    up = owner.up
  end
  return top == task and task or below
end

--- Who a program is of: the first task of a durable run, whose end is that of the run, or the one that was begun outermost.
local function owner_of(task, context)
  local journal = context.journal
  return journal and journal.root or root_of(task)
end

--- The outermost agent run around.
local function outermost(run)
  while run.outer do run = run.outer end
  return run
end

--- The program of a task, and the age of the unit that asks in it.
---@param task stoke.task
---@param context stoke.context
---@param run? stoke.agent.run the agent run that asks
---@return stoke.pool.program
---@return integer unit
function M.of(task, context, run)
  local owner = owner_of(task, context)
  local program = programs[owner]
  if not program then
    program = { seq = age(owner), kind = nil, owner = setmetatable({ owner }, OWNER) }
    programs[owner] = program
  end
  local outer = run or context.run
  return program, age(outer and outermost(outer).history or task)
end

--- A key of the order in which programs get their turns; its level comes when it waits.
---@param program stoke.pool.program
---@param unit integer
---@return integer
function M.key(program, unit) return order.key(program.seq, unit, 0) end

--- Was a task begun, through others, by another one?
local function below(task, other)
  local up = task.up
  while up do
    local owner = up.task or up
    if owner == other then return true end
    up = owner.up
  end
  return false
end

--- Does a task, or one that has begun it, hold a permit of a semaphore that others wait for?
local function keeps(task)
  while task do
    if task.permit and channel.holds(task) then return true end
    local up = task.up
    task = up and (up.task or up)
  end
  return false
end

--- Does somebody wait for what is asked here: an agent that called this one as its tool, a task that did not begin this one, or one
--- that wants a lock?
---@param task stoke.task
---@param context stoke.context
---@param run? stoke.agent.run
---@return boolean
function M.holds(task, context, run)
  if context.run or run and run.outer then return true end
  local waiter = task.waiters and task.waiters.head
  return waiter ~= nil and not below(task, waiter) or keeps(task)
end

--- How many programs have had to wait, or to choose, and have not ended.
---@return integer
function M.alive()
  local n = 0
  for owner in next, programs do
    if not owner.state then n = n + 1 end
  end
  return n
end

--- Tell what finished programs took; what is alive stays.
---@param known stoke.pool.programs
---@return integer alive
function M.sweep(known)
  local alive = 0
  for owner, program in next, programs do
    if owner.state then
      known:ended(program)
      programs[owner] = nil
    else
      alive = alive + 1
    end
  end
  return alive
end

return M
