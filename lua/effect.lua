--- THE DOOR. Everything the outside world can change the answer of goes through perform(name, request).
---
--- To add an effect: a driver file in lua/driver/ that requires its `host.*` module and calls effect.define, a module of
--- stdlib/ that requires the driver and calls effect.perform, and a test. Its class says how bad it is to do it twice, its values
--- are plain data (or there is a codec), its requests have no numbers of this process. Gates stand in one fixed order:
---
---   scope    cancelled? past the deadline?                          lua/scope.lua
---   span     opens, so that queueing is visible                     lua/gate/span.lua
---   journal  its key and digest; recorded? given in its turn        lua/frame.lua, lua/journal.lua
---   replay   the same of a test's cassette; refusals are outcomes   lua/gate/replay.lua
---   policy   allow, ask a person and wait, or deny                  lua/gate/policy.lua, lua/approval.lua
---   budget   reserve calls, settle tokens and seconds               lua/gate/budget.lua
---   cache    an answer that is kept, or that somebody asks for      lua/gate/cache.lua
---   retry {  pool    wait for a slot of that key                    lua/gate/retry.lua, lua/gate/pool.lua
---            intent   unsafe work is journalled before it begins   lua/journal.lua
---            driver  the only part that does the work }
---   settle   one guard: cost, slot given back, span closed
---
--- Whether an effect has to pass the gates at all is one look at two flags: of the effect (it waits for a slot, somebody traces, a
--- policy judges) and of the context it is performed in (lua/context.lua: a budget, a tape, a journal). One that has not goes
--- straight to its driver; one that only waits for a slot or is tried again goes the short way, through those two gates.

local host = require "host.task"
local errors = require "core.errors"
local modules = require "core.modules"
local scopes = require "core.scope"
local budget = require "core.gate.budget"
local cache = require "core.cache.settings"
local policy = require "core.gate.policy"
local pool = require "core.gate.pool"
local replay = require "core.gate.replay"
local retry = require "core.gate.retry"
local span = require "core.gate.span"
local streams = require "core.stream"

local M = {}

---@class stoke.effect
---@field run fun(q: table, call?: table, work?: any): any, stoke.error? the driver; returns value, or nil and an error; never
---  raises
---@field stream? boolean run returns a source (lua/stream.lua)
---@field lasts? boolean what a line of a session opens belongs to the session, as what it spawns does
---@field pool? fun(q: table, call: table): string?, integer? key and width of the pool the call waits in; nil = none. May set
---  call.target, where the call goes: it is asked anew for each attempt
---@field waits? fun(q: table) told that the call has to wait for a slot: what can be made again is not kept meanwhile
---@field retry? { attempts: integer, base: number, max: number, server?: fun(q): string? } only for errors that say retryable;
---  `server` is the address whose retries are counted, where the call has no target
---@field resume? fun(q: table, items: table[], work?: any): table?, stoke.error? of a stream that can be read again: a source that
---  goes on behind the items { value } that a journal has of it
---@field usage? fun(value: any, q: any): table? what a finished call consumed: { input_tokens, output_tokens }
---@field reserve? fun(q: any, room: number, call: table): integer?, integer? tokens the call may use, cut down to `room`; nil and
---  what it needs at least where that does not fit. Sets call.asked to the tokens it is asked with, and call.amend to what changes
---  the request: never the request itself, which a recording is found by
---@field subject? fun(q: any, call?: table): string, string, string?, string? what the policy judges: its kind ("path"), one value
---  or two, and what that is, in words. A request with `aside` is nothing a person is asked about: it fails where the verdict is to
---  ask
---@field approvable? boolean a request may ask for a person's approval itself (needs_approval)
---@field cached? boolean its answers may come from the cache, where somebody wants that
---@field quiet? boolean never traced (clock, randomness)
---@field in_body? boolean a body that is run again may do it: it only looks, and waits for nothing
---@field in_transaction? boolean it is of a database, and may be done in a transaction of that one
---@field taped? boolean its outcomes stand on cassettes, too; false = no journal can record them, for the reason in `why`
---@field why? string
---@field class? "pure"|"idempotent"|"unsafe"|fun(q): string how bad it is to do it twice: it changes nothing; the second time
---  changes no more than the first; unsafe when not given
---@field reconcile? fun(q: any, call: table): (fun(key: string): any)|nil what asks the world whether its work was done; nil from
---  it: do it again
---@field derived? boolean its outcome follows from the frame it is performed in, so it is not recorded
---@field aside? string[] fields of a request that are not what is asked: limits of time
---@field digest? fun(request: any): string of a request without these; when not given, that of its canonical JSON
---@field redact? fun(request: table, redactor: core.redactor) take out of a copy of a request what is secret by its name
---@field secret? fun(q: any): string|nil the name of a secret that is the outcome: a journal keeps the name alone
---@field codec? { keep: fun(value): any, give: fun(kept): any } of values that are no plain data
---@field metered? boolean its body performs effects of its own: what they spend of budgets is part of its outcome
---@field told? boolean of a stream: where contents of spans are wanted, they have what was read of it
---@field through? fun(q: any): any what its body does is all done through the door: with unsafe effects of their own
---@field repeats? boolean|fun(q: any): any what is idempotent of it may be done again with the whole body it is in: it asks a
---  model, promises this, or is known again by a key
---@field keyed? "disk"|"commit"|fun(q): string? whoever does its work knows it again by the effect's key: what led to it is kept
---  before, so that no later life of the run asks something else under that key. "disk": whoever it is outlives a power cut;
---  "commit": it is this store, or what may be done twice after one
---@field lasting? boolean its outcome is on the disk before the run goes on from it
---@field older? fun(q: any): any its outcome where a journal that goes on does not have it
---@field said? fun(value: any): any, string? what a person says came of it, as its driver gives it; nil and how that is written
---@field given? fun(q: any, facts: table, call: table) called when an outcome is replayed
---@field absent? fun(q: any, work: any): any its outcome where a recording is older than the effect
---@field timings? fun(value: any, q: any): table? what it took, as a server tells: seconds { load, prefill, decode }
---@field facts? fun(value: any, q: any): table? what is known of an outcome beside its value, as plain data: recorded with it
---@field restore? fun(value: any, facts: table, q: any) note it of a value that comes from a recording
---@field label? fun(q: any): string in a journal each has a frame of its own, with this label (lua/frame.lua)
---@field at_once? boolean its driver only looks: it needs no call and no request, waits for nothing, and may be asked twice

