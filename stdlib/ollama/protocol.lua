--- Ollama's wire: how requests are shaped and finished, for lua/driver/llm.lua, which does the work, and for stoke.model, the face
--- that all dialects have. This is the dialect's table; its parts are in the files beside it.

local endpoints = require "core.endpoint"
local errors = require "core.errors"
local json = require "core.json"
local modules = require "core.modules"
local auto = require "stoke.ollama.auto"
local config = require "stoke.config"
local failures = require "stoke.ollama.failures"
local learned = require "stoke.model.learned"
local options = require "stoke.ollama.options"
local replies = require "stoke.ollama.replies"
local requests = require "stoke.model.request"
local terms = require "core.terms"
local unseen = require "core.effect".unseen
local written = require "stoke.ollama.written"

local M = {}

-- ---- profiles -------------------------------------------------------------------------------------------------------------

local own = {}

local canonical = options.canonical

--- Set profiles of this run; each replaces the one the model had.
function M.set_profiles(profiles)
  if type(profiles) ~= "table" then errors.argument("ollama.profiles: a table of profiles by model expected") end
  local checked = {}
  for model, profile in next, profiles do
    options.model("ollama.profiles", model)
    checked[canonical(model)] = options.profile(model, profile)
  end
  for model, profile in next, checked do
    local before = own[model]
    own[model] = profile
    modules.undo(function()
      own[model] = before
      endpoints.changed()
    end)
  end
  endpoints.changed()
end

function M.profile(model)
  return own[canonical(model)] or config.profile(model)
end

--- What a profile says under these names; nil when it says nothing.
local function chosen(profile, names)
  local out = {}
  for _, name in ipairs(names) do out[name] = profile[name] end
  return next(out) ~= nil and out or nil
end

--- A target is made: what the profile of its model says goes with it. `load` is { options | nil, shift | nil, automatic | nil,
--- split_thinking | nil, auto_pull | nil, late }; its options are the same with every call, or the model would be loaded anew.
--- late: a request is written when the target is chosen, as its model or its options may be others then.
---@param target stoke.target
function M.open(target)
  local spoken = target.endpoint.dialect
  if spoken and spoken ~= "ollama" and not target.route then
    errors.raise("usage", ("the endpoint %s speaks %s, and stoke.ollama Ollama's own API"):format(target.endpoint.name, spoken),
      { hint = "stoke.chat, stoke.stream, stoke.embed and agents ask in the dialect of the endpoint" })
  end
  if not target.name then return end
  local profile = M.profile(target.name)
  local load = { options = chosen(profile, options.LOAD), shift = profile.shift, split_thinking = profile.split_thinking,
    auto_pull = profile.auto_pull }
  if profile.num_ctx == "auto" then -- known when it is sent
    load.automatic, load.options.num_ctx = true, nil
    if next(load.options) == nil then load.options = nil end
  end
  target.profile, target.set_window = load, profile.num_ctx
  target.sampling = chosen(profile, options.SAMPLING)
  target.written = { [true] = {}, [false] = {} }
  load.late = load.automatic or target.route ~= nil or target.served ~= target.name
  if target.route then load.options, load.shift, target.set_window = nil, nil, nil end
end

--- The target of a model at an endpoint, or along its route.
---@param model string|nil
---@param endpoint? string
---@return stoke.target
---Raises `usage` for an endpoint that nobody knows.
function M.at(model, endpoint)
  return endpoints.target(endpoints.of(endpoint), model, M)
end

--- The target of a call: its own route goes before its endpoint's, and that before the route of the scope around it.
---@param what string for errors
---@param given { model?: string, endpoint?: string, route?: string|string[] }
---@return stoke.target
---Raises as M.at, and for a route that is none.
function M.of_call(what, given)
  local route = given.route or terms.routed and not given.endpoint and terms.route() or nil
  if not route then return M.at(given.model, given.endpoint) end
  return require "stoke.config.routes".target(what, given.model, route, M)
end

-- ---- bodies -----------------------------------------------------------------------------------------------------------------

local NONE = {}

--- The sampling options of a call, over those of its model, and the load options. `stop = {}` would go out as an object: left out.
local function merge(given, load, sampling)
  if not given and not sampling then return load end
  given = given or NONE
  local empty_stop = given.stop ~= nil and next(given.stop) == nil
  if not load and not sampling and not empty_stop then return given end
  local merged = {}
  for name, value in next, sampling or NONE do merged[name] = value end
  for name, value in next, given do merged[name] = value end
  for name, value in next, load or NONE do merged[name] = value end
  if empty_stop then merged.stop = nil end
  return merged
end

--- The part of the body that chat and generate share; the options were checked.
---@param target stoke.target
---@param given table { think?, truncate? }
---@param stream boolean
---@param sampling? table
function M.body(target, given, stream, sampling)
  local load = target.profile
  local sent = load.options
  if sampling or target.sampling then sent = merge(sampling, sent, target.sampling) end
  return { model = target.name, messages = nil, tools = nil, format = nil, stream = stream, think = given.think or false,
    truncate = given.truncate or false, options = sent, shift = load.shift }
