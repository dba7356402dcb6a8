-- Databases under load, for `make bench` beside bare SQLite (store.c): 64 tasks that append, write, or read by key.
--   stoke test --internal --file store.lua          FOLDER and SECONDS in the environment
local env = require "stoke.env"
local stoke = require "stoke"
local store = require "host.store"
local test = require "stoke.test"
local time = require "stoke.time"

local TASKS = 64
local FILLER = ("x"):rep(256)

test("databases", { real = true, timeout = 100 }, function()
  local seconds = tonumber(env.get "SECONDS")
  local db = assert(store.open(env.get "FOLDER" .. "/stoke.db"))
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, a INTEGER, b TEXT)")

  --- How often a second `tasks` tasks do f, one after the other each.
  local function rate(tasks, f)
    local n, from = 0, time.monotonic()
    local scope <close> = stoke.scope()
    for _ = 1, tasks do
      scope:spawn(function()
        while time.monotonic() < from + seconds do
          f(n)
          n = n + 1
        end
      end)
    end
    scope:wait()
    return n / (time.monotonic() - from)
  end

  local INSERT = "INSERT INTO t(a, b) VALUES(?, ?)"
  local durable = rate(TASKS, function(n) assert(db:append({ { INSERT, n, FILLER } }, true):wait()) end)
  local appends = rate(TASKS, function(n) assert(db:append { { INSERT, n, FILLER } }:wait()) end)
  local writes = rate(TASKS, function(n) assert(db:write(INSERT, { n, FILLER })) end)
  local alone = rate(1, function(n) assert(db:write(INSERT, { n, FILLER })) end)
  local reads = rate(1, function(n) assert(db:query("SELECT a, b FROM t WHERE n = ?", { 1 + n * 37 % 1000 })) end)
  local many = rate(TASKS, function(n) assert(db:query("SELECT a, b FROM t WHERE n = ?", { 1 + n * 37 % 1000 })) end)
  assert(db:close())
  print(("durable_s=%.0f appends_s=%.0f writes_s=%.0f one_s=%.0f read_us=%.2f reads_s=%.0f"):format(
    durable, appends, writes, alone, 1e6 / reads, many))
end)
