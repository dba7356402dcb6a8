--- Ollama's native API, whole. Functions return the API's own tables and raise errors.
---
--- The protocol facts are Ollama's own (server/routes.go, api/types.go); what shapes this module:
---   closing the connection is the only cancel; a stream may end without done:true; errors may come as a line after 200;
---   load options (num_ctx ...) reload the model when they differ, so they belong to the model's profile, never to a call;
---   keep_alive on every call can wedge other loads, so only load, pin and unload take it; think is sent explicitly;
---   over-long prompts are cut silently unless truncate = false is sent, and by old servers even then.

local effect = require "core.effect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local llm = require "core.driver.llm"
local models = require "core.cache.models"
local asking = require "stoke.model"
local call = require "stoke.ollama.call"
local config = require "stoke.config"
local check = require "stoke.ollama.options"
local protocol = require "stoke.ollama.protocol"
local spoken = require "core.terms"
local transfer = require "stoke.ollama.transfer"
local window = require "stoke.ollama.window"
local written = require "stoke.ollama.written"

local M = {}

local unseen = effect.unseen

-- The dialect's table: its wire (stoke.ollama.protocol), and what stoke.model wants of it beside.
protocol.mend, protocol.settled, protocol.reads = call.mend, call.settled, call.reads
protocol.cut, protocol.explain = window.cut, window.complete
protocol.window, protocol.grow = window.of, window.grow
llm.protocol("ollama", protocol)

---@class stoke.ollama.profile
---@field num_ctx? integer|"auto" the context window, tokens; "auto": it grows with the conversations, in few steps
---@field num_batch? integer
---@field num_gpu? integer layers on GPUs, -1 = as many as fit
---@field main_gpu? integer
---@field num_thread? integer
---@field use_mmap? boolean
---@field draft_num_predict? integer
---@field shift? boolean false: stop at the window's end instead of sliding it
---@field keep_alive? number|string seconds or a duration; used by ollama.load alone
---@field split_thinking? boolean as for ollama.chat, for all calls of the model
---@field auto_pull? boolean as for ollama.chat, for all calls of the model
---@field temperature? number and the other sampling options (seed, top_p, num_predict ...): for calls that do not say

--- Set the load options of models for this run: they are sent with every call, always the same.
---@param profiles table<string, stoke.ollama.profile>
---Raises `argument`.
---
--- Example: `ollama.profiles { ["qwen2.5:3b"] = { num_ctx = 8192 } }`
function M.profiles(profiles)
  protocol.set_profiles(profiles)
end

-- ---- requests -------------------------------------------------------------------------------------------------------------

