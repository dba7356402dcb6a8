--- Asks for approvals on the terminal: what is to be done, with its exact arguments; anything but a clear yes is a no.

local channel = require "core.channel"
local json = require "core.json"
local stdio = require "core.stdio"
local term = require "stoke.term"

local M = {}

local turn = channel.semaphore(1) -- one question at a time

--- Characters that would show something else than what is there: controls, and marks that turn or hide text.
local HIDDEN = { { 0x7F, 0x9F }, { 0xAD, 0xAD }, { 0x200B, 0x200F }, { 0x202A, 0x202E }, { 0x2060, 0x2069 }, { 0xFEFF, 0xFEFF },
  { 0xE0000, 0xE007F } }

--- A text with nothing hidden in it: JSON's own escapes, and \u{...} for what would not be seen.
---@param text string
---@return string
function M.visible(text)
  return (text:gsub(utf8.charpattern, function(char)
    if #char == 1 and char:byte() >= 0x20 and char:byte() < 0x7F or char == "\n" then return nil end
    local ok, point = pcall(utf8.codepoint, char)
    if not ok then return ("\\x%02X"):format(char:byte()) end
    if point < 0x20 then return ("\\u{%X}"):format(point) end
    for _, range in ipairs(HIDDEN) do
      if point >= range[1] and point <= range[2] then return ("\\u{%X}"):format(point) end
    end
  end))
end

local function question(entry)
  local colour = term.colour(2)
  local who = entry.agent and M.visible(entry.agent) .. " wants: " or ""
  local out = { ("\n%s%s %s\n"):format(who, entry.effect == "tool.call" and "tool" or entry.effect,
    term.paint("bold", M.visible(entry.what), colour)) }
  if entry.args then
    local text = json.encode(entry.args, { pretty = true }) or tostring(entry.args)
    out[#out + 1] = "  " .. M.visible(text):gsub("\n", "\n  ") .. "\n"
  end
  out[#out + 1] = term.paint("yellow", "Allow it? [y = yes, Enter = no, or say why not] ", colour)
  return table.concat(out)
end

--- Ask, and decide the entry by the answer. The end of the input is a no.
---@param entry stoke.pending
function M.ask(entry)
  local permit <close> = turn:acquire()
  if entry.decision then return end
  stdio.err(question(entry))
  local answer = stdio.read_line()
  local word = (answer or ""):match "^%s*(.-)%s*$"
  if word:lower() == "y" or word:lower() == "yes" then
    entry:approve()
  else
    entry:reject(not (word == "" or word:lower() == "n" or word:lower() == "no") and word or nil)
  end
end

return M
