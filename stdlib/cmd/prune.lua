-- stoke prune: deletes durable runs that have ended.

local age = require "stoke.cmd.age"
local args = require "stoke.args"
local core_runs = require "core.runs"
local effect = require "core.effect"
local errors = require "core.errors"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"
require "core.driver.hosts"
require "stoke.workflow"

local SPEC = {
  name = "stoke prune",
  summary = "Delete durable runs that have ended, the oldest first. Unfinished runs and origins of forks stay. With --engine: "
    .. "those that hosts share, with their journals, from the engine; each host's copies are in its store.",
  examples = { { "stoke prune --older 30d --dry-run", "what would be deleted" },
               { "stoke prune --older 30d", "runs that ended more than 30 days ago (units h, d, w)" },
               { "stoke prune --engine postgres://db/stoke --older 30d", "runs of workers, and their results" },
               { "stoke prune --bytes 1gb", "the oldest, until the records of all runs take at most 1 GB" } },
  options = { { "older", placeholder = "AGE", help = "runs that ended longer ago than this: 12h, 30d, 8w" },
              { "bytes", placeholder = "SIZE", help = "the oldest runs, until this much is left: 500mb, 1gb" },
              { "engine", placeholder = "URL", help = "runs that hosts share by it, in place of those of the store" },
              { "dry-run", type = "boolean", help = "list them, and delete nothing" },
              { "json", type = "boolean", help = "one JSON object" } },
}

local BYTES = { b = 1, kb = 1e3, mb = 1e6, gb = 1e9, tb = 1e12, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3, kib = 1024, mib = 1024 ^ 2,
  gib = 1024 ^ 3 }

local function size(text)
  if not text then return nil end
  local number, unit = text:lower():match "^(%d+%.?%d*)%s*(%a+)$"
  if number and BYTES[unit] then return tonumber(number) * BYTES[unit] end
  errors.raise("usage", ("--bytes wants a number and a unit, got '%s'"):format(text), { hint = "as in --bytes 1gb" })
end

--- Runs that hosts share: what they take is not known.
local function prune_shared(a)
  core_runs.engine = function() return a.engine end
  local done = errors.check(effect.perform("hosts.prune", { older = age.seconds(a.older, "--older", "30d"), dry = a.dry_run }))
  if a.json then return output.print_json(done) end
  local now, rows = time.now(), { { "ID", "WORKFLOW", "STATE", "ENDED" } }
  for i, run in ipairs(done.runs) do
    rows[i + 1] = { run.id, run.workflow, run.state, term.duration(math.max(now - run.changed, 0)) .. " ago" }
  end
  if #rows > 1 then term.table(rows, { right = { [4] = true } }) end
  stdio.write(("%d run%s %s\n"):format(#done.runs, #done.runs == 1 and "" or "s", a.dry_run and "would be deleted" or "deleted"))
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if not a.older and not a.bytes then
    errors.raise("usage", "which runs? --older 30d, or --bytes 1gb",
      { hint = "add --dry-run to list them and delete nothing" })
  end
  if a.engine and a.bytes then
    errors.raise("usage", "--bytes is of a store: an engine does not say what a run takes", { hint = "--older 30d" })
  end
  if a.engine then return prune_shared(a) end
  local done = runs.prune { older = age.seconds(a.older, "--older", "30d"), bytes = size(a.bytes),
    dry = a.dry_run }
  if a.json then return output.print_json(done) end
  local now, rows = time.now(), { { "ID", "WORKFLOW", "ENDED", "SIZE" } }
  for i, run in ipairs(done.runs) do
    rows[i + 1] = { run.id, run.workflow, term.duration(math.max(now - run.changed, 0)) .. " ago", term.bytes(run.bytes) }
  end
  if #rows > 1 then term.table(rows, { right = { [3] = true, [4] = true } }) end
  stdio.write(("%d run%s, %s%s\n"):format(#done.runs, #done.runs == 1 and "" or "s", term.bytes(done.bytes),
    a.dry_run and " would be deleted" or " deleted"))
end
