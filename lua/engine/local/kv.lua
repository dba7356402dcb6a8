--- Keys and logs of the local engine, in SQL. What writes runs inside a turn (lua/engine/local/turn.lua).

local json = require "core.json"
local turns = require "core.engine.local.turn"

local M = {}

local null = json.null
local function given(value) if value ~= null then return value end end

--- What waits for changes of a bucket waits for this name: no stream has a zero byte in its own.
function M.name(bucket) return "kv\0" .. bucket end

-- ---- keys -------------------------------------------------------------------------------------------------------------------

local function revision_of(turn, bucket, key)
  local row = turn:rows("SELECT revision FROM kv WHERE bucket=? AND key=? AND value IS NOT NULL", { bucket, key })[1]
  return row and row[1] or 0
end

local WRITE <const> = [[
INSERT INTO kv (bucket,key,revision,size,value) VALUES (?,?,?,?,?)
ON CONFLICT (bucket,key) DO UPDATE SET revision=excluded.revision, size=excluded.size, value=excluded.value]]

--- Write a value, or with nil that there is none.
local function write(turn, bucket, key, value)
  local revision = turn:rows("SELECT coalesce(max(revision),0)+1 FROM kv")[1][1]
  turn:add(WRITE, bucket, key, revision, value and #value or 0, value)
  turn.changed[M.name(bucket)] = true
  return revision
end

--- Put a value, or swap it where the revision is the one that is expected.
---@param turn core.engine.turn
---@param about { bucket: string, key: string, value: string, expected?: integer }
---@return integer|false revision
local function put(turn, about)
  if about.expected and revision_of(turn, about.bucket, about.key) ~= about.expected then return false end
  return write(turn, about.bucket, about.key, about.value)
end

---@param turn core.engine.turn
---@param about { bucket: string, key: string, expected?: integer }
---@return boolean
local function delete(turn, about)
  local is = revision_of(turn, about.bucket, about.key)
  if is == 0 or about.expected and about.expected ~= is then return false end
  write(turn, about.bucket, about.key, nil)
  return true
end

--- { sql, a function that makes a record of a row }, for readers outside of turns.
M.GET = { "SELECT value,revision FROM kv WHERE bucket=? AND key=? AND value IS NOT NULL", function(row)
  return { value = row[1], revision = row[2] }
end }

M.KEYS = { "SELECT key FROM kv WHERE bucket=?1 AND substr(key,1,length(?2))=?2 AND value IS NOT NULL ORDER BY key",
  function(row) return row[1] end }

M.CHANGES = { [[
WITH page AS (SELECT key,revision,size FROM kv WHERE bucket=?1 AND revision>?3 AND substr(key,1,length(?2))=?2
    ORDER BY revision LIMIT 1000),
  sums AS (SELECT key,revision,sum(size) OVER (ORDER BY revision)-size AS before FROM page)
SELECT k.key,k.value,k.revision FROM sums p JOIN kv k ON k.bucket=?1 AND k.key=p.key WHERE p.before<16777216 ORDER BY k.revision]],
  function(row) return { key = row[1], value = given(row[2]), revision = row[3] } end }

-- ---- logs -------------------------------------------------------------------------------------------------------------------

---@param turn core.engine.turn
---@param about { name: string, key: string, after: integer, value: string }
---@return integer|false offset
---@return integer|nil last
local function append(turn, about)
  local last = turn:rows('SELECT coalesce(max("offset"),0) FROM log WHERE name=? AND key=?', { about.name, about.key })[1][1]
  if last ~= about.after then return false, last end
  turn:add('INSERT INTO log (name,key,"offset",size,value) VALUES (?,?,?,?,?)', about.name, about.key, last + 1, #about.value,
    about.value)
  return last + 1
end

---@param turn core.engine.turn
---@param about { name: string, key: string }
---@return true
local function drop(turn, about)
  turn:add("DELETE FROM log WHERE name=? AND key=?", about.name, about.key)
  return true
end

--- Functions of one, for all who ask at the same moment.
M.put, M.delete, M.append, M.drop = turns.each(put), turns.each(delete), turns.each(append), turns.each(drop)

M.LOG = { [[
WITH page AS (SELECT "offset",size FROM log WHERE name=?1 AND key=?2 AND "offset">=?3 ORDER BY "offset" LIMIT ?4),
  sums AS (SELECT "offset",sum(size) OVER (ORDER BY "offset")-size AS before FROM page)
SELECT l."offset",l.value FROM sums p JOIN log l ON l.name=?1 AND l.key=?2 AND l."offset"=p."offset"
WHERE p.before<16777216 ORDER BY l."offset"]],
  function(row) return { offset = row[1], value = row[2] } end }

return M
