-- Clients that read strictly, as their sources do: which fields must be there, of which type, and what is done with them.
--
--     readers.zed.line(text)     raises where Zed would show a parse error
--
-- A shape maps the names of fields to types; `name?` may be missing or null. What a shape does not name is passed over, as it is by
-- the clients.

local json = require "stoke.json"

local M = {}

local function is_missing(value) return value == nil or value == json.null end

local read

local TYPES = {
  string = function(value) return type(value) == "string" end,
  boolean = function(value) return type(value) == "boolean" end,
  unsigned = function(value) return math.type(value) == "integer" and value >= 0 end,
  object = function(value) return type(value) == "table" and not json.is_array(value) end,
  -- Swift's formatter has the fraction in its pattern: without one it reads no date.
  swift_date = function(value)
    return type(value) == "string" and value:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d+Z$"
  end,
  -- Python before 3.11 takes three or six digits, and no Z.
  python_date = function(value)
    return type(value) == "string" and value:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%d[+-]%d%d:%d%d$"
  end,
}

--- A value in a shape: the name of a type, `{ list = shape }`, or a map of fields.
function read(value, shape, where)
  if type(shape) == "string" then
    if not TYPES[shape](value) then error(("%s is no %s: %s"):format(where, shape, tostring(value)), 0) end
  elseif shape.list then
    if type(value) ~= "table" or not json.is_array(value) then error(where .. " is no list", 0) end
    for i, item in ipairs(value) do read(item, shape.list, ("%s[%d]"):format(where, i)) end
  else
    read(value, "object", where)
    for name, inner in pairs(shape) do
      local known, optional = name:gsub("%?$", "")
      local field = value[known]
      if not is_missing(field) then
        read(field, inner, where .. "." .. known)
      elseif optional == 0 then
        error(where .. "." .. known .. " is missing", 0)
      end
    end
  end
  return value
end

local function reader(shape, name)
  return function(text) return read(json.decode(text), shape, name) end
end

-- ---- Zed: serde, a missing field is an error ------------------------------------------------------------------------------------

local ZED_DETAILS = { format = "string", family = "string", ["families?"] = { list = "string" }, parameter_size = "string",
  quantization_level = "string" }

M.zed = {
  tags = reader({ models = { list = { name = "string", modified_at = "string", size = "unsigned", digest = "string",
    details = ZED_DETAILS } } }, "tags"),
  show = reader({ ["capabilities?"] = { list = "string" } }, "show"),
  line = reader({ model = "string", created_at = "string", done = "boolean", ["done_reason?"] = "string",
    ["prompt_eval_count?"] = "unsigned", ["eval_count?"] = "unsigned",
    message = { role = "string", content = "string", ["thinking?"] = "string", ["images?"] = { list = "string" },
      ["tool_calls?"] = { list = { ["function"] = { name = "string", arguments = "object" } } } } }, "line"),
}

-- ---- VS Code --------------------------------------------------------------------------------------------------------------------

M.vscode = {
  version = reader({ version = "string" }, "version"),
  tags = reader({ models = { list = { model = "string" } } }, "tags"),
  show = reader({ template = "string", capabilities = { list = "string" }, details = { family = "string" },
    model_info = { ["general.basename"] = "string", ["general.architecture"] = "string" } }, "show"),
}

--- Is a version at least this one? Parts are numbers; what is none counts as 0.
function M.vscode.at_least(version, wanted)
  local function parts(text)
    local out = {}
    for part in text:gmatch "[^.]+" do out[#out + 1] = tonumber(part:match "^%d+") or 0 end
    return out
  end
  local have, least = parts(version), parts(wanted)
  for i = 1, math.max(#have, #least) do
    local a, b = have[i] or 0, least[i] or 0
    if a ~= b then return a > b end
  end
  return true
end

--- The tokens that a question and an answer may have.
function M.vscode.limits(info)
  local window = info[info["general.architecture"] .. ".context_length"] or 4096
  local output = window < 4096 and window // 2 or 4096
  return window - output, output
end

-- ---- Open WebUI -----------------------------------------------------------------------------------------------------------------

M.open_webui = {
  version = M.vscode.version,
  tags = reader({ models = { list = { model = "string", name = "string" } } }, "tags"),
  ps = reader({ models = { list = { name = "string", expires_at = "python_date" } } }, "ps"),
  line = reader({ model = "string", message = { ["content?"] = "string", ["thinking?"] = "string",
    ["tool_calls?"] = { list = { ["function"] = { name = "string", arguments = "object" } } } }, done = "boolean" }, "line"),
  error = reader({ error = "string" }, "error"),
}

-- ---- codecompanion.nvim ---------------------------------------------------------------------------------------------------------

M.codecompanion = {
  tags = reader({ models = { list = { name = "string" } } }, "tags"),
  show = reader({ capabilities = { list = "string" } }, "show"),
  line = reader({ created_at = "string", message = { role = "string", content = "string", ["thinking?"] = "string",
    ["tool_calls?"] = { list = { ["id?"] = "string", ["function"] = { name = "string", arguments = "object" } } } } }, "line"),
}

-- ---- Continue -------------------------------------------------------------------------------------------------------------------

M.continue = {
  show = reader({ ["parameters?"] = "string", ["template?"] = "string" }, "show"),
  line = reader({ message = { role = "string", content = "string",
    ["tool_calls?"] = { list = { ["function"] = { name = "string", arguments = "object" } } } } }, "line"),
  text = reader({ response = "string" }, "text"),
}

--- The parameters of show; a line that does not look as expected breaks it.
function M.continue.parameters(text)
  local out = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local name, value = line:match '^(%S+)%s+(".*")$'
    if not name then name, value = line:match "^(%S+)%s+(%S+)$" end
    if not name then error("a parameter that cannot be read: " .. line, 0) end
    out[name] = value
  end
  return out
end

-- ---- Enchanted, by OllamaKit: Codable, dates by a pattern -----------------------------------------------------------------------

M.enchanted = {
  tags = reader({ models = { list = { name = "string", digest = "string", size = "unsigned", modified_at = "swift_date",
    details = ZED_DETAILS } } }, "tags"),
  show = reader({ license = "string", template = "string", modelfile = "string", parameters = "string" }, "show"),
  line = reader({ model = "string", created_at = "swift_date", done = "boolean", ["done_reason?"] = "string",
    ["total_duration?"] = "unsigned", ["load_duration?"] = "unsigned", ["prompt_eval_count?"] = "unsigned",
    ["prompt_eval_duration?"] = "unsigned", ["eval_count?"] = "unsigned", ["eval_duration?"] = "unsigned",
    ["message?"] = { role = "string", content = "string",
      ["tool_calls?"] = { list = { ["function?"] = { ["name?"] = "string", ["arguments?"] = "object" } } } } }, "line"),
}

return M
