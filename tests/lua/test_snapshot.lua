-- stoke.snapshot: a run that grows long keeps its state, and drops what came before.

local test = require "stoke.test"
local stored = require "kept_store"
local runs = require "core.runs"
local journals = require "core.journal"
local stoke = require "stoke"

local function count(sql) return runs.open().db:query(sql).rows[1][1] end

test("snapshot: the run goes on from its state, and what came before is gone", { real = true }, function(t)
  local store <close> = stored(t)
  local keys = {}
  local function define()
    return stoke.workflow("days", function(input)
      local key = stoke.step("day", function(step) return step.key end)
      keys[#keys + 1] = key
      if input.day == 3 then stoke.signal "go" end
      if input.day < 4 then return stoke.snapshot { day = input.day + 1, sum = input.sum + input.day } end
      return input.sum
    end)
  end
  local run = define():start({ day = 1, sum = 0 }, { id = "long" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  t.eq(count "SELECT count(*) FROM records", 2)
  store:restart()
  run = define():start({ day = 1, sum = 0 }, { id = "long" })
  run:signal "go"
  t.eq(run:await(), 6)
  t.eq(run:status().state, "done")
  local seen, distinct = {}, 0
  for _, key in ipairs(keys) do
    if not seen[key] then distinct = distinct + 1 end
    seen[key] = true
  end
  t.eq(distinct, 4) -- a key of its own each time, and the same where it was done again
end)

test("snapshot: it may go on as another workflow, by its function, too", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local function second(input) return input.n * 2 end
  stoke.workflow("second", second)
  local first = stoke.workflow("first", function() return stoke.snapshot({ n = 21 }, second) end)
  local run = first:start(nil, { id = "r" })
  t.eq(run:await(), 42)
  t.eq(run:status().workflow, "second")
end)

test("snapshot: signals that nobody took stay", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local flow = stoke.workflow("flow", function(input)
    local got = stoke.signal "n"
    if not input then return stoke.snapshot(got) end
    return { input, got }
  end)
  local run = flow:start(nil, { id = "r" })
  run:signal("n", 1)
  run:signal("n", 2)
  t.eq(run:await(), { 1, 2 })
end)

test("snapshot: each mistake is one error", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  t.raises("argument", stoke.snapshot, {})
  local function failing(name, f)
    local run = stoke.workflow(name, f):start(nil, { id = name })
    return t.raises("argument", run.await, run).message
  end
  t.match(failing("a", function() return stoke.snapshot { print } end), "plain data")
  t.match(failing("b", function() return stoke.snapshot({}, function() end) end), "a run goes on with a workflow")
  t.match(failing("c", function() stoke.step("s", function() return stoke.snapshot {} end) end), "only a durable run")
end)

test("snapshot: a run of very many effects is told of once", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local before, many, told = journals.MANY, journals.on_many, 0
  local _ <close> = setmetatable({}, { __close = function() journals.MANY, journals.on_many = before, many end })
  journals.MANY = 5
  journals.on_many = function(journal)
    told = told + 1
    many(journal)
  end
  stoke.workflow("w", function()
    for _ = 1, 20 do stoke.sleep(0) end
  end):start(nil, { id = "w" }):await()
  t.eq(told, 1)
end)
