-- stoke runs: lists the durable runs of a store.

local approve = require "stoke.approve"
local args = require "stoke.args"
local prune = require "stoke.cmd.prune"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"
local words = require "stoke.runs.words"

local SPEC = {
  name = "stoke runs", summary = "List the durable runs, the newest first.",
  examples = { { "stoke runs", "all runs, and what they wait for" },
               { "stoke runs --status waiting", "runs that wait for a timer, a signal or a person" },
               { "stoke runs --status parked --workflow order", "runs of order that cannot continue by themselves" },
               { "stoke runs --json --store bot/.stoke/state.db", "one JSON object a line, from the store of another folder" } },
  options = { { "status", placeholder = "STATE", choices = { "running", "waiting", "parked", "done", "failed", "cancelled" } },
              { "workflow", placeholder = "NAME", help = "only runs of this workflow" },
              { "limit", short = "n", default = 100, help = "list at most this many" },
              { "json", type = "boolean", help = "one JSON object a line" } },
}

--- Columns of what a run waits for; stoke show has it whole.
local WIDTH <const> = 80

local function waits_for(run)
  local why = run.left and (run.waits and "no process has it; " .. run.waits or "no process has it: stoke resume " .. words.id(run))
    or run.waits or run.state == "failed" and run.error and run.error.message or ""
  why = term.clean(why:match "^[^\n]*")
  return term.width(why) > WIDTH and term.fit(why, WIDTH) or why
end

local function table_of(list, now)
  local rows = { { "ID", "WORKFLOW", "STATE", "SINCE", "WAITS FOR", "CALLS", "TOKENS" } }
  for i, run in ipairs(list) do
    local id, typed = approve.visible(run.id), words.id(run)
    rows[i + 1] = { typed:sub(1, 1) == "@" and ("%s (%s)"):format(id, typed) or id, approve.visible(run.workflow), run.state,
      term.duration(math.max(now - run.changed, 0)), waits_for(run), ("%d"):format(run.calls), ("%d"):format(run.tokens) }
  end
  term.table(rows, { right = { [4] = true, [6] = true, [7] = true } })
end

---@param argv string[]
return function(argv)
  if argv[1] == "prune" then return prune(table.move(argv, 2, #argv, 1, {})) end
  local a = args.parse(SPEC, argv)
  local list = runs.list { status = a.status, workflow = a.workflow, limit = a.limit }
  if a.json then
    for _, run in ipairs(list) do output.print_json(run) end
    return
  end
  if #list == 0 then
    local only = a.status or a.workflow
    return stdio.err(only and "no such run; stoke runs lists all\n" or "no run yet: stoke run --durable FILE begins one\n")
  end
  table_of(list, time.now())
  if #list == a.limit then stdio.err(("(the newest %d; --limit N shows more)\n"):format(a.limit)) end
end
