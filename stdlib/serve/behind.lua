--- The models behind the agents, where they are offered beside them: which there are, and what is told of them.

local config = require "stoke.config"
local dialects = require "stoke.model.dialect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local json = require "stoke.json"
local model = require "stoke.model"
local names = require "stoke.ollama.options"
local ollama = require "stoke.ollama"
local ordered = require "core.ordered"
local routes = require "stoke.config.routes"

local M = {}

---@class stoke.serve.model: stoke.serve.entry a model that is passed through; it has no `handle`
---@field behind true
---@field item? table what its server tells of it, as Ollama's /api/tags has it

---@class stoke.serve.behind
---@field all boolean every model of the default endpoint, and every route of the settings
---@field list string[] those that were named
---@field looks stoke.serve.looks
local Behind = {}
Behind.__index = Behind

--- The models that are offered.
---@param given nil|boolean|string[] true: all of the default endpoint, and the routes of the settings
---@param looks stoke.serve.looks
---@return stoke.serve.behind|nil
---Raises `argument`.
---
--- Example: `local behind = behind.new({ "qwen2.5:3b", "fast" }, looks)`
function M.new(given, looks)
  if not given then return nil end
  if given == true then return setmetatable({ all = true, list = {}, looks = looks }, Behind) end
  if type(given) ~= "table" then
    errors.argument("stoke.serve: models must be true or a list of models and routes, got %s", errors.describe(given))
  end
  for i, name in ipairs(given) do
    if type(name) ~= "string" or name == "" then
      errors.argument("stoke.serve: models[%d] must be the name of a model or a route, got %s", i, errors.describe(name))
    end
  end
  return setmetatable({ all = false, list = given, looks = looks }, Behind)
end

-- ---- what a server has ----------------------------------------------------------------------------------------------------------

local function own_dialect(endpoint) return dialects.of(endpoints.of(endpoint)).name == "ollama" end

--- The models of an endpoint, by their canonical names, and in its order.
local function inventory(endpoint)
  local list, by_name = {}, {}
  if own_dialect(endpoint) then
    list = ollama.tags(endpoint).models
  else
    for i, m in ipairs(require "stoke.openai".models(endpoint)) do list[i] = { name = m.id, foreign = true } end
  end
  for _, item in ipairs(list) do by_name[names.canonical(item.name):lower()] = item end
  return { list = list, by_name = by_name }
end

--- `how`: "get", or "now" for who looks at the list itself.
local function inventory_of(self, endpoint, how)
  return self.looks[how or "get"](self.looks, "models " .. (endpoint or ""), inventory, endpoint)
end

--- Ask ahead what will be asked.
function Behind:ahead()
  if self.all then self.looks:ahead("models ", inventory, nil) end
end

local function entry(name, item) return { name = name, behind = true, item = item } end

--- The place of a named model in its server's list.
local function item_of(self, name)
  if routes.named(name) then return nil end
  local bare, endpoint = routes.parse(name)
  local known = inventory_of(self, endpoint, "now")
  return known and bare and known.by_name[names.canonical(bare):lower()]
end

