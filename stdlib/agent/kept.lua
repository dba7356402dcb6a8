--- A session that lasts: agent:session { id = "ada" }. It is kept in the store, and goes on in whichever process opens it.
---
--- What was said before a turn is state; the turn itself is a durable run, whose end and whose messages are one commit. A process
--- that is killed in a turn loses nothing: the turn goes on when the session is opened again, or when a script starts that makes
--- its agent, and later turns wait for it. A turn that fails or is cancelled leaves nothing behind.

local code = require "core.runs.code"
local driver = require "core.driver.sessions"
local effect = require "core.effect"
local errors = require "core.errors"
local journals = require "core.journal"
local runs = require "core.runs"
local scopes = require "core.scope"
local sessions = require "core.store.sessions"
local explain = require "stoke.agent.explain"
local guest = require "stoke.agent.guest"
local history = require "stoke.agent.history"
local input = require "stoke.agent.input"
local loop = require "stoke.agent.loop"
local record = require "stoke.agent.record"
local sessions_of_agents = require "stoke.agent.session"
local stream = require "stoke.agent.stream"
local tasks = require "core.task"
local terms = require "core.terms"
require "stoke.workflow"

local M = {}

--- An agent that the kept sources of a run make: a turn that goes on on them finds it.
function sessions_of_agents.on_made(handle)
  if code.box() then M.define(handle) end
end

--- Events of a turn that wait for their reader; then the turn waits.
local AHEAD <const> = 64

---@class stoke.agent.kept: stoke.agent.session
---@field id string
local Kept = {}
Kept.__name = "stoke.agent.session"

--- Hands over whose agents are found: of agent.session.
---@type fun(handle: stoke.agent, name: string): stoke.agent|nil
M.found = nil
--- A session that is not kept, of a table of session:save(): of agent.session.
---@type fun(handle: stoke.agent, saved: table): stoke.agent.session
M.open_saved = nil

local function perform(name, q, work) return errors.check(effect.perform(name, q, work)) end

local function look(self, messages, turn)
  return perform("session.look", { id = self.id, agent = self.handle.name, messages = messages, turn = turn })
end

function Kept.__index(self, key)
  if key == "agent" or key == "turns" then return look(self)[key] end
  if key == "messages" then return look(self, true).messages end
  return Kept[key]
end

function Kept:__newindex(key)
  errors.raise("argument", ("session.%s cannot be set"):format(tostring(key)), { hint = "a session grows by its turns" })
end

-- ---- a turn as a run ----------------------------------------------------------------------------------------------------------

local function speaker(handle, session)
  local found = session.speaker == handle.name and handle or M.found(handle, session.speaker)
  if found then return found end
  errors.raise("argument", ("the session %q is with the agent %s, to which %s hands over no longer"):format(session.id,
    session.speaker, handle.name), { hint = "define that agent again, or go on from an earlier turn: session:fork(n, { id = })" })
end

--- The history before a turn: what this process has of it, and what it lacks.
local function past_of(store, session, core)
  local past = core and core.history
  if past and core.turns > session.turns then past = nil end
  local have = past and #past or 0
  local more, err = sessions.messages(store, session, have + 1, session.messages)
  if not more then return nil, err end
  if not past then
    past = history.new(more, true)
  else
    for _, message in ipairs(more) do past:push(message) end
  end
  if past.first ~= session.first or past.summary ~= session.summary then past.sent = nil end
  past.first, past.summary = session.first, session.summary
  return past
end

--- What a turn of an agent needs beside its input.
local function preparer(handle)
  return function(store, run, given)
    local asked = run.input
    local session, err = sessions.find(store, asked.session)
    if not session then return nil, err or errors.new("parked", ("the session %q is gone"):format(asked.session)) end
    session, err = sessions.at(store, session, asked.turns)
    if not session then return nil, err end
    local ok, with = pcall(speaker, given and given.handle or handle, session)
    if not ok then return nil, errors.wrap(with) end
    local core = given and given.core
    local past
    past, err = past_of(store, session, core)
    if not past then return nil, err end
    if core then core.history = nil end -- it is the turn's now
    return { session = session, serial = asked.serial, handle = with, past = past, core = core, given = given }
  end
end

