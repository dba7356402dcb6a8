--- Pulling a model that a server does not have, for calls that were told to (auto_pull): one pull, however many calls wait for it.
--- Each of them can be cancelled; when it is the one that pulls, the next goes on from there.

local channel = require "core.channel"
local errors = require "core.errors"
local config = require "stoke.config"

local M = {}

--- pool key -> { gate, users, over, err } while calls wait for its model.
local flights = {}

local Guard = {}

function Guard.__close(guard)
  local flight = guard.flight
  flight.users = flight.users - 1
  if flight.users == 0 then flights[guard.key] = nil end
end

--- Is this a missing model that may be pulled? The call says, or the model's profile, its endpoint, the settings.
---@param err stoke.error
---@param target stoke.target
---@param about table|nil the call
---@return boolean
function M.wanted(err, target, about)
  if err.status ~= 404 or not rawget(err, "missing") then return false end
  local said = about and about.auto_pull
  if said == nil then said = target.profile.auto_pull end
  if said == nil then said = target.endpoint.auto_pull end
  if said == nil then said = config.get().auto_pull end
  return said == true
end

local function download(q)
  local term = require "stoke.term"
  local time = require "stoke.time"
  local bar <close> = term.progress { now = time.monotonic }
  bar:update(("%s is not on the server: pulling it"):format(q.model))
  for event in require "stoke.ollama.transfer".pull { model = q.model, endpoint = q.endpoint } do
    if event.type == "progress" then bar:update(event.status, event.completed, event.total) end
  end
end

--- Pull the model of a request, or wait for the call that does.
---@param q table
---@param target stoke.target
---@return stoke.error|nil err
---Raises `cancelled`.
function M.pull(q, target)
  local key = target.key
  local flight = flights[key] or { gate = channel.semaphore(1), users = 0 }
  flights[key], flight.users = flight, flight.users + 1
  local guard <close> = setmetatable({ flight = flight, key = key }, Guard) -- luacheck: ignore
  local permit <close> = flight.gate:acquire() -- luacheck: ignore
  if flight.over then return flight.err end
  local ok, err = pcall(download, q)
  if not ok and errors.is(err) and err.kind == "cancelled" then error(err, 0) end
  flight.over, flight.err = true, not ok and errors.wrap(err) or nil
  return flight.err
end

return M
