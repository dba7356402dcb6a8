-- Files of other kinds that earlier versions wrote (tests/journals/files/VERSION.tar.gz, made by tests/journals/files.lua): this
-- version opens each of them, finds what is in it, and goes on with it. One of a newer version is refused, in words.

local about = require "core.about"
local db = require "stoke.db"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local test = require "stoke.test"

local ROOT <const> = "tests/journals/files"

-- What opened.lua finds in each, where the version wrote it.
local FOUND <const> = {
  ["notes.vectors"] = { 3, "milk", "tape" },
  ["ada.memory"] = { 3, "Ada prefers tea to coffee." },
  ["bob.memory"] = { 1, "Bob keeps bees." },
  ["people.graph"] = { "Ada", "Charles", "the engine", "Mary" },
  ["docs.notes"] = { "install.md", true },
  ["town.world"] = { 50, 100, 50, "Hello" },
  ["adverts.study"] = { 6 },
  [".stoke/queue.db"] = { "job 2", "b.txt" },
  [".stoke/traces.db"] = { true, true },
  [".stoke/cache.db"] = { true },
  [".stoke/state.db"] = { 2, 4, 4, 5 },
}

local function unpacked(t, name)
  local folder = t.tmp()
  local r = proc.run { argv = { "tar", "-xzf", ROOT .. "/" .. name, "-C", folder }, stderr = "merge" }
  t.eq({ r.code, r.stdout }, { 0, "" })
  fs.write(folder .. "/opened.lua", fs.read "tests/journals/opened.lua")
  return folder
end

local function opened(folder)
  return proc.run { argv = { about.executable(), "opened.lua", "--sim" }, cwd = folder, timeout = 60,
    env = { HOME = folder, PATH = os.getenv "PATH" } }
end

local archives = {}
for _, entry in ipairs(fs.list(ROOT)) do archives[#archives + 1] = entry.name end
assert(archives[1], "no files in " .. ROOT)

for _, archive in ipairs(archives) do
  test(("the files of %s are opened, and gone on with"):format(archive:gsub("%.tar%.gz$", "")), { real = true }, function(t)
    local folder = unpacked(t, archive)
    local expected = {}
    for path, found in pairs(FOUND) do
      if fs.stat(folder .. "/" .. path) then expected[path] = found end
    end
    t.ok(expected[".stoke/state.db"])
    local r = opened(folder)
    t.eq(r.code, 0, r.stderr)
    t.eq(json.decode(r.stdout), expected)
  end)
end

test("a file of a newer version is refused, and stays as it is", { real = true }, function(t)
  local newer = {
    [".stoke/state.db"] = { "INSERT INTO migrations VALUES (99, 0, '9.0.0')", "was written by a newer stoke" },
    [".stoke/queue.db"] = { "UPDATE about SET version = 99", "was written by a newer stoke" },
    ["town.world"] = { "UPDATE world SET format = 99", "its tables are of version 99" },
  }
  local folder = unpacked(t, "0.1.0.tar.gz")
  local before = {}
  for path, change in pairs(newer) do
    do
      local file <close> = db.open(folder .. "/" .. path)
      file:exec(change[1])
      file:exec "PRAGMA wal_checkpoint(TRUNCATE)"
    end
    before[path] = fs.read(folder .. "/" .. path)
  end
  local r = opened(folder)
  t.eq(r.code, 0, r.stderr)
  for path, found in pairs(json.decode(r.stdout)) do
    if newer[path] then
      t.contains(found[1], newer[path][2])
      t.ok(fs.read(folder .. "/" .. path) == before[path], path .. " was changed")
    end
  end
end)
