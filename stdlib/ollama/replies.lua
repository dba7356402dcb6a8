--- What Ollama answers, read and checked: whole replies, and the lines of a stream as events. Whatever a server sends, the
--- script gets what the API promises or an error that says what was wrong with it.

local json = require "core.json"
local random = require "core.random"
local repair = require "stoke.json.repair"
local failures = require "stoke.ollama.failures"

local M = {}

local null = json.null
local math_type, type, is_array = math.type, type, json.is_array
local odd = failures.odd

local ORDERED = { ordered = true }

--- Tool-call arguments keep the order the model wrote them in: they go back as they came.
local ARGUMENTS = { ordered = "arguments" }

local MOST <const> = 1 << 53

--- A count or a time, where it can be one: nobody adds up what is below zero or beyond all sense.
local function number(value)
  return type(value) == "number" and value >= 0 and value < MOST and value or 0
end

local function whole(value)
  if math_type(value) == "integer" and value >= 0 and value < MOST then return value end
  return math.tointeger(number(value)) or 0
end

-- ---- usage ------------------------------------------------------------------------------------------------------------------

--- How many attempts a reply took, where it was more than one; how many of its calls were mended.
local attempts_of, repairs_of = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })

--- Tokens and times of a reply; nil for what is no reply of a model.
---@param reply table
---@return table|nil usage
function M.usage(reply)
  if type(reply) ~= "table" then return nil end
  if type(reply.usage) == "table" then return reply.usage end -- an event of type "done"
  if not (reply.done or reply.embeddings) then return nil end
  local message = reply.message
  local calls = type(message) == "table" and message.tool_calls or reply.tool_calls
  return {
    input_tokens = whole(reply.prompt_eval_count), output_tokens = whole(reply.eval_count), calls = 1,
    attempts = attempts_of[reply] or 1, tool_calls = type(calls) == "table" and #calls or 0, repairs = repairs_of[reply] or 0,
    seconds = number(reply.total_duration) / 1e9, load_seconds = number(reply.load_duration) / 1e9, estimated = false,
  }
end

-- ---- tool calls ---------------------------------------------------------------------------------------------------------------

local LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

