--- Names of what lives for a moment, and stays behind when its process is killed: whose is it, and may it be removed?
---
--- A name tells the process and its place: another machine or container that shares the folder has numbers of its own.

local env = require "host.env"

local M = {}

local FOLDERS = 300 -- that are remembered
local SMALL = 50    -- entries: a folder that is looked at after each write

local function is_left(pid, place)
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

--- Is this the name of a temp file of ours, whoever made it?
---@param name string without a folder
---@return boolean
function M.is_file(name) return parts(name) ~= nil end

--- Of a temp file whose process has gone.
---@param name string without a folder
---@return boolean
function M.file(name)
  local pid, place = parts(name)
  return pid ~= nil and is_left(pid, place)
end

local due, count = {}, 0 -- folder -> how many more writes go by before it is looked at again

--- Remove the temp files that killed writes left in a folder. Called after a write there, which has succeeded whatever happens
--- here. A large folder is looked at the more seldom the larger it is.
---@param folder string with a slash behind it
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

--- Of a temp folder whose process has gone.
---@param name string without a folder above
---@return boolean
function M.folder(name)
  if name:sub(1, 6) ~= "stoke-" then return false end
  local pid, place = name:match "^stoke%-(%d+)%-(%x%x%x%x%x%x%x%x)%x%x%x%x%x%x%x%x$"
  return pid ~= nil and is_left(pid, place)
end

return M
