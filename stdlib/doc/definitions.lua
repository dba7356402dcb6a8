--- Definition files for LuaLS (lua-language-server), so that an editor completes and checks what scripts require as stoke.*.
--- One file a module, made of the comments the modules have.

local library = require "stoke.doc.library"

local M = {}

--- The class of a module's table: the name itself may be that of its objects (stoke.agent).
local function class_of(name) return "lib." .. name end

local function add_text(out, text)
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do out[#out + 1] = line == "" and "---" or "---" .. line end
end

local function words(...)
  local list = {}
  for _, word in ipairs { ... } do
    if word ~= "" then list[#list + 1] = word end
  end
  return table.concat(list, " ")
end

local function optional(item) return item.name .. (item.optional and "?" or "") end

local function overload(params, returns)
  local list, results = {}, {}
  for i, param in ipairs(params) do list[i] = optional(param) .. ": " .. param.type end
  for i, result in ipairs(returns) do results[i] = result.type end
  return ("---@overload fun(%s)%s"):format(table.concat(list, ", "), #results > 0 and ": " .. table.concat(results, ", ") or "")
end

--- What may be left out in front of what may not: an editor takes such a call for one that lacks its end. The parameters of the
--- call that has them, and of the one that has not; nil for the second where there is no such parameter.
local function both(params)
  local last = 0
  for i, param in ipairs(params) do
    if not param.optional and param.name ~= "..." then last = i end
  end
  local whole, short = {}, {}
  for i, param in ipairs(params) do
    local between = param.optional and i < last
    whole[i] = between and { name = param.name, type = param.type, description = param.description, optional = false } or param
    if not between then short[#short + 1] = param end
  end
  return whole, #short < #whole and short or nil
end

--- The comment of a function; `method`: of this class.
local function add_comment(out, entry, method)
  add_text(out, entry.description)
  if entry.raises then
    out[#out + 1] = "---"
    add_text(out, "Raises " .. entry.raises .. ".")
  end
  if entry.example and not entry.description:find(entry.example:match "[^\n]*", 1, true) then
    out[#out + 1] = "---"
    out[#out + 1] = "---```lua"
    add_text(out, entry.example)
    out[#out + 1] = "---```"
  end
  if entry.generic then out[#out + 1] = "---@generic " .. entry.generic end
  local whole, short = both(entry.params)
  for _, param in ipairs(whole) do
    out[#out + 1] = "---@param " .. words(optional(param), param.type, param.description)
  end
  for _, result in ipairs(entry.returns) do out[#out + 1] = "---@return " .. words(result.type, result.description) end
  if not short then return end
  if method then table.insert(short, 1, { name = "self", type = method }) end
  out[#out + 1] = overload(short, entry.returns)
end

local function parameters(entry)
  local names = {}
  for i, param in ipairs(entry.params) do names[i] = param.name end
  return table.concat(names, ", ")
end

local function add_class(out, class)
  out[#out + 1] = ""
  if class.description ~= "" then add_text(out, class.description) end
  out[#out + 1] = "---@class " .. class.name .. (class.parent and ": " .. class.parent or "")
  for _, field in ipairs(class.fields) do
    out[#out + 1] = "---@field " .. words(optional(field), field.type, field.description)
  end
  if #class.methods == 0 then return end
  local variable = class.name:gsub("%.", "_")
  out[#out + 1] = ("local %s = {}"):format(variable)
  for _, method in ipairs(class.methods) do
    out[#out + 1] = ""
    add_comment(out, method, method.sep == ":" and class.name or nil)
    out[#out + 1] = ("function %s%s%s(%s) end"):format(variable, method.sep, method.member, parameters(method))
  end
end

local function add_member(out, entry)
  local member = entry.name:match "[^.]+$"
  out[#out + 1] = ""
  if entry.kind == "field" then
    add_text(out, entry.description)
    out[#out + 1] = ("M.%s = nil"):format(member)
    return
  end
  add_comment(out, entry)
  out[#out + 1] = ("function M.%s(%s) end"):format(member, parameters(entry))
end

--- The definitions of one module.
---@param name string "stoke.http"
---@return string
---
--- Example: `print(definitions.module "stoke.http")`
function M.module(name)
  local entry = library.module(name)
  local out = { "---@meta " .. name, "" }
  add_text(out, entry.description)
  out[#out + 1] = "---@class " .. class_of(name)
  if name == "stoke" then
    for _, other in ipairs(library.modules()) do
      local field = other:match "^stoke%.(.*)$"
      if field then out[#out + 1] = ("---@field %s %s"):format(field, class_of(other)) end
    end
  end
  if entry.call then
    for _, params in ipairs { both(entry.call.params) } do out[#out + 1] = overload(params, entry.call.returns) end
  end
  out[#out + 1] = "local M = {}"
  local call = entry.call
  if call and not call.loose then add_member(out, library.named(call, "M." .. call.member, name)) end
  for _, found in ipairs(entry.entries) do add_member(out, found) end
  for _, class in ipairs(library.classes_of(name)) do add_class(out, class) end
  out[#out + 1] = ""
  out[#out + 1] = "return M"
  return table.concat(out, "\n") .. "\n"
end

--- All of them.
---@return table<string, string> files text by path: "stoke.lua", "stoke/http.lua"
---
--- Example: `for path in pairs(definitions.files()) do print(path) end`
function M.files()
  local files = {}
  for _, name in ipairs(library.modules()) do files[name:gsub("%.", "/") .. ".lua"] = M.module(name) end
  return files
end

return M
