--- Runs untrusted Lua code. fence/luabox.c loads this file into a separate state of a separate process that can only compute; no
--- module requires it. It takes the functions it needs into locals at the start, since the code may change every table.

local code, write = ...
local error_of_memory = "not enough memory" -- Lua's message
local TOO_DEEP = "syntax error: the code is nested too deeply (stack overflow: about 200 levels are the most)"

local concat, pack, sort = table.concat, table.pack, table.sort
local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match, string.sub
local huge, math_type = math.huge, math.type
local load, next, pcall, rawget, rawlen, select, tostring, type =
  load, next, pcall, rawget, rawlen, select, tostring, type

local DEPTH, SIZE, VALUES = 8, 64 << 10, 100 -- limits of the output

-- ---- showing values -----------------------------------------------------------------------------------------------------

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until
  while]]):gmatch "%a+" do KEYWORDS[word] = true end

local ORDER = { number = 1, string = 2, boolean = 3 }

--- Sort numbers first, then strings by their bytes, then the rest; the order within the rest carries no meaning.
local function before(a, b)
  local x, y = ORDER[type(a)] or 4, ORDER[type(b)] or 4
  if x ~= y then return x < y end
  if x <= 2 then return a < b end
  return tostring(a) < tostring(b)
end

local function number(value)
  if math_type(value) == "integer" then return format("%d", value) end
  if value ~= value then return "nan" end
  if value == huge then return "math.huge" end
  if value == -huge then return "-math.huge" end
  return tostring(value)
end

local function quoted(text) return (gsub(format("%q", text), "\\\n", "\\n")) end

local show

local function put(out, text)
  out.size = out.size + #text
  out[#out + 1] = text
end

local function show_key(out, key)
  if type(key) == "string" and match(key, "^[%a_][%w_]*$") and not KEYWORDS[key] then
    put(out, key .. " = ")
  else
    put(out, "[")
    if type(key) == "table" then put(out, "{...}") else show(out, key, 0) end
    put(out, "] = ")
  end
end

local function show_table(out, value, depth)
  if out.open[value] or depth >= DEPTH then
    put(out, next(value) == nil and "{}" or "{...}")
    return
  end
  out.open[value] = true
  local first, length, keys = true, rawlen(value), {}
  local function separate()
    put(out, first and "{ " or ", ")
    first = false
  end
  for key in next, value do
    if not (math_type(key) == "integer" and key >= 1 and key <= length) then keys[#keys + 1] = key end
  end
  for i = 1, length do
    if out.size > SIZE then break end
    separate()
    show(out, rawget(value, i), depth + 1)
  end
  sort(keys, before)
  for i = 1, #keys do
    if out.size > SIZE then break end
    separate()
    show_key(out, keys[i])
    show(out, rawget(value, keys[i]), depth + 1)
  end
  put(out, first and "{}" or " }")
  out.open[value] = nil
end

function show(out, value, depth)
  local kind = type(value)
  if kind == "table" then
    show_table(out, value, depth)
  elseif kind == "string" then
    put(out, quoted(#value > SIZE and sub(value, 1, SIZE) or value))
  elseif kind == "number" then
    put(out, number(value))
  elseif kind == "nil" or kind == "boolean" then
    put(out, tostring(value))
  else
    put(out, "<" .. kind .. ">")
  end
end

local CUT = " ... (cut)"

--- A single string is shown as it is, everything else in Lua syntax.
local function shown(values, from)
  local only = values.n == from and values[from]
  if type(only) == "string" then return #only > SIZE and sub(only, 1, SIZE) .. CUT or only end
  local out = { size = 0, open = {} }
  for i = from, values.n do
    if i - from >= VALUES or out.size > SIZE then break end
    if i > from then put(out, ", ") end
    show(out, values[i], 0)
  end
  local text = concat(out)
  if out.size > SIZE or values.n - from >= VALUES then text = sub(text, 1, SIZE) .. CUT end
  return text
end

-- ---- what the code may use ----------------------------------------------------------------------------------------------

local GONE = {}
for name in ("load loadstring loadfile dofile require collectgarbage warn os io debug package"):gmatch "%a+" do
  GONE[name] = true
end

local function take_away(globals)
  for name in next, GONE do globals[name] = nil end
  globals.string.dump = nil
  function globals.print(...)
    for i = 1, select("#", ...) do
      if i > 1 then write "\t" end
      write(tostring((select(i, ...))))
    end
    write "\n"
  end
end

-- ---- running it -------------------------------------------------------------------------------------------------------

--- An error as one line with its place.
local function explained(raised)
  if raised == error_of_memory then return raised end
  if type(raised) ~= "string" then return "error: " .. shown({ n = 1, raised }, 1) end
  local line, rest = match(raised, "^code:(%d+): (.*)$")
  local deeper, deepest = line, rest
  while deeper do -- each coroutine.wrap prepends its own place
    line, rest = deeper, deepest
    deeper, deepest = match(rest, "^code:(%d+): (.*)$")
  end
  local text = line and "line " .. line .. ": " .. rest or raised
  local name = match(text, "%(global '([%w_]+)'%)")
  if match(text, "%(field 'dump'%)") or match(text, "%(method 'dump'%)") then name = "load" end
  if name and GONE[name] then
    text = text .. ". Not available here: there are string, table, math, utf8, coroutine and print, no files and no modules"
  end
  return sub(text, 1, SIZE)
end

--- Under a pcall of its own: the outer message handler would add a traceback of the runtime's stack.
local function try_load(text)
  local ok, f, wrong = pcall(load, text, "=code", "t")
  if ok then return f, wrong end
  return nil, f
end

--- Compile as an expression, otherwise as a chunk.
local function compile()
  local f, wrong = try_load("return " .. code)
  if f then return f end
  local g, reason = try_load(code)
  if g then return g end
  -- for "1 +* 2" the error of the expression is the useful one
  local near = match(reason, "unexpected symbol near '(.-)'$")
  local _, at = find(code, "^%s*")
  if near and near ~= "" and sub(code, at + 1, at + #near) == near then reason = wrong end
  return nil, find(reason, "stack overflow", 1, true) and TOO_DEEP or reason
end

if sub(code, 1, 1) == "\27" then return false, "syntax error: this is bytecode; send the text of the program" end
local f, reason = compile()
if not f then
  if reason == error_of_memory or reason == TOO_DEEP then return false, reason end
  return false, "syntax error in " .. explained(reason)
end
take_away(_G)
local results = pack(pcall(f))
if results[1] then return true, results.n > 1 and shown(results, 2) or "" end
return false, explained(results[2])
