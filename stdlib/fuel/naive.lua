--- The naive client: what a script does that speaks to a server over plain HTTP, as most do. It posts each call at once, whatever
--- is under way; of several servers it takes the next in turn; a call that failed is posted again after a second, to the next
--- server. It knows nothing of classes. A deadline is a time limit of the request.
---
--- With `limit` it is the yardstick of rows that need the best there is: it has at most so many calls under way, a number that is
--- nobody's to know but the world's.

local http = require "stoke.http"
local json = require "stoke.json"
local stoke = require "stoke"
local time = require "stoke.time"
local work = require "stoke.fuel.work"

local M = {}

local Naive = {}
Naive.__index = Naive

--- A naive client of these servers.
---@param o { urls: string[], definitions: table[], options: table, attempts: integer, limit?: integer, outside?: table } outside:
---  the real server's world; its models are not scripted, so answers are bounded and turns are asked for
---@return table
---
--- Example: `local client = naive.new { urls = world.urls, definitions = {}, options = { num_ctx = 8192 }, attempts = 60 }`
function M.new(o)
  return setmetatable({ urls = o.urls, definitions = o.definitions, options = o.options, attempts = o.attempts, turn = 0,
    outside = o.outside, posted = 0, places = o.limit and stoke.semaphore(o.limit) }, Naive)
end

local function next_url(self)
  self.turn = self.turn % #self.urls + 1
  return self.urls[self.turn]
end

local function post(self, path, body)
  local last
  for attempt = 1, self.attempts do
    if attempt > 1 then stoke.sleep(1) end
    self.posted = self.posted + 1
    local place <close> = self.places and self.places:acquire() -- luacheck: ignore
    local res, err = stoke.try(http.post, next_url(self) .. path, { json = body, timeout = false })
    if err and err.kind == "cancelled" then error(err, 0) end
    if res and res.status == 200 then return res:json() end
    last = err or res.body
  end
  error(last, 0)
end

-- With a real model: it does not call the tool when it should, so the next turn is a question.
local function converse_outside(self, call)
  local messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } }
  for _, turn in ipairs(call.turns) do
    messages[#messages + 1] = post(self, "/api/chat", { model = call.model, messages = messages, stream = false,
      options = { num_predict = turn.answer } }).message
    if turn.pause then
      stoke.sleep(turn.pause)
      messages[#messages + 1] = { role = "user", content = work.text(turn.result) }
    end
  end
end

local function ask_outside(self, call)
  if #call.turns > 1 then return converse_outside(self, call) end
  local reply = post(self, "/api/chat", { model = call.model, stream = false, options = { num_predict = call.turns[1].answer },
    messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } } })
  self.outside:note(call.model, reply, time.monotonic())
end

local function converse(self, call)
  local messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } }
  for i, turn in ipairs(call.turns) do
    local answer = post(self, "/api/chat", { model = call.model, messages = messages, stream = false, options = self.options,
      tools = self.definitions }).message
    messages[#messages + 1] = answer
    if i < #call.turns then
      stoke.sleep(turn.pause)
      messages[#messages + 1] = { role = "tool", tool_name = "work", content = work.text(turn.result) }
    end
  end
end

--- Make one call.
---@param call stoke.fuel.call
---
--- Example: `client:call(call)`
function Naive:call(call)
  if call.embed then
    return post(self, "/api/embed", { model = call.model, input = { work.question(call) } })
  end
  if self.outside then return ask_outside(self, call) end
  if #call.turns > 1 then return converse(self, call) end
  return post(self, "/api/chat", { model = call.model, stream = false, options = self.options, tools = json.array(),
    messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } } })
end

--- The same work for a job, within its time limit.
---@param job stoke.fuel.job
---@param f fun()
---
--- Example: `client:job(job, function() ... end)`
function Naive:job(job, f) -- luacheck: ignore 212
  if job.deadline then return stoke.timeout(job.deadline, f) end
  return f()
end

return M
