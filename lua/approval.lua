--- Approvals: requests that wait for a person's decision. The requesting task is parked, so nothing runs twice.
---
--- The decision comes from another task of the script (stoke.pending) or from the terminal (M.asker). If no task is left that could
--- decide, the request fails with kind `needs_approval` instead of waiting for ever.

local errors = require "core.errors"
local host = require "host.task"
local scopes = require "core.scope"
local stdio = require "core.stdio"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

--- Asks the user on the terminal: fun(entry), run in a task of its own, which is cancelled once the entry is decided. nil = no
--- terminal.
M.asker = nil

--- Told of each request that starts to wait: fun(entry), which must not wait itself. For who shows them to a person somewhere else
--- than on this terminal.
M.told = nil

--- request -> fun(entry), called when the request starts to wait. Weak: an entry lives as long as its request.
M.watchers = setmetatable({}, { __mode = "k" })

---@class stoke.pending
---@field id integer
---@field effect string the effect that waits: "tool.call", "fs.write" ...
---@field what string the tool, path, host or command
---@field args table arguments of a tool; nil for other effects
---@field agent? string name of the agent whose model requested it
---@field since number wall clock, seconds
---@field decision? "approved"|"rejected"
---@field key? string key of the waiting effect, in a journalled run
---@field run? string id of the durable run
---@field durable? boolean of a durable run: it waits until somebody decides, here or elsewhere
---@field digest? string of exactly what is asked, in a durable run
---@field private keep? fun(q: table): boolean of a durable run: writes the decision to its store (lua/runs/mail.lua)
local Pending = {}
Pending.__index = Pending
Pending.__name = "stoke.pending"

local entries, count = {}, 0

local function waits(entry)
  local task = entry.task
  return not (entry.decision or entry.over or not task or task.cancelled)
end

--- Have an entry go on with a decision. Returns false if the request is over (cancelled, timed out): its task waits for something
--- else by then.
---@param entry stoke.pending
---@param q { decision: "approved"|"rejected", reason?: string, args?: table } args: replace the model's arguments
---@return boolean
function M.take(entry, q)
  if not waits(entry) then return false end
  local task = entry.task
  entry.decision, entry.reason = q.decision, q.reason
  if q.args then entry.args, entry.edited = q.args, true end
  if task.co then host.wake(task.co) end
  return true
end

--- Decide an entry. That of a durable run is decided in its store, where others decide as well: the first decision stands, and is
--- taken from there.
---@param entry stoke.pending
---@param q { decision: "approved"|"rejected", reason?: string, args?: table }
---@return boolean false: the request is over, or was decided in another way
---Raises `db` where the decision cannot be written.
function M.decide(entry, q)
  if not waits(entry) then return false end
  if not entry.keep then return M.take(entry, q) end
  return entry.keep(q) and not (entry.over and entry.decision == nil)
end

--- Exactly what is asked for: the request of the effect. Not to be changed. nil: its task waits for something else by now.
---@param entry stoke.pending
---@return any
function M.asked(entry)
  local call = not entry.over and entry.task and entry.task.call
  return call and call.q or nil
end

--- Arguments in place of those of a tool, as it will check them once they are approved.
---@param entry stoke.pending
---@param args table
---@return table|nil args
---@return stoke.error|nil err kind `invalid_output`
function M.check(entry, args)
  local call = entry.task and entry.task.call
  local tool = call and call.work and call.work.tool
  if not tool then return args end
  return tool:check(args)
end

--- The parameters of the tool that waits, as JSON Schema: who edits its arguments elsewhere, where the tool is not, checks by them.
---@param entry stoke.pending
---@return table|nil
function M.params(entry)
  local call = entry.task and entry.task.call
  local tool = call and call.work and call.work.tool
  return tool and tool.params:json_schema()
end

--- Told of a request of a journalled run that starts to wait: fun(entry, call): fun()|nil, called when it is over
--- (lua/runs/mail.lua).
M.durable = nil

--- Called for a script's decision; lua/driver/approval.lua replaces it by an effect.
function M.through(entry, q) return M.decide(entry, q) end

--- Approve the request. False if it was already decided or no longer waits.
---@return boolean
---Raises `db` where it is one of a durable run and the decision cannot be written, as `reject` and `edit` do.
---
--- Example: `for _, p in ipairs(stoke.pending()) do p:approve() end`
function Pending:approve()
  scopes.check_self(self, Pending, "pending:approve()")
  return M.through(self, { decision = "approved" })
end

--- Reject the request; the model reads the reason.
---@param reason? string
---@return boolean
---
--- Example: `for _, p in ipairs(stoke.pending()) do p:reject "not on a Friday" end`
function Pending:reject(reason)
  scopes.check_self(self, Pending, "pending:reject()")
  if reason ~= nil and type(reason) ~= "string" then
    errors.argument("pending:reject: the reason must be a string, got %s", errors.describe(reason))
  end
  return M.through(self, { decision = "rejected", reason = reason })
end

