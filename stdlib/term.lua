-- stoke.term: terminal output and input: colour, text width, tables, progress bars, line
-- editing. Most functions only transform text; `table`, `progress` and `prompt` use the terminal.

local outside = require "core.text"
local combine = require "core.combine"
local errors = require "core.errors"
local keeper = require "core.keeper"
local scopes = require "core.scope"
local stdio = require "core.stdio"
local tasks = require "core.task"

local M = {}

local SGR = { bold = "1", dim = "2", red = "31", green = "32", yellow = "33", blue = "34",
              magenta = "35", cyan = "36" }

---Should text on this descriptor be coloured? True for a terminal whose TERM is not "dumb". NO_COLOR
---(https://no-color.org: any non-empty value), FORCE_COLOR=0 and CLICOLOR=0 turn colour off; FORCE_COLOR and CLICOLOR_FORCE turn
---it on, in a pipe, too.
---@param fd integer 1 for stdout, 2 for stderr
---@param getenv? fun(name: string): string|nil defaults to the process environment
---@return boolean
---
---Example: `local colour = term.colour(1)`
function M.colour(fd, getenv)
  getenv = getenv or os.getenv
  if (getenv "NO_COLOR" or "") ~= "" then return false end
  local force = getenv "FORCE_COLOR" or ""
  if force ~= "" then return force ~= "0" and force ~= "false" end
  force = getenv "CLICOLOR_FORCE" or ""
  if force ~= "" and force ~= "0" then return true end
  if getenv "CLICOLOR" == "0" then return false end
  return stdio.is_tty(fd) and getenv "TERM" ~= "dumb"
end

---True when standard input and standard output are terminals, so that a person can answer.
---@return boolean
---
---Example: `if term.interactive() then print "somebody can answer" end`
function M.interactive() return stdio.is_tty(0) and stdio.is_tty(1) end

---A text with the escape sequences of a style, or unchanged when `on` is false.
---@param style "bold"|"dim"|"red"|"green"|"yellow"|"blue"|"magenta"|"cyan"
---@param text string
---@param on boolean the result of `colour`
---@return string
---
---Example: `print(term.paint("bold", "Title", term.colour(1)))`
function M.paint(style, text, on)
  if not on or text == "" then return text end
  return "\27[" .. SGR[style] .. "m" .. text .. "\27[0m"
end

---The width of the terminal in columns; COLUMNS, or 80, where there is no terminal.
---@return integer
---
---Example: `print(("-"):rep(term.columns()))`
function M.columns()
  local n = stdio.columns()
  if n and n > 0 then return n end
  n = math.tointeger(tonumber(os.getenv "COLUMNS" or ""))
  return n and n > 0 and n or 80
end

---The width of a text on a terminal, in columns; style escapes have none. Grapheme clusters (a letter with its marks, an emoji with
---a skin tone, a flag) are measured as one character, as terminals do that support them.
---@param text string
---@return integer
---
---Example: `assert(term.width "日本" == 4)`
function M.width(text)
  if not text:find "[^ -~]" then return #text end
  return require "stoke.term.cluster".width((text:gsub("\27%[[%d;]*m", "")))
end

---Cut or pad a text to exactly `columns` columns; a cut text ends in "…".
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
  for ch, w in require "stoke.term.cluster".each(text) do
    if n + w > columns - 1 then break end
    out[#out + 1], n = ch, n + w
  end
  return table.concat(out) .. "…" .. (" "):rep(columns - 1 - n)
end

---Make text from outside (a model, a server) safe to print: remove control characters other than newline and tab, so that it cannot
---move the cursor, change the window's title or set colours, and marks that change the direction of text.
---@param text string
---@return string
---
---Example: `print(term.clean(text))`
function M.clean(text) return outside.clean(text) end

---Format a number of bytes: "815 B", "4.7 GB" (powers of 1000, as Ollama prints them).
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

---Format a number of seconds: "0.3s", "42s", "3m05s", "2h10m", "4d03h", "113d".
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

-- A cell as text of one line.
local function cell_text(cell, r, c, what)
  if cell == nil then return "" end
  local kind = type(cell)
  local mt = kind ~= "string" and kind ~= "number" and kind ~= "boolean" and debug.getmetatable(cell)
  if mt == nil or type(mt) == "table" and not mt.__tostring then
    errors.argument("%s: row %d, column %d: a text or a number expected, got %s", what, r, c, errors.describe(cell))
  end
  return (M.clean(tostring(cell)):gsub("[\n\t]", " "))
end

-- Rows as texts, their columns' widths, and which of them hold numbers alone.
local function measure(rows, what)
  local out, widths, numbers = {}, {}, {}
  if type(rows) ~= "table" then errors.argument("%s: the rows must be a list, got %s", what, errors.describe(rows)) end
  for r, row in ipairs(rows) do
    if type(row) ~= "table" then errors.argument("%s: row %d must be a list, got %s", what, r, errors.describe(row)) end
    local count = 0
    for c in next, row do
      if math.type(c) ~= "integer" or c < 1 or c > 1000 then
        errors.argument("%s: row %d must be a list of at most 1000 cells; it has the key %s", what, r, errors.describe(c))
      end
      count = math.max(count, c)
    end
    out[r] = {}
    for c = 1, count do
      out[r][c] = cell_text(row[c], r, c, what)
      widths[c] = math.max(widths[c] or 0, M.width(out[r][c]))
      if r > 1 and row[c] ~= nil and numbers[c] ~= false then numbers[c] = type(row[c]) == "number" end
    end
  end
  for c = 1, #widths do widths[c] = widths[c] or 0 end
  return out, widths, numbers
end

local NARROW = 4 -- columns a cell keeps, whatever the terminal's width

-- Take from the widest columns until the line fits.
local function squeeze(widths, columns)
  local total = 2 * (#widths - 1)
  for _, width in ipairs(widths) do total = total + width end
  while total > columns do
    local widest = 1
    for c = 2, #widths do
      if widths[c] > widths[widest] then widest = c end
    end
    if widths[widest] <= NARROW then return end
    widths[widest], total = widths[widest] - 1, total - 1
  end
end

local LAYOUT = { right = "table", colour = "boolean", columns = "number" }

---Format rows as a table with columns two spaces apart. The first row is the heading. Columns named in `right`, and columns that
---contain only numbers, are right-aligned. A cell is a string, a number or nil (empty); control characters are removed from it.
---@param rows any[][]
---@param opts? {right?: table<integer, boolean>, colour?: boolean, columns?: integer} columns: the maximum
---  width of a line; the widest cells are cut
---@return string text ends in a newline; "" for no rows
---Raises `argument`.
---
---Example: `io.write(term.layout { { "NAME", "SIZE" }, { "tiny", "1 GB" } })`
function M.layout(rows, opts)
  opts = errors.options(opts, LAYOUT, "term.layout")
  local texts, widths, numbers = measure(rows, "term.layout")
  if opts.columns then squeeze(widths, opts.columns) end
  local out, right = {}, opts.right or {}
  for r, row in ipairs(texts) do
    local cells = {}
    for c, cell in ipairs(row) do
      local flush = right[c]
      if flush == nil then flush = numbers[c] end
      cells[c] = M.fit(cell, widths[c], flush)
    end
    local line = table.concat(cells, "  "):gsub("%s+$", "")
    if opts.columns and M.width(line) > opts.columns then line = M.fit(line, math.max(opts.columns, 1)):gsub("%s+$", "") end
    out[r] = M.paint("bold", line, r == 1 and opts.colour or false) .. "\n"
  end
  return table.concat(out)
end

---Print rows as a table on standard output, as `stoke models` and `stoke ps` do: with a bold heading where `colour` is true, and on
---a terminal with no line wider than the terminal.
---@param rows any[][] the first one is the heading
---@param opts? {right?: table<integer, boolean>, colour?: boolean, columns?: integer} as for `layout`; found out when not given
---Raises `argument`.
---
---Example: `term.table { { "CITY", "DEGREES" }, { "Oslo", 4 } }`
function M.table(rows, opts)
  opts = errors.options(opts, LAYOUT, "term.table")
  local colour, columns = opts.colour, opts.columns
  local other = require "stoke.repl.print".reader()
  if colour == nil then colour = not other and M.colour(1) end
  if not columns and (other or stdio.is_tty(1)) then columns = other and other.columns or M.columns() end
  local write = other and other.write or stdio.write
  write(M.layout(rows, { right = opts.right, colour = colour, columns = columns }))
end

---Run a function so that Ctrl-C cancels the function instead of ending the program. When this returns, the tasks that the function
---spawned have ended, too.
---@param f function
---@param ... any its arguments
---@return any value
---@return stoke.error|nil err as from stoke.try; kind `cancelled` after Ctrl-C
---
--- Example: `local reply, err = term.interruptible(ask, line)`
function M.interruptible(f, ...)
  local given, value, err = table.pack(...), nil, nil
  local task = tasks.spawn(function()
    value, err = combine.try(f, table.unpack(given, 1, given.n))
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

---@class stoke.term.progress.options
---@field label? string what is being done
---@field total? number the amount of work; without it the count and the rate are shown, without a bar and the time left
---@field unit? string "items" (the default), "bytes", or a name for the items, such as "files"
---@field lines? boolean without a terminal: write a plain line for each label and each tenth of the work, instead of nothing
---@field tty? boolean whether the bar is drawn; this and the three below are found out when not given
---@field write? fun(text: string)
---@field columns? fun(): integer
---@field now? fun(): number seconds

---A progress bar on stderr: amount done, rate, time left. It redraws one line, at most ten times a second. If stderr is not a
---terminal nothing is written, unless `lines` is set. It uses no colours.
---@param options? stoke.term.progress.options
---@return stoke.term.Progress bar with :add(n), :update(label, done, total), :finish(); a to-be-closed value
---Raises `argument`.
---
---Example: `local bar <close> = term.progress { label = "pages", total = 3 }; for i = 1, 3 do bar:add() end`
function M.progress(options) return require "stoke.term.progress".new(options) end

---@class stoke.term.prompt.options
---@field prompt? string the text before the line, by default "> "
---@field more? string the text before each further line of an entry
---@field text? string the initial text
---@field history? string|string[]|false a name, for a file beside the history of the prompt of stoke; a path; or a list, to which
---  entries are added
---@field complete? string[]|fun(before: string): integer, string[] completions for Tab: a list of words, or a function
---  that gets the text before the cursor and returns the byte at which the word begins and a list
---@field finished? fun(text: string): boolean whether Enter ends the entry (true) or begins another line of it
---@field hint? string the message for Ctrl-C on an empty line
---@field secret? boolean show stars instead of the typed text, and add nothing to the history

---Read an entry from the terminal, with the line editor of stoke's prompt: arrow keys, history and its search (Ctrl-R), several
---lines (Alt-Enter, or a paste), completion (Tab). Ctrl-C discards the line; Ctrl-D on an empty line ends the input. Output of
---other tasks appears above the line. Without a terminal it reads the next line of standard input and shows no prompt. Entries
---that begin with a space or look like a secret are not written to the history file; with an empty STOKE_HISTORY no file is
---written.
---@param options? string|stoke.term.prompt.options a string is the prompt
---@return string|nil text nil at the end of the input
---Raises `argument`.
---
---Example: `local name = term.prompt { prompt = "name: ", history = "names" }`
function M.prompt(options) return require "stoke.term.prompt".read(options) end

local FORMAT = { columns = "number", depth = "number", items = "number", bytes = "number", colour = "boolean" }

---A value as text, as the prompt of stoke and `stoke.pp` show it: strings are quoted, keys sorted, tables limited in depth and
---length, and a table that contains itself is marked.
---@param value any
---@param options? { columns?: integer, depth?: integer, items?: integer, bytes?: integer, colour?: boolean } columns of
---  a line (80), tables within tables (5), items of one table (100), bytes of a string in a table (200)
---@return string
---Raises `argument`.
---
---Example: `assert(term.format { 1, 2, name = "x" } == '{ 1, 2, name = "x" }')`
function M.format(value, options)
  options = errors.options(options, FORMAT, "term.format")
  for name, limit in next, options do
    if name ~= "colour" and not (limit >= 1) then
      errors.argument("term.format: %s must be at least 1, got %s", name, tostring(limit))
    end
  end
  local paint = options.colour and function(style, text) return M.paint(style, text, true) end or nil
  return require "stoke.repl.print".show(value, { columns = options.columns, depth = options.depth, items = options.items,
    bytes = options.bytes, paint = paint })
end

return M
