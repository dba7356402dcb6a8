-- D14: the library goes through the door as scripts do: the lint finds what opens files, or reads the clock or the environment,
-- beside it.

local test = require "stoke.test"
local proc = require "stoke.proc"

test("a module of the library that uses the raw io or os is a finding", { programs = true }, function(t)
  local code = [[
    package.path = "tests/lint/?.lua;" .. package.path
    local face, found = require "face", {}
    for _, line in ipairs { 'local f = io.open("x")', 'local t = os.time()', 'os.getenv("HOME")', 'local x = fs.read("y")' } do
      face.check("stdlib/made_up.lua", line, function(_, _, what) found[#found + 1] = what end)
    end
    print(table.concat(found, "\n"))]]
  local found = proc.run { argv = { "lua5.4", "-e", code } }.stdout
  t.eq(found, "calls the raw io.open\ncalls the raw os.time\ncalls the raw os.getenv\n")
end)
