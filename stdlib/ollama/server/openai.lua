--- Requests of OpenAI's API, field by field as Ollama reads them, and rewritten into those of its own.

local json = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"

local M = {}

local T = decode.types
local STRING, BOOL, INT, ANY, FLOAT, FLOAT32, list = T.STRING, T.BOOL, T.INT, T.ANY, T.FLOAT, T.FLOAT32, T.list

local function struct(name, fields) return T.struct(name, "openai." .. name, fields) end

local OPTIONS = struct("StreamOptions", { include_usage = BOOL })
local FUNCTION = T.struct("", [[struct { Name string "json:\"name\""; Arguments string "json:\"arguments\"" }]],
  { name = STRING, arguments = STRING })
local CALL = struct("ToolCall", { id = STRING, index = INT, type = STRING, ["function"] = FUNCTION })

--- What each endpoint takes.
M.CHAT = struct("ChatCompletionRequest", { model = STRING, stream = BOOL, stream_options = OPTIONS, max_tokens = INT, seed = INT,
  messages = list(struct("Message", { role = STRING, content = ANY, reasoning = STRING, name = STRING, tool_call_id = STRING,
    tool_calls = list(CALL, "[]openai.ToolCall") }), "[]openai.Message"),
  stop = ANY, temperature = FLOAT, top_p = FLOAT, frequency_penalty = FLOAT, presence_penalty = FLOAT, logprobs = BOOL,
  top_logprobs = INT,
  response_format = struct("ResponseFormat", { type = STRING, json_schema = struct("JsonSchema", { schema = { kind = "raw" } }) }),
  tools = T.TOOLS, reasoning = struct("Reasoning", { effort = STRING }), reasoning_effort = STRING })
M.COMPLETION = struct("CompletionRequest", { model = STRING, prompt = STRING, suffix = STRING, stream = BOOL,
  stream_options = OPTIONS, max_tokens = INT, seed = INT, stop = ANY, temperature = FLOAT32, top_p = FLOAT32,
  frequency_penalty = FLOAT32, presence_penalty = FLOAT32, logprobs = INT })
M.EMBEDDING = struct("EmbedRequest", { model = STRING, input = ANY, dimensions = INT, encoding_format = STRING })

-- ---- messages -------------------------------------------------------------------------------------------------------------------

local function calls_of(calls)
  local out = json.array()
  for i, call in ipairs(calls or {}) do
    local f = call["function"] or {}
    local arguments, err = json.decode(f.arguments or "")
    if err or not json.is_object(arguments) then return nil, "invalid tool call arguments" end
    out[i] = json.object { { "id", call.id }, { "function", json.object { { "index", call.index or 0 }, { "name", f.name },
      { "arguments", arguments } } } }
  end
  return out
end

--- Whose call a result belongs to.
local function name_of(messages, id)
  for i = #messages, 1, -1 do
    for _, call in ipairs(messages[i].tool_calls or {}) do
      if call.id == id then return call["function"] and call["function"].name end
    end
  end
end

local GO = { number = "float64", bool = "bool", object = "map[string]interface {}", null = "<nil>" }

local PICTURES = { "data:;base64,", "data:image/jpeg;base64,", "data:image/jpg;base64,", "data:image/png;base64,",
  "data:image/webp;base64," }

