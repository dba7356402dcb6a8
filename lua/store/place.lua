--- Where the host's own file is.

local env = require "host.env"
local fs = require "host.fs"

local M = {}

--- Where the file is unless somebody says: `.stoke/state.db` beside the script; where there is none, below the state folder of the
--- user. Where the user has none, the present folder's.
---@param script? string path of the script; nil: there is none
---@return string path
function M.path(script)
  if script then
    local folder = script:match "^(.*/)[^/]*$" or ""
    return folder .. ".stoke/state.db"
  end
  local base, home = env.get "XDG_STATE_HOME", env.get "HOME"
  if base and base:sub(1, 1) == "/" then return base .. "/stoke/state.db" end
  if home and home:sub(1, 1) == "/" then return home .. "/.local/state/stoke/state.db" end
  return M.path "./x"
end

--- Is there one that a script would open? Looks, and opens nothing.
---@param script? string path of the script
---@param setting? string the path that the settings give
---@return boolean
function M.is_there(script, setting)
  local stat = fs.stat(setting or M.path(script and script ~= "-" and script or "./x"))
  return stat ~= nil and stat.type == "file"
end

return M
