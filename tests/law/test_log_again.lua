-- Streams of a model whose process ended before they did: the question is asked again, and the run goes on behind what it had.

local test = require "stoke.test"
local stoke = require "stoke"
local journal = require "core.journal"
local logs = require "table_log"

local function record(f, log)
  local tape = journal.new { id = "run", log = log }
  log.journal = tape
  return tape:run(f)
end

local function resume(log, f, count)
  local own = logs.new(log.eager, table.move(log.batches, 1, count or #log.batches, 1, {}))
  local tape = journal.new { id = "run", log = own, kept = log:load(count) }
  own.journal = tape
  return tape:run(f), own
end

local function tell()
  local words = {}
  for event in stoke.ollama.stream { model = "m", messages = { { role = "user", content = "count" } } } do
    if event.type == "text" then words[#words + 1] = event.text end
  end
  return table.concat(words)
end

local ANSWER <const> = "one two three four five six"

test("cut anywhere, a stream ends as the whole one where the model says the same again, and so does its replay", function(t)
  t.model("m", function() return ANSWER end)
  local log = logs.new(true)
  t.eq(record(tell, log)[1], ANSWER)
  t.ok(#log.batches > 5, #log.batches)
  for count = 0, #log.batches do
    local results, own = resume(log, tell, count)
    t.eq({ results.err, results[1] }, { nil, ANSWER }, "cut at " .. count)
    t.eq(resume(own, tell)[1], ANSWER, "and again, cut at " .. count)
  end
end)

test("where the model says something else it ends with kind interrupted, and does so again", function(t)
  local answer = ANSWER
  t.model("m", function() return answer end)
  local log = logs.new(true)
  record(tell, log)
  answer = "one two thirteen"
  local interrupted = 0
  for count = 0, #log.batches do
    local results, own = resume(log, tell, count)
    if results.err then
      interrupted = interrupted + 1
      t.eq(results.err.kind, "interrupted")
      t.match(results.err.message, "asked again the answer is another")
      t.eq(resume(own, tell).err.kind, "interrupted", "and again, cut at " .. count)
    end
  end
  t.ok(interrupted >= 3, interrupted)
end)
