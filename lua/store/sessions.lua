--- Sessions that are kept: their messages, their turns, and which turn is the present one. A turn's messages are written in the
--- commit of its run's end; a session has one present turn at most, which the file itself sees to.

local codec = require "core.store.codec"
local errors = require "core.errors"
local json = require "core.json"
local keep = require "core.store.keep"
local load = require "core.store.load"
local pid = require "core.about".pid
local plain = require "core.store.plain"
local requests = require "core.store.request"
local wall = require "host.time".wall

local M = {}

local null, or_nil = json.null, codec.or_nil

---@class stoke.store.session
---@field number integer
---@field id string
---@field agent string
---@field speaker string
---@field turns integer
---@field messages integer
---@field first integer
---@field summary? string
---@field created number
---@field changed number
---@field fork_of? string
---@field fork_at? integer
---@field present? { serial: integer, run: string, key?: string, process: integer, began: number } the turn that goes on

local FIND = [[SELECT s.number,s.id,s.agent,s.speaker,s.turns,s.messages,s.first,s.summary,s.created,s.changed,s.fork_of,s.fork_at,
  t.serial,t.run,t.key,t.process,t.began FROM sessions AS s LEFT JOIN turns AS t ON t.session=s.number AND t.state='begun' ]]

local function session_of(r)
  local summary = or_nil(r[8])
  return { number = r[1], id = r[2], agent = r[3], speaker = r[4], turns = r[5], messages = r[6], first = r[7],
    summary = summary, created = r[9], changed = r[10], fork_of = or_nil(r[11]), fork_at = or_nil(r[12]),
    present = r[13] ~= null and { serial = r[13], run = r[14], key = or_nil(r[15]), process = or_nil(r[16]), began = r[17] }
      or nil }
end

local function query(store, sql, params, ...)
  local found, err = store.db:query(sql, params, ...)
  if not found then return nil, store:failed(err) end
  return found.rows
end

--- A session by its id.
---@param store stoke.store
---@param id string
---@return stoke.store.session|nil session nil: there is none
---@return stoke.error|nil err
function M.find(store, id)
  local rows, err = query(store, FIND .. "WHERE id=?", { id })
  if not rows then return nil, err end
  return rows[1] and session_of(rows[1])
end

--- Sessions, the one that changed last first.
---@param store stoke.store
---@param filter? { agent?: string, prefix?: string, limit?: integer }
---@return stoke.store.session[]|nil
---@return stoke.error|nil err
function M.list(store, filter)
  filter = filter or {}
  local rows, err = query(store, FIND .. [[WHERE (?1 IS NULL OR agent=?1)
    AND (?2 IS NULL OR id>=?2 AND substr(id,1,length(?2))=?2) ORDER BY s.changed DESC, s.number DESC LIMIT ?3]],
    { filter.agent or null, filter.prefix or null, filter.limit or -1 })
  if not rows then return nil, err end
  for i, r in ipairs(rows) do rows[i] = session_of(r) end
  return rows
end

-- ---- messages -----------------------------------------------------------------------------------------------------------------

local MESSAGES = "SELECT number,value,sum IS stoke_sum(value) FROM messages WHERE session=? AND number BETWEEN ? AND ? "
  .. "ORDER BY number"

local function damaged(store, session, what)
  local err = load.damaged(store, errors.new("protocol", ("the session %s: %s"):format(session.id, what)))
  err.session = session.id
  return err
end

