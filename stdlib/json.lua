--- JSON, strict RFC 8259. Encoding is deterministic: equal values give equal bytes in every run.
---
--- Numbers: an integer that fits 64 bits is an integer, every other number a float; a float is written so that it
--- reads back as the same float, with a point or an exponent (`1.0`, `0.1`, `1e+300`); `exact` keeps larger integers whole. null is
--- `json.null`; it and arrays pass between here and `require "cjson"` (an empty array loses its mark there). Arrays that were
--- decoded stay arrays, also when they are emptied, and `{}` stays an object; a table you make is an array when its keys are
--- 1 to n, an object when they are strings, and `{}` when it is empty: say `json.array()` for `[]`. Keys are written sorted by
--- their bytes, or in the order the table declares. No metamethod runs: what a table holds itself is what counts.

local engine = require "core.json"
local errors = require "core.errors"
local partial = require "stoke.reading.partial"
local repair = require "stoke.reading.repair"

local M = {}

--- JSON's null, which unlike nil can stand in a table. The same value as `cjson.null`.
M.null = engine.null

local DECODE = { ordered = "boolean", exact = "boolean", max_depth = "number", max_size = "number" }
local ENCODE = { pretty = "boolean", max_depth = "number", max_size = "number" }

--- Read one JSON text.
---@param text string UTF-8, with nothing but white space round the value
---@param options? { ordered?: boolean, exact?: boolean, max_depth?: integer, max_size?: integer }
---  ordered: every object remembers the order of its keys, and `encode` keeps it (a key that comes twice has its first
---  place and its last value; keys added later follow, sorted). The order hangs on the table's metatable: give a copy
---  `setmetatable(copy, getmetatable(original))` to keep it.
---  exact: an integer that is too large for 64 bits and that a float would round, and a number beyond every float, come as a
---  string of their digits: ids of 20 digits stay what they are.
---  max_depth: tables in tables, at most and unless given 1000. max_size: bytes, 64 MiB unless given.
---@return any value
---Raises `protocol` for text that is no JSON, with `err.offset`, the byte it fails at, counted from 1; `argument`.
---
--- Example: `local reply = json.decode '{"ok": true, "items": []}'`
function M.decode(text, options)
  if options ~= nil then errors.options(options, DECODE, "json.decode") end
  local value, err = engine.decode(text, options)
  if err ~= nil then
    err.hint = "strict JSON is wanted: no comments, no trailing commas, UTF-8, one value"
    error(err, 0)
  end
  return value
end

--- Write a value as JSON text.
---@param value any table, string, number, boolean or json.null
---@param options? { pretty?: boolean, max_depth?: integer, max_size?: integer }
---  pretty: line breaks and two spaces a level, for people. max_depth, max_size: as for decode.
---@return string text
---Raises `argument` naming the place of what JSON cannot say: functions, NaN and infinities, strings that are not
---UTF-8, lists with holes, tables with other keys than strings or 1 to n, cycles; `limit` for a text over max_size.
---
--- Example: `print(json.encode({ name = "Oslo", tags = json.array() }, { pretty = true }))`
function M.encode(value, options)
  if options ~= nil then errors.options(options, ENCODE, "json.encode") end
  local text, err = engine.encode(value, options)
  if err ~= nil then error(err, 0) end
  return text
end

---@class stoke.json.piece a value that was encoded once: `#piece` is the length of its text in bytes, `tostring(piece)` the text
---@field value fun(piece: stoke.json.piece): any a fresh copy of the value it was made from

--- Encode a value once, to use it in many texts. (Messages of a model call are tables, not pieces: a session keeps their text by
--- itself.) `encode` takes the text of a piece as it is, and `digest` what is known of it. The value may change afterwards; the
--- piece does not. A piece cannot be made from text, so what it holds is always valid JSON.
---@param value any as for encode; a piece is its own
---@return stoke.json.piece
---Raises what encode raises.
---
--- Example: `local row = json.piece { city = "Oslo", degrees = 4 }  print(#row, json.encode { row, row })`
function M.piece(value)
  local piece, err = engine.piece(value)
  if err ~= nil then error(err, 0) end
  return piece
end

--- The SHA-256 of a value, as hex: that of its JSON text with all keys sorted, where an object or array inside it whose own such
--- text is longer than 128 bytes stands as the byte 1 and its SHA-256. So values that say the same have the same digest in every
--- process, whatever order their keys came or are declared in, as tables or as pieces, and a long history of pieces is not read
--- again. The integer 1 and the float 1.0 are two values.
---@param value any as for encode
---@return string hex 64 digits
---Raises what encode raises.
---
--- Example: `assert(json.digest { a = 1, b = 2 } == json.digest(json.object({ a = 1, b = 2 }, { "b", "a" })))`
function M.digest(value)
  local hex, err = engine.digest(value)
  if err ~= nil then error(err, 0) end
  return hex
end

--- Mark a table as an array: it is written as `[]` even when it is empty.
---@generic T : table
---@param list? T a new table when left out
---@return T list the same table; its metatable is now the mark
---Raises `argument` when it is no table or has a metatable of its own.
---
--- Example: `json.encode { stop = json.array() }  --> {"stop":[]}`
function M.array(list) return engine.array(list) end

--- Mark a table as an object, and say in which order its keys are written.
---@generic T : table
---@param object? T a new table when left out
---@param order? string[] keys that come first, in this order, where the table has them; the others follow, sorted
---@return T object the same table; its metatable is now the mark
---Raises `argument` when it is no table or has a metatable of its own, or the order is no list of different strings.
---
--- Example: `json.encode(json.object({ a = 1, b = 2 }, { "b" }))  --> {"b":2,"a":1}`
function M.object(object, order) return engine.object(object, order) end

--- Is this value an array: a table marked as one, or one with a first item and no mark?
---@param value any
---@return boolean
---
--- Example: `json.is_array(json.decode "[]")  --> true`
function M.is_array(value) return engine.is_array(value) end

--- Read the JSON in a text that a language model wrote, mending what is wrong with it: prose, thinking and code fences round
--- it, wrong quotes, commas and brackets, comments, Python's literals, a cut end.
---@param text string
---@param options? { all?: boolean, want?: "object"|"array", max_depth?: integer, max_size?: integer }
---  all: a list of every object and array in the text (JSON lines), not one. want: of several, prefer one of this kind; else
---  one in a code fence is taken, else the longest. max_depth: 256, max_size: 8 MiB, unless given.
---@return any value objects remember the order of their keys, as with `ordered`, and large numbers are kept, as with `exact`; nil
---  when there is no JSON in the text
---@return string[]|stoke.error repairs descriptions of the repairs, each kind once with its count; empty for strict JSON. Without
---  a value an error of kind `invalid_output`, with `offset`.
---Raises `argument`.
---
--- Example: `local value, repairs = json.repair "Sure! {'city': 'Oslo', 'tags': ['cold',]}"`
function M.repair(text, options) return repair.repair(text, options) end

--- What a JSON text says so far, while it still streams in: closed where it ends now. A string is there as far as it came; a key,
--- a literal or a number that may not be whole is left out. What was there as a whole once stays as it is while the text
--- grows. Text before the object or array (thinking, a sentence, a code fence) is passed over; from the first byte on that is no
--- JSON, nothing is added.
---@param text string from its beginning
---@return any value nil while there is no value yet
---Raises `argument`.
---
--- Example: `json.partial '{"title": "Fjo'  --> { title = "Fjo" }`
function M.partial(text) return partial.partial(text) end

return M
