--- The shape of a configuration: what may stand in it, what each value must be, what is in force where nobody says.

local addresses = require "stoke.config.address"
local cache = require "core.cache.settings"
local errors = require "core.errors"
local overrun = require "core.overrun"
local sorted_keys = require "stoke.show".sorted_keys

local M = {}

local DEFAULT_URL = "http://127.0.0.1:11434"
--- The settings where nobody sets any.
M.BUILT_IN = {
  endpoint = "default",
  endpoints = { default = { url = DEFAULT_URL } },
  profiles = {},
  sampling = {
    precise = { temperature = 0 },
    balanced = { temperature = 0.7, top_p = 0.9 },
    creative = { temperature = 1.1, top_p = 0.95, min_p = 0.05 },
  },
  timeouts = { connect = 2, load = 300, first_byte = 60, idle = 120 },
  models = {},
  pool = {},
  auto_pull = false,
  log = { level = "info", format = "text" },
  max_memory = "50%",
  sim = "off",
}

-- The shape of a configuration. A string names a checker; { each = shape } is a map from any name;
-- other tables list their keys.
local SHAPE = {
  endpoint = "string",
  endpoints = { each = { url = "url", key = "string", headers = { each = "string" }, auto_pull = "boolean",
    dialect = "string", models = { each = "string" } } },
  models = { each = "route" },
  profiles = { each = { num_ctx = "window", num_batch = "count", num_gpu = "integer",
    main_gpu = "integer", num_thread = "integer", use_mmap = "boolean",
    draft_num_predict = "integer", shift = "boolean", keep_alive = "keep_alive",
    split_thinking = "boolean", auto_pull = "boolean" } },
  sampling = { each = {} },
  auto_pull = "boolean",
  timeouts = { connect = "seconds", load = "seconds", first_byte = "seconds", idle = "seconds",
               total = "seconds" },
  pool = { order = "order", slots = "slots", per_model = "count", hedge = "boolean", hold = "boolean",
    bounds = { interactive = "seconds", normal = "seconds", batch = "seconds" },
    power = { temperature = "above", battery = "below", ac = "boolean", burst = "seconds", rest = "seconds", when = "when",
      interactive = "boolean", every = "seconds", sensors = { temperature = "sensor", battery = "sensor", ac = "sensor" } } },
  cache = "cache",
  log = { level = "level", format = "format" },
  max_memory = "memory",
  store = "string",
  traces = "traces",
  engine = "string",
  sim = "sim",
}
-- How a model is sampled: in a profile by name, and in the profile of a model, for calls that do not say.
for name, kind in pairs { temperature = "number", top_p = "number", top_k = "integer", min_p = "number", typical_p = "number",
  repeat_penalty = "number", repeat_last_n = "integer", presence_penalty = "number", frequency_penalty = "number",
  num_predict = "integer", num_keep = "integer", seed = "integer", stop = "stop" } do
  SHAPE.sampling.each[name], SHAPE.profiles.each[name] = kind, kind
end
-- Named entries replace each other whole instead of being mixed.
M.WHOLE = { endpoints = true, profiles = true, sampling = true, models = true, pool = true, cache = true, traces = true }

local function one_of(...)
  local list = { ... }
  return { list = list, want = "one of " .. table.concat(list, ", "), ok = function(v)
    for _, name in ipairs(list) do if v == name then return true end end
    return false
  end }
end

local function sim_mode()
  local mode = one_of("off", "on", "auto")
  local named = mode.ok
  mode.want = mode.want .. " or a script's name ending in .lua"
  function mode.ok(v) return named(v) or type(v) == "string" and v:find "%.lua$" ~= nil end
  return mode
end

local function is_count(v) return math.type(v) == "integer" and v >= 1 end

local function fallback_problem(list)
  if type(list) ~= "table" or #list == 0 then return "its fallback must be a list of models; the last may be { text = ... }" end
  for i, rung in ipairs(list) do
    if type(rung) ~= "string" and (type(rung) ~= "table" or type(rung.text) ~= "string") then
      return ("fallback[%d] must be a model or { text = ... }"):format(i)
    end
  end
end

