--- Headers that repeat what stands in a message (streamable HTTP of 2026-07-28), for what looks at requests on their way.

local base64 = require "stoke.mcp.base64"
local hash = require "core.hash"

local M = {}

local NAMED = { ["tools/call"] = "name", ["prompts/get"] = "name", ["resources/read"] = "uri" }
local PRIMITIVE = { string = true, integer = true, boolean = true }
local DEPTH <const> = 16
local SAFE <const> = 2 ^ 53 - 1

--- The value of a header: what is no plain ASCII goes as base64.
---@param value string
---@return string
function M.encode(value)
  local plain = value:find "^[\x21-\x7e][\t\x20-\x7e]*$" and not value:find "[ \t]$" and not value:find "^=%?base64%?.*%?=$"
  return plain and value or ("=?base64?%s?="):format(hash.base64(value))
end

--- The value that a header stands for.
---@param value string
---@return string|nil value nil: its base64 is none
function M.decode(value)
  local inner = value:match "^=%?base64%?(.*)%?=$"
  if not inner then return value end
  return base64.decode(inner)
end

--- The name or address that a request is about.
---@param method string
---@param params table
---@return string|nil
function M.name(method, params)
  local value = NAMED[method] and params[NAMED[method]]
  return type(value) == "string" and value or nil
end

local function walk(schema, path, out, depth)
  if type(schema) ~= "table" then return true end
  if depth > DEPTH then return nil, "its schema is too deep" end
  for key, value in next, schema do
    if key == "properties" and type(value) == "table" then
      for name, property in next, value do
        if type(name) == "string" and type(property) == "table" then
          local here = table.move(path, 1, #path, 1, {})
          here[#here + 1] = name
          local header = property["x-mcp-header"]
          if header ~= nil then
            if type(header) ~= "string" or not header:find "^[%w!#$%%&'*+%-.^_`|~]+$" then return nil, "x-mcp-header is no name" end
            if not PRIMITIVE[property.type] then
              return nil, ("x-mcp-header of %s, which is no text, integer or boolean"):format(name)
            end
            if out[header:lower()] then return nil, ("two x-mcp-header are named %s"):format(header) end
            out[header:lower()], out[#out + 1] = true, { header = header, path = here }
          end
          local ok, why = walk(property, here, out, depth + 1)
          if not ok then return nil, why end
        end
      end
    elseif type(value) == "table" and key ~= "default" and key ~= "examples" and key ~= "enum" and key ~= "const" then
      local inside = {}
      local ok, why = walk({ properties = { x = value } }, {}, inside, depth + 1)
      if not ok then return nil, why end
      if inside[1] then return nil, ("x-mcp-header below %s"):format(tostring(key)) end
    end
  end
  return true
end

--- Which arguments of a tool its schema wants in headers.
---@param schema any
---@return { header: string, path: string[] }[]|nil
---@return string|nil why the tool's definition is invalid
function M.mirrored(schema)
  local out = {}
  local ok, why = walk(schema, {}, out, 0)
  if not ok then return nil, why end
  return out
end

--- The value of an argument as a header has it.
---@param arguments table
---@param path string[]
---@return string|nil
function M.value(arguments, path)
  local value = arguments
  for _, name in ipairs(path) do
    if type(value) ~= "table" then return nil end
    value = value[name]
  end
  if math.type(value) == "float" and math.tointeger(value) then value = math.tointeger(value) end
  if math.type(value) == "integer" and math.abs(value) <= SAFE or type(value) == "boolean" then return tostring(value) end
  return type(value) == "string" and value or nil
end

return M
