-- stoke doctor: each usual mistake is told with what it is, why it matters and what to set. Servers are scripted peers on a port,
-- or the simulator; the doctor is the binary, from outside.

local test = require "stoke.test"
local about = require "core.about"
local checks = require "stoke.cmd.doctor.checks"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local look = require "stoke.cmd.doctor.look"
local probe = require "stoke.cmd.doctor.probe"
local proc = require "stoke.proc"
local stored = require "stored"
local sim = require "stoke.sim"
local stoke = require "stoke"

local binary = require "binary"

local function place(files)
  local self = binary.place(files)
  local run = self.run
  self.verb = run
  function self.run(...) return run("doctor", ...) end
  function self.report(...)
    local r = self.run("--json", ...)
    return json.decode(r.stdout), r
  end
  return self
end

-- A server that speaks as much of Ollama's API as the doctor asks for. Replies by path; a function makes one.
local function peer(replies)
  replies["/api/version"] = replies["/api/version"] or { version = "0.17.4" }
  replies["/api/tags"] = replies["/api/tags"] or { models = { { name = "m:1b", size = 1e9, capabilities = { "completion",
    "tools" } } } }
  replies["/api/ps"] = replies["/api/ps"] or { models = json.array {} }
  local server = http.serve { port = 0, handler = function(req, res)
    local reply = replies[req.path]
    if type(reply) == "function" then return reply(req, res) end
    if reply == nil then return res:reply(404, nil, "404 page not found") end
    return reply
  end }
  return server
end

local function find(report, check)
  for _, p in ipairs(report.problems) do
    if p.check == check then return p end
  end
end

-- The problem is there, whole, and says all of these.
local function has(t, report, check, ...)
  local p = find(report, check)
  t.ok(p, check .. " was not found in " .. json.encode(report.problems))
  for _, field in ipairs { "what", "why", "set" } do t.ok(type(p[field]) == "string" and p[field] ~= "", check .. "." .. field) end
  local text = p.what .. " " .. p.set .. " " .. p.why
  for _, wanted in ipairs { ... } do t.ok(text:find(wanted, 1, true), ("%s: %s"):format(wanted, text)) end
  return p
end

local function doctor(t, replies, files, more)
  local server <close> = peer(replies)
  local here <close> = place(files)
  local report, r = here.report("--endpoint", server.url, table.unpack(more or {}))
  return report, r, t
end

-- ---- a server that is well --------------------------------------------------------------------------------------------------

test("doctor: nothing is wrong with a good server: no error, no warning, exit code 0", { real = true }, function(t)
  local in_an_hour = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 3600)
  local report, r = doctor(t, { ["/api/ps"] = { models = { { name = "m:1b", size = 1e9, size_vram = 1e9, context_length = 16384,
    expires_at = in_an_hour } } } })
  t.eq(r.code, 0)
  for _, p in ipairs(report.problems) do t.eq(p.level, "note", p.what) end
end)

-- ---- the eight usual mistakes -----------------------------------------------------------------------------------------------

test("doctor: the engine of the settings is shown without its password", { real = true }, function(t)
  local here <close> = place { ["stoke.config.lua"] = 'return { engine = "postgres://ada:hush@127.0.0.1:1/jobs" }' }
  for _, way in ipairs { {}, { "--json" } } do
    local r = here.run(table.unpack(way))
    t.contains(r.stdout, "@127.0.0.1:1/jobs")
    t.eq((r.stdout .. r.stderr):find "hush", nil)
  end
end)

test("doctor: a model that is partly on the processor", { real = true }, function(t)
  local report, r = doctor(t, { ["/api/ps"] = { models = { { name = "m:1b", size = 8e9, size_vram = 6e9,
    context_length = 16384 } } } })
  local p = has(t, report, "processor", "m:1b", "75 %", "6.0 GB of 8.0 GB", "OLLAMA_KV_CACHE_TYPE")
  t.eq({ p.level, r.code }, { "warning", 0 })
  local alone = doctor(t, { ["/api/ps"] = { models = { { name = "m:1b", size = 8e9, size_vram = 0, context_length = 16384 } } } })
  t.eq(has(t, alone, "processor", "processor alone").level, "note")
end)

