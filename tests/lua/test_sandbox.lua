-- The sandbox of child processes: what it says, what each fence holds, and what happens when one cannot be had.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

local LEVEL = proc.run({ argv = { "true" }, sandbox = true }).sandbox
local LANDLOCK, SECCOMP = LEVEL:find "landlock" ~= nil, LEVEL:find "seccomp" ~= nil
local ROOT = proc.run({ argv = { "id", "-u" } }).stdout == "0\n"
local PATH = { PATH = "/usr/bin:/bin" } -- the user's may name folders that he may not enter
local VALGRIND = (os.getenv "LD_PRELOAD" or ""):find("valgrind", 1, true) ~= nil -- opens files of its own between the two execs

local function folder()
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:match "[^\n]+"
  return setmetatable({ path = path }, { __close = function() fs.remove(path, { recursive = true }) end })
end

local function sh(script, sandbox, more)
  local options = { argv = { "sh", "-c", script }, sandbox = sandbox, timeout = 30 }
  for key, value in pairs(more or {}) do options[key] = value end
  return proc.run(options)
end

local function needs(t, there, what)
  if not there then t.skip("no " .. what .. " here") end
end

-- ---- what is said ---------------------------------------------------------------------------------------------------------

test("sandbox: the result carries the level reached, and none without a sandbox", { real = true }, function(t)
  t.match(LEVEL, "rlimits%(memory=2G,processes=512,file_size=256M%)")
  local r = sh("echo out; echo err >&2; exit 3", true)
  t.eq(r.sandbox, LEVEL)
  t.eq(r.stdout, "out\n")
  t.eq(r.stderr, "err\n")
  t.eq(r.code, 3)
  t.eq(sh ":".sandbox, nil)
  t.eq(sh(":", false).sandbox, nil)
end)

test("sandbox: what is reached is told before, too", { real = true }, function(t)
  if VALGRIND then t.skip "valgrind does not know Landlock" end
  t.eq(proc.sandbox_level(), LEVEL)
end)

test("sandbox: stdin, arguments, merged output and a conversation pass through", { real = true }, function(t)
  t.eq(proc.run({ argv = { "cat" }, stdin = "a\0b", sandbox = true }).stdout, "a\0b")
  t.eq(proc.run({ argv = { "printf", "%s|", "", "--", "net", "write=/" }, sandbox = true }).stdout, "|--|net|write=/|")
  t.eq(sh("echo 1; echo 2 >&2; echo 3", true, { stderr = "merge" }).stdout, "1\n2\n3\n")
  local p <close> = proc.spawn { argv = { "cat" }, sandbox = true }
  t.eq(p.sandbox, LEVEL)
  p:write "hello"
  t.eq(p:read(), "hello")
  p:close_stdin()
  t.eq(p:wait().code, 0)
end)

test("sandbox: a program that cannot be started is the same error as without", { real = true }, function(t)
  local _, err = stoke.try(proc.run, { argv = { "no-such-program-here" }, sandbox = true, env = PATH })
  t.eq(err.kind, "os")
  t.eq(err.message, 'cannot start "no-such-program-here": no such file or directory')
  _, err = stoke.try(proc.spawn, { argv = { "no-such-program-here" }, sandbox = true, env = PATH })
  t.eq(err.message, 'cannot start "no-such-program-here": no such file or directory')
  _, err = stoke.try(proc.run, { argv = { "true" }, sandbox = { write = { "/no/such/folder" } } })
  t.match(err.message, 'cannot resolve "/no/such/folder"')
  _, err = stoke.try(proc.run, { argv = { "true" }, cwd = "/no/such/folder", sandbox = { write = {} } })
  t.match(err.message, "/no/such/folder")
end)

test("sandbox: what is demanded is had, or the program does not run", { real = true }, function(t)
  local dir <close> = folder()
  for what, there in pairs { landlock = LANDLOCK, seccomp = SECCOMP, ["landlock+seccomp"] = LANDLOCK and SECCOMP } do
    local r, err = stoke.try(sh, "echo x >ran", { require = what }, { cwd = dir.path })
    if there then
      t.eq(r.code, 0)
      fs.remove(dir.path .. "/ran")
    else
      t.eq(err.kind, "denied")
      t.match(err.message, "the sandbox demands")
      t.eq(fs.stat(dir.path .. "/ran"), nil)
    end
  end
end)

