--- The entries of a cache's file, for people and for those who copy them: pages of them, one by the beginning of its key, and sums
--- of what they have saved. Reading here does not count as a hit.

local engine = require "host.store"
local evict = require "core.cache.evict"
local survey = require "core.cache.survey"

local M = {}

--- The kinds of what answers calls.
M.KINDS = { "exact", "embedding", "prefix", "semantic" }

---@class core.cache.row
---@field row integer its number in the file: the larger, the newer
---@field kind string
---@field key string 32 bytes
---@field made number seconds since 1970
---@field ttl? number
---@field hits integer
---@field facts table
---@field bytes integer
---@field value? string where it was asked for

---@class core.cache.which
---@field kind? string nil: all that answer calls
---@field model? string
---@field endpoint? string
---@field from? string the first bytes of the key
---@field before? integer only rows before this one
---@field after? integer only rows after this one, the oldest first
---@field limit? integer
---@field values? boolean with the values

local function conditions(which)
  local list, params = { "1" }, {}
  local function add(sql, ...)
    list[#list + 1] = sql
    for i = 1, select("#", ...) do params[#params + 1] = (select(i, ...)) end
  end
  if which.kind then add("kind=?", which.kind) else add "kind NOT IN ('digest','tally')" end
  if which.model then add("json_extract(facts,'$.model')=?", which.model) end
  if which.endpoint then add("json_extract(facts,'$.endpoint')=?", which.endpoint) end
  local from = which.from
  if from then
    local first, last = from .. ("\0"):rep(32 - #from), from .. ("\xff"):rep(32 - #from)
    add("mark>=? AND mark<=?", evict.mark_of(first), evict.mark_of(last))
    add("key>=? AND key<=?", engine.blob(from), engine.blob(last))
  end
  if which.before then add("id<?", which.before) end
  if which.after then add("id>?", which.after) end
  return table.concat(list, " AND "), params
end

--- Some of the entries, the newest first. One look at the file: the next page is asked for with `before`.
---@param db userdata of host.store
---@param which core.cache.which
---@return core.cache.row[]|nil rows
---@return stoke.error? err
---
--- Example: `local rows = entries.page(file:database(), { kind = "exact", limit = 100 })`
function M.page(db, which)
  local where, params = conditions(which)
  local value = which.values and "value" or "CASE kind WHEN 'semantic' THEN value END"
  local found, err = db:query(("SELECT id,kind,key,made,ttl,hits,facts,bytes,%s FROM entries WHERE %s ORDER BY id%s LIMIT %d")
    :format(value, where, which.after and "" or " DESC", which.limit or 100), params)
  if not found then return nil, err end
  local some, rows = survey.some, {}
  for i, row in ipairs(found.rows) do
    rows[i] = { row = row[1], kind = row[2], key = row[3], made = row[4], ttl = some(row[5]), hits = row[6],
      facts = survey.facts(row[7]), bytes = row[8], value = some(row[9]) }
  end
  return rows
end

--- How many there are.
---@param db userdata
---@param which core.cache.which
---@return integer|nil
---@return stoke.error? err
function M.count(db, which)
  local where, params = conditions(which)
  local found, err = db:query("SELECT count(*) FROM entries WHERE " .. where, params)
  if not found then return nil, err end
  return found.rows[1][1]
end

--- When the entries of these keys were made.
---@param db userdata
---@param kind string
---@param list string[] keys
---@return table<string, number>|nil made by key
---@return stoke.error? err
function M.made(db, kind, list)
  local params, marks = { kind }, {}
  for i, key in ipairs(list) do params[i + 1], marks[i] = evict.mark_of(key), "?" end
  local sql = ("SELECT key,made FROM entries WHERE kind=? AND mark IN (%s)"):format(table.concat(marks, ","))
  local found, err = db:query(sql, params)
  if not found then return nil, err end
  local made = {}
  for _, row in ipairs(found.rows) do made[row[1]] = row[2] end
  return made
end

local function each_hit(name)
  return ("CAST(coalesce(sum(hits*coalesce(json_extract(facts,'$.%s'),0)),0) AS INTEGER)"):format(name)
end

local SUMS = "SELECT kind,count(*),sum(bytes),sum(hits)," .. each_hit "input_tokens" .. "+" .. each_hit "tokens" .. "," ..
  each_hit "output_tokens" .. ",coalesce(sum(hits*coalesce(json_extract(facts,'$.seconds'),0)),0),max(made),min(made)" ..
  " FROM entries WHERE kind NOT IN ('digest','tally') GROUP BY kind ORDER BY kind"

---@class stoke.cache.kind
---@field entries integer
---@field bytes integer that they take in the file, about
---@field hits integer calls, or texts of embeddings, that they answered
---@field input_tokens integer that were not sent for it
---@field output_tokens integer that were not generated for it
---@field seconds number of models that it saved
---@field newest number seconds since 1970
---@field oldest number

--- What there is of each kind, and what it has saved: what an entry cost, each time that it was given.
---@param db userdata
---@return table<string, stoke.cache.kind>|nil kinds
---@return stoke.error? err
function M.sums(db)
  local found, err = db:query(SUMS)
  if not found then return nil, err end
  local kinds = {}
  for _, row in ipairs(found.rows) do
    kinds[row[1]] = { entries = row[2], bytes = row[3], hits = row[4], input_tokens = row[5], output_tokens = row[6],
      seconds = row[7], newest = row[8], oldest = row[9] }
  end
  return kinds
end

--- Is this one of the kinds?
---@param kind string
---@return boolean
function M.is_kind(kind)
  for _, known in ipairs(M.KINDS) do
    if kind == known then return true end
  end
  return kind == "digest" or kind == "tally"
end

return M
