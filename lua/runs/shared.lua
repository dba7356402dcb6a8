--- Runs that several hosts may have, seen from any of them: what is said of a run in the engine (lua/engine.lua), and how it is
--- begun, awaited and told something. What a worker does with them is in lua/runs/worker.lua.
---
---     stream runs/WORKFLOW   an item a run, its id that of the run and a word: the host that holds its claim has the run
---     log    journals        by id: what the run wrote (lua/store/ship.lua)
---     kv     runs            by id: how it stands, and how it ended
---     kv     to-runs         ID/NUMBER: signals that nobody has taken yet
---     kv     sources         by hash: the code of runs

local engines = require "core.engine"
local errors = require "core.errors"
local hash = require "core.hash"
local host = require "host.task"
local mail = require "core.runs.mail"
local ordered = require "core.ordered"
local plain = require "core.store.plain"
local rand = require "host.rand"
local runs = require "core.runs"
local scopes = require "core.scope"
local script = require "core.script"
local tasks = require "core.task"

local M = {}

--- Version of what is said in the engine beside journals; see lua/store/ship.lua for those.
M.VERSION = 1
M.GROUP, M.JOURNALS, M.RUNS, M.SIGNALS, M.SOURCES = "workers", "journals", "runs", "to-runs", "sources"
--- Bytes of a run's id, at most: the keys of its signals are longer.
M.LONGEST = 200

--- What the streams of runs begin with.
M.STREAMS = "runs/"

function M.stream(workflow) return M.STREAMS .. workflow end

local engine, opening

--- The engine, opened once.
---@return core.engine
---Raises `argument`, what it is opened with, `cancelled`.
function M.engine()
  while opening do
    local woken, err = host.park("engine", 0.001)
    if woken == nil then error(err, 0) end
  end
  if engine then return engine end
  opening = true
  local _ <close> = setmetatable({}, { __close = function() opening = nil end })
  local url = runs.engine and runs.engine()
  if not url then
    errors.raise("usage", "no engine is set that hosts share their runs by",
      { hint = "--engine postgres://HOST/DATABASE, STOKE_ENGINE, or engine in the settings" })
  end
  engine = errors.check(engines.open(url, { file = runs.place():gsub("[^/]*$", "queue.db") }))
  script.runs = runs.at_end
  return engine
end

--- Close it.
function M.leave()
  local open = engine
  engine = nil
  if open then open:close() end
end

-- ---- what is said of a run ----------------------------------------------------------------------------------------------------

---@class stoke.runs.word how a run stands
---@field v integer
---@field workflow string
---@field state "queued"|"running"|"waiting"|"parked"|"done"|"failed"|"cancelled"
---@field host? string that has it, or had it at its end
---@field waits? string
---@field why? string of a parked one: "in_doubt", "replay", "parked"
---@field result any
---@field error? stoke.error
---@field item? string ends the id of its item: an engine knows ids for ever, and that of a pruned run may be used again
---@field created number by the engine's clock
---@field changed number

--- What is said, as bytes.
---@param word table
---@return string
---Raises `script` for what is no plain data.
function M.text(word)
  word.v = M.VERSION
  local text, err = plain.encode(word, nil, true)
  return text or error(err or errors.new("script", "what is shared with other hosts must be plain data"), 0)
end

--- And back.
---@param text string
---@param what string
---@return table
---Raises `protocol`: a newer stoke wrote it, or nobody of ours.
function M.word(text, what)
  local ok, word = pcall(plain.decode, text)
  if not ok or type(word) ~= "table" or math.type(word.v) ~= "integer" then
    errors.raise("protocol", ("%s in the engine is none that stoke wrote"):format(what))
  end
  if word.v > M.VERSION then
    errors.raise("protocol", ("%s was written by a newer stoke: version %d, this one knows %d"):format(what, word.v, M.VERSION),
      { hint = "give this host the newer stoke" })
  end
  return word
end

--- How a run stands.
---@param id string
---@return stoke.runs.word|nil word nil: there is none
---@return integer revision
---Raises what the engine says.
function M.look(id)
  local found = errors.check(M.engine():kv_get(M.RUNS, id))
  if not found then return nil, 0 end
  return M.word(found.value, "the run " .. id), found.revision
end

local function check_id(id)
  if #id > M.LONGEST or not utf8.len(id) or id:find "\0" then
    errors.argument("the id of a run that is shared with other hosts must be text of at most %d bytes", M.LONGEST)
  end
end

local function known(id)
  local word, revision = M.look(id)
  if not word then
    errors.raise("argument", ("no run has the id %q in the engine %s"):format(id, M.engine().url),
      { hint = "runs that were begun without an engine are in the store of their host: stoke runs" })
  end
  return word, revision
end

local ENDED = { done = true, failed = true, cancelled = true }
M.ENDED = ENDED

-- ---- from outside -------------------------------------------------------------------------------------------------------------

--- Begin a run, on whichever host takes it; nothing is done where there is one with this id.
---@param workflow string
---@param input any plain data
---@param id string
---@param key? string runs of a workflow with the same key are done one after another; default: its id
---Raises `argument`, what the engine says.
function M.start(workflow, input, id, key)
  check_id(id)
  if not runs.defined[workflow] then
    local near = errors.suggest(workflow, ordered.names(runs.defined))
    errors.argument("no workflow %s is defined%s", workflow, near and (" (did you mean %s?)"):format(near) or "")
  end
  local e = M.engine()
  local now = errors.check(e:now())
  local word = { workflow = workflow, state = "queued", created = now, changed = now,
    item = plain.hash(rand.new():bytes(16)):sub(1, 12) }
  if not errors.check(e:kv_swap(M.RUNS, id, M.text(word), 0)) then
    local there = known(id)
    if there.workflow ~= workflow then
      errors.argument("the run %s is one of the workflow %s, not of %s", id, there.workflow, workflow)
    end
    if there.state ~= "queued" then return end
    word = there
  end
  local item = { id = ("%s %s"):format(id, word.item), key = key or id, v = engines.PROTOCOL,
    value = M.text { input = input, created = now } }
  errors.check(e:publish(M.stream(workflow), { item }))
