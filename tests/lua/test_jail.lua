-- Files below a root: no path leads out of it, whatever it says and whoever changes the folder meanwhile. Everything is done
-- twice: confined by the kernel, and component by component as where it cannot.

local test = require "stoke.test"
local effect = require "core.effect"
local fs = require "stoke.fs"
local jail = require "core.driver.jail"
local paths = require "tests.hostile.paths"
local policy = require "core.gate.policy"
local proc = require "stoke.proc"
local stoke = require "stoke"

local SCALE = tonumber(os.getenv "STOKE_SCALE") or 1
local SECRET, EVIL = "the canary sings 7f3a91", "written by a stranger"

local function sh(script, ...)
  local r = proc.run { argv = { "sh", "-ec", script, "sh", ... } }
  if r.code ~= 0 then error("sh: " .. r.stderr) end
  return r.stdout
end

local WORLD = [[
  cd "$1"
  mkdir -p outside/sub jail/a/b jailx
  for f in outside/secret.txt outside/sub/deep.txt outside/hard.txt jailx/secret.txt jail.txt; do printf %s "$2" >$f; done
  chmod 640 outside/hard.txt
  touch -d 2001-02-03T04:05:06 outside/* outside/sub/* jailx/* jail.txt outside/sub outside jailx
  cd jail
  echo plain >plain.txt; echo deep >a/b/c.txt; mkfifo fifo a/fifo
  ln ../outside/hard.txt hard
  ln -s ../outside/secret.txt link_file; ln -s ../outside link_dir; ln -s "$1/outside" link_abs; ln -s . link_root
  ln -s link_self link_self; ln -s link_loop/x link_loop; ln -s ../outside/made.txt link_dangling; ln -s nowhere link_nowhere
  ln -s plain.txt link_in; ln -s / link_slash; ln -s /proc/self/root link_proc; ln -s /dev/fd link_fd; ln -s /dev link_dev
  ln -s .. link_up; ln -s chain2 chain1; ln -s chain3 chain2; ln -s ../outside chain3
  ln -s ../../outside a/link_dir; ln -s ../.. a/link_up; ln -s ../../../outside a/b/link_dir; ln -s c.txt a/b/link_in
  ln -s ../../chain1 a/b/chain
]]

--- What must never change: every name outside the root, with its type, size, mode, times and content.
local function outside(base)
  return sh([[cd "$1"; ls -1A . | tr '\n' ' '; find outside jailx jail.txt -printf '%p %y %s %m %T@ %l\n' | sort
    find outside jailx jail.txt -type f | sort | xargs cat]], base)
end

local function world()
  local base = sh "mktemp -d":match "[^\n]+"
  sh(WORLD, base, SECRET)
  return setmetatable({ base = base, root = base .. "/jail", before = outside(base) }, {
    __close = function() fs.remove(base, { recursive = true }) end,
  })
end

local function descriptors() return #fs.list "/proc/self/fd" end

--- A test for each way; the descriptors it opens are closed when it ends.
local function both(name, f)
  for _, walk in ipairs { false, true } do
    local title = ("%s (%s)"):format(name, walk and "by components" or "by the kernel")
    local skip = not walk and not jail.kernel and "this kernel cannot" or false
    test(title, { skip = skip, timeout = 300, real = true }, function(t)
      local was <const> = jail.walk
      local _ <close> = setmetatable({}, { __close = function() jail.walk = was end })
      jail.walk = walk
      local w <close> = world()
      local open = descriptors()
      f(t, w)
      stoke.sleep(0.01)
      t.eq(descriptors(), open, "open descriptors")
    end)
  end
end

local function quoted(path) return ("%q"):format(#path > 60 and path:sub(1, 60) .. "..." or path) end

--- Every effect that takes a root, on one path: { name, value, err } each.
local function attempts(root, path)
  local out = {}
  local function try(name, q)
    q.root, q.path = root, path
    local value, err = effect.perform(name, q)
    out[#out + 1] = { name = name .. (q.append and " append" or q.fresh and " fresh" or ""), value = value, err = err }
  end
  try("fs.read", {})
  try("fs.list", {})
  try("fs.stat", {})
  try("fs.stat", { link = true })
  try("fs.write", { data = EVIL })
  try("fs.write", { data = EVIL, append = true })
  try("fs.write", { data = EVIL, fresh = true })
  try("fs.mkdir", {})
  try("fs.mkdir", { parents = true })
  return out
end

local function text_of(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for k, v in next, value do parts[#parts + 1] = tostring(k) .. " " .. text_of(v) end
  return table.concat(parts, " ")
end

--- Nothing of the outside shows in a result or an error, and errors can be read.
local function check(t, path, a)
  local where = ("%s of %s"):format(a.name, quoted(path))
  local told = a.err and tostring(a.err) or text_of(a.value)
  t.eq(told:find(SECRET, 1, true) or told:find("hard.txt", 1, true), nil, where) -- its content, or the list of its folder
  t.ok(not told:find "root:x?:0" and (type(a.value) == "boolean" or #told < 100000), where .. " leaks")
  if not a.err then return end
  t.ok(a.err.kind == "denied" or a.err.kind == "os", ("%s: %s"):format(where, told))
  t.ok(a.err.message:find "^cannot %l" and utf8.len(a.err.message) and not a.err.message:find "%c", where .. ": " .. told)
end

both("no path of the list is followed out of the root", function(t, w)
  t.ok(#paths.refused >= 300, "only " .. #paths.refused)
  for _, path in ipairs(paths.refused) do
    path = path:gsub("{BASE}", w.base)
    for _, a in ipairs(attempts(w.root, path)) do
      check(t, path, a)
      if a.name ~= "fs.stat" and not (a.name == "fs.list" and a.err) and not (a.name == "fs.mkdir" and a.err) then
        t.ok(a.err, ("%s of %s is refused"):format(a.name, quoted(path)))
      end
    end
  end
  t.eq(outside(w.base), w.before)
  t.eq(fs.read(w.root .. "/plain.txt"), "plain\n")
  t.eq(fs.read(w.root .. "/a/b/c.txt"), "deep\n")
end)

both("odd names are names like others", function(t, w)
  for _, path in ipairs(paths.names) do
    local folder = path:match "^(.*[^/])/+[^/]+$"
    if folder then fs.mkdir(folder, { root = w.root, parents = true }) end
    fs.write(path, path, { root = w.root })
    t.eq(fs.read(path, { root = w.root }), path)
    t.eq(fs.stat(path, { root = w.root }).size, #path)
    fs.remove(path, { root = w.root })
    t.eq(fs.stat(path, { root = w.root }), nil, quoted(path))
  end
  t.eq(outside(w.base), w.before)
end)

both("what leads about inside the root does no harm", function(t, w)
  for _, path in ipairs(paths.harmless) do
    path = path:gsub("{BASE}", w.base)
    for _, a in ipairs(attempts(w.root, path)) do
      if path ~= "hard" then check(t, path, a) end
    end
  end
  t.eq(outside(w.base), w.before)
end)

both("removing takes links and names of the root, nothing behind them", function(t, w)
  for _, list in next, paths do
    for _, path in ipairs(list) do
      path = path:gsub("{BASE}", w.base)
      for _, recursive in ipairs { false, true } do
        local value, err = effect.perform("fs.remove", { root = w.root, path = path, recursive = recursive })
        check(t, path, { name = "fs.remove", value = value, err = err })
      end
    end
  end
  t.eq(outside(w.base), w.before)
  t.ok(fs.stat(w.root), "the root is there")
end)

both("honest paths work, however they are written", function(t, w)
  local root = { root = w.root }
  local whole = w.root .. "/a/b/c.txt"
  for _, path in ipairs { "a/b/c.txt", "./a//b/./c.txt", "a/none/../b/c.txt", whole, w.root .. "//a/../a/b/c.txt" } do
    t.eq(fs.read(path, root), "deep\n", path)
  end
  fs.mkdir("x/y/z", { root = w.root, parents = true })
  fs.mkdir("x/y/z", { root = w.root, parents = true })
  t.raises("os", fs.mkdir, "x/y", root)
  t.raises("os", fs.mkdir, "p/q", root)
  fs.write("x/y/z/f", "one", root)
  fs.write("x/y/z/f", " two", { root = w.root, append = true })
  t.eq(fs.read("x/y/z/f", root), "one two")
  t.raises("os", fs.write, "x/y/z/f", "three", { root = w.root, fresh = true })
  fs.write("x/y/z/g", "three", { root = w.root, fresh = true })
  local entries = fs.list("x/y/z/", root)
  t.eq(entries, { { name = "f", type = "file", size = 7 }, { name = "g", type = "file", size = 5 } })
  local types = {}
  for _, entry in ipairs(fs.list(".", root)) do types[entry.name] = entry.type end
  t.eq({ types.a, types.fifo, types.link_dir, types["plain.txt"] }, { "directory", "fifo", "link", "file" })
  t.eq(fs.stat(".", root).type, "directory")
  t.eq(fs.stat("link_dir", { root = w.root, link = true }).type, "link")
  t.eq(fs.stat("none/none", root), nil)
  t.eq(fs.stat("plain.txt/none", root), nil)
  fs.remove("x", { root = w.root, recursive = true })
  t.eq(fs.stat("x", root), nil)
  t.raises("denied", fs.remove, ".", { root = w.root, recursive = true })
  t.raises("os", fs.remove, "a", root)
end)

both("a refusal names the path, the root and the reason", function(t, w)
  local function said(path)
    return t.raises("denied", fs.read, path, { root = w.root }).message:gsub(w.base:gsub("%p", "%%%0"), "BASE")
  end
  t.eq((said "../x"), 'cannot read "../x": it leads out of the root "BASE/jail"')
  t.eq((said "/etc/passwd"), 'cannot read "/etc/passwd": it is not below the root "BASE/jail"; give a path relative to that')
  local link = "is a symbolic link, and none is followed below the root"
  t.eq((said "./a/link_dir/x"), 'cannot read "./a/link_dir/x": "a/link_dir" ' .. link)
  t.eq((said "link_in"), 'cannot read "link_in": "link_in" ' .. link)
  t.eq((said "fifo"), 'cannot read "fifo": it is a fifo, not a file')
  t.eq((said ""), 'cannot read "": the path is empty')
  t.eq((said "a\0\27b\xFF"), 'cannot read "a\\x00\\x1bb\\xff": a path holds no NUL byte')
end)

both("the same refusal, whether something is there outside or not", function(t, w)
  for _, path in ipairs { "../outside/%s", "link_dir/%s", "a/../../outside/%s", "/etc/%s" } do
    local function said(name)
      local err = t.raises("denied", fs.read, path:format(name), { root = w.root })
      return (err.message:gsub(name:gsub("%.", "%%."), "NAME"))
    end
    t.eq(said "secret.txt", said "nobody.txt")
  end
end)

both("devices are refused, also below a root that holds them", function(t)
  for _, name in ipairs { "null", "zero", "full" } do
    t.raises("denied", fs.read, name, { root = "/dev" })
    t.raises("denied", fs.write, name, EVIL, { root = "/dev" })
    t.raises("denied", fs.write, name, EVIL, { root = "/dev", append = true })
  end
  t.raises("denied", fs.read, "self/status", { root = "/proc" })
  t.raises("denied", fs.read, "fd/0", { root = "/proc/self" })
  t.raises("denied", fs.read, "cwd/README.md", { root = "/proc/self" })
  t.ok(fs.read("status", { root = "/proc/self" }):find("VmRSS", 1, true), "a file without a size")
end)

both("a hard link is replaced, never written through", function(t, w)
  t.eq(fs.read("hard", { root = w.root }), SECRET)
  t.raises("denied", fs.write, "hard", EVIL, { root = w.root, append = true })
  t.eq(outside(w.base), w.before)
  fs.write("hard", EVIL, { root = w.root })
  t.eq(fs.read("hard", { root = w.root }), EVIL)
  t.eq(fs.stat("hard", { root = w.root }).mode, tonumber("640", 8))
  t.eq(fs.stat("hard", { root = w.root }).nlink, 1)
  t.eq(fs.read(w.base .. "/outside/hard.txt"), SECRET)
end)

both("modes: the given one, the one it had", function(t, w)
  fs.write("f", "x", { root = w.root, mode = "0600" })
  fs.write("f", "y", { root = w.root })
  t.eq(fs.stat("f", { root = w.root }).mode, tonumber("600", 8))
  fs.write("f", "y", { root = w.root, mode = "0640" })
  t.eq(fs.stat("f", { root = w.root }).mode, tonumber("640", 8))
end)

both("limits: bytes, and a file of any size below them", function(t, w)
  for _, size in ipairs { 0, 1, 65535, 65536, 65537, 3 << 20 } do
    fs.write("big", ("x"):rep(size), { root = w.root })
    t.ok(fs.read("big", { root = w.root, max = size }) == ("x"):rep(size), size .. " bytes")
  end
  t.raises("limit", fs.read, "big", { root = w.root, max = (3 << 20) - 1 })
  t.raises("limit", fs.read, "status", { root = "/proc/self", max = 10 })
end)

test("a root that is missing, a file, or no path", function(t)
  local w <close> = world()
  t.match(t.raises("os", fs.read, "x", { root = w.base .. "/none" }).message, "the root .*/none\" cannot be opened: no such file")
  t.raises("os", fs.read, "x", { root = w.base .. "/jail.txt" })
  t.raises("argument", fs.read, "x", { root = "" })
  t.raises("argument", fs.read, "x", { root = "a\0b" })
  t.raises("argument", fs.read, "x", { root = 7 })
  t.raises("argument", fs.read, nil, { root = w.root })
  t.raises("argument", fs.write, "x", "y", { fresh = true })
  t.raises("argument", fs.rename, "x", "y", { root = w.root })
  local _, err = effect.perform("fs.rename", { from = "plain.txt", to = "q", root = w.root })
  t.eq(err.kind, "denied")
  t.eq(fs.read("plain.txt", { root = w.base .. "/jail/link_root" }), "plain\n", "the root's own path may hold links")
  t.eq(fs.read("lua/../hostile/paths.lua", { root = "tests" }), fs.read "tests/hostile/paths.lua")
end)

