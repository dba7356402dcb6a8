--- How much of each program is still to be done, as far as anybody can tell: its level. Little goes before much, so that no single
--- call waits for a whole conversation that came before it; of one level the oldest goes first, to its end, so that few are half
--- done.
---
--- Nobody tells how much it will be. It is no less than what has been asked for and not got; and programs of its kind that have
--- finished tell what to expect. A kind is the agent that asked first, or no agent. What counts is the Gittins index: the calls
--- that it takes, for each program that ends by it, to go on with such programs for so long; the least over how long. With equal
--- programs that is what is left, so that who has begun goes on. Where nine of ten are one call, a new one counts as little more
--- than one call, and who has gone on is known for one of the long ones.
---
--- While nothing is known of a kind, an agent is expected to ask EXPECTED times. Who has asked more often than any of its kind is
--- expected to go on for half as long again: so a giant steps behind by what it has had, level after level.
---
---     local all = programs.new()
---     all:asks(ticket)            -- ticket.order is the key of its level now; it is not in its queue yet
---     all:waits_not(ticket)       -- it has left its queue
---     all:over(ticket, true)      -- and was answered
---     all:ended(program)
---
--- Pure: it takes events and changes the `order` of tickets that wait, through their queues.

local order = require "core.pool.order"

local M = {}

local max, log = math.max, math.log

--- Finished programs of a kind that are remembered, at most; then every other of them is forgotten.
local KEPT <const> = 64
--- Kinds; beyond, all are forgotten. The same of what was computed of one kind: a program that never ends goes on asking.
local KINDS <const>, COMPUTED <const> = 256, 4096
--- Calls of an agent's run while nothing is known.
local EXPECTED <const> = 8
--- What is expected of one that has asked more often than any of its kind, as a part of what it has had.
local BEYOND <const> = 0.5

---@class stoke.pool.kind programs that begin alike
---@field agent boolean it is an agent's
---@field finished integer[] calls of those that have finished, sorted
---@field first integer level of one that begins
---@field known table<integer, integer> levels that were computed, by calls had and out
---@field computed integer how many

---@class stoke.pool.programs
---@field kinds table<string, stoke.pool.kind>
---@field changed boolean of some kind one that begins has another level: what waits should be weighed anew
local Programs = {}
Programs.__index = Programs

--- Nothing is known.
---@return stoke.pool.programs
---
--- Example: `local all = programs.new()`
function M.new() return setmetatable({ kinds = {}, count = 0, changed = false }, Programs) end

local function kind_of(self, name)
  local kind = self.kinds[name]
  if kind then return kind end
  if self.count >= KINDS then self.kinds, self.count = {}, 0 end -- agents that are named anew each time
  kind = { agent = name ~= "", finished = {}, first = nil, known = {}, computed = 0 }
  self.kinds[name], self.count = kind, self.count + 1
  return kind
end

--- The Gittins index of one that has had so many calls, and has so many out or waiting; nil: none of its kind went on for so long.
local function index_of(finished, had, out)
  local all, first = #finished, nil
  for i = 1, all do
    if finished[i] >= had + out and finished[i] > had then
      first = i
      break
    end
  end
  if not first then return nil end
  local sum, least = 0, nil
  for i = first, all do -- those that end within so many calls more
    local left = finished[i] - had
    sum = sum + left
    if finished[i + 1] ~= finished[i] then
      local index = (sum + (all - i) * left) / (i - first + 1)
      if not least or index < least then least = index end
    end
  end
  return least
end

local function expected(kind, had, out)
  local finished = kind.finished
  local index = index_of(finished, had, out)
  if index then return max(index, out) end
  local prior = finished[1] == nil and kind.agent and EXPECTED or 1
  return max(prior - had, BEYOND * had, out, 1)
end

local function level_of(calls)
  local level = log(calls, 2) // 1 | 0
  return level < order.LAST and level or order.LAST
end

--- Weigh a program: has it another level?
local function weigh(self, program)
  local kind, had, out = kind_of(self, program.kind), program.had, max(program.out, 1)
  local at = had << 20 | out
  local level = kind.known[at]
  if not level then
    level = level_of(expected(kind, had, out))
    if kind.computed >= COMPUTED then kind.known, kind.computed = {}, 0 end
    kind.known[at], kind.computed = level, kind.computed + 1
  end
  if level == program.level then return false end
  program.level = level
  return true
end

local function move(ticket, level) ticket.group.queue:change(ticket, "order", order.at(ticket.order, level)) end

--- What a program has waiting goes to its level.
local function relevel(program)
  local level, first = program.level, program.first
  if first then move(first, level) end
  for ticket in next, program.more or {} do move(ticket, level) end
end

--- A call is about to wait.
---@param ticket stoke.pool.ticket of a program
function Programs:asks(ticket)
  local program = ticket.program
  if not program.kind then program.kind, program.had, program.out = ticket.agent or "", 0, 0 end
  program.out = program.out + 1
  if weigh(self, program) then relevel(program) end
  ticket.order = order.at(ticket.order, program.level)
  if not program.first then
    program.first = ticket
  else
    program.more = program.more or {}
    program.more[ticket] = true
  end
end

--- A call waits no more.
---@param ticket stoke.pool.ticket
function Programs:waits_not(ticket)
  local program = ticket.program
  if program.first == ticket then program.first = nil else program.more[ticket] = nil end
end

--- A call is over: it was answered, or failed, or left.
---@param ticket stoke.pool.ticket
---@param answered boolean
function Programs:over(ticket, answered)
  local program = ticket.program
  program.out = program.out - 1
  if answered then program.had = program.had + 1 end
  if weigh(self, program) then relevel(program) end
end

--- Put a number where it belongs.
local function insert(list, value)
  local i = #list
  while i > 0 and list[i] > value do
    list[i + 1] = list[i]
    i = i - 1
  end
  list[i + 1] = value
end

--- A program has ended: what it asked for tells what others will. One that got nothing tells nothing.
---@param program stoke.pool.program
function Programs:ended(program)
  local had = program.had
  if not had or had == 0 then return end
  local kind = kind_of(self, program.kind)
  local finished = kind.finished
  if #finished >= KEPT then
    for i = 1, KEPT do finished[i] = finished[2 * i] end
  end
  insert(finished, had)
  kind.known, kind.computed = {}, 0
  local first = level_of(expected(kind, 0, 1))
  if first ~= kind.first then kind.first, self.changed = first, true end
end

--- Weigh all that waits anew.
---@param lanes table<stoke.pool.lane, any>
function Programs:weigh_all(lanes)
  self.changed = false
  local seen = {}
  for lane in next, lanes do
    for _, group in ipairs(lane.groups) do
      group.queue:each(function(ticket) if ticket.program then seen[ticket.program] = true end end)
    end
  end
  for program in next, seen do
    if weigh(self, program) then relevel(program) end
  end
end

return M
