--- Which model it is that a server has under a name: its digest. A name can be pulled or created anew, so no answer may be kept
--- under the name alone.
---
--- The server is asked for all of its models at once, by the first who needs one; the others wait for that answer. It is believed
--- for a second, and forgotten when this process changes models there (M.forget). A model that somebody else replaces may be
--- taken for the old one for that long; what the new one has said meanwhile is not kept under the old one's digest, as the server
--- has to confirm it (M.confirm). A server that cannot be asked has the models that it had: such a digest is unsure, and good
--- for nothing but an old answer in the place of an error.

local endpoints = require "core.endpoint"
local errors = require "core.errors"
local files = require "core.cache.file"
local host = require "host.task"
local keeper = require "core.keeper"
local keys = require "core.cache.key"
local monotonic = require "host.time".monotonic
local scopes = require "core.scope"
local tasks = require "core.task"

local M = {}

--- Seconds that an answer is believed, that the server may take for it, and until one that failed is asked again.
M.BELIEVED, M.PATIENCE, M.AGAIN = 1, 5, 5
--- Seconds that the end of a process waits for a server to confirm digests.
M.GOODBYE = 1

--- Servers that are remembered, at most.
local SERVERS <const> = 256

--- address -> { digests, asked = time, err? }, or { asking = tasks that wait }; before: digests that it had
local known, count = {}, 0
--- address -> what was kept under digests that its models were believed to have, since it was asked
local kept = {}

--- Forget what a server has, or what all have.
---@param url? string its address
---
--- Example: `models.forget(target.endpoint.url)`
function M.forget(url)
  if url then known[url] = nil else known, count, kept = {}, 0, {} end
end

local function ask(endpoint, dialect, seconds)
  local all = endpoints.target(endpoint, nil, dialect)
  local value, err = require "core.effect".perform("llm.admin", dialect.inventory(all, seconds or M.PATIENCE), all.candidates)
  if err then return nil, err end
  local digests = dialect.digests(value)
  if digests then return digests end
  return nil, errors.new("protocol", "the server does not tell the digests of its models")
end

--- What was kept under a digest that a model has no longer, as its server says, is taken back; where it does not say, that waits.
local function settle(url, list, digests)
  if not list then return end
  if not digests then
    local later = kept[url]
    if later then table.move(later, 1, #later, #list + 1, list) end
    kept[url] = list
    return
  end
  for _, item in ipairs(list) do
    if digests[item.name] ~= item.digest then item.back() end
  end
end

--- The list of a server, asked for by a task of the host's: it is part of no run and of no budget.
local function refresh(url, endpoint, dialect)
  if count >= SERVERS then known, count = {}, 0 end
  count = known[url] and count or count + 1
  local last = known[url]
  local entry = { asking = {}, before = last and (last.digests or last.before) }
  known[url] = entry
  local list = kept[url]
  kept[url] = nil
  tasks.spawn(function()
    local ok, digests, err = pcall(ask, endpoint, dialect)
    if not ok then digests, err = nil, errors.wrap(digests) end
    local answer = { digests = digests, err = err, asked = monotonic(), before = entry.before }
    settle(url, list, digests)
    if known[url] == entry then known[url] = answer end -- else its models have changed meanwhile
    scopes.wake_all(entry.asking)
  end, { system = true, name = "models" })
  return entry
end

--- The answer of a server, asked now or a moment ago; nil and an error of kind `cancelled`.
local function inventory(endpoint, dialect)
  local url = endpoint.url
  while true do
    local entry = known[url]
    local age = entry and entry.asked and monotonic() - entry.asked
    if not entry or age and age >= (entry.digests and M.BELIEVED or M.AGAIN) then entry = refresh(url, endpoint, dialect) end
    if entry.asked then return entry end
    local woken, err = scopes.queue_up(entry.asking, host.enter "models", "models")
    if woken == nil then return nil, err end
  end
end

--- The end of the process asks the servers which have not confirmed what was kept.
local function last_words()
  for url, list in pairs(kept) do
    kept[url] = nil
    local ok, digests = pcall(ask, list.endpoint, list.dialect, M.GOODBYE)
    if ok and digests then settle(url, list, digests) end
  end
end

--- The name of a target's model, as its server lists it.
local function name_of(target)
  local name, canonical = target.served or target.name, target.dialect.canonical
  return canonical and canonical(name) or name
end

--- Where the digest of a name is kept, for a process that finds its server down.
local function kept_key(url, name) return keys.of("digest", url, name) end

--- The digest that a model of a server had when it was last asked.
local function before(entry, url, name)
  local digest = entry.before and entry.before[name]
  if digest or entry.digests then return digest end
  return (files.of():get("digest", kept_key(url, name)))
end

--- The digest of a target's model, as its server tells it; where servers of its dialect tell none, what the caller says that it is.
---@param target stoke.target of one endpoint
---@param identity? string what the caller says
---@return string|nil digest nil: nobody can tell
---@return stoke.error|nil why of kind `cancelled`, too
---@return boolean|nil unsure the server cannot be asked, and had this one
---
--- Example: `local digest, why = models.digest(target)`
function M.digest(target, identity)
  local dialect, url = target.dialect, target.endpoint.url
  if not dialect.inventory then
    if identity then return ("%s %s at %s"):format(identity, name_of(target), url) end
    return nil, errors.new("usage", ("servers of the dialect %s do not tell which model they have under a name: say what it is, " ..
      'cache = { identity = "..." }, and change that when the model changes'):format(dialect.name))
  end
  local entry, cancelled = inventory(target.endpoint, dialect)
  if not entry then return nil, cancelled end
  local name = name_of(target)
  local digest = entry.digests and entry.digests[name]
  if digest then return digest end
  if not entry.digests then
    digest = before(entry, url, name)
    if digest then return digest, nil, true end
    return nil, entry.err
  end
  return nil, errors.new("http", ("the server of %s does not list the model %s"):format(target.endpoint.name, name),
    { hint = ("stoke pull %s"):format(target.name) })
end

--- Something is kept under the digest that a model is believed to have. It is taken back where the server, the next time that it
--- is asked, or at the end of the process, has another model under the name. Asks nothing itself.
---@param target stoke.target
---@param digest string
---@param back fun() takes it back; may wait
---
--- Example: `models.confirm(target, digest, function() file:delete("exact", key) end)`
function M.confirm(target, digest, back)
  if not target.dialect.inventory then return end
  local url = target.endpoint.url
  local list = kept[url]
  if not list then
    list = { endpoint = target.endpoint, dialect = target.dialect }
    kept[url] = list
    keeper.at_end(last_words)
  end
  list[#list + 1] = { name = name_of(target), digest = digest, back = back }
end

--- Keep the digest of a model of which an answer was kept.
---@param target stoke.target
---@param digest string
function M.keep(target, digest)
  local name, file = target.served or target.name, files.of()
  local key = kept_key(target.endpoint.url, name_of(target))
  local known_one = file:peek("digest", key)
  if known_one ~= digest then file:put("digest", key, digest, { model = name }) end
end

return M
