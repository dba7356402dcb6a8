--- Transactions and writes of a journalled run, which a crash may cut anywhere.
---
--- A transaction whose beginning was replayed is none yet: the file knows nothing of it. When its next statement is live, it is
--- begun again, and what it had done is repeated; where that gives something else than it did, the file was changed by others
--- meanwhile, and the transaction fails as a whole. What writes leaves its key in the file, in the same transaction, in a table of
--- our own.

local errors = require "core.errors"
local json = require "core.json"
local plain = require "core.journal.plain"
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
---@field live? userdata of host.store
---@field log? table[] what was replayed of it: { sql, params, digest of what came of it }

--- The transaction as it is in the file, begun again if its beginning was replayed.
---@param root core.db.root
---@param source core.db
---@return userdata|nil tx
---@return stoke.error|nil err
function M.transaction(root, source)
  if root.live then return root.live end
  if root.lost then return nil, root.lost end
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
  root.live = tx
  return tx
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

--- The run, as the file knows it: a fork, which shares the seed of its origin, is another one.
local function id_of(call)
  local journal = call.context.journal
  return journal.run_id or journal.id
end

--- The row of a write that was done.
local function done_before(tx, call)
  local found, err = tx:run("SELECT outcome FROM stoke_writes WHERE run = ? AND key = ?", { id_of(call), call.key })
  if err then return nil, err end
  return found.rows[1]
end

local function keep_key(tx, call, value)
  local text = json.encode(value)
  return tx:run("INSERT INTO stoke_writes (run, key, outcome, at) VALUES (?, ?, ?, ?)",
    { id_of(call), call.key, text or json.null, wall() })
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
  local value, row, statement
  err = select(2, prepare(tx, source))
  if not err then row, err = done_before(tx, call) end
  if row then return known(row, source) end
  if not err then value, err, statement = body(tx) end
  if not err then err = select(2, keep_key(tx, call, value)) end
  if err then
    source.prepared = nil
    tx:rollback()
    return nil, err, statement
  end
  err = select(2, finish(tx, source))
  if err then return nil, err end
  return value
end

--- Commit a transaction, with the key of the commit where a run is journalled.
---@param root core.db.root
---@param source core.db
---@param call table|nil of the effect
---@return boolean|nil
---@return stoke.error|nil err
function M.commit(root, source, call)
  local keyed = call and call.key and not source.memory
  if keyed and not root.live and not root.lost then -- replayed up to here: is it in the file?
    local there = source.db:query("SELECT 1 FROM sqlite_schema WHERE name = 'stoke_writes'")
    if there and there.rows[1] then
      local found, err = source.db:query("SELECT 1 FROM stoke_writes WHERE run = ? AND key = ?", { id_of(call), call.key })
      if err then return nil, err end
      if found.rows[1] then return true end
    end
  end
  local tx, err = M.transaction(root, source)
  if err then return nil, err end
  local before
  if keyed then
    err = select(2, prepare(tx, source))
    if not err then before, err = done_before(tx, call) end
    if not err and not before then err = select(2, keep_key(tx, call, true)) end
  end
  root.live = nil
  if err or before then -- before: a body that is run again has done it the first time
    source.prepared = nil
    tx:rollback()
    return before and true or nil, err
  end
  return finish(tx, source)
end

return M
