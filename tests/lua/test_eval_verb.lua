-- stoke eval FILE, as a program: what it prints, its exit codes, its files, how it is stopped.

local binary = require "binary"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local REAL = { real = true }

-- Ten sums; what the "model" adds is in the simulator's script.
local SUMS = [[
local stoke = require "stoke"
local bot = stoke.agent { name = "bot", model = "qwen2.5:3b" }
local cases = {}
for i = 1, 10 do cases[i] = { input = i .. " + " .. i, expected = 2 * i } end
return stoke.eval { run = bot, cases = cases, scorers = { stoke.eval.near() } }
]]

-- llama is wrong from 6 + 6 on.
local SIM = [[
return function(request)
  local a, b = request.messages[#request.messages].content:match "(%d+) %+ (%d+)"
  local sum = math.tointeger(a + b)
  if request.model:find "^llama" and tonumber(a) > 5 then sum = sum + 1 end
  return { text = tostring(sum), delay = tonumber(os.getenv "DELAY" or 0) }
end
]]

local function place(files)
  files = files or {}
  files["sums.lua"], files["sim.lua"] = files["sums.lua"] or SUMS, files["sim.lua"] or SIM
  local here = binary.place(files)
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  function here.eval(...) return here.run("eval", "sums.lua", "--sim=sim.lua", ...) end
  return here
end

test("eval: a table of the variants, what is enough, what did not pass; 0 where the goal is reached", REAL, function(t)
  local here <close> = place()
  local r = here.eval("-m", "llama3.2:3b,qwen2.5:3b", "--threshold", "0.9", "--failures", "1")
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.match(r.stdout, "^sums: 10 cases, 2 variants, 20 trials\nMODEL%s+PASSED%s+95 %%%s+SCORE%s+TOKENS%s+P50%s+P95%s+SIZE\n"
    .. "qwen2%.5:3b%s+100 %%%s+72 %% to 100 %%.-\nllama3%.2:3b%s+50 %%%s+24 %% to 76 %%")
  t.contains(r.stdout, "qwen2.5:3b is enough: the smallest model that passes at least 90 %")
  t.match(r.stdout, 'not passed %(the first 1 of 5%):\n  llama3%.2:3b, case "6 %+ 6": expected 12 %(within 1e%-09%), got 13\n$')
end)

test("eval: 1 below the threshold and where it became worse, 2 for mistakes, 4 for a dead server", REAL, function(t)
  local here <close> = place()
  local scope <close> = stoke.scope()
  local low = here.eval("-m", "llama3.2:3b", "--threshold", "0.6")
  t.eq(low.code, 1)
  t.match(low.stdout, "not good enough: 50 %% passed, less than 60 %%\n$")
  local codes = scope:map({ { "eval" }, { "eval", "none.lua" }, { "eval", "sim.lua" }, { "eval", "sums.lua", "--threshold", "90" },
    { "eval", "sums.lua", "--grid", "x" }, { "eval", "sums.lua", "--record", "--replay" },
    { "eval", "sums.lua", "--compare", "9" } },
    function(words) return here.run(table.unpack(words)).code end)
  t.eq(codes, { 2, 2, 2, 2, 2, 2, 2 })
  t.match(here.run("eval", "sim.lua").stderr, "sim%.lua returns no evaluation.*return stoke%.eval")
  local dead = here.run("eval", "sums.lua")
  t.eq(dead.code, 4)
  t.match(dead.stdout, "qwen2%.5:3b%s+%-%s+8\n.*refused: .*given up after these; 2 trials not made")
end)

test("eval: a run is compared with the last one, and fails where it became worse", REAL, function(t)
  local here <close> = place()
  t.eq(here.eval().code, 0)
  t.contains(here.eval().stdout, "beside run 1:\n  as it is: 100 % as before, no case of 10 has turned")
  fs.write(here.path .. "/sim.lua", 'return function() return "7" end')
  local worse = here.eval()
  t.eq(worse.code, 1)
  t.match(worse.stdout, "beside run 2:\n  as it is: 100 %% %-> 0 %%, 0 cases better and 10 worse of 10: worse %(McNemar")
  t.contains(here.eval("--compare", "none").stdout, "not passed")
  local listed = here.run("eval", "sums.lua", "--list").stdout
  t.match(listed, "EVALUATION%s+RUN%s+BEGAN%s+PASSED%s+ERRORS%s+TRIALS\nsums%s+4%s.*\nsums%s+1%s")
  t.eq(json.decode(here.run("eval", "sums.lua", "--list", "--json").stdout:match "^[^\n]+").passed, 0)
end)

test("eval: recorded answers give the same report again, offline, and are kept as no run", REAL, function(t)
  local here <close> = place()
  local words = { "-m", "llama3.2:3b,qwen2.5:3b", "--repeats", "2", "--compare", "none" }
  local recorded = here.eval("--record", table.unpack(words))
  t.match(recorded.stderr, "^recorded cassettes/sums%.eval%.jsonl, %d+ requests\n$")
  local replayed = here.run("eval", "sums.lua", "--replay", table.unpack(words))
  t.eq({ replayed.code, replayed.stdout, replayed.stderr }, { recorded.code, recorded.stdout, "" })
  t.eq(select(2, here.run("eval", "sums.lua", "--list").stdout:gsub("\nsums", "")), 1)
  local missing = here.run("eval", "sums.lua", "--replay", "-m", "other:1b")
  t.ok(missing.code ~= 0)
  t.match(missing.stdout .. missing.stderr, "is not on the cassette.*record it again: stoke eval sums%.lua %-%-record")
  fs.remove(here.path .. "/cassettes", { recursive = true })
  t.eq(here.run("eval", "sums.lua", "--replay").code, 2)
end)

test("eval: a secret that a model was sent is on no cassette", REAL, function(t)
  local here <close> = place { ["sums.lua"] = [[
local stoke = require "stoke"
return stoke.eval { cases = { "a" }, scorers = { stoke.eval.contains { none = { "x" } } }, run = function()
  return stoke.chat { model = "qwen2.5:3b", prompt = "key sk-planted-4711-abcdefghijklmnop 1 + 1" }.text
end }
]] }
  here.env.OLLAMA_API_KEY = "sk-planted-4711-abcdefghijklmnop"
  t.eq(here.eval("--record").code, 0)
  t.ok(not fs.read(here.path .. "/cassettes/sums.eval.jsonl"):find("planted", 1, true))
end)

test("eval: Ctrl-C shows what is done, and the next run goes on with the rest", REAL, function(t)
  local here <close> = place()
  here.env.DELAY = "0.4"
  local child <close> = proc.spawn { argv = { about.executable(), "eval", "sums.lua", "--sim=sim.lua", "--repeats", "10" },
    cwd = here.path, env = here.env, env_allow = binary.PASSED_ON, stderr = "capture" }
  local store = here.path .. "/.stoke/evals.db"
  for _ = 1, 200 do -- until something is kept
    stoke.sleep(0.1)
    local n = fs.stat(store) and stoke.try(function()
      local db <close> = stoke.db.open(store, { readonly = true })
      return db:one("SELECT count(*) AS n FROM eval_trial").n
    end)
    if n and n >= 3 then break end
  end
  child:kill "INT"
  local said = ""
  for bytes in function() return child:read(nil, "stderr") end do said = said .. bytes end
  t.eq(child:wait().code, 130)
  t.match(said, "sums: 10 cases, 1 variant, 10 attempts each, %d+ of 100 trials\n")
  t.contains(said, "stopped; stoke eval sums.lua goes on with the rest")
  here.env.DELAY = "0"
  local rest = here.eval("--repeats", "10")
  t.eq(rest.code, 0)
  t.match(rest.stderr, "^sums: goes on with run 1, %d+ of 100 trials are there\n$")
  t.match(rest.stdout, "100 trials %(%d+ from before it was stopped%)")
end)

test("eval: code that has changed begins a stopped run anew", REAL, function(t)
  local here <close> = place { ["sums.lua"] = SUMS:gsub("scorers =", "deadline = 0.5, scorers =") }
  here.env.DELAY = "0.2"
  local first = here.eval("--repeats", "10")
  t.eq(first.code, 1)
  t.match(first.stdout, "not good enough: it was stopped: deadline")
  t.contains(first.stderr, "stoke eval sums.lua goes on with the rest")
  fs.write(here.path .. "/sums.lua", SUMS)
  here.env.DELAY = "0"
  t.match(here.eval("--repeats", "10").stderr, "what it asked has changed, so this one begins anew")
end)

test("eval: --json gives each report with all its trials, --junit the same for CI", REAL, function(t)
  local here <close> = place { ["sums.lua"] = SUMS:gsub("return stoke.eval (%b{})", "return { stoke.eval %1, stoke.eval %1 }") }
  local r = here.eval("--json", "--junit", "eval.xml", "-n", "3")
  t.eq(r.code, 0)
  local reports = {}
  for line in r.stdout:gmatch "[^\n]+" do reports[#reports + 1] = json.decode(line) end
  t.eq({ #reports, reports[1].name, reports[2].name, #reports[1].trials, reports[1].variants[1].rate, #reports[1].why },
    { 2, "sums-1", "sums-2", 3, 1.0, 0 })
  local xml = fs.read(here.path .. "/eval.xml")
  t.eq(select(2, xml:gsub("<testcase", "")), 6)
  t.eq(fs.stat(here.path .. "/.stoke/evals.db"), nil) -- a part of the cases is no run that is kept
end)
