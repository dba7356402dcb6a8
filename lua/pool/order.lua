--- Program order: the oldest program first, to its end, so that few are half done at any time. A program's calls are ordered by
--- one integer: its band, the age of its root, the age of the unit (a session, an agent's run) inside it.
---
--- The guard against giants: a program that has been served far more than is usual for its class goes one band behind, so that
--- the small ones that come after it need not wait for its end. What is usual is measured on programs that have finished; until
--- enough have, it is a number of calls of mean length.
---
---     local programs = order.programs()
---     local key = order.key(root_seq, unit_seq)              -- band 0
---     if programs:charge(program, 3.5) then                  -- its band has changed: its waiting calls get new keys
---       key = order.key(root_seq, unit_seq, programs:over(program))
---     end
---     programs:ended(program)

local M = {}

local UNIT_BITS, ROOT_BITS = 31, 30
local UNIT_MASK, ROOT_MASK = (1 << UNIT_BITS) - 1, (1 << ROOT_BITS) - 1

-- Of finished programs, how many are remembered for each class, and how many it takes to know what is usual.
local KEPT, ENOUGH = 64, 8
-- A giant is beyond GIANT times what nine of ten finished programs took; or, as long as too few have finished, beyond FEW calls
-- of mean length.
local GIANT, SHARE, FEW = 4, 0.9, 32
-- The mean length of a call forgets: what is older than this many calls counts half.
local MEMORY = 1024

--- The key of a call: smaller goes first.
---@param root integer the age of its program: smaller is older; 30 bits count
---@param unit integer the age of its unit inside the program; 31 bits count
---@param over boolean|nil is the program a giant?
---@return integer
function M.key(root, unit, over)
  local key = (root & ROOT_MASK) << UNIT_BITS | unit & UNIT_MASK
  return over and key | 1 << (UNIT_BITS + ROOT_BITS) or key
end

--- The key of a waiting call whose program has become a giant.
---@param key integer
---@return integer
function M.behind(key) return key | 1 << (UNIT_BITS + ROOT_BITS) end

--- The part of a key that is the same for all calls of one program.
---@param key integer
---@return integer
function M.program(key) return key >> UNIT_BITS end

---@class stoke.pool.programs what programs have been served, and what is usual
---@field classes table<integer, { finished: number[], at: integer, usual: number|nil }>
---@field calls number how many were charged, old ones less
---@field seconds number what they took
local Programs = {}
Programs.__index = Programs

--- What is known of programs: nothing yet.
---@return stoke.pool.programs
function M.programs()
  return setmetatable({ classes = {}, calls = 0, seconds = 0 }, Programs)
end

--- Service beyond which a program of this class is a giant; infinite while nothing is known.
---@param class integer
---@return number seconds
function Programs:limit(class)
  local of = self.classes[class]
  if of and #of.finished >= ENOUGH then
    if not of.usual then
      local sorted = table.move(of.finished, 1, #of.finished, 1, {})
      table.sort(sorted)
      of.usual = sorted[math.ceil(SHARE * #sorted)]
    end
    return GIANT * of.usual
  end
  if self.calls == 0 then return math.huge end
  return FEW * self.seconds / self.calls
end

--- Is this program a giant, as far as its calls have been charged?
---@param program table with `class` (a giant of its own class) and `service`, which `charge` keeps
---@return boolean
function Programs:over(program)
  return program.giant or false
end

--- Add the service of one of its calls.
---@param program table its fields `service` (seconds) and `giant` are kept here
---@param seconds number
---@return boolean changed it has become a giant, and stays one
function Programs:charge(program, seconds)
  if self.calls >= 2 * MEMORY then self.calls, self.seconds = self.calls / 2, self.seconds / 2 end
  self.calls, self.seconds = self.calls + 1, self.seconds + seconds
  local service = (program.service or 0) + seconds
  program.service = service
  if program.giant or service <= self:limit(program.class or 2) then return false end
  program.giant = true
  return true
end

--- A program has ended: what it took tells what is usual. One that was never served tells nothing.
---@param program table
function Programs:ended(program)
  local service = program.service
  if not service then return end
  local class = program.class or 2
  local of = self.classes[class]
  if not of then
    of = { finished = {}, at = 0 }
    self.classes[class] = of
  end
  of.at = of.at % KEPT + 1
  of.finished[of.at], of.usual = service, nil
end

return M
