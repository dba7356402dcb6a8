--- The file of traces: the spans of this process (lua/gate/span.lua), kept beside the store for `stoke trace`, and the lines of its
--- log for `stoke logs`. Both are in one file, as they are looked at together, written by one task in one transaction, and deleted
--- as one.
---
---     traces.keep { path = ".stoke/traces.db", spans = 100000 }
---
--- A span costs its run the making of one record and no wait: records are gathered, and a task of the host's writes them, a few
--- thousand in one transaction. What is gathered has a cap, and what is beyond it is counted and said once. The file has a cap,
--- too: the oldest spans go, and of the lines those beyond as many. It holds what may be lost: a file that is damaged or of another
--- version is put aside and begun anew, a disk that is full ends the keeping and nothing else.

local disk = require "core.cache.disk"
local engine = require "host.store"
local errors = require "core.errors"
local fs = require "host.fs"
local host = require "host.task"
local json = require "core.json"
local keeper = require "core.keeper"
local opening = require "core.store.open"
local place = require "core.store.place"
local pool = require "core.gate.pool"
local redact = require "core.redact"
local scopes = require "core.scope"
local script = require "core.script"
local spans = require "core.gate.span"
local streams = require "core.stream"
local tasks = require "core.task"
local texts = require "core.text"
local monotonic = require "host.time".monotonic

local M = {}

--- Spans that a file keeps where nobody says, and at least.
M.USUAL, M.LEAST = 100000, 1000
--- Records that wait to be written, at most; that are written in one transaction; seconds for which they are gathered.
M.WAITING, M.TOGETHER, M.GATHER = 50000, 2000, 0.2
--- Bytes of a request that are kept; longer ones are cut.
M.LONGEST = 64 << 10
--- Seconds that the end of a process waits for the last write.
M.GOODBYE = 2

M.VERSION = 1

local TABLES = { ([[
CREATE TABLE about (
  -- What this file is: spans of runs of stoke (stoke trace). It may be deleted at any time.
  version INTEGER NOT NULL
) STRICT]]), [[
CREATE TABLE spans (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  trace TEXT NOT NULL,   -- 32 hex digits: all spans of one tree
  span TEXT NOT NULL,    -- 16 hex digits
  parent TEXT,           -- the span around it; NULL: none
  name TEXT NOT NULL,    -- llm.chat, tool.call, agent.run, script, serve.request ...
  about TEXT,            -- a model, a tool, an address, a file
  start REAL NOT NULL,   -- seconds since 1970
  seconds REAL NOT NULL, -- with its wait
  error TEXT,            -- kind
  data TEXT NOT NULL     -- JSON: queue, load, prefill, decode, tokens, cached, attempts ...
) STRICT]], "CREATE INDEX spans_by_trace ON spans (trace)",
  "INSERT INTO about (version) VALUES (" .. M.VERSION .. ")" }

--- What a file of an earlier version of stoke does not have: it is added, and those versions do not mind.
local ADDED = { ([[
CREATE TABLE IF NOT EXISTS logs (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  time REAL NOT NULL,    -- seconds since 1970
  level TEXT NOT NULL,   -- debug, info, warn, error
  message TEXT NOT NULL,
  trace TEXT,            -- of the span in which it was written: spans.trace, spans.span
  span TEXT,
  data TEXT              -- JSON: its fields
) STRICT]]), "CREATE INDEX IF NOT EXISTS logs_by_trace ON logs (trace) WHERE trace IS NOT NULL" }

-- ---- the file -----------------------------------------------------------------------------------------------------------------

--- Is this a file of traces? nil and why not, or an error.
local function known(db)
  local found, err = db:query "SELECT count(*) FILTER (WHERE name='about'),count(*) FROM sqlite_schema WHERE type='table'"
  if not found then return nil, nil, err end
  if found.rows[1][2] == 0 then return false end
  if found.rows[1][1] == 0 then return nil, "holds no traces" end
  found, err = db:query "SELECT max(version) FROM about"
  if not found then return nil, nil, err end
  if found.rows[1][1] ~= M.VERSION then return nil, "was written by another version of stoke" end
  return true
end

local function add(db)
  local batch = engine.batch()
  for _, statement in ipairs(ADDED) do batch:add(statement) end
  return db:append(batch, false):wait()
end

local function open_once(path, options)
  local db, err = engine.open(path, options)
  if not db then return nil, nil, err end
  local is, why
  is, why, err = known(db)
  if is == false and not options.readonly then is, err = disk.make(db, "about", TABLES) end
  if is and not options.readonly then is, err = add(db) end
  if is then return db end
  db:close()
  return nil, why or is == false and "holds no traces" or nil, err
