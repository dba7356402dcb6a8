--- Generates the manual page stoke(3), of the modules that scripts require, in man(7) markup, from their comments.

local library = require "stoke.doc.library"
local roff = require "stoke.doc.roff"

local M = {}

local function add_items(out, title, list, nameless)
  if not list or #list == 0 then return end
  roff.paragraph(out)
  out[#out + 1] = title
  local rows = {}
  for i, one in ipairs(list) do
    local name = one.name and one.name .. (one.optional and "?" or "") .. "  "
    rows[i] = { (nameless and "" or name) .. one.type, (one.description:gsub("\n%s*", " ")) }
  end
  roff.add_rows(out, rows)
end

local function add_call(out, entry)
  if entry.description ~= "" then roff.add_text(out, entry.description) end
  add_items(out, "Parameters:", entry.params)
  add_items(out, "Returns:", entry.returns, true)
  if entry.raises then
    roff.paragraph(out)
    out[#out + 1] = roff.plain("Raises " .. entry.raises .. ".")
  end
  if entry.example and not entry.description:find(entry.example:match "[^\n]*", 1, true) then
    local lines = {}
    for line in entry.example:gmatch "[^\n]+" do lines[#lines + 1] = line end
    roff.add_code(out, lines)
  end
end

local function add_function(out, entry)
  out[#out + 1] = ".SS " .. roff.quoted(entry.signature)
  add_call(out, entry)
end

local function add_class(out, class)
  out[#out + 1] = ".SS " .. roff.quoted("class " .. class.name)
  if class.parent then out[#out + 1] = roff.plain(("All of %s, and what is said here."):format(class.parent)) end
  if class.description ~= "" then roff.add_text(out, class.description) end
  add_items(out, "Fields:", class.fields)
  for _, method in ipairs(class.methods) do add_function(out, method) end
end

local function add_module(out, name)
  local module = library.module(name)
  out[#out + 1] = ".SH " .. roff.quoted(name)
  roff.add_text(out, (module.description:gsub("^" .. name:gsub("%p", "%%%0") .. ": ", "")))
  if module.call then add_function(out, module.call) end
  for _, entry in ipairs(module.entries) do add_function(out, entry) end
  for _, class in ipairs(library.classes_of(name)) do add_class(out, class) end
end

--- The whole page: every public module, in the order of their names.
---@return string
---
--- Example: `io.write(page.page())`
function M.page()
  local out = {}
  roff.add_head(out, "STOKE", 3, "Lua Modules")
  out[#out + 1] = ".SH NAME"
  out[#out + 1] = "stoke \\- the modules that scripts of stoke require"
  out[#out + 1] = ".SH SYNOPSIS"
  out[#out + 1] = ".B " .. roff.quoted 'local stoke = require "stoke"'
  out[#out + 1] = ".SH DESCRIPTION"
  out[#out + 1] = roff.plain "The field stoke.x is the module stoke.x, loaded when it is first named."
  out[#out + 1] = roff.plain "stoke help NAME shows one entry of this page."
  for _, name in ipairs(library.modules()) do add_module(out, name) end
  out[#out + 1] = '.SH "SEE ALSO"'
  out[#out + 1] = ".BR stoke (1)"
  return table.concat(out, "\n") .. "\n"
end

return M
