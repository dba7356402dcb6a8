--- Lines of man(7) markup, of which the manual pages are made.

local about = require "core.about"

local M = {}

--- Text between requests: a backslash, and a dot or quote at the start of a line, would be taken for one.
---@param text string
---@return string
---
--- Example: `out[#out + 1] = roff.plain "a line that may hold anything"`
function M.plain(text)
  text = text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n([.'])", "\n\\&%1")
  return (text:gsub("^([.'])", "\\&%1"))
end

--- An argument of a request.
---@param text string
---@return string
---
--- Example: `out[#out + 1] = ".SS " .. roff.quoted "http.get(url)"`
function M.quoted(text) return '"' .. M.plain(text):gsub('"', "\\(dq") .. '"' end

--- What a page begins with.
---@param out string[]
---@param name string "STOKE"
---@param number integer its part of the manual
---@param title string of that part
---
--- Example: `roff.add_head(out, "STOKE", 1, "User Commands")`
function M.add_head(out, name, number, title)
  out[#out + 1] = ('.TH %s %d %s "stoke %s" "%s"'):format(name, number, about.date, about.version, title)
end

--- A list of terms and what they mean.
---@param out string[]
---@param rows string[][] { term, meaning }
---
--- Example: `roff.add_rows(out, { { "--sim", "answer without a model" } })`
function M.add_rows(out, rows)
  for _, row in ipairs(rows) do
    out[#out + 1] = ".TP"
    out[#out + 1] = ".B " .. M.quoted(row[1])
    out[#out + 1] = row[2] ~= "" and M.plain(row[2]) or "\\&"
  end
end

--- Begins a paragraph, where none has begun.
---@param out string[]
---
--- Example: `roff.paragraph(out)`
function M.paragraph(out)
  local last = out[#out] or ""
  if last ~= ".PP" and not last:find "^%.S[SH]" then out[#out + 1] = ".PP" end
end

--- Lines as they are.
---@param out string[]
---@param lines string[]
---
--- Example: `roff.add_code(out, { "stoke agents/hello.lua --sim" })`
function M.add_code(out, lines)
  M.paragraph(out)
  out[#out + 1] = ".RS 4"
  out[#out + 1] = ".EX"
  for _, line in ipairs(lines) do out[#out + 1] = M.plain(line) end
  out[#out + 1] = ".EE"
  out[#out + 1] = ".RE"
end

--- A description as comments have it: an indented part is code, an empty line ends a paragraph.
---@param out string[]
---@param text string
---
--- Example: `roff.add_text(out, entry.description)`
function M.add_text(out, text)
  local code
  local fresh = true -- a paragraph begins here
  local function flush()
    if not code then return end
    while code[#code] == "" do code[#code] = nil end
    M.add_code(out, code)
    code, fresh = nil, true
  end
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local deep = line:match "^    (.*)$" or (code or fresh) and line:match "^  (.*)$"
    if deep then
      code = code or {}
      code[#code + 1] = deep
    elseif line == "" and code then
      code[#code + 1] = ""
    elseif line == "" then
      fresh = true
    else
      flush()
      if fresh then M.paragraph(out) end
      out[#out + 1] = M.plain(line)
      fresh = false
    end
  end
  flush()
end

return M
