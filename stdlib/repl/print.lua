--- Values as all prompts and stoke.pp show them: strings quoted, keys sorted, functions with their place, no deeper and no wider
--- than is readable. Calls no metamethod except __tostring, and with `raw` not even that.

local errors = require "core.errors"
local stdio = require "core.stdio"
local tasks = require "core.task"
local texts = require "core.text"
local term = require "stoke.term"

local M = {}

local KEYWORDS = require "stoke.repl.tokens".keywords

---@class stoke.repl.print.options
---@field columns? integer of a line (80)
---@field depth? integer of tables within tables (5)
---@field items? integer of one table (100)
---@field bytes? integer of a string inside a table (200); one that stands alone may be ten times as long
---@field paint? fun(style: string, text: string): string
---@field raw? boolean call nothing at all: for who may look and not run anything

local DEFAULTS = { columns = 80, depth = 5, items = 100, bytes = 200 }

--- Keys of a table that are looked at: it may have millions, and who else is at work stands still meanwhile.
local LOOKED_AT = 10000

--- Bytes of a result, roughly: wide tables within wide tables are soon more than anybody reads.
local ALL = 200000

local ESCAPES = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\27"] = "\\27", ["\\"] = "\\\\", ["\""] = "\\\"",
  ["\0"] = "\\0", ["\a"] = "\\a", ["\b"] = "\\b" }

--- A string as Lua would read it; characters that can be seen stay.
local function quoted(text)
  if not utf8.len(text) then
    text = text:gsub("[%c\"\\]", ESCAPES):gsub("[\127-\255]", function(c) return ("\\x%02X"):format(c:byte()) end)
    return "\"" .. text .. "\""
  end
  text = text:gsub("[%c\"\\]", function(c) return ESCAPES[c] or ("\\%d"):format(c:byte()) end)
  return "\"" .. text:gsub("\u{200B}", "\\u{200B}"):gsub("\xC2[\x80-\x9F]", function(c)
    return ("\\u{%X}"):format(utf8.codepoint(c))
  end) .. "\""
end

local function show_string(state, text, alone)
  local shown = texts.head(text, alone and state.bytes * 10 or state.bytes)
  local left = #text - #shown
  local body
  if alone and shown:find "\n" and not shown:find "[%z\1-\8\11-\31\127]" and not shown:find("]]", 1, true) and utf8.len(shown) then
    body = "[[\n" .. shown .. "]]"
  else
    body = quoted(shown)
  end
  if left > 0 then body = body .. (" ... %d bytes more"):format(left) end
  return state.paint("green", body)
end

