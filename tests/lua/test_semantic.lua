-- The semantic cache: what it finds, what it learns, and what it gives.

package.path = "tests/pairs/?.lua;" .. package.path
local test = require "stoke.test"
local learner = require "core.cache.semantic.learner"
local pairs_of = require "read"
local semantic = require "core.cache.semantic"
local zipf = require "zipf"

local A, B, C = "What is the capital of Peru?", "Tell me Peru's capital.", "What is the capital of Chile?"
local NEAR = {
  [A] = { { text = B, similarity = 0.95 }, { text = C, similarity = 0.9 } },
  [B] = { { text = A, similarity = 0.95 }, { text = C, similarity = 0.88 } },
  [C] = { { text = A, similarity = 0.9 }, { text = B, similarity = 0.88 } },
}

local function never() return 1 end

local function cache_of(options)
  options = options or {}
  options.vectors, options.random = zipf.index(NEAR), options.random or never
  return semantic.new(options)
end

local function ask(text, scope, now) return { text = text, scope = scope or "s", vector = text, now = now or 0 } end

--- Teach a scope so much that an entry with one check of its own may serve.
local function well_taught(cache, scope)
  local known = cache:look(ask("Who am I?", scope)) and cache.scopes[scope or "s"].learned
  for _ = 1, 400 do
    local entry = learner.entry()
    for _ = 1, 2 do learner.teach(known, entry, 0.95, true) end
  end
end

test("semantic: an entry is explored while it is cold, and given once it was found to be right", function(t)
  local cache = cache_of()
  well_taught(cache)
  t.eq(cache:look(ask(A)).reason, "nothing near")
  cache:add(ask(A), "a", "Lima")
  local found = cache:look(ask(B))
  t.eq({ found.action, found.reason, found.entry.answer }, { "explore", "cold", "Lima" })
  cache:teach("s", found, true)
  found = cache:look(ask(B))
  t.eq({ found.action, found.entry.id, found.similarity }, { "serve", "a", 0.95 })
  t.ok(found.chance >= 0.99, found.chance)
end)

test("semantic: the gates' refusals are counted, and a near question that is another is a miss", function(t)
  local cache = cache_of { cold = true }
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  local found = cache:look(ask(C))
  t.eq({ found.action, found.reason }, { "miss", "name" })
  t.eq(cache:stats().refused, { name = 1 })
end)

test("semantic: another scope is never looked at", function(t)
  local cache = cache_of { cold = true }
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  t.eq(cache:look(ask(A)).action, "serve")
  t.eq(cache:look(ask(A, "other")).reason, "nothing near")
end)

test("semantic: in shadow it never gives, and measures what it would have given", function(t)
  local cache = cache_of { shadow = true, cold = true }
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  for n = 1, 5 do
    local found = cache:look(ask(B))
    t.eq({ found.action, found.reason, found.sure }, { "explore", "shadow", true })
    cache:teach("s", found, n ~= 5)
  end
  local stats = cache:stats()
  t.eq({ stats.served, stats.right, stats.wrong }, { 0, 4, 1 })
end)

test("semantic: an answer that was wrong is taken out, and the scope has learned it", function(t)
  local cache = cache_of { cold = true }
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  t.eq(cache:look(ask(B)).action, "serve")
  local before = cache.scopes.s.learned.n
  t.eq({ cache:wrong "a", cache:wrong "a", cache:wrong "never" }, { true, false, false })
  t.eq(cache.scopes.s.learned.n, before + 1)
  t.eq(cache:look(ask(B)).reason, "nothing near")
end)

