--- stoke.study: what people of a population say when they are told and asked things, and what can be counted of it.
---
---     local study <close> = stoke.study { file = "adverts.study", model = "qwen2.5:3b", seed = 7 }
---     study:populate { size = 50, about = "people of Leeds", quotas = { gender = { female = 0.5, male = 0.5 } } }
---     local groups, group_of = study:assign { "A", "B" }                      -- half and half, by the seed
---     study:ask("all", function(person) return "Would you go there? " .. ADVERTS[group_of[person.id]] end)
---     local found = study:extract({ visit = "yes|no|maybe", price = "number?: what a loaf may cost" })
---     found:also("advert", group_of)
---     print(found:text(), found.cells[1].visit.turn, found.cells[1].visit.quote)
---
--- Each thing that is said is a turn with a number, and each person hears what it is told, says itself, and what is said in the
--- talks it is in. With a file every answer of a model is kept by what was asked: a study that is run again asks only what is new.
--- Where its last step was edited, nothing is sent for the others; where an early one was, all that rests on it is asked again.

local errors = require "core.errors"
local extract = require "stoke.study.extract"
local judge = require "stoke.study.judge"
local kept = require "stoke.study.kept"
local ordered = require "core.ordered"
local personas = require "stoke.person.persona"
local population = require "stoke.population"
local rounding = require "stoke.population.rounding"
local rows = require "stoke.study.rows"
local scopes = require "core.scope"
local seeds = require "stoke.population.seeds"
local talk = require "stoke.study.talk"
local texts = require "stoke.agent.texts"

local M = {}

---@class stoke.study.turn
---@field n integer its number
---@field step string "tell", "ask", "discuss", "record"
---@field from string the id of a person, or "moderator"
---@field name string
---@field text string
---@field to table<string, boolean>|nil ids of those who hear it; nil: all

---@class stoke.study
---@field people stoke.population.person[]
---@field turns stoke.study.turn[]
local Study = {}
Study.__index = Study
Study.__name = "stoke.study"

---@class stoke.study.definition
---@field people? stoke.population|stoke.population.person[] { id?, name, persona, model? } each, personas as for stoke.person; or
---  study:populate makes them
---@field model string whom people are; a person's own goes before it
---@field judge? string the model of extract, check and score (the same)
---@field file? string|stoke.db.database answers of models are kept in it
---@field retry? boolean people whose answer did not fit the last time are asked again; otherwise that is kept, too
---@field seed? integer of groups, orders, and the options of each question (0)
---@field options? table sampling of what people say (temperature 0.8, a seed for each question)
---@field at_once? integer questions at once (16); the pool orders them
---@field endpoint? string
---@field route? string|string[]
---@field think? boolean|string
---@field texts? table<string, string|function|false> population_ and study_ texts, and those of agents
---@field timeouts? table
---@field deadline? number seconds of a question
---@field progress? fun(step: string, done: integer, total: integer) called after each person: "words", "ask", "discuss", "extract"
---  ...

local OPTIONS = { people = "table", model = "string", judge = "string", file = true, seed = "number", options = "table",
  at_once = "number", endpoint = "string", route = true, think = true, texts = "table", timeouts = "table", deadline = "number",
  progress = "function", retry = "boolean" }

local POPULATION = { size = true, quotas = true, joint = true, about = true, words = true, names = true, model = true,
  options = true,
  seed = true }

--- People, checked and with ids.
local function take_people(self, where, people)
  errors.list(where .. ": people", people)
  if not people[1] then errors.argument("%s: people is empty", where) end
  local by_id = {}
  for i, given in ipairs(people) do
    local what = ("%s: people[%d]"):format(where, i)
    if type(given) ~= "table" or type(given.name) ~= "string" or not given.name:find "%S" then
      errors.argument("%s must be { name = ..., persona = { ... } }, got %s", what, errors.describe(given))
    end
    local persona = given.persona
    if type(persona) == "string" then persona = { text = persona } end
    personas.text(what .. ": persona", persona) -- raises where it is none
    local id = given.id
    if id == nil then id = ("p%02d"):format(i) end
    if type(id) ~= "string" or not id:find "^[%w_.-]+$" or id == "moderator" then
      errors.argument("%s: the id must be letters, digits, _, - and ., and not \"moderator\"; got %s", what, errors.describe(id))
    end
    if by_id[id] then errors.argument("%s: two people have the id %s", what, id) end
    by_id[id] = { id = id, name = given.name, persona = persona or {}, model = given.model }
    self.people[i] = by_id[id]
  end
  self.by_id = by_id
  local meta = getmetatable(people)
  self.population = type(meta) == "table" and meta.__name == "stoke.population" and people or nil