test("the policy judges the whole path, root and all", function(t)
  local w <close> = world()
  local _ <close> = setmetatable({}, { __close = function() policy.set(nil) end })
  policy.set { deny = { path = { w.root .. "/a/**" } } }
  t.match(t.raises("denied", fs.read, "a/b/c.txt", { root = w.root }).message, "the policy denies")
  t.match(t.raises("denied", fs.read, "none/../a/b/c.txt", { root = w.root }).message, "the policy denies")
  t.eq(fs.read("plain.txt", { root = w.root }), "plain\n")
end)

-- ---- while somebody swaps -----------------------------------------------------------------------------------------------------

--- Runs `swap` again and again beside four tasks that call `f`, until those have made `n` calls.
local function race(n, swap, f)
  local done, swaps = 0, 0
  local scope <close> = stoke.scope {}
  local swapper = scope:spawn(function()
    while done < n or swaps < 10 do
      swap()
      swaps = swaps + 1
    end
  end)
  for _ = 1, 4 do
    scope:spawn(function()
      while done < n or swaps < 10 do
        done = done + 1
        f(done)
      end
    end)
  end
  swapper:await()
  scope:wait()
  return swaps
end

local ROUNDS = math.max(100, math.floor(2000 * SCALE))

both("a folder that becomes a link while it is used leads nowhere", function(t, w)
  local root, own, other = { root = w.root }, w.root .. "/dir", w.root .. "/dir_"
  sh([[cd "$1/jail"; mkdir dir dir/sub; echo mine >dir/secret.txt; echo mine >dir/sub/deep.txt; ln -s ../outside link]], w.base)
  local inside, refused = 0, 0
  local swaps = race(ROUNDS, function()
    fs.rename(own, other)
    local function rename(from, to) return effect.perform("fs.rename", { from = from, to = to }) end
    if rename(w.root .. "/link", own) then rename(own, w.root .. "/link") end -- unless a mkdir was faster
    while not rename(other, own) do effect.perform("fs.remove", { path = own, recursive = true }) end
  end, function(i)
    local name = i % 2 == 0 and "dir/secret.txt" or "dir/sub/deep.txt"
    local text, err = effect.perform("fs.read", { path = name, root = w.root })
    if text then inside = inside + 1 else refused = refused + 1 end
    t.eq(text or "mine\n", "mine\n")
    t.ok(not err or err.kind == "denied" or err.kind == "os", tostring(err))
    effect.perform("fs.write", { path = "dir/made.txt", data = EVIL, root = w.root })
    effect.perform("fs.write", { path = "dir/log.txt", data = EVIL, root = w.root, append = true })
    effect.perform("fs.mkdir", { path = "dir/made/deep", root = w.root, parents = true })
    for _, entry in ipairs(effect.perform("fs.list", { path = "dir", root = w.root }) or {}) do
      t.ok(entry.name ~= "hard.txt", "the outside is listed")
    end
    effect.perform("fs.remove", { path = "dir/made", root = w.root, recursive = true })
  end)
  local both_seen = inside > 0 and refused > 0 or ROUNDS <= 100 -- so few may all meet the same
  t.ok(both_seen, ("%d swaps, %d inside, %d refused"):format(swaps, inside, refused))
  t.eq(outside(w.base), w.before)
  t.eq(fs.read("dir/secret.txt", root), "mine\n")
end)

