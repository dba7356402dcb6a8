-- Standard streams, seen from outside: this binary runs small scripts against slow, closed and full ends.

local test = require "stoke.test"
local env = require "stoke.env"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local time = require "stoke.time"

local BIN = env.get("STOKE_BIN", "build/stoke")

local PASS = { "PATH", "HOME", "TERM", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
               "TSAN_OPTIONS" }

--- Run a script with its streams as the shell words say; $BIN and $CODE stand for the command.
local function shell(words, code, more)
  local options = {
    argv = { "bash", "-c", words }, env_allow = PASS,
    env = { BIN = BIN, CODE = code }, timeout = 60,
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return proc.run(options)
end

local function run(code, stdin)
  return shell('exec "$BIN" -e "$CODE"', code, { stdin = stdin })
end

--- As `shell`; until_go waits there for go() in the code.
local function waiting(command, code)
  local path = proc.run { argv = { "mktemp", "-u" } }.stdout:match "[^\n]+"
  local wait = [[until_go() {
    n=0
    until [ -e "$GO" ]; do sleep 0.02; n=$((n+1)); [ $n -lt 1000 ] || { echo "no go" >&2; break; }; done
  }
  ]]
  local tell = 'local function go() require "stoke.fs".write(os.getenv "GO", "") end\n'
  local r = shell(wait .. command, code, { env = { BIN = BIN, CODE = tell .. code, GO = path } })
  fs.remove(path)
  return r
end

test("nothing can be written first", { real = true }, function(t)
  local r = run 'io.write("") io.stderr:write("") io.write("x") io.write("")'
  t.eq({ r.stdout, r.stderr, r.code }, { "x", "", 0 })
end)

test("all that is printed arrives, in order", { real = true }, function(t)
  local r = run 'for i = 1, 20000 do print("line", i) end'
  local n = 0
  for i in r.stdout:gmatch "line\t(%d+)\n" do
    n = n + 1
    t.eq(tonumber(i), n)
  end
  t.eq(n, 20000)
  t.eq(r.code, 0)
end)

test("nothing is lost when the script fails", { real = true }, function(t)
  local r = run 'print("before"); error("broken")'
  t.eq(r.stdout, "before\n")
  t.ok(r.stderr:find("broken", 1, true), r.stderr)
  t.eq(r.code, 1)
end)

test("a slow reader gets everything and never blocks the loop", { real = true }, function(t)
  local r = waiting('"$BIN" -e "$CODE" | (until_go; wc -c)', [[
    local stoke = require "stoke"
    local ticker = stoke.spawn(function()
      for _ = 1, 20 do stoke.sleep(0.01) end
      go()
    end)
    for _ = 1, 40 do io.write(("x"):rep(100000)) end
    ticker:await()
  ]])
  t.eq(tonumber(r.stdout), 4000000)
  t.eq(r.stderr, "", "time went on while nothing was read")
end)

test("output that is still kept at the end is written then", { real = true }, function(t)
  local r = shell('"$BIN" -e "$CODE" | (sleep 0.3; wc -c)', 'io.write(("x"):rep(900000))')
  t.eq(tonumber(r.stdout), 900000)
end)

test("a reader that never reads is given up after two seconds", { real = true }, function(t)
  local p <close> = proc.spawn { argv = { BIN, "-e", 'io.write(("x"):rep(900000))' }, stdin = false, env_allow = PASS }
  local status = p:wait()
  t.ok(status.seconds > 1.9 and status.seconds < 30, "after " .. status.seconds)
end)

test("a closed pipe ends a script quietly", { real = true }, function(t)
  local r = shell('"$BIN" -e "$CODE" | head -n 2', 'for i = 1, 1e9 do print(i) end')
  t.eq(r.stdout, "1\n2\n")
  t.eq(r.stderr:gsub("stoke: a task has run for [^\n]*\n", ""), "") -- on a machine that is slow just then
  t.ok(r.seconds < 20, "it ended")
end)

test("a full device is told", { real = true }, function(t)
  local r = shell('"$BIN" -e "$CODE" >/dev/full', 'for _ = 1, 10 do print(("x"):rep(100000)) end')
  t.ok(r.code ~= 0, "code " .. tostring(r.code))
  t.ok(r.stderr:find("no space left", 1, true), r.stderr)
end)

test("both streams into one file keep their order, and append", { real = true }, function(t)
  local path = proc.run { argv = { "mktemp" } }.stdout:match "[^\n]+"
  local code = 'print(1); io.stderr:write("2\\n"); print(3); io.stderr:write("4\\n")'
  shell('echo first >"$OUT"; exec "$BIN" -e "$CODE" >>"$OUT" 2>&1', code, { env = { BIN = BIN, CODE = code, OUT = path } })
  t.eq(fs.read(path), "first\n1\n2\n3\n4\n")
  fs.remove(path)
end)

test("output goes out at the end of a turn, not of the script", { real = true }, function(t)
  local p <close> = proc.spawn { argv = { BIN, "-e", 'print "now"; require "stoke".sleep(20)' }, stdin = false,
    env_allow = PASS }
  local started = time.monotonic()
  t.eq(p:lines()(), "now")
  t.ok(time.monotonic() - started < 10, "at once")
end)

test("our parent's pipe stays as blocking as it was", { real = true }, function(t)
  local r = shell([[
    { "$BIN" -e "$CODE"; grep -o '^flags:.*' /proc/self/fdinfo/1; } | cat]], 'print "x"')
  local flags = tonumber(r.stdout:match "flags:%s*(%d+)", 8)
  t.eq(flags & tonumber("4000", 8), 0)
end)

test("closed descriptors are no trouble", { real = true }, function(t)
  local r = shell('"$BIN" -e "$CODE" <&- >&-; echo "code $?"', 'print(io.read()); io.stderr:write("told\\n")')
  t.ok(r.stdout:find "code 0", r.stdout)
  t.eq(r.stderr, "told\n")
end)

test("reading: lines, bytes, the rest, the end", { real = true }, function(t)
  local code = [[
    print(io.read(), io.read "L", io.read(3), io.read "a", io.read "l", io.read(1), io.read "a")
  ]]
  t.eq(run(code, "one\ntwo\nthree\nfour").stdout, "one\ttwo\n\tthr\tee\nfour\tnil\tnil\t\n")
  t.eq(run('for line in io.lines() do io.write("<", line, ">") end', "a\n\nb\nlast").stdout, "<a><><b><last>")
  t.eq(run("print(io.read())").stdout, "nil\n")
end)

test("reading: a file, a pipe that dribbles, a long line", { real = true }, function(t)
  local path = proc.run { argv = { "mktemp" } }.stdout:match "[^\n]+"
  fs.write(path, ("0123456789"):rep(30000) .. "\nrest")
  local code = 'local l = io.read(); print(#l, io.read "a")'
  t.eq(shell('exec "$BIN" -e "$CODE" <"$IN"', code, { env = { BIN = BIN, CODE = code, IN = path } }).stdout, "300000\trest\n")
  fs.remove(path)
  t.eq(shell([[for i in 1 2 3; do printf "a$i"; sleep 0.05; done | "$BIN" -e "$CODE"]], 'print(io.read())').stdout, "a1a2a3\n")
end)

test("reading waits without blocking, serves readers in order, and can be cancelled", { real = true }, function(t)
  local r = waiting('(until_go; echo one; echo two; sleep 0.1) | "$BIN" -e "$CODE"', [[
    local stoke = require "stoke"
    local gone = stoke.spawn(io.read)
    stoke.sleep(0.02)
    local a, b = stoke.spawn(io.read), stoke.spawn(io.read)
    stoke.sleep(0.02)
    gone:cancel()
    go()
    print(a:await(), b:await(), (pcall(gone.await, gone)))
  ]])
  t.eq(r.stdout, "one\ttwo\tfalse\n", r.stderr)
end)

test("a terminal: is told apart, and echoes what is asked", { real = true }, function(t)
  if proc.run { argv = { "sh", "-c", "command -v script" } }.code ~= 0 then t.skip "no script(1) here" end
  local code = 'io.write("name? "); print("hello " .. io.read())'
  local r = proc.run {
    argv = { "script", "-qec", ('"%s" -e \'%s\''):format(BIN, code), "/dev/null" }, stdin = "Ada\n",
    env_allow = PASS, timeout = 20,
  }
  t.ok(r.stdout:find("name?", 1, true), r.stdout)
  t.ok(r.stdout:find("hello Ada", 1, true), r.stdout)
end)

test("writers that wait for room can be cancelled", { real = true }, function(t)
  local r = shell('"$BIN" -e "$CODE" | (sleep 0.6; wc -c)', [[
    local stoke = require "stoke"
    local task = stoke.spawn(function() while true do io.write(("x"):rep(500000)) end end)
    stoke.sleep(0.2)
    task:cancel()
    local ok, err = pcall(task.await, task)
    io.stderr:write(err.kind)
  ]])
  t.eq(r.stderr, "cancelled")
  t.ok(tonumber(r.stdout) >= 1000000, r.stdout)
end)


test("standard input is an effect: each read is in the trace", { real = true }, function(t)
  local path = t.tmp() .. "/trace.jsonl"
  local result = proc.run { argv = { BIN, "--trace", path, "-e", [[
    print(io.read(), io.read(2))
    for line in io.lines() do print(line) end
    print(io.read "a", io.read())]] }, stdin = "one\ntwo\nthree\n" }
  t.eq(result.stdout, "one\ttw\no\nthree\n\tnil\n")
  local reads = 0
  for line in fs.read(path):gmatch "[^\n]+" do
    if require "stoke.json".decode(line).name == "input.read" then reads = reads + 1 end
  end
  t.eq(reads, 7)
end)
