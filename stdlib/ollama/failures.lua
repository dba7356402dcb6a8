--- What Ollama says when it fails, as errors with a kind and a cure. What its texts mean: stoke.ollama.meanings.

local config = require "stoke.config"
local errors = require "core.errors"
local json = require "core.json"
local texts = require "core.text"
local meanings = require "stoke.ollama.meanings"
local statuses = require "stoke.model.status"
local wire = require "stoke.reading.wire"

local M = {}

-- ---- texts ----------------------------------------------------------------------------------------------------------------

local clean, excerpt = texts.line, texts.excerpt

--- Bytes of a server's words that a message repeats.
local LONGEST = 2000

--- The error in words. It may be JSON inside JSON: {"error":"{\"error\":{\"message\":...}}"}.
local function words(value, depth)
  if depth > 4 then return "unknown error" end
  if type(value) == "table" then
    local inner = value.message
    if inner == nil then inner = value.error end
    return inner ~= nil and words(inner, depth + 1) or "unknown error"
  end
  if type(value) ~= "string" then return value ~= json.null and tostring(value) or "unknown error" end
  if value:find "^%s*{" then
    local inner = json.decode(value)
    if type(inner) == "table" and (inner.error ~= nil or inner.message ~= nil) then return words(inner, depth + 1) end
  end
  local text = clean(value)
  return text ~= "" and text or "unknown error"
end

-- ---- the prompt does not fit ------------------------------------------------------------------------------------------------

--- The prompt does not fit. `tokens` and `window` are numbers, or nil where nobody knows (stoke.ollama.window fills them in).
---@param model string
---@param tokens integer|nil how many the prompt has
---@param window integer|nil how many fit
---@param said? string what the server said
---@param estimated? boolean tokens is a guess from the bytes
function M.overflow(model, tokens, window, said, estimated)
  local has = not tokens and "too many tokens" or ("%s%d tokens"):format(estimated and "about " or "", tokens)
  local fits = window and (", its context window %d"):format(window) or tokens and ", more than its context window" or ""
  return errors.new("context_overflow", ("the prompt for %s has %s%s"):format(model, has, fits),
    { tokens = tokens, window = window, model = model, server = said, estimated = estimated })
end

--- Is this about the window? With the numbers, where they are in it.
local function overflow_numbers(text)
  local tokens, window = text:match "%((%d+) tokens%) exceeds the available context size %((%d+) tokens%)"
  if not tokens then -- of a text to embed: llama-server computes it in one batch
    tokens, window = text:match "input %((%d+) tokens%) is too large to process.*batch size: (%d+)"
  end
  if tokens then return true, math.tointeger(tonumber(tokens)), math.tointeger(tonumber(window)) end
  return text:find("exceeds the context length", 1, true) ~= nil
    or text:find("longer than the context length", 1, true) ~= nil
    or text:find("exceed_context_size", 1, true) ~= nil
    or text:find("input is too large to process", 1, true) ~= nil
end

-- ---- meanings ---------------------------------------------------------------------------------------------------------------

--- What moves a model; there a text is judged by what may go wrong on that way first.
local MOVES = { ["/api/pull"] = true, ["/api/push"] = true, ["/api/create"] = true }

local function meaning_in(list, text, status)
  for _, meaning in ipairs(list) do
    if text:find(meaning[1]) and (not meaning[5] or meaning[5] == status) then return meaning end
  end
end

--- The meaning of a text, as in stoke.ollama.meanings.
---@param text string
---@param path string the request's
---@param status? integer nil for an error line in a stream
---@return table|nil meaning { pattern, kind, retryable, hint }
function M.meaning(text, path, status)
  return MOVES[path] and meaning_in(meanings.moving, text, status) or meaning_in(meanings.calls, text, status)
end

--- A hint about the name of a model, with the name: servers do not repeat it, and some say "model is required" of one that they
--- cannot read.
local function naming(hint, q)
  if type(q.model) ~= "string" or q.model == "" then return hint end
  return ("%q cannot be read as a name: %s"):format(excerpt(q.model, 80), meanings.NAME)