--- All that are offered and there, as entries.
---@return stoke.serve.model[]
---
--- Example: `for _, m in ipairs(behind:entries()) do print(m.name) end`
function Behind:entries()
  local out = {}
  for i, name in ipairs(self.list) do out[i] = entry(name, item_of(self, name)) end
  if not self.all then return out end
  for _, name in ipairs(ordered.names(config.get().models)) do out[#out + 1] = entry(name) end
  local known = inventory_of(self, nil, "now")
  for _, item in ipairs(known and known.list or {}) do out[#out + 1] = entry(item.name, item) end
  return out
end

--- A model by the name that a client gives. Where the server's list is not known, it will say itself what it has.
---@param name string
---@return stoke.serve.model|nil
---
--- Example: `local found = behind:find "qwen2.5:3b"`
function Behind:find(name)
  if name == "" then return nil end
  local wanted = names.canonical(name):lower()
  for _, one in ipairs(self.list) do
    if names.canonical(one):lower() == wanted then return entry(one) end
  end
  if not self.all then return nil end
  local bare = name:gsub(":latest$", "")
  if routes.named(bare) then return entry(bare) end
  local known = inventory_of(self)
  if not known then return entry(name) end
  local item = known.by_name[wanted]
  if not item then -- it may have come since
    known = inventory_of(self, nil, "now")
    item = known and known.by_name[wanted]
  end
  return item and entry(item.name, item)
end

--- Names for did-you-mean.
---@return string[]
function Behind:names()
  local out = {}
  for i, one in ipairs(self:entries()) do out[i] = one.name:gsub(":latest$", "") end
  return out
end

-- ---- what is told ---------------------------------------------------------------------------------------------------------------

local NOBODY <const> = "0001-01-01T00:00:00Z"

--- The item of a model in /api/tags: its server's own, with the name that it has here.
---@param found stoke.serve.model
---@return string JSON
---
--- Example: `local text = behind.tag(found)`
function M.tag(found)
  local item = {}
  for key, value in next, found.item and not found.item.foreign and found.item or {} do item[key] = value end
  item.name, item.model = found.name, found.name
  item.modified_at, item.size = item.modified_at or NOBODY, item.size or 0
  item.digest = item.digest or ("0"):rep(64)
  item.details = item.details or { parent_model = "", format = "unknown", family = "unknown", families = json.array { "unknown" },
    parameter_size = "unknown", quantization_level = "unknown" }
  return (json.encode(item))
end

--- When a model changed, as its server says: seconds since 1970; 0 where it does not.
---@param found stoke.serve.model
---@return integer
---
--- Example: `local at = behind.modified(found)`
function M.modified(found)
  local y, mo, d, h, mi, s = tostring(found.item and found.item.modified_at or ""):match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
  if not y then return 0 end
  local year, month = tonumber(y), tonumber(mo) -- days from civil
  year = month <= 2 and year - 1 or year
  local era, day = year // 400, (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + tonumber(d) - 1
  local of_era = year % 400 * 365 + year % 400 // 4 - year % 400 // 100 + day
  return (era * 146097 + of_era - 719468) * 86400 + tonumber(h) * 3600 + tonumber(mi) * 60 + tonumber(s)
end

--- The model that is asked under a name.
---@param name string
---@return stoke.target
---Raises `usage` for an endpoint that nobody knows.
---
--- Example: `local target = behind.target(found.name)`
function M.target(name) return model.open(name) end

local function shown(name)
  local target = M.target(name)
  local first = target.candidates and target.candidates[1] or target
  if first.dialect.name == "ollama" then
    return ollama.show { model = first.served or first.name, endpoint = first.endpoint.name }
  end
  local can = model.capabilities(target) or {}
  local list = json.array {}
  for _, ability in ipairs { "completion", "tools", "vision", "thinking" } do
    if can[ability] or ability == "completion" then list[#list + 1] = ability end
  end
  return { details = {}, capabilities = list, window = model.window(target) }
end

--- What is told of a model in full: what its server says, as soon as it has.
---@param self stoke.serve.behind
---@param found stoke.serve.model
---@return table
---
--- Example: `local about = behind:show(found)`
function Behind:show(found)
  local told, out = self.looks:get("show " .. found.name, shown, found.name) or {}, {}
  for key, value in next, told do out[key] = value end
  out.window = nil
  out.capabilities = out.capabilities or json.array { "completion" }
  out.template, out.parameters = out.template or "{{ .Prompt }}", out.parameters or ""
  out.modelfile, out.modified_at = out.modelfile or "FROM " .. found.name .. "\n", out.modified_at or NOBODY
  out.details = out.details and next(out.details) and out.details
    or { parent_model = "", format = "unknown", family = "unknown", families = json.array { "unknown" },
      parameter_size = "unknown", quantization_level = "unknown" }
  out.model_info = out.model_info or { ["general.architecture"] = "unknown", ["general.basename"] = found.name,
    ["unknown.context_length"] = told.window or 8192 }
  return out
end

local function residents(endpoint) return own_dialect(endpoint) and ollama.ps(endpoint).models or {} end

--- The loaded ones of these models, as /api/ps has them: JSON texts.
---@return string[]
---
--- Example: `local list = behind:loaded()`
function Behind:loaded()
  local out, seen = {}, {}
  for _, one in ipairs(self.all and { "" } or self.list) do
    local bare, endpoint = routes.parse(one)
    local key = endpoint or ""
    local list = not seen[key] and self.looks:now("ps " .. key, residents, endpoint) or {}
    seen[key] = self.all or seen[key]
    for _, item in ipairs(list) do
      if self.all or bare and names.canonical(item.name) == names.canonical(bare) then out[#out + 1] = json.encode(item) end
    end
  end
  return out
end

return M
