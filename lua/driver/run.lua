--- Effects of durable runs: step, and what a run may do with others and with what reaches it from outside: run.signal, run.start,
--- run.await, run.status, run.send, run.cancel, run.patched.

local effect = require "core.effect"
local coro = require "core.coro"
local errors = require "core.errors"
local hash = require "core.hash"
local host = require "host.task"
local journals = require "core.journal"
local mail = require "core.runs.mail"
local runs = require "core.runs"
local scopes = require "core.scope"
local wall = require "host.time".wall

local M = {}

local xpcall, handler = coro.raw_xpcall, coro.handler

--- f, with what it raises as a second result.
local function told(f, ...)
  local task = host.current()
  local unwinding = task.unwinding
  local ok, value = xpcall(f, handler, ...)
  if ok then return value end
  scopes.go_on(task, unwinding)
  return nil, errors.wrap(value)
end

-- ---- steps --------------------------------------------------------------------------------------------------------------------

local FIRST <const>, LONGEST <const> = 0.5, 30 -- seconds between two attempts

local function attempt(work, q, call)
  local row = call and call.row
  local scope <close> = scopes.open { site = row and row.where or host.site() }
  local journal, key = call and call.context.journal, call and call.key
  local value = work.f(key and journal:with_key({ name = q.name }, key) or { name = q.name })
  if scope.first then scope:wait() end
  return value
end

effect.define("step", { class = function(q) return q.idempotent and "idempotent" or "unsafe" end, metered = true,
  repeats = true, reconcile = function(_, call) return call.work.reconcile end,
  label = function(q) return "step " .. q.name end,
  run = function(q, call, work)
    local pause = FIRST
    for i = 1, q.attempts or 1 do
      local value, err = told(attempt, work, q, call)
      if err == nil then return value end
      if err.kind == "cancelled" or i == (q.attempts or 1) then return nil, err end
      local woken, stopped = host.park("step", pause)
      if woken == nil then return nil, stopped end
      pause = math.min(pause * 2, LONGEST)
    end
  end })

-- ---- from outside -------------------------------------------------------------------------------------------------------------

local function entry_of(call, what)
  if call and call.context.inside then
    return nil, errors.new("argument", what .. ": a step or a tool takes no signal; wait for it in the run itself")
  end
  local journal = call and call.context.journal
  local entry = journal and journal.entry
  if entry then return entry, journal end
  return nil, errors.new("argument", what .. ": signals reach durable runs alone", { hint = "stoke.workflow defines one" })
end

effect.define("run.signal", { class = "pure", lasting = true, run = function(q, call)
  local entry, journal = entry_of(call, "stoke.signal")
  if not entry then return nil, journal end
  local goes_on = journal:waits_for("signal " .. q.name)
  local signal, err = mail.wait(entry, q.name, q.timeout and (call.since or wall()) + q.timeout)
  goes_on()
  if err then return nil, err end
  if journal.log then journal.log:taken(signal, call.row) end
  return { value = signal.value }
end })

--- What is asked where hosts share their runs; nil: this host has all of them. Runs that the store knows as its own are.
local function elsewhere(id)
  if not (runs.engine and runs.engine()) then return nil end
  local store = id and runs.find_store() and runs.open()
  local own = store and store:find(id) or nil
  return not (own and not own.shared) and require "core.runs.shared" or nil
end

--- The id of a run that another one starts: the same each time this is done.
local function child_id(call)
  local journal = call and call.context.journal
  if not journal or not call.key then return runs.new_id() end
  return hash.sha256(("child\n%s\n%s"):format(journal.run_id or journal.id, call.key)):sub(1, 16)
end

effect.define("run.start", { class = "idempotent", repeats = true, keyed = "commit", run = function(q, call)
  return told(function()
    local id = q.id or child_id(call)
    local far = elsewhere(id)
    if far then far.start(q.workflow, q.input, id) else runs.start(q.workflow, q.input, id) end
    return id
  end)
end })

--- A run that awaits one which is parked is parked, too: that is no outcome, and it goes on when the other one does.
local function park_with(journal, id, err)
  local why = err.message:gsub("^run .- is parked: ", ""):gsub("^in doubt: ", "")
  local parked = errors.new("parked", ("it waits for run %s, which is %s: %s"):format(id,
    err.kind == "in_doubt" and "in doubt" or "parked", why), { hint = err.hint, cause = err, awaits = id })
  journal:stop(parked)
  return parked
end

effect.define("run.await", { class = "pure", run = function(q, call)
  local journal = call and call.context.journal
  local goes_on = journal and journal:waits_for("run " .. q.id)
  local ended, err = told(function()
    local far = elsewhere(q.id)
    return errors.check((far or runs).await(q.id, journal ~= nil)) -- in a run: until it has ended, whoever has to say something
  end)
  if goes_on then goes_on() end
  if err and journal and journal.log and (err.kind == "parked" or err.kind == "in_doubt") then
    return nil, park_with(journal, q.id, err)
  end
  return ended, err
end })

local SHOWN = { "id", "workflow", "state", "waits", "created", "changed", "input", "result", "error", "calls", "tokens" }

effect.define("run.status", { class = "pure", run = function(q)
  return told(function()
    local far = elsewhere(q.id)
    if far then return far.status(q.id) end
    local run, shown = runs.find(q.id), {}
    for _, name in ipairs(SHOWN) do shown[name] = run[name] end
    return shown
  end)
end })

effect.define("run.send", { class = "idempotent", repeats = true, keyed = "commit", run = function(q, call)
  return told(function()
    local journal, far = call and call.context.journal, elsewhere(q.id)
    local once = journal and call.key and journal:idempotency(call.key) or nil;
    (far or runs).signal(q.id, q.name, q.value, once)
    return true
  end)
end })

effect.define("run.cancel", { class = "idempotent", repeats = true, run = function(q)
  return told(function()
    (elsewhere(q.id) or runs).cancel(q.id)
    return true
  end)
end })

effect.define("run.patched", { class = "pure", quiet = true, run = function() return true end,
  older = function() return false end })

--- Is the running code that of a run which was begun with this patch? The same answer in a run each time.
---@param name string
---@return boolean
function M.patched(name)
  local journal = journals.visible()
  if not journal then return true end
  journal.patches = journal.patches or {}
  local known = journal.patches[name]
  if known == nil then
    known = errors.check(effect.perform("run.patched", { name = name }))
    journal.patches[name] = known
  end
  return known
end

return M
