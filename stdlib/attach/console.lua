--- A line from an attached client: a colon command, a look-up by dotted name, or, for those who may write, Lua.

local commands = require "stoke.console.commands"
local errors = require "core.errors"
local printer = require "stoke.repl.print"
local globals = require "core.env".globals
local json = require "core.json"

local M = {}

--- Of what is shown, for a client that does not say how wide its terminal is; names of a table that are looked at; words sent.
local COLUMNS, LOOKED_AT, COMPLETIONS = 100, 10000, 500

-- ---- look-ups -------------------------------------------------------------------------------------------------------------------

--- The value of a dotted name, by raw access alone: nothing is called, no metamethod runs.
---@param text string
---@return any
---Raises `argument`.
---
--- Example: `console.lookup "stoke.version"`
function M.lookup(text)
  local name, at = text:match "^%s*([%a_][%w_]*)()"
  if not name then
    errors.raise("denied", "only names can be looked up here: a.b[1].c", { hint = ":help, or stoke attach --write to run Lua" })
  end
  local value = rawget(globals, name)
  if value == nil then value = rawget(globals.package.loaded, name) end
  if value == nil and package.loaded["stoke." .. name] then value = package.loaded["stoke." .. name] end
  if value == nil and name == "stoke" then value = package.loaded.stoke end
  local path = name
  while text:find("%S", at) do
    local key, stop = text:match("^%s*%.%s*([%a_][%w_]*)()", at)
    if not key then
      local inner
      inner, stop = text:match("^%s*%[%s*(%-?%d+)%s*%]()", at)
      key = inner and math.tointeger(tonumber(inner))
      if not inner then key, stop = text:match("^%s*%[%s*[\"']([^\"']*)[\"']%s*%]()", at) end
    end
    if not stop then
      errors.raise("denied", ("only names can be looked up here, not %q"):format(text:sub(at)),
        { hint = "stoke attach --write runs Lua" })
    end
    if type(value) ~= "table" then
      errors.argument("%s is %s: it has no fields", path, value == nil and "nil" or "a " .. type(value))
    end
    value, at = rawget(value, key), stop
    path = ("%s[%s]"):format(path, tostring(key))
  end
  return value
end

-- ---- completion -------------------------------------------------------------------------------------------------------------

--- Names in a table, by raw access alone, as lookup finds them.
local function names_in(out, value, start)
  if type(value) ~= "table" then return end
  local looked_at = 0
  for name in next, value do
    looked_at = looked_at + 1
    if looked_at > LOOKED_AT then return end
    if type(name) == "string" and name:find "^[%a_][%w_]*$" and name:sub(1, #start) == start then out[name] = true end
  end
end

--- Of a dotted name, for who may only look.
local function complete_name(before)
  local path, start = before:match "^%s*(.-)%.?([%a_]?[%w_]*)$"
  local found, list = {}, {}
  if path == "" then
    names_in(found, globals, start)
    names_in(found, globals.package.loaded, start)
  else
    local ok, value = pcall(M.lookup, path)
    if not ok then return nil end
    names_in(found, value, start)
  end
  for name in next, found do list[#list + 1] = name end
  table.sort(list)
  return #before - #start + 1, list
end

--- What Tab may make of the word before the cursor.
---@param before string
---@param write? boolean whether Lua may be entered
---@param client? string
---@return integer|nil from byte where the word begins
---@return string[]|nil list
---
--- Example: `console.complete(":pen")`
function M.complete(before, write, client)
  local start = before:match "^%s*:(%l*)$"
  if start then
    local list = {}
    for name, command in next, commands.commands do
      if name:sub(1, #start) == start and (write or not command.write) then list[#list + 1] = name end
    end
    table.sort(list)
    return #before - #start + 1, list
  end
  if before:find "^%s*:" and not before:find "^%s*:time%s" and not before:find "^%s*::" then return nil end
  if write then return require "stoke.attach.eval".complete(before, client or "") end
  return complete_name(before)
end

-- ---- a line -----------------------------------------------------------------------------------------------------------------

--- Execute a line and write its result or error.
---@param asked { line: string, write?: boolean, client?: string, columns?: integer, complete?: boolean } complete: the line is what
---  stands before the cursor; the answer is JSON, { from, list }
---@param write fun(text: string)
---
--- Example: `console.run({ line = ":tasks" }, io.write)`
function M.run(asked, write)
  if asked.complete then
    local _, from, list = pcall(M.complete, asked.line, asked.write, asked.client)
    local known = math.type(from) == "integer" and type(list) == "table"
    local answer = known and { from = from, list = require("stoke.json").array(table.move(list, 1, COMPLETIONS, 1, {})) } or {}
    return write(json.encode(answer) .. "\n")
  end
  local text = asked.line:match "^%s*(.-)%s*$"
  if text == "" then return end
  local columns = math.tointeger(asked.columns)
  columns = columns and math.max(20, math.min(columns, 1000)) or COLUMNS
  local function run(code) require "stoke.attach.eval".run(code, asked.client or "", write, columns) end
  local ok, err = pcall(function()
    if text:find "^:" and not text:find "^::" then
      write(commands.run(text, asked.write, run, columns))
    elseif asked.write then
      run(text)
    else
      write(printer.show(M.lookup(text), { columns = columns, depth = 3, items = 20, raw = true }) .. "\n")
    end
  end)
  if ok then return end
  if errors.is(err) and err.kind == "cancelled" then error(err, 0) end
  write(tostring(errors.wrap(err)) .. "\n")
end

return M
