-- ollama.stream: events, their order, and that no split of the bytes changes them.

local test = require "stoke.test"
local fake = require "fake"
local http = require "stoke.http"
local cut = require "stoke.http.cut"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local rand = require "stoke.rand"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }

local function line(message, more)
  return ([[{"model":"m","created_at":"2026-01-02T03:04:05.6789%dZ","message":{"role":"assistant",%s},"done":false%s}]])
    :format(#message, message, more or "")
end

local LAST = [[{"model":"m","created_at":"2026-01-02T03:04:06Z","message":{"role":"assistant","content":""},"done":true,]] ..
  [["done_reason":"stop","total_duration":900000000,"load_duration":40000000,"prompt_eval_count":12,"eval_count":25}]]

local function text(s) return line('"content":' .. json.encode(s)) end

local function collect(options)
  local out = {}
  for ev in ollama.stream(options) do out[#out + 1] = ev end
  return out
end

local function ask(server, more)
  local options = { model = "m", messages = HI, endpoint = server.url, merge = false }
  for k, v in pairs(more or {}) do options[k] = v end
  return collect(options)
end

-- Events in short: { "text:Hi", "done:stop" }.
local function short(events)
  local out = {}
  for i, ev in ipairs(events) do
    if ev.type == "tool_call" then
      out[i] = ("call:%s:%s:%s"):format(ev.id, ev.name, json.encode(ev.arguments))
    else
      out[i] = ("%s:%s"):format(ev.type, ev.text or ev.reason or "")
    end
  end
  return out
end

test("text, thinking, done; usage and the last line come with done", function(t)
  local server <close> = fake { { lines = { line '"content":"","thinking":"Hm"', text "He", text "llo", text "", LAST } } }
  local events = ask(server)
  t.eq(short(events), { "thinking:Hm", "text:He", "text:llo", "done:stop" })
  t.eq(events[4].usage, { input_tokens = 12, output_tokens = 25, calls = 1, attempts = 1, tool_calls = 0, repairs = 0,
    seconds = 0.9, load_seconds = 0.04, estimated = false })
  t.eq(events[4].reply, json.decode(LAST))
end)

test("lines that say nothing, however many have come at once, leave the others their turns", function(t)
  local lines = {}
  for i = 1, 5000 do lines[i] = "{}" end
  table.move({ text "Hi", LAST }, 1, 2, #lines + 1, lines)
  local server <close> = http.serve { mem = "silent", handler = function() return table.concat(lines, "\n") .. "\n" end }
  local turns, scope <close> = 0, stoke.scope {} -- luacheck: ignore
  local other = scope:spawn(function() while true do turns = turns + 1 stoke.sleep(0) end end)
  t.eq(short(ask(server)), { "text:Hi", "done:stop" })
  t.ok(turns >= 5000 // 256, turns)
  other:cancel()
end)

test("generate streams, too", function(t)
  local server <close> = fake { { lines = { [[{"model":"m","created_at":"x","response":"He","done":false}]],
    [[{"model":"m","created_at":"x","response":"","thinking":"Hm","done":false}]],
    [[{"model":"m","created_at":"x","response":"llo","done":true,"done_reason":"length","context":[1,2]}]] } } }
  local events = collect { model = "m", prompt = "Hi", endpoint = server.url }
  t.eq(short(events), { "text:He", "thinking:Hm", "text:llo", "done:length" })
  t.eq(events[4].reply.context, { 1, 2 })
end)

test("everything in the first line is told, in order", function(t)
  local calls = [=["tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}},]=] ..
    [=[{"id":"b","function":{"name":"g","arguments":{}}}]]=]
  local all = LAST:gsub([["content":""]], function() return [["content":"Hi","thinking":"Hm",]] .. calls end)
  local server <close> = fake { { lines = { all } } }
  t.eq(short(ask(server)), { "thinking:Hm", "text:Hi", [[call:a:f:{"x":1}]], "call:b:g:{}", "done:stop" })
end)

test("tool calls before done, in the done line, in several lines; ids are made when they are missing", function(t)
  local function call(id, name) return ([[{%s"function":{"name":"%s","arguments":{"z":1,"a":2}}}]]):format(id, name) end
  local server <close> = fake {
    { lines = { line(([=["content":"","tool_calls":[%s]]=]):format(call([["id":"x",]], "f"))),
      line(([=["content":"","tool_calls":[%s,%s]]=]):format(call("", "g"), call([["id":"",]], "h"))), LAST } },
    { lines = { text "calling", (LAST:gsub([["content":""]], ([=["tool_calls":[%s]]=]):format(call([["id":null,]], "k")))) } },
  }
  local events = ask(server)
  t.eq({ events[1].name, events[2].name, events[3].name, events[4].usage.tool_calls }, { "f", "g", "h", 3 })
  t.eq(events[1].id, "x")
  t.match(events[2].id, "^call_%w%w%w%w%w%w%w%w$")
  t.ne(events[2].id, events[3].id)
  t.eq(events[2].call.id, events[2].id, "the call to be sent back has it, too")
  t.eq(json.encode(events[2].call["function"].arguments), [[{"z":1,"a":2}]])
  events = ask(server)
  t.eq({ events[1].text, events[2].name, events[3].type }, { "calling", "k", "done" })
  t.match(events[2].id, "^call_")
end)

test("arguments may be missing, null, text or an empty list", function(t)
  local function one(arguments)
    return (LAST:gsub([["content":""]], function()
      return ([=["tool_calls":[{"id":"i","function":{"name":"f"%s}}]]=]):format(arguments)
    end))
  end
  local server <close> = fake { { lines = { one "" } }, { lines = { one ',"arguments":null' } },
    { lines = { one ',"arguments":[]' } }, { lines = { one [[,"arguments":"{\"b\":1,\"a\":2}"]] } },
    { lines = { one ',"arguments":[1]' } }, { lines = { one ',"arguments":7' } }, { lines = { one ',"arguments":"no"' } } }
  for _ = 1, 3 do t.eq(short(ask(server))[1], "call:i:f:{}") end
  t.eq(short(ask(server))[1], [[call:i:f:{"b":1,"a":2}]])
  for _ = 1, 3 do
    local err = t.raises("invalid_output", ask, server)
    t.eq({ err.retryable, err.message }, { true, "the arguments of the tool call f are no JSON object" })
  end
  t.eq(#server.requests, 7, "asking again is for the script to decide")
end)

test("logprobs come with their text, also where the text is empty", function(t)
  local server <close> = fake { { lines = { line('"content":"He"', [=[,"logprobs":[{"token":"He"}]]=]),
    line('"content":""', [=[,"logprobs":[{"token":"{"}]]=]), line '"content":""', LAST } } }
  local events = ask(server, { logprobs = true, top_logprobs = 2 })
  t.eq({ #events, events[1].logprobs[1].token, events[2].text, events[2].logprobs[1].token }, { 3, "He", "", "{" })
end)

test("texts that have come already are one event; each keeps its kind and place", function(t)
  local lines = {}
  for i = 1, 50 do lines[i] = line(('"content":"","thinking":"%d "'):format(i)) end
  for i = 51, 150 do lines[i] = text(i .. " ") end
  lines[151] = LAST
  local server <close> = fake { { lines = lines } }
  local thinking, spoken, kinds = {}, {}, {}
  for _, ev in ipairs(ask(server, { merge = true })) do
    if kinds[#kinds] ~= ev.type then kinds[#kinds + 1] = ev.type end
    if ev.type == "thinking" then thinking[#thinking + 1] = ev.text end
    if ev.type == "text" then spoken[#spoken + 1] = ev.text end
  end
  t.eq(kinds, { "thinking", "text", "done" })
  t.ok(#spoken < 50, #spoken .. " events")
  local one, two = {}, {}
  for i = 1, 50 do one[i] = i .. " " end
  for i = 51, 150 do two[i - 50] = i .. " " end
  t.eq({ table.concat(thinking), table.concat(spoken) }, { table.concat(one), table.concat(two) })
  t.eq(#ask(server), 151)
end)

test("texts of every size and alphabet come whole", function(t)
  local texts, lines = { "a", '"quoted"', "back\\slash\n\ttab\0nul", "日本語", "e\u{301}🦙", "<b>&amp;</b>", "\u{2028}",
    ("x"):rep(2047), ("x"):rep(2048), ("x"):rep(2049), ("é\n"):rep(3000), ("y"):rep(100000), " " }, {}
  for i, s in ipairs(texts) do lines[i] = text(s) end
  lines[#lines + 1] = line [["content":"\u003cb\u003e\ud83e\udd99"]]
  lines[#lines + 1] = LAST
  local server <close> = fake { { lines = lines } }
  local events = ask(server)
  for i, s in ipairs(texts) do t.ok(events[i].text == s, "text " .. i) end
  t.eq(events[#texts + 1].text, "<b>🦙")
  local whole = {}
  for _, ev in ipairs(ask(server, { merge = true })) do whole[#whole + 1] = ev.text end
  t.ok(table.concat(whole) == table.concat(texts) .. "<b>🦙")
end)

-- ---- any split of the bytes -----------------------------------------------------------------------------------------

-- A stream of everything a server may send, from a seed.
local function lines_of(random)
  local words = { "Hello", " ", "wörld", "🦙", "\n", '"', "{", "\\u", "日本", "<x>", ("long "):rep(60) }
  local lines = {}
  for i = 1, random:int(1, 40) do
    local kind, word = random:int(1, 9), words[random:int(1, #words)]
    if kind <= 5 then
      lines[i] = text(word)
    elseif kind == 6 then
      lines[i] = line(('"content":"","thinking":%s'):format(json.encode(word)))
    elseif kind == 7 then
      lines[i] = line(([=["content":%s,"tool_calls":[{"id":"c%d","function":{"name":"f","arguments":{"z":%d,"a":%s}}}]]=])
        :format(json.encode(word), i, i, json.encode(word)))
    elseif kind == 8 then
      lines[i] = (line(([[ "content" : %s ]]):format(json.encode(word))):gsub(":", ": "))
    else
      lines[i] = ([[{"done":false,"message":{"content":%s,"role":"assistant","x":[1,{}]},"model":"m"}]]):format(json.encode(word))
    end
  end
  lines[#lines + 1] = LAST
  return lines
end

test("any split of the bytes gives the same events", function(t)
  local guard <close> = setmetatable({}, { __close = function() cut(1, 0) end })
  local scale = tonumber(os.getenv "STOKE_SCALE" or "1")
  for seed = 1, math.max(5, 60 * scale // 1) do
    local lines = lines_of(rand.new(seed))
    local server <close> = fake { { lines = lines } }
    cut(1, 0)
    local whole = short(ask(server))
    local joined = table.concat(whole, "\n"):gsub("\ntext:", ""):gsub("\nthinking:", "")
    for _, most in ipairs { 1, 3, 17, 200 } do
      cut(seed, most)
      t.eq(short(ask(server)), whole, ("seed %d, pieces up to %d"):format(seed, most))
      local merged = table.concat(short(ask(server, { merge = true })), "\n"):gsub("\ntext:", ""):gsub("\nthinking:", "")
      t.eq(merged, joined, ("merged: seed %d, pieces up to %d"):format(seed, most))
    end
  end
end)

test("the simulator's own cuts: calls stay whole, in a line of their own or in the last", function(t)
  for _, where in ipairs { "chunk", "done" } do
    local script = function()
      return { text = "I will look. Grüße 🦙.", tool_calls = { { name = "f", arguments = '{"zeta":1,"alpha":"日本"}' },
        { name = "g", arguments = "{}" } }, cut = "random" }
    end
    local server <close> = sim.serve { mem = "cutting", models = { "m,calls=" .. where }, script = script, seed = 7 }
    local tools = { { type = "function", ["function"] = { name = "f", parameters = { type = "object" } } } }
    for _ = 1, 20 do
      local spoken, calls, last = {}, {}, nil
      for ev in ollama.stream { model = "m", messages = HI, tools = tools, endpoint = server.url } do
        if ev.type == "text" then spoken[#spoken + 1] = ev.text end
        if ev.type == "tool_call" then calls[#calls + 1] = ev end
        last = ev
      end
      t.eq(table.concat(spoken), "I will look. Grüße 🦙.")
      t.eq({ #calls, calls[1].name, calls[2].name, last.type }, { 2, "f", "g", "done" })
      t.eq(json.encode(calls[1].arguments), [[{"zeta":1,"alpha":"日本"}]])
    end
  end
end)

-- ---- leaving --------------------------------------------------------------------------------------------------------

local function busy(server) return server.sim.ledger.streams_open end

local function slow_sim(name)
  return sim.serve { mem = name, load_seconds = 0, tokens_per_second = 10, slots = 4,
    script = function() return ("word "):rep(1000) end }
end

-- Starts f, leaves it time to get into the stream, ends it by `leave`; the server must know within 50 ms.
local function ends(t, f, leave)
  local server <close> = slow_sim "leaving"
  local options = { model = "qwen2.5:3b", prompt = "x", endpoint = server.url }
  local task = stoke.spawn(f, options)
  stoke.sleep(1)
  t.eq(busy(server), 1, "under way")
  leave(task)
  stoke.sleep(0.05)
  t.eq({ busy(server), server.sim.ledger.disconnects }, { 0, 1 })
  pcall(task.await, task)
  t.eq(require "core.gate.pool".list(), {})
end

local function read_all(options) for _ in ollama.stream(options) do end end

test("cancelling a stream closes its connection at once", function(t)
  ends(t, read_all, function(task) task:cancel() end)
end)

test("cancelling a call that is not streamed closes its connection at once", function(t)
  ends(t, ollama.generate, function(task) task:cancel() end)
end)

test("leaving the loop closes the connection at once", function(t)
  local server <close> = slow_sim "breaking"
  local began = time.monotonic()
  for ev in ollama.stream { model = "qwen2.5:3b", prompt = "x", endpoint = server.url } do
    t.eq(ev.type, "text")
    if time.monotonic() - began > 1 then break end
  end
  stoke.sleep(0.05)
  t.eq({ busy(server), server.sim.ledger.disconnects }, { 0, 1 })
end)

test("an error in the loop, a deadline, and a scope that ends close it, too", function(t)
  local server <close> = slow_sim "ending"
  local options = { model = "qwen2.5:3b", prompt = "x", endpoint = server.url }
  t.raises("script", function()
    for _ in ollama.stream(options) do error "enough" end
  end)
  stoke.sleep(0.05)
  t.eq(busy(server), 0)
  local began = time.monotonic()
  t.raises("deadline", function()
    local scope <close> = stoke.scope { deadline = 2 }
    read_all(options)
  end)
  t.near(time.monotonic() - began, 2, 0.01)
  stoke.sleep(0.05)
  t.eq(busy(server), 0)
  t.raises("timeout", stoke.timeout, 1, read_all, options)
  stoke.sleep(0.05)
  t.eq(busy(server), 0)
  do
    local scope <close> = stoke.scope {}
    scope:spawn(read_all, options)
    stoke.sleep(1)
    t.eq(busy(server), 1)
  end
  stoke.sleep(0.05)
  t.eq({ busy(server), server.sim.ledger.disconnects }, { 0, 4 })
end)

test("a stream nobody reads is closed with its scope", function(t)
  local server <close> = slow_sim "unread"
  do
    local scope <close> = stoke.scope {}
    ollama.stream { model = "qwen2.5:3b", prompt = "x", endpoint = server.url }
    t.eq(busy(server), 1)
  end
  stoke.sleep(0.05)
  t.eq({ busy(server), #require "core.gate.pool".list() }, { 0, 0 })
end)

test("a stream that was read to its end is no disconnect, and its connection serves the next", function(t)
  local server <close> = sim.serve { mem = "polite", script = function() return "a b c" end }
  for _ = 1, 3 do collect { model = "qwen2.5:3b", prompt = "x", endpoint = server.url } end
  t.eq({ server.sim.ledger.disconnects, server.sim.ledger.streams_open }, { 0, 0 })
end)

test("a server that says done and does not hang up holds nobody for longer than a second", function(t)
  local server <close> = fake { { lines = { text "Hi", LAST }, hang = true } }
  local began = time.monotonic()
  t.eq(short(ask(server)), { "text:Hi", "done:stop" })
  t.near(time.monotonic() - began, 1, 0.01)
end)

test("what comes after done is not told", function(t)
  local server <close> = fake { { lines = { text "Hi", LAST, text "more", [[{"error":"late"}]] } } }
  t.eq(short(ask(server)), { "text:Hi", "done:stop" })
end)

test("a stream that is cancelled before its first line, or ends before it, says so; only the second is tried again", function(t)
  local server <close> = fake(function(_, res)
    res:start(200, { ["Content-Type"] = "application/x-ndjson" })
    stoke.sleep(1e6)
  end)
  local silent = { model = "m", messages = HI, endpoint = server.url, timeouts = { first_byte = false } }
  local task = stoke.spawn(collect, silent)
  stoke.sleep(5)
  task:cancel()
  t.raises("cancelled", task.await, task)
  stoke.sleep(60)
  t.eq(#server.requests, 1)
  local empty <close> = fake { { lines = {} }, { lines = { text "Hello", LAST } } }
  local events = collect { model = "m", messages = HI, endpoint = empty.url }
  t.eq({ #empty.requests, events[1].text, events[2].type }, { 2, "Hello", "done" })
end)
