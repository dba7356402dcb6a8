--- A graph and models: edges are read out of a text, and looked up by a tool.
---
--- A text is read in two questions, each bound by a grammar: first the names in it, then, of these names alone, the edges. So a
--- small model has one thing to do at a time, and cannot connect what it has not named. What does not stand in the text is refused.

local errors = require "core.errors"
local json = require "core.json"
local line = require "core.text".line
local agent = require "stoke.agent"
local fold = require "stoke.reading.fold"
local schema = require "stoke.schema"
local texts = require "stoke.agent.texts"
local tool = require "stoke.tool"
local usage = require "stoke.agent.usage"

local M = {}

texts.add {
  graph_names = { "what graph:extract asks of a text first", "", "List who and what the text is about: each person, place, "
    .. "organization and thing that does something, or that something is done to. Write each name exactly as it stands in the "
    .. "text. Take only what the text says." },
  graph_edges = { "what it asks then", "", "Below are names, each with its number, and a text. Say what the text tells of these "
    .. "names. Each entry is: the number of a name, what it is or does to the other, the number of the other. Take only what the "
    .. "text says. If it connects none of them, give an empty list." },
  graph_text = { "the text of the second question, with the names that were found in it", "names text",
    "Names:\n{names}\n\nText:\n{text}" },
}

--- Names taken of one text at most, and edges.
M.NAMES, M.EDGES = 64, 128

local FIELDS = { model = "string", source = true, types = "table", relations = "table", endpoint = "string", sampling = true,
  texts = "table", timeouts = "table", deadline = "number" }

local function words(what, list)
  if list == nil then return nil end
  errors.list(what, list)
  for i, word in ipairs(list) do
    if type(word) ~= "string" or word == "" then
      errors.argument("%s[%d] must be a text, got %s", what, i, errors.describe(word))
    end
  end
  return #list > 0 and json.array(table.move(list, 1, #list, 1, {})) or nil
end

local function check(given)
  local o = errors.options(given, FIELDS, "graph:extract")
  if o.model == nil then errors.argument "graph:extract: model is missing" end
  local source = o.source
  if source ~= nil and type(source) ~= "string" and math.type(source) ~= "integer" then
    errors.argument("graph:extract: the source must be a text or a whole number, got %s", errors.describe(source))
  end
  if o.texts then texts.check("graph:extract", o.texts) end
  return o, words("graph:extract: types", o.types), words("graph:extract: relations", o.relations)
end

local function strings(choice, longest)
  return choice and { type = "string", enum = choice } or { type = "string", minLength = 1, maxLength = longest }
end

local function ask(o, name, instructions, shape, text)
  local reader = agent { name = "graph " .. name, model = o.model, endpoint = o.endpoint, instructions = instructions,
    output = schema.json(shape), options = o.sampling or { temperature = 0 }, timeouts = o.timeouts, deadline = o.deadline }
  return reader:run(text)
end

--- The names that the model finds, and those of them that do not stand in the text.
local function names(o, types, text, found)
  local item = schema.exact({ name = strings(nil, 200), type = strings(types, 60) }, { "name", "type" })
  local shape = schema.exact({ names = { type = "array", items = item, maxItems = M.NAMES } }, { "names" })
  local result = ask(o, "names", texts.of("graph_names", o.texts), shape, text)
  local folded, list, seen = fold.key(text), json.array {}, {}
  for _, one in ipairs(result.output.names) do
    local key = fold.key(one.name)
    if key == "" or not folded:find(key, 1, true) then
      table.insert(found.refused, { name = one.name, why = "it does not stand in the text" })
    elseif not seen[key] then
      seen[key] = true
      table.insert(list, one.name)
      found.types[one.name] = one.type
    end
  end
  return list, result.usage
end

--- The edges that the model reads. Names are words of the text, so they stand in the message that has it, and not in the
--- instructions, nor in the shape of the answer, which is told there: both ends are numbers.
local function edges(o, relations, text, list)
  local lines, number = {}, { type = "integer", minimum = 1, maximum = #list }
  for i, name in ipairs(list) do lines[i] = ("%d. %s"):format(i, line(name)) end
  local item = schema.exact({ from = number, type = strings(relations, 60), to = number }, { "from", "type", "to" })
  local shape = schema.exact({ edges = { type = "array", items = item, maxItems = M.EDGES } }, { "edges" })
  local asked = texts.of("graph_text", o.texts, { names = table.concat(lines, "\n"), text = text })
  local result = ask(o, "edges", texts.of("graph_edges", o.texts), shape, asked)
  local out = {}
  for i, edge in ipairs(result.output.edges) do out[i] = { from = list[edge.from], type = edge.type, to = list[edge.to] } end
  return out, result.usage
end

--- See graph:extract.
---@param graph stoke.graph
---@param text string
---@param given table
---@return table
function M.run(graph, text, given)
  local o, types, relations = check(given)
  if type(text) ~= "string" or not text:find "%S" then
    errors.argument("graph:extract: the text must be a string that is not empty, got %s", errors.describe(text))
  end
  local found = { edges = {}, refused = {}, types = {} }
  local list, used = names(o, types, text, found)
  found.usage = used
  if list[2] then
    local said, more = edges(o, relations, text, list)
    found.usage = usage.add(usage.add(nil, used), more)
    for _, edge in ipairs(said) do
      if edge.from == edge.to then
        table.insert(found.refused, { edge = edge, why = "it begins where it ends" })
      else
        graph:link(edge.from, edge.type, edge.to, { source = o.source })
        table.insert(found.edges, edge)
      end
    end
  end
  for _, name in ipairs(list) do graph:put(name, { type = found.types[name] }) end
  found.types = nil
  return found
end

local TOOL = { name = "string", description = "string", depth = "number", limit = "number" }

--- See graph:tool.
---@param graph stoke.graph
---@param given? table
---@return stoke.tool
function M.tool(graph, given)
  local o = errors.options(given, TOOL, "graph:tool")
  return tool {
    name = o.name or "look_up", idempotent = true,
    description = o.description or "Look up what is known of a person, place or thing, and what it has to do with others.",
    params = { name = "string: who or what" },
    run = function(a)
      if not a.name:find "%S" then return "error: the name is empty" end
      local text = graph:text(a.name, { depth = o.depth or 1, limit = o.limit or 50 })
      if text then return text end
      local near = errors.suggest(a.name, graph:names { limit = 1000 })
      return ("nothing is known of %q%s"):format(a.name, near and (" (did you mean %s?)"):format(near) or "")
    end,
  }
end

return M
