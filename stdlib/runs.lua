--- Durable runs from outside: list them, look at what they did, repeat, fork and compare them, and decide what waits for a person.
--- The verbs of the command line (stoke runs, show, replay, fork, diff, approve, resolve, prune, export) call these functions.
---
--- Any unambiguous beginning of an id is enough, and "@3" is the run with that number. Functions that only read a run also take
--- the name of a file that `export` wrote (NAME.run). `store` is the path of the store; default: the configured one,
--- `.stoke/state.db` in the working folder, or the user's.

local cassettes = require "stoke.test.cassette"
local compare = require "stoke.runs.compare"
local config = require "stoke.config"
local drivers = require "core.driver.runs"
local effect = require "core.effect"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"
local replays = require "stoke.runs.replay"
local schema = require "stoke.schema"
local show = require "stoke.show"
local timeline = require "stoke.runs.timeline"
local words = require "stoke.runs.words"

local M = {}

local perform, check = effect.perform, errors.check

---@class stoke.runs.where
---@field store? string file of the store

---@class stoke.run.record
---@field number integer in its store
---@field id string
---@field workflow string
---@field state "running"|"waiting"|"parked"|"done"|"failed"|"cancelled"
---@field waits? string what it waits for, or why it is parked, in words
---@field left? boolean it has not ended, and no process has it
---@field created number wall clock, seconds
---@field changed number
---@field input any
---@field result any
---@field error? stoke.error
---@field calls integer of models
---@field tokens integer
---@field bytes integer
---@field fork_of? integer number of the run whose first records it shares
---@field fork_of_id? string its id
---@field fork_at? integer

local function check_id(what, id)
  if type(id) ~= "string" then errors.argument("%s: the id of a run must be a string, got %s", what, errors.describe(id)) end
  return id
end

local function store_of(options) return options.store or config.get().store end

--- The request of an effect on one run: its id, and the text where it is a file.
local function asked(id, options)
  local q = { id = id, store = store_of(options) }
  if id:find "%.run$" and fs.stat(id) then q.text, q.store = fs.read(id, { max = 1 << 30 }), nil end
  return q
end

local STATES = { "running", "waiting", "parked", "done", "failed", "cancelled" }

--- Runs, the newest first.
---@param options? { status?: string, workflow?: string, limit?: integer, store?: string } status: running, waiting (for a timer, a
---  signal, an approval), parked (in doubt, or it cannot go on), done, failed, cancelled
---@return stoke.run.record[]
---Raises `usage` where there is no store, `argument`, `db`.
---
--- Example: `for _, run in ipairs(stoke.runs.list { status = "waiting" }) do print(run.id, run.waits) end`
function M.list(options)
  options = errors.options(options, { status = "string", workflow = "string", limit = "number", store = "string" }, "runs.list")
  local state = options.status
  if state then
    local known = false
    for _, name in ipairs(STATES) do known = known or name == state end
    if not known then
      local near = errors.suggest(state, STATES)
      errors.raise("usage", ("no run has the state %q"):format(state),
        { hint = near and ("did you mean %s?"):format(near) or "one of: " .. table.concat(STATES, ", ") })
    end
  end
  return check(perform("runs.list", { state = state, workflow = options.workflow, limit = options.limit,
    store = store_of(options) }))
end

--- A run by its id.
---@param id string
---@param options? stoke.runs.where
---@return stoke.run.record
---Raises `usage` for an id that no run has, `argument`, `db`.
---
--- Example: `print(stoke.runs.find("trip-7").state)`
function M.find(id, options)
  check_id("runs.find", id)
  options = errors.options(options, { store = "string" }, "runs.find")
  return check(perform("runs.find", { id = id, store = store_of(options) }))
end

local function loaded(id, options) return check(perform("runs.load", asked(id, options))) end

--- What a run did: its records, in the order in which they began.
---@param id string
---@param options? { requests?: boolean, store?: string } requests: include whole requests and outcomes
---@return { run: stoke.run.record, records: stoke.runs.entry[], totals: stoke.runs.totals }
---Raises `usage` for an id that no run has, `argument`, `db`.
---
--- Example: `for _, record in ipairs(stoke.runs.show("trip-7").records) do print(record.number, record.what, record.outcome) end`
function M.show(id, options)
  check_id("runs.show", id)
  options = errors.options(options, { requests = "boolean", store = "string" }, "runs.show")
  local parts = loaded(id, options)
  return { run = parts.run, records = timeline.entries(parts.rows, parts.run, options.requests),
    totals = timeline.totals(parts.rows) }
