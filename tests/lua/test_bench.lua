-- `stoke bench fuel` as a person types it.

local test = require "stoke.test"
local about = require "core.about"
local binary = require "binary"
local json = require "stoke.json"
local proc = require "stoke.proc"

local PROGRAMS = { programs = true, real = true, timeout = 60 }

test("rows are printed with both clients, the aim and whether it was met", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local r = here.run("bench", "fuel", "--only", "steady", "--only", "tiny", "--size", "0.1")
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.match(r.stdout, "ROW +NAIVE +STOKE +AIM")
  t.match(r.stdout, "\nsteady +mean %d+%.%d+ s, all in %d+ s +mean .* <= 1.1 +%a+\n")
  t.match(r.stdout, "\n%d of 2 aims met; seed 1, size 0.1; ")
end)

test("--json gives one object a row; the same seed gives the same measures", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local function ask(seed)
    local r = here.run("bench", "fuel", "--only", "burst", "--size", "0.1", "--json", "--seed", seed)
    return json.decode(r.stdout)
  end
  local one = ask "5"
  t.eq({ one.row, type(one.met), #one.naive, #one.ours }, { "burst", "boolean", 1, 1 })
  t.eq(ask("5").ours, one.ours)
  t.ne(ask("6").ours[1].mean, one.ours[1].mean)
end)

test("--check makes a missed aim exit code 1; without it none does", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local function code(...) return here.run("bench", "fuel", "--only", "swap", "--size", "0.1", ...).code end
  t.eq(code(), 0)
  local r = here.run("bench", "fuel", "--only", "swap", "--check")
  t.eq(r.code, r.stdout:find "MISSED" and 1 or 0)
end)

test("the settings and the learned facts of the user have no part in it", PROGRAMS, function(t)
  local here <close> = binary.place { ["stoke.config.lua"] = "return { pool = { per_model = 1 } }" }
  local elsewhere <close> = binary.place {}
  local function measured(place)
    return json.decode(place.run("bench", "fuel", "--only", "burst", "--size", "0.2", "--json").stdout).ours
  end
  t.eq(measured(here), measured(elsewhere))
  t.eq(proc.run { argv = { "find", here.path, "-name", "*.db" } }.stdout, "")
end)

test("--list shows the rows; a row that does not exist is told with the nearest one", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local r = here.run("bench", "fuel", "--list")
  t.match(r.stdout, "\noverload +calls at twice the capacity")
  r = here.run("bench", "fuel", "--only", "tlaks-1")
  t.eq(r.code, 2)
  t.match(r.stderr, "no row is named 'tlaks%-1'.*did you mean 'talks%-1'%?")
  t.eq(here.run("bench", "fuel", "--size", "2").code, 2)
  t.eq(here.run("bench", "pool").code, 2)
end)

-- A server on a port, so that the command takes it for a real one.
local function serve(...)
  local child = proc.spawn { argv = { about.executable(), "sim", "--port", "0", "--load-seconds", "0.01", "--tokens-per-second",
    "2000", ... }, env_allow = binary.PASSED_ON }
  return child, child:lines()()
end

test("on a real server: small rows with its two smallest models", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local child <close>, url = serve("--model", "big,size=9G", "--model", "one,size=1G", "--model", "two,size=2G")
  local r = here.run("bench", "fuel", "--endpoint", url, "--only", "burst", "--only", "models", "--only", "talks")
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.match(r.stdout, "^http://127.0.0.1:%d+: one:latest, two:latest\n")
  t.match(r.stdout, "\nmodels +%d+ changes of model, %d+%.%d s +%d+ changes of model")
  child:kill()
end)

test("on a real server with one model: what needs two is left out, in words", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local child <close>, url = serve("--model", "one")
  local r = here.run("bench", "fuel", "--endpoint", url, "--only", "burst", "--only", "models")
  t.eq(r.code, 0)
  t.match(r.stderr, "models is left out: it needs two models that answer chats")
  r = here.run("bench", "fuel", "--endpoint", url, "--only", "killed")
  t.eq(r.code, 2)
  t.match(r.stderr, "no row for a real server is named 'killed'")
  child:kill()
end)

test("no server there: the error says so", PROGRAMS, function(t)
  local here <close> = binary.place {}
  local r = here.run("bench", "fuel", "--endpoint", "http://127.0.0.1:9")
  t.eq(r.code, 4)
  t.match(r.stderr, "refused")
end)
