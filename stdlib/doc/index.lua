--- Index of a file's documentation: each comment with the declaration below it, by line, by name and by class.

local source = require "core.source"
local comment = require "stoke.doc.comment"

local M = {}

---@class stoke.doc.entry
---@field name string as a script writes it: "ollama.chat", "session:run", "stoke.agent.session"
---@field kind "function"|"method"|"class"|"field"|"module"
---@field module? string "stoke.ollama"
---@field signature string "ollama.chat(given) -> table"
---@field description string
---@field params stoke.doc.param[]
---@field returns { type: string, description: string }[] the description may begin with a name
---@field fields? stoke.doc.param[] of a class
---@field undescribed? string[] parameters of a function that the comment does not name
---@field methods? stoke.doc.entry[] of a class
---@field parent? string of a class
---@field entries? stoke.doc.entry[] of a module
---@field call? stoke.doc.entry of a module that is called itself
---@field raises? string
---@field example? string
---@field where string "file:line"

---@class stoke.doc.file
---@field path string
---@field head stoke.doc.comment what the file begins with
---@field entries stoke.doc.entry[] in their order; each also has `line`, `owner` (a variable of the file) and `member`
---@field by_line table<integer, stoke.doc.entry>
---@field returned string the variable of what the file returns: M by custom
---@field by_member table<string, stoke.doc.entry> of what the file returns
---@field classes table<string, stoke.doc.entry> by variable; those without one by name

local function words(list)
  local out = {}
  for word in list:gmatch "[^%s,]+" do out[#out + 1] = word end
  return out
end

--- What a line declares: owner, separator, member, parameters; nil for something else.
---@param line string
---@return table|nil
---
--- Example: `local found = index.declaration "function M.chat(given)"`
function M.declaration(line)
  local owner, sep, member, list = line:match "^%s*function%s+([%w_.]-)([.:])([%a_][%w_]*)%s*%(([^)]*)%)?"
  if owner then return { owner = owner, sep = sep, member = member, params = words(list) } end
  member, list = line:match "^%s*l?o?c?a?l?%s*function%s+([%a_][%w_]*)%s*%(([^)]*)%)?"
  if member then return { member = member, params = words(list), loose = true } end
  owner, member, list = line:match "^%s*([%w_.]-)%.?([%a_][%w_]*)%s*=%s*function%s*%(([^)]*)%)?"
  if owner then return { owner = owner ~= "" and owner or nil, sep = ".", member = member, params = words(list) } end
  member, list = line:match "^%s*local%s+([%a_][%w_]*)%s*=%s*function%s*%(([^)]*)%)?"
  if member then return { member = member, params = words(list), loose = true } end
  owner, member = line:match "^%s*([%w_]+)%.([%a_][%w_]*)%s*="
  if owner then return { owner = owner, sep = ".", member = member, value = true } end
  member = line:match "^%s*local%s+([%a_][%w_]*)%s*="
  if member then return { member = member, value = true, loose = true } end
end

local function described(entry, read, name)
  for _, param in ipairs(read.params) do
    if param.name == name then return param end
  end
  entry.undescribed[#entry.undescribed + 1] = name
  return { name = name, type = "any", optional = false, description = "" }
end

--- An entry from a comment and the line under it.
---@param read stoke.doc.comment
---@param found table|nil of M.declaration
---@param where string
---@return stoke.doc.entry
function M.entry(read, found, where)
  local entry = { kind = "field", description = read.description, params = {}, returns = read.returns, raises = read.raises,
    example = read.example, where = where, generic = read.generic, private = read.private }
  if found then
    entry.owner, entry.member, entry.sep, entry.loose = found.owner, found.member, found.sep, found.loose
    if found.params then
      entry.kind, entry.undescribed = found.sep == ":" and "method" or "function", {}
      for i, name in ipairs(found.params) do entry.params[i] = described(entry, read, name) end
    elseif #read.params + #read.returns > 0 then
      entry.kind, entry.params = "function", read.params
    end
  end
  if read.class then
    entry.kind, entry.name, entry.parent, entry.fields, entry.methods = "class", read.class, read.parent, read.fields, {}
    entry.variable, entry.member = found and found.value and found.member or nil, nil
  end
  return entry
end

local function add(file, entry, line)
  entry.line = line
  file.entries[#file.entries + 1], file.by_line[line] = entry, entry
  if entry.kind == "class" then
    file.classes[entry.variable or entry.name] = entry
  elseif entry.owner == file.returned then
    file.by_member[entry.member] = entry
  end
end

--- The text without its leading comment, and that comment.
local function head(lines)
  local n = 0
  while lines[n + 1] and lines[n + 1]:find "^%-%-" do n = n + 1 end
  local out = comment.bare(lines, 1, n)
  local under = lines[n + 1]
  if under and M.declaration(under) or table.concat(out, "\n"):find "%f[^\n\0]@%a" then return comment.read {}, 0 end
  return comment.read(out), n
end

--- Read a text.
---@param text string
---@param path string
---@return stoke.doc.file
---
--- Example: `local file = index.read(text, "town.lua")`
function M.read(text, path)
  local lines = comment.lines(text)
  local file = { path = path, entries = {}, by_line = {}, by_member = {}, classes = {},
    returned = "M" }
  local first
  file.head, first = head(lines)
  local i = first + 1
  while i <= #lines do
    if lines[i]:find "^%s*%-%-%-" and not lines[i]:find "^%s*%-%-%-%-" then
      local stop = i
      while lines[stop + 1] and lines[stop + 1]:find "^%s*%-%-" do stop = stop + 1 end
      local found = M.declaration(lines[stop + 1] or "")
      local read = comment.read(comment.above(lines, stop + 1))
      if found or read.class then
        add(file, M.entry(read, found, ("%s:%d"):format(path, stop + 1)), stop + 1)
      end
      i = stop + 1
    end
    i = i + 1
  end
  return file
end

local files = {}

--- One of our own modules; the same table each time.
---@param name string "stoke.http", "core.channel"
---@return stoke.doc.file|nil
---
--- Example: `local file = index.file "stoke.http"`
function M.file(name)
  if files[name] == nil then
    local text, path = source.embedded(name)
    files[name] = text and M.read(text, path) or false
  end
  return files[name] or nil
end

return M
