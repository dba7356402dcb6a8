-- NATS, a real server: host.nats speaks with it, and the engine keeps what it promises when the server is killed, restarted, full,
-- or another one than was meant. What all engines have to keep is asked by tests/queue/battery.lua.

local engine = require "core.engine"
local json = require "stoke.json"
local native = require "host.nats"
local nats = require "nats"
local stoke = require "stoke"
local test = require "stoke.test"

local REAL = nats.REAL

local function connect(url, options)
  local conn, err = native.connect({ url }, options or {})
  if not conn then return nil, err end
  return setmetatable({}, { __index = function(_, name)
    return function(_, ...) return conn[name](conn, ...) end
  end, __close = function() conn:close() end })
end

-- ---- host.nats ----------------------------------------------------------------------------------------------------------

test("nats: many questions are answered by their places, and nobody is told of at once", REAL, function(t)
  local server <close> = nats.start(t)
  local conn <close> = connect(server.url)
  local sub = conn:subscribe("double", nil, 1000)
  local echo = stoke.spawn(function()
    local n = 0
    while n < 200 do
      for _, m in ipairs(sub:take(50, 5)) do
        n = n + 1
        conn:send { { m.reply, m.data .. m.data, "Stoke", m.meta } }
      end
    end
  end)
  local list = {}
  for i = 1, 200 do list[i] = { "double", tostring(i), "Stoke", "h" .. i } end
  local answers, err = conn:ask(list, 10)
  t.eq(err, nil)
  for i = 1, 200 do t.eq({ answers[i].data, answers[i].meta }, { tostring(i):rep(2), "h" .. i }) end
  echo:await()
  t.eq(conn:ask({ { "nobody.is.there", "" } }, 5)[1].status, "503")
  sub:close()
end)

test("nats: bytes come back as they were sent, zero bytes and 10 MB of them", REAL, function(t)
  local server <close> = nats.start(t)
  local conn <close> = connect(server.url)
  local sub = conn:subscribe("bytes", nil, 10)
  for _, data in ipairs { "", "\0a\0\r\n", ("\1\2\3\4"):rep(10 << 18) } do
    t.ok(conn:send { { "bytes", data } })
    t.ok(sub:take(1, 10)[1].data == data)
  end
  local sent, err = conn:send { { "bytes", ("x"):rep(33 << 20) } }
  t.eq({ sent, err.kind }, { nil, "limit" })
  t.match(err.message, "max_payload is 33554432")
end)

