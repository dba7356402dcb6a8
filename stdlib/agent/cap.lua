--- How long an answer may get where nobody says: a fixed number of tokens, which a small model on a processor writes in a few
--- minutes; or as many as the model's window has, where that is known and smaller: what is longer has lost its own beginning.
---
--- It is sent as num_predict, so that the server ends the answer and its slot is free. options.num_predict of the agent or of the
--- model's profile goes before it, and so does a budget of tokens, which bounds the answer itself.

local current = require "core.task".current
local models = require "stoke.model"

local M = {}

--- Tokens of an answer, and of one with the thinking before it.
M.ANSWER, M.THINKING = 4096, 32768

--- Does one of these budgets bound the tokens?
local function bounds_tokens(level)
  while level do
    if level.limit.tokens then return true end
    level = level.outer
  end
  return false
end

--- The cap of an agent's next answer.
---@param agent table its definition
---@param target stoke.target
---@return integer|nil tokens nil: something else bounds it
---@return integer|nil window of the model, where it is known
---
--- Example: `local tokens = cap.of(bot.definition, target)`
function M.of(agent, target)
  local options = agent.options
  if options and options.num_predict then return nil end
  local task = current()
  local budget = task and (task.scope or task).context.budget
  if budget and bounds_tokens(budget) then return nil end
  if target.sampling and target.sampling.num_predict then return nil end
  local known = models.known(target)
  local most = agent.think and M.THINKING or M.ANSWER
  return known and known < most and known or most, known
end

--- Tables that hold a cap alone, by the cap: all agents without options of their own share them.
local alone, count, KEPT = {}, 0, 64

--- The options of a call with a cap; the same table each time.
---@param agent table its definition
---@param tokens integer|nil
---@return table|nil
function M.options(agent, tokens)
  local options = agent.options
  if not tokens then return options end
  if not options then
    local shared = alone[tokens]
    if not shared then
      if count == KEPT then alone, count = {}, 0 end
      shared = { num_predict = tokens }
      alone[tokens], count = shared, count + 1
    end
    return shared
  end
  local capped = agent.capped
  if not capped or capped.num_predict ~= tokens then
    capped = { num_predict = tokens }
    for name, value in next, options do capped[name] = value end
    agent.capped = capped
  end
  return capped
end

--- Where a cap comes from, in words.
---@param agent table its definition
---@param target stoke.target
---@return string
function M.words(agent, target)
  local tokens, known = M.of(agent, target)
  if not tokens then return "as long as num_predict or a budget says" end
  return ("at most %d tokens (%s; options.num_predict sets another limit)"):format(tokens,
    tokens == known and "the window of " .. agent.model or "where nothing else is said")
end

return M
