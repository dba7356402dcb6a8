-- stoke show ID: the timeline of a durable run.

local args = require "stoke.args"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local term = require "stoke.term"
local timeline = require "stoke.runs.timeline"

local SPEC = {
  name = "stoke show", summary = "Show what a durable run did, and what it waits for.",
  examples = { { "stoke show trip-7", "each effect: when, how long, tokens, outcome" },
               { "stoke show tr", "the beginning of an id is enough" },
               { "stoke show trip-7 --record 5", "the fifth record, with its whole request and outcome" },
               { "stoke show trip-7 --requests", "all records in this way" },
               { "stoke show trip-7 --json", "for a script" } },
  options = { { "requests", type = "boolean", help = "print whole requests and outcomes" },
              { "record", type = "integer", placeholder = "N", help = "print this record only, whole" },
              { "json", type = "boolean", help = "one JSON object" } },
  positionals = { { "id", help = "of the run (its beginning is enough), or a file of stoke export" } },
}

--- One record of a run.
local function only(shown, number, id)
  local entry = shown.records[number]
  if entry then return entry end
  require "core.errors".raise("usage", ("%s has no record #%d"):format(id, number), { hint = ("it has %d"):format(#shown.records) })
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local whole = a.requests or a.record ~= nil
  local shown = runs.show(a.id, { requests = whole })
  if a.record then
    local entry = only(shown, a.record, shown.run.id)
    if a.json then return output.print_json(entry) end
    return stdio.write(timeline.whole(entry))
  end
  if a.json then return output.print_json(shown) end
  stdio.write(timeline.heading(shown.run, shown.totals))
  if #shown.records > 0 then stdio.write "\n" end
  if whole then
    for _, entry in ipairs(shown.records) do stdio.write(timeline.whole(entry), "\n") end
  else
    stdio.write(timeline.text(shown.records, { columns = stdio.is_tty(1) and term.columns() or nil, colour = term.colour(1) }))
  end
  local waiting = timeline.waiting(shown.run, shown.records)
  if waiting ~= "" then stdio.write("\n", waiting) end
end
