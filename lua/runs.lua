--- Durable runs: workflows by name, and their runs, which are recorded in a store and continue after the end of their process.
---
--- A run is a task of the host, not of the task that started it. Only one process has it at a time: the one that holds its kernel
--- lock, which ends with the process. Other processes reach the run through the store.

local changes = require "core.runs.change"
local code = require "core.runs.code"
local errors = require "core.errors"
local fs = require "host.fs"
local host = require "host.task"
local journals = require "core.journal"
local lives = require "core.runs.live"
local modules = require "core.modules"
local mail = require "core.runs.mail"
local ordered = require "core.ordered"
local rand = require "host.rand"
local script = require "core.script"
local stdio = require "core.stdio"
local stores = require "core.store"
local tasks = require "core.task"
local testbed = require "core.testbed"

local M = { live = lives.live, typed = lives.typed, seen = lives.seen }

---@class stoke.runs.workflow
---@field name string
---@field f function
---@field prepare? fun(store: stoke.store, run: stoke.store.run, given?: any): any, stoke.error? makes what its function gets beside
---  the input, before the run begins or is done again: the same each time
---@field finish? fun(log: stoke.store.log, entry: stoke.runs.live, state: string, err?: stoke.error): stoke.error? adds to the
---  commit of a run's end
---@field latest? boolean its runs continue on the loaded code instead of their own

---@type table<string, stoke.runs.workflow>
M.defined = {}

-- ---- the store ----------------------------------------------------------------------------------------------------------------

--- The path of the store from the settings; stdlib sets this function.
---@type fun(): string|nil
M.setting = nil

--- The URL of the engine by which hosts share their runs (lua/runs/shared.lua), from the settings; nil: runs are this host's alone.
--- stdlib sets this function.
---@type fun(): string|nil
M.engine = nil

local store, opening

--- The store of this process, where it is open.
---@return stoke.store|nil
function M.store() return store end

local function places(path)
  local chosen = path or M.setting and M.setting()
  if chosen then return { chosen } end
  local own = script.path and script.path ~= "-" and stores.path(script.path) or nil
  local near, home = own or stores.path "./x", stores.path()
  return near == home and { near } or { near, home }
end

--- The file of the store, whether or not it exists.
---@return string
function M.place() return places()[1] end

--- The file of the store, if it exists; creates nothing.
---@param path? string
---@return string|nil path
---@return string[] tried
function M.find_store(path)
  local tried = places(path)
  for _, place in ipairs(tried) do
    local stat = fs.stat(place)
    if stat and stat.type == "file" then return place, tried end
  end
  return nil, tried
end

--- Is the file there that M.open would open? Another one that commands look at as well, the user's, is not this script's.
local function own_is_there()
  local stat = fs.stat(places()[1])
  return stat ~= nil and stat.type == "file"
end

--- Open the store of this process, or return it where it is open.
---@param path? string
---@return stoke.store
---Raises `db`, `cancelled`.
function M.open(path)
  while opening do
    local woken, err = host.park("store", 0.001)
    if woken == nil then error(err, 0) end
  end
  if store then return store end
  opening = true
  local _ <close> = setmetatable({}, { __close = function() opening = nil end })
  if not path and testbed.closed and not (M.setting and M.setting()) then path = ":memory:" end
  local chosen = path or places()[1]
  local opened, err = stores.open(chosen)
  if not opened then error(err, 0) end
  store = opened
  script.runs = M.at_end
  return store
end

local resuming -- the task that takes up what was left

--- Give all runs up, and close the store.
function M.leave()
  local taking_up = resuming
  if taking_up then
    taking_up:cancel()
    pcall(taking_up.await, taking_up)
  end
  local given_up = lives.suspend_all()
  if M.others then M.others.leave() end
  if M.shared then M.shared.leave() end
  mail.stop()
  local open = store
  store = nil
  for id in next, lives.parked do lives.parked[id] = nil end
  if open then open:close() end
  return given_up
end

--- Wait until all runs of this process have ended or are parked.
---Raises `cancelled`.
function M.wait_for_all()
  if resuming then resuming:await() end
  while true do
    local _, entry = next(lives.live)
    local task = not entry and M.others and M.others.at_work()
    if not entry and not task then return end
    if entry then errors.check(true, lives.wait(entry)) else task:await() end
  end
end

--- What goes on beside the runs (lua/runs/actors.lua): { resume = fun(), at_work = fun(): stoke.task?, leave = fun() }.
M.others = nil

--- Runs that hosts share, where there are some (lua/runs/shared.lua): { leave = fun() }.
M.shared = nil

