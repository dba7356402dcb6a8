-- Durable runs from outside: which run is meant, what people decide of it, forks, what is deleted, and a run as a file.

local test = require "stoke.test"
local fs = require "stoke.fs"
local journals = require "core.journal"
local json = require "stoke.json"
local kept = require "kept"
local runs = require "stoke.runs"
local stoke = require "stoke"

local function fails(t, kind, message, f, ...)
  local _, err = stoke.try(f, ...)
  t.ok(err, "no error")
  t.eq(err.kind, kind, err.message)
  t.ok(err.message:find(message, 1, true), err.message)
  return err
end

local function waiting(store, id, fields)
  return kept.run(store, id, function() stoke.sleep(1) end, { state = fields.intent and "parked" or "waiting", waits = "a person",
    change = function(journal, log) kept.open_call(journal, log, fields) end })
end

-- ---- which run ----------------------------------------------------------------------------------------------------------------

test("runs: the newest first, by state and workflow", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "a", function() return 1 end)
  kept.run(held.store, "b", function() error "no" end)
  waiting(held.store, "c", { asks = { since = 1 } })
  local function ids(options)
    local out = {}
    options.store = held.path
    for i, run in ipairs(runs.list(options)) do out[i] = run.id .. " " .. run.state end
    return out
  end
  t.eq(ids {}, { "c waiting", "b failed", "a done" })
  t.eq(ids { status = "failed" }, { "b failed" })
  t.eq(ids { workflow = "other" }, {})
  t.eq(ids { limit = 1 }, { "c waiting" })
  local err = fails(t, "usage", 'no run has the state "waitng"', runs.list, { status = "waitng", store = held.path })
  t.eq(err.hint, "did you mean waiting?")
end)

test("runs: no store is said, with where it was looked for", function(t)
  local path = t.tmp() .. "/none.db"
  local err = fails(t, "usage", "there is no store of durable runs: no file " .. path, runs.list, { store = path })
  t.ok(err.hint:find("stoke run --durable FILE", 1, true), err.hint)
  t.eq(fs.stat(path), nil)
end)

test("runs: an id may be cut short, as long as it is one run's", function(t)
  local held <close> = kept.store(t)
  for _, id in ipairs { "trip-7", "trip-71", "order-1" } do kept.run(held.store, id, function() end) end
  t.eq(runs.show("or", { store = held.path }).run.id, "order-1")
  t.eq(runs.show("trip-7", { store = held.path }).run.id, "trip-7")
  local err = fails(t, "usage", '"trip" is how several ids begin: trip-71, trip-7', runs.show, "trip", { store = held.path })
  t.eq(err.hint, "write more of it")
end)

test("runs: an id that no run has gets the nearest, and the list", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", function() end)
  local err = fails(t, "usage", 'no run has the id "tirp-7"', runs.show, "tirp-7", { store = held.path })
  t.eq(err.hint, "did you mean trip-7? stoke runs lists them")
  t.eq(fails(t, "usage", 'no run has the id "zzz"', runs.show, "zzz", { store = held.path }).hint, "stoke runs lists them")
end)

-- ---- decisions ----------------------------------------------------------------------------------------------------------------

test("approve: the decision is kept for exactly what was asked", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "trip-7", { asks = { since = 1 } })
  local shown = runs.show("trip-7", { store = held.path })
  local done = runs.approve("trip", { store = held.path, digest = shown.records[2].digest })
  t.eq({ done.number, done.decision, done.request.args.to }, { 2, "approved", "Rome" })
  local decided = held.store:decisions "trip-7"
  t.eq({ #decided, decided[1].key, decided[1].digest, decided[1].verdict }, { 1, done.key, shown.records[2].digest,
    { decision = "approved" } })
end)

test("approve: rejected with a reason, or with other arguments", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "trip-7", { asks = { since = 1 } })
  t.eq(runs.approve("trip-7", { store = held.path, reject = "too dear" }).decision, "rejected")
  t.eq(held.store:decisions("trip-7")[1].verdict, { decision = "rejected", reason = "too dear" })
  waiting(held.store, "trip-8", { asks = { since = 1 } })
  runs.approve("trip-8", { store = held.path, args = { to = "Paris" } })
  t.eq(held.store:decisions("trip-8")[1].verdict, { decision = "approved", args = { to = "Paris" } })
end)

test("approve: the first decision stands; the same one once more is no error", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "trip-7", { asks = { since = 1 } })
  runs.approve("trip-7", { store = held.path, reject = "too dear" })
  fails(t, "usage", "#2 of trip-7 was decided before, and that stands", runs.approve, "trip-7", { store = held.path })
  runs.approve("trip-7", { store = held.path, reject = "too dear" })
  t.eq(held.store:decisions("trip-7")[1].verdict, { decision = "rejected", reason = "too dear" })
