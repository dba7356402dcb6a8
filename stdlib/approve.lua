--- Asks for approvals on the terminal. Shows the action with its exact arguments, and accepts only an unambiguous answer.

local approval = require "core.approval"
local channel = require "core.channel"
local show = require "stoke.show"
local errors = require "core.errors"
local json = require "core.json"
local stdio = require "core.stdio"
local term = require "stoke.term"
local texts = require "core.text"
local time = require "stoke.time"

local M = {}

local turn = channel.semaphore(1) -- one question at a time

--- Characters that would show something else than what is there: controls, marks that turn or hide text, blanks that are none.
local HIDDEN = { { 0x7F, 0xA0 }, { 0xAD, 0xAD }, { 0x34F, 0x34F }, { 0x61C, 0x61C }, { 0x115F, 0x1160 }, { 0x17B4, 0x17B5 },
  { 0x180B, 0x180F }, { 0x2000, 0x200F }, { 0x2028, 0x202F }, { 0x205F, 0x206F }, { 0x2800, 0x2800 }, { 0x3000, 0x3000 },
  { 0x3164, 0x3164 }, { 0xFE00, 0xFE0F }, { 0xFEFF, 0xFEFF }, { 0xFFA0, 0xFFA0 }, { 0xFFF0, 0xFFFB }, { 0x1D173, 0x1D17A },
  { 0xE0000, 0xE0FFF } }

--- Would a character show something else than what is there?
---@param point integer its code point
---@return boolean
function M.hidden(point)
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
      out[#out + 1] = M.hidden(point) and ("\\u{%X}"):format(point) or text:sub(at, after - 1)
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
local function arguments(args) return json.encode(args, { pretty = true }) or show.pretty(args) end

--- What is to be done, with its exact arguments; ends its line.
---@param entry stoke.pending
---@param short? boolean long arguments are cut, and it is said so
---@return string
function M.text(entry, short)
  local who = entry.agent and M.visible(entry.agent) .. " wants: " or ""
  local text = entry.args and arguments(entry.args)
  if text and short and #text > LONG then
    text = ("%s ...\n(%d bytes more: :pending shows them)"):format(texts.head(text, LONG), #text - LONG)
  end
  text = text and lines_of(text) or ""
  return ("%s%s %s\n%s"):format(who, entry.effect == "tool.call" and "tool" or entry.effect,
    term.paint("bold", M.visible(entry.what), term.colour(2)), text)
end

local function question(entry)
  local text = entry.args and arguments(entry.args)
  local again = text and #text > LONG and (" (%s, %d bytes of arguments)"):format(M.visible(entry.what), #text) or ""
  return term.paint("yellow", ("Allow it?%s [y = yes, Enter = no, n WHY%s, l = later] "):format(again,
    entry.args and ", e = edit" or ""), term.colour(2))
end

--- Seconds until a question that was put off is asked again.
M.LATER = 60

--- Parses an answer: "yes", "no" (also Enter alone) with an optional reason, "edit", "later"; nil for anything else,
--- such as a command of the prompt.
---@param answer string
---@return "yes"|"no"|"edit"|"later"|nil
---@return string|nil why
function M.read(answer)
  if not answer:find "%S" then return "no" end
  local word, rest = answer:match "^%s*(%a+)%f[%A]%s*[,:]?%s*(.-)%s*$"
  word = word and word:lower()
  if word == "n" or word == "no" then return "no", rest ~= "" and rest or nil end
  if rest ~= "" then return nil end
  if word == "y" or word == "yes" then return "yes" end
  if word == "e" or word == "edit" then return "edit" end
  if word == "l" or word == "later" then return "later" end
end

--- Other arguments from the person, beginning with those there are.
---@param entry stoke.pending
---@return table|nil args nil: the person left it
function M.edited(entry)
  local text = arguments(entry.args)
  while true do
    text = term.prompt { prompt = "arguments: ", more = "", text = text, history = false, hint = "(Ctrl-D goes back)" }
    if not text or not text:find "%S" then return nil end
    local value, err = json.decode(text)
    if type(value) == "table" then return value end
    stdio.err(("that is no JSON object: %s\n"):format(err and err.message or errors.describe(value)))
  end
end

--- One question; true when it was put off.
local function ask_once(entry)
  local permit <close> = turn:acquire()
  if entry.decision then return end
  stdio.forget_typed()
  stdio.err("\n" .. M.text(entry))
  while not entry.decision do
    local answer = stdio.read_line(question(entry))
    local what, why = M.read(answer or "n")
    if what == "later" then
      stdio.err(("put off: asked again in %d s, unless it is decided elsewhere\n"):format(M.LATER))
      return true
    end
    if what == "yes" then
      entry:approve()
    elseif what == "no" then
      entry:reject(why)
    elseif what == "edit" and entry.args then
      local args = M.edited(entry)
      if args then entry:edit(args) end
    else
      stdio.err(("%s is no answer: y, n, n and why, %sl\n"):format(errors.describe(answer), entry.args and "e, " or ""))
    end
  end
end

--- Ask, and decide the entry by the answer. The end of the input is a no; what is no answer is asked again; what is put
--- off is asked again after a while, and may be decided elsewhere until then.
---@param entry stoke.pending
function M.ask(entry)
  while ask_once(entry) do time.sleep(M.LATER) end
end

--- The entry of a number.
---@param word string what was typed
---@param what string the command, for errors
---@return stoke.pending
---Raises `argument`.
function M.find(word, what)
  local id = math.tointeger(tonumber(word))
  if not id then errors.argument("%s wants a number, got %s", what, word == "" and "nothing" or errors.describe(word)) end
  for _, entry in ipairs(approval.list()) do
    if entry.id == id then return entry end
  end
  errors.argument("nothing waits under the number %d; :pending lists what does", id)
end

return M
