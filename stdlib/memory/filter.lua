--- Which memories a question is about, as conditions of SQL, and how it weighs them.

local combine = require "core.combine"
local errors = require "core.errors"
local json = require "core.json"
local time = require "stoke.time"

local M = {}

local PARTS = { relevance = true, recency = true, importance = true }

--- The weights of the three parts of a score; 1 where nothing is said.
---@param what string
---@param given table|nil
---@param default? table
---@return { relevance: number, recency: number, importance: number }
---Raises `argument`.
function M.weights(what, given, default)
  for name, value in next, given or {} do
    if not PARTS[name] then
      errors.argument("%s: there is no weight %s; they are relevance, recency and importance", what, tostring(name))
    end
    if type(value) ~= "number" or value ~= value or value < 0 or value == math.huge then
      errors.argument("%s: the weight %s must be a number of at least 0, got %s", what, name, errors.describe(value))
    end
  end
  local out = {}
  for name in next, PARTS do out[name] = given and given[name] or default and default[name] or 1 end
  return out
end

--- Fields beside a memory.
---@param what string
---@param tags table|nil
---Raises `argument`.
function M.check_tags(what, tags)
  for name, value in next, tags or {} do
    local kind = type(value)
    if type(name) ~= "string" or not name:find "^[%w_]+$" then
      errors.argument("%s: the name of a tag is letters, digits and _, got %s", what, errors.describe(name))
    end
    if kind == "string" and not utf8.len(value) or kind == "number" and value ~= value
      or kind ~= "string" and kind ~= "boolean" and kind ~= "number" then
      errors.argument("%s: the tag %s must be a text, a number or a boolean, got %s", what, name, errors.describe(value))
    end
  end
end

local function words(what, value)
  local list = type(value) == "table" and value or { value }
  errors.list(what, list)
  for _, word in ipairs(list) do
    if type(word) ~= "string" then errors.argument("%s must be a text or a list of texts, got %s", what, errors.describe(value)) end
  end
  return errors.check(json.encode(json.array(table.move(list, 1, #list, 1, {}))))
end

local LISTED = "%s IN (SELECT value FROM json_each(:%s))"

--- Conditions of SQL for a choice of memories.
---@param what string
---@param o { kind?: string|string[], origin?: string|string[], tags?: table, since?: number, before?: number, match?: string }
---@return string where "" for all; begins with AND otherwise
---@return table<string, any> params
---Raises `argument`.
function M.conditions(what, o)
  local parts, params = {}, {}
  local function add(sql, name, value) parts[#parts + 1], params[name] = sql, value end
  for _, name in ipairs { "kind", "origin" } do
    if o[name] ~= nil then add(LISTED:format(name, name), name, words(what .. ": " .. name, o[name])) end
  end
  if o.since then add("created >= :since", "since", o.since + 0.0) end
  if o.before then add("created < :before", "before", o.before + 0.0) end
  if o.match then add("id IN (SELECT rowid FROM NAME_words WHERE NAME_words MATCH :match)", "match", o.match) end
  M.check_tags(what, o.tags)
  local names = {}
  for name in next, o.tags or {} do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    params["name" .. i] = name
    add(("id IN (SELECT memory FROM NAME_tag WHERE name = :name%d AND value = :tag%d)"):format(i, i), "tag" .. i, o.tags[name])
  end
  return parts[1] and " AND " .. table.concat(parts, " AND ") or "", params
end

local HINT <const> = [[words with AND, OR, NOT, near* or "a phrase"; a word with other signs in it stands in quotes, as "e-mail"]]

--- `match` is an expression of FTS5, and may be a wrong one.
local function check_match(self, what, match)
  if not match then return end
  local sql = ("SELECT 1 AS n FROM %s_words WHERE %s_words MATCH ? LIMIT 1"):format(self.name, self.name)
  local _, err = combine.try(self.db.one, self.db, sql, match)
  if not err then return end
  if err.kind ~= "db" or err.code ~= "SQLITE_ERROR" or err.message:find(": no such table", 1, true) then error(err, 0) end
  local why = err.message:sub(#self.path + 3):gsub("; in: SELECT 1 AS n .*$", "")
  errors.raise("argument", ("%s: match cannot be read: %s, in %s"):format(what, why, match), { hint = HINT })
end

local function whole(what, name, value, default)
  value = value == nil and default or value
  local n = math.tointeger(value)
  if not n or n < 1 or n > 10000 then
    errors.argument("%s: %s must be a whole number from 1 to 10000, got %s", what, name, tostring(value))
  end
  return n
end

local LIST = { k = "number", kind = true, origin = true, tags = "table", since = "number", before = "number", match = "string" }

--- What memory:list is asked.
---@param self stoke.memory
---@param given table|nil
---@return string where
---@return table params
---@return integer k
---Raises `argument`.
function M.listing(self, given)
  local o = errors.options(given, LIST, "memory:list")
  local where, params = M.conditions("memory:list", o)
  check_match(self, "memory:list", o.match)
  return "true" .. where:gsub("NAME", self.name), params, whole("memory:list", "k", o.k, 20)
end

local SEARCH = { weights = "table", half_life = "number", min = "number", min_relevance = "number", touch = "boolean",
  now = "number" }
for name, kind in next, LIST do SEARCH[name] = kind end

--- What memory:search is asked.
---@param self stoke.memory
---@param query string|nil
---@param given table|nil
---@return { text?: string, k: integer, where: string, params: table, weights: table, half_life: number, min?: number, touch:
---  boolean, now: number }
---Raises `argument`.
function M.question(self, query, given)
  local what = "memory:search"
  local o = errors.options(given, SEARCH, what)
  if query ~= nil and (type(query) ~= "string" or not utf8.len(query)) then
    errors.argument("%s: the question must be a text, got %s", what, errors.describe(query))
  end
  if o.half_life and not (o.half_life > 0 and o.half_life < math.huge) then
    errors.argument("%s: half_life must be seconds above 0, got %s", what, tostring(o.half_life))
  end
  local where, params = M.conditions(what, o)
  check_match(self, what, o.match)
  return { text = query and query:find "%S" and query or nil, k = whole(what, "k", o.k, 5), where = where, params = params,
    weights = M.weights(what, o.weights, self.weights), half_life = o.half_life or self.half_life, min = o.min,
    min_relevance = o.min_relevance, touch = o.touch ~= false, now = o.now and o.now + 0.0 or time.now() }
end

return M
