--- Keeps secrets out of all that leaves: replaces the values of headers, URL parameters and body fields whose names mark
--- them as secret.

local json = require "core.json"
local scopes = require "core.scope"
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

---@param careful? boolean plain words are no secrets, and none is put back
---@return core.redactor
---
--- Example: `local redactor = redact.new()`
function M.new(careful) return setmetatable({ seen = {}, list = {}, parts = {}, named = {}, careful = careful }, Redactor) end

--- Bytes of the shortest value that is looked for: shorter ones are parts of other words.
local SHORTEST <const> = 6

-- With many values, looking for each in each text would cost more than all else that a line of the log does. So the first parts of
-- values are kept by their bytes, and a text is looked at in steps: PART bytes of every STEP. A value of SHORTEST bytes or more
-- that stands in it has one of its first STEP parts at such a place, since STEP + PART - 1 <= SHORTEST.
local PART <const>, STEP <const> = 3, 4
--- From so many values on the steps cost less.
local MANY <const> = 48

--- f(parts, bytes as a number, value) for each of its first parts.
local function each_part(self, value, f)
  for at = 1, STEP do
    local a, b, c = value:byte(at, at + PART - 1)
    f(self.parts, a << 16 | b << 8 | c, value)
  end
end

local function add_part(parts, part, value)
  local held = parts[part]
  if held then held[value] = true else parts[part] = { [value] = true } end
end

local function drop_part(parts, part, value)
  local held = parts[part]
  if not held then return end
  held[value] = nil
  if next(held) == nil then parts[part] = nil end
end

