--- Effects on kept sessions, from outside: sessions.list, sessions.load, sessions.delete, sessions.fork. As the effects on runs
--- (lua/driver/runs.lua) they open the store for a moment where this process has none open.

local drivers = require "core.driver.runs"
local effect = require "core.effect"
local errors = require "core.errors"
local sessions = require "core.store.sessions"

local M = {}

--- The session, or an error that names one that is like it.
local function session_of(store, id)
  local session, err = sessions.find(store, id)
  if session or err then return session, err end
  local list = sessions.list(store, { limit = 1000 }) or {}
  for i, other in ipairs(list) do list[i] = other.id end
  local near = errors.suggest(id, list)
  return nil, errors.new("usage", ("no session has the id %q"):format(id),
    { hint = near and ("did you mean %q?"):format(near) or "stoke sessions lists them" })
end

--- f(store, session, q), with the store that is meant.
local function on_session(f)
  return function(q)
    return drivers.with(q, function(store)
      local session, err = session_of(store, q.id)
      if not session then return nil, err end
      return f(store, session, q)
    end)
  end
end

effect.define("sessions.list", { class = "pure", run = function(q)
  return drivers.with(q, function(store) return sessions.list(store, { agent = q.agent, prefix = q.prefix, limit = q.limit }) end)
end })

effect.define("sessions.load", { class = "pure", run = on_session(function(store, session, q)
  local messages, err = sessions.messages(store, session, 1, math.min(session.messages, q.first or session.messages))
  if not messages then return nil, err end
  if q.first then return { session = session, messages = messages } end
  local turns
  turns, err = sessions.turns(store, session)
  if not turns then return nil, err end
  local ends
  ends, err = sessions.ends(store, session)
  if not ends then return nil, err end
  return { session = session, messages = messages, turns = turns, ends = ends }
end) })

effect.define("sessions.delete", { class = "idempotent", repeats = true, run = on_session(function(store, session, q)
  return sessions.delete(store, session, { compact = q.compact })
end) })

effect.define("sessions.fork", { class = "unsafe", run = on_session(function(store, session, q)
  local turn = q.at or session.turns
  if turn > session.turns then
    return nil, errors.new("usage", ("the session %q has turns 0 to %d, got %d"):format(session.id, session.turns, turn))
  end
  return sessions.fork(store, session, turn, q.to)
end) })

return M
