-- A town: ten people of three models on a server with room for two. What a day comes to depends on its seed and its models'
-- answers alone: not on pauses, on going back, on who is stepped ahead of whom, or on how often it was killed. Never are two on one
-- tile, or one in two conversations, and models change places at most once in a minute of the town.

local rand = require "stoke.rand"
local stoke = require "stoke"
local test = require "stoke.test"
local time = require "stoke.time"
local towns = require "towns"

--- What is wrong with a state: two on one tile, one on a wall, one in two conversations.
local function wrong(state)
  local on, rooms = {}, {}
  for id, member in pairs(state.members) do
    local tile = member.x .. "," .. member.y
    if on[tile] then return ("%s and %s are both at %s"):format(id, on[tile], tile) end
    if not towns.PLACE:free(member.x, member.y) then return id .. " is on a wall" end
    on[tile] = id
    local room = member.room
    if room then
      for _, who in ipairs(room.members) do
        if rooms[who] then return who .. " is in two conversations" end
        rooms[who] = room.id
        local other = state.members[who]
        if not other or other.talk ~= room.id or other.host ~= id then return who .. " is not in the conversation that has it" end
      end
    end
  end
  for id, member in pairs(state.members) do
    if member.talk ~= rooms[id] then return id .. " is in a conversation that does not have it" end
  end
end

--- What took effect, without what differs from world to world (numbers of who sent it).
local function log(world)
  local out = {}
  for i, row in ipairs(world:inputs { from = 1 }) do
    out[i] = { row.n, row.tick, row.kind, row.member, row.name, row.args, row.result, row.failed }
  end
  return out
end

local function lived(server, hour, more)
  local world <close> = towns.world(server, more)
  towns.run(world, hour)
  return world:hash(), log(world)
end

