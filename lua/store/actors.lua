--- Actors and their mail: a state each, and messages that wait to be handled one after another. What a handler leaves is written in
--- the commit of its run's end, with what it sent.

local codec = require "core.store.codec"
local errors = require "core.errors"
local json = require "core.json"
local keep = require "core.store.keep"
local load = require "core.store.load"
local wall = require "host.time".wall

local M = {}

local null = json.null

--- A message whose handler fails with an error that may pass is handled so often.
M.TRIES = 3

---@class stoke.store.actor
---@field number integer
---@field kind string
---@field id string
---@field state? table nil: as it was made
---@field handled integer
---@field waiting integer messages

---@class stoke.store.mail
---@field number integer
---@field actor integer
---@field name string
---@field arguments table with n
---@field chain integer[] actors that wait for its answer
---@field asked? boolean
---@field state "waiting"|"done"|"dead"
---@field tries integer
---@field sent number
---@field answer any
---@field error? stoke.error

local function query(store, sql, params)
  local found, err = store.db:query(sql, params)
  if not found then return nil, store:failed(err) end
  return found.rows
end

local FIND = [[SELECT number,kind,id,state,handled,(SELECT count(*) FROM mail WHERE actor=actors.number AND state='waiting')
  FROM actors WHERE ]]

local function actor_of(store, rows, err)
  if not rows then return nil, err end
  local r = rows[1]
  if not r then return nil end
  return load.guarded(store, function()
    return { number = r[1], kind = r[2], id = r[3], state = codec.value(r[4]), handled = r[5], waiting = r[6] }
  end)
end

--- An actor that has had a message; nil: none.
---@param store stoke.store
---@param kind string
---@param id string
---@return stoke.store.actor|nil
---@return stoke.error|nil err
function M.find(store, kind, id) return actor_of(store, query(store, FIND .. "kind=? AND id=?", { kind, id })) end

---@param number integer
---@return stoke.store.actor|nil
---@return stoke.error|nil err
function M.get(store, number) return actor_of(store, query(store, FIND .. "number=?", { number })) end

local MAIL = "SELECT number,actor,name,arguments,chain,asked,state,tries,sent,answer,error FROM mail WHERE "

local function mail_of(r)
  return { number = r[1], actor = r[2], name = r[3], arguments = codec.value(r[4]), chain = codec.value(r[5]) or {},
    asked = r[6] == 1 or nil, state = r[7], tries = r[8], sent = r[9], answer = codec.value(r[10]), error = codec.value(r[11]) }
end

local function mails(store, sql, params)
  local rows, err = query(store, MAIL .. sql, params)
  if not rows then return nil, err end
  return load.guarded(store, function()
    for i, r in ipairs(rows) do rows[i] = mail_of(r) end
    return rows
  end)
end

--- The message of an actor that is handled next; nil: none.
---@return stoke.store.mail|nil
---@return stoke.error|nil err
function M.next(store, actor)
  local list, err = mails(store, "actor=? AND state='waiting' ORDER BY number LIMIT 1", { actor })
  return list and list[1], err
end

--- A message by its number.
---@return stoke.store.mail|nil
---@return stoke.error|nil err
function M.mail(store, number)
  local list, err = mails(store, "number=?", { number })
  return list and list[1], err
end

--- Messages of an actor whose handler failed, the oldest first.
---@return stoke.store.mail[]|nil
---@return stoke.error|nil err
function M.dead(store, kind, id)
  return mails(store, "state='dead' AND actor=(SELECT number FROM actors WHERE kind=? AND id=?) ORDER BY number", { kind, id })
end

--- Have a dead message of an actor handled again.
---@return boolean|nil done false: there is no such message
---@return stoke.error|nil err
function M.again(store, kind, id, number)
  local done, err = store.db:write([[UPDATE mail SET state='waiting',tries=tries+1,error=NULL WHERE number=? AND state='dead'
    AND actor=(SELECT number FROM actors WHERE kind=? AND id=?)]], { number, kind, id }, true)
  if not done then return nil, store:failed(err) end
  return done.changes > 0
end

--- Actors with messages that wait.
---@return { number: integer, kind: string, id: string }[]|nil
---@return stoke.error|nil err
function M.waiting(store)
  local rows, err = query(store, "SELECT number,kind,id FROM actors WHERE number IN (SELECT actor FROM mail WHERE state='waiting')")
  if not rows then return nil, err end
  for i, r in ipairs(rows) do rows[i] = { number = r[1], kind = r[2], id = r[3] } end
  return rows
