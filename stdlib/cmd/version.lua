-- stoke version [--json]

local about = require "core.about"
local json = require "core.json"
local stdio = require "core.stdio"

---@param argv string[]
return function(argv)
  local v = about.versions()
  if argv[1] == "--json" then
    stdio.write(json.encode(v) .. "\n")
  else
    stdio.write("stoke " .. v.stoke .. "\n")
  end
end
