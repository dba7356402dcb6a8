-- The figures, each beside its yardstick in the same run: sides take turns, the median counts. Run by run.sh.
-- CPU and memory of both sides are taken from outside (measure.c) as the difference of a long run and a short one, so
-- that start-up falls out.
local bench, stoke, url = os.getenv "BENCH", os.getenv "STOKE_BIN", os.getenv "OLLAMA_HOST"
local files = tonumber(os.getenv "FILES") or 1024
local ROUNDS = 5

-- What a command printed as key=value, numbers.
local function values(command)
  local p = assert(io.popen(command))
  local text = p:read "a"
  if not p:close() then error("this failed: " .. command, 0) end
  local found = {}
  for k, v in text:gmatch "([%w_]+)=([%d.]+)" do found[k] = tonumber(v) end
  return found
end

local function measure(command, stop)
  return values(("%s/measure %s%s"):format(bench, stop and "--stop " or "", command))
end

local function lua(script, ...) return table.concat({ stoke, "tests/bench/" .. script, ... }, " ") end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- Runs both functions in turns; returns their medians.
local function turns(rounds, a, b)
  local as, bs = {}, {}
  for i = 1, rounds do as[i], bs[i] = a(), b() end
  return median(as), median(bs)
end

local function row(what, unit, ours, theirs, limit)
  local ratio = ours / theirs
  print(("%-46s %10.1f %10.1f %-6s %5.2fx  (at most %.2fx)%s"):format(
    what, ours, theirs, unit, ratio, limit, ratio > limit and "  MISSED" or ""))
end

--- Without a limit: what explains another row.
local function beside(what, unit, ours, theirs)
  print(("%-46s %10.1f %10.1f %-6s %5.2fx"):format(what, ours, theirs, unit, ours / theirs))
end

local function figure(what, unit, ours, limit, above)
  local missed = ours > limit
  if above then missed = ours < limit end
  print(("%-46s %10.1f %10s %-6s %6s  (%s %g)%s"):format(
    what, ours, "", unit, "", above and "over" or "under", limit, missed and "  MISSED" or ""))
end

-- CPU milliseconds of `script` doing `n` times its work, above what `few` times cost.
local function work(script, few, n)
  return measure(lua(script, n)).cpu_ms - measure(lua(script, few)).cpu_ms
end

local function calls()
  local n = 20000
  local ours, theirs = turns(ROUNDS,
    function() return work("call.lua", 64, n) / (n - 64) * 1e3 end,
    function() return values(("%s/client call %s %d"):format(bench, url, n)).call_us end)
  row("call, not streamed, 64 at once: CPU per call", "us", ours, theirs, 1.5)
end

local function streams()
  local n, lines = 2000, 257
  local function line(...)
    local many, few = lua("stream.lua", n, ...), lua("stream.lua", 64, ...)
    return (measure(many).cpu_ms - measure(few).cpu_ms) / ((n - 64) * lines) * 1e6
  end
  local function bare() return values(("%s/client stream %s %d"):format(bench, url, n)).line_ns end
  local ours, theirs = turns(ROUNDS, line, bare)
  row("streamed token, 64 at once: CPU per line", "ns", ours, theirs, 2)
  local apart, theirs_again = turns(ROUNDS, function() return line "apart" end, bare)
  row("the same, an event a line", "ns", apart, theirs_again, 3)
  -- a line in bare C, and an event made in C and read in Lua: the floor under it
  local event = values(bench .. "/stream_event 2000000").event_ns
  row("the same beside bare lines and bare events", "ns", apart, theirs_again + event, 2)
end

local function parked()
  local n = 100000
  local idle = measure(lua("park.lua", 0), true).rss_kb
  local full = measure(lua("park.lua", n), true).rss_kb
  figure("a parked task", "B", (full - idle) * 1024 / n, 2500)
  figure("100,000 parked tasks", "MB", full / 1024, 250)
  figure("idle memory", "MB", idle / 1024, 16)
end

local function held()
  local n = math.min(10000, files - 100)
  local one, all = measure(lua("hold.lua", 1), true), measure(lua("hold.lua", n), true)
  local bytes = (all.rss_kb - one.rss_kb) * 1024 / (n - 1)
  local theirs = values(("%s/client hold %s %d"):format(bench, url, n)).stream_bytes
  row(("%d streams in flight: memory per stream"):format(n), "B", bytes, theirs, 1.3)
  -- libcurl's easy handle and connection are the floor under it, with buffers as small as ours and shards as many
  local floor = values(("%s/hold %s %d 1024"):format(bench, url, n))
  row("the same beside bare transfers, small buffers", "B", bytes, floor.stream_bytes, 1.5)
  local opened, bare = turns(ROUNDS,
    function() return (measure(lua("hold.lua", n), true).cpu_ms - one.cpu_ms) / (n - 1) * 1e3 end,
    function() return values(("%s/hold %s %d 1024"):format(bench, url, n)).open_us end)
  row(("%d streams opened: CPU per stream"):format(n), "us", opened, bare, 1.75)
