--- Sets of vectors that are kept in a database: read into memory once, and followed from then on. The file has a number that each
--- change of the set raises, by whichever process; rows have the number of their last change, and ids that were deleted stand
--- beside with theirs, those of the last FORGET changes. So a search asks for the number, and reads what is newer.
---
--- A search waits and depends on what others write, so it goes through the door, and a journalled run gets the same answer again.

local db = require "core.driver.db"
local current = require "host.task".current
local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local monotonic = require "host.time".monotonic
local scopes = require "core.scope"
local vectors = require "core.vectors"
local words = require "core.driver.db.words"

local M = {}

local ROWS <const> = 64 -- read at once: a slice of one or two milliseconds

--- How many changes back the ids of deleted rows are known; who is further behind reads all again.
M.FORGET = 100000

--- Seconds between two calls of `progress`.
M.EVERY = 1

---@class core.vectors.kept
---@field set? core.vectors.set
---@field change integer what it has seen of the file
---@field busy? boolean a task reads
---@field waiting table other tasks that want to

local function query(source, sql, params)
  local found, err = source.db:query(sql, params)
  if err then return nil, words.better(err, source.path, sql) end
  return found.rows
end

--- What the file says of the set: { dim, metric, change, forgotten, rows }; nil: there is none yet.
local function read_head(source, name)
  local rows, err = query(source, ("SELECT dim, metric, change, forgotten, rows FROM %s_set"):format(name))
  return rows and rows[1], err
end

--- What is in the file is no set of vectors: told as damage of the file, and not as a mistake of who opens it.
local function damaged(source, q, what, place)
  local hint = place and ("DELETE FROM %s WHERE place = %d takes this row out"):format(q.name, place)
    or "put a copy of the file in its place, or begin it anew"
  errors.raise("db", ("%s: the set of vectors %s is damaged: %s"):format(source.path, q.name, what),
    { code = "SQLITE_CORRUPT", path = source.path, hint = hint })
end

--- Add one row of the file. Raises.
local function add(kept, source, q, row)
  local place, id, text, vector = row[1], row[2], row[3], row[4]
  if #vector ~= kept.set.dim * 4 then
    damaged(source, q, ("the vector of row %d has %d bytes, and not %d"):format(place, #vector, kept.set.dim * 4), place)
  end
  local tags = nil
  if text ~= json.null then
    tags = json.decode(text)
    if type(tags) ~= "table" then damaged(source, q, ("the tags of row %d are no JSON of an object"):format(place), place) end
  end
  local ok, err = pcall(kept.set.add, kept.set, id, vector, tags, place)
  if ok then return end
  if errors.is(err) and err.kind == "argument" then damaged(source, q, ("row %d: %s"):format(place, err.message), place) end
  error(err, 0)
end

--- An empty set as the file describes it. Raises.
local function new_set(source, q, dim, metric)
  local ok, set = pcall(vectors.new, dim, { metric = metric, max_bytes = q.max_bytes })
  if ok then return set end
  if errors.is(set) and set.kind == "argument" then damaged(source, q, set.message) end
  error(set, 0)
end

--- Raises.
local function read_rows(kept, source, q, from, total, progress)
  local sql = ("SELECT place, id, tags, vector FROM %s"):format(q.name)
  local cursor, err
  if from == 0 then
    cursor, err = source.db:each(sql)
  else
    cursor, err = source.db:each(sql .. " WHERE change > ? ORDER BY change, place", { from })
  end
  if not cursor then error(words.better(err, source.path, sql), 0) end
  local _ <close> = setmetatable({}, { __close = function() cursor:close() end })
  local done, told = 0, monotonic()
  while true do
    local rows
    rows, err = cursor:next(ROWS)
    if err then error(words.better(err, source.path, sql), 0) end
    if not rows or rows[1] == nil then return end
    for i = 1, #rows do add(kept, source, q, rows[i]) end
    done = done + #rows
    if progress and from == 0 and monotonic() - told >= M.EVERY then
      told = monotonic()
      progress(done, total)
    end
  end
end

--- Raises.
local function refresh(kept, source, q, progress)
  local head, err = read_head(source, q.name)
  if err then error(err, 0) end
  if not head then damaged(source, q, q.name .. "_set has no row") end
  if head[1] == 0 and head[5] > 0 then damaged(source, q, ("%d rows of vectors without numbers"):format(head[5])) end
  if head[1] == 0 then
    kept.set, kept.change = nil, 0
    return
  end
  local dim, metric, change, forgotten, total = table.unpack(head)
  if kept.set and change == kept.change then return end
  if not kept.set or forgotten > kept.change or change < kept.change or kept.set.dim ~= dim then
    kept.set, kept.change = new_set(source, q, dim, metric), 0
  end
  local from = kept.change
  if from > 0 then
    local gone
    gone, err = query(source, ("SELECT id FROM %s_gone WHERE change > ?"):format(q.name), { from })
    if err then error(err, 0) end
    for _, row in ipairs(gone) do kept.set:delete(row[1]) end
  end
  read_rows(kept, source, q, from, total, progress)
  kept.change = change
end

--- The set as the file has it now; nil: nothing was ever added.
---@return core.vectors.set|nil
---@return stoke.error|nil err
local function latest(q, work)
  local source, err = db.database(work.stream)
  if err then return nil, err end
  local sets = source.vectors or {}
  source.vectors = sets
  local kept = sets[q.name] or { change = 0, waiting = {} }
  sets[q.name] = kept
  while kept.busy do
    local woken, cancelled = scopes.queue_up(kept.waiting, current(), "vectors.search")
    if woken == nil then return nil, cancelled end
  end
  kept.busy = true
  local whole = false
  local _ <close> = setmetatable({}, { __close = function() -- also where the task is cut off
    kept.busy = nil
    if not whole then kept.set, kept.change = nil, 0 end -- half of it may have been read
    scopes.wake_all(kept.waiting)
  end })
  local ok, raised = pcall(refresh, kept, source, q, work.progress)
  whole = ok
  if ok then return kept.set end
  local failure = errors.wrap(raised)
  if failure.kind == "limit" then
    failure.message = ("%s: %s"):format(source.path, failure.message)
    failure.hint = "open it with a larger max_bytes, or delete rows"
  end
  return nil, failure
end

local function load(q, _, work)
  local set, err = latest(q, work)
  if err then return nil, err end
  return { dim = set and set.dim or nil, metric = set and set.metric or nil, rows = set and set:count() or 0,
    bytes = set and set:bytes() or 0 }
end

local function search(q, _, work)
  local set, err = work.memory, nil
  if not set then set, err = latest(q, work) end
  if err then return nil, err end
  if not set then return {} end
  local ok, found = pcall(set.find, set, q.vector, q.k, { filter = q.filter, only = q.only, min = q.min })
  if not ok then return nil, errors.wrap(found) end
  return found
end

effect.define("vectors.load", { class = "pure", in_transaction = true, run = load })
effect.define("vectors.search", { class = "pure", in_transaction = true, run = search })

return M
