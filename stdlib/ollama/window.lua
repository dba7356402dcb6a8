--- The context window in force: a profile's num_ctx, or what the server says of the model it has loaded. Servers before 0.12.4
--- do not know truncate = false: they cut an over-long prompt silently, and its count then fills the window.

local effect = require "core.effect"
local endpoints = require "core.endpoint"
local json = require "core.json"
local failures = require "stoke.ollama.failures"
local auto = require "stoke.ollama.auto"
local learned = require "stoke.model.learned"
local log = require "stoke.log"
local options = require "stoke.ollama.options"
local protocol = require "stoke.ollama.protocol"

local M = {}

--- Prompts below this many tokens were not cut by any window worth having; no question is asked about them.
local SMALL = 256

--- No prompt has so many; the server's count is none.
local ABSURD = 1 << 27

--- Nanoseconds: a reply that took this long to load may have a window of its own.
local LOADED = 5e8

--- What /api/ps says of a model, asked now. One that was loaded under another name is not found there.
---@param target stoke.target
---@return table|nil
local function loaded(target)
  local endpoint = target.endpoint
  local reply = effect.perform("llm.admin", { protocol = "ollama", method = "GET", path = "/api/ps", endpoint = endpoint.name,
    timeouts = { total = 5 }, once = true, aside = true }, endpoints.target(endpoint, nil, protocol).candidates)
  local wanted = protocol.canonical(target.served):lower()
  for _, model in ipairs(reply and reply.models or {}) do
    if protocol.canonical(model.name):lower() == wanted then return model end
  end
end

--- The window of the loaded model, as the server tells it.
local function ask(target)
  local model = loaded(target)
  return model and math.tointeger(model.context_length) or false
end

--- The window that is sent with the calls of a target, where one is.
local function sent(target)
  local load = target.profile
  if load.automatic then return math.max(auto.entry(target).size, auto.size(target)) end
  return load.options and load.options.num_ctx
end

local window_of

--- Along a route a prompt has to fit wherever it goes.
local function least_of(target)
  local least = nil
  for _, candidate in ipairs(target.candidates) do
    local other = candidate.dialect ~= protocol and candidate.dialect.window
    local tokens = (other or window_of)(candidate)
    if tokens and (not least or tokens < least) then least = tokens end
  end
  return least
end

--- How many tokens fit; nil when nobody knows. Asked once a model.
function window_of(target)
  if target.route then return least_of(target) end
  local known = sent(target)
  if known or options.is_cloud(target.name) then return known end -- what runs in the cloud is never loaded here
  known = learned.window(target)
  if known == nil then
    known = ask(target)
    learned.note(target, "window", known)
  end
  return known or nil
end

--- The context window of a model: its profile's num_ctx, or what the server says of the model it has loaded.
---@param target stoke.target
---@return integer|nil tokens nil while it is not loaded, and where the server does not tell
function M.of(target)
  local tokens = window_of(target)
  if not tokens then learned.note(target, "window", nil) end -- it may be loaded a moment later
  return tokens
end

-- ---- num_ctx = "auto" ---------------------------------------------------------------------------------------------------------

--- Of the window, what an answer without num_predict is given.
local ANSWER = 0.25

--- What the model itself can hold, as the server tells; asked once, when it is to grow.
local function own_limit(entry, target)
  if entry.asked then return end
  entry.asked = true
  local reply = effect.perform("llm.admin", { protocol = "ollama", path = "/api/show", model = target.name,
    endpoint = target.endpoint.name, body = { model = target.name }, timeouts = { total = 10 }, aside = true }, target.candidates)
  local info = reply and reply.model_info
  for name, value in next, type(info) == "table" and info or {} do
    if type(name) == "string" and name:find "%.context_length$" and math.tointeger(value) then
      entry.most = math.min(entry.most or math.maxinteger, math.max(math.tointeger(value), 1))
    end
  end
end

--- Is a part of the model outside the memory that makes it fast, since it grew? Then it does not grow any further.
local function spilled(target)
  local model = loaded(target)
  local size, fast = model and model.size, model and model.size_vram
  return type(size) == "number" and type(fast) == "number" and fast > 0 and fast < size
end

