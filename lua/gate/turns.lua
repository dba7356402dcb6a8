--- The pool's shell, for calls that have to wait or to choose: it makes tickets, parks tasks until the engine has decided, and
--- wakes the engine when a time is due. What is decided is in lua/pool/, which knows neither tasks nor clocks.

local choose = require "core.pool.choose"
local coros = require "core.coro"
local host = require "host.task"
local monotonic = require "host.time".monotonic
local notice = require "core.gate.notice"
local plain = require "core.pool.plain"
local chains = require "core.gate.chain"
local channel = require "core.channel"
local chores = require "core.gate.chores"
local engines = require "core.pool.engine"
local errors = require "core.errors"
local gate = require "core.gate.pool"
local learners = require "core.pool.learners"
local memory = require "core.gate.memory"
local power = require "core.pool.power"
local program = require "core.gate.program"
local refused = require "core.gate.refused"
local tasks = require "core.task"
local terms = require "core.terms"
local words = require "core.pool.words"

local M = {}

local raw_xpcall = coros.raw_xpcall -- nothing here waits inside

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

--- The messages of a call, where it has any. A body that was not made yet is not made for this.
local function chain_of(ticket)
  local q = ticket.call.q
  local messages = rawget(q, "messages")
  if not messages then
    local holder = rawget(q, "about") or rawget(q, "body")
    messages = type(holder) == "table" and holder.messages
  end
  return type(messages) == "table" and chains.of(messages) or nil
end

local recall -- what is remembered of a lane or a server

local function new_engine()
  local engine = engines.new(told(gate.settings))
  engine.power = gate.settings.power and power.new(gate.settings.power) or nil
  engine.chain_of, engine.recall = chain_of, function(key) return recall(key) end
  return engine
end

local state = new_engine()

local park, wake, current = host.park, host.wake, host.current

