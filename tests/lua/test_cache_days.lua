-- The cache among the rest: routes, sessions, cascades, runs that are replayed, cassettes; and disks that give no room.

local about = require "core.about"
local binary = require "binary"
local cached = require "cached"
local engine = require "host.store"
local files = require "core.cache.file"
local fs = require "stoke.fs"
local gate = require "core.gate.cache"
local keys = require "core.cache.key"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local routed = require "routed"
local stoke = require "stoke"
local test = require "stoke.test"

-- ---- routes, sessions, cascades -----------------------------------------------------------------------------------------------

test("a route: what any of its candidates has said of the question is the answer, the first one's before the others'", function(t)
  gate.forget()
  local world <close> = routed({ a = { models = { "m" } }, b = { models = { "n" } } },
    [[models = { r = { "m@a", "n@b", cache = true } }]])
  local function ask(model, endpoint)
    return ollama.generate { model = model, endpoint = endpoint, prompt = "Hi", options = { temperature = 0 }, cache = true }
  end
  ask("n", "b")
  local reply = ask "r"
  t.eq({ reply.response, reply.cached, #world.asked }, { "from b", "exact", 1 })
  ask("m", "a")
  reply = ask "r"
  t.eq({ reply.response, reply.cached, #world.asked }, { "from a", "exact", 2 })
end)

test("a session: the same conversation is the same question, another one before it is not", function(t)
  local server <close> = cached()
  local agent = stoke.agent { name = "s", model = "m", endpoint = server.url, options = { temperature = 0 }, cache = true }
  local function talk(...)
    local chat, out = agent:session(), {}
    for i, text in ipairs { ... } do
      local result = chat:run(text)
      out[i] = { result.text, result.cached }
    end
    return out
  end
  t.eq(talk("a", "b"), { { "1: a" }, { "2: b" } })
  t.eq(talk("a", "b", "c"), { { "1: a", "exact" }, { "2: b", "exact" }, { "3: c" } })
  t.eq(talk("x", "b"), { { "4: x" }, { "5: b" } })
  t.eq(server.asked, 5)
end)

test("a cascade: each of its models has its own answers, and none is asked again", function(t)
  gate.forget()
  local world <close> = routed({ a = { models = { "small" } }, b = { models = { "large" } } },
    [[models = { s = { "small@a" }, l = { "large@b" } }]])
  local function agent(model)
    return stoke.agent { name = model, model = model, options = { temperature = 0 }, cache = true }
  end
  local careful = stoke.cascade { agent "s", agent "l", escalate = function(result) return result.text == "from a" and "no" end }
  local first, second = careful:run "Hi", careful:run "Hi"
  t.eq({ first.text, second.text, second.rung, second.usage.calls, second.usage.cached, #world.asked },
    { "from b", "from b", 2, 0, 2, 2 })
end)

-- ---- runs that are replayed ---------------------------------------------------------------------------------------------------

local RUN = [[
local stoke = require "stoke"
stoke.main(function()
  for _, text in ipairs { "a", "b", "a" } do
    local reply = stoke.ollama.generate { model = "qwen2.5:3b", prompt = text, options = { temperature = 0 }, cache = true }
    print(text, reply.cached, #reply.response > 0)
  end
end)
]]

test("a durable run is replayed with what it was given, though the cache is gone or holds other answers by then", { real = true },
  function(t)
    local here <close> = binary.place { ["run.lua"] = RUN }
    here.env.OLLAMA_HOST = "127.0.0.1:9"
    local r = here.run("run", "--durable=one", "run.lua", "--sim")
    t.eq({ r.stdout, r.stderr }, { "a\tnil\ttrue\nb\tnil\ttrue\na\texact\ttrue\n", "" })
    r = here.run("run", "--durable=two", "run.lua", "--sim")
    t.eq(r.stdout, "a\texact\ttrue\nb\texact\ttrue\na\texact\ttrue\n")
    for _, tail in ipairs { "", "-wal", "-shm", "-lock" } do
      local path = here.path .. "/.stoke/cache.db" .. tail
      if fs.stat(path) then fs.remove(path) end
    end
    for _, id in ipairs { "one", "two" } do
      r = here.run("replay", id, "--check")
      t.eq(r.code, 0, r.stdout .. r.stderr)
    end
    t.eq(fs.stat(here.path .. "/.stoke/cache.db"), nil) -- nothing was looked for, and nothing kept
  end)

local TAPED = [[
local test, stoke = require "stoke.test", require "stoke"
test("asks", { cassette = true }, function(t)
  local function ask(text)
    return stoke.ollama.generate { model = "qwen2.5:3b", prompt = text, options = { temperature = 0 }, cache = true }
  end
  t.eq({ ask("a").cached, ask("b").cached, ask("a").cached }, { nil, nil, "exact" })
end)
]]

test("a cassette has what was asked and what was given, hits among them", { real = true }, function(t)
  local here <close> = binary.place { ["a_test.lua"] = TAPED }
  local child <close> = proc.spawn { argv = { about.executable(), "sim", "--port", "0" }, env_allow = binary.PASSED_ON,
    stderr = "merge", stdin = false }
  here.env.OLLAMA_HOST = child:lines()():match "^http://[%d.]+:%d+$"
  local r = here.run("test", "--record")
  t.eq(r.code, 0, r.stdout .. r.stderr)
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  r = here.run "test"
  t.eq(r.code, 0, r.stdout .. r.stderr)
end)

-- ---- disks --------------------------------------------------------------------------------------------------------------------

local ASK = [[
local stoke = require "stoke"
stoke.main(function()
  local n = 0
  for i = 1, 60 do
    local text = ("a question "):rep(40) .. i % 30
    local reply = stoke.ollama.generate { model = "qwen2.5:3b", prompt = text, options = { temperature = 0 }, cache = true }
    n = n + (reply.cached and 1 or 0)
  end
  print(n)
end)
]]
local ANSWERS = [[return function() return ("a long answer "):rep(1500) end]]

-- A script in a folder on a small disk of its own; nil where this user cannot mount one.
local function on_a_disk(here, size, before)
  if proc.run { argv = { "unshare", "-m", "true" } }.code ~= 0 then return nil end
  local text = ("mkdir disk && mount -t tmpfs -o size=%s none disk && cp ask.lua answers.lua disk && cd disk && %s && " ..
    "%q run ask.lua --sim=answers.lua && { ls -a .stoke; true; }"):format(size, before, about.executable())
  return proc.run { argv = { "unshare", "-m", "sh", "-c", text }, cwd = here.path, env = here.env,
    env_allow = binary.PASSED_ON }
end

for what, day in pairs {
  ["a disk that is full"] = { "200k", "dd if=/dev/zero of=rest bs=4k 2>&1 | grep -q 'No space'" },
  ["a disk that fills up meanwhile"] = { "500k", "true" },
  ["a folder that can only be read"] = { "2m", "mount -o remount,ro ." },
} do
  test("the calls go on, from memory where they were asked before, and it is said once: " .. what, { real = true }, function(t)
    local here <close> = binary.place { ["ask.lua"] = ASK, ["answers.lua"] = ANSWERS }
    local r = on_a_disk(here, day[1], day[2])
    if not r then return end
    t.match(r.stdout, "^30\n")
    local _, said = r.stderr:gsub("is not used for now", "")
    t.eq(said, 1, r.stderr)
  end)
end

local FILLER = [[
local files = require "core.cache.file"
local keys = require "core.cache.key"
local test = require "stoke.test"
test("fills", { real = true }, function()
  local file = files.at(os.getenv "FILE", 1 << 20)
  for n = 1, 1500 do
    local key = keys.of("test", os.getenv "NAME", tostring(n))
    file:put("exact", key, ("value " .. n .. " "):rep(n % 40 + 1))
    if n % 50 == 0 then file:flush() end
    if n % 3 == 0 then file:get("exact", keys.of("test", os.getenv "OTHER", tostring(n // 2))) end
  end
  file:close()
end)
]]

test("two processes that fill one file keep it whole and within its bytes", { real = true }, function(t)
  local folder = t.tmp()
  fs.write(folder .. "/filler_test.lua", FILLER)
  local path, most, running = folder .. "/cache.db", 0, true
  local scope <close> = stoke.scope()
  scope:spawn(function()
    while running do
      local size = 0
      for _, tail in ipairs { "", "-wal" } do
        local ok, stat = pcall(fs.stat, path .. tail)
        size = size + (ok and stat and stat.size or 0)
      end
      most = math.max(most, size)
      stoke.sleep(0.005)
    end
  end)
  local done = scope:map({ { "a", "b" }, { "b", "a" } }, function(names)
    return proc.run { argv = { about.executable(), "test", "--internal", "--file", folder .. "/filler_test.lua" },
      env = { FILE = path, NAME = names[1], OTHER = names[2] }, env_allow = { "PATH", "HOME" } }
  end)
  running = false
  for _, r in ipairs(done) do
    t.eq(r.code, 0, r.stdout)
    t.eq(r.stderr, "")
    t.match(r.stdout, '"passed":true')
  end
  t.ok(most > 200000 and most <= 1 << 20, most)
  local db = assert(engine.open(path, { host = true }))
  t.eq(db:check(), { "ok" })
  t.eq(db:query("SELECT small+main,count FROM meta").rows, db:query("SELECT sum(bytes),count(*) FROM entries").rows)
  db:close()
  local file, found = files.at(path, 1 << 20), 0
  for _, name in ipairs { "a", "b" } do
    for n = 1, 1500 do
      local value = file:get("exact", keys.of("test", name, tostring(n)))
      if value then
        found = found + 1
        assert(value:find("^value " .. n .. " "))
      end
    end
  end
  file:close()
  t.ok(found > 100, found)
end)

test("a question that is not kept makes no system call", { real = true }, function(t)
  local file = files.at(t.tmp() .. "/cache.db", 1 << 20)
  for i = 1, 100 do file:put("exact", keys.of("test", tostring(i)), "v") end
  file:flush()
  stoke.sleep(2.1) -- until then another process may be there, unseen
  file:get("exact", keys.of "none")
  stoke.sleep(0.05)
  local function calls()
    local text = fs.read "/proc/self/io"
    return text:match "syscr: (%d+)" + text:match "syscw: (%d+)"
  end
  local function counted(n)
    local before = calls()
    for i = 1, n do file:get("exact", keys.of("none", tostring(i))) end
    return calls() - before
  end
  counted(1)
  t.ok(counted(2000) - counted(0) < 20) -- of other threads
  file:close()
end)
