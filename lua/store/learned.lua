--- What calls have taught of model servers, by address and model: read whole, written by whoever knows something new. Rows that
--- begin with "mcp " are pins of tools (lua/store/pins.lua).

local json = require "core.json"
local keep = require "core.store.keep"
local wall = require "host.time".wall

local M = {}

local null = json.null

--- Rows that are kept; beyond, those that were written longest ago go.
M.MOST = 1000

---@class stoke.store.learned
---@field key string
---@field version? string of the server
---@field facts table plain data
---@field changed number

--- All that is known. A row that is damaged is as good as none: it is learned again.
---@param store stoke.store
---@return table<string, stoke.store.learned>|nil
---@return stoke.error|nil err
---
--- Example: `local rows = learned.read(store); rows["http://127.0.0.1:11434 qwen2.5:3b"].facts`
function M.read(store)
  local found, err = store.db:query "SELECT key,version,facts,changed FROM learned WHERE key NOT GLOB 'mcp *'"
  if not found then return nil, store:failed(err) end
  local rows = {}
  for _, r in ipairs(found.rows) do
    local facts = type(r[3]) == "string" and json.decode(r[3]) or nil
    if type(facts) == "table" then
      rows[r[1]] = { key = r[1], version = r[2] ~= null and r[2] or nil, facts = facts, changed = r[4] }
    end
  end
  return rows
end

local UPSERT = "INSERT INTO learned (key,version,facts,changed) VALUES (?,?,?,?) "
  .. "ON CONFLICT (key) DO UPDATE SET version=excluded.version,facts=excluded.facts,changed=excluded.changed"
local TRIM = "DELETE FROM learned WHERE key IN (SELECT key FROM learned WHERE key NOT GLOB 'mcp *' "
  .. "ORDER BY changed DESC,key LIMIT -1 OFFSET ?)"

--- Write rows, all or none; another process may have written the same ones: the last one counts.
---@param store stoke.store
---@param rows { key: string, version?: string, facts: table }[]
---@return boolean|nil ok
---@return stoke.error|nil err
function M.write(store, rows)
  local texts = {}
  for i, row in ipairs(rows) do
    local text, err = json.encode(row.facts)
    if not text then return nil, err end
    texts[i] = text
  end
  return keep.transaction(store, function(run)
    for i, row in ipairs(rows) do run(UPSERT, { row.key, row.version or null, texts[i], wall() }) end
    run(TRIM, { M.MOST })
    return true
  end)
end

return M
