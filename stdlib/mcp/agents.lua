--- The servers of an agent: `mcp = "files"`, `mcp = { "files", "git" }`. They are reached when the agent first runs; each run has
--- the tools that they offer when it begins.

local client = require "stoke.mcp.client"
local config = require "stoke.mcp.config"
local errors = require "core.errors"
local json = require "core.json"
local mcp = require "stoke.mcp"
local testbed = require "core.testbed"

local M = {}

local shared = {} -- clients by what describes them: a reload, and other agents, use those that are there

local function share(key, make)
  local known = key and shared[key]
  if known and not known.closed then return known end
  local made = make()
  if key then shared[key] = made end
  if testbed.running then table.insert(testbed.leaving, function() made:close() end) end
  return made
end

local function of_spec(where, spec)
  local checked = config.check(spec, where)
  local ok, key = pcall(json.digest, spec)
  return share(ok and key or nil, function() return client.new(checked) end)
end

--- One server: a name of .mcp.json, a description, or what stoke.mcp.connect gave. No file is read yet.
local function server(where, given)
  if getmetatable(given) == client.Client then return given end
  if type(given) == "string" and given ~= "" then
    return share("name " .. given, function() return client.new { name = given, configured = true } end)
  elseif type(given) == "table" then
    return of_spec(where, given)
  end
  errors.argument("%s must be a name of .mcp.json, { command = ... } or { url = ... }, got %s", where, errors.describe(given))
end

--- The servers of an agent, checked; none is reached.
---@param where string "stoke.agent helper: mcp"
---@param given any
---@return stoke.mcp.client[]
---Raises `argument`.
---
--- Example: `local servers = agents.servers("stoke.agent: mcp", { "files", "git" })`
function M.servers(where, given)
  if type(given) ~= "table" or getmetatable(given) == client.Client or given.command or given.url then
    return { server(where, given) }
  end
  errors.list(where, given)
  local out = {}
  for i, one in ipairs(given) do out[i] = server(("%s[%d]"):format(where, i), one) end
  return out
end

--- What an agent is with the tools of its servers, as they are now: the same as before while they are the same.
---@param definition table of the agent
---@param servers stoke.mcp.client[]
---@param add fun(definition: table, tools: stoke.tool[]) gives a definition these tools
---@return table definition
---Raises what stoke.mcp.tools raises.
---
--- Example: `definition = agents.with(definition, servers, add)`
function M.with(definition, servers, add)
  local stamps = {}
  for i, one in ipairs(servers) do
    one:list()
    stamps[2 * i - 1], stamps[2 * i] = one.order, one.accepted or 0
  end
  local known = rawget(definition, "with_servers")
  local same = known ~= nil and known.of == definition and #known.stamps == #stamps
  for i = 1, #stamps do same = same and known.stamps[i] == stamps[i] end
  if same then return known.definition end
  local own = {}
  for i, one in ipairs(definition.tools) do own[i] = one.name end
  local tools = table.move(definition.tools, 1, #definition.tools, 1, {})
  for _, one in ipairs(mcp.tools(servers, own)) do tools[#tools + 1] = one end
  local made = setmetatable({ ready = false }, { __index = definition })
  add(made, tools)
  definition.with_servers = { of = definition, stamps = stamps, definition = made }
  return made
end

return M
