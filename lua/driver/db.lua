--- Effects on databases: db.open, db.query, db.write, db.each, db.begin, db.commit, db.rollback, db.backup.
---
--- db.open is a stream without items: the scope it is opened in owns it, and a run's journal knows when it was closed. The others
--- name the database by its path; beside the request stands `work`, which has `stream` (that of db.open) and, in a transaction,
--- `root`. A replayed stream has no database behind it. Where the journal ends and the run goes on live, the file is opened again;
--- a transaction that was cut in the middle is begun again, and what it had done is repeated (driver/db/redo.lua).
---
--- What a transaction does is nothing before its commit, so all of it is pure. The commit, and what writes by itself, is unsafe:
--- the journal has all before it when it begins. In a journalled run it leaves a key in the same transaction: asked twice, it is
--- done once.

local effect = require "core.effect"
local can_wait = require "host.task".can_wait
local errors = require "core.errors"
local fs = require "host.fs"
local host = require "host.store"
local jail = require "core.driver.jail"
local plain = require "core.journal.plain"
local redo = require "core.driver.db.redo"
local stuck = require "core.store.stuck"
local texts = require "core.driver.db.text"
local words = require "core.driver.db.words"

local M = {}

local ROWS = 256 -- that a cursor reads at once

-- ---- opening -------------------------------------------------------------------------------------------------------------------

--- The stream's source.
---@class core.db
---@field db userdata of host.store
---@field path string as in requests
---@field memory boolean nothing of it is kept
---@field about table
local Database = {}
Database.__index = Database

function Database.next() return nil end

function Database:close()
  local db = self.db
  self.db = nil
  if not db then return end
  if can_wait() then db:close() else local _ <close> = db end -- of a task that is cut off: without waiting for its end
end

local function is_memory(path) return path == ":memory:" end

--- Why a file could not be opened, where that can be told.
local function explain(q, path, err)
  local stat, failed = fs.stat(path)
  if failed and failed.kind ~= "cancelled" then return failed end
  if stat and stat.type == "directory" then
    err.message, err.hint = "it is a folder", "name a file in it"
  elseif not stat then
    local folder = path:match "^(.*)/[^/]*$"
    local above = not folder or folder == "" or fs.stat(folder)
    if not above then
      err.message, err.hint = ("there is no folder %s"):format(folder), "stoke.fs.mkdir(folder, { parents = true }) makes it"
    elseif q.create == false or q.readonly then
      err.message = "there is no such file"
      err.hint = q.readonly and "readonly opens what is there" or "create = true makes it"
    end
  end
  return err
end

--- Below a root the path leads over no symbolic link, and stays inside.
local function inside(q)
  local stat, err = jail.stat { root = q.root, path = q.path, link = true }
  if err then return nil, err end
  if stat and stat.type ~= "file" then
    return nil, errors.new("denied", ("%s: below a root a database is a plain file, and this is a %s"):format(q.path, stat.type))
  end
  return q.path:sub(1, 1) == "/" and q.path or q.root .. "/" .. q.path
end

---@return core.db|nil
---@return stoke.error|nil err
local function open(q)
  local path, refused = q.path, nil
  if q.root then path, refused = inside(q) end
  if refused then return nil, refused end
  local db, err = host.open(path, { readonly = q.readonly or false, create = q.create ~= false and not q.readonly })
  if err then
    if err.kind == "db" and not is_memory(path) then err = explain(q, path, err) end
    return nil, words.better(err, q.path)
  end
  return setmetatable({ db = db, path = q.path, memory = is_memory(path), about = { path = q.path } }, Database)
end

local function subject(q)
  if is_memory(q.path) then return nil end
  return "path", q.root and q.path:sub(1, 1) ~= "/" and q.root .. "/" .. q.path or q.path
end

effect.define("db.open", { stream = true, lasts = true, class = "idempotent", subject = subject, run = open })

-- ---- the database of a request -------------------------------------------------------------------------------------------------

local function closed(path)
  return errors.new("db", ("%s: the database was closed, with the scope it was opened in or by hand"):format(path),
    { code = "SQLITE_MISUSE", path = path })
end

