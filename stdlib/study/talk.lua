--- What is said in a study: questions to people one by one, and talks of several. Each person hears what it was told, what it has
--- said, and the talks it was in; nothing else.

local combine = require "core.combine"
local each = require "stoke.study.each"
local kept = require "stoke.study.kept"
local persona = require "stoke.population.persona"
local schema = require "stoke.schema"
local scopes = require "core.scope"
local seeds = require "stoke.population.seeds"
local texts = require "stoke.agent.texts"

local M = {}

texts.add {
  study_said = { "what another person of a talk has said", "name text", "{name}: {text}" },
  study_group = { "added to the instructions of a person in a talk", "name others",
    "You talk with {others}. Say what {name} thinks, and only that: what is new, or where {name} sees it otherwise. Agree only "
    .. "where {name} really does." },
  study_go_on = { "to a person who speaks twice in a row", "", "Go on." },
}

--- Does a person hear a turn?
local function hears(turn, id) return turn.from == id or turn.to == nil or turn.to[id] == true end

--- The turns that a person hears, in order.
---@param study stoke.study
---@param id string
---@return stoke.study.turn[]
function M.heard(study, id)
  local out = {}
  for _, turn in ipairs(study.turns) do
    if hears(turn, id) then out[#out + 1] = turn end
  end
  return out
end

--- What a person has heard and said, as messages; and how often it has spoken.
local function messages_of(study, person, more)
  local messages, spoken = {}, 0
  local function add(role, text)
    local last = messages[#messages]
    if last and last.role == role then
      last.content = last.content .. "\n\n" .. text
    else
      messages[#messages + 1] = { role = role, content = text }
    end
  end
  local heard = M.heard(study, person.id)
  for _, turn in ipairs(more or {}) do heard[#heard + 1] = turn end
  for _, turn in ipairs(heard) do
    if turn.from == person.id then
      spoken = spoken + 1
      add("assistant", turn.text)
    elseif study.by_id[turn.from] then
      add("user", texts.of("study_said", study.texts, { name = turn.name, text = turn.text }))
    else
      add("user", turn.text)
    end
  end
  if messages[#messages].role == "assistant" then add("user", texts.of("study_go_on", study.texts)) end
  return messages, spoken
end

--- The question to a person, at the end of what it has heard.
---@param study stoke.study
---@param person table
---@param step string
---@param more? stoke.study.turn[] turns that are not in the study yet
---@param output? stoke.Schema
---@param said? string added to the instructions
---@return stoke.study.question
function M.question(study, person, step, more, output, said)
  local messages, spoken = messages_of(study, person, more)
  local instructions = persona.instructions("stoke.study: " .. person.id, person, study.texts)
  local options = { temperature = 0.8 }
  for name, value in next, study.options or {} do options[name] = value end
  if options.seed == nil then options.seed = seeds.of(study.seed, step, person.id, spoken) end
  return study:question_of { who = person.id, step = step, label = person.name, model = person.model or study.model,
    instructions = said and instructions .. "\n\n" .. said or instructions, messages = messages, output = output,
      options = options }
end

--- Ask, or say why there is no answer that fits; what is no fault of the answer is raised.
---@return { text: string, output: any }|nil answer
---@return stoke.error|nil why
function M.answer(study, q)
  local answer, err = combine.try(study.store.ask, study.store, q)
  if err and not kept.is_own_fault(err) then error(err, 0) end
  return answer, err
end

--- The turns with which a question is put: one that all hear, or one for each where it is another text for each.
local function put(study, people, question)
  if type(question) == "string" then
    local turn = study:new_turn("ask", study.moderator, nil, question, people)
    local turns = {}
    for i = 1, #people do turns[i] = turn end
    return turns, { turn }
  end
  local turns = {}
  for i, person in ipairs(people) do
    turns[i] = study:new_turn("ask", study.moderator, nil, study:text_for("study:ask", question, person), { person })
  end
  return turns, turns
end

--- See study:ask.
function M.ask(study, people, question, output)
  local shape = output ~= nil and schema(output) or nil
  local put_turns, said = put(study, people, question)
  local results = each.map(study, "ask", people, function(person, i)
    local answer, err = M.answer(study, M.question(study, person, "ask", { put_turns[i] }, shape))
    return answer or { failed = err.message }
  end)
  for _, turn in ipairs(said) do study:say(turn) end
  local answers = {}
  for i, person in ipairs(people) do
    local answer = results[i]
    answers[i] = { id = person.id, name = person.name, text = answer.text, value = answer.output, failed = answer.failed }
    if not answer.failed then
      answers[i].turn = study:say(study:new_turn("ask", person.id, person.name, answer.text, {})).n
    end
  end
  return answers
end

--- The first question of study:ask, unasked.
function M.first_asked(study, people, question, output)
  local turns = put(study, people, question)
  return M.question(study, people[1], "ask", { turns[1] }, output ~= nil and schema(output) or nil)
end

--- The names of the others, in words.
local function others(people, person)
  local names = {}
  for _, one in ipairs(people) do
    if one.id ~= person.id then names[#names + 1] = one.name end
  end
  return #names > 0 and table.concat(names, ", ") or "the moderator"
end

local function spoken_to(study, people, person, turns)
  local said = texts.of("study_group", study.texts, { name = person.name, others = others(people, person) })
  return M.question(study, person, "discuss", turns, nil, said)
end

--- One group talks: each person once a round, in an order that is drawn anew. Its turns, not yet said.
local function talk(study, people, topic, rounds, failed, spoken)
  local turns = { study:new_turn("discuss", study.moderator, nil, topic, people) }
  for round = 1, rounds do
    local order = seeds.stream(study.seed, "order", #study.turns, people[1].id, round):permutation(#people)
    for _, place in ipairs(order) do
      local person = people[place]
      local answer, err = M.answer(study, spoken_to(study, people, person, turns))
      if answer then
        turns[#turns + 1] = study:new_turn("discuss", person.id, person.name, answer.text, people)
      else
        failed[#failed + 1] = { id = person.id, why = err.message }
      end
      spoken()
    end
  end
  return turns
end

--- See study:discuss. Groups talk at the same time; their turns are numbered group by group.
function M.discuss(study, groups, topic, rounds)
  local failed = {}
  local talks
  local done, total = 0, 0
  for i, people in ipairs(groups) do failed[i], total = {}, total + #people * rounds end
  local function spoken()
    done = done + 1
    each.tell(study, "discuss", done, total)
  end
  do
    local scope <close> = scopes.open {}
    talks = scope:map(groups, function(people, i) return talk(study, people, topic, rounds, failed[i], spoken) end,
      { limit = study.at_once })
  end
  local out, all = {}, {}
  for i, turns in ipairs(talks) do
    for _, turn in ipairs(turns) do out[#out + 1] = study:say(turn) end
    table.move(failed[i], 1, #failed[i], #all + 1, all)
  end
  return out, all
end

--- The first question of study:discuss, unasked.
function M.first_spoken(study, people, topic)
  return spoken_to(study, people, people[1], { study:new_turn("discuss", study.moderator, nil, topic, people) })
end

return M
