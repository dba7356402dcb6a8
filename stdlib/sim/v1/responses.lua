--- POST /v1/responses, as Ollama has it: stateless, its items rewritten into messages of a chat.

local json = require "stoke.ollama.server.gojson"
local inference = require "stoke.sim.inference"
local requests = require "stoke.ollama.server.openai"
local v1 = require "stoke.sim.v1"

local M = {}

local EMPTY = {}

-- ---- the request ---------------------------------------------------------------------------------------------------------------

local function text_of(content)
  if type(content) == "string" then return content end
  local out = {}
  for _, part in ipairs(json.is_array(content) and content or EMPTY) do
    if type(part) == "table" and type(part.text) == "string" then out[#out + 1] = part.text end
  end
  return table.concat(out)
end

local function call_of(item)
  return json.object { { "id", item.call_id }, { "function", json.object { { "name", item.name },
    { "arguments", (json.decode(item.arguments or "{}")) } } } }
end

local function messages_of(raw)
  local out, names = json.array(), {}
  local function add(list) out[#out + 1] = json.object(list) end
  if type(raw.instructions) == "string" then add { { "role", "system" }, { "content", raw.instructions } } end
  if type(raw.input) == "string" then add { { "role", "user" }, { "content", raw.input } } end
  for _, item in ipairs(json.is_array(raw.input) and raw.input or EMPTY) do
    if item.type == "function_call" then
      names[item.call_id or ""] = item.name
      local last = out[#out]
      if not last or last.role ~= "assistant" then
        add { { "role", "assistant" }, { "tool_calls", json.array { call_of(item) } } }
      elseif last.tool_calls then
        last.tool_calls[#last.tool_calls + 1] = call_of(item)
      else
        out[#out] = nil
        add { { "role", "assistant" }, { "content", last.content }, { "tool_calls", json.array { call_of(item) } } }
      end
    elseif item.type == "function_call_output" then
      add { { "role", "tool" }, { "content", text_of(item.output) }, { "tool_name", names[item.call_id or ""] },
        { "tool_call_id", item.call_id } }
    elseif item.type == nil or item.type == "message" then
      add { { "role", item.role or "user" }, { "content", text_of(item.content) } }
    end
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

local function native_of(raw, habits)
  local format = type(raw.text) == "table" and raw.text.format
  local think, err = requests.think({ reasoning = type(raw.reasoning) == "table" and raw.reasoning or nil }, habits)
  if err then return nil, err end
  return json.object { { "model", raw.model }, { "messages", messages_of(raw) }, { "stream", raw.stream == true },
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

local function output_of(about, text, thought, calls)
  local out = json.array()
  if thought ~= "" then out[1] = reasoning_item(about, thought) end
  for i, call in ipairs(calls) do
    out[#out + 1] = call_item(about, i, call, json.encode(call["function"].arguments), "completed")
  end
  if text ~= "" or #calls == 0 then out[#out + 1] = message_item(about, text, "completed") end
  return out
end

local function usage_of(value)
  local input, output = value.prompt_eval_count or 0, value.eval_count or 0
  return json.object { { "input_tokens", input }, { "output_tokens", output }, { "total_tokens", input + output },
    { "input_tokens_details", json.object { { "cached_tokens", 0 } } },
    { "output_tokens_details", json.object { { "reasoning_tokens", 0 } } } }
end

local function response_of(about, status, output, usage)
  local raw, now = about.raw, math.floor(about.sim.wall())
  local null = json.null
  return json.object { { "id", about.id }, { "object", "response" }, { "created_at", about.created },
    { "completed_at", status == "completed" and now or null }, { "status", status }, { "incomplete_details", null },
    { "model", raw.model }, { "previous_response_id", null }, { "instructions", raw.instructions or null }, { "output", output },
    { "error", null }, { "tools", shown_tools(raw) }, { "tool_choice", "auto" },
    { "truncation", "disabled" }, { "parallel_tool_calls", true },
    { "text", json.object { { "format", type(raw.text) == "table" and raw.text.format or json.object { { "type", "text" } } } } },
    { "top_p", raw.top_p or 1 }, { "presence_penalty", 0 }, { "frequency_penalty", 0 }, { "top_logprobs", 0 },
    { "temperature", raw.temperature or 1 }, { "reasoning", raw.reasoning or null }, { "usage", usage or null },
    { "max_output_tokens", raw.max_output_tokens or null }, { "max_tool_calls", null }, { "store", false }, { "background", false },
    { "service_tier", "default" }, { "metadata", json.object {} }, { "safety_identifier", null }, { "prompt_cache_key", null } }
end

-- ---- streams -------------------------------------------------------------------------------------------------------------------

--- Add an event.
local function event(about, kind, fields)
  fields.sequence_number, fields.type = about.sequence, kind
  about.sequence = about.sequence + 1
  about.out[#about.out + 1] = ("event: %s\ndata: %s\n\n"):format(kind, json.encode(sorted(fields)))
end

local function begin(about)
  if about.begun then return end
  about.begun = true
  for _, kind in ipairs { "response.created", "response.in_progress" } do
    event(about, kind, { response = response_of(about, "in_progress", json.array()) })
  end
end

local function end_thought(about)
  if about.thought == "" or about.thought_ended then return end
  about.thought_ended = true
  event(about, "response.reasoning_summary_text.done", { item_id = "rs_" .. about.id, output_index = 0, summary_index = 0,
    text = about.thought })
  event(about, "response.output_item.done", { item = reasoning_item(about, about.thought), output_index = 0 })
  about.index = 1
end

local function add_thought(about, text)
  if about.thought == "" then
    event(about, "response.output_item.added", { output_index = 0,
      item = json.object { { "id", "rs_" .. about.id }, { "summary", json.array() }, { "type", "reasoning" } } })
  end
  about.thought = about.thought .. text
  event(about, "response.reasoning_summary_text.delta", { delta = text, item_id = "rs_" .. about.id, output_index = 0,
    summary_index = 0 })
end

local function add_text(about, text)
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
  about.text = about.text .. text
  event(about, "response.output_text.delta", with { delta = text, logprobs = json.array() })
end

local function add_calls(about, calls)
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

local function finish(about, value)
  end_thought(about)
  if about.spoken then
    local at = { content_index = 0, item_id = about.item, output_index = about.index }
    event(about, "response.output_text.done", { content_index = 0, item_id = about.item, output_index = about.index,
      logprobs = json.array(), text = about.text })
    at.part = text_part(about.text)
    event(about, "response.content_part.done", at)
    event(about, "response.output_item.done", { item = message_item(about, about.text, "completed"), output_index = about.index })
  end
  event(about, "response.completed", { response = response_of(about, "completed", output_of(about, about.text, about.thought,
    about.calls), usage_of(value)) })
end

local function line(about, value)
  about.out = {}
  begin(about)
  local message = type(value.message) == "table" and value.message or EMPTY
  if (message.thinking or "") ~= "" then add_thought(about, message.thinking) end
  if (message.content or "") ~= "" then add_text(about, message.content) end
  if message.tool_calls then add_calls(about, message.tool_calls) end
  if value.done then finish(about, value) end
  return table.concat(about.out)
end

--- POST /v1/responses
---@param sim table
---@param req table
---@param res table
function M.handle(sim, req, res)
  local text = req.body or ""
  if not text:find "%S" then return v1.refuse(res, "EOF") end
  local raw, err = json.decode(text)
  if err then return v1.refuse(res, err) end
  if not json.is_object(raw) then
    return v1.refuse(res, ("json: cannot unmarshal %s into Go value of type openai.ResponsesRequest"):format(json.kind(raw)))
  end
  local native, wrong = native_of(raw, sim.habits)
  if not native then return v1.refuse(res, wrong) end
  local about = { sim = sim, res = res, raw = raw, id = "resp_" .. sim.random(999999) - 1, item = "msg_" .. sim.random(999999) - 1,
    created = math.floor(sim.wall()), sequence = 0, index = 0, text = "", thought = "", calls = {} }
  about.whole = function(value)
    local message = value.message
    return json.encode(response_of(about, "completed", output_of(about, message.content or "", message.thinking or "",
      message.tool_calls or EMPTY), usage_of(value)))
  end
  about.line = function(value) return line(about, value) end
  return v1.ask(sim, req, native, inference.chat, v1.writer(about))
end

return M
