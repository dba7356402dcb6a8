#!/usr/bin/env stoke
-- review.lua: two critics read a file at once, one for correctness, one for readability; a judge then
-- looks at each finding by itself, first reasons, then keeps or drops it. What is kept is printed as
-- FILE:LINE lines, which editors and CI understand. Exit code 1 when a kept finding is of severity high.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5-coder:7b), or --sim.
-- Try:   stoke agents/review.lua agents/hello.lua
--        stoke agents/review.lua main.c --model qwen2.5-coder:7b --quiet || echo "not yet"

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local SPEC = {
  name = "review.lua", summary = "Two critics and a judge review a file.",
  examples = { { "review.lua src/main.c", "findings as FILE:LINE lines, exit code 1 if one is high" },
               { "review.lua app.lua -m qwen2.5-coder:7b --quiet", "without what was dropped, and why" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest" },
              { "limit", default = 4, help = "findings judged at once" },
              { "quiet", short = "q", type = "boolean", help = "findings only" } },
  positionals = { { "file", help = "what to review" } },
}

local CRITICS = {
  { "correctness", "You look for mistakes: wrong results, crashes, unhandled errors, races, leaks. Nothing about style." },
  { "readability", "You look for what misleads a reader: names, dead code, comments that lie. Nothing about mistakes." },
}

-- In the order a model should think: what is wrong, how bad that is, what to do. A line that is not
-- there is a problem like any other: the model is told and asked again.
local function findings(last)
  local finding = stoke.schema({ line = "integer >= 1", claim = "string 1..300: what is wrong there",
    severity = "low|medium|high", fix = "string 1..300: what to write instead" },
    { order = { "line", "claim", "severity", "fix" } })
  return stoke.schema({ findings = { finding } }, { check = function(value)
    for i, one in ipairs(value.findings) do
      if one.line > last then return false, ("the file has %d lines"):format(last), ("findings[%d].line"):format(i) end
    end
    return true
  end })
end

local VERDICT = stoke.schema({ reasoning = "string: what the code really does", verdict = "keep|drop" },
  { order = { "reasoning", "verdict" } })

local function numbered(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\r?\n" do lines[#lines + 1] = ("%d: %s"):format(#lines + 1, line) end
  return table.concat(lines, "\n"), #lines
end

local function criticize(model, code, last)
  local shape, readings = findings(last), {}
  for i, c in ipairs(CRITICS) do
    local critic = stoke.agent { name = c[1], model = model, output = shape, options = { temperature = 0 },
      instructions = c[2] .. " Report what you are sure of, at most five findings; none is a good answer, too." }
    readings[i] = function() return critic:run(code).output.findings end
  end
  local all = {}
  for _, list in ipairs(stoke.all(readings)) do
    for _, finding in ipairs(list) do
      all[#all + 1], finding.number = finding, #all
    end
  end
  table.sort(all, function(x, y) return x.line < y.line or x.line == y.line and x.number < y.number end)
  return all
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local code, last = numbered(fs.read(a.file))
  local model = a.model or ollama.newest()
  local judge = stoke.agent { name = "judge", model = model, output = VERDICT, options = { temperature = 0 },
    instructions = "A critic claims something about a line of this file:\n" .. code
      .. "\nRead the line and what is around it. Keep the claim if it is true and worth a change, else drop it." }

  local scope <close> = stoke.scope()
  local all, kept, high = criticize(model, code, last), 0, false
  local verdicts = scope:map(all, function(f)
    return judge:run(("Line %d (%s): %s\nProposed: %s"):format(f.line, f.severity, f.claim, f.fix)).output
  end, { limit = a.limit })

  for i, f in ipairs(all) do
    local line = term.clean(("%s:%d: %s: %s (%s)"):format(a.file, f.line, f.severity, f.claim, f.fix)):gsub("\n", " ")
    if verdicts[i].verdict == "keep" then
      kept, high = kept + 1, high or f.severity == "high"
      print(line)
    elseif not a.quiet then
      io.stderr:write(term.paint("dim", ("dropped %s: %s"):format(line, term.clean(verdicts[i].reasoning)), term.colour(2)), "\n")
    end
  end
  if not a.quiet then io.stderr:write(("%d findings, %d kept\n"):format(#all, kept)) end
  if high then os.exit(1) end
end)
