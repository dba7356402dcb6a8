-- Child processes: what they say, how they end, and that nothing of them is left.

local test = require "stoke.test"
local about = require "core.about"
local stoke = require "stoke"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local time = require "stoke.time"

local function sh(script, more)
  local options = { argv = { "sh", "-c", script } }
  for key, value in pairs(more or {}) do options[key] = value end
  return proc.run(options)
end

--- Whether a process lives; a zombie does not.
local function alive(pid)
  local ok, status = pcall(fs.read, ("/proc/%s/stat"):format(pid))
  return ok and not status:find("%) Z ")
end

local function dead(t, pid)
  for _ = 1, 40 do
    if not alive(pid) then return end
    stoke.sleep(0.05)
  end
  t.ok(false, "process " .. pid .. " is still there")
end

test("run gives code, both outputs and the time it took", function(t)
  local r = sh "echo out; echo err >&2; exit 3"
  t.eq(r.code, 3)
  t.eq(r.signal, nil)
  t.eq(r.stdout, "out\n")
  t.eq(r.stderr, "err\n")
  t.eq(r.truncated, false)
  t.eq(r.timed_out, false)
  t.ok(r.seconds > 0 and r.seconds < 5, "seconds")
end)

test("no shell: arguments arrive as they are", function(t)
  local r = proc.run { argv = { "printf", "%s|", "a b", "$HOME", "`id`", "; ls", "", "\xff", 12 } }
  t.eq(r.stdout, "a b|$HOME|`id`|; ls||\xff|12|")
end)

test("what cannot be started is an error of kind os that says why", function(t)
  local err = t.raises("os", proc.run, { argv = { "no-such-program-here" } })
  local _, said = stoke.try(proc.run, { argv = { "no-such-program-here" } })
  t.eq(said.message, 'cannot start "no-such-program-here": no such file or directory')
  _, said = stoke.try(proc.run, { argv = { "true" }, cwd = "/no/such/folder" })
  t.ok(said.message:find('in the folder "/no/such/folder"', 1, true), said.message)
  _, said = stoke.try(proc.run, { argv = { "/etc/passwd" } })
  t.ok(said.message:find("permission denied", 1, true), said.message)
  t.raises("os", proc.spawn, { argv = { "no-such-program-here" } })
  local valgrind = (os.getenv "LD_PRELOAD" or ""):find("valgrind", 1, true) -- does not survive an exec that fails late
  if not valgrind then t.raises("os", proc.run, { argv = { "true", ("x"):rep(3 << 20) } }) end
  return err
end)

test("cwd is where it starts", function(t)
  t.eq(sh("pwd", { cwd = "/usr" }).stdout, "/usr\n")
end)

test("the environment is an allow-list, or exactly what is given", function(t)
  t.eq(proc.run { argv = { "/usr/bin/env" }, env = {} }.stdout, "")
  t.eq(proc.run { argv = { "/usr/bin/env" }, env = { B = "2", A = "x=y" } }.stdout, "A=x=y\nB=2\n")
  local seen = proc.run { argv = { "/usr/bin/env" } }.stdout
  t.ok(seen:find("PATH=", 1, true), "PATH passes")
  for name in seen:gmatch "([^\n=]+)=" do
    t.ok((" PATH HOME LANG LC_ALL TERM TMPDIR USER "):find(" " .. name .. " ", 1, true), name .. " passed")
  end
  seen = proc.run { argv = { "/usr/bin/env" }, env_allow = { "PATH" }, env = { X = "1" } }.stdout
  t.ok(seen:find("^PATH=[^\n]*\nX=1\n$"), seen)
end)

test("stdin: bytes, or nothing", function(t)
  t.eq(proc.run { argv = { "cat" } }.stdout, "")
  t.eq(proc.run { argv = { "cat" }, stdin = "" }.stdout, "")
  t.eq(proc.run { argv = { "cat" }, stdin = "a\0b" }.stdout, "a\0b")
  local big = ("0123456789"):rep(90000)
  t.ok(proc.run { argv = { "cat" }, stdin = big }.stdout == big, "900 KB through a pipe and back")
end)

test("a child that does not read its stdin is no error", function(t)
  local r = proc.run { argv = { "true" }, stdin = ("x"):rep(5 << 20) }
  t.eq(r.code, 0)
  r = sh("exec 0<&-; sleep 0.05; echo done", { stdin = ("x"):rep(1 << 20) })
  t.eq(r.stdout, "done\n")
end)