local function all_lanes()
  local list = {}
  for _, lane in next, gate.pools do list[#list + 1] = lane end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

-- ---- when the engine fails ------------------------------------------------------------------------------------------------

--- An engine that has failed does nothing any more, whoever still has it.
local GONE <const> = { __index = function() return function() end end }

--- A bug in the engine is no reason to lose what everybody else does: it is told once, and calls go first come, first served from
--- here on (lua/pool/plain.lua). Who waits and who is out is found by the tasks, not in what has failed.
local function fail(err)
  if state.plain then error(err, 0) end
  notice.tell("engine", "error", "internal error: the pool has a bug, and goes on first come, first served until this process " ..
    "ends; please report it with these lines", { error = err.message, traceback = rawget(err, "traceback") })
  local before, holders = state, require "core.gate.holders"
  state = plain.new(before)
  state.decided = before.decided
  before.waiting, before.power, before.chores, before.engaged, before.pinned = 0, nil, {}, {}, {}
  setmetatable(before, GONE)
  state:take_over(all_lanes(), holders.find(), holders.waiting(), monotonic())
end
chores.fail = function(err)
  if not state.plain then fail(err) end
end

--- Ask the engine.
---@param method string
---@return any value nil where it has failed
local function ask(method, ...)
  local ok, value = raw_xpcall(state[method], errors.handler, state, ...)
  if ok then return value end
  fail(value)
end

local function group_of(list) return ask("group", list) or state:group(list) end

--- A wait that the host's clock can tell from none, seconds.
local LEAST <const> = 1e-6

-- ---- time -----------------------------------------------------------------------------------------------------------------

local huge = math.huge
local timer = { task = nil, at = nil }
local tell

--- Advance the engine whenever a time is due. A task of the host's: it ends when nothing is due any more.
local function run_timer()
  while true do
    local due, now = ask "due", monotonic()
    if not due then break end
    if due <= now then
      ask("advance", now)
      tell()
      due = ask "due"
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

local function tell_all()
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

--- Wake those whose tickets were decided, and see to the time.
function tell()
  local ok, err = raw_xpcall(tell_all, errors.handler)
  if ok then return end
  fail(err)
  tell_all()
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

--- The versions of servers, by address, where anybody has told: what was learned of another version is not sure. Asked once, beside
--- the calls, where something is kept at all. false: it was asked.
local versions, version_count = {}, 0
local VERSIONS <const> = 256

--- What is remembered of a lane or a server, by its key.
function recall(key) return memory.facts(key, versions[key:match "^%S*"] or nil) end

--- Of what is remembered of a server's lanes some is of another version.
local function know_version(server, version)
  versions[server.url] = version
  local list = {}
  for _, lane in ipairs(server.lanes) do
    local known, sure = recall(lane.key)
    if known and not sure then list[#list + 1] = lane end
  end
  ask("remember", list)
end

local function ask_version(server)
  if version_count >= VERSIONS then versions, version_count = {}, 0 end
  versions[server.url], version_count = false, version_count + 1
  if not memory.path() then return end
  state.chores[#state.chores + 1] = { what = "version", server = server,
    told = function(version) know_version(server, version) end }
end

local remembered = false

--- What earlier processes have learned is read when somebody has to wait for the first time.
local function remember()
  remembered = true
  memory.read(function()
    ask("remember", all_lanes())
    ask("advance", monotonic())
    tell()
  end)
end

--- Something was learned of a lane.
local function note(lane)
  if not lane.slots then return end
  lane.told = lane.told or function() return learners.facts(lane) end
  local server = lane.server
  local version = versions[server.url] or nil
  memory.note(lane.key, lane.told, version)
  if not server.residency then return end
  server.told = server.told or function() return server.residency and server.residency:facts() end
  memory.note(server.url, server.told, version)
end

--- The end of a wait that a deadline has cut off says what was waited for: nobody else could find out later. One call of a scope
--- tells it for all of them (lua/scope.lua).
local function cut_off(call, ticket, err)
  local task = call.task
  local reason = (task.scope or task).cancelled
  if not reason or not rawget(reason, "late") or rawget(reason, "waited") then return err end
  return errors.new("cancelled", err.message, { waited = words.waited(ticket, monotonic(), state.power) })
end

--- Somebody waits for a permit: the calls of those who hold one go first, also when they wait already.
function channel.contended(semaphore)
  for permit in next, semaphore.permits do
    local call = permit.task.call
    local ticket = call and call.slot
    if ticket and ticket.state == "waiting" and not ticket.holder then
      raw_xpcall(ticket.group.queue.change, errors.handler, ticket.group.queue, ticket, "holder", true)
    end
  end
end

--- The calls for which a model leaves are sent once the server was told: one that comes before that would drive out whichever the
--- server likes, and the other one leaves as well.
local function wait_for_room(leaving)
  local till, me = monotonic() + chores.unload, host.enter "pool unload"
  local waiting, cut = leaving.tasks or {}
  leaving.tasks = waiting
  waiting[#waiting + 1] = me
  repeat
    local woken, err = park("pool unload", math.max(till - monotonic(), LEAST))
    cut = woken == nil and err or nil
  until woken == nil or leaving.done or monotonic() >= till
  for i = #waiting, 1, -1 do -- who goes on waits for something else by the time the server has been told
    if waiting[i] == me then table.remove(waiting, i) end
  end
  return cut
end

--- Queue up until the ticket is decided.
local function wait(call, ticket, key)
  if not remembered then remember() end
  for _, lane in ipairs(ticket.group.lanes) do
    if versions[lane.server.url] == nil and lane.target then ask_version(lane.server) end
  end
  call.slot = ticket -- given back from there, should the task be cut off
  ask("arrive", ticket, monotonic())
  if state.plain and not ticket.plain then state:arrive(ticket, monotonic()) end
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
        ask("done", ticket, { cancelled = true }, monotonic())
        tell()
        return nil, err
      end
    until ticket.state ~= "waiting"
  end
  if ticket.state == "granted" then
    local leaving = ticket.lane.leaving
    local err = leaving and not leaving.done and wait_for_room(leaving)
    if not err then return granted(call, ticket) end
    call.slot = nil
    ask("done", ticket, { cancelled = true }, monotonic())
    tell()
    return nil, err
  end
  call.slot = nil
  return nil, refused.error(ticket)
end

--- Wait for a slot of a lane.
---@param call table
---@param lane stoke.pool.lane
---@return stoke.pool.ticket|nil
---@return stoke.error|nil err
function M.wait(call, lane)
  return wait(call, ticket_of(call, group_of { lane }), lane.key)
end

--- Seconds for which a call that failed at one server of a route waits for the others alone. By then it is known whether that one
--- is down.
local SHUNS <const> = 5

--- Wait for a slot of any of several lanes. A call that failed at one is sent there again only where no other one takes calls, or
--- where it has waited for the others in vain.
---@param call table
---@param work stoke.target[]
---@return stoke.pool.ticket|nil
---@return stoke.error|nil err
function M.route(call, work)
  local all, rest, targets, others = {}, {}, {}, false
  local now = monotonic()
  for _, target in ipairs(work) do
    local key = target.key
    if not targets[key] then
      local lane = gate.lane(key, target)
      targets[key], all[#all + 1] = target, lane
      if key ~= call.avoid then rest[#rest + 1], others = lane, others or choose.open(lane, now) end
    end
  end
  local shuns = others and #rest < #all
  local ticket = ticket_of(call, group_of(shuns and rest or all))
  ticket.targets = targets
  if shuns then ticket.home, ticket.till, ticket.shuns = group_of(all), now + SHUNS, true end
  return wait(call, ticket, all[1].key)
end

--- A call that waits has another class or deadline now: more wait for it.
---@param ticket stoke.pool.ticket
---@param class 1|2|3
---@param deadline number|nil
function M.renew(ticket, class, deadline)
  local queue = ticket.group.queue
  if ticket.class ~= class then queue:change(ticket, "class", class) end
  if ticket.deadline ~= deadline then queue:change(ticket, "deadline", deadline) end
  state:advance(monotonic())
  tell()
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
  local known, outcome = raw_xpcall(outcome_of, errors.handler, target, value, err)
  if not known then
    chores.tell_dialect(target, outcome)
    outcome = { err = err }
  end
  if outcome.cancelled and ticket.began then outcome.in_prefill = not ticket.streams end
  local ok, failed = raw_xpcall(state.done, errors.handler, state, ticket, outcome, monotonic())
  if not ok then
    ticket.state = "done" -- it is counted no more
    fail(failed)
  end
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
  ask("began", ticket, monotonic())
  tell()
end

--- A slot comes back that was counted in place before the engine had the lane.
---@param lane stoke.pool.lane
---@param value any
---@param err stoke.error|nil
function M.counted(lane, value, err)
  group_of { lane }
  local known, outcome = pcall(outcome_of, lane.target, value, err)
  ask("finished", lane, nil, known and outcome or { err = err }, monotonic())
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
  state.power = not state.plain and settings.power and power.new(settings.power) or nil
  ask("configure", told(settings), all_lanes(), monotonic())
  tell()
end

--- Forget what was learned of all lanes.
function M.forget_all()
  memory.forget()
  remembered, versions, version_count = false, {}, 0
  if state.plain and state:release(all_lanes()) then state = new_engine() end
  ask("unlearn", all_lanes())
  ask("advance", monotonic())
  tell()
end

--- The engine, for who looks into it.
function M.engine() return state end

--- How many programs have had to wait and have not ended.
function M.programs() return program.alive() end

return M
