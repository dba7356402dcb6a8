-- stoke fork ID --at N: a new run that begins with the records of another one.

local approve = require "stoke.approve"
local args = require "stoke.args"
local errors = require "core.errors"
local json = require "core.json"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local words = require "stoke.runs.words"

local SPEC = {
  name = "stoke fork", summary = "Make a new run that begins with the first records of another one, and continues on its own.",
  examples = { { "stoke fork trip-7 --at 4", "everything after record 4 is asked again" },
               { "stoke fork trip-7 --set '5=\"25 degrees, sun\"'", "with another outcome of record 5" },
               { "stoke fork trip-7 --set 'run/step pay:1/step#1=null'",
                 "the record named by its key (stoke show ID --record 5)" },
               { "stoke fork trip-7 --at 4 --id trip-sunny --json", "with an id of its own, for a script" } },
  options = { { "at", type = "integer", placeholder = "N", help = "the last record that both share; default: the last set one" },
              { "set", type = "list", placeholder = "N=JSON", short = "s", help = "another outcome of a record (number or key)" },
              { "id", help = "of the new run; default: the old id and a number" },
              { "json", type = "boolean", help = "the new run as JSON" } },
  positionals = { { "run", placeholder = "ID", help = "the run" } },
}

--- N=JSON or KEY=JSON. A key ends in # and a number, and holds no other #.
local function setting(text)
  local which, value = text:match "^(%d+)=(.*)$"
  if which then
    which = math.tointeger(tonumber(which))
  else
    which, value = text:match "^([^#]*#%d+)=(.*)$"
  end
  if not which then
    errors.raise("usage", ("--set wants N=JSON or KEY=JSON, got '%s'"):format(text), { hint = "stoke show ID lists the records" })
  end
  local decoded, err = json.decode(value)
  if err then
    errors.raise("usage", ("--set %s: the outcome is no JSON: %s"):format(which, err.message),
      { hint = ("a text stands in quotes: --set '%s=\"...\"'"):format(which) })
  end
  return which, decoded
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local set, last = {}, nil
  for _, text in ipairs(a.set or {}) do
    local which, value = setting(text)
    set[which] = value
    last = math.type(which) == "integer" and math.max(last or 0, which) or last
  end
  local run = runs.fork(a.run, { at = a.at, id = a.id, set = set })
  if a.json then return output.print_json(run) end
  stdio.write(("%s begins with the first %d records of %s\n"):format(approve.visible(run.id), run.fork_at,
    approve.visible(run.fork_of_id or a.run)))
  if a.at and last and last < a.at then
    stdio.err(("records %d to %d keep their outcomes: where the run asks something else there, it is parked; --at %d asks anew\n")
      :format(last + 1, a.at, last))
  end
  stdio.write(("stoke resume %s continues it; so does a script that defines %s\n"):format(words.id(run),
    approve.visible(run.workflow)))
end
