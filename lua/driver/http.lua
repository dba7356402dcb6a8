--- HTTP effects: http.request (a whole response) and http.stream (a response as it arrives).
---
--- A request is pure data: method, url, headers (a list "Name: value"), body, the time limits
--- connect, first_byte, idle and total in seconds, max_redirects, max_bytes, max_line, proxy,
--- idempotency (send an Idempotency-Key),
--- ca_file, insecure, socket (a path), public, allow (a list), resolve (a list "name:port:address,address"), own (true: the
--- host asks for itself, and no rules of hosts concern it); for a stream also read, one of "lines", "sse", "bytes". The value of
--- http.request is { status, head, body }, head being "Name: value\n" lines.

local again = require "core.journal.again"
local effect = require "core.effect"
local errors = require "core.errors"
local frames = require "core.frame"
local http = require "host.http"
local json = require "core.json"
local policy = require "core.gate.policy"
local random = require "core.random"
local time = require "host.time"
local traceparent = require "core.gate.traceparent"
local redacting = require "core.redact"
local trim = require "core.text".trim

--- The subject of policy rules: the host as curl parses it. A URL that curl cannot parse is never requested.
local function subject(q)
  local _, host = http.place(q.url)
  return "host", host or ""
end

-- ---- redirects under a policy -----------------------------------------------------------------------------------------------

-- Without host rules curl follows redirects itself; with them each hop is a request of its own, checked like the first.

local FOLLOWED = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

local SAFE = { GET = "pure", HEAD = "pure", OPTIONS = "pure", PUT = "idempotent", DELETE = "idempotent" }

--- Methods that may be repeated (RFC 9110, 9.2).
local function class_of(q) return SAFE[q.method] or q.idempotency and "idempotent" or "unsafe" end

--- Does its server know it again?
local function is_known(q) return q.idempotency end

--- It outlives a power cut.
local function known_to(q) return q.idempotency and "disk" end

