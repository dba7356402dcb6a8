--- Which tool a model means by a name that is nearly one: written in another case or with other separators, with a namespace before
--- it (`functions.x`) or with what templates put round it (`x()`, `x<|channel|>`).

local M = {}

local next, type = next, type

--- A longer name is none.
local LONGEST <const> = 200

--- A name as it is compared: letters and digits.
local function bare(name) return (name:gsub("[^%w\x80-\xFF]", ""):lower()) end

--- The one of the names that is the same but for case and separators; false where there are several.
local function same(name, names)
  local wanted, found = bare(name), nil
  for known in next, names do
    if bare(known) == wanted then
      if found then return false end
      found = known
    end
  end
  return found
end

--- The tool that a name stands for.
---@param name any
---@param names table<string, any> the tools there are, by name
---@return string|nil name nil where there is none, or more than one
---
--- Example: `names.resolve("functions.getWeather", { get_weather = true })  --> "get_weather"`
function M.resolve(name, names)
  if type(name) ~= "string" or #name > LONGEST then return nil end
  if names[name] then return name end
  name = name:gsub("<|.*", ""):gsub("%(.*", "")
  while name do
    local found = same(name, names)
    if found ~= nil then return found or nil end
    name = name:match "[./:](.*)"
  end
end

return M
