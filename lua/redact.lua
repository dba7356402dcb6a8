--- Keeps secrets out of cassettes and journals: replaces the values of headers, URL parameters and body fields whose names mark
--- them as secret.

local json = require "core.json"
local secrets = require "core.secrets"
local texts = require "core.text"

local M = {}

M.MARK = "[redacted]"

--- Does a field of this name hold a secret?
---@param name string
---@return boolean
---
--- Example: `assert(redact.secret "X-API-Key")`
function M.secret(name) return secrets.named(name) end

--- Remembers the secrets it has seen, to remove them from other texts as well.
---@class core.redactor
local Redactor = {}
Redactor.__index = Redactor

---@return core.redactor
---
--- Example: `local redactor = redact.new()`
function M.new() return setmetatable({ seen = {}, list = {} }, Redactor) end

local function add(self, value, name)
  if #value >= 6 and not self.seen[value] and value ~= M.MARK then
    self.seen[value] = name and ("[secret %s]"):format(name) or M.MARK
    self.list[#self.list + 1] = value
  end
end

--- Add a secret value: as it is, without URL escapes, and with JSON escapes.
---@param value string
---@param name? string written in its place as "[secret NAME]"; default: M.MARK
function Redactor:learn(value, name)
  if value == M.MARK then return end
  local alone = value:match "^%s*%a+%s+(%S+)$" -- "Bearer x", "Basic x"
  if alone then self:learn(alone, name) end
  local plain = value:gsub("+", " "):gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
  for _, text in ipairs { value, plain } do
    local written = json.encode(text)
    if written and written ~= '"' .. text .. '"' then add(self, written:sub(2, -2), name) end
    add(self, text, name)
  end
end

-- ---- what this process knows ----------------------------------------------------------------------------------------------------

--- Values that are remembered at most; those that were learned first are forgotten.
M.MOST = 200

local known -- a redactor; nil: no secret was seen yet

--- Remember a secret of this process, such as the key of an endpoint, so that M.known finds it wherever it turns up.
---@param value string
---@param name? string written in its place
---
--- Example: `redact.learn(key, "GPU_API_KEY")`
function M.learn(value, name)
  known = known or M.new()
  known:learn(value, name)
  while #known.list > M.MOST do known.seen[table.remove(known.list, 1)] = nil end
end

--- Remember what is secret by its name among headers ("Name: value").
---@param headers string[]|nil
---
--- Example: `redact.learn_headers(endpoint.headers)`
function M.learn_headers(headers)
  for _, line in ipairs(headers or {}) do
    local name, value = line:match "^([^:]+):%s*(.*)$"
    if name and M.secret(name) then M.learn(value) end
  end
end

--- A text without the secrets that this process has seen: what is written for people and for other programs goes through it.
---@param text string
---@return string
---
--- Example: `stderr:write(redact.known(line))`
function M.known(text) return known and known:text(text) or text end

--- Forget them, so that a test does not depend on the one before.
function M.forget() known = nil end

-- ---- one text after the other ---------------------------------------------------------------------------------------------------

--- Headers that hold a URL.
M.URLS = { location = true, ["content-location"] = true, referer = true, origin = true, link = true, refresh = true }

--- Redact a "Name: value" line.
function Redactor:header(line)
  local name, value = line:match "^([^:]+):%s*(.*)$"
  if name and M.URLS[name:lower()] then return name .. ": " .. self:url(value) end
  if not name or not M.secret(name) then return line end
  self:learn(value)
  return name .. ": " .. M.MARK
end

--- Redact a URL: user and password, and the query.
function Redactor:url(url)
  url = url:gsub("^(%a[%w+.-]*://)([^/?#@]*)@", function(scheme, who)
    self:learn(who:match ":(.*)$" or who)
    return scheme .. M.MARK .. "@"
  end)
  return (url:gsub("([?&])([^=&#]+)=([^&#]*)", function(mark, name, value)
    if not M.secret(name) then return nil end
    self:learn(value)
    return ("%s%s=%s"):format(mark, name, M.MARK)
  end))
end

--- Redact the fields of a decoded body in place. The second result says whether there was a secret.
function Redactor:fields(value)
  local found = false
  for name, inner in next, value do
    if type(inner) == "table" then
      local _, below = self:fields(inner)
      found = found or below
    elseif type(name) == "string" and type(inner) == "string" and M.secret(name) then
      self:learn(inner)
      value[name], found = M.MARK, true
    end
  end
  return value, found
end

--- Replace every secret seen so far in a text.
function Redactor:text(text)
  for _, value in ipairs(self.list) do
    local from, to = text:find(value, 1, true)
    local mark = self.seen[value]
    while from do
      text = text:sub(1, from - 1) .. mark .. text:sub(to + 1)
      from, to = text:find(value, from + #mark, true)
    end
  end
  return text
end

--- Take out of what people and models have written what looks like a secret: the words that do; all of it where it takes several
--- words to see one ("the password is ...").
---@param text string
---@return string
---
--- Example: `assert(redactor:prose "use sk-abcdefghijklmnop1234" == "use [redacted]")`
function Redactor:prose(text)
  text = self:text(text)
  if not secrets.like(text) then return text end
  local found = false
  local masked = text:gsub("%S+", function(word)
    if not secrets.like(word) then return nil end
    found = true
    return M.MARK
  end)
  if found and not secrets.like(masked) then return masked end
  return M.MARK
end

--- A copy of a value whose texts are UTF-8: what is none is mended, as other programs read it.
---@param value any plain data
---@return any
---
--- Example: `local line = json.encode(redact.valid(record))`
function M.valid(value)
  if type(value) == "string" then return texts.valid(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for k, v in next, value do copy[M.valid(k)] = M.valid(v) end
  return copy
end

--- A value as JSON, without what is secret by its name.
---@param value any
---@param redactor? core.redactor
---@return string|nil text nil: it cannot be written
---
--- Example: `assert(redact.json { api_key = "xyzzy-plugh" } == '{"api_key":"[redacted]"}')`
function M.json(value, redactor)
  local text = json.encode(value) or json.encode(M.valid(value))
  if not text then return nil end
  redactor = redactor or M.new()
  local copy = json.decode(text)
  if type(copy) == "table" then text = json.encode((redactor:fields(copy))) or text end
  return redactor:text(text)
end

return M
