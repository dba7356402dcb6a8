--- The log and the snapshots of a world that is kept in a file: a database of SQLite, whose tables explain themselves. What takes
--- effect in a tick is written in one transaction before it is applied, so that a killed process loses no input that anybody saw.

local about = require "core.about"
local data = require "stoke.world.data"
local db = require "stoke.db"
local combine = require "core.combine"
local effect = require "core.effect"
local errors = require "core.errors"
local json = require "stoke.json"
local tables = require "stoke.db.tables"
require "core.driver.hold"

local M = {}

--- Seconds in which what is being written is written, whoever is cancelled meanwhile.
local PATIENCE <const> = 30

local TABLES = [[
CREATE TABLE IF NOT EXISTS world ( -- one row: what the world is
  one INTEGER PRIMARY KEY CHECK (one = 1),
  format INTEGER NOT NULL,         -- of these tables
  name TEXT NOT NULL,
  seed INTEGER NOT NULL,           -- of the random numbers of its steps
  tick REAL NOT NULL,              -- world seconds of a tick
  start REAL NOT NULL,             -- world time at tick 0: seconds since midnight of day 0
  reached INTEGER NOT NULL,        -- the tick that it is known to have come to
  sent INTEGER NOT NULL,           -- inputs that were sent, as far as they are in the log no more
  holder TEXT                      -- the process that has the world, or had it last
) STRICT;
CREATE TABLE IF NOT EXISTS input ( -- the log: nothing else changes the state, beside the steps
  id INTEGER PRIMARY KEY,
  n INTEGER UNIQUE,                -- its number, in the order in which they took effect; NULL: not yet
  tick INTEGER,                    -- at whose beginning it takes effect
  kind TEXT NOT NULL CHECK (kind IN ('input', 'answer')), -- sent from outside; or the answer of a thought
  member TEXT,
  name TEXT NOT NULL,              -- of the input, or of the thought
  args TEXT,                       -- JSON: what was sent, or the answer
  failed TEXT,                     -- JSON: why a thought has no answer
  begun INTEGER,                   -- the tick in which the thought was begun
  sent INTEGER UNIQUE,             -- the number that the sender was given
  result TEXT,                     -- JSON
  error TEXT                       -- JSON: why an input was refused
) STRICT;
CREATE INDEX IF NOT EXISTS input_tick ON input (tick, n);
CREATE TABLE IF NOT EXISTS snapshot ( -- the state at the beginning of a tick, before its inputs
  tick INTEGER PRIMARY KEY,
  state TEXT NOT NULL              -- JSON
) STRICT]]

--- What stands in the statements that made them.
local OWN <const> = { world = "format INTEGER NOT NULL", input = "begun INTEGER", snapshot = "state TEXT NOT NULL" }

---@class stoke.world.file
---@field db stoke.db.database
---@field private hold stoke.stream
---@field last integer
---@field sent integer
---@field reached integer
local File = {}
File.__index = File

local function text_of(value) return value == nil and db.null or json.encode(value) end

local DAMAGED <const> = "go on with a copy of the file from before"

local function value_of(self, row, column)
  local text = row[column]
  if text ~= nil then return data.stored(text, DAMAGED, "%s: %s of the row %d of its table input", self.path, column, row.id) end
end

local function row_of(self, row)
  return { id = row.id, n = row.n, tick = row.tick, kind = row.kind, member = row.member, name = row.name,
    args = value_of(self, row, "args"), failed = value_of(self, row, "failed"), begun = row.begun, sent = row.sent,
    result = value_of(self, row, "result"), error = value_of(self, row, "error") }
end

local COLUMNS <const> = "SELECT id, n, tick, kind, member, name, args, failed, begun, sent, result, error FROM input "

