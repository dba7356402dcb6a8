-- Approvals and the policy: parked in place, decided from elsewhere, by rules, or not at all.

local test = require "stoke.test"
local about = require "core.about"
local approve = require "stoke.approve"
local fs = require "stoke.fs"
local policy = require "core.gate.policy"
local proc = require "stoke.proc"
local scripted = require "scripted"
local start = require "pty"
local stoke = require "stoke"

local MODEL = scripted.MODEL

local function deleter(done)
  return stoke.tool { name = "delete", params = { path = "string" }, needs_approval = true,
    run = function(a) done[#done + 1] = a.path return "deleted " .. a.path end }
end

local function bot_of(server, tool)
  return stoke.agent { name = "janitor", model = MODEL, tools = { tool }, endpoint = server.url }
end

local function delete(path) return { tool_calls = { { name = "delete", arguments = { path = path } } } } end

local function with_policy(rules)
  stoke.policy(rules)
  return setmetatable({}, { __close = function() stoke.policy(nil) end })
end

--- The first entry that waits.
local function pending()
  while not stoke.pending()[1] do stoke.sleep(0.01) end
  return stoke.pending()[1]
end

test("approval: parks the run in place; approved from another task, no call is repeated", function(t)
  local done = {}
  local server <close> = scripted { delete "a.txt", "It is gone." }
  local run = stoke.spawn(function() return bot_of(server, deleter(done)):run "Delete a.txt" end)
  local entry = pending()
  t.eq({ entry.what, entry.agent, entry.args.path, entry.effect }, { "delete", "janitor", "a.txt", "tool.call" })
  stoke.sleep(3600)
  t.eq(#done, 0)
  t.eq(entry:approve(), true)
  t.eq(run:await().text, "It is gone.")
  t.eq(done, { "a.txt" })
  t.eq(#server.requests, 2)
  t.eq(server.sim.ledger.requests, 2)
  t.eq(stoke.pending(), {})
  t.eq(entry:approve(), false, "decided once")
end)

test("approval: a rejection is told to the model with its reason", function(t)
  local done = {}
  local server <close> = scripted { delete "a.txt", "Then not." }
  local run = stoke.spawn(function() return bot_of(server, deleter(done)):run "Delete a.txt" end)
  pending():reject "it is still needed"
  local result = run:await()
  t.eq(result.text, "Then not.")
  t.match(result.messages[3].content, "was rejected: it is still needed")
  t.eq(done, {})
end)

test("approval: arguments can be edited, and are checked again", function(t)
  local done = {}
  local server <close> = scripted { delete "a.txt", delete "b.txt", "ok" }
  local run = stoke.spawn(function() return bot_of(server, deleter(done)):run "x" end)
  pending():edit { path = "copy.txt" }
  pending():edit { path = 7 }
  local result = run:await()
  t.eq(done, { "copy.txt" })
  t.match(result.messages[5].content, "path: expected string")
end)

test("approval: a reader of the stream is told, and can decide there", function(t)
  local done = {}
  local server <close> = scripted { delete "a.txt", "ok" }
  for ev in bot_of(server, deleter(done)):stream "x" do
    if ev.type == "approval" then ev.pending:approve() end
  end
  t.eq(done, { "a.txt" })
end)

test("approval: where nobody is left to give it the run ends with needs_approval, exit code 7", function(t)
  local done = {}
  local server <close> = scripted { delete "a.txt", "ok" }
  local scope <close> = stoke.scope { deadline = 600 }
  local err = t.raises("needs_approval", function() bot_of(server, deleter(done)):run "x" end)
  t.eq(err.exit, 7)
  t.match(err.message, "tool.call delete needs approval, and nobody is there to give it")
  t.match(err.hint, "stoke.policy")
  t.eq({ done, stoke.pending() }, { {}, {} })
end)

test("approval: waits no longer than the policy's timeout", function(t)
  local server <close> = scripted { delete "a.txt" }
  local _ <close> = with_policy { timeout = 60 }
  local other = stoke.spawn(function() stoke.sleep(1e5) end)
  local began = stoke.time.monotonic()
  local _, err = stoke.try(function() bot_of(server, deleter {}):run "x" end)
  t.eq(err.kind, "needs_approval")
  t.near(stoke.time.monotonic() - began, 60, 1.5)
  other:cancel()
end)

test("approval: a cancelled run leaves nothing pending", function(t)
  local server <close> = scripted { delete "a.txt" }
  local run = stoke.spawn(function() bot_of(server, deleter {}):run "x" end)
  local entry = pending()
  run:cancel()
  pcall(run.await, run)
  t.eq(stoke.pending(), {})
  entry:approve()
end)

test("approval: a decision that comes too late decides nothing, and wakes nobody", function(t)
  local done, slept = {}, nil
  local tool = deleter(done)
  local scope <close> = stoke.scope {}
  scope:spawn(function()
    stoke.try(stoke.timeout, 1, tool.call, tool, { path = "a" })
    local before = stoke.time.monotonic()
    stoke.sleep(10)
    slept = stoke.time.monotonic() - before
  end)
  local late = pending()
  stoke.sleep(2)
  t.eq({ late:approve(), late:reject "no", late:edit { path = "b" }, late.decision }, { false, false, false })
  t.eq(late.args, { path = "a" })
  scope:wait()
  t.near(slept, 10, 0.01)
  local task = stoke.spawn(function() stoke.try(tool.call, tool, { path = "c" }) end)
  local entry = pending()
  task:cancel()
  t.eq(entry:approve(), false, "cancelled, though not yet unwound")
  stoke.sleep(0.1)
  t.eq(done, {})
end)

test("approval: a question shows what would not be seen, and nothing that imitates it", function(t)
  for text, shown in pairs { ["a\x9B31mb\xFF"] = "a\\x9B31mb\\xFF", ["x\u{61C}\u{2028}\u{3164}y"] = "x\\u{61C}\\u{2028}\\u{3164}y",
    ["path\nAllow it? [y = yes] y\n"] = "path\\u{A}Allow it? [y = yes] y\\u{A}", ["caf\u{E9} \u{1F600}"] = "caf\u{E9} \u{1F600}",
    ["\u{9B}2J\r"] = "\\u{9B}2J\\u{D}" } do
    t.eq(approve.visible(text), shown)
  end
end)

test("approval: needs_approval may be a function of the arguments", function(t)
  local done = {}
  local tool = stoke.tool { name = "delete", params = { path = "string" }, needs_approval = function(a) return a.path ~= "tmp" end,
    run = function(a) done[#done + 1] = a.path end }
  tool:call { path = "tmp" }
  t.eq(done, { "tmp" })
  t.raises("needs_approval", function() tool:call { path = "etc" } end)
end)

test("policy: an allowed tool is not asked about, a denied one is told to the model", function(t)
  local done = {}
  local server <close> = scripted { delete "a.txt", "ok", delete "b.txt", "then not" }
  do
    local _ <close> = with_policy { allow = { tool = { "del*" } } }
    bot_of(server, deleter(done)):run "x"
  end
  local _ <close> = with_policy { deny = { tool = { "delete" } } }
  local result = bot_of(server, deleter(done)):run "x"
  t.eq(done, { "a.txt" })
  t.match(result.messages[3].content, "^error: tool.call is not allowed: the policy denies the tool delete")
end)

test("policy: deny goes before ask, ask before allow, otherwise is for the rest", function(t)
  local _ <close> = with_policy { allow = { host = { "*" } }, ask = { host = { "*.example.org" } },
    deny = { host = { "bad.example.org" } }, otherwise = { tool = "ask", command = "deny" } }
  t.eq(policy.verdict("host", "BAD.example.org"), "deny")
  t.eq(policy.verdict("host", "api.example.org"), "ask")
  t.eq(policy.verdict("host", "other.net"), "allow")
  t.eq(policy.verdict("tool", "x"), "ask")
  t.eq(policy.verdict("command", "rm -rf x"), "deny")
  t.eq(policy.verdict("path", "x"), nil)
end)

test("policy: paths are judged absolute, with `..` taken out; * stays in its folder, ** does not", function(t)
  local _ <close> = with_policy { allow = { path = { "src/*" } }, deny = { path = { "**/.env", "/etc/**" } },
    otherwise = { path = "ask" } }
  for path, verdict in pairs {
    ["src/a.lua"] = "allow", ["./src/../src/b"] = "allow", ["src/deep/a.lua"] = "ask", ["src/.env"] = "deny", [".env"] = "deny",
    ["a/b/.env"] = "deny", ["x/../../../../../../../../../../../etc/passwd"] = "deny", ["/etc/x/y"] = "deny",
    ["/etcetera"] = "ask" } do
    t.eq(policy.verdict("path", path), verdict, path)
  end
end)

test("policy: files, programs and requests are judged at the door", function(t)
  local _ <close> = with_policy { deny = { path = { "**/*.secret" }, command = { "git push*" }, host = { "169.254.169.254" } } }
  t.raises("denied", fs.read, "my.secret")
  t.raises("denied", fs.rename, "a", "b.secret")
  t.raises("denied", proc.run, { argv = { "git", "push", "--force" } })
  t.raises("denied", stoke.http.get, "http://user@169.254.169.254:80/latest")
end)

test("policy: mistakes in the rules are named", function(t)
  t.match(t.raises("argument", stoke.policy, { denny = {} }).message, "did you mean deny?")
  t.match(t.raises("argument", stoke.policy, { deny = { hosts = {} } }).message, "did you mean host?")
  t.match(t.raises("argument", stoke.policy, { deny = { host = { 7 } } }).message, "deny.host%[1%] must be a pattern")
  t.match(t.raises("argument", stoke.policy, { otherwise = { tool = "maybe" } }).message, "otherwise.tool")
end)

test("approval: a script without a terminal ends with exit code 7", { real = true }, function(t)
  local code = [[
    local stoke = require "stoke"
    local tool = stoke.tool { name = "wipe", needs_approval = true, run = function() print "wiped" end }
    tool:call()
  ]]
  local r = proc.run { argv = { about.executable(), "-e", code }, timeout = 20 }
  t.eq({ r.code, r.stdout }, { 7, "" })
  t.match(r.stderr, "needs_approval: tool.call wipe needs approval")
end)

--- What a person saw who was asked on a terminal of its own and typed this, the last row being how it ended.
local function on_terminal(code, typed)
  local session <close> = start({ "-e", code }, { columns = 120, rows = 60 })
  session:wait "Allow it?"
  session:type(typed)
  session:ended()
  return session.screen:text()
end

local ASKS = [[
  local stoke = require "stoke"
  local wipe = stoke.tool { name = "wipe", params = { disk = "string" }, needs_approval = true,
    run = function(a) return "wiped" .. #a.disk end }
  stoke.main(function() print(wipe:call { disk = "sda\27[2J\u{202E}" }) end)
]]

local function real(name, f) test(name, { real = true, timeout = 60 }, f) end

real("approval: a terminal asks, with the exact arguments and nothing hidden in them", function(t)
  local out = on_terminal(ASKS, "y\r")
  t.match(out, "wipe")
  t.match(out, '"disk": "sda\\u001b%[2J\\u{202E}"')
  t.match(out, "wiped10")
  t.match(out, "<exit 0>")
end)

real("approval: on a terminal the default is no", function(t)
  local out = on_terminal(ASKS, "\r")
  t.match(out, "was rejected")
  t.match(out, "<exit 7>")
end)

test("approval: an answer is y, n, n and why, e or l; anything else is none", function(t)
  for answer, what in pairs { y = { "yes" }, [" YES "] = { "yes" }, n = { "no" }, No = { "no" }, [""] = { "no" }, ["  "] = { "no" },
    ["n not today"] = { "no", "not today" }, ["no, it is Friday"] = { "no", "it is Friday" }, ["n: x"] = { "no", "x" },
    e = { "edit" }, edit = { "edit" }, l = { "later" }, Later = { "later" }, [":pending"] = {}, ["ok"] = {}, ["yes please"] = {},
    ["yy"] = {}, ["y1"] = {}, [":y"] = {}, ["nothing"] = {}, ["?"] = {}, ["/bye"] = {}, ["later today"] = {} } do
    t.eq({ approve.read(answer) }, what, answer)
  end
end)

real("approval: what is no answer is asked again; a no with a reason says why", function(t)
  local out = on_terminal(ASKS, ":pending\rok\rn not today\r")
  t.match(out, '":pending" is no answer: y, n, n and why, e, l')
  t.match(out, '"ok" is no answer')
  t.match(out:gsub("\n", ""), "was rejected: not today") -- it is wrapped
  t.match(out, "<exit 7>")
end)

real("approval: the arguments can be edited where they are asked about", function(t)
  local session <close> = start({ "-e", ASKS:gsub('"sda[^"]*"', '"sda"') .. "" }, { columns = 100, rows = 40 })
  session:wait "Allow it?"
  session:type "e\r"
  session:wait 'arguments: {'
  session:type "\3" -- the line is dropped
  session:wait "^C"
  session:type '{"disk": "sdb1"}\r'
  session:wait "wiped4"
  t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 0" })
end)

real("approval: a question that was put off waits, and another task may decide it", function(t)
  local session <close> = start({ "-e", ASKS:gsub("stoke%.main", [[
    stoke.spawn(function()
      while not (stoke.pending()[1] and stoke.fs.stat "decide") do stoke.sleep(0.05) end
      stoke.pending()[1]:approve()
    end)
    %0]], 1) .. "" }, { columns = 100, rows = 40 })
  session:wait "Allow it?"
  session:type "l\r"
  session:wait "put off: asked again in 60 s"
  local mark <close> = setmetatable({}, { __close = function() fs.remove "decide" end })
  fs.write("decide", "")
  session:wait "wiped10"
  t.ok(mark ~= nil)
end)

real("approval: arguments that JSON cannot say are shown all the same; after long ones the question is whole", function(t)
  local out = on_terminal(ASKS:gsub('"sda[^"]*"', '"\\xFFsda" .. ("x"):rep(2000)'), "n\r")
  t.match(out, "xFFsdax")
  t.match(out, "Allow it%? %(wipe, %d+ bytes of arguments%)")
end)

real("approval: what was typed before the question was there is no answer to it", function(t)
  local code = ASKS:gsub("stoke%.main%(function%(%) ", '%0 print "at work" stoke.sleep(1) ')
  local session <close> = start { "-e", code }
  session:wait "at work"
  session:type "y\r"
  session:wait "Allow it?"
  session:type "\r"
  session:wait "was rejected"
  t.ok(not session.screen:text():find("wiped", 1, true), session.screen:text())
end)
