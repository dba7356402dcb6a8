--- What a server of OpenAI's wire refused, and how the same is asked so that it is taken: learned, said once, and asked again.

local bodies = require "stoke.openai.bodies"
local notes = require "stoke.openai.notes"

local M = {}

--- Fields that an answer can do without.
local OPTIONAL = {}
for name in ("temperature top_p seed stop presence_penalty frequency_penalty top_k min_p typical_p repeat_penalty "
  .. "repetition_penalty "
  .. "repeat_last_n n_keep logprobs top_logprobs stream_options reasoning_effort chat_template_kwargs reasoning thinking")
  :gmatch "%S+" do
  OPTIONAL[name] = true
end

--- How servers name a field that they do not take.
local NAMED = { "[Uu]nsupported parameter: '([%w_]+)'", "[Uu]nsupported value: '([%w_]+)'",
  "[Uu]nrecognized request argument supplied: ([%w_]+)", "property '([%w_]+)' is unsupported",
  "[Uu]nknown parameter: '([%w_]+)'", "does not support parameters: %[?'?([%w_]+)" }

--- Which field is refused; nil where that is not what the error says.
local function refused(err)
  local text, param = err.message, rawget(err, "param")
  for _, pattern in ipairs(NAMED) do
    local field = text:match(pattern)
    if field then return field end
  end
  if text:find "stream_options" then return "stream_options" end
  if text:find "[Rr]easoning is mandatory" then return "reasoning" end
  if text:find "logprobs" and (text:find "not support" or text:find "unsupported") then return "logprobs" end
  if param and (text:find "support" or text:find "forbidden" or text:find "not permitted"
    or text:find "unknown") then return param end
end

--- The target whose server has answered: along a route, one of its candidates.
local function answered(target, err)
  if not target.route then return target end
  for _, candidate in ipairs(target.candidates) do
    if candidate.endpoint.name == rawget(err, "endpoint") and candidate.served == err.model then return candidate end
  end
  return target
end

--- Is the schema that was sent the fault? Then another way to send it mends nothing.
local function is_about_schema(err)
  local text = err.message
  return rawget(err, "code") == "invalid_json_schema" or text:find "Invalid schema" or text:find "conversion failed"
    or text:find "invalid JSON schema"
end

local NEXT = { json_schema = "json_object", json_object = "none" }

local function lower_format(target, q, err)
  local text = err.message
  if not q.body or q.body.format == nil or is_about_schema(err) then return false end
  local param = rawget(err, "param")
  local about = type(param) == "string" and param:find "response_format" or text:find "response_format" or text:find "json_schema"
    or text:find "structured output" or text:find "guided"
  if not about then return false end
  local lower = NEXT[notes.learned(target).schema or (q.body.format == "json" and "json_object" or "json_schema")]
  if not lower then return false end
  notes.learn(target, "schema", lower)
  return true
end

--- Mend what a failed call lacked.
---@param target stoke.target
---@param q table
---@param err stoke.error
---@return boolean again
function M.mend(target, q, err)
  local status = err.status
  local invalid = status == 500 and err.message:find("validation error", 1, true) -- llama-cpp-python's way to say 422
  if status ~= 400 and status ~= 422 and status ~= 501 and not invalid then return false end
  target = answered(target, err)
  local left = rawget(err, "left")
  if left and not bodies.fits[q] then
    bodies.fits[q] = left
    return true
  end
  if lower_format(target, q, err) then return true end
  local field = refused(err)
  if field == "max_tokens" or field == "max_completion_tokens" then
    local other = field == "max_tokens" and "max_completion_tokens" or "max_tokens"
    if notes.learned(target).most == other then return false end
    notes.learn(target, "most", other)
    return true
  end
  if not field or not OPTIONAL[field] or not notes.refuse(target, field) then return false end
  if field == "logprobs" then notes.refuse(target, "top_logprobs") end
  if field == "stream_options" then notes.learn(target, "usage", false) end
  notes.once(target, field, ("%s is not sent: the server does not take it"):format(field))
  return true
end

--- What an error says beyond its kind.
---@param err stoke.error
---@return "call"|"think"|nil meaning
---@return string|nil text
function M.reads(err)
  if err.kind == "invalid_output" then return "call", rawget(err, "server") or err.message end
  if err.status == 400 and err.message:find("think value", 1, true) then return "think" end
end

return M
