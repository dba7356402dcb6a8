--- The entries of earlier sessions. Each is appended to the file at once, as one line, so that a killed session has lost
--- nothing and entries of two sessions do not mix; a newline inside an entry is written as \n. Only its owner may read the file,
--- and entries that look like a secret are left out.

local fs = require "stoke.fs"
local secrets = require "core.secrets"

local M = {}

--- Entries kept; the file may grow to twice as many before it is cut.
M.CAP = 5000

--- Maximum bytes of a saved entry: longer entries are pastes.
local LONG = 64 * 1024

local History = {}
History.__index = History

local function encode(entry) return (entry:gsub("\\", "\\\\"):gsub("\n", "\\n")) end
local function decode(line)
  return (line:gsub("\\(.)", function(c) return c == "n" and "\n" or c end))
end

--- Where it is: STOKE_HISTORY, else XDG_STATE_HOME/stoke/history, else below ~/.local/state; nil without a home, and when
--- STOKE_HISTORY is empty. The others are beside it, their name behind a dash.
---@param name? string of the history: nil for the prompt's own; with a slash it is a path
---@param getenv? fun(name: string): string|nil
---@return string|nil
function M.path(name, getenv)
  getenv = getenv or os.getenv
  local path = getenv "STOKE_HISTORY"
  if path == "" then return nil end
  if name and name:find "/" then return name end
  if not path then
    local state, home = getenv "XDG_STATE_HOME", getenv "HOME"
    if state and state:sub(1, 1) == "/" then
      path = state .. "/stoke/history"
    elseif home and home ~= "" then
      path = home .. "/.local/state/stoke/history"
    else
      return nil
    end
  end
  return name and path .. "-" .. name or path
end

--- The entries without older duplicates, at most CAP, in order.
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

--- A file that its owner alone may read, and its folder.
local function create(path, text)
  local parent = path:match "^(.*)/[^/]*$"
  if parent and parent ~= "" then pcall(fs.mkdir, parent, { parents = true }) end
  return pcall(fs.write, path, text, { mode = "0600", append = text == "" or nil })
end

--- One write at the end of the file, whatever other sessions do. Not through the door: a policy is about the session's work.
local function append(path, line)
  local there = io.open(path, "rb")
  if there then there:close() else create(path, "") end
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
    create(path, "")
    return self
  end
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = decode(line) end
  self.entries = tidy(list)
  local known, stat = pcall(fs.stat, path)
  if #list > 2 * M.CAP then
    local lines = {}
    for i, entry in ipairs(self.entries) do lines[i] = encode(entry) end
    create(path, table.concat(lines, "\n") .. "\n")
  elseif known and stat and text ~= "" and stat.mode & 63 ~= 0 then
    create(path, text) -- of an older version, or made by hand: others could read it
  end
  return self
end

--- Remember an entry, without the blanks it ends with. One that begins with a blank is not written, as in a shell, nor one that
--- looks like a secret.
---@param entry string
---@return boolean written
---@return string|nil why not, for the person to read; nil when that needs no word
function History:add(entry)
  local list = self.entries
  entry = entry:match "^.*%S" or ""
  if entry == "" or list[#list] == entry then return false end
  list[#list + 1] = entry
  if #list > 2 * M.CAP then self.entries = tidy(list) end
  if not self.path or entry:find "^%s" then return false end
  if #entry > LONG then return false, "it is too long" end
  if secrets.like(entry) then return false, "it looks like a secret" end
  local _, problem = append(self.path, encode(entry) .. "\n")
  if problem then
    self.path, self.problem = nil, problem
    return false, problem
  end
  return true
end

return M
