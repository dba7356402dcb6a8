--- Endpoints: a model server as a value. One is found by its name or address once, at the beginning of a call or of an agent run,
--- and handed on: to the gate that waits for a slot, to the driver, to the dialect that finishes the request. The settings say what
--- there is (M.resolve, set by stoke.config).
---
--- A target is one model at one endpoint, as its dialect sees it: what a call may be sent to.

local errors = require "core.errors"

local M = {}

---@class stoke.endpoint
---@field name string
---@field url string
---@field meant string the address it stands for: a simulator in its place changes neither policy nor health
---@field dialect string the name of its wire, "ollama"
---@field headers string[] "Name: value", its key among them
---@field auto_pull? boolean
---@field health stoke.endpoint.health
---@field targets table<string|false, stoke.target> by model; false = none
---@field requests table<string, any> of the dialect: options of requests that were prepared once

---@class stoke.endpoint.health what is known of how it does; kept while the settings change
---@field left? number retries that may be made; nil = all (lua/gate/retry.lua)
---@field epoch? integer of the retry gate

---@class stoke.target
---@field name string|nil the model, as it was given
---@field endpoint stoke.endpoint
---@field dialect table see lua/driver/llm.lua
---@field key string|nil calls with one key wait for each other
---@field learned table what its answers have taught: plain data
---@field candidates stoke.target[] itself alone: what a call may be sent to
---@field set_window? integer|"auto" the window that the settings give it
---@field sampling? table options of calls that do not say

--- Name, address or false (the default) -> endpoint; made once a revision of the settings.
local known, count = {}, 0

--- Endpoints kept at most: an address is a name, too, and a script may come by many. Beyond, all are made anew.
local MOST <const> = 256

--- By name and address: what outlives a change of the settings. Bounded in the same way.
local healths, health_count = {}, 0
--- By a target's key; at most LEARNED of them.
local learned, learned_count, LEARNED <const> = {}, 0, 4096

--- Find the settings of an endpoint: fun(name?): { name, url, meant?, headers, key?, dialect?, auto_pull? }. Raises `usage`.
function M.resolve()
  errors.raise("usage", "no endpoints are known yet", { hint = "the settings have not been read" })
end

local function header(name, value, endpoint)
  if not name:find "^[%w!#$%%&'*+.^_`|~-]+$" or value:find "[\r\n%z]" then -- the value may be a secret: not shown
    errors.raise("usage", ("endpoint %s: the header %q cannot be sent"):format(endpoint, name),
      { hint = "a name has letters, digits and dashes; a value has one line" })
  end
  return name .. ": " .. value
end

local function headers_of(given)
  local headers, names, authorized = { "Content-Type: application/json" }, {}, false
  for name in next, given.headers do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    headers[#headers + 1] = header(name, given.headers[name], given.name)
    authorized = authorized or name:lower() == "authorization"
  end
  if given.key and not authorized then headers[#headers + 1] = header("Authorization", "Bearer " .. given.key, given.name) end
  return headers
end

local function health_of(name, meant)
  local key = name .. "\n" .. meant
  local health = healths[key]
  if not health then
    if health_count >= MOST then healths, health_count = {}, 0 end
    health, health_count = {}, health_count + 1
    healths[key] = health
  end
  return health
end

--- The endpoint of a name or an address; nil = the default one.
---@param name? string
---@return stoke.endpoint endpoint the same table each time, until the settings change
---Raises `usage` for a name that no settings know, and for headers that cannot be sent.
function M.of(name)
  local endpoint = known[name or false]
  if endpoint then return endpoint end
  local given = M.resolve(name)
  local meant = given.meant or given.url
  endpoint = { name = given.name, url = given.url, meant = meant, dialect = given.dialect or "ollama", headers = headers_of(given),
    auto_pull = given.auto_pull, health = health_of(given.name, meant), targets = {}, requests = {} }
  if count >= MOST then known, count = {}, 0 end
  known[name or false], count = endpoint, count + 1
  return endpoint
end

--- What is known of a model, by its target's key.
local function facts_of(key)
  local facts = learned[key or false] or {}
  if not key or learned[key] then return facts end
  if learned_count >= LEARNED then learned, learned_count = {}, 0 end
  learned[key], learned_count = facts, learned_count + 1
  return facts
end

--- One model at an endpoint. (One that is asked in another dialect than the endpoint's own is not kept.)
---@param endpoint stoke.endpoint
---@param model string|nil nil: what is asked is about no model
---@param dialect table
---@return stoke.target target the same table each time, until the settings change
function M.target(endpoint, model, dialect)
  local target = endpoint.targets[model or false]
  if target and target.dialect == dialect then return target end
  target = { name = model, endpoint = endpoint, dialect = dialect, key = nil, learned = nil, candidates = nil, set_window = nil,
    sampling = nil }
  target.candidates = { target }
  local key = model and endpoint.url .. " " .. (dialect.canonical and dialect.canonical(model) or model)
  target.key = key
  target.learned = facts_of(key)
  if dialect.open then dialect.open(target) end
  if dialect.name == endpoint.dialect then endpoint.targets[model or false] = target end
  return target
end

--- The settings have changed: endpoints and targets are made anew. What runs keeps those it has.
function M.changed() known, count = {}, 0 end

--- Forget what answers have taught of every model, as at the beginning: a test does not depend on the one before.
function M.forget()
  for _, facts in next, learned do
    for name in next, facts do facts[name] = nil end
  end
end

return M
