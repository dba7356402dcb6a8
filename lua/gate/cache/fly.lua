--- Calls that the cache gate makes: each is a flight (lua/cache/flight.lua), which whoever asks the same meanwhile joins; in
--- another process, too, as long as the file of the cache is shared. Who wants a whole answer waits for a stream that is under way,
--- and the other way round.
---
--- A flight's call has the task, the slot and the attempts of its own, and the rest of who began it. Its class is the highest of
--- those who wait, its deadline the latest.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local errors = require "core.errors"
local files = require "core.cache.file"
local flights = require "core.cache.flight"
local pool = require "core.gate.pool"
local streams = require "core.stream"
local terms = require "core.terms"
local values = require "core.cache.value"

local M = {}

--- Errors that are of who asked, not of what was asked: who waited beside asks itself.
M.OWN = { budget = true, cancelled = true, deadline = true, argument = true, denied = true, needs_approval = true }
local OWN = M.OWN

--- Seconds for which the same call of another process is waited for; then it is made here, too.
M.OTHERS = 300

---@class core.cache.asking a call that nothing kept has answered
---@field def stoke.effect
---@field q table
---@field call table
---@field settings stoke.cache.settings
---@field places core.cache.place[]
---@field way core.cache.way
---@field keep fun(asking: core.cache.asking, answer: core.cache.answer): boolean|nil
---@field fresh fun(meta: stoke.cache.meta): boolean may an entry be given?

-- ---- the call ---------------------------------------------------------------------------------------------------------------

local function release(record, value, err)
  local slot = record.slot
  if slot then
    record.slot = nil
    pool.release(slot, value, err)
  end
end

--- The record of a flight's call, which lua/effect.lua makes of others itself.
local function record_of(asking, flight)
  local call, work = asking.call, {}
  for name, value in next, call.work do work[name] = value end
  work.class, work.deadline, work.cache = flight.class, flight.deadline, false
  local record = { task = host.current(), asker = call.task, work = work, slot = nil, attempts = 0, target = nil, outer = nil,
    settled = false }
  record.task.call = record
  flight.record = record
  return setmetatable(record, { __index = call, settle = function(self, value, err) release(self, value, err) end })
end

--- Somebody joins: the class is the highest of all, the deadline the latest.
local function join(flight, call)
  local class, deadline = terms.class(call), terms.deadline(call)
  if flight.first then
    flight.first, flight.class, flight.deadline = false, class, deadline
    return
  end
  local till = flight.deadline and deadline and math.max(flight.deadline, deadline) or nil
  class = math.min(class, flight.class)
  if class == flight.class and till == flight.deadline then return end
  flight.class, flight.deadline = class, till
  local record = flight.record
  if not record then return end
  record.work.class, record.work.deadline = class, till
  if record.slot then pool.renew(record.slot, class, till) end
end