--- The database behind a stream that was replayed: its file is opened now.
local function again(stream, player)
  local q = player.q
  if is_memory(q.path) then
    return nil, errors.new("interrupted", "the database was in memory, in the run that was recorded, and is gone",
      { hint = "what a run is to go on with stands in a file" })
  end
  local opened, err = open(q)
  if err then return nil, err end
  if stream.ended or player.again then -- meanwhile
    opened:close()
    if stream.ended then return nil, closed(q.path) end
    return player.again
  end
  player.again = opened
  return opened
end

---@param stream stoke.stream
---@return core.db|nil
---@return stoke.error|nil err
local function database(stream)
  local source = stream.source
  while source.inner do source = source.inner end -- the recorder of a journal
  if stream.ended then return nil, closed((source.q or source).path) end
  if not source.recorded then return source end
  if source.again then return source.again end
  return again(stream, source)
end

--- The database of a stream of db.open, for other drivers that work on it.
M.database = database

--- The error of a statement, in words.
local function worded(err, source, sql, tx)
  if err.kind ~= "db" then return err end
  if not source.db then return closed(source.path) end
  return words.better(err, source.path, sql, function(text, params)
    local found
    if tx then found = tx:run(text, params) else found = source.db:query(text, params) end
    return found and found.rows
  end)
end

--- The database of a request, and its transaction if it stands in one.
local function place(work)
  local source, err = database(work.stream)
  if err then return nil, nil, err end
  if not work.root then return source, nil end
  local tx
  tx, err = redo.transaction(work.root, source)
  if err then return nil, nil, worded(err, source) end
  return source, tx
end

-- ---- statements ----------------------------------------------------------------------------------------------------------------

local function query(q, _, work)
  local source, tx, err = place(work)
  if err then return nil, err end
  local found
  if tx then
    found, err = texts.inside(tx, q.sql, q.params, q.max)
  else
    found, err = source.db:query(texts.alone(q.sql), texts.bound(q.params), q.max)
  end
  if err then return nil, worded(err, source, q.sql, tx) end
  return found
end

--- What was open when a run was cut off goes before all else that its tasks write.
local function others_first(q, call)
  return redo.first(call, q.db, function(work)
    local source, err = database(work.stream)
    if err then return nil, err end
    return redo.transaction(work.root, source)
  end)
end

local function write(q, call, work)
  local err = not work.root and others_first(q, call) or nil
  if err then return nil, err end
  local source, tx
  source, tx, err = place(work)
  if err then return nil, err end
  local done, statement
  if tx then
    done, err, statement = texts.inside(tx, q.sql, q.params)
  elseif call and call.key and not source.memory and not q.alone then -- in a transaction of its own, with its key
    done, err, statement = redo.once(source, call, function(own) return texts.inside(own, q.sql, q.params) end)
  else
    local db = source.db
    done, err, statement = texts.outside(db, q.sql, q.params)
    stuck.look(db, source.path)
  end
  if err then return nil, worded(err, source, statement or q.sql, tx) end
  return done
end

effect.define("db.query", { class = "pure", in_transaction = true, run = query })
--- Whether it was done the file knows, by its key: it is just asked again. That is no reason to call it idempotent, though: before
--- its work begins, what it follows from has to be on the journal.
local function ask_again()
  return function() return nil end
end

local function class_of(q)
  if q.db == ":memory:" or (q.depth or 0) > 0 then return "pure" end
  return q.alone and "idempotent" or "unsafe"
end

effect.define("db.write", { in_transaction = true, run = write, reconcile = ask_again,
  class = function(q) return q.depth and "pure" or class_of(q) end })

-- ---- rows as they are read -----------------------------------------------------------------------------------------------------

--- The stream of db.each; its items are lists of rows.
local Rows = {}
Rows.__index = Rows

function Rows:next()
  local cursor = self.cursor
  if not cursor then return nil end
  local rows, err = cursor:next(ROWS)
  if err then return nil, worded(err, self.source, self.sql) end
  if rows and rows[1] == nil then return nil end
  return rows
end

function Rows:close()
  local cursor = self.cursor
  self.cursor = nil
  if cursor then cursor:close() end
end

--- In a transaction, which sees what it wrote itself: all of them at once.
local Taken = {}
Taken.__index = Taken

function Taken:next()
  local rows = self.rows
  self.rows = nil
  return rows and rows[1] ~= nil and rows or nil
end

function Taken:close() self.rows = nil end

