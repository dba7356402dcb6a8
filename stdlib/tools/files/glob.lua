--- Globs for names of files, as shells and git have them: `*` and `?` within a name, `[a-z]`, and `**` for any folders between; a
--- pattern without a slash is about the last name alone. Patterns of a policy are stricter, and have no classes: lua/glob.lua.

local M = {}

--- Does the class `[...]` that begins at `p` fit the character? Returns that, and where the pattern goes on; nil when it never
--- closes, so that the bracket is an ordinary character.
local function class(pattern, p, char)
  local at, found = p + 1, false
  local negated = pattern:find("^[!^]", at) ~= nil
  if negated then at = at + 1 end
  local first = at
  while at <= #pattern and (at == first or pattern:sub(at, at) ~= "]") do
    local low, high = pattern:sub(at, at), pattern:match("^%-([^%]])", at + 1)
    if char >= low and char <= (high or low) then found = true end
    at = at + (high and 3 or 1)
  end
  if at > #pattern then return nil end
  return found ~= negated, at + 1
end

--- Where the pattern goes on when its item at `p` takes this character; nil when it does not.
local function take(pattern, p, char)
  local item = pattern:sub(p, p)
  if item == "?" then return p + 1 end
  if item == "[" then
    local fits, behind = class(pattern, p, char)
    if fits ~= nil then return fits and behind or nil end
  end
  return item == char and p + 1 or nil
end

--- One name. The last star is the only one worth going back to, so this stays fast for any pattern.
local function name_fits(name, pattern)
  local n, p, star, mark = 1, 1, nil, nil
  local chars = {}
  for char in name:gmatch "[\0-\x7F\xC2-\xFD]?[\x80-\xBF]*" do
    if char ~= "" then chars[#chars + 1] = char end
  end
  while n <= #chars do
    local behind = p <= #pattern and pattern:sub(p, p) ~= "*" and take(pattern, p, chars[n]) or nil
    if not behind and #chars[n] > 1 and pattern:sub(p, p + #chars[n] - 1) == chars[n] then behind = p + #chars[n] end
    if behind then
      n, p = n + 1, behind
    elseif pattern:sub(p, p) == "*" then
      star, mark, p = p, n, p + 1
    elseif star then
      mark = mark + 1
      n, p = mark, star + 1
    else
      return false
    end
  end
  return pattern:find("^%**$", p) ~= nil
end

local function parts(text)
  local out = {}
  for part in text:gmatch "[^/]+" do out[#out + 1] = part end
  return out
end

--- Does a path fit a glob? One without a slash is about the last name alone.
---@param path string relative
---@param glob string
---@return boolean
---
--- Example: `assert(glob.fits("src/net/http.lua", "src/**/*.lua"))`
function M.fits(path, glob)
  local names, patterns = parts(path), parts(glob)
  if not glob:find("/", 1, true) and glob ~= "**" then return name_fits(names[#names] or "", glob) end
  local n, p, star, mark = 1, 1, nil, nil
  while n <= #names do
    local pattern = patterns[p]
    if pattern == "**" then
      star, mark, p = p, n, p + 1
    elseif pattern and name_fits(names[n], pattern) then
      n, p = n + 1, p + 1
    elseif star then
      mark = mark + 1
      n, p = mark, star + 1
    else
      return false
    end
  end
  while patterns[p] == "**" do p = p + 1 end
  return p > #patterns
end

return M
