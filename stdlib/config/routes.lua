--- Routes: lists of models, each at its server, that a call may go to. The settings name them (`models = { fast = {
--- "qwen2.5:3b@gpu", "qwen2.5:1.5b@laptop" } }`), and then they are used like the name of a model; a call, an agent or a scope may
--- give one itself (`route =`).
---
--- An item is "model@endpoint"; "model" alone is at the default endpoint; "@endpoint" alone is the model that was asked for, there.

local cache = require "core.cache.settings"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local config = require "stoke.config"
local dialects = require "stoke.model.dialect"
local sorted_keys = require "stoke.show".sorted_keys

local M = {}

---@class stoke.route
---@field name string as errors and results call it
---@field key string the same for the same route
---@field items { model: string|nil, endpoint: string|nil }[] in the order in which they are preferred
---@field fallback? (string|{ text: string })[] what is asked when all of them fail
---@field cache? stoke.cache.settings|false
---@field source string|nil where the settings have it

--- The parts of "model@endpoint". "name@sha256:..." is a name alone.
---@param text string
---@return string|nil model
---@return string|nil endpoint
---
--- Example: `local model, endpoint = routes.parse "qwen2.5:3b@gpu"`
function M.parse(text)
  local model, endpoint = text:match "^([^@]*)@(.+)$"
  if not model or endpoint:find "^sha256:" then return text, nil end
  return model ~= "" and model or nil, endpoint
end

local function items_of(list)
  local items = {}
  for i, text in ipairs(list) do
    local model, endpoint = M.parse(text)
    items[i] = { model = model, endpoint = endpoint }
  end
  return items
end

--- A route of the settings.
---@param name string
---@return stoke.route|nil
---
--- Example: `local route = routes.named "fast"`
function M.named(name)
  local list = config.get().models[name]
  if not list then return nil end
  return { name = name, key = name, items = items_of(list), fallback = list.fallback,
    cache = cache.check("models." .. name, list.cache), source = config.source("models." .. name) }
end

