--- stoke.population: people for a study or a world, so many of each kind as quotas say, exactly; a model gives the words.
---
---     local people = stoke.population {
---       size = 50, seed = 7, about = "regular customers of a bakery in Leeds", model = "qwen2.5:3b",
---       quotas = { gender = { female = 0.5, male = 0.5 }, age = { ["18-34"] = 0.3, ["35-64"] = 0.5, ["65-80"] = 0.2 },
---                  temper = { ["hard to please"] = 0.3, curious = 0.4, ["of few words"] = 0.3 } },
---     }
---     print(people[1].name, people[1].persona.age, people[1].persona.job)
---     people:relate("friends", { degree = 4, alike = { age = 5 } })
---
--- The arithmetic is the host's: shares become whole people by the method of the largest remainder, and attributes are spread over
--- each other evenly, so that of 50 people exactly 25 are women, and as many of the young ones as of the old. A word that is a
--- range ("18-34") becomes a whole number in it. Names come from lists, no two alike; the model writes a job and two sentences
--- around what is fixed, bound by a schema. Without a model there are no such words. The same seed gives the same people.
---
--- Each is { id =, name =, persona = { age =, gender =, job =, text = ... } }: what stoke.person and stoke.study take.

local errors = require "core.errors"
local agents = require "stoke.agent"
local kept = require "stoke.study.kept"
local names = require "stoke.population.names"
local ordered = require "core.ordered"
local persona = require "stoke.population.persona"
local quotas = require "stoke.population.quotas"
local relations = require "stoke.population.relations"
local scopes = require "core.scope"
local seeds = require "stoke.population.seeds"
local texts = require "stoke.agent.texts"
local words = require "stoke.population.words"

local M = {}

---@class stoke.population.person
---@field id string "p01"
---@field name string
---@field persona table<string, any> what the quotas say, what the model wrote, whom it knows

---@class stoke.population
---@field [integer] stoke.population.person
---@field report { counts: table<string, table<string, integer>>, failed: { id: string, why: string }[], renamed: { id: string,
---  name: string }[] } counts: people by attribute and word, 0 where nobody has it; failed: people for whom the model gave no
---  answer that fits; renamed: names that somebody had already
local Population = {}
Population.__name = "stoke.population"

--- What is no part of the people themselves: by population. So a population is a list, also as JSON.
local inner = setmetatable({}, { __mode = "k" })

function Population.__index(self, key)
  if key == "report" then return inner[self].report end
  return Population[key]
end

---@class stoke.population.definition
---@field size integer people, 10,000 at most
---@field quotas? table<string, table<string, number>> attribute -> word -> share; the shares of an attribute add up to 1, to 100,
---  or to the size
---@field joint? table[] shares of combinations: { gender = "female", age = "18-34", share = 0.2 } each. Quotas of the same
---  attributes go before it: the table is fitted to them
---@field seed? integer (0)
---@field about? string who they are: "regular customers of a bakery in Leeds"; for the model
---@field model? string writes the words
---@field words? table<string, string> fields that the model writes, in the notation of stoke.schema (job, text)
---@field names? string[]|table<string, string[]>|"model" names that go before those of the lists: for all, or by a word of a quota;
---  "model": it gives them, and is asked again where somebody has the name
---@field file? string|stoke.db.database what the model has written is kept in it: the next time it is not asked
---@field retry? boolean people whose answer did not fit the last time are asked again; otherwise that is kept, too
---@field options? table sampling (temperature 0.9, a seed for each person)
---@field at_once? integer questions at once (16); the pool orders them
---@field endpoint? string
---@field route? string|string[]
---@field think? boolean|string
---@field texts? table<string, string|function|false> population_words, population_name, population_taken, population_persona
---@field timeouts? table
---@field deadline? number seconds of a question
---@field progress? fun(step: string, done: integer, total: integer) called after each answer

