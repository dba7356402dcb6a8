--- What callers say of the cache: `cache = true | { ttl =, stale =, stale_if_error =, scope =, sampled =, identity =, semantic = }`
--- of a call, an agent, a scope, a route, or the settings, in this order; `false` switches it off. Until somebody asks for it no
--- call looks for an answer, and no file is opened.

local errors = require "core.errors"

local M = {}

---@class stoke.cache.settings
---@field ttl? number seconds for which an answer is fresh; nil: for ever
---@field stale? number seconds after that in which it is still given, and asked for anew beside
---@field stale_if_error? number seconds after that in which it is given where the call fails
---@field scope? string answers are shared inside it alone
---@field sampled? boolean answers that are drawn at random are kept, too
---@field identity? string what the model is, where its server does not tell: changed when the model is
---@field embeddings? boolean false: vectors are not
---@field semantic? boolean|table answers to questions that mean the same
---@field only? boolean nothing else is to answer, and it may be as old as it is

--- Has anybody asked for a cache?
M.on = false
--- Told when M.on changes; lua/effect.lua puts its own here.
function M.changed() end
--- Of calls for which nobody says anything; nil: none is cached.
---@type stoke.cache.settings|nil
M.default = nil
--- Hook of the semantic cache: the vector of a text, fun(model, endpoint?, text) -> packed|nil, digest|err. Set by stoke.model.
M.packed = nil
--- Hook of the semantic cache: a model's word on two questions, fun(model, endpoint?, a, b) -> same|nil, err. Set by stoke.model.
M.judge = nil
--- Bytes of the file, and its path: what the settings say; nil: the usual ones.
---@type integer|nil, string|nil
M.bytes, M.path = nil, nil

local NAMES = { ttl = "number", stale = "number", stale_if_error = "number", scope = "string", sampled = "boolean",
  identity = "string", embeddings = "boolean", semantic = true, only = "boolean", inherits = "boolean" }

--- Somebody wants a cache.
function M.use()
  if M.on then return end
  M.on = true
  M.changed()
end

local function check(what, given)
  if type(given) ~= "table" then
    errors.argument("%s: cache must be true, false or a table such as { ttl = 3600 }, got %s", what, errors.describe(given))
  end
  errors.options(given, NAMES, what .. ": cache")
  for _, name in ipairs { "ttl", "stale", "stale_if_error" } do
    local value = given[name]
    if value and not (value >= 0 and value < math.huge) then
      errors.argument("%s: cache.%s must be seconds, 0 or more, got %s", what, name, tostring(value))
    end
    if value and name ~= "ttl" and not given.ttl then
      errors.argument("%s: cache.%s says nothing without cache.ttl: an answer is fresh for ever", what, name)
    end
  end
  if given.identity == "" then errors.argument("%s: cache.identity must not be empty: it says which model it is", what) end
  if given.semantic then require "core.gate.semantic".check(what, given.semantic) end
end

--- Settings as somebody gives them.
---@param what string who was given them, for the error
---@param given any
---@return stoke.cache.settings|false|nil settings a copy; false: off; nil: nothing was said
---Raises `argument`.
---
--- Example: `local settings = settings.check("stoke.agent", given.cache)`
function M.check(what, given)
  if given == nil or given == false then return given end
  local out = {}
  if given ~= true then
    check(what, given)
    for name, value in next, given do out[name] = value end
  end
  M.use()
  return out
end

--- The settings of a call that nothing but the cache is to answer, however old it is.
---@param given boolean|table|nil what the call says
---@return stoke.cache.settings
function M.only(given)
  M.use()
  if type(given) ~= "table" then return { only = true, inherits = given == nil } end
  local out = { only = true }
  for name, value in next, given do out[name] = value end
  return out
end

--- What is said of a call beside what it says itself.
local function around(call)
  local terms, work = call.context.terms, call.work
  local said = terms and terms.cache
  if said == nil and work then said = work.route_cache end
  if said == nil then said = M.default end
  return said or nil
end

--- The settings of a call.
---@param call table of lua/effect.lua
---@return stoke.cache.settings|nil settings nil: it is not cached
function M.of(call)
  local work, said = call.work, nil
  if work then said = work.cache end
  if said == nil then return around(call) end
  if said and said.inherits then return setmetatable({ only = true }, { __index = around(call) }) end
  return said or nil
end

--- What is said of the file, beside what is said of calls.
local STORAGE <const> = { bytes = true, path = true, calls = true }

--- What the settings may say: as a call, and `calls = false`, `bytes` and `path`.
---@param what string
---@param given any
---@return stoke.cache.settings|false|nil calls
---Raises `argument`.
function M.check_all(what, given)
  if type(given) ~= "table" then return M.check(what, given) end
  local calls = {}
  for name, value in next, given do
    if not STORAGE[name] then calls[name] = value end
  end
  if given.calls ~= nil and type(given.calls) ~= "boolean" then
    errors.argument("%s: cache.calls must be true or false, got %s", what, errors.describe(given.calls))
  end
  if given.path ~= nil and (type(given.path) ~= "string" or given.path == "") then
    errors.argument("%s: cache.path must be the path of a file, got %s", what, errors.describe(given.path))
  end
  if given.calls == false then
    errors.options(calls, NAMES, what .. ": cache")
    return nil
  end
  return M.check(what, calls)
end

--- Put the settings of the configuration into force.
---@param given boolean|table|nil
---@param bytes? integer that the file may take
---Raises `argument`.
function M.configure(given, bytes)
  M.default = M.check_all("the settings", given) or nil
  M.bytes, M.path = bytes, type(given) == "table" and given.path or nil
end

--- No settings of the configuration: a test does not depend on them. Agents that were made with a cache keep it.
function M.forget() M.default, M.bytes, M.path = nil, nil, nil end

return M