test("a day: nobody on another's tile or in two conversations at any tick, one load a minute at most, inputs in order", function(t)
  local server <close> = towns.server()
  local ticks, talks, said, moves, gone_before = 0, {}, 0, 0, {}
  local world <close> = towns.world(server, { after = function(state)
    ticks = ticks + 1
    local problem = wrong(state)
    if problem then error(("tick %d: %s"):format(ticks, problem), 0) end
    for id, member in next, state.members do
      if member.talk then talks[member.talk] = true end
      local was = gone_before[id]
      if was and (was[1] ~= member.x or was[2] ~= member.y) then
        moves = moves + 1
        if math.abs(was[1] - member.x) + math.abs(was[2] - member.y) > 1 then error(("tick %d: %s jumps"):format(ticks, id), 0) end
      end
      gone_before[id] = { member.x, member.y }
    end
  end })
  local loads, order, ledger = {}, {}, server.sim.ledger
  local begins = ledger.load_begins
  function ledger.load_begins(...)
    local minute = world:time() // 60
    if not loads[minute] then order[#order + 1] = minute end
    loads[minute] = (loads[minute] or 0) + 1
    return begins(...)
  end
  local sent, results = {}, {}
  for hour = 7, 29 do
    sent[#sent + 1] = world:send("tell", { text = "The bell rings.", importance = 3 }, { member = "ada", at = towns.at(hour) })
    sent[#sent + 1] = world:send("broadcast", { text = "It is getting late.", importance = 2 }, { at = towns.at(hour) })
  end
  towns.run(world, 30)
  t.eq(ticks, 86400)
  t.eq(loads[order[1]], 3, "all three are cold when the first people get up")
  for i = 2, #order do t.eq(loads[order[i]], 1, ("loads in minute %d"):format(order[i])) end
  for i, number in ipairs(sent) do
    local entry = world:result(number)
    t.eq(entry.error, nil)
    results[i] = entry
  end
  for i = 1, #results - 1, 2 do -- of one tick: the world's before a member's
    t.ok(results[i + 1].n < results[i].n and results[i].tick == results[i + 1].tick)
    if results[i + 2] then t.ok(results[i].n < results[i + 2].n) end
  end
  for _, row in ipairs(log(world)) do
    if row[3] == "answer" then said = said + 1 end
    t.eq(row[8], nil)
  end
  local count = 0
  for _ in pairs(talks) do count = count + 1 end
  print(("%d turns, %d conversations, %d steps walked, %d loads"):format(said, count, moves, ledger.loads))
  t.ok(said > 300 and count > 20 and moves > 800, "a day in which little happens tests little")
end)

test("pauses, single steps and changes of speed leave the day as it is", function(t)
  local server <close> = towns.server()
  local whole, whole_log = lived(server, 10)
  local world <close> = towns.world(server)
  local g = rand.new(3)
  do
    local scope <close> = stoke.scope {}
    local run = scope:spawn(function() towns.run(world, 10) end)
    for _ = 1, 40 do
      time.sleep(g:float() * 3)
      if not world:clock().running then break end
      world:pause()
      if g:float() < 0.5 then world:step(g:int(1, 90)) end
      time.sleep(g:float())
      if g:float() < 0.3 then world:speed(g:int(1, 5) * 600) end
      world:resume()
      time.sleep(g:float())
      world:speed "free"
    end
    run:await()
  end
  t.eq(world:hash(), whole)
  t.eq(log(world), whole_log)
end)

test("gone back to any moment, the day comes out the same again", function(t)
  local server <close> = towns.server()
  local world <close> = towns.world(server)
  towns.run(world, 10)
  local whole, whole_log = world:hash(), log(world)
  for _, hour in ipairs { 9.71, 9.003, 7.02, 6 } do
    world:back(towns.at(hour))
    t.eq(world:time(), towns.at(hour) // 1)
    towns.run(world, 10)
    t.eq(world:hash(), whole, ("back to %g"):format(hour))
    t.eq(log(world), whole_log)
  end
end)

test("a past moment is as it was, and no model is asked for it", function(t)
  local server <close> = towns.server()
  local world <close> = towns.world(server)
  towns.run(world, 9.25)
  local was, members = world:hash(), world:look "members"
  towns.run(world, 10)
  local asked = server.sim.ledger.requests
  t.eq(world:at(towns.at(9.25)).state.members, members)
  t.eq(server.sim.ledger.requests, asked)
  local other <close> = world:branch { at = towns.at(9.25) }
  t.eq(other:hash(), was)
end)

test("two branches of one moment differ from the input on that only one of them had", function(t)
  local server <close> = towns.server()
  local world <close> = towns.world(server)
  towns.run(world, 9)
  local other <close> = world:branch { at = towns.at(8) }
  local same <close> = world:branch { at = towns.at(8) }
  towns.run(same, 9)
  t.eq(same:hash(), world:hash())
  other:send("broadcast", { text = "The bridge is closed." })
  towns.run(other, 9)
  t.ok(other:hash() ~= world:hash())
  local diff = stoke.world.diff(world, other)
  t.eq({ diff.equal, diff.input.b.name, diff.input.b.tick }, { false, "broadcast", 2 * 3600 })
  t.eq(stoke.world.diff(world, same).equal, true)
end)

test("who is far from others is stepped ahead of them, and the day is the same", function(t)
  local server <close> = towns.server()
  for seed = 1, 2 do
    local whole, whole_log = lived(server, 10, { seed = seed })
    for _, ahead in ipairs { 60, 3600 } do
      local hash, entries = lived(server, 10, { seed = seed, ahead = ahead })
      t.eq(hash, whole, ("seed %d, ahead %d"):format(seed, ahead))
      t.eq(entries, whole_log)
    end
  end
end)

test("a town in a file goes on where it was, again and again, as if it had never stopped", function(t)
  local server <close> = towns.server()
  local whole, whole_log = lived(server, 10)
  local file = t.tmp() .. "/town.world"
  for _, hour in ipairs { 6.5, 7.01, 7.3, 9.02, 9.5, 10 } do
    local world <close> = towns.world(server, { file = file })
    towns.run(world, hour)
    if hour == 10 then
      t.eq(world:hash(), whole)
      t.eq(log(world), whole_log)
    end
  end
end)