local OPTIONS = { size = "number", quotas = "table", joint = "table", seed = "number", about = "string", model = "string",
  words = "table", names = true, file = true, options = "table", at_once = "number", endpoint = "string", route = true,
  think = true, texts = "table", timeouts = "table", deadline = "number", store = true, progress = "function", retry = "boolean" }

--- People of whom a word says a range get a number in it: "18-34", 27.
local function number_in(where, word, random)
  local low, high = quotas.range(where, word)
  return low and random:int(low, high) or word
end

local function check(where, given)
  local o = errors.options(given, OPTIONS, where)
  if o.size == nil then errors.argument("%s: size is missing: how many people", where) end
  if math.type(o.size) ~= "integer" or o.size < 1 or o.size > quotas.MOST then
    errors.argument("%s: size must be a whole number from 1 to %d, got %s", where, quotas.MOST, tostring(o.size))
  end
  for _, name in ipairs { "words", "about", "names" } do
    if not o.model and o[name] ~= nil and (name ~= "names" or o.names == "model") then
      errors.argument("%s: %s needs a model that writes the words", where, name)
    end
  end
  if o.at_once ~= nil and (math.type(o.at_once) ~= "integer" or o.at_once < 1) then
    errors.argument("%s: at_once must be a whole number of at least 1, got %s", where, tostring(o.at_once))
  end
  if o.texts then texts.check(where, o.texts) end
  names.check(where, o.names)
  return o
end

--- The people as the quotas have them: ids, and personas of words and numbers.
local function drawn(where, o, seed)
  local random = seeds.stream(seed, "quotas")
  local list, attributes, known = quotas.draw(where, o.size, o.quotas or {}, o.joint, random)
  local people, by_id, counts = {}, {}, {}
  local id = "p%0" .. #tostring(o.size) .. "d"
  for _, name in ipairs(attributes) do
    counts[name] = {}
    for _, word in ipairs(known[name]) do counts[name][word] = 0 end
  end
  for i, of in ipairs(list) do
    local one = { id = id:format(i), persona = {} }
    for _, name in ipairs(attributes) do
      one.persona[name] = number_in(where, of[name], random)
      counts[name][of[name]] = counts[name][of[name]] + 1
    end
    people[i], by_id[one.id] = one, of
  end
  return people, by_id, attributes, counts
end

local function name_all(people, seed, given)
  local list = names.new(seeds.stream(seed, "names"), given)
  for _, one in ipairs(people) do one.name = list:draw(one.persona) end
end

--- Make people.
---@param given stoke.population.definition
---@return stoke.population
---Raises `argument`; with a model what agent:run raises, and with a file `db`. An answer that does not fit raises nothing: the
--- person
---has no such words, and stands in `report.failed`.
---
--- Example: `local people = stoke.population { size = 50, quotas = { gender = { female = 0.5, male = 0.5 } } }`
function M.new(given)
  local where = "stoke.population"
  local o = check(where, given)
  local seed = seeds.check(where, o.seed)
  local people, by_id, attributes, counts = drawn(where, o, seed)
  local report = { counts = counts, failed = {}, renamed = {} }
  local self = setmetatable(people, Population)
  inner[self] = { seed = seed, words = by_id, edges = {}, texts = o.texts, report = report }
  if o.names ~= "model" then name_all(self, seed, o.names) end
  if not o.model then return self end
  local shape, fields = words.shape(where, o.words, attributes, o.names == "model")
  if not shape then return self end
  local store = o.store or kept.open(where .. ": file", o.file)
  if not o.store then store.retry = o.retry end
  local _ <close> = setmetatable({}, { __close = function() if not o.store then store:close() end end })
  words.write({ where = where, store = store, model = o.model, seed = seed, shape = shape, fields = fields,
    about = o.about or texts.of("population_anybody", o.texts), at_once = o.at_once or 16, progress = o.progress,
      options = o.options,
    endpoint = o.endpoint, route = o.route, think = o.think, texts = o.texts, timeouts = o.timeouts, deadline = o.deadline,
    failed = report.failed, renamed = report.renamed }, self)
  return self