local function each(q, _, work)
  local source, tx, err = place(work)
  if err then return nil, err end
  if tx then
    local found
    found, err = texts.inside(tx, q.sql, q.params)
    if err then return nil, worded(err, source, q.sql, tx) end
    return setmetatable({ rows = found.rows, about = { columns = found.columns } }, Taken)
  end
  local cursor, columns = source.db:each(texts.alone(q.sql), texts.bound(q.params))
  if not cursor then return nil, worded(columns, source, q.sql) end
  return setmetatable({ cursor = cursor, source = source, sql = q.sql, about = { columns = columns } }, Rows)
end

--- The rest of rows whose reader was cut off: they are read again, and have to be the same as far as they were read.
local function resume(q, items, work)
  local source, err = each(q, nil, work)
  if err then return nil, err end
  for _, item in ipairs(items) do
    local rows, failed = source:next()
    if failed or not rows or plain.digest(rows) ~= plain.digest(item.value) then
      source:close()
      if failed and failed.kind == "cancelled" then return nil, failed end
      return nil, errors.new("interrupted", ("%s: reading its rows was cut off, and now they are others"):format(q.db),
        { cause = failed, sql = words.short(q.sql) })
    end
  end
  return source
end

effect.define("db.each", { stream = true, class = "pure", in_transaction = true, run = each, resume = resume })

-- ---- transactions --------------------------------------------------------------------------------------------------------------

--- Depth 0 is the transaction, those below are savepoints in it.
local function begin(q, call, work)
  if q.depth == 0 then
    local source, err = database(work.stream)
    if err then return nil, err end
    redo.name(work.root, call)
    err = others_first(q, call)
    if err then return nil, err end
    local tx
    tx, err = source.db:begin()
    if err then return nil, worded(err, source) end
    work.root.live = tx
    return true
  end
  local source, tx, err = place(work)
  if err then return nil, err end
  local _, failed = tx:run(redo.SAVE:format(q.depth))
  if failed then return nil, worded(failed, source) end
  return true
end

local function commit(q, call, work)
  local root = work.root
  if q.depth == 0 then
    local source, err = database(work.stream)
    if err then return nil, err end
    local _, failed = redo.commit(root, source, call)
    redo.ended(call, q.db, root)
    if failed then return nil, worded(failed, source) end
    return true
  end
  local source, tx, err = place(work)
  if err then return nil, err end
  local _, failed = tx:run(redo.RELEASE:format(q.depth))
  if failed then return nil, worded(failed, source) end
  return true
end

--- What cannot be undone any more is undone already.
local function rollback(q, call, work)
  local root = work.root
  if q.depth == 0 then
    root.over = true
    redo.ended(call, q.db, root)
  end
  local tx = root.live
  if not tx then return true end
  if q.depth == 0 then
    root.live = nil
    local _, err = tx:rollback()
    if err and err.kind == "cancelled" then return nil, err end
    return true
  end
  local _, err = tx:run(redo.UNDO:format(q.depth))
  if not err then err = select(2, tx:run(redo.RELEASE:format(q.depth))) end
  if err and err.kind == "cancelled" then return nil, err end
  return true
end

--- An end that was replayed.
local function ended(q, _, call)
  if q.depth == 0 then redo.ended(call, q.db, call.work.root) end
end

effect.define("db.begin", { class = "pure", in_transaction = true, run = begin, given = function(q, _, call)
  if q.depth == 0 then redo.replayed(call, q.db, call.work) end
end })
effect.define("db.commit", { in_transaction = true, run = commit, given = ended, class = class_of, reconcile = ask_again })
effect.define("db.rollback", { class = "pure", in_transaction = true, run = rollback, given = ended })

--- Give a transaction up where nothing can wait for that any more.
---@param root core.db.root
function M.abandon(root)
  local _ <close> = root.live -- rolls back without waiting
  root.live, root.over = nil, true
end

-- ---- copies --------------------------------------------------------------------------------------------------------------------

effect.define("db.backup", { class = "idempotent", subject = function(q) return "path", q.to end, run = function(q, _, work)
  local source, err = database(work.stream)
  if err then return nil, err end
  local _, failed = source.db:backup(q.to)
  if failed then return nil, words.better(failed, source.path) end
  return true
end })

return M