end

local function classify(text, q, fields, kind, retryable, target)
  local over, tokens, window = overflow_numbers(text)
  if over then
    local err = M.overflow(q.model or "the model", tokens, window, text)
    err.status = fields.status
    return err
  end
  local meaning = M.meaning(text, q.path, fields.status)
  if meaning then
    kind, retryable = meaning[2], meaning[3]
    local hint = meaning[4]
    fields.unfit = hint == meanings.MEMORY or nil -- whatever else is unloaded
    if hint == meanings.PULL then
      fields.missing = q.model and q.model ~= "" or nil -- for auto_pull
      hint = fields.missing and "stoke pull " .. (target and target.served or q.model) or nil
      local name, routes = target and target.name, config.get().models
      if hint and name ~= q.model and routes[name] then
        hint = ("%s is the name of a route, and a route lists models: put those of %s in its place (or %s)")
          :format(name, name, hint)
      end
      if hint and target and target.endpoint.name == "sim" then hint = hint .. ", or one that `stoke models --sim` lists" end
    elseif hint == meanings.NAME or hint == meanings.NONE then
      hint = naming(hint, q)
    end
    fields.hint = hint
  end
  fields.retryable = retryable
  if #text > LONGEST then fields.server, text = text, excerpt(text, LONGEST) end
  if kind == "invalid_output" then fields.began = true end -- the same request would as likely bring the same again
  return errors.new(kind, text, fields)
end

-- ---- answers ----------------------------------------------------------------------------------------------------------------

local STATUS, OTHER, BEGAN = statuses.STATUS, statuses.OTHER, statuses.BEGAN
local GATEWAY = "a gateway before the server gave up waiting; raise its limit, or load the model first (ollama.load)"

local HINTS = {
  [401] = "set OLLAMA_API_KEY, or the endpoint's key in stoke.config.lua",
  [404] = "nothing is at this path; is it Ollama's address? (stoke doctor)",
  [407] = "give them in the proxy's address (http_proxy, https_proxy): http://user:password@host:port",
  [413] = "a gateway before the server takes no longer bodies; raise its limit (nginx: client_max_body_size)",
  [504] = GATEWAY, [524] = GATEWAY,
  silent = { [403] = "Ollama refuses this Host or Origin; check OLLAMA_HOST and OLLAMA_ORIGINS on the server" },
}

--- An answer that is no success.
---@param status integer 300 or more
---@param body string
---@param q table the request
---@param head? string header lines
---@param target? stoke.target
function M.status(status, body, q, head, target)
  local parsed = wire.decode(body) -- the words of a model in it may hold anything: they are cleaned when they are shown
  local fields = { status = status, model = q.model }
  local known = STATUS[status] or OTHER
  fields.retry_after = statuses.retry_after(head)
  if type(parsed) ~= "table" or parsed.error == nil or status < 400 then
    return statuses.foreign(status, body, fields, q, head, HINTS)
  end
  local url = parsed.signin_url
  fields.signin_url = type(url) == "string" and clean(url) or nil
  local err = classify(words(parsed.error, 0), q, fields, known[1], known[2], target)
  if BEGAN[status] then err.began = true end
  if status == 401 and not rawget(err, "hint") then
    err.hint = fields.signin_url and "sign in: " .. fields.signin_url or HINTS[401]
  end
  return err
end

--- An error line in a stream that began with 200.
function M.line(value, q)
  return classify(words(value, 0), q, { model = q.model }, "http", false)
end

local OWN = "stoke.ollama speaks Ollama's own API: give the address of an Ollama server; for one that speaks OpenAI's, say "
  .. "endpoints = { NAME = { url =, dialect = \"openai\" } } in stoke.config.lua, and ask with stoke.agent or stoke.chat"

