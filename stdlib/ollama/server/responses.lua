--- /v1/responses as Ollama has it: requests read into messages of a chat, and responses, whole or as events.

local json = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"
local requests = require "stoke.ollama.server.openai"

local M = {}

local EMPTY = {}

-- ---- the request ---------------------------------------------------------------------------------------------------------------

local T = decode.types

local function struct(name, fields) return T.struct(name, "openai." .. name, fields) end

--- What the endpoint takes. Fields of OpenAI's own that Ollama does not look at are ANY.
M.REQUEST = struct("ResponsesRequest", { model = T.STRING, background = T.BOOL, conversation = T.ANY,
  include = T.list(T.STRING, "[]string"), input = T.ANY, instructions = T.STRING, max_output_tokens = T.INT,
  reasoning = struct("ResponsesReasoning", { effort = T.STRING, generate_summary = T.STRING, summary = T.STRING }),
  temperature = T.FLOAT, text = struct("ResponsesText", { format = struct("ResponsesTextFormat", { type = T.STRING, name = T.STRING,
    schema = T.RAW, strict = T.BOOL }) }), top_p = T.FLOAT, truncation = T.STRING, stream = T.BOOL,
  tools = T.list(struct("ResponsesTool", { type = T.STRING, name = T.STRING, description = T.STRING, strict = T.BOOL,
    parameters = { kind = "map", go = "map[string]interface {}" } }), "[]openai.ResponsesTool"),
  previous_response_id = T.ANY, store = T.ANY, metadata = T.ANY, user = T.ANY })

--- What Go says of a field of another type.
local function misfit(what, struct_name, field, kind)
  return ("json: cannot unmarshal %s into Go struct field %s.%s of type %s"):format(json.kind(what), struct_name, field, kind)
end

local TEXTS = { input_text = true, output_text = true, text = true }

