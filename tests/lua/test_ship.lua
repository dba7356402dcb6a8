-- What a run that several hosts may have writes to its log, and what another host makes of it.

local test = require "stoke.test"
local disk = require "host.store"
local errors = require "core.errors"
local lives = require "core.runs.live"
local runs = require "core.runs"
local ship = require "core.store.ship"
local stoke = require "stoke"
local stored = require "kept_store"
local stores = require "core.store"

-- A log of one run, as an engine keeps it: a value is taken only behind the last one.
local function log_of(options)
  local log = { values = {}, refused = 0, fails = options and options.fails or 0 }
  function log.append(after, value)
    if log.fails > 0 then
      log.fails = log.fails - 1
      return nil, errors.new("refused", "no engine there")
    end
    if after ~= #log.values then return nil, errors.new("parked", "another host has the run") end
    log.values[after + 1] = value
    return after + 1
  end
  function log.lost() log.refused = log.refused + 1 end
  return log
end

-- Runs of this process go to this log.
local function sent_to(log)
  local before = lives.share
  lives.share = function(entry, of_store)
    log.ship = assert(ship.new(of_store, log))
    return entry and true
  end
  return setmetatable({}, { __close = function() lives.share = before end })
end

local function none() error "no content is elsewhere" end

local LONG <const> = ("long "):rep(1000)

