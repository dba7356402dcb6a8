--- Runs copied, deleted and checked.

local codec = require "core.store.codec"
local errors = require "core.errors"
local json = require "core.json"
local load = require "core.store.load"
local logs = require "core.store.log"
local wall = require "host.time".wall

local M = {}

local null = json.null

--- Run statements in one transaction: f gets a function that does one and gives its result; what that fails with, it raises.
local function transaction(store, f)
  local tx, err = store.db:begin()
  if not tx then return nil, store:failed(err) end
  local ok, value = pcall(f, function(sql, params)
    local done, failed = tx:run(sql, params)
    if not done then error(failed, 0) end
    return done
  end)
  if not ok then
    tx:rollback()
    if not errors.is(value) then error(value, 0) end
    return nil, store:failed(value)
  end
  local done
  done, err = tx:commit()
  if not done then return nil, store:failed(err) end
  return value
end
M.transaction = transaction

-- ---- forks --------------------------------------------------------------------------------------------------------------------

local FORK = [[INSERT INTO runs (id,workflow,state,created,changed,input,code,seed,bytes,snapshots,fork_of,fork_at,sum)
  SELECT ?1,workflow,'running',?2,?3,input,code,seed,bytes,snapshots,number,?4,stoke_sum(?1,workflow,input,NULL,NULL)
  FROM runs WHERE number=?5]]
local COPIED = codec.COLUMNS:gsub("^id,", "") .. ",sum"
local RECORDS = ("INSERT INTO records (id,%s) SELECT (?1<<32)|(id&4294967295),%s FROM records "
  .. "WHERE id BETWEEN (?2<<32)+1 AND (?2<<32)+?3")
  :format(COPIED, COPIED)
local COPIES = {
  "INSERT INTO pieces SELECT (?1<<32)|(record&4294967295),first,items,sum FROM pieces "
    .. "WHERE record BETWEEN (?2<<32)+1 AND (?2<<32)+?3",
  "UPDATE records SET intent=NULL WHERE id BETWEEN (?1<<32)+1 AND (?1<<32)+?3 AND outcome IS NULL AND ?2=?2",
  "INSERT INTO uses SELECT ?1,content FROM uses WHERE run=?2 AND ?3=?3",
  "INSERT INTO modules SELECT ?1,number,name FROM modules WHERE run=?2 AND ?3=?3",
  "INSERT INTO sources SELECT ?1,number,name,hash FROM sources WHERE run=?2 AND ?3=?3",
}
local DELIVERIES = "INSERT INTO deliveries (run,first,records,bytes) VALUES (?,0,?,CAST(? AS BLOB))"
local CHANGE = "UPDATE records SET outcome=?,value=?,lengths=NULL,error=?,facts=?,more=?,input_tokens=?,"
  .. "output_tokens=?,seconds=?,asks=NULL,sum=stoke_sum(key,class,digest,?1,?2,NULL,?3) WHERE id=?"

local LENGTHS = "UPDATE records SET lengths=CAST(?1 AS BLOB),"
  .. "sum=stoke_sum(key,class,digest,outcome,value,CAST(?1 AS BLOB),error) WHERE id=?2"

--- The outcome of a record is another one, with the contents it needs.
local function change(run, number, record, outcome)
  local sink = {}
  local made, err = codec.outcome(outcome, sink)
  if not made then error(err, 0) end
  if type(made) == "string" then made = logs.whole(made) end
  local value, lengths = made.value, null
  if outcome.items then value, lengths = codec.items(outcome.items, sink) end
  if not value then error(lengths, 0) end
  local id = (number << 32) + record
  run(CHANGE, { made.kind, value, made.err, made.facts, made.more, made.input, made.output, made.seconds, id })
  if outcome.items then run(LENGTHS, { lengths, id }) end
  run("DELETE FROM pieces WHERE record=?", { id })
  for hash, text in next, sink do
    run("INSERT OR IGNORE INTO contents (hash,value) VALUES (?,?)", { hash, text })
    run("INSERT OR IGNORE INTO uses SELECT ?,id FROM contents WHERE hash=?", { number, hash })
  end
