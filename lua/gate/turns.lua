--- The pool's shell, for calls that have to wait or to choose: it makes tickets, parks tasks until the engine has decided, and
--- wakes the engine when a time is due. What is decided is in lua/pool/, which knows neither tasks nor clocks.

local choose = require "core.pool.choose"
local host = require "host.task"
local monotonic = require "host.time".monotonic
local chains = require "core.gate.chain"
local chores = require "core.gate.chores"
local engines = require "core.pool.engine"
local errors = require "core.errors"
local gate = require "core.gate.pool"
local learners = require "core.pool.learners"
local memory = require "core.gate.memory"
local power = require "core.pool.power"
local program = require "core.gate.program"
local tasks = require "core.task"
local terms = require "core.terms"
local words = require "core.pool.words"

local M = {}

--- Seconds after which a call that waits is overdue, by class.
local BOUNDS <const> = { 10, 60, 600 }

--- What the settings say, as the engine takes it.
local function told(settings)
  local bounds = {}
  for class, name in ipairs(terms.NAMES) do
    local bound = (settings.bounds or {})[name]
    if bound == false then bound = math.huge end -- never
    bounds[class] = bound or BOUNDS[class]
  end
  return { order = settings.order, hold = settings.hold, bounds = bounds }
end

local state = engines.new(told(gate.settings))
state.power = gate.settings.power and power.new(gate.settings.power) or nil

--- The messages of a call, where it has any. A body that was not made yet is not made for this.
function state.chain_of(ticket)
  local q = ticket.call.q
  local messages = rawget(q, "messages")
  if not messages then
    local holder = rawget(q, "about") or rawget(q, "body")
    messages = type(holder) == "table" and holder.messages
  end
  return type(messages) == "table" and chains.of(messages) or nil
end

local park, wake, current = host.park, host.wake, host.current

--- A wait that the host's clock can tell from none, seconds.
local LEAST <const> = 1e-6

-- ---- time -----------------------------------------------------------------------------------------------------------------

local huge = math.huge
local timer = { task = nil, at = nil }
local tell

--- Advance the engine whenever a time is due. A task of the host's: it ends when nothing is due any more.
local function run_timer()
  while true do
    local due, now = state:due(), monotonic()
    if not due then break end
    if due <= now then
      state:advance(now)
      tell()
      due = state:due()
      if due and due <= now then due = now + 0.01 end -- what was due has changed nothing: ask again a little later
    end
    if due then
      timer.at = due
      park("pool", math.max(due - now, LEAST))
    end
  end
  timer.task = nil
end

local function set_timer()
  local due, task = state:due(), timer.task
  if not task then
    if not due then return end
    timer.at = due
    timer.task = tasks.spawn(run_timer, { system = true, name = "pool" })
  elseif not due or due < timer.at then -- sooner, or not at all
    timer.at = due or huge
    if task.co and task ~= current() then wake(task.co) end
  end
end

--- Wake those whose tickets were decided, and see to the time.
function tell()
  local todo = state.chores
  if todo[1] then -- who leaves a server's memory does so before the call is sent that needs it
    state.chores = {}
    chores.run(state, todo, tell)
  end
  local decided = state.decided
  if decided[1] then
    state.decided = {}
    local me = current()
    for i = 1, #decided do
      local task = decided[i].task
      if task ~= me and task.co then wake(task.co) end
    end
  end
  local rested = state.rested
  if rested[1] then
    state.rested = {}
    for i = 1, #rested do gate.rested(rested[i]) end
  end
  if state.power then chores.read_sensors(state, tell) end
  set_timer()
end

-- ---- tickets --------------------------------------------------------------------------------------------------------------

--- Tokens of a call's prompt, at a guess.
local function input_of(call, target)
  local estimate = target.dialect.estimate
  return estimate and estimate(call.q, target) or 0
end

local function ticket_of(call, group)
  local task, work = call.asker or call.task, call.work
  local run = type(work) == "table" and work.run or nil
  local context = (task.scope or task).context
  local owner, unit = program.of(task, context, run)
  local ticket = state:ticket { group = group, order = program.key(owner, unit), program = owner,
    task = task, call = call, unit = run and run.history or nil, agent = run and run.agent.label or nil, seq = nil }
  local class, deadline = terms.class(call), terms.deadline(call)
  if class ~= 2 then ticket.class = class end
  if deadline then ticket.deadline = deadline end
  if program.holds(task, context, run) then ticket.holder = true end
  if (deadline or group.lanes[2]) and call.target then ticket.input = input_of(call, call.target) end
  return ticket
