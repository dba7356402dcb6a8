--- Schemas for structured output and for tool parameters: written in a compact notation, sent as JSON Schema, validated on return.
---
---     local Invoice = stoke.schema { vendor = "string", total = "number >= 0", due = "date?",
---                                    lines = { { item = "string", qty = "integer >= 1" } } }
---
--- **The notation.** A table of fields is an object; a table with one element is an array of it; a string is a type:
---
---     string integer number boolean null any      date datetime time email url uuid ipv4 ipv6 hostname      object array
---     "string 1..80"  "integer >= 1"  "number 0..1"  "< 5"    limits: of the value, of the characters, of the items
---     "string[]"  "integer[] 1..5"                 a list, and how many items; a limit before [] is one of the items
---     "low|high"  "1|2|3"  '"date"|"place"'        one of these words, numbers, or words that are names of types
---     "string|null"  "low|high|null"  "(a|b)[]"    one of these types; a word or null; a list of words
---     "date?"  "integer? >= 1"  ["lines?"] = {..}  the field may be absent, or null
---     "string: city name"                          what stands after the first colon describes the field
---
--- **A plain JSON Schema** is taken as well, also as a field. A table is one when a key begins with `$`, when it has
--- type = "object" with `properties` that are schemas or type = "array" with `items`, or when its keywords have values that no
--- field has (`minLength = 3`, `description = "The city"`, `enum = { "a", "b" }`). Keywords of others beside them
--- (`strict = true`, `nullable = true`, `["x-order"] = { ... }`) change nothing. `{ type = "string", name = "string" }` is an
--- object with two fields. What could be both, as `{ type = "string" }`, is refused: `schema.json` and `schema.fields` say which
--- is meant.
---
--- **What is checked** (draft-07, and what tools use of 2019-09 and 2020-12):
---
---     any value    type (also a list), enum, const, allOf, anyOf, oneOf, not, if, then, else, $ref into the schema itself
---     objects      properties, required, additionalProperties, propertyNames, minProperties, maxProperties, dependentRequired,
---                  dependentSchemas, dependencies
---     arrays       items, prefixItems, additionalItems, minItems, maxItems, uniqueItems, contains, minContains, maxContains
---     strings      minLength, maxLength (code points), format: date, date-time, time, email, uri, uuid, ipv4, ipv6, hostname
---     numbers      minimum, maximum, exclusiveMinimum, exclusiveMaximum (also true, as in draft 4), multipleOf
---     not checked  pattern, patternProperties (nor additionalProperties beside it), unevaluated*, content*, $dynamicRef, other
---                  formats, unknown keywords: passed on, and listed in `unchecked`
---
--- **What comes back** of a check is the value itself, or a copy where something had to change: 3.0 is 3 where an integer is
--- wanted; fields the schema does not name are left out (unless `additionalProperties` says true, or the options say strict);
--- null in an optional field that takes no null is left out. Nothing else is converted: "3" is no integer; `coerce` reads it.

local compile = require "stoke.schema.compile"
local coerce = require "stoke.reading.coerce"
local describe = require "stoke.schema.describe"
local errors = require "core.errors"
local fields = require "stoke.schema.fields"
local grammar = require "stoke.schema.grammar"
local json = require "core.json"
local keywords = require "stoke.schema.keywords"
local problems = require "stoke.schema.problems"

local M = {}

---@class stoke.schema.problem
---@field path string where: `lines[2].qty`, counted from 1; "" for the whole
---@field expected string
---@field found string
---@field message string path, expected and found in one line

---@class stoke.Schema
---@field name? string
---@field unchecked string[] keywords of JSON Schema that are passed on but not checked, sorted; `format=regex` for a format
local Schema = {}
Schema.__index, Schema.__name = Schema, "stoke.schema"

---@class stoke.schema.options
---@field name? string what it is called; the title in the JSON Schema
---@field description? string
---@field order? string[] fields in the order they are asked for, others sorted after them; a model writes them in this order
---@field check? (fun(value: any): boolean?, string?, string?)|(fun(value: any): boolean?, string?, string?)[] asked when the
---  shape is right: true, or false with a message and the path it is about; an error it raises is a problem, too. It should only
---  look: `coerce` asks it about each reading that it tries
---@field strict? boolean a field that the schema does not name is a problem

local OPTIONS = { name = "string", description = "string", order = "table", check = true, strict = "boolean" }

--- Is this a schema made by this module?
---@param value any
---@return boolean
---
--- Example: `if not schema.is(params) then params = schema(params) end`
function M.is(value) return type(value) == "table" and getmetatable(value) == Schema end

