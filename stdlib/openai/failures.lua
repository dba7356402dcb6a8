--- What servers of OpenAI's wire say when they fail, as errors with a kind and a cure: OpenAI's own object, the older one of vLLM,
--- FastAPI's `detail`, llama-server's numbers, LiteLLM's words, and what gateways before them write.

local errors = require "core.errors"
local json = require "core.json"
local statuses = require "stoke.model.status"
local texts = require "core.text"
local wire = require "stoke.reading.wire"
local servers = require "stoke.openai.servers"

local M = {}

local clean, excerpt = texts.line, texts.excerpt

local HINTS = {
  [401] = "set the endpoint's key in stoke.config.lua: endpoints = { NAME = { url =, key = \"...\" } }",
  [402] = "the account has no credit left",
  [404] = "nothing is at this path; is it the address of a server that speaks OpenAI's API? (stoke doctor)",
  [407] = "give them in the proxy's address (http_proxy, https_proxy): http://user:password@host:port",
  [413] = "a gateway before the server takes no longer bodies; raise its limit (nginx: client_max_body_size)",
}

--- Seconds after which a server that loads its model is asked again.
local LOADING <const> = 2

--- What texts mean: { pattern, kind, retryable, hint }. The first that fits counts.
local MEANINGS = {
  { "insufficient_quota", "overloaded", false, HINTS[402] }, { "exceeded your current quota", "overloaded", false, HINTS[402] },
  { "[Ii]nsufficient [Bb]alance", "overloaded", false, HINTS[402] }, { "[Ii]nsufficient credits", "overloaded", false, HINTS[402] },
  { "[Bb]udget has been exceeded", "overloaded", false, "the budget that the gateway keeps for this key is used up" },
  { "Loading model", "overloaded", true, "the server is loading its model" },
  { "[Nn]o healthy upstream", "overloaded", true }, { "No deployments available", "overloaded", true },
  { "[Ee]ngine is currently overloaded", "overloaded", true }, { "server had an error", "overloaded", true },
  { "EngineDead", "incomplete", true, "the engine of the server has stopped; its log says why" },
  { "enable%-auto%-tool%-choice", "http", false, "start vLLM with --enable-auto-tool-choice --tool-call-parser NAME" },
  { "%-%-jinja", "http", false, "start llama-server with --jinja" },
  { "does not support tools", "http", false, "take a model that calls tools" },
  { "content[ _]management policy", "http", false, "the server's filter refused the prompt" },
  { "content_filter", "http", false, "the server's filter refused the prompt" },
  { "Failed to parse input at pos", "invalid_output", true, "the model wrote a tool call that cannot be read; ask again" },
  { "[Ff]ailed to parse grammar", "http", false, "the server cannot use this schema: simplify it, its patterns first" },
  { "invalid JSON schema in format", "http", false,
    "the server cannot use this schema: an unknown type, a $ref or a pattern in it" },
}

--- Words about the window; captures are tokens of the prompt and of the window, in the order of `order`.
local WINDOWS = {
  { "request %((%d+) tokens%) exceeds the available context size %((%d+) tokens%)", "tw" },
  { "maximum context length is (%d+) tokens.-%((%d+) in the messages", "wt" },
  { "maximum context length is (%d+) tokens.-[Yy]our messages resulted in (%d+) tokens", "wt" },
  { "maximum context length is (%d+) tokens.-your request has (%d+) input tokens", "wt" },
  { "maximum context length is (%d+) tokens.-requested a?b?o?u?t? ?(%d+) tokens", "wt" },
  { "length (%d+)%) is longer than the maximum model length of (%d+)", "tw" },
  { "The input %((%d+) tokens%) is longer than the model's context length %((%d+) tokens%)", "tw" },
  { "maximum context length is (%d+)", "w" }, { "maximum model length of (%d+)", "w" },
  { "exceed_context_size", "" }, { "ContextWindowExceeded", "" }, { "context_length_exceeded", "" },
  { "exceeds the context length", "" }, { "longer than the context length", "" }, { "exceeds the model's context", "" },
}

