--- Traces as a reader sees them who turns pages: the newest first, a few at a time, found by name.
---
--- All functions return nil and an error where the file fails, and wait for its thread.

local json = require "core.json"

local M = {}

local null = json.null

--- The newest spans of each trace are an index's alone; the sums are of those on the page.
local PAGE = [[SELECT trace,max(n) FROM spans %s GROUP BY trace HAVING max(n)<? ORDER BY max(n) DESC LIMIT ?]]
local NAMED = "WHERE trace IN (SELECT trace FROM spans WHERE instr(lower(name||' '||coalesce(about,'')),?)) OR instr(trace,?)=1"
local FAILED = "WHERE trace IN (SELECT trace FROM spans WHERE error IS NOT NULL)"
local SUMS = [[
SELECT trace, min(start), max(start+seconds), count(*), count(*) FILTER (WHERE name IN ('llm.chat','llm.stream')),
  count(*) FILTER (WHERE error IS NOT NULL),
  sum(coalesce(iif(json_valid(data),json_extract(data,'$.input_tokens'),0),0))
    FILTER (WHERE name IN ('llm.chat','llm.stream','embed.texts')),
  sum(coalesce(iif(json_valid(data),json_extract(data,'$.output_tokens'),0),0)) FILTER (WHERE name IN ('llm.chat','llm.stream'))
FROM spans WHERE trace IN (SELECT value FROM json_each(?)) GROUP BY trace]]
local ROOTS = [[
SELECT trace, name, about, error, parent FROM (SELECT trace, name, about, error, parent,
  row_number() OVER (PARTITION BY trace ORDER BY parent IS NOT NULL, start, n) AS place
  FROM spans WHERE trace IN (SELECT value FROM json_each(?))) WHERE place=1]]

local function or_nil(value) return value ~= null and value or nil end

--- Has a trace not ended? Its first span is below one that is not there: its end has not come, or its process never saw it. Spans
--- of servers may be below those of who asks, in another process.
---@param name string of the first span
---@param parent? string
---@return boolean
---
--- Example: `assert(history.is_open("llm.chat", "4f2a4f2a4f2a4f2a"))`
function M.is_open(name, parent) return parent ~= nil and not name:find "serve" end

--- What each trace of a list of ids comes to, by id.
local function summaries(db, ids)
  local wanted, out = json.encode(ids), {}
  local found, err = db:query(SUMS, { wanted })
  if not found then return nil, err end
  for _, r in ipairs(found.rows) do
    out[r[1]] = { id = r[1], start = r[2], seconds = r[3] - r[2], spans = r[4], calls = r[5], errors = r[6],
      input_tokens = or_nil(r[7]) or 0, output_tokens = or_nil(r[8]) or 0 }
  end
  found, err = db:query(ROOTS, { wanted })
  if not found then return nil, err end
  for _, r in ipairs(found.rows) do
    local one = out[r[1]]
    if one then one.name, one.about, one.error, one.open = r[2], or_nil(r[3]), or_nil(r[4]), M.is_open(r[2], or_nil(r[5])) end
  end
  return out
end

--- Traces, the newest first.
---@param db userdata core.traces.read
---@param filter { before?: integer, failed?: boolean, text?: string, limit: integer } before: those whose newest span has a smaller
---  number; failed: with a span that failed; text: in the name of a span or what it is about, or the beginning of an id
---@return { traces: stoke.traces.summary[], next?: integer }|nil page
---@return stoke.error|nil err
---
--- Example: `local page, err = history.traces(db, { limit = 50 })`
function M.traces(db, filter)
  local where, params = "", {}
  if filter.text then
    where, params = NAMED, { filter.text:lower(), filter.text:lower() }
    if filter.failed then where = "WHERE (" .. where:sub(7) .. ") AND " .. FAILED:sub(7) end
  elseif filter.failed then
    where = FAILED
  end
  params[#params + 1], params[#params + 2] = filter.before or math.maxinteger, filter.limit
  local found, err = db:query(PAGE:format(where), params)
  if not found then return nil, err end
  local ids = {}
  for i, r in ipairs(found.rows) do ids[i] = r[1] end
  local by_id
  by_id, err = summaries(db, ids)
  if not by_id then return nil, err end
  local list = {}
  for i, r in ipairs(found.rows) do
    local one = by_id[r[1]]
    if one then
      one.number = r[2]
      list[#list + 1] = one
    end
    if i == filter.limit then return { traces = list, next = r[2] } end
  end
  return { traces = list }
end

--- Where the spans of a durable run are: its newest span of this name, in its trace.
---@param db userdata
---@param id string of the run
---@return { trace: string, span: string }|nil nil: none was kept
---@return stoke.error|nil err
---
--- Example: `local place = history.of_run(db, "trip-7")`
function M.of_run(db, id)
  local found, err = db:query("SELECT trace,span FROM spans WHERE name='run' AND about=? ORDER BY n DESC LIMIT 1", { id })
  if not found then return nil, err end
  local r = found.rows[1]
  return r and { trace = r[1], span = r[2] } or nil
end

return M
