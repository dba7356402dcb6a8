--- A recorded request as a line for a shell: what it would take to ask the same again, by hand. Secrets are names of variables.

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

--- In double quotes, where $NAME is to be replaced by the shell.
local function open_quoted(text, variable)
  return '"' .. text:gsub('[\\"$`]', "\\%0") .. "$" .. variable .. '"'
end

--- The variable that a secret is read from.
local function variable_of(who, name)
  local what = name:lower() == "authorization" and "API_KEY" or name
  return ((who .. "_" .. what):upper():gsub("[^%w]+", "_"):gsub("^(%d)", "_%1"))
end

--- A header as an argument; who: the endpoint that it belongs to.
local function header_of(line, who)
  local name, value = line:match "^([^:]+):%s*(.*)$"
  if not name then return nil end
  if not secrets.named(name) then return "-H " .. quoted(line) end
  local scheme = value:match "^(%a+%s+)%S" or ""
  return "-H " .. open_quoted(name .. ": " .. scheme, variable_of(who, name))
end

--- The host's own headers, which curl sends as well, are not said.
local function line_of(method, url, headers, who, body)
  local masked = body and (body:find(redact.MARK, 1, true) or body:find "%[secret [%w_.-]+%]")
  local parts = { (masked and "# What is secret in the body is masked: put it in again.\n" or "") .. "curl -sS" }
  if method ~= (body and "POST" or "GET") then parts[#parts + 1] = "-X " .. quoted(method) end
  parts[#parts + 1] = quoted(redact.new():url(url))
  for _, line in ipairs(headers) do parts[#parts + 1] = header_of(line, who) end
  if body then parts[#parts + 1] = "--data-raw " .. quoted(body) end
  return table.concat(parts, " \\\n  ")
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
  return line_of(made.method, made.url, made.headers, made.who, body)
end

local function of_http(q)
  local headers = {}
  for name, value in next, type(q.headers) == "table" and q.headers or {} do
    headers[#headers + 1] = type(name) == "number" and tostring(value) or ("%s: %s"):format(name, tostring(value))
  end
  table.sort(headers)
  local who = q.url:match "^%a[%w+.-]*://([^/:?#]+)" or "http"
  return line_of(q.method or "GET", q.url, headers, who, type(q.body) == "string" and masks.new():value(texts.valid(q.body)) or nil)
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