local function whole(value) return math.type(value) and math.tointeger(value) or nil end

--- Is this about the window? With the numbers that are in it.
local function window_in(text, said)
  if said.code == "context_length_exceeded" or said.type == "exceed_context_size_error" then
    said = { n_prompt_tokens = said.n_prompt_tokens, n_ctx = said.n_ctx, over = true }
  end
  for _, words in ipairs(WINDOWS) do
    local a, b = text:match(words[1])
    if a then
      local tokens = words[2] == "tw" and a or words[2] == "wt" and b or nil
      local window = words[2] == "tw" and b or (words[2] == "wt" or words[2] == "w") and a or nil
      return true, whole(said.n_prompt_tokens) or tonumber(tokens), whole(said.n_ctx) or tonumber(window)
    end
  end
  return said.over or false, whole(said.n_prompt_tokens), whole(said.n_ctx)
end

--- The prompt fits, and the answer that was asked for beside it does not: tokens that are left.
local function room_in(text)
  if not text:find "max_tokens" and not text:find "max_completion_tokens" then return nil end
  local window, input = text:match "maximum context length is (%d+) tokens.-request has (%d+) input tokens"
  if not window then window, input = text:match "maximum context length is (%d+) tokens.-%((%d+) in the messages" end
  local left = window and tonumber(window) - tonumber(input)
  return left and left > 0 and left or nil, window and tonumber(window)
end

---@param model string
---@param tokens integer|nil
---@param window integer|nil
---@param said string
local function overflow(model, tokens, window, said)
  local has = tokens and ("%d tokens"):format(tokens) or "too many tokens"
  local fits = window and (", its context window %d"):format(window) or tokens and ", more than its context window" or ""
  return errors.new("context_overflow", ("the prompt for %s has %s%s"):format(model, has, fits),
    { tokens = tokens, window = window, model = model, server = said })
end

local function classify(text, said, q, fields, kind, retryable, target)
  local left, limit = room_in(text)
  local over, tokens, window = window_in(text, said)
  if over and not (left and limit) then
    local err = overflow(q.model or "the model", tokens, window, text)
    err.status = fields.status
    return err
  end
  fields.left = left
  for _, meaning in ipairs(MEANINGS) do
    if text:find(meaning[1]) or type(said.code) == "string" and said.code:find(meaning[1]) then
      kind, retryable, fields.hint = meaning[2], meaning[3], meaning[4]
      break
    end
  end
  if text:find "Loading model" then fields.retry_after = fields.retry_after or LOADING end
  if fields.status == 404 and target and not fields.hint then
    local names = servers.known(target.endpoint).names
    local near = q.model and errors.suggest(q.model, names)
    fields.hint = near and near ~= q.model and ("did you mean %q?"):format(near) or names[1] and ("it has: %s"):format(excerpt(
      table.concat(names, ", "), 200)) or nil
    if #names == 0 and not text:lower():find "model" then fields.hint = HINTS[404] end
  end
  fields.hint = fields.hint or HINTS[fields.status]
  if kind == "invalid_output" then fields.began = true end
  fields.retryable, fields.param, fields.code = retryable, said.param, said.code
  return errors.new(kind, excerpt(text, 2000), fields)
end

