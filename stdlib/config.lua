-- stoke.config: the settings of the process, each with its source. Lookup order: flags, the environment,
-- ./stoke.config.lua, the user's file below XDG_CONFIG_HOME, built-in defaults. A configuration file is
-- Lua text that returns one table; it runs in an empty environment:
--
--     return {
--       endpoint = "gpu",
--       endpoints = { gpu = { url = "http://10.0.0.7:11434" },
--                     cloud = { url = "https://ollama.com", key = "..." },
--                     vllm = { url = "http://10.0.0.8:8000", dialect = "openai" } },
--       models = { fast = { "qwen2.5:3b@gpu", "qwen2.5:1.5b" } },
--       profiles = { ["qwen2.5:3b"] = { num_ctx = 8192, temperature = 0.2 } },
--       sampling = { precise = { temperature = 0 } },
--       timeouts = { idle = 60 },
--     }
--
-- A named endpoint or profile comes as a whole from the first source that defines it, so a file in the
-- current folder cannot send the user's key to another address.

local addresses = require "stoke.config.address"
local endpoints = require "core.endpoint"
local envfile = require "core.envfile"
local errors = require "core.errors"
local notice = require "core.gate.notice"
local shape = require "stoke.config.shape"
local terms = require "core.terms"
local sorted_keys = require "stoke.show".sorted_keys

local M = {}

local attempt, check_leaf, complain = shape.attempt, shape.check_leaf, shape.complain

---Whether a value of `sim` names a file of scripted answers.
---@private
---@param value string
---@return boolean
---
---Example: `assert(config.is_sim_script "replies.lua")`
function M.is_sim_script(value) return value:find "%.lua$" ~= nil end

-- Places ----------------------------------------------------------------------------------------

-- Wrapping quotes and blanks are dropped, as Ollama does with its variables.
local function env_value(getenv, name)
  local v = getenv(name)
  v = v and v:match "^%s*(.-)%s*$":gsub("^[\"']", ""):gsub("[\"']$", "")
  return v ~= "" and v or nil
end

local function address(source, text)
  local url, problem = addresses.parse(text)
  if not url then
    errors.raise("usage", ("%s: %s"):format(source, problem), { hint = "an address is HOST:PORT or http://HOST:PORT" })
  end
  return url
end

-- A file's table: Lua text only, an empty environment, one table returned.
local function read_file(path, text, problems)
  local chunk, problem = load(text, "@" .. path, "t", {})
  if not chunk then
    errors.raise("usage", problem, { hint = "a configuration file is a Lua table: return { name = value, ... }" })
  end
  local ok, t = pcall(chunk)
  if not ok then
    errors.raise("usage", tostring(t), { hint = "a configuration file is plain data: no functions" })
  end
  if type(t) ~= "table" then
    errors.raise("usage", path .. ": must return a table", { hint = "return { ... }" })
  end
  shape.check(path, t, problems)
  return t
end