end

local function wedged(lane)
  local name = lane.target and lane.target.endpoint.name or lane.server.url
  return errors.new("timeout", ("the endpoint %s takes calls and answers none, not even one for a single token"):format(name),
    { retryable = false, hint = "restart that server; its lists (stoke ps) may look healthy" })
end

--- The error of a call that was refused.
local function refused(ticket)
  local err, target = ticket.err, ticket.call.target
  if err and err.wedged then return wedged(ticket.group.lanes[1]) end
  if err then -- of another call: what that one had got is not this one's
    return errors.new(err.kind, err.message, { hint = err.hint, status = rawget(err, "status"), retryable = false, cause = err,
      model = target and target.name or nil })
  end
  return errors.new("overloaded", ("%s %s"):format(target and target.name or ticket.group.lanes[1].key,
    words.refused(ticket, monotonic())), { seconds = ticket.late,
    hint = "give it more time, a smaller model (a route, a fallback), or another class: only interactive calls are refused" })
end

--- A call goes to the lane that it was granted.
local function granted(call, ticket)
  local lane = ticket.lane
  if ticket.targets then
    call.target = ticket.targets[lane.key]
    if call.avoid and call.avoid ~= lane.key then state.counts.moved = state.counts.moved + 1 end
  end
  local span = call.span
  if span then span.slot, span.reason = lane.key, ticket.reason end
  return ticket
end

