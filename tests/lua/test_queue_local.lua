-- The local engine: what every engine has to do (tests/queue/battery.lua), and what is its own.

package.path = "tests/queue/?.lua;" .. package.path

local test = require "stoke.test"
local battery = require "battery"
local engine = require "core.engine"
local errors = require "core.errors"
local stoke = require "stoke"

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
