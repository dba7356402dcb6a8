--- Scorers of an evaluation: what an answer is worth, from 0 to 1, and whether it passes.

local compare = require "stoke.test.compare"
local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local schemas = require "stoke.schema"
local show = require "stoke.show"

local M = {}

---@class stoke.eval.scorer
---@field name string
---@field score fun(case: stoke.eval.case, output: any, result: any): stoke.eval.score
---@field judged? string the model that judges

---@class stoke.eval.score
---@field score number from 0 to 1
---@field pass boolean
---@field why? string what is wrong

local function score(pass, why) return { score = pass and 1 or 0, pass = pass, why = not pass and why or nil } end

-- ---- values -------------------------------------------------------------------------------------------------------------------

--- A field of a value: "invoice.total".
local function field_of(value, path)
  for name in path:gmatch "[^.]+" do
    if type(value) ~= "table" then return nil end
    local at = value[name]
    if at == nil then at = value[math.tointeger(tonumber(name)) or name] end
    value = at
  end
  return value
end

local function output_of(o, output)
  if not o.field then return output end
  if type(output) == "string" then output = json.decode(output) end
  return field_of(output, o.field)
end

--- What is expected: as the scorer says, or the case.
local function expected_of(what, o, case)
  local expected = o.expected
  if expected == nil then expected = case.expected end
  if expected == nil then
    errors.raise("argument", ("%s: case %s has nothing that is expected"):format(what, case.id),
      { hint = "give each case `expected`, or the scorer" })
  end
  if o.field and type(expected) == "table" and o.expected == nil then
    local at = field_of(expected, o.field)
    if at == nil then errors.argument("%s: what is expected of case %s has no field %s", what, case.id, o.field) end
    return at
  end
  return expected
end

local function trimmed(text, o)
  text = text:gsub("\r\n", "\n"):match "^%s*(.-)%s*$"
  return o.case == false and text:lower() or text
end

--- Both as the same kind of value: a text of JSON beside a table is read, a number beside a text is written.
local function alike(output, expected, o)
  if type(output) == "table" and type(expected) == "string" then expected = json.decode(expected) end
  if type(output) == "string" and type(expected) == "table" then output = json.decode(output) end
  if type(output) == "string" and type(expected) == "number" then output = tonumber(output) or output end
  if type(expected) == "string" and type(output) ~= "table" then
    output, expected = trimmed(tostring(output), o), trimmed(expected, o)
  end
  return output, expected
end

local function fold(value)
  if type(value) == "string" then return value:lower() end
  if type(value) ~= "table" then return value end
  local out = {}
  for key, inner in next, value do out[key] = fold(inner) end
  return out
end

local EQUAL = { field = "string", expected = true, case = "boolean", name = "string" }

--- The answer is what is expected: a text without the blanks around it, or a table by its content (1 and 1.0 are the same). Beside
--- an answer that is a table, an expected text is read as JSON.
---@param options? { field?: string, expected?: any, case?: boolean, name?: string } field: of both, "invoice.total"; expected: of
---  all cases; case = false: capitals do not count
---@return stoke.eval.scorer
---Raises `argument`.
---
--- Example: `scorers = { stoke.eval.equal { case = false } }`
function M.equal(options)
  local what = "eval.equal"
  local o = errors.options(options, EQUAL, what)
  return { name = o.name or (o.field and "equal " .. o.field) or "equal", score = function(case, output)
    local got, want = alike(output_of(o, output), expected_of(what, o, case), o)
    if o.case == false then got, want = fold(got), fold(want) end
    if compare.partial(got, want) and compare.partial(want, got) then return score(true) end
    return score(false, (compare.difference(got, want) or "differs"):gsub("^value: ", ""):gsub("^value([.%[])", "%1"))
  end }
end

local CONTAINS = { field = "string", all = "table", any = "table", none = "table", case = "boolean", name = "string" }

