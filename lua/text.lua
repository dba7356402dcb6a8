--- Strings that may not be valid UTF-8: make them valid, and safe to print or send.

local M = {}

--- Make a text valid UTF-8: each invalid byte becomes U+FFFD.
---@param text string
---@return string
function M.valid(text)
  local _, bad = utf8.len(text)
  if not bad then return text end
  local out, from = {}, 1
  while bad do
    out[#out + 1] = text:sub(from, bad - 1)
    out[#out + 1] = "\u{FFFD}"
    from = bad + 1
    _, bad = utf8.len(text, from)
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

--- Trim white space at both ends, in linear time: patterns such as "^%s*(.-)%s*$" and "%s+$" are retried at every space, so a long
--- run of spaces takes quadratic time.
---@param text string
---@return string
function M.trim(text)
  local from = text:find "%S"
  return from and text:match("^.*%S", from) or ""
end

--- The beginning of a text, whole characters only.
---@param text string
---@param max integer bytes
---@return string
function M.head(text, max)
  if #text <= max then return text end
  local last = max
  while last > 0 and text:byte(last + 1) & 0xC0 == 0x80 do last = last - 1 end
  return text:sub(1, last)
end

--- Remove what a terminal would interpret: control characters except newline and tab, and marks that change the direction of text
--- (U+202A to 202E, U+2066 to 2069).
---@param text string
---@return string
function M.clean(text)
  text = text:gsub("\r\n", "\n"):gsub("[\0-\8\11-\31\127]", "")
  if not text:find "[\xC2\xE2]" then return text end
  return (text:gsub("\xC2[\x80-\x9F]", ""):gsub("\xE2\x80[\xAA-\xAE]", ""):gsub("\xE2\x81[\xA6-\xA9]", ""))
end

--- A name for a message: cut to `max` bytes, on one line, control characters escaped.
---@param text string
---@param max integer bytes
---@return string
function M.printable(text, max)
  local shown = #text > max and M.head(text, max) .. "..." or text
  return (M.valid(shown):gsub("[%c\127]", function(c) return ("\\x%02x"):format(c:byte()) end))
end

--- A word as a shell takes it.
---@param text string
---@return string
function M.word(text)
  if text:find "^[%w_./-]+$" then return text end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Can a person type this text as an argument? Not where it is invalid UTF-8, begins as a flag does, or holds what a terminal
--- interprets.
---@param text string
---@return boolean
function M.typable(text)
  return utf8.len(text) ~= nil and not text:find "%c" and not text:find "^%-" and M.clean(text) == text
end

--- A text as valid UTF-8 on one line: control characters and runs of white space are one space each.
---@param text string
---@return string
function M.line(text) return (M.valid(text):gsub("[%c\127%s]+", " "):gsub("^ ", ""):gsub(" $", "")) end

--- The beginning of a text, on one line, for messages.
---@param text string
---@param max integer bytes
---@return string with "..." where it was cut
function M.excerpt(text, max)
  text = M.line(text:sub(1, max * 4))
  return #text <= max and text or M.head(text, max) .. "..."
end

return M
