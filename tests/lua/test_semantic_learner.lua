-- When an answer may be given to another question: what is learned from checked answers, and that the wanted error rate holds.

package.path = "tests/pairs/?.lua;" .. package.path
local test = require "stoke.test"
local learner = require "core.cache.semantic.learner"
local rand = require "stoke.rand"
local read = require "read"

local function never() return 1 end

test("semantic learner: a cold entry does not serve, at any similarity, however much its scope knows", function(t)
  local scope = learner.scope()
  t.eq(learner.decide(scope, learner.entry(), 1, { error = 0.5 }, never), "explore")
  for _ = 1, 40 do
    local entry = learner.entry()
    for _ = 1, 5 do learner.teach(scope, entry, 0.95, true) end
  end
  t.eq(learner.decide(scope, learner.entry(), 1, { error = 0.05 }, never), "explore")
  t.eq(learner.decide(scope, learner.entry(), 1, { error = 0.05, cold = true }, never), "serve", "where the scope was told to")
end)

test("semantic learner: a few right answers are no evidence of one error in a hundred", function(t)
  local scope, entry = learner.scope(), learner.entry()
  for n = 1, 20 do
    learner.teach(scope, entry, 0.95, true)
    t.eq(learner.decide(scope, entry, 0.97, { error = 0.01 }, never), "explore", n .. " checks")
  end
end)

test("semantic learner: an entry learns a bound of its own beside others of its scope", function(t)
  local scope, easy, hard = learner.scope(), learner.entry(), learner.entry()
  for _ = 1, 60 do
    local other = learner.entry()
    for s = 70, 95, 5 do learner.teach(scope, other, s / 100, true) end
  end
  for _ = 1, 6 do
    learner.teach(scope, easy, 0.8, true)
    learner.teach(scope, hard, 0.8, false)
    learner.teach(scope, hard, 0.97, true)
  end
  t.ok(learner.chance(scope, easy, 0.85) > 0.99, learner.chance(scope, easy, 0.85))
  t.ok(learner.chance(scope, hard, 0.85) < 0.9, learner.chance(scope, hard, 0.85))
  t.ok(learner.chance(scope, hard, 0.97) > learner.chance(scope, hard, 0.85))
end)

test("semantic learner: what could be given is checked now and then, and one wrong answer takes an entry out", function(t)
  local scope, entry = learner.scope(), learner.entry()
  for _ = 1, 400 do
    local other = learner.entry()
    for _ = 1, 3 do learner.teach(scope, other, 0.95, true) end
  end
  for _ = 1, 3 do learner.teach(scope, entry, 0.95, true) end
  t.eq(learner.decide(scope, entry, 0.95, { error = 0.01 }, never), "serve")
  t.eq(learner.decide(scope, entry, 0.95, { error = 0.01 }, function() return 0.01 end), "explore")
  learner.teach(scope, entry, 0.95, false)
  t.eq(learner.decide(scope, entry, 0.95, { error = 0.01 }, never), "explore")
end)

test("semantic learner: an answer that was wrong is not given to what is as near, and nearer only if that is likely", function(t)
  local scope, entry = learner.scope(), learner.entry()
  for _ = 1, 200 do learner.teach(scope, learner.entry(), 0.9, true) end
  learner.teach(scope, entry, 0.8, false)
  t.eq(learner.decide(scope, entry, 0.8, { error = 0.2 }, never), "explore")
  t.eq(learner.decide(scope, entry, 0.75, { error = 0.2 }, never), "explore")
  t.eq(learner.decide(scope, entry, 0.99, { error = 0.2 }, never), "serve")
end)

test("semantic learner: what another version kept of a scope is not taken for its own", function(t)
  t.ok(learner.valid(learner.scope()))
  for _, other in ipairs { {}, { n = 3, weights = { 0, 0 } }, { weights = learner.scope().weights }, "x" } do
    t.eq(learner.valid(other), false)
  end
end)

-- ---- the guarantee
-- ----------------------------------------------------------------------------------------------------------------

-- Worlds whose thresholds are hidden from the learner: how one is drawn, and how likely the answer is right.
local WORLDS = {
  { name = "gates let nearly only the same through", threshold = function(r) return 0.4 + 0.2 * r:float() end,
    right = function(s, threshold) return s > threshold and 0.999 or 0.3 end },
  { name = "sharp thresholds far apart", threshold = function(r) return 0.5 + 0.45 * r:float() end,
    right = function(s, threshold) return s > threshold and 1 or 0 end },
  { name = "logistic", threshold = function(r) return 0.6 + 0.2 * r:float() end,
    right = function(s, threshold) return 1 / (1 + math.exp(-40 * (s - threshold))) end },
  { name = "wrong at any similarity, one in twelve", threshold = function(r) return 0.5 + 0.2 * r:float() end,
    right = function(s, threshold) return s > threshold and 11 / 12 or 0.1 end },
  { name = "half of the entries are never right", threshold = function(r) return r:float() < 0.5 and 2 or 0.5 end,
    right = function(s, threshold) return s > threshold and 1 or 0 end },
}

local function live(world, seed, delta, questions, entries)
  local r, scope, list = rand.new(seed), learner.scope(), {}
  for i = 1, entries do list[i] = { checks = learner.entry(), threshold = world.threshold(r) } end
  local given, wrong = 0, 0
  for _ = 1, questions do
    local entry = list[1 + (entries * r:float() ^ 2) // 1] -- some are asked for more often
    local s = 0.45 + 0.55 * r:float() ^ 0.6
    local right = r:float() < world.right(s, entry.threshold)
    if learner.decide(scope, entry.checks, s, { error = delta }, function() return r:float() end) == "serve" then
      given, wrong = given + 1, wrong + (right and 0 or 1)
    else
      learner.teach(scope, entry.checks, s, right)
    end
  end
  return given, wrong
end

for _, delta in ipairs { 0.01, 0.03, 0.1 } do
  test(("semantic learner: of the answers given at most %g %% are wrong, in worlds it does not know"):format(100 * delta),
       function(t)
    for at, world in ipairs(WORLDS) do
      local given, wrong = 0, 0
      for seed = 1, 2 do
        local g, w = live(world, 100 * at + seed, delta, 600, 20)
        given, wrong = given + g, wrong + w
      end
      local low = read.wilson(wrong, given)
      t.ok(given == 0 or low <= delta, ("%s: wrong %s"):format(world.name, read.rate(wrong, given)))
      if at == 1 then t.ok(given > 400, ("%s: given %d"):format(world.name, given)) end
      print(("  error %g, %s: given %d of 1200, wrong %s"):format(delta, world.name, given, read.rate(wrong, given)))
    end
  end)
end