test("doctor: a window of 2,048 tokens, loaded or in a profile", { real = true }, function(t)
  local loaded = { ["/api/ps"] = { models = { { name = "m:1b", size = 1, size_vram = 1, context_length = 2048 } } } }
  has(t, (doctor(t, loaded)), "window", "m:1b is loaded with a window of 2,048", "num_ctx = 8192", "OLLAMA_CONTEXT_LENGTH=8192")
  local report = doctor(t, {}, { ["stoke.config.lua"] = 'return { profiles = { ["m:1b"] = { num_ctx = 4096 } } }' })
  has(t, report, "window", "m:1b has in its profile a window of 4,096")
  local default = has(t, (doctor(t, { ["/api/version"] = { version = "0.5.1" } })), "window", "2,048")
  t.eq({ default.level, default.inferred }, { "note", "the server's version" })
end)

test("doctor: an old version, with what it lacks", { real = true }, function(t)
  local p = has(t, (doctor(t, { ["/api/version"] = { version = "0.6.2" } })), "old-server", "0.6.2", "tool calls in streams",
    "update")
  t.ok(not p.why:find "schemas for answers", p.why)
  t.eq(find((doctor(t, { ["/api/version"] = { version = "0.0.0" } })), "old-server"), nil)
end)

test("doctor: only embedding models, exit code 5", { real = true }, function(t)
  local report, r = doctor(t, { ["/api/tags"] = { models = { { name = "nomic:latest", capabilities = { "embedding" } } } } })
  t.eq(has(t, report, "embedding-only", "nomic:latest", "stoke pull").level, "error")
  t.eq(find(report, "no-tools"), nil)
  t.eq(r.code, 5)
  local none, r2 = doctor(t, { ["/api/tags"] = { models = json.array {} } })
  has(t, none, "no-models", "stoke pull")
  t.eq(r2.code, 5)
end)

test("doctor: no model that calls tools; an older server is asked model by model", { real = true }, function(t)
  local report = doctor(t, { ["/api/tags"] = { models = { { name = "old:1b" }, { name = "older:1b" } } },
    ["/api/show"] = { capabilities = { "completion" }, details = json.object {} } })
  has(t, report, "no-tools", "old:1b, older:1b", "stoke pull")
end)

test("doctor: a keep_alive that is short: in a profile, or as the loaded models will go", { real = true }, function(t)
  local report = doctor(t, {}, { ["stoke.config.lua"] = 'return { profiles = { ["m:1b"] = { keep_alive = "10s" } } }' })
  t.eq(has(t, report, "keep-alive", "keep_alive = 10s", 'keep_alive = "30m"').level, "warning")
  local soon = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 20)
  local p = has(t, (doctor(t, { ["/api/ps"] = { models = { { name = "m:1b", expires_at = soon } } } })), "keep-alive", "m:1b in")
  t.match(p.inferred, "/api/ps")
end)

test("doctor: what only calls can show is told as not known, until --probe asks", { real = true }, function(t)
  local report = doctor(t, { ["/api/tags"] = { models = { { name = "a:1b" }, { name = "b:1b" } } } })
  t.eq(has(t, report, "slots", "not known").level, "note")
  t.match(has(t, report, "models-at-once", "not known").inferred, "%-%-probe")
end)

test("doctor --probe: one slot, one model at once, a short keep_alive, on the simulator", { real = true }, function(t)
  local server = sim.serve { port = 0, slots = 1, max_loaded = 1, load_seconds = 0.05, tokens_per_second = 400 }
  local _ <close> = setmetatable({}, { __close = function() server:close() end })
  local here <close> = place()
  local report, r = here.report("--probe", "--endpoint", server.url)
  t.match(r.stderr, "stoke: probe: 8 calls")
  t.ok(report.probe.calls <= 11)
  t.eq({ report.probe.slots, report.probe.models }, { 1, 1 })
  t.eq(has(t, report, "slots", "one call at a time", "OLLAMA_NUM_PARALLEL=4").level, "warning")
  t.eq(has(t, report, "models-at-once", "had to go", "OLLAMA_MAX_LOADED_MODELS").level, "warning")
  t.eq(find(report, "keep-alive"), nil)
end)

test("doctor --probe: four slots and three models are seen, and nothing is said", { real = true }, function(t)
  local server = sim.serve { port = 0, slots = 4, max_loaded = 3, load_seconds = 0.01, tokens_per_second = 200 }
  local _ <close> = setmetatable({}, { __close = function() server:close() end })
  local here <close> = place()
  local report = here.report("--probe", "--endpoint", server.url)
  t.ok(report.probe.slots > 1, json.encode(report.probe))
  t.eq(report.probe.models, 2)
  t.eq({ find(report, "slots"), find(report, "models-at-once") }, {})
end)

