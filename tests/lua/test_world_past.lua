-- The past of a world, and worlds that are kept: stdlib/world/history.lua, file.lua, memory.lua.
local stoke = require "stoke"
local test = require "stoke.test"
local worlds = require "worlds"

local open, free = worlds.open, worlds.free

-- ---- the past ------------------------------------------------------------------------------------------------------------------

local function kinds(t, f)
  for _, kept in ipairs { false, true } do f(kept and t.tmp() .. "/" or nil) end
end

test("a past moment is found without asking anybody", function(t)
  kinds(t, function(folder)
    local world, asked = open { file = folder and folder .. "town.world" }
    local closing <close> = world -- luacheck: ignore
    local seen = {}
    for tick = 1, 330 do
      free(world, 1)
      seen[tick] = world:look()
    end
    local before = asked()
    for _, tick in ipairs { 330, 1, 99, 100, 101, 205, 52 } do
      local moment = world:at(8 * 3600 + tick)
      t.eq({ moment.tick, moment.state }, { tick, seen[tick] })
    end
    t.eq(world:at(8 * 3600 + 52).thinking.ada.begun, 50)
    for tick = 200, 260, 7 do t.eq(world:at(8 * 3600 + tick).state, seen[tick]) end -- on from the one before
    world:at(8 * 3600 + 270).state.members.ada.n = "spoilt"
    t.eq(world:at(8 * 3600 + 270).state, seen[270])
    t.eq(asked(), before)
    t.raises("argument", function() world:at(8 * 3600 + 331) end)
  end)
end)

test("a look back that somebody went back behind meanwhile leaves nothing of the time that is gone", function(t)
  local world <close> = open()
  free(world, 390)
  local looking = stoke.spawn(function() return world:at(8 * 3600 + 390).tick end)
  stoke.sleep(0)
  world:back(8 * 3600 + 310)
  t.eq(looking:await(), 390)
  world:send("say", { text = "new" }, { member = "ada" })
  free(world, 85)
  t.eq(world:at(8 * 3600 + 394).state.members.ada.heard, "new")
end)

test("the time of a tick is that tick, also where ticks are parts of a second", function(t)
  for _, seconds in ipairs { 0.1, 0.3, 1 / 3, 0.7, 1e-3, 60.1 } do
    local world <close> = stoke.world { tick = seconds, start = 8.1, state = { n = 0 },
      step = function(state) state.n = state.n + 1 end }
    for tick = 1, 40 do
      world:run { speed = "free", until_time = 8.1 + tick * seconds }
      t.eq({ world:tick(), world:at(world:time()).tick, world:at(8.1 + tick * seconds).state.n }, { tick, tick, tick }, seconds)
    end
  end
end)

test("going back and running again gives the same world, and later entries are gone", function(t)
  kinds(t, function(folder)
    local world, asked = open { file = folder and folder .. "town.world" }
    local closing <close> = world -- luacheck: ignore
    world:send("say", { text = "hi" }, { member = "ada", at = 8 * 3600 + 10 })
    free(world, 330)
    local hash, log, before = world:hash(), world:inputs(), asked()
    for _, tick in ipairs { 152, 100, 99, 300 } do
      world:back(8 * 3600 + math.min(tick, world:tick()))
      t.eq(world:tick(), math.min(tick, world:tick()))
      for _, entry in ipairs(world:inputs()) do t.ok(entry.tick < world:tick()) end
      free(world, 330 - world:tick())
      t.eq(world:hash(), hash)
      t.eq(world:inputs(), log)
    end
    t.ok(asked() > before)
    world:back(8 * 3600 + 152)
    t.eq(world:thinking(), { ada = "plan", bob = "plan" })
    before = asked()
    free(world, 10)
    t.eq(asked(), before) -- their answers were known
  end)
end)

