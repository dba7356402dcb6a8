--- Faults a server may show, by name, and the ways of writing that cut or slow the bytes of a
--- reply.

local wire = require "stoke.ollama.server.wire"
local scheduler = require "stoke.sim.scheduler"

local M = {}

M.NAMES = { "404", "500", "503", "hang", "hang-mid", "reset", "error-line", "silent-end", "html", "slow", "cuts", "nondone",
  "429", "429-wait", "503-wait",
  "runner-dies", "runner-dies-mid", "server-dies" }

M.ERROR_LINE = "an error was encountered while running the model: boom"
M.BROKE_OFF = "an error was encountered while running the model: unexpected EOF"
M.STOPPED = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, " ..
  "check ollama server logs for details"

--- The original never says so; what stands before it may.
M.MANY = "too many requests"

local WAIT = { ["Content-Type"] = "application/json; charset=utf-8", ["Retry-After"] = "2" }

-- Answered instead of anything else.
local INSTEAD = {
  ["404"] = function(name) return 404, wire.JSON, wire.error(("model '%s' not found"):format(name)) end,
  ["500"] = function() return 500, wire.JSON, wire.error(M.STOPPED) end,
  ["503"] = function() return 503, wire.JSON, wire.error(scheduler.BUSY) end,
  ["429"] = function() return 429, wire.JSON, wire.error(M.MANY) end,
  ["429-wait"] = function() return 429, WAIT, wire.error(M.MANY) end,
  ["503-wait"] = function() return 503, WAIT, wire.error(scheduler.BUSY) end,
  html = function() return 502, wire.HTML, wire.HTML_BODY end,
}

--- Status, headers and body of a fault that replaces the whole answer; nil for the others.
---@param kind string?
---@param name string the model's name
function M.instead(kind, name)
  local f = kind and INSTEAD[kind]
  if f then return f(name) end
  return nil
end

--- Splits "reset:0.25" into a kind and how often it strikes (1 = always).
---@param text string
---@return string? kind nil when there is no such fault
---@return number? rate
function M.parse(text)
  local kind, rate = text:match "^([^:]+):?(.*)$"
  rate = rate == "" and 1 or tonumber(rate)
  for _, n in ipairs(M.NAMES) do
    if n == kind then
      if not rate then return nil end
      return kind, rate
    end
  end
  return nil
end

-- Writers: line(text) for each line, finish() after the last. -------------------------------------

local Cuts = {}
Cuts.__index = Cuts

-- Takes bytes from the buffer in the sizes wanted; what is left waits for more.
function Cuts:line(text)
  self.buffer = self.buffer .. text
  while true do
    local size = self:size()
    if not size then
      self.res:write(self.buffer)
      self.buffer = ""
      return
    end
    if #self.buffer < size then return end
    self.res:write(self.buffer:sub(1, size))
    self.buffer, self.next = self.buffer:sub(size + 1), nil
    if self.pause > 0 then self.sim:sleep(self.pause) end
  end
end

function Cuts:finish()
  if self.buffer ~= "" then self.res:write(self.buffer) end
  self.buffer = ""
end

local function random_size(self)
  self.next = self.next or self.sim.random(97)
  return self.next
end

local function listed_size(self)
  if not self.next then
    self.at = self.at + 1
    self.next = self.list[self.at]
  end
  return self.next
end

local Plain = {}
Plain.__index = Plain
function Plain:line(text) self.res:write(text) end
function Plain:finish() end -- luacheck: ignore 212

--- How the bytes of a reply are written: whole lines, or cut at random or given places, or a few at
--- a time.
---@param sim table
---@param res table
---@param job table
function M.writer(sim, res, job)
  local cut = job.cut or (job.fault == "cuts" and "random") or nil
  if job.fault == "slow" then
    return setmetatable({ sim = sim, res = res, buffer = "", pause = 0.02, size = function() return 16 end }, Cuts)
  end
  if not cut then return setmetatable({ res = res }, Plain) end
  if cut == "random" then
    return setmetatable({ sim = sim, res = res, buffer = "", pause = 0, size = random_size }, Cuts)
  end
  return setmetatable({ sim = sim, res = res, buffer = "", pause = 0, size = listed_size, list = cut, at = 0 }, Cuts)
end

return M
