-- Reading sources for the lints: lists of files, and text with comments or strings blanked out, line breaks kept.
local M = {}

---Files below the given folders whose names match one of the endings, sorted.
---@param folders string[]
---@param endings string[] as "c", "h", "lua"
---@return string[]
function M.files(folders, endings)
  local names = {}
  for _, e in ipairs(endings) do names[#names + 1] = ("-name '*.%s'"):format(e) end
  local found = {}
  for _, folder in ipairs(folders) do
    local p = assert(io.popen(("find %s -type f \\( %s \\) 2>/dev/null"):format(folder, table.concat(names, " -o "))))
    for path in p:lines() do found[#found + 1] = path end
    p:close()
  end
  table.sort(found)
  return found
end

function M.read(path)
  local f = io.open(path, "rb")
  if not f then return nil end -- gone since it was listed
  local text = f:read "a"
  f:close()
  return text
end

local function blank(text) return (text:gsub("[^\n]", " ")) end

-- Where the token that begins at `i` ends, and what it is; nil for ordinary code.
local function lua_token(s, i)
  local two = s:sub(i, i + 1)
  if two == "--" then
    local level = s:match("^%[(=*)%[", i + 2)
    if level then return "comment", select(2, s:find("]" .. level .. "]", i, true)) or #s end
    return "comment", (s:find("\n", i, true) or #s + 1) - 1
  end
  local level = s:match("^%[(=*)%[", i)
  if level then return "string", select(2, s:find("]" .. level .. "]", i, true)) or #s end
  local quote = s:match("^[\"']", i)
  if not quote then return nil end
  local j = i + 1
  while j <= #s and s:sub(j, j) ~= quote and s:sub(j, j) ~= "\n" do j = j + (s:sub(j, j) == "\\" and 2 or 1) end
  return "string", math.min(j, #s)
end

local function c_token(s, i)
  local two = s:sub(i, i + 1)
  if two == "/*" then return "comment", select(2, s:find("*/", i + 2, true)) or #s end
  if two == "//" then return "comment", (s:find("\n", i, true) or #s + 1) - 1 end
  local quote = s:match("^[\"']", i)
  if not quote then return nil end
  local j = i + 1
  while j <= #s and s:sub(j, j) ~= quote and s:sub(j, j) ~= "\n" do j = j + (s:sub(j, j) == "\\" and 2 or 1) end
  return "string", math.min(j, #s)
end

---The text without its comments, and, unless `strings` is true, without the contents of its strings.
---@param path string decides the language
---@param text string
---@param strings boolean? keep them
---@return string
function M.code(path, text, strings)
  local token = path:find "%.lua$" and lua_token or c_token
  local out, i = {}, 1
  while i <= #text do
    local plain = text:match("^[^%-%[/\"']+", i)
    if plain then
      out[#out + 1], i = plain, i + #plain
    else
      local kind, stop = token(text, i)
      if not kind then
        out[#out + 1], i = text:sub(i, i), i + 1
      else
        local piece = text:sub(i, stop)
        out[#out + 1] = (kind == "string" and strings) and piece or blank(piece)
        i = stop + 1
      end
    end
  end
  return table.concat(out)
end

---Iterates over (line number, line).
function M.lines(text)
  local n, at = 0, 1
  return function()
    if at > #text then return nil end
    local stop = text:find("\n", at, true) or #text + 1
    local line = text:sub(at, stop - 1)
    n, at = n + 1, stop + 1
    return n, line
  end
end

return M
