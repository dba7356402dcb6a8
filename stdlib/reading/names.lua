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

--- A name for comparison: letters and digits only, in lower case.
local function folded_name(name) return (name:gsub("[^%w\x80-\xFF]", ""):lower()) end

--- The one of the names that is the same but for case and separators; false where there are several.
local function same(name, names)
  local wanted, found = folded_name(name), nil
  for known in next, names do
    if folded_name(known) == wanted then
      if found then return false end
      found = known
    end
  end
  return found
end

--- A longer name is none.
local LONGEST <const> = 200

--- The tool that is meant where a call is certain: written in another case or with other separators, with a namespace before it, or
--- with what templates put round it (`functions.x`, `x()`, `x<|channel|>`); nil where there is none, or more than one.
---@param name any
---@param names table<string, any> by the names of the tools
---@return string|nil
---
--- Example: `names.meant("Get-Weather", { get_weather = true })`
function M.meant(name, names)
  if type(name) ~= "string" or #name > LONGEST then return nil end
  if names[name] then return name end
  name = name:gsub("<|.*", ""):gsub("%(.*", "")
  while name do
    local found = same(name, names)
    if found ~= nil then return found or nil end
    name = match(name, "[./:](.*)")
  end
end

return M
