--- The servers that speak OpenAI's wire, and what each of them takes and says beyond what all of them do. Which one answers at an
--- endpoint is asked once (GET /v1/models), before the first
--- question is sent; it is no part of what a call asks, and on no tape.


local M = {}

---@class stoke.openai.kind
---@field name string
---@field options table<string, string> options of calls that it knows beside those of all, and their names there
---@field think "template"|"effort"|"native"|"switch"|"level"|nil how thinking is switched: a keyword of the chat template, an
---   effort
---  ("none" is off), reasoning = { enabled, effort }, thinking = { type }, or an effort that cannot be off
---@field past string|nil the field in which a message of the past keeps its thinking
---@field whole? boolean its calls of tools are read whole, never from a stream
---@field timings? boolean whole replies tell how long they took
---@field most? string the field that bounds an answer, "max_tokens" else
---@field strict? boolean it knows strict schemas
---@field shaped? boolean a schema goes beside the type json_object, and binds the answer there

local SAMPLERS = { top_k = "top_k", min_p = "min_p", repeat_penalty = "repetition_penalty" }
local LLAMA = { top_k = "top_k", min_p = "min_p", typical_p = "typical_p", repeat_penalty = "repeat_penalty",
  repeat_last_n = "repeat_last_n", num_keep = "n_keep" }

---@type table<string, stoke.openai.kind>
M.KINDS = {
  ollama = { options = {}, think = "effort", past = "reasoning" },
  vllm = { options = SAMPLERS, think = "template", past = "reasoning_content", whole = true },
  sglang = { options = SAMPLERS, think = "template", past = "reasoning_content", whole = true },
  llama = { options = LLAMA, think = "template", past = "reasoning_content", timings = true },
  ["llama-cpp-python"] = { options = { top_k = "top_k", min_p = "min_p", typical_p = "typical_p",
    repeat_penalty = "repeat_penalty" }, think = "level", shaped = true },
  openai = { options = {}, think = "level", most = "max_completion_tokens", strict = true },
  openrouter = { options = SAMPLERS, think = "native", past = "reasoning" },
  deepseek = { options = {}, think = "switch", past = "reasoning_content" },
  litellm = { options = {}, think = "level" },
  lmstudio = { options = { top_k = "top_k", min_p = "min_p", repeat_penalty = "repeat_penalty" }, think = "level" },
  other = { options = {}, think = "level" },
}
for name, kind in next, M.KINDS do kind.name = name end

--- Whose models a list says they are -> whose server it is.
local OWNERS = { vllm = "vllm", llamacpp = "llama", library = "ollama", sglang = "sglang", deepseek = "deepseek",
  organization_owner = "lmstudio" }
local HOSTS = { { "^https://api%.openai%.com", "openai" }, { "^https://openrouter%.ai", "openrouter" },
  { "^https://api%.deepseek%.com", "deepseek" } }

--- The time that LiteLLM says all its models were made at.
local LITELLM <const> = 1677610602

---@class stoke.openai.server
---@field kind stoke.openai.kind
---@field names string[] of its models
---@field windows table<string, integer> tokens by model, where it tells

--- Until it has been asked.
local UNKNOWN = { kind = M.KINDS.other, names = {}, windows = {} }

--- endpoint -> server; endpoint -> true where it could not be reached, until an answer has come from there.
local known, failed = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })

local function kind_of(url, first)
  for _, host in ipairs(HOSTS) do
    if url:find(host[1]) then return M.KINDS[host[2]] end
  end
  if type(first) ~= "table" then return M.KINDS.other end
  if first.owned_by == "openai" and first.created == LITELLM then return M.KINDS.litellm end
  if first.owned_by == "me" and type(first.permissions) == "table" then return M.KINDS["llama-cpp-python"] end
  return M.KINDS[OWNERS[first.owned_by] or "other"]
end

local function window_of(entry)
  for _, name in ipairs { "max_model_len", "loaded_context_length", "context_length", "context_window", "max_context_length" } do
    local tokens = math.type(entry[name]) and math.tointeger(entry[name])
    if tokens and tokens > 0 then return tokens end
  end
end

--- What a list of models says of its server.
---@param url string
---@param value { data: table[] }
---@return stoke.openai.server
function M.read(url, value)
  local names, windows = {}, {}
  for _, entry in ipairs(value.data) do
    names[#names + 1] = entry.id
    windows[entry.id] = window_of(entry)
  end
  return { kind = kind_of(url, value.data[1]), names = names, windows = windows }
end

--- A request about an endpoint, for `ask` of the driver.
local function get(target, path, seconds)
  return { protocol = target.dialect.name, method = "GET", path = path, endpoint = target.endpoint.name, model = target.name,
    timeouts = { total = seconds, first_byte = seconds, connect = 2 } }
end

--- The server at an endpoint, as far as it is known.
---@param endpoint stoke.endpoint
---@return stoke.openai.server
function M.known(endpoint) return known[endpoint] or UNKNOWN end

--- llama-server tells the window of its slots, and no list does.
local function ask_llama(target, ask, server)
  local props = ask(get(target, "/props", 5))
  local settings = type(props) == "table" and props.default_generation_settings
  local window = type(settings) == "table" and math.type(settings.n_ctx) and math.tointeger(settings.n_ctx)
  for _, name in ipairs(server.names) do server.windows[name] = window end
end

--- The server of a target is asked what it is, where that was not done before. One that cannot be reached is asked again once an
--- answer has come from there.
---@param target stoke.target
---@param ask fun(q: table): any, stoke.error?
function M.ready(target, ask)
  local endpoint = target.endpoint
  if known[endpoint] or failed[endpoint] then return end
  local value, err = ask(get(target, "/v1/models", 5))
  if value then
    local server = M.read(endpoint.meant, value)
    if server.kind == M.KINDS.llama then ask_llama(target, ask, server) end
    known[endpoint] = server
  elseif rawget(err, "status") or err.kind == "protocol" then -- it is there, and has no such list
    known[endpoint] = { kind = kind_of(endpoint.meant), names = {}, windows = {} }
  elseif err.kind ~= "cancelled" then
    failed[endpoint] = true
  end
end

--- An answer has come from an endpoint.
---@param endpoint stoke.endpoint
function M.answered(endpoint)
  if failed[endpoint] then failed[endpoint] = nil end
end

return M
