#!/usr/bin/env stoke
-- tutor.lua: a tutor that remembers each learner for months. Three things are kept: the conversation, as a session under the
-- learner's name (killed in mid-answer, the turn goes on the next time); what the tutor was told of the learner, as a memory that
-- is searched before each answer; and what the learner can do, as an actor's state. A topic comes back after days, weeks, months,
-- as it is known (Leitner's boxes). Without words of the learner, the next lesson is about what is due.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/tutor.lua Ada "I want to learn fractions. I like football."
--        stoke agents/tutor.lua Ada "Is 1/2 + 1/3 = 2/5?"
--        stoke agents/tutor.lua Ada                         (a lesson)
--        stoke agents/tutor.lua Ada --progress --days 30    (what will be due in a month)

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"

local DAY <const> = 24 * 3600
local BOXES <const> = { 1, 3, 7, 21, 60, 180 } -- days until a topic is asked again: one box up when right, the first when wrong

local SPEC = {
  name = "tutor.lua", summary = "A tutor that remembers each learner for months.",
  examples = { { "tutor.lua Ada 'Ask me about fractions.'", "one turn; the next one goes on from it" },
               { "tutor.lua Ada", "a lesson about what is due" },
               { "tutor.lua Ada --progress", "what Ada can do, and what is remembered of her" },
               { "tutor.lua Ada --from 2 'Explain it otherwise.'", "go on as after turn 2, in a session of its own" } },
  options = { { "progress", type = "boolean", help = "show what the learner can do and what is remembered" },
              { "days", default = 0, help = "choose what is due as it will be in so many days" },
              { "from", type = "integer", placeholder = "N", help = "go on as it was after so many turns" },
              { "folder", default = "learners", help = "where the memories are, a file for each learner" },
              { "embed", help = "model that makes vectors of memories; without it their words are compared" },
              { "model", short = "m", help = "model to ask; without it the newest with tools" } },
  positionals = { { "learner", help = "whose session it is" },
                  { "prompt", optional = true, help = "what the learner says; without it, a lesson is asked for" } },
}

local INSTRUCTIONS = "You are a patient tutor. When the learner answers a question, judge the answer, note it with note_answer, " ..
  "and explain what was wrong. Ask one short question at a time. When the learner tells you something about himself or " ..
  "herself, keep it with remember, and use what you remember in your questions."
local LESSON = "I am here for a lesson. Ask me one question about %s."
local NEXT = "what comes next"

-- What a learner can do: answers by topic, and when to ask again.
local progress = stoke.actor("progress", { state = { topics = {} }, on = {
  answered = function(state, topic, right)
    local seen = state.topics[topic] or { right = 0, wrong = 0, box = 0 }
    local field = right and "right" or "wrong"
    seen[field] = seen[field] + 1
    seen.box = right and math.min(seen.box + 1, #BOXES) or 1
    seen.due = stoke.time.now() + BOXES[seen.box] * DAY
    state.topics[topic] = seen
  end,
} })

-- The topics of a learner, those that are due first at the top.
local function topics_of(learner)
  local list = {}
  for name, seen in pairs(progress(learner):state().topics) do
    list[#list + 1] = { name = name, right = seen.right, wrong = seen.wrong, due = seen.due }
  end
  table.sort(list, function(a, b) return a.due < b.due or a.due == b.due and a.name < b.name end)
  return list
end

local function lines_of(topics, now)
  local out = {}
  for i, one in ipairs(topics) do
    local days = math.ceil((one.due - now) / DAY)
    local again = days <= 0 and "due now" or ("again in %d day%s"):format(days, days == 1 and "" or "s")
    out[i] = ("%s: %d right, %d wrong, %s"):format(one.name, one.right, one.wrong, again)
  end
  return #out > 0 and table.concat(out, "\n") or "Nothing was answered yet."
end

-- The agent of one learner. Its name has the learner's: a turn that was cut goes on with this learner's tools and no other's.
local function tutor(learner, model, memory)
  local note = stoke.tool {
    name = "note_answer", description = "Keep whether the learner answered a question of this topic right",
    params = { topic = "string 1..40: one or two words", right = "boolean" },
    run = function(a)
      progress(learner):send("answered", a.topic:lower(), a.right)
      return "noted"
    end,
  }
  local look = stoke.tool {
    name = "read_progress", description = "What the learner answered right and wrong so far, by topic", params = {},
    run = function() return lines_of(topics_of(learner), stoke.time.now()) end,
  }
  return stoke.agent { name = "tutor of " .. learner, model = model, tools = { note, look }, summarize = true,
    memory = { memory, min_relevance = 0 }, -- what the learner likes goes with any question
    instructions = INSTRUCTIONS }
end

-- What months of memories need: conclusions from what has come, what is half a year old in short, and an end to it.
local function tidy(memory, model)
  memory:reflect { model = model, threshold = 60 }
  memory:summarize { model = model, before = stoke.time.now() - 180 * DAY }
  memory:forget { keep = 2000 }
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local model = not a.progress and (a.model or ollama.newest "tools") or nil
  stoke.fs.mkdir(a.folder, { parents = true })
  local memory <close> = stoke.memory(a.learner .. ".memory", { root = a.folder, embed = a.embed, half_life = 30 * DAY })
  local now, topics = stoke.time.now() + a.days * DAY, topics_of(a.learner)
  if a.progress then
    print(lines_of(topics, now))
    for _, one in ipairs(memory:list { k = 100 }) do print(("(%s) %s"):format(one.kind, stoke.term.clean(one.text))) end
    return
  end
  local chat = tutor(a.learner, model, memory):session { id = a.learner }
  if a.from then chat = chat:fork(a.from, { id = ("%s, from turn %d"):format(a.learner, a.from) }) end
  local due = topics[1] and topics[1].due <= now and topics[1].name or NEXT
  for ev in chat:stream(a.prompt or LESSON:format(due)) do
    if ev.type == "text" then io.write(ev.text) end
    if ev.type == "tool_call" then io.stderr:write(("> %s\n"):format(ev.name)) end
  end
  print()
  local _, err = stoke.try(tidy, memory, model)
  if err then io.stderr:write("memories are as they were: ", err.message, "\n") end
end)
