-- How well the simulator's scheduling agrees with a real server's: closed loops of 1 to 16 clients, and bursts on two models,
-- as they were measured on Ollama 0.17.4 (4 slots, no GPU, one thread), beside the same on `like = "0.17"`. In virtual time:
-- a second or two.  stoke tests/bench/scheduling.lua

package.path = "tests/lua/?.lua;" .. package.path

local sim = require "stoke.sim"
local world = require "world"
local gojson = require "stoke.ollama.server.gojson"

-- in flight, wait (ms) p10 median p90, eval of a reply (s), replies a second
local MEASURED = {
  { 1, 1.3, 1.3, 1.4, 0.17, 5.2 }, { 2, 2, 29, 39, 0.21, 7.2 }, { 3, 30, 35, 58, 0.37, 6.9 }, { 4, 23, 30, 61, 0.38, 8.7 },
  { 5, 25, 33, 480, 0.39, 8.0 }, { 6, 37, 81, 413, 0.26, 10.8 }, { 8, 37, 409, 482, 0.28, 10.2 },
  { 16, 410, 1368, 1435, 0.37, 8.9 },
}
local BURSTS = "1 (0.6 s) four times, 24 28 30 30 34 (7 to 10 s)"

local SLOW = { name = "slow1", family = "llama", caps = { "completion" }, tps = 67, prefill = 312, load = 0.3,
  context = 8192 }

local function words(n)
  local list = {}
  for i = 1, n do list[i] = "w" .. i end
  return table.concat(list, " ")
end

local function at(list, p) return list[math.max(1, math.ceil(p * #list))] end

-- Clients that ask again as soon as they were answered.
local function closed_loop(clients, replies, seed)
  local w = world.new()
  local s = sim.new { seams = w.seams, like = "0.17", slots = 4, models = { SLOW }, seed = seed,
    script = function() return words(12) end }
  local waits, evals, done, began, ended = {}, 0, 0, nil, 0
  local function client(id)
    local n = 0
    return function()
      while done < replies do
        n = n + 1
        local c = { body = "" }
        local res = { reply = function(_, status, _, text) c.status, c.body = status, text end, start = function() end,
          write = function(_, bytes) c.body = bytes end, reset = function() end }
        local body = ('{"model":"slow1","stream":false,"prompt":"Tell me of number %d.%d, please."}'):format(id, n)
        s.handler({ method = "POST", path = "/api/generate", headers = {}, body = body }, res)
        local o = gojson.decode(c.body)
        if n > 1 then
          began, ended = began or w.now, w.now
          done = done + 1
          waits[#waits + 1] = (o.total_duration - o.load_duration - o.prompt_eval_duration - o.eval_duration) / 1e6
          evals = evals + o.eval_duration / 1e9
        end
      end
    end
  end
  for id = 1, clients do w:spawn(client(id)) end
  w:run()
  table.sort(waits)
  return { clients, at(waits, 0.1), at(waits, 0.5), at(waits, 0.9), evals / done, (done - 1) / (ended - began) }
end

-- 40 calls on two models in turn, 2 ms apart, with room for one.
local function burst(seed, loaded)
  local w = world.new()
  local function model(name)
    return { name = name, family = "llama", caps = { "completion" }, tps = 1000, prefill = 5000, load = 0.25, context = 8192 }
  end
  local s = sim.new { seams = w.seams, like = "0.17", slots = 4, max_loaded = 1, models = { model "a", model "b" }, seed = seed,
    script = function() return words(60) end }
  w:request(s, "POST", "/api/generate", ('{"model":"%s"}'):format(loaded))
  w:run(1)
  local before, list = s.ledger.loads, {}
  for i = 1, 40 do
    w:run(1 + i * 0.002)
    local body = '{"model":"%s","prompt":"x","stream":false}'
    list[i] = w:request(s, "POST", "/api/generate", body:format(i % 2 == 1 and "a" or "b"))
  end
  local order = {}
  local began = w.now
  while true do
    local left = false
    for i = 1, 40 do
      if not list[i].ended then left = true elseif not list[i].seen then
        list[i].seen, order[#order + 1] = true, i % 2 == 1 and "A" or "B"
      end
    end
    if not left then break end
    w:run(w.now + 0.005)
  end
  return s.ledger.loads - before, w.now - began, table.concat(order)
end

print "in flight        wait ms: p10  median    p90    eval s   replies/s"
for _, m in ipairs(MEASURED) do
  local r = closed_loop(m[1], 300, 1)
  print(("%2d  measured        %8.1f %7.1f %7.1f  %7.2f  %7.1f"):format(table.unpack(m)))
  print(("    simulated       %8.1f %7.1f %7.1f  %7.2f  %7.1f"):format(table.unpack(r, 2)))
end
print("\n40 calls on two models, all at once: loads measured " .. BURSTS)
local loads = {}
for seed = 1, 10 do
  local n, seconds, order = burst(seed, seed % 2 == 0 and "a" or "b")
  loads[#loads + 1] = ("%2d (%4.1f s)  %s"):format(n, seconds, order)
end
print("simulated:\n" .. table.concat(loads, "\n"))
