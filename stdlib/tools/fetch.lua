--- A tool that reads web pages: http_fetch. It reaches public addresses alone (stoke.http, option `public`), whatever URL a
--- model, or a page it has read, comes up with; each redirect is judged again.
---
---     local fetch = require "stoke.tools.fetch"
---     local tools = { fetch.http_fetch { hosts = { "*.wikipedia.org", "docs.example.org" } } }

local errors = require "core.errors"
local charset = require "stoke.tools.fetch.charset"
local html = require "stoke.tools.fetch.html"
local http = require "stoke.http"
local texts = require "core.text"
local tool = require "stoke.tool"
local urls = require "stoke.tools.fetch.url"

local M = {}

local OPTIONS = {
  allow = "table", hosts = "table", max_bytes = "number", timeout = true, max_redirects = "number", max_output = "number",
  resolve = "table", name = "string", description = "string", needs_approval = true,
}
local ACCEPT = "text/html, application/xhtml+xml, application/json;q=0.9, text/*;q=0.8, */*;q=0.1"
local FOLLOWED = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local NOTHING = "(nothing to read there)"
local UNREAD = 16 << 20 -- bytes that may have come already when the reading stops

local ADVICE = {
  [401] = "it wants a login, which this tool has not", [403] = "it is closed to this tool; look for another source",
  [404] = "check the URL, or look for another page", [410] = "the page is gone; look for another one",
  [429] = "it was asked too often; wait, or use another source",
}

-- ---- options ----------------------------------------------------------------------------------------------------------------

local function whole(value, what, least)
  local n = value and math.tointeger(value)
  if value and not (n and n >= least) then errors.argument("http_fetch: %s must be a whole number from %d", what, least) end
  return n
end

--- Patterns "name" and "*.name", in lower case.
local function host_list(hosts)
  if not hosts then return nil end
  local out = {}
  for i, entry in ipairs(hosts) do
    local name = type(entry) == "string" and entry:lower():gsub("%.$", "")
    if not name or not (name:find "^%*?%.?[%w._-]+$" or name:find "^%[[%x:.]+%]$") or name:find "^%*[^.]" then
      errors.argument("http_fetch: hosts[%d] must be a host name, or \"*.name\" for all below it, got %s", i,
        errors.describe(entry))
    end
    out[i] = name
  end
  if #out == 0 then errors.argument "http_fetch: hosts is empty, so that nothing could be asked" end
  return out
end

local function settings(options)
  options = errors.options(options, OPTIONS, "http_fetch")
  return {
    allow = options.allow, resolve = options.resolve, hosts = host_list(options.hosts),
    max_bytes = whole(options.max_bytes, "max_bytes", 1) or 1 << 20,
    max_redirects = whole(options.max_redirects, "max_redirects", 0) or 5,
  }
end

-- ---- one page ---------------------------------------------------------------------------------------------------------------

