--- The embedding cache: a text's vector by the text, the model's digest and all of the request that could change it. It is on
--- unless somebody switches it off, as the same model gives the same text the same vector: nothing in it grows old.
---
--- Along a route it is used where all servers have the same model, as a vector of one and a vector of another cannot be compared.
--- Without a digest there is no cache.

local current = require "core.task".current
local errors = require "core.errors"
local files = require "core.cache.file"
local park = require "host.task".park
local keys = require "core.cache.key"
local models = require "core.cache.models"
local settings = require "core.cache.settings"

local M = {}

local KIND <const> = "embedding"
--- Texts that are looked up at once.
local SLICE <const> = 256

--- Where vectors are kept.
---@return stoke.cache.file
function M.store() return files.of() end

--- Forget them, so that a test does not depend on the one before.
function M.forget()
  files.forget()
  models.forget()
end

---@class stoke.embed.vault
---@field file stoke.cache.file
---@field prefix string of its keys
---@field long? "chunk"|"truncate"
---@field digest string
---@field model string
---@field target stoke.target
local Vault = {}
Vault.__index = Vault

--- May a call use it?
---@param setting boolean|table|nil of the call
---@param general boolean|table|nil of the settings
---@return boolean
function M.wanted(setting, general)
  local task = current()
  local context = task and (task.scope or task).context
  if context and context.tape then return false end -- a cassette has the requests of a test, whatever is in a cache
  if setting == nil then setting = context and context.terms and context.terms.cache end
  if setting == nil then setting = general end
  return setting ~= false and not (type(setting) == "table" and setting.embeddings == false)
end

--- What a caller says that the model is, where its server does not tell.
local function identity_of(setting)
  local task = current()
  local terms = task and (task.scope or task).context.terms
  if setting == nil then setting = terms and terms.cache end
  if setting == nil then setting = settings.default end
  return type(setting) == "table" and setting.identity or nil
end

--- What of a request and of its target makes one vector another than its text alone; nil where nobody can tell.
local function prefix_of(target, about)
  local identity, digest
  for _, candidate in ipairs(target.candidates) do
    local why, unsure
    digest, why, unsure = models.digest(candidate, identity_of(about.cache))
    if not digest or unsure then return nil, why end
    local profile = candidate.profile
    if profile and profile.automatic and about.long and about.long ~= "error" then return nil end -- its window is the moment's
    local own = keys.canonical { files.project(), digest, candidate.dialect.name, profile and profile.options or false }
    if not own or identity and identity ~= own then return nil end
    identity = own
  end
  local q, body = target.dialect.embedding(target, about, {}, false), {}
  for name, value in next, q.body do body[name] = value end
  body.input, body.model, body.truncate, body.keep_alive = nil, nil, nil, nil
  local rest = keys.canonical { q.path, body }
  return rest and identity .. rest, digest
end

--- The cache, as a call sees it.
---@param target stoke.target
---@param about stoke.embed.about
---@return stoke.embed.vault|nil vault nil: it does without
---Raises `cancelled`.
---
--- Example: `local vault = embedding.wanted(about.cache) and embedding.open(target, about)`
function M.open(target, about)
  local prefix, digest = prefix_of(target, about)
  if not prefix then
    if errors.is(digest) and digest.kind == "cancelled" then error(digest, 0) end
    return nil
  end
  local long = about.long ~= "error" and about.long or nil
  return setmetatable({ file = M.store(), prefix = prefix, long = long, digest = digest, model = target.name,
    target = target }, Vault)
end

local function key_of(vault, text, mode) return keys.of(KIND, vault.prefix, mode or "", text) end

--- Fill in what is there.
---@param items stoke.embed.item[]
---@return stoke.embed.item[] missing
function Vault:look(items)
  local missing = {}
  for first = 1, #items, SLICE do
    local list, modes, wanted_keys = {}, {}, {}
    for i = first, math.min(first + SLICE - 1, #items) do
      local plain = key_of(self, items[i].text)
      local other = self.long and key_of(self, items[i].text, self.long)
      list[#list + 1], modes[#modes + 1] = plain, other or false
      wanted_keys[#wanted_keys + 1], wanted_keys[#wanted_keys + 2] = plain, other or nil
    end
    local found = self.file:many(KIND, wanted_keys)
    if first > 1 then park("embeddings", 0) end -- others have their turn
    for i, plain in ipairs(list) do
      local item = items[first + i - 1]
      local packed = found[plain]
      if not packed and modes[i] then
        packed = found[modes[i]]
        item.mode = packed and self.long or nil
      end
      if packed and #packed > 0 and #packed % 4 == 0 then item.packed, item.hit = packed, true else missing[#missing + 1] = item end
    end
  end
  return missing
end

--- Keep a vector.
---@param item stoke.embed.item
---@param endpoint string where it was asked
function Vault:put(item, endpoint)
  local file, key = self.file, key_of(self, item.text, item.mode)
  file:put(KIND, key, item.packed, { model = self.model, digest = self.digest, endpoint = endpoint })
  for _, candidate in ipairs(self.target.candidates) do
    if candidate.endpoint.name == endpoint then
      models.confirm(candidate, self.digest, function() file:delete(KIND, key) end)
      return
    end
  end
end

return M
