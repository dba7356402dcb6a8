-- stoke.cache, for scripts.

local cached = require "cached"
local files = require "core.cache.file"
local fs = require "stoke.fs"
local gate = require "core.gate.cache"
local keys = require "core.cache.key"
local stoke = require "stoke"
local test = require "stoke.test"
local transfer = require "core.cache.transfer"

-- A server, and a cache in a file of the test's own.
local function world(t)
  local server = cached()
  files.path = t.tmp() .. "/cache.db"
  files.forget()
  return server
end

test("stoke.cache.stats: what it holds and has saved, and why calls of this process were not cached", function(t)
  local server <close> = world(t)
  t.eq({ stoke.cache.stats().exists, stoke.cache.where() }, { false, files.path })
  t.eq(fs.stat(files.path), nil)
  server:chat "a"
  server:chat "a"
  server:chat("b", { options = { temperature = 1 } })
  local stats = stoke.cache.stats()
  t.eq({ stats.entries, stats.hits, stats.misses }, { 1, 1, 1 })
  t.eq(stats.saved.calls, 1)
  t.eq({ stats.saved.input_tokens, stats.saved.output_tokens }, { 10, 5 })
  t.eq({ stats.calls.exact, stats.calls.misses, stats.calls.skipped }, { 1, 1, { ["its answer is drawn at random"] = 1 } })
end)

test("stoke.cache.stats: a call that was answered by another one's is a hit, and no miss", function(t)
  local server <close> = world(t)
  server.delay = 1
  local scope <close> = stoke.scope {}
  for _ = 1, 4 do scope:spawn(function() server:chat "a" end) end
  scope:wait()
  for _ = 1, 3 do
    scope:spawn(function() server:stream "b" end)
  end
  scope:wait()
  local stats = stoke.cache.stats()
  t.eq({ server.asked, stats.hits, stats.misses, stats.saved.calls }, { 2, 5, 2, 5 })
  t.eq({ stats.calls.shared, stats.calls.misses }, { 5, 2 })
end)

