#!/usr/bin/env stoke
-- crew.lua: a crew works on a task over a folder. A manager keeps a ledger: what is known, a plan, and after each step whether it
-- brought the task forward and who does what next; after three steps without progress it plans anew. The crew: a reader of the
-- files, a calculator, and with --out a clerk that may write files there. With --split the task is planned in parts that are done
-- side by side. The crew shares one budget and one deadline; a member that fails is replaced, or what it could not do is said.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:7b), or --sim.
-- Try:   stoke agents/crew.lua "What do two adults and a child pay for the ferry?" --root tests/agents/research
--        stoke agents/crew.lua "Which modules have no tests?" --root lua --split
--        stoke agents/crew.lua "Write a summary of all notes" --root notes --out summary

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local function positive(n) return n > 0 and n or error("it must be above 0", 0) end

local SPEC = {
  name = "crew.lua", summary = "A manager and a crew with tools work on a task over a folder.",
  examples = { { "crew.lua \"Which file is about ferries?\" --root docs", "step by step, under a manager's ledger" },
               { "crew.lua \"Compare the offers\" --root offers --split", "planned in parts that are done side by side" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest with tools" },
              { "root", default = ".", placeholder = "DIR", help = "the files" },
              { "out", placeholder = "DIR", help = "where the clerk may write files; without it there is no clerk" },
              { "split", type = "boolean", help = "parts side by side, instead of steps one after another" },
              { "steps", default = 12, convert = positive, help = "steps, or parts with --split, at most" },
              { "tokens", type = "integer", convert = positive, help = "tokens all may use together" },
              { "deadline", type = "number", convert = positive, placeholder = "S", help = "seconds for all" } },
  positionals = { { "task", help = "what is to be done" } },
}

local function members_of(a, model)
  local box = stoke.tools
  local reader = stoke.agent {
    name = "reader", model = model, max_steps = 8, tools = { box.list_dir { root = a.root }, box.read_file { root = a.root } },
    description = "lists and reads the files, and says what is in them",
    instructions = "You look things up in files. List them first, read what matters, then answer in at most five sentences and "
      .. "name the files.",
  }
  local calculator = stoke.agent {
    name = "calculator", model = model, max_steps = 6, tools = { box.calculator() },
    description = "computes with numbers that were found",
    instructions = "You compute. Use the tool for each sum, then give the result in one sentence.",
  }
  if not a.out then return { reader, calculator } end
  local clerk = stoke.agent {
    name = "clerk", model = model, max_steps = 4, tools = { box.write_file { root = a.out } },
    description = "writes files, with the text it is told to write",
    instructions = "You write files with the tool, exactly what you are told. Then say in one sentence what you wrote.",
  }
  return { reader, calculator, clerk }
end

local function team_of(a)
  local model = a.model or ollama.newest "tools"
  local given = { name = "crew", members = members_of(a, model), deadline = a.deadline,
    budget = a.tokens and { tokens = a.tokens } }
  if a.split then
    given.max_tasks = a.steps
    return stoke.team.orchestrate(given)
  end
  given.max_turns = a.steps
  return stoke.team.ledger(given)
end

local function note(format, ...) io.stderr:write(term.paint("dim", format:format(...), term.colour(2)), "\n") end
local function line(text) return (term.clean(text):gsub("%s+", " ")) end

-- What the crew tells while it works.
local TELL = {
  plan = function(ev)
    if type(ev.plan) == "string" then return note("plan %d: %s", ev.number, line(ev.plan)) end
    for i, part in ipairs(ev.plan) do note("%d. %s (%s)", i, line(part.part), part.worker) end
  end,
  progress = function(ev)
    if ev.part then return note("%s: %s", ev.failed and "not done" or "done by " .. ev.worker, line(ev.failed or ev.part)) end
    local stalls = not ev.progress and ("no progress (%d)"):format(ev.stalls) or nil
    if not ev.done then note("%s%s%s", stalls or "", stalls and ev.next and "; " or "", ev.next and ev.next .. " is next" or "") end
  end,
  message = function(ev)
    if not ev.from:find "^crew, " then note("%s: %s", ev.from, line(ev.text)) end -- its editor writes what is printed at the end
  end,
  failure = function(ev) note("%s has failed (%s): %s", ev.agent, line(ev.err.message), ev.answer) end,
  nested = function(ev)
    local inner = ev.event
    if inner.type == "tool_call" then note("> %s: %s %s", ev.agent, inner.name, stoke.json.encode(inner.arguments)) end
  end,
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local result
  for ev in team_of(a):stream(a.task) do
    local tell = TELL[ev.type]
    if tell then tell(ev) end
    if ev.type == "done" then result = ev.result end
  end
  print(term.clean(result.text))
  note("%s; %d calls, %d tool calls, %d tokens in, %d out, %.1f s of model time", result.stopped, result.usage.calls,
    result.usage.tool_calls, result.usage.input_tokens, result.usage.output_tokens, result.usage.seconds)
end)
