--- The terms of one call: its class, its deadline and its route, see lua/terms.lua. For calls that have some; most have none.

local cache = require "core.cache.settings"
local core = require "core.terms"
local errors = require "core.errors"
local fallback = require "stoke.model.fallback"
local routes = require "stoke.config.routes"
local scopes = require "core.scope"
local usages = require "stoke.agent.usage"
local current = require "core.task".current

local M = {}

--- A call that names no model takes the one of its route.
---@param what string
---@param given table not changed
---@return table given with a model, where its route has one
---Raises `argument`, `usage`.
function M.with_model(what, given)
  local out = {}
  for name, value in next, given do out[name] = value end
  out.model = routes.model(what, nil, given.route)
  return out
end

--- The target of a call that has a class, a deadline or a cache of its own.
---@param what string
---@param given table
---@param target stoke.target
---@return stoke.target
---Raises `argument`.
function M.target(what, given, target)
  local list = { class = core.check(what, given.class), cache = cache.check(what, given.cache) }
  if given.deadline ~= nil then
    errors.check_seconds(given.deadline, what .. ": deadline")
    list.deadline = core.now() + given.deadline
  end
  for name, value in next, target.candidates do list[name] = value end
  return setmetatable({ candidates = list }, { __index = target })
end

--- waited: what it waited for, in words, where it was not sent at all.
local function late(what, given, target, waited)
  return errors.new("deadline", ("%s: %s did not answer within %g s%s"):format(what, target.name, given.deadline,
    waited and "; the call " .. waited or ""), { seconds = given.deadline, model = target.name, waited = waited,
      hint = "deadline counts from the call on, the wait for a slot and the load of the model among it" })
end

--- Make a call whose deadline ends it.
---@param what string
---@param given table { deadline = seconds }
---@param target stoke.target
---@param f fun(...): any, stoke.error?
---@return any value
---@return stoke.error? err
---Raises `cancelled`, and what f raises.
function M.within(what, given, target, f, ...)
  local arguments = table.pack(...)
  local outer = current()
  outer = outer and scopes.innermost(outer)
  local ends = core.now() + given.deadline
  local ok, value, err = pcall(function()
    local scope <close> = scopes.open { deadline = given.deadline } -- luacheck: ignore
    local value, err = f(table.unpack(arguments, 1, arguments.n))
    if type(value) == "table" and value.move then value:move(outer) end -- a stream goes on
    return value, err
  end)
  if not ok then
    if not errors.is(value) or value.kind ~= "deadline" or value.seconds ~= given.deadline then error(value, 0) end
    return nil, late(what, given, target, rawget(value, "waited"))
  end
  if type(value) == "table" and value.bound then value:bound(math.max(ends - core.now(), 0), late(what, given, target)) end
  return value, err
end

-- ---- fallbacks ----------------------------------------------------------------------------------------------------------------

--- The same call of a lower rung.
local function lowered(given, what)
  local out = {}
  for name, value in next, given do out[name] = value end
  if what.cache then
    out.cache = cache.only(given.cache)
  else
    out.model, out.endpoint, out.route = what.model, what.endpoint, nil
  end
  return out
end

--- A reply that no model has given.
local function said(text)
  return { message = { role = "assistant", content = text }, response = text, done = true, done_reason = "stop",
    usage = usages.new() }
end

--- What a route falls back to when all of its servers have failed.
---@param target stoke.target
---@return table[]|nil rungs
function M.rungs(target) return target.route and target.route.fallback end

--- The reply of a lower rung; `rung` is in it.
---@param given table the call
---@param target stoke.target
---@param err stoke.error
---@param ask fun(given: table): table|nil, stoke.error?
---@return table|nil reply
---@return stoke.error? err
function M.fall(given, target, err, ask)
  local reply, failed, rung = fallback.down(M.rungs(target), err, function(what)
    if what.text then return said(what.text) end
    return ask(lowered(given, what))
  end)
  if reply then reply.rung = rung end
  return reply, failed
end

--- The same for a stream: the four values of an iterator.
---@param given table
---@param target stoke.target
---@param err stoke.error
---@param bare boolean|nil texts alone
---@param open fun(given: table): ...
---@return fun(): any iterator
---@return any ... what generic `for` wants beside it
---Raises the error of the last rung.
function M.fall_stream(given, target, err, bare, open)
  local values, failed = fallback.down(M.rungs(target), err, function(what)
    if not what.text then
      local opened = table.pack(pcall(open, lowered(given, what)))
      if not opened[1] then return nil, errors.wrap(opened[2]) end
      return table.pack(table.unpack(opened, 2, opened.n))
    end
    local events = { bare and what.text or { type = "text", text = what.text } }
    if not bare then events[2] = { type = "done", reason = "stop", usage = usages.new(), reply = said(what.text) } end
    local i = 0
    return { n = 1, function()
      i = i + 1
      return events[i]
    end }
  end)
  if failed then error(failed, 0) end
  return table.unpack(values, 1, values.n)
end

return M
