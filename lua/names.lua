--- Did-you-mean for wrong names: members of stoke's modules and methods of objects. Correct names cost nothing: a module checks
--- only names it does not have, and an object only after a call of nil has failed.

local errors = require "core.errors"
local raw_pcall = require "core.coro".raw_pcall
local source = require "core.source"

local M = {}

local function plain(word) return (word:lower():gsub("_", "")) end

--- The nearest of some names: equal except for case and underscores, a typo, or one that contains the other.
---@param word string
---@param names string[] sorted
---@return string|nil
function M.nearest(word, names)
  local flat = plain(word)
  for _, name in ipairs(names) do
    if plain(name) == flat then return name end
  end
  local near = errors.suggest(word, names)
  if near then return near end
  local best
  for _, name in ipairs(names) do
    local other = plain(name)
    local part = #other >= 3 and flat:find(other, 1, true) or #flat >= 3 and other:find(flat, 1, true)
    if part and (not best or #name > #best) then best = name end
  end
  return best
end

local function sorted_names(...)
  local names, seen = {}, {}
  for i = 1, select("#", ...) do
    for key, value in next, (select(i, ...)) or {} do
      if type(key) == "string" and key:find "^%l" and not seen[key] and (i > 1 or type(value) ~= "nil") then
        seen[key] = true
        names[#names + 1] = key
      end
    end
  end
  table.sort(names)
  return names
end

--- "stoke.fs has no readfile; did you mean read?"
---@param owner string module or class
---@param key string
---@param ... table tables whose keys are names
---@return string message
---@return boolean known there is a suggestion
function M.say(owner, key, ...)
  local foreign = require "core.foreign".members[owner] or {} -- loaded late: it is long, and only errors need it
  local here = foreign[key]
  if here and here:find "^%l[%w_]*$" then return ("%s has no %s; did you mean %s?"):format(owner, key, here), true end
  if here then return ("%s has no %s; here it is %s"):format(owner, key, here), true end
  local near = M.nearest(key, sorted_names(...))
  local others = not near and sorted_names(foreign)
  local other = others and errors.suggest(key, others)
  if other then return (M.say(owner, other):gsub("has no " .. other, "has no " .. key)), true end
  if near then return ("%s has no %s; did you mean %s?"):format(owner, key, near), true end
  return ("%s has no %s"):format(owner, key), false
end

--- Suggestion for an undefined global: a module of stoke that was not required, a word of another language, or a typo.
---@param name string
---@param known string[] names of the globals
---@return string|nil
function M.global(name, known)
  local here = require "core.foreign".globals[name]
  if here then return here end
  if name == "stoke" then return ("local stoke = require %q"):format(name) end
  for _, module in ipairs(require "core.about".public()) do
    if module == "stoke." .. name then return ("local %s = require %q"):format(name, module) end
  end
  known[#known + 1] = "stoke"
  local near = errors.suggest(name, known)
  return near and ("did you mean '%s'?"):format(near)
end

--- Suggestion for a line that Lua cannot parse but that looks like another language.
---@param message string of the parser, "file:12: ..."
---@param code string
---@return string|nil
function M.syntax(message, code)
  local wanted, n = tonumber(message:match "^[^\n]-:(%d+): "), 0
  for line in (code .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if n == wanted then
      for _, row in ipairs(require "core.foreign".syntax) do
        if line:find(row[1]) then return row[2] end
      end
    end
  end
end

-- ---- modules ------------------------------------------------------------------------------------------------------------------

local sealed = setmetatable({}, { __mode = "k" })

local function missing(name, module, key)
  if type(key) ~= "string" or key:find "^__" then return nil end
  local message, known = M.say(name, key, module)
  errors.raise("argument", message, { hint = not known and ("stoke help %s lists what it has"):format(name) or nil })
end

--- Make a built-in module raise an error with a suggestion for a missing member, instead of returning nil.
---@param name string "stoke.fs"
---@param module any
---@return any module
function M.seal(name, module)
  if type(module) ~= "table" or sealed[module] then return module end
  sealed[module] = true
  local meta = getmetatable(module) or {}
  local before = rawget(meta, "__index")
  if type(before) == "function" then
    meta.__index = function(t, key)
      local value = before(t, key)
      if value ~= nil then return value end
      return missing(name, t, key)
    end
  else
    meta.__index = function(t, key)
      local value = before and before[key]
      if value ~= nil then return value end
      return missing(name, t, key)
    end
  end
  return setmetatable(module, meta)
end

--- The value of an unknown field of a record: nil, or an error if it is clearly a misspelt name.
---@param owner string class
---@param key any
---@param optional table<string, true> fields that may be missing
---@param ... table tables whose keys are names
---Raises `argument`.
function M.field(owner, key, optional, ...)
  if type(key) ~= "string" or optional[key] or not key:find "^%l" then return nil end
  local message, known = M.say(owner, key, ...)
  if known then errors.argument("%s", message) end
end

-- ---- objects ------------------------------------------------------------------------------------------------------------------

--- The value of a variable visible in a frame.
local function variable(level, name)
  local i, found = 1, nil
  while true do
    local known, value = debug.getlocal(level + 1, i)
    if not known then break end
    if known == name then found = value end -- the last variable of a name hides the earlier ones
    i = i + 1
  end
  if found ~= nil then return found end
  local f = debug.getinfo(level + 1, "f").func
  for n = 1, 255 do
    local known, value = debug.getupvalue(f, n)
    if not known then break end
    if known == name then return value end
    if known == "_ENV" and type(value) == "table" then found = rawget(value, name) end
  end
  return found
end

--- The object whose method is nil: it is still on the stack next to the nil that was called.
local function called_object(level, method)
  local i, found, before = 1, nil, false
  while true do
    local name, value = debug.getlocal(level + 1, i)
    if not name then break end
    if before and (type(value) == "table" or type(value) == "userdata" or type(value) == "string") then found = value end
    before = value == nil
    i = i + 1
  end
  if type(found) == "table" and rawget(found, method) ~= nil then return nil end
  return found
end

local function has_members(value)
  if type(value) == "string" then return "string", string end
  if type(value) ~= "table" and type(value) ~= "userdata" then return nil end
  local meta = debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  local index = type(meta) == "table" and rawget(meta, "__index")
  return type(name) == "string" and name or nil, type(value) == "table" and value or nil,
    type(index) == "table" and index or type(name) == "string" and meta or nil
end

--- The stack level of the function that raised, relative to the caller: the first one at that place.
local function level_of(place)
  for level = 2, 12 do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil end
    if info.what ~= "C" and ("%s:%d: "):format(info.short_src, info.currentline) == place then return level - 1, info end
  end
end

--- The object whose field a source line calls; the line names it.
local function field_owner(level, info, key)
  local n = 0
  for text in (source.text(info.source) or ""):gmatch "([^\n]*)\n?" do
    n = n + 1
    if n == info.currentline then
      local name = text:match(("%%f[%%w_.:]([%%a_][%%w_]*)%%s*%%.%%s*%s%%f[^%%w_]"):format(key))
      return name and variable(level + 1, name), name
    end
  end
end

--- A better message for "attempt to call a nil value (method 'ask')"; nil if there is none.
---@param raised string "file:12: attempt to call a nil value (method 'ask')"
---@return string|nil
local function explain(raised)
  local place, kind, key = raised:match "^(.-:%d+: )attempt to call a nil value %((%l+) '([%w_]+)'%)$"
  if kind ~= "method" and kind ~= "field" then return nil end
  local level, info = level_of(place)
  if not level then return nil end
  local object, name
  if kind == "method" then object = called_object(level, key) else object, name = field_owner(level, info, key) end
  local owner, own, class = has_members(object)
  if not owner and not own then return nil end
  local message, known = M.say(owner or name or "the table", key, own, class)
  if not owner and not known then return nil end
  return place .. message
end

--- The runtime's frames from the one that raised at this place to the one that the script called: their levels, and whether the
--- caller of the last is known to be a line of a script.
local function entrance(place)
  local first = level_of(place)
  if not first then return nil end
  local level = first + 1
  local info = debug.getinfo(level, "S")
  while info and info.short_src:sub(1, 6) == "stoke:" do
    if level > first + 50 then return nil end -- each level is looked up from the top of the stack
    level = level + 1
    info = debug.getinfo(level, "S")
  end
  return first - 1, level - 2, info ~= nil and info.source:sub(1, 1) == "@" -- for the caller
end

local function is_object(value) return type(value) == "userdata" or type(value) == "table" and debug.getmetatable(value) ~= nil end

local function has_method(value, f)
  local class = debug.getmetatable(value)
  local index = class and rawget(class, "__index")
  for _, members in ipairs { class or {}, type(index) == "table" and index or {} } do
    for _, member in next, members do
      if member == f then return true end
    end
  end
  return false
end

--- Was the method at a level called on an object of another class? Internal functions do that on purpose, so it is an error only
--- for the method that the script called.
local function wrong_self(level, outermost)
  local info = debug.getinfo(level + 1, "nfu")
  local name, own = debug.getlocal(level + 1, 1)
  if name ~= "self" or info.nparams == 0 or info.namewhat == "method" then return nil end
  if is_object(own) and (not outermost or has_method(own, info.func)) then return nil end
  return errors.new("argument", ("%s: called on %s; write a colon, not a dot"):format((info.name or "a method") .. "()",
    errors.describe(own)))
end

local function misused(raised)
  local place, words = raised:match "^(stoke:.-:%d+: )(.*)$"
  local first, last, by_script = entrance(place or "")
  for level = first or 1, last or 0 do
    local err = wrong_self(level, level == last)
    if err then return err end
  end
  local wrong = by_script and words:match "^attempt to .*%(local '([%w_]+)'%)$"
  if not wrong or wrong == "self" then return nil end
  local info = debug.getinfo(last, "nu")
  for i = 1, info.nparams do
    local parameter, value = debug.getlocal(last, i)
    if parameter == wrong then
      return errors.new("argument", ("%s(): %s cannot be %s"):format(info.name or "the function", wrong, errors.describe(value)))
    end
  end
end

--- Translate an error that Lua raised inside the runtime because a script called it wrongly into a description of the wrong call;
--- other errors are returned unchanged.
---@param raised string "stoke:stdlib/http/reply.lua:12: attempt to ..."
---@return string|stoke.error
function M.misuse(raised)
  local ok, err = raw_pcall(misused, raised)
  return ok and err or raised
end

--- Improve an error message if possible. Called by the message handler, while the stack still exists. Never raises.
---@param raised string
---@return string raised
function M.better(raised)
  local ok, message = raw_pcall(explain, raised)
  return ok and message or raised
end

return M
