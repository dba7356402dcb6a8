-- The file of the cache: what it holds, on good days and on bad ones.

local about = require "core.about"
local cached = require "cached"
local disk = require "core.cache.disk"
local engine = require "host.store"
local files = require "core.cache.file"
local fs = require "stoke.fs"
local gate = require "core.gate.cache"
local json = require "stoke.json"
local keys = require "core.cache.key"
local proc = require "stoke.proc"
local scopes = require "core.scope"
local stoke = require "stoke"
local test = require "stoke.test"

-- A file that is closed at the end of a block.
local function open(path, bytes)
  return setmetatable({ file = files.at(path, bytes) }, { __close = function(self) self.file:close() end,
    __index = function(self, name)
      local method = self.file[name]
      return type(method) == "function" and function(_, ...) return method(self.file, ...) end or method
    end })
end

-- What was said to the user while f ran.
local function told(f)
  local said, before = {}, scopes.tell
  scopes.tell = function(text) said[#said + 1] = text end
  local ok, err = pcall(f)
  scopes.tell = before
  if not ok then error(err, 0) end
  return said
end

local function key(n) return keys.of("test", tostring(n)) end

test("what was put is there for the next process, with where it came from", function(t)
  local path = t.tmp() .. "/deep/er/cache.db"
  do
    local one <close> = open(path)
    one:put("exact", key(1), "a value", { model = "m", seconds = 2 }, 60)
    t.eq(one:get("exact", key(1)), "a value") -- before it is written
  end
  local two <close> = open(path)
  local value, meta = two:get("exact", key(1))
  t.eq({ value, meta.facts, meta.ttl }, { "a value", { model = "m", seconds = 2 }, 60 })
  t.eq({ two:get("stream", key(1)), two:get("exact", key(2)) }, {})
  t.eq(fs.stat(path).mode & 511, 384) -- rw-------
end)

test("what is put again and again while it waits for the disk counts once, and does not push others out", function(t)
  local path = t.tmp() .. "/cache.db"
  do
    local one <close> = open(path)
    local large = ("x"):rep(10000)
    for _ = 1, 1000 do one:put("exact", key(1), large) end
    one:put("exact", key(2), "small")
  end
  local two <close> = open(path)
  t.eq(two:get("exact", key(2)), "small")
end)

test("any bytes are kept as they are", function(t)
  local path = t.tmp() .. "/cache.db"
  local bytes = "\0\255\1" .. ("x"):rep(100000) .. "\0"
  do
    local one <close> = open(path)
    one:put("exact", key(1), bytes)
    one:put("exact", key(2), "")
  end
  local two <close> = open(path)
  t.ok(two:get("exact", key(1)) == bytes)
  t.eq(two:get("exact", key(2)), "")
end)

test("many at once, from memory and from the disk", function(t)
  local path = t.tmp() .. "/cache.db"
  do
    local one <close> = open(path)
    for i = 1, 600 do one:put("embedding", key(i), "v" .. i) end
  end
  local two <close> = open(path)
  two:get("embedding", key(7))
  local list = {}
  for i = 1, 700 do list[i] = key(i) end
  local found = two:many("embedding", list)
  for i = 1, 700 do assert(found[list[i]] == (i <= 600 and "v" .. i or nil)) end
end)

test("what was taken out is gone, in the file too; hits are counted in it", function(t)
  local path = t.tmp() .. "/cache.db"
  do
    local one <close> = open(path)
    one:put("exact", key(1), "a")
    one:put("exact", key(2), "b")
    for _ = 1, 3 do one:get("exact", key(2)) end
    one:flush()
    one:delete("exact", key(1))
    t.eq(one:get("exact", key(1)), nil)
  end
  local two <close> = open(path)
  t.eq(two:get("exact", key(1)), nil)
  local stats = two:stats()
  t.eq({ stats.entries, stats.kinds.exact.hits >= 3 }, { 1, true })
end)

test("the newest are listed first; a kind alone; by the first bytes of a key", function(t)
  local one <close> = open(t.tmp() .. "/cache.db")
  for i = 1, 250 do one:put(i % 2 == 0 and "exact" or "stream", key(i), "v" .. i) end
  local n, kinds = 0, {}
  for kind in one:each() do n, kinds[kind] = n + 1, (kinds[kind] or 0) + 1 end
  t.eq({ n, kinds }, { 250, { exact = 125, stream = 125 } })
  n = 0
  for kind in one:each "exact" do n = n + (kind == "exact" and 1 or 1000) end
  t.eq(n, 125)
  local found = {}
  for _, whole, meta in one:each(nil, key(7):sub(1, 6)) do found[#found + 1] = { whole == key(7), meta.value } end
  t.eq(found, { { true, "v7" } })
end)

test("clear: of a kind, of a model, older than; the file gives its space back", function(t)
  local path = t.tmp() .. "/cache.db"
  local one <close> = open(path)
  for i = 1, 100 do
    one:put(i <= 50 and "exact" or "embedding", key(i), ("x"):rep(20000), { model = i % 2 == 0 and "a" or "b" })
  end
  one:flush()
  t.ok(fs.stat(path).size + fs.stat(path .. "-wal").size > 2e6)
  t.eq(one:clear { kind = "embedding", model = "a" }, 25)
  t.eq(one:clear { older = 60 }, 0)
  stoke.sleep(100)
  t.eq({ one:clear { older = 60 }, one:get("exact", key(1)) }, { 75 })
  t.ok(fs.stat(path).size < 1e5, fs.stat(path).size)
end)

-- ---- bytes ----------------------------------------------------------------------------------------------------------------------

local function size_of(path)
  local sum = 0
  for _, tail in ipairs { "", "-wal" } do
    local stat = fs.stat(path .. tail)
    sum = sum + (stat and stat.size or 0)
  end
  return sum
end

for what, size in pairs { small = function() return 50 end, large = function() return 20000 end,
  mixed = function(i) return i % 17 == 0 and 20000 or i % 300 end } do
  test("the file is within its bytes at all times, its log among them: " .. what .. " values", function(t)
    local path, bytes = t.tmp() .. "/cache.db", 1 << 20
    local one <close> = open(path, bytes)
    local most = 0
    local count = ({ small = 5000, large = 120, mixed = 900 })[what]
    for i = 1, count do
      one:put("exact", key(i), ("v"):rep(size(i)))
      if i % 50 == 0 then
        one:flush()
        most = math.max(most, size_of(path))
      end
    end
    t.ok(most <= bytes, most)
    t.ok(most > bytes // 3, most)
    t.ok(one.memory.bytes <= bytes // files.PART)
    local stats = one:stats()
    t.ok(stats.evicted > 0 and stats.bytes <= bytes, stats)
    t.eq(#one:get("exact", key(count)), size(count))
  end)
end

test("what is asked for again stays in the file while others pass through it", function(t)
  local path = t.tmp() .. "/cache.db"
  local one <close> = open(path, 1 << 20)
  local function fill(from, to)
    for i = from, to do one:put("exact", key(i), ("v"):rep(2000)) end
    one:flush()
  end
  fill(1, 20)
  for _ = 1, 3 do
    for i = 1, 20 do one:get("exact", key(i)) end
    one:flush()
  end
  for round = 1, 8 do fill(round * 1000, round * 1000 + 150) end
  one:close()
  local two <close> = open(path, 1 << 20)
  local left = 0
  for i = 1, 20 do left = left + (two:get("exact", key(i)) and 1 or 0) end
  t.eq(left, 20)
end)

test("a value that would take a good part of all is not kept", function(t)
  local one <close> = open(t.tmp() .. "/cache.db", 1 << 20)
  t.eq({ one:put("exact", key(1), ("v"):rep(100000)), one:get("exact", key(1)) }, { false })
end)

-- ---- whose it is ----------------------------------------------------------------------------------------------------------------

-- Bytes of a file that are others now, in place.
local function overwrite(path, at, bytes)
  local dd = proc.run { argv = { "dd", "of=" .. path, "bs=1", "seek=" .. at, "conv=notrunc" }, stdin = bytes }
  assert(dd.code == 0, dd.stderr)
end

local function filled(path)
  local one <close> = open(path)
  one:put("exact", key(1), "kept")
end

test("a file that was copied, or came with somebody's files, is not read", function(t)
  local folder = t.tmp()
  filled(folder .. "/cache.db")
  fs.mkdir(folder .. "/other")
  proc.run { argv = { "cp", folder .. "/cache.db", folder .. "/other/cache.db" } }
  disk.forget()
  local said = told(function()
    local two <close> = open(folder .. "/other/cache.db")
    t.eq(two:get("exact", key(1)), nil)
    two:put("exact", key(1), "new")
  end)
  t.eq(#said, 1)
  t.match(said[1], "was copied, or made elsewhere")
  local three <close> = open(folder .. "/other/cache.db")
  t.eq(three:get("exact", key(1)), "new")
end)

test("a folder that was given another name keeps its cache", function(t)
  local folder = t.tmp()
  fs.mkdir(folder .. "/a")
  filled(folder .. "/a/cache.db")
  fs.rename(folder .. "/a", folder .. "/b")
  local two <close> = open(folder .. "/b/cache.db")
  t.eq(two:get("exact", key(1)), "kept")
end)

test("a file that others can write is not read; one of another user is left alone", function(t)
  local path = t.tmp() .. "/cache.db"
  filled(path)
  proc.run { argv = { "chmod", "666", path } }
  disk.forget()
  local said = told(function()
    local two <close> = open(path)
    t.eq(two:get("exact", key(1)), nil)
  end)
  t.match(said[1], "written by others")
  fs.remove(path)
  filled(path)
  if proc.run { argv = { "chown", "12345", path } }.code ~= 0 then return end -- only root can
  disk.forget()
  said = told(function()
    local three <close> = open(path)
    t.eq(three:get("exact", key(1)), nil)
    three:put("exact", key(2), "x")
    t.eq(three:get("exact", key(2)), "x") -- from memory
  end)
  t.match(said[1], "another user's")
  t.eq(fs.stat(path).uid, 12345)
end)

test("projects that share a file do not share answers", function(t)
  local script = require "core.script"
  local before = script.path
  local list = {}
  for _, path in ipairs { "/home/a/x.lua", "/home/b/x.lua", "/home/a/y.lua" } do
    script.path = path
    gate.forget()
    list[#list + 1] = files.project()
  end
  script.path = before
  gate.forget()
  t.eq(list, { "/home/a/", "/home/b/", "/home/a/" })
end)

-- ---- bad days -------------------------------------------------------------------------------------------------------------------

test("a damaged file is put aside and begun anew, which is said once", function(t)
  for _, damage in ipairs { function(path) overwrite(path, 0, ("no database "):rep(100)) end,
    function(path)
      overwrite(path, 100, ("\255"):rep(4096))
    end } do
    local path = t.tmp() .. "/cache.db"
    filled(path)
    damage(path)
    disk.forget()
    local said = told(function()
      for i = 1, 2 do
        local two <close> = open(path)
        t.eq(two:get("exact", key(1)), i == 2 and "new" or nil)
        two:put("exact", key(1), "new")
      end
    end)
    t.eq(#said, 1)
    t.match(said[1], "put aside as .*cache.db.aside, and a new one begun")
    fs.remove(path)
    fs.remove(path .. ".aside")
  end
end)

test("damage that is met while it is used: begun anew, and the calls go on", function(t)
  local path = t.tmp() .. "/cache.db"
  do
    local one <close> = open(path)
    for i = 1, 200 do one:put("exact", key(i), ("v"):rep(3000)) end
  end
  local two <close> = open(path)
  two:get("exact", keys.of "nothing")
  overwrite(path, 8192, ("\255"):rep(fs.stat(path).size - 8192)) -- behind its back
  disk.forget()
  local said = told(function()
    for i = 1, 200 do two:get("exact", key(i)) end
    for i = 1, 20 do two:put("exact", key(i), "new") end
    two:flush()
  end)
  t.ok(#said <= 2, said)
  two:close()
  local three <close> = open(path)
  t.eq(three:get("exact", key(3)), "new")
end)

test("a value that the disk has changed is not given", function(t)
  local path = t.tmp() .. "/cache.db"
  filled(path)
  overwrite(path, fs.read(path):find("kept", 1, true) - 1, "KEPT")
  disk.forget()
  local said = told(function()
    local two <close> = open(path)
    t.eq({ two:get("exact", key(1)), two:get("exact", key(1)) }, {})
  end)
  t.match(said[1], "damaged entry")
end)

test("a full disk: the cache stands aside and says so once, the calls go on; later it is used again", function(t)
  local path = t.tmp() .. "/cache.db"
  filled(path)
  disk.forget()
  local two <close> = open(path)
  local said = told(function()
    engine.fault { full = 3 }
    for i = 2, 60 do
      t.eq(two:put("exact", key(i), ("x"):rep(5000)), true)
      two:flush()
      t.eq(#two:get("exact", key(i)), 5000) -- from memory
    end
    engine.fault()
  end)
  t.eq(#said, 1)
  t.match(said[1], "not used for now")
  stoke.sleep(31)
  two:put("exact", key(99), "again")
  two:flush()
  two:close()
  local three <close> = open(path)
  t.eq({ (three:get("exact", key(1))), (three:get("exact", key(99))) }, { "kept", "again" })
end)

test("a disk that fails at any write, sync or opening fails no call, and loses nothing that was kept before", function(t)
  for _, fault in ipairs { "error", "sync", "full", "open" } do
    for n = 1, 4 do
      local path = ("%s/%s%d.db"):format(t.tmp(), fault, n)
      filled(path)
      disk.forget()
      told(function()
        engine.fault { [fault] = n, times = 2 }
        local two <close> = open(path)
        for i = 2, 10 do
          two:put("exact", key(i), "value " .. i)
          two:flush()
          t.eq(two:get("exact", key(i)), "value " .. i)
        end
        engine.fault()
      end)
      local three <close> = open(path)
      t.eq(three:get("exact", key(1)), "kept")
    end
  end
end)

test("a folder that cannot be written leaves the cache in memory", function(t)
  local folder = t.tmp()
  local path = folder .. "/file/cache.db"
  fs.write(folder .. "/file", "no folder")
  disk.forget()
  local said = told(function()
    local one <close> = open(path)
    for i = 1, 5 do one:put("exact", key(i), "v" .. i) end
    one:flush()
    t.eq(one:get("exact", key(3)), "v3")
  end)
  t.eq(#said, 1)
end)

-- ---- clocks ---------------------------------------------------------------------------------------------------------------------

local function moved(server, seconds)
  local path = files.path
  for _, tail in ipairs { "" } do
    files.of():close()
    local db = assert(engine.open(path .. tail, { host = true }))
    assert(db:write("UPDATE entries SET made=made+?", { -seconds }))
    assert(db:close())
  end
  gate.forget()
  files.path = path
  local _ = server
end

test("a clock that was set back: what is kept is neither expired nor kept for ever", function(t)
  local server <close> = cached()
  files.path = t.tmp() .. "/cache.db"
  local extra = { cache = { ttl = 60 } }
  server:chat("Hi", extra)
  moved(server, -1e6) -- made in the future, as the clock has it now
  t.eq(server:chat("Hi", extra).cached, "exact")
  stoke.sleep(61)
  t.eq(server:chat("Hi", extra).cached, nil)
end)

test("a clock that jumped ahead makes answers old; nothing is deleted, and they are back with it", function(t)
  local server <close> = cached { answer = function(_, n) return n > 1 and 400 or "first" end }
  files.path = t.tmp() .. "/cache.db"
  local extra = { cache = { ttl = 60 } }
  server:chat("Hi", extra)
  moved(server, 1e6)
  t.ok(select(2, server:try("Hi", extra)))
  moved(server, -1e6)
  t.eq(server:chat("Hi", extra).cached, "exact")
end)

-- ---- processes ------------------------------------------------------------------------------------------------------------------

test("two that have one file see what the other writes, and what it takes out", function(t)
  local path = t.tmp() .. "/cache.db"
  local one <close> = open(path)
  local two <close> = open(path)
  one:get("exact", key(0))
  two:get("exact", key(0))
  one:put("exact", key(1), "from one")
  one:flush()
  stoke.sleep(1.1)
  two:get("exact", key(0)) -- looks
  stoke.sleep(0.1)
  t.eq(two:get("exact", key(1)), "from one")
  two:clear()
  stoke.sleep(1.1)
  one:get("exact", key(1))
  stoke.sleep(0.1)
  t.eq(one:get("exact", key(1)), nil)
end)

local CHILD = [[
local stoke = require "stoke"
local scope <close> = stoke.scope { budget = { calls = 3, tokens = 10000 } }
local reply = stoke.ollama.chat { model = "m", endpoint = URL, messages = { { role = "user", content = "Hi" } },
  options = { temperature = 0 }, cache = true }
print(reply.message.content, reply.cached, scope.budget.used.calls, scope.budget.used.tokens)
]]

test("processes that ask the same at once ask it once, and one of them pays", { real = true }, function(t)
  local asked = 0
  local server = stoke.http.serve { port = 0, handler = function(req, res)
    if req.path == "/api/tags" then
      return res:reply(200, {}, json.encode { models = { { name = "m:latest", digest = cached.ONE } } })
    end
    asked = asked + 1
    stoke.sleep(0.5)
    res:reply(200, {}, json.encode { model = "m", message = { role = "assistant", content = "answer " .. asked }, done = true,
      done_reason = "stop", prompt_eval_count = 1, eval_count = 1 })
  end }
  local folder = t.tmp()
  fs.write(folder .. "/ask.lua", ("local URL = %q\n"):format(server.url) .. CHILD)
  local scope <close> = stoke.scope()
  local said = scope:map({ 1, 2, 3, 4 }, function()
    local argv = { about.executable(), "run", folder .. "/ask.lua" }
    return proc.run { argv = argv, cwd = folder, env_allow = { "PATH", "HOME" } }.stdout
  end)
  server:close()
  local fresh, calls, tokens = 0, 0, 0
  for _, text in ipairs(said) do
    local cached_as, n, used = text:match "^answer 1\t(%a+)\t(%d+)\t(%d+)\n$"
    fresh, calls, tokens = fresh + (cached_as == "nil" and 1 or 0), calls + n, tokens + used
  end
  t.eq({ asked, fresh, calls, tokens }, { 1, 1, 1, 2 }) -- the others have it from the one that asks, or from the file
end)

local WRITER = [[
local files = require "core.cache.file"
local keys = require "core.cache.key"
local test = require "stoke.test"
test("writes until it is killed", { real = true }, function()
  local file, n = files.at(os.getenv "FILE", 1 << 20), 0
  while true do
    n = n + 1
    file:put("exact", keys.of("test", tostring(n % 500)), ("value " .. n % 500 .. " "):rep(n % 400 + 1))
    if n % 7 == 0 then file:flush() end
    if n % 11 == 0 then file:get("exact", keys.of("test", tostring(n % 100))) end
  end
end)
]]

test("a process that is killed in the middle of a write leaves a file that is whole", { real = true }, function(t)
  local folder = t.tmp()
  fs.write(folder .. "/writer_test.lua", WRITER)
  local path = folder .. "/cache.db"
  disk.forget()
  local said = told(function()
    for round = 1, 3 do
      for _, point in ipairs { false, "before-commit:" .. round * 3 } do
        proc.run { argv = { "timeout", "-s", "KILL", point and "20" or tostring(0.3 + round * 0.05),
          about.executable(), "test", "--internal", "--file", folder .. "/writer_test.lua" },
          env = { FILE = path, STOKE_FAULT = point or nil }, env_allow = { "PATH", "HOME" } }
        local db = assert(engine.open(path, { host = true }))
        t.eq(db:check(), { "ok" })
        db:close()
        local one <close> = open(path, 1 << 20)
        for i = 0, 499 do
          local value = one:get("exact", key(i))
          if value and not value:find("^value " .. i .. " ") then error("wrong: " .. value:sub(1, 20)) end
        end
      end
    end
  end)
  t.eq(said, {})
end)
