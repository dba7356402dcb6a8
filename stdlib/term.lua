-- stoke.term: what a program needs to know about the terminal it writes to: whether colour is
-- welcome, how wide a text is, how to draw a table or a progress bar. Everything here is plain
-- text in, plain text out; only `progress` and `table` write.

local clusters = require "stoke.term.cluster"
local keeper = require "core.keeper"
local scopes = require "core.scope"
local stdio = require "core.stdio"
local tasks = require "core.task"

local M = {}

local SGR = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", blue = "34",
              magenta = "35", cyan = "36" }

---True when text on this descriptor may carry colour: a terminal that is not "dumb", and no
---NO_COLOR (https://no-color.org: any non-empty value). CLICOLOR_FORCE=1 asks for colour in a pipe.
---@param fd integer 1 for stdout, 2 for stderr
---@param getenv? fun(name: string): string|nil defaults to the process environment
---@return boolean
---
---Example: `local colour = term.colour(1)`
function M.colour(fd, getenv)
  getenv = getenv or os.getenv
  if (getenv "NO_COLOR" or "") ~= "" then return false end
  local force = getenv "CLICOLOR_FORCE"
  if force and force ~= "" and force ~= "0" then return true end
  return stdio.is_tty(fd) and getenv "TERM" ~= "dumb"
end

---True when a person is there: standard input and output are terminals.
---@return boolean
---
---Example: `if term.interactive() then print "a person is there" end`
function M.interactive() return stdio.is_tty(0) and stdio.is_tty(1) end

---Wrap a text in a style, or return it as it is.
---@param style "bold"|"dim"|"red"|"green"|"yellow"|"blue"|"magenta"|"cyan"
---@param text string
---@param on boolean the answer of `colour`, asked once by the caller
---@return string
---
---Example: `print(term.paint("bold", "Title", term.colour(1)))`
function M.paint(style, text, on)
  if not on or text == "" then return text end
  return "\27[" .. SGR[style] .. "m" .. text .. "\27[0m"
end

---Columns of the terminal; 80 when nobody knows.
---@return integer
---
---Example: `print(("-"):rep(term.columns()))`
function M.columns()
  local n = stdio.columns()
  if n and n > 0 then return n end
  n = math.tointeger(tonumber(os.getenv "COLUMNS" or ""))
  return n and n > 0 and n or 80
end

---Columns a text takes on a terminal; style escapes take none. A character with its marks, an emoji with its skin tone, a family
---joined by U+200D and a flag count once, as terminals do that know grapheme clusters.
---@param text string
---@return integer
---
---Example: `assert(term.width "日本" == 4)`
function M.width(text)
  if not text:find "[^ -~]" then return #text end
  return clusters.width((text:gsub("\27%[[%d;]*m", "")))
end

---Cut or pad a text to exactly `columns`; a cut text ends in "…".
---@param text string without style escapes
---@param columns integer
---@param right? boolean pad on the left
---@return string
---
---Example: `print(term.fit("a long title", 8) .. "|")`
function M.fit(text, columns, right)
  local width = M.width(text)
  if width <= columns then
    local pad = (" "):rep(columns - width)
    return right and pad .. text or text .. pad
  end
  local out, n = {}, 0
  for ch, w in clusters.each(text) do
    if n + w > columns - 1 then break end
    out[#out + 1], n = ch, n + w
  end
  return table.concat(out) .. "…" .. (" "):rep(columns - 1 - n)
end

---Make text from outside (a model, a server) safe to show: control characters other than newline
---and tab are dropped, so that it cannot move the cursor, retitle the window or change colours.
---@param text string
---@return string
---
---Example: `print(term.clean(text))`
function M.clean(text)
  text = text:gsub("\r\n", "\n"):gsub("[\0-\8\11-\31\127]", "")
  return (text:gsub("\xC2[\x80-\x9F]", ""))
end

---Format bytes: "815 B", "4.7 GB" (powers of 1000, as Ollama prints them).
---@param n number
---@return string
---
---Example: `print(term.bytes(4733363377))`
function M.bytes(n)
  local units = { "B", "kB", "MB", "GB", "TB" }
  local i = 1
  while n >= 999.5 and i < #units do n, i = n / 1000, i + 1 end
  if i == 1 or n >= 99.95 then return ("%.0f %s"):format(n, units[i]) end
  return ("%.1f %s"):format(n, units[i])
end

---Format seconds: "0.3s", "42s", "3m05s", "2h10m", "4d03h", "113d".
---@param s number
---@return string
---
---Example: `print(term.duration(185))`
function M.duration(s)
  if s < 0 then return "-" .. M.duration(-s) end
  if s < 9.95 then return ("%.1fs"):format(s) end
  if s >= 1e9 then return "for ever" end
  local n = math.floor(s + 0.5)
  if n < 60 then return ("%ds"):format(n) end
  if n < 3600 then return ("%dm%02ds"):format(n // 60, n % 60) end
  if n < 86400 then return ("%dh%02dm"):format(n // 3600, n % 3600 // 60) end
  if n >= 864000 then return ("%dd"):format(n // 86400) end
  return ("%dd%02dh"):format(n // 86400, n % 86400 // 3600)
end

---Lay out rows in columns, two spaces apart. The first row is the heading. Columns named in
---`right` are set flush right. Cells are cleaned.
---@param rows string[][]
---@param opts? {right?: table<integer, boolean>, colour?: boolean}
---@return string text ends in a newline; "" for no rows
---
---Example: `io.write(term.layout { { "NAME", "SIZE" }, { "tiny", "1 GB" } })`
function M.layout(rows, opts)
  opts = opts or {}
  local widths = {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do
      row[c] = M.clean(cell):gsub("[\n\t]", " ")
      widths[c] = math.max(widths[c] or 0, M.width(row[c]))
    end
  end
  local out = {}
  for r, row in ipairs(rows) do
    local cells = {}
    for c, cell in ipairs(row) do
      cells[c] = M.fit(cell, widths[c], opts.right and opts.right[c])
    end
    local line = table.concat(cells, "  "):gsub("%s+$", "")
    out[r] = M.paint("bold", line, r == 1 and opts.colour or false) .. "\n"
  end
  return table.concat(out)
end

---Run a function so that Ctrl-C ends it and not the program. What it spawned has ended when this returns.
---@param f function
---@param ... any its arguments
---@return any value
---@return stoke.error|nil err as of stoke.try; of kind `cancelled` when it was Ctrl-C that ended it
---
--- Example: `local reply, err = term.interruptible(ask, line)`
function M.interruptible(f, ...)
  local given, value, err = table.pack(...), nil, nil
  local task = tasks.spawn(function()
    value, err = require("stoke").try(f, table.unpack(given, 1, given.n))
  end)
  local restore <close> = setmetatable({ before = keeper.on_signal }, { -- luacheck: ignore restore
    __close = function(guard) keeper.on_signal = guard.before end })
  function keeper.on_signal(number, name)
    if name == "SIGINT" then return task:cancel "interrupted" end
    keeper.exit(128 + number)
  end
  local ok, stopped = pcall(task.await, task)
  if ok then return value, err end
  scopes.deliver(tasks.current())
  return nil, stopped
end

---@class stoke.term.Progress
local Progress = {}
Progress.__index = Progress

---A progress bar on stderr. On a terminal it redraws one line, at most ten times a second; elsewhere
---it prints one plain line per label and per tenth of the way.
---@param opts {write?: fun(text: string), tty?: boolean, columns?: fun(): integer, now: fun(): number}
---@return stoke.term.Progress
---
---Example: `local bar <close> = term.progress { now = time.monotonic }; bar:update("reading", 3, 10)`
function M.progress(opts)
  local tty = opts.tty
  if tty == nil then tty = stdio.is_tty(2) and os.getenv "TERM" ~= "dumb" end
  return setmetatable({ write = opts.write or stdio.err, tty = tty, now = opts.now,
                        columns = opts.columns or M.columns, drawn = false, samples = {} },
                      Progress)
end

-- Bytes per second over the last five seconds: a rate since the start would hide a stall, and a
-- resumed download would count bytes that never travelled.
local function rate_of(bar, done, now)
  local s = bar.samples
  s[#s + 1] = { now, done }
  while #s > 2 and now - s[2][1] >= 5 do table.remove(s, 1) end
  local t = now - s[1][1]
  if t <= 0 then return nil end
  return (done - s[1][2]) / t
end

local function bar_line(bar, label, done, total, rate)
  local part = total > 0 and math.min(done / total, 1) or 0
  local tail = (" %3d%%  %s / %s"):format(math.floor(part * 100), M.bytes(done), M.bytes(total))
  if rate and rate > 0 then
    tail = tail .. ("  %s/s"):format(M.bytes(rate))
    if done < total then tail = tail .. "  " .. M.duration((total - done) / rate) end
  end
  local columns = bar.columns() - 1
  local room = columns - M.width(tail) - M.width(label) - 3
  if room < 5 then return M.fit(label .. tail, columns) end
  room = math.min(room, 40)
  local full = math.floor(part * room)
  return ("%s [%s%s]%s"):format(label, ("#"):rep(full), (" "):rep(room - full), tail)
end

local function next_label(bar, label)
  if bar.label == label then return end
  if bar.drawn then bar.write "\n" end
  bar.label, bar.drawn, bar.tenth, bar.at, bar.samples = label, false, -1, nil, {}
end

---Show the state of one step.
---@param label string what is going on; a new label starts a new line
---@param done? number bytes so far
---@param total? number bytes in all; without it the label stands alone
---
---Example: `bar:update("reading", 3, 10)`
function Progress:update(label, done, total)
  label = M.clean(label):gsub("\n", " ")
  next_label(self, label)
  local now = self.now()
  if not total then
    if not self.drawn and self.tenth == -1 then
      self.tenth = 0
      self.write(self.tty and "\r\27[K" .. M.fit(label, self.columns() - 1):gsub("%s+$", "")
                 or label .. "\n")
      self.drawn = self.tty
    end
    return
  end
  done = done or 0
  local tenth = total > 0 and done * 10 // total or 0
  if self.tty then
    if self.at and now - self.at < 0.1 and done < total then return end
    self.at, self.drawn = now, true
    self.write("\r\27[K" .. bar_line(self, label, done, total, rate_of(self, done, now)))
  elseif tenth > self.tenth then
    self.tenth = tenth
    self.write(("%s %d%% of %s\n"):format(label, total > 0 and math.min(100, done * 100 // total)
                                           or 0, M.bytes(total)))
  end
end

---End the line being drawn; safe to call twice, and as `<close>`.
---
---Example: `bar:finish()`
function Progress:finish()
  if self.drawn then self.write "\n" end
  self.drawn, self.label = false, nil
end
Progress.__close = Progress.finish

return M
