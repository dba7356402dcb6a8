--- Transactions and writes of a journalled run, which a crash may cut anywhere.
---
--- A transaction whose beginning was replayed is none yet: the file knows nothing of it. When its next statement is live, it is
--- begun again, and what it had done is repeated; where that gives something else than it did, the file was changed by others
--- meanwhile, and the transaction fails as a whole. What writes leaves its key in the file, in the same transaction, in a table of
--- our own.

local errors = require "core.errors"
local json = require "core.json"
local current = require "host.task".current
local plain = require "core.journal.plain"
local scopes = require "core.scope"
local texts = require "core.driver.db.text"
local wall = require "host.time".wall

local M = {}

M.SAVE, M.RELEASE, M.UNDO = "SAVEPOINT stoke_%d", "RELEASE stoke_%d", "ROLLBACK TO stoke_%d"

local KEPT <const> = 90 * 24 * 3600 -- seconds that a key is kept

local TABLE <const> = [[
CREATE TABLE IF NOT EXISTS stoke_writes ( -- what journalled runs of stoke have written here: each is done once, whatever is killed
  run TEXT NOT NULL,                      -- the run's id
  key TEXT NOT NULL,                      -- where in the run the write stands
  outcome TEXT,                           -- what it gave, as JSON; NULL: what that says not
  at REAL NOT NULL,                       -- seconds since 1970; rows older than 90 days are deleted
  PRIMARY KEY (run, key)
) WITHOUT ROWID;
DELETE FROM stoke_writes WHERE at < %d]]

---@class core.db.root a transaction, with the savepoints in it
---@field key? string in a journalled run the key of its beginning: its commit leaves that in the file
---@field run? string that run
---@field over? boolean it was committed or rolled back
---@field reviving? table a task begins it again: others wait here
---@field live? userdata of host.store
---@field log? table[] what was replayed of it: { sql, params, digest of what came of it }

--- The run, as the file knows it: a fork, which shares the seed of its origin, is another one.
local function id_of(call)
  local journal = call.context.journal
  return journal.run_id or journal.id
end

--- What a transaction is known by in the file.
---@param root core.db.root
---@param call table|nil of the effect that begins it
function M.name(root, call)
  if call and call.key then root.run, root.key = id_of(call), call.key end
end

--- Was a replayed transaction committed, before its run was killed?
---@return boolean|nil
---@return stoke.error|nil err
local function committed(root, source)
  if not root.key or source.memory then return false end
  local there, err = source.db:query "SELECT 1 FROM sqlite_schema WHERE name = 'stoke_writes'"
  if err or not there.rows[1] then return false, err end
  local found
  found, err = source.db:query("SELECT 1 FROM stoke_writes WHERE run = ? AND key = ?", { root.run, root.key })
  if err then return nil, err end
  return found.rows[1] ~= nil
end

local function over(source)
  return errors.new("db", source.path .. ": this transaction is over", { code = "SQLITE_MISUSE", path = source.path })
end

local function begin_again(root, source)
  local done, unknown = committed(root, source)
  if unknown then return nil, unknown end
  if done then
    root.lost = errors.new("interrupted", ("%s: a transaction was committed, and what its last statements gave is not known any " ..
      "more"):format(source.path))
    root.committed = true
    return nil, root.lost
  end
  local tx, err = source.db:begin()
  if err then return nil, err end
  for i, step in ipairs(root.log or {}) do
    local found, failed = texts.inside(tx, step.sql, step.params, step.max)
    if failed or step.digest and M.digest(found) ~= step.digest then
      tx:rollback()
      if failed and failed.kind == "cancelled" then return nil, failed end
      root.lost = errors.new("interrupted", ("%s: a transaction was cut off, and doing it again gave something else at its " ..
        "statement %d, so it was rolled back"):format(source.path, i), { cause = failed, hint = "begin it anew" })
      return nil, root.lost
    end
  end
  if root.over then -- meanwhile
    tx:rollback()
    return nil, over(source)
  end
  root.live = tx
  return tx
end

--- The transaction as it is in the file, begun again if its beginning was replayed.
---@param root core.db.root
---@param source core.db
---@return userdata|nil tx
---@return stoke.error|nil err
function M.transaction(root, source)
  while root.reviving do -- another task does it
    local woken, err = scopes.queue_up(root.reviving, current(), "db.transaction")
    if woken == nil then return nil, err end
  end
  if root.live then return root.live end
  if root.lost or root.over then return nil, root.lost or over(source) end
  local waiting = {}
  root.reviving = waiting
  local tx, err = begin_again(root, source)
  root.reviving = nil
  scopes.wake_all(waiting)
  return tx, err
