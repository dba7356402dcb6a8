-- stoke.config: where settings come from, what a wrong file says, OLLAMA_HOST, secrets.

local test = require "stoke.test"
local addresses = require "stoke.config.address"
local config = require "stoke.config"

-- Load with a made-up environment, disk and command line.
local function load_with(o)
  local env, files = o.env or {}, o.files or {}
  return config.load { flags = o.flags, getenv = function(name) return env[name] end,
                       read = function(path) return files[path] end }
end

-- Run the test and leave the process's own settings behind.
local function case(name, f)
  test(name, function(t)
    local ok, e = pcall(f, t)
    config.load { getenv = function() return nil end, read = function() return nil end }
    if not ok then error(e, 0) end
  end)
end

local XDG = "/home/ada/.config/stoke/config.lua"

case("config: built in values stand alone", function(t)
  load_with {}
  local c = config.get()
  t.eq(c.timeouts, { connect = 2, load = 300, first_byte = 60, idle = 120 })
  t.eq({ c.pool, c.models }, { {}, {} })
  t.eq(c.sim, "off")
  t.eq(config.endpoint().url, "http://127.0.0.1:11434")
  t.eq(config.endpoint_chosen(), false)
  t.eq(config.source "timeouts.idle", "built in")
end)

case("config: flags, environment, folder, user file, built in: the first that has it", function(t)
  local function level(flag, env, here, home)
    load_with { flags = { log = flag }, env = { STOKE_LOG = env, HOME = "/home/ada" }, files = {
      ["./stoke.config.lua"] = here and "return { log = { level = '" .. here .. "' } }",
      [XDG] = home and "return { log = { level = '" .. home .. "' } }" } }
    return config.get().log.level .. " from " .. config.source "log.level"
  end
  t.eq(level("debug", "warn", "error", "off"), "debug from flag --log")
  t.eq(level(nil, "warn", "error", "off"), "warn from environment STOKE_LOG")
  t.eq(level(nil, nil, "error", "off"), "error from ./stoke.config.lua")
  t.eq(level(nil, nil, nil, "off"), "off from " .. XDG)
  t.eq(level(nil, nil, nil, nil), "info from built in")
end)

case("config: tables mix key by key, named entries are taken whole", function(t)
  load_with { env = { HOME = "/home/ada" }, files = {
    ["./stoke.config.lua"] = [[return { timeouts = { idle = 9 },
      endpoints = { work = { url = "http://elsewhere:1" } }, profiles = { m = { num_ctx = 8 } } }]],
    [XDG] = [[return { endpoint = "work", timeouts = { idle = 8, total = 70, connect = false },
      endpoints = { work = { url = "https://work", key = "secret" }, two = { url = "two" } },
      profiles = { m = { num_gpu = 1 }, n = { num_ctx = 4096, keep_alive = "10m" } } }]] } }
  local c = config.get()
  t.eq(c.timeouts, { connect = false, load = 300, first_byte = 60, idle = 9, total = 70 })
  t.eq(c.profiles, { m = { num_ctx = 8 }, n = { num_ctx = 4096, keep_alive = "10m" } })
  local e = config.endpoint()
  t.eq({ e.url, e.source }, { "http://elsewhere:1", "./stoke.config.lua" })
  t.eq(e.key, nil)
  t.eq(config.endpoint("two").url, "http://two:11434")
  t.eq(config.endpoint_chosen(), true)
end)

case("config: XDG_CONFIG_HOME, STOKE_CONFIG and --config", function(t)
  local files = { ["/x/stoke/config.lua"] = "return { sim = 'on' }",
                  ["/else.lua"] = "return { sim = 'auto' }", ["./stoke.config.lua"] = "return {}" }
  load_with { files = files, env = { XDG_CONFIG_HOME = "/x" } }
  t.eq(config.source "sim", "/x/stoke/config.lua")
  load_with { files = files, env = { XDG_CONFIG_HOME = "/x", STOKE_CONFIG = "/else.lua" } }
  t.eq(config.source "sim", "/else.lua")
  load_with { files = files, flags = { config = "/else.lua" } }
  t.eq(config.get().sim, "auto")
  local e = t.raises("usage", load_with, { flags = { config = "/none.lua" } })
  t.ok(e.message:find("/none.lua", 1, true), e.message)
end)

