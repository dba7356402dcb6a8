--- The span gate: what each effect did and how long it queued and ran, to STOKE_DEBUG=effect and --trace FILE.
--- Bodies and secrets stay out unless asked (--trace-bodies). The host's own tasks (context.system) are not traced. A sink that
--- raises is reported once on standard error and removed; the traced effect continues.

local stdio = require "core.stdio"
local time = require "host.time"

local M = {}

--- true if there is a sink; perform checks this first.
M.on = false
--- Sinks: fun(record). A record is { span, parent?, name, task, start, queue, run, error?, input_tokens?, output_tokens?,
--- load? = seconds of loading its model, slot? = the lane it had to wait or to choose for, reason? = why it waited, in words,
--- replayed? = its outcome came from a journal }; seconds.
M.sinks = {}
M.bodies = false

--- Listener, called before a driver performs an effect, not for one that comes from a recording: fun(name, q). It may wait.
M.opening = nil

M.now = time.monotonic
local count = 0

--- Add a sink.
---@param sink fun(record: table)
function M.listen(sink)
  M.sinks[#M.sinks + 1] = sink
  M.switch(true)
end

--- Take a sink away again.
---@param sink function
function M.unlisten(sink)
  for i = #M.sinks, 1, -1 do
    if M.sinks[i] == sink then table.remove(M.sinks, i) end
  end
  M.switch(#M.sinks > 0)
end

--- Who looks has changed: lua/effect.lua puts its own here.
function M.changed() end

--- Turn the trace on or off, sinks or not.
---@param on boolean
function M.switch(on)
  M.on = on
  M.changed()
end

function M.open(def, q, task, context)
  count = count + 1
  return { id = count, parent = context.span, name = def.name, task = task, q = q, opened = M.now(), wall = time.wall() }
end

--- A URL without the user and the values of its query: what is secret among them no name tells for sure.
local function address(url)
  local site, rest = url:match "^(%a[%w+.-]*://[^/?#]*)(.*)$"
  if not site then return url end
  return site:gsub("//.*@", "//") .. rest:gsub("#.*$", ""):gsub("%?[^=&]*$", "?..."):gsub("([?&][^=&]*)=[^&]*", "%1=...")
end

--- Where a request goes, for one line of a trace: no bodies.
local function summary(q)
  if type(q) ~= "table" then return q ~= nil and tostring(q) or nil end
  return q.model or (type(q.url) == "string" and address(q.url)) or q.path or q.name or (q.argv and q.argv[1]) or q.key or q.db
end

--- To the microsecond: what lies below is noise.
local function rounded(seconds) return math.floor(seconds * 1e6 + 0.5) / 1e6 end

--- Give a record to all sinks. The list may change meanwhile: a sink that fails leaves it, one may take itself away.
local function tell(record)
  local sinks = table.move(M.sinks, 1, #M.sinks, 1, {})
  for i = 1, #sinks do
    local ok, raised = pcall(sinks[i], record)
    local cancelled = type(raised) == "table" and rawget(raised, "kind") == "cancelled" -- while it wrote: not its fault
    if not ok and not cancelled then
      M.unlisten(sinks[i])
      pcall(stdio.err, ("stoke: a listener of the trace failed and is dropped: %s\n"):format(tostring(raised)))
    end
  end
end

--- Seconds that the model was loaded for a call, where its server tells.
local function load_of(used)
  local load = used and used.load_seconds
  return load and load > 0 and rounded(load) or nil
end

function M.close(self, call, err, used)
  local now = M.now()
  local started = call.started or now
  local record = {
    span = self.id, parent = self.parent, name = self.name, task = self.task.name or self.task.site, start = self.wall,
    queue = rounded(started - self.opened), run = rounded(now - started), attempts = call.attempts, about = summary(self.q),
    slot = self.slot, reason = self.reason, cached = call.cached, load = load_of(used),
    replayed = call.replayed, error = err and err.kind or nil, message = err and err.message or nil,
    traceback = err and err.kind ~= "cancelled" and rawget(err, "traceback") or nil,
    input_tokens = used and used.input_tokens, output_tokens = used and used.output_tokens,
    request = M.bodies and self.q or nil, amended = M.bodies and call.amend or nil,
  }
  tell(record)
end

--- A shorter load is none: servers look for the model with every call.
local LOAD <const> = 0.1

--- A sink that prints one readable line to `write`. What says nothing is left out: where a call went that nobody had to choose a
--- place for, a load that was none, why a call waited that did not.
function M.printer(write)
  return function(r)
    local load = r.load and r.load >= LOAD and ("load %.3f s  "):format(r.load) or ""
    local elsewhere = r.slot and r.about and not r.slot:find(" " .. tostring(r.about), 1, true)
    local why = r.reason and ("  (waited: %s)"):format(r.reason) or ""
    write(("effect %-14s queue %.3f s  %srun %.3f s%s%s%s%s  [%s]\n"):format(r.name, r.queue, load, r.run,
      r.about and ("  " .. tostring(r.about)) or "", elsewhere and ("  at " .. r.slot) or "",
      r.error and ("  " .. r.error) or "", why, tostring(r.task)))
  end
end

return M
