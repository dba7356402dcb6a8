--- Ollama's native API, whole. Functions return the API's own tables and raise errors.
---
--- The protocol facts are Ollama's own (server/routes.go, api/types.go); what shapes this module:
---   closing the connection is the only cancel; a stream may end without done:true; errors may come as a line after 200;
---   load options (num_ctx ...) reload the model when they differ, so they belong to the model's profile, never to a call;
---   keep_alive on every call can wedge other loads, so only load, pin and unload take it; think is sent explicitly;
---   over-long prompts are cut silently unless truncate = false is sent.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local llm = require "core.driver.llm"
local config = require "stoke.config"
local protocol = require "stoke.ollama.protocol"
local transfer = require "stoke.ollama.transfer"

local M = {}

llm.protocol("ollama", protocol)
llm.usage = protocol.usage

-- ---- profiles -----------------------------------------------------------------------------------------------------------

--- Set the load options of models for this run: they are sent with every call, always the same.
---@param profiles table<string, { num_ctx?: integer, num_gpu?: integer, num_batch?: integer, keep_alive?: number|string }>
---
--- Example: `ollama.profiles { ["qwen2.5:3b"] = { num_ctx = 8192 } }`
function M.profiles(profiles)
  protocol.set_profiles(profiles)
end

-- ---- requests -------------------------------------------------------------------------------------------------------------

local COMMON = {
  model = "string", options = "table", format = true, think = true, logprobs = "boolean", top_logprobs = "number",
  endpoint = "string", timeouts = "table", stream = "boolean", keep_alive = true,
}
local CHAT = { messages = "table", tools = "table" }
local GENERATE = { prompt = "string", suffix = "string", system = "string", template = "string", raw = "boolean",
  images = "table", context = "table" }
local function known(...)
  local out = {}
  for _, part in ipairs { COMMON, ... } do
    for name, kind in next, part do out[name] = kind end
  end
  return out
end
local CHAT_OPTIONS, GENERATE_OPTIONS = known(CHAT), known(GENERATE)
local STREAM_OPTIONS = known(CHAT, GENERATE)

--- What goes through the door: pure data, nothing of this process in it.
local function request(what, path, options, allowed)
  options = errors.options(options, allowed, what)
  if not options.model then errors.argument("%s: model is missing", what) end
  if options.keep_alive ~= nil then
    errors.raise("argument", what .. ": keep_alive on a call can keep other models from loading",
      { hint = "set it once: ollama.load { model =, keep_alive = }, or in the model's profile" })
  end
  protocol.check_options(what, options)
  return {
    protocol = "ollama", path = path, model = options.model, endpoint = options.endpoint,
    timeouts = options.timeouts, body = protocol.body(options),
  }
end

local function perform(q)
  return errors.check(effect.perform("llm.chat", q))
end

--- One answer of a conversation.
---@param options { model: string, messages: table[], tools?: table[], format?: any, think?: boolean|string, options?: table, endpoint?: string, timeouts?: table }
---@return table reply the API's own: .message.content, .message.tool_calls, .done_reason, .eval_count ...
---Raises refused, dns, tls, timeout, http, overloaded, protocol, incomplete, context_overflow, cancelled.
---
--- Example: `print(ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "Hi" } } }.message.content)`
function M.chat(options)
  local q = request("ollama.chat", "/api/chat", options, CHAT_OPTIONS)
  if not options.messages then errors.argument("ollama.chat: messages is missing") end
  q.body.messages = protocol.messages(options.messages)
  q.body.tools = options.tools and #options.tools > 0 and json.array(options.tools) or nil
  return perform(q)
end

local function generate_body(q, options)
  local body = q.body
  for name in next, GENERATE do body[name] = options[name] end
  if options.images then body.images = protocol.images(options.images) end
  return q
end

--- One completion of a prompt; with `suffix` it fills the hole between the two, with `raw` no template is used.
---@param options { model: string, prompt: string, suffix?: string, system?: string, raw?: boolean, images?: (string|{path:string})[], format?: any, options?: table }
---@return table reply the API's own: .response, .done_reason, .eval_count ...
---
--- Example: `print(ollama.generate { model = "qwen2.5-coder:3b", prompt = "def f(", suffix = "return x" }.response)`
function M.generate(options)
  local q = request("ollama.generate", "/api/generate", options, GENERATE_OPTIONS)
  if not options.prompt then errors.argument("ollama.generate: prompt is missing") end
  return perform(generate_body(q, options))
end

