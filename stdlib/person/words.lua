--- What a person's model is told, in texts that can be shown and replaced: stoke.agent.texts, `texts =` of a person.
---
--- They are written for small models: one thing asked, what matters last, no rule that the grammar of the answer keeps anyway.

local recall = require "stoke.memory.recall"
local texts = require "stoke.agent.texts"
local line = require "core.text".line
local actions = require "stoke.person.actions"

local M = {}

texts.add {
  person_who = { "the instructions of a person", "name persona",
    "You are {name}, a person. You are not an assistant.\n{persona}\nThink, speak and act as {name}, in short plain sentences." },
  person_who_large = { "the same for a large model", "name persona",
    "You are {name}, a person with a life of your own, and not an assistant.\n{persona}\nThink, speak and act as {name} would: "
    .. "from what {name} knows, remembers and wants, and in {name}'s way of talking. Do not repeat what was said, agree only where "
    .. "{name} would, and let a conversation end when all is said." },
  person_now = { "where a person is", "time day place doing mood",
    "It is {time} on day {day}. You are at: {place}. You are doing: {doing}. You feel {mood}." },
  person_now_anywhere = { "the same in a world without places", "time day doing mood",
    "It is {time} on day {day}. You are doing: {doing}. You feel {mood}." },
  person_near = { "who is near", "people", "Near you: {people}." },
  person_alone = { "the same where nobody is", "", "Nobody is near you." },
  person_plan = { "the plan of the day", "plan", "Your plan for today:\n{plan}" },
  person_memories = { "what is remembered", "memories", "You remember:\n{memories}" },
  person_news = { "what has happened since it was asked last", "news", "What happened:\n{news}" },
  person_lines = { "a conversation so far", "others lines", "You are talking with {others}. What was said:\n{lines}" },
  person_line = { "one thing that was said", "name text", "{name}: {text}" },
  person_feedback = { "what did not work", "problems", "Your last attempt did not work:\n{problems}" },
  person_free = { "the question of a person who may do anything", "name actions most",
    "You can:\n{actions}\n\nWhat does {name} do now? Answer with 1 to {most} of these, each at most once." },
  person_invited = { "the question of a person who is spoken to", "name from actions",
    "{from} wants to talk with you. You can:\n{actions}\n\nWhat does {name} do?" },
  person_talk = { "the question of a person whose turn to speak it is", "name actions most",
    "You can:\n{actions}\n\nIt is your turn. What does {name} say or do? Answer with 1 to {most} of these, each at most once." },
  person_shape = { "the form of an answer, in the instructions", "",
    'Answer with JSON and nothing else: an object with "actions", a list of objects; each has "action" and the fields of it.' },
  person_again = { "asked once more where nothing in an answer could be done", "problems",
    "That did not work:\n{problems}\nAnswer again with JSON, with actions from the list." },
  person_action = { "an action in the list; {example} has its name and fields", "example meaning", "- {example}: {meaning}" },
  person_do_talk = { "what TALK is", "", "say something" },
  person_do_reach_out = { "what REACH_OUT is", "", "begin to talk with somebody near" },
  person_do_accept = { "what ACCEPT is", "", "talk, and say this first" },
  person_do_decline = { "what DECLINE is", "", "say politely that you do not want to talk" },
  person_do_leave = { "what LEAVE is", "", "say goodbye and end the conversation" },
  person_do_go = { "what GO is", "", "walk to a place" },
  person_do_do = { "what DO is", "", "do something where you are" },
  person_do_think = { "what THINK is", "", "think something that you want to remember, and how you feel" },
  person_do_done = { "what DONE is", "", "nothing more" },
  person_day = { "the question for a plan of the day", "name day places",
    "It is the morning of day {day}. The places are: {places}.\n\nHow does {name} spend this day? Plan 4 to 8 things, from "
    .. "morning to night: when each begins, what it is in a few words, and where." },
  person_day_anywhere = { "the same in a world without places", "name day",
    "It is the morning of day {day}.\n\nHow does {name} spend this day? Plan 4 to 8 things, from morning to night: when each "
    .. "begins, and what it is in a few words." },
  person_day_shape = { "the form of a plan, in the instructions", "",
    'Answer with JSON and nothing else: an object with "plan", a list of objects with "from", "place" and "activity".' },
}

--- Those of a turn, for explain.
M.TURN = { "person_who", "person_who_large", "person_shape", "person_now", "person_now_anywhere", "person_near",
  "person_alone", "person_plan", "person_memories", "person_news", "person_lines", "person_line", "person_feedback",
  "person_free", "person_invited", "person_talk", "person_again", "person_action", "person_do_talk", "person_do_reach_out",
  "person_do_accept", "person_do_decline", "person_do_leave", "person_do_go", "person_do_do", "person_do_think",
  "person_do_done", "person_day", "person_day_anywhere", "person_day_shape" }

--- How much of everything a model is shown, by its tier.
---@type table<string, { memories: integer, lines: integer, news: integer, plan: integer, actions: integer, who: string }>
M.TIERS = {
  small = { memories = 4, lines = 6, news = 4, plan = 2, actions = 4, who = "person_who" },
  large = { memories = 10, lines = 20, news = 10, plan = 10, actions = 8, who = "person_who_large" },
}

