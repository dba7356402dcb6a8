--- stoke.actor: a durable table that changes by the messages it gets, one after another.
---
---     local counter = stoke.actor("counter", { state = { n = 0 }, on = {
---       add = function(state, by) state.n = state.n + by return state.n end,
---     } })
---     counter:send("add", 1)                    -- is in the mailbox, on the disk, when this returns
---     print(counter:ask("add", 2))              --> 3
---     counter("ada"):send("add", 5)             -- another one of the kind, with a state of its own
---
--- A handler is a durable run: killed in its middle it goes on. Its state and the messages that it sent are written together, when
--- it returns; a handler that fails leaves neither. A message whose handler failed for a reason that may pass (a server was busy)
--- is handled again, three times in all; else it is dead: that is logged, `dead()` lists it, `again(number)` has it handled again,
--- and the actor goes on with the next one. Who asked gets the error, and nothing is tried again. Actors that have nothing to do
--- cost nothing; mail that was left is handled when a script starts that defines their kind.

local actors = require "core.runs.actors"
local driver = require "core.driver.actors"
local effect = require "core.effect"
local errors = require "core.errors"
local journals = require "core.journal"
local runs = require "core.runs"
local code = require "core.runs.code"
local scopes = require "core.scope"
local ordered = require "core.ordered"
local log = require "stoke.log"
require "stoke.workflow"

local M = {}

--- Messages that may wait for an actor, where its kind does not say.
---@private
M.MAILBOX = 10000

function actors.on_dead(kind, id, name, err)
  log.error("a message of an actor is dead", { actor = kind, id = id, message = name, error = tostring(err) })
end

---@class stoke.actor one of a kind; calling it with an id gives another one
---@field kind string
---@field id string
local Actor = {}
Actor.__index = Actor
Actor.__name = "stoke.actor"

local kinds = setmetatable({}, { __mode = "k" }) -- handle -> its kind

local function handle(kind, id)
  local made = setmetatable({ kind = kind.name, id = id }, Actor)
  kinds[made] = kind
  return made
end

--- Another one of this kind.
---@param id string
---@return stoke.actor
function Actor:__call(id)
  if type(id) ~= "string" or id == "" then
    errors.argument("actor %s: the id must be a string that is not empty, got %s", self.kind, errors.describe(id))
  end
  return handle(kinds[self], id)
end

function Actor:__tostring() return self.id == "" and "actor " .. self.kind or ("actor %s %q"):format(self.kind, self.id) end

local function perform(name, q, work) return errors.check(effect.perform(name, q, work)) end

local function request(self, what, name, ...)
  scopes.check_self(self, Actor, what)
  local kind = kinds[self]
  if type(name) ~= "string" or not kind.on[name] then
    local near = errors.suggest(tostring(name), ordered.names(kind.on))
    errors.argument("%s: the actor %s knows no message %q%s", what, kind.name, tostring(name),
      near and (" (did you mean %s?)"):format(near) or "")
  end
  return { kind = kind.name, id = self.id, name = name, arguments = table.pack(...), mailbox = kind.mailbox }
end

--- Put a message in its mailbox. In the handler of an actor it leaves when the handler returns, with the state.
---@param name string of the message
---@param ... any plain data
---Raises `overloaded` where the mailbox is full, `argument`, `db`.
---
--- Example: `counter:send("add", 1)`
function Actor:send(name, ...)
  local q = request(self, "actor:send()", name, ...)
  perform(driver.posts(journals.visible()) and "actor.post" or "actor.send", q)
end

--- Send a message, and wait for what its handler returns; a deadline of the scope ends the wait, and the message stays.
---@param name string of the message
---@param ... any plain data
---@return any answer
---Raises what the handler raised; `argument` where the actor would wait for itself; `overloaded`; `in_doubt` and `parked`.
---
--- Example: `local n = counter:ask("add", 1)`
function Actor:ask(name, ...) return perform("actor.ask", request(self, "actor:ask()", name, ...)).answer end

