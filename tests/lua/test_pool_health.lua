-- Servers that fail, and machines that must not work: the breaker, the watchdog and the limits of power alone. Time is a number.

local test = require "stoke.test"
local breaker = require "core.pool.breaker"
local errors = require "core.errors"
local power = require "core.pool.power"
local chores = require "core.pool.chores"
local prefix = require "core.pool.prefix"
local slots = require "core.pool.slots"
local taught = require "core.pool.taught"
local watch = require "core.pool.watch"

local GONE = errors.new("incomplete", "it broke off")

local function fail(b, times, now)
  for _ = 1, times do b:done(GONE, now) end
end

-- ---- breaker ------------------------------------------------------------------------------------------------------------------

test("breaker: five failures in a row close a lane off, four do not", function(t)
  local b = breaker.new()
  fail(b, 4, 0)
  t.eq({ b:allows(0) }, { true })
  fail(b, 1, 0)
  t.eq({ b.state, b:allows(0) }, { "open", false, 0.5 })
end)

test("breaker: so does half of the last twenty, though never five came in a row", function(t)
  local b = breaker.new()
  for i = 1, 18 do b:done(i % 2 == 0 and GONE or nil, i) end
  t.eq(b.state, "closed")
  fail(b, 1, 19)
  t.eq(b.state, "open")
end)

test("breaker: what the caller did, a bad request and a full queue with a time are no failures", function(t)
  local b = breaker.new()
  for _, err in ipairs { errors.new("cancelled", "x"), errors.new("http", "x", { status = 404 }),
    errors.new("context_overflow", "x", { status = 400 }), errors.new("overloaded", "x", { status = 429, retry_after = 1 }),
    errors.new("overloaded", "x", { status = 503, retry_after = 1 }) } do
    for _ = 1, 10 do b:done(err, 0) end
  end
  t.eq(b.state, "closed")
  t.eq({ b:allows(0.5) }, { false, 1 })
  t.eq({ b:allows(1) }, { true })
end)

test("breaker: a 503 and a 429 without a time are failures", function(t)
  local b = breaker.new()
  for i = 1, 5 do b:done(errors.new("overloaded", "busy", { status = i % 2 == 0 and 503 or 429 }), 0) end
  t.eq(b.state, "open")
end)

test("breaker: one trial at a time, after a quarter of the outage; answered, it is tender until twenty answers", function(t)
  local b = breaker.new { probes = true }
  fail(b, 5, 0)
  local now = 0
  for _, pause in ipairs { 0.5, 0.5, 0.5, 0.5, 0.5, 0.625 } do
    t.eq({ b:wants_trial(now + pause - 0.01) }, { false, now + pause })
    now = now + pause
    t.eq(b:wants_trial(now), true)
    b:trial()
    t.eq({ b:wants_trial(now), b:allows(now) }, { false, false })
    b:done(GONE, now)
  end
  b:trial()
  b:done(GONE, 1000)
  t.eq({ b:wants_trial(1000) }, { false, 1030 })
  now = 1030
  b:trial()
  b:done(nil, now)
  t.eq({ b.state, b:allows(now) }, { "tender", true })
  fail(b, 1, now)
  t.eq({ b.state, b:allows(now) }, { "open", false, now + 0.5 })
  b:trial()
  for _ = 1, 20 do b:done(nil, now + 1) end
  t.eq({ b.state, b:quiet(now + 1) }, { "closed", true })
end)

test("breaker: a server is used again soon: after half a second, or a quarter of the time it was away", function(t)
  for _, away in ipairs { 0.1, 1, 2, 5, 10, 20 } do
    local b = breaker.new { probes = true }
    fail(b, 5, 0)
    local now = 0
    repeat
      local wants, at = b:wants_trial(now)
      if wants then
        b:trial()
        b:done(now < away and GONE or nil, now)
      else
        now = at or now + 0.01
      end
    until b.state == "tender"
    t.ok(now <= math.max(1.25 * away, away + 0.5) + 1e-6, ("away for %g s, used after %g s"):format(away, now))
  end
end)

test("breaker: a server that nobody reaches is tried more often, as that costs nothing", function(t)
  local b = breaker.new { probes = true }
  for _ = 1, 5 do b:done(errors.new("refused", "nobody listens"), 0) end
  t.eq({ b:wants_trial(0) }, { false, 0.25 })
  b:trial()
  b:done(errors.new("refused", "nobody listens"), 10)
  t.eq({ b:wants_trial(10) }, { false, 11 })
end)

