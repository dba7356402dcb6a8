--- The context window in force: a profile's num_ctx, or what the server says of the model it has loaded. Servers before 0.12.4
--- do not know truncate = false: they cut an over-long prompt silently, and its count then fills the window.

local effect = require "core.effect"
local json = require "core.json"
local failures = require "stoke.ollama.failures"
local auto = require "stoke.ollama.auto"
local log = require "stoke.log"
local options = require "stoke.ollama.options"
local protocol = require "stoke.ollama.protocol"
local tokens_of = require "stoke.ollama.tokens"

local M = {}

--- Prompts below this many tokens were not cut by any window worth having; no question is asked about them.
local SMALL = 256

--- No prompt has so many; the server's count is none.
local ABSURD = 1 << 27

--- Nanoseconds: a reply that took this long to load may have a window of its own.
local LOADED = 5e8

--- pool key -> tokens, or false where the server does not tell.
local windows = {}

--- Know nothing of any model, as at the beginning: a test does not depend on the one before.
function M.forget()
  windows = {}
  auto.forget()
end

--- What /api/ps says, asked now. A model loaded under another name is not found there.
local function ask(q)
  local reply = effect.perform("llm.admin", { protocol = "ollama", method = "GET", path = "/api/ps", endpoint = q.endpoint,
    timeouts = { total = 5 }, once = true, aside = true })
  local wanted = protocol.canonical(q.model):lower()
  for _, model in ipairs(reply and reply.models or {}) do
    if protocol.canonical(model.name):lower() == wanted then return math.tointeger(model.context_length) or false end
  end
  return false
end

local function given(q)
  local sent = q.body.options
  return sent and sent.num_ctx
end

--- How many tokens fit; nil when nobody knows. Asked once a model.
local function window_of(q)
  local known = given(q)
  if known or options.is_cloud(q.model) then return known end -- what runs in the cloud is never loaded here
  local key = protocol.pool(q)
  known = windows[key]
  if known == nil then
    known = ask(q)
    windows[key] = known
  end
  return known or nil
end

--- The context window of a model: its profile's num_ctx, or what the server says of the model it has loaded.
---@param model string
---@param endpoint? string
---@return integer|nil tokens nil while it is not loaded, and where the server does not tell
function M.of(model, endpoint)
  local set = protocol.num_ctx(model, endpoint)
  if set then return set end
  local q = { protocol = "ollama", model = model, endpoint = endpoint, body = {} }
  local tokens = window_of(q)
  if not tokens then windows[protocol.pool(q)] = nil end -- it may be loaded a moment later
  return tokens
end

--- What a server said of the window of a model before, where no profile says it; nobody is asked.
---@param model string
---@param endpoint? string
---@return integer|nil tokens
function M.learned(model, endpoint)
  if next(windows) == nil then return nil end
  return windows[protocol.pool { model = model, endpoint = endpoint }] or nil
end

-- ---- num_ctx = "auto" ---------------------------------------------------------------------------------------------------------

--- Of the window, what an answer without num_predict is given.
local ANSWER = 0.25

--- What the model itself can hold, as the server tells; asked once, when it is to grow.
local function own_limit(entry, model, endpoint)
  if entry.asked then return end
  entry.asked = true
  local reply = effect.perform("llm.admin", { protocol = "ollama", path = "/api/show", model = model, endpoint = endpoint,
    body = { model = model }, timeouts = { total = 10 }, aside = true })
  local info = reply and reply.model_info
  for name, value in next, type(info) == "table" and info or {} do
    if type(name) == "string" and name:find "%.context_length$" and math.tointeger(value) then
      entry.most = math.min(entry.most, math.max(math.tointeger(value), 1))
    end
  end
end

--- Is a part of the model outside the memory that makes it fast, since it grew? Then it does not grow any further.
local function spilled(q)
  local reply = effect.perform("llm.admin", { protocol = "ollama", method = "GET", path = "/api/ps", endpoint = q.endpoint,
    timeouts = { total = 5 }, once = true, aside = true })
  local wanted = protocol.canonical(q.model):lower()
  for _, model in ipairs(reply and reply.models or {}) do
    if protocol.canonical(model.name):lower() == wanted then
      local size, fast = model.size, model.size_vram
      return type(size) == "number" and type(fast) == "number" and fast > 0 and fast < size
    end
  end
  return false
