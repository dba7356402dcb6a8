--- Requests as OpenAI's wire has them, made of the body that all dialects share (stoke.openai.protocol) when the server is known
--- that gets them. What a server does not take is left out and said once.

local json = require "core.json"
local learned = require "stoke.model.learned"
local messages = require "stoke.openai.messages"
local notes = require "stoke.openai.notes"

local M = {}

--- Options that all servers take.
local COMMON = { temperature = "temperature", top_p = "top_p", seed = "seed", presence_penalty = "presence_penalty",
  frequency_penalty = "frequency_penalty" }

--- q -> tokens that its answer may have, as the server said.
M.fits = setmetatable({}, { __mode = "k" })

local function put(body, field, value, refused)
  if not refused[field] then body[field] = value end
end

--- The bound of an answer: no more than the window leaves, which many servers refuse.
local function bound(q, target, server, options, amend)
  local tokens = amend and amend.num_predict or options.num_predict
  if not tokens or tokens < 0 then return nil end
  local window = server.windows[target.served]
  if window then tokens = math.min(tokens, math.max(window - learned.estimate(target, learned.body_size(q.body)), 16)) end
  return math.min(tokens, M.fits[q] or tokens)
end

local function sample(body, q, target, server, facts, amend)
  local kind, refused, options = server.kind, facts.refused or {}, q.body.options or {}
  for name, value in next, options do
    local field = COMMON[name] or kind.options[name]
    if field then
      put(body, field, value, refused)
    elseif name == "stop" then
      if next(value) ~= nil then put(body, "stop", value, refused) end
    elseif name ~= "num_predict" then
      notes.once(target, name, ("the option %s is not sent: %s is not known to take it"):format(name, kind.name == "other"
        and "the server" or kind.name))
    end
  end
  local tokens = bound(q, target, server, options, amend)
  if tokens then body[facts.most or kind.most or "max_tokens"] = tokens end
end

local EFFORTS = { [true] = "medium", low = "low", medium = "medium", high = "high", max = "high" }

--- How each way switches thinking: fun(body, think). think is false, true or a level.
local THINKING = {}

function THINKING.effort(body, think) -- Ollama: thinking is on where nothing is said
  if think == false then body.reasoning_effort = "none" elseif think ~= true then body.reasoning_effort = EFFORTS[think] end
end

function THINKING.level(body, think)
  if think then body.reasoning_effort = EFFORTS[think] end
end

function THINKING.template(body, think)
  body.chat_template_kwargs = { enable_thinking = think ~= false }
  if type(think) == "string" then body.reasoning_effort = EFFORTS[think] end
end

function THINKING.native(body, think)
  body.reasoning = think == false and { enabled = false } or think == true and { enabled = true } or { effort = EFFORTS[think] }
end

function THINKING.switch(body, think)
  body.thinking = { type = think and "enabled" or "disabled" }
end

M.THINKING = { "reasoning_effort", "chat_template_kwargs", "reasoning", "thinking" }

--- Does a schema bind each object to its members, as `strict` demands?
local function is_strict(schema)
  if type(schema) ~= "table" then return true end
  local members = schema.properties
  if schema.type == "object" or members then
    if schema.additionalProperties ~= false then return false end
    local required = {}
    for _, name in ipairs(schema.required or {}) do required[name] = true end
    for name in next, members or {} do
      if not required[name] then return false end
    end
  end
  for key, value in next, schema do
    if key ~= "enum" and key ~= "const" and not is_strict(value) then return false end
  end
  return true
end

--- The format of an answer; nil where the server takes none.
local function format_of(format, target, kind, facts)
  if format == nil then return nil end
  local way = facts.schema or "json_schema"
  if format == "json" and way ~= "none" then return { type = "json_object" } end
  if way == "json_schema" and kind.shaped then return { type = "json_object", schema = format } end
  if way == "json_schema" then
    return { type = "json_schema", json_schema = { name = "answer", schema = format,
      strict = kind.strict and is_strict(format) or nil } }
  end
  notes.once(target, "format", way == "json_object"
    and "the server takes no JSON Schema: it is told to write JSON, and the answer is checked here"
    or "the server takes no format: the answer is checked here alone")
  return way == "json_object" and { type = "json_object" } or nil
end

--- The part that chats and completions share.
local function begin(q, target, server, stream, facts, amend)
  local body = { model = target.served, stream = stream }
  if stream and not (facts.refused or {}).stream_options then body.stream_options = { include_usage = true } end
  sample(body, q, target, server, facts, amend)
  return body
end

--- The body of a chat.
---@param q table
---@param target stoke.target
---@param server stoke.openai.server
---@param stream boolean
---@param amend? table
---@return table
function M.chat(q, target, server, stream, amend)
  local asked, facts, kind = q.body, notes.learned(target), server.kind
  local refused = facts.refused or {}
  local body = begin(q, target, server, stream, facts, amend)
  local left
  body.messages, left = messages.write(asked.messages, kind.past)
  if left then notes.once(target, "thinking", "the thinking of earlier answers is not sent: the wire has no field for it") end
  body.tools = asked.tools
  body.response_format = format_of(asked.format, target, kind, facts)
  if asked.logprobs then
    put(body, "logprobs", true, refused)
    put(body, "top_logprobs", asked.top_logprobs, refused)
  end
  THINKING[kind.think](body, asked.think or false)
  for _, field in ipairs(M.THINKING) do
    if refused[field] then body[field] = nil end
  end
  return body
end

--- The body of a completion.
---@param q table
---@param target stoke.target
---@param server stoke.openai.server
---@param stream boolean
---@param amend? table
---@return table
function M.completion(q, target, server, stream, amend)
  local body = begin(q, target, server, stream, notes.learned(target), amend)
  body.prompt, body.suffix = q.body.prompt, q.body.suffix
  return body
end

--- The body of an embedding.
---@param q table
---@param target stoke.target
---@return table
function M.embedding(q, target)
  local input = q.body.input
  return { model = target.served, input = type(input) == "table" and json.array(table.move(input, 1, #input, 1, {})) or input,
    dimensions = q.body.dimensions, encoding_format = "float" }
end

M.THINK = THINKING

return M
