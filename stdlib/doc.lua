--- stoke.doc: the documentation comments of stoke's modules, and of a script's own, as data and as text. Source of `help` in the
--- REPL, `stoke help NAME`, the reference and the editors' definition files.
---
---     local doc = require "stoke.doc"
---     print(doc.text(doc.find "ollama.chat", 80))

local errors = require "core.errors"
local source = require "core.source"
local comment = require "stoke.doc.comment"
local index = require "stoke.doc.index"
local library = require "stoke.doc.library"
local lua = require "stoke.doc.lua"
local topics = require "stoke.doc.topics"

local M = {}

local function first(list, test)
  for _, item in ipairs(list) do
    if test(item) then return item end
  end
end

--- The module that a word stands for: "stoke.http", "http".
local function module_named(word)
  return first(library.modules(), function(name) return name == word or name == "stoke." .. word end)
end

--- Of classes that are called the same the one with methods, then the one with the shortest name.
local function better(one, other)
  local has, others = #one.methods > 0, #other.methods > 0
  if has ~= others then return has end
  if #one.name ~= #other.name then return #one.name < #other.name end
  return one.name < other.name
end

local by_end -- lists of classes, by all that their names end in, the best first

--- The classes that a word may stand for: "stoke.agent.session", "agent.session", "session"; its own name comes first.
local function classes_named(word)
  if not by_end then
    by_end = {}
    for name, class in next, library.classes() do
      for at in ("." .. name):gmatch "()%." do
        local last = name:sub(at)
        by_end[last] = by_end[last] or {}
        table.insert(by_end[last], class)
      end
    end
    for last, list in next, by_end do
      table.sort(list, function(a, b)
        local exact, other = a.name == last or a.name == "stoke." .. last, b.name == last or b.name == "stoke." .. last
        if exact ~= other then return exact end
        return better(a, b)
      end)
    end
  end
  return by_end[word] or {}
end

local function in_module(owner, member)
  local name = module_named(owner)
  local found = name and library.own(name, member)
  if found then return found end
  local entry = name and library.module(name)
  if not entry then return nil end
  return first(entry.entries, function(e) return e.name:match "[^.]+$" == member end)
    or entry.call and entry.call.member == member and entry.call
end

local function in_one_class(class, member)
  local method = first(class.methods, function(e) return e.member == member end)
  if method then return method end
  local field = first(class.fields, function(f) return f.name == member end)
  if not field then return nil end
  local name = class.name:match "[^.]+$" .. "." .. member
  return { name = name, kind = "field", module = class.module, signature = name, description = field.description,
    params = {}, returns = { { type = field.type, description = "" } }, where = class.where }
end

local function in_class(owner, member)
  for _, class in ipairs(classes_named(owner)) do
    local entry = in_one_class(class, member)
    if entry then return entry end
  end
end

