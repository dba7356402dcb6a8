-- What can a program in the sandbox do to another process of the same user? tests/peers/probe.c tries each way it knows, once as
-- the user of the tests and, where that is root, once more as another one.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local start = require "pty"

local build = os.getenv "STOKE_BUILD" or "build"
local LEVEL = proc.sandbox_level()
local WHOLE = LEVEL:find "^landlock%d+%+seccomp" and tonumber(LEVEL:match "%d+") >= 6 and not LEVEL:find "not held"
local ROOT = proc.run({ argv = { "id", "-u" } }).stdout == "0\n"
local NOBODY = { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups" }

-- The host: it lets a victim run beside it, and the probe in the sandbox.
local HOST = [[
local proc, fs = require "stoke.proc", require "stoke.fs"
local base, net, verb = arg[1], arg[2] == "net", arg[3]
local inside, outside = base .. "/inside", base .. "/outside"
fs.mkdir(inside)
fs.mkdir(outside)
local function probe(argv)
  table.insert(argv, 1, base .. "/probe")
  return proc.run { argv = argv, cwd = inside, timeout = 100,
    sandbox = { write = { inside }, read = { base .. "/probe" }, net = net } }
end
if verb then
  local r = probe { verb, arg[4] }
  io.write(r.stdout, r.stderr, "limit: ", tostring(r.limit), "\n")
else
  local victim <close> = proc.spawn { argv = { base .. "/probe", "victim", outside } }
  local words = { "try", outside }
  for word in victim:lines()():gmatch "%S+" do words[#words + 1] = word end
  io.write(probe(words).stdout)
  victim:close_stdin()
  for line in victim:lines() do print(line) end
end]]

local function run(t, user, ...)
  if not WHOLE then t.skip("not all of the fences are here: " .. LEVEL) end
  if user and not ROOT then t.skip "only root can be somebody else" end
  local base = proc.run { argv = { "mktemp", "-d" } }.stdout:match "[^\n]+"
  local clean <close> = setmetatable({}, { __close = function() fs.remove(base, { recursive = true }) end }) -- luacheck: ignore
  proc.run { argv = { "cp", build .. "/probe", base .. "/probe" } }
  proc.run { argv = { "chmod", "777", base } }
  local argv = table.move(user or {}, 1, #(user or {}), 1, {})
  for _, word in ipairs { about.executable(), "-e", HOST, base, ... } do argv[#argv + 1] = word end
  local r = proc.run { argv = argv, timeout = 120, env_allow = { "PATH", "STOKE_PATH", "ASAN_OPTIONS", "LSAN_OPTIONS" },
    env = { HOME = base, TMPDIR = base } }
  if user and r.code == 127 or r.code == 126 then t.skip("the other user cannot run it: " .. r.stderr) end
  return r.stdout, r.stderr
end

local function tried(t, user, net)
  local out, err = run(t, user, net and "net" or "alone")
  local count, through = 0, {}
  for name, what in out:gmatch "([%w_]+): ([^\n]+)" do
    if name ~= "harm" then count = count + 1 end
    if what == "through" then through[#through + 1] = name end
  end
  t.ok(count >= 140, ("%d were tried\n%s%s"):format(count, out, err))
  local harm = {}
  for line in out:gmatch "harm: [^\n]+" do harm[#harm + 1] = line end
  t.match(out, "\ndone\n$")
  t.eq(harm, {})
  return table.concat(through, " ")
end

for who, user in pairs { ["the same user"] = false, ["another user's"] = NOBODY } do
  test("probe: nothing goes through to " .. who, { real = true }, function(t)
    t.eq(tried(t, user or nil, false), "")
  end)

  test("probe: with net the network does, and nothing else, to " .. who, { real = true }, function(t)
    for name in tried(t, user or nil, true):gmatch "%S+" do t.match(name, "^net_") end
  end)

  test("probe: what programs do to themselves and their children still works, " .. who, { real = true }, function(t)
    local out = run(t, user or nil, "alone", "own")
    local done = select(2, out:gsub(": done\n", ""))
    t.eq({ out:match "[^\n]+: [^d][^\n]*", done >= 28 }, { "limit: nil", true })
  end)

  test("probe: processes, threads, memory and files have a limit where none was asked for, " .. who, { real = true }, function(t)
    local function much(what, n) return run(t, user or nil, "alone", what, n) end
    for _, what in ipairs { "forks", "threads" } do -- the system refuses more, but not to root: that is ended
      local out = much(what, "1500")
      local made = tonumber(out:match("(%d+) " .. what)) or 0
      t.ok(out:find "limit: processes" or made > 400 and made <= 513, out)
    end
    t.match(much("file", "300"), "256 megabytes in a file\n")
    t.match(much("memfd", "64"), "0 megabytes\n")
  end)
end

test("probe: a terminal that it may write to it can neither read nor change", { real = true }, function(t)
  if not WHOLE then t.skip("not all of the fences are here: " .. LEVEL) end
  local base = proc.run { argv = { "mktemp", "-d" } }.stdout:match "[^\n]+"
  local clean <close> = setmetatable({}, { __close = function() fs.remove(base, { recursive = true }) end }) -- luacheck: ignore
  proc.run { argv = { "cp", build .. "/probe", base .. "/probe" } }
  local session <close> = start({ "-e", [[
    local proc = require "stoke.proc"
    for _, box in ipairs { false, true } do
      for _, name in ipairs { "terminal_read", "terminal_mode", "terminal_size", "type_key" } do
        local argv = { arg[1] .. "/probe", "try", arg[1], "1", "0", "0", "0", "0", "0", "0", "0", name }
        local r = proc.run { argv = argv, stderr = "inherit", cwd = arg[1], sandbox = box }
        print(box, r.stdout)
      end
    end
    print(proc.run { argv = { "sh", "-c", "echo seen >&2" }, stderr = "inherit", sandbox = true }.code)]], base })
  local text = session:wait(function(s) return s:text():find "<exit %d+>" end):text()
  for _, name in ipairs { "terminal_read", "terminal_mode", "terminal_size" } do
    t.match(text, "false *" .. name .. ": through")
    t.match(text, "true *" .. name .. ": refused")
  end
  t.match(text, "true *type_key: refused")
  t.match(text, "seen")
end)
