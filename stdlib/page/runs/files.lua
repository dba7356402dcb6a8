--- The files that the history is read from: the store of durable runs and the traces beside it, open to read as long as somebody
--- looks, whoever writes them meanwhile. A file that another one takes the place of is opened anew.

local errors = require "core.errors"
local file = require "core.history.file"
local pool = require "core.gate.pool"
local runs = require "core.runs"
local script = require "core.script"
local stores = require "core.store"
local traces = require "core.traces"

local M = {}

---@class stoke.page.files
---@field store? string path that was named; nil: where scripts keep theirs
---@field open table<string, { at: string, handle: table|userdata }> what is open, by path
local Files = {}
Files.__index = Files

---@param store? string
---@return stoke.page.files
---
--- Example: `local files = histories.new ".stoke/state.db"`
function M.new(store) return setmetatable({ store = store, open = {} }, Files) end

--- Where the store is; nil: there is none yet.
---@return string|nil
function Files:store_path()
  local own = runs.store()
  if not self.store and own then return own.path ~= ":memory:" and own.path or nil end
  return (runs.find_store(self.store))
end

--- Where the traces are, if they are kept.
---@return string
function Files:traces_path()
  if self.store then return (self.store:gsub("[^/]*$", "traces.db")) end
  return traces.path() or traces.where(script.path, pool.store)
end

--- What is open of a file, or opened now; nil: there is no file.
local function opened(self, path, open)
  local at = path and file.at(path)
  local known = path and self.open[path]
  if known and known.at == at then return known.handle end
  if known then
    self.open[path] = nil
    known.handle:close()
  end
  if not at then return nil end
  local handle = errors.check(open(path))
  if self.open[path] then -- another task was faster
    handle:close()
    return self.open[path].handle
  end
  self.open[path] = { at = at, handle = handle }
  return handle
end

local function open_store(path) return stores.open(path, { readonly = true, create = false }) end

--- The store; nil: there is none yet.
---@return stoke.store|nil
---Raises `db`.
function Files:runs() return opened(self, self:store_path(), open_store) end

--- The traces; nil: none are kept.
---@return userdata|nil db
---Raises `db`, `usage` for a file that holds none.
function Files:traces()
  local path = self:traces_path()
  if traces.path() == path then traces.flush() end
  return opened(self, path, traces.read)
end

--- A text that is another one when anything was written to the files.
---@return string
function Files:token()
  local store = self:store_path()
  return (store and file.token(store) or "") .. " " .. file.token(self:traces_path())
end

--- Close what is open; it is opened again where somebody looks.
function Files:close()
  local open = self.open
  self.open = {}
  for _, known in next, open do known.handle:close() end
end

Files.__close = Files.close

return M
