--- Names of what lives for a moment, and stays behind when its process is killed: whose is it, and may it be removed?
---
--- A name tells the process and its place: another machine or container that shares the folder has numbers of its own.

local env = require "host.env"

local M = {}

local function is_left(pid, place)
  if place ~= "" and place ~= env.place() then return false end
  return not env.lives(tonumber(pid))
end

--- Is this the name of a temp file of ours, whoever made it?
---@param name string without a folder
---@return boolean
function M.is_file(name) return name:find "^%.stoke%-%d[%w-]*%.tmp$" ~= nil end

--- Of a temp file whose process has gone.
---@param name string without a folder
---@return boolean
function M.file(name)
  if name:sub(1, 7) ~= ".stoke-" then return false end
  local pid, rest = name:match "^%.stoke%-(%d+)([%w-]*)%.tmp$"
  return pid ~= nil and is_left(pid, rest:match "%-p(%x+)" or "")
end

--- Of a temp folder whose process has gone.
---@param name string without a folder above
---@return boolean
function M.folder(name)
  if name:sub(1, 6) ~= "stoke-" then return false end
  local pid, place = name:match "^stoke%-(%d+)%-(%x%x%x%x%x%x%x%x)%x%x%x%x%x%x%x%x$"
  return pid ~= nil and is_left(pid, place)
end

--- Of anything that says where it was made.
---@param pid integer
---@param place string
---@return boolean
function M.owner(pid, place) return is_left(pid, place) end

return M
