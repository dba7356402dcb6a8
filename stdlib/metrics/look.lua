--- What is read when somebody asks: the pool, caches, tasks, memory, runs, mail, servers, worlds. It is kept by its owners anyway,
--- so nothing is counted for it; of modules that are not loaded nothing is said. Numbers are added to a set that is made for one
--- answer, so that what shares the row of "other" is summed.

local about = require "core.about"
local approval = require "core.approval"
local effect = require "core.effect"
local keeper = require "core.keeper"
local pool = require "core.gate.pool"
local tasks = require "core.task"
local time = require "stoke.time"

require "core.driver.time"

local M = {}

local loaded = package.loaded

--- Numbers without labels: { kind, name, help, value }; those without a value are left out.
local function plain(set, list)
  local group = set:group {}
  local row = group:row()
  for _, one in ipairs(list) do
    local kind, name, help, value = one[1], one[2], one[3], one[4]
    if value then group[kind](group, name, help):add(row, value) end
  end
end

-- ---- the process ----------------------------------------------------------------------------------------------------------------

--- Seconds after which the timer is due that tells how late the loop is.
local TRIED <const> = 0.001

--- How late a timer comes now: what everybody else waits, too.
local function lag()
  local before = time.monotonic()
  tasks.park("metrics", TRIED)
  return math.max((time.monotonic() - before - TRIED) * 1e6 // 1 / 1e6, 0)
end

local function process(set)
  local held, peak = about.memory()
  plain(set, {
    { "gauge", "process_start_time_seconds", "When the process began, in seconds since 1970.", keeper.began },
    { "counter", "process_cpu_seconds_total", "Seconds of processor time.", effect.perform "time.cpu" },
    { "gauge", "stoke_heap_bytes", "Bytes that Lua and the engines hold.", held },
    { "gauge", "stoke_heap_peak_bytes", "The most of these so far.", peak },
    { "gauge", "stoke_tasks", "Tasks of scripts that live.", tasks.count() },
    { "gauge", "stoke_loop_lag_seconds", "How late a timer of the event loop came, tried once for this answer.", lag() },
    { "gauge", "stoke_approvals_waiting", "Calls that wait for a person's approval.", #approval.list() },
  })
  local info = set:group { "version" }
  info:gauge("stoke_info", "Which version of stoke this is."):add(info:row(about.version), 1)
end

-- ---- the pool -------------------------------------------------------------------------------------------------------------------

local CLASSES <const> = { "interactive", "normal", "batch" }
local BREAKER <const> = { "closed", "tender", "open", "trial" }

--- { name of a lane's field, kind, name, help }
local OF_LANE <const> = {
  { "slots", "gauge", "stoke_pool_slots", "Calls that the model answers at once, as far as is known." },
  { "busy", "gauge", "stoke_pool_slots_used", "Calls that are out." },
  { "longest", "gauge", "stoke_pool_waiting_longest_seconds", "Seconds that the call waits which has waited for longest." },
  { "load_seconds", "gauge", "stoke_pool_load_seconds", "What loading the model takes." },
  { "prompt_tokens", "counter", "stoke_pool_prompt_tokens_total",
    "Tokens of prompts of which is known how much the server remembered." },
  { "remembered_tokens", "counter", "stoke_pool_prompt_tokens_remembered_total",
    "Of these: tokens that it had in its cache of prefixes." },
}

local function lanes(set)
  local lane_labels, waits, breakers = set:group { "endpoint", "model" }, set:group { "endpoint", "model", "class" },
    set:group { "endpoint", "model", "state" }
  local numbers = {}
  for i, one in ipairs(OF_LANE) do numbers[i] = lane_labels[one[2]](lane_labels, one[3], one[4]) end
  local resident = lane_labels:gauge("stoke_pool_model_loaded", "1: the model is in memory; 0: it is not.")
  local waiting = waits:gauge("stoke_pool_calls_waiting", "Calls that wait for a slot.")
  local breaker = breakers:gauge("stoke_pool_breaker", "1: the state of the model's circuit breaker.")
  return function(endpoint, lane)
    local model = lane.model or lane.key
    local row = lane_labels:row(endpoint, model)
    for i, one in ipairs(OF_LANE) do
      if lane[one[1]] then numbers[i]:add(row, lane[one[1]]) end
    end
    if lane.resident ~= nil then resident:add(row, lane.resident and 1 or 0) end
    for _, class in ipairs(CLASSES) do waiting:add(waits:row(endpoint, model, class), lane.classes and lane.classes[class] or 0) end
    if not lane.model then return end
    for _, state in ipairs(BREAKER) do
      breaker:add(breakers:row(endpoint, model, state), state == (lane.breaker or "closed") and 1 or 0)
    end
  end
end

local STATES <const> = { "ok", "paced", "sick", "loading" }

local function of_pool(set)
  local state = pool.state(0, true)
  local by_server, by_state, add = set:group { "endpoint" }, set:group { "endpoint", "state" }, lanes(set)
  local swaps = by_server:counter("stoke_pool_swaps_total", "Models that were loaded in place of another.")
  local took = by_server:counter("stoke_pool_swap_seconds_total", "Seconds that these took.")
  local states = by_state:gauge("stoke_pool_server", "1: the state of the server.")
  for _, server in ipairs(state.servers) do
    local name = server.name or "?"
    local row = by_server:row(name)
    swaps:add(row, server.swaps)
    took:add(row, server.swap_seconds)
    for _, word in ipairs(STATES) do states:add(by_state:row(name, word), word == server.state and 1 or 0) end
    for _, lane in ipairs(server.lanes) do add(name, lane) end
  end
  for _, lane in ipairs(state.others) do add(nil, lane) end
  plain(set, {
    { "counter", "stoke_pool_hedges_total", "Calls that were made a second time, since the first was late.", state.hedges },
    { "counter", "stoke_pool_hedges_won_total", "Of these: those that answered first.", state.hedges_won },
    { "counter", "stoke_pool_moved_total", "Calls that failed at one server, and were sent to another.", state.moved },
    { "counter", "stoke_pool_refused_total", "Calls that were refused, since they would have missed their deadline.", state.shed },
  })
end

-- ---- caches, runs, mail ---------------------------------------------------------------------------------------------------------

local TIERS <const> = { "exact", "shared", "semantic", "prefix" }

local function caches(set)
  local gate = loaded["core.gate.cache"]
  if not gate then return end
  local counts = gate.counts
  local tiers = set:group { "tier" }
  local hits = tiers:counter("stoke_cache_hits_total", "Calls that a cache answered, and which one.")
  for _, tier in ipairs(TIERS) do hits:add(tiers:row(tier), counts[tier]) end
  plain(set, {
    { "counter", "stoke_cache_misses_total", "Calls that were looked for, and that a model answered.", counts.misses },
    { "counter", "stoke_cache_stale_total", "Hits that were past their time, and are asked for anew.", counts.stale },
    { "counter", "stoke_cache_rescued_total", "Hits that were past their time, in place of an error.", counts.errors },
    { "counter", "stoke_cache_saved_input_tokens_total", "Tokens of prompts that were not sent.", counts.saved_input },
    { "counter", "stoke_cache_saved_output_tokens_total", "Tokens of answers that were not written.", counts.saved_output },
  })
end

local RUN <const> = { "running", "waiting", "parked", "done", "failed", "cancelled" }

local function runs(set)
  local module = loaded["core.runs"]
  local store = module and module.store()
  local found = store and store:states()
  if not found then return end
  local states = set:group { "state" }
  local count = states:gauge("stoke_runs", "Durable runs in the store of this process.")
  for _, state in ipairs(RUN) do count:add(states:row(state), found[state] or 0) end
  local live = 0
  for _ in next, module.live do live = live + 1 end
  plain(set, { { "gauge", "stoke_runs_live", "Durable runs that this process has.", live } })
end

local function mail(set)
  local mailbox = loaded["core.mailbox"]
  if not mailbox then return end
  local waiting, list = 0, mailbox.list()
  for _, box in ipairs(list) do waiting = waiting + box.waiting end
  plain(set, {
    { "gauge", "stoke_mailboxes", "Mailboxes with a name.", #list },
    { "gauge", "stoke_mailbox_letters_waiting", "Letters that wait in these.", waiting },
    { "counter", "stoke_mailbox_dead_letters_total", "Letters that nobody took.", mailbox.dead.count },
  })
end

-- ---- agents, servers, worlds ----------------------------------------------------------------------------------------------------

local function count_live(module)
  local found = loaded[module]
  if not found then return nil end
  local count = 0
  for _ in next, found.live do count = count + 1 end
  return count
end

local function served(set)
  local serve = loaded["stoke.serve"]
  if not serve or not next(serve.live) then return end
  local now, most, turns, refused = 0, 0, 0, 0
  for host in next, serve.live do
    local gate = host.gate
    now, most, turns, refused = now + gate.count, most + gate.most, turns + gate.turns, refused + gate.refused
  end
  plain(set, {
    { "gauge", "stoke_served_turns", "Turns of clients that are under way.", now },
    { "gauge", "stoke_served_turns_limit", "So many may be.", most },
    { "counter", "stoke_served_turns_total", "Turns of clients that were begun.", turns },
    { "counter", "stoke_served_refused_total", "Turns of clients that were refused, as there were too many.", refused },
  })
end

local function worlds(set)
  local module = loaded["stoke.world"]
  if not module then return end
  plain(set, { { "gauge", "stoke_worlds", "Worlds that are open.", count_live "stoke.world" } })
  local names = set:group { "world" }
  local ticks = names:gauge("stoke_world_tick", "The tick that a world has come to.")
  for world in next, module.live do ticks:add(names:row(world.name), world.engine.now) end
end

local function agents(set)
  plain(set, {
    { "gauge", "stoke_agents", "Agents that live.", count_live "stoke.agent" },
    { "gauge", "stoke_sessions", "Sessions that live.", count_live "stoke.agent.session" },
  })
end

--- Put all of it into an empty set. It waits for a moment: for the loop, and for the store.
---@param set stoke.metrics.set
---
--- Example: `look.into(series.new())`
function M.into(set)
  for _, part in ipairs { process, of_pool, caches, runs, mail, agents, served, worlds } do part(set) end
end

return M
