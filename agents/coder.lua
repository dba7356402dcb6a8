#!/usr/bin/env stoke
-- coder.lua: gets a folder, a task and the command that tests it; reads, patches, runs the tests, and goes
-- on until they pass. It works in place: if it does not get there, or is stopped on the way, the folder is
-- put back exactly as it was, files it made included. The model can run the test command and nothing else,
-- in a sandbox that can change this folder only.
-- Exit code 0: green. 1: still red after --rounds. 6: out of tokens or steps. 124: out of time.
--
-- Needs: an Ollama with a model that calls tools well (stoke pull qwen2.5-coder:7b), or --sim; cp and diff.
-- Try:   stoke agents/coder.lua ./project "Mend the rounding of totals." --test "make test"
--        stoke agents/coder.lua . "Add a --json flag." --test "npm test" --tokens 200000 --deadline 900

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local term = require "stoke.term"

local function folder_of(path)
  path = path:gsub("(.)/+$", "%1")
  local stat = fs.stat(path)
  if not stat or stat.type ~= "directory" or path == "/" then error(("%s is no folder to work in"):format(path), 0) end
  return path
end

local SPEC = {
  name = "coder.lua", summary = "Change the code in a folder until its tests pass, or leave it as it was.",
  examples = { { "coder.lua ./project \"Mend the rounding.\" --test \"make test\"", "until make test passes" },
               { "coder.lua . \"Add a flag.\" --test \"npm test\" --tokens 200000", "at most so many tokens" } },
  options = { { "test", required = true, placeholder = "COMMAND", help = "tests the folder; no shell" },
              { "model", short = "m", help = "model to ask; without it the newest with tools" },
              { "read", type = "list", placeholder = "DIR", help = "a folder the test command needs to read, too" },
              { "rounds", default = 4, help = "answers of the model that are tested" },
              { "steps", default = 20, help = "questions to the model in each round" },
              { "tokens", type = "integer", help = "tokens it may use" },
              { "deadline", type = "number", placeholder = "S", help = "seconds it may take" } },
  positionals = { { "folder", convert = folder_of }, { "task", help = "what to do" } },
}

local function note(format, ...) io.stderr:write(term.paint("dim", format:format(...), term.colour(2)), "\n") end

local function run(...)
  local r = proc.run { argv = { ... }, stderr = "merge" }
  if r.code == 0 or (... == "diff" and r.code == 1) then return r.stdout end
  error(("%s failed: %s"):format((...), r.stdout), 0)
end

-- A copy of the folder, which comes back when the scope is left, unless keep is set.
local function snapshot(folder)
  local copy = run("mktemp", "-d"):gsub("\n", "")
  local copied, problem = pcall(run, "cp", "-a", folder .. "/.", copy)
  if not copied then
    fs.remove(copy, { recursive = true })
    error(problem, 0)
  end
  local function leave(self)
    if not self.keep then
      for _, entry in ipairs(fs.list(folder)) do
        local path = folder .. "/" .. entry.name
        local _, err = stoke.try(fs.remove, path, { recursive = true })
        if err and fs.stat(path) then error(err, 0) end -- the temporary file of a write that was cut goes by itself
      end
      run("cp", "-a", copy .. "/.", folder)
      note("%s is as it was", folder)
    end
    fs.remove(copy, { recursive = true })
  end
  return setmetatable({ copy = copy }, { __close = function(self)
    local ok, err = pcall(stoke.shield, 60, leave, self) -- also after Ctrl-C
    if not ok then io.stderr:write(("%s is not whole; what it was is in %s\n%s\n"):format(folder, copy, tostring(err))) end
  end })
end

-- What a call is about.
local function target(arguments)
  local what = arguments.path or arguments.command or arguments.argv
  return term.clean(type(what) == "string" and what or json.encode(what or arguments))
end

-- What has changed, file by file.
local function summary(copy, folder)
  local heading
  for line in run("diff", "-ruN", "-x", ".git", copy, folder):gmatch "[^\n]+" do
    if line:find "^diff " then heading = true end
    if heading and line:find "^%+%+%+ " then print(line:match "^%+%+%+ ([^\t]*)") end
    if line:find "^@@" then heading = false end
    if not heading and line:find "^[-+]" then print("  " .. line) end
  end
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local folder, tools = a.folder, stoke.tools
  local tester = tools.run_command { root = folder, allow = { a.test }, read = a.read, timeout = 300 }
  local function test()
    local result = tester:call { command = a.test }
    note("%s: %s", a.test, result.code == 0 and "passed" or "failed")
    return result.code == 0, tostring(result)
  end

  local scope <close> = stoke.scope { deadline = a.deadline, budget = a.tokens and { tokens = a.tokens } }
  local before <close> = snapshot(folder)
  local green, said = test()
  local coder = stoke.agent {
    name = "coder", model = a.model or ollama.newest "tools", max_steps = a.steps, options = { temperature = 0 },
    instructions = "You change code. First look: list_dir, read_file. Make the smallest change that does the task, "
      .. "with patch_file, or write_file for a new file. Run the tests. Never weaken a test. Stop when they pass.",
    tools = { tools.list_dir { root = folder }, tools.read_file { root = folder }, tools.patch_file { root = folder },
              tools.write_file { root = folder }, tester },
  }
  local session, round = coder:session(), 0
  local words = ("Task: %s\nThe tests (%s) now say:\n%s"):format(a.task, a.test, said)
  while round == 0 or not green do
    if round == a.rounds then error(("still red after %d rounds"):format(round), 0) end
    round = round + 1
    for ev in session:stream(words) do
      if ev.type == "tool_call" then note("> %s %s", ev.name, target(ev.arguments)) end
      if ev.type == "tool_result" and ev.failed then note("! %s", term.clean(ev.text)) end
      if ev.type == "done" then note("%s", term.clean(ev.result.text)) end
    end
    green, said = test()
    words = "The tests still fail. Find out why, and mend it:\n" .. said
  end
  before.keep = true
  summary(before.copy, folder)
  note("green after %d rounds", round)
end)
