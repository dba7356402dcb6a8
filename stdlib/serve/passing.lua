--- Calls that are passed through to the models behind: as the client asks, but for what is the settings' (how a model is loaded,
--- and for how long), through the pool.

local checks = require "stoke.ollama.server.checks"
local fallback = require "stoke.model.fallback"
local errors = require "core.errors"
local json = require "stoke.json"
local model = require "stoke.model"
local options = require "stoke.model.options"
local protocol = require "stoke.ollama.protocol"
local terms = require "stoke.model.terms"
local window = require "stoke.ollama.window"

local M = {}

---@class stoke.serve.call what a client asks of a model, in the words of Ollama's API; plain data
---@field way "chat"|"generate"
---@field stream boolean
---@field messages? table[]
---@field prompt? string
---@field suffix? string
---@field system? string
---@field template? string
---@field raw? boolean
---@field images? string[]
---@field context? integer[]
---@field tools? table[]
---@field format? table|string
---@field options? table
---@field think? boolean|string
---@field truncate? boolean
---@field logprobs? boolean
---@field top_logprobs? integer

local LOAD = {}
for _, name in ipairs(options.LOAD) do LOAD[name] = true end

--- Options of the client, without those of how a model is loaded: one that each client sets would load it anew for each.
---@param given table|nil
---@return table|nil
---
--- Example: `call.options = passing.options(body.options)`
function M.options(given)
  local out = {}
  for name, value in next, given or {} do
    if not LOAD[name] and value ~= json.null then out[name] = value end
  end
  for _, name in ipairs { "num_predict", "num_keep", "seed", "top_k", "repeat_last_n" } do -- servers read 3.0 as 3
    out[name] = math.tointeger(out[name]) or out[name]
  end
  return next(out) and out or nil
end

--- What all calls of a model may hold.
local function call_of(way, body, format)
  local given = M.options(body.options)
  return { way = way, stream = body.stream ~= false, format = format, think = body.think, truncate = body.truncate, options = given,
    logprobs = body.logprobs, top_logprobs = body.top_logprobs }, checks.options(given)
end

local function some(list) return list and list[1] and list or nil end

local function turn_of(entry, call, bad)
  if bad then return nil, bad end
  return { entry = entry, call = call, renamed = {}, thinking = true }
end

--- A chat of a model as a turn.
---@param entry stoke.serve.model
---@param body table as the native API has it
---@param tools? table[]
---@param format? table|string
---@return stoke.serve.turn|nil
---@return string|nil err
---
--- Example: `local q, err = passing.chat(entry, body, raw.tools)`
function M.chat(entry, body, tools, format)
  local call, bad = call_of("chat", body, format)
  call.messages, call.tools = {}, some(tools)
  for i, message in ipairs(body.messages) do
    local calls
    for j, made in ipairs(message.tool_calls or {}) do
      calls = calls or {}
      local f = made["function"] or {}
      calls[j] = { id = made.id, ["function"] = { name = f.name or "", arguments = f.arguments or json.object {} } }
    end
    call.messages[i] = { role = message.role, content = message.content, thinking = message.thinking,
      images = some(message.images), tool_calls = calls, tool_name = message.tool_name, tool_call_id = message.tool_call_id }
  end
  return turn_of(entry, call, bad)
end

--- A completion of a model as a turn.
---@param entry stoke.serve.model
---@param body table as the native API has it
---@param format? table|string
---@param headers? table of the request: of the holes that a client with an X-Stoke-Session asks for the latest alone is filled
---@return stoke.serve.turn|nil
---@return string|nil err
---
--- Example: `local q, err = passing.generate(entry, body)`
function M.generate(entry, body, format, headers)
  local call, bad = call_of("generate", body, format)
  call.prompt, call.suffix, call.system = body.prompt or "", body.suffix, body.system
  call.template, call.raw, call.context, call.images = body.template, body.raw, body.context, some(body.images)
  local q, err = turn_of(entry, call, bad)
  local client = q and headers and call.suffix and call.suffix ~= "" and headers["x-stoke-session"]
  if client then q.hole = entry.name .. " " .. client end
  return q, err
end

-- ---- requests -------------------------------------------------------------------------------------------------------------------

local GENERATE = { "prompt", "suffix", "system", "template", "raw", "images", "context" }

