--- The words of a population: what a model writes of each person, one question a person, around what the quotas have fixed.

local errors = require "core.errors"
local combine = require "core.combine"
local each = require "stoke.study.each"
local kept = require "stoke.study.kept"
local line = require "core.text".line
local names = require "stoke.population.names"
local persona = require "stoke.person.persona"
local schema = require "stoke.schema"
local seeds = require "stoke.population.seeds"
local texts = require "stoke.agent.texts"

local M = {}

texts.add {
  population_words = { "what a model is asked of each person of a population", "about facts",
    "Invent one person for a survey: {about}\nThis is fixed:\n{facts}\nMake the person ordinary and particular, not perfect: "
    .. "with a habit, a worry, and something disliked." },
  population_name = { "added to it where the model gives the names, too", "letter",
    "Give the full name; the given name begins with {letter}." },
  population_taken = { "where somebody has the name already", "name",
    "Somebody else is called {name}. Answer again, with another name." },
}

--- How often a model is asked for another name.
local TRIES <const> = 2

--- What is asked where the script does not say.
local FIELDS = { job = "string 2..60: what the person does for a living", text = "string 20..400: two sentences about the person, "
  .. "without the name" }

--- The shape of an answer: the name where the model gives it, then the fields, the longest last.
---@param where string
---@param given table|nil the fields, in the notation of stoke.schema
---@param attributes string[] what the quotas have fixed
---@param naming boolean does the model give the names?
---@return stoke.Schema|nil schema nil: nothing is wanted
---@return string[] fields
function M.shape(where, given, attributes, naming)
  local shape, order = { name = naming and "string 2..60: given name and family name" or nil }, {}
  if given ~= nil and (type(given) ~= "table" or given[1] ~= nil or given.name ~= nil or given.file ~= nil) then
    errors.argument("%s: words must be fields, but for `name` and `file`, such as { job = \"string\" }, got %s", where,
      errors.describe(given))
  end
  for name, kind in next, given or FIELDS do shape[name], order[#order + 1] = kind, name end
  for _, name in ipairs(attributes) do
    if given and shape[name] ~= nil then errors.argument("%s: words.%s is fixed by the quotas already", where, name) end
  end
  for _, name in ipairs(attributes) do shape[name] = nil end
  for i = #order, 1, -1 do
    if shape[order[i]] == nil then table.remove(order, i) end
  end
  table.sort(order, function(a, b)
    if (a == "text") ~= (b == "text") then return b == "text" end
    return a < b
  end)
  if next(shape) == nil then return nil, order end
  return schema(shape, { order = naming and table.move(order, 1, #order, 2, { "name" }) or order }), order
end

local function question(given, person, n, messages)
  local options = { temperature = 0.9 }
  for name, value in next, given.options or {} do options[name] = value end
  if options.seed == nil then options.seed = seeds.of(given.seed, "words", person.id, n) end
  return { who = person.id, step = "words", label = given.where .. ": the words of " .. person.id, model = given.model,
    endpoint = given.endpoint, route = given.route, think = given.think, timeouts = given.timeouts, deadline = given.deadline,
    texts = given.texts, output = given.shape, options = options, messages = messages }
end

--- What is asked of one person.
---@param given table
---@param person table
---@return stoke.study.question
function M.question(given, person)
  local facts = persona.text(given.where, person.persona)
  if person.name then facts = ("Name: %s. %s"):format(person.name, facts) end
  local said = texts.of("population_words", given.texts, { about = given.about, facts = facts })
  if not person.name then
    local letter = names.letter(seeds.stream(given.seed, "letter", person.id))
    said = said .. " " .. texts.of("population_name", given.texts, { letter = letter })
  end
  return question(given, person, 0, { { role = "user", content = said } })
end

--- One answer, or why there is none; what is no fault of the answer is raised.
local function ask(given, q)
  local answer, err = combine.try(given.store.ask, given.store, q)
  if err and not kept.is_own_fault(err) then error(err, 0) end
  return answer, err
end

--- A name for an answer: the model's, where nobody has it; else it is asked for another one, and in the end a list gives it.
local function settle(given, person, q, answer, list)
  for n = 1, TRIES + 1 do
    local name = line(answer.output.name)
    if list:take(name) then return name, answer.output end
    given.renamed[#given.renamed + 1] = { id = person.id, name = name }
    if n > TRIES then break end
    local messages = q.messages
    messages[#messages + 1] = { role = "assistant", content = answer.text }
    messages[#messages + 1] = { role = "user", content = texts.of("population_taken", given.texts, { name = name }) }
    local again = ask(given, question(given, person, n, messages))
    if not again then break end
    answer = again
  end
  return list:draw(person.persona), answer.output
end

--- All first answers, in the order of the people; false where none fitted.
local function answers_of(given, people, questions)
  local answers = each.map(given, "words", people, function(person, i)
    questions[i] = M.question(given, person)
    local answer, err = ask(given, questions[i])
    if err then given.failed[#given.failed + 1] = { id = person.id, why = err.message } end
    return answer or false
  end)
  table.sort(given.failed, function(a, b) return a.id < b.id end)
  return answers
end

--- Give each person the words that the model writes, and a name where it has none. Names are settled in the order of the people,
--- once all answers are there: which came first changes nothing.
---@param given table store, model, seed, shape, fields, about, at_once, where ...; `failed` and `renamed` are added to
---@param people table[] id and persona each
function M.write(given, people)
  local questions, list = {}, names.new(seeds.stream(given.seed, "names"))
  for i, answer in ipairs(answers_of(given, people, questions)) do
    local person, output = people[i], answer and answer.output
    if not person.name then
      if answer then
        person.name, output = settle(given, person, questions[i], answer, list)
      else
        person.name = list:draw(person.persona)
      end
    end
    for _, field in ipairs(output and given.fields or {}) do
      local value = output[field]
      person.persona[field] = type(value) == "string" and line(value) or value
    end
  end
end

return M
