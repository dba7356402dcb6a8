-- The command line: what the terminal helpers draw, and the binary seen from outside.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local term = require "stoke.term"

test("term: colour is for terminals, NO_COLOR and TERM=dumb forbid it", function(t)
  local function colour(env) return term.colour(1, function(name) return env[name] end) end
  t.eq(colour { CLICOLOR_FORCE = "1" }, true)
  t.eq(colour { CLICOLOR_FORCE = "1", NO_COLOR = "1" }, false)
  t.eq(colour { NO_COLOR = "1" }, false)
  t.eq(colour { TERM = "dumb" }, false)
  t.eq(term.paint("red", "x", true), "\27[31mx\27[0m")
  t.eq(term.paint("red", "x", false), "x")
end)

test("term: widths count columns, not bytes", function(t)
  local rows = { { "", 0 }, { "abc", 3 }, { "é", 1 }, { "e\u{301}", 1 }, { "日本", 4 }, { "🦙", 2 },
                 { "a\u{200b}b", 2 }, { "\27[31mred\27[0m", 3 }, { "\xff", 1 }, { "한글", 4 } }
  for _, r in ipairs(rows) do t.eq(term.width(r[1]), r[2], r[1]) end
  t.eq(term.fit("abc", 5), "abc  ")
  t.eq(term.fit("abc", 5, true), "  abc")
  t.eq(term.fit("abcdef", 4), "abc…")
  t.eq(term.fit("日本語", 4), "日… ")
end)

test("an error that ends the program drives no terminal", { real = true }, function(t)
  local r = proc.run { argv = { about.executable(), "-e", [[error("a\27[2Jb\u{202E}\7")]] }, env_allow = { "PATH", "STOKE_PATH" } }
  t.eq(r.stderr, "stoke: script: -e:1: a[2Jb\n")
end)

test("term: text from outside cannot drive the terminal", function(t)
  t.eq(term.clean "a\27[2Jb\7\rc\127\u{9b}31m\n\td", "a[2Jbc31m\n\td")
  t.eq(term.clean "line\r\nnext", "line\nnext")
  t.eq(term.clean "日本é", "日本é")
  t.eq(term.clean "y\u{202E}on\u{2066}\u{200F}‽", "yon\u{200F}‽")
end)

test("term: bytes and durations", function(t)
  local bytes = { { 0, "0 B" }, { 999, "999 B" }, { 1000, "1.0 kB" }, { 4733363377, "4.7 GB" },
                  { 123456789, "123 MB" }, { 999999, "1.0 MB" } }
  for _, r in ipairs(bytes) do t.eq(term.bytes(r[1]), r[2]) end
  local spans = { { 0, "0.0s" }, { 0.25, "0.2s" }, { 42, "42s" }, { 59.9, "1m00s" }, { 185, "3m05s" },
                  { 7800, "2h10m" }, { 270000, "3d03h" }, { 9e9, "for ever" } }
  for _, r in ipairs(spans) do t.eq(term.duration(r[1]), r[2]) end
end)

test("term: width counts what a person takes for one character", function(t)
  for text, columns in pairs { ["abc"] = 3, ["日本"] = 4, ["e\u{301}"] = 1, ["\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}"] = 2,
    ["\u{1F44D}\u{1F3FD}"] = 2, ["\u{1F1F3}\u{1F1F4}x"] = 3, ["\u{2764}\u{FE0F}"] = 2, ["1\u{FE0F}\u{20E3}"] = 2,
    ["\u{1112}\u{1161}\u{11AB}"] = 2, ["\27[1mbold\27[0m"] = 4, ["\u{915}\u{94D}"] = 1, ["a\xFFb"] = 3 } do
    t.eq(term.width(text), columns, text)
  end
  t.eq(term.fit("\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}abc", 4), "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}a…")
end)

test("term: a table lines up", function(t)
  t.eq(term.layout({ { "NAME", "SIZE" }, { "a", "1" }, { "日本", "100" } }, { right = { [2] = true } }),
       "NAME  SIZE\na        1\n日本   100\n")
  t.eq(term.layout {}, "")
end)