end

--- Open a file to write; what is damaged is put aside.
---@return userdata|nil db
---@return stoke.error|nil err
local function open(path)
  local folder = path:match "^(.*)/[^/]*$"
  if folder and folder ~= "" then opening.make_folder(folder) end
  for _ = 1, 2 do
    local db, why, err = open_once(path, { host = true, durable = false, busy = 2 })
    if db then return db end
    if err and not disk.damaged(err) then return nil, err end
    if not disk.put_aside(path) then
      return nil, err or errors.new("db", ("%s %s"):format(texts.word(path), why))
    end
    scopes.tell(("the traces in %s: %s"):format(texts.word(path), disk.begun_anew(path, why or "are damaged")))
  end
  return nil, errors.new("db", ("%s cannot be used"):format(texts.word(path)))
end

--- Open a file to read it.
---@param path string
---@return userdata|nil db
---@return stoke.error|nil err
---
--- Example: `local db, err = traces.read ".stoke/traces.db"`
function M.read(path)
  local stat = fs.stat(path)
  if not stat or stat.type ~= "file" then
    return nil, errors.new("usage", ("no traces are kept: there is no file %s"):format(texts.word(path)),
      { absent = true, hint = "run the script with --spans, or put traces = true into the settings" })
  end
  local db, why, err = open_once(path, { host = true, readonly = true, busy = 2 })
  if db then return db end
  return nil, errors.new(err and "db" or "usage", ("%s %s"):format(texts.word(path), why or "cannot be read"),
    { absent = not err or nil, hint = "name another file: --file PATH", cause = err })
end

-- ---- keeping ------------------------------------------------------------------------------------------------------------------

---@class core.traces.kept
---@field path string
---@field most integer spans that the file keeps
---@field bodies boolean requests of effects and answers of models are kept
---@field answers table<core.span.record, table> of models
---@field pending (core.span.record|stoke.log.record)[]
---@field lost integer records that found no room
local kept -- one a process

--- A request as JSON, without what is secret by its name; cut where it is long.
---@param request any
---@return string|nil
function M.body(request)
  local text = request ~= nil and redact.json(request)
  if not text then return nil end
  if #text > M.LONGEST then text = texts.valid(text:sub(1, M.LONGEST)) .. "..." end
  return text
end

-- These have columns of their own.
local COLUMNS = { span = true, parent = true, trace = true, name = true, about = true, start = true, error = true, request = true,
  amended = true, traceback = true }

local function encoded(value) return json.encode(value) or json.encode(redact.valid(value)) end

--- What of a record has no column, as JSON.
---@param answer? table of a model
local function data_of(record, bodies, answer)
  local rest = {}
  for name, value in next, record do
    if not COLUMNS[name] then rest[name] = value end
  end
  if rest.message or rest.tries then -- of an error: a server may have sent back what it was asked with
    local redactor, tries = redact.new(), {}
    for i, try in ipairs(rest.tries or {}) do
      tries[i] = { kind = try.kind, message = redactor:prose(try.message), after = try.after }
    end
    rest.message, rest.tries = rest.message and redactor:prose(tostring(rest.message)), tries[1] and tries or nil
  end
  rest = redact.clean(rest)
  if bodies then rest.request, rest.answer = M.body(record.request), redact.clean(answer) end -- the request is clean, and is JSON
  return encoded(rest) or "{}"
end

local INSERT = "INSERT INTO spans (trace,span,parent,name,about,start,seconds,error,data) VALUES (?,?,?,?,?,?,?,?,?)"
local LOG = "INSERT INTO logs (time,level,message,trace,span,data) VALUES (?,?,?,?,?,?)"
local TRIM, TRIM_LOGS = "DELETE FROM spans WHERE n<=(SELECT max(n) FROM spans)-?",
  "DELETE FROM logs WHERE n<=(SELECT max(n) FROM logs)-?"

local function text_of(value) return value ~= nil and redact.known(texts.valid(tostring(value))) or nil end

local function cut(text) return text and #text > M.LONGEST and texts.valid(text:sub(1, M.LONGEST)) .. "..." or text end

--- The fields of a line of the log as JSON; of what would be cut in the middle it says how much it was.
local function fields_of(fields)
  local text = fields and encoded(fields)
  return text and #text > M.LONGEST and encoded { left_out = ("%d bytes of fields"):format(#text) } or text
end

