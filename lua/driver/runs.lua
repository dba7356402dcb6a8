--- Effects on durable runs, from outside: runs.list, runs.find, runs.load, runs.text, runs.decide, runs.resolve, runs.fork,
--- runs.prune. A process that has no store open opens it for each, and closes it: SQLite lets many in, and the host that has a run
--- notices what was written.
---
--- A request has `store`, the path of the file; nil looks for one where scripts keep theirs.

require "core.driver.http"
require "core.driver.proc"
local effect = require "core.effect"
local errors = require "core.errors"
local files = require "core.driver.runs.file"
local history = require "core.history.runs"
local lives = require "core.runs.live"
local loading = require "core.store.load"
local outputs = require "core.journal.output"
local runs = require "core.runs"
local stores = require "core.store"

local M = {}

-- ---- the file -----------------------------------------------------------------------------------------------------------------

--- The store that is meant.
---@param path? string as it was named; nil: that of the working folder, else the user's
---@return string|nil path
---@return stoke.error|nil err where it was looked for
function M.locate(path)
  local found, tried = runs.find_store(path)
  if found then return found end
  return nil, errors.new("usage", ("there is no store of durable runs: no file %s"):format(table.concat(tried, ", and none at ")),
    { hint = "stoke run --durable FILE makes one beside the script; --store FILE names it" })
end

--- Call f with the store: the one this process has open, else for a moment.
local function with(q, f, ...)
  local own = runs.store()
  if own and (q.store == nil or q.store == own.path) then return f(own, q, ...) end
  local path, err = M.locate(q.store)
  if not path then return nil, err end
  local store
  store, err = stores.open(path, { create = false })
  if not store then return nil, err end
  local _ <close> = setmetatable({}, { __close = function() store:close() end })
  return f(store, q, ...)
end

M.with = with

-- ---- which run ----------------------------------------------------------------------------------------------------------------

--- Ids that a wrong one is compared with.
local COMPARED <const> = 1000

--- A run by its number in the store: for ids that nobody can type.
local function numbered(store, number)
  local list, err = store:list { before = number + 1, limit = 1 }
  if not list then return nil, err end
  return list[1] and list[1].number == number and list[1] or nil
end

--- A run by its id, by the beginning of it that no other id has, or by @ and its number.
---@param store stoke.store
---@param id string
---@return stoke.store.run|nil
---@return stoke.error|nil err
function M.run(store, id)
  local run, err = store:find(id)
  local number = math.tointeger(tonumber(id:match "^@(%d+)$"))
  if not run and not err and number then run, err = numbered(store, number) end
  if run or err then return run, err end
  local list
  if id ~= "" then
    list, err = store:list { prefix = id, limit = 4 }
    if not list then return nil, err end
    if #list == 1 then return list[1] end
  end
  local names = {}
  if list and #list > 1 then
    for i, found in ipairs(list) do names[i] = found.id end
    if names[4] then names[4] = "..." end
    return nil, errors.new("usage", ("%q is how several ids begin: %s"):format(id, table.concat(names, ", ")),
      { hint = "write more of it" })
  end
  list, err = store:list { limit = COMPARED }
  if not list then return nil, err end
  for i, found in ipairs(list) do names[i] = found.id end
  local near = errors.suggest(id, names)
  return nil, errors.new("usage", ("no run has the id %q"):format(id),
    { hint = near and ("did you mean %s? stoke runs lists them"):format(near) or #names == 0 and
      ("there is no run at all in %s"):format(store.path) or "stoke runs lists them" })
end

--- The origin of a fork, by the id that people know.
local function with_origin(store, run)
  if not run.fork_of then return run end
  local list = store:list { before = run.fork_of + 1, limit = 1 }
  if list and list[1] and list[1].number == run.fork_of then run.fork_of_id = list[1].id end
  return run
end

--- Note what the table does not say: a run that is to go on, and that no process has.
local function with_owner(store, run)
  lives.seen(store, run)
  if (run.state == "running" or run.state == "waiting") and not store:held(run) then run.left = true end
  return run
end

local function all_origins(store, list)
  for _, run in ipairs(list) do with_owner(store, with_origin(store, run)) end
  return list
end

-- ---- what is there --------------------------------------------------------------------------------------------------------------

