--- What Ollama says when it fails, as errors with a kind and a cure. What its texts mean: stoke.ollama.meanings.

local config = require "stoke.config"
local errors = require "core.errors"
local json = require "core.json"
local texts = require "core.text"
local meanings = require "stoke.ollama.meanings"
local wire = require "stoke.ollama.wire"

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

--- status -> { kind, retryable, what it is called }. A gateway that gave up waiting (504, 524) says nothing of the server, which
--- may be at work still: asking again by itself would add to its load.
local STATUS = {
  [401] = { "auth", false, "unauthorized" }, [403] = { "auth", false, "forbidden" },
  [404] = { "http", false, "not found" }, [407] = { "auth", false, "the proxy wants a user and a password" },
  [408] = { "timeout", true, "request timeout" }, [413] = { "http", false, "the request is too large" },
  [429] = { "overloaded", true, "too many requests" }, [499] = { "incomplete", true, "the client left" },
  [500] = { "http", false, "internal server error" }, [502] = { "overloaded", true, "bad gateway" },
  [503] = { "overloaded", true, "service unavailable" }, [504] = { "timeout", true, "gateway timeout" },
  [524] = { "timeout", true, "gateway timeout" },
}
local OTHER = { "http", false }
local BEGAN = { [504] = true, [524] = true }
local WHO = "a proxy or another program answered; check the address (stoke doctor)"
local GATEWAY = "a gateway before the server gave up waiting; raise its limit, or load the model first (ollama.load)"

local HINTS = {
  [401] = "set OLLAMA_API_KEY, or the endpoint's key in stoke.config.lua",
  [404] = "nothing is at this path; is it Ollama's address? (stoke doctor)",
  [407] = "give them in the proxy's address (http_proxy, https_proxy): http://user:password@host:port",
  [413] = "a gateway before the server takes no longer bodies; raise its limit (nginx: client_max_body_size)",
  [504] = GATEWAY, [524] = GATEWAY,
}

--- The value of a header, nil when there is none.
local function header(head, wanted)
  for name, value in (head or ""):gmatch "([^:\n]+):[ \t]*([^\n]*)" do
    if name:lower() == wanted then return texts.trim(value) end
  end
end

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 }

--- Seconds since 1970 of a date as HTTP writes it, in any of its three forms; nil for what is none.
local function date_of(text)
  local day, month, year, h, m, s = text:match "(%d%d?)[ -](%a%a%a)[ -](%d+) (%d%d):(%d%d):(%d%d) GMT"
  if not day then month, day, h, m, s, year = text:match "%a+ (%a%a%a) +(%d%d?) (%d%d):(%d%d):(%d%d) (%d%d%d%d)" end
  month, year = month and MONTHS[month:lower()], tonumber(year)
  if not month or not year or year > 9999 then return nil end
  if year < 100 then year = year + (year < 70 and 2000 or 1900) end
  local y = month <= 2 and year - 1 or year -- the year begins in March, so that its last day is the one that may be missing
  local days = (153 * ((month + 9) % 12) + 2) // 5 + day - 1 + 365 * y + y // 4 - y // 100 + y // 400 - 719468
  return days * 86400 + h * 3600 + m * 60 + s
end

local LONGEST_WAIT <const> = 86400

--- Seconds that Retry-After asks for, as a number or as a date (by the server's own clock, where it tells it).
local function retry_after(head)
  local value = header(head, "retry-after")
  if not value then return nil end
  local seconds = tonumber(value:match "^%d+$")
  if not seconds then
    local at = date_of(value)
    seconds = at and at - (date_of(header(head, "date") or "") or os.time())
  end
  return seconds and math.min(math.max(seconds, 0), LONGEST_WAIT)
end

--- Where a redirect leads, fit to be shown: no name of a user, no query.
local function moved_to(head)
  local location = header(head, "location")
  if not location or location == "" then return nil end
  return excerpt((location:gsub("[?#].*", ""):gsub("^(%a[%w+.-]*://)[^/]*@", "%1")), 200)
end

local function redirect(status, fields, q, head)
  local to = moved_to(head)
  fields.hint = "check the scheme and path of the address (stoke doctor)"
  if not to then return errors.new("protocol", ("status %d instead of an answer"):format(status), fields) end
  fields.location = to
  local base = to:match "^https?://" and to:sub(-#q.path) == q.path and to:sub(1, -#q.path - 1)
  fields.hint = base and ("the server is at another address: set the endpoint, or OLLAMA_HOST, to %s"):format(base)
    or "is that the address that was meant? then set it as the endpoint's, or as OLLAMA_HOST"
  return errors.new("protocol", ("status %d instead of an answer: the server sends its clients to %s"):format(status, to), fields)
end

--- What a page says for people: its title, or what is left without its marks.
local function page_text(body)
  local title = body:sub(1, 20000):match "<[tT][iI][tT][lL][eE][^>]*>(.-)</"
  local text = clean(title or "")
  return excerpt(text ~= "" and text or body, 120)
end

--- A body that is not Ollama's {"error": ...}.
local function foreign(status, body, fields, q, head)
  local known = STATUS[status] or OTHER
  if status < 400 then return redirect(status, fields, q, head) end
  fields.retryable, fields.began = known[2], BEGAN[status]
  fields.hint = HINTS[status]
  local said = ("status %d%s"):format(status, known[3] and (" (%s)"):format(known[3]) or "")
  if body:find "^%s*<" then
    fields.hint = fields.hint or WHO
    return errors.new(known[1], ("%s with HTML instead of JSON: %s"):format(said, page_text(body)), fields)
  end
  local text = excerpt(body, 120)
  if status == 403 and text == "" then
    fields.hint = "Ollama refuses this Host or Origin; check OLLAMA_HOST and OLLAMA_ORIGINS on the server"
  end
  return errors.new(known[1], ("%s%s"):format(said, text ~= "" and ": " .. text or ""), fields)
end

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
  fields.retry_after = retry_after(head)
  if type(parsed) ~= "table" or parsed.error == nil or status < 400 then return foreign(status, body, fields, q, head) end
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

local OWN = "stoke speaks Ollama's own API: give the address of an Ollama server, without a path such as /v1"

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
    fields.hint = WHO
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
