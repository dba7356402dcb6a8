--- What tools of MCP servers were when they were first seen, or accepted last: rows among those of what was learned, a tool each. A
--- tool that its server changes between two processes is noticed by them.

local json = require "core.json"
local keep = require "core.store.keep"
local wall = require "host.time".wall

local M = {}

--- Pins of all servers together; beyond, those that were written longest ago go.
M.MOST = 20000

---@class stoke.store.pin
---@field name string of the tool
---@field pin string digest of what it was
---@field item { description?: string, inputSchema?: table } what models read of it

local function prefix(server) return "mcp " .. server .. " " end

--- The pins of a server. A row that is damaged is as good as none.
---@param store stoke.store
---@param server string without a blank
---@return stoke.store.pin[]|nil
---@return stoke.error|nil err
---
--- Example: `for _, known in ipairs(pins.read(store, key)) do print(known.name) end`
function M.read(store, server)
  local from = prefix(server)
  local to = "mcp " .. server .. "!" -- the byte behind a blank
  local found, err = store.db:query("SELECT key,facts FROM learned WHERE key>=? AND key<?", { from, to })
  if not found then return nil, store:failed(err) end
  local out = {}
  for _, r in ipairs(found.rows) do
    local facts = type(r[2]) == "string" and json.decode(r[2]) or nil
    if type(facts) == "table" and type(facts.pin) == "string" and type(facts.item) == "table" then
      out[#out + 1] = { name = r[1]:sub(#from + 1), pin = facts.pin, item = facts.item }
    end
  end
  return out
end

local FIRST <const> = "INSERT OR IGNORE INTO learned (key,facts,changed) VALUES (?,?,?)"
local ACCEPTED <const> = "INSERT OR REPLACE INTO learned (key,facts,changed) VALUES (?,?,?)"
local TRIM <const> = "DELETE FROM learned WHERE key IN (SELECT key FROM learned WHERE key GLOB 'mcp *' "
  .. "ORDER BY changed DESC,key LIMIT -1 OFFSET ?)"

--- Write pins, all or none. Those of tools that are known already stay as they are, unless somebody has accepted the new ones.
---@param store stoke.store
---@param server string
---@param list stoke.store.pin[]
---@param accepted boolean
---@return boolean|nil ok
---@return stoke.error|nil err
function M.write(store, server, list, accepted)
  local texts = {}
  for i, one in ipairs(list) do
    local text, err = json.encode { pin = one.pin, item = json.object(one.item) }
    if not text then return nil, err end
    texts[i] = text
  end
  return keep.transaction(store, function(run)
    for i, one in ipairs(list) do run(accepted and ACCEPTED or FIRST, { prefix(server) .. one.name, texts[i], wall() }) end
    run(TRIM, { M.MOST })
    return true
  end)
end

return M
