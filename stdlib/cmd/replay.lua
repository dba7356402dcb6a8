-- stoke replay ID: repeats a durable run from its records.

local args = require "stoke.args"
local errors = require "core.errors"
local output = require "stoke.runs.output"
local prompts = require "stoke.runs.prompt"
local replays = require "stoke.runs.replay"
local runs = require "stoke.runs"
local show = require "stoke.show"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke replay", summary = "Repeat a durable run from its records: no call, no wait, no cost.",
  examples = { { "stoke replay trip-7", "print what it printed" },
               { "stoke replay trip-7 --check", "compare every request and the result; exit code 1 if anything differs" },
               { "stoke replay trip-7 --to 17", "stop at record 17, with a prompt inside the run: its locals, tasks and scopes" },
               { "stoke replay trip-7 --check --latest", "would it ask the same with the files as they are now?" },
               { "stoke replay bug.run --check", "a run from a file that stoke export wrote" } },
  options = { { "check", type = "boolean", help = "print the comparison only" },
              { "to", type = "integer", placeholder = "N", help = "stop at record N, with a prompt inside the run" },
              { "latest", type = "boolean", help = "use its files as they are now instead of the code it began with" },
              { "json", type = "boolean", help = "the comparison as JSON" } },
  positionals = { { "id", help = "of the run (its beginning is enough), or a file of stoke export" } },
}

--- Stand still at a record, with a prompt.
local function at_prompt(id, to, options)
  local shown = runs.show(id, { requests = true })
  if to < 1 or to > #shown.records then
    errors.raise("usage", ("%s has no record #%d"):format(shown.run.id, to),
      { hint = ("it has %d: stoke show %s"):format(#shown.records, show.word(id)) })
  end
  local prompt = prompts.new(shown.records, to)
  local finished, report = prompt:run(function()
    options.on_record = function(_, row) prompt:on_given(row) end
    return runs.replay(id, options)
  end)
  if finished then stdio.err("the run is at its end: " .. replays.text(report)) end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local foreign = a.id:find "%.run$" ~= nil
  if foreign and a.latest then
    errors.raise("usage", "--latest is for the runs of a store: an exported one brings its own code", { hint = "leave it out" })
  end
  local options = { code = a.latest and "latest" or nil, closed = foreign }
  if a.to then
    if a.json or a.check then errors.raise("usage", "--to opens a prompt: it does not go with --check and --json") end
    return at_prompt(a.id, a.to, options)
  end
  options.print = not a.check and not a.json
  local report = runs.replay(a.id, options)
  if a.json then
    output.print_json(report)
  elseif a.check then
    stdio.write(replays.text(report))
  elseif report.same then
    stdio.err(replays.text(report))
  end
  if report.same then return end
  if a.json or a.check then errors.raise("exit", "", { code = 1 }) end
  error(report.err or errors.new("replay", report.difference), 0)
end
