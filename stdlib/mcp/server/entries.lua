--- What an MCP server of ours offers: tools and agents, resources, prompts; given by a script, or by a file.

local agent = require "stoke.agent"
local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local modules = require "core.modules"
local offers = require "stoke.mcp.offers"
local tool = require "stoke.tool"

local M = {}

---@class stoke.mcp.entries
---@field tools table a list of { name, tool, agent }, and each of these by its name
---@field resources stoke.mcp.resource[]
---@field prompts stoke.mcp.prompt[] also by their names

local function is_agent(value) return getmetatable(value) == agent.Agent end
local function is_offer(value) return tool.is(value) or is_agent(value) or offers.kind(value) ~= nil end

local WANTED <const> = "a tool, an agent, a resource or a prompt"

--- A tool or an agent, as what clients call.
local function entry(value, name)
  local made = tool.is(value) and value or value:as_tool { name = name and name:gsub("[^%w_-]", "_") or nil }
  return { name = name or made.name, tool = made, agent = not tool.is(value) and value or nil }
end

local function add(entries, value, name, where)
  local kind = offers.kind(value)
  if kind == "resource" then
    for _, known in ipairs(entries.resources) do
      if known.uri == value.uri then errors.argument("%s: two resources are at %s", where, value.uri) end
    end
    entries.resources[#entries.resources + 1] = value
    return
  end
  local list = kind and entries.prompts or entries.tools
  local one = kind and value or entry(value, name)
  if list[one.name] then errors.argument("%s: two %ss are named %s", where, kind or "tool", one.name) end
  list[one.name], list[#list + 1] = one, one
end

local function new() return { tools = {}, resources = {}, prompts = {} } end

--- Tools, agents, resources and prompts: one, a list, or a map of names to tools and agents.
---@param given any
---@param where string for errors
---@return stoke.mcp.entries
---Raises `argument`.
---
--- Example: `entries.given({ dice, poet }, "tools.lua")`
function M.given(given, where)
  if is_offer(given) then given = { given } end
  if type(given) ~= "table" then errors.argument("%s: %s expected, got %s", where, WANTED, errors.describe(given)) end
  local entries, names = new(), {}
  for i, value in ipairs(given) do
    if not is_offer(value) then errors.argument("%s[%d] must be %s, got %s", where, i, WANTED, errors.describe(value)) end
    add(entries, value, nil, where)
  end
  for name, value in next, given do
    if math.type(name) ~= "integer" then
      if type(name) ~= "string" or not is_offer(value) then
        errors.argument("%s.%s must be %s, got %s", where, tostring(name), WANTED, errors.describe(value))
      end
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do add(entries, given[name], name, where) end
  return entries
end

--- Does a file return what it offers?
local function offers_of(value)
  if is_offer(value) then return true end
  local offered = false
  for _, item in next, type(value) == "table" and value or {} do
    offered = is_offer(item)
    if not offered then break end
  end
  return offered
end

local KINDS <const> = { "tool", "agent", "mcp.resource", "mcp.prompt" }

--- All that a file has made with a name.
local function made_by(path)
  local entries = new()
  for _, kind in ipairs(KINDS) do
    local found, names = modules.newest(path, kind), {}
    for name in next, found do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do add(entries, found[name], nil, path) end
  end
  return entries
end

--- What a file offers: what it returns, else all tools, agents, resources and prompts with a name that it made.
---@param path string
---@param value any what it returned
---@return fun(): stoke.mcp.entries source asked again after each reload; raises `usage` when there is nothing
---
--- Example: `local source = entries.of_file("tools.lua", script.run_body "tools.lua")`
function M.of_file(path, value)
  return function()
    local file = modules.by_path[path]
    local now = file and file.value or value
    local entries = offers_of(now) and M.given(now, path) or made_by(path)
    if not (entries.tools[1] or entries.resources[1] or entries.prompts[1]) then
      errors.raise("usage", path .. " has no tool and no agent with a name", { hint = "return { a_tool, an_agent } at its end" })
    end
    return entries
  end
end

--- What clients see of each kind, as digests: one that differs is a list that has changed.
---@param entries stoke.mcp.entries
---@return table<"tools"|"resources"|"prompts", string>
---
--- Example: `local before = entries.digests(offered)`
function M.digests(entries)
  local tools, resources, prompts = {}, {}, {}
  for i, one in ipairs(entries.tools) do tools[i] = { one.name, one.tool:definition() } end
  for i, one in ipairs(entries.resources) do resources[i] = offers.listed(one) end
  for i, one in ipairs(entries.prompts) do prompts[i] = offers.shown(one) end
  local function digest(list) return hash.sha256(json.encode(json.array(list))) end
  return { tools = digest(tools), resources = digest(resources), prompts = digest(prompts) }
end

return M