--- The text of a stream, where it is nothing but text.
local function words_of(transcript)
  local list = {}
  for _, item in streams.items(transcript) do
    if item.type == "text" then
      list[#list + 1] = item.text
    elseif item.type ~= "done" then
      return nil
    end
  end
  return table.concat(list)
end

--- Read a stream to its end, and keep it.
local function read_stream(asking, flight, record, source)
  local slot = record.slot
  record.begun = true
  if slot and slot.began then pool.began(slot) end
  local ok, value, err = pcall(flights.pump, flight, source)
  if not ok then value, err = nil, errors.wrap(value) end
  release(record, err == nil and source or nil, err)
  local done = flight.done
  if err or not done then return value, err end
  flight.text, flight.usage, flight.reason = flight.transcript:text(), done.usage, done.reason
  flight.changed = asking.keep(asking, { target = record.target or asking.places[1].target, reason = done.reason,
    text = flight.text, words = function() return words_of(flight.transcript) end,
    reply = asking.call.meant and values.whole(flight.text, asking.q.path), usage = done.usage })
  return value
end

--- Make the call, in the flight's task.
local function call_model(asking, flight)
  local def, record = asking.def, record_of(asking, flight)
  local ok, value, err = pcall(asking.way.attempts, def, asking.q, record)
  if not ok then value, err = nil, errors.wrap(value) end
  if err == nil and def.stream then
    value, err = read_stream(asking, flight, record, value)
  else
    release(record, value, err)
    if err == nil then
      flight.text = values.encode(value) -- before anybody has the value
      flight.usage, flight.reason = def.usage(value, asking.q), value.done_reason
      flight.changed = asking.keep(asking, { target = record.target or asking.places[1].target, reason = value.done_reason,
        text = flight.text, words = function() return not value.thinking and value.response or nil end, reply = value,
        usage = flight.usage })
    end
  end
  record.task.call = nil
  return value, err
end

-- ---- other processes ----------------------------------------------------------------------------------------------------------

--- What another process has kept meanwhile.
local function kept_by_others(asking)
  if asking.settings.again then return nil end
  for _, place in ipairs(asking.places) do
    local text, meta = files.of():reread(place.kind, place.key)
    if text and asking.fresh(meta) then return { kind = place.kind, text = text, made = meta.made } end
  end
end

--- Wait until no other process makes this call: true; what such a one has kept; nil and an error of kind `cancelled`.
local function claim(asking, flight)
  local file = files.of()
  local company = file:others()
  if not company then return true end
  local pause, ends = 0.02, monotonic() + M.OTHERS
  while true do
    local lock, taken = company:claim(asking.places.key)
    flight.lock = lock
    local found = kept_by_others(asking)
    if found then return found end
    if lock or not taken or monotonic() >= ends then return true end
    local woken, err = host.park("cache.others", pause)
    if woken == nil then return nil, err end
    pause = math.min(pause * 1.5, 0.25)
  end
end

--- The work of a flight.
local function fly(asking, flight)
  local found, err = claim(asking, flight)
  if err then return nil, err end
  if found ~= true then
    flight.kept = found
    return true
  end
  return call_model(asking, flight)
end

--- The others find what was kept only once it is on the disk.
local function after(flight)
  local lock = flight.lock
  if not lock then return end
  files.of():flush(2)
  lock:free()
end

-- ---- those who wait -----------------------------------------------------------------------------------------------------------

--- Another one's error: what that one's holder does to it is not seen here.
local function copied(err)
  local fields = {}
  for name, value in next, err do fields[name] = value end
  fields.traceback, fields.last_task, fields.suppressed = nil, nil, nil
  return errors.new(err.kind, err.message, fields)
end

--- The flight that asks the same, or a new one, which the caller pays for.
---@return stoke.cache.flight|nil
---@return stoke.error|boolean err; or whether it is a new one
local function flight_of(asking)
  local key, call, streamed = asking.places.key, asking.call, asking.def.stream == true
  local own, other = key .. (streamed and "s" or "w"), key .. (streamed and "w" or "s")
  local function under_way() return flights.of(own) or flights.of(other) end
  local flight = under_way()
  if not flight then
    local err = asking.way.pay(call)
    if err then return nil, err end
    flight = under_way()
  end
  if flight then return flight, false end
  flight = flights.begin(own, function(new) return fly(asking, new) end, after)
  flight.payer, flight.first, flight.amended, flight.streamed = call, true, call.amend ~= nil, streamed
  return flight, true
end

--- The answer of a flight, for one that did not begin it: as a stream, or as a whole.
local function given(asking, text, mark, usage)
  if asking.def.stream then return values.stream(text, mark, usage) end
  local value = values.whole(text, asking.q.path)
  return value and mark and values.mark(value, mark) or value
end

--- What a flight has brought, for one that did not begin it: nil where that is no answer to it, and it asks itself.
local function shared(asking, flight, err, paid)
  if flight.changed or err and OWN[err.kind] then return nil end
  if err then return { err = copied(err) } end
  if flight.amended and flight.reason == "length" then return nil end -- cut by another one's budget
  local own = flight.text and given(asking, flight.text, not paid and { how = "shared" } or nil, flight.usage)
  if not own then return nil end
  return { value = own, shared = not paid }
end

--- An answer that is there at once, when it is there.
local function whole(asking, flight, new)
  local call = asking.call
  local value, err, paid = flight:await(call)
  if not flight.over then return nil, err end -- this one was cancelled
  local found = flight.kept
  if found then
    local own = given(asking, found.text, { how = "shared", made = found.made })
    if own then return own, nil, true end
  elseif new then
    return value, err
  else
    local mine = shared(asking, flight, err, paid)
    if mine and paid and mine.value then asking.way.charge(call, flight.usage) end
    if mine then return mine.value, mine.err, mine.shared end
  end
  return M.ask(asking)
end

--- An answer piece by piece, as it comes.
local function stream(asking, flight, new)
  local call, way = asking.call, asking.way
  local reader = flight:reader(call, function(event, paid)
    if not paid then return values.mark_event(event, { how = "shared" }) end
    if not new then way.charge(call, event.usage) end
    return event
  end)
  local err = reader:opened()
  local found = flight.kept
  if found then
    reader:close()
    local own = given(asking, found.text, { how = "shared", made = found.made })
    if own then return own, nil, true end
    return M.ask(asking)
  end
  if not err then return reader, nil, not new end
  local over = flight.over
  reader:close()
  if new or not over then return nil, err end
  if not OWN[err.kind] then return nil, copied(err) end
  return M.ask(asking)
end

--- Ask, or wait for who asks the same.
---@param asking core.cache.asking
---@return any value
---@return stoke.error? err
---@return boolean|nil shared it is another one's answer
---
--- Example: `local value, err = fly.ask(asking)`
function M.ask(asking)
  local flight, new = flight_of(asking)
  if not flight then return nil, new end
  join(flight, asking.call)
  if asking.def.stream and flight.streamed then return stream(asking, flight, new == true) end
  return whole(asking, flight, new == true)
end

return M
