-- D7: what is read from standard input comes through the door: it is on the trace, and in a journal.

local test = require "stoke.test"
local about = require "core.about"
local binary = require "tests.lua.binary"
local fs = require "stoke.fs"
local journal = require "core.journal"
local json = require "stoke.json"
local proc = require "stoke.proc"

test("a line that a script reads is on the trace", { real = true }, function(t)
  local here <close> = binary.place { ["a.lua"] = "print(io.read(), io.read 'a')" }
  local r = proc.run { argv = { about.executable(), "--trace", "t.jsonl", "a.lua" }, cwd = here.path, env = here.env,
    env_allow = binary.PASSED_ON, stdin = "one\ntwo\n", timeout = 60 }
  t.eq(r.stdout, "one\ttwo\n\n")
  local count = 0
  for line in fs.read(here.path .. "/t.jsonl"):gmatch "[^\n]+" do
    if json.decode(line).name == "input.read" then count = count + 1 end
  end
  t.eq(count, 2)
end)

test("a run that has read a line replays it without its input", function(t)
  local function f() return io.read() end
  local tape = journal.record("run", f) -- a test has no input: it is at its end
  t.eq({ tape.rows[1].key, tape.rows[1].request.want, tape.rows[1].outcome.value }, { "run/input.read#1", "line" })
  tape.rows[1].outcome.value = "typed by somebody"
  t.eq(journal.replay(tape, f)[1], "typed by somebody")
end)
