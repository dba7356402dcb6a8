--- /v1/responses, as far as agents need it: messages, calls of tools and their results, reasoning, schemas, streams. No state is
--- kept on the server: each request has the whole conversation (store = false).

local failures = require "stoke.openai.failures"
local bodies = require "stoke.openai.bodies"
local json = require "core.json"
local messages = require "stoke.openai.messages"
local pieces = require "stoke.reading.pieces"
local replies = require "stoke.openai.replies"
local stream = require "stoke.openai.stream"

local M = {}

-- ---- what is sent -------------------------------------------------------------------------------------------------------------

local function parts_of(content)
  if type(content) == "string" then return content end
  local out = json.array {}
  for i, part in ipairs(content) do
    out[i] = part.type == "text" and { type = "input_text", text = part.text }
      or { type = "input_image", image_url = part.image_url.url }
  end
  return out
end

--- Items of a conversation, and the instructions before it.
local function items_of(list)
  local items, instructions = json.array {}, nil
  for i, message in ipairs((messages.write(list))) do
    if message.role == "system" and i == 1 then
      instructions = message.content
    elseif message.role == "tool" then
      items[#items + 1] = { type = "function_call_output", call_id = message.tool_call_id,
        output = parts_of(message.content) }
    else
      if message.content ~= "" then
        items[#items + 1] = { type = "message", role = message.role, content = parts_of(message.content) }
      end
      for _, call in ipairs(message.tool_calls or {}) do
        local f = call["function"]
        items[#items + 1] = { type = "function_call", call_id = call.id, name = f.name, arguments = f.arguments }
      end
    end
  end
  return items, instructions
end

local function tools_of(list)
  if not list then return nil end
  local out = json.array {}
  for i, tool in ipairs(list) do
    local f = tool["function"]
    out[i] = { type = "function", name = f.name, description = f.description, parameters = f.parameters, strict = false }
  end
  return out
end

--- The body of a request.
---@param q table
---@param target stoke.target
---@param server stoke.openai.server
---@param streamed boolean
---@param amend? table
---@return table
function M.body(q, target, server, streamed, amend)
  local chat = bodies.chat(q, target, server, streamed, amend)
  local format = chat.response_format
  local input, instructions = items_of(q.body.messages)
  local effort = chat.reasoning_effort
  local shape = format and format.json_schema
  return { model = chat.model, input = input, instructions = instructions, tools = tools_of(q.body.tools), stream = streamed,
    store = false, temperature = chat.temperature, top_p = chat.top_p,
    max_output_tokens = chat.max_tokens or chat.max_completion_tokens, reasoning = effort and { effort = effort } or nil,
    text = format and { format = shape and { type = "json_schema", name = shape.name, schema = shape.schema,
      strict = shape.strict or false }
      or { type = "json_object" } } or nil }
end

-- ---- what comes back ----------------------------------------------------------------------------------------------------------

local function told(usage)
  if type(usage) ~= "table" then return nil end
  return { prompt_tokens = usage.input_tokens, completion_tokens = usage.output_tokens,
    prompt_tokens_details = usage.input_tokens_details }
end

local function text_in(list)
  local out = {}
  for _, part in ipairs(type(list) == "table" and list or {}) do
    local text = type(part) == "table" and (part.text or part.refusal)
    if type(text) == "string" then out[#out + 1] = text end
  end
  return table.concat(out)
end

local function reason_of(response)
  local details = response.incomplete_details
  if response.status == "incomplete" and type(details) == "table" then
    return details.reason == "max_output_tokens" and "length" or details.reason
  end
  return "stop"
end

local function failed(response, q, target)
  if response.status ~= "failed" then return nil end
  return failures.inside({ error = type(response.error) == "table" and response.error or "the server failed" }, q, target)
end

--- A whole reply.
---@param value table
---@param q table
---@param target stoke.target
---@param attempts? integer
---@param replaced integer
---@return table|nil reply
---@return stoke.error? err
function M.reply(value, q, target, attempts, replaced)
  if type(value.output) ~= "table" then return nil, failures.odd("output is no list", q) end
  local err = failed(value, q, target)
  if err then return nil, err end
  local text, thought, calls = {}, {}, {}
  for _, item in ipairs(value.output) do
    local kind = type(item) == "table" and item.type
    if kind == "message" then
      text[#text + 1] = text_in(item.content)
    elseif kind == "reasoning" then
      thought[#thought + 1] = text_in(item.summary) .. text_in(item.content)
    elseif kind == "function_call" then
      calls[#calls + 1] = { id = item.call_id, ["function"] = { name = item.name, arguments = item.arguments } }
    end
  end
  local list, repairs = replies.calls(calls[1] and calls or nil, q)
  if not list and repairs ~= 0 then return nil, repairs end
  return replies.made({ text = table.concat(text), thinking = table.concat(thought), calls = list, repairs = repairs + replaced,
    finish = reason_of(value), usage = told(value.usage), model = value.model, id = value.id }, q, target, attempts)
end

replies.shapes["/v1/responses"] = M.reply

--- type of an event -> fun(event, state, damaged): events, finished | nil, err
local EVENTS = {}

local function piece(text, thought, state, damaged)
  state.bytes = (state.bytes or 0) + #text + #thought
  local events = pieces.texts(text, thought, nil, state, damaged)
  return events[1] and events or nil
end

EVENTS["response.output_text.delta"] = function(event, state, damaged)
  return type(event.delta) == "string" and piece(event.delta, "", state, damaged) or nil
end
EVENTS["response.refusal.delta"] = EVENTS["response.output_text.delta"]
EVENTS["response.reasoning_summary_text.delta"] = function(event, state, damaged)
  return type(event.delta) == "string" and piece("", event.delta, state, damaged) or nil
end
EVENTS["response.reasoning_text.delta"] = EVENTS["response.reasoning_summary_text.delta"]

EVENTS["response.output_item.done"] = function(event, state)
  local item = event.item
  if type(item) ~= "table" or item.type ~= "function_call" then return nil end
  state.parts = state.parts or {}
  state.parts[#state.parts + 1] = { id = type(item.call_id) == "string" and item.call_id or nil, name = item.name,
    text = { type(item.arguments) == "string" and item.arguments or "" } }
end

local function ended(event, state)
  local response = type(event.response) == "table" and event.response or {}
  local err = failed(response, state.q, state.target)
  if err then return nil, err end
  state.told, state.reason, state.id, state.model = told(response.usage), reason_of(response), response.id, response.model
  return stream.finish(state)
end
EVENTS["response.completed"], EVENTS["response.incomplete"], EVENTS["response.failed"] = ended, ended, ended

EVENTS.error = function(event, state)
  return nil, failures.inside({ error = { message = event.message, code = event.code } }, state.q, state.target)
end

local function read(event, state, damaged)
  local reader = EVENTS[event.type]
  if reader then return reader(event, state, damaged) end
end

--- One line of a stream.
---@param line string
---@param state table
---@return table[]|nil events
---@return boolean|stoke.error|nil finished
function M.line(line, state)
  state.reader = read
  return stream.line(line, state)
end

return M
