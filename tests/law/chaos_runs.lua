-- Runs of chaos programs: recorded, replayed, cut and gone on with, and compared.

local errors = require "core.errors"
local journal = require "core.journal"
local stoke = require "stoke"
local actions = require "chaos_actions"
local logs = require "table_log"
local programs = require "order_programs"

local M = {}

local ALL = programs.with(actions)

local function new_run(world, own)
  local run = { trace = {}, world = world, actions = own or ALL, leaf = actions.leaf, seconds = 0.3 }
  function run.step(_, ...) run.trace[#run.trace + 1] = table.concat({ ... }, " ") end
  return run
end

local function words(results)
  return results.err and ("%s: %s"):format(results.err.kind, results.err.message) or tostring(results.n)
end

-- Somebody outside cancels a task of the run.
local function meddle(run)
  if math.random(3) > 1 then return end
  stoke.sleep(math.random() * 0.05)
  local handles = run.handles or {}
  local task = handles[math.random(math.max(1, #handles))]
  if task then task:cancel "from outside" end
end

-- Where two traces part, in words; nil when they are the same.
local function difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return ("step %d of %d: %q, replayed %q"):format(i, #a, a[i] or "-", b[i] or "-") end
  end
end

local function row_difference(a, b)
  for i = 1, math.max(#a, #b) do
    local x, y = a[i], b[i]
    if not x or not y then return ("row %d of %d: %s, %s"):format(i, #a, x and x.key or "-", y and y.key or "-") end
    if x.key ~= y.key or x.digest ~= y.digest or x.inline ~= y.inline then
      return ("row %d: %s %s %s, %s %s %s"):format(i, x.key, x.digest, x.inline, y.key, y.digest, y.inline)
    end
  end
end

-- A recorded run, and the journals that were there at random moments of it.
function M.record(world, seed, cuts, program)
  local run = new_run(world)
  local outside = stoke.spawn(meddle, run)
  local snapshots = {}
  local function f()
    local tape = journal.current()
    run.tape = tape
    return (program or programs.program(seed))(run)
  end
  local cutter = stoke.spawn(function()
    for _ = 1, cuts or 0 do
      stoke.sleep(math.random() * 0.06)
      if run.tape and run.tape.schedule then
        snapshots[#snapshots + 1] = { tape = run.tape:snapshot(), steps = #run.trace }
      end
    end
  end)
  local tape, results
  local recorder = stoke.spawn(function() tape, results = journal.record(tostring(seed), f) end)
  local ender = math.random(6) == 1 and stoke.spawn(function() -- who waits for the run goes away
    stoke.sleep(math.random() * 0.1)
    recorder:cancel "nobody waits"
  end)
  pcall(recorder.await, recorder)
  if ender then ender:cancel() end
  if not tape then
    tape, results = run.tape:snapshot(), { err = errors.new("cancelled", "nobody waits") }
  end
  outside:cancel()
  cutter:cancel()
  run.result = words(results)
  return { run = run, tape = tape, snapshots = snapshots, seed = seed, program = program }
end

-- Replays a journal: the run, and the journal of it. `live`: it may go on live.
function M.replay(world, seed, tape, program)
  local run, live = new_run(world), {}
  local function f()
    local own = journal.current()
    function own.count_live(_, name, key)
      live[#live + 1] = ("%s %s"):format(name, key or "")
      if key then live[key] = true end
    end
    run.journal = own
    return (program or programs.program(seed))(run)
  end
  local results, again = journal.replay(tape, f)
  run.result, run.live = words(results), live
  return run, again
end

-- A recorded run with a log that is handed over after each record, as if a crash came between any two: what is kept after each.
function M.record_kept(world, seed, program)
  local run, steps = new_run(world), {}
  local log = logs.new(true)
  local outside = stoke.spawn(meddle, run)
  function log.on_flush(count) steps[count] = #run.trace end
  local tape = journal.new { id = tostring(seed), log = log }
  log.journal = tape
  local results = tape:run(function() return (program or programs.program(seed))(run) end)
  outside:cancel()
  run.result = words(results)
  return { run = run, tape = tape, log = log, steps = steps, seed = seed, program = program }
end

-- Goes on from what was kept after `count` hand-overs. What was in doubt then is done again.
function M.go_on(world, recorded, count)
  local run, live = new_run(world), {}
  local parts = recorded.log:load(count)
  local log = logs.new(true, table.move(recorded.log.batches, 1, count, 1, {}))
  for _, row in ipairs(parts.rows) do row.intent = nil end
  local tape = journal.new { id = tostring(recorded.seed), log = log, kept = parts }
  log.journal = tape
  function tape.count_live(_, _, key)
    if key then live[key] = true end
  end
  local results = tape:run(function()
    run.journal = tape
    return (recorded.program or programs.program(recorded.seed))(run)
  end)
  run.result, run.live = words(results), live
  return { run = run, tape = tape, log = log, seed = recorded.seed, program = recorded.program }, recorded.log:load(count)
end

-- The same in the file of a store: what is kept is what comes out of it.
function M.record_stored(world, seed, store)
  local run = new_run(world)
  local kept = assert(store:create { id = "chaos " .. seed, workflow = "chaos", seed = tostring(seed) })
  local outside = stoke.spawn(meddle, run)
  local log = assert(store:log(kept))
  log.texts = seed % 2 == 0 -- else the journal remembers its rows, too
  local tape = journal.new { id = tostring(seed), log = log }
  local results = tape:run(function() return programs.program(seed)(run) end)
  assert(log:commit())
  outside:cancel()
  run.result = words(results)
  local recorded = { run = run, tape = tape, seed = seed, kept = kept, store = store }
  if log.texts then tape.rows = M.load_stored(recorded).rows end
  return recorded
end

-- What is kept up to a record, or all.
function M.load_stored(recorded, to)
  local parts = assert(recorded.store:load(recorded.kept, to))
  for _, row in ipairs(parts.rows) do row.intent = nil end
  local held = journal.new { id = tostring(recorded.seed), kept = parts }
  held.deliveries = parts.deliveries
  return held:snapshot()
end

-- Replays all that is kept in a log.
function M.replay_kept(world, recorded)
  local parts = recorded.log:load()
  local held = journal.new { id = tostring(recorded.seed), kept = parts }
  held.deliveries = parts.deliveries
  return M.replay(world, recorded.seed, held:snapshot(), recorded.program)
end

-- What is wrong with a replay of a whole run; nil: nothing.
function M.why_not(recorded, run, again)
  local why = difference(recorded.run.trace, run.trace)
  if why then return why .. "; the replay: " .. run.result end
  if recorded.run.result ~= run.result then return ("the end: %s, replayed %s"):format(recorded.run.result, run.result) end
  if #run.live > 0 then return ("%d effects were done again, the first %s"):format(#run.live, run.live[1]) end
  why = row_difference(recorded.tape.rows, again.rows)
  if why then return why end
  if again.deliveries ~= recorded.tape.deliveries then return "the deliveries are others" end
end

-- What is wrong with a run that went on from a cut of a recorded one; nil: nothing.
function M.not_from(recorded, cut, run)
  local steps = cut.steps
  local why = difference(table.move(recorded.run.trace, 1, steps, 1, {}), table.move(run.trace, 1, steps, 1, {}))
  if why then return why .. "; it went on: " .. run.result end
  for _, row in ipairs(cut.tape.rows) do
    if row.outcome and not row.inside and run.live[row.key] then return row.key .. " was asked again" end
  end
end

-- The program of a seed without a journal.
function M.plain(world, seed)
  programs.program(seed)(new_run(world))
end

return M