--- Every name there is documentation of, sorted: what completion offers.
---@return string[]
---
--- Example: `for _, name in ipairs(doc.names()) do print(name) end`
function M.names()
  local names = {}
  local function add(name) names[#names + 1] = name end
  for _, module in ipairs(library.modules()) do
    add(module)
    for _, entry in ipairs(library.module(module).entries) do add(entry.name) end
  end
  for _, class in next, library.classes() do
    for _, method in ipairs(class.methods) do add(method.name) end
  end
  for _, name in ipairs(lua.names()) do add(name) end
  for _, name in ipairs(topics.names()) do add(name) end
  table.sort(names)
  return names
end

--- What a word may have meant: names that end in it, the most similar one, names that hold it.
local function suggestions(word, names)
  local out, seen = {}, {}
  local last = word:match "[%w_]*$"
  local function add(name)
    if name and not seen[name] and #out < 5 then
      seen[name] = true
      out[#out + 1] = name
    end
  end
  for _, name in ipairs(names) do
    if last ~= "" and name:match "[%w_]*$" == last then add(name) end
  end
  add(errors.suggest((word:gsub("^stoke%.", "")), names))
  add(errors.suggest(word, names))
  local ends, whole = {}, {}
  for i, name in ipairs(names) do
    ends[i] = name:match "[%w_]*$"
    whole[ends[i]] = whole[ends[i]] or name
  end
  local near = last ~= "" and errors.suggest(last, ends)
  add(near and whole[near])
  for _, name in ipairs(names) do
    if #last >= 3 and name:find(last, 1, true) then add(name) end
  end
  return out
end

--- Look a name up: a module ("stoke.http", "http"), its function ("http.get", "stoke.http.get"; stoke.spawn is also "spawn"), a
--- class ("stoke.agent.session", "session"), its method or field ("session:run"), a function of Lua's own ("string.format"), a
--- topic of the guide ("retry").
---@param name string
---@return stoke.doc.entry|nil entry
---@return string[]|nil suggestions names that it may have meant, when there is no entry
---
--- Example: `local entry, instead = doc.find "ollama.chat"; print(entry.signature)`
function M.find(name)
  if type(name) ~= "string" then errors.argument("doc.find: a name expected, got %s", errors.describe(name)) end
  local word = name:match "^%s*(.-)%s*$":gsub("%s*%(%s*%)$", "")
  local topic = topics.find(word)
  if topic then return topic end
  local module = module_named(word)
  if module then return library.module(module) end
  local owner, sep, member = word:match "^(.-)([.:])([%a_][%w_]*)$"
  local entry
  if sep == "." then
    entry = in_module(owner, member) or classes_named(word)[1] or in_class(owner, member)
  elseif sep then
    entry = in_class(owner, member) or in_module(owner, member)
  else
    local class = classes_named(word)[1]
    entry = in_module("stoke", word) or class and #class.methods > 0 and class
  end
  entry = entry or lua.find(word)
  if entry then return entry end
  local names, ends = M.names(), {}
  for _, known in ipairs(names) do
    if known:match "[%w_]*$" == word then ends[#ends + 1] = known end
  end
  if #ends == 1 and ends[1] ~= word then return (M.find(ends[1])) end
  return nil, suggestions(word, names)
end

--- The entry of a function whose text a script was compiled from.
local function of_script(f)
  local text, line = source.of(f)
  if not text then return nil end
  local lines = comment.lines(text)
  local found = index.declaration(lines[line] or "")
  if not found or not found.params then return nil end
  local path = debug.getinfo(f, "S").source:gsub("^[@=]", "")
  local entry = index.entry(comment.read(comment.above(lines, line)), found, ("%s:%d"):format(path, line))
  local name = (found.owner and found.owner .. found.sep or "") .. found.member
  return library.named(entry, name, nil)
end

local function module_value(value)
  for _, name in ipairs(library.modules()) do
    if package.loaded[name] == value then return library.module(name) end
  end
end

--- The documentation of a value: of a function, by where it was written; of one of stoke's modules; of an object, its class.
---@param value any
---@return stoke.doc.entry|nil nil when nothing is written about it
---
--- Example: `print(doc.of(stoke.sleep).signature)`
function M.of(value)
  if type(value) == "function" then return lua.of(value) or library.of_function(value) or of_script(value) end
  if type(value) ~= "table" and type(value) ~= "userdata" then return nil end
  local module = type(value) == "table" and module_value(value)
  if module then return module end
  local meta = debug.getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and library.classes()[name] or nil
end

--- A module's documentation: `entries` are its functions and values, `call` is there when it is called itself.
---@param name string "stoke.http" or "http"
---@return stoke.doc.entry|nil
---
--- Example: `for _, e in ipairs(doc.module("stoke.http").entries) do print(e.signature) end`
function M.module(name)
  local known = type(name) == "string" and module_named(name)
  return known and library.module(known) or nil
end

--- The topics that `find` knows beside names: sections of the guide.
---@return string[]
---
--- Example: `print(table.concat(doc.topics(), " "))`
function M.topics() return topics.names() end

--- The names of the modules scripts require.
---@return string[]
---
--- Example: `print(table.concat(doc.modules(), " "))`
function M.modules() return library.modules() end

--- A text for the terminal.
---@param entry stoke.doc.entry
---@param columns? integer 80 when not given
---@param colour? boolean
---@return string ends in a newline
---
--- Example: `io.write(doc.text(doc.find "stoke.sleep", 80))`
function M.text(entry, columns, colour)
  if type(entry) ~= "table" or not entry.kind then errors.argument("doc.text: an entry of doc.find expected") end
  return require "stoke.doc.text".entry(entry, columns or 80, colour)
end

--- The same as Markdown.
---@param entry stoke.doc.entry
---@return string
---
--- Example: `print(doc.markdown(doc.module "stoke.http"))`
function M.markdown(entry)
  if type(entry) ~= "table" or not entry.kind then errors.argument("doc.markdown: an entry of doc.find expected") end
  return require "stoke.doc.markdown".entry(entry)
end

--- The classes of a module: what its functions take and give, and the methods of that.
---@param name string "stoke.http" or "http"
---@return stoke.doc.entry[]
---
--- Example: `for _, class in ipairs(doc.classes "stoke.agent") do print(class.name, #class.methods) end`
function M.classes(name)
  local known = type(name) == "string" and module_named(name)
  return known and library.classes_of(known) or {}
end

--- The reference of all modules, as Markdown.
---@return string
---
--- Example: `io.write(doc.reference())`
function M.reference() return require "stoke.doc.markdown".reference() end

--- Definition files for lua-language-server.
---@return table<string, string> files text by path: "stoke.lua", "stoke/http.lua"
---
--- Example: `for path, text in pairs(doc.definitions()) do print(path, #text) end`
function M.definitions() return require "stoke.doc.definitions".files() end

--- A page of the manual, for man(1): stoke(1), the command, or stoke(3), the modules that scripts require.
---@param part? integer 1 or 3; 1 when not given
---@return string
---
--- Example: `io.write(doc.man(3))`
function M.man(part)
  if part ~= nil and part ~= 1 and part ~= 3 then errors.argument("doc.man: there are the parts 1 and 3") end
  if part == 3 then return require "stoke.doc.man_lua".page() end
  return require "stoke.doc.man".page()
end

return M
