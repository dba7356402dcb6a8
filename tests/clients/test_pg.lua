-- Connections to PostgreSQL, host.pg: values both ways, jobs that are done all or none, what is lost, what waits.

local json = require "stoke.json"
local peers = require "peers"
local pg = require "host.pg"
local postgres = require "postgres"
local stoke = require "stoke"
local test = require "stoke.test"

--- A connection, and the server it is to.
local function connected(t, options)
  local server = postgres.start(t)
  local conn = assert(pg.connect(server.url, options))
  return conn, setmetatable({ url = server.url, port = server.port }, { __close = function()
    conn:close()
    local _ <close> = server
  end })
end

local function one(conn, sql, ...) return assert(conn:run { { sql, n = select("#", ...), ... } })[1][1][1] end

test("values come back as they went", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  for _, case in ipairs { { "bigint", math.maxinteger }, { "bigint", math.mininteger }, { "int", -7 }, { "smallint", -1 },
    { "float8", 0.1 }, { "float8", -1 / 0 }, { "boolean", true }, { "boolean", false }, { "text", "żółw" }, { "text", "" },
    { "bytea", "\0\xff\0" }, { "bytea", ("x"):rep(10 << 20) } } do
    t.eq(one(conn, ("SELECT $1::%s"):format(case[1]), case[2]), case[2], case[1])
  end
  t.eq(one(conn, "SELECT $1::text", nil), nil)
end)

test("arrays go as one parameter, with holes", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  local rows = assert(conn:run { { "SELECT * FROM unnest($1::text[],$2::bytea[],$3::bigint[],$4::float8[])",
    { array = "text", n = 3, "a", nil, "" }, { array = "bytea", n = 3, "\0", "\xff" }, { array = "bigint", n = 3, 1, -1 },
    { array = "float8", n = 3, 1.5, nil, 2 } } })[1]
  t.eq(rows, { { "a", "\0", 1, 1.5 }, { nil, "\xff", -1 }, { "", [4] = 2.0 } })
  t.eq(assert(conn:run { { "SELECT cardinality($1::text[])", { array = "text", n = 0 } } })[1][1][1], 0)
end)

test("a job is done whole, or not at all", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  assert(conn:run { { "CREATE TEMP TABLE t(i int PRIMARY KEY)" } })
  local done, err = conn:run { { "INSERT INTO t VALUES (1)" }, { "INSERT INTO t VALUES (1)" }, { "INSERT INTO t VALUES (2)" } }
  t.eq({ done, err.kind, err.sqlstate }, { nil, "db", "23505" })
  t.match(err.message, "duplicate key")
  t.eq(one(conn, "SELECT count(*) FROM t"), 0)
  local results = assert(conn:run { { "INSERT INTO t VALUES (1),(2)" }, { "SELECT i FROM t ORDER BY i" } })
  t.eq(results, { { changes = 2 }, { { 1 }, { 2 } } })
end)

test("a statement that cannot be prepared says why, and leaves the others alone", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  for _ = 1, 2 do
    local _, err = conn:run { { "SELECT 1" }, { "SELECT * FROM nowhere" } }
    t.eq({ err.kind, err.sqlstate }, { "db", "42P01" })
    t.match(err.message, "nowhere")
  end
  assert(conn:run { { "CREATE TEMP TABLE nowhere(i int)" } })
  t.eq(assert(conn:run { { "SELECT * FROM nowhere" } }), { {} })
end)

test("jobs of many tasks are on the way at once, and each gets its own answer", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  local scope <close> = stoke.scope()
  local list = {}
  for i = 1, 200 do list[i] = i end
  local answers = scope:map(list, function(i)
    if i % 10 == 0 then
      local _, err = conn:run { { "SELECT 1 / ($1::int - $1::int)", i } }
      return err.sqlstate
    end
    return one(conn, "SELECT $1::int * 2", i)
  end)
  for i, answer in ipairs(answers) do t.eq(answer, i % 10 == 0 and "22012" or i * 2) end
end)

test("a wait that is cancelled leaves the connection in order", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  local _, err = stoke.try(stoke.timeout, 0.05, function() assert(conn:run { { "SELECT pg_sleep(0.3)" } }) end)
  t.eq(err.kind, "cancelled")
  t.eq(one(conn, "SELECT 'after'"), "after")
end)

test("notifications: each payload once, and a wait has its time", peers.REAL, function(t)
  local conn, server <close> = connected(t)
  local other <close> = assert(pg.connect(server.url))
  assert(conn:run { { "LISTEN news" } })
  assert(other:run { { "SELECT pg_notify('news', p) FROM unnest($1::text[]) p", { array = "text", n = 3, "a", "b", "a" } } })
  t.eq({ conn:next(5) }, { "a", false })
  t.eq({ conn:next(5) }, { "b", false })
  t.eq({ conn:next(0.01) }, { false, false })
  local waiting = stoke.spawn(function() return conn:next() end)
  assert(other:run { { "SELECT pg_notify('news', 'c')" } })
  t.eq(waiting:await(), "c")
end)

