--- Describes a schema for a prompt: a skeleton of the expected JSON, one line per field.
---
--- The text grows no faster than the schema, and not beyond what a prompt can bear: each definition is written out where it is met
--- first and named after that, and where the whole is too long, the inner levels are named instead of written out.

local formats = require "stoke.schema.formats"
local texts = require "core.text"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local show, expected = values.show, words.expected

--- Levels that are written out; fewer where the text gets longer than LONGEST bytes. What the last leaves too long is cut.
local DEPTHS = { 12, 5, 3, 2, 1, 0 }
local LONGEST = 8000
--- Bytes of one remark, and of the line of a definition that is repeated instead of named.
local REMARK, SHORT = 1000, 80

-- Each of these returns the lines of a node, the first without its indent, and a remark for the first or nil. `run` holds:
-- resolve; depth, the levels left out; left, the bytes that may still come; open and done, references by name.
local render

local function scalar(node, resolve)
  if type(node) ~= "table" then return "any value" end
  if node.type == "string" and formats.short[node.format] and not node.enum then return formats.short[node.format] end
  if not node.enum then return (expected(node, resolve):gsub("true or false", "true | false")) end
  local list, size = {}, 0
  for i, value in ipairs(node.enum) do
    list[i] = show(value)
    size = size + #list[i]
    if size > REMARK then
      list[i + 1] = "..."
      break
    end
  end
  return table.concat(list, " | ")
end

local function remarks(optional, count, text)
  local notes = { optional and "optional" or nil }
  if count then notes[#notes + 1] = count end
  if text then
    text = text:gsub("%s+", " ")
    notes[#notes + 1] = #text > REMARK and texts.head(text, REMARK) .. "..." or text
  end
  return #notes > 0 and "  // " .. table.concat(notes, ": ") or ""
end

local function name_of(ref) return ref:match "([^/#]+)$" or "the whole" end

local function object(node, indent, run)
  local lines, names, needed = { "{" }, values.keys(node.properties), {}
  for _, name in ipairs(node.required or {}) do needed[name] = true end
  if #names == 0 then return { "{}" } end
  for i, name in ipairs(names) do
    if run.left <= 0 then
      lines[#lines + 1] = ("%s  ... and %d more"):format(indent, #names - i + 1)
      break
    end
    local schema = node.properties[name]
    local part, remark = render(schema, indent .. "  ", run)
    local text = type(schema) == "table" and schema.description or nil
    if i < #names then part[#part] = part[#part] .. "," end
    part[1] = ("%s  %s: %s%s"):format(indent, show(name), part[1], remarks(not needed[name], remark, text))
    run.left = run.left - #part[1] - 1
    table.move(part, 1, #part, #lines + 1, lines)
  end
  lines[#lines + 1] = indent .. "}"
  run.left = run.left - 2 * #indent - 4
  return lines
end

local function array(node, indent, run)
  local part = render(node.items, indent .. "  ", run)
  local count = expected({ type = "array", minItems = node.minItems, maxItems = node.maxItems }):match "^array of (.*)$"
  if #part == 1 then return { ("[ %s, ... ]"):format(part[1]) }, count end
  part[1] = indent .. "  " .. part[1]
  part[#part] = part[#part] .. ","
  table.insert(part, 1, "[")
  table.move({ indent .. "  ...", indent .. "]" }, 1, 2, #part + 1, part)
  run.left = run.left - 3 * #indent - 12
  return part, count
end

local function either(node, branches, indent, run)
  local lines
  for i, branch in ipairs(branches) do
    if run.left <= 0 then
      lines[#lines] = ("%s or one of %d more"):format(lines[#lines], #branches - i + 1)
      break
    end
    local part = render(branch, indent, run)
    run.left = run.left - #part[1] - 4
    if lines then
      lines[#lines] = lines[#lines] .. " or " .. part[1]
      table.move(part, 2, #part, #lines + 1, lines)
    else
      lines = part
    end
  end
  return lines or { scalar(node, run.resolve) }
end

--- A definition: written out the first time, and again where it is no more than a word.
local function reference(ref, indent, run)
  if run.open[ref] then return { ("(%s again)"):format(name_of(ref)) } end
  local done = run.done[ref]
  if done then return { done.line or ("(%s as above)"):format(name_of(ref)) }, done.line and done.remark end
  run.open[ref] = true
  local lines, remark = render(run.resolve(ref), indent, run)
  run.open[ref] = nil
  run.done[ref] = { line = #lines == 1 and #lines[1] <= SHORT and lines[1] or nil, remark = remark }
  return lines, remark
end

function render(node, indent, run)
  if type(node) ~= "table" or #indent > run.depth * 2 then return { scalar(node, run.resolve) } end
  if node["$ref"] then return reference(node["$ref"], indent, run) end
  if node.enum then return { scalar(node, run.resolve) } end
  local branches = node.anyOf or node.oneOf
  if branches and not node.type then return either(node, branches, indent, run) end
  local lines, remark
  if node.properties then
    lines = object(node, indent, run)
  elseif values.kind(node.items) == "object" then
    lines, remark = array(node, indent, run)
  else
    return { scalar(node, run.resolve) }
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
  local lines, remark
  for _, depth in ipairs(DEPTHS) do
    local run = { resolve = resolve, depth = depth, left = LONGEST, open = { ["#"] = true }, done = {} }
    lines, remark = render(root, "", run)
    if run.left > 0 then break end
  end
  lines[1] = lines[1] .. remarks(false, remark, type(root) == "table" and root.description or nil)
  return table.concat(lines, "\n")
end

return M
