--- Transcripts as they are read by a model: turns with numbers, quoted, and whether a turn holds a value.

local fold = require "stoke.reading.fold"
local json = require "core.json"
local valid = require "core.text".valid

local M = {}

--- A transcript: numbered turns, each line of what was said behind a mark, so that nothing that was said can pass for a turn of its
--- own or an instruction.
---@param turns stoke.study.turn[]
---@param may_cite fun(turn: stoke.study.turn): boolean
---@return string text
---@return table<integer, stoke.study.turn> lines by number: those that may be cited
---@return integer[] numbers of these
function M.transcript(turns, may_cite)
  local parts, lines, numbers = {}, {}, {}
  for i, turn in ipairs(turns) do
    local head = "(" .. turn.name .. ")"
    if may_cite(turn) then
      numbers[#numbers + 1] = #numbers + 1
      lines[#numbers] = turn
      head = ("[%d] %s"):format(#numbers, turn.name)
    end
    parts[i] = head .. ":\n> " .. valid(turn.text):gsub("\r?\n", "\n> ")
  end
  return table.concat(parts, "\n"), lines, numbers
end

--- The numbers that may be cited, and 0, as a schema. 0 stands last: small models take what comes first.
---@param numbers integer[]
---@return table
function M.line(numbers)
  local all = table.move(numbers, 1, #numbers, 1, {})
  all[#all + 1] = 0
  return { type = "integer", enum = json.array(all) }
end

local UNITS = { zero = 0, one = 1, two = 2, three = 3, four = 4, five = 5, six = 6, seven = 7, eight = 8, nine = 9, ten = 10,
  eleven = 11, twelve = 12, thirteen = 13, fourteen = 14, fifteen = 15, sixteen = 16, seventeen = 17, eighteen = 18, nineteen = 19 }
local TENS = { twenty = 20, thirty = 30, forty = 40, fifty = 50, sixty = 60, seventy = 70, eighty = 80, ninety = 90 }

--- The numbers that stand in a text as English words: "two hundred and thirty-five", "two point five".
local function spoken(text)
  local out, total, part, open = {}, 0, 0, false
  local function flush()
    if open then out[#out + 1] = total + part end
    total, part, open = 0, 0, false
  end
  local point
  for word in text:lower():gmatch "%a+" do
    local unit, ten = UNITS[word], TENS[word]
    if point then
      if unit and unit < 10 then out[#out + 1] = tonumber(("%d.%d"):format(point, unit)) end
      point = nil
    elseif word == "point" and open then
      point = total + part
      flush()
    elseif word == "hundred" then
      part, open = math.max(part, 1) * 100, true
    elseif word == "thousand" then
      total, part, open = total + math.max(part, 1) * 1000, 0, true
    elseif unit or ten then
      local room = ten and part % 100 == 0 or unit and (part % 100 == 0 or unit < 10 and part % 100 >= 20 and part % 10 == 0)
      if open and not room then flush() end
      part, open = part + (unit or ten), true
    elseif not (word == "and" and open and part % 100 == 0 and total + part > 0) then
      flush()
    end
  end
  flush()
  return out
end

--- The words of a text between blanks, folded.
local function words_of(text)
  local out = {}
  for word in text:gmatch "[%w\128-\255']+" do out[#out + 1] = fold.key(word) end
  return " " .. table.concat(out, " ") .. " "
end

--- Does a text hold a number: in digits (also 1,000 and 2,50), or in words?
local function holds_number(text, number)
  for digits in text:gmatch "%d[%d.,]*" do
    digits = digits:gsub("[.,]+$", "")
    local plain = digits:gsub(",(%d%d%d)%f[%D]", "%1")
    local comma = digits:gsub("%.(%d%d%d)%f[%D]", "%1"):gsub(",", ".")
    for _, reading in ipairs { digits, plain, comma } do
      local value = tonumber(reading)
      if value and math.abs(value - math.abs(number)) < 1e-9 then return true end
    end
  end
  for _, value in ipairs(spoken(text)) do
    if math.abs(value - math.abs(number)) < 1e-9 then return true end
  end
  return false
end

--- Does a text hold a value, word for word?
---@param text string
---@param value string|number
---@return boolean
function M.holds(text, value)
  if type(value) == "number" then return holds_number(text, value) end
  local words = words_of(value)
  return words ~= "  " and words_of(text):find(words, 1, true) ~= nil
end

--- What of a text to show for a value: the sentence that holds it, else the whole.
---@param text string
---@param value any
---@return string
function M.quote(text, value)
  if type(value) == "string" or type(value) == "number" then
    for sentence in text:gmatch "[^\n]+" do
      for part in (sentence .. " "):gmatch "(.-[.!?]+)%s" do
        if M.holds(part, value) then return (part:gsub("^%s+", "")) end
      end
    end
  end
  return text
end

return M
