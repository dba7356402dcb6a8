--- Names of temporary files and folders, which stay behind when their process is killed: who owns one, and may it be removed?
---
--- A name contains the process id and its place: another machine or container that shares the folder has process ids of its own.

local env = require "host.env"

local M = {}

local FOLDERS = 300 -- remembered at most
local SMALL = 50    -- entries: a folder with fewer is scanned after every write

local function is_orphan(pid, place)
  if place ~= "" and place ~= env.place() then return false end
  return not env.lives(tonumber(pid))
end

--- The process and the place in the name of a temp file: .stoke-PID-COUNT[-pPLACE][-TRY].tmp
local function parts(name)
  if name:sub(1, 7) ~= ".stoke-" then return nil end
  local pid, rest = name:match "^%.stoke%-(%d+)%-%d+([%w-]*)%.tmp$"
  if not pid then return nil end
  local place, try = rest:match "^%-p(%x%x%x%x%x%x%x%x)(.*)$"
  try = try or rest
  if try == "" or try:find "^%-%d+$" then return pid, place or "" end
end

--- Is this the name of one of our temp files, of any process?
---@param name string without a folder
---@return boolean
function M.is_file(name) return parts(name) ~= nil end

--- Is this the name of a temp file whose process is gone?
---@param name string without a folder
---@return boolean
function M.file(name)
  local pid, place = parts(name)
  return pid ~= nil and is_orphan(pid, place)
end

local due, count = {}, 0 -- folder -> writes left until the next scan

--- Remove the temp files that killed writers left in a folder. Called after a successful write there, so errors are ignored. The
--- larger the folder, the less often it is scanned.
---@param folder string with a trailing slash
---@param list fun(path: string): table[]?, stoke.error?
---@param remove fun(path: string): any, stoke.error?
---@param root? string where the folder begins
function M.sweep(folder, list, remove, root)
  local name = root and root .. "\0" .. folder or folder
  local left = due[name]
  if left and left > 0 then
    due[name] = left - 1
    return
  end
  if not left then
    if count >= FOLDERS then due, count = {}, 0 end
    count = count + 1
  end
  local entries = list(folder) or {}
  due[name] = #entries // SMALL
  for _, entry in ipairs(entries) do
    if M.file(entry.name) then remove(folder .. entry.name) end
  end
end

--- Is this the name of a temp folder whose process is gone?
---@param name string without a folder above
---@return boolean
function M.folder(name)
  if name:sub(1, 6) ~= "stoke-" then return false end
  local pid, place = name:match "^stoke%-(%d+)%-(%x%x%x%x%x%x%x%x)%x%x%x%x%x%x%x%x$"
  return pid ~= nil and is_orphan(pid, place)
end

return M
