--- The spans of a trace as a tree: each before those below it, with its depth and a path that is the same in each run of a script.
--- Pure.

local M = {}

local CALLS = { ["llm.chat"] = true, ["llm.stream"] = true, ["embed.texts"] = true }

--- Is this span a call of a model? Spans around calls have the tokens of those calls, too: a sum takes the calls alone.
---@param span table
---@return boolean
function M.is_call(span) return CALLS[span.name] or false end

--- What a span is called in a path: its name, and what it is about where that is the same in each run.
local function label_of(span)
  local about = span.name == "run" and span.workflow or span.about -- each run has an id of its own
  return about and span.name .. " " .. about:gsub("/", "\\") or span.name
end

--- Parents with their children, in the order of their beginning; spans whose parent is not here are at the top.
local function children_of(spans)
  local by_id, below, top = {}, {}, {}
  for _, span in ipairs(spans) do by_id[span.id] = span end
  for _, span in ipairs(spans) do
    local parent = span.parent and by_id[span.parent]
    local list = top
    if parent and parent ~= span then
      list = below[parent.id] or {}
      below[parent.id] = list
    end
    list[#list + 1] = span
  end
  return top, below
end

local function totals_of(spans)
  local t = { calls = 0, input_tokens = 0, output_tokens = 0, queue = 0, load = 0, prefill = 0, decode = 0, errors = 0 }
  for _, span in ipairs(spans) do
    if span.error then t.errors = t.errors + 1 end
    if M.is_call(span) then
      t.calls = t.calls + 1
      for _, name in ipairs { "input_tokens", "output_tokens", "queue", "load", "prefill", "decode" } do
        t[name] = t[name] + (span[name] or 0)
      end
    end
  end
  return t
end

--- A trace as it was kept, as a tree.
---@param kept { id: string, spans: table[] }
---@return stoke.traces.trace
---
--- Example: `local trace = trees.of { id = id, spans = spans }`
function M.of(kept)
  local top, below = children_of(kept.spans)
  local start, ends = math.huge, 0
  for _, span in ipairs(kept.spans) do
    start, ends = math.min(start, span.start), math.max(ends, span.start + span.seconds)
  end
  local out, seen = {}, {}
  local function visit(list, depth, path)
    local count = {}
    for _, span in ipairs(list) do
      if not seen[span.id] then
        seen[span.id] = true -- a circle of parents is a damaged file
        local label = label_of(span)
        count[label] = (count[label] or 0) + 1
        span.depth, span.at = depth, span.start - start
        span.path = path .. label .. (count[label] > 1 and "#" .. count[label] or "")
        out[#out + 1] = span
        if below[span.id] then visit(below[span.id], depth + 1, span.path .. "/") end
      end
    end
  end
  visit(top, 0, "")
  return { id = kept.id, start = start, seconds = math.max(0, ends - start), spans = out, totals = totals_of(out) }
end

return M
