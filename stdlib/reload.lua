--- Hot reload: replaces the code of a running script when its files change, and keeps its state.
---
--- `stoke run --watch FILE` reloads automatically; `stoke.reload` is the interface for the prompt and for programs. The contract:
---
--- Watched files: the script, and every module that `require` found in a Lua file (not stoke.*, not C modules). A file whose text
--- is unchanged is not reloaded. Modules that depend on a reloaded file are not reloaded: they see the new code through the same
--- module table. A module with `local score = lib.score` keeps the old function until it is reloaded itself.
---
--- When: 100 ms after the last change. The new text is compiled and its body runs with effects disabled. Bodies define; work
--- belongs in stoke.main or in functions that are called later. A body that performs an effect (a file, a model, a program, a
--- random number, a wait, a task), or runs for half a second, makes the reload fail. It may read the environment and the clock.
--- stoke.channel, stoke.agent, stoke.tool, stoke.every, stoke.main, stoke.state, stoke.policy and require are no effects, and what
--- a body prints or logs is written. Under watch, such an effect is also reported when the file is first loaded.
---
--- When it fails (a syntax error, an error in the body, a half written file, an effect, another type of module value, a script
--- without its stoke.main, a second agent of a name), one message says where, and the old code goes on. All files that have
--- changed are taken together: all of them or none.
---
--- When it works, the new code is there between two turns of all tasks:
---   - the module's table stays the same table, with the new fields instead of the old ones, so every module that
---     required it has the new code;
---   - agents and tools a body makes are known by their names: the old objects get the new definitions, so sessions, handoffs and
---     lists of tools go on with them. A turn that has begun ends with the definition it began with. Agents without a name, and
---     what functions make later, are not reloaded;
---   - timers of stoke.every go on by their names with the new function; one that its file no longer names ends;
---   - stoke.main is not called again while it runs; under --watch it is, once it has ended;
---   - functions that run finish with the old code.
---
--- Durable runs that live are replayed against the new code before it is taken, in globals of their own and without effects; the
--- report says how many ask the same. Those of a workflow with code = "latest" that do take it, each when nothing of it is at work.
--- All others go on on the sources they have, loaded apart.
---
--- What goes on: sessions, stoke.state tables, channels, servers, approvals, queues, model slots. What a body keeps in its own
--- locals and module fields is new with each version: keep it in stoke.state. Streams and tasks belong to the functions that opened
--- them, not to a version of a file: they go on, unless the file ends them.
---
--- A module may have on_reload(old), called after the swap with a copy of the old fields, and on_dispose(), called on that copy
--- when it is dropped. An error in them is reported and undoes nothing. Each has five seconds.

local core = require "core.reload"
local effect = require "core.effect"
local errors = require "core.errors"
local modules = require "core.modules"
local ordered = require "core.ordered"
local scopes = require "core.scope"
local stdio = require "core.stdio"
local tasks = require "core.task"
local agent = require "stoke.agent"
local changes = require "stoke.reload.changes"
local stoke = require "stoke"
require "core.driver.watch"

local M = {}

--- Seconds without a change before files are reloaded.
---@private
M.SETTLE = 0.1

--- Seconds that a file may be missing before this is reported.
---@private
M.GONE = 0.5

--- Time limit of on_reload and on_dispose, in seconds.
---@private
M.HOOK = 5

---@class stoke.reload.report
---@field files string[] paths of what was, or should have been, reloaded
---@field lines string[] what changed, a line each; what failed on the way without stopping it
---@field err? stoke.error why nothing was reloaded
---@field watched? boolean it came of watching

local listeners = {}