end

--- The run of an item.
---@param item string its id
---@return string id
function M.run_of(item) return (item:match "^(.*) [^ ]*$") end

local awaited = {} -- id -> tasks that wait for news of it
local watcher -- { task, prefix, since }: what hears of those
local watched -- the last prefix: the next one is no longer, as engines keep a reader for each
local told_of_none

local function wake(id)
  local list = awaited[id]
  awaited[id] = nil
  for _, task in ipairs(list or {}) do tasks.wake(task) end
end

--- Seconds for which changes are waited for at once.
local WATCH <const> = 20

--- The task that hears of runs whose ids begin alike.
local function watch(own)
  local pause = 0.1
  while watcher == own and next(awaited) and engine do
    local list, err = engine:kv_watch(M.RUNS, own.prefix, own.since, WATCH)
    if list then
      pause = 0.1
      for _, change in ipairs(list) do
        own.since = math.max(own.since, change.revision)
        wake(change.key)
      end
    else
      if err.kind == "cancelled" or host.park("engine", pause) == nil then break end
      pause = math.min(pause * 2, 5)
    end
  end
  if watcher ~= own then return end
  watcher = nil
  for id in next, awaited do wake(id) end -- they look, and watch anew
end

--- What two texts begin with, both.
local function common(a, b)
  local n = 0
  while n < #a and a:byte(n + 1) == b:byte(n + 1) do n = n + 1 end
  while n > 0 and n < #a and a:byte(n + 1) & 0xC0 == 0x80 do n = n - 1 end -- a whole character
  return a:sub(1, n)
end

--- Hear of a run, too: of what was said after a revision. What is watched is what the ids of all that are awaited begin with, so
--- that who waits for one run reads no results of others.
local function hear(id, since)
  local before = watcher
  local prefix = watched and common(watched, id) or id
  if before and prefix == before.prefix then return end
  watched = prefix
  watcher = { prefix = prefix, since = before and math.min(before.since, since) or since }
  if before then before.task:cancel "more is watched" end
  watcher.task = tasks.spawn(watch, { system = true, name = "engine" }, watcher)
end

local function parked(id, word)
  local kind = word.why == "in_doubt" and "in_doubt" or "parked"
  return errors.new(kind, ("run %s is parked on the host %s: %s"):format(id, word.host or "?", word.waits or "without a reason"),
    { hint = kind == "in_doubt" and "look whether it was done, then say so on that host: stoke resolve " .. id or nil })
end

--- Nobody takes it: that is said once.
local function tell_of_none(id, word)
  if told_of_none then return end
  told_of_none = true
  scopes.tell(("run %s waits for a host that takes runs of %s: stoke worker FILE is one, stoke hosts lists them"):format(id,
    word.workflow))
end

--- Wait until a run has ended, whichever host has it.
---@param id string
---@param patient? boolean also where it is parked: a person may say something
---@return { state: string, result: any, error?: stoke.error }|nil
---@return stoke.error|nil err kind `cancelled`; `parked`, `in_doubt`
---Raises `argument`, what the engine says.
function M.await(id, patient)
  local waited
  while true do
    local me = tasks.current()
    local list = awaited[id] or {}
    awaited[id], list[#list + 1] = list, me
    local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore
      for i, task in ipairs(list) do
        if task == me then table.remove(list, i) break end
      end
      if not list[1] and awaited[id] == list then awaited[id] = nil end
    end })
    local word, revision = known(id)
    if ENDED[word.state] then return { state = word.state, result = word.result, error = word.error } end
    if word.state == "parked" and not patient then return nil, parked(id, word) end
    if waited and word.state == "queued" then tell_of_none(id, word) end
    hear(id, revision)
    local woken, err = host.park("run " .. id, WATCH)
    if woken == nil then return nil, err end
    waited = woken == false
  end
end

--- How a run stands, as `run:status()` gives it.
---@param id string
---@return table
---Raises `argument`, what the engine says.
function M.status(id)
  local word = known(id)
  return { id = id, workflow = word.workflow, state = word.state, waits = word.waits, host = word.host, created = word.created,
    changed = word.changed, result = word.result, error = word.error, calls = word.calls or 0, tokens = word.tokens or 0 }
end

--- Send a signal to a run, whichever host has it. The engine has it when this returns.
---@param id string
---@param name string
---@param value any plain data
---@param once? string a second signal with the same text is none
---Raises `argument`, what the engine says.
function M.signal(id, name, value, once)
  local word = known(id)
  if ENDED[word.state] then return end
  local e = M.engine()
  local own = once and hash.sha256(once):sub(1, 24) or plain.hash(rand.new():bytes(16))
  errors.check(e:kv_swap(M.SIGNALS, ("%s/%s"):format(id, own), M.text { name = name, value = value }, 0))
end

--- Cancel a run, whichever host has it; one that nobody has ends when a host takes it.
---@param id string
---Raises `argument`, what the engine says.
function M.cancel(id) M.signal(id, mail.CANCEL, nil, "cancel") end

runs.shared = M

return M
