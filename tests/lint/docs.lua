-- Every public function of stdlib says what it does: a `---` comment stands right above it.
local source = require "source"

return {
  name = "docs",
  folders = { "stdlib" },
  endings = { "lua" },
  check = function(path, text, report)
    if path:find "^stdlib/cmd/" then return end -- verbs, documented by their --help
    if path:find "^stdlib/sim/" then return end -- the simulator's inside; no script requires it
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
