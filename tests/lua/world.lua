--- A world of one's own for a simulator: tasks as bare coroutines, a clock that jumps, connections
--- that only record. Drives the HTTP layer with no host underneath; the tests of the simulator use
--- it.
---
---     local w = world.new()
---     local s = sim.new { seams = w.seams }
---     local c = w:request(s, "POST", "/api/chat", body)   -- starts a handler; c.status, c.body, c.writes, c.ended
---     w:run()                                             -- until nothing more happens, or up to a time
---     w:hang_up(c)                                        -- the client leaves

local M = {}
local World = {}
World.__index = World

local CANCELLED = setmetatable({ kind = "cancelled", message = "the client left" },
  { __tostring = function(e) return e.message end })

--- 2026-01-02T03:04:05Z, where wall time starts.
M.EPOCH = 1767323045

function M.new()
  local w = setmetatable({ now = 0.0, tasks = {}, seq = 0, running = nil }, World)
  local tasks = {}
  function tasks.current() return w.running end
  function tasks.park(label, seconds)
    local t = w.running
    t.label, t.woken, t.at = label, nil, seconds and w.now + seconds or nil
    local ok = coroutine.yield()
    if ok == nil then error(CANCELLED, 0) end
    return ok
  end
  function tasks.wake(t)
    if t.woken or t.over or t == w.running then return false end
    t.woken = true
    return true
  end
  function tasks.spawn(f, _, ...) return w:spawn(f, ...) end
  w.seams = {
    tasks = tasks, clock = function() return w.now end, wall = function() return M.EPOCH + w.now end,
    sha256 = function(s) return require "stoke.sim.models".pseudo_sha(s) end,
  }
  return w
end

function World:spawn(f, ...)
  self.seq = self.seq + 1
  local t = { co = coroutine.create(f), args = table.pack(...), woken = true, seq = self.seq }
  self.tasks[#self.tasks + 1] = t
  return t
end

local function resume(self, t, value)
  local before = self.running
  self.running = t
  local ok, err
  if t.args then
    local args = t.args
    t.args = nil
    ok, err = coroutine.resume(t.co, table.unpack(args, 1, args.n))
  else
    ok, err = coroutine.resume(t.co, value)
  end
  self.running = before
  if coroutine.status(t.co) == "dead" then
    t.over = true
    for i, x in ipairs(self.tasks) do if x == t then table.remove(self.tasks, i) break end end
    if not ok and err ~= CANCELLED then error(debug.traceback(t.co, tostring(err)), 0) end
    if not ok then coroutine.close(t.co) end
  end
end

local function next_task(self)
  local best
  for _, t in ipairs(self.tasks) do
    if t.woken then return t end
    if t.at and (not best or t.at < best.at) then best = t end
  end
  return best
end

--- Lets everything happen that does, up to a time on the world's clock (nil: until all is still).
---@param limit number?
---@return number now
function World:run(limit)
  while true do
    local t = next_task(self)
    if not t or not t.woken and limit and t.at > limit then break end
    if t.woken then
      t.woken = nil
      resume(self, t, true)
    else
      if t.at > self.now then self.now = t.at end
      resume(self, t, false)
    end
  end
  if limit and limit > self.now then self.now = limit end
  return self.now
end

--- Starts a handler for a request.
---@param sim table
---@return table connection { status, type, writes, body, times, ended, cut }
function World:request(sim, method, path, body)
  local c = { writes = {}, times = {}, body = "" }
  local res = {}
  function res.reply(_, status, headers, text)
    c.status, c.type, c.body, c.writes[#c.writes + 1] = status, headers["Content-Type"], text, text
  end
  function res.start(_, status, headers) c.status, c.type = status, headers["Content-Type"] end
  function res.write(_, bytes)
    c.writes[#c.writes + 1], c.times[#c.times + 1] = bytes, self.now
    c.body = c.body .. bytes
  end
  function res.reset() c.cut = true end
  local req = { method = method, path = path, query = {}, headers = {}, body = body, peer = "world" }
  c.task = self:spawn(function()
    sim.handler(req, res)
    c.ended = true
  end)
  return c
end

--- The client of a connection leaves.
function World:hang_up(c)
  if c.task.over then return end
  resume(self, c.task, nil)
end

return M
