-- agents/: each example explains itself, fails readably, and does on the simulator, under a scripted model (tests/agents/), what
-- tests/golden/ says, word for word. STOKE_UPDATE=1 writes those transcripts anew.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"

local PASSED_ON = require "binary".PASSED_ON
local EXECUTABLE = about.executable()
local UPDATE = (os.getenv "STOKE_UPDATE" or "") ~= ""

-- Run an agent with its home in a folder that is not there: no configuration is read.
local function start(options)
  options.argv = table.move(options, 1, #options, 2, { EXECUTABLE })
  for i = #options, 1, -1 do options[i] = nil end
  options.env_allow, options.env, options.timeout = PASSED_ON, { HOME = "/nonexistent" }, 100
  return proc.run(options)
end
local function run(...) return start { ... } end

local function good(t, r)
  t.ok(r.code == 0, ("exit %s\n%s%s"):format(tostring(r.code or r.signal), r.stdout, r.stderr))
  return r
end

-- A folder of its own, with a copy of what is in another; removed at the end.
local function folder(from)
  local path = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
  if from then proc.run { argv = { "cp", "-a", from .. "/.", path } } end
  return setmetatable({ path = path }, { __close = function() fs.remove(path, { recursive = true }) end })
end

-- ---- what they have in common ---------------------------------------------------------------------------------------------------

-- What each needs on its command line to come to its first question.
local WORDS = {
  ["crew.lua"] = { "Count." }, ["debate.lua"] = { "Hi?" },
  ["coder.lua"] = { "tests/agents/coder", "Mend it.", "--test", "true", "-m", "m" },
  ["extract.lua"] = { "README.md", "--fields", "title=string" },
  ["farm.lua"] = { "tests/agents/ledger/acme.txt", "--store", ":memory:" },
  ["focusgroup.lua"] = { "Fresh fish.", "Fish, fresh." },
  ["notes.lua"] = { "tests/agents/research", "When?" },
  ["notebook.lua"] = { "Who likes figs?", "--file", ":memory:" },
  ["pipeline.lua"] = { "tests/agents/pipeline", "--engine", "local::memory:" },
  ["served.lua"] = { "Hi" },
  ["race_models.lua"] = { "Hi", "m", "n" }, ["research.lua"] = { "Why?" }, ["review.lua"] = { "README.md" },
  ["ledger.lua"] = { "tests/agents/ledger/acme.txt", "--store", ":memory:" }, ["summarize.lua"] = { "README.md" },
  ["tutor.lua"] = { "Ada", "Hi", "--store", ":memory:" }, ["town.lua"] = { "--file", "" },
  ["triage.lua"] = { "Hi" }, ["complete.lua"] = { "agents/hello.lua", "--line", "20" },
  ["tinker.lua"] = { "tests/agents/tinker/clerk.lua" },
}

-- All at once: they mostly wait.
local function each(f)
  local scope <close> = stoke.scope {}
  scope:map(fs.list "agents", function(entry)
    if not entry.name:find "^%." then f(entry.name, "agents/" .. entry.name) end -- a store stands beside the file it is of
  end)
end

test("agents: each says what it does, needs and how to try it", { real = true }, function(t)
  each(function(name, path)
    local text = fs.read(path)
    t.ok(text:find("^#!/usr/bin/env stoke\n%-%- " .. name:gsub("%p", "%%%0") .. ": "), path)
    t.ok(text:find("\n-- Needs:", 1, true) and text:find("\n-- Try:", 1, true), path)
    local _, lines = text:gsub("\n", "")
    t.ok(lines >= 10 and lines <= 130, path .. " has " .. lines .. " lines")
    local help = good(t, run(path, "--help")).stdout
    t.ok(help:find "Examples" < help:find "Usage", help)
    t.ok(help:find("\n  " .. name, 1, true), help)
  end)
end)

test("agents: each ends with 2 for a mistake in its flags, with 4 for a dead server", { real = true }, function(t)
  each(function(name, path)
    t.eq(run(path, "--no-such-flag").code, 2)
    local r = start { path, "--endpoint", "127.0.0.1:1", stdin = "Hello\n", table.unpack(WORDS[name] or {}) }
    t.eq(r.code, 4, name .. "\n" .. r.stdout .. r.stderr)
    t.ok(r.stderr:find("refused", 1, true), r.stderr)
  end)
end)

-- ---- transcripts ----------------------------------------------------------------------------------------------------------------

-- What differs between two runs: places, times, and the tokens of texts that tell of them.
local function normal(text, places)
  for _, place in ipairs(places) do text = text:gsub(place[1]:gsub("%p", "%%%0"), place[2]) end
  return (text:gsub("%d+%.%d s%f[%A]", "N s"):gsub("%d+ tokens in", "N tokens in"):gsub("state %x+", "state N"))
end

-- Compare with tests/golden/NAME.txt; what differs is shown as diff -u shows it.
local function golden(t, name, r, places)
  places = places or {}
  places[#places + 1] = { EXECUTABLE, "stoke" }
  local path = ("tests/golden/%s.txt"):format(name)
  local text = normal(r.stdout, places) .. ("[exit %s]\n"):format(r.code or r.signal)
  if UPDATE then return fs.write(path, text) end
  local diff = proc.run { argv = { "diff", "-u", "--label", path, "--label", "now", path, "-" }, stdin = text }
  if diff.code ~= 0 then t.fail(diff.stdout .. diff.stderr .. "STOKE_UPDATE=1 writes it anew") end
end

-- Run one under its scripted model.
local function scripted(name, words)
  local options = { ("agents/%s.lua"):format(name), ("--sim=tests/agents/%s.lua"):format(name), "--seed", "1", stderr = "merge",
    stdin = words.stdin }
  return start(table.move(words, 1, #words, #options + 1, options))
end

test("hello: calls a tool, streams the answer, shows usage", { real = true }, function(t)
  golden(t, "hello", scripted("hello", {}))
end)

test("hello: calls its tool by the simulator's own rules, too", { real = true }, function(t)
  local r = good(t, run("agents/hello.lua", "--sim"))
  t.ok(r.stdout:find "3.*\n%(%S+: %d+ tokens in, %d+ out, %d+%.%d s%)\n$", r.stdout)
  t.ok(r.stderr:find('> count_letter {"letter":"r","word":"strawberry"}\n< 3\n', 1, true), r.stderr)
  t.eq(run("agents/hello.lua", "--sim", "-m", "no-such-model").code, 5)
end)

local function notes()
  local place = folder()
  fs.mkdir(place.path .. "/notes")
  fs.write(place.path .. "/notes/monday.md", "Call the plumber.\nBuy salt.\n")
  return place
end

test("assistant: looks, calculates, writes and runs, each line of a pipe one message", { real = true }, function(t)
  local place <close> = notes()
  golden(t, "assistant", scripted("assistant", { "--root", place.path, "--yes", "--allow", "cat *", stdin =
    "What is 17 * 23?\nWhat is here?\n\nWhat is in it?\nWrite a list.\nShow me the list.\nRemove it.\n/quit\nnever read\n" }))
  t.eq(fs.read(place.path .. "/list.txt"), "bread\nsalt\n")
end)

test("assistant: where nobody can say yes, writing ends it with 7", { real = true }, function(t)
  local place <close> = notes()
  golden(t, "assistant_denied", scripted("assistant", { "--root", place.path, stdin = "Write a list.\nWhat is 17 * 23?\n" }))
  t.eq(fs.stat(place.path .. "/list.txt"), nil)
end)

test("assistant: asks on the terminal, and takes no for an answer", { real = true }, function(t)
  if proc.run { argv = { "sh", "-c", "command -v script" } }.code ~= 0 then t.skip "there is no script(1)" end
  local slow = tonumber(os.getenv "STOKE_SCALE" or 1) < 1 and 8 or 1
  local function answer(word)
    local place <close> = notes()
    local line = ("exec %s agents/assistant.lua --sim=tests/agents/assistant.lua --root %s"):format(EXECUTABLE, place.path)
    local keys = ("echo Write a list.; sleep %g; echo %s; sleep %g; echo /quit; sleep %g"):format(1.5 * slow, word, slow, slow / 2)
    local r = good(t, proc.run { argv = { "sh", "-c", ("(%s) | script -qec '%s' /dev/null"):format(keys, line) },
      env_allow = PASSED_ON, env = { HOME = "/nonexistent", TERM = "dumb" }, timeout = 100 })
    return r.stdout, fs.stat(place.path .. "/list.txt") ~= nil
  end
  stoke.all {
    function()
      local text, written = answer "n not today"
      t.match(text, "assistant wants: tool write_file.*bread.*Allow it%?.*! error: tool.call write_file was rejected: not today")
      t.eq(written, false)
    end,
    function()
      local text, written = answer "y"
      t.match(text, 'Allow it%?.*< created "list.txt"')
      t.eq(written, true)
    end,
  }
end)

local FIELDS = "vendor=string,total=number >= 0,due=date?"

test("notes: an answer cites lines of the documents, what changed alone is read again, and what is not there is said",
  { real = true }, function(t)
    local place <close> = folder "tests/agents/research"
    fs.write(place.path .. "/map.png", "\x89PNG\0\0")
    local file = place.path .. "/.index"
    local function ask(question) return scripted("notes", { place.path, question, "--file", file }) end
    local r = good(t, ask "When does the ferry leave, and is there a bicycle on it?")
    t.contains(r.stdout, "2 new")
    fs.write(place.path .. "/ferries.md", "# Ferries\n\nThe ferry leaves at 8:00.\n")
    golden(t, "notes", good(t, ask "When does the ferry leave, and is there a bicycle on it?"), { { place.path, "DIR" } })
    t.contains(good(t, ask "zebra").stdout, "Nothing about that was found.")
    t.contains(good(t, ask "Who drives the ferry?").stdout, "The passages found do not answer that.")
  end)

test("notes: passages can be searched without a model", { real = true }, function(t)
  local r = good(t, run("agents/notes.lua", "tests/agents/research", "ferry", "--search", "--endpoint", "127.0.0.1:1"))
  t.contains(r.stdout, "ferries.md:1-3  Ferries\n# Ferries\n\nThe ferry to the island leaves")
end)

test("notebook: what it is told in one run it finds in the next, whatever the model writes as a query", { real = true }, function(t)
  local own <close> = folder()
  local file = own.path .. "/notes.db"
  local last, said = nil, {}
  for i, prompt in ipairs { "Remember that Ada likes figs.", "Remember that Bob is allergic to nuts.",
    "Remember that Ada likes figs.", "What can I bake for Bob?" } do
    last = scripted("notebook", { prompt, "--file", file })
    said[i] = last.stdout
  end
  last.stdout = table.concat(said)
  golden(t, "notebook", last, { { os.date "!%Y-%m-%d", "DAY" } })
end)

test("tutor: it remembers a learner from one run to the next, and what the learner can do", { real = true }, function(t)
  local own <close> = folder()
  local store, learners = own.path .. "/state.db", own.path .. "/learners"
  local last, said = nil, {}
  for i, words in ipairs { { "I want to learn fractions." }, { "It is 2/5." }, { "3/4!" },
    { "I like football." }, { "How am I doing?" }, { "--progress" }, { "--progress", "--days", "30" }, {}, { "--days", "30" },
    { "--from", "1", "Again, please." } } do
    last = scripted("tutor", { "Ada", "--store", store, "--folder", learners, table.unpack(words) })
    said[i] = last.stdout
  end
  last.stdout = table.concat(said)
  golden(t, "tutor", last)
end)

test("tutor: what it was told months ago goes with the question that it fits, and with no other's", { real = true }, function(t)
  local own <close> = folder()
  local words = { "--store", own.path .. "/state.db", "--folder", own.path }
  do
    local memory <close> = stoke.memory(own.path .. "/Ada.memory")
    memory:add("The learner likes football.", { kind = "fact", created = stoke.time.now() - 100 * 24 * 3600 })
  end
  local ada = good(t, scripted("tutor", { "Ada", table.unpack(words) }))
  t.eq(ada.stdout, "A question about what comes next, with football, as I was told 3 months ago.\n")
  t.eq(good(t, scripted("tutor", { "Bob", table.unpack(words) })).stdout, "A question about what comes next.\n")
  t.match(scripted("tutor", { "../Ada", table.unpack(words) }).stdout, "it leads out of the root")
end)

test("tutor: a turn that was killed goes on for its learner alone, and notes an answer once", { real = true }, function(t)
  local own <close> = folder()
  local words, quick = { "--store", own.path .. "/state.db", "--folder", own.path }, own.path .. "/quick.lua"
  local first <close> = proc.spawn { argv = { EXECUTABLE, "agents/tutor.lua", "--sim=tests/agents/tutor.lua", "Ada", "Is it 7/9?",
    table.unpack(words) }, stderr = "capture" }
  local function progress(learner) return good(t, scripted("tutor", { learner, "--progress", table.unpack(words) })).stdout end
  repeat stoke.sleep(0.05) until progress "Ada":find "0 right, 1 wrong"
  first:kill "SIGKILL" -- it waits for the model's word on the answer
  first:wait()
  t.eq(good(t, scripted("tutor", { "Bob", "It is 2/5.", table.unpack(words) })).code, 0)
  t.match(progress "Bob", "fractions: 0 right, 1 wrong")
  fs.write(quick, (fs.read("tests/agents/tutor.lua"):gsub("and 600", "and 0")))
  local again = good(t, run("agents/tutor.lua", "--sim=" .. quick, "Ada", "It is 3/4!", table.unpack(words)))
  t.eq(again.stdout, "Not quite: 1/2 + 1/3 = 5/6. What is 1/2 + 1/4?\n")
  t.match(progress "Ada", "^fractions: 0 right, 1 wrong.*\ndecimals: 1 right, 0 wrong")
  t.match(good(t, run("sessions", "show", "Ada", "--store", own.path .. "/state.db")).stdout, "Is it 7/9%?.*turn 2.*It is 3/4!")
end)

test("ledger: approved from elsewhere, killed and run again, it pays once and reminds after its time", { real = true }, function(t)
  local own <close> = folder()
  local store, book = own.path .. "/state.db", own.path .. "/ledger.txt"
  local words = { EXECUTABLE, "agents/ledger.lua", "--sim=tests/agents/ledger.lua", "--store", store, "--book", book, "--days",
    "0.00001", "tests/agents/ledger/acme.txt" }
  local function verb(...) return proc.run { argv = { EXECUTABLE, ... } } end
  local first <close> = proc.spawn { argv = words, stderr = "capture" }
  repeat
    stoke.sleep(0.05)
    local list = verb("runs", "--json", "--store", store).stdout
  until list:find('"waits":"approval', 1, true)
  first:kill "SIGKILL"
  first:wait()
  t.eq(fs.stat(book), nil)
  good(t, verb("approve", "acme.txt", "--store", store))
  local again = good(t, proc.run { argv = words })
  t.eq(again.stdout, "Done: paid 40.00 euros to ACME Ltd.\nnot confirmed, a reminder is written\n")
  t.match(fs.read(book), "^paid 40.00 euros to ACME Ltd  %x+\nremind: tests/agents/ledger/acme.txt  %x+\n$")
  t.eq(good(t, proc.run { argv = words }).stdout, "not confirmed, a reminder is written\n") -- it has ended
end)

test("extract: records in order, mended, asked for again, or counted as failed", { real = true }, function(t)
  golden(t, "extract", scripted("extract", { "tests/agents/extract/invoices.txt", "--fields", FIELDS, "--strict" }))
end)

test("extract: reads standard input; a type it does not know is a mistake in its flags", { real = true }, function(t)
  local options = { "agents/extract.lua", "--sim=tests/agents/extract.lua", "-f", FIELDS, stdin = "Acme\n \nBolt\n" }
  local r = good(t, start(options))
  t.eq(select(2, r.stdout:gsub("\n", "")), 2)
  t.eq(r.stderr, "2 records, 0 failed\n")
  for _, fields in ipairs { "vendor=strin", "vendor", "a=string,a=string", "" } do
    t.eq(run("agents/extract.lua", "--sim", "README.md", "-f", fields).code, 2, fields)
  end
  t.eq(run("agents/extract.lua", "/nonexistent/x", "--sim", "-f", "a=string").code, 1)
end)

test("pipeline: letters become a table; what was asked is not asked again, and --again makes it anew", { real = true }, function(t)
  local place <close> = folder()
  local words = { "tests/agents/pipeline", "-o", place.path .. "/letters.csv", "--engine", "local:" .. place.path .. "/q.db" }
  golden(t, "pipeline", scripted("pipeline", words), { { place.path, "PLACE" } })
  local made = fs.read(place.path .. "/letters.csv")
  t.eq(made, "file,from,subject,amount\r\nacme.txt,Acme Works,a missing hose,1250\r\nbolt.txt,Bolt & Sons,the new catalogue,\r\n")
  t.match(scripted("pipeline", words).stdout, "^2 letters, 0 calls, 1 failed")
  words[#words + 1] = "--again"
  t.match(scripted("pipeline", words).stdout, "^2 letters, 0 calls, 1 failed")
  t.eq(fs.read(place.path .. "/letters.csv"), made)
end)

local QUESTION = "When and for how much do we get to the island?"

test("research: a plan, workers of whom one is replaced, an editor", { real = true }, function(t)
  golden(t, "research", scripted("research", { QUESTION, "--root", "tests/agents/research" }))
end)

test("research: when two workers have failed, a reader answers from what they read", { real = true }, function(t)
  local r = scripted("research", { "Lost: when?", "--root", "tests/agents/research" })
  t.eq(r.code, 0, r.stderr)
  t.match(r.stdout .. r.stderr, "worker 1 is replaced: worker 1 called read_file 3 times")
  t.match(r.stdout .. r.stderr, "the reader takes over from worker 1: worker 1 called read_file 3 times")
  t.match(r.stdout .. r.stderr, "question 1 is answered")
  t.match(r.stdout .. r.stderr, "1 questions, 0 open")
end)

test("research: a budget ends it with 6, a deadline with 124", { real = true }, function(t)
  local words = { QUESTION, "--root", "tests/agents/research" }
  words[4], words[5] = "--tokens", "500"
  t.eq(scripted("research", words).code, 6)
  words[4], words[5] = "--deadline", "0.4"
  t.eq(scripted("research", words).code, 124)
end)

test("debate: two rounds, a side that fails once, a judge; a vote that is decided early", { real = true }, function(t)
  golden(t, "debate", scripted("debate", { "Should a small town build a tram?" }))
  local r = scripted("debate", { "How many legs?", "--vote", "5" })
  t.match(r.stdout, "^3 for 32\n1 for 34\n32\ndecided after 4 of 5 votes; 4 calls")
  t.eq(scripted("debate", { "Hm?", "--sides", "alone" }).code, 2)
end)

local TASK <const> = "What do two adults and a child pay, and when does the last ferry leave?"

test("crew: a plan that stalls, another one, steps with tools, an answer", { real = true }, function(t)
  golden(t, "crew", scripted("crew", { TASK, "--root", "tests/agents/research" }))
end)

test("focusgroup: a table with the turn of each value, statistics; run again it asks nothing, with another judge only the judge",
  { real = true }, function(t)
    local place <close> = folder()
    local function try(...)
      return scripted("focusgroup", { "Sourdough, baked at five. 4 crowns.", "Bread like grandmother's.", "--about",
        "people of Bergen", "--people", "8",
        "--file", place.path .. "/study", ... })
    end
    golden(t, "focusgroup", try("--csv", place.path .. "/bread"))
    local rows = stoke.csv.decode(fs.read(place.path .. "/bread.csv"))
    local evidence = stoke.csv.decode(fs.read(place.path .. "/bread-evidence.csv"))
    t.eq(#rows, 8)
    for _, cell in ipairs(evidence) do -- each value of the table has its turn, and what was said there
      local row = rows[tonumber(cell.row)]
      t.eq({ row[cell.field], row[cell.field .. "_turn"] }, { cell.value, cell.turn })
      t.ok(tonumber(cell.turn) > 8 and #cell.quote > 0, cell.turn)
    end
    t.contains(try().stdout, "; 0 questions asked, ")
    local asked, kept = try("--judge", "llama3.2:3b").stdout:match "; (%d+) questions asked, (%d+) kept"
    t.eq(kept, "24", "the words, answers and turns of eight people")
    t.ok(tonumber(asked) >= 16, asked)
  end)

test("crew: split in parts; a worker that fails twice is replaced", { real = true }, function(t)
  local r = good(t, scripted("crew", { TASK, "--root", "tests/agents/research", "--split" })) -- its parts end in any order
  local told = r.stdout .. r.stderr
  t.match(told, "^1%. Find the prices and the ferries%. %(reader%)\n2%. Compute what they pay%. %(calculator%)\n")
  t.match(told, "calculator has failed %(.-%): retry\n.*calculator has failed %(.-%): replace\n")
  t.match(told, "reader: They pay 31%.\n.*done by reader: Compute what they pay%.\n")
  t.match(told, "\nThey pay 31, and the last ferry leaves at 17:30%.\n2 of 2 parts done; 6 calls")
  t.eq(scripted("crew", { TASK, "--root", "tests/agents/research", "--tokens", "500" }).code, 6)
end)

test("town: people get up, plan, walk, meet and talk; kept in a file, it goes on where it was", { real = true }, function(t)
  local own <close> = folder()
  local file = own.path .. "/town.world"
  local function hours(n, ...) return scripted("town", { "--file", file, "--hours", n, ... }) end
  hours "0.5"
  local first = hours "1.1"
  local second = hours("1.25", "--news", "The bridge is closed.")
  golden(t, "town", { stdout = first.stdout .. second.stdout, code = second.code }, { { file, "town.world" } })
  t.match(hours "1.25".stdout, "\n07:15 is over; %-%-days, or %-%-hours, for more\n")
  local whole = scripted("town", { "--file", "", "--hours", "1.1" })
  t.eq(first.stdout:match "state %x+", whole.stdout:match "state %x+")
end)

test("review: keeps what the judge keeps, ends with 1 for a grave finding", { real = true }, function(t)
  golden(t, "review", scripted("review", { "tests/agents/coder/basket.lua" }))
  local r = scripted("review", { "tests/agents/coder/basket.lua", "--quiet" })
  t.eq(select(2, r.stdout:gsub("[^\n]+:%d+: %l+: [^\n]+\n", "")), 2, r.stdout)
end)

local function same(t, one, other)
  local diff = proc.run { argv = { "diff", "-r", one, other } }
  t.eq(diff.stdout .. diff.stderr, "")
end

-- The search for leaks at the end wants to trace the process, which the sandbox does not let it.
local TEST = (os.getenv "ASAN_OPTIONS" and "env ASAN_OPTIONS=detect_leaks=0 " or "") .. EXECUTABLE .. " check.lua"
local BUILD = EXECUTABLE:match "^(.*)/" -- the sandbox lets a command read the system, and what is named

test("coder: mends a bug in two rounds, and shows what it changed", { real = true }, function(t)
  local place <close> = folder "tests/agents/coder"
  local r = scripted("coder", { place.path, "Mend total.", "--test", TEST, "--read", BUILD })
  golden(t, "coder", r, { { TEST, "stoke check.lua" }, { place.path, "FOLDER" } })
  t.eq(proc.run { argv = { EXECUTABLE, "check.lua" }, cwd = place.path }.stdout, "ok\n")
end)

-- A folder to be mended, and a model that writes into it and never gets anywhere.
local function hopeless()
  local place = folder "tests/agents/coder"
  local model = folder()
  fs.write(model.path .. "/model.lua", [[return function(_, n)
    if n > 1 then return { text = "Done.", delay = 0.5 } end
    return { tool_calls = { { name = "write_file", arguments = { path = "new/file.lua", content = "x" } },
      { name = "write_file", arguments = { path = "basket.lua", content = "" } } } }
  end]])
  local words = { "agents/coder.lua", place.path, "Mend total.", "--sim=" .. model.path .. "/model.lua", "--test", TEST,
    "--read", BUILD }
  return setmetatable({ path = place.path, words = words }, { __close = function()
    for _, one in ipairs { place, model } do fs.remove(one.path, { recursive = true }) end
  end })
end

test("coder: what does not become green is put back as it was", { real = true }, function(t)
  local place <close> = hopeless()
  local count = #place.words
  local function try(flag, value)
    place.words[count + 1], place.words[count + 2] = flag, value
    local r = start(table.move(place.words, 1, count + 2, 1, {}))
    t.ok(r.stderr:find("is as it was", 1, true), r.stderr)
    same(t, "tests/agents/coder", place.path)
    return r
  end
  local r = try("--rounds", "2")
  t.eq(r.code, 1)
  t.ok(r.stderr:find("> write_file new/file.lua\n", 1, true), r.stderr)
  t.ok(r.stderr:find("still red after 2 rounds", 1, true), r.stderr)
  t.eq(try("--steps", "1").code, 6)
  t.eq(try("--tokens", "300").code, 6)
  t.eq(try("--deadline", "0.3").code, 124)
end)

test("coder: Ctrl-C puts the folder back, too", { real = true }, function(t)
  local place <close> = hopeless()
  local coder <close> = proc.spawn { argv = { EXECUTABLE, table.unpack(place.words) }, stdin = false, stderr = "merge",
    env_allow = PASSED_ON, env = { HOME = "/nonexistent" }, timeout = 100 }
  for line in coder:lines() do
    if line:find("basket.lua", 1, true) then break end
  end
  while not fs.stat(place.path .. "/new/file.lua") do stoke.sleep(0.01) end
  coder:kill "SIGINT"
  local rest = {}
  for line in coder:lines() do rest[#rest + 1] = line end
  t.eq(coder:wait().code, 130)
  t.ok(table.concat(rest, "\n"):find("is as it was", 1, true), table.concat(rest, "\n"))
  same(t, "tests/agents/coder", place.path)
end)

-- ---- triage -------------------------------------------------------------------------------------------------------------------

test("triage: sorts one message, and as an evaluation tells which model is enough", { real = true }, function(t)
  t.eq(good(t, scripted("triage", { "I was charged twice." })).stdout, '{"topic":"billing","urgent":true}\n')
  local place <close> = folder()
  local store = place.path .. "/state.db"
  local function eval(...)
    return start { "eval", "agents/triage.lua", "--sim=tests/agents/triage.lua", "--store", store, "-m",
      "llama3.2:3b,qwen2.5:3b", ... }
  end
  local r = good(t, eval("--threshold", "0.9", "--failures", "0"))
  t.ok(r.stdout:find("\nqwen2.5:3b is enough: the smallest model that passes at least 90 %\n", 1, true), r.stdout)
  t.ok(r.stdout:find("\nllama3.2:3b: equal topic 12 of 16, equal urgent 10 of 16\n", 1, true), r.stdout)
  t.ok(fs.stat(place.path .. "/evals.db") ~= nil, "runs are kept beside the store")
end)

test("farm: sorts letters alone, and by a worker where an engine is set", { real = true }, function(t)
  local place <close> = folder()
  fs.write(place.path .. "/a.txt", "The lamp is broken!")
  fs.write(place.path .. "/b.txt", "Hello, when do you open?")
  local words = { "agents/farm.lua", "--sim=tests/agents/farm.lua", "--store", place.path .. "/alone.db", place.path .. "/a.txt",
    place.path .. "/b.txt" }
  local expected = ("%-24s ! The lamp came broken\n%-24s   When do you open?\n"):format("a.txt", "b.txt")
  local function sorted(r)
    local lines = {}
    for line in good(t, r).stdout:gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    return table.concat(lines, "\n") .. "\n"
  end
  t.eq(sorted(start { table.unpack(words) }), expected)
  local engine = ("local:%s/queue.db"):format(place.path)
  local argv = { EXECUTABLE, "worker", "--engine", engine, "--store", place.path .. "/worker.db", "--sim=tests/agents/farm.lua",
    "agents/farm.lua" }
  local worker <close> = proc.spawn { argv = argv, env_allow = PASSED_ON, env = { HOME = "/nonexistent" } } -- luacheck: ignore
  words[4] = place.path .. "/client.db"
  local r = proc.run { argv = { EXECUTABLE, table.unpack(words) }, env_allow = PASSED_ON, timeout = 60,
    env = { HOME = "/nonexistent", STOKE_ENGINE = engine } }
  t.eq(sorted(r), expected)
end)

-- ---- the older ones -------------------------------------------------------------------------------------------------------------

test("agents: summarize reads a text of many paragraphs", { real = true }, function(t)
  local text = {}
  for i = 1, 12 do text[i] = ("Paragraph %d speaks of rivers and stones. "):format(i):rep(20) end
  local path = proc.run { argv = { "mktemp" } }.stdout:gsub("\n$", "")
  local gone <close> = setmetatable({}, { __close = function() fs.remove(path) end }) -- luacheck: ignore
  fs.write(path, table.concat(text, "\n\n"))
  local r = good(t, run("agents/summarize.lua", path, "--sim", "--limit", "3"))
  t.ok(r.stdout:find "%S", "no summary")
  t.ok(r.stderr:find("failed=0 paragraphs=12", 1, true), r.stderr)
  t.eq(run("agents/summarize.lua", "--sim").code, 2)
  t.eq(run("agents/summarize.lua", "/nonexistent/x", "--sim").code, 1)
end)

test("agents: race_models names a winner", { real = true }, function(t)
  local r = good(t, run("agents/race_models.lua", "Say hello.", "--sim"))
  t.ok(r.stdout:find "%S.*\n%(%S+ won against %d+%)\n$", r.stdout)
end)

test("tinker: proposes instructions until all cases pass; what is worse is refused", { real = true }, function(t)
  local place <close> = folder "tests/agents/tinker"
  local here = proc.run { argv = { "pwd" } }.stdout:gsub("\n$", "")
  local r = start { here .. "/agents/tinker.lua", ("--sim=%s/tests/agents/tinker.lua"):format(here), "clerk.lua", "-m",
    "llama3.2:3b", cwd = place.path, stderr = "merge" }
  golden(t, "tinker", r)
  t.contains(fs.read(place.path .. "/clerk.lua"), "account (sign-in)")
end)

test("tinker: --new writes an agent and its evaluation, and never over what is there", { real = true }, function(t)
  local place <close> = folder()
  local tinker = proc.run { argv = { "pwd" } }.stdout:gsub("\n$", "") .. "/agents/tinker.lua"
  local function new() return start { tinker, "--new", "desk.lua", cwd = place.path } end
  good(t, new())
  t.contains(fs.read(place.path .. "/desk_eval.lua"), 'require "desk"')
  t.eq(new().code, 2)
end)
