--- Effects on the cache of answers, from outside: cache.use, cache.stats, cache.list, cache.find, cache.clear, cache.wrong,
--- cache.export, cache.import. Calls find their answers in it by themselves (lua/gate/cache.lua).

local effect = require "core.effect"
local errors = require "core.errors"
local files = require "core.cache.file"
local fs = require "host.fs"
local keys = require "core.cache.key"
local place = require "core.store.place"
local plain = require "core.store.plain"
local settings = require "core.cache.settings"
local streams = require "core.stream"
local values = require "core.cache.value"

local M = {}

-- ---- which file -----------------------------------------------------------------------------------------------------------------

local function there(path)
  local stat = fs.stat(path)
  return stat ~= nil and stat.type == "file"
end

--- The file that is looked at: one that is named, that of the settings, the working folder's, or the user's own.
local function located(path)
  local tried = { path or settings.path }
  if not tried[1] then tried = { (place.path("./x"):gsub("[^/]*$", "cache.db")), (place.path():gsub("[^/]*$", "cache.db")) } end
  for _, one in ipairs(tried) do
    if there(one) then return one end
  end
  return nil, errors.new("usage", ("there is no cache: no file %s"):format(table.concat(tried, ", and none at ")),
    { hint = "cache = true at a call, an agent or in stoke.config.lua begins one; --file PATH names it" })
end

effect.define("cache.use", { class = "idempotent", taped = false, why = "it is about a file of this machine", run = function(q)
  local path, err = located(q.path)
  if not path then return nil, err end
  files.forget()
  files.path = path
  return path
end })

-- ---- looking --------------------------------------------------------------------------------------------------------------------