end)

test("approve: what asks something else by now is not decided", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "trip-7", { asks = { since = 1 } })
  fails(t, "usage", "#2 of trip-7 asks something else by now: it was not decided", runs.approve, "trip-7",
    { store = held.path, digest = ("0"):rep(64) })
  t.eq(held.store:decisions "trip-7", {})
end)

test("approve: nothing waits, several wait, another record, a run that has ended", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "none", { intent = true })
  kept.run(held.store, "two", function() end, { state = "waiting", waits = "a person", change = function(journal, log)
    kept.open_call(journal, log, { asks = { since = 1 } })
    kept.open_call(journal, log, { asks = { since = 1 } })
  end })
  kept.run(held.store, "over", function() end)
  fails(t, "usage", "nothing in none waits for approval", runs.approve, "none", { store = held.path })
  local err = fails(t, "usage", "several records of two: #1 tool.call, #2 tool.call", runs.approve, "two", { store = held.path })
  t.eq(err.hint, "say which: stoke approve two --of 1")
  fails(t, "usage", "#3 of two does not wait for approval", runs.approve, "two", { store = held.path, of = 3 })
  t.eq(runs.approve("two", { store = held.path, of = 2 }).number, 2)
  fails(t, "usage", "the run over has ended: it is done", runs.approve, "over", { store = held.path })
end)