--- Make the window of such a model large enough for a prompt, as far as that goes.
---@param target stoke.target
---@param tokens integer of the prompt
---@param predict? integer of the answer
---@return integer window
function M.grow(target, tokens, predict)
  local entry = auto.entry(target)
  local need = math.ceil(predict and predict > 0 and tokens + predict or tokens / (1 - ANSWER))
  if need <= entry.size then return entry.size end
  own_limit(entry, target)
  if entry.before and (entry.most or math.maxinteger) > entry.size and spilled(target) then entry.most = entry.size end
  local _, changed = auto.grow(target, need)
  if changed then
    log.info("the context window grows, so the model is loaded anew", { model = target.name, num_ctx = auto.size(target) })
  end
  return entry.size
end

--- Make it fit a request of chat or generate.
---@param target stoke.target
---@param body table
function M.fit(target, body)
  if target.route then
    for _, candidate in ipairs(target.candidates) do
      if candidate.profile.automatic then M.fit(candidate, body) end
    end
  end
  if not target.profile.automatic then return end
  target = learned.begin(target)
  local tokens = learned.estimate(target, learned.body_size(body))
  M.grow(target, tokens, body.options and body.options.num_predict)
end

--- The prompt has more tokens than were guessed: the window of such a model grows by what the server counted, or one step.
---@param target stoke.target
---@param err stoke.error
---@return boolean again it can be asked once more
function M.larger(target, err)
  if err.kind ~= "context_overflow" or not target.profile.automatic then return false end
  local size = auto.size(target)
  local counted = not err.estimated and err.tokens or 0
  M.grow(target, math.max(counted, size + 1), counted > 0 and 0 or 1)
  return auto.size(target) > size
end

--- The model could not be loaded for want of memory, after its window grew: the next request has the smaller one again.
---@param target stoke.target
---@param err stoke.error
---@return boolean again it can be asked once more
function M.smaller(target, err)
  if err.kind ~= "overloaded" or err.retryable or not target.profile.automatic or not auto.shrink(target) then return false end
  log.warn("the larger context window does not fit into memory", { model = target.name, num_ctx = auto.size(target) })
  return true
end

--- Which of a route's candidates has answered.
local function answered(target, reply)
  for _, candidate in ipairs(target.candidates) do
    if candidate.endpoint.name == reply.endpoint and candidate.served == reply.model then return candidate end
  end
  return target.candidates[1]
end

--- Was the prompt of this reply cut?
---@param target stoke.target
---@param q table the request
---@param reply table
---@return stoke.error|nil
function M.cut(target, q, reply)
  local read, loading = reply.prompt_eval_count, reply.load_duration
  if not math.type(read) or read < SMALL or read > ABSURD or q.path == "/api/embed" then return nil end
  if (q.about or q.body).truncate then return nil end
  if target.route then target = answered(target, reply) end
  if math.type(loading) and loading > LOADED then learned.note(target, "window", nil) end
  local window = window_of(target)
  if not window or read < window then return nil end
  if not sent(target) then -- another caller may have had it loaded anew, with a larger one
    window = ask(target)
    learned.note(target, "window", window)
    if not window or read < window then return nil end
  end
  return failures.overflow(target.name, math.tointeger(read), window,
    "no error: the server cut the prompt to its context window")
end

local function bytes_of(body)
  local input = body.input
  if type(input) == "table" and #input == 1 then input = input[1] end
  local text = body.messages or input or (body.system or "") .. (body.prompt or "") .. (body.suffix or "")
  return type(text) == "string" and #text or #(json.encode(text) or "")
end

--- Give an error about the window both its numbers.
---@param target stoke.target
---@param q table
---@param err stoke.error
---@return stoke.error
function M.complete(target, q, err)
  if err.kind ~= "context_overflow" or (err.tokens and err.window) then return err end
  local window = err.window or window_of(target)
  local tokens, estimated = err.tokens, false
  if not tokens then
    tokens, estimated = bytes_of(q.body) // 4, true
    if window and tokens <= window then tokens = window + 1 end
  end
  local full = failures.overflow(target.name, tokens, window, err.server, estimated)
  full.status = err.status
  return full
end

return M
