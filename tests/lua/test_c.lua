-- Runs the C tests: each tests/c/NAME.c is a program of its own, built as build/c/NAME; exit code 0 is success.
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local test = require "stoke.test"

local build = os.getenv "STOKE_BUILD" or "build"

local function names()
  local found = {}
  if not fs.stat "tests/c" then return found end
  for _, entry in ipairs(fs.list "tests/c") do
    found[#found + 1] = entry.name:match "^(.*)%.c$"
  end
  table.sort(found)
  return found
end

for _, name in ipairs(names()) do
  test("C: " .. name, { real = true }, function(t)
    local r = proc.run { argv = { build .. "/c/" .. name }, stderr = "merge", timeout = 120 }
    t.ok(r.code == 0, ("%s\n%s"):format(r.code and "exit code " .. r.code or r.signal, r.stdout))
  end)
end
