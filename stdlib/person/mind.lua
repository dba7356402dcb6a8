--- What a person's model is asked, outside of the steps of a world: turns, the plan of a day, reflection. What happened is
--- remembered first, then what fits is looked up, then the model is asked; so a person's memory changes in the order of its
--- thoughts, whatever others do.
---
--- A model that answers nonsense is told so once; then the person does nothing. An error that asking again cannot mend is raised.

local combine = require "core.combine"
local errors = require "core.errors"
local json = require "core.json"
local agents = require "stoke.agent"
local actions = require "stoke.person.actions"
local memories = require "stoke.memory"
local past = require "stoke.memory.past"
local reading = require "stoke.reading"
local record = require "stoke.person.record"
local schedules = require "core.schedule"
local schema = require "stoke.schema"
local texts = require "stoke.agent.texts"
local turns = require "stoke.person.turn"
local words = require "stoke.person.words"

local M = {}

-- ---- memories -------------------------------------------------------------------------------------------------------------------

--- Open the memories of people, for one world. They are tables of the world's database; without one they are in memory.
---@param defs table[] definitions, in the order of their ids
---@param db? stoke.db.database
---@param origin? table<string, stoke.memory> of the world that this one, in memory, is a branch of
---@return table<string, stoke.memory> by id
---Raises `argument` in a durable run, and what stoke.memory raises.
---
--- Example: `local kept = mind.open(defs, world.db)`
function M.open(defs, db, origin)
  local kept, durable = {}, schedules.any and schedules.own()
  for _, def in ipairs(defs) do
    if def.memory then
      if durable then
        errors.raise("argument", ("stoke.person %s: a memory of a world in memory would be gone when the durable run is resumed")
          :format(def.id), { hint = "memory = false; or keep the world in a file, outside of durable runs" })
      end
      local o = { name = "memory_" .. def.id, history = true }
      for name, value in next, def.memory do o[name] = value end
      kept[def.id] = memories.open(db, o)
      if not db and origin and origin[def.id] then past.copy(origin[def.id], kept[def.id]) end
    end
  end
  return kept
end

--- What has happened is remembered.
local function remember(memory, q, time)
  if not memory or not q.news[1] then return end
  local list = {}
  for i, one in ipairs(q.news) do
    list[i] = { text = one.text, importance = one.importance, origin = one.origin, created = one.time, now = time }
  end
  memory:add_all(list)
end

