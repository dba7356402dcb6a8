--- What a server of OpenAI's wire can do for a model: found out by small calls, once, and remembered from one process to the next.
---
---   1  a stream with counts and odds    completion, stream_usage, logprobs, reasoning
---   2  a tool, asked for twice          tools, parallel_tool_calls
---   3  a schema of one odd answer       json_schema (bound by it), json_object
---   4  JSON without a schema, where the schema was refused
---
--- A word that a small model did not say proves nothing: what was taken without a complaint and not used counts as not seen (nil).

local errors = require "core.errors"
local json = require "core.json"
local memory = require "core.gate.memory"
local models = require "stoke.model"
local notes = require "stoke.openai.notes"

local M = {}

---@class stoke.openai.capabilities
---@field completion boolean
---@field tools? boolean nil: taken, and the model called none
---@field parallel_tool_calls? boolean several calls in one answer were seen
---@field json_schema? boolean answers are bound by a schema; nil: it is taken, and not kept to
---@field json_object? boolean
---@field logprobs boolean
---@field stream_usage boolean streams tell what they used
---@field thinking boolean
---@field embedding? boolean
---@field reasoning? "reasoning"|"reasoning_content" the field of the thinking

--- Tokens of each answer.
local TOKENS <const> = 64

local TOOL = { type = "function", ["function"] = { name = "get_weather", description = "The weather in a city", parameters = {
  type = "object", properties = { city = { type = "string" } }, required = json.array { "city" } } } }

--- Nobody answers this by chance.
local WORD <const> = "plum-7-otter"
local SCHEMA = { type = "object", properties = { word = { type = "string", enum = json.array { WORD } } },
  required = json.array { "word" }, additionalProperties = false }

local function say(text) return { { role = "user", content = text } } end

--- Errors that say that something is not taken.
local function is_refusal(err) return err.status == 400 or err.status == 422 or err.status == 501 or err.status == 500 end

local function try_stream(target, found)
  local call = { logprobs = true, top_logprobs = 1 }
  local ok, err = pcall(function()
    for event in models.stream(target, call, say "Say hello.", nil, nil, { num_predict = TOKENS, temperature = 0 }) do
      if event.logprobs then found.logprobs = true end
      if event.type == "thinking" then found.thinking = true end
      if event.type == "done" then found.completion, found.stream_usage = true, not event.usage.estimated end
    end
  end)
  if ok then return end
  if not errors.is(err) or not is_refusal(err) then error(err, 0) end
  if err.message:lower():find "embed" then found.embedding = true end
end

local function try_tools(target, found)
  local answer, err = models.ask(target, {}, say "What is the weather in Oslo and in Rome? Call get_weather for each.", { TOOL },
    nil,
    { num_predict = 2 * TOKENS, temperature = 0 })
  if err and not is_refusal(err) then error(err, 0) end
  if err then
    found.tools = false
  elseif answer.calls then
    found.tools, found.parallel_tool_calls = true, #answer.calls > 1 or nil
  end
end

local function try_format(target, found)
  local answer, err = models.ask(target, {}, say "Say any word.", nil, SCHEMA, { num_predict = TOKENS, temperature = 0 })
  if err and not is_refusal(err) then error(err, 0) end
  local lower = notes.learned(target).schema
  if err then
    found.json_schema = false
  elseif lower then
    found.json_schema, found.json_object = false, lower == "json_object"
  else
    local value = json.decode(answer.text)
    found.json_schema = type(value) == "table" and value.word == WORD or nil
    found.json_object = true
  end
end

local function key_of(target) return "openai " .. target.key end

--- What is known of a target, tried where it is not.
---@param target stoke.target
---@return stoke.openai.capabilities|nil capabilities
---@return stoke.error? err
---Raises `cancelled`.
function M.of(target)
  local known = notes.learned(target).can or memory.facts(key_of(target))
  if known then return known end
  local found = { completion = false, logprobs = false, stream_usage = false, thinking = false }
  local ok, err = pcall(function()
    try_stream(target, found)
    if not found.completion then return end
    try_tools(target, found)
    try_format(target, found)
  end)
  if not ok then
    if not errors.is(err) or err.kind == "cancelled" then error(err, 0) end
    return nil, err
  end
  found.reasoning = notes.learned(target).reasoning
  notes.learn(target, "can", found)
  memory.note(key_of(target), function() return found end)
  return found
end

return M