local function text_of(value) return type(value) == "string" and value or show.line(value) end

local function texts_of(what, list)
  errors.list(what, list)
  for i, text in ipairs(list) do
    if type(text) ~= "string" or text == "" then
      errors.argument("%s[%d] must be a text, got %s", what, i, errors.describe(text))
    end
  end
  return list
end

--- The answer contains texts: what is expected (a text, or a list of texts), or those given here. The score is the share of them.
---@param options? { all?: string[], any?: string[], none?: string[], field?: string, case?: boolean, name?: string } any: one of
---  them is enough; none: the answer must not contain these; case = false: capitals do not count
---@return stoke.eval.scorer
---Raises `argument`.
---
--- Example: `scorers = { stoke.eval.contains { any = { "refund", "money back" }, case = false } }`
function M.contains(options)
  local what = "eval.contains"
  local o = errors.options(options, CONTAINS, what)
  for _, name in ipairs { "all", "any", "none" } do
    if o[name] then texts_of(what .. ": " .. name, o[name]) end
  end
  local function has(text, part)
    if o.case == false then part = part:lower() end
    return text:find(part, 1, true) ~= nil
  end
  return { name = o.name or "contains", score = function(case, output)
    local text = text_of(output_of(o, output))
    if o.case == false then text = text:lower() end
    for _, part in ipairs(o.none or {}) do
      if has(text, part) then return score(false, ("has %s"):format(show.quoted(part))) end
    end
    local list = o.all or o.any
    if not list and not o.none then
      local expected = expected_of(what, o, case)
      list = type(expected) == "table" and texts_of(what .. ": expected", expected) or { text_of(expected) }
    end
    local found, lacking = 0, {}
    for _, part in ipairs(list or {}) do
      if has(text, part) then found = found + 1 else lacking[#lacking + 1] = show.quoted(part) end
    end
    local any = not o.all and o.any or nil
    local pass = #lacking == 0 or any ~= nil and found > 0
    return { score = (pass or not list) and 1 or any and 0 or found / #list, pass = pass,
      why = not pass and "lacks " .. table.concat(lacking, any and " and " or ", ") or nil }
  end }
end

local NEAR = { field = "string", expected = true, tolerance = "number", relative = "number", name = "string" }

--- The number of an answer: itself, or the last one in a text ("That makes 1,250.50 euros." is 1250.5).
local function number_of(value)
  if type(value) == "number" then return value end
  if type(value) ~= "string" then return nil end
  local whole = tonumber(value)
  if whole then return whole end
  local last
  for at, sign, digits in value:gmatch "()(%-?)(%d[%d,]*%.?%d*)" do
    if at > 1 and value:find("^%w", at - 1) then sign = "" end -- 10-12 is no minus
    last = tonumber(sign .. digits:gsub(",", ""):gsub("%.$", "")) or last
  end
  return last
end

--- The number in the answer is near the one expected. Of a text it is the last number.
---@param options? { tolerance?: number, relative?: number, field?: string, expected?: number, name?: string } tolerance: how far it
---  may be off (1e-9); relative: as a share of what is expected, such as 0.05
---@return stoke.eval.scorer
---Raises `argument`.
---
--- Example: `scorers = { stoke.eval.near { tolerance = 0.01, field = "total" } }`
function M.near(options)
  local what = "eval.near"
  local o = errors.options(options, NEAR, what)
  for _, name in ipairs { "tolerance", "relative" } do
    if o[name] and not (o[name] >= 0) then errors.argument("%s: %s must be 0 or more, got %s", what, name, tostring(o[name])) end
  end
  return { name = o.name or (o.field and "near " .. o.field) or "near", score = function(case, output)
    local expected = expected_of(what, o, case)
    local want, got = tonumber(expected), number_of(output_of(o, output))
    if not want then
      errors.argument("%s: what is expected of case %s is no number but %s", what, case.id, errors.describe(expected))
    end
    if not got then return score(false, ("expected %s, got no number"):format(want)) end
    local most = math.max(o.tolerance or 1e-9, (o.relative or 0) * math.abs(want))
    return score(math.abs(got - want) <= most, ("expected %s (within %.4g), got %s"):format(want, most, got))
  end }
end

--- The answer fits a schema: a table, or a text of JSON.
---@param shape any as stoke.schema takes it
---@param options? { name?: string }
---@return stoke.eval.scorer
---Raises `argument`.
---
--- Example: `scorers = { stoke.eval.schema { city = "string", days = "integer >= 1" } }`
function M.schema(shape, options)
  local o = errors.options(options, { name = "string" }, "eval.schema")
  local wanted = schemas(shape)
  return { name = o.name or "schema", score = function(_, output)
    if type(output) == "string" then
      local value, err = json.decode(output)
      if err then return score(false, "is no JSON: " .. err.message) end
      output = value
    end
    local _, err = wanted:try(output)
    return score(err == nil, err and err.message)
  end }
end

-- ---- those of a script ----------------------------------------------------------------------------------------------------------

--- What a function of a script gives: a boolean or a number from 0 to 1, then a text; or { score =, pass =, why = }.
local function read(name, value, why)
  local given = type(value) == "table" and value or { score = value, why = why }
  local points, pass = given.score, given.pass
  if type(points) == "boolean" then points = points and 1 or 0 end
  if points == nil and type(pass) == "boolean" then points = pass and 1 or 0 end
  if type(points) ~= "number" or not (points >= 0 and points <= 1) then
    errors.raise("argument", ("the scorer %s must return a boolean or a number from 0 to 1, got %s"):format(name,
      errors.describe(value)), { hint = "return output == case.expected, \"why it is wrong\"" })
  end
  if pass == nil then pass = points >= 1 end
  if given.why ~= nil and type(given.why) ~= "string" then
    errors.argument("the scorer %s must say why by a text, got %s", name, errors.describe(given.why))
  end
  return { score = points, pass = pass and true or false, why = not pass and given.why or nil }
end

local function scorer_of(where, name, given)
  if type(given) == "table" and type(given.score) == "function" then
    if type(name) ~= "string" then return given end
    return { name = name, score = given.score, judged = given.judged }
  end
  if not errors.callable(given) then
    errors.raise("argument", ("%s: scorers[%s] must be a scorer or a function, got %s"):format(where, tostring(name),
      errors.describe(given)), { hint = "stoke.eval.equal(), contains, near, schema, judge, or function(case, output) ... end" })
  end
  local called = type(name) == "string" and name or "scorer " .. tostring(name)
  return { name = called, score = function(case, output, result) return read(called, given(case, output, result)) end }
end

--- The scorers of an evaluation.
---@param where string
---@param given stoke.eval.scorer|function|table a scorer, a function, a list of them, or by name
---@return stoke.eval.scorer[]
---Raises `argument`.
---
--- Example: `local list = scorers.list("stoke.eval", { short = function(_, output) return #output < 80 end })`
function M.list(where, given)
  if errors.callable(given) or type(given) == "table" and type(given.score) == "function" then given = { given } end
  if type(given) ~= "table" then errors.argument("%s: scorers must be a list, got %s", where, errors.describe(given)) end
  local list, seen = {}, {}
  for i, one in ipairs(given) do list[i] = scorer_of(where, i, one) end
  for _, name in ipairs(ordered.names(given)) do
    if type(name) == "string" then list[#list + 1] = scorer_of(where, name, given[name]) end
  end
  if #list == 0 then errors.argument("%s: there are no scorers; stoke.eval.equal() compares with `expected`", where) end
  for _, one in ipairs(list) do
    if seen[one.name] then
      errors.argument("%s: two scorers are named %s; give one a name: { name = ... }", where, one.name)
    end
    seen[one.name] = true
  end
  return list
end

return M