end

--- Open a study.
---@param given stoke.study.definition
---@return stoke.study
---Raises `argument`, and with a file `db`, `os`, `denied`, `cancelled`.
---
--- Example: `local survey <close> = stoke.study { model = "qwen2.5:3b", people = people, file = "adverts.study" }`
function M.new(given)
  local where = "stoke.study"
  local o = errors.options(given, OPTIONS, where)
  if not o.model then errors.argument("%s: model is missing", where) end
  if o.texts then texts.check(where, o.texts) end
  if o.at_once ~= nil and (math.type(o.at_once) ~= "integer" or o.at_once < 1) then
    errors.argument("%s: at_once must be a whole number of at least 1, got %s", where, tostring(o.at_once))
  end
  local self = setmetatable({ people = {}, by_id = {}, turns = {}, moderator = "moderator", model = o.model,
    judge = o.judge or o.model, seed = seeds.check(where, o.seed), options = o.options, at_once = o.at_once or 16,
      endpoint = o.endpoint,
    route = o.route, think = o.think, texts = o.texts, timeouts = o.timeouts, deadline = o.deadline,
    progress = o.progress }, Study)
  if o.people then take_people(self, where, o.people) end
  self.store = kept.open(where .. ": file", o.file)
  self.store.retry = o.retry
  return self
end

local function check_self(self, what)
  scopes.check_self(self, Study, what)
  if self.store.closed then errors.argument("%s: the study is closed", what) end
  if not self.people[1] then errors.argument("%s: there are no people; give `people`, or call study:populate", what) end
end

--- Make the people by quotas: stoke.population with the model, the seed and the file of the study.
---@param given table as for stoke.population
---@return stoke.population
---Raises what stoke.population raises; `argument` where there are people.
---
--- Example: `survey:populate { size = 50, about = "people of Leeds", quotas = { gender = { female = 0.5, male = 0.5 } } }`
function Study:populate(given)
  scopes.check_self(self, Study, "study:populate()")
  if self.people[1] then errors.argument "study:populate: there are people already" end
  errors.options(given, POPULATION, "study:populate")
  local definition = { model = self.model, seed = self.seed, endpoint = self.endpoint, route = self.route, think = self.think,
    texts = self.texts, timeouts = self.timeouts, deadline = self.deadline, at_once = self.at_once, store = self.store,
    progress = self.progress }
  for name, value in next, given do definition[name] = value end
  local people = population(definition)
  take_people(self, "study:populate", people)
  return people
end

-- ---- who, and what is known of them -------------------------------------------------------------------------------------------

--- What is known of a person: the word of a quota, else what stands in the persona.
---@private
function Study:known(person, name)
  local words = self.population and self.population:words(person.id)
  if words and words[name] ~= nil then return words[name] end
  local value = person.persona[name]
  if type(value) ~= "table" then return value end
  local parts = {}
  for i, one in ipairs(value) do parts[i] = tostring(one) end
  return table.concat(parts, ", ")
end

---@private
function Study:check_known(where, name)
  local known = {}
  for _, person in ipairs(self.people) do
    if self:known(person, name) ~= nil then return end
    for field in next, person.persona do known[field] = true end
  end
  local near = type(name) == "string" and errors.suggest(name, ordered.names(known))
  errors.argument("%s: nobody's persona has %s%s", where, errors.describe(name),
    near and (" (did you mean %s?)"):format(near) or "")
end

local function one(self, where, id)
  local person = self.by_id[type(id) == "table" and id.id or id]
  if person then return person end
  local ids = {}
  for i, known in ipairs(self.people) do ids[i] = known.id end
  local near = type(id) == "string" and errors.suggest(id, ids)
  errors.argument("%s: nobody has the id %s%s", where, type(id) == "string" and id or errors.describe(id),
    near and (" (did you mean %s?)"):format(near) or "")
