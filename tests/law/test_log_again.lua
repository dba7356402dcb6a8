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

test("the answer of a GET goes on where the run stood, by lines and by bytes", function(t)
  local server <close> = stoke.http.serve { mem = "lawagain", handler = function(_, res)
    res:start(200, {})
    for i = 1, 4 do
      res:write(("line %d\n"):format(i))
      stoke.sleep(0.1)
    end
    res:finish()
  end }
  local function lines()
    local seen = {}
    for line in stoke.http.get(server.url, { stream = "lines" }):lines() do seen[#seen + 1] = line end
    return table.concat(seen, ",")
  end
  local function bytes()
    local seen = {}
    for piece in stoke.http.get(server.url, { stream = "bytes" }):chunks() do seen[#seen + 1] = piece end
    return table.concat(seen)
  end
  for f, whole in pairs { [lines] = "line 1,line 2,line 3,line 4", [bytes] = "line 1\nline 2\nline 3\nline 4\n" } do
    local log = logs.new(true)
    t.eq(record(f, log)[1], whole)
    for count = 0, #log.batches do
      local results, own = resume(log, f, count)
      t.eq({ results.err, results[1] }, { nil, whole }, "cut at " .. count)
      t.eq(resume(own, f)[1], whole, "and again, cut at " .. count)
    end
  end
end)
