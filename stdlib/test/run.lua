--- Runs the tests of one file in this process and prints each result as a line of JSON, after a marker that no test prints.

local approval = require "core.approval"
local testbed = require "core.testbed"
local ordered = require "core.ordered"
local scopes = require "core.scope"
local json = require "core.json"
local script = require "core.script"
local stdio = require "core.stdio"
local stoke = require "stoke"
local test = require "stoke.test"
local world = require "stoke.test.world"

local M = {}

--- Before each record: ASCII's record separator.
M.MARK = "\30"

--- Seconds a test may take that does not say: of its own clock, and of the machine's.
local LIMIT, REAL_LIMIT = 1e6, 60

--- Maximum number of failed checks to report for one test.
local CHECKS = 5

--- JSON is UTF-8; what failed may hold any bytes.
local function clean(text)
  if utf8.len(text) then return text end
  return (text:gsub("[\128-\255]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

--- One line.
local function tell(record)
  for name, value in next, record do
    if type(value) == "string" then record[name] = clean(value) end
  end
  stdio.write(M.MARK .. json.encode(record) .. "\n")
end

local CLOSED = "\n  for the test: t.model gives models their words, { cassette = true } records what servers say, "
  .. "{ real = true } opens the network"

local function failure(err)
  local text = rawget(err, "failed") and err.message or tostring(err)
  if rawget(err, "failed") and rawget(err, "hint") then text = text .. "\n" .. err.hint end
  if err.kind == "denied" and err.message:find("real network is closed", 1, true) then text = text .. CLOSED end
  return { failed = text, where = rawget(err, "where"), traceback = rawget(err, "traceback") }
end

--- What is wrong besides the test's own checks.
local function besides(w, left, err)
  local told = {}
  for _, problem in ipairs(w.problems) do
    if not (err and tostring(err):find(problem:match "^[^\n]*", 1, true)) then told[#told + 1] = problem end
  end
  for i, failed in ipairs(w.failures) do
    local passed_on = failed == err or err and tostring(err):find(failed.message, 1, true)
    if not passed_on and i <= CHECKS then
      told[#told + 1] = ("%s\nat %s (its error was caught; a check that fails fails its test)"):format(failed.message,
        rawget(failed, "where") or "?")
    end
  end
  if not err and #left > 0 then told[#told + 1] = "left behind: " .. table.concat(left, "; ") end
  return #told > 0 and table.concat(told, "\n") or nil
end

--- What one test did: a result record without its name.
local function attempt(item, context)
  local options = item.options
  if options.skip then return { skipped = tostring(options.skip) } end
  local w
  local _, err = stoke.try(function() w = world.enter(item, context) end)
  if err then return failure(err) end
  local limit, spawned, bounds = options.timeout or (w.real and REAL_LIMIT or LIMIT), {}, nil
  _, err = stoke.try(function()
    local bound <close> = scopes.open { deadline = limit, deadline_kind = "timeout" }
    bounds, bound.slice = bound, not w.real and context.slice or nil
    local scope <close> = w.tape and scopes.open { tape = w.tape } or nil -- luacheck: ignore
    item.f(test.T)
    spawned = testbed.spawned()
  end)
  if err and err.kind == "timeout" and rawget(err, "seconds") == limit then
    err.message = bounds.overran
      and ("the test ran for %g s of real time without waiting, at %s"):format(bounds.slice, bounds.overran)
      or ("the test did not end within %d s of %s clock"):format(math.ceil(limit), w.real and "the real" or "its own")
  end
  local left = table.move(world.leave(w), 1, 1000, #spawned + 1, spawned)
  if err and rawget(err, "skipped") then return { skipped = err.message } end
  local result = err and failure(err) or { passed = true }
  local more = besides(w, left, err)
  if more then result = { failed = err and more .. "\n" .. result.failed or more, traceback = result.traceback } end
  result.written = #w.written > 0 and w.written or nil
  local tape = w.tape
  if tape and tape.recording then
    if result.failed then
      result.failed = result.failed .. "\n(the cassette was not written)"
    else
      result.recorded = ("%s, %d requests"):format(tape.path, tape:save())
    end
  end
  return result
end

local function matches_filter(name, filter)
  if not filter then return true end
  if name:find(filter, 1, true) then return true end
  local ok, found = pcall(string.find, name, filter)
  return ok and found ~= nil
end

--- Run the tests of a file.
---@param path string
---@param context { filter?: string, seed: integer, update?: boolean, record?: boolean, internal?: boolean, slice?: number }
---  slice: seconds of real time that a test under the virtual clock may run without waiting; nil = any
---
--- Example: `run.file("tests/test_a.lua", { seed = 1 })`
function M.file(path, context)
  context.file = path
  ordered.switch(true)
  approval.asker = nil -- a test that needs an answer gives it
  local _, err = stoke.try(script.define_file, path)
  if err then
    tell { name = "(loading the file)", failed = tostring(err), traceback = rawget(err, "traceback") }
    return
  end
  for _, item in ipairs(test.list) do
    if matches_filter(item.name, context.filter) then
      tell { name = item.name, begins = true, limit = item.options.real and item.options.timeout or nil }
      stoke.sleep(0) -- one turn of the loop, so that it is reported even if the test never waits
      local result = attempt(item, context)
      result.name = item.name
      tell(result)
    end
  end
end

return M
