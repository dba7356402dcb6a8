--- What this binary is made of, and which process it is.
local about = require "host.about"
about.pid = require "host.env".pid

--- Modules that look like a script's, but are of the command line or of the runtime.
local OWN = { ["stoke.cmd"] = true, ["stoke.approve"] = true, ["stoke.show"] = true, ["stoke.reading"] = true }

--- The modules that scripts require, sorted.
---@return string[]
function about.public()
  local out = {}
  for _, name in ipairs(about.modules()) do
    if (name == "stoke" or name:find "^stoke%.%l+$") and not OWN[name] then out[#out + 1] = name end
  end
  return out
end

return about
