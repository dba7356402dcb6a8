-- What one pass in C says of a value, and what the checks in Lua say without it: the same, of random values by random schemas.

local test = require "stoke.test"
local json = require "stoke.json"
local rand = require "stoke.rand"
local schema = require "stoke.schema"

local null = json.null

local function generator()
  local seed = rand.int(0, 0x7FFFFFFF)
  local state = seed
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end, seed
end

-- The checks in Lua alone.
local function slowly(made, value) return made._ctx.fits(made._data, value, { left = 1000000, depth = 200, misses = 0 }) end

local SCALARS = {
  { type = "string" }, { type = "string", minLength = 2, maxLength = 4 }, { type = "integer" }, { type = "number", minimum = 0 },
  { type = "number", exclusiveMinimum = 0, exclusiveMaximum = 2 }, { type = "integer", minimum = 1, exclusiveMinimum = true },
  { type = "boolean" }, { type = "null" }, { type = { "string", "null" }, maxLength = 3 }, { type = { "integer", "number" } },
  { type = { "integer", "string" }, minimum = 2 }, { enum = { "a", "b" } }, { type = "string", enum = { "a", "bcd" } },
  { enum = { "a", 1 } }, { const = "a" }, { type = "string", format = "date" }, { type = "string", format = "regex" }, true, {},
  { type = "string", pattern = "x" }, { type = "number", multipleOf = 0.5 }, { minimum = 1 }, { title = "T" },
  { anyOf = { { type = "integer" }, { type = "boolean" } } }, false, { type = "string", ["x-order"] = 1 },
  { type = "integer", minimum = 2.0 ^ 60 },
}

local NAMES = { "a", "b", "c", "d" }

