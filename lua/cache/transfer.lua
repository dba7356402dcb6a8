--- A cache as a file of lines that another machine can read: a head, an entry a line, an end. Each line has a sum of what it says,
--- so that a damaged one is left out, and the end tells that nothing is missing.
---
---     {"stoke_cache":1,"made":1790000000.5,"stoke":"0.9"}
---     {"entry":{"facts":{...},"key":"<64 hex digits>","kind":"exact","made":1790000000.1,"value":"..."},"sum":"<32 hex digits>"}
---     {"end":1}
---
--- A value that is no UTF-8 is written in base64 (lua/store/plain.lua).

local about = require "core.about"
local entries = require "core.cache.entries"
local errors = require "core.errors"
local hash = require "core.hash"
local keys = require "core.cache.key"
local plain = require "core.store.plain"
local wall = require "host.time".wall

local M = {}

--- Of the lines.
M.VERSION = 1

--- Rows that are read at once, and that are kept at once: enough that the file does not wait for more; bytes of a line, at most.
local PAGE <const>, BATCH <const>, LONGEST <const> = 100, 1000, 256 << 20

local function sum_of(text) return hash.sha256(text):sub(1, 32) end

--- The first line.
---@return string
function M.head() return plain.encode { stoke_cache = M.VERSION, made = wall(), stoke = about.version } .. "\n" end

--- The last line.
---@param n integer entries
---@return string
function M.tail(n) return plain.encode { ["end"] = n } .. "\n" end

--- An entry as a line.
---@param row core.cache.row with its value
---@return string
function M.line(row)
  local entry = plain.encode { kind = row.kind, key = keys.hex(row.key), made = row.made, ttl = row.ttl, facts = row.facts,
    value = row.value }
  return ('{"entry":%s,"sum":"%s"}\n'):format(entry, sum_of(entry))
end

--- Is a first line that of such a file?
---@param line string
---@return boolean|nil ok
---@return string|nil why not
function M.check_head(line)
  local head = plain.decode(line)
  local version = type(head) == "table" and head.stoke_cache
  if not version then return nil, "is no file of stoke cache export" end
  if version ~= M.VERSION then
    return nil, ("was written by another version of stoke: its format is %s, this one reads %d"):format(tostring(version),
      M.VERSION)
  end
  return true
end

local function is_time(value) return type(value) == "number" and value >= 0 and value < math.huge end

--- Is this an entry?
local function checked(entry)
  if type(entry) ~= "table" or not is_time(entry.made) then return nil end
  if type(entry.key) ~= "string" or type(entry.value) ~= "string" then return nil end
  if entry.ttl ~= nil and not is_time(entry.ttl) or entry.facts ~= nil and type(entry.facts) ~= "table" then return nil end
  local key = keys.parse(entry.key)
  if not key or type(entry.kind) ~= "string" or not entries.is_kind(entry.kind) or entry.kind == "digest" then return nil end
  return { kind = entry.kind, key = key, value = entry.value, made = math.min(entry.made, wall()), ttl = entry.ttl,
    facts = entry.facts or {} }
end

--- What a line says: an entry; an integer, where it is the last line; nil, where it is damaged.
---@param line string
---@return core.cache.row|integer|nil
function M.read(line)
  local text, sum = line:match '^{"entry":(.*),"sum":"(%x+)"}%s*$'
  if text then
    if sum ~= sum_of(text) then return nil end
    local ok, entry = pcall(plain.decode, text)
    return ok and checked(entry) or nil
  end
  local ok, last = pcall(plain.decode, line)
  return ok and type(last) == "table" and math.type(last["end"]) == "integer" and last["end"] or nil
end

-- ---- out --------------------------------------------------------------------------------------------------------------------