--- Messages of a session, from one to another.
---@param store stoke.store
---@param session stoke.store.session
---@param from integer
---@param to integer
---@return table[]|nil
---@return stoke.error|nil err
function M.messages(store, session, from, to)
  if from > to then return {} end
  local ok, list = pcall(function()
    local rows, texts, contents = load.all(store, MESSAGES, session.number, from, to), {}, {}
    for i, r in ipairs(rows) do texts[i] = r[2] end
    if from == 1 then -- most of what it needs, or all
      for _, r in ipairs(load.all(store, load.CONTENTS, -session.number)) do contents[r[1]] = load.whole(r[1], r[2]) end
    else
      contents = errors.check(load.contents_of(store, texts))
    end
    for i, r in ipairs(rows) do
      local number = from + i - 1
      if r[1] ~= number then error(damaged(store, session, ("message %d is missing"):format(number)), 0) end
      local read, message = pcall(codec.value, r[2], contents)
      if r[3] == 0 then error(damaged(store, session, ("message %d is not as it was written"):format(number)), 0) end
      if not read or type(message) ~= "table" or type(message.role) ~= "string" then
        local why = not read and errors.wrap(message).message or "it is none"
        error(damaged(store, session, ("message %d cannot be read: %s"):format(number, why)), 0)
      end
      rows[i] = message
    end
    if #rows ~= to - from + 1 then error(damaged(store, session, ("message %d is missing"):format(from + #rows)), 0) end
    return rows
  end)
  if ok then return list end
  if not errors.is(list) then error(list, 0) end
  return nil, rawget(list, "session") and list or store:failed(list)
end

--- How many messages there were after each turn.
---@return integer[]|nil
---@return stoke.error|nil err
function M.ends(store, session)
  local rows, err = query(store, "SELECT messages FROM turns WHERE session=? AND turn IS NOT NULL ORDER BY turn",
    { session.number })
  if not rows then return nil, err end
  for i, r in ipairs(rows) do rows[i] = r[1] end
  return rows
end

--- The session as it was after so many turns.
---@param turn integer
---@return stoke.store.session|nil
---@return stoke.error|nil err
function M.at(store, session, turn)
  local then_ = {}
  for name, value in next, session do then_[name] = value end
  then_.turns, then_.messages, then_.first, then_.summary, then_.speaker = turn, 0, 1, nil, session.agent
  if turn == 0 then return then_ end
  local rows, err = query(store, "SELECT messages,first,summary,speaker FROM turns WHERE session=? AND turn=?",
    { session.number, turn })
  if not rows then return nil, err end
  local r = rows[1]
  if not r then return nil, damaged(store, session, ("turn %d is missing"):format(turn)) end
  then_.messages, then_.first, then_.summary, then_.speaker = r[1], r[2], or_nil(r[3]), r[4]
  return then_
end

