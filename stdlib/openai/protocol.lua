--- OpenAI's wire as a dialect (stdlib/model.lua): chat completions, completions, embeddings and models of OpenAI, vLLM, SGLang,
--- llama-server, LiteLLM, OpenRouter, DeepSeek, LM Studio and of Ollama's own /v1.
---
--- A request's body is the one that all dialects share, { model, messages, tools, format, options, think, logprobs } as for
--- Ollama's chat: what a recording knows is the same whatever server answers, and along a route a call goes to servers of either
--- dialect. The words of the wire are chosen when the server is known that gets it (stoke.openai.bodies).

local effect = require "core.effect"
local endpoints = require "core.endpoint"
local errors = require "core.errors"
local json = require "core.json"
local bodies = require "stoke.openai.bodies"
local failures = require "stoke.openai.failures"
local learned = require "stoke.model.learned"
local llm = require "core.driver.llm"
local mending = require "stoke.openai.mending"
local model = require "stoke.model"
local notes = require "stoke.openai.notes"
local ollama = require "stoke.ollama.replies"
local sampling_names = require "stoke.model.options".SAMPLING
local pooling = require "stoke.openai.pooling"
local profiles = require "stoke.ollama.protocol"
local replies = require "stoke.openai.replies"
local responses = require "stoke.openai.responses"
local requests = require "stoke.model.request"
local servers = require "stoke.openai.servers"
local stream = require "stoke.openai.stream"
local thinking = require "stoke.reading.thinking"

local M = {}

local CHAT <const>, COMPLETION <const>, EMBEDDING <const> = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"

-- ---- targets --------------------------------------------------------------------------------------------------------------------

