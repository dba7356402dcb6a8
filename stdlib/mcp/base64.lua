--- Base64 back into bytes: what MCP servers send of images and files, and headers that are no plain ASCII.

local M = {}

local VALUES = {}
local LETTERS <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
for i = 1, 64 do VALUES[LETTERS:byte(i)] = i - 1 end
VALUES[("-"):byte()], VALUES[("_"):byte()] = 62, 63

--- The bytes of a text; blanks and line breaks are passed over.
---@param text string
---@return string|nil bytes nil: it is no base64
---
--- Example: `assert(base64.decode "SGk=" == "Hi")`
function M.decode(text)
  text = text:gsub("%s", ""):gsub("=+$", "")
  if #text % 4 == 1 or text:find "[^%w+/_-]" then return nil end
  local out = {}
  for i = 1, #text, 4 do
    local a, b, c, d = text:byte(i, i + 3)
    local n = VALUES[a] << 18 | VALUES[b] << 12 | (c and VALUES[c] or 0) << 6 | (d and VALUES[d] or 0)
    out[#out + 1] = string.char(n >> 16, n >> 8 & 255, n & 255):sub(1, d and 3 or c and 2 or 1)
  end
  return table.concat(out)
end

return M
