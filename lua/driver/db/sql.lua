--- What a text of SQL holds, without a database: its statements, what kind each is, and its parameters.
---
--- Only as much of the language as that needs: strings, names in quotes, comments, brackets. SQLite has the last word.

local M = {}

local KEPT = 500 -- texts remembered
local BOM <const> = "\xEF\xBB\xBF" -- where a word may begin it is a blank

---@class stoke.db.sql
---@field count integer statements
---@field reads boolean there is one, and it only reads
---@field alone? string it has to run outside of a transaction: its first word
---@field nul boolean there is a NUL byte in it
---@field refused? string a word for which there is a function here: BEGIN, ATTACH ...
---@field places integer parameters of the one statement, by place
---@field names table<string, boolean> of its parameters, without their sign, of all statements
---@field signs table<integer, string> place -> the parameter as the text writes it
---@field parts stoke.db.sql.part[] the statements, one by one

---@class stoke.db.sql.part
---@field text string
---@field names table<string, boolean>
---@field alone boolean
---@field inserts boolean

local READS = { SELECT = true, VALUES = true, EXPLAIN = true, PRAGMA = true }
local CHANGES = { INSERT = true, REPLACE = true, UPDATE = true, DELETE = true }
local TEMP = { TEMP = true, TEMPORARY = true }
local IN_TRANSACTION = { USER_VERSION = true, APPLICATION_ID = true } -- pragmas that are written with all else
local REFUSED = { BEGIN = "BEGIN", COMMIT = "COMMIT", END = "COMMIT", ROLLBACK = "ROLLBACK", SAVEPOINT = "SAVEPOINT",
  RELEASE = "RELEASE", ATTACH = "ATTACH", DETACH = "DETACH" }

--- Where a quoted text, a name in brackets or a comment that begins at `at` ends; nil: nothing of that begins there.
local function skip(text, at)
  local c = text:sub(at, at)
  if c == "'" or c == '"' or c == "`" then -- a doubled quote is the next piece
    return (text:find(c, at + 1, true) or #text) + 1
  end
  if c == "[" then return (text:find("]", at, true) or #text) + 1 end
  local two = text:sub(at, at + 1)
  if two == "--" then return (text:find("\n", at, true) or #text) + 1 end
  if two == "/*" then return (select(2, text:find("*/", at + 2, true)) or #text) + 1 end
end

--- A parameter that begins at `at`: its number or name, its end, and its text.
local function parameter(text, at)
  local c = text:sub(at, at)
  if c == "?" then
    local digits, after = text:match("^(%d*)()", at + 1)
    return tonumber(digits) or true, after, text:sub(at, after - 1)
  end
  local after = text:match("^[%w_$\128-\255]+()", at + 1)
  while after do -- as Tcl writes them: $a::b, $a(b)
    local further = text:match("^::[%w_$\128-\255]*()", after)
    if not further then
      after = text:match("^%([^%s)]*%)()", after) or after
      return text:sub(at + 1, after - 1), after, text:sub(at, after - 1)
    end
    after = further
  end
end

--- Number a parameter as SQLite does: a new one is one more than the largest so far.
local function number(found, statement, what, sign)
  local place = what
  if type(what) == "string" then
    found.names[what], statement.names[what] = true, true
    place = statement.by_name[sign]
  elseif what == true then
    place = nil
  end
  place = place or statement.places + 1
  if type(what) == "string" then statement.by_name[sign] = place end
  if place > statement.places then statement.places = place end
  statement.signs[place] = type(what) == "string" and sign or "?" .. place
end

local function begin(from) return { from = from, places = 0, by_name = {}, names = {}, signs = {}, depth = 0, words = 0 } end

--- A word outside of quotes.
local function take_word(statement, word)
  statement.words = statement.words + 1
  statement.last_word = word
  if statement.words == 1 then
    statement.first = word
    statement.kind = word ~= "WITH" and word or nil
  elseif not statement.kind and statement.depth == 0 and (READS[word] or CHANGES[word]) then
    statement.kind = word
  end
  if statement.words == 2 then statement.second = word end
  if word == "TRIGGER" and statement.first == "CREATE" and (statement.words == 2 or statement.words == 3 and TEMP[statement.second])
  then
    statement.trigger = true
  end
  if statement.first == "VACUUM" and word == "INTO" then statement.into = true end
end

--- The statement has ended.
local function close(found, statement, text, to)
  if statement.words == 0 and not statement.other then return end
  local kind = statement.kind or statement.first
  found.count = found.count + 1
  found.reads = found.count == 1 and (READS[kind] or false) and not statement.assigns
  found.refused = found.refused or REFUSED[statement.first] or statement.into and "VACUUM INTO" or nil
  local alone = statement.first == "VACUUM"
    or statement.first == "PRAGMA" and statement.assigns and not IN_TRANSACTION[statement.second]
  if alone then found.alone = statement.first end
  found.parts[found.count] = { text = text:sub(statement.from, to), names = statement.names, alone = alone or false,
    inserts = kind == "INSERT" or kind == "REPLACE" }
  if statement.places > found.places then found.places = statement.places end
  found.signs = statement.places > 0 and statement.signs or found.signs
end

--- A semicolon: that of a trigger's body ends nothing, but behind `; END`.
local function semicolon(found, statement, text, at)
  if statement.trigger and not (statement.last_word == "END" and statement.before_end) then
    statement.before_end = true -- until the next word that is not END
    return statement
  end
  close(found, statement, text, at - 1)
  return begin(at + 1)
end

local function read(text)
  local found = { count = 0, reads = false, places = 0, names = {}, signs = {}, parts = {}, nul = text:find("\0", 1, true) ~= nil }
  local statement, at = begin(1), 1
  while true do
    at = text:find("%S", at)
    if not at then break end
    local after = skip(text, at)
    if text:sub(at, at + 2) == BOM then
      after = at + 3
    elseif after then
      local first = text:sub(at, at)
      statement.other = statement.other or first ~= "-" and first ~= "/"
    elseif text:find("^[%a_\128-\255]", at) then
      local word
      word, after = text:match("^([%w_$\128-\255]+)()", at)
      word = word:upper()
      if word ~= "END" then statement.before_end = nil end
      take_word(statement, word)
    elseif text:find("^%d", at) then
      after = text:match("^[%w_.$\128-\255]+()", at)
    elseif text:find("^[?:@$]", at) then
      local what, sign
      what, after, sign = parameter(text, at)
      if what then number(found, statement, what, sign) end
      after = after or at + 1
    else
      local c = text:sub(at, at)
      after, statement.other = at + 1, statement.other or c ~= ";"
      if c == ";" then statement = semicolon(found, statement, text, at) end
      if c == "(" then statement.depth = statement.depth + 1 end
      if c == ")" then statement.depth = statement.depth - 1 end
      if c == "=" and statement.first == "PRAGMA" then statement.assigns = true end
    end
    at = after
  end
  close(found, statement, text, #text)
  return found
end

local known, kept = {}, 0

--- What a text holds. What has been read is remembered.
---@param text string
---@return stoke.db.sql
---
--- Example: `sql.read("select * from notes where id = :id").names.id  --> true`
function M.read(text)
  local found = known[text]
  if found then return found end
  if kept >= KEPT then known, kept = {}, 0 end
  found = read(text)
  known[text], kept = found, kept + 1
  return found
end

return M
