-- Looking into a running host: ps, top, attach; read-only unless somebody says --write.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"

local HOST = [[
local stoke = require "stoke"
town = { names = { "Ada", "Bob" }, guarded = setmetatable({}, { __index = function() error "ran a metamethod" end,
  __tostring = function() town.names[1] = "changed: ran a metamethod" return "" end }) }
town.odd = { setmetatable({}, { __metatable = 5 }), [setmetatable({}, { __tostring = town.guarded })] = ("x"):rep(1000), big = {} }
for i = 1, 100000 do town.odd.big[i] = i end
local wipe = stoke.tool { name = "wipe", params = { disk = "string" }, needs_approval = true,
  run = function(a) return "wiped " .. a.disk end }
stoke.main(function()
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b", instructions = "Be brief." }
  local chat = bot:session()
  chat:run "Hello there"
  stoke.spawn(function() print(wipe:call { disk = "sda" }) end)
  local long = stoke.spawn(function() stoke.sleep(1e5) end)
  pcall(long.await, long)
  print "the task was cancelled"
  stoke.sleep(1e5)
end)
]]

--- A folder of its own with a host in it, and a way to run our verbs there.
local function start(name, code)
  local folder = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  local script = folder .. "/town.lua"
  fs.write(script, code or HOST)
  local env = { XDG_RUNTIME_DIR = folder, HOME = folder, PATH = os.getenv "PATH" }
  local process = proc.spawn { argv = { about.executable(), "run", "--name", name, script, "--sim" }, env = env,
    stderr = "capture" }
  local self = { process = process, folder = folder, script = script }
  function self.stoke(stdin, ...)
    return proc.run { argv = { about.executable(), ... }, env = env, stdin = stdin, timeout = 30 }
  end
  for _ = 1, 200 do
    local r = self.stoke("", "ps", "--json")
    if r.stdout ~= "" then break end
    stoke.sleep(0.05)
  end
  return setmetatable(self, { __close = function()
    process:close()
    fs.remove(folder, { recursive = true })
  end })
end

test("ps: lists running hosts and what lives in them", { real = true }, function(t)
  local host <close> = start "town"
  local entry = json.decode(host.stoke("", "ps", "--json").stdout)
  t.eq({ entry.name, entry.pid, entry.script, entry.agents, entry.sessions }, { "town", host.process.pid, host.script, 1, 1 })
  t.match(host.stoke("", "ps").stdout, "^NAME.-\ntown .* %-  [^\n]*town%.lua\n") -- it serves no clients
  t.eq(entry.clients, nil)
  t.match(proc.run { argv = { "ls", "-l", host.folder .. "/stoke" } }.stdout, "srw%-%-%-%-%-%-%-")
end)

