--- Build information of this binary, and the id of this process.
local about = require "host.about"
local errors = require "core.errors"
about.pid = require "host.env".pid

--- Internal modules whose names look public: parts of the command line, the prompt and the runtime. The documentation does not
--- list them, and they may change between releases.
local INTERNAL = {}
for name in ("approve attach cmd doc inspect reading repl show"):gmatch "%l+" do INTERNAL["stoke." .. name] = true end

--- Modules below others that scripts use by name: those of a module that hands its members out when they are asked for.
local BELOW <const> = { ["stoke.team.stop"] = true }

--- The program that runs, as a process of its own, what is jailed: this one.
---@return string|nil path
---@return stoke.error|nil err `denied` inside another program that did not say where stoke is
function about.helper()
  local path = about.executable()
  if path then return path end
  return nil, errors.new("denied", "a sandbox needs the program stoke, and the program that holds libstoke did not name it",
    { hint = "stoke_options.program is its path" })
end

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