end

--- Repeat a run from its records: no call, no wait. It runs on the code that is kept with it. Every request is compared with the
--- recorded one, and at the end the result is.
---@param id string
---@param options? { to?: integer, on_record?: fun(entry: stoke.runs.entry, row: table), print?: boolean, code?: "own"|"latest",
---  closed?: boolean, store?: string }
---  to: stop after this record; on_record: called in the run whenever it gets an outcome; print: print again what the run printed;
---  code: "own" (default) is the code kept with the run, "latest" that of its files as they are now; closed: from now on this
---  process can reach no file, host, program or tool, for code that comes from somebody else
---@return { same: boolean, effects: integer, ended: boolean, difference?: string, err?: stoke.error }
---  same: nothing differed; effects: records that were repeated; ended: the end of the run was reached
---Raises `usage`, `argument`, `db`.
---
--- Example: `assert(stoke.runs.replay("trip-7").same)`
function M.replay(id, options)
  check_id("runs.replay", id)
  options = errors.options(options, { to = "number", on_record = "function", print = "boolean", code = "string",
    closed = "boolean", store = "string" }, "runs.replay")
  if options.code and options.code ~= "own" and options.code ~= "latest" then
    errors.argument("runs.replay: code must be \"own\" or \"latest\", got %s", errors.describe(options.code))
  end
  return replays.run(asked(id, options), options)
end

--- Continue a run in this process where it stopped, and wait for its end. No answered question is asked again.
---@param id string
---@param options? stoke.runs.where
---@return any result what it returned
---Raises the error it ends with; `parked` if it cannot continue by itself, or another process has it; `in_doubt`; `usage`, `db`.
---
--- Example: `print(stoke.runs.resume "trip-7")`
function M.resume(id, options)
  check_id("runs.resume", id)
  options = errors.options(options, { store = "string" }, "runs.resume")
  return drivers.resume(id, store_of(options))
end

--- Compare two runs. Records are paired by their keys, so by their place in the run, not by their numbers.
---@param a string id
---@param b string id
---@param options? stoke.runs.where
---@return stoke.runs.difference
---Raises `usage`, `argument`, `db`.
---
--- Example: `print(stoke.runs.diff("trip-7", "trip-7-2").first.what)`
function M.diff(a, b, options)
  check_id("runs.diff", a)
  check_id("runs.diff", b)
  options = errors.options(options, { store = "string" }, "runs.diff")
  return compare.runs(loaded(a, options), loaded(b, options))
end

-- ---- forks ------------------------------------------------------------------------------------------------------------------

--- A new outcome with this value, or this error; what was known beside the old one stays.
local function with_value(row, value)
  if errors.is(value) then return { err = value, facts = row.outcome.facts } end
  if words.is_call(row) and type(value) == "string" then
    return words.with_text(row, value) or errors.raise("usage",
      ("#%d is an answer of a model without a text: it cannot be set to one"):format(row.number),
      { hint = "set the whole reply: stoke show ID --requests prints it" })
  end
  if row.outcome.items then
    errors.raise("usage", ("#%d is a stream (%s): only the text of a model's answer can be set"):format(row.number, row.name))
  end
  return { value = value, facts = row.outcome.facts }
end

