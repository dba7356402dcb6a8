--- Lua tokenizer for the prompt: where statements end, and whether the cursor is inside a string.

local M = {}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until
  while]]):gmatch "%S+" do
  KEYWORDS[word] = true
end
M.keywords = KEYWORDS

local function string_end(text, at, quote)
  local i = at + 1
  while i <= #text do
    local char = text:sub(i, i)
    if char == quote then return i, true end
    if char == "\n" then return i - 1, true end
    i = i + (char == "\\" and 2 or 1)
  end
  return #text, false
end

local function long_end(text, at, level)
  local _, stop = text:find("]" .. level .. "]", at, true)
  return stop or #text, stop ~= nil
end

local OPERATORS = { "...", "..", "==", "~=", "<=", ">=", "//", "<<", ">>", "::" }

--- The token at `at`: kind ("name", "keyword", "number", "string", "comment", "op"), its last byte, and whether it is closed.
local function token(text, at)
  if text:find("^%-%-", at) then
    local level = text:match("^%[(=*)%[", at + 2)
    if level then
      local stop, closed = long_end(text, at, level)
      return "comment", stop, closed
    end
    return "comment", (text:find("\n", at, true) or #text + 1) - 1, true
  end
  local word = text:match("^[%a_][%w_]*", at)
  if word then return KEYWORDS[word] and "keyword" or "name", at + #word - 1, true end
  if text:find("^%.?%d", at) then
    local number = text:match("^0[xX][%x.]*[pP]?[+-]?%x*", at) or text:match("^[%d.]+[eE][+-]?%d*", at) or text:match("^[%d.]+", at)
    return "number", at + #number - 1, true
  end
  local level = text:match("^%[(=*)%[", at)
  if level then
    local stop, closed = long_end(text, at, level)
    return "string", stop, closed
  end
  local quote = text:match("^[\"']", at)
  if quote then
    local stop, closed = string_end(text, at, quote)
    return "string", stop, closed
  end
  for _, op in ipairs(OPERATORS) do
    if text:sub(at, at + #op - 1) == op then return "op", at + #op - 1, true end
  end
  return "op", at, true
end

---@class stoke.repl.token
---@field kind "name"|"keyword"|"number"|"string"|"comment"|"op"
---@field text string
---@field start integer
---@field stop integer
---@field closed boolean false: a string or comment that goes on

--- All tokens of a text; comments are left out unless `comments` is true.
---@param text string
---@param comments? boolean
---@return stoke.repl.token[]
function M.list(text, comments)
  local out, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return out end
    local kind, stop, closed = token(text, at)
    if kind ~= "comment" or comments then
      out[#out + 1] = { kind = kind, text = text:sub(at, stop), start = at, stop = stop, closed = closed }
    end
    at = stop + 1
  end
end

return M
