--- Asks for approvals on the terminal: what is to be done, with its exact arguments; anything but a clear yes is a no.

local channel = require "core.channel"
local compare = require "stoke.test.compare"
local json = require "core.json"
local stdio = require "core.stdio"
local term = require "stoke.term"

local M = {}

local turn = channel.semaphore(1) -- one question at a time

--- Characters that would show something else than what is there: controls, marks that turn or hide text, blanks that are none.
local HIDDEN = { { 0x7F, 0xA0 }, { 0xAD, 0xAD }, { 0x34F, 0x34F }, { 0x61C, 0x61C }, { 0x115F, 0x1160 }, { 0x17B4, 0x17B5 },
  { 0x180B, 0x180F }, { 0x2000, 0x200F }, { 0x2028, 0x202F }, { 0x205F, 0x206F }, { 0x2800, 0x2800 }, { 0x3000, 0x3000 },
  { 0x3164, 0x3164 }, { 0xFE00, 0xFE0F }, { 0xFEFF, 0xFEFF }, { 0xFFA0, 0xFFA0 }, { 0xFFF0, 0xFFFB }, { 0x1D173, 0x1D17A },
  { 0xE0000, 0xE0FFF } }

local function is_hidden(point)
  if point < 0x20 then return true end
  for _, range in ipairs(HIDDEN) do
    if point >= range[1] and point <= range[2] then return true end
  end
  return false
end

--- A text with nothing hidden in it: \u{...} for what would not be seen, \xNN for bytes that are no UTF-8.
---@param text string
---@return string
function M.visible(text)
  if not text:find "[\0-\31\127-\255]" then return text end
  local out, at = {}, 1
  while at <= #text do
    local stop = text:find("[\0-\31\127-\255]", at) or #text + 1
    out[#out + 1] = text:sub(at, stop - 1)
    at = stop
    if at > #text then break end
    local after = utf8.len(text, at, at) and utf8.offset(text, 2, at)
    if after then
      local point = utf8.codepoint(text, at)
      out[#out + 1] = is_hidden(point) and ("\\u{%X}"):format(point) or text:sub(at, after - 1)
      at = after
    else
      out[#out + 1] = ("\\x%02X"):format(text:byte(at))
      at = at + 1
    end
  end
  return table.concat(out)
end

--- Arguments of more bytes than this may push what is asked off the screen: the question says it again.
local LONG = 1500

--- Lines of text, each made visible.
local function lines_of(text)
  local out = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do out[#out + 1] = "  " .. M.visible(line) end
  return table.concat(out, "\n") .. "\n"
end

--- What JSON cannot say (bytes that are no text, numbers that are none) is shown as Lua writes it.
local function arguments(args) return json.encode(args, { pretty = true }) or compare.pretty(args) end

local function question(entry)
  local colour = term.colour(2)
  local who = entry.agent and M.visible(entry.agent) .. " wants: " or ""
  local out = { ("\n%s%s %s\n"):format(who, entry.effect == "tool.call" and "tool" or entry.effect,
    term.paint("bold", M.visible(entry.what), colour)) }
  local text = entry.args and arguments(entry.args)
  if text then out[#out + 1] = lines_of(text) end
  local again = text and #text > LONG and (" (%s, %d bytes of arguments)"):format(M.visible(entry.what), #text) or ""
  out[#out + 1] = term.paint("yellow", ("Allow it?%s [y = yes, Enter = no, or say why not] "):format(again), colour)
  return table.concat(out)
end

--- Ask, and decide the entry by the answer. The end of the input is a no.
---@param entry stoke.pending
function M.ask(entry)
  local permit <close> = turn:acquire()
  if entry.decision then return end
  stdio.forget_typed()
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
