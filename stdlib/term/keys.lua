--- Decodes the bytes of a terminal into keys. An incomplete sequence waits for the next bytes; a lone ESC becomes a key when the
--- caller says that its time is up (flush).
---
--- A key is { key = "left" | "ctrl-a" | "alt-b" | "ctrl-left" ... }, { text = "typed" } or { paste = "a block" }.

local M = {}

--- Seconds after which a lone ESC is the Escape key and not the begin of a sequence.
M.ESCAPE = 0.05

local Decoder = {}
Decoder.__index = Decoder

---@return table decoder with feed, flush and waiting
function M.new() return setmetatable({ buffer = "" }, Decoder) end

local CONTROL = { [0] = "ctrl-space", [8] = "backspace", [9] = "tab", [10] = "enter", [13] = "enter", [28] = "ctrl-\\",
  [29] = "ctrl-]", [30] = "ctrl-^", [31] = "ctrl-_", [127] = "backspace" }
for byte = 1, 26 do CONTROL[byte] = CONTROL[byte] or "ctrl-" .. string.char(byte + 96) end

local FINAL = { A = "up", B = "down", C = "right", D = "left", H = "home", F = "end", E = "begin",
  P = "f1", Q = "f2", R = "f3", S = "f4", Z = "tab" }
local NUMBERED = { [1] = "home", [2] = "insert", [3] = "delete", [4] = "end", [5] = "pageup", [6] = "pagedown", [7] = "home",
  [8] = "end", [11] = "f1", [12] = "f2", [13] = "f3", [14] = "f4", [15] = "f5", [17] = "f6", [18] = "f7", [19] = "f8",
  [20] = "f9", [21] = "f10", [23] = "f11", [24] = "f12" }
local CODES = { [9] = "tab", [13] = "enter", [27] = "escape", [127] = "backspace" }

--- 1 + the sum of 1 shift, 2 alt, 4 ctrl, as terminals count.
local function modified(name, number)
  local bits = (number or 1) - 1
  if bits <= 0 then return name end
  return (bits & 4 ~= 0 and "ctrl-" or "") .. (bits & 2 ~= 0 and "alt-" or "") .. (bits & 1 ~= 0 and "shift-" or "") .. name
end

--- What comes after "ESC [": parameters and the last byte. nil: an unknown sequence.
local function csi(parameters, final)
  local first, second = parameters:match "^(%d*);?(%d*)"
  first, second = math.tointeger(tonumber(first)), math.tointeger(tonumber(second))
  if final == "~" then
    local name = NUMBERED[first]
    return name and modified(name, second)
  elseif final == "u" then
    local name = CODES[first] or (first and first > 32 and first < 127 and string.char(first))
    return name and modified(name, second)
  elseif final == "Z" then
    return "shift-tab"
  end
  return FINAL[final] and modified(FINAL[final], second)
end

--- Length of the UTF-8 character that a byte begins; nil for a byte that begins none.
local function length(byte)
  if byte < 0x80 then return 1 end
  if byte >= 0xC2 and byte < 0xE0 then return 2 end
  if byte >= 0xE0 and byte < 0xF0 then return 3 end
  if byte >= 0xF0 and byte < 0xF5 then return 4 end
end

--- The character at the begin of s: it, and its bytes. nil: the rest of it has not come yet.
local function character(s)
  local size = length(s:byte())
  if not size then return "\u{FFFD}", 1 end
  for i = 2, size do
    local byte = s:byte(i)
    if not byte then return nil end
    if byte < 0x80 or byte > 0xBF then return "\u{FFFD}", i - 1 end
  end
  return utf8.len(s:sub(1, size)) and s:sub(1, size) or "\u{FFFD}", size
end

local PASTE_END = "\27[201~"

--- Text of a paste as an entry has it: lines end in LF, and nothing in it can drive the terminal.
local function pasted(text)
  return (text:gsub("\r\n?", "\n"):gsub("[\0-\8\11-\31\127]", ""))
end

--- A sequence that begins with ESC: key and bytes taken; no bytes: more must come.
local function escape(s)
  local next_byte = s:sub(2, 2)
  if next_byte == "" then return nil, 0 end
  if next_byte == "[" then
    local parameters, final, stop = s:match "^\27%[([0-9:;<=>?]*[ -/]*)([@-~])()"
    if final then return csi(parameters, final), stop - 1 end
    local odd = s:find("[^0-9:;<=>? -/]", 3)
    if odd then return nil, odd - 1 end -- no sequence after all
    return nil, #s > 64 and #s or 0
  elseif next_byte == "O" then
    if #s < 3 then return nil, 0 end
    local final = s:sub(3, 3)
    return final == "M" and "enter" or FINAL[final], 3 -- M: of the keypad
  elseif next_byte == "\27" then
    return "escape", 1
  end
  local byte = s:byte(2)
  if CONTROL[byte] then return "alt-" .. CONTROL[byte], 2 end
  local char, size = character(s:sub(2))
  if not char then return nil, 0 end
  return "alt-" .. char, size + 1
end

--- The text characters at the beginning, as one key.
local function text(s, out)
  local stop = s:match "^[ -~]+()"
  if stop then
    out[#out + 1] = { text = s:sub(1, stop - 1) }
    return stop - 1
  end
  local char, size = character(s)
  if not char then return 0 end
  out[#out + 1] = { text = char }
  return size
end

local function paste(self, out)
  local stop = self.buffer:find(PASTE_END, self.searched, true)
  if not stop then
    self.searched = math.max(1, #self.buffer - #PASTE_END + 2)
    return false
  end
  out[#out + 1] = { paste = pasted(self.buffer:sub(1, stop - 1)) }
  self.buffer, self.searched = self.buffer:sub(stop + #PASTE_END), nil
  return true
end

--- The keys that are complete now.
---@param bytes string
---@return table[] keys
function Decoder:feed(bytes)
  self.buffer = self.buffer .. bytes
  local out = {}
  while self.buffer ~= "" do
    if self.searched then
      if not paste(self, out) then break end
    else
      local s, taken, key = self.buffer
      local byte = s:byte()
      if s:sub(1, 6) == "\27[200~" then
        self.searched, taken = 1, 6
      elseif byte == 27 then
        key, taken = escape(s)
      elseif CONTROL[byte] then
        key, taken = CONTROL[byte], 1
      else
        taken = text(s, out)
      end
      if key then out[#out + 1] = { key = key } end
      if taken == 0 then break end
      self.buffer = s:sub(taken + 1)
    end
  end
  return out
end

--- Whether an ESC waits for what may follow it.
function Decoder:waiting() return not self.searched and self.buffer:byte() == 27 end

--- The time of a lone ESC is up: the bytes so far are complete.
---@return table[] keys
function Decoder:flush()
  local s = self.buffer
  if not self:waiting() then return {} end
  self.buffer = ""
  if s == "\27" then return { { key = "escape" } } end
  return #s == 2 and { { key = "alt-" .. s:sub(2) } } or {}
end

return M