end

-- ---- the order of transactions --------------------------------------------------------------------------------------------------

local open = setmetatable({}, { __mode = "k" }) -- journal -> path -> transactions that were begun, and not ended, when it ended

--- The beginning of a transaction was replayed.
---@param call table of the effect
---@param path string
---@param work { root: core.db.root }
function M.replayed(call, path, work)
  local paths = open[call.context.journal] or {}
  open[call.context.journal] = paths
  paths[path] = paths[path] or {}
  M.name(work.root, call)
  paths[path][work.root] = work
end

--- It has ended.
function M.ended(call, path, root)
  local paths = call and open[call.context.journal]
  if paths and paths[path] then paths[path][root] = nil end
end

--- Before anybody else of its run writes, a transaction that was open when the run was cut off is begun again.
---@param call table|nil of an effect that writes
---@param path string
---@param revive fun(work: { root: core.db.root }): any, stoke.error?
---@return stoke.error|nil err
function M.first(call, path, revive)
  local paths = call and call.key and open[call.context.journal]
  while paths and paths[path] and next(paths[path]) do
    local root, work = next(paths[path])
    local _, err = revive(work)
    if err and err.kind == "cancelled" then return err end
    paths[path][root] = nil
  end
end

--- The digest of what a statement gave.
---@param found { columns?: string[], rows?: any[][], changes?: integer, last_id?: integer }
---@return string
function M.digest(found)
  return plain.digest { columns = found.columns, rows = found.rows, changes = found.changes ~= 0 and found.changes or nil }
end

-- ---- keys ----------------------------------------------------------------------------------------------------------------------

--- The table of keys; in the transaction that needs it.
local function prepare(tx, source)
  if source.prepared then return true end
  local _, err = tx:run(TABLE:format(wall() // 1 - KEPT))
  if err then return nil, err end
  source.prepared = true
  return true
end

--- The row of a write that was done.
local function done_before(tx, run, key)
  local found, err = tx:run("SELECT outcome FROM stoke_writes WHERE run = ? AND key = ?", { run, key })
  if err then return nil, err end
  return found.rows[1]
end

local function keep_key(tx, run, key, value)
  local text = json.encode(value)
  return tx:run("INSERT INTO stoke_writes (run, key, outcome, at) VALUES (?, ?, ?, ?)",
    { run, key, text or json.null, wall() })
end

--- What cannot be committed is rolled back by the engine.
local function finish(tx, source)
  local _, err = tx:commit()
  if not err then return true end
  source.prepared = nil
  return nil, err
end

--- Give what a write that is in the file gave.
local function known(row, source)
  local text = row[1]
  local value = text ~= json.null and json.decode(text) or nil
  if value == nil then
    return nil, errors.new("interrupted", ("%s: this was written before the run was cut off; what it gave is not known any more")
      :format(source.path))
  end
  return value
end

--- Do what writes in a transaction, unless the file says that it was done.
---@param source core.db
---@param call table of the effect
---@param body fun(tx: userdata): table?, stoke.error?, string?
---@return table|nil
---@return stoke.error|nil err
---@return string|nil statement the one that failed
function M.once(source, call, body)
  local tx, err = source.db:begin()
  if err then return nil, err end
  local _ <close> = tx
  local run, value, row, statement = id_of(call), nil, nil, nil
  err = select(2, prepare(tx, source))
  if not err then row, err = done_before(tx, run, call.key) end
  if row then return known(row, source) end
  if not err then value, err, statement = body(tx) end
  if not err then err = select(2, keep_key(tx, run, call.key, value)) end
  if err then
    source.prepared = nil
    tx:rollback()
    return nil, err, statement
  end
  err = select(2, finish(tx, source))
  if err then return nil, err end
  return value
end

--- Commit a transaction, with the key of its beginning where a run is journalled.
---@param root core.db.root
---@param source core.db
---@param call table|nil of the effect
---@return boolean|nil
---@return stoke.error|nil err
function M.commit(root, source, call)
  local keyed = call and call.key and root.key and not source.memory
  local tx, err = M.transaction(root, source)
  if root.committed then return true end
  if err then return nil, err end
  local before
  if keyed then
    err = select(2, prepare(tx, source))
    if not err then before, err = done_before(tx, root.run, root.key) end
    if not err and not before then err = select(2, keep_key(tx, root.run, root.key, true)) end
  end
  root.live, root.over = nil, true
  if err or before then -- before: a body that is run again has done it the first time
    source.prepared = nil
    tx:rollback()
    return before and true or nil, err
  end
  return finish(tx, source)
end

return M
