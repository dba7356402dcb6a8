--- Reads one documentation comment, as LuaLS has them: its text, its tags, and what this project adds to them, `Raises` and
--- `Example`.

local M = {}

---@class stoke.doc.param
---@field name string
---@field type string
---@field optional boolean
---@field description string

---@class stoke.doc.comment
---@field description string paragraphs, code indented by four blanks
---@field params stoke.doc.param[]
---@field returns { type: string, description: string }[] the description may begin with a name
---@field fields stoke.doc.param[] of a class
---@field raises? string
---@field example? string
---@field class? string
---@field parent? string of the class
---@field generic? string
---@field private? boolean

--- Where the quoted text that begins at `at` ends.
local function end_of_quote(text, at)
  local stop = text:find(text:sub(at, at), at + 1, true)
  return stop or #text
end

--- Where a type that begins at `at` ends: at a blank outside of brackets that does not go on with `|`, nor after the `:` or
--- `,` of a function's results.
local function type_end(text, at)
  local depth, is_function = 0, false
  local i = text:find("[\"'%(%[{<%)%]}> ]", at)
  while i do
    local c = text:sub(i, i)
    if c == '"' or c == "'" then
      i = end_of_quote(text, i)
    elseif c:find "[%(%[{<]" then
      is_function = is_function or text:find("^fun%(", i - 3) ~= nil
      depth = depth + 1
    elseif c:find "[%)%]}>]" then
      depth = depth - 1
    elseif c == " " and depth <= 0 then
      local before = text:sub(at, i - 1):match "(.)%s*$"
      local goes_on = before == "|" or text:find("^%s*|", i) or is_function and (before == ":" or before == ",")
      if not goes_on then return i - 1 end
    end
    i = text:find("[\"'%(%[{<%)%]}> ]", i + 1)
  end
  return #text
end

--- A type and what follows it.
---@param text string
---@return string type
---@return string rest
---
--- Example: `local kind, rest = comment.type "table<string, any> by name"`
function M.type(text)
  local stop = type_end(text, 1)
  return text:sub(1, stop), text:sub(stop + 1):match "^%s*[#@:]?%s*(.-)%s*$"
end

local function read_parameter(text)
  local name, mark, rest = text:match "^(%.%.%.)(%??)%s*(.*)$"
  if not name then name, mark, rest = text:match "^(%b[])(%??)%s+(.*)$" end
  if not name then name, mark, rest = text:match "^([%a_][%w_]*)(%??)%s*(.*)$" end
  if not name then return nil end
  local kind, description = M.type(rest)
  local optional = mark == "?" or kind:find "%?$" ~= nil
  return { name = name, type = kind:gsub("%?$", "", 1), optional = optional, description = description }
end