--- A hole, for a model whose template has none: the prompt is written here, where its family is known.
local function fill(target, call, body)
  local text, stop = require "stoke.fim".instead(target, call.prompt, call.suffix)
  if not text then return end
  body.prompt, body.raw, body.suffix, body.system, body.context = text, true, nil, nil, nil
  local given, stops = {}, {}
  for name, value in next, body.options or {} do given[name] = value end
  for _, list in ipairs { given.stop or {}, stop } do table.move(list, 1, #list, #stops + 1, stops) end
  given.stop, body.options = stops, given
end

--- For an Ollama: all of its own fields.
local function native(target, call)
  local body = protocol.body(target, { truncate = call.truncate ~= false }, call.stream, call.options)
  body.think, body.format = call.think, call.format
  body.logprobs, body.top_logprobs = call.logprobs, call.top_logprobs
  if call.way == "chat" then
    body.messages, body.tools = call.messages, call.tools
  else
    for _, name in ipairs(GENERATE) do body[name] = call[name] end
    if call.suffix and call.suffix ~= "" and not call.raw and not call.template then fill(target, call, body) end
  end
  if target.profile.late then window.fit(target, body) end
  return protocol.any_arguments(protocol.shape(call.way, {}, body))
end

local ALONE = { "suffix", "template", "raw", "context" }

--- For other servers: what they have in common.
local function common(target, call)
  local messages = call.messages
  if call.way == "generate" then
    for _, name in ipairs(ALONE) do
      local value = call[name]
      if value ~= nil and value ~= "" and value ~= false then
        errors.argument("%s does not support %s", target.name, name == "suffix" and "insert" or name)
      end
    end
    messages = { { role = "user", content = call.prompt, images = call.images } }
    if call.system and call.system ~= "" then table.insert(messages, 1, { role = "system", content = call.system }) end
  end
  return target.dialect.chat(target, { think = call.think, logprobs = call.logprobs, top_logprobs = call.top_logprobs },
    call.stream, messages, call.tools, call.format, call.options)
end

--- Ask a model, or open a stream of its answer.
local function ask(host, call, name, endpoint)
  local target = model.open(name, endpoint)
  if host.class then target = terms.target("stoke.serve", { class = host.class }, target) end
  local q = (target.dialect.name == "ollama" and native or common)(target, call)
  local value, err = model.perform(call.stream and "llm.stream" or "llm.chat", q, target, {})
  return value and { value = value, target = target, q = q }, err, target
end

--- The same, and what the settings say is asked where that fails.
local function asked(host, call, name)
  local got, err, target = ask(host, call, name)
  if got then return got end
  return errors.check(fallback.down(terms.rungs(target), err, function(what)
    if what.text then return { text = what.text } end
    if what.cache then return nil, err end
    local lower, failed = ask(host, call, what.model, what.endpoint)
    return lower, failed
  end))
end

-- ---- answers --------------------------------------------------------------------------------------------------------------------

local METRICS = { "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration" }

--- What the server measured, where it did.
local function metrics_of(reply)
  if type(reply) ~= "table" or math.type(reply.total_duration) ~= "integer" then return nil end
  local out = {}
  for _, name in ipairs(METRICS) do out[name] = math.tointeger(reply[name]) end
  return out
end

local function told(got, call, out)
  local reply = got.value
  local answer = { text = reply.response, thinking = reply.thinking, calls = reply.tool_calls, reason = reply.done_reason,
    logprobs = reply.logprobs }
  if call.way == "chat" or not reply.response then answer = got.target.dialect.answer(reply) end
  if answer.thinking and answer.thinking ~= "" then out:thinking(answer.thinking) end
  if answer.text ~= "" or answer.logprobs then out:text(answer.text, answer.logprobs) end
  local usage = answer.usage or protocol.usage(reply)
  return { text = answer.text, reason = answer.reason, calls = answer.calls, usage = usage, metrics = metrics_of(reply),
    context = reply.context }
end

local function streamed(got, out)
  local calls, last
  for event in model.events(got.value, got.target, got.q, true) do
    if event.type == "text" then
      out:text(event.text, event.logprobs)
    elseif event.type == "thinking" then
      out:thinking(event.text)
    elseif event.type == "tool_call" then
      calls = calls or {}
      calls[#calls + 1] = event.call or { id = event.id, ["function"] = { name = event.name, arguments = event.arguments } }
    else
      last = event
    end
  end
  return { reason = last.reason, calls = calls, usage = last.usage, metrics = metrics_of(last.reply), context = last.reply.context }
end

local NOTHING = { input_tokens = 0, output_tokens = 0, seconds = 0, load_seconds = 0 }

local function run(host, q, out)
  local got = asked(host, q.call, q.entry.name)
  if got.text then
    out:text(got.text)
    return { text = got.text, reason = "stop", usage = NOTHING }
  end
  local answer
  if q.call.stream then answer = streamed(got, out) else answer = told(got, q.call, out) end
  if answer.calls and not answer.calls[1] then answer.calls = nil end
  return answer
end

--- Fill a hole, unless the same client asks for another one meanwhile: then it ends as it is, and the model is free.
local function latest(host, q, out)
  local entry = host.holes[q.hole] or { waiting = 0, call = require "stoke.flow.pace".latest(run) }
  host.holes[q.hole], entry.waiting = entry, entry.waiting + 1
  local _ <close> = setmetatable({}, { __close = function()
    entry.waiting = entry.waiting - 1
    if entry.waiting == 0 then host.holes[q.hole] = nil end
  end })
  return entry.call(host, q, out) or { text = "", reason = "stop", usage = NOTHING }
end

--- Make a call, and tell what comes.
---@param host stoke.serve.host
---@param q { entry: stoke.serve.model, call: stoke.serve.call, hole?: string }
---@param out stoke.serve.listener
---@return stoke.serve.answer
---Raises what stoke.chat and stoke.stream raise.
---
--- Example: `local answer = passing.run(host, q, writer)`
function M.run(host, q, out) return (q.hole and latest or run)(host, q, out) end

--- Vectors of texts, through the cache of embeddings.
---@param host stoke.serve.host
---@param found stoke.serve.model
---@param texts string[]
---@param about { dimensions?: integer, options?: table, truncate?: boolean }
---@return table reply as stoke.model.embed gives it
---Raises what stoke.embed raises.
---
--- Example: `local rows = passing.embed(host, found, { "a text" }, {}).embeddings`
function M.embed(host, found, texts, about)
  local target = model.open(found.name)
  if host.class then target = terms.target("stoke.serve", { class = host.class }, target) end
  return errors.check(require "stoke.model.embed".reply(target, { dimensions = about.dimensions, options = about.options,
    long = about.truncate == false and "error" or "truncate" }, texts))
end

return M
