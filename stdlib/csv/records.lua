--- The records of a CSV text (RFC 4180): their cells, one record after the other. See stdlib/csv.lua.

local errors = require "core.errors"
local outside = require "core.text"

local M = {}

--- The mark of UTF-8, with which a text may begin.
M.MARK = "\u{FEFF}"

local TWICE <const> = "a quote inside a cell is written twice"

--- What is wrong with a text that ends inside of a cell in quotes.
M.OPEN = "a quote is opened and never closed"

--- Raise `protocol` with the place: `line`, and `problem`, which is the message without what was called.
---@param line integer
---@param column integer|nil
---@param message string
---@param hint string|nil
function M.broken(line, column, message, hint)
  local problem = (column and ("column %d: "):format(column) or "") .. message
  errors.raise("protocol", ("csv.decode: line %d%s%s"):format(line, column and ", " or ": ", problem),
    { line = line, problem = problem, hint = hint })
end
local broken = M.broken

--- Raise `protocol` for a record that has not as many cells as the first one.
---@param line integer
---@param count integer
---@param width integer
function M.uneven(line, count, width)
  broken(line, nil, ("%d cells, the first line has %d"):format(count, width), "a cell that holds the separator is put in quotes")
end

--- A cell in quotes that begins at a byte: its text, the byte behind it, and the lines it goes over.
local function quoted(text, at, line, column)
  local from, parts = at + 1, {}
  while true do
    local stop = text:find('"', from, true)
    if not stop then broken(line, column, M.OPEN, TWICE) end
    if text:byte(stop + 1) ~= 34 then
      parts[#parts + 1] = text:sub(from, stop - 1)
      local cell = table.concat(parts)
      local _, lines = cell:gsub("\r\n?", "\n"):gsub("\n", "")
      return cell, stop + 1, lines
    end
    parts[#parts + 1] = text:sub(from, stop)
    from = stop + 2
  end
end

--- The records of a text, one by one: their cells (false for an empty one without quotes), how many, and the line they begin at.
---@param text string
---@param separator string
---@param first? integer the line that the text begins at (1)
---@return fun(): (string|false)[]?, integer, integer
---Raises `protocol`, while it is iterated.
---
--- Example: `for cells, count, line in records.each("a,b\n1,2\n", ",") do print(line, count, cells[1]) end`
function M.each(text, separator, first)
  local plain, at, line = ("^[^%s\"\r\n]*"):format(separator:gsub("%W", "%%%0")), 1, first or 1
  if text:sub(1, 3) == M.MARK then at = 4 end
  return function()
    if at > #text then return nil end
    local cells, count, begun = {}, 0, line
    while true do
      local cell
      count = count + 1
      if text:byte(at) == 34 then
        local lines
        cell, at, lines = quoted(text, at, line, count)
        line = line + lines
      else
        local _, stop = text:find(plain, at)
        cell, at = stop >= at and text:sub(at, stop), stop + 1
      end
      cells[count] = cell
      local next_byte = text:sub(at, at)
      if next_byte ~= separator then
        if next_byte == '"' then
          broken(line, count, "a quote in a cell that does not begin with one", "put the whole cell in quotes")
        end
        local stop = text:match("^\r?\n()", at) or text:match("^\r()", at)
        if not stop and at <= #text then broken(line, count, "text behind the closing quote", TWICE) end
        at, line = stop or at, line + 1
        return cells, count, begun
      end
      at = at + 1
    end
  end
end

--- Check that the cells of the first line are names of columns.
---@param cells (string|false)[]
---@param count integer
---@param line integer
---@return string[] cells
---Raises `protocol`.
---
--- Example: `local names = records.names({ "a", "b" }, 2, 1)`
function M.names(cells, count, line)
  local seen = {}
  for i = 1, count do
    local name = cells[i]
    if not name or name == "" then broken(line, i, "the column has no name", "header = false reads rows as lists") end
    if seen[name] then
      broken(line, i, ("the name %q is that of column %d as well"):format(outside.printable(name, 60), seen[name]),
        "header = false reads rows as lists")
    end
    seen[name] = i
  end
  return cells
end

return M
