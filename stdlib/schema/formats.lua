--- Validators for the values of `format`, written by hand: there is no regular expression engine.

local M = {}

local DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function date(s)
  local y, m, d = s:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  if not y then return false end
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  local days = DAYS[m]
  if m == 2 and y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0) then days = 29 end
  return days ~= nil and d >= 1 and d <= days
end

-- RFC 3339, full-time: an offset is part of it. A leap second only where UTC has one.
local function time(s)
  local h, m, sec, rest = s:match "^(%d%d):(%d%d):(%d%d)(.*)$"
  if not h then return false end
  h, m, sec = tonumber(h), tonumber(m), tonumber(sec)
  rest = rest:match "^%.%d+(.*)$" or rest
  local offset = 0
  if rest ~= "Z" and rest ~= "z" then
    local sign, oh, om = rest:match "^([+-])(%d%d):(%d%d)$"
    if not sign or tonumber(oh) > 23 or tonumber(om) > 59 then return false end
    offset = (tonumber(oh) * 60 + tonumber(om)) * (sign == "+" and 1 or -1)
  end
  if h > 23 or m > 59 or sec > 60 then return false end
  return sec < 60 or (h * 60 + m - offset) % 1440 == 1439
end

local function date_time(s)
  local day, clock = s:match "^(.-)[Tt](.*)$"
  return day ~= nil and date(day) and time(clock)
end

local function ipv4(s)
  local parts = { s:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$" }
  if #parts ~= 4 then return false end
  for _, part in ipairs(parts) do
    if #part > 3 or tonumber(part) > 255 or #part > 1 and part:sub(1, 1) == "0" then return false end
  end
  return true
end

-- Groups of one side of the "::"; nil when it is none. Only the last may be an IPv4 address, which counts for two.
local function groups(s, last)
  if s == "" then return 0 end
  local count = 0
  for group, colon in (s .. ":"):gmatch "([^:]*)(:)" do
    count = count + 1
    if not group:find "^%x%x?%x?%x?$" then return nil end
    if colon == "" then return nil end
  end
  return last and count + 2 or count
end

local function ipv6(s)
  local head, tail = s:match "^(.*:)([^:]*%.[^:]*)$"
  if tail then -- ends as IPv4
    if not ipv4(tail) then return false end
    s = head:sub(-2) == "::" and head or head:sub(1, -2)
  end
  local wanted = tail and 6 or 8
  local left, right = s:match "^(.-)::(.*)$"
  if not left then return groups(s) == wanted end
  if right:find("::", 1, true) then return false end
  local a, b = groups(left), groups(right)
  return a ~= nil and b ~= nil and a + b < wanted
end

local function hostname(s)
  if #s == 0 or #s > 253 then return false end
  for label in (s .. "."):gmatch "([^.]*)%." do
    if #label > 63 or not label:find "^%w[%w-]*$" or label:sub(-1) == "-" then return false end
  end
  return true
end

local ATOM = "^[%w!#$%%&'*+/=?^_`{|}~.-]+$"

local function email(s)
  if #s < 64 and s:find "^[%w_+-]+%.?[%w_+-]+@%w+%.%w+$" then return true end -- most are so plain
  local name, domain = s:match '^(".*")@([^@]+)$'
  if name then
    if name:sub(2, -2):gsub("\\.", ""):find '[%c"\\]' then return false end
  else
    name, domain = s:match "^([^@]+)@([^@]+)$"
    if not name or not name:find(ATOM) or name:find("..", 1, true) or name:find "^%." or name:find "%.$" then return false end
  end
  local literal = domain:match "^%[(.*)%]$"
  if literal then return ipv4(literal) or ipv6(literal:match "^IPv6:(.*)$" or "") end
  return hostname(domain)
end

local function uri(s)
  if s:find "^https?://[%w.-]+[/?][%w%-._~:/?!$&()*+,;=@]*$" then return true end -- most are so plain
  local rest = s:match "^%a[%w+.-]*:(.*)$"
  if not rest or rest:find "[^%w%-._~:/?#%[%]@!$&'()*+,;=%%]" or rest:gsub("%%%x%x", ""):find "%%" then return false end
  local authority, path = rest:match "^//([^/?#]*)(.*)$"
  if authority then
    local host = authority:match "@(.*)$" or authority
    local literal, port = host:match "^%[(.*)%](.*)$"
    if literal then
      if not ipv6(literal) and not literal:find "^[vV]%x+%.[%w%-._~!$&'()*+,;=:]+$" then return false end
      host = "x" .. port
    end
    if host:find "[%[%]@]" or not host:find "^[^:]*:?%d*$" then return false end
    if authority:find "@.*@" or authority:match "^[^@]*@" and authority:match("^[^@]*@"):find "[%[%]]" then return false end
  end
  path = path or rest
  return not path:find "[%[%]]" and not path:find "#.*#"
end

local HEX4 = ("%x"):rep(4)
local UUID = ("^%s%s%%-%s%%-%s%%-%s%%-%s%s%s$"):format(HEX4, HEX4, HEX4, HEX4, HEX4, HEX4, HEX4, HEX4)

local function uuid(s) return #s == 36 and s:find(UUID) ~= nil end

--- format -> is the string one?
M.check = { date = date, time = time, ["date-time"] = date_time, email = email, hostname = hostname, ipv4 = ipv4, ipv6 = ipv6,
  uri = uri, uuid = uuid }

--- format -> how a message asks for it
M.words = {
  date = 'date such as "2026-01-31"', time = 'time such as "09:30:00Z"',
  ["date-time"] = 'date and time such as "2026-01-31T09:30:00Z"',
  email = "email address", hostname = "host name", ipv4 = "IPv4 address", ipv6 = "IPv6 address",
  uri = 'URL such as "https://example.com/"', uuid = "UUID",
}

--- format -> how a prompt names it
M.short = {
  date = "date YYYY-MM-DD", time = "time HH:MM:SSZ", ["date-time"] = "datetime YYYY-MM-DDTHH:MM:SSZ",
  email = "email address", hostname = "host name", ipv4 = "IPv4 address", ipv6 = "IPv6 address", uri = "URL", uuid = "UUID",
}

return M
