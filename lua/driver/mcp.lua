--- The effect of asking an MCP server: mcp.request { server, method, params, class }. The request is data; the connection beside it
--- asks, in tasks of the host's. So a durable run records what the server answered, and its replay starts no server.

local host = require "host.task"
local effect = require "core.effect"
local fs = require "host.fs"
local memory = require "core.gate.memory"
local testbed = require "core.testbed"

local M = {}

--- Another file than the user's own for what tools were when they were first seen.
---@type string|nil
M.file = nil

--- The file; nil: this process keeps nothing.
local function path_of() return M.file or not testbed.running and memory.path() or nil end

-- ---- what tools were ----------------------------------------------------------------------------------------------------------

--- f with the store, which is closed behind it.
local function with_store(path, options, f)
  local store, err = require "core.store".open(path, options)
  if not store then return nil, err end
  local _ <close> = setmetatable({}, { __close = function() store:close() end })
  return f(store, require "core.store.pins")
end

--- What the tools of a server were when they were first seen, or accepted last; none where this process keeps nothing. For who is
--- inside an effect.
---@param server string a key of it, without a blank
---@return stoke.store.pin[]|nil
---@return stoke.error|nil err kind `db`
---
--- Example: `local list, err = mcp.pins "1f00"`
function M.pins(server)
  local path = path_of()
  if not path or not fs.stat(path) then return {} end
  return with_store(path, { create = false, readonly = true }, function(store, pins)
    local list, err = pins.read(store, server)
    if err and err.message:find("no such table", 1, true) then return {} end
    return list, err
  end)
end

--- Keep what tools are, where they were not known. For who is inside an effect.
---@param server string
---@param tools stoke.store.pin[]
---@param accepted? boolean a person has accepted what they are now
---@return boolean|nil kept false: this process keeps nothing
---@return stoke.error|nil err kind `db`
---
--- Example: `mcp.pin("1f00", { { name = "add", pin = digest, item = {} } })`
function M.pin(server, tools, accepted)
  local path = path_of()
  if not path then return false end
  return with_store(path, {}, function(store, pins) return pins.write(store, server, tools, accepted == true) end)
end

effect.define("mcp.accept", { class = "idempotent", repeats = true,
  run = function(q) return M.pin(q.server, { q.tool }, true) end })

--- Keep what a tool has become: a person has accepted it.
---@param server string
---@param tool stoke.store.pin
---@return boolean|nil kept
---@return stoke.error|nil err kind `db`
---
--- Example: `mcp.accept("1f00", { name = "add", pin = digest, item = {} })`
function M.accept(server, tool) return effect.perform("mcp.accept", { server = server, tool = tool }) end

-- Quiet: mostly it is known, and nobody is asked.
effect.define("mcp.look", { class = "pure", quiet = true, repeats = true, run = function(_, _, job) return job:look() end })

--- The tools of a server as they are known, or are asked for now. A durable run records them, so that a replay goes as it went.
---@param server string its name
---@param job { look: fun(self): table[]?, stoke.error? } raises nothing
---@return table[]|nil tools plain data
---@return stoke.error|nil err
---Raises `cancelled`.
---
--- Example: `local list, err = mcp.look("files", job)`
function M.look(server, job) return effect.perform("mcp.look", { server = server }, job) end

-- ---- questions ----------------------------------------------------------------------------------------------------------------

effect.define("mcp.request", { run = function(q, call, job) return job:ask(q, call and call.span) end, repeats = true,
  aside = { "timeout" }, class = function(q) return q.class or "unsafe" end })

--- Ask a server.
---@param q { server: string, method: string, params?: table, class?: "pure"|"idempotent"|"unsafe", timeout?: number } pure data
---@param job { ask: fun(self, q: table, span?: core.span): any, stoke.error? } span: to be told to the server
---@return any result
---@return stoke.error|nil err
---Raises `cancelled`.
---
--- Example: `local result, err = mcp.perform({ server = "files", method = "tools/list", class = "pure" }, job)`
function M.perform(q, job) return effect.perform("mcp.request", q, job) end

--- Suspend the running task, until it is woken, the time is up, or it is cancelled. Raises nothing, for an effect's driver.
---@param label string
---@param seconds? number
---@return boolean|nil woken false: the time is up; nil: cancelled
---@return stoke.error|nil err
function M.wait(label, seconds) return host.park(label, seconds) end

return M
