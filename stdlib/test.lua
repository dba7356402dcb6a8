--- Tests: `test("what it does", function(t) ... end)` in a file named test_*.lua or *_test.lua, run by `stoke test`.
---
--- Every test runs alone, under a virtual clock (sleeping an hour takes no time) and without the real network; `{ real = true }`
--- gives it both back. It fails on a wrong check, on an error, and on whatever it leaves behind: a task, an open request,
--- process, file or server.

local errors = require "core.errors"
local compare = require "stoke.test.compare"

local M = { list = {} }

local OPTIONS = { real = "boolean", timeout = "number", skip = true }

--- Define a test.
---@param name string what it shows, as a sentence
---@param options? { real?: boolean, timeout?: number, skip?: string|false } timeout: seconds of the test's own clock
---@param f fun(t: stoke.test.t)
---
--- Example: `test("adds", function(t) t.eq(1 + 1, 2) end)`
local function define(name, options, f)
  if type(options) == "function" then options, f = {}, options end
  if type(name) ~= "string" or type(f) ~= "function" then errors.argument("test: a name and a function expected") end
  options = errors.options(options, OPTIONS, ("test %q"):format(name))
  M.list[#M.list + 1] = { name = name, options = options, f = f }
end

---@class stoke.test.t
local T = {}
M.T = T

local function fail(message)
  error(errors.new("script", message, { failed = true }), 0)
end

--- Fail the test.
---@param message string
---
--- Example: `t.fail "never reached"`
function T.fail(message) fail(message) end

--- Leave the test out, saying why.
---@param reason string
---
--- Example: `if not server then t.skip "no server" end`
function T.skip(reason)
  error(errors.new("script", reason, { skipped = true }), 0)
end

--- The value is neither nil nor false.
---@param value any
---@param message? string
---@return any value
---
--- Example: `t.ok(found, "the file is there")`
function T.ok(value, message)
  if not value then fail((message or "expected a true value") .. ", got " .. tostring(value)) end
  return value
end

--- Two values are the same, tables by content; the message names the path that differs.
---@param got any
---@param want any
---@param message? string
---
--- Example: `t.eq({ a = 1 }, { a = 1 })`
function T.eq(got, want, message)
  local difference = compare.difference(got, want)
  if difference then fail((message and message .. ": " or "") .. difference) end
end

--- Two values differ.
---@param got any
---@param other any
---@param message? string
---
--- Example: `t.ne(a.id, b.id)`
function T.ne(got, other, message)
  if not compare.difference(got, other) then
    fail((message and message .. ": " or "") .. "expected something other than " .. compare.show(got))
  end
end

--- A number is within `tolerance` of another.
---@param got number
---@param want number
---@param tolerance number
---
--- Example: `t.near(elapsed, 1.5, 0.01)`
function T.near(got, want, tolerance)
  if type(got) ~= "number" or math.abs(got - want) > tolerance then
    fail(("expected %s within %s, got %s"):format(want, tolerance, tostring(got)))
  end
end

--- A text matches a Lua pattern.
---@param text string
---@param pattern string
---@return string ... captures
---
--- Example: `t.match(err.message, "refused")`
function T.match(text, pattern)
  local found = table.pack(tostring(text):match(pattern))
  if found[1] == nil then fail(("expected something like %q, got %s"):format(pattern, compare.show(text))) end
  return table.unpack(found, 1, found.n)
end

--- The function raises: an error of this kind, or one whose text matches this pattern.
---@param expected string kind of an error object, or a pattern
---@param f function
---@param ... any its arguments
---@return stoke.error err
---
--- Example: `t.raises("argument", stoke.sleep, -1)`
function T.raises(expected, f, ...)
  local ok, err = pcall(f, ...)
  if ok then fail(("expected an error of kind %s, got none"):format(expected)) end
  err = errors.wrap(err)
  if err.failed or err.skipped then error(err, 0) end
  if err.kind ~= expected and not tostring(err):find(expected) then
    fail(("expected an error of kind %s, got %s"):format(expected, tostring(err)))
  end
  return err
end

return setmetatable(M, { __call = function(_, ...) define(...) end })
