--- The host's own file: durable runs, their records, and what was sent to them. What it holds is described in the file itself
--- (lua/store/schema.lua); how records become text and back is in lua/store/codec.lua and host/bind/bind_plain.h.
---
--- All functions that wait return nil and an error (kind `db`) where the file fails; none raises but for mistakes of the caller.

local codec = require "core.store.codec"
local engine = require "host.store"
local errors = require "core.errors"
local json = require "core.json"
local keep = require "core.store.keep"
local load = require "core.store.load"
local logs = require "core.store.log"
local opening = require "core.store.open"
local wall = require "host.time".wall

local M = {}

local null = json.null

---@class stoke.store
---@field path string
---@field db userdata see host/bind/store.c
---@field limit integer bytes of one outcome, at most
---@field claims table<integer, any> locks of runs that this process has
local Store = {}
Store.__index = Store
Store.__name = "stoke.store"

M.path = opening.path

--- Open a store; its file and folder are made when they are not there.
---@param path string ":memory:" is one that is nowhere else
---@param options? { readonly?: boolean, create?: boolean, limit?: integer }
---@return stoke.store|nil
---@return stoke.error|nil err
---
--- Example: `local store = assert(stores.open(stores.path "bot/main.lua"))`
function M.open(path, options)
  local db, err = opening.open(path, options)
  if not db then return nil, err end
  return setmetatable({ path = path, db = db, limit = options and options.limit or codec.LIMIT, claims = {} }, Store)
end

--- Close it. What was handed over is written first.
function Store:close()
  for _, lock in next, self.claims do
    if lock ~= true then lock:free() end
  end
  self.claims = {}
  return self.db:close()
end

--- In the words of the store.
function Store:failed(err) return opening.explain(self.path, err) end

local function query(self, sql, params)
  local found, err = self.db:query(sql, params)
  if not found then return nil, self:failed(err) end
  return found.rows
end

--- A statement that changes something, with the contents that its texts refer to: done on the disk when this returns, or only done.
local function write(self, sql, params, run, sink, unsynced)
  if not sink or not next(sink) then
    local done, err = self.db:write(sql, params, not unsynced)
    if not done then return nil, self:failed(err) end
    return done
  end
  local tx, err = self.db:begin()
  if not tx then return nil, self:failed(err) end
  local done
  done, err = tx:run(sql, params)
  local changed = done
  for hash, text in next, sink do
    if done then done, err = tx:run("INSERT OR IGNORE INTO contents (hash,value) VALUES (?,?)", { hash, text }) end
    if done then
      done, err = tx:run("INSERT OR IGNORE INTO uses SELECT runs.number,contents.id FROM runs,contents WHERE runs.id=? AND hash=?",
        { run, hash })
    end
  end
  if done then
    done, err = tx:commit()
  else
    tx:rollback()
  end
  if not done then return nil, self:failed(err) end
  return changed
end

-- ---- runs ---------------------------------------------------------------------------------------------------------------------

local FIND = ("SELECT %s FROM runs WHERE id=?"):format(load.RUN)
local CREATE = "INSERT INTO runs (id,workflow,state,created,changed,input,code,seed,parent,shared,sum) "
  .. "VALUES (?1,?2,'running',?3,?3,?4,?5,?6,?7,?8,stoke_sum(?1,?2,?4,NULL,NULL)) "
  .. "ON CONFLICT (id) DO NOTHING"

--- A run by its id.
---@param id string any bytes
---@return stoke.store.run|nil run nil: there is none
---@return stoke.error|nil err
function Store:find(id)
  local rows, err = query(self, FIND, { id })
  if not rows then return nil, err end
  if not rows[1] then return nil end
  return load.run(self, rows[1])
end

