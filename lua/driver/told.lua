--- Effects of what clients were told: told.find, told.keep, told.sweep. The store is this process's own, opened where it is not.

local effect = require "core.effect"
local errors = require "core.errors"
local runs = require "core.runs"
local sessions = require "core.store.sessions"
local told = require "core.store.told"
local wall = require "host.time".wall

--- f(store, q), with what it raises as a second result.
local function on_store(f)
  return function(q)
    local ok, value, err = pcall(function() return f(runs.open(), q) end)
    if ok then return value, err end
    return nil, errors.wrap(value)
  end
end

--- { found = the first of the names that is known, as lua/store/told.lua has it; first = "told" | "there" | nil: of the session
--- `first`, whether its first turn was told }
effect.define("told.find", { class = "pure", run = on_store(function(store, q)
  local found, err = told.find(store, q.names)
  if err then return nil, err end
  local first
  if q.first then
    first, err = told.first(store, q.first)
    if err then return nil, err end
  end
  return { found = found, first = first }
end) })

effect.define("told.keep", { class = "idempotent", repeats = true, run = on_store(function(store, q)
  return told.keep(store, q.names, q.id, q.turn, q.chain)
end) })

--- Sessions that are too many or too old go. One in the middle of a turn stays.
effect.define("told.sweep", { class = "idempotent", repeats = true, run = on_store(function(store, q)
  local ids, err = told.old(store, { prefix = q.prefix, most = q.most, since = wall() - q.lifetime })
  if not ids then return nil, err end
  local gone = 0
  for _, id in ipairs(ids) do
    local session = sessions.find(store, id)
    if session and sessions.delete(store, session, { compact = false }) then gone = gone + 1 end
  end
  return gone
end) })
