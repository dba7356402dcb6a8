-- stoke.term.prompt and stoke chat: lines typed with the editor of the prompt, on a real terminal and without one.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local sim = require "stoke.sim"
local start = require "pty"
local term = require "stoke.term"

local REAL = { real = true, timeout = 60 }
local UP, LEFT = "\27[A", "\27[D"

local function see(session, bytes, wanted)
  session:type(bytes)
  return session:wait(wanted)
end

--- A server that repeats what it was asked, slowly when wanted.
local function server_of(script, speed)
  return sim.serve { port = 0, tokens_per_second = speed or 0, script = script }
end

local function chat(server, options, ...)
  options = options or {}
  options.env = { OLLAMA_HOST = server.url }
  local session = start({ "chat", "qwen2.5:3b", ... }, options)
  session:wait ">>>"
  return session
end

test("chat: arrow keys edit and walk through the history, which the next chat has, too", REAL, function(t)
  local server <close> = server_of { "one", "two", "three" }
  local first <close> = chat(server)
  see(first, "Hello thXre" .. LEFT .. LEFT .. "\127e\r", ">>> Hello there\none\n>>>")
  see(first, "again\r", "two\n>>>")
  see(first, UP .. UP, function(s) return s:at_cursor() == ">>> Hello there|" end)
  first:signal(9)
  first:ended()
  local second <close> = chat(server, { state = first.state })
  see(second, "\18hello\18", "search")
  see(second, "\27", ">>>")
  see(second, "\3" .. UP, ">>> again")
  t.eq(fs.stat(first.state .. "/stoke/history-chat").mode & 63, 0)
  t.eq(fs.stat(first.state .. "/stoke/history"), nil, "the prompt of Lua has its own")
end)

test("prompt: Ctrl-C twice at an empty line ends the program", REAL, function(t)
  local session <close> = start { "-e", [[
    local _ <close> = setmetatable({}, { __close = function() print "closed" end })
    while true do print("got " .. require "stoke".term.prompt "name: ") end]] }
  session:wait "name:"
  see(session, "\3", "(Ctrl-D ends)\nname:")
  see(session, "Ada\r", "got Ada\nname:")
  see(session, "\3", "(Ctrl-D ends)\nname:")
  session:type "\3"
  local _, code = session:ended()
  t.eq(code, "exit 130")
end)

test("chat: Ctrl-C stops the answer, drops the line, and says how to leave; Ctrl-D leaves", REAL, function(t)
  local words = {}
  for i = 1, 2000 do words[i] = "word" .. i end
  local server <close> = server_of({ table.concat(words, " "), "short" }, 50)
  local session <close> = chat(server)
  see(session, "Count\r", "word5 ")
  see(session, "\3", "(stopped)\n>>>")
  see(session, "half a line\3", ">>> half a line^C\n>>>")
  see(session, "\3", "(Ctrl-D or /bye ends, /help lists the commands)\n>>>")
  see(session, "Go on\r", "short\n>>>")
  session:type "\4"
  t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 0" })
end)

test("chat: what is typed while the answer comes is the next message", REAL, function()
  local server <close> = server_of({ ("word "):rep(30) .. "end.", "second answer" }, 50)
  local session <close> = chat(server)
  see(session, "One\r", "word word")
  session:type "Two\r"
  session:wait "end.\n>>> Two\nsecond answer\n>>>"
end)

test("chat: a message may have several lines: Alt-Enter, a pasted block, or three quotes", REAL, function(t)
  local server <close> = server_of { "one", "two", "three" }
  local session <close> = chat(server)
  see(session, "first\27\rsecond\r", ">>> first\n... second\none\n>>>")
  see(session, "\27[200~a\rb\rc\27[201~", "... c")
  see(session, "\r", "two\n>>>")
  see(session, "\"\"\"\rx\r", "... x\n...")
  see(session, "y\"\"\"\r", "three\n>>>")
  see(session, "/save talk.json\r", "6 messages")
  local said = json.decode(fs.read "talk.json").messages
  fs.remove "talk.json"
  t.eq({ said[1].content, said[3].content, said[5].content }, { "first\nsecond", "a\nb\nc", "x\ny" })
end)

