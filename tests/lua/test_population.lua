-- People by quotas: stdlib/population.lua.
local stoke = require "stoke"
local json = require "stoke.json"
local test = require "stoke.test"

local GENDER = { female = 0.5, male = 0.5 }
local AGE = { ["18-34"] = 0.3, ["35-64"] = 0.5, ["65-80"] = 0.2 }

local function sum(list)
  local total = 0
  for _, value in next, list do total = total + value end
  return total
end

-- A generator of its own for tests that draw: its seed stands in the failure.
local function random_of(seed) return stoke.rand.new(seed) end

-- ---- rounding -------------------------------------------------------------------------------------------------------------------

test("the largest remainders get what is left, and of equal ones the earlier", function(t)
  local largest = require "stoke.population.rounding".largest_remainder
  t.eq(largest({ 0.5, 0.3, 0.2 }, 7), { 4, 2, 1 })      -- 3.5, 2.1, 1.4
  t.eq(largest({ 1, 1, 1 }, 50), { 17, 17, 16 })
  t.eq(largest({ 0.1, 0.2, 0.7 }, 10), { 1, 2, 7 })     -- 0.1 * 10 is whole, though no float is a tenth
  t.eq(largest({ 0, 1 }, 3), { 0, 3 })
end)

test("a rounded table keeps the sums of its rows and columns, each cell the number below or above", function(t)
  local rounded = require "stoke.population.rounding".rounded
  for seed = 1, 300 do
    local g = random_of(seed)
    local rows, columns = g:int(1, 6), g:int(1, 6)
    local whole, cells, expected, total = {}, {}, {}, 0
    for i = 1, rows do -- a table of whole sums: products of whole sums
      whole[i] = g:int(0, 30)
      total = total + whole[i]
    end
    local shares = {}
    for k = 1, columns do shares[k] = g:int(0, 5) end
    shares[1] = shares[1] + 1
    local across = require "stoke.population.rounding".largest_remainder(shares, total)
    for i = 1, rows do
      cells[i], expected[i] = {}, {}
      for k = 1, columns do
        expected[i][k] = total > 0 and whole[i] * across[k] / total or 0
        cells[i][k] = expected[i][k]
      end
    end
    rounded(cells, g)
    for i = 1, rows do
      t.eq(sum(cells[i]), whole[i], "seed " .. seed)
      for k = 1, columns do
        t.ok(math.type(cells[i][k]) == "integer" and math.abs(cells[i][k] - expected[i][k]) < 1,
          ("seed %d: %g became %g"):format(seed, expected[i][k], cells[i][k]))
      end
    end
    for k = 1, columns do
      local column = 0
      for i = 1, rows do column = column + cells[i][k] end
      t.eq(column, across[k], "seed " .. seed)
    end
  end
end)

test("which way a cell is rounded is drawn, so that it is on average what it was", function(t)
  local rounded = require "stoke.population.rounding".rounded
  local total = 0
  for seed = 1, 2000 do
    local cells = { { 0.3, 0.7 }, { 0.7, 0.3 } }
    total = total + rounded(cells, random_of(seed))[1][1]
  end
  t.near(total / 2000, 0.3, 0.05) -- five standard errors
end)

test("a table is fitted to sums, and keeps what was likelier beside what", function(t)
  local raked = require "stoke.population.rounding".raked
  local cells = raked({ { 1, 1 }, { 1, 3 } }, { 20, 30 }, { 15, 35 })
  t.near(cells[1][1] + cells[1][2], 20, 1e-6)
  t.near(cells[1][1] + cells[2][1], 15, 1e-6)
  t.near(cells[1][1] * cells[2][2] / (cells[1][2] * cells[2][1]), 3, 1e-6) -- the odds ratio is kept
end)

test("a cell that must become nothing does, and sums that no table has are told", function(t)
  local raked = require "stoke.population.rounding".raked
  local cells = raked({ { 1, 1 }, { 0, 1 } }, { 25, 25 }, { 25, 25 })
  t.near(cells[1][1], 25, 1e-3)
  t.eq(cells[1][2], 0)
  local none, where, at = raked({ { 1, 0 }, { 1, 0 } }, { 20, 30 }, { 40, 10 })
  t.eq({ none == nil, where, at }, { true, "column", 2 })
end)

-- ---- quotas ---------------------------------------------------------------------------------------------------------------------

