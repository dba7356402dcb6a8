-- Figures for Prometheus: what they count, beside the ledger of the server that was asked; their text; who may read them.

local test = require "stoke.test"
local binary = require "binary"
local cached = require "cached"
local files = require "core.cache.file"
local http = require "stoke.http"
local metrics = require "stoke.metrics"
local pool = require "core.gate.pool"
local series = require "stoke.metrics.series"
local sim = require "stoke.sim"
local span = require "core.gate.span"
local stoke = require "stoke"

-- ---- helpers --------------------------------------------------------------------------------------------------------------------

--- The lines of a text that are numbers: value by name and labels; raises where a line is neither that nor a comment.
local function read(text)
  local out = {}
  for line in text:gmatch "[^\n]+" do
    if line:sub(1, 1) ~= "#" then
      local name, value = line:match "^([%a_:][%w_:]*{?.-}?) ([^ ]+)$"
      assert(name and tonumber(value) or value == "+Inf" or value == "NaN", line)
      assert(out[name] == nil, "twice: " .. name)
      out[name] = tonumber(value)
    end
  end
  return out
end

--- The sum of a name over all labels that match.
local function sum(found, name, pattern)
  local total = 0
  for key, value in pairs(found) do
    if key:match "^[^{]*" == name and (not pattern or key:find(pattern)) then total = total + value end
  end
  return total
end

--- Counts while f runs; what is told afterwards.
local function counting(f)
  metrics.start()
  local _ <close> = setmetatable({}, { __close = metrics.stop })
  f()
  return read(metrics.text())
end

local function weather()
  return stoke.tool { name = "get_weather", description = "Weather", params = { city = "string" },
    run = function(a) return "sunny in " .. a.city end }
end

-- ---- what is counted ------------------------------------------------------------------------------------------------------------

