-- The prompt on a real terminal (tests/peers/pty.c), as a person would see it (screen.lua).

local test = require "stoke.test"
local fs = require "stoke.fs"
local http = require "stoke.http"
local sim = require "stoke.sim"
local start = require "pty"
local stoke = require "stoke"
local time = require "stoke.time"

local REAL = { real = true, timeout = 120 }

local UP, LEFT, ESC = "\27[A", "\27[D", "\27"

--- A session at its first prompt.
local function prompt(argv, options)
  local session = start(argv or { "--sim" }, options)
  session:wait "leaves\n>"
  return session
end

--- Type, and wait for what is seen then.
local function see(session, bytes, wanted)
  session:type(bytes)
  return session:wait(wanted)
end

test("terminal: an expression prints itself, Ctrl-D leaves, and the terminal is as before", REAL, function(t)
  local session <close> = prompt()
  see(session, "1 + 1\r", "> 1 + 1\n2\n>")
  session:type "\4"
  t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 0" })
  t.eq(session.screen.pastes, false)
end)

test("terminal: a lone ESC does not stall the keys behind it", REAL, function(t)
  local session <close> = prompt()
  see(session, "ab", "> ab")
  session:type(ESC)
  stoke.sleep(0.2)
  local began = time.monotonic()
  see(session, "c", "> abc")
  t.ok(time.monotonic() - began < 2, "at once")
  session:type(ESC .. "bX") -- Alt-b
  session:wait "> Xabc"
end)

test("terminal: wide characters are edited where they stand", REAL, function()
  local session <close> = prompt()
  session:type("'日本語🦙é'" .. LEFT .. LEFT .. LEFT .. "\127本\r")
  session:wait "> '日本本🦙é'\n\"日本本🦙é\"\n>"
  session:type "'e\u{301}'" -- a mark is one with its letter
  session:type(LEFT .. "\127x")
  session:wait "> 'x'"
end)