local effects = {}
local current, deliver = host.current, scopes.deliver
local acquire, release, pools = pool.acquire, pool.release, pool.pools
local notice -- fun(): listener for effects that bodies must not perform

--- Whether each request has to pass the gates; whether only those of the pool and of retries.
local function weigh(def)
  local seen = (span.on and not def.quiet) or (policy.rules ~= nil and def.subject ~= nil)
  def.gated = def.always or seen
  def.short = def.always and not seen and not def.approvable and not def.lasts and not (cache.on and def.cached)
end

--- Register an effect.
---@param name string "llm.chat"
---@param def stoke.effect
function M.define(name, def)
  def.name = name
  def.always = def.stream or def.pool ~= nil or def.retry ~= nil or false
  def.bare = not (def.stream or def.codec or def.secret or def.usage or def.facts)
  def.quick = def.bare and not (def.derived or def.taped == false or def.given or def.older or def.lasting or def.aside
    or def.redact or def.digest)
  effects[name] = def
  weigh(def)
end

local function weigh_all()
  for _, def in next, effects do weigh(def) end
end
span.changed, policy.changed, cache.changed = weigh_all, weigh_all, weigh_all

--- Every effect's name, sorted.
function M.names()
  local names = {}
  for name in next, effects do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- What an effect is defined as.
---@param name string
---@return stoke.effect|nil
function M.about(name) return effects[name] end

--- Set a listener that is called before each effect, except those that bodies may perform; nil removes it.
---@param f fun()|nil
function M.on_perform(f) notice = f end

local function unknown(name)
  local near = errors.suggest(tostring(name), M.names())
  errors.argument("unknown effect %s%s", tostring(name), near and (" (did you mean %s?)"):format(near) or "")
end

-- ---- settle -----------------------------------------------------------------------------------------------------------

--- One record a gated call: the gates keep what they must give back in it, and settle runs exactly once.
local Call = {} -- no __index: of most fields a call has none

--- `getmetatable(call).settle(call, ...)`, for who knows no more of it.
function Call:settle(value, err)
  if self.settled then return end
  self.settled = true
  local slot = self.slot
  if slot then
    self.slot = nil
    pool.release(slot, value, err)
  end
  if not self.budget and not self.span then return end -- neither budget nor trace
  local used = value ~= nil and self.def.usage and self.def.usage(value, self.q) or nil
  if self.budget then budget.settle(self.budget, used, self) end
  if self.span then span.close(self.span, self, err, used, value) end
