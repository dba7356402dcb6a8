--- Small rows for a server that is really there: in real time, with models that it has. How long an answer is can only be bounded,
--- and how many slots and how much room there is nobody knows, so these rows compare and promise nothing.

local measures = require "stoke.fuel.measures"
local ollama = require "stoke.ollama"
local work = require "stoke.fuel.work"

local M = {}

--- The two smallest models that answer chats, or the ones that were named.
---@param endpoint string
---@param named string[] at most two are taken
---@return string[] models one or two
---Raises `usage` when the server has none.
---
--- Example: `local models = real.models("http://127.0.0.1:11434", {})`
function M.models(endpoint, named)
  if #named > 0 then return { named[1], named[2] } end
  local found = {}
  for _, model in ipairs(ollama.tags(endpoint).models) do
    local can = model.capabilities or ollama.show(model.name, { endpoint = endpoint }).capabilities or {}
    for _, name in ipairs(can) do
      if name == "completion" then found[#found + 1] = model end
    end
  end
  table.sort(found, function(a, b) return a.size < b.size or a.size == b.size and a.name < b.name end)
  if not found[1] then return { ollama.newest("completion", endpoint) } end -- which raises
  return { found[1].name, found[2] and found[2].name }
end

local function call(model, random) return work.call(model, work.between(random, 10, 25), work.between(random, 8, 16)) end

local function loops(n, each, make)
  local jobs = {}
  for loop = 1, n do
    for i = 1, each do
      local job = make(loop, i)
      job.loop = "loop " .. loop
      jobs[#jobs + 1] = job
    end
  end
  return jobs
end

local function ratio(m, name) return m.ours[1][name] / m.naive[1][name] end

local function compare(m)
  return ("mean %.2f, all %.2f"):format(ratio(m, "mean"), ratio(m, "makespan"))
end

local function all_of(o)
  return { mean = o.mean, makespan = o.makespan, failed = o.failed, changes = o.counts.changes }
end

local function both(m) return ("mean %.1f s, all in %.1f s"):format(m.mean, m.makespan) end

local rows = {
  { name = "burst", title = "12 calls in one moment", make = function(models, random)
    local jobs = {}
    for i = 1, 12 do jobs[i] = work.job(0, call(models[1], random)) end
    return { jobs = jobs }
  end, measure = all_of, figure = both, compare = compare },

  { name = "loops", title = "6 loops of 3 calls", make = function(models, random)
    return { jobs = loops(6, 3, function() return work.job(0, call(models[1], random)) end) }
  end, measure = all_of, figure = both, compare = compare },

  { name = "models", title = "4 agents x 4 calls on two models in turn", two = true, make = function(models, random)
    return { jobs = loops(4, 4, function(loop) return work.job(0, call(models[loop % 2 + 1], random)) end) }
  end, measure = all_of,
    figure = function(m) return ("%d changes of model, %.1f s"):format(m.changes, m.makespan) end, compare = compare },

  { name = "swap", title = "one call for B under steady load on A, at most 20 s", two = true, make = function(models, random)
    local jobs = loops(4, 200, function() return work.job(0, call(models[1], random), { class = "batch" }) end)
    jobs[#jobs + 1] = work.job(3, call(models[2], random))
    return { jobs = jobs, stop = 23, until_done = function(job) return job.class ~= "batch" end }
  end, measure = function(o) return { seconds = o.jobs[#o.jobs].seconds or 1e9 } end,
    figure = function(m) return m.seconds < 1e9 and ("after %.1f s"):format(m.seconds) or "never" end,
    compare = function() return "" end },

  { name = "classes", title = "3 interactive calls among 12 of batch work", make = function(models, random)
    local jobs = {}
    for i = 1, 12 do jobs[i] = work.job(0, call(models[1], random), { class = "batch" }) end
    for i = 1, 3 do jobs[#jobs + 1] = work.job(0.5 * i, call(models[1], random), { class = "interactive" }) end
    return { jobs = jobs }
  end, measure = function(o)
    return { p95 = measures.quantile(measures.seconds_of(o, "interactive"), 0.95), makespan = o.makespan }
  end, figure = function(m) return ("p95 %.1f s, all in %.1f s"):format(m.p95, m.makespan) end,
    compare = function(m) return ("p95 %.2f, all %.2f"):format(ratio(m, "p95"), ratio(m, "makespan")) end },

  { name = "talks", title = "5 conversations x 3 turns, pauses of 0.3 s", make = function(models, random)
    local jobs = {}
    for i = 1, 5 do
      jobs[i] = work.job(0, work.talk(models[1], 3, { random = random, prompt = { 30, 50 }, answer = { 8, 16 },
        result = { 15, 30 }, pause = { 0.2, 0.4 } }))
    end
    return { jobs = jobs }
  end, measure = all_of, figure = both, compare = compare },
}

M.list = rows

--- A row by its name.
---@param name string
---@return table|nil
---
--- Example: `local row = real.find "swap"`
function M.find(name)
  for _, row in ipairs(rows) do
    if row.name == name then return row end
  end
end

--- The world of a row on a server.
---@param row table of M.list
---@param models string[]
---@param endpoint string
---@param seed integer
---@return stoke.fuel.spec
---
--- Example: `local spec = real.world(real.find "burst", { "qwen2.5:3b" }, "http://127.0.0.1:11434", 1)`
function M.world(row, models, endpoint, seed)
  local spec = row.make(models, work.random(seed))
  spec.seed, spec.url, spec.attempts = seed, endpoint, 3
  return spec
end

return M