--- Marks of other dialects: a member that has this type, or this value.
local DIALECTS = {
  { "OpenAI's API", function(v) return type(v.choices) == "table" or v.object == "chat.completion"
    or v.object == "chat.completion.chunk"
    or v.object == "text_completion" or v.object == "response" end },
  { "OpenAI's API", function(v) return v.object == "list" and type(v.data) == "table" end },
  { "Anthropic's API", function(v) return type(v.content) == "table" and (v.type == "message" or v.stop_reason ~= nil) end },
  { "Anthropic's API", function(v) return type(v.type) == "string" and (v.type:find "^message_"
    or v.type:find "^content_block_") end },
  { "Google's API", function(v) return type(v.candidates) == "table" end },
  { "llama-server's own API", function(v) return type(v.content) == "string" and (v.stop ~= nil or v.tokens_predicted ~= nil) end },
  { "text-generation-inference's API", function(v) return type(v.generated_text) == "string" or type(v[1]) == "table"
    and type(v[1].generated_text) == "string" end },
}

--- An answer in another dialect than Ollama's.
---@param value table
---@return stoke.error|nil
function M.dialect(value, q)
  for _, dialect in ipairs(DIALECTS) do
    if dialect[2](value) then
      return errors.new("protocol", ("the server answers in the dialect of %s, not in Ollama's"):format(dialect[1]),
        { model = q.model, hint = OWN })
    end
  end
end

local PHASES = {
  connect = "check the network and the address, or raise timeouts.connect",
  first_byte = "a cold load or the server's queue comes first; ollama.load before, or raise timeouts.load and first_byte",
  idle = "the server fell silent in the middle of the answer; timeouts.idle says how long that may last",
  total = "timeouts.total was given for this call; num_predict bounds the length of an answer",
}

--- The connection failed.
function M.broken(err, q)
  err.model = q.model
  if err.kind == "timeout" and not rawget(err, "hint") then err.hint = PHASES[err.phase] end
  return err
end

--- The stream, or an answer that is not streamed, ended without done:true.
function M.incomplete(q, partial)
  return errors.new("incomplete", ("the answer of %s ended before it was done"):format(q.model or "the server"),
    { partial = partial, model = q.model, hint = "the server stopped or the model repeated itself; asking again may help" })
end

--- The bytes round a place of a text, and a mark before it.
local function around(text, offset)
  local from, to = math.max(1, offset - 40), math.min(#text, offset + 39)
  while from < offset and (text:byte(from) or 0) & 0xC0 == 0x80 do from = from + 1 end
  return ("%s%s>>>%s%s"):format(from > 1 and "..." or "", clean(text:sub(from, offset - 1)), clean(text:sub(offset, to)),
    to < #text and "..." or "")
end

--- Something that is no JSON where JSON was due. JSON that stops in the middle is an answer cut short.
---@param text string
---@param err? stoke.error of the decoder
function M.no_json(text, err, q)
  if err and err.offset and err.offset > #text then
    local cut = M.incomplete(q)
    cut.cause = err
    return cut
  end
  local fields = { model = q.model, cause = err }
  if text:find "^%s*<" then
    fields.hint = statuses.WHO
    return errors.new("protocol", "HTML instead of JSON: " .. excerpt(text, 80), fields)
  end
  if text:find "^%s*data:" or text:find "^%s*event:" then
    fields.hint = OWN
    return errors.new("protocol", "the server answers in events (SSE), not in Ollama's lines of JSON: " .. excerpt(text, 80),
      fields)
  end
  fields.offset = err and err.offset
  local reason = err and err.message:match "^invalid JSON at byte %d+: (.*)$" or err and err.message
  return errors.new("protocol", ("the server sent broken JSON%s: %s"):format(
    fields.offset and (", byte %d of %d: %s"):format(fields.offset, #text, reason) or "",
    fields.offset and around(text, fields.offset) or excerpt(text, 80)), fields)
end

--- A tool call that the model wrote badly.
function M.bad_call(what, q)
  return errors.new("invalid_output", what, { model = q.model, hint = meanings.CALL, retryable = true, began = true })
end

--- JSON, but not what the API says.
---@param what string "message.content is a number"
function M.odd(what, q)
  return errors.new("protocol", ("the server's answer is not Ollama's: %s"):format(what), { model = q.model })
end

return M
