--- Single flight: who asks what is being asked already waits for that answer. The flight owns the call, not who asked first: it
--- runs in a task of the host's, and is cancelled when the last one has left. The first one pays, and when it leaves the next.
---
--- An answer as a whole is given to all when it is there. Of a stream each reader gets what has come, as it comes.

local host = require "host.task"
local errors = require "core.errors"
local scopes = require "core.scope"
local streams = require "core.stream"
local tasks = require "core.task"

local M = {}

--- Bytes of a stream that a flight holds, at most: its readers may be slow, and its source does not wait for them.
M.MOST = 64 << 20

--- key -> the flight that is under way.
local flights = {}

---@class stoke.cache.flight
---@field key string
---@field asked integer who waits for it
---@field payer? table the call that pays; nil: whoever waits next
---@field over? boolean
---@field value any
---@field err? stoke.error
---@field transcript? userdata of a stream: what has come
---@field done? table its last event
---@field class? 1|2|3 the highest of those who wait
---@field deadline? number the latest
---@field text? string the answer as it is kept
---@field kept? { kind: string, text: string, made: number } another process has kept it
---@field changed? boolean it may be the answer to another question
---@field amended? boolean a budget has cut what it asks
local Flight = {}
Flight.__index = Flight

--- The flight of a key that is under way.
---@param key string
---@return stoke.cache.flight|nil
function M.of(key) return flights[key] end

--- How many are under way.
---@return integer
function M.count()
  local n = 0
  for _ in next, flights do n = n + 1 end
  return n
end

local function finish(flight, value, err)
  flight.over, flight.value, flight.err = true, value, err
  if flights[flight.key] == flight then flights[flight.key] = nil end
  scopes.wake_all(flight.waiting)
end

--- Begin one.
---@param key string
---@param work fun(flight: stoke.cache.flight): any, stoke.error? does it, in the flight's task; may raise
---@param after? fun(flight: stoke.cache.flight) called in that task when all have been told
---@return stoke.cache.flight
function M.begin(key, work, after)
  local flight = setmetatable({ key = key, asked = 0, waiting = {} }, Flight)
  flights[key] = flight
  flight.task = tasks.spawn(function()
    local ok, value, err = pcall(work, flight)
    if not ok then
      value, err = nil, errors.wrap(value)
    end
    finish(flight, value, err)
    if after then after(flight) end
  end, { system = true, name = "cache" })
  return flight
end

--- Somebody does not wait for it any more.
local function leave(flight, call)
  flight.asked = flight.asked - 1
  if flight.over then return end
  if flight.asked == 0 then
    if flights[flight.key] == flight then flights[flight.key] = nil end
    scopes.cancel(flight.task, errors.new("cancelled", "nobody waits for it any more"))
  elseif flight.payer == call then
    flight.payer = nil
    scopes.wake_all(flight.waiting)
  end
end

local Guard = {}
function Guard:__close() leave(self.flight, self.call) end

--- Wait for a flight.
---@param call table of lua/effect.lua
---@return any value
---@return stoke.error? err
---@return boolean paid
function Flight:await(call)
  self.asked = self.asked + 1
  local guard <close> = setmetatable({ flight = self, call = call }, Guard) -- luacheck: ignore
  while not self.over do
    self.payer = self.payer or call
    local woken, err = scopes.queue_up(self.waiting, host.enter "cache", "cache.flight")
    if woken == nil then return nil, err, false end
  end
  return self.value, self.err, self.payer == call
end

-- ---- streams --------------------------------------------------------------------------------------------------------------

--- Read a source to its end for all readers, in the flight's task.
---@param flight stoke.cache.flight
---@param source table
---@return boolean|nil ok
---@return stoke.error? err
function M.pump(flight, source)
  local recorder = streams.recorder(source)
  flight.transcript = recorder.transcript
  local guard <close> = setmetatable({}, { __close = function() recorder:close() end }) -- luacheck: ignore
  scopes.wake_all(flight.waiting)
  while true do
    local item, err = recorder:next()
    if err then return nil, err end
    if item == nil then return true end
    if type(item) == "table" and item.type == "done" then flight.done = item end
    if recorder.transcript:size() > M.MOST then
      return nil, errors.new("limit", ("a stream of more than %d bytes is not shared"):format(M.MOST))
    end
    scopes.wake_all(flight.waiting)
  end
end

local Reader = {}
Reader.__index = Reader

--- A source that reads a flight's stream from its beginning. mark: told the last event, and whether this reader paid for it; gives
--- the event that the reader gets.
---@param call table
---@param mark fun(event: table, paid: boolean): table
---@return table source
function Flight:reader(call, mark)
  self.asked = self.asked + 1
  self.payer = self.payer or call
  return setmetatable({ flight = self, call = call, mark = mark, position = 0, count = 0, about = nil }, Reader)
end

--- Wait until there is something to read, or nothing will come.
---@return stoke.error|nil err
function Reader:opened()
  local flight = self.flight
  while not flight.over and not (flight.transcript and flight.transcript:size() > 0) do
    local woken, err = scopes.queue_up(flight.waiting, host.enter "cache", "cache.flight")
    if woken == nil then return err end
  end
  if not flight.transcript or flight.transcript:size() == 0 then return flight.err end
end

function Reader:next()
  local flight = self.flight
  while true do
    if self.closed then return nil end
    local transcript = flight.transcript
    if transcript and self.position < transcript:size() then
      local after, item, _, err = streams.item_at(transcript, self.position)
      if err then return nil, err end
      self.position, self.count = after, self.count + 1
      if type(item) == "table" and item.type == "done" then
        item = self.mark(item, flight.payer == self.call)
        self.done = item
      end
      return item
    end
    if flight.over then return nil, flight.err end
    flight.payer = flight.payer or self.call
    local woken, err = scopes.queue_up(flight.waiting, host.enter "cache", "cache.flight")
    if woken == nil then return nil, err end
  end
end

function Reader:came() return self.count end

function Reader:close()
  if self.closed then return end
  self.closed = true
  leave(self.flight, self.call)
end

return M
