--- Values as a journal keeps them: plain data, copied when they are kept and again when they are given, so that neither the script
--- nor the journal sees what the other does to its copy.

local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"

local M = {}

local ARRAY, OBJECT = getmetatable(json.array {}), getmetatable(json.object {})
local ORDER = getmetatable(json.object({}, { "" }))[1]
local GROWING, SHARED <const> = getmetatable(json.growing {})[1], "shared"
local getmetatable, setmetatable, type, next, rawget, move = getmetatable, setmetatable, type, next, rawget, table.move
local null = json.null

local DEPTH = 200 -- of tables in tables; a cycle ends here

--- What of a metatable is data: that a table is an array, an object, or has its keys in an order.
local function mark_of(meta)
  if meta == ARRAY or meta == OBJECT then return meta end
  if type(meta) == "table" and rawget(meta, 1) == ORDER then return meta end
end

--- Is this the metatable of plain data?
---@param meta any
---@return boolean
function M.marked(meta) return mark_of(meta) ~= nil end

local SCALAR = { ["nil"] = true, boolean = true, number = true, string = true }

local copy

--- An error keeps what is plain of it; what else it carries (the work of a run, a response) is the script's own.
local function copy_error(err, depth)
  local out = {}
  for name, value in next, err do
    if SCALAR[type(value)] then
      out[name] = value
    else
      local kept, odd = copy(value, depth + 1)
      if not odd then out[name] = kept end
    end
  end
  return setmetatable(out, getmetatable(err))
end

--- Second: there is something in it that is not plain.
local function copy_table(t, depth, loose)
  local meta = getmetatable(t)
  local mark = meta and mark_of(meta)
  if meta and not mark then
    if errors.is(t) then return copy_error(t, depth) end
    if loose == SHARED and type(meta) == "table" and rawget(meta, 1) == GROWING then return move(t, 1, #t, 1, {}) end
    if not loose and (type(meta) ~= "table" or not rawget(meta, 1)) then return nil, true end
  end
  local out = {}
  for key, value in next, t do
    if not SCALAR[type(key)] then return nil, true end
    if SCALAR[type(value)] then
      out[key] = value
    else
      local kept, odd = copy(value, depth + 1, loose)
      if odd then return nil, true end
      out[key] = kept
    end
  end
  return mark and setmetatable(out, mark) or out
end

function copy(value, depth, loose)
  local kind = type(value)
  if SCALAR[kind] or value == null then return value end
  if kind ~= "table" or depth > DEPTH then return nil, true end
  return copy_table(value, depth, loose)
end

--- What in a value that could not be copied is not plain, in words.
local function odd_in(value, depth, path, loose)
  local kind, it = type(value), path == "" and "it" or path
  if SCALAR[kind] or value == null or errors.is(value) then return nil end
  if kind ~= "table" then return ("%s is a %s"):format(it, kind) end
  if depth > DEPTH then return ("%s is nested too deep, or contains itself"):format(it:sub(1, 60)) end
  local meta = getmetatable(value)
  if meta and not loose and not mark_of(meta) and (type(meta) ~= "table" or not rawget(meta, 1)) then
    return ("%s is an object of a class"):format(it)
  end
  for key, inner in next, value do
    local of = type(key)
    if not SCALAR[of] then return ("%s has a key that is a %s"):format(it, of) end
    local name = of == "string" and key or ("[%s]"):format(tostring(key))
    local odd = odd_in(inner, depth + 1, path == "" and name or path .. (of == "string" and "." or "") .. name, loose)
    if odd then return odd end
  end
end

--- A copy of plain data.
---@param value any
---@param loose? boolean|"shared" objects of classes are taken for the tables they are; "shared": and of lists whose items do not
---  change (json.growing) the items are not copied
---@return any copy
---@return string|nil odd what in it is not plain, in words: "answer.run is a function"
function M.copy(value, loose)
  local kept, odd = copy(value, 0, loose)
  if odd then return nil, odd_in(value, 0, "", loose) end
  return kept
end

--- A copy of a row as it is now: what of it still grows is copied, too.
---@param row stoke.journal.row
---@return stoke.journal.row
function M.held(row)
  local outcome = row.outcome
  local own = { number = row.number, key = row.key, name = row.name, class = row.class, digest = row.digest,
    request = row.request, where = row.where, inside = row.inside, outcome = outcome, seen = row.seen, inline = row.inline,
    time = row.time, at = row.at, intent = row.intent, given = nil }
  if not outcome or not outcome.items then return own end
  own.outcome = {}
  for name, value in next, outcome do own.outcome[name] = value end
  for _, list in ipairs { "items", "came" } do
    local grows = outcome[list]
    own.outcome[list] = grows and move(grows, 1, #grows, 1, {})
  end
  for at, item in ipairs(outcome.items) do -- those that are asked for are still to be filled
    local filled = {}
    for name, value in next, item do filled[name] = value end
    own.outcome.items[at] = filled
  end
  return own
end

-- ---- digests ------------------------------------------------------------------------------------------------------------------

--- The same with what JSON cannot say in other words: bytes, numbers that are none, keys that are no strings.
local function sayable(value)
  local kind = type(value)
  if kind == "string" then return utf8.len(value) and value or { bytes = hash.sha256(value) } end
  if kind == "number" then
    return (value ~= value or value == math.huge or value == -math.huge) and { number = tostring(value) } or value
  end
  if kind ~= "table" then return value end
  if json.is_array(value) then
    local out = {}
    for i = 1, #value do out[i] = sayable(value[i]) end
    return json.array(out)
  end
  local out = {}
  for key, inner in next, value do
    out[type(key) == "string" and (utf8.len(key) and key or hash.sha256(key)) or ("%s %s"):format(type(key), tostring(key))] =
      sayable(inner)
  end
  return json.object(out)
end

--- The digest of plain data, whatever order its keys are in.
---@param value any
---@return string hex
function M.digest(value)
  if value == nil then return "nil" end
  local digest = json.digest(value)
  return digest or (json.digest(sayable(value)))
end

return M
