--- The models a simulated server has: their names, sizes, speeds and abilities, and how a name
--- finds its model.

local M = {}
local Models = {}
Models.__index = Models

local GiB = 1 << 30

-- What a catalogue entry says: family, bytes, parameters, quantisation, training context, width,
-- abilities.
local CATALOGUE = {
  ["qwen2.5:3b"] = { family = "qwen2", size = 1929912432, params = "3.1B", context = 32768, embedding = 2048,
    caps = { "completion", "tools" }, tps = 90 },
  ["qwen2.5:0.5b"] = { family = "qwen2", size = 397821319, params = "494.03M", context = 32768, embedding = 896,
    caps = { "completion", "tools" }, tps = 250 },
  ["qwen2.5-coder:1.5b"] = { family = "qwen2", size = 986062089, params = "1.5B", context = 32768, embedding = 1536,
    caps = { "completion", "tools", "insert" }, tps = 150 },
  ["llama3.2:1b"] = { family = "llama", size = 1321098329, params = "1.2B", context = 131072, embedding = 2048,
    caps = { "completion", "tools" }, quant = "Q8_0", tps = 140 },
  ["llama3.2:3b"] = { family = "llama", size = 2019393189, params = "3.2B", context = 131072, embedding = 3072,
    caps = { "completion", "tools" }, tps = 85 },
  ["qwen3:4b"] = { family = "qwen3", size = 2497293931, params = "4.0B", context = 262144, embedding = 2560,
    caps = { "completion", "tools", "thinking" }, tps = 75 },
  ["gemma3:4b"] = { family = "gemma3", size = 3338801804, params = "4.3B", context = 131072, embedding = 2560,
    caps = { "completion", "vision" }, tps = 70 },
  ["mistral:7b"] = { family = "llama", size = 4372824384, params = "7.2B", context = 32768, embedding = 4096,
    caps = { "completion", "tools" }, tps = 45 },
  ["nomic-embed-text"] = { family = "nomic-bert", size = 274302450, params = "137M", context = 2048, embedding = 768,
    caps = { "embedding" }, quant = "F16" },
  ["all-minilm"] = { family = "bert", size = 45960996, params = "23M", context = 512, embedding = 384,
    caps = { "embedding" }, quant = "F16" },
}

--- The names a server has when none are given.
M.DEFAULTS = { "qwen2.5:3b", "llama3.2:3b", "qwen3:4b", "nomic-embed-text", "all-minilm" }

local SERIAL = {}
for name in ("mllama qwen3vl qwen3vlmoe qwen35 qwen35moe qwen3next lfm2 lfm2moe nemotron_h nemotron_h_moe " ..
  "nemotron_h_omni"):gmatch "%S+" do SERIAL[name] = true end

--- The keys of a model's description, and what each takes.
M.KEYS = {
  family = "string", size = "bytes", params = "string", quant = "string", context = "integer", embedding = "integer",
  caps = "list", weights = "string", sha = "string", load = "number", tps = "number", prefill = "number",
  template = "string", calls = "string", fault = "string", chunk = "string", num_ctx = "integer", kv = "integer",
  serial = "boolean", thinking = "boolean", tools = "boolean", system = "string", load_error = "string",
  engine = "string", batch = "number",
}

--- 64 hex digits from a text: an identity for weights and manifests, not a checksum of anything.
---@param text string
---@return string
function M.pseudo_sha(text)
  local out = {}
  for k = 1, 4 do
    local h = 0xcbf29ce484222325 ~ (k * 0x9e3779b97f4a7c15)
    for i = 1, #text do h = (h ~ text:byte(i)) * 0x100000001b3 end
    h = (h ~ (h >> 29)) * 0xbf58476d1ce4e5b9
    out[k] = string.format("%016x", h ~ (h >> 32))
  end
  return table.concat(out)
end

