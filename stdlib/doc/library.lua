--- The documentation of stoke's own modules: the public ones, their members, and the classes. Files are read on demand.

local about = require "core.about"
local comment = require "stoke.doc.comment"
local index = require "stoke.doc.index"

local M = {}

--- The modules that scripts require, sorted.
---@return string[]
---
--- Example: `for _, name in ipairs(library.modules()) do print(name) end`
function M.modules() return about.public() end

local public

local function is_public(name)
  if not public then
    public = {}
    for _, known in ipairs(M.modules()) do public[known] = true end
  end
  return public[name] or false
end

--- How a script calls a module: "stoke.http.serve" is http.serve.
local function short(name) return name == "stoke" and name or (name:gsub("^stoke%.", "")) end

--- The public module a dotted name belongs to.
local function owner_of(name)
  while name do
    if is_public(name) then return name end
    name = name:match "^(.*)%.[^.]*$"
  end
  return "stoke"
end

local function results(entry)
  local out = {}
  for i, result in ipairs(entry.returns) do out[i] = result.type end
  return #out > 0 and " -> " .. table.concat(out, ", ") or ""
end

--- "timeout(seconds, f, ...)", with what it returns.
---@param entry stoke.doc.entry
---@param name string
---@return string
---
--- Example: `print(library.signature(entry, entry.name))`
function M.signature(entry, name)
  if entry.kind ~= "function" and entry.kind ~= "method" then return name end
  local names = {}
  for i, param in ipairs(entry.params) do names[i] = param.name .. (param.optional and "?" or "") end
  return ("%s(%s)%s"):format(name, table.concat(names, ", "), results(entry))
end

--- A copy of an entry under a name.
---@param entry stoke.doc.entry
---@param name string
---@param module string
---@return stoke.doc.entry
---
--- Example: `local renamed = library.named(entry, "stoke.sleep", "stoke")`
function M.named(entry, name, module)
  local out = {}
  for key, value in next, entry do out[key] = value end
  out.name, out.module, out.signature = name, module, M.signature(entry, name)
  return out
end

-- ---- classes --------------------------------------------------------------------------------------------------------------

local classes

