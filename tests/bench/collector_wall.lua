-- What spans that are sent cost a run in seconds, beside a real model: the same run by four processes in turn, of which one sends
-- none, and the others to a collector that is down, that answers after twenty seconds, and that refuses. Rounds are in an order
-- drawn by chance; what is told is the median of the ratios within a round, and its interval by bootstrap; and, as a busy machine
-- drowns a hundredth of a second, the processor time of a run above that without spans.
--   stoke tests/bench/collector_wall.lua ENDPOINT MODEL [SECONDS]
local stoke = require "stoke"

local http, proc, rand = stoke.http, stoke.proc, stoke.rand

local WORDS <const> = 8

--- The run: two calls of a model with a tool's call between them, by an agent's way; six spans.
local function work(endpoint, model)
  local bot = stoke.agent { name = "bot", model = model, endpoint = endpoint,
    options = { num_predict = WORDS, temperature = 0, seed = 1 } }
  local note = stoke.tool { name = "note", description = "Note", params = { text = "string" },
    run = function(a) return a.text end }
  bot:run "Say something"
  print "ready"
  while io.read() do
    local began, spent = stoke.time.monotonic(), os.clock()
    local text = bot:run("Say something").text
    note:call { text = text }
    bot:run "And again"
    print(stoke.time.monotonic() - began, os.clock() - spent)
  end
end

local function child(name, endpoint, model, collector)
  local argv = { stoke.env.get "STOKE_BIN" or "stoke", arg[0], "child", endpoint, model }
  local process = proc.spawn { argv = argv, stderr = "inherit",
    env = { OTEL_EXPORTER_OTLP_ENDPOINT = collector, PATH = stoke.env.get "PATH" } }
  local lines = process:lines()
  assert(lines() == "ready", name .. " does not begin")
  return { name = name, process = process, lines = lines, seconds = {}, cpu = {} }
end

local function median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local n = #sorted
  return n % 2 == 1 and sorted[n // 2 + 1] or (sorted[n // 2] + sorted[n // 2 + 1]) / 2
end

--- The middle 95 % of medians of samples drawn from the list.
local function interval(list)
  local medians = {}
  for i = 1, 2000 do
    local sample = {}
    for k = 1, #list do sample[k] = list[rand.int(1, #list)] end
    medians[i] = median(sample)
  end
  table.sort(medians)
  return medians[50], medians[1950]
end

local function collectors()
  local slow = http.serve { port = 0, drain = 0, handler = function()
    stoke.sleep(20)
    return {}
  end }
  local refusing = http.serve { port = 0, drain = 0, handler = function(_, res) return res:reply(500, {}, "no") end }
  return slow, refusing
end

stoke.main(function(args)
  if args[1] == "child" then return work(args[2], args[3]) end
  local endpoint, model, seconds = args[1], args[2], tonumber(args[3] or 300)
  local slow, refusing = collectors()
  local _ <close> = setmetatable({}, { __close = function()
    slow:close()
    refusing:close()
  end })
  local off = child("none", endpoint, model)
  local list = { off, child("off again", endpoint, model), child("down", endpoint, model, "http://127.0.0.1:9"),
    child("slow", endpoint, model, slow.url), child("refusing", endpoint, model, refusing.url) }
  local began, rounds = stoke.time.monotonic(), 0
  while stoke.time.monotonic() - began < seconds do
    rounds = rounds + 1
    local order = rand.shuffle(table.move(list, 1, #list, 1, {}))
    for _, one in ipairs(order) do
      one.process:write "\n"
      local took, cpu = one.lines():match "(%S+)%s+(%S+)"
      one.seconds[rounds], one.cpu[rounds] = tonumber(took), tonumber(cpu)
    end
  end
  print(("a run without spans: %.3f s (median of %d)"):format(median(off.seconds), rounds))
  for i = 2, #list do
    local ratios = {}
    for round = 1, rounds do ratios[round] = list[i].seconds[round] / off.seconds[round] end
    local low, high = interval(ratios)
    print(("%-10s %.4f of it (95 %%: %.4f to %.4f), processor %+.2f ms of %.2f"):format(list[i].name, median(ratios), low, high,
      (median(list[i].cpu) - median(off.cpu)) * 1e3, median(off.cpu) * 1e3))
  end
  for _, one in ipairs(list) do one.process:close() end
end)
