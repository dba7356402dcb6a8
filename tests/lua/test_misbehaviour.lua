-- The agentic loop against a model that misbehaves (tests/hostile/model.lua): each ends, in a value or in an error that says what
-- was wrong; run, stream and a session end alike; the rungs taken are counted.

local test = require "stoke.test"
local cases = require "tests.hostile.model"
local play = require "tests.hostile.play"

local check = play.check

local function same(t, a, b, what)
  t.eq({ a.kind, a.text, a.repairs, a.seen, a.reason }, { b.kind, b.text, b.repairs, b.seen, b.reason }, what)
  t.eq(a.output, b.output, what)
  if a.err and a.kind ~= "timeout" and a.kind ~= "incomplete" then t.eq(a.err.message, b.err.message, what) end
end

local function expected(t, case, out, way)
  check(t, out, case.expect, way)
  for _, name in ipairs { "text", "repairs", "requests", "seen" } do
    local want = case[name]
    if want ~= nil and want ~= false and not (name == "text" and out.err) then t.eq(out[name], want, way .. ": " .. name) end
  end
  if case.output and not out.err then t.eq(out.output, case.output, way .. ": output") end
  if case.says and out.err then t.match(out.err.message, case.says) end
  if case.told then t.match(out.told, case.told) end
end

for _, case in ipairs(cases) do
  test("misbehaviour: " .. case.name, { timeout = 1e6 }, function(t)
    local whole = play.play(case, "run")
    expected(t, case, whole, "run")
    local streamed = play.play(case, "stream")
    expected(t, case, streamed, "stream")
    if not case.differs then same(t, streamed, whole, "stream and run") end
    if case.with == "choose" then return end
    local turn = play.play(case, "session")
    expected(t, case, turn, "session")
    if not case.differs then same(t, turn, whole, "session and run") end
  end)
end

test("misbehaviour: there are at least 220 kinds of it, each with a name of its own", function(t)
  t.ok(#cases >= 220, #cases)
  local names = {}
  for _, case in ipairs(cases) do
    t.ok(not names[case.name], case.name)
    names[case.name] = true
  end
end)
