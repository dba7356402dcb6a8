-- The programs of others that talk to the binary: where they are, what is served to them, and what they found.
--
--     local place <close> = peers.serving(t, "npm/node_modules/ollama")
--     peers.check(t, { peers.node(), "tests/clients/ollama.mjs", place.url })
--
-- A package that is not there skips its test with words; with PEERS_REQUIRED=1 it fails it.

local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"

local M = {}

--- Where `make peers` puts them.
M.FOLDER = os.getenv "STOKE_PEERS" or "build/peers"

--- The agents that are served.
M.SERVED = "agents/served.lua"

--- What a program under test keeps of our environment.
M.PASSED_ON = { "PATH", "LANG", "TMPDIR", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS" }

--- What every test of a program says: the clock is the real one, and a Python takes seconds to start.
M.REAL = { real = true, timeout = 300 }

--- A path from the top, for a program that runs elsewhere.
function M.absolute(path)
  if path:sub(1, 1) == "/" then return path end
  return proc.run { argv = { "pwd" } }.stdout:gsub("\n$", "") .. "/" .. path
end

--- A path below the folder of the packages, from the top.
function M.path(name) return M.absolute(M.FOLDER) .. "/" .. name end

--- The newer Node.
function M.node() return M.path "node/node_modules/node/bin/node" end

--- The interpreter of the virtual environment.
function M.python() return M.path "py/bin/python" end

--- Skips the test when one of these is not there.
---@param t table
---@param ... string paths below the folder
function M.needs(t, ...)
  for _, name in ipairs { ... } do
    if not fs.stat(M.FOLDER .. "/" .. name) then
      local words = ("%s is not there (make peers fetches it)"):format(M.FOLDER .. "/" .. name)
      if os.getenv "PEERS_REQUIRED" then error(words, 0) end
      t.skip(words)
    end
  end
end

--- A folder that is the home of what runs in it; it goes with the block.
function M.home()
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  return setmetatable({ path = path }, { __close = function() proc.run { argv = { "rm", "-rf", path } } end })
end

--- A port that nobody has now, for programs that cannot take any free one.
function M.free_port()
  local server <close> = http.serve { port = 0, handler = function() end }
  return tonumber(server.url:match ":(%d+)$")
end

--- The binary, serving: its address is a line of its own, behind what the file prints.
---@param ... string the arguments
---@return { url: string, home: string } to be closed
function M.starting(...)
  local home, words = M.home(), { ... }
  for i, word in ipairs(words) do
    if word == M.SERVED then -- its sessions are kept beside it
      words[i] = home.path .. "/served.lua"
      fs.write(words[i], fs.read(word))
    end
  end
  local child = proc.spawn { argv = { about.executable(), table.unpack(words) }, env = { HOME = home.path },
    env_allow = M.PASSED_ON }
  local url
  for line in child:lines() do
    url = line:match "^http://127%.0%.0%.1:%d+%S*$"
    if url then break end
  end
  return setmetatable({ url = url, home = home.path, child = child }, { __close = function()
    child:close()
    local _ <close> = home
  end })
end

--- agents/served.lua on the simulator.
---@param t table
---@param ... string more arguments
---@return { url: string, home: string } to be closed
function M.serving(t, ...)
  local place = M.starting("serve", M.SERVED, "--sim", "--port", "0", ...)
  t.match(place.url, "^http://127%.0%.0%.1:%d+$")
  return place
end

--- Runs a program; its output is its own. Python writes no files beside its sources.
---@param argv string[]
---@param env? table<string, string>
---@param cwd? string
---@return table result of proc.run
function M.run(argv, env, cwd)
  local home <close> = M.home()
  local given = { HOME = home.path, PYTHONDONTWRITEBYTECODE = "1", NO_COLOR = "1", PEERS = M.absolute(M.FOLDER) }
  for name, value in next, env or {} do given[name] = value end
  return proc.run { argv = argv, env = given, env_allow = M.PASSED_ON, timeout = 280, cwd = cwd }
end

--- Runs a program that prints "ok NAME" or "not ok NAME: why" for each of its checks and at last "N of N".
---@param t table
---@param argv string[]
---@param env? table<string, string>
---@param least integer how many checks it has at least
function M.check(t, argv, env, least)
  local result = M.run(argv, env)
  for line in result.stdout:gmatch "[^\n]+" do t.ok(not line:find "^not ok", line) end
  t.eq(result.code, 0, result.stdout .. result.stderr)
  local passed, all = result.stdout:match "(%d+) of (%d+)\n$"
  t.ok(passed and passed == all and tonumber(all) >= least, result.stdout .. result.stderr)
end

return M
