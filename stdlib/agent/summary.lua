--- A summary of the messages that fall out of the context window.

local handler = require "core.coro".handler
local errors = require "core.errors"
local texts = require "core.text"
local bugs = require "stoke.log.bugs"
local log = require "stoke.log"
local models = require "stoke.model"
local text = require "stoke.tool.text"
local words = require "stoke.agent.texts"

local M = {}

--- Bytes of the messages that the model is shown.
local SHOWN = 6000

local function transcript(messages, old)
  local out = { old and "Earlier: " .. old or nil }
  for _, message in ipairs(messages) do
    local said = message.content or ""
    for _, call in ipairs(message.tool_calls or {}) do said = said .. " [calls " .. call["function"].name .. "]" end
    out[#out + 1] = ("%s: %s"):format(message.tool_name or message.role, text.cut(said, 800))
  end
  return text.cut(table.concat(out, "\n"), SHOWN)
end

local SAMPLING = { temperature = 0, num_predict = 300 }

--- Ask for it: the agent's own function, or its model. A summary that fails is done without; what was said is still there.
---@param agent table its definition
---@param target stoke.target
---@param messages table[]
---@param old string|nil the summary before
---@return string|nil
---@return stoke.usage|nil of the call it took
function M.of(agent, target, messages, old)
  local usage
  local function make()
    if agent.summarize ~= true then return agent.summarize(messages, old) end
    local question = { { role = "system", content = words.of("summary_task", agent.texts) },
      { role = "user", content = transcript(messages, old) } }
    local answer = errors.check(models.ask(target, { endpoint = agent.endpoint }, question, nil, nil, SAMPLING))
    usage = answer.usage
    return answer.text
  end
  local ok, made = xpcall(make, handler)
  if ok then return type(made) == "string" and made:find "%S" and texts.valid(made) or old, usage end
  if type(made) == "table" and (made.kind == "cancelled" or made.kind == "budget") then error(made, 0) end
  if bugs.is(errors.wrap(made)) then bugs.tell("a summarize function", errors.wrap(made), agent.label) end
  log.warn("a conversation could not be summarized", { agent = agent.label, error = tostring(made) })
  return old, usage
end

return M
