--- Effects that read traces which were kept (lua/traces.lua): traces.list and traces.get.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local pool = require "core.gate.pool"
local script = require "core.script"
local texts = require "core.text"
local traces = require "core.traces"

--- f(db, q), with a database that is closed afterwards. What this process has gathered is written first.
local function reading(f)
  return function(q)
    local path = q.file or traces.path() or traces.where(script.path, pool.store)
    if traces.path() == path then traces.flush() end
    local db, err = traces.read(path)
    if not db then return nil, err end
    local value
    value, err = f(db, q, path)
    db:close()
    return value, err
  end
end

local LIST = [[
SELECT trace, min(start), max(start+seconds), count(*), count(*) FILTER (WHERE name IN ('llm.chat','llm.stream')),
  count(*) FILTER (WHERE error IS NOT NULL),
  sum(coalesce(json_extract(data,'$.input_tokens'),0)) FILTER (WHERE name LIKE 'llm.%' OR name LIKE 'embed.%'),
  sum(coalesce(json_extract(data,'$.output_tokens'),0)) FILTER (WHERE name LIKE 'llm.%')
FROM spans GROUP BY trace ORDER BY max(n) DESC LIMIT ?]]
local ROOT = "SELECT name, about FROM spans WHERE trace=? ORDER BY parent IS NOT NULL, start, n LIMIT 1"

effect.define("traces.list", { class = "pure", quiet = true, run = reading(function(db, q)
  local found, err = db:query(LIST, { q.limit })
  if not found then return nil, err end
  local list = {}
  for i, row in ipairs(found.rows) do
    local root
    root, err = db:query(ROOT, { row[1] })
    if not root then return nil, err end
    local name, about = table.unpack(root.rows[1], 1, 2)
    list[i] = { id = row[1], start = row[2], seconds = row[3] - row[2], spans = row[4], calls = row[5], errors = row[6],
      input_tokens = row[7] ~= json.null and row[7] or 0, output_tokens = row[8] ~= json.null and row[8] or 0, name = name,
      about = about ~= json.null and about or nil }
  end
  return list
end) })

--- The trace whose id begins so; "last": the one that ended last.
local function find(db, id)
  if id == "last" then
    local found, err = db:query "SELECT trace FROM spans ORDER BY n DESC LIMIT 1"
    if not found then return nil, err end
    if found.rows[1] then return found.rows[1][1] end
    return nil, errors.new("usage", "no trace was kept yet", { hint = "stoke FILE --spans keeps one" })
  end
  if #id > 32 or id:find "[^%x]" then
    return nil, errors.new("usage", ("%s is no id of a trace: 32 hex digits, or the first of them"):format(texts.word(id)),
      { hint = "stoke trace list shows them" })
  end
  local low = id:lower()
  local found, err = db:query("SELECT DISTINCT trace FROM spans WHERE trace>=? AND trace<? LIMIT 2", { low, low .. "g" })
  if not found then return nil, err end
  if found.rows[2] then
    return nil, errors.new("usage", ("several traces begin with %s"):format(id), { hint = "more digits of it tell which" })
  end
  if not found.rows[1] then
    return nil, errors.new("usage", ("there is no trace %s"):format(id), { hint = "stoke trace list shows them" })
  end
  return found.rows[1][1]
end

--- Spans of one trace that are read.
local MOST <const> = 20000

local SPANS = "SELECT span, parent, name, about, start, seconds, error, data FROM spans WHERE trace=? ORDER BY start, n LIMIT "
  .. MOST

effect.define("traces.get", { class = "pure", quiet = true, run = reading(function(db, q)
  local id, err = find(db, q.id)
  if not id then return nil, err end
  local found
  found, err = db:query(SPANS, { id })
  if not found then return nil, err end
  local spans = {}
  for i, row in ipairs(found.rows) do
    local span = json.decode(row[8]) or {}
    span.id, span.name, span.start, span.seconds = row[1], row[3], row[5], row[6]
    span.parent, span.about = row[2] ~= json.null and row[2] or nil, row[4] ~= json.null and row[4] or nil
    span.error = row[7] ~= json.null and row[7] or nil
    spans[i] = span
  end
  return { id = id, spans = spans }
end) })
