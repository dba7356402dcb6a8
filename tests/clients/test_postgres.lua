-- The PostgreSQL engine: what is its own, beside what every engine has to do (test_postgres_battery.lua).

local engine = require "core.engine"
local errors = require "core.errors"
local peers = require "peers"
local postgres = require "postgres"
local stoke = require "stoke"
local test = require "stoke.test"

local function open(url) return errors.check(engine.open(url)) end

local function item(id, key, value) return { id = id, key = key, value = value or "{}", v = 1 } end

local function claim(e, stream, n)
  return errors.check(e:claim { stream = stream, group = "g", n = n, lease = 30, wait = 5, tries = 3 })
end

-- ---- the schema -------------------------------------------------------------------------------------------------------------

test("psql finds tables, views, functions and types that say what they are", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  open(server.url):close()
  t.eq(server:psql [[SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'stoke'::regnamespace AND c.relkind IN ('r', 'v')
    AND obj_description(c.oid, 'pg_class') IS NULL]], "")
  t.eq(server:psql [[SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'stoke'::regnamespace
    AND obj_description(p.oid, 'pg_proc') IS NULL]], "")
  t.eq(server:psql [[SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'stoke'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    AND col_description(c.oid, a.attnum) IS NULL]], "")
  t.match(server:psql "SELECT obj_description('stoke'::regnamespace, 'pg_namespace')", "SELECT %* FROM stoke.progress")
end)

test("the views show what there is to do, and what is dead and why", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  e:publish("jobs", { item("1", "k", '{"city":"Oslo"}'), item("2", "k"), item "3" })
  local claims = claim(e, "jobs", 2)
  e:settle { { claim = claims[1], state = "dead", reason = "no such city" } }
  t.eq(server:psql 'SELECT stream, "group", waiting, lent, done, dead FROM stoke.progress', "jobs|g|1|1|0|1")
  t.eq(server:psql "SELECT id, key, tries, reason, convert_from(value, 'UTF8') FROM stoke.dead",
    '1|k|1|no such city|{"city":"Oslo"}')
end)

test("many who come to an empty database at once find one schema", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local scope <close> = stoke.scope()
  scope:map({ 1, 2, 3, 4, 5, 6 }, function(i)
    local e <close> = open(server.url)
    t.eq(e:publish("s", { item(tostring(i)) }), { true })
  end)
  t.eq(server:psql "SELECT count(*) FROM stoke.about", "1")
end)

test("a schema that a newer stoke made is refused, and left alone", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  open(server.url):close()
  server:psql "UPDATE stoke.about SET version = 99"
  local e, err = engine.open(server.url)
  t.eq({ e, err.kind }, { nil, "db" })
  t.match(err.message, "newer stoke: it is of version 99, this one knows up to 3")
  t.match(err.hint, "another database")
end)

