--- Effects of actors that hosts share (stdlib/actor/shared.lua): peer.send, peer.await, peer.take, peer.keep, peer.look.
---
---     stream runs/actor KIND   a message is a run; its key is the actor's, so that those of one are handled in their order
---     kv     actors            KIND ID: the state, the message that made it, and what was answered to that one

local effect = require "core.effect"
local errors = require "core.errors"
local plain = require "core.store.plain"
local rand = require "host.rand"
local shared = require "core.runs.shared"

local BUCKET <const> = "actors"

local function define(name, class, f, options)
  local definition = options or {}
  definition.class, definition.repeats = class, class == "idempotent" or nil
  function definition.run(q, call)
    local ok, value, err = pcall(f, shared.engine(), q, call)
    if not ok then return nil, errors.wrap(value) end
    return value, err
  end
  effect.define(name, definition)
end

local function key_of(q) return ("%s %s"):format(q.kind, q.id) end

--- Actors that wait for what the code that asks will answer.
local function chain_of(call)
  local entry = call and call.context.journal and call.context.journal.entry
  local input = entry and entry.run.input
  if type(input) ~= "table" or not input.message then return {} end
  return { key_of(input), table.unpack(input.chain) }
end

define("peer.send", "idempotent", function(_, q, call)
  local key, chain = key_of(q), q.asked and chain_of(call) or {}
  for _, waits in ipairs(chain) do
    if waits == key then
      errors.raise("argument", ("the actor %s %q would wait for its own answer"):format(q.kind, q.id),
        { hint = "send it the message, or do it in the handler that runs" })
    end
  end
  local journal = call and call.context.journal
  local message = journal and call.key and journal:idempotency(call.key) or plain.hash(rand.new():bytes(16))
  local id = ("actor %s %s"):format(key, message:sub(1, 32))
  local input = { kind = q.kind, id = q.id, name = q.name, arguments = q.arguments, chain = chain, message = id }
  shared.start("actor " .. q.kind, input, id, "=" .. q.id)
  return id
end, { keyed = "commit" })

define("peer.await", "idempotent", function(_, q)
  local ended, err = shared.await(q.message)
  if not ended then return nil, err end
  if ended.error then return nil, ended.error end
  return { answer = ended.result }
end)

local function word_of(e, q)
  local found = errors.check(e:kv_get(BUCKET, key_of(q)))
  if not found then return nil, 0 end
  return shared.word(found.value, "the actor " .. key_of(q)), found.revision
end

define("peer.take", "pure", function(e, q)
  local word, revision = word_of(e, q)
  return { state = word and word.state, revision = revision }
end)

-- A host that was killed after this wrote, and before its journal said so, does it again: what is there then is its own. So it is
-- where a host was frozen, and another one handled the message: who came first has changed the state, and answers for both.
define("peer.keep", "idempotent", function(e, q)
  local text = shared.text { state = q.state, by = q.message, answer = q.answer }
  if errors.check(e:kv_swap(BUCKET, key_of(q), text, q.revision)) then return { answer = q.answer } end
  local word = word_of(e, q)
  if word and word.by == q.message then return { answer = word.answer } end
  errors.raise("incomplete", ("the state of the actor %s was changed while a message was handled"):format(key_of(q)),
    { hint = "nothing but its handlers may write to the bucket actors" })
end)

define("peer.look", "pure", function(e, q) return { state = (word_of(e, q) or {}).state } end)
