-- What people of a population say, and what is kept of it: stdlib/study.lua.
local stoke = require "stoke"
local json = require "stoke.json"
local test = require "stoke.test"

local PEOPLE = { { id = "ada", name = "Ada", persona = { gender = "female", age = 41 } },
  { id = "ben", name = "Ben", persona = { gender = "male", age = 30 } },
  { id = "cid", name = "Cid", persona = { gender = "male", age = 70 } } }

local function open(given)
  given = given or {}
  given.model, given.people = given.model or "m", given.people or PEOPLE
  return stoke.study(given)
end

-- Who is asked, by the instructions.
local function who(request) return request.messages[1].content:match "You are (%a+)" end

local function last(request) return request.messages[#request.messages].content end

local function texts(turns)
  local out = {}
  for i, turn in ipairs(turns) do out[i] = turn.name .. ": " .. turn.text end
  return out
end

-- ---- turns ----------------------------------------------------------------------------------------------------------------------

test("each answers alone, hears nothing of the others, and its answer is a turn", function(t)
  local model = t.model(function(request) return who(request) .. " says " .. #request.messages end)
  local study <close> = open()
  local answers = study:ask("all", "Do you bake?")
  t.eq(answers, { { id = "ada", name = "Ada", text = "Ada says 2", turn = 2 }, { id = "ben", name = "Ben", text = "Ben says 2",
    turn = 3 },
    { id = "cid", name = "Cid", text = "Cid says 2", turn = 4 } })
  t.eq(texts(study.turns), { "moderator: Do you bake?", "Ada: Ada says 2", "Ben: Ben says 2", "Cid: Cid says 2" })
  study:ask("ben", "Why not?")
  local asked = model.requests[#model.requests].messages
  t.eq({ asked[2].content, asked[3].content, asked[4].content }, { "Do you bake?", "Ben says 2", "Why not?" })
  t.eq({ asked[2].role, asked[3].role, asked[4].role, #asked }, { "user", "assistant", "user", 4 })
end)

test("what some are told they know, and the others do not", function(t)
  local model = t.model(function() return "Fine." end)
  local study <close> = open()
  t.eq(study:tell({ gender = "male" }, "The shop is closed."), 1)
  t.eq(study:broadcast "Bread is dearer.", 2)
  study:ask("all", "What now?")
  local told = {}
  for _, request in ipairs(model.requests) do told[who(request)] = last(request) end
  t.eq(told.Ada, "Bread is dearer.\n\nWhat now?")
  t.eq(told.Ben, "The shop is closed.\n\nBread is dearer.\n\nWhat now?")
end)

test("a function gives each another text, and a turn of its own", function(t)
  local model = t.model(function() return "Hm." end)
  local study <close> = open()
  study:ask({ "ada", "cid" }, function(person) return "Read this, " .. person.name .. "." end)
  t.eq(texts(study.turns), { "moderator: Read this, Ada.", "moderator: Read this, Cid.", "Ada: Hm.", "Cid: Hm." })
  t.eq(last(model.requests[1]), "Read this, " .. who(model.requests[1]) .. ".")
  t.eq(study:transcript "ada", "[1] moderator: Read this, Ada.\n[3] Ada: Hm.")
end)

test("whom is meant may be said by id, list, words and function", function(t)
  local study <close> = open()
  local function ids(whom)
    local out = {}
    for i, person in ipairs(study:whom("test", whom)) do out[i] = person.id end
    return out
  end
  t.eq(ids "all", { "ada", "ben", "cid" })
  t.eq(ids "ben", { "ben" })
  t.eq(ids { "cid", "ada" }, { "ada", "cid" })
  t.eq(ids { study.people[2] }, { "ben" })
  t.eq(ids { gender = "male", age = 70 }, { "cid" })
  t.eq(ids(function(person) return person.persona.age > 40 end), { "ada", "cid" })
  local function message(whom) return t.raises("argument", study.tell, study, whom, "x").message end
  t.contains(message "adda", "did you mean ada?")
  t.contains(message { { 1 } }, "nobody has the id a table { 1 }")
  t.contains(message { gander = "male" }, "did you mean gender?")
  t.contains(message { gender = "none" }, "nobody is meant")
  t.contains(message(7), "whom must be")
  t.contains(message {}, "nobody is meant")
end)

test("a persona may be a text, as that of a person of a world", function(t)
  local model = t.model { "Yes." }
  local study <close> = open { people = { { id = "ada", name = "Ada", persona = "A smith who likes to argue." } } }
  study:ask("all", "Well?")
  t.contains(model.requests[1].messages[1].content, "\nA smith who likes to argue.")
end)

test("in a talk each speaks once a round, and hears what was said before", function(t)
  local model = t.model(function(request, n) return who(request) .. n end)
  local study <close> = open { seed = 4 }
  local turns = study:discuss({ "ada", "ben" }, "Bread?", { rounds = 2 })
  t.eq(#turns, 5)
  local first, second = turns[2].from, turns[3].from
  t.ok(first ~= second and turns[4].from ~= turns[5].from, "both in each round")
  t.eq(last(model.requests[2]), ("Bread?\n\n%s: %s"):format(turns[2].name, turns[2].text))
  t.contains(model.requests[1].messages[1].content, "You talk with " .. turns[3].name)
  study:ask("cid", "And you?")
  t.eq(last(model.requests[5]), "And you?")
end)

test("groups talk at the same time, hear nothing of each other, and are numbered one after the other", function(t)
  t.model(function(request) return { text = who(request) .. " of " .. #request.messages,
    delay = who(request) == "Ada" and 9 or 1 } end)
  local study <close> = open { people = { { name = "Ada" }, { name = "Ben" }, { name = "Cid" }, { name = "Dee" } } }
  local before = stoke.time.monotonic()
  study:discuss({ { "p01", "p02" }, { "p03", "p04" } }, "Bread?", { rounds = 1 })
  t.ok(stoke.time.monotonic() - before < 12, "they do not wait for each other")
  for i, turn in ipairs(study.turns) do t.eq(turn.n, i) end
  t.eq({ study.turns[1].name, study.turns[4].name }, { "moderator", "moderator" })
  t.eq(study.turns[1].to, { p01 = true, p02 = true })
  t.contains(t.raises("argument", study.discuss, study, { { "p01" }, { "p01" } }, "x").message, "p01 is in two groups")
end)

test("what was said elsewhere is recorded, and heard by whom it was said to", function(t)
  local model = t.model { "I know." }
  local study <close> = open()
  t.eq(study:record { from = "ada", to = { "ben" }, text = "The bread was stale." }, 1)
  study:record { from = "the radio", text = "Rain." }
  study:ask("ben", "So?")
  t.eq(last(model.requests[1]), "Ada: The bread was stale.\n\nRain.\n\nSo?")
end)

test("an answer by a schema has a value, and one that never fits is told and is no turn", function(t)
  t.model(function(request)
    if who(request) == "Ben" then return "no idea" end
    return { json = { price = 3 } }
  end)
  local study <close> = open()
  local answers = study:ask("all", "What would you pay?", { output = { price = "number" } })
  t.eq({ answers[1].value, answers[2].value, answers[3].value }, { { price = 3 }, nil, { price = 3 } })
  t.ok(answers[2].failed and not answers[2].turn, "Ben has failed")
  t.eq(#study.turns, 3)
end)

test("that no answer fitted is kept, until the study is told to try again", function(t)
  local model = t.model(function(request, n) return n > 3 and { json = { price = 3 } } or "no idea", request end)
  local file = t.tmp() .. "/study"
  local function run(retry)
    local study <close> = open { file = file, retry = retry, people = { PEOPLE[1] } }
    return study:ask("all", "What would you pay?", { output = { price = "number" } })[1]
  end
  local failed = run().failed
  t.eq({ #model.requests, run().failed, #model.requests }, { 3, failed, 3 })
  t.eq(run(true).value, { price = 3 })
  t.eq(run().value, { price = 3 })
  t.eq(#model.requests, 4)
end)

test("a dead server ends a question, with what was answered kept", function(t)
  local dead = true
  local model = t.model(function(request)
    if dead and who(request) == "Cid" then return { error = "gone", status = 404 } end
    return who(request)
  end)
  local file = t.tmp() .. "/study"
  do
    local study <close> = open { file = file, at_once = 1 }
    t.raises("http", study.ask, study, "all", "Well?")
  end
  dead = false
  local study <close> = open { file = file }
  t.eq(study:ask("all", "Well?")[3].text, "Cid")
  t.eq(#model.requests, 4)
end)

test("a study can be cancelled while it waits", function(t)
  t.model(function() return { text = "late", delay = 1000 } end)
  local study <close> = open()
  t.raises("timeout", stoke.timeout, 5, study.ask, study, "all", "Well?")
end)

-- ---- groups ---------------------------------------------------------------------------------------------------------------------

local function population(n, seed)
  return stoke.population { size = n, seed = seed, quotas = { gender = { female = 0.4, male = 0.6 }, age = { ["18-39"] = 0.5,
    ["40-80"] = 0.5 } } }
end

test("groups are of exact sizes, and each has its share of the people of each kind", function(t)
  for seed = 1, 20 do
    local study <close> = open { people = population(50, seed), seed = seed }
    local groups, group_of = study:assign({ "A", "B" }, { by = { "gender", "age" } })
    t.eq({ #groups.A, #groups.B }, { 25, 25 })
    local counts = {}
    for _, person in ipairs(study.people) do
      local key = study:known(person, "gender") .. study:known(person, "age") .. group_of[person.id]
      counts[key] = (counts[key] or 0) + 1
    end
    for key, count in next, counts do
      local other = key:sub(1, -2) .. (key:sub(-1) == "A" and "B" or "A")
      t.ok(math.abs(count - counts[other]) <= 1, ("seed %d: %s %d, %d"):format(seed, key, count, counts[other]))
    end
  end
end)

test("lists of a persona are words, whatever is in them", function(t)
  local study <close> = open { people = { { name = "Ada", persona = { owns = { true, 3, "a cat" } } },
    { name = "Ben", persona = { owns = { true } } } } }
  local groups = study:assign({ "A", "B" }, { by = { "owns" } })
  t.eq(#groups.A + #groups.B, 2)
  t.eq(#study:whom("test", { owns = "true, 3, a cat" }), 1)
end)

test("the same seed gives the same groups, another name of the draw others", function(t)
  local study <close> = open { people = population(40, 1), seed = 9 }
  local again <close> = open { people = population(40, 1), seed = 9 }
  t.eq(study:assign { "A", "B" }, again:assign { "A", "B" })
  local first, second = study:assign { "A", "B" }, study:assign({ "A", "B" }, { name = "second" })
  t.ok(json.encode(first) ~= json.encode(second))
end)

test("groups may have shares, or be counted", function(t)
  local study <close> = open { people = population(40, 1) }
  local groups = study:assign { control = 1, advert = 3 }
  t.eq({ #groups.control, #groups.advert }, { 10, 30 })
  local five = study:assign(6)
  t.eq({ #five, #five[1], #five[6] }, { 6, 7, 6 })
  local function message(...) return t.raises("argument", study.assign, study, ...).message end
  t.contains(message { "A" }, "at least 2 groups")
  t.contains(message { "A", "A" }, "names of their own")
  t.contains(message { A = 0, B = 1 }, "the share of A")
  t.contains(message(41), "41 groups of 40 people")
  t.contains(message({ "A", "B" }, { by = { "gendre" } }), "did you mean gender?")
end)

-- ---- what is kept ---------------------------------------------------------------------------------------------------------------

-- A study of three steps; how its last one is worded is the test's.
local function three(file, claim, topic)
  local study <close> = open { file = file }
  study:tell("all", topic or "Bread is dearer.")
  study:ask("all", "What now?")
  study:discuss("all", "And all together?", { rounds = 1 })
  local found = study:check(claim)
  return found, study:report()
end

local function judge(request)
  if last(request):find "The statement" then return { json = { turn = 1, why = "so it says", holds = "yes" } } end
  return who(request) .. " shrugs."
end

test("a study run again asks nothing, and after an edit of its last step only that", function(t)
  local model = t.model(judge)
  local file = t.tmp() .. "/study"
  local _, report = three(file, "{name} shrugs.")
  t.eq({ report.asked, report.kept, #model.requests }, { 9, 0, 9 })
  _, report = three(file, "{name} shrugs.")
  t.eq({ report.asked, report.kept, #model.requests }, { 0, 9, 9 })
  _, report = three(file, "{name} is sad.")
  t.eq({ report.asked, report.kept, report.unused, #model.requests }, { 3, 6, 3, 12 })
  t.contains(last(model.requests[12]), "is sad.")
end)

test("after an edit of the first step, all that rests on it is asked again", function(t)
  local model = t.model(judge)
  local file = t.tmp() .. "/study"
  three(file, "{name} shrugs.")
  three(file, "{name} shrugs.", "Bread is free.")
  t.ok(#model.requests >= 15, "the answers and the talk at least: " .. #model.requests)
end)

test("the second of two equal questions has an answer of its own, also from the file", function(t)
  t.model(function(_, n) return "answer " .. n end)
  local file = t.tmp() .. "/study"
  local function run()
    local study <close> = open { file = file, people = { PEOPLE[1] }, options = { seed = 1 } }
    local out = {}
    for i = 1, 2 do
      out[i] = study.store:ask { who = "ada", step = "ask", label = "Ada", model = "m",
        messages = { { role = "user", content = "Hm?" } } }.text
    end
    return out
  end
  t.eq(run(), { "answer 1", "answer 2" })
  t.eq(run(), { "answer 1", "answer 2" })
end)

test("another model, another option or another persona is another question", function(t)
  local model = t.model(function() return "Yes." end)
  local file = t.tmp() .. "/study"
  local function run(given)
    given.file = file
    local study <close> = open(given)
    study:ask("ada", "Well?")
  end
  run {}
  run {}
  t.eq(#model.requests, 1)
  run { model = "n" }
  run { options = { temperature = 0.1 } }
  run { people = { { id = "ada", name = "Ada", persona = { age = 42 } } } }
  run { seed = 5 }
  t.eq(#model.requests, 5)
end)

test("answers that no run needs any more are taken out", function(t)
  t.model(judge)
  local file = t.tmp() .. "/study"
  three(file, "{name} shrugs.")
  do
    local study <close> = open { file = file }
    study:tell("all", "Bread is dearer.")
    study:ask("all", "What now?")
    t.eq(study:prune(), 6)
    t.eq(study:report().unused, 0)
  end
  local _, report = three(file, "{name} shrugs.")
  t.eq({ report.asked, report.kept }, { 6, 3 })
end)

test("what people are and say is the same in each run of one seed, and no two are drawn alike", function(t)
  local model = t.model(function() return "Yes." end)
  local study <close> = open { seed = 3 }
  study:ask("all", "Well?")
  study:ask("all", "Well?")
  local seen = {}
  for _, request in ipairs(model.requests) do
    t.ok(not seen[request.options.seed], "a seed of its own")
    seen[request.options.seed] = true
    t.eq(request.options.temperature, 0.8)
  end
end)

-- ---- propositions ---------------------------------------------------------------------------------------------------------------

test("a statement is judged of each, with the turn that decides and why", function(t)
  local model = t.model(function(request)
    if not last(request):find "The statement" then return who(request) == "Cid" and "Rain again." or "I love bread." end
    if last(request):find("Cid", 1, true) then return { json = { turn = 0, why = "nothing of bread", holds = "no" } } end
    return { json = { turn = 1, why = "says so", holds = "yes" } }
  end)
  local study <close> = open()
  study:ask("all", "Well?")
  local found = study:check "{name} likes bread."
  t.eq(found.rows, { { id = "ada", name = "Ada", holds = true, turn = 2, why = "says so" }, { id = "ben", name = "Ben",
    holds = true,
    turn = 3, why = "says so" }, { id = "cid", name = "Cid", why = "nothing of bread" } })
  t.eq(found.cells[1].holds, { value = true, turn = 2, from = "ada", quote = "I love bread." })
  local asked = model.requests[4]
  t.contains(last(asked), "(moderator):\n> Well?\n[1] ")
  t.eq(asked.format.properties.turn.enum, { 1, 0 })
  t.eq(asked.options.temperature, 0)
end)

test("a score is from 0 to 9, of the whole talk as well", function(t)
  local model = t.model(function(request)
    if last(request):find "The statement" then return { json = { turn = 2, why = "mostly", score = 7 } } end
    return "I love bread."
  end)
  local study <close> = open()
  study:discuss({ "ada", "ben" }, "Bread?", { rounds = 1 })
  local found = study:score("Bread is liked.", { of = "talk" })
  t.eq({ found.rows[1].score, found.rows[1].turn, #found.rows }, { 7, 3, 1 })
  local score = model.requests[3].format.properties.score
  t.eq({ score.minimum, score.maximum }, { 0, 9 })
  t.contains(t.raises("argument", study.score, study, "x", { of = "all" }).message, '"each" (person) or "talk"')
  t.contains(t.raises("argument", study.score, study, "").message, "the claim must be a text")
end)

test("who has said nothing is not judged", function(t)
  local model = t.model {}
  local study <close> = open()
  study:tell("all", "Hello.")
  t.eq(study:check("{name} likes bread.").rows[1], { id = "ada", name = "Ada", why = "nothing was said" })
  t.eq(#model.requests, 0)
end)

-- ---- looking --------------------------------------------------------------------------------------------------------------------

test("what a step would ask first is shown, with nothing sent or said", function(t)
  local model = t.model { "I bake." }
  local study <close> = open { texts = { study_check = "Is it so? {claim}" } }
  t.contains(study:explain("ask", "ben", "Do you bake?").body, "Do you bake?")
  t.contains(study:explain("discuss", "all", "Bread?").body, "You talk with Ben, Cid")
  study:record { from = "ada", text = "I bake." }
  t.contains(study:explain("check", "{name} bakes.").body, "Is it so? Ada bakes.")
  t.contains(study:explain("score", "{name} bakes.").body, "How true is it")
  t.contains(study:explain("extract", { bakes = "boolean" }).body, "Fill in the form about Ada.")
  t.eq({ #model.requests, #study.turns }, { 0, 1 })
  t.contains(t.raises("argument", study.explain, study, "tell").message, '"ask", "discuss"')
end)

test("what is wrong in a definition is told with its place", function(t)
  local function message(given) return t.raises("argument", stoke.study, given).message end
  t.contains(message {}, "model is missing")
  t.contains(message { model = "m", poeple = {} }, "did you mean people")
  t.contains(message { model = "m", people = {} }, "people is empty")
  t.contains(message { model = "m", people = { { persona = {} } } }, "people[1] must be")
  t.contains(message { model = "m", people = { { name = "A", persona = { age = print } } } }, "people[1]: persona.age must be a "
    .. "text")
  t.contains(message { model = "m", people = { { id = "a", name = "A" }, { id = "a", name = "B" } } }, "two people have the id a")
  t.contains(message { model = "m", texts = { study_chek = "x" } }, "did you mean study_check?")
  local study <close> = stoke.study { model = "m" }
  t.contains(t.raises("argument", study.ask, study, "all", "x").message, "there are no people")
end)

test("how far a step is, is told after each person", function(t)
  t.model(function(request) return last(request):find "The statement" and { json = { turn = 0, why = "no",
    holds = "no" } } or "Yes." end)
  local told = {}
  local study <close> = open { at_once = 1, progress = function(...) told[#told + 1] = table.concat({ ... }, " ") end }
  study:ask({ "ada", "ben" }, "Well?")
  study:discuss({ "ada", "ben" }, "So?", { rounds = 1 })
  study:check("{name} says yes.", { whom = "ada" })
  t.eq(told, { "ask 1 2", "ask 2 2", "discuss 1 2", "discuss 2 2", "check 1 1" })
end)

test("a study that is closed asks nothing more", function(t)
  local study = open { file = t.tmp() .. "/study" }
  study:close()
  t.contains(t.raises("argument", study.ask, study, "all", "Well?").message, "the study is closed")
  study:close()
end)

test("each person may have a model of its own, and the judge another", function(t)
  t.model(function(request) return last(request):find "The statement" and { json = { turn = 0, why = "no",
    holds = "no" } } or "Yes." end)
  local study <close> = open { judge = "large", people = { { id = "ada", name = "Ada" }, { id = "ben", name = "Ben",
    model = "tiny" } } }
  study:ask("all", "Well?")
  study:check "{name} says yes."
  t.asked("m", { times = 1 })
  t.asked("tiny", { times = 1 })
  t.asked("large", { times = 2 })
end)

test("a population is made with the study's model, seed and file", function(t)
  local model = t.model(function(request)
    if request.format then return { json = { job = "baker", text = "Up at four, in bed by nine." } } end
    return "Yes."
  end)
  local file = t.tmp() .. "/study"
  local function run()
    local study <close> = stoke.study { model = "m", file = file, seed = 2 }
    study:populate { size = 3, about = "people of Leeds", quotas = { age = { ["18-39"] = 1 } } }
    study:ask({ age = "18-39" }, "Well?")
    return study:report()
  end
  t.eq(run().asked, 6)
  t.eq(run().asked, 0)
  t.contains(model.requests[4].messages[1].content, "Job: baker.")
end)
