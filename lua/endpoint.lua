--- Endpoints: a model server as a value. It is looked up by name or address once, when a call or an agent run begins, and passed
--- on: to the gate that waits for a slot, to the driver, to the dialect that finishes the request. The settings define the
--- endpoints (M.resolve, set by stoke.config).
---
--- A target is one model at one endpoint, with its dialect: the destination of a call.

local errors = require "core.errors"

local M = {}

---@class stoke.endpoint
---@field name string
---@field url string
---@field meant string the configured address: a simulator that replaces it changes neither policy nor health
---@field dialect string|false the name of its protocol, "ollama"; false: nobody has said, and it was not asked yet
---@field unsaid? boolean its dialect was found out by asking: a run has that on its tape
---@field headers string[] "Name: value", its key among them
---@field auto_pull? boolean
---@field chosen boolean it was named by who asks
---@field names? table<string, string> models that have another name on that server
---@field health stoke.endpoint.health
---@field targets table<string|false, stoke.target> by model; false = no model
---@field own table<string|false, stoke.target> the same, for those at this endpoint itself whatever the routes say
---@field requests table<string, any> cache of the dialect: prepared request options

---@class stoke.endpoint.health its observed health; survives a change of the settings
---@field left? number retries left; nil = all (lua/gate/retry.lua)
---@field epoch? integer of the retry gate; a new epoch resets the retries

---@class stoke.target
---@field name string|nil the model, as the caller wrote it
---@field endpoint stoke.endpoint
---@field dialect table see lua/driver/llm.lua
---@field key string|nil calls with the same key share the slots
---@field learned table learned from its answers (token rates, windows): plain data
---@field served string|nil the model, as its server calls it
---@field candidates stoke.target[] possible destinations of a call, the preferred one first: the target itself, or those of its
---  route. Beside them: `route`, its name; `run`, the agent run that asks; `class` and `deadline` of a call that has its own
---@field route? stoke.route where there is one: its request is finished for the candidate that it was granted
---@field set_window? integer|"auto" the context window set by the settings
---@field sampling? table default options of calls

--- Name, address or false (the default) -> endpoint; created once per revision of the settings. Who asks with every call looks here
--- before M.of; nobody keeps this table, as a change replaces it.
---@type table<string|false, stoke.endpoint>
M.known = {}
local count = 0

--- Targets of routes that calls give themselves, by what M.route was told; looked into before M.route, and replaced by a change.
---@type table<string, stoke.target>
M.along = {}
local along_count = 0

--- Limit of cached endpoints: an address is a name too, and a script may use many. At the limit the cache is emptied.
local ENDPOINTS_MAX <const> = 256

--- Health by name and address: it survives a change of the settings. Bounded in the same way.
local healths, health_count = {}, 0
--- Learned facts by a target's key; at most LEARNED_MAX of them.
local learned, learned_count, LEARNED_MAX <const> = {}, 0, 4096

--- Hook: look up the settings of an endpoint, fun(name?): { name, url, meant?, headers, key?, dialect?, auto_pull? }. dialect =
--- false: it is to be asked. Raises `usage`.
function M.resolve()
  errors.raise("usage", "no endpoints are known yet", { hint = "the settings have not been read" })
end

--- Hook: where a model is asked, unless that is at its endpoint: fun(endpoint, model, dialect): targets|nil, route.
function M.routed() end

local function header(name, value, endpoint)
  if not name:find "^[%w!#$%%&'*+.^_`|~-]+$" or value:find "[\r\n%z]" then -- the value may be a secret: not shown
    errors.raise("usage", ("endpoint %s: the header %q cannot be sent"):format(endpoint, name),
      { hint = "a name has letters, digits and dashes; a value has one line" })
  end
  return name .. ": " .. value
end

