-- What a script does when Lua collects is chance: a journalled run has no finalizers, and is warned of weak tables.

local test = require "stoke.test"
local scopes = require "core.scope"
local runs = require "order_runs"

local function in_run(f)
  local run = runs.record(f)
  return runs.finish(run), run
end

test("a finalizer is refused in a journalled run, and says what to use", function(t)
  local told
  in_run(function() told = select(2, pcall(setmetatable, {}, { __gc = function() end })) end)
  t.eq(told.kind, "argument")
  t.match(told.message, "no finalizers")
  t.match(told.hint, "__close")
end)

test("outside a run a finalizer is as ever", function(t)
  local collected = false
  setmetatable({}, { __gc = function() collected = true end })
  collectgarbage()
  t.ok(collected)
end)

test("a weak table in a journalled run is warned of, with its place", function(t)
  local lines, tell = {}, scopes.tell
  scopes.tell = function(text) lines[#lines + 1] = text end
  local _ <close> = runs.closer(function() scopes.tell = tell end)
  local weak
  in_run(function() weak = setmetatable({}, { __mode = "k" }) end)
  t.eq(getmetatable(weak).__mode, "k")
  t.eq(#lines, 1)
  t.match(lines[1], "weak table made at .*test_d12_finalizers.lua:%d+")
  setmetatable({}, { __mode = "k" })
  t.eq(#lines, 1)
end)

test("what collectgarbage tells by chance is refused in a journalled run; collecting is not", function(t)
  local count, step
  local ended = in_run(function()
    count, step = select(2, pcall(collectgarbage, "count")), select(2, pcall(collectgarbage, "step"))
    return collectgarbage() == 0 and collectgarbage "collect" == 0
  end)
  t.eq({ count.kind, step.kind }, { "argument", "argument" })
  t.match(count.message, 'collectgarbage "count"')
  t.eq(ended, "true true")
  t.ok(collectgarbage "count" > 0)
end)
