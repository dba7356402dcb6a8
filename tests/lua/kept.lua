-- Runs in a store of a test's own folder, made by the journal itself.

local errors = require "core.errors"
local journals = require "core.journal"
local plain = require "core.journal.plain"
local stores = require "core.store"

local M = {}

--- A store in the test's folder, and its path.
function M.store(t)
  local path = t.tmp() .. "/state.db"
  local store = errors.check(stores.open(path))
  return setmetatable({ store = store, path = path }, { __close = function() store:close() end })
end

--- A run of f in it; `open`: it has not ended, and stands at this state with these words.
---@param open? { state: string, waits: string, why?: string, change?: fun(journal, log) }
function M.run(store, id, f, open)
  local run = assert(store:create { id = id, workflow = "trip", input = {} })
  local log = errors.check(store:log(run))
  log:epoch()
  local journal = journals.new { id = run.seed, run_id = id, log = log }
  local results = journal:run(f)
  if open then
    if open.change then open.change(journal, log) end
    log:state(open.state, open.waits, open.why)
  elseif results.err then
    log:finish("failed", nil, plain.copy(results.err))
  else
    log:finish("done", plain.copy(results[1]))
  end
  errors.check(log:barrier())
  return errors.check(store:find(id)), results
end

--- A call of a tool that has no outcome yet, as the last record of a run.
---@param fields table asks, intent, args
function M.open_call(journal, log, fields)
  local request = { name = "book_flight", args = fields.args or { from = "Oslo", to = "Rome" }, agent = "guide" }
  local row = { number = journal.last + 1, key = ("run/agent guide:9/tool book_flight:%d/tool.call#1"):format(journal.last + 1),
    name = "tool.call", class = "unsafe", digest = plain.digest(request), request = request, where = "trip.lua:9",
      time = 1767225700 }
  journal.last = row.number
  log:row(row)
  row.asks = fields.asks
  log:changed(row)
  if fields.intent then log:intent(row) end
  return row
end

return M
