--- Ollama's wire: how requests are shaped and lines read. Pure but for the settings; lua/driver/llm.lua does the work.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local config = require "stoke.config"
local failures = require "stoke.ollama.failures"

local M = {}

-- ---- profiles -----------------------------------------------------------------------------------------------------------

--- Options that reload a model when they differ from what it was loaded with (server/sched.go, needsReload).
local LOAD_OPTIONS = { num_ctx = true, num_batch = true, num_gpu = true, main_gpu = true, use_mmap = true, num_thread = true,
  draft_num_predict = true }
local PROFILE = { num_ctx = "number", num_batch = "number", num_gpu = "number", main_gpu = "number", use_mmap = "boolean",
  num_thread = "number", draft_num_predict = "number", keep_alive = true }

local own = {}

--- "qwen3" and "qwen3:latest" are one model.
local function canonical(model)
  return model:find(":[^/]*$") and model or model .. ":latest"
end
M.canonical = canonical

function M.set_profiles(profiles)
  if type(profiles) ~= "table" then errors.argument("ollama.profiles: a table of profiles by model expected") end
  for model, profile in next, profiles do
    own[canonical(model)] = errors.options(profile, PROFILE, ("profile of %s"):format(model))
  end
end

function M.profile(model)
  return own[canonical(model)] or config.profile(model)
end

--- Sampling options of a call: load options are refused.
function M.check_options(what, options)
  for name in next, options.options or {} do
    if LOAD_OPTIONS[name] then
      errors.raise("argument", ("%s: %s is a load option; differing between calls it reloads the model each time")
        :format(what, tostring(name)),
        { hint = ('set it for the model: stoke.models { ["%s"] = { %s = ... } }, or in stoke.config.lua')
          :format(options.model, tostring(name)) })
    end
  end
end

-- ---- bodies -------------------------------------------------------------------------------------------------------------

--- Base64 of a file.
function M.image(path)
  require "core.driver.fs"
  return require "core.hash".base64(errors.check(effect.perform("fs.read", { path = path })))
end

--- { path = } becomes the file's bytes; strings are base64 already.
function M.images(list)
  local out = json.array {}
  for i, image in ipairs(list) do
    out[i] = type(image) == "table" and M.image(image.path) or image
  end
  return out
end