--- Is this a name a server would accept? Parts: alphanumeric or `_` first, then also `-` `.`; at
--- most 80 characters.
---@param name string
---@return boolean
function M.valid_name(name)
  if name == "" then return false end
  local path, tag = name:match "^(.*):([^/:]*)$"
  path = path or name
  local n = 0
  for part in (path .. "/"):gmatch "([^/]*)/" do
    n = n + 1
    if not part:match "^[%w_][%w_.:-]*$" or #part > (n == 1 and 350 or 80) then return false end
  end
  return n <= 3 and not path:match "^[^/]*:[^/]*$" and (tag == nil or (tag:match "^[%w_][%w_.-]*$" ~= nil and #tag <= 80))
end

local DEFAULT_PREFIXES = { "registry.ollama.ai/library/", "registry.ollama.ai/", "library/" }

--- The short canonical form: defaults dropped from the front, `:latest` added at the end.
---@param name string
---@return string
function M.canonical(name)
  if name:sub(-6) == ":local" and name:find(":", 1, true) == #name - 5 then name = name:sub(1, -7) end
  for _, p in ipairs(DEFAULT_PREFIXES) do
    if name:sub(1, #p):lower() == p and name:find("/", #p + 1, true) == nil then name = name:sub(#p + 1) break end
  end
  if not name:match ":[^/]*$" then name = name .. ":latest" end
  return name
end

--- The long form, as it stands in some error texts.
---@param name string
---@return string
function M.long_name(name)
  local c = M.canonical(name)
  local _, slashes = c:gsub("/", "")
  if slashes == 0 then return "registry.ollama.ai/library/" .. c end
  return slashes == 1 and "registry.ollama.ai/" .. c or c
end

--- A name that is no name, spelled out: what is left empty is said to be missing.
---@param name string
---@return string
function M.spelled_out(name)
  local path, tag = name:match "^(.*):([^/:]*)$"
  path, tag = path or name, tag or "latest"
  local rest, model = path:match "^(.*)/([^/]*)$"
  model = model or path
  local host, space
  if rest then host, space = rest:match "^(.*)/([^/]*)$" end
  if rest and not space then space = rest end
  local function part(text, default) return text == nil and default or text == "" and "!MISSING!" or text end
  return ("%s/%s/%s:%s"):format(part(host, "registry.ollama.ai"), part(space, "library"), part(model), part(tag))
end

local UNITS = { K = 1e3, M = 1e6, G = 1e9, T = 1e12 }

local function convert(kind, value)
  if type(value) ~= "string" then return value end
  if kind == "number" then return tonumber(value) end
  if kind == "integer" then return math.tointeger(tonumber(value)) end
  if kind == "boolean" then
    if value == "true" or value == "1" then return true end
    if value == "false" or value == "0" then return false end
    return nil
  end
  if kind == "list" then
    local list = {}
    for word in value:gmatch "[^+]+" do list[#list + 1] = word end
    return list
  end
  if kind == "bytes" then
    local n, unit = value:match "^([%d.]+)([KMGT]?)"
    return tonumber(n) and math.floor(tonumber(n) * (UNITS[unit] or 1)) or nil
  end
  return value
end

--- Reads "NAME[,key=value...]" into a description.
---@param text string
---@return table? spec
---@return string? err what is wrong
---@return string? word the unknown key, for a suggestion
function M.parse(text)
  local name, rest = text:match "^([^,]*),?(.*)$"
  if not M.valid_name(name) then return nil, ("bad model name '%s'"):format(name) end
  local spec = { name = name }
  for item in rest:gmatch "[^,]+" do
    local key, value = item:match "^([%w_]+)=(.*)$"
    if not key then key, value = item, "true" end
    local kind = M.KEYS[key]
    if not kind then return nil, ("unknown model key '%s'"):format(key), key end
    spec[key] = convert(kind, value)
    if spec[key] == nil then return nil, ("model key '%s' needs %s, got '%s'"):format(key, kind, value) end
  end
  return spec
end

local function has(list, word)
  for _, w in ipairs(list) do if w == word then return true end end
  return false
end

local function abilities(spec, base)
  local caps = {}
  for _, c in ipairs(spec.caps or base.caps) do caps[#caps + 1] = c end
  for _, c in ipairs { "tools", "thinking" } do
    if spec[c] == true and not has(caps, c) then caps[#caps + 1] = c end
    if spec[c] == false then
      for i = #caps, 1, -1 do if caps[i] == c then table.remove(caps, i) end end
    end
  end
  return caps
end

local function base_of(name)
  local c = M.canonical(name):lower()
  local plain = c:gsub(":latest$", "")
  if CATALOGUE[plain] then return CATALOGUE[plain] end
  local family = plain:match "^[^:]+"
  local best
  for key in pairs(CATALOGUE) do -- the first of its family by name
    if key:match "^[^:]+" == family and (not best or key < best) then best = key end
  end
  if best then return CATALOGUE[best] end
  local embeds = plain:find("embed", 1, true) or plain:find("minilm", 1, true) or plain:find("bge", 1, true)
  return embeds and CATALOGUE["nomic-embed-text"] or CATALOGUE["qwen2.5:3b"]
end

--- Does the imagined registry have this name? (pull of any other fails)
---@param name string
---@return boolean
function M.in_library(name)
  local family = M.canonical(name):lower():match "^[^:]+"
  for key in pairs(CATALOGUE) do if key:match "^[^:]+" == family then return true end end
  return false
end

local function layers(context, size) -- default KV bytes per token: grows with the model
  return math.max(8192, math.floor(size / (2 * GiB) * 36864)), context
end

--- A whole model from a description; what it does not say comes from the catalogue entry nearest by
--- name.
---@param spec table
---@param defaults table? {load, tps, prefill}: a server's own settings
---@return table
function M.build(spec, defaults)
  defaults = defaults or {}
  local base = base_of(spec.name)
  local function pick(key, other)
    if spec[key] ~= nil then return spec[key] end
    if defaults[key] ~= nil then return defaults[key] end
    if base[key] ~= nil then return base[key] end
    return other
  end
  local m = { name = M.canonical(spec.name) }
  for _, k in ipairs { "family", "size", "params", "context", "embedding", "fault", "num_ctx", "load_error", "engine",
    "batch" } do
    m[k] = pick(k)
  end
  m.quant = pick("quant", "Q4_K_M")
  m.system = pick("system", "")
  m.caps = abilities(spec, base)
  m.load, m.tps, m.prefill = pick("load", 0.25), pick("tps", 80), pick("prefill", 2000)
  m.kv = pick("kv", (layers(m.context, m.size)))
  m.template = pick("template", "go")
  m.calls = pick("calls", m.template == "native" and "done" or "chunk")
  m.chunk = pick("chunk", "1")
  m.embed_only = not has(m.caps, "completion")
  m.serial = spec.serial or SERIAL[m.family] or m.embed_only
  m.sha = spec.sha or M.pseudo_sha("weights " .. (spec.weights or m.name:lower()))
  m.digest = M.pseudo_sha("manifest " .. m.name:lower() .. m.sha)
  m.key = m.sha
  m.modified = spec.modified or defaults.modified or 0
  m.parameters = spec.parameters or {}
  m.messages, m.license = spec.messages, spec.license
  return m
end

function M.can(model, cap) return has(model.caps, cap) end

--- A set of models.
---@param specs (string|table)[]? descriptions, or texts as `parse` takes them; nil = the usual few
---@param defaults table?
---@return table? models
---@return string? err
---@return string? word
function M.new(specs, defaults)
  local self = setmetatable({ list = {}, defaults = defaults or {}, blobs = {} }, Models)
  for i, spec in ipairs(specs and #specs > 0 and specs or M.DEFAULTS) do
    local err, word
    if type(spec) == "string" then
      spec, err, word = M.parse(spec)
      if not spec then return nil, err, word end
    end
    local m = M.build(spec, self.defaults)
    m.modified = m.modified - i
    self:put(m)
  end
  return self
end

--- Finds a model by any spelling of its name.
---@param name string
---@return table?
function Models:find(name)
  local want = M.canonical(name):lower()
  for _, m in ipairs(self.list) do
    if m.name:lower() == want then return m end
  end
  return nil
end

--- Adds a model, or replaces the one of that name.
function Models:put(model)
  self:remove(model.name)
  self.list[#self.list + 1] = model
end

---@param name string
---@return boolean removed
function Models:remove(name)
  local want = M.canonical(name):lower()
  for i, m in ipairs(self.list) do
    if m.name:lower() == want then table.remove(self.list, i) return true end
  end
  return false
end

--- Models as /api/tags lists them: newest first, names as the tie-break.
---@return table[]
function Models:sorted()
  local list = table.move(self.list, 1, #self.list, 1, {})
  table.sort(list, function(a, b)
    if a.modified ~= b.modified then return a.modified > b.modified end
    return a.name < b.name
  end)
  return list
end

--- A copy under another name, sharing the weights.
function Models:alias(model, name, modified)
  local m = {}
  for k, v in pairs(model) do m[k] = v end
  m.name = M.canonical(name)
  m.modified = modified
  m.digest = M.pseudo_sha("manifest " .. m.name:lower() .. m.sha)
  self:put(m)
  return m
end

return M