test("more notifications than are kept are told as lost", peers.REAL, function(t)
  local conn, server <close> = connected(t)
  local other <close> = assert(pg.connect(server.url))
  assert(conn:run { { "LISTEN flood" } })
  assert(other:run { { "SELECT pg_notify('flood', i::text) FROM generate_series(1,1000) i" } })
  assert(conn:run { { "SELECT 1" } })
  local _, lost = conn:next(5)
  t.eq(lost, true)
end)

test("a server that dies: what was on the way is unsure, what comes later is refused", peers.REAL, function(t)
  local mine <close> = postgres.start(t)
  local conn <close> = assert(pg.connect(mine.tcp))
  local late = stoke.spawn(function() return conn:run { { "SELECT pg_sleep(60)" } } end)
  local note = stoke.spawn(function() return select(2, conn:next()) end)
  stoke.sleep(0.1)
  mine:kill()
  local _, err = late:await()
  t.eq({ err.kind, err.unsure }, { "refused", true })
  t.eq(note:await().kind, "refused")
  t.eq(conn:alive(), false)
  _, err = conn:run { { "SELECT 1" } }
  t.eq({ err.kind, err.unsure }, { "refused", nil })
  _, err = pg.connect(mine.tcp)
  t.eq(err.kind, "refused")
  mine:run()
  local again <close> = assert(pg.connect(mine.tcp))
  t.eq(one(again, "SELECT 1"), 1)
end)

test("closing ends what waits", peers.REAL, function(t)
  local conn, _ <close> = connected(t)
  local late = stoke.spawn(function() return select(2, conn:run { { "SELECT pg_sleep(60)" } }) end)
  stoke.sleep(0.05)
  conn:close()
  t.eq(late:await().kind, "cancelled")
  t.raises("closed", function() conn:run { { "SELECT 1" } } end)
  t.eq(conn:alive(), false)
end)

for _, case in ipairs {
  { "postgres://stoke@127.0.0.1:1/x", "refused" }, { "postgres://nobody-there@HOST/postgres", "auth" },
  { "postgres://stoke@HOST/no-such-database", "db" }, { "postgres://stoke@nowhere.invalid/x", "dns" },
  { "postgres://stoke@HOST/postgres?sslmode=require", "tls" }, { "postgres://stoke@HOST/postgres?colour=red", "argument" },
  { "postgres://stoke@/x?host=/no/such/folder", "refused" },
} do
  test(("a URL that leads nowhere is one clear error: %s"):format(case[1]), peers.REAL, function(t)
    local server <close> = postgres.start(t)
    local url = case[1]:gsub("HOST", "127.0.0.1:" .. server.port)
    local conn, err = pg.connect(url)
    t.eq({ conn, err.kind }, { nil, case[2] }, json.encode(err.message))
    t.ok(not err.message:find "\n")
  end)
end

test("a password is asked for, taken from the URL, and never said", peers.REAL, function(t)
  local mine <close> = postgres.start(t)
  mine:psql "CREATE ROLE ada LOGIN PASSWORD 'hush-hush'"
  mine:psql "COPY (SELECT 'host all all 127.0.0.1/32 scram-sha-256' UNION ALL SELECT 'local all all trust') TO PROGRAM \z
    'cat > pg_hba.conf'"
  mine:psql "SELECT pg_reload_conf()"
  stoke.sleep(0.2)
  local function try(user)
    local conn, err = pg.connect(("postgres://%s@127.0.0.1:%d/postgres"):format(user, mine.port))
    if conn then conn:close() end
    return err and { err.kind, (tostring(err):find("hush", 1, true)) } or {}
  end
  t.eq(try "ada:hush-hush", {})
  t.eq(try "ada:hush-wrong", { "auth" })
  t.eq(try "ada", { "auth" })
end)

test("a peer that takes the connection and says nothing is given up in time", peers.REAL, function(t)
  local child <close> = require "stoke.proc".spawn { argv = { "python3", "-c",
    "import socket\ns=socket.socket()\ns.bind(('127.0.0.1',0))\ns.listen(5)\nprint(s.getsockname()[1],flush=True)\ninput()" } }
  local port = child:lines()()
  local _, err = pg.connect(("postgres://x@127.0.0.1:%s/x"):format(port), { connect = 0.3 })
  t.eq({ err.kind, err.phase }, { "timeout", "connect" })
end)

test("a server that does not answer any more is given up in time", peers.REAL, function(t)
  local conn, _ <close> = connected(t, { answer = 0.3 })
  local _, err = conn:run { { "SELECT pg_sleep(5)" } }
  t.eq({ err.kind, err.phase, err.unsure }, { "timeout", "idle", true })
end)