--- Events of an answer as it comes; give `messages` (chat) or `prompt` (generate).
---
--- { type = "text", text = }, { type = "thinking", text = }, { type = "tool_call", id =, name =, arguments = },
--- { type = "done", reason = "stop"|"length", usage =, reply = the API's last line }. Act on tool calls after done. Leaving
--- the loop closes the connection.
---@param options table as chat or generate
---@return fun(): table iterator for generic `for`
---
--- Example: `for ev in ollama.stream { model = m, prompt = "Hi" } do io.write(ev.text or "") end`
function M.stream(options)
  local chat = options and options.messages ~= nil
  local q = request("ollama.stream", chat and "/api/chat" or "/api/generate", options, STREAM_OPTIONS)
  if chat then
    q.body.messages = protocol.messages(options.messages)
    q.body.tools = options.tools and #options.tools > 0 and json.array(options.tools) or nil
  else
    if not options.prompt then errors.argument("ollama.stream: messages or prompt is missing") end
    generate_body(q, options)
  end
  local stream = errors.check(effect.perform("llm.stream", q))
  return llm.iterator(stream), stream, nil, stream
end

--- Vectors of one or several texts.
---@param options { model: string, input: string|string[], dimensions?: integer, truncate?: boolean, endpoint?: string }
---@return table reply .embeddings, one row a text, in their order
---
--- Example: `local v = ollama.embed { model = "nomic-embed-text", input = "a text" }.embeddings[1]`
function M.embed(options)
  local allowed = { model = "string", input = true, dimensions = "number", truncate = "boolean", options = "table",
    endpoint = "string", timeouts = "table" }
  local q = request("ollama.embed", "/api/embed", options, allowed)
  if options.input == nil then errors.argument("ollama.embed: input is missing") end
  q.body.think, q.body.format = nil, nil
  q.body.truncate = options.truncate or false
  q.body.input = type(options.input) == "table" and json.array(options.input) or options.input
  q.body.dimensions = options.dimensions
  return perform(q)
end

-- ---- loading --------------------------------------------------------------------------------------------------------------

--- Load a model, with its profile's options, and wait until it is ready. keep_alive: seconds or a Go duration, how long it
--- stays without work; negative = until told otherwise.
---@param options { model: string, keep_alive?: number|string, endpoint?: string, timeouts?: table }
---@return table reply done_reason is "load"
---
--- Example: `ollama.load { model = "qwen2.5:3b", keep_alive = "30m" }`
function M.load(options)
  options = errors.options(options, { model = "string", keep_alive = true, endpoint = "string", timeouts = "table" },
    "ollama.load")
  if not options.model then errors.argument("ollama.load: model is missing") end
  local keep_alive = options.keep_alive
  if keep_alive == nil then keep_alive = protocol.profile(options.model).keep_alive end
  local body = protocol.body { model = options.model }
  body.think, body.truncate, body.keep_alive = nil, nil, keep_alive
  return perform { protocol = "ollama", path = "/api/generate", model = options.model, endpoint = options.endpoint,
    timeouts = options.timeouts, body = body }
end

--- Keep a model loaded until it is unloaded. Ollama may still evict it for another model's load.
---@param model string
---
--- Example: `ollama.pin "qwen2.5:3b"`
function M.pin(model)
  return M.load { model = model, keep_alive = -1 }
end

--- Free a model's memory once its running calls have ended. Returns before that; ollama.ps tells when it has happened.
---@param model string
---@param endpoint? string
---
--- Example: `ollama.unload "qwen2.5:3b"`
function M.unload(model, endpoint)
  if type(model) ~= "string" then errors.argument("ollama.unload: a model name expected, got %s", type(model)) end
  return errors.check(effect.perform("llm.admin", { protocol = "ollama", path = "/api/generate", model = model,
    endpoint = endpoint, body = { model = model, keep_alive = 0 } }))
end

-- ---- inventory --------------------------------------------------------------------------------------------------------------

local function admin(method, path, body, endpoint, once)
  return errors.check(effect.perform("llm.admin", { protocol = "ollama", method = method, path = path, body = body,
    endpoint = endpoint, model = body and body.model, once = once }))
end

--- The models of the server.
---@param endpoint? string name or address
---@return { models: table[] }
---
--- Example: `print(ollama.tags().models[1].name)`
function M.tags(endpoint) return admin("GET", "/api/tags", nil, endpoint) end

--- The loaded models.
---@param endpoint? string
---@return { models: table[] } with size_vram, expires_at, context_length
---
--- Example: `for _, m in ipairs(ollama.ps().models) do print(m.name) end`
function M.ps(endpoint) return admin("GET", "/api/ps", nil, endpoint) end

--- The server's version. Asked once, never again on failure: this is how one learns whether a server is there.
---@param endpoint? string
---@return { version: string }
---
--- Example: `print(ollama.version().version)`
function M.version(endpoint) return admin("GET", "/api/version", nil, endpoint, true) end

--- What the server knows of a model.
---@param model string
---@param options? { verbose?: boolean, endpoint?: string }
---@return table .capabilities, .details, .model_info, .parameters, .template ...
---
--- Example: `print(table.concat(ollama.show("qwen2.5:3b").capabilities, " "))`
function M.show(model, options)
  options = errors.options(options, { verbose = "boolean", endpoint = "string" }, "ollama.show")
  return admin("POST", "/api/show", { model = model, verbose = options.verbose }, options.endpoint)
end

--- Give a model a second name.
---@param source string
---@param destination string
---@param endpoint? string
---
--- Example: `ollama.copy("qwen2.5:3b", "mine")`
function M.copy(source, destination, endpoint)
  admin("POST", "/api/copy", { source = source, destination = destination }, endpoint)
end

--- Delete a model. One that is loaded goes on until its keep_alive ends.
---@param model string
---@param endpoint? string
---
--- Example: `ollama.delete "mine"`
function M.delete(model, endpoint)
  admin("DELETE", "/api/delete", { model = model }, endpoint)
end

M.pull, M.push, M.create = transfer.pull, transfer.push, transfer.create
M.blob, M.blob_exists = transfer.blob, transfer.blob_exists

--- Base64 of a file's bytes, as `images` wants it.
---@param path string
---@return string
---
--- Example: `ollama.generate { model = "llava", prompt = "What is this?", images = { { path = "cat.png" } } }`
M.image = protocol.image

--- Tokens and times of a reply, in the shape `usage` has everywhere.
---@param reply table of chat, generate or embed, or a stream's last line
---@return table usage
---
--- Example: `print(ollama.usage(reply).output_tokens)`
M.usage = protocol.usage

--- The address an endpoint stands for.
---@param name? string
---@return string url
---
--- Example: `print(ollama.endpoint())`
function M.endpoint(name) return config.endpoint(name).url end

return M
