--- stoke.choose: a model chooses one of several options: a route, the next speaker, yes or no. A grammar restricts the answer
--- to the options; prose is never searched for one, and an invalid answer is asked for again.

local errors = require "core.errors"
local json = require "core.json"
local agent = require "stoke.agent"
local texts = require "stoke.agent.texts"
local options = require "stoke.model.options"
local schema = require "stoke.schema"

local M = {}

local FIELDS = { model = "string", prompt = true, options = "table", instructions = "string", endpoint = "string",
  repair = "number", sampling = true, think = true, timeouts = "table", deadline = "number", texts = "table" }

---@class stoke.choice
---@field model string
---@field prompt string|table a text, { text =, images = }, or messages
---@field options (string|string[])[] texts, or { "name", "what it means" }
---@field instructions? string
---@field repair? integer how often it is asked again (3)
---@field sampling? table|string options of the model, or the name of a sampling profile; temperature 0 unless given
---@field texts? table<string, string|function> what the library says to the model, replaced; see stoke.agent.texts
---@field think? boolean|string
---@field endpoint? string
---@field timeouts? table
---@field deadline? number seconds

local function names_of(given)
  local names, lines = {}, {}
  errors.list("stoke.choose: options", given)
  for i, option in ipairs(given) do
    local name, description = option, nil
    if type(option) == "table" then name, description = option[1], option[2] end
    if type(name) ~= "string" or name == "" or (description ~= nil and type(description) ~= "string") then
      errors.argument('stoke.choose: options[%d] must be a text, or { "name", "what it means" }, got %s', i,
        errors.describe(option))
    end
    if not utf8.len(name) or description and not utf8.len(description) then
      errors.argument("stoke.choose: options[%d] is not UTF-8", i)
    end
    for _, other in ipairs(names) do
      if other == name then errors.argument("stoke.choose: the option %q is there twice", name) end
    end
    names[i] = name
    lines[i] = description and ("- %s: %s"):format(name, description) or "- " .. name
  end
  if #names < 1 then errors.argument("stoke.choose: options is empty; it takes a list of texts") end
  return names, table.concat(lines, "\n")
end

--- Sampling of a choice: the likeliest, and no longer than the longest option needs.
local function sampling(given, names)
  if given ~= nil then given = options.sampled("stoke.choose", nil, given) end
  local out = { temperature = 0, num_predict = 48 }
  for _, name in ipairs(names) do out.num_predict = math.max(out.num_predict, 32 + #name) end
  for name, value in next, given or {} do out[name] = value end
  return out
end

--- Let a model choose.
---@param given stoke.choice
---@return string option exactly as in `options`
---@return integer index
---@return stoke.usage usage
---Raises `argument`, and what agent:run raises: `invalid_output` when the model never chose.
---
--- Example: `local route = stoke.choose { model = m, prompt = mail, options = { "billing", { "spam", "advertising" } } }`
function M.choose(given)
  given = errors.options(given, FIELDS, "stoke.choose")
  if given.prompt == nil then errors.argument "stoke.choose: prompt is missing" end
  if given.options == nil then errors.argument "stoke.choose: options is missing" end
  local names, lines = names_of(given.options)
  local shape = schema.json { type = "object", required = { "choice" },
    properties = { choice = { type = "string", enum = json.array(table.move(names, 1, #names, 1, {})) } } }
  local chooser = agent {
    model = given.model, endpoint = given.endpoint, output = shape, repair = given.repair or 3, think = given.think,
    timeouts = given.timeouts, deadline = given.deadline, options = sampling(given.sampling, names),
    instructions = (given.instructions and given.instructions .. "\n\n" or "")
      .. texts.of("choose", given.texts, { options = lines }),
    texts = given.texts,
  }
  local result = chooser:run(given.prompt)
  local choice = result.output.choice
  for i, name in ipairs(names) do
    if name == choice then return name, i, result.usage end
  end
end

return setmetatable(M, { __call = function(_, given) return M.choose(given) end })