--- What a name that nobody knows was probably meant for: a route of the settings, or one of some models. Of a model its name
--- without the tag says enough.
---@param name string
---@param models? string[] those that there are
---@return string|nil near
---@return boolean|nil route it is one
---
--- Example: `local near = routes.near("qwen25:3b", { "qwen2.5:3b", "llama3.2:latest" })`
function M.near(name, models)
  local names, meant = sorted_keys(config.get().models), {}
  name = name:match "^(.*):latest$" or name
  for _, model in ipairs(models or {}) do
    local short = model:match "^(.*):latest$" or model
    local bare = not name:find ":[^/]*$" and short:match "^(.*):[^/]*$" or short
    if not meant[bare] then names[#names + 1], meant[bare] = bare, short end
  end
  local near = errors.suggest(name, names)
  if not near then return nil end
  return meant[near] or near, not meant[near]
end

local function unknown(what, name)
  local names = sorted_keys(config.get().models)
  local near = M.near(name)
  local hint = near and ("did you mean %q?"):format(near)
  if not hint and config.get().endpoints[name] then hint = ("%s is an endpoint: route = { %q }"):format(name, "@" .. name) end
  errors.raise("usage", ("%s: no route is named %q"):format(what, name), { hint = hint or
    ("%smodels = { %s = { \"MODEL@ENDPOINT\", ... } } in stoke.config.lua makes one"):format(names[1] and
      ("known: %s; "):format(table.concat(names, ", ")) or "", name:find "^%a[%w_]*$" and name or ("[%q]"):format(name)),
      where = errors.site() })
end

local function listed(what, given)
  if type(given) ~= "table" then
    errors.argument("%s: route must be the name of one, or a list of models, got %s", what, errors.describe(given))
  end
  errors.list(what .. ": route", given)
  if #given == 0 then errors.argument("%s: the route names no model: { \"qwen2.5:3b@gpu\", ... }", what) end
  for i, text in ipairs(given) do
    if type(text) ~= "string" or not text:find "[^@]" or text:find "@$" then
      errors.argument("%s: route[%d] must be \"model\", \"model@endpoint\" or \"@endpoint\", got %s", what, i,
        type(text) == "string" and ("%q"):format(text) or errors.describe(text))
    end
  end
  local text = table.concat(given, ", ")
  return { name = text, key = "{" .. text .. "}", items = items_of(given) }
end

--- A route that somebody gives: the name of one, one model with its endpoint, or a list of them.
---@param what string who was given it, for the error
---@param given any
---@return stoke.route
---Raises `argument`; `usage` for a name or an endpoint that nobody knows.
---
--- Example: `local route = routes.of("stoke.agent", { "qwen2.5:3b@gpu", "@laptop" })`
function M.of(what, given)
  local route = type(given) == "string" and (M.named(given) or given:find("@", 1, true) and listed(what, { given })
    or unknown(what, given)) or listed(what, given)
  for _, item in ipairs(route.items) do
    if item.endpoint then config.endpoint(item.endpoint) end -- raises
  end
  return route
end

--- Where the settings send a model: a route of its name, or "model@endpoint" as a route of one.
---@param name string
---@return stoke.route|nil nil: it is a model of the endpoint that is asked
local function of_model(name)
  local route = M.named(name)
  if route then return route end
  if not name:find("@", 1, true) then return nil end
  local model, endpoint = M.parse(name)
  if not model or not endpoint then return nil end
  return { name = name, key = name, items = { { model = model, endpoint = endpoint } } }
end

--- The targets of a route, in its order.
---@param route stoke.route
---@param model string as it was asked for
---@param dialect table that shapes its calls: other servers have to adopt them
---@param only? stoke.endpoint where the call names one: the others are left out
---@return stoke.target[]
local function targets_of(route, model, dialect, only)
  local list, there = { route = route.name, route_cache = route.cache }, {}
  for _, item in ipairs(route.items) do
    local endpoint = endpoints.of(item.endpoint)
    there[#there + 1] = endpoint.name
    local own = dialects.of(endpoint)
    if own ~= dialect and not (own.adopt and dialect.adopt) then
      errors.raise("usage", ("the route %s mixes dialects: the endpoint %s speaks %s, %s"):format(route.name, endpoint.name,
        own.name, dialect.name), { hint = "a route may mix ollama and openai; others keep to themselves" })
    end
    if not only or only.meant == endpoint.meant then
      list[#list + 1] = endpoints.plain(endpoint, item.model or model, own)
    end
  end
  if not list[1] then
    errors.raise("usage", ("the route %s has no server at the endpoint %s"):format(route.name, only.name),
      { hint = "its endpoints: " .. table.concat(there, ", ") .. "; leave the endpoint of the call out" })
  end
  return list
end

--- The model that a call with a route asks for: what a recording finds it by.
---@param what string
---@param model string|nil as the call names it
---@param given any the route
---@return string model
---@return stoke.route route
---Raises `argument` where neither names one; as M.of.
---
--- Example: `local model = routes.model("stoke.agent", given.model, given.route)`
function M.model(what, model, given)
  local route = M.of(what, given)
  model = model or route.source and route.name
  for _, item in ipairs(route.items) do model = model or item.model end
  if not model then errors.argument("%s: model is missing: the route says where it is asked, and names none", what) end
  return model, route
end

--- Where a model is asked, unless that is its endpoint: for lua/endpoint.lua.
---@param endpoint stoke.endpoint
---@param model string
---@param dialect table
---@return stoke.target[]|nil targets
---@return stoke.route? route
---
--- Example: `local targets, route = routes.routed(endpoint, "fast", dialect)`
function M.routed(endpoint, model, dialect)
  local route = of_model(model)
  if route then return targets_of(route, model, dialect, endpoint.chosen and endpoint or nil), route end
end

--- An endpoint that the settings name, and that there is none of: what to do about it. nil: there is, or it is an address.
local function unknown_endpoint(here, known)
  if not here or known[here] or here:find "[.:/]" or here == "localhost" then return nil end
  local near = errors.suggest(here, sorted_keys(known))
  return near and ("did you mean %q?"):format(near) or ("known: %s; endpoints = { %s = { url = \"http://HOST:11434\" } } makes it")
    :format(table.concat(sorted_keys(known), ", "), here)
end

--- Do all routes of the settings, and all limits of the pool, name endpoints that there are? Called when they have been read.
---@param complain fun(source: string, key: string, problem: string, hint: string?)
---@param attempt fun(problems: table|nil, f: function, ...)
---@param problems? stoke.error[]
---
--- Example: `routes.check(shape.complain, shape.attempt)`
function M.check(complain, attempt, problems)
  local values = config.get()
  local function known(setting, key, here)
    local hint = unknown_endpoint(here, values.endpoints)
    return not hint or attempt(problems, complain, config.source(setting) or "the settings", key,
      ("names the endpoint %q, and there is none"):format(here), hint)
  end
  for _, name in ipairs(sorted_keys(values.models)) do
    for i, item in ipairs(items_of(values.models[name])) do
      if not known("models." .. name, ("models.%s[%d]"):format(name, i), item.endpoint) then
        values.models[name] = nil
        break
      end
    end
  end
  local slots = values.pool.slots
  for _, name in ipairs(type(slots) == "table" and sorted_keys(slots) or {}) do
    if not known("pool.slots", ("pool.slots[%q]"):format(name), name:match "@([^@]*)$") then slots[name] = nil end
  end
end

--- The target of a call with a route of its own, or one that the scope around it has.
---@param what string for errors
---@param model string|nil nil: the first that the route names
---@param given string|string[]
---@param dialect table
---@return stoke.target the same each time, until the settings change
---Raises as M.of.
---
--- Example: `local target = routes.target("ollama.chat", "qwen2.5:3b", { "@gpu", "@laptop" }, dialect)`
function M.target(what, model, given, dialect)
  local key = (model or "") .. "\n" .. (type(given) == "table" and table.concat(given, "\n") or given)
  local known = endpoints.along[key]
  if known and known.dialect == dialect then return known end
  local route
  model, route = M.model(what, model, given)
  return endpoints.route(key, model, dialect, targets_of(route, model, dialect), route)
end

return M