local function all_lanes()
  local list = {}
  for _, lane in next, gate.pools do list[#list + 1] = lane end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

state.recall = memory.facts
local remembered = false

--- What earlier processes have learned is read when somebody has to wait for the first time.
local function remember()
  remembered = true
  memory.read(function()
    state:remember(all_lanes())
    state:advance(monotonic())
    tell()
  end)
end

--- Something was learned of a lane.
local function note(lane)
  if not lane.slots then return end
  lane.told = lane.told or function() return learners.facts(lane) end
  memory.note(lane.key, lane.told)
  local server = lane.server
  if not server.residency then return end
  server.told = server.told or function() return server.residency and server.residency:facts() end
  memory.note(server.url, server.told)
end

--- The end of a wait that a deadline has cut off says what was waited for: nobody else could find out later. One call of a scope
--- tells it for all of them (lua/scope.lua).
local function cut_off(call, ticket, err)
  local task = call.task
  local reason = (task.scope or task).cancelled
  if not reason or not rawget(reason, "late") or rawget(reason, "waited") then return err end
  return errors.new("cancelled", err.message, { waited = words.waited(ticket, monotonic(), state.power) })
end

--- Queue up until the ticket is decided.
local function wait(call, ticket, key)
  if not remembered then remember() end
  call.slot = ticket -- given back from there, should the task be cut off
  state:arrive(ticket, monotonic())
  tell()
  if ticket.state == "waiting" then
    if call.span then ticket.reason = words.reason(ticket, monotonic(), state.power) end
    if call.def.waits then call.def.waits(call.q) end
    ticket.task = host.enter("pool " .. key)
    repeat
      local woken, err = park("pool " .. key)
      if woken == nil then
        err = cut_off(call, ticket, err)
        call.slot = nil
        state:done(ticket, { cancelled = true }, monotonic())
        tell()
        return nil, err
      end
    until ticket.state ~= "waiting"
  end
  if ticket.state == "granted" then return granted(call, ticket) end
  call.slot = nil
  return nil, refused(ticket)
end

--- Wait for a slot of a lane.
---@param call table
---@param lane stoke.pool.lane
---@return stoke.pool.ticket|nil
---@return stoke.error|nil err
function M.wait(call, lane)
  return wait(call, ticket_of(call, state:group { lane }), lane.key)
end

--- Does a lane take calls, as far as anybody knows?
local function open(lane, now) return not lane.breaker or choose.room(lane, now) >= 0 end

--- Wait for a slot of any of several lanes. A call that failed at one is sent there again only where no other one takes calls.
---@param call table
---@param work stoke.target[]
---@return stoke.pool.ticket|nil
---@return stoke.error|nil err
function M.route(call, work)
  local list, targets, avoided, others = {}, {}, nil, false
  local now = monotonic()
  for _, target in ipairs(work) do
    local key = target.key
    if key == call.avoid then
      avoided = target
    elseif not targets[key] then
      local lane = gate.lane(key, target)
      targets[key], list[#list + 1], others = target, lane, others or open(lane, now)
    end
  end
  if avoided and not others then
    targets[avoided.key], list[#list + 1] = avoided, gate.lane(avoided.key, avoided)
  end
  local ticket = ticket_of(call, state:group(list))
  ticket.targets = targets
  local slot, err = wait(call, ticket, list[1].key)
  if not slot and ticket.err and avoided and others then -- those fail, too, by now
    call.avoid = ""
    return M.route(call, work)
  end
  return slot, err
end

-- ---- outcomes ---------------------------------------------------------------------------------------------------------------

--- What became of a call, as the engine wants to know it.
local function outcome_of(target, value, err)
  local dialect = target and target.dialect
  local outcome = { err = err and err.kind ~= "cancelled" and err or nil, cancelled = err ~= nil and err.kind == "cancelled" }
  if type(value) == "table" and dialect then
    local last = value.done -- a stream's last event
    outcome.timings = dialect.timings and dialect.timings(type(last) == "table" and last.reply or value)
    outcome.tool = dialect.continues and dialect.continues(value)
    outcome.continues = outcome.tool ~= nil
  end
  return outcome
end

--- Programs are looked through for those that have ended after so many answers, and not before a fourth of their number.
local SWEPT <const> = 8
local charged = SWEPT

--- Calls of models that nobody traced, for who begins to count while they wait: { calls, failed, input_tokens, output_tokens }.
M.untraced = { calls = 0, failed = 0, input_tokens = 0, output_tokens = 0 }

local function count_untraced(outcome)
  local sum, timings = M.untraced, outcome.timings
  sum.calls = sum.calls + 1
  if outcome.err or outcome.cancelled then sum.failed = sum.failed + 1 end
  if timings then
    sum.input_tokens = sum.input_tokens + (timings.input or 0)
    sum.output_tokens = sum.output_tokens + (timings.output or 0)
  end
end

--- A ticket's slot comes back.
---@param ticket stoke.pool.ticket
---@param value any
---@param err stoke.error|nil
function M.done(ticket, value, err)
  local target = ticket.lane and ticket.lane.target
  local outcome = outcome_of(target, value, err)
  if outcome.cancelled and ticket.began then outcome.in_prefill = not ticket.streams end
  state:done(ticket, outcome, monotonic())
  if outcome.timings then note(ticket.lane) end
  local call = ticket.call
  if target and not call.span and call.def.usage then count_untraced(outcome) end
  charged = charged - 1
  if charged <= 0 then charged = math.max(SWEPT, program.sweep(state.programs) // 4) end
  tell()
end

--- The answer to a call has begun.
---@param ticket stoke.pool.ticket
function M.began(ticket)
  state:began(ticket, monotonic())
  tell()
end

--- A slot comes back that was counted in place before the engine had the lane.
---@param lane stoke.pool.lane
---@param value any
---@param err stoke.error|nil
function M.counted(lane, value, err)
  state:group { lane }
  state:finished(lane, nil, outcome_of(lane.target, value, err), monotonic())
  tell()
end

-- ---- for the gate -----------------------------------------------------------------------------------------------------------

--- Calls that wait for a lane alone; those of a route count where it goes first.
---@param lane stoke.pool.lane
---@return integer
function M.waiting(lane)
  local n = 0
  for _, group in ipairs(lane.groups or {}) do
    if group.lanes[1] == lane then n = n + group.queue.size end
  end
  return n
end

--- Forget an idle lane.
---@param lane stoke.pool.lane
---@return boolean
function M.forget(lane) return state:forget(lane) end

--- The settings have changed.
---@param settings table
function M.configure(settings)
  state.power = settings.power and power.new(settings.power) or nil
  state:configure(told(settings), all_lanes(), monotonic())
  tell()
end

--- Forget what was learned of all lanes.
function M.forget_all()
  memory.forget()
  remembered = false
  state:unlearn(all_lanes())
  state:advance(monotonic())
  tell()
end

--- The engine, for who looks into it.
function M.engine() return state end

--- How many programs have had to wait and have not ended.
function M.programs() return program.alive() end

return M