test("doctor --probe: a model that goes right after its call", { real = true }, function(t)
  local server = sim.serve { port = 0, keep_alive = 0.5, load_seconds = 0.01, tokens_per_second = 2000 }
  local _ <close> = setmetatable({}, { __close = function() server:close() end })
  local here <close> = place()
  has(t, here.report("--probe", "--endpoint", server.url), "keep-alive", "OLLAMA_KEEP_ALIVE=30m")
end)

test("doctor: slots are the calls that were worked on at the same time", function(t)
  local function overlap(...)
    local list = {}
    for i, r in ipairs { ... } do list[i] = { arrived = r[1], service = r[2] } end
    return probe.overlap(list, 0)
  end
  t.eq(overlap({ 1, 1 }, { 2, 1 }, { 3, 1 }), 1)
  t.eq(overlap({ 1, 1 }, { 1.02, 1 }, { 2.02, 1 }, { 2.04, 1 }), 2)
  t.eq(overlap({ 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }), 4)
  t.eq(overlap({ 1, 1 }, { 2, 1.01 }, { 3, 1.01 }), 1) -- a moment of two is none
  t.eq(overlap({ 1.4, 1 }, { 2, 1 }, { 3.3, 1 }, { 4, 1 }), 1) -- nor are answers that were read late
end)

-- ---- settings ---------------------------------------------------------------------------------------------------------------