test("tokens and calls are those of the server's own ledger", function(t)
  local server <close> = sim.serve { mem = "counted", slots = 4, models = { "m,load=0" }, script = function(request)
    local last = request.messages[#request.messages]
    return last.role == "user" and { tool = "get_weather", args = { city = "Oslo" } } or "It is sunny in " .. last.content
  end }
  local bot = stoke.agent { name = "umbrella", model = "m", endpoint = server.url, tools = { weather() } }
  local found = counting(function()
    local jobs = {}
    for i = 1, 12 do jobs[i] = function() bot:run(("weather "):rep(i)) end end
    stoke.all(jobs)
    for _ in bot:stream "weather?" do end
  end)
  local m = select(2, next(server.sim.ledger.models))
  t.eq({ sum(found, "gen_ai_client_inference_usage_input_tokens_total"),
    sum(found, "gen_ai_client_inference_usage_output_tokens_total"), sum(found, "gen_ai_client_inference_duration_seconds_count") },
    { m.prompt_tokens, m.tokens, 26 })
  t.eq({ sum(found, "gen_ai_client_inference_operation_input_tokens_sum"), sum(found, "gen_ai_client_token_usage_sum", '"input"'),
    sum(found, "gen_ai_client_token_usage_sum", '"output"') }, { m.prompt_tokens, m.prompt_tokens, m.tokens })
  t.eq({ found['gen_ai_invoke_agent_duration_seconds_count{gen_ai_operation_name="invoke_agent",gen_ai_agent_name="umbrella"}'],
    found['gen_ai_execute_tool_duration_seconds_count{gen_ai_operation_name="execute_tool",gen_ai_tool_name="get_weather"}'] },
    { 13, 13 })
end)

test("an answer of the cache is a hit that saved its tokens, and no call", function(t)
  local server <close> = cached()
  files.path = t.tmp() .. "/cache.db"
  files.forget()
  local found = counting(function()
    for _ = 1, 3 do server:chat "weather?" end
  end)
  stoke.sleep(10) -- it is written
  files.forget()
  t.eq({ sum(found, "gen_ai_client_inference_duration_seconds_count"), found['stoke_cache_hits_total{tier="exact"}'],
    found.stoke_cache_misses_total }, { 1, 2, 1 })
  t.eq({ found.stoke_cache_saved_input_tokens_total, found.stoke_cache_saved_output_tokens_total },
    { 2 * sum(found, "gen_ai_client_inference_usage_input_tokens_total"),
      2 * sum(found, "gen_ai_client_inference_usage_output_tokens_total") })
end)

test("a call that fails is counted by the kind of its error, and its further attempts as retries", function(t)
  local asked = 0
  local server <close> = http.serve { mem = "fails", handler = function(_, res)
    asked = asked + 1
    return res:reply(503, nil, '{"error":"busy"}')
  end }
  local found = counting(function() stoke.try(stoke.chat, { model = "m", prompt = "x", endpoint = server.url }) end)
  t.ok(asked > 1, asked)
  t.eq({ sum(found, "gen_ai_client_inference_duration_seconds_count", 'error_type="overloaded"'),
    found['stoke_retries_total{effect="llm.chat",model="m"}'],
    found['stoke_effects_total{effect="llm.chat",error_type="overloaded"}'] }, { 1, asked - 1, 1 })
end)

test("slots, queues by class, and breakers are those of the pool", function(t)
  local server <close> = sim.serve { mem = "slots", slots = 1, models = { "m,load=0" }, script = function() return "one two" end }
  pool.set_default(1)
  local _ <close> = setmetatable({}, { __close = function() pool.set_default(nil) end })
  local found
  local scope <close> = stoke.scope()
  for i = 1, 5 do
    scope:spawn(function()
      stoke.chat { model = "m", prompt = "x" .. i, endpoint = server.url, class = i > 3 and "batch" or nil }
    end)
  end
  stoke.sleep(0.001)
  found = read(metrics.text())
  metrics.stop()
  local labels = ('endpoint="%s",model="m"'):format(server.url)
  t.eq({ found[("stoke_pool_slots{%s}"):format(labels)], found[("stoke_pool_slots_used{%s}"):format(labels)],
    found[('stoke_pool_calls_waiting{%s,class="normal"}'):format(labels)],
    found[('stoke_pool_calls_waiting{%s,class="batch"}'):format(labels)],
    found[('stoke_pool_breaker{%s,state="closed"}'):format(labels)] }, { 1, 1, 2, 2, 1 })
end)

test("nothing is counted, and nobody traces, until somebody asks", function(t)
  t.model { "one", "two" }
  local before = #span.sinks
  stoke.chat { model = "m", prompt = "x" }
  t.eq(#span.sinks, before)
  local found = read(metrics.text())
  t.eq(sum(found, "gen_ai_client_inference_duration_seconds_count"), 0)
  stoke.chat { model = "m", prompt = "x" }
  t.eq(sum(read(metrics.text()), "gen_ai_client_inference_duration_seconds_count"), 1)
  metrics.stop()
  t.eq(#span.sinks, before)
end)

test("letters that nobody took, tasks, memory and the version are told", function(t)
  local found = read(metrics.text())
  metrics.stop()
  t.ok(found.stoke_heap_bytes > 100000 and found.stoke_tasks >= 1 and found.stoke_loop_lag_seconds >= 0)
  t.eq(found[('stoke_info{version="%s"}'):format(stoke.version)], 1)
  local box = stoke.mailbox "nobody"
  local before = require "core.mailbox".dead.count
  box:send("a letter")
  box:close()
  found = read(metrics.text())
  metrics.stop()
  t.eq(found.stoke_mailbox_dead_letters_total, before + 1)
end)

test("durable runs are counted by their states", { real = true }, function(t)
  local here <close> = binary.place { ["a.lua"] = [[
local stoke = require "stoke"
local flow = stoke.workflow("greet", function(input) if input.wait then stoke.signal "go" end return "hi" end)
stoke.main(function()
  flow:start({}):await()
  local waits = flow:start { wait = true }
  while waits:status().state ~= "waiting" do stoke.sleep(0.01) end
  print(stoke.metrics.text())
  waits:cancel()
end)
]] }
  local ran = here.run "a.lua"
  t.eq(ran.code, 0, ran.stderr)
  local found = read(ran.stdout)
  t.eq({ found['stoke_runs{state="done"}'], found['stoke_runs{state="waiting"}'], found['stoke_runs{state="failed"}'],
    found.stoke_runs_live }, { 1, 1, 0, 1 })
end)

-- ---- text ---------------------------------------------------------------------------------------------------------------------

test("a histogram's buckets add up, up to and with their limits", function(t)
  local set = series.new()
  local group = set:group { "who" }
  local took = group:histogram("took_seconds", "What it took.", { 0.5, 1 })
  for _, value in ipairs { 0.5, 0.75, 1, 7 } do took:observe(group:row "a", value) end
  t.eq(set:text(), [[
# HELP took_seconds What it took.
# TYPE took_seconds histogram
took_seconds_bucket{who="a",le="0.5"} 1
took_seconds_bucket{who="a",le="1"} 3
took_seconds_bucket{who="a",le="+Inf"} 4
took_seconds_sum{who="a"} 9.25
took_seconds_count{who="a"} 4
]])
end)

test("labels are escaped and cut, an empty one is left out, and bytes that are no UTF-8 are mended", function(t)
  local set = series.new()
  local group = set:group { "a", "b" }
  local n = group:counter("n_total", "N.")
  n:add(group:row('say "\\\n"', nil), 1)
  n:add(group:row("", "\xff"), 2)
  n:add(group:row(("x"):rep(1000), 1), 3)
  t.eq(set:text(), '# HELP n_total N.\n# TYPE n_total counter\nn_total{a="say \\"\\\\\\n\\""} 1\nn_total{b="\u{fffd}"} 2\n' ..
    ('n_total{a="%s...",b="1"} 3\n'):format(("x"):rep(series.BYTES)))
end)

test("an agent for each user does not make the text grow without end: what comes late is counted as other", function(t)
  local set = series.new()
  local group = set:group { "agent", "error" }
  local n = group:counter("n_total", "N.")
  for i = 1, 5000 do n:add(group:row("agent " .. i, "count"), 1) end
  for i = 1, 5000 do n:add(group:row("agent " .. i % 7, "e" .. i), 1) end
  local rows, total = 0, 0
  for _, row in ipairs(group.rows) do rows, total = rows + 1, total + row[n] end
  t.ok(rows <= series.ROWS + 1, rows)
  t.eq({ total, group:row("agent 4999", "count") == group:row(series.OTHER, "count") }, { 10000, true })
end)

-- ---- a script's own -----------------------------------------------------------------------------------------------------------

test("a script counts its own, and a file that is loaded anew goes on with the same", function(t)
  local orders = metrics.counter("orders_total", "Orders that were taken.", { "shop" })
  orders:add(1, "north")
  metrics.counter("orders_total", "Orders that were taken.", { "shop" }):add(2, "north")
  metrics.gauge("shelves", "Shelves that are free."):set(12)
  metrics.gauge("shelves", "Shelves that are free."):add(-2)
  metrics.histogram("pick_seconds", "What picking took.", { 1, 10 }):observe(7.5)
  local found = read(metrics.text())
  metrics.stop()
  t.eq({ found['orders_total{shop="north"}'], found.shelves, found['pick_seconds_bucket{le="10"}'] }, { 3, 10, 1 })
end)

test("what is no metric is refused with words", function(t)
  local wrong = {
    { metrics.counter, "orders", "ends in _total" }, { metrics.gauge, "a_total", "only the name of a counter" },
    { metrics.gauge, "stoke_x", "this process's own" }, { metrics.gauge, "no-name", "letters, digits and _" },
    { function() metrics.gauge("g1", "G.", { "le" }) end, nil, "and not le" },
    { function() metrics.histogram("h1", "H.", { 2, 1 }) end, nil, "above the one before" },
    { function() metrics.counter("c1_total", "C."):add(-1) end, nil, "0 or more" },
    { function() metrics.counter("c1_total", "C."):set(1) end, nil, "a counter has no set" },
    { function() metrics.counter("c1_total", "C."):add(1, "x") end, nil, "0 labels" },
    { function() metrics.counter("c1_total", "C.", { "x" }) end, nil, "there already" },
  }
  for _, one in ipairs(wrong) do
    local _, err = stoke.try(one[1], one[2], "What it is.")
    t.eq(err.kind, "argument")
    t.contains(err.message, one[3])
  end
end)

-- ---- over HTTP ------------------------------------------------------------------------------------------------------------------

test("they are served as text of version 0.0.4, and nothing else is", function(t)
  local server <close> = metrics.serve { mem = "figures" }
  local r = http.get(server.url .. "/metrics")
  t.eq(r.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
  t.ok(read(r.body).stoke_heap_bytes > 0)
  t.eq({ http.get(server.url .. "/", { raise = false }).status, http.post(server.url .. "/metrics", { raise = false }).status,
    http.get(server.url .. "/metrics", { raise = false, headers = { Origin = "http://evil.example" } }).status }, { 404, 405, 403 })
  metrics.stop()
end)

test("an address that others reach wants the token, unless it is public", { real = true }, function(t)
  local TOKEN <const> = "a-long-enough-token"
  local private <close> = metrics.serve { port = 0, address = "0.0.0.0", token = TOKEN }
  local url = ("http://127.0.0.1:%d/metrics"):format(private.port)
  local refused = http.get(url, { raise = false })
  t.eq({ refused.status, refused.headers["www-authenticate"] }, { 401, "Bearer" })
  t.eq(http.get(url, { headers = { Authorization = "Bearer " .. TOKEN } }).status, 200)
  local public <close> = metrics.serve { port = 0, address = "0.0.0.0", public = true }
  t.eq(http.get(("http://127.0.0.1:%d/metrics"):format(public.port)).status, 200)
  metrics.stop()
end)

test("--metrics on an address that others reach: a link that works here, the token, and that nothing is encrypted", { real = true },
  function(t)
    local here <close> = binary.place { ["a.lua"] = "" }
    local said = here.run("--metrics", "0.0.0.0:0", "a.lua").stderr
    t.match(said, "^stoke: metrics at http://127%.0%.0%.1:%d+/metrics\nstoke: who reads them sends the token in .*metrics%.key as "
      .. "its Bearer, from other machines to this one's own address; what goes to and fro is not encrypted\n$")
  end)

test("a server of agents and a page answer with the same figures", function(t)
  local bot = stoke.agent { name = "poet", model = "m" }
  local server <close> = stoke.serve { agents = bot, mem = "figures-served" }
  local page <close> = stoke.page { mem = "figures-page" }
  local served = read(http.get(server.url .. "/metrics").body)
  t.eq({ served.stoke_served_turns, served.stoke_served_turns_limit }, { 0, 1024 })
  t.ok(read(http.get(page.url .. "metrics").body).stoke_heap_bytes > 0)
  metrics.stop()
end)

test("a server of agents that wants a token wants it for the figures, too", function(t)
  local TOKEN <const> = "a-long-enough-token"
  local server <close> = stoke.serve { agents = stoke.agent { name = "poet", model = "m" }, mem = "figures-guarded", token = TOKEN }
  t.eq(http.get(server.url .. "/metrics", { raise = false }).status, 401)
  t.eq(http.get(server.url .. "/metrics", { headers = { Authorization = "Bearer " .. TOKEN } }).status, 200)
  metrics.stop()
end)

-- What Prometheus would refuse, a whole answer for one of it, is refused where it is made.
local REFUSED <const> = {
  { "is there twice: shop", function() metrics.counter("twice_total", "h", { "shop", "shop" }) end },
  { "begin with __", function() metrics.gauge("reserved", "h", { "__name__" }) end },
  { "is a part of the histogram parted", function()
    metrics.histogram("parted", "h", { 1 })
    metrics.gauge("parted_count", "h")
  end },
  { "would be a part of the histogram later", function()
    metrics.gauge("later_sum", "h")
    metrics.histogram("later", "h", { 1 })
  end },
  { "+Inf is always there", function() metrics.histogram("endless", "h", { 1, math.huge }) end },
  { "a number, 0 or more, expected", function() metrics.counter("infinite_total", "h"):add(math.huge) end },
}
for _, case in ipairs(REFUSED) do
  test("a script's own figures: refused with the words: " .. case[1], function(t)
    local err = select(2, stoke.try(case[2]))
    t.eq(err.kind, "argument")
    t.contains(err.message, case[1])
  end)
end

test("what shares the row of other is summed, of counters and of gauges that are added to", function(t)
  local most = series.VALUES
  local _ <close> = setmetatable({}, { __close = function() series.VALUES = most end })
  series.VALUES = 1
  local set = series.new()
  local group = set:group { "who" }
  local seen, held = group:counter("seen_total", "Seen."), group:gauge("held", "Held.")
  for i, who in ipairs { "a", "b", "c" } do
    seen:add(group:row(who), i)
    held:add(group:row(who), i)
  end
  local found = read(set:text())
  t.eq({ found['seen_total{who="a"}'], found['seen_total{who="other"}'], found['held{who="other"}'] }, { 1, 5, 5 })
end)
