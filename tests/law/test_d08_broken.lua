-- A journal that ends in the middle of its run: what is on it is given, what is not is done, and the run comes to its end.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
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