local function flags_layer(flags, out)
  if flags.sim ~= nil then
    local v = flags.sim
    v = v == true and "on" or v == false and "off" or v
    check_leaf("--sim", nil, "sim", v)
    out[#out + 1] = { source = "flag --sim", values = { sim = v } }
  end
  if flags.log then
    check_leaf("--log", nil, "level", flags.log)
    out[#out + 1] = { source = "flag --log", values = { log = { level = flags.log } } }
  end
  if flags["max-memory"] then
    check_leaf("--max-memory", nil, "memory", flags["max-memory"])
    out[#out + 1] = { source = "flag --max-memory", values = { max_memory = flags["max-memory"] } }
  end
  if flags.store then
    check_leaf("--store", nil, "string", flags.store)
    out[#out + 1] = { source = "flag --store", values = { store = flags.store } }
  end
  if flags.endpoint then
    check_leaf("--endpoint", nil, "string", flags.endpoint)
    out[#out + 1] = { source = "flag --endpoint", values = { endpoint = flags.endpoint } }
  end
end

local function env_layer(getenv, out, problems)
  local function read(name, kind, wrap, v)
    check_leaf(name, nil, kind, v)
    local file = envfile.origin(name)
    out[#out + 1] = { source = "environment " .. name .. (file and " (" .. file .. ")" or ""), values = wrap(v) }
  end
  local function leaf(name, kind, wrap)
    local v = env_value(getenv, name)
    if v then attempt(problems, read, name, kind, wrap, v) end
  end
  leaf("STOKE_ENDPOINT", "string", function(v) return { endpoint = v } end)
  leaf("OLLAMA_HOST", "string", function(v)
    return { endpoint = "OLLAMA_HOST", endpoints = {
      OLLAMA_HOST = { url = address("OLLAMA_HOST", v), key = env_value(getenv, "OLLAMA_API_KEY") } } }
  end)
  leaf("STOKE_LOG", "level", function(v) return { log = { level = v } } end)
  leaf("STOKE_LOG_FORMAT", "format", function(v) return { log = { format = v } } end)
  leaf("STOKE_MAX_MEMORY", "memory", function(v) return { max_memory = v } end)
  leaf("STOKE_STORE", "string", function(v) return { store = v } end)
  leaf("STOKE_SIM", "sim", function(v) return { sim = v } end)
  leaf("STOKE_ENGINE", "string", function(v) return { engine = v } end)
end

local function user_file(getenv)
  local base = env_value(getenv, "XDG_CONFIG_HOME")
  if not base or base:sub(1, 1) ~= "/" then
    local home = env_value(getenv, "HOME")
    if not home then return nil end
    base = home .. "/.config"
  end
  return base .. "/stoke/config.lua"
end

local function file_layers(opts, getenv, out, problems)
  local named = opts.flags.config or env_value(getenv, "STOKE_CONFIG")
  local places = named and { named } or { "./stoke.config.lua", user_file(getenv) }
  local function read(path)
    local text, problem = opts.read(path)
    if text then
      out[#out + 1] = { source = path, values = read_file(path, text, problems) }
    elseif named or problem then
      errors.raise("usage", ("cannot read the configuration %s: %s")
                   :format(path, problem or "no such file"))
    end
  end
  for _, path in ipairs(places) do attempt(problems, read, path) end
end

-- The default reader: nil for a file that is not there, nil and the reason for any other failure.
local function read_disk(path)
  local f, problem, code = io.open(path, "rb")
  if not f then
    if code == 2 then return nil end
    return nil, (problem:gsub("^.-: ", "", 1))
  end
  local text, why = f:read "a"
  f:close()
  if not text then return nil, why end
  return text
end

-- Merging ---------------------------------------------------------------------------------------

-- Lower one layer under what is there; sources are kept by dotted key.
local function lay(into, from, sources, source, path, whole)
  for _, k in ipairs(sorted_keys(from)) do
    local key, v = path == "" and k or path .. "." .. k, from[k]
    if type(v) == "table" and not whole then
      if into[k] == nil then into[k] = {} end
      if type(into[k]) ~= "table" then goto next end -- cache = false: a table below says nothing
      lay(into[k], v, sources, source, key, shape.WHOLE[key])
    elseif into[k] == nil then
      into[k] = v
      sources[key] = source
    end
    ::next::
  end
end

---@class stoke.config.Settings
---@field values table the merged settings
---@field sources table<string, string> where each came from, by dotted key
local current

-- Replaces the settings, and drops what was derived from the old ones.
local function put(s)
  current = s
  endpoints.changed()
end

---Read every place and keep the result as the settings of this run.
---@private
---@param opts? {flags?: table, getenv?: function, read?: function, problems?: stoke.error[]}
---`flags`: values of the runtime's flags by name; `getenv(name)` and `read(path)` (text, or nil and
---the reason unless there is no such file) stand in for the environment and the disk.
---`problems`: a list that takes the errors of the environment and the files; what they set is left out.
---@return stoke.config.Settings
---Raises `usage` for an unknown key or a wrong value, naming place, key and the likely intent.
---
---Example: `config.load { flags = { log = "warn" } }`
function M.load(opts)
  opts = opts or {}
  local getenv = opts.getenv or os.getenv
  local layers = {}
  local flags = opts.flags or {}
  flags_layer(flags, layers)
  env_layer(getenv, layers, opts.problems)
  file_layers({ flags = flags, read = opts.read or read_disk }, getenv, layers, opts.problems)
  layers[#layers + 1] = { source = "built in", values = shape.BUILT_IN }
  local s = { values = {}, sources = {}, direct = {}, meant = {}, flags = flags, api_key = env_value(getenv, "OLLAMA_API_KEY") }
  for _, layer in ipairs(layers) do lay(s.values, layer.values, s.sources, layer.source, "") end
  s.problems = opts.problems
  put(s)
  if next(s.values.models) ~= nil or type(s.values.pool.slots) == "table" then
    require "stoke.config.routes".check(complain, attempt, opts.problems)
  end
  if not attempt(opts.problems, M.endpoint) then
    s.values.endpoint, s.sources.endpoint = "default", "built in"
    if not attempt(opts.problems, M.endpoint) then -- a file gave this name an entry of its own
      s.values.endpoints.default, s.sources["endpoints.default"] = shape.BUILT_IN.endpoints.default, "built in"
    end
  end
  return s
end

---What was wrong with the settings, where load() was told to go on.
---@private
---@return stoke.error[]
---
---Example: `print(#config.problems())`
function M.problems()
  M.get()
  return current.problems or {}
end

---The merged settings, read on first use. Treat the table as read-only.
---
---    local idle = config.get().timeouts.idle     -- seconds, or false for no limit
---@return table
function M.get() return (current or M.load()).values end

---The source of a setting: "flag --log", "environment OLLAMA_HOST", a file's path, "built in".
---@param key string dotted, as in "timeouts.idle"
---@return string|nil
---
---Example: `print(config.source "timeouts.idle")`
function M.source(key)
  M.get()
  return current.sources[key]
end

local function with_key(e, trusted)
  if not e.key and (trusted or e.url:find "^https://ollama%.com:") then e.key = current.api_key end
  return e
end

-- Ollama's own port, and its cloud.
local OWN = { "^https?://[^/]*:11434", "^https://ollama%.com:", "^http://[^/]*%.mem" }

-- The dialect of an endpoint: as it is said; an address that ends in a version is OpenAI's; Ollama's where it is plain. false:
-- nobody has said, and its server is asked (stoke.model.dialect).
local function dialect_of(e, url, sure)
  if e.dialect and e.dialect ~= "auto" then return e.dialect end
  if url:find "/v%d%w*$" then return "openai" end
  if e.dialect == nil then
    if sure then return nil end
    for _, pattern in ipairs(OWN) do
      if url:find(pattern) then return nil end
    end
  end
  return false
end

---The endpoint for a name or an address; the default endpoint without an argument. OLLAMA_API_KEY is
---sent to the server of OLLAMA_HOST, to an endpoint given as an address, and to ollama.com, never to an
---endpoint from a file.
---@param name? string
---@return {name: string, url: string, headers: table<string, string>, key: string|nil, source: string, meant: string|nil,
---  dialect: string|false|nil, models: table<string, string>|nil}
---`meant` is the address that `url` stands in for: a simulator takes the place of a server.
---Raises `usage` for an unknown name.
---
---Example: `print(config.endpoint().url)`
function M.endpoint(name)
  if name ~= nil and type(name) ~= "string" then
    errors.argument("endpoint: a name or an address expected, got %s", errors.describe(name))
  end
  local values = M.get()
  local asked = name or values.endpoint
  local e = values.endpoints[asked]
  if e then
    local headers, direct = {}, current.direct[asked]
    if not direct and e.url == nil then
      complain(current.sources["endpoints." .. asked] or "the settings", "endpoints." .. asked, "has no url",
        ("say where its server is: endpoints = { [%q] = { url = \"http://HOST:11434\" } }"):format(asked))
    end
    for k, v in pairs(e.headers or {}) do headers[k] = v end
    local url, source = direct or address("endpoint", e.url), current.sources["endpoints." .. asked]
    local sure = direct ~= nil or source == nil or source == "built in" or source:find "^environment" ~= nil
    return with_key({ name = asked, url = url, dialect = dialect_of(e, url, sure),
                      headers = headers, key = e.key, meant = current.meant[asked], auto_pull = e.auto_pull,
                      models = direct == nil and e.models or nil,
                      source = source })
  end
  if asked:find "[.:/]" or asked == "localhost" then
    local source = name and "script" or current.sources.endpoint
    local url, meant = address(source, asked), nil
    if current.everywhere and not asked:find "%.mem" then asked, url, meant = current.everywhere, current.everywhere, url end
    return with_key({ name = asked, url = url, meant = meant, headers = {}, source = source, dialect = dialect_of({}, url, true) },
                    name or source:find "^flag" or source:find "^environment")
  end
  local names = sorted_keys(values.endpoints)
  local near = errors.suggest(asked, names)
  errors.raise("usage", ("no endpoint is named '%s'"):format(asked), {
    hint = near and ("did you mean '%s'?"):format(near)
           or ("known: %s; or give an address, or set endpoints = { [%q] = { url = \"http://HOST:11434\" } } in stoke.config.lua")
             :format(table.concat(names, ", "), asked), where = errors.site() })
end

endpoints.resolve = M.endpoint

function endpoints.routed(endpoint, model, dialect)
  if next(M.get().models) == nil and not model:find("@", 1, true) then return nil end
  return require "stoke.config.routes".routed(endpoint, model, dialect)
end

function notice.write(level, text, fields) require "stoke.log"[level](text, fields) end

function terms.check_route(what, given) require "stoke.config.routes".of(what, given) end

---True when a flag, the environment or a file sets the endpoint.
---@private
---@return boolean
---
---Example: `if config.endpoint_chosen() then print(config.endpoint().source) end`
function M.endpoint_chosen()
  M.get()
  local name = current.values.endpoint
  return current.sources.endpoint ~= "built in"
         or current.sources["endpoints." .. name] ~= "built in"
end

---Point the default endpoint somewhere else for this run, as `--sim` does with the simulator.
---@private
---@param name string
---@param url string any scheme
---@param source string what explain() says about it
---@param in_place? boolean it stands in for the endpoint that was the default one: a policy judges that one's address
---@param dialect? string the wire of its server, where it is not Ollama's
---
---Example: `config.use_endpoint("lab", "http://10.0.0.7:11434", "this script")`
function M.use_endpoint(name, url, source, in_place, dialect)
  local s = current or M.load()
  local before = in_place and M.endpoint()
  s.meant[name] = before and (before.meant or before.url) or nil
  endpoints.changed()
  s.values.endpoint, s.values.endpoints[name], s.direct[name] = name, { url = url, dialect = dialect }, url
  s.sources.endpoint, s.sources["endpoints." .. name] = source, source
end

---The runtime flags in force, for starting child processes with the same settings.
---@private
---@return table<string, string|boolean> by name
---
---Example: `print(config.flags().log)`
function M.flags()
  M.get()
  return current.flags
end

---Let one address stand in for every endpoint that has a name, as `stoke test` does with the simulator.
---@private
---@param url string any scheme
---@param source string what explain() says about it
---@param everywhere? boolean for endpoints given as an address, too, unless they are in memory
---@return fun() undo gives the settings back as they were
---
---Example: `local undo = config.stand_in("http://ollama.mem", "this script"); undo()`
function M.stand_in(url, source, everywhere)
  M.get()
  local before = current
  local s, values = {}, {}
  for k, v in pairs(before) do s[k] = v end
  for k, v in pairs(before.values) do values[k] = v end
  s.values, s.direct, s.meant, s.sources = values, {}, {}, setmetatable({}, { __index = before.sources })
  values.endpoints = {}
  local names = sorted_keys(before.values.endpoints)
  names[#names + 1] = values.endpoint
  for _, name in ipairs(names) do
    local known = M.endpoint(name)
    s.meant[name] = known.meant or known.url
    values.endpoints[name] = { url = url, dialect = known.dialect or nil }
    s.direct[name], s.sources["endpoints." .. name] = url, source
  end
  s.sources.endpoint, s.everywhere = source, everywhere and url or nil
  put(s)
  return function() put(before) end
end

---The profile of a model: load options, keep_alive, and default sampling options. Empty when no profile is
---configured.
---@param model string as given to the call; "qwen3" and "qwen3:latest" are one model
---@return table
---
---Example: `print(config.profile("qwen2.5:3b").num_ctx)`
function M.profile(model)
  local profiles = M.get().profiles
  local p = profiles[model]
  if not p and not model:find ":" then p = profiles[model .. ":latest"] end
  if not p then p = profiles[model:match "^(.*):latest$" or ""] end
  return p or {}
end

local SECRET = { key = true, authorization = true, ["proxy-authorization"] = true, cookie = true }

local function mask(key, v)
  local last = key:match "([^.]*)$":lower()
  if SECRET[last] or last:find "key$" or last:find "token" or last:find "secret" then
    return "********"
  end
  if type(v) == "string" and v:find "^%a+://[^/]*@" then
    return (v:gsub("^(%a+://)[^/]*@", "%1********@"))
  end
  return v
end

local function flatten(t, path, source, sources, out)
  for _, k in ipairs(sorted_keys(t)) do
    local key = path == "" and k or path .. "." .. k
    local from = sources[key] or source
    if type(t[k]) == "table" then
      flatten(t[k], key, from, sources, out)
    else
      out[#out + 1] = { key = key, value = mask(key, t[k]), source = from }
    end
  end
end

---Every setting with its value and source, sorted by key; secrets are masked.
---@return {key: string, value: any, source: string}[]
---
---Example: `for _, row in ipairs(config.explain()) do print(row.key, row.value, row.source) end`
function M.explain()
  M.get()
  local out = {}
  flatten(current.values, "", nil, current.sources, out)
  table.sort(out, function(a, b) return a.key < b.key end)
  return out
end

return M
