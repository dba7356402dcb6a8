--- JSON the way Go's encoding/json reads and writes it: the server being imitated is a Go program,
--- and clients see its error texts, its key order and its escapes. The general codec is stoke.json;
--- this one is for what answers as that server.
---
--- Values are those of the library's own codec: null, marked arrays, objects that know the order of
--- their keys. A text that is strict JSON is read by that codec, in C; what it refuses is read again
--- here, for Go's words, and for what Go takes all the same.

local engine = require "core.json"
local valid = require "core.text".valid

local M = {}

local byte, sub, find, format, char = string.byte, string.sub, string.find, string.format, string.char

--- JSON null, as a value.
M.null = engine.null

--- Marks a table as an array (an empty one would be written as an object otherwise).
---@param t table?
---@return table
M.array = engine.array

---@param v any
---@return boolean
M.is_array = engine.is_array

local is_array = engine.is_array

---@param v any
---@return boolean
function M.is_object(v) return type(v) == "table" and not is_array(v) end

-- What the metatable of an object begins with that knows the order of its keys; the keys follow.
local ORDER = getmetatable(engine.object({}, { "a" }))[1]

--- A table with an order of keys: object{ {"a", 1}, {"b", 2} }. Entries whose value is nil are left
--- out.
---@param list table
---@return table
function M.object(list)
  local t, order, n = {}, { ORDER }, 1
  for i = 1, #list do
    local k, v = list[i][1], list[i][2]
    if v ~= nil then
      if t[k] == nil then
        n = n + 1
        order[n] = k
      end
      t[k] = v
    end
  end
  return setmetatable(t, order)
end

--- The keys of an object in the order they were written, or sorted where no order is known.
---@param t table
---@return string[]
function M.keys(t)
  local mt = getmetatable(t)
  if mt and mt[1] == ORDER then return table.move(mt, 2, #mt, 1, {}) end
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

--- The Go name of a value's JSON type, as it stands in "cannot unmarshal X into ...".
---@param v any
---@return string
function M.kind(v)
  local t = type(v)
  if t == "boolean" then return "bool" end
  if t == "table" then return is_array(v) and "array" or "object" end
  if v == M.null then return "null" end
  return t
end

-- Decoding ----------------------------------------------------------------------------------------

local function fail(text) error({ go = text }, 0) end

local function bad(s, i, context)
  local c = byte(s, i)
  if not c then return fail "unexpected EOF" end
  local shown
  if c == 39 then shown = [['\'']]
  elseif c == 34 then shown = [['"']]
  elseif c == 92 then shown = [['\\']]
  elseif c == 10 then shown = [['\n']]
  elseif c == 13 then shown = [['\r']]
  elseif c == 9 then shown = [['\t']]
  elseif c < 32 or c == 127 then shown = format([['\x%02x']], c)
  elseif c >= 128 and c < 161 then shown = format([['\u%04x']], c)
  else shown = "'" .. utf8.char(c) .. "'" end
  fail("invalid character " .. shown .. " " .. context)
end

local ESCAPES = { [34] = '"', [92] = "\\", [47] = "/", [98] = "\b", [102] = "\f", [110] = "\n", [114] = "\r",
  [116] = "\t" }

local function hex4(s, i)
  for k = i, i + 3 do
    if not find(s, "^%x", k) then bad(s, k, [[in \u hexadecimal character escape]]) end
  end
  return tonumber(sub(s, i, i + 3), 16)
end

local function unicode(s, i) -- i is the first hex digit; returns the character and the index after it
  local u = hex4(s, i)
  i = i + 4
  if u >= 0xD800 and u < 0xDC00 and sub(s, i, i + 1) == "\\u" then
    local low = hex4(s, i + 2)
    if low >= 0xDC00 and low < 0xE000 then
      return utf8.char(0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00)), i + 6
    end
  end
  if u >= 0xD800 and u < 0xE000 then u = 0xFFFD end
  return utf8.char(u), i
end

