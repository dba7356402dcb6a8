-- The one interface of streams (lua/stream.lua): its laws, and what stands between a source and its reader: recorder, player, tee.

local test = require "stoke.test"
local fake = require "fake"
local effect = require "core.effect"
local errors = require "core.errors"
local http = require "stoke.http"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local streams = require "core.stream"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }
local LAST = [[{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":12,]]
  .. [["eval_count":25}]]

local function line(message) return ([[{"model":"m","message":{"role":"assistant",%s},"done":false}]]):format(message) end
local function text(s) return line('"content":' .. json.encode(s)) end

-- A source that gives `items`, each after `gap` seconds, then ends, with `err` if that is given.
local function list(items, gap, err)
  local source = { at = 0, closed = 0, shared = 0, about = { name = "a list" } }
  function source:next()
    if gap then
      local _, stopped = require "host.task".park("list", gap)
      if stopped then return nil, stopped end
    end
    self.at = self.at + 1
    if items[self.at] == nil then return nil, err end
    return items[self.at]
  end
  function source:close() self.closed = self.closed + 1 end
  function source:share() self.shared = self.shared + 1 end
  function source:came() return self.at end
  return source
end

local count = 0
local function open(source, more)
  count = count + 1
  local def = more or {}
  def.stream, def.run = true, function() return source end
  effect.define("test.stream" .. count, def)
  return errors.check(effect.perform("test.stream" .. count, {}))
end

local function all(source)
  local out = {}
  for item in function() return source:next() end do out[#out + 1] = item end
  return out
end

local function chat(server, more)
  local q = { model = "m", messages = HI, endpoint = server.url, merge = false }
  for name, value in pairs(more or {}) do q[name] = value end
  return q
end

-- ---- the laws -----------------------------------------------------------------------------------------------------------------

test("stream: the end comes again and again, and the source is closed once", function(t)
  local source = list { "a", "b" }
  local s = open(source)
  t.eq(all(s), { "a", "b" })
  t.eq({ s:next() }, {})
  t.eq({ s:next() }, {})
  s:close()
  t.eq(source.closed, 1)
end)

test("stream: closed twice is closed once, and gives nothing more", function(t)
  local source = list { "a", "b" }
  local s = open(source)
  t.eq(s:next(), "a")
  s:close()
  s:close()
  t.eq({ source.closed, s:next() }, { 1 })
end)

test("stream: an error in the middle is given again", function(t)
  local err = errors.new("protocol", "no more")
  local s = open(list({ "a" }, nil, err))
  t.eq(s:next(), "a")
  local _, first = s:next()
  local _, second = s:next()
  t.ok(rawequal(first, err) and rawequal(second, err))
end)

test("stream: the end of its scope cuts it", function(t)
  local source = list { "a", "b" }
  local s
  do
    local _ <close> = stoke.scope {}
    s = open(source)
    t.eq(s:next(), "a")
  end
  t.eq({ source.closed, s:next() }, { 1 })
end)

test("stream: what it costs is settled once, with what had come where it broke off", function(t)
  local settled = {}
  local def = { usage = function(source) settled[#settled + 1] = source.at return { output_tokens = 5 } end }
  local s <close> = stoke.scope { budget = { tokens = 100 } }
  local whole = open(list { "a" }, def)
  all(whole)
  whole:close()
  t.eq({ settled, s.budget.used.tokens }, { { 2 }, 5 })
  local cut = open(list { "a", "b", "c" }, { usage = def.usage })
  cut:next()
  t.eq(cut:came(), 1)
  cut:close()
  t.eq({ #settled, s.budget.used.tokens }, { 1, 6 })
end)

test("stream: iterate raises what broke it; bare gives texts alone, and none that are empty", function(t)
  local err = errors.new("protocol", "no more")
  local items = { { type = "thinking", text = "Hm" }, { type = "text", text = "a" }, { type = "text", text = "" },
    { type = "text", text = "b" }, { type = "done" } }
  local done, out = 0, {}
  for item in open(list(items)):iterate { bare = true, on_done = function() done = done + 1 end } do out[#out + 1] = item end
  t.eq({ out, done }, { { "a", "b" }, 1 })
  local f = open(list({ "a" }, nil, err)):iterate {}
  t.eq(f(), "a")
  t.raises("protocol", f)
end)

test("stream: rest is all that is still to come", function(t)
  local s = open(list { "a", "b", "c" })
  s:next()
  t.eq({ s:rest(), s:next() }, { "bc" })
  local _, err = open(list({ "a" }, nil, errors.new("protocol", "no more"))):rest()
  t.eq(err.kind, "protocol")
end)

test("stream: what was known when it was opened is in about, also through a recorder", function(t)
  local s = open(list { "a" })
  t.eq(s.about, { name = "a list" })
  s:transcript()
  t.eq(s.about, { name = "a list" })
  s:close()
end)

-- ---- texts --------------------------------------------------------------------------------------------------------------------

test("ollama.text: strings, in order, whatever else the answer has", function(t)
  local server <close> = fake { { lines = { line '"content":"","thinking":"H\\nm"', text "He", line '"content":"","thinking":"x"',
    text "l\nlo", text "", text " you", LAST } } }
  local out = {}
  for s in ollama.text(chat(server)) do out[#out + 1] = s end
  t.eq(out, { "He", "l\nlo", " you" })
  out = {}
  for s in ollama.text(chat(server, { merge = true })) do out[#out + 1] = s end
  t.eq(table.concat(out), "Hel\nlo you")
end)

test("ollama.text: a long reasoning that takes the slow way does not grow the stack", function(t)
  local lines = {}
  for i = 1, 20000 do lines[i] = line '"content":"","thinking":"x","images":[]' end
  lines[20001], lines[20002] = text "done", LAST
  local server <close> = fake { { body = table.concat(lines, "\n") .. "\n" } }
  local out = {}
  for s in ollama.text(chat(server)) do out[#out + 1] = s end
  t.eq(out, { "done" })
end)

test("ollama.text: refuses tools, raises errors of the stream, and cuts it when it is left", function(t)
  t.raises("argument", ollama.text, { model = "m", messages = HI, tools = {} })
  t.raises("argument", ollama.text, { model = "m" })
  local server <close> = fake { { lines = { text "a", '{"error":"it broke"}' } }, { lines = { text "a", text "b" }, hang = true } }
  local out = {}
  local _, err = stoke.try(function()
    for s in ollama.text(chat(server)) do out[#out + 1] = s end
  end)
  t.eq({ out, err ~= nil }, { { "a" }, true })
  out = {}
  for s in ollama.text(chat(server)) do
    out[#out + 1] = s
    if s == "a" then break end
  end
  t.eq(out, { "a" })
end)

-- ---- recorder and player --------------------------------------------------------------------------------------------------------

local ITEMS = { { type = "text", text = "He" }, "bytes \xFF\0", { type = "thinking", text = "Hm" }, { type = "text", text = "" },
  { type = "text", text = "x", logprobs = { 1.5 } }, { type = "done", usage = { output_tokens = 3 } } }

test("recorder: its transcript is what was read, with the times", function(t)
  local s = open(list(ITEMS, 0.25))
  local transcript = s:transcript()
  t.eq(all(s), ITEMS)
  local out, times = {}, {}
  for at, item in streams.items(transcript:text()) do out[#out + 1], times[#times + 1] = item, at end
  t.eq(out, ITEMS)
  t.eq(times, { 0.25, 0.5, 0.75, 1.0, 1.25, 1.5 })
end)

test("recorder: says once how it ended", function(t)
  local function ends(source, f)
    local told = {}
    local r = streams.recorder(source, nil, function(kind, err) told[#told + 1] = err and { kind, err.kind } or kind end)
    f(r)
    r:close()
    return told
  end
  t.eq(ends(list { "a" }, all), { "end" })
  t.eq(ends(list { "a", "b" }, function(r) r:next() end), { "cut" })
  t.eq(ends(list({ "a" }, nil, errors.new("protocol", "x")), all), { { "error", "protocol" } })
  t.eq(ends(list { "a", "b" }, function(r) t.eq(r:rest(), "ab") end), { "end" })
end)

test("player: the same items at the same times after its beginning, then the same end", function(t)
  local s = open(list(ITEMS, 0.25, errors.new("protocol", "no more")))
  local transcript = s:transcript()
  all(s)
  local began = time.monotonic()
  local p = streams.player(transcript:text(), { began = began, at = 1.75, err = errors.new("protocol", "no more") })
  for i, item in ipairs(ITEMS) do
    t.eq(p:next(), item)
    t.eq(time.monotonic() - began, i * 0.25)
  end
  local _, err = p:next()
  t.eq({ err.kind, time.monotonic() - began }, { "protocol", 1.75 })
end)

test("player: a reader that comes late waits for nothing; one that is cancelled can go on", function(t)
  local transcript = streams.transcript()
  streams.note(transcript, "a", 1)
  streams.note(transcript, "b", 3)
  local began = time.monotonic()
  local p = streams.player(transcript:text(), { began = began })
  stoke.sleep(2)
  t.eq({ p:next(), time.monotonic() - began }, { "a", 2 })
  local waiting = stoke.spawn(function() return p:next() end)
  stoke.sleep(0.5)
  waiting:cancel()
  stoke.sleep(0)
  t.eq({ p:next(), time.monotonic() - began }, { "b", 3 })
end)

test("player: after its close it gives nothing", function(t)
  local transcript = streams.transcript()
  streams.note(transcript, "a")
  local p = streams.player(transcript:text(), { began = time.monotonic() })
  p:close()
  t.eq({ p:next() }, {})
end)

test("player: what is no transcript is an error, not a stream", function(t)
  local transcript = streams.transcript()
  streams.note(transcript, { type = "text", text = "some text" })
  streams.note(transcript, { type = "done", reason = "stop" })
  local whole = transcript:text()
  local function kinds(bytes)
    local p = streams.player(bytes, { began = time.monotonic() })
    for _ = 1, 10 do
      local item, err = p:next()
      if item == nil then return err and err.kind end
    end
  end
  for size = 1, #whole - 1 do
    local kind = kinds(whole:sub(1, size))
    t.ok(kind == "replay" or kind == nil and size == 12, ("%d bytes: %s"):format(size, tostring(kind)))
  end
  t.eq(kinds "j\0\1{", "replay")
  t.eq(kinds(("\xFF"):rep(30)), "replay")
  t.eq(kinds("s" .. ("\xFF"):rep(8) .. "\x7F\0"), "replay") -- 2^63 - 1 microseconds
  t.eq(kinds "", nil)
end)

test("transcript: a time beyond all reason is the latest there is, and is read again", function(t)
  local transcript = streams.transcript()
  for _, at in ipairs { 1, 1e300, math.huge, 2 } do streams.note(transcript, "a", at) end
  local times = {}
  for at in streams.items(transcript:text()) do times[#times + 1] = at end
  t.eq(times, { 1, 9e9, 9e9, 9e9 })
  t.eq(streams.transcript(math.huge):text(), "")
end)

test("recorder: the fast path stays, and no function of it is called for a text", function(t)
  local lines = {}
  for i = 1, 500 do lines[i] = text("w" .. i) end
  lines[501] = LAST
  local server <close> = fake { { body = table.concat(lines, "\n") .. "\n" } }
  local _, stream = ollama.stream(chat(server))
  local transcript, recorder, calls, texts = stream:transcript(), stream.source, 0, 0
  local read = recorder.next
  function recorder:next(given)
    calls = calls + 1
    return read(self, given)
  end
  for ev in stream:iterate { merge = false } do
    if ev.type == "text" then texts = texts + 1 end
  end
  t.eq({ texts, calls }, { 500, 2 }) -- for the last line, and the end
  local n = 0
  for _, item in streams.items(transcript:text()) do
    n = n + 1
    if n <= 500 then t.eq(item, { type = "text", text = "w" .. n }) end
  end
  t.eq(n, 501)
end)

test("recorder: pieces that were merged are one piece; bare texts are noted with the reasoning between them", function(t)
  local body = table.concat({ text "a", text "b", line '"content":"","thinking":"Hm"', text "c", LAST }, "\n") .. "\n"
  local server <close> = fake { { body = body } }
  for _, bare in ipairs { false, true } do
    local _, stream = ollama.stream(chat(server))
    local transcript, given = stream:transcript(), {}
    for item in stream:iterate { merge = true, bare = bare } do given[#given + 1] = item end
    local noted = {}
    for _, item in streams.items(transcript:text()) do noted[#noted + 1] = item.text or item.type end
    t.eq(noted, { "ab", "Hm", "c", "done" })
    if bare then t.eq(given, { "ab", "c" }) end
  end
end)

-- ---- the tee --------------------------------------------------------------------------------------------------------------------

test("tee: both get everything, whoever reads first", function(t)
  local source = list(ITEMS)
  local a, b = streams.tee(source)
  t.eq({ a:next(), a:next(), b:next(), b:next(), b:next() }, { ITEMS[1], ITEMS[2], ITEMS[1], ITEMS[2], ITEMS[3] })
  t.eq(all(a), { ITEMS[3], ITEMS[4], ITEMS[5], ITEMS[6] })
  t.eq(all(b), { ITEMS[4], ITEMS[5], ITEMS[6] })
  t.eq({ a.done, b.done }, { ITEMS[6], ITEMS[6] })
  t.eq({ a:next(), b:next() }, {})
  a:close()
  t.eq(source.closed, 0)
  b:close()
  b:close()
  t.eq(source.closed, 1)
end)

test("tee: two tasks that wait for the same item both get it", function(t)
  local a, b = streams.tee(list({ "x", "y" }, 1))
  local got = {}
  local scope <close> = stoke.scope {}
  for name, reader in pairs { a = a, b = b } do
    scope:spawn(function() got[name] = all(reader) end)
  end
  scope:wait()
  t.eq({ got.a, got.b }, { { "x", "y" }, { "x", "y" } })
end)

test("tee: a reader that is too far behind ends with limit, the other goes on", function(t)
  local items = {}
  for i = 1, 10 do items[i] = ("x"):rep(100) end
  local fast, slow = streams.tee(list(items), 2, 350)
  t.eq(slow:next(), items[1])
  t.eq(#all(fast), 10)
  local _, err = slow:next()
  t.eq(err.kind, "limit")
  t.match(err.message, "^this reader of a shared stream is %d+ bytes behind the first; at most 350 are kept$")
  t.eq(select(2, slow:next()), err)
end)

test("tee: a reader that left holds nothing back", function(t)
  local items = {}
  for i = 1, 10 do items[i] = ("x"):rep(100) end
  local a, b, c = streams.tee(list(items), 3, 350)
  b:close()
  for i = 1, 10 do t.eq({ a:next(), c:next() }, { items[i], items[i] }) end
  t.eq({ b:next() }, {})
end)

test("tee: an error of the source reaches all", function(t)
  local err = errors.new("protocol", "no more")
  local a, b = streams.tee(list({ "x" }, nil, err))
  t.eq({ a:next(), b:next() }, { "x", "x" })
  t.eq(select(2, b:next()), err)
  t.eq(select(2, a:next()), err)
end)

test("tee: whoever is cancelled while it reads leaves the source to the other", function(t)
  local server <close> = fake { { lines = { text "a", text "b", text "c", LAST }, gap = 1 } }
  local _, stream = ollama.stream(chat(server))
  local a, b = streams.tee(stream.source)
  t.eq(a:next().text, "a")
  local leader = stoke.spawn(function() return all(a) end)
  stoke.sleep(0.5) -- it waits for the second line
  local follower = stoke.spawn(function() return all(b) end)
  stoke.sleep(0)
  leader:cancel()
  local texts = {}
  for i, ev in ipairs(follower:await()) do texts[i] = ev.text or ev.type end
  t.eq(texts, { "a", "b", "c", "done" })
  stream:close()
end)

-- ---- on a tape ------------------------------------------------------------------------------------------------------------------

-- A tape in memory, as lua/gate/replay.lua wants it: what it recorded is what it plays.
local function tape()
  local it = { recording = true, entries = {} }
  function it:open() self.entries[#self.entries + 1] = { chunks = {} } return self.entries[#self.entries] end
  function it.put(_, entry, kind, at, value, facts)
    if kind == "chunk" then
      entry.chunks[#entry.chunks + 1] = { at = at, value = value }
    else
      entry.at, entry.facts, entry.ended = at, facts, kind
      if kind == "error" then entry.err = value end
      if kind == "cut" then entry.cut = function() return errors.new("replay", "it was left here") end end
    end
  end
  function it:take() return table.remove(self.entries, 1) end
  return it
end

local function with_tape(it, f)
  local scopes = require "core.scope"
  local _ <close> = scopes.open { tape = it }
  return f()
end

test("tape: a stream of the web, its status, its items and their times", function(t)
  local server <close> = http.serve { mem = "paced", handler = function(_, res)
    res:start(200, { ["Content-Type"] = "text/event-stream" })
    for i = 1, 3 do
      stoke.sleep(0.5)
      res:write(("event: tick\ndata: %d\n\n"):format(i))
    end
  end }
  local function events()
    local res, out, began = http.get("http://paced.mem/", { stream = "sse" }), {}, time.monotonic()
    for ev in res:events() do out[#out + 1] = { ev.event, ev.data, time.monotonic() - began } end
    return { res.status, res.headers["content-type"], out }
  end
  local it = tape()
  local recorded = with_tape(it, events)
  t.eq(recorded, { 200, "text/event-stream", { { "tick", "1", 0.5 }, { "tick", "2", 1.0 }, { "tick", "3", 1.5 } } })
  server:close()
  it.recording = false
  t.eq(with_tape(it, events), recorded)
end)

test("tape: a refused stream of the web is refused with its body", function(t)
  local server <close> = http.serve { mem = "refusing", handler = function(_, res) res:reply(404, nil, "no\nway") end }
  local function refused()
    local _, err = stoke.try(http.get, "http://refusing.mem/", { stream = "lines" })
    return { err.kind, err.status, err.response.body }
  end
  local it = tape()
  t.eq(with_tape(it, refused), { "http", 404, "no\nway" })
  server:close()
  it.recording = false
  t.eq(with_tape(it, refused), { "http", 404, "no\nway" })
end)

test("tape: a stream that broke off costs the same again", function(t)
  local server <close> = fake { { lines = { text "a", text "b", text "c" }, hang = true } }
  local function used()
    local scope <close> = stoke.scope { budget = { tokens = 1000 } }
    for ev in ollama.stream(chat(server)) do
      if ev.text == "b" then break end
    end
    return scope.budget.used.tokens
  end
  local it = tape()
  local cost = with_tape(it, used)
  it.recording = false
  t.ok(cost > 0)
  t.eq({ it.entries[1].ended, it.entries[1].facts.came ~= nil }, { "cut", true })
end)
