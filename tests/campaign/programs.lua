-- Programs that are made durable and killed. What must not be done twice is a step or tool whose name says where the world keeps
-- its trace: "w:NAME" is u/NAME at the witness, which answers "W(u/NAME)"; "f:FILE:LINE" is a line of a file.

local M = {}

local HEAD = [[
local stoke = require "stoke"
local function act(base, name, body)       -- may be done again: its key says that it is the same
  return stoke.http.post(base .. "/w/" .. name, { body = body or "x", idempotency = true }).body
end
local function once(base, name, body)      -- must not
  return stoke.step("w:" .. name, function()
    return stoke.http.post(base .. "/w/u/" .. name, { body = body or "x" }).body
  end)
end
local function ask(prompt, model)
  return stoke.ollama.chat { model = model or "tiny", messages = { { role = "user", content = prompt } } }.message.content
end
]]

local function program(name, source, fields)
  local one = { name = name, source = HEAD .. source }
  for key, value in next, fields or {} do one[key] = value end
  M[#M + 1] = one
end

-- A pattern of teams: `given` are its options, as Lua text, in which member(NAME, model) makes a member with a tool that books
-- once. Of the turns the order is left out: where members work side by side it is a matter of time.
local function team(pattern, given)
  local source = ([[
stoke.main(function(args)
  local function member(name, model, options)
    local book = stoke.tool { name = "book", description = "Books a seat", params = { n = "integer", ref = "string" },
      run = function(a) return once(args[1], name .. "/" .. a.n .. "/" .. a.ref, a.ref) end }
    return stoke.agent { name = name, model = model or "member", tools = { book }, instructions = "You are " .. name .. ".",
      options = options }
  end
  local result = stoke.team.PATTERN { model = "tiny", GIVEN }:run "Seats for three"
  print("P<said> " .. result.text)
  once(args[1], "end", result.text .. " P<said>")
  local turns = {}
  for i, turn in ipairs(result.turns) do turns[i] = turn.from .. ": " .. turn.text end
  table.sort(turns)
  if result.votes then return { result.text, result.votes[1].count >= 3 } end
  return { result.text, turns, tostring(result.stopped), result.failures and #result.failures or 0, result.agent or "none" }
end)
]]):gsub("PATTERN", pattern):gsub("GIVEN", given)
  program("team " .. pattern, source)
end

program("agent", [[
stoke.main(function(args)
  local book = stoke.tool { name = "book", description = "Books a seat", params = { n = "integer", ref = "string" },
    run = function(a) return once(args[1], "book/" .. a.n, a.ref) end }
  local bot = stoke.agent { model = "tiny", tools = { book }, instructions = "Book seats." }
  local said = bot:run("Three seats, please").text
  print("P<said> " .. said)
  once(args[1], "end", said .. " P<said>")
  return said
end)
]])

program("map", [[
stoke.main(function(args)
  local scope <close> = stoke.scope {}
  local out = scope:map({ 1, 2, 3, 4, 5, 6 }, function(i)
    local said = ask("part " .. i)
    stoke.sleep(0.001 * i)
    local done = act(args[1], "part/" .. i, said)
    print("P<part " .. i .. ">")
    return said .. done .. math.random(1000)
  end, { limit = 3 })
  once(args[1], "all", table.concat(out, ",") .. "P<part 1>P<part 6>")
  return out
end)
]])

program("race", [[
stoke.main(function(args)
  local seen = {}
  for i = 1, 4 do
    local who = select(2, stoke.race { function() stoke.sleep(0.5) return ask("slow " .. i) end,
      function() stoke.sleep(0.002) return 2 end })
    local _, late = stoke.try(stoke.timeout, 0.003, function() stoke.sleep(1) end)
    local channel, scope <close> = stoke.channel(2), stoke.scope {}
    scope:spawn(function() for j = 1, 3 do channel:send(ask(("item %d.%d"):format(i, j))) end channel:close() end)
    for value in function() return channel:recv() end do seen[#seen + 1] = value end
    seen[#seen + 1] = ("%s %s"):format(who, late.kind)
    once(args[1], "round/" .. i, table.concat(seen, ","))
    print("P<round " .. i .. ">")
  end
  return seen
end)
]])

program("stream", [[
stoke.main(function(args)
  local bot, texts = stoke.agent { model = "slow", instructions = "Talk." }, {}
  for i = 1, 3 do
    local done
    for event in bot:stream("tell " .. i) do
      if event.type == "done" then done = event.result.text end
    end
    texts[i] = done
    once(args[1], "told/" .. i, done)
  end
  return texts
end)
]])

program("steps", [[
stoke.main(function(args)
  local out, tries = {}, 0
  for i = 1, 6 do
    out[#out + 1] = once(args[1], "pay/" .. i, i > 1 and "P<paid " .. i - 1 .. ">" or "x")
    out[#out + 1] = stoke.step("compute " .. i, function() return { i * i, { deep = i } } end, { idempotent = true })[1]
    print("P<paid " .. i .. ">")
  end
  once(args[1], "flush", "P<paid 6>")
  out[#out + 1] = stoke.step("again", function()
    tries = tries + 1
    if tries < 1 then error "not yet" end
    return act(args[1], "again")
  end, { idempotent = true, attempts = 3 })
  local asked = stoke.step("reconciled", function(step)
    return stoke.http.post(args[1] .. "/w/r/1", { body = "x", headers = { ["Idempotency-Key"] = step.key } }).body
  end, { reconcile = function() return nil end })
  return { out, asked }
end)
]])

program("signals", [[
stoke.main(function(args)
  local got = {}
  for i = 1, 5 do
    local word = stoke.signal("word", { timeout = 60 })
    got[i] = word
    once(args[1], "got/" .. i, word)
    print("P<got " .. word .. ">")
  end
  local none, why = stoke.signal("never", { timeout = 0.01 })
  return { got, tostring(none), why }
end)
]], { signals = { "one", "two", "three", "four", "five" } })

program("sleeps", [[
stoke.main(function(args)
  local began, scope <close> = os.time(), stoke.scope {}
  local order = {}
  for i = 1, 20 do
    scope:spawn(function()
      stoke.sleep((i * 7 % 20) * 0.001)
      order[#order + 1] = 20 - i
      if i % 5 == 0 then once(args[1], "slept/" .. i) end
    end)
  end
  scope:wait()
  table.sort(order)
  print("P<slept>")
  once(args[1], "slept", "P<slept>")
  return { order, math.random(1 << 40), os.time() >= began }
end)
]])

program("children", [[
local child = stoke.workflow("small", function(q)
  local said = ask("child " .. q.n)
  stoke.sleep(0.002 * q.n)
  return once(q.base, "child/" .. q.n, said) .. said
end)
stoke.main(function(args)
  local list, out = {}, {}
  for i = 1, 3 do list[i] = child:start { base = args[1], n = i } end
  for i = 1, 3 do out[i] = list[i]:await() end
  print("P<children>")
  once(args[1], "children", table.concat(out, ",") .. "P<children>")
  return out
end)
]])

program("database", [[
stoke.main(function(args)
  local db <close> = stoke.db.open "own.db"
  db:exec "CREATE TABLE IF NOT EXISTS t (n INTEGER)"
  for i = 1, 5 do
    db:exec("INSERT INTO t VALUES (?)", i)
    db:transaction(function(tx)
      tx:exec("INSERT INTO t VALUES (?)", i * 100)
      local sum = tx:one("SELECT sum(n) AS n FROM t").n
      tx:exec("INSERT INTO t VALUES (?)", sum % 7)
    end)
    once(args[1], "saved/" .. i)
  end
  local row = db:one "SELECT count(*) AS n, sum(n) AS s FROM t"
  print("P<" .. row.n .. ">")
  return { row.n, row.s }
end)
]])

program("files", [[
stoke.main(function(args)
  for i = 1, 6 do
    stoke.step("f:log.txt:line " .. i, function()
      stoke.fs.write("log.txt", "line " .. i .. "\n", { append = true })
      return "line " .. i
    end)
    stoke.fs.write("whole.txt", ("text %d\n"):format(i):rep(i))
  end
  stoke.step("f:proc.txt:from a program", function()
    stoke.proc.run { argv = { "sh", "-c", "echo from a program >>proc.txt" } }
    return "from a program"
  end)
  print("P<files>")
  once(args[1], "files", "P<files>")
  return { stoke.fs.read "log.txt", stoke.fs.read "whole.txt", stoke.fs.read "proc.txt" }
end)
]])

program("long", [[
stoke.main(function(args)
  local sum = 0
  for i = 1, 400 do
    sum = sum + #stoke.step("s" .. i, function() return ("x"):rep(i) end, { idempotent = true })
    if i % 50 == 0 then
      print(("P<%d> "):format(i) .. ("y"):rep(3000))
      once(args[1], "at/" .. i, ("P<%d>"):format(i))
    end
  end
  return sum
end)
]])

local PAIR <const> = 'members = { member "ada", member "bob" }'

team("round_robin", PAIR .. ", max_turns = 4")
team("selector", 'members = { member "ada", member "bob", member "eve" }, max_turns = 4')
team("swarm", PAIR)
team("graph", PAIR .. ', edges = { { "ada", "bob" }, { "bob", "ada" } }, begin = "ada", max_visits = 2')
team("ledger", PAIR .. ", max_turns = 4, max_stalls = 1")
team("orchestrate", 'members = { member "ada", member("loser", "broken") }')
team("debate", PAIR .. ", rounds = 2")
team("vote", 'members = { member("ada", "voter", { seed = 1 }) }, votes = 5')
team("mixture", PAIR .. ", layers = 2")
team("reflect", PAIR .. ", rounds = 3")

return M
