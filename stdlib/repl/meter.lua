--- The cost of one line: its time, and the model calls of its task and of child tasks.

local span = require "core.gate.span"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds from which on a line is slow.
M.SLOW = 0.5

local Meter = {}
Meter.__index = Meter

--- Whether the running task is the line's, or one that it waits for.
local function below(line)
  local task = tasks.current()
  for _ = 1, 1000 do
    if not task then return false end
    if task == line then return true end
    local up = task.up
    task = up and (up.task or up)
  end
  return false
end

--- Begin to measure.
---@return table meter a to-be-closed value
function M.new()
  local self = setmetatable({ began = time.monotonic(), input = 0, output = 0, calls = 0 }, Meter)
  self.sink = function(record)
    if not record.input_tokens and not record.output_tokens or record.around or not below(self.line) then return end
    local now = time.monotonic()
    self.calls = self.calls + 1
    self.input, self.output = self.input + (record.input_tokens or 0), self.output + (record.output_tokens or 0)
    self.first = math.min(self.first or math.huge, now - record.run)
    self.last = now
  end
  span.listen(self.sink)
  return self
end

--- The task whose calls count.
---@param task stoke.task
function Meter:watch(task) self.line = task end

--- One line for the person; nil when it was quick and asked no model.
---@param always? boolean
---@return string|nil
function Meter:text(always)
  local took = time.monotonic() - self.began
  if self.calls == 0 then
    return (took > M.SLOW or always) and (took < 0.1 and ("%.1f ms"):format(took * 1000) or ("%.1f s"):format(took)) or nil
  end
  local text = ("%.1f s, %d tok in, %d out"):format(took, self.input, self.output)
  local seconds = self.last - self.first
  if self.output > 0 and seconds > 0.001 then text = text .. (", %.0f tok/s"):format(self.output / seconds) end
  return text
end

function Meter:__close() span.unlisten(self.sink) end

return M
