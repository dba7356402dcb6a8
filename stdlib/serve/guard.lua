--- Who may ask: a token where one is set, and pages of the web only where they are listed.
---
--- On loopback without a token everybody on this machine may ask, whatever Bearer a client sends out of habit. What a browser does
--- on behalf of a page elsewhere is refused: it cannot lie about Origin, nor about Host, the name by which it reached us (which a
--- page may have pointed at this machine).

local errors = require "core.errors"
local hash = require "core.hash"
local keyfile = require "core.keyfile"
local requests = require "stoke.http.request"
local failures = require "stoke.serve.failures"

local M = {}

---@class stoke.serve.guard
---@field wanted? string digest of the token
---@field user string what stands for the token's owner; "" without one
---@field origins table<string, true>
---@field is_ours? fun(host: string): boolean is it a name this machine may be asked by? nil: any is
local Guard = {}
Guard.__index = Guard

--- Bytes that a token has at least: less can be tried out.
local SHORTEST <const> = 16

local function check_token(token)
  if #token < SHORTEST or token:find "[^%g]" then
    errors.raise("argument", ("stoke.serve: the token must have at least %d characters, without blanks"):format(SHORTEST),
      { hint = "token_file names a file that one is made in" })
  end
  return token
end

--- The token of the options: given, or of a file that its owner alone may read, made where it is not there.
local function token_of(options)
  if options.token and options.token_file then errors.argument "stoke.serve: token or token_file, not both" end
  if options.token then return check_token(options.token) end
  local path = options.token_file
  if not path then return nil end
  local folder, name = path:match "^(.*)/([^/]+)$"
  if not folder then folder, name = ".", path end
  return errors.check(keyfile.make(folder == "" and "/" or folder, name))
end

local function set_of(list, name)
  local set = {}
  for i, item in ipairs(list or {}) do
    if type(item) ~= "string" then errors.argument("stoke.serve: %s[%d] must be a text", name, i) end
    set[item:lower():gsub("/$", "")] = true
  end
  return set
end

--- The pages of `origins`, each as a browser writes it. "null" is what every sandboxed page has, also one of an attacker.
local function origins_of(list)
  local set = set_of(list, "origins")
  for origin in next, set do
    if origin ~= "*" and not origin:find "^%a[%w+.-]*://[^/%s?#]+$" then
      errors.raise("argument", ("stoke.serve: origins: %s is not the origin of a page"):format(origin),
        { hint = origin == "null" and "null is the origin of any page in a sandbox; list the page that holds it"
          or "scheme, host and port, such as https://chat.example, or * for any page" })
    end
  end
  return set
end

--- A guard for the options of a server.
---@param options { token?: string, token_file?: string, origins?: string[], hosts?: string[], address?: string, mem?: string }
---@return stoke.serve.guard
---Raises `argument` for an address that others reach and no token, for a host that is no text, and for an origin that no page
---can have; `denied` when others may read the file of the token; `os`.
---
--- Example: `local guard = guards.new { token_file = "serve.key", address = "0.0.0.0" }`
function M.new(options)
  local token = token_of(options)
  local address = options.address
  if address and not requests.is_loopback(address) and not token then
    errors.raise("argument", ("stoke.serve: %s can be reached from elsewhere, so that a token is needed"):format(address),
      { hint = "token_file = \"serve.key\" makes one; clients send it as a Bearer, or as their API key" })
  end
  local hosts = set_of(options.hosts, "hosts")
  local digest = token and hash.sha256(token)
  return setmetatable({ wanted = digest, user = digest and digest:sub(1, 16) or "",
    origins = origins_of(options.origins), is_ours = requests.judge(hosts, options) }, Guard)
end

-- ---- listed pages ---------------------------------------------------------------------------------------------------------------

--- A reply to a listed page: it may read it.
local Shared = {}

function Shared.__index(self, key)
  local own = Shared[key]
  if own ~= nil then return own end
  return self.res[key]
end

local function with(headers, more)
  local out = {}
  for name, value in next, headers or {} do out[name] = value end
  for name, value in next, more do out[name] = value end
  return out
end

function Shared:reply(status, headers, body) return self.res:reply(status, with(headers, self.more), body) end
function Shared:start(status, headers) return self.res:start(status, with(headers, self.more)) end
function Shared:write(bytes) return self.res:write(bytes) end
function Shared:finish() return self.res:finish() end
function Shared:reset() return self.res:reset() end

local function preflight(req, res, more)
  if req.headers["access-control-request-private-network"] then more["Access-Control-Allow-Private-Network"] = "true" end
  return res:reply(204, with(more, { ["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE",
    ["Access-Control-Allow-Headers"] = req.headers["access-control-request-headers"] or "Authorization, Content-Type",
    ["Access-Control-Max-Age"] = "600" }), "")
end

-- ---- one request ----------------------------------------------------------------------------------------------------------------

local UNKNOWN = "pages of %s may not ask here; list it under origins (stoke serve --origin %s)"
local NOWHERE = "pages without an origin of their own (sandboxed ones, files) may not ask here"
local STRANGE = "%s is no name of this machine; list it under hosts (stoke serve --host %s)"

--- Lets a request in, or refuses it.
---@param req stoke.http.incoming
---@param res stoke.http.reply
---@param refuse fun(res: table, failure: stoke.serve.failure) in the form of the protocol that was asked in
---@return table|nil res what to answer with; nil when it is answered
---
--- Example: `res = guard:admit(req, res, ollama.refuse)`
function Guard:admit(req, res, refuse)
  local headers = req.headers
  local origin, host = headers.origin, headers.host
  if self.is_ours and host and host ~= self.last then
    if not self.is_ours(host) then
      refuse(res, failures.new(403, STRANGE, host, host:gsub(":%d*$", "")))
      return nil
    end
    self.last = host -- most come to the name that the last one came to
  end
  if origin then
    if not self.origins["*"] and not self.origins[origin:lower()] then
      refuse(res, origin == "null" and failures.new(403, NOWHERE) or failures.new(403, UNKNOWN, origin, origin))
      return nil
    end
    local more = { ["Access-Control-Allow-Origin"] = origin, Vary = "Origin" }
    if req.method == "OPTIONS" then
      preflight(req, res, more)
      return nil
    end
    res = setmetatable({ res = res, more = more }, Shared)
  end
  if self.wanted then
    local said = headers.authorization and headers.authorization:match "^[Bb]earer +(%g+)%s*$"
    if not said or hash.sha256(said) ~= self.wanted then -- the digests tell nothing by how long they take to compare
      refuse(res, failures.new(401, "the token is missing or wrong"))
      return nil
    end
  end
  return res
end

return M
