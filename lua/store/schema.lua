--- The tables of the host's own file. Comments inside CREATE TABLE stay in the file: `sqlite3 state.db .schema` shows them.

local M = {}

--- Tables of this version are written; older ones are migrated when the file is opened, newer ones are refused.
M.VERSION = 4

--- The steps from one version to the next: M.steps[1] makes an empty file one of version 1.
---@type string[][]
M.steps = {}

M.steps[1] = { [[
CREATE TABLE meta (
  -- What this file is: the state of stoke's durable runs (stoke runs, stoke show ID). Every table says what is in it.
  -- Values are JSON; where JSON cannot say it:
  --   {"$text":"H"}, {"$value":"H"}   a long string, or a value, that is in the table contents under the hash H
  --   {"$bytes":"..."}                a string that is not UTF-8, in base64
  --   {"$number":"inf"}, {"$error":{...}}, {"$pairs":[[key, value], ...]}   numbers, errors and tables that JSON does not have
  --   a blank after [ or {            the table was marked as a JSON array or object (two blanks: with this order of its keys)
  -- Texts of others (ids, names, paths) are TEXT, or BLOB where they are not UTF-8. Times are seconds since 1970.
  name TEXT PRIMARY KEY,
  value ANY
) STRICT]], [[
CREATE TABLE migrations (
  -- Which version of these tables was made when, by which stoke; the largest is the present one.
  version INTEGER PRIMARY KEY,
  applied REAL NOT NULL,
  stoke TEXT NOT NULL
) STRICT]], [[
CREATE TABLE runs (
  -- A durable run: one call of a workflow.
  number INTEGER PRIMARY KEY AUTOINCREMENT, -- of this file, never used again
  id ANY NOT NULL UNIQUE,        -- what its starter calls it
  workflow ANY NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('running', 'waiting', 'parked', 'done', 'failed', 'cancelled')),
  waits ANY,                     -- what it waits for, or why it is parked, in words
  created REAL NOT NULL,
  changed REAL NOT NULL,
  input TEXT,
  result TEXT,
  error TEXT,
  code ANY,                      -- what tells one code of the workflow from another
  seed ANY NOT NULL,             -- its ids and random numbers follow from this
  snapshots INTEGER NOT NULL DEFAULT 0, -- how often it began anew from its state; the records before are gone
  epoch INTEGER NOT NULL DEFAULT 0,    -- how often a process has taken it up
  calls INTEGER NOT NULL DEFAULT 0,    -- of models
  tokens INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,    -- of its records, about
  printed INTEGER NOT NULL DEFAULT 0,  -- prints that are in its records
  parent INTEGER,                -- number of the run that started it
  fork_of INTEGER,               -- number of the run whose records up to fork_at it began with
  fork_at INTEGER,
  sum INTEGER                    -- 32 bits of id, workflow, input, result, error: damage is seen
) STRICT]], "CREATE INDEX runs_by_state ON runs (state, number)",
  "CREATE INDEX runs_by_origin ON runs (fork_of) WHERE fork_of IS NOT NULL",
[[
CREATE TABLE records (
  -- What a run asked of the world and what came of it: one row an effect, in the order in which they were begun.
  id INTEGER PRIMARY KEY,        -- run * 4294967296 + number
  run INTEGER AS (id >> 32) VIRTUAL,
  number INTEGER AS (id & 4294967295) VIRTUAL,
  key ANY NOT NULL,              -- place in the run: frames, name of the effect, its number among those of that name
  name ANY,                      -- of the effect, where the key does not end with it
  class TEXT NOT NULL,           -- pure, idempotent or unsafe: how bad it is to do it twice
  digest ANY,                    -- SHA-256 of the request
  base INTEGER,                  -- number of an earlier record whose request this one continues
  kept INTEGER,                  -- so many of its messages; "add" of this request are those that follow
  request TEXT,                  -- with messages: "rest" is what it is beside them; a number: the same as of that record
  line ANY,                      -- of the script
  time REAL,                     -- when it was begun
  took REAL,                     -- seconds until its outcome
  inside INTEGER,                -- 1: done by the body of another effect
  inline INTEGER,                -- 1: its outcome was there without a wait
  intent INTEGER,                -- 1: its work had begun; without an outcome it is in doubt
  seen INTEGER,                  -- the place of its outcome among those of the run: 1, 2, ...
  at INTEGER,                    -- bytes of the run's deliveries by then
  outcome TEXT,
                     -- value, error, refused (by a gate: nothing was done), cut (cancelled), secret, stream; NULL: none yet
  value TEXT,                    -- of a stream: its pieces, those of text joined
  lengths BLOB,                  -- of a stream: where the joined pieces part
  error TEXT,
  input_tokens INTEGER,          -- what a call of a model used
  output_tokens INTEGER,
  seconds REAL,
  facts TEXT,                    -- what else is known beside the value; NULL: one attempt, nothing unusual
  more TEXT,
  asks TEXT,                     -- what a person is asked before it is done
  sum INTEGER                    -- 32 bits of key, class, digest, outcome, value, lengths, error: damage is seen
) STRICT]], [[
CREATE TABLE pieces (
  -- What was read of streams that have not ended yet; then it moves into the record.
  record INTEGER,                -- records.id
  first INTEGER,                 -- position of the first item
  items TEXT NOT NULL,
  sum INTEGER,                   -- 32 bits of items
  PRIMARY KEY (record, first)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE deliveries (
  -- The order in which outcomes, timers and cancellations came to the tasks of a run: the log that a replay follows.
  run INTEGER,
  first INTEGER,                 -- bytes before these
  records INTEGER NOT NULL,      -- records begun by then
  bytes BLOB NOT NULL,
  size INTEGER,                  -- of the bytes before they were squeezed (host/bind/plain.c); NULL: they were not
  PRIMARY KEY (run, first)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE contents (
  -- Long texts, and values as text, each once: of requests, outcomes and sources, shared by all runs.
  id INTEGER PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,     -- the first 120 bits of the SHA-256, in base64 with - and _
  value ANY NOT NULL
) STRICT]], [[
CREATE TABLE uses (
  -- Which run needs which content; what nobody needs is deleted with the last of them.
  run INTEGER,                   -- a session's messages: its number below zero
  content INTEGER,               -- contents.id
  PRIMARY KEY (run, content)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE modules (
  -- The modules that a run required, in that order.
  run INTEGER,
  number INTEGER,
  name ANY NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE sources (
  -- The source files that a run continues on.
  run INTEGER,
  number INTEGER,
  name ANY NOT NULL,
  hash TEXT NOT NULL,            -- contents.hash
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE epochs (
  -- When a process took a run up.
  run INTEGER,
  epoch INTEGER,
  began REAL NOT NULL,
  records INTEGER NOT NULL,      -- records begun before
  PRIMARY KEY (run, epoch)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE signals (
  -- What was sent to a run from outside.
  number INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  name ANY NOT NULL,
  value TEXT,
  once ANY,                      -- one signal with this text is enough for a run
  sent REAL NOT NULL,
  taken INTEGER                  -- number of the record that has it
) STRICT]], "CREATE INDEX signals_of_run ON signals (run) WHERE taken IS NULL",
"CREATE UNIQUE INDEX signals_once ON signals (run, once) WHERE once IS NOT NULL", [[
CREATE TABLE decisions (
  -- What people decided: about calls that wait for approval, and about effects in doubt.
  run INTEGER,
  kind TEXT CHECK (kind IN ('approval', 'resolution')),
  key ANY,                       -- records.key
  digest ANY,                    -- of exactly what was asked
  verdict TEXT NOT NULL,
  decided REAL NOT NULL,
  PRIMARY KEY (run, kind, key)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE sessions (
  -- A conversation that is kept: agent:session { id = } (stoke sessions).
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id ANY NOT NULL UNIQUE,
  agent ANY NOT NULL,            -- the agent that it was begun with
  speaker ANY NOT NULL,          -- the agent that answers next: after a handoff another one
  turns INTEGER NOT NULL DEFAULT 0,
  messages INTEGER NOT NULL DEFAULT 0,
  first INTEGER NOT NULL DEFAULT 1, -- number of the oldest message that is still sent
  summary TEXT,                  -- of those before it
  created REAL NOT NULL,
  changed REAL NOT NULL,
  fork_of ANY,                   -- id of the session that it began as, after so many turns
  fork_at INTEGER
) STRICT]], [[
CREATE TABLE turns (
  -- The turns of sessions, those that failed, too. Each is a run while it lasts; its messages come with its end.
  session INTEGER,
  serial INTEGER,
  state TEXT NOT NULL CHECK (state IN ('begun', 'done', 'failed', 'cancelled')),
  turn INTEGER,                  -- the how manieth of the conversation
  key ANY,                       -- what the caller calls it: the same key is the same turn
  run ANY,                       -- runs.id
  process INTEGER,               -- that began it
  began REAL NOT NULL,
  ended REAL,
  messages INTEGER,              -- of the session after it, as all that follows
  speaker ANY,
  first INTEGER,
  summary TEXT,
  result TEXT,                   -- what the turn gave, without its messages
  PRIMARY KEY (session, serial)
) STRICT, WITHOUT ROWID]], "CREATE UNIQUE INDEX turns_present ON turns (session) WHERE state='begun'",
"CREATE UNIQUE INDEX turns_by_key ON turns (session, key) WHERE key IS NOT NULL", [[
CREATE TABLE messages (
  -- The messages of sessions. Long ones are in contents, each once, whoever said them.
  session INTEGER,
  number INTEGER,
  value TEXT NOT NULL,
  sum INTEGER,                   -- 32 bits of value: damage is seen
  PRIMARY KEY (session, number)
) STRICT, WITHOUT ROWID]], [[
CREATE TABLE actors (
  -- A table that changes by the messages it gets, one after another: stoke.actor.
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind ANY NOT NULL,
  id ANY NOT NULL,
  state TEXT,                    -- NULL: as it was made
  handled INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  changed REAL NOT NULL,
  UNIQUE (kind, id)
) STRICT]], [[
CREATE TABLE mail (
  -- Messages to actors, in the order in which they are handled.
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  actor INTEGER NOT NULL,
  name ANY NOT NULL,
  arguments TEXT NOT NULL,
  once ANY,                      -- one message with this text is enough for an actor
  chain TEXT,                    -- numbers of the actors that wait for its answer
  asked INTEGER,                 -- 1: somebody waits for the answer
  state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'dead')), -- dead: its handler failed
  tries INTEGER NOT NULL DEFAULT 0,
  sent REAL NOT NULL,
  ended REAL,
  answer TEXT,
  error TEXT
) STRICT]], "CREATE INDEX mail_waiting ON mail (actor, number) WHERE state='waiting'",
"CREATE INDEX mail_dead ON mail (actor, number) WHERE state='dead'",
"CREATE UNIQUE INDEX mail_once ON mail (actor, once) WHERE once IS NOT NULL" }

M.steps[2] = { [[
CREATE TABLE learned (
  -- What calls have taught of model servers, so that a new process does not begin blind: slots, speeds, loads, lengths of answers.
  key ANY PRIMARY KEY,           -- address of a server; and a blank and a model, where it is of that
  version ANY,                   -- of the server
  facts TEXT NOT NULL,
  changed REAL NOT NULL
) STRICT, WITHOUT ROWID]], [[
ALTER TABLE runs ADD COLUMN
  -- Of a parked one: nobody knows whether a step was done; it does not go as recorded; anything else.
  why TEXT CHECK (why IN ('in_doubt', 'replay', 'parked'))]] }

M.steps[3] = { [[
CREATE TABLE told (
  -- What clients of stoke serve were told: by what a client sends again, the session and the turn that it comes from.
  name ANY PRIMARY KEY,          -- a digest of whose it is and what was said so far; of the id of a response; of whose session
  session INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  chain ANY NOT NULL             -- the digest of what was said so far
) STRICT, WITHOUT ROWID]], "CREATE INDEX told_of_session ON told (session)" }

M.steps[4] = { [[
ALTER TABLE runs ADD COLUMN
  -- Of a run that several hosts may have: the last value that its log in the engine has, as far as this store knows.
  shared INTEGER]], [[
CREATE TABLE outbox (
  -- What is still to be sent to the logs of such runs (lua/store/ship.lua), in its order.
  run INTEGER,
  number INTEGER,
  entry ANY NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID]] }

return M