local function workflow(done)
  return stoke.workflow("order", function(input)
    local out = {}
    for i = 1, 3 do
      out[i] = stoke.step("pay " .. i, function()
        done[#done + 1] = i
        return { i, LONG, "\xff\0", 0.1, { [1.5] = true } }
      end)
    end
    out[4] = stoke.signal "go"
    out[5] = stoke.step("end", function()
      done[#done + 1] = "end"
      return math.random(1 << 40)
    end)
    out[6] = input
    return out
  end)
end

local function begin(id, input)
  local run = assert(runs.open():create { id = id, workflow = "order", input = input, shared = 0 })
  return assert(lives.begin(runs.open(), run, runs.defined.order))
end

local function waits(id)
  while runs.find(id).state ~= "waiting" do stoke.sleep(0.005) end
end

-- The first half of a run on one host, as its log has it.
local function first_half(t, log, done)
  local store <close> = stored(t) -- luacheck: ignore
  local _ <close> = sent_to(log)
  workflow(done)
  begin("r", { lamp = LONG })
  waits "r"
  assert(not log.ship:wait())
end

test("another host goes on from the log: nothing is done twice, and the result is the same", { real = true }, function(t)
  local log, done = log_of(), {}
  first_half(t, log, done)
  t.eq(done, { 1, 2, 3 })

  local store <close> = stored(t) -- luacheck: ignore
  local _ <close> = sent_to(log)
  workflow(done)
  assert(runs.open():create { id = "other", workflow = "x" }) -- so that the run gets another number here
  local run = assert(ship.take_in(runs.open(), { id = "r", workflow = "order", input = { lamp = LONG } }, log.values, #log.values,
    none))
  t.eq(run.state, "waiting")
  local entry = assert(lives.begin(runs.open(), run, runs.defined.order))
  runs.signal("r", "go", "went")
  lives.wait(entry)
  local out = entry.ended.result
  t.eq({ out[1], out[3][3], out[4], out[6] }, { { 1, LONG, "\xff\0", 0.1, { [1.5] = true } }, "\xff\0", "went", { lamp = LONG } })
  t.eq(done, { 1, 2, 3, "end" })
  t.eq(runs.open():check(), {})
end)

test("a host that was frozen writes no more once another has gone on", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local log, done = log_of(), {}
  local _ <close> = sent_to(log)
  workflow(done)
  local entry = begin("r", nil)
  waits "r"
  assert(not log.ship:wait())
  log.values[#log.values + 1] = ship.EMPTY -- another host
  runs.signal("r", "go", 1)
  lives.wait(entry)
  t.eq({ done, log.refused, entry.ended }, { { 1, 2, 3 }, 1, nil })
end)

test("while the log cannot be reached the run waits before what must not be done twice", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local log, done, told = log_of { fails = 2 }, {}, 0
  local _ <close> = sent_to(log)
  function log.slow(err) told = told + (err and 1 or 10) end
  workflow(done)
  local entry = begin("r", nil)
  stoke.sleep(0.05)
  t.eq(done, {}, "the log has no word of it")
  runs.signal("r", "go", 1)
  lives.wait(entry)
  t.eq({ entry.ended.state, told }, { "done", 11 })
end)

test("the word of the log does not stand for this host's disk: what must not be done twice waits for both", { real = true },
  function(t)
    disk.fault {} -- for the store that is opened now
    local faults <close> = setmetatable({}, { __close = function() disk.fault() end }) -- luacheck: ignore
    local store <close> = stored(t) -- luacheck: ignore
    local log, done = log_of(), {}
    local _ <close> = sent_to(log)
    workflow(done)
    local run = assert(runs.open():create { id = "r", workflow = "order", shared = 0 })
    disk.fault { sync = 1, times = 1000 }
    local entry = assert(lives.begin(runs.open(), run, runs.defined.order))
    repeat stoke.sleep(0.01) until #log.values > 0
    stoke.sleep(0.1)
    t.eq(done, {}, "the log has it, the disk does not")
    disk.fault {}
    runs.signal("r", "go", 1)
    lives.wait(entry)
    t.eq(done, { 1, 2, 3, "end" })
  end)

test("what was not sent is sent by the next process of the same host", { real = true }, function(t)
  local log, done = log_of(), {}
  local store <close> = stored(t)
  do
    local _ <close> = sent_to(log)
    workflow(done)
    begin("r", nil)
    waits "r"
    log.ship:close() -- as a process that is killed sends nothing
    assert(runs.open():signal("r", "go", 1))
    runs.told "r"
    stoke.sleep(0.05)
    store:restart()
  end
  local _ <close> = sent_to(log)
  workflow(done)
  local run = runs.find "r"
  local behind = table.move(log.values, run.shared + 1, #log.values, 1, {})
  t.eq(ship.agrees(runs.open(), run, behind, #log.values), true)
  local entry = assert(lives.begin(runs.open(), runs.find "r", runs.defined.order))
  lives.wait(entry)
  t.eq({ entry.ended.state, done }, { "done", { 1, 2, 3, "end" } })
  local other = assert(stores.open ":memory:")
  local copy = assert(ship.take_in(other, { id = "r", workflow = "order" }, log.values, #log.values, none))
  t.eq({ copy.state, copy.result[5] }, { "done", entry.ended.result[5] })
  assert(other:close())
end)

test("a copy that another host has gone on from is of no use, and is deleted", { real = true }, function(t)
  local log, done = log_of(), {}
  local store <close> = stored(t) -- luacheck: ignore
  do
    local _ <close> = sent_to(log)
    workflow(done)
    begin("r", nil)
    waits "r"
    assert(not log.ship:wait())
    runs.leave()
  end
  local run = runs.find "r"
  t.eq(ship.agrees(runs.open(), run, { ship.EMPTY .. '{"w":"another","n":1,"s":[]}' }, run.shared + 1), false)
  t.eq(ship.forget(runs.open(), run), true)
  t.eq({ runs.open():find "r", runs.open():check() }, { nil, {} })
end)

test("an entry that is longer than a value of the log comes back whole", { real = true }, function(t)
  local before = ship.PART
  local _ <close> = setmetatable({}, { __close = function() ship.PART = before end })
  ship.PART = 1000
  local log, done = log_of(), {}
  first_half(t, log, done)
  t.ok(#log.values > 5)
  local other = assert(stores.open ":memory:")
  local run = assert(ship.take_in(other, { id = "r", workflow = "order" }, log.values, #log.values, none))
  t.eq({ run.state, assert(other:check()) }, { "waiting", {} })
  assert(other:close())
end)

test("a journal of a newer stoke is refused, and one that is damaged", { real = true }, function(t)
  local other = assert(stores.open ":memory:")
  local function refused(value)
    local run, err = ship.take_in(other, { id = value, workflow = "order" }, { value }, 1, none)
    t.eq(run, nil)
    return err.message
  end
  t.contains(refused "stoke 2 {}", "version 2, this stoke knows up to 1")
  t.contains(refused "hello", "a value has no version")
  t.contains(refused "stoke 1 [1]", "an entry that is none")
  t.contains(refused 'stoke 1 {"s":[[999,0]]}', "a statement that is none")
  t.contains(refused 'stoke 1 {"s":[[1,1,"x"]]}', "a record without a number")
  assert(other:close())
end)