-- ---- workflows ----------------------------------------------------------------------------------------------------------------

--- What the script's end needs of its runs.
M.at_end = { leave = M.leave, wait = M.wait_for_all }

--- Resume the unfinished runs of the defined workflows that no process has.
function M.resume_all()
  if resuming or not next(M.defined) then return end
  if not store and not own_is_there() then return end
  script.runs = M.at_end
  resuming = tasks.spawn(function()
    local ok, err = pcall(function()
      local names, open = M.defined, M.open()
      local list = errors.check(open:list { state = { "running", "waiting", "parked" } })
      for i = #list, 1, -1 do
        if store ~= open then return end
        local own = not list[i].shared and not list[i].workflow:find "^main:" -- those are stoke run --durable's
        local definition = own and names[list[i].workflow]
        if definition and (list[i].state ~= "parked" or M.may_go_on(list[i])) then lives.begin(open, list[i], definition) end
      end
      if M.others then M.others.resume() end
    end)
    resuming = nil
    if ok or not store or lives.stopping or errors.wrap(err).kind == "cancelled" then return end -- else the process ends
    stdio.err(("stoke: unfinished runs cannot be resumed: %s\n"):format(tostring(err)))
  end, { name = "resume" })
end

--- Can a parked run be resumed? One in doubt only after somebody has said what happened.
---@param run stoke.store.run
---@return boolean
function M.may_go_on(run)
  if not store then return false end
  if lives.kind_of(run) ~= "in_doubt" then return true end
  local said = store:resolutions(run.id)
  return said ~= nil and said[1] ~= nil
end

--- Define a workflow.
---@param name string
---@param f function
---@param options? { code?: "own"|"latest", prepare?: function, finish?: function }
---@return stoke.runs.workflow
function M.define(name, f, options)
  options = options or {}
  local definition = { name = name, f = f, latest = options.code == "latest" or nil, prepare = options.prepare,
    finish = options.finish }
  local box = code.box()
  if box then
    box.workflows[name] = definition
    return definition
  end
  if not definition.prepare then modules.made("workflow", name, definition) end
  modules.commit(function() M.defined[name] = definition end) -- a reload that fails leaves the old one
  if modules.change then return definition end
  if modules.body() then script.after_body = M.resume_all else M.resume_all() end
  return definition
end

--- What a reload needs of the runs; see lua/runs/change.lua.
modules.runs = {
  check = changes.check,
  apply = function(checked) return changes.apply(checked, M.defined) end,
  forget = function(change) changes.forget(change, M.defined) end,
}

local function workflow(name)
  local definition = M.defined[name]
  if definition then return definition end
  local near = errors.suggest(tostring(name), ordered.names(M.defined))
  errors.argument("no workflow %s is defined%s", tostring(name), near and (" (did you mean %s?)"):format(near) or "")
end

-- ---- runs ---------------------------------------------------------------------------------------------------------------------

--- An id for a run that has none: random, so that it cannot be guessed.
---@return string
function M.new_id()
  local id = rand.new():bytes(8):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return id
end

--- Begin a run, or take up the one with this id.
---@param name string of the workflow
---@param input any
---@param id string
---@param definition? stoke.runs.workflow default: the one of this name
---@return stoke.store.run run
---@return boolean existed
---Raises `argument`, `db`.
function M.start(name, input, id, definition)
  definition = definition or workflow(name)
  local open = M.open()
  local run, existed = open:create { id = id, workflow = name, input = input }
  if not run then error(existed, 0) end
  if run.workflow ~= name then
    local function of(named)
      local file = named:match "^main:(.*)$"
      return file and "the script " .. file or "the workflow " .. named
    end
    errors.argument("the run %s is one of %s, not of %s", id, of(run.workflow), of(name))
  end
  if not lives.ENDED[run.state] and (run.state ~= "parked" or M.may_go_on(run)) then
    local _, err = lives.begin(open, run, definition)
    if err then error(err, 0) end
  end
  return run, existed
end

--- Has a run ended?
---@param run stoke.store.run
---@return boolean
function M.ended(run) return lives.ENDED[run.state] ~= nil end

--- A run by its id.
---@param id string
---@return stoke.store.run
---Raises `argument` where there is none, `db`.
function M.find(id)
  local run, err = M.open():find(id)
  if err then error(err, 0) end
  return run and lives.seen(M.open(), run) or errors.argument("no run has the id %q", id)
end

local function told(state, result, err) return { state = state, result = result, error = err } end

local function doubt_or_park(run)
  local kind = lives.kind_of(run)
  return errors.new(kind, ("run %s is parked: %s"):format(run.id, run.waits or "without a reason"),
    { hint = kind == "in_doubt" and lives.hint(run) or nil })
