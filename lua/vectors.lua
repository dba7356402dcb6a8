--- Sets of vectors in memory, searched exactly: the rows whose vectors are nearest to one. host/store/vectors.h tells how.
---
---     local set = vectors.new(768)
---     set:add("note 1", vector, { folder = "work" })
---     for _, hit in ipairs(set:search(query, 5, { filter = { folder = "work" } })) do print(hit.id, hit.score) end
---
--- All of it is plain computing, in place, and gives the same on every machine; `find` alone waits. Rows with equal scores come in
--- the order in which they were added.

local errors = require "core.errors"
local host = require "host.vectors"
local scopes = require "core.scope"

local M = {}

--- From so many rows on `find` searches on another thread.
M.LARGE = 10000

--- What a set may have where no option says it.
M.MAX_ROWS, M.MAX_BYTES = 2 ^ 31 // 1 - 1, 2 << 30

M.OPTIONS = { metric = "string", max_rows = "number", max_bytes = "number" }

local SEARCH <const> = { filter = "table", only = "table", min = "number" }

--- Pack an array of numbers into a string of f32, the low byte first: 4 bytes a number, where a table takes 16.
---@type fun(vector: number[]): string
M.pack = host.pack

--- The numbers of such a string.
---@type fun(packed: string): number[]
M.unpack = host.unpack

--- Is no number of such a string infinite, or none at all?
---@type fun(packed: string): boolean
M.finite = host.finite

--- Names of the kernels that this machine has, the fastest first; `use(name?)` takes one, nil the fastest. For tests and figures.
M.kernels, M.use = host.kernels, host.use

-- ---- ids, tags and filters as bytes --------------------------------------------------------------------------------------------

local function key_of(id, what)
  if type(id) == "string" then return "s" .. id end
  local integer = math.type(id) and math.tointeger(id)
  if not integer then errors.argument("%s: an id is a string or an integer, got %s", what, errors.describe(id)) end
  return ("<c1i8"):pack("i", integer)
end

local function id_of(key)
  if key:byte() == 115 then return key:sub(2) end
  return (("<i8"):unpack(key, 2))
end

--- One field with its value. Numbers that are equal are the same.
local function piece(field, value, what)
  local kind = math.type(value)
  if type(field) ~= "string" or #field > 255 then
    errors.argument("%s: the name of a tag is a string of at most 255 bytes, got %s", what, errors.describe(field))
  end
  if kind == "float" and math.tointeger(value) then kind, value = "integer", math.tointeger(value) end
  if kind == "integer" then return ("<s1c1i8"):pack(field, "i", value) end
  if kind == "float" and value == value then return ("<s1c1d"):pack(field, "d", value) end
  if type(value) == "boolean" then return ("<s1c1"):pack(field, value and "t" or "f") end
  if type(value) ~= "string" then
    errors.argument("%s: the tag %s must be a string, a number or a boolean, got %s", what, field, errors.describe(value))
  end
  return ("<s1c1"):pack(field, "s") .. value
end

