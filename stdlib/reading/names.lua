--- The tool that a name stands for, as a model wrote it.

local M = {}

local match = string.match

--- A tool there is, perhaps with the namespace that some models write before it. What is text to begin with is taken for a call by
--- this alone: a name that is nearly a tool's may as well be a word.
---@param name any
---@param names table<string, any> by the names of the tools
---@return string|nil
---
--- Example: `names.exact("functions.search", { search = true })`
function M.exact(name, names)
  if type(name) ~= "string" then return nil end
  if names[name] then return name end
  local short = match(name, "^functions%.(.+)$") or match(name, "^tools%.(.+)$") or match(name, "^default_api%.(.+)$")
  return short and names[short] and short or nil
end

--- A name as it is compared: letters and digits.
local function bare(name) return (name:gsub("[^%w\x80-\xFF]", ""):lower()) end

--- The tool that is meant where a call is certain: written in another case or with other separators, with what templates put round
--- it (`functions.x`, `x()`, `x<|channel|>`); nil where there is none, or more than one.
---@param name string
---@param names table<string, any> by the names of the tools
---@return string|nil
---
--- Example: `names.meant("Get-Weather", { get_weather = true })`
function M.meant(name, names)
  if #name > 200 then return nil end
  name = name:gsub("<|.*", ""):gsub("%(.*", "")
  while name do
    local wanted, found, count = bare(name), nil, 0
    for known in next, names do
      if bare(known) == wanted then found, count = known, count + 1 end
    end
    if count > 0 then return count == 1 and found or nil end
    name = name:match "[./:](.*)"
  end
end

return M