--- The texts of messages, as they are kept.
local function texts_of(messages, from, sink)
  local texts = {}
  for i = from, #messages do
    local text, err = plain.encode(messages[i], sink, true)
    if not text then return nil, err or errors.new("argument", ("message %d is no plain data"):format(i)) end
    if #text >= requests.LONG then
      local hash = plain.hash(text)
      sink[hash] = text
      text = '{"$value":"' .. hash .. '"}'
    end
    texts[#texts + 1] = text
  end
  return texts
end

local CONTENT = "INSERT OR IGNORE INTO contents (hash,value) VALUES (?,?)"
local USE = "INSERT OR IGNORE INTO uses (run,content) SELECT ?,id FROM contents WHERE hash=?"
local MESSAGE = "INSERT INTO messages (session,number,value,sum) VALUES (?1,?2,?3,stoke_sum(?3))"

-- ---- turns --------------------------------------------------------------------------------------------------------------------

local INSERT = [[INSERT INTO sessions (id,agent,speaker,created,changed) VALUES (?1,?2,?2,?3,?3) ON CONFLICT (id) DO NOTHING]]
local RUN = [[INSERT INTO runs (id,workflow,state,created,changed,input,seed,parent,sum)
  VALUES (?1,?2,'running',?3,?3,?4,?1,?5,stoke_sum(?1,?2,?4,NULL,NULL))]]
local TURN = [[INSERT INTO turns (session,serial,state,key,run,process,began) VALUES (?,?,'begun',?,?,?,?)]]
local BY_KEY = "SELECT serial,state,run,result,messages,turn FROM turns WHERE session=? AND key=?"

--- Whose session is it?
---@param session stoke.store.session
---@param agent string
---@return stoke.error|nil err kind `argument`
function M.check_agent(session, agent)
  if session.agent == agent then return nil end
  return errors.new("argument", ("the session %q is one of the agent %s, not of %s"):format(session.id, session.agent, agent),
    { hint = "open it with that agent, or give this one another id" })
end

-- A turn whose run is over or gone, and which nobody has told: the run was cancelled while no process had it, or deleted.
local LOST = [[UPDATE turns SET state='cancelled',key=NULL WHERE session=? AND state='begun'
  AND NOT EXISTS (SELECT 1 FROM runs WHERE id=turns.run AND state NOT IN ('done','failed','cancelled'))]]

local function over(run, session)
  if run(LOST, { session.number }).changes > 0 then session.present = nil end
end

---@class stoke.store.begun
---@field what "new"|"present"|"done"|"moved" this turn was begun; another goes on; the one of this key is over; the session has not
---  as many turns as it was to have
---@field session stoke.store.session as it is before the turn
---@field turn { serial: integer, run: string, key?: string, result?: string, messages?: integer, turn?: integer }

--- Begin a turn, unless another one goes on or that of this key has been. Durable when this returns.
---@param store stoke.store
---@param q { id: string, agent: string, workflow: string, input: table, key?: string, parent?: integer, at?: integer } at: turns
---  that it has before this one
---@return stoke.store.begun|nil
---@return stoke.error|nil err
function M.begin(store, q)
  local sink = {}
  local begun, err = keep.transaction(store, function(run)
    run(INSERT, { q.id, q.agent, wall() })
    local session = session_of(run(FIND .. "WHERE id=?", { q.id }).rows[1])
    local wrong = M.check_agent(session, q.agent)
    if wrong then error(wrong, 0) end
    if session.present then over(run, session) end
    if q.key then
      local r = run(BY_KEY, { session.number, q.key }).rows[1]
      if r then
        return { what = r[2] == "done" and "done" or "present", session = session, turn = { serial = r[1], run = r[3], key = q.key,
          result = or_nil(r[4]), messages = or_nil(r[5]), turn = or_nil(r[6]) } }
      end
    end
    if q.at and session.turns ~= q.at then return { what = "moved", session = session } end
    if session.present then return { what = "present", session = session, turn = session.present } end
    local serial = run("SELECT coalesce(max(serial),0)+1 FROM turns WHERE session=?", { session.number }).rows[1][1]
    local id = ("session %s turn %d"):format(q.id, serial)
    q.input.session, q.input.serial, q.input.turns = q.id, serial, session.turns
    local input, failed = codec.text(q.input, sink, store.limit)
    if not input then error(failed, 0) end
    local number = run(RUN, { id, q.workflow, wall(), input, q.parent or null }).last_id
    for hash, text in next, sink do
      run(CONTENT, { hash, text })
      run(USE, { number, hash })
    end
    run(TURN, { session.number, serial, q.key or null, id, pid(), wall() })
    return { what = "new", session = session, turn = { serial = serial, run = id, key = q.key } }
  end)
  return begun, err
end

local END = "UPDATE turns SET state=?,turn=?,ended=?,messages=?,speaker=?,first=?,summary=?,result=?,"
  .. "key=iif(?1='done',key,NULL) WHERE session=? AND serial=? AND state='begun'"
local GROW = "UPDATE sessions SET turns=?,messages=?,first=?,summary=?,speaker=?,changed=? WHERE number=?"

--- What a turn has come to goes into the commit of its run's end.
---@param log stoke.store.log
---@param session stoke.store.session as it was before the turn
---@param serial integer
---@param state "done"|"failed"|"cancelled"
---@param after? { messages: table[], first: integer, summary?: string, speaker: string, result: table } of one that is done:
---  messages: all of the session
---@return stoke.error|nil err it cannot be kept
function M.finish(log, session, serial, state, after)
  local now, number = wall(), session.number
  if state ~= "done" then
    log:also { END, state, null, now, null, null, null, null, null, number, serial }
    return nil
  end
  local sink = {}
  local texts, err = texts_of(after.messages, session.messages + 1, sink)
  if not texts then return err end
  local result
  result, err = codec.text(after.result, sink, log.store.limit)
  if not result then return err end
  local total, turn, summary = #after.messages, session.turns + 1, after.summary or null
  for hash, text in next, sink do log:content(hash, text) end
  for hash in next, sink do log:also { USE, -number, hash } end
  for i, text in ipairs(texts) do log:also { MESSAGE, number, session.messages + i, text } end
  log:also { END, "done", turn, now, total, after.speaker, after.first, summary, result, number, serial }
  log:also { GROW, turn, total, after.first, summary, after.speaker, now, number }
end

--- What a turn gave, with its messages.
---@param store stoke.store
---@param session stoke.store.session
---@param turn { result: string, messages: integer, turn: integer }
---@return table|nil
---@return stoke.error|nil err
function M.result(store, session, turn)
  local contents, err = load.contents_of(store, { turn.result })
  if not contents then return nil, err end
  local before
  before, err = M.at(store, session, turn.turn - 1)
  if not before then return nil, err end
  local messages
  messages, err = M.messages(store, session, before.messages + 1, turn.messages)
  if not messages then return nil, err end
  return load.guarded(store, function()
    local result = codec.value(turn.result, contents)
    result.messages = messages
    return result
  end)
end

--- The turns of a session, in the order in which they began.
---@return table[]|nil { serial, state, turn?, key?, run, began, ended?, messages? }
---@return stoke.error|nil err
function M.turns(store, session)
  local rows, err = query(store, [[SELECT serial,state,turn,key,run,began,ended,messages,speaker FROM turns WHERE session=?
    ORDER BY serial]], { session.number })
  if not rows then return nil, err end
  for i, r in ipairs(rows) do
    rows[i] = { serial = r[1], state = r[2], turn = or_nil(r[3]), key = or_nil(r[4]), run = or_nil(r[5]), began = r[6],
      ended = or_nil(r[7]), messages = or_nil(r[8]), agent = or_nil(r[9]) }
  end
  return rows
end

-- ---- copies, and the end ------------------------------------------------------------------------------------------------------

local MAKE = [[INSERT INTO sessions (id,agent,speaker,turns,messages,first,summary,created,changed,fork_of,fork_at)
  VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?8,?9,?10) ON CONFLICT (id) DO NOTHING]]