local function random_schema(random, depth)
  local kind = depth > 0 and random(5) or 4
  if kind < 2 then
    local kinds = random(8) > 0 and "object" or random(2) == 0 and { "object", "null" } or nil
    local out = { type = kinds, properties = {}, required = {} }
    for _, name in ipairs(NAMES) do
      if random(3) > 0 then out.properties[name] = random_schema(random, depth - 1) end
      if random(3) == 0 then out.required[#out.required + 1] = name end
    end
    local more = random(6)
    if more == 0 then out.additionalProperties = false end
    if more == 1 then out.additionalProperties = true end
    if more == 2 then out.additionalProperties = { type = "integer" } end
    if more == 3 and random(3) == 0 then out.minProperties = 1 end
    if #out.required == 0 then out.required = nil end
    return out
  elseif kind == 2 then
    local out = { type = random(5) > 0 and "array" or { "array", "null" }, items = random_schema(random, depth - 1) }
    if random(3) == 0 then out.minItems = 1 end
    if random(3) == 0 then out.maxItems = 2 end
    if random(6) == 0 then out.uniqueItems = true end
    return out
  elseif kind == 3 and random(3) == 0 then
    return { allOf = { random_schema(random, depth - 1), random_schema(random, depth - 1) } }
  end
  return SCALARS[1 + random(#SCALARS)]
end

local VALUES = { "", "a", "abcd", "bcd", "\u{E9}\u{E9}\u{E9}", "2026-01-31", "12345678901234567890", 0, 1, 2, 3.0, 1.5, -1, 2 ^ 60,
  1e300, math.maxinteger, true, false, null, 0 / 0, 1 / 0, "\xFF\xFF" }

-- A value that is often what the schema says.
local function random_value(random, node, depth)
  local kind = type(node) == "table" and node.type or nil
  if type(kind) == "table" then kind = kind[1 + random(#kind)] end
  if random(12) == 0 then kind = ({ "object", "array", "string" })[1 + random(3)] end
  if kind == "object" and depth > 0 then
    local out = {}
    if random(4) == 0 then out = json.object {} elseif random(6) == 0 then out = json.object({}, { "b", "a" }) end
    for _, name in ipairs(NAMES) do
      local property = type(node) == "table" and node.properties and node.properties[name]
      if property ~= nil and property ~= false and random(6) > 0 or random(12) == 0 then
        out[name] = random_value(random, property, depth - 1)
      end
    end
    if random(10) == 0 then out.stranger = 1 end
    if random(40) == 0 then out[1] = 1 end
    return out
  elseif kind == "array" and depth > 0 then
    local out = random(2) == 0 and json.array {} or {}
    for i = 1, random(4) do out[i] = random_value(random, type(node) == "table" and node.items, depth - 1) end
    if random(40) == 0 then out.x = 1 end
    return out
  end
  return VALUES[1 + random(#VALUES)]
end

-- Whatever is in a value, NaN and marks too.
local function shown(v)
  if type(v) ~= "table" then return math.type(v) == "float" and ("%.17g"):format(v) or tostring(v) end
  local keys, out = {}, {}
  for key in next, v do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do out[i] = tostring(key) .. "=" .. shown(v[key]) end
  return (json.is_array(v) and "[" or "{") .. table.concat(out, ",") .. "}"
end

local function said(problems)
  local out = {}
  for i, p in ipairs(problems or {}) do out[i] = ("%s|%s|%s|%s"):format(p.expected, p.found, p.text or "", table.concat(p, ".")) end
  return table.concat(out, "; ")
end

test("schema: one pass in C and the checks in Lua say the same of random values", function(t)
  local random, seed = generator()
  local right = 0
  for round = 1, 200 do
    local definition = random_schema(random, 3)
    local made = schema.json(definition)
    for _ = 1, 10 do
      local value = random_value(random, definition, 4)
      local a, found = made._ctx.check(value)
      local b, problems = slowly(made, value)
      if said(found) ~= said(problems) or shown(a) ~= shown(b) or rawequal(a, value) ~= rawequal(b, value) then
        error(("seed %d, round %d: %s: %q is not %q; %s, %s"):format(seed, round, json.encode(definition), said(found),
          said(problems), shown(a), shown(b)))
      end
      if not found then right = right + 1 end
    end
  end
  t.ok(right > 150, "only " .. right .. " values were right")
end)

test("schema: what a check may look at is counted in C as in Lua", function(t)
  local definition, value = { type = "integer" }, 1
  for _ = 1, 8 do
    definition = { type = "array", items = definition }
    local list = {}
    for i = 1, 20 do list[i] = value end
    value = list
  end
  local made = schema { it = definition, when = "date?" }
  t.match(t.raises("invalid_output", made.check, made, { it = value }).message, "too large to check")
  t.ok(made:check { it = value[1][1][1][1][1] and json.array {} })
end)

test("schema: fields of many names, and long ones, are checked beside each other", function(t)
  local fields, value = {}, {}
  for i = 1, 80 do fields["f" .. i], value["f" .. i] = "integer", i end
  local made = schema(fields)
  t.eq(made:check(value), value)
  value.f80 = "x"
  t.eq(t.raises("invalid_output", made.check, made, value).path, "f80")
  local odd = schema.json { type = "object", properties = { ["\xFF"] = { type = "integer" }, [""] = { type = "string" } },
    required = { "" } }
  t.eq(odd:check { ["\xFF"] = 1, [""] = "x" }[""], "x")
  t.raises("invalid_output", odd.check, odd, { ["\xFF"] = 1 })
end)

test("schema: what its own functions say counts where C has nothing to say", function(t)
  local made = schema({ a = "integer", b = "integer" }, { check = function(v) return v.a < v.b, "a must be below b" end })
  t.eq(made:check({ a = 1, b = 2 }).a, 1)
  t.match(t.raises("invalid_output", made.check, made, { a = 2, b = 1 }).message, "a must be below b")
  local inner = schema { it = made }
  t.match(t.raises("invalid_output", inner.check, inner, { it = { a = 2, b = 1 } }).message, "it.*a must be below b")
end)
