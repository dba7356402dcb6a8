--- What has come of a batch: counts, sums, the first failures, and how that is said.

local json = require "core.json"
local term = require "stoke.term"

local M = {}

--- Failures that are told one by one.
local TOLD <const> = 10

---@class stoke.batch.report plain data
---@field name string
---@field rows integer that were read
---@field done integer
---@field failed integer dead letters, those rows included that could not be read
---@field left integer that are not done yet
---@field duplicates integer rows whose id an earlier one has: they were passed over
---@field seconds number of this run of it
---@field calls integer of models, for all rows that are done
---@field input_tokens integer
---@field output_tokens integer
---@field model_seconds number
---@field cost? number where prices were given
---@field failures { id: string, row: integer, line?: integer, reason: string }[] the first ones
---@field output? string
---@field stopped? string why it ended before the last row

--- An empty report.
---@param name string
---@return stoke.batch.report
function M.new(name)
  return { name = name, rows = 0, done = 0, failed = 0, left = 0, duplicates = 0, seconds = 0, calls = 0, input_tokens = 0,
    output_tokens = 0, model_seconds = 0, failures = json.array {} }
end

--- Add what is known of a row.
---@param report stoke.batch.report
---@param found stoke.batch.found
function M.add(report, found)
  if found.state == "dead" then
    report.failed = report.failed + 1
    if report.failed <= TOLD then
      report.failures[report.failed] = { id = found.id, row = found.row, line = found.line, reason = found.reason or "dead" }
    end
    return
  end
  local used = found.result.usage
  report.done, report.calls = report.done + 1, report.calls + used.calls
  report.input_tokens, report.output_tokens = report.input_tokens + used.input_tokens, report.output_tokens + used.output_tokens
  report.model_seconds = report.model_seconds + used.seconds
end

--- What it costs, by the prices of a million tokens.
---@param report stoke.batch.report
---@param price { input: number, output: number }
---@return number
function M.cost(report, price)
  return (report.input_tokens * price.input + report.output_tokens * price.output) / 1e6
end

--- Is all done?
---@param report stoke.batch.report
---@return boolean
function M.whole(report) return report.failed == 0 and report.left == 0 and report.duplicates == 0 and not report.stopped end

local function counted(n, word) return ("%d %s%s"):format(n, word, n == 1 and "" or "s") end

local function place(failure, input)
  local at = failure.line and input and ("%s:%d"):format(input, failure.line) or "row " .. failure.row
  return failure.id == "row " .. failure.row and at or ("%s (id %s)"):format(at, failure.id)
end

--- A report in words.
---@param report stoke.batch.report
---@param input? string the file
---@return string
function M.text(report, input)
  local lines = {}
  local function add(format, ...) lines[#lines + 1] = format:format(...) end
  add("%s of %s done%s%s%s", report.done, counted(report.rows, "row"), report.failed > 0 and (", %d failed"):format(report.failed)
    or "", report.left > 0 and (", %d left"):format(report.left) or "", report.seconds > 0 and ", " .. term.duration(report.seconds)
    or "")
  if report.calls > 0 then
    add("%s, %d tokens in, %d out, %s of the models%s", counted(report.calls, "call"), report.input_tokens, report.output_tokens,
      term.duration(report.model_seconds), report.cost and (", cost %.4g"):format(report.cost) or "")
  end
  if report.duplicates > 0 then
    add("%s passed over: an earlier row has the same id", counted(report.duplicates, "row"))
  end
  for _, failure in ipairs(report.failures) do add("  %s: %s", place(failure, input), failure.reason) end
  if report.failed > #report.failures then add("  ... and %d more", report.failed - #report.failures) end
  if report.stopped then add("stopped: %s", report.stopped) end
  return table.concat(lines, "\n") .. "\n"
end

return M