--- In the server's own style, for calls that came without.
local function new_id()
  local ids, out = random.stream "call id", {}
  for i = 1, 8 do
    local at = ids:int(1, #LETTERS)
    out[i] = LETTERS:sub(at, at)
  end
  return "call_" .. table.concat(out)
end

local WANT = { want = "object" }

--- Arguments in a string, as some servers and many models write them; damaged ones are mended.
local function read_arguments(text)
  if not text:find "%S" then return nil, 0 end
  local value, bad = json.decode(text, ORDERED)
  if bad == nil and type(value) ~= "string" then return value, 0 end
  value = repair.repair(type(value) == "string" and value or text, WANT)
  return type(value) == "table" and value or false, 1
end

--- The arguments as an object, and how many repairs that took; nil and an error when they are none.
local function arguments_of(f, q)
  local arguments, repairs = f.arguments, 0
  if type(arguments) == "string" then arguments, repairs = read_arguments(arguments) end
  if arguments == nil or arguments == null then return json.object {}, 0 end
  if type(arguments) == "table" then
    if not is_array(arguments) then return arguments, repairs end
    if #arguments == 0 then return json.object {}, repairs end
  end
  return nil, failures.bad_call(("the arguments of the tool call %s are no JSON object"):format(failures.excerpt(f.name, 80)), q)
end

--- The function of a call, and 1 where it had to be found: some models leave out what is round it.
local function function_of(call)
  local f = type(call) == "table" and call["function"]
  if type(f) == "table" and type(f.name) == "string" then return f, 0 end
  if f == nil and type(call.name) == "string" then
    call["function"] = { name = call.name, arguments = call.arguments }
    call.name, call.arguments = nil, nil
    return call["function"], 1
  end
end

--- Make a message's tool calls fit to be used and sent back: each { id, function = { name, arguments = an object } }.
---@param holder table the message, or a reply of generate
---@return table[]|nil calls nil when there are none
---@return stoke.error|integer|nil err, or how many repairs it took
local function tidy_calls(holder, q)
  local calls = holder.tool_calls
  if calls == null then
    holder.tool_calls = nil
    return nil
  end
  if type(calls) ~= "table" or (not is_array(calls) and next(calls) ~= nil) then
    return nil, odd("tool_calls is no list", q)
  end
  local repairs = 0
  for i = 1, #calls do
    local call = calls[i]
    local f, found = function_of(call)
    if not f then return nil, failures.bad_call(("tool call %d names no function"):format(i), q) end
    local arguments, mended = arguments_of(f, q)
    if not arguments then return nil, mended end
    f.arguments = arguments
    repairs = repairs + math.max(found, mended)
    if type(call.id) ~= "string" or call.id == "" then call.id = new_id() end
  end
  return calls, repairs
end

-- ---- whole replies ------------------------------------------------------------------------------------------------------------

--- A text that may be missing; nil and an error for anything else.
local function text_of(holder, name, path, q)
  local value = holder[name]
  if type(value) == "string" then return value end
  if value == nil or value == null then
    holder[name] = nil
    return ""
  end
  return nil, odd(("%s%s is a %s"):format(path, name, type(value)), q)
end

--- What chat and generate have in common. `holder` has the text under `name`; its tool calls and thinking, too.
local function answer(reply, holder, name, path, q)
  local text, err = text_of(holder, name, path, q)
  if err then return nil, err end
  if holder.thinking ~= nil then
    local _, wrong = text_of(holder, "thinking", path, q)
    if wrong then return nil, wrong end
  end
  if reply.done_reason ~= nil and type(reply.done_reason) ~= "string" then reply.done_reason = nil end
  if reply.done ~= true and not reply._debug_info then return nil, failures.incomplete(q, text) end
  if holder.tool_calls ~= nil then
    local calls, found = tidy_calls(holder, q)
    if not calls and found then return nil, found end
    if found and found > 0 then repairs_of[reply] = found end
  end
  holder[name] = text
  return reply
end

--- path -> fun(reply, q): the reply, or nil and an error.
local SHAPES = {}

SHAPES["/api/chat"] = function(reply, q)
  local message = reply.message
  if type(message) == "table" and type(message.content) == "string" and reply.done == true and message.thinking == nil
    and message.tool_calls == nil and type(reply.done_reason) == "string" then
    return reply -- as nearly all are
  end
  if message == nil or message == null then
    if reply.done ~= true then return nil, failures.incomplete(q) end
    message = { role = "assistant", content = "" }
    reply.message = message
  end
  if type(message) ~= "table" or is_array(message) then return nil, odd("message is no object", q) end
  return answer(reply, message, "content", "message.", q)
end

SHAPES["/api/generate"] = function(reply, q) return answer(reply, reply, "response", "", q) end

SHAPES["/api/embed"] = function(reply, q)
  local rows, input = reply.embeddings, q.body.input
  if type(rows) ~= "table" then return nil, odd("embeddings is no list", q) end
  local wanted = type(input) == "table" and #input or input ~= "" and 1 or 0
  if #rows ~= wanted then return nil, odd(("%d embeddings for %d texts"):format(#rows, wanted), q) end
  for i, row in ipairs(rows) do
    if type(row) ~= "table" or not math.type(row[1]) then return nil, odd(("embeddings[%d] is no vector"):format(i), q) end
  end
  return reply
end

local function models(reply, q)
  if reply.models == null then reply.models = json.array {} end
  if type(reply.models) ~= "table" then return nil, odd("there is no list of models in it", q) end
  for i, model in ipairs(reply.models) do
    if type(model) ~= "table" or type(model.name) ~= "string" then return nil, odd(("models[%d] has no name"):format(i), q) end
  end
  return reply
end
SHAPES["/api/tags"], SHAPES["/api/ps"] = models, models

SHAPES["/api/version"] = function(reply, q)
  if type(reply.version) ~= "string" then return nil, odd("there is no version in it", q) end
  return reply
end

--- The whole body of a call that is not streamed.
---@param text string
---@param q table the request
---@param attempts? integer
---@return table|nil reply
---@return stoke.error? err
function M.reply(text, q, attempts)
  local shape = SHAPES[q.path]
  if text == "" then
    if not shape then return {} end
    return nil, failures.incomplete(q)
  end
  local reply, err = json.decode(text, ARGUMENTS)
  if err then return nil, failures.no_json(text, err, q) end
  if type(reply) ~= "table" or is_array(reply) then return nil, odd("it is no JSON object", q) end
  if reply.error ~= nil and reply.error ~= null then return nil, failures.line(reply.error, q) end
  if not shape then return reply end
  if attempts and attempts > 1 then attempts_of[reply] = attempts end
  return shape(reply, q)
end

-- ---- lines of a stream ----------------------------------------------------------------------------------------------------------

--- Lines that hold one piece of text and nothing else to look at.
M.picks = {
  ["/api/chat"] = "model created_at message.role message.content:text message.thinking:second done=false",
  ["/api/generate"] = "model created_at response:text thinking:second done=false",
}

local function call_events(calls, events, state)
  for _, call in ipairs(calls or {}) do
    local f = call["function"]
    state.calls = (state.calls or 0) + 1
    events[#events + 1] = { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments, call = call }
  end
end

local function done_event(chunk, state)
  local usage = M.usage(chunk)
  usage.tool_calls, usage.attempts, usage.repairs = state.calls or 0, state.attempts or 1, state.repairs or 0
  local reason = chunk.done_reason
  return { type = "done", reason = type(reason) == "string" and reason or nil, usage = usage, reply = chunk }
end

--- What a line says, as events.
local function events_of(chunk, holder, name, path, state)
  local q, events = state.q, {}
  local text, err = text_of(holder, name, path, q)
  if err then return nil, err end
  local thinking
  thinking, err = text_of(holder, "thinking", path, q)
  if err then return nil, err end
  local logprobs = chunk.logprobs
  if type(logprobs) ~= "table" then logprobs = nil end
  if thinking ~= "" then events[1] = { type = "thinking", text = thinking, logprobs = text == "" and logprobs or nil } end
  if text ~= "" or (logprobs and thinking == "") then
    events[#events + 1] = { type = "text", text = text, logprobs = logprobs }
  end
  if holder.tool_calls ~= nil then
    local calls, found = tidy_calls(holder, q)
    if not calls and found then return nil, found end
    state.repairs = (state.repairs or 0) + (found or 0)
    call_events(calls, events, state)
  end
  if chunk.done ~= true then return #events > 0 and events or nil end
  events[#events + 1] = done_event(chunk, state)
  return events, true
end

--- One line of a chat or generate stream.
---@param line string
---@param state table { q, attempts }
---@return table[]|nil events nil: nothing to tell, or an error
---@return boolean|stoke.error|nil finished it was the last, or the error
function M.line(line, state)
  local q = state.q
  if not line:find "%S" then return nil end
  local chunk, err = json.decode(line, ARGUMENTS)
  if err then return nil, failures.no_json(line, err, q) end
  if type(chunk) ~= "table" or is_array(chunk) then return nil, odd("it is no JSON object", q) end
  if chunk.error ~= nil and chunk.error ~= null then return nil, failures.line(chunk.error, q) end
  if q.path ~= "/api/chat" then return events_of(chunk, chunk, "response", "", state) end
  local message = chunk.message
  if message == nil or message == null then message = {} end
  if type(message) ~= "table" or is_array(message) then return nil, odd("message is no object", q) end
  return events_of(chunk, message, "content", "message.", state)
end

return M
