#!/usr/bin/env stoke
-- focusgroup.lua: a made-up population tries two adverts. Half see one, half the other, drawn so that each half has its share of
-- every kind of people. Each says what it thinks, then the halves talk, apart. Out of what was said comes a table: who would
-- buy, for how much, why, and in which turn that was said; and whether the difference is more than chance. With --file a second
-- run asks only what has changed.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/focusgroup.lua "Sourdough, baked at five. 4 crowns." "Bread like grandmother's." --about "people of Bergen"
--        stoke agents/focusgroup.lua a.txt b.txt --people 50 --file adverts.study --csv adverts --judge qwen2.5:7b
--        stoke agents/focusgroup.lua "Bread, 4 crowns." "Bread." --sim=tests/agents/focusgroup.lua

local stoke = require "stoke"
local args = require "stoke.args"
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"
local stats = require "stoke.stats"
local term = require "stoke.term"

local function positive(n) return n > 0 and n or error("it must be above 0", 0) end

local SPEC = {
  name = "focusgroup.lua", summary = "A population tries two adverts: a table, statistics, and the turn each value comes from.",
  examples = { { "focusgroup.lua a.txt b.txt --people 50", "fifty people, half of them see each" },
               { "focusgroup.lua 'Fresh fish.' 'Fish, fresh.' -f fish.study", "kept: run it again, and nothing is asked" } },
  options = { { "people", default = 12, convert = positive, help = "how many" },
              { "about", default = "people who live in a small town", help = "who they are" },
              { "rounds", default = 1, help = "how often each speaks in the talk; 0: no talk" },
              { "file", short = "f", placeholder = "FILE", help = "keep the answers in this file" },
              { "csv", placeholder = "NAME", help = "write NAME.csv and NAME-evidence.csv" },
              { "model", short = "m", help = "model of the people; without it the newest" },
              { "judge", placeholder = "MODEL", help = "model that reads the answers; without it the same" } },
  positionals = { { "a", help = "an advert: a text, or a file" }, { "b", help = "the other" } },
}

-- Who they are: shares, of which exact numbers of people are made. Some are hard to please: models are not, unless they are told.
local QUOTAS = {
  gender = { female = 0.5, male = 0.5 },
  age = { ["18-34"] = 0.3, ["35-64"] = 0.5, ["65-80"] = 0.2 },
  temper = { ["hard to please"] = 0.3, curious = 0.3, ["careful with money"] = 0.4 },
}

local FIELDS = {
  buy = "yes|no|maybe: would the person buy it",
  price = "number 0..100000: the most that the person would pay",
  reason = "string 1..100: why, in a few words",
}

local function note(format, ...) io.stderr:write(term.paint("dim", format:format(...), term.colour(2)), "\n") end

local function advert(given) return fs.stat(given) and fs.read(given):match "^%s*(.-)%s*$" or given end

local function head(text) print("\n" .. term.paint("bold", text)) end

-- A test of the two halves, or why there is none: some have said nothing of it, or all the same.
local function compare(found, column, test)
  local samples = {}
  for i, name in ipairs { "A", "B" } do samples[i] = found:table():where({ advert = name }):column(column) end
  local result, err = stoke.try(test, samples[1], samples[2])
  return err and ("%s: no test (%s)"):format(column, err.message) or ("%s: %s"):format(column, stats.report(result))
end

local function show(found, scores)
  head "Who would buy"
  io.write(term.clean(found:text()))
  local counts = found:table():crosstab("advert", "buy")
  head "Is it more than chance?"
  local test, err = stoke.try(stats.chi_squared, counts)
  print("buy: " .. (err and ("no test (%s)"):format(err.message) or stats.report(test)))
  print(compare(found, "price", stats.mann_whitney))
  print(compare(scores, "score", stats.t_test))
  head "Where it was said"
  for i, row in ipairs(found.rows) do
    for _, field in ipairs { "buy", "price", "reason" } do
      local cell = found.cells[i][field]
      if cell then print(term.clean(("[%d] %s, %s = %s: %s"):format(cell.turn, row.name, field, cell.value, cell.quote))) end
    end
  end
end

-- What the model gave and the turn does not hold: it is not in the table.
local function show_refused(found, study)
  if not found.refused[1] then return end
  head "Refused"
  for _, one in ipairs(found.refused) do
    local said = study.turns[one.turn]
    print(term.clean(("[%d] %s, %s = %s: %s"):format(one.turn, said.name, one.field, stoke.json.encode(one.value), one.why)))
  end
end

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local model, adverts = a.model or ollama.newest(), { A = advert(a.a), B = advert(a.b) }
  local bar <close> = term.progress { unit = "people" }
  local study <close> = stoke.study { model = model, judge = a.judge, file = a.file, seed = 1,
    progress = function(step, done, total) bar:update(step, done, total) end }
  local people = study:populate { size = a.people, about = a.about, quotas = QUOTAS }
  people:relate("friends", { degree = math.min(3, a.people - 1), alike = { age = 4 } })

  local groups, group_of = study:assign({ "A", "B" }, { by = { "gender", "age" } })
  study:ask("all", function(person)
    return ("You see this advert:\n%s\nWhat do you think of it? Would you buy, and what is the most you would pay?")
      :format(adverts[group_of[person.id]])
  end)
  if a.rounds > 0 then
    study:discuss({ groups.A, groups.B }, "Talk about the advert. What would make you buy, and what keeps you from it?",
      { rounds = a.rounds })
  end

  local found = study:extract(FIELDS, { order = { "buy", "price", "reason" }, reworded = { "reason" }, also = { "age", "gender" } })
  found:also("advert", group_of)
  local scores = study:score("{name} wants what the advert offers."):also("advert", group_of)
  bar:finish()
  show(found, scores)
  show_refused(found, study)
  if a.csv then
    fs.write(a.csv .. ".csv", found:csv { turns = true, formulas = false })
    fs.write(a.csv .. "-evidence.csv", found:evidence():csv { formulas = false })
  end
  local report = study:report()
  if people.report.failed[1] then note("%d people have no words of their own", #people.report.failed) end
  note("%d values refused; %d questions asked, %d kept from before; %d tokens in, %d out", #found.refused, report.asked,
    report.kept, report.usage.input_tokens, report.usage.output_tokens)
end)
