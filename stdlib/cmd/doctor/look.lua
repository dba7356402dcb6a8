-- What stoke doctor looks at: facts about this machine, this program and the server, none of them judged here. Nothing is changed
-- but for a file that is written and removed at once in each folder that has to be writable.

local about = require "core.about"
local addresses = require "stoke.config.address"
local config = require "stoke.config"
local env = require "stoke.env"
local errors = require "core.errors"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "core.json"
local dialects = require "stoke.model.dialect"
local endpoints = require "core.endpoint"
local asking = require "stoke.model"
local ollama = require "stoke.ollama"
local options = require "stoke.ollama.options"
local proc = require "stoke.proc"
local stoke = require "stoke"
local stores = require "core.store"
local time = require "stoke.time"

local M = {}

-- ---- this machine ---------------------------------------------------------------------------------------------------------------

local function read(path)
  local f = io.open(path, "rb")
  if not f then return nil end
  local text = f:read "a"
  f:close()
  return text
end

--- The descriptors this process may open, as the kernel says; nil where it says nothing.
local function open_files()
  local text = read "/proc/self/limits" or ""
  return math.tointeger(tonumber(text:match "Max open files%s+(%d+)"))
end

local function base(variable, below)
  local path = env.get(variable)
  if path and path:sub(1, 1) == "/" then return path end
  local home = env.get "HOME"
  return home and home:sub(1, 1) == "/" and home .. below or nil
end

