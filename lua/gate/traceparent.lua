--- The W3C trace context (https://www.w3.org/TR/trace-context/): how a trace goes on in another process. Two headers, or two fields
--- of `_meta` of an MCP message (https://modelcontextprotocol.io/community/seps/414-request-meta): traceparent names the trace and
--- the span around, tracestate is others' and passed on as it came. They are put into a request below journal and cache, so no key
--- depends on them; and only while somebody traces.

local spans = require "core.gate.span"

local M = {}

--- Nothing is put into requests (OTEL_PROPAGATORS without tracecontext).
M.off = false

--- Characters of a tracestate that is passed on; a longer one is dropped.
M.LONGEST = 512

local NO_TRACE, NO_SPAN = ("0"):rep(32), ("0"):rep(16)

--- The version, trace, span, flags and rest of a header.
local FORM = "^([0-9a-f][0-9a-f])%-(" .. ("[0-9a-f]"):rep(32) .. ")%-(" .. ("[0-9a-f]"):rep(16) .. ")%-([0-9a-f][0-9a-f])(.*)$"

--- The span of another process that a request came from.
---@param parent any value of traceparent; what is no text, or not as the standard has it, counts as none
---@param state? any value of tracestate
---@return core.span|nil
---
--- Example: `local far = traceparent.read(req.headers.traceparent, req.headers.tracestate)`
function M.read(parent, state)
  if type(parent) ~= "string" then return nil end
  local version, trace, id, flags, rest = parent:match(FORM)
  if not version or version == "ff" or trace == NO_TRACE or id == NO_SPAN then return nil end
  if rest ~= "" and (version == "00" or rest:sub(1, 1) ~= "-") then return nil end -- a later version may have more parts
  local passed = type(state) == "string" and state ~= "" and #state <= M.LONGEST and not state:find "[^\32-\126]" and state or nil
  return spans.remote(trace, id, passed, tonumber(flags, 16) & 1 == 0)
end

--- The traceparent of what is asked inside of a span.
---@param span core.span
---@return string
---
--- Example: `local line = "traceparent: " .. traceparent.write(call.span)`
function M.write(span) return ("00-%s-%s-%s"):format(span.trace, spans.hex(span.id), span.unsampled and "00" or "01") end

--- The headers of a request, with those of the trace. One that brings its own keeps them.
---@param headers? string[] "Name: value"
---@param span core.span
---@return string[] headers another list, or the same
---
--- Example: `options.headers = traceparent.headers(options.headers, call.span)`
function M.headers(headers, span)
  if M.off then return headers or {} end
  local out = {}
  for i, line in ipairs(headers or {}) do
    if line:find "^[Tt][Rr][Aa][Cc][Ee][Pp][Aa][Rr][Ee][Nn][Tt]%s*:" then return headers end
    out[i] = line
  end
  out[#out + 1] = "traceparent: " .. M.write(span)
  if span.state then out[#out + 1] = "tracestate: " .. span.state end
  return out
end

--- The same for `_meta` of an MCP message.
---@param meta? table is changed
---@param span core.span
---@return table|nil meta
---
--- Example: `params._meta = traceparent.meta(params._meta, span)`
function M.meta(meta, span)
  if M.off then return meta end
  meta = meta or {}
  meta.traceparent, meta.tracestate = M.write(span), span.state
  return meta
end

return M