--- A copy of its state, as the last handler left it.
---@return table
---
--- Example: `print(counter("ada"):state().n)`
function Actor:state()
  scopes.check_self(self, Actor, "actor:state()")
  return perform("actor.look", { kind = self.kind, id = self.id }, kinds[self]).state
end

--- How many messages wait.
---@return integer
---
--- Example: `if counter:waiting() > 100 then print "it is behind" end`
function Actor:waiting()
  scopes.check_self(self, Actor, "actor:waiting()")
  return perform("actor.look", { kind = self.kind, id = self.id }, kinds[self]).waiting
end

--- Its messages whose handler failed.
---@return { number: integer, name: string, arguments: table, sent: number, error: stoke.error, tries: integer }[]
---
--- Example: `for _, message in ipairs(counter:dead()) do print(message.name, message.error) end`
function Actor:dead()
  scopes.check_self(self, Actor, "actor:dead()")
  return perform("actor.dead", { kind = self.kind, id = self.id })
end

--- Have a dead message handled again, after those that wait.
---@param number integer of the message
---@return boolean false: there is no such dead message
---
--- Example: `counter:again(counter:dead()[1].number)`
function Actor:again(number)
  scopes.check_self(self, Actor, "actor:again()")
  if math.type(number) ~= "integer" then errors.argument("actor:again: a number expected, got %s", errors.describe(number)) end
  return perform("actor.again", { kind = self.kind, id = self.id, number = number })
end

--- The actor whose handler is running.
---@return stoke.actor|nil
---
--- Example: `print(stoke.actor.current())`
function M.current()
  local journal = journals.current()
  local actor = journal and journal.entry and journal.entry.prepared and journal.entry.prepared.actor
  local kind = actor and actors.kinds[actor.kind]
  return kind and handle(kind, actor.id) or nil
end

local function check(name, given)
  if type(name) ~= "string" or name == "" then errors.argument("stoke.actor: a name expected, got %s", errors.describe(name)) end
  given = errors.options(given, { state = true, on = "table", mailbox = "number", shared = "boolean" }, "stoke.actor")
  local on = {}
  if not given.on or not next(given.on) then errors.argument("stoke.actor %s: on must have a handler for each message", name) end
  for message, f in next, given.on do
    if type(message) ~= "string" then errors.argument("stoke.actor %s: on has a name that is no string", name) end
    errors.check_callable(f, ("stoke.actor %s: on.%s"):format(name, message))
    on[message] = f
  end
  local mailbox = given.mailbox or M.MAILBOX
  if math.type(mailbox) ~= "integer" or mailbox < 1 then
    errors.argument("stoke.actor %s: mailbox must be a whole number of at least 1, got %s", name, errors.describe(mailbox))
  end
  return { name = name, on = on, initial = given.state or {}, mailbox = mailbox, workflow = "actor " .. name }
end

--- Define a kind of actor, and get the one of it that has no id.
---@param name string by which a later process finds it
---@param given { state?: table|fun(id: string): table, on: table<string, fun(state: table, ...): any>, mailbox?: integer, shared?:
---  boolean } state: what one begins with ({}); on: a handler for each message; mailbox: messages that may wait (10,000); shared:
---  where an engine is set, those that all hosts have (stdlib/actor/shared.lua)
---@return stoke.actor
---Raises `argument`.
---
--- Example: `local counter = stoke.actor("counter", { state = { n = 0 }, on = { add = function(s, by) s.n = s.n + by end } })`
function M.define(name, given)
  local kind = check(name, given)
  actors.initial(errors.callable(kind.initial) and { name = name, initial = {} } or kind, "")
  if given.shared and runs.engine() then return require "stoke.actor.shared".define(kind) end
  local f, hooks = actors.workflow(kind)
  if not code.box() then actors.kinds[name] = kind end
  runs.define(kind.workflow, f, hooks)
  return handle(kind, "")
end

return setmetatable(M, { __call = function(_, ...) return M.define(...) end })