local function rows_of(self, where, ...)
  local out = {}
  for row in self.db:each(COLUMNS .. where, ...) do out[#out + 1] = row_of(self, row) end
  return out
end

-- ---- opening -------------------------------------------------------------------------------------------------------------------

local function check_world(path, row, def)
  if row.format ~= 1 then
    errors.raise("db", ("%s: its tables are of version %d, and this stoke knows version 1"):format(path, row.format),
      { hint = "use the stoke that wrote it", path = path })
  end
  for _, name in ipairs { "name", "seed", "tick", "start" } do
    if row[name] ~= def[name] then
      errors.raise("argument", ("%s: the world in this file has %s = %s, not %s"):format(path, name, tostring(row[name]),
        tostring(def[name])), { hint = "open it as it was made, or name another file" })
    end
  end
end

--- Nobody else may write: the file is claimed, or it is said who has it.
local function claim(self)
  self.hold = errors.check(effect.perform("file.hold", { path = self.path }))
  if self.hold.about.held then return end
  local known, row = pcall(self.db.one, self.db, "SELECT holder FROM world")
  errors.raise("db", ("%s: the world is open already%s"):format(self.path, known and row and ", in " .. row.holder or ""),
    { code = "SQLITE_BUSY", path = self.path, hint = "one process has a world; end that one, or branch into another file" })
end

--- Open a world's file; it is made where there is none.
---@param def table name, seed, tick, start, file
---@return stoke.world.file
---Raises `db`, `argument` (another world is in it), `os`, `denied`, `cancelled`.
---
--- Example: `local log = file.open(def)`
function M.open(def)
  local path = def.file
  local self = setmetatable({ path = path, late = {} }, File)
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil then self:close() end end })
  self.db = db.open(path)
  claim(self)
  tables.check_own("stoke.world", self.db, "", OWN)
  self.db:exec(TABLES)
  local holder = ("process %d"):format(about.pid())
  self.db:exec([[INSERT INTO world (one, format, name, seed, tick, start, reached, sent, holder)
    VALUES (1, 1, :name, :seed, :tick, :start, 0, 0, :holder) ON CONFLICT (one) DO NOTHING]],
    { name = def.name, seed = def.seed, tick = def.tick + 0.0, start = def.start + 0.0, holder = holder })
  local row = self.db:one "SELECT * FROM world"
  check_world(path, row, def)
  self.db:exec("UPDATE world SET holder = ?", holder)
  self.last = self.db:one("SELECT coalesce(max(n), 0) AS n FROM input").n
  self.sent = self.db:one("SELECT max(coalesce(max(sent), 0), ?) AS n FROM input", row.sent).n
  self.reached = math.max(row.reached, self.db:one("SELECT coalesce(max(tick), 0) AS t FROM input WHERE n IS NOT NULL").t)
  local _ = guard
  return self
end

-- ---- writing -------------------------------------------------------------------------------------------------------------------

local INSERT = [[INSERT INTO input (n, tick, kind, member, name, args, failed, begun, sent)
  VALUES (:n, :tick, :kind, :member, :name, :args, :failed, :begun, :sent)]]

local function or_null(value) return value == nil and db.null or value end

--- Write one entry; its id.
local function insert(tx, row)
  local _, id = tx:exec(INSERT, { n = or_null(row.n), tick = or_null(row.tick or row.at), kind = row.kind,
    member = or_null(row.member), name = row.name, args = text_of(row.args), failed = text_of(row.failed),
    begun = or_null(row.begun), sent = or_null(row.sent) })
  row.id = id
end

--- Results that came since the last time something was written.
local function write_results(self, tx)
  for _, row in ipairs(self.late) do
    tx:exec("UPDATE input SET result = ?, error = ? WHERE id = ?", text_of(row.result), text_of(row.error), row.id)
  end
  self.late = {}
end