--- The text of a stream, its pieces put together.
local function streamed(text)
  local parts = {}
  for _, item in streams.items(text) do
    if item.type == "text" then parts[#parts + 1] = item.text end
    if item.type == "tool_call" then parts[#parts + 1] = ("[calls %s]"):format(tostring(item.name)) end
  end
  return table.concat(parts)
end

--- What an entry says, as a text; nil where it says nothing that could be read.
local function said(kind, value)
  if kind == "exact" then
    local reply = values.decode(value)
    local message = reply and reply.message
    if type(message) ~= "table" then return reply and reply.response end
    local call = type(message.tool_calls) == "table" and message.tool_calls[1]
    local name = call and call["function"] and call["function"].name
    return name and ("%s[calls %s]"):format(message.content or "", tostring(name)) or message.content
  end
  if kind == "stream" then
    local ok, text = pcall(streamed, value)
    return ok and text or nil
  end
  if kind == "embedding" then return ("%d numbers"):format(#value // 4) end
end

---@class stoke.cache.entry
---@field id string 64 digits; the first ones that no other entry has will do
---@field kind string "exact", "stream", "embedding", "prefix", "semantic"
---@field model? string
---@field digest? string of the model
---@field endpoint? string
---@field script? string that asked
---@field run? string the durable run that asked
---@field made number seconds since 1970
---@field ttl? number seconds for which it is fresh; nil: for ever
---@field hits integer
---@field bytes integer
---@field tokens? integer of the answer
---@field seconds? number that it took
---@field text? string what it says

local function entry_of(kind, key, meta)
  local facts = meta.facts
  return { id = keys.hex(key), kind = kind, model = facts.model, digest = facts.digest, endpoint = facts.endpoint,
    script = facts.script, run = facts.run, made = meta.made, ttl = meta.ttl, hits = meta.hits, bytes = meta.bytes,
    tokens = facts.output_tokens, seconds = facts.seconds, text = said(kind, meta.value) }
end

effect.define("cache.stats", { class = "pure", taped = true, run = function()
  local stats = files.of():stats()
  local gate = package.loaded["core.gate.cache"]
  stats.calls = gate and gate.counts or nil
  return stats
end })

effect.define("cache.list", { class = "pure", run = function(q)
  local list = {}
  for kind, key, meta in files.of():each(q.kind) do
    if #list == q.limit then break end
    if kind ~= "digest" and (not q.model or meta.facts.model == q.model) then list[#list + 1] = entry_of(kind, key, meta) end
  end
  return list
end })

--- The entry whose id begins so.
local function find(id)
  local digits = type(id) == "string" and id:lower() or ""
  if not digits:find "^%x+$" or #digits > 64 then
    return nil, errors.new("usage", ("%q is no id of an entry"):format(tostring(id)), { hint = "stoke cache list shows them" })
  end
  local whole = digits:sub(1, #digits // 2 * 2)
  local from = whole:gsub("..", function(two) return string.char(tonumber(two, 16)) end)
  local found = {}
  for kind, key, meta in files.of():each(nil, from) do
    if keys.hex(key):sub(1, #digits) == digits then found[#found + 1] = { kind = kind, key = key, meta = meta } end
    if #found > 1 and found[2].key ~= found[1].key then break end
  end
  local first, second = found[1], found[2]
  if not first then
    return nil, errors.new("usage", ("no entry has the id %s"):format(id), { hint = "stoke cache list shows them" })
  end
  if second and second.key ~= first.key then
    return nil, errors.new("usage", ("%s is how several ids begin"):format(id), { hint = "write more of it" })
  end
  return first
end

effect.define("cache.find", { class = "pure", run = function(q)
  local found, err = find(q.id)
  if not found then return nil, err end
  return entry_of(found.kind, found.key, found.meta)
end })

-- ---- changing -------------------------------------------------------------------------------------------------------------------

effect.define("cache.clear", { class = "idempotent", repeats = true, run = function(q)
  return files.of():clear { kind = q.kind, older = q.older, model = q.model }
end })

effect.define("cache.wrong", { class = "idempotent", repeats = true, run = function(q)
  local found, err = find(q.id)
  if not found then return nil, err end
  local id = keys.hex(found.key)
  local taught = false
  if files.of():each "semantic"() then taught = require "core.gate.semantic".wrong(id:sub(1, 8)) or false end
  files.of():delete(found.kind, found.key)
  return { id = id, kind = found.kind, taught = taught }
end })

-- ---- from one machine to another --------------------------------------------------------------------------------------------

local FORMAT <const> = "stoke.cache.1"

effect.define("cache.export", { class = "pure", run = function(q)
  local lines = { plain.encode { format = FORMAT } }
  for kind, key, meta in files.of():each(q.kind) do
    if kind ~= "digest" and (not q.model or meta.facts.model == q.model) then
      lines[#lines + 1] = plain.encode { kind = kind, key = keys.hex(key), value = meta.value, made = meta.made, ttl = meta.ttl,
        facts = meta.facts }
    end
  end
  return { text = table.concat(lines, "\n") .. "\n", entries = #lines - 1 }
end })

local function broken(n, what)
  return errors.new("usage", ("line %d: %s"):format(n, what), { hint = "stoke cache export FILE writes what can be read here" })
end

effect.define("cache.import", { class = "idempotent", repeats = true, run = function(q)
  local n, count, file = 0, 0, files.of()
  for line in q.text:gmatch "[^\n]+" do
    n = n + 1
    local row = plain.decode(line)
    if type(row) ~= "table" then return nil, broken(n, "this is no line of an exported cache") end
    if n == 1 and row.format ~= FORMAT then return nil, broken(n, "this is no exported cache, or one of another version") end
    if n > 1 then
      local key = type(row.key) == "string" and keys.parse(row.key)
      local whole = key and type(row.kind) == "string" and type(row.value) == "string"
      if not whole then return nil, broken(n, "an entry is incomplete") end
      local facts = type(row.facts) == "table" and row.facts or {}
      if file:put(row.kind, key, row.value, facts, tonumber(row.ttl), tonumber(row.made)) then
        count = count + 1
      end
      if count % 256 == 0 then file:flush() end
    end
  end
  if n == 0 then return nil, broken(1, "the file is empty") end
  file:flush()
  return { entries = count }
end })

return M
