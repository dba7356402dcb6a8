--- Mailboxes: bounded queues of letters between tasks, see stdlib/mailbox.lua. A letter is data, copied when it is sent, so it
--- means the same wherever it is read; who sent it is known from the task that did.
---
--- A letter is handed to a reader that waits for its type, else it is queued; a sender that finds the queue full waits, first come
--- first served. So letters of one sender are read in the order in which they were sent.

local host = require "host.task"
local errors = require "core.errors"
local fifo = require "core.fifo"
local plain = require "core.journal.plain"
local schedules = require "core.schedule"
local scopes = require "core.scope"
local monotonic = require "host.time".monotonic

local M = {}

--- Letters that a mailbox holds where nobody says, and names that there may be.
M.CAPACITY, M.NAMES = 1000, 100000
--- Seconds that an answer is waited for where nobody says.
M.PATIENCE = 60
--- Dead letters that are remembered; all are counted.
local KEPT <const> = 32

local SCALAR = { string = true, number = true, boolean = true }

local current, park, wake = host.current, host.park, host.wake

--- Letters that nobody read, and answers that came too late: how many, and the newest of them.
M.dead = { count = 0, newest = {} }

---@class stoke.letter
---@field type string
---@field body any data: a copy of what was sent
---@field from string who sent it: the agent that the task works for, the name of the task, or where it was spawned
---@field number integer of the letters of this mailbox, from 1
local Letter = {}
Letter.__index = Letter
Letter.__name = "stoke.letter"

---@class stoke.mailbox
---@field name? string
---@field capacity integer
---@field count integer letters that wait
---@field closed boolean
local Mailbox = {}
Mailbox.__index = Mailbox
Mailbox.__name = "stoke.mailbox"
M.Mailbox, M.Letter = Mailbox, Letter

