--- Reloads changed files: runs their bodies again in isolation and replaces the old code by the new, all or nothing.
---
--- Everything happens in one slice of the current task. Other tasks see the old code before it and the new code after it.
---   - Bodies run without effects: in a scope that is already cancelled, where nothing can wait. An effect fails the change (except
---     reading the environment and the clock), and so does a body that runs longer than LIMIT.
---   - When a body creates a named object (agent, tool, timer), it gets the previous version's object, updated in place, so
---     existing references stay valid. Each such step registers its undo in the change.
---   - Tables that a body may write to directly (the globals, the modules' own tables) are copied first, and restored if the change
---     fails.
---   - The contents of a module's new table are copied into its old table. A walk through the new functions replaces references to
---     the new table by the old one (lua/reload/patch.lua). So a module has one table, however often it is reloaded.
---   - `require` of a module that is not loaded yet aborts and rolls back the attempt. The file is then searched with effects
---     allowed, and the bodies run once more.

local host = require "host.task"
local effect = require "core.effect"
local env = require "core.env"
local errors = require "core.errors"
local modules = require "core.modules"
local patch = require "core.reload.patch"
local raw_xpcall = require "core.coro".raw_xpcall
local scopes = require "core.scope"
local script = require "core.script"
local source = require "core.source"

local M = {}

--- Limit of processor time for the bodies, in seconds.
M.LIMIT = 0.5

local STANDARD = { "string", "table", "utf8", "math", "os", "io", "coroutine", "debug", "package" }
local MISSING = setmetatable({}, { __tostring = function() return "a module has to be loaded first" end })

-- ---- the text ---------------------------------------------------------------------------------------------------------------

local function bad(format, ...) return nil, errors.new("script", format:format(...)) end

local function line_of(text, position)
  local _, count = text:sub(1, position):gsub("\n", "")
  return count + 1
end

--- Compile the new text of a file.
---@param file core.modules.file
---@param text string
---@return function|nil chunk
---@return stoke.error|nil err
function M.compile(file, text)
  local path = file.path
  if not text:find "%S" then return bad("%s:1: the file is empty", path) end
  local before = source.text("@" .. path)
  local _, position = utf8.len(text)
  if position and not (before and not utf8.len(before)) then
    return bad("%s:%d: the text is not UTF-8", path, line_of(text, position))
  end
  local chunk, message = load(source.code(text), "@" .. path, "t", env.globals)
  if not chunk and not message:find "^[^\n]-:%d+:" then return bad("%s:1: %s", path, message) end
  if not chunk then return bad("%s", message) end
  return chunk
end

-- ---- a change ---------------------------------------------------------------------------------------------------------------

---@class core.reload.job
---@field file core.modules.file
---@field text string
---@field chunk function
---@field done? boolean
---@field was? string the text before
---@field old? table<any, any> what the module's table held before

---@class core.reload.change
---@field jobs core.reload.job[]
---@field body? core.modules.file
---@field before table<core.modules.file, { made: table, requires: table }>
---@field changed table<table, any> object -> its previous state
---@field undo function[]
---@field commit function[]
---@field missing? string a module that must be searched first
---@field failed? stoke.error the first error, even if a body caught it
local Change = {}
Change.__index = Change

local function copy(t)
  local out = {}
  for key, value in next, t do out[key] = value end
  return out
end

local function write_back(t, saved)
  for key in next, t do
    if saved[key] == nil then rawset(t, key, nil) end
  end
  for key, value in next, saved do rawset(t, key, value) end
end

--- Copies of the tables that bodies may write to directly.
local function snapshot()
  local tables = { env.globals, env.globals.package.loaded, modules.list, modules.by_name, modules.by_path }
  for _, name in ipairs(STANDARD) do tables[#tables + 1] = env.globals[name] end
  for _, file in ipairs(modules.list) do
    if type(file.value) == "table" then tables[#tables + 1] = file.value end
  end
  local saved = {}
  for _, t in ipairs(tables) do saved[t] = { fields = copy(t), meta = debug.getmetatable(t) } end
  return saved
end

function Change:roll_back()
  for i = #self.undo, 1, -1 do self.undo[i]() end
  for t, was in next, self.saved do
    write_back(t, was.fields)
    debug.setmetatable(t, was.meta)
  end
end

local function kind_of(value)
  return value == nil and "nothing" or type(value) == "table" and "a table" or "a " .. type(value)
end

--- Copy the returned table into the existing one, which the rest of the program references.
function Change:replace(job, value)
  local file = job.file
  local old = file.value
  if value == nil and old == true then return end
  if type(value) ~= type(old) then
    errors.raise("script",
      ("%s: the body returned %s, where it returned %s before"):format(file.path, kind_of(value), kind_of(old)))
  end
  if value == old then return end
  if type(value) ~= "table" then
    env.globals.package.loaded[file.name], file.value = value, value
    self.undo[#self.undo + 1] = function() file.value = old end
    return
  end
  write_back(old, value)
  debug.setmetatable(old, debug.getmetatable(value))
  self.turned[value] = old
end

--- Run one body; objects that it creates are recorded for its file.
function Change:run(file, chunk, ...)
  local outer = self.body
  local was = { made = file.made, requires = file.requires }
  self.before[file] = was
  self.undo[#self.undo + 1] = function() file.made, file.requires = was.made, was.requires end
  file.made, file.requires = {}, {}
  self.body, self.running[file] = file, true
  local value = chunk(...)
  self.body, self.running[file] = outer, nil
  return value
end

local function remember(change, path, text)
  local name = "@" .. path
  local before = source.text(name)
  change.undo[#change.undo + 1] = function() source.remember(name, before) end
  source.remember(name, text)
end

function Change:do_job(job)
  local file = job.file
  job.done = true
  remember(self, file.path, job.text)
  local old_text = file.text
  job.was = old_text
  self.undo[#self.undo + 1] = function() file.text, job.done = old_text, nil end
  file.text = job.text
  if file.name then
    job.old = type(file.value) == "table" and copy(file.value) or {}
    return self:replace(job, self:run(file, job.chunk, file.name, file.path))
  end
  local main = script.main
  self.undo[#self.undo + 1] = function() script.main = main end
  script.main = nil
  self:run(file, job.chunk, table.unpack(script.args or {}))
  job.main = main
  if main and not script.main then
    errors.raise("script", ("%s: the script does not call stoke.main any more"):format(file.path))
  end
end

--- Load a module that was found between two attempts.
function Change:load(name)
  local found = self.found[name]
  if not found then
    self.missing = name
    error(MISSING, 0)
  end
  if not found[1] then error(found[2], 0) end
  local chunk, path, text = found[2], found[3], found[4]
  local value
  if text then
    remember(self, path, text)
    self.added[#self.added + 1] = path
    local file = modules.file(name, path, text)
    value = self:run(file, chunk, name, path)
    file.value = value == nil and true or value
  else
    value = chunk(name, path)
  end
  local loaded = env.globals.package.loaded
  if value ~= nil then loaded[name] = value elseif loaded[name] == nil then loaded[name] = true end
  return loaded[name]
end

--- `require` in a body that is run again.
function Change:require(name)
  local file, loaded = modules.by_name[name], env.globals.package.loaded
  local me = self.body
  if file and self.running[file] or me and me.name and modules.needs(name, me.name) then
    errors.raise("script", ("module '%s' requires itself, directly or through others"):format(name))
  end
  for _, job in ipairs(self.jobs) do
    if job.file == file and not job.done then self:do_job(job) end
  end
  if loaded[name] ~= nil then return loaded[name] end
  return self:load(name)
end

-- ---- the slice ----------------------------------------------------------------------------------------------------------------

--- Add the place in the files to an error.
local function with_place(raised, place)
  local err = errors.wrap(raised)
  local message = err.message
  if place and not message:find "^[^\n]-:%d+:" and not message:find "^[^\n:]+%.lua:" then
    message = ("%s: %s"):format(place, message)
  end
  return errors.new("script", (message:gsub(": inside table%.sort.*", ": it is the body of a module")),
    { hint = rawget(err, "hint"), traceback = rawget(err, "traceback") })
end

--- The error for an effect in a body: "file:line: what: the source line".
---@param place string|nil place; default: the current line of the script
---@return stoke.error
function M.effect_error(place)
  place = place or host.site()
  local path, number = (place or ""):match "^(.*):(%d+)$"
  local text, n = path and source.text("@" .. path), 0
  local quoted = ""
  for line in (text or ""):gmatch "([^\n]*)\n?" do
    n = n + 1
    if n == tonumber(number) then quoted = ": " .. line:match "^%s*(.-)%s*$" break end
  end
  return errors.new("script", ("%s: an effect in the body of a file%s"):format(place or "a body", quoted),
    { hint = "bodies define; work belongs into stoke.main, or into a function that is called later" })
end

--- Run f with effects and waits disabled, for a limited time.
---@param change table takes `failed`; `missing`: it stopped for a module
---@param f function
---@return boolean ok
---@return any err
function M.isolated(change, f)
  local scope <close> = scopes.open {}
  local reason = errors.new("script", "an effect in the body of a file")
  scope.cancelled, scope.overdue, scope.aside = reason, true, true -- overdue: `<close>` handlers cannot wait either
  local function handler(raised)
    if raised == MISSING then return raised end
    local err = raised == reason and M.effect_error() or with_place(raised, host.site())
    change.failed = change.failed or err
    return err
  end
  local deadline, ok, err = os.clock() + M.LIMIT, nil, nil
  local within
  local function too_long()
    if os.clock() < deadline or debug.getinfo(2, "f").func == within then return end
    debug.sethook(too_long, "", 1) -- if the body catches the error, raise it again at once
    change.failed = change.failed or errors.new("script",
      ("%s: the body runs for more than %g s"):format(host.site() or "a body", M.LIMIT))
    error(change.failed, 0)
  end
  function within()
    debug.sethook(too_long, "", 1000)
    ok, err = raw_xpcall(f, handler)
    debug.sethook()
  end
  string.gsub("x", "x", within) -- a C function on the stack makes waiting impossible
  if ok and scope.delivered and not change.missing then -- the body caught the error of an effect
    ok = false
    local caught = M.effect_error(scope.delivered ~= true and scope.delivered or nil)
    caught.message = caught.message .. " (the body caught the error)"
    change.failed = change.failed or caught
  end
  return ok and not change.missing, change.failed or err
end

local function new_change(jobs, found)
  return setmetatable({ jobs = jobs, found = found, before = {}, changed = {}, undo = {}, commit = {}, running = {}, turned = {},
    added = {} }, Change)
end

--- Reject agents that share a name which was unique before: they could not be matched with the old one.
local function check_names(change)
  for _, job in ipairs(change.jobs) do
    local before = change.before[job.file].made.agent or {}
    for name, list in next, job.file.made.agent or {} do
      if #list > 1 and #list > #(before[name] or {}) and #(before[name] or {}) < 2 then
        errors.raise("script", ("%s: %d agents are named %s"):format(job.file.path, #list, name))
      end
    end
  end
end

--- Stop the timers that the new bodies no longer create.
local function end_timers(change)
  local kept = {}
  local function each(made, f)
    for _, list in next, made.timer or {} do
      for _, timer in ipairs(list) do f(timer) end
    end
  end
  for _, job in ipairs(change.jobs) do each(job.file.made, function(timer) kept[timer] = true end) end
  for _, job in ipairs(change.jobs) do
    each(change.before[job.file].made, function(timer)
      if not kept[timer] then timer:stop "its file does not name it any more" end
    end)
  end
end

--- Leaving without a result (out of memory, Ctrl-C) counts as a failure.
local Guard = { __close = function(guard)
  local change = guard.change
  if not change.works then change:roll_back() end
  modules.change = nil
end }

--- One attempt: run the bodies, then commit or roll back.
local function attempt(jobs, found)
  local change = new_change(jobs, found)
  change.saved = snapshot()
  local _ <close> = setmetatable({ change = change }, Guard)
  modules.change = change
  local ok, err = M.isolated(change, function()
    for _, job in ipairs(jobs) do
      if not job.done then change:do_job(job) end
    end
    check_names(change)
  end)
  change.body = nil
  if not ok then return nil, err, change.missing end
  patch.replace_tables(change)
  change.works = true
  for _, f in ipairs(change.commit) do f() end
  end_timers(change)
  return change
end

--- Run the bodies of files again and activate the new code.
---@param jobs core.reload.job[] file, text, chunk
---@return core.reload.change|nil
---@return stoke.error|nil err kind `script`; the old code stays active
function M.run(jobs)
  local found = {}
  while true do
    local change, err, missing = attempt(jobs, found)
    if not missing then return change, err end
    found[missing] = table.pack(pcall(env.find, missing))
  end
end

--- The files whose text has changed.
---@param force? table<core.modules.file, true> include these in any case
---@return core.reload.job[] jobs
---@return table<core.modules.file, stoke.error> unreadable
function M.stale(force)
  local jobs, unreadable = {}, {}
  for _, file in ipairs(copy(modules.list)) do
    local loading = file.name and file.value == nil
    local text, err = effect.perform("fs.read", { path = file.path })
    if not text then
      unreadable[file] = err
    elseif not loading then
      if text ~= file.text or force and force[file] then jobs[#jobs + 1] = { file = file, text = text } end
    end
  end
  return jobs, unreadable
end

return M