--- The events of a turn, for who reads them. In each process that does the turn the same effects happen.
local function teller(prepared)
  local given, count = prepared.given, 0
  return function(event)
    count = count + 1
    if given and given.listener then
      given.events[#given.events + 1] = event
      if given.reader then tasks.wake(given.reader) end
    end
    if count % AHEAD == 0 then perform("session.room", {}, given) end
  end
end

--- What a turn was told to keep to: a part of its run, which goes on with it in another process.
local function limits_of_turn(asked)
  local own, limits = asked.terms, { max_steps = asked.max_steps }
  if own then limits.class, limits.deadline, limits.route = own.class, own.deadline, own.route end
  return next(limits) and limits or nil
end

local function body(asked, prepared)
  local definition, past = prepared.handle.definition, prepared.past
  if asked.guest then definition = guest.with(definition, asked.guest) end
  local begin = #past + 1
  for _, message in ipairs(asked.given) do past:push(message) end
  local result, last = loop.run(definition, past, begin, asked.stream and teller(prepared) or nil,
    limits_of_turn(asked))
  prepared.result, prepared.last = result, last
  return result.text
end

--- What is kept of a result: its messages are the session's.
local function short(result)
  local out = {}
  for name, value in next, result do
    if name ~= "messages" then out[name] = value end
  end
  return out
end

local function finish(log, entry, state)
  local prepared = entry.prepared
  if not prepared then return nil end
  local past, session, core = prepared.past, prepared.session, prepared.core
  local err = sessions.finish(log, session, prepared.serial, state, state == "done" and { messages = past, first = past.first,
    summary = past.summary, speaker = prepared.last.label, result = short(prepared.result) } or nil)
  if core and state == "done" and not err then core.history, core.turns = past, session.turns + 1 end
  return err
end

local function workflow_of(name) return "session " .. name end

--- An agent's turns are runs of a workflow.
local function define(handle)
  local name = workflow_of(handle.name)
  local known = runs.defined[name]
  if known and known.handle == handle then return name end
  runs.define(name, body, { prepare = preparer(handle), finish = finish }).handle = handle
  return name
end

--- Agents that were made: turns of theirs that were left go on.
---@param handles table<stoke.agent, any>
function M.define_all(handles)
  for handle in next, handles do
    if handle.definition.name then define(handle) end
  end
end

M.define = define

-- ---- the session --------------------------------------------------------------------------------------------------------------

local function check_id(id, what)
  if type(id) ~= "string" or id == "" then
    errors.argument("%s: the id must be a string that is not empty, got %s", what, errors.describe(id))
  end
end

local function made(handle, id, wait)
  return setmetatable({ handle = handle, id = id, wait = wait or false, core = driver.core(id) }, Kept)
end

--- The session of an id, new or as it was left.
---@param handle stoke.agent
---@param options { id: string, wait?: number }
---@return stoke.agent.session
---Raises `argument` where it is another agent's, `db`.
function M.open(handle, options)
  errors.options(options, { id = "string", wait = "number" }, "agent:session")
  check_id(options.id, "agent:session")
  if options.wait ~= nil then errors.check_seconds(options.wait, "agent:session: wait") end
  if not handle.definition.name then
    errors.argument("agent:session: the agent made at %s has no name: one whose sessions are kept needs one", handle.name)
  end
  local session = perform("session.open", { id = options.id, agent = handle.name, workflow = workflow_of(handle.name) },
    { handle = handle, define = define })
  if session.agent ~= handle.name then speaker(handle, { id = options.id, speaker = session.agent }) end
  return made(handle, options.id, options.wait)
end

local LIMITS = { max_steps = "number", key = "string", class = true, deadline = "number", route = true }

local function limits_of(what, limits)
  if limits == nil then return {} end
  errors.options(limits, LIMITS, what)
  loop.options(what, { max_steps = limits.max_steps, class = limits.class, deadline = limits.deadline, route = limits.route })
  if limits.key ~= nil then check_id(limits.key, what .. ": key") end
  return limits
end

local function turn(self, given, limits, listener, reader)
  local handle = self.handle
  local class = limits.class or not handle.definition.class and terms.around() or nil -- its run has no scope of ours around it
  local own = (class or limits.deadline or limits.route) and { class = class, deadline = limits.deadline,
    route = limits.route } or nil
  local q = { id = self.id, terms = own, agent = handle.name, workflow = workflow_of(handle.name), key = limits.key,
    given = input.messages(handle.name, given), max_steps = limits.max_steps, stream = listener and true or nil,
    wait = self.wait or nil, guest = limits.guest, at = limits.at }
  return record.result(perform("session.turn", q, { handle = handle, define = define, listener = listener,
    reader = reader }))
end

--- One turn for somebody outside: stoke serve. Its events are told in the task of the caller, who makes the turn wait by waiting.
---@param self stoke.agent.session
---@param given table[] messages
---@param limits { key?: string, class?: string, guest?: table, at?: integer } guest: what stoke.agent.guest adds to the agent; at:
---  how many turns the session has before this one
---@param listener fun(event: table)
---@return stoke.agent.result
---Raises what session:run raises; `argument` with `moved` where the session has another number of turns.
---
--- Example: `local result = kept.turn(chat, messages, { at = 2 }, listener)`
function M.turn(self, given, limits, listener)
  return turn(self, given, limits, listener, { task = tasks.current() })
end

--- One turn. With a key, what is asked again under that key is the same turn, and gives its result again.
---@param given string|{ text: string, images?: string[] }|table[]
---@param limits? { max_steps?: integer, key?: string, class?: "interactive"|"normal"|"batch", deadline?: number,
---  route?: string|string[] }
---@return stoke.agent.result
---Raises what agent:run raises; the session is then as it was before.
---
--- Example: `print(chat:run(update.text, { key = "msg-" .. update.id }).text)`
function Kept:run(given, limits)
  scopes.check_self(self, Kept, "session:run()")
  return turn(self, given, limits_of("session:run", limits))
end

--- One turn, its events as they come; inside of a durable run they come when the turn is over.
---@param given string|{ text: string, images?: string[] }|table[]
---@param limits? { max_steps?: integer, key?: string, class?: "interactive"|"normal"|"batch", deadline?: number,
---  route?: string|string[] }
---@return fun(): table|nil iterator for generic `for`
---
--- Example: `for ev in chat:stream("And in Rome?") do if ev.type == "text" then io.write(ev.text) end end`
function Kept:stream(given, limits)
  scopes.check_self(self, Kept, "session:stream()")
  limits = limits_of("session:stream", limits)
  local reader = { task = tasks.current() }
  driver.check_outside(self.core)
  local inside = journals.current() ~= nil
  local events, _, _, closing = stream.open(function(listener)
    local told
    local result = turn(self, given, limits, not inside and function(event)
      told = true
      listener(event)
    end or nil, reader)
    if told then return end -- else the turn was over before: all of it at once
    listener { type = "text", text = result.text }
    listener { type = "usage", usage = result.usage }
    listener { type = "done", result = result }
  end)
  reader.stream = events
  return events, nil, nil, closing
end

--- The exact request the next turn would send first.
---@param given string|{ text: string, images?: string[] }|table[]
---@return { method: string, url: string, body: string, answer: string, texts: table } body: JSON text; see agent:explain
---
--- Example: `print(chat:next_request("And in Rome?").body)`
function Kept:next_request(given)
  scopes.check_self(self, Kept, "session:next_request()")
  local session = look(self, true)
  local with = speaker(self.handle, { id = self.id, speaker = session.agent })
  local past = history.new(session.messages)
  for _, message in ipairs(input.messages(with.name, given)) do past:push(message) end
  past.first, past.summary = session.first, session.summary
  return explain.next_request(with.definition, past)
end

--- The same, printed and returned.
---@param given string|{ text: string, images?: string[] }|table[]
---@return { method: string, url: string, body: string, answer: string, texts: table }
---
--- Example: `chat:explain "And in Rome?"`
function Kept:explain(given)
  scopes.check_self(self, Kept, "session:explain()")
  return explain.show(self:next_request(given))
end

--- The session as a plain table, as of session:save() of one that is not kept.
---@param ... nil nothing: it writes no file
---@return table
---
--- Example: `stoke.fs.write("ada.json", stoke.json.encode(chat:save()))`
function Kept:save(...)
  scopes.check_self(self, Kept, "session:save()")
  if select("#", ...) > 0 then
    errors.raise("argument", "session:save gives a table, and writes no file",
      { hint = "stoke.fs.write(path, stoke.json.encode(session:save()))" })
  end
  local session = look(self, true)
  return { version = 1, agent = session.agent, messages = session.messages, ends = session.ends, first = session.first,
    summary = session.summary }
end

local function check_turns(turns)
  if turns ~= nil and (math.type(turns) ~= "integer" or turns < 0) then
    errors.argument("session:fork: the turns must be a whole number of at least 0, got %s", errors.describe(turns))
  end
end

--- A second session that begins as this one was after so many turns: kept under an id, or not kept.
---@param turns? integer all of them when left out
---@param options? { id?: string }
---@return stoke.agent.session
---Raises `argument` where there is a session with that id.
---
--- Example: `local other = chat:fork(1, { id = "ada, otherwise" })`
function Kept:fork(turns, options)
  scopes.check_self(self, Kept, "session:fork()")
  if type(turns) == "table" then turns, options = nil, turns end
  check_turns(turns)
  options = errors.options(options, { id = "string" }, "session:fork")
  if options.id ~= nil then
    check_id(options.id, "session:fork")
    perform("session.fork", { id = self.id, turn = turns, to = options.id, again = journals.current() ~= nil })
    return made(self.handle, options.id, self.wait)
  end
  local session = look(self, true, turns)
  return M.open_saved(self.handle, { version = 1, agent = session.agent, messages = session.messages, ends = session.ends,
    first = session.first, summary = session.summary })
end

--- Keep what a session that is not kept holds.
---@param handle stoke.agent
---@param saved table of session:save()
---@param id string
---@return stoke.agent.session
function M.keep(handle, saved, id)
  check_id(id, "session:fork")
  perform("session.make", { id = id, agent = handle.name, speaker = saved.agent, messages = saved.messages, ends = saved.ends,
    first = saved.first, summary = saved.summary })
  return made(handle, id)
end

return M
