#!/usr/bin/env stoke
-- tinker.lua: an agent that improves another one. It reads where an agent fails at its evaluation, writes other instructions for
-- it, and proposes them; what passes more cases, at no more than twice the tokens, takes the place of the old ones. It ends when
-- all cases pass, or when its budget is used up. Every attempt is a durable run: stoke runs lists them.
--
-- The agent is a file NAME.lua with its instructions between [[ and ]], beside NAME_eval.lua, its evaluation, and NAME_test.lua, if
-- there is one. --new writes the first two, to begin with.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5:3b), or --sim. The larger model writes, the smaller one is improved:
-- Try:   stoke agents/tinker.lua --new clerk.lua
--        stoke agents/tinker.lua clerk.lua --model qwen2.5:7b --tries 5
--        stoke agents/tinker.lua clerk.lua --ask             # you see each change first

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"

local clerks = stoke.evolve { name = "tinker", files = "**/*.lua", folder = ".", tests = { "*_test.lua" }, eval = "*_eval.lua",
  better = true, watch = false }
local asking = stoke.evolve { name = "tinker (asking)", files = "**/*.lua", folder = ".", tests = { "*_test.lua" },
  eval = "*_eval.lua", better = true, watch = false, ask = true }

local PROMPT = [[
You improve the instructions of an assistant. You are given its present instructions and cases in which it was wrong.
Find the rule that the cases have in common, and state it; do not list the cases themselves.
Answer with the new instructions alone, at most 120 words, without a heading.]]

local CLERK = [==[
local stoke = require "stoke"

local INSTRUCTIONS = [[
Sort the message: billing, bug or account. Answer with the word alone.]]

return stoke.agent { name = "clerk", model = "qwen2.5:3b", instructions = INSTRUCTIONS,
  options = { temperature = 0, num_predict = 8 } }
]==]

local EVAL = [==[
local stoke = require "stoke"

return stoke.eval { run = require "clerk", scorers = { stoke.eval.equal { case = false } }, cases = {
  { input = "I was charged twice.", expected = "billing" },
  { input = "What does the family plan cost?", expected = "billing" },
  { input = "The app closes at once.", expected = "bug" },
  { input = "The cover of my album is upside down.", expected = "bug" },
  { input = "I cannot sign in any more.", expected = "account" },
  { input = "Delete my second profile, please.", expected = "account" },
} }
]==]

local SPEC = {
  name = "tinker.lua", summary = "Improve the instructions of an agent, on its evaluation.",
  examples = { { "tinker.lua --new clerk.lua", "write clerk.lua and clerk_eval.lua, to begin with" },
               { "tinker.lua clerk.lua --tries 5 --tokens 50000", "within a budget" } },
  options = { { "model", short = "m", help = "the model that writes; without it the newest" },
              { "tries", type = "integer", default = 5, help = "proposals at most" },
              { "tokens", type = "integer", default = 100000, help = "tokens at most, evaluations included" },
              { "ask", type = "boolean", help = "a person approves each change" },
              { "new", type = "boolean", help = "write an agent and its evaluation, to begin with" } },
  positionals = { { "file", default = "clerk.lua", optional = true, help = "the agent's file" } },
}

local function begin(file)
  local eval = file:gsub("%.lua$", "_eval.lua")
  for _, path in ipairs { file, eval } do
    if fs.stat(path) then stoke.raise("usage", path .. " is there already") end
  end
  fs.write(file, CLERK)
  fs.write(eval, (EVAL:gsub('"clerk"', ("%q"):format(file:gsub("%.lua$", "")))))
  print(("%s and %s: stoke agents/tinker.lua %s"):format(file, eval, file))
end

--- The file with other instructions.
local function with(text, instructions)
  local words = instructions:gsub("%]%]", "] ]")
  local changed, n = text:gsub("%[%[.-%]%]", function() return ("[[\n%s]]"):format(words) end, 1)
  if n == 0 then stoke.raise("usage", "the file has no instructions between [[ and ]]") end
  return changed
end

local function failures(figures)
  local lines = {}
  for i, one in ipairs(figures.failures) do lines[i] = ("- message: %s\n  %s"):format(one.input, one.why) end
  return table.concat(lines, "\n")
end

--- One attempt: new instructions, and what became of them.
local function attempt(evolve, chat, file, best, number)
  local text = fs.read(file)
  local answer, err = stoke.try(chat.run, chat, ("Present instructions:\n%s\n\nCases in which they were wrong:\n%s"):format(
    text:match "%[%[(.-)%]%]" or "", failures(best)))
  if not answer then return best, err.message, 400 end
  local verdict = evolve:propose { file = file, text = with(text, answer.text), why = "attempt " .. number }
  local used, now = answer.usage.input_tokens + answer.usage.output_tokens, verdict.eval and verdict.eval.after
  if now then used = used + ((now.tokens + verdict.eval.before.tokens) * now.trials // 1 | 0) end
  if verdict.state ~= "kept" then return best, verdict.state .. ": " .. verdict.why, used end
  return now, ("kept; %d of %d cases pass"):format(now.passed, now.trials), used
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  if a.new then return begin(a.file) end
  local writer = stoke.agent { name = "tinker", model = a.model or ollama.newest(), instructions = PROMPT,
    options = { num_predict = 400 } }
  local evolve, chat = a.ask and asking or clerks, writer:session()
  local best = evolve:measure(a.file)
  local used = best.tokens * best.trials // 1 | 0
  print(("%d of %d cases pass"):format(best.passed, best.trials))
  for number = 1, a.tries do
    if best.passed == best.trials then break end
    if used >= a.tokens then return print(("the budget is used up: %d tokens"):format(used)) end
    local words, spent
    best, words, spent = attempt(evolve, chat, a.file, best, number)
    used = used + spent
    print(("attempt %d: %s"):format(number, words))
  end
end)