--- What FastAPI says of a request that it cannot read: a list of { loc, msg, type }.
local function detail_of(list)
  local first = type(list) == "table" and list[1]
  if type(first) ~= "table" then return nil end
  local loc, words = first.loc, {}
  for i, part in ipairs(type(loc) == "table" and loc or {}) do words[i] = tostring(part) end
  return ("%s: %s"):format(table.concat(words, "."), tostring(first.msg)), words[#words]
end

--- The object of an error, wherever it is, as { message, type?, param?, code? }; nil where there is none.
local function object_of(value)
  if type(value) ~= "table" then return nil end
  if json.is_array(value) then value = value[1] end
  if type(value) ~= "table" then return nil end
  local said = value.error
  if type(said) == "string" then return { message = said } end
  if type(said) ~= "table" then
    if type(value.message) == "string" then
      said = value
    elseif value.detail ~= nil then
      local text, param = detail_of(value.detail)
      return { message = text or type(value.detail) == "string" and value.detail or json.encode(value.detail), param = param }
    else
      return nil
    end
  end
  local param, code = said.param, said.code
  local message = said.message
  if type(message) == "table" then message = json.encode(message) end
  return { message = type(message) == "string" and clean(message) or "unknown error", type = said.type,
    param = type(param) == "string" and param ~= "None" and param or nil,
    code = type(code) == "string" and code or whole(code), n_prompt_tokens = said.n_prompt_tokens, n_ctx = said.n_ctx }
end

--- An answer that is no success.
---@param status integer 300 or more
---@param body string
---@param q table the request
---@param head? string header lines
---@param target? stoke.target
---@return stoke.error
function M.status(status, body, q, head, target)
  local parsed = wire.decode(body)
  local fields = { status = status, model = q.model, retry_after = statuses.retry_after(head) }
  local said = status >= 400 and object_of(parsed)
  if not said then return statuses.foreign(status, body, fields, q, head, HINTS) end
  local known = statuses.STATUS[status] or status == 402 and { "overloaded", false } or statuses.OTHER
  local err = classify(said.message, said, q, fields, known[1], known[2], target)
  if statuses.BEGAN[status] then err.began = true end
  return err
end

--- An error in the place of an answer, or in a stream: nil where there is none.
---@param value table
---@param q table
---@param target? stoke.target
---@return stoke.error|nil
function M.inside(value, q, target)
  if value.error == nil or value.error == json.null then
    if value.object ~= "error" then return nil end
  end
  local said = object_of(value) or { message = "unknown error" }
  local status = whole(said.code) or type(said.code) == "string" and tonumber(said.code) or nil
  local known = status and (statuses.STATUS[status] or statuses.OTHER) or { "incomplete", true }
  return classify(said.message, said, q, { model = q.model, status = status }, known[1], known[2], target)
end

--- The answer ended before it was whole.
---@param q table
---@param partial? string
---@return stoke.error
function M.incomplete(q, partial)
  return errors.new("incomplete", "the answer ended before it was complete", { retryable = true, partial = partial, model = q.model,
    hint = "the server stopped; asking again may help" })
end

--- What answers in another wire: an Ollama at an endpoint that was said to speak OpenAI's.
---@param value table
---@param q table
---@return stoke.error|nil
function M.foreign(value, q)
  if value.done == nil or type(value.message) ~= "table" and type(value.response) ~= "string" then return nil end
  return errors.new("protocol", "the server answers in Ollama's own API, not in OpenAI's", { model = q.model,
    hint = 'say dialect = "ollama" for this endpoint in stoke.config.lua' })
end

--- Something that is no JSON where JSON was due.
---@param text string
---@param err stoke.error|nil of the decoder
---@param q table
---@return stoke.error
function M.no_json(text, err, q)
  if err and err.offset and err.offset > #text then
    local cut = M.incomplete(q)
    cut.cause = err
    return cut
  end
  local fields = { model = q.model, cause = err, offset = err and err.offset }
  if text:find "^%s*<" then
    fields.hint = statuses.WHO
    return errors.new("protocol", "HTML instead of JSON: " .. excerpt(text, 80), fields)
  end
  return errors.new("protocol", "the server sent broken JSON: " .. excerpt(text, 80), fields)
end

--- JSON, but not what the API says.
---@param what string
---@param q table
---@return stoke.error
function M.odd(what, q)
  return errors.new("protocol", ("the server's answer is not OpenAI's: %s"):format(what), { model = q.model })
end

return M
