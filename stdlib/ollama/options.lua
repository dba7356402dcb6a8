--- What a script may give of Ollama's own: profiles, keep_alive, names of models. The options of calls are those of all dialects,
--- stoke.model.options, and are found here, too.

local errors = require "core.errors"
local common = require "stoke.model.options"

local M = {}
for name, value in next, common do M[name] = value end

-- ---- profiles -----------------------------------------------------------------------------------------------------------------

local PROFILE = { num_ctx = true, num_batch = "number", num_gpu = "number", main_gpu = "number", use_mmap = "boolean",
  num_thread = "number", draft_num_predict = "number", keep_alive = true, shift = "boolean", split_thinking = "boolean",
  auto_pull = "boolean" }

local SAMPLES = {}
for _, name in ipairs(M.SAMPLING) do SAMPLES[name] = true end

--- What a profile may hold: how the model is loaded, and how it is sampled where a call does not say.
local IN_PROFILE = {}
for name, kind in next, PROFILE do IN_PROFILE[name] = kind end
for _, name in ipairs(M.SAMPLING) do IN_PROFILE[name] = name == "stop" and "table" or "number" end

--- Seconds, or a Go duration such as "10m"; the server takes a number in quotes for an error.
function M.keep_alive(what, value)
  local kind = type(value)
  if kind == "number" then
    if value ~= value then errors.argument("%s: keep_alive is not a number", what) end
    return value
  end
  if kind ~= "string" then errors.argument("%s: keep_alive must be seconds or a duration such as \"10m\", got %s", what, kind) end
  local rest = value:gsub("^[+-]", "")
  if rest == "0" then return value end
  local parts = 0
  while rest ~= "" do
    local after = rest:match "^%d+%.?%d*(.*)$" or rest:match "^%.%d+(.*)$"
    local unit = after and (after:match "^ns" or after:match "^us" or after:match "^µs" or after:match "^ms"
      or after:match "^[smh]")
    if not unit then break end
    rest, parts = after:sub(#unit + 1), parts + 1
  end
  if rest ~= "" or parts == 0 then
    errors.raise("argument", ("%s: keep_alive %q is no duration"):format(what, value),
      { hint = "seconds as a number, or units: \"90s\", \"10m\", \"1h30m\"; negative = until told otherwise" })
  end
  return value
end

--- A copy of a profile that was checked.
function M.profile(model, given)
  local what = ("profile of %s"):format(model)
  local profile, samples = {}, {}
  for name, value in next, errors.options(given, IN_PROFILE, what) do
    if SAMPLES[name] then
      samples[name] = value
    elseif name == "num_ctx" and value ~= "auto" and type(value) ~= "number" then
      errors.argument('%s: num_ctx must be a whole number of tokens, or "auto", got %s', what, errors.describe(value))
    elseif type(value) == "number" and name ~= "keep_alive" then
      value = math.tointeger(value) or errors.argument("%s: %s must be a whole number, got %s", what, name, value)
    end
    profile[name] = value
  end
  M.sampling(what, model, samples, "")
  if profile.keep_alive ~= nil then M.keep_alive(what, profile.keep_alive) end
  return profile
end

-- ---- names --------------------------------------------------------------------------------------------------------------------

--- Names that were looked at, and at most so many.
local known, count, KNOWN = {}, 0, 256

--- "qwen3" and "qwen3:latest" are one model.
function M.canonical(model)
  local name = known[model]
  if name then return name end
  name = model:find(":[^/]*$") and model or model .. ":latest"
  if count == KNOWN then known, count = {}, 0 end
  known[model], count = name, count + 1
  return name
end

--- Does a name send its calls to the cloud? Such a model is not loaded here: no window, no keep_alive, no place in ollama.ps.
---@param model string
---@return boolean
function M.is_cloud(model)
  local tag = model:match ":([^/:]*)$"
  return tag ~= nil and (tag == "cloud" or tag:find "%-cloud$" ~= nil)
end

--- A model is named alone, or in a table with the rest: f("m"), f("m", "gpu"), f("m", { endpoint = "gpu" }),
--- f { model = "m", endpoint = "gpu" } are the same.
---@param what string
---@param given string|table
---@param more? string|table the endpoint, or the options
---@param others? table<string, true|string> options beside model and endpoint
---@return table given with model
function M.one(what, given, more, others)
  local allowed = { model = "string", endpoint = "string" }
  for name, kind in next, others or {} do allowed[name] = kind end
  if type(given) == "table" then
    if more ~= nil then errors.argument("%s: the table has all there is to say, got %s beside it", what, errors.describe(more)) end
    given = errors.options(given, allowed, what)
    M.model(what, given.model)
    return given
  end
  M.model(what, given)
  if type(more) ~= "table" then more = { endpoint = more } end
  allowed.model = nil
  local out = { model = given }
  for name, value in next, errors.options(more, allowed, what) do out[name] = value end
  return out
end

--- Endpoint of a call that names no model: f "gpu" and f { endpoint = "gpu" } are the same.
---@param what string
---@param given string|table|nil
---@return string|nil
function M.endpoint(what, given)
  if type(given) ~= "table" then return given end
  return errors.options(given, { endpoint = "string" }, what).endpoint
end

return M
