--- HTTP client and server. Responses arrive whole or as a stream.
---
---     local http = require "stoke.http"
---     local res = http.get("https://api.example.org/weather", { query = { city = "Oslo" } })
---     print(res.status, res.headers["content-type"], res:json().temperature)
---
--- A failure raises an error object. Kinds: refused, dns, tls, unreachable, timeout (its `phase`
--- says which), incomplete (the answer broke off), protocol (not good HTTP), limit (larger than
--- allowed), http (a status of 400 or more; carries `status` and `response`), denied (`public`, and
--- the address is not), argument.

local effect = require "core.effect"
local errors = require "core.errors"
local spelling = require "core.names"
local version = require("core.about").version
require "core.driver.http"

local M = {}

-- ---- defaults -----------------------------------------------------------------------------------

--- Defaults of a request. Durations in seconds.
M.defaults = {
  connect = 10,
  first_byte = 60,
  idle = 60,
  max_redirects = 5,
  max_bytes = 64 * 1024 * 1024,
  max_line = 16 * 1024 * 1024,
}

local AGENT = "User-Agent: stoke/" .. (version or "0")
local TYPES = {
  json = "application/json",
  form = "application/x-www-form-urlencoded",
}

local REASONS = {
  [400] = "Bad Request", [401] = "Unauthorized", [402] = "Payment Required", [403] = "Forbidden",
  [404] = "Not Found", [405] = "Method Not Allowed", [407] = "Proxy Authentication Required",
  [408] = "Request Timeout", [409] = "Conflict",
  [410] = "Gone", [413] = "Content Too Large", [415] = "Unsupported Media Type",
  [422] = "Unprocessable Content", [429] = "Too Many Requests", [499] = "Client Closed Request",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
}
local PASSING = { [408] = true, [425] = true, [429] = true, [502] = true, [503] = true, [504] = true }

-- ---- headers of an answer -----------------------------------------------------------------------

--- Header names are lower case; looking one up does not mind the case. Values of a name that came
--- more than once are joined by ", "; `headers:all(name)` gives them apart (for Set-Cookie, which
--- must not be split at commas).
---@class stoke.http.headers
---@field [string] string

