--- Checks before routing: allowed hosts and origins, preflight requests, paths that are almost
--- right.

local M = {}

local ALLOWED_HEADERS = "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch," ..
  "X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os," ..
  "X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime," ..
  "X-Stainless-Runtime-Version,X-Stainless-Timeout"

local SCHEMES = { "app://", "file://", "tauri://", "vscode-webview://", "vscode-file://" }
local LOCAL_NAMES = { localhost = true, ["127.0.0.1"] = true, ["0.0.0.0"] = true }
local LOCAL_ENDS = { ".localhost", ".local", ".internal" }

local function starts(text, with) return text:sub(1, #with) == with end

local function is_origin_known(origin)
  local rest = origin:match "^https?://(.*)$"
  if rest then return LOCAL_NAMES[rest] or LOCAL_NAMES[rest:match "^(.-):.*$"] or false end
  for _, scheme in ipairs(SCHEMES) do if starts(origin, scheme) then return true end end
  return false
end

local function without_port(host)
  return host:match "^%[(.*)%]:%d*$" or host:match "^([^:]*):%d*$" or host
end

-- An address that only machines nearby have, or this one.
local function is_private(host)
  local a, b = host:match "^(%d+)%.(%d+)%.%d+%.%d+$"
  if a then
    a, b = tonumber(a), tonumber(b)
    return a == 127 or a == 10 or a == 0 and host == "0.0.0.0" or a == 192 and b == 168 or a == 172 and b >= 16 and b < 32
  end
  host = host:lower()
  return host == "::1" or host == "::" or host:find "^f[cd]%x%x:" ~= nil
end

local function is_host_known(host)
  host = host:lower()
  if host == "" or host == "localhost" then return true end
  for _, tail in ipairs(LOCAL_ENDS) do if host:sub(-#tail) == tail then return true end end
  return false
end

-- Headers for a page of a known origin; nil when there is none to be told, false when it is unknown.
local function cross_origin(req, host)
  local origin = req.headers and req.headers.origin
  if not origin or origin == "" or origin == "http://" .. host or origin == "https://" .. host then return nil end
  if not is_origin_known(origin:lower()) then return false end
  if req.method ~= "OPTIONS" then return { ["Access-Control-Allow-Origin"] = origin, Vary = "Origin" } end
  return {
    ["Access-Control-Allow-Origin"] = origin, ["Access-Control-Allow-Headers"] = ALLOWED_HEADERS,
    ["Access-Control-Allow-Methods"] = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS", ["Access-Control-Max-Age"] = "43200",
    Vary = { "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers" },
  }
end

local Added = {}
Added.__index = Added

local function both(a, b)
  local all = {}
  for k, v in pairs(a) do all[k] = v end
  for k, v in pairs(b or {}) do all[k] = v end
  return all
end

function Added:reply(status, headers, body) return self.res:reply(status, both(self.more, headers), body) end
function Added:start(status, headers) return self.res:start(status, both(self.more, headers)) end
function Added:write(bytes) return self.res:write(bytes) end
function Added:reset() return self.res:reset() end

--- Lets a request in, or answers it.
---@param req table
---@param res table
---@param allow string? the methods its path has, where this is not one of them
---@param guarded boolean? does it listen on loopback, so that other names are not for it?
---@return table? res the answer to use; nil when it was given
function M.admit(req, res, allow, guarded)
  local headers = req.headers
  local host = headers and headers.host or ""
  local more = headers and cross_origin(req, host)
  local allowed = allow and { Allow = allow } or {}
  if more == false then
    res:reply(403, allowed, "")
    return nil
  end
  if more and req.method == "OPTIONS" then
    res:reply(204, both(allowed, more))
    return nil
  end
  local name = without_port(host)
  if guarded and not is_private(name) then
    if not is_host_known(name) then
      res:reply(403, both(allowed, more), "")
      return nil
    elseif req.method == "OPTIONS" then
      res:reply(204, both(allowed, more))
      return nil
    end
  end
  if not more then return res end
  return setmetatable({ res = res, more = more }, Added)
end

local function redirect(req, res, status, reason, to, query)
  local target = to .. query
  local headers, body = { Location = target }, ""
  if req.method == "GET" or req.method == "HEAD" then
    headers["Content-Type"] = "text/html; charset=utf-8"
    body = ('<a href="%s">%s</a>.\n\n'):format(target:gsub("&", "&amp;"), reason)
  end
  return res:reply(status, headers, body)
end

--- Sends a client on to the plain spelling of its path: true when that was the answer.
---@param req table `target` is the path as it was sent
---@param res table
---@return boolean
function M.cleans(req, res)
  local target = req.target
  if not target or not (target:find("//", 1, true) or target:find("/.", 1, true)) then return false end
  local raw, query = target:match "^([^?]*)(.*)$"
  if raw == req.path or not (raw:find("//", 1, true) or raw:find "/%.%.?/" or raw:find "/%.%.?$") then return false end
  redirect(req, res, 307, "Temporary Redirect", req.path, query)
  return true
end

--- Sends a client on to a path that is known with a slash less or more at its end.
---@param req table
---@param res table
---@param has fun(path: string, method: string): boolean is that something the method can ask for?
---@return boolean
function M.redirects(req, res, has)
  local path = req.path
  local other = path:sub(-1) == "/" and path:sub(1, -2) or path .. "/"
  if M.cleans(req, res) then return true end
  if not has(other, req.method) then return false end
  local query = (req.target or ""):match "%?.*$" or ""
  if req.method == "GET" then
    redirect(req, res, 301, "Moved Permanently", other, query)
  else
    redirect(req, res, 307, "Temporary Redirect", other, query)
  end
  return true
end

return M