end

--- A new run that begins with the first records of another one, and goes on from there when somebody takes it up. Its ids and
--- random numbers are those of that run.
---@param store stoke.store
---@param run stoke.store.run
---@param at integer the last record that it has
---@param options { id: string, outcomes?: table<integer, stoke.journal.outcome> } outcomes that are others
---@return stoke.store.run|nil
---@return stoke.error|nil err
function M.fork(store, run, at, options)
  local there, failed = store:find(options.id)
  if failed then return nil, failed end
  if there then
    return nil, errors.new("argument", ("there is a run with the id %q already"):format(options.id),
      { hint = "give the fork another" })
  end
  local known
  known, failed = load.known(store, run.number)
  if not known then return nil, store:failed(failed) end
  at = math.min(at, known.last)
  local next_at
  next_at, failed = load.cut_at(store, run.number, at)
  if failed then return nil, store:failed(failed) end
  local log
  log, failed = load.guarded(store, load.deliveries, store, run.number, at == known.last and math.huge or at, next_at)
  if not log then return nil, failed end
  local ok, err = transaction(store, function(does)
    local now = wall()
    local number = does(FORK, { options.id, now, now, at, run.number }).last_id
    local places = { number, run.number, at }
    does(RECORDS, places)
    for _, sql in ipairs(COPIES) do does(sql, places) end
    if log ~= "" then does(DELIVERIES, { number, at, log }) end
    for record, outcome in next, options.outcomes or {} do change(does, number, record, outcome) end
    return true
  end)
  if not ok then return nil, err end
  return store:find(options.id)
end

-- ---- pruning ------------------------------------------------------------------------------------------------------------------

-- Of these the oldest go first: what has ended, and nobody needs: no fork (?1), no run that started it and still goes on.
local ENDED = [[SELECT number,id,workflow,changed,bytes FROM runs AS r WHERE state IN ('done','failed','cancelled')
  AND (?1=0 OR NOT EXISTS (SELECT 1 FROM runs WHERE fork_of=r.number))
  AND NOT EXISTS (SELECT 1 FROM runs WHERE number=r.parent AND state NOT IN ('done','failed','cancelled'))
  ORDER BY changed,number]]
local GONE = {
  "DELETE FROM records WHERE id BETWEEN ?1<<32 AND (?1<<32)+4294967295",
    "DELETE FROM pieces WHERE record BETWEEN ?1<<32 AND (?1<<32)+4294967295",
  "DELETE FROM deliveries WHERE run=?1", "DELETE FROM modules WHERE run=?1", "DELETE FROM sources WHERE run=?1",
  "DELETE FROM epochs WHERE run=?1", "DELETE FROM signals WHERE run=?1", "DELETE FROM decisions WHERE run=?1",
  "DELETE FROM uses WHERE run=?1", "UPDATE runs SET fork_of=NULL WHERE fork_of=?1", "DELETE FROM runs WHERE number=?1",
}

M.GONE = GONE

