--- Text as cells: the units the cursor moves by, with their width in columns.

local clusters = require "stoke.term.cluster"
local term = require "stoke.term"

local M = {}

local widths, known = {}, 0

--- Columns of a cell as it is shown.
---@param cell string
---@return integer
function M.width(cell)
  local width = widths[cell]
  if width then return width end
  if cell == "\t" then width = 4 elseif #cell == 1 and (cell:byte() < 32 or cell:byte() == 127) then width = 2
  else width = math.max(1, term.width(cell)) end
  if known > 4096 then widths, known = {}, 0 end
  widths[cell], known = width, known + 1
  return width
end

--- The width of a cell on terminals that measure emoji differently; nil where all agree.
---@param cell string
---@return integer|nil
function M.reach(cell)
  if #cell < 4 then return nil end
  local apart = clusters.apart(cell)
  return apart ~= M.width(cell) and apart or nil
end

--- A mark without a letter is shown on a dotted circle, as in character tables; an invisible character as the circle alone.
local function lone(cell)
  local point = utf8.len(cell) and utf8.codepoint(cell) or 0
  local invisible = point < 0xA0 or point >= 0x200B and point <= 0x206F or point >= 0xFE00 and point <= 0xFE0F or point == 0xFEFF
    or point >= 0xE0000
  return invisible and "\u{25CC}" or "\u{25CC}" .. cell
end

--- The text that a cell is shown as.
---@param cell string
---@return string
function M.shown(cell)
  if cell == "\t" then return "    " end
  local byte = cell:byte()
  if #cell == 1 and (byte < 32 or byte == 127) then return "^" .. string.char(byte ~ 64) end
  if #cell == 1 and byte >= 128 then return "\u{FFFD}" end
  if #cell > 1 and term.width(cell) == 0 then return lone(cell) end
  return cell
end

--- A text in cells: grapheme clusters, as stoke.term.cluster has them.
---@param text string
---@return string[]
function M.split(text)
  local out, at = {}, 1
  while at <= #text do
    local after = clusters.at(text, at)
    out[#out + 1] = text:sub(at, after - 1)
    at = after
  end
  return out
end

--- May the cell join what comes behind it, or before it? Plain ASCII never does.
---@param cell string|nil
---@return boolean
function M.joins(cell) return cell ~= nil and #cell > 1 end

return M