test("of 50 people exactly as many are of each kind as the shares say", function(t)
  for seed = 1, 40 do
    local people = stoke.population { size = 50, seed = seed, quotas = { gender = GENDER, age = AGE, temper = { curious = 1 / 3,
      quiet = 1 / 3, sour = 1 / 3 } } }
    t.eq(#people, 50)
    t.eq(people:count "gender", { { gender = "female", count = 25 }, { gender = "male", count = 25 } }, "seed " .. seed)
    t.eq(people:count "age", { { age = "18-34", count = 15 }, { age = "35-64", count = 25 }, { age = "65-80", count = 10 } })
    local tempers = people.report.counts.temper
    t.eq({ tempers.curious, tempers.quiet, tempers.sour }, { 17, 17, 16 })
  end
end)

test("attributes are spread over each other: each cell has what is expected of it, rounded", function(t)
  for seed = 1, 40 do
    local people = stoke.population { size = 50, seed = seed, quotas = { gender = GENDER, age = AGE } }
    local expected = { ["18-34"] = 7.5, ["35-64"] = 12.5, ["65-80"] = 5 }
    for _, cell in ipairs(people:count("age", "gender")) do
      t.ok(math.abs(cell.count - expected[cell.age]) < 1, ("seed %d: %d of %s"):format(seed, cell.count, cell.age))
    end
  end
end)

test("a range becomes a whole number in it, and other words stay", function(t)
  local people = stoke.population { size = 30, quotas = { age = AGE, home = { ["flat 3-a"] = 1 } } }
  for _, one in ipairs(people) do
    local low, high = people:words(one.id).age:match "(%d+)-(%d+)"
    t.ok(math.type(one.persona.age) == "integer" and one.persona.age >= tonumber(low) and one.persona.age <= tonumber(high))
    t.eq(one.persona.home, "flat 3-a")
  end
end)

test("a range without a whole number in it is refused, in quotas and in joint tables", function(t)
  local function refused(definition, ...)
    local err = t.raises("argument", stoke.population, definition)
    for _, words in ipairs { ... } do t.contains(tostring(err), words) end
  end
  refused({ size = 4, quotas = { age = { ["80-18"] = 1 } } }, "quotas.age", '"80-18"', "18-80; or, where it is a word", "80 to 18")
  refused({ size = 4, quotas = { age = { ["80 \u{2013} 18"] = 1 } } }, "18-80")
  refused({ size = 4, quotas = { age = { ["0-99999999999999999999"] = 1 } } }, "18 digits")
  refused({ size = 4, joint = { { age = "80-18", job = "nurse", share = 1 } } }, "joint[1].age", "18-80")
  t.eq(stoke.population { size = 1, quotas = { age = { ["18-18"] = 1 } } }[1].persona.age, 18)
end)

test("the report counts words that nobody got, too", function(t)
  local people = stoke.population { size = 3, quotas = { job = { nurse = 0.99, baker = 0.01 } },
    joint = { { age = "old", temper = "mild", share = 1 }, { age = "young", temper = "mild", share = 0 } } }
  t.eq(people.report.counts, { job = { nurse = 3, baker = 0 }, age = { old = 3, young = 0 }, temper = { mild = 3 } })
end)

test("the cells of a joint table are exact", function(t)
  local people = stoke.population { size = 50, joint = {
    { gender = "female", job = "nurse", share = 0.4 }, { gender = "female", job = "baker", share = 0.1 },
    { gender = "male", job = "baker", share = 0.5 } } }
  t.eq(people:count("gender", "job"), { { gender = "female", job = "baker", count = 5 }, { gender = "female", job = "nurse",
    count = 20 }, { gender = "male", job = "baker", count = 25 } })
end)

test("a joint table is fitted to the quotas of its attributes, whose numbers stay exact", function(t)
  for seed = 1, 20 do
    local people = stoke.population { size = 50, seed = seed, quotas = { gender = { female = 30, male = 20 }, age = AGE }, joint = {
      { gender = "female", job = "nurse", share = 40 }, { gender = "female", job = "baker", share = 10 },
      { gender = "male", job = "nurse", share = 10 }, { gender = "male", job = "baker", share = 40 } } }
    t.eq(people:count "gender", { { gender = "female", count = 30 }, { gender = "male", count = 20 } })
    t.eq(people:count "job", { { job = "baker", count = 25 }, { job = "nurse", count = 25 } })
    t.eq(people.report.counts.age["35-64"], 25)
    for _, cell in ipairs(people:count("gender", "job")) do
      if cell.gender == "female" and cell.job == "nurse" then t.ok(cell.count > 20, "most nurses are women: " .. cell.count) end
    end
  end
end)

test("quotas that contradict a joint table are told", function(t)
  local err = t.raises("argument", stoke.population, { size = 10, quotas = { gender = GENDER, job = { nurse = 0.9, baker = 0.1 } },
    joint = { { gender = "female", job = "nurse", share = 0.5 }, { gender = "male", job = "baker", share = 0.5 } } })
  t.contains(err.message, "quotas and joint contradict each other")
  t.match(err.message, "job")
end)

test("shares may be parts, per cent or people, and other sums are refused", function(t)
  for _, given in ipairs { { a = 0.4, b = 0.6 }, { a = 40, b = 60 }, { a = 2, b = 3 } } do
    t.eq(stoke.population { size = 5, quotas = { kind = given } }:count "kind", { { kind = "a", count = 2 },
      { kind = "b", count = 3 } })
  end
  local err = t.raises("argument", stoke.population, { size = 50, quotas = { gender = { f = 0.5, m = 0.4 } } })
  t.eq(err.message, "stoke.population: quotas.gender: the shares add up to 0.9; they must add up to 1, to 100 (per cent) or to the "
    .. "size, 50 (people)")
end)

test("what is wrong in a definition is told with its place", function(t)
  local function message(given) return t.raises("argument", stoke.population, given).message end
  t.contains(message {}, "size is missing")
  t.contains(message { size = 0 }, "from 1 to 10000")
  t.contains(message { size = 5, quota = {} }, "did you mean quotas")
  t.contains(message { size = 5, quotas = { gender = {} } }, "quotas.gender must be shares by word")
  t.contains(message { size = 5, quotas = { gender = { f = -1, m = 2 } } }, 'quotas.gender["f"] must be a share of at least 0')
  t.contains(message { size = 5, quotas = { gender = { f = 0 / 0, m = 1 } } }, "must be a share")
  t.contains(message { size = 5, quotas = { { f = 1 } } }, "quotas has the key 1; its keys are texts")
  t.contains(message { size = 5, quotas = { gender = { 0.5, 0.5 } } }, "its keys are texts")
  t.contains(message { size = 5, quotas = { name = { Ada = 1 } } }, "a field with a meaning of its own")
  t.contains(message { size = 5, quotas = { file = { x = 1 } } }, "a field with a meaning of its own")
  t.contains(message { size = 5, model = "m", words = { name = "string" } }, "words must be fields, but for `name`")
  t.contains(message { size = 5, joint = { { share = 1 } } }, "names no attribute")
  t.contains(message { size = 5, joint = { { a = "x", share = 0.5 }, { a = "x", share = 0.5 } } }, "the same cell as joint[1]")
  t.contains(message { size = 5, joint = { { a = "x", share = 0.5 }, { b = "y", share = 0.5 } } }, "joint[2].a")
  t.contains(message { size = 5, quotas = { a = { x = 1 } }, joint = { { a = "y", share = 1 } } }, 'the word "y" of a')
  t.contains(message { size = 5, about = "people" }, "about needs a model")
  t.contains(message { size = 5, names = { female = { "" } } }, "names.female[1] must be a name")
  local people = stoke.population { size = 5, quotas = { gender = { f = 1 } } }
  t.contains(t.raises("argument", people.find, people, "p9").message, "nobody has the id")
  t.contains(t.raises("argument", people.count, people, "gende").message, "did you mean gender?")
end)

test("the same seed gives the same people, another one others", function(t)
  local function make(seed) return json.encode(stoke.population { size = 40, seed = seed, quotas = { gender = GENDER,
    age = AGE } }) end
  t.eq(make(7), make(7))
  t.ok(make(7) ~= make(8))
end)

-- ---- names and words ------------------------------------------------------------------------------------------------------------

test("no two have one name, in a population larger than the lists as well", function(t)
  local people, seen = stoke.population { size = 10000, quotas = { gender = { woman = 1 } } }, {}
  for _, one in ipairs(people) do
    t.ok(not seen[one.name] and one.name:find "^%a+ %a+", one.name)
    seen[one.name] = true
  end
end)

test("names of the script go first, by a word of a quota where it says so", function(t)
  local people = stoke.population { size = 6, quotas = { gender = GENDER }, names = { female = { "Ann", "Bea" },
    male = { "Cid" } } }
  local names = {}
  for _, one in ipairs(people) do
    local list = names[one.persona.gender] or {}
    list[#list + 1], names[one.persona.gender] = one.name, list
  end
  t.eq({ names.female[1], names.female[2], names.male[1] }, { "Ann", "Bea", "Cid" })
  t.ok(names.female[3]:find " " and names.male[2]:find " ", "the lists give the others")
end)

test("a model writes the words around what is fixed, one question a person", function(t)
  local model = t.model(function(request, n)
    return { json = { job = "baker " .. n, text = "Up at four.\nWorries about the rent." } }, request
  end)
  local people = stoke.population { size = 3, seed = 1, model = "m", about = "people of Leeds", quotas = { gender = { female = 1 },
    age = { ["40-40"] = 1 } } }
  t.asked("m", { times = 3 })
  t.match(people[1].persona.job, "^baker %d$")
  t.eq(people[1].persona.text, "Up at four. Worries about the rent.")
  local asked = model.requests[1]
  t.contains(asked.messages[#asked.messages].content, "people of Leeds")
  t.contains(asked.messages[#asked.messages].content, "Age: 40. Gender: female.")
  t.eq(asked.format.properties.name, nil)
  local seeds = {}
  for i, request in ipairs(model.requests) do seeds[i] = request.options.seed end
  t.ok(seeds[1] ~= seeds[2] and seeds[2] ~= seeds[3], "each person is drawn by a seed of its own")
end)

test("an answer that does not fit leaves the words out, and is told", function(t)
  t.model(function(request)
    if json.encode(request.messages):find("Age: 41", 1, true) then return { json = { job = "cook", text = "Sings all day, "
    .. "badly." } } end
    return "I would rather not."
  end)
  local people = stoke.population { size = 2, model = "m", quotas = { age = { ["40-40"] = 0.5, ["41-41"] = 0.5 } } }
  local without = people:where { age = 40 }[1]
  t.eq({ without.persona.job, people:where({ age = 41 })[1].persona.job }, { nil, "cook" })
  t.eq(#people.report.failed, 1)
  t.eq(people.report.failed[1].id, without.id)
end)

test("a name that the model gives twice is asked for again, then a list gives it", function(t)
  t.model(function(request)
    local last = request.messages[#request.messages].content
    if last:find("Somebody else is called Ada Lund", 1, true) then
      return { json = { name = json.encode(request.messages):find("Age: 41", 1, true) and "Bea Holm" or "ADA LUND" } }
    end
    return { json = { name = "Ada Lund" } }
  end)
  local people = stoke.population { size = 3, model = "m", names = "model", words = {},
    quotas = { age = { ["40-40"] = 1, ["41-41"] = 1, ["42-42"] = 1 } } }
  local names = {}
  for i, one in ipairs(people) do names[i] = one.name end
  t.eq(names[1], "Ada Lund")
  t.ok(names[2] ~= names[3] and names[2]:lower() ~= "ada lund" and names[3]:lower() ~= "ada lund", names[2] .. ", " .. names[3])
  t.ok(#people.report.renamed >= 2)
end)

test("what was written is kept in a file, and not asked again", function(t)
  local model = t.model(function() return { json = { job = "baker", text = "Up at four, in bed by nine." } } end)
  local file = t.tmp() .. "/people"
  local function make(size)
    return stoke.population { size = size, seed = 2, model = "m", file = file, quotas = { gender = { f = 1 } } }
  end
  local first = json.encode(make(4))
  t.eq(json.encode(make(4)), first)
  t.eq(#model.requests, 4)
end)

test("a dead server ends the making, and what was written before is kept", function(t)
  local n = 0
  t.model(function()
    n = n + 1
    if n == 3 then return { error = "no such luck", status = 404 } end
    return { json = { job = "baker", text = "Up at four, in bed by nine." } }
  end)
  local file = t.tmp() .. "/people"
  local given = { size = 5, model = "m", file = file, at_once = 1 }
  t.raises("http", stoke.population, given)
  stoke.population(given)
  t.eq(n, 6)
end)

test("what would be asked is shown, and nothing is sent", function(t)
  local model = t.model {}
  local made = stoke.population.explain { size = 3, model = "m", about = "people of Leeds", texts = { population_words = "Who? "
    .. "{about}" } }
  t.contains(made.body, "Who? people of Leeds")
  t.eq(#model.requests, 0)
end)

-- ---- relations ------------------------------------------------------------------------------------------------------------------

test("relations go both ways, there are as many as were wanted, and nobody knows himself", function(t)
  for seed = 1, 10 do
    local people = stoke.population { size = 40, seed = seed }
    t.eq(people:relate("friends", { degree = 4 }), 80)
    local ends = 0
    for _, one in ipairs(people) do
      local names = {}
      for i, other in ipairs(people:related(one.id, "friends")) do
        names[i], ends = other.name, ends + 1
        t.ok(other.id ~= one.id)
        local back = false
        for _, again in ipairs(people:related(other.id, "friends")) do back = back or again.id == one.id end
        t.ok(back, "seed " .. seed)
      end
      t.eq(one.persona.friends, names[1] and names or nil)
    end
    t.eq(ends, 160)
  end
end)

test("those who are alike know each other more often, and a rule may forbid a pair", function(t)
  local people = stoke.population { size = 60, seed = 3, quotas = { gender = GENDER } }
  people:relate("friends", { degree = 5, alike = { gender = 20 } })
  local same, all = 0, 0
  for _, one in ipairs(people) do
    for _, other in ipairs(people:related(one.id, "friends")) do
      all = all + 1
      if other.persona.gender == one.persona.gender then same = same + 1 end
    end
  end
  t.ok(same / all > 0.8, same .. " of " .. all)
  local pairs_made = people:relate("married", { degree = 59, rule = function(a, b)
    return a.persona.gender ~= b.persona.gender and 1 or 0
  end })
  t.eq(pairs_made, 30 * 30)
end)

test("the same seed gives the same relations, whatever else was drawn", function(t)
  local function friends(before)
    local people = stoke.population { size = 20, seed = 5 }
    if before then people:relate("colleagues", { degree = 2 }) end
    people:relate("friends", { degree = 3 })
    local out = {}
    for i, one in ipairs(people) do out[i] = one.persona.friends or false end
    return out
  end
  t.eq(friends(true), friends(false))
end)

test("wrong relations are refused", function(t)
  local people = stoke.population { size = 3, quotas = { age = { ["40-40"] = 1 } } }
  local function message(...) return t.raises("argument", people.relate, people, ...).message end
  t.contains(message("friends", { degree = 3 }), "degree must be from 0 to 2")
  t.contains(message("friends", { rule = function() return -1 end }), "what the rule returns must be a number of at least 0")
  t.contains(message("friends", { alike = { 5 } }), "alike must be weights by attribute")
  t.contains(message("friends", { alike = { agee = 5 } }), "no quota is about that (did you mean age?)")
  t.contains(message("age", {}), "a field of a persona already")
  t.contains(message(""), "the kind is letters")
  t.contains(message "file", "a field of a persona already")
  people:relate("friends", { degree = 1 })
  t.contains(message "friends", "already")
end)

test("what nobody has is told, and what was meant", function(t)
  local people = stoke.population { size = 4, quotas = { gender = GENDER } }
  people:relate("friends", { degree = 2 })
  local function told(...) return t.raises("argument", ...).message end
  t.contains(told(people.find, people, { 1 }), "nobody has the id a table { 1 }")
  t.contains(told(people.count, people, {}), "no quota is about a table")
  t.contains(told(people.where, people, { gendre = "male" }), "nobody's persona has gendre (did you mean gender?)")
  t.contains(told(people.where, people, { "male" }), "nobody's persona has 1")
  t.contains(told(people.relate, people, "family", { alike = { gendre = 2 } }), "did you mean gender?")
  t.contains(told(people.related, people, "p1", "freinds"), "did you mean friends?")
  t.eq({ #people:where { gender = "male" }, #people:where { gender = "other" } }, { 2, 0 })
end)

test("a person is an agent with its persona for instructions", function(t)
  local model = t.model { "At the market." }
  local people = stoke.population { size = 1, quotas = { job = { baker = 1 } } }
  local bot = people:agent("p1", { model = "m", instructions = "Answer in one sentence." })
  t.eq(bot:run("Where do you buy?").text, "At the market.")
  local said = model.requests[1].messages[1].content
  t.contains(said, "You are " .. people[1].name)
  t.contains(said, "Job: baker.")
  t.contains(said, "Answer in one sentence.")
end)

test("people of a population live in a world as they are", function(t)
  local people = stoke.population { size = 3, seed = 1, quotas = { gender = GENDER } }
  people:relate("friends", { degree = 2 })
  local given = { model = "m" }
  for i, one in ipairs(people) do given[i] = one end
  local live = stoke.person.people(given)
  t.eq(live:state().members.p1.name, people[1].name)
end)