test("terminal: a pasted block of 200 lines is one entry", REAL, function(t)
  local session <close> = prompt()
  local lines = { "do local sum = 0" }
  for i = 1, 198 do lines[#lines + 1] = ("  sum = sum + %d -- 日本 %s"):format(i, ("x"):rep(i % 90)) end
  lines[#lines + 1] = "print('sum', sum) end"
  session:type("\27[200~" .. table.concat(lines, "\r") .. "\r\27[201~")
  session:wait "print('sum', sum) end"
  see(session, "\r", "sum     19701\n>")
  session:type(UP)
  session:wait(function(s) return s:at_cursor() == ". print('sum', sum) end|" end)
  session:type "\3"
  session:wait "^C"
  t.ok(not session.screen:text():find "in%[")
end)

test("terminal: the entry is drawn anew in another size", REAL, function(t)
  local session <close> = prompt(nil, { columns = 60 })
  see(session, ("x"):rep(70), "> " .. ("x"):rep(57) .. "\n" .. ("x"):rep(13))
  session:resize(100, 30)
  session:wait("> " .. ("x"):rep(70))
  session:type "y\r"
  session:wait "undefined variable"
  t.ok(not session.screen:text():find("x\nx", 1, true))
end)

test("terminal: kill -9, and the last entry is there again", REAL, function(t)
  local first <close> = prompt()
  see(first, "'first line'\r", '"first line"')
  see(first, "do\r", "> do\n.")
  see(first, "x = 'of several' end\r", function(s) return s:text():find "end\n>" end)
  first:signal(9)
  t.eq(select(2, first:ended()), "signal 9")
  local second <close> = prompt(nil, { state = first.state })
  see(second, UP, "> do\n. x = 'of several' end")
  see(second, UP .. UP, "> 'first line'")
  see(second, "\3\18several", "search `several': do")
  t.eq(fs.stat(first.state .. "/stoke/history").mode & 63, 0, "nobody else may read it")
end)

test("terminal: output of background tasks goes above the line that is typed", REAL, function()
  local session <close> = prompt()
  see(session, "stoke.spawn(function() for i = 1, 3 do stoke.sleep(0.1) io.write('tick ', i, ' ') end print 'done' end) and 1\r",
    "1\n>")
  session:type "half a l"
  session:wait "tick 1 tick 2 tick 3 done\n> half a l"
  see(session, "ine\3", "> half a line^C")
  see(session, "stoke.spawn(function() stoke.sleep(0.1) error 'lost' end) and 2\r", "2\n>")
  session:type "typing"
  session:wait "failed: in[2]:1: lost\n> typing"
end)

--- A simulator on a port whose answers take long, and its ledger.
local function slow_server()
  local words = {}
  for i = 1, 2000 do words[i] = "word" .. i end
  return sim.serve { port = 0, slots = 4, tokens_per_second = 50, script = { table.concat(words, " ") } }
end

local function ledger(server) return http.get(server.url .. "/sim/ledger"):json() end

test("terminal: Ctrl-C in the middle of a stream closes its connection, and only that", REAL, function(t)
  local server <close> = slow_server()
  local session <close> = prompt({}, { env = { OLLAMA_HOST = server.url } })
  see(session, "ticks = 0; stoke.spawn(function() while true do stoke.sleep(0.01) ticks = ticks + 1 end end)\r", "end)\n>")
  session:type "for ev in ollama.stream { model = 'qwen2.5:3b', prompt = 'Count' } do io.write(ev.text or '') end\r"
  session:wait "word10 "
  session:type "\3"
  session:wait "(stopped)"
  local l
  for _ = 1, 100 do
    l = ledger(server)
    if l.streams_open == 0 then break end
    stoke.sleep(0.05)
  end
  t.eq({ l.streams_open, l.disconnects }, { 0, 1 })
  see(session, "before = ticks\r", ">")
  see(session, "stoke.sleep(0.2) print(ticks > before and 'ticking')\r", "\nticking\n")
end)

test("terminal: a slow line has a quiet note, with its tokens", REAL, function()
  local server <close> = sim.serve { port = 0, tokens_per_second = 200, script = { ("word "):rep(60) } }
  local session <close> = prompt({}, { env = { OLLAMA_HOST = server.url } })
  session:type "#ollama.generate { model = 'qwen2.5:3b', prompt = 'Count' }.response\r"
  session:wait(function(s) return s:text():find "%d+%.%d s, %d+ tok in, %d+ out, %d+ tok/s\n>" end)
  see(session, "stoke.sleep(0.6)\r", function(s) return s:text():find "\n0%.[67] s\n>" end)
end)

test("terminal: Ctrl-C breaks a line that never waits, and only that", REAL, function()
  local session <close> = prompt()
  see(session, "while true do end\r", "do end\n")
  stoke.sleep(0.1)
  see(session, "\3", "(stopped: interrupted at in[1]:1)")
  see(session, "'alive'\r", '"alive"\n>')
  session:type "\3"
  session:wait "(Ctrl-D leaves"
end)

test("terminal: who asks the person gets the line, and what was being typed comes back", REAL, function(t)
  local session <close> = prompt()
  see(session, "io.write 'Name? ' name = io.read()\r", "\nName?")
  see(session, "Zoë\r", "Name? Zoë\n>")
  see(session, "name\r", '"Zoë"')
  session:type "stoke.policy { otherwise = { path = 'ask' } }\r"
  session:type "stoke.spawn(function() stoke.sleep(0.3) stoke.fs.write('/nowhere/x', '') end) and 1\r"
  session:wait "1\n>"
  session:type "half"
  session:wait "approval 1: fs.write /nowhere/x"
  session:wait(function(s) return s:at_cursor() == "> half|" end)
  session:type "\r"
  session:wait(function(s) return s:text():find "> half\n.*\n>" end) -- it ran as an entry, and decided nothing
  see(session, ":reject 1 not now\r", "was rejected: not now")
  t.ok(not session.screen:text():find("Allow it", 1, true))
end)

test("terminal: an approval that came while the line was typed is not decided by that line", REAL, function()
  local session <close> = prompt(nil, { columns = 140, rows = 50 })
  session:type "local function run(a) print('wiped ' .. a.disk) end\r"
  session:type "wipe = stoke.tool { name = 'wipe', needs_approval = true, params = { disk = 'string' }, run = run }\r"
  session:type "stoke.spawn(function() stoke.sleep(0.4) wipe:call { disk = 'sda' } end) and 1\r"
  session:wait "1\n>"
  session:type ":approve"
  session:wait ":approve 1, :reject 1 [WHY] or :edit 1"
  see(session, "\r", "came after this line was begun: :approve 1, once it was read")
  see(session, ":pending\r", '1')
  see(session, ":edit\r", 'arguments: {')
  see(session, "\27[A\5\127\127'sdb'\r", "that is no JSON object")
  see(session, "\3", "(stopped)\n>")
  see(session, ":edit 1 {\"disk\": \"sdb\"}\r", "wiped sdb")
  see(session, ":approve\r", "nothing waits for approval")
end)

test("terminal: while a line runs its approval is asked about; what was typed ahead is no answer, nor a command", REAL, function(t)
  local session <close> = prompt()
  session:type "wipe = stoke.tool { name = 'wipe', needs_approval = true, run = function() print 'wiped' end }\r"
  session:type "print 'at work' stoke.sleep(0.5) wipe:call {}\r"
  session:wait "\nat work"
  session:type "y\r"
  session:wait "Allow it?"
  see(session, ":pending\r", 'the string ":pending" is no answer')
  see(session, "perhaps\r", 'the string "perhaps" is no answer')
  t.ok(not session.screen:text():find("\nwiped", 1, true))
  see(session, "n, not today\r", "was rejected: not today")
end)

test("terminal: what a background task prints stands above a line that is half streamed", REAL, function(t)
  local session <close> = prompt()
  see(session, "stoke.spawn(function() for i = 1, 3 do stoke.sleep(0.15) print('tick ' .. i) end end) and 1\r", "1\n>")
  see(session, "for i = 1, 12 do io.write('word', i, ' ') stoke.sleep(0.05) end print ''\r", "tick 3\n")
  session:wait "word12"
  local words = {}
  for i = 1, 12 do words[i] = "word" .. i end
  t.match(session.screen:text(), "tick 1\n.*tick 2\n.*tick 3\n.*" .. table.concat(words, " "))
end)

test("terminal: TAB shows what there is", REAL, function()
  local session <close> = prompt()
  see(session, "stoke.sem\t", "> stoke.semaphore")
  see(session, "\3", "^C")
  session:type "ollama.chat { model = 'qw\t"
  session:wait "qwen2.5:3b"
end)

test("terminal: Ctrl-D with tasks running says so once", REAL, function(t)
  local session <close> = prompt()
  see(session, "stoke.spawn(stoke.sleep, 100) and 1\r", "1\n>")
  see(session, "\4", "1 task is still running (:tasks); Ctrl-D again ends it")
  session:type "\4"
  t.eq(select(2, session:ended()), "exit 0")
end)

test("terminal: signals that end the program leave the terminal as it was", REAL, function(t)
  for _, case in ipairs { { 15, "exit 143" }, { 1, "exit 129" }, { 6, "signal 6" } } do
    local session <close> = prompt()
    session:signal(case[1])
    t.eq({ session:ended() }, { "<icanon=1 echo=1>", case[2] })
    t.eq(session.screen.pastes, false)
  end
end)

test("terminal: a dumb one gets lines, a prompt, and nothing else", REAL, function(t)
  local session <close> = start({ "--sim" }, { env = { TERM = "dumb" } })
  session:wait "leaves\n>"
  see(session, "for i = 1, 2 do\n", "\n.")
  see(session, "print(i) end\n", "1\n2\n>")
  session:type "error 'oh'\n"
  session:wait "in[2]:1: oh\n>"
  session:type "\4"
  t.eq(select(2, session:ended()), "exit 0")
  t.ok(not table.concat(session.raw):find "\27")
end)
