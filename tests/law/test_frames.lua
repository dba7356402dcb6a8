-- Keys are of frames: who listens, which worker takes an item and what others do shifts none.

local test = require "stoke.test"
local stoke = require "stoke"
local journal = require "core.journal"
local runs = require "runs"
local scripted = require "tests.lua.scripted"

local ask = runs.ask

local function of(keys, name)
  local list = {}
  for _, key in ipairs(keys) do
    if key:find(name, 1, true) then list[#list + 1] = key end
  end
  return list
end

local look = stoke.tool { name = "look", description = "Looks", params = { at = "string" }, run = function(a)
  return ask("look " .. a.at).text
end }

local function call(at) return { name = "look", arguments = { at = at } } end

-- The keys of a run of an agent that calls `look` so, with somebody who listens or not.
local function keys_of(calls, listens)
  local server <close> = scripted { { tool_calls = calls }, "done" }
  local bot = stoke.agent { name = "bot", model = scripted.MODEL, endpoint = server.url, tools = { look } }
  local tape = runs.record(function()
    if not listens then return bot:run("go").text end
    for event in bot:stream "go" do
      if event.type == "done" then return event.result.text end
    end
  end)
  return runs.keys(tape)
end

test("a call of a tool has the same key, whether it is alone, has company, or somebody listens", function(t)
  local alone = keys_of { call "a" }
  t.eq(of(alone, "tool"), { "run/agent bot:1/tool look:1/tool.call#1", "run/agent bot:1/tool look:1/tool.call#1/test.ask#1" })
  local two = keys_of { call "a", call "b" }
  t.eq(of(two, "look:1"), of(alone, "look:1"))
  t.eq(of(two, "look:2"), { "run/agent bot:1/tool look:2/tool.call#1", "run/agent bot:1/tool look:2/tool.call#1/test.ask#1" })
  local function without_task(keys)
    for i, key in ipairs(keys) do keys[i] = key:gsub("^run/[^/]*/agent", "run/agent") end
    return keys
  end
  t.eq(of(without_task(keys_of({ call "a", call "b" }, true)), "tool"), of(two, "tool"))
end)

test("an item of scope:map has its key, whichever worker takes it, and however many there are", function(t)
  local function keys(waits, limit)
    local tape = runs.record(function()
      local scope <close> = stoke.scope {}
      scope:map(waits, function(wait, i) return ask("item " .. i, { wait = wait }) end, { limit = limit })
      scope:spawn(ask, "after"):await()
    end)
    local list = runs.keys(tape)
    table.sort(list)
    return list
  end
  local wanted = { "run/map:1/1/test.ask#1", "run/map:1/2/test.ask#1", "run/map:1/3/test.ask#1", "run/map:1/4/test.ask#1",
    "run/task:1/test.ask#1" }
  t.eq(keys({ 0.03, 0.01, 0.01, 0.01 }, 2), wanted)
  t.eq(keys({ 0.01, 0.03, 0.01, 0.01 }, 2), wanted)
  t.eq(keys({ 0.01, 0.03, 0.01, 0.01 }, 4), wanted)
end)

test("one more effect, task or named frame shifts no other's key", function(t)
  local function keys(more)
    return runs.keys((runs.record(function()
      if more then os.time() end
      local scope <close> = stoke.scope {}
      if more then scope:map({ "item" }, function(word) ask(word) end) end
      scope:spawn(function()
        if more then os.time() end
        ask "in a task"
      end):await()
      ask "in main"
    end)))
  end
  t.eq(of(keys(true), "task:1/test.ask"), of(keys(false), "task:1/test.ask"))
  t.eq(of(keys(true), "run/test.ask"), of(keys(false), "run/test.ask"))
end)

test("outside a journalled run there are no frames", function(t)
  local frames = require "core.frame"
  local tasks = require "core.task"
  t.eq({ frames.enter("x", "y"), frames.list "x", frames.id "x", frames.current() }, {})
  t.eq(stoke.spawn(function() return tasks.current().context.frame end):await(), nil)
end)

test("a whole agent with tools, another agent as a tool, and a budget replays without one call", function(t)
  local server <close> = scripted(function(request)
    local last = request.messages[#request.messages]
    if request.messages[1].content == "You are the critic." then return "fine" end
    if last.role == "tool" then return "done: " .. last.content end
    return { tool_calls = { call "x", { name = "critic", arguments = { input = "well?" } } } }
  end)
  local critic = stoke.agent { name = "critic", model = scripted.MODEL, endpoint = server.url,
    instructions = "You are the critic." }
  local bot = stoke.agent { name = "bot", model = scripted.MODEL, endpoint = server.url, tools = { look, critic:as_tool() } }
  local function f()
    local scope <close> = stoke.scope { budget = { tokens = 100000 } }
    local result = bot:run "go"
    local ids = {}
    for _, message in ipairs(result.messages) do ids[#ids + 1] = message.tool_call_id end
    return result.text, result.usage, scope.budget.used, result.id, ids, result.steps
  end
  local first, second = runs.twice(f)
  t.eq(first.err, nil)
  t.eq(#server.requests, 3)
  t.eq(second, first)
  t.eq(runs.asked, {})
  t.eq(first[2].calls, 3)
end)

test("a stream of an agent replays event by event", function(t)
  local server <close> = scripted (function(request)
    if request.messages[1].content == "You are the critic." then return "fine" end
    if request.messages[#request.messages].role == "tool" then return "A text of several words." end
    return { tool_calls = { { name = "critic", arguments = { input = "well?" } } } }
  end)
  local critic = stoke.agent { name = "critic", model = scripted.MODEL, endpoint = server.url,
    instructions = "You are the critic." }
  local bot = stoke.agent { name = "bot", model = scripted.MODEL, endpoint = server.url, tools = { critic:as_tool() } }
  local function f()
    local list = {}
    for event in bot:stream "go" do list[#list + 1] = ("%s %s"):format(event.type, event.text or "") end
    return list
  end
  local first, second = runs.twice(f)
  t.eq(first.err, nil)
  t.ok(#first[1] > 4, #first[1])
  t.eq(second, first)
  t.eq(#server.requests, 3)
end)

test("a journal is given again from a fork of its middle", function(t)
  local function f(last) return ask "a".n + ask "b".n, ask(last).text end
  local tape = runs.record(f, "c")
  local held
  journal.record("x", function()
    ask "a"
    ask "b"
    held = journal.current():snapshot()
  end)
  t.eq(#held.rows, 2)
  t.eq(journal.replay(held, f, "another")[2], "another!")
  t.eq(#tape.rows, 3)
end)