--- Parameters, in units of 1e9, up to which a model is small.
local SMALL <const> = 4

--- The tier of a model by the size in its name: "qwen2.5:3b" is small. What does not say is small.
---@param model string|nil
---@return "small"|"large"
---
--- Example: `words.tier "llama3.1:8b" --> "large"`
function M.tier(model)
  local billions = ("-" .. (model or ""):lower()):match "[^%w.](%d+%.?%d*)b%f[^%w]"
  return billions and tonumber(billions) > SMALL and "large" or "small"
end

--- A time of day: "08:05".
---@param time number seconds since midnight of day 0
---@return string
---
--- Example: `words.clock(8 * 3600 + 300) --> "08:05"`
function M.clock(time)
  local minutes = math.floor(time % 86400 / 60)
  return ("%02d:%02d"):format(minutes // 60, minutes % 60)
end

--- A time of day in seconds; nil where it is none.
---@param text string
---@return integer|nil
---
--- Example: `words.seconds "08:05" --> 29100`
function M.seconds(text)
  local hours, minutes = text:match "^%s*(%d%d?)[:.h](%d%d)%f[%D]"
  hours, minutes = tonumber(hours), tonumber(minutes)
  if not hours or hours > 23 or minutes > 59 then return nil end
  return math.tointeger(hours * 3600 + minutes * 60)
end

local function list(items, form)
  local lines = {}
  for i, item in ipairs(items) do lines[i] = form(item) end
  return table.concat(lines, "\n")
end

local function dash(text) return "- " .. line(text) end

--- The names of people, and what each is doing.
local function people(near)
  local out = {}
  for i, one in ipairs(near) do out[i] = one.doing and ("%s (%s)"):format(one.name, line(one.doing)) or one.name end
  return table.concat(out, ", ")
end

--- The last so many of a list.
local function last(items, count) return table.move(items, math.max(1, #items - count + 1), #items, 1, {}) end

--- The instructions of a person.
---@param def table
---@return string
function M.who(def)
  return (texts.of(def.limits.who, def.texts, { name = def.name, persona = def.text }):gsub("\n\n+", "\n"))
end

--- The items of a plan that are shown: the one that is under way, and what follows.
local function plan_lines(q, count)
  local first = math.max(1, q.item or 1)
  return list(table.move(q.plan, first, math.min(#q.plan, first + count - 1), 1, {}), function(item)
    return ("- %s %s%s"):format(M.clock(item.from), line(item.activity), item.place and ", " .. item.place or "")
  end)
end

--- What a person can do, a line each.
local function action_lines(def, offer)
  return list(offer.names, function(name)
    local own = offer.all[name].own
    return texts.of("person_action", def.texts, { example = actions.example(offer, name),
      meaning = own and own.description or texts.of("person_do_" .. name:lower(), def.texts) })
  end)
end

--- The question of a turn, with all that the person knows.
---@param def table
---@param q table see stoke.person.situation, and: plan, item, lines, news, feedback, mood, doing
---@param time number
---@param found stoke.memory.found[]
---@param offer stoke.person.offer
---@return string
function M.question(def, q, time, found, offer)
  local limits, parts = def.limits, {}
  local function add(name, about) parts[#parts + 1] = texts.of(name, def.texts, about) end
  add(q.places[1] and "person_now" or "person_now_anywhere", { time = M.clock(time), day = time // 86400 + 1,
    place = q.at or "on the way", doing = q.doing or "nothing", mood = q.mood or "calm" })
  if q.near[1] then add("person_near", { people = people(q.near) }) else add "person_alone" end
  if q.plan and q.plan[1] and q.kind == "free" then add("person_plan", { plan = plan_lines(q, limits.plan) }) end
  if found[1] then add("person_memories", { memories = recall.lines(found, time) }) end
  if q.news[1] and q.kind ~= "talk" then
    add("person_news", { news = list(last(q.news, limits.news), function(one) return dash(one.text) end) })
  end
  if q.lines and q.lines[1] then
    local others = {}
    for i, one in ipairs(q.others) do others[i] = one.name end
    add("person_lines", { others = table.concat(others, ", "), lines = list(last(q.lines, limits.lines), function(one)
      return texts.of("person_line", def.texts, { name = one.name, text = line(one.text) })
    end) })
  end
  if q.feedback[1] then add("person_feedback", { problems = list(q.feedback, dash) }) end
  add("person_" .. q.kind, { name = def.name, from = q.from, actions = action_lines(def, offer), most = limits.actions })
  return table.concat(parts, "\n\n")
end

--- The question for a plan of the day.
---@param def table
---@param q { day: integer, news: table[], places: string[] }
---@param time number
---@param found stoke.memory.found[]
---@return string
function M.day(def, q, time, found)
  local parts = {}
  if found[1] then parts[1] = texts.of("person_memories", def.texts, { memories = recall.lines(found, time) }) end
  parts[#parts + 1] = texts.of(q.places[1] and "person_day" or "person_day_anywhere", def.texts,
    { name = def.name, day = q.day + 1, places = table.concat(q.places, ", ") })
  return table.concat(parts, "\n\n")
end

--- What was wrong with an answer.
---@param def table
---@param problems string[]
---@return string
function M.again(def, problems) return texts.of("person_again", def.texts, { problems = list(problems, dash) }) end

return M
