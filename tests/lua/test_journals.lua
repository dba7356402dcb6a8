-- Journals that earlier versions wrote (tests/journals/VERSION, made by tests/journals/make.lua at each release; 0.1.0-schema-N by
-- what was no release, but had tables of version N; 0.1.0 itself is of version 3): each of them must be done again by this
-- version, with the same effects, requests and result. A change that breaks one breaks runs of users: it needs a migration, never
-- another journal.

local test = require "stoke.test"
local core = require "core.runs"
local fs = require "stoke.fs"
local runs = require "stoke.runs"
local stores = require "host.store"

local ROOT <const> = "tests/journals"

local ENDS <const> = { error = "failed", waits = "waiting" }

-- The store of a version, made from its text.
local function restored(t, folder)
  local path = t.tmp() .. "/state.db"
  local file = assert(stores.open(path, { create = true }))
  assert(file:write("PRAGMA foreign_keys = OFF", {}))
  for statement in fs.read(folder .. "/state.sql"):gmatch "(.-)\n;\n" do assert(file:write(statement, {})) end
  file:close()
  return path
end

-- This process on that store.
local function on(path)
  local before = core.setting
  core.setting = function() return path end
  return setmetatable({}, { __close = function()
    core.leave()
    core.setting = before
  end })
end

local versions = {}
for _, entry in ipairs(fs.list(ROOT)) do
  if entry.type == "directory" and entry.name:find "^%d" then versions[#versions + 1] = entry.name end
end
assert(versions[1], "no journals in " .. ROOT)

for _, version in ipairs(versions) do
  local folder = ROOT .. "/" .. version
  for _, entry in ipairs(fs.list(folder)) do
    local kind = entry.name:match "^(.*)%.run$"
    if kind then
      test(("the run %q of %s is done again, all the same"):format(kind, version), { real = true }, function(t)
        local report = runs.replay(folder .. "/" .. entry.name)
        t.eq({ report.same, report.difference, report.ended, report.state },
          { true, nil, kind ~= "waits", ENDS[kind] or "done" })
        t.ok(report.effects > 0)
      end)
    end
  end

  test(("the store of %s is opened, its runs are listed, shown and done again"):format(version), { real = true }, function(t)
    local path = restored(t, folder)
    local list = runs.list { store = path }
    t.eq(#list, 10) -- one of each kind, and a second child
    for _, run in ipairs(list) do
      t.ok(#runs.show(run.id, { store = path }).records > 0)
      local report = runs.replay(run.id, { store = path })
      t.eq({ run.id, report.same, report.difference }, { run.id, true, nil })
    end
  end)

  test(("a run that waited under %s goes on, and ends"):format(version), { real = true }, function(t)
    local path = restored(t, folder)
    local process <close> = on(path) -- luacheck: ignore
    core.signal("waits", "go", { n = 1 })
    t.eq(core.resume "waits", { "asked", { n = 1 } })
    t.eq(core.find "waits".state, "done")
  end)
end
