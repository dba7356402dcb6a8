--- Which MCP servers there are: `.mcp.json` of the folder, then the user's own file. Both are in the form that other programs use,
--- { "mcpServers": { NAME: { command, args, env } | { url, headers } } } (`servers` in some). Nothing of it is started here.

local env = require "stoke.env"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"

local M = {}

local SPEC = { name = "string", command = "string", args = "table", env = "table", cwd = "string", sandbox = true, url = "string",
  headers = "table", timeout = true, start_timeout = "number", trust = "boolean", needs_approval = true,
  on_progress = "function", on_elicit = "function", roots = "table", era = "string" }

local function strings(given, what)
  local out = {}
  for i, value in ipairs(given or {}) do
    if type(value) ~= "string" and type(value) ~= "number" then
      errors.argument("%s[%d] must be a string, got %s", what, i, errors.describe(value))
    end
    out[i] = tostring(value)
  end
  return out
end

local function map(given, what)
  if not given then return nil end
  local out = {}
  for name, value in next, given do
    if type(name) ~= "string" or type(value) ~= "string" and type(value) ~= "number" then
      errors.argument("%s must be names with texts, got %s = %s", what, tostring(name), errors.describe(value))
    end
    out[name] = tostring(value)
  end
  return out
end

local function name_of(spec)
  if spec.name then return spec.name end
  local word = spec.url and spec.url:match "^%a+://([^/:?]+)" or spec.command:match "[^/]+$"
  for _, argument in ipairs(not spec.url and spec.args or {}) do
    if type(argument) == "string" and argument:find "^[%w@][%w@/._-]*$" then word = argument:match "[^/]+$" or word break end
  end
  return word
end

local function check_words(spec, what)
  local needs = spec.needs_approval
  if needs ~= nil and type(needs) ~= "boolean" and type(needs) ~= "table" and not errors.callable(needs) then
    errors.argument("%s: needs_approval must be true, false, a function or a table by names of tools", what)
  end
  for _, name in ipairs { "timeout", "start_timeout" } do
    local value = spec[name]
    if value ~= nil and not (name == "timeout" and value == false) and not (type(value) == "number" and value > 0) then
      errors.argument("%s: %s must be seconds above 0, got %s", what, name, errors.describe(value))
    end
  end
end

--- Check a description of a server.
---@param spec table
---@param what string for errors
---@return table spec a new one: name, argv or url, ...
---Raises `argument`.
function M.check(spec, what)
  spec = errors.options(spec, SPEC, what)
  if not spec or (spec.command == nil) == (spec.url == nil) then
    errors.argument("%s: either command, with args, or url says where the server is", what)
  end
  if spec.url and not spec.url:find "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]" then
    errors.argument("%s: url must begin with http:// or https://, got %q", what, spec.url)
  end
  check_words(spec, what)
  local out = {}
  for key, value in next, spec do out[key] = value end
  out.name, out.env, out.headers = name_of(spec), map(spec.env, what .. ": env"), map(spec.headers, what .. ": headers")
  if spec.command then
    if spec.command == "" then errors.argument("%s: command is empty", what) end
    out.argv = strings(spec.args, what .. ": args")
    table.insert(out.argv, 1, spec.command)
  end
  if spec.roots then out.roots = strings(spec.roots, what .. ": roots") end
  return out
end

-- ---- files ------------------------------------------------------------------------------------------------------------------

--- ${NAME} and ${NAME:-default}, as other programs have it.
local function expand(value, where)
  if type(value) == "table" then
    local out = {}
    for key, item in next, value do out[key] = expand(item, where) end
    return out
  end
  if type(value) ~= "string" then return value end
  return (value:gsub("%${([%a_][%w_]*)(:?%-?)([^}]*)}", function(name, mark, default)
    local known = env.get(name)
    if known and (known ~= "" or mark ~= ":-") then return known end
    if mark == ":-" then return default end
    errors.raise("usage", ("%s: the environment has no %s"):format(where, name),
      { hint = ("set it, or write ${%s:-value} for one that may be missing"):format(name) })
  end))
end

local KINDS = { stdio = true, http = true, ["streamable-http"] = true, streamableHttp = true }
local FIELDS = { "command", "args", "env", "cwd", "headers", "roots" }
local OURS = { sandbox = true, trust = "boolean", needs_approval = true, timeout = true, start_timeout = "number" }

--- A server of a file, as stoke.mcp.connect takes it.
local function spec_of(name, entry, path)
  local where = ("%s: %s"):format(path, name)
  local function refuse(...) errors.raise("usage", where .. ": " .. (...):format(select(2, ...))) end
  if type(entry) ~= "table" then refuse("an object expected, got %s", errors.describe(entry)) end
  local kind = entry.type or entry.transport
  if kind ~= nil and not KINDS[kind] then
    refuse("the transport %s is not known: stdio and http are%s", errors.describe(kind),
      kind == "sse" and " (sse was replaced in 2025; most such servers have http, too)" or "")
  end
  local spec = { name = name, url = entry.url or entry.serverUrl or entry.httpUrl }
  for _, field in ipairs(FIELDS) do
    local value = entry[field]
    if value ~= json.null then spec[field] = value end
  end
  if type(entry.stoke) == "table" then
    for key, value in next, errors.options(entry.stoke, OURS, where .. ": stoke") do spec[key] = value end
  end
  return expand(spec, where)
end

--- Where servers are configured.
---@return string[] paths
function M.places()
  local base = env.get "XDG_CONFIG_HOME"
  local home = env.get "HOME"
  if not base or base:sub(1, 1) ~= "/" then base = home and home .. "/.config" end
  return { ".mcp.json", base and base .. "/stoke/mcp.json" or nil }
end

--- The entries of a file as they stand there.
---@param path string
---@return table<string, table>|nil entries nil: there is no such file
---Raises `usage`, `os`.
function M.read(path)
  if not fs.stat(path) then return nil end
  local value, err = json.decode(fs.read(path))
  if err then errors.raise("usage", ("%s: %s"):format(path, err.message)) end
  local entries = type(value) == "table" and (value.mcpServers or value.servers)
  if type(entries) ~= "table" then
    errors.raise("usage", path .. " has no mcpServers", { hint = '{ "mcpServers": { "NAME": { "command": "...", "args": [] } } }' })
  end
  return entries
end

---@class stoke.mcp.configured
---@field name string
---@field path string the file it stands in
---@field disabled boolean
---@field entry table as it stands there

--- Every server that is configured; of one name the first file's.
---@param path? string this file alone
---@return stoke.mcp.configured[] by name
---Raises `usage`.
function M.all(path)
  local list, seen = {}, {}
  for _, place in ipairs(path and { path } or M.places()) do
    local entries = M.read(place)
    if not entries and path then errors.raise("usage", "no file " .. path) end
    for name, entry in next, entries or {} do
      if not seen[name] then
        seen[name] = true
        list[#list + 1] = { name = name, path = place, entry = entry, disabled = type(entry) == "table" and entry.disabled == true }
      end
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- The description of a configured server, with its variables filled in.
---@param name string
---@param path? string this file alone
---@return table spec
---Raises `usage`.
function M.find(name, path)
  local names = {}
  for _, one in ipairs(M.all(path)) do
    if one.name == name then return spec_of(name, one.entry, one.path) end
    names[#names + 1] = one.name
  end
  local near = errors.suggest(name, names)
  errors.raise("usage", ("no MCP server is named %s"):format(name), { hint = near and ("did you mean %s?"):format(near)
    or #names > 0 and "there are " .. table.concat(names, ", ") or "servers stand in .mcp.json: { \"mcpServers\": { ... } }" })
end

return M
