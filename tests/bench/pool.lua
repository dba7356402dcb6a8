-- make bench: who of 10,000 waiting calls goes next: asked for and taken, of as many programs as calls, and of one program; what a
-- waiting call takes beside its task.  stoke test --internal --file pool.lua

local order = require "core.pool.order"
local plain = require "core.pool.fifo"
local queue = require "core.pool.queue"
local test = require "stoke.test"
local time = require "stoke.time"

local ROUNDS, WAITING, TURN, LIMIT, BYTES = 7, 10000, 2000, 2, 400

-- A ticket as the pool makes it: what is usual is in its metatable.
local usual = { __index = { class = 2, holder = false, state = "waiting" } }
local seq, group, call = 0, {}, {}
local function ticket(roots)
  seq = seq + 1
  return setmetatable({ seq = seq, arrived = seq * 1e-6, order = order.key(math.random(roots), 1), group = group, call = call,
    program = group, unit = nil, place = nil }, usual)
end

local function filled(kind, roots)
  local q = kind.new {}
  for _ = 1, WAITING do q:push(ticket(roots)) end
  return q
end

-- Microseconds of f(q) done n times; before it, n new ones come.
local function round(q, roots, f)
  for _ = 1, TURN do q:push(ticket(roots)) end
  time.sleep(0) -- a turn for the others: no watchdog in the figures
  collectgarbage "stop"
  local start = time.cpu()
  for _ = 1, TURN do f(q) end
  local took = time.cpu() - start
  collectgarbage "restart"
  return took / TURN * 1e6
end

local function median(kind, roots, f)
  local q, list = filled(kind, roots), {}
  for i = 1, ROUNDS do list[i] = round(q, roots, f) end
  table.sort(list)
  return list[ROUNDS // 2 + 1]
end

local function grant(q) q:take((q:best(0))) end

local function row(what, ours, theirs, limit)
  print(("%-46s %10.2f %10.2f %-6s %5.2fx  %s"):format(what, ours, theirs, "us", ours / theirs,
    limit and ("(under %g us)%s"):format(limit, ours > limit and "  MISSED" or "") or ""))
end

local function bytes(roots)
  collectgarbage()
  local before = collectgarbage "count"
  local q = filled(queue, roots)
  collectgarbage()
  local after = collectgarbage "count"
  return (after - before) * 1024 / q.size
end

test("pool", function()
  print(("%-46s %10s %10s"):format("", "queue", "fifo"))
  local fifo = median(plain, WAITING, grant)
  row("the next of 10,000 programs' calls, taken", median(queue, WAITING * 100, grant), fifo, LIMIT)
  row("the next of 10,000 calls of one program", median(queue, 1, grant), fifo, LIMIT)
  local most = math.max(bytes(1 << 29), bytes(1))
  print(("%-46s %10.0f %10s %-6s %6s  (under %g)%s"):format("a waiting call, beside its task", most, "", "B", "", BYTES,
    most > BYTES and "  MISSED" or ""))
end)