test("breaker: where nobody makes trials a call is one", function(t)
  local b = breaker.new()
  fail(b, 5, 0)
  t.eq({ b:wants_trial(9) }, { false })
  t.eq({ b:allows(0.2) }, { false, 0.5 })
  t.eq(b:allows(0.5), true)
  b:sent()
  t.eq(b:allows(0.5), false)
  b:done(GONE, 0.6)
  t.eq({ b:allows(0.6) }, { false, 1.1 })
end)

test("breaker: who waits for a server that has never answered is told after five seconds", function(t)
  local b, away = breaker.new { alone = true, probes = true }, { kind = "refused" }
  for _ = 1, 5 do b:done(away, 0) end
  t.eq({ b:refusal(0, 4.9) == nil, b:refusal(0, 5) }, { true, away })
end)

test("breaker: the only server is paced, and after half a minute those that wait for it are told", function(t)
  local b = breaker.new { alone = true, probes = true }
  b:done(nil, 0)
  fail(b, 5, 0)
  t.eq(b:refusal(0, 29), nil)
  t.eq(b:refusal(0, 30), GONE)
  t.eq(b:refusal(30, 30), nil) -- it has just come, and may be the one that tries
  t.eq({ b:word(0.3), breaker.new():word(0) }, { "paced", "ok" })
  b:trial()
  b:done(nil, 31)
  t.eq({ b.state, b:word(31) }, { "tender", "ok" }) -- calls are sent again
end)

test("a server that could not be reached is another one, perhaps: its slots are counted anew; one that refused is not", function(t)
  local b = breaker.new { probes = true }
  b:done(errors.new("overloaded", "busy", { status = 503 }), 0)
  t.eq(b:was_away(), false)
  b:done(errors.new("refused", "nobody there"), 1)
  t.eq(b:was_away(), true)
  local lane = { slots = slots.new { slots = 2, sure = true }, cache = prefix.new(nil, 2) }
  local named = { slots = slots.new { slots = 2, sure = true }, cache = prefix.new(nil, 2), limit = 2 }
  for _, each in ipairs { lane, named } do
    for i = 1, 60 do each.slots:answered(i, { total = 1, prefill = 0.1, decode = 0.9, load = 0 }, 1, i - 1) end
    each.slots.mode, each.slots.level = "rest", 2 -- long since known
  end
  taught.back({ lanes = { lane, named } }, 100)
  t.eq({ lane.slots.mode, lane.slots.level }, { "check", 3 })
  t.eq({ named.slots.mode, named.slots.level }, { "rest", 2 })
end)

test("breaker: a trial that says nothing of the server leaves it open", function(t)
  local b = breaker.new { alone = true }
  fail(b, 5, 0)
  b:sent()
  b:done(errors.new("cancelled", "x"), 1)
  t.eq({ b.state, b:allows(1) }, { "open", true })
  b:sent()
  b:done(errors.new("http", "no such model", { status = 404 }), 2) -- it answers
  t.eq(b.state, "tender")
end)

-- ---- watch --------------------------------------------------------------------------------------------------------------------

test("watch: nothing has come back for three times the longest: one token is asked for; no answer: sick, probes go on", function(t)
  local w = watch.new(0)
  local out = { count = 2, longest = 20 }
  w:sent(0, 0)
  t.eq({ w:check(59, out) }, { nil, 60 })
  t.eq(w:check(60, out), "probe")
  t.eq(w:probing(20), 20)
  t.eq({ w:check(61, out), w:allows() }, { nil, true })
  w:probed(80, false)
  t.eq({ w.state, w:allows() }, { "sick", false, 82 })
  t.eq({ w:check(81, out) }, { nil, 82 })
  t.eq(w:check(82, out), "probe")
  w:probing(20)
  t.eq({ w:allows(), chores.word({ watch = w, lanes = {} }, 83) }, { false, "sick" }) -- and not "ok" meanwhile
  w:probed(102, false)
  t.eq({ w:check(103, out) }, { nil, 106 })
  t.eq({ w:hopeless(0, 109), w:hopeless(0, 110), w:hopeless(110, 110) }, { false, true, false })
  t.eq({ w:hopeless(0, 379, 2), w:hopeless(0, 380, 2) }, { false, true })
  t.eq({ w:hopeless(0, 3679, 3), w:hopeless(0, 3680, 3) }, { false, true })
  w:sign(111)
  t.eq({ w.state, w:allows() }, { "well", true })
end)

test("watch: a server that only takes longer is suspected later the next time", function(t)
  local w, out = watch.new(0), { count = 1, longest = 1 }
  t.eq(w:check(30, out), "probe")
  w:probing(1)
  w:probed(31, true)
  t.eq({ w:check(90, out) }, { nil, 91 })
  t.eq(w:check(91, out), "probe")
end)

