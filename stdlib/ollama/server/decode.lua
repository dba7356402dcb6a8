--- Request bodies into tables, checked field by field as Go's decoder does for the server's
--- structs: same order, same texts.

local json = require "stoke.ollama.server.gojson"

local M = {}

-- A specification is { go = the Go type, kind = what JSON is expected, ... }:
--   kind: string bool int map any raw bytes array struct custom array: of = specification; struct:
--   name, fields; unmarshal = true: the type decodes itself, which keeps the outer struct's name in
--   error texts; custom: read = function(v) -> value | nil, text

local STRING = { kind = "string", go = "string" }
local BOOL = { kind = "bool", go = "bool" }
local INT = { kind = "int", go = "int" }
local ANY = { kind = "any" }
local FLOAT, FLOAT32 = { kind = "float", go = "float64" }, { kind = "float", go = "float32" }
local FLOAT32_MAX <const> = 0x1.fffffep127
local MAP = { kind = "map", go = "map[string]interface {}" }
local IMAGE = { kind = "bytes", go = "api.ImageData" }

local function list(of, go) return { kind = "array", of = of, go = go } end

local STRINGS = list(STRING, "[]string")
local IMAGES = list(IMAGE, "[]api.ImageData")

local UNITS = { ns = 1e-9, us = 1e-6, ["µs"] = 1e-6, ["μs"] = 1e-6, ms = 1e-3, s = 1, m = 60, h = 3600 }

