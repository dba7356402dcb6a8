--- Completion of the word before the cursor: names at the prompt, fields and methods (through tables and the __index tables
--- of metatables, calling nothing), keywords; in strings module names, model names and files.

local policy = require "core.gate.policy"
local about = require "core.about"
local env = require "core.env"
local errors = require "core.errors"
local fs = require "stoke.fs"
local tasks = require "core.task"
local tokens = require "stoke.repl.tokens"

local M = {}

--- Seconds that model names are taken as they were.
local MODELS_AGE = 30

-- ---- fields -------------------------------------------------------------------------------------------------------------

--- Tables in which a field of the value is looked up, first come first served.
local function places(value)
  local out, seen = {}, {}
  local function add(t)
    while type(t) == "table" and not seen[t] and #out < 10 do
      seen[t] = true
      out[#out + 1] = t
      local mt = debug.getmetatable(t)
      local index = type(mt) == "table" and rawget(mt, "__index")
      if type(index) == "function" then
        add(mt) -- as classes with a function there have their methods
        return
      end
      t = index
    end
  end
  if type(value) == "table" then
    add(value)
  else
    local mt = debug.getmetatable(value)
    local index = type(mt) == "table" and rawget(mt, "__index")
    add(type(index) == "function" and mt or index)
  end
  return out
end

local stoke_modules

--- Names of the modules that are fields of `stoke`.
local function module_fields()
  if stoke_modules then return stoke_modules end
  stoke_modules = {}
  for _, name in ipairs(about.public()) do
    local field = name:match "^stoke%.(%l+)$"
    if field then stoke_modules[field] = true end
  end
  return stoke_modules
end

local function is_stoke(value) return value ~= nil and value == package.loaded.stoke end

--- A field, without calling metamethods; nil when missing.
function M.field(value, name)
  for _, t in ipairs(places(value)) do
    local found = rawget(t, name)
    if found ~= nil then return found end
  end
  if is_stoke(value) and module_fields()[name] then
    local ok, module = pcall(require, "stoke." .. name)
    return ok and module or nil
  end
end

--- The private members of a value that is a module of stoke; none for other values.
local function hidden_fields(value)
  for _, name in ipairs(type(value) == "table" and about.public() or {}) do
    if package.loaded[name] == value then return require "stoke.doc.library".privates(name) end
  end
  return {}
end

--- Names of the public fields that begin with `start`, sorted; `methods`: functions alone.
local function field_names(value, start, methods)
  local out, seen = {}, hidden_fields(value)
  local function add(name)
    if not seen[name] then
      seen[name] = true
      out[#out + 1] = name
    end
  end
  for _, t in ipairs(places(value)) do
    for name, field in next, t do
      if type(name) == "string" and name:find "^[%a_][%w_]*$" and name:sub(1, #start) == start
        and (start:sub(1, 1) == "_" or name:sub(1, 1) ~= "_") and not tokens.keywords[name]
        and (not methods or type(field) == "function") then
        add(name)
      end
    end
  end
  if is_stoke(value) and not methods then
    for name in next, module_fields() do
      if name:sub(1, #start) == start then add(name) end
    end
  end
  table.sort(out)
  return out
end

-- ---- strings ------------------------------------------------------------------------------------------------------------

--- Completion must not trigger approvals: under a policy it reads no files and asks no server.
local function may_look() return policy.rules == nil end

local function entries_of(folder)
  local ok, entries = pcall(fs.list, folder)
  return ok and entries or {}
end

local function module_names(start)
  local out, seen = {}, {}
  local function add(name)
    if type(name) == "string" and name:sub(1, #start) == start and not seen[name] then
      seen[name] = true
      out[#out + 1] = name
    end
  end
  for _, name in ipairs(about.public()) do add(name) end
  for name in next, env.globals.package.loaded do add(name) end
  for name in next, env.globals.package.preload do add(name) end
  local folder, last = start:match "^(.*)%.([^.]*)$"
  local prefix = folder and folder .. "." or ""
  for root in env.globals.package.path:gmatch "([^;]*)/%?%.lua" do
    for _, entry in ipairs(may_look() and entries_of(root .. "/" .. (folder and folder:gsub("%.", "/") or "")) or {}) do
      local name = entry.name:match "^([%w_-]+)%.lua$" or (entry.type == "directory" and entry.name:match "^[%w_-]+$")
      if name and name:sub(1, #(last or start)) == (last or start) then add(prefix .. name) end
    end
  end
  table.sort(out)
  return out
end

local models = { names = {} }

--- Called when names of models have arrived; nil = no listener.
M.on_models = nil

--- Ask the server for its models, in the background: the next TAB knows them.
function M.refresh_models()
  if not may_look() or models.task and not models.task.state then return end
  local now = require "stoke.time".monotonic()
  if models.at and now - models.at < MODELS_AGE then return end
  models.at = now
  models.task = tasks.spawn(function()
    local stoke = require "stoke"
    local reply = stoke.try(stoke.timeout, 2, require "stoke.ollama".tags)
    if not reply then return end
    models.names = {}
    for i, model in ipairs(reply.models) do models.names[i] = model.name end
    table.sort(models.names)
    if M.on_models then M.on_models() end
  end, { system = true, name = "model names" })
  models.task.on_error = function(_, err) -- completion ignores errors of the server
    if not errors.is(err) then error(err, 0) end
  end
end

--- Names of the server's models that begin so, as far as they are known; more may come, see on_models.
---@param start string
---@return string[]
function M.models(start)
  M.refresh_models()
  local out = {}
  for _, name in ipairs(models.names) do
    if name:sub(1, #start) == start then out[#out + 1] = name end
  end
  return out
end

--- Files and folders whose path begins so.
---@param start string
---@return string[]
function M.files(start)
  if not may_look() then return {} end
  local folder, last = start:match "^(.*/)([^/]*)$"
  folder, last = folder or "", last or start
  local where = folder == "" and "." or folder
  if where:sub(1, 2) == "~/" then where = (os.getenv "HOME" or "~") .. where:sub(2) end
  local out = {}
  for _, entry in ipairs(entries_of(where)) do
    if entry.name:sub(1, #last) == last and (last ~= "" or entry.name:sub(1, 1) ~= ".") then
      out[#out + 1] = folder .. entry.name .. (entry.type == "directory" and "/" or "")
    end
  end
  return out
end

--- Inside a string that begins at token i.
local function in_string(list, i, text)
  local token = list[i]
  local level = token.text:match "^%[(=*)%["
  local from = token.start + (level and #level + 2 or 1)
  local start = text:sub(from)
  local one, two = list[i - 1], list[i - 2]
  if one and one.text == "(" then one, two = two, list[i - 3] end
  if one and one.text == "require" then return from, module_names(start) end
  if one and one.text == "=" and two and two.text == "model" then return from, M.models(start) end
  return from, M.files(start)
end

-- ---- names --------------------------------------------------------------------------------------------------------------

--- The value of a path of names that ends at token i; nil when it is no such path.
local function resolve(session, list, i)
  local path = {}
  while true do
    local t = list[i]
    if not t then return nil end
    if t.kind == "string" and t.closed and #path > 0 and not list[i - 1] then return "" end
    if t.kind ~= "name" then return nil end
    table.insert(path, 1, t.text)
    local dot = list[i - 1]
    if not (dot and dot.kind == "op" and (dot.text == "." or dot.text == ":")) then break end
    i = i - 2
  end
  local value = session:lookup(path[1])
  for n = 2, #path do
    if value == nil then return nil end
    value = M.field(value, path[n])
  end
  return value
end

local function plain_names(session, start)
  local out = {}
  for _, name in ipairs(session:names()) do
    if name:sub(1, #start) == start and (start ~= "" or name:sub(1, 1) ~= "_") then out[#out + 1] = name end
  end
  for word in next, tokens.keywords do
    if start ~= "" and word:sub(1, #start) == start then out[#out + 1] = word end
  end
  table.sort(out)
  return out
end

local ON_OFF = { "on", "off" }

--- What may follow a command that does not take Lua: nothing of Lua's.
local function words_of(command)
  if command == "watch" or command == "trace" then return ON_OFF end
  if command == "approve" or command == "reject" or command == "edit" then
    local numbers = {}
    for i, entry in ipairs(require("core.approval").list()) do numbers[i] = ("%d"):format(entry.id) end
    return numbers
  end
  if command == "reload" then
    local names = {}
    for _, file in ipairs(require "stoke.reload".files()) do names[#names + 1] = file.name end
    return names
  end
  return command ~= "time" and {} or nil
end

local function commands(before)
  local command, at, word = before:match "^:(%l+)%s+()(%S*)$"
  local words = command and words_of(command)
  if words then
    local out = {}
    for _, name in ipairs(words) do
      if name:sub(1, #word) == word then out[#out + 1] = name end
    end
    table.sort(out)
    return at, out
  end
  local start = before:match "^:(%l*)$"
  if not start then return nil end
  local out = {}
  for name in next, require "stoke.console.prompt".all() do
    if name:sub(1, #start) == start then out[#out + 1] = name end
  end
  table.sort(out)
  return 2, out
end

--- What the word before the cursor may become.
---@param session table of stoke.repl.eval
---@param before string the entry up to the cursor
---@return integer|nil from byte where the word begins
---@return string[]|nil list
function M.complete(session, before)
  local from, list = commands(before)
  if from then return from, list end
  local shift = before:match "^%?%s*()" or before:match "^:%l+%s+()" or 1 -- `?name`, `:time code`
  local text = before:sub(shift)
  local found = tokens.list(text, true)
  local last = found[#found]
  if last and not last.closed then
    if last.kind == "comment" then return nil end
    from, list = in_string(found, #found, text)
    return from + shift - 1, list
  end
  local open = last and last.stop == #text
  local start = open and (last.kind == "name" or last.kind == "keyword") and last.text or ""
  if open and last.kind == "number" then return nil end
  if open and last.kind == "comment" then return nil end
  local before_it = start ~= "" and #found - 1 or #found
  local dot = found[before_it]
  from = #before - #start + 1
  if dot and dot.kind == "op" and (dot.text == "." or dot.text == ":") and dot.stop == #text - #start then
    local value = resolve(session, found, before_it - 1)
    if value == nil and found[before_it - 1] and found[before_it - 1].kind == "op" and found[before_it - 1].text == ")" then
      return nil -- the result of a call is unknown before the call
    end
    return from, field_names(value, start, dot.text == ":")
  end
  return from, plain_names(session, start)
end

return M