--- A request with the key by which its server knows it again: in a journalled run the same each time it is done.
local function with_key(q, call)
  if not q.idempotency then return q end
  local asked = call and call.key and ("%s\n%s\n%s\n%s"):format(call.key, q.method, q.url, require "core.hash".sha256(q.body or ""))
  local key = asked and call.context.journal:idempotency(asked)
    or random.stream("idempotency"):bytes(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  local out = {}
  for name, value in next, q do out[name] = value end
  out.headers = table.move(q.headers or {}, 1, #(q.headers or {}), 1, {})
  table.insert(out.headers, "Idempotency-Key: " .. key)
  return out
end

--- A request that tells of the trace it is in.
local function traced(q, call)
  if not call or not call.span then return q end
  local out = {}
  for name, value in next, q do out[name] = value end
  out.headers = traceparent.headers(q.headers, call.span)
  return out
end

local ASIDE = { "connect", "first_byte", "idle", "total" }

--- Secrets in a request are recognized by the names of its headers and query parameters.
local function redact(q, redactor)
  q.url = redactor:url(q.url)
  for i, line in ipairs(q.headers or {}) do q.headers[i] = redactor:header(line) end
end

--- Headers and URLs that were looked at, and how many.
local looked, count = {}, 0
local LOOKED <const> = 500

local function is_new(text)
  if looked[text] then return false end
  if count >= LOOKED then looked, count = {}, 0 end
  looked[text], count = true, count + 1
  return true
end

--- Remember what is secret in a request, so that it is found where it would leave: a server may send it back.
local function learn(q)
  if q.headers then
    for _, line in ipairs(q.headers) do
      if is_new(line) then redacting.learn_headers { line } end
    end
  end
  if q.url:find "[@?]" and is_new(q.url) then redacting.learn_url(q.url) end
end

local function follows(q) return (q.max_redirects or 0) > 0 and policy.judges "host" end

local function location_of(head)
  for name, value in head:gmatch "([^:\n]+):[ \t]*([^\n]*)" do
    if name:lower() == "location" then return trim(value) end
  end
end

--- The headers of a redirected request: without those of a dropped body, and without credentials for another server.
local function kept(headers, body_gone, elsewhere)
  local out = {}
  for _, line in ipairs(headers or {}) do
    local name = line:match "^[^:]*":lower()
    local drop = body_gone and name:find "^content%-" or elsewhere and (name == "authorization" or name == "cookie")
    if not drop then out[#out + 1] = line end
  end
  return out
end

local function site(url) return url:match "^%a[%w+.-]*://[^/?#]*" end

--- The URL for a message: without scheme and user.
local function shown(url) return (site(url):gsub("^.*://", ""):gsub("^.*@", "")) end

--- The request that a redirect demands; nil if the response is not a redirect.
local function redirected(q, status, head)
  local location = FOLLOWED[status] and location_of(head)
  if not location then return nil end
  local url = http.place(q.url, location)
  local scheme = url and url:match "^%a+"
  if scheme ~= "http" and scheme ~= "https" then
    return nil, errors.new("protocol", ("%s redirects to what is not HTTP"):format(shown(q.url)))
  end
  local out = {}
  for name, value in next, q do out[name] = value end
  local get = status == 303 and q.method ~= "HEAD" or status <= 302 and q.method == "POST"
  out.url = url
  out.headers = kept(q.headers, get, site(url) ~= site(q.url))
  if get then out.method, out.body = "GET", nil end
  return out
end

--- Send the request and follow redirects. `once(q)` returns a result, its status and head, or nil and an error.
local function follow(q, once, drop)
  local began, most, total, first = time.monotonic(), q.max_redirects, q.total, q
  for hop = 0, most do
    local single = {}
    for name, value in next, q do single[name] = value end
    single.max_redirects = 0
    if total then single.total = math.max(total - (time.monotonic() - began), 0.001) end
    local got, status, head = once(single)
    if not got then return nil, status end
    local target, wrong = redirected(q, status, head)
    if not target and not wrong then return got end
    drop(got)
    if wrong then return nil, wrong end
    if hop < most then
      local err = policy.judge({ name = "http.request", subject = subject }, target)
      if err then return nil, err end
    end
    q = target
  end
  return nil, errors.new("protocol", ("%s: more than %d redirects"):format(shown(first.url), most))
end

-- ---- whole responses ----------------------------------------------------------------------------------------------------------

local function fetch(asked)
  local q, refused = policy.reach(asked, asked.url)
  if not q then return nil, refused end
  local status, head, body = http.fetch(q)
  if not status then return nil, policy.reached(q, head) end
  return { status = status, head = head, body = body }, status, head
end

--- What a person says came of a request: its status is needed, JSON may be written as it is.
local function said(value)
  local given = type(value) == "table" and value or {}
  if math.type(given.status) ~= "integer" then return nil, '{"status":200,"body":"..."}' end
  local body = given.body
  if body ~= nil and type(body) ~= "string" then body = json.encode(body) end
  return { status = given.status, head = type(given.head) == "string" and given.head or "", body = body or "" }
end

effect.define("http.request", {
  said = said,
  subject = subject, taped = true, class = class_of, aside = ASIDE, redact = redact, repeats = is_known, keyed = known_to,
  run = function(q, call)
    learn(q)
    q = traced(with_key(q, call), call)
    if follows(q) then return follow(q, fetch, function() end) end
    local got, err = fetch(q)
    if not got then return nil, err end
    return got
  end,
})

-- ---- streamed responses -------------------------------------------------------------------------------------------------------

-- One class per way to read, so that `next` costs no more than the native method.
local function source_class(read)
  local class = {}
  class.__index = class
  function class:next() return read(self.request) end

  function class:rest() return self.request:body() end
  function class:share() self.request:share() end
  function class:close() self.request:close() end
  return class
end

local sources = {
  lines = source_class(function(request) return request:line() end),
  sse = source_class(function(request) return request:event() end),
  bytes = source_class(function(request) return request:chunk() end),
}

local function open(asked)
  local q, refused = policy.reach(asked, asked.url)
  if not q then return nil, refused end
  local request, err = http.start(q)
  if not request then return nil, policy.reached(q, err) end
  local status, head = request:head()
  if not status then
    request:close()
    return nil, policy.reached(q, head)
  end
  return setmetatable({ request = request, about = { status = status, head = head } }, sources[q.read]), status, head
end

--- A stream that was cut off with the process that read it: what only looks is asked once more, and goes on where the run stood.
local function resume(q, items)
  if class_of(q) ~= "pure" then
    return nil, errors.new("interrupted", ("%s %s broke off when its process ended"):format(q.method or "GET", shown(q.url)))
  end
  local outside <close> = frames.outside() -- luacheck: ignore
  local stream, err = effect.perform("http.stream", q)
  if not stream then return nil, err end
  return again.behind("http.stream", stream, items, q.read == "bytes")
end

effect.define("http.stream", {
  resume = resume,
  stream = true, subject = subject, taped = true, class = class_of, aside = ASIDE, redact = redact,
  repeats = is_known, keyed = known_to,
  run = function(q, call)
    learn(q)
    q = traced(with_key(q, call), call)
    if follows(q) then return follow(q, open, function(source) source:close() end) end
    local source, err = open(q)
    if not source then return nil, err end
    return source
  end,
})
