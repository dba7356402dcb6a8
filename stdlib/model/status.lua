--- Answers of servers that are no success, whatever their dialect: what a status means, how long to wait, where a redirect leads,
--- what a page or a text says for people.

local errors = require "core.errors"
local texts = require "core.text"

local M = {}

local clean, excerpt = texts.line, texts.excerpt

--- status -> { kind, retryable, what it is called }. A gateway that gave up waiting (504, 524) says nothing of the server, which
--- may be at work still: asking again by itself would add to its load.
M.STATUS = {
  [401] = { "auth", false, "unauthorized" }, [403] = { "auth", false, "forbidden" },
  [404] = { "http", false, "not found" }, [407] = { "auth", false, "the proxy wants a user and a password" },
  [408] = { "timeout", true, "request timeout" }, [413] = { "http", false, "the request is too large" },
  [429] = { "overloaded", true, "too many requests" }, [499] = { "incomplete", true, "the client left" },
  [500] = { "http", false, "internal server error" }, [502] = { "overloaded", true, "bad gateway" },
  [503] = { "overloaded", true, "service unavailable" }, [504] = { "timeout", true, "gateway timeout" },
  [524] = { "timeout", true, "gateway timeout" }, [529] = { "overloaded", true, "overloaded" },
}
M.OTHER = { "http", false }
--- Who says so may be at work still.
M.BEGAN = { [504] = true, [524] = true }
--- Who answers in HTML.
M.WHO = "a proxy or another program answered; check the address (stoke doctor)"

--- The value of a header, nil when there is none.
---@param head string|nil header lines
---@param wanted string in small letters
---@return string|nil
function M.header(head, wanted)
  for name, value in (head or ""):gmatch "([^:\n]+):[ \t]*([^\n]*)" do
    if name:lower() == wanted then return texts.trim(value) end
  end
end

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11, dec = 12 }

--- Seconds since 1970 of a date as HTTP writes it, in any of its three forms; nil for what is none.
local function date_of(text)
  local day, month, year, h, m, s = text:match "(%d%d?)[ -](%a%a%a)[ -](%d+) (%d%d):(%d%d):(%d%d) GMT"
  if not day then month, day, h, m, s, year = text:match "%a+ (%a%a%a) +(%d%d?) (%d%d):(%d%d):(%d%d) (%d%d%d%d)" end
  month, year = month and MONTHS[month:lower()], tonumber(year)
  if not month or not year or year > 9999 then return nil end
  if year < 100 then year = year + (year < 70 and 2000 or 1900) end
  local y = month <= 2 and year - 1 or year -- the year begins in March, so that its last day is the one that may be missing
  local days = (153 * ((month + 9) % 12) + 2) // 5 + day - 1 + 365 * y + y // 4 - y // 100 + y // 400 - 719468
  return days * 86400 + h * 3600 + m * 60 + s
end

local LONGEST_WAIT <const> = 86400

--- Seconds that Retry-After asks for, as a number or as a date (by the server's own clock, where it tells it).
---@param head string|nil header lines
---@return number|nil seconds
function M.retry_after(head)
  local value = M.header(head, "retry-after")
  if not value then return nil end
  local seconds = tonumber(value:match "^%d+$")
  if not seconds then
    local at = date_of(value)
    seconds = at and at - (date_of(M.header(head, "date") or "") or os.time())
  end
  return seconds and math.min(math.max(seconds, 0), LONGEST_WAIT)
end

--- Where a redirect leads, fit to be shown: no name of a user, no query.
local function moved_to(head)
  local location = M.header(head, "location")
  if not location or location == "" then return nil end
  return excerpt((location:gsub("[?#].*", ""):gsub("^(%a[%w+.-]*://)[^/]*@", "%1")), 200)
end

--- An answer that leads elsewhere.
---@param status integer
---@param fields table of the error
---@param q table the request
---@param head string|nil
---@return stoke.error
function M.redirect(status, fields, q, head)
  local to = moved_to(head)
  fields.hint = "check the scheme and path of the address (stoke doctor)"
  if not to then return errors.new("protocol", ("status %d instead of an answer"):format(status), fields) end
  fields.location = to
  local base = to:match "^https?://" and to:sub(-#q.path) == q.path and to:sub(1, -#q.path - 1)
  fields.hint = base and ("the server is at another address: set the endpoint, or OLLAMA_HOST, to %s"):format(base)
    or "is that the address that was meant? then set it as the endpoint's, or as OLLAMA_HOST"
  return errors.new("protocol", ("status %d instead of an answer: the server sends its clients to %s"):format(status, to), fields)
end

--- What a page says for people: its title, or what is left without its marks.
local function page_text(body)
  local title = body:sub(1, 20000):match "<[tT][iI][tT][lL][eE][^>]*>(.-)</"
  local text = clean(title or "")
  return excerpt(text ~= "" and text or body, 120)
end

--- An answer whose body says nothing in the dialect's own form.
---@param status integer 300 or more
---@param body string
---@param fields table of the error
---@param q table the request
---@param head string|nil header lines
---@param hints table<integer, string> by status
---@return stoke.error
function M.foreign(status, body, fields, q, head, hints)
  local known = M.STATUS[status] or M.OTHER
  if status < 400 then return M.redirect(status, fields, q, head) end
  fields.retryable, fields.began = known[2], M.BEGAN[status]
  fields.hint = hints[status]
  local said = ("status %d%s"):format(status, known[3] and (" (%s)"):format(known[3]) or "")
  if body:find "^%s*<" then
    fields.hint = fields.hint or M.WHO
    return errors.new(known[1], ("%s with HTML instead of JSON: %s"):format(said, page_text(body)), fields)
  end
  local text = excerpt(body, 120)
  if text == "" and hints.silent then fields.hint = hints.silent[status] or fields.hint end
  return errors.new(known[1], ("%s%s"):format(said, text ~= "" and ": " .. text or ""), fields)
end

return M