local function picture(part)
  local url = part.image_url
  if json.is_object(url) then url = url.url end
  if type(url) ~= "string" then return nil, "invalid message format" end
  if url:find "^https?://" then return nil, "image URLs are not currently supported, please use base64 encoded data instead" end
  for _, start in ipairs(PICTURES) do
    if url:sub(1, #start) == start then return url:sub(#start + 1) end
  end
  return nil, "invalid image input"
end

--- Each part is a message of its own.
local function parts(out, message, content)
  for _, part in ipairs(content) do
    if not json.is_object(part) then return "invalid message format" end
    if part.type == "text" and type(part.text) == "string" then
      out[#out + 1] = { { "role", message.role }, { "content", part.text } }
    elseif part.type == "image_url" then
      local image, err = picture(part)
      if not image then return err end
      out[#out + 1] = { { "role", message.role }, { "images", json.array { image } } }
    else
      return "invalid message format"
    end
  end
end

local function messages_of(messages)
  local out = {}
  for _, message in ipairs(messages) do
    local content, tool = message.content, nil
    local calls, err = calls_of(message.tool_calls)
    if not calls then return nil, err end
    if message.role == "tool" then
      tool = message.name or message.tool_call_id and name_of(messages, message.tool_call_id)
    end
    if json.is_array(content) then
      err = parts(out, message, content)
      if err then return nil, err end
    elseif type(content) == "string" or message.tool_calls then
      out[#out + 1] = { { "role", message.role }, { "content", type(content) == "string" and content or nil },
        { "thinking", message.reasoning }, { "tool_calls", #calls > 0 and calls or nil }, { "tool_name", tool },
        { "tool_call_id", message.tool_call_id } }
    else
      return nil, "invalid message content type: " .. (content == nil and "<nil>" or GO[json.kind(content)])
    end
  end
  local list_of = json.array()
  for i, message in ipairs(out) do list_of[i] = json.object(message) end
  return list_of
end

-- ---- the rest ------------------------------------------------------------------------------------------------------------------

local function stops(stop)
  if type(stop) == "string" then return json.array { stop } end
  return json.is_array(stop) and stop or nil
end

--- A stop that is a list holds texts alone, where completions are asked for; chats pass over what is none.
---@param stop any of a request for completions
---@return string|nil err
---
--- Example: `local err = requests.bad_stop(body.stop)`
function M.bad_stop(stop)
  if not json.is_array(stop) then return nil end
  for _, item in ipairs(stop) do
    if type(item) ~= "string" then return ("invalid type for 'stop' field: %s"):format(GO[json.kind(item)] or "[]interface {}") end
  end
end

--- Temperature and top_p are 1 where nobody says.
local function options_of(body)
  local function or_one(value) return type(value) == "number" and value or 1.0 end
  return json.object { { "stop", stops(body.stop) }, { "num_predict", body.max_tokens }, { "temperature",
    or_one(body.temperature) },
    { "seed", body.seed }, { "frequency_penalty", body.frequency_penalty }, { "presence_penalty", body.presence_penalty },
    { "top_p", or_one(body.top_p) } }
end

local EFFORTS = { none = false, minimal = "low", low = "low", medium = "medium", high = "high", max = "max", xhigh = "max" }

local function think_of(body, habits)
  local effort = body.reasoning and body.reasoning.effort or body.reasoning_effort
  if effort == nil or effort == "" then return nil end
  local level = EFFORTS[effort]
  if level == nil or not habits.max and (level == "max" or effort == "minimal") then
    return nil, ("invalid reasoning value: '%s' (must be \"high\", \"medium\", \"low\",%s or \"none\")"):format(effort,
      habits.max and ' "max",' or "")
  end
  return level
end
M.think = think_of

local function format_of(body)
  local format = body.response_format
  if not format then return nil end
  if format.type == "json_object" then return "json" end
  if format.type == "json_schema" and format.json_schema then return format.json_schema.schema end
end

--- A chat as the native API has it.
---@param body table
---@param raw table as it was decoded
---@param habits stoke.sim.habits
---@return table|nil native
---@return string|nil err
function M.chat(body, raw, habits)
  local messages, err = messages_of(body.messages)
  if not messages then return nil, err end
  local think, wrong = think_of(body, habits)
  if wrong then return nil, wrong end
  return json.object { { "model", body.model }, { "messages", messages }, { "stream", body.stream == true },
    { "format", format_of(body) }, { "options", options_of(body) }, { "think", think }, { "tools", raw.tools },
    { "logprobs", body.logprobs }, { "top_logprobs", body.top_logprobs } }
end

--- A completion as the native API has it.
---@param body table
---@return table native
function M.completion(body)
  return json.object { { "model", body.model }, { "prompt", body.prompt }, { "suffix", body.suffix },
    { "stream", body.stream == true }, { "options", options_of(body) }, { "logprobs", body.logprobs and body.logprobs > 0 or nil },
    { "top_logprobs", body.logprobs } }
end

return M