case("config: a wrong file is an error naming file, key and the likely intent", function(t)
  local rows = {
    { "return { endpiont = 'x' }", "./stoke.config.lua: endpiont is no setting", "'endpoint'" },
    { "return { timeouts = { idel = 1 } }", "timeouts.idel is no setting" },
    { "return { timeouts = { idlee = 1 } }", "timeouts.idlee is no setting", "'idle'" },
    { "return { endpoints = { a = { urll = 'x' } } }", "endpoints.a.urll", "'url'" },
    { "return { endpoints = { a = 'x' } }", "endpoints.a wants a table, got \"x\"" },
    { "return { profiles = { m = { temperatur = 1 } } }", "profiles.m.temperatur", "'temperature'" },
    { "return { profiles = { m = { temperature = '1' } } }", "profiles.m.temperature wants a number" },
    { "return { profiles = { m = { num_ctx = '8k' } } }", "profiles.m.num_ctx wants a whole number" },
    { "return { sampling = { mine = { temperatur = 1 } } }", "sampling.mine.temperatur", "'temperature'" },
    { "return { sampling = { mine = { num_ctx = 1 } } }", "sampling.mine.num_ctx is no setting" },
    { "return { timeouts = { idle = '5s' } }", "timeouts.idle wants seconds" },
    { "return { timeouts = { idle = 0/0 } }", "timeouts.idle wants seconds" },
    { "return { pool = { per_model = 0 } }", "pool.per_model wants a whole number of at least 1" },
    { "return { log = { level = 'inof' } }", "log.level wants one of" },
    { "return { log = { level = {} } }", "got a table" },
    { "return { 'x' }", "1 is not a name" },
    { "return { endpoints = { a = { url = 'ftp://x' } } }", "endpoints.a.url wants an address" },
    { "return 5", "./stoke.config.lua: must return a table" }, { "retrun {", "./stoke.config.lua:1:", "a Lua table" },
    { "return {", "./stoke.config.lua:1:" },
    { "local t = os.getenv 'HOME' return {}", "./stoke.config.lua:1:", "plain data" },
    { "\27Lua", "binary chunk" },
  }
  for _, row in ipairs(rows) do
    local e = t.raises("usage", load_with, { files = { ["./stoke.config.lua"] = row[1] } })
    t.ok(e.message:find(row[2], 1, true), row[1] .. " -> " .. e.message)
    if row[3] then t.ok((e.hint or ""):find(row[3], 1, true), row[1] .. " -> " .. tostring(e.hint)) end
  end
end)

case("config: an endpoint without an address says so, where it is used", function(t)
  local files = { ["./stoke.config.lua"] = "return { endpoint = 'here', endpoints = { here = { key = 'k' } } }" }
  local e = t.raises("usage", function()
    load_with { files = files }
    return config.endpoint()
  end)
  t.eq(e.message, "./stoke.config.lua: endpoints.here has no url")
  t.match(e.hint, 'endpoints = { %["here"%] = { url = "http://HOST:11434" } }')
end)

case("config: an endpoint is a name or an address", function(t)
  for _, wrong in ipairs { 5, {}, true } do
    t.match(t.raises("argument", config.endpoint, wrong).message, "^endpoint: a name or an address expected, got ")
  end
end)

case("config: wrong flags and variables name themselves", function(t)
  local e = t.raises("usage", load_with, { flags = { log = "loud" } })
  t.ok(e.message:find("--log", 1, true), e.message)
  e = t.raises("usage", load_with, { flags = { sim = "maybe" } })
  t.ok(e.message:find("--sim", 1, true), e.message)
  e = t.raises("usage", load_with, { env = { STOKE_LOG_FORMAT = "xml" } })
  t.ok(e.message:find("STOKE_LOG_FORMAT", 1, true), e.message)
  e = t.raises("usage", load_with, { env = { OLLAMA_HOST = "ftp://x" } })
  t.ok(e.message:find("OLLAMA_HOST: 'ftp' is no scheme", 1, true), e.message)
  e = t.raises("usage", load_with, { flags = { endpoint = "defualt" } })
  t.ok(e.message:find("no endpoint is named 'defualt'", 1, true), e.message)
end)

case("config: --sim, --sim=auto, --sim=FILE.lua", function(t)
  load_with { flags = { sim = true } }
  t.eq(config.get().sim, "on")
  load_with { flags = { sim = "auto" }, env = { STOKE_SIM = "on" } }
  t.eq(config.get().sim, "auto")
  load_with { env = { STOKE_SIM = "answers.lua" } }
  t.ok(config.is_sim_script(config.get().sim) and not config.is_sim_script "auto")
end)

