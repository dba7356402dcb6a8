--- Reporters of `stoke test`: plain text, JSON lines, TAP 13. Each reporter has result(record), file(path, counts)
--- after each file, and finish(total).

local show = require "stoke.show"
local errors = require "core.errors"
local json = require "core.json"
local stdio = require "core.stdio"
local term = require "stoke.term"

local M = {}

--- Lines a test printed that are shown when it fails.
local NOISE = 40

--- "passed", "failed" or "skipped".
---@param record table
---@return string
---
--- Example: `assert(report.outcome { passed = true } == "passed")`
function M.outcome(record)
  return record.failed and "failed" or record.skipped and "skipped" or "passed"
end

--- The command that repeats one test.
local function again(record, a)
  local whole = record.name:find "^%(" -- "(loading the file)"
  return ("stoke test %s%s%s --seed %d"):format(a.internal and "--internal " or "", show.word(record.file),
    whole and "" or " -f " .. show.word(record.name), a.seed)
end

--- All that is known of a failure, as lines.
local function details(record, a)
  local lines = {}
  local function add(text)
    for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  end
  add(record.failed)
  if record.where and not record.failed:find("at " .. record.where, 1, true) then add("at " .. record.where) end
  local traceback = record.traceback and errors.readable(record.traceback)
  if traceback then add(traceback) end
  for i, line in ipairs(record.noise or {}) do
    if i > NOISE then
      add(("| ... %d more lines"):format(#record.noise - NOISE))
      break
    end
    add("| " .. line)
  end
  add("again: " .. again(record, a))
  return lines
end

-- ---- people -------------------------------------------------------------------------------------------------------------------

local Text = {}
Text.__index = Text

--- On a terminal one line says how far it is.
function Text:progress()
  if not self.tty then return end
  local label = ("%d of %d files, %d tests%s"):format(self.done, self.files, self.tests,
    self.failed > 0 and (", %d failed"):format(self.failed) or "")
  stdio.write("\r\27[K" .. term.fit(label, term.columns() - 1):gsub("%s+$", ""))
end

function Text:say(text)
  stdio.write((self.tty and "\r\27[K" or "") .. text .. "\n")
end

function Text:result(record)
  self.tests = self.tests + 1
  local outcome = M.outcome(record)
  if outcome == "failed" then
    self.failed = self.failed + 1
    self:say(("%s %s: %s\n     %s"):format(term.paint("red", "FAIL"), record.file, record.name,
      table.concat(details(record, self.a), "\n     ")))
  elseif outcome == "skipped" then
    self:say(("skip %s: %s: %s"):format(record.file, record.name, record.skipped))
  end
  for _, path in ipairs(record.written or {}) do self:say("wrote " .. path) end
  if record.recorded then self:say("recorded " .. record.recorded) end
  self:progress()
end

function Text:file(path, counts)
  self.done = self.done + 1
  if counts.failed == 0 then
    local n = counts.passed + counts.skipped
    self:say(("ok   %s (%d test%s, %d ms)"):format(path, n, n == 1 and "" or "s", math.ceil(counts.seconds * 1000)))
  end
  self:progress()
end

function Text:finish(total)
  for i, record in ipairs(total.slowest) do
    if i == 1 then self:say "slowest:" end
    self:say(("  %7.3f s  %s: %s"):format(record.seconds, record.file, record.name))
  end
  local skipped = total.skipped > 0 and (", %d skipped"):format(total.skipped) or ""
  self:say(("%d passed, %d failed%s"):format(total.passed, total.failed, skipped))
end

-- ---- programs -------------------------------------------------------------------------------------------------------------------

local Json = {}
Json.__index = Json

local function encoded(record)
  local text = json.encode(record)
  if text then return text end
  for i, line in ipairs(record.output or {}) do -- bytes that are no UTF-8
    record.output[i] = line:gsub("[\128-\255]", function(c) return ("\\x%02x"):format(c:byte()) end)
  end
  return errors.check(json.encode(record))
end

function Json:result(record)
  local out = { file = record.file, name = record.name, outcome = M.outcome(record), seconds = record.seconds,
    message = record.failed or record.skipped or nil, where = record.where, output = record.noise, written = record.written,
    recorded = record.recorded, traceback = record.traceback, again = record.failed and again(record, self.a) or nil }
  stdio.write(encoded(out) .. "\n")
end

function Json.file() end

function Json:finish(total)
  stdio.write(json.encode { summary = true, passed = total.passed, failed = total.failed, skipped = total.skipped,
    seconds = total.seconds, seed = self.a.seed, files = self.files } .. "\n")
end

local Tap = {}
Tap.__index = Tap

--- A description has no marks of the protocol in it.
local function plain(text) return (text:gsub("[\r\n]+", " "):gsub("#", "\\#")) end

function Tap:result(record)
  if self.tests == 0 then stdio.write "TAP version 13\n" end
  self.tests = self.tests + 1
  local outcome = M.outcome(record)
  local line = ("%s %d - %s: %s"):format(outcome == "failed" and "not ok" or "ok", self.tests, plain(record.file),
    plain(record.name))
  if outcome == "skipped" then line = line .. " # SKIP " .. plain(record.skipped) end
  if outcome == "failed" then
    line = ("%s\n  ---\n  message: |\n    %s\n  ..."):format(line, table.concat(details(record, self.a), "\n    "))
  end
  stdio.write(line .. "\n")
end

function Tap.file() end

function Tap:finish(total)
  if self.tests == 0 then stdio.write "TAP version 13\n" end
  stdio.write(("1..%d\n# %d passed, %d failed, %d skipped\n"):format(self.tests, total.passed, total.failed, total.skipped))
end

--- The reporter that was asked for.
---@param a table the command's arguments; json, tap, seed, internal
---@param files integer
---@return table
---
--- Example: `local out = report.new(a, #files)`
function M.new(a, files)
  local class = a.json and Json or a.tap and Tap or Text
  local tty = class == Text and stdio.is_tty(1) and os.getenv "TERM" ~= "dumb"
  return setmetatable({ a = a, files = files, done = 0, tests = 0, failed = 0, tty = tty }, class)
end

return M
