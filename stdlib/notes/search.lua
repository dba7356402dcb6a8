--- The passages that fit a question: those that share its words (BM25) and those that mean something near (cosine), both in order,
--- made one list by reciprocal rank fusion. A passage has the sum of 1 / (60 + its place) over the lists it is in (Cormack, Clarke,
--- Büttcher, 2009), so that no score of the one list must be weighed against one of the other.

local agent_texts = require "stoke.agent.texts"
local errors = require "core.errors"
local glob = require "stoke.tools.files.glob"
local json = require "core.json"
local named = require "stoke.notes.index".named
local words_in = require "stoke.db.words"

local M = {}

--- The constant of the fusion.
M.K = 60
--- Passages that are taken of each list, at least.
local DEEP <const> = 50

local function list(values) return errors.check(json.encode(json.array(values))) end

--- Ids of files that a filter takes; nil: all.
local function files_of(self, filter)
  if filter == nil then return nil end
  local globs = type(filter) == "table" and filter or { filter }
  local ids = {}
  for row in self.db:each(named(self, "SELECT id, name FROM NAME_files WHERE passages > 0")) do
    local takes = false
    if errors.callable(filter) then
      takes = filter(row.name)
    else
      for _, one in ipairs(globs) do takes = takes or glob.fits(row.name, one) end
    end
    if takes then ids[#ids + 1] = row.id end
  end
  return ids
end

local WORDS_SQL = "SELECT rowid AS id FROM NAME_words WHERE NAME_words MATCH :words %s ORDER BY bm25(NAME_words), rowid LIMIT :most"
local IN_FILES = "AND rowid IN (SELECT id FROM NAME WHERE file IN (SELECT value FROM json_each(:files)))"

local function by_words(self, q, files, most)
  local words, ids = words_in.telling(self.db, self.name, words_in.of(q.text)), {}
  if not words[1] then return ids end
  local sql = named(self, WORDS_SQL:format(files and IN_FILES or ""))
  for row in self.db:each(sql, { words = table.concat(words, " OR "), most = most,
    files = files and list(files) or nil }) do ids[#ids + 1] = row.id end
  return ids
end

local function by_meaning(self, q, files, most)
  local vector = self.embed.ask({ agent_texts.of("notes_query", self.texts, { question = q.text }) })[1]
  return self.vectors:search(vector, most, { filter = files and { file = files } or nil, min = q.min })
end

--- Both lists as one, the best first; of equal ones that which was read earlier.
local function fused(words, near)
  local by_id, out = {}, {}
  local function add(id, rank, name)
    local one = by_id[id]
    if not one then
      one = { id = id, score = 0.0 }
      by_id[id], out[#out + 1] = one, one
    end
    one.score, one[name] = one.score + 1 / (M.K + rank), rank
    return one
  end
  for rank, id in ipairs(words) do add(id, rank, "by_words") end
  for rank, hit in ipairs(near) do add(hit.id, rank, "by_meaning").similarity = hit.score end
  table.sort(out, function(x, y)
    if x.score ~= y.score then return x.score > y.score end
    return x.id < y.id
  end)
  return out
end

local READ = [[SELECT n.id, f.name AS file, n.first, n.last, n.heading, n.text FROM NAME AS n JOIN NAME_files AS f ON f.id = n.file
  WHERE n.id IN (SELECT value FROM json_each(?))]]

local function read(self, hits)
  local ids, by_id = {}, {}
  for i, hit in ipairs(hits) do ids[i] = hit.id end
  for row in self.db:each(named(self, READ), list(ids)) do by_id[row.id] = row end
  return by_id
end

--- The best of them with their texts; of copies the first alone.
local function with_texts(self, hits, k)
  local out, seen, from = {}, {}, 1
  while #out < k and hits[from] do
    local part = table.move(hits, from, math.min(from + 2 * k - 1, #hits), 1, {})
    local rows = read(self, part)
    for _, hit in ipairs(part) do
      local row = rows[hit.id]
      if row and not seen[row.text] and #out < k then
        seen[row.text] = true
        out[#out + 1] = hit
        hit.file, hit.lines, hit.heading, hit.text = row.file, { row.first, row.last }, row.heading, row.text
      end
    end
    from = from + #part
  end
  return out
end

--- The passages that fit best.
---@param self stoke.notes
---@param q { text: string, k: integer, filter?: string|string[]|function, min: number }
---@return stoke.notes.hit[]
---Raises `db`, `cancelled`, what the filter raises, and what embedding raises.
function M.best(self, q)
  local files = files_of(self, q.filter)
  if files and not files[1] then return {} end
  local most = math.max(DEEP, 4 * q.k)
  local near = self.vectors and by_meaning(self, q, files, most) or {}
  return with_texts(self, fused(by_words(self, q, files, most), near), q.k)
end

return M
