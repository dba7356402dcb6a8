--- What an MCP server of ours offers beside tools and agents: resources (texts and bytes by their addresses) and prompts (messages
--- to begin with, that a person chooses).

local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local modules = require "core.modules"
local schema = require "stoke.schema"

local M = {}

---@class stoke.mcp.resource
---@field uri string its address, or the pattern of many: "notes://{day}"
---@field name string
---@field description? string
---@field mime? string
---@field pattern? string of Lua, for a template
---@field names? string[] of the parts of a template
---@field read fun(parts: table<string, string>, uri: string): string|table
local Resource = {}
Resource.__index = Resource
Resource.__name = "stoke.mcp.resource"
M.Resource = Resource

---@class stoke.mcp.prompt
---@field name string
---@field description? string
---@field arguments stoke.schema.Schema
---@field run fun(args: table): string|table[]
local Prompt = {}
Prompt.__index = Prompt
Prompt.__name = "stoke.mcp.prompt"
M.Prompt = Prompt

--- While a file is reloaded, what it made under this name before is given the new fields.
local function made(kind, class, name, fields)
  local before = modules.before(kind, name)
  if not before then
    local new = setmetatable(fields, class)
    modules.made(kind, name, new)
    return new
  end
  local old = {}
  for key, value in next, before do old[key] = value end
  local function write(from)
    for key in next, before do before[key] = nil end
    for key, value in next, from do before[key] = value end
  end
  modules.changed(before, setmetatable(old, class))
  modules.undo(function() write(old) end)
  write(fields)
  modules.made(kind, name, before)
  return before
end

