--- A session: an agent that remembers. One turn at a time; the next one waits. A turn that fails leaves nothing behind.

local errors = require "core.errors"
local modules = require "core.modules"
local schedule = require "core.schedule"
local scopes = require "core.scope"
local tasks = require "core.task"
local explain = require "stoke.agent.explain"
local history = require "stoke.agent.history"
local input = require "stoke.agent.input"
local loop = require "stoke.agent.loop"
local options = require "stoke.model.options"
local stream = require "stoke.agent.stream"
local values = require "stoke.schema.values"

local M = {}

---@class stoke.agent.session
---@field agent string name of the agent that answers next; a handoff changes it
---@field turns integer
---@field messages table[] the history, a copy: changing it changes nothing that is sent
local Session = {}
Session.__name = "stoke.agent.session"

function Session.__index(self, key)
  if key == "agent" then return self.handle.name end
  if key == "turns" then return #self.ends end
  if key == "messages" then return self.history:shown(1) end
  return Session[key]
end

local OWN = { schedule = true, busy = true, reader = true, waiting = true, ends = true, history = true, handle = true,
  root = true }

--- What a script sets would change nothing, without a word.
function Session:__newindex(key, value)
  if OWN[key] then return rawset(self, key, value) end
  errors.raise("argument", ("session.%s cannot be set"):format(tostring(key)),
    { hint = "a session grows by its turns; agent:session(saved) makes one from what session:save() gave" })
end

--- The sessions that somebody holds: for those who look.
M.live = setmetatable({}, { __mode = "k" })

local function make(root, handle, messages, ends)
  local session = setmetatable({ root = root, handle = handle, history = history.new(messages, true), ends = ends }, Session)
  if schedule.any then session.schedule = schedule.own() or nil end
  M.live[session] = true
  if modules.change then modules.undo(function() M.live[session] = nil end) end
  return session
end

--- Holds the session for a turn, or a look at it; a turn that failed is taken back.
local Guard = { __close = function(guard, err)
  local self = guard.session
  if err ~= nil and guard.count then self.history:cut(guard.count) end
  self.busy, self.reader = false, nil
  if self.waiting then scopes.wake_all(self.waiting) end
end }

--- A tool that waited for the turn it works for would wait for ever; so would who reads the events of a turn.
local function check_outside(self)
  if self.reader and self.reader == tasks.current() then
    errors.raise("argument", ("the session of %s is in the middle of a turn whose events this task reads"):format(self.agent),
      { hint = "read them to the end, or leave the loop, before the next turn" })
  end
  local outer = loop.outer()
  while outer do
    if outer.history == self.history then
      errors.raise("argument", ("the session of %s is in the middle of the turn that this tool works for"):format(self.agent),
        { hint = "use another session, session:fork() before the turn, or agent:run" })
    end
    outer = outer.outer
  end
end

--- Wait until nobody else holds it.
local function hold(self)
  if schedule.any then schedule.check(self.schedule, "session", "session of " .. self.agent) end
  if self.busy then check_outside(self) end
  while self.busy do
    self.waiting = self.waiting or {}
    local me = tasks.current()
    local woken, err = scopes.queue_up(self.waiting, me, "session")
    if woken == nil then
      scopes.deliver(me)
      error(err, 0)
    end
  end
  self.busy = true
  return setmetatable({ session = self }, Guard)
end

