-- A journal that ends in the middle of its run: what is on it is given, what is not is done, and the run comes to its end.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local orders = require "order_runs"
local runs = require "runs"
local task = require "host.task"

local ask = runs.ask

test("cut after any outcome, a run of many tasks goes on where it was, and asks only for what is missing", function(t)
  local cuts = {}
  local function f(watched)
    local function told(text, wait)
      local value = ask(text, { wait = wait }).text
      if watched then cuts[#cuts + 1] = journal.current():snapshot() end
      return value
    end
    local channel, parts = stoke.channel(1), {}
    local scope <close> = stoke.scope {}
    for i = 1, 3 do
      scope:spawn(function()
        for j = 1, 3 do channel:send(told(("%d.%d"):format(i, j), (i * 7 + j * 3) % 5 / 10 + 0.01)) end
      end)
    end
    for i = 1, 9 do parts[i] = channel:recv() end
    return table.concat(parts, " ")
  end
  local _, whole = journal.record("run", f, true)
  t.eq(#cuts, 9)
  for n, tape in ipairs(cuts) do
    runs.asked = {}
    local results = journal.replay(tape, f)
    t.eq(results.err, nil, n)
    t.eq(#runs.asked, 9 - n, n)
    local words = {}
    for word in results[1]:gmatch "%S+" do words[#words + 1] = word end
    table.sort(words)
    t.eq(#words, 9, n)
    t.eq(#whole[1], #results[1], n)
  end
end)

-- A stream of so many words, one each 0.1 s.
effect.define("test.words", { stream = true, class = "idempotent", run = function(q)
  local source = { left = q.count, about = { language = "en" } }
  function source.next(self)
    if self.left == 0 then return nil, q.fail and errors.new("incomplete", "it broke") or nil end
    local _, cancelled = task.park("test.words", 0.1)
    if cancelled then return nil, cancelled end
    self.left = self.left - 1
    return { type = "text", text = "w" .. q.count - self.left }
  end
  function source.close() end
  return source
end })

local function read(q, most)
  local stream = errors.check(effect.perform("test.words", q))
  local words = { stream.about.language }
  for _ = 1, most or 100 do
    local item, err = stream:next()
    if not item then return table.concat(words, " "), err and err.kind or "end" end
    words[#words + 1] = item.text
    if journal.current().cut_at == #words then runs.snapshot = journal.current():snapshot() end
  end
  stream:close()
  return table.concat(words, " "), "left"
end

test("streams: read to the end, broken off, and left; with what is known once they are open", function(t)
  local first, second = runs.twice(function()
    local a, b = read { count = 3 }
    local c, d = read { count = 2, fail = true }
    local e, f = read({ count = 9 }, 2)
    return a, b, c, d, e, f
  end)
  t.eq({ table.unpack(first) }, { "en w1 w2 w3", "end", "en w1 w2", "incomplete", "en w1 w2", "left" })
  t.eq(second, first)
end)

test("streams: where the journal ends in the middle of one it breaks off there, and may be asked again", function(t)
  journal.record("run", function()
    journal.current().cut_at = 3
    return read { count = 5 }
  end)
  local results = journal.replay(runs.snapshot, function()
    local words, why = read { count = 5 }
    if why == "interrupted" then return words, read { count = 5 } end
    return words, why
  end)
  t.eq(results.err, nil)
  t.eq({ results[1], results[2], results[3] }, { "en w1 w2", "en w1 w2 w3 w4 w5", "end" })
end)

-- A journal that ends before its last deliveries: what came was kept, and the process ended before the run saw it.
local function before_last(tape, n)
  local held, list = tape:snapshot(), orders.decode(tape.deliveries)
  held.deliveries = orders.encode(table.move(list, 1, #list - n, 1, {}))
  return held
end

test("an outcome that nobody had seen has its place where the run goes on, and the same one from then on", function(t)
  local function f()
    local seen = {}
    local function work(name)
      return function()
        seen[#seen + 1] = runs.ask(name, { wait = 0.1 }).text
        stoke.sleep(0)
        seen[#seen + 1] = name
      end
    end
    stoke.all { work "a", work "b", function() for _ = 1, 5 do stoke.sleep(0) seen[#seen + 1] = "c" end end }
    return table.concat(seen, " ")
  end
  local tape = journal.record("run", f)
  for n = 1, #orders.decode(tape.deliveries) do
    runs.asked = {}
    local first, longer = journal.replay(before_last(tape, n), f)
    t.eq({ first.err, #runs.asked }, { nil, 0 }, n)
    local second, again = journal.replay(longer, f)
    t.eq({ second, again.deliveries }, { first, longer.deliveries }, n)
  end
end)

test("a stream that broke off where the journal ended breaks off there again", function(t)
  journal.record("run", function()
    journal.current().cut_at = 3
    return read { count = 5 }
  end)
  local function f()
    local words, why = read { count = 5 }
    return words, why, ask("after", { wait = 0.1 }).text, stoke.spawn(ask, "last"):await().text
  end
  local first, longer = journal.replay(runs.snapshot, f)
  t.eq({ first.err, first[1], first[2] }, { nil, "en w1 w2", "interrupted" })
  t.eq(longer.rows[1].outcome.items[3].err.kind, "interrupted") -- like any other end
  runs.asked = {}
  local second, again = journal.replay(longer, f)
  t.eq({ second, again.deliveries, runs.asked }, { first, longer.deliveries, {} })
end)

test("an effect whose task was cancelled while the process ended is not done any more", function(t)
  local function f(ask_live)
    local task_of = stoke.spawn(ask_live, "late", { wait = 1 })
    stoke.sleep(0.1)
    task_of:cancel()
    if journal.current().cut_here then runs.snapshot = journal.current():snapshot() end
    return stoke.try(task_of.await, task_of) == nil
  end
  journal.record("run", function()
    journal.current().cut_here = true
    return f(ask)
  end)
  runs.asked = {}
  local first, longer = journal.replay(runs.snapshot, f, ask)
  t.eq({ first[1], runs.asked }, { true, {} })
  local second, again = journal.replay(longer, f, ask)
  t.eq({ second, again.deliveries, runs.asked }, { first, longer.deliveries, {} })
end)

test("a source that raises while it is read is replayed as that, and what follows keeps its order", function(t)
  effect.define("test.raises", { stream = true, class = "pure", run = function()
    return { close = function() end, next = function()
      task.park("test.raises", 0.1)
      errors.argument "another task reads this"
    end }
  end })
  local function f()
    local stream = errors.check(effect.perform("test.raises", {}))
    local _, err = stoke.try(stream.next, stream)
    stream:close()
    return err.message, ask("after", { wait = 0.1 }).text
  end
  local first, second = runs.twice(f)
  t.eq({ first[1], first[2] }, { "another task reads this", "after!" })
  t.eq({ second, runs.asked }, { first, {} })
end)
