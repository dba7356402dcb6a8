-- The nudge: an answer that only announces work. The rule is measured on tests/nudge/.

local measure = require "tests.nudge.measure"
local nudge = require "stoke.agent.nudge"
local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"

local MODEL = scripted.MODEL

-- ---- the rule -------------------------------------------------------------------------------------------------------------------

test("nudge: takes fewer than 1 in 200 answers for an announcement", function(t)
  local found, wrong = measure.of "answers"
  t.eq(wrong, {})
  for _, half in pairs(found) do t.ok(half[1] * 200 < half[2], measure.words(half)) end
end)

test("nudge: finds most announcements", function(t)
  local found, wrong = measure.of "announcements"
  t.eq(wrong, {})
  for _, half in pairs(found) do t.ok(half[1] > 0.9 * half[2], measure.words(half)) end
end)

test("nudge: looks at the end of a text alone, whatever its size and bytes", function(t)
  t.ok(nudge.announces(("It rains. "):rep(10000) .. "\n\nNow let me check the next city."))
  t.ok(not nudge.announces("Let me check the weather.\n" .. ("It rains. "):rep(1000)))
  for _, text in ipairs { "", " ", "\n\n", "...", "?", "\xFF\xFE", ("."):rep(5000), ("let me "):rep(2000), "\u{1F600}" } do
    t.ok(not nudge.announces(text), text:sub(1, 20))
  end
end)

test("nudge: sums, sayings and words of others are no announcements", function(t)
  for _, text in ipairs {
    "To find the area, we need to multiply the width by the height: 3 * 4 = 12.", "Let me calculate: 17 * 243 = **4131**",
    "She told him: I will look for you.", "In German you say: Ich werde das prüfen.",
    "One moment can change a life.", "Hold on tight and enjoy the ride!",
    "We should write clean code because others have to read it.",
  } do t.ok(not nudge.announces(text), text) end
  for _, text in ipairs { "One moment please.", "Hold on, I am on it.", "Just a second...",
    "Please hold on while I retrieve the file.",
    "Let me double check the result with the calculator.", "Next: let me look at number 3." } do
    t.ok(nudge.announces(text), text)
  end
end)

test("nudge: a call named in the words is no quotation; politeness is no work", function(t)
  for _, text in ipairs { 'Let me call get_weather(city="Oslo")', 'I will search for "lua 5.4 release date"', "I will run `ls -la`",
    "I still need to check number 3.", "I'll do that now.", "I'll try again." } do
    t.ok(nudge.announces(text), text)
  end
  for _, text in ipairs { "I'll do my best to help.", "I will make sure to remember that.", "I'll take that as a yes.",
    "I'll see you then!", "I should add that prices vary.", "I'll call you Ada.", "I'm happy to help.", "I'll take the second one.",
    'He wrote: "I will check it."', "```\nlet me check\n```" } do
    t.ok(not nudge.announces(text), text)
  end
end)

-- ---- the loop -------------------------------------------------------------------------------------------------------------------

local function call(city) return { tool_calls = { { name = "get_weather", arguments = { city = city } } } } end

local function weather()
  return stoke.tool { name = "get_weather", params = { city = "string" }, run = function(a) return "rain in " .. a.city end }
end

local function agent(server, more)
  local given = { name = "bot", model = MODEL, tools = { weather() }, endpoint = server.url }
  for name, value in pairs(more or {}) do given[name] = value end
  return stoke.agent(given)
end

test("nudge: a model that announces a call and makes none is asked once to make it", function(t)
  local server <close> = scripted { "Let me check the weather in Oslo.", call "Oslo", "Rain." }
  local result = agent(server):run "Oslo?"
  t.eq({ result.text, result.steps, result.usage.repairs, result.usage.tool_calls }, { "Rain.", 3, 1, 1 })
  local sent = server.requests[2].messages
  t.eq(sent[#sent - 1], { role = "assistant", content = "Let me check the weather in Oslo." })
  t.match(sent[#sent].content, "called no tool")
  t.eq(#server.requests[2].tools, 1)
end)

test("nudge: an announcement that comes again is the answer; after a call one more is asked", function(t)
  local server <close> = scripted { "Let me check.", "I will check now." }
  t.eq(agent(server):run("Oslo?").text, "I will check now.")
  local two <close> = scripted { "I will look at Oslo.", call "Oslo", "I will now look at Rome.", call "Rome", "Both wet." }
  local result = agent(two):run "Oslo and Rome?"
  t.eq({ result.text, result.usage.repairs }, { "Both wet.", 2 })
end)

test("nudge: only where there are tools or handoffs, and not where it is switched off", function(t)
  local server <close> = scripted(function() return "Let me check the weather." end)
  t.eq(stoke.agent { model = MODEL, endpoint = server.url }:run("Oslo?").steps, 1)
  t.eq(agent(server, { nudge = false }):run("Oslo?").steps, 1)
  local other = stoke.agent { name = "other", model = MODEL, endpoint = server.url }
  t.eq(stoke.agent { model = MODEL, handoffs = { other }, endpoint = server.url }:run("Oslo?").steps, 2)
end)

test("nudge: where no question is left, what was said is the answer", function(t)
  local server <close> = scripted { "Let me check the weather." }
  t.eq(agent(server, { max_steps = 1 }):run("Oslo?").text, "Let me check the weather.")
end)

test("nudge: with a schema and tools, before the constrained question; a stream ends as a run does", function(t)
  local script = { "I will check Oslo.", call "Oslo", "It rains.", '{"wet":true}' }
  local server <close> = scripted(script)
  local result = agent(server, { output = { wet = "boolean" } }):run "Oslo?"
  t.eq({ result.output, result.usage.repairs, result.steps }, { { wet = true }, 1, 4 })
  local again <close> = scripted(script)
  for ev in agent(again, { output = { wet = "boolean" } }):stream "Oslo?" do
    if ev.type == "done" then t.eq({ ev.result.output, ev.result.usage.repairs }, { { wet = true }, 1 }) end
  end
end)

test("nudge: its words are the agent's to choose", function(t)
  local server <close> = scripted { "Let me check.", "Rain." }
  local seen
  local bot = agent(server, { texts = { nudge = function(about)
    seen = about
    return "Do it!"
  end } })
  bot:run "Oslo?"
  t.eq(server.requests[2].messages[3].content, "Do it!")
  t.eq(seen, { text = "Let me check.", tools = "get_weather" })
end)
