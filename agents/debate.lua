#!/usr/bin/env stoke
-- debate.lua: a question is debated from several sides. Each side answers, reads the others, and answers again; a judge then
-- gives the last answer. Where all agree at once there is nothing to judge. With --vote nobody talks: so many answers, and the one
-- that most give.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/debate.lua "Should a small town build a tram?"
--        stoke agents/debate.lua "Tabs or spaces?" --sides "a maintainer,a newcomer,a cynic" --rounds 3
--        stoke agents/debate.lua "How many legs have 3 spiders and 2 cats? Only the number." --vote 5

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local function positive(n) return n > 0 and n or error("it must be above 0", 0) end

local SPEC = {
  name = "debate.lua", summary = "Several sides debate a question, and a judge decides.",
  examples = { { "debate.lua \"Should a small town build a tram?\"", "an advocate and a sceptic, two rounds" },
               { "debate.lua \"2 + 2 * 2?\" --vote 5", "five answers, and the one that most give" } },
  options = { { "sides", default = "an advocate,a sceptic", help = "who debates, with commas" },
              { "rounds", default = 2, convert = positive, help = "how often each side speaks" },
              { "vote", type = "integer", convert = positive, placeholder = "N",
                help = "no debate: N answers, and the one that most give" },
              { "model", short = "m", help = "model to ask; without it the newest" },
              { "judge-model", placeholder = "MODEL", help = "model of the judge; without it the same" },
              { "deadline", type = "number", convert = positive, placeholder = "S", help = "seconds for all" } },
  positionals = { { "question", help = "what is debated" } },
}

local function sides_of(a, model)
  local members = {}
  for side in a.sides:gmatch "[^,]+" do
    side = side:match "^%s*(.-)%s*$"
    members[#members + 1] = stoke.agent {
      name = side:gsub("^an? ", ""):gsub("[^%w_ .-]", ""), model = model,
      instructions = ("You debate as %s. Answer in at most four sentences, with your best reason. Say so when another is right.")
        :format(side),
    }
  end
  return members
end

local function team_of(a)
  local model = a.model or ollama.newest()
  if a.vote then
    local voter = stoke.agent { name = "voter", model = model, options = { temperature = 0.8 },
      instructions = "Think it over, then answer as shortly as you can." }
    return stoke.team.vote { name = "vote", members = { voter }, votes = a.vote, deadline = a.deadline }
  end
  local members = sides_of(a, model)
  if #members < 2 then stoke.raise("usage", "a debate has two sides at least: --sides \"an advocate,a sceptic\"") end
  local judge = stoke.agent { name = "judge", model = a.judge_model or model, options = { temperature = 0 },
    instructions = "You judge a debate. Decide, in at most three sentences, and say which reason decided it." }
  return stoke.team.debate { name = "debate", members = members, judge = judge, rounds = a.rounds, deadline = a.deadline,
    on_failure = "go_on" }
end

local function note(format, ...) io.stderr:write(term.paint("dim", format:format(...), term.colour(2)), "\n") end

-- What the team tells while it works.
local TELL = {
  message = function(ev) print(("%s: %s\n"):format(term.paint("bold", ev.from), term.clean(ev.text))) end,
  failure = function(ev) note("%s has failed (%s): %s", ev.agent, ev.err.message, ev.answer) end,
  progress = function(ev)
    if ev.round then note("round %d: %d answers", ev.round, ev.answers) end
    for _, vote in ipairs(ev.votes or {}) do note("%d for %s", vote.count, term.clean(vote.text)) end
  end,
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local result
  for ev in team_of(a):stream(a.question) do
    local tell = TELL[ev.type]
    if tell and not (a.vote and ev.type == "message") then tell(ev) end
    if ev.type == "done" then result = ev.result end
  end
  if a.vote or not (result.stopped or ""):find "judged" then print(term.clean(result.text)) end
  note("%s; %d calls, %d tokens in, %d out, %.1f s of model time", result.stopped or "all votes counted", result.usage.calls,
    result.usage.input_tokens, result.usage.output_tokens, result.usage.seconds)
end)
