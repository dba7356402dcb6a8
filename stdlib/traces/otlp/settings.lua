--- What the environment says of exporting spans: the variables of OpenTelemetry's specification
--- (https://opentelemetry.io/docs/specs/otel/protocol/exporter/, .../configuration/sdk-environment-variables/). Pure.

local about = require "core.about"
local errors = require "core.errors"
local names = require "stoke.traces.conventions"

local M = {}

--- The batch of the specification: spans that wait at most, that are sent at once, seconds for which they are gathered; and seconds
--- that a request may take.
M.WAITING, M.TOGETHER, M.GATHER, M.TIMEOUT = 2048, 512, 5, 10

---@class stoke.traces.otlp.settings
---@field url string where traces go
---@field headers string[] "Name: value"
---@field timeout number seconds of one request
---@field resource table<string, string> attributes of this process
---@field contents boolean what is said to models, and by them, goes out, too
---@field waiting integer spans that wait, at most
---@field together integer spans in one request, at most
---@field gather number seconds

local function refuse(name, value, want, hint)
  return nil, errors.new("usage", ("%s is %s; %s"):format(name, errors.describe(value), want), { hint = hint })
end

local function unescaped(text)
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

--- "a=1,b=two%20words", as a list { name, value }; nil: it is none.
local function pairs_of(text)
  local list = {}
  for part in text:gmatch "[^,]+" do
    if part:find "%S" then
      local name, value = part:match "^%s*([^=%s]+)%s*=%s*(.-)%s*$"
      if not name then return nil end
      list[#list + 1] = { unescaped(name), unescaped(value) }
    end
  end
  return list
end

--- The value of a variable; what is empty counts as not set.
local function get(getenv, name)
  local value = getenv(name)
  if value and value:find "%S" then return value:match "^%s*(.-)%s*$" end
end

--- Of the traces alone, or of all signals.
local function either(getenv, name)
  local own = "OTEL_EXPORTER_OTLP_TRACES_" .. name
  local value = get(getenv, own)
  if value then return value, own end
  return get(getenv, "OTEL_EXPORTER_OTLP_" .. name), "OTEL_EXPORTER_OTLP_" .. name
end

local URL_HINT <const> = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"

local function url_of(getenv)
  local url, name = either(getenv, "ENDPOINT")
  if not url:find "^[Hh][Tt][Tt][Pp][Ss]?://[^/%s]+[^%s]*$" then
    return refuse(name, url, "an address that begins with http:// or https:// is wanted", URL_HINT)
  end
  if name == "OTEL_EXPORTER_OTLP_ENDPOINT" then url = url:gsub("/+$", "") .. "/v1/traces" end
  return url
end

local function headers_of(getenv)
  local text, name = either(getenv, "HEADERS")
  local out = {}
  local list = text and pairs_of(text) or not text and {} or nil
  for _, pair in ipairs(list or {}) do
    if pair[1]:find "[^%w!#$%%&'*+.^_`|~-]" or pair[2]:find "[%c]" then list = nil break end
    out[#out + 1] = ("%s: %s"):format(pair[1], pair[2])
  end
  if not list then -- the value is a secret: it is not shown
    return nil, errors.new("usage", name .. " is no list of headers", { hint = name .. '="name=value,other=value"' })
  end
  return out
end

--- A number of milliseconds, or a count.
local function number(getenv, name, usual, least)
  local text = get(getenv, name)
  if not text then return usual end
  local value = math.tointeger(tonumber(text))
  if not value or value < least then return refuse(name, text, ("a whole number of at least %d is wanted"):format(least)) end
  return value
end

local function resource_of(getenv)
  local text = get(getenv, "OTEL_RESOURCE_ATTRIBUTES")
  local list = pairs_of(text or "")
  if not list then
    return refuse("OTEL_RESOURCE_ATTRIBUTES", text, "a list is wanted", 'OTEL_RESOURCE_ATTRIBUTES="service.version=1,team=blue"')
  end
  local g = names.general
  local out = { [g.service] = "stoke", [g.sdk] = "stoke", [g.sdk_version] = about.version, [g.language] = "lua" }
  for _, pair in ipairs(list) do out[pair[1]] = pair[2] end
  out[g.service] = get(getenv, "OTEL_SERVICE_NAME") or out[g.service]
  return out
end

--- Values of the variable that asks for contents.
local CONTENTS = { ["true"] = true, span_only = true, span_and_event = true }

local function is(getenv, name) return (get(getenv, name) or ""):lower() == "true" end

--- Does the environment ask for spans to be sent somewhere?
---@param getenv fun(name: string): string|nil
---@return boolean
---
--- Example: `if settings.wanted(os.getenv) then ... end`
function M.wanted(getenv)
  if is(getenv, "OTEL_SDK_DISABLED") or not (either(getenv, "ENDPOINT")) then return false end
  return (get(getenv, "OTEL_TRACES_EXPORTER") or "otlp") ~= "none"
end

--- Does it say that requests tell nothing of the trace they are in?
---@param getenv fun(name: string): string|nil
---@return boolean
---
--- Example: `traceparent.off = settings.alone(os.getenv)`
function M.alone(getenv)
  local list = get(getenv, "OTEL_PROPAGATORS")
  return list ~= nil and not ("," .. list:lower():gsub("%s", "") .. ","):find(",tracecontext,", 1, true)
end

--- What it says of how.
---@param getenv fun(name: string): string|nil
---@return stoke.traces.otlp.settings|nil
---@return stoke.error|nil err kind `usage`
---
--- Example: `local found, err = settings.read(os.getenv)`
function M.read(getenv)
  local exporter = get(getenv, "OTEL_TRACES_EXPORTER")
  if exporter and exporter ~= "otlp" then
    return refuse("OTEL_TRACES_EXPORTER", exporter, "known are otlp and none")
  end
  local protocol, name = either(getenv, "PROTOCOL")
  if protocol and protocol ~= "http/json" then
    return refuse(name, protocol, "stoke speaks http/json alone; collectors take it at the port of http/protobuf (4318)",
      "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json")
  end
  local out = {}
  local err
  out.url, err = url_of(getenv)
  if not err then out.headers, err = headers_of(getenv) end
  if not err then out.resource, err = resource_of(getenv) end
  local _, timeout = either(getenv, "TIMEOUT")
  local ms, gather
  if not err then ms, err = number(getenv, timeout, M.TIMEOUT * 1000, 1) end
  if not err then gather, err = number(getenv, "OTEL_BSP_SCHEDULE_DELAY", M.GATHER * 1000, 0) end
  if not err then out.waiting, err = number(getenv, "OTEL_BSP_MAX_QUEUE_SIZE", M.WAITING, 1) end
  if not err then out.together, err = number(getenv, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", M.TOGETHER, 1) end
  if err then return nil, err end
  out.timeout, out.gather = ms / 1000, gather / 1000
  out.together = math.min(out.together, out.waiting)
  out.contents = CONTENTS[(get(getenv, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT") or ""):lower()] or false
  return out
end

return M
