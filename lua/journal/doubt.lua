--- Effects that had begun when their process ended, and of which nobody knows whether they were done.
---
--- What is pure or idempotent is done again. Of what is not, the journal knows that its work has begun: then the world is asked,
--- where the effect can do that; else the run stops until a person says what came of it.

local errors = require "core.errors"

local M = {}

--- What a journal wants to know of the rows that it goes on from.
---@param rows stoke.journal.row[]
---@return stoke.store.known
function M.known(rows)
  local known = { by_key = {}, left = 0, seen = 0, begun = {} }
  for _, row in ipairs(rows) do
    known.by_key[row.key] = row
    known.seen = math.max(known.seen, row.seen or 0)
    if not row.inside then
      known.left = known.left + 1
    elseif row.intent then
      known.begun[#known.begun + 1] = row
    end
  end
  return known
end

--- Mark the rows whose bodies had begun something unsafe (stoke.context: inside = "through").
---@param journal stoke.journal
---@param begun stoke.journal.row[] the rows of that
function M.mark(journal, begun)
  for _, row in ipairs(begun) do
    local at = row.intent and #row.key
    while at do
      at = row.key:sub(1, at - 1):find "/[^/]*$"
      local outer = at and journal.by_key[row.key:sub(1, at - 1)]
      if outer and not outer.outcome then outer.touched = row end
    end
  end
end

local function what(row)
  local request = row.request
  local name = type(request) == "table" and (request.name or request.url or request.path or request.argv and request.argv[1])
  return type(name) == "string" and ("%s %s"):format(row.name, name) or row.name
end

local function in_doubt(journal, row)
  local begun = row.touched or row
  return errors.new("in_doubt", ("%s (#%d, %s) had begun when the process ended, and it is not known whether it was done"):format(
    what(begun), begun.number, begun.where or begun.key),
    { key = row.key, number = row.number, digest = row.digest, idempotency = journal:idempotency(row.key) })
end

--- The work of an effect that may have been done: ask first.
local function asking(reconcile, journal, row, live)
  return function(def, q, call)
    local ok, value = pcall(reconcile, journal:idempotency(row.key))
    if not ok then
      local err = in_doubt(journal, row)
      err.message = ("%s; asked for it, it failed: %s"):format(err.message, errors.wrap(value).message)
      journal:stop(err)
      return nil, err
    end
    if value ~= nil then return value end
    return live(def, q, call)
  end
end

--- How to do an effect whose row has no outcome.
---@param journal stoke.journal
---@param row? stoke.journal.row
---@param def stoke.effect
---@param q any
---@param call table
---@param live fun(def, q, call): any, stoke.error?
---@param cancelled any it is not done at all
---@return function|nil live
---@return stoke.error|nil err the run stops here
function M.judge(journal, row, def, q, call, live, cancelled)
  if not row or row.outcome or cancelled or not (row.intent or row.touched) then return live end
  local reconcile = def.reconcile and def.reconcile(q, call)
  if reconcile then return asking(reconcile, journal, row, live) end
  local err = in_doubt(journal, row)
  journal:stop(err)
  return nil, err
end

return M
