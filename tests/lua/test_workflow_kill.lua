-- Durable runs whose process is killed, at any moment: they go on, and do nothing twice.

local test = require "stoke.test"
local fs = require "stoke.fs"
local stoke = require "stoke"
local durable = require "durable"

local KILLS = tonumber(os.getenv "STOKE_KILL_SEEDS") or 4
local FIRST = tonumber(os.getenv "STOKE_KILL_FIRST") or 1

local WORK = [[
local stoke = require "stoke"
stoke.main(function(args)
  local scope <close> = stoke.scope {}
  local out = scope:map({ 1, 2, 3, 4 }, function(i)
    local parts = {}
    for j = 1, 4 do
      local answer = stoke.http.post(args[1] .. ("/%d/%d"):format(i, j), { body = "x", idempotency = true })
      parts[j] = answer.body .. math.random(100)
      stoke.sleep(0.004 * i)
    end
    print("part " .. i)
    return table.concat(parts, ",")
  end)
  local who = select(2, stoke.race { function() stoke.sleep(600) end, function() stoke.sleep(0.01) end })
  print(table.concat(out, ";"), who)
  return table.concat(out, ";")
end)
]]

-- A generator of its own, so that a seed means the same everywhere.
local function numbers(seed)
  local state = seed * 2654435761 % 4294967296
  return function()
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  end
end

