--- What does the work of an item: an agent, a workflow, or a function; and what came of it, with what that has cost.

local agent = require "stoke.agent"
local combine = require "core.combine"
local errors = require "core.errors"
local ordered = require "core.ordered"
local show = require "stoke.show"
local time = require "stoke.time"

local M = {}

---@class stoke.pipeline.result plain data
---@field answer any the text of an agent, or its checked output; what a function or a workflow returned
---@field model? string
---@field usage { calls: integer, input_tokens: integer, output_tokens: integer, seconds: number } seconds: of the model's server
---@field seconds number the whole time, with what it waited for here

local function is_workflow(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and meta.__name == "stoke.workflow"
end

--- Which kind of subject is it?
---@param value any
---@return "agent"|"workflow"|"function"|nil
function M.kind(value)
  if getmetatable(value) == agent.Agent then return "agent" end
  if is_workflow(value) then return "workflow" end
  return errors.callable(value) and "function" or nil
end

-- ---- prompts -------------------------------------------------------------------------------------------------------------------

local COLUMN <const> = "{([%a_][%w_ .-]*)}"

local function has(fields, name)
  local names = ordered.names(fields)
  local near = errors.suggest(name, names)
  return ("it has %s%s"):format(#names > 0 and table.concat(names, ", ", 1, math.min(#names, 12)) or "no fields",
    near and (" (did you mean %s?)"):format(near) or "")
end

--- A value in a prompt: a text as it is, anything else as JSON.
local function in_words(value)
  if type(value) == "string" then return value end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return errors.check(require "core.json".encode(value))
end

--- Fill the fields of an item into a template: `{name}`.
---@param template string
---@param fields table<string, any>
---@return string
---Raises `argument` for a name that is none of its fields.
---
--- Example: `subject.fill("Where is {city}?", { city = "Oslo" })  --> Where is Oslo?`
function M.fill(template, fields)
  return (template:gsub(COLUMN, function(name)
    local value = fields[name]
    if value == nil then errors.argument("the prompt names {%s}, and %s", name, has(fields, name)) end
    return in_words(value)
  end))
end

--- The names in a template.
---@param template string
---@return string[]
function M.columns(template)
  local names = {}
  for name in template:gmatch(COLUMN) do names[#names + 1] = name end
  return names
end

--- What an agent is asked of an item: by the template, else what the item says itself.
---@param template string|(fun(fields: any): any)|nil
---@param fields any
---@return string|table
---Raises `argument`.
function M.question(template, fields)
  if type(template) == "function" then return template(fields) end
  if type(fields) ~= "table" then return template and M.fill(template, { value = fields }) or in_words(fields) end
  if template then return M.fill(template, fields) end
  local given = fields.messages or fields.prompt or fields.input
  if given == nil then
    errors.raise("argument", "there is nothing to ask: no field prompt, input or messages; " .. has(fields, "prompt"),
      { hint = 'say what is asked: --prompt "... {NAME} ...", prompt = "... {NAME} ..."' })
  end
  return given
end

-- ---- the work ------------------------------------------------------------------------------------------------------------------

local function is_result(value) return type(value) == "table" and type(value.text) == "string" and type(value.usage) == "table" end

local function of_result(result, model)
  local answer = result.output
  if answer == nil then answer = result.text end
  local used = result.usage
  return { answer = answer, model = result.model or model, usage = { calls = used.calls, input_tokens = used.input_tokens,
    output_tokens = used.output_tokens, seconds = used.seconds } }
end

--- Call a function, and count what models were asked in it.
local function measured(f, ...)
  local scope <close> = combine.scope { budget = {} }
  local value = f(...)
  local used = scope.budget.used
  if is_result(value) then return of_result(value) end
  return { answer = value, usage = { calls = used.calls, input_tokens = 0, output_tokens = used.tokens, seconds = used.seconds } }
end

--- The function that does an item.
---@param what string whose option it is, for errors
---@param run stoke.agent|stoke.workflow|function
---@param prompt? string|fun(fields: any): any for an agent
---@return fun(fields: any, id: string): stoke.pipeline.result raises what the work raises; id: of a workflow's run
---Raises `argument`.
---
--- Example: `local ask = subject.of("stoke.batch: run", bot, "Where is {city}?")`
function M.of(what, run, prompt)
  local kind = M.kind(run)
  if not kind then
    errors.argument("%s must be an agent, a workflow or a function, got %s", what, errors.describe(run))
  end
  local work
  if kind == "agent" then
    work = function(fields) return of_result(run:run(M.question(prompt, fields)), run.definition.model) end
  elseif kind == "workflow" then
    work = function(fields, id) return measured(function() return run:start(fields, { id = id }):await() end) end
  else
    work = function(fields) return measured(run, fields) end
  end
  return function(fields, id)
    local began = time.monotonic()
    local result = work(fields, id)
    result.seconds = math.floor((time.monotonic() - began) * 1000 + 0.5) / 1000
    return result
  end
end

--- How a subject is called in words.
---@param run any
---@return string
function M.name(run)
  local kind = M.kind(run)
  if kind == "agent" then return run.definition.name or run.definition.model or "an agent" end
  if kind == "workflow" then return run.name end
  return kind or show.line(run)
end

return M