test("watch: an idle server is not suspected, nor one that was idle until a moment ago", function(t)
  local w = watch.new(0)
  t.eq({ w:check(1000, { count = 0, longest = 0 }) }, {})
  w:sent(1000, 0)
  t.eq({ w:check(1001, { count = 1, longest = 1 }) }, { nil, 1030 })
end)

test("watch: a load that never comes while other models are idle: these are told to leave first", function(t)
  local w, out = watch.new(0), { count = 1, longest = 1, load = 20, idle = true }
  t.eq(w:check(62, out), nil)
  t.eq(w:check(63, out), "unload")
  w:unloading(63)
  t.eq(w:check(64, out), nil)
  t.eq(w:check(126, out), "probe")
end)

-- ---- power --------------------------------------------------------------------------------------------------------------------

local function may(p, now, class) return (p:allows(now, class or 2)) end

test("power: above a temperature nobody begins until it is well below; interactive calls may", function(t)
  local p = power.new { temperature = { above = 80, below = 70 } }
  p:read({ temperature = 80 }, 0)
  t.eq(may(p, 0), true)
  p:read({ temperature = 81 }, 5)
  t.eq({ p:allows(5, 3) }, { false, 10, "too hot: 81 C; calls begin again at 70 C" })
  t.eq(may(p, 5, 1), true)
  p:read({ temperature = 71 }, 10)
  t.eq(may(p, 10), false)
  p:read({ temperature = 70 }, 15)
  t.eq(may(p, 15), true)
  p:read({ temperature = 79 }, 20)
  t.eq(may(p, 20), true)
end)

test("power: interactive calls wait, too, where the settings say so", function(t)
  local p = power.new { temperature = 80, interactive = false }
  p:read({ temperature = 90 }, 0)
  t.eq(may(p, 0, 1), false)
end)

test("power: a battery counts while there are no mains", function(t)
  local p = power.new { battery = { below = 30, above = 50 } }
  p:read({ battery = 29, ac = false }, 0)
  t.eq({ p:allows(0, 2) }, { false, 5, "battery at 29 %; calls begin again at 50 %" })
  p:read({ battery = 31, ac = false }, 5)
  t.eq(may(p, 5), false)
  p:read({ battery = 31, ac = true }, 10)
  t.eq(may(p, 10), true)
  p = power.new { ac = true }
  p:read({ battery = 99, ac = false }, 0)
  t.eq({ p:allows(0, 2) }, { false, 5, "on battery; calls begin again on mains" })
end)

test("power: what cannot be read stops nobody; what was not read lately does, until it is", function(t)
  local p = power.new { temperature = 80, battery = 20, ac = true }
  t.eq({ p:allows(0, 2) }, { false, nil, "the sensors are being read" })
  t.eq(may(p, 0, 1), true)
  p:read({}, 0)
  t.eq({ may(p, 0), may(p, 5), may(p, 5.1) }, { true, true, false })
end)

test("power: bursts and rests, always or on battery", function(t)
  local p = power.new { burst = 60, rest = 20 }
  t.eq(may(p, 0), true)
  p:sent(0)
  p:sent(30)
  t.eq({ may(p, 59), may(p, 60), may(p, 79), may(p, 80) }, { true, false, false, true })
  t.eq({ p:allows(61, 2) }, { false, 80, "this machine rests for 19 s more" })
  p:sent(200) -- a pause of its own was a rest
  t.eq({ may(p, 259), may(p, 260) }, { true, false })
  p = power.new { burst = 60, when = "battery" }
  p:read({ ac = true }, 0)
  p:sent(0)
  p:read({ ac = true }, 61)
  t.eq(may(p, 61), true)
  p:read({ ac = false }, 65)
  t.eq({ p:allows(65, 2) }, { false, 120, "this machine rests for 55 s more" })
end)

test("power: at the time at which a rest is told to end, it has ended, whatever is lost in rounding", function(t)
  for i = 1, 2000 do
    local began = i * 0.737 + 1 / i
    local p = power.new { burst = 10.1, rest = 169.9 }
    p:sent(began)
    local allowed, till = p:allows(began + 11, 2)
    t.eq(allowed, false)
    if not p:allows(till, 2) then t.fail(("a rest since %.17g never ends"):format(began)) end
  end
end)

test("watch: calls that are sent to a server with others out are no sign of its life", function(t)
  local w = watch.new(0)
  for i = 0, 2 do w:sent(10 * i, i) end
  t.eq({ w:check(29, { count = 3, longest = 1 }) }, { nil, 30 })
  t.eq(w:check(30, { count = 3, longest = 1 }), "probe")
  local idle = watch.new(0)
  idle:sent(100, 0) -- what went before says nothing
  t.eq({ idle:check(100, { count = 1, longest = 1 }) }, { nil, 130 })
end)
