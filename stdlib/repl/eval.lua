--- Entries of a session as functions. Top-level locals persist: each entry is compiled inside a function that declares the names
--- it uses, and its upvalues are then joined to the very variables the earlier entries made, so that closures share them and
--- <const> stays const. The entry itself hands its new locals over right after each declaration, so that what an entry declared
--- before it failed is there.

local env = require "core.env"
local errors = require "core.errors"
local locals = require "stoke.repl.locals"
local source = require "core.source"
local tokens = require "stoke.repl.tokens"

local M = {}

local KEEP = "__keep_locals"

--- Not as a tail call: the entry has to be seen in tracebacks, and as the place where tasks were spawned.
local EXPRESSION = "local __frame <close> = nil return "

local Session = {}
Session.__index = Session

--- Globals of the prompt: those of scripts, and new names may be assigned, also by functions.
local function environment(names)
  return setmetatable(names, { __index = env.globals, __newindex = function(_, name, value) rawset(env.globals, name, value) end })
end

--- @param names? table<string, any> names that the prompt has beside the globals
function M.new(names) return setmetatable({ cells = {}, env = environment(names or {}) }, Session) end

-- ---- variables --------------------------------------------------------------------------------------------------------

--- A variable without an owner.
local function new_cell(value)
  local variable = value
  return { f = function() return variable end, index = 1 }
end

--- A variable of the session; nil when it has none of that name.
---@param name string
---@return any value
---@return boolean exists
function Session:get(name)
  local cell = self.cells[name]
  if not cell then return nil, false end
  return select(2, debug.getupvalue(cell.f, cell.index)), true
end

---@param name string
---@param value any
function Session:set(name, value)
  local cell = self.cells[name]
  if cell then debug.setupvalue(cell.f, cell.index, value) else self.cells[name] = new_cell(value) end
end

--- What a name at the prompt stands for, without asking any metamethod.
---@param name string
function Session:lookup(name)
  local value, exists = self:get(name)
  if exists then return value end
  value = rawget(self.env, name)
  if value == nil then value = rawget(env.globals, name) end
  return value
end

--- Every name at the prompt.
---@return string[] sorted
function Session:names()
  local set, out = {}, {}
  for _, names in ipairs { self.cells, self.env, env.globals } do
    for name in next, names do
      if type(name) == "string" and not set[name] then
        set[name] = true
        out[#out + 1] = name
      end
    end
  end
  table.sort(out)
  return out
end

--- f is a closure over new variables; remember them.
local function keep(self, names, const, f)
  local found = {}
  for index = 1, math.huge do
    local name = debug.getupvalue(f, index)
    if not name then break end
    found[name] = index
  end
  local values = table.pack(f())
  for i, name in ipairs(names) do -- a constant of the compiler has no variable
    local cell = found[name] and { f = f, index = found[name] } or new_cell(values[i])
    cell.const = const[name]
    self.cells[name] = cell
  end
end

-- ---- compiling --------------------------------------------------------------------------------------------------------

--- The text with a hand-over behind each declaration; on the same line, so that places in errors stay true.
local function instrument(text, declarations)
  local parts, at = {}, 1
  for i, d in ipairs(declarations) do
    if d.names[1] then
      parts[#parts + 1] = text:sub(at, d.stop)
      parts[#parts + 1] = (";%s(%d,function()return %s end);"):format(KEEP, i, table.concat(d.names, ","))
      at = d.stop + 1
    end
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

--- The session's variables that the text may mean, declared.
local function prologue(self, text)
  local names, declared = {}, { KEEP }
  for _, t in ipairs(tokens.list(text)) do
    if t.kind == "name" and self.cells[t.text] and not names[t.text] then
      names[t.text] = true
      declared[#declared + 1] = t.text .. (self.cells[t.text].const and "<const>" or "")
    end
  end
  return ("local %s = ...;return function(...) "):format(table.concat(declared, ","))
end

local function join(self, f, keeper)
  for index = 1, math.huge do
    local name = debug.getupvalue(f, index)
    if not name then return end
    local cell = self.cells[name]
    if name == KEEP then
      debug.upvaluejoin(f, index, keeper, 1)
    elseif cell and name ~= "_ENV" then
      debug.upvaluejoin(f, index, cell.f, cell.index)
    end
  end
end

--- "in[1]:3: message" without what only our own text around the entry made possible.
local function syntax_error(message) return errors.new("script", message) end

--- Whether more text could mend it. A string in quotes ends with its line, unless that ends in a backslash.
local function incomplete(text, message)
  if not message:find "near '?<eof>'?$" then return false end
  return not message:find "unfinished string near" or text:sub(-1) == "\\"
end

--- What an entry is: an expression, a chunk, the begin of one, or neither.
---@param text string
---@param name? string of the chunk
---@return "expression"|"chunk"|"incomplete"|"error" what
---@return string|nil message
function M.kind(text, name)
  name = name or "=entry"
  local f, first = load("return " .. text, name, "t", {})
  if f and text:find "%S" then return "expression" end
  local chunk, second = load(text, name, "t", {})
  if chunk then return "chunk" end
  if incomplete(text, second) or incomplete(text, first or "") then return "incomplete", second end
  return "error", second
end

--- Whether Enter ends an entry.
---@param text string
---@return boolean
function M.finished(text)
  if not text:find "%S" or text:find "^%s*[:?]" then return true end
  return M.kind((text:gsub("^%s*=%s*", "", 1))) ~= "incomplete"
end

--- An entry as a function; its results are the entry's.
---@param text string
---@param name string what errors call it
---@return function|nil f
---@return stoke.error|nil err
---@return boolean|nil expression
function Session:compile(text, name)
  text = text:gsub("^%s*=%s*", "", 1)
  local chunkname = "=" .. name
  local what, message = M.kind(text, chunkname)
  if what == "incomplete" or what == "error" then return nil, syntax_error(message) end
  local declarations = what == "chunk" and locals.find(text) or {}
  local body = what == "expression" and EXPRESSION .. text or instrument(text, declarations)
  local made, problem = load(prologue(self, text) .. body .. "\nend", chunkname, "t", self.env)
  if not made then return nil, syntax_error(problem) end
  source.remember(chunkname, text)
  local function hand_over(i, f) return keep(self, declarations[i].names, declarations[i].const, f) end
  local f = made()
  join(self, f, function() return hand_over end)
  return f, nil, what == "expression"
end

return M