--- Methods stand in the file of their class, or name it by the variable that holds it there (`function scopes.Scope:spawn`).
local function add_methods(file, by_variable)
  for _, entry in ipairs(file.entries) do
    local variable = entry.owner and entry.owner:match "([%w_]+)$"
    local class = variable and (file.classes[entry.owner] or by_variable[variable])
    if class and entry.member and not entry.private and not entry.member:find "^__" then
      local name = class.name:match "[^.]+$" .. entry.sep .. entry.member
      class.methods[#class.methods + 1] = M.named(entry, name, class.module)
    end
  end
end

local function read_classes()
  local found, by_variable, order = {}, {}, {}
  for _, name in ipairs(about.modules()) do
    local file = index.file(name)
    order[#order + 1] = file
    for variable, class in next, file and file.classes or {} do
      class.module, class.signature = owner_of(class.name), class.name
      found[class.name] = class
      if name:find "^core%." and variable ~= class.name then by_variable[variable] = class end
    end
  end
  for _, file in ipairs(order) do add_methods(file, by_variable) end
  return found
end

--- All classes, by their names.
---@return table<string, stoke.doc.entry>
---
--- Example: `local session = library.classes()["stoke.agent.session"]`
function M.classes()
  classes = classes or read_classes()
  return classes
end

--- The names of classes in a type.
---@param kind string
---@return fun(): string|nil
---
--- Example: `for name in library.types "stoke.tool|stoke.agent[]" do print(name) end`
function M.types(kind) return kind:gmatch "stoke%.[%w_.]*[%w_]" end

--- The classes that an entry names, and those that these name in turn, in the order they are met.
local function reach(entry, seen, out)
  local function visit(kind)
    for name in M.types(kind) do
      local class = M.classes()[name]
      if class and not seen[name] then
        seen[name] = true
        out[#out + 1] = class
        reach(class, seen, out)
      end
    end
  end
  if entry.parent then visit(entry.parent) end
  for _, list in ipairs { entry.params or {}, entry.returns or {}, entry.fields or {} } do
    for _, item in ipairs(list) do visit(item.type) end
  end
  for _, method in ipairs(entry.methods or {}) do reach(method, seen, out) end
end

-- ---- modules --------------------------------------------------------------------------------------------------------------

local function sorted_keys(t)
  local keys = {}
  for key in next, t do
    if type(key) == "string" and key:find "^%l[%w_]*$" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

--- Members come into some modules when they are first asked for: those its class names, and modules below it.
local function call_in(name, value)
  local class = M.classes()[name]
  local function ask(key) pcall(function() return value[key] end) end
  for _, field in ipairs(class and class.variable == "M" and class.fields or {}) do ask(field.name) end
  if name == "stoke" then return end
  for _, other in ipairs(about.modules()) do
    if other:sub(1, #name + 1) == name .. "." then ask(other:sub(#name + 2)) end
  end
end

--- A function that is made while the module loads may stand in a class of its file: log.info.
local function as_field(file, key)
  for _, class in next, file.classes do
    for _, field in ipairs(class.fields) do
      local params, returns = comment.parameters(field.type)
      if params and field.name == key then
        return { kind = "function", member = key, description = field.description, params = params, returns = returns,
          where = class.where, example = class.example }
      end
    end
  end
end

--- What a module offers that is written elsewhere: stoke.sleep is time.sleep, tools.now comes from stoke.tools.basic. Is the
--- module called itself?
local function borrowed(name, file, entry)
  local ok, value = pcall(require, name)
  if not ok or type(value) ~= "table" then return false end
  call_in(name, value)
  for _, key in ipairs(sorted_keys(value)) do
    if type(value[key]) == "function" and not file.by_member[key] then
      local found = M.of_function(value[key]) or as_field(file, key)
      if found and not found.private then entry.entries[#entry.entries + 1] = M.named(found, short(name) .. "." .. key, name) end
    end
  end
  local meta = getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__call") ~= nil
end

--- The comment of a module that is called itself is that of its `new`, of a function of its own name, or of what stands for it.
local function caller(name, file)
  local call = file.by_member.new or file.by_member[name:match "[^.]+$"]
  for _, entry in ipairs(file.entries) do
    if entry.loose and entry.member == "define" then call = call or entry end
  end
  if not call then return nil end
  local of_script = name == "stoke.test" and "test" or name
  local named = M.named(call, of_script, name)
  named.kind = "function"
  named.signature = M.signature(named, of_script)
  return named
end

--- A member that a module has in its own file, and by which it is not called; no other file is read for it.
---@param name string "stoke.http"
---@param member string
---@return stoke.doc.entry|nil
---
--- Example: `local get = library.own("stoke.http", "get")`
function M.own(name, member)
  local file = index.file(name)
  local found = file and file.by_member[member]
  if not found or found.private or member == "new" or member == name:match "[^.]+$" then return nil end
  return M.named(found, short(name) .. "." .. member, name)
end

local modules = {}

--- The entry of a module.
---@param name string "stoke.http"
---@return stoke.doc.entry|nil
---
--- Example: `local entry = library.module "stoke.http"`
function M.module(name)
  if modules[name] then return modules[name] end
  local file = index.file(name)
  if not file then return nil end
  local entry = { name = name, kind = "module", module = name, signature = ("require \"%s\""):format(name), params = {},
    returns = {}, entries = {}, description = file.head.description, example = file.head.example,
    where = file.path .. ":1" }
  for _, found in ipairs(file.entries) do
    if found.member and file.by_member[found.member] == found and not found.private then
      entry.entries[#entry.entries + 1] = M.named(found, short(name) .. "." .. found.member, name)
    end
  end
  if borrowed(name, file, entry) then entry.call = caller(name, file) end
  for i, found in ipairs(entry.entries) do
    if entry.call and entry.call.where == found.where then
      table.remove(entry.entries, i)
      break
    end
  end
  modules[name] = entry
  return entry
end

--- The members of a module that are marked `---@private`: other rooms of the runtime use them, scripts should not.
---@param name string "stoke.config"
---@return table<string, true>
---
--- Example: `assert(library.privates("stoke.config").load)`
function M.privates(name)
  local out = {}
  local file = index.file(name)
  for member, entry in next, file and file.by_member or {} do
    if entry.private then out[member] = true end
  end
  return out
end

local reached

--- The classes that belong to a module and that some public function takes, gives or holds, sorted.
---@param name string
---@return stoke.doc.entry[]
---
--- Example: `for _, class in ipairs(library.classes_of "stoke.http") do print(class.name) end`
function M.classes_of(name)
  if not reached then
    local seen = {}
    reached = {}
    for _, module in ipairs(M.modules()) do
      local entry = M.module(module)
      for _, found in ipairs(entry.entries) do reach(found, seen, reached) end
      if entry.call then reach(entry.call, seen, reached) end
    end
    table.sort(reached, function(a, b) return a.name < b.name end)
  end
  local out = {}
  for _, class in ipairs(reached) do
    if class.module == name and class.variable ~= "M" then out[#out + 1] = class end
  end
  return out
end

-- ---- values ---------------------------------------------------------------------------------------------------------------

local function module_of(path)
  local room, rest = path:match "^(%l+)/(.*)%.lua$"
  if not room then return nil end
  local name = (room == "lua" and "core." or "stoke.") .. rest:gsub("/", ".")
  return (name:gsub("%.init$", ""))
end

local function alias(f)
  local first -- by name, where it has several
  for key, value in next, (require "stoke") do
    if value == f and (not first or key < first) then first = key end
  end
  return first and "stoke." .. first
end

--- The entry of a function of ours.
---@param f function
---@return stoke.doc.entry|nil
---
--- Example: `local entry = library.of_function(stoke.sleep)`
function M.of_function(f)
  local info = debug.getinfo(f, "S")
  local path = info.source:match "^@stoke:(.*)$"
  local name = path and module_of(path)
  local file = name and index.file(name)
  local entry = file and file.by_line[info.linedefined]
  if not entry then return nil end
  if entry.loose and package.loaded[name] == f then return M.named(entry, short(name), owner_of(name)) end
  if entry.owner == file.returned then
    if not is_public(name) then
      local known = alias(f)
      if known then return M.named(entry, known, "stoke") end
    end
    return M.named(entry, short(name) .. "." .. entry.member, name)
  end
  for _, class in next, M.classes() do
    for _, method in ipairs(class.methods) do
      if method.where == entry.where then return method end
    end
  end
  return M.named(entry, entry.member or name, name)
end

return M
