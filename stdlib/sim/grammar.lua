--- Would a JSON schema become a grammar? As llama.cpp's converter judges it: what it does not know is
--- passed over, but types, references and patterns it must understand.

local json = require "stoke.ollama.server.gojson"

local M = {}

local PRIMITIVES = {}
for name in ("boolean decimal-part integral-part number integer value object array uuid char string null"):gmatch "%S+" do
  PRIMITIVES[name] = true
end

local FORMATS = { date = true, time = true, ["date-time"] = true }

local function fail(what) error({ schema = what }, 0) end

-- A grammar that is made, and that the engine then does not survive.
local function crash() error({ crash = true }, 0) end

local function wrong(v, want) fail(("type must be %s, but is %s"):format(want, json.kind(v))) end

local function get(schema, key)
  if json.is_object(schema) then return schema[key] end
  return nil
end

local function each(v)
  if json.is_array(v) then return v end
  if v == json.null then return {} end
  if not json.is_object(v) then return { v } end
  local list = {}
  for i, k in ipairs(json.keys(v)) do list[i] = v[k] end
  return list
end

-- References: found by their pointer, in this schema only.
local function resolve(ref, root)
  if type(ref) ~= "string" then wrong(ref, "string") end
  if ref:sub(1, 2) ~= "#/" then fail("Unsupported ref: " .. ref) end
  local at = root
  for step in ref:sub(3):gmatch "[^/]+" do
    local below
    if json.is_array(at) then
      local i = math.tointeger(tonumber(step))
      below = i and at[i + 1]
    else
      below = get(at, step)
    end
    if below == nil then fail(("Error resolving ref %s: %s not in %s"):format(ref, step, json.encode(at))) end
    at = below
  end
  return at
end

local function visit_refs(v, root, st)
  if json.is_array(v) then
    for _, x in ipairs(v) do visit_refs(x, root, st) end
  elseif json.is_object(v) then
    if v["$ref"] ~= nil then
      local ref = v["$ref"]
      if st.refs[ref] == nil then st.refs[ref] = resolve(ref, root) end
    else
      for _, k in ipairs(json.keys(v)) do visit_refs(v[k], root, st) end
    end
  end
end

local function braces(pattern, i)
  local inside, after = pattern:match("^{([^}]*)}()", i)
  if not inside then fail "Unbalanced curly brackets" end
  local count = select(2, inside:gsub(",", ""))
  if count > 1 then fail "Wrong number of values in curly brackets" end
  for n in (inside .. ","):gmatch "([^,]*)," do
    if n ~= "" and not n:match "^%s*[+-]?%d" or n == "" and count == 0 then fail "Invalid number in curly brackets" end
  end
  return after
end

local function check_pattern(pattern)
  if type(pattern) ~= "string" then wrong(pattern, "string") end
  if #pattern < 2 or pattern:sub(1, 1) ~= "^" or pattern:sub(-1) ~= "$" then
    fail "Pattern must start with '^' and end with '$'"
  end
  local p = pattern:sub(2, -2)
  local i, fragile, depth = 1, false, 0
  while i <= #p do
    local c = p:sub(i, i)
    if c == "[" then
      local e = i + 1
      while e <= #p and p:sub(e, e) ~= "]" do e = e + (p:sub(e, e) == "\\" and 2 or 1) end
      if e > #p then fail "Unbalanced square brackets" end
      i = e + 1
    elseif c == "{" then
      if i == 1 then fragile = true end
      i = braces(p, i)
    elseif c == "\\" then
      if p:sub(i + 1, i + 1):find "%a" and not p:sub(i + 1, i + 1):find "[nrt]" then fragile = true end
      i = i + 2
    else
      if c == "(" then
        depth = depth + 1
        if p:sub(i + 1, i + 1) == "?" then fragile = true end
      elseif c == ")" then
        depth = depth - 1
        if depth < 0 then fail "Unbalanced parentheses" end
      elseif i == 1 and c:find "[*+?]" then
        fragile = true
      end
      i = i + 1
    end
  end
  if fragile or depth > 0 then crash() end
end

local visit

local function properties(v, st) for _, p in ipairs(each(v)) do visit(p, st) end end

local function union(list, st)
  if not json.is_array(list) then wrong(list, "array") end
  if #list == 0 then crash() end
  for _, s in ipairs(list) do visit(s, st) end
