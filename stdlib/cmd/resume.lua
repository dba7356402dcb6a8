-- stoke resume ID|--all: continues durable runs in the foreground.

local approve = require "stoke.approve"
local args = require "stoke.args"
local errors = require "core.errors"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local show = require "stoke.show"
local stdio = require "core.stdio"
local stoke = require "stoke"
local term = require "stoke.term"
local words = require "stoke.runs.words"

local SPEC = {
  name = "stoke resume",
  summary = "Continue a durable run where it stopped, and wait for its end. A script that defines its workflow does that by itself "
    .. "when it starts.",
  examples = { { "stoke resume trip-7", "on the code it began with; no answered question is asked again" },
               { "stoke resume --all", "every run that has not ended, all at the same time" },
               { "stoke resume --all --workflow order --json", "a JSON line for each as it ends" } },
  options = { { "all", type = "boolean", help = "every run that has not ended" },
              { "workflow", placeholder = "NAME", help = "with --all: only runs of this workflow" },
              { "json", type = "boolean", help = "results as JSON lines" } },
  positionals = { { "id", optional = true, help = "of the run; its beginning is enough" } },
}

local OPEN = { "running", "waiting", "parked" }

local function open_runs(workflow)
  local out = {}
  for _, status in ipairs(OPEN) do
    for _, run in ipairs(runs.list { status = status, workflow = workflow }) do out[#out + 1] = run end
  end
  table.sort(out, function(a, b) return a.number < b.number end)
  return out
end

local function tell(id, result, err, as_json)
  if as_json then return output.print_json { id = id, result = result, error = err } end
  local shown = approve.visible(id)
  if err then return stdio.err(("%s: %s\n"):format(shown, term.clean(tostring(err)))) end
  stdio.err(("%s: done%s\n"):format(shown, result ~= nil and ", " .. words.value(result) or ""))
end

--- Resumes all of them side by side. A run that fails or is parked does not end the others.
local function resume_all(a)
  local list, first = open_runs(a.workflow), nil
  if #list == 0 then return stdio.err "no unfinished run\n" end
  local scope <close> = stoke.scope {}
  scope:map(list, function(run)
    local result, err = stoke.try(runs.resume, run.id)
    if err and err.kind == "cancelled" then error(err, 0) end
    tell(run.id, result, err, a.json)
    first = first or err
    return true
  end, { limit = 64 })
  if first then errors.raise("exit", "", { code = first.exit }) end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if a.all and a.id then errors.raise("usage", "either the id of a run or --all") end
  if not a.all and not a.id then
    errors.raise("usage", "which run? stoke resume ID, or --all", { hint = "stoke runs lists them" })
  end
  if a.workflow and not a.all then
    errors.raise("usage", "--workflow goes with --all",
      { hint = "stoke resume --all --workflow " .. show.word(a.workflow) })
  end
  if a.all then return resume_all(a) end
  local id = runs.find(a.id).id
  tell(id, runs.resume(id), nil, a.json)
end