-- A progress bar on a clock of our own; returns what it wrote.
local function draw(tty, steps)
  local out, now = {}, 0
  local bar = term.progress { tty = tty, unit = "bytes", lines = true, write = function(s) out[#out + 1] = s end,
                              now = function() return now end, columns = function() return 60 end }
  for _, s in ipairs(steps) do
    now = now + (s.after or 1)
    bar:update(s[1], s[2], s[3])
  end
  bar:finish()
  bar:finish()
  return table.concat(out), out
end

test("term: a progress bar redraws one line and never wraps it", function(t)
  local text, out = draw(true, { { "manifest" }, { "pulling x", 0, 1e9 }, { "pulling x", 5e8, 1e9 },
                                 { "pulling x", 5.1e8, 1e9, after = 0.01 },
                                 { "pulling x", 1e9, 1e9, after = 0.99 } })
  t.ok(text:find("manifest\n", 1, true), text)
  t.ok(text:find("50%%  500 MB / 1.0 GB  500 MB/s  1.0s left", 1, false), text)
  t.ok(not text:find "51%%", "drawn too often")
  t.ok(text:find "100%%  1.0 GB / 1.0 GB  500 MB/s\n$", text)
  for _, piece in ipairs(out) do
    t.ok(term.width((piece:gsub("\27%[K", ""))) < 60, "too wide: " .. piece)
  end
end)

test("term: without a terminal progress is plain lines, ten a step", function(t)
  local steps = { { "manifest" }, { "manifest" } }
  for i = 0, 100 do steps[#steps + 1] = { "layer", i * 1e6, 1e8 } end
  local text = draw(false, steps)
  t.ok(not text:find "[\r\27]", text)
  t.eq(select(2, text:gsub("\n", "")), 12)
  t.ok(text:find("^manifest\nlayer 0%% of 100 MB\nlayer 10%%"), text)
end)

test("term: a progress bar counts items, says how fast and how long still", function(t)
  local out, now = {}, 0
  local bar = term.progress { tty = true, label = "pages", total = 40, write = function(s) out[#out + 1] = s end,
    now = function() return now end, columns = function() return 70 end }
  for _ = 1, 10 do
    now = now + 0.5
    bar:add()
  end
  t.match(out[#out], "pages %[#+ *%]  25%%  10 / 40  2.0/s  15s left$")
  bar:add(30)
  bar:finish()
  t.match(out[#out - 1], "100%%  40 / 40  %S+/s$")
  t.eq(out[#out], "\n")
  out = {}
  local files = term.progress { tty = true, unit = "files", write = function(s) out[#out + 1] = s end,
    now = function() return now end }
  files:add(3)
  t.match(out[1], "3 files$")
  now = now + 60
  files:add(1)
  t.match(out[2], "4 files  1.0/min$")
end)

test("term: a progress bar is quiet without a terminal, and needs no options", function(t)
  local out = {}
  local bar <close> = term.progress { tty = false, total = 3, write = function(s) out[#out + 1] = s end }
  for _ = 1, 3 do bar:add() end
  bar:update("other", 1, 2)
  t.eq(out, {})
  local plain <close> = term.progress {}
  plain:update("x", 1, 2)
  t.match(t.raises("argument", term.progress, { totl = 3 }).message, "did you mean total%?")
  t.match(t.raises("argument", term.progress, { total = -1 }).message, "total must be a number >= 0")
  t.match(t.raises("argument", bar.update, bar, 5).message, "label must be a string")
  t.match(t.raises("argument", bar.update, bar, "x", "y").message, "done must be a number")
  t.match(t.raises("argument", bar.add, bar, 0 / 0).message, "must be a number >= 0")
end)

test("term: a table is cut to the columns there are, sets numbers flush right, and leaves its rows alone", function(t)
  local rows = { { "NAME", "N" }, { "a\tb", 5 }, { "日本語日本語日本語", 100 }, { nil, 7 } }
  t.eq(term.layout(rows), "NAME                  N\na b                   5\n日本語日本語日本語  100\n                      7\n")
  t.eq(rows[2][1], "a\tb")
  t.eq(term.layout(rows, { columns = 14 }), "NAME         N\na b          5\n日本語日…  100\n             7\n")
  for columns = 1, 30 do
    for line in term.layout(rows, { columns = columns }):gmatch "[^\n]+" do t.ok(term.width(line) <= columns, line) end
  end
  t.match(t.raises("argument", term.layout, 5).message, "the rows must be a list")
  t.match(t.raises("argument", term.layout, { "x" }).message, "row 1 must be a list")
  t.match(t.raises("argument", term.layout, { { "A" }, { {} } }).message, "row 2, column 1: a text or a number expected")
  t.match(t.raises("argument", term.layout, { { name = "x" } }).message, "row 1 must be a list")
  t.match(t.raises("argument", term.table, {}, { colums = 5 }).message, "did you mean columns%?")
end)

-- The binary, from outside ---------------------------------------------------------------------

local PASSED_ON = require "binary".PASSED_ON

-- A folder of its own for a test: { path, run(argv...) }, removed at the end. The home folder is
-- that folder, so that no configuration of this machine is read.
local function place(files)
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  for name, text in next, files or {} do fs.write(path .. "/" .. name, text) end
  local self = setmetatable({ path = path, env = { HOME = path }, stdin = "" }, {
    __close = function() proc.run { argv = { "rm", "-rf", path } } end })
  function self.run(...)
    return proc.run { argv = { about.executable(), ... }, cwd = path, env = self.env,
                      env_allow = PASSED_ON, stdin = self.stdin, timeout = 60 }
  end
  return self
end

-- One command line, its exit code, and a plain text its output or diagnostics must hold.
local function check(t, here, argv, code, stdout, stderr)
  local r = here.run(table.unpack(argv))
  local shown = ("stoke %s -> %s\n%s%s"):format(table.concat(argv, " "), tostring(r.code or r.signal),
                                               r.stdout, r.stderr)
  t.ok(r.code == code, shown)
  if stdout then t.ok(r.stdout:find(stdout, 1, true), shown) end
  if stderr then t.ok(r.stderr:find(stderr, 1, true), shown) end
  return r
end

test("cli: version and help, examples first", { real = true }, function(t)
  local here <close> = place()
  check(t, here, { "--version" }, 0, "stoke " .. about.version .. "\n")
  local v = json.decode(check(t, here, { "version", "--json" }, 0).stdout)
  t.eq(v.stoke, about.version)
  local help = check(t, here, { "--help" }, 0).stdout
  t.ok(help:find "Examples" < help:find "Usage")
  t.eq(here.run("-h").stdout, help)
  check(t, here, {}, 0, "") -- an empty session at the prompt
  t.eq(here.run("help").stdout, help)
  t.ok(not help:find "\27", "colour in a pipe")
  for _, verb in ipairs { "run", "repl", "chat", "models", "pull", "sim", "test", "doctor" } do
    t.ok(help:find("\n  " .. verb), "help lacks " .. verb)
    local own = check(t, here, { verb, "--help" }, 0, "Examples").stdout
    t.eq(check(t, here, { "help", verb }, 0).stdout, own)
  end
end)

test("cli: a wrong word or flag is answered with the likely one, exit code 2", { real = true },
     function(t)
  local here <close> = place()
  check(t, here, { "dctor" }, 2, nil, "did you mean 'stoke doctor'?")
  check(t, here, { "xyzzy" }, 2, nil, "neither a verb nor a file")
  check(t, here, { "nothere.lua" }, 2, nil, "no file nothere.lua")
  check(t, here, { "./doctor" }, 2, nil, "no file ./doctor")
  check(t, here, { "--hlep" }, 2, nil, "did you mean --help?")
  check(t, here, { "models", "--lodaed" }, 2, nil, "did you mean --loaded?")
  check(t, here, { "help", "pul" }, 2, nil, "did you mean 'pull'?")
  check(t, here, { "run" }, 2, nil, "no ./main.lua here")
  check(t, here, { "run", "--foo" }, 2, nil, "unknown flag --foo")
  check(t, here, { "pull" }, 2, nil, "missing argument: NAME")
  check(t, here, { "-e" }, 2, nil, "-e wants code")
  check(t, here, { "--trace" }, 2, nil, "--trace wants a value")
  check(t, here, { "--trace-bodies", "-e", "" }, 2, nil, "--trace-bodies needs --trace")
  check(t, here, { "--seed", "x", "-e", "" }, 2, nil, "--seed wants a whole number")
  check(t, here, { "--log", "loud", "-e", "" }, 2, nil, "--log wants one of")
end)

test("cli: scripts from files, standard input and the command line", { real = true }, function(t)
  local here <close> = place { ["show.lua"] = "#!/usr/bin/env stoke\nprint('show', ...)",
    ["main.lua"] = "print('main', ...)", plain = "print('plain', ...)",
    sim = "print 'a file named like a verb'" }
  check(t, here, { "show.lua", "a", "--b", "c d" }, 0, "show\ta\t--b\tc d\n")
  check(t, here, { "./show.lua" }, 0, "show\n")
  check(t, here, { "plain", "x" }, 0, "plain\tx\n")
  check(t, here, { "./sim" }, 0, "a file named like a verb")
  check(t, here, { "run" }, 0, "main\n")
  check(t, here, { "run", "show.lua", "--help" }, 0, "show\t--help\n")
  check(t, here, { "--", "show.lua", "-e" }, 0, "show\t-e\n")
  check(t, here, { "-e", "print(#{...}, ...)", "a", "b" }, 0, "2\ta\tb\n")
  here.stdin = "print('typed', ...)"
  check(t, here, { "-", "a" }, 0, "typed\ta\n")
  check(t, here, { "run", "-", "a" }, 0, "typed\ta\n")
end)

test("cli: the runtime's flags work before and after the script, '--' ends them", { real = true },
     function(t)
  local here <close> = place { ["x.lua"] =
    "print(...) require 'stoke.log'.debug('seen') print((math.random()))" }
  local before = here.run("--seed", "7", "--log=debug", "x.lua", "a")
  local after = here.run("x.lua", "--seed", "7", "a", "--log=debug")
  t.eq(after.stdout, before.stdout)
  t.ok(before.stdout:find "^a\n", before.stdout)
  t.ok(after.stderr:find "debug seen", after.stderr)
  t.ne(here.run("x.lua", "--seed", "8", "a").stdout, before.stdout)
  check(t, here, { "x.lua", "--", "--seed", "7" }, 0, "--\t--seed\t7\n")
end)

test("cli: exit codes tell the kind of failure", { real = true }, function(t)
  local here <close> = place()
  local function code(lua) return here.run("-e", lua).code end
  t.eq(code "", 0)
  t.eq(code "error 'x'", 1)
  t.eq(code "x x", 1)
  t.eq(code "os.exit(9)", 9)
  t.eq(code "require 'stoke.args'.parse({ name = 'n' }, '--x')", 2)
  t.eq(code "require 'stoke.args'.parse({ name = 'n' }, '--help')", 0)
  t.eq(code "require 'stoke.ollama'.version 'http://127.0.0.1:1'", 4)
  t.eq(code "local s = require 'stoke' s.timeout(0.01, s.sleep, 5)", 124)
  local r = check(t, here, { "-e", "error 'what happened'" }, 1, nil, "what happened")
  t.eq(r.stdout, "")
end)

test("cli: a closed pipe ends the script quietly", { real = true }, function(t)
  local here <close> = place()
  local r = proc.run { argv = { "sh", "-c", [["$0" -e 'for i = 1, 1e5 do print(i) end' | head -n 2]],
    about.executable() }, cwd = here.path, env = here.env, env_allow = PASSED_ON, timeout = 60 }
  t.eq(r.stdout, "1\n2\n")
  t.eq(r.stderr, "")
end)

test("cli: --trace writes one JSON line per effect", { real = true }, function(t)
  local here <close> = place()
  check(t, here, { "-e", "os.getenv 'HOME'", "--trace", "t.jsonl" }, 0)
  local lines = 0
  for line in fs.read(here.path .. "/t.jsonl"):gmatch "[^\n]+" do
    local record = json.decode(line)
    t.ok(record.name and record.run >= 0 and record.queue >= 0, line)
    t.eq(record.request, nil)
    lines = lines + 1
  end
  t.ok(lines >= 1)
end)

test("cli: --trace has a line for what is no UTF-8, and the call does not notice", { real = true }, function(t)
  local here <close> = place()
  check(t, here, { "-e", [[print(pcall(require "stoke.fs".read, "none\255"))]], "--trace", "t.jsonl" }, 0, "no such file")
  local seen = false
  for line in fs.read(here.path .. "/t.jsonl"):gmatch "[^\n]+" do seen = seen or json.decode(line).about:find "^none" ~= nil end
  t.ok(seen)
end)

test("cli: a wrong configuration file stops everything but help and the doctor", { real = true }, function(t)
  local here <close> = place { ["stoke.config.lua"] = "return { timeouts = { idlee = 3 } }",
                               ["good.lua"] = "return { log = { level = 'debug' } }" }
  check(t, here, { "-e", "print 'ran'" }, 2, nil, "timeouts.idlee is no setting")
  check(t, here, { "doctor" }, 2, "did you mean 'idle'?")
  check(t, here, { "--version" }, 0)
  check(t, here, { "models", "--help" }, 0)
  check(t, here, { "-e", "require 'stoke.log'.debug 'ok'", "--config", "good.lua" }, 0, nil, "ok")
end)

test("cli: doctor prints every setting with its place; exit code 4 without a server",
     { real = true }, function(t)
  local here <close> = place { ["stoke.config.lua"] = "return { timeouts = { idle = 33 } }" }
  here.env.OLLAMA_HOST = "127.0.0.1:1"
  local r = json.decode(check(t, here, { "doctor", "--json" }, 4).stdout)
  t.eq(r.server.reachable, false)
  t.eq(r.server.error.kind, "refused")
  t.eq(r.server.from, "environment OLLAMA_HOST")
  local by = {}
  for _, row in ipairs(r.settings) do by[row.key] = row end
  t.eq(by["timeouts.idle"].value, 33)
  t.eq(by["timeouts.idle"].source, "./stoke.config.lua")
  t.eq(by["timeouts.load"].source, "built in")
  check(t, here, { "doctor" }, 4, "./stoke.config.lua", nil)
end)

test("cli: doctor, models, pull and chat on the simulator", { real = true }, function(t)
  local here <close> = place()
  check(t, here, { "doctor", "--sim" }, 0, "flag --sim")
  local doctor = json.decode(check(t, here, { "doctor", "--sim", "--json" }, 0).stdout)
  t.eq(doctor.server.reachable, true)
  local tags = json.decode(check(t, here, { "models", "--sim", "--json" }, 0).stdout)
  local name = tags.models[1].name
  check(t, here, { "models", "--sim" }, 0, name)
  check(t, here, { "models", "--sim", "--loaded" }, 0, nil, "no model is loaded")
  local pulled = check(t, here, { "pull", "--sim", "gemma3:4b" }, 0, "gemma3:4b is ready")
  t.ok(pulled.stderr:find "100%% of" and not pulled.stderr:find "[\r\27]", pulled.stderr)
  local last
  for line in here.run("pull", "--sim", "--json", "gemma3:4b").stdout:gmatch "[^\n]+" do
    last = json.decode(line)
  end
  t.eq(last.status, "success")
  here.stdin = "Hello there\n\nAnd again\n/bye\nnever read\n"
  local chat = check(t, here, { "chat", name, "--sim", "--stats" }, 0)
  t.eq(select(2, chat.stderr:gsub("tokens in", "")), 2)
  t.ok(not (chat.stdout .. chat.stderr):find "[\27>]", chat.stdout)
  here.stdin = "Hello\n"
  check(t, here, { "chat", "no-such-model", "--sim" }, 5, nil, "stoke pull no-such-model")
end)

test("cli: --sim=FILE.lua answers from a script", { real = true }, function(t)
  local here <close> = place { ["answers.lua"] = 'return { "as written" }', ["broken.lua"] = "return 7" }
  here.stdin = "Hello\n"
  check(t, here, { "chat", "--sim=answers.lua" }, 0, "as written\n")
  here.env.STOKE_SIM = "answers.lua"
  check(t, here, { "chat" }, 0, "as written\n")
  check(t, here, { "chat", "--sim=none.lua" }, 2, nil, "flag --sim: cannot read the script: none.lua")
  check(t, here, { "chat", "--sim=broken.lua" }, 1, nil, "returns a list of them or a function, not 7")
end)

-- Runs in a terminal of its own, by script(1). `keys`: what is typed, and seconds to wait.
local function typed(here, words, keys)
  local slow = tonumber(os.getenv "STOKE_SCALE" or 1) < 1 and 8 or 1
  local steps = {}
  for i, key in ipairs(keys) do
    steps[i] = type(key) == "number" and ("sleep %g"):format(key * slow) or ("printf '%s'"):format(key)
  end
  local line = ('(%s) | script -qec "exec %s %s" /dev/null'):format(table.concat(steps, "; "), about.executable(), words)
  return proc.run { argv = { "sh", "-c", line }, cwd = here.path, env = here.env, env_allow = PASSED_ON, timeout = 60 }
end

test("cli: Ctrl-C on a terminal stops an answer, and not the conversation", { real = true }, function(t)
  if proc.run { argv = { "sh", "-c", "command -v script" } }.code ~= 0 then t.skip "there is no script(1)" end
  local here <close> = place { ["a.lua"] = 'return { { text = ("na "):rep(400), tps = 20, delay = 0.3 }, "batman" }' }
  local r = typed(here, "chat --sim=a.lua", { "Sing.\\n", 2, "\\003", 0.5, "On.\\n", 1, "/bye\\n", 1.5 })
  t.eq(r.code, 0, r.stdout)
  t.ok(r.stdout:find "na na.*%(stopped%).*batman", r.stdout)
end)

test("cli: --sim=auto says in one line that it stands in, and leaves a chosen server alone",
     { real = true }, function(t)
  local here <close> = place()
  here.env.STOKE_ENDPOINT = "127.0.0.1:1"
  check(t, here, { "models", "--sim=auto" }, 4, nil, "--sim")
  here.env.STOKE_ENDPOINT = nil
  local r = here.run("models", "--sim=auto")
  if r.stderr == "" then t.skip "a server answers on the default port" end
  t.eq(r.code, 0)
  t.eq(select(2, r.stderr:gsub("\n", "")), 1)
  t.ok(r.stderr:find("built-in simulator", 1, true), r.stderr)
end)
