-- The official JavaScript client (npm: ollama) talks to `stoke sim` unchanged: tests/npm/client.mjs.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"

local PASSED_ON = { "PATH", "HOME", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" }
local FOLDER = os.getenv "STOKE_NPM" or "build/npm"

local function has_node()
  local ok, result = pcall(proc.run, { argv = { "node", "--version" } })
  local major = ok and result.code == 0 and tonumber(result.stdout:match "^v(%d+)")
  return major and major >= 18
end

test("npm: the ollama client talks to the simulator unchanged", { real = true, timeout = 110 }, function(t)
  if not has_node() then t.skip "there is no node, 18 or later" end
  if not fs.stat(FOLDER .. "/node_modules/ollama/package.json") then
    t.skip(("the npm package ollama is not in %s (make npm fetches it)"):format(FOLDER))
  end
  local server = proc.spawn { argv = { about.executable(), "sim", "--port", "0", "--load-seconds", "0.05",
    "--model", "qwen2.5:3b", "--model", "qwen3:4b", "--model", "nomic-embed-text", "--model", "slow,tps=20" },
    env_allow = PASSED_ON }
  local guard <close> = setmetatable({}, { __close = function() server:close() end })
  local url = t.ok(server:lines()(), "stoke sim tells its address")
  t.match(url, "^http://127%.0%.0%.1:%d+$")
  local result = proc.run { argv = { "node", "tests/npm/client.mjs", url, FOLDER }, env_allow = { "PATH", "HOME" }, timeout = 100 }
  for line in result.stdout:gmatch "[^\n]+" do t.ok(not line:find "^not ok", line) end
  t.eq(result.code, 0, result.stdout .. result.stderr)
  local passed, all = result.stdout:match "(%d+) of (%d+)\n$"
  t.ok(passed and passed == all and tonumber(all) >= 15, result.stdout)
end)