test("config: OLLAMA_HOST is read by Ollama's rules", function(t)
  local rows = {
    { "", "http://127.0.0.1:11434" },
    { "   ", "http://127.0.0.1:11434" },
    { "1.2.3.4", "http://1.2.3.4:11434" },
    { "example.com", "http://example.com:11434" },
    { "[::1]", "http://[::1]:11434" },
    { "::1", "http://[::1]:11434" },
    { "1.2.3.4:99", "http://1.2.3.4:99" },
    { "[::1]:99", "http://[::1]:99" },
    { "[fe80::1%25eth0]:99", "http://[fe80::1%25eth0]:99" },
    { ":1234", "http://127.0.0.1:1234" },
    { "http://h", "http://h:80" },
    { "https://h", "https://h:443" },
    { "HTTPS://h", "https://h:443" },
    { "http://h:1", "http://h:1" },
    { "https://h/base", "https://h:443/base" },
    { "https://h/base/", "https://h:443/base" },
    { "h/base", "http://h:11434/base" },
    { "http://", "http://127.0.0.1:80" },
    { "ollama.com", "https://ollama.com:443" },
    { "ollama.com:80", "http://ollama.com:80" },
    { "http://ollama.com", "http://ollama.com:80" },
    { "1.2.3.4:", "http://1.2.3.4:11434" },
    { "0.0.0.0", "http://127.0.0.1:11434" },
    { "0.0.0.0:8", "http://127.0.0.1:8" },
    { "[::]", "http://[::1]:11434" },
    { "[::]:8", "http://[::1]:8" },
    { "::", "http://[::1]:11434" },
    { " \"h:5\" ", "http://h:5" },
    { "'h:5'", "http://h:5" },
  }
  for _, row in ipairs(rows) do t.eq(addresses.parse(row[1]), row[2], row[1]) end
  for _, bad in ipairs { "ftp://h", "user@h", "a b", "http://h\r\nX: y", "h?x", "[[1]]", "h:1:2", "1:2:3", "http://h:80:90",
    "fe80::x" } do
    local url, problem = addresses.parse(bad)
    t.eq(url, nil, bad)
    t.ok(problem, bad)
  end
end)

case("config: a port that is none is an error that names it, wherever the address is set", function(t)
  for _, port in ipairs { "x", "70000", "99999", "-1", "0", "+1", "1x", "65536", "0x50" } do
    for _, host in ipairs { "1.2.3.4", "https://h", "[::1]" } do
      local e = t.raises("usage", load_with, { env = { OLLAMA_HOST = host .. ":" .. port } })
      t.eq(e.message, ("OLLAMA_HOST: '%s' in '%s:%s' is no port: a number from 1 to 65535"):format(port, host, port))
    end
  end
  local e = t.raises("usage", load_with, { flags = { endpoint = "h:99999" } })
  t.eq(e.message, "flag --endpoint: '99999' in 'h:99999' is no port: a number from 1 to 65535")
  e = t.raises("usage", load_with, { env = { STOKE_ENDPOINT = "http://h:http" } })
  t.eq(e.message, "environment STOKE_ENDPOINT: 'http' in 'http://h:http' is no port: a number from 1 to 65535")
  e = t.raises("usage", load_with, { files = { ["./stoke.config.lua"] = [[return { endpoints = { a = { url = "h:y" } } }]] } })
  t.match(e.message, "^./stoke.config.lua: endpoints.a.url wants an address .*: 'y' in 'h:y' is no port")
  load_with {}
  t.match(t.raises("usage", config.endpoint, "h:99999").message, "is no port: a number from 1 to 65535$")
  t.eq(addresses.parse "h:65535", "http://h:65535")
end)

