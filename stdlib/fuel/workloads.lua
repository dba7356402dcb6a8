--- The twelve workloads: plain work of many kinds, in which nothing may become worse than with the naive client (naive.lua): the
--- mean of the jobs' times at most 1.02 of its, the makespan at most 1.1.

local work = require "stoke.fuel.work"

local M = {}

local job, call, between, gap = work.job, work.call, work.between, work.gap
local PLAIN = "qwen2.5:3b"

local function plain(random) return call(PLAIN, between(random, 100, 600), between(random, 40, 200)) end

local function count(n, size) return math.max(6, math.floor(n * size + 0.5)) end

local function one_server(slots, more)
  local server = { models = { PLAIN }, slots = slots }
  for name, value in next, more or {} do server[name] = value end
  return { server }
end

local function many(n, make)
  local jobs = {}
  for i = 1, n do jobs[i] = make(i) end
  return jobs
end

local function arrivals(random, n, rate, make)
  local at = 0
  return many(n, function(i)
    at = at + gap(random, rate)
    return make(at, i)
  end)
end

local function talk(random, turns, pause)
  return work.talk(PLAIN, turns, { random = random, prompt = { 200, 500 }, answer = { 40, 160 }, result = { 50, 300 },
    pause = pause })
end

---@type { name: string, title: string, make: fun(random: function, size: number): table }[]
M.list = {
  { name = "burst", title = "80 calls in one moment, 4 slots", make = function(random, size)
    return { servers = one_server(4), jobs = many(count(80, size), function() return job(0, plain(random)) end) }
  end },
  { name = "steady", title = "100 calls that arrive at 70 % of capacity, 2 slots", make = function(random, size)
    return { servers = one_server(2),
      jobs = arrivals(random, count(100, size), 0.9, function(at) return job(at, plain(random)) end) }
  end },
  { name = "mixed", title = "calls for three models, room for two, 2 slots", make = function(random, size)
    local models = { "qwen2.5:3b", "llama3.2:3b", "qwen3:4b" }
    return { servers = { { models = models, slots = 2, max_loaded = 2, load_seconds = 3 } },
      jobs = arrivals(random, count(90, size), 0.8, function(at)
        return job(at, call(models[between(random, 1, 3)], between(random, 100, 400), between(random, 40, 160)))
      end) }
  end },
  { name = "short tools", title = "24 agents x 6 turns, tools of 0.2 to 1 s, 4 slots", make = function(random, size)
    return { servers = one_server(4),
      jobs = many(count(24, size), function(i) return job(0.2 * i, talk(random, 6, { 0.2, 1 })) end) }
  end },
  { name = "long tools", title = "24 agents x 6 turns, tools of 10 to 30 s, 4 slots", make = function(random, size)
    return { servers = one_server(4),
      jobs = many(count(24, size), function(i) return job(0.2 * i, talk(random, 6, { 10, 30 })) end) }
  end },
  { name = "giant", title = "one program of 120 calls, then 40 small ones, 4 slots", make = function(random, size)
    local jobs = arrivals(random, count(40, size), 0.7, function(at) return job(at, plain(random)) end)
    table.insert(jobs, 1, { at = 0, calls = { many(count(120, size), function() return plain(random) end), plain(random) } })
    return { servers = one_server(4), jobs = jobs }
  end },
  { name = "flapping", title = "100 calls, a server that is 2 s up and 2 s down for a minute", make = function(random, size)
    local events = {}
    for i = 0, math.floor(15 * math.max(size, 0.3)) - 1 do
      events[#events + 1] = { at = 4 * i + 2, server = 1, kill = true }
      events[#events + 1] = { at = 4 * i + 4, server = 1, start = {} }
    end
    return { servers = one_server(4, { load_seconds = 0.3 }), events = events,
      jobs = arrivals(random, count(100, size), 1.5, function(at)
        return job(at, call(PLAIN, between(random, 50, 200), between(random, 10, 60)))
      end) }
  end },
  { name = "tiny", title = "400 calls of two tokens in 8 loops, 2 slots", make = function(random, size)
    return { servers = one_server(2), jobs = many(count(400, size), function(i)
      return job(0, call(PLAIN, between(random, 10, 30), 2), { loop = "loop " .. i % 8 })
    end) }
  end },
  { name = "long prompts", title = "60 calls of 2,000 to 6,000 tokens with short answers, 2 slots", make = function(random, size)
    return { servers = one_server(2), jobs = arrivals(random, count(60, size), 0.4, function(at)
      return job(at, call(PLAIN, between(random, 2000, 6000), between(random, 10, 40)))
    end) }
  end },
  { name = "fan-out", title = "10 programs that ask 12 questions at once, then one, 4 slots", make = function(random, size)
    return { servers = one_server(4), jobs = many(count(10, size), function(i)
      return { at = 3 * i, calls = { many(12, function() return plain(random) end), plain(random) } }
    end) }
  end },
  { name = "embeddings", title = "200 embeddings beside 40 calls, 2 slots", make = function(random, size)
    local jobs = arrivals(random, count(40, size), 0.8, function(at) return job(at, plain(random)) end)
    for _, one in ipairs(arrivals(random, count(200, size), 4, function(at)
      return job(at, { model = "nomic-embed-text", prompt = between(random, 50, 400), turns = {}, embed = true })
    end)) do jobs[#jobs + 1] = one end
    return { servers = { { models = { PLAIN, "nomic-embed-text" }, slots = 2 } }, jobs = jobs }
  end },
  { name = "uneven", title = "120 calls, two servers, one of them four times slower, 2 slots each", make = function(random, size)
    local slow = { models = { PLAIN .. ",tps=22,prefill=500" }, slots = 2 }
    return { servers = { one_server(2)[1], slow },
      jobs = arrivals(random, count(120, size), 1, function(at) return job(at, plain(random)) end) }
  end },
}

--- The world of a workload.
---@param workload table of M.list
---@param seed integer
---@param size number
---@return stoke.fuel.spec
---
--- Example: `local spec = workloads.world(workloads.list[1], 7, 1)`
function M.world(workload, seed, size)
  local spec = workload.make(work.random(seed), size)
  spec.seed = seed
  return spec
end

return M
