--- Values as a journal keeps them: plain data, copied when they are kept and again when they are given, so that neither the script
--- nor the journal sees what the other does to its copy.

local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"

local M = {}

local ARRAY, OBJECT = getmetatable(json.array {}), getmetatable(json.object {})
local ORDER = getmetatable(json.object({}, { "" }))[1]
local getmetatable, setmetatable, type, next, rawget = getmetatable, setmetatable, type, next, rawget

local DEPTH = 200 -- of tables in tables; a cycle ends here

--- What of a metatable is data: that a table is an array, an object, or has its keys in an order.
local function mark_of(meta)
  if meta == ARRAY or meta == OBJECT then return meta end
  if type(meta) == "table" and rawget(meta, 1) == ORDER then return meta end
end

local SCALAR = { ["nil"] = true, boolean = true, number = true, string = true }

local copy

--- An error keeps what is plain of it; what else it carries (the work of a run, a response) is the script's own.
local function copy_error(err, depth)
  local out = {}
  for name, value in next, err do
    if SCALAR[type(value)] then
      out[name] = value
    else
      local kept, odd = copy(value, depth + 1, name)
      if not odd then out[name] = kept end
    end
  end
  return setmetatable(out, getmetatable(err))
end

local function copy_table(t, depth, path, loose)
  local meta = getmetatable(t)
  local mark = meta and mark_of(meta)
  if meta and not mark then
    if errors.is(t) then return copy_error(t, depth) end
    if not loose and not rawget(meta, 1) then return nil, ("%s is an object of a class"):format(path == "" and "it" or path) end
  end
  local out = {}
  for key, value in next, t do
    local kind = type(key)
    if not SCALAR[kind] then return nil, ("%s has a key that is a %s"):format(path == "" and "it" or path, kind) end
    if SCALAR[type(value)] then
      out[key] = value
    else
      local name = kind == "string" and key or ("[%s]"):format(tostring(key))
      local kept, odd = copy(value, depth + 1, path == "" and name or path .. (kind == "string" and "." or "") .. name, loose)
      if odd then return nil, odd end
      out[key] = kept
    end
  end
  return mark and setmetatable(out, mark) or out
end

function copy(value, depth, path, loose)
  local kind = type(value)
  if SCALAR[kind] or value == json.null then return value end
  if kind ~= "table" then return nil, ("%s is a %s"):format(path == "" and "it" or path, kind) end
  if depth > DEPTH then return nil, ("%s is nested too deep, or contains itself"):format(path:sub(1, 60)) end
  return copy_table(value, depth, path, loose)
end

--- A copy of plain data.
---@param value any
---@param loose? boolean objects of classes are taken for the tables they are
---@return any copy
---@return string|nil odd what in it is not plain, in words: "answer.run is a function"
function M.copy(value, loose) return copy(value, 0, "", loose) end

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
