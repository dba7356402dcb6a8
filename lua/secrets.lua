--- Detects secrets that must not be stored: names of fields that hold secrets, and values that look like one. Cassettes and the
--- prompt's history use this one list.

local M = {}

--- Patterns of lower-case names whose values are secret.
local NAMES = { "^key$", "[-_]key$", "apikey$", "token$", "secret", "passw", "authorization", "cookie", "^auth$", "[-_]auth$",
  "signature$", "^sig$", "credential", "pwd$", "passphrase", "jwt", "bearer", "session[-_]?id$", "^sid$",
  "accesskey", "privatekey" }

--- Names that were judged, and how many: the same ones come again and again.
local judged, count = {}, 0
local JUDGED <const> = 1000

--- Does a field of this name hold a secret?
---@param name string
---@return boolean
function M.named(name)
  local known = judged[name]
  if known ~= nil then return known end
  local lower, found = name:lower(), false
  for _, pattern in ipairs(NAMES) do found = found or lower:find(pattern) ~= nil end
  if count >= JUDGED then judged, count = {}, 0 end
  judged[name], count = found, count + 1
  return found
end

--- Prefixes of keys by issuer, and the least number of characters after each.
local PREFIXES = { { "sk%-", 16 }, { "rk_live_", 10 }, { "sk_live_", 10 }, { "gh[opsru]_", 20 }, { "github_pat_", 20 },
  { "glpat%-", 16 },
  { "xox[abeprs]%-", 10 }, { "hf_", 20 }, { "AKIA", 16 }, { "ASIA", 16 }, { "AIza", 30 }, { "npm_", 30 }, { "pypi%-", 30 },
  { "gsk_", 20 }, { "dckr_pat_", 20 }, { "tvly%-", 16 }, { "ya29%.", 20 } }

local function has_issued_key(text)
  for _, prefix in ipairs(PREFIXES) do
    for word in text:gmatch("%f[%w]" .. prefix[1] .. "([%w_-]+)") do
      if #word >= prefix[2] then return true end
    end
  end
  return text:find "%f[%w]eyJ[%w_-]+%.[%w_-]+%.[%w_-]*" ~= nil -- a JSON web token
    or text:find("-----BEGIN [%u ]*PRIVATE KEY") ~= nil
end

--- A long mix of digits and letters of both cases: not a name that a person would choose.
local function random_looking(word)
  return #word >= 32 and word:find "%d" and word:find "%l" and word:find "%u" and true or false
end

--- Is the value of a secret field itself a secret: long enough, and not a reference to another place?
local function is_value(name, value)
  if #value < 6 or value:find "^%$" or value:find "^%b<>$" or value:find "^os%.getenv" then return false end
  local generic = name:lower():find "^key$" or name:lower():find "token$"
  return not generic or #value >= 16 or value:find "%d" ~= nil and #value >= 8
end

--- Does a field of this name hold a key or a token? These words have other meanings, too: a key of a table, a token of a text.
---@param name string
---@return boolean
---
--- Example: `assert(secrets.generic "api_key" and not secrets.generic "pin_password")`
function M.generic(name)
  local lower = name:lower()
  return lower:find "key$" ~= nil or lower:find "token$" ~= nil
end

--- The name of one value of a list: that of keys and tokens without its s.
---@param name string
---@return string
---
--- Example: `assert(secrets.one_of "api_keys" == "api_key")`
function M.one_of(name)
  local lower = name:lower()
  return (lower:find "keys$" or lower:find "tokens$") and name:sub(1, -2) or name
end

--- Is this the value of a secret: named so, long enough to be one, and no reference to another place?
---@param name string
---@param value any
---@return boolean
---
--- Example: `assert(secrets.is("api_key", "xyzzy-plugh") and not secrets.is("key", "user:1"))`
function M.is(name, value) return type(value) == "string" and M.named(name) and is_value(name, value) end

--- Assignments: name = "value", "name": "value", ("name", "value"), name=value, --name value, "name is value".
local ASSIGNMENTS = { "([%w_-]+)[\"']?%]?%s*[=:,]%s*[\"']([^\"']*)[\"']", "([%w_-]+)[\"']?%s*[=:]%s*([^%s\"',;(){}]+)",
  "%-%-([%w_-]+)[ =]([^%s\"']+)", "([%w_-]+)%s+is:?%s+([^%s\"']+)" }

local function has_assigned_secret(text)
  for _, pattern in ipairs(ASSIGNMENTS) do
    for name, value in text:gmatch(pattern) do
      if M.named(name) and is_value(name, value) then return true end
    end
  end
  for scheme, value in text:gmatch "%f[%a](%a+)%s+([%w._~+/=-]+)" do
    local coded = #value >= 8 and (value:find "[%d=]" or value:find "%l%u.*%l%u")
    if coded and (scheme == "Bearer" or scheme == "Basic") then return true end
  end
  return text:find "%a[%w+.-]*://[^%s/@:\"']*:[^%s/@\"']+@" ~= nil -- user:password@
end

--- Does the text seem to contain a secret? A heuristic: it misses a password that is a plain word in a sentence.
---@param text string
---@return boolean
function M.like(text)
  if #text < 8 then return false end
  if has_issued_key(text) or has_assigned_secret(text) then return true end
  for word in text:gmatch "[%w_+-]+" do
    if random_looking(word) and not word:find "^%l[%l%u]*%d*$" then return true end
  end
  return false
end

return M
