--- stoke.mailbox: letters between tasks and agents. Bounded: who sends to a full mailbox waits. Letters of one sender are read in
--- the order in which they were sent. A letter is data, and copied; who sent it is known from the task that did.
---
---     local clerk = stoke.mailbox "clerk"
---     stoke.spawn(function()
---       for letter in clerk do
---         if letter.type == "price" then letter:reply(#letter.body.item) end
---       end
---     end)
---     print(clerk:ask("price", { item = "lamp" }, { timeout = 5 }))
---     clerk:close()
---
--- What nobody reads, and an answer that comes too late, is a dead letter: counted, seen in `stoke top`, listed by mailbox.dead().
--- In a durable run mailboxes belong to the run, and come out the same when it goes on; between runs there are signals and actors.

local engine = require "core.mailbox"
local errors = require "core.errors"
local scopes = require "core.scope"

local M = {}

local Mailbox, Letter = engine.Mailbox, engine.Letter

local function check_type(what, kind)
  if type(kind) ~= "string" or kind == "" then
    errors.raise("argument", ("%s: the type of a letter must be a string that is not empty, got %s"):format(what,
      errors.describe(kind)), { hint = 'mailbox:send("order", { item = "lamp" })' })
  end
end

local function seconds_of(what, options)
  if options == nil then return nil end
  options = errors.options(options, { timeout = "number" }, what)
  if options.timeout then errors.check_seconds(options.timeout, what .. ": timeout") end
  return options.timeout
end

--- Send a letter; waits while the mailbox is full.
---@param kind string its type, by which it can be received
---@param body any plain data, or nothing
---@param options? { timeout?: number } seconds to wait for room; without it as long as the scope lets it
---@return boolean|nil sent nil where it was not, a dead letter
---@return string? why "closed" or "timeout"
---Raises `argument` for what is no data, and names it: "order.done is a function".
---
--- Example: `clerk:send("order", { item = "lamp" })`
function Mailbox:send(kind, body, options)
  scopes.check_self(self, Mailbox, "mailbox:send()")
  check_type("mailbox:send", kind)
  return self:post(kind, body, seconds_of("mailbox:send", options))
end

--- Send a letter, and wait for the answer of who reads it.
---@param kind string
---@param body any plain data, or nothing
---@param options? { timeout?: number } seconds in all (60)
---@return any answer
---Raises `timeout`, which says whether it was read; `incomplete` where the mailbox is closed; what letter:fail was given;
--- `argument`.
---
--- Example: `local cents = clerk:ask("price", { item = "lamp" }, { timeout = 5 })`
function Mailbox:ask(kind, body, options)
  scopes.check_self(self, Mailbox, "mailbox:ask()")
  check_type("mailbox:ask", kind)
  return self:request(kind, body, seconds_of("mailbox:ask", options))
end

local function types_of(options)
  local types = options.types
  if type(types) == "string" then return { [types] = true } end
  if types == nil then return nil end
  local set = {}
  errors.list("mailbox:receive: types", types)
  for _, kind in ipairs(types) do
    check_type("mailbox:receive", kind)
    set[kind] = true
  end
  return set
end

--- Take the oldest letter, or the oldest of some types or of one sender; the others stay. Waits while there is none.
---@param options? number|{ types?: string|string[], from?: string, timeout?: number } a number is the timeout, in seconds
---@return stoke.letter|nil letter
---@return string? why "timeout", or "closed"
---
--- Example: `local letter = clerk:receive { types = { "order", "cancel" }, timeout = 10 }`
function Mailbox:receive(options)
  if getmetatable(self) ~= Mailbox then scopes.check_self(self, Mailbox, "mailbox:receive()") end
  if options == nil then return self:take() end
  if type(options) == "number" then options = { timeout = options } end
  options = errors.options(options, { types = true, from = "string", timeout = "number" }, "mailbox:receive")
  if options.timeout then errors.check_seconds(options.timeout, "mailbox:receive: timeout") end
  return self:take(types_of(options), options.from, options.timeout)
end

--- `for letter in mailbox do`: until it is closed.
function Mailbox:__call() return (self:take()) end

--- Letters that wait.
---@return integer
---
--- Example: `if clerk:waiting() > 100 then print "it is behind" end`
function Mailbox:waiting()
  scopes.check_self(self, Mailbox, "mailbox:waiting()")
  return self.count
end

--- Close it: nothing more can be sent; letters that nobody has read are dead, and who asked them is told. Idempotent.
---
--- Example: `clerk:close()`
function Mailbox:close()
  scopes.check_self(self, Mailbox, "mailbox:close()")
  self:shut()
end

Mailbox.__close = Mailbox.shut

function Mailbox:__tostring()
  return ("mailbox %s: %d of %d"):format(self.name or "without a name", self.count, self.capacity)
end

--- Answer who asked. The answer is data, and copied.
---@param value any
---@return boolean heard false: nobody waits any more, and the answer is a dead letter
---Raises `argument` where nobody asked.
---
--- Example: `letter:reply(1250)`
function Letter:reply(value) return self:settle(value) end

--- Tell who asked that it did not work: what they asked with raises it.
---@param err string|stoke.error
---@return boolean heard
---
--- Example: `letter:fail "there is no such item"`
function Letter:fail(err)
  if type(err) == "string" then err = errors.new("script", err) end
  if not errors.is(err) then errors.argument("letter:fail: a text or an error expected, got %s", errors.describe(err)) end
  return self:settle(nil, err)
end

--- Letters that nobody read, and answers that came too late: how many since the process began, and the newest.
---@return { count: integer, newest: { mailbox: string, type: string, from: string, why: string }[] } why: "closed" (sent to a
---  closed mailbox), "unread" (in it when it was closed), "expired" (who asked gave up), "late" and "answered twice" (answers)
---
--- Example: `print(stoke.mailbox.dead().count)`
function M.dead()
  local newest = {}
  for i, letter in ipairs(engine.dead.newest) do
    newest[i] = { mailbox = letter.mailbox, type = letter.type, from = letter.from, why = letter.why }
  end
  return { count = engine.dead.count, newest = newest }
end

--- Mailboxes that have a name, sorted.
---@return { name: string, waiting: integer, capacity: integer, senders: integer }[] senders: those that wait for room
---
--- Example: `for _, box in ipairs(stoke.mailbox.list()) do print(box.name, box.waiting) end`
function M.list() return engine.list() end

--- A mailbox; the same one whenever the same name is given, until it is closed.
---@param name? string
---@param options? { capacity?: integer, shared?: boolean } capacity: letters that it holds (1000); shared: where an engine is set,
---  the one of this name that all hosts have (stdlib/mailbox/shared.lua)
---@return stoke.mailbox
---Raises `argument`.
---
--- Example: `local clerk = stoke.mailbox("clerk", { capacity = 100 })`
function M.new(name, options)
  if name ~= nil and (type(name) ~= "string" or name == "") then
    errors.argument("stoke.mailbox: the name must be a string that is not empty, got %s", errors.describe(name))
  end
  local capacity
  if options ~= nil then
    options = errors.options(options, { capacity = "number", shared = "boolean" }, "stoke.mailbox")
    if options.shared and not name then errors.argument "stoke.mailbox: what hosts share has a name" end
    local far = options.shared and require "stoke.mailbox.shared".named(name)
    if far then return far end
    capacity = options.capacity
    if capacity and (math.type(capacity) ~= "integer" or capacity < 1) then
      errors.argument("stoke.mailbox: capacity must be a whole number of at least 1, got %s", tostring(capacity))
    end
  end
  return name and engine.named(name, capacity) or engine.new(nil, capacity)
end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
