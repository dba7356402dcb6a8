-- stoke.batch: each row once, by its id, whatever happens on the way.

local test = require "stoke.test"
local stoke = require "stoke"
local fs, json = stoke.fs, stoke.json

--- Options of a batch with a queue of its own.
local function options(t, more)
  local o = { engine = "local:" .. t.tmp() .. "/q.db", name = "b" }
  for key, value in next, more do o[key] = value end
  return o
end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = { id = "r" .. i, n = i } end
  return list
end

local function lines(path)
  local list = {}
  for line in fs.read(path):gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  return list
end

local function double(row) return 2 * row.n end

test("rows of a list go to a function, and what it returns is read in their order", function(t)
  local report = stoke.batch(options(t, { input = numbers(500), run = function(row)
    stoke.sleep(row.n % 7 / 10)
    return double(row)
  end }))
  t.eq({ report.rows, report.done, report.failed, report.left }, { 500, 500, 0, 0 })
  local n = 0
  for row in report:each() do
    n = n + 1
    t.eq({ row.id, row.row, row.answer }, { "r" .. n, n, 2 * n })
  end
  t.eq(n, 500)
end)

test("a file of prompts goes to a model, and the answers to a file, with what they have cost", function(t)
  t.model("qwen2.5:3b", function(request) return "It is " .. request.messages[1].content:match "where is (%w+)" end)
  local folder = t.tmp()
  fs.write(folder .. "/cities.csv", "id,city\na,Oslo\nb,Rome\n")
  local report = stoke.batch(options(t, { input = folder .. "/cities.csv", model = "qwen2.5:3b", prompt = "where is {city}",
    into = folder .. "/out.csv", price = { input = 1e6, output = 0 } }))
  t.eq(fs.read(folder .. "/out.csv"), "id,city,answer\r\na,Oslo,It is Oslo\r\nb,Rome,It is Rome\r\n")
  t.eq({ report.calls, report.cost == report.input_tokens, report.input_tokens > 0 }, { 2, true, true })
  t.asked("qwen2.5:3b", { times = 2 })
end)

test("structured answers are columns of a CSV file; what fails has the reason in one more", function(t)
  local path = t.tmp() .. "/out.csv"
  stoke.batch(options(t, { input = { { id = "1", a = "x" }, { id = "2", a = "y" } }, into = path, tries = 1, run = function(row)
    if row.a == "y" then stoke.raise("tool", "no y") end
    return { a = 1, b = { 2 } }
  end }))
  t.eq(fs.read(path), "a,id,a_,b,error\r\nx,1,1,[2],\r\ny,2,,,tool: no y\r\n")
end)

test("a formula that somebody wrote into an answer is a text in the CSV file", function(t)
  local path = t.tmp() .. "/out.csv"
  stoke.batch(options(t, { input = { { id = "1" } }, into = path, run = function() return "=1+1" end }))
  t.eq(fs.read(path), "id,answer\r\n1,'=1+1\r\n")
end)

test("a row that fails is tried again, and is a dead letter after its tries, with the last reason", function(t)
  local times = {}
  local report = stoke.batch(options(t, { input = numbers(3), tries = 2, run = function(row)
    times[row.n] = (times[row.n] or 0) + 1
    if row.n == 2 or row.n == 3 and times[3] == 1 then stoke.raise("tool", "no, " .. times[row.n]) end
    return "fine"
  end }))
  t.eq(times, { 1, 2, 2 })
  t.eq({ report.done, report.failed }, { 2, 1 })
  t.eq(report.failures, { { id = "r2", row = 2, reason = "tool: no, 2" } })
end)

test("what would fail the same way is tried once", function(t)
  local count = 0
  local report = stoke.batch(options(t, { input = numbers(1), run = function(row)
    count = count + 1
    return row.none.field
  end }))
  t.eq({ count, report.failed }, { 1, 1 })
end)