--- Folders that are written to, with what for.
local function folders()
  local runtime = env.get "XDG_RUNTIME_DIR"
  local state = base("XDG_STATE_HOME", "/.local/state")
  local list = {
    { name = "state", path = state and state .. "/stoke", use = "the history of the prompt" },
    { name = "runtime", path = runtime and runtime:sub(1, 1) == "/" and runtime .. "/stoke" or state and state .. "/stoke/run",
      use = "the sockets of stoke ps and stoke attach" },
    { name = "config", path = base("XDG_CONFIG_HOME", "/.config"), use = "stoke/config.lua" },
    { name = "cache", path = base("XDG_CACHE_HOME", "/.cache"), use = "what may be made anew" },
    { name = "temp", path = env.get("TMPDIR", "/tmp"), use = "programs in the sandbox" },
  }
  local out = {}
  for _, folder in ipairs(list) do
    if folder.path then out[#out + 1] = folder end
  end
  return out
end

--- Why nothing can be written there, or nil. A folder that is not there yet is made in the first one above it that is.
local function unwritable(path)
  while true do
    local stat, err = stoke.try(fs.stat, path)
    if err then return err.message end
    if stat then
      if stat.type ~= "directory" then return ("%s is no folder"):format(path) end
      break
    end
    local above = path:match "^(.*)/[^/]+/*$"
    if not above then return nil end
    path = above == "" and "/" or above
  end
  local file = ("%s/.stoke-doctor-%d"):format(path, about.pid())
  local _, err = stoke.try(fs.write, file, "")
  if not err then _, err = stoke.try(fs.remove, file) end
  return err and err.message
end

--- Bytes of the file system that holds a path: all of them, and those that are free; nil where df says nothing.
local function disk(path)
  while path ~= "/" and not stoke.try(fs.stat, path) do path = path:match "^(.+)/[^/]+/*$" or "/" end
  local result = stoke.try(proc.run, { argv = { "df", "-Pk", path }, timeout = 3,
    env = { LC_ALL = "C", PATH = env.get("PATH", "/bin") } })
  local size, _, free = (result and result.stdout or ""):match "\n[^\n]-%s(%d+)%s+(%d+)%s+(%d+)%s+%d+%%"
  if not size then return nil end
  return { path = path, size = tonumber(size) * 1024, free = tonumber(free) * 1024 }
end

local function disks()
  local home = env.get "HOME"
  local wanted = { { "the current folder", "." }, { "temporary files", env.get("TMPDIR", "/tmp") },
    { "the models", env.get "OLLAMA_MODELS" or home and home .. "/.ollama" } }
  local out, seen = {}, {}
  for _, w in ipairs(wanted) do
    local found = w[2] and disk(w[2])
    local key = found and ("%d %d"):format(found.size, found.free)
    if found and not seen[key] then
      seen[key], found.holds = true, w[1]
      out[#out + 1] = found
    end
  end
  return out
end

--- What is wrong with a store of durable runs; empty where nothing is. Reads all of it.
local function store_problems(path)
  local store, err = stores.open(path, { create = false, readonly = true })
  if not store then return { err.message } end
  local problems, failed = store:check()
  store:close()
  return problems or { failed.message }
end

--- The stores of durable runs that a script here would use.
local function state_files()
  local out, seen = json.array {}, {}
  for _, path in ipairs { config.get().store or stores.path "script.lua", stores.path(nil) } do
    if not seen[path] and stoke.try(fs.stat, path) then out[#out + 1] = { path = path,
      problems = json.array(store_problems(path)) } end
    seen[path] = true
  end
  return out
end

local PROXIES = { "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY" }

local function proxies()
  local out = {}
  for _, name in ipairs(PROXIES) do
    local value = env.get(name)
    if value and value ~= "" then out[name] = value:gsub("^(%a+://)[^/]*@", "%1********@") end
  end
  return json.object(out)
end

--- What an Ollama on this machine was started with, where its environment may be read: the process that serves this port.
local function local_server(port)
  for _, entry in ipairs(stoke.try(fs.list, "/proc") or {}) do
    local words = entry.name:find "^%d+$" and read("/proc/" .. entry.name .. "/cmdline") or ""
    if words:find "^[^\0]*ollama[^\0]*\0serve\0" then
      local found = { pid = tonumber(entry.name), env = {} }
      local all = read("/proc/" .. entry.name .. "/environ")
      for name, value in (all or ""):gmatch "(OLLAMA_[%w_]+)=([^\0]*)" do found.env[name] = value end
      local url = addresses.parse(found.env.OLLAMA_HOST or "127.0.0.1")
      if all and (url or ""):match ":(%d+)" == port then return found end
    end
  end
end

-- ---- the server -----------------------------------------------------------------------------------------------------------------

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }

--- Seconds since 1970 of the Date of an answer: "Sun, 06 Nov 1994 08:49:37 GMT".
---@param text string
---@return integer|nil
function M.http_date(text)
  local day, month, year, h, m, s = text:match "(%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT"
  local number = MONTHS[month or ""]
  if not number then return nil end
  return M.days(tonumber(year), number, tonumber(day)) * 86400 + h * 3600 + m * 60 + s
end

--- Days since 1970 of a date of the Gregorian calendar.
---@param y integer
---@param m integer
---@param d integer
---@return integer
function M.days(y, m, d)
  if m <= 2 then y = y - 1 end
  local era = y // 400
  local yoe = y - era * 400
  local doy = (153 * (m + (m > 2 and -3 or 9)) + 2) // 5 + d - 1
  return era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
end

--- Seconds since 1970 of an RFC 3339 time, as Go writes it; nil for any other text.
---@param text any
---@return number|nil
function M.parse_time(text)
  local y, mo, d, h, mi, s, zone = tostring(text):match "^(%d%d%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d)%.?%d*(.*)$"
  if not y then return nil end
  local sign, zh, zm = zone:match "^([+-])(%d%d):(%d%d)$"
  local offset = sign and (zh * 3600 + zm * 60) * (sign == "-" and -1 or 1) or 0
  return M.days(tonumber(y), tonumber(mo), tonumber(d)) * 86400 + h * 3600 + mi * 60 + s - offset
end

local function headers(endpoint)
  local out = {}
  for name, value in next, endpoint.headers or {} do out[name] = value end
  if endpoint.key then out.Authorization = "Bearer " .. endpoint.key end
  return out
end

--- What answers at an address when it is asked for Ollama's version: { status, ollama, version, server, title, location, date },
--- or nil and the error.
---@param url string
---@param wait number seconds
---@param endpoint? table
function M.who(url, wait, endpoint)
  local res, err = stoke.try(http.get, url .. "/api/version", { timeout = wait, raise = false, max_redirects = 0,
    max_bytes = 1 << 16, headers = headers(endpoint or {}) })
  if err then return nil, err end
  local body = json.decode(res.body or "")
  local version = type(body) == "table" and type(body.version) == "string" and body.version or nil
  return { status = res.status, version = version, ollama = res.status == 200 and version ~= nil, server = res.headers.server,
    title = (res.body or ""):match "<[tT][iI][tT][lL][eE]>%s*(.-)%s*</", location = res.headers.location,
    date = res.headers.date and M.http_date(res.headers.date), text = (res.body or ""):sub(1, 120) }
end

--- The parts of a URL: scheme, host, port, path.
---@param url string
---@return string scheme
---@return string host
---@return string port
---@return string path
function M.parts(url)
  local scheme, authority, path = url:match "^(%a+)://([^/]*)(.*)$"
  local host, port = (authority or ""):match "^(.-):(%d+)$"
  return scheme or "", host or authority or "", port or (scheme == "https" and "443" or "80"), path or ""
end

--- Where Ollama answers, when it does not where it was asked: without the path, by the other scheme, at its usual port.
local function elsewhere(url, wait)
  local scheme, host, port, path = M.parts(url)
  if host:find "%.mem$" then return nil end
  local tries = {}
  if path ~= "" then tries[#tries + 1] = ("%s://%s:%s"):format(scheme, host, port) end
  tries[#tries + 1] = ("%s://%s:%s"):format(scheme == "https" and "http" or "https", host, port)
  if port ~= "11434" then tries[#tries + 1] = ("http://%s:11434"):format(host) end
  for _, try in ipairs(tries) do
    local found = M.who(try, math.min(wait, 2))
    if found and found.ollama then return try end
  end
end

--- Capabilities of each model: of newer servers in the list, of older ones asked for, a few at once.
local function add_capabilities(models, wait)
  local unknown = {}
  for _, m in ipairs(models) do
    if type(m.capabilities) ~= "table" then unknown[#unknown + 1] = m end
  end
  if #unknown > 40 then unknown = table.move(unknown, 1, 40, 1, {}) end
  stoke.try(stoke.timeout, wait, function()
    local scope <close> = stoke.scope {}
    scope:map(unknown, function(m)
      local shown = stoke.try(ollama.show, m.name)
      if not shown then return false end
      m.capabilities = type(shown.capabilities) == "table" and shown.capabilities or nil
      m.parameters = type(shown.parameters) == "string" and shown.parameters or nil
      return true
    end, { limit = 4 })
  end)
end

local function list(f, wait)
  local reply = stoke.try(stoke.timeout, wait, f)
  return type(reply) == "table" and type(reply.models) == "table" and reply.models or {}
end

--- What a server of another dialect than Ollama's tells: its models, and which kind it is.
local function other_server(out, e, wait)
  local began = time.monotonic()
  local found, err = stoke.try(stoke.timeout, wait, function() return errors.check(asking.probe(e.name)) end)
  out.seconds = math.floor((time.monotonic() - began) * 1e4 + 0.5) / 1e4
  if err then
    out.error = { kind = err.kind, message = err.message, hint = err.hint }
    if err.kind ~= "timeout" and err.kind ~= "dns" then out.elsewhere = elsewhere(e.url, wait) end
    return out, err
  end
  out.reachable, out.version, out.ps = true, found.version, {}
  out.list = stoke.try(stoke.timeout, wait, function() return errors.check(asking.residency(e.name)) end) or {}
  return out
end

local function server(wait)
  local e = config.endpoint()
  local out = { name = e.name, url = e.url, from = e.source, reachable = false }
  local spoken = e.dialect ~= nil and stoke.try(stoke.timeout, wait, function() return dialects.name(endpoints.of()) end)
    or "ollama"
  out.dialect = spoken
  if spoken ~= "ollama" then return other_server(out, e, wait) end
  local began = time.monotonic()
  local version, err = stoke.try(stoke.timeout, wait, ollama.version)
  out.seconds = math.floor((time.monotonic() - began) * 1e4 + 0.5) / 1e4
  if err then
    out.error = { kind = err.kind, message = err.message, hint = err.hint }
    if err.kind ~= "timeout" and err.kind ~= "dns" then
      out.answers = M.who(e.url, wait, e)
      out.elsewhere = elsewhere(e.url, wait)
    end
    return out, err
  end
  out.reachable, out.version = true, version.version
  local clock = time.now()
  local who = M.who(e.url, wait, e)
  if who and who.date then out.clock_behind = who.date - math.floor(clock) end
  out.list, out.ps = list(ollama.tags, wait), list(ollama.ps, wait)
  add_capabilities(out.list, wait)
  return out
end

--- The variables that choose the server, as they were written.
local function server_variables()
  return { OLLAMA_HOST = env.get "OLLAMA_HOST", STOKE_ENDPOINT = env.get "STOKE_ENDPOINT" }
end

local function lua_paths()
  local out = { path = json.array {}, cpath = json.array {}, lua_modules = json.array {} }
  local scripts = require "core.env"
  scripts.set_folder "."
  local package = scripts.globals.package
  for _, name in ipairs { "path", "cpath" } do
    for template in package[name]:gmatch "[^;]+" do out[name][#out[name] + 1] = template end
  end
  for _, template in ipairs(out.path) do
    local folder = template:match "^(.*lua_modules)/share/lua/5%.4/%?%.lua$"
    if folder and stoke.try(fs.stat, folder) then out.lua_modules[#out.lua_modules + 1] = folder end
  end
  return out
end

---@class stoke.cmd.doctor.facts
---@field server table name, url, from, reachable, error, version, seconds, clock_behind, list, ps, answers, elsewhere
---@field asked table<string, string>
---@field now number
---@field profiles table<string, table>
---@field pool table
---@field folders { name: string, path: string, use: string, problem?: string }[]
---@field disks { path: string, holds: string, size: integer, free: integer }[]
---@field stores { path: string, problems: string[] }[] of durable runs
---@field proxies table<string, string>
---@field open_files? integer
---@field processors integer
---@field problems stoke.error[] settings that are wrong
---@field process? { pid: integer, env: table<string, string> } an Ollama of this machine
---@field probe? table slots, models, keep_alive, calls: only when it was asked for

--- Look at everything.
---@param wait number seconds that an answer of the server may take
---@return stoke.cmd.doctor.facts
---@return stoke.error|nil err why the server does not answer
function M.facts(wait)
  local found, err = server(wait)
  local places = folders()
  for _, folder in ipairs(places) do folder.problem = unwritable(folder.path) end
  local values = config.get()
  local profiles = {}
  for name, profile in next, values.profiles do profiles[options.canonical(name)] = profile end
  local _, host, port = M.parts(found.url)
  local here = host == "127.0.0.1" or host == "localhost" or host == "[::1]"
  return { problems = config.problems(), server = found, asked = server_variables(), now = time.now(), profiles = profiles,
    pool = values.pool, folders = places, disks = disks(), stores = state_files(), proxies = proxies(), open_files = open_files(),
    processors = about.processors(), lua = lua_paths(),
    process = here and local_server(port) or nil }, err and errors.wrap(err)
end

return M