case("config: OLLAMA_HOST and --endpoint choose the server", function(t)
  load_with { env = { OLLAMA_HOST = "10.0.0.7" } }
  t.eq(config.endpoint().url, "http://10.0.0.7:11434")
  t.eq(config.endpoint().source, "environment OLLAMA_HOST")
  t.eq(config.endpoint_chosen(), true)
  load_with { env = { OLLAMA_HOST = "10.0.0.7" }, flags = { endpoint = "https://b" } }
  t.eq(config.endpoint().url, "https://b:443")
  t.eq(config.endpoint("OLLAMA_HOST").url, "http://10.0.0.7:11434")
  load_with { env = { OLLAMA_HOST = "10.0.0.7", STOKE_ENDPOINT = "default" } }
  t.eq(config.endpoint().url, "http://127.0.0.1:11434")
  load_with { flags = { endpoint = "localhost" } }
  t.eq(config.endpoint().url, "http://localhost:11434")
  t.raises("usage", config.endpoint, "nowhere")
end)

case("config: OLLAMA_API_KEY goes to the server the user named, not to one a file names", function(t)
  local env = { OLLAMA_API_KEY = "k1", OLLAMA_HOST = "https://me" }
  local files = { ["./stoke.config.lua"] = [[return { endpoint = "http://trap", endpoints = {
    trap = { url = "http://trap" }, own = { url = "http://own", key = "k2" },
    cloud = { url = "https://ollama.com" }, fake = { url = "https://ollama.com.evil" },
    clear = { url = "http://ollama.com" } } }]] }
  load_with { env = env, files = files }
  t.eq(config.endpoint().key, "k1")
  t.eq(config.endpoint("trap").key, nil)
  t.eq(config.endpoint("own").key, "k2")
  t.eq(config.endpoint("cloud").key, "k1")
  t.eq(config.endpoint("fake").key, nil)
  t.eq(config.endpoint("clear").key, nil)
  load_with { env = { OLLAMA_API_KEY = "k1" }, files = files }
  t.eq(config.endpoint().key, nil)
  load_with { env = env, files = files, flags = { endpoint = "http://chosen:1" } }
  t.eq(config.endpoint().key, "k1")
end)

case("config: profiles answer for a model with and without its tag", function(t)
  load_with { files = { ["./stoke.config.lua"] =
    "return { profiles = { qwen3 = { num_ctx = 1 }, ['phi:latest'] = { num_ctx = 2 } } }" } }
  t.eq(config.profile("qwen3").num_ctx, 1)
  t.eq(config.profile("qwen3:latest").num_ctx, 1)
  t.eq(config.profile("qwen3:8b"), {})
  t.eq(config.profile("phi").num_ctx, 2)
end)

case("config: explain lists every value with its place, secrets masked", function(t)
  load_with { env = { OLLAMA_HOST = "h", OLLAMA_API_KEY = "s3cret" }, flags = { log = "warn" },
    files = { ["./stoke.config.lua"] = [[return { endpoints = { a = { url = "http://a",
      key = "s3cret", headers = { Authorization = "s3cret", ["X-Team"] = "blue",
                                  ["X-Api-Key"] = "s3cret" } } } }]] } }
  local list, by = config.explain(), {}
  for i, row in ipairs(list) do
    by[row.key] = row
    t.ok(i == 1 or list[i - 1].key < row.key, "not sorted at " .. row.key)
    t.ok(not tostring(row.value):find "s3cret", "secret shown: " .. row.key)
  end
  t.eq(by["endpoints.a.key"].value, "********")
  t.eq(by["endpoints.a.headers.X-Team"].value, "blue")
  t.eq(by["endpoints.a.url"].source, "./stoke.config.lua")
  t.eq(by["log.level"], { key = "log.level", value = "warn", source = "flag --log" })
  t.eq(by["endpoints.OLLAMA_HOST.url"].source, "environment OLLAMA_HOST")
  t.eq(by["timeouts.load"], { key = "timeouts.load", value = 300, source = "built in" })
end)

case("config: the simulator's address takes the default place", function(t)
  load_with {}
  config.use_endpoint("sim", "mem://sim", "flag --sim")
  t.eq(config.endpoint().url, "mem://sim")
  t.eq(config.endpoint().source, "flag --sim")
  load_with {}
  t.eq(config.endpoint().name, "default")
end)

test("config: an endpoint nobody set says how one is set, and where it was asked for", function(t)
  local stoke = require "stoke"
  local bot = stoke.agent { name = "b", model = "m", endpoint = "laptop" }
  local _, err = stoke.try(bot.run, bot, "x")
  t.eq(err.kind, "usage")
  t.contains(err.hint, 'endpoints = { ["laptop"] = { url = "http://HOST:11434" } }')
  t.match(err.where, "test_config%.lua:%d+")
end)