--- Make a run, unless there is one with this id.
---@param fields { id: string, workflow: string, input?: any, code?: string, seed?: string, parent?: integer, shared?: integer }
---  shared: several hosts may have it (lua/store/ship.lua)
---@return stoke.store.run|nil run that one, or the new one
---@return boolean|stoke.error existed
function Store:create(fields)
  local found, failed = self:find(fields.id)
  if found then return found, true end
  if failed then return nil, failed end
  local sink, input = {}, null
  if fields.input ~= nil then
    input, failed = codec.text(fields.input, sink, self.limit)
    if failed then return nil, failed end
  end
  local done, err = write(self, CREATE, { fields.id, fields.workflow, wall(), input, fields.code or null, fields.seed or fields.id,
    fields.parent or null, fields.shared or null }, fields.id, sink, fields.shared ~= nil)
  if not done then return nil, err end
  local run
  run, err = self:find(fields.id)
  if not run then return nil, err or errors.new("db", "a run that was made is not there: " .. fields.id) end
  return run, done.changes == 0
end

--- Runs, the newest first.
---@param filter? { state?: string|string[], workflow?: string, prefix?: string, parent?: integer, before?: integer,
---  limit?: integer }
---  before: runs with a smaller number
---@return stoke.store.run[]|nil
---@return stoke.error|nil err
function Store:list(filter)
  filter = filter or {}
  local where, params = {}, {}
  local function add(sql, ...)
    where[#where + 1] = sql
    for _, value in ipairs { ... } do params[#params + 1] = value end
  end
  if type(filter.state) == "table" then
    add("state IN (" .. ("?,"):rep(#filter.state - 1) .. "?)", table.unpack(filter.state))
  elseif filter.state then
    add("state=?", filter.state)
  end
  if filter.workflow then add("workflow=?", filter.workflow) end
  if filter.parent then add("parent=?", filter.parent) end
  if filter.prefix then add("(id>=? AND substr(id,1,length(?))=?)", filter.prefix, filter.prefix, filter.prefix) end
  if filter.before then add("number<?", filter.before) end
  local sql = ("SELECT %s FROM runs %s ORDER BY number DESC LIMIT ?"):format(load.RUN,
    #where > 0 and "WHERE " .. table.concat(where, " AND ") or "")
  params[#params + 1] = filter.limit or -1
  local rows, err = query(self, sql, params)
  if not rows then return nil, err end
  local list = {}
  for i, r in ipairs(rows) do
    list[i], err = load.run(self, r)
    if err then return nil, err end
  end
  return list
end

--- How many runs there are in each state; states without one are left out.
---@return table<string, integer>|nil
---@return stoke.error|nil err
function Store:states()
  local rows, err = query(self, "SELECT state,count(*) FROM runs GROUP BY state", {})
  if not rows then return nil, err end
  local out = {}
  for _, row in ipairs(rows) do out[row[1]] = row[2] end
  return out
end

--- Become the owner of a run, until it is released or this process ends: the kernel holds it.
---@param run stoke.store.run
---@return boolean|nil ok false: another process, or this one, has it already
---@return string|stoke.error|nil who
function Store:claim(run)
  local number = run.number
  if self.claims[number] then return false, "this process" end
  if self.path == ":memory:" then
    self.claims[number] = true
    return true
  end
  local lock, err = engine.lock(self.path .. "-lock", number)
  if err then return nil, err end
  if not lock then return false, "another process" end
  self.claims[number] = lock
  return true
end

--- Does a process have a run, this one or another? Where that cannot be known, nobody is said to be missing.
---@param run stoke.store.run
---@return boolean
function Store:held(run)
  if self.claims[run.number] then return true end
  if self.path == ":memory:" then return false end
  local held, err = engine.held(self.path .. "-lock", run.number)
  return held or err ~= nil
end

--- Let go of it.
---@param run stoke.store.run
function Store:release(run)
  local lock = self.claims[run.number]
  self.claims[run.number] = nil
  if lock and lock ~= true then lock:free() end
end

--- What a journal is made of, up to a record or whole.
---@param run stoke.store.run
---@param to? integer
---@return stoke.store.parts|nil
---@return stoke.error|nil err
function Store:load(run, to)
  local parts, err = load.parts(self, run, to)
  if not parts then return nil, self:failed(err) end
  return parts
end

--- A log that goes on where the run is. After a failure of an earlier one its appends are taken again.
---@param run stoke.store.run
---@return stoke.store.log|nil
---@return stoke.error|nil err
function Store:log(run)
  local known, err = load.known(self, run.number)
  if not known then return nil, self:failed(err) end
  self.db:mend(run.number)
  return logs.new(self, run.number, known)
end

--- A content by its hash.
---@param hash string
---@return string|nil value nil: there is none
---@return stoke.error|nil err
function Store:content(hash)
  local rows, err = query(self, "SELECT value FROM contents WHERE hash=?", { hash })
  if not rows then return nil, err end
  if not rows[1] then return nil end
  return load.guarded(self, load.whole, hash, rows[1][1])
end

--- A number that changes when another process has written to the file.
---@return integer|nil
---@return stoke.error|nil err
function Store:changed()
  local version, err = self.db:version()
  if not version then return nil, self:failed(err) end
  return version
end

-- ---- from outside -------------------------------------------------------------------------------------------------------------

local function unknown(id) return errors.new("argument", ("no run has the id %q"):format(id),
  { hint = "stoke runs lists them" }) end

local function told(self, id, done, err)
  if not done then return nil, err end
  if done.changes > 0 then return true end
  local run
  run, err = self:find(id)
  if err then return nil, err end
  if not run then return nil, unknown(id) end
  return false
end

--- Signals of a run that wait to be taken, at most.
M.SIGNALS = 10000

local SIGNAL = "INSERT OR IGNORE INTO signals (run,name,value,once,sent) SELECT number,?1,?2,?3,?4 FROM runs WHERE id=?5 "
  .. "AND (?1='stoke.cancel' OR (SELECT count(*) FROM signals WHERE run=runs.number AND taken IS NULL)<?6)"
local SENT = "SELECT 1 FROM signals,runs WHERE runs.id=? AND run=runs.number AND once=?"

--- Send something to a run. It is on the disk when this returns.
---@param id string
---@param name string
---@param value any plain data
---@param once? string a second signal with the same text is none
---@return boolean|nil sent false: it was sent before
---@return stoke.error|nil err kind `limit`: M.SIGNALS wait already
function Store:signal(id, name, value, once)
  local text, err = null, nil
  if value ~= nil then text, err = codec.text(value, nil, self.limit) end
  if err then return nil, err end
  local sent
  sent, err = told(self, id, write(self, SIGNAL, { name, text, once or null, wall(), id, M.SIGNALS }))
  if sent ~= false then return sent, err end
  local before = once and query(self, SENT, { id, once })
  if before and before[1] then return false end
  return nil, errors.new("limit", ("run %s: %d signals wait to be taken already"):format(id, M.SIGNALS),
    { hint = "the run takes one with each stoke.signal(name); stoke show ID says what it does" })
end

--- What was sent to a run and not yet taken, the oldest first.
---@param run stoke.store.run
---@return { number: integer, name: string, value: any, sent: number, once?: string }[]|nil
---@return stoke.error|nil err
function Store:signals(run)
  local rows, err = query(self, "SELECT number,name,value,sent,once FROM signals WHERE run=? AND taken IS NULL ORDER BY number",
    { run.number })
  if not rows then return nil, err end
  return load.guarded(self, function()
    local list = {}
    for i, r in ipairs(rows) do list[i] = { number = r[1], name = r[2], value = codec.value(r[3]), sent = r[4],
      once = codec.or_nil(r[5]) } end
    return list
  end)
end

local DECIDE = "INSERT OR REPLACE INTO decisions (run,kind,key,digest,verdict,decided) SELECT number,?,?,?,?,? FROM runs WHERE id=?"

--- The first decision about what was asked stands, whoever is second: in this process, on another page, in a terminal.
local APPROVE = "INSERT INTO decisions (run,kind,key,digest,verdict,decided) SELECT number,?,?,?,?,? FROM runs WHERE id=? "
  .. "ON CONFLICT (run,kind,key) DO UPDATE SET digest=excluded.digest,verdict=excluded.verdict,decided=excluded.decided "
  .. "WHERE decisions.digest IS NOT excluded.digest OR decisions.verdict=excluded.verdict"

local function decide(self, sql, id, kind, key, digest, verdict)
  local text, err = codec.text(verdict, nil, self.limit)
  if not text then return nil, err end
  return told(self, id, write(self, sql, { kind, key, digest or null, text, wall(), id }))
end

local function decided(self, id, kind)
  local rows, err = query(self,
    "SELECT key,digest,verdict,decided FROM decisions WHERE kind=? AND run=(SELECT number FROM runs WHERE id=?)",
    { kind, id })
  if not rows then return nil, err end
  return load.guarded(self, function()
    local list = {}
    for i, r in ipairs(rows) do list[i] = { key = r[1], digest = codec.or_nil(r[2]), verdict = codec.value(r[3]),
      decided = r[4] } end
    return list
  end)
end

--- Decide about a call that waits for approval.
---@param id string of the run
---@param key string of the record
---@param digest string of exactly what was asked
---@param verdict table { decision = "approved"|"rejected", reason? }
---@return boolean|nil ok false: it was decided in another way before, and that stands
---@return stoke.error|nil err
function Store:decide(id, key, digest, verdict) return decide(self, APPROVE, id, "approval", key, digest, verdict) end

--- What was decided of a run's calls.
---@return { key: string, digest: string, verdict: table, decided: number }[]|nil
---@return stoke.error|nil err
function Store:decisions(id) return decided(self, id, "approval") end

local SAID = "SELECT run,key,digest,verdict FROM decisions WHERE kind='approval' AND run IN (SELECT value FROM json_each(?))"

--- What was decided of the calls of some runs.
---@param numbers integer[] of the runs
---@return { run: integer, key: string, digest: string, verdict: table }[]|nil
---@return stoke.error|nil err
function Store:said(numbers)
  local rows, err = query(self, SAID, { json.encode(json.array(numbers)) })
  if not rows then return nil, err end
  return load.guarded(self, function()
    local list = {}
    for i, r in ipairs(rows) do list[i] = { run = r[1], key = r[2], digest = codec.or_nil(r[3]), verdict = codec.value(r[4]) } end
    return list
  end)
end

--- Say what becomes of an effect in doubt.
---@param id string of the run
---@param key string of the record
---@param verdict table { retry = true } | { value = any } | { fail = "words" }
---@return boolean|nil ok
---@return stoke.error|nil err
function Store:resolve(id, key, verdict) return decide(self, DECIDE, id, "resolution", key, nil, verdict) end

--- What was said of a run's effects in doubt, and not applied yet.
---@return table[]|nil { key =, retry | value | fail }
---@return stoke.error|nil err
function Store:resolutions(id)
  local list, err = decided(self, id, "resolution")
  if not list then return nil, err end
  for i, entry in ipairs(list) do
    list[i] = entry.verdict
    list[i].key = entry.key
  end
  return list
end

--- It was applied.
---@return boolean|nil ok
---@return stoke.error|nil err
function Store:resolved(id, key)
  local done, err = write(self,
    "DELETE FROM decisions WHERE kind='resolution' AND key=? AND run=(SELECT number FROM runs WHERE id=?)",
    { key, id })
  if not done then return nil, err end
  return true
end

-- ---- keeping --------------------------------------------------------------------------------------------------------------------

Store.fork, Store.prune, Store.check = keep.fork, keep.prune, keep.check

return M
