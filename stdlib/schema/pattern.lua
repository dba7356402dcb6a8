--- String patterns for grammars: a small subset of regular expressions that all servers accept.

local M = {}

--- Characters that stand for themselves behind a backslash, and in a class.
local PLAIN = "[%.%+%*%?%(%)%{%}|/,:;@#%%&=!<>~_ ']"

local CLASSES = { d = "0-9", w = "A-Za-z0-9_" }

--- A class from its `[` on; nil where it could let a quote or a line break through.
local function class(text, at)
  local out = { "[" }
  if text:sub(at + 1, at + 1) == "^" then return nil end
  at = at + 1
  while true do
    local c = text:sub(at, at)
    if c == "]" and out[2] then return table.concat(out) .. "]", at + 1 end
    if c == "\\" then
      local escaped = text:sub(at + 1, at + 1)
      c = CLASSES[escaped] or escaped:match(PLAIN)
      at = at + 1
    end
    if not c or c == "" or c:find '[%[%]"\\%c]' then return nil end
    out[#out + 1], at = c, at + 1
  end
end

--- One step of a pattern; nil where a grammar does not know it.
local function step(text, at, most)
  local c = text:sub(at, at)
  if c == "[" then return class(text, at) end
  if c == "\\" then
    local escaped = text:sub(at + 1, at + 1)
    local inside = CLASSES[escaped] or escaped:match(PLAIN) or escaped == "-" and "-"
    return inside and "[" .. inside .. "]", at + 2
  end
  if c == "(" then
    local after = text:match("^%(%?:()", at) or at + 1
    return text:sub(after, after) ~= "?" and "(" or nil, after
  end
  if c == "{" then
    local low, high, after = text:match("^{(%d+),?(%d*)}()", at)
    if not low or tonumber(low) > most or (tonumber(high) or 0) > most then return nil end
    return text:sub(at, after - 1), text:match("^%??()", after)
  end
  if c:find "[%+%*%?]" then return c, text:match("^%??()", at + 1) end
  if c:find '[%.%^%$"%]%}%c]' then return nil end
  return c, at + 1
end

--- A pattern that says the same in the words of a grammar; nil where there is none. It has to hold the whole string.
---@param text string a regular expression
---@param most integer repetitions
---@return string|nil
---
--- Example: `assert(pattern.bindable("^\\d{3}$", 2000) == "^[0-9]{3}$")`
function M.bindable(text, most)
  local body = text:match "^%^(.*)%$$"
  if not body then return nil end
  local out, at, depth = {}, 1, 0
  while at <= #body do
    local piece, after = step(body, at, most)
    if not piece then return nil end
    if piece == "(" then depth = depth + 1 end
    if piece == ")" then depth = depth - 1 end
    if depth < 0 or piece == "|" and depth == 0 then return nil end
    out[#out + 1], at = piece, after
  end
  return depth == 0 and "^" .. table.concat(out) .. "$" or nil
end

return M