end

--- Commands that make n tool loops: by agents, by hand, over the bindings alone, and the two calls of one in bare C.
local function tool_loops()
  local requests = {}
  local p = assert(io.popen(lua("loop.lua", 1, "requests")))
  for line in p:lines() do requests[#requests + 1] = "'" .. line .. "'" end
  assert(p:close() and #requests == 2, "the two requests")
  local asked = table.concat(requests, " ")
  local function client(way) return function(n) return ("%s/client %s %s %d 1 %s"):format(bench, way, url, 2 * n, asked) end end
  return {
    agent = function(n) return lua("loop.lua", n) end,
    hand = function(n) return lua("loop.lua", n, "bare") end,
    floor = function(n) return ("env RUNS=%d %s test --internal --file tests/bench/floor.lua"):format(n, stoke) end,
    fresh = client "fresh", bare = client "call",
  }
end

local function loops()
  local n, ways = 4000, tool_loops()
  local function cost(way)
    return function() return (measure(ways[way](n)).cpu_ms - measure(ways[way](64)).cpu_ms) / (n - 64) * 1e3 end
  end
  local agent, bare = turns(ROUNDS, cost "agent", function() return 2 * values(ways.bare(n)).call_us end)
  row("call, tool, call: CPU, beside two calls", "us", agent, bare, 1.5)
  local again, hand = turns(ROUNDS, cost "agent", cost "hand")
  row("the same beside two calls by hand in Lua", "us", again, hand, 1.25)
  figure("the agent alone, a step (above calls by hand)", "us", (again - hand) / 2, 60)
  local floor, new = turns(ROUNDS, cost "floor", function() return 2 * values(ways.fresh(n)).call_us end)
  beside("bindings of libcurl and JSON alone, beside C", "us", floor, bare)
  beside("C with a handle for each request, beside C", "us", new, bare)
end

--- Instructions of a tool loop, in thousands: a busy machine changes nothing about them.
local function instructions()
  if not os.execute "command -v valgrind >/dev/null" then
    return print "instructions of a tool loop: not counted, as there is no valgrind"
  end
  local valgrind = "valgrind --trace-children=yes --tool=callgrind --callgrind-out-file=/dev/null "
  local few, n, found = 100, 600, {}
  local function counted(command)
    local p = assert(io.popen(valgrind .. command .. " 2>&1"))
    return tonumber(p:read("a"):match "Collected : (%d+)") or error("this failed: " .. command, 0)
  end
  for way, command in pairs(tool_loops()) do
    found[way] = (counted(command(n)) - counted(command(few))) / (n - few) / 1e3
  end
  row("call, tool, call: instructions", "k", found.agent, found.bare, 1.5)
  row("the same beside two calls by hand in Lua", "k", found.agent, found.hand, 1.25)
  beside("two calls by hand in Lua, beside C", "k", found.hand, found.bare)
  beside("bindings of libcurl and JSON alone, beside C", "k", found.floor, found.bare)
  beside("C with a handle for each request, beside C", "k", found.fresh, found.bare)
  local ticks = counted(lua("world.lua", 11000)) - counted(lua("world.lua", 1000))
  figure("a tick of an idle member of a world: instructions", "", ticks / 1e5, 1000)
end

--- A tool loop whose spans are sent: four spans. What a collector that is down costs, and one that refuses, beside one that takes
--- them; and what spans cost at all.
local function exports()
  if not os.execute "command -v valgrind >/dev/null" then
    return print "spans that are sent: not counted, as there is no valgrind"
  end
  local valgrind = "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
  local collector = assert(io.popen("sh -c 'echo $$; exec " .. stoke .. " tests/bench/collector.lua'"))
  local pid, address = collector:read "l", collector:read "l"
  local few, n = 100, 1100
  local function counted(env, runs)
    local p = assert(io.popen(("env %s %s%s 2>&1"):format(env, valgrind, lua("loop.lua", runs))))
    return tonumber(p:read("a"):match "Collected : (%d+)") or error("this failed: loop.lua with " .. env, 0)
  end
  local function cost(at)
    local env = at and "OTEL_EXPORTER_OTLP_ENDPOINT=" .. at or "STOKE_NOTHING=1"
    return (counted(env, n) - counted(env, few)) / (n - few) / 1e3
  end
  local off, up, down, refusing = cost(nil), cost(address), cost "http://127.0.0.1:9", cost(url)
  os.execute("kill " .. pid)
  collector:close()
  row("spans, a collector that is down: instructions", "k", down, up, 1.01)
  row("spans, one that refuses them: instructions", "k", refusing, up, 1.01)
  beside("spans that are sent, beside none", "k", up, off)
end

local function conversations()
  local n = 10000
  local own = "env -u STOKE_CONFIG " -- the usual pool: two talk to the model, the others wait for their turn
  local one, all = measure(own .. lua("agents.lua", 1), true).rss_kb, measure(own .. lua("agents.lua", n), true).rss_kb
  figure("10,000 agents in conversation, an agent", "B", (all - one) * 1024 / (n - 1), 8192)
end

local function serving()
  local load = bench .. "/load 20000 64 "
  local ours, theirs = turns(ROUNDS,
    function() return values(load .. lua "serve.lua").request_us end,
    function() return values(load .. bench .. "/mhd").request_us end)
  row("request served, 64 at once: CPU per request", "us", ours, theirs, 2.5)
end

-- Agents as models. What serving costs is what is left without the same turns of the agent, the client and the simulator.
local function agents_served()
  local tokens, pace = 256, 0.01
  local chat = bench .. "/streams chat 64 64 "
  local function turns_alone(n) return measure(lua("served.lua", tokens, pace, n)).cpu_ms end
  local front, alone, bare = {}, {}, {}
  for i = 1, ROUNDS do
    front[i] = values(chat .. lua("served.lua", tokens, pace)).line_ns
    alone[i] = (turns_alone(192) - turns_alone(64)) / (128 * (tokens + 1)) * 1e6
    bare[i] = values(chat .. bench .. "/mhd " .. pace).line_ns
  end
  local all, yardstick = median(front), median(bare)
  row("served token, 64 at once: CPU of serving", "ns", all - median(alone), yardstick, 2)
  beside("the same with the agent and the simulator", "ns", all, yardstick)
  local n = math.min(5000, files // 3)
  figure(("%d served streams at once: memory, a stream"):format(n), "B",
    values(("%s/streams hold %d %s"):format(bench, n, lua("served.lua", 2, 0, "held"))).stream_bytes, 40 * 1024)
  local one = bench .. "/streams chat 200 1 "
  local first, without = turns(ROUNDS,
    function() return values(one .. lua("served.lua", 4, 0)).first_us end,
    function() return values(one .. lua("served.lua", 4, 0, "sim")).first_us end)
  figure("first token served, later than from the model", "us", first - without, 1000)
end

-- Rates hang on the disk's fdatasync, which is printed; ratios are to one thread of bare SQLite, the same rows, 64 a commit.
local function databases()
  local folder = bench .. "/databases"
  local function fresh(command) return values(("rm -rf %s && mkdir %s && %s"):format(folder, folder, command)) end
  local ours, theirs = {}, {}
  for i = 1, ROUNDS do
    theirs[i] = fresh(("%s/store %s 0.5"):format(bench, folder))
    ours[i] = fresh(("FOLDER=%s SECONDS=0.5 %s test --internal --file tests/bench/store.lua"):format(folder, stoke))
  end
  os.execute("rm -rf " .. folder)
  local function of(list, key)
    local found = {}
    for i, one in ipairs(list) do found[i] = one[key] end
    return median(found)
  end
  figure("this disk, a page and fdatasync", "a s", of(theirs, "fsyncs_s"), 0, true)
  row("durable append, 64 tasks: a row", "us", 1e6 / of(ours, "durable_s"), 1e6 / of(theirs, "durable_s"), 1.43)
  row("durable write, 64 tasks: a row", "us", 1e6 / of(ours, "writes_s"), 1e6 / of(theirs, "durable_s"), 1.43)
  row("durable write, one task", "us", 1e6 / of(ours, "one_s"), 1e6 / of(theirs, "one_s"), 1.5)
  local least = math.min(50000, 0.7 * of(theirs, "durable_s") // 1)
  figure("writes of 64 tasks", "a s", of(ours, "writes_s"), least, true)
  figure("appends of 64 tasks, not durable", "a s", of(ours, "appends_s"), 100000, true)
  figure("a row read by its key, there and back", "us", of(ours, "read_us"), 60)
end

-- The three streams of an item are nine rows.
local function queue()
  local folder = bench .. "/queue"
  local function fresh(command) return values(("rm -rf %s && mkdir %s && %s"):format(folder, folder, command)).items_s end
  local ours, theirs = turns(ROUNDS, function() return fresh(lua("queue.lua", folder)) end,
    function() return fresh(("%s/store %s 0.5 queue"):format(bench, folder)) end)
  os.execute("rm -rf " .. folder)
  figure("a local queue: items through three stages", "a s", ours, 50000, true)
  beside("the same rows in bare SQLite: an item", "us", 1e6 / ours, 1e6 / theirs)
end

local function durable()
  dofile "tests/bench/durable_figures.lua" { values = values, measure = measure, median = median, figure = figure,
    beside = beside, bench = bench, stoke = stoke, rounds = ROUNDS }
end

local function start()
  local ours, theirs = turns(21,
    function() return measure(lua "startup.lua").first_ms end,
    function() return measure(bench .. "/startup").first_ms end)
  row("start to the first line", "ms", ours, theirs, 4)
  local answer, bare = turns(21,
    function() return measure(lua("call.lua", 1)).first_ms end,
    function() return measure(("%s/client call %s 1"):format(bench, url)).first_ms end)
  row("start to the first answer", "ms", answer, bare, 1.5)
  local p = io.popen(("strip -o %s/stripped %s && wc -c <%s/stripped"):format(bench, stoke, bench))
  figure("binary, stripped", "KB", tonumber(p:read "a") / 1024, 2048)
  p:close()
end

-- CPU time of one thread, which hangs on the machine's memory: reading the codes once is beside it.
local function vectors()
  for _, size in ipairs { { 10000, 768, 0.6 }, { 100000, 768, 7 } } do
    local found = values(("%s/vectors %d %d"):format(bench, size[1], size[2]))
    local what = ("%d vectors of %d searched"):format(size[1], size[2])
    beside(what .. ", beside reading the codes", "ms", found.search_ms, found.read_ms)
    beside(what .. ", beside comparing f32", "ms", found.search_ms, found.brute_ms)
    figure(what, "ms", found.search_ms, size[3])
    figure("  found of the ten best", "", found.recall, 1, true)
    figure("  memory, a vector", "B", found.bytes, 4100)
  end
end

local function engines()
  local rates = {}
  for i = 1, ROUNDS do rates[i] = values(bench .. "/lines").lines_mb_s end
  figure("lines framed", "MB/s", median(rates), 500, true)
  io.stdout:flush()
  os.execute(lua "json.lua")
  os.execute(lua "embed.lua")
  os.execute "rm -rf tests/bench/.stoke" -- the vectors that it kept
  os.execute(lua "schema.lua")
  os.execute(lua "mail.lua")
  os.execute(lua("world.lua", bench .. "/bench.world"))
  os.execute(lua "page.lua")
  os.execute(lua "town.lua")
  os.execute(("mkdir %s/notes && "):format(bench) .. lua("notes.lua", bench .. "/notes") .. ("; rm -rf %s/notes"):format(bench))
  os.execute(("BENCH=%s %s test --internal --file tests/bench/postgres.lua | grep -v '^{'"):format(bench, stoke))
  os.execute(("BENCH=%s %s test --internal --file tests/bench/nats.lua | grep -v '^{'"):format(bench, stoke))
  os.execute(stoke .. " test --internal --file tests/bench/request.lua | grep -v '^{'")
  os.execute(stoke .. " test --internal --file tests/bench/pool.lua | grep -v '^{'")
  os.execute(stoke .. " test --internal --file tests/bench/cache.lua | grep -v '^{'")
  os.execute("FILL=200000 " .. stoke .. " test --internal --file tests/bench/cache.lua | grep -v '^{'")
  os.execute(stoke .. " test --internal --file tests/bench/cache_policies.lua | grep -v '^{'")
  local pipe = io.popen(("%s tests/bench/mcp.lua 2000 %s mcp tests/bench/mcp_server.lua"):format(stoke, stoke))
  local took = tonumber(pipe:read "a")
  pipe:close()
  print(("%-46s %10.1f %10s %-6s (under 150)%s"):format("an MCP tool call over stdio, CPU of ours", took or 0 / 0, "", "us",
    took and took <= 150 and "" or "  MISSED"))
  os.execute(("STOKE_BIN=$(realpath %s) "):format(stoke) .. lua "testcmd.lua")
  os.execute(lua "reload.lua")
  os.execute(("BENCH=%s STOKE_BIN=%s "):format(bench, stoke) .. lua "keystroke.lua")
end

print(("%-46s %10s %10s"):format("", "stoke", "bare C"))
local failed = false
local parts = { calls, streams, loops, instructions, exports, held, serving, agents_served, databases, queue, durable,
  conversations, parked, start, vectors, engines }
for _, part in ipairs(parts) do
  local ok, err = pcall(part)
  if not ok then
    failed = true
    print("failed: " .. tostring(err))
  end
  io.stdout:flush()
end
os.exit(not failed)