--- The text and the images of a message's content; nil, nil and what is wrong.
local function content_of(content)
  if type(content) == "string" then return content, nil end
  if content == nil or content == json.null then return "", nil end
  if not json.is_array(content) then
    return nil, nil, ("content must be a string or array: json: cannot unmarshal %s into Go value of type []json.RawMessage")
      :format(json.kind(content))
  end
  local out, images = {}, nil
  for i, part in ipairs(content) do
    local kind = type(part) == "table" and part.type
    if TEXTS[kind] then
      if type(part.text) ~= "string" then
        return nil, nil, ("content[%d]: "):format(i - 1) .. misfit(part.text, "ResponsesTextContent", "text", "string")
      end
      out[#out + 1] = part.text
    elseif kind == "input_image" then
      local data = type(part.image_url) == "string" and part.image_url:match "^data:[^,]*;base64,(.*)$"
      if not data then return nil, nil, "image URLs are not currently supported, please use base64 encoded data instead", true end
      images = images or json.array()
      images[#images + 1] = data
    else
      return nil, nil, ("content[%d]: unknown content type: %s"):format(i - 1, tostring(kind or ""))
    end
  end
  return table.concat(out), images
end

local ITEMS = {}

--- A field that is a text; nil where it is not there or null; nil and what is wrong.
local function text_in(item, struct_name, field)
  local value = item[field]
  if value == nil or value == json.null then return nil end
  if type(value) == "string" then return value end
  return nil, misfit(value, struct_name, field, "string")
end

--- A call of a tool goes to the answer before it.
function ITEMS.function_call(item, out, names)
  local id, wrong_id = text_in(item, "ResponsesFunctionCall", "call_id")
  local name, wrong_name = text_in(item, "ResponsesFunctionCall", "name")
  local text, wrong_text = text_in(item, "ResponsesFunctionCall", "arguments")
  local wrong = wrong_id or wrong_name or wrong_text
  if wrong then return wrong end
  local arguments, err = json.decode(text or "{}")
  if not err and not json.is_object(arguments) then
    err = ("json: cannot unmarshal %s into Go value of type map[string]interface {}"):format(json.kind(arguments))
  end
  if err == "unexpected EOF" then err = "unexpected end of JSON input" end
  if err then return "failed to parse function call arguments: " .. err, true end
  names[id or ""] = name
  local call = json.object { { "id", id }, { "function", json.object { { "name", name or "" },
    { "arguments", arguments } } } }
  local last = out[#out]
  if last and last.role == "assistant" then
    local calls = last.tool_calls or json.array()
    calls[#calls + 1] = call
    out[#out] = json.object { { "role", "assistant" }, { "content", last.content }, { "tool_calls", calls } }
  else
    out[#out + 1] = json.object { { "role", "assistant" }, { "tool_calls", json.array { call } } }
  end
end

function ITEMS.function_call_output(item, out, names)
  local id, wrong = text_in(item, "ResponsesFunctionCallOutput", "call_id")
  if wrong then return wrong end
  local text, _, err = content_of(item.output)
  if err and type(item.output) ~= "table" then err = misfit(item.output, "ResponsesFunctionCallOutput", "output", "string") end
  if err then return err end
  out[#out + 1] = json.object { { "role", "tool" }, { "content", text }, { "tool_name", names[id or ""] },
    { "tool_call_id", id } }
end

function ITEMS.message(item, out)
  local text, images, err, whole = content_of(item.content)
  if err then return err, whole end
  out[#out + 1] = json.object { { "role", type(item.role) == "string" and item.role or "user" }, { "content", text },
    { "images", images } }
end

--- What a model thought before is not said again.
function ITEMS.reasoning() end

local ITEM = 'struct { Type string "json:\\"type\\""; Role string "json:\\"role\\"" }'

--- The messages of a request.
---@param raw table as it was decoded
---@return table[]|nil
---@return string|nil err
---
--- Example: `local messages, err = responses.messages(raw)`
function M.messages(raw)
  local out, names, given = json.array(), {}, raw.input
  if type(raw.instructions) == "string" and raw.instructions ~= "" then
    out[1] = json.object { { "role", "system" }, { "content", raw.instructions } }
  end
  if type(given) == "string" then out[#out + 1] = json.object { { "role", "user" }, { "content", given } } end
  if type(given) ~= "string" and given ~= nil and given ~= json.null and not json.is_array(given) then
    return nil, ("input must be a string or array: json: cannot unmarshal %s into Go value of type []json.RawMessage")
      :format(json.kind(given))
  end
  for i, item in ipairs(json.is_array(given) and given or EMPTY) do
    local where = ("input[%d]: "):format(i - 1)
    if not json.is_object(item) then
      return nil, where .. ("json: cannot unmarshal %s into Go value of type %s"):format(json.kind(item), ITEM)
    end
    local kind = item.type
    local read = ITEMS[(kind == nil or kind == "") and "message" or kind]
    if not read then return nil, where .. "unknown input item type: " .. tostring(kind) end
    local err, whole = read(item, out, names)
    if err then return nil, whole and err or where .. err end
  end
  return out
end

local function tools_of(raw)
  if not json.is_array(raw.tools) or #raw.tools == 0 then return nil end
  local out = json.array()
  for _, tool in ipairs(raw.tools) do
    if tool.type == "function" then
      out[#out + 1] = json.object { { "type", "function" }, { "function", json.object { { "name", tool.name },
        { "description", tool.description }, { "parameters", tool.parameters } } } }
    end
  end
  return out
end

--- The request as a chat of the native API.
---@param raw table as it was decoded
---@param habits stoke.sim.habits
---@return table|nil native
---@return string|nil err
---
--- Example: `local native, err = responses.native(raw, { max = true })`
function M.native(raw, habits)
  local format = type(raw.text) == "table" and raw.text.format
  local think, err = requests.think({ reasoning = type(raw.reasoning) == "table" and raw.reasoning or nil }, habits)
  if err then return nil, err end
  local messages, wrong = M.messages(raw)
  if not messages then return nil, wrong end
  return json.object { { "model", raw.model }, { "messages", messages }, { "stream", raw.stream == true },
    { "format", type(format) == "table" and (format.type == "json_schema" and format.schema or format.type == "json_object"
      and "json")
      or nil }, { "think", think }, { "tools", tools_of(raw) },
    { "options", json.object { { "temperature", type(raw.temperature) == "number" and raw.temperature or 1.0 },
      { "top_p", type(raw.top_p) == "number" and raw.top_p or 1.0 }, { "num_predict", raw.max_output_tokens } } } }
end

--- A value with the keys of its objects sorted, as Go writes maps.
local function sorted(value)
  if type(value) ~= "table" or value == json.null then return value end
  if json.is_array(value) then
    local out = json.array()
    for i, item in ipairs(value) do out[i] = sorted(item) end
    return out
  end
  local names, list = {}, {}
  for name in next, value do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do list[i] = { name, sorted(value[name]) } end
  return json.object(list)
end

--- Tools as the original repeats them.
local function shown_tools(raw)
  local out = json.array()
  for i, tool in ipairs(json.is_array(raw.tools) and raw.tools or EMPTY) do
    out[i] = json.object { { "type", tool.type }, { "name", tool.name }, { "description", tool.description },
      { "strict", tool.strict == nil and json.null or tool.strict }, { "parameters", sorted(tool.parameters) } }
  end
  return out
end

-- ---- the response --------------------------------------------------------------------------------------------------------------

local function reasoning_item(about, thought)
  return json.object { { "id", "rs_" .. about.id }, { "type", "reasoning" }, { "summary", json.array { json.object {
    { "type", "summary_text" }, { "text", thought } } } }, { "encrypted_content", thought } }
end

local function text_part(text)
  return json.object { { "type", "output_text" }, { "text", text }, { "annotations", json.array() }, { "logprobs", json.array() } }
end

local function message_item(about, text, status)
  return json.object { { "id", about.item }, { "type", "message" }, { "status", status }, { "role", "assistant" },
    { "content", text and json.array { text_part(text) } or json.array() } }
end

local function call_item(about, i, call, arguments, status)
  return json.object { { "id", ("fc_%s_%d"):format(about.item:sub(5), i - 1) }, { "type", "function_call" }, { "status", status },
    { "call_id", call.id }, { "name", call["function"].name }, { "arguments", arguments } }
end

local function output_of(about, text, thought, calls, status)
  local out = json.array()
  if thought ~= "" then out[1] = reasoning_item(about, thought) end
  for i, call in ipairs(calls) do
    out[#out + 1] = call_item(about, i, call, json.encode(call["function"].arguments), "completed")
  end
  if text ~= "" or #calls == 0 then out[#out + 1] = message_item(about, text, status) end
  return out
end

local function usage_of(input, output)
  return json.object { { "input_tokens", input }, { "output_tokens", output }, { "total_tokens", input + output },
    { "input_tokens_details", json.object { { "cached_tokens", 0 } } },
    { "output_tokens_details", json.object { { "reasoning_tokens", 0 } } } }
end

local function response_of(about, status, output, usage)
  local raw, now = about.raw, math.floor(about.now())
  local null = json.null
  return json.object { { "id", about.id }, { "object", "response" }, { "created_at", about.created },
    { "completed_at", status == "completed" and now or null }, { "status", status },
    { "incomplete_details", status == "incomplete" and json.object { { "reason", "max_output_tokens" } } or null },
    { "model", raw.model }, { "previous_response_id", about.previous or null }, { "instructions", raw.instructions or null },
    { "output", output },
    { "error", about.error or null }, { "tools", shown_tools(raw) }, { "tool_choice", "auto" },
    { "truncation", "disabled" }, { "parallel_tool_calls", true },
    { "text", json.object { { "format", type(raw.text) == "table" and raw.text.format or json.object { { "type", "text" } } } } },
    { "top_p", raw.top_p or 1 }, { "presence_penalty", 0 }, { "frequency_penalty", 0 }, { "top_logprobs", 0 },
    { "temperature", raw.temperature or 1 }, { "reasoning", raw.reasoning or null }, { "usage", usage or null },
    { "max_output_tokens", raw.max_output_tokens or null }, { "max_tool_calls", null }, { "store", about.stored == true },
    { "background", false },
    { "service_tier", "default" }, { "metadata", json.is_object(raw.metadata) and raw.metadata or json.object {} },
    { "safety_identifier", null }, { "prompt_cache_key", null } }
end

-- ---- streams -------------------------------------------------------------------------------------------------------------------

--- Add an event.
local function event(about, kind, fields)
  fields.sequence_number, fields.type = about.sequence, kind
  about.sequence = about.sequence + 1
  about.out[#about.out + 1] = ("event: %s\ndata: %s\n\n"):format(kind, json.encode(sorted(fields)))
end

--- The events before all others.
---@param about table
---
--- Example: `responses.begin(about)`
function M.begin(about)
  if about.begun then return end
  about.begun = true
  for _, kind in ipairs { "response.created", "response.in_progress" } do
    event(about, kind, { response = response_of(about, "in_progress", json.array()) })
  end
end

local function end_thought(about)
  if not about.thoughts[1] or about.thought_ended then return end
  about.thought_ended = true
  event(about, "response.reasoning_summary_text.done", { item_id = "rs_" .. about.id, output_index = 0, summary_index = 0,
    text = table.concat(about.thoughts) })
  event(about, "response.output_item.done", { item = reasoning_item(about, table.concat(about.thoughts)), output_index = 0 })
  about.index = 1
end

--- A piece of what the model thinks.
---@param about table
---@param text string
---
--- Example: `responses.thought(about, "hm")`
function M.thought(about, text)
  if not about.thoughts[1] then
    event(about, "response.output_item.added", { output_index = 0,
      item = json.object { { "id", "rs_" .. about.id }, { "summary", json.array() }, { "type", "reasoning" } } })
  end
  about.thoughts[#about.thoughts + 1] = text
  event(about, "response.reasoning_summary_text.delta", { delta = text, item_id = "rs_" .. about.id, output_index = 0,
    summary_index = 0 })
end

--- A piece of its answer.
---@param about table
---@param text string
---
--- Example: `responses.text(about, "Yes.")`
function M.text(about, text)
  end_thought(about)
  local at = { content_index = 0, item_id = about.item, output_index = about.index }
  local function with(more)
    for name, value in pairs(at) do more[name] = value end
    return more
  end
  if not about.spoken then
    about.spoken = true
    event(about, "response.output_item.added", { item = message_item(about, nil, "in_progress"), output_index = about.index })
    event(about, "response.content_part.added", with { part = text_part "" })
  end
  about.texts[#about.texts + 1] = text
  event(about, "response.output_text.delta", with { delta = text, logprobs = json.array() })
end

--- Its calls of tools, whole.
---@param about table
---@param calls table[] as messages have them
---
--- Example: `responses.calls(about, message.tool_calls)`
function M.calls(about, calls)
  end_thought(about)
  for _, call in ipairs(calls) do
    local n = #about.calls + 1
    about.calls[n] = call
    local text = json.encode(call["function"].arguments)
    local item = ("fc_%s_%d"):format(about.item:sub(5), n - 1)
    event(about, "response.output_item.added", { item = call_item(about, n, call, "", "in_progress"), output_index = about.index })
    event(about, "response.function_call_arguments.delta", { delta = text, item_id = item, output_index = about.index })
    event(about, "response.function_call_arguments.done", { arguments = text, item_id = item, output_index = about.index })
    event(about, "response.output_item.done", { item = call_item(about, n, call, text, "completed"), output_index = about.index })
    about.index = about.index + 1
  end
end

--- The end.
---@param about table
---@param input integer tokens
---@param output integer
---@param cut? boolean it was cut off
---
--- Example: `responses.finish(about, 12, 3)`
function M.finish(about, input, output, cut)
  end_thought(about)
  local status, text = cut and "incomplete" or "completed", table.concat(about.texts)
  if about.spoken then
    local at = { content_index = 0, item_id = about.item, output_index = about.index }
    event(about, "response.output_text.done", { content_index = 0, item_id = about.item, output_index = about.index,
      logprobs = json.array(), text = text })
    at.part = text_part(text)
    event(about, "response.content_part.done", at)
    event(about, "response.output_item.done", { item = message_item(about, text, status), output_index = about.index })
  end
  event(about, "response." .. status, { response = response_of(about, status, output_of(about, text,
    table.concat(about.thoughts), about.calls, status), usage_of(input, output)) })
end

--- The end of one that failed in the middle.
---@param about table
---@param text string
---
--- Example: `responses.fail(about, "the model's server has gone")`
function M.fail(about, text)
  about.error = json.object { { "code", "server_error" }, { "message", text } }
  event(about, "response.failed", { response = response_of(about, "failed", output_of(about, table.concat(about.texts),
    table.concat(about.thoughts), about.calls, "incomplete")) })
end

--- The events since this was called last.
---@param about table
---@return string
---
--- Example: `res:write(responses.take(about))`
function M.take(about)
  local text = table.concat(about.out)
  about.out = {}
  return text
end

--- A whole response.
---@param about table
---@param text string
---@param thought string
---@param calls table[]
---@param input integer tokens
---@param output integer
---@param cut? boolean it was cut off
---@return string
---
--- Example: `res:reply(200, wire.JSON_BARE, responses.whole(about, "Yes.", "", {}, 12, 3))`
function M.whole(about, text, thought, calls, input, output, cut)
  local status = cut and "incomplete" or "completed"
  return json.encode(response_of(about, status, output_of(about, text, thought, calls, status), usage_of(input, output)))
end

--- What a response is written from.
---@param raw table the request
---@param id string
---@param item string id of its message, "msg_..."
---@param now fun(): number wall clock
---@return table about
---
--- Example: `local about = responses.about(raw, "resp_1", "msg_1", time.now)`
function M.about(raw, id, item, now)
  return { raw = raw, id = id, item = item, now = now, created = math.floor(now()), sequence = 0, index = 0, texts = {},
    thoughts = {}, calls = {}, out = {} }
end

return M