test("semantic: a wording that was found to be the same joins its entry", function(t)
  local cache = cache_of()
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  local found = cache:look(ask(B))
  cache:teach("s", found, true)
  local entry = cache:add(ask(B), "b", "Lima", found, true)
  t.eq({ entry.id, #entry.texts }, { "a", 2 })
  t.eq(cache:add(ask(C), "c", "Santiago").id, "c")
end)

test("semantic: a question that a gate tells apart joins an entry with the same answer, which is not cold then", function(t)
  local near = { [A] = { { text = B, similarity = 0.95 } }, [B] = { { text = A, similarity = 0.95 } } }
  local other = "Which place is the seat of Peru's government?"
  near[A][2], near[B][2] = { text = other, similarity = 0.8 }, { text = other, similarity = 0.8 }
  near[other] = { { text = A, similarity = 0.8 } }
  local cache = semantic.new { vectors = zipf.index(near), random = never }
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  local found = cache:look(ask(other))
  t.eq({ found.action, #found.near, found.near[1].id }, { "miss", 1, "a" })
  local taught = cache.scopes.s.learned.n
  found.entry = found.near[1]
  t.eq(cache:add(ask(other), "b", "Lima", found, true).id, "a")
  t.eq(cache.scopes.s.learned.n, taught, "it says nothing of what the gates let through")
  t.eq(cache:look(ask(B)).action, "serve")
end)

test("semantic: what differs in a number, a name or a negation is never compared", function(t)
  local cache = semantic.new { vectors = zipf.index { [C] = { { text = A, similarity = 0.9 } } }, random = never }
  cache:add(ask(A), "a", "Lima")
  t.eq(cache:look(ask(C)).near, {})
end)

test("semantic: a judge who does not say yes takes an answer back before it is given, and is counted", function(t)
  local cache = cache_of()
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  local found = cache:look(ask(B))
  cache:teach("s", found, true)
  for _, said in ipairs { "yes", "no", "failed" } do
    found = cache:look(ask(B))
    t.eq(found.action, "serve")
    cache:judged(found, ({ yes = true, no = false })[said])
    t.eq({ found.action, found.reason }, said == "yes" and { "serve", "likely the same" } or { "explore", "judge" })
  end
  t.eq(cache:stats().judged, { yes = 1, no = 1, failed = 1 })
  t.eq({ cache:stats().served, cache:stats().refused.judge }, { 1, 2 })
end)

test("semantic: what was learned and what is known go to the store and come back", function(t)
  local rows, learned = {}, {}
  local store = { keep = function(scope, entry) rows[scope .. entry.id] = entry end,
    drop = function(scope, id) rows[scope .. id] = nil end,
    learned = function(scope, what) learned[scope] = what end,
    load = function(scope)
      local list = {}
      for _, entry in pairs(rows) do list[#list + 1] = entry end
      return { learned = learned[scope], entries = list }
    end }
  local cache = cache_of { store = store }
  well_taught(cache)
  cache:add(ask(A), "a", "Lima")
  local found = cache:look(ask(B))
  cache:teach("s", found, true)
  local later = cache_of { store = store }
  t.eq(later:look(ask(B)).action, "serve")
  later:wrong "a"
  t.eq(rows, {})
end)

test("semantic: only the text of a user that ends the conversation is a question; all the rest is the scope", function(t)
  local body = { model = "m", messages = { { role = "system", content = "Be brief." }, { role = "user", content = "Why?" } } }
  local text, rest = semantic.question(body)
  t.eq({ text, rest }, { "Why?", { model = "m", messages = { { role = "system", content = "Be brief." } } } })
  t.eq(#body.messages, 2)
  t.eq({ semantic.question { messages = { { role = "user", content = "Why?", images = { "x" } } } } }, { nil, "images" })
  t.eq({ semantic.question { messages = { { role = "tool", content = "3" } } } }, { nil, "no question" })
  t.eq(semantic.question { prompt = "Why?", model = "m" }, "Why?")
  t.eq({ semantic.question { prompt = "Why?", images = {} } }, { nil, "no question" })
end)

-- ---- the pairs, with the similarities of a real embedding model
-- ---------------------------------------------------------------------

local function data_of()
  local list, questions = pairs_of.list "tests/pairs"
  return { list = list, questions = questions, near = pairs_of.near("tests/pairs", list, questions) }
end

test("semantic: of the pairs none is given wrongly; of paraphrases a good part once taught, none while cold", function(t)
  local data = data_of()
  for _, case in ipairs { { "nothing taught", checks = 0, own = 0 }, { "the scope alone taught", checks = 500, own = 0 },
    { "the scope alone taught, cold = true", checks = 500, own = 0, cold = true }, { "taught", checks = 500, own = 1 } } do
    local out = zipf.paraphrases(data, case)
    print(("  %s: paraphrases given %s; wrong %s"):format(case[1], pairs_of.rate(out.served, out.n),
      pairs_of.rate(out.wrong, out.different)))
    t.eq(out.wrong, 0, case[1])
    if case.own == 0 and not case.cold then t.eq(out.served, 0, case[1]) end
    if case.own == 1 then t.ok(out.served / out.n > 0.4, pairs_of.rate(out.served, out.n)) end
  end
end)

test("semantic: questions over intents: fewer are sent than by exact hits alone, and what is given is right", function(t)
  local out = zipf.run(data_of(), { seed = 5, asked = 800, intents = 100, error = 0.05, cold = true })
  t.ok(out.sent < out.wordings, ("%d sent, %d wordings"):format(out.sent, out.wordings))
  t.ok(out.sent >= out.intents, "no answer comes from nowhere")
  t.ok(pairs_of.wilson(out.wrong, out.semantic) <= 0.05, pairs_of.rate(out.wrong, out.semantic))
end)
