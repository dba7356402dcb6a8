--- Actors that hosts share: stoke.actor(kind, { shared = true, ... }) where an engine is set.
---
--- A message is a durable run of a worker (stoke worker FILE), whichever takes it: the messages of one actor are handled one after
--- another, in the order in which the engine got them, and those of others beside them. The state is in the engine; it changes when
--- a handler returns, once for each message, also where a host is killed in the middle. A handler that fails leaves it as it was:
--- who asked gets the error, and the next message is handled. What a handler sends leaves at once, whatever becomes of it. There is
--- no room to wait for: the engine's is the only bound. `stoke.actor.current()` knows actors of one host alone. Messages that were
--- handled are pruned as runs are: stoke prune --engine URL.

local actors = require "core.runs.actors"
local effect = require "core.effect"
local errors = require "core.errors"
local ordered = require "core.ordered"
local runs = require "core.runs"
local scopes = require "core.scope"
require "core.driver.peers"

local M = {}

---@class stoke.actor.shared one of a kind; calling it with an id gives another one
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

local function perform(name, q) return errors.check(effect.perform(name, q)) end

--- Another one of this kind.
---@param id string
---@return stoke.actor.shared
function Actor:__call(id)
  if type(id) ~= "string" or id == "" then
    errors.argument("actor %s: the id must be a string that is not empty, got %s", self.kind, errors.describe(id))
  end
  return handle(kinds[self], id)
end

function Actor:__tostring()
  return (self.id == "" and "actor %s, shared by hosts" or "actor %s %q, shared by hosts"):format(self.kind, self.id)
end

local function handler_of(kind, name, what)
  local f = type(name) == "string" and kind.on[name]
  if f then return f end
  local near = errors.suggest(tostring(name), ordered.names(kind.on))
  errors.argument("%s: the actor %s knows no message %q%s", what, kind.name, tostring(name),
    near and (" (did you mean %s?)"):format(near) or "")
end

local function send(self, what, asked, name, ...)
  scopes.check_self(self, Actor, what)
  handler_of(kinds[self], name, what)
  return perform("peer.send", { kind = self.kind, id = self.id, name = name, arguments = table.pack(...), asked = asked })
end

--- Send a message. The engine has it when this returns.
---@param name string of the message
---@param ... any plain data
---Raises `argument`, what the engine raises.
---
--- Example: `counter:send("add", 1)`
function Actor:send(name, ...) send(self, "actor:send()", nil, name, ...) end

--- Send a message, and wait for what its handler returns, on whichever host; a deadline of the scope ends the wait, and the message
--- stays.
---@param name string of the message
---@param ... any plain data
---@return any answer
---Raises what the handler raised; `argument` where the actor would wait for itself; `in_doubt` and `parked`; what the engine
--- raises.
---
--- Example: `local n = counter:ask("add", 1)`
function Actor:ask(name, ...) return perform("peer.await", { message = send(self, "actor:ask()", true, name, ...) }).answer end

--- A copy of its state, as the last handler left it.
---@return table
---
--- Example: `print(counter("ada"):state().n)`
function Actor:state()
  scopes.check_self(self, Actor, "actor:state()")
  return perform("peer.look", { kind = self.kind, id = self.id }).state or actors.initial(kinds[self], self.id)
end

--- What handles a message, on the host that has it.
local function work(kind)
  return function(input)
    local before = perform("peer.take", { kind = input.kind, id = input.id })
    local state = before.state or actors.initial(kind, input.id)
    local answer = handler_of(kind, input.name, "a message")(state, table.unpack(input.arguments, 1, input.arguments.n))
    return perform("peer.keep", { kind = input.kind, id = input.id, state = state, revision = before.revision,
      message = input.message, answer = answer }).answer
  end
end

--- Define a kind. What is given is checked by stoke.actor.
---@param kind stoke.runs.kind
---@return stoke.actor.shared
function M.define(kind)
  runs.define(kind.workflow, work(kind))
  return handle(kind, "")
end

return M
