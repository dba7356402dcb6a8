-- run_command: what it refuses, what it runs, and what the fences around it hold.

local test = require "stoke.test"
local argv = require "stoke.tools.argv"
local command = require "stoke.tools.command"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

local LEVEL = proc.run({ argv = { "true" }, sandbox = true }).sandbox
local LANDLOCK, SECCOMP = LEVEL:find "landlock" ~= nil, LEVEL:find "seccomp" ~= nil

local function folder()
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:match "[^\n]+"
  return setmetatable({ path = path }, { __close = function() fs.remove(path, { recursive = true }) end })
end

local function names(path)
  local out = {}
  for i, entry in ipairs(fs.list(path)) do out[i] = entry.name end
  return table.concat(out, " ")
end

local function tool(dir, more)
  local options = { root = dir.path, allow = { "sh -c **" }, timeout = 20 }
  for key, value in pairs(more or {}) do options[key] = value end
  return command.run_command(options)
end

local function sh(run, script) return run:call { argv = { "sh", "-c", script } } end

-- ---- what is refused ------------------------------------------------------------------------------------------------------

local hostile = dofile "tests/hostile/commands.lua"

--- A stand-in for every allowed program that tells it was run, and the evil files that the commands name.
local function lay_traps(dir)
  local trap = "#!/bin/sh\n: >" .. dir.path .. "/canary\n"
  for _, name in ipairs { "ls", "cat", "evil", "canary.sh", "touch", "sh" } do fs.write(dir.path .. "/" .. name, trap,
    { mode = "0755" }) end
  fs.write(dir.path .. "/safe", "")
  return names(dir.path)
end

