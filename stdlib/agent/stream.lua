--- The events of a run, in the order they happen: the run is a child task, its events wait for their reader in a bounded queue.

local errors = require "core.errors"
local queues = require "core.queue"
local spelling = require "core.names"
local tasks = require "core.task"

local M = {}

--- Events that may wait for their reader; then the run waits, and the server with it.
local AHEAD = 64

---@class stoke.agent.stream
local Stream = {}
Stream.__name = "stoke.agent.stream"

function Stream.__index(_, key)
  local value = Stream[key]
  if value ~= nil then return value end
  if key == 1 then errors.argument "a stream is no list: for ev in agent:stream(question) do ... end" end
  return spelling.field("stoke.agent.stream", key, {}, Stream)
end

--- What stands in the queue for the error that ended the run.
local Failure = {}

function Stream:__call()
  if self.over then return nil end
  local event = self.events:take()
  if event == nil then
    self.over = true
    if self.events.cut then self.task:await() end -- raises what became of it
    return nil
  end
  if getmetatable(event) ~= Failure then return event end
  self.over = true
  error(event.err, 0)
end

--- Stop the run, its calls and its connection. A no-op after the end.
---
--- Example: `events:close()`
function Stream:close()
  if self.over then return end
  self.over = true
  self.task:cancel "its stream was closed"
end

Stream.__close = Stream.close

local function body(events, f)
  local ok, err = pcall(f, function(event) events:put(event) end)
  if not ok then
    if errors.is(err) and err.kind == "cancelled" then -- and nothing can be put in any more
      events.cut = true
      events:close()
      error(err, 0)
    end
    events:put(setmetatable({ err = errors.wrap(err) }, Failure))
  end
  events:close()
end

--- Start a run and give its events.
---@param f fun(listener: fun(event: table)): any
---@return stoke.agent.stream iterator
---@return nil
---@return nil
---@return stoke.agent.stream closing it ends the run
function M.open(f)
  local events = queues.new(AHEAD)
  local self = setmetatable({ events = events, over = false }, Stream)
  self.task = tasks.spawn(body, { name = "agent" }, events, f)
  return self, nil, nil, self
end

return M
