--- Top-level `local` statements of an entry: which names they declare, and where they end. The entry has been compiled before, so
--- it is known to be Lua.

local tokens = require "stoke.repl.tokens"

local M = {}

local OPENS = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }
local BRACKETS = { ["("] = ")", ["["] = "]", ["{"] = "}" }
local UNARY = { ["-"] = true, ["#"] = true, ["~"] = true, ["not"] = true }
local BINARY = { ["and"] = true, ["or"] = true }
for op in ("+ - * / // % ^ .. == ~= <= >= < > & | ~ << >>"):gmatch "%S+" do BINARY[op] = true end

--- Index behind the bracket or block that begins at i.
local function skip_nested(list, i)
  local depth = 0
  repeat
    local t = list[i]
    if not t then return i end
    local word = t.kind ~= "string" and t.text
    if word and (OPENS[word] or BRACKETS[word]) then depth = depth + 1
    elseif word and (CLOSES[word] or word == ")" or word == "]" or word == "}") then depth = depth - 1 end
    i = i + 1
  until depth == 0
  return i
end

--- Index behind one expression: operands with what is called on them, joined by operators.
local function skip_expression(list, i)
  while true do
    while list[i] and list[i].kind ~= "string" and UNARY[list[i].text] do i = i + 1 end
    local t = list[i]
    if not t then return i end
    if t.text == "function" or (t.kind == "op" and BRACKETS[t.text]) then i = skip_nested(list, i) else i = i + 1 end
    if t.kind == "name" or t.text == "(" then
      local suffix = list[i]
      while suffix do
        if suffix.kind == "string" then i = i + 1
        elseif suffix.text == "." or suffix.text == ":" then i = i + 2
        elseif suffix.kind == "op" and BRACKETS[suffix.text] then i = skip_nested(list, i)
        else break end
        suffix = list[i]
      end
    end
    if not (list[i] and list[i].kind ~= "string" and BINARY[list[i].text]) then return i end
    i = i + 1
  end
end

--- A `local` statement whose word is at i.
local function declaration(list, i)
  if list[i + 1].text == "function" then
    return { names = { list[i + 2].text }, const = {} }, skip_nested(list, i + 1)
  end
  local found, at = { names = {}, const = {} }, i + 1
  while true do
    local name = list[at].text
    at = at + 1
    local attribute
    if list[at] and list[at].text == "<" then
      attribute = list[at + 1].text
      at = at + 3
    end
    if attribute ~= "close" and name ~= "_" then -- closed at the end of its entry; `_` is a throwaway name
      found.names[#found.names + 1] = name
      found.const[name] = attribute == "const" or nil
    end
    if not (list[at] and list[at].text == ",") then break end
    at = at + 1
  end
  if list[at] and list[at].text == "=" then
    repeat at = skip_expression(list, at + 1) until not (list[at] and list[at].text == ",")
  end
  return found, at
end

--- The declarations at the top level of a text, in order.
---@param text string
---@return { names: string[], const: table<string, boolean>, stop: integer }[] stop: last byte of the statement
function M.find(text)
  local list, out, i, depth = tokens.list(text), {}, 1, 0
  while list[i] do
    local t = list[i]
    local word = t.kind == "keyword" and t.text
    if word == "local" and depth == 0 then
      local found, behind = declaration(list, i)
      found.stop = list[behind - 1].stop
      out[#out + 1] = found
      i = behind
    else
      if OPENS[word] then depth = depth + 1 elseif CLOSES[word] then depth = depth - 1 end
      i = i + 1
    end
  end
  return out
end

return M
