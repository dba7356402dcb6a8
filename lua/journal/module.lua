--- Modules that a run requires. They belong to the process: whether one has been loaded before is nothing a run depends on. What
--- its loader and its body read is no outcome of the task that came first; a replay loads all modules before it begins.

local errors = require "core.errors"
local frames = require "core.frame"
local handler = require "core.coro".handler
local plain = require "core.journal.plain"
local schedule = require "core.schedule"

local M = {}

local LOADER <const> = { name = "module.load", class = "pure" }

--- What `load` raises is the outcome of a row, for each task that had to wait for it.
local function load_here(journal, key, frame, name, load)
  local row = journal:begin(key, LOADER, nil, { name = name }, name)
  local guard = frames.inside(frame)
  schedule.begin()
  local ok, value = xpcall(load, handler)
  guard:leave()
  local err = not ok and errors.wrap(value) or nil
  journal:put(row, { err = err and plain.copy(err), cut = err and err.kind == "cancelled" or nil, facts = {} })
  row.inline = schedule.finish()
  if err then error(value, 0) end
  return value
end

--- The outcome of a row that is there already: nil, or the error that loading it raised.
local function given(journal, row, loaded)
  row.given = true
  journal.left_over = journal.left_over - 1
  if not row.outcome and loaded ~= nil then journal:put(row, { facts = {} }) end -- this process has loaded it before the replay
  local outcome, err = row.outcome, nil
  if not outcome then
    err = select(2, schedule.await())
  elseif not row.inline then
    row.inline, err = schedule.place()
    if row.inline then journal:changed(row) end
  end
  return err or outcome and outcome.err and plain.copy(outcome.err)
end

--- A module that a task of the run requires.
---@param journal stoke.journal
---@param name string
---@param loaded any
---@param load fun(): any
---@return any
---Raises what loading raised.
function M.require(journal, name, loaded, load)
  if not journal.wanted[name] then
    journal.wanted[name] = true
    journal.modules[#journal.modules + 1] = name
    if journal.log then journal.log:module(name) end
    if journal.on_module then journal.on_module() end
  end
  local frame, key = frames.module(name)
  local row = journal.replaying and journal.by_key[key]
  local err = row and given(journal, row, loaded)
  if err then error(err, 0) end
  if loaded ~= nil then return loaded end
  return load_here(journal, key, frame, name, load)
end

return M
