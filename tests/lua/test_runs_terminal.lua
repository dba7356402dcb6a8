-- The prompt inside a replayed run, on a terminal (tests/peers/pty.c).

local test = require "stoke.test"
local binary = require "binary"
local start = require "pty"

local SCRIPT = [[
local stoke = require "stoke"
local flow = stoke.workflow("count", function(n)
  local sum = 0
  for i = 1, n do sum = sum + stoke.step("one " .. i, function() return i end) end
  return sum
end)
stoke.main(function() print(flow:start(3, { id = "c" }):await()) end)
]]

test("terminal: stepping through a run, with its locals, and leaving", { real = true, timeout = 120 }, function(t)
  local here <close> = binary.place { ["count.lua"] = SCRIPT }
  t.eq(here.run("count.lua").stdout, "6\n")
  local session <close> = start({ "replay", "c", "--to", "1", "--store", here.path .. "/.stoke/state.db" }, { columns = 120 })
  session:wait "#1 of 3  step one 1  -> 1\n    count.lua:4:  for i = 1, n do"
  session:type "sum\r"
  session:wait "#1> sum\n0\n#1>"
  session:type "\r"
  session:wait "#2 of 3  step one 2  -> 2\n"
  session:type "sum, i\r"
  session:wait "#2> sum, i\n1\n2\n#2>"
  session:type ":st\t"
  session:wait "#2> :st"
  session:type "\21:go\r"
  session:wait "the run is at its end: 3 effects, all the same"
  t.eq(select(2, session:ended()), "exit 0")
end)

test("terminal: Ctrl-D at the prompt leaves", { real = true, timeout = 120 }, function(t)
  local here <close> = binary.place { ["count.lua"] = SCRIPT }
  here.run("count.lua")
  local session <close> = start({ "replay", "c", "--to", "2", "--store", here.path .. "/.stoke/state.db" }, { columns = 120 })
  session:wait "#2>"
  session:type "\4"
  t.eq({ session:ended() }, { "<icanon=1 echo=1>", "exit 0" })
end)