--- The tags as bytes: pieces in the order of their names, so that equal tags are equal bytes.
local function encode_tags(tags, what)
  if tags == nil then return "" end
  if type(tags) ~= "table" then errors.argument("%s: tags are a table { field = value }, got %s", what, errors.describe(tags)) end
  local pieces = {}
  for field, value in next, tags do pieces[#pieces + 1] = ("=s4"):pack(piece(field, value, what)) end
  table.sort(pieces)
  return table.concat(pieces)
end

local function decode_tags(bytes)
  if bytes == "" then return nil end
  local tags, at = {}, 1
  while at <= #bytes do
    local whole
    whole, at = ("=s4"):unpack(bytes, at)
    local field, kind, from = ("<s1c1"):unpack(whole)
    if kind == "s" then
      tags[field] = whole:sub(from)
    elseif kind == "i" or kind == "d" then
      tags[field] = (kind == "i" and "<i8" or "<d"):unpack(whole, from)
    else
      tags[field] = kind == "t"
    end
  end
  return tags
end

--- A filter as bytes: for each field the pieces of which a row has to have one.
local function encode_filter(filter, what)
  local groups = {}
  for field, value in next, filter or {} do
    local any = type(value) == "table" and value or { value }
    errors.list(what .. ": the values of a filter", any)
    local pieces = {}
    for i, each in ipairs(any) do pieces[i] = ("=s4"):pack(piece(field, each, what)) end
    groups[#groups + 1] = ("=I4"):pack(#pieces) .. table.concat(pieces)
  end
  return table.concat(groups)
end

-- ---- checks, for sets that are kept elsewhere -----------------------------------------------------------------------------------

--- May a row have this id and these tags?
---@param id any
---@param tags any
---@param what string for the message
---Raises `argument`.
function M.check_row(id, tags, what)
  key_of(id, what)
  encode_tags(tags, what)
end

--- May a set have this vector?
---@param vector any
---@param dim integer|nil numbers of a vector; nil: any number
---@param metric "cosine"|"dot"
---@param what string for the message
---@return string packed
---Raises `argument`.
function M.check_vector(vector, dim, metric, what)
  if type(vector) ~= "string" and type(vector) ~= "table" then
    errors.argument("%s: a vector is an array of numbers, or a string of vectors.pack; got %s", what, errors.describe(vector))
  end
  local packed = type(vector) == "table" and M.pack(vector) or vector
  local count = #packed // 4
  if #packed % 4 ~= 0 then
    errors.argument("%s: a string of vectors.pack has four bytes for each number, and this one %d bytes", what, #packed)
  end
  if count == 0 or count ~= (dim or count) then
    errors.argument("%s: the vector has %d numbers, and the set is for %s", what, count, dim or "at least one")
  end
  local length = host.length(packed)
  if not length then errors.argument("%s: a number of the vector is not finite, or too large for f32", what) end
  if length == 0 and metric == "cosine" then
    errors.argument("%s: the vector is zero: it has no direction to compare by cosine", what)
  end
  return packed
end

--- The id as it is kept: 7.0 is the integer 7, "7" is not.
---@param id string|number
---@return string|integer
function M.plain_id(id) return math.type(id) and math.tointeger(id) or id end

--- May a search be asked for so many rows?
---@param k any
---@param what string for the message
---Raises `argument`.
function M.check_count(k, what)
  if math.type(k) and math.tointeger(k) and k >= 1 then return end
  errors.argument("%s: how many rows? A whole number above 0, got %s", what, errors.describe(k))
end

local function check_min(min, what)
  if min ~= min then errors.argument("%s: min is not a number (nan)", what) end
end

--- May a search be asked with these options?
---@param options { filter?: table, only?: any[] }
---@param what string for the message
---Raises `argument`.
function M.check_search(options, what)
  check_min(options.min, what)
  encode_filter(options.filter, what)
  if not options.only then return end
  errors.list(what .. ": only", options.only)
  for _, id in ipairs(options.only) do key_of(id, what) end
end

-- ---- sets ----------------------------------------------------------------------------------------------------------------------

---@class core.vectors.set
---@field dim integer numbers of a vector
---@field metric "cosine"|"dot"
local Set = {}
Set.__index = Set
Set.__name = "vectors.set"

---@class core.vectors.hit
---@field id string|integer
---@field score number
---@field tags? table<string, string|number|boolean>

local function whole(value, otherwise, what)
  if value == nil then return otherwise end
  local integer = math.type(value) and math.tointeger(value)
  if not integer or integer < 1 then errors.argument("%s must be a whole number above 0, got %s", what, tostring(value)) end
  return integer
end

--- Make a set.
---@param dim integer numbers of a vector, at most 16384
---@param options? { metric?: "cosine"|"dot", max_rows?: integer, max_bytes?: integer } metric: how two vectors are compared,
---  "cosine" when not given; max_bytes: of memory, 2 GiB when not given
---@return core.vectors.set
---Raises `argument`, `os` (memory).
---
--- Example: `local set = vectors.new(768, { max_rows = 10000 })`
function M.new(dim, options)
  options = errors.options(options, M.OPTIONS, "vectors.new")
  local metric = options.metric or "cosine"
  if metric ~= "cosine" and metric ~= "dot" then
    errors.argument("vectors.new: the metric is \"cosine\" or \"dot\", got %s", errors.describe(metric))
  end
  local set = errors.check(host.new(whole(dim, nil, "vectors.new: the numbers of a vector"), metric,
    math.min(M.MAX_ROWS, whole(options.max_rows, M.MAX_ROWS, "vectors.new: max_rows")),
    whole(options.max_bytes, M.MAX_BYTES, "vectors.new: max_bytes")))
  return setmetatable({ rows = set, dim = dim, metric = metric }, Set)
end

--- Add a row, or replace the one that has this id.
---@param id string|integer
---@param vector number[]|string an array of numbers, or a packed one
---@param tags? table<string, string|number|boolean> what filters look at
---@param order? integer its place among rows with equal scores; when not given, behind all others, or the one that it has
---@return boolean added false: it was replaced
---Raises `argument` (another number of numbers, one that is not finite, a zero vector by cosine), `limit` (the set is full), `os`;
---the set is as it was then.
---
--- Example: `set:add(17, model:embed("buy milk"), { list = "home" })`
function Set:add(id, vector, tags, order)
  scopes.check_self(self, Set, "set:add()")
  return errors.check(self.rows:put(key_of(id, "set:add"), vector, encode_tags(tags, "set:add"), order))
end

--- Delete a row.
---@param id string|integer
---@return boolean deleted false: it was not there
---Raises `os`: a search runs on another thread, and there is no memory to keep what it sees.
---
--- Example: `set:delete(17)`
function Set:delete(id)
  scopes.check_self(self, Set, "set:delete()")
  return errors.check(self.rows:drop(key_of(id, "set:delete")))
end

--- A row.
---@param id string|integer
---@return string|nil packed its vector; nil: it is not there
---@return table|nil tags
---
--- Example: `local vector = vectors.unpack(set:get(17))`
function Set:get(id)
  scopes.check_self(self, Set, "set:get()")
  local packed, tags = self.rows:get(key_of(id, "set:get"))
  if not packed then return nil end
  return packed, decode_tags(tags)
end

local function asked(self, vector, k, options, what)
  scopes.check_self(self, Set, what)
  M.check_count(k, what)
  if not options then return vector, k, nil, "" end
  errors.options(options, SEARCH, what)
  local only
  if options.only then
    errors.list(what .. ": only", options.only)
    only = {}
    for i, id in ipairs(options.only) do only[i] = key_of(id, what) end
  end
  check_min(options.min, what)
  return vector, k, options.min, encode_filter(options.filter, what), only
end

local function hits(found, err)
  if not found then error(err, 0) end
  local out = {}
  for i = 1, #found, 3 do
    out[#out + 1] = { id = id_of(found[i]), score = found[i + 1], tags = decode_tags(found[i + 2]) }
  end
  return out
end

--- The rows nearest to a vector, the best first.
---@param vector number[]|string
---@param k integer how many at most
---@param options? { filter?: table, only?: (string|integer)[], min?: number } filter: { field = value }, or a list of values of
---  which one is enough; only: look at these ids alone; min: leave out lower scores
---@return core.vectors.hit[]
---Raises `argument`, `os` (memory).
---
--- Example: `local hits = set:search(query, 5, { filter = { list = { "home", "work" } }, min = 0.7 })`
function Set:search(vector, k, options)
  return hits(self.rows:search(asked(self, vector, k, options, "set:search()")))
end

--- The same, where the caller may wait: a set of 10,000 rows or more is searched on another thread, as it is now.
---@param vector number[]|string
---@param k integer
---@param options? { filter?: table, only?: (string|integer)[], min?: number }
---@return core.vectors.hit[]
---Raises as search, and `cancelled`.
---
--- Example: `local hits = set:find(query, 5)`
function Set:find(vector, k, options)
  local rows = self.rows
  return hits((rows:count() < M.LARGE and rows.search or rows.find)(rows, asked(self, vector, k, options, "set:find()")))
end

--- How many rows from f32 the last look had to score; for tests and figures.
---@return integer
function Set:scored(vector, k, options)
  return (select(2, self.rows:search(asked(self, vector, k, options, "set:scored()"))))
end

---@return integer rows
function Set:count() return self.rows:count() end

---@return integer bytes of memory
function Set:bytes() return self.rows:bytes() end

--- Delete all rows.
function Set:clear() self.rows:clear() end

--- The ids, in no order of meaning. Nothing is added meanwhile.
---@return fun(): string|integer|nil
---
--- Example: `for id in set:ids() do print(id) end`
function Set:ids()
  local rows, at = self.rows, 0
  return function()
    local key
    at, key = rows:next(at or 0)
    return key and id_of(key)
  end
end

return M