local function write(self, list)
  local batch, hex, lines = engine.batch(), spans.hex, false
  for _, r in ipairs(list) do
    if r.level then
      lines = true
      batch:add(LOG, r.time, r.level, cut(r.message), r.trace, r.span, fields_of(r.fields))
    else
      batch:add(INSERT, r.trace, hex(r.span), r.parent and hex(r.parent) or nil, r.name, text_of(r.about), r.start, r.queue + r.run,
        r.error, data_of(r, self.bodies, self.answers[r]))
    end
  end
  batch:add(TRIM, self.most)
  if lines then batch:add(TRIM_LOGS, self.most) end
  return self.db:append(batch, false):wait()
end

--- The disk does not work: nothing is kept any more, and that is said.
local function give_up(self, err)
  self.failed = true
  self.pending = {}
  spans.unlisten(self.sink)
  if self.db then self.db:close() end
  self.db = nil
  scopes.tell(("traces are not kept any more: %s"):format(opening.explain(self.path, err).message))
end

local function flush(self)
  while self.pending[1] and not self.failed do
    if not self.db then
      self.path = self.path or M.where(script.path, pool.store)
      local db, err = open(self.path)
      if not db then return give_up(self, err) end
      self.db = db
    end
    local list = self.pending
    if #list > M.TOGETHER then
      self.pending = table.move(list, M.TOGETHER + 1, #list, 1, {})
      list = table.move(list, 1, M.TOGETHER, 1, {})
    else
      self.pending = {}
    end
    local ok, err = write(self, list)
    if not ok then return give_up(self, err) end
  end
end

--- The same, where nobody else is at it: who is takes what has come meanwhile, too.
local function flush_alone(self)
  if self.writing then return end
  self.writing = true
  local _ <close> = setmetatable({}, { __close = function() self.writing = false end })
  flush(self)
end

local function gather(self)
  self.gathering = true
  self.task = tasks.spawn(function()
    host.park("traces", M.GATHER)
    flush_alone(self)
    self.gathering, self.task = false, nil
  end, { system = true, name = "traces" })
end

--- What a model answered, as a message.
local function answer_of(value)
  local done = type(value) == "table" and rawget(value, "done")
  local reply = type(done) == "table" and done.reply or value
  local message = type(value) == "table" and streams.message(value) or type(reply) == "table" and rawget(reply, "message")
  if type(message) ~= "table" then return nil end
  return json.decode(M.body(message) or "null")
end

local function sink_of(self)
  return function(record, call, value)
    if self.bodies and call and call.def and value ~= nil then self.answers[record] = answer_of(value) end
    local pending = self.pending
    if #pending >= M.WAITING then
      if self.lost == 0 then scopes.tell "more is traced and logged than can be written: some of it is missing" end
      self.lost = self.lost + 1
      return
    end
    pending[#pending + 1] = record
    if not self.gathering then gather(self) end
  end
end

--- Where the traces of a script are kept: beside its store, or the store that the settings name.
---@param path? string of the script
---@param store? string path that the settings give
---@return string
function M.where(path, store)
  return ((store or place.path(path and path ~= "-" and path or "./x")):gsub("[^/]*$", "traces.db"))
end

--- Keep the spans of this process from now on.
---@param options { path?: string, spans?: integer, bodies?: boolean } path: default M.where of the script, when the first is
---  written; spans: that the file keeps (100,000); bodies: requests, too
---
--- Example: `traces.keep { path = ".stoke/traces.db" }`
function M.keep(options)
  if kept then M.stop() end
  kept = { path = options.path, most = math.max(options.spans or M.USUAL, M.LEAST), bodies = options.bodies or false, pending = {},
    answers = setmetatable({}, { __mode = "k" }), lost = 0 }
  kept.sink = sink_of(kept)
  if kept.bodies then spans.bodies = true end
  spans.listen(kept.sink)
  keeper.at_end(M.stop)
end

--- Keep a line of the log, where spans are kept.
---@param record stoke.log.record
---
--- Example: `log.listen(traces.log)`
function M.log(record)
  if kept and not kept.failed then kept.sink(record) end
end

--- Where the spans of this process are kept; nil: nowhere.
---@return string|nil
function M.path() return kept and (kept.path or M.where(script.path, pool.store)) end

--- Write what was gathered.
function M.flush()
  local self = kept
  if not self then return end
  local last = monotonic() + M.GOODBYE
  while self.writing and monotonic() < last do
    if host.park("traces", 0.005) == nil then return end
  end
  flush_alone(self)
end

--- Write what was gathered, and keep nothing more.
function M.stop()
  local self = kept
  if not self then return end
  M.flush()
  kept = nil
  spans.unlisten(self.sink)
  if self.task then self.task:cancel "no traces are kept any more" end
  if self.db then self.db:close() end
end

return M