both("a file that becomes a link or a fifo while it is used leads nowhere", function(t, w)
  sh([[cd "$1/jail"; echo mine >file; ln -s ../outside/secret.txt link]], w.base)
  local function name(n) return w.root .. "/" .. n end
  local inside = 0
  local swaps = race(ROUNDS, function()
    for _, other in ipairs { "link", "fifo" } do
      fs.rename(name "file", name "file_")
      fs.rename(name(other), name "file")
      fs.rename(name "file", name(other))
      fs.rename(name "file_", name "file")
    end
  end, function(i)
    local text = effect.perform("fs.read", { path = "file", root = w.root })
    if text then inside = inside + 1 end
    t.ok(text == nil or not text:find(SECRET, 1, true), text)
    if i % 10 == 0 then effect.perform("fs.write", { path = "file", data = EVIL, root = w.root, append = true }) end
  end)
  t.ok(inside > 0, ("%d swaps, %d inside"):format(swaps, inside))
  t.eq(outside(w.base), w.before)
end)

-- ---- cancels ------------------------------------------------------------------------------------------------------------------

both("a cancelled write leaves the old content, no temp file and no descriptor", function(t, w)
  local big = ("x"):rep(20 << 20)
  fs.write("dir", "", { root = w.root })
  fs.remove("dir", { root = w.root })
  fs.mkdir("dir", { root = w.root })
  fs.write("dir/f", "old", { root = w.root })
  for _, seconds in ipairs { 0, 0.001, 0.002, 0.005, 0.01 } do
    local writer = stoke.spawn(function() fs.write("dir/f", big, { root = w.root }) end)
    stoke.sleep(seconds)
    writer:cancel()
    pcall(writer.await, writer)
    stoke.sleep(0.1)
    t.eq(#fs.list("dir", { root = w.root }), 1)
    local size = fs.stat("dir/f", { root = w.root }).size
    t.ok(size == 3 or size == #big, "whole: " .. size)
    if size == #big then fs.write("dir/f", "old", { root = w.root }) end
  end
end)

both("a hundred cancelled at once, of every effect", function(_, w)
  local tasks = {}
  for i = 1, 100 do
    tasks[i] = stoke.spawn(function()
      attempts(w.root, ("a/%d/x"):format(i))
      attempts(w.root, "a/b")
    end)
  end
  stoke.sleep(0.002)
  for _, task in ipairs(tasks) do task:cancel() end
  for _, task in ipairs(tasks) do pcall(task.await, task) end
end)
