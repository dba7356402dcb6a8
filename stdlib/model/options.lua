--- What a script may give a model, in whatever dialect: options of calls, messages, images; checked before anything is sent.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local config = require "stoke.config"

local M = {}

-- ---- load options ---------------------------------------------------------------------------------------------------------

--- Options of how a model is loaded; they belong to its profile. (Ollama loads it anew when they differ: server/sched.go,
--- needsReload.)
M.LOAD = { "draft_num_predict", "main_gpu", "num_batch", "num_ctx", "num_gpu", "num_thread", "use_mmap" }

local LOAD = {}
for _, name in ipairs(M.LOAD) do LOAD[name] = true end

--- Options of each call; they never reload.
local SAMPLING = { "frequency_penalty", "min_p", "num_keep", "num_predict", "presence_penalty", "repeat_last_n",
  "repeat_penalty", "seed", "stop", "temperature", "top_k", "top_p", "typical_p" }
local SAMPLES = {}
for _, name in ipairs(SAMPLING) do SAMPLES[name] = true end
M.SAMPLING = SAMPLING

-- ---- calls ------------------------------------------------------------------------------------------------------------------

local function refuse_load(what, model, name)
  errors.raise("argument", ("%s: %s is a load option; differing between calls it reloads the model each time")
    :format(what, name),
    { hint = ('set it for the model: stoke.models { ["%s"] = { %s = ... } }, or in stoke.config.lua'):format(model, name) })
end