--- A template as a pattern, and the names of its parts: a part matches what holds no slash.
local function template(uri, where)
  local names = {}
  local pattern = uri:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("{(.-)}", function(name)
    if not name:find "^[%a_][%w_]*$" then errors.argument("%s: {%s} is no name", where, name) end
    names[#names + 1] = name
    return "([^/]+)"
  end)
  if not names[1] then return nil end
  return "^" .. pattern .. "$", names
end

local RESOURCE = { uri = "string", name = "string", description = "string", mime = "string", read = "function" }

--- A resource. Its function gives a text, or { text = } or { bytes = }, with `mime` if that differs; nil: there is none.
---@param given { uri: string, name?: string, description?: string, mime?: string, read: fun(parts: table<string, string>,
---  uri: string): string|table|nil }
---@return stoke.mcp.resource
---Raises `argument`.
---
--- Example: `offers.resource { uri = "notes://{day}", read = function(p) return stoke.fs.read(p.day .. ".txt") end }`
function M.resource(given)
  given = errors.options(given, RESOURCE, "mcp.resource")
  local uri = given.uri
  if type(uri) ~= "string" or not uri:find "^%a[%w+.-]*:." then
    errors.argument("mcp.resource: uri must be an address such as notes://today, got %s", errors.describe(uri))
  end
  if not given.read then errors.argument("mcp.resource %s: read is missing: the function that gives it", uri) end
  local pattern, names = template(uri, "mcp.resource " .. uri)
  return made("mcp.resource", Resource, uri, { uri = uri, name = given.name or uri, description = given.description,
    mime = given.mime, pattern = pattern, names = names, read = given.read })
end

local PROMPT = { name = "string", description = "string", arguments = "table", run = "function" }

--- A prompt. Its function gets the arguments, and gives a text or messages { { role = "user", content = } ... }.
---@param given { name: string, description?: string, arguments?: table<string, string>, run: fun(args: table): string|table[] }
---  arguments: texts all, as stoke.schema has them: { code = "string: what to review", tone = "string?" }
---@return stoke.mcp.prompt
---Raises `argument`.
---
--- Example: `offers.prompt { name = "review", arguments = { code = "string" }, run = function(a) return "Review: " .. a.code end }`
function M.prompt(given)
  given = errors.options(given, PROMPT, "mcp.prompt")
  local name = given.name
  if type(name) ~= "string" or not name:find "^[%w_][%w_.-]*$" or #name > 64 then
    errors.argument("mcp.prompt: the name must be letters, digits, `_`, `-` or `.`, at most 64, got %s", errors.describe(name))
  end
  local where = "mcp.prompt " .. name
  if not given.run then errors.argument("%s: run is missing: the function that gives its messages", where) end
  local ok, arguments = pcall(schema, next(given.arguments or {}) and given.arguments or schema.json { type = "object" })
  if not ok then errors.argument("%s: arguments: %s", where, (errors.wrap(arguments).message:gsub("^schema: ", ""))) end
  for key, one in next, arguments:json_schema().properties or {} do
    if one.type ~= "string" then errors.argument("%s: the argument %s must be a string: clients send texts", where, key) end
  end
  return made("mcp.prompt", Prompt, name, { name = name, description = given.description, arguments = arguments,
    run = given.run })
end

--- What kind of offer is this?
---@param value any
---@return "resource"|"prompt"|nil
---
--- Example: `offers.kind(value)`
function M.kind(value)
  local class = getmetatable(value)
  return class == Resource and "resource" or class == Prompt and "prompt" or nil
end

-- ---- as clients see them ------------------------------------------------------------------------------------------------------

--- A resource in a list.
---@param one stoke.mcp.resource
---@return table
function M.listed(one)
  return { uri = not one.pattern and one.uri or nil, uriTemplate = one.pattern and one.uri or nil, name = one.name,
    description = one.description, mimeType = one.mime }
end

--- The resource of an address, with the parts of a template.
---@param list stoke.mcp.resource[]
---@param uri string
---@return stoke.mcp.resource|nil
---@return table<string, string> parts
function M.find(list, uri)
  for _, one in ipairs(list) do
    if one.uri == uri and not one.pattern then return one, {} end
  end
  for _, one in ipairs(list) do
    local found = one.pattern and { uri:match(one.pattern) }
    if found and found[1] then
      local parts = {}
      for i, name in ipairs(one.names) do
        parts[name] = found[i]:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
      end
      return one, parts
    end
  end
  return nil, {}
end

--- What reading a resource gave, as contents; nil: it gave nothing.
---@param one stoke.mcp.resource
---@param uri string that was asked for
---@param value any
---@return table|nil contents
---@return string|nil problem
function M.contents(one, uri, value)
  if value == nil then return nil end
  if type(value) == "string" then value = utf8.len(value) and { text = value } or { bytes = value } end
  if type(value) ~= "table" or type(value.text or value.bytes) ~= "string" then
    return nil, ("the resource %s gave %s; a text, { text = } or { bytes = } is wanted"):format(one.uri, errors.describe(value))
  end
  local text = type(value.text) == "string" and utf8.len(value.text) and value.text or nil
  return { uri = uri, mimeType = value.mime or one.mime or text and "text/plain" or "application/octet-stream", text = text,
    blob = not text and hash.base64(value.bytes or value.text) or nil }
end

--- A prompt in a list.
---@param one stoke.mcp.prompt
---@return table
function M.shown(one)
  local described, required, list = one.arguments:json_schema(), {}, {}
  for _, name in ipairs(described.required or {}) do required[name] = true end
  local names = {}
  for name in next, described.properties or {} do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    list[i] = { name = name, description = described.properties[name].description, required = required[name] or nil }
  end
  return { name = one.name, description = one.description, arguments = list[1] and json.array(list) or nil }
end

--- What a prompt gave, as messages.
---@param one stoke.mcp.prompt
---@param value any
---@return table|nil messages
---@return string|nil problem
function M.messages(one, value)
  if type(value) == "string" then value = { { role = "user", content = value } } end
  local out = {}
  for i, message in ipairs(type(value) == "table" and value or {}) do
    local content = type(message) == "table" and message.content
    if type(content) == "string" then content = { type = "text", text = content } end
    if type(content) ~= "table" then break end
    out[i] = { role = message.role == "assistant" and "assistant" or "user", content = content }
  end
  if not out[1] or #out ~= #value then
    return nil, ("the prompt %s gave %s; a text, or messages { { role =, content = } ... } are wanted"):format(one.name,
      errors.describe(value))
  end
  return json.array(out)
end

return M