--- Messages as the server wants them: images read, empty lists never sent as objects.
function M.messages(messages)
  local out
  for i, message in ipairs(messages) do
    if type(message) ~= "table" or type(message.role) ~= "string" then
      errors.argument("messages[%d]: a table with role and content expected", i)
    end
    local images, calls = message.images, message.tool_calls
    if images or (calls and #calls == 0) then
      out = out or table.move(messages, 1, #messages, 1, {})
      local copy = {}
      for name, value in next, message do copy[name] = value end
      copy.images = images and #images > 0 and M.images(images) or nil
      if calls and #calls == 0 then copy.tool_calls = nil end
      out[i] = copy
    end
  end
  return json.array(out or messages)
end

--- The part of the body that all inference calls share.
function M.body(options)
  local load, merged = M.profile(options.model), options.options
  local copied = false
  for name in next, LOAD_OPTIONS do
    if load[name] ~= nil then
      if not copied then
        local copy = {}
        for key, value in next, merged or {} do copy[key] = value end
        merged, copied = copy, true
      end
      merged[name] = load[name]
    end
  end
  local think = options.think
  if think == nil then think = false end
  return {
    model = options.model, options = merged, format = options.format, think = think, truncate = false,
    logprobs = options.logprobs, top_logprobs = options.top_logprobs,
  }
end

-- ---- request --------------------------------------------------------------------------------------------------------------

--- Header lists by endpoint name, made once: the same list means that nothing has to be set up again.
local prepared = {}

local function endpoint_of(name)
  local known = prepared[name or false]
  if known and known.settings == config.get() and known.url == config.endpoint(name).url then return known end
  local endpoint = config.endpoint(name)
  local headers, names = { "Content-Type: application/json" }, {}
  for header in next, endpoint.headers or {} do names[#names + 1] = header end
  table.sort(names)
  for _, header in ipairs(names) do headers[#headers + 1] = header .. ": " .. endpoint.headers[header] end
  if endpoint.key then headers[#headers + 1] = "Authorization: Bearer " .. endpoint.key end
  known = { url = endpoint.url, headers = headers, settings = config.get() }
  prepared[name or false] = known
  return known
end

local STREAMS = { ["/api/chat"] = true, ["/api/generate"] = true, ["/api/pull"] = true, ["/api/push"] = true,
  ["/api/create"] = true }

--- Seconds until the first byte: a cold load and the queue of the server come before it, and without streaming the whole
--- answer does. A shorter limit would abort loads again and again (the server drops a load whose client left).
local ANSWER = 600

function M.request(q, stream)
  local endpoint = endpoint_of(q.endpoint)
  local limits, given = config.get().timeouts, q.timeouts or {}
  local body = q.body
  local text, invalid = q.raw
  if body then
    if STREAMS[q.path] then body.stream = stream end
    text, invalid = json.encode(body)
    if not text then return nil, invalid end
  end
  local first = given.first_byte
  if first == nil then
    first = (limits.load or 0) + (limits.first_byte or 0) + (stream and 0 or ANSWER)
    if not limits.load or not limits.first_byte then first = 0 end
  end
  local function limit(name)
    local value = given[name]
    if value == nil then value = limits[name] end
    return value or 0
  end
  return {
    method = q.method or "POST", url = endpoint.url .. q.path, headers = endpoint.headers, body = text,
    connect = limit "connect", first_byte = first, idle = limit "idle", total = limit "total",
    max_line = 16 * 1024 * 1024, max_bytes = 256 * 1024 * 1024,
  }
end

-- ---- replies ----------------------------------------------------------------------------------------------------------------

--- Tool-call arguments keep the order the model wrote them in: they go back byte for byte.
local function decode(text)
  if text:find('"tool_calls"', 1, true) then return json.decode(text, { ordered = true }) end
  return json.decode(text)
end

function M.usage(reply)
  if reply.usage then return reply.usage end
  if not (reply.done or reply.embeddings) then return nil end
  local calls = reply.message and reply.message.tool_calls
  return {
    input_tokens = reply.prompt_eval_count or 0, output_tokens = reply.eval_count or 0, calls = 1, attempts = 1,
    tool_calls = calls and #calls or 0, repairs = 0, seconds = (reply.total_duration or 0) / 1e9,
    load_seconds = (reply.load_duration or 0) / 1e9, estimated = false,
  }
end

--- Servers that do not know truncate=false cut the prompt and answer 200; the count then fills the window.
local function overflowed(reply, q)
  local window = q.body and q.body.options and q.body.options.num_ctx
  local read = reply.prompt_eval_count
  if not window or not read or read < window then return nil end
  return failures.overflow(q.model, read, window)
end

--- The whole body of a call that is not streamed.
function M.reply(text, q)
  if text == "" then return {} end
  local reply, err = decode(text)
  if err then return nil, failures.broken(text, err, q) end
  if type(reply) ~= "table" then return nil, failures.broken(text, nil, q) end
  if reply.error then return nil, failures.line(reply.error, q) end
  if reply.done == false then
    local message = reply.message
    return nil, failures.incomplete(q, message and message.content or reply.response)
  end
  local overflow = overflowed(reply, q)
  if overflow then return nil, overflow end
  return reply
end

--- Lines that hold one piece of text and nothing else to look at.
M.picks = {
  ["/api/chat"] = "model created_at message.role message.content:text message.thinking:second done=false",
  ["/api/generate"] = "model created_at response:text thinking:second done=false",
}

local function call_event(call, state)
  local f = call["function"] or {}
  state.calls = (state.calls or 0) + 1
  return {
    type = "tool_call", id = call.id or ("call_%d"):format(state.calls), name = f.name, arguments = f.arguments or {},
    call = call,
  }
end

--- One line of a chat or generate stream: events, and whether it was the last.
function M.line(text, state)
  local chunk, err = decode(text)
  if err or type(chunk) ~= "table" then return nil, failures.broken(text, err, state.q) end
  if chunk.error then return nil, failures.line(chunk.error, state.q) end
  local message, events = chunk.message or chunk, {}
  local thinking, content = message.thinking, message.content or chunk.response
  if thinking and thinking ~= "" then events[1] = { type = "thinking", text = thinking } end
  if content and content ~= "" then
    events[#events + 1] = { type = "text", text = content, logprobs = chunk.logprobs }
  end
  for _, call in ipairs(message.tool_calls or {}) do events[#events + 1] = call_event(call, state) end
  if not chunk.done then return #events > 0 and events or nil end
  local overflow = overflowed(chunk, state.q)
  if overflow then return nil, overflow end
  local usage = M.usage(chunk)
  usage.tool_calls = state.calls or 0
  events[#events + 1] = { type = "done", reason = chunk.done_reason, usage = usage, reply = chunk }
  return events, true
end

function M.incomplete(state) return failures.incomplete(state.q) end

M.error = failures.status

--- Calls to one model of one server wait for each other; what the server answers at once does not.
function M.pool(q)
  return endpoint_of(q.endpoint).url .. " " .. canonical(q.model)
end

return M