local function turn(self, given, listener, limits, reader)
  local guard <close> = hold(self)
  self.reader = reader
  guard.count = #self.history
  local definition = self.handle.definition
  local messages, past = input.messages(definition.label, given), self.history
  for i = 1, #messages do past:push(messages[i]) end
  local result, last = loop.run(definition, past, guard.count + 1, listener, limits)
  if last ~= definition then self.handle = last.handle end
  self.ends[#self.ends + 1] = #self.history
  return result
end

--- One turn.
---@param given string|{ text: string, images?: string[] }|table[]
---@param limits? stoke.agent.limits
---@return stoke.agent.result
---Raises what agent:run raises; the session is then as it was before.
---
--- Example: `print(chat:run("And in Rome?").text)`
function Session:run(given, limits)
  scopes.check_self(self, Session, "session:run()")
  return turn(self, given, nil, loop.options("session:run", limits))
end

--- One turn, its events as they come; see agent:stream.
---@param given string|{ text: string, images?: string[] }|table[]
---@param limits? stoke.agent.limits
---@return fun(): table|nil iterator for generic `for`
---
--- Example: `for ev in chat:stream("And in Rome?") do if ev.type == "text" then io.write(ev.text) end end`
function Session:stream(given, limits)
  scopes.check_self(self, Session, "session:stream()")
  limits = loop.options("session:stream", limits)
  local reader = tasks.current()
  if self.busy then check_outside(self) end
  return stream.open(function(listener) return turn(self, given, listener, limits, reader) end)
end

--- The exact request the next turn would send first.
---@param given string|{ text: string, images?: string[] }|table[]
---@return { method: string, url: string, body: string, answer: string, texts: table } body: JSON text; see agent:explain
---
--- Example: `print(chat:next_request("And in Rome?").body)`
function Session:next_request(given)
  scopes.check_self(self, Session, "session:next_request()")
  local messages = table.move(self.history, 1, #self.history, 1, {})
  for _, message in ipairs(input.messages(self.agent, given)) do messages[#messages + 1] = message end
  local past = history.new(messages)
  past.first, past.summary = self.history.first, self.history.summary
  return explain.next_request(self.handle.definition, past)
end

--- The same, printed and returned.
---@param given string|{ text: string, images?: string[] }|table[]
---@return { method: string, url: string, body: string, answer: string, texts: table }
---
--- Example: `chat:explain "And in Rome?"`
function Session:explain(given)
  scopes.check_self(self, Session, "session:explain()")
  return explain.show(self:next_request(given))
end

local function copy(messages)
  return values.clone(messages) or errors.argument "agent:session: a message is nested too deep, or contains itself"
end

--- The session as a plain table, which JSON can hold: agent:session(saved) goes on with it.
---@param ... nil nothing: it writes no file
---@return table
---Raises `argument` when it is given something.
---
--- Example: `stoke.fs.write("chat.json", stoke.json.encode(chat:save()))`
function Session:save(...)
  scopes.check_self(self, Session, "session:save()")
  if select("#", ...) > 0 then
    errors.raise("argument", "session:save gives a table, and writes no file",
      { hint = "stoke.fs.write(path, stoke.json.encode(session:save()))" })
  end
  local guard <close> = hold(self)
  return { version = 1, agent = self.agent, messages = self.messages, ends = table.move(self.ends, 1, #self.ends, 1, {}),
    first = self.history.first, summary = self.history.summary }
end

--- A second session that begins as this one was after so many turns; with an id it is one that is kept.
---@param turns? integer all of them when left out
---@param given? { id?: string }
---@return stoke.agent.session
---
--- Example: `local other = chat:fork(1)`
function Session:fork(turns, given)
  scopes.check_self(self, Session, "session:fork()")
  if type(turns) == "table" then turns, given = nil, turns end
  given = errors.options(given, { id = "string" }, "session:fork")
  local guard <close> = hold(self)
  turns = turns == nil and #self.ends or turns
  if math.type(turns) ~= "integer" or turns < 0 or turns > #self.ends then
    errors.argument("session:fork: the session has turns 0 to %d, got %s", #self.ends, errors.describe(turns))
  end
  local count = turns == 0 and 0 or self.ends[turns]
  local other = make(self.root, self.handle, table.move(self.messages, 1, count, 1, {}), table.move(self.ends, 1, turns, 1, {}))
  if self.history.first <= count then other.history.first, other.history.summary = self.history.first, self.history.summary end
  if given.id then return M.kept().keep(self.root, other:save(), given.id) end
  return other
end

local function bad(what, ...) errors.argument("agent:session: the saved session " .. what, ...) end

--- Messages of a saved session, checked: it may come from a file.
local function saved_messages(saved)
  if type(saved) ~= "table" or saved.version ~= 1 or type(saved.messages) ~= "table" or type(saved.ends) ~= "table" then
    bad("must be what session:save() gave (version 1), got %s", errors.describe(saved))
  end
  for i, message in ipairs(saved.messages) do
    if type(message) ~= "table" or type(message.role) ~= "string" or type(message.content) ~= "string" then
      bad("has no role or content in messages[%d]", i)
    end
    if not input.ROLES[message.role] then bad("has the role %q in messages[%d]", message.role, i) end
  end
  local last = 0
  for i, count in ipairs(saved.ends) do
    if math.type(count) ~= "integer" or count <= last or count > #saved.messages then bad("has a wrong ends[%d]", i) end
    last = count
  end
  return options.messages("agent:session", copy(saved.messages), function(_, list) return list end)
end

--- The agent that a saved session was with: this one, or one that it, or who it hands over to, can hand over to.
local function found(handle, name)
  local queue, seen = { handle }, { [handle] = true }
  for _, at in ipairs(queue) do
    if at.name == name then return at end
    local definition = at.definition
    for _, call in ipairs(definition.handoff_order or {}) do
      local target = definition.targets[call]
      if not seen[target] then
        seen[target] = true
        queue[#queue + 1] = target
      end
    end
  end
end

--- Sessions that are kept (stdlib/agent/kept.lua): loaded when the first one is opened.
function M.kept()
  local kept = require "stoke.agent.kept"
  kept.found, kept.open_saved = found, M.new
  return kept
end

--- A session of an agent, new or saved. One that had been handed over goes on with the agent it was handed to.
---@param handle stoke.agent
---@param saved? table of session:save(), or { id = } of one that is kept
---@return stoke.agent.session
function M.new(handle, saved)
  if saved == nil then return make(handle, handle, {}, {}) end
  if type(saved) == "table" and saved.version == nil and saved.id ~= nil then return M.kept().open(handle, saved) end
  local messages = saved_messages(saved)
  local session = make(handle, found(handle, saved.agent) or handle, messages, table.move(saved.ends, 1, #saved.ends, 1, {}))
  local first = math.tointeger(saved.first) or 1
  session.history.first = math.max(1, math.min(first, #messages + 1))
  session.history.summary = type(saved.summary) == "string" and saved.summary or nil
  return session
end

return M
