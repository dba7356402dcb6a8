--- Mailboxes that hosts share: stoke.mailbox(name, { shared = true }) where an engine is set.
---
--- A letter is in the engine when send returns, and stays there until somebody, on any host, receives it. Readers on several hosts
--- share the letters, oldest first; one that a reader does not want is looked at again a second later. An answer finds the host
--- that asked. There is no room to wait for: the engine's is the only bound.

local driver = require "core.driver.letters"
local effect = require "core.effect"
local engine = require "core.mailbox"
local errors = require "core.errors"
local journals = require "core.journal"
local runs = require "core.runs"
local scopes = require "core.scope"
require "stoke.workflow" -- which says where the engine is

local M = {}

---@class stoke.mailbox.shared
---@field name string
---@field closed boolean
local Mailbox = {}
Mailbox.__index = Mailbox
Mailbox.__name = "stoke.mailbox"

---@class stoke.letter.shared
---@field type string
---@field body any
---@field from string
---@field number integer
local Letter = {}
Letter.__index = Letter
Letter.__name = "stoke.letter"

local perform, check = effect.perform, errors.check

local function check_type(what, kind)
  if type(kind) == "string" and kind ~= "" then return end
  errors.argument("%s: the type of a letter must be a string that is not empty, got %s", what, errors.describe(kind))
end

local function send(self, what, kind, body, patience)
  scopes.check_self(self, Mailbox, what .. "()")
  check_type(what, kind)
  if self.closed then return nil end
  return check(perform("letter.send", { mailbox = self.name, type = kind, body = engine.data(what, kind, body),
    from = driver.sender(), patience = patience }))
end

--- Send a letter. The engine has it when this returns.
---@param kind string
---@param body any plain data, or nothing
---@return boolean|nil sent nil where this end of the mailbox is closed
---@return string? why "closed"
---Raises `argument`, what the engine raises.
---
--- Example: `clerk:send("order", { item = "lamp" })`
function Mailbox:send(kind, body)
  if send(self, "mailbox:send", kind, body) then return true end
  return nil, "closed"
end

local function seconds_of(what, options, default)
  if type(options) == "number" then options = { timeout = options } end
  options = options and errors.options(options, { timeout = "number", types = true, from = "string" }, what) or {}
  if options.timeout then errors.check_seconds(options.timeout, what .. ": timeout") end
  return options.timeout or default, options
end

--- Send a letter, and wait for the answer of who reads it, on whichever host.
---@param kind string
---@param body any
---@param options? { timeout?: number } seconds in all (60)
---@return any answer
---Raises `timeout`; `incomplete` where this end is closed; what letter:fail was given.
---
--- Example: `local cents = clerk:ask("price", { item = "lamp" }, { timeout = 5 })`
function Mailbox:ask(kind, body, options)
  local seconds = seconds_of("mailbox:ask", options, engine.PATIENCE)
  local id = send(self, "mailbox:ask", kind, body, seconds)
  if not id then errors.raise("incomplete", ("mailbox %q is closed: %q has no answer"):format(self.name, kind)) end
  local answer = check(perform("letter.await", { id = id, seconds = seconds }))
  if not answer then
    errors.raise("timeout", ("mailbox %q: no answer to %q within %g s"):format(self.name, kind, seconds), { seconds = seconds,
      hint = "stoke hosts lists who works; the letter stays until somebody reads it" })
  end
  if answer.error then error(answer.error, 0) end
  return answer.value
end

local function types_of(types)
  if types == nil then return nil end
  local set = {}
  for _, kind in ipairs(type(types) == "string" and { types } or errors.list("mailbox:receive: types", types) or types) do
    check_type("mailbox:receive", kind)
    set[kind] = true
  end
  return set
end

--- Take the oldest letter, or the oldest of some types or of one sender. Who takes it has it: no other host gets it again.
---@param options? number|{ types?: string|string[], from?: string, timeout?: number }
---@return stoke.letter.shared|nil letter
---@return string? why "timeout" or "closed"
---Raises `argument` in a durable run, which has signals; what the engine raises.
---
--- Example: `local letter = clerk:receive { types = "order", timeout = 10 }`
function Mailbox:receive(options)
  scopes.check_self(self, Mailbox, "mailbox:receive()")
  if journals.visible() then
    errors.raise("argument", "mailbox:receive: a durable run does not read a mailbox that hosts share",
      { hint = "signals reach it: run:signal(name, value) sends one, stoke.signal(name) takes it" })
  end
  if self.closed then return nil, "closed" end
  local seconds, given = seconds_of("mailbox:receive", options)
  local word = check(perform("letter.take", { mailbox = self.name, types = types_of(given.types), from = given.from,
    seconds = seconds }))
  if not word then return nil, "timeout" end
  return setmetatable({ type = word.type, body = word.body, from = word.from, number = word.number, answer = word.answer,
    expires = word.expires, box = self.name }, Letter)
end

--- `for letter in mailbox do`
function Mailbox:__call() return (self:receive()) end

--- Letters that wait in the engine.
---@return integer
function Mailbox:waiting()
  scopes.check_self(self, Mailbox, "mailbox:waiting()")
  return check(perform("letter.count", { mailbox = self.name }))
end

--- Close this end: letters stay in the engine.
function Mailbox:close()
  scopes.check_self(self, Mailbox, "mailbox:close()")
  self.closed = true
end
Mailbox.__close = Mailbox.close

function Mailbox:__tostring() return ("mailbox %s, shared by hosts"):format(self.name) end

local function answer(letter, value, err)
  if not letter.answer then
    errors.raise("argument", ("mailbox %q: nobody waits for an answer to %q"):format(letter.box, letter.type),
      { hint = "mailbox:ask waits for one, mailbox:send does not" })
  end
  return check(perform("letter.answer", { id = letter.answer, expires = letter.expires,
    value = engine.data("letter:reply", letter.type, value), error = err }))
end

--- Answer who asked.
---@param value any plain data
---@return boolean heard false: nobody waits any more, or it was answered before
function Letter:reply(value) return answer(self, value) end

--- Tell who asked that it did not work.
---@param err string|stoke.error
---@return boolean heard
function Letter:fail(err)
  if type(err) == "string" then err = errors.new("script", err) end
  if not errors.is(err) then errors.argument("letter:fail: a text or an error expected, got %s", errors.describe(err)) end
  return answer(self, nil, err)
end

local named = {}

--- The mailbox of a name.
---@param name string
---@return stoke.mailbox.shared|nil mailbox nil: no engine is set
function M.named(name)
  if not runs.engine() then return nil end
  local box = named[name]
  if not box or box.closed then
    box = setmetatable({ name = name, closed = false }, Mailbox)
    named[name] = box
  end
  return box
end

return M
