-- A memory that goes back to a moment: stdlib/memory/past.lua.
local stoke = require "stoke"
local json = require "stoke.json"
local past = require "stoke.memory.past"
local test = require "stoke.test"

local letters = require "meanings".letters

--- All that a memory is.
local function content(memory)
  local rows = memory:list { k = 10000 }
  table.sort(rows, function(x, y) return x.id < y.id end)
  local about = memory.db:query(("SELECT tags, last FROM %s_reflected"):format(memory.name))
  return json.encode({ rows = rows, about = about, vectors = memory.vectors and memory.vectors:count() or 0,
    words = #memory:list { k = 10000, match = "memory" } }, { pretty = true })
end

test("what was added, found and said again after a moment is as it was before it", function(t)
  local memory <close> = stoke.memory(nil, { history = true })
  local tea = memory:add("Ada prefers tea.", { created = 100, importance = 3 })
  memory:search("tea", { now = 150 })
  memory:add("It rained.", { created = 200 })
  memory:add("Ada prefers tea.", { created = 210, importance = 8 })
  memory:search("tea", { now = 220 })
  t.eq(memory:back(200), 1)
  t.eq(memory:count(), 1)
  local found = memory:get(tea)
  t.eq({ found.used, found.uses, found.importance }, { 150, 1, 3 })
  t.eq(memory:add("The sun shines.", { created = 200 }), 2) -- the number that the one it replaces had
end)

test("a moment is when a memory was added, where that is not when it was created", function(t)
  local memory <close> = stoke.memory(nil, { history = true })
  memory:add("It rained.", { created = 100, now = 160 })
  memory:add_all { { text = "It rained.", created = 110, now = 170 }, { text = "It snowed.", created = 120, now = 170 } }
  t.eq(memory:back(165), 1)
  t.eq({ memory:count(), memory:get(1).used }, { 1, 100 })
  t.eq(memory:back(160), 1)
end)

test("random memories go back to any of their moments, with their words and vectors", function(t)
  for seed = 1, 12 do
    local random = stoke.rand.new(seed)
    local memory <close> = stoke.memory(nil, { history = true, embed = letters, half_life = 50 })
    local moments = {}
    for moment = 1, 40 do
      moments[moment] = content(memory)
      for _ = 1, random:int(0, 3) do
        if random:int(1, 3) == 1 then
          memory:search("memory " .. random:int(1, 20), { k = 3, now = moment })
        elseif random:int(1, 2) == 1 then
          memory:add("memory " .. random:int(1, 20), { created = moment, importance = random:int(0, 10) })
        else
          memory:add_all { { text = "memory " .. random:int(1, 20), created = moment },
            { text = "memory " .. random:int(1, 20), created = moment, importance = 9 } }
        end
      end
    end
    local at = 41
    while at > 1 do
      at = random:int(1, at - 1)
      memory:back(at)
      t.eq(content(memory), moments[at], ("seed %d, moment %d"):format(seed, at))
    end
    t.eq(memory:count(), 0)
  end
end)

test("what was reflected on goes back, too, for memories of each tag", function(t)
  local memory <close> = stoke.memory(nil, { history = true })
  for i, user in ipairs { "ada", "ada", "bob" } do
    memory:add("drew " .. i, { tags = { user = user }, importance = 5, created = 10 })
  end
  t.model(function() return json.encode { insights = {} } end)
  local function reflect(now, user)
    return memory:reflect { model = "m", threshold = 5, now = now, tags = user and { user = user } or nil } ~= nil
  end
  t.eq({ reflect(20, "ada"), reflect(30), reflect(40, "ada"), reflect(40, "bob") }, { true, true, false, true })
  memory:back(30)
  t.eq({ reflect(50, "ada"), reflect(50, "bob"), reflect(50) }, { false, true, true })
end)

test("a memory in a file goes back after it was opened again, others in the same file stay", function(t)
  local folder = t.tmp()
  do
    local db <close> = stoke.db.open(folder .. "/two.db")
    local ada, bob = stoke.memory(db, { name = "ada", history = true }), stoke.memory(db, { name = "bob", history = true })
    for moment = 1, 3 do
      ada:add("ada " .. moment, { created = moment })
      bob:add("bob " .. moment, { created = moment })
    end
  end
  local db <close> = stoke.db.open(folder .. "/two.db")
  local ada, bob = stoke.memory(db, { name = "ada", history = true }), stoke.memory(db, { name = "bob", history = true })
  t.eq(ada:back(2), 2)
  t.eq({ ada:count(), bob:count() }, { 1, 3 })
end)

test("a search of another clock takes its now for the recency", function(t)
  local memory <close> = stoke.memory(nil, { half_life = 100 })
  memory:add("Ada prefers tea.", { created = 1000 })
  t.near(memory:search("tea", { now = 1100, touch = false })[1].recency, 0.5, 1e-9)
  t.eq(memory:search("tea", { now = 1300 })[1].created, 1000)
  t.eq(memory:list()[1].used, 1300)
end)

test("without a history a memory does not go back, and with one it forgets nothing", function(t)
  local plain <close> = stoke.memory()
  t.match(t.raises("argument", plain.back, plain, 5).message, "no history")
  local kept <close> = stoke.memory(nil, { history = true })
  t.match(t.raises("argument", kept.forget, kept, { keep = 1 }).message, "forgets nothing")
  t.match(t.raises("argument", kept.back, kept, "now").message, "a number of seconds")
end)

test("a copy has the tags, the words and the vectors, too", function(t)
  local memory <close> = stoke.memory(nil, { history = true, embed = letters })
  memory:add("Ada prefers tea.", { tags = { user = "ada" } })
  memory:add("Bob bakes.", { tags = { user = "bob", old = true } })
  local other <close> = stoke.memory(nil, { history = true, embed = letters })
  past.copy(memory, other)
  t.eq(other:search("tea", { tags = { old = true }, touch = false })[1].text, "Bob bakes.")
  t.eq({ #other:list { tags = { user = "ada" } }, #other:list { match = "bakes" }, other.vectors:count() }, { 1, 1, 2 })
end)
