--- Tests: `test("what it does", function(t) ... end)` in a file named test_*.lua or *_test.lua, run by `stoke test`.
---
---     local test = require "stoke.test"
---     local umbrella = require "umbrella"                 -- the agent under test, unchanged
---
---     test("umbrella: looks at the weather first", function(t)
---       t.model { { tool = "get_weather", args = { city = "Oslo" } }, "Take one." }
---       t.eq(umbrella:run("Do I need an umbrella in Oslo?").text, "Take one.")
---       t.called("get_weather", { city = "Oslo" })
---       t.not_called "shell"
---     end)
---
--- Tests of a file run one by one, each under a virtual clock (an hour of sleep takes no time), without the real network, and with
--- a simulated Ollama in memory behind every named endpoint. `{ real = true }` gives a test the machine's clock, network and
--- servers; `{ programs = true }` permits it to start programs.
---
--- A test fails on an error, on a failed check (also in a tool, a task or a handler, and where its error is caught), and on
--- anything it leaves behind: a task, a timer, an open request, process, watch or server, a file or folder that did not exist
--- before. Files that only the test needs belong below t.tmp(), which is removed at its end.

local errors = require "core.errors"
local ordered = require "core.ordered"
local compare = require "stoke.test.compare"
local show = require "stoke.show"

local M = { list = {} }

local OPTIONS = { real = "boolean", programs = "boolean", timeout = "number", skip = true, cassette = true, effects = "boolean" }

