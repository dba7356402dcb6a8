-- The lints are broken on purpose here: each sample must be found at its line, and each good one must pass.
local SAMPLES = {
  -- lint, path, text, the line that must be reported (nil: none)
  { "layers", "agents/a.lua", 'local fs = require "core.fs"\n', 1 },
  { "layers", "agents/a.lua", 'local s = require("stoke")\nlocal j = require "cjson"\n', nil },
  { "layers", "stdlib/x.lua", '\nlocal x = require("host.net")\n', 2 },
  { "layers", "stdlib/x.lua", 'local x = require "core.net" -- not require "host.net"\n', nil },
  { "layers", "stdlib/x.lua", 'local ok, x = pcall(require, "host.net")\n', 1 },
  { "layers", "stdlib/x.lua", 'local x = package.loaded["host.net"]\n', 1 },
  { "layers", "stdlib/x.lua", "local x = require [[host.net]]\n", 1 },
  { "layers", "stdlib/x.lua", 'local room = "host."\nlocal x = require(room .. "net")\n', 1 },
  { "layers", "lua/x.lua", "local x = require 'stoke.http'\n", 1 },
  { "layers", "lua/boot.lua", 'require "stoke.cmd"\nrequire "stoke.http"\n', 2 },
  { "layers", "lua/driver/x.lua", 'local x = require "host.net"\n', nil },
  { "layers", "host/net/lines.c", '#include "lines.h"\n#include <lauxlib.h>\n', 2 },
  { "layers", "host/net/lines.c", "void f(void) {\n  lua_pushnil(L);\n}\n", 2 },
  { "layers", "host/net/net_curl.c", '#include <curl/curl.h>\n#include "loop/task.h"\n', 2 },
  { "layers", "host/net/lines.c", '#include "../loop/task.h"\n', 1 },
  { "layers", "host/net/lines.c", '#include "../../host/loop/task.h"\n', 1 },
  { "layers", "host/net/net.c", '#include "net.h"\n#include "loop/binding.h"\n', 2 },
  { "layers", "host/loop/mem.c", '#include "net/net.h"\n', 1 },
  { "layers", "host/loop/task.c", '#include "bind/bind_fs.h"\n', 1 },
  { "layers", "host/sys/fs.c", '#include "loop/host.h"\n#include "net/net.h"\n', 2 },
  { "layers", "host/sys/proc.c", '#include "loop/host.h"\n#include "fence/sandbox.h"\n', 2 },
  { "layers", "host/x.c", '#include "loop/host.h"\n#include "json/json.h"\n', 2 },
  { "layers", "host/tools/x.c", '\n', 1 },
  { "layers", "host/bind/net.c", "#include <lauxlib.h>\n#include <curl/curl.h>\n", 2 },
  { "layers", "host/bind/net.c", '#include <lua.h>\n#include "loop/op.h"\n#include "net/net.h"\n', nil },
  { "face", "stdlib/x.lua", 'local e = require "core.effect"\nlocal f = require "core.fifo"\n', 2 },
  { "face", "stdlib/x.lua", 'local d = require "core.driver.fs"\n-- io.open("x")\n', nil },
  { "face", "stdlib/x.lua", '\nlocal f = io.open("x")\n', 2 },
  { "face", "stdlib/config.lua", 'local f = io.open("x")\n', nil },
  { "lazy", "stdlib/x.lua", 'local fs = require "stoke.fs"\nlocal function f()\n  return require "stoke.args"\nend\n', 3 },
  { "lazy", "stdlib/x.lua", 'local late = { f = require "stoke.args" }\n', 1 },
  { "lazy", "stdlib/x.lua", 'function M.f() return require "stoke.doc" end -- require "stoke.args"\n', nil },
  { "words", "host/loop/op.c", "/* lua_resume(L) in a comment */\nint n = lua_resume(L, NULL, 0, &m);\n", 2 },
  { "words", "host/loop/task.c", "a = lua_resume(L);\nb = lua_resume(L);\n", 2 },
  { "words", "host/loop/task.c", "a = lua_resume(L);\n", nil },
  { "words", "host/bind/x.c", "return lua_pcall(L, 0, 0, 0);\n", 1 },
  { "words", "lua/x.lua", "-- TO" .. "DO: more\n", 1 },
  { "words", "lua/x.lua", 'f "/ho' .. 'me/me/x"\n', 1 },
  { "words", "lua/x.lua", "-- see net/home/ and mkstempXXXXXX\n", nil },
  { "docs", "stdlib/x.lua", "---Does.\nfunction M.a() end\nfunction M.b() end\n", 3 },
  { "docs", "stdlib/x.lua", "---Does.\nfunction M.a() end\nlocal function b() end\n", nil },
  { "size", "lua/x.lua", "\n" .. ("x = 1\n"):rep(600), 601 },
  { "size", "lua/x.lua", "local function f()\n" .. ("  if x then y() end\n"):rep(59) .. "end\n", 1 },
  { "size", "lua/x.lua", "local function f()\n" .. ("  for i = 1, 2 do y() end\n"):rep(58) .. "end\n", nil },
  { "size", "host/x.c", "\nstatic int f(int a,\n             int b) {\n" .. ("  g();\n"):rep(58) .. "}\n", 2 },
  { "size", "host/x.c", "static int f(int a) {\n" .. ("  g();\n"):rep(58) .. "}\n", nil },
  { "size", "host/x.c", "static const int t[] = {\n" .. ("  1,\n"):rep(80) .. "};\n", nil },
}

---Returns the list of samples that went wrong, after printing them.
return function()
  local wrong = {}
  for i, s in ipairs(SAMPLES) do
    local first
    require(s[1]).check(s[2], s[3], function(_, line) first = first or line end)
    if first ~= s[4] then
      wrong[#wrong + 1] = i
      print(("tests/lint/selftest.lua: sample %d (%s, %s) reported line %s, should be %s"):format(
        i, s[1], s[2], tostring(first), tostring(s[4])))
    end
  end
  return wrong
end
