--- Effects of actors: actor.send, actor.ask, actor.look, actor.dead, actor.again; and actor.post, which is what a handler sends:
--- it leaves with the handler's end.

local actors = require "core.runs.actors"
local codec = require "core.store.codec"
local effect = require "core.effect"
local errors = require "core.errors"
local plain = require "core.journal.plain"
local runs = require "core.runs"
local store_of = require "core.store.actors"

local M = {}

--- Messages that one handler may send.
M.SENT = 10000

local function told(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  return nil, errors.wrap(value)
end

local function entry_of(call)
  local journal = call and call.context.journal
  return journal and journal.entry, journal
end

local function message_of(q)
  local text, err = codec.text(q.arguments)
  if not text then
    errors.argument("the message %q to the actor %s is no plain data: %s", q.name, q.kind, err.message)
  end
  return { kind = q.kind, id = q.id, name = q.name, arguments = text, cap = q.mailbox }
end

local function send(q, call, asked)
  local entry, journal = entry_of(call)
  local message = message_of(q)
  message.once = journal and call.key and journal:idempotency(call.key) or nil
  if asked then
    message.asked = true
    local mine = entry and entry.prepared
    if mine and mine.actor then
      message.chain = { table.unpack(mine.chain or {}) }
      table.insert(message.chain, mine.actor.number)
    end
  end
  local store = runs.open()
  local sent = errors.check(store_of.send(store, message))
  local actor = { number = sent.actor, kind = q.kind, id = q.id }
  actors.wake(actor)
  return store, sent, actor
end

effect.define("actor.send", { class = "idempotent", repeats = true, keyed = "commit", run = function(q, call)
  return told(function()
    send(q, call)
    return true
  end)
end })

effect.define("actor.ask", { class = "idempotent", repeats = true, keyed = "commit", run = function(q, call)
  return told(function()
    local message = errors.check(actors.await(send(q, call, true)))
    if message.error then error(message.error, 0) end
    return { answer = message.answer }
  end)
end })

effect.define("actor.post", { class = "idempotent", derived = true, run = function(q, call)
  return told(function()
    local sent = entry_of(call).prepared.sent
    if #sent >= M.SENT then errors.raise("limit", ("a handler sends %d messages at most"):format(M.SENT)) end
    sent[#sent + 1] = message_of(q)
    return true
  end)
end })

--- Is the running code a handler, whose messages leave with its end?
---@param journal stoke.journal|nil that is visible here
---@return boolean
function M.posts(journal)
  local prepared = journal and journal.entry and journal.entry.prepared
  return prepared ~= nil and prepared.sent ~= nil
end

effect.define("actor.look", { class = "pure", run = function(q, _, kind)
  return told(function()
    local actor, err = store_of.find(runs.open(), q.kind, q.id)
    if err then error(err, 0) end
    return { state = actor and actor.state or actors.initial(kind, q.id), waiting = actor and actor.waiting or 0,
      handled = actor and actor.handled or 0 }
  end)
end })

effect.define("actor.dead", { class = "pure", run = function(q)
  return told(function()
    local list = errors.check(store_of.dead(runs.open(), q.kind, q.id))
    for i, message in ipairs(list) do
      list[i] = { number = message.number, name = message.name, arguments = message.arguments, sent = message.sent,
        error = message.error, tries = message.tries }
    end
    return plain.copy(list)
  end)
end })

effect.define("actor.again", { class = "idempotent", repeats = true, run = function(q)
  return told(function()
    local store = runs.open()
    if not errors.check(store_of.again(store, q.kind, q.id, q.number)) then return false end
    local actor = errors.check(store_of.find(store, q.kind, q.id))
    actors.wake(actor)
    return true
  end)
end })

return M
