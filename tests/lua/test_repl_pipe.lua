-- The prompt without a terminal: standard input is the entries.

local test = require "stoke.test"
local env = require "stoke.env"
local fs = require "stoke.fs"
local proc = require "stoke.proc"

local BIN = env.get("STOKE_BIN", "build/stoke")
local PASS = { "PATH", "HOME", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" }

local function run(input, ...)
  return proc.run { argv = { BIN, ... }, stdin = input, env_allow = PASS, timeout = 60 }
end

test("pipe: values are printed, without prompts and colours", { real = true }, function(t)
  local r = run "1 + 1\n'text'\n{ a = 1 }\nx = 5\nx\nnil\n"
  t.eq({ r.stdout, r.stderr, r.code }, { '2\n"text"\n{ a = 1 }\n5\nnil\n', "", 0 })
end)

test("pipe: an entry goes on until it is whole, and the last needs no line's end", { real = true }, function(t)
  local r = run "for i = 1, 2 do\n  print(i)\nend\nlocal t = {\n1,\n}\n#t"
  t.eq({ r.stdout, r.stderr, r.code }, { "1\n2\n1\n", "", 0 })
end)

test("pipe: errors are told and the session goes on; the first gives the exit code", { real = true }, function(t)
  local r = run "error 'one'\nx = = 1\nnowhere\nprint 'still here'\nfunction f(\n"
  t.eq({ r.stdout, r.code }, { "still here\n", 1 })
  for _, text in ipairs { "in[1]:1: one", "in[2]:1: unexpected symbol", "undefined variable 'nowhere'", "in[5]:1:" } do
    t.ok(r.stderr:find(text, 1, true), text .. " in " .. r.stderr)
  end
end)

test("pipe: the task of the prompt is not cancelled by its number", { real = true }, function(t)
  local r = run ":tasks\n:cancel 1\n:tasks all\n:cancel 3\n:cancel one\n:reload nowhere\n'here'\n"
  t.ok(not r.stdout:find "cancelled")
  t.match(r.stdout, '"here"\n$')
  t.match(r.stderr, "the host's own")
  t.match(r.stderr, "task 1 is the prompt itself; :quit leaves\n")
  t.match(r.stderr, ":cancel wants a number, got the string \"one\"")
  t.match(r.stderr, 'no module "nowhere" was loaded from a file')
end)

test("pipe: the last values and the last error have names", { real = true }, function(t)
  local r = run "11\n22\n33\n_, _1, _2, _3\nerror 'oh'\n_err.message\n"
  t.eq(r.stdout, '11\n22\n33\n33\n33\n22\n11\n"in[5]:1: oh"\n')
end)

test("pipe: what a line spawns outlives it, and the session waits for it at its end", { real = true }, function(t)
  local r = run "stoke.spawn(function() stoke.sleep(0.2) print 'later' end) and nil\nprint 'now'\n"
  t.eq({ r.stdout, r.code }, { "nil\nnow\nlater\n", 0 })
end)

test("pipe: a database that a line opens belongs to the session, and is closed with it", { real = true }, function(t)
  local path = t.tmp() .. "/x.db"
  local r = run(("d = stoke.db.open %q\nd:exec 'create table a (x)'\nd:exec 'insert into a values (7)'\nd:one 'select x from a'\n")
    :format(path))
  t.eq({ r.stdout, r.stderr, r.code }, { "0\n1\n1\n{ x = 7 }\n", "", 0 })
  t.eq(fs.stat(path .. "-wal"), nil)
end)

test("pipe: a task that fails is told, and ends nothing else", { real = true }, function(t)
  local r = run "local t = stoke.spawn(function() error 'in a task' end)\nstoke.sleep(0.05)\nprint 'alive'\n"
  t.eq({ r.stdout, r.code }, { "alive\n", 1 })
  t.match(r.stderr, "the task of in%[1%]:1 failed: in%[1%]:1: in a task")
end)

test("pipe: a line that waits in vain is an error of that line", { real = true }, function(t)
  local r = run "stoke.channel(1):recv()\nprint 'alive'\n"
  t.eq({ r.stdout, r.code }, { "alive\n", 1 })
  t.match(r.stderr, "deadlock: nothing is left")
end)

test("pipe: help, exit and quit are what one types first", { real = true }, function(t)
  local r = run "help\nexit\nprint 'never'\n"
  t.match(r.stdout, "^An expression prints its value")
  t.ok(not r.stdout:find "never")
  r = run "local quit = 5\nquit\n"
  t.eq(r.stdout, "5\n")
end)

test("pipe: os.exit ends the session with its code", { real = true }, function(t)
  local r = run "print 'a'\nos.exit(3)\nprint 'b'\n"
  t.eq({ r.stdout, r.stderr, r.code }, { "a\n", "", 3 })
end)

test("pipe: commands work, and an unknown one is an error with a hint", { real = true }, function(t)
  local r = run ":tasks\n:tesks\n:time 1 + 1\n:help\n"
  t.match(r.stdout, "^TASK .*in%[1%].*\n2\n[%d.]+ ms\n")
  t.match(r.stdout, ":models%s+the models of the server")
  t.match(r.stderr, "no command :tesks\n  hint: did you mean :tasks?")
  t.eq(r.code, 2)
end)

test("pipe: the exit code is that of the first error's class", { real = true }, function(t)
  for code, lines in next, {
    [1] = "error 'x'\nstoke.http.get 'http://127.0.0.1:9/'\n",
    [2] = "stoke.config.endpoint 'nowhere'\nerror 'x'\n",
    [4] = "print(1)\nstoke.http.get 'http://127.0.0.1:9/'\nerror 'x'\n",
    [124] = "stoke.timeout(0.01, function() stoke.sleep(9) end)\n",
    [0] = "stoke.try(error, 'x')\n",
  } do
    t.eq(run(lines).code, code, lines)
  end
  t.eq(run("error 'x'\nos.exit(0)\n").code, 0)
end)

test("pipe: models answer, agents are listed", { real = true }, function(t)
  local r = run([[
local bot = stoke.agent { name = "poet", model = "qwen2.5:3b", instructions = "Short." }
#bot:run("Hello").text > 0
:agents
:models
]], "--sim")
  t.match(r.stdout, "^true\nAGENT%s+MODEL%s+SESSIONS%s+TOOLS\npoet%s+qwen2.5:3b%s+0\n")
  t.match(r.stdout, "qwen2.5:3b .*loaded")
  t.eq(r.stderr, "")
end)

test("repl FILE: its body is run first, main is not; what it returns has its name", { real = true }, function(t)
  local folder = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-repl-file"
  fs.mkdir(folder, { parents = true })
  fs.write(folder .. "/town.lua", [[
    local stoke = require "stoke"
    local hidden = 1
    houses = 7
    stoke.main(function() print "main ran" return "from main" end)
    return { name = "Springfield", hidden = function() return hidden end }
  ]])
  local r = run("town.name\nhouses\nhidden\nmain()\n", "repl", folder .. "/town.lua")
  t.eq(r.stdout, '"Springfield"\n7\nmain ran\n"from main"\n')
  t.match(r.stderr, "^in%[3%]:1: undefined variable 'hidden'\n$")
  fs.write(folder .. "/broken.lua", "local x = = 1")
  r = run("print 'alive'\n", "repl", folder .. "/broken.lua")
  t.eq({ r.stdout, r.code }, { "alive\n", 1 })
  t.match(r.stderr, "broken.lua:1: unexpected symbol")
  fs.remove(folder, { recursive = true })
end)

test("repl FILE: what it returns is a module that can be reloaded", { real = true }, function(t)
  local folder = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-repl-reload"
  fs.mkdir(folder, { parents = true })
  fs.write(folder .. "/town.lua", "return { name = 'one' }")
  local p <close> = proc.spawn { argv = { BIN, "repl", folder .. "/town.lua" }, env_allow = PASS }
  local line = p:lines()
  p:write "town.name\n"
  t.eq(line(), '"one"')
  fs.write(folder .. "/town.lua", "return { name = 'two' }")
  p:write ":reload\ntown.name, require 'town' == town\n:reload\n"
  t.match(line(), "reloaded .*town%.lua: field `name`")
  t.eq({ line(), line(), line() }, { '"two"', "true", "nothing has changed" })
  p:close_stdin()
  t.eq(p:wait().code, 0)
  fs.remove(folder, { recursive = true })
end)

test("repl: help says what is known, or what is missing", { real = true }, function(t)
  local r = run "help()\n?stoke.sleep\nhelp(stoke.sleep)\n?nothing_of_that_name\n"
  t.match(r.stdout, "^help%(x%), or %?name")
  t.eq((r.stderr:gsub("stoke: a task has run for [^\n]*\n", "")), "") -- the first help reads all comments: long on a busy machine
  t.ok(not r.stdout:find("nil", 1, true))
end)

test("repl: no arguments and an empty input are a session, too", { real = true }, function(t)
  local r = run ""
  t.eq({ r.stdout, r.stderr, r.code }, { "", "", 0 })
end)
