--- Files as a reader watches them: which one is there, and whether it was written to. Nothing of this is an effect: who looks at
--- what a process did leaves no trace in it.

local fs = require "host.fs"

local M = {}

--- Which file is at a path, as long as it is that one; nil: none.
---@param path string
---@return string|nil
---
--- Example: `if file.at(path) ~= opened_at then reopen() end`
function M.at(path)
  local stat = fs.stat(path)
  return stat and stat.type == "file" and ("%d %d"):format(stat.dev, stat.ino) or nil
end

--- A text that is another one when a database was written to: each write changes the log beside its file.
---@param path string
---@return string
---
--- Example: `if file.token(path) ~= last then look() end`
function M.token(path)
  local parts = {}
  for i, one in ipairs { path, path .. "-wal" } do
    local stat = fs.stat(one)
    parts[i] = stat and ("%d %d %.6f"):format(stat.ino, stat.size, stat.mtime) or "-"
  end
  return table.concat(parts, " ")
end

return M
