--- Who may look at a page, and who may act on it.
---
--- The link of a page ends in a token. Who has it may act. On loopback everybody on this machine may look, unless the page is
--- `private`; an address that others reach shows nothing without the token, unless it is `public`. What a browser does on behalf
--- of a page elsewhere is refused: it cannot lie about Origin, nor about Host, the name by which it reached us (which a page
--- elsewhere may have pointed at this machine).

local errors = require "core.errors"
local hash = require "core.hash"
local keyfile = require "core.keyfile"
local requests = require "stoke.http.request"

local M = {}

---@class stoke.page.guard
---@field token string what the link ends in
---@field wanted string digest of the token
---@field private boolean nobody looks without the token
---@field is_ours? fun(host: string): boolean is it a name this machine may be asked by? nil: any is
---@field who string the function that its options are of
local Guard = {}
Guard.__index = Guard

--- Characters that a token has at least: less can be tried out.
local SHORTEST <const> = 16

local function token_of(options, who)
  local token, path = options.token, options.token_file
  if token and path then errors.argument("%s: token or token_file, not both", who) end
  if path then
    local folder, name = path:match "^(.*)/([^/]+)$"
    if not folder then folder, name = ".", path end
    return errors.check(keyfile.make(folder == "" and "/" or folder, name))
  end
  if not token then return keyfile.secret() end
  if #token < SHORTEST or token:find "[^%w_-]" then
    errors.raise("argument", ("%s: the token must have at least %d letters, digits, _ or -"):format(who, SHORTEST),
      { hint = "without one a new one is made at each start; token_file names a file that one is kept in" })
  end
  return token
end

--- A guard for the options of a page, or of another function that takes them.
---@param options { token?: string, token_file?: string, hosts?: string[], public?: boolean, private?: boolean, address?: string,
---  mem?: string }
---@param who? string that function ("stoke.page")
---@return stoke.page.guard
---Raises `argument` for a token that is too short, or a host that is no text; `denied` when others may read the file of the token;
---`os`.
---
--- Example: `local guard = guards.new { token_file = "page.key" }`
function M.new(options, who)
  who = who or "stoke.page"
  local token, hosts = token_of(options, who), {}
  errors.list(who .. ": hosts", options.hosts or {})
  for i, host in ipairs(options.hosts or {}) do
    if type(host) ~= "string" then errors.argument("%s: hosts[%d] must be a text", who, i) end
    hosts[host:lower()] = true
  end
  if options.public and options.private then errors.argument("%s: public or private, not both", who) end
  local near = not options.address or requests.is_loopback(options.address)
  return setmetatable({ token = token, wanted = hash.sha256(token), private = options.private or not near and not options.public,
    is_ours = requests.judge(hosts, options), who = who }, Guard)
end

--- The name is of the one who asks: a command has a flag for it where it says so.
local STRANGE <const> = "%s is no name of this machine: ask by localhost or 127.0.0.1, or list it with hosts = { \"%s\" } of %s%s"
local FLAG <const> = { ["stoke.page"] = " (stoke page --host %s)" }
local ELSEWHERE = "a page of %s may not ask here"

--- Did the request come from another page than ours?
local function is_elsewhere(headers, host)
  local origin, site = headers.origin, headers["sec-fetch-site"]
  if origin and origin:lower() ~= "http://" .. (host or ""):lower() then return origin end
  if site and site ~= "same-origin" and site ~= "none" and headers["sec-fetch-mode"] ~= "navigate" then return "another site" end
  return nil
end

--- Judge a request.
---@param req stoke.http.incoming
---@return boolean|nil may whether it may act; nil: it is refused
---@return integer|nil status
---@return string|nil why
---
--- Example: `local may, status, why = guard:judge(req)`
function Guard:judge(req)
  local headers = req.headers
  local host = headers.host
  if self.is_ours and host and not self.is_ours(host) then
    local name = host:gsub(":%d*$", "")
    return nil, 403, STRANGE:format(host, name, self.who, (FLAG[self.who] or ""):format(name))
  end
  local other = is_elsewhere(headers, host)
  if other then return nil, 403, ELSEWHERE:format(other) end
  local said = headers.authorization and headers.authorization:match "^[Bb]earer +(%g+)%s*$"
  return said ~= nil and hash.sha256(said) == self.wanted -- the digests tell nothing by how long they take to compare
end

return M