--- Give all entries, the oldest first, as lines.
---@param db userdata of host.store
---@param which core.cache.which
---@param put fun(text: string): boolean|nil, stoke.error? takes a piece of the file
---@param progress? fun(done: integer, total: integer)
---@return integer|nil entries
---@return stoke.error? err
function M.export(db, which, put, progress)
  local total, err = entries.count(db, which)
  if not total then return nil, err end
  local n, after = 0, 0
  local ok
  ok, err = put(M.head())
  while ok do
    local rows
    rows, err = entries.page(db, { kind = which.kind, model = which.model, after = after, limit = PAGE, values = true })
    if not rows then return nil, err end
    if not rows[1] then
      ok, err = put(M.tail(n))
      return ok and n, err
    end
    local lines = {}
    for i, row in ipairs(rows) do lines[i], after = M.line(row), row.row end
    n = n + #rows
    ok, err = put(table.concat(lines))
    if progress then progress(n, math.max(total, n)) end
  end
  return nil, err
end

-- ---- in ---------------------------------------------------------------------------------------------------------------------

--- Lines of a text that comes in pieces: nil at the end; a line that is not ended is the last.
---@param take fun(): string|nil, stoke.error? the next piece; "" at the end
---@return fun(): string|nil, stoke.error?
local function lines_of(take)
  local parts, held, ended = {}, 0, false
  local pending, at = "", 1
  return function()
    while true do
      local stop = pending:find("\n", at, true)
      if stop then
        local line = table.concat(parts) .. pending:sub(at, stop - 1)
        parts, held, at = {}, 0, stop + 1
        return line
      end
      parts[#parts + 1], held = pending:sub(at), held + #pending - at + 1
      if ended then
        local line = table.concat(parts)
        parts, pending, at = {}, "", 1
        return line ~= "" and line or nil
      end
      if held > LONGEST then return nil, errors.new("limit", ("a line of it is longer than %d MB"):format(LONGEST >> 20)) end
      local err
      pending, err = take()
      at = 1
      if not pending then return nil, err end
      ended = pending == ""
    end
  end
end

---@class stoke.cache.imported
---@field entries integer that were taken over
---@field known integer that were there already, as new or newer
---@field damaged integer lines that could not be read
---@field large integer that are too large for this cache
---@field whole boolean the file has its end

--- Take over the entries that are new, or newer than those that are there.
local function keep(file, rows, out)
  local kinds = {}
  for _, row in ipairs(rows) do
    kinds[row.kind] = kinds[row.kind] or {}
    table.insert(kinds[row.kind], row.key)
  end
  file:flush()
  local db = file:database()
  for kind, list in next, kinds do
    local made, err = nil, nil
    if db then made, err = entries.made(db, kind, list) end
    if not made then return nil, err or errors.new("db", "the cache cannot be written") end
    kinds[kind] = made
  end
  for _, row in ipairs(rows) do
    local there = kinds[row.kind][row.key]
    local kept = nil
    if not there or there < row.made then kept = file:put(row.kind, row.key, row.value, row.facts, row.ttl, row.made) end
    if kept then
      kinds[row.kind][row.key] = row.made
      out.entries = out.entries + 1
    elseif kept == nil then
      out.known = out.known + 1
    else
      out.large = out.large + 1
    end
  end
  return true
end

--- Read a file of lines into a cache.
---@param file stoke.cache.file
---@param take fun(): string|nil, stoke.error? the next piece of the text; "" at the end
---@param path string for errors
---@return stoke.cache.imported|nil
---@return stoke.error? err
function M.import(file, take, path)
  local out = { entries = 0, known = 0, damaged = 0, large = 0, whole = false }
  local next_line = lines_of(take)
  local first, err = next_line()
  if err then return nil, err end
  local ok, why = M.check_head(first or "")
  if not ok then return nil, errors.new("usage", ("%s %s"):format(path, why),
    { hint = "stoke cache export FILE writes one" }) end
  local rows, bytes, seen = {}, 0, 0
  while true do
    local line
    line, err = next_line()
    if err then return nil, err end
    local row = line and M.read(line)
    if math.type(row) == "integer" then
      out.whole = row == seen + out.damaged
    elseif row then
      rows[#rows + 1], bytes, seen = row, bytes + #row.value, seen + 1
    elseif line then
      out.damaged = out.damaged + 1
    end
    if rows[1] and (not line or #rows == BATCH or bytes > 1 << 20) then
      ok, err = keep(file, rows, out)
      if not ok then return nil, err end
      rows, bytes = {}, 0
    end
    if not line then break end
  end
  file:flush()
  if not file:database() then return nil, errors.new("db", "the cache cannot be written") end
  return out
end

return M