local function functions(check)
  local list = errors.callable(check) and { check } or check
  if type(list) ~= "table" then
    errors.argument("schema: check must be a function or a list of them, got %s", errors.describe(check))
  end
  for i, f in ipairs(list) do
    if not errors.callable(f) then errors.argument("schema: check %d is no function but %s", i, errors.describe(f)) end
  end
  return table.move(list, 1, #list, 1, {})
end

local function make(what, definition, form, options)
  if M.is(definition) and options == nil then return definition end
  options = errors.options(options, OPTIONS, "schema")
  local name = options.name or M.is(definition) and definition.name or nil
  local data, checks = fields.read(what, definition, form, options, M.is)
  if options.check ~= nil then
    if type(data) ~= "table" then errors.argument "schema: a schema that is true or false takes no check" end
    local before, own = checks[data] or {}, functions(options.check)
    checks[data] = table.move(own, 1, #own, #before + 1, table.move(before, 1, #before, 1, {}))
  end
  local ctx = compile.new(data, checks, what)
  return setmetatable({ name = name, unchecked = keywords.unchecked(data), _data = data, _checks = checks, _ctx = ctx }, Schema)
end

--- A schema from a plain JSON Schema, whatever it looks like.
---@param definition table|boolean
---@param options? stoke.schema.options
---@return stoke.Schema
---Raises `argument` naming the place of a mistake, and for a $ref that leads out of the schema.
---
--- Example: `local s = schema.json { type = "string" }`
function M.json(definition, options) return make("schema", definition, "json", options) end

--- A schema of an object with these fields, whatever they are called.
---@param definition table<string, any>
---@param options? stoke.schema.options
---@return stoke.Schema
---Raises `argument` naming the field of a mistake.
---
--- Example: `local s = schema.fields { type = "string" }  -- an object with the field "type"`
function M.fields(definition, options) return make("schema", definition, "fields", options) end

--- The JSON Schema of an object that has all of these properties, in this order, and no others: what a grammar binds most closely.
---@param properties table<string, table> JSON Schemas
---@param order string[]
---@return table definition plain data, for schema.json, or inside of another one
---
--- Example: `local s = schema.json(schema.exact({ why = { type = "string" }, good = { type = "boolean" } }, { "why", "good" }))`
function M.exact(properties, order)
  return json.object({ type = "object", properties = json.object(properties, order), required = json.array(order),
    additionalProperties = false })
end

--- The JSON Schema as plain data. Always returns the same table; do not modify it. Fields are in the order of the options or
--- sorted; the same definition gives the same bytes.
---@return table
---
--- Example: `ollama.chat { model = m, messages = list, format = Invoice:json_schema() }`
function Schema:json_schema() return self._data end

--- The JSON Schema for the `format` of a request, restricted to what model servers can enforce with a grammar: keywords that
--- they refuse, enforce wrongly or fail at are left out or rewritten (see stdlib/schema/grammar.lua); check() still validates
--- all of them.
---@return table
---
--- Example: `ollama.chat { model = m, messages = list, format = Invoice:format() }`
function Schema:format()
  local known = rawget(self, "_format")
  if not known then
    known = grammar.lowered(self._data)
    self._format = known
  end
  return known
end

--- Check a value.
---@param value any as json.decode gives it; it is not changed
---@return any value the same, or a copy of what had to change (see above)
---@return any err a stoke.error of kind `invalid_output`, when the value is nil; `problems` lists all, `path` is that of the first
---
--- Example: `local invoice, err = Invoice:try(json.decode(text))`
function Schema:try(value)
  local checked, found = self._ctx.check(value)
  if found then return nil, problems.error(found) end
  return checked
end

--- Check a value, or raise what is wrong with it.
---@param value any as json.decode gives it; it is not changed
---@return any value the same, or a copy of what had to change (see above)
---Raises `invalid_output`: `lines[2].qty: expected integer >= 1, got "two"`, with `problems` and `path`.
---
--- Example: `local invoice = Invoice:check(json.decode(text))`
function Schema:check(value)
  local checked, found = self._ctx.check(value)
  if found then error(problems.error(found), 0) end
  return checked
end

--- Convert a value to what was clearly meant: numbers and booleans in strings, numbers for strings, one item for an
--- array of it and the other way round, words of an enum without their case, spaces and accents, other spellings of a field's
--- name, trimmed strings, dates with slashes, JSON in a string, a value in an object of its own, "" or "none" for a field that
--- may be absent. Everything else is unchanged, so check the result.
---@param value any it is not changed
---@return any value a copy where something changed
---@return string[] repairs descriptions of the changes: `qty: "2" read as 2`
---
--- Example: `local value, repairs = Invoice:coerce(given)`
function Schema:coerce(value) return coerce.coerce(self._ctx, self._data, value) end

--- A short description of the shape for a prompt, one line per field: Ollama does not show `format` to the model.
---@return string
---
--- Example: `instructions = "Answer in this JSON:\n" .. Invoice:describe()`
function Schema:describe() return describe.describe(self._data, self._ctx.resolve) end

Schema.__tostring = Schema.describe

--- A schema from the compact notation, a plain JSON Schema, or another schema (returned unchanged without options).
---@param definition string|table
---@param options? stoke.schema.options
---@return stoke.Schema
---Raises `argument` naming the field of a mistake: `schema: lines[].qty: unknown type "integr" (did you mean integer?)`.
---
--- Example: `local Verdict = schema({ reasoning = "string", verdict = "yes|no" }, { order = { "reasoning", "verdict" } })`
local function define(definition, options) return make("schema", definition, nil, options) end

return setmetatable(M, { __call = function(_, ...) return define(...) end })
