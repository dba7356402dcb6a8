--- Worlds that nobody has seen: drawn from a seed. The same seed gives the same world, on every machine.

local work = require "stoke.fuel.work"

local M = {}

--- The seed of one of several worlds.
---@param seed integer
---@param case integer
---@return integer
---
--- Example: `local spec = hidden.world(hidden.seed(7, 3), 1)`
function M.seed(seed, case) return seed * 1000 + case end

local NAMES = { "one", "two", "three", "four" }

local function pick(random, list) return list[work.between(random, 1, #list)] end

local function servers_of(random, models)
  local list, n = {}, pick(random, { 1, 1, 1, 2, 3 })
  for i = 1, n do
    local speed, texts = 0.25 + 1.5 * random(), {}
    for k = 1, models do
      texts[k] = ("%s,tps=%.0f,prefill=%.0f,load=%.1f"):format(NAMES[k], 90 * speed, 2000 * speed, 0.5 + 5 * random())
    end
    list[i] = { models = texts, slots = pick(random, { 1, 1, 2, 3, 4, 6, 8 }), max_loaded = work.between(random, 1, models),
      like = pick(random, { "0.17", "0.30" }), gpus = 1 }
  end
  return list
end

local function calls_of(random, models)
  local function model() return NAMES[random() < 0.6 and 1 or work.between(random, 1, models)] end
  local long, pause = random() < 0.3 and 4 or 1, pick(random, { 0.3, 1, 5, 15 })
  local kinds = {
    function() return { work.call(model(), work.between(random, 50, 500 * long), work.between(random, 20, 200)) } end,
    function()
      return { work.talk(model(), work.between(random, 3, 8), { random = random, prompt = { 100, 500 }, answer = { 40, 160 },
        result = { 50, 300 }, pause = { 0.5 * pause, 1.5 * pause } }) }
    end,
    function()
      local many, name = {}, model()
      for i = 1, work.between(random, 4, 16) do
        many[i] = work.call(name, work.between(random, 50, 400), work.between(random, 20, 150))
      end
      return { many, work.call(name, work.between(random, 200, 800), work.between(random, 50, 200)) }
    end,
  }
  local shares = { random(), random() * 0.6, random() * 0.4 }
  local sum = shares[1] + shares[2] + shares[3]
  return function()
    local x = random() * sum
    return kinds[x < shares[1] and 1 or x < shares[1] + shares[2] and 2 or 3]()
  end
end

local function events_of(random, servers, seconds)
  local events, kind = {}, pick(random, { "none", "none", "none", "restart", "slow", "wedged", "refuses", "killed" })
  local i, at = work.between(random, 1, servers), seconds * (0.2 + 0.4 * random())
  if kind == "restart" then
    events = { { at = at, server = i, kill = true },
      { at = at + 1 + 4 * random(), server = i, start = { slots = pick(random, { 1, 2, 4 }) } } }
  elseif kind == "slow" then
    events = { { at = at, server = i, pace = 0.1 }, { at = at + 20 + 20 * random(), server = i, pace = 1 } }
  elseif kind == "wedged" then
    events = { { at = at, server = i, pace = 0 }, { at = at + 10 + 20 * random(), server = i, pace = 1 } }
  elseif kind == "refuses" then
    local fault = pick(random, { "503:0.5", "429:0.5", "503-wait:0.3", "429-wait:0.3" })
    events = { { at = at, server = i, fault = fault }, { at = at + 10, server = i, fault = false } }
  elseif kind == "killed" and servers > 1 then
    events = { { at = at, server = i, kill = true } }
  end
  return events, kind
end

--- A world: one to three servers, one to three models with room for some of them, work of several kinds that arrives at once, in
--- bursts or one by one, and a fault in half of the worlds.
---@param seed integer
---@param size number
---@return stoke.fuel.spec
---
--- Example: `local spec = hidden.world(4711, 1)`
function M.world(seed, size)
  local random = work.random(seed)
  local models = pick(random, { 1, 1, 2, 3 })
  local servers = servers_of(random, models)
  local slots = 0
  for _, server in ipairs(servers) do slots = slots + server.slots end
  local calls, jobs, at = calls_of(random, models), {}, 0
  local n = math.max(8, math.floor(work.between(random, 30, 90) * size))
  local rate, pattern = slots * (0.1 + 0.5 * random()), pick(random, { "once", "bursts", "steady" })
  for i = 1, n do
    jobs[i] = { at = at, calls = calls() }
    if pattern == "steady" then at = at + work.gap(random, rate) end
    if pattern == "bursts" and random() < 0.1 then at = at + 10 / rate end
  end
  local events, kind = events_of(random, #servers, math.max(at, 20))
  return { jobs = jobs, servers = servers, events = events, seed = seed, pattern = pattern, fault = kind }
end

--- Six jobs on two models, one slot and room for one model: few enough to try every order.
---@param seed integer
---@return stoke.fuel.spec
---
--- Example: `local spec = hidden.small(4711)`
function M.small(seed)
  local random, jobs = work.random(seed), {}
  local late = random() < 0.5
  for i = 1, 6 do
    local at = late and i > 3 and 4 * random() or 0
    local model = NAMES[work.between(random, 1, 2)]
    jobs[i] = work.job(at, work.call(model, work.between(random, 50, 400), work.between(random, 20, 300)))
  end
  local load = 0.5 + 3 * random()
  return { jobs = jobs, seed = seed, swap = load, back = 0.25,
    servers = { { models = { NAMES[1], NAMES[2] }, load_seconds = load, max_loaded = 1 } } }
end

return M
