--- The context window in force: a profile's num_ctx, or what the server says of the model it has loaded. Servers before 0.12.4
--- do not know truncate = false: they cut an over-long prompt silently, and its count then fills the window.

local effect = require "core.effect"
local json = require "core.json"
local failures = require "stoke.ollama.failures"
local options = require "stoke.ollama.options"
local protocol = require "stoke.ollama.protocol"

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
function M.forget() windows = {} end

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
  local profile = protocol.profile(model)
  if profile.num_ctx then return profile.num_ctx end
  local q = { protocol = "ollama", model = model, endpoint = endpoint, body = {} }
  local tokens = window_of(q)
  if not tokens then windows[protocol.pool(q)] = nil end -- it may be loaded a moment later
  return tokens
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
