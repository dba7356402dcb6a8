--- A progress bar: one line on stderr, redrawn on changes. See stoke.term.progress.

local errors = require "core.errors"
local stdio = require "core.stdio"
local term = require "stoke.term"

local M = {}

---@class stoke.term.Progress
local Progress = {}
Progress.__index = Progress
Progress.__name = "stoke.term.Progress"

local OPTIONS = { label = "string", total = "number", unit = "string", lines = "boolean", tty = "boolean", write = "function",
  columns = "function", now = "function" }

--- Seconds between two redraws, and the seconds over which the rate is measured: a rate since the start would hide a stall, and
--- count bytes of a resumed download that were not transferred.
local PAUSE, WINDOW = 0.1, 5

local function check_amount(value, what)
  if type(value) ~= "number" or not (value >= 0) or value == math.huge then
    errors.argument("%s must be a number >= 0, got %s", what, errors.describe(value))
  end
end

---@param options table|nil
---@return stoke.term.Progress
function M.new(options)
  options = errors.options(options, OPTIONS, "term.progress")
  if options.total ~= nil then check_amount(options.total, "term.progress: total") end
  local tty = options.tty
  if tty == nil then tty = stdio.is_tty(2) and os.getenv "TERM" ~= "dumb" end
  return setmetatable({ write = options.write or stdio.err, tty = tty, holds = tty and not options.write, reads = 0, broken = false,
    lines = options.lines or false,
    now = options.now or require "stoke.time".monotonic, columns = options.columns or term.columns, unit = options.unit or "items",
    total = options.total, name = options.label or "", done = 0, drawn = false, samples = {}, tenth = -1 }, Progress)
end

-- ---- words --------------------------------------------------------------------------------------------------------------------

local function count(n) return n == math.floor(n) and ("%.0f"):format(n) or ("%.1f"):format(n) end

local function amounts(bar, done, total)
  if bar.unit == "bytes" then return term.bytes(done) .. (total and " / " .. term.bytes(total) or "") end
  local word = bar.unit == "items" and "" or " " .. bar.unit
  return count(done) .. (total and " / " .. count(total) or "") .. word
end

local function speed(bar, rate)
  if bar.unit == "bytes" then return term.bytes(rate) .. "/s" end
  if rate >= 9.95 then return ("%.0f/s"):format(rate) end
  if rate >= 0.1 then return ("%.1f/s"):format(rate) end
  return ("%.1f/min"):format(rate * 60)
end

