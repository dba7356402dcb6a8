--- The words of a question, as they are looked for in an index of words (FTS5) with BM25.

local M = {}

--- Half of so many texts or fewer are all looked at, whatever the words.
local MANY <const> = 256
--- Words of a question that are looked for.
local WORDS <const> = 64

--- The words of a text, quoted, each once.
---@param text string
---@return string[]
function M.of(text)
  local words, seen = {}, {}
  for word in text:gmatch "[%w\x80-\xFF]+" do
    local key = word:lower()
    if not seen[key] and #words < WORDS then words[#words + 1], seen[key] = '"' .. word .. '"', true end
  end
  return words
end

local COUNT = "(SELECT count(*) FROM (SELECT 1 FROM NAME_words WHERE NAME_words MATCH :w%d LIMIT :most)) AS w%d"

--- Those of them that tell texts apart. BM25 gives a word that is in more than half of them a weight of 0.000001, for which each of
--- those texts would be looked at; where there are no other words all count. With a limit, the rarest words whose texts are about
--- as many together: a long question would look at most of a large index.
---@param database stoke.db.database
---@param name string of the table that is indexed
---@param words string[] as M.of gives them
---@param limit? integer texts that are looked at, about
---@return string[]
---Raises `db`, `cancelled`.
function M.telling(database, name, words, limit)
  local function named(sql) return (sql:gsub("NAME", name)) end
  local half = (database:one(named "SELECT count(*) AS n FROM NAME").n + 1) // 2
  if half < MANY or not words[1] then return words end
  local parts, params, out = {}, { most = half + 1 }, {}
  if limit then params.most = math.min(half, limit) + 1 end
  for i, word in ipairs(words) do parts[i], params["w" .. i] = COUNT:format(i, i), word end
  local counts, rare = database:one(named("SELECT " .. table.concat(parts, ", ")), params), {}
  for i, word in ipairs(words) do
    local count = counts["w" .. i]
    if count < params.most then rare[#rare + 1] = { word = word, count = count, place = i } end
  end
  if limit then
    table.sort(rare, function(a, b) return a.count < b.count or a.count == b.count and a.place < b.place end)
  end
  local looked = 0
  for _, one in ipairs(rare) do
    looked = looked + one.count
    if limit and looked > limit and out[1] then break end
    out[#out + 1] = one.word
  end
  return out[1] and out or words
end

return M
