-- A dialect small enough to be read at once: JSON whole, or server-sent events, after the fashion of OpenAI's. It shows what
-- stdlib/model.lua and lua/driver/llm.lua ask of one.

local json = require "stoke.json"
local model = require "stoke.model"
local request = require "stoke.model.request"
local learned = require "stoke.model.learned"

local M = {}

-- ---- what is sent -------------------------------------------------------------------------------------------------------------

local NAMES = { temperature = "temperature", top_p = "top_p", stop = "stop", seed = "seed", num_predict = "max_tokens" }

local function message_of(m)
  local out = { role = m.role, content = m.content, tool_call_id = m.tool_call_id }
  for i, call in ipairs(m.tool_calls or {}) do
    out.tool_calls = out.tool_calls or {}
    local f = call["function"]
    out.tool_calls[i] = { id = call.id, type = "function", ["function"] = { name = f.name, arguments = json.encode(f.arguments) } }
  end
  return out
end

function M.chat(target, call, stream, messages, tools, format, options)
  local body = { model = target.name, stream = stream, tools = tools, messages = {} }
  for i, m in ipairs(messages) do body.messages[i] = message_of(m) end
  for name, value in pairs(options or {}) do body[NAMES[name] or name] = value end
  if format then body.response_format = { type = "json_schema", json_schema = { name = "answer", schema = format } } end
  return { protocol = "toy", path = "/v1/chat", model = target.name, body = body, endpoint = call.endpoint,
    timeouts = call.timeouts }
end

function M.request(q, target, stream, amend)
  local body = setmetatable({ max_tokens = amend and amend.num_predict }, { __index = q.body })
  for name, value in pairs(q.body) do body[name] = rawget(body, name) or value end
  return request.options(target.endpoint, q, stream), json.encode(setmetatable(body, nil))
end

function M.estimate(q, target) return learned.estimate(target, learned.body_size(q.body)), q.body.max_tokens end

-- ---- what comes back ----------------------------------------------------------------------------------------------------------

function M.usage(value)
  local u = value.usage or {}
  return { input_tokens = u.prompt_tokens or 0, output_tokens = u.completion_tokens or 0, calls = 1, attempts = 1, tool_calls = 0,
    repairs = 0, seconds = 0, load_seconds = 0, estimated = u.prompt_tokens == nil }
end

local function calls_of(list)
  local out = {}
  for i, call in ipairs(list or {}) do
    out[i] = { id = call.id, ["function"] = { name = call["function"].name, arguments = json.decode(call["function"].arguments) } }
  end
  return out
end

function M.reply(text, q)
  local value, bad = json.decode(text)
  if bad or type(value.choices) ~= "table" then return nil, model.error("protocol", "no answer of a toy", { model = q.model }) end
  return value
end

function M.answer(value)
  local choice = value.choices[1]
  return { text = choice.message.content or "", calls = calls_of(choice.message.tool_calls), reason = choice.finish_reason,
    usage = M.usage(value) }
end

function M.line(line, state)
  local data = line:match "^data: (.*)"
  if not data then return nil end
  if data == "[DONE]" then
    local events = {}
    for i, call in ipairs(calls_of(state.calls)) do
      local f = call["function"]
      events[i] = { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments, call = call }
    end
    events[#events + 1] = { type = "done", reason = state.reason, usage = M.usage(state), reply = { usage = state.usage } }
    return events, true
  end
  local chunk = json.decode(data)
  local choice = chunk.choices[1]
  state.usage, state.reason = chunk.usage or state.usage, choice.finish_reason or state.reason
  if choice.delta.tool_calls then state.calls = choice.delta.tool_calls end
  return choice.delta.content and { { type = "text", text = choice.delta.content } } or nil
end

function M.error(status, body, q)
  return model.error(status == 429 and "overloaded" or "http", ("status %d: %s"):format(status, body),
    { status = status, model = q.model, retryable = status == 429 })
end

function M.incomplete(state) return model.error("incomplete", "the toy stopped", { model = state.q.model }) end

return model.register("toy", M)
