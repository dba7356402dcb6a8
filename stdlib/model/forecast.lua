--- stoke.estimate: how long a call would take, before it is made.

require "core.driver.forecast"
local effect = require "core.effect"
local errors = require "core.errors"
local endpoints = require "core.endpoint"
local learned = require "stoke.model.learned"
local models = require "stoke.model"

local M = {}

local FIELDS = { model = "string", endpoint = "string", route = true, prompt = "string", messages = "table", tokens = "number",
  answer = "number", agent = true }

local function whole(name, value)
  if value ~= nil and not (math.type(value) == "integer" and value >= 0) then
    errors.argument("stoke.estimate: %s must be a whole number of tokens, got %s", name, errors.describe(value))
  end
  return value
end

--- Bytes and images of what would be asked.
local function size_of(given)
  local bytes, images = 0, 0
  for i, message in ipairs(given.messages or {}) do
    if type(message) ~= "table" then errors.argument("stoke.estimate: messages[%d] must be a table", i) end
    local more, pictures = learned.size(message)
    bytes, images = bytes + more, images + pictures
  end
  return bytes + #(given.prompt or ""), images
end

---@class stoke.estimate
---@field seconds number until the answer is there; the model's load only where it is known not to be in memory
---@field queue number of these: until a slot is free
---@field prefill number of these: reading the prompt, none of it remembered
---@field decode number of these: writing the answer
---@field load number what loading the model takes
---@field loaded? boolean is it in memory? nil: nobody knows
---@field known boolean false: nothing was learned of this model yet, and the numbers are a guess
---@field input integer tokens of the prompt, at a guess
---@field output integer tokens of the answer: the usual, or those given
---@field speeds { prefill?: number, decode?: number } tokens a second
---@field model string as its server calls it
---@field endpoint string
---@field servers stoke.estimate[] all that the call may go to, the soonest first; this is the first

--- How long a call would take, by what was learned of its model and server, and what waits there now. Nothing is sent. What is
--- learned comes from calls that met others in the pool, also those of earlier processes, and from all calls of this process after
--- its first estimate.
---@param given { model?: string, endpoint?: string, route?: string|string[], prompt?: string, messages?: table[], tokens?: integer,
---  answer?: integer, agent?: stoke.agent } tokens: of the prompt, instead of it; answer: tokens of the answer; agent: whose model,
---  and whose usual length of answers
---@return stoke.estimate
---Raises `argument`, and `usage` for a route or an endpoint that nobody knows.
---
--- Example: `print(stoke.estimate { model = "qwen2.5:3b", prompt = text }.seconds)`
function M.of(given)
  given = errors.options(given, FIELDS, "stoke.estimate")
  local agent = type(given.agent) == "table" and rawget(given.agent, "definition") or nil
  if given.agent ~= nil and not agent then
    errors.argument("stoke.estimate: agent must be one (stoke.agent { ... }), got %s", errors.describe(given.agent))
  end
  local model, endpoint, route = given.model, given.endpoint, given.route
  if agent and not model then model, endpoint, route = agent.model, endpoint or agent.endpoint, route or agent.route end
  if route ~= nil then model = require "stoke.config.routes".model("stoke.estimate", model, route) end
  if not model then errors.argument "stoke.estimate: model is missing" end
  local target = models.open(model, endpoint, route)
  local bytes, images = size_of(given)
  local work = table.move(target.candidates, 1, #target.candidates, 1, {})
  work.input = whole("tokens", given.tokens) or learned.estimate(target, bytes, images) -- goes by what this process has learned
  local rows = errors.check(effect.perform("llm.forecast", { model = model, endpoint = endpoint, bytes = bytes, images = images,
    input = given.tokens, output = whole("answer", given.answer), agent = agent and agent.label or nil }, work))
  local best = {}
  for name, value in next, rows[1] do best[name] = value end
  best.servers = rows
  return best
end

--- The endpoint that a call without one goes to, for who shows an estimate.
---@private
---@return string
---
--- Example: `print(forecast.default())`
function M.default() return endpoints.of().name end

return M