local function taken(id)
  return errors.new("argument", ("there is a session with the id %q already"):format(id), { hint = "give the fork another" })
end

--- Make a session of messages.
---@param store stoke.store
---@param made { id: string, agent: string, speaker: string, messages: table[], ends: integer[], first: integer, summary?: string,
---  fork_of?: string }
---@return stoke.store.session|nil
---@return stoke.error|nil err `argument` where there is one with that id
function M.make(store, made)
  local sink = {}
  local texts, err = texts_of(made.messages, 1, sink)
  if not texts then return nil, err end
  local summary = made.summary or null
  local ok
  ok, err = keep.transaction(store, function(run)
    local done = run(MAKE, { made.id, made.agent, made.speaker, #made.ends, #texts, made.first, summary, wall(),
      made.fork_of or null, made.fork_of and #made.ends or null })
    if done.changes == 0 then error(taken(made.id), 0) end
    local number = done.last_id
    for hash, text in next, sink do
      run(CONTENT, { hash, text })
      run(USE, { -number, hash })
    end
    for i, text in ipairs(texts) do run(MESSAGE, { number, i, text }) end
    for i, last in ipairs(made.ends) do
      run([[INSERT INTO turns (session,serial,state,turn,began,ended,messages,speaker,first,summary)
        VALUES (?1,?2,'done',?2,?3,?3,?4,?5,?6,?7)]], { number, i, wall(), last, made.speaker, math.min(made.first, last + 1),
        made.first <= last and summary or null })
    end
    return true
  end)
  if not ok then return nil, err end
  return M.find(store, made.id)
end

local COPY = {
  [[INSERT INTO turns (session,serial,state,turn,began,ended,messages,speaker,first,summary)
    SELECT ?1,turn,'done',turn,began,ended,messages,speaker,first,summary FROM turns WHERE session=?2 AND turn<=?3 AND ?4=?4]],
  "INSERT INTO messages SELECT ?1,number,value,sum FROM messages WHERE session=?2 AND number<=?4 AND ?3=?3",
}

--- A second session that begins as this one was after so many turns. Its messages are the same rows of contents.
---@param store stoke.store
---@param session stoke.store.session
---@param turn integer
---@param id string
---@return stoke.store.session|nil
---@return stoke.error|nil err `argument` where there is one with that id
function M.fork(store, session, turn, id)
  local as, err = M.at(store, session, turn)
  if not as then return nil, err end
  local contents -- what its messages need, and no more: what was said later may be deleted with that session
  local rows
  rows, err = query(store, MESSAGES, { session.number, 1, as.messages })
  if not rows then return nil, err end
  for i, r in ipairs(rows) do rows[i] = r[2] end
  contents, err = load.contents_of(store, rows)
  if not contents then return nil, err end
  local ok
  ok, err = keep.transaction(store, function(run)
    local done = run(MAKE, { id, session.agent, as.speaker, turn, as.messages, as.first, as.summary or null, wall(), session.id,
      turn })
    if done.changes == 0 then error(taken(id), 0) end
    for _, sql in ipairs(COPY) do run(sql, { done.last_id, session.number, turn, as.messages }) end
    for hash in next, contents do run(USE, { -done.last_id, hash }) end
    return true
  end)
  if not ok then return nil, err end
  return M.find(store, id)
end

-- Runs of the session's turns, and those that they started.
local RUNS = [[WITH RECURSIVE own(number) AS (
    SELECT runs.number FROM turns JOIN runs ON runs.id=turns.run WHERE session=?1
    UNION SELECT runs.number FROM own JOIN runs ON runs.parent=own.number OR runs.fork_of=own.number)
  SELECT runs.number,runs.id,runs.state FROM own JOIN runs USING (number)]]

--- Delete a session with all that is its own: messages, turns, their runs with what those started, and contents that nobody else
--- needs. The file is written anew then, so that nothing of it is left in free pages.
---@param store stoke.store
---@param session stoke.store.session
---@param options? { compact?: boolean } false: the file is not written anew, what is free in it is overwritten some day
---@return { runs: integer, messages: integer, compacted: boolean }|nil
---@return stoke.error|nil err `argument` while one of its runs lives
function M.delete(store, session, options)
  local rows, err = query(store, RUNS, { session.number })
  if not rows then return nil, err end
  local held <close> = setmetatable({}, { __close = function(list) -- luacheck: ignore
    for _, run in ipairs(list) do store:release(run) end
  end })
  for i, r in ipairs(rows) do
    local run = { number = r[1] }
    local mine, who = store:claim(run)
    if mine == nil then return nil, who end
    if not mine then
      return nil, errors.new("argument",
        ("the session %q is in the middle of a turn: %s has its run %s"):format(session.id, who, r[2]),
        { hint = ("end it first: stoke.workflow.run(%q):cancel(), or wait"):format(r[2]) })
    end
    held[i] = run
  end
  local ok
  ok, err = keep.transaction(store, function(run)
    for _, r in ipairs(rows) do
      for _, sql in ipairs(keep.GONE) do run(sql, { r[1] }) end
    end
    for _, sql in ipairs { "DELETE FROM messages WHERE session=?", "DELETE FROM turns WHERE session=?",
      "DELETE FROM uses WHERE run=-?", "DELETE FROM told WHERE session=?",
      "DELETE FROM sessions WHERE number=?" } do run(sql, { session.number }) end
    return true
  end)
  if ok then ok, err = keep.sweep(store) end
  if not ok then return nil, err end
  local compacted = false
  if not options or options.compact ~= false then compacted = M.compact(store) end
  return { runs = #rows, messages = session.messages, compacted = compacted }
end

--- Write the file anew, so that what was deleted is gone from the disk.
---@param store stoke.store
---@return boolean ok false: another program reads or writes it now
function M.compact(store)
  local done = store.db:write("VACUUM", {}, true)
  if done and store.path ~= ":memory:" then done = store.db:write("PRAGMA wal_checkpoint(TRUNCATE)", {}, true) end
  return done ~= nil
end

return M