--- The parameters in a type `fun(message: any, fields?: table): string`, and what it returns; nil for another type.
---@param kind string
---@return stoke.doc.param[]|nil params
---@return { type: string, description: string }[]|nil returns
---
--- Example: `local params = comment.parameters "fun(city: string)"`
function M.parameters(kind)
  local list, rest = kind:match "^fun(%b())(.*)$"
  if not list then return nil end
  local params, returns = {}, {}
  list = list:sub(2, -2)
  local at = 1
  while at <= #list do
    local name, mark, from = list:match("^%s*([%w_.]+)(%??)%s*:?%s*()", at)
    if not name then break end
    local depth, i = 0, from
    while i <= #list and (depth > 0 or list:sub(i, i) ~= ",") do
      local c = list:sub(i, i)
      if c == '"' or c == "'" then i = end_of_quote(list, i) end
      depth = depth + (c:find "[%(%[{<]" and 1 or c:find "[%)%]}>]" and -1 or 0)
      i = i + 1
    end
    local given = list:sub(from, i - 1):match "^%s*(.-)%s*$"
    params[#params + 1] = { name = name, type = given ~= "" and given or "any", optional = mark == "?", description = "" }
    at = i + 1
  end
  local result = rest:match "^:%s*(.+)$"
  if result then returns[1] = { type = result, description = "" } end
  return params, returns
end

local TAGS = {}
function TAGS.param(out, text) out.params[#out.params + 1] = read_parameter(text) end
function TAGS.field(out, text) out.fields[#out.fields + 1] = read_parameter(text) end
TAGS["return"] = function(out, text)
  local kind, rest = M.type(text)
  out.returns[#out.returns + 1] = { type = kind, description = rest }
end
function TAGS.class(out, text)
  out.class, out.parent = text:match "^([%w_.]+)%s*:%s*([%w_.]+)"
  out.class = out.class or text:match "^[%w_.]+"
  local about = text:match "^[%w_.]+%s+([^:%s].*)$"
  if about then table.insert(out.lines, about) end
end
function TAGS.generic(out, text) out.generic = text end
function TAGS.private(out) out.private = true end

--- Text between backquotes, or what is indented, whatever of both an example has.
local function example_of(lines)
  local first = lines[1]:match "^%s*Example:%s*(.*)$"
  local whole = table.concat({ first, table.unpack(lines, 2) }, "\n")
  local inline = whole:match "^`(.*)`%s*$"
  if inline then return (inline:gsub("\n%s*", " ")) end
  local rest = { table.unpack(lines, first == "" and 2 or 1) }
  local indent
  for _, line in ipairs(rest) do
    local here = line:find "%S" and #line:match "^%s*"
    if here and (not indent or here < indent) then indent = here end
  end
  for i, line in ipairs(rest) do rest[i] = line:sub((indent or 0) + 1) end
  return table.concat(rest, "\n"):match "^(.-)%s*$"
end

--- The parts a comment has: its text, each tag with the lines that go on with it, Raises, Example.
local function parts(lines)
  local list = { { kind = "text" } }
  local part = list[1]
  local function begin(kind, line)
    part = { kind = kind, line }
    list[#list + 1] = part
  end
  for _, line in ipairs(lines) do
    local word = line:match "^%s*(%a+)"
    if part.kind == "example" then
      part[#part + 1] = line
    elseif line:find "^%s*Example:" then
      begin("example", line)
    elseif line:find "^%s*@%a" then
      begin("tag", line)
    elseif word == "Raises" and (part.kind ~= "text" or #part == 0 or part[#part] == "") then
      begin("raises", line)
    elseif line == "" and part.kind ~= "text" then
      begin("text", nil)
    else
      part[#part + 1] = line
    end
  end
  return list
end

--- The first block of indented code in a text.
local function first_code(lines)
  local code = {}
  for _, line in ipairs(lines) do
    if line:find "^    " then
      code[#code + 1] = line:sub(5)
    elseif #code > 0 then
      if line ~= "" then break end
      code[#code + 1] = ""
    end
  end
  if #code > 0 then return (table.concat(code, "\n"):match "^(.-)%s*$") end
end

local function join(part)
  local out = {}
  for i, line in ipairs(part) do out[i] = line:match "^%s*(.-)%s*$" end
  return table.concat(out, " ")
end

--- Read the lines of a comment, their dashes taken off.
---@param lines string[]
---@return stoke.doc.comment
---
--- Example: `local read = comment.read { "Adds.", "@param a number" }`
function M.read(lines)
  local out = { params = {}, returns = {}, fields = {}, lines = {} }
  for _, part in ipairs(parts(lines)) do
    if part.kind == "text" then
      if #out.lines > 0 and #part > 0 then table.insert(out.lines, "") end
      table.move(part, 1, #part, #out.lines + 1, out.lines)
    elseif part.kind == "tag" then
      local tag, text = join(part):match "^@([%a]+)%s*(.*)$"
      if TAGS[tag] then TAGS[tag](out, text) end
    elseif part.kind == "raises" then
      out.raises = join(part):match "^Raises[:,]?%s*(.-)%.?$"
    else
      out.example = example_of(part)
    end
  end
  out.example = out.example or first_code(out.lines)
  out.description = table.concat(out.lines, "\n"):match "^%s*\n?(.-)%s*$"
  out.lines = nil
  return out
end

--- Comment lines without their dashes, and without the blank that follows these, where it follows all of them.
---@param lines string[]
---@param first integer
---@param last integer
---@return string[]
---
--- Example: `local text = comment.bare(lines, 1, 3)`
function M.bare(lines, first, last)
  local out, spaced = {}, true
  for i = first, last do
    local line = lines[i]:match "^%s*%-%-%-?(.-)%s*$"
    out[#out + 1] = line
    spaced = spaced and (line == "" or line:find "^[%s@]" ~= nil or line:find "^Raises" ~= nil)
  end
  if spaced then
    for i, line in ipairs(out) do out[i] = line:gsub("^%s", "", 1) end
  end
  return out
end

--- The lines of the comment that stands right above a line, first one first, without their dashes.
---@param lines string[]
---@param number integer
---@return string[]
---
--- Example: `local above = comment.above(lines, 12)`
function M.above(lines, number)
  local first = number
  while first > 1 and lines[first - 1]:find "^%s*%-%-" do first = first - 1 end
  return M.bare(lines, first, number - 1)
end

--- The lines of a text.
---@param text string
---@return string[]
---
--- Example: `local lines = comment.lines(text)`
function M.lines(text)
  local out = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do out[#out + 1] = line end
  return out
end

return M
