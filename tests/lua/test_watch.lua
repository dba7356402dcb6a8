-- stoke.fs.watch: every way to write a file is told, and nothing is left behind.

local test = require "stoke.test"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local reloading = require "reloading"
local stoke = require "stoke"

local REAL = { real = true }

local function sh(script, ...) return proc.run { argv = { "sh", "-c", script, "sh", ... }, timeout = 10 } end

--- What is told until nothing comes for a while.
local function told(watch)
  local seen, list = {}, {}
  local path = watch:next(2)
  while path do
    if not seen[path] then list[#list + 1] = path end
    seen[path] = true
    path = watch:next(0.1)
  end
  table.sort(list)
  return list
end

local WAYS = {
  { "in place", 'echo 2 > "$1"' },
  { "by a rename over it", 'echo 2 > "$1.tmp" && mv "$1.tmp" "$1"' },
  { "removed and made again", 'rm "$1"; echo 2 > "$1"' },
  { "appended to", 'echo 2 >> "$1"' },
  { "moved away and written anew", 'mv "$1" "$1~"; echo 2 > "$1"' },
  { "removed", 'rm "$1"' },
}

for _, way in ipairs(WAYS) do
  test("watch: a file that is " .. way[1], REAL, function(t)
    local folder = reloading.folder()
    local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
    local path = folder .. "/a.txt"
    fs.write(path, "1")
    fs.write(folder .. "/other.txt", "1")
    local watch <close> = fs.watch(path)
    sh('echo 2 > "$1"', folder .. "/other.txt")
    sh(way[2], path)
    t.eq(told(watch), { path })
  end)
end

test("watch: a file that does not exist yet, a folder, and the target of a link", REAL, function(t)
  local folder = reloading.folder()
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  fs.mkdir(folder .. "/in")
  fs.mkdir(folder .. "/real")
  fs.write(folder .. "/real/target", "1")
  sh('ln -s "$1/real/target" "$1/link"', folder)
  local watch <close> = fs.watch { folder .. "/later", folder .. "/in", folder .. "/link" }
  fs.write(folder .. "/later", "1")
  t.eq(told(watch), { folder .. "/later" })
  sh('echo 1 > "$1/in/a b"', folder)
  t.eq(told(watch), { folder .. "/in/a b" })
  sh('echo 2 > "$1/real/target"', folder)
  t.eq(told(watch), { folder .. "/link" })
  sh('rm "$1/link"; ln -s /dev/null "$1/link"', folder)
  t.eq(told(watch), { folder .. "/link" })
end)

test("watch: a folder that is gone and comes back is looked at meanwhile", REAL, function(t)
  local folder = reloading.folder()
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  local path = folder .. "/sub/a"
  local watch <close> = fs.watch(path) -- its folder does not exist
  fs.mkdir(folder .. "/sub")
  fs.write(path, "1")
  t.eq(told(watch), { path })
  sh('echo 2 > "$1"', path)
  t.eq(told(watch), { path })
  sh('rm -r "$1/sub"', folder)
  t.eq(told(watch), { path })
  sh('mkdir "$1/sub"; echo 3 > "$1/sub/a"', folder)
  t.eq(told(watch), { path })
end)

test("watch: more changes than are kept are told as the folder", REAL, function(t)
  local folder = reloading.folder()
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  local watch <close> = fs.watch(folder)
  sh('i=0; while [ $i -lt 600 ]; do : > "$1/f$i"; i=$((i+1)); done', folder)
  stoke.sleep(0.2)
  local list, everything = told(watch), false
  for _, path in ipairs(list) do everything = everything or path == folder end
  t.ok(everything or #list == 600, #list .. " told")
end)

test("watch: waiting ends with the time, a cancel, a close by another task, and the scope", REAL, function(t)
  local folder = reloading.folder()
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  local watch = fs.watch(folder)
  t.eq(watch:next(0.02), false)
  local waiting = stoke.spawn(function() return watch:next() end)
  stoke.sleep(0.02)
  waiting:cancel()
  t.raises("cancelled", waiting.await, waiting)
  watch = fs.watch(folder)
  local other = stoke.spawn(function() return "ended", watch:next() end)
  stoke.sleep(0.02)
  t.raises("argument", watch.next, watch) -- one at a time
  watch:close()
  t.eq({ other:await() }, { "ended", nil })
  t.eq(watch:next(), nil)
  do
    local scope <close> = stoke.scope {}
    scope:spawn(function() for path in fs.watch(folder) do t.fail(path) end end)
    stoke.sleep(0.02)
  end
  for _ = 1, 50 do fs.watch { folder, folder .. "/x" }:close() end
end)

test("watch: as an iterator, left by break", REAL, function()
  local folder = reloading.folder()
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  local writer = stoke.spawn(function()
    stoke.sleep(0.05)
    fs.write(folder .. "/x", "1")
  end)
  for path in fs.watch(folder) do
    if path == folder .. "/x" then break end
  end
  writer:await()
end)

test("watch: what is no path is refused, and a policy is asked about each", function(t)
  t.raises("argument", fs.watch)
  t.raises("argument", fs.watch, {})
  t.raises("argument", fs.watch, { "a", 1 })
  t.raises("argument", fs.watch, "")
  local watch <close> = fs.watch "."
  t.raises("argument", watch.next, watch, "x")
  t.raises("argument", watch.next)
  stoke.policy { deny = { path = { "**/secret" } } }
  local ok, err = pcall(fs.watch, { "a", "secret" })
  stoke.policy(nil)
  t.eq({ ok, err.kind }, { false, "denied" })
end)
