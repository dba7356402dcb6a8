--- Is a server wedged: does it take calls, answer its lists, and finish nothing? Pure: what came back goes in with its time
--- (seconds), what to do comes out.
---
--- A wedged server looks healthy to all questions but the real one. So it is suspected when nothing has come back for some times
--- as long as the longest of its calls was expected to take, and then asked for one token. No answer to that either, and nothing
--- more of an answer that is streamed: it is `sick`, and gets no calls until a later one of these probes is answered, or one of the
--- calls that are out after all.
---
--- One known cause can be mended from outside: a server that wants to unload a model for another, and never does. Where a load is
--- what takes too long while other models have nothing in flight, these are told to leave before anybody is called sick.

local M = {}

--- Suspect after so many times the longest expected, and never before so many seconds.
M.times, M.least = 3, 30
--- A probe may take so many seconds, or the longest expected, whichever is more.
M.probe = 15
--- Pauses between the probes of a sick server: the first, and the longest.
M.pause, M.pause_most = 2, 60
--- Calls that wait for nobody but a sick server are told so when it has been for so many seconds, by class: a person wants to know,
--- work of the night rather waits for whoever starts it again.
M.patience = { 30, 300, 3600 }

---@class stoke.pool.watch
---@field state "well"|"probing"|"sick"
---@field calm number while all is well, nobody need look before this time; kept by lua/pool/chores.lua
local W = {}
W.__index = W

---@param now number
---@return stoke.pool.watch
function M.new(now)
  return setmetatable({ state = "well", alive = now, doubt = 1, pause = M.pause, till = 0, unloaded = nil, calm = now }, W)
end

--- The server gave a sign of life: a call has ended. Errors count where they came from the server.
---@param now number
function W:sign(now)
  self.alive = now
  self.unloaded = nil
  self.sick_since = nil
  if self.state ~= "well" then self.state, self.pause = "well", M.pause end
end

--- A call was sent. What went before it says nothing of how long it takes.
---@param now number
---@param out integer calls in flight before it
function W:sent(now, out)
  if out == 0 and now > self.alive then self.alive = now end
end

--- What to do about a server that has calls in flight.
---@param now number
---@param out { count: integer, longest: number, load?: number, idle?: boolean } calls in flight; the longest expected service of
---  these; the seconds that the load under way should take, and whether some loaded model has nothing in flight meanwhile
---@return "probe"|"unload"|nil act unload: tell the idle models to leave
---@return number|nil due when to ask again
function W:check(now, out)
  if self.state == "probing" then return nil, nil end
  if self.state == "sick" then
    if now < self.till then return nil, self.till end
    return "probe"
  end
  if out.count == 0 then return nil, nil end
  local expected = math.max(out.longest, 0) + (out.load or 0)
  local at = self.alive + math.max(M.times * expected, M.least) * self.doubt
  if now < at then return nil, at end
  if out.load and out.idle and not self.unloaded then return "unload" end
  return "probe"
end

--- Idle models were told to leave: that gets its time.
---@param now number
function W:unloading(now)
  self.unloaded, self.alive = now, now
end

--- A probe is under way. The seconds it may take are returned.
---@param longest? number the longest expected service of what is in flight
---@return number seconds
function W:probing(longest)
  self.was = self.state
  self.state = "probing"
  return math.max(M.probe, longest or 0)
end

--- The probe has ended.
---@param now number
---@param ok boolean was it answered, or has more come of an answer meanwhile? An error from the server is an answer
function W:probed(now, ok)
  if self.state ~= "probing" then return end -- a call was answered first
  if ok then
    self.doubt = self.was == "well" and math.min(self.doubt * 2, 8) or self.doubt -- its calls are longer than was expected
    self.state, self.alive, self.pause, self.sick_since = "well", now, M.pause, nil
    return
  end
  self.pause = self.was == "sick" and math.min(self.pause * 2, M.pause_most) or M.pause
  self.state, self.till, self.sick_since = "sick", now + self.pause, self.sick_since or now
end

--- Has a call waited for a sick server for so long that it should be told?
---@param arrived number
---@param now number
---@param class? integer 1 where it is not given: is it so for anybody?
---@return boolean
function W:hopeless(arrived, now, class)
  return self.sick_since ~= nil and now - self.sick_since >= M.patience[class or 1] and now > arrived
end

--- May calls be sent?
---@return boolean
---@return number|nil due when the next probe is
function W:allows()
  if self.state == "sick" then return false, self.till end
  return self.state == "well" or self.was == "well"
end

return M
