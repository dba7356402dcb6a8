--- Effects that read traces which were kept (lua/traces.lua), and lines of the log: traces.list, traces.get and traces.logs.

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

local function some(value)
  if value ~= json.null then return value end
end

--- The first span of each is looked for once it is known which are listed.
local LIST = [[
SELECT g.*, first.name, first.about FROM (
  SELECT trace, min(start) AS start, max(start+seconds), count(*), count(*) FILTER (WHERE name IN ('llm.chat','llm.stream')),
    count(*) FILTER (WHERE error IS NOT NULL),
    sum(coalesce(iif(json_valid(data),json_extract(data,'$.input_tokens'),0),0))
      FILTER (WHERE name LIKE 'llm.%' OR name LIKE 'embed.%'),
    sum(coalesce(iif(json_valid(data),json_extract(data,'$.output_tokens'),0),0)) FILTER (WHERE name LIKE 'llm.%'),
    max(n) AS last
  FROM spans GROUP BY trace ORDER BY last DESC LIMIT ?) AS g
JOIN spans AS first ON first.n=(SELECT n FROM spans WHERE trace=g.trace ORDER BY parent IS NOT NULL, start, n LIMIT 1)
ORDER BY g.last DESC]]

effect.define("traces.list", { class = "pure", quiet = true, run = reading(function(db, q)
  local found, err = db:query(LIST, { q.limit })
  if not found then return nil, err end
  local list = {}
  for i, row in ipairs(found.rows) do
    list[i] = { id = row[1], start = row[2], seconds = row[3] - row[2], spans = row[4], calls = row[5], errors = row[6],
      input_tokens = some(row[7]) or 0, output_tokens = some(row[8]) or 0, name = row[10], about = some(row[11]) }
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
    span.parent, span.about = some(row[2]), some(row[4])
    span.error = some(row[7])
    spans[i] = span
  end
  return { id = id, spans = spans }
end) })

-- ---- lines of the log -----------------------------------------------------------------------------------------------------------

--- Levels from this one on.
local FROM <const> = { debug = 1, info = 2, warn = 3, error = 4 }
local LEVELS <const> = { "debug", "info", "warn", "error" }

--- The condition for what is asked, and its values.
local function wanted(q, id)
  local where, values = { "n>?" }, { q.after or 0 }
  local function add(sql, ...)
    where[#where + 1] = sql
    for _, value in ipairs { ... } do values[#values + 1] = value end
  end
  if id then add("trace=?", id) end
  if q.since then add("time>=?", q.since) end
  if q.level and q.level ~= "debug" then
    local levels = table.move(LEVELS, FROM[q.level], #LEVELS, 1, {})
    add("level IN (" .. ("?,"):rep(#levels - 1) .. "?)", table.unpack(levels))
  end
  if q.grep then
    local text = q.grep:lower()
    add("(instr(lower(message),?)>0 OR instr(lower(coalesce(data,'')),?)>0)", text, text)
  end
  return table.concat(where, " AND "), values
end

--- A file that was written before lines were kept has none.
local HAS = "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name='logs'"

effect.define("traces.logs", { class = "pure", quiet = true, run = reading(function(db, q)
  local found, err = db:query(HAS)
  if not found then return nil, err end
  if found.rows[1][1] == 0 then return {} end
  local id
  if q.trace then
    id, err = find(db, q.trace)
    if not id then return nil, err end
  end
  local where, values = wanted(q, id)
  values[#values + 1] = q.limit
  found, err = db:query(("SELECT n,time,level,message,trace,span,data FROM logs WHERE %s ORDER BY n %s LIMIT ?"):format(where,
    q.after and "" or "DESC"), values)
  if not found then return nil, err end
  local list, count = {}, #found.rows
  for i, row in ipairs(found.rows) do
    list[q.after and i or count + 1 - i] = { n = row[1], time = row[2], level = row[3], message = row[4], trace = some(row[5]),
      span = some(row[6]), fields = row[7] ~= json.null and json.decode(row[7]) or nil }
  end
  return list
end) })
