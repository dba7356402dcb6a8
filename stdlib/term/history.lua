--- The entries of earlier sessions. Each is written at once, as one line at the end of the file, so that a killed session has
--- lost nothing and two sessions do not mix their entries; a line's end inside an entry is written as \n.

local fs = require "stoke.fs"

local M = {}

--- Entries kept; the file may grow to twice as many before it is cut.
M.CAP = 5000

local History = {}
History.__index = History

local function encode(entry) return (entry:gsub("\\", "\\\\"):gsub("\n", "\\n")) end
local function decode(line)
  return (line:gsub("\\(.)", function(c) return c == "n" and "\n" or c end))
end

--- Where it is: XDG_STATE_HOME/stoke/history, else below ~/.local/state; nil without a home.
---@param getenv? fun(name: string): string|nil
---@return string|nil
function M.path(getenv)
  getenv = getenv or os.getenv
  local state = getenv "XDG_STATE_HOME"
  if state and state:sub(1, 1) == "/" then return state .. "/stoke/history" end
  local home = getenv "HOME"
  return home and home ~= "" and home .. "/.local/state/stoke/history" or nil
end

--- The newest of what is there twice, at most CAP, in order.
local function tidy(list)
  local seen, out = {}, {}
  for i = #list, 1, -1 do
    local entry = list[i]
    if not seen[entry] and #out < M.CAP then
      seen[entry] = true
      out[#out + 1] = entry
    end
  end
  for i = 1, #out // 2 do out[i], out[#out + 1 - i] = out[#out + 1 - i], out[i] end
  return out
end

--- One write at the end of the file, whatever other sessions do. Not through the door: a policy is about the session's work.
local function append(path, line)
  local file, problem = io.open(path, "ab")
  if not file then return nil, problem end
  file:setvbuf("full", #line + 1)
  local written, failed = file:write(line)
  local closed, why = file:close()
  return written and closed, failed or why
end

--- Read the file. What cannot be read is empty: a prompt without a history is still one.
---@param path string|nil
---@return table history .entries, oldest first
function M.open(path)
  local self = setmetatable({ path = path, entries = {} }, History)
  if not path then return self end
  local ok, text = pcall(fs.read, path)
  if not ok then
    pcall(fs.mkdir, path:match "^(.*)/", { parents = true })
    pcall(fs.write, path, "", { append = true, mode = "0600" })
    return self
  end
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = decode(line) end
  self.entries = tidy(list)
  if #list > 2 * M.CAP then
    local lines = {}
    for i, entry in ipairs(self.entries) do lines[i] = encode(entry) end
    pcall(fs.write, path, table.concat(lines, "\n") .. "\n")
  end
  return self
end

--- Remember an entry. One that begins with a blank is not written, as in a shell.
---@param entry string
function History:add(entry)
  local list = self.entries
  if not entry:find "%S" or list[#list] == entry then return end
  list[#list + 1] = entry
  if #list > 2 * M.CAP then self.entries = tidy(list) end
  if not self.path or entry:find "^%s" then return end
  local _, problem = append(self.path, encode(entry) .. "\n")
  if problem then self.path, self.problem = nil, problem end
end

return M
