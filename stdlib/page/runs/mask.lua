--- What a journal and a trace keep of a run, without its secrets: as a page shows it. A run goes on from what a model has said and
--- a server has answered, so both are kept as they were; a person who looks at them needs no password.
---
--- What is secret by its name is masked in tables, in texts that are JSON or a form, and in URLs; the same value then wherever
--- else it stands in what is shown together. No process need know the secret: a store of another host is read the same way. All is
--- masked value by value, so that JSON stays JSON.

local json = require "core.json"
local redact = require "core.redact"

local M = {}

---@class stoke.page.mask
---@field redactor core.redactor
local Mask = {}
Mask.__index = Mask

--- A mask for what is shown together.
---@return stoke.page.mask
---
--- Example: `local row = mask.new():row(row)`
function M.new() return setmetatable({ redactor = redact.new(true) }, Mask) end

--- Each table of a value, then each text of it, through functions, in place; a text as the result. What a text of JSON holds is
--- gone through as well, and written anew where it is another one then.
local function each(value, of_table, of_text)
  if type(value) == "string" then
    local inner = value:find "^%s*[{%[]" and json.decode(value)
    if type(inner) ~= "table" then return of_text(value) end
    local before = json.encode(inner)
    local after = json.encode(each(inner, of_table, of_text))
    return after ~= before and after or value
  end
  if type(value) ~= "table" then return value end
  of_table(value)
  for key, inner in next, value do
    if type(inner) == "string" or type(inner) == "table" then value[key] = each(inner, of_table, of_text) end
  end
  return value
end

--- A text that is a URL, a form, or JSON that was cut: their fields have names as well.
local function by_form(redactor, text)
  if text:find "^%s*[{%[]" then return redactor:prose(text) end
  if text:find "^%a[%w+.-]*://%S*$" then return redactor:url(text) end
  if text:find "^[%w_%[%]%%.-]+=%S*$" then return (redactor:url("?" .. text):sub(2)) end
  return text
end

local function nothing() end

--- Values without their secrets, all of which are found before the first is looked for elsewhere. Changed in place.
local function mask_all(redactor, list, count)
  local function named(fields) redactor:hide(fields) end
  for i = 1, count do list[i] = each(list[i], named, function(text) return by_form(redactor, text) end) end
  for i = 1, count do list[i] = each(list[i], nothing, function(text) return redactor:text(text) end) end
  return list
end

--- A value without its secrets. Changed in place.
---@param value any
---@return any
---
--- Example: `local shown = mask:value(found.input)`
function Mask:value(value) return mask_all(self.redactor, { value }, 1)[1] end

--- Words without what was found so far, and what looks like a secret.
---@param text? string
---@return string|nil
---
--- Example: `local waits = mask:words(run.waits)`
function Mask:words(text) return text and self.redactor:prose(text) end

--- An error in words without them. Changed in place.
---@param err? table { message?: string, hint?: string }
---@return table|nil err
---
--- Example: `mask:error(run.error)`
function Mask:error(err)
  for _, field in ipairs { "message", "hint" } do
    local text = err and rawget(err, field)
    if type(text) == "string" then rawset(err, field, self.redactor:prose(text)) end
  end
  return err
end

--- Records of a run without them: requests, outcomes, pieces of streams, errors. Changed in place.
---@param rows stoke.journal.row[]
---@return stoke.journal.row[] rows
---
--- Example: `mask:rows(history.records(store, run.number, 1, 200))`
function Mask:rows(rows)
  local places, values, count = {}, {}, 0
  local function add(holder, name)
    if holder[name] == nil then return end
    count = count + 1
    places[count], values[count] = { holder, name }, holder[name]
  end
  for _, row in ipairs(rows) do
    add(row, "request")
    if row.outcome then add(row.outcome, "value") end
    for _, item in ipairs(row.outcome and row.outcome.items or {}) do add(item, "value") end
  end
  mask_all(self.redactor, values, count)
  for i, place in ipairs(places) do place[1][place[2]] = values[i] end
  for _, row in ipairs(rows) do
    self:error(row.outcome and row.outcome.err)
    for _, item in ipairs(row.outcome and row.outcome.items or {}) do self:error(item.err) end
  end
  return rows
end

return M
