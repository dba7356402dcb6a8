--- What a reload means for the runs of this process. Before the new code is taken, each run that uses a changed file is replayed
--- against it, in globals of its own and with nothing performed: where its journal ends it stops. Then every run whose code was
--- that of the process is put down, at a moment in which nothing of it is at work, and taken up again: on the new code, where its
--- workflow says code = "latest" and it asks the same there; else on the sources it has.

local code = require "core.runs.code"
local journals = require "core.journal"
local host = require "host.task"
local keep = require "core.journal.keep"
local lives = require "core.runs.live"
local moves = require "core.journal.move"
local schedule = require "core.schedule"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

--- Seconds of processor time for all replays of one reload.
M.LIMIT = 2

--- Seconds of processor time until other work has its turn.
M.SLICE = 0.005

--- Seconds to wait for runs that are just taken up.
M.PATIENCE = 1

-- ---- one run ------------------------------------------------------------------------------------------------------------------

local function named(key) return key:match "([^/#]+)#%d+$" or key end

--- Where it parts, in a few words: "desk.lua:17 asks a different question".
local function words(journal, err)
  local where = err.message:match "\n  in ([^\n]*)$"
  where = where and code.plain(where) or "it"
  local key = err.key
  if not key then return code.plain(err.message:match "^[^\n]*") end
  local name = named(key)
  local question = name:find "^llm%." ~= nil
  if err.asked == nil then return ("it ends where it went on with %s"):format(name) end
  if not journal.by_key[key] then
    return question and where .. " asks a question that it did not ask" or ("%s does %s, which it did not do"):format(where, name)
  end
  return question and where .. " asks a different question" or ("%s asks something else of %s"):format(where, name)
end

--- Lets other work go on during a replay: a task that holds it now and then for a turn of the loop.
local function slices()
  local self = { ends = os.clock() + M.SLICE }
  self.task = tasks.spawn(function()
    while not self.over do
      if self.held then
        host.park("slice", 0)
        local task = self.held
        self.held = nil
        tasks.wake(task)
      else
        host.park "slices"
      end
    end
  end, { system = true, name = "slices" })
  --- Called in the run.
  function self.pause()
    if os.clock() < self.ends then return end
    self.held = host.current()
    tasks.wake(self.task)
    schedule.hold("slice", function() return self.held ~= nil end)
    self.ends = os.clock() + M.SLICE
  end
  return setmetatable(self, { __close = function()
    self.over = true
    tasks.wake(self.task)
  end })
end

--- Does a run, done again on other code, ask what it asked?
---@param run stoke.store.run
---@param kept table what is kept of it; changed
---@param f function
---@param load? fun(name: string): any
---@param deadline number processor time, as of os.clock
---@return boolean|nil agrees nil: there was no time to find out
---@return string|nil why not
function M.agrees(run, kept, f, load, deadline)
  kept.printed = 0
  local journal = journals.new { id = run.seed, kept = kept, require = load, closed = true, print = function() end }
  local late, pace <close> = false, slices()
  function journal.on_given()
    if late then return end
    if os.clock() < deadline then return pace.pause() end
    late = true
    journal:end_here()
  end
  local err = journal:run(f, run.input).err
  if late then return nil end
  if err and rawget(err, "ends") then return true end
  if err and err.kind == "replay" then return false, words(journal, err) end
  return journal:broken() == nil
end

-- ---- the runs that a change concerns ------------------------------------------------------------------------------------------

---@class stoke.runs.verdict
---@field entry stoke.runs.live
---@field agrees? boolean nil: there was no time for it
---@field why? string

---@class stoke.runs.checked
---@field list stoke.runs.verdict[]
---@field late? boolean some were not replayed: the time was up

