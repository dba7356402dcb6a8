--- Files of environment variables (`--env-file`): read at the start, before anything else runs.
---
--- A line is NAME=value; `export ` before it is allowed. Empty lines, and lines that begin with #, are ignored.
---   - bare: the rest of the line without blanks at its ends; a # after a blank begins a comment;
---   - 'single quotes': every character as it is, line breaks too;
---   - "double quotes": the same, but \n \r \t \" \\ and \$ are escapes.
--- Nothing is expanded: $NAME is kept as it is. Only a comment may follow a closing quote.

local host = require "host.env"
local errors = require "core.errors"

local M = {}

---@class core.envfile.variable
---@field name string
---@field value string
---@field line integer

local ESCAPES = { n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["$"] = "$" }

local function complain(source, line, problem, hint)
  errors.raise("usage", ("%s:%d: %s"):format(source, line, problem), { hint = hint })
end

--- The text up to the closing quote, and the position after it; nil if it is not closed.
local function quoted(text, at)
  local quote = text:sub(at, at)
  if quote == "'" then
    local close = text:find("'", at + 1, true)
    return close and text:sub(at + 1, close - 1), close and close + 1
  end
  local out, i = {}, at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == '"' then return table.concat(out), i + 1 end
    local escaped = c == "\\" and ESCAPES[text:sub(i + 1, i + 1)]
    out[#out + 1] = escaped or c
    i = i + (escaped and 2 or 1)
  end
end

local function count_lines(text) return select(2, text:gsub("\n", "")) end

--- Parse the variable whose line begins at `at`; also returns where the next line begins.
local function parse_variable(text, at, source, line)
  local whole = text:match("[^\n]*", at)
  local start, name, after = text:match("^[ \t]*()([%a_][%w_]*)[ \t]*=[ \t]*()", at)
  if not start then start, name, after = text:match("^[ \t]*export[ \t]+()([%a_][%w_]*)[ \t]*=[ \t]*()", at) end
  if not start then
    local word = whole:gsub("^%s*export%s+", ""):match "^%s*(.-)%s*$"
    if not word:find("=", 1, true) then -- the line may be part of a secret: do not show it
      complain(source, line, "the line has no '=': NAME=value is wanted", "a value of several lines wants quotes")
    end
    complain(source, line, ("%s is no name of a variable"):format(errors.describe(word:match "^(.-)%s*=")),
      "letters, digits and _; no digit first")
  end
  local quote = text:sub(after, after)
  if quote ~= "'" and quote ~= '"' then
    local rest = text:match("^[^\n]*", after)
    local value = (" " .. rest):gsub("%s#.*$", ""):match "^%s*(.-)%s*$"
    return name, value, after + #rest + 1, line + 1
  end
  local value, behind = quoted(text, after)
  if not value then complain(source, line, ("%s: the quote %s is not closed"):format(name, quote)) end
  local rest = text:match("^[^\n]*", behind)
  local last = line + count_lines(text:sub(after, behind - 1))
  if not rest:find "^%s*$" and not rest:find "^%s+#" then
    complain(source, last, ("%s: there is text behind the closing quote"):format(name),
      "quote the whole value, or none of it")
  end
  return name, value, behind + #rest + 1, last + 1
end

--- Parse the text of a file.
---@param text string
---@param source string its name in error messages
---@return core.envfile.variable[] in the order of the file
---Raises `usage`, with file and line.
function M.parse(text, source)
  text = text:gsub("^\xEF\xBB\xBF", ""):gsub("\r\n", "\n")
  local out, at, line = {}, 1, 1
  while at <= #text do
    local whole = text:match("[^\n]*", at)
    if whole:find("\0", 1, true) then complain(source, line, "a NUL byte: is this a text file?") end
    if whole:find "^%s*$" or whole:find "^%s*#" then
      at, line = at + #whole + 1, line + 1
    else
      local began = line
      local name, value
      name, value, at, line = parse_variable(text, at, source, line)
      if value:find("\0", 1, true) then complain(source, began, ("%s: a NUL byte in the value"):format(name)) end
      out[#out + 1] = { name = name, value = value, line = began }
    end
  end
  return out
end

local origins = {}

--- "FILE:LINE" of a variable that came from a file; nil for those of the real environment.
---@param name string
---@return string|nil
function M.origin(name) return origins[name] end

local function read(path)
  local file, problem = io.open(path, "rb")
  if not file then errors.raise("usage", ("--env-file: cannot read %s"):format(problem)) end
  local text, why = file:read "a"
  file:close()
  if not text then errors.raise("usage", ("--env-file: cannot read %s: %s"):format(path, why)) end
  return text
end

--- Put the variables of files into the environment of this process, and so of the programs it starts. Variables
--- of the real environment keep their values; a later file overrides an earlier one. Call it only before other threads run.
---@param paths string[]
---Raises `usage`; the environment is unchanged then.
function M.load(paths)
  local values, order = {}, {}
  for _, path in ipairs(paths) do
    for _, v in ipairs(M.parse(read(path), path)) do
      if not values[v.name] then order[#order + 1] = v.name end
      values[v.name] = { value = v.value, origin = ("%s:%d"):format(path, v.line) }
    end
  end
  for _, name in ipairs(order) do
    if host.get(name) == nil then
      local _, err = host.set(name, values[name].value)
      if err then error(err, 0) end
      origins[name] = values[name].origin
    end
  end
end

return M