end

--- Make the window of such a model large enough for a prompt, as far as that goes.
---@param model string
---@param endpoint? string
---@param tokens integer of the prompt
---@param predict? integer of the answer
---@return integer window
function M.grow(model, endpoint, tokens, predict)
  local q = { model = model, endpoint = endpoint }
  local key = protocol.pool(q)
  local entry = auto.entry(key)
  local need = math.ceil(predict and predict > 0 and tokens + predict or tokens / (1 - ANSWER))
  if need <= entry.size then return entry.size end
  own_limit(entry, model, endpoint)
  if entry.before and entry.most > entry.size and spilled(q) then entry.most = entry.size end
  if auto.grow(key, need) then
    protocol.reloads(model, endpoint)
    log.info("the context window grows, so the model is loaded anew", { model = model, num_ctx = entry.size })
  end
  return entry.size
end

local function set(body, window)
  if body.options and body.options.num_ctx == window then return end
  local changed = {}
  for name, value in next, body.options or {} do changed[name] = value end
  changed.num_ctx = window
  body.options = changed
end

--- Look what a request would be, with nothing grown afterwards.
---@param model string
---@param endpoint? string
---@param f fun(): any
---@return any
function M.looking(model, endpoint, f)
  if not protocol.automatic(model, endpoint) then return f() end
  local entry = auto.entry(protocol.pool { model = model, endpoint = endpoint })
  local size, before = entry.size, entry.before
  local _ <close> = setmetatable({}, { __close = function()
    entry.size, entry.before = size, before
    protocol.reloads(model, endpoint)
  end })
  return f()
end

--- Make it fit a request of chat or generate.
---@param q table
function M.fit(q)
  local body = q.body
  local tokens = tokens_of.estimate(q.model, tokens_of.body_size(body))
  set(body, M.grow(q.model, q.endpoint, tokens, body.options and body.options.num_predict))
end

--- The model could not be loaded for want of memory, after its window grew: the request gets the smaller one again.
---@param q table
---@param err stoke.error
---@return boolean again it can be asked once more
function M.smaller(q, err)
  if err.kind ~= "overloaded" or err.retryable or not protocol.automatic(q.model, q.endpoint) then return false end
  if not auto.shrink(protocol.pool(q)) then return false end
  protocol.reloads(q.model, q.endpoint)
  set(q.body, protocol.num_ctx(q.model, q.endpoint))
  log.warn("the larger context window does not fit into memory", { model = q.model, num_ctx = q.body.options.num_ctx })
  return true
end

--- Was the prompt of this reply cut?
---@param q table the request
---@param reply table
---@return stoke.error|nil
function M.cut(q, reply)
  local read, loading = reply.prompt_eval_count, reply.load_duration
  if not math.type(read) or read < SMALL or read > ABSURD or q.body.truncate ~= false or q.path == "/api/embed" then return nil end
  if math.type(loading) and loading > LOADED then windows[protocol.pool(q)] = nil end
  local window = window_of(q)
  if not window or read < window then return nil end
  if not given(q) then -- another caller may have had it loaded anew, with a larger one
    window = ask(q)
    windows[protocol.pool(q)] = window
    if not window or read < window then return nil end
  end
  return failures.overflow(q.model, math.tointeger(read), window,
    "no error: the server cut the prompt to its context window")
end

local function bytes_of(body)
  local text = body.messages or body.input or (body.system or "") .. (body.prompt or "") .. (body.suffix or "")
  return type(text) == "string" and #text or #(json.encode(text) or "")
end

--- Give an error about the window both its numbers.
---@param err stoke.error
---@param q table
---@return stoke.error
function M.complete(err, q)
  if err.kind ~= "context_overflow" or (err.tokens and err.window) then return err end
  local window = err.window or window_of(q)
  local tokens, estimated = err.tokens, false
  if not tokens then
    tokens, estimated = bytes_of(q.body) // 4, true
    if window and tokens <= window then tokens = window + 1 end
  end
  local full = failures.overflow(q.model, tokens, window, err.server, estimated)
  full.status = err.status
  return full
end

return M