local function bury(box, letter, why)
  local dead = M.dead
  dead.count = dead.count + 1
  local list = dead.newest
  if #list >= KEPT then table.remove(list, 1) end
  list[#list + 1] = { mailbox = box.name or "a mailbox", type = letter.type, from = letter.from, why = why }
end

--- Create a mailbox.
---@param name? string
---@param capacity? integer
---@return stoke.mailbox
function M.new(name, capacity)
  return setmetatable({ name = name, capacity = capacity or M.CAPACITY, count = 0, sent = 0, first = 1, last = 0, closed = false,
    readers = {}, writers = {}, schedule = schedules.any and schedules.own() or nil }, Mailbox)
end

local function title(box) return box.name and ("mailbox %q"):format(box.name) or "mailbox" end

local function enter(box, call)
  local task = current()
  if not task then errors.argument("%s waits, so it can only be called inside a task", call) end
  if schedules.any then schedules.check(box.schedule, "mailbox", call) end
  if (task.scope or task).cancelled then scopes.deliver(task) end
  return task
end

--- Who a task is to others.
local function name_of(task)
  local run = (task.scope or task).context.run
  return run and run.agent.label or task.name or task.site or "the host"
end

--- Who a letter of the running task is from.
---@return string
function M.sender() return name_of(current()) end

-- ---- the queue ----------------------------------------------------------------------------------------------------------------

local function accepts(ticket, letter)
  local types, from = ticket.types, ticket.from
  return (not types or types[letter.type]) and (not from or from == letter.from)
end

--- Hand a letter to the oldest reader that waits for such a one, or queue it.
local function put(box, letter)
  local ticket = box.readers.head
  while ticket do
    local after = ticket.after
    if accepts(ticket, letter) then
      local co = ticket.task.co
      fifo.remove(box.readers, ticket)
      if co and wake(co) then -- else it was cancelled in this turn
        ticket.letter = letter
        return
      end
    end
    ticket = after
  end
  local last = box.last + 1
  box[last], box.last, box.count = letter, last, box.count + 1
end

--- There is room: the letter of the oldest sender that waits comes in.
local function admit(box)
  while box.count < box.capacity do
    local ticket = fifo.pop(box.writers)
    if not ticket then return end
    local co = ticket.task.co
    if co and wake(co) then
      ticket.taken = true
      put(box, ticket.letter)
    end
  end
end

--- Close the gaps that selective readers have left.
local function compact(box)
  local to = 0
  for i = box.first, box.last do
    local letter = box[i]
    box[i] = nil
    if letter then
      to = to + 1
      box[to] = letter
    end
  end
  box.first, box.last = 1, to
end

--- Take the letter at a place out of the queue.
local function take(box, at)
  local letter = box[at]
  box.count = box.count - 1
  if at == box.first then
    box[at] = nil
    repeat
      box.first = box.first + 1
      local gap = box[box.first] == false
      if gap then box[box.first] = nil end
    until not gap
  else
    box[at] = false
    if box.last - box.first > 2 * box.capacity then compact(box) end
  end
  if box.writers.head then admit(box) end
  return letter
end

--- The oldest letter that a reader wants.
local function find(box, ticket)
  if box.count == 0 then return nil end
  if not ticket.types and not ticket.from then return box.first end
  for i = box.first, box.last do
    if box[i] and accepts(ticket, box[i]) then return i end
  end
end

-- ---- sending --------------------------------------------------------------------------------------------------------------------

--- A copy of a body.
---@param where string
---@param kind string
---@param body any
---@return any
---Raises `argument` for what is no data.
function M.data(where, kind, body)
  if body == nil then return nil end
  local copy, odd = plain.copy(body)
  if odd then
    errors.raise("argument", ("%s: the letter %q is no data: %s"):format(where, kind, odd),
      { hint = "send what is plain: texts, numbers, tables of these; a function or a task means nothing to who reads it" })
  end
  return copy
end

local function letter_of(box, task, kind, body)
  if type(body) == "table" or body ~= nil and not SCALAR[type(body)] then body = M.data(title(box), kind, body) end
  box.sent = box.sent + 1
  return setmetatable({ type = kind, body = body, from = name_of(task), number = box.sent, box = box, answer = nil }, Letter)
end

--- Put a letter in, or wait for room. True; or nil and "closed" or "timeout".
local function post(box, task, letter, seconds)
  if box.closed then
    bury(box, letter, "closed")
    return nil, "closed"
  end
  if box.count < box.capacity then
    put(box, letter)
    return true
  end
  host.enter "mailbox:send"
  local ticket = { task = task, letter = letter, taken = false }
  fifo.push(box.writers, ticket)
  local ends = seconds and monotonic() + seconds
  while not ticket.taken do
    local woken, err = park("mailbox.send", ends and math.max(0, ends - monotonic()))
    if ticket.taken then break end
    if box.closed then
      bury(box, letter, "closed")
      return nil, "closed"
    end
    if not woken then
      fifo.remove(box.writers, ticket)
      if woken == nil then
        scopes.deliver(task)
        error(err, 0)
      end
      return nil, "timeout"
    end
  end
  return true
end

--- Send a letter; waits while the mailbox is full.
---@private
---@param kind string
---@param body any data
---@param seconds? number
---@return boolean|nil sent
---@return string? why
function Mailbox:post(kind, body, seconds)
  local task = enter(self, "mailbox:send")
  return post(self, task, letter_of(self, task, kind, body), seconds)
end

--- The letter is not wanted any more: out of the queue with it.
local function withdraw(box, letter)
  for i = box.first, box.last do
    if box[i] == letter then
      bury(box, letter, "expired")
      take(box, i)
      return true
    end
  end
end

local function no_answer(box, letter, seconds)
  local unread = withdraw(box, letter)
  local answer = letter.answer
  local why = unread and "the letter was not read"
    or not letter.posted and ("there was no room for it, %d letters wait"):format(box.count)
    or ("it was read by %s, who has not answered"):format(answer.reader or "somebody")
  return errors.new("timeout", ("%s: no answer to %q within %g s: %s"):format(title(box), letter.type, seconds, why),
    { seconds = seconds })
end

--- Send a letter, and wait for its answer.
---@private
---@param kind string
---@param body any
---@param seconds? number
---@return any
---Raises `timeout`, `incomplete` where the mailbox was closed, what the reader failed with.
function Mailbox:request(kind, body, seconds)
  seconds = seconds or M.PATIENCE
  local task = enter(self, "mailbox:ask")
  local letter = letter_of(self, task, kind, body)
  local answer, ends = { task = task, done = false }, monotonic() + seconds
  letter.answer = answer
  local sent, why = post(self, task, letter, seconds)
  letter.posted = sent
  host.enter "mailbox:ask"
  while sent and not answer.done do
    local woken, err = park("mailbox.ask", math.max(0, ends - monotonic()))
    if answer.done then break end
    if woken == nil then
      answer.late = true
      withdraw(self, letter)
      scopes.deliver(task)
      error(err, 0)
    end
    if not woken then sent, why = nil, "timeout" end
  end
  if answer.err then error(answer.err, 0) end
  if answer.done then return answer.value end
  answer.late = true
  if why == "closed" then
    errors.raise("incomplete", ("%s is closed: %q has no answer"):format(title(self), kind))
  end
  error(no_answer(self, letter, seconds), 0)
end

--- Answer a letter; the second answer to one, and one that comes too late, is a dead letter.
---@private
---@param value any data
---@param err? stoke.error
---@return boolean heard
function Letter:settle(value, err)
  local answer, box = self.answer, self.box
  if not answer then
    errors.raise("argument", ("%s: nobody waits for an answer to %q"):format(title(box), self.type),
      { hint = "mailbox:ask waits for one, mailbox:send does not" })
  end
  if answer.done or answer.late then
    bury(box, { type = self.type, from = self.from }, answer.done and "answered twice" or "late")
    return false
  end
  if value ~= nil then
    local copy, odd = plain.copy(value)
    if odd then errors.argument("%s: the answer to %q is no data: %s", title(box), self.type, odd) end
    value = copy
  end
  answer.value, answer.err, answer.done = value, err, true
  local co = answer.task.co
  return co and wake(co) or false
end

-- ---- receiving ------------------------------------------------------------------------------------------------------------------

local function read(letter, task)
  if letter.answer then letter.answer.reader = name_of(task) end
  return letter
end

--- Take the oldest letter that fits; waits while there is none.
---@private
---@param types? table<string, true>
---@param from? string
---@param seconds? number
---@return stoke.letter|nil
---@return string? why "timeout" or "closed"
function Mailbox:take(types, from, seconds)
  local task = enter(self, "mailbox:receive")
  local ticket = { task = task, types = types, from = from, letter = nil }
  local at = find(self, ticket)
  if at then return read(take(self, at), task) end
  if self.closed then return nil, "closed" end
  host.enter "mailbox:receive"
  fifo.push(self.readers, ticket)
  local ends = seconds and monotonic() + seconds
  while true do
    local woken, err = park("mailbox.receive", ends and math.max(0, ends - monotonic()))
    if ticket.letter then return read(ticket.letter, task) end
    if not woken then
      fifo.remove(self.readers, ticket)
      if woken == nil then
        scopes.deliver(task)
        error(err, 0)
      end
      return nil, "timeout"
    end
    if self.closed then return nil, "closed" end
  end
end

--- Let the oldest letter go.
---@private
function Mailbox:discard()
  if self.count > 0 then take(self, self.first) end
end

--- Close it: what is in it are dead letters, and who waits is told.
---@private
function Mailbox:shut()
  if self.closed then return end
  if schedules.any then schedules.check(self.schedule, "mailbox", "mailbox:close") end
  self.closed = true
  M.forget(self)
  if self.owner then scopes.disown(self.owner, self) end
  for i = self.first, self.last do
    local letter = self[i]
    self[i] = nil
    if letter then
      bury(self, letter, "unread")
      if letter.answer and not letter.answer.late then
        letter:settle(nil, errors.new("incomplete", ("%s was closed before %q was read"):format(title(self), letter.type)))
      end
    end
  end
  self.first, self.last, self.count = 1, 0, 0
  for _, list in ipairs { self.readers, self.writers } do
    local ticket = fifo.pop(list)
    while ticket do
      if ticket.task.co then wake(ticket.task.co) end
      ticket = fifo.pop(list)
    end
  end
end

-- ---- names ----------------------------------------------------------------------------------------------------------------------

--- Names of one kind of thing. Each durable run has names of its own, which go with it.
local Names = {}
Names.__index = Names

--- Names of a kind.
---@param what string "mailboxes", for the error
---@return table names
function M.names(what)
  return setmetatable({ what = what, outside = { count = 0, by_name = {} }, of_runs = setmetatable({}, { __mode = "k" }) }, Names)
end

--- Those that the running code sees.
local function seen(names, schedule)
  if not schedule then return names.outside end
  local own = names.of_runs[schedule]
  if not own then
    own = { count = 0, by_name = {} }
    names.of_runs[schedule] = own
  end
  return own
end

--- What has a name, made where there is none.
---@param name string
---@param make fun(schedule?: stoke.schedule): table
---@return table object
---@return boolean made
---Raises `limit` where there are too many.
function Names:get(name, make)
  local schedule = schedules.any and schedules.own() or nil
  local own = seen(self, schedule)
  local object = own.by_name[name]
  if object then return object, false end
  if own.count >= M.NAMES then
    errors.raise("limit", ("there are %d %s with a name"):format(own.count, self.what),
      { hint = "names are for what lives long; close what nobody reads" })
  end
  object = make(schedule)
  local faster = own.by_name[name] -- somebody made it while this one waited for its store
  if faster then return faster, false end
  own.by_name[name], own.count = object, own.count + 1
  return object, true
end

--- A name is free again.
---@param object { name: string, schedule?: stoke.schedule }
function Names:drop(object)
  local own = seen(self, object.schedule)
  if object.name and own.by_name[object.name] == object then
    own.by_name[object.name], own.count = nil, own.count - 1
  end
end

local named = M.names "mailboxes"

--- The mailbox of this name: each durable run has names of its own.
---@param name string
---@param capacity? integer
---@return stoke.mailbox
---Raises `argument` where there is one with another capacity, `limit` where there are too many.
function M.named(name, capacity)
  local box, made = named:get(name, function() return M.new(name, capacity) end)
  if not made and capacity and capacity ~= box.capacity then
    errors.argument("stoke.mailbox: there is a mailbox %q with a capacity of %d, not %d", name, box.capacity, capacity)
  end
  return box
end

--- A name is free again.
function M.forget(box) named:drop(box) end

--- Mailboxes with a name, outside of durable runs, sorted.
---@return { name: string, waiting: integer, capacity: integer, senders: integer }[]
function M.list()
  local out = {}
  for name, box in next, named.outside.by_name do
    local senders, ticket = 0, box.writers.head
    while ticket do senders, ticket = senders + 1, ticket.after end
    out[#out + 1] = { name = name, waiting = box.count, capacity = box.capacity, senders = senders }
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

return M
