--- The policy gate: one table that says which tools, paths, hosts and commands are allowed, asked about, or denied.
---
---   { allow = { tool = { "get_*" }, command = { "git status", "make *" } },
---     ask   = { tool = { "write_file" } },
---     deny  = { path = { "**/.env" }, host = { "*.internal" } },
---     otherwise = { host = "ask" } }           -- what no pattern of its kind fits; not given = allow
---
--- deny goes before ask, ask before allow. Whether a tool that needs approval is asked about is decided here, too: a pattern of
--- `allow` is the approval. Paths are judged by their names (absolute, `.` and `..` taken out), not by what links make of them:
--- the jail of the file tools is `root`. A pattern with a slash at its end is the folder and all below it; `~/` is the user's home.
--- Commands are their words; deny and ask also see a program that is given by its path under its name.
---
--- Hosts are judged by the name or address in the URL, in the spelling that is connected to, after each redirect, too; model
--- servers are hosts like any other. `localhost` is also the addresses that it always stands for. No other name is looked up, so
--- a pattern such as "10.*" does not fit a name that resolves there: for that there is `otherwise = { host = "public" }`, by which
--- a host that no pattern fits must have a public address. That is judged as each connection is made.

local approval = require "core.approval"
local errors = require "core.errors"
local glob = require "core.glob"
local modules = require "core.modules"
local env = require "host.env"
local http = require "host.http"

local M = {}

--- The rules in force; nil = everything is allowed.
M.rules = nil

local KINDS = { tool = "table", path = "table", host = "table", command = "table" }
local VERDICTS = { allow = true, ask = true, deny = true }
local HOST_VERDICTS = { allow = true, ask = true, deny = true, public = true }

-- ---- patterns -----------------------------------------------------------------------------------------------------------------

--- An absolute path without `.`, `..` and doubled slashes. Paths of URLs are settled elsewhere, since they mean other things: a
--- doubled slash counts, a slash at the end too, and there is a query (stdlib/tools/fetch/url.lua); a server's have escapes
--- (stdlib/http/request.lua).
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

--- A host in the spelling that requests are judged in.
local function host_pattern(text)
  local name = text:lower():gsub("^%[(.*)%]$", "%1"):gsub("(.)%.$", "%1")
  if name:find "^[^:]*:[^:]*$" or text:find "/" then
    errors.argument("stoke.policy: a host has no scheme, port or path: %q", text)
  end
  if name:find "[*?]" then return name end
  local _, settled = http.place(("http://%s/"):format(name:find(":", 1, true) and "[" .. name .. "]" or name))
  return settled or name
end

local function compile_one(kind, text)
  if kind == "path" then
    local home = text:find "^~/" and env.get "HOME"
    if home then text = home .. text:sub(2) end
    local folder = text:find "/$"
    text = text:sub(1, 3) == "**/" and text:gsub("(.)/+$", "%1") or M.absolute(text)
    local itself, below = glob.compile(text, true), folder and glob.compile((text:gsub("/$", "")) .. "/**", true)
    return below and function(value) return itself(value) or below(value) end or itself
  end
  return glob.compile(kind == "host" and host_pattern(text) or text, false)
end

--- A pattern with its text, for the message of what it refuses.
local function compile_rule(kind, text) return { matches = compile_one(kind, text), text = text } end

local function compile_list(where, kind, list)
  local out = {}
  errors.list(("stoke.policy: %s.%s"):format(where, kind), list)
  for i, text in ipairs(list) do
    if type(text) ~= "string" or text == "" then
      errors.argument("stoke.policy: %s.%s[%d] must be a pattern, got %s", where, kind, i, errors.describe(text))
    end
    out[i] = compile_rule(kind, text)
  end
  return out
end

--- The rules have changed: lua/effect.lua puts its own here.
function M.changed() end

--- Put rules into force that were in force before, as M.rules had them.
---@param compiled table|nil
function M.restore(compiled)
  M.rules = compiled
  M.changed()
end

--- Put rules into force; nil lifts them.
---@param rules table|nil see above
---Raises `argument`.
function M.set(rules)
  if rules == nil then return M.restore(nil) end
  errors.options(rules, { allow = "table", ask = "table", deny = "table", otherwise = "table", timeout = "number" }, "stoke.policy")
  local timeout = rules.timeout
  if timeout and not (timeout > 0) then
    errors.argument("stoke.policy: timeout must be seconds above 0, got %s", tostring(timeout))
  end
  local compiled = { otherwise = rules.otherwise or {}, timeout = timeout }
  for _, verdict in ipairs { "deny", "ask", "allow" } do
    local kinds = errors.options(rules[verdict], KINDS, "stoke.policy: " .. verdict)
    compiled[verdict] = {}
    for kind, list in next, kinds do compiled[verdict][kind] = compile_list(verdict, kind, list) end
  end
  errors.options(compiled.otherwise, { tool = true, path = true, host = true, command = true }, "stoke.policy: otherwise")
  for kind, verdict in next, compiled.otherwise do
    if not (kind == "host" and HOST_VERDICTS or VERDICTS)[verdict] then
      errors.argument('stoke.policy: otherwise.%s must be "allow", "ask"%s or "deny", got %s', kind,
        kind == "host" and ', "public"' or "", errors.describe(verdict))
    end
  end
  M.restore(compiled)
end

