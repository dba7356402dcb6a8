--- Effects of the web: http.request (one answer, whole) and http.stream (one answer, as it comes).
---
--- A request is pure data: method, url, headers (a list "Name: value"), body, the time limits
--- connect, first_byte, idle and total in seconds, max_redirects, max_bytes, max_line, proxy,
--- ca_file, insecure, socket (a path), public, allow (a list), resolve (a list "name:port:address,address"); for a
--- stream also read, one of "lines", "sse", "bytes". The value of
--- http.request is { status, head, body }, head being "Name: value\n" lines.

local effect = require "core.effect"
local http = require "host.http"

--- What the policy judges: the host a URL names, without port, user and brackets.
local function subject(q)
  local authority = tostring(q.url):match "^%a[%w+.-]*://([^/?#\\]*)" or ""
  authority = authority:match "@([^@]*)$" or authority
  return "host", authority:match "^%[([^%]]*)%]" or authority:match "^([^:]*)"
end

effect.define("http.request", {
  subject = subject, taped = true,
  run = function(q)
    local status, head, body = http.fetch(q)
    if not status then return nil, head end
    return { status = status, head = head, body = body }
  end,
})

-- One class for each way to read, so that `next` is the native method's own speed.
local function source_class(read)
  local class = {}
  class.__index = class
  function class:next() return read(self.request) end

  --- What is still to come, as one string.
  function class:rest() return self.request:body() end

  function class:close() self.request:close() end
  return class
end

local sources = {
  lines = source_class(function(request) return request:line() end),
  sse = source_class(function(request) return request:event() end),
  bytes = source_class(function(request) return request:chunk() end),
}

effect.define("http.stream", {
  stream = true, subject = subject,
  run = function(q)
    local request, err = http.start(q)
    if not request then return nil, err end
    local status, head = request:head()
    if not status then
      request:close()
      return nil, head
    end
    return setmetatable({ request = request, status = status, head = head }, sources[q.read])
  end,
})
