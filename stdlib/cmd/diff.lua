-- stoke diff A B: where two durable runs differ.

local args = require "stoke.args"
local compare = require "stoke.runs.compare"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke diff", summary = "Compare two durable runs: the first difference, and what followed from it.",
  examples = { { "stoke diff trip-7 trip-7-2", "a run and its fork" }, { "stoke diff trip-7 bug.run", "a run and an exported one" },
               { "stoke diff trip-7 trip-7-2 --json", "for a script" } },
  options = { { "json", type = "boolean", help = "one JSON object" } },
  positionals = { { "a", help = "a run" }, { "b", help = "the other one" } },
}

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local difference = runs.diff(a.a, a.b)
  if a.json then return output.print_json(difference) end
  stdio.write(compare.text(difference, { columns = stdio.is_tty(1) and term.columns() or nil, colour = term.colour(1) }))
end
