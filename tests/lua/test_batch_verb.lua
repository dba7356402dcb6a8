-- stoke batch FILE, as a program: its exit codes, what it prints, and thirty kills.

local binary = require "binary"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local REAL = { real = true }

local SIM = [[
return function(request)
  return { text = "said " .. request.messages[#request.messages].content, delay = tonumber(os.getenv "DELAY" or 0) }
end
]]

local function place(files)
  files["sim.lua"] = SIM
  local here = binary.place(files)
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  function here.batch(...) return here.run("batch", ...) end
  function here.asked(...) return here.run("batch", "--sim=sim.lua", "-m", "qwen2.5:3b", ...) end
  return here
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  return list
end

test("batch: answers go to standard output in the order of the file, the sums to standard error", REAL, function(t)
  local here <close> = place { ["in.csv"] = "id,city\na,Oslo\nb,Rome\n" }
  local r = here.asked("in.csv", "-p", "where is {city}?", "--price", "1/1")
  t.eq(r.code, 0, r.stderr)
  local found = {}
  for i, row in ipairs(lines(r.stdout)) do found[i] = { row.id, row.answer, row.line } end
  t.eq(found, { { "a", "said where is Oslo?", 2 }, { "b", "said where is Rome?", 3 } })
  t.match(r.stderr, "2 of 2 rows done.-\n2 calls, %d+ tokens in, %d+ out, .- of the models, cost [%d.e-]+\n$")
end)

test("batch: 1 where rows failed, which are named; the others are done", REAL, function(t)
  local here <close> = place { ["in.jsonl"] = '{"prompt":"a"}\n{oops\n{"prompt":"b"}\n' }
  local r = here.asked("in.jsonl", "-o", "out.csv")
  t.eq(r.code, 1)
  t.match(r.stderr, "2 of 3 rows done, 1 failed.-\n  in.jsonl:2: it is no JSON: ")
  t.match(fs.read(here.path .. "/out.csv"), "^id,prompt,answer,error\r\nrow 1,a,said a,\r\nrow 2,,,\"it is no JSON: ")
end)

test("batch: rows go to what a file returns: a function, an agent", REAL, function(t)
  local here <close> = place { ["in.txt"] = "one\ntwo\n", ["up.lua"] = "return function(row) return row.prompt:upper() end",
    ["bot.lua"] = 'local stoke = require "stoke"\nreturn stoke.agent { name = "bot", model = "qwen2.5:3b" }' }
  local r = here.batch("in.txt", "up.lua", "-o", "up.csv", "--json")
  t.eq(r.code, 0, r.stderr)
  local report = json.decode(r.stdout)
  t.eq({ report.rows, report.done, report.failed, report.left, report.calls }, { 2, 2, 0, 0, 0 })
  t.eq(fs.read(here.path .. "/up.csv"), "id,prompt,answer\r\nrow 1,one,ONE\r\nrow 2,two,TWO\r\n")
  r = here.batch("in.txt", "bot.lua", "--name", "bot", "--sim=sim.lua")
  t.eq(lines(r.stdout)[2].answer, "said two")
end)

test("batch: what was begun goes on with --resume alone, in whatever format", REAL, function(t)
  local here <close> = place { ["in.txt"] = "one\ntwo\nthree\n" }
  t.eq(here.asked("in.txt", "-p", "x {prompt}", "-n", "2").code, 0)
  local again = here.asked("in.txt", "-p", "x {prompt}")
  t.eq(again.code, 2)
  t.contains(again.stderr, "there is a batch in.txt already, which had read 2 rows\n  hint: --resume goes on with it, --fresh")
  local other = here.batch("in.txt", "--resume", "-p", "y {prompt}", "--sim=sim.lua")
  t.contains(other.stderr, 'the batch in.txt asks "x {prompt}", not "y {prompt}"')
  t.eq(here.batch("in.txt", "--resume", "-o", "out.tsv", "--sim=sim.lua").code, 0)
  t.match(fs.read(here.path .. "/out.tsv"), "row 3\tthree\tsaid x three\r\n$")
end)

test("batch: mistakes are 2, a dead server 4, each with what to do", REAL, function(t)
  local here <close> = place { ["in.csv"] = "city\nOslo\n", ["in.json"] = "[]" }
  local function says(code, words, ...)
    local r = here.batch(...)
    t.eq(r.code, code, table.concat({ ... }, " "))
    t.contains(r.stderr, words)
  end
  says(2, "a batch reads .jsonl, .csv, .tsv or .txt", "in.json", "-m", "m")
  says(2, "there is no file none.csv", "none.csv", "-m", "m")
  says(2, "nothing does the rows", "in.csv")
  says(2, "either AGENT.lua or --model", "in.csv", "a.lua", "-m", "m")
  says(2, "there is no batch in.csv", "in.csv", "--resume")
  says(2, "a batch writes .jsonl, .csv or .tsv", "in.csv", "-m", "m", "-o", "out.xls")
  says(2, "--retry-failed goes with --resume", "in.csv", "-m", "m", "--retry-failed")
  says(2, "--price wants IN/OUT", "in.csv", "-m", "m", "--price", "1")
  says(1, "the prompt names {cty}, and it has city (did you mean city?)", "in.csv", "-m", "m", "-p", "{cty}")
  says(4, "stoke batch in.csv --resume goes on", "in.csv", "-m", "m", "-p", "{city}", "--endpoint", "http://127.0.0.1:9")
end)

test("batch: the line that goes on with it has no password of the engine", REAL, function(t)
  local here <close> = place { ["in.csv"] = "city\nOslo\n" }
  local r = here.batch("in.csv", "-m", "m", "-p", "{city}", "--endpoint", "http://127.0.0.1:9", "--engine",
    "local:q.db?password=hush")
  t.contains(r.stderr, "--engine 'local:q.db?password=***'")
  t.eq((r.stdout .. r.stderr):find "hush", nil)
end)

-- Each row leaves a mark when it is done, so that what was done twice is seen.
local MARKS = [[
local stoke = require "stoke"
return function(row)
  stoke.sleep(0.02)
  stoke.fs.write("marks", row.n .. "\n", { append = true })
  return row.n
end
]]

test("batch: killed thirty times, no row is missing or twice, and what was done is not done again", REAL, function(t)
  local rows, text = 1500, {}
  for i = 1, rows do text[i] = ('{"id":"r%d","n":%d}\n'):format(i, i) end
  local here <close> = place { ["in.jsonl"] = table.concat(text), ["marks.lua"] = MARKS }
  local words = { about.executable(), "batch", "in.jsonl", "marks.lua", "-c", "4", "--lease", "0.2", "--tries", "100", "-o",
    "out.jsonl" }
  local kills, state, ended = 0, 7, false
  while not ended do
    local p <close> = proc.spawn { argv = words, cwd = here.path, env = here.env, env_allow = binary.PASSED_ON, stderr = "capture" }
    if words[4] == "marks.lua" then words[4] = "--resume" end
    state = (state * 1103515245 + 12345) % 2 ^ 31
    local task = kills < 30 and stoke.spawn(function()
      stoke.sleep(0.1 + state / 2 ^ 31 * 0.5)
      p:kill "SIGKILL"
    end)
    local told = {}
    for piece in function() return p:read(nil, "stderr") end do told[#told + 1] = piece end
    local status = p:wait()
    if task then task:cancel() end
    if status.signal == "SIGKILL" then
      kills = kills + 1
    else
      t.eq(status.code, 0, table.concat(told))
      ended = true
    end
  end
  t.eq(kills, 30)
  local out = lines(fs.read(here.path .. "/out.jsonl"))
  t.eq(#out, rows)
  for i, row in ipairs(out) do t.eq({ row.id, row.answer }, { "r" .. i, i }) end
  local marks, twice = {}, 0
  for n in fs.read(here.path .. "/marks"):gmatch "%d+" do marks[n] = (marks[n] or 0) + 1 end
  for _, count in next, marks do twice = twice + count - 1 end
  t.ok(twice <= 4 * kills, ("%d rows again after %d kills of four rows at once"):format(twice, kills))
end)
