--- What is asked of the servers behind us on behalf of clients that only look: once for all who ask, kept for a while, and never
--- waited for for long. What was known is told, and asked anew beside it.

local combine = require "core.combine"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds that an answer counts, that one may be waited for, and that a server has for it.
local FRESH <const>, PATIENCE <const>, WHOLE <const> = 10, 0.25, 10
--- Answers that are kept; beyond, all are asked for again.
local MOST <const> = 1000

---@class stoke.serve.looks
---@field task? table whose children ask; nil: nothing is asked any more
---@field known table<string, { value: any, at: number }>
---@field asking table<string, table> tasks
local Looks = {}
Looks.__index = Looks

--- A memory of what was asked.
---@return stoke.serve.looks
---
--- Example: `local looks = looks.new()`
function M.new() return setmetatable({ known = {}, count = 0, asking = {} }, Looks) end

local function ask(self, key, f, ...)
  local value, err = combine.try(combine.timeout, WHOLE, f, ...)
  if not self.known[key] then self.count = self.count + 1 end
  if self.count > MOST then self.known, self.count = {}, 1 end
  local before = self.known[key]
  if err and before then value = before.value end -- a server that is away for a moment
  self.known[key], self.asking[key] = { value = value, at = time.monotonic() }, nil
end

--- Begin to ask, unless somebody does; nothing is waited for.
---@param key string
---@param f function
---@param ... any its arguments
---@return table|nil task
---
--- Example: `looks:ahead("tags", ollama.tags)`
function Looks:ahead(key, f, ...)
  local task = self.asking[key]
  if task and not task.state then return task end
  if not self.task then return nil end
  local ok, started = pcall(tasks.start, self.task, "look", ask, self, key, f, ...)
  if not ok then return nil end -- the server closes
  self.asking[key] = started
  return started
end

local function await(self, key, task)
  if task then combine.try(combine.timeout, PATIENCE, task.await, task) end
  local known = self.known[key]
  return known and known.value
end

--- The answer, if there is one by now.
---@param key string the same for the same question
---@param f function asks; what it raises counts as no answer
---@param ... any its arguments
---@return any|nil
---Raises `cancelled`.
---
--- Example: `local can = looks:get("can qwen2.5:3b", model.capabilities, target)`
function Looks:get(key, f, ...)
  local known = self.known[key]
  if known and time.monotonic() - known.at < FRESH then return known.value end
  local task = self:ahead(key, f, ...)
  if known then return known.value end
  return await(self, key, task)
end

--- The answer as it is now: asked anew, by one for all who want to know. Of a server that is late what it said before.
---@param key string
---@param f function
---@param ... any its arguments
---@return any|nil
---Raises `cancelled`.
---
--- Example: `local loaded = looks:now("ps", model.residency)`
function Looks:now(key, f, ...) return await(self, key, self:ahead(key, f, ...)) end

return M
