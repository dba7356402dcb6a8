--- URLs as http_fetch takes them: read strictly, so that what is checked here and what is asked later are the same host, and
--- written in one form.

local M = {}

---@class stoke.tools.fetch.url
---@field scheme "http"|"https"
---@field host string lower case, no dot at its end; IPv6 in brackets
---@field port integer|nil when it is not the scheme's own
---@field path string path and query, begins with a slash
---@field text string all of it

local LENGTH_MAX = 4096

local PORTS = { http = 80, https = 443 }

local function escape(c) return ("%%%02X"):format(c:byte()) end

--- Path and query with everything percent-encoded that may not stand there; the fragment is left out.
local function clean(path)
  path = path:gsub("#.*$", ""):gsub("[^%w%-._~!$&'()*+,;=:@/?%%%[%]]", escape)
  if path:sub(1, 1) ~= "/" then path = "/" .. path end
  return path
end

local function read_host(authority)
  local host, port = authority:match "^(%[%x*:[%x:.]+%]):?(%d*)$"
  if not host then host, port = authority:match "^([%w._-]+):?(%d*)$" end
  if not host then
    if authority:find("@", 1, true) then return nil, "it has a user name before the host; leave out everything up to the @" end
    if authority:find "[\x80-\xff]" then return nil, "its host is not written in ASCII (xn--... is)" end
    return nil, "its host is no name or address"
  end
  if host:find("..", 1, true) or host:find "^%." then return nil, "its host is no name or address" end
  host = host:lower():gsub("%.$", "")
  if port == "" then return host end
  port = #port <= 5 and math.tointeger(tonumber(port)) or 0
  if port < 1 or port > 65535 then return nil, "its port is not from 1 to 65535" end
  return host, port
end

--- Read a URL.
---@param text string
---@return stoke.tools.fetch.url|nil
---@return string|nil why it is none
---
--- Example: `url.parse("HTTP://Example.org").text  --> "http://example.org/"`
function M.parse(text)
  if #text > LENGTH_MAX then return nil, ("it is longer than %d bytes"):format(LENGTH_MAX) end
  text = text:match "^ *(.-) *$"
  if text:find "%c" then return nil, "it has control characters in it" end
  local scheme, authority, path = text:match "^(%a+)://([^/?#]*)(.*)$"
  scheme = scheme and scheme:lower()
  if not PORTS[scheme] then return nil, "want http://host/... or https://host/..." end
  local host, port = read_host(authority)
  if not host then return nil, port end
  if port == PORTS[scheme] then port = nil end
  local url = { scheme = scheme, host = host, port = port, path = clean(path) }
  url.text = ("%s://%s%s%s"):format(scheme, host, port and ":" .. port or "", url.path)
  return url
end

--- Take "." and ".." out of a path.
local function settle(path)
  local rest, query = path:match "^([^?]*)(.*)$"
  local parts = {}
  for part in rest:gmatch "/([^/]*)" do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  if rest:find "/%.%.?$" then parts[#parts + 1] = "" end
  return "/" .. table.concat(parts, "/") .. query
end

--- Where a link or a redirect on a page leads.
---@param base stoke.tools.fetch.url of the page
---@param reference string absolute or relative
---@return stoke.tools.fetch.url|nil
---@return string|nil why it leads nowhere on the web
---
--- Example: `url.join(url.parse "http://example.org/a/b", "../c").text  --> "http://example.org/c"`
function M.join(base, reference)
  if #reference > LENGTH_MAX then return nil, ("it is longer than %d bytes"):format(LENGTH_MAX) end
  reference = reference:match "^%s*(.-)%s*$"
  if reference:find "^%a[%w+.-]*:" then return M.parse(reference) end
  if reference:find "^//" then return M.parse(base.scheme .. ":" .. reference) end
  local site = base.text:sub(1, #base.text - #base.path)
  local path = base.path:match "^[^?]*"
  reference = reference:gsub("#.*$", "")
  if reference == "" then
    path = base.path
  elseif reference:sub(1, 1) == "?" then
    path = path .. reference
  elseif reference:sub(1, 1) == "/" then
    path = settle(reference)
  else
    path = settle(path:match "^(.*/)" .. reference)
  end
  return M.parse(site .. path)
end

return M