local function sampling(what, model, options, prefix)
  prefix = prefix or "options."
  local names = {}
  for name in next, options do names[#names + 1] = tostring(name) end
  table.sort(names)
  for _, name in ipairs(names) do
    if LOAD[name] then refuse_load(what, model, name) end
    if not SAMPLES[name] then -- a newer server may know more, but it also ignores what it does not know
      local here = errors.elsewhere("options", name)
      if here then errors.argument("%s: unknown option options.%s; here it is %s", what, name, here) end
      local near = errors.suggest(name, SAMPLING)
      if near then errors.argument("%s: unknown option %s%s (did you mean %s?)", what, prefix, name, near) end
    end
  end
  local stop = options.stop
  if stop ~= nil and (type(stop) ~= "table" or stop[1] == nil and next(stop) ~= nil) then
    errors.argument("%s: %sstop must be a list of strings", what, prefix)
  end
  local predict = options.num_predict
  if predict ~= nil and (type(predict) ~= "number" or not math.tointeger(predict)) then
    errors.argument("%s: %snum_predict must be a whole number of tokens, got %s", what, prefix, errors.describe(predict))
  end
end
M.sampling = sampling

--- The options of a call: a table, or the name of a sampling profile; `sampling` beside it is such a name too, over which the
--- table goes. The same table when there is no name.
---@param what string
---@param given string|table|nil
---@param name string|table|nil
---@return table|nil
---Raises `argument` for a name that nobody knows.
function M.sampled(what, given, name)
  if type(given) == "string" then given, name = name, given end
  for _, value in ipairs { given, name } do
    if type(value) ~= "table" and type(value) ~= "string" then
      errors.argument("%s: options must be a table, or the name of a sampling profile, got %s", what, errors.describe(value))
    end
  end
  if name == nil then return given end
  local profile = name
  if type(name) == "string" then
    local known = config.get().sampling
    profile = known[name]
    if not profile then
      local names = ordered.names(known)
      local near = errors.suggest(name, names)
      errors.raise("argument", ("%s: no sampling profile is named %s%s"):format(what, name,
        near and (" (did you mean %s?)"):format(near) or ""),
        { hint = ("known: %s; more in stoke.config.lua: sampling = { %s = { temperature = 0.3 } }"):format(
          table.concat(names, ", "), name:find "^%a[%w_]*$" and name or "mine") })
    end
  end
  local out = {}
  for _, from in ipairs { profile, type(given) == "table" and given or nil } do
    for key, value in next, from do out[key] = value end
  end
  return out
end

local LEVELS = { low = true, medium = true, high = true, max = true }

local function thinking(what, think)
  if type(think) == "boolean" or LEVELS[think] then return end
  errors.argument("%s: think must be true, false, \"low\", \"medium\", \"high\" or \"max\", got %s", what,
    type(think) == "string" and ("%q"):format(think) or type(think))
end

local KEYWORDS = {}
for word in ("type properties items enum const anyOf oneOf allOf not if then else required prefixItems pattern format minimum "
  .. "maximum title description additionalProperties definitions minLength maxLength minItems maxItems nullable default")
  :gmatch "%S+" do KEYWORDS[word] = true end

local function is_json_schema(format)
  for key in next, format do
    if KEYWORDS[key] or type(key) == "string" and key:find "^%$" then return true end
  end
  return false
end

--- What the server is given as `format`: a stoke.schema goes out as servers take it, a JSON Schema of a
--- script as it is.
---@param format any
---@return any
function M.format(format)
  local meta = type(format) == "table" and getmetatable(format)
  return meta and meta.__name == "stoke.schema" and format:format() or format
end

local function format_of(what, options)
  local format = M.format(options.format)
  if type(format) == "table" and next(format) ~= nil and not json.is_array(format) and not is_json_schema(format) then
    errors.raise("argument", what .. ": format is no JSON Schema: it has none of its keywords",
      { hint = "format = stoke.schema { field = \"string\", ... } makes one of the short notation" })
  end
  if format ~= "json" and (type(format) ~= "table" or next(format) == nil or json.is_array(format)) then
    errors.argument("%s: format must be \"json\" or a JSON Schema (a table), got %s", what,
      type(format) == "table" and "an empty one or a list" or type(format) == "string" and ("%q"):format(format) or type(format))
  end
  if options.tools and next(options.tools) ~= nil then
    errors.raise("argument", what .. ": format and tools do not mix: the model could write no call",
      { hint = "call the tools first, then ask once more with format and without tools" })
  end
end

local TIMEOUTS = { connect = true, first_byte = true, idle = true, total = true }

--- Seconds by phase; false lifts a limit.
function M.timeouts(what, timeouts)
  errors.options(timeouts, TIMEOUTS, what .. ": timeouts")
  for _, name in ipairs { "connect", "first_byte", "idle", "total" } do
    local value = timeouts[name]
    if value ~= nil and value ~= false and not (type(value) == "number" and value > 0) then
      errors.argument("%s: timeouts.%s must be seconds above 0, or false for no limit, got %s", what, name, tostring(value))
    end
  end
end

--- What all inference calls may hold; raises `argument`.
---@param what string "ollama.chat"
---@param options table
---@param allowed table
function M.check(what, options, allowed)
  if type(options) == "table" and (type(options.options) == "string" or options.sampling ~= nil) then
    local plain = {}
    for name, value in next, options do plain[name] = value end
    plain.options, plain.sampling = M.sampled(what, options.options, options.sampling), nil
    options = plain
  end
  options = errors.options(options, allowed, what)
  M.model(what, options.model)
  if options.keep_alive ~= nil then
    errors.raise("argument", what .. ": keep_alive on a call can keep other models from loading",
      { hint = "set it once: ollama.load { model =, keep_alive = }, or in the model's profile" })
  end
  if options.shift ~= nil then refuse_load(what, options.model, "shift") end
  if options.options then sampling(what, options.model, options.options) end
  if options.think ~= nil then thinking(what, options.think) end
  if options.format ~= nil then format_of(what, options) end
  if options.timeouts then M.timeouts(what, options.timeouts) end
  return options
end

--- A model's name.
function M.model(what, model)
  if model == nil then errors.argument("%s: model is missing", what) end
  if type(model) ~= "string" or model == "" then
    errors.argument("%s: a model's name expected, got %s", what, model == "" and "an empty string" or type(model))
  end
  return model
end

-- ---- messages -----------------------------------------------------------------------------------------------------------------

--- Mark an empty list, which would go out as {}; any other is one by itself.
function M.list(list)
  return next(list) == nil and json.array {} or list
end

local function check_call(what, i, call)
  local f = type(call) == "table" and call["function"]
  if type(f) ~= "table" or type(f.name) ~= "string" then
    errors.argument("%s: messages[%d].tool_calls: each needs function = { name =, arguments = }", what, i)
  end
  if type(f.arguments) == "string" then
    errors.raise("argument", ("%s: messages[%d]: the arguments of %s are a string; Ollama wants a table"):format(what, i, f.name),
      { hint = "send back the tool_calls of the reply as they came" })
  end
end

local FIELDS = { tool_calls = "table", images = "table", thinking = "string", tool_name = "string" }

--- A message that has a field it cannot have as it is: null is left out, as other APIs write what is not there.
local function mend(what, i, message)
  local copy = setmetatable({}, getmetatable(message))
  for name, value in next, message do
    local wanted = FIELDS[name]
    if wanted and value ~= json.null and type(value) ~= wanted then
      errors.argument("%s: messages[%d].%s must be a %s, got %s", what, i, name, wanted, errors.describe(value))
    end
    if not wanted or value ~= json.null then copy[name] = value end
  end
  return copy
end

local function is(value, kind) return value == nil or type(value) == kind end

local function checked(what, i, message)
  if not (is(message.tool_calls, "table") and is(message.images, "table") and is(message.thinking, "string")
    and is(message.tool_name, "string")) then
    message = mend(what, i, message)
  end
  local calls = message.tool_calls
  for j = 1, calls and #calls or 0 do check_call(what, i, calls[j]) end
  return message
end

--- Roles of other libraries, which no model's template knows: it would leave them out without a word. "developer" and "model" are
--- not among them: some templates do.
local STRANGERS = { human = "user", ai = "assistant", bot = "assistant", ["function"] = "tool" }

--- Has it no field that must be looked at? Most have none.
local function is_plain(message)
  return message.tool_calls == nil and message.images == nil and message.thinking == nil and message.tool_name == nil
end

--- The message with its images read and no empty list; itself where it is so.
local function ready(message, what, images)
  local calls, pictures = message.tool_calls, message.images
  if not pictures and not (calls and #calls == 0) then return message end
  local copy = setmetatable({}, getmetatable(message))
  for name, value in next, message do copy[name] = value end
  if calls and #calls == 0 then copy.tool_calls = nil end
  if pictures then copy.images = #pictures > 0 and images(what, pictures) or nil end
  return copy
end

--- Base64 of a file's bytes.
---@param path string
---@return string
function M.image(path)
  if type(path) ~= "string" then errors.argument("ollama.image: a path expected, got %s", type(path)) end
  require "core.driver.fs"
  return errors.check(require "core.hash".base64(errors.check(effect.perform("fs.read", { path = path }))))
end

--- { path = } becomes the file's bytes; strings are base64 already, a leading data: URL is taken off.
function M.images(what, list)
  local out = json.array {}
  for i = 1, #list do
    local image = list[i]
    if type(image) == "table" and type(image.path) == "string" then
      out[i] = M.image(image.path)
    elseif type(image) == "string" then
      out[i] = image:gsub("^data:[^,]*;base64,", "")
    else
      errors.argument("%s: images[%d] must be { path = } or base64, got %s", what, i, type(image))
    end
  end
  return out
end

--- Messages as the server wants them: images read, empty lists left out.
---@param what string
---@param messages table[]
---@param images fun(what: string, list: table): table reads them
function M.messages(what, messages, images)
  local out
  if messages[1] == nil and next(messages) ~= nil then
    errors.argument("%s: messages must be a list of messages, { { role = \"user\", content = ... } }, got %s", what,
      errors.describe(messages))
  end
  for i = 1, #messages do
    local message = messages[i]
    if type(message) ~= "table" or type(message.role) ~= "string" then
      errors.argument("%s: messages[%d] must be a table with role and content", what, i)
    end
    local meant = STRANGERS[message.role]
    if meant then errors.argument("%s: messages[%d]: the role %q is %q here", what, i, message.role, meant) end
    if not is_plain(message) then
      message = ready(checked(what, i, message), what, images)
      if message ~= messages[i] then
        out = out or table.move(messages, 1, #messages, 1, {})
        out[i] = message
      end
    end
  end
  return M.list(out or messages)
end

-- ---- embeddings ---------------------------------------------------------------------------------------------------------------

local LONG = { "error", "chunk", "truncate" }

--- What a call that embeds is given, checked.
---@param what string
---@param given table { input, long?, truncate?, partial?, normalise?, cache?, dimensions?, options?, endpoint?, timeouts? }
---@return string[] texts
---@return stoke.embed.about about and normalise
---Raises `argument`.
function M.embed(what, given)
  local input, long = given.input, given.long
  if input == nil then errors.argument("%s: input is missing", what) end
  if type(input) ~= "table" and type(input) ~= "string" then
    errors.argument("%s: input must be a string or a list of strings, got %s", what, type(input))
  end
  for i = 1, type(input) == "table" and #input or 0 do
    if type(input[i]) ~= "string" then errors.argument("%s: input[%d] must be a string, got %s", what, i, type(input[i])) end
  end
  if long ~= nil and long ~= "error" and long ~= "chunk" and long ~= "truncate" then
    local near = errors.suggest(long, LONG)
    errors.raise("argument", ("%s: long must be \"error\", \"chunk\" or \"truncate\", got %q"):format(what, long),
      { hint = near and ("did you mean %q?"):format(near) or nil })
  end
  if given.truncate and long ~= nil and long ~= "truncate" then
    errors.argument("%s: truncate = true and long = %q say two things; leave truncate away", what, long)
  end
  local cache = given.cache
  if cache ~= nil and type(cache) ~= "boolean" then errors.argument("%s: cache must be a boolean, got %s", what, type(cache)) end
  return type(input) == "string" and { input } or input, { endpoint = given.endpoint, timeouts = given.timeouts,
    dimensions = given.dimensions, options = given.options, auto_pull = given.auto_pull,
    long = given.truncate and "truncate" or long, partial = given.partial, normalise = given.normalise, cache = cache,
    single = type(input) == "string" }
end

return M