--- Define a test.
---
--- With `cassette` the responses of model servers and web servers are replayed from a file beside the test,
--- cassettes/FILE-NAME.jsonl (cassettes/X.jsonl for `cassette = "X"`), offline and under the virtual clock. `stoke test --record`
--- runs the test against the real servers and writes that file; without the file the test fails with a hint.
---@param name string what the test shows, as a sentence
---@param options? { real?: boolean, programs?: boolean, timeout?: number, skip?: string|false, cassette?: boolean|string,
---  effects?: boolean } timeout: seconds of the test's own clock; programs: it may start programs; effects = false: keep no list
---  of effects, for a test with very many
---@param f fun(t: stoke.test.t)
---
--- Example: `test("adds", function(t) t.eq(1 + 1, 2) end)`
local function define(name, options, f)
  if f == nil and errors.callable(options) then options, f = {}, options end
  if type(name) ~= "string" or not errors.callable(f) then errors.argument("test: a name and a function expected") end
  options = errors.options(options, OPTIONS, ("test %q"):format(name))
  local own = options.cassette
  if type(own) ~= "boolean" and own ~= nil and not (type(own) == "string" and own:find "^[%w_][%w_. -]*$") then
    errors.argument("test %q: cassette must be true or a plain file name, got %s", name, errors.describe(own))
  end
  M.list[#M.list + 1] = { name = name, options = options, f = f }
end

---@class stoke.test.t
local T = {}
M.T = T

--- A message may be anything that says something.
local function fail(message)
  if type(message) ~= "string" then message = message == nil and "failed" or show.line(message) end
  local err = errors.new("script", message, { failed = true, where = errors.site() })
  local world = package.loaded["stoke.test.world"]
  world = world and world.now
  if world then world.failures[#world.failures + 1] = err end -- whoever catches it
  error(err, 0)
end

--- What a check says first.
local function because(message)
  if message == nil then return "" end
  return (type(message) == "string" and message or show.line(message)) .. ": "
end

--- Fail the test.
---@param message any
---
--- Example: `t.fail "never reached"`
function T.fail(message) fail(message) end

--- Skip the test, with a reason.
---@param reason string
---
--- Example: `if not server then t.skip "no server" end`
function T.skip(reason)
  error(errors.new("script", reason == nil and "skipped" or tostring(reason), { skipped = true }), 0)
end

--- Check that a value is neither nil nor false.
---@param value any
---@param message? string
---@return any value
---
--- Example: `t.ok(found, "the file is there")`
function T.ok(value, message)
  if not value then fail(("%s, got %s"):format(message or "expected a true value", tostring(value))) end
  return value
end

--- Check that two values are equal, tables by content. The message names the path at which they differ.
---@param got any
---@param want any
---@param message? string
---
--- Example: `t.eq({ a = 1 }, { a = 1 })`
function T.eq(got, want, message)
  local difference = compare.difference(got, want)
  if difference then fail(because(message) .. difference) end
end

--- Check that two values differ.
---@param got any
---@param other any
---@param message? string
---
--- Example: `t.ne(a.id, b.id)`
function T.ne(got, other, message)
  if not compare.difference(got, other) then
    fail(because(message) .. "expected something other than " .. show.line(got))
  end
end

--- Check that a number is within `tolerance` of another.
---@param got number
---@param want number
---@param tolerance number
---
--- Example: `t.near(elapsed, 1.5, 0.01)`
function T.near(got, want, tolerance)
  if type(got) ~= "number" or not (math.abs(got - want) <= tolerance) then
    fail(("expected %s within %s, got %s"):format(want, tolerance, tostring(got)))
  end
end

--- Check that a text matches a Lua pattern.
---@param text string
---@param pattern string
---@return string ... captures
---
--- Example: `t.match(err.message, "refused")`
function T.match(text, pattern)
  local found = table.pack(tostring(text):match(pattern))
  if found[1] == nil then fail(("expected something like %q, got %s"):format(pattern, show.line(text))) end
  return table.unpack(found, 1, found.n)
end

--- Check that a text contains another text, or a list an item.
---@param whole string|any[]
---@param part any plain text, not a pattern; items are compared by content
---
--- Example: `t.contains(result.text, "Oslo"); t.contains({ "a", "b" }, "b")`
function T.contains(whole, part)
  if type(whole) == "string" then
    if type(part) ~= "string" then errors.argument("t.contains: a text expected, got %s", errors.describe(part)) end
    if not whole:find(part, 1, true) then fail(("expected a text with %q in it, got %s"):format(part, show.line(whole))) end
    return
  end
  if type(whole) ~= "table" then fail("expected a text or a list, got " .. tostring(whole)) end
  for _, item in ipairs(whole) do
    if not compare.difference(item, part) then return end
  end
  fail(("expected %s among %s"):format(show.line(part), show.line(whole)))
end

--- Call a function, and check that it returns within `seconds` of the test's clock.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---
--- Example: `local answer = t.within(2, bot.run, bot, "Hi")`
function T.within(seconds, f, ...)
  if type(seconds) ~= "number" or seconds < 0 then
    errors.argument("t.within: seconds expected, got %s", errors.describe(seconds))
  end
  local monotonic = require "stoke.time".monotonic
  local began = monotonic()
  local out = table.pack(f(...))
  local took = monotonic() - began
  if took > seconds then fail(("expected an end within %g s, it took %.4g s"):format(seconds, took)) end
  return table.unpack(out, 1, out.n)
end

--- Check that a function raises an error of this kind, or one whose text matches this pattern.
---@param expected string kind of an error object, or a pattern
---@param f function
---@param ... any its arguments
---@return stoke.error err
---
--- Example: `t.raises("argument", stoke.sleep, -1)`
function T.raises(expected, f, ...)
  if type(expected) ~= "string" then
    errors.argument("t.raises: a kind or a pattern expected, got %s", errors.describe(expected))
  end
  if not errors.callable(f) then
    errors.argument("t.raises: a function expected, got %s", errors.describe(f))
  end
  local ok, err = pcall(f, ...)
  if ok then fail(("expected an error of kind %s, got none"):format(expected)) end
  err = errors.wrap(err)
  if err.failed or err.skipped then error(err, 0) end
  if err.kind ~= expected and not tostring(err):find(expected) then
    fail(("expected an error of kind %s, got %s"):format(expected, tostring(err)))
  end
  return err
end

-- ---- agents -------------------------------------------------------------------------------------------------------------------

local function now(what)
  local world = require "stoke.test.world".now
  if not world then errors.argument("%s: only inside a test that runs", what) end
  return world
end

--- Script a model's replies for this test. The agents under test need no change: every request to that model, at any
--- endpoint, gets its reply from the script. A request beyond the last reply fails the test. (In a test with
--- `real = true` an endpoint that is given as an address stays what it is.)
---
--- A reply is a text; a tool call `{ tool = "name", args = { ... } }`, or a list of them; a structured answer `{ json = value }`;
--- an error `{ error = "text", status = 503 }`. Each may also have `text`, `thinking`, `delay` (seconds before the first token),
--- `tps`, `done_reason` and `fault` (stdlib/sim/faults.lua). A function (request, n) returns one of these, and must not wait. All
--- scripted replies have this form (stdlib/sim/script.lua), so a list may also be in a file for `--sim=FILE.lua`.
---@param name? string the model; left out: every model without a script of its own
---@param script any[]|fun(request: table, n: integer): any replies, in the order of the requests
---@return stoke.test.model .requests the request bodies, .calls their number, .left replies not used yet, .name
---Raises `argument` for an invalid reply.
---
--- Example: `local m = t.model("qwen2.5:3b", { { tool = "get_weather", args = { city = "Oslo" } }, "Rain." })`
function T.model(name, script)
  if script == nil then name, script = nil, name end
  local world = now "t.model"
  if world.tape then errors.argument("t.model: this test has a cassette, which answers for all models") end
  local model = world.models:script(name, script)
  require "stoke.test.world".stand_in(world, true)
  return model
end

--- A new, empty folder for the test's files. It is removed when the test ends.
---@return string path
---
--- Example: `stoke.fs.write(t.tmp() .. "/notes.txt", "milk")`
function T.tmp() return require "stoke.test.files".tmp(now "t.tmp") end

--- The finished effects of this test so far, in the order they began.
---@return stoke.test.effect[] { name, tool, args, model, about, error, input_tokens, output_tokens, start, queue, run, request }
---
--- Example: `for _, e in ipairs(t.effects()) do print(e.name, e.about) end`
function T.effects()
  local world = now "t.effects"
  return require "stoke.test.world".effects_of(world)
end

local function effects() return require "stoke.test.effects" end

--- Check that a tool was called. Calls that the policy or a person refused count only if `error` names that kind.
---@param tool string
---@param args? table|fun(args: table): boolean fields that the arguments must contain; a function in it checks the value there
---@param options? { times?: integer, error?: string } times: the exact number of calls; error: kind of the error they ended with
---@return stoke.test.effect[] found these calls
---
--- Example: `t.called("get_weather", { city = "Oslo" }, { times = 1 })`
function T.called(tool, args, options)
  local wrong, found = effects().called(T.effects(), tool, args, options)
  if wrong then fail(wrong) end
  return found
end

--- Check that a tool was not called; without a name, that no tool was called. A refused call does not count.
---@param tool? string
---
--- Example: `t.not_called "shell"`
function T.not_called(tool)
  local wrong = effects().not_called(T.effects(), tool)
  if wrong then fail(wrong) end
end

--- Check that a model was asked for an answer.
---@param model? string nil: any
---@param options? { times?: integer } times: the exact number of requests
---
--- Example: `t.asked("qwen2.5:3b", { times = 2 })`
function T.asked(model, options)
  local wrong = effects().asked(T.effects(), model, options)
  if wrong then fail(wrong) end
end

--- Check that all model calls together used fewer tokens (input and output) than `limit`.
---@param limit integer
---@return integer tokens
---
--- Example: `t.tokens_under(500)`
function T.tokens_under(limit)
  if type(limit) ~= "number" then errors.argument("t.tokens_under: a number expected, got %s", errors.describe(limit)) end
  local tokens = effects().tokens(T.effects())
  if tokens >= limit then fail(("expected fewer than %d tokens, the test used %d"):format(limit, tokens)) end
  return tokens
end

--- Compare a text, or a value printed with sorted keys, with golden/NAME.txt beside the test. `stoke test --update` writes it.
---@param name string
---@param value any
---
--- Example: `t.golden("prompt", m.requests[1].messages)`
function T.golden(name, value)
  local world = now "t.golden"
  world.paused = true -- its files are not the test's
  local ok, wrong = pcall(require "stoke.test.golden".check, world, name, value)
  world.paused = false
  if not ok then error(wrong, 0) end
  if wrong then fail(wrong) end
end

setmetatable(T, { __index = function(_, name)
  local names = ordered.names(T)
  local near = type(name) == "string" and errors.suggest(name, names)
  errors.argument("t.%s does not exist%s", tostring(name), near and (" (did you mean t.%s?)"):format(near)
    or ": " .. table.concat(names, ", "))
end })

return setmetatable(M, { __call = function(_, ...) define(...) end })