--- Which of the runs that have ended are to go.
local function chosen(store, options)
  local found, err = store.db:query(ENDED, { options.keep_forked ~= false })
  if not found then return nil, store:failed(err) end
  local total
  total, err = store.db:query "SELECT coalesce(sum(bytes),0) FROM runs"
  if not total then return nil, store:failed(err) end
  local left, before, list, bytes = total.rows[1][1], options.older and wall() - options.older, {}, 0
  for _, r in ipairs(found.rows) do
    local old = before and r[4] < before
    if old or options.bytes and left > options.bytes then
      list[#list + 1] = { number = r[1], id = r[2], workflow = r[3], changed = r[4], bytes = r[5] }
      left, bytes = left - r[5], bytes + r[5]
    end
  end
  return list, bytes
end

--- Delete runs that have ended, and the contents that no run needs any more. The file keeps its size; what is free in it is used
--- again.
---@param store stoke.store
---@param options { older?: number, bytes?: integer, keep_forked?: boolean, dry?: boolean } older: seconds since they ended; bytes:
---  the oldest go until the records of all runs have so many; keep_forked (true): what forks began with stays; dry: only say which
---@return { runs: { number: integer, id: string, workflow: string, changed: number, bytes: integer }[], bytes: integer }|nil
---@return stoke.error|nil err
function M.prune(store, options)
  local list, bytes = chosen(store, options)
  if not list then return nil, bytes end
  local done = { runs = list, bytes = bytes }
  if options.dry or #list == 0 then return done end
  for _, run in ipairs(list) do
    local ok, err = transaction(store, function(does)
      for _, sql in ipairs(GONE) do does(sql, { run.number }) end
      return true
    end)
    if not ok then return nil, err end
  end
  local ok, err = M.sweep(store)
  if ok and options.older then
    ok, err = store.db:write("DELETE FROM mail WHERE state='done' AND ended<?", { wall() - options.older }, true)
    if not ok then err = store:failed(err) end
  end
  if not ok then return nil, err end
  return done
end

-- Found by a reader; the writer looks again, as a run may need one by now.
local UNUSED = "SELECT id FROM contents WHERE id NOT IN (SELECT content FROM uses) ORDER BY id"
local SWEEP = "DELETE FROM contents WHERE id BETWEEN ?1 AND ?2 "
  .. "AND id NOT IN (SELECT content FROM uses WHERE content BETWEEN ?1 AND ?2)"

--- Contents that are deleted by one statement, at most: others write between two.
M.SLICE = 500

--- Delete the contents that nobody needs any more.
---@param store stoke.store
---@return boolean|nil ok
---@return stoke.error|nil err
function M.sweep(store)
  local slices, n = {}, M.SLICE
  local ok, err = load.each(store, UNUSED, {}, function(r)
    local last = slices[#slices]
    if n == M.SLICE then
      n, slices[#slices + 1] = 1, { r[1], r[1] }
    else
      n, last[2] = n + 1, r[1]
    end
  end)
  for _, slice in ipairs(slices) do
    if ok then ok, err = store.db:write(SWEEP, slice, true) end
  end
  if not ok then return nil, store:failed(err) end
  return true
end

-- ---- checking -----------------------------------------------------------------------------------------------------------------

local CHECKS = {
  { "SELECT count(*) FROM uses WHERE content NOT IN (SELECT id FROM contents)", "texts that runs need are missing" },
  { "SELECT count(*) FROM records WHERE run NOT IN (SELECT number FROM runs)", "records belong to no run" },
  { "SELECT count(*) FROM sources WHERE hash NOT IN (SELECT hash FROM contents)", "sources of runs are missing" },
  { "SELECT count(*) FROM (SELECT run,count(*) AS n,max(number) AS last FROM records GROUP BY run) WHERE n<>last",
    "runs lack records in their middle" },
  { "SELECT count(*) FROM sessions AS s WHERE messages<>(SELECT count(*) FROM messages WHERE session=s.number)",
    "sessions lack messages" },
  { "SELECT count(*) FROM sessions AS s WHERE turns<>(SELECT count(*) FROM turns WHERE session=s.number AND turn IS NOT NULL)",
    "sessions lack turns" },
  { "SELECT count(*) FROM mail WHERE actor NOT IN (SELECT number FROM actors)", "messages belong to no actor" },
}

--- Is the file sound? Reads all of it.
---@param store stoke.store
---@return string[]|nil problems in words; empty: it is sound
---@return stoke.error|nil err
function M.check(store)
  local lines, err = store.db:check()
  if not lines then return nil, store:failed(err) end
  if lines[1] ~= "ok" then return lines end
  local problems = {}
  for _, check in ipairs(CHECKS) do
    local found
    found, err = store.db:query(check[1])
    if not found then return nil, store:failed(err) end
    local n = found.rows[1][1]
    if n > 0 then problems[#problems + 1] = ("%d %s"):format(n, check[2]) end
  end
  return problems
end

return M