end

--- The body that only loads: the model's own options and nothing else, or it would be loaded anew for the first call.
function M.load_body(target, keep_alive)
  local profile = target.profile
  return { model = target.name, stream = false, options = profile.options, shift = profile.shift, keep_alive = keep_alive }
end

--- One request for vectors.
---@param target stoke.target
---@param about table { dimensions?, options?, endpoint?, timeouts? }
---@param texts string[]
---@param truncate boolean
---@return table q
function M.embedding(target, about, texts, truncate)
  return { protocol = "ollama", path = "/api/embed", model = target.name, endpoint = about.endpoint, timeouts = about.timeouts,
    body = { model = target.name, options = merge(about.options, target.profile.options), truncate = truncate,
      input = options.list(texts), dimensions = about.dimensions } }
end

--- The vectors of its reply.
function M.vectors(reply) return reply.embeddings end

--- A reply of vectors with the fields that the API has.
---@param model string
---@param reply stoke.embed.reply changed
---@return table reply
function M.embedded(model, reply)
  local usage = reply.usage
  reply.model = model
  reply.total_duration, reply.load_duration = usage.seconds * 1e9 // 1 | 0, usage.load_seconds * 1e9 // 1 | 0
  if not usage.estimated then reply.prompt_eval_count = usage.input_tokens end
  return reply
end

local PATHS = { chat = "/api/chat", generate = "/api/generate" }

--- What goes through the door: pure data, nothing of this process in it.
---@param way "chat"|"generate"
---@param about table { endpoint?, timeouts?, split_thinking? }
---@param body table
---@return table q
function M.shape(way, about, body)
  return { protocol = "ollama", path = PATHS[way], model = body.model, body = body, endpoint = about.endpoint,
    timeouts = about.timeouts, split_thinking = about.split_thinking }
end

--- What a reader of calls wants to get and the server is not told: kept off the request, which recordings are found by.
local ANY = { __index = { any_arguments = true } }

--- Arguments of tool calls that are no object come as the model wrote them.
---@param q table
---@return table q
function M.any_arguments(q) return setmetatable(q, ANY) end

local function agent_body(target, about, stream)
  local profile, sampling = target.profile, about.options
  local sent = profile.options
  if sampling or target.sampling then
    sent = (sent or target.sampling or sampling.stop) and merge(sampling, sent, target.sampling) or sampling
  end
  return { model = target.name, messages = about.messages, tools = about.tools, format = about.format, stream = stream,
    think = about.think or false, truncate = about.truncate or false, options = sent, shift = profile.shift,
    logprobs = profile.logprobs, top_logprobs = profile.logprobs and 2 or nil }
end

--- A chat of which everything has been checked; images are base64. For stoke.model.
---@param target stoke.target
---@param about table
---@param stream boolean
---@param messages table[]
---@param tools? table[]
---@param format? table
---@param sampling? table
---@return table q
function M.chat(target, about, stream, messages, tools, format, sampling)
  local q = { messages = messages, tools = tools, format = format, options = sampling, think = about.think or nil,
    path = "/api/chat", endpoint = about.endpoint, sent = nil }
  if about.truncate then q.truncate = true end
  if not target.profile.late and not about.timeouts and not about.logprobs and unseen() then
    local kind = target.written[stream].agent or written.agent(target, stream, agent_body)
    local text = kind.spec:encode(q)
    if text then
      q.sent = text
      if about.split_thinking ~= nil then q.split_thinking = about.split_thinking end
      return setmetatable(q, kind)
    end
  end
  local body = agent_body(target, q, stream)
  if about.logprobs then body.logprobs, body.top_logprobs = true, about.top_logprobs end
  if target.profile.late and not target.fitted then require "stoke.ollama.window".fit(target, body) end
  return setmetatable({ protocol = "ollama", path = "/api/chat", model = target.name, body = body, endpoint = about.endpoint,
    timeouts = about.timeouts, split_thinking = about.split_thinking }, ANY)
end

local ADOPTED = { ["/v1/chat/completions"] = "/api/chat", ["/v1/embeddings"] = "/api/embed", ["/v1/responses"] = "/api/chat" }

--- A request of another dialect, for a server of this one: along a route. Its body is the same (stoke.openai.protocol).
---@param q table
---@return table|nil q
---@return stoke.error? err
function M.adopt(q)
  local path, given = ADOPTED[q.path], q.body
  if not path then return nil, errors.new("usage", ("a request of %s cannot go to an Ollama"):format(q.path)) end
  local body = {}
  for name, value in next, given do body[name] = value end
  if body.input == nil then body.think = given.think or false end
  body.truncate = false
  return setmetatable({ protocol = "ollama", path = path, model = q.model, body = body, endpoint = q.endpoint,
    timeouts = q.timeouts, split_thinking = q.split_thinking }, ANY)
