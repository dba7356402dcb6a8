--- Renders documentation as Markdown: an entry, a module, the whole reference.

local library = require "stoke.doc.library"

local M = {}

--- Text outside of code: what Markdown would take for something else.
local function plain(text)
  local out = {}
  for piece, code in (text .. "``"):gmatch "([^`]*)(`?[^`]*`)" do
    out[#out + 1] = piece:gsub("[*_<>|%[%]]", "\\%0")
    out[#out + 1] = code
  end
  return (table.concat(out):gsub("``$", ""))
end

--- A description: indented code becomes a fence.
local function description(text, fence)
  local out, code = {}, nil
  local function flush()
    if not code then return end
    while code[#code] == "" do code[#code] = nil end
    out[#out + 1] = ("```%s\n%s\n```"):format(fence, table.concat(code, "\n"))
    code = nil
  end
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local deep = line:match "^    (.*)$" or line:match "^  (.*)$"
    if deep and (code or line:find "^    " or out[#out] == "") then
      code = code or {}
      code[#code + 1] = deep
    elseif line == "" and code then
      code[#code + 1] = ""
    else
      flush()
      out[#out + 1] = plain(line)
    end
  end
  flush()
  return table.concat(out, "\n")
end

local function item(name, kind, text)
  local head = name and ("- `%s` `%s`"):format(name, kind) or ("- `%s`"):format(kind)
  return text ~= "" and head .. ": " .. plain(text) or head
end

local function add_items(out, list, title, nameless)
  if not list or #list == 0 then return end
  out[#out + 1] = title
  local lines = {}
  for i, one in ipairs(list) do
    lines[i] = item(not nameless and one.name .. (one.optional and "?" or "") or nil, one.type, one.description)
  end
  out[#out + 1] = table.concat(lines, "\n")
end

local function add_call(out, entry)
  if entry.description ~= "" then out[#out + 1] = description(entry.description, "lua norun") end
  add_items(out, entry.params, "Parameters:")
  add_items(out, entry.returns, "Returns:", true)
  if entry.raises then out[#out + 1] = "Raises " .. plain(entry.raises) .. "." end
  if entry.example and not entry.description:find(entry.example:match "[^\n]*", 1, true) then
    out[#out + 1] = ("```lua norun\n%s\n```"):format(entry.example)
  end
end

local function add_function(out, entry, level)
  out[#out + 1] = ("%s `%s`"):format(level, entry.signature)
  add_call(out, entry)
end

local function add_class(out, class)
  out[#out + 1] = ("### Class `%s`"):format(class.name)
  if class.parent then out[#out + 1] = ("All of `%s`, and:"):format(class.parent) end
  if class.description ~= "" then out[#out + 1] = description(class.description, "lua norun") end
  add_items(out, class.fields, "Fields:")
  for _, method in ipairs(class.methods) do add_function(out, method, "####") end
end

local function add_module(out, entry)
  out[#out + 1] = ("## %s"):format(entry.name)
  out[#out + 1] = description(entry.description, "lua norun")
  if entry.call then add_function(out, entry.call, "###") end
  for _, found in ipairs(entry.entries) do add_function(out, found, "###") end
  for _, class in ipairs(library.classes_of(entry.name)) do add_class(out, class) end
end

--- An entry.
---@param entry stoke.doc.entry
---@return string
---
--- Example: `print(markdown.entry(doc.find "http.get"))`
function M.entry(entry)
  local out = {}
  if entry.kind == "module" then
    add_module(out, entry)
  elseif entry.kind == "class" then
    add_class(out, entry)
  else
    add_function(out, entry, "###")
  end
  return table.concat(out, "\n\n") .. "\n"
end

--- The whole reference: every public module, in order.
---@return string
---
--- Example: `print(markdown.reference())`
function M.reference()
  local out = { "# Reference", "Made by `make docs` from the comments in the sources; change them, not this file. "
    .. "`stoke help NAME` shows each entry in the terminal.", "" }
  local list = {}
  for i, name in ipairs(library.modules()) do
    list[i] = ("- [%s](#%s)"):format(name, (name:gsub("[^%w_-]", "")))
  end
  out[3] = table.concat(list, "\n")
  for _, name in ipairs(library.modules()) do add_module(out, library.module(name)) end
  return table.concat(out, "\n\n") .. "\n"
end

return M
