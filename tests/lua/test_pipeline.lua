-- stoke.pipeline: items go through stages; what is killed, slow, broken or done again.

local test = require "stoke.test"
local reloading = require "reloading"
local stoke = require "stoke"

local function pipeline(t, stages, more)
  local o = { name = "p", engine = "local:" .. t.tmp() .. "/q.db", stages = stages }
  for key, value in next, more or {} do o[key] = value end
  return stoke.pipeline(o)
end

local function items(n)
  local list = {}
  for i = 1, n do list[i] = { id = "i" .. i, value = { n = i } } end
  return list
end

--- What came out, by id.
local function results(p)
  local found, count = {}, 0
  for item in p:results() do
    found[item.id], count = item.value, count + 1
  end
  return found, count
end

test("an item goes through all stages, each of its kind", function(t)
  t.model("qwen2.5:3b", function(request) return request.messages[1].content:upper() end)
  local bot, kept = stoke.agent { model = "qwen2.5:3b" }, {}
  local p = pipeline(t, {
    { name = "read", augment = function(v) return { text = "text " .. v.n } end },
    { name = "ask", infer = bot, prompt = "say {text}", into = "said" },
    { name = "double", run = function(v) return { n = 2 * v.n, said = v.said } end },
    { name = "keep", post = function(v) kept[#kept + 1] = v.said end },
  })
  local report = p:run(items(2))
  t.eq({ report.done, report.dead, report.calls }, { 2, 0, 2 })
  t.eq((results(p)), { i1 = { n = 2, said = "SAY TEXT 1" }, i2 = { n = 4, said = "SAY TEXT 2" } })
  t.eq(#kept, 2)
end)

test("a workflow is a stage: a durable run per item", function(t)
  local flow = stoke.workflow("twice", function(v) return 2 * v end)
  local p = pipeline(t, { { name = "w", workflow = flow } })
  p:run { { id = "a", value = 4 } }
  t.eq((results(p)), { a = 8 })
end)

test("nil ends an item, split makes several of one", function(t)
  local p = pipeline(t, {
    { name = "odd", run = function(v) return v.n % 2 == 1 and v.n or nil end },
    { name = "parts", run = function(n) return { n, n * 10 } end, split = true },
    { name = "last", run = function(n) return n + 1 end },
  })
  local report = p:run(items(4))
  t.eq((results(p)), { ["i1/1"] = 2, ["i1/2"] = 11, ["i3/1"] = 4, ["i3/2"] = 31 })
  t.eq({ report.done, report.stages[1].done }, { 4, 4 })
end)

test("an id that was put in before goes through once", function(t)
  local count = 0
  local p = pipeline(t, { { name = "a", post = function() count = count + 1 end } })
  p:run(items(3))
  p:run(items(4))
  t.eq(count, 4)
end)

test("items of one key go through each stage in their order, whatever fails on the way", function(t)
  local seen, failed = {}, {}
  local p = pipeline(t, {
    { name = "a", concurrency = 8, tries = 5, run = function(v)
      stoke.sleep(v.n % 5 / 10)
      if v.n % 4 == 0 and not failed[v.n] then
        failed[v.n] = true
        stoke.raise("tool", "not yet")
      end
      return v
    end },
    { name = "b", concurrency = 8, post = function(v)
      stoke.sleep(v.n % 3 / 10)
      seen[v.key] = seen[v.key] or {}
      table.insert(seen[v.key], v.n)
    end },
  })
  local list = {}
  for i = 1, 60 do list[i] = { id = "i" .. i, key = "k" .. i % 6, value = { n = i, key = "k" .. i % 6 } } end
  p:run(list)
  for key, order in next, seen do
    t.eq(#order, 10)
    for i = 2, #order do t.ok(order[i] > order[i - 1], key .. " in order") end
  end
end)

test("an item that fails is a dead letter of its stage with the reason, and can be tried again", function(t)
  local broken, tries = true, 0
  local p = pipeline(t, {
    { name = "a", run = function(v) return v end },
    { name = "b", tries = 2, run = function(v)
      if v.n ~= 2 then return v end
      tries = tries + 1
      if broken then stoke.raise("tool", "no two") end
      return v
    end },
  })
  local report = p:run(items(3))
  t.eq({ report.done, report.dead, tries }, { 2, 1, 2 })
  local dead = {}
  for one in p:failed() do dead[#dead + 1] = { one.stage, one.id, one.reason, one.tries } end
  t.eq(dead, { { "b", "i2", "tool: no two", 2 } })
  broken = false
  t.eq(p:retry "b", 1)
  report = p:run()
  t.eq({ report.done, report.dead }, { 3, 0 })
end)

test("a slow stage holds up those before it: no more than its bound stands between them", function(t)
  local asked, written, most = 0, 0, 0
  local p = pipeline(t, {
    { name = "ask", concurrency = 4, run = function(v)
      asked = asked + 1
      return v
    end },
    { name = "write", bound = 10, post = function()
      stoke.sleep(1)
      most = math.max(most, asked - written)
      written = written + 1
    end },
  }, { bound = 8 })
  local given = 0
  local report = p:run(function()
    given = given + 1
    most = math.max(most, (given - written) // 3)
    return given <= 100 and { id = given, value = {} } or nil
  end)
  t.eq(report.done, 100)
  t.ok(most <= 10 + 4 + 1, ("%d items stood before the slow stage"):format(most))
end)

test("a stage begins anew alone: the others go on, and nothing is lost", function(t)
  local asked = {}
  local p = pipeline(t, {
    { name = "ask", concurrency = 2, run = function(v)
      asked[v.n] = (asked[v.n] or 0) + 1
      return v
    end },
    { name = "hang", concurrency = 2, run = function(v)
      if v.n == 3 and asked.hangs == nil then
        asked.hangs = true
        stoke.sleep(1e6)
      end
      return v
    end },
  })
  local scope <close> = stoke.scope()
  scope:spawn(function()
    stoke.sleep(30)
    p:restart "hang"
  end)
  t.eq(p:run(items(20)).done, 20)
  for i = 1, 20 do t.eq(asked[i], 1) end
end)

test("later stages do their items again from an offset, without the stages before, and the results are the new ones", function(t)
  local asked, suffix = 0, " v1"
  local p = pipeline(t, {
    { name = "ask", run = function(v)
      asked = asked + 1
      return v.n
    end },
    { name = "shape", run = function(n) return n .. suffix end },
    { name = "last", run = function(text) return text .. "!" end },
  })
  p:run(items(6))
  suffix = " v2"
  p:again("shape", 4)
  p:run()
  t.eq(asked, 6)
  local found, count = results(p)
  t.eq(count, 6)
  t.eq(found, { i1 = "1 v1!", i2 = "2 v1!", i3 = "3 v1!", i4 = "4 v2!", i5 = "5 v2!", i6 = "6 v2!" })
  suffix = " v3"
  p:again "shape"
  p:again("last", 1)
  p:run()
  found, count = results(p)
  t.eq({ count, found.i1, found.i6, asked }, { 6, "1 v3!", "6 v3!", 6 })
end)

test("a rewind that was noted and not done is done by whoever comes next", function(t)
  local n, name, engine = 0, "noted", "local:" .. t.tmp() .. "/q.db"
  local p = stoke.pipeline { name = name, engine = engine, stages = { { name = "a", run = function()
    n = n + 1
    return n
  end } } }
  p:run(items(3))
  local queue <close> = stoke.queue(engine)
  queue:kv "pipelines":put(name, { version = 1, rewinds = { { number = 1, stage = "a", from = 3 } } })
  p:run()
  t.eq({ n, select(2, results(p)), results(p).i3 }, { 4, 3, 4 })
end)

test("a pipeline that was cancelled in the middle goes on, and each item is done once", function(t)
  local ended = {}
  local p = pipeline(t, {
    { name = "a", concurrency = 3, run = function(v)
      stoke.sleep(1)
      return v
    end },
    { name = "b", concurrency = 3, run = function(v)
      stoke.sleep(0.5)
      ended[v.n] = (ended[v.n] or 0) + 1
      return v
    end },
  })
  for _ = 1, 4 do t.raises("timeout", stoke.timeout, 3.2, p.run, p, items(50)) end
  t.eq(p:run(items(50)).done, 50)
  t.eq(#ended, 50)
  for i = 1, 50 do t.eq(ended[i], 1) end
end)

test("it serves what is put in until it is cancelled", function(t)
  local seen = {}
  local p = pipeline(t, { { name = "a", post = function(v) seen[#seen + 1] = v.n end } })
  local scope <close> = stoke.scope()
  scope:spawn(p.serve, p)
  stoke.sleep(1)
  t.eq(p:put(items(2)), 2)
  stoke.sleep(1)
  t.eq(#seen, 2)
  scope:cancel()
end)

--- A file with a pipeline, whose stage writes this beside a value.
local function source(engine, word, more)
  return ([[
local stoke = require "stoke"
local p = stoke.pipeline { name = "reloaded", engine = %q, stages = {
  { name = "a", concurrency = %d, run = function(v) return v .. " %s" end },
  { name = "b", run = function(v) return v end } } }
%s
return p]]):format(engine, #word, word, more or "")
end

test("a file that is loaded again gives a running pipeline its new code; one that fails changes nothing", function(t)
  local engine = "local:" .. t.tmp() .. "/q.db"
  local files <close> = reloading { ["papers.lua"] = source(engine, "old") }
  local p = require "papers"
  local scope <close> = stoke.scope()
  scope:spawn(p.serve, p)
  local function put(id)
    p:put { { id = id, value = id } }
    stoke.sleep(3)
  end
  put "1"
  files.bad("papers.lua", source(engine, "bad", "error 'no'"))
  put "2"
  files.edit("papers.lua", source(engine, "newer"))
  put "3"
  t.eq((results(p)), { ["1"] = "1 old", ["2"] = "2 old", ["3"] = "3 newer" })
  scope:cancel()
end)

test("where no server answers, the pipeline ends with that error, and no item is blamed", function(t)
  local p = pipeline(t, { { name = "a", run = function() stoke.raise("refused", "nobody there") end } })
  t.raises("refused", p.run, p, items(2))
  t.eq(p:status()[1].waiting + p:status()[1].dead, 2)
  t.eq(p:status()[1].dead, 0)
end)

test("what is wrong with a definition is told", function(t)
  local function says(words, stages, more) t.contains(t.raises("argument", pipeline, t, stages, more).message, words) end
  local function f() end
  says("stages is empty", {})
  says("a name expected", { { run = f } })
  says("stage a does nothing", { { name = "a" } })
  says("stage a: either post or run", { { name = "a", run = f, post = f } })
  says("two stages are named a", { { name = "a", run = f }, { name = "a", run = f } })
  says("infer must be an agent", { { name = "a", infer = f } })
  says("concurrency must be a whole number from 1 to 1000", { { name = "a", run = f, concurrency = 0 } })
  says("did you mean concurrency", { { name = "a", run = f, concurency = 1 } })
  says("a name expected", { { name = "a", run = f } }, { name = "a/b" })
  local p = pipeline(t, { { name = "ask", run = f } })
  t.contains(t.raises("argument", p.again, p, "aks").message, "did you mean ask")
  t.contains(t.raises("argument", p.restart, p, "ask").message, "does not work in this process")
  t.contains(t.raises("argument", p.put, p, { { value = 1 } }).message, "item 1 wants an id")
end)