end

-- ---- requests ---------------------------------------------------------------------------------------------------------------

--- Paths of what loads a model.
local LOADS = { ["/api/chat"] = true, ["/api/generate"] = true, ["/api/embed"] = true }

--- A copy of a body with other options: what gates have put beside the request, and the window of the moment.
local function amended(body, amend, window)
  local out, changed = {}, {}
  for name, value in next, body do out[name] = value end
  for name, value in next, body.options or NONE do changed[name] = value end
  for name, value in next, amend or NONE do changed[name] = value end
  changed.num_ctx = window or changed.num_ctx
  out.options = changed
  return setmetatable(out, getmetatable(body))
end

--- A copy of a body with the name that the target's server has for the model; of what loads it with the target's options, too.
local function for_target(body, target, loads)
  local out = {}
  for name, value in next, body do out[name] = value end
  out.model = target.served
  if loads then
    local load = target.profile
    out.options, out.shift = merge(body.options, load.options, target.sampling), load.shift
  end
  return setmetatable(out, getmetatable(body))
end

--- A copy of a body whose answer is streamed.
local function streaming(body)
  local out = {}
  for name, value in next, body do out[name] = value end
  out.stream = true
  return setmetatable(out, getmetatable(body))
end

--- Tokens that an answer may have, and the least seconds after which a server is suspected to be wedged.
local LONGEST <const>, SUSPECTED <const> = 8192, 30

--- Is a whole reply read from a stream? Where others wait for the slot, or there are other servers, somebody watches whether the
--- server is wedged; of a stream he sees that something comes. Not where no answer is long enough to be taken for one that never
--- comes, nor where a model calls tools.
---@param q table
---@param slot stoke.pool.lane|stoke.pool.ticket|nil
---@return boolean
function M.gathers(q, _, slot)
  local body = q.body
  if not slot or not slot.state or not body or body.stream ~= false or body.tools or q.method then return false end
  if q.path ~= "/api/chat" and q.path ~= "/api/generate" then return false end
  local facts, speed = slot.lane and slot.lane.facts, nil
  if facts then _, speed = facts:speeds() end
  return not speed or speed * SUSPECTED < LONGEST
end

--- Finish a request for a target: what host.http is asked for.
---@param q table { path, body | raw, method?, timeouts? }
---@param target stoke.target
---@param stream boolean
---@param amend? table options that gates have put beside the request
---@param candidates? stoke.target[] the targets among which this one was chosen
---@return any options
---@return string|nil body
function M.request(q, target, stream, amend, candidates)
  local endpoint, sent, gathers = target.endpoint, q.sent, stream and q.body and q.body.stream == false
  if sent then q.sent = nil end -- it may wait long
  if sent and not gathers then
    return endpoint.requests[stream and "stream " .. q.path or q.path] or requests.options(endpoint, q, stream), sent
  end
  local body = q.body
  sent = q.raw
  if body then
    local profile = target.profile
    local loads = profile and LOADS[q.path] and not q.method
    if body.model and (body.model ~= target.served or loads and candidates and candidates.route) then
      body = for_target(body, target, loads)
    end
    local automatic = loads and profile.automatic
    if amend or automatic then body = amended(body, amend, automatic and auto.size(target)) end
    if gathers then body = streaming(body) end
    local invalid
    sent, invalid = json.encode(body)
    if not sent then return nil, invalid end
  end
  if q.method or q.timeouts or q.raw then return requests.options(endpoint, q, stream), sent end
  return endpoint.requests[stream and "stream " .. q.path or q.path] or requests.options(endpoint, q, stream), sent
end

-- ---- answers ----------------------------------------------------------------------------------------------------------------

M.canonical = canonical
M.reply, M.line, M.usage, M.answer, M.timings = replies.reply, replies.line, replies.usage, replies.answer, replies.timings
M.continues = replies.continues
M.facts, M.restore, M.holds, M.plain = replies.facts, replies.restore, replies.holds, replies.plain
M.error, M.broken = failures.status, failures.broken

--- A name that the server does not know is compared with those that it has, and with the routes of the settings.
function M.inquire(err, q, target, ask)
  if rawget(err, "missing") then return require "stoke.ollama.unknown".inquire(err, q, target, ask) end
end

--- What the pool asks a server beside its calls.
function M.pooling() return require "stoke.ollama.pooling" end

--- What the caches ask a server: which models it has, and their digests.
function M.inventory(target, seconds) return M.pooling().inventory(target, seconds) end
function M.digests(value) return M.pooling().digests(value) end

function M.incomplete(state) return failures.incomplete(state.q) end

--- Tokens of a request's prompt, and what it bounds its answer by.
---@param q table
---@param target stoke.target
---@return integer tokens
---@return integer|false|nil answer
function M.estimate(q, target)
  local body = q.body
  local input = learned.estimate(target, learned.body_size(body))
  if q.path == "/api/embed" then return input, false end
  return input, body.options and body.options.num_predict
end

return M