test("a schema of the first version is brought to this one, and nothing in it is lost", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  do
    local e <close> = open(server.url)
    e:publish("s", { item "1", item "2" })
  end
  server:psql "ALTER TABLE stoke.groups DROP COLUMN held; UPDATE stoke.about SET version = 1; DROP FUNCTION stoke.renew"
  local e <close> = open(server.url)
  t.eq(server:psql "SELECT version FROM stoke.about", "3")
  local claims = errors.check(e:claim { stream = "s", group = "g", n = 5, lease = 30, wait = 0, tries = 5 })
  t.eq({ #claims, errors.check(e:renew(claims, 30)) }, { 2, {} })
end)

test("behind a key that holds up others these are counted four times a second, and not by each claim", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  for base = 1, 12000, 500 do
    local list = {}
    for i = base, base + 499 do list[#list + 1] = item(tostring(i), "hot") end
    errors.check(e:publish("s", list))
  end
  local q = { stream = "s", group = "g", n = 1, lease = 30, wait = 0, tries = 5 }
  local first = errors.check(e:claim(q))[1]
  t.eq(errors.check(e:claim(q)), {})
  local held = "SELECT held > clock_timestamp() - interval '1 hour' FROM stoke.groups"
  t.eq(server:psql(held), "t")
  server:psql "UPDATE stoke.groups SET held = clock_timestamp() + interval '1 hour'" -- so long nobody counts
  t.eq(errors.check(e:claim(q)), {})
  t.eq(server:psql "SELECT held > clock_timestamp() + interval '59 minutes' FROM stoke.groups", "t")
  errors.check(e:settle { { claim = first, state = "done" } })
  t.eq(errors.check(e:claim(q))[1].id, "2")
  server:psql "UPDATE stoke.groups SET held = clock_timestamp() - interval '1 hour'"
  t.eq(errors.check(e:claim(q)), {})
  t.eq(server:psql(held), "t")
end)

test("an item of a newer stoke is handed back, and its reader is told", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  errors.check(e:publish("s", { { id = "1", value = "1", v = 2 } }))
  local queue <close> = stoke.queue(server.url)
  local reader <close> = queue:consume("s", "g")
  local err = t.raises("protocol", function() reader:take(5) end)
  t.contains(err.message, "item 1 of the stream s was written by a newer stoke (protocol 2; this one knows 1)")
  t.eq(claim(e, "s", 1)[1].try, 1)
end)

-- ---- errors -----------------------------------------------------------------------------------------------------------------

test("who may not make the schema is told what the owner has to do", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  server:psql "CREATE ROLE guest LOGIN"
  local _, err = engine.open((server.url:gsub("stoke@", "guest@")))
  t.eq(err.kind, "auth")
  t.match(err.hint, "GRANT CREATE ON DATABASE")
end)

test("an error names the queue without its password", peers.REAL, function(t)
  local _, err = engine.open "postgres://ada:hush@127.0.0.1:1/jobs"
  t.eq(err.kind, "refused")
  t.match(err.message, "the queue postgres://ada:%*%*%*@127.0.0.1:1/jobs: ")
  t.ok(not tostring(err):find "hush")
end)

test("a server that takes no more connections is `overloaded`", peers.REAL, function(t)
  local server <close> = postgres.start(t, { "-c", "max_connections=4", "-c", "superuser_reserved_connections=0" })
  local list, err = {}, nil
  for i = 1, 6 do
    list[i], err = engine.open(server.url)
    if not list[i] then break end
    list[i]:now()
  end
  for _, e in ipairs(list) do e:close() end
  t.eq(err and err.kind, "overloaded")
  t.match(err.hint, "max_connections")
end)

test("a schema that lost a part says so", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  server:psql "DROP TABLE stoke.logs"
  local _, err = e:log_append("l", "k", 0, "x")
  t.eq(err.kind, "db")
  t.match(err.hint, "DROP SCHEMA stoke CASCADE")
end)

-- ---- a server that goes away ---------------------------------------------------------------------------------------------------

test("what is repeated because its answer was lost is done once", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  local random, over = stoke.rand.new(5), false
  local writing = stoke.spawn(function()
    local last, revision, news = 0, 0, 0
    for i = 1, 150 do
      last = errors.check(e:log_append("l", "k", last, "record " .. i))
      revision = errors.check(e:kv_swap("b", "n", tostring(i), revision))
      if errors.check(e:publish("s", { item("id " .. i) }))[1] then news = news + 1 end
      t.ok(last == i and revision, "append and swap are told that they worked")
    end
    over = true
    return news
  end)
  for _ = 1, 3 do
    stoke.sleep(0.2 + random:float())
    if over then break end
    server:kill()
    server:run()
  end
  t.eq(writing:await(), 150)
  t.eq(#errors.check(e:log_read("l", "k", 1, 1000)), 150)
  t.eq(errors.check(e:kv_get("b", "n")).value, "150")
end)

test("who waits while the server is restarted gets what comes afterwards", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  local other = open(server.url)
  local waiting = stoke.spawn(function() return e:claim { stream = "s", group = "g", n = 1, lease = 30, wait = 60, tries = 3 } end)
  stoke.sleep(0.2)
  server:stop()
  server:run()
  errors.check(other:publish("s", { item "late" }))
  t.eq(waiting:await()[1].id, "late")
  other:close()
end)

test("closing takes its connections off the server", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e = open(server.url)
  e:now()
  local COUNT <const> = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stoke'"
  t.eq(server:psql(COUNT), "2")
  e:close()
  for _ = 1, 100 do
    if server:psql(COUNT) == "0" then break end
    stoke.sleep(0.05)
  end
  t.eq(server:psql(COUNT), "0")
end)

test("an item that comes behind thousands of one key is still lent", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = open(server.url)
  server:psql [[SELECT cardinality(stoke.publish('s', array_agg(i::text), array_agg('hot'::text), array_agg('{}'::bytea),
    array_agg(1::bigint), 1)) FROM generate_series(1, 9000) i]]
  e:publish("s", { item("other", "cold") })
  local ids = {}
  for _, c in ipairs(claim(e, "s", 10)) do ids[c.id] = true end
  t.eq(ids, { ["1"] = true, other = true })
end)
