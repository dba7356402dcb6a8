-- A log of a journal as a table: what each hand-over holds, and what is there after the first so many of them, as after a crash.

local effect = require "core.effect"
local keep = require "core.journal.keep"
local plain = require "core.journal.plain"

local M = {}

---@class test.log
---@field batches table[] each a list of { what, ... }
---@field durable integer batches that a barrier has waited for
local Log = {}
Log.__index = Log

local FIELDS = { "number", "key", "name", "class", "digest", "request", "where", "inside", "inline", "seen", "time", "at", "intent",
  "asks" }

local function copy(value)
  local kept, odd = plain.copy(value, true)
  assert(not odd, odd)
  return kept
end

local function row_of(row)
  local own = {}
  for _, name in ipairs(FIELDS) do own[name] = row[name] end
  own.request = copy(own.request)
  return own
end

local function outcome_of(row)
  local own = {}
  for name, value in next, row.outcome do
    if name ~= "items" and name ~= "came" then own[name] = copy(value) end
  end
  return own
end

-- `eager`: whatever is told is handed over before the next is, so that a crash may come between any two records. The log knows its
-- journal then, as `journal`.
function M.new(eager, before)
  return setmetatable({ eager = eager, batches = table.move(before or {}, 1, before and #before or 0, 1, {}), pending = {},
    durable = 0, barriers = 0, commits = 0 }, Log)
end

function Log:told(entry)
  if self.eager and self.journal and self.journal.schedule then keep.flush(self.journal) end
  self.pending[#self.pending + 1] = entry
end

function Log:row(row) self:told { "row", row } end
function Log:intent(row) self:told { "intent", row } end
function Log:changed(row) self:told { "changed", row } end
function Log:item(row, i) self:told { "item", row, i } end
function Log:came(row, i) self:told { "came", row, i } end
function Log:module(name) self:told { "module", name } end
function Log:source(name, text) self:told { "source", name, text } end
function Log:epoch() self:told { "epoch" } end
function Log:deliveries(bytes) self.pending[#self.pending + 1] = { "deliveries", bytes } end
function Log:printed(count) self.pending[#self.pending + 1] = { "printed", count } end
function Log:state(state, waits) self.pending[#self.pending + 1] = { "state", state, waits } end

function Log:outcome(row)
  if self.refuse then
    local err = self.refuse(row)
    if err then
      row.outcome = { err = err, facts = {} }
      self:told { "outcome", row }
      return err
    end
  end
  self:told { "outcome", row }
end

-- As a batch holds it: what changes later is copied.
local HOLD = {
  row = function(row) return row_of(row) end,
  intent = function(row) return row.number end,
  outcome = function(row) return row_of(row), outcome_of(row) end,
  item = function(row, i) return row.number, i, copy(row.outcome.items[i]) end,
  came = function(row, i) return row.number, i, row.outcome.came[i] end,
}
HOLD.changed = function(row)
  if not row.outcome then return row_of(row) end
  return row_of(row), outcome_of(row)
end

function Log:flush()
  if not self.pending[1] then return end
  local batch = {}
  for i, entry in ipairs(self.pending) do
    local hold = HOLD[entry[1]]
    batch[i] = hold and { entry[1], hold(table.unpack(entry, 2)) } or entry
  end
  self.pending = {}
  if self.full then return end
  self.batches[#self.batches + 1] = batch
  if self.on_flush then self.on_flush(#self.batches) end
end

function Log:commit()
  self.commits = self.commits + 1
  self:flush()
  if self.wait then self.wait() end
  return not self.full or nil, self.full
end

function Log:barrier()
  self.barriers = self.barriers + 1
  local ok, err = self:commit()
  if ok then self.durable = #self.batches end
  return ok, err
end

function Log:failure() return self.full end
function Log:room() return not self.no_room end

local APPLY = {
  row = function(parts, row)
    parts.rows[row.number] = copy(row)
    row = parts.rows[row.number]
    row.intent = nil
  end,
  intent = function(parts, number) parts.rows[number].intent = true end,
  outcome = function(parts, row, outcome)
    local own, old = copy(row), parts.rows[row.number]
    own.intent = old.intent
    own.outcome = copy(outcome)
    local kept = old.outcome
    own.outcome.items = kept and kept.items or effect.about(row.name) and effect.about(row.name).stream and not outcome.err and {}
      or nil
    own.outcome.came = kept and kept.came
    parts.rows[row.number] = own
  end,
  item = function(parts, number, i, item)
    local outcome = parts.rows[number].outcome
    outcome.items = outcome.items or {}
    outcome.items[i] = copy(item)
  end,
  came = function(parts, number, i, value)
    local outcome = parts.rows[number].outcome
    outcome.came = outcome.came or {}
    outcome.came[i] = value
  end,
  module = function(parts, name) parts.modules[#parts.modules + 1] = name end,
  source = function(parts, name, text) parts.sources[#parts.sources + 1] = { name = name, text = text } end,
  deliveries = function(parts, bytes) parts.deliveries = parts.deliveries .. bytes end,
  printed = function(parts, count) parts.printed = count end,
  state = function(parts, state, waits) parts.state, parts.waits = state, waits end,
  epoch = function(parts) parts.epochs = parts.epochs + 1 end,
}
APPLY.changed = function(parts, row, outcome)
  if outcome then return APPLY.outcome(parts, row, outcome) end
  parts.rows[row.number] = copy(row)
end

-- What is kept after the first `count` hand-overs.
function Log:load(count)
  local parts = { rows = {}, deliveries = "", modules = {}, sources = {}, printed = 0, epochs = 0 }
  for i = 1, count or #self.batches do
    for _, entry in ipairs(self.batches[i]) do APPLY[entry[1]](parts, table.unpack(entry, 2)) end
  end
  return parts
end

return M