test("ps: a host that was killed is not listed, and its socket goes", { real = true }, function(t)
  local host <close> = start "town"
  host.process:kill "KILL"
  host.process:wait()
  t.eq(host.stoke("", "ps").stdout, "")
  t.eq(#fs.list(host.folder .. "/stoke"), 0)
end)

test("attach: who does not know the secret runs nothing and learns nothing", { real = true }, function(t)
  local host <close> = start "town"
  local path, key = host.folder .. "/stoke/town.sock", host.folder .. "/stoke.key"
  t.match(proc.run { argv = { "ls", "-l", key } }.stdout, "^%-rw%-%-%-%-%-%-%-")
  local line = { line = "town.names[1] = 'changed'", write = true, client = "x" }
  for _, headers in ipairs { {}, { Authorization = "Bearer " .. ("0"):rep(64) }, { Authorization = fs.read(key):sub(1, -2) } } do
    for _, target in ipairs { "/about", "/counts", "/nothing" } do
      t.eq(http.get("http://localhost" .. target, { socket = path, headers = headers, raise = false }).status, 401)
    end
    t.eq(http.post("http://localhost/line", { socket = path, headers = headers, json = line, raise = false }).status, 401)
  end
  t.match(host.stoke("town.names\n", "attach", "town").stdout, "Ada")
end)

test("attach: a secret that others can read is not used, and one that was changed is told", { real = true }, function(t)
  local host <close> = start "town"
  local key = host.folder .. "/stoke.key"
  proc.run { argv = { "chmod", "644", key } }
  local r = host.stoke("", "ps")
  t.eq(r.code, 7)
  t.match(r.stderr, "may be read or written by others")
  fs.remove(key)
  t.match(host.stoke("", "ps").stdout, "\ntown .*another secret")
  r = host.stoke("", "attach", "town")
  t.eq(r.code, 7)
  t.match(r.stderr, "wants another secret than that of .*stoke%.key")
end)

test("attach: sockets of hosts that were killed go when the next host begins", { real = true }, function(t)
  local host <close> = start "town"
  host.process:kill "KILL"
  host.process:wait()
  local other <close> = proc.spawn { argv = { about.executable(), "run", "--name", "other", host.script, "--sim" },
    env = { XDG_RUNTIME_DIR = host.folder, HOME = host.folder, PATH = os.getenv "PATH" }, stderr = "capture" }
  for _ = 1, 200 do
    if not fs.stat(host.folder .. "/stoke/town.sock") then break end
    stoke.sleep(0.05)
  end
  t.eq({ fs.stat(host.folder .. "/stoke/town.sock"), other:kill "TERM" }, { nil, true })
end)

test("ps: a host that is busy is listed as that, and is not said to be gone", { real = true }, function(t)
  local host <close> = start("town", [[
    local stoke = require "stoke"
    stoke.main(function() stoke.sleep(2) while true do end end)]])
  local r
  for _ = 1, 20 do
    r = host.stoke("", "ps")
    if r.stdout:find "busy" then break end
    stoke.sleep(0.1)
  end
  t.match(r.stdout, "\ntown .*busy: it does not answer")
  t.eq(json.decode(host.stoke("", "ps", "--json").stdout).busy, true)
  t.match(host.stoke("", "top", "town", "--once").stderr, "the host town runs, but does not answer")
end)

test("attach: shows tasks with their stacks, agents, sessions and the exact next request", { real = true }, function(t)
  local host <close> = start "town"
  local out = host.stoke(":tasks\n:tasks 1\n:agents\n:sessions\n:pending\n", "attach", "town").stdout
  t.match(out, "TASK +NAME +WAITS FOR")
  t.match(out, "approval")
  t.match(out, "stack traceback:.-town%.lua:%d+: in ")
  t.match(out, "bot +qwen2%.5:3b")
  local number = t.match(out, "\n(%d+) +bot +1 +2 ")
  t.match(out, '\n1 +wipe +{"disk":"sda"}')
  out = host.stoke((":request %s And in Rome?\n:messages %s\n:window %s\n"):format(number, number, number), "attach").stdout
  t.match(out, '"content": "And in Rome%?"')
  t.match(out, "POST http://[^\n]*/api/chat")
  t.match(out, "user: Hello there\nassistant: ")
  t.match(out, "tokens of 4096")
  out = host.stoke(":request bot And in Rome?\n:request nobody\n:request\n", "attach", "town").stdout
  t.match(out, '"content": "Be brief%.".-"content": "And in Rome%?"')
  t.match(out, "there is no agent nobody; there are: bot")
  t.match(out, "wants the number of a session, or the name of an agent")
end)

test("attach: without --write no function of an agent is called to work out its next request", { real = true }, function(t)
  local host <close> = start("town", HOST:gsub('"Be brief."', 'function() town.names[1] = "called" return "Be brief." end'):gsub(
    'chat:run "Hello there"', '%0 town.names[1] = "Ada"'))
  local number = t.match(host.stoke(":sessions\n", "attach", "town").stdout, "\n(%d+) +bot ")
  local ask = (":request %s\ntown.names[1]\n"):format(number)
  local out = host.stoke(":request bot Hi\n" .. ask, "attach", "town").stdout
  t.match(out, "^denied: .*denied: ")
  t.match(out, "denied: a function of the agent bot would run, that of its instructions")
  t.match(out, '"Ada"')
  t.match(host.stoke(ask, "attach", "--write", "town").stdout, '"content": "Be brief.".-"called"')
  local later <close> = start("later", HOST:gsub('instructions = "Be brief."', "handoffs = { function() return town.bot end }")
    :gsub('chat:run "Hello there"', "town.bot = bot"))
  number = t.match(later.stoke(":sessions\n", "attach", "later").stdout, "\n(%d+) +bot ")
  t.match(later.stoke((":request %s\n"):format(number), "attach", "later").stdout, "would run, that of its handoffs")
  local worded <close> = start("worded", HOST:gsub('instructions = "Be brief."',
    'texts = { summary = function() return "x" end }'))
  number = t.match(worded.stoke(":sessions\n", "attach", "worded").stdout, "\n(%d+) +bot ")
  t.match(worded.stoke((":request %s\n"):format(number), "attach", "worded").stdout, "would run, that of its text summary")
end)

test("attach: without --write names are looked up raw, and nothing is called or changed", { real = true }, function(t)
  local host <close> = start "town"
  local out = host.stoke('town.names[2]\ntown["names"]\ntown.guarded.x\ntown.names.x.y\nstoke.tasks()\n' ..
    'town.names[1] = "x"\n1 + 1\n' .. ":approve 1\n:cancel 1\ntown.names[1]\n:taks\n", "attach", "town").stdout
  local lines = {}
  for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
  t.eq(lines[1], '"Bob"')
  t.match(lines[2], '"Ada"')
  t.eq(lines[3], "nil")
  t.match(lines[4], "has no fields")
  t.ok(not out:find "ran a metamethod")
  local _, denied = out:gsub("denied: ", "")
  t.eq(denied, 5)
  t.match(out, '"Ada"\nargument: there is no command :taks %(did you mean :tasks%?%)')
end)

test("attach: shows a value without asking it, and only some of it", { real = true }, function(t)
  local host <close> = start "town"
  local out = host.stoke("town.guarded\ntown.odd\ntown.odd.big\ntown\n_G\npackage.loaded\ntown.names\n", "attach", "town").stdout
  t.ok(not out:find "ran a metamethod" and not out:find "attempt to", out)
  t.match(out, "^table: 0x%x+ {}\n{%s+table: 0x%x+ {}")
  t.match(out, "\n{%s+1, 2, 3, .-20,%s+%.%.%. over %d+ more%s+}\n")
  t.match(out, '{ "Ada", "Bob" }\n$')
end)

test("attach --write: approves a pending call and cancels a task", { real = true }, function(t)
  local host <close> = start "town"
  local task
  repeat -- until the host has come so far
    for line in host.stoke(":tasks\n", "attach").stdout:gmatch "[^\n]+" do
      if line:find "time.sleep" then task = line:match "^(%d+)" end
    end
  until task
  t.match(host.stoke(":approve 1\n:cancel " .. task .. "\n", "attach", "--write").stdout, "approved\ncancelled\n")
  local lines = host.process:lines()
  t.eq({ lines(), lines() }, { "wiped sda", "the task was cancelled" })
end)

test("top: counts tasks, calls and tokens", { real = true }, function(t)
  local host <close> = start("busy", [[
    local stoke = require "stoke"
    local ollama = require "stoke.ollama"
    stoke.main(function()
      while true do ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "Hi" } } } stoke.sleep(0.02) end
    end)]])
  t.match(host.stoke("", "top", "--once").stdout, "calls 0 %(%-/s%).*  counted since this look\n")
  stoke.sleep(1)
  local now = json.decode(host.stoke("", "top", "--once", "--json").stdout)
  t.ok(now.calls > 0 and now.output_tokens > 0 and now.input_tokens > 0)
  t.match(host.stoke("", "top", "--once").stdout, "^busy  pid %d+.*  counted since %d.* ago\n")
