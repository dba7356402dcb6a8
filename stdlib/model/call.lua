--- stoke.chat, stoke.stream and stoke.embed: one question to a model, whatever its server speaks. What is Ollama's own (templates,
--- raw prompts, loading, pulling) is in stoke.ollama, what is OpenAI's own in stoke.openai.

local errors = require "core.errors"
local models = require "stoke.model"
local options = require "stoke.model.options"
local terms = require "stoke.model.terms"

local M = {}

---@class stoke.chat
---@field model string
---@field messages? table[] { role =, content =, images =, thinking =, tool_calls =, tool_name =, tool_call_id = }
---@field prompt? string in the place of messages: one message of the user
---@field tools? table[] as tool:definition() gives them
---@field format? "json"|table|stoke.Schema a JSON Schema, or what stoke.schema gave; does not mix with tools
---@field options? table|string sampling: temperature, seed, stop, num_predict, top_p ...; or the name of a sampling profile
---@field sampling? string name of a sampling profile; options go over it
---@field think? boolean|"low"|"medium"|"high"|"max" false when not given
---@field logprobs? boolean the odds of the tokens of the answer
---@field top_logprobs? integer 0 to 20
---@field endpoint? string name or address
---@field route? string|string[] where it may go
---@field timeouts? table seconds by phase, { connect, first_byte, idle, total }
---@field split_thinking? boolean false: reasoning between tags stays in the text
---@field class? "interactive"|"normal"|"batch" who goes first where calls wait, see ollama.chat
---@field deadline? number seconds for the whole call
---@field cache? boolean|stoke.cache.settings its answer may come from the cache, see stoke.cache

---@class stoke.chat.answer: stoke.model.answer
---@field message table { role = "assistant", content, thinking?, tool_calls? }
---@field cached? "exact"|"shared"|"semantic"|"prefix" it came from the cache

local FIELDS = { model = "string", messages = "table", prompt = "string", tools = "table", format = true, options = "table",
  think = true, logprobs = "boolean", top_logprobs = "number", endpoint = "string", route = true, timeouts = "table",
  split_thinking = "boolean", class = true, deadline = "number", cache = true }
local STREAM = { merge = "boolean" }
for name, kind in next, FIELDS do STREAM[name] = kind end

--- What a call asks, checked: its target, call, messages, tools, format and options.
local function prepared(what, given, fields)
  if type(given) == "table" and given.model == nil and given.route ~= nil then
    local copy = {}
    for name, value in next, given do copy[name] = value end
    copy.model = require "stoke.config.routes".model(what, nil, given.route)
    given = copy
  end
  given = options.check(what, given, fields)
  if (given.messages == nil) == (given.prompt == nil) then
    errors.argument("%s: messages or prompt, one of both", what)
  end
  local list = given.messages or { { role = "user", content = given.prompt } }
  if #list == 0 then errors.argument("%s: messages is empty", what) end
  local target = models.open(given.model, given.endpoint, given.route)
  if given.class ~= nil or given.deadline or given.cache ~= nil then target = terms.target(what, given, target) end
  local call = { think = given.think, timeouts = given.timeouts, endpoint = given.endpoint, split_thinking = given.split_thinking,
    logprobs = given.logprobs, top_logprobs = given.top_logprobs }
  return target, call, options.messages(what, list, options.images), given.tools and #given.tools > 0 and given.tools or nil,
    options.format(given.format), given.options
end

--- One answer; see stoke.chat.
---@param given stoke.chat
---@return stoke.chat.answer
---
--- Example: `print(call.chat { model = "qwen2.5:3b", prompt = "Hi" }.text)`
function M.chat(given)
  local target, call, messages, tools, format, sampling = prepared("stoke.chat", given, FIELDS)
  local answer, err
  if given.deadline then
    answer, err = terms.within("stoke.chat", given, target, models.ask, target, call, messages, tools, format, sampling)
  else
    answer, err = models.ask(target, call, messages, tools, format, sampling)
  end
  errors.check(answer, err)
  answer.message = { role = "assistant", content = answer.text, thinking = answer.thinking, tool_calls = answer.calls }
  return answer
end

--- An answer as it comes; see stoke.stream.
---@param given stoke.chat
---@return fun(): table iterator for generic `for`
---
--- Example: `for ev in call.stream { model = "qwen2.5:3b", prompt = "Hi" } do io.write(ev.text or "") end`
function M.stream(given)
  local target, call, messages, tools, format, sampling = prepared("stoke.stream", given, STREAM)
  call.merge = given.merge
  if not given.deadline then return models.stream(target, call, messages, tools, format, sampling) end
  local q = target.dialect.chat(target, call, true, messages, tools, format, sampling)
  local stream = errors.check(terms.within("stoke.stream", given, target, models.perform, "llm.stream", q, target, call))
  return models.events(stream, target, q, true)
end

local EMBED = { model = "string", input = true, endpoint = "string", route = true, timeouts = "table", dimensions = "number",
  cache = true }

--- Vectors of texts; see stoke.embed.
---@param given { model: string, input: string|string[], endpoint?: string, route?: string|string[], dimensions?: integer,
---  cache?: boolean } cache = false: neither look for vectors in the cache nor keep them
---@return { vectors: number[][], usage: stoke.usage }
---
--- Example: `local v = call.embed { model = "nomic-embed-text", input = "a text" }.vectors[1]`
function M.embed(given)
  given = options.check("stoke.embed", given, EMBED)
  local input = given.input
  if type(input) == "string" then input = { input } end
  if type(input) ~= "table" then
    errors.argument("stoke.embed: input must be a string or a list of strings, got %s", errors.describe(given.input))
  end
  for i = 1, #input do
    if type(input[i]) ~= "string" then errors.argument("stoke.embed: input[%d] must be a string, got %s", i, type(input[i])) end
  end
  if #input == 0 then errors.argument("stoke.embed: input is empty") end
  local target = models.open(given.model, given.endpoint, given.route)
  local vectors, usage = models.embed(target, { endpoint = given.endpoint, timeouts = given.timeouts,
    dimensions = given.dimensions, cache = given.cache }, input)
  if not vectors then error(usage, 0) end
  return { vectors = vectors, usage = usage }
end

return M
