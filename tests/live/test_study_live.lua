-- A study against a real server: its grammars are taken, cells rest on turns that are there, and run again it sends nothing. Runs
-- only where STOKE_LIVE_MODEL names a model of the Ollama at OLLAMA_HOST. What it says is not judged.

local stoke = require "stoke"
local test = require "stoke.test"

local function study_of(model, file)
  return stoke.study { model = model, file = file, seed = 3, options = { temperature = 0.8, num_predict = 60 }, at_once = 4 }
end

local function run(model, file)
  local study <close> = study_of(model, file)
  study:populate { size = 4, about = "customers of a bakery", quotas = { gender = { female = 0.5, male = 0.5 } } }
  local groups = study:assign { "A", "B" }
  study:ask("all", "Would you pay 3 pounds for a loaf of bread?")
  study:discuss({ groups.A, groups.B }, "What would make you buy more?", { rounds = 1 })
  local found = study:extract({ buy = "yes|no|maybe", price = "integer 0..20", reason = "string 1..80" },
    { reworded = { "reason" } })
  study:check "{name} likes bread."
  study:score "{name} likes bread."
  return study, found, study:report()
end

test("a study on a real server: cells rest on turns, and a second run sends nothing", { real = true, timeout = 1500 },
  function(t)
    local model = os.getenv "STOKE_LIVE_MODEL"
    if not model or model == "" then t.skip "STOKE_LIVE_MODEL is not set" end
    local file = t.tmp() .. "/study"
    local study, found, report = run(model, file)
    t.ok(#found.failed < #found.rows, "some answer fits")
    for i, row in ipairs(found.rows) do
      for name, cell in next, found.cells[i] do
        t.eq({ row[name], study.turns[cell.turn].from }, { cell.value, row.id })
        t.ok(study.turns[cell.turn].text:find(cell.quote, 1, true), cell.quote)
      end
    end
    local again = select(3, run(model, file))
    t.eq(again.asked, 0)
    t.ok(again.kept >= report.asked, again.kept)
  end)
