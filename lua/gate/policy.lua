--- The policy gate: one table that says which tools, paths, hosts and commands are allowed, asked about, or denied.
---
---   { allow = { tool = { "get_*" }, command = { "git status", "make *" } },
---     ask   = { tool = { "write_file" } },
---     deny  = { path = { "**/.env" }, host = { "*.internal" } },
---     otherwise = { host = "ask" } }           -- what no pattern of its kind fits; not given = allow
---
--- deny goes before ask, ask before allow. Whether a tool that needs approval is asked about is decided here, too: a pattern of
--- `allow` is the approval. Paths are judged by their names (absolute, `.` and `..` taken out), not by what links make of them:
--- the jail of the file tools is `root`.

local approval = require "core.approval"
local errors = require "core.errors"
local env = require "host.env"

local M = {}

--- The rules in force; nil = everything is allowed.
M.rules = nil

local KINDS = { tool = "table", path = "table", host = "table", command = "table" }
local VERDICTS = { allow = true, ask = true, deny = true }

-- ---- patterns -----------------------------------------------------------------------------------------------------------------

--- A glob as a Lua pattern: `*` stands for anything, in a path for anything but a slash, and `**` for that, too.
local function glob(text, path)
  local out = text:gsub("%*%*/", "\1"):gsub("%*%*", "\2"):gsub("%*", "\3"):gsub("%?", "\4"):gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0")
  out = out:gsub("\1", path and "\5" or ".*"):gsub("\2", ".*"):gsub("\3", path and "[^/]*" or ".*")
    :gsub("\4", path and "[^/]" or ".")
  return out
end

--- `**/` also stands for no folder at all, which a Lua pattern cannot say: both readings.
local function matcher(text, path)
  local pattern = glob(text, path)
  if not pattern:find "\5" then
    pattern = "^" .. pattern .. "$"
    return function(value) return value:find(pattern) ~= nil end
  end
  local none, some = "^" .. pattern:gsub("\5", "") .. "$", "^" .. pattern:gsub("\5", ".*/") .. "$"
  return function(value) return value:find(none) ~= nil or value:find(some) ~= nil end
end

--- An absolute path without `.`, `..` and doubled slashes.
---@param path string
---@return string
function M.absolute(path)
  if path:sub(1, 1) ~= "/" then path = (env.cwd() or "") .. "/" .. path end
  local parts = {}
  for part in path:gmatch "[^/]+" do
    if part == ".." then
      parts[#parts] = nil
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. table.concat(parts, "/")
end

local function compile_one(kind, text)
  if kind == "path" then
    if text:sub(1, 3) ~= "**/" and text:sub(1, 1) ~= "/" then text = M.absolute(text) end
    return matcher(text, true)
  end
  if kind == "host" then text = text:lower() end
  return matcher(text, false)
end

local function compile_list(where, kind, list)
  local out = {}
  for i, text in ipairs(list) do
    if type(text) ~= "string" or text == "" then
      errors.argument("stoke.policy: %s.%s[%d] must be a pattern, got %s", where, kind, i, errors.describe(text))
    end
    out[i] = compile_one(kind, text)
  end
  return out
end

--- Put rules into force; nil lifts them.
---@param rules table|nil see above
---Raises `argument`.
function M.set(rules)
  if rules == nil then
    M.rules = nil
    return
  end
  errors.options(rules, { allow = "table", ask = "table", deny = "table", otherwise = "table", timeout = "number" }, "stoke.policy")
  local compiled = { otherwise = rules.otherwise or {}, timeout = rules.timeout }
  for _, verdict in ipairs { "deny", "ask", "allow" } do
    local kinds = errors.options(rules[verdict], KINDS, "stoke.policy: " .. verdict)
    compiled[verdict] = {}
    for kind, list in next, kinds do compiled[verdict][kind] = compile_list(verdict, kind, list) end
  end
  errors.options(compiled.otherwise, { tool = true, path = true, host = true, command = true }, "stoke.policy: otherwise")
  for kind, verdict in next, compiled.otherwise do
    if not VERDICTS[verdict] then
      errors.argument('stoke.policy: otherwise.%s must be "allow", "ask" or "deny", got %s', kind, errors.describe(verdict))
    end
  end
  M.rules = compiled
end

-- ---- verdicts -----------------------------------------------------------------------------------------------------------------

local function any(list, value)
  for _, matches in ipairs(list or {}) do
    if matches(value) then return true end
  end
  return false
end

--- What the rules say of one subject: a verdict; nil when no rule fits it.
---@param kind "tool"|"path"|"host"|"command"
---@param value string
---@return "allow"|"ask"|"deny"|nil
function M.verdict(kind, value)
  local rules = M.rules
  if not rules then return nil end
  if kind == "path" then value = M.absolute(value) end
  if kind == "host" then value = value:lower() end
  if any(rules.deny[kind], value) then return "deny" end
  if any(rules.ask[kind], value) then return "ask" end
  if any(rules.allow[kind], value) then return "allow" end
  return rules.otherwise[kind]
end

local function denied(def, kind, value)
  return errors.new("denied", ("%s is not allowed: the policy denies the %s %s"):format(def.name, kind, value),
    { hint = "stoke.policy says what is allowed" })
end

--- Judge an effect before it is done, and wait for a person where the verdict is to ask.
---@param def stoke.effect
---@param q any the request; an approval may change its args
---@return stoke.error|nil
function M.judge(def, q)
  local kind, value, other = nil, nil, nil
  if def.subject then kind, value, other = def.subject(q) end
  local verdict = kind and M.verdict(kind, value)
  if other then
    local second = M.verdict(kind, other)
    if second == "deny" or verdict ~= "deny" and second == "ask" then verdict, value = second, other end
  end
  if verdict == "deny" then return denied(def, kind, value) end
  if verdict == "ask" or (verdict == nil and type(q) == "table" and q.needs_approval) then
    return approval.request(def.name, kind, value, q, M.rules and M.rules.timeout)
  end
end

return M
