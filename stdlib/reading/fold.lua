--- Words made alike: without case, spaces, hyphens, underscores, quotes and diacritics.

local M = {}

-- base letters, and the letters that are folded to them
local LETTERS = {
  a = "àáâãäåāăąǎÀÁÂÃÄÅĀĂĄǍ", c = "çćĉċčÇĆĈĊČ", d = "ďđĎĐ", e = "èéêëēĕėęěÈÉÊËĒĔĖĘĚ", g = "ĝğġģĜĞĠĢ", h = "ĥħĤĦ",
  i = "ìíîïĩīĭįıÌÍÎÏĨĪĬĮİ", j = "ĵĴ", k = "ķĶ", l = "ĺļľłĹĻĽŁ", n = "ñńņňÑŃŅŇ", o = "òóôõöøōŏőÒÓÔÕÖØŌŎŐ",
  r = "ŕŗřŔŖŘ", s = "śŝşšșŚŜŞŠȘ", t = "ţťŧțŢŤŦȚ", u = "ùúûüũūŭůűųÙÚÛÜŨŪŬŮŰŲ", w = "ŵŴ", y = "ýÿŷÝŶŸ", z = "źżžŹŻŽ",
  ss = "ßẞ", ae = "æÆ", oe = "œŒ",
}
local BASE = {}
for base, letters in next, LETTERS do
  for letter in letters:gmatch(utf8.charpattern) do BASE[letter] = base end
end

local CASES = {} -- Greek and Cyrillic capitals
for code = 0x391, 0x3A9 do CASES[utf8.char(code)] = utf8.char(code + 32) end
for code = 0x410, 0x42F do CASES[utf8.char(code)] = utf8.char(code + 32) end
for code = 0x400, 0x40F do CASES[utf8.char(code)] = utf8.char(code + 80) end

local function letter(c)
  if c:find "^\xCC" or c:find "^\xCD[\x80-\xAF]" then return "" end -- combining marks, U+0300 to U+036F
  return BASE[c] or CASES[c]
end

--- The same text for words that differ in nothing that matters.
---@param word string
---@return string
---
--- Example: `fold.key "In Progress" == fold.key "in_progress"`
function M.key(word)
  local s = word:lower():gsub("[%s_-]+", "")
  s = s:match '^"(.*)"$' or s:match "^'(.*)'$" or s
  s = s:gsub("\xC2\xA0", ""):gsub("[\xC2-\xF4][\x80-\xBF]+", letter)
  return (s:gsub("%.$", ""))
end

return M
