-- The binary from outside, in a folder of its own:
--
--     local here <close> = binary.place { ["a.lua"] = "print(1)" }
--     t.eq(here.run("a.lua").stdout, "1\n")

local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"

local M = {}

-- What a process under test keeps of our environment: how it is built and measured, and nothing of the person's.
M.PASSED_ON = { "PATH", "STOKE_PATH", "STOKE_GC", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" }

-- A folder with these files, which is the home of what runs in it; it goes with the block.
function M.place(files)
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  for name, text in next, files or {} do fs.write(path .. "/" .. name, text) end
  local self = setmetatable({ path = path, env = { HOME = path } }, {
    __close = function() proc.run { argv = { "rm", "-rf", path } } end })
  function self.run(...)
    return proc.run { argv = { about.executable(), ... }, cwd = path, env = self.env, env_allow = M.PASSED_ON, timeout = 60 }
  end
  return self
end

return M