local function rate_of(bar, done, now)
  local s = bar.samples
  s[#s + 1] = { now, done }
  while #s > 2 and now - s[2][1] >= WINDOW do table.remove(s, 1) end
  local passed = now - s[1][1]
  return passed > 0 and (done - s[1][2]) / passed or 0
end

local function line_of(bar, label, done, total, rate)
  local part = total and (total > 0 and math.min(done / total, 1) or 1)
  local tail = (part and (" %3d%%  "):format(math.floor(part * 100)) or label == "" and "" or "  ") .. amounts(bar, done, total)
  if rate > 0 then
    tail = tail .. "  " .. speed(bar, rate)
    if total and done < total then tail = tail .. "  " .. term.duration((total - done) / rate) .. " left" end
  end
  local columns = bar.columns() - 1
  local before = label == "" and "" or label .. " "
  local room = columns - term.width(tail) - term.width(before) - 2
  if not part or room < 5 then
    local text = label .. tail
    return term.width(text) > columns and term.fit(text, math.max(columns, 1)) or text
  end
  room = math.min(room, 40)
  local full = math.floor(part * room)
  return ("%s[%s%s]%s"):format(before, ("#"):rep(full), (" "):rep(room - full), tail)
end

-- ---- beside what others write ----

--- A visible bar owns the terminal: other output goes above it, and nothing is drawn while a prompt reads.
local Holder = {}
Holder.__index = Holder

local function is_ours(bar) return bar.holder ~= nil and stdio.holder == bar.holder end

function Holder:write(fd, text)
  local bar = self.bar
  if not stdio.is_tty(fd) or text == "" then return stdio.put(fd, text) end
  stdio.put(2, bar.shown and not bar.broken and "\r\27[K" or "")
  stdio.put(fd, text)
  bar.broken = text:sub(-1) ~= "\n" -- its line may go on
  if bar.shown and not bar.broken and bar.reads == 0 then stdio.put(2, bar.shown) end
end

function Holder:read_line(prompt)
  local bar = self.bar
  bar.reads = bar.reads + 1
  local guard <close> = setmetatable({}, { __close = function() bar.reads, bar.broken = bar.reads - 1, false end })
  if prompt then self:write(1, prompt) end
  return stdio.take_line()
end

function Holder:forget_typed() end -- luacheck: ignore self

--- Write the line of the bar, in place of the one before.
local function put(bar, line)
  if bar.reads > 0 then return end
  local before = bar.broken and "\n" or "\r\27[K"
  bar.broken = false
  if not bar.holds then return bar.write(before .. line) end
  if not stdio.holder then
    bar.holder = bar.holder or setmetatable({ bar = bar }, Holder)
    stdio.holder = bar.holder
  end
  bar.shown = line
  if is_ours(bar) then stdio.put(2, before .. line) else stdio.err(before .. line) end
end

--- End the line of the bar; later output needs no special handling.
local function leave(bar)
  if is_ours(bar) then stdio.holder = nil end
  bar.shown = nil
  bar.write "\n"
end

-- ---- drawing ------------------------------------------------------------------------------------------------------------------

local function next_label(bar, label)
  if bar.label == label then return end
  if bar.drawn then leave(bar) end
  bar.label, bar.drawn, bar.tenth, bar.at, bar.samples = label, false, -1, nil, {}
end

--- A step of unknown length and progress.
local function announce(bar, label)
  if bar.drawn or bar.tenth ~= -1 then return end
  bar.tenth = 0
  if bar.tty then
    put(bar, (term.fit(label, math.max(bar.columns() - 1, 1)):gsub("%s+$", "")))
    bar.drawn = true
  elseif bar.lines and label ~= "" then
    bar.write(label .. "\n")
  end
end

local function draw(bar, label, done, total)
  if bar.tty then
    local now = bar.now()
    if bar.at and now - bar.at < PAUSE and not (total and done >= total) then return end
    bar.at, bar.drawn = now, true
    put(bar, line_of(bar, label, done, total, rate_of(bar, done, now)))
    return
  end
  local tenth = total and total > 0 and done * 10 // total or 0
  if not bar.lines or tenth <= bar.tenth then return end
  bar.tenth = tenth
  local all = total and (" %d%% of %s"):format(total > 0 and math.min(100, done * 100 // total) or 100, amounts(bar, total)) or ""
  bar.write((label .. all):gsub("^ ", "") .. "\n")
end

---Show the state of one step.
---@param label? string what is going on; a new label starts a new line
---@param done? number how much is done
---@param total? number how much there is in all; without it, and without one among the options, there is no bar and no time left
---Raises `argument`.
---
---Example: `bar:update("reading", 3, 10)`
function Progress:update(label, done, total)
  if label == nil then label = self.name end
  if type(label) ~= "string" then errors.argument("progress:update: the label must be a string, got %s", errors.describe(label)) end
  if done ~= nil then check_amount(done, "progress:update: done") end
  if total ~= nil then check_amount(total, "progress:update: total") end
  label = term.clean(label):gsub("[\n\t]", " ")
  next_label(self, label)
  if label == self.name then total = total or self.total end
  self.done = done or self.done
  if done or total then draw(self, label, self.done, total) else announce(self, label) end
end

---Add to the amount that is done.
---@param n? number 1 when not given
---Raises `argument`.
---
---Example: `for i = 1, 10 do bar:add() end`
function Progress:add(n)
  if n ~= nil then check_amount(n, "progress:add: the number") end
  self.done = self.done + (n or 1)
  local label = self.label or self.name
  next_label(self, label)
  draw(self, label, self.done, label == self.name and self.total or nil)
end

---End the line being drawn; safe to call twice, and as `<close>`.
---
---Example: `bar:finish()`
function Progress:finish()
  if self.drawn then
    if self.at and self.label == self.name then -- how far it came in the end, which a pause may have kept back
      put(self, line_of(self, self.label, self.done, self.total, rate_of(self, self.done, self.now())))
    end
    leave(self)
  end
  self.drawn, self.label, self.done = false, nil, 0
end

Progress.__close = Progress.finish

return M
