-- How much of a program is still to be done: what its kind has shown, what it asks for, and how waiting calls follow that.

local test = require "stoke.test"
local order = require "core.pool.order"
local programs = require "core.pool.programs"
local queue = require "core.pool.queue"

local seq = 0

-- Programs with one queue around them.
local function setting()
  local s = { all = programs.new(), queue = queue.new {} }
  s.group = { queue = s.queue, lanes = {} }
  function s.ask(program, agent)
    seq = seq + 1
    local ticket = { seq = seq, arrived = 0, class = 2, order = order.key(program.seq, 1), program = program, agent = agent,
      group = s.group }
    s.all:asks(ticket)
    s.queue:push(ticket)
    return ticket
  end
  function s.answer(ticket)
    s.queue:take(ticket)
    s.all:waits_not(ticket)
    s.all:over(ticket, true)
  end
  -- A program that had so many answers, one after the other.
  function s.finish(calls, agent)
    local program = { seq = 1 }
    for _ = 1, calls do s.answer(s.ask(program, agent)) end
    s.all:ended(program)
  end
  return s
end

test("of equal programs, who has begun goes on: the level falls with each answer", function(t)
  local s, levels = setting(), {}
  for _ = 1, 10 do s.finish(8, "writer") end
  local program = { seq = 5 }
  for i = 1, 8 do
    local ticket = s.ask(program, "writer")
    levels[i] = order.level(ticket.order)
    s.answer(ticket)
  end
  t.eq(levels, { 3, 2, 2, 2, 2, 1, 1, 0 })
end)

test("where most programs are one call, a new one goes first, and who goes on is one of the long ones", function(t)
  local s = setting()
  for i = 1, 20 do s.finish(i % 10 == 0 and 16 or 1) end
  local program = { seq = 5 }
  local first = s.ask(program)
  t.eq(order.level(first.order), 0)
  s.answer(first)
  t.eq(order.level(s.ask(program).order), 3) -- fifteen more
end)

test("kinds are told apart: an agent's runs are long, a plain call is one", function(t)
  local s = setting()
  t.eq(order.level(s.ask({ seq = 1 }, "writer").order), 3) -- nothing is known: eight
  t.eq(order.level(s.ask({ seq = 2 }).order), 0)
  for _ = 1, 3 do s.finish(2, "writer") end
  t.eq(order.level(s.ask({ seq = 3 }, "writer").order), 1)
  t.eq(order.level(s.ask({ seq = 4 }, "reader").order), 3)
end)

test("what a program has asked for counts, and all that it has waiting goes with it", function(t)
  local s, program, list = setting(), { seq = 1 }, {}
  for i = 1, 8 do list[i] = s.ask(program) end
  local other = s.ask { seq = 2 }
  for i = 1, 8 do t.eq(order.level(list[i].order), 3) end
  t.eq(s.queue:best(0), other)
  s.answer(other)
  for i = 1, 7 do s.answer(list[i]) end
  t.eq(order.level(list[8].order), 1) -- who has had seven, and is like nobody before, goes on for half as long again
end)

test("a giant steps behind by what it has had, level after level", function(t)
  local s, giant, levels = setting(), { seq = 1 }, {}
  for _ = 1, 10 do s.finish(1) end
  for i = 1, 64 do
    local ticket = s.ask(giant)
    if i & (i - 1) == 0 then levels[#levels + 1] = order.level(ticket.order) end
    s.answer(ticket)
  end
  t.eq(levels, { 0, 0, 0, 1, 2, 3, 4 })
end)

test("what is learned of a kind moves what waits already", function(t)
  local s = setting()
  local early = s.ask({ seq = 1 }, "writer")
  for _ = 1, 3 do s.finish(2, "writer") end
  t.eq({ order.level(early.order), s.all.changed }, { 3, true })
  s.all:weigh_all { [{ groups = { s.group } }] = true }
  t.eq({ order.level(early.order), s.all.changed }, { 1, false })
  t.eq(s.queue:best(0), early)
end)

test("a call that leaves is not waited for any more, and teaches nothing", function(t)
  local s, program, list = setting(), { seq = 1 }, {}
  for i = 1, 4 do list[i] = s.ask(program) end
  for i = 1, 4 do
    s.queue:remove(list[i])
    s.all:waits_not(list[i])
    s.all:over(list[i], false)
  end
  t.eq({ program.out, program.had, program.level, program.first, next(program.more) }, { 0, 0, 0 })
  s.all:ended(program)
  t.eq(order.level(s.ask({ seq = 2 }).order), 0)
end)

test("of finished programs so many are remembered; old ones fade", function(t)
  local s = setting()
  for _ = 1, 500 do s.finish(16) end
  for _ = 1, 200 do s.finish(1) end
  t.ok(#s.all.kinds[""].finished <= 64, #s.all.kinds[""].finished)
  t.eq(order.level(s.ask({ seq = 1 }).order), 0)
end)

test("what is computed of a program that goes on asking is bounded", function(t)
  local s, program = setting(), { seq = 1 }
  for _ = 1, 5000 do s.answer(s.ask(program, "server")) end
  local kept = 0
  for _ in pairs(s.all.kinds.server.known) do kept = kept + 1 end
  t.ok(kept <= 4096, kept)
end)