end

local settle = Call.settle

function Call:__close(err)
  self.task.call = self.outer
  if not self.settled then settle(self, nil, err or errors.new("cancelled", "left before it settled")) end
end

-- ---- perform ------------------------------------------------------------------------------------------------------------

--- The driver, once a slot is there; again while the error may pass and the retry gate agrees.
local function attempts(def, q, call)
  while true do
    call.attempts = call.attempts + 1
    if def.pool then
      local slot, err = acquire(call, def.pool(q, call))
      if err then return nil, err end
      call.slot = slot
    end
    if retry.used and call.attempts == 1 and def.retry then retry.earn(call) end
    if call.span and span.opening and call.attempts == 1 then pcall(span.opening, def.name, q) end
    if call.intend then -- the journal knows of it before the work begins
      local err = call:intend()
      if err then return nil, err end
    end
    if call.span then call.started = span.now() end
    local value, err = def.run(q, call, call.work)
    if err == nil then return value end
    if call.slot then
      pool.release(call.slot, nil, err)
      call.slot = nil
    end
    if not def.retry or (type(q) == "table" and q.once) then return nil, err end
    if call.span then span.tried(call.span, err) end
    local again, cancelled = retry.again(call, err)
    if not again then return nil, cancelled or err end
  end
end

--- What the stream needs of the call to settle it, after the guard in gated() is gone. Few streams have a budget or a span, and
--- all wait for long: no room for what is not there.
local function hand_over(call)
  call.settled = true
  local ticket = call.slot
  if ticket and ticket.began then pool.began(ticket) end
  local settles = setmetatable({ def = call.def, slot = call.slot, begun = nil }, Call)
  if call.budget then
    settles.budget, settles.held, settles.asked, settles.unseen = call.budget, call.held, call.asked, call.unseen
  end
  if call.span then
    settles.span, settles.q, settles.started = call.span, call.q, call.started
    settles.attempts, settles.amend, settles.target = call.attempts, call.amend, call.target
    settles.cached, settles.replayed = call.cached, call.replayed
    settles.first = span.now() -- a stream is open with its first event
  end
  return settles
end

--- Set aside what a call may use.
local function pay(call)
  local context = call.context
  if context.budget then return budget.reserve(context.budget, call.def, call) end
end

--- Count what a call has used, for which nothing was set aside.
local function charge(call, used)
  local held = call.context.budget
  if not held then return end
  local own = { context = call.context }
  budget.account(held, call.def, own)
  if own.budget then budget.settle(own.budget, used, own) end
end

local WAY = { pay = pay, charge = charge, attempts = attempts }
local gate -- lua/gate/cache.lua, once somebody wants it

--- What is not on a tape: it is judged, paid for, and tried.
local function live(def, q, call)
  local context = call.context
  if def.subject and not context.system and (policy.rules or def.approvable) then
    local err = policy.judge(def, q, call)
    if err then return nil, err end
  end
  if cache.on and def.cached then
    gate = gate or require "core.gate.cache"
    return gate.through(def, q, call, WAY)
  end
  local err = pay(call)
  if err then return nil, err end
  return attempts(def, q, call)
end

--- What is replayed has been judged and was paid for, so nobody is asked again and nothing is refused; but it counts.
local function counted(def, call, err)
  local kind = err and errors.kinds[err.kind]
  if kind and kind.refusal then return end
  budget.account(call.context.budget, def, call)
end

--- The outcome on the tape, or one that is recorded.
local function taped(def, q, call)
  local context = call.context
  local value, err = replay.outcome(context.tape, def, q, call, live)
  if context.budget and not context.tape.recording then counted(def, call, err) end
  return value, err
end

--- The outcome of a run that is journalled.
local function journalled(def, q, call)
  local context = call.context
  return context.journal:outcome(def, q, call, context.tape and def.taped and taped or live)
end

--- In a transaction all others who write to the database wait, so what is done there is of that database, or waits for nothing.
local function check_place(def, work, only)
  if only.refuse then only.refuse(def.name, only) end
  if def.in_body or def.derived or (def.in_transaction and work.stream == only.stream) then return end
  errors.raise("argument", ("%s inside a transaction of %s: only effects of that database belong there, as everybody else who " ..
    "writes to it waits meanwhile"):format(def.name, only.path),
    { hint = "do it before the transaction, and write inside what came of it" })
