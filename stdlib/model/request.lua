--- What host.http is given for a request of a model, beside its body: address, headers and limits of time, the same for all
--- dialects.

local prepare = require "core.driver.llm".prepare
local config = require "stoke.config"

local M = {}

local NONE = {}

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

--- The address of a path. That of an endpoint may end in the version (/v1), as clients of OpenAI's write it, or in what stands for
--- one there.
local function url_of(endpoint, path)
  local url, version = endpoint.url, path:match "^/v1(/.*)$"
  if version and (url:find "/v%d%w*$" or url:find "/openai$") then return url .. version end
  return url .. path
end

local function options_of(endpoint, q, stream)
  local limits, given = config.get().timeouts, q.timeouts or NONE
  return {
    method = q.method or "POST", url = url_of(endpoint, q.path), headers = endpoint.headers,
    connect = limit(given.connect, limits.connect), first_byte = limit(given.first_byte, first_byte(limits, stream)),
    idle = limit(given.idle, limits.idle), total = limit(given.total, limits.total),
    plain = true, max_line = 16 * 1024 * 1024, max_bytes = 256 * 1024 * 1024,
  }
end

--- The options of a request at an endpoint. Those of calls with no method and no limits of their own are made once, and are in
--- endpoint.requests from then on: by path, for streams by "stream " and path.
---@param endpoint stoke.endpoint
---@param q table { path, method?, timeouts?, raw? }
---@param stream boolean
---@return any options
---
--- Example: `return request.options(target.endpoint, q, stream), json.encode(q.body)`
function M.options(endpoint, q, stream)
  if q.method or q.timeouts or q.raw then return options_of(endpoint, q, stream) end
  local key = stream and "stream " .. q.path or q.path
  local known = endpoint.requests[key]
  if not known then
    known = prepare(options_of(endpoint, q, stream))
    endpoint.requests[key] = known
  end
  return known
end

return M
