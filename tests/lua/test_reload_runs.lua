-- A reload while durable runs wait: they are replayed against the new code before it is taken.

local test = require "stoke.test"
local durable = require "durable"
local reload = require "stoke.reload"
local reloading = require "reloading"
local runs = require "core.runs"
local stoke = require "stoke"
local workflow = require "stoke.workflow"

local REAL <const> = { real = true, timeout = 30 }

local FLOW = [[
local stoke = require "stoke"
local part = require "part"
return stoke.workflow("desk", function(input)
  local first = stoke.step("%s", function() return part.word .. input end)
  local word = stoke.signal "go"
  return { first, part.word, word, "%s" }
end%s)
]]
local LATEST <const> = ', { code = "latest" }'

-- A store of the test, and the files; `restart` is what another process would do.
local function case_of(t, options)
  local before, path = runs.setting, t.tmp() .. "/state.db"
  runs.setting = function() return path end
  local files = reloading { ["part.lua"] = 'return { word = "old " }', ["flow.lua"] = FLOW:format("ask", "one", options or "") }
  local case = { files = files, flow = require "flow" }
  function case.wait(id)
    while workflow.run(id):status().state ~= "waiting" do stoke.sleep(0.005) end
  end
  function case.start(id)
    local run = case.flow:start(id, { id = id })
    case.wait(id)
    return run
  end
  function case.restart()
    runs.leave()
    runs.resume_all()
    case.flow = require "flow"
  end
  return case, setmetatable({}, { __close = function()
    runs.leave()
    runs.setting = before
    for name in pairs(runs.defined) do runs.defined[name] = nil end
    getmetatable(files).__close(files)
  end })
end

-- What the report says of runs.
local function told(report)
  for _, line in ipairs(report.lines) do
    if line:find " runs? " then return line end
  end
  return nil
end

local function finish(id)
  workflow.run(id):signal("go", "signalled")
  return workflow.run(id):await()
end

for _, killed in ipairs { false, true } do
  local after = killed and ", also after its process has ended" or ""
  test("a workflow with code = latest takes new code that asks the same" .. after, REAL, function(t)
    local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
    case.start "a"
    case.start "b"
    local report = case.files.edit("flow.lua", FLOW:format("ask", "two", LATEST))
    t.eq(told(report), "2 of 2 runs go on with the new code as it is")
    case.wait "a"
    if killed then case.restart() end
    t.eq(finish("a"), { "old a", "old ", "signalled", "two" })
  end)

  test("one whose new code asks something else stays on the old" .. after, REAL, function(t)
    local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
    case.start "a"
    local report = case.files.edit("flow.lua", FLOW:format("other", "two", LATEST))
    t.match(told(report), "^0 of 1 run goes on with the new code as it is; 1 stays on the old: "
      .. "[^ ]*flow.lua:4 does step, which it did not do$")
    case.wait "a"
    if killed then case.restart() end
    t.eq(finish("a"), { "old a", "old ", "signalled", "one" })
  end)

  test("a run that was not opted in stays on its own modules" .. after, REAL, function(t)
    local case, closing <close> = case_of(t) -- luacheck: ignore
    case.start "a"
    local report = case.files.edit("part.lua", 'return { word = "new " }')
    t.eq(told(report), "1 of 1 run would go on with the new code as it is; each stays on the code that it has")
    case.wait "a"
    if killed then case.restart() end
    t.eq(finish("a"), { "old a", "old ", "signalled", "one" })
    t.eq(case.start "b" ~= nil and finish("b"), { "new b", "new ", "signalled", "one" })
  end)
end

test("a syntax error leaves the runs where they are", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  case.start "a"
  local entry = runs.live.a
  t.match(case.files.bad("flow.lua", "return {").message, "flow.lua:1: ")
  t.ok(runs.live.a == entry)
  t.eq(finish("a"), { "old a", "old ", "signalled", "one" })
end)

test("a workflow that is gone: its runs stay on the old, and none is begun", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  case.start "a"
  local report = case.files.edit("flow.lua", "return {}")
  t.eq(report.lines, { report.lines[1],
    "0 of 1 run would go on with the new code as it is; each stays on the code that it has; 1 would not: "
      .. "the workflow desk is gone" })
  t.match(report.lines[1], "workflow `desk`: removed")
  case.wait "a"
  local _, err = stoke.try(runs.start, "desk", "b", "b")
  t.match(err.message, "no workflow desk is defined")
end)

