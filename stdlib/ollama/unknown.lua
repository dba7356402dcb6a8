--- A model that the server does not have: which one was probably meant? The server is asked for its models, at most once in a
--- while, and only after such an error.

local options = require "stoke.ollama.options"
local routes = require "stoke.config.routes"
local terms = require "core.terms"

local M = {}

--- Seconds that an answer holds, and that the server has for one.
local FRESH <const>, PATIENCE <const> = 10, 2

--- By endpoint: { at =, names = }.
local lists = setmetatable({}, { __mode = "k" })

local function request(target)
  return { protocol = "ollama", path = "/api/tags", method = "GET", endpoint = target.endpoint.name, once = true,
    timeouts = { total = PATIENCE, first_byte = PATIENCE, connect = PATIENCE } }
end

--- The names of a server's models; none where it does not tell.
local function names_at(target, ask)
  local known, now = lists[target.endpoint], terms.now()
  if known and now - known.at < FRESH then return known.names end
  local value, err = ask(request(target))
  if err and err.kind == "cancelled" then return nil, err end
  local names = {}
  for _, model in ipairs(type(value) == "table" and type(value.models) == "table" and value.models or {}) do
    local name = type(model) == "table" and model.name
    if type(name) == "string" then names[#names + 1] = name end
  end
  table.sort(names)
  lists[target.endpoint] = { at = now, names = names }
  return names
end

--- Put into the hint of an error which name was meant.
---@param err stoke.error of a missing model
---@param q table the request
---@param target stoke.target
---@param ask fun(q: table): any, stoke.error?
---@return stoke.error|nil cancelled
---
--- Example: `local stopped = unknown.inquire(err, q, target, ask)`
function M.inquire(err, q, target, ask)
  local name = target.served or q.model
  if type(name) ~= "string" or routes.named(name) then return nil end -- the hint says that a route lists models
  local names, stopped = names_at(target, ask)
  if not names then return stopped end
  local near, route = routes.near(name, names)
  if not near or not route and options.canonical(near) == options.canonical(name) then return nil end
  local hint = rawget(err, "hint")
  err.hint = ("did you mean %s?%s"):format(route and ("the route %q of the settings"):format(near) or near,
    hint and (" otherwise: %s"):format(hint) or "")
end

return M