end

local ACTOR = "INSERT INTO actors (kind,id,created,changed) VALUES (?1,?2,?3,?3) ON CONFLICT (kind,id) DO NOTHING"
local POST = [[INSERT INTO mail (actor,name,arguments,once,chain,asked,state,sent)
  SELECT number,?3,?4,?5,?6,?7,'waiting',?8 FROM actors WHERE kind=?1 AND id=?2 ON CONFLICT DO NOTHING]]

---@class stoke.store.message
---@field kind string
---@field id string
---@field name string
---@field arguments string text of a table with n
---@field once? string one message with this text is enough
---@field chain? integer[] actors that wait for the answer
---@field asked? boolean
---@field cap integer messages that may wait

--- Put a message in a mailbox. It is on the disk when this returns.
---@param store stoke.store
---@param message stoke.store.message
---@return { number: integer, actor: integer }|nil
---@return stoke.error|nil err `overloaded` where the mailbox is full; `argument` where the actor waits for itself
function M.send(store, message)
  return keep.transaction(store, function(run)
    run(ACTOR, { message.kind, message.id, wall() })
    local r = run([[SELECT number,(SELECT count(*) FROM mail WHERE actor=actors.number AND state='waiting') FROM actors
      WHERE kind=? AND id=?]], { message.kind, message.id }).rows[1]
    local actor = r[1]
    for _, waits in ipairs(message.chain or {}) do
      if waits == actor then
        errors.raise("argument", ("the actor %s %q would wait for its own answer"):format(message.kind, message.id),
          { hint = "send it the message, or do it in the handler that runs" })
      end
    end
    local before = message.once and run("SELECT number FROM mail WHERE actor=? AND once=?", { actor, message.once }).rows[1]
    if before then return { number = before[1], actor = actor } end
    if r[2] >= message.cap then
      errors.raise("overloaded",
        ("the mailbox of the actor %s %q is full: %d messages wait"):format(message.kind, message.id, r[2]),
        { hint = "send later (stoke.retry), or give the actor a larger one: mailbox = N" })
    end
    local done = run(POST, { message.kind, message.id, message.name, message.arguments, message.once or null,
      message.chain and codec.text(message.chain) or null, message.asked and 1 or null, wall() })
    return { number = done.last_id, actor = actor }
  end)
end

local STATE = "UPDATE actors SET state=?,handled=handled+1,changed=? WHERE number=?"
local DONE = "UPDATE mail SET state='done',ended=?,answer=?,error=NULL WHERE number=?"
local DEAD = "UPDATE mail SET state='dead',ended=?,tries=tries+1,error=? WHERE number=?"
local LATER = "UPDATE mail SET tries=tries+1,error=? WHERE number=?"

--- What a handler leaves goes into the commit of its run's end.
---@param log stoke.store.log
---@param mail { number: integer, actor: integer }
---@param after { state: table, answer: any, sent: stoke.store.message[] }
---@return stoke.error|nil err it cannot be kept
function M.finish(log, mail, after)
  local now = wall()
  local state, err = codec.text(after.state, nil, log.store.limit)
  if not state then
    err.message = ("the state of the actor: %s"):format(err.message)
    return err
  end
  local answer = null
  if after.answer ~= nil then answer, err = codec.text(after.answer, nil, log.store.limit) end
  if err then return err end
  log:also { STATE, state, now, mail.actor }
  log:also { DONE, now, answer, mail.number }
  for _, message in ipairs(after.sent) do
    log:also { ACTOR, message.kind, message.id, now }
    log:also { POST, message.kind, message.id, message.name, message.arguments, null, null, null, now }
  end
end

--- A handler failed: the message is handled again, or is dead.
---@param log stoke.store.log
---@param mail { number: integer }
---@param err stoke.error
---@param later boolean
function M.failed(log, mail, err, later)
  local told = codec.text(err) or codec.text(errors.new(err.kind, err.message))
  if later then log:also { LATER, told, mail.number } else log:also { DEAD, wall(), told, mail.number } end
end

--- A message is dead whose run is over or gone, and which nobody has told.
---@return boolean|nil ok
---@return stoke.error|nil err
function M.bury(store, mail, err)
  local done, failed = store.db:write(DEAD, { wall(), codec.text(err), mail.number }, true)
  if not done then return nil, store:failed(failed) end
  return true
end

return M
