--- The tables of the PostgreSQL engine: all in one schema, and each says what it is, so that `psql` and \d+ explain it.

local M = {}

--- Of the tables and functions. An older schema is brought to it, a newer one refused.
M.VERSION = 3

local HELD <const> = [[COMMENT ON COLUMN stoke.groups.held IS 'Until then nobody counts again how many items stand behind others:
it were too many to open more']]

--- What the first version did not explain.
local ALSO <const> = {}
for name, what in pairs {
  ["about.version"] = "Of the tables and functions", ["about.made"] = "When the schema was made",
  ["streams.id"] = "By which other tables name it", ["streams.name"] = "As programs name it",
  ["items.published"] = "When it was", ["groups.id"] = "By which work names it", ["groups.stream"] = "id of streams",
  ["groups.name"] = "As programs name it", ["work.key"] = "That of the item, as items has it",
  ["work.state"] = "What may be done with it; the type says what each means: \\dT+ stoke.state",
  ["buckets.name"] = "As programs name it", ["kv.bucket"] = "name of buckets", ["kv.key"] = "By which it is found",
  ["kv.changed"] = "When its newest change was", ["logs.name"] = "Of the log, as programs name it",
  ["logs.key"] = "Whose records these are", ["logs.value"] = "The record", ["logs.written"] = "When it was appended",
} do
  ALSO[#ALSO + 1] = ("COMMENT ON COLUMN stoke.%s IS '%s'"):format(name, what)
end

--- Statements that make the tables of this version, in order.
M.FIRST = {
  "CREATE SCHEMA IF NOT EXISTS stoke",
  [[COMMENT ON SCHEMA stoke IS 'Streams of stoke.queue. What there is to do: SELECT * FROM stoke.progress; what failed for good:
SELECT * FROM stoke.dead. Programs use the functions publish, claim, renew and settle.']],

  [[CREATE TABLE stoke.about (version integer NOT NULL, made timestamptz NOT NULL DEFAULT now())]],
  "COMMENT ON TABLE stoke.about IS 'One row: which version of stoke''s tables this is'",

  [[CREATE TABLE stoke.streams (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  last bigint NOT NULL DEFAULT 0,
  trimmed bigint NOT NULL DEFAULT 0)]],
  "COMMENT ON TABLE stoke.streams IS 'Lists of items in an order. Who publishes to a stream holds its row until the commit, so \z
    that offsets become visible in their order'",
  "COMMENT ON COLUMN stoke.streams.last IS 'Offset of the newest item'",
  "COMMENT ON COLUMN stoke.streams.trimmed IS 'So many of its items have lost their value'",

  [[CREATE TABLE stoke.items (
  stream integer NOT NULL,
  seq bigint NOT NULL,
  id text COLLATE "C" NOT NULL,
  key text COLLATE "C",
  v integer NOT NULL,
  value bytea,
  call bigint NOT NULL,
  published timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (stream, seq), UNIQUE (stream, id))]],
  "COMMENT ON TABLE stoke.items IS 'What was published. Rows are never deleted: ids are known for ever'",
  "COMMENT ON COLUMN stoke.items.stream IS 'id of streams'",
  "COMMENT ON COLUMN stoke.items.seq IS 'Offset: 1, 2, 3 ... in its stream'",
  "COMMENT ON COLUMN stoke.items.id IS 'Given by who published it; a known id is not published again'",
  "COMMENT ON COLUMN stoke.items.key IS 'Items of one key are done one after another; NULL: in any order'",
  "COMMENT ON COLUMN stoke.items.v IS 'Version of the way in which the value is written; 1 is JSON'",
  "COMMENT ON COLUMN stoke.items.call IS 'Number of the call that published it: it may be repeated where its answer was lost'",
  "COMMENT ON COLUMN stoke.items.value IS 'NULL: it was trimmed. As text: convert_from(value, ''UTF8'')'",

  [[CREATE TABLE stoke.groups (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream integer NOT NULL REFERENCES stoke.streams,
  name text COLLATE "C" NOT NULL,
  cursor bigint NOT NULL,
  opened bigint NOT NULL DEFAULT 0,
  held timestamptz,
  UNIQUE (stream, name))]],
  "COMMENT ON TABLE stoke.groups IS 'Readers who share the work on a stream: each item is done once by a group'",
  "COMMENT ON COLUMN stoke.groups.cursor IS 'Items up to this offset have a row in work; those behind it wait'",
  "COMMENT ON COLUMN stoke.groups.opened IS 'So many rows it has in work'",
  HELD,

  "CREATE TYPE stoke.state AS ENUM ('ready', 'lent', 'later', 'behind', 'done', 'dead')",
  [[COMMENT ON TYPE stoke.state IS 'ready: may be lent. lent: somebody has it, until due. later: may be lent when it is due. behind:
an earlier item of its key is open. done, dead: settled']],

  [[CREATE TABLE stoke.work (
  grp integer NOT NULL,
  seq bigint NOT NULL,
  key text COLLATE "C",
  state stoke.state NOT NULL,
  due timestamptz,
  tries integer NOT NULL DEFAULT 0,
  fence bigint NOT NULL DEFAULT 0,
  settled text,
  value bytea,
  reason text,
  PRIMARY KEY (grp, seq))]],
  "COMMENT ON TABLE stoke.work IS 'What a group has to do with the items up to its cursor, and what came of them'",
  "COMMENT ON COLUMN stoke.work.grp IS 'id of groups'",
  "COMMENT ON COLUMN stoke.work.seq IS 'Offset of the item'",
  "COMMENT ON COLUMN stoke.work.due IS 'lent: when the lease runs out; later: from when on it may be lent'",
  "COMMENT ON COLUMN stoke.work.tries IS 'How often it was lent'",
  [[COMMENT ON COLUMN stoke.work.fence IS 'Of the newest claim: higher with each one, and made of the clock, so that a claim that a
crash of the server forgot has a number that does not come again. Settling with another one is refused']],
  "COMMENT ON COLUMN stoke.work.settled IS 'How that claim was settled (done, dead, again, back); NULL: not yet'",
  "COMMENT ON COLUMN stoke.work.value IS 'What came of it'",
  "COMMENT ON COLUMN stoke.work.reason IS 'Why it was given back, or is dead'",
  "CREATE INDEX work_ready ON stoke.work (grp, seq) WHERE state = 'ready'",
  "CREATE INDEX work_due ON stoke.work (grp, due) WHERE state IN ('lent', 'later')",
  "CREATE INDEX work_key ON stoke.work (grp, key, seq) WHERE key IS NOT NULL AND state < 'done'",
  "CREATE INDEX work_dead ON stoke.work (grp, seq) WHERE state = 'dead'",

  [[CREATE TABLE stoke.buckets (name text COLLATE "C" PRIMARY KEY, revision bigint NOT NULL DEFAULT 0)]],
  "COMMENT ON TABLE stoke.buckets IS 'Tables of values by key. Who writes holds the row until the commit, so that revisions \z
    become visible in their order'",
  "COMMENT ON COLUMN stoke.buckets.revision IS 'Of its newest change'",
  [[CREATE TABLE stoke.kv (
  bucket text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  value bytea,
  call bigint NOT NULL,
  changed timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (bucket, key))]],
  "COMMENT ON TABLE stoke.kv IS 'Values by key'",
  "COMMENT ON COLUMN stoke.kv.revision IS 'Of its newest change, among all of the bucket'",
  "COMMENT ON COLUMN stoke.kv.value IS 'NULL: it was deleted; the row stays for a day, for those who watch'",
  "COMMENT ON COLUMN stoke.kv.call IS 'Number of the call that wrote it: it may be repeated where its answer was lost'",
  "CREATE INDEX kv_revision ON stoke.kv (bucket, revision)",
  "CREATE INDEX kv_deleted ON stoke.kv (bucket, changed) WHERE value IS NULL",

  [[CREATE TABLE stoke.logs (
  name text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  value bytea NOT NULL,
  call bigint NOT NULL,
  written timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (name, key, seq))]],
  "COMMENT ON TABLE stoke.logs IS 'Records by key, each appended behind the one that was the last: who appends is the only \z
    one who does'",
  "COMMENT ON COLUMN stoke.logs.seq IS 'Offset: 1, 2, 3 ... of its key'",
  "COMMENT ON COLUMN stoke.logs.call IS 'Number of the call that wrote it: it may be repeated where its answer was lost'",

  [[CREATE VIEW stoke.progress AS
SELECT s.name AS stream, s.last, s.last - s.trimmed AS items, g.name AS "group",
  s.last - g.cursor + n.ready + n.later + n.behind + n.late AS waiting, n.lent,
  g.opened - n.ready - n.later - n.behind - n.late - n.lent - n.dead AS done, n.dead
FROM stoke.streams s LEFT JOIN stoke.groups g ON g.stream = s.id LEFT JOIN LATERAL (SELECT
  (SELECT count(*) FROM stoke.work w WHERE w.grp = g.id AND w.state = 'ready') AS ready,
  (SELECT count(*) FROM stoke.work w WHERE w.grp = g.id AND w.state IN ('lent', 'later') AND w.state = 'later') AS later,
  (SELECT count(*) FROM stoke.work w WHERE w.grp = g.id AND w.state IN ('lent', 'later') AND w.state = 'lent'
    AND w.due <= clock_timestamp()) AS late,
  (SELECT count(*) FROM stoke.work w WHERE w.grp = g.id AND w.state IN ('lent', 'later') AND w.state = 'lent'
    AND w.due > clock_timestamp()) AS lent,
  (SELECT count(*) FROM stoke.work w WHERE w.grp = g.id AND w.key IS NOT NULL AND w.state < 'done'
    AND w.state = 'behind') AS behind,
  (SELECT count(*) FROM stoke.work w WHERE w.grp = g.id AND w.state = 'dead') AS dead) n ON true]],
  "COMMENT ON VIEW stoke.progress IS 'Each stream and each of its groups: how many items wait, are lent, done and dead'",
  [[CREATE VIEW stoke.dead AS
SELECT s.name AS stream, g.name AS "group", w.seq, i.id, w.key, w.tries, w.reason, i.value
FROM stoke.work w JOIN stoke.groups g ON g.id = w.grp JOIN stoke.streams s ON s.id = g.stream
  JOIN stoke.items i ON i.stream = s.id AND i.seq = w.seq WHERE w.state = 'dead']],
  "COMMENT ON VIEW stoke.dead IS 'Items that nobody tries any more, and why. queue:revive(stream, group) tries them again'",
}
table.move(ALSO, 1, #ALSO, #M.FIRST + 1, M.FIRST)

--- What brings the tables of a version to those of the next; the functions are made anew besides.
M.NEXT = { { "ALTER TABLE stoke.groups ADD COLUMN IF NOT EXISTS held timestamptz", HELD }, {} }
table.move(ALSO, 1, #ALSO, #M.NEXT[1] + 1, M.NEXT[1])

return M