test("nats: a question that nobody answers is over in time, and can be cancelled", REAL, function(t)
  local server <close> = nats.start(t)
  local conn <close> = connect(server.url)
  local sub = conn:subscribe("deaf", nil, 10)
  local answers, err = conn:ask({ { "deaf", "1" }, { "nobody", "2" } }, 0.2)
  t.eq({ answers[1], answers[2].status, err.kind }, { false, "503", "timeout" })
  t.eq(#sub:take(10, 1), 1)
  local task = stoke.spawn(function() return conn:ask({ { "deaf", "1" } }, 60) end)
  t.eq(#sub:take(10, 1), 1)
  local waiting = stoke.spawn(function() return sub:take(1, 60) end)
  stoke.sleep(0.05)
  task:cancel()
  waiting:cancel()
  t.eq(stoke.try(task.await, task), nil)
  t.eq(stoke.try(waiting.await, waiting), nil)
end)

test("nats: a subscription has room for so many messages, and counts what it loses", REAL, function(t)
  local server <close> = nats.start(t)
  local conn <close> = connect(server.url)
  local sub = conn:subscribe("flood", nil, 10)
  local list = {}
  for i = 1, 30 do list[i] = { "flood", tostring(i) } end
  conn:send(list)
  repeat stoke.sleep(0.01) until sub:lost() == 20 -- the library hands on each subscription's messages by a thread of its own
  local kept = #sub:take(100, 5)
  t.eq({ kept, sub:lost() }, { 10, 20 })
end)

test("nats: a subscription is closed while large messages come in for it", REAL, function(t)
  local server <close> = nats.start(t)
  local conn <close> = connect(server.url)
  local other <close> = connect(server.url)
  local large = ("x"):rep(4 << 20)
  for _ = 1, 20 do
    local sub = conn:subscribe("large", nil, 10)
    conn:ask({ { "nobody", "" } }, 5)
    other:send { { "large", large }, { "large", large }, { "large", large }, { "large", large } }
    t.eq(#sub:take(1, 5), 1)
    sub:close()
  end
  t.eq(conn:ask({ { "nobody", "" } }, 5)[1].status, "503")
end)

test("nats: a lost connection is made anew; who asked hears of it at once, and closing ends what waits", REAL, function(t)
  local server <close> = nats.start(t)
  local conn = connect(server.url)
  local sub = conn:subscribe("deaf", nil, 10)
  local asked = stoke.spawn(function() return conn:ask({ { "deaf", "" } }, 60) end)
  t.eq(#sub:take(1, 5), 1)
  server:kill()
  local answers, err = asked:await()
  t.eq({ answers, err.kind }, { { false }, "refused" })
  server:again()
  repeat stoke.sleep(0.05) until conn:about().connected
  t.eq(conn:about().reconnects, 1)
  t.ok(conn:send { { "deaf", "again" } })
  t.eq(sub:take(1, 5)[1].data, "again")
  local taking = stoke.spawn(function() return sub:take(1, 60) end)
  stoke.sleep(0.05)
  t.ok(conn:close())
  local list
  list, err = taking:await()
  t.eq({ list, err.kind }, { nil, "refused" })
end)

test("nats: a wrong address, a wrong password and a server without JetStream are one clear error each", REAL, function(t)
  local _, err = engine.open("nats://ada:secret@127.0.0.1:1", {})
  t.eq(err.kind, "refused")
  t.match(err.message, "cannot connect to NATS: .*%(nats://ada:%*%*%*@127%.0%.0%.1:1%)")
  t.ok(not tostring(err):find("secret", 1, true))
  t.ok(not err.message:find("%.c:%d"), err.message)
  t.match(err.hint, "is nats%-server running there")
  local plain <close> = nats.start(t, "authorization { user: ada, password: secret }")
  local host = plain.url:match "//(.*)$"
  _, err = engine.open("nats://ada:wrong@" .. host, {})
  t.eq({ err.kind, err.hint }, { "auth", "check user and password in the URL, or the file of ?creds=" })
  _, err = engine.open("nats://ada:secret@" .. host, {})
  t.eq({ err.kind, err.hint }, { "protocol", "start the server with it: nats-server -js" })
  for _, bad in ipairs { "h:1:99", "h:0", "h:65536", "h:x", "[::1", "a,b:1:2" } do
    _, err = engine.open("nats://" .. bad, {})
    t.eq(err.kind, "argument", bad)
  end
  _, err = engine.open("nats://127.0.0.1:4222?replica=3", {})
  t.eq(err.kind, "argument")
  t.match(err.message, "says replica=3")
end)

-- ---- the engine ---------------------------------------------------------------------------------------------------------

local function items(from, to, key)
  local list = {}
  for i = from, to do list[#list + 1] = { id = "n" .. i, key = key, value = "v" .. i, v = 1 } end
  return list
end

local function claim(e, n, more)
  local q = { stream = "jobs", group = "g", n = n, lease = 30, wait = 5, tries = 5 }
  for name, value in next, more or {} do q[name] = value end
  return assert(e:claim(q))
end

local function all(claims, state)
  local list = {}
  for i, c in ipairs(claims) do list[i] = { claim = c, state = state or "done", value = "did " .. c.value } end
  return list
end

test("nats: kill -9 of the server between publishing, claiming and settling loses nothing and does nothing twice", REAL, function(t)
  local server <close> = nats.start(t)
  local e <close> = engine.open(server.url, {})
  local done, n = {}, 0
  local worker = stoke.spawn(function()
    assert(e:publish("jobs", items(1, 300)))
    assert(e:publish("jobs", items(200, 600)))
    while n < 600 do
      local claims = claim(e, 20)
      for i, good in ipairs(assert(e:settle(all(claims)))) do
        t.ok(good and not done[claims[i].id], claims[i].id)
        done[claims[i].id] = true
        n = n + 1
      end
    end
  end)
  for _ = 1, 4 do
    stoke.sleep(0.1)
    server:kill()
    server:again()
  end
  worker:await()
  t.eq(#assert(e:outcomes("jobs", "g", 1, 1000)), 600)
  t.eq(claim(e, 1, { wait = 0 }), {})
end)

--- Settings of groups, for the block.
local function with(settings)
  local group = require "core.engine.nats.group"
  local before = {}
  for name, value in next, settings do before[name], group[name] = group[name], value end
  return setmetatable({}, { __close = function()
    for name, value in next, before do group[name] = value end
  end })
end

test("nats: who begins later reads a snapshot, not the whole log; a snapshot taken behind its back is noticed", REAL, function(t)
  local _ <close> = with { KEEP = 50, PART = 500 } -- in many parts
  local server <close> = nats.start(t)
  local a <close> = engine.open(server.url, {})
  t.ok(a:publish("jobs", items(1, 200)))
  local kept = claim(a, 1)
  for _ = 1, 100 do t.eq(assert(a:settle(all(claim(a, 1)))), { true }) end
  t.eq(a:settle(all(claim(a, 1), "dead")), { true })
  stoke.sleep(0.3)
  local b <close> = engine.open(server.url, {})
  local counts = b:streams()[1].groups[1]
  t.eq({ counts.done, counts.dead, counts.lent, counts.waiting }, { 100, 1, 1, 98 })
  t.eq(b:settle(all(kept)), { true })
  t.eq(a:settle(all(kept, "dead")), { false })
  local rest = claim(b, 200)
  t.eq(#rest, 98)
end)

test("nats: a snapshot that is too large is told, and tried again; the log is short after it", REAL, function(t)
  local notice = require "core.gate.notice"
  local write, told = notice.write, {}
  notice.write = function(_, text) told[#told + 1] = text end
  local settings <close> = with { KEEP = 50, AGAIN = 0.05, MOST = 10, PART = 300 }
  local _ <close> = setmetatable({}, { __close = function() notice.write = write end })
  local server <close> = nats.start(t)
  local e <close> = engine.open(server.url, {})
  t.ok(e:publish("jobs", items(1, 200)))
  for _ = 1, 100 do e:settle(all(claim(e, 1), "again")) end
  local ok, err = e:trim("jobs", 2)
  t.eq({ ok, err.kind }, { nil, "limit" })
  t.match(err.message, "open items and %d+ dead letters are too much to be kept")
  local log = e.jet:info "stoke-g-jobs==g".state.messages
  t.ok(log > 150, log)
  t.eq(#told, 1)
  t.match(told[1], "^the log of the group g of the stream jobs cannot be shortened, and grows: ")
  require "core.engine.nats.group".MOST = 1 << 20
  stoke.sleep(0.1)
  e:settle(all(claim(e, 1), "again"))
  stoke.sleep(0.5)
  log = e.jet:info "stoke-g-jobs==g".state.messages
  t.ok(log < 60, log)
  t.ok(settings)
end)

test("nats: what a worker was to hand over when it died is published by another", REAL, function(t)
  local machine = require "core.engine.machine"
  local before = machine.HAND
  machine.HAND = 0.3
  local _ <close> = setmetatable({}, { __close = function() machine.HAND = before end })
  local server <close> = nats.start(t)
  local a = engine.open(server.url, {})
  t.ok(a:publish("jobs", items(1, 2, "ada")))
  local c = claim(a, 1)[1]
  a.publish = function() return nil, { kind = "refused" } end -- it dies here
  local handed = { stream = "next", id = "x", key = "ada", value = "handed", v = 1 }
  t.ok(a:settle { { claim = c, state = "done", publish = { handed } } })
  local e <close> = engine.open(server.url, {})
  t.eq(claim(e, 1, { wait = 0 }), {}) -- the next of its key waits for what is handed over
  t.eq(claim(e, 1)[1].id, "n2")
  local list = e:read("next", 1, 10)
  t.eq({ #list, list[1].id, list[1].value }, { 1, "x", "handed" })
  a:close()
end)

test("nats: records of a newer stoke are refused", REAL, function(t)
  local server <close> = nats.start(t)
  local e <close> = engine.open(server.url, {})
  t.ok(e:publish("jobs", items(1, 1)))
  local conn <close> = connect(server.url)
  local said = conn:ask({ { "stoke.i.jobs.later", "", "Stoke", '{"v":2,"id":"later"}' } }, 5)[1].data
  t.match(said, '"seq":2')
  local list, err = e:read("jobs", 1, 10)
  t.eq({ list, err.kind }, { nil, "protocol" })
  t.match(err.message, "newer stoke: its records have version 2, this one knows up to 1")
end)

test("nats: a stream that another host is still making is waited for", REAL, function(t)
  local server <close> = nats.start(t)
  local a <close> = engine.open(server.url, {})
  local b <close> = engine.open(server.url, {})
  a.jet.known["stoke-i-jobs"] = true -- it was told that the stream is there
  local task = stoke.spawn(function() return a:publish("jobs", items(1, 3)) end)
  stoke.sleep(0.2)
  t.ok(b:publish("jobs", items(4, 4)))
  t.eq(task:await(), { true, true, true })
  t.eq(#b:read("jobs", 1, 10), 4)
end)

test("nats: a stream is made although its subjects were another's a moment ago", REAL, function(t)
  local server <close> = nats.start(t)
  local e <close> = engine.open(server.url, {})
  t.ok(e.jet:api("STREAM.CREATE.other", { name = "other", subjects = { "stoke.i.jobs.>" } }))
  local task = stoke.spawn(function() return e:publish("jobs", items(1, 1)) end)
  stoke.sleep(0.3)
  t.ok(e.jet:api "STREAM.DELETE.other")
  t.eq(task:await(), { true })
end)

test("nats: outcomes and dead letters of a script's queue have their ids", REAL, function(t)
  local server <close> = nats.start(t)
  local q <close> = stoke.queue(server.url)
  q:publish("jobs", nil, "good", 1)
  q:publish("jobs", nil, "bad", 2)
  local reader <close> = q:consume("jobs", "g")
  t.ok(reader:take(5):ack())
  t.ok(reader:take(5):dead "no")
  local list = {}
  for one in q:outcomes("jobs", "g") do list[#list + 1] = { one.id, one.state } end
  t.eq(list, { { "good", "done" }, { "bad", "dead" } })
end)

test("nats: who goes ahead skips what was read ahead, and counts it nowhere", { real = true, timeout = 60 }, function(t)
  local server <close> = nats.start(t)
  local e <close> = engine.open(server.url, {})
  t.ok(e:publish("jobs", items(1, 3000)))
  t.eq(e:settle(all(claim(e, 1))), { true })
  local out = claim(e, 2)
  t.eq(e:settle(all({ out[2] }, "again")), { true })
  local function counts()
    local g = e:streams()[1].groups[1]
    return { g.waiting, g.lent, g.done, g.dead }
  end
  t.ok(e:rewind("jobs", "g", 2000))
  t.eq(counts(), { 1001, 1, 1, 0 })
  t.eq(e:settle(all { out[1] }), { true })
  local n = 0
  repeat
    local some = claim(e, 1000, { wait = 0.5 })
    for _, c in ipairs(some) do t.ok(c.offset >= 2000, c.offset) end
    t.ok(e:settle(all(some)))
    n = n + #some
  until not some[1]
  t.eq({ n, counts() }, { 1001, { 0, 0, 1003, 0 } })
  t.ok(e:rewind("jobs", "g", 2500))
  t.eq(counts(), { 501, 0, 502, 0 })
  t.ok(e:rewind("jobs", "g", 2))
  t.ok(e:rewind("jobs", "g", 9999)) -- behind the last one
  t.eq({ counts(), #e:outcomes("jobs", "g", 1, 5000) }, { { 0, 0, 1, 0 }, 1 })
  t.ok(e:publish("jobs", items(3001, 3001)))
  t.eq(claim(e, 5)[1].id, "n3001")
end)

test("nats: 13,000 claims are renewed, and 13,000 dead letters revived", { real = true, timeout = 60 }, function(t)
  local server <close> = nats.start(t)
  local e <close> = engine.open(server.url, {})
  t.ok(e:publish("jobs", items(1, 13000)))
  local claims = {}
  while #claims < 13000 do
    local some = claim(e, 1000, { lease = 60 })
    table.move(some, 1, #some, #claims + 1, claims)
  end
  t.eq(e:settle(all({ claims[1500] }, "done")), { true })
  local lost = assert(e:renew(claims, 60))
  t.eq({ #lost, lost[1].id }, { 1, claims[1500].id })
  for first = 1, 13000, 1000 do t.ok(e:settle(all(table.move(claims, first, first + 999, 1, {}), "dead"))) end
  t.eq(e:revive("jobs", "g"), 12999)
end)

test("nats: a server without room says so", REAL, function(t)
  local server <close> = nats.start(t, "")
  server:kill()
  server.config = ("jetstream { store_dir: %q, max_file_store: 1MB }"):format(server.folder .. "/js")
  server:again()
  local e <close> = engine.open(server.url, {})
  local ok, err
  for i = 1, 20 do
    ok, err = e:publish("jobs", { { id = tostring(i), value = ("x"):rep(100000), v = 1 } })
    if not ok then break end
  end
  t.eq({ ok, err.kind }, { nil, "overloaded" })
  t.match(err.hint, "raise the limits of JetStream")
end)

test("nats: every host is among the server's services", REAL, function(t)
  local server <close> = nats.start(t)
  local a <close> = engine.open(server.url, {})
  local b <close> = engine.open(server.url, {})
  local conn <close> = connect(server.url)
  local sub = conn:subscribe("found", nil, 10)
  local function found(subject)
    conn:send({ { subject, "" } }, "found")
    local list = {}
    repeat
      local got = sub:take(10, 0.3)
      for _, m in ipairs(got) do list[#list + 1] = json.decode(m.data) end
    until not got[1]
    return list
  end
  local hosts = found "$SRV.PING"
  t.eq({ #hosts, hosts[1].type, hosts[1].name }, { 2, "io.nats.micro.v1.ping_response", "stoke" })
  t.ne(hosts[1].id, hosts[2].id)
  t.eq(#found "$SRV.PING.other", 0)
  t.eq(#found("$SRV.INFO.stoke." .. hosts[1].id), 1)
  local info, stats = found("$SRV.INFO.stoke")[1], found("$SRV.STATS.stoke." .. hosts[1].id)[1]
  t.eq({ info.type, stats.type }, { "io.nats.micro.v1.info_response", "io.nats.micro.v1.stats_response" })
  for _, said in ipairs { hosts[1], info, stats } do -- what a reader of the protocol takes as given (ADR-32)
    t.match(said.version, "^%d+%.%d+%.%d+")
    t.match(said.name .. said.id, "^[%w_-]+$")
    t.eq(type(said.metadata.pid), "string")
  end
  t.eq({ type(info.description), info.endpoints, stats.endpoints }, { "string", {}, {} })
  t.match(stats.started, "^%d+%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
  t.ok(a and b)
end)
