-- A model server of which everything is known: slots, first come first served; the way to it, and how long calls take. For what is
-- learned of servers from outside.

local M = {}

--- Seconds of a call's work, by name: all of mean 1 or near it. `draw` gives numbers in [0, 1).
M.services = {
  constant = function() return 1 end,
  uniform = function(draw) return 0.5 + draw() end,
  exponential = function(draw) return -math.log(1 - draw()) end,
  bimodal = function(draw) return draw() < 0.8 and 0.4 or 3.4 end,
  lognormal = function(draw)
    return math.exp(0.8 * math.sqrt(-2 * math.log(1 - draw())) * math.cos(2 * math.pi * draw()))
  end,
}

-- Events by time; of equal ones the first that was added.
local Clock = {}
Clock.__index = Clock

function Clock:at(time, f)
  local i = #self
  while i > 0 and self[i][1] <= time do i = i - 1 end
  table.insert(self, i + 1, { time, f })
end

function Clock:step()
  local event = table.remove(self)
  self.now = event[1]
  event[2]()
end

--- A server. o: slots; service = function(draw); draw; way = seconds there and back (0); base = seconds that every call says it was
--- loaded in (0); step = seconds that a call may wait for the others' step (0); jitter = seconds by which the way varies (0).
function M.new(o)
  return { clock = setmetatable({ now = 0 }, Clock), o = o, slots = o.slots, busy = 0, queue = {}, head = 1, work = 0 }
end

local function take(server, call)
  local o, clock = server.o, server.clock
  server.busy = server.busy + 1
  local service = o.service(o.draw)
  clock:at(clock.now + (o.step or 0) * o.draw() + service, function()
    server.busy, server.work = server.busy - 1, server.work + service
    local waiting = server.queue[server.head]
    if waiting and server.busy < server.slots then
      server.head = server.head + 1
      take(server, waiting)
    end
    local timings = { total = clock.now - call.reached, load = o.base or 0, prefill = service / 10, decode = service * 0.9,
      output = 50 }
    clock:at(clock.now + (o.way or 0) / 2 + (o.jitter or 0) * o.draw(), function() call.answered(timings) end)
  end)
end

--- Send a call; answered(timings) is called when its reply arrives.
function M.send(server, answered)
  local o, clock = server.o, server.clock
  local call = { answered = answered }
  clock:at(clock.now + (o.way or 0) / 2 + (o.jitter or 0) * o.draw(), function()
    call.reached = clock.now
    clock:at(clock.now + (o.base or 0), function()
      if server.busy < server.slots then return take(server, call) end
      server.queue[#server.queue + 1] = call
    end)
  end)
end

--- Let as many calls be out as `allowed(now)` says, until so many replies came. on_reply(now, timings, out, began) hears of each.
---@return number now
function M.saturate(server, replies, allowed, on_sent, on_reply)
  local clock, out, came = server.clock, 0, 0
  local function fill()
    while out < allowed(clock.now) do
      local began = clock.now
      out = out + 1
      if on_sent then on_sent(began) end
      M.send(server, function(timings)
        out, came = out - 1, came + 1
        if on_reply then on_reply(clock.now, timings, out, began) end
        fill()
      end)
    end
  end
  fill()
  while came < replies do clock:step() end
  return clock.now
end

return M
