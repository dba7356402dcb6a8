--- Bytes of the web as UTF-8.

local texts = require "core.text"

local M = {}

-- What bytes 80 to 9F are in windows-1252, which is what pages that say iso-8859-1 mean (WHATWG Encoding).
local C1 = {
  [0x80] = 0x20AC, [0x82] = 0x201A, [0x83] = 0x0192, [0x84] = 0x201E, [0x85] = 0x2026, [0x86] = 0x2020, [0x87] = 0x2021,
  [0x88] = 0x02C6, [0x89] = 0x2030, [0x8A] = 0x0160, [0x8B] = 0x2039, [0x8C] = 0x0152, [0x8E] = 0x017D, [0x91] = 0x2018,
  [0x92] = 0x2019, [0x93] = 0x201C, [0x94] = 0x201D, [0x95] = 0x2022, [0x96] = 0x2013, [0x97] = 0x2014, [0x98] = 0x02DC,
  [0x99] = 0x2122, [0x9A] = 0x0161, [0x9B] = 0x203A, [0x9C] = 0x0153, [0x9E] = 0x017E, [0x9F] = 0x0178,
}

local NAMES = {
  ["utf-8"] = "utf8", utf8 = "utf8", ["us-ascii"] = "utf8", ascii = "utf8",
  ["iso-8859-1"] = "latin1", ["iso8859-1"] = "latin1", ["iso_8859-1"] = "latin1", latin1 = "latin1", ["latin-1"] = "latin1",
  ["windows-1252"] = "latin1", cp1252 = "latin1", ["iso-8859-15"] = "latin9",
}

local LATIN9 = { [0xA4] = 0x20AC, [0xA6] = 0x160, [0xA8] = 0x161, [0xB4] = 0x17D, [0xB8] = 0x17E, [0xBC] = 0x152,
  [0xBD] = 0x153, [0xBE] = 0x178 }

--- The character that a code of 80 to 9F stands for, in a text of one byte a character or as a numeric entity.
---@param code integer
---@return integer
---
--- Example: `charset.c1(0x80)  --> 0x20AC`
function M.c1(code) return C1[code] or 0xFFFD end

--- Bytes as UTF-8; what is broken becomes U+FFFD.
---@param bytes string
---@param name? string charset as the server or the page names it; default UTF-8
---@return string|nil text nil for a charset that is not known here
---
--- Example: `charset.decode("caf\xE9", "iso-8859-1")  --> "café"`
function M.decode(bytes, name)
  local kind = name and NAMES[name:lower()] or not name and "utf8"
  if not kind then return nil end
  if kind == "utf8" then return texts.valid((bytes:gsub("^\xEF\xBB\xBF", ""))) end
  return (bytes:gsub("[\x80-\xff]", function(c)
    local code = c:byte()
    if kind == "latin9" and LATIN9[code] then code = LATIN9[code] end
    return utf8.char(code < 0xA0 and M.c1(code) or code)
  end))
end

--- What the beginning of a page says its charset is.
---@param page string
---@return string|nil
---
--- Example: `charset.of_page '<meta charset="latin1">'  --> "latin1"`
function M.of_page(page)
  local head = page:sub(1, 2048):lower()
  return head:match "<meta%s[^>]-charset%s*=%s*[\"']?%s*([%w_-]+)"
end

return M
