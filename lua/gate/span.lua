--- The span gate: what each effect did and how long it queued and ran, to STOKE_DEBUG=effect, --trace FILE and who else listens.
--- Bodies and secrets stay out unless asked (--trace-bodies). The host's own tasks (context.system) are not traced. A sink that
--- raises is reported once on standard error and removed; the traced effect continues.
---
--- Spans are a tree: the context has the span that is around (lua/context.lua). Not every span is an effect: a script, a run of an
--- agent, a request that is served open one by M.enter. The span without one around it begins a trace. Ids are those of
--- OpenTelemetry (https://www.w3.org/TR/trace-context/): 16 bytes of a trace, 8 of a span; in the process a span is a number, from
--- which M.hex makes its id where somebody reads it.

local contexts = require "core.context"
local current = require "host.task".current
local errors = require "core.errors"
local rng = require "host.rand"
local stdio = require "core.stdio"
local time = require "host.time"

local M = {}

--- true if there is a sink; perform checks this first.
M.on = false
--- Sinks: fun(record, call, value). call (with q, target) and value, the outcome, are those of an effect; of a span around effects
--- call is the span, with what its owner has put there (`run` of an agent). To be looked at, and not to be kept or changed.
---@type fun(record: core.span.record, call?: table, value?: any)[]
M.sinks = {}
M.bodies = false
--- A sink looks at requests itself: they have to be data, as with M.bodies.
M.contents = false

---@class core.span.record
---@field span integer number of the span in this process; M.hex makes its id
---@field parent? integer|string number of the span around it; the id (16 hex digits) of one in another process
---@field trace string 32 hex digits
---@field name string of the effect; "script", "agent.run", "serve.request" are spans around effects
---@field about? string where the request went: a model, an address, a path, a tool
---@field task string
---@field start number wall clock, seconds
---@field queue number seconds it waited before its work began
---@field run number seconds its work took
---@field attempts? integer
---@field tries? { kind: string, message: string, after: number }[] attempts that failed, seconds after the start
---@field slot? string the lane it had to wait or to choose for
---@field reason? string why it waited, in words
---@field model? string that answered
---@field endpoint? string whose it is
---@field cached? string which cache answered
---@field load? number seconds of loading its model
---@field prefill? number seconds of reading the prompt, as the server tells
---@field decode? number seconds of writing the answer, as the server tells
---@field first? number seconds from the beginning of the work to the first event of a stream
---@field input_tokens? integer of a call; of a span around calls, those of all of them
---@field output_tokens? integer
---@field replayed? boolean its outcome came from a journal
---@field around? true it is no effect, but a span around effects: its tokens are those of the calls in it
---@field error? string kind
---@field message? string
---@field traceback? string
---@field request? any with M.bodies
---@field amended? table with M.bodies
---@field state? string tracestate that came with the trace from another process
---@field sampled? false the process that the trace came from does not keep it
---Spans around effects have fields of their own: what is in `facts` (method, path, route, status, tool ...).

--- Listener, called before a driver performs an effect, not for one that comes from a recording: fun(name, q). It may wait.
M.opening = nil

M.now = time.monotonic
local count = 0

-- ---- ids ------------------------------------------------------------------------------------------------------------------------

local bases -- two random numbers of this process: of its traces, of its spans

local function base(which)
  bases = bases or { string.unpack("<i8i8", rng.new():bytes(16)) }
  return bases[which]
end

--- The id of a span of this process, as OpenTelemetry writes it. What has an id already keeps it.
---@param span integer|string
---@return string 16 hex digits
function M.hex(span)
  if type(span) == "string" then return span end
  local id = base(2) + span
  return ("%016x"):format(id ~= 0 and id or 1)
end

--- The next trace. Its first half is made of the number (the finalizer of SplitMix64), so that the first digits tell traces of
--- one process apart.
local function next_trace(number)
  local z = base(1) + number
  z = (z ~ z >> 30) * 0xbf58476d1ce4e5b9
  z = (z ~ z >> 27) * 0x94d049bb133111eb
  return ("%016x%016x"):format(z ~ z >> 31, base(2))
end

--- Add a sink.
---@param sink fun(record: core.span.record, call?: table, value?: any)
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

--- A span that is open. `id` and `trace` are what is below it knows it by.
---@class core.span
---@field id integer|string
---@field trace string
---@field remote? true it is another process's: nothing of it is told here
---@field state? string tracestate of the trace: it is passed on as it came
---@field unsampled? true the process that the trace came from does not keep it
---@field facts? table of a span around effects, set before it ends: fields of its record
---@field failed? stoke.error of a span around effects that ends without raising: what it failed with

--- Open the span of an effect.
function M.open(def, q, task, context)
  count = count + 1
  local around = context.span
  return { id = count, parent = around and around.id, trace = around and around.trace or next_trace(count), name = def.name,
    task = task, q = q, opened = M.now(), wall = time.wall(), about = nil, slot = nil, reason = nil, tries = nil,
    state = around and around.state, unsampled = around and around.unsampled }
end

local Around = {}
Around.__name = "core.span"

--- Open a span around effects: it ends with <close>, and who has it puts it into the context of what is inside
--- (`scopes.open { span = span }`). `used`, set before it ends, is the usage of all that was inside.
---@param name string
---@param about? string
---@param parent? core.span in place of the one that is around
---@return core.span|nil nil: nobody listens, or the host's own work is not traced
function M.enter(name, about, parent)
  local task = M.on and current()
  local context = task and (task.scope or task).context
  if not context or context.system then return nil end
  return setmetatable(M.open({ name = name }, about, task, parent and { span = parent } or context), Around)
end

--- What the running task does until the span ends is inside of it, with all that it spawns. No scope is opened for that: a body
--- that must not wait can have a span, too.
---@param span core.span
---
--- Example: `spans.inside(seen)`
function M.inside(span)
  local task = current()
  local holder = task and (task.scope or task)
  if not holder then return end
  span.holder, span.outside = holder, holder.context
  span.within = contexts.with(holder.context, { span = span })
  holder.context = span.within
end

--- What follows is no more inside of it.
---@param span core.span
---
--- Example: `spans.outside(seen)`
function M.outside(span)
  local holder = span.holder
  if holder and holder.context == span.within then holder.context = span.outside end
end

--- The span around the running task.
---@return core.span|nil
---
--- Example: `local seen = spans.on and spans.around()`
function M.around()
  local task = current()
  return task and (task.scope or task).context.span or nil
end

--- A span of another process, under which what is done here belongs: a trace goes on from one to the other.
---@param trace string 32 hex digits
---@param id string 16 hex digits
---@param state? string tracestate
---@param unsampled? boolean
---@return core.span
function M.remote(trace, id, state, unsampled)
  return { id = id, trace = trace, remote = true, state = state, unsampled = unsampled or nil }
end

--- An attempt failed, and another may follow.
---@param self core.span
---@param err stoke.error
function M.tried(self, err)
  self.tries = self.tries or {}
  if #self.tries < 8 then
    self.tries[#self.tries + 1] = { kind = err.kind, message = tostring(err.message), after = M.now() - self.opened }
  end
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
  if q.server and q.method then return ("%s %s"):format(q.server, q.method) end
  return q.model or (type(q.url) == "string" and address(q.url)) or q.path or q.name or (q.argv and q.argv[1]) or q.key or q.db
end

--- To the microsecond: what lies below is noise.
local function rounded(seconds) return math.floor(seconds * 1e6 + 0.5) / 1e6 end

--- Give a record to all sinks. The list may change meanwhile: a sink that fails leaves it, one may take itself away.
local function tell(record, call, value)
  local sinks = table.move(M.sinks, 1, #M.sinks, 1, {})
  for i = 1, #sinks do
    local ok, raised = pcall(sinks[i], record, call, value)
    local cancelled = type(raised) == "table" and rawget(raised, "kind") == "cancelled" -- while it wrote: not its fault
    if not ok and not cancelled then
      M.unlisten(sinks[i])
      pcall(stdio.err, ("stoke: a listener of the trace failed and is dropped: %s\n"):format(tostring(raised)))
    end
  end
end

local function some(seconds) return type(seconds) == "number" and seconds > 0 and rounded(seconds) or nil end

--- What every record has.
local function record_of(self, started, err, used)
  local now = M.now()
  local record = {
    span = self.id, parent = self.parent, trace = self.trace, name = self.name, task = self.task.name or self.task.site,
    start = self.wall, queue = rounded(started - self.opened), run = rounded(now - started), about = summary(self.q),
    error = err and err.kind or nil, message = err and err.message or nil,
    traceback = err and err.kind ~= "cancelled" and rawget(err, "traceback") or nil,
    input_tokens = used and used.input_tokens, output_tokens = used and used.output_tokens, load = nil, attempts = nil,
    state = self.state,
  }
  if self.unsampled then record.sampled = false end
  return record
end

--- Where a call of a model went, and what took how long, as far as its server tells.
local function detail(record, call, value, used, started)
  local target = call.target
  if target then record.model, record.endpoint = target.model, target.endpoint and target.endpoint.name end
  record.load = some(used and used.load_seconds)
  local timed, ok, timings = call.def.timings, nil, nil
  if value ~= nil and timed then ok, timings = pcall(timed, value, call.q) end -- a dialect's own mistake is the pool's to tell
  if ok and timings then record.prefill, record.decode = some(timings.prefill), some(timings.decode) end
  if call.first then record.first = some(call.first - started) end
end

--- Close the span of an effect, and tell of it.
---@param self core.span
---@param call table
---@param err? stoke.error
---@param used? table
---@param value? any the outcome
function M.close(self, call, err, used, value)
  local started = call.started or M.now()
  if err and err.kind == "cancelled" and call.def.lasts then err = nil end -- a database that is closed has not failed
  local record = record_of(self, started, err, used)
  record.attempts, record.tries = call.attempts, self.tries
  record.slot, record.reason, record.cached, record.replayed = self.slot, self.reason, call.cached, call.replayed
  detail(record, call, value, used, started)
  if M.bodies then record.request, record.amended = self.q, call.amend end
  tell(record, call, value)
end

--- Close a span around effects.
---@param self core.span
---@param err? stoke.error
---@param used? { input_tokens?: integer, output_tokens?: integer }
function M.leave(self, err, used)
  if self.left then return end
  self.left = true
  M.outside(self)
  if not M.on then return end
  local record = record_of(self, self.opened, err, used)
  record.around = true
  for name, fact in next, self.facts or {} do record[name] = fact end
  tell(record, self)
end

function Around:__close(err)
  M.leave(self, err and errors.wrap(err) or self.failed, self.used or self.run and self.run.usage)
end

--- A shorter load is none: servers look for the model with every call.
local LOAD <const> = 0.1

--- A sink that prints one readable line for each effect to `write`. What says nothing is left out: where a call went that nobody
--- had to choose a place for, a load that was none, why a call waited that did not.
function M.printer(write)
  return function(r)
    if r.around then return end
    local load = r.load and r.load >= LOAD and ("load %.3f s  "):format(r.load) or ""
    local elsewhere = r.slot and r.about and not r.slot:find(" " .. tostring(r.about), 1, true)
    local why = r.reason and ("  (waited: %s)"):format(r.reason) or ""
    write(("effect %-14s queue %.3f s  %srun %.3f s%s%s%s%s  [%s]\n"):format(r.name, r.queue, load, r.run,
      r.about and ("  " .. tostring(r.about)) or "", elsewhere and ("  at " .. r.slot) or "",
      r.error and ("  " .. r.error) or "", why, tostring(r.task)))
  end
end

return M
