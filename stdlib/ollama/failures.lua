--- What Ollama says when it fails, as errors with a kind and a cure. The texts are those of its source (server/routes.go,
--- server/sched.go, llm/server.go); they differ between releases, so several patterns stand for one meaning.

local errors = require "core.errors"
local json = require "core.json"

local M = {}

--- Errors may be JSON inside JSON: {"error":"{\"error\":{\"message\":...}}"}.
local function unwrap(text)
  if type(text) == "table" then return tostring(text.message or text.error or "unknown error") end
  if type(text) == "string" and text:find "^%s*{" then
    local inner = json.decode(text)
    if type(inner) == "table" and inner.error then return unwrap(inner.error) end
  end
  return tostring(text)
end

--- The prompt does not fit.
---@param tokens integer|nil how many the prompt has
---@param window integer|nil how many fit
function M.overflow(model, tokens, window, message)
  return errors.new("context_overflow", message or ("the prompt for %s has %s tokens, the context window %s")
    :format(model, tokens and tostring(tokens) or "more", window and tostring(window) or "fewer"),
    { tokens = tokens, window = window, model = model })
end

--- { pattern, kind, retryable, hint }; first match wins.
local MEANINGS = {
  { "not found", "http", false, "pull" },
  { "does not support", "http", false, "stoke models shows what a model can do (capabilities)" },
  { "server busy", "overloaded", true, "the server's queue of loads is full" },
  { "requires more system memory", "overloaded", false, "unload another model, or lower num_ctx in the profile" },
  { "unable to load full model", "overloaded", false, "unload another model, or lower num_ctx in the profile" },
  { "out%-of%-memory", "overloaded", false, "unload another model, or lower num_ctx in the profile" },
  { "unexpectedly stopped", "incomplete", true },
  { "process has terminated", "incomplete", true },
  { "no slots available", "overloaded", true },
  { "timed out waiting for", "timeout", true, "the model did not finish loading on the server" },
  { "error parsing tool call", "invalid_output", true, "the model wrote a call that the server could not read" },
  { "invalid tool call arguments", "invalid_output", true, "the model wrote a call that the server could not read" },
  { "request canceled", "incomplete", true },
  { "option \"", "http", false, "an option has the wrong type" },
  { "invalid format", "http", false, "format must be \"json\" or a JSON Schema object" },
}

local function overflow_numbers(text)
  local tokens, window = text:match "%((%d+) tokens%) exceeds the available context size %((%d+) tokens%)"
  if tokens then return true, math.tointeger(tonumber(tokens)), math.tointeger(tonumber(window)) end
  return text:find("exceeds the context length", 1, true) ~= nil
    or text:find("longer than the context length", 1, true) ~= nil
end

local function classify(text, q, fields, kind, retryable)
  local over, tokens, window = overflow_numbers(text)
  if over then
    window = window or (q.body and q.body.options and q.body.options.num_ctx)
    local err = M.overflow(q.model, tokens, window)
    err.status, err.server = fields.status, text
    return err
  end
  for _, meaning in ipairs(MEANINGS) do
    if text:find(meaning[1]) then
      kind, retryable = meaning[2], meaning[3]
      fields.hint = meaning[4] == "pull" and q.model and ("stoke pull %s"):format(q.model)
        or meaning[4] ~= "pull" and meaning[4] or nil
      break
    end
  end
  fields.retryable = retryable
  return errors.new(kind, text, fields)
end

local STATUS = {
  [401] = { "auth", false }, [403] = { "auth", false }, [429] = { "overloaded", true }, [499] = { "incomplete", true },
  [502] = { "overloaded", true }, [503] = { "overloaded", true }, [504] = { "timeout", true },
}

--- An answer with a status of 400 or more.
---@param status integer
---@param body string
---@param q table the request
---@param head? string header lines
function M.status(status, body, q, head)
  local parsed = json.decode(body)
  local fields = { status = status, model = q.model }
  local known = STATUS[status] or { "http", false }
  if type(parsed) ~= "table" or parsed.error == nil then
    local text = body:gsub("%s+", " "):sub(1, 120)
    if body:find "^%s*<" then
      return errors.new("protocol", ("status %d with HTML instead of JSON: %s"):format(status, text),
        { status = status, hint = "a proxy or another program answered; check the address (stoke doctor)" })
    end
    fields.retryable = known[2]
    if status == 403 and body == "" then
      fields.hint = "Ollama refuses this Host or Origin; check OLLAMA_HOST and OLLAMA_ORIGINS on the server"
    end
    return errors.new(known[1], ("status %d%s"):format(status, text ~= "" and ": " .. text or ""), fields)
  end
  local seconds = head and head:lower():match "retry%-after:%s*(%d+)"
  fields.retry_after = seconds and tonumber(seconds)
  fields.signin_url = parsed.signin_url
  local err = classify(unwrap(parsed.error), q, fields, known[1], known[2])
  if status == 404 and err.kind == "http" and q.model and not rawget(err, "hint") then
    err.hint = ("stoke pull %s"):format(q.model)
  end
  return err
end

--- An error line in a stream that began with 200.
function M.line(text, q)
  return classify(unwrap(text), q, { model = q.model }, "http", false)
end

--- The stream, or an answer with done:false, ended without done:true.
function M.incomplete(q, partial)
  return errors.new("incomplete", ("the answer of %s ended before it was done"):format(q.model or "the server"),
    { partial = partial, model = q.model, hint = "the server stopped or the model repeated itself; asking again may help" })
end

--- Something that is no JSON where JSON was due.
function M.broken(text, err, q)
  local excerpt = text:gsub("%s+", " "):sub(1, 80)
  if text:find "^%s*<" then
    return errors.new("protocol", "HTML instead of JSON: " .. excerpt,
      { model = q.model, hint = "a proxy or another program answered; check the address (stoke doctor)" })
  end
  return errors.new("protocol", ("the server sent broken JSON: %s"):format(excerpt), { model = q.model, cause = err })
end

return M
