--- Reasoning that stands in the text of an answer, between tags, where the server's template does not take it out. It is split off
--- at the beginning of an answer only; the same tags later are text. Held back is only what may still become a tag.

local M = {}

local find, sub, match, lower = string.find, string.sub, string.match, string.lower

--- White space that is held back, at most: a model may write it without end.
local BLANKS <const> = 256

---@class stoke.reading.tags
---@field [1] string what opens the reasoning
---@field [2] string what closes it
---@field behind? string[] what may stand before the answer then, and is no part of it

--- In small letters: they are compared so.
---@type stoke.reading.tags[]
local FAMILIES = {
  { "<think>", "</think>" }, { "<thinking>", "</thinking>" }, { "<thought>", "</thought>" }, { "<thoughts>", "</thoughts>" },
  { "<reasoning>", "</reasoning>" }, { "<seed:think>", "</seed:think>" }, { "[think]", "[/think]" },
  { "\u{25C1}think\u{25B7}", "\u{25C1}/think\u{25B7}" },
  { "<|begin_of_thought|>", "<|end_of_thought|>", behind = { "<|begin_of_solution|>" } },
  { "<|start_thinking|>", "<|end_thinking|>", behind = { "<|start_response|>", "<|start_text|>" } },
  { "<|channel|>analysis<|message|>", "<|end|>", behind = { "<|start|>assistant", "<|channel|>final<|message|>" } },
  { "<|inner_prefix|>", "<|inner_suffix|>" }, { "<unused94>thought", "<unused95>" },
}