local function define(name, class, f) effect.define("runs." .. name, { class = class, run = function(q) return with(q, f) end }) end

define("list", "pure", function(store, q)
  local list, err = store:list { state = q.state, workflow = q.workflow, limit = q.limit }
  if not list then return nil, err end
  return all_origins(store, list)
end)

define("find", "pure", function(store, q)
  local run, err = M.run(store, q.id)
  return run and with_owner(store, with_origin(store, run)), err
end)

--- Mark the rows that are in doubt where no process has the run: a row is one of the run's own, without an outcome, and `doubt` is
--- the number of what had begun: itself, or the last thing in its body that changes the world.
local function mark_doubt(rows)
  local open = {}
  for _, row in ipairs(rows) do
    if not row.inside and not row.outcome then
      open[row.key] = row
      row.doubt = row.intent and row.number or nil
    elseif row.inside and row.intent then
      local key = row.key
      while key do
        key = key:match "^(.*)/[^/]*$"
        if key and open[key] then open[key].doubt = row.number end
      end
    end
  end
end

--- What people have said of records, and no process has taken up yet.
local function mark_said(store, run, rows)
  if run.state ~= "waiting" and run.state ~= "parked" and run.state ~= "running" then return end
  local said = {}
  for _, one in ipairs(store:decisions(run.id) or {}) do said[one.key] = { digest = one.digest, verdict = one.verdict } end
  for _, one in ipairs(store:resolutions(run.id) or {}) do said[one.key] = { verdict = one } end
  for _, row in ipairs(rows) do
    local one = not row.outcome and said[row.key]
    if one and (one.digest == nil or one.digest == row.digest) then row.said = one.verdict end
  end
end

--- Requests are worked out as they are read.
local function load(store, run)
  local parts, err = store:load(run)
  if not parts then return nil, err end
  for _, row in ipairs(parts.rows) do loading.whole_row(row) end
  mark_doubt(parts.rows)
  mark_said(store, run, parts.rows)
  parts.run = with_owner(store, with_origin(store, run))
  return parts
end

local function load_named(store, q)
  local run, err = M.run(store, q.id)
  if not run then return nil, err end
  return load(store, run)
end

--- Call f with the store and the run that an id stands for, or the text of an exported run.
---@param q { id: string, store?: string, text?: string } text: of the file of this name
---@param f fun(store: stoke.store, run: stoke.store.run): any, stoke.error?
---@return any
---@return stoke.error|nil err
function M.with_run(q, f)
  if not q.text then
    return with(q, function(store)
      local run, err = M.run(store, q.id)
      if not run then return nil, err end
      return f(store, with_origin(store, run))
    end)
  end
  local store, run = files.read(q.id, q.text)
  if not store then return nil, run end
  local _ <close> = setmetatable({}, { __close = function() store:close() end })
  return f(store, run)
end

--- A run and all that was kept of it.
effect.define("runs.load", { class = "pure", run = function(q) return M.with_run(q, load) end })

local function plain(path) return (path:gsub("^%./", "")) end

--- The same sources, with other texts of some files.
local function changed(sources, texts)
  local by_path, out = {}, {}
  for path, text in next, texts do by_path[plain(path)] = text end
  for i, one in ipairs(sources) do
    out[i] = { name = one.name, text = by_path[plain(one.name:match "^%S+ (.*)$" or one.name)] or one.text }
  end
  return out
end

--- A run as the text of a file. q.texts: by path, in place of what its source files held.
effect.define("runs.text", { class = "pure", run = function(q)
  return M.with_run(q, function(store, run)
    local parts, err = load(store, run)
    if not parts then return nil, err end
    if q.texts then parts.sources = changed(parts.sources, q.texts) end
    return files.write(parts)
  end)
end })

-- ---- again ----------------------------------------------------------------------------------------------------------------------

--- The same sources as their files say now. They are looked for in the working folder, and beside the folder of the store.
local function edited(store, sources)
  local beside = store.path:match "^(.*)%.stoke/[^/]*$"
  local out = {}
  for i, one in ipairs(sources) do
    local path = one.name:match "^%S+ (.*)$" or one.name
    local text, err = effect.perform("fs.read", { path = path })
    if not text and beside and path:sub(1, 1) ~= "/" then text = effect.perform("fs.read", { path = beside .. path }) end
    if not text then
      return nil, errors.new("usage", ("the file %s of the run cannot be read: %s"):format(path, err.message),
        { hint = "without --latest the run is done again on the code it was begun with" })
    end
    out[i] = { name = one.name, text = text }
  end
  return out