--- In one transaction, with the results of before; a cancellation waits until it is done.
local function write(self, f)
  combine.shield(PATIENCE, function()
    local late = self.late
    local ok, err = pcall(self.db.transaction, self.db, function(tx)
      if late[1] then write_results(self, tx) end
      f(tx)
    end)
    if ok then return end
    if late ~= self.late then table.move(late, 1, #late, #self.late + 1, self.late) end -- with what has come meanwhile
    error(err, 0)
  end)
end

function File:add(rows)
  if not rows[1] then return end
  local last = self.last
  write(self, function(tx)
    for i, row in ipairs(rows) do
      row.n = last + i
      if row.id then
        tx:exec("UPDATE input SET n = ?, tick = ? WHERE id = ?", row.n, row.tick, row.id)
      else
        insert(tx, row)
      end
    end
    tx:exec("UPDATE world SET reached = max(reached, ?)", rows[1].tick)
  end)
  self.last = last + #rows
end

function File:send(row)
  combine.shield(PATIENCE, insert, self.db, row)
end

--- With the tick: who goes on from here finds that thought under way, where all members were together.
function File:answer(row, tick)
  write(self, function(tx)
    insert(tx, row)
    tx:exec("UPDATE world SET reached = max(reached, ?)", tick)
  end)
end

function File:results(rows)
  for _, row in ipairs(rows) do
    if row.id and (row.result ~= nil or row.error) then self.late[#self.late + 1] = row end
  end
end

function File:snapshot(tick, text)
  write(self, function(tx)
    tx:exec("INSERT OR REPLACE INTO snapshot (tick, state) VALUES (?, ?)", tick, text)
    tx:exec("UPDATE world SET reached = ?", tick)
  end)
  self.reached = tick
end

function File:reach(tick)
  if tick == self.reached and not self.late[1] then return end
  write(self, function(tx) tx:exec("UPDATE world SET reached = ?", tick) end)
  self.reached = tick
end

function File:cut(tick)
  self.late = {}
  write(self, function(tx)
    tx:exec "UPDATE world SET sent = (SELECT max(coalesce(max(i.sent), 0), world.sent) FROM input AS i)"
    tx:exec("DELETE FROM input WHERE tick >= ? AND kind = 'input' AND n IS NOT NULL", tick)
    tx:exec("DELETE FROM input WHERE kind = 'answer' AND begun >= ?", tick)
    tx:exec("UPDATE input SET n = NULL WHERE tick >= ?", tick)
    tx:exec("DELETE FROM snapshot WHERE tick > ?", tick)
    tx:exec("UPDATE world SET reached = ?", tick)
  end)
  self.reached = tick
  self.last = self.db:one("SELECT coalesce(max(n), 0) AS n FROM input").n
end

-- ---- reading -------------------------------------------------------------------------------------------------------------------

function File:answers() return rows_of(self, "WHERE n IS NULL AND kind = 'answer' ORDER BY id") end

function File:ticks(from, to) return rows_of(self, "WHERE n IS NOT NULL AND tick >= ? AND tick < ? ORDER BY n", from, to) end

function File:numbers(from, to)
  local rows = rows_of(self, "WHERE n BETWEEN ? AND ? ORDER BY n", math.max(from, 1), math.min(to, self.last))
  local late = {}
  for _, row in ipairs(self.late) do late[row.id] = row end
  for i, row in ipairs(rows) do rows[i] = late[row.id] or row end
  return rows
end

function File:ticket(sent)
  for _, row in ipairs(self.late) do
    if row.sent == sent then return row end
  end
  return rows_of(self, "WHERE sent = ? AND n IS NOT NULL", sent)[1]
end

function File:waiting()
  local rows = rows_of(self, "WHERE n IS NULL AND kind = 'input' ORDER BY sent")
  for _, row in ipairs(rows) do row.at, row.tick = row.tick, nil end
  return rows
end

function File:shots(tick)
  return self.db:query("SELECT tick, state AS text FROM snapshot WHERE tick <= ? ORDER BY tick", tick)
end

function File:before(tick)
  local row = self.db:one("SELECT tick, state FROM snapshot WHERE tick <= ? ORDER BY tick DESC LIMIT 1", tick)
  return row and { tick = row.tick, text = row.state }
end

function File:close()
  if self.db then self.db:close() end
  if self.hold then self.hold:close() end
end

return M