end

local function object(schema, st)
  if schema.properties ~= nil then properties(schema.properties, st) end
  if json.is_object(schema.additionalProperties) then visit(schema.additionalProperties, st) end
end

local function all_of(schema, st)
  local function component(c, depth)
    if depth > 50 then return end
    if get(c, "$ref") ~= nil then return component(st.refs[c["$ref"]], depth + 1) end
    if get(c, "properties") ~= nil then properties(c.properties, st) end
  end
  for _, c in ipairs(each(schema.allOf)) do
    if get(c, "anyOf") ~= nil then
      for _, d in ipairs(each(c.anyOf)) do component(d, 0) end
    else
      component(c, 0)
    end
  end
end

local function array(schema, st)
  local items = schema.items
  if items == nil then items = schema.prefixItems end
  if json.is_array(items) then
    for _, s in ipairs(items) do visit(s, st) end
  else
    visit(items, st)
    if schema.minItems ~= nil and type(schema.minItems) ~= "number" then wrong(schema.minItems, "number") end
  end
end

local function numbers(schema, ...)
  local any = false
  for _, key in ipairs { ... } do
    local v = schema[key]
    if v ~= nil then
      if type(v) ~= "number" then wrong(v, "number") end
      any = true
    end
  end
  return any
end

local function has_any(schema, ...)
  for _, key in ipairs { ... } do if schema[key] ~= nil then return true end end
  return false
end

-- What the converter does with a schema of one type, after everything that goes before types.
local function by_type(schema, kind, st)
  local function is(want) return kind == nil or kind == want end
  if is "object" and (schema.properties ~= nil or schema.additionalProperties ~= nil and schema.additionalProperties ~= true) then
    return object(schema, st)
  end
  if (is "object" or kind == "string") and schema.allOf ~= nil then return all_of(schema, st) end
  if is "array" and (schema.items ~= nil or schema.prefixItems ~= nil) then return array(schema, st) end
  if is "string" and schema.pattern ~= nil then return check_pattern(schema.pattern) end
  local format = schema.format or ""
  if is "string" and (FORMATS[format] or format:match "^uuid[1-5]?$") then return end
  if kind == "string" and numbers(schema, "minLength", "maxLength") then return end
  if kind == "integer" and numbers(schema, "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") then return end
  if #json.keys(schema) == 0 or kind == "object" then return end
  if type(kind) ~= "string" or not PRIMITIVES[kind] then fail("Unrecognized schema: " .. json.encode(schema)) end
end

function visit(schema, st)
  if not json.is_object(schema) then
    if schema == json.null or json.is_array(schema) and #schema == 0 then return end
    fail("Unrecognized schema: " .. json.encode(schema))
  end
  if schema.format ~= nil and type(schema.format) ~= "string" then wrong(schema.format, "string") end
  if schema["$ref"] ~= nil then
    local ref = schema["$ref"]
    if st.seen[ref] then return end
    st.seen[ref] = true
    return visit(st.refs[ref], st)
  end
  if has_any(schema, "oneOf", "anyOf") then
    return union(schema.oneOf ~= nil and schema.oneOf or schema.anyOf, st)
  end
  local kind = schema.type
  if kind == json.null then kind = nil end
  if json.is_array(kind) then
    if #kind == 0 then crash() end
    for _, k in ipairs(kind) do
      local copy = {}
      for _, key in ipairs(json.keys(schema)) do copy[#copy + 1] = { key, schema[key] } end
      local one = json.object(copy)
      one.type = k
      visit(one, st)
    end
    return
  end
  if schema.const ~= nil then return end
  if schema.enum ~= nil then
    if #each(schema.enum) == 0 then crash() end
    return
  end
  return by_type(schema, kind, st)
end

--- Judges a schema (an object).
---@param schema table
---@return "good"|"bad"|"deadly" verdict deadly: the engine dies of the grammar
---@return string? what is wrong
function M.judge(schema)
  local st = { refs = {}, seen = {} }
  local ok, err = pcall(function()
    visit_refs(schema, schema, st)
    visit(schema, st)
  end)
  if ok then return "good" end
  if type(err) == "table" and err.schema then return "bad", err.schema end
  if type(err) == "table" and err.crash then return "deadly" end
  error(err, 0)
end

return M
