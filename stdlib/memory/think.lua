--- What is concluded from memories: insights, and summaries of what is old.

local errors = require "core.errors"
local json = require "core.json"
local line = require "core.text".line
local agent = require "stoke.agent"
local filters = require "stoke.memory.filter"
local fold = require "stoke.reading.fold"
local origins = require "stoke.memory.origin"
local past = require "stoke.memory.past"
local schema = require "stoke.schema"
local texts = require "stoke.agent.texts"
local time = require "stoke.time"

local M = {}

texts.add {
  memory_reflect = { "what memory:reflect asks", "insights", "Below are notes, each with its number. Say what several of them show "
    .. "together: at most {insights} short statements that no single note makes. For each give the numbers of the notes that it "
    .. "rests on, and how much it matters, from 0 to 10." },
  memory_summarize = { "what memory:summarize asks", "", "Below are old notes. Write one short text that keeps what may matter "
    .. "later: names, facts, decisions, promises. Only what the notes say." },
}

local COMMON = { model = "string", endpoint = "string", sampling = true, texts = "table", timeouts = "table", deadline = "number" }

local function options(what, given, own)
  local known = {}
  for name, kind in next, COMMON do known[name] = kind end
  for name, kind in next, own do known[name] = kind end
  local o = errors.options(given, known, what)
  if o.model == nil then errors.argument("%s: model is missing", what) end
  if o.texts then texts.check(what, o.texts) end
  return o
end

local function whole(what, name, value, default)
  value = value == nil and default or value
  if not math.tointeger(value) or value < 1 then
    errors.argument("%s: %s must be a whole number of at least 1, got %s", what, name, tostring(value))
  end
  return math.tointeger(value)
end

local function ask(o, name, instructions, shape, text)
  local thinker = agent { name = "memory " .. name, model = o.model, endpoint = o.endpoint, instructions = instructions,
    output = shape, options = o.sampling or { temperature = 0 }, timeouts = o.timeouts, deadline = o.deadline }
  return thinker:run(text).output
end

--- What is concluded is no better than the worst it rests on; that a model has written it makes it an agent's at best.
local function origin_of(memories)
  local worst = "agent"
  for _, one in ipairs(memories) do worst = origins.worse(worst, one.origin) end
  return worst
end

--- The tags that all of them have.
local function tags_of(memories)
  local out = {}
  for name, value in next, memories[1].tags do out[name] = value end
  for _, one in ipairs(memories) do
    for name, value in next, out do
      if one.tags[name] ~= value then out[name] = nil end
    end
  end
  return out
end

--- Notes with numbers, a line each.
local function numbered(memories)
  local lines = {}
  for i, one in ipairs(memories) do lines[i] = ("%d. %s"):format(i, line(one.text)) end
  return table.concat(lines, "\n")
end

--- What has come since the last reflection on memories with these tags, and how much it matters in all.
local function since_last(memory, tags, key)
  local where, params = filters.conditions("memory:reflect", { tags = tags })
  params.key = key
  return memory.db:one(([[SELECT coalesce(sum(importance), 0) AS importance, coalesce(max(id), 0) AS last FROM NAME
    WHERE kind <> 'insight' AND id > coalesce((SELECT last FROM NAME_reflected WHERE tags = :key), 0)]] .. where)
    :gsub("NAME", memory.name), params)
end

local REFLECTED = [[INSERT INTO NAME_reflected (tags, last) VALUES (?, ?)
  ON CONFLICT (tags) DO UPDATE SET last = max(last, excluded.last)]]

--- The shape of the answer: at most so many insights, each with numbers of notes that there are.
local function insights_shape(notes, most)
  local number = { type = "integer", minimum = 1, maximum = notes }
  local item = schema.exact({ statement = { type = "string", minLength = 1, maxLength = 400 },
    notes = { type = "array", items = number, minItems = 1, maxItems = 10 },
    matters = { type = "integer", minimum = 0, maximum = 10 } }, { "statement", "notes", "matters" })
  return schema.json(schema.exact({ insights = { type = "array", items = item, maxItems = most } }, { "insights" }))
end

local REFLECT = { tags = "table", threshold = "number", newest = "number", insights = "number", now = "number",
  ready = "function" }

