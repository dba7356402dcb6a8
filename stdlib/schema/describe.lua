--- A schema as a short text for a prompt: a skeleton of the JSON wanted, one line a field.

local formats = require "stoke.schema.formats"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local show, expected = values.show, words.expected
local DEPTH = 12

-- Each of these returns the lines of a node, the first without its indent, and a remark for the first or nil.
local render

local function scalar(node, resolve)
  if type(node) ~= "table" then return "any value" end
  if node.type == "string" and formats.short[node.format] and not node.enum then return formats.short[node.format] end
  if not node.enum then return (expected(node, resolve):gsub("true or false", "true | false")) end
  local list = {}
  for i, value in ipairs(node.enum) do list[i] = show(value) end
  return table.concat(list, " | ")
end

local function remarks(optional, count, text)
  local notes = { optional and "optional" or nil }
  if count then notes[#notes + 1] = count end
  if text then notes[#notes + 1] = text:gsub("%s+", " ") end
  return #notes > 0 and "  // " .. table.concat(notes, ": ") or ""
end

local function object(node, indent, resolve, seen)
  local lines, names, needed = { "{" }, values.keys(node.properties), {}
  for _, name in ipairs(node.required or {}) do needed[name] = true end
  if #names == 0 then return { "{}" } end
  for i, name in ipairs(names) do
    local schema = node.properties[name]
    local part, remark = render(schema, indent .. "  ", resolve, seen)
    local text = type(schema) == "table" and schema.description or nil
    if i < #names then part[#part] = part[#part] .. "," end
    part[1] = ("%s  %s: %s%s"):format(indent, show(name), part[1], remarks(not needed[name], remark, text))
    table.move(part, 1, #part, #lines + 1, lines)
  end
  lines[#lines + 1] = indent .. "}"
  return lines
end

local function array(node, indent, resolve, seen)
  local part = render(node.items, indent .. "  ", resolve, seen)
  local count = expected({ type = "array", minItems = node.minItems, maxItems = node.maxItems }):match "^array of (.*)$"
  if #part == 1 then return { ("[ %s, ... ]"):format(part[1]) }, count end
  part[1] = indent .. "  " .. part[1]
  part[#part] = part[#part] .. ","
  table.insert(part, 1, "[")
  table.move({ indent .. "  ...", indent .. "]" }, 1, 2, #part + 1, part)
  return part, count
end

local function either(node, branches, indent, resolve, seen)
  local lines
  for _, branch in ipairs(branches) do
    local part = render(branch, indent, resolve, seen)
    if lines then
      lines[#lines] = lines[#lines] .. " or " .. part[1]
      table.move(part, 2, #part, #lines + 1, lines)
    else
      lines = part
    end
  end
  return lines or { scalar(node, resolve) }
end

function render(node, indent, resolve, seen)
  if type(node) ~= "table" or #indent > DEPTH * 2 then return { scalar(node, resolve) } end
  local ref = node["$ref"]
  if ref then
    if seen[ref] then return { ("(%s again)"):format(ref:match "([^/#]+)$" or "the whole") } end
    seen[ref] = true
    local lines, remark = render(resolve(ref), indent, resolve, seen)
    seen[ref] = nil
    return lines, remark
  end
  if node.enum then return { scalar(node, resolve) } end
  local branches = node.anyOf or node.oneOf
  if branches and not node.type then return either(node, branches, indent, resolve, seen) end
  local lines, remark
  if node.properties then
    lines = object(node, indent, resolve, seen)
  elseif values.kind(node.items) == "object" then
    lines, remark = array(node, indent, resolve, seen)
  else
    return { scalar(node, resolve) }
  end
  if type(node.type) == "table" then
    for _, kind in ipairs(node.type) do
      if kind == "null" then lines[#lines] = lines[#lines] .. " or null" end
    end
  end
  return lines, remark
end

--- The text.
---@param root table|boolean
---@param resolve fun(ref: string): table|boolean
---@return string
function M.describe(root, resolve)
  local lines, remark = render(root, "", resolve, { ["#"] = true })
  lines[1] = lines[1] .. remarks(false, remark, type(root) == "table" and root.description or nil)
  return table.concat(lines, "\n")
end

return M
