-- make oom: runs each program below with its Nth allocation failing (STOKE_MEM_FAIL=N), N counted up until nothing
-- fails any more. Every run must end by itself: success, or an exit code with a message. A signal, an abort, a sanitizer's
-- report or a leak is a finding.  lua5.4 tests/oom.lua BINARY [FIRST [NAME]]
--
-- Up to DENSE every N is tried; from there on N grows by STEP, so that the whole ends within minutes.
local binary, first, only = arg[1], tonumber(arg[2] or 1), arg[3]
local DENSE, STEP = 400, 1.01
local SECONDS = 30   -- for one run
local FINDINGS = 100 -- then it gives up

local SANITIZER = 99 -- exit code of the sanitizers, set by the Makefile
local out = os.tmpname()

local PROGRAMS = {
  { "first line", "-e 'print(1)'" },
  { "tasks", "-e 'local s = require \"stoke\" s.spawn(s.sleep, 0.001):await() print(1)'" },
  { "simulator", "agents/hello.lua --sim" },
  { "everything", "tests/oom/world.lua" },
  { "databases", "tests/oom/db.lua" },
  { "vectors", "tests/oom/vectors.lua" },
  { "runs and specs", "test --internal tests/oom/journal.lua" },
  { "durable run", "test --internal tests/oom/durable.lua" },
  { "broken script", "-e 'error {}'", fails = true },
}

local function run(command, n)
  local line = ("STOKE_MEM_FAIL=%d timeout -s KILL %d %s %s >%s 2>&1 </dev/null"):format(
    n, SECONDS, binary, command, out)
  local _, how, code = os.execute(line)
  local f = assert(io.open(out, "rb"))
  local text = f:read "a"
  f:close()
  return how == "signal" and 128 + code or code, text
end

-- What is wrong with such an end, or nil.
local function fault(code, text)
  if code == 137 then return ("did not end within %d s"):format(SECONDS) end
  if code >= 128 then return ("died of signal %d"):format(code - 128) end
  if code == SANITIZER or text:find "Sanitizer" or text:find "runtime error:" then return "a sanitizer's report" end
  if text:find("stoke: internal error", 1, true) or text:find "error outside any task" then return "an internal error" end
  if code ~= 0 and text == "" then return ("exit code %d without a message"):format(code) end
end

-- Nothing fails any more: neither here nor at three later points.
local function is_past(program, n)
  for _, factor in ipairs { 1, 2, 4, 8 } do
    local code, text = run(program[2], n * factor)
    local normal = (code ~= 0) == (program.fails or false)
    if not normal or text:find "memory" then return false end
  end
  return true
end

local findings, runs, known = 0, 0, {}

-- The whole text once for each place in our sources; the same again is one line.
local function tell(program, n, what, text)
  local place = text:match "host/[%w_/]+%.[ch]:%d+" or text:match "[^\n]*" or ""
  print(("oom: %s, allocation %d: %s, %s"):format(program[1], n, what, place))
  if not known[what .. place] then print(text:sub(1, 3000)) end
  known[what .. place] = true
end

for _, program in ipairs(PROGRAMS) do
  if only and program[1] ~= only then goto continue end
  local n, tried = first, 0
  while true do
    local code, text = run(program[2], n)
    local what = fault(code, text)
    tried = tried + 1
    if what then
      findings = findings + 1
      tell(program, n, what, text)
      if findings >= FINDINGS then os.exit(1) end
    end
    if (code ~= 0) == (program.fails or false) and tried % 10 == 0 and is_past(program, n) then break end
    n = n < DENSE and n + 1 or math.ceil(n * STEP)
  end
  runs = runs + tried
  print(("oom: %s: %d runs, up to allocation %d"):format(program[1], tried, n))
  io.stdout:flush()
  ::continue::
end
os.remove(out)
print(("oom: %d runs, %d findings"):format(runs, findings))
os.exit(findings == 0 and 0 or 1)
