--- What a client is told of an error: status, words, and when to come back.

local errors = require "core.errors"
local redact = require "core.redact"

local M = {}

--- Statuses of our kinds. What went wrong behind us (the server of the model) is a bad gateway.
local STATUS = {
  argument = 400, context_overflow = 400, usage = 400, auth = 502, refused = 502, dns = 502, tls = 502, unreachable = 502,
  protocol = 502, incomplete = 502, http = 502, overloaded = 503, timeout = 504, deadline = 504, budget = 429, denied = 403,
  needs_approval = 403, parked = 409, in_doubt = 409,
}

--- A bug's words are Lua's, with paths of this machine: they are for its log.
local BUG <const> = "the agent has a bug; the log of the server says where"

---@class stoke.serve.failure
---@field status integer
---@field text string
---@field retry_after? integer seconds
---@field code? string of OpenAI's API
---@field param? string

--- An error in the terms of HTTP. Its hint is told too: who serves agents on a machine of theirs reads it there.
---@param raised any
---@return stoke.serve.failure
---
--- Example: `local failure = failures.of(err)`
function M.of(raised)
  local err = errors.wrap(raised)
  if errors.bug(err) then return { status = 500, text = BUG } end
  local status = STATUS[err.kind] or 500
  local own = rawget(err, "status")
  if err.kind == "http" and (own == 400 or own == 404) then status = own end -- of the request, as the server behind us judges
  local hint = rawget(err, "hint")
  local text = type(err.message) == "string" and redact.known(err.message) or err.kind
  if type(hint) == "string" then text = ("%s (%s)"):format(text, hint) end
  local later = rawget(err, "retry_after")
  local api = rawget(err, "api") -- how OpenAI's API calls it
  return { status = status, text = text, code = api and api.code, param = api and api.param,
    retry_after = status == 503 and math.max(1, math.ceil(tonumber(later) or 1)) or nil }
end

--- Headers of an answer that says so.
---@param headers table<string, string> of its form
---@param failure stoke.serve.failure
---@return table<string, string>
---
--- Example: `res:reply(failure.status, failures.headers(wire.JSON, failure), text)`
function M.headers(headers, failure)
  if not failure.retry_after and failure.status ~= 401 then return headers end
  local out = {}
  for name, value in next, headers do out[name] = value end
  if failure.retry_after then out["Retry-After"] = tostring(failure.retry_after) end
  if failure.status == 401 then out["WWW-Authenticate"] = "Bearer" end
  return out
end

--- A refusal in words of our own.
---@param status integer
---@param format string
---@return stoke.serve.failure
---
--- Example: `return failures.new(404, "model '%s' not found", name)`
function M.new(status, format, ...) return { status = status, text = format:format(...) } end

return M
