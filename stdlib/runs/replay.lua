--- A run done again from what was recorded.

local code = require "core.runs.code"
local drivers = require "core.driver.runs"
local place = require "core.journal.place"
local plain = require "core.journal.plain"
local policy = require "core.gate.policy"
local redact = require "core.redact"
local timeline = require "stoke.runs.timeline"
local words = require "stoke.runs.words"

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
local function end_difference(run, results, journal)
  local err = results.err and redact.error(results.err) -- as it was kept
  if run.state == "done" then
    if err then return "it ended with a result, and now fails: " .. tostring(err) end
    local value = plain.copy(results[1])
    if place.same(run.result, value) then return nil end
    return "its result: " .. place.difference(run.result, value, NAMES)
  end
  local was = run.error and { kind = run.error.kind, message = run.error.message }
  local is = err and { kind = err.kind, message = code.plain(journal.redactor:text(err.message)) } -- it knows what the run has read
  if place.same(was, is) then return nil end
  return "its end: " .. place.difference(was, is, NAMES)
end

-- ---- where it parts ------------------------------------------------------------------------------------------------------------

--- What is said of a record: "#5 guide: tool get_weather {city=Oslo} (trip.lua:8)".
local function called(row, where, number)
  local who = words.who(row.key)
  return ("%s%s%s%s"):format(number and ("#%d "):format(row.number) or "", who and who .. ": " or "", words.what(row),
    where and (" (%s)"):format(where) or "")
end

--- The divergence as a stranger can read it; nil where it is one of another kind.
local function parting(err, journal)
  local now = err.message:match "\n  in ([^\n]*)$"
  now = now and now:gsub(" %(as the run has it%)", "")
  local row = journal.by_key[err.key or ""]
  if row and err.asked ~= nil then
    local moved = now and row.where and now ~= row.where and (", now at %s"):format(now) or ""
    local said = place.difference(err.recorded, err.asked, NAMES)
    return ("%s asks something else%s: %s"):format(called(row, row.where, true), moved, said)
  end
  local following = journal:next_row()
  local after = following and called(following, following.where, true)
  if err.asked ~= nil then
    local name = err.key:match "([^/]*)#%d+$"
    return ("%s was not asked when it was recorded%s"):format(called({ key = err.key, name = name, request = err.asked }, now),
      after and "; there comes " .. after or "")
  end
  if not after then return nil end
  if err.recorded ~= nil then return "the run is at its end, and its recording goes on with " .. after end
  return ("the run goes on without what comes next in its recording: %s\n  %s"):format(after, err.message)
end

local function judge(run, results, given, journal)
  local err = results.err
  local out = { effects = given, state = run.state, same = true,
    ended = run.state == "done" or run.state == "failed" or run.state == "cancelled" }
  if err and rawget(err, "ends") then
    out.ended = false
  elseif err and err.kind == "replay" and not (run.error and run.error.kind == "replay") then
    out.same, out.difference, out.err = false, parting(err, journal) or err.message, err
  elseif out.ended then
    out.difference = end_difference(run, results, journal)
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
  local results, journal
  local function begun(it)
    run = it
    if options.closed then policy.set { otherwise = { tool = "deny", path = "deny", host = "deny", command = "deny" } } end
  end
  results, run, journal = drivers.replay(q, { to = options.to, on_given = on_given, print = options.print, begun = begun,
    latest = options.code == "latest" })
  if not results then error(run, 0) end
  return judge(run, results, given, journal)
end

--- The report in words.
---@param report stoke.runs.replayed
---@return string
---
--- Example: `io.write(replay.text(stoke.runs.replay "trip-7"))`
function M.text(report)
  local count = ("%d effect%s"):format(report.effects, report.effects == 1 and "" or "s")
  if not report.same then return ("%s the same, then a difference:\n%s\n"):format(count, report.difference) end
  if report.ended then return count .. ", all the same\n" end
  return ("%s, all the same as far as it goes: the run is %s\n"):format(count, report.state)
end

return M
