--- Reads model output that is well-formed, damaged or misplaced. One file for each stage, from the whole answer down to a single
--- value:
---
---   thinking    reasoning in the text, split off
---   calls       tool calls that came as such: ids, arguments in a string
---   salvage     tool calls that came as text, in a server's error or the answer; python: in Python's notation
---   names       the tool that a name stands for
---   arguments   what lies in a wrapping
---   repair      damaged JSON mended: scan finds the values in a text, loose reads them, strings and words what is in them; notes
---               keeps what was changed
---   partial     what JSON says that is not complete yet
---   coerce      a value as the schema meant it; fold makes words alike
---
--- A rung changes only what is plain, and says what it changed: that is counted as repairs.

local engine = require "core.json"
local repair = require "stoke.reading.repair"

local M = {}

local ORDERED = { ordered = true, exact = true }

--- Read a value for a schema: strictly, else repaired, else with each part converted to what was meant.
---@param schema stoke.schema.Schema
---@param text string
---@return any value
---@return stoke.error|nil err of kind `invalid_output`
---@return string[] repairs what was changed
---
--- Example: `local value, err, repairs = reading.value(schema, "{'city': 'Oslo'}")`
function M.value(schema, text)
  local value, broken = engine.decode(text, ORDERED)
  local repairs = {}
  if broken then
    value, repairs = repair.repair(text)
    if value == nil then return nil, repairs, {} end
  end
  local checked, err = schema:try(value)
  if not err then return checked, nil, repairs end
  local coerced, changes = schema:coerce(value)
  if #changes == 0 then return nil, err, repairs end
  checked = schema:try(coerced)
  if checked == nil then return nil, err, repairs end
  table.move(changes, 1, #changes, #repairs + 1, repairs)
  return checked, nil, repairs
end

return M
