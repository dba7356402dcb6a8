-- What behaviours of engines are written with: where one is tried, and what is wanted there.

local errors = require "core.errors"
local show = require "stoke.show"
local stoke = require "stoke"
local difference = require "stoke.test.compare".difference

local M = { list = {} }

--- Define a behaviour. `needs`: promises (engine.traits) without which it cannot be asked for.
function M.behaviour(name, needs, f)
  if not f then needs, f = {}, needs end
  M.list[#M.list + 1] = { name = name, needs = needs, f = f }
end

--- Raise unless both are the same.
function M.want(what, got, wanted)
  if difference(got, wanted) then error(("%s: wanted %s, got %s"):format(what, show.line(wanted), show.line(got)), 0) end
end

--- Raise unless it is true.
function M.ok(what, value)
  if not value then error(what, 0) end
end

---@class battery.ground where one behaviour is tried
---@field e core.engine
---@field name fun(word: string): string a name that nobody else uses
---@field short number seconds that nothing comes in
---@field long number seconds within which what is there has come
local Ground = {}
Ground.__index = Ground

--- An item to publish.
function M.item(id, key, value) return { id = id, key = key, value = value or "v " .. id, v = 1 } end

function Ground:publish(stream, ...)
  local list = {}
  for i, id in ipairs { ... } do list[i] = type(id) == "table" and id or M.item(id) end
  return errors.check(self.e:publish(stream, list))
end

--- Claim up to n; `more` overrides. What is wanted at once may come in several claims.
function Ground:claim(stream, n, more)
  more = more or {}
  local q = { stream = stream, group = more.group or "g", n = n, lease = more.lease or 30, wait = more.wait or self.short,
    tries = more.tries or 5, from = more.from }
  return errors.check((more.e or self.e):claim(q))
end

--- Claim until there are n, or nothing comes any more.
function Ground:claims(stream, n, more)
  local list, last = {}, stoke.time.monotonic() + self.long
  while #list < n and stoke.time.monotonic() < last do
    for _, claim in ipairs(self:claim(stream, n - #list, more)) do list[#list + 1] = claim end
  end
  return list
end

function Ground:one(stream, more)
  local claim = self:claims(stream, 1, more)[1]
  M.ok("an item of " .. stream .. " was to be lent, and none was", claim)
  return claim
end

--- Nothing is lent now.
function Ground:nothing(what, stream, more)
  local claim = self:claim(stream, 1, more)[1]
  M.ok(("%s: nothing was to be lent, and %s was"):format(what, claim and claim.id or ""), not claim)
end

--- Settle a claim, of which the engine gets no more than the contract says.
function Ground:settle(claim, state, more)
  local own = { stream = claim.stream, group = claim.group, offset = claim.offset, id = claim.id, key = claim.key,
    fence = claim.fence }
  local s = { claim = own, state = state }
  for name, value in next, more or {} do s[name] = value end
  return errors.check(self.e:settle { s })[1]
end

function Ground:outcomes(stream, group) return errors.check(self.e:outcomes(stream, group or "g", 1, 1000)) end

function Ground:ids(stream)
  local ids = {}
  for i, one in ipairs(errors.check(self.e:read(stream, 1, 1000))) do ids[i] = one.id end
  return ids
end

--- The ids of claims, sorted.
function M.ids_of(claims)
  local ids = {}
  for i, claim in ipairs(claims) do ids[i] = claim.id end
  table.sort(ids)
  return ids
end

local count = 0

--- Ground for one behaviour.
---@param e core.engine
---@param again fun(): core.engine another connection to the same
---@param options? { short?: number, long?: number }
---@return battery.ground
function M.ground(e, again, options)
  count = count + 1
  local mark = ("%x.%d"):format(math.floor(stoke.time.now() * 1000), count)
  return setmetatable({ e = e, again = again, short = options and options.short or 0.2, long = options and options.long or 10,
    name = function(word) return ("%s.%s.%d"):format(word, mark, math.random(1 << 30)) end }, Ground)
end

return M