end

--- The people that are meant, in their order: "all" or nil, an id, a list of ids or people, words of a persona, a function.
---@private
---@param where string
---@param whom any
---@return stoke.population.person[]
function Study:whom(where, whom)
  check_self(self, where)
  if whom == nil or whom == "all" then return self.people end
  if type(whom) == "string" then return { one(self, where, whom) } end
  local wanted = {}
  if errors.callable(whom) then
    for _, person in ipairs(self.people) do wanted[person.id] = whom(person) and true or nil end
  elseif type(whom) == "table" and (whom[1] ~= nil or next(whom) == nil) then
    errors.list(where .. ": whom", whom)
    for _, id in ipairs(whom) do wanted[one(self, where, id).id] = true end
  elseif type(whom) == "table" then
    for _, name in ipairs(ordered.names(whom)) do self:check_known(where, name) end
    for _, person in ipairs(self.people) do
      local fits = true
      for name, value in next, whom do fits = fits and (self:known(person, name) == value or person.persona[name] == value) end
      wanted[person.id] = fits or nil
    end
  else
    errors.argument("%s: whom must be \"all\", an id, a list of ids, words of a persona or a function, got %s", where,
      errors.describe(whom))
  end
  local out = {}
  for _, person in ipairs(self.people) do
    if wanted[person.id] then out[#out + 1] = person end
  end
  if not out[1] then errors.argument("%s: nobody is meant", where) end
  return out
end

--- A text for a person: the same for all, or what a function gives.
---@private
function Study:text_for(where, text, person)
  if errors.callable(text) then text = text(person) end
  if type(text) ~= "string" or not text:find "%S" then
    errors.argument("%s: a text expected%s, got %s", where, person and " for " .. person.id or "", errors.describe(text))
  end
  if not utf8.len(text) then errors.argument("%s: the text is not UTF-8", where) end
  return text
end

-- ---- turns --------------------------------------------------------------------------------------------------------------------

--- A turn, not said yet.
---@private
function Study:new_turn(step, from, name, text, people)
  local to = nil
  if people ~= self.people then
    to = {}
    for _, person in ipairs(people) do to[person.id] = true end
  end
  return { step = step, from = from, name = name or from, text = text, to = to }
end

--- Say it: it gets its number.
---@private
function Study:say(turn)
  turn.n = #self.turns + 1
  self.turns[turn.n] = turn
  return turn
end

---@private
function Study:question_of(q)
  q.endpoint, q.route, q.think = self.endpoint, self.route, self.think
  q.timeouts, q.deadline, q.texts = self.timeouts, self.deadline, self.texts
  return q
end

---@private
function Study:judge_of(q)
  q.model, q.options = q.model or self.judge, q.options or { temperature = 0 }
  return self:question_of(q)
end

--- Tell something to some: an intervention. Nobody answers; they know it from now on.
---@param whom any "all", an id, a list of ids, words of a persona ({ gender = "female" }), or fun(person): boolean
---@param text string|fun(person: stoke.population.person): string
---@return integer n the number of the last turn
---Raises `argument`.
---
--- Example: `survey:tell({ temper = "curious" }, "You have heard that the bakery uses only local flour.")`
function Study:tell(whom, text)
  local people = self:whom("study:tell", whom)
  if not errors.callable(text) then
    return self:say(self:new_turn("tell", self.moderator, nil, self:text_for("study:tell", text), people)).n
  end
  local turns = {}
  for i, person in ipairs(people) do
    turns[i] = self:new_turn("tell", self.moderator, nil, self:text_for("study:tell", text, person), { person })
  end
  for _, turn in ipairs(turns) do self:say(turn) end
  return #self.turns
end

--- Tell something to all.
---@param text string|fun(person: stoke.population.person): string
---@return integer n the number of the turn
---Raises `argument`.
---
--- Example: `survey:broadcast "The price of bread has doubled."`
function Study:broadcast(text) return self:tell("all", text) end

--- Add what was said elsewhere: in a world, an interview, a file.
---@param turn { from: string, text: string, to?: string[] } from: the id of a person, or any other name; to: who hears it, all
---  where not given
---@return integer n the number of the turn
---Raises `argument`.
---
--- Example: `survey:record { from = "ada", to = { "ben" }, text = "The bread was stale again." }`
function Study:record(turn)
  check_self(self, "study:record()")
  turn = errors.options(turn, { from = "string", text = "string", to = "table" }, "study:record")
  if not turn.from then errors.argument "study:record: from is missing" end
  local people = turn.to == nil and self.people or turn.to[1] == nil and {} or self:whom("study:record", turn.to)
  local person = self.by_id[turn.from]
  return self:say(self:new_turn("record", turn.from, person and person.name, self:text_for("study:record", turn.text), people)).n
end

--- Ask people, each alone: nobody hears the others' answers. Everyone's question and answer become turns.
---@param whom any as for study:tell
---@param question string|fun(person: stoke.population.person): string
---@param options? { output?: any } output: a schema; the answer then has a `value` that fits
---@return { id: string, name: string, text?: string, value?: any, turn?: integer, failed?: string }[] answers in the order of the
---  people; failed: why one has none: no answer fitted
---Raises `argument`, and what agent:run raises, such as `unreachable`; the answers that came before are kept in the file.
---
--- Example: `for _, a in ipairs(survey:ask("all", "What would you pay for a loaf?")) do print(a.name, a.text) end`
function Study:ask(whom, question, options)
  local people = self:whom("study:ask", whom)
  local o = errors.options(options, { output = true }, "study:ask")
  if not errors.callable(question) then self:text_for("study:ask", question) end
  return talk.ask(self, people, question, o.output)
end

--- The groups of a talk: one, or a list of lists of ids.
local function groups_of(self, where, whom)
  local first = type(whom) == "table" and whom[1]
  if type(first) ~= "table" or first.id ~= nil then return { self:whom(where, whom) } end
  local groups, seen = {}, {}
  for i, ids in ipairs(whom) do
    groups[i] = self:whom(where, ids)
    for _, person in ipairs(groups[i]) do
      if seen[person.id] then errors.argument("%s: %s is in two groups", where, person.id) end
      seen[person.id] = true
    end
  end
  return groups
end

--- Let people talk, as a focus group: in each round each speaks once, in an order drawn by the seed, and all of the group hear it.
---@param whom any as for study:tell; or a list of groups, which talk at the same time and hear nothing of each other
---@param topic string what the moderator says first
---@param options? { rounds?: integer } how often each speaks (2)
---@return stoke.study.turn[] turns
---@return { id: string, why: string }[] failed people who said nothing in a round: no answer fitted
---Raises as study:ask.
---
--- Example: `survey:discuss(survey:assign(5), "What keeps you from buying bread here?", { rounds = 3 })`
function Study:discuss(whom, topic, options)
  local groups = groups_of(self, "study:discuss", whom)
  local o = errors.options(options, { rounds = "number" }, "study:discuss")
  if o.rounds ~= nil and (math.type(o.rounds) ~= "integer" or o.rounds < 1) then
    errors.argument("study:discuss: rounds must be a whole number of at least 1, got %s", tostring(o.rounds))
  end
  return talk.discuss(self, groups, self:text_for("study:discuss", topic), o.rounds or 2)
end

-- ---- groups -------------------------------------------------------------------------------------------------------------------

--- The names of groups and their shares.
local function groups_given(where, given)
  local names, shares = {}, {}
  if math.type(given) == "integer" then
    if given < 2 then errors.argument("%s: at least 2 groups, got %d", where, given) end
    for i = 1, given do names[i], shares[i] = i, 1 end
    return names, shares
  end
  if type(given) ~= "table" then errors.argument("%s: names of groups, or how many, expected; got %s", where,
    errors.describe(given)) end
  if given[1] ~= nil then
    errors.list(where .. ": groups", given)
    names = table.move(given, 1, #given, 1, {})
    for i in ipairs(names) do shares[i] = 1 end
  else
    names = ordered.names(given)
    for i, name in ipairs(names) do
      shares[i] = given[name]
      if type(shares[i]) ~= "number" or not (shares[i] > 0 and shares[i] < math.huge) then
        errors.argument("%s: the share of %s must be a number above 0, got %s", where, tostring(name), errors.describe(shares[i]))
      end
    end
  end
  local seen = {}
  for _, name in ipairs(names) do
    if type(name) ~= "string" or seen[name] then
      errors.argument("%s: groups have names of their own, got %s", where, errors.describe(name))
    end
    seen[name] = true
  end
  if not names[2] then errors.argument("%s: at least 2 groups", where) end
  return names, shares
end

--- People of the same words, in the order of the first of each.
local function strata(self, people, by)
  local list, by_key = {}, {}
  for _, person in ipairs(people) do
    local parts = {}
    for i, name in ipairs(by) do parts[i] = tostring(self:known(person, name)) end
    local key = table.concat(parts, "\0")
    if not by_key[key] then
      by_key[key] = {}
      list[#list + 1] = by_key[key]
    end
    table.insert(by_key[key], person)
  end
  return list
end

--- Part people into groups by chance, by the seed: an A/B test. The sizes are exact, and with `by` each group gets its share of the
--- people of each kind, rounded up or down.
---@param given string[]|table<string, number>|integer names of groups; names and shares ({ control = 1, advert = 3 }); or how many
---@param options? { by?: string[], whom?: any, name?: string } by: attributes that are spread evenly; name: of this partition (""):
---  another name is another draw
---@return table<string, string[]>|string[][] groups ids by group
---@return table<string, string|integer> group_of the group by id
---Raises `argument`.
---
--- Example: `local groups, group_of = survey:assign({ "A", "B" }, { by = { "gender" } })`
function Study:assign(given, options)
  local where = "study:assign"
  local o = errors.options(options, { by = "table", whom = true, name = "string" }, where)
  local people = self:whom(where, o.whom)
  local names, shares = groups_given(where, given)
  if #names > #people then errors.argument("%s: %d groups of %d people", where, #names, #people) end
  for _, name in ipairs(o.by or {}) do self:check_known(where, name) end
  local counts, kinds, expected = rounding.largest_remainder(shares, #people), strata(self, people, o.by or {}), {}
  for i, kind in ipairs(kinds) do
    expected[i] = {}
    for k, count in ipairs(counts) do expected[i][k] = #kind * count / #people end
  end
  local random = seeds.stream(self.seed, "assign", o.name or "")
  local whole, group_of, groups = rounding.rounded(expected, random), {}, {}
  for i, kind in ipairs(kinds) do
    local order, at = random:permutation(#kind), 0
    for k, name in ipairs(names) do
      for _ = 1, whole[i][k] do
        at = at + 1
        group_of[kind[order[at]].id] = name
      end
    end
  end
  for _, name in ipairs(names) do groups[name] = {} end
  for _, person in ipairs(people) do table.insert(groups[group_of[person.id]], person.id) end
  return groups, group_of
end

-- ---- what can be counted ------------------------------------------------------------------------------------------------------

--- A table out of what was said, each cell with the turn it rests on. One row a person, read from what that person said; with
--- `rows` a list of entries out of the whole talk. Numbers and texts must stand in their turn; one of several words, yes or no, is
--- chosen once more from that turn alone and must come out the same; what is reworded must follow from it. What does not hold is
--- empty in the row, and told in `refused`.
---@param shape table fields in the notation of stoke.schema, each one value: { visit = "yes|no: would visit it", price = "number" }
---@param options? { whom?: any, order?: string[], rows?: integer, about?: string, reworded?: string[], verify?: boolean, also?:
---  string[], model?: string, sampling?: table } order: of the fields; rows: entries at most, about: what they are; reworded: texts
---  in the reader's own words; verify = false: no question more; also: columns out of the personas
---@return stoke.study.table
---Raises `argument`, and what agent:run raises.
---
--- Example: `local found = survey:extract({ visit = "yes|no", reason = "string 1..80" }, { reworded = { "reason" } })`
function Study:extract(shape, options)
  check_self(self, "study:extract()")
  return extract.run(self, shape, options)
end

--- A table out of answers that were asked for by a schema: nothing is read, and nothing asked.
---@param answers table[] what study:ask with `output` returned
---@return stoke.study.table
---Raises `argument`.
---
--- Example: `local found = survey:tabulate(survey:ask("all", "What would you pay?", { output = { price = "number" } }))`
function Study:tabulate(answers)
  check_self(self, "study:tabulate()")
  return rows.of_answers("study:tabulate", answers)
end

--- Is a statement true, of each person or of the talk? With the turn that decides it, and why; nil where no turn does.
---@param claim string {name} in it is the person
---@param options? { of?: "each"|"talk", whom?: any, model?: string, sampling?: table }
---@return stoke.study.table with the columns holds, turn, why
---Raises `argument`, and what agent:run raises.
---
--- Example: `local found = survey:check("{name} would recommend the bakery to a friend.")`
function Study:check(claim, options)
  check_self(self, "study:check()")
  return judge.run(self, "check", claim, options)
end

--- How true is a statement, from 0 to 9? Else as study:check.
---@param claim string
---@param options? { of?: "each"|"talk", whom?: any, model?: string, sampling?: table }
---@return stoke.study.table with the columns score, turn, why
---Raises `argument`, and what agent:run raises.
---
--- Example: `local scores = survey:score("{name} likes the advert.")`
function Study:score(claim, options)
  check_self(self, "study:score()")
  return judge.run(self, "score", claim, options)
end

-- ---- looking at it ------------------------------------------------------------------------------------------------------------

--- What was said, as text: of all, or what one person has heard and said.
---@param id? string
---@return string
---Raises `argument`.
---
--- Example: `print(survey:transcript "p07")`
function Study:transcript(id)
  check_self(self, "study:transcript()")
  local turns = id == nil and self.turns or talk.heard(self, one(self, "study:transcript", id).id)
  local lines = {}
  for i, turn in ipairs(turns) do lines[i] = ("[%d] %s: %s"):format(turn.n, turn.name, turn.text) end
  return table.concat(lines, "\n")
end

local FIRST = {
  ask = function(self, whom, question, options)
    return talk.first_asked(self, self:whom("study:explain", whom), question, options and options.output)
  end,
  discuss = function(self, whom, topic) return talk.first_spoken(self, groups_of(self, "study:explain", whom)[1], topic) end,
  extract = extract.first,
  check = function(self, claim, options) return judge.first(self, "check", claim, options) end,
  score = function(self, claim, options) return judge.first(self, "score", claim, options) end,
}

--- Print the first request that a step would send, with all that the model may be told; nothing is sent, and nothing is said.
---@param step "ask"|"discuss"|"extract"|"check"|"score"
---@param ... any what the method of that name takes
---@return { method: string, url: string, body: string, answer: string, texts: table }
---Raises `argument`.
---
--- Example: `survey:explain("ask", "all", "What would you pay for a loaf?")`
function Study:explain(step, ...)
  check_self(self, "study:explain()")
  local first = FIRST[step]
  if not first then
    errors.argument("study:explain: \"ask\", \"discuss\", \"extract\", \"check\" or \"score\" expected, got %s",
      errors.describe(step))
  end
  local q = first(self, ...)
  return kept.agent(q):explain(q.messages)
end

--- What it has cost: questions that were asked now, answers that were kept from before, kept ones that were not needed.
---@return { asked: integer, kept: integer, unused: integer, usage: stoke.usage }
---Raises `db`.
---
--- Example: `print(survey:report().asked)`
function Study:report()
  scopes.check_self(self, Study, "study:report()")
  local store = self.store
  return { asked = store.asked, kept = store.kept, unused = store:unused(), usage = store.usage }
end

--- Take the answers out of the file that this run of the study has not used: call it at the end.
---@return integer count
---Raises `db`.
---
--- Example: `survey:prune()`
function Study:prune()
  scopes.check_self(self, Study, "study:prune()")
  return self.store:prune()
end

--- Close the file. What `<close>` does.
---
--- Example: `survey:close()`
function Study:close()
  scopes.check_self(self, Study, "study:close()")
  self.store:close()
end

Study.__close = Study.close

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
