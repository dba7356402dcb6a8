-- The lints are tests like any other: a finding fails, and the message says where and how to mend it.
local proc = require "stoke.proc"
local test = require "stoke.test"

-- Each is a name that tests/lint/run.lua takes; selftest breaks every rule on purpose.
local LINTS = {
  luacheck = "luacheck finds nothing in the Lua sources",
  layers = "dependencies point one way: agents, stdlib, lua, host bindings, engines, base",
  circles = "no two files of host/ include each other",
  face = "stdlib sees the listed part of the core, and goes through the door",
  size = "no file is over 600 lines, no function over 60",
  words = "no marks of unfinished work, no paths of one machine; one lua_resume, one lua_pcall",
  docs = "every public function of stdlib says what it does",
  selftest = "the lints find what they should in broken samples",
}

for _, name in ipairs { "luacheck", "layers", "circles", "face", "size", "words", "docs", "selftest" } do
  test(LINTS[name], { real = true }, function(t)
    local r = proc.run { argv = { "lua5.4", "tests/lint/run.lua", name }, stderr = "merge", timeout = 60 }
    t.ok(r.code == 0, "\n" .. r.stdout)
  end)
end
