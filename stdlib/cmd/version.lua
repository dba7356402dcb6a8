-- stoke version [--json]

local about = require "core.about"
local args = require "stoke.args"
local json = require "core.json"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke version", summary = "Print the version.",
  examples = { { "stoke version", "" }, { "stoke version --json", "its libraries, too" } },
  options = { { "json", type = "boolean", help = "versions of stoke and of its libraries as JSON" } },
}

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local v = about.versions()
  if a.json then
    stdio.write(json.encode(v) .. "\n")
  else
    stdio.write("stoke " .. v.stoke .. "\n")
  end
end