test("command: none of the hostile commands starts a process", { real = true }, function(t)
  local dir <close> = folder()
  local before = lay_traps(dir)
  local run = command.run_command { root = dir.path, allow = hostile.allow }
  t.ok(#hostile.commands >= 200, #hostile.commands .. " commands")
  for i, entry in ipairs(hostile.commands) do
    local args = type(entry) == "table" and { argv = entry } or { command = entry }
    local shown = ("%d: %s"):format(i, type(entry) == "table" and table.concat(entry, "|") or entry):sub(1, 100)
    local value, err = stoke.try(run.call, run, args)
    t.eq(value, nil, shown)
    t.eq(err.kind, "denied", shown .. ": " .. err.message)
    t.ok(#err.message < 700 and not err.message:find "^proc", shown .. ": " .. err.message)
  end
  t.eq(names(dir.path), before)
end)

test("command: the same list, given as one word of argv or as argv of its words, is refused too", { real = true }, function(t)
  local dir <close> = folder()
  local before = lay_traps(dir)
  local run = command.run_command { root = dir.path, allow = { "ls", "git status", "touch safe" } }
  for _, entry in ipairs(hostile.commands) do
    if type(entry) == "string" then
      local _, err = stoke.try(run.call, run, { argv = { entry } })
      t.ok(err and err.kind == "denied", entry)
    end
  end
  t.eq(names(dir.path), before)
end)

test("command: what is allowed in the same terms does run", { real = true }, function(t)
  local dir <close> = folder()
  fs.write(dir.path .. "/a b", "one\ntwo\n")
  local run = command.run_command { root = dir.path, allow = hostile.allow }
  t.eq(run:call { argv = { "ls" } }.stdout, "a b\n")
  t.eq(run:call { command = "ls" }.code, 0)
  t.eq(run:call { command = "wc -l 'a b'" }.stdout, "2 a b\n")
  t.eq(run:call { command = 'cat "a b"' }.stdout, "one\ntwo\n")
  t.eq(run:call { argv = { "cat", "a b" } }.stdout, "one\ntwo\n")
  t.eq(run:call { argv = { "grep -n two 'a b'" } }.stdout, "2:two\n")
  t.eq(run:call { command = "grep -n 'o$' 'a b'" }.stdout, "2:two\n")
  t.eq(run:call { command = "touch safe" }.code, 0)
  t.eq(names(dir.path), "a b safe")
end)

test("command: one line is taken apart by its quotes alone", function(t)
  local function words(line) return table.concat(argv.split(line), "|") end
  t.eq(words "a  b\tc ", "a|b|c")
  t.eq(words "a 'b c' \"d e\"", "a|b c|d e")
  t.eq(words "a'b'\"c\"d", "abcd")
  t.eq(words "a '$x `y` \\z *' ", "a|$x `y` \\z *")
  t.eq(words [[a "b\"c" "d\\e" "f\g"]], [[a|b"c|d\e|f\g]])
  t.eq(#argv.split "a '' \"\"", 3)
  t.eq(words "git show stash@{0} a=b c#d e!f 100%", "git|show|stash@{0}|a=b|c#d|e!f|100%")
  t.eq(#argv.split "", 0)
end)

test("command: a complaint says what to do instead", function(t)
  local rules = { argv.rule("git diff *", "x"), argv.rule("ls", "x") }
  local function why(...) return select(2, argv.judge(rules, { ... })) end
  t.match(why("git", "diff", "--stat"), '"%-%-stat" does not fit `git diff %*`: options are allowed only where the rule names them')
  t.match(why("git", "push"), "`git push` is not allowed. Allowed: `git diff %*`, `ls`")
  t.match(why("ls", "x"), "nothing may follow `ls`")
  t.match(why "/bin/ls", "by its name, without a path")
  t.match(select(2, argv.split "ls | wc"),
    "there is no shell here, so `|` cannot join programs; give one program and its arguments")
end)

test("command: rules that cannot be kept are refused when they are written", function(t)
  for _, text in ipairs { "", "*", "**", "a * b", "bin/ls", "./ls", "-x", "sh *", "bash *", "/bin/sh *", "python3 *",
    "python3.11 *", "env *",
    "xargs *", "awk *", "sed *", "perl *", "tar *", "git *", "git bisect *", "git submodule *", "npm *", "lua5.4 *", "sudo *",
      "make * x" } do
    t.raises("argument", command.run_command, { allow = { text } })
  end
  for _, text in ipairs { "sh **", "python3 -m pytest", "git diff *", "ls *", "/bin/ls *", "sed -n p *x" } do
    command.run_command { allow = { text } }
  end
  t.raises("argument", command.run_command)
  t.raises("argument", command.run_command, {})
  t.raises("argument", command.run_command, { allow = { 1 } })
  t.raises("argument", command.run_command, { allow = {}, timeout = 0 })
  t.raises("argument", command.run_command, { allow = {}, cpu = 0 })
  t.raises("argument", command.run_command, { allow = {}, shell = true })
  t.raises("argument", command.run_command, { allow = {}, env = { PATH = "/bin:." } })
  t.raises("argument", command.run_command, { allow = {}, env = { PATH = "/bin::/usr/bin" } })
end)

test("command: a program that lies in the folder is not run, whatever its name", { real = true }, function(t)
  local dir <close> = folder()
  lay_traps(dir)
  local run = command.run_command { root = dir.path, allow = { dir.path .. "/evil", "ls" } }
  local err = t.raises("denied", run.call, run, { argv = { dir.path .. "/evil" } })
  t.match(err.message, "only programs outside it are run")
  err = t.raises("denied", run.call, command.run_command { root = "/", allow = { "ls" } }, { argv = { "ls" } })
  t.match(err.message, "only programs outside it are run")
  t.eq(fs.stat(dir.path .. "/canary"), nil)
  err = t.raises("os", run.call, command.run_command { root = dir.path, allow = { "no-such-program" } },
    { argv = { "no-such-program" } })
  t.match(err.message, "there is no such program")
end)

test("command: both or neither of argv and command is a mistake", { real = true }, function(t)
  local dir <close> = folder()
  local run = tool(dir)
  t.raises("denied", run.call, run, { argv = { "sh", "-c", "true" }, command = "ls" })
  t.raises("denied", run.call, run, {})
end)

-- ---- what is told ---------------------------------------------------------------------------------------------------------

test("command: the model reads exit code, both outputs and the level", { real = true }, function(t)
  local dir <close> = folder()
  local run = tool(dir)
  local r = sh(run, "echo out; echo err >&2; exit 3")
  t.eq(r.code, 3)
  t.eq(r.sandbox, LEVEL)
  t.eq(run:text(r), "exit code 3\nstdout:\nout\nstderr:\nerr\n[sandbox: " .. LEVEL .. "]")
  t.eq(run:text(sh(run, ":")), "exit code 0\n(no output)\n[sandbox: " .. LEVEL .. "]")
end)

test("command: of long output the end is kept, and it says so", { real = true }, function(t)
  local dir <close> = folder()
  local run = tool(dir, { max_output = 1000 })
  local r = sh(run, "seq 200000; echo last")
  t.ok(#r.stdout <= 1000 and #r.stdout > 700, #r.stdout)
  t.match(r.stdout, "^%d+\n")
  t.match(r.stdout, "200000\nlast\n$")
  t.match(run:text(r), "stdout %(only its end; the beginning was cut%):")
  r = sh(run, "seq 200000; seq 100000 >&2")
  t.match(r.stdout, "200000\n$")
  t.match(r.stderr, "100000\n$")
  t.ok(#r.stdout + #r.stderr <= 1000 and #r.stderr > 150, #r.stdout .. " " .. #r.stderr)
  r = sh(run, "printf 1234567890")
  t.eq(r.stdout_cut, false)
end)

test("command: the environment is plain, the user's own is not in it", { real = true }, function(t)
  local dir <close> = folder()
  local seen = sh(tool(dir, { env = { EXTRA = "yes" } }), "/usr/bin/env").stdout
  t.match(seen, "EXTRA=yes\n")
  t.match(seen, "PATH=" .. command.PATH)
  for name in seen:gmatch "([%w_]+)=[^\n]*\n" do
    t.ok((" PATH LANG TERM PAGER EDITOR HOME TMPDIR PWD OLDPWD SHLVL _ EXTRA "):find(" " .. name .. " ", 1,
      true) or name:find "^GIT_"
      or name:find "^LD_" or name:find "^GLIBC", name)
  end
end)

test("command: needs_approval is the tool's", function(t)
  t.eq(command.run_command({ allow = { "ls" }, needs_approval = true }).needs_approval, true)
  t.match(command.run_command({ allow = { "ls", "git diff *" } }).description, "`ls`, `git diff %*`")
end)

-- ---- the fences -----------------------------------------------------------------------------------------------------------

test("command: it writes in its folder and its temp folder, and nowhere else", { real = true }, function(t)
  if not LANDLOCK then t.skip "no Landlock here" end
  local dir <close> = folder()
  local other <close> = folder()
  fs.write(other.path .. "/secret", "the secret")
  local run = tool(dir)
  local r = sh(run,
    ("echo x >in && echo y >$TMPDIR/t && cat $TMPDIR/t && echo $TMPDIR; echo z >%s/out; cat %s/secret; ls %s"):format(
    other.path, other.path, other.path))
  t.match(r.stdout, "^y\n/[^\n]*\n$")
  t.eq(fs.read(dir.path .. "/in"), "x\n")
  t.eq(names(other.path), "secret")
  t.eq(fs.stat(r.stdout:match "\n([^\n]*)"), nil, "the temp folder is gone")
  t.match(r.stderr, "ermission denied")
  t.eq(sh(tool(dir, { read = { other.path } }), ("cat %s/secret"):format(other.path)).stdout, "the secret")
end)

test("command: a link out of the folder leads nowhere", { real = true }, function(t)
  if not LANDLOCK then t.skip "no Landlock here" end
  local dir <close> = folder()
  local other <close> = folder()
  fs.write(other.path .. "/secret", "the secret")
  local r = sh(tool(dir), ("ln -s %s link; cat link/secret; echo x >link/new"):format(other.path))
  t.eq(r.stdout, "")
  t.eq(names(other.path), "secret")
end)

test("command: there is no network", { real = true }, function(t)
  if not SECCOMP then t.skip "no seccomp here" end
  local dir <close> = folder()
  local perl = "perl -MSocket -e 'for (AF_INET, AF_INET6, AF_UNIX) { print socket(S, $_, SOCK_STREAM, 0) ? qq{y\\n} : qq{n\\n} }'"
  t.eq(sh(tool(dir), perl).stdout, "n\nn\nn\n")
  t.eq(sh(tool(dir, { net = true }), perl).stdout, "y\ny\nn\n")
end)

test("command: what it started in the background is gone afterwards", { real = true }, function(t)
  local dir <close> = folder()
  local pid = sh(tool(dir), "sleep 300 >/dev/null 2>&1 & echo $!").stdout:match "%d+"
  for _ = 1, 100 do
    local ok, stat = pcall(fs.read, ("/proc/%s/stat"):format(pid))
    if not ok or stat:find "%) Z " then return end
    stoke.sleep(0.02)
  end
  t.fail "it lives on"
end)

test("command: it cannot leave its group", { real = true }, function(t)
  if not SECCOMP then t.skip "no seccomp here" end
  local dir <close> = folder()
  t.eq(sh(tool(dir), "setsid true; echo $?").stdout, "1\n")
end)

test("command: time, processor time and file size end it", { real = true }, function(t)
  local dir <close> = folder()
  local run = tool(dir, { timeout = 0.3 })
  local r = sh(run, "sleep 100")
  t.eq(r.timed_out, true)
  t.match(run:text(r), "^stopped: it ran longer than 0.3 s")
  run = tool(dir, { cpu = 1 })
  r = sh(run, "while :; do :; done")
  t.ok(r.signal == "SIGXCPU" or r.signal == "SIGKILL", r.signal)
  run = tool(dir, { file_size = 100000 })
  r = sh(run, "head -c 1000000 /dev/zero >big; echo $?")
  t.ne(r.stdout, "0\n")
  t.eq(fs.stat(dir.path .. "/big").size, 100000)
end)

test("command: memory is capped", { real = true }, function(t)
  local dir <close> = folder()
  local r = sh(tool(dir, { memory = 200 << 20 }), "perl -e '$x = q{x} x 400_000_000; print length $x'")
  t.ok(r.code ~= 0 and r.stdout == "", r.stdout)
  t.eq(sh(tool(dir, { memory = 200 << 20 }), "perl -e '$x = q{x} x 4_000_000; print length $x'").stdout, "4000000")
end)

test("command: the model reads which limit it met", { real = true }, function(t)
  if not SECCOMP then t.skip "no seccomp here" end
  local dir <close> = folder()
  local run = tool(dir, { memory = 100 << 20 })
  t.match(run:text(sh(run, "for i in 1 2 3 4; do perl -e '$x = q{x} x 50_000_000; sleep 30' & done; wait")),
    "^stopped: its programs used more memory than they may")
end)

test("command: processes are capped", { real = true }, function(t)
  if not fs.stat "/proc/self/stat" then t.skip "no /proc here" end
  local dir <close> = folder()
  local r = sh(tool(dir, { processes = 10 }), "i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i+1)); done; wait; echo all")
  t.ok(not r.stdout:find "all", r.stdout)
end)

test("command: processes that only make processes end with its time, all of them", { real = true }, function(t)
  local dir <close> = folder()
  local r = sh(tool(dir, { timeout = 0.5 }), "while :; do sleep 0.05; (sleep 0.8; touch late) & done")
  t.eq(r.timed_out, true)
  stoke.sleep(1)
  t.eq(fs.stat(dir.path .. "/late"), nil)
end)

test("command: git shows without the programs that the folder's own settings name", { real = true }, function(t)
  local dir <close> = folder()
  local r = proc.run { cwd = dir.path, timeout = 20, argv = { "sh", "-ec", [[
    git init -q .
    echo a >a
    git add a
    git -c user.name=a -c user.email=b commit -qm x
    echo b >>a
    git config core.fsmonitor "touch ran1; false"
    git config diff.external "touch ran2; true"
    git config diff.z.textconv "touch ran3; cat"
    git config diff.y.command "touch ran4; true"
    git config core.pager "touch ran5"
    git config alias.status "!touch ran6"
    echo "a diff=z" >.gitattributes]] } }
  if r.code ~= 0 then t.skip("no git here: " .. r.stderr) end
  local run = command.run_command { root = dir.path, allow = { "git status", "git diff", "git diff *", "git log", "git log -p" } }
  t.match(run:call({ command = "git status" }).stdout, "modified")
  t.match(run:call({ command = "git diff" }).stdout, "%+b")
  t.match(run:call({ command = "git log -p" }).stdout, "%+a")
  fs.write(dir.path .. "/.gitattributes", "a diff=y\n")
  t.match(run:call({ command = "git diff a" }).stdout, "%+b")
  t.ok(not names(dir.path):find "ran", names(dir.path))
end)
