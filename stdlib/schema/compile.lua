--- Compiles a JSON Schema into functions, once: check(value, depth, state) -> value, problems, changed.
---
--- The value that comes back is the one given unless something in it changed; then it is a copy. Problems are nil when
--- there are none. Three modes: "own" at a place of its own (unknown fields are left out of the copy), "same" for parts of a
--- schema that speak of the same value (they do not know each other's fields), "test" where the answer is only yes or no
--- (nothing is forgiven).

local errors = require "core.errors"
local array = require "stoke.schema.array"
local keywords = require "stoke.schema.keywords"
local logic = require "stoke.schema.logic"
local object = require "stoke.schema.object"
local problems = require "stoke.schema.problems"
local quick = require "stoke.schema.quick"
local scalar = require "stoke.schema.scalar"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local DEPTH, CONTAINERS = 200, 1000000

-- A check asks C so often in vain (stoke.schema.quick), and then no more: a value shared many times over is not walked each time.
local MISSES = 32

local compile

-- ---- references -----------------------------------------------------------------------------------------------------

local function unescape(step)
  return (step:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end):gsub("~1", "/"):gsub("~0", "~"))
end

local function find(root, ref, what)
  local base = type(root) == "table" and (root["$id"] or root.id)
  local pointer = ref
  if type(base) == "string" and ref:sub(1, #base) == base then pointer = ref:sub(#base + 1) end
  if pointer == "" or pointer == "#" then return root end
  if pointer:sub(1, 2) ~= "#/" then
    errors.raise("argument", ("%s: $ref %q leads out of the schema"):format(what, ref),
      { hint = "put what it names below $defs and refer to it as #/$defs/NAME" })
  end
  local node = root
  for step in pointer:sub(2):gmatch "/([^/]*)" do
    step = unescape(step)
    local i = type(node) == "table" and values.kind(node) == "array" and math.tointeger(tonumber(step))
    if type(node) == "table" then node = rawget(node, i and i + 1 or step) else node = nil end
  end
  if not keywords.is_schema(node) then errors.argument("%s: $ref %q leads nowhere", what, ref) end
  return node
end

-- ---- one node -------------------------------------------------------------------------------------------------------

-- Too deep or too much: whatever else there is fails at once, so that a circle with many ways round ends.
local function over(v, st)
  st.left = -1
  return problems.say(("nested deeper than %d, or too large to check"):format(DEPTH), "less nesting", v)
end

local function says_more(node)
  for key in next, node do
    if key ~= "$ref" and not keywords.SILENT[key] then return true end
  end
  return false
end

-- Do the parts that speak of the same value have it to themselves?
local function alone(node)
  local parts = 0
  for _, key in ipairs { "properties", "additionalProperties", "anyOf", "oneOf", "allOf", "if", "$ref", "dependentSchemas",
                         "dependencies", "patternProperties" } do
    if node[key] ~= nil then parts = parts + 1 end
  end
  return parts == 1
end

-- Several branches may lead to the same definition for the same value, at each level again: once it was checked for one of them,
-- the outcome is known (`st`, by what checks and by value).
--
-- What a reference leads to is compiled after the node it stands in (ctx.pending): a chain of definitions may be longer than
-- functions can call each other.
local function reference(ctx, node, mode)
  local target
  ctx.pending[#ctx.pending + 1] = function()
    target = compile(ctx, ctx.resolve(node["$ref"]), mode == "own" and not alone(node) and "same" or mode)
  end
  return function(v, depth, st)
    local left = st.left - 1
    st.left = left
    if left < 0 or depth > DEPTH then return v, over(v, st) end
    if not st.branching or type(v) ~= "table" then return target(v, depth + 1, st) end
    local known = st[target]
    if not known then
      known = {}
      st[target] = known
    end
    local was = known[v]
    if was then return was[1], problems.copies(was[2]), was[3] end
    local y, found, changed = target(v, depth + 1, st)
    if st.left >= 0 then known[v] = { y, problems.copies(found), changed } end
    return y, found, changed
  end
end

local function parts_of(ctx, node, mode)
  local inner = mode == "test" and "test" or "own"
  return {
    mode = mode, closed = keywords.closed(node), over = over, want = ctx.want,
    quick = function() return quick.object(ctx, node, mode) end,
    spec = function() return quick.spec(ctx, node, mode) end,
    child = function(schema) return compile(ctx, schema, inner) end,
    test = function(schema) return compile(ctx, schema, "test") end,
    same = function(schema) return compile(ctx, schema, mode == "test" and "test" or "same") end,
    own = function(schema) return compile(ctx, schema, mode == "own" and not alone(node) and "same" or mode) end,
  }
end

local NUMBERS = { "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf" }
local STRINGS = { "minLength", "maxLength", "format" }
local ARRAYS = { "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains" }
local OBJECTS = { "properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties",
  "dependentRequired", "dependencies" }

local function any_of(node, names)
  for _, name in ipairs(names) do
    if node[name] ~= nil then return true end
  end
  return false
end

-- The steps for the type and the keywords that belong to one type. A single type is checked by the step of that type.
local function typed_steps(node, want, parts, steps)
  local only = type(node.type) == "string" and node.type or nil
  if type(node.type) == "table" then steps[#steps + 1] = scalar.types(node.type, want) end
  if only == "boolean" or only == "null" then steps[#steps + 1] = scalar.simple(only, want) end
  local numeric = (only == "number" or only == "integer") and only or nil
  local function add(step) steps[#steps + 1] = step end
  if numeric or any_of(node, NUMBERS) then add(scalar.number(node, numeric, want)) end
  if only == "string" or any_of(node, STRINGS) then add(scalar.string(node, only == "string" and only or nil, want)) end
  if only == "array" or any_of(node, ARRAYS) then add(array.check(node, only == "array", want, parts)) end
  if only == "object" or any_of(node, OBJECTS) then add(object.check(node, only == "object", want, parts)) end
  if node.enum then add(scalar.enum(node.enum, want)) end
  if node.const ~= nil then add(scalar.enum({ node.const }, want)) end
end

-- Several steps as one. After a value of another type altogether the rest has nothing to say.
local function sequence(steps)
  if #steps == 0 then return function(v) return v end end
  if #steps == 1 then return steps[1] end
  return function(v, depth, st)
    local all, any = nil, false
    for i = 1, #steps do
      local y, found, changed = steps[i](v, depth, st)
      if found then
        all = problems.add(all, found)
        if found[1].far and #found[1] == 0 then break end
      elseif changed then
        v, any = y, true
      end
    end
    return v, all, any
  end
end

-- A value of an enum is of the type if the enum is: one step, one message.
local function is_enum(node)
  if not node.enum or type(node.type) ~= "string" or any_of(node, NUMBERS) or any_of(node, STRINGS) then return false end
  for _, value in ipairs(node.enum) do
    if type(value) ~= "string" or node.type ~= "string" then return false end
  end
  return true
end

local function build(ctx, node, mode)
  local steps, want = {}, ctx.want(node)
  local parts = parts_of(ctx, node, mode)
  local ref = node["$ref"]
  if ref then steps[1] = reference(ctx, node, mode) end
  if not (ref and (ctx.legacy or not says_more(node))) then
    if is_enum(node) then
      steps[#steps + 1] = scalar.enum(node.enum, want)
    else
      typed_steps(node, want, parts, steps)
    end
    logic.steps(node, parts, steps)
  end
  local check = sequence(steps)
  local own = mode ~= "test" and ctx.checks[node]
  return own and logic.custom(check, own) or check
end

function compile(ctx, node, mode)
  if node == true then return function(v) return v end end
  if node == false then return function(v) return v, problems.wrong("nothing here", v, true) end end
  local cache = ctx.cache[mode]
  if cache[node] then return cache[node] end
  local real
  cache[node] = function(v, depth, st) return real(v, depth, st) end -- for a schema that refers to itself
  real = build(ctx, node, mode)
  cache[node] = real
  return real
end

-- A node and all that it refers to.
local function whole(ctx, node, mode)
  local check = compile(ctx, node, mode)
  local pending = ctx.pending
  while #pending > 0 do table.remove(pending)() end
  return check
end

--- Make a schema into functions.
---@param root table|boolean as keywords.copy or the notation gave it
---@param checks table<table, function[]> what scripts check besides, by node
---@param what string for messages
---@return table ctx { check(value) -> value, problems; fits(node, value, state) -> value, problems; state() for many of fits,
---  which share the work they may do; right(value) -> it is right at the first look, no means nothing; resolve(ref);
---  want(node) }
function M.new(root, checks, what)
  local ctx = { checks = checks, cache = { own = {}, same = {}, test = {} }, quick = { own = {}, same = {}, test = {} },
    objects = { own = {}, same = {}, test = {} }, pending = {}, legacy = false }
  local dialect = type(root) == "table" and root["$schema"]
  if dialect and dialect:find "draft%-0[3-7]" then ctx.legacy = true end -- there $ref stands alone
  ctx.resolve = function(ref) return find(root, ref, what) end
  ctx.want = function(node) return words.expected(node, ctx.resolve) end
  keywords.walk(root, function(node)
    if node["$ref"] then ctx.resolve(node["$ref"]) end
  end)
  ctx.state = function() return { left = CONTAINERS, depth = DEPTH, misses = MISSES } end
  local function run(check, value, state)
    local v, found = check(value, 0, state)
    if state.left < 0 then return value, over(value, state) end
    return v, found
  end
  local main, spec, fits = whole(ctx, root, "own"), nil, nil
  ctx.right = function(value)
    if spec == nil then
      spec = quick.spec(ctx, root, "own") or false
      fits = spec and spec.fits
    end
    return fits and fits(spec, value)
  end
  ctx.check = function(value)
    if fits then
      if fits(spec, value) then return value end
    elseif spec == nil and ctx.right(value) then
      return value
    end
    return run(main, value, ctx.state())
  end
  ctx.fits = function(node, value, state) return run(whole(ctx, node, "own"), value, state) end
  return ctx
end

return M
