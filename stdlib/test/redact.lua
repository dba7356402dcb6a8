--- Secrets are kept off a cassette: what headers, the queries of URLs and the fields of bodies hold under a name that says so.

local M = {}

M.MARK = "[redacted]"

--- Patterns of names, in lower case, whose values are secret.
local NAMES = { "^key$", "[-_]key$", "apikey$", "token$", "secret", "passw", "authorization", "cookie", "^auth$", "[-_]auth$",
  "signature$", "^sig$", "credential" }

--- Is what stands under this name a secret?
---@param name string
---@return boolean
---
--- Example: `assert(redact.secret "X-API-Key")`
function M.secret(name)
  name = name:lower()
  for _, pattern in ipairs(NAMES) do
    if name:find(pattern) then return true end
  end
  return false
end

--- Keeps the secrets it has seen, to find them again where nobody expects them.
---@class stoke.test.redactor
local Redactor = {}
Redactor.__index = Redactor

---@return stoke.test.redactor
---
--- Example: `local redactor = redact.new()`
function M.new() return setmetatable({ seen = {}, list = {} }, Redactor) end

--- A value that must not be written.
function Redactor:learn(value)
  value = value:gsub("^%s*%a+%s+", "") -- "Bearer x", "Basic x"
  if #value >= 6 and not self.seen[value] and value ~= M.MARK then
    self.seen[value] = true
    self.list[#self.list + 1] = value
  end
end

--- "Name: value" lines.
function Redactor:header(line)
  local name, value = line:match "^([^:]+):%s*(.*)$"
  if not name or not M.secret(name) then return line end
  self:learn(value)
  return name .. ": " .. M.MARK
end

--- A URL: user and password, and the query.
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

--- The fields of a decoded body; changed in place.
function Redactor:fields(value)
  for name, inner in next, value do
    if type(inner) == "table" then
      self:fields(inner)
    elseif type(name) == "string" and type(inner) == "string" and M.secret(name) then
      self:learn(inner)
      value[name] = M.MARK
    end
  end
  return value
end

--- A text with every secret seen so far taken out.
function Redactor:text(text)
  for _, value in ipairs(self.list) do
    local from, to = text:find(value, 1, true)
    while from do
      text = text:sub(1, from - 1) .. M.MARK .. text:sub(to + 1)
      from, to = text:find(value, from + #M.MARK, true)
    end
  end
  return text
end

return M
