--- The kinds of stages: what each does with a value, and what it hands on.
---
---   augment = f      the fields that f returns are added to those of the value
---   infer = agent    the agent's answer is added as the field `into`; a value that is no table becomes the answer
---   workflow = flow  a durable run per item; its result is added or becomes the value, as with infer
---   post = f         what f returns is the value; nil: it stays as it is
---   run = f          what f returns is the value; nil: it ends here

local errors = require "core.errors"
local ordered = require "core.ordered"
local subject = require "stoke.pipeline.subject"

local M = {}

--- What a stage gives for a value that ends there.
M.DROPPED = setmetatable({}, { __tostring = function() return "dropped" end })

local function with(value, more)
  local copy = {}
  for key, one in next, value do copy[key] = one end
  for key, one in next, more do copy[key] = one end
  return copy
end

local KINDS = {}

function KINDS.augment(what, f)
  errors.check_callable(f, what .. ": augment")
  return function(value, item)
    local more = f(value, item)
    if more == nil then return value end
    if type(more) ~= "table" or type(value) ~= "table" then
      errors.argument("%s: augment adds fields to a table: the value is %s, and it returned %s", what, errors.describe(value),
        errors.describe(more))
    end
    return with(value, more)
  end
end

--- A value with an answer.
local function answered(stage, value, answer)
  if type(value) ~= "table" then return answer end
  return with(value, { [stage.into or "answer"] = answer })
end

local function asked(what, stage, run)
  local work = subject.of(what, run, stage.prompt)
  return function(value, item, used)
    local result = work(value, item.run)
    used(result.usage)
    return answered(stage, value, result.answer)
  end
end

function KINDS.infer(what, run, stage)
  if subject.kind(run) ~= "agent" then errors.argument("%s: infer must be an agent, got %s", what, errors.describe(run)) end
  return asked(what .. ": infer", stage, run)
end

function KINDS.workflow(what, run, stage)
  if subject.kind(run) ~= "workflow" then errors.argument("%s: workflow must be one, got %s", what, errors.describe(run)) end
  return asked(what .. ": workflow", stage, run)
end

function KINDS.post(what, f)
  errors.check_callable(f, what .. ": post")
  return function(value, item)
    local new = f(value, item)
    if new == nil then return value end
    return new
  end
end

function KINDS.run(what, f)
  errors.check_callable(f, what .. ": run")
  return function(value, item)
    local new = f(value, item)
    if new == nil then return M.DROPPED end
    return new
  end
end

local OPTIONS = { name = "string", concurrency = "number", tries = "number", lease = "number", bound = "number", prompt = true,
  into = "string", split = "boolean", augment = true, infer = true, workflow = true, post = true, run = true }

local function check_whole(what, name, value, most)
  local n = math.tointeger(value)
  if not n or n < 1 or n > most then
    errors.argument("%s: %s must be a whole number from 1 to %d, got %s", what, name, most, tostring(value))
  end
  return n
end

--- A stage as it was given, checked.
---@param what string
---@param given table
---@param bound integer where it says none
---@return { name: string, concurrency: integer, tries: integer, lease: number, bound: integer, split: boolean, kind: string,
---  asks: boolean, work: fun(value: any, item: table, used: fun(usage: table)): any }
---Raises `argument`.
---
--- Example: `local stage = kinds.stage("stoke.pipeline: stages[1]", { name = "read", run = f }, 64)`
function M.stage(what, given, bound)
  if type(given) ~= "table" then errors.argument("%s must be a table, got %s", what, errors.describe(given)) end
  errors.options(given, OPTIONS, what)
  if not given.name or not given.name:find "^[%w_-]+$" or #given.name > 60 then
    errors.argument("%s: a name expected, of letters, digits, - and _, got %s", what, errors.describe(given.name))
  end
  what = ("stage %s"):format(given.name)
  local kind
  for _, name in ipairs(ordered.names(KINDS)) do
    if given[name] ~= nil then
      if kind then errors.argument("%s: either %s or %s", what, kind, name) end
      kind = name
    end
  end
  if not kind then errors.argument("%s does nothing: it wants augment, infer, workflow, post or run", what) end
  if given.prompt ~= nil and kind ~= "infer" then errors.argument("%s: prompt is for infer", what) end
  return { name = given.name, kind = kind, asks = kind == "infer" or kind == "workflow", into = given.into,
    prompt = given.prompt, split = given.split or false,
    concurrency = check_whole(what, "concurrency", given.concurrency or 1, 1000),
    tries = check_whole(what, "tries", given.tries or 3, 100), lease = given.lease or 30,
    bound = check_whole(what, "bound", given.bound or bound, 100000), work = KINDS[kind](what, given[kind], given) }
end

return M