--- Call a function after every attempted reload.
---@param f fun(report: stoke.reload.report)
---@return function stop removes `f` again
---
--- Example: `local stop = reload.on_change(function(report) print(table.concat(report.lines, "\n")) end)`
function M.on_change(f)
  if not errors.callable(f) then errors.argument("reload.on_change: a function expected, got %s", type(f)) end
  local entry = { f = f }
  listeners[#listeners + 1] = entry
  return function()
    for i = #listeners, 1, -1 do
      if listeners[i] == entry then table.remove(listeners, i) end
    end
  end
end

--- A report as lines of text.
---@private
---@param report stoke.reload.report
---@return string
---
--- Example: `io.stderr:write(reload.text(report))`
function M.text(report)
  local lines = {}
  for _, line in ipairs(report.lines) do lines[#lines + 1] = "stoke: " .. line end
  if report.err then
    lines[#lines + 1] = ("stoke: not reloaded: %s; the old code goes on"):format(report.err.message)
    if report.err.hint then lines[#lines + 1] = "  hint: " .. report.err.hint end
  end
  return #lines > 0 and table.concat(lines, "\n") .. "\n" or ""
end

local function tell(report)
  if not listeners[1] and report.watched then stdio.err(M.text(report)) end
  for _, entry in ipairs(table.move(listeners, 1, #listeners, 1, {})) do
    local _, err = stoke.try(entry.f, report)
    if err then stdio.err(("stoke: reload.on_change: %s\n"):format(tostring(err))) end
  end
end

-- ---- one reload ----------------------------------------------------------------------------------------------------------------

local lock = stoke.semaphore(1)

--- Missing files are reported once, until they are back.
local function note_unreadable(unreadable, report)
  for _, file in ipairs(modules.list) do
    local err = unreadable[file]
    if err and not file.gone then
      report.files[#report.files + 1] = file.path
      report.lines[#report.lines + 1] = ("%s; the old code of %s goes on"):format(err.message, file.path)
    end
    file.gone = err ~= nil
  end
end

--- All that failed before and has not changed since?
local function known_to_fail(jobs)
  for _, job in ipairs(jobs) do
    if job.file.failed ~= job.text then return false end
  end
  return true
end

local function compile(jobs)
  for _, job in ipairs(jobs) do
    local err
    job.chunk, err = core.compile(job.file, job.text)
    if err then return nil, err end
  end
  return true
end

local function call_hook(f, name, job, report, ...)
  if type(f) ~= "function" then return end
  local _, err = stoke.try(stoke.timeout, M.HOOK, f, ...)
  if err then report.lines[#report.lines + 1] = ("%s: %s failed: %s"):format(job.file.path, name, tostring(err)) end
end

local function call_hooks(change, report)
  for _, job in ipairs(change.jobs) do
    local value, old = job.file.value, job.old
    if old and type(value) == "table" then
      call_hook(rawget(value, "on_reload"), "on_reload", job, report, old)
      call_hook(old.on_dispose, "on_dispose", job, report)
    end
  end
end

local function put_into_force(jobs, report)
  local ok, err = compile(jobs)
  local change, checked
  local runs = modules.runs
  if ok and runs then checked = runs.check(jobs, core.isolated) end
  if ok then change, err = core.run(jobs) end
  if not change then
    for _, job in ipairs(jobs) do job.file.failed = job.text end
    report.err = err
    return
  end
  agent.refresh(change.changed) -- nothing has waited since the swap
  for _, job in ipairs(jobs) do
    job.file.failed = nil
    report.lines[#report.lines + 1] = ("reloaded %s: %s"):format(job.file.path, changes.words(change, job))
  end
  if runs then
    runs.forget(change)
    if checked then table.move(runs.apply(checked), 1, 2, #report.lines + 1, report.lines) end
  end
  call_hooks(change, report)
end

--- Reload what has changed; nil when nothing has.
local function attempt(force, watched)
  local report = { files = {}, lines = {}, watched = watched }
  do
    local _ <close> = lock:acquire()
    local jobs, unreadable = core.stale(force)
    note_unreadable(unreadable, report)
    if jobs[1] and (force or not watched or not known_to_fail(jobs)) then
      for _, job in ipairs(jobs) do report.files[#report.files + 1] = job.file.path end
      put_into_force(jobs, report)
    end
  end
  if not report.files[1] then return nil end
  tell(report)
  return report
end

local function raise_failure(report)
  if report and report.err then error(report.err, 0) end
  return report or { files = {}, lines = {} }
end

--- Reload every file whose text has changed.
---@return stoke.reload.report
---Raises `script` when the new code does not work; the old code goes on.
---
--- Example: `for _, line in ipairs(reload.all().lines) do print(line) end`
function M.all() return raise_failure(attempt()) end

local function names()
  local list = {}
  for _, file in ipairs(modules.list) do list[#list + 1] = file.name or file.path end
  return list
end

--- Reload one module, even when its text has not changed, together with all files that have.
---@param name string the name in `require`; for the script its path
---@return stoke.reload.report
---Raises `script` when the new code does not work, `argument` for a module that was not loaded from a file, `os`.
---
--- Example: `reload.module "writer"`
function M.module(name)
  local file = modules.by_name[name] or modules.by_path[name]
  if not file then
    local near = type(name) == "string" and errors.suggest(name, names())
    local called = type(name) == "string" and ("%q"):format(name) or errors.describe(name)
    errors.argument("no module %s was loaded from a file%s", called,
      near and (" (did you mean %s?)"):format(near) or "")
  end
  if not stoke.fs.stat(file.path) then errors.raise("os", ("%s is gone"):format(file.path)) end
  return raise_failure(attempt { [file] = true })
end

--- The watched files, in the order they were loaded.
---@return { name?: string, path: string, requires: string[] }[] requires: modules that its body required
---
--- Example: `for _, file in ipairs(reload.files()) do print(file.path) end`
function M.files()
  local out = {}
  for i, file in ipairs(modules.list) do
    out[i] = { name = file.name, path = file.path, requires = ordered.names(file.requires) }
  end
  return out
end

-- ---- watching ------------------------------------------------------------------------------------------------------------------

local watcher

local function open_stream()
  local paths = {}
  for i, file in ipairs(modules.list) do paths[i] = file.path end
  if not paths[1] then return nil end
  return errors.check(effect.perform("fs.watch", { paths = paths }))
end

--- Is there anything to do? False also for what is known to fail. And is a file missing that was there before?
local function look()
  local jobs, unreadable = core.stale()
  local missing = false
  for file in next, unreadable do missing = missing or not file.gone end
  return missing or jobs[1] ~= nil and not known_to_fail(jobs), missing
end

--- Wait until no file changes for a while; longer for one that is gone, because it may be on its way back.
local function settle(stream)
  local seconds = M.SETTLE
  while true do
    local path, err = stream:next(seconds)
    if err then error(err, 0) end
    if path == nil then return end -- the stream was closed: there are more files
    if not path then
      if seconds == M.GONE or not select(2, look()) then return end
      seconds = M.GONE
    end
  end
end

local function watch(self)
  modules.listener = function()
    if self.stream then self.stream:close() end -- it is opened anew, with the new file
    if self.idle then tasks.wake(self.task) end
  end
  while not self.stopped do
    self.stream = open_stream()
    if not self.stream then
      self.idle = true
      tasks.park("reload: no file is loaded")
      self.idle = nil
    else
      if not look() then -- else something has changed while nobody watched
        local _, err = self.stream:next()
        if err then error(err, 0) end
      end
      if not self.stream.ended then
        settle(self.stream)
        self.stream:close()
        attempt(nil, true)
      end
    end
  end
end

-- Reports the first effect of each body while it loads; otherwise only its reload would fail, later.
local function tell_effects()
  local told = {}
  local function notice(label)
    local file = modules.body()
    if not file or modules.change or told[file.path] then return end
    if label and label:find "^require " or tasks.current().finding then return end
    told[file.path] = true
    local err = core.effect_error()
    stdio.err(("stoke: warning: %s; with it the file cannot be reloaded\n  hint: %s\n"):format(err.message, err.hint))
  end
  effect.on_perform(notice)
  scopes.on_wait(notice)
  modules.on_spawn = notice
end

local function tell_no_effects()
  effect.on_perform(nil)
  scopes.on_wait(nil)
  modules.on_spawn = nil
end

--- Watch the files and reload what changes, until watching is switched off. Without reload.on_change, reports go to standard
--- error. The watch belongs to the host, not to the caller.
---@param on boolean
---
--- Example: `reload.watch(true)`
function M.watch(on)
  if type(on) ~= "boolean" then errors.argument("reload.watch: true or false expected, got %s", errors.describe(on)) end
  if on == (watcher ~= nil) then return end
  if not on then
    local old = watcher
    watcher, modules.listener = nil, nil
    tell_no_effects()
    old.stopped = true
    old.task:cancel "watching was switched off"
    return
  end
  local self = {}
  watcher = self
  tell_effects()
  self.task = tasks.spawn(function() watch(self) end, { system = true, name = "reload" })
  function self.task.on_error(_, err)
    if watcher == self then
      watcher, modules.listener = nil, nil
      tell_no_effects()
    end
    stdio.err(("stoke: the files are not watched any more: %s\n"):format(tostring(err)))
  end
end

return M