end

--- Wait until a run has ended, whichever process has it.
---@param id string
---@return { state: string, result: any, error?: stoke.error }|nil
---@return stoke.error|nil err kind `cancelled`; `parked` or `in_doubt`, where it goes no further by itself
function M.await(id)
  while true do
    local entry = lives.live[id]
    if entry then
      local err = lives.wait(entry)
      if err then return nil, err end
      if entry.ended then return entry.ended end
      if entry.parked and not entry.retries then return nil, entry.parked end
    end
    local run, err = M.open():find(id)
    if err then return nil, err end
    if not run then return nil, errors.new("argument", ("no run has the id %q"):format(id)) end
    if lives.ENDED[run.state] then return told(run.state, run.result, run.error) end
    local parked = lives.parked[id]
    if parked and not parked.retries then lives.parked[id] = nil end
    if run.state == "parked" and not M.may_go_on(run) then return nil, doubt_or_park(run) end
    local definition = M.defined[run.workflow]
    local taken
    local free = run.state ~= "parked" or M.may_go_on(run) -- else, or with a full disk, it is taken up elsewhere
    if definition and free and not lives.parked[id] then
      taken, err = lives.begin(M.open(), run, definition)
      if err then return nil, err end
    end
    if not taken then
      local woken, failed = host.park("run " .. id, mail.INTERVAL)
      if woken == nil then return nil, failed end
    end
  end
end

--- Send a signal to a run, whichever process has it. It is on the disk when this returns.
---@param id string
---@param name string
---@param value any plain data
---@param once? string
---Raises `argument`, `db`.
function M.signal(id, name, value, once)
  local open = M.open()
  local sent, err = open:signal(id, name, value, once)
  if err then error(err, 0) end
  local entry = lives.live[id]
  if sent and entry then mail.read(entry) end
end

--- Something was written to the store for a run by this process: what is new reaches it, and one that is parked is tried again.
---@param id string
function M.told(id)
  local entry, parked = lives.live[id], lives.parked[id]
  if entry then mail.read(entry) elseif parked then lives.again(parked) end
end

--- Cancel a run, whichever process has it.
---@param id string
---Raises `argument`, `db`.
function M.cancel(id)
  local run = M.find(id)
  if lives.ENDED[run.state] then return end
  M.signal(id, mail.CANCEL, nil)
  local open = M.open()
  if lives.live[id] or M.defined[run.workflow] and lives.begin(open, run, M.defined[run.workflow]) then return end
  if open:claim(run) ~= true then return end -- who has it is told
  local log = open:log(run)
  if log then
    log:finish("cancelled", nil, errors.new("cancelled", "the run was cancelled"))
    log:barrier()
  end
  open:release(run)
end

--- Take a run up and wait for its end: of a workflow that is defined here, or on its own sources.
---@param id string
---@return any result
---Raises what it ends with; `parked`, `in_doubt`; `argument`.
function M.resume(id)
  local run = M.find(id)
  if not lives.ENDED[run.state] then
    local entry, err = lives.begin(M.open(), run, M.defined[run.workflow])
    if err then error(err, 0) end
    if not entry then
      errors.raise("parked", ("run %s: another process has it"):format(id), { hint = "stoke ps lists the hosts" })
    end
  end
  local ended, err = M.await(id)
  if err then error(err, 0) end
  if ended.error then error(ended.error, 0) end
  return ended.result
end

-- ---- a replay that does nothing -------------------------------------------------------------------------------------------------

--- Repeat a run from its journal, on its own sources. No effect is performed; the replay stops where the journal ends.
---@param from stoke.store
---@param run stoke.store.run
---@param options? { to?: integer, on_given?: fun(row: table), print?: fun(fd: integer, text: string) }
---@return { n: integer, err?: stoke.error } results an error with `ends`: the journal ends there
---@return stoke.journal
---Raises `parked`, `db`.
function M.replay(from, run, options)
  options = options or {}
  local parts, err = from:load(run, options.to)
  if not parts then error(err, 0) end
  local f, load, definition = code.of(run, M.defined[run.workflow], parts.sources)
  if not f then error(load, 0) end
  local prepared
  if definition and definition.prepare then
    prepared, err = definition.prepare(from, run)
    if err then error(err, 0) end
  end
  parts.printed = 0
  local journal = journals.new { id = run.seed, run_id = run.id, kept = parts, require = load, closed = true,
    print = options.print or function() end }
  journal.on_given = options.on_given
  return journal:run(f, run.input, prepared), journal
end

return M
