-- The local engine: what every engine has to do (tests/queue/battery.lua), and what is its own.

package.path = "tests/queue/?.lua;" .. package.path

local test = require "stoke.test"
local battery = require "battery"
local engine = require "core.engine"
local errors = require "core.errors"
local stoke = require "stoke"
local store = require "host.store"

local function open(path) return errors.check(engine.open("local:" .. path)) end

local folders = setmetatable({}, { __mode = "k" }) -- one a test, however often it opens
battery.run(test, "local", { open = function(t)
  folders[t] = folders[t] or t.tmp()
  return open(folders[t] .. "/q.db")
end })

-- ---- its own ------------------------------------------------------------------------------------------------------------------

test("a file of a newer stoke, and another database, are refused with a word", function(t)
  local folder = t.tmp()
  open(folder .. "/new.db"):close()
  do
    local db <close> = stoke.db.open(folder .. "/new.db")
    db:exec "UPDATE about SET version=99"
    local other <close> = stoke.db.open(folder .. "/other.db")
    other:exec "CREATE TABLE mine (a)"
  end
  for name, words in pairs { new = "was written by a newer stoke: its tables are of version 99", other = "no queue of stoke's" } do
    local e, err = engine.open("local:" .. folder .. "/" .. name .. ".db")
    t.eq({ e, err.kind }, { nil, "db" })
    t.contains(err.message, words)
  end
end)

--- What a file says stands behind other items, and what does.
local function behind(path)
  local db <close> = stoke.db.open(path, { readonly = true })
  local row = db:one "SELECT sum(behind) AS said, (SELECT count(*) FROM work WHERE state=1) AS there FROM groups"
  return { row.said, row.there }
end

--- 20 items of two keys, of which the first of each is lent.
local function keyed(e)
  local list = {}
  for i = 1, 20 do list[i] = { id = tostring(i), key = i % 2 == 0 and "a" or "b", value = "1", v = 1 } end
  errors.check(e:publish("s", list))
  return errors.check(e:claim { stream = "s", group = "g", n = 20, lease = 30, wait = 0, tries = 5 })
end

test("how many items stand behind others of their key is counted as it changes", function(t)
  local path = t.tmp() .. "/q.db"
  local e <close> = open(path)
  local claims = keyed(e)
  t.eq(behind(path), { 18, 18 })
  errors.check(e:settle { { claim = claims[1], state = "done" }, { claim = claims[2], state = "dead", reason = "no" } })
  t.eq(behind(path), { 16, 16 })
  errors.check(e:revive("s", "g"))
  t.eq(behind(path), { 17, 17 })
  errors.check(e:rewind("s", "g", 11)) -- ahead: what was passed over does not wait any more
  t.eq(behind(path), { 0, 0 })
  errors.check(e:claim { stream = "s", group = "g", n = 20, lease = 30, wait = 0, tries = 5 })
  t.eq(behind(path), { 8, 8 })
end)

test("a file of the first version is brought to this one, and nothing in it is lost", function(t)
  local path = t.tmp() .. "/q.db"
  do
    local e <close> = open(path)
    keyed(e)
  end
  do
    local db <close> = stoke.db.open(path)
    db:exec "DROP TRIGGER work_added; DROP TRIGGER work_changed; DROP TRIGGER work_removed"
    db:exec "ALTER TABLE groups DROP COLUMN behind; UPDATE about SET version=1"
  end
  local e <close> = open(path)
  t.eq(behind(path), { 18, 18 })
  t.eq(errors.check(e:streams())[1].groups[1].waiting, 18)
end)

test("a disk that is full is one clear error, nothing is lost, and it goes on when there is room", function(t)
  local path = t.tmp() .. "/q.db"
  store.fault { full = 1 << 40 }
  local mended <close> = setmetatable({}, { __close = function() store.fault() end }) -- luacheck: ignore
  local e <close> = open(path)
  local function item(id) return { id = id, value = ("1"):rep(9000), v = 1 } end
  errors.check(e:publish("s", { item "1", item "2" }))
  local claims = errors.check(e:claim { stream = "s", group = "g", n = 2, lease = 30, wait = 0, tries = 5 })
  store.fault { full = 1 }
  local handed = { stream = "next", id = "1", value = ("1"):rep(9000), v = 1 }
  for _, way in ipairs {
    function() return e:publish("s", { item "3" }) end,
    function() return e:settle { { claim = claims[1], state = "done", value = "out", publish = { handed } } } end,
  } do
    local done, err = way()
    t.eq({ done, err.kind, err.code }, { nil, "db", "SQLITE_FULL" })
    t.contains(err.message, "q.db cannot be written: the disk is full")
    t.contains(err.hint, "free some space")
  end
  store.fault { full = 1 << 40 }
  t.eq(errors.check(e:publish("s", { item "3" })), { true })
  t.eq(errors.check(e:settle { { claim = claims[1], state = "done", value = "out", publish = { handed } } }), { true })
  t.eq({ #errors.check(e:read("s", 1, 10)), #errors.check(e:read("next", 1, 10)) }, { 3, 1 })
end)

test("a pipeline that finds the disk full ends with that error, and goes on when there is room", function(t)
  store.fault { full = 1 << 40 }
  local mended <close> = setmetatable({}, { __close = function() store.fault() end }) -- luacheck: ignore
  local full, list = true, {}
  for i = 1, 50 do list[i] = { id = i, value = i } end
  local p = stoke.pipeline { name = "full", engine = "local:" .. t.tmp() .. "/q.db", stages = {
    { name = "one", run = function(value)
      if full and value == 20 then store.fault { full = 1 } end
      return value
    end },
    { name = "two", run = function(value) return value end } } }
  local err = t.raises("db", p.run, p, list)
  t.contains(err.message, "the disk is full")
  full = false
  store.fault { full = 1 << 40 }
  t.eq(p:run(list).done, 50)
  local seen = {}
  for item in p:results() do seen[#seen + 1] = item.value end
  table.sort(seen)
  t.eq({ #seen, seen[1], seen[50] }, { 50, 1, 50 })
end)

test("an engine that nobody knows is named without its password", function(t)
  local e, err = engine.open "postgers://ada:secret@db/jobs"
  t.eq({ e, err.kind }, { nil, "argument" })
  t.contains(err.message, 'postgers://ada:***@db/jobs" (did you mean postgres?)')
  t.eq(engine.plain "nats://ada:a/b?c@x@host:4222?password=secret&a=1", "nats://ada:***@host:4222?password=***&a=1")
end)

test("an item of a newer stoke is handed back, and its reader is told", function(t)
  local path = t.tmp() .. "/q.db"
  local e <close> = open(path)
  errors.check(e:publish("s", { { id = "1", value = "1", v = 2 } }))
  local queue <close> = stoke.queue("local:" .. path)
  local reader <close> = queue:consume("s", "g")
  local err = t.raises("protocol", function() reader:take(1) end)
  t.contains(err.message, "item 1 of the stream s was written by a newer stoke (protocol 2; this one knows 1)")
  t.eq(errors.check(e:claim { stream = "s", group = "g", n = 1, lease = 1, wait = 0, tries = 5 })[1].try, 1)
end)