local function concerned(jobs)
  local list = {}
  for _, entry in next, lives.live do
    local uses = false
    for _, job in ipairs(jobs) do uses = uses or entry.known and entry.known[code.name_of(job.file)] end
    local own = entry.definition and entry.definition.prepare -- a turn of a session, a message of an actor: these end as they began
    if uses and not own and entry.journal and entry.journal.schedule then list[#list + 1] = entry end
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list
end

local function alive(entry)
  local journal = entry.journal
  return journal and journal.schedule and not journal.stopped and (not journal.replaying or journal:at_end())
end

local function one_taken_up()
  for _, entry in next, lives.live do
    if not alive(entry) then return entry end
  end
end

--- Wait for runs that are just taken up. Those that come later than that find the new code when they begin.
local function settle()
  local deadline = time.monotonic() + M.PATIENCE
  while one_taken_up() and time.monotonic() < deadline do
    if host.park("runs that are taken up", 0.002) == nil then return end
  end
end

--- The function of a workflow in code that is not taken yet.
local function function_of(box, workflow)
  local definition = box.workflows[workflow]
  return definition and definition.f or workflow:sub(1, 5) == "main:" and box.main or nil
end

--- Replay the runs that live against new code. Other work goes on meanwhile.
---@param jobs core.reload.job[]
---@param isolated fun(change: table, f: function): boolean, any runs a body without effects
---@return stoke.runs.checked|nil nil: no run uses these files, or the new code does not load
function M.check(jobs, isolated)
  if not next(lives.live) or journals.current() then return nil end
  settle()
  local entries = concerned(jobs)
  if not entries[1] then return nil end
  local began = os.clock()
  local box = code.fresh(jobs, isolated)
  if not box then return nil end -- the reload says why
  local checked = { list = {} }
  for _, entry in ipairs(entries) do
    local verdict, journal = { entry = entry }, entry.journal
    local f = function_of(box, entry.run.workflow)
    if not f then
      verdict.agrees, verdict.why = false, ("the workflow %s is gone"):format(entry.run.workflow)
    elseif os.clock() - began > M.LIMIT then
      checked.late = true
    elseif journal.schedule and not entry.over then
      keep.commit(journal)
      local kept = not entry.over and entry.store:load(entry.run)
      if kept then
        verdict.agrees, verdict.why = M.agrees(entry.run, kept, f, box.require, began + M.LIMIT)
        checked.late = checked.late or verdict.agrees == nil
      end
    end
    if not entry.over then checked.list[#checked.list + 1] = verdict end
  end
  return checked
end

-- ---- afterwards ---------------------------------------------------------------------------------------------------------------

local function count(n, one) return ("%d %s%s"):format(n, one, n == 1 and "" or "s") end

local function reasons(list)
  local out, seen = {}, {}
  for _, verdict in ipairs(list) do
    local why = verdict.why
    if why and not seen[why] then
      seen[why] = true
      out[#out + 1] = why
    end
  end
  local more = #out - 3
  return table.concat(out, "; ", 1, math.min(#out, 3)) .. (more > 0 and ("; and %d more"):format(more) or "")
end

--- One line of the report: of the runs that take new code, or of those that do not.
local function line(list, late, takes)
  local agree, not_asked, other = 0, 0, {}
  for _, verdict in ipairs(list) do
    if verdict.agrees then agree = agree + 1 elseif verdict.agrees == nil then not_asked = not_asked + 1
    else other[#other + 1] = verdict end
  end
  local of = ("%d of %s"):format(agree, count(#list, "run"))
  local text
  if late and not_asked > 0 then
    text = ("%s agree%s so far with the new code (after %g s of processor time); the others stay on the old"):format(of,
      #list == 1 and "s" or "", M.LIMIT)
  elseif takes then
    text = ("%s go%s on with the new code as it is"):format(of, #list == 1 and "es" or "")
  else
    text = ("%s would go on with the new code as it is; each stays on the code that it has"):format(of)
  end
  if not other[1] then return text end
  local n = #other
  return ("%s; %d %s: %s"):format(text, n, takes and (n == 1 and "stays on the old" or "stay on the old") or "would not",
    reasons(other))
end

--- The new code is there: move the runs, and say so.
---@param checked stoke.runs.checked
---@param defined table<string, stoke.runs.workflow>
---@return string[] lines
function M.apply(checked, defined)
  local own, latest = {}, {}
  for _, verdict in ipairs(checked.list) do
    local entry = verdict.entry
    local definition = defined[entry.run.workflow]
    local takes = definition ~= nil and definition.latest == true
    table.insert(takes and latest or own, verdict)
    if not entry.over and entry.journal and entry.journal.schedule and (not entry.boxed or takes and verdict.agrees) then
      entry.definition, entry.stays = definition, not (takes and verdict.agrees) or nil
      moves.ask(entry.journal)
    end
  end
  local lines = {}
  if latest[1] then lines[#lines + 1] = line(latest, checked.late, true) end
  if own[1] then lines[#lines + 1] = line(own, checked.late, false) end
  return lines
end

--- Workflows that a file defined and no longer defines: nothing new is started of them.
---@param change core.reload.change
---@param defined table<string, stoke.runs.workflow> changed
function M.forget(change, defined)
  for _, job in ipairs(change.jobs) do
    for name, list in next, change.before[job.file].made.workflow or {} do
      for _, definition in ipairs(list) do
        if defined[name] == definition then defined[name] = nil end
      end
    end
  end
end

lives.agrees = M.agrees

return M
