--- The request object that a handler receives, and the rules for accepting a request.

local errors = require "core.errors"
local spelling = require "core.names"
local json = require "stoke.json"

local M = {}

-- ---- the target ---------------------------------------------------------------------------------------------------------

local function hex(digits) return string.char(tonumber(digits, 16)) end

local function unescape(text)
  if not text:find("%", 1, true) then return text end
  return (text:gsub("%%(%x%x)", hex))
end

--- A path without escapes and without dot segments, so that none climbs above the root; nil when it is no path.
---@param raw string
---@return string|nil
function M.path(raw)
  if raw:sub(1, 1) ~= "/" or raw:gsub("%%%x%x", ""):find("%", 1, true) then return nil end
  local path = unescape(raw)
  if path:find("\0", 1, true) then return nil end
  local kept, last = {}, nil
  for segment in path:gmatch "[^/]*" do
    last = segment
    if segment == ".." then
      kept[#kept] = nil
    elseif segment ~= "." and segment ~= "" then
      kept[#kept + 1] = segment
    end
  end
  local slash = #kept > 0 and (last == "" or last == "." or last == "..") and "/" or ""
  return "/" .. table.concat(kept, "/") .. slash
end

--- The fields of a query or a form; of a name that comes twice, the last.
---@param text string "a=1&b=two+words"
---@return table<string, string>
function M.query(text)
  local fields = {}
  for field in text:gmatch "[^&]+" do
    local name, value = field:match "^([^=]*)=?(.*)$"
    if field:find("+", 1, true) then name, value = name:gsub("+", " "), value:gsub("+", " ") end
    fields[unescape(name)] = unescape(value)
  end
  return fields
end

-- ---- who may ask --------------------------------------------------------------------------------------------------------

--- Whether a host name or address is this machine's own.
---@param host string without port
function M.is_loopback(host)
  host = host:lower():gsub("^%[(.*)%]$", "%1"):gsub("%.$", "")
  return host == "localhost" or host:find("%.localhost$") ~= nil or host == "::1" or
    host:find("^127%.%d+%.%d+%.%d+$") ~= nil
end

--- The address of a server as this machine can open it: the one that stands for all of its addresses is none.
---@param url string
---@return string
function M.reachable(url)
  return (url:gsub("^http://0%.0%.0%.0:", "http://127.0.0.1:"):gsub("^http://%[::%]:", "http://[::1]:"))
end

local function without_port(authority)
  return authority:match "^(%[.*%]):%d*$" or authority:match "^([^:]*):%d*$" or authority
end

--- Is this a name by which this machine is meant?
---@param host string as the header has it
---@param hosts table<string, true> names beside its own
function M.is_host(host, hosts)
  local name = without_port(host)
  return hosts["*"] or M.is_loopback(name) or hosts[name:lower()] or hosts[host:lower()] or false
end

--- Whether a host is written as an address and not as a name: nobody can make an address point at another machine.
local function is_address(host)
  local name = without_port(host)
  return name:find "^%[[%x:.]+%]$" ~= nil or name:find "^%d+%.%d+%.%d+%.%d+$" ~= nil
end

--- The names by which a server with a token may be asked. On loopback they are judged always, as a page elsewhere may point a name
--- of its own at this machine; an address that others reach goes by names that we cannot know, so that they are judged where they
--- are listed, and addresses are welcome. Inside of this process the server has a name of its own.
---@param listed table<string, true> in lower case
---@param options { address?: string, mem?: string }
---@return (fun(host: string): boolean)|nil judge is this a name of ours? nil: any is
function M.judge(listed, options)
  local near = not options.mem and (not options.address or M.is_loopback(options.address))
  if near then return function(host) return M.is_host(host, listed) end end
  if next(listed) == nil then return nil end
  local own = options.mem and options.mem .. ".mem" or options.address
  listed[own:lower()] = true
  return function(host) return M.is_host(host, listed) or not options.mem and is_address(host) end
end

--- A browser page from elsewhere can reach a server on loopback by a name that it controls, or by posting to it; what it
--- cannot do is lie about Host and Origin.
---@param headers table<string, string>
---@param guard { hosts: table<string, true>, origins: table<string, true> }
function M.is_welcome(headers, guard)
  local host, origin = headers.host, headers.origin
  if host and not M.is_host(host, guard.hosts) then return false end
  if origin and not guard.origins["*"] and not guard.origins[origin:lower()] then
    local authority = origin:match "^%w[%w+.-]*://([^/]+)$"
    return authority ~= nil and M.is_loopback(without_port(authority))
  end
  return true
end

-- ---- the object -----------------------------------------------------------------------------------------------------------

---@class stoke.http.incoming
---@field method string
---@field path string unescaped, free of dot segments, begins with a slash
---@field target string path and query as they were sent
---@field query table<string, string>
---@field headers table<string, string> names in lower case; of a name that comes twice, all values with commas between
---@field body string
---@field peer string "127.0.0.1:51234", or "mem"
local Request = {}
Request.__name = "stoke.http.incoming"
local FIELDS = { method = true, path = true, target = true, query = true, headers = true, body = true, peer = true }

function Request.__index(_, key)
  local value = Request[key]
  if value == nil then spelling.field("stoke.http.incoming", key, FIELDS, Request, FIELDS) end
  return value
end

--- The body, decoded as JSON. If the handler does not catch the error of an invalid body, the client gets status 400.
---@return any
---Raises `protocol`.
---
--- Example: `local order = req:json()`
function Request:json()
  if getmetatable(self) ~= Request then
    errors.argument("req:json(): called on %s; write a colon, not a dot", errors.describe(self))
  end
  local ok, value = pcall(json.decode, self.body)
  if ok then return value end
  errors.raise("protocol", "the body is not JSON: " .. (errors.is(value) and value.message or tostring(value)),
    { status = 400, cause = value })
end

-- The path of nearly every target needs no second look: plain segments, no escape, no dot.
local PLAIN <const> = "^/[%w_/-]*()(%??)"

local function split(target)
  local at, mark = target:match(PLAIN)
  if at and not target:find("//", 1, true) then
    if at > #target then return target, {} end
    if mark == "?" then return target:sub(1, at - 1), M.query(target:sub(at + 1)) end
  end
  local raw = target:gsub("^%w+://[^/?#]*", "")
  local path, query = raw:match "^([^?]*)%??(.*)$"
  path = (raw == "*" and "*") or M.path(path == "" and "/" or path)
  return path, path and M.query(query)
end

--- The request of an exchange; nil and the status to refuse it with.
---@param exchange table of the host
---@param guard? table for is_welcome
---@return stoke.http.incoming|nil
---@return integer|nil status
function M.read(exchange, guard)
  local method, target, body, peer, headers = exchange:request()
  if not method then return nil, 400 end
  if guard and (headers.origin or headers.host ~= guard.last) then -- most come to the name that the last one came to
    if not M.is_welcome(headers, guard) then return nil, 403 end
    guard.last = headers.host
  end
  local path, query = split(target)
  if not path then return nil, 400 end
  return setmetatable({ method = method, path = path, target = target, query = query, headers = headers, body = body, peer = peer },
    Request)
end

return M
