-- stoke trace: what took how long in a run whose spans were kept.

local args = require "stoke.args"
local draw = require "stoke.traces.draw"
local errors = require "core.errors"
local output = require "stoke.runs.output"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"
local traces = require "stoke.traces"

local SPEC = {
  name = "stoke trace", summary = "Show what took how long in a run whose spans were kept (stoke FILE --spans).",
  examples = { { "stoke trace", "the one that ended last, as a waterfall" },
               { "stoke trace list", "all that are kept, the newest first" },
               { "stoke trace 4f2a", "another one; the first digits are enough" },
               { "stoke trace diff 4f2a last", "what became slower or longer, and why" },
               { "stoke trace last --requests", "with each request, where they were kept: --spans --trace-bodies" },
               { "stoke trace last --logs", "with what stoke.log wrote in each span" },
               { "stoke trace last --json", "for a script" } },
  options = { { "requests", type = "boolean", help = "print each request that was kept" },
              { "logs", type = "boolean", help = "print what was logged, below the span in which it was" },
              { "limit", short = "n", default = 50, help = "list: so many at most" },
              { "file", placeholder = "FILE", help = "another file of traces, such as bot/.stoke/traces.db" },
              { "json", type = "boolean", help = "JSON: one object, or one a line" } },
  positionals = { { "what", optional = true, placeholder = "ID|last|list|diff", help = "default: last" },
                  { "a", optional = true, placeholder = "A", help = "diff: the run before" },
                  { "b", optional = true, placeholder = "B", help = "diff: the run after (last)" } },
}

local function list(a)
  local found = traces.list { file = a.file, limit = a.limit }
  if a.json then
    for _, trace in ipairs(found) do output.print_json(trace) end
    return
  end
  if #found == 0 then return stdio.err "no trace was kept yet: stoke FILE --spans keeps one\n" end
  local now, rows = time.now(), { { "ID", "WHAT", "BEGAN", "TOOK", "CALLS", "TOKENS", "" } }
  for i, trace in ipairs(found) do
    rows[i + 1] = { trace.id:sub(1, 12), term.clean(trace.name .. (trace.about and " " .. trace.about or "")),
      term.duration(math.max(now - trace.start, 0)) .. " ago", draw.seconds(trace.seconds), ("%d"):format(trace.calls),
      ("%d+%d"):format(trace.input_tokens, trace.output_tokens), trace.errors > 0 and ("%d failed"):format(trace.errors) or "" }
  end
  term.table(rows, { right = { [4] = true, [5] = true, [6] = true } })
  if #found == a.limit then stdio.err(("(the first %d; --limit N shows more)\n"):format(a.limit)) end
end

local function diff(a)
  if not a.a then errors.raise("usage", "stoke trace diff wants two traces", { hint = "stoke trace diff 4f2a last" }) end
  local difference = traces.diff(a.a, a.b or "last", { file = a.file })
  if a.json then
    difference.a, difference.b = difference.a.id, difference.b.id
    return output.print_json(difference)
  end
  stdio.write(draw.difference(difference))
end

local function show(a)
  local trace = traces.get(a.what or "last", { file = a.file })
  local logged = traces.logs { trace = trace.id, file = a.file }
  if a.logs then trace.logs = logged end
  if a.json then
    if not a.requests then
      for _, span in ipairs(trace.spans) do span.request = nil end
    end
    return output.print_json(trace)
  end
  stdio.write(draw.waterfall(trace, { columns = stdio.is_tty(1) and term.columns() or nil, colour = term.colour(1),
    requests = a.requests }))
  if logged[1] and not a.logs then
    stdio.err(("(%d %s logged: --logs shows them)\n"):format(#logged, #logged == 1 and "line was" or "lines were"))
  end
  local kept = false
  for _, span in ipairs(trace.spans) do kept = kept or span.request ~= nil end
  if a.requests and not kept then stdio.err "no requests were kept: stoke FILE --spans --trace-bodies keeps them\n" end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if a.a and a.what ~= "diff" then
    errors.raise("usage", ("stoke trace %s takes no more words"):format(a.what), { hint = "stoke trace diff A B compares two" })
  end
  local f = a.what == "list" and list or a.what == "diff" and diff or show
  return f(a)
end