local function headers_of(settings)
  local headers, names, authorized = { "Content-Type: application/json" }, {}, false
  for name in next, settings.headers do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    headers[#headers + 1] = header(name, settings.headers[name], settings.name)
    authorized = authorized or name:lower() == "authorization"
  end
  if settings.key and not authorized then
    headers[#headers + 1] = header("Authorization", "Bearer " .. settings.key, settings.name)
  end
  return headers
end

local function health_of(name, meant)
  local key = name .. "\n" .. meant
  local health = healths[key]
  if not health then
    if health_count >= ENDPOINTS_MAX then healths, health_count = {}, 0 end
    health, health_count = {}, health_count + 1
    healths[key] = health
  end
  return health
end

local function dialect_of(settings)
  if settings.dialect == nil then return "ollama" end
  return settings.dialect
end

--- The endpoint of a name or an address; nil = the default one.
---@param name? string
---@return stoke.endpoint endpoint the same table each time, until the settings change
---Raises `usage` for a name that no settings know, and for headers that cannot be sent.
function M.of(name)
  local endpoint = M.known[name or false]
  if endpoint then return endpoint end
  local settings = M.resolve(name)
  local meant = settings.meant or settings.url
  endpoint = { name = settings.name, url = settings.url, meant = meant, dialect = dialect_of(settings),
    headers = headers_of(settings), auto_pull = settings.auto_pull, health = health_of(settings.name, meant), targets = {},
    own = {}, names = settings.models, chosen = name ~= nil, requests = {} }
  if endpoint.headers[2] then require "core.redact".learn_headers(endpoint.headers, true) end
  if settings.url:find("@", 1, true) then require "core.redact".learn_url(settings.url, true) end
  if count >= ENDPOINTS_MAX then M.known, count = {}, 0 end
  M.known[name or false], count = endpoint, count + 1
  return endpoint
end

--- The facts learned about a model, by its target's key.
local function facts_of(key)
  local facts = learned[key or false] or {}
  if not key or learned[key] then return facts end
  if learned_count >= LEARNED_MAX then learned, learned_count = {}, 0 end
  learned[key], learned_count = facts, learned_count + 1
  return facts
end

--- What the server of an endpoint calls a model.
local function served(endpoint, model)
  local names = endpoint.names
  if not names or not model then return model end
  return names[model] or names[model .. ":latest"] or names[model:match "^(.*):latest$" or false] or model
end

--- A target, filled but for what its dialect adds.
local function new(name, endpoint, dialect, key)
  return { name = name, endpoint = endpoint, dialect = dialect, key = key, learned = facts_of(key), candidates = nil,
    set_window = nil, sampling = nil, served = nil }
end

--- The target of one model at this very endpoint, whatever the routes say. (One with another dialect than the endpoint's own is not
--- cached.)
---@param endpoint stoke.endpoint
---@param model string|nil nil: the request concerns no model
---@param dialect table
---@return stoke.target
function M.plain(endpoint, model, dialect)
  local target = endpoint.own[model or false]
  if target and target.dialect == dialect then return target end
  local name = served(endpoint, model)
  target = new(model, endpoint, dialect, name and endpoint.url .. " " .. (dialect.canonical and dialect.canonical(name) or name))
  target.candidates, target.served = { target }, name
  if dialect.open then dialect.open(target) end
  if dialect.name == (endpoint.dialect or "ollama") then endpoint.own[model or false] = target end
  return target
end

local function of_route(model, dialect, targets, route)
  local target = new(model, targets[1].endpoint, dialect, "route " .. route.key)
  target.candidates, target.route, target.served = targets, route, model
  if dialect.open then dialect.open(target) end
  return target
end

--- The target of calls with a route of their own.
---@param key string M.along has it under this
---@param model string as it is asked for: what a recording finds the calls by
---@param dialect table
---@param targets stoke.target[] those of the route
---@param route stoke.route
---@return stoke.target
function M.route(key, model, dialect, targets, route)
  if along_count >= ENDPOINTS_MAX then M.along, along_count = {}, 0 end
  local target = of_route(model, dialect, targets, route)
  M.along[key], along_count = target, along_count + 1
  return target
end

--- The target of one model at an endpoint, or along its route.
---@param endpoint stoke.endpoint
---@param model string|nil nil: the request concerns no model
---@param dialect table
---@return stoke.target target the same table each time, until the settings change
---Raises `usage` for a route with a mistake in it.
function M.target(endpoint, model, dialect)
  local target = endpoint.targets[model or false]
  if target and target.dialect == dialect then return target end
  local targets, route = nil, nil
  if model then targets, route = M.routed(endpoint, model, dialect) end
  target = targets and of_route(model, dialect, targets, route) or M.plain(endpoint, model, dialect)
  if dialect.name == (endpoint.dialect or "ollama") and not endpoint.unsaid then endpoint.targets[model or false] = target end
  return target
end

--- The settings have changed: endpoints and targets are created again. Running calls keep those they have.
function M.changed()
  M.known, count = {}, 0
  M.along, along_count = {}, 0
end

--- Forget the facts learned about all models, so that a test does not depend on the one before.
function M.forget()
  for _, facts in next, learned do
    for name in next, facts do facts[name] = nil end
  end
end

return M