test("without a run that lives nothing is replayed", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  t.eq(told(case.files.edit("flow.lua", FLOW:format("other", "two", LATEST))), nil)
  t.eq(#reload.files(), 2)
end)

test("what is at work is not done again: the run takes the new code behind it", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  local text = [[
    local stoke = require "stoke"
    return stoke.workflow("desk", function()
      local which = "%s"
      local first = stoke.step("slow", function() return require("gate").pass() end)
      return { first, which, stoke.signal "go" }
    end, { code = "latest" })
  ]]
  local gate = { count = 0 }
  function gate.pass()
    gate.count = gate.count + 1
    while not gate.open do stoke.sleep(0.005) end
    return gate.count
  end
  package.loaded.gate = gate
  case.files.edit("flow.lua", text:format "one")
  case.flow:start(nil, { id = "s" })
  while gate.count == 0 do stoke.sleep(0.005) end
  t.eq(told(case.files.edit("flow.lua", text:format "two")), "1 of 1 run goes on with the new code as it is")
  stoke.sleep(0.02)
  gate.open = true
  case.wait "s"
  t.eq(finish("s"), { 1, "two", "signalled" })
  t.eq(gate.count, 1)
  package.loaded.gate = nil
end)

test("bodies of the check do nothing: an effect in one fails the reload, and is not performed", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  case.start "a"
  local path = t.tmp() .. "/written"
  local err = case.files.bad("flow.lua", ('require("stoke").fs.write(%q, "x")\n'):format(path) .. FLOW:format("ask", "two", LATEST))
  t.match(err.message, "an effect in the body of a file")
  t.eq(stoke.fs.stat(path), nil)
  t.eq(finish("a"), { "old a", "old ", "signalled", "one" })
end)

test("a limit of time: the runs that were not looked at stay on the old", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  case.start "a"
  local changes = require "core.runs.change"
  local limit <close> = setmetatable({ changes.LIMIT }, { __close = function(was) changes.LIMIT = was[1] end }) -- luacheck: ignore
  changes.LIMIT = -1
  t.match(told(case.files.edit("flow.lua", FLOW:format("ask", "two", LATEST))), "^0 of 1 run agrees so far with the new code")
  case.wait "a"
  t.eq(finish("a"), { "old a", "old ", "signalled", "one" })
end)

test("the code that a run took is its own from there on", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  case.start "a"
  case.files.edit("flow.lua", FLOW:format("ask", "two", LATEST))
  case.wait "a"
  local report = case.files.edit("flow.lua", FLOW:format("other", "three", LATEST))
  t.match(told(report), "^0 of 1 run goes on with the new code as it is; 1 stays on the old: ")
  case.wait "a"
  case.restart()
  case.wait "a"
  case.restart()
  t.eq(finish "a", { "old a", "old ", "signalled", "two" })
end)

test("a run that stayed takes the next version that asks the same", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  case.start "a"
  case.files.edit("flow.lua", FLOW:format("other", "two", LATEST))
  case.wait "a"
  local report = case.files.edit("flow.lua", FLOW:format("ask", "three", LATEST))
  t.eq(told(report), "1 of 1 run goes on with the new code as it is")
  case.wait "a"
  t.eq(finish "a", { "old a", "old ", "signalled", "three" })
end)

test("an agent's question that is another one is told with its line", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  t.model("qwen2.5:3b", { "Yes." })
  local text = [[
    local stoke = require "stoke"
    local bot = stoke.agent { name = "desk", model = "qwen2.5:3b" }
    return stoke.workflow("desk", function()
      local answer = bot:run("%s").text
      return { answer, stoke.signal "go" }
    end, { code = "latest" })
  ]]
  case.files.edit("flow.lua", text:format "Umbrella?")
  case.start "a"
  t.match(told(case.files.edit("flow.lua", text:format "Hat?")), "1 stays on the old: [^ ]*flow.lua:4 asks a different question$")
  case.wait "a"
  t.eq(finish "a", { "Yes.", "signalled" })
end)

test("stoke run --watch: edited, killed with -9 and begun again, the run goes on with the new code", REAL, function(t)
  local text = [[
    local stoke = require "stoke"
    local flow = stoke.workflow("desk", function()
      local first = stoke.step("ask", function() return "once" end)
      return { first, stoke.signal "go", "%s" }
    end, { code = "latest" })
    stoke.main(function()
      require("stoke.reload").on_change(function(report) print(table.concat(report.lines, "\n")) end)
      local run = flow:start(nil, { id = "d" })
      while run:status().state ~= "waiting" do stoke.sleep(0.005) end
      print "waits"
      if stoke.fs.stat "go" then run:signal("go", "signalled") end
      print(table.concat(run:await(), " "))
    end)
  ]]
  local case = durable.new(t, text:format "old")
  local _, out = case:run(nil, nil, function()
    durable.shows "waits" (case)
    case:write(text:format "new")
    durable.shows "1 of 1 run goes on with the new code as it is" (case)
  end, "--watch")
  t.ok(not out:find "signalled")
  case:write("", "go")
  t.match(select(2, case:run()), "once signalled new\n$")
end)

test("while runs are replayed for a reload, other work has its turns", REAL, function(t)
  local case, closing <close> = case_of(t, LATEST) -- luacheck: ignore
  local changes = require "core.runs.change"
  local slice <close> = setmetatable({ changes.SLICE }, { __close = function(was) changes.SLICE = was[1] end }) -- luacheck: ignore
  changes.SLICE = -1 -- each record is a slice of its own
  local text = [[
    local stoke = require "stoke"
    local probe = require "probe"
    return stoke.workflow("desk", function()
      for _ = 1, 300 do
        stoke.time.now()
        probe.seen[#probe.seen + 1] = probe.turns
      end
      return { "%s", stoke.signal "go" }
    end, { code = "latest" })
  ]]
  local probe, over = { turns = 0, seen = {} }, false
  package.loaded.probe = probe
  case.files.edit("flow.lua", text:format "one")
  case.start "a"
  case.files.write("flow.lua", text:format "two")
  probe.seen = {}
  local other = stoke.spawn(function()
    while not over do
      stoke.sleep(0)
      probe.turns = probe.turns + 1
    end
  end)
  t.eq(told(reload.all()), "1 of 1 run goes on with the new code as it is")
  over = true
  other:await()
  for i = 2, 300 do t.ok(probe.seen[i] > probe.seen[i - 1], i) end
  case.wait "a"
  t.eq(finish "a", { "two", "signalled" })
  package.loaded.probe = nil
end)
