--- The one stream of a page: what its views publish, to every browser that looks, as server-sent events.
---
--- A frame is written once and kept for a while. Each browser is fed by a task of its own, at its own pace: publishing never waits.
--- One that is behind what is kept gets a new picture of everything instead, and one that takes nothing for a minute is dropped.

local json = require "stoke.json"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Frames that are kept, and their bytes.
local FRAMES <const>, BYTES <const> = 100, 1024 * 1024
--- Bytes that are handed to a browser at once.
local BATCH <const> = 64 * 1024
--- Seconds without a frame after which a browser hears that we are there, and without a byte taken after which it is dropped;
--- between two looks for such ones.
local PING <const>, STUCK <const>, SWEEP <const> = 15, 60, 5

local HEADERS = { ["Content-Type"] = "text/event-stream; charset=utf-8", ["Cache-Control"] = "no-store",
  ["X-Content-Type-Options"] = "nosniff", ["Cross-Origin-Resource-Policy"] = "same-origin", ["X-Accel-Buffering"] = "no" }

---@class stoke.page.stream
---@field last integer number of the newest frame
---@field count integer browsers that look
---@field renewed integer pictures that browsers got in place of what they had missed
local Stream = {}
Stream.__index = Stream

--- A stream without browsers.
---@return stoke.page.stream
---
--- Example: `local stream = streams.new()`
function M.new()
  return setmetatable({ first = 1, last = 0, frames = {}, bytes = 0, browsers = {}, idle = {}, count = 0, renewed = 0 }, Stream)
end

--- An event as it is written. JSON has no line breaks of its own, so that one line holds it.
---@param type string
---@param data table
---@return string
---
--- Example: `local text = streams.event("change", { view = "town" })`
function M.event(type, data) return ("event: %s\ndata: %s\n\n"):format(type, json.encode(data)) end

local function wake_browsers(self)
  for task, browser in next, self.browsers do
    if browser.waits then tasks.wake(task) end
  end
end

--- Publish an event to all browsers. Returns at once, whatever they do.
---@param type string
---@param data table
---
--- Example: `stream:publish("change", { view = "town", tick = 7 })`
function Stream:publish(type, data)
  if self.count == 0 then return end -- whoever comes gets a picture
  local frame = M.event(type, data)
  self.last = self.last + 1
  self.frames[self.last], self.bytes = frame, self.bytes + #frame
  while self.last - self.first >= FRAMES or self.bytes > BYTES and self.first < self.last do
    self.bytes = self.bytes - #self.frames[self.first]
    self.frames[self.first], self.first = nil, self.first + 1
  end
  wake_browsers(self)
end

--- Wait until a browser looks.
---Raises `cancelled`.
---
--- Example: `stream:watched()`
function Stream:watched()
  local me = tasks.current()
  local _ <close> = setmetatable({}, { __close = function() self.idle[me] = nil end })
  while self.count == 0 do
    self.idle[me] = true
    tasks.park "a browser"
  end
end

--- Frames behind `at`, as many as a browser is handed at once.
local function batch(self, at)
  local out, bytes = {}, 0
  while at < self.last and bytes < BATCH do
    at = at + 1
    out[#out + 1], bytes = self.frames[at], bytes + #self.frames[at]
  end
  return table.concat(out), at
end

--- What a browser is sent next; nil: there is nothing yet.
local function next_bytes(self, browser, picture)
  if browser.at + 1 < self.first then
    if browser.at >= 0 then self.renewed = self.renewed + 1 end
    local bytes = picture() -- may publish: what it shows holds that
    browser.at = self.last
    return bytes
  end
  if browser.at == self.last then return nil end
  local bytes
  bytes, browser.at = batch(self, browser.at)
  return bytes
end

local function forget(self)
  for at = self.first, self.last do self.frames[at] = nil end
  self.first, self.bytes = self.last + 1, 0
end

--- Let every browser begin anew, with a picture.
---
--- Example: `stream:renew()`
function Stream:renew()
  self.last = self.last + 1
  forget(self)
  wake_browsers(self)
end

local function leave(left)
  local self = left.stream
  self.browsers[left.task], self.count = nil, self.count - 1
  if self.count == 0 then forget(self) end
end

--- Feed a browser until it leaves.
---@param res stoke.http.reply
---@param picture fun(): string the events that a browser begins with
---Raises `cancelled`; `incomplete` when the browser has gone.
---
--- Example: `stream:feed(res, function() return streams.event("hello", {}) end)`
function Stream:feed(res, picture)
  local me = tasks.current()
  local browser = { at = -1, waits = false }
  self.browsers[me], self.count = browser, self.count + 1
  local _ <close> = setmetatable({ stream = self, task = me }, { __close = leave })
  for task in next, self.idle do tasks.wake(task) end
  res:start(200, HEADERS)
  while true do
    local bytes = next_bytes(self, browser, picture)
    if not bytes then
      browser.waits = true
      local woken = tasks.park("page.events", PING)
      browser.waits = false
      if not woken then bytes = ": here\n\n" end
    end
    if bytes then
      browser.writes = time.monotonic()
      res:write(bytes)
      browser.writes = nil
    end
  end
end

local function sweep(self)
  local now = time.monotonic()
  for task, browser in next, self.browsers do
    if browser.writes and now - browser.writes > STUCK then task:cancel "the browser takes nothing any more" end
  end
end

--- Let go of browsers that take nothing any more, as long as the page is there, whatever it shows.
---Raises `cancelled`.
---
--- Example: `tasks.spawn(stream.tend, {}, stream)`
function Stream:tend()
  while true do
    self:watched()
    sweep(self)
    time.sleep(SWEEP)
  end
end

return M
