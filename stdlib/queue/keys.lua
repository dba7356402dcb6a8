--- Values by key that all users of an engine share, and logs by key that only one may go on with.

local effect = require "core.effect"
local errors = require "core.errors"
local scopes = require "core.scope"
local words = require "stoke.queue.words"

local M = {}

local function perform(self, name, q)
  q.queue = self.queue.name
  return errors.check(effect.perform(name, q, self.queue))
end

-- ---- values -----------------------------------------------------------------------------------------------------------------

---@class stoke.queue.kv
---@field bucket string
local Kv = {}
Kv.__index = Kv
Kv.__name = "stoke.queue.kv"

---@param queue stoke.queue
---@param bucket string
---@return stoke.queue.kv
function M.kv(queue, bucket)
  return setmetatable({ queue = queue, bucket = words.name("queue:kv: the bucket", bucket) }, Kv)
end

local function key_of(self, what, key)
  scopes.check_self(self, Kv, what .. "()")
  return words.name(what .. ": the key", key)
end

--- The value of a key, and its revision.
---@param key string
---@return any value nil: there is none
---@return integer revision 0: there is none
---
--- Example: `local leader, revision = kv:get "leader"`
function Kv:get(key)
  local found = perform(self, "queue.kv_get", { bucket = self.bucket, key = key_of(self, "kv:get", key) })
  if not found then return nil, 0 end
  return words.decode("the key %s of %s", found.value, nil, key, self.bucket), found.revision
end

--- Give a key a value, whatever it had.
---@param key string
---@param value any plain data
---@return integer revision
---
--- Example: `kv:put("limit", 10)`
function Kv:put(key, value)
  key = key_of(self, "kv:put", key)
  return perform(self, "queue.kv_put", { bucket = self.bucket, key = key, value = words.encode("kv:put", value) })
end

--- Give a key a value where nobody has changed it since.
---@param key string
---@param value any plain data
---@param revision integer as kv:get told it; 0: only where there is none
---@return integer|nil revision nil: it was changed
---
--- Example: `if kv:swap("leader", name, 0) then lead() end`
function Kv:swap(key, value, revision)
  key = key_of(self, "kv:swap", key)
  return perform(self, "queue.kv_swap", { bucket = self.bucket, key = key, value = words.encode("kv:swap", value),
    revision = words.whole("kv:swap: the revision", revision, 0) }) or nil
end

--- Take a key away.
---@param key string
---@param revision? integer only where it has this one
---@return boolean gone false: there is none, or it was changed
---
--- Example: `kv:delete("leader", revision)`
function Kv:delete(key, revision)
  key = key_of(self, "kv:delete", key)
  if revision ~= nil then words.whole("kv:delete: the revision", revision, 1) end
  return perform(self, "queue.kv_delete", { bucket = self.bucket, key = key, revision = revision })
end

--- The keys that begin so, sorted.
---@param prefix? string all of them without it
---@return string[]
---
--- Example: `for _, name in ipairs(kv:keys "host.") do print(name) end`
function Kv:keys(prefix)
  scopes.check_self(self, Kv, "kv:keys()")
  if prefix ~= nil and prefix ~= "" then words.name("kv:keys: the prefix", prefix) end
  return perform(self, "queue.kv_keys", { bucket = self.bucket, prefix = prefix or "" })
end

--- Changes as they come, first what there is: for key, value, revision in kv:watch() do. A value of nil: it was deleted. Of changes
--- that follow each other quickly the last may be the only one that is seen.
---@param prefix? string
---@return fun(): string|nil, any, integer|nil
---
--- Example: `for name, value in kv:watch "host." do print(name, value) end`
function Kv:watch(prefix)
  scopes.check_self(self, Kv, "kv:watch()")
  if prefix ~= nil and prefix ~= "" then words.name("kv:watch: the prefix", prefix) end
  local since, list, at = 0, {}, 0
  return function()
    while not list[at + 1] do
      list, at = perform(self, "queue.kv_watch", { bucket = self.bucket, prefix = prefix or "", since = since, wait = 60 }), 0
    end
    at = at + 1
    local change = list[at]
    since = math.max(since, change.revision)
    return change.key, words.decode("the key %s of %s", change.value, nil, change.key, self.bucket), change.revision
  end
end

-- ---- logs -------------------------------------------------------------------------------------------------------------------

---@class stoke.queue.log
---@field name string
local Log = {}
Log.__index = Log
Log.__name = "stoke.queue.log"

---@param queue stoke.queue
---@param name string
---@return stoke.queue.log
function M.log(queue, name)
  return setmetatable({ queue = queue, name = words.name("queue:log: the name", name) }, Log)
end

local function log_key(self, what, key)
  scopes.check_self(self, Log, what .. "()")
  return words.name(what .. ": the key", key)
end

--- Append a record to a key, where `after` is the last there is: who appends knows that nobody else did.
---@param key string
---@param after integer offset of the last record of this key; 0: there is none
---@param value any plain data
---@return integer|nil offset nil: the last one is another
---@return integer|nil last which one it is
---
--- Example: `local offset = history:append("run_1", 0, { state = "begun" })`
function Log:append(key, after, value)
  key = log_key(self, "log:append", key)
  local done = perform(self, "queue.log_append", { name = self.name, key = key, after = words.whole("log:append: after", after, 0),
    value = words.encode("log:append", value) })
  if done.offset then return done.offset end
  return nil, done.last
end

--- Records of a key, oldest first.
---@param key string
---@param options? { from?: integer, limit?: integer } from: an offset (1); limit: so many at most (1000)
---@return { offset: integer, value: any }[]
---
--- Example: `for _, record in ipairs(history:read "run_1") do print(record.offset, record.value) end`
function Log:read(key, options)
  key = log_key(self, "log:read", key)
  options = errors.options(options, { from = "number", limit = "number" }, "log:read")
  local list = perform(self, "queue.log_read", { name = self.name, key = key,
    from = words.whole("log:read: from", options.from or 1, 1),
    limit = words.whole("log:read: limit", options.limit or 1000, 1, 1000) })
  for i, record in ipairs(list) do
    list[i] = { offset = record.offset,
      value = words.decode("a record of %s in the log %s", record.value, nil, key, self.name) }
  end
  return list
end

--- Forget the records of a key: its next one comes after 0.
---@param key string
---
--- Example: `history:drop "run_1"`
function Log:drop(key)
  perform(self, "queue.log_drop", { name = self.name, key = log_key(self, "log:drop", key) })
end

return M