end

local function gated(def, q, task, scope, work)
  local context = scope.context
  if context.only then check_place(def, work, context.only) end
  local journal, key = context.journal, nil
  if journal and def.quick and (journal.replaying or def.at_once)
    and not (context.budget or context.tape or (span.on and not def.quiet)) then
    local served, value, err = journal:quick(def, q, context)
    if served then
      if err == nil then return value end
      if err.kind == "cancelled" then deliver(task, err) end
      return nil, err
    end
    key = value
  end
  local call <close> = setmetatable({ def = def, q = q, task = task, outer = task.call, work = work, context = context, slot = nil,
    attempts = 0, settled = false, key = key }, Call)
  task.call = call -- settled from there, should the task be cut off
  if span.on and not def.quiet and not context.system then call.span = span.open(def, q, task, context) end
  local value, err = (journal and journalled or context.tape and def.taped and taped or live)(def, q, call)
  if err ~= nil then
    settle(call, nil, err)
    if err.kind == "cancelled" then deliver(task, err) end
    return nil, err
  end
  if def.stream then
    local owner = def.lasts and not task.scope and task.into or scope
    local stream = streams.open(value, owner, hand_over(call))
    if call.span and def.told and (span.contents or span.bodies) then stream:transcript() end
    return stream
  end
  settle(call, value)
  return value
end

--- The way of most calls of models: nobody but the pool and the retry gate has a say. One frame, as thousands may wait in it.
local function short(def, q, task, scope, work)
  local call <close> = setmetatable({ def = def, q = q, task = task, outer = task.call, work = work, attempts = 1, target = nil,
    slot = nil }, Call) -- eight fields: one more would double its room
  task.call = call -- settled from there, should the task be cut off
  local slot, value, err
  if def.pool then
    local key, width = def.pool(q, call)
    slot = width == nil and pools[key]
    if slot and slot.busy < slot.open then -- nearly always; all else is the gate's
      slot.busy = slot.busy + 1
    else
      slot, err = acquire(call, key, width)
    end
    call.slot = slot
  end
  if err == nil then
    if retry.used and def.retry then retry.earn(call) end
    value, err = def.run(q, call, work)
    if err ~= nil and def.retry and not (type(q) == "table" and q.once) then
      if slot then
        release(slot, nil, err)
        call.slot = nil
      end
      local again, cancelled = retry.again(call, err)
      if again then value, err = attempts(def, q, call) else err = cancelled or err end
    end
  end
  if err == nil and def.stream then return streams.open(value, scope, hand_over(call)) end
  call.settled, slot = true, call.slot
  if slot then
    call.slot = nil
    if slot.open > 0 then slot.busy = slot.busy - 1 else release(slot, value, err) end
  end
  if err == nil then return value end
  if err.kind == "cancelled" then deliver(task, err) end
  return nil, err
end

--- Does nobody look at what a model is asked here, but the driver that asks? Then it need not be data.
---@return boolean|nil
function M.unseen()
  local task = current()
  return task and not (span.bodies or span.contents or span.opening) and not policy.rules and not (task.scope or task).context.gated
end

--- Would an effect go straight to its driver: no gate has a say, and nothing is to be raised? Then who has the work at hand may do
--- it, without a request.
---@param def stoke.effect
---@return boolean
function M.straight(def)
  local task = current()
  if def.gated or notice or not task then return false end
  local scope = task.scope or task
  return not scope.context.gated and not scope.cancelled
end

--- Perform an effect.
---@param name string
---@param q any the request: pure data
---@param work? any the part of a request that is no data: what the driver is to run, where a call may go
---@return any value nil and an error for a failure of the world
---Raises `argument` for an unknown effect and outside a task, `cancelled` when the scope was cancelled.
function M.perform(name, q, work)
  local def = effects[name] or unknown(name)
  local task = current()
  if not task then errors.argument("%s is an effect, so it can only be used inside a task", name) end
  local scope = task.scope or task
  if scope.cancelled and not task.unwinding and not (def.in_body and modules.change) then deliver(task) end
  if notice and not def.in_body then notice() end
  if def.short and not scope.context.gated then return short(def, q, task, scope, work) end
  if def.gated or scope.context.gated or (def.approvable and q.needs_approval) then
    return gated(def, q, task, scope, work)
  end
  local value, err = def.run(q, nil, work)
  if value == nil and err and err.kind == "cancelled" then deliver(task, err) end
  return value, err
end

return M
