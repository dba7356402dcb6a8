--- Renders the editor for a terminal of a given size.

local cells = require "stoke.term.cells"
local term = require "stoke.term"

local M = {}

--- Rows of a list of completions that are shown at most.
local MENU_ROWS = 8

local STYLES = { keyword = "magenta", string = "green", number = "yellow", comment = "dim" }

--- Cells of an entry that is painted; a longer one is plain.
local PAINTED = 4000

--- The style of each cell, nil where it has none.
local function styles_of(editor)
  local out = {}
  if #editor.cells > PAINTED then return out end
  local list, i, at = editor.highlight(editor:text()), 1, 1
  for n, cell in ipairs(editor.cells) do
    while list[i] and list[i].stop < at do i = i + 1 end
    if list[i] and list[i].start <= at then out[n] = STYLES[list[i].kind] end
    at = at + #cell
  end
  return out
end

--- Cells of one row as text, painted in runs.
local function row_text(prompt, row, paint)
  local out, n = { prompt }, 1
  while row[n] do
    local style, run = row[n].style, {}
    repeat
      run[#run + 1] = row[n].text
      n = n + 1
    until not row[n] or row[n].style ~= style or row[n - 1].goes_on
    local text = table.concat(run)
    out[#out + 1] = style and paint(style, text) or text
    if row[n - 1].goes_on then out[#out + 1] = ("\r\27[%dC"):format(row[n - 1].goes_on) end
  end
  return table.concat(out)
end

--- The entry in rows that are narrower than the terminal, and where the cursor is.
local function layout(editor, columns, prompt, more, paint)
  local room = columns - 1
  local styles = paint and editor.highlight and styles_of(editor) or {}
  local lines, start, parts, width = {}, prompt, {}, term.width(prompt)
  local row, column
  local function next_row(first)
    lines[#lines + 1] = row_text(start, parts, paint)
    start, parts, width = first, {}, term.width(first)
  end
  for i, cell in ipairs(editor.cells) do
    local takes = cell == "\n" and 0 or editor.secret and 1 or cells.width(cell)
    local reach = not editor.secret and cells.reach(cell) or nil -- terminals differ about it: it is told where the row goes on
    if width + math.max(takes, reach or 0) > room and (width > 0 or takes > room) then next_row "" end
    if editor.at == i - 1 then row, column = #lines + 1, width end
    if cell == "\n" then
      next_row(more)
    else
      width = width + takes
      parts[#parts + 1] = { text = editor.secret and "*" or cells.shown(cell), style = styles[i], goes_on = reach and width }
    end
  end
  local last = width
  next_row ""
  return lines, row or #lines, column or last
end

--- Completions in columns.
local function menu(list, columns, rows)
  local shown, widest = {}, 0
  for i, word in ipairs(list) do
    shown[i] = term.clean(word:match "[^/]+/?$" or word):gsub("\n", " ")
    widest = math.max(widest, term.width(shown[i]))
  end
  widest = math.min(widest, columns - 3)
  local across = math.max(1, (columns - 1) // (widest + 2))
  local down = math.min((#shown + across - 1) // across, rows)
  local lines = {}
  for r = 1, down do
    local parts = {}
    for c = 1, across do
      local word = shown[(c - 1) * down + r]
      if word then parts[c] = term.fit(word, widest) end
    end
    lines[r] = table.concat(parts, "  ")
  end
  if #shown > across * down then
    local more = ("... %d more"):format(#shown - across * (down - 1))
    lines[down] = #more < columns and more or "..."
  end
  return lines
end

--- The rows round the cursor that fit; `top` of the last time is kept where it can be.
local function window(editor, lines, row, height)
  if #lines <= height then
    editor.top = 1
    return lines, row
  end
  local top = math.max(1, math.min(editor.top, #lines - height + 1))
  if row < top then top = row elseif row >= top + height then top = row - height + 1 end
  editor.top = top
  return table.move(lines, top, top + height - 1, 1, {}), row - top + 1
end

--- The frame to draw.
---@param editor table
---@param columns integer
---@param rows integer of the terminal
---@param paint? fun(style: string, text: string): string
---@return stoke.term.frame
function M.frame(editor, columns, rows, paint)
  columns, rows = math.max(columns, 4), math.max(rows - 1, 1) -- one is left to what others write
  local prompt, more = editor.prompt, editor.more
  local search = editor.search
  if search then
    local text = ("search%s `%s': "):format(search.failed and " (nothing)" or "", search.query:gsub("%c", " "))
    prompt, more = paint and paint("dim", text) or text, ""
  end
  if term.width(prompt) > columns - 8 then -- styles go with what is cut
    prompt = columns > 20 and term.fit(prompt:gsub("\27%[[%d;]*m", ""), columns - 9) .. " " or "> "
  end
  local lines, row, column = layout(editor, columns, prompt, more, paint)
  lines, row = window(editor, lines, row, rows)
  if editor.menu then
    local room = math.min(MENU_ROWS, rows - #lines)
    if room > 0 then
      local list = menu(editor.menu, columns, room)
      lines = table.move(lines, 1, #lines, 1, {})
      for _, line in ipairs(list) do lines[#lines + 1] = paint and paint("dim", line) or line end
    end
  end
  return { lines = lines, row = row, column = column }
end

--- The whole entry, higher than the terminal too: how it stays on it once it is done.
---@param editor table
---@param columns integer
---@param paint? fun(style: string, text: string): string
---@return stoke.term.frame
function M.whole(editor, columns, paint)
  editor.menu, editor.search, editor.at = nil, nil, #editor.cells
  local lines, row, column = layout(editor, math.max(columns, 4), editor.prompt, editor.more, paint)
  return { lines = lines, row = row, column = column }
end

return M