test("dead letters are tried again where that is asked for, and nothing else is", function(t)
  local broken, asked = true, {}
  local function run(row)
    asked[#asked + 1] = row.n
    if broken and row.n == 2 then stoke.raise("usage", "broken") end
    return row.n
  end
  local o = options(t, { input = numbers(3), run = run, concurrency = 1 })
  t.eq(stoke.batch(o).failed, 1)
  broken = false
  t.eq(stoke.batch(o).failed, 1)
  o.retry_failed = true
  t.eq(stoke.batch(o).failed, 0)
  t.eq(asked, { 1, 2, 3, 2 })
end)

test("a limit does the first rows, and the batch goes on with the others", function(t)
  local asked = {}
  local o = options(t, { input = numbers(600), limit = 300, run = function(row) asked[row.n] = (asked[row.n] or 0) + 1 end })
  t.eq(stoke.batch(o).done, 300)
  t.eq(#asked, 300)
  o.limit = nil
  t.eq(stoke.batch(o).done, 600)
  for i = 1, 600 do t.eq(asked[i], 1) end
end)

test("an id that an earlier row has is passed over, and counted", function(t)
  local report = stoke.batch(options(t, { input = { { id = "a" }, { id = "b" }, { id = "a" } }, run = function() return 1 end }))
  t.eq({ report.rows, report.done, report.duplicates }, { 3, 2, 1 })
end)

test("a batch that was cancelled goes on: no row is missing, and none that was done is done again", function(t)
  local folder, done = t.tmp(), {}
  local o = options(t, { input = folder .. "/in.jsonl", into = folder .. "/out.jsonl", concurrency = 4, run = function(row)
    stoke.sleep(1)
    done[row.n] = (done[row.n] or 0) + 1
    return row.n
  end })
  local text = {}
  for i = 1, 100 do text[i] = ('{"n":%d}\n'):format(i) end
  fs.write(folder .. "/in.jsonl", table.concat(text))
  for _ = 1, 5 do t.raises("timeout", stoke.timeout, 3.5, stoke.batch, o) end
  stoke.batch(o)
  for i, row in ipairs(lines(folder .. "/out.jsonl")) do t.eq({ row.row, row.answer, done[i] }, { i, i, 1 }) end
  t.eq(#done, 100)
end)

test("it does not read much further than it has done: the input is no list in memory", function(t)
  local read, most, done = 0, 0, 0
  stoke.batch(options(t, { input = function()
    read = read + 1
    return read <= 3000 and { n = read } or nil
  end, run = function()
    stoke.sleep(0.01)
    done = done + 1
    most = math.max(most, read - done)
  end }))
  t.ok(most < 1300, ("%d rows ahead"):format(most))
end)

test("where no server answers it ends with that error, and no row is blamed", function(t)
  local o = options(t, { input = numbers(20), run = function() stoke.raise("refused", "nobody there") end })
  local err = t.raises("refused", stoke.batch, o)
  t.eq({ err.report.failed, err.report.left }, { 0, 20 })
  o.run = double
  t.eq(stoke.batch(o).done, 20)
end)

test("a server that is away for a while is waited for", function(t)
  local gone
  local report = stoke.batch(options(t, { input = numbers(50), concurrency = 2, run = function(row)
    if row.n == 10 then gone = gone or stoke.time.monotonic() + 30 end
    if gone and stoke.time.monotonic() < gone then stoke.raise("refused", "it restarts") end
    return row.n
  end }))
  t.eq({ report.done, report.failed }, { 50, 0 })
end)

test("a budget that is used up ends it, and it goes on later", function(t)
  local asked = 0
  t.model("qwen2.5:3b", function()
    asked = asked + 1
    return "yes"
  end)
  local o = options(t, { input = numbers(10), model = "qwen2.5:3b", prompt = "{n}?", concurrency = 1, budget = { calls = 4 } })
  t.eq(t.raises("budget", stoke.batch, o).report.done, 4)
  o.budget = nil
  t.eq({ stoke.batch(o).done, asked }, { 10, 10 })
end)

test("fresh begins anew, and what another batch of the name asked is told", function(t)
  local o = options(t, { input = numbers(3), run = double })
  stoke.batch(o)
  local asked = 0
  o.run = function() asked = asked + 1 end
  stoke.batch(o)
  t.eq(asked, 0)
  o.fresh = true
  stoke.batch(o)
  t.eq(asked, 3)
  o.fresh, o.run, o.model, o.prompt = nil, nil, "qwen2.5:3b", "{n}"
  local other = options(t, { input = numbers(3), model = "a", prompt = "{n}", run = nil })
  t.model("a", function() return "1" end)
  stoke.batch(other)
  other.prompt = "other {n}"
  t.contains(t.raises("usage", stoke.batch, other).message, 'the batch b asks "{n}", not "other {n}"')
end)

test("two processes do not work at one batch at a time", function(t)
  local o = options(t, { input = numbers(1), run = function() stoke.sleep(60) end })
  local scope <close> = stoke.scope()
  scope:spawn(stoke.batch, o)
  stoke.sleep(1)
  t.contains(t.raises("usage", stoke.batch, o).message, "another process works at the batch b")
end)

test("a workflow does a row in a durable run of its own", function(t)
  local flow = stoke.workflow("double", function(input) return 2 * input.n end)
  local report = stoke.batch(options(t, { input = numbers(3), run = flow }))
  local answers = {}
  for row in report:each() do answers[#answers + 1] = row.answer end
  t.eq(answers, { 2, 4, 6 })
end)

test("what is wrong with the options is told", function(t)
  local function says(words, given)
    t.contains(t.raises(".", stoke.batch, options(t, given)).message, words)
  end
  says("input must be a file, a list or an iterator", { run = double })
  says("nothing does the rows", { input = {} })
  says("run must be an agent, a workflow or a function", { input = {}, run = 5 })
  says("either run or model", { input = {}, run = double, model = "m" })
  says("prompt is for an agent", { input = {}, run = double, prompt = "x" })
  says("concurrency must be a whole number", { input = {}, run = double, concurrency = 0 })
  says("a batch writes .jsonl, .csv or .tsv", { input = {}, run = double, into = "x.xls" })
  says("did you mean input", { inputs = {} })
end)
