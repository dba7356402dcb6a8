--- Carries out a world: the same jobs on fresh servers, by one of the clients, and what came of it.

local naive = require "stoke.fuel.naive"
local ollama = require "stoke.ollama"
local ours = require "stoke.fuel.ours"
local stoke = require "stoke"
local time = require "stoke.time"
local work = require "stoke.fuel.work"
local worlds = require "stoke.fuel.world"

local M = {}

--- Tokens of context that every call asks for.
M.CONTEXT = 16384

---@class stoke.fuel.spec
---@field servers? table[] settings of stoke.sim, one for each server
---@field url? string a real server instead
---@field jobs stoke.fuel.job[]
---@field events? stoke.fuel.event[]
---@field seed integer
---@field attempts? integer how often a job tries a call before it gives up (60)
---@field stop? number seconds after the beginning when what is left is cut off
---@field limit? integer calls at once of the yardstick, "best"
---@field until_done? fun(job: stoke.fuel.job): boolean the work is over when every job is done for which it is true; the others
---  only make load

---@class stoke.fuel.outcome
---@field jobs { id: integer, class: string, at: number, ended: number?, seconds: number?, failed: string? }[]
---@field counts table<string, number> of the servers
---@field makespan number seconds from the first job's beginning to the last one's end
---@field mean number seconds of a job, from its arrival to its end
---@field failed integer jobs that did not succeed
---@field cut integer jobs that were cut off
---@field answered integer whole answers that the servers gave

local DEFINITION = { { type = "function", ["function"] = { name = "work", description = "Do a piece of the work.",
  parameters = { type = "object", properties = { job = { type = "string" }, turn = { type = "integer" } },
    required = { "job", "turn" } } } } }

local function models_of(calls)
  local seen, list = {}, {}
  for _, call in pairs(calls) do
    if not seen[call.model] then
      seen[call.model] = true
      list[#list + 1] = call.model
    end
  end
  table.sort(list)
  return list
end

--- The client of a side.
local function client_of(side, spec, world, calls)
  local o = { urls = world.urls, calls = calls, definitions = DEFINITION, options = { num_ctx = M.CONTEXT },
    attempts = spec.attempts or 60, limit = side == "best" and spec.limit or nil }
  if spec.url then o.options, o.outside = {}, world end
  if side ~= "ours" then return naive.new(o) end
  local profiles = {}
  for _, model in ipairs(models_of(calls)) do profiles[model] = not spec.url and { num_ctx = M.CONTEXT } or nil end
  ollama.profiles(profiles)
  return ours.new(o)
end

local function matters(spec, job) return not spec.until_done or spec.until_done(job) end

--- One job, to its end or its failure.
local function carry_out(world, client, job, record, began)
  record.began = time.monotonic() - began
  local _, err = stoke.try(client.job, client, job, function()
    for _, call in ipairs(job.calls) do
      if call.model then
        client:call(call)
      else
        local scope <close> = stoke.scope {}
        for _, one in ipairs(call) do scope:spawn(client.call, client, one) end
        scope:wait()
      end
    end
  end)
  if err and err.kind == "cancelled" then error(err, 0) end
  record.ended = time.monotonic() - began
  record.seconds = record.ended - record.at
  record.out = world:in_flight()
  record.failed = err and err.kind or nil
end

--- Jobs that follow each other, as lists; a job that belongs to no loop is a list of its own.
local function chains_of(jobs)
  local chains, by_loop = {}, {}
  for _, job in ipairs(jobs) do
    local chain = job.loop and by_loop[job.loop]
    if not chain then
      chain = {}
      chains[#chains + 1] = chain
      if job.loop then by_loop[job.loop] = chain end
    end
    chain[#chain + 1] = job
  end
  return chains
end

--- All jobs, until those are done that matter, or the time is over. What still runs then is cancelled.
local function all_jobs(spec, world, client, records, began)
  local left, finished = 0, stoke.channel(1)
  local scope <close> = stoke.scope { deadline = spec.stop }
  world:play(scope, spec.events or {})
  for _, job in ipairs(spec.jobs) do
    if matters(spec, job) then left = left + 1 end
  end
  for _, chain in ipairs(chains_of(spec.jobs)) do
    scope:spawn(function()
      for i, job in ipairs(chain) do
        local wait = began + job.at - time.monotonic()
        if wait > 0 then stoke.sleep(wait) end
        if i > 1 then records[job.id].at = time.monotonic() - began end -- it begins when the one before has ended
        carry_out(world, client, job, records[job.id], began)
        if matters(spec, job) then left = left - 1 end
        if left == 0 then finished:send(true) end
      end
    end)
  end
  finished:recv()
end

local function summary(spec, records, world)
  local out = { jobs = records, counts = world:counts(), failed = 0, cut = 0, mean = 0, makespan = 0 }
  local sum, n, first = 0, 0, math.huge
  for i, record in ipairs(records) do
    if matters(spec, spec.jobs[i]) then
      first = math.min(first, record.at)
      if not record.ended then
        out.cut = out.cut + 1
      else
        if record.failed then out.failed = out.failed + 1 end
        sum, n, out.makespan = sum + record.seconds, n + 1, math.max(out.makespan, record.ended)
      end
    end
  end
  out.mean, out.makespan = n > 0 and sum / n or 0, n > 0 and out.makespan - first or 0
  return out
end

--- Carry a world out. Time should be virtual where its servers are simulated.
---@param spec stoke.fuel.spec
---@param side "naive"|"ours"|"best"
---@return stoke.fuel.outcome
---
--- Example: `local outcome = run.world(spec, "naive")`
function M.world(spec, side)
  local calls = work.number(spec.jobs)
  local world <close> = spec.url and worlds.outside(spec.url)
    or worlds.open { servers = spec.servers, script = work.script(calls), seed = spec.seed }
  local client = client_of(side, spec, world, calls)
  local records, began = {}, time.monotonic()
  for i, job in ipairs(spec.jobs) do records[i] = { id = i, class = job.class or "normal", at = job.at } end
  local _, err = stoke.try(all_jobs, spec, world, client, records, began)
  if err and err.kind ~= "timeout" and err.kind ~= "deadline" and err.kind ~= "cancelled" then error(err, 0) end
  local out = summary(spec, records, world)
  out.posted, out.answered = client.posted, out.counts.answers
  return out
end

return M