--- Read the "Name: value\n" lines of a head.
---@param block string
---@return stoke.http.headers
local function parse_headers(block)
  local headers, lists = {}, {}
  for name, value in block:gmatch("([^:\n]+):[ \t]*([^\n]-)[ \t]*\n") do
    name = name:lower()
    local list = lists[name]
    if list then
      list[#list + 1] = value
      if name ~= "all" then headers[name] = headers[name] .. ", " .. value end
    else
      lists[name] = { value }
      if name ~= "all" then headers[name] = value end
    end
  end
  local function all(_, name) return lists[name:lower()] or {} end
  return setmetatable(headers, {
    __index = function(_, name)
      if name == "all" then return all end
      return type(name) == "string" and rawget(headers, name:lower()) or nil
    end,
  })
end

-- ---- the answer ---------------------------------------------------------------------------------

---@class stoke.http.response
---@field status integer
---@field headers stoke.http.headers
---@field body string? the decoded body; nil for a stream
---@field url string as asked
---@field method string
local Response = {}
Response.__name = "stoke.http.response"
local MAY_MISS = { body = true, mode = true, stream = true, head = true, status = true, url = true, method = true }

function Response.__index(self, key)
  if key == "headers" then
    local headers = parse_headers(rawget(self, "head"))
    rawset(self, "headers", headers)
    return headers
  end
  local value = Response[key]
  if value == nil then spelling.field("stoke.http.response", key, MAY_MISS, Response, MAY_MISS) end
  return value
end

--- Where an answer came from, without user, password and query: fit for a message or a log.
local function place(method, url)
  return method .. " " .. url:gsub("[?#].*", ""):gsub("^(%a+://)[^/]*@", "%1")
end

--- The body, decoded as JSON. Raises kind `protocol` when it is not valid JSON.
---
---     local models = http.get("http://localhost:11434/api/tags"):json().models
---@param options? table as for stoke.json.decode
---@return any
function Response:json(options)
  if not self.body then errors.argument("res:json needs a whole answer; this one is a stream") end
  local value, err = require("core.json").decode(self.body, options)
  if err ~= nil then
    errors.raise("protocol", ("%s: the answer is no JSON: %s"):format(place(self.method, self.url), err.message),
      { cause = err, response = self })
  end
  return value
end

local function reader(self, mode, name)
  if self.mode ~= mode then
    errors.argument("res:%s needs a request with stream = \"%s\"%s", name, mode,
      self.mode and (", not \"%s\""):format(self.mode) or "")
  end
  local stream = self.stream
  return function()
    local item, err = stream:next()
    if err ~= nil then error(err, 0) end
    return item
  end, nil, nil, stream
end

--- Iterate over the lines of a stream; its end, an error and `break` close it. Raises what broke
--- the stream.
---
---     for line in http.get(url, { stream = "lines" }):lines() do print(line) end
---@return fun(): string|nil
function Response:lines() return reader(self, "lines", "lines") end

--- Iterate over server-sent events: tables { event, data, id? }.
---
---     for ev in http.get(url, { stream = "sse" }):events() do print(ev.event, ev.data) end
---@return fun(): { event: string, data: string, id?: string }|nil
function Response:events() return reader(self, "sse", "events") end

--- Iterate over the bytes as they come, in pieces of no certain size.
---
---     for bytes in http.get(url, { stream = "bytes" }):chunks() do size = size + #bytes end
---@return fun(): string|nil
function Response:chunks() return reader(self, "bytes", "chunks") end

--- Cut a stream; its connection closes at once. Does nothing to a whole answer.
---
--- Example: `res:close()`
function Response:close()
  if self.stream then self.stream:close() end
end

Response.__close = Response.close

-- ---- the shape of a request ---------------------------------------------------------------------

local function escape_byte(c) return ("%%%02X"):format(c:byte()) end

--- Percent-encode everything except letters, digits and "-._~".
---@param text string|number|boolean
---@return string
---
--- Example: `print(http.escape "a b&c")`
function M.escape(text)
  return (tostring(text):gsub("[^%w%-%._~]", escape_byte))
end

local function plain(value, what)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    errors.argument("%s must be a string, number or boolean, got %s", what, kind)
  end
  return value
end

--- Encode a table as a query or form: name=value pairs, names sorted; a list as value repeats the
--- name, in order.
---
---     http.encode { q = "a b", tag = { "x", "y" } }   --> q=a%20b&tag=x&tag=y
---@param fields table<string, string|number|boolean|table>
---@return string
function M.encode(fields)
  local names, pairs_out = {}, {}
  for name in next, fields do
    if type(name) ~= "string" then errors.argument("a field's name must be a string, got %s", type(name)) end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = fields[name]
    local list = type(value) == "table" and value or { value }
    for _, item in ipairs(list) do
      pairs_out[#pairs_out + 1] = M.escape(name) .. "=" .. M.escape(plain(item, "field " .. name))
    end
  end
  return table.concat(pairs_out, "&")
end

local function add_query(url, query)
  local text = type(query) == "string" and query or M.encode(query)
  if text == "" then return url end
  local base, fragment = url:match("^([^#]*)(.*)$")
  local sign = not base:find("?", 1, true) and "?" or base:find("[?&]$") and "" or "&"
  return base .. sign .. text .. fragment
end

local function quote(text)
  return '"' .. tostring(text):gsub('[\r\n"]', { ["\r"] = "%0D", ["\n"] = "%0A", ['"'] = "%22" }) .. '"'
end

--- One part of multipart/form-data: { name=, value= | path=, filename=, type= }.
local PART = { name = "string", value = true, path = "string", filename = "string", type = "string" }

local function part_content(part)
  if part.path then return require("stoke.fs").read(part.path) end
  return tostring(plain(part.value, "multipart value of " .. part.name))
end

--- A line that none of the parts holds; the same parts always get the same one.
local function boundary_for(contents)
  local number = 0
  while true do
    local boundary, free = ("stoke-part-%08d"):format(number), true
    for _, content in ipairs(contents) do
      if content:find(boundary, 1, true) then free = false end
    end
    if free then return boundary end
    number = number + 1
  end
end

local function encode_multipart(parts)
  local contents, out = {}, {}
  for i, part in ipairs(parts) do
    errors.options(part, PART, "multipart part")
    if not part.name then errors.argument("multipart[%d] has no name", i) end
    contents[i] = part_content(part)
  end
  local boundary = boundary_for(contents)
  for i, part in ipairs(parts) do
    local filename = part.filename or part.path and part.path:match("[^/]+$")
    out[#out + 1] = ("--%s\r\nContent-Disposition: form-data; name=%s%s\r\n"):format(boundary, quote(part.name),
      filename and "; filename=" .. quote(filename) or "")
    local kind = part.type or filename and "application/octet-stream"
    if kind then out[#out + 1] = "Content-Type: " .. kind:gsub("[\r\n]", "") .. "\r\n" end
    out[#out + 1] = "\r\n" .. contents[i] .. "\r\n"
  end
  out[#out + 1] = "--" .. boundary .. "--\r\n"
  return table.concat(out), "multipart/form-data; boundary=" .. boundary
end

local BODIES = { "body", "json", "form", "multipart" }

--- The body of a request and its type, out of the one option that gives it.
local function body_of(options, what)
  local given
  for i = 1, #BODIES do
    local name = BODIES[i]
    if options[name] ~= nil then
      if given then errors.argument("%s: %s and %s cannot both be the body", what, given, name) end
      given = name
    end
  end
  if given == "json" then
    return errors.check(require("core.json").encode(options.json)), TYPES.json
  elseif given == "form" then
    return M.encode(options.form), TYPES.form
  elseif given == "multipart" then
    return encode_multipart(options.multipart)
  end
  return options.body
end

local function add_header(list, name, value, what)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    errors.argument("%s: bad header name '%s'", what, tostring(name))
  end
  value = tostring(plain(value, ("%s: header %s"):format(what, name)))
  if value:find("[\r\n%z]") then errors.argument("%s: header %s: a line break or NUL in its value", what, name) end
  list[#list + 1] = name .. ": " .. value
end

-- What most requests send; never changed, so it can be shared.
local PLAIN = { AGENT }
local JSON = { AGENT, "Content-Type: " .. TYPES.json }

--- Headers as a list of lines, by name; ours only where the caller has none of that name.
local function header_list(headers, content_type, what)
  if not headers then
    if not content_type then return PLAIN end
    if content_type == TYPES.json then return JSON end
  end
  local list, names, given = {}, {}, {}
  for name in next, headers or {} do
    names[#names + 1] = name
    given[tostring(name):lower()] = true
  end
  table.sort(names, function(a, b) return tostring(a):lower() < tostring(b):lower() end)
  if not given["user-agent"] then list[1] = AGENT end
  if content_type and not given["content-type"] then list[#list + 1] = "Content-Type: " .. content_type end
  for _, name in ipairs(names) do
    local value = headers[name]
    for _, item in ipairs(type(value) == "table" and value or { value }) do add_header(list, name, item, what) end
  end
  return list
end

local PHASES = { connect = true, first_byte = true, idle = true, total = true }

local function seconds(value, what)
  if value == false then return nil end
  if type(value) ~= "number" or value < 0 or value ~= value then
    errors.argument("%s must be a number of seconds, or false", what)
  end
  return value > 0 and value or nil
end

--- A number limits the whole request; a table names phases, the others keep their defaults; false
--- or 0 = no limit.
local function add_timeouts(q, timeout, what)
  local defaults = M.defaults
  if timeout == nil then
    q.connect, q.first_byte, q.idle = defaults.connect, defaults.first_byte, defaults.idle
  elseif type(timeout) == "table" then
    errors.options(timeout, PHASES, what .. ": timeout")
    for phase in next, PHASES do
      local value = timeout[phase]
      if value == nil then value = defaults[phase] end
      if value ~= nil then q[phase] = seconds(value, ("%s: timeout.%s"):format(what, phase)) end
    end
  else
    q.total = seconds(timeout, what .. ": timeout")
    q.connect = q.total and math.min(q.total, defaults.connect) or nil
  end
end

local OPTIONS = {
  query = true, json = true, form = "table", multipart = "table", body = "string", headers = "table", timeout = true,
  idempotency = "boolean",
  max_redirects = "number", max_bytes = "number", max_line = "number", raise = "boolean", stream = "string",
  proxy = "string", ca_file = "string", insecure = "boolean", socket = "string", public = "boolean", allow = "table",
  resolve = "table",
}
local REQUEST_OPTIONS = { method = "string", url = "string" }
for name, kind in next, OPTIONS do REQUEST_OPTIONS[name] = kind end

local MODES = { lines = true, sse = true, bytes = true }

--- For a message of one line.
local function printable(text)
  return (text:gsub("%c", function(c) return ("\\x%02X"):format(c:byte()) end))
end

local function check_url(url, what)
  if type(url) ~= "string" then errors.argument("%s: url must be a string, got %s", what, type(url)) end
  if not url:find("^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]") then
    errors.argument("%s: not a URL: '%s' (want http://host/... or https://host/...)", what, printable(url))
  elseif url:find("[%c ]") then
    errors.argument("%s: a URL cannot hold blanks or control characters: '%s' (query = {...} encodes them)", what,
      printable(url))
  end
end

--- A copy of a list, with its items as text.
local function strings(list, what)
  local out = {}
  for i, item in ipairs(list) do
    if type(item) ~= "string" then errors.argument("%s[%d] must be a string, got %s", what, i, type(item)) end
    out[i] = item
  end
  if next(list, #out > 0 and #out or nil) ~= nil then errors.argument("%s must be a list of strings", what) end
  return out
end

--- Lines "name:port:address,address". A name without a port gets one for each port it may be asked at: the URL's, 80, 443.
local function resolve_lines(resolve, url, what)
  local lines, ports = {}, { ["80"] = true, ["443"] = true }
  local own = tonumber(url:match "^%a+://[^/?#]*:(%d+)" or nil)
  if own and own > 0 and own < 65536 then ports[("%d"):format(own)] = true end
  for name, given in next, resolve do
    local entry = ("%s: resolve[%s]"):format(what, tostring(name))
    if type(name) ~= "string" then errors.argument("%s: the name must be a string, got %s", entry, type(name)) end
    if type(given) ~= "string" and type(given) ~= "table" then
      errors.argument("%s must be an address or a list of them, got %s", entry, type(given))
    end
    local addresses = table.concat(type(given) == "table" and strings(given, entry) or { given }, ",")
    local host, port = name:match "^(.*):(%d+)$"
    for number in next, port and { [port] = true } or ports do
      lines[#lines + 1] = ("%s:%s:%s"):format(host or name, number, addresses)
    end
  end
  table.sort(lines)
  return lines
end

--- What a request may reach, and what names stand for in it.
local function add_reach(q, options, what)
  if options.public then
    if options.proxy and options.proxy ~= "" then
      errors.argument("%s: proxy and public exclude each other: the proxy's address would be judged, not the server's", what)
    end
    q.public = true
    q.allow = options.allow and strings(options.allow, what .. ": allow")
  elseif options.allow then
    errors.argument("%s: allow lists exceptions to public = true, which is not given", what)
  end
  if options.resolve then q.resolve = resolve_lines(options.resolve, q.url, what) end
end

--- The request as pure data, for the door.
local function shape(method, url, options, what)
  check_url(url, what)
  local q = {
    method = method,
    max_redirects = options.max_redirects or M.defaults.max_redirects,
    idempotency = options.idempotency or nil,
    max_bytes = options.max_bytes or M.defaults.max_bytes,
    proxy = options.proxy,
    ca_file = options.ca_file,
    insecure = options.insecure,
    socket = options.socket,
    url = options.query and add_query(url, options.query) or url,
  }
  local content_type
  q.body, content_type = body_of(options, what)
  q.headers = header_list(options.headers, content_type, what)
  add_timeouts(q, options.timeout, what)
  if options.public or options.allow or options.resolve then add_reach(q, options, what) end
  if options.stream then
    if not MODES[options.stream] then
      errors.argument("%s: stream must be \"lines\", \"sse\" or \"bytes\", got \"%s\"", what, options.stream)
    end
    q.read = options.stream
    q.max_line = options.max_line or M.defaults.max_line
  end
  return q
end

-- ---- asking -------------------------------------------------------------------------------------

--- What the server says about its refusal, in short.
local function complaint(body)
  if not body or body == "" then return nil end
  if body:find("^%s*{") then
    local value = require("core.json").decode(body)
    local said = type(value) == "table" and (value.error or value.message)
    if type(said) == "table" then said = said.message end
    return type(said) == "string" and said or nil
  end
  local line = body:match("^[^\r\n]*")
  return #line <= 200 and not line:find("^%s*<") and line or nil
end

local function raise_status(res)
  local said = complaint(res.body)
  local reason = REASONS[res.status]
  errors.raise("http", ("%s: %d%s%s"):format(place(res.method, res.url), res.status, reason and " " .. reason or "",
    said and ": " .. said or ""), { status = res.status, response = res, retryable = PASSING[res.status] or false })
end

local function ask(method, url, options, what)
  local q = shape(method, url, options, what)
  local res = setmetatable({ method = method, url = q.url }, Response)
  if q.read then
    local stream = errors.check(effect.perform("http.stream", q))
    res.status, res.head, res.stream, res.mode = stream.about.status, stream.about.head, stream, q.read
  else
    local value = errors.check(effect.perform("http.request", q))
    res.status, res.head, res.body = value.status, value.head, value.body
  end
  if res.status >= 400 and options.raise ~= false then
    if res.stream then
      res.body = res.stream:rest()
      res.stream:close()
      res.stream = nil
    end
    raise_status(res)
  end
  return res
end

---@class stoke.http.options
---@field query? string|table<string, any> added to the URL, percent-encoded, names sorted
---@field headers? table<string, string|number|string[]>
---@field body? string bytes to send
---@field json? any sent as JSON
---@field form? table<string, any> sent as application/x-www-form-urlencoded
---@field multipart? table[] parts { name=, value= | path=, filename=, type= }, sent as multipart/form-data
---@field timeout? number|false|{ connect?: number, first_byte?: number, idle?: number, total?: number } seconds. A number
---limits the whole request; default: connect 10, first_byte 60, idle 60, no total
---@field idempotency? boolean send an Idempotency-Key: in a durable run the same each time this request is made
---@field max_redirects? integer default 5; 0 = a redirect is an answer like any other
---@field max_bytes? integer of the decoded answer; default 64 MB
---@field max_line? integer of one line of a stream; default 16 MB
---@field raise? boolean default true: a status of 400 or more raises kind `http`, with `status` and `response`
---@field stream? "lines"|"sse"|"bytes" the answer comes as an iterator: res:lines(), res:events(), res:chunks()
---@field proxy? string default: as http_proxy, https_proxy and no_proxy say; "" = none. Loopback never uses one
---@field ca_file? string certificates to trust, PEM; default: the system's
---@field insecure? boolean do not verify the server's certificate
---@field socket? string path of a socket in the file system: the server is there, whatever the URL's host
---@field public? boolean reach public addresses alone, else kind `denied`: not loopback, private networks, link-local, metadata
---services and the like. The address itself is judged, whatever the name, whenever a connection is made, after a redirect too;
---no proxy is used, no connection shared with other requests, and a server in memory is refused
---@field allow? string[] what `public` may reach all the same: "name[:port]", "10.0.0.7[:port]", "[::1]:8080", "10.0.0.0/8". A
---name permits whatever address it has, or the server in memory ("NAME.mem")
---@field resolve? table<string, string|string[]> what names stand for in this request, instead of asking the system (curl's
---`--resolve`): { ["example.org"] = "127.0.0.1", ["two.test:8080"] = { "192.0.2.1", "::1" } }. Without a port it holds for the
---URL's port, 80 and 443

--- GET a URL.
---
---     local res = http.get("http://localhost:8080/weather", { query = { city = "Oslo" }, timeout = 5 })
---@param url string
---@param options? stoke.http.options
---@return stoke.http.response
function M.get(url, options)
  return ask("GET", url, errors.options(options, OPTIONS, "http.get"), "http.get")
end

--- POST to a URL.
---
---     http.post("http://localhost:8080/notes", { json = { text = "buy milk" } })
---@param url string
---@param options? stoke.http.options
---@return stoke.http.response
function M.post(url, options)
  return ask("POST", url, errors.options(options, OPTIONS, "http.post"), "http.post")
end

--- Any method: the options of get and post, and `url` and `method` (default GET, or POST when there
--- is a body).
---
---     http.request { method = "DELETE", url = "http://localhost:8080/notes/7" }
---@param options { url: string, method?: string }|stoke.http.options
---@return stoke.http.response
function M.request(options)
  errors.options(options, REQUEST_OPTIONS, "http.request")
  options = options or {}
  local method = options.method
  if not method then
    method = (options.body or options.json ~= nil or options.form or options.multipart) and "POST" or "GET"
  elseif not method:find("^%a+$") then
    errors.argument("http.request: bad method '%s'", method)
  end
  return ask(method:upper(), options.url, options, "http.request")
end

--- http.serve is stoke.http.serve, loaded when first used.
return setmetatable(M, {
  __index = function(_, key)
    if key ~= "serve" then return nil end
    local serve = require "stoke.http.serve"
    M.serve = serve
    return serve
  end,
})