test("doctor: each wrong setting is a finding, and the rest is still checked", { real = true }, function(t)
  local server <close> = peer {}
  local here <close> = place { ["stoke.config.lua"] = [[return { pool = { per_modl = 3 }, timeouts = { idle = "x", connect = 3 },
    endpoints = { a = { url = "h:99999" }, b = { url = "http://b" } } }]] }
  here.env.STOKE_LOG, here.env.OLLAMA_HOST = "loud", server.url
  local report, r = here.report()
  t.eq(r.code, 2)
  local found, values = {}, {}
  for _, p in ipairs(report.problems) do
    if p.check == "settings" then found[#found + 1] = p.what end
  end
  t.eq(#found, 4)
  for i, wanted in ipairs { "STOKE_LOG wants one of", "endpoints.a.url wants .* 'h:99999' is no port",
    "pool.per_modl is no setting", "timeouts.idle wants seconds" } do t.match(found[i], wanted) end
  has(t, report, "settings", "STOKE_LOG", "left out")
  for _, row in ipairs(report.settings) do values[row.key] = row.value end
  t.eq({ values["timeouts.connect"], values["endpoints.b.url"], values["log.level"], values["endpoints.a.url"] },
    { 3, "http://b", "info" })
  t.eq({ report.server.reachable, report.server.url }, { true, server.url })
end)

test("doctor: a file that is no table, an endpoint that is nowhere and replies that cannot be read are findings", { real = true },
  function(t)
    local here <close> = place { ["stoke.config.lua"] = "return {" }
    for name, case in next, {
      STOKE_LOG = { "debug", "unexpected symbol near <eof>" }, STOKE_ENDPOINT = { "nowhere", "no endpoint is named 'nowhere'" },
      STOKE_SIM = { "none.lua", "none.lua" }, STOKE_CONFIG = { "none.lua", "cannot read the configuration none.lua" },
    } do
      here.env[name] = case[1]
      local report, r = here.report("--wait", "1")
      here.env[name] = nil
      t.eq(r.code, 2, name)
      has(t, report, "settings", name == "STOKE_CONFIG" and case[2] or "unexpected symbol near <eof>")
      local whole = json.encode(report.problems)
      t.ok(whole:find(case[2], 1, true), whole)
    end
  end)

-- ---- the way to the server --------------------------------------------------------------------------------------------------

test("doctor: nothing listens, exit code 4", { real = true }, function(t)
  local here <close> = place()
  here.env.OLLAMA_HOST = "127.0.0.1:1"
  local report, r = here.report()
  t.eq(r.code, 4)
  t.eq(has(t, report, "server", "nothing listens at http://127.0.0.1:1").level, "error")
  t.match(here.run().stdout, "error: server  nothing listens.-why:.-set:")
end)

test("doctor: a path such as /v1 in the address", { real = true }, function(t)
  local server <close> = peer {}
  local here <close> = place()
  local report, r = here.report("--endpoint", server.url .. "/v1")
  has(t, report, "address", "has the path /v1", "--endpoint=" .. server.url)
  t.eq(r.code, 5)
end)

test("doctor: a server of OpenAI's API is judged by what it has", { real = true }, function(t)
  local server <close> = http.serve { port = 0, handler = function(req, res)
    if req.path ~= "/v1/models" then return res:reply(404, { ["Content-Type"] = "application/json" }, '{"detail":"Not Found"}') end
    res:reply(200, { ["Content-Type"] = "application/json" },
      '{"object":"list","data":[{"id":"qwen","object":"model","owned_by":"vllm","max_model_len":4096}]}')
  end }
  local here <close> = place()
  local report, r = here.report("--endpoint", server.url .. "/v1")
  t.eq({ report.server.dialect, report.server.version, report.server.models, r.code }, { "openai", "vllm", { "qwen" }, 0 })
  t.eq(find(report, "window"), nil, "an Ollama's window is nothing to it")
  local listed = here.verb("models", "--endpoint", server.url .. "/v1")
  t.eq(listed.stdout, "NAME  CONTEXT\nqwen     4096\n")
end)

test("doctor: https where http is spoken", { real = true }, function(t)
  local server <close> = peer {}
  local here <close> = place()
  here.env.OLLAMA_HOST = server.url:gsub("^http:", "https:")
  local report, r = here.report()
  has(t, report, "address", "the scheme is wrong: what listens there speaks http", "OLLAMA_HOST=" .. server.url)
  t.ok(r.code ~= 0)
end)

test("doctor: http where https is spoken", { real = true }, function(t)
  local report, r = doctor(t, { ["/api/version"] = function(_, res)
    res:reply(400, { ["Content-Type"] = "text/plain" }, "Client sent an HTTP request to an HTTPS server.\n")
  end })
  has(t, report, "address", "speaks https", "--endpoint=https://127.0.0.1:")
  t.eq({ find(report, "other-server"), r.code }, { nil, 5 })
end)

test("doctor: something else than Ollama answers", { real = true }, function(t)
  local report, r = doctor(t, { ["/api/version"] = function(_, res)
    res:reply(200, { ["Content-Type"] = "text/html", Server = "nginx/1.22" }, "<html><title>Welcome</title></html>")
  end })
  has(t, report, "other-server", "something else than Ollama", "nginx/1.22")
  t.eq(r.code, 5)
end)

test("doctor: an address to listen on is no address to call", { real = true }, function(t)
  local server <close> = peer {}
  local here <close> = place()
  here.env.OLLAMA_HOST = "0.0.0.0:" .. server.url:match "%d+$"
  has(t, (here.report()), "every-interface", "0.0.0.0", "127.0.0.1")
end)

test("doctor: a proxy in the way, and the variable that spares the server", { real = true }, function(t)
  local here <close> = place()
  here.env.OLLAMA_HOST, here.env.http_proxy = "http://192.0.2.7:11434", "http://me:pw@127.0.0.1:1"
  local report, r = here.report("--wait", "2")
  local p = has(t, report, "proxy", "192.0.2.7", "http_proxy", "NO_PROXY=192.0.2.7")
  t.ok(not r.stdout:find("me:pw", 1, true), "the password is told")
  t.eq(p.level, "warning")
  here.env.no_proxy = "192.0.2.7"
  t.eq(find(here.report("--wait", "0.2"), "proxy"), nil)
  here.env.OLLAMA_HOST, here.env.no_proxy = "127.0.0.1:1", nil -- loopback never goes through one
  t.eq(find(here.report(), "proxy"), nil)
end)

test("doctor: NO_PROXY as libcurl reads it", function(t)
  for _, row in ipairs { { "gpu.lan", "gpu.lan", true }, { "gpu.lan", ".lan", true }, { "gpu.lan", "a,lan", true }, { "gpu.lan",
    "pu.lan", false },
    { "gpu.lan", "*", true }, { "gpu.lan", "", false }, { "10.0.0.7", "10.0.0.7:11434", true } } do
    t.eq(checks.spared(row[1], row[2]), row[3], row[2])
  end
end)

test("doctor: a clock that is off, by the Date of the answer", function(t)
  t.eq(look.http_date "Sun, 06 Nov 1994 08:49:37 GMT", 784111777)
  t.eq(look.parse_time "1994-11-06T10:49:37.5+02:00", 784111777)
  local facts = { server = { reachable = true, url = "http://x:1", from = "built in", seconds = 0, version = "0.17.4", list = {},
    ps = {},
    clock_behind = -7200 }, profiles = {}, folders = {}, disks = {}, proxies = {}, asked = {}, now = 0 }
  local found
  for _, p in ipairs(checks.run(facts)) do if p.check == "clock" then found = p end end
  t.match(found.what, "2h00m behind ours")
  facts.server.clock_behind = 30
  for _, p in ipairs(checks.run(facts)) do t.ne(p.check, "clock") end
end)

test("doctor: a slow server", { real = true }, function(t)
  local report = doctor(t, { ["/api/version"] = function(_, res)
    stoke.sleep(1.2)
    res:reply(200, { ["Content-Type"] = "application/json" }, '{"version":"0.17.4"}')
  end })
  has(t, report, "slow", "to say its version")
end)

test("doctor: a profile of a model that is not there", { real = true }, function(t)
  local report = doctor(t, {}, { ["stoke.config.lua"] = 'return { profiles = { ["m:2b"] = { num_ctx = 9000 } } }' })
  has(t, report, "profile-model", "m:2b", "did you mean m:1b?")
end)

-- ---- this machine -----------------------------------------------------------------------------------------------------------

test("doctor: folders nothing can be written to", { real = true }, function(t)
  local here <close> = place { file = "" }
  here.env.XDG_STATE_HOME, here.env.XDG_RUNTIME_DIR = here.path .. "/file", "/proc/nowhere"
  local report = here.report("--sim")
  local seen = {}
  for _, p in ipairs(report.problems) do if p.check == "folder" then seen[#seen + 1] = p.what .. " " .. p.set end end
  t.eq(#seen, 2)
  t.match(seen[1], "state folder.*file.*XDG_STATE_HOME")
  t.match(seen[2], "runtime folder.*/proc/nowhere.*XDG_RUNTIME_DIR")
  t.eq(#fs.list(here.path), 1) -- nothing was left behind
end)

test("doctor: a disk that is nearly full, few descriptors, too many threads", function(t)
  local facts = { server = { reachable = true, url = "http://x:1", from = "built in", seconds = 0, version = "0.17.4", list = {},
    ps = {} },
    profiles = { ["m:latest"] = { num_thread = 64 } }, folders = {}, proxies = {}, asked = {}, now = 0, open_files = 256,
      processors = 2,
    disks = { { path = "/", holds = "the models", size = 1e12, free = 5e8 }, { path = "/tmp", holds = "x", size = 1e11,
      free = 5e10 } } }
  local report = { problems = checks.run(facts) }
  has(t, report, "disk", "500 MB of 1.0 TB free", "the models")
  has(t, report, "open-files", "256", "ulimit -n")
  has(t, report, "threads", "num_thread = 64", "2 processors")
end)

test("doctor: a store of durable runs that is damaged", { real = true }, function(t)
  local here <close> = place()
  local path = here.path .. "/.stoke/state.db"
  local store, _, log = stored.run(path)
  for i = 1, 50 do stored.record(log, i, stored.value(("answer %d "):format(i):rep(50))) end
  log:barrier()
  store:close()
  for _, p in ipairs(here.report("--sim").problems) do t.ne(p.check, "store") end
  local bytes = fs.read(path)
  fs.write(path, bytes:sub(1, #bytes // 2) .. ("\xA5"):rep(#bytes - #bytes // 2))
  has(t, here.report "--sim", "store", "the durable runs in .stoke/state.db cannot all be read", "sqlite3 .stoke/state.db .recover")
end)

test("doctor: few descriptors are seen in the running program", { real = true }, function(t)
  local here <close> = place()
  local r = proc.run { argv = { "sh", "-c", 'ulimit -n 200; exec "$0" doctor --sim --json', about.executable() }, cwd = here.path,
    env = here.env, env_allow = binary.PASSED_ON, timeout = 60 }
  has(t, json.decode(r.stdout), "open-files", "200")
end)

test("doctor: the places Lua modules are looked for are shown", { real = true }, function(t)
  local here <close> = place()
  fs.mkdir(here.path .. "/lua_modules/share/lua/5.4", { parents = true })
  local report = here.report "--sim"
  t.ok(#report.lua.path > 4 and #report.lua.cpath > 1)
  t.eq(#report.lua.lua_modules, 1)
  t.match(here.run("--sim").stdout, "package%.path .*package%.cpath ")
end)

test("doctor: what a server says drives no terminal, and begins no line", { real = true }, function(t)
  local server <close> = peer { ["/api/version"] = { version = "0.17.4\27[2J\27]0;title\7\nstoke: all is well\u{202E}" } }
  local here <close> = place()
  local text = here.run("--endpoint", server.url).stdout
  t.match(text, "0%.17%.4%[2J%]0;title stoke: all is well, answered")
  t.eq(text:match "[^\n%C]", nil)
end)
