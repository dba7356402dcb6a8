--- The text of what was loaded, as it was then: documentation comments are read from it, also when the file has changed since.

local M = {}

local texts = {}

--- Remember the text of a chunk.
---@param chunkname string as debug.getinfo(f, "S").source gives it
---@param text string|nil
function M.remember(chunkname, text) texts[chunkname] = text end

--- The text of a chunk; nil when nobody remembers.
---@param chunkname string
---@return string|nil
function M.text(chunkname) return texts[chunkname] end

--- The text a function was compiled from, and the line it begins at; nil when nobody remembers.
---@param f function
---@return string|nil text
---@return integer|nil line
function M.of(f)
  local info = debug.getinfo(f, "S")
  return texts[info.source], info.linedefined
end

return M