local function permitted(hosts, host)
  for _, entry in ipairs(hosts) do
    local below = entry:match "^%*(%..*)$"
    if host == entry or (below and #host > #below and host:sub(-#below) == below) then return true end
  end
  return false
end

local function check_host(set, url, from)
  if not set.hosts or permitted(set.hosts, url.host) then return end
  errors.raise("denied", ("%s is not among the hosts this tool may ask: %s%s"):format(url.host, table.concat(set.hosts, ", "),
    from and (" (after a redirect from %s)"):format(from.text) or ""))
end

--- What came, up to max_bytes; true when there was more.
local function read(res, max)
  local parts, size = {}, 0
  for bytes in res:chunks() do
    parts[#parts + 1] = bytes
    size = size + #bytes
    if size > max then break end
  end
  local body = table.concat(parts)
  return body:sub(1, max), #body > max
end

local HTML = { ["text/html"] = true, ["application/xhtml+xml"] = true }
local TEXT = {
  ["application/json"] = true, ["application/xml"] = true, ["application/javascript"] = true, ["application/x-ndjson"] = true,
  ["application/ndjson"] = true, ["application/yaml"] = true, ["application/x-yaml"] = true, ["application/toml"] = true,
  ["application/sql"] = true, ["application/x-javascript"] = true, ["message/rfc822"] = true,
}

--- "html", "text", or nil and the name of what it is.
local function kind_of(content_type)
  if content_type == "" then return "unknown" end
  local media = content_type:match "^%s*([^%s;,]+)" or ""
  media = media:lower()
  if HTML[media] then return "html" end
  if TEXT[media] or media:find "^text/" or media:find "%+json$" or media:find "%+xml$" and media ~= "image/svg+xml" then
    return "text"
  end
  return nil, media
end

--- A server that does not say what it sends is believed to send text, unless it shows otherwise.
local function guess(url, body)
  local start = body:sub(1, 512):lower()
  if body:sub(1, 4096):find("\0", 1, true) then
    errors.raise("tool", ("%s is no text, and its server does not say what it is; http_fetch reads HTML, JSON and text"):format(
      url.text))
  end
  return start:find "^%s*<!doctype html" and "html" or start:find "<html[%s>]" and "html" or "text"
end

local function decode(url, body, kind, content_type)
  local name = content_type:match "[Cc][Hh][Aa][Rr][Ss][Ee][Tt]%s*=%s*[\"']?([%w_.:-]+)" or kind == "html" and charset.of_page(body)
  local out = charset.decode(body, name or nil)
  if not out then errors.raise("tool", ("%s is in the charset %s, which http_fetch cannot read"):format(url.text, name)) end
  return out
end

--- The page as text, its title first.
local function readable(url, body, content_type)
  local kind = kind_of(content_type)
  if kind == "unknown" then kind = guess(url, body) end
  local content, title = decode(url, body, kind, content_type), ""
  if kind == "html" then
    content, title = html.text(content, url)
  end
  if title ~= "" then return content == "" and title or title .. "\n\n" .. content end
  return content:find "%S" and content or NOTHING
end

--- The first line of what a server says about its refusal.
local function first_line(url, body, content_type)
  local ok, said = pcall(readable, url, body, content_type)
  if not ok or not kind_of(content_type) or said == NOTHING then return nil end
  local line = said:match "%S[^\r\n]*"
  return line and texts.valid(line:sub(1, 200)):gsub("%c", " "):gsub(" +$", "") or nil
end

local function raise_status(url, res, body, content_type)
  local said = first_line(url, body, content_type)
  local advice = ADVICE[res.status] or res.status >= 500 and "the server has trouble; try later, or another source" or nil
  errors.raise("http", ("%s answered %d%s%s"):format(url.text, res.status, said and ": " .. said or "", advice and
    ("; " .. advice) or ""), { status = res.status, retryable = false })
end

--- Ask for one URL, without following.
local function ask(set, url, first)
  local ok, res = pcall(http.get, url.text, {
    public = true, allow = set.allow, resolve = set.resolve, max_redirects = 0, raise = false, stream = "bytes",
    max_bytes = set.max_bytes + UNREAD, headers = { Accept = ACCEPT },
  })
  if ok then return res end
  if first ~= url and errors.is(res) and res.kind == "argument" then -- not the caller's
    errors.raise("protocol", ("%s redirects to what is no page of the web (%s)"):format(first.text, res.message), { cause = res })
  end
  error(res, 0)
end

--- Where an answer sends us; nil when it is the answer itself.
local function elsewhere(url, res)
  local location = FOLLOWED[res.status] and res.headers.location
  if not location then return nil end
  local target, why = urls.join(url, location)
  if target then return target end
  errors.raise("protocol", ("%s redirects to what is no page of the web (%s)"):format(url.text, why))
end

local function page(set, url, first)
  local res <close> = ask(set, url, first)
  local target = elsewhere(url, res)
  if target then return nil, target end
  local content_type = res.headers["content-type"] or ""
  local kind, media = kind_of(content_type)
  if not kind and res.status < 400 then
    errors.raise("tool", ("%s is %s; http_fetch reads HTML, JSON and text only"):format(url.text, texts.valid(media:sub(1, 100))))
  end
  local body, more = read(res, set.max_bytes)
  if res.status >= 400 then raise_status(url, res, body, content_type) end
  local out = readable(url, body, content_type)
  if first ~= url then out = ("redirected to: %s\n\n%s"):format(url.text, out) end
  return more and ("%s\n[cut: the first %d bytes of a longer page]"):format(out, set.max_bytes) or out
end

local function fetch(set, address)
  local first, why = urls.parse(address)
  if not first then errors.argument("http_fetch: '%s' is not a URL this tool can ask: %s", texts.printable(address, 100), why) end
  local url = first
  check_host(set, url)
  for _ = 0, set.max_redirects do
    local out, target = page(set, url, first)
    if out then return out end
    check_host(set, target, url)
    url = target
  end
  errors.raise("protocol", ("%s: more than %d redirects"):format(first.text, set.max_redirects))
end

-- ---- the tool ---------------------------------------------------------------------------------------------------------------

--- A tool that reads a web page as text: HTML without its tags, links as `text (url)`, JSON and text as they are. Only public
--- addresses are reached, and only with GET.
---@param options? { hosts?: string[], allow?: string[], max_bytes?: integer, timeout?: number|false, max_redirects?: integer }
---  hosts: the only ones that may be asked, names or "*.name" for all below it (default: any); allow: what is not public and
---  may be reached all the same, as for stoke.http; max_bytes: of a page that are read (1 MiB); timeout: seconds for all (30);
---  max_redirects (5); max_output: bytes a model reads (16384); resolve: as for stoke.http; name, description,
---  needs_approval: as for stoke.tool
---@return stoke.tool
---Raises `argument`. The tool raises `denied` for what is not public or not among `hosts`, `http` for a status of 400 or more,
---`tool` for what is no text, `argument` for what is no URL, and what stoke.http raises.
---
--- Example: `print(fetch.http_fetch():call { url = "https://example.org/" })`
function M.http_fetch(options)
  local set = settings(options)
  options = options or {}
  local timeout = options.timeout
  return tool {
    name = options.name or "http_fetch",
    description = options.description or "Read a public web page (HTML, JSON or text) and return it as text",
    params = { url = "string: http or https address of the page" },
    timeout = timeout == nil and 30 or timeout, max_output = options.max_output, needs_approval = options.needs_approval,
    idempotent = true,
    run = function(args) return fetch(set, args.url) end,
  }
end

return M
