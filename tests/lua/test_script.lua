-- How a script runs and ends: exit codes, deadlocks, modules, errors as they are printed.

local test = require "stoke.test"
local stoke = require "stoke"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"

local PASSED_ON = require "binary".PASSED_ON

local function run(argv, cwd)
  return proc.run { argv = { about.executable(), table.unpack(argv) }, env_allow = PASSED_ON, cwd = cwd,
                    env = { HOME = "/nonexistent" }, timeout = 60 }
end

local function code(text) return run { "-e", text } end

local function folder(t, files)
  local name = ("%s/stoke-script-%d"):format(os.getenv "TMPDIR" or "/tmp", math.random(1 << 40))
  fs.mkdir(name)
  for path, text in pairs(files) do
    local parent = path:match "^(.*)/"
    if parent then fs.mkdir(name .. "/" .. parent, { parents = true }) end
    fs.write(name .. "/" .. path, text)
  end
  t.ok(name)
  return setmetatable({ path = name }, { __close = function() fs.remove(name, { recursive = true }) end })
end

test("exit codes tell the kind of the error that ended the script", { real = true }, function(t)
  local kinds = { argument = 1, script = 1, os = 1, usage = 2, auth = 3, refused = 4, dns = 4, tls = 4, unreachable = 4,
                  tool = 5, http = 5, budget = 6, limit = 6, denied = 7, timeout = 124, deadline = 124 }
  local s <close> = stoke.scope {}
  local names = {}
  for kind in pairs(kinds) do names[#names + 1] = kind end
  s:map(names, function(kind)
    local r = code(([[
      local stoke = require "stoke"
      local e = select(2, pcall(stoke.sleep, -1))
      e.kind, e.message = %q, "as an example"
      error(e)]]):format(kind))
    t.eq(r.code, kinds[kind], kind)
    t.match(r.stderr, "^stoke: " .. kind .. ": as an example")
  end, { limit = 2 })
end)

test("os.exit unwinds through <close> and ends with its code", { real = true }, function(t)
  local r = code [[
    local _ <close> = setmetatable({}, { __close = function() print "closed" end })
    os.exit(9)]]
  t.eq({ r.code, r.stdout, r.stderr }, { 9, "closed\n", "" })
  t.eq(code "os.exit(true)".code, 0)
  t.eq(code "os.exit(false)".code, 1)
  t.eq(code "os.exit()".code, 0)
  t.eq(code [[local stoke = require "stoke" stoke.spawn(function() os.exit(4) end) stoke.sleep(9)]].code, 4)
end)

test("an error is told with its place, its traceback across tasks, and the others beside it", { real = true }, function(t)
  local r = code [[
local stoke = require "stoke"
local function deep() error "boom" end
stoke.spawn(function()
  local _ <close> = setmetatable({}, { __close = function() stoke.sleep(0) error "second" end })
  stoke.sleep(100)
end)
stoke.spawn(function() stoke.sleep(0) deep() end)
stoke.sleep(100)]]
  t.eq(r.code, 1)
  t.match(r.stderr, "^stoke: script: %-e:2: boom\n")
  t.match(r.stderr, "%-e:2: in .*\n\t%-e:7: in .*\nin task %-e:7\nin task main")
  t.match(r.stderr, "also: script: %-e:4: second")
  r = code 'require "stoke".fs.read "/no/such/file"'
  t.match(r.stderr, '^stoke: os: .*/no/such/file.*\n  at %-e:1\n')
end)

test("a syntax error names file and line, and nothing runs", { real = true }, function(t)
  local dir <close> = folder(t, { ["bad.lua"] = "#!/usr/bin/env stoke\nprint 'ran'\nx = = 1\n" })
  local r = run({ "bad.lua" }, dir.path)
  t.eq({ r.code, r.stdout }, { 1, "" })
  t.match(r.stderr, "bad.lua:3: unexpected symbol near '='")
end)

test("deadlock: told with who waits for what, and <close> blocks run", { real = true }, function(t)
  local r = code [[
    local stoke = require "stoke"
    local channel = stoke.channel()
    stoke.spawn(function() channel:recv() end)
    local _ <close> = setmetatable({}, { __close = function() print "closed" end })
    stoke.semaphore(1):acquire()
    channel:send(1)
    channel:send(2)]]
  t.eq({ r.code, r.stdout }, { 1, "closed\n" })
  t.match(r.stderr, "deadlock: nothing is left that could wake a task: main waits for channel.send")
  r = code [[local stoke = require "stoke" local t t = stoke.spawn(function() stoke.sleep(0) t:await() end) stoke.channel():recv()]]
  t.eq(r.code, 1)
  r = code [[
    local stoke = require "stoke"
    local a, b
    a = stoke.spawn(function() stoke.sleep(0) b:await() end)
    b = stoke.spawn(function() stoke.sleep(0) a:await() end)]]
  t.eq(r.code, 1)
  t.match(r.stderr, "deadlock: .*%-e:3 waits for task.await at %-e:3; the task of %-e:4 waits for task.await")
end)

test("stoke.main runs after the file, with its words; its result is not printed", { real = true }, function(t)
  local dir <close> = folder(t, { ["m.lua"] = [[
    local stoke = require "stoke"
    stoke.main(function(args) print("main", #args, args[1], arg[2], arg[0]) return 5 end)
    print("body", ...)]] })
  local r = run({ "m.lua", "a", "b" }, dir.path)
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.eq(r.stdout, "body\ta\tb\nmain\t2\ta\tb\tm.lua\n")
  t.eq(run { "-e", "print(arg[0], #arg, arg[1])", "w" }.stdout, "-e\t1\tw\n")
end)

test("a script ends when its last task has ended", { real = true }, function(t)
  local r = code [[local stoke = require "stoke" stoke.spawn(function() stoke.sleep(0.1) print "later" end) print "body"]]
  t.eq({ r.code, r.stdout }, { 0, "body\nlater\n" })
end)

test("require: a module's body may wait; two tasks that need it load it once", { real = true }, function(t)
  local dir <close> = folder(t, {
    ["slow.lua"] = [[
      local stoke = require "stoke"
      stoke.sleep(0.1)
      loads = (rawget(_G, "loads") or 0) + 1
      return { name = ..., loads = loads }]],
    ["a/b/init.lua"] = "return { path = select(2, ...) }",
    ["nothing.lua"] = "answer = 42",
    ["broken.lua"] = "local x = nil\nreturn x.y",
    ["m1.lua"] = "return { require 'm2' }", ["m2.lua"] = "return { require 'm1' }",
    ["main.lua"] = [[
      local stoke = require "stoke"
      local list = stoke.all { function() return require "slow" end, function() return require "slow" end }
      print(list[1] == list[2], list[1].loads, list[1].name)
      print((require "a.b").path, require "nothing", answer)
      print(select(2, stoke.try(require, "broken")).message)
      print(select(2, stoke.try(require, "broken")).message)
      print(select(2, stoke.try(require, "m1")).message)
      print(package.loaded.slow == list[1], package.loaded.m1)
      package.preload.made = function(name) return name .. "!" end
      print((require "made"))]],
  })
  local r = run({ "main.lua" }, dir.path)
  t.eq(r.stderr, "")
  local lines = {}
  for line in r.stdout:gmatch "[^\n]+" do lines[#lines + 1] = line end
  t.eq(lines[1], "true\t1\tslow")
  t.match(lines[2], "a/b/init.lua\ttrue\t42")
  t.match(lines[3], "broken.lua:2: attempt to index a nil value")
  t.eq(lines[4], lines[3])
  t.match(lines[5], "module 'm1' requires itself")
  t.eq(lines[6], "true\tnil")
  t.eq(lines[7], "made!")
end)

test("require: a missing module lists the places, a missing part of the runtime its neighbours", { real = true }, function(t)
  local r = code 'require "no.such"'
  t.eq(r.code, 1)
  t.match(r.stderr, "module 'no.such' not found")
  for _, place in ipairs { "./no/such.lua", "./no/such/init.lua", "./lua_modules/share/lua/5.4/no/such.lua",
                           "./lua_modules/lib/lua/5.4/no/such.so" } do
    t.ok(r.stderr:find(place, 1, true), place .. " in " .. r.stderr)
  end
  local seen = {}
  for place in r.stderr:match "looked for ([^\n]*)":gmatch "[^, ]+" do
    t.ok(not seen[place], place .. " is listed twice")
    seen[place] = true
  end
  t.match(code 'require "http"'.stderr, 'it is part of stoke: require "stoke%.http"')
  t.match(code 'require "town.lua"'.stderr, 'named without %.lua: require "town"')
  t.match(code 'require "stoke.htp"'.stderr, "no module 'stoke.htp' %(did you mean 'stoke.http'%?%)")
  t.match(code 'require "core.task"'.stderr, "belongs to the runtime; scripts use stoke%.%*")
  t.match(code 'require "stoke".htp.get "x"'.stderr, "stoke has no htp; did you mean http%?")
end)

test("require: lua_modules is looked into beside the script and in the current folder", { real = true }, function(t)
  local here <close> = folder(t, { ["app/main.lua"] = 'print((require "beside"), (require "below"), (require "both"))',
    ["app/lua_modules/share/lua/5.4/beside.lua"] = "return 'beside'",
      ["lua_modules/share/lua/5.4/below/init.lua"] = "return 'below'",
    ["app/lua_modules/share/lua/5.4/both.lua"] = "return 'app'", ["lua_modules/share/lua/5.4/both.lua"] = "return 'here'" })
  local r = run({ "app/main.lua" }, here.path)
  t.eq({ r.stderr, r.stdout }, { "", "beside\tbelow\tapp\n" })
end)

test("require: the folders of the system's Lua are in package.path as in package.cpath, none twice", { real = true }, function(t)
  local paths = code "print(package.path) print(package.cpath)".stdout
  t.match(paths, "/share/lua/5%.4/%?%.lua;.*\n.*/lib/lua/5%.4/%?%.so")
  for line in paths:gmatch "[^\n]+" do
    local seen = {}
    for template in line:gmatch "[^;]+" do
      t.ok(not seen[template], template .. " is there twice")
      seen[template] = true
    end
  end
end)

test("require: LUA_PATH goes in front of the standard places where it says ;;, from an --env-file, too", { real = true },
  function(t)
  local here <close> = folder(t, { ["my.env"] = "LUA_PATH=/mine/?.lua;;\n" })
  local plain = run({ "-e", "print(package.path)" }, here.path).stdout
  local function with(env, argv)
    return proc.run { argv = { about.executable(), table.unpack(argv) }, env_allow = PASSED_ON, env = env, cwd = here.path }.stdout
  end
  local show = "print(package.path)"
  for _, out in ipairs { with({ LUA_PATH = "/mine/?.lua;;" }, { "-e", show }), with({}, { "--env-file", "my.env", "-e", show }) } do
    t.match(out, "/mine/%?%.lua;/.*/share/lua/5%.4/%?%.lua")
    t.ok(not out:find(";;", 1, true), out)
    t.eq(out:gsub(";/mine/%?%.lua", ""), plain)
  end
  t.ok(not with({ LUA_PATH_5_4 = "/only/?.lua", LUA_PATH = "/mine/?.lua;;" }, { "-e", show }):find("/usr/", 1, true))
end)

test("os.exit cannot be swallowed", { real = true }, function(t)
  local s <close> = stoke.scope {}
  local codes = s:map({
    'pcall(os.exit, 3) require "stoke".sleep(9)', 'require "stoke".try(os.exit, 3) require "stoke".sleep(9)',
    'require "stoke".any { function() os.exit(3) end, function() require "stoke".sleep(9) end }',
    'require "stoke".every("x", 0.01, function() os.exit(3) end)', "os.exit(259)",
    'local _ <close> = setmetatable({}, { __close = function() require "stoke".sleep(0.01) os.exit(3) end }) os.exit(4)',
  }, function(text) local r = code(text) return r.code .. r.stderr end, { limit = 2 })
  t.eq(codes, { "3", "3", "3", "3", "3", "3" })
  t.match(code "os.exit 'x'".stderr, "the code must be a whole number")
end)

test("require: two tasks that each load what the other needs are told, not left waiting", { real = true }, function(t)
  local dir <close> = folder(t, {
    ["m1.lua"] = "require 'stoke'.sleep(0.05) return { require 'm2' }",
    ["m2.lua"] = "require 'stoke'.sleep(0.05) return { require 'm1' }",
    ["main.lua"] = [[
      local stoke = require "stoke"
      stoke.spawn(function() print(select(2, stoke.try(require, "m1")).message) end)
      stoke.spawn(function() print(select(2, stoke.try(require, "m2")).message) end)]],
  })
  local r = run({ "main.lua" }, dir.path)
  t.eq(r.code, 0)
  t.match(r.stdout, "module 'm%d' requires itself, directly or through others\nmodule 'm%d' requires itself")
end)
