--- A recorded request as a line for a shell: what it would take to ask the same again, by hand. Secrets are names of variables,
--- and a comment before the line says of what.

local dialects = require "stoke.model.dialect"
local endpoints = require "core.endpoint"
local json = require "core.json"
local masks = require "stoke.page.runs.mask"
local redact = require "core.redact"
local secrets = require "core.secrets"
local texts = require "core.text"

local M = {}

--- In single quotes, whatever is in it.
local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- The variable that a secret is read from.
local function variable_of(who, name) return ((who .. "_" .. name):upper():gsub("[^%w]+", "_"):gsub("^(%d)", "_%1")) end

--- A secret as a shell puts it in: its variable, which a comment tells of.
local function secret_of(notes, who, name, what)
  local variable = variable_of(who, name)
  notes[#notes + 1] = ("%s: %s"):format(variable, what)
  return '"$' .. variable .. '"'
end

--- A header as an argument. What is secret in it is a variable, also its scheme where that is masked, as in a journal.
local function header_of(line, who, notes)
  local name, value = line:match "^([^:]+):%s*(.*)$"
  if not name then return nil end
  if not secrets.named(name) then return "-H " .. quoted(line) end
  local login = name:lower() == "authorization"
  local scheme = login and value:match "^(%a+%s+)%S" or ""
  local what = scheme ~= "" and "the key" or login and "scheme and key, as in Bearer KEY" or "of " .. name
  return "-H " .. quoted(name .. ": " .. scheme) .. secret_of(notes, who, scheme ~= "" and "API_KEY" or name, what)
end

--- A URL with variables for the name and password in it, and for what is secret in its query.
local function url_of(url, who, notes)
  url = redact.new():url(url)
  local out = ""
  local scheme, rest = url:match "^(%a[%w+.-]*://)%[redacted%]@(.*)$"
  if scheme then out, url = quoted(scheme) .. secret_of(notes, who, "LOGIN", "NAME:PASSWORD"), "@" .. rest end
  local at = 1
  for first, name, last in url:gmatch "()[?&]([^=&#]+)=%[redacted%]()" do
    out = out .. quoted(url:sub(at, first + #name + 1)) .. secret_of(notes, who, name, "of " .. name)
    at = last
  end
  return (at > 1 and at > #url) and out or out .. quoted(url:sub(at))
end

local function has(headers, wanted)
  for _, line in ipairs(headers) do
    if line:lower():find("^" .. wanted .. ":") then return true end
  end
  return false
end

--- What else curl is told: how the server is reached.
local function add_ways(parts, q, notes)
  if (q.max_redirects or 0) > 0 then parts[1] = parts[1] .. " -L" end
  if q.insecure then parts[1] = parts[1] .. " -k" end
  if q.socket then parts[#parts + 1] = "--unix-socket " .. quoted(q.socket) end
  if q.ca_file then parts[#parts + 1] = "--cacert " .. quoted(q.ca_file) end
  if q.proxy then parts[#parts + 1] = "-x " .. url_of(q.proxy, "proxy", notes) end
end

local function add_method(parts, method, body)
  if method == "HEAD" then
    parts[1] = parts[1] .. " -I"
  elseif method ~= (body and "POST" or "GET") then
    parts[#parts + 1] = "-X " .. quoted(method)
  end
end

local MASKED <const> = "what is secret in the body is masked: put it in again"

--- The line for a request. The host's own headers, which curl sends as well, are not said.
local function line_of(q, headers, who, body)
  local notes, parts = {}, { "curl -sS" }
  if q.url:find "[%[%]{}]" then parts[1] = parts[1] .. " -g" end -- curl would make several URLs of these
  add_ways(parts, q, notes)
  add_method(parts, q.method or "GET", body)
  parts[#parts + 1] = url_of(q.url, who, notes)
  for _, line in ipairs(headers) do parts[#parts + 1] = header_of(line, who, notes) end
  if body then
    if not has(headers, "content%-type") then parts[#parts + 1] = "-H 'Content-Type:'" end -- curl would say that it is a form
    parts[#parts + 1] = "--data-raw " .. quoted(body)
    if body:find(redact.MARK, 1, true) or body:find "%[secret [%w_.-]+%]" then notes[#notes + 1] = MASKED end
  end
  local about = notes[1] and "# " .. table.concat(notes, "; "):gsub("%c", " ") .. "\n" or ""
  return about .. table.concat(parts, " \\\n  ")
end

--- The endpoint that a request names, as it is meant: not that of a simulator in its place. nil: these settings do not know it.
local function endpoint_of(q)
  local ok, endpoint = pcall(endpoints.of, q.endpoint)
  if not ok then return nil end
  return setmetatable({ url = endpoint.meant, requests = {} }, { __index = endpoint })
end

--- What its dialect would send to the server, as that is set up here.
local function finished(q, streamed)
  local endpoint = endpoint_of(q)
  if not endpoint then return nil end
  local dialect = dialects.named(q.protocol, endpoint.name)
  local target = setmetatable({ endpoint = endpoint }, { __index = endpoints.plain(endpoints.of(q.endpoint), q.model, dialect) })
  local asked = {}
  for name, value in next, q do asked[name] = value end
  asked.timeouts = q.timeouts or {} -- then its options are plain
  local options, body = dialect.request(asked, target, streamed)
  if type(options) ~= "table" then return nil end
  return { method = options.method, url = options.url, headers = options.headers, who = endpoint.name, body = body }
end

--- The same from the request alone.
local function unfinished(q)
  return { method = q.method or "POST", url = "http://127.0.0.1:11434" .. q.path, headers = { "Content-Type: application/json" },
    who = q.endpoint or "endpoint", body = q.body and json.encode(q.body) }
end

local function of_model(q, streamed)
  local ok, made = pcall(finished, q, streamed)
  if not ok or not made then made = unfinished(q) end
  local body = made.body and redact.json(json.decode(made.body)) or made.body
  return line_of(made, made.headers, made.who, body)
end

local function of_http(q)
  local headers = {}
  for name, value in next, type(q.headers) == "table" and q.headers or {} do
    headers[#headers + 1] = type(name) == "number" and tostring(value) or ("%s: %s"):format(name, tostring(value))
  end
  table.sort(headers)
  local host = (q.url:match "^%a[%w+.-]*://([^/?#]*)" or ""):gsub("^.*@", ""):gsub(":%d*$", "")
  return line_of(q, headers, host, type(q.body) == "string" and masks.new():value(texts.valid(q.body)) or nil)
end

--- The request of an effect as a line of curl; nil where it goes to no server.
---@param name string of the effect
---@param q any its request, as it was recorded
---@return string|nil
---
--- Example: `print(curl.of("llm.chat", row.request))`
function M.of(name, q)
  if type(q) ~= "table" then return nil end
  if (name == "http.request" or name == "http.stream") and type(q.url) == "string" then return of_http(q) end
  if type(q.protocol) == "string" and type(q.path) == "string" and q.path:sub(1, 1) == "/" then
    return of_model(q, name == "llm.stream")
  end
  return nil
end

return M
