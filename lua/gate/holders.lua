--- Who holds the slots of models: found by walking the live tasks, when somebody asks. Calls that are counted in place leave no
--- trace of their own in the pool, and what has come of a stream only its source knows.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local terms = require "core.terms"

local M = {}

--- A task in words: its name, or where it was spawned.
---@param task stoke.task|nil
---@return string|nil
function M.name(task) return task and (task.name or task.site) end

local function add(found, slot, holder)
  local list = found[slot]
  if not list then
    list = {}
    found[slot] = list
  end
  list[#list + 1] = holder
end

--- The calls that a task waits for: the answer as a whole, or the beginning of one. A call that waits for its slot holds none.
local function calls(found, task, now)
  local call, seconds = task.call or task.hedge, nil
  while call do
    local slot = call.slot
    if slot and slot.state ~= "waiting" then
      if not seconds then seconds = select(2, host.waiting(task.co)) end
      local work, source = call.work, rawget(call, "source")
      local run = type(work) == "table" and work.run or nil
      add(found, slot, { task = M.name(task), agent = run and run.agent.label, class = call.task and terms.class(call),
        seconds = call.started and now - call.started or seconds, tokens = source and source:came() or nil })
    end
    call = call.outer
  end
end

--- The streams that are being read in a scope.
local function streams(found, task, scope, now)
  for stream in next, scope.owned or {} do
    local call = type(stream) == "table" and rawget(stream, "source") and rawget(stream, "call")
    local slot = call and call.slot
    if slot then
      local context = scope.context
      add(found, slot, { task = M.name(task), class = context.terms and context.terms.class or 2, tokens = stream:came(),
        seconds = call.started and now - call.started or nil })
    end
  end
end

--- The tickets of the calls that wait for a slot.
---@return stoke.pool.ticket[] in any order
function M.waiting()
  local list = {}
  for _, task in ipairs(host.list()) do
    local call = task.co and (task.call or task.hedge)
    while call do
      local slot = call.slot
      if slot and slot.state == "waiting" then list[#list + 1] = slot end
      call = call.outer
    end
  end
  return list
end

--- All of them.
---@return table<table, stoke.pool.holder[]> found by ticket, or by lane where it is counted in place
function M.find()
  local found, now = {}, monotonic()
  for _, task in ipairs(host.list()) do
    if task.co then
      calls(found, task, now)
      local scope = task.scope
      while scope do
        streams(found, task, scope, now)
        scope = scope.outer
      end
      streams(found, task, task, now)
    end
  end
  return found
end

return M