--- Is this a route: a list of models, and perhaps what is asked when all of them fail?
local function route_problem(v)
  if type(v) ~= "table" then return false end
  for key, item in pairs(v) do
    if key == "cache" then
      local good, err = pcall(cache.check, "its cache", item)
      if not good then return false, err.message end
    elseif key == "fallback" then
      local problem = fallback_problem(item)
      if problem then return false, problem end
    elseif math.type(key) ~= "integer" then
      return false, ("%s is no setting of a route (known: fallback, cache); how a model is loaded and sampled stands in profiles")
        :format(tostring(key))
    elseif type(item) ~= "string" or not item:find "[^@]" or item:find "@$" then
      return false, ("item %d must be \"model\", \"model@endpoint\" or \"@endpoint\", got %s"):format(key,
        type(item) == "string" and ("%q"):format(item) or type(item))
    end
  end
  if #v == 0 then return false, "it names no model" end
  return true
end

--- Are these settings of the cache?
local function cache_problem(v)
  if type(v) ~= "table" and type(v) ~= "boolean" then return false end
  local ok, err = pcall(cache.check_all, "the settings", v)
  if not ok then return false, errors.wrap(err).message:gsub("^the settings: ", "") end
  local bytes = type(v) == "table" and v.bytes
  if not bytes then return true end
  local n = (type(bytes) == "string" or type(bytes) == "number") and not tostring(bytes):find "%%" and overrun.bytes(bytes)
  if not n or n < 1 << 20 then return false, "cache.bytes must be at least 1 MB, as in \"512M\" or \"2G\"" end
  return true
end

--- Are these settings of the traces?
local function traces_problem(v)
  if type(v) == "boolean" then return true end
  if type(v) ~= "table" then return false end
  for name, value in pairs(v) do
    if name == "spans" then
      if math.type(value) ~= "integer" or value < 1000 then return false, "traces.spans must be a whole number of at least 1000" end
    elseif name == "bodies" then
      if type(value) ~= "boolean" then return false, "traces.bodies must be true or false" end
    else
      return false, ("%s is no setting of traces (known: spans, bodies)"):format(tostring(name))
    end
  end
  return true
end

--- A limit of a sensor: where it stops, and perhaps where it lets go again.
local function mark(stops, goes)
  return { want = ("a number, or { %s = , %s = }"):format(stops, goes), ok = function(v)
    if type(v) ~= "table" then return type(v) == "number" end
    for name, n in pairs(v) do
      if name ~= stops and name ~= goes then return false, ("%s is not known there"):format(tostring(name)) end
      if type(n) ~= "number" then return false, name .. " is no number" end
    end
    if not v[stops] then return false, stops .. " is missing" end
    if v[goes] and v.above <= v.below then return false, "above must be more than below" end
    return true
  end }
end

-- Each checker: a description of the expected value, and the test.
local CHECK = {
  string = { want = "a string", ok = function(v) return type(v) == "string" and v ~= "" end },
  boolean = { want = "true or false", ok = function(v) return type(v) == "boolean" end },
  number = { want = "a number", ok = function(v) return type(v) == "number" end },
  stop = { want = "a list of texts", ok = function(v)
    if type(v) ~= "table" or #v == 0 then return false end
    for _, text in pairs(v) do if type(text) ~= "string" then return false end end
    return true
  end },
  window = { want = "a whole number of at least 1, or \"auto\"",
             ok = function(v) return v == "auto" or math.type(v) == "integer" and v >= 1 end },
  integer = { want = "a whole number", ok = function(v) return math.type(v) == "integer" end },
  count = { want = "a whole number of at least 1", ok = is_count },
  seconds = { want = "seconds, more than 0 (or false for no limit)", ok = function(v)
    return v == false or (type(v) == "number" and v > 0 and v < math.huge)
  end },
  keep_alive = { want = "seconds or a duration such as \"10m\"", ok = function(v)
    return type(v) == "number" or (type(v) == "string" and v:find "%d" ~= nil)
  end },
  url = { want = "an address such as \"http://10.0.0.7:11434\"", ok = function(v)
    if type(v) ~= "string" then return false end
    local url, problem = addresses.parse(v)
    return url ~= nil, problem
  end },
  memory = { want = "bytes, as in \"512M\", \"2G\" or \"50%\", or 0 for no limit", ok = function(v)
    return (type(v) == "string" or type(v) == "number") and overrun.bytes(v) ~= nil
  end },
  level = one_of("debug", "info", "warn", "error", "off"),
  format = one_of("text", "json"),
  order = one_of("program", "fifo"),
  cache = { want = "true, false or a table, as in { ttl = 3600, bytes = \"512M\" }", ok = cache_problem },
  traces = { want = "true, false or a table, as in { spans = 100000, bodies = true }", ok = traces_problem },
  route = { want = "a list of models, as in { \"qwen2.5:3b@gpu\", \"qwen2.5:1.5b\" }", ok = route_problem },
  slots = { want = "a whole number of at least 1, or a table of them by \"model\" or \"model@endpoint\"", ok = function(v)
    if type(v) ~= "table" then return is_count(v) end
    for name, n in pairs(v) do
      if type(name) ~= "string" then return false, ("%s is no model"):format(tostring(name)) end
      if not is_count(n) then return false, ("of %s it has %s"):format(name, tostring(n)) end
    end
    return true
  end },
  when = one_of("always", "battery"),
  sensor = { want = "the path of a file, with * for any part of a name, or a function", ok = function(v)
    return type(v) == "function" or (type(v) == "string" and v ~= "")
  end },
  above = mark("above", "below"),
  below = mark("below", "above"),
  sim = sim_mode(),
}

