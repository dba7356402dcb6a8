-- D10: no request holds a number that counts for the whole process.

local test = require "stoke.test"
local stoke = require "stoke"
local journal = require "core.journal"
local proc = require "stoke.proc"
local runs = require "runs"

local function talk()
  local p <close> = proc.spawn { argv = { "cat" } }
  p:write "hello\n"
  local line = p:lines()()
  p:close_stdin()
  return line, p:wait().code, p.pid
end

test("a process is named by the effect that started it: what other runs start shifts nothing", { real = true }, function(t)
  local tape, first = journal.record("run", talk)
  t.eq({ first[1], first[2] }, { "hello", 0 })
  talk() -- another one of this process
  local second = journal.replay(tape, talk)
  t.eq(second, first)
  local named = {}
  for _, row in ipairs(tape.rows) do
    if type(row.request) == "table" and row.request.process then named[row.request.process] = true end
  end
  t.eq(named, { ["run/proc.spawn#1"] = true })
end)

test("a program that runs to its end is not run again", { real = true, programs = true }, function(t)
  local path = t.tmp() .. "/log"
  local function f() return proc.run { argv = { "sh", "-c", "echo x >> " .. path .. "; echo done" } }.stdout end
  local first, second = runs.twice(f)
  t.eq({ first[1], second[1] }, { "done\n", "done\n" })
  t.eq(stoke.fs.read(path), "x\n")
end)

test("past the end of its journal a run's process is gone, and says so", { real = true }, function(t)
  local held
  journal.record("run", function()
    local p <close> = proc.spawn { argv = { "cat" } }
    held = journal.current():snapshot()
    return p.pid
  end)
  local results = journal.replay(held, function()
    local p <close> = proc.spawn { argv = { "cat" } }
    p:write "hello\n"
  end)
  t.eq(results.err.kind, "interrupted")
end)