local function show_function(state, f)
  local info = debug.getinfo(f, "Su")
  if info.what == "C" then return state.paint("cyan", "<function: built in>") end
  local names = {}
  for i = 1, info.nparams do names[i] = debug.getlocal(f, i) end
  if info.isvararg then names[#names + 1] = "..." end
  return state.paint("cyan", ("<function(%s) %s:%d>"):format(table.concat(names, ", "), info.short_src, info.linedefined))
end

--- What a value says of itself. A record with a text of its own, that has no methods, is shown by its fields.
local function own_words(state, value, mt)
  local f = rawget(mt, "__tostring")
  if not f or state.raw then return nil end
  if type(value) == "table" and rawget(mt, "__index") == nil and next(value) ~= nil then return nil end
  local ok, text = pcall(f, value)
  return ok and type(text) == "string" and text or nil
end

local function show_object(state, value, mt)
  local name = rawget(mt, "__name")
  local words = own_words(state, value, mt)
  if words then return state.paint("cyan", "<" .. term.clean(words):gsub("\n.*", " ...") .. ">") end
  local opaque = type(value) ~= "table" or rawget(mt, "__index") ~= nil
  if not opaque or type(name) ~= "string" or state.raw and type(value) == "table" then return nil end
  return state.paint("cyan", "<" .. term.clean(name:sub(1, 100)):gsub("%s", " ") .. ">")
end

local function raw_name(value, mt)
  local name = type(mt) == "table" and rawget(mt, "__name")
  return ("%s: %p"):format(type(name) == "string" and term.clean(name:sub(1, 100)):gsub("%s", " ") or type(value), value)
end

local function scalar(state, value, alone)
  local kind = type(value)
  if kind == "string" then return show_string(state, value, alone) end
  if kind == "function" then return show_function(state, value) end
  if kind == "number" or kind == "boolean" or kind == "nil" then
    return state.paint(kind == "number" and "yellow" or "magenta", tostring(value))
  end
  local mt = debug.getmetatable(value)
  local shown = type(mt) == "table" and show_object(state, value, mt)
  if shown then return shown end
  if kind == "thread" then return state.paint("cyan", "<coroutine: " .. coroutine.status(value) .. ">") end
  return state.paint("cyan", ("<%s: %p>"):format(kind, value))
end

local RANK = { number = 1, string = 2, boolean = 3 }

--- A key as text; of a table without asking it.
local function bare(key) return type(key) == "boolean" and tostring(key) or ("%p"):format(key) end

local function before(a, b)
  local ra, rb = RANK[type(a)] or 4, RANK[type(b)] or 4
  if ra ~= rb then return ra < rb end
  if ra <= 2 then return a < b end
  return bare(a) < bare(b)
end

--- Keys beyond the list part, in order; whether there are more than were looked at.
local function other_keys(value, count)
  local keys, seen = {}, 0
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= count) then keys[#keys + 1] = key end
    seen = seen + 1
    if seen >= LOOKED_AT + count then break end
  end
  table.sort(keys, before)
  return keys, seen >= LOOKED_AT + count
end

local show

local function key_text(state, key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" and not KEYWORDS[key] then return key end
  return "[" .. (type(key) == "table" and "<table>" or scalar(state, key)) .. "]"
end

local function width_of(text) return text:find "\n" and math.huge or term.width(text) end

--- The items of a table as texts, and whether all of them are short and nameless.
local function items_of(state, value, depth, room)
  local items, count, list = {}, 0, true
  while count < LOOKED_AT and rawget(value, count + 1) ~= nil do count = count + 1 end
  local keys, more = other_keys(value, count)
  local total = count + #keys
  for i = 1, math.min(total, state.items) do
    if state.left <= 0 or state.size > ALL then break end
    if i <= count then
      items[i] = show(state, rawget(value, i), depth + 1, room)
    else
      local key = keys[i - count]
      local name = key_text(state, key) .. " = "
      items[i], list = name .. show(state, rawget(value, key), depth + 1, room - term.width(name)), false
    end
  end
  if #items < total or more then
    items[#items + 1] = state.paint("dim", ("... %s%d more"):format(more and "over " or "", total - #items))
  end
  return items, list
end

--- A list of short things: as many in a row as fit.
local function fill(items, indent, room)
  local lines, line, width = {}, nil, 0
  for i, item in ipairs(items) do
    local text = item .. (i < #items and "," or "")
    local takes = term.width(text)
    if line and width + 1 + takes <= room then
      line, width = line .. " " .. text, width + 1 + takes
    else
      if line then lines[#lines + 1] = line end
      line, width = text, takes
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. indent)
end

local function show_table(state, value, depth, room)
  if next(value) == nil then return "{}" end
  if state.inside[value] then return state.paint("dim", ("<the table %d up>"):format(depth - state.inside[value])) end
  if depth > state.depth then return state.paint("dim", "{...}") end
  state.inside[value] = depth
  local items, list = items_of(state, value, depth, room - 2)
  state.inside[value] = nil
  local total, short = 4, list
  for _, item in ipairs(items) do
    local width = width_of(item)
    total = total + width + 2
    if width > 24 then short = false end
  end
  if total - 2 <= room then return "{ " .. table.concat(items, ", ") .. " }" end
  local indent = ("  "):rep(depth)
  local body = short and fill(items, indent, room - 2) or table.concat(items, ",\n" .. indent)
  return "{\n" .. indent .. body .. "\n" .. indent:sub(3) .. "}"
end

function show(state, value, depth, room)
  state.left = state.left - 1
  if type(value) ~= "table" then
    local text = scalar(state, value)
    state.size = state.size + #text
    return text
  end
  local mt = debug.getmetatable(value)
  local shown = type(mt) == "table" and show_object(state, value, mt)
  if shown then return shown end
  local name = state.raw and mt ~= nil and raw_name(value, mt) .. " " or "" -- it may look different to its own functions
  return name .. show_table(state, value, depth, room - #name)
end

--- A value, as several lines where it is wide.
---@param value any
---@param options? stoke.repl.print.options
---@return string
---
--- Example: `print.show({ 1, 2, name = "x" })` is `{ 1, 2, name = "x" }`
function M.show(value, options)
  local limits = setmetatable(options or {}, { __index = DEFAULTS })
  local state = setmetatable({ inside = {}, left = 5000, size = 0 }, { __index = limits })
  state.paint = state.paint or function(_, text) return text end
  if type(value) == "string" then return show_string(state, value, true) end
  if errors.is(value) and not state.raw then return state.paint("red", tostring(value)) end
  return show(state, value, 1, state.columns - 1)
end

--- Who reads what the running task prints, where that is not our own standard output but an attached prompt.
---@return { write: fun(text: string), columns: integer, paint?: function }|nil
function M.reader()
  local task = tasks.current()
  while task do
    if task.reader then return task.reader end
    local up = task.up
    task = up and (up.task or up)
  end
  return nil
end

--- Print values, each from a line of its own.
---@param ... any
function M.print(...)
  local other = M.reader()
  local colour = not other and term.colour(1)
  local paint = colour and function(style, text) return term.paint(style, text, true) end or nil
  local options = other or { columns = term.columns(), paint = paint }
  local write = other and other.write or stdio.write
  for i = 1, select("#", ...) do
    write(M.show((select(i, ...)), { columns = options.columns, paint = options.paint }) .. "\n")
  end
end

return M
