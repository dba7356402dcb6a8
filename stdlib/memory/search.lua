--- The memories with the highest scores, exactly, without looking at most of them.
---
--- Two lists are kept in order elsewhere: the set of vectors gives the most relevant memories, the table the most recent and
--- important ones. Both are read from the top, equally far. What is in neither has a score of at most the
--- last relevance of the one and the last rest of the other; once the k-th best that was seen is above that, nothing better is
--- left (the threshold algorithm: Fagin, Lotem, Naor, 2001). Otherwise both are read four times as far.
---
--- The second list comes out of an index: among memories of equal importance it is the order in which they were used, and there are
--- eleven importances.
---
--- Without vectors the index of words gives all that has one of the words, and one statement the best of these; what has none has
--- relevance 0, so of these the most recent and important ones are the best.

local errors = require "core.errors"
local json = require "core.json"
local time = require "stoke.time"
local words_in = require "stoke.db.words"

local M = {}

--- How far both lists are read at first. As many memories, or fewer, are all compared.
M.FIRST = 256
--- As many that fit the conditions of a question, or fewer, are all compared.
M.FEW = 4096
--- Memories that the words of a question lead to, about; of a longer question the rarest words count.
M.LOOKED = 4000
--- Memories that are forgotten with one statement.
M.PART = 500

--- Beyond rounding.
local CLOSE <const> = 1e-9
--- The cosine of what has nothing in common.
local LEAST <const> = -1

local function list(ids) return errors.check(json.encode(json.array(ids))) end

--- Rows of a statement with the question's own conditions and parameters.
local function ask(self, q, sql, more)
  local params = more or {}
  for name, value in next, q.params do params[name] = value end
  return self.db:each((sql:gsub("WHERE_THESE", function() return q.where end):gsub("NAME", self.name)), params)
end

local function recency(q, used) return math.min(1.0, 0.5 ^ ((q.now - used) / q.half_life)) end

--- The part of a score that no question changes.
local function rest_of(q, importance, used)
  return q.weights.recency * recency(q, used) + q.weights.importance * importance / 10
end

local ONE = "SELECT * FROM (SELECT id, importance, used FROM NAME WHERE importance = %d WHERE_THESE"
  .. " ORDER BY used DESC, id DESC LIMIT :most)"