test("a member's outside work is undone from the beginning of a thought that is asked again", function(t)
  local told, world = {}, nil
  world = open { on_back = function(who, time, of) -- luacheck: ignore
    told[#told + 1] = { who, time - 8 * 3600, of == world }
  end }
  local own <close> = world -- luacheck: ignore
  free(world, 330)
  world:back(8 * 3600 + 152)
  t.eq(told, { { "ada", 152, true }, { "bob", 152, true } }) -- answers are known
  world:step(1)
  told = {}
  world:back(8 * 3600)
  free(world, 2)
  world:back(8 * 3600 + 1)
  t.eq({ told[3], told[4] }, { { "ada", 0, true }, { "bob", 0, true } }) -- asked in tick 0, without an answer yet
end)

test("what a failed attempt did outside is undone before the next one, also where it stopped the world", function(t)
  local told, tries = {}, 0
  local function back(who, time) table.insert(told, { who, time }) end
  local world <close> = stoke.world { state = { members = { a = {} } }, on_back = back,
    step = function(member, here) if here.tick == 3 then here:think(member, "plan") end end,
    thoughts = { plan = { retries = 1, stops = function(err) return err.kind == "refused" end, ask = function()
      tries = tries + 1
      table.insert(told, tries)
      if tries < 4 then stoke.raise("refused", "no server") end
      return tries
    end } } }
  t.match(t.raises("refused", function() free(world, 10) end).message, 'the thought "plan" of "a" failed: no server')
  t.eq(told, { 1, { "a", 3 }, 2 })
  free(world, 10 - world:tick())
  t.eq(told, { 1, { "a", 3 }, 2, { "a", 3 }, 3, { "a", 3 }, 4 })
  t.eq(world:inputs()[1].args, 4)
end)

test("somebody who runs it goes on from the moment that another task went back to", function(t)
  local world <close> = open()
  local scope <close> = stoke.scope {}
  local events <close> = world:events()
  local run = scope:spawn(function() return world:run { speed = 60, ticks = 600 } end)
  stoke.sleep(4)
  t.ok(world:tick() > 100)
  world:back(8 * 3600 + 20)
  t.eq(world:tick(), 20)
  t.eq(run:await(), "done")
  local other <close> = open()
  free(other, 600)
  t.eq(world:hash(), other:hash())
  local back
  while events:waiting() do back = events().type == "back" or back end
  t.ok(back)
end)

test("a branch has the same past and a future of its own; a difference names its first cause", function(t)
  kinds(t, function(folder)
    local world <close> = open { file = folder and folder .. "town.world" } -- luacheck: ignore
    free(world, 230)
    local hash = world:hash()
    local branch <close> = world:branch { at = 8 * 3600 + 110, file = folder and folder .. "other.world" }
    t.eq(branch:tick(), 110)
    free(branch, 120)
    t.eq(stoke.world.diff(world, branch).equal, true)
    branch:back(8 * 3600 + 110)
    branch:send("say", { text = "hello" }, { member = "bob" })
    free(branch, 120)
    local difference = stoke.world.diff(world, branch)
    t.eq(difference.equal, false)
    t.eq({ difference.input.n, difference.input.b.name }, { 7, "say" })
    t.eq(difference.members, { { id = "bob", fields = { "heard" } } })
    t.eq(difference.counts, { tick = { a = 230, b = 230 }, inputs = { a = 10, b = 11 } })
    t.eq(world:hash(), hash)
    if folder then
      t.match(t.raises("argument", function() world:branch { file = folder .. "other.world" } end).message, "already")
    end
  end)
end)

-- ---- files ---------------------------------------------------------------------------------------------------------------------

test("a world in a file goes on where it was, and asks nobody twice", function(t)
  local path = t.tmp() .. "/town.world"
  local whole <close> = open()
  free(whole, 330)
  local asks = 0
  for _, ticks in ipairs { 3, 49, 3, 45, 120, 110 } do
    local world, asked = open { file = path }
    local closing <close> = world -- luacheck: ignore
    free(world, ticks)
    asks = asks + asked()
  end
  local world <close> = open { file = path }
  t.eq(world:hash(), whole:hash())
  t.eq(#world:inputs(), #whole:inputs())
  t.ok(asks >= 14) -- and one more for each that was under way when it was closed
end)

test("an input that was sent is done after a restart, and results stay", function(t)
  local path = t.tmp() .. "/town.world"
  local world = open { file = path }
  local first = world:send("say", { text = "1" }, { member = "ada" })
  free(world, 1)
  local second, third = world:send("shout", "2"), world:send("shout", "3", { at = 8 * 3600 + 30 })
  world:close()
  local again <close> = open { file = path }
  t.eq(again:result(first).result, "heard at 0")
  free(again, 40)
  t.eq({ again:result(second).tick, again:result(third).tick, again:result(third).result }, { 1, 30, 2 })
  t.eq(again:send("shout", "4"), third + 1)
end)

test("a result that a killed process had not written is found again", function(t)
  local path = t.tmp() .. "/town.world"
  local world = open { file = path }
  local good, bad = world:send("say", { text = "1" }, { member = "ada" }), world:send("fail", nil, { member = "bob" })
  free(world, 20)
  world.db:exec "UPDATE input SET result = NULL, error = NULL" -- as it is until the next write
  world.log.late = {}
  world:close()
  for _ = 1, 2 do
    local again <close> = open { file = path }
    t.eq({ again:result(good).result, again:result(bad).error.message }, { "heard at 0", "no such word" })
  end
end)

test("one process has a world, and it is told which", function(t)
  local path = t.tmp() .. "/town.world"
  local world <close> = open { file = path } -- luacheck: ignore
  local err = t.raises("db", function() open { file = path } end)
  t.match(err.message, "the world is open already, in process %d+")
end)

test("another world in the file, and a file that is none, are refused", function(t)
  local path = t.tmp() .. "/town.world"
  open { file = path }:close()
  t.match(t.raises("argument", function() open { file = path, seed = 9 } end).message, "has seed = 7, not 9")
  local none = t.tmp() .. "/none.world"
  stoke.fs.write(none, ("no database "):rep(100))
  t.raises("db", function() open { file = none } end)
  local other = t.tmp() .. "/other.db"
  do
    local db <close> = stoke.db.open(other)
    db:exec "CREATE TABLE input (id INTEGER PRIMARY KEY, text TEXT)"
  end
  t.match(t.raises("argument", function() open { file = other } end).message, "has a table input of something else")
  t.match(t.raises("db", function() open { file = t.tmp() .. "/none/x.world" } end).message, "there is no folder")
  open { file = path }:close() -- nothing was left locked
end)

test("what is damaged in a file is named, and a snapshot that is taken out is made again", function(t)
  local path = t.tmp() .. "/town.world"
  local whole
  do
    local world <close> = open { file = path, snapshot = 50 }
    world:send("say", { text = "hi" }, { member = "ada" })
    free(world, 120)
    whole = world:hash()
  end
  local function change(...)
    local db <close> = stoke.db.open(path)
    db:exec(...)
  end
  local function says(words)
    t.match(t.raises("db", function() open { file = path, snapshot = 50 } end).message, "/town%.world: " .. words)
  end
  for _, text in ipairs { '{"broken', "[]", '{"state":{},"tick":100}', "7" } do
    change("UPDATE snapshot SET state = ? WHERE tick = 100", text)
    says "the snapshot of tick 100 is damaged: "
  end
  change "DELETE FROM snapshot WHERE tick = 100"
  do
    local world <close> = open { file = path, snapshot = 50 }
    t.eq(world:hash(), whole)
  end
  change "DELETE FROM snapshot WHERE tick > 0"
  change "UPDATE input SET args = '{' WHERE kind = 'input'"
  says "args of the row %d+ of its table input is damaged: "
end)

test("a step that fails in a file is found by the next process, before that tick", function(t)
  local path = t.tmp() .. "/town.world"
  local function bad(member, here)
    member.n = member.n + 1
    if here.tick == 20 then error "broken" end
  end
  local world = open { file = path, step = bad }
  t.raises("script", function() free(world, 50) end)
  world:send("say", { text = "hi" }, { member = "ada" })
  t.raises("script", function() free(world, 50) end)
  world:close()
  local again <close> = open { file = path, step = function(member) member.n = member.n + 1 end }
  t.eq(again:tick(), 20)
  free(again, 5)
  t.eq(again:look("members", "ada").n, 25)
  t.eq(again:look("members", "ada").heard, "hi")
end)

test("in a durable run a world with a file is refused, and one in memory works", function(t)
  local path = t.tmp() .. "/x.world"
  local flow = stoke.workflow("world test", function()
    local _, err = stoke.try(open, { file = path })
    local world <close> = open()
    free(world, 60)
    return { err.message, world:hash() }
  end)
  local got = flow:start():await()
  local plain <close> = open()
  free(plain, 60)
  t.match(got[1], "keeps its own log")
  t.eq(got[2], plain:hash())
end)

test("what cannot be written is not done; when it can be, it is done once", function(t)
  local path = t.tmp() .. "/town.world"
  local whole <close> = open()
  whole:send("say", { text = "hi" }, { member = "ada", at = 8 * 3600 + 30 })
  free(whole, 120)
  local world, asked = open { file = path }
  local closing <close> = world -- luacheck: ignore
  local number = world:send("say", { text = "hi" }, { member = "ada", at = 8 * 3600 + 30 })
  local function fails(sql, tick)
    world.db:exec("CREATE TRIGGER full BEFORE " .. sql .. " BEGIN SELECT raise(ABORT, 'no room'); END")
    t.match(t.raises("db", function() free(world, 120 - world:tick()) end).message, "no room")
    t.eq(world:tick(), tick)
    world.db:exec "DROP TRIGGER full"
  end
  fails("INSERT ON input WHEN new.kind = 'answer'", 5)
  fails("UPDATE OF n ON input WHEN new.kind = 'input'", 30)
  t.eq(world:result(number), nil)
  fails("INSERT ON snapshot", 100)
  free(world, 120 - world:tick())
  t.eq(world:hash(), whole:hash())
  t.eq(world:result(number).tick, 30)
  t.eq(#world:inputs(), #whole:inputs())
  t.ok(asked() > 6) -- the answers that could not be written were asked for again
end)
