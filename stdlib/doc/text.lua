--- Renders documentation for the terminal.

local library = require "stoke.doc.library"
local term = require "stoke.term"

local M = {}

--- Break a text at blanks.
local function wrap(text, columns)
  local out, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and term.width(line) + 1 + term.width(word) > columns then
      out[#out + 1], line = line, word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  if line ~= "" then out[#out + 1] = line end
  return out
end

--- Break a type at blanks, and behind the marks between its parts.
local function wrap_type(text, columns)
  local out, line = {}, ""
  for part in text:gsub("[|,]+ ?", "%0\0"):gmatch "[^\0]+" do
    for piece in part:gmatch "%S+%s*" do
      if line ~= "" and term.width((line .. piece):match "^(.-)%s*$") > columns then
        out[#out + 1], line = line:match "^(.-)%s*$", piece
      else
        line = line .. piece
      end
    end
  end
  if line ~= "" then out[#out + 1] = line:match "^(.-)%s*$" end
  return out
end

local function add_wrapped(out, text, columns, indent, hanging)
  for i, line in ipairs(wrap(text, math.max(columns - #(hanging or indent), 20))) do
    out[#out + 1] = (i > 1 and hanging or indent) .. line
  end
end

local HELD = "\u{A0}" -- a no-break space: as wide as a blank, and not a place to break a line

--- A line's code, where blanks in strings are held so that nothing breaks there, and its comment.
local function read_code(line)
  local quote, from
  local text = line:gsub("()(\\?.)", function(at, char)
    if from then return "" end
    if not quote and at > 1 and line:find("^%s%-%-", at - 1) then
      from = at
      return ""
    end
    if quote and char == quote then quote = nil elseif not quote and (char == '"' or char == "'") then quote = char end
    return quote and char == " " and HELD or nil
  end)
  if quote then return line, "" end -- no string after all: prose
  return text, from and line:sub(from) or ""
end

--- A line of code, broken where it is too long for the screen and Lua may still read it: not in a string; a comment that does not
--- fit goes on as a comment.
local function add_code(out, line, columns)
  local indent = line:match "^%s*"
  if term.width(line) <= columns then
    out[#out + 1] = line
    return
  end
  local typed, about = line:match "^(%s*stoke%s.-)%s+#%s+(.*)$" -- what is typed at a shell
  if typed then
    out[#out + 1] = typed
    for _, part in ipairs(wrap(about, columns - #indent - 6)) do out[#out + 1] = indent .. "    # " .. part end
    return
  end
  local code, comment = read_code(line)
  for i, part in ipairs(wrap(code, columns - #indent - 4)) do
    out[#out + 1] = indent .. (i > 1 and "    " or "") .. part:gsub(HELD, " ")
  end
  for _, part in ipairs(wrap(comment:gsub("^%-+%s*", ""), columns - #indent - 7)) do
    out[#out + 1] = indent .. (code:find "%S" and "    " or "") .. "-- " .. part
  end
end

--- Fills paragraphs and indents list items; indented text stays unchanged.
local function add_description(out, text, columns, indent)
  local paragraph = {}
  local function flush()
    local filled = table.concat(paragraph, " ")
    if filled ~= "" then add_wrapped(out, filled, columns, indent, filled:find "^%- " and indent .. "  ") end
    paragraph = {}
  end
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    if line == "" then
      flush()
      out[#out + 1] = ""
    elseif line:find "^%s%s" then
      flush()
      add_code(out, indent .. line, columns)
    else
      if line:find "^%- " then flush() end
      paragraph[#paragraph + 1] = line
    end
  end
  flush()
end

local function row(out, name, kind, description, columns, indent)
  local head = indent .. name .. "  " .. kind
  if term.width(head) > columns then
    local hanging = indent .. (" "):rep(4)
    out[#out + 1] = indent .. name
    for _, line in ipairs(wrap_type(kind, math.max(columns - #hanging, 20))) do out[#out + 1] = hanging .. line end
    if description ~= "" then add_wrapped(out, description, columns, hanging .. "  ") end
  elseif description == "" then
    out[#out + 1] = head
  elseif term.width(head) + 2 + term.width(description) <= columns then
    out[#out + 1] = head .. "  " .. description
  else
    out[#out + 1] = head
    add_wrapped(out, description, columns, indent .. "    ")
  end
end

--- The fields of a class, those of its parents first.
local function all_fields(class)
  local out = {}
  local parent = class.parent and library.classes()[class.parent]
  if parent then out = all_fields(parent) end
  return table.move(class.fields, 1, #class.fields, #out + 1, out)
end

--- The options that a parameter takes, where its type is a class of fields alone.
local function add_options(out, kind, columns, indent)
  for name in library.types(kind) do
    local class = library.classes()[name]
    if class and #class.methods == 0 then
      for _, field in ipairs(all_fields(class)) do
        row(out, field.name .. (field.optional and "?" or ""), field.type, field.description, columns, indent)
      end
    end
  end
end

local function add_call(out, entry, columns)
  for _, param in ipairs(entry.params) do
    row(out, param.name .. (param.optional and "?" or ""), param.type, param.description, columns, "  ")
    add_options(out, param.type, columns, "      ")
  end
  for _, result in ipairs(entry.returns) do row(out, "->", result.type, result.description, columns, "  ") end
  if entry.raises then add_wrapped(out, "raises " .. entry.raises, columns, "  ") end
end

local function summary(text) return text:gsub("\n", " "):match "^(.-%.)%s" or text:match "^[^\n]*" end

local function add_list(out, entries, columns)
  for _, entry in ipairs(entries) do
    local head = "  " .. (entry.signature:match "^(.-)%s%->" or entry.signature)
    local about = summary(entry.description)
    if 36 + term.width(about) <= columns and #head <= 34 then
      out[#out + 1] = head .. (" "):rep(34 - #head) .. "  " .. about
    else
      for i, line in ipairs(wrap_type(head:sub(3), columns - 6)) do out[#out + 1] = (i > 1 and "      " or "  ") .. line end
      add_wrapped(out, about, columns, (" "):rep(columns >= 72 and 36 or 8))
    end
  end
end

--- The methods of the object that a module makes when it is called: without them its help would not say how to use it.
local function made_methods(call)
  local result = call and call.returns[1]
  local class = result and library.classes()[result.type]
  return class and class.methods or {}
end

--- The blocks of a text, an empty line between any two.
local function blocks(entry, columns, colour)
  local list = {}
  local function block(fill)
    local out = {}
    fill(out)
    while out[1] == "" do table.remove(out, 1) end
    if #out > 0 then list[#list + 1] = table.concat(out, "\n") end
  end
  block(function(out)
    for i, line in ipairs(wrap_type(entry.signature, columns - 4)) do
      out[#out + 1] = (i > 1 and "    " or "") .. term.paint("bold", line, colour)
    end
    if entry.parent then out[#out + 1] = "  has all fields of " .. entry.parent end
  end)
  block(function(out) add_description(out, entry.description, columns, "  ") end)
  if entry.call then
    block(function(out)
      out[1] = "  " .. term.paint("bold", entry.call.signature, colour)
      add_description(out, entry.call.description, columns, "  ")
      add_call(out, entry.call, columns)
    end)
  end
  block(function(out) add_call(out, entry, columns) end)
  block(function(out)
    for _, field in ipairs(entry.fields or {}) do
      row(out, field.name .. (field.optional and "?" or ""), field.type, field.description, columns, "  ")
    end
  end)
  block(function(out) add_list(out, entry.methods or made_methods(entry.call), columns) end)
  block(function(out) add_list(out, entry.entries or {}, columns) end)
  local example = entry.example or entry.call and entry.call.example
  if example and not entry.description:find(example:match "[^\n]*", 1, true) then
    block(function(out)
      local code = {}
      for line in (example .. "\n"):gmatch "([^\n]*)\n" do add_code(code, "    " .. line, columns) end
      for _, line in ipairs(code) do out[#out + 1] = "    " .. term.paint("green", line:sub(5), colour) end
    end)
  end
  block(function(out) out[1] = "  " .. term.paint("dim", entry.where, colour) end)
  return list
end

--- The text of an entry.
---@param entry stoke.doc.entry
---@param columns integer
---@param colour? boolean
---@return string
---
--- Example: `print(text.entry(doc.find "http.get", 80))`
function M.entry(entry, columns, colour)
  return table.concat(blocks(entry, math.max(columns, 40), colour or false), "\n\n") .. "\n"
end

return M
