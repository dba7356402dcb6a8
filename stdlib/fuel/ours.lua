--- Our client: the same work by what stoke gives to everybody: ollama.chat, ollama.embed, stoke.agent with a tool; a scope that
--- says how urgent a job is; and, of several servers, a route. It tells nothing of the servers but their addresses.

local ollama = require "stoke.ollama"
local stoke = require "stoke"
local time = require "stoke.time"
local work = require "stoke.fuel.work"

local M = {}

local PATIENT = { first_byte = false, idle = false } -- who is slow is no failure here

local Ours = {}
Ours.__index = Ours

--- A client of these servers.
---@param o { urls: string[], calls: table<string, stoke.fuel.call>, options: table, attempts: integer, outside?: table } outside:
---  as for the naive client
---@return table
---
--- Example: `local client = ours.new { urls = world.urls, calls = calls, options = { num_ctx = 8192 }, attempts = 60 }`
function M.new(o)
  local self = setmetatable({ urls = o.urls, calls = o.calls, options = o.options, attempts = o.attempts, agents = {},
    outside = o.outside }, Ours)
  self.tool = stoke.tool { name = "work", description = "Do a piece of the work.", params = { job = "string", turn = "integer" },
    run = function(args)
      local turn = self.calls[args.job].turns[args.turn]
      stoke.sleep(turn.pause)
      return work.text(turn.result)
    end }
  return self
end

-- Where a call may go: one server, or any of several.
local function place(self, model)
  if not self.urls[2] then return self.urls[1], nil end
  local route = {}
  for i, url in ipairs(self.urls) do route[i] = model .. "@" .. url end
  return nil, route
end

local function agent_of(self, model)
  local agent = self.agents[model]
  if not agent then
    local endpoint, route = place(self, model)
    agent = stoke.agent { model = model, endpoint = endpoint, route = route, tools = { self.tool },
      instructions = work.INSTRUCTIONS, max_steps = 200, nudge = false, timeouts = PATIENT }
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
    if err.kind == "cancelled" or err.kind == "deadline" then error(err, 0) end
    last = err
  end
  error(last, 0)
end

-- With a real model: a session, whose turns are asked for.
local function ask_outside(self, call)
  local options = { num_predict = call.turns[1].answer }
  if #call.turns > 1 then
    local chat = stoke.agent { model = call.model, endpoint = self.urls[1], instructions = work.INSTRUCTIONS, repair = 0,
      timeouts = PATIENT, options = options }:session()
    local text = work.question(call)
    for _, turn in ipairs(call.turns) do
      persist(self, function() return chat:run(text) end)
      if turn.pause then
        stoke.sleep(turn.pause)
        text = work.text(turn.result)
      end
    end
    return
  end
  local reply = persist(self, ollama.chat, { model = call.model, endpoint = self.urls[1], timeouts = PATIENT, options = options,
    messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } } })
  self.outside:note(call.model, reply, time.monotonic())
end

--- Make one call.
---@param call stoke.fuel.call
---
--- Example: `client:call(call)`
function Ours:call(call)
  if self.outside then return ask_outside(self, call) end
  local url, route = place(self, call.model)
  if call.embed then
    return persist(self, ollama.embed, { model = call.model, input = { work.question(call) }, endpoint = url, route = route,
      timeouts = PATIENT })
  end
  if #call.turns > 1 then
    local agent = agent_of(self, call.model)
    return persist(self, function() return agent:run(work.question(call)) end)
  end
  return persist(self, ollama.chat, { model = call.model, endpoint = url, route = route, timeouts = PATIENT,
    messages = { { role = "system", content = work.INSTRUCTIONS }, { role = "user", content = work.question(call) } } })
end

--- The same work for a job, with its class and within its time limit.
---@param job stoke.fuel.job
---@param f fun()
---
--- Example: `client:job(job, function() ... end)`
function Ours:job(job, f) -- luacheck: ignore 212
  local scope <close> = stoke.scope { class = job.class, deadline = job.deadline } -- luacheck: ignore
  return f()
end

return M