end)

test("top: where the output is no terminal there is one look, with --every as many as somebody reads", { real = true }, function(t)
  local host <close> = start "town"
  local r = host.stoke("", "top")
  t.match(r.stdout, "^town  pid %d+[^\n]*\n.*counted since this look\nout 0  waiting 0\nMODEL ")
  t.match(r.stdout, "\nsim  http://[^\n]+  ok\n  qwen2%.5:3b +1%?  idle +%- [^\n]*\n$")
  t.eq({ select(2, r.stdout:gsub("pid", "")), r.code }, { 1, 0 })
  t.eq({ select(2, host.stoke("", "top", "--json").stdout:gsub("\n", "")) }, { 1 })
  local piped = proc.run { argv = { "sh", "-c", '"$1" top town --json --every 0.01 | head -n 3', "sh", about.executable() },
    env = { XDG_RUNTIME_DIR = host.folder, HOME = host.folder, PATH = os.getenv "PATH" }, timeout = 30 }
  t.eq({ select(2, piped.stdout:gsub("\n", "")) }, { 3 })
end)

test("top and :pool: who is on each slot, who waits and why, also as JSON", { real = true }, function(t)
  local host <close> = start("crowd", [[
    local stoke = require "stoke"
    stoke.main(function()
      local bot = stoke.agent { name = "clerk", model = "slow", endpoint = "http://slow.mem" }
      local server = require "stoke.sim".serve { mem = "slow", models = { "slow" }, tokens_per_second = 1, load_seconds = 0,
        script = function() return ("word "):rep(1000) end }
      local scope <close> = stoke.scope {}
      for i = 1, 9 do scope:spawn(function() bot:run("Hi " .. i) end) end
      scope:wait()
    end)]])
  local now
  repeat now = json.decode(host.stoke("", "top", "--json").stdout) until now.pool.servers[1]
  local lane = now.pool.servers[1].lanes[1]
  t.eq({ lane.model, lane.busy + lane.waiting, #lane.calls, #lane.queue, lane.queue[1].class },
    { "slow", 9, lane.busy, lane.waiting, "normal" })
  t.match(lane.queue[2].reason, "^1 program before this one")
  local looks = { host.stoke("", "top").stdout, host.stoke(":pool\n", "attach", "crowd").stdout }
  for _, look in ipairs(looks) do
    t.match(look, "\n    runs +[%d.]+s  clerk")
    t.match(look, "\n    waits +[%d.]+s  clerk #%d+ +next; [^\n]*\n    waits +[%d.]+s  clerk #%d+ +1 program before this one")
    t.match(look, "\n    %d more wait\n")
  end
end)

test("ps and top: the number of tasks is that of those listed", function(t)
  local tasks = require "core.task"
  local before = tasks.count()
  local scope <close> = stoke.scope()
  for _ = 1, 5 do scope:spawn(stoke.sleep, 100) end
  t.eq({ tasks.count() - before, tasks.count() }, { 5, #tasks.list() })
end)

test("top: a line is never wider than the terminal, and the last looks do not pile up", { real = true }, function(t)
  local host <close> = start "town"
  local session <close> = require "pty"({ "top", "town", "--every", "0.1" },
    { columns = 40, rows = 6, env = { XDG_RUNTIME_DIR = host.folder } })
  session:wait "…"
  stoke.sleep(0.5)
  session:wait "calls 0 (0/s)"
  local _, heads = session.screen:text():gsub("pid %d+", "")
  t.eq(heads, 1)
  for line in session.screen:text():gmatch "[^\n]+" do t.ok(utf8.len(line) <= 40 and not line:find "^out") end
end)

test("top: q, Esc and Ctrl-C end it, other keys look again; the terminal is as before", { real = true, timeout = 60 }, function(t)
  local host <close> = start "town"
  for _, key in ipairs { "q", "\27", "\3" } do
    local session <close> = require "pty"({ "top", "town", "--every", "60" }, { env = { XDG_RUNTIME_DIR = host.folder } })
    session:wait "q, Esc or Ctrl-C ends"
    session:type " "
    session:wait "calls 0 (0/s)"
    session:type(key)
    t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 0" })
  end
end)

test("top: a host that ends meanwhile is told in a line", { real = true, timeout = 60 }, function(t)
  local host <close> = start "town"
  local session <close> = require "pty"({ "top", "town", "--every", "0.1" }, { env = { XDG_RUNTIME_DIR = host.folder } })
  session:wait "calls 0"
  host.process:kill "KILL"
  session:wait "the host town is gone"
  t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 4" })
end)

test("top: on a narrow terminal counts go on in the next line", { real = true, timeout = 60 }, function(t)
  local host <close> = start "town"
  local session <close> = require "pty"({ "top", "town", "--every", "0.1" },
    { columns = 24, rows = 20, env = { XDG_RUNTIME_DIR = host.folder } })
  session:wait "tokens out 0"
  for _, wanted in ipairs { "tasks %d", "sessions 1", "calls %d", "failed 0", "tokens in %d" } do
    t.match(session.screen:text(), wanted)
  end
end)

test("attach: Tab asks the host, with --write and without", { real = true, timeout = 60 }, function(t)
  local host <close> = start "town"
  local env = { XDG_RUNTIME_DIR = host.folder }
  local write <close> = require "pty"({ "attach", "town", "--write" }, { env = env })
  write:wait "town!"
  write:type "town.na\t"
  write:wait "town! town.names"
  write:type "[1]\r"
  write:wait '"Ada"'
  write:type "local mine = town.names\r"
  write:wait "= town.names\ntown!"
  write:type "#mi\t"
  write:wait "town! #mine"
  write:type "\3:canc\t"
  write:wait "town! :cancel"
  write:type "\3stoke.pp(town.names)\r"
  write:wait '{ "Ada", "Bob" }'
  write:type "stoke.term.table { { 'CITY', 'N' }, { 'Oslo', 4 } }\r"
  write:wait "CITY  N\nOslo  4"
  local look <close> = require "pty"({ "attach", "town" }, { env = env })
  look:wait "town>"
  look:type "town.na\t"
  look:wait "town> town.names"
  look:type "\3:pen\t"
  look:wait "town> :pending"
  look:type "\3:canc\tx" -- it changes something, so it is not offered
  look:wait "town> :cancx"
  look:type "\3town.guarded.\tx" -- a field that a function would have to be called for
  look:wait "town> town.guarded.x"
  look:type "\3\27[A\27[A"
  look:type "\4"
  t.ok(not look.screen:text():find "metamethod")
end)

test("attach: a host that is not there, and one that dies, are told in a line", { real = true }, function(t)
  local host <close> = start "town"
  local r = host.stoke("", "attach", "twon")
  t.eq(r.code, 2)
  t.match(r.stderr, "no host is named 'twon'.*did you mean 'town'%?")
  host.process:kill "KILL"
  host.process:wait()
  r = host.stoke("", "attach")
  t.eq(r.code, 2)
  t.match(r.stderr, "no host is running")
end)

test("attach: a script that waits for nothing is at a standstill all the same", { real = true }, function(t)
  local folder = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  local gone <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  fs.write(folder .. "/stuck.lua", 'local stoke = require "stoke"\nstoke.sleep(1)\nstoke.channel(1):recv()\n')
  local r = proc.run { argv = { about.executable(), folder .. "/stuck.lua" }, env = { XDG_RUNTIME_DIR = folder }, timeout = 20 }
  t.eq(r.code, 1)
  t.match(r.stderr, "deadlock")
end)

test("attach --write: Lua runs in the host, with locals of its own, and prints to who asked", { real = true }, function(t)
  local host <close> = start "town"
  local r = host.stoke("local n = #town.names\nn + 1\nprint('seen', n) io.write('here\\n')\ntown.names[3] = 'Cy'\n"
    .. "error 'oh'\nstoke.sleep(0.01) or 'waited'\n", "attach", "town", "--write")
  t.eq(r.stderr, "")
  t.match(r.stdout, "^3\nseen\t2\nhere\nscript: attached%[5%]:1: oh\n.*\"waited\"\n$")
  t.eq(host.stoke("n\n#town.names\n", "attach", "town", "--write").stdout:match "undefined variable 'n'.*\n3\n" ~= nil, true)
end)

test("attach --write: is the prompt, with help, the last values, :time and :quit", { real = true }, function(t)
  local host <close> = start "town"
  local r = host.stoke("1\n2\n_1 + _2\n?stoke.spawn\nhelp(stoke.sleep)\n:time 6 * 7\n:models\n:quit\n'not run'\n",
    "attach", "town", "--write")
  t.eq({ r.stderr, r.code }, { "", 0 })
  t.match(r.stdout, "^1\n2\n3\nstoke%.spawn%(f, %.%.%.%).*time%.sleep%(.*\n42\n%d%.%d+ s\nMODEL .*qwen2%.5:3b")
  t.ok(not r.stdout:find "not run")
  t.match(host.stoke(":time 1\n:watch on\n", "attach").stdout, "^denied: :time .*denied: :watch ")
end)

test("attach: who asked for a name that is taken is told which one it got", { real = true }, function(t)
  local host <close> = start "town"
  fs.write(host.folder .. "/short.lua", 'require "stoke".sleep(1)')
  local r = host.stoke("", "run", "--name", "town", host.folder .. "/short.lua")
  t.match(r.stderr, "another host is named town; this one is town%-%d+")
end)

test("attach --write: an entry that never waits is broken off, and the host goes on", { real = true }, function(t)
  local host <close> = start "town"
  local out = host.stoke("while true do pcall(function() while true do end end) end\ntown.names[1]\n", "attach", "--write").stdout
  t.match(out, "^limit: the entry ran for 3 s without waiting.*\n\"Ada\"\n$")
end)

test("attach --write: an entry may have several lines, and files are loaded again", { real = true }, function(t)
  local host <close> = start("edited", [[
    local stoke = require "stoke"
    bot = stoke.agent { name = "bot", model = "qwen2.5:3b", instructions = "Be brief." }
    stoke.main(function() stoke.sleep(1e5) end)]])
  local out = host.stoke("local sum = 0\nfor i = 1, 4 do\nsum = sum + i\nend\nsum\n:reload\n", "attach", "--write").stdout
  t.eq(out, "10\nnothing has changed\n")
  fs.write(host.script, (fs.read(host.script):gsub("Be brief", "Be kind")))
  t.match(host.stoke(":reload\n", "attach", "--write").stdout, "agent `bot`: instructions")
  t.eq(host.stoke("bot.definition.instructions\n", "attach", "--write").stdout, '"Be kind."\n')
end)
