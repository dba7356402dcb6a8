--- Ollama's wire: how requests are shaped and answers read, for lua/driver/llm.lua, which does the work.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local prepare = require "core.driver.llm".prepare
local modules = require "core.modules"
local auto = require "stoke.ollama.auto"
local config = require "stoke.config"
local failures = require "stoke.ollama.failures"
local options = require "stoke.ollama.options"
local replies = require "stoke.ollama.replies"
local tokens = require "stoke.ollama.tokens"

local M = {}

-- ---- endpoints ------------------------------------------------------------------------------------------------------------

--- What is known of an endpoint, by the name asked for (false = the default one), made once a revision of the settings. The same
--- list of headers also means that nothing has to be set up again for the next request.
local endpoints, count = {}, 0

--- Endpoints kept at most: an address is a name, too, and a script may come by many. Beyond, all are made anew.
local MOST = 256

local function header(endpoint, name, value)
  if not name:find "^[%w!#$%%&'*+.^_`|~-]+$" or value:find "[\r\n%z]" then -- the value may be a secret: not shown
    errors.raise("usage", ("endpoint %s: the header %q cannot be sent"):format(endpoint.name, name),
      { hint = "a name has letters, digits and dashes; a value has one line" })
  end
  return name .. ": " .. value
end

local function headers_of(endpoint)
  local headers, names, authorized = { "Content-Type: application/json" }, {}, false
  for name in next, endpoint.headers do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    headers[#headers + 1] = header(endpoint, name, endpoint.headers[name])
    authorized = authorized or name:lower() == "authorization"
  end
  if endpoint.key and not authorized then
    headers[#headers + 1] = header(endpoint, "Authorization", "Bearer " .. endpoint.key)
  end
  return headers
end

--- The endpoint of a name or an address.
---@param name? string
---@return table known { url, meant (what url stands in for), name, headers; by model: pools (keys), loads (options); by path:
---  calls, streams (requests) }
---Raises `usage` for a name nobody knows.
function M.endpoint(name)
  local known = endpoints[name or false]
  if known and known.revision == config.revision then return known end
  local endpoint = config.endpoint(name)
  if not known then
    if count >= MOST then endpoints, count = {}, 0 end
    count = count + 1
  end
  known = { url = endpoint.url, meant = endpoint.meant or endpoint.url, name = endpoint.name, headers = headers_of(endpoint),
    revision = config.revision, pools = {}, loads = {}, calls = {}, streams = {} }
  endpoints[name or false] = known
  return known
end

-- ---- profiles -------------------------------------------------------------------------------------------------------------

local own = {}

local canonical = options.canonical
M.canonical = canonical

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
    modules.undo(function() own[model] = before end)
  end
  endpoints, count = {}, 0
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

--- The load options of a model, the same table each time: { options | nil, shift | nil, sampling | nil }. `sampling` is for calls
--- that do not say.
local function load_of(endpoint, model)
  local load = endpoint.loads[model]
  if load then return load end
  local profile = M.profile(model)
  load = { options = chosen(profile, options.LOAD), shift = profile.shift, sampling = chosen(profile, options.SAMPLING) }
  if profile.num_ctx == "auto" then
    load.automatic, load.options.num_ctx = true, auto.size(endpoint.url .. " " .. canonical(model))
  end
  endpoint.loads[model] = load
  return load
end

--- Does a model's window follow its conversations?
---@param model string
---@param endpoint? string
---@return boolean|nil
function M.automatic(model, endpoint) return load_of(M.endpoint(endpoint), model).automatic end

--- The window of such a model has changed: it is loaded anew with the next call.
---@param model string
---@param endpoint? string
function M.reloads(model, endpoint)
  M.endpoint(endpoint).loads[model] = nil
end

--- What a model's profile says: { options = how it is loaded | nil, sampling | nil, shift | nil }.
---@param model string
---@param endpoint? string
---@return table the same each time
function M.load(model, endpoint) return load_of(M.endpoint(endpoint), model) end

--- The context window that a model's profile sets.
---@param model string
---@param endpoint? string
---@return integer|nil tokens
function M.num_ctx(model, endpoint)
  local options_ = load_of(M.endpoint(endpoint), model).options
  return options_ and options_.num_ctx
end

-- ---- bodies -----------------------------------------------------------------------------------------------------------------

local NONE = {}

--- Base64 of a file's bytes.
---@param path string
---@return string
function M.image(path)
  if type(path) ~= "string" then errors.argument("ollama.image: a path expected, got %s", type(path)) end
  require "core.driver.fs"
  return errors.check(require "core.hash".base64(errors.check(effect.perform("fs.read", { path = path }))))
end

--- { path = } becomes the file's bytes; strings are base64 already, a leading data: URL is taken off.
function M.images(what, list)
  local out = json.array {}
  for i = 1, #list do
    local image = list[i]
    if type(image) == "table" and type(image.path) == "string" then
      out[i] = M.image(image.path)
    elseif type(image) == "string" then
      out[i] = image:gsub("^data:[^,]*;base64,", "")
    else
      errors.argument("%s: images[%d] must be { path = } or base64, got %s", what, i, type(image))
    end
  end
  return out
end

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
---@param given table
---@param endpoint table
---@param stream boolean
---@param sampling? table in the place of its own options
function M.body(given, endpoint, stream, sampling)
  local load = load_of(endpoint, given.model)
  local body = { model = given.model, messages = given.messages, stream = stream, think = given.think or false,
    truncate = given.truncate or false, options = merge(sampling or given.options, load.options, load.sampling) }
  if given.format ~= nil then body.format = options.format(given.format) end
  if given.logprobs ~= nil then body.logprobs, body.top_logprobs = given.logprobs, given.top_logprobs end
  if given._debug_render_only then body._debug_render_only = true end
  if load.shift ~= nil then body.shift = load.shift end
  return body
end

--- The body that only loads: the model's own options and nothing else, or it would be loaded anew for the first call.
function M.load_body(model, endpoint, keep_alive)
  local load = load_of(endpoint, model)
  return { model = model, stream = false, options = load.options, shift = load.shift, keep_alive = keep_alive }
end

--- The body of an embedding call.
function M.embed_body(given, endpoint)
  return {
    model = given.model, options = merge(given.options, load_of(endpoint, given.model).options),
    input = type(given.input) == "table" and options.list(given.input) or given.input,
    truncate = given.truncate or false, dimensions = given.dimensions,
  }
end

-- ---- requests ---------------------------------------------------------------------------------------------------------------

--- Seconds until the first byte: a cold load and the queue of the server come before it, and without streaming the whole
--- answer does. A shorter limit would abort loads again and again (the server drops a load whose client left).
local ANSWER = 600

local function first_byte(limits, stream)
  if not limits.load or not limits.first_byte then return 0 end
  return limits.load + limits.first_byte + (stream and 0 or ANSWER)
end

local function limit(given, configured)
  if given == nil then given = configured end
  return given or 0
end

--- Everything of a request but its body, as host.http takes it.
local function options_of(endpoint, q, stream)
  local limits, given = config.get().timeouts, q.timeouts or NONE
  return {
    method = q.method or "POST", url = endpoint.url .. q.path, headers = endpoint.headers,
    connect = limit(given.connect, limits.connect), first_byte = limit(given.first_byte, first_byte(limits, stream)),
    idle = limit(given.idle, limits.idle), total = limit(given.total, limits.total),
    plain = true, max_line = 16 * 1024 * 1024, max_bytes = 256 * 1024 * 1024,
  }
end

--- What calls with no method and no limits of their own share, read once.
local function shared(endpoint, q, stream)
  local known = stream and endpoint.streams or endpoint.calls
  local options_ = known[q.path]
  if not options_ then
    options_ = prepare(options_of(endpoint, q, stream))
    known[q.path] = options_
  end
  return options_
end

--- A copy of a body whose options are those that a gate has put beside the request.
local function amended(body, amend)
  local out, changed = {}, {}
  for name, value in next, body do out[name] = value end
  for name, value in next, body.options or {} do changed[name] = value end
  for name, value in next, amend do changed[name] = value end
  out.options = changed
  return setmetatable(out, getmetatable(body))
end

--- What host.http is asked for.
---@param q table { path, body | raw, method?, endpoint?, timeouts? }
---@param stream boolean
---@param amend? table options that gates have put beside the request
---@return any options
---@return string|nil body
function M.request(q, stream, amend)
  local endpoint = M.endpoint(q.endpoint)
  local body = q.raw
  if q.body then
    local invalid
    body, invalid = json.encode(amend and amended(q.body, amend) or q.body)
    if not body then return nil, invalid end
  end
  return (q.method or q.timeouts or q.raw) and options_of(endpoint, q, stream) or shared(endpoint, q, stream), body
end

--- Calls to one model of one server wait for each other; what the server answers at once does not.
function M.pool(q)
  local endpoint = M.endpoint(q.endpoint)
  local key = endpoint.pools[q.model]
  if not key then
    key = endpoint.url .. " " .. canonical(q.model)
    endpoint.pools[q.model] = key
  end
  return key
end

--- The server that a request is for. A simulator in its place changes neither what the policy says nor whose retries are counted.
function M.server(q)
  local endpoint = M.endpoint(q.endpoint)
  return endpoint.meant, ("the model server of the endpoint %q"):format(endpoint.name)
end

-- ---- answers ----------------------------------------------------------------------------------------------------------------

M.reply, M.line, M.picks, M.usage = replies.reply, replies.line, replies.picks, replies.usage
M.facts, M.restore = replies.facts, replies.restore
M.holds = replies.holds
M.error, M.broken = failures.status, failures.broken

M.reserve = tokens.reserve

function M.incomplete(state) return failures.incomplete(state.q) end

return M