--- Say what is allowed, asked about, or denied, by tool, path, host and command; nil lifts it. `*` in a pattern stands for
--- anything (in a path: but a slash; `**` for that, too). deny goes before ask, ask before allow; `otherwise` is for what no
--- pattern of its kind fits. An allowed tool is not asked about, whatever its needs_approval says.
---@param rules table|nil { allow = { tool = { "get_*" } }, ask = { command = { "git push*" } }, deny = { path = { "**/.env" } },
---  otherwise = { host = "ask" }, timeout = seconds that an approval may take }; otherwise.host may also be "public": a host that
---  no pattern fits is allowed where its address is public, judged as each connection is made
---Raises `argument`.
---
--- Example: `stoke.policy { deny = { host = { "*.internal" } }, ask = { tool = { "write_file" } } }`
function M.declare(rules)
  local before = M.rules
  M.set(rules)
  modules.undo(function() M.restore(before) end)
end

-- ---- verdicts -----------------------------------------------------------------------------------------------------------------

--- The pattern of a list that fits, or nil.
local function fitting(list, value)
  for _, rule in ipairs(list or {}) do
    if rule.matches(value) then return rule end
  end
end

--- Other names of the same place, which no server of names has to be asked for (RFC 6761).
local function aliases(value)
  if value == "localhost" or value:find "%.localhost$" then return { "127.0.0.1", "::1" } end
end

--- As fitting; also by the other names. `all`: each of them has to fit, where the value itself does not.
local function fits_place(list, value, all)
  local rule = fitting(list, value)
  local others = not rule and list and aliases(value)
  if not others then return rule end
  for _, other in ipairs(others) do
    rule = fitting(list, other)
    if rule and not all or all and not rule then return rule end
  end
  return rule
end

--- What the rules say of one subject: a verdict; nil when no rule fits it.
---@param kind "tool"|"path"|"host"|"command"
---@param value string
---@return "allow"|"ask"|"deny"|"public"|nil
---@return string|nil pattern that decided; nil where `otherwise` did
function M.verdict(kind, value)
  local rules = M.rules
  if not rules then return nil end
  if kind == "path" then value = M.absolute(value) end
  if kind == "host" then value = value:lower() end
  local fits = kind == "host" and fits_place or fitting
  local rule = fits(rules.deny[kind], value)
  if rule then return "deny", rule.text end
  rule = fits(rules.ask[kind], value)
  if rule then return "ask", rule.text end
  rule = fits(rules.allow[kind], value, true)
  if rule then return "allow", rule.text end
  return rules.otherwise[kind]
end

--- Options of the engine with which a host that no pattern fits is connected to: where otherwise.host is "public", as for
--- http.get { public = true }. Exceptions that the request itself makes do not count.
---@param q table of the engine; not changed
---@param url string
---@return table|nil q
---@return stoke.error|nil
function M.reach(q, url)
  local rules = M.rules
  if not rules or rules.otherwise.host ~= "public" or q.socket or q.own then return q end
  local _, host = http.place(url)
  if not host or M.verdict("host", host) ~= "public" then return q end
  if q.proxy and q.proxy ~= "" then
    local what = ("the policy allows the host %s at public addresses only, which a proxy does not tell"):format(host)
    return nil, errors.new("denied", what,
      { hint = ("stoke.policy { allow = { host = { %q } }, ... }, or leave the proxy out"):format(host) })
  end
  local out = {}
  for name, value in next, q do out[name] = value end
  out.public, out.allow, out.reached = true, nil, host
  return out
end

--- What such a request failed with.
---@param q any as reach() gave it
---@param err stoke.error
---@return stoke.error
function M.reached(q, err)
  if type(q) == "table" and q.reached and err.kind == "denied" then
    err.hint = ('otherwise.host of the policy is "public"; to allow this host: stoke.policy { allow = { host = { %q } }, ... }')
      :format(q.reached)
  end
  return err
end

--- Do the rules say anything of this kind?
---@param kind "tool"|"path"|"host"|"command"
---@return boolean
function M.judges(kind)
  local rules = M.rules
  if not rules then return false end
  return (rules.otherwise[kind] or rules.deny[kind] or rules.ask[kind] or rules.allow[kind]) ~= nil
end

--- The message names the rule, and the hint what to change in it.
local function denied(def, kind, value, pattern, what)
  local rule, mend
  if pattern then
    rule = ("deny.%s has %q"):format(kind, pattern)
    mend = "take it out of stoke.policy, or name what it is meant for more closely"
  else
    rule = ("no pattern of allow.%s fits, and otherwise.%s is \"deny\""):format(kind, kind)
    mend = ("to allow it: stoke.policy { allow = { %s = { %q } }, ... }"):format(kind, value)
  end
  return errors.new("denied", ("%s is not allowed: the policy denies the %s %s%s (%s)"):format(def.name, kind, value,
    what and ", " .. what or "", rule), { hint = mend })
end

--- Judge an effect before it is done, and wait for a person where the verdict is to ask.
---@param def stoke.effect
---@param q any the request; an approval may change its args
---@param call? table what `subject` may look at beside it
---@return stoke.error|nil
function M.judge(def, q, call)
  local kind, value, other, what = nil, nil, nil, nil
  if def.subject then kind, value, other, what = def.subject(q, call) end
  local verdict, pattern
  if kind then verdict, pattern = M.verdict(kind, value) end
  if other then
    local second, its = M.verdict(kind, other)
    if second == "deny" or verdict ~= "deny" and second == "ask" then verdict, value, pattern = second, other, its end
  end
  if verdict == "deny" then return denied(def, kind, value, pattern, what) end
  if verdict == "ask" and type(q) == "table" and q.aside then
    return errors.new("needs_approval", ("%s: %s %s needs an approval"):format(def.name, kind, value))
  end
  if verdict == "ask" or (verdict == nil and type(q) == "table" and q.needs_approval) then
    return approval.request(def.name, kind, value, q, M.rules and M.rules.timeout)
  end
end

return M
