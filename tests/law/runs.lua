-- Runs for the tests of the laws: recorded, replayed, and compared.

local journal = require "core.journal"
local effect = require "core.effect"
local errors = require "core.errors"
local task = require "host.task"

local M = { asked = {} }

-- An effect that says how often it was really done. { text, wait = seconds, fail = kind }
effect.define("test.ask", { class = "pure", run = function(q)
  M.asked[#M.asked + 1] = q.text
  if q.wait then
    local _, err = task.park("test.ask", q.wait)
    if err then return nil, err end
  end
  if q.fail then return nil, errors.new(q.fail, "no " .. q.text) end
  return { text = q.text .. "!", n = #M.asked }
end, usage = function() return { input_tokens = 2, output_tokens = 1, seconds = 1 } end })

function M.ask(text, fields)
  local q = fields or {}
  q.text = text
  return errors.check(effect.perform("test.ask", q))
end

-- Keys of the rows, in order.
function M.keys(tape)
  local list = {}
  for i, row in ipairs(tape.rows) do list[i] = row.key end
  return list
end

-- Records f and replays it: both results, and the journal. What the replay asks of the world is in `asked`.
function M.twice(f, ...)
  M.asked = {}
  local tape, first = journal.record("run", f, ...)
  M.asked = {}
  local second = journal.replay(tape, f, ...)
  return first, second, tape
end

-- Records, and says what went wrong if anything did.
function M.record(f, ...)
  local tape, results = journal.record("run", f, ...)
  if results.err then error(results.err, 0) end
  return tape, results[1]
end

return M
