--- Databases: SQLite in a file or in memory, with transactions, full-text search (FTS5) and JSON (JSON1). Every statement waits
--- without blocking other tasks, can be cancelled, and obeys the deadlines of its scope.
---
---     local db <close> = stoke.db.open "notes.db"
---     db:exec "create table if not exists notes (id integer primary key, text text not null)"
---     db:exec("insert into notes (text) values (?)", "buy milk")
---     for row in db:each "select id, text from notes" do print(row.id, row.text) end
---
--- Values are bound, never pasted into the text: by place (`?`) or by name (`:name`, with one table of names). What goes in comes
--- out: integers of 64 bits, floats, texts, blobs. true and false are stored as 1 and 0. A string that is valid UTF-8 is stored as
--- text, any other as a blob; `db.blob(bytes)` makes a blob of any. A NULL is bound as `db.null`, which is `json.null`: a nil is
--- more often a mistake, and is refused. In rows a NULL is nil, as in any table; with `nulls = true` it is `db.null`.
---
--- A database belongs to the scope it is opened in, and is closed with it; at the prompt it belongs to the session. Only one
--- connection writes: what several tasks write at once waits in a queue, and is committed together. Readers see the last commit,
--- and wait for nobody. Another program may use the same file: it is waited for, some seconds, and then the error is retryable. No
--- statement opens other files (ATTACH and VACUUM INTO are refused), so a policy on paths holds.
---
--- An error of kind `db` has `code` (SQLite's name: "SQLITE_CONSTRAINT_UNIQUE"), `path`, `sql` (cut short), and what it is about:
--- `parameter`, for a constraint `table` and `columns`, or `constraint`. A file that is busy is `retryable`.
---
--- In a run that is journalled a write is done once, whatever is killed and resumed: it leaves its key in the table stoke_writes.

local driver = require "core.driver.db"
local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local redo = require "core.driver.db.redo"
local scopes = require "core.scope"
local task = require "core.task"
local parameters = require "stoke.db.parameters"

local M = {}

--- NULL, as a parameter (and in rows of a database opened with `nulls`): the same as json.null.
---@type any
M.null = json.null

--- Bytes to be stored as a blob, also where they are valid UTF-8. Rows give a blob as a string.
---@param bytes string
---@return table
---Raises `argument`.
---
--- Example: `book:exec("insert into images (bytes) values (?)", stoke.db.blob(bytes))`
function M.blob(bytes)
  if type(bytes) ~= "string" then errors.argument("db.blob: a string expected, got %s", errors.describe(bytes)) end
  return parameters.blob(bytes)
end

---@class stoke.db.database
---@field path string
local Db = {}
Db.__index = Db
Db.__name = "stoke.db.database"

--- Has the methods of a database, but close and backup.
---@class stoke.db.transaction: stoke.db.database
local Transaction = {}
Transaction.__index = Transaction
Transaction.__name = "stoke.db.transaction"

-- ---- opening -------------------------------------------------------------------------------------------------------------------

local OPTIONS = { readonly = "boolean", create = "boolean", nulls = "boolean", max_rows = "number", root = "string" }

--- The most rows that db:query returns.
local ROWS <const> = 100000

local function check_path(path, what)
  if type(path) ~= "string" then errors.argument("%s: the path must be a string, got %s", what, errors.describe(path)) end
  if path == "" then errors.argument("%s: the path is empty; \":memory:\" is a database in memory", what) end
  if path:find("\0", 1, true) then errors.argument("%s: the path holds a NUL byte", what) end
  if path:sub(1, 5) == "file:" then errors.argument("%s: a path, not a URI; options are given beside it", what) end
  return path
end

--- Open a database; a file that is not there is made. ":memory:" is one in memory, which ends with its scope.
---@param path string relative to the current folder
---@param options? { readonly?: boolean, create?: boolean, nulls?: boolean, max_rows?: integer, root?: string } readonly: nothing
---  writes to it; create = false: fail when it is not there; nulls: NULL is db.null in rows, in place of nil; max_rows: that
---  db:query returns at most, 100000 when not given; root: the path stays below this folder, and leads over no symbolic link
---@return stoke.db.database
---Raises `db` (no database, damaged, cannot be opened), `os`, `denied` (a policy, a root), `argument`, `cancelled`.
---
--- Example: `local db <close> = stoke.db.open("notes.db", { readonly = true })`
function M.open(path, options)
  check_path(path, "db.open")
  options = errors.options(options, OPTIONS, "db.open")
  local max = options.max_rows and math.tointeger(options.max_rows) or ROWS
  if options.max_rows and (max < 1 or max ~= options.max_rows) then
    errors.argument("db.open: max_rows must be a whole number above 0, got %s", tostring(options.max_rows))
  end
  local root = options.root
  if root and (root == "" or root:find("\0", 1, true) or path == ":memory:") then
    errors.argument("db.open: the root is no path of a folder, or the path none below it: %q", root)
  end
  if options.readonly and options.create then errors.argument("db.open: either readonly or create") end
  local stream = errors.check(effect.perform("db.open", { path = path, readonly = options.readonly or nil,
    create = options.create, root = root }))
  return setmetatable({ path = path, stream = stream, nulls = options.nulls or false, max_rows = max }, Db)
end

--- Close it, and what is still read from it; a no-op the second time. What `<close>` and the end of its scope do.
---Raises `argument` inside a transaction of it.
---
--- Example: `book:close()`
function Db:close()
  scopes.check_self(self, Db, "db:close()")
  local me = task.current()
  local only = me and scopes.innermost(me).context.only
  if only and only.stream == self.stream then errors.argument("db:close: inside a transaction; leave that first") end
  self.stream:close()
end

function Db:__close() self.stream:close() end

-- ---- where a call stands -------------------------------------------------------------------------------------------------------

local function check_self(self, what)
  local meta = getmetatable(self)
  if meta ~= Db and meta ~= Transaction then
    errors.argument("%s: called on %s; write a colon, not a dot", what, errors.describe(self))
  end
end

--- The transaction that a call of a method belongs to; nil outside of one. Inside of a transaction the database's own methods
--- are the transaction's, and those of an outer one are those of the innermost.
local function standing(self, what)
  local meta, me = getmetatable(self), task.current()
  local only = me and scopes.innermost(me).context.only
  local tx = meta == Transaction and self or nil
  if only and only.stream == self.stream and (not tx or only.root == tx.root) then tx = only end
  if not tx then return nil end
  if tx.over then errors.argument("%s: this transaction is over", what) end
  local root = tx.root
  while root.top ~= tx do -- another task has opened one inside of it
    local woken, err = scopes.queue_up(root.waiting, me, "db.transaction")
    if woken == nil then
      scopes.deliver(me)
      error(err, 0)
    end
    if tx.over then errors.argument("%s: this transaction is over", what) end
  end
  return tx
end

--- Perform an effect where the call stands. Of a replayed transaction all is noted: a crash may have cut it.
local function perform(self, tx, name, q)
  q.db, q.depth = self.path, tx and tx.depth
  local value = errors.check(effect.perform(name, q, tx or self))
  local root = tx and tx.root
  if root and not root.live and type(value) == "table" and q.sql and name ~= "db.each" then
    root.log[#root.log + 1] = { sql = q.sql, params = q.params, max = q.max, digest = redo.digest(value) }
  end
  return value
end

-- ---- statements ----------------------------------------------------------------------------------------------------------------

--- Each column has a name of its own: a row is a table by names.
local function check_columns(self, columns)
  for i = 2, #columns do
    local name = columns[i]
    for k = 1, i - 1 do
      if columns[k] == name then
        errors.raise("db", ("%s: two columns of the result are named %s"):format(self.path, name),
          { hint = ("name one of them: SELECT a.%s AS a_%s"):format(name, name), path = self.path })
      end
    end
  end
end

local null <const> = json.null

--- A row as a table by the names of its columns.
local function keyed(self, columns, row)
  local out, nulls = {}, self.nulls
  for i = 1, #columns do
    local value = row[i]
    if value ~= null or nulls then out[columns[i]] = value end
  end
  return out
end

--- The answer of a statement, which may write and return rows.
local function ask(self, what, max, sql, ...)
  check_self(self, what)
  local found, params = parameters.check(self.path, what, sql, ...)
  if found.count ~= 1 then parameters.one_statement(self.path, what, sql, found) end
  local tx = standing(self, what)
  if found.reads then return perform(self, tx, "db.query", { sql = sql, params = params, max = max }) end
  return perform(self, tx, "db.write", { sql = sql, params = params, alone = found.alone and not tx or nil })
end

local function rows_of(self, answer)
  local rows = answer.rows or {}
  local columns = answer.columns or {}
  check_columns(self, columns)
  for i = 1, #rows do rows[i] = keyed(self, columns, rows[i]) end
  return json.array(rows)
end

--- The rows that a statement gives, also one that writes (INSERT ... RETURNING).
---@param sql string one statement
---@param ... any values for `?` in their order, or one table of values by name
---@return table<string, any>[] rows each a table of its columns by name; NULL is nil in it, or db.null with `nulls`
---Raises `db` (with `code`, `sql`, `parameter`, and for a constraint `table` and `columns`), `limit` for more rows than `max_rows`,
---`argument`, `cancelled`.
---
--- Example: `for _, row in ipairs(book:query("select * from notes where id > :id", { id = 3 })) do print(row.text) end`
function Db:query(sql, ...)
  check_self(self, "db:query")
  local most = self.max_rows
  local answer = ask(self, "db:query", most + 1, sql, ...)
  if answer.more or answer.rows and #answer.rows > most then
    errors.raise("limit", ("%s: the statement gives more than %d rows"):format(self.path, most),
      { hint = "read them one by one (db:each), add LIMIT, or open with max_rows", path = self.path })
  end
  return rows_of(self, answer)
end

--- The first row that a statement gives; nil when there is none.
---@param sql string one statement
---@param ... any as db:query
---@return table<string, any>|nil row
---Raises as db:query.
---
--- Example: `local count = book:one("select count(*) as n from notes").n`
function Db:one(sql, ...)
  local answer = ask(self, "db:one", 1, sql, ...)
  local row = answer.rows and answer.rows[1]
  if not row then return nil end
  check_columns(self, answer.columns)
  return keyed(self, answer.columns, row)
end

--- Run statements for what they do. One text may hold several, divided by semicolons: they are done together or not at all, and
--- their parameters are given by name.
---@param sql string
---@param ... any as db:query
---@return integer changes rows that were inserted, changed or deleted
---@return integer|nil last_id the rowid of the row inserted last
---Raises as db:query.
---
--- Example: `local _, id = book:exec("insert into notes (text) values (:text)", { text = "buy milk" })`
function Db:exec(sql, ...)
  check_self(self, "db:exec")
  local found, params = parameters.check(self.path, "db:exec", sql, ...)
  local tx = standing(self, "db:exec")
  if found.count == 0 then return 0 end
  local done = perform(self, tx, "db.write", { sql = sql, params = params, alone = found.alone and not tx or nil })
  if not done.last_id then return done.changes end
  return done.changes, done.last_id
end

---@class stoke.db.rows
local Rows = {}
Rows.__index = Rows
Rows.__name = "stoke.db.rows"

function Rows:__call()
  local batch, at = self.batch, self.at + 1
  while not batch or batch[at] == nil do
    batch, at = errors.check(self.stream:next()), 1
    if not batch then return nil end
    self.batch = batch
  end
  self.at = at
  return keyed(self.db, self.columns, batch[at])
end

--- Stop reading; leaving the loop does it, too.
---
--- Example: `rows:close()`
function Rows:close()
  self.batch = nil
  self.stream:close()
end

Rows.__close = Rows.close

--- Read the rows one by one, as many as they are: a few hundred are fetched at a time, and more when those have been taken. What
--- others write meanwhile is not seen; inside a transaction all rows are fetched at once.
---@param sql string one statement that only reads
---@param ... any as db:query
---@return stoke.db.rows iterator for generic `for`
---Raises as db:query.
---
--- Example: `for row in book:each "select id, text from notes" do print(row.id, row.text) end`
function Db:each(sql, ...)
  check_self(self, "db:each")
  local found, params = parameters.check(self.path, "db:each", sql, ...)
  if found.count ~= 1 then parameters.one_statement(self.path, "db:each", sql, found) end
  if not found.reads then errors.argument("db:each: the statement writes; db:query gives the rows of RETURNING") end
  local tx = standing(self, "db:each")
  local stream = perform(self, tx, "db.each", { sql = sql, params = params })
  local columns = stream.about.columns
  check_columns(self, columns)
  local rows = setmetatable({ stream = stream, db = self, columns = columns, at = 0 }, Rows)
  return rows, nil, nil, rows
end

-- ---- transactions --------------------------------------------------------------------------------------------------------------

--- The transaction is over: the one around it goes on.
local function leave(tx)
  local root = tx.root
  tx.over = true
  if root.top == tx then root.top = tx.up end
  scopes.wake_all(root.waiting)
end

--- What was not committed is taken back. Where nothing can wait for that any more, it is given up.
function Transaction:__close()
  if self.over then return end
  local root = self.root
  self.over = true
  local done, _, err = pcall(effect.perform, "db.rollback", { db = self.path, depth = self.depth }, self)
  if self.depth == 0 then
    if root.live then driver.abandon(root) end
  elseif (not done or err) and root.live then
    driver.abandon(root) -- the one around cannot tell the two apart any more
  end
  if not root.live and self.depth > 0 then
    root.log[#root.log + 1] = { sql = redo.UNDO:format(self.depth) }
    root.log[#root.log + 1] = { sql = redo.RELEASE:format(self.depth) }
  end
  leave(self)
end

local function begin(self, up)
  local depth = up and up.depth + 1 or 0
  local tx = setmetatable({ path = self.path, stream = self.stream, nulls = self.nulls, max_rows = self.max_rows, depth = depth,
    up = up, over = false }, Transaction)
  tx.root = up and up.root or { waiting = {}, log = {} }
  tx.root.top = tx -- before anything waits: others see that they have to
  local _ <close> = setmetatable({}, { __close = function(_, err) if err ~= nil then leave(tx) end end })
  errors.check(effect.perform("db.begin", { db = self.path, depth = depth }, tx))
  if up and not tx.root.live then tx.root.log[#tx.root.log + 1] = { sql = redo.SAVE:format(depth) } end
  return tx
end

local function commit(tx)
  errors.check(effect.perform("db.commit", { db = tx.path, depth = tx.depth }, tx))
  if tx.depth > 0 and not tx.root.live then tx.root.log[#tx.root.log + 1] = { sql = redo.RELEASE:format(tx.depth) } end
  leave(tx)
end

--- Run a function whose statements are done together or not at all: it is committed when the function returns, and rolled back
--- when an error or a cancellation leaves it. Inside, also in functions that are called, the database and `tx` are the same. One
--- inside another is a savepoint: its error takes back its own statements, and may be caught outside.
---
--- All others who write wait meanwhile, so only effects of this database are allowed in it: no call of a model, no request, no
--- sleep. Tasks that were spawned in it have ended when it is committed.
---@param f fun(tx: stoke.db.transaction, ...): any
---@param ... any further arguments of f
---@return any ... what f returned
---Raises what f raised, `argument` for another effect in it, `db`, `cancelled`.
---
--- Example:
---   bank:transaction(function(tx)
---     tx:exec("update accounts set euros = euros - 5 where name = ?", "ada")
---     tx:exec("update accounts set euros = euros + 5 where name = ?", "bob")
---   end)
function Db:transaction(f, ...)
  check_self(self, "db:transaction")
  local up = standing(self, "db:transaction")
  errors.check_callable(f, "db:transaction")
  local tx <close> = begin(self, up)
  local results
  do
    local scope <close> = scopes.open { only = tx } -- luacheck: ignore
    results = table.pack(f(tx, ...))
  end
  commit(tx)
  return table.unpack(results, 1, results.n)
end

for _, name in ipairs { "query", "one", "exec", "each", "transaction" } do Transaction[name] = Db[name] end

-- ---- copies --------------------------------------------------------------------------------------------------------------------

--- Copy the database as it is to another file, while others go on with it. A database that is there is replaced.
---@param path string
---Raises `db`, `denied` (a policy), `argument`, `cancelled`.
---
--- Example: `book:backup "notes-copy.db"`
function Db:backup(path)
  scopes.check_self(self, Db, "db:backup()")
  check_path(path, "db:backup")
  errors.check(effect.perform("db.backup", { db = self.path, to = path }, self))
end

return M
