--- The hosts that share runs, as the engine knows them: each says every few seconds who it is and what it does. All times are by
--- the engine's clock, so the clocks of the hosts may differ.

local about = require "core.about"
local errors = require "core.errors"
local host = require "host.task"
local rand = require "host.rand"
local shared = require "core.runs.shared"
local ships = require "core.store.ship"
local tasks = require "core.task"
local monotonic = require "host.time".monotonic

local M = {}

local BUCKET <const> = "hosts"

--- Seconds between two words of a host; after so many without one it is gone; and after so many nobody lists it any more.
M.BEAT, M.GONE, M.FORGOTTEN = 5, 15, 24 * 3600

---@class stoke.runs.host
---@field name string
---@field id string of this process
---@field version string of stoke
---@field protocol integer version of the journals it writes
---@field since number when it began
---@field seen number when it was heard last
---@field gone boolean it has not been heard for M.GONE seconds
---@field slots integer
---@field runs integer that it has
---@field busy integer of these, at work
---@field done integer runs that ended there
---@field load number share of its slots that is at work
---@field seen_ago number
---@field up number seconds since it began; of one that is gone, until it was heard last

--- A name for this process: the machine's, and the process's number.
---@return string
function M.name()
  local file = io.open("/proc/sys/kernel/hostname", "r") or io.open("/etc/hostname", "r")
  local name = file and file:read "l"
  if file then file:close() end
  return ("%s:%d"):format(name and name:match "^[%w.-]+" or "host", about.pid())
end

local Announced = {}
Announced.__index = Announced

local function word_of(worker, since, now)
  return { name = worker.name, version = about.version, protocol = ships.VERSION, since = since, seen = now, slots = worker.slots,
    runs = worker.count, busy = worker.busy, done = worker.done }
end

--- Hear of the others. What the engine has of one that is gone passes for a word of it until M.GONE is over.
local function listen(own)
  local since = 0
  while not own.closed do
    local list, err = own.engine:kv_watch(BUCKET, "", since, 4 * M.BEAT)
    for _, change in ipairs(list or {}) do
      since = math.max(since, change.revision)
      own.heard[change.key] = change.value and monotonic() or nil
    end
    if not list and (err.kind == "cancelled" or host.park("hosts", M.BEAT) == nil) then return end
  end
end

--- Say that a worker is there, until it is closed.
---@param worker stoke.runs.worker
---@return { close: fun(self), alone: fun(self): boolean }
function M.announce(worker)
  local own = setmetatable({ engine = worker.engine, key = ("%s/%s"):format(worker.name,
    rand.new():bytes(6):gsub(".", function(c) return ("%02x"):format(c:byte()) end)), heard = {} }, Announced)
  own.task = tasks.spawn(function()
    local since
    repeat
      local now = own.engine:now()
      if now and not own.closed then
        since = since or now
        own.engine:kv_put(BUCKET, own.key, shared.text(word_of(worker, since, now)))
      end
    until host.park("hosts", M.BEAT) == nil
  end, { system = true, name = "hosts" })
  own.listener = tasks.spawn(listen, { system = true, name = "hosts" }, own)
  return own
end

--- Has no other host been heard for M.GONE seconds?
---@return boolean
function Announced:alone()
  for key, heard in next, self.heard do
    if key ~= self.key and monotonic() - heard < M.GONE then return false end
  end
  return true
end

--- It is there no more.
function Announced:close()
  self.closed = true
  self.task:cancel "the worker stops"
  self.listener:cancel "the worker stops"
  self.engine:kv_delete(BUCKET, self.key)
end

--- All hosts, sorted by name. Those that nobody has heard of for long are forgotten.
---@return stoke.runs.host[]
---Raises what the engine says; `protocol` where a newer stoke says what this one does not know.
function M.list()
  local e = shared.engine()
  local now, out = errors.check(e:now()), {}
  for _, change in ipairs(errors.check(e:kv_watch(BUCKET, "", 0, 0))) do
    if change.value then
      local one = shared.word(change.value, "the host " .. change.key)
      one.seen_ago = math.max(now - one.seen, 0)
      one.v, one.id, one.gone, one.load = nil, change.key:match "[^/]*$", one.seen_ago > M.GONE, one.busy / one.slots
      one.up = math.max((one.gone and one.seen or now) - one.since, 0)
      if one.seen_ago > M.FORGOTTEN then e:kv_delete(BUCKET, change.key, change.revision) else out[#out + 1] = one end
    end
  end
  table.sort(out, function(a, b)
    if a.name ~= b.name then return a.name < b.name end
    return a.since < b.since
  end)
  return out
end

return M
