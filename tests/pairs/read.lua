--- The pairs of questions, as tests and benches read them: a kind, two questions, and how similar an embedding model finds them.

local fs = require "stoke.fs"

local M = {}

M.LANGUAGES = { "en", "de", "es" }

---@class pairs.pair
---@field language string "en"
---@field kind string "paraphrase": one answer serves both; every other kind: it does not
---@field same boolean
---@field a string
---@field b string
---@field dev boolean of the half that the gates were written against
---@field similarity? number cosine, by the model of near.tsv

--- FNV-1a over a text, for the two halves: a pair's half does not change when pairs are added.
local function hash(text)
  local h = 2166136261
  for i = 1, #text do h = (h ~ text:byte(i)) * 16777619 & 0xFFFFFFFF end
  return (h ~ h >> 15) * 2246822519 >> 13 & 1
end

local function lines(folder, name)
  local list = {}
  for line in fs.read(folder .. "/" .. name):gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

--- All pairs, and all distinct questions in the order of their first use.
---@param folder string
---@return pairs.pair[] list
---@return string[] questions
function M.list(folder)
  local list, questions, known = {}, {}, {}
  local function note(text)
    if not known[text] then questions[#questions + 1], known[text] = text, true end
  end
  for _, language in ipairs(M.LANGUAGES) do
    for _, line in ipairs(lines(folder, language .. ".tsv")) do
      local kind, a, b = line:match "^([a-z]+)\t([^\t]+)\t([^\t]+)$"
      if not kind then error(("%s.tsv: not a pair: %s"):format(language, line)) end
      list[#list + 1] = { language = language, kind = kind, same = kind == "paraphrase", a = a, b = b,
        dev = hash(kind .. "\t" .. a .. "\t" .. b) == 0 }
      note(a)
      note(b)
    end
  end
  return list, questions
end

--- Pairs kept apart from those that the gates were written against. held.tsv was written before the gates were looked at:
--- then 7 of 228 that ask for different things were let through, and 34 of 85 paraphrases. What let the seven through was mended
--- since, by its kind. fresh.tsv was written afterwards, with the gates known, to get past them: 0 of 98, and 28 of 36.
---@param folder string
---@param name "held"|"fresh"
---@return { language: string, kind: string, same: boolean, a: string, b: string }[]
function M.apart(folder, name)
  local list = {}
  for _, line in ipairs(lines(folder, name .. ".tsv")) do
    local language, kind, a, b = line:match "^(%l%l)\t(%l+)\t([^\t]+)\t([^\t]+)$"
    if not language then error(("%s.tsv: not a pair: %s"):format(name, line)) end
    list[#list + 1] = { language = language, kind = kind, same = kind == "paraphrase", a = a, b = b }
  end
  return list
end

-- Of each question its nearest others, as a file of tests/pairs/measure.lua has them.
local function nearest(folder, name, questions)
  local near, at = {}, 0
  for _, line in ipairs(lines(folder, name)) do
    if not line:find "^#" then
      at = at + 1
      local row = {}
      for other, similarity in line:gmatch "(%d+):(%d+)" do
        row[#row + 1] = { text = questions[tonumber(other)], similarity = tonumber(similarity) / 1000 }
      end
      near[questions[at]] = row
    end
  end
  if at ~= #questions then error(name .. " is not of these questions: run tests/pairs/measure.lua") end
  return near
end

--- What near.tsv says: of each question its nearest others and their similarities. Gives each pair its similarity as well.
---@param folder string
---@param list pairs.pair[]
---@param questions string[]
---@return table<string, { text: string, similarity: number }[]> near
function M.near(folder, list, questions)
  local near = nearest(folder, "near.tsv", questions)
  for _, pair in ipairs(list) do
    for _, other in ipairs(near[pair.a]) do
      if other.text == pair.b then pair.similarity = other.similarity end
    end
  end
  return near
end

--- The intents of asked.lua, as near gives the pairs.
---@param folder string
---@param questions string[]
---@return table<string, { text: string, similarity: number }[]>
function M.asked(folder, questions) return nearest(folder, "asked.tsv", questions) end

--- Wilson's interval of a rate (Wilson 1927), 95 %.
---@param hits integer
---@param n integer
---@return number low
---@return number high
function M.wilson(hits, n)
  if n == 0 then return 0, 1 end
  local z, p = 1.959964, hits / n
  local centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  return math.max(0, (centre - half) / (1 + z * z / n)), math.min(1, (centre + half) / (1 + z * z / n))
end

--- A rate with its interval, to print.
function M.rate(hits, n)
  local low, high = M.wilson(hits, n)
  return ("%d of %d = %.1f %% [%.1f, %.1f]"):format(hits, n, n == 0 and 0 or 100 * hits / n, 100 * low, 100 * high)
end

return M
