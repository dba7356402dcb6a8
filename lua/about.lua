--- What this binary is made of, and which process it is.
local about = require "host.about"
about.pid = require "host.env".pid

--- Modules that look like a script's, but are parts of the command line, of the prompt or of the runtime: no documentation
--- lists them, and they may change from one release to the next.
local OWN = {}
for name in ("approve attach cmd doc inspect reading repl show"):gmatch "%l+" do OWN["stoke." .. name] = true end

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
