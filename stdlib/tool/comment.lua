--- Derives a tool's definition from a function's documentation comment:
---
---     --- Current weather in a city.
---     ---@param city string city name
---     ---@param unit? "celsius"|"fahrenheit"
---     local function get_weather(city, unit) ... end

local errors = require "core.errors"
local source = require "core.source"
local comments = require "stoke.doc.comment"
local schema = require "stoke.schema"

local M = {}

local TYPES = { string = "string", integer = "integer", number = "number", boolean = "boolean", table = "object", any = "any",
  object = "object" }

--- The comment lines right above a line, first one first, without their dashes.
local function lines_above(text, line)
  local lines = comments.lines(text)
  local comment, at, documented = {}, line - 1, false
  while at > 0 do
    local third, content = lines[at]:match "^%s*%-%-(%-?)%s?(.-)%s*$"
    if not third or (documented and third == "") then break end -- above documentation a plain comment is about something else
    documented = documented or third == "-"
    table.insert(comment, 1, content)
    at = at - 1
  end
  return comment, lines[line] or ""
end

local function name_of(line)
  return line:match "function%s+([%w_.:]+)%s*%(" or line:match "([%w_.]+)%s*=%s*function%s*%("
end

--- A type of LuaLS in the notation of stoke.schema; nil for one that has none.
local function notation(words)
  local optional, alternatives = false, {}
  if words:sub(-1) == "?" then optional, words = true, words:sub(1, -2) end
  for word in words:gmatch "[^|]+" do
    word = word:match "^%s*(.-)%s*$"
    if word == "nil" then
      optional = true
    else
      alternatives[#alternatives + 1] = word:match "^[\"'](.*)[\"']$" or word
      if alternatives[#alternatives] == word then -- no literal
        local item, list = word:match "^(.-)(%[%])$"
        local known = TYPES[item or word]
        if not known then return nil end
        alternatives[#alternatives] = known .. (list or "")
      end
    end
  end
  return #alternatives > 0 and table.concat(alternatives, "|") or nil, optional
end

--- Split "city? string city name" into its parts.
local function param_of(line)
  local name, mark, rest = line:match "^@param%s+([%a_][%w_]*)(%??)%s+(.+)$"
  if not name then return nil end
  return name, mark == "?", comments.type(rest)
end

local function read(where, comment)
  local described, fields, order, description = {}, {}, {}, {}
  for _, line in ipairs(comment) do
    if line:find "^@param" then
      local name, optional, kind, what = param_of(line)
      if not name then errors.argument("%s: cannot read the line %q; it is ---@param name type description", where, line) end
      local short, nullable = notation(kind)
      if not short then errors.argument("%s: the type %s of the parameter %s has no counterpart in a schema", where, kind, name) end
      if optional or nullable then short = short .. "?" end
      fields[name] = what ~= "" and short .. ": " .. what or short
      order[#order + 1], described[name] = name, true
    elseif not line:find "^@" and line ~= "" and #order == 0 then
      description[#description + 1] = line
    end
  end
  return fields, order, table.concat(description, " "), described
end

--- The definition that a function's comment gives.
---@param f function
---@param options? table name, needs_approval, timeout, idempotent, max_output
---@return table definition as stoke.tool takes it
---Raises `argument` when the function has no comment, or one that does not name every parameter.
function M.definition(f, options)
  options = errors.options(options, { name = "string", description = "string", needs_approval = true, timeout = true,
    idempotent = "boolean", max_output = "number" }, "stoke.tool")
  local text, line = source.of(f)
  local info = debug.getinfo(f, "Su")
  local where = ("stoke.tool: the function at %s:%d"):format(info.short_src, info.linedefined)
  if not text then
    errors.raise("argument", where .. " has no text to read a comment from",
      { hint = info.short_src:find "^stoke:stdlib/tools/" and "stoke.tools has functions that make tools: call it, with ()"
        or "describe it: stoke.tool { name =, params =, run = }" })
  end
  local comment, head = lines_above(text, line)
  local fields, order, description, described = read(where, comment)
  local names = {}
  for i = 1, info.nparams do
    names[i] = debug.getlocal(f, i)
    if not described[names[i]] then
      errors.raise("argument", ("%s: its parameter %s has no ---@param line above the function"):format(where, names[i]),
        { hint = "describe it, or use stoke.tool { name =, params =, run = }" })
    end
  end
  for _, name in ipairs(order) do
    local known = false
    for _, own in ipairs(names) do known = known or own == name end
    if not known then errors.argument("%s: its comment describes a parameter %s that it does not have", where, name) end
  end
  local name = options.name or (name_of(head) or ""):match "([%w_]+)$"
  if not name then
    errors.raise("argument", where .. " has no name", { hint = "stoke.tool(f, { name = \"...\" })" })
  end
  return {
    name = name, description = options.description or description, needs_approval = options.needs_approval,
    timeout = options.timeout, idempotent = options.idempotent, max_output = options.max_output,
    params = order[1] and schema(fields, { order = order }) or nil,
    run = function(args)
      local values = {}
      for i, own in ipairs(names) do values[i] = args[own] end
      return f(table.unpack(values, 1, #names))
    end,
  }
end

return M