end

--- A store that gives a run the code of its files as they are now.
local function with_edited(store)
  return { load = function(_, run, to)
    local parts, err = store:load(run, to)
    if not parts then return nil, err end
    parts.sources, err = edited(store, parts.sources)
    if not parts.sources then return nil, err end
    return parts
  end }
end

--- Do a run again from its records alone. This is no effect: a run cannot do another one again.
---@param q { id: string, store?: string, text?: string }
---@param options { to?: integer, on_given: fun(row: table), print?: boolean, latest?: boolean, begun: fun(run: stoke.store.run) }
---  print: what it prints goes to the standard streams; latest: on the code of its files as they are now
---@return { n: integer, err?: stoke.error }|nil results
---@return stoke.store.run|stoke.error run
---@return stoke.journal|nil journal
---Raises `db`.
function M.replay(q, options)
  local output = outputs.new(0)
  local print = options.print and function(fd, text) outputs.put(output, fd, text, #text) end or nil
  return M.with_run(q, function(store, run)
    options.begun(run)
    local from = options.latest and with_edited(store) or store
    local results, journal = runs.replay(from, run, { to = options.to, on_given = options.on_given, print = print })
    outputs.wait(output)
    return results, run, journal
  end)
end

--- Take a run up in this process, and wait for its end.
---@param id string
---@param store? string
---@return any result
---Raises what it ends with; `usage` for an id that no run has.
function M.resume(id, store)
  local own = runs.store()
  if not own then own = runs.open(errors.check(M.locate(store))) end
  return runs.resume(errors.check(M.run(own, id)).id)
end

-- ---- what people decide -------------------------------------------------------------------------------------------------------

local function ended(run)
  return run.state == "done" or run.state == "failed" or run.state == "cancelled"
end

--- A run of this process hears of it at once; other processes look at the file.
local function tell(store, id)
  if store == runs.store() then runs.told(id) end
end

local function show_hint(run) return "stoke show " .. runs.typed(run) end

local APPROVAL = { verb = "approve", is = "waits for approval", is_not = "does not wait for approval" }
local DOUBT = { verb = "resolve", is = "is in doubt", is_not = "is not in doubt" }

--- The record that a decision is about: `of` is its number; without one there must be a single candidate.
local function one_of(found, of, run, words)
  for _, row in ipairs(found) do
    if row.number == of then return row end
  end
  if of then return nil, errors.new("usage", ("#%d of %s %s"):format(of, run.id, words.is_not), { hint = show_hint(run) }) end
  if #found == 1 then return found[1] end
  if #found == 0 then return nil, errors.new("usage", ("nothing in %s %s"):format(run.id, words.is), { hint = show_hint(run) }) end
  local numbers = {}
  for i, row in ipairs(found) do numbers[i] = ("#%d %s"):format(row.number, row.name) end
  return nil, errors.new("usage", ("several records of %s: %s"):format(run.id, table.concat(numbers, ", ")),
    { hint = ("say which: stoke %s %s --of %d"):format(words.verb, runs.typed(run), found[1].number) })
end

local function rows_of(store, q, read)
  local parts, err = read(store, q)
  if not parts then return nil, err end
  if ended(parts.run) then
    return nil, errors.new("usage", ("the run %s has ended: it is %s"):format(parts.run.id, parts.run.state),
      { hint = show_hint(parts.run) })
  end
  return parts
end

--- Records of a run that wait for a person, at most.
local WAITING <const> = 1000

--- The run of an id, and its records that wait for a person.
local function waiting_of(store, q)
  local run, err = M.run(store, q.id)
  if not run then return nil, err end
  local rows
  rows, err = history.waiting(store, run.number, WAITING)
  if not rows then return nil, err end
  return { run = with_owner(store, with_origin(store, run)), rows = rows }
end

define("waiting", "pure", waiting_of)

--- What was decided of the calls of some runs, by their numbers.
define("said", "pure", function(store, q) return store:said(q.runs) end)

--- What stands of a record, in words for who comes second.
local function stands(store, run, row)
  for _, one in ipairs(store:decisions(run.id) or {}) do
    local verdict = one.key == row.key and one.verdict
    if verdict then
      return verdict, (": %s%s"):format(verdict.decision, verdict.args and " with other arguments"
        or verdict.reason and ": " .. verdict.reason or "")
    end
  end
  return nil, ""
end

--- Decide about a call that waits: the decision holds for the exact request that was recorded.
define("decide", "idempotent", function(store, q)
  local parts, err = rows_of(store, q, waiting_of)
  if not parts then return nil, err end
  local run = parts.run
  local row
  row, err = one_of(parts.rows, q.of, run, APPROVAL)
  if not row then return nil, err end
  if q.digest and q.digest ~= row.digest then
    return nil, errors.new("usage", ("#%d of %s asks something else by now: it was not decided"):format(row.number, run.id),
      { hint = "look at it again: " .. show_hint(run) })
  end
  local ok
  ok, err = store:decide(run.id, row.key, row.digest, { decision = q.decision, reason = q.reason, args = q.args })
  if ok == nil then return nil, err end
  if not ok then
    local verdict, said = stands(store, run, row)
    return nil, errors.new("usage", ("#%d of %s was decided before, and that stands%s"):format(row.number, run.id, said),
      { hint = show_hint(run), decided = verdict })
  end
  tell(store, run.id)
  return { id = run.id, number = row.number, key = row.key, request = row.request, decision = q.decision, name = row.name,
    args = q.args, reason = q.reason, left = run.left, run = run.number }
end)

--- The outcome that a person names, as the run expects it of that effect.
local function as_given(row, run, q)
  local about = q.value ~= nil and effect.about(row.name)
  if not about or not about.said then return q.value end
  local value, form = about.said(q.value)
  if value ~= nil then return value end
  return nil, errors.new("usage", ("the outcome of #%d of %s, %s, is an object: %s"):format(row.number, run.id, row.name, form),
    { hint = ("stoke resolve %s --value '%s'"):format(run.id, form) })
end

define("resolve", "idempotent", function(store, q)
  local parts, err = rows_of(store, q, load_named)
  if not parts then return nil, err end
  local run, doubtful = parts.run, {}
  for _, row in ipairs(parts.rows) do
    if row.doubt then doubtful[#doubtful + 1] = row end
  end
  if run.state ~= "parked" and doubtful[1] then
    return nil, errors.new("usage", ("#%d of %s may still be at work: the run is not parked"):format(doubtful[1].number, run.id),
      { hint = "an effect is in doubt only after the process of its run has ended; " .. show_hint(run) })
  end
  local row
  row, err = one_of(doubtful, q.of, run, DOUBT)
  if not row then return nil, err end
  local ok, value
  value, err = as_given(row, run, q)
  if err then return nil, err end
  ok, err = store:resolve(run.id, row.key, { retry = q.retry, value = value, fail = q.fail })
  if ok == nil then return nil, err end
  tell(store, run.id)
  return { id = run.id, number = row.number, key = row.key, request = row.request, name = row.name, run = run.number,
    retry = q.retry, value = q.value, fail = q.fail }
end)

-- ---- forks, and what is deleted -------------------------------------------------------------------------------------------------

--- An id for a fork: that of the run, with a number that is free.
local function fork_id(store, run)
  for n = 2, 10000 do
    local id = ("%s-%d"):format(run.id, n)
    local there, err = store:find(id)
    if err then return nil, err end
    if not there then return id end
  end
  return nil, errors.new("usage", ("there are too many forks of %s to find a name for one more"):format(run.id),
    { hint = "give it an id: --id" })
end

define("fork", "unsafe", function(store, q)
  local run, err = M.run(store, q.id)
  if not run then return nil, err end
  local id = q.new_id
  if not id then
    id, err = fork_id(store, run)
    if not id then return nil, err end
  end
  local fork
  fork, err = store:fork(run, q.at, { id = id, outcomes = q.outcomes })
  return fork and with_origin(store, fork), err
end)

define("prune", "idempotent", function(store, q) return store:prune { older = q.older, bytes = q.bytes, dry = q.dry } end)

return M
