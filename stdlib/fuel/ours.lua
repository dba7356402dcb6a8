--- Our client: the same work by what stoke gives to everybody: ollama.chat, ollama.embed, stoke.agent with a tool.

local ollama = require "stoke.ollama"
local stoke = require "stoke"
local work = require "stoke.fuel.work"

local M = {}

local PATIENT = { first_byte = false, idle = false } -- who is slow is no failure here

local Ours = {}
Ours.__index = Ours

--- A client of these servers.
---@param o { urls: string[], calls: table<string, stoke.fuel.call>, options: table, attempts: integer }
---@return table
---
--- Example: `local client = ours.new { urls = world.urls, calls = calls, options = { num_ctx = 8192 }, attempts = 60 }`
function M.new(o)
  local self = setmetatable({ urls = o.urls, calls = o.calls, options = o.options, attempts = o.attempts, agents = {} }, Ours)
  self.tool = stoke.tool { name = "work", description = "Do a piece of the work.", params = { job = "string", turn = "integer" },
    run = function(args)
      local turn = self.calls[args.job].turns[args.turn]
      stoke.sleep(turn.pause)
      return work.text(turn.result)
    end }
  return self
end

local function agent_of(self, model)
  local agent = self.agents[model]
  if not agent then
    agent = stoke.agent { model = model, endpoint = self.urls[1], instructions = work.INSTRUCTIONS, tools = { self.tool },
      max_steps = 200, nudge = false, timeouts = PATIENT }
    self.agents[model] = agent
  end
  return agent
end

-- What a script does about a failure that the library's own retries did not mend.
local function persist(self, f, ...)
  local last
  for attempt = 1, self.attempts do
    if attempt > 1 then stoke.sleep(1) end
    local value, err = stoke.try(f, ...)
    if not err then return value end
    if err.kind == "cancelled" or err.kind == "overloaded" or err.kind == "deadline" then error(err, 0) end
    last = err
  end
  error(last, 0)
end

--- Make one call.
---@param call stoke.fuel.call
---
--- Example: `client:call(call)`
function Ours:call(call)
  local url = self.urls[1]
  if call.embed then
    return persist(self, ollama.embed, { model = call.model, input = { work.question(call) }, endpoint = url,
      timeouts = PATIENT })
  end
  if #call.turns > 1 then
    local agent = agent_of(self, call.model)
    return persist(self, function() return agent:run(work.question(call)) end)
  end
  return persist(self, ollama.chat, { model = call.model, endpoint = url, timeouts = PATIENT,
    messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } } })
end

--- The same work for a job, with its class and within its time limit.
---@param job stoke.fuel.job
---@param f fun()
---
--- Example: `client:job(job, function() ... end)`
function Ours:job(job, f) -- luacheck: ignore 212
  if job.deadline then return stoke.timeout(job.deadline, f) end
  return f()
end

return M
