--- SQLite's errors in words: which file, which statement, which table and columns, and what a wrong name was meant to be.

local errors = require "core.errors"

local M = {}

local SHOWN = 160 -- bytes of a statement in a message
local NAMES = 2000 -- names looked at for a suggestion

--- A statement in one line, cut short.
---@param sql string
---@return string
function M.short(sql)
  local text = sql:sub(1, 4 * SHOWN):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  if #text <= SHOWN then return text end
  local cut = SHOWN
  while cut > 1 and (text:byte(cut + 1) or 0) & 0xC0 == 0x80 do cut = cut - 1 end -- no half of a character
  return text:sub(1, cut) .. "..."
end

-- ---- constraints ---------------------------------------------------------------------------------------------------------------

--- "t.a, t.b" -> "t", { "a", "b" }; a name may have anything in it, so nil where that is not plain.
local function columns_of(text)
  local place, columns = nil, {}
  for part in (text .. ", "):gmatch "(.-), " do
    local of, column = part:match "^([^.]+)%.([^.]+)$"
    if not of or place and of ~= place then return nil end
    place = of
    columns[#columns + 1] = column
  end
  return place, columns
end

local ADVICE = {
  SQLITE_CONSTRAINT_UNIQUE = "a row with these values is there already; to write over it: INSERT ... ON CONFLICT DO UPDATE",
  SQLITE_CONSTRAINT_PRIMARYKEY = "a row with this key is there already; to write over it: INSERT ... ON CONFLICT DO UPDATE",
  SQLITE_CONSTRAINT_NOTNULL = "the column takes no NULL: bind a value, or give the column a DEFAULT",
  SQLITE_CONSTRAINT_FOREIGNKEY = "a row that it refers to is not there, or one that is deleted is still referred to",
  SQLITE_CONSTRAINT_DATATYPE = "the table is STRICT: a value of another type than its column's",
}

local function constraint(err, words)
  local what = words:match "^[%u ]+constraint failed: (.*)$"
  if what and err.code ~= "SQLITE_CONSTRAINT_CHECK" then
    err.constraint = what:match "^index '(.*)'$"
    err.table, err.columns = columns_of(what)
  elseif what then
    err.constraint = what
  end
  local place, column = words:match "^cannot store %u+ value in %u+ column ([^.]+)%.([^.]+)$"
  if place then err.table, err.columns = place, { column } end
  err.hint = ADVICE[err.code]
end

-- ---- names ---------------------------------------------------------------------------------------------------------------------

local TABLES = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
local COLUMNS = "SELECT DISTINCT p.name FROM sqlite_schema AS s JOIN pragma_table_info(s.name) AS p " ..
  "WHERE s.type IN ('table', 'view') AND instr(lower(?), lower(s.name)) > 0"
local FUNCTIONS = "SELECT DISTINCT name FROM pragma_function_list"

local WRONG = {
  { "^no such table: (.+)$", TABLES },
  { "^no such column: (.+)$", COLUMNS, true },
  { "^table .- has no column named (.+)$", COLUMNS, true },
  { "^no such function: (.+)$", FUNCTIONS },
}

--- What a name that is not there was meant to be.
---@param words string SQLite's
---@param sql string
---@param ask fun(sql: string, params: any[]): any[][]? rows
---@return string|nil
local function meant(words, sql, ask)
  for _, wrong in ipairs(WRONG) do
    local name = words:match(wrong[1])
    if name then
      local list = {}
      for i, row in ipairs(ask(wrong[2], wrong[3] and { sql } or {}) or {}) do
        if i > NAMES then break end
        list[i] = row[1]
      end
      local near = errors.suggest(name:match "[^.]+$", list)
      if near then return ("did you mean %s?"):format(near) end
      if not wrong[3] and wrong[2] == TABLES then
        table.sort(list)
        return list[1] and #list <= 12 and "there are " .. table.concat(list, ", ") or not list[1] and "it has no tables yet" or nil
      end
      return nil
    end
  end
end

-- ---- the rest ------------------------------------------------------------------------------------------------------------------

local HINTS = {
  SQLITE_BUSY = "another program is writing to this file; the same may work later",
  SQLITE_LOCKED = "another program is writing to this file; the same may work later",
  SQLITE_FULL = "the disk is full: nothing of this statement was written; make room and do it again",
  SQLITE_READONLY = "it was opened readonly, or its file may not be written",
  SQLITE_NOTADB = "the file is something else than a database of SQLite, or is encrypted",
  SQLITE_CORRUPT = "the file is damaged: restore a backup, or save what can be read with `sqlite3 FILE .recover`",
  SQLITE_AUTH = "this would open another file: open it by itself with stoke.db.open, or copy with db:backup",
  SQLITE_MISMATCH = "a value of another type than its column's",
  SQLITE_TOOBIG = "a text, a blob or a row is larger than a database takes (1 GB)",
  SQLITE_ABORT_ROLLBACK = "the transaction was rolled back as a whole after an error in it: let the error leave it, and begin anew",
}

local RETRYABLE = { SQLITE_BUSY = true, SQLITE_LOCKED = true }

--- "SQLITE_IOERR_READ" -> "SQLITE_IOERR"
local function primary(code) return code:match "^SQLITE_%u+" or code end

--- SQLite's words without the statement that the engine puts behind them.
local function bare(message, sql)
  local whole = sql and M.short(sql)
  for at in message:gmatch "() %(" do
    local shown = message:sub(at + 2):gsub("%)$", ""):gsub("%.%.%.$", "")
    if not whole or shown == whole:sub(1, #shown) then return message:sub(1, at - 1) end
  end
  return message
end

--- Word an error of the engine.
---@param err stoke.error of kind `db`; the same is returned, other kinds as they are
---@param path string the database's
---@param sql? string
---@param ask? fun(sql: string, params: any[]): any[][]? asks the database for names; nil for one that cannot answer
---@return stoke.error
function M.better(err, path, sql, ask)
  if err.kind ~= "db" or err.worded then return err end
  local words, code = bare(err.message, sql), err.code or "SQLITE_ERROR"
  err.code, err.worded = code, true
  if code:find "^SQLITE_CONSTRAINT" then
    constraint(err, words)
  else
    err.hint = HINTS[code] or HINTS[primary(code)] or (ask and sql and meant(words, sql, ask)) or rawget(err, "hint")
    err.retryable = RETRYABLE[primary(code)]
  end
  local where, at = "", err.offset
  if sql then
    err.sql = M.short(sql)
    where = "; in: " .. err.sql
    if at and at > 60 then where = ("; in: ... %s"):format(M.short(sql:sub(utf8.offset(sql, 0, at - 30) or at - 30))) end
  end
  err.path, err.message = path, ("%s: %s%s"):format(path, words, where)
  return err
end

return M
