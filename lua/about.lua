--- Build information of this binary, and the id of this process.
local about = require "host.about"
about.pid = require "host.env".pid

--- Internal modules whose names look public: parts of the command line, the prompt and the runtime. The documentation does not
--- list them, and they may change between releases.
local INTERNAL = {}
for name in ("approve attach cmd doc inspect reading repl show"):gmatch "%l+" do INTERNAL["stoke." .. name] = true end

--- Modules below others that scripts use by name: those of a module that hands its members out when they are asked for.
local BELOW <const> = { ["stoke.team.stop"] = true }

--- The public modules, sorted.
---@return string[]
function about.public()
  local out = {}
  for _, name in ipairs(about.modules()) do
    if (name == "stoke" or name:find "^stoke%.%l+$" or BELOW[name]) and not INTERNAL[name] then out[#out + 1] = name end
  end
  return out
end

return about
