--- A run done again from what was recorded.

local compare = require "core.journal.place"
local drivers = require "core.driver.runs"
local errors = require "core.errors"
local plain = require "core.journal.plain"
local policy = require "core.gate.policy"
local timeline = require "stoke.runs.timeline"

local M = {}

---@class stoke.runs.replayed
---@field same boolean nothing was different, as far as the recording goes
---@field effects integer records that were given
---@field ended boolean the recording goes to the end of the run
---@field difference? string in words
---@field err? stoke.error that of the divergence
---@field state string of the run

local NAMES = { "recorded", "replayed" }

--- How the run ended this time, against how it did.
local function end_difference(run, results)
  local err = results.err
  if run.state == "done" then
    if err then return "it ended with a result, and now fails: " .. tostring(err) end
    local value = plain.copy(results[1])
    if compare.same(run.result, value) then return nil end
    return "its result: " .. compare.difference(run.result, value, NAMES)
  end
  local was = run.error and { kind = run.error.kind, message = run.error.message }
  local is = err and { kind = err.kind, message = err.message }
  if compare.same(was, is) then return nil end
  return "its end: " .. compare.difference(was, is, NAMES)
end

local function judge(run, results, given)
  local err = results.err
  local out = { effects = given, state = run.state, same = true,
    ended = run.state == "done" or run.state == "failed" or run.state == "cancelled" }
  if err and rawget(err, "ends") then
    out.ended = false
  elseif err and err.kind == "replay" and not (run.error and run.error.kind == "replay") then
    out.same, out.difference, out.err = false, err.message, err
  elseif out.ended then
    out.difference = end_difference(run, results)
    out.same = out.difference == nil
  end
  return out
end

--- Do it again.
---@param q { id: string, store?: string, text?: string }
---@param options { to?: integer, on_record?: fun(entry: stoke.runs.entry, row: table), on_given?: fun(row: table),
---  print?: boolean, code?: "own"|"latest", closed?: boolean }
---@return stoke.runs.replayed
---Raises `usage`, `argument`, `db`.
---
--- Example: `print(replay.run({ id = "trip-7" }, {}).same)`
function M.run(q, options)
  local given, run = 0, nil
  local function on_given(row)
    given = given + 1
    if options.on_record then options.on_record(timeline.entries({ row }, run, true)[1], row) end
    if options.on_given then options.on_given(row) end
  end
  local results
  local latest = options.code == "latest"
  results, run = drivers.replay(q, { to = options.to, on_given = on_given, print = options.print, latest = latest,
    begun = function(it)
      run = it
      if options.closed then policy.set { otherwise = { tool = "deny", path = "deny", host = "deny", command = "deny" } } end
    end })
  if not results then error(run, 0) end
  local report = judge(run, results, given)
  if latest and report.difference then report.difference = report.difference:gsub(" %(as the run has it%)", "") end
  return report
end

--- The report in words.
---@param report stoke.runs.replayed
---@return string
---
--- Example: `io.write(replay.text(stoke.runs.replay "trip-7"))`
function M.text(report)
  local count = ("%d effect%s"):format(report.effects, report.effects == 1 and "" or "s")
  if not report.same then return ("%s, then a difference: %s\n"):format(count, report.difference) end
  if report.ended then return count .. ", all the same\n" end
  return ("%s, all the same as far as it goes: the run is %s\n"):format(count, report.state)
end

M.check = errors.check

return M
