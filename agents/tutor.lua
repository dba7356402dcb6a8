#!/usr/bin/env stoke
-- tutor.lua: a tutor that remembers each learner for months. The conversation is a kept session under the learner's name; what
-- the learner can do is an actor's state, which the tutor's tools change. Killed in mid-answer, the turn goes on the next time.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/tutor.lua Ada "I want to learn fractions."
--        stoke agents/tutor.lua Ada "Is 1/2 + 1/3 = 2/5?"
--        stoke agents/tutor.lua Ada --progress

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"

local SPEC = {
  name = "tutor.lua", summary = "A tutor that remembers each learner.",
  examples = { { "tutor.lua Ada 'Ask me about fractions.'", "one turn; the next one goes on from it" },
               { "tutor.lua Ada --progress", "what Ada can do" },
               { "tutor.lua Ada --from 2 'Explain it otherwise.'", "go on as after turn 2, in a session of its own" } },
  options = { { "progress", type = "boolean", help = "show what the learner can do" },
              { "from", type = "integer", placeholder = "N", help = "go on as it was after so many turns" },
              { "model", short = "m", help = "model to ask; without it the newest with tools" } },
  positionals = { { "learner", help = "whose session it is" }, { "prompt", optional = true, help = "what the learner says" } },
}

-- What a learner can do: answers by topic.
local progress = stoke.actor("progress", { state = { topics = {} }, on = {
  answered = function(state, topic, right)
    local seen = state.topics[topic] or { right = 0, wrong = 0 }
    local field = right and "right" or "wrong"
    seen[field] = seen[field] + 1
    state.topics[topic] = seen
  end,
} })

-- A table of topics as lines, in their order.
local function lines_of(topics)
  local names, out = {}, {}
  for name in pairs(topics) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    out[i] = ("%s: %d right, %d wrong"):format(name, topics[name].right, topics[name].wrong)
  end
  return #out > 0 and table.concat(out, "\n") or "Nothing yet."
end

local function tutor(learner, model)
  local mine = progress(learner)
  local note = stoke.tool {
    name = "note_answer", description = "Keep whether the learner answered a question of this topic right",
    params = { topic = "string: one or two words", right = "boolean" },
    run = function(a)
      mine:send("answered", a.topic:lower(), a.right)
      return "noted"
    end,
  }
  local look = stoke.tool {
    name = "read_progress", description = "What the learner answered right and wrong so far, by topic", params = {},
    run = function() return lines_of(mine:state().topics) end,
  }
  return stoke.agent { name = "tutor", model = model, tools = { note, look }, summarize = true,
    instructions = "You are a patient tutor. When the learner answers a question, judge the answer, note it with the tool, and " ..
      "explain what was wrong. Ask one short question at a time, about what the learner got wrong before." }
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  if a.progress then return print(lines_of(progress(a.learner):state().topics)) end
  if not a.prompt then stoke.raise("usage", "what does " .. a.learner .. " say?") end
  local chat = tutor(a.learner, a.model or ollama.newest "tools"):session { id = a.learner }
  if a.from then chat = chat:fork(a.from, { id = ("%s, from turn %d"):format(a.learner, a.from) }) end
  for ev in chat:stream(a.prompt) do
    if ev.type == "text" then io.write(ev.text) end
    if ev.type == "tool_call" then io.stderr:write(("> %s\n"):format(ev.name)) end
  end
  print()
end)
