--- May the answer to one question be given to another? Gates in the order of what they cost; each one fails closed: what it cannot
--- judge it refuses. A question that passes them all asks, as far as words can tell, for the same; whether it does is what the
--- learner (core.cache.semantic.learner) learns from checked answers.

local read = require "core.cache.semantic.read"

local M = {}

--- The gates by name, in order. "name", "antonym" and "scope" are the word gate's and the order's, told apart for whoever
--- reads why.
M.ORDER = { "scope", "length", "encoding", "language", "number", "unit", "date", "quote", "code", "name", "negation", "comparison",
  "quantity", "antonym", "word", "question", "person", "tense", "direction" }

local EQUAL = { "number", "unit", "date", "quote", "code", "negation", "comparison", "quantity", "word", "question", "person",
  "tense",
  "direction" }

local DAY = 86400

--- Words that one list has and the other has not. Both are sorted.
local function differing(a, b)
  local only, count = {}, {}
  for _, word in ipairs(a) do count[word] = (count[word] or 0) + 1 end
  for _, word in ipairs(b) do count[word] = (count[word] or 0) - 1 end
  for word, n in pairs(count) do
    if n ~= 0 then only[#only + 1] = { word = word, side = n } end
  end
  return only
end

--- Which gate a difference of words is counted at.
local function words_gate(a, b)
  local only = differing(a.words, b.words)
  for _, x in ipairs(only) do
    local opposite = a.opposite[x.word]
    for _, y in ipairs(only) do
      if opposite and opposite[y.word] and x.side ~= y.side then return "antonym" end
    end
  end
  for _, x in ipairs(only) do
    if a.names[x.word] or b.names[x.word] or x.word:find "[%^!?]$" then return "name" end
  end
  return "word"
end

--- May the answer to `a` be given to `b`?
---@param a core.semantic.reading of the question that was answered
---@param b core.semantic.reading of the question that is asked
---@param made? number when the answer was made, seconds of the wall clock; needed where a question counts from today
---@param now? number seconds of the wall clock
---@param offset? number seconds that the place's clock is ahead of UTC
---@return string|nil gate the name of the gate that refuses; nil: all let it through
---
--- Example: `gates.refusal(read.of "How far is it from A to B?", read.of "How far is it from B to A?")` is "direction"
function M.refusal(a, b, made, now, offset)
  if a.why or b.why then return a.why or b.why end
  if a.language ~= b.language then return "language" end
  for _, gate in ipairs(EQUAL) do
    if a.signs[gate] ~= b.signs[gate] then return gate == "word" and words_gate(a, b) or gate end
  end
  if a.now then return "date" end
  if a.relative then
    if not made or not now then return "date" end
    local ahead = offset or 0
    if (made + ahead) // DAY ~= (now + ahead) // DAY then return "date" end
  end
end

--- The same for two texts.
---@param a string
---@param b string
---@param made? number
---@param now? number
---@param offset? number
---@return string|nil gate
---
--- Example: `gates.texts("Recipes with gluten", "Recipes without gluten")` is "negation"
function M.texts(a, b, made, now, offset) return M.refusal(read.of(a), read.of(b), made, now, offset) end

return M
