-- docs/gallery.md tells what the agents print: made anew it is the same.

local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local test = require "stoke.test"

test("the gallery is what the agents print now (make gallery writes it anew)", { real = true, timeout = 120 }, function(t)
  local r = proc.run { argv = { about.executable(), "tests/gallery/make.lua" }, timeout = 100,
    env = { STOKE_BIN = about.executable(), PATH = os.getenv "PATH", HOME = t.tmp() } }
  t.eq(r.code, 0, r.stderr)
  t.eq(r.stdout, fs.read "docs/gallery.md")
end)