--- Does a text begin with a word, or could it, when more comes? "yes", "perhaps" or nil. The word is in small letters.
local function begins(text, word)
  local head = lower(sub(text, 1, #word))
  if head == word then return "yes" end
  return #text < #word and head == sub(word, 1, #text) and "perhaps" or nil
end

--- The first of several words that a text begins with; or nil, and whether it may still become one.
local function first_of(text, words)
  local perhaps = false
  for i = 1, #words do
    local said = begins(text, words[i])
    if said == "yes" then return words[i] end
    perhaps = perhaps or said == "perhaps"
  end
  return nil, perhaps
end

local OPENERS, FAMILY_OF = {}, {}
for i, family in ipairs(FAMILIES) do
  OPENERS[i] = family[1]
  FAMILY_OF[family[1]] = family
end

--- May an answer that begins so begin with reasoning?
---@param text string its beginning
---@return boolean
function M.may_begin(text) return find(text, "^%s*[<%[\xE2]") ~= nil or not find(text, "%S") end

-- ---- piece by piece -------------------------------------------------------------------------------------------------------

--- mode: "start" (nothing said yet), "thinking", "behind" (the reasoning has ended, the answer has not begun), "text".
---@class stoke.reading.splitter
local Splitter = {}
Splitter.__index = Splitter

--- Splits one answer.
---@return stoke.reading.splitter
function M.new() return setmetatable({ mode = "start", held = "" }, Splitter) end

local step = {}

function step.start(self)
  local at = find(self.held, "%S")
  if not at and #self.held <= BLANKS then return false end
  if not at then
    self.mode = "text"
    return true
  end
  local opener, perhaps = first_of(at == 1 and self.held or sub(self.held, at), OPENERS)
  if perhaps and not opener then return false end
  if not opener then
    self.mode = "text"
    return true
  end
  self.family, self.mode, self.held = FAMILY_OF[opener], "thinking", sub(self.held, at + #opener)
  return true
end

--- Where what a text ends in may become the word; white space before it belongs to it.
local function tail_of(text, word)
  local from = #text + 1
  for length = math.min(#word - 1, #text), 1, -1 do
    if lower(sub(text, -length)) == sub(word, 1, length) then
      from = #text - length + 1
      break
    end
  end
  local least = math.max(1, from - BLANKS)
  while from > least and find(text, "^%s", from - 1) do from = from - 1 end
  return from
end

local function think(self, text, out)
  if not self.thought then text = match(text, "^%s*(.*)$") end
  if text == "" then return end
  if self.again then text, self.again = "\n" .. text, nil end
  self.thought = true
  out[#out + 1] = { type = "thinking", text = text }
end

function step.thinking(self, out)
  local held, close = self.held, self.family[2]
  local first, last = find(lower(held), close, 1, true)
  if first then
    think(self, sub(held, 1, tail_of(sub(held, 1, first - 1), "") - 1), out)
    self.mode, self.held = "behind", sub(held, last + 1)
    return true
  end
  local from = tail_of(held, close)
  think(self, sub(held, 1, from - 1), out)
  self.held = sub(held, from)
  return false
end

function step.behind(self)
  local held = match(self.held, "^%s*(.*)$")
  self.held = held
  if held == "" then return false end
  local word, perhaps = first_of(held, self.family.behind or {})
  if word then
    self.held = sub(held, #word + 1)
    return true
  end
  local opener, open = first_of(held, OPENERS)
  if not opener and (perhaps or open) then return false end
  self.mode = "text"
  if opener then self.mode, self.again, self.thought = "start", self.thought, nil end
  return true
end

--- One more piece.
---@param text string
---@return table[] events of type "thinking" and "text"
function Splitter:put(text)
  local out = {}
  self.held = self.held .. text
  while self.mode ~= "text" do
    if not step[self.mode](self, out) then return out end
  end
  if self.held ~= "" then out[1 + #out] = { type = "text", text = self.held } end
  self.held = ""
  return out
end

--- The answer has ended: what was held back, as what it is.
---@return table[] events
function Splitter:flush()
  local held, out = self.held, {}
  self.held = ""
  if self.mode == "thinking" then
    think(self, sub(held, 1, tail_of(held, "") - 1), out)
  elseif held ~= "" then
    out[1] = { type = "text", text = held }
  end
  self.mode = "text"
  return out
end

-- ---- a whole answer -------------------------------------------------------------------------------------------------------

--- Tags that close a reasoning whose opening tag was in the prompt.
local CLOSERS = {}
for i, family in ipairs(FAMILIES) do CLOSERS[i] = family[2] end

--- Does a closing tag at this place close something, or do the words round it only speak of it?
local function closes(text, first, last)
  local before, after = sub(text, math.max(1, first - 1), first - 1), sub(text, last + 1, last + 1)
  if find(before, "[`'\"(]") or find(after, "[`'\")]") then return false end
  local _, fences = sub(text, 1, first - 1):gsub("```", "")
  if fences % 2 == 1 then return false end
  local line = match(sub(text, 1, first - 1), "[^\n]*$")
  if not find(line, "%S") or find(text, "^[ \t\r]*\n", last + 1) or not find(text, "%S", last + 1) then return true end
  return not find(line, "%s$") or find(line, "[.!?:;]%s*$") ~= nil
end

--- Reasoning that a closing tag alone ends, because its opening tag was in the prompt.
---@param text string a whole answer
---@return string|nil thinking nil when there is none
---@return string text the answer
function M.lone(text)
  if not find(text, "</", 1, true) and not find(text, "<|", 1, true) and not find(text, "[/", 1, true) then return nil, text end
  if find(text, '^%s*[{%["`]') then return nil, text end
  local small = lower(text)
  for i, close in ipairs(CLOSERS) do
    local first, last = find(small, close, 1, true)
    if first and close ~= "<|end|>" and not find(sub(small, 1, first - 1), FAMILIES[i][1], 1, true)
      and closes(text, first, last) then
      local self = M.new()
      self.mode, self.family, self.held = "behind", FAMILIES[i], sub(text, last + 1)
      local rest = {}
      for _, events in ipairs { self:put "", self:flush() } do
        for _, event in ipairs(events) do
          if event.type == "text" then rest[#rest + 1] = event.text end
        end
      end
      return match(sub(text, 1, tail_of(sub(text, 1, first - 1), "") - 1), "^%s*(.*)$"), table.concat(rest)
    end
  end
  return nil, text
end

--- A whole answer.
---@param text string
---@return string|nil thinking nil when there is none in it
---@return string text what is left
function M.split(text)
  if not M.may_begin(text) then return M.lone(text) end
  local self, parts = M.new(), { thinking = {}, text = {} }
  for _, events in ipairs { self:put(text), self:flush() } do
    for _, event in ipairs(events) do
      local list = parts[event.type]
      list[#list + 1] = event.text
    end
  end
  if not self.family then return M.lone(text) end
  return table.concat(parts.thinking), table.concat(parts.text)
end

return M