--- What a person thinks of, given where it is and what was said.
local function cue(q)
  local parts = {}
  local last = q.lines and q.lines[#q.lines]
  if last then parts[1] = last.text end
  if q.doing then parts[#parts + 1] = q.doing end
  for _, one in ipairs(q.others or q.near or {}) do parts[#parts + 1] = one.name end
  return table.concat(parts, ". ")
end

--- From when on the question tells what happened: the lines of this very conversation, and the latest news.
local function told_since(q, limits)
  local first = q.kind ~= "talk" and q.news[math.max(1, #q.news - limits.news + 1)]
  return first and first.time and math.min(first.time, q.since or first.time) or q.since
end

--- What fits is remembered, without what stands in the question anyway: a small model takes what it reads twice for what it is to
--- do.
local function recalled(memory, q, time, limits)
  if not memory then return {} end
  local text, plan = cue(q), q.kind == "free" and q.plan and q.plan[1] and record.plan(q.plan)
  local found = memory:search(text ~= "" and text or nil,
    { k = limits.memories + (plan and 1 or 0), now = time, before = told_since(q, limits) })
  for i = #found, 1, -1 do
    if found[i].text == plan then table.remove(found, i) end
  end
  found[limits.memories + 1] = nil
  return found
end

--- What the state keeps of memories that were found.
local function shown(found)
  local out = {}
  for i, one in ipairs(found) do
    out[i] = { text = one.text, kind = one.kind, time = one.created, importance = one.importance, score = one.score,
      relevance = one.relevance, recency = one.recency }
  end
  return out
end

-- ---- questions ------------------------------------------------------------------------------------------------------------------

--- Errors of an answer, not of asking: the person does what it can with the text.
local SPOILT <const> = { invalid_output = true, limit = true, loop = true, max_steps = true }

--- Errors that pass, or are one question's: the day goes on without that thought. All others end the run of the world: a server
--- that is not there, a model that it does not have, a mistake in the definition.
local PASSES <const> = { timeout = true, deadline = true, overloaded = true, incomplete = true, protocol = true,
  context_overflow = true }

--- Does an error end the run of the world?
---@param err stoke.error
---@return boolean
---
--- Example: `thoughts.turn.stops = mind.stops`
function M.stops(err)
  return not PASSES[err.kind] and not (err.kind == "http" and (rawget(err, "status") or 0) >= 500)
end

--- The agent that asks. Its schema's text is one of ours: the actions stand in the question.
local function asker(def, name, shape, tokens)
  local options = { temperature = 0.8, num_predict = tokens }
  for key, value in next, def.options or {} do options[key] = value end
  local said = texts.of(name, def.texts)
  local own = { schema = function() return said end }
  for key, value in next, def.texts or {} do own[key] = own[key] or value end
  return agents.inner({ model = def.model, endpoint = def.endpoint, route = def.route, options = options, think = def.think,
    class = def.class, cache = def.cache, timeouts = def.timeouts, texts = own, output = shape, repair = 0,
    instructions = words.who(def) }, "person " .. def.name)
end

--- Ask; the text of the answer, and where it is spoilt, why.
local function ask(agent, messages)
  local result, err = combine.try(agent.run, agent, messages)
  if not err then return result.text end
  if not SPOILT[err.kind] then error(err, 0) end
  local work = rawget(err, "work")
  return work and work.text or "", err.message
end

--- Could this person be asked? What the agent takes of its definition is checked before the world begins.
---@param def table
---Raises `argument`, `usage`.
function M.check(def) asker(def, "person_shape", schema { done = "boolean" }, 1) end

local function user(text) return { role = "user", content = text } end

--- The same question once more, with what was wrong with the answer.
local function once_more(def, messages, said, problems)
  messages[2] = { role = "assistant", content = said ~= "" and said or "{}" }
  messages[3] = user(words.again(def, problems))
end

--- What the state keeps of a question: all that the model read, and what it answered.
local function mind_of(def, form, messages, found, said)
  local parts = { ("[system]\n%s\n\n%s"):format(words.who(def), texts.of(form, def.texts)) }
  for i, message in ipairs(messages) do parts[i + 1] = ("[%s]\n%s"):format(message.role, message.content) end
  return { found = shown(found), request = table.concat(parts, "\n\n"), answer = said }
end

--- Tokens of a turn, and of a plan.
local TURN <const>, DAY <const> = 400, 700

---@class stoke.person.answer plain data
---@field kind string of the situation
---@field talk? string the conversation it was asked in
---@field actions table[]
---@field problems string[]
---@field tries integer 1; 2: it was asked once more
---@field failed? string why the model could not be understood at all
---@field mind { found: table[], request: string, answer: string }

--- What is asked for a turn.
---@param def table
---@param q table the situation
---@param time number
---@param found stoke.memory.found[]
---@return stoke.agent agent
---@return string question
---@return stoke.person.offer offer
local function turn_question(def, q, time, found)
  local offer = actions.offer(def.actions, q, def.limits.actions)
  return asker(def, "person_shape", offer.shape, TURN), words.question(def, q, time, found, offer), offer
end

--- What a person said last in a conversation, which it is not to say again.
local function own_lines(q, id)
  local out = {}
  for _, one in ipairs(q.lines or {}) do
    if one.id == id then out[#out + 1] = one.text end
  end
  return out
end

--- A turn.
---@param def table
---@param q table stoke.person.situation, with plan, item, lines, news, feedback
---@param time number
---@param memory? stoke.memory
---@param seat? stoke.person.seat among those who think at this moment
---@return stoke.person.answer
---Raises what asking a model raises, but nothing for what it answers.
---
--- Example: `local answer = mind.turn(def, { kind = "free", near = {}, news = {}, feedback = {} }, 28800)`
function M.turn(def, q, time, memory, seat)
  remember(memory, q, time)
  local found = recalled(memory, q, time, def.limits)
  local agent, question, offer = turn_question(def, q, time, found)
  local limits = { most = def.limits.actions, said = own_lines(q, def.id) }
  if seat then seat:ready(def.model or "") end
  local messages = { user(question) }
  local said = ask(agent, messages)
  local turn, tries = turns.read(said, offer, limits), 1
  if not turn.actions[1] then
    tries = 2
    once_more(def, messages, said, turn.problems)
    local why
    said, why = ask(agent, messages)
    turn = turns.read(said, offer, limits)
    if not turn.actions[1] then turn.failed = turn.problems[1] or why end
  end
  if turn.failed then turn.actions = { { action = "DONE" } } end
  return { kind = q.kind, talk = q.talk, actions = turn.actions, problems = turn.problems, tries = tries, failed = turn.failed,
    mind = mind_of(def, "person_shape", messages, found, said) }
end

-- ---- the plan of a day ----------------------------------------------------------------------------------------------------------

--- Things in a plan.
local LEAST <const>, MOST <const> = 3, 12

--- The half hours in which a person is awake.
local function half_hours(def)
  local out, at = {}, def.wake
  repeat
    out[#out + 1] = words.clock(at)
    at = (at + 1800) % 86400
  until at == def.sleep or #out == 48
  return out
end

local function object(properties, order)
  return json.object { type = "object", properties = json.object(properties, order), required = json.array(order),
    additionalProperties = false }
end

local function one_of(list) return { type = "string", enum = json.array(table.move(list, 1, #list, 1, {})) } end

--- The shape of a plan: times, places and, where a place has a list of them, activities come out of the grammar.
---@param def table
---@param places string[]
---@return stoke.Schema
---
--- Example: `mind.day_shape(def, { "inn", "mill" })`
function M.day_shape(def, places)
  local at, forms, free = one_of(half_hours(def)), {}, {}
  for _, place in ipairs(places) do
    local known = def.activities and def.activities[place]
    if known then
      forms[#forms + 1] = object({ from = at, place = one_of { place }, activity = one_of(known) }, { "from", "place", "activity" })
    else
      free[#free + 1] = place
    end
  end
  local activity = { type = "string", minLength = 1, maxLength = 60 }
  if free[1] then
    forms[#forms + 1] = object({ from = at, place = one_of(free), activity = activity }, { "from", "place", "activity" })
  elseif not forms[1] then
    forms[1] = object({ from = at, activity = activity }, { "from", "activity" })
  end
  local item = forms[2] and { anyOf = json.array(forms) } or forms[1]
  return schema.json(object({ plan = { type = "array", minItems = LEAST, maxItems = MOST, items = item } }, { "plan" }))
end

--- What was answered, as a plan: in the order of time, each time once.
---@param def table
---@param shape stoke.Schema
---@param text string
---@return table[]|nil plan
---@return string|nil why not
function M.read_day(def, shape, text)
  local value, err = reading.value(shape, text)
  if not value then return nil, err.message end
  local items, seen = {}, {}
  for _, one in ipairs(value.plan) do
    local from = words.seconds(one.from)
    if from and not seen[from] and one.activity:find "%S" then
      seen[from] = true
      items[#items + 1] = { from = from, activity = one.activity, place = one.place }
    end
  end
  table.sort(items, function(x, y) return (x.from - def.wake) % 86400 < (y.from - def.wake) % 86400 end)
  if not items[1] then return nil, "there is nothing in the plan" end
  items[1].from = def.wake -- the day begins with what comes first
  return items
end

--- The plan of a day.
---@param def table
---@param q { day: integer, news: table[], places: string[] }
---@param time number
---@param memory? stoke.memory
---@param seat? stoke.person.seat
---@return { plan?: table[], failed?: string, mind: table }
---Raises what asking a model raises.
---
--- Example: `local answer = mind.day(def, { day = 0, news = {}, places = { "inn" } }, 7 * 3600)`
function M.day(def, q, time, memory, seat)
  remember(memory, q, time)
  local found = memory and memory:search(nil, { k = def.limits.memories, now = time }) or {}
  local shape, question = M.day_shape(def, q.places), words.day(def, q, time, found)
  local agent = asker(def, "person_day_shape", shape, DAY)
  if seat then seat:ready(def.model or "") end
  local messages = { user(question) }
  local said, spoilt = ask(agent, messages)
  local plan, why = M.read_day(def, shape, said)
  if not plan then
    once_more(def, messages, said, { why })
    said, spoilt = ask(agent, messages)
    plan, why = M.read_day(def, shape, said)
  end
  return { plan = plan, failed = not plan and (why or spoilt) or nil,
    mind = mind_of(def, "person_day_shape", messages, found, said) }
end

--- What was lived is reflected on: see memory:reflect.
---@param def table
---@param q { news: table[] }
---@param time number
---@param memory? stoke.memory
---@param seat? stoke.person.seat
---@return { insights: string[], failed?: string }
---Raises what asking a model raises.
---
--- Example: `print(mind.reflect(def, { news = {} }, 23 * 3600, memory).insights[1])`
function M.reflect(def, q, time, memory, seat)
  remember(memory, q, time)
  if not memory then return { insights = {} } end
  local insights, err = combine.try(memory.reflect, memory, { model = def.model, endpoint = def.endpoint, now = time,
    threshold = def.reflect, texts = def.texts, timeouts = def.timeouts,
    ready = seat and function() seat:ready(def.model or "") end })
  if err and not SPOILT[err.kind] then error(err, 0) end
  local out = {}
  for i, one in ipairs(insights or {}) do out[i] = one.text end
  return { insights = out, failed = err and err.message or nil }
end

-- ---- looking --------------------------------------------------------------------------------------------------------------------

--- The exact request of a turn; nothing is sent, and no memory counts as used.
---@param def table
---@param q table
---@param time number
---@param memory? stoke.memory
---@return table made as agent:next_request gives it
function M.next_request(def, q, time, memory)
  local text = cue(q)
  local o = { k = def.limits.memories, now = time, touch = false }
  local found = memory and memory:search(text ~= "" and text or nil, o) or {}
  local agent, question = turn_question(def, q, time, found)
  local made = agent:next_request { user(question) }
  made.texts = {}
  for i, name in ipairs(words.TURN) do made.texts[i] = { name = name, text = texts.template(name, def.texts) } end
  return made
end

--- What is in a memory, without using it: what fits best first.
---@param memory stoke.memory
---@param time number
---@param k integer
---@return table[]
function M.look(memory, time, k)
  return shown(memory:search(nil, { k = k, now = time, touch = false }))
end

return M
