--- What tasks ask for while something is under way is done together with the next: one transaction, or one question to a server,
--- for all of them. Where that fails each is done alone, so that the error is that of who caused it.

local host = require "host.task"
local tasks = require "core.task"

local M = {}

---@class core.engine.operation
---@field about any what is asked for
---@field value any what came of it
---@field more any
---@field undo? fun(value: any) what is done with its value where nobody waits for it any more
---@field gone boolean nobody does
---@field weight integer

---@class core.engine.together
---@field perform fun(list: core.engine.operation[]): stoke.error? does them all, and sets value and more of each; or none
---@field most integer weight of those that are done at once
---@field alone fun(err: stoke.error): boolean may it be the error of one of them? Then each is done alone
---@field pending core.engine.operation[]
---@field running boolean
local Together = {}
Together.__index = Together

local function always() return true end

---@param most integer
---@param perform fun(list: core.engine.operation[]): stoke.error? raises nothing
---@param alone? fun(err: stoke.error): boolean every error may be, without it
---@return core.engine.together
function M.new(most, perform, alone)
  return setmetatable({ most = most, perform = perform, alone = alone or always, pending = {}, running = false }, Together)
end

local function finish(op, err)
  op.over, op.err = true, err
  if op.gone then
    if op.undo and not err and op.value ~= nil then op.undo(op.value) end
  elseif op.task.co then
    host.wake(op.task.co)
  end
end

--- Those that are done next: the first, and what has room beside it.
local function next_lot(self)
  local list, weight, n = self.pending, 0, 0
  while list[n + 1] and (n == 0 or weight + list[n + 1].weight <= self.most) do
    n = n + 1
    weight = weight + list[n].weight
  end
  self.pending = table.move(list, n + 1, #list, 1, {})
  return table.move(list, 1, n, 1, {})
end

local function run(self)
  while self.pending[1] do
    local list = next_lot(self)
    local err = self.perform(list)
    for _, op in ipairs(list) do
      local own = err
      if err and list[2] and not op.gone and self.alone(err) then own = self.perform { op } end
      finish(op, own)
    end
  end
  self.running = false
end

local function forget(self, op)
  op.gone = true
  for i, other in ipairs(self.pending) do
    if other == op then
      table.remove(self.pending, i)
      return
    end
  end
end

--- Ask for something, and wait until it is done.
---@param op { about: any, undo?: fun(value: any), weight?: integer } its weight is 1 where it says none
---@return any value nil and an error
---@return any more
function Together:take(op)
  op.task, op.over, op.gone, op.weight = host.enter "queue", false, false, op.weight or 1
  table.insert(self.pending, op)
  if not self.running then
    self.running = true
    tasks.spawn(run, { system = true, name = "queue" }, self)
  end
  while not op.over do
    local woken, err = host.park("queue")
    if woken == nil and not op.over then
      forget(self, op)
      return nil, err
    end
  end
  if op.err then return nil, op.err end
  return op.value, op.more
end

return M