--- A Go duration ("1h30m") in seconds; nil and Go's text when it is none.
---@param text string
---@return number? seconds
---@return string? err
function M.duration(text)
  local function bad(what) return nil, ('time: %s duration "%s"'):format(what, text) end
  local sign, rest = text:match "^([+-]?)(.*)$"
  if rest == "0" then return 0 end
  if rest == "" then return bad "invalid" end
  local total = 0
  while rest ~= "" do
    local number, after = rest:match "^(%d+%.?%d*)(.*)$"
    if not number then number, after = rest:match "^(%.%d+)(.*)$" end
    if not number then return bad "invalid" end
    local unit = after:match "^[^%d.]+"
    if not unit then return bad "missing unit in" end
    if not UNITS[unit] then return bad(('unknown unit "%s" in'):format(unit)) end
    total = total + tonumber(number) * UNITS[unit]
    rest = after:sub(#unit + 1)
  end
  return sign == "-" and -total or total
end

local GO_TYPES = { bool = "bool", array = "[]interface {}", object = "map[string]interface {}" }

local KEEP_ALIVE = { kind = "custom", read = function(v)
  local kind = json.kind(v)
  if kind == "number" then return v < 0 and math.huge or v end
  if kind == "string" then
    local seconds, err = M.duration(v)
    if not seconds then return nil, err end
    return seconds < 0 and math.huge or seconds
  end
  return nil, ("Unsupported type: '%s'"):format(GO_TYPES[kind])
end }

local LEVELS = { low = true, medium = true, high = true, max = true }
local CHOICE = '"high", "medium", "low", %strue, or false'

local THINK = { kind = "custom", read = function(v, habits)
  local max = not habits or habits.max
  if type(v) == "boolean" or LEVELS[v] and (max or v ~= "max") then return v end
  local choice = CHOICE:format(max and '"max", ' or "")
  if type(v) == "string" then return nil, ('invalid think value: "%s" (must be %s)'):format(v, choice) end
  return nil, ("think must be a boolean or string (%s)"):format(choice)
end }

local function struct(name, go, fields, unmarshal)
  return { kind = "struct", name = name, go = go or "api." .. name, fields = fields, unmarshal = unmarshal }
end

local CALL = struct("ToolCall", nil, {
  id = STRING,
  ["function"] = struct("ToolCallFunction", nil, {
    index = INT, name = STRING, arguments = { kind = "ordered" },
  }),
})

local MESSAGE = struct("Message", "api.Alias", {
  role = STRING, content = STRING, thinking = STRING, images = IMAGES, tool_calls = list(CALL, "[]api.ToolCall"),
  tool_name = STRING, tool_call_id = STRING,
}, true)

local PROPERTY = struct("ToolProperty", nil, {
  type = { kind = "names", go = "[]string" }, items = ANY, description = STRING, enum = list(ANY, "[]interface {}"),
})
local PROPERTIES = { kind = "properties", of = PROPERTY }
PROPERTY.fields.properties = PROPERTIES
PROPERTY.fields.anyof = list(PROPERTY, "[]api.ToolProperty")
PROPERTY.shown = { anyof = "anyOf" }

local TOOL = struct("Tool", nil, {
  type = STRING, items = ANY,
  ["function"] = struct("ToolFunction", nil, {
    name = STRING, description = STRING,
    parameters = struct("ToolFunctionParameters", nil, {
      type = STRING, items = ANY, required = STRINGS, properties = PROPERTIES,
    }),
  }),
})

local COMMON = {
  model = STRING, stream = BOOL, format = { kind = "raw" }, keep_alive = KEEP_ALIVE, options = MAP, think = THINK,
  truncate = BOOL, shift = BOOL, logprobs = BOOL, top_logprobs = INT, _debug_render_only = BOOL,
}

local function with(fields)
  local t = {}
  for k, v in pairs(COMMON) do t[k] = v end
  for k, v in pairs(fields) do t[k] = v end
  return t
end

local NAMED = { model = STRING, name = STRING, stream = BOOL, insecure = BOOL, username = STRING, password = STRING }

--- The structs of the server's requests.
M.requests = {
  generate = struct("GenerateRequest", nil, with {
    prompt = STRING, suffix = STRING, system = STRING, template = STRING, context = list(INT, "[]int"), raw = BOOL,
    images = IMAGES,
  }),
  chat = struct("ChatRequest", nil, with {
    messages = list(MESSAGE, "[]api.Message"), tools = list(TOOL, "api.Tools"),
  }),
  embed = struct("EmbedRequest", nil, {
    model = STRING, input = ANY, keep_alive = KEEP_ALIVE, truncate = BOOL, dimensions = INT, options = MAP,
  }),
  embeddings = struct("EmbeddingRequest", nil, {
    model = STRING, prompt = STRING, keep_alive = KEEP_ALIVE, options = MAP,
  }),
  show = struct("ShowRequest", nil, { model = STRING, name = STRING, system = STRING, template = STRING, verbose = BOOL,
    options = MAP }),
  pull = struct("PullRequest", nil, NAMED),
  push = struct("PushRequest", nil, NAMED),
  delete = struct("DeleteRequest", nil, { model = STRING, name = STRING }),
  copy = struct("CopyRequest", nil, { source = STRING, destination = STRING }),
  create = struct("CreateRequest", nil, {
    model = STRING, name = STRING, stream = BOOL, quantize = STRING, quantization = STRING, from = STRING,
    files = { kind = "strings", go = "map[string]string" }, adapters = { kind = "strings", go = "map[string]string" },
    template = STRING, license = ANY, system = STRING, parameters = MAP, messages = list(MESSAGE, "[]api.Message"),
    renderer = STRING, parser = STRING, requires = STRING,
  }),
}

--- What specifications are made of, for the structs of its other APIs.
M.types = { STRING = STRING, BOOL = BOOL, INT = INT, FLOAT = FLOAT, FLOAT32 = FLOAT32, ANY = ANY, RAW = { kind = "raw" },
  TOOLS = list(TOOL, "[]api.Tool"),
  list = list, struct = struct }

-- Go's decoder: a wrong type is remembered (the first one) and decoding goes on; a type's own
-- failure ends it at once.
local function mismatch(st, what, spec)
  local text
  if st.path ~= "" then
    text = ("json: cannot unmarshal %s into Go struct field %s.%s of type %s"):format(what, st.name, st.path, spec.go)
  else
    text = ("json: cannot unmarshal %s into Go value of type %s"):format(what, spec.go)
  end
  if st.strict then error({ go = text }, 0) end
  st.saved = st.saved or text
end

local read

-- Where Go says "illegal base64 data at input byte N"; nil when the text is sound.
local function base64_error(s)
  s = s:gsub("[\r\n]", "")
  local e = s:match "^[%w+/]*()" -- the first character that is no digit
  local have = (e - 1) % 4
  if e > #s then return have ~= 0 and #s - have or nil end
  if s:sub(e, e) ~= "=" or have < 2 then return e - 1 end
  local last = e
  if have == 2 then
    if e == #s then return #s end
    if s:sub(e + 1, e + 1) ~= "=" then return e - 1 end
    last = e + 1
  end
  return last < #s and last or nil
end

-- The bytes themselves are never looked at; only their soundness is.
local function read_bytes(v, spec, st)
  local kind = json.kind(v)
  if kind ~= "string" then return mismatch(st, kind, spec) end
  local at = base64_error(v)
  if at then error({ go = ("illegal base64 data at input byte %d"):format(at) }, 0) end
  return v
end

local function read_array(v, spec, st)
  local kind = json.kind(v)
  if kind ~= "array" then return mismatch(st, kind, spec) end
  local out = json.array()
  for i = 1, #v do
    local item = read(v[i], spec.of, st)
    if item == nil and spec.of.kind == "struct" then item = {} end
    if item ~= nil then out[#out + 1] = item end
  end
  return out
end

local function read_struct(v, spec, st)
  local kind = json.kind(v)
  if kind ~= "object" then return mismatch(st, kind, spec) end
  local name, path, strict = st.name, st.path, st.strict
  if spec.unmarshal then st.strict, st.frozen = true, true end
  local out = {}
  for _, key in ipairs(json.keys(v)) do
    local field = key
    local f = spec.fields[key]
    if not f then
      field = key:lower()
      f = spec.fields[field]
    end
    if f then
      if not st.frozen then st.name = spec.name end
      local shown = spec.shown and spec.shown[field] or field
      st.path = path == "" and shown or path .. "." .. shown
      local x = read(v[key], f, st)
      if x ~= nil then out[field] = x end
      st.path, st.name = path, name
    end
  end
  if spec.unmarshal then st.strict, st.frozen = strict, nil end
  return out
end

-- An object whose order counts: the library that reads it has its own words for what is none.
local function read_ordered(v)
  if not json.is_object(v) then error({ go = "Value looks like object, but can't find closing '}' symbol" }, 0) end
  return v
end

-- A tool's parameters: failures in them end everything, and the path does not tell which one it was.
local function read_properties(v, spec, st)
  read_ordered(v)
  local strict, frozen = st.strict, st.frozen
  st.strict, st.frozen = true, true
  for _, k in ipairs(json.keys(v)) do read(v[k], spec.of, st) end
  st.strict, st.frozen = strict, frozen
  return v
end

-- One type's name or several.
local function read_names(v, spec, st)
  local kind = json.kind(v)
  if kind == "string" then return v end
  if kind ~= "array" then return mismatch(st, kind, spec) end
  for _, x in ipairs(v) do
    if x ~= json.null and type(x) ~= "string" then mismatch(st, json.kind(x), STRING) end
  end
  return v
end

local function scalar(want)
  return function(v, spec, st)
    local kind = json.kind(v)
    if kind ~= want then return mismatch(st, kind, spec) end
    return v
  end
end

local READ = {
  string = scalar "string", bool = scalar "bool", map = scalar "object", bytes = read_bytes, array = read_array,
  struct = read_struct, properties = read_properties, ordered = read_ordered, names = read_names,
  any = function(v) return v end,
  float = function(v, spec, st)
    local kind = json.kind(v)
    if kind ~= "number" then return mismatch(st, kind, spec) end
    if spec == FLOAT32 and math.abs(v) > FLOAT32_MAX then return mismatch(st, "number " .. json.number(v), spec) end
    return v
  end,
  int = function(v, spec, st)
    local kind = json.kind(v)
    if kind ~= "number" then return mismatch(st, kind, spec) end
    if math.type(v) == "float" then return mismatch(st, "number " .. json.number(v), spec) end
    return v
  end,
  strings = function(v, spec, st)
    local kind = json.kind(v)
    if kind ~= "object" then return mismatch(st, kind, spec) end
    for _, k in ipairs(json.keys(v)) do
      if type(v[k]) ~= "string" then mismatch(st, json.kind(v[k]), STRING) end
    end
    return v
  end,
  custom = function(v, spec, st)
    local x, err = spec.read(v, st.habits)
    if err then error({ go = err }, 0) end
    return x
  end,
}

function read(v, spec, st)
  if spec.kind == "raw" then return v end
  if v == json.null then return nil end
  return READ[spec.kind](v, spec, st)
end

--- Decodes a request body.
---@param body string
---@param spec table one of `requests`
---@param habits stoke.sim.habits?
---@return table? request
---@return any raw the whole value; without a request the server's text (status 400)
function M.request(body, spec, habits)
  local value, err = json.decode(body or "")
  if err == "EOF" then return nil, "missing request body" end
  if err then return nil, err end
  local st = { name = spec.name, path = "", habits = habits }
  local ok, out = pcall(read, value, spec, st)
  if not ok then
    if type(out) == "table" and out.go then return nil, out.go end
    error(out, 0)
  end
  if st.saved then return nil, st.saved end
  for _, m in ipairs(out and out.messages or {}) do
    if m.role then m.role = m.role:lower() end
  end
  return out or {}, value
end

--- Name and value of each option, in the order sent, nulls left out.
---@param map table?
---@return table[]
function M.pairs_of(map)
  local out = {}
  for _, k in ipairs(map and json.keys(map) or {}) do
    if map[k] ~= json.null then out[#out + 1] = { k, map[k] } end
  end
  return out
end

return M