local function add(self, value, name)
  if #value < SHORTEST or value == M.MARK then return end
  local list = self.list
  if not self.seen[value] then
    self.seen[value] = name and ("[secret %s]"):format(name) or M.MARK
    list[#list + 1] = value
    each_part(self, value, add_part)
  elseif self.careful and list[#list] ~= value then -- the newest is forgotten last
    for i, other in ipairs(list) do
      if other == value then
        table.remove(list, i)
        list[#list + 1] = value
        break
      end
    end
  end
end

--- A secret with a name, which is put back where a run is replayed.
local function remember(self, value, mark)
  if #value < SHORTEST then return end
  for _, one in ipairs(self.named) do
    if one[1] == value then return end
  end
  self.named[#self.named + 1] = { value, mark }
end

--- A word such as "ollama", which servers that want any key are given: it is part of many texts, and no secret.
local function is_word(value) return #value < 12 and not value:find "%A" end

--- Add a secret value: as it is, without URL escapes, and with JSON escapes.
---@param value string
---@param name? string written in its place as "[secret NAME]"; default: M.MARK
function Redactor:learn(value, name)
  value = value:gsub("^%s*%a+%s+", "") -- "Bearer x", "Basic x"
  if value == M.MARK or self.careful and is_word(value) then return end
  local plain = value:gsub("+", " "):gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end)
  if name and not self.careful then remember(self, value, ("[secret %s]"):format(name)) end
  for _, text in ipairs { value, plain } do
    local written = json.encode(text)
    if written and written ~= '"' .. text .. '"' then add(self, written:sub(2, -2), name) end
    add(self, text, name)
  end
end

-- ---- what this process knows ----------------------------------------------------------------------------------------------------

-- Journals know the secrets of their run alone: what is in them must not depend on what else the process did. Whatever else leaves
-- for people and for other programs (the log, traces, figures, words of errors) is freed of all that the process has seen.

--- Values that are remembered at most of those that pass through, such as arguments of tools; those that were learned first are
--- forgotten. What the process was set up with is kept apart, so that nobody can push it out.
M.MOST = 200
--- The same of what the process was set up with, beside variables of the environment: what comes beyond is remembered as what
--- passes through is, which is said once.
M.KEPT = 1000

local passing -- a redactor of what passes through; nil: no secret was seen yet
local lasting -- one of what is never forgotten: variables of the environment, keys of endpoints and collectors

local function trim()
  while #passing.list > M.MOST do
    local oldest = table.remove(passing.list, 1)
    passing.seen[oldest] = nil
    each_part(passing, oldest, drop_part)
  end
end

--- Is there room among what is never forgotten?
local function room()
  if #lasting.list < M.KEPT then return true end
  if not lasting.full then
    lasting.full = true
    scopes.tell(("more than %d keys of endpoints: of further ones the %d newest are kept out of what is written")
      :format(M.KEPT, M.MOST))
  end
  return false
end

local function learn(redactor, value, name)
  if name and name:find "[^%w_.-]" then name = nil end
  if value:find "%s" then add(redactor, value, name) end -- as a whole, before what follows its first word
  redactor:learn(value, name)
end

--- Remember a secret that passes through this process, so that M.known finds it wherever it turns up.
---@param value string
---@param name? string written in its place
---
--- Example: `redact.learn(arguments.password, "password")`
function M.learn(value, name)
  passing = passing or M.new(true)
  learn(passing, value, name)
  trim()
end

--- Remember a secret that this process was set up with, such as the key of an endpoint, until it ends.
---@param value string
---@param name? string written in its place
---
--- Example: `redact.keep(key, "GPU_API_KEY")`
function M.keep(value, name)
  lasting = lasting or M.new(true)
  if room() then return learn(lasting, value, name) end
  M.learn(value, name)
end

local variables -- a redactor of those that are variables of the environment

--- Remember a secret variable of the environment: whatever reads it again finds it under the same name, with whatever value.
---@param value string
---@param name string
---
--- Example: `redact.learn_variable(value, "GPU_API_KEY")`
function M.learn_variable(value, name)
  variables, lasting = variables or M.new(true), lasting or M.new(true)
  variables:learn(value, name)
  learn(lasting, value, name) -- there are not more of them than the environment has
end

--- A text with the names of secret variables in their place: the same text in whichever process, whatever their values.
---@param text string
---@return string
---
--- Example: `local key = redact.variables(request)`
function M.variables(text) return variables and variables:text(text) or text end

--- The same of plain data. Changed in place.
---@param value any
---@return any
---
--- Example: `local request = redact.without_variables(json.decode(line))`
function M.without_variables(value) return variables and variables:texts(value) or value end

--- Remember what is secret by its name among headers ("Name: value").
---@param headers string[]
---@param keep? boolean until the process ends: they are of its settings
---
--- Example: `redact.learn_headers(endpoint.headers, true)`
function M.learn_headers(headers, keep)
  local remembered = keep and M.keep or M.learn
  for _, line in ipairs(headers) do
    local name, value = line:match "^([^:]+):%s*(.*)$"
    if name and M.secret(name) then
      remembered(value)
      if value:find("=", 1, true) then -- a cookie: each of its values
        for part in value:gmatch "=([^;]+)" do remembered(part) end
      end
    end
  end
end

--- Remember what is secret in a URL: a password, values of its query by their names.
---@param url string
---@param keep? boolean until the process ends: it is of its settings
---
--- Example: `redact.learn_url(q.url)`
function M.learn_url(url, keep)
  if keep then
    lasting = lasting or M.new(true)
    if room() then
      lasting:url(url)
      return
    end
  end
  passing = passing or M.new(true)
  passing:url(url)
  trim()
end

--- `copies`: of tables that were met before, as one may be in several places, and in itself.
local function mask(name, value, copies)
  if type(value) == "table" then
    local copy = copies[value]
    if copy then return copy end
    copy = setmetatable({}, getmetatable(value))
    copies[value] = copy
    for key, inner in next, value do copy[key] = mask(name, inner, copies) end
    return copy
  end
  local text = value
  if type(value) == "number" then -- no number is a key of an API: it is one of a row, or a count
    text = not secrets.generic(name) and tostring(value) or nil
  end
  if not secrets.is(name, text) then return value end
  M.learn(text, name)
  return M.MARK
end

--- What a field holds, unless its name says that it is a secret: then a mark, also in tables below it, and it is remembered.
---@param name any
---@param value any
---@return any
---
--- Example: `assert(redact.field("tokens", { "correct-horse-17" })[1] == redact.MARK)`
function M.field(name, value)
  if type(name) ~= "string" or type(value) == "boolean" then return value end
  if type(value) == "table" then name = secrets.one_of(name) end -- tokens = { ... }: each is a token
  return secrets.named(name) and mask(name, value, {}) or value
end

--- Remember what is secret by its name in a table, at any depth.
---@param fields table
---@param met? table<table, true> tables that were looked into before
---
--- Example: `redact.learn_fields { password = "correct horse" }`
function M.learn_fields(fields, met)
  met = met or {}
  if met[fields] then return end
  met[fields] = true
  for name, value in next, fields do
    if M.field(name, value) == value and type(value) == "table" then M.learn_fields(value, met) end
  end
end

--- Passwords in the addresses of a text, whoever wrote them, and values of their queries that are secret by their names.
local function addresses(text)
  text = text:gsub("(%a[%w+.-]*://[^%s/?#@:\"']*:)[^%s/?#@\"']+@", "%1" .. M.MARK:gsub("%%", "%%%%") .. "@")
  return (text:gsub("([?&])([%w_.-]+)=([^%s&#\"'<>]+)", function(mark, name, value)
    if not M.secret(name) or value == M.MARK then return nil end
    return ("%s%s=%s"):format(mark, name, M.MARK)
  end))
end

--- A text without the secrets that this process has seen, and without passwords in addresses: what is written for people and for
--- other programs goes through it, each value before it is encoded, and before it is cut: in text that is JSON already, a secret
--- may be a part of the JSON itself, and of one that is cut nobody knows the rest.
---@param text string
---@return string
---
--- Example: `stderr:write(redact.known(line))`
function M.known(text)
  if lasting then text = lasting:text(text) end
  if passing then text = passing:text(text) end
  return text:find("://", 1, true) and addresses(text) or text
end

--- A copy of plain data whose texts are without them; its names and numbers stay, whatever a secret looks like.
---@param value any
---@return any
---
--- Example: `local line = json.encode(redact.clean(record))`
function M.clean(value)
  if type(value) == "string" then return M.known(value) end
  if type(value) ~= "table" then return value end
  local copy = setmetatable({}, getmetatable(value))
  for name, inner in next, value do copy[name] = M.clean(inner) end
  return copy
end

--- An error that is kept, in words without them: message, hint, and those of what caused it. Changed in place.
---@param err stoke.error
---@return stoke.error err
---
--- Example: `redact.error(err)`
function M.error(err)
  local at, depth = err, 0
  while type(at) == "table" and depth < 8 do
    for _, field in ipairs { "message", "hint", "traceback" } do
      local text = rawget(at, field)
      if type(text) == "string" then rawset(at, field, M.known(text)) end
    end
    at, depth = rawget(at, "cause"), depth + 1
  end
  return err
end

--- Forget them, so that a test does not depend on the one before.
function M.forget() passing, lasting, variables = nil, nil, nil end

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

--- What stands below a secret name, hidden and remembered. A number below a name that is also one of rows and counts stays.
local function hidden(self, name, value)
  if type(value) == "string" then
    self:learn(value)
    return M.MARK
  elseif type(value) == "number" then
    return secrets.generic(name) and value or M.MARK
  elseif type(value) == "table" then
    for key, inner in next, value do value[key] = hidden(self, name, inner) end
  end
  return value
end

--- As fields, for what is shown and for what is sent, where no digest depends on it: values of any shape below a secret name. For
--- plain data without a cycle; changed in place.
---@param value table
---@return table value
---
--- Example: `local shown = redactor:hide { passwords = { "correct horse" } }`
function Redactor:hide(value)
  for name, inner in next, value do
    local called = type(inner) == "table" and type(name) == "string" and secrets.one_of(name) or name
    if type(called) == "string" and M.secret(called) then
      value[name] = hidden(self, called, inner)
    elseif type(inner) == "table" then
      self:hide(inner)
    end
  end
  return value
end

local function replaced(text, from, to)
  local first, last = text:find(from, 1, true)
  while first do
    text = text:sub(1, first - 1) .. to .. text:sub(last + 1)
    first, last = text:find(from, first + #to, true)
  end
  return text
end

--- Is one of the values in the text? Most texts have none. Values with the same part are looked for once, however often it comes.
local function holds_one(self, text)
  local parts, looked = self.parts, nil
  for at = 1, #text - PART + 1, STEP do
    local a, b, c = text:byte(at, at + PART - 1)
    local values = parts[a << 16 | b << 8 | c]
    if values and not (looked and looked[values]) then
      looked = looked or {}
      looked[values] = true
      for value in next, values do
        if text:find(value, 1, true) then return true end
      end
    end
  end
  return false
end

--- Replace every secret seen so far in a text.
function Redactor:text(text)
  if #self.list >= MANY and not holds_one(self, text) then return text end
  for _, value in ipairs(self.list) do text = replaced(text, value, self.seen[value]) end
  return text
end

--- The texts of a value, each through f; changed in place, a text as the result.
local function each_text(value, f)
  if type(value) == "string" then return f(value) end
  if type(value) ~= "table" then return value end
  for key, inner in next, value do
    if type(inner) == "string" or type(inner) == "table" then value[key] = each_text(inner, f) end
  end
  return value
end

--- Plain data without them. Changed in place: what is JSON is decoded first, since there a secret may look like a piece of it.
---@param value any
---@return any
---
--- Example: `local body = json.encode(redactor:texts(json.decode(text)))`
function Redactor:texts(value)
  return each_text(value, function(text) return self:text(text) end)
end

--- Plain data with the names of secrets in the place of those that have one. Changed in place.
---@param value any
---@return any
---
--- Example: `local kept = redactor:conceal(plain.copy(answer))`
function Redactor:conceal(value)
  return each_text(value, function(text)
    for _, one in ipairs(self.named) do text = replaced(text, one[1], one[2]) end
    return text
  end)
end

--- The same the other way: secrets in the place of their names. Changed in place.
---@param value any
---@return any
---
--- Example: `local answer = redactor:reveal(plain.copy(kept))`
function Redactor:reveal(value)
  return each_text(value, function(text)
    if not text:find("[secret ", 1, true) then return text end
    for _, one in ipairs(self.named) do text = replaced(text, one[2], one[1]) end
    return text
  end)
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
  if type(copy) == "table" then redactor:hide(copy) end
  copy = each_text(copy, function(part) return M.known(redactor:text(part)) end)
  return json.encode(copy) or json.encode(M.valid(copy))
end

return M
