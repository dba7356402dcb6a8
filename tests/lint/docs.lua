-- Every public function of stdlib says what it does: a `---` comment stands right above it.
local source = require "source"

-- Folders that no script requires from: the verbs (documented by their --help) and the insides of modules.
local INTERNAL = { "^stdlib/cmd/", "^stdlib/sim/", "^stdlib/ollama/", "^stdlib/test/" }

local function any_of(patterns, path)
  for _, p in ipairs(patterns) do
    if path:find(p) then return true end
  end
  return false
end

return {
  name = "docs",
  folders = { "stdlib" },
  endings = { "lua" },
  check = function(path, text, report)
    if any_of(INTERNAL, path) then return end
    local above = ""
    for n, line in source.lines(text) do
      local name = line:match "^function%s+M[.:]([%w_.:]+)" or line:match "^M%.([%w_]+)%s*=%s*function"
      if name and not name:find "^_" and not above:find "^%-%-%-" then
        report(path, n, ("M.%s has no comment"):format(name),
               "say what it does, with ---@param and ---@return, on the lines right above")
      end
      above = line
    end
  end,
}
