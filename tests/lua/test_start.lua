-- What a start costs: libraries are opened when they are first needed, and a missing one is told by name.

local test = require "stoke.test"
local about = require "core.about"
local binary = require "binary"
local fs = require "stoke.fs"
local proc = require "stoke.proc"

-- Prints, of the libraries that can wait, those that are in the process.
local TELL = [[
local function tell(when)
  local seen = {}
  for line in io.lines "/proc/self/maps" do
    for _, name in ipairs { "libcurl", "libmicrohttpd", "libcrypto", "libsqlite3" } do
      if line:find("/" .. name, 1, true) then seen[name] = true end
    end
  end
  local names = {}
  for name in pairs(seen) do names[#names + 1] = name end
  table.sort(names)
  print(when .. ": " .. table.concat(names, " "))
end
]]

local function lazy(name, f)
  test(name, { real = true, timeout = 60 }, function(t)
    if about.linked or not fs.stat "/proc/self/maps" then return end -- linked: they are there from the start
    f(t)
  end)
end

lazy("a script that asks nobody, and serves nobody, opens no library for it", function(t)
  local here <close> = binary.place { ["a.lua"] = TELL .. [[
    local stoke = require "stoke"
    stoke.sleep(0)
    stoke.proc.run { argv = { "true" } }
    stoke.fs.write("x", stoke.json.encode { 1 })
    stoke.agent { model = "m", tools = { stoke.tools.calculator() } }
    tell "none"]] }
  t.eq(here.run("a.lua").stdout, "none: \n")
end)

lazy("a request opens the library of requests alone; a server that of servers", function(t)
  local here <close> = binary.place { ["a.lua"] = TELL .. [[
    local stoke = require "stoke"
    stoke.try(stoke.http.get, "http://127.0.0.1:9/")
    tell "asked"]], ["b.lua"] = TELL .. [[
    local server <close> = require "stoke".http.serve { port = 0, handler = function() end }
    tell "serves"]] }
  t.eq(here.run("a.lua").stdout, "asked: libcrypto libcurl\n") -- that one needs it
  t.eq(here.run("b.lua").stdout, "serves: libmicrohttpd\n")
end)

lazy("requests within the process open none", function(t)
  local here <close> = binary.place { ["a.lua"] = TELL .. [[
    local stoke = require "stoke"
    local server <close> = stoke.http.serve { mem = "here", handler = function() return "yes" end }
    tell(stoke.http.get("http://here.mem/").body)]] }
  t.eq(here.run("a.lua").stdout, "yes: \n")
end)

lazy("a library that is not there is told by name, with its package, where it is needed", function(t)
  local here <close> = binary.place { ["ask.lua"] = 'require "stoke".http.get "http://127.0.0.1:9/"',
    ["serve.lua"] = 'require "stoke".http.serve { port = 0, handler = print }', ["none.lua"] = "print(1)" }
  fs.mkdir(here.path .. "/lib")
  for _, name in ipairs { "libcurl.so.4", "libmicrohttpd.so.12" } do fs.write(here.path .. "/lib/" .. name, "no library") end
  local function run(script)
    return proc.run { argv = { about.executable(), script }, cwd = here.path, env_allow = binary.PASSED_ON, timeout = 60,
      env = { HOME = here.path, LD_LIBRARY_PATH = here.path .. "/lib" } }
  end
  t.eq(run("none.lua").stdout, "1\n")
  local r = run "ask.lua"
  t.eq(r.code, 1)
  t.match(r.stderr, "^stoke: os: HTTP requests need libcurl: .*libcurl%.so%.4")
  t.match(r.stderr, "hint: install the package libcurl4")
  t.match(run("serve.lua").stderr, "serving HTTP needs libmicrohttpd: .*\n.*hint: install the package libmicrohttpd12")
end)

test("what is left out of our bytecode is not what errors tell: parameters have their names, instructions their lines", function(t)
  local raise = require "core.errors".raise
  t.eq({ debug.getlocal(raise, 1), debug.getlocal(raise, 2) }, { "kind", "message" })
  local info = debug.getinfo(raise, "SL")
  t.match(info.source, "^@stoke:lua/errors%.lua$")
  t.ok(next(info.activelines) >= info.linedefined)
end)