test("stoke.cache.each: all entries, the newest first, over as many pages as there are", function(t)
  local server <close> = world(t)
  local file = files.of()
  for i = 1, 1203 do
    file:put("exact", keys.digest("k" .. i), '{"response":"' .. i .. '","done_reason":"stop"}', { model = "m" .. i % 2 })
    if i % 200 == 0 then file:flush() end
  end
  local n, last, of_model = 0, nil, 0
  for entry in stoke.cache.each() do
    t.ok(not last or entry.row < last)
    n, last = n + 1, entry.row
  end
  for _ in stoke.cache.each { kind = "exact", model = "m1" } do of_model = of_model + 1 end
  t.eq({ n, of_model, #stoke.cache.list { limit = 7 } }, { 1203, 602, 7 })
  t.eq(server.asked, 0)
end)

test("stoke.cache.get: an id that several entries begin with is refused, with what tells them apart", function(t)
  local server <close> = world(t)
  local file, text = files.of(), '{"response":"yes","done_reason":"stop"}'
  file:put("exact", "\xab\xcd" .. ("\1"):rep(30), text)
  file:put("exact", "\xab\xce" .. ("\1"):rep(30), text)
  t.eq(stoke.cache.get("abcd").answer.text, "yes")
  t.eq(stoke.cache.get("ABC" .. "D0").kind, "exact")
  local _, err = stoke.try(stoke.cache.get, "abc")
  t.eq(err.kind, "usage")
  t.match(err.message, "several entries begin with abc: ab")
  t.raises("argument", stoke.cache.get, 3)
  t.raises("argument", stoke.cache.list, { kind = "exat" })
  t.eq(server.asked, 0)
end)

test("stoke.cache.clear and wrong: what went is asked for again", function(t)
  local server <close> = world(t)
  server:chat "a"
  stoke.sleep(1)
  server:chat "b"
  local entry = stoke.cache.list()[2]
  t.eq(stoke.cache.wrong(entry.id).key, entry.key)
  t.eq({ server:chat("a").cached, server:chat("b").cached }, { nil, "exact" })
  t.eq(stoke.cache.clear { kind = "prefix" }, 0)
  t.eq(stoke.cache.clear { older = 3600 }, 0)
  t.eq(stoke.cache.clear(), 2)
  t.eq({ server:chat("b").cached, server.asked }, { nil, 4 })
end)

test("stoke.cache.export and import: an answer that is here and newer stays", function(t)
  local server <close> = world(t)
  local path = t.tmp() .. "/out.jsonl"
  server:chat "a"
  t.eq(stoke.cache.export(path), 1)
  stoke.cache.clear()
  stoke.sleep(10)
  server:chat "a" -- a newer answer, of the same key
  t.eq(stoke.cache.import(path), { entries = 0, known = 1, damaged = 0, large = 0, whole = true })
  t.eq(server:chat("a").message.content, "2: a")
  stoke.cache.clear()
  t.eq(stoke.cache.import(path).entries, 1)
  local reply = server:chat "a"
  t.eq({ reply.message.content, reply.cached, server.asked }, { "1: a", "exact", 2 })
end)

test("stoke.cache.export and import: they tell how far they are, over more entries than are written at once", function(t)
  local server <close> = world(t)
  local path, file, text = t.tmp() .. "/out.jsonl", files.of(), '{"response":"yes","done_reason":"stop"}'
  for i = 1, 2345 do
    file:put("exact", keys.digest("k" .. i), text)
    if i % 200 == 0 then file:flush() end
  end
  local told = nil
  local function progress(done, total) told = { done, total } end
  t.eq(stoke.cache.export(path, { progress = progress }), 2345)
  t.eq(told, { 2345, 2345 })
  stoke.cache.clear()
  t.eq(stoke.cache.import(path, { progress = progress }).entries, 2345)
  local size = fs.stat(path).size
  t.eq({ told, stoke.cache.stats().entries, server.asked }, { { size, size }, 2345, 0 })
end)

test("stoke.cache.import: an old answer stays as old as it is", function(t)
  local server <close> = world(t)
  local path = t.tmp() .. "/out.jsonl"
  server:chat("a", { cache = { ttl = 60 } })
  stoke.cache.export(path)
  stoke.cache.clear()
  stoke.sleep(100)
  stoke.cache.import(path)
  t.eq(server:chat("a", { cache = { ttl = 60 } }).cached, nil)
end)

test("lines of an export: values of any bytes come back as they were, and each damaged line is known", function(t)
  local bytes = {}
  for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
  local row = { kind = "embedding", key = keys.digest "k", made = 1000.25, ttl = 60.5, facts = { model = "m" },
    value = table.concat(bytes) }
  local line = transfer.line(row)
  local back = transfer.read(line)
  t.eq({ back.kind, back.key, back.made, back.ttl, back.facts, back.value == row.value },
    { "embedding", row.key, 1000.25, 60.5, { model = "m" }, true })
  t.eq(select(2, line:gsub("\n", "")), 1)
  for at = 1, #line - 1 do
    local damaged = line:sub(1, at - 1) .. (line:sub(at, at) == "Z" and "Y" or "Z") .. line:sub(at + 1)
    t.eq(transfer.read(damaged), nil, damaged)
  end
  for _, other in ipairs { "", "{}", "[]", "x", '{"entry":{},"sum":"0"}', '{"end":"x"}' } do t.eq(transfer.read(other), nil) end
end)

test("lines of an export: a kind that is none, and a key that is none, are refused", function(t)
  local function refused(change)
    local row = { kind = "exact", key = keys.digest "k", made = 1, facts = {}, value = "{}" }
    change(row)
    t.eq(transfer.read(transfer.line(row)), nil)
  end
  refused(function(row) row.kind = "other" end)
  refused(function(row) row.kind = "digest" end) -- says which model a server has: it is not taken from elsewhere
  refused(function(row) row.key = "short" end)
  refused(function(row) row.made = -1 end)
  refused(function(row) row.ttl = -1 end)
  t.eq(gate.counts.exact, 0)
end)