local COMMON = {
  model = "string", options = "table", format = true, think = true, truncate = "boolean", logprobs = "boolean",
  top_logprobs = "number", endpoint = "string", timeouts = "table", stream = "boolean", keep_alive = true, shift = true,
  _debug_render_only = "boolean", split_thinking = "boolean", auto_pull = "boolean", any_arguments = "boolean",
  fitted = "boolean", class = true, deadline = "number", route = true, cache = true,
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

local MERGE = { merge = "boolean" }
local ALLOWED = {
  [false] = { chat = known(CHAT), generate = known(GENERATE) },
  [true] = { chat = known(CHAT, MERGE), generate = known(GENERATE, MERGE) },
}

--- Bodies of what was checked, but for messages and images: `what` checks them.
local BODIES = {}

function BODIES.chat(target, given, stream, what)
  local body = protocol.body(target, given, stream, given.options)
  body.messages = check.messages(what, given.messages, check.images)
  body.tools = given.tools and #given.tools > 0 and given.tools or nil
  return body
end

function BODIES.generate(target, given, stream, what)
  local body = protocol.body(target, given, stream, given.options)
  for name in next, GENERATE do body[name] = given[name] end
  if given.images then body.images = #given.images > 0 and check.images(what, given.images) or nil end
  if given.context then body.context = check.list(given.context) end
  return body
end

local ASKS, PATHS = { chat = "messages", generate = "prompt" }, { chat = "/api/chat", generate = "/api/generate" }

--- What calls with a class, a deadline or a route need beside: few have any.
local function terms() return require "stoke.ollama.terms" end

--- The request of a call, everything in it checked, and its target.
local function request(what, way, given, stream)
  if type(given) == "table" and given.model == nil and given.route ~= nil then given = terms().with_model(what, given) end
  given = check.check(what, given, ALLOWED[stream][way])
  if given.stream ~= nil and given.stream ~= stream then
    errors.argument("%s: %s", what, stream and "it streams; ollama.chat and ollama.generate do not"
      or "one reply is its value; ollama.stream gives events as they come")
  end
  local target = protocol.of_call(what, given)
  if given.class ~= nil or given.deadline or given.cache ~= nil then target = terms().target(what, given, target) end
  if not given[ASKS[way]] then errors.argument("%s: %s is missing", what, ASKS[way]) end
  local body = BODIES[way](target, given, stream, what)
  if given.format ~= nil then body.format = check.format(given.format) end
  if given.logprobs ~= nil then body.logprobs, body.top_logprobs = given.logprobs, given.top_logprobs end
  if given._debug_render_only then body._debug_render_only = true end
  local q = protocol.shape(way, given, body)
  if target.profile.late and not given.fitted then window.fit(target, body) end
  return given.any_arguments and protocol.any_arguments(q) or q, target
end

--- The same, in one pass of C where nothing is unusual and nobody looks at the request on its way.
local function prepared(what, way, given, stream)
  if type(given) == "table" and unseen() then
    local model, endpoint, streams = given.model, given.endpoint, given.stream
    if type(model) == "string" and model ~= "" and (streams == nil or streams == stream)
      and (endpoint == nil or type(endpoint) == "string") then
      local target = spoken.routed and protocol.of_call(what, given) or protocol.at(model, endpoint)
      local q = not target.profile.late and written.request(target, way, stream, PATHS[way], given, BODIES[way])
      if q then return q, target end
    end
  end
  return request(what, way, given, stream)
end

--- A reply's usage, made when somebody asks for it: most never do.
local Reply = {}

function Reply.__index(reply, key)
  if key ~= "usage" then return nil end
  local usage = protocol.usage(reply)
  reply.usage = usage
  return usage
end

--- Ask, for as long as the call has.
local function ask(name, what, given, q, target)
  if given.deadline then return terms().within(what, given, target, asking.perform, name, q, target, given) end
  return asking.perform(name, q, target, given)
end

--- The reply to a call; where it failed, that of a lower rung of its route.
local function try(what, way, given)
  local q, target = prepared(what, way, given, false)
  local reply, err = ask("llm.chat", what, given, q, target)
  if err == nil then return setmetatable(reply, Reply) end
  if not target.route or target.candidates.cache and target.candidates.cache.only then return nil, err end
  return terms().fall(given, target, err, function(lower) return try(what, way, lower) end)
end

---@class stoke.ollama.call
---@field model string
---@field options? table|string sampling: temperature, seed, stop, num_predict, top_k, top_p ...; or the name of a sampling profile
---@field sampling? string name of a sampling profile (precise, balanced, creative, those of stoke.config.lua); options go over it
---@field format? "json"|table|stoke.Schema a JSON Schema, or what stoke.schema gave; does not mix with tools
---@field think? boolean|"low"|"medium"|"high"|"max" false when not given
---@field truncate? boolean true: let the server cut a prompt that does not fit, instead of context_overflow
---@field logprobs? boolean
---@field top_logprobs? integer 0 to 20
---@field endpoint? string name or address
---@field timeouts? table seconds by phase, { connect, first_byte, idle, total }, false = no limit; from when the call has its turn
---@field split_thinking? boolean true: reasoning between tags (<think> and its kin) at the beginning of an answer is its `thinking`
---  and no part of its text, as where the server splits it. A profile may say so for its model. A stream cannot take back what it
---  told as text when a closing tag comes alone; an agent's result and history can
---@field auto_pull? boolean false: a model that the server does not have is pulled first, once for all calls that wait for it, its
---  progress shown on stderr. A profile, an endpoint or the settings may say so, too
---@field class? "interactive"|"normal"|"batch" who goes first where calls wait: interactive, where somebody waits for the answer;
---  batch, which all others pass. Of the scope around when not given, and normal there
---@field deadline? number seconds from now to the answer, or to its end where it streams: the wait for a slot is among them
---@field route? string|string[] where it may go, before endpoint: a route of the settings, or { "model@endpoint", "@endpoint" ... }
---@field any_arguments? boolean false: arguments of a tool call that are no object come as the model wrote them, instead of
---  `invalid_output`
---@field fitted? boolean false: the window of a model with num_ctx = "auto" is sent as it is: the caller has made it large enough

---@class stoke.ollama.chat: stoke.ollama.call
---@field messages table[] { role =, content =, images =, tool_calls =, tool_name = ... }
---@field tools? table[]

---@class stoke.ollama.generate: stoke.ollama.call
---@field prompt string
---@field suffix? string
---@field system? string
---@field template? string
---@field raw? boolean
---@field images? (string|{ path: string })[] base64, or files
---@field context? integer[]

--- One answer of a conversation.
---@param given stoke.ollama.chat
---@return table reply the API's own: .message.content, .message.tool_calls, .done_reason, .eval_count ..., and .usage
---  (ollama.usage). Where .done_reason is "length" the answer was cut off: its last call may be, too
---Raises refused, dns, tls, unreachable, timeout, auth, http, overloaded, protocol, incomplete, invalid_output, context_overflow,
---limit, budget, denied, argument, cancelled.
---
--- Example: `print(ollama.chat { model = "qwen2.5:3b", messages = { { role = "user", content = "Hi" } } }.message.content)`
function M.chat(given)
  return errors.check(try("ollama.chat", "chat", given))
end

--- As ollama.chat, but a failure of the world is its second value: for callers that go on without the answer.
---@param given stoke.ollama.chat
---@return table|nil reply
---@return stoke.error? err
---Raises `argument`, `cancelled`.
---
--- Example: `local reply, err = ollama.try_chat { model = m, messages = messages }`
function M.try_chat(given)
  return try("ollama.chat", "chat", given)
end

--- One completion of a prompt; with `suffix` it fills the hole between the two, with `raw` no template is used.
---@param given stoke.ollama.generate
---@return table reply the API's own: .response, .done_reason, .eval_count ..., and .usage
---Raises what ollama.chat raises.
---
--- Example: `print(ollama.generate { model = "qwen2.5-coder:3b", prompt = "def f(", suffix = "return x" }.response)`
function M.generate(given)
  return errors.check(try("ollama.generate", "generate", given))
end

--- Open a stream and give its iterator, the stream and what closes it, as generic `for` takes them.
local function open(what, given, bare)
  local chat = type(given) == "table" and given.messages ~= nil
  if type(given) == "table" and not chat and given.prompt == nil then
    errors.argument("%s: messages or prompt is missing", what)
  end
  local q, target = prepared(what, chat and "chat" or "generate", given, true)
  local stream, err = ask("llm.stream", what, given, q, target)
  if err then
    if not target.route or target.candidates.cache and target.candidates.cache.only then error(err, 0) end
    return terms().fall_stream(given, target, err, bare, function(lower) return open(what, lower, bare) end)
  end
  return asking.events(stream, target, q, given.merge ~= false, bare)
end

--- Events of an answer as it comes; give `messages` (chat) or `prompt` (generate).
---
--- { type = "text", text = }, { type = "thinking", text = }, { type = "tool_call", id =, name =, arguments =, call = as the
--- server wrote it }, { type = "done", reason = "stop"|"length", usage =, reply = the API's last line }. Act on tool calls after
--- done, and on none where its reason is "length": the last may be cut. Leaving the loop closes the connection. Text that has come
--- while the script was busy is one event; merge = false keeps one for each line of the server.
---@param given stoke.ollama.chat|stoke.ollama.generate and merge?: boolean
---@return fun(): table iterator for generic `for`
---Raises what ollama.chat raises, when it is called and while it is iterated. Once an event was read, nothing is tried again.
---
--- Example: `for ev in ollama.stream { model = m, prompt = "Hi" } do io.write(ev.text or "") end`
function M.stream(given) return open("ollama.stream", given) end

--- The text of an answer as it comes, and nothing else of it: strings, no events. An answer's reasoning is left out. As
--- ollama.stream otherwise, and cheaper; tools are refused, as their calls would be lost.
---@param given stoke.ollama.chat|stoke.ollama.generate and merge?: boolean
---@return fun(): string iterator for generic `for`
---Raises what ollama.stream raises.
---
--- Example: `for text in ollama.text { model = m, prompt = "Hi" } do io.write(text) end`
function M.text(given)
  if type(given) == "table" and given.tools then
    errors.argument "ollama.text gives text alone: ollama.stream has the calls of tools"
  end
  return open("ollama.text", given, true)
end

local EMBED = { model = "string", input = true, dimensions = "number", truncate = "boolean", long = "string", partial = "boolean",
  normalise = "boolean", cache = true, options = "table", endpoint = "string", timeouts = "table", keep_alive = true,
  auto_pull = "boolean", class = true, deadline = "number" }

---@class stoke.ollama.embed
---@field model string
---@field input string|string[]
---@field dimensions? integer shorter vectors, of models that can
---@field long? "error"|"chunk"|"truncate" what becomes of a text longer than the window. "error" (when not given): the call
---  fails and names it. "chunk": its vector is the mean of those of its pieces. "truncate": its beginning counts. .chunked and
---  .truncated list such texts
---@field truncate? boolean true: as long = "truncate"
---@field partial? boolean true: a text that the server refuses has `false` for its vector and its error in .errors, by its place
---@field normalise? boolean true: each vector gets length 1 (Ollama's mostly have it)
---@field cache? boolean false: neither look into the embedding cache nor keep anything in it
---@field options? table|string
---@field endpoint? string
---@field timeouts? table
---@field auto_pull? boolean
---@field class? "interactive"|"normal"|"batch"
---@field deadline? number

--- Vectors of one or several texts. Texts that come twice are asked for once, those in the embedding cache not at all, the rest in
--- batches. A text that the server refuses ends the call with its error, whose `index` says which it is; those of all others are in
--- the cache then. Numbers are of single precision, as the server computes them.
---@param given stoke.ollama.embed
---@return table reply .embeddings, one row a text, in their order; .usage, what was asked; .hits, how many came from the cache;
---  .cached is "exact" where all did
---Raises what ollama.chat raises.
---
--- Example: `local v = ollama.embed { model = "nomic-embed-text", input = "a text" }.embeddings[1]`
function M.embed(given)
  given = check.check("ollama.embed", given, EMBED)
  local texts, about = check.embed("ollama.embed", given)
  local target = protocol.at(given.model, given.endpoint)
  if given.class ~= nil or given.deadline then target = terms().target("ollama.embed", given, target) end
  local embed = require "stoke.model.embed".reply
  if not given.deadline then return protocol.embedded(given.model, errors.check(embed(target, about, texts))) end
  local reply, err = terms().within("ollama.embed", given, target, embed, target, about, texts)
  return protocol.embedded(given.model, errors.check(reply, err))
end

-- ---- loading --------------------------------------------------------------------------------------------------------------

--- A model of the cloud is there when it is asked, and nothing of it can be kept or freed here: no request is made.
local function remote(model, reason)
  return { model = model, done = true, done_reason = reason, remote = true }
end

local function load(target, keep_alive, about)
  local model = target.name
  if check.is_cloud(model) then return remote(model, "load") end
  local q = { protocol = "ollama", path = "/api/generate", model = model, endpoint = about.endpoint, timeouts = about.timeouts,
    body = protocol.load_body(target, keep_alive) }
  local reply, err = effect.perform("llm.load", q, target.candidates)
  if err and err.status == 400 and err.message:find("does not support generate", 1, true) then -- it embeds
    q.path, q.body.input, q.body.stream, q.body.shift = "/api/embed", "", nil, nil
    reply, err = effect.perform("llm.load", q, target.candidates)
    if reply then reply.done_reason = "load" end
  end
  return reply, err
end

function protocol.load(target, keep_alive)
  if keep_alive == nil then keep_alive = protocol.profile(target.name).keep_alive end
  return load(target, keep_alive, { endpoint = target.endpoint.name })
end

local LOAD = { model = "string", keep_alive = true, endpoint = "string", timeouts = "table" }

--- Load a model, with its profile's options, and wait until it is ready. keep_alive: seconds or a Go duration, how long it
--- stays without work; negative = until told otherwise.
---@param given string|{ model: string, keep_alive?: number|string, endpoint?: string, timeouts?: table } the name alone will do
---@return table reply done_reason is "load"; of a model of the cloud (`gpt-oss:120b-cloud`) also remote = true: nothing was loaded
---Raises what ollama.chat raises.
---
--- Example: `ollama.load { model = "qwen2.5:3b", keep_alive = "30m" }`
function M.load(given)
  if type(given) == "string" then given = { model = given } end
  given = errors.options(given, LOAD, "ollama.load")
  local model = check.model("ollama.load", given.model)
  if given.timeouts then check.timeouts("ollama.load", given.timeouts) end
  local keep_alive = given.keep_alive
  if keep_alive == nil then keep_alive = protocol.profile(model).keep_alive end
  if keep_alive ~= nil then check.keep_alive("ollama.load", keep_alive) end
  return errors.check(load(protocol.at(model, given.endpoint), keep_alive, given))
end

--- Keep a model loaded until it is unloaded. Ollama may still evict it for another model's load.
---@param model string|{ model: string, endpoint?: string } the name, or a table with all
---@param endpoint? string|{ endpoint?: string }
---@return table reply
---Raises what ollama.chat raises.
---
--- Example: `ollama.pin "qwen2.5:3b"`
function M.pin(model, endpoint)
  local given = check.one("ollama.pin", model, endpoint)
  return M.load { model = given.model, keep_alive = -1, endpoint = given.endpoint }
end

--- What the server answers at once, of a target or, without a model, of its endpoint.
local function ask_server(target, method, path, body, endpoint, once)
  return effect.perform("llm.admin", { protocol = "ollama", method = method, path = path, body = body,
    endpoint = endpoint, model = body and body.model, once = once }, target.candidates)
end

local function admin(method, path, body, endpoint, once)
  return errors.check(ask_server(protocol.at(body and body.model, endpoint), method, path, body, endpoint, once))
end

--- Free a model's memory once its running calls have ended. Returns before that; ollama.ps tells when it has happened.
---@param model string|{ model: string, endpoint?: string } the name, or a table with all
---@param endpoint? string|{ endpoint?: string }
---@return table reply done_reason is "unload"
---Raises what ollama.chat raises.
---
--- Example: `ollama.unload "qwen2.5:3b"`
function M.unload(model, endpoint)
  local given = check.one("ollama.unload", model, endpoint)
  if check.is_cloud(given.model) then return remote(given.model, "unload") end
  return admin("POST", "/api/generate", { model = given.model, keep_alive = 0, stream = false }, given.endpoint)
end

-- ---- what stoke.model asks of a server --------------------------------------------------------------------------------------

function protocol.unload(target)
  if check.is_cloud(target.name) then return remote(target.name, "unload") end
  return ask_server(target, "POST", "/api/generate", { model = target.name, keep_alive = 0, stream = false }, target.endpoint.name)
end

function protocol.residency(endpoint)
  local reply, err = ask_server(endpoints.target(endpoint, nil, protocol), "GET", "/api/ps", nil, endpoint.name)
  if err then return nil, err end
  local out = {}
  for i, model in ipairs(reply.models) do
    out[i] = { name = model.name, window = math.tointeger(model.context_length), bytes = model.size, fast_bytes = model.size_vram,
      expires = model.expires_at }
  end
  return out
end

function protocol.probe(endpoint)
  return ask_server(endpoints.target(endpoint, nil, protocol), "GET", "/api/version", nil, endpoint.name, true)
end

function protocol.capabilities(target)
  local reply, err = ask_server(target, "POST", "/api/show", { model = target.name }, target.endpoint.name)
  if err then return nil, err end
  local out = {}
  for _, name in ipairs(reply.capabilities or { "completion" }) do out[name] = true end
  return out
end

-- ---- inventory --------------------------------------------------------------------------------------------------------------

--- The models of the server.
---@param endpoint? string|{ endpoint?: string } name or address
---@return { models: table[] }
---
--- Example: `print(ollama.tags().models[1].name)`
function M.tags(endpoint) return admin("GET", "/api/tags", nil, check.endpoint("ollama.tags", endpoint)) end

--- The newest model of the server that can do something: what to ask when nobody said which model.
---@param capability? "completion"|"tools"|"insert"|"vision"|"thinking"|"embedding"|table "completion" when not given; or a
---  table with capability and endpoint
---@param endpoint? string name or address
---@return string name
---Raises `usage` when the server has none.
---
--- Example: `local model = ollama.newest "tools"`
function M.newest(capability, endpoint)
  if type(capability) == "table" then
    local given = errors.options(capability, { capability = "string", endpoint = "string" }, "ollama.newest")
    capability, endpoint = given.capability, given.endpoint
  end
  capability = capability or "completion"
  local list = M.tags(endpoint).models
  for _, model in ipairs(list) do
    local can = model.capabilities or M.show(model.name, { endpoint = endpoint }).capabilities -- older than 0.30: asked for
    for _, name in ipairs(can or { "completion" }) do
      if name == capability then return model.name end
    end
  end
  errors.raise("usage", list[1] and ("the server has no model with the capability %s"):format(capability)
    or "the server has no models", { hint = "stoke pull qwen2.5:3b" })
end

--- The loaded models.
---@param endpoint? string|{ endpoint?: string }
---@return { models: table[] } with size_vram, expires_at, context_length
---
--- Example: `for _, m in ipairs(ollama.ps().models) do print(m.name) end`
function M.ps(endpoint) return admin("GET", "/api/ps", nil, check.endpoint("ollama.ps", endpoint)) end

--- The server's version. Asked once, never again on failure: this is how one learns whether a server is there.
---@param endpoint? string|{ endpoint?: string }
---@return { version: string }
---
--- Example: `print(ollama.version().version)`
function M.version(endpoint) return admin("GET", "/api/version", nil, check.endpoint("ollama.version", endpoint), true) end

--- What the server knows of a model.
---@param model string|{ model: string, verbose?: boolean, endpoint?: string } the name, or a table with all
---@param options? string|{ verbose?: boolean, endpoint?: string }
---@return table .capabilities, .details, .model_info, .parameters, .template ...
---
--- Example: `print(table.concat(ollama.show("qwen2.5:3b").capabilities, " "))`
function M.show(model, options)
  local given = check.one("ollama.show", model, options, { verbose = "boolean" })
  return admin("POST", "/api/show", { model = given.model, verbose = given.verbose }, given.endpoint)
end

--- Give a model a second name.
---@param source string|{ source: string, destination: string, endpoint?: string } the name, or a table with all
---@param destination? string
---@param endpoint? string
---
--- Example: `ollama.copy("qwen2.5:3b", "mine")`
function M.copy(source, destination, endpoint)
  if type(source) == "table" then
    local given = errors.options(source, { source = "string", destination = "string", endpoint = "string" }, "ollama.copy")
    source, destination, endpoint = given.source, given.destination, given.endpoint
  end
  check.model("ollama.copy: source", source)
  check.model("ollama.copy: destination", destination)
  errors.check(effect.perform("llm.admin", { protocol = "ollama", path = "/api/copy", model = source, endpoint = endpoint,
    body = { source = source, destination = destination } }, protocol.at(source, endpoint).candidates))
  models.forget(protocol.at(source, endpoint).endpoint.url)
end

--- Delete a model. One that is loaded goes on until its keep_alive ends. Asked once: a second try could not tell its own success.
---@param model string|{ model: string, endpoint?: string } the name, or a table with all
---@param endpoint? string|{ endpoint?: string }
---
--- Example: `ollama.delete "mine"`
function M.delete(model, endpoint)
  local given = check.one("ollama.delete", model, endpoint)
  admin("DELETE", "/api/delete", { model = given.model }, given.endpoint, true)
  models.forget(protocol.at(given.model, given.endpoint).endpoint.url)
end

M.pull, M.push, M.create = transfer.pull, transfer.push, transfer.create
M.blob, M.blob_exists = transfer.blob, transfer.blob_exists

--- Base64 of a file's bytes, as `images` wants it.
---@param path string
---@return string
---
--- Example: `ollama.generate { model = "llava", prompt = "What is this?", images = { { path = "cat.png" } } }`
M.image = check.image

--- Tokens and times of a reply, in the shape `usage` has everywhere.
---@param reply table of chat, generate or embed, or a stream's last event or line
---@return table|nil usage { input_tokens, output_tokens, calls, attempts, tool_calls, repairs, seconds, load_seconds, estimated }
---
--- Example: `print(ollama.usage(reply).output_tokens)`
M.usage = protocol.usage

--- The context window of a model: its profile's num_ctx, or what the server says of the model it has loaded.
---@param model string|{ model: string, endpoint?: string } the name, or a table with all
---@param endpoint? string|{ endpoint?: string }
---@return integer|nil tokens nil while the model is not loaded, and where the server does not tell
---
--- Example: `print(ollama.window "qwen2.5:3b")`
function M.window(model, endpoint)
  local given = check.one("ollama.window", model, endpoint)
  return window.of(protocol.at(given.model, given.endpoint))
end

--- The exact request that chat, generate or stream would send, without sending it.
---@param given stoke.ollama.chat|stoke.ollama.generate
---@param stream? boolean
---@return { method: string, url: string, body: string } body: JSON text
---Raises `argument`.
---
--- Example: `print(ollama.request({ model = "qwen2.5:3b", prompt = "Hi" }).body)`
function M.request(given, stream)
  local q, target = request("ollama.request", type(given) == "table" and given.messages and "chat" or "generate", given,
    stream or false)
  local candidates = target.candidates
  target = candidates[1]
  local options, body = protocol.request(q, target, stream or false, nil, candidates)
  if not options then error(body, 0) end
  return { method = "POST", url = target.endpoint.url .. q.path, body = body }
end

--- The address an endpoint stands for.
---@param name? string
---@return string url
---
--- Example: `print(ollama.endpoint())`
function M.endpoint(name) return config.endpoint(name).url end

return M