local function show(v) return type(v) == "string" and ("%q"):format(v) or tostring(v) end

--- Raise `usage`.
---@param source string
---@param key string|nil nil where the source is itself the setting: a flag, a variable
---@param problem string
---@param hint? string
function M.complain(source, key, problem, hint)
  local what = key and source .. ": " .. key or source
  errors.raise("usage", ("%s %s"):format(what, problem), { hint = hint or key and "stoke help configuration shows the settings" })
end

--- Check one value.
---@param source string
---@param key string|nil
---@param kind string of the checkers
---@param v any
---Raises `usage`.
function M.check_leaf(source, key, kind, v)
  local c = CHECK[kind]
  local good, problem = c.ok(v)
  if good then return end
  local near = c.list and type(v) == "string" and errors.suggest(v, c.list)
  M.complain(source, key, ("wants %s, got %s%s"):format(c.want,
           type(v) == "table" and "a table" or show(v), problem and (": %s"):format(problem) or ""),
           near and ("did you mean %q?"):format(near) or nil)
end

-- What other programs call it.
local FOREIGN = {
  host = 'endpoint = "http://HOST:11434"', base_url = 'endpoint = "http://HOST:11434"', server = 'endpoint = "http://HOST:11434"',
  api_key = 'endpoints = { NAME = { url = "...", key = "..." } }', token = 'endpoints = { NAME = { url = "...", key = "..." } }',
  routes = 'models = { NAME = { "qwen2.5:3b@gpu", ... } }', timeout = "timeouts = { total = seconds }",
  log_level = 'log = { level = "debug" }', context_length = "num_ctx", n_ctx = "num_ctx", env = "--env-file FILE",
  concurrency = "pool = { slots = 4 }", slots = "pool = { slots = 4 }",
}

--- Run a function. With a list of problems what it raises is put there, and the caller goes on without the value.
---@param problems stoke.error[]|nil
---@param f function
---@param ... any its arguments
---@return boolean ran
function M.attempt(problems, f, ...)
  if not problems then
    f(...)
    return true
  end
  local ok, err = pcall(f, ...)
  if not ok then problems[#problems + 1] = errors.wrap(err) end
  return ok
end

local check_table

local function check_entry(source, path, shape, name, v, problems)
  if type(name) ~= "string" then M.complain(source, path, "is not a name") end
  local inner = shape.each or shape[name]
  if not inner then
    local near = errors.suggest(name, sorted_keys(shape))
    local here = FOREIGN[name]
    if here then M.complain(source, path, "is no setting", "here it is " .. here) end
    M.complain(source, path, "is no setting", near and ("did you mean '%s'?"):format(near)
             or "known here: " .. table.concat(sorted_keys(shape), ", "))
  end
  check_table(source, path, inner, v, problems)
end

function check_table(source, key, shape, v, problems)
  if type(shape) == "string" then return M.check_leaf(source, key, shape, v) end
  if type(v) ~= "table" then
    M.complain(source, key == "" and "the file" or key, "wants a table, got " .. show(v))
  end
  for _, name in ipairs(sorted_keys(v)) do
    local path = key == "" and tostring(name) or key .. "." .. tostring(name)
    if not M.attempt(problems, check_entry, source, path, shape, name, v[name], problems) then v[name] = nil end
  end
end

--- Check what a file has, key by key. With a list of problems what is wrong is put there, and taken out.
---@param source string the file
---@param values table changed in place
---@param problems? stoke.error[]
---Raises `usage`, where there is no list.
function M.check(source, values, problems) check_table(source, "", SHAPE, values, problems) end

return M