--- See memory:reflect.
---@param memory stoke.memory
---@param given table
---@return stoke.memory.found[]|nil
---@return table[]|nil
function M.reflect(memory, given)
  local what = "memory:reflect"
  local o = options(what, given, REFLECT)
  local most = whole(what, "insights", o.insights, 3)
  local key = errors.check(json.encode(json.object(o.tags or {})))
  local since = since_last(memory, o.tags, key)
  if since.last == 0 or since.importance < (o.threshold or 100) then return nil end
  local newest = memory:list { k = whole(what, "newest", o.newest, 40), tags = o.tags }
  table.sort(newest, function(x, y) return x.id < y.id end)
  local said = texts.of("memory_reflect", o.texts, { insights = most })
  local shape = insights_shape(#newest, most)
  local insights, refused, said_before = {}, {}, {}
  for _, one in ipairs(newest) do said_before[fold.key(one.text)] = true end
  if o.ready then o.ready() end
  for _, one in ipairs(ask(o, "reflect", said, shape, numbered(newest)).insights) do
    local sources, ids, seen = {}, {}, {}
    for _, number in ipairs(one.notes) do
      if newest[number] and not seen[number] then
        seen[number] = true
        sources[#sources + 1], ids[#ids + 1] = newest[number], newest[number].id
      end
    end
    if not ids[1] then
      refused[#refused + 1] = { text = one.statement, why = "it rests on no note" }
    elseif said_before[fold.key(one.statement)] then
      refused[#refused + 1] = { text = one.statement, why = "it is remembered already" }
    else
      local id, added = memory:add(one.statement, { kind = "insight", importance = one.matters, sources = ids,
        origin = origin_of(sources), tags = tags_of(sources), created = o.now })
      if added then
        insights[#insights + 1] = memory:get(id)
      else
        refused[#refused + 1] = { text = one.statement, why = "it is remembered already" }
      end
    end
  end
  memory.db:transaction(function(tx)
    past.reflected(memory, tx, o.now or time.now(), key)
    tx:exec((REFLECTED:gsub("NAME", memory.name)), key, since.last)
  end)
  return insights, refused
end

local SUMMARIZE = { before = "number", kind = true, origin = true, tags = "table", together = "number" }

--- Those of one batch are of the same origin and tags: nobody's memories are told to, or lost for, somebody else.
local BATCHES = "SELECT origin, tags FROM NAME WHERE kind <> 'summary'WHERE_THESE GROUP BY origin, tags HAVING count(*) > 1 "
  .. "ORDER BY min(created), min(id)"
local BATCH = "SELECT id FROM NAME WHERE kind <> 'summary'WHERE_THESE AND origin = :batch_origin AND tags IS :batch_tags "
  .. "ORDER BY created, id LIMIT :together"

--- See memory:summarize.
---@param memory stoke.memory
---@param given table
---@return integer summaries
---@return integer replaced
function M.summarize(memory, given)
  local what = "memory:summarize"
  local o = options(what, given, SUMMARIZE)
  if not o.before then errors.argument("%s: before is missing: what is older is summarized", what) end
  local together = math.max(2, whole(what, "together", o.together, 20))
  local where, params = filters.conditions(what, { kind = o.kind, origin = o.origin, tags = o.tags, before = o.before })
  local function rows(sql)
    return memory.db:query((sql:gsub("WHERE_THESE", function() return where end):gsub("NAME", memory.name)), params)
  end
  local shape = schema { summary = "string 1..2000" }
  local said = texts.of("memory_summarize", o.texts)
  local summaries, replaced = 0, 0
  for _, batch in ipairs(rows(BATCHES)) do
    params.batch_origin, params.batch_tags, params.together = batch.origin, batch.tags or json.null, together
    while true do
      local old, ids, importance = {}, {}, 0
      for i, row in ipairs(rows(BATCH)) do
        old[i], ids[i] = memory:get(row.id), row.id
        importance = math.max(importance, old[i].importance)
      end
      if #old < 2 then break end
      memory:replace(ids, ask(o, "summarize", said, shape, numbered(old)).summary, { kind = "summary", importance = importance,
        sources = ids, origin = origin_of(old), tags = old[1].tags, created = old[#old].created, repeats = true })
      summaries, replaced = summaries + 1, replaced + #old
    end
  end
  return summaries, replaced
end

return M