local LOAD = { "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "draft_num_predict", "keep_alive", "shift" }

--- A target is made: what the settings say of sampling its model goes with its calls; what they say of loading it cannot.
---@param target stoke.target
function M.open(target)
  if not target.name then return end
  local profile, load, sampling = profiles.profile(target.name), {}, {}
  for _, name in ipairs(LOAD) do
    if profile[name] ~= nil then load[#load + 1] = name end
  end
  if load[1] and not target.route then
    notes.once(target, "profile", ("%s of the profile is not sent: this server loads its models by its own settings"):format(
      table.concat(load, ", ")))
  end
  for _, name in ipairs(sampling_names) do sampling[name] = profile[name] end
  target.profile = { late = true, split_thinking = profile.split_thinking }
  if next(sampling) ~= nil then target.sampling = sampling end
end

--- Before a question is sent: which server it is, is asked where it is not known.
M.ready = servers.ready

-- ---- shaping --------------------------------------------------------------------------------------------------------------------

local function merged(given, sampling)
  if not sampling then return given end
  local out = {}
  for name, value in next, sampling do out[name] = value end
  for name, value in next, given or {} do out[name] = value end
  return out
end

--- What goes through the door.
---@param target stoke.target
---@param call table
---@param path string
---@param body table
---@return table q
function M.shape(target, call, path, body)
  return { protocol = target.dialect.name, path = path, model = target.name, body = body, endpoint = call.endpoint,
    timeouts = call.timeouts, split_thinking = call.split_thinking }
end

--- A chat of which everything has been checked. For stoke.model.
---@param target stoke.target
---@param call table
---@param streamed boolean
---@param messages table[]
---@param tools? table[]
---@param format? table|"json"
---@param options? table
---@return table q
function M.chat(target, call, streamed, messages, tools, format, options)
  local odds = target.profile.logprobs
  local q = M.shape(target, call, target.dialect.path, { model = target.name, messages = messages, tools = tools, format = format,
    stream = streamed, think = call.think or false, options = merged(options, target.sampling),
    logprobs = call.logprobs or odds or nil, top_logprobs = call.top_logprobs or odds and 2 or nil })
  return setmetatable(q, { __index = { any_arguments = true } })
end
M.path = CHAT

--- A request of another dialect, for a server of this one: along a route.
---@param q table
---@return table|nil q
---@return stoke.error? err
function M.adopt(q)
  local path = q.body and (q.body.messages and CHAT or q.path == "/api/embed" and EMBEDDING)
  if not path then
    return nil, errors.new("usage", "only chats and embeddings go along a route to servers of another dialect",
      { hint = "ask with stoke.chat, or name servers of one dialect in the route" })
  end
  return setmetatable({ protocol = "openai", path = path, model = q.model, body = q.body, endpoint = q.endpoint,
    timeouts = q.timeouts, split_thinking = q.split_thinking }, getmetatable(q))
end

local BODIES = { [CHAT] = bodies.chat, [COMPLETION] = bodies.completion,
  ["/v1/responses"] = responses.body,
  [EMBEDDING] = function(q, target) return bodies.embedding(q, target) end }

--- Are whole replies read from a stream? Where the server does not say how long an answer took, it is seen from when its first
--- token comes: the pool learns from that. Some servers read calls of tools better when nobody watches.
---@param q table
---@param target stoke.target
---@return boolean
function M.gathers(q, target)
  if q.path ~= CHAT then return false end
  local kind = servers.known(target.endpoint).kind
  return not kind.timings and not (kind.whole and q.body.tools) and not (notes.learned(target).refused or {}).stream
end

--- Finish a request for a target.
---@param q table
---@param target stoke.target
---@param streamed boolean
---@param amend? table
---@return any options
---@return string|nil body
function M.request(q, target, streamed, amend)
  local sent = nil
  if q.body then
    local err
    sent, err = json.encode(BODIES[q.path](q, target, servers.known(target.endpoint), streamed, amend))
    if not sent then return nil, err end
  end
  return requests.options(target.endpoint, q, streamed), sent
end

-- ---- answers --------------------------------------------------------------------------------------------------------------------

M.answer, M.usage, M.timings, M.took = replies.answer, replies.usage, replies.timings, replies.took
M.line, M.ended, M.error = stream.line, stream.ended, failures.status
M.mend, M.reads = mending.mend, mending.reads
M.continues, M.facts, M.restore = ollama.continues, ollama.facts, ollama.restore

--- A whole reply; one that comes at all says that its server is there.
---@param text string
---@param q table
---@param attempts? integer
---@param target stoke.target
---@return any value
---@return stoke.error? err
function M.reply(text, q, attempts, target)
  servers.answered(target.endpoint)
  return replies.reply(text, q, attempts, target)
end

--- The stream ended before the answer was whole.
---@param state table
---@return stoke.error
function M.incomplete(state) return failures.incomplete(state.q) end

--- Tokens of a request's prompt, and what it bounds its answer by.
---@param q table
---@param target stoke.target
---@return integer tokens
---@return integer|false|nil answer
function M.estimate(q, target)
  local input = learned.estimate(target, learned.body_size(q.body))
  if q.body.input ~= nil and q.path == EMBEDDING then return input, false end
  return input, q.body.options and q.body.options.num_predict
end

--- The text of a streamed answer without a reasoning that only a closing tag ends.
---@param target stoke.target
---@param call table
---@param text string
---@param before? string
---@return string text
---@return string|nil thinking
function M.settled(target, call, text, before)
  local thought, rest = thinking.lone(text)
  if not thought or call.split_thinking == false or target.profile.split_thinking == false then return text, before end
  if thought == "" then return rest, before end
  return rest, before and before .. "\n" .. thought or thought
end

--- What the pool asks a server beside its calls.
function M.pooling() return pooling end

-- ---- what stoke.model asks of a server -----------------------------------------------------------------------------------------

--- A request that no slot is waited for.
---@param target stoke.target
---@param path string
---@param seconds? number
---@return any value
---@return stoke.error? err
function M.get(target, path, seconds)
  return effect.perform("llm.admin", { protocol = target.dialect.name, method = "GET", path = path,
    endpoint = target.endpoint.name, once = true, timeouts = seconds and { total = seconds } or nil }, { target })
end

--- The context window, where the server tells it: noted.
---@param target stoke.target
---@return integer|nil tokens
function M.window(target)
  if target.route then
    local least = nil
    for _, candidate in ipairs(target.candidates) do
      local tokens = candidate.dialect.window and candidate.dialect.window(candidate)
      if tokens and (not least or tokens < least) then least = tokens end
    end
    return least
  end
  local known = learned.window(target)
  if known ~= nil then return known or nil end
  local value = M.get(target, "/v1/models", 5)
  local server = value and servers.read(target.endpoint.meant, value)
  local tokens = server and server.windows[target.served]
  if server and not tokens and server.kind == servers.KINDS.llama then
    local props = M.get(target, "/props", 5)
    local settings = type(props) == "table" and props.default_generation_settings
    tokens = type(settings) == "table" and math.type(settings.n_ctx) and math.tointeger(settings.n_ctx)
  end
  if server then learned.note(target, "window", tokens or false) end
  return tokens or nil
end

--- Is there such a server? Its version is which kind it is.
---@param endpoint stoke.endpoint
---@return { version: string, models: integer }|nil
---@return stoke.error? err
function M.probe(endpoint)
  local value, err = M.get(endpoints.plain(endpoint, nil, M), "/v1/models")
  if not value then return nil, err end
  local server = servers.read(endpoint.meant, value)
  return { version = server.kind.name, models = #server.names }
end

--- The models of a server: all of them answer at once, as far as it tells.
---@param endpoint stoke.endpoint
---@return { name: string, window?: integer }[]|nil
---@return stoke.error? err
function M.residency(endpoint)
  local value, err = M.get(endpoints.plain(endpoint, nil, M), "/v1/models")
  if not value then return nil, err end
  local server, out = servers.read(endpoint.meant, value), {}
  for i, name in ipairs(server.names) do out[i] = { name = name, window = server.windows[name] } end
  return out
end

--- What a model's server can do: tried, where it is not known.
---@param target stoke.target
---@return stoke.openai.capabilities|nil
---@return stoke.error? err
function M.capabilities(target) return require "stoke.openai.capabilities".of(target) end

--- One request for vectors: for stoke.model.embed, which makes as many as it takes. These servers say themselves what is too long.
---@param target stoke.target
---@param call table
---@param texts string[]
---@return table q
function M.embedding(target, call, texts)
  return M.shape(target, call, EMBEDDING, { model = target.name, input = texts, dimensions = call.dimensions })
end

--- The vectors of its reply.
---@param value table
---@return number[][]
function M.vectors(value) return value.embeddings end

model.register("openai", M)

--- The same servers by /v1/responses.
local other = {}
for name, value in next, M do other[name] = value end
other.path, other.line = "/v1/responses", responses.line
function other.gathers() return false end
llm.protocol("openai-responses", other)

return M
