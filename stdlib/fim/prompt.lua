--- Prompts that ask for what belongs at the cursor, pure: what is kept of a long text, and the form of each family.

local place = require "stoke.fim.place"

local M = {}

---@class stoke.fim.file another file that may help
---@field path string
---@field text string

--- The end of a text, at most so many bytes, from the beginning of a line if it can be.
---@param text string
---@param bytes integer
---@return string
---
--- Example: `prefix = prompt.tail(prefix, 4000)`
function M.tail(text, bytes)
  if #text <= bytes then return text end
  if bytes <= 0 then return "" end
  local from = #text - bytes + 1
  if text:byte(from - 1) ~= 10 then
    local lf = text:find("\n", from, true)
    if lf and lf < #text then return text:sub(lf + 1) end
    while from <= #text and text:byte(from) & 0xC0 == 0x80 do from = from + 1 end -- no half of a character
  end
  return text:sub(from)
end

--- The beginning of a text, at most so many bytes, to the end of a line if it can be.
---@param text string
---@param bytes integer
---@return string
---
--- Example: `suffix = prompt.head(suffix, 1000)`
function M.head(text, bytes)
  if #text <= bytes then return text end
  if bytes <= 0 then return "" end
  for at = bytes, 2, -1 do
    if text:byte(at) == 10 then return text:sub(1, at) end
  end
  while bytes > 0 and text:byte(bytes + 1) & 0xC0 == 0x80 do bytes = bytes - 1 end
  return text:sub(1, bytes)
end

--- A text in which the family's own tokens are none: a space stands in them.
local function plain(text, family)
  for _, token in ipairs { family.before, family.between, family.after, family.repo or "", family.file or "",
    table.unpack(family.stop) } do
    local word = token:match "^%s*(.-)%s*$"
    local at = word ~= "" and word ~= "+++++" and text:find(word, 1, true)
    while at do
      text = text:sub(1, at) .. " " .. text:sub(at + 1)
      at = text:find(word, at + #word + 1, true)
    end
  end
  return text
end

--- Other files as comments of the language, each under its path.
---@param files stoke.fim.file[]
---@param language string|nil
---@return string
---
--- Example: `local context = prompt.comments({ { path = "a.py", text = "x = 1" } }, "python")`
function M.comments(files, language)
  local mark, out = place.comment(language), {}
  for _, file in ipairs(files) do
    out[#out + 1] = mark .. " " .. file.path .. "\n"
    for line in (file.text .. "\n"):gmatch "([^\n]*)\n" do out[#out + 1] = (mark .. " " .. line):match "^(.-)%s*$" .. "\n" end
  end
  return table.concat(out)
end

--- Other files in the family's own form, and where the path of this one belongs.
local function files_of(family, q)
  local out = {}
  if family.repo and q.repo then out[1] = family.repo .. q.repo .. (family.inside and "" or "\n") end
  for _, file in ipairs(q.files) do
    local path = family.path and plain(file.path, family) .. "\n" or ""
    out[#out + 1] = family.file == "+++++ " and family.file .. path .. plain(file.text, family) .. "\n\n"
      or family.path and not family.inside and family.file .. path .. plain(file.text, family) .. "\n"
      or family.path and family.file .. path .. plain(file.text, family)
      or plain(file.text, family) .. family.file
  end
  return table.concat(out)
end

--- The whole prompt of a family.
---@param family stoke.fim.family
---@param q { prefix: string, suffix: string, files: stoke.fim.file[], path?: string, repo?: string, language?: string }
---@return string
---
--- Example: `local text = prompt.render(families.named "refact", { prefix = "f(", suffix = ")", files = {} })`
function M.render(family, q)
  local before, behind, front = plain(q.prefix, family), plain(q.suffix, family), ""
  if q.files[1] and family.file then
    front = files_of(family, q)
    local path = family.path and q.path and plain(q.path, family) .. "\n"
    if path and family.suffix_first then
      before, front = front .. family.file .. path .. before, ""
    elseif path and family.inside then
      before, front = path .. before, front .. family.file
    elseif path then
      front = front .. family.file .. path
    end
  elseif q.files[1] then
    before = plain(M.comments(q.files, q.language), family) .. before
  end
  if family.suffix_first then return family.between .. behind .. family.before .. before .. family.after end
  return front .. family.before .. before .. family.between .. behind .. family.after
end

--- What fits into so many bytes: of what precedes the cursor the end, of what follows it the beginning, and of other files as many
--- as there is room for. A side that needs less than its part leaves the rest to the other.
---@param q { prefix: string, suffix: string, files: stoke.fim.file[] } and other fields, which stay
---@param bytes integer
---@return table q another one
---
--- Example: `q = prompt.fit(q, 6000)`
function M.fit(q, bytes)
  local out = {}
  for name, value in next, q do out[name] = value end
  local others = 0
  for _, file in ipairs(q.files) do others = others + #file.text + #file.path + 8 end
  local room = bytes - math.min(others, bytes // 5)
  local behind = math.min(#q.suffix, math.max(room // 4, room - #q.prefix))
  out.suffix = M.head(q.suffix, behind)
  out.prefix = M.tail(q.prefix, room - #out.suffix)
  local left = bytes - #out.suffix - #out.prefix
  out.files = {}
  for _, file in ipairs(q.files) do
    local space = left - #file.path - 8
    if space <= 0 then break end
    local text = M.head(file.text, space)
    if text ~= "" then out.files[#out.files + 1] = { path = file.path, text = text } end
    left = space - #text
  end
  return out
end

return M
