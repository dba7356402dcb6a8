--- The agents that are served, by the names their clients know them by.

local errors = require "core.errors"
local hash = require "core.hash"
local modules = require "core.modules"
local agent = require "stoke.agent"

local M = {}

---@class stoke.serve.entry
---@field name string what clients call it: its agent's name, blanks as `-`
---@field handle stoke.agent

---@class stoke.serve.registry
---@field source fun(): stoke.serve.entry[]
---@field behind? stoke.serve.behind models that are offered beside the agents
local Registry = {}
Registry.__index = Registry

local function is_agent(value) return getmetatable(value) == agent.Agent end

--- A name that every client takes: blanks as `-`.
local function public(name) return (name:gsub("%s+", "-")) end

local NAME = "^[%w_][%w_.-]*$"

local function add(list, where, name, handle)
  name = public(name)
  if not name:find(NAME) or #name > 80 then
    errors.argument("%s: %q is no name of a model: letters, digits, `_`, `-` and `.`, at most 80", where, name)
  end
  for _, entry in ipairs(list) do
    if entry.name:lower() == name:lower() then errors.argument("%s: two agents are named %s", where, name) end
  end
  list[#list + 1] = { name = name, handle = handle }
end

local function by_name(list)
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- An agent, a list of agents with names, or a map of names to agents, as entries.
---@param where string "stoke.serve: agents"
---@param given any
---@return stoke.serve.entry[]
---Raises `argument`.
---
--- Example: `registry.entries("stoke.serve: agents", { bot, poet = other })`
function M.entries(where, given)
  if is_agent(given) then given = { given } end
  if type(given) ~= "table" then
    errors.argument("%s must be an agent, a list or a map of agents, got %s", where, errors.describe(given))
  end
  local list = {}
  for key, value in next, given do
    if not is_agent(value) then
      errors.argument("%s[%s] must be an agent, got %s", where, tostring(key), errors.describe(value))
    end
    local name = type(key) == "string" and key or value.definition.name
    if not name then
      errors.argument("%s[%s] has no name: an agent that is served needs one", where, tostring(key))
    end
    add(list, where, name, value)
  end
  return by_name(list)
end

--- Does a file return agents, that is: are these what it offers?
local function offers(value)
  if is_agent(value) then return true end
  if type(value) ~= "table" or next(value) == nil then return false end
  for _, item in next, value do
    if not is_agent(item) then return false end
  end
  return true
end

--- The agents of a file that was loaded: those it returns, an agent, a list or a map of them; else all that it made with a name.
---@param path string
---@param value any what it returned
---@return fun(): stoke.serve.entry[] source asked again after each reload
---
--- Example: `local source = registry.of_file("town.lua", script.run_body "town.lua")`
function M.of_file(path, value)
  return function()
    if offers(value) then return M.entries(path, value) end
    local list = {}
    for name, handle in next, modules.newest(path, "agent") do add(list, path, name, handle) end
    return by_name(list)
  end
end

--- A registry of what a source gives.
---@param source fun(): stoke.serve.entry[]
---@return stoke.serve.registry
---Raises `argument` when a name is none, or is there twice.
---
--- Example: `local known = registry.new(function() return registry.entries("agents", list) end)`
function M.new(source)
  local self = setmetatable({ source = source, since = {} }, Registry)
  self:refresh()
  return self
end

--- Ask the source again.
function Registry:refresh()
  local list = self.source()
  local index = {}
  for _, entry in ipairs(list) do index[entry.name:lower()] = entry end
  self.list, self.index = list, index
end

--- The name without what Ollama's clients add to it.
local function short(name)
  name = name:lower():gsub("^registry%.ollama%.ai/", ""):gsub("^library/", ""):gsub(":latest$", "")
  return (name:gsub("%s+", "-"))
end

--- Find a model as Ollama does: in any case, with or without ":latest".
---@param name string
---@return stoke.serve.entry|stoke.serve.model|nil
---
--- Example: `local entry = known:find "Poet:latest"`
function Registry:find(name)
  return self.index[short(name)] or self.behind and self.behind:find(name) or nil
end

--- A name that is nearly this one. Nothing is near a name without a letter.
---@param name string
---@return string|nil
---
--- Example: `known:near "peot" --> "poet"`
function Registry:near(name)
  if not name:find "%w" then return nil end
  local names = {}
  for i, entry in ipairs(self.list) do names[i] = entry.name end
  if self.behind then
    for _, one in ipairs(self.behind:names()) do names[#names + 1] = one end
  end
  return errors.suggest(short(name), names)
end

--- What is different in an agent that is different: hexadecimal, as the digest of a model. The same definition has the same one.
---@param entry stoke.serve.entry
---@return string
---
--- Example: `registry.digest(entry)`
function M.digest(entry)
  local definition = entry.handle.definition
  local parts = { entry.name, definition.model or "", tostring(definition.endpoint),
    type(definition.instructions) == "string" and definition.instructions or "" }
  for _, tool in ipairs(definition.tools) do parts[#parts + 1] = tool.name .. "\0" .. (tool.description or "") end
  return hash.sha256(table.concat(parts, "\1"))
end

--- A time that is no whole second: some clients read none without a fraction.
---@param wall number
---@return number
---
--- Example: `registry.broken(1.0) --> 1.000001`
function M.broken(wall) return wall % 1 < 1e-6 and wall + 1e-6 or wall end

--- When a definition came into force here: seconds since 1970. A reload that changes it makes it newer.
---@param entry stoke.serve.entry
---@param now number
---@return number
function Registry:modified(entry, now)
  local digest, known = M.digest(entry), self.since[entry.name]
  if not known or known.digest ~= digest then
    known = { digest = digest, at = M.broken(now) }
    self.since[entry.name] = known
  end
  return known.at
end

return M
