--- Effects of mailboxes and topics that hosts share (lua/runs/shared.lua says by which engine): letter.send, letter.take,
--- letter.answer, letter.await, topic.publish, topic.join, topic.read.
---
---     stream mail/NAME       the letters of a mailbox; the group "readers" shares them
---     kv     answers         by the id of a letter: what somebody answered
---     kv     topic/NAME      the newest letters of each who publishes, PUBLISHER/PLACE; changes reach who has joined
---     kv     topics          by name: the letter that is kept for those who come later

local effect = require "core.effect"
local engines = require "core.engine"
local errors = require "core.errors"
local mailbox = require "core.mailbox"
local monotonic = require "host.time".monotonic
local plain = require "core.store.plain"
local rand = require "host.rand"
local shared = require "core.runs.shared"

local M = {}

--- Letters of one publisher that a topic has at a time: who is further behind misses some.
M.PLACES = 256

local GROUP <const>, ANSWERS <const>, KEPT <const> = "readers", "answers", "topics"
-- Seconds: the lease of a letter between its claim and its reader; until a letter that nobody here wants is looked at again; for
-- which the engine is asked at once.
local LEASE <const>, ASIDE <const>, WAIT <const> = 30, 1, 20
local TRIES <const> = 1000

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

local function new_id() return plain.hash(rand.new():bytes(16)) end

--- The same each time a durable run does this.
local function id_of(call)
  local journal = call and call.context.journal
  return journal and call.key and journal:idempotency(call.key) or new_id()
end

local function stream(name) return "mail/" .. name end

-- ---- mailboxes ----------------------------------------------------------------------------------------------------------------

define("letter.send", "idempotent", function(e, q, call)
  local id = id_of(call)
  local word = { type = q.type, body = q.body, from = q.from, sent = errors.check(e:now()) }
  if q.patience then word.answer, word.expires = id, word.sent + q.patience end
  errors.check(e:publish(stream(q.mailbox), { { id = id, value = shared.text(word), v = engines.PROTOCOL } }))
  return id
end, { keyed = "commit" })

local function wanted(q, word)
  return (not q.types or q.types[word.type]) and (not q.from or q.from == word.from)
end

define("letter.take", "unsafe", function(e, q)
  local last = q.seconds and monotonic() + q.seconds
  while true do
    local left = last and last - monotonic() or WAIT
    local claims = errors.check(e:claim { stream = stream(q.mailbox), group = GROUP, n = 1, lease = LEASE,
      wait = math.max(0, math.min(left, WAIT)), tries = TRIES })
    local claim = claims[1]
    if claim then
      local word = shared.word(claim.value, "a letter of the mailbox " .. q.mailbox)
      local mine = wanted(q, word)
      local settled = errors.check(e:settle { { claim = claim, state = mine and "done" or "back", delay = not mine and ASIDE
        or nil } })
      if mine and settled[1] then
        word.number, word.v = claim.offset, nil
        return word
      end
    elseif last and monotonic() >= last then
      return false
    end
  end
end)

define("letter.answer", "idempotent", function(e, q)
  if errors.check(e:now()) > q.expires then return false end
  return errors.check(e:kv_swap(ANSWERS, q.id, shared.text { value = q.value, error = q.error }, 0)) ~= false
end)

define("letter.await", "idempotent", function(e, q)
  local last, since = monotonic() + q.seconds, 0
  while true do
    local left = last - monotonic()
    for _, change in ipairs(errors.check(e:kv_watch(ANSWERS, q.id, since, math.max(0, math.min(left, WAIT))))) do
      since = math.max(since, change.revision)
      if change.key == q.id and change.value then
        local word = shared.word(change.value, "an answer")
        e:kv_delete(ANSWERS, q.id)
        return { value = word.value, error = word.error }
      end
    end
    if left <= 0 then return false end
  end
end)

define("letter.count", "pure", function(e, q)
  for _, one in ipairs(errors.check(e:streams())) do
    if one.stream == stream(q.mailbox) then
      for _, group in ipairs(one.groups) do
        if group.group == GROUP then return group.waiting end
      end
      return one.items
    end
  end
  return 0
end)

-- ---- topics -------------------------------------------------------------------------------------------------------------------

local publisher, published = nil, {} -- this process; how many of each topic

local function bucket(name) return "topic/" .. name end

define("topic.publish", "idempotent", function(e, q)
  publisher = publisher or new_id()
  local n = (published[q.topic] or 0) + 1
  published[q.topic] = n
  local text = shared.text { type = q.type, body = q.body, from = q.from, n = n }
  if q.retain then errors.check(e:kv_put(KEPT, q.topic, text)) end
  errors.check(e:kv_put(bucket(q.topic), ("%s/%d"):format(publisher, n % M.PLACES), text))
  return true
end)

define("topic.kept", "pure", function(e, q)
  local found = errors.check(e:kv_get(KEPT, q.topic))
  return found and shared.word(found.value, "the topic " .. q.topic) or false
end)

--- Who joins writes a key of its own: its revision tells what came before.
define("topic.join", "idempotent", function(e, q)
  local key = "joined/" .. new_id()
  local revision = errors.check(e:kv_put(bucket(q.topic), key, shared.text {}))
  e:kv_delete(bucket(q.topic), key)
  return revision
end)

define("topic.read", "pure", function(e, q)
  local out = { since = q.since }
  for _, change in ipairs(errors.check(e:kv_watch(bucket(q.topic), "", q.since, WAIT))) do
    out.since = math.max(out.since, change.revision)
    if change.value and change.key:sub(1, 7) ~= "joined/" then
      local word = shared.word(change.value, "a letter of the topic " .. q.topic)
      word.publisher = change.key:match "^[^/]*"
      out[#out + 1] = word
    end
  end
  return out
end)

--- Who a letter of the running task is from.
M.sender = mailbox.sender

return M