test("chat: commands, their Tab, and what users of ollama run type", REAL, function(t)
  local server <close> = server_of { "one", "two" }
  local session <close> = chat(server, { columns = 100, rows = 50 })
  see(session, "/cl\t", ">>> /clear")
  see(session, "\r", "forgotten")
  see(session, "/model qwen2\t", "/model qwen2.5:3b")
  see(session, "\r", "the next answer is by qwen2.5:3b")
  see(session, "/model nope\r", "not found")
  see(session, "/system Be brief.\r", "instructions changed")
  see(session, "/think off\r", "thinking: off")
  see(session, "/set nothink\r", "thinking: off\n>>> /set nothink\nthinking: off")
  see(session, "/set parameter temperature 0.25\r", "temperature = 0.25")
  see(session, "/thnk\r", "no command /thnk, did you mean /think?")
  see(session, "Hi\r", "one\n>>>")
  see(session, "/show\r", "system    Be brief.")
  see(session, " /etc is a folder\r", "two\n>>>")
  session:type "/bye\r"
  t.eq(select(2, session:ended()), "exit 0")
end)

test("chat: a saved conversation goes on", REAL, function(t)
  local server <close> = server_of { "one", "two" }
  local env = { OLLAMA_HOST = server.url, HOME = "/nonexistent", PATH = os.getenv "PATH", STOKE_PATH = os.getenv "STOKE_PATH" }
  local function run(input, ...)
    return proc.run { argv = { about.executable(), "chat", ... }, stdin = input, env = env, timeout = 20 }
  end
  local r = run("Hi\n/save talk.json\n", "qwen2.5:3b", "--system", "Be brief.")
  t.eq({ r.stdout, r.code }, { "one\n", 0 })
  r = run("And?\n/save talk.json\n", "--resume", "talk.json")
  t.eq({ r.stdout, r.code }, { "two\n", 0 })
  local talk = json.decode(fs.read "talk.json")
  fs.remove "talk.json"
  t.eq({ #talk.messages, talk.system, talk.messages[3].content }, { 4, "Be brief.", "And?" })
  t.eq(run("", "--resume", "Makefile").code, 2)
  r = run("/sve\nHi\n", "qwen2.5:3b")
  t.eq({ r.stdout, r.stderr, r.code }, { "", "stoke: usage: no command /sve\n  hint: did you mean /save?\n", 2 })
end)

test("chat: with --no-history, and with STOKE_HISTORY empty, nothing is kept", REAL, function(t)
  local server <close> = server_of { "one" }
  local session <close> = chat(server, nil, "--no-history")
  see(session, "Hello\r", "one\n>>>")
  see(session, UP, ">>> Hello\none\n>>> Hello")
  t.eq(fs.stat(session.state .. "/stoke/history-chat"), nil)
  local other <close> = start({ "--sim", "--no-history" }, { env = { STOKE_HISTORY = "" } })
  other:wait "leaves\n>"
  see(other, "1 + 1\r", "2\n>")
  t.eq(fs.stat(other.state .. "/stoke/history"), nil)
end)

test("terminal: an entry that looks like a secret is said not to be kept", REAL, function(t)
  local session <close> = start({ "--sim" })
  session:wait "leaves\n>"
  see(session, "api_key = 'sk-0123456789abcdefghij'\r", "(not kept in the history: it looks like a secret)")
  see(session, "1 + 1\r", "2\n>")
  t.eq(fs.read(session.state .. "/stoke/history"), "1 + 1\n")
end)

local SCRIPT = [[
local stoke = require "stoke"
local term = require "stoke.term"
stoke.main(function()
  io.write "an unfinished line"
  local name = term.prompt { prompt = "name: ", history = "names", complete = { "Ada", "Adele", "Bob" }, hint = "(ask again)" }
  print("hello " .. tostring(name))
  stoke.spawn(function() stoke.sleep(0.3) print "from a task" end)
  print("then " .. tostring(term.prompt "and? "))
  local _, err = stoke.try(stoke.timeout, 0.2, term.prompt, "quick? ")
  print(err.kind)
end)
]]

test("term.prompt: a script reads a line with the editor; others write above it; a deadline ends it", REAL, function(t)
  local session <close> = start { "-e", SCRIPT }
  session:wait "an unfinished line\nname:"
  see(session, "Ad\t", "Ada")
  see(session, "\3", "^C\nname:")
  see(session, "\3", "(ask again)")
  see(session, "B\t\r", "hello Bob\nand?")
  session:type "half"
  session:wait "from a task\nand? half"
  session:type "\21\4"
  session:wait "then nil\nquick?"
  session:wait "timeout"
  t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 0" })
  t.eq(fs.read(session.state .. "/stoke/history-names"), "Bob\n")
end)

test("term.prompt: a secret is not shown", REAL, function(t)
  local code = "local t = require 'stoke.term' print(#t.prompt { prompt = 'key: ', secret = true, history = 'keys' })"
  local session <close> = start { "-e", code }
  session:wait "key:"
  see(session, "abc日" .. LEFT .. "x", "key: *****")
  see(session, "\r", "7")
  session:ended()
  t.ok(not table.concat(session.raw):find("abc", 1, true))
  t.eq(fs.stat(session.state .. "/stoke/history-keys"), nil)
end)

test("term.progress: what is printed meanwhile stands above the bar", REAL, function(t)
  local code = [[
    local stoke = require "stoke"
    local bar <close> = stoke.term.progress { label = "pages", total = 4 }
    for i = 1, 4 do stoke.sleep(0.15) bar:add() print("page " .. i) end
    bar:finish()
    print "end"]]
  local session <close> = start { "-e", code }
  session:wait "end"
  t.match(session.screen:text(), "^page 1\npage 2\npage 3\npage 4\npages %[#+%] 100%%  4 / 4  %S+/s\nend")
end)

test("term.prompt: without a terminal it is the next line of standard input, and no prompt", REAL, function(t)
  local code = "local t = require 'stoke.term' print(t.prompt 'a? ', t.prompt { prompt = 'b? ' }, t.prompt())"
  local r = proc.run { argv = { about.executable(), "-e", code }, stdin = "one\n two \n", timeout = 20 }
  t.eq({ r.stdout, r.stderr }, { "one\t two \tnil\n", "" })
end)

test("term.prompt: at the prompt of Lua it is a question", REAL, function()
  local session <close> = start { "--sim" }
  session:wait "leaves\n>"
  see(session, "name = require('stoke.term').prompt { prompt = 'name: ', text = 'Ad' }\r", "\nname: Ad")
  see(session, "a\r", "name: Ada\n>")
  see(session, "name\r", '"Ada"')
end)

test("term.prompt: what it is told wrong is named", function(t)
  t.match(t.raises("argument", term.prompt, { promt = "x" }).message, "did you mean prompt%?")
  t.match(t.raises("argument", term.prompt, { history = 5 }).message, "history must be a name, a path or a list")
  t.match(t.raises("argument", term.prompt, { history = { 5 } }).message, "history%[1%] must be a string")
  t.match(t.raises("argument", term.prompt, { complete = "x" }).message, "complete must be a function or a list")
  t.match(t.raises("argument", term.prompt, 5).message, "options must be a table")
end)

test("stoke.pp: prints values as the prompt shows them, a record by its fields", REAL, function(t)
  local code = [[
    local stoke = require "stoke"
    local list = { 1, "two", { b = 1, a = 2 } }
    list.again = list
    stoke.pp(list, nil, "x")
    stoke.pp(setmetatable({ text = "said", usage = { output_tokens = 3 } }, { __tostring = function(r) return r.text end }))
  ]]
  local r = proc.run { argv = { about.executable(), "-e", code }, timeout = 20 }
  t.eq(r.stdout, "{ 1, \"two\", { a = 2, b = 1 }, again = <the table 1 up> }\nnil\n\"x\"\n"
    .. "{ text = \"said\", usage = { output_tokens = 3 } }\n")
  t.eq(term.format({ { {} , { 1 } } }, { depth = 2 }), "{ { {}, {...} } }")
  t.match(t.raises("argument", term.format, {}, { depht = 2 }).message, "did you mean depth%?")
  t.match(t.raises("argument", term.format, {}, { depth = 0 }).message, "depth must be at least 1")
end)
