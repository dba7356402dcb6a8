-- Files: what comes back, what stays behind, and what no hostile folder can do.

local test = require "stoke.test"
local stoke = require "stoke"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local about = require "core.about"

--- A folder of its own for one test; gone with the block.
local function folder()
  local made = proc.run { argv = { "mktemp", "-d" } }
  local path = made.stdout:match "[^\n]+"
  return setmetatable({ path = path }, {
    __close = function() fs.remove(path, { recursive = true }) end,
    __concat = function(self, name) return self.path .. name end,
  })
end

local function sh(script, ...)
  local r = proc.run { argv = { "sh", "-ec", script, "sh", ... } }
  if r.code ~= 0 then error("sh: " .. r.stderr) end
  return r.stdout
end

local function names(path)
  local out = {}
  for i, entry in ipairs(fs.list(path)) do out[i] = entry.name end
  return table.concat(out, " ")
end

local function failure(kind, t, f, ...)
  local value, err = stoke.try(f, ...)
  t.eq(value, nil)
  t.ok(err, "it fails")
  t.eq(err.kind, kind)
  return err
end

test("what is written is read back, byte for byte", function(t)
  local dir <close> = folder()
  for _, data in ipairs { "", "hello", "a\0b\r\n\xff", ("0123456789abcdef"):rep(200000) } do
    fs.write(dir .. "/f", data)
    t.ok(fs.read(dir .. "/f") == data, #data .. " bytes")
    t.eq(fs.stat(dir .. "/f").size, #data)
  end
  t.eq(names(dir.path), "f")
end)

test("a part of a file is read from a byte on, and nothing behind its end", function(t)
  local dir <close> = folder()
  fs.write(dir .. "/f", "0123456789")
  t.eq(fs.read(dir .. "/f", { from = 4, bytes = 3 }), "345")
  t.eq(fs.read(dir .. "/f", { from = 9, bytes = 100 }), "89")
  t.eq(fs.read(dir .. "/f", { from = 11 }), "")
  failure("argument", t, fs.read, dir .. "/f", { bytes = 3 })
  failure("argument", t, fs.read, dir .. "/f", { from = 0 })
  failure("argument", t, fs.read, "f", { from = 1, root = dir.path })
  failure("os", t, fs.read, "/dev/zero", { from = 1 })
  failure("os", t, fs.read, dir.path, { from = 1 })
end)

test("append adds to the end and makes the file", function(t)
  local dir <close> = folder()
  fs.write(dir .. "/log", "one\n", { append = true })
  fs.write(dir .. "/log", "two\n", { append = true })
  t.eq(fs.read(dir .. "/log"), "one\ntwo\n")
end)

test("modes: the given one, the one it had, the umask's", function(t)
  local dir <close> = folder()
  fs.write(dir .. "/secret", "x", { mode = "0600" })
  t.eq(fs.stat(dir .. "/secret").mode, tonumber("600", 8))
  sh("chmod 640 $1", dir .. "/secret")
  fs.write(dir .. "/secret", "y")
  t.eq(fs.stat(dir .. "/secret").mode, tonumber("640", 8))
  fs.write(dir .. "/wide", "x", { mode = 511 })
  t.eq(fs.stat(dir .. "/wide").mode, 511)
  sh("touch $1", dir .. "/touched")
  fs.write(dir .. "/plain", "x")
  t.eq(fs.stat(dir .. "/plain").mode, fs.stat(dir .. "/touched").mode)
end)

test("a failed read names the path and the reason", function(t)
  local dir <close> = folder()
  local err = failure("os", t, fs.read, dir .. "/none")
  t.ok(err.message:find(dir .. "/none", 1, true), err.message)
  t.ok(err.message:find("no such file", 1, true), err.message)
  err = failure("os", t, fs.read, dir.path)
  t.ok(err.message:find("folder", 1, true), err.message)
  failure("os", t, fs.read, dir .. "/" .. ("n"):rep(300))
  failure("os", t, fs.write, dir .. "/" .. ("n"):rep(300), "x")
  failure("os", t, fs.write, dir.path, "x")
  failure("os", t, fs.write, dir .. "/none/f", "x")
  failure("os", t, fs.write, "/proc/none", "x")
end)

test("more bytes than max are refused", function(t)
  local dir <close> = folder()
  fs.write(dir .. "/f", ("x"):rep(1000))
  t.eq(#fs.read(dir .. "/f", { max = 1000 }), 1000)
  failure("limit", t, fs.read, dir .. "/f", { max = 999 })
  failure("limit", t, fs.read, "/dev/zero", { max = 100000 })
end)

test("files that do not say their size are read whole", function(t)
  t.ok(fs.read "/proc/self/status":find("VmRSS", 1, true), "status")
  t.eq(fs.read "/dev/null", "")
end)

test("stat: nil for what is missing, the kind of what is there", function(t)
  local dir <close> = folder()
  fs.write(dir .. "/f", "x")
  sh("ln -s f $1/l; mkfifo $1/p; ln -s gone $1/broken", dir.path)
  t.eq(fs.stat(dir .. "/none"), nil)
  t.eq(fs.stat(dir .. "/f/below"), nil)
  t.eq(fs.stat(dir .. "/broken"), nil)
  t.eq(fs.stat(dir .. "/broken", { link = true }).type, "link")
  t.eq(fs.stat(dir .. "/l").type, "file")
  t.eq(fs.stat(dir .. "/l", { link = true }).type, "link")
  t.eq(fs.stat(dir .. "/p").type, "fifo")
  t.eq(fs.stat(dir.path).type, "directory")
  t.eq(fs.stat("/dev/null").type, "device")
  t.ok(fs.stat(dir .. "/f").mtime > 1e9, "mtime")
end)

test("list is sorted by bytes and keeps names that are no UTF-8", function(t)
  local dir <close> = folder()
  for _, name in ipairs { "b", "a", "B", "\xff\xfe", "ä", ".hidden" } do fs.write(dir .. "/" .. name, "") end
  fs.mkdir(dir .. "/sub")
  local entries = fs.list(dir.path)
  t.eq(names(dir.path), ".hidden B a b sub ä \xff\xfe")
  t.eq(entries[5].type, "directory")
  t.eq(entries[7].type, "file")
  t.eq(fs.read(dir .. "/\xff\xfe"), "")
  t.eq(#fs.list(dir .. "/sub"), 0)
  failure("os", t, fs.list, dir .. "/none")
  failure("os", t, fs.list, dir .. "/a")
end)

test("mkdir, with and without parents", function(t)
  local dir <close> = folder()
  failure("os", t, fs.mkdir, dir .. "/a/b/c")
  fs.mkdir(dir .. "/a/b/c", { parents = true })
  fs.mkdir(dir .. "/a/b/c", { parents = true })
  fs.mkdir(dir .. "/a//b/d/", { parents = true })
  t.eq(names(dir .. "/a/b"), "c d")
  failure("os", t, fs.mkdir, dir .. "/a/b/c")
  fs.write(dir .. "/f", "")
  failure("os", t, fs.mkdir, dir .. "/f", { parents = true })
  failure("os", t, fs.mkdir, dir .. "/f/g", { parents = true })
end)

test("remove: files, links, empty folders, trees", function(t)
  local dir <close> = folder()
  failure("os", t, fs.remove, dir .. "/none")
  failure("os", t, fs.remove, dir .. "/none", { recursive = true })
  fs.mkdir(dir .. "/tree/deep/er", { parents = true })
  for i = 1, 50 do fs.write(dir .. ("/tree/deep/%d"):format(i), "") end
  local err = failure("os", t, fs.remove, dir .. "/tree")
  t.ok(err.message:find("not empty", 1, true), err.message)
  fs.remove(dir .. "/tree/deep/er")
  fs.remove(dir .. "/tree/deep/1")
  fs.remove(dir .. "/tree", { recursive = true })
  t.eq(names(dir.path), "")
end)

test("a recursive remove never goes through a symbolic link", function(t)
  local dir <close> = folder()
  fs.mkdir(dir .. "/precious")
  fs.write(dir .. "/precious/data", "kept")
  fs.mkdir(dir .. "/tree")
  sh("ln -s ../precious $1/tree/link; ln -s loop $1/tree/loop; ln -s precious $1/top", dir.path)
  fs.remove(dir .. "/tree", { recursive = true })
  fs.remove(dir .. "/top/", { recursive = true })
  t.eq(names(dir.path), "precious")
  t.eq(fs.read(dir .. "/precious/data"), "kept")
end)

test("symbolic links: loops are errors, links are written through", function(t)
  local dir <close> = folder()
  sh("ln -s b $1/a; ln -s a $1/b; mkdir $1/real; echo old >$1/real/f; ln -s real/f $1/link", dir.path)
  local err = failure("os", t, fs.read, dir .. "/a")
  t.ok(err.message:find("too many", 1, true), err.message)
  failure("os", t, fs.write, dir .. "/a", "x")
  fs.write(dir .. "/link", "new")
  t.eq(fs.stat(dir .. "/link", { link = true }).type, "link")
  t.eq(fs.read(dir .. "/real/f"), "new")
  t.eq(names(dir .. "/real"), "f")
end)

test("rename replaces", function(t)
  local dir <close> = folder()
  fs.write(dir .. "/a", "1")
  fs.write(dir .. "/b", "2")
  fs.rename(dir .. "/a", dir .. "/b")
  t.eq(fs.read(dir .. "/b"), "1")
  t.eq(names(dir.path), "b")
  failure("os", t, fs.rename, dir .. "/none", dir .. "/c")
end)

test("a full device is an error of kind os that says where and why", function(t)
  local err = failure("os", t, fs.write, "/dev/full", ("x"):rep(100000))
  t.ok(err.message:find('"/dev/full": no space left', 1, true), err.message)
  failure("os", t, fs.write, "/dev/full", "x", { append = true })
  t.eq(fs.stat("/dev/full").type, "device")
end)

test("a fifo is waited for without blocking, and read to its end", { real = true }, function(t)
  local dir <close> = folder()
  sh("mkfifo $1/p", dir.path)
  local reader = stoke.spawn(function() return fs.read(dir .. "/p") end)
  stoke.sleep(0.05)
  sh("echo one >$1/p", dir.path)
  t.eq(reader:await(), "one\n")
end)

test("cancelling the read of a fifo ends at once and leaks nothing", { real = true }, function(t)
  local dir <close> = folder()
  sh("mkfifo $1/p", dir.path)
  local readers = {}
  for i = 1, 20 do readers[i] = stoke.spawn(function() return fs.read(dir .. "/p") end) end
  stoke.sleep(0.05)
  for _, reader in ipairs(readers) do reader:cancel() end
  for _, reader in ipairs(readers) do t.raises("cancelled", reader.await, reader) end
  t.ok(fs.stat(dir .. "/p"), "the thread pool is free")
end)

test("a cancelled write leaves the old content and no temp file", { real = true }, function(t)
  local dir <close> = folder()
  local big = ("x"):rep(40 << 20)
  fs.write(dir .. "/f", "old")
  for _, seconds in ipairs { 0, 0.001, 0.002, 0.005, 0.01 } do
    local writer = stoke.spawn(function() fs.write(dir .. "/f", big) end)
    stoke.sleep(seconds)
    writer:cancel()
    pcall(writer.await, writer)
    stoke.sleep(0.05)
    t.eq(names(dir.path), "f")
    local size = fs.stat(dir .. "/f").size
    t.ok(size == 3 or size == #big, "whole: " .. size)
    if size == #big then fs.write(dir .. "/f", "old") end
  end
end)

test("a killed write's temp file goes with the next write in its folder, with a root and without", { real = true }, function(t)
  local dir <close> = folder()
  local gone, mine = sh("echo $$"):match "%d+", sh("echo $PPID"):match "%d+"
  fs.mkdir(dir .. "/in")
  for _, where in ipairs { "", "/in" } do
    for _, options in ipairs { {}, { root = dir.path } } do
      local live, place = (".stoke-%s-1.tmp"):format(mine), (".stoke-%s-1-p%08x.tmp"):format(gone, 0)
      local kept = { live, place, ".stoke-notes.tmp", (".stoke-%s-x.tmp"):format(gone), "stoke-1-1.tmp" }
      for _, name in ipairs(kept) do sh(": >$1", dir .. where .. "/" .. name) end
      sh(": >$1; : >$2", dir .. where .. "/.stoke-" .. gone .. "-1.tmp", dir .. where .. "/.stoke-" .. gone .. "-12-0.tmp")
      fs.write(options.root and ("./" .. where .. "/f"):gsub("/+", "/") or dir .. where .. "/f", "x", options)
      for _, name in ipairs(kept) do t.ok(fs.stat(dir .. where .. "/" .. name), name) end
      t.eq(fs.stat(dir .. where .. "/.stoke-" .. gone .. "-1.tmp"), nil)
      t.eq(fs.stat(dir .. where .. "/.stoke-" .. gone .. "-12-0.tmp"), nil)
    end
  end
end)

test("a write that is killed in the middle leaves nothing after the next one", { real = true }, function(t)
  local dir <close> = folder()
  local child <close> = proc.spawn { argv = { about.executable(), "-e", [[
    local fs, data = require "stoke.fs", ("x"):rep(1 << 28)
    print "ready"
    while true do fs.write(arg[1] .. "/big", data) end]], dir.path }, stderr = "inherit" }
  child:read()
  local function temp() return names(dir.path):match "%.stoke%-%S+%.tmp" end
  while not temp() do stoke.sleep(0.005) end
  child:kill "KILL"
  child:wait()
  fs.write(dir .. "/f", "x")
  t.eq(temp(), nil)
end)

test("many at once", function(t)
  local dir <close> = folder()
  local numbers = {}
  for i = 1, 200 do numbers[i] = i end
  local scope <close> = stoke.scope {}
  local got = scope:map(numbers, function(i)
    local path = dir .. "/" .. i
    fs.write(path, tostring(i))
    return fs.read(path)
  end)
  for i = 1, 200 do t.eq(got[i], tostring(i)) end
  t.eq(#fs.list(dir.path), 200)
end)

test("mistakes of the caller are named", function(t)
  t.raises("argument", fs.read)
  t.raises("argument", fs.read, "")
  t.raises("argument", fs.read, "a\0b")
  t.raises("argument", fs.read, "a", { maximum = 1 })
  t.raises("argument", fs.read, "a", { max = -1 })
  t.raises("argument", fs.write, "a")
  t.raises("argument", fs.write, "a", "b", { mode = "9" })
  t.raises("argument", fs.remove, "/", { recursive = true })
  t.raises("argument", fs.remove, "a/..", { recursive = true })
  t.raises("argument", fs.remove, ".", { recursive = true })
  t.raises("argument", fs.rename, "a")
end)