end

local function check_self(self, what)
  scopes.check_self(self, Population, what)
  return inner[self]
end

--- Raises `argument` for a name that is none of the known ones.
local function unknown(what, name, known)
  local near = type(name) == "string" and errors.suggest(name, known)
  errors.argument("%s %s%s", what, type(name) == "string" and name or errors.describe(name),
    near and (" (did you mean %s?)"):format(near) or "")
end

--- A person by its id.
---@param id string
---@return stoke.population.person
---Raises `argument` for an id that nobody has.
---
--- Example: `local one = people:find "p07"`
function Population:find(id)
  check_self(self, "people:find()")
  for _, one in ipairs(self) do
    if one.id == id then return one end
  end
  local ids = {}
  for i, one in ipairs(self) do ids[i] = one.id end
  unknown("people:find: nobody has the id", id, ids)
end

--- Somebody's persona has each of these.
local function check_known(self, about, wanted)
  for name in next, wanted do
    local known, found = {}, false
    for _, one in ipairs(self) do
      found = found or one.persona[name] ~= nil or about.words[one.id][name] ~= nil
      for field in next, one.persona do known[field] = true end
    end
    if not found then unknown("people:where: nobody's persona has", name, ordered.names(known)) end
  end
end

--- The people of whom all of this is so: words of the quotas, or what stands in their personas.
---@param wanted table<string, any>
---@return stoke.population.person[]
---Raises `argument` for what nobody's persona has.
---
--- Example: `for _, one in ipairs(people:where { gender = "female", age = "18-34" }) do print(one.name) end`
function Population:where(wanted)
  local about = check_self(self, "people:where()")
  if type(wanted) ~= "table" then errors.argument("people:where: a table expected, got %s", errors.describe(wanted)) end
  check_known(self, about, wanted)
  local out = {}
  for _, one in ipairs(self) do
    local fits = true
    for name, value in next, wanted do
      fits = fits and (one.persona[name] == value or about.words[one.id][name] == value)
    end
    if fits then out[#out + 1] = one end
  end
  return out
end

--- The words of the quotas that a person has: "18-34", where the persona has 27.
---@param id string
---@return table<string, string>
---Raises `argument`.
---
--- Example: `print(people:words("p07").age)`
function Population:words(id)
  local about, copy = check_self(self, "people:words()"), {}
  for name, word in next, about.words[self:find(id).id] do copy[name] = word end
  return copy
end

--- How many there are of each combination of attributes.
---@param ... string attributes of the quotas
---@return table[] cells { gender = "female", age = "18-34", count = 8 } each, sorted; those of nobody are left out
---Raises `argument` for an attribute that there is not.
---
--- Example: `for _, cell in ipairs(people:count("gender", "age")) do print(cell.gender, cell.age, cell.count) end`
function Population:count(...)
  local about = check_self(self, "people:count()")
  local wanted, by_key, cells = { ... }, {}, {}
  for _, name in ipairs(wanted) do
    if not self.report.counts[name] then unknown("people:count: no quota is about", name, ordered.names(self.report.counts)) end
  end
  for _, one in ipairs(self) do
    local parts, cell = {}, { count = 0 }
    for i, name in ipairs(wanted) do
      parts[i], cell[name] = about.words[one.id][name], about.words[one.id][name]
    end
    local key = table.concat(parts, "\0")
    if not by_key[key] then
      by_key[key], cells[#cells + 1] = cell, { key, cell }
    end
    by_key[key].count = by_key[key].count + 1
  end
  table.sort(cells, function(a, b) return a[1] < b[1] end)
  for i, pair in ipairs(cells) do cells[i] = pair[2] end
  return cells
end

--- Who knows whom: a random graph by a rule and the seed, both ways. There are exactly size x degree / 2 pairs, and each person's
--- persona gets a field of the kind, with the names.
---@param kind string "friends"
---@param options? { degree?: number, alike?: table<string, number>, rule?: fun(a: stoke.population.person, b:
---  stoke.population.person): number } degree: relations of a person on average (3); alike: how many times likelier a pair is that
---  has the same word of an attribute; rule: how likely a pair is, against others, 0 for never
---@return integer pairs fewer where the rule allows no more
---Raises `argument`, and what the rule raises.
---
--- Example: `people:relate("friends", { degree = 4, alike = { age = 5 } })`
function Population:relate(kind, options)
  local about = check_self(self, "people:relate()")
  local made = relations.draw(self, kind, options or {}, about)
  if about.edges[kind] then errors.argument("people:relate: there are relations %q already", kind) end
  for _, one in ipairs(self) do
    if one.persona[kind] ~= nil or quotas.RESERVED[kind] then
      errors.argument("people:relate: %q is a field of a persona already", kind)
    end
  end
  local by_id = {}
  for _, one in ipairs(self) do by_id[one.id] = {} end
  for _, pair in ipairs(made) do
    for i = 1, 2 do
      local list = by_id[pair[i].id]
      list[#list + 1] = pair[3 - i]
    end
  end
  for _, one in ipairs(self) do
    local list = {}
    for i, other in ipairs(by_id[one.id]) do list[i] = other.name end
    if list[1] then one.persona[kind] = list end
  end
  about.edges[kind] = { pairs = made, by_id = by_id }
  return #made
end

--- Whom a person knows.
---@param id string
---@param kind string as given to people:relate
---@return stoke.population.person[]
---Raises `argument`.
---
--- Example: `for _, friend in ipairs(people:related("p07", "friends")) do print(friend.name) end`
function Population:related(id, kind)
  local about = check_self(self, "people:related()")
  local one = self:find(id)
  if not about.edges[kind] then
    unknown("people:related: people:relate has made no relations", kind, ordered.names(about.edges))
  end
  return table.move(about.edges[kind].by_id[one.id], 1, #about.edges[kind].by_id[one.id], 1, {})
end

--- An agent that is one of them.
---@param id string
---@param definition table of stoke.agent: model, tools ...; its instructions come after the persona
---@return stoke.agent
---Raises `argument`.
---
--- Example: `print(people:agent("p07", { model = "qwen2.5:3b" }):run "Do you bake at home?")`
function Population:agent(id, definition)
  local about = check_self(self, "people:agent()")
  local one = self:find(id)
  if type(definition) ~= "table" then errors.argument("people:agent: a definition expected, got %s",
    errors.describe(definition)) end
  local made = {}
  for name, value in next, definition do made[name] = value end
  local said = persona.instructions("people:agent", one, about.texts)
  if type(made.instructions) == "string" then said = said .. "\n\n" .. made.instructions end
  made.instructions, made.name = said, made.name or one.id
  return agents(made)
end

--- Print what would be asked of the model first, and return it; nothing is sent.
---@param given stoke.population.definition
---@return { method: string, url: string, body: string, answer: string, texts: table }
---Raises `argument`.
---
--- Example: `stoke.population.explain { size = 50, model = "qwen2.5:3b", about = "people of Leeds" }`
function M.explain(given)
  local where = "stoke.population.explain"
  local o = check(where, given)
  if not o.model then errors.argument("%s: there is no model, so nothing is asked", where) end
  local seed = seeds.check(where, o.seed)
  local people, _, attributes = drawn(where, o, seed)
  if o.names ~= "model" then name_all(people, seed, o.names) end
  local shape = words.shape(where, o.words, attributes, o.names == "model")
  if not shape then errors.argument("%s: there are no words to write, so nothing is asked", where) end
  local q = words.question({ where = where, model = o.model, seed = seed, shape = shape, endpoint = o.endpoint, route = o.route,
    about = o.about or texts.of("population_anybody", o.texts), options = o.options, texts = o.texts }, people[1])
  return kept.agent(q):explain(q.messages)
end

texts.add { population_anybody = { "who a population is where `about` does not say", "", "people as they live in any town" } }

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