test("resolve: retry, a value, a failure", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "trip-7", { intent = true })
  local function said(options)
    options.store = held.path
    local done = runs.resolve("trip-7", options)
    local list = held.store:resolutions "trip-7"
    t.eq({ #list, list[1].key }, { 1, done.key })
    list[1].key = nil
    return list[1]
  end
  t.eq(said { retry = true }, { retry = true })
  t.eq(said { value = { booking = "K7Q" } }, { value = { booking = "K7Q" } })
  t.eq(said { fail = "the bank was down" }, { fail = "the bank was down" })
end)

test("resolve: what came of a request or a program has the form that a script reads", function(t)
  local held <close> = kept.store(t)
  for _, case in ipairs {
    { "http.request", { method = "POST", url = "http://x/" }, '{"status":200,"body":"..."}', { status = 201, body = { a = 1 } },
      { status = 201, head = "", body = '{"a":1}' } },
    { "proc.run", { argv = { "true" } }, '{"code":0,"stdout":"..."}', { code = 0 },
      { code = 0, stdout = "", stderr = "", seconds = 0 } } } do
    local name, request, form, value, whole = table.unpack(case)
    local state = { state = "parked", waits = "in doubt: #1", why = "in_doubt" }
    function state.change(journal, log)
      local row = { number = 1, key = "run/" .. name .. "#1", name = name, class = "unsafe", digest = ("0"):rep(64),
        request = request, where = "trip.lua:9", time = 1767225700 }
      journal.rows[1] = row
      log:row(row)
      log:intent(row)
    end
    kept.run(held.store, name, function() end, state)
    for _, wrong in ipairs { "ok", 5, {} } do
      fails(t, "usage", "is an object: " .. form, runs.resolve, name, { value = wrong, store = held.path })
    end
    runs.resolve(name, { value = value, store = held.path })
    t.eq(held.store:resolutions(name)[1].value, whole)
    local shown = runs.show(name, { store = held.path })
    t.eq(shown.records[1].outcome, "said to be done, not taken up yet")
  end
end)

test("resolve: nothing is in doubt, or its host may still be at work", function(t)
  local held <close> = kept.store(t)
  waiting(held.store, "trip-7", { asks = { since = 1 } })
  kept.run(held.store, "busy", function() end, { state = "running", change = function(journal, log)
    kept.open_call(journal, log, { intent = true })
  end })
  fails(t, "usage", "nothing in trip-7 is in doubt", runs.resolve, "trip-7", { store = held.path, retry = true })
  fails(t, "usage", "#1 of trip-7 is not in doubt", runs.resolve, "trip-7", { store = held.path, retry = true, of = 1 })
  fails(t, "usage", "#1 of busy may still be at work: the run is not parked", runs.resolve, "busy", { store = held.path,
    retry = true })
  fails(t, "argument", "one of retry = true, value = ... and fail", runs.resolve, "busy", { store = held.path })
end)

-- ---- forks ------------------------------------------------------------------------------------------------------------------

local function steps()
  local a = stoke.env.get "FIRST"
  stoke.sleep(2)
  return a
end

test("fork: a new run with the first records, and its origin's name", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", steps)
  local fork = runs.fork("trip-7", { at = 1, store = held.path })
  t.eq({ fork.id, fork.state, fork.fork_of_id, fork.fork_at }, { "trip-7-2", "running", "trip-7", 1 })
  local shown = runs.show("trip-7-2", { store = held.path })
  t.eq({ #shown.records, shown.records[1].what }, { 1, "env FIRST" })
  t.eq(runs.fork("trip-7", { at = 1, id = "mine", store = held.path }).id, "mine")
  fails(t, "argument", 'there is a run with the id "mine" already', runs.fork, "trip-7", { at = 1, id = "mine", store = held.path })
end)

test("fork: an outcome is set by number, by key, or by a function", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", steps)
  local function first(options)
    options.store = held.path
    local fork = runs.fork("trip-7", options)
    return runs.show(fork.id, { store = held.path, requests = true }).records[1].value, fork.fork_at
  end
  t.eq({ first { set = { [1] = "x" } } }, { "x", 1 })
  t.eq({ first { set = { ["run/env.get#1"] = "y" } } }, { "y", 1 })
  local seen = {}
  t.eq({ first { at = 2, change = function(record)
    seen[#seen + 1] = record.what
    if record.effect == "env.get" then return "z" end
  end } }, { "z", 2 })
  t.eq(seen, { "env FIRST", "sleep 2 s" })
end)

test("fork: the text of a model's answer", function(t)
  local held <close> = kept.store(t)
  t.model("qwen2.5:3b", { "Take one.", "Take two of these." })
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b" }
  kept.run(held.store, "trip-7", function()
    local text = bot:run("Umbrella?").text
    for _ in bot:stream "And?" do end
    return text
  end)
  local fork = runs.fork("trip-7", { store = held.path, set = { [2] = "Leave it.", [4] = "No." } })
  local records = runs.show(fork.id, { store = held.path }).records
  t.eq({ records[2].outcome, records[4].outcome }, { '"Leave it."', '"No."' })
end)

test("show: a stream took as long as it was read", function(t)
  local held <close> = kept.store(t)
  t.model("qwen2.5:3b", { "Take one." })
  kept.run(held.store, "trip-7", function()
    for event in stoke.ollama.stream { model = "qwen2.5:3b", prompt = "Umbrella?" } do
      if event.type == "text" then stoke.sleep(2) end
    end
  end)
  local took
  for _, record in ipairs(runs.show("trip-7", { store = held.path }).records) do
    if record.effect == "llm.stream" then took = record.took end
  end
  t.ok(took >= 2, took)
end)

test("fork: what does not fit together is said", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", steps)
  local function fork(options)
    options.store = held.path
    return runs.fork("trip-7", options)
  end
  fails(t, "usage", "a fork needs the number of the last record that both runs share", fork, {})
  fails(t, "usage", "trip-7 has no record #9", fork, { at = 9 })
  fails(t, "usage", "#2 is to be changed, but the fork shares only the first 1 records", fork, { at = 1, set = { [2] = 1 } })
  local err = fails(t, "usage", "trip-7 has no record with the key run/env.gte#1", fork, { set = { ["run/env.gte#1"] = 1 } })
  t.eq(err.hint, "did you mean run/env.get#1?")
  waiting(held.store, "open", { asks = { since = 1 } })
  fails(t, "usage", "#2 has no outcome yet that could be changed", runs.fork, "open", { set = { [2] = 1 }, store = held.path })
end)

-- ---- the file -----------------------------------------------------------------------------------------------------------------

test("prune: what has ended goes, what waits and what a fork began with stays", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "old", steps)
  kept.run(held.store, "origin", steps)
  runs.fork("origin", { at = 1, store = held.path })
  waiting(held.store, "open", { asks = { since = 1 } })
  stoke.sleep(1000)
  kept.run(held.store, "new", steps)
  local function gone(options)
    options.store = held.path
    local out = {}
    for i, run in ipairs(runs.prune(options).runs) do out[i] = run.id end
    return out
  end
  t.eq(gone { older = 500, dry = true }, { "old" })
  t.eq(#runs.list { store = held.path }, 5)
  t.eq(gone { older = 500 }, { "old" })
  t.eq(#runs.list { store = held.path }, 4)
  t.eq(gone { bytes = 0 }, { "new" })
  fails(t, "argument", "older (seconds) or bytes is needed", runs.prune, { store = held.path })
end)

test("export: a run as a file, which is read like a run", function(t)
  local held <close> = kept.store(t)
  t.model("qwen2.5:3b", { "Take one.", "Take two of these." })
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b" }
  kept.run(held.store, "trip-7", function()
    bot:run "Umbrella?"
    for _ in bot:stream "And?" do end
    stoke.sleep(1)
    return { bytes = "\0\xFF", n = 2.0 }
  end)
  waiting(held.store, "open", { asks = { since = 5 } })
  for _, id in ipairs { "trip-7", "open" } do
    local path = runs.export(id, t.tmp() .. "/bug.run", { store = held.path })
    local was, is = runs.show(id, { store = held.path, requests = true }), runs.show(path, { requests = true })
    t.eq(is.records, was.records)
    t.eq(is.run.result, was.run.result)
    t.eq({ is.run.state, is.run.created, is.run.workflow, is.totals }, { was.run.state, was.run.created, "trip", was.totals })
    t.eq(runs.diff(id, path, { store = held.path }).first, nil)
  end
end)

test("export: a file that is damaged, or none of ours, is said", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", steps)
  local path = runs.export("trip-7", t.tmp() .. "/bug.run", { store = held.path })
  local text = fs.read(path)
  local function with(changed, message)
    fs.write(path, changed)
    fails(t, "usage", message, runs.show, path)
  end
  with(text:gsub("[^\n]*\n$", ""), "bug.run:3: the file ends in the middle: the order of the run is missing")
  with("", "bug.run:1: the file is empty")
  with("hello\n", "bug.run:1: this is no line of an exported run")
  with("{}\n", "bug.run:1: this is no exported run")
  with(text:gsub('"stoke_run":1', '"stoke_run":9'), "bug.run:1: it was written by another stoke: format 9, this one knows 1")
  with(text:gsub("\n[^\n]*", "", 1), "bug.run:2: record 1 is missing")
  fails(t, "usage", 'the name of an exported run ends in .run, not "bug.json"', runs.export, "trip-7", "bug.json",
    { store = held.path })
  t.ok(json.decode(text:match "^[^\n]*").stoke_run)
end)

-- ---- inside a run ---------------------------------------------------------------------------------------------------------------

test("runs: what a run asks of other runs is recorded like any effect", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "a", steps)
  waiting(held.store, "w", { asks = { since = 1 } })
  local function look()
    local ids = {}
    for i, run in ipairs(runs.list { store = held.path }) do ids[i] = run.id end
    local fork = runs.fork("a", { at = 1, store = held.path })
    local decided = runs.approve("w", { store = held.path })
    return { ids, runs.show("a", { store = held.path }).records[2].what, fork.id, decided.number }
  end
  local journal, results = journals.record("outer", look)
  t.eq(results.err, nil)
  t.eq(results[1], { { "w", "a" }, "sleep 2 s", "a-2", 2 })
  local again = journals.replay(journal, look)
  t.eq({ again.err, again[1] }, { nil, results[1] })
  t.eq(#runs.list { store = held.path }, 3)
end)

test("runs: a script approves a run of its own", function(t)
  t.model("qwen2.5:3b", { { tool = "book", args = { to = "Rome" } }, "It is done." })
  local done = {}
  local book = stoke.tool { name = "book", description = "Book", params = { to = "string" }, needs_approval = true,
    run = function(args)
      done[#done + 1] = args.to
      return "booked"
    end }
  local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { book } }
  local flow = stoke.workflow("booking of a test", function() return guide:run("Book").text end)
  local run = flow:start(nil, { id = "own" })
  while runs.find("own").state ~= "waiting" do stoke.sleep(1) end
  runs.approve "own"
  t.eq(run:await(), "It is done.")
  t.eq(done, { "Rome" })
  t.eq(runs.list({ workflow = "booking of a test" })[1].state, "done")
end)

local FIELDS = { "key", "name", "outcome", "items", "facts", "digest", "number", "value", "source", "order", "class" }

--- A text that was damaged in one place.
local function damaged(text)
  local at, how = math.random(1, #text), math.random(1, 4)
  if how == 1 then return text:sub(1, at - 1) .. string.char(math.random(32, 126)) .. text:sub(at + 1) end
  if how == 2 then return text:sub(1, at - 1) .. text:sub(at + math.random(1, 30)) end
  if how == 3 then return (text:gsub(('"%s"'):format(FIELDS[math.random(#FIELDS)]), '"zz"', math.random(1, 3))) end
  return (text:gsub(":%d+", ":null", math.random(1, 3)))
end

test("export: a file that was damaged anywhere is read, or refused with words", function(t)
  local held <close> = kept.store(t)
  t.model("qwen2.5:3b", { "Take one.", "Take two of these." })
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b" }
  kept.run(held.store, "trip-7", function()
    bot:run "Umbrella?"
    for _ in bot:stream "And?" do end
    stoke.sleep(1)
  end)
  local text, path = fs.read(runs.export("trip-7", t.tmp() .. "/bug.run", { store = held.path })), t.tmp() .. "/bad.run"
  local refused = 0
  for _ = 1, 60 do
    fs.write(path, damaged(damaged(text)))
    for _, read in ipairs { runs.show, runs.replay } do
      local _, err = stoke.try(read, path)
      refused = refused + (err and err.kind == "usage" and 1 or 0)
      t.ok(not err or err.kind ~= "script" and err.kind ~= "argument", tostring(err))
    end
  end
  t.ok(refused > 20, "only " .. refused .. " were refused")
end)