local function read_string(s, i) -- i is the opening quote
  local e = find(s, '[%c"\\]', i + 1)
  while e and byte(s, e) == 127 do e = find(s, '[%c"\\]', e + 1) end
  if e and byte(s, e) == 34 then return valid(sub(s, i + 1, e - 1)), e + 1 end
  local out, from = {}, i + 1
  while true do
    if not e then fail "unexpected EOF" end
    local c = byte(s, e)
    if c ~= 127 then out[#out + 1] = sub(s, from, e - 1) end
    if c == 34 then return valid(table.concat(out)), e + 1 end
    if c == 92 then
      local n = byte(s, e + 1)
      if n == 117 then
        out[#out + 1], from = unicode(s, e + 2)
      elseif ESCAPES[n] then
        out[#out + 1], from = ESCAPES[n], e + 2
      else
        bad(s, e + 1, "in string escape code")
      end
      e = from - 1
    elseif c ~= 127 then
      bad(s, e, "in string literal")
    end
    e = find(s, '[%c"\\]', e + 1)
  end
end

local function read_number(s, i)
  local at = i
  if byte(s, at) == 45 then at = at + 1 end
  if not find(s, "^%d", at) then bad(s, at, "in numeric literal") end
  at = byte(s, at) == 48 and at + 1 or select(2, find(s, "^%d+", at)) + 1
  local float = false
  if byte(s, at) == 46 then
    float = true
    if not find(s, "^%d", at + 1) then bad(s, at + 1, "after decimal point in numeric literal") end
    at = select(2, find(s, "^%d+", at + 1)) + 1
  end
  if find(s, "^[eE]", at) then
    float = true
    at = at + 1
    if find(s, "^[+-]", at) then at = at + 1 end
    if not find(s, "^%d", at) then bad(s, at, "in exponent of numeric literal") end
    at = select(2, find(s, "^%d+", at)) + 1
  end
  local text = sub(s, i, at - 1)
  return not float and math.tointeger(tonumber(text)) or tonumber(text) + 0.0, at
end

local function space(s, i) return find(s, "[^ \t\r\n]", i) or #s + 1 end

-- Go gives up at 10,000; a Lua C-stack limit does not apply, but the brief depth keeps hostile
-- bodies cheap.
local DEPTH <const> = 190

local WORDS = { [116] = { "true", true }, [102] = { "false", false }, [110] = { "null", M.null } }

local read

local function read_array(s, i, depth)
  local list, n = M.array(), 0
  i = space(s, i + 1)
  if byte(s, i) == 93 then return list, i + 1 end
  while true do
    n = n + 1
    list[n], i = read(s, i, depth)
    i = space(s, i)
    local c = byte(s, i)
    if c == 93 then return list, i + 1 end
    if c ~= 44 then bad(s, i, "after array element") end
    i = space(s, i + 1)
  end
end

local function read_object(s, i, depth)
  local t, order = {}, { ORDER }
  i = space(s, i + 1)
  if byte(s, i) == 125 then return setmetatable(t, order), i + 1 end
  while true do
    if byte(s, i) ~= 34 then bad(s, i, "looking for beginning of object key string") end
    local key, value
    key, i = read_string(s, i)
    i = space(s, i)
    if byte(s, i) ~= 58 then bad(s, i, "after object key") end
    value, i = read(s, space(s, i + 1), depth)
    if t[key] == nil then order[#order + 1] = key end
    t[key] = value
    i = space(s, i)
    local c = byte(s, i)
    if c == 125 then return setmetatable(t, order), i + 1 end
    if c ~= 44 then bad(s, i, "after object key:value pair") end
    i = space(s, i + 1)
  end
end

function read(s, i, depth)
  local c = byte(s, i)
  if c == 34 then return read_string(s, i) end
  if c == 123 or c == 91 then
    if depth > DEPTH then fail "exceeded max depth" end
    if c == 123 then return read_object(s, i, depth + 1) end
    return read_array(s, i, depth + 1)
  end
  if c == 45 or (c and c >= 48 and c <= 57) then return read_number(s, i) end
  local word = WORDS[c]
  if not word then bad(s, i, "looking for beginning of value") end
  local text = word[1]
  for k = 2, #text do
    if byte(s, i + k - 1) ~= byte(text, k) then
      bad(s, i + k - 1, format("in literal %s (expecting '%s')", text, sub(text, k, k)))
    end
  end
  return word[2], i + #text
end

local ORDERED = { ordered = true, max_depth = DEPTH }

--- Reads the first JSON value of a text; what follows it is ignored, as Go's stream decoder does.
---@param s string
---@return any value nil on failure
---@return string? err Go's text; "EOF" when there is nothing but white space
function M.decode(s)
  local known, refused = engine.decode(s, ORDERED)
  if not refused then return known end
  local i = space(s, 1)
  if i > #s then return nil, "EOF" end
  local ok, value = pcall(read, s, i, 0)
  if ok then return value end
  if type(value) == "table" and value.go then return nil, value.go end
  error(value, 0)
end

-- Encoding ----------------------------------------------------------------------------------------

local OUT = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
  ["\t"] = "\\t", ["<"] = "\\u003c", [">"] = "\\u003e", ["&"] = "\\u0026" }
for c = 0, 31 do
  local k = char(c)
  OUT[k] = OUT[k] or format("\\u%04x", c)
end

--- Escapes a string for the inside of a JSON string: as Go does, < > & and U+2028/9 included.
---@param s string
---@return string
function M.escape(s)
  if not find(s, '[%z\1-\31"\\<>&\128-\255]') then return s end -- nearly every piece of an answer
  if find(s, '[%z\1-\31"\\<>&]') then s = s:gsub('[%z\1-\31"\\<>&]', OUT) end
  if find(s, "\u{2028}", 1, true) then s = s:gsub("\u{2028}", "\\u2028") end
  if find(s, "\u{2029}", 1, true) then s = s:gsub("\u{2029}", "\\u2029") end
  if not utf8.len(s) then s = valid(s):gsub("\u{FFFD}", "\\ufffd") end
  return s
end

---@param s string
---@return string
function M.quote(s) return '"' .. M.escape(s) .. '"' end

--- A number as Go writes it: shortest digits that read back the same; `bits` 32 for a float32.
---@param x number
---@param bits integer?
---@return string
function M.number(x, bits)
  if math.type(x) == "integer" then return format("%d", x) end
  if x == 0 then return 1 / x < 0 and "-0" or "0" end
  local text
  if bits == 32 then
    local want = string.pack("f", x)
    x = string.unpack("f", want)
    for p = 6, 9 do
      text = format("%." .. p .. "g", x)
      if string.pack("f", tonumber(text)) == want then break end
    end
  else
    for p = 15, 17 do
      text = format("%." .. p .. "g", x)
      if tonumber(text) == x then break end
    end
  end
  local a = math.abs(x)
  if a >= 1e-6 and a < 1e21 then
    if not find(text, "e", 1, true) then return text end
    local digits = #text:match("^-?([%d.]+)e"):gsub("%.", "")
    local exp = tonumber(text:match("e(.+)$"))
    return format("%." .. math.max(0, digits - 1 - exp) .. "f", x)
  end
  if not find(text, "e", 1, true) then text = format("%.16e", x):gsub("%.?0+e", "e") end
  return (text:gsub("e([+-])0+(%d)", "e%1%2"))
end

local encode

local function encode_table(v, out)
  if is_array(v) then
    out[#out + 1] = "["
    for i = 1, #v do
      if i > 1 then out[#out + 1] = "," end
      encode(v[i], out)
    end
    out[#out + 1] = "]"
    return
  end
  out[#out + 1] = "{"
  local keys = M.keys(v)
  for i = 1, #keys do
    if i > 1 then out[#out + 1] = "," end
    out[#out + 1] = M.quote(tostring(keys[i])) .. ":"
    encode(v[keys[i]], out)
  end
  out[#out + 1] = "}"
end

function encode(v, out)
  local t = type(v)
  if t == "string" then out[#out + 1] = M.quote(v)
  elseif t == "number" then out[#out + 1] = M.number(v)
  elseif t == "boolean" then out[#out + 1] = tostring(v)
  elseif v == nil or v == M.null then out[#out + 1] = "null"
  else encode_table(v, out) end
end

--- Writes a value: objects in their kept order (else sorted), no white space.
---@param v any
---@return string
function M.encode(v)
  local out = {}
  encode(v, out)
  return table.concat(out)
end

return M