test("stderr can be merged into stdout, in order", function(t)
  local r = sh("echo 1; echo 2 >&2; echo 3", { stderr = "merge" })
  t.eq(r.stdout, "1\n2\n3\n")
  t.eq(r.stderr, "")
end)

test("a program may open /dev/stdout and /dev/stdin", function(t)
  t.eq(sh("cat /dev/stdin >/dev/stdout", { stdin = "through" }).stdout, "through")
end)

test("output beyond the cap is dropped, and the child still runs to its end", function(t)
  local r = sh("head -c 100000000 /dev/zero; echo told >&2; exit 4", { max_output = 1000 })
  t.eq(#r.stdout, 1000)
  t.eq(r.truncated, true)
  t.eq(r.stderr, "told\n")
  t.eq(r.code, 4)
  r = sh("head -c 1000 /dev/zero", { max_output = 1000 })
  t.eq(r.truncated, false)
end)

test("a timeout ends the whole group", { real = true }, function(t)
  local r = sh("sleep 100 & echo $!; sleep 100", { timeout = 0.2 })
  t.eq(r.timed_out, true)
  t.eq(r.code, nil)
  t.eq(r.signal, "SIGTERM")
  t.ok(r.seconds < 2, "at once: " .. r.seconds)
  dead(t, r.stdout:match "%d+")
end)

test("a child gets its three streams, and no other descriptor of ours or of who started us", { real = true }, function(t)
  if not fs.stat "/proc/self/fd" then t.skip "no /proc here" end
  local code = [[
    local proc, http = require "stoke.proc", require "stoke.http"
    local server = http.serve { port = 0, handler = function() return "x" end }
    http.get(server.url)
    local look = "i=3; while [ $i -lt 64 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done; echo end"
    io.write(proc.run({ argv = { "sh", "-c", look } }).stdout)
    server:close()]]
  local r = proc.run { argv = { "sh", "-c", 'exec 9</dev/null; exec "$@"', "sh", about.executable(), "-e", code } }
  t.eq(r.stdout, "end\n", r.stderr)
end)

test("who ignores SIGTERM is killed after two seconds", { real = true }, function(t)
  local r = sh("trap '' TERM; echo $$; while :; do sleep 0.1; done", { timeout = 0.1 })
  t.eq(r.signal, "SIGKILL")
  t.ok(r.seconds > 1.9 and r.seconds < 4, "after the grace: " .. r.seconds)
  dead(t, r.stdout:match "%d+")
end)

test("a grandchild that holds the pipes does not hold us", { real = true }, function(t)
  local started = time.monotonic()
  local r = sh "sleep 30 & echo $!"
  t.ok(time.monotonic() - started < 2, "it took " .. time.monotonic() - started)
  t.eq(r.code, 0)
  local pid = r.stdout:match "%d+"
  t.ok(alive(pid), "what was started in the background lives on")
  sh("kill " .. pid)
end)

test("a grandchild that never stops writing does not hold us either", { real = true }, function(t)
  local r = sh("yes & echo $! >&2", { max_output = 4096 })
  t.eq(r.code, 0)
  t.ok(r.seconds < 2, "it took " .. r.seconds)
  dead(t, r.stderr:match "%d+") -- of SIGPIPE
end)

test("cancel kills the group and waits until it is gone", { real = true }, function(t)
  local dir = proc.run { argv = { "mktemp", "-d" } }.stdout:match "[^\n]+"
  local task = stoke.spawn(function() sh("sleep 100 & echo $! $$ >$1/pids; sleep 100", { argv = {
    "sh", "-c", "sleep 100 & echo $! $$ >$1/pids; sleep 100", "sh", dir } }) end)
  repeat stoke.sleep(0.02) until (fs.stat(dir .. "/pids") or { size = 0 }).size > 0
  stoke.sleep(0.02)
  task:cancel()
  t.raises("cancelled", task.await, task)
  for pid in fs.read(dir .. "/pids"):gmatch "%d+" do dead(t, pid) end
  fs.remove(dir, { recursive = true })
end)

test("many at once", function(t)
  local numbers = {}
  for i = 1, 50 do numbers[i] = i end
  local scope <close> = stoke.scope {}
  local got = scope:map(numbers, function(i) return sh("echo " .. i).stdout end, { limit = 10 })
  for i = 1, 50 do t.eq(got[i], i .. "\n") end
end)

test("spawn: a conversation", function(t)
  local p <close> = proc.spawn { argv = { "cat" } }
  t.ok(math.type(p.pid) == "integer" and p.pid > 1, "pid")
  for i = 1, 3 do
    t.eq(p:write("line " .. i .. "\n"), true)
    t.eq(p:read(), "line " .. i .. "\n")
  end
  p:write "last"
  p:close_stdin()
  t.eq(p:read(2), "la")
  t.eq(p:read(), "st")
  t.eq(p:read(), nil)
  t.eq(p:wait().code, 0)
  t.eq(p:write "more", false)
  t.eq(p:kill(), false)
end)

test("spawn: lines, cut anywhere, the last without its end", function(t)
  local p <close> = proc.spawn { argv = { "sh", "-c", "printf 'a\\n\\nb'; sleep 0.05; printf 'c\\nlast'" } }
  local got = {}
  for line in p:lines() do got[#got + 1] = "<" .. line .. ">" end
  t.eq(table.concat(got), "<a><><bc><last>")
end)

test("spawn: stderr apart", function(t)
  local p <close> = proc.spawn { argv = { "sh", "-c", "echo out; echo err >&2" }, stderr = "capture" }
  p:wait()
  t.eq(p:read(nil, "stderr"), "err\n")
  t.eq(p:read(nil, "stderr"), nil)
  t.eq(p:read(), "out\n")
end)

test("spawn: a fast writer is held back until somebody reads, and nothing is lost", { real = true }, function(t)
  local p <close> = proc.spawn { argv = { "sh", "-c", "head -c 3000000 /dev/zero; echo end" } }
  stoke.sleep(0.1)
  local size, last = 0, nil
  for bytes in function() return p:read() end do
    size, last = size + #bytes, bytes
    if size < 1000000 then stoke.sleep(0.001) end
  end
  t.eq(size, 3000004)
  t.eq(last:sub(-4), "end\n")
  t.eq(p:wait().code, 0)
end)

test("spawn: what was written before the end can be read after it", { real = true }, function(t)
  local p <close> = proc.spawn { argv = { "sh", "-c", "sleep 30 >/dev/null & head -c 280000 /dev/zero" } }
  p:wait()
  stoke.sleep(0.3)
  local size = 0
  for bytes in function() return p:read() end do size = size + #bytes end
  t.eq(size, 280000)
end)

test("spawn: signals by name, and a wait that tells", function(t)
  local p <close> = proc.spawn { argv = { "sleep", "100" } }
  t.raises("argument", p.kill, p, "SIGNONE")
  t.eq(p:kill "INT", true)
  t.eq(p:wait().signal, "SIGINT")
end)

test("spawn: the scope that opened it ends it", { real = true }, function(t)
  local pid, p
  do
    local scope <close> = stoke.scope {}
    p = proc.spawn { argv = { "sleep", "100" } }
    pid = p.pid
    t.ok(alive(pid), "it runs")
  end
  t.ok(not alive(pid), "it is gone when the scope is")
  t.raises("os", p.read, p)
  t.raises("os", p.wait, p)
end)

test("spawn: a cancelled reader leaves no process", { real = true }, function(t)
  local pid
  local task = stoke.spawn(function()
    local p <close> = proc.spawn { argv = { "sleep", "100" } }
    pid = p.pid
    p:read()
  end)
  while not pid do stoke.sleep(0.01) end
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.ok(not alive(pid), "gone")
end)

test("two readers of one process are told", function(t)
  local p <close> = proc.spawn { argv = { "cat" } }
  local first = stoke.spawn(function() return p:read() end)
  stoke.sleep(0)
  t.raises("argument", p.read, p)
  p:write "x"
  t.eq(first:await(), "x")
end)

test("mistakes of the caller are named", function(t)
  t.raises("argument", proc.run)
  t.raises("argument", proc.run, { argv = {} })
  t.raises("argument", proc.run, { argv = { "" } })
  t.raises("argument", proc.run, { argv = "ls" })
  t.raises("argument", proc.run, { argv = { "ls", true } })
  t.raises("argument", proc.run, { argv = { "ls", "a\0b" } })
  t.raises("argument", proc.run, { argv = { "ls" }, cwd = "a\0b" })
  t.raises("argument", proc.run, { argv = { "ls" }, env = { ["A=B"] = "x" } })
  t.raises("argument", proc.run, { argv = { "ls" }, env = { A = true } })
  t.raises("argument", proc.run, { argv = { "ls" }, stderr = "none" })
  t.raises("argument", proc.run, { argv = { "ls" }, timeout = 0 })
  t.raises("argument", proc.run, { argv = { "ls" }, max_output = 0 })
  t.raises("argument", proc.run, { argv = { "ls" }, stdin = true })
  t.raises("argument", proc.run, { argv = { "ls" }, shell = true })
end)
