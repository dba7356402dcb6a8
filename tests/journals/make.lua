-- Writes the journals of this version: `build/stoke tests/journals/make.lua`, at each release, before the tag. It makes
-- tests/journals/VERSION with one exported run of each kind and the store they were in, as SQL text, and files/VERSION.tar.gz with
-- the files of other kinds. What is there stays for ever:
-- tests/lua/test_journals.lua does each of them again, in every later version.

local db = require "stoke.db"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

local ANSWERS <const> = [[return { { tool = "get_weather", args = { city = "Oslo" } }, "Take one.", "Once upon a time, in Oslo." }]]

-- A database as text: statements, with a line ";" behind each.
local function dump(path)
  local file <close> = db.open(path, { readonly = true })
  local out = { "PRAGMA user_version = " .. file:one("PRAGMA user_version").user_version,
    "PRAGMA application_id = " .. file:one("PRAGMA application_id").application_id }
  for _, object in ipairs(file:query [[SELECT name, type, sql FROM sqlite_schema
      WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY type DESC, name]]) do
    out[#out + 1] = object.sql
    if object.type == "table" then
      local columns = {}
      for i, column in ipairs(file:query(("SELECT name FROM pragma_table_xinfo('%s') WHERE hidden = 0"):format(object.name))) do
        columns[i] = ('"%s"'):format(column.name)
      end
      local quoted = {}
      for i, column in ipairs(columns) do quoted[i] = ("quote(%s)"):format(column) end
      local values = table.concat(quoted, " || ',' || ")
      for _, row in ipairs(file:query(('SELECT %s AS "values" FROM "%s"'):format(values, object.name))) do
        out[#out + 1] = ('INSERT INTO "%s" (%s) VALUES (%s)'):format(object.name, table.concat(columns, ","), row.values)
      end
    end
  end
  return table.concat(out, "\n;\n") .. "\n;\n"
end

-- What files.lua makes, packed.
local function pack(stoke_bin, here, version)
  local work = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  fs.write(work .. "/files.lua", fs.read(here .. "/files.lua"))
  local made = proc.run { argv = { stoke_bin, "files.lua", "--sim", "--spans" }, cwd = work, env = { HOME = work },
    stderr = "inherit" }
  if made.code ~= 0 then stoke.raise("internal", "files.lua failed") end
  local archive = ("%s/files/%s.tar.gz"):format(here, version)
  local packed = proc.run { argv = { "tar", "--exclude=.local", "--exclude=*-lock", "--exclude=files.lua", "-czf", archive,
    "-C", work, "." }, stderr = "inherit" }
  if packed.code ~= 0 then stoke.raise("internal", "tar failed") end
  fs.remove(work, { recursive = true })
end

stoke.main(function()
  local here = "tests/journals"
  local stoke_bin = proc.run { argv = { "realpath", "build/stoke" } }.stdout:gsub("\n$", "")
  local version = proc.run { argv = { stoke_bin, "--version" } }.stdout:match "%d+%.%d+%.%d+"
  local target = here .. "/" .. version
  local work = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  fs.write(work .. "/kinds.lua", fs.read(here .. "/kinds.lua"))
  fs.write(work .. "/answers.lua", ANSWERS)
  local function run(...)
    return { argv = { stoke_bin, ... }, cwd = work, env = { HOME = work, OLLAMA_HOST = "127.0.0.1:9" }, stderr = "inherit" }
  end
  do -- it is killed while one run waits
    local host <close> = proc.spawn(run("kinds.lua", "--sim=answers.lua"))
    local shown = ""
    while not shown:find "ready" do
      shown = shown .. (host:read(nil, "stdout") or stoke.raise("internal", "it ended too early: " .. shown))
    end
    host:kill "KILL"
  end
  fs.mkdir(target, { parents = true })
  for _, kind in ipairs { "agent", "stream", "race", "parent", "child", "signal", "database", "error", "waits" } do
    local export = proc.run(run("export", kind, kind .. ".run"))
    if export.code ~= 0 then stoke.raise("internal", "stoke export " .. kind .. " failed") end
    fs.write(("%s/%s.run"):format(target, kind), fs.read(("%s/%s.run"):format(work, kind)))
  end
  fs.write(target .. "/state.sql", dump(work .. "/.stoke/state.db"))
  fs.remove(work, { recursive = true })
  pack(stoke_bin, here, version)
  print("written: " .. target)
end)
