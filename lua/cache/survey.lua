--- What the cache's file holds, for people and for those who read all of a kind.

local engine = require "host.store"
local fs = require "host.fs"
local json = require "core.json"

local M = {}

--- A column that may be empty.
---@param value any
---@return any
function M.some(value)
  if value ~= json.null then return value end
end

--- Where an entry came from; an empty table where that cannot be read.
---@param text any JSON
---@return table
function M.facts(text)
  local facts = type(text) == "string" and json.decode(text)
  return type(facts) == "table" and facts or {}
end

local some, facts_of = M.some, M.facts

local LIST = "SELECT id,kind,key,made,ttl,hits,facts,bytes,value FROM entries WHERE id<?1 AND (?2 IS NULL OR kind=?2) " ..
  "AND (?3 IS NULL OR (key>=?3 AND key<=?4)) ORDER BY id DESC LIMIT 100"

--- Entries, the newest first: kind, key and meta, with `bytes` and `value` in it. In slices; may wait.
---@param file stoke.cache.file
---@param kind? string of one kind alone
---@param from? string the keys of which this is the first bytes
---@return fun(): string|nil, string, stoke.cache.meta
function M.each(file, kind, from)
  file:flush()
  local rows, at, before = {}, 0, math.maxinteger
  local first, last = json.null, json.null
  if from then first, last = engine.blob(from), engine.blob(from .. ("\xff"):rep(32 - #from)) end
  return function()
    at = at + 1
    if not rows[at] then
      local db = file:database()
      local found = db and db:query(LIST, { before, kind or json.null, first, last })
      rows, at = found and found.rows or {}, 1
    end
    local row = rows[at]
    if not row then return nil end
    before = row[1]
    return row[2], row[3], { made = row[4], ttl = some(row[5]), hits = row[6], facts = facts_of(row[7]), bytes = row[8],
      value = row[9] }
  end
end

local SUMS = "SELECT kind,count(*),sum(bytes),sum(hits),sum(hits*coalesce(json_extract(facts,'$.seconds'),0))," ..
  "sum(hits*coalesce(json_extract(facts,'$.output_tokens'),0)) FROM entries " ..
  "WHERE kind NOT IN ('digest','tally') GROUP BY kind ORDER BY kind"

---@class stoke.cache.stats
---@field path string|nil nil: in memory alone
---@field entries integer
---@field bytes integer that they take, about
---@field limit integer bytes that the file may take
---@field file integer|nil bytes of the file, with its log
---@field memory integer bytes that this process holds in memory
---@field kinds table<string, { entries: integer, bytes: integer, hits: integer, seconds: number, tokens: integer }> seconds and
---  tokens: what the entries of this kind have saved
---@field evicted integer entries that had to go
---@field hits integer calls that were answered, since the file was begun
---@field misses integer calls that were not

--- What it holds.
---@param file stoke.cache.file
---@return stoke.cache.stats
function M.stats(file)
  file:flush()
  local out = { path = file.path, entries = file.memory.count, bytes = file.memory.bytes, limit = file.bytes, kinds = {},
    evicted = 0, memory = file.memory.bytes, hits = file.hits, misses = file.misses }
  local db = file:database()
  local found = db and db:query(SUMS)
  if not found then return out end
  out.entries, out.bytes, out.file = 0, 0, 0
  for _, row in ipairs(found.rows) do
    out.kinds[row[1]] = { entries = row[2], bytes = row[3], hits = row[4], seconds = row[5], tokens = row[6] }
    out.entries, out.bytes = out.entries + row[2], out.bytes + row[3]
  end
  for _, tail in ipairs { "", "-wal" } do
    local stat = fs.stat(file.path .. tail)
    out.file = out.file + (stat and stat.size or 0)
  end
  found = db:query "SELECT evicted,hits,misses FROM meta"
  local row = found and found.rows[1]
  if row then out.evicted, out.hits, out.misses = row[1], row[2], row[3] end
  return out
end

return M