local function sorted(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line:gsub(":%d+/", "/") end
  table.sort(lines)
  return lines
end

test("killed at random moments it does each thing once, and ends as one that was left alone", { real = true, timeout = 600 },
  function(t)
    for seed = FIRST, FIRST + KILLS - 1 do
      local witness <close> = durable.witness()
      local alone, case = durable.new(t, WORK), durable.new(t, WORK)
      local status = alone:run("run " .. seed, { witness.url })
      t.eq(status.code, 0, alone.told[1])
      t.eq(witness.count, 16)
      local done, shown, told = case:survive("run " .. seed, { witness.url }, 0.25, numbers(seed))
      local what = ("seed %d, %d kills (STOKE_KILL_FIRST=%d STOKE_KILL_SEEDS=1): %s"):format(seed, case.kills, seed, told)
      t.eq(done.code, 0, what)
      t.eq(witness.count, 16, what) -- the same id, so the same keys: nothing new was done
      t.eq(case:result("run " .. seed), alone:result("run " .. seed), what)
      local seen = {}
      for _, line in ipairs(sorted(shown)) do
        t.ok(not seen[line], what .. "\nshown twice: " .. line)
        seen[line] = true
      end
    end
  end)

test("a run that has ended says so, and gives the same end", { real = true, timeout = 60 }, function(t)
  local case = durable.new(t, [[
    local stoke = require "stoke"
    stoke.main(function() print "once" stoke.raise("limit", "enough") end)
  ]])
  local first = case:run "a"
  local second, out, err = case:run "a"
  t.eq({ first.code, second.code, out }, { 6, 6, "" })
  t.match(err, "stoke: run a has ended: failed, [^\n]*\nstoke: limit: enough")
end)

test("without an id one is made, told, and it goes on with that", { real = true, timeout = 60 }, function(t)
  local case = durable.new(t, [[
    local stoke = require "stoke"
    stoke.main(function() print "a" stoke.sleep(0.3) print "b" end)
  ]])
  local _, out, err = case:run(nil, nil, durable.shows "a", "--durable")
  local id = err:match "stoke: run (%x+)"
  t.ok(id, err)
  t.eq(out, "a\n")
  t.eq(select(2, case:run(id)), "b\n")
end)

test("a tool that was cut by a crash is in doubt, and the run goes on as a person says", { real = true, timeout = 60 }, function(t)
  local runs = require "core.runs"
  local source = [[
    local stoke = require "stoke"
    local pay = stoke.tool { name = "pay", description = "Pays", params = { n = "integer" }, run = function(a)
      stoke.fs.write("paid.txt", "1", { append = true })
      if not stoke.fs.stat "quick" then stoke.sleep(30) end
      return "paid " .. a.n
    end }
    stoke.main(function() print(pay:call { n = 5 }) end)
  ]]
  local function resolved(verdict)
    local case = durable.new(t, source)
    case:run("u", nil, durable.file "paid.txt")
    case:write("", "quick")
    local status, out, err = case:run "u"
    t.eq({ status.code, out }, { 5, "" })
    t.match(err, "stoke: in_doubt: fs.write paid.txt %(#2, main.lua:3%) had begun when the process ended")
    local store = runs.open(case.folder .. "/.stoke/state.db")
    t.eq(store:find "u".state, "parked")
    stoke.try(store.resolve, store, "u", "run/tool pay:1/tool.call#1", verdict)
    runs.leave()
    return case:run "u"
  end
  t.eq(select(2, resolved { value = "paid by hand" }), "paid by hand\n")
  t.eq(select(2, resolved { retry = true }), "paid 5\n")
  t.match(select(3, resolved { fail = "the bank was closed" }), "tool: the bank was closed")
end)

test("a tool that had changed nothing yet is done again", { real = true, timeout = 60 }, function(t)
  local case = durable.new(t, [[
    local stoke = require "stoke"
    local look = stoke.tool { name = "look", description = "Looks", params = {}, run = function()
      print "looking"
      if not stoke.fs.stat "quick" then stoke.sleep(30) end
      return "seen"
    end }
    stoke.main(function() print(look:call {}) end)
  ]])
  case:run("l", nil, durable.shows "looking")
  case:write("", "quick")
  t.eq(select(2, case:run "l"), "looking\nseen\n")
end)

test("two processes, one run: one has it, the other waits for its end", { real = true, timeout = 60 }, function(t)
  local witness <close> = durable.witness()
  local case = durable.new(t, [[
    local stoke = require "stoke"
    stoke.main(function(args)
      print(stoke.http.post(args[1] .. "/work", { body = "x" }).body)
      stoke.sleep(2)
    end)
  ]])
  local scope <close> = stoke.scope {}
  local results = scope:map({ 1, 2 }, function(i)
    while i == 2 and witness.count == 0 do stoke.sleep(0.005) end
    local status, out, err = case:run("both", { witness.url })
    return { status.code, out, err }
  end)
  t.eq({ results[1][1], results[2][1], witness.count }, { 0, 0, 1 })
  t.eq({ results[1][2], results[2][2] }, { "/work done\n", "" })
  t.match(results[2][3], "another process has run both; this one waits for its end")
end)

test("a signal from another process reaches a run, and is taken once", { real = true, timeout = 60 }, function(t)
  local runs = require "core.runs"
  local case = durable.new(t, [[
    local stoke = require "stoke"
    stoke.main(function()
      print "waits"
      print("got " .. stoke.signal("word"))
      print("then " .. stoke.signal("word"))
    end)
  ]])
  case:run("s", nil, function()
    durable.shows "waits"(case)
    stoke.sleep(0.2) -- its state is told a moment later
  end)
  local store = runs.open(case.folder .. "/.stoke/state.db")
  t.eq(store:find "s".waits, "signal word")
  runs.signal("s", "word", "one")
  local _, out = case:run("s", nil, durable.shows "got one")
  t.eq(out, "got one\n")
  local scope <close> = stoke.scope {}
  local ended = scope:spawn(function() return select(2, case:run "s") end)
  stoke.sleep(0.3)
  runs.signal("s", "word", "two")
  t.eq(ended:await(), "then two\n")
  runs.leave()
end)

test("a run of a workflow goes on by itself when a process starts that defines it", { real = true, timeout = 60 }, function(t)
  local case = durable.new(t, [[
    local stoke = require "stoke"
    local flow = stoke.workflow("slow", function(n)
      print("begin " .. n)
      stoke.sleep(0.3)
      print("end " .. n)
    end)
    stoke.main(function(args)
      if args[1] then flow:start(7, { id = "seven" }):await() end
    end)
  ]])
  t.eq(select(2, case:run(nil, { "start" }, durable.shows "begin")), "begin 7\n")
  t.eq(select(2, case:run(nil)), "end 7\n")
end)

test("the files have changed: the run goes on on its own code, a new one on the new", { real = true, timeout = 60 }, function(t)
  local function source(word)
    return ([[
      local stoke = require "stoke"
      local part = require "part"
      stoke.main(function()
        print("%s", part.word())
        stoke.sleep(0.4)
        print("%s", part.word())
      end)
    ]]):format(word, word)
  end
  local case = durable.new(t, source "old")
  case:write("return { word = function() return 'part old' end }", "part.lua")
  t.eq(select(2, case:run("a", nil, durable.shows "old")), "old\tpart old\n")
  case:write(source "new")
  case:write("return { word = function() return 'part new' end }", "part.lua")
  t.eq(select(2, case:run "a"), "old\tpart old\n")
  t.match(select(2, case:run "b"), "new\tpart new\n")
end)

test("a file that is gone or does not load any more is told, and the run goes on on its own code", { real = true, timeout = 60 },
  function(t)
    local case = durable.new(t, [[
      local stoke = require "stoke"
      local part = require "part"
      stoke.main(function() print "one" stoke.sleep(2) print(part) end)
    ]])
    case:write("return 'two'", "part.lua")
    repeat case:run("a", nil, 0.5) until table.concat(case.shown) == "one\n"
    fs.remove(case.folder .. "/part.lua")
    local _, out, err = case:run "a"
    t.eq(out, "two\n")
    t.contains(err, "stoke: main.lua does not load any more (module 'part' not found); run a continues on the code "
      .. "it began with")
    fs.remove(case.folder .. "/main.lua")
    t.contains(select(3, case:run "a"), "stoke: usage: no file main.lua\n  hint: a run keeps its code: stoke resume ID")
  end)

test("an id that is any bytes is a run like others, and its bytes are not shown to a terminal", { real = true, timeout = 60 },
  function(t)
    local case = durable.new(t, [[
      local stoke = require "stoke"
      stoke.main(function() print "once" end)
    ]])
    local id = "a\255\27[2J\n'; DROP TABLE runs"
    t.eq(select(2, case:run(id)), "once\n")
    local _, out, err = case:run(id)
    t.eq(out, "")
    t.contains(err, "stoke: run a\\xFF\\u{1B}[2J\\u{A}'; DROP TABLE runs has ended: done, ")
  end)

test("a clock that jumps while no process has the run makes no wait longer than it was", { real = true, timeout = 60 }, function(t)
  local stores = require "core.store"
  for _, jump in ipairs { 31536000, -31536000 } do
    local case = durable.new(t, [[
      local stoke = require "stoke"
      stoke.main(function()
        stoke.sleep(0.6)
        print(select(2, stoke.signal("x", { timeout = 0.6 })))
      end)
    ]])
    case:run("a", nil, 0.3)
    local store = stores.open(case.folder .. "/.stoke/state.db")
    store.db:write("UPDATE records SET time=time+?", { jump })
    store:close()
    local status, out = case:run "a"
    t.eq({ status.code, out, status.seconds < 10 }, { 0, "timeout\n", true })
  end
end)

test("the model calls of a run are all counted, though its process was killed in the middle", { real = true, timeout = 60 },
  function(t)
    local stores, sim = require "core.store", require "stoke.sim"
    local server <close> = sim.serve { port = 0, models = { "m" }, load_seconds = 0, tokens_per_second = 1000,
      script = function() return "one two" end }
    local case = durable.new(t, [[
      local stoke, ollama = require "stoke", require "stoke.ollama"
      stoke.main(function(args)
        for i = 1, 8 do
          local call = { model = "m", endpoint = args[1], messages = { { role = "user", content = "Hi " .. i } } }
          if i % 2 == 0 then ollama.chat(call) else for _ in ollama.stream(call) do end end
          if i == 5 then
            print "half of it"
            stoke.sleep(0.5)
          end
        end
      end)
    ]])
    case:run("a", { server.url }, durable.shows "half of it")
    t.eq(case:run("a", { server.url }).code, 0)
    t.eq(case.kills, 1)
    local store = stores.open(case.folder .. "/.stoke/state.db")
    local run = store:find "a"
    store:close()
    t.eq({ run.calls, run.tokens > 8 * 3 }, { 8, true })
  end)

local UNNAMED = [[
local stoke = require "stoke"
local bot = stoke.agent { name = "bot", model = "qwen2.5:3b" }
stoke.main(function()
  local first = stoke.agent { model = "qwen2.5:3b" }:run("one").text
  local chosen = stoke.choose { model = "qwen2.5:3b", prompt = "two", options = { "a", "b" } }
  local team = stoke.team.vote { members = { bot }, votes = 2, at_once = 1 }
  print "half"
  for _ = 1, 600 do
    if stoke.fs.stat "go" then break end
    stoke.sleep(0.1)
  end
  return first .. chosen .. team:run("three").text
end)
]]

test("what has no name is called by its place, and a killed run calls it so when it goes on", { real = true, timeout = 60 },
  function(t)
    local case = durable.new(t, UNNAMED)
    local status, _, told = case:run("run", nil, durable.shows "half", "--sim")
    t.eq(status.signal, "SIGKILL", told)
    fs.write(case.folder .. "/go", "")
    status, _, told = case:run("run", nil, nil, "--sim")
    t.eq(status.code, 0, told)
    local checked = stoke.proc.run { argv = { require "core.about".executable(), "replay", "run", "--check" }, cwd = case.folder,
      env_allow = { "PATH", "STOKE_PATH", "HOME" } }
    t.eq(checked.code, 0, checked.stderr)
  end)
