-- Many at once, and files that are damaged anywhere.

local test = require "stoke.test"
local errors = require "core.errors"
local fs = require "stoke.fs"
local stoke = require "stoke"
local stored = require "stored"
local stores = require "core.store"

local ok = stored.ok

test("more is gathered in one turn than the engine takes at once", { real = true }, function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  for i = 1, 50010 do
    stored.record(log, i, { value = i, facts = { attempts = 1 } }, { request = false })
    if i % 1000 == 0 then stoke.sleep(0) end
  end
  log:deliveries "the last"
  ok(log:commit())
  local n = ok(store.db:query "SELECT count(*) FROM records").rows[1][1]
  t.eq({ n, ok(store:load(run, 3)).rows[3].outcome.value }, { 50010, 3 })
end)

test("hundreds of runs are made, written and loaded at the same time", { real = true }, function(t)
  local store <close> = stored.closing(stored.open(t.tmp() .. "/state.db"))
  local numbers = {}
  for i = 1, 300 do numbers[i] = i end
  local scope <close> = stoke.scope {}
  local sums = scope:map(numbers, function(i)
    local run = ok(store:create { id = "r" .. i, workflow = "w", input = i })
    local log = ok(store:log(run))
    for k = 1, 5 do
      stored.record(log, k, { value = ("text %d "):format(i * k):rep(60), facts = { attempts = 1 } })
      ok(log:commit())
    end
    log:finish("done", i)
    ok(log:barrier())
    local sum = 0
    for _, row in ipairs(ok(store:load(run)).rows) do sum = sum + tonumber(row.outcome.value:match "%d+") end
    return sum
  end)
  for i = 1, 300 do t.eq(sums[i], 15 * i) end
  t.eq(ok(store:check()), {})
end)

-- A damaged copy of a store: some of its bytes are others, or its end is missing.
local function damage(bytes)
  if math.random(5) == 1 then return bytes:sub(1, math.random(#bytes) - 1) end
  local parts, from = {}, 1
  local places = {}
  for i = 1, math.random(8) do places[i] = math.random(#bytes) end
  table.sort(places)
  for _, place in ipairs(places) do
    if place >= from then
      local size = math.random(3) == 1 and math.random(600) or 1
      parts[#parts + 1] = bytes:sub(from, place - 1)
      parts[#parts + 1] = string.char(math.random(0, 255)):rep(size)
      from = place + size
    end
  end
  parts[#parts + 1] = bytes:sub(from)
  return table.concat(parts)
end

-- Everything that reads; what is found wrong.
local function look(path)
  local store, err = stores.open(path)
  if not store then return err end
  local _ <close> = stored.closing(store)
  local list
  list, err = store:list()
  for _, run in ipairs(list or {}) do
    local parts, failed = store:load(run)
    err = err or failed
    if parts then
      local read, raised = pcall(function()
        for _, row in ipairs(parts.rows) do local _ = row.request end
      end)
      if not read then err = err or raised end
    end
    local _, told = store:signals(run)
    err = err or told
  end
  local problems, failed = store:check()
  return err or failed or problems[1] and errors.new("db", problems[1])
end

test("a file that is damaged anywhere gives errors of kind db, or what it says", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  local store, run, log = stored.run(path)
  for i = 1, 40 do
    stored.record(log, i, { value = { text = ("answer %d "):format(i):rep(i), list = { i, 1.5, "\255" } },
      facts = { attempts = 1 } },
      { request = { body = { messages = { { role = "user", content = ("question %d "):format(i):rep(30) } } } } })
  end
  log:deliveries(("\1\2"):rep(40))
  ok(log:barrier())
  ok(store:signal(run.id, "go", { 1 }))
  store:close()
  local whole, seen = fs.read(path), 0
  for seed = 1, tonumber(os.getenv "STOKE_MUTATIONS") or 60 do
    math.randomseed(seed)
    local copy = ("%s.%d"):format(path, seed)
    fs.write(copy, damage(whole))
    local err = look(copy)
    if err then
      seen = seen + 1
      if not errors.is(err) or err.kind ~= "db" then t.eq(("seed %d: %s"):format(seed, tostring(err)), nil) end
    end
    fs.remove(copy)
  end
  t.ok(seen > 10, "damage is seen")
end)
