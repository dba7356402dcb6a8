-- Channels, select and semaphores: order, bounds, closing, cancelling.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local fifo = require "core.fifo"

local scale = tonumber(os.getenv "STOKE_SCALE") or 1
local function many(n) return math.max(10, math.floor(n * scale)) end

test("values come out in the order they went in, and a send waits while the channel is full", function(t)
  local channel, log = stoke.channel(2), {}
  stoke.spawn(function()
    for i = 1, 5 do
      channel:send(i)
      log[#log + 1] = "sent " .. i
    end
    channel:close()
  end)
  stoke.sleep(1)
  t.eq(log, { "sent 1", "sent 2" })
  local got = {}
  for value in channel do got[#got + 1] = value end
  t.eq(got, { 1, 2, 3, 4, 5 })
  t.eq(#log, 5)
end)

test("without capacity a send meets a receiver", function(t)
  local channel, log = stoke.channel(), {}
  stoke.spawn(function() channel:send "a" log[#log + 1] = "sent" end)
  stoke.sleep(1)
  t.eq(log, {})
  t.eq(channel:recv(), "a")
  stoke.sleep(0)
  t.eq(log, { "sent" })
end)

test("false is a value, nil is not", function(t)
  local channel = stoke.channel(2)
  channel:send(false)
  t.eq(table.pack(channel:recv()), { n = 1, false })
  t.raises("argument", channel.send, channel, nil)
  t.raises("argument", stoke.channel, -1)
  t.raises("argument", stoke.channel, 1.5)
  t.raises("argument", channel.recv, channel, -1)
  t.raises("argument", channel.recv, channel, 0 / 0)
end)

test("waiting senders and receivers are served oldest first", function(t)
  local channel, got = stoke.channel(), {}
  for i = 1, 4 do
    stoke.spawn(function()
      local value = channel:recv()
      got[#got + 1] = i .. value
    end)
  end
  stoke.sleep(0)
  for _, value in ipairs { "a", "b", "c", "d" } do channel:send(value) end
  stoke.sleep(0)
  t.eq(got, { "1a", "2b", "3c", "4d" })
  for i = 1, 3 do stoke.spawn(function() channel:send(i) end) end
  stoke.sleep(0)
  t.eq({ channel:recv(), channel:recv(), channel:recv() }, { 1, 2, 3 })
end)

test("closing: what is queued can be received, then closed; waiters are told", function(t)
  local channel = stoke.channel(1)
  channel:send "last"
  local sender = stoke.spawn(function() return pcall(channel.send, channel, "too late") end)
  stoke.sleep(0)
  channel:close()
  channel:close()
  local ok, err = sender:await()
  t.eq(ok, false)
  t.match(err.message, "was closed")
  t.eq(channel:recv(), "last")
  t.eq(table.pack(channel:recv()), { n = 2, nil, "closed" })
  t.raises("argument", channel.send, channel, 1)
  local empty = stoke.channel()
  local receiver = stoke.spawn(function() return empty:recv() end)
  stoke.sleep(0)
  empty:close()
  t.eq(table.pack(receiver:await()), { n = 2, nil, "closed" })
end)

test("recv with a limit gives up, and takes nothing afterwards", function(t)
  local channel = stoke.channel()
  t.eq(table.pack(channel:recv(2)), { n = 2, nil, "timeout" })
  t.near(time.monotonic(), 2, 1e-9)
  local sender = stoke.spawn(function() channel:send "kept" end)
  stoke.sleep(0)
  t.eq(sender.state, nil)
  t.eq(channel:recv(), "kept")
  t.eq(table.pack(channel:recv(0)), { n = 2, nil, "timeout" })
end)

test("a cancelled receiver takes no value with it", function(t)
  local channel = stoke.channel()
  local first = stoke.spawn(function() channel:recv() end)
  local got
  stoke.spawn(function() got = channel:recv() end)
  stoke.sleep(0)
  first:cancel()
  channel:send "for the second"
  stoke.sleep(0)
  t.eq(got, "for the second")
end)

test("a receiver cancelled in the moment its value came still has it", function(t)
  local channel, got = stoke.channel(), nil
  local task = stoke.spawn(function()
    got = channel:recv()
    stoke.sleep(1)
    got = "not reached"
  end)
  stoke.sleep(0)
  channel:send "here"
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(got, "here")
end)

test("a cancelled sender's value is not sent", function(t)
  local channel = stoke.channel()
  local task = stoke.spawn(function() channel:send "withdrawn" end)
  stoke.sleep(0)
  task:cancel()
  t.eq(table.pack(channel:recv(1)), { n = 2, nil, "timeout" })
end)

test("where nothing can wait, only what need not wait works, and nothing is lost", function(t)
  local channel = stoke.channel(1)
  local seen = {}
  ("ab"):gsub(".", function(c) seen[#seen + 1] = pcall(channel.send, channel, c) end)
  t.eq(seen, { true, false })
  t.eq(channel:recv(), "a");
  ("a"):gsub(".", function() seen = table.pack(pcall(channel.recv, channel)) end)
  t.eq(seen[1], false)
  t.match(seen[2].message, "nothing can wait here")
  channel:send "b"
  t.eq(channel:recv(), "b")
  local started = time.monotonic()
  stoke.sleep(1)
  t.near(time.monotonic(), started + 1, 1e-9)
end)

test("select takes the first channel that has a value, or is closed", function(t)
  local a, b = stoke.channel(), stoke.channel(1)
  b:send(7)
  local channel, value = stoke.select { a, b }
  t.ok(channel == b)
  t.eq(value, 7)
  stoke.spawn(function() stoke.sleep(1) a:send "from a" end)
  channel, value = stoke.select { a, b }
  t.ok(channel == a)
  t.eq(value, "from a")
  t.eq(stoke.select({ a, b }, 3), nil)
  t.near(time.monotonic(), 4, 1e-9)
  stoke.spawn(function() stoke.sleep(1) b:close() end)
  channel, value = stoke.select { a, b }
  t.ok(channel == b)
  t.eq(value, nil)
  t.raises("argument", stoke.select, {})
  t.raises("argument", stoke.select, { 1 })
  t.raises("argument", stoke.select, { a }, -1)
end)

test("a select takes one value only, and leaves nothing behind in the other channels", function(t)
  local a, b = stoke.channel(), stoke.channel()
  local got = {}
  local task = stoke.spawn(function() got[1] = { stoke.select { a, b, a } } end)
  stoke.sleep(0)
  stoke.spawn(function() a:send "a" end)
  local second = stoke.spawn(function() b:send "b" end)
  task:await()
  stoke.sleep(0)
  t.ok(got[1][1] == a)
  t.eq(second.state, nil)
  t.eq(b:recv(), "b")
  t.eq({ a.receivers.head, b.receivers.head }, {})
  local cancelled = stoke.spawn(function() stoke.select { a, b } end)
  stoke.sleep(0)
  cancelled:cancel()
  stoke.sleep(0)
  t.eq({ a.receivers.head, b.receivers.head }, {})
end)

test("a semaphore has so many holders, oldest waiter first, nobody overtakes", function(t)
  local semaphore, order, running, most = stoke.semaphore(2), {}, 0, 0
  for i = 1, 6 do
    stoke.spawn(function()
      local _ <close> = semaphore:acquire()
      running = running + 1
      most = math.max(most, running)
      order[#order + 1] = i
      stoke.sleep(1)
      running = running - 1
    end)
  end
  stoke.sleep(0.5)
  stoke.spawn(function() local _ <close> = semaphore:acquire() order[#order + 1] = "late" end)
  stoke.sleep(10)
  t.eq(most, 2)
  t.eq(order, { 1, 2, 3, 4, 5, 6, "late" })
  t.raises("argument", stoke.semaphore, 0)
end)

test("a semaphore loses no permit to a cancel, before the grant or in its moment", function(t)
  local semaphore = stoke.semaphore(1)
  local permit = semaphore:acquire()
  local waiting = stoke.spawn(function() local _ <close> = semaphore:acquire() end)
  local granted = stoke.spawn(function() local _ <close> = semaphore:acquire() stoke.sleep(100) end)
  stoke.sleep(0)
  waiting:cancel()
  stoke.sleep(0)
  permit:release()
  granted:cancel() -- it has the permit, and does not know yet
  permit:release() -- twice is once
  stoke.sleep(1)
  local again = semaphore:acquire()
  t.eq(semaphore.free, 0)
  again:release()
  t.eq(semaphore.free, 1)
end)

test("long queues: many waiters come and are cancelled, in any order, in linear time", { real = true }, function(t)
  local n = many(100000)
  local function measure(what, wait, tail)
    local started = time.cpu()
    local tasks = {}
    for i = 1, n do tasks[i] = stoke.spawn(wait) end
    stoke.sleep(0)
    local from, to, by = 1, n, 1
    if tail then from, to, by = n, 1, -1 end
    for i = from, to, by do tasks[i]:cancel() end
    stoke.sleep(0)
    t.ok(time.cpu() - started < 20, what)
  end
  local channel, semaphore = stoke.channel(), stoke.semaphore(1)
  local permit = semaphore:acquire()
  local slow = stoke.spawn(stoke.sleep, 1000)
  measure("recv", function() channel:recv() end)
  measure("send", function() channel:send(1) end, true)
  measure("semaphore", function() semaphore:acquire() end)
  measure("await", function() slow:await() end, true)
  t.eq(channel.receivers.head or channel.senders.head or semaphore.waiting.head, nil)
  t.eq(slow.waiters.head, nil)
  permit:release()
  slow:cancel()
end)

test("fifo: members leave from anywhere", function(t)
  local queue, items = {}, {}
  for i = 1, 5 do
    items[i] = { i }
    fifo.push(queue, items[i])
  end
  t.eq(fifo.remove(queue, items[3]), true)
  t.eq(fifo.remove(queue, items[3]), false)
  t.eq(fifo.remove(queue, items[5]), true)
  t.eq(fifo.pop(queue)[1], 1)
  fifo.push(queue, items[3])
  local order = {}
  for item in function() return fifo.pop(queue) end do order[#order + 1] = item[1] end
  t.eq(order, { 2, 4, 3 })
  t.eq({ queue.head, queue.tail }, {})
end)