--- Approve the request with other arguments; they are validated like the model's own.
---@param args table
---@return boolean
---
--- Example: `for _, p in ipairs(stoke.pending()) do p:edit { path = "draft.txt", content = p.args.content } end`
function Pending:edit(args)
  scopes.check_self(self, Pending, "pending:edit()")
  if type(args) ~= "table" then errors.argument("pending:edit: the arguments must be a table, got %s", errors.describe(args)) end
  if not self.args then errors.argument("pending:edit: %s has no arguments to edit", self.what) end
  return M.through(self, { decision = "approved", args = args })
end

function Pending:__tostring()
  return ("approval %d: %s %s (%s)"):format(self.id, self.effect, self.what, self.decision or "pending")
end

--- Requests that wait for approval, oldest first: entry:approve(), entry:reject(reason), entry:edit(args).
---@return stoke.pending[]
---
--- Example: `for _, p in ipairs(stoke.pending()) do print(p.what, p.args) p:approve() end`
function M.list()
  local out = {}
  for _, entry in ipairs(entries) do
    if not entry.decision then out[#out + 1] = entry end
  end
  return out
end

--- Entries as plain data.
---@param list stoke.pending[]
---@return table[]
function M.describe(list)
  local out = {}
  for i, entry in ipairs(list) do
    out[i] = { id = entry.id, effect = entry.effect, what = entry.what, kind = entry.kind, args = entry.args, agent = entry.agent,
      call = entry.call, since = entry.since, key = entry.key }
  end
  return out
end

--- Plain data as entries: from a recording, where no task waits for the decision.
---@param list table[]
---@return stoke.pending[]
function M.recorded(list)
  for i, about in ipairs(list) do list[i] = setmetatable(about, Pending) end
  return list
end

-- Waits that only another task of this process can end; any other wait may lead to an approval from outside.
local INSIDE = { ["approval"] = true, ["scope.join"] = true, ["scope.wait"] = true, ["task.await"] = true, ["channel.send"] = true,
  ["channel.recv"] = true, ["select"] = true, ["semaphore"] = true, ["budget"] = true,
  ["session"] = true }

--- No task is left that could decide: every task waits for another one, in the end for this one.
local function no_decider_left()
  local me = host.current()
  for _, entry in ipairs(tasks.list()) do
    local label = entry.waits
    if entry.task == me then label = "approval" end
    if not label or not (INSIDE[label] or label:find "^pool " or label:find "^require ") then return false end
  end
  return true
end

local function forget(entry)
  for i, other in ipairs(entries) do
    if other == entry then return table.remove(entries, i) end
  end
end

local Guard = { __close = function(guard)
  guard.entry.over = true
  forget(guard.entry)
end }

--- Seconds between two checks for tasks that could decide.
local CHECK_INTERVAL = 1

local function wait(entry, timeout)
  local guard <close> = setmetatable({ entry = entry }, Guard)
  local scope <close> = scopes.open {}
  local asked = M.asker ~= nil and stdio.is_tty(0) and (stdio.is_tty(2) or stdio.holder ~= nil)
  if asked then tasks.start(scope, "approval", M.asker, entry) end
  local deadline = timeout and time.monotonic() + timeout
  local pause = 0 -- other tasks run first: one of them may be about to decide
  while not entry.decision do
    local woken, err = host.park("approval", pause)
    if woken == nil then return err end
    if not entry.decision then
      if deadline and time.monotonic() >= deadline then
        return errors.new("needs_approval", ("nobody approved %s %s within %g s"):format(entry.effect, entry.what, timeout))
      end
      if not asked and pause > 0 and not entry.durable and no_decider_left() then
        return errors.new("needs_approval",
          ("%s %s needs approval, and nobody is there to give it"):format(entry.effect, entry.what),
          { hint = "run it on a terminal, approve it from another task (stoke.pending), or allow it in stoke.policy" })
      end
      pause = pause == 0 and 0.001 or CHECK_INTERVAL
    end
  end
end

--- Request an approval and wait for the decision.
---@param effect string
---@param kind string|nil
---@param what string|nil
---@param q any the request; an edit replaces its args
---@param timeout? number seconds
---@return stoke.error|nil err nil: approved
function M.request(effect, kind, what, q, timeout)
  count = count + 1
  local entry = setmetatable({ id = count, effect = effect, kind = kind, what = what or effect, since = time.wall(),
    task = host.enter "approval" }, Pending)
  entry.key = entry.task.call and entry.task.call.key
  if type(q) == "table" then entry.args, entry.agent, entry.call = q.args, q.agent, q.id end
  entries[#entries + 1] = entry
  local watcher = type(q) == "table" and M.watchers[q]
  if watcher then watcher(entry) end
  local over = M.durable and M.durable(entry, entry.task.call)
  if M.told then M.told(entry) end
  local err = wait(entry, timeout and timeout - (time.wall() - entry.since))
  if over then over() end
  if err then return err end
  if entry.decision == "rejected" then
    return errors.new("denied", ("%s %s was rejected%s"):format(effect, entry.what, entry.reason and ": " .. entry.reason or ""),
      { rejected = true, reason = entry.reason })
  end
  if entry.edited then q.args, q.edited = entry.args, true end
end

return M
