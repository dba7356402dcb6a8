-- Streams of durable runs: written piece by piece while they are read, and as one value when they have ended.

local test = require "stoke.test"
local errors = require "core.errors"
local json = require "core.json"
local pieces = require "core.store.pieces"
local stored = require "stored"

local ok = stored.ok

local function open(log, number)
  local row = stored.row(number, { name = "llm.stream", key = "run/llm.stream#" .. number, class = "idempotent" })
  log:row(row)
  row.outcome, row.seen, row.inline = { items = {}, facts = { attempts = 1 }, about = { model = "m" }, rests = false }, number,
    false
  log:outcome(row)
  return row
end

local function add(log, row, item)
  local items = row.outcome.items
  items[#items + 1] = item
  return log:item(row, #items)
end

local function text(word, inline) return { value = { type = "text", text = word }, inline = inline or false } end

local function count(store, sql) return ok(store.db:query(sql)).rows[1][1] end

test("what was read before a crash is there, piece by piece", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = open(log, 1)
  for i = 1, 7 do
    add(log, row, text("w" .. i, i % 2 == 0))
    if i % 3 == 0 then ok(log:commit()) end
  end
  ok(log:commit())
  local outcome = ok(store:load(run)).rows[1].outcome
  t.eq(outcome, row.outcome)
  t.eq(count(store, "SELECT count(*) FROM pieces"), 3)
end)

test("a stream's call of a model and its tokens are counted when it has ended", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = open(log, 1)
  add(log, row, text "word")
  t.eq({ log.calls, log.tokens }, { 0, 0 })
  add(log, row, { value = { type = "done", reason = "stop", usage = { input_tokens = 5, output_tokens = 7 } }, inline = true })
  add(log, row, { ended = true, inline = true })
  log:finish "done"
  ok(log:barrier())
  local kept = ok(store:find(run.id))
  t.eq({ kept.calls, kept.tokens }, { 1, 12 })
end)

test("a stream that has ended is one value in its record", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = open(log, 1)
  for i = 1, 40 do
    add(log, row, text(("word%d "):format(i), i > 20))
    if i % 9 == 0 then ok(log:commit()) end
  end
  add(log, row, { value = { type = "thinking", text = "hm" }, inline = true })
  add(log, row, { value = { type = "tool_call", name = "f", arguments = json.object({ b = 1, a = 2 }, { "b", "a" }) },
    inline = true })
  add(log, row, { value = { type = "done", usage = { input_tokens = 3 } }, inline = false })
  add(log, row, { ended = true, inline = true })
  row.outcome.came = { 1, 2 }
  log:changed(row)
  ok(log:commit())
  local outcome = ok(store:load(run)).rows[1].outcome
  t.eq(outcome, row.outcome)
  t.eq(json.encode(outcome.items[42].value.arguments), '{"b":1,"a":2}')
  t.eq(count(store, "SELECT count(*) FROM pieces"), 0)
end)

test("a stream that begins and ends in one pump never becomes pieces", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = open(log, 1)
  add(log, row, { value = "bytes \255", inline = true })
  add(log, row, { ended = true, err = errors.new("incomplete", "it broke"), inline = true, raised = true })
  ok(log:commit())
  t.eq(ok(store:load(run)).rows[1].outcome, row.outcome)
end)

test("items are filled in any order while several tasks read, and later ones find their places", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = open(log, 1)
  local items = row.outcome.items
  for i = 1, 4 do items[i] = {} end
  for _, i in ipairs { 3, 1 } do
    items[i].value, items[i].inline = "item " .. i, false
    log:item(row, i)
  end
  ok(log:commit())
  t.eq(ok(store:load(run)).rows[1].outcome.items, { { value = "item 1", inline = false }, {}, { value = "item 3",
    inline = false } })
  items[2].value, items[2].inline = "item 2", true
  log:item(row, 2)
  items[4].ended, items[4].inline = true, true
  log:item(row, 4)
  ok(log:commit())
  t.eq(ok(store:load(run)).rows[1].outcome.items, items)
end)

test("a stream that a resumed run reads on is whole in the end", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = open(log, 1)
  for i = 1, 3 do add(log, row, text("a" .. i)) end
  ok(log:commit())
  local again = ok(store:log(run))
  local loaded = ok(store:load(run)).rows[1]
  add(again, loaded, { ended = true, err = errors.new("interrupted", "its journal ends here"), inline = true })
  ok(again:commit())
  local items = ok(store:load(run)).rows[1].outcome.items
  t.eq({ #items, items[2], items[4].err.kind }, { 4, text "a2", "interrupted" })
  t.eq(count(store, "SELECT count(*) FROM pieces"), 0)
end)

test("a stream of too many bytes is refused with kind limit", function(t)
  local store = stored.open(":memory:", { limit = 10000 })
  local _ <close> = stored.closing(store)
  local log = ok(store:log(ok(store:create { id = "r", workflow = "w" })))
  local row, err = open(log, 1), nil
  for _ = 1, 200 do err = err or add(log, row, text(("x"):rep(150))) end
  t.eq({ err.kind, err.message }, { "limit", "llm.stream: a stream of more than 10000 bytes" })
end)

test("random streams part again where they were joined", function(t)
  for seed = 1, 2000 do
    math.randomseed(seed)
    local items = {}
    for i = 1, math.random(0, 60) do
      local kind, word = math.random(10), ("z"):rep(math.random(8) == 1 and math.random(0, 5000) or math.random(0, 20))
      local inline = math.random(3) > 1
      if kind < 6 then
        items[i] = text(word, inline)
      elseif kind < 8 then
        items[i] = { value = { type = "thinking", text = word }, inline = inline }
      elseif kind == 8 then
        items[i] = { value = word, inline = inline }
      elseif kind == 9 then
        items[i] = { value = { type = "text", text = word, more = 1 }, inline = inline }
      else
        items[i] = {}
      end
    end
    local value, lengths = pieces.join(items)
    t.eq(pieces.part(value, lengths), items, "seed " .. seed)
  end
end)

test("the pieces of a stream cost half a byte each", function(t)
  local items = {}
  for i = 1, 1000 do items[i] = text("tok " .. i % 10) end
  local value, lengths = pieces.join(items)
  t.eq({ #value, value[1][2], #value[1][3], value[1][4], #lengths }, { 1, 1000, 5000, false, 500 })
end)

-- Words that are not said twice.
local said = 0
local function words(bytes)
  local list = {}
  for i = 1, bytes // 5 do
    said = said + 1
    list[i] = ("%05x"):format(said * 7919 % 1048573)
  end
  return list
end

local DONE = { reason = "stop", type = "done", reply = { created_at = "2026-01-01T00:00:00.003Z", done = true, done_reason = "stop",
  eval_count = 9, eval_duration = 1000, load_duration = 1000000, message = { content = "", role = "assistant" },
  model = "qwen2.5:3b", prompt_eval_count = 68, prompt_eval_duration = 1000, total_duration = 1000000 },
  usage = { attempts = 1, calls = 1, estimated = false, input_tokens = 68, load_seconds = 0.001, output_tokens = 9, repairs = 0,
    seconds = 0.001, tool_calls = 0 } }

-- A conversation of streamed answers: its bytes, and those of the file for it.
local function streamed(t, turns, bytes)
  local store, _, log = stored.run(("%s/%d.db"):format(t.tmp(), bytes))
  local function payload() return ok(store.db:query("SELECT sum(payload) FROM dbstat")).rows[1][1] end
  local before, deliveries, conversation = payload(), {}, 0
  local messages = { { role = "system", content = table.concat(words(300)) } }
  for i = 1, turns do
    messages[#messages + 1] = { role = "user", content = table.concat(words(bytes)) }
    local row = stored.row(i, { name = "llm.stream", key = ("run/agent bot:%d/llm.stream#1"):format(i), class = "idempotent",
      request = { protocol = "ollama", path = "/api/chat", model = "m", body = { model = "m", stream = true, think = false,
        messages = table.move(messages, 1, #messages, 1, {}), options = { num_predict = 4096 } } } })
    log:row(row)
    row.outcome, row.seen, row.inline = { items = {}, facts = { attempts = 1, counts = true }, rests = false }, i, false
    log:outcome(row)
    local items, answer = row.outcome.items, words(bytes)
    local function read(item)
      items[#items + 1] = item
      log:item(row, #items)
      deliveries[#deliveries + 1] = "\1\9"
      log:deliveries "\1\9"
    end
    for _, word in ipairs(answer) do read { value = { type = "text", text = word }, inline = false } end
    read { value = DONE, inline = false }
    read { ended = true, inline = false }
    ok(log:commit())
    messages[#messages + 1] = { role = "assistant", content = table.concat(answer) }
  end
  log:finish("done", nil, nil, table.concat(deliveries))
  ok(log:barrier())
  for _, message in ipairs(messages) do conversation = conversation + #json.encode(message) end
  local size = payload() - before
  store:close()
  return size, conversation
end

test("a run of long streamed answers takes at most 1.2 times its conversation", { real = true }, function(t)
  local size, conversation = streamed(t, 50, 4000)
  t.ok(size / conversation < 1.2, ("%.2f times the conversation"):format(size / conversation))
end)