local each = {}
for importance = 0, 10 do each[#each + 1] = ONE:format(importance) end
local REST_OF = ":recency * min(1.0, pow(0.5, (:now - used) / :half_life)) + :importance * importance / 10.0"
local REST = "SELECT id, importance, used FROM (" .. table.concat(each, " UNION ALL ") .. ") ORDER BY " .. REST_OF
  .. " DESC, id DESC LIMIT :most"

--- The memories with the greatest rest, in that order.
local function by_rest(self, q, most)
  local out = {}
  for row in ask(self, q, REST, { most = most, now = q.now, half_life = q.half_life, recency = q.weights.recency + 0.0,
    importance = q.weights.importance + 0.0 }) do
    out[#out + 1] = { id = row.id, importance = row.importance, used = row.used, rest = rest_of(q, row.importance, row.used) }
  end
  return out
end

--- Those of these memories that fit the question, by id.
local function fitting(self, q, ids)
  local out = {}
  for row in ask(self, q, "SELECT id, importance, used FROM NAME WHERE id IN (SELECT value FROM json_each(:ids)) WHERE_THESE",
    { ids = list(ids) }) do
    out[row.id] = { id = row.id, importance = row.importance, used = row.used, rest = rest_of(q, row.importance, row.used) }
  end
  return out
end

-- ---- how well memories fit a question ------------------------------------------------------------------------------------------

--- All memories that fit the conditions of a question, where these leave few: they are compared directly then.
local function few(self, q)
  if q.where == "" then return nil end
  local out = {}
  for row in ask(self, q, "SELECT id, importance, used FROM NAME WHERE true WHERE_THESE LIMIT :most", { most = M.FEW + 1 }) do
    out[#out + 1] = { id = row.id, importance = row.importance, used = row.used, rest = rest_of(q, row.importance, row.used) }
  end
  return #out <= M.FEW and out or nil
end

--- By their vectors: `top` gives the nearest in order, `of` the relevance of some.
local function by_meaning(self, q)
  local vector = self.embed.ask({ q.text })[1]
  local function read(hits)
    for i, hit in ipairs(hits) do hits[i] = { id = hit.id, relevance = hit.score } end
    return hits
  end
  return { top = function(most) return read(self.vectors:search(vector, most)) end,
    of = function(ids) return read(self.vectors:search(vector, #ids, { only = ids })) end }
end

-- ---- the best ------------------------------------------------------------------------------------------------------------------

local function before(x, y)
  if x.score ~= y.score then return x.score > y.score end
  return x.id > y.id
end

--- Scores of memories, the best first.
---@param relevance? table<integer, number> by id
---@param least? number of those that are not in it
local function scored(q, rows, relevance, least)
  for _, row in ipairs(rows) do
    row.relevance = relevance and (relevance[row.id] or least) or nil
    row.recency = recency(q, row.used)
    row.score = row.rest + (row.relevance and q.weights.relevance * row.relevance or 0)
  end
  table.sort(rows, before)
  return rows
end

local function cut(q, rows)
  local out = {}
  for _, row in ipairs(rows) do
    if #out == q.k or q.min and row.score < q.min then break end
    if not q.min_relevance or not row.relevance or row.relevance >= q.min_relevance then out[#out + 1] = row end
  end
  return out
end

--- Relevance of all that is in either list, by id.
local function relevances(top, rest, fit)
  local known, missing = {}, {}
  for _, hit in ipairs(top) do known[hit.id] = hit.relevance end
  for _, row in ipairs(rest) do
    if not known[row.id] then missing[#missing + 1] = row.id end
  end
  if missing[1] then
    for _, hit in ipairs(fit.of(missing)) do known[hit.id] = hit.relevance end
  end
  return known
end

--- All that is in either list and fits the question.
local function union(self, q, top, rest)
  local rows, seen, others = {}, {}, {}
  for i, row in ipairs(rest) do rows[i], seen[row.id] = row, true end
  for _, hit in ipairs(top) do
    if not seen[hit.id] then others[#others + 1] = hit.id end
  end
  for _, row in next, others[1] and fitting(self, q, others) or {} do rows[#rows + 1] = row end
  return rows
end

-- The relevance of a memory is its share of the fit of the best one, whether or not that one is asked for.
local BY_WORDS = [[WITH
  hits AS MATERIALIZED (SELECT rowid AS hit, -bm25(NAME_words) AS fit FROM NAME_words WHERE NAME_words MATCH :words),
  best AS MATERIALIZED (SELECT max(fit) AS most FROM hits),
  shares AS MATERIALIZED (SELECT hit, iif(most > 0.0, fit / most, 0.0) AS share FROM hits, best)
  SELECT id, importance, used, share FROM shares CROSS JOIN NAME ON id = hit WHERE share >= :least WHERE_THESE
  ORDER BY ]] .. REST_OF .. " + :relevance * share DESC, id DESC LIMIT :most"

--- The best by their words (BM25), and all that could be better without one of them.
local function by_words(self, q)
  local words, rows, relevance = words_in.telling(self.db, self.name, words_in.of(q.text), M.LOOKED), {}, {}
  if words[1] then
    for row in ask(self, q, BY_WORDS, { words = table.concat(words, " OR "), least = q.min_relevance or 0, most = q.k, now = q.now,
      half_life = q.half_life, recency = q.weights.recency + 0.0, importance = q.weights.importance + 0.0,
      relevance = q.weights.relevance + 0.0 }) do
      rows[#rows + 1] = { id = row.id, importance = row.importance, used = row.used, rest = rest_of(q, row.importance, row.used) }
      relevance[row.id] = row.share
    end
  end
  if not q.min_relevance or q.min_relevance <= 0 then
    for _, row in ipairs(few(self, q) or by_rest(self, q, math.max(M.FIRST, q.k))) do
      -- One that has a word and is not known has q.k before it already: that it counts as without changes nothing.
      if not relevance[row.id] then rows[#rows + 1] = row end
    end
  end
  return scored(q, rows, relevance, 0)
end

--- The best by their vectors.
local function by_vectors(self, q)
  local most, all = math.max(M.FIRST, q.k), few(self, q)
  local rest = all or by_rest(self, q, most)
  if #rest == 0 then return {} end
  local fit = by_meaning(self, q)
  if all then return scored(q, all, relevances({}, all, fit), LEAST) end
  while true do
    local top = fit.top(most)
    local rows = scored(q, union(self, q, top, rest), relevances(top, rest, fit), LEAST)
    if #rest < most then return rows end -- all that fit have been seen
    local last = #top < most and LEAST or top[#top].relevance
    if q.min_relevance and last < q.min_relevance then return rows end -- all that are relevant have been seen
    local above = q.weights.relevance * last + rest[#rest].rest
    local best = cut(q, rows)
    local wanted = best[q.k] and best[q.k].score or q.min
    if wanted and wanted > above + CLOSE then return rows end
    most = most * 4
    rest = by_rest(self, q, most)
  end
end

--- The best memories for a question.
---@param self stoke.memory
---@param q table as filter.question makes it
---@return { id: integer, score: number, relevance?: number, recency: number }[]
---Raises `db`, `cancelled`, and what embedding raises.
function M.best(self, q)
  if not q.text then return cut(q, scored(q, few(self, q) or by_rest(self, q, q.k))) end
  return cut(q, self.vectors and by_vectors(self, q) or by_words(self, q))
end

-- ---- the least -----------------------------------------------------------------------------------------------------------------

--- Some of the memories that are to be forgotten: of those that fit, the least recent and important beyond `keep`.
---@param self stoke.memory
---@param o { keep?: integer, before?: number, kind?: string|string[], origin?: string|string[], tags?: table }
---@param filters table stoke.memory.filter
---@return integer[] ids M.PART at most
function M.least(self, o, filters)
  local where, params = filters.conditions("memory:forget", o)
  local q = { where = where, params = params }
  local ids, sql = {}, "SELECT id FROM NAME WHERE true WHERE_THESE LIMIT :part"
  local more = { part = M.PART }
  if o.keep then
    local weights = self.weights
    sql = "SELECT id FROM NAME WHERE true WHERE_THESE ORDER BY " .. REST_OF .. " DESC, id DESC LIMIT :part OFFSET :keep"
    more = { part = M.PART, keep = math.tointeger(o.keep), recency = weights.recency + 0.0, importance = weights.importance + 0.0,
      half_life = self.half_life, now = time.now() }
  end
  for row in ask(self, q, sql, more) do ids[#ids + 1] = row.id end
  return ids
end

return M
