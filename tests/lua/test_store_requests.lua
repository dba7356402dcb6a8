-- Requests are kept as what they add: a conversation costs its messages once, however often it is sent.

local test = require "stoke.test"
local json = require "core.json"
local loading = require "core.store.load"
local stored = require "stored"

local ok = stored.ok

-- A request of a model as drivers make them.
local function chat(messages, more)
  local q = { protocol = "ollama", path = "/api/chat", model = "m", body = { model = "m", messages = messages, stream = false,
    options = { num_ctx = 4096 } } }
  for name, value in next, more or {} do q.body[name] = value end
  return q
end

local function say(role, text) return { role = role, content = text } end

-- Records a request, and says what is kept of it.
local function ask(store, log, number, request)
  local row = stored.record(log, number, stored.value { text = "a" .. number }, { request = request, name = "llm.chat",
    key = "run/llm.chat#" .. number })
  ok(log:commit())
  local kept = ok(store.db:query("SELECT base,kept,request FROM records WHERE number=?", { number })).rows[1]
  return { base = kept[1], kept = kept[2], text = kept[3] }, row
end

local function loaded(store, run, number) return ok(store:load(run)).rows[number].request end

local none = json.null

test("a conversation that grows is kept as its new messages", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local messages, rows = { say("system", "be brief"), say("user", "hello") }, {}
  for i = 1, 5 do
    local kept, row = ask(store, log, i, chat(table.move(messages, 1, #messages, 1, {})))
    rows[i] = row
    t.eq({ kept.base, kept.kept }, i == 1 and { none, 0 } or { i - 1, 2 * i - 2 })
    if i == 3 then t.contains(kept.text, '"add":[{"content":"yes 2","role":"assistant"},{"content":"and 2","role":"user"}]') end
    messages[#messages + 1] = say("assistant", "yes " .. i)
    messages[#messages + 1] = say("user", "and " .. i)
  end
  for i, row in ipairs(rows) do t.eq(loaded(store, run, i), row.request) end
end)

test("several conversations at once each continue their own", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local talks, rows, n = { {}, {}, {} }, {}, 0
  for round = 1, 4 do
    for i, messages in ipairs(talks) do
      messages[#messages + 1] = say("user", ("talk %d, round %d"):format(i, round))
      n = n + 1
      local kept
      kept, rows[n] = ask(store, log, n, chat(table.move(messages, 1, #messages, 1, {})))
      t.eq({ kept.base, kept.kept }, round == 1 and { none, 0 } or { n - 3, round - 1 })
    end
  end
  for i, row in ipairs(rows) do t.eq(loaded(store, run, i), row.request) end
end)

test("a conversation whose beginning fell out begins anew, and one that was cut back goes on from where it agrees", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local all = { say("system", "s"), say("user", "1"), say("assistant", "2"), say("user", "3") }
  ask(store, log, 1, chat(all))
  local cut, row = ask(store, log, 2, chat { all[1], all[2], say("user", "other") })
  t.eq({ cut.base, cut.kept }, { 1, 2 })
  local anew, other = ask(store, log, 3, chat { all[3], all[4] })
  t.eq({ anew.base, anew.kept }, { none, 0 })
  t.eq({ loaded(store, run, 2), loaded(store, run, 3) }, { row.request, other.request })
end)

test("what stands beside the messages is kept once, while it is the same", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local tools = { { type = "function", ["function"] = { name = "weather", description = ("what it does "):rep(30) } } }
  local texts, rows = {}, {}
  for i = 1, 4 do
    local kept
    kept, rows[i] = ask(store, log, i, chat({ say("user", "q" .. i) }, { tools = tools, temperature = i == 4 and 1 or nil }))
    texts[i] = kept.text:match '"rest":(.*)}$'
  end
  t.eq({ #texts[1] < 50, texts[2], texts[3], #texts[4] > 20 }, { true, "1", "1", true })
  for i, row in ipairs(rows) do t.eq(loaded(store, run, i), row.request) end
  for i, row in ipairs(ok(store:load(run)).rows) do t.eq(loading.whole_row(row).request, rows[i].request) end
end)

test("an order of names, marks and odd values of messages are kept", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local call = { ["function"] = { name = "f", arguments = json.object({ z = 1, a = json.array() }, { "z", "a" }) } }
  local request = chat(json.array { say("user", "\255 bytes"), { role = "assistant", content = "", tool_calls = { call } } })
  ask(store, log, 1, request)
  local back = loaded(store, run, 1)
  t.eq(back, request)
  t.eq({ json.encode(back.body.messages[2].tool_calls[1]["function"].arguments), getmetatable(back.body.messages) },
    { '{"z":1,"a":[]}', getmetatable(json.array {}) })
end)

test("a loaded run goes on with requests of its own, which are whole", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local messages = { say("user", "one"), say("assistant", "two") }
  ask(store, log, 1, chat(messages))
  local again = ok(store:log(run))
  local kept, row = ask(store, again, 2, chat { messages[1], messages[2], say("user", "three") })
  t.eq(kept.base, none)
  t.eq(loaded(store, run, 2), row.request)
end)

test("the messages of two runs and their schemas are one content each", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local long = ("a long instruction. "):rep(50)
  for i = 1, 3 do
    local run = ok(store:create { id = "r" .. i, workflow = "w" })
    local log = ok(store:log(run))
    stored.record(log, 1, stored.value { text = long }, { request = chat { say("system", long) } })
    ok(log:commit())
  end
  local n, bytes = table.unpack(ok(store.db:query "SELECT count(*),sum(length(value)) FROM contents").rows[1])
  t.eq({ n <= 2, bytes < #long + 200 }, { true, true })
end)

test("random conversations that grow, are cut back, part and begin anew come back as they were", function(t)
  for seed = 1, 300 do
    math.randomseed(seed)
    local store, run, log = stored.run()
    local talks, rows, raw = { {} }, {}, seed % 2 == 0
    for n = 1, 25 do
      local messages = talks[math.random(#talks)]
      local how = math.random(6)
      if how == 1 then
        for _ = 1, math.random(0, #messages) do messages[#messages] = nil end
      elseif how == 2 then
        messages = table.move(messages, 1, math.random(0, #messages), 1, {}) -- the same tables in another list
        talks[#talks + 1] = messages
      end
      for _ = 1, math.random(3) do messages[#messages + 1] = say("user", ("m%d "):format(math.random(4)):rep(math.random(80))) end
      local list = table.move(messages, 1, #messages, 1, {})
      if raw and math.random(2) == 1 then json.growing(list) end
      local row = stored.row(n, { request = chat(list) })
      local asked = row.request
      if raw then row.request = nil end
      t.ok(log:row(row, raw and asked or nil))
      row.outcome, row.seen = stored.value(n), n
      log:outcome(row)
      rows[n] = chat(table.move(messages, 1, #messages, 1, {}))
      if math.random(3) == 1 then ok(log:commit()) end
    end
    ok(log:commit())
    for n, row in ipairs(ok(store:load(run)).rows) do t.eq(row.request, rows[n], ("seed %d, record %d"):format(seed, n)) end
    store:close()
  end
end)

test("what a script changes in messages of its own, once it was asked, is not changed in the record", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local messages = { say("user", "before") }
  for n = 1, 2 do
    local row = stored.row(n)
    row.request = nil
    log:row(row, chat(messages))
    messages[1].content = "after"
    row.outcome, row.seen = stored.value(n), n
    log:outcome(row)
  end
  ok(log:commit())
  local rows = ok(store:load(run)).rows
  t.eq({ rows[1].request.body.messages[1].content, rows[2].request.body.messages[1].content }, { "before", "after" })
end)

-- A run of an agent with a tool: so many turns, texts of so many bytes.
local function agent_run(log, turns, bytes)
  local messages, number, conversation = { say("system", ("You help people. "):rep(20)) }, 0, 0
  local tools = { { type = "function", ["function"] = { name = "look_up", description = ("Looks things up. "):rep(10),
    parameters = { type = "object", properties = { word = { type = "string", description = "what to look for" } } } } } }
  local function record(outcome, fields)
    number = number + 1
    stored.record(log, number, outcome, fields)
    log:deliveries "\3\9"
  end
  local usage = { input_tokens = 812, output_tokens = 96, calls = 1, attempts = 1, repairs = 0, seconds = 1.25,
    load_seconds = 0.0125,
    estimated = false, tool_calls = 0 }
  local function texts(what, i) return (("%s %d says: "):format(what, i)):rep(bytes // 12) end
  for i = 1, turns do
    messages[#messages + 1] = say("user", texts("user", i))
    local call = { id = "call_" .. i, ["function"] = { name = "look_up", arguments = { word = "word" .. i } } }
    local answer = { role = "assistant", content = "", tool_calls = { call } }
    record({ value = { message = answer, done_reason = "stop", total_duration = 12345678 },
      facts = { attempts = 1, asked = 800, usage = usage, counts = true } },
      { request = chat(table.move(messages, 1, #messages, 1, {}), { tools = tools }), name = "llm.chat",
        key = ("run/agent bot:%d/llm.chat#1"):format(i), class = "idempotent" })
    messages[#messages + 1] = answer
    local result = texts("tool", i)
    record({ value = result, facts = { attempts = 1, counts = true, nested = { input_tokens = 0, output_tokens = 0, calls = 0,
      attempts = 0, repairs = 0, seconds = 0, load_seconds = 0, estimated = false, tool_calls = 0 } } },
        { request = { name = "look_up", args = { word = "word" .. i } },
      name = "tool.call", key = ("run/agent bot:%d/tool look_up:1/tool.call#1"):format(i), class = "idempotent" })
    messages[#messages + 1] = { role = "tool", content = result, tool_call_id = "call_" .. i, tool_name = "look_up" }
    local final = say("assistant", texts("bot", i))
    record({ value = { message = final, done_reason = "stop", total_duration = 12345678 },
      facts = { attempts = 1, asked = 800, usage = usage, counts = true } },
      { request = chat(table.move(messages, 1, #messages, 1, {}), { tools = tools }), name = "llm.chat",
        key = ("run/agent bot:%d/llm.chat#2"):format(i), class = "idempotent" })
    messages[#messages + 1] = final
    ok(log:commit())
  end
  for _, message in ipairs(messages) do conversation = conversation + #json.encode(message) end
  return conversation, number
end

-- Bytes in all tables and indices, as SQLite stores them in cells; of some tables alone.
local function payload(store, where)
  return ok(store.db:query("SELECT sum(payload) FROM dbstat " .. (where or ""))).rows[1][1]
end

test("a record costs less than 300 bytes beside what was asked and answered", function(t)
  local store, _, log = stored.run(t.tmp() .. "/state.db")
  local _ <close> = stored.closing(store)
  local before = payload(store)
  local _, records = agent_run(log, 50, 600)
  log:finish "done"
  ok(log:barrier())
  local content = ok(store.db:query [[SELECT (SELECT sum(length(value)) FROM contents) + (SELECT sum(coalesce(length(value),0)
    + length(CASE WHEN kept IS NULL THEN request ELSE json_extract(request,'$.add') END)) FROM records)]]).rows[1][1]
  local each = (payload(store) - before - content) / records
  t.ok(each < 300, ("%.0f bytes a record"):format(each))
end)

test("a run of long texts takes at most 1.2 times its conversation", function(t)
  local store, _, log = stored.run(t.tmp() .. "/state.db")
  local _ <close> = stored.closing(store)
  local before = payload(store)
  local conversation = agent_run(log, 50, 2000)
  log:finish "done"
  ok(log:barrier())
  local ratio = (payload(store) - before) / conversation
  t.ok(ratio < 1.2, ("%.2f times the conversation"):format(ratio))
end)
