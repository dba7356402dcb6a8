-- Files that a test loads, edits and reloads:
--
--     local files <close> = reloading { ["lib.lua"] = "return { f = function() return 1 end }" }
--     local lib = require "lib"
--     files.edit("lib.lua", "return { f = function() return 2 end }")      -- written and reloaded: the report
--     local err = files.bad("lib.lua", "return {")                         -- must fail: the error

local environment = require "host.env"
local fs = require "stoke.fs"
local modules = require "core.modules"
local reload = require "stoke.reload"
local script = require "core.script"
local stoke = require "stoke"

local M = {}

local count = 0

--- A new folder.
function M.folder()
  count = count + 1
  local path = ("%s/stoke-reload-%d-%d"):format(os.getenv "TMPDIR" or "/tmp", environment.pid(), count)
  fs.mkdir(path)
  return path
end

local function new(_, given)
  local folder, path_before = M.folder(), package.path
  local files = { path = folder }
  function files.write(name, text) fs.write(folder .. "/" .. name, text) end
  function files.edit(name, text)
    files.write(name, text)
    return reload.all()
  end
  function files.bad(name, text)
    files.write(name, text)
    local _, err = stoke.try(reload.all)
    return assert(err, "the reload did not fail")
  end
  --- Run a file as the script: its body, then f.
  function files.script(name, f)
    script.run_file(folder .. "/" .. name, {}, function(body)
      body()
      f()
    end)
  end
  for name, text in pairs(given) do files.write(name, text) end
  modules.forget(package.loaded)
  package.path = folder .. "/?.lua;" .. path_before
  return setmetatable(files, { __close = function()
    package.path = path_before
    modules.forget(package.loaded)
    fs.remove(folder, { recursive = true })
  end })
end

return setmetatable(M, { __call = new })
