--- What differs between two traces of one script: spans are put beside each other by their paths, and each that takes longer,
--- reads or writes more, or went another way is named with the part that explains it. Pure.

local M = {}

--- Parts of a span's time, in the order in which they pass, and what they are called.
local PARTS = { { "queue", "waiting for a slot" }, { "load", "loading the model" }, { "prefill", "reading the prompt" },
  { "decode", "writing the answer" } }

--- Less than this is noise: seconds, and as a part of the longer one.
local LEAST <const>, PART <const> = 0.001, 0.05

---@class stoke.traces.change
---@field path string
---@field name string
---@field about? string
---@field before number seconds
---@field after number seconds
---@field seconds number more (or fewer: below 0)
---@field own number seconds more in the span itself, without those below it
---@field why string[] what explains it, in words
---@field input_tokens? integer more
---@field output_tokens? integer more

---@class stoke.traces.difference
---@field a stoke.traces.trace
---@field b stoke.traces.trace
---@field seconds number more
---@field changes stoke.traces.change[] the largest in the span itself first
---@field gone stoke.traces.span[] only in the first, without those below another
---@field new stoke.traces.span[] only in the second, without those below another

local function by_path(trace)
  local out = {}
  for _, span in ipairs(trace.spans) do out[span.path] = span end
  return out
end

--- Seconds of each span that are in none below it: what runs side by side below counts once.
local function own_seconds(trace)
  local own, below = {}, {}
  for _, span in ipairs(trace.spans) do
    if span.parent then
      below[span.parent] = below[span.parent] or {}
      table.insert(below[span.parent], span)
    end
  end
  for _, span in ipairs(trace.spans) do
    local covered, reached = 0, span.start
    for _, inner in ipairs(below[span.id] or {}) do -- in the order of their beginning
      local ends = math.min(inner.start + inner.seconds, span.start + span.seconds)
      covered = covered + math.max(0, ends - math.max(inner.start, reached))
      reached = math.max(reached, ends)
    end
    own[span.path] = math.max(0, span.seconds - covered)
  end
  return own
end

local function signed(n) return (n > 0 and "+" or "") .. n end

local function other(why, name, before, after)
  if before == after then return end
  why[#why + 1] = ("%s %s, before %s"):format(name, tostring(after or "none"), tostring(before or "none"))
end

--- What explains that a span took longer, or shorter.
local function reasons(before, after, own)
  local why = {}
  for _, part in ipairs(PARTS) do
    local more = (after[part[1]] or 0) - (before[part[1]] or 0)
    if math.abs(more) >= math.max(LEAST, math.abs(own) * 0.1) then why[#why + 1] = ("%s %+.3f s"):format(part[2], more) end
  end
  for _, name in ipairs { "input_tokens", "output_tokens" } do
    local more = (after[name] or 0) - (before[name] or 0)
    if more ~= 0 then why[#why + 1] = ("%s tokens %s"):format(signed(more), name == "input_tokens" and "read" or "written") end
  end
  other(why, "cache", before.cached, after.cached)
  if (before.attempts or 1) ~= (after.attempts or 1) then other(why, "attempts", before.attempts, after.attempts) end
  other(why, "error", before.error, after.error)
  other(why, "model", before.model, after.model)
  other(why, "endpoint", before.endpoint, after.endpoint)
  return why
end

local function change_of(before, after, own)
  local more = after.seconds - before.seconds
  local why = reasons(before, after, own)
  if math.abs(own) < math.max(LEAST, PART * math.max(before.seconds, after.seconds)) and #why == 0 then return nil end
  return { path = after.path, name = after.name, about = after.about, before = before.seconds, after = after.seconds,
    seconds = more, own = own, why = why, input_tokens = (after.input_tokens or 0) - (before.input_tokens or 0),
    output_tokens = (after.output_tokens or 0) - (before.output_tokens or 0) }
end

--- Spans that the other one has not; what is below one of them is not named again.
local function missing(trace, others)
  local out, under = {}, {}
  for _, span in ipairs(trace.spans) do
    if not others[span.path] then
      if not (span.parent and under[span.parent]) then out[#out + 1] = span end
      under[span.id] = true
    end
  end
  return out
end

--- Compare two traces.
---@param a stoke.traces.trace
---@param b stoke.traces.trace
---@return stoke.traces.difference
---
--- Example: `local difference = compare.of(before, after)`
function M.of(a, b)
  local before, after, own_a, own_b = by_path(a), by_path(b), own_seconds(a), own_seconds(b)
  local changes = {}
  for _, span in ipairs(b.spans) do
    local was = before[span.path]
    changes[#changes + 1] = was and change_of(was, span, own_b[span.path] - own_a[span.path]) or nil
  end
  table.sort(changes, function(x, y)
    if math.abs(x.own) ~= math.abs(y.own) then return math.abs(x.own) > math.abs(y.own) end
    return x.path < y.path
  end)
  return { a = a, b = b, seconds = b.seconds - a.seconds, changes = changes, gone = missing(a, after), new = missing(b, before) }
end

return M
