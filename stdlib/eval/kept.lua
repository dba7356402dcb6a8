--- Runs of evaluations, kept in a file: one that was stopped goes on, and each is compared with the one before.

local db = require "stoke.db"
local effect = require "core.effect"
local errors = require "core.errors"
local fs = require "stoke.fs"
local hash = require "core.hash"
local json = require "core.json"
local schedules = require "core.schedule"
local time = require "stoke.time"
require "core.driver.hold"

local M = {}

--- Runs of one evaluation that are kept; the oldest go.
M.MOST = 100

local TABLES = [[
CREATE TABLE IF NOT EXISTS eval_run (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  definition TEXT NOT NULL,  -- a digest of all that it asks: only the same goes on
  began REAL NOT NULL,       -- seconds since 1970
  ended REAL,                -- NULL: it was stopped
  about TEXT NOT NULL        -- JSON: variants, cases, attempts
) STRICT;
CREATE TABLE IF NOT EXISTS eval_trial (
  run INTEGER NOT NULL,
  variant TEXT NOT NULL,     -- JSON: its settings
  item TEXT NOT NULL,        -- the id of the case
  attempt INTEGER NOT NULL,
  status TEXT NOT NULL,      -- pass, fail, error
  data TEXT NOT NULL,        -- JSON: scores, answer, tokens, seconds ...
  PRIMARY KEY (run, variant, item, attempt)
) STRICT]]

---@class stoke.eval.store
---@field db stoke.db.database
---@field name string of the evaluation
local Store = {}
Store.__index = Store

--- Open the file for one evaluation.
---@param path string
---@param name string
---@return stoke.eval.store
---Raises `db`, `os`, `denied`, `cancelled`.
function M.open(path, name)
  local folder = path:match "^(.*)/[^/]*$"
  if folder and folder ~= "" and not fs.stat(folder) then fs.mkdir(folder, { parents = true }) end
  local self = setmetatable({ db = db.open(path), name = name, path = path }, Store)
  self.db:exec(TABLES)
  return self
end

function Store:close()
  self.db:close()
  if self.hold then self.hold:close() end
end
Store.__close = Store.close

--- Is the evaluation this process's alone, as long as the store is open? Two that take up one run would make each trial twice. In a
--- durable run nobody asks: another process goes on with that one, and with its evaluation.
---@return boolean
---Raises `os`, `denied`, `cancelled`.
function Store:claim()
  if schedules.any and schedules.own() then return true end
  local path = ("%s-%s"):format(self.path, hash.sha256(self.name):sub(1, 8))
  self.hold = errors.check(effect.perform("file.hold", { path = path }))
  return self.hold.about.held
end

local function run_of(row)
  if not row then return nil end
  row.about = json.decode(row.about)
  return row
end

--- The run that was stopped last, if it asks the same.
---@param definition string
---@return { id: integer, began: number, about: table }|nil
function Store:unfinished(definition)
  return run_of(self.db:one("SELECT * FROM eval_run WHERE name = ? AND ended IS NULL AND definition = ? "
    .. "AND id = (SELECT max(id) FROM eval_run WHERE name = ?)", self.name, definition, self.name))
end

--- Was the last run stopped, whatever it asked?
---@return boolean
function Store:was_stopped()
  local row = self.db:one("SELECT ended FROM eval_run WHERE name = ? ORDER BY id DESC LIMIT 1", self.name)
  return row ~= nil and row.ended == nil
end

--- Begin a run.
---@param definition string
---@param about table
---@return integer id
function Store:begin(definition, about)
  local _, id = self.db:exec("INSERT INTO eval_run (name, definition, began, about) VALUES (?, ?, ?, ?)", self.name, definition,
    time.now() + 0.0, errors.check(json.encode(about)))
  return id
end

--- Keep a trial.
---@param id integer of the run
---@param trial stoke.eval.trial
function Store:add(id, trial)
  self.db:exec("INSERT OR REPLACE INTO eval_trial (run, variant, item, attempt, status, data) VALUES (?, ?, ?, ?, ?, ?)", id,
    trial.variant, trial.case, trial.attempt, trial.status, errors.check(json.encode(trial)))
end

--- The run has ended.
---@param id integer
function Store:finish(id)
  self.db:transaction(function(tx)
    tx:exec("UPDATE eval_run SET ended = ? WHERE id = ?", time.now() + 0.0, id)
    tx:exec("DELETE FROM eval_run WHERE name = ? AND id <= (SELECT id FROM eval_run WHERE name = ? ORDER BY id DESC "
      .. "LIMIT 1 OFFSET ?)", self.name, self.name, M.MOST)
    tx:exec "DELETE FROM eval_trial WHERE run NOT IN (SELECT id FROM eval_run)"
  end)
end

--- The trials of a run.
---@param id integer
---@return stoke.eval.trial[]
function Store:trials(id)
  local list = {}
  for row in self.db:each("SELECT data FROM eval_trial WHERE run = ? ORDER BY variant, item, attempt", id) do
    list[#list + 1] = json.decode(row.data)
  end
  return list
end

--- A run that has ended: the one of this number, else the last one before.
---@param before? integer
---@param id? integer
---@return { id: integer, began: number, ended: number, about: table }|nil
---Raises `usage` for a number that no run has.
function Store:earlier(before, id)
  if not id then
    return run_of(self.db:one("SELECT * FROM eval_run WHERE name = ? AND ended IS NOT NULL AND id < ? ORDER BY id DESC LIMIT 1",
      self.name, before or math.maxinteger))
  end
  local found = run_of(self.db:one("SELECT * FROM eval_run WHERE name = ? AND id = ?", self.name, id))
  if found then return found end
  errors.raise("usage", ("%s has no run %d"):format(self.name, id), { hint = "stoke eval FILE --list shows them" })
end

--- All of them, the newest first, with how many trials passed.
---@return { id: integer, began: number, ended?: number, about: table, trials: integer, passed: integer, errors: integer }[]
function Store:list()
  local list = self.db:query("SELECT r.*, count(t.run) AS trials, count(*) FILTER (WHERE t.status = 'pass') AS passed, "
    .. "count(*) FILTER (WHERE t.status = 'error') AS errors FROM eval_run r LEFT JOIN eval_trial t ON t.run = r.id "
    .. "WHERE r.name = ? GROUP BY r.id ORDER BY r.id DESC", self.name)
  for _, row in ipairs(list) do run_of(row) end
  return list
end

return M
