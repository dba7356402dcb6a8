-- Addresses of model servers, in the notation of OLLAMA_HOST.

local M = {}

-- host:port as Go's net.SplitHostPort reads it; nil when there is no port or the text is ambiguous.
local function split_host_port(text)
  local host, port = text:match "^%[([^%[%]]*)%]:([^:%[%]]*)$"
  if host then return host, port end
  return text:match "^([^:%[%]]*):([^:%[%]]*)$"
end

local function good_port(text)
  local n = text:find "^%d+$" and math.tointeger(tonumber(text))
  return n and n >= 1 and n <= 65535 and n or nil
end

-- Text with several colons and no brackets, such as ::1. The rest of the check is the connection's.
local function may_be_ipv6(host)
  local address = host:match "^([^%%]*)%%.+$" or host
  local _, colons = address:gsub(":", "")
  if address:find "[^%x:.]" then return false end
  return address:find("::", 1, true) ~= nil or colons == (address:find(".", 1, true) and 6 or 7)
end

--- Read an address the way Ollama reads OLLAMA_HOST: port 11434 unless a scheme says 80 or 443, bare
--- "ollama.com" means https. Addresses that mean "every interface" become loopback, since no client can
--- connect to them. Unlike Ollama, which takes its default for a port that is none, this is a problem:
--- the next error would name a server that nobody asked for.
---@param text string
---@return string|nil url "scheme://host:port/path" without a trailing slash
---@return string? problem what is wrong with the text
---
--- Example: `local url = addresses.parse "10.0.0.7:11434"`
function M.parse(text)
  text = text:match "^%s*(.-)%s*$":gsub("^[\"']+", ""):gsub("[\"']+$", ""):match "^%s*(.-)%s*$"
  local scheme, rest = text:match "^(.-)://(.*)$"
  local port = "11434"
  if not scheme then
    scheme, rest = "http", text
    if text == "ollama.com" then scheme, port = "https", "443" end
  else
    scheme = scheme:lower()
    if scheme == "http" then port = "80" elseif scheme == "https" then port = "443"
    else return nil, ("'%s' is no scheme: http or https"):format(scheme) end
  end
  local authority, path = rest:match "^([^/]*)(.*)$"
  if (authority .. path):find "[%s%c\127\"<>\\^`{|}]" or authority:find "[@?#]" then
    return nil, ("'%s' is no address"):format(text)
  end
  local host, given = split_host_port(authority)
  if host then
    if given ~= "" then port = good_port(given) end
    if not port then return nil, ("'%s' in '%s' is no port: a number from 1 to 65535"):format(given, text) end
  else
    host = authority:gsub("^%[", ""):gsub("%]$", "")
  end
  if host == "" or host == "0.0.0.0" then host = "127.0.0.1" elseif host == "::" then host = "::1" end
  if host:find "[%[%]]" then return nil, ("'%s' is no address"):format(text) end
  if host:find ":" then
    if not may_be_ipv6(host) then return nil, ("'%s' is no address: more than one ':'"):format(text) end
    host = "[" .. host .. "]"
  end
  return ("%s://%s:%d%s"):format(scheme, host, tonumber(port), (path:gsub("/+$", "")))
end

return M