test("sandbox: mistakes in its options are named", function(t)
  for _, sandbox in ipairs { 1, "all", { wirte = {} }, { write = "x" }, { write = { 1, true } }, { write = { "" } },
    { read = { "a\0b" } }, { cpu = 0 }, { cpu = -1 }, { cpu = 0 / 0 }, { memory = "1" },
    { processes = 0 }, { memory = true }, { cpu = false }, { net = 1 }, { require = "bwrap" } } do
    t.raises("argument", proc.run, { argv = { "true" }, sandbox = sandbox })
    t.raises("argument", proc.spawn, { argv = { "true" }, sandbox = sandbox })
  end
  local many = {}
  for i = 1, 100 do many[i] = "." end
  t.raises("argument", proc.run, { argv = { "true" }, sandbox = { write = many } })
end)

test("sandbox: the helper itself refuses what it does not understand", { real = true }, function(t)
  for _, words in ipairs { "", "--", "nonsense -- true", "cpu=x -- true", "cpu= -- true", "cpu=-1 -- true", "write= -- true",
    "require=all -- true", "memory=99999999999999999999 -- true", "net=1 -- true" } do
    local argv = { about.executable(), "--exec-helper" }
    for word in words:gmatch "%S+" do argv[#argv + 1] = word end
    local r = proc.run { argv = argv }
    t.eq(r.code, 121, words)
    t.match(r.stderr, "^stoke: denied the sandbox")
  end
end)

-- ---- files ----------------------------------------------------------------------------------------------------------------

test("sandbox: it writes below the folders given and in a temp folder that is gone afterwards", { real = true }, function(t)
  local a <close> = folder()
  local b <close> = folder()
  local c <close> = folder()
  local r = sh([[echo $TMPDIR; echo x >$TMPDIR/x && mkdir $TMPDIR/d && cat $TMPDIR/x; ls -ld $TMPDIR
    for d in $A $B $C; do echo x >$d/x; done; :]], { write = { a.path, b.path } },
    { env_allow = { "PATH" }, env = { A = a.path, B = b.path, C = c.path } })
  t.match(r.stdout, "^/[^\n]*/stoke%-%d+%-%x+\nx\ndrwx%-%-%-%-%-%-")
  t.eq(fs.stat(r.stdout:match "[^\n]+"), nil)
  t.ok(fs.stat(a.path .. "/x") and fs.stat(b.path .. "/x"), "both written")
  needs(t, LANDLOCK, "Landlock")
  t.eq(fs.stat(c.path .. "/x"), nil)
end)

test("sandbox: when write is not given, it is the folder it starts in", { real = true }, function(t)
  needs(t, LANDLOCK, "Landlock")
  local a <close> = folder()
  local b <close> = folder()
  t.eq(sh("echo x >x", true, { cwd = a.path }).code, 0)
  t.ne(sh("echo x >x", { write = {} }, { cwd = a.path }).code, 0)
  t.ne(sh("echo x >x", { write = { a.path } }, { cwd = b.path }).code, 0)
end)

test("sandbox: it changes nothing else in any other way", { real = true }, function(t)
  needs(t, LANDLOCK, "Landlock")
  local dir <close> = folder()
  local other <close> = folder()
  fs.write(other.path .. "/f", "text")
  for _, script in ipairs { "rm $O/f", "mv $O/f .", "mv $O/f $O/g", "ln $O/f hard", "mkdir $O/d", "mkfifo $O/p", "ln -s x $O/l",
    ": >$O/f", "truncate -s 0 $O/f", "ln -s $O link; echo x >link/f", "cp /bin/true $O/t", "mknod dev c 1 3", "rmdir $O" } do
    local r = sh(script, true, { cwd = dir.path, env_allow = { "PATH" }, env = { O = other.path } })
    t.ne(r.code, 0, script)
    t.eq(fs.read(other.path .. "/f"), "text", script)
    t.eq(#fs.list(other.path), 1, script)
  end
end)

test("sandbox: inside its folder files can be made, run, renamed between folders and removed", { real = true }, function(t)
  local dir <close> = folder()
  local r = sh([[set -e; mkdir a b; echo '#!/bin/sh' >a/p; echo 'echo ran' >>a/p; chmod +x a/p; a/p; mv a/p b/q; b/q; ln b/q b/r
    ln -s q b/s; mkfifo f; rm -r a b f; : >/dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c
    cat /proc/self/comm]],
    true, { cwd = dir.path })
  t.eq(r.stdout, "ran\nran\n3\n3\ncat\n", r.stderr)
end)

test("sandbox: it reads the system and the folders given, and no secret elsewhere", { real = true }, function(t)
  needs(t, LANDLOCK, "Landlock")
  local dir <close> = folder()
  local secret <close> = folder()
  fs.write(secret.path .. "/key", "the secret")
  local read = "cat " .. secret.path .. "/key"
  t.eq(sh(read, true, { cwd = dir.path }).stdout, "")
  t.eq(sh("ls " .. secret.path, true, { cwd = dir.path }).stdout, "")
  t.eq(sh(read, { read = { secret.path } }, { cwd = dir.path }).stdout, "the secret")
  t.ne(sh("echo x >" .. secret.path .. "/key", { read = { secret.path } }, { cwd = dir.path }).code, 0)
  t.eq(sh("head -c 4 /etc/passwd; ls /usr | head -1", true, { cwd = dir.path }).stderr, "")
  t.eq(sh("cat /etc/shadow", true, { cwd = dir.path }).stdout, "")
end)

test("sandbox: our own environment and memory cannot be read through /proc", { real = true }, function(t)
  needs(t, LANDLOCK, "Landlock")
  local r = sh("cat /proc/$PPID/environ; cat /proc/$PPID/maps; head -c 10 /proc/$PPID/mem; readlink /proc/$PPID/fd/1", true)
  t.eq(r.stdout, "")
  t.match(r.stderr, "denied")
end)

test("sandbox: it cannot send us signals", { real = true }, function(t)
  if not LANDLOCK or tonumber(LEVEL:match "landlock(%d+)") < 6 then t.skip "no Landlock of version 6 here" end
  t.match(sh("kill -0 $PPID; kill -CONT $PPID", true).stderr, "not permitted")
end)

-- ---- calls ----------------------------------------------------------------------------------------------------------------

local function socket(families)
  return "perl -MSocket -e 'for (" .. families .. ") { print socket(S, $_, SOCK_STREAM, 0) ? qq{yes\\n} : qq{$!\\n} }'"
end

test("sandbox: no sockets without net; with it those of the network, and none of the file system", { real = true }, function(t)
  needs(t, SECCOMP, "seccomp")
  t.eq(sh(socket "AF_UNIX, AF_INET, AF_INET6, 16, 17, 40", true).stdout, ("Permission denied\n"):rep(6))
  t.eq(sh(socket "AF_INET, AF_INET6", { net = true }).stdout, "yes\nyes\n")
  t.eq(sh(socket "AF_UNIX, 17, 38, 40, 3, 9", { net = true }).stdout, ("Permission denied\n"):rep(6))
end)

test("sandbox: a pair of connected sockets may be made, as programs do to talk to their children", { real = true }, function(t)
  needs(t, SECCOMP, "seccomp")
  local pairs_of = "perl -MSocket -e 'for (SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM) { "
    .. "print socketpair(A, B, AF_UNIX, $_, 0) ? qq{yes\n} : qq{$!\n} }'"
  t.eq(sh(pairs_of, true).stdout, "yes\nyes\nPermission denied\n")
end)

test("sandbox: calls that no program needs are refused", { real = true }, function(t)
  needs(t, SECCOMP, "seccomp")
  local machine = proc.run({ argv = { "uname", "-m" } }).stdout
  if machine ~= "x86_64\n" then t.skip "the numbers of the calls are those of x86_64" end
  local EPERM, ENOSYS = 1, 38
  for name, call in pairs {
    ptrace = { 101, EPERM }, mount = { 165, EPERM }, umount2 = { 166, EPERM }, bpf = { 321, EPERM }, kexec_load = { 246, EPERM },
    init_module = { 175, EPERM }, finit_module = { 313, EPERM }, keyctl = { 250, EPERM }, unshare = { 272, EPERM },
    setns = { 308, EPERM }, io_uring_setup = { 425, EPERM }, process_vm_readv = { 310, EPERM }, process_vm_writev = { 311, EPERM },
    perf_event_open = { 298, EPERM }, userfaultfd = { 323, EPERM }, clone3 = { 435, ENOSYS }, setsid = { 112, EPERM },
    reboot = { 169, EPERM }, pivot_root = { 155, EPERM }, chroot = { 161, EPERM }, open_by_handle_at = { 304, EPERM },
    swapon = { 167, EPERM },
  } do
    local r = sh(("perl -e 'syscall(%d, 0, 0, 0, 0, 0, 0); print $!+0'"):format(call[1]), true)
    t.eq(r.stdout, tostring(call[2]), name)
  end
  t.eq(sh("perl -e 'syscall(56, 0x10000000 | 17, 0, 0, 0, 0); print $!+0'", true).stdout, "1", "clone with CLONE_NEWUSER")
  t.eq(sh("perl -e 'ioctl(STDOUT, 0x5412, my $x = q{x}); print $!+0'", true).stdout, "1", "TIOCSTI")
end)

test("sandbox: no new privileges, none of root's, no core, few descriptors", { real = true }, function(t)
  if not fs.stat "/proc/self/status" then t.skip "no /proc here" end
  local seen = sh("cat /proc/self/status; ulimit -c; ulimit -n; umask", true).stdout
  t.match(seen, "NoNewPrivs:%s*1\n")
  t.match(seen, "CapEff:%s*0*[01][0-9a-f]\n")
  if ROOT then t.match(seen, "CapBnd:%s*%x*[01][0-9a-f]\n") end
  t.match(seen, "\n0\n1024\n0022\n$")
end)

-- ---- limits ---------------------------------------------------------------------------------------------------------------

test("sandbox: it leaves no program behind that runs as its owner", { real = true }, function(t)
  needs(t, SECCOMP, "seccomp")
  local place <close> = folder()
  local r = sh("cp /bin/true a; chmod u+x a && ./a && echo runs; chmod u+s a; chmod 6755 a; install -m 4755 /bin/true b; "
    .. "find . -perm /4000; cp -p a c && ./c && echo copied", { write = { place.path } }, { cwd = place.path })
  t.eq(r.stdout, "runs\ncopied\n")
end)

test("sandbox: processor time, file size and memory end it", { real = true }, function(t)
  local dir <close> = folder()
  local r = sh("while :; do :; done", { cpu = 1 })
  t.ok(r.signal == "SIGXCPU" or r.signal == "SIGKILL", r.signal)
  t.ok(r.seconds < 20, r.seconds)
  r = sh("head -c 200000 /dev/zero >big; echo $?", { file_size = 100000 }, { cwd = dir.path })
  t.ne(r.stdout, "0\n")
  t.eq(fs.stat(dir.path .. "/big").size, 100000)
  t.ne(sh("perl -e '$x = q{x} x 400_000_000; print 1'", { memory = 200 << 20 }).stdout, "1")
  t.eq(sh("perl -e '$x = q{x} x 4_000_000; print 1'", { memory = 200 << 20 }).stdout, "1")
end)

test("sandbox: memory of all its processes together ends it, and says so", { real = true }, function(t)
  needs(t, SECCOMP, "seccomp")
  local r = sh("for i in 1 2 3 4; do perl -e '$x = q{x} x 60_000_000; sleep 30' & done; wait", { memory = 150 << 20 })
  t.eq({ r.signal, r.limit }, { "SIGKILL", "memory" })
  t.ok(r.seconds < 20, r.seconds)
  t.eq(sh("perl -e '$x = q{x} x 60_000_000; sleep 1'", { memory = 150 << 20 }).limit, nil)
end)

test("sandbox: memory that a fork shares is counted once", { real = true }, function(t)
  needs(t, SECCOMP, "seccomp")
  local r = sh("perl -e '$x = q{x} x 40_000_000; for (1..8) { fork or (sleep 1, exit) } wait for 1..8'", { memory = 150 << 20 })
  t.eq({ r.code, r.limit }, { 0, nil })
end)

test("sandbox: what is not limited is said so, by false", { real = true }, function(t)
  local level = sh("ulimit -f", { memory = false, file_size = false, processes = math.huge }).sandbox
  t.match(level, "rlimits")
  t.ok(not level:find "%(", level)
  level = sh(":", { memory = 3 << 20, processes = 7, file_size = false }).sandbox
  t.match(level, "rlimits%(memory=3M,processes=7%)")
end)

test("sandbox: too many processes are refused, or end it where the system exempts root", { real = true }, function(t)
  if not fs.stat "/proc/self/stat" then t.skip "no /proc here" end
  local r = sh("i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i+1)); done; wait; echo all", { processes = 10 })
  t.ok(not r.stdout:find "all", "40 of 10")
  if ROOT then t.eq(r.limit, "processes") end
  t.eq(sh("sleep 0.1 & sleep 0.1 & wait; echo all", { processes = 20 }).stdout, "all\n")
end)

-- ---- the end --------------------------------------------------------------------------------------------------------------

local function gone(t, pid)
  for _ = 1, 100 do
    local ok, stat = pcall(fs.read, ("/proc/%s/stat"):format(pid))
    if not ok or stat:find "%) Z " then return end
    stoke.sleep(0.02)
  end
  t.fail("process " .. pid .. " lives on")
end

test("sandbox: what it started in the background ends with it", { real = true }, function(t)
  local r = sh("sleep 300 >/dev/null 2>&1 & echo $!; sleep 300 & echo $!", true)
  t.ok(r.seconds < 10, r.seconds)
  for pid in r.stdout:gmatch "%d+" do gone(t, pid) end
end)

test("sandbox: time-out and cancel end all of it and leave no temp folder", { real = true }, function(t)
  local dir <close> = folder()
  local limit, r = 0.3
  repeat -- a slow machine has not begun by then
    r = sh("echo $TMPDIR; sleep 300 & echo $!; sleep 300", true, { timeout = limit })
    t.eq(r.timed_out, true)
    limit = limit * 4
  until r.stdout:find "\n%d+\n" or limit > 60
  t.eq(fs.stat(r.stdout:match "^[^\n]+"), nil)
  gone(t, r.stdout:match "\n(%d+)")
  local task = stoke.spawn(sh, "echo $TMPDIR $$ >told; mv told tell; sleep 300", true, { cwd = dir.path })
  while not fs.stat(dir.path .. "/tell") do stoke.sleep(0.02) end
  task:cancel()
  t.raises("cancelled", task.await, task)
  local temp, pid = fs.read(dir.path .. "/tell"):match "^(%S+) (%d+)"
  t.eq(fs.stat(temp), nil)
  gone(t, pid)
end)

test("sandbox: a program dies with us, and all that it started", { real = true }, function(t)
  if not LANDLOCK and not SECCOMP then t.skip "no Linux here" end
  if VALGRIND then t.skip "the one that is killed is valgrind's" end
  local dir <close> = folder()
  local script = ([[local p = require "stoke.proc".spawn { sandbox = true,
      argv = { "sh", "-c", "sleep 300 & echo $!; (sleep 300 & echo $!); exec sleep 300" } }
    require "stoke.fs".write("%s/pid", p.pid .. " " .. p:lines()() .. " " .. p:lines()())
    require "stoke".sleep(300)]]):format(dir.path)
  local parent <close> = proc.spawn { argv = { about.executable(), "-e", script }, stdin = false,
    env_allow = { "PATH", "STOKE_PATH" }, env = { TMPDIR = dir.path } } -- its temp folder stays behind
  while not fs.stat(dir.path .. "/pid") do stoke.sleep(0.02) end
  local pids = fs.read(dir.path .. "/pid")
  for pid in pids:gmatch "%d+" do t.ok(fs.stat("/proc/" .. pid), "it runs") end
  t.eq(select(2, pids:gsub("%d+", "")), 3)
  parent:kill "SIGKILL"
  for pid in pids:gmatch "%d+" do gone(t, pid) end
end)

test("sandbox: many at once", { real = true }, function(t)
  local numbers = {}
  for i = 1, 20 do numbers[i] = i end
  local scope <close> = stoke.scope {}
  local got = scope:map(numbers, function(i) return sh("echo " .. i, true).stdout end, { limit = 8 })
  for i = 1, 20 do t.eq(got[i], i .. "\n") end
end)

-- ---- the other end of the output ------------------------------------------------------------------------------------------

test("proc.run keeps the last bytes when it is asked to", { real = true }, function(t)
  local r = sh("seq 100000; echo told >&2", nil, { max_output = 1000, keep = "last" })
  t.ok(#r.stdout >= 500 and #r.stdout <= 1000, #r.stdout)
  t.match(r.stdout, "99999\n100000\n$")
  t.eq(r.truncated, true)
  t.eq(r.stderr, "told\n")
  r = sh("printf 123", nil, { max_output = 3, keep = "last" })
  t.eq(r.stdout, "123")
  t.eq(r.truncated, false)
  t.eq(sh("printf 1234567", nil, { max_output = 1, keep = "last" }).stdout, "7")
  t.eq(#sh("seq 100", nil, { max_output = 100, keep = "first" }).stdout, 100)
  t.raises("argument", sh, "true", nil, { keep = "both" })
end)