local function find_row(rows, which, run)
  for _, row in ipairs(rows) do
    if row.number == which or row.key == which then return row end
  end
  local keys = {}
  for i, row in ipairs(rows) do keys[i] = row.key end
  local near = type(which) == "string" and errors.suggest(which, keys)
  errors.raise("usage", ("%s has no record %s"):format(run.id, type(which) == "number" and "#" .. which
    or "with the key " .. which),
    { hint = near and ("did you mean %s?"):format(near) or ("it has %d: stoke show %s"):format(#rows, words.id(run)) })
end

--- The changed outcomes of a fork, by number of their records.
local function outcomes_of(parts, options)
  local out, rows, last = {}, parts.rows, nil
  local function set(row, value)
    if not row.outcome then
      errors.raise("usage", ("#%d has no outcome yet that could be changed"):format(row.number),
        { hint = "stoke resolve decides what came of an effect in doubt" })
    end
    if row.inside then
      errors.raise("usage", ("#%d was done by the body of another record; set the outcome of that one"):format(row.number))
    end
    out[row.number], last = with_value(row, value), math.max(last or 0, row.number)
  end
  for _, which in ipairs(show.sorted_keys(options.set or {})) do
    set(find_row(rows, which, parts.run), options.set[which])
  end
  if options.change then
    for i, entry in ipairs(timeline.entries(rows, parts.run, true)) do
      local changed = not entry.inside and rows[i].outcome and i <= (options.at or #rows)
      local value = changed and options.change(entry)
      if changed and value ~= nil then set(rows[i], value) end
    end
  end
  return out, last
end

local function check_fork(options)
  options = errors.options(options, { at = "number", id = "string", set = "table", change = "function", store = "string" },
    "runs.fork")
  if options.at and (math.type(options.at) ~= "integer" or options.at < 0) then
    errors.argument("runs.fork: at must be the number of a record, got %s", errors.describe(options.at))
  end
  return options
end

--- Make a new run that begins with the first records of another one and continues on its own. A script that defines its workflow
--- resumes it, or `stoke resume` does. It draws the same ids and random numbers as the other run.
---@param id string
---@param options { at?: integer, id?: string, set?: table<integer|string, any>, change?: fun(record: stoke.runs.entry): any,
---  store?: string }
---  at: the last record that both share; default: the last changed one. set: new values, by number or key of a record. change:
---  called with each record; returns a new value, an error object, or nil to keep the outcome. For the answer of a model, a string
---  replaces its text
---@return stoke.run.record
---Raises `usage` for an unknown record, or one in `set` beyond `at`; `argument`, `db`.
---
--- Example: `stoke.runs.fork("trip-7", { at = 5, change = function(r) return r.effect == "tool.call" and "sun" or nil end })`
function M.fork(id, options)
  check_id("runs.fork", id)
  options = check_fork(options)
  local parts = loaded(id, options)
  local outcomes, last = outcomes_of(parts, options)
  local at = options.at or last
  if not at then
    errors.raise("usage", "a fork needs the number of the last record that both runs share", { hint = "stoke show ID lists them" })
  end
  if at > #parts.rows then find_row(parts.rows, at, parts.run) end
  if last and last > at then
    errors.raise("usage", ("#%d is to be changed, but the fork shares only the first %d records"):format(last, at),
      { hint = ("fork at #%d"):format(last) })
  end
  return check(perform("runs.fork", { id = parts.run.id, at = at, new_id = options.id, outcomes = outcomes,
    store = store_of(options) }))
end

-- ---- decisions ----------------------------------------------------------------------------------------------------------------

--- Other arguments are checked by the parameters of the tool that were kept with its request. What a function of the tool's own
--- checks is checked when the run goes on. Gives the digest of the request that they are for.
local function check_args(id, options)
  local waiting = {}
  for _, row in ipairs(check(perform("runs.waiting", { id = id, store = store_of(options) })).rows) do
    if not options.of or row.number == options.of then waiting[#waiting + 1] = row end
  end
  local row = #waiting == 1 and waiting[1]
  local params = row and type(row.asks) == "table" and row.asks.params
  if not params then return options.digest end
  local _, err = schema.json(params):try(options.args)
  if err then
    errors.raise("argument", ("the arguments of %s do not fit: %s"):format(row.asks.what, err.message), { cause = err })
  end
  return options.digest or row.digest
end

--- What a run waits for that a person decides, without reading all that it did.
---@private
---@param id string
---@param options stoke.runs.where
---@return stoke.runs.entry[]
---
--- Example: `for _, entry in ipairs(runs.waiting("trip-7", {})) do print(entry.asks) end`
function M.waiting(id, options)
  local parts = check(perform("runs.waiting", { id = id, store = store_of(options) }))
  return timeline.entries(parts.rows, parts.run, true)
end

--- Approve or reject the call that a run waits for, also while no process has the run. The decision holds for exactly the recorded
--- request: if the run asks for something else by then, it keeps waiting.
---@param id string
---@param options? { of?: integer, reject?: string|boolean, args?: table, digest?: string, store?: string } of: the number of the
---  record, if several wait; reject: the reason; args: approve with these arguments instead; digest: decide only if the record
---  still has this digest (from `show`)
---@return { id: string, number: integer, key: string, name: string, request: any, decision: "approved"|"rejected" }
---Raises `usage` where nothing waits, or it was decided in another way before (`decided`: what stands); `argument`, also for
---arguments that do not fit the tool; `db`.
---
--- Example: `stoke.runs.approve("trip-7", { reject = "too expensive" })`
function M.approve(id, options)
  check_id("runs.approve", id)
  options = errors.options(options, { of = "number", reject = true, args = "table", digest = "string", store = "string" },
    "runs.approve")
  local reject = options.reject
  if reject ~= nil and type(reject) ~= "string" and type(reject) ~= "boolean" then
    errors.argument("runs.approve: reject must be the reason, got %s", errors.describe(reject))
  end
  if reject and options.args then errors.argument "runs.approve: other arguments are approved, not rejected" end
  local digest = options.digest
  if options.args then digest = check_args(id, options) end
  return check(perform("runs.decide", { id = id, of = options.of, decision = reject and "rejected" or "approved",
    reason = type(reject) == "string" and reject or nil, args = options.args, digest = digest, store = store_of(options) }))
end

--- Say what happened to an effect in doubt: one that had begun when its process ended, before its outcome was recorded.
---@param id string
---@param options { retry?: boolean, value?: any, fail?: string, of?: integer, store?: string } one of: retry: it did not
---  happen, do it; value: it happened, with this outcome (json.null: none); fail: it failed, for this reason
---@return { id: string, number: integer, key: string, name: string, request: any }
---Raises `usage` where nothing is in doubt, `argument`, `db`.
---
--- Example: `stoke.runs.resolve("trip-7", { value = { booking = "K7Q" } })`
function M.resolve(id, options)
  check_id("runs.resolve", id)
  options = errors.options(options, { retry = "boolean", value = true, fail = "string", of = "number", store = "string" },
    "runs.resolve")
  local said = (options.retry and 1 or 0) + (options.value ~= nil and 1 or 0) + (options.fail and 1 or 0)
  if said ~= 1 then errors.argument "runs.resolve: one of retry = true, value = ... and fail = \"why\" is needed" end
  return check(perform("runs.resolve", { id = id, of = options.of, retry = options.retry or nil, value = options.value,
    fail = options.fail, store = store_of(options) }))
end

-- ---- the file -----------------------------------------------------------------------------------------------------------------

--- Delete runs that have ended, the oldest first. Unfinished runs and origins of forks stay.
---@param options { older?: number, bytes?: integer, dry?: boolean, store?: string } older: seconds since they ended; bytes: delete
---  until the records of all runs take at most this much; dry: list them, and delete nothing
---@return { runs: { id: string, workflow: string, changed: number, bytes: integer }[], bytes: integer }
---Raises `usage` if there is no store, `argument` without older and bytes, `db`.
---
--- Example: `print(#stoke.runs.prune({ older = 30 * 86400, dry = true }).runs)`
function M.prune(options)
  options = errors.options(options, { older = "number", bytes = "number", dry = "boolean", store = "string" }, "runs.prune")
  if not options.older and not options.bytes then errors.argument "runs.prune: older (seconds) or bytes is needed" end
  local bytes = options.bytes and math.tointeger(options.bytes // 1)
  return check(perform("runs.prune", { older = options.older, bytes = bytes, dry = options.dry, store = store_of(options) }))
end

--- Write a run into one file. Functions and verbs that read a run take the name of the file; `stoke replay FILE --check` repeats
--- the run offline. Secrets are not in it: they are never recorded.
---
--- With a name that ends in .jsonl the file is a cassette: the run's model calls and web requests, for a test with
--- `{ cassette = "NAME" }` (cassettes/NAME.jsonl beside the test) that asks the same.
---@param id string
---@param path? string ends in .run or .jsonl; default: the id with `.run`, in the working folder
---@param options? { texts?: table<string, string>, store?: string } texts: by path, in place of what its source files held; so
---  `stoke replay FILE --check` says whether other code would ask the same
---@return string path
---Raises `usage`, `argument`, `db`, `os`.
---
--- Example: `local path = stoke.runs.export("trip-7", "bug.run")`
function M.export(id, path, options)
  check_id("runs.export", id)
  options = errors.options(options, { texts = "table", store = "string" }, "runs.export")
  if path and path:find "%.jsonl$" then
    local parts = loaded(id, options)
    cassettes.of_run(path, parts.run.id, parts.run, parts.rows):save()
    return path
  end
  local q = asked(id, options)
  q.texts = options.texts
  local text = check(perform("runs.text", q))
  local head = json.decode(text:match "^[^\n]*")
  path = path or (type(head) == "table" and type(head.id) == "string" and head.id or id):gsub("[^%w_.-]", "_") .. ".run"
  if not path:find "%.run$" then
    errors.raise("usage", ("the name of an exported run ends in .run, not %q"):format(path),
      { hint = ("%s.run; a cassette for a test ends in .jsonl"):format(path) })
  end
  fs.write(path, text)
  return path
end

return M
