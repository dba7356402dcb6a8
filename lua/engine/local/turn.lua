--- Transactions of the local engine: what tasks ask for at the same moment is done in one, so that all of them share one write to
--- the disk.

local engine = require "host.store"
local errors = require "core.errors"
local together = require "core.engine.together"

local M = {}

--- Operations in one transaction, at most.
local TOGETHER <const> = 500

---@class core.engine.turn one transaction
---@field tx userdata
---@field batch userdata statements that wait to be run together
---@field changed table<string, true> what others wait for, and has changed
---@field known table<string, table> streams and groups that were looked up, by name
local Turn = {}
Turn.__index = Turn

--- Run a statement, and see its rows. Raises.
---@param sql string
---@param params? any[]
---@return any[][]
function Turn:rows(sql, params)
  if #self.batch > 0 then errors.check(self.tx:batch(self.batch)) end
  return errors.check(self.tx:run(sql, params)).rows
end

--- Run a statement with the next rows(), or at the end.
---@param sql string
function Turn:add(sql, ...) self.batch:add(sql, ...) end

---@class core.engine.turns
---@field db userdata
---@field together core.engine.together
---@field fleeting table<function, true>
local Turns = {}
Turns.__index = Turns

---@param db userdata of host.store
---@param on_change fun(changed: table<string, true>) called when a transaction is on the disk
---@param fleeting table<function, true> what a power cut may undo, unless something that must last was written after it
---@return core.engine.turns
function M.new(db, on_change, fleeting)
  local self = setmetatable({ db = db, on_change = on_change, fleeting = fleeting }, Turns)
  self.together = together.new(TOGETHER, function(list) return self:perform(list) end)
  return self
end

--- The same, those of one function together.
local function alike(list)
  local by, order = {}, {}
  for _, op in ipairs(list) do
    if not by[op.f] then
      by[op.f] = {}
      order[#order + 1] = by[op.f]
    end
    table.insert(by[op.f], op)
  end
  return order
end

--- Do all of a list in one transaction: nil, or an error and nothing of it is done.
function Turns:perform(list)
  local lasting = false
  for _, op in ipairs(list) do lasting = lasting or not self.fleeting[op.f] end
  local tx <close>, err = self.db:begin(lasting)
  if not tx then return err end
  local turn = setmetatable({ tx = tx, batch = engine.batch(), changed = {}, known = {} }, Turn)
  local ok, raised = pcall(function()
    for _, same in ipairs(alike(list)) do
      local abouts = {}
      for i, op in ipairs(same) do abouts[i] = op.about end
      local values, mores = same[1].f(turn, abouts)
      for i, op in ipairs(same) do op.value, op.more = values[i], mores and mores[i] end
    end
    if #turn.batch > 0 then errors.check(tx:batch(turn.batch)) end
  end)
  if not ok then
    tx:rollback()
    return errors.wrap(raised)
  end
  ok, err = tx:commit()
  if not ok then return err end
  self.on_change(turn.changed)
end

--- Do something in a transaction.
---@param f fun(turn: core.engine.turn, abouts: any[]): any[], any[]? does it for all who ask at the same moment: a value for each,
---  and perhaps more; raises what fails; may be called again
---@param about any
---@param undo? fun(value: any) what is done with its value where nobody waits for it any more
---@return any value nil and an error
---@return any more
function Turns:take(f, about, undo) return self.together:take { f = f, about = about, undo = undo } end

--- What is done for one, for all who ask at the same moment.
---@param f fun(turn: core.engine.turn, about: any): any, any
---@return fun(turn: core.engine.turn, abouts: any[]): any[], any[]
function M.each(f)
  return function(turn, abouts)
    local values, mores = {}, {}
    for i, about in ipairs(abouts) do values[i], mores[i] = f(turn, about) end
    return values, mores
  end
end

return M
