--- What clients were told (stoke serve): names under which a session is found again, with the turn after which it stands there. A
--- name is a digest of what the client sends; nothing is found by a part of one.

local json = require "core.json"

local M = {}

local null = json.null

--- Names that are looked for at once: of a longer conversation the newest.
M.MOST = 256

---@class stoke.store.told
---@field at integer which of the names it was
---@field id string of the session
---@field agent string that it was begun with
---@field turn integer
---@field turns integer that the session has now
---@field chain string
---@field open? boolean it has one turn more, and nobody was told that

local FIND = [[SELECT w.key,s.id,s.agent,t.turn,s.turns,t.chain,s.turns=t.turn+1 AND NOT EXISTS
    (SELECT 1 FROM told AS o WHERE o.session=t.session AND o.turn=s.turns) FROM json_each(?) AS w JOIN told AS t ON t.name=w.value
  JOIN sessions AS s ON s.number=t.session ORDER BY w.key LIMIT 1]]

--- The first of these names that is known.
---@param store stoke.store
---@param names string[]
---@return stoke.store.told|nil
---@return stoke.error|nil err
---
--- Example: `local known, err = told.find(store, { longest, shorter })`
function M.find(store, names)
  if not names[1] then return nil end
  local found, err = store.db:query(FIND, { json.encode(table.move(names, 1, math.min(#names, M.MOST), 1, {})) })
  if not found then return nil, store:failed(err) end
  local r = found.rows[1]
  return r and { at = r[1] + 1, id = r[2], agent = r[3], turn = r[4], turns = r[5], chain = r[6], open = r[7] == 1 or nil }
end

local FIRST = "SELECT s.turns>1 OR EXISTS (SELECT 1 FROM told WHERE session=s.number) FROM sessions AS s WHERE id=?"

--- Was a turn of this session told?
---@param store stoke.store
---@param id string
---@return "told"|"there"|nil nil: there is no such session
---@return stoke.error|nil err
---
--- Example: `local first, err = told.first(store, "served/poet/1f")`
function M.first(store, id)
  local found, err = store.db:query(FIRST, { id })
  if not found then return nil, store:failed(err) end
  local r = found.rows[1]
  return r and (r[1] == 1 and "told" or "there") or nil
end

local KEEP = "INSERT INTO told (name,session,turn,chain) SELECT w.value,s.number,?3,?4 FROM json_each(?1) AS w, sessions AS s "
  .. "WHERE s.id=?2 ON CONFLICT (name) DO UPDATE SET session=excluded.session,turn=excluded.turn,chain=excluded.chain"

--- A session is found by these names now: what was told last counts. Not synced: what a power cut takes of it, the client sends.
---@param store stoke.store
---@param names string[]
---@param id string of the session
---@param turn integer
---@param chain string
---@return boolean|nil ok
---@return stoke.error|nil err
---
--- Example: `told.keep(store, { chain, head }, "served/poet/1f", 3, chain)`
function M.keep(store, names, id, turn, chain)
  local done, err = store.db:write(KEEP, { json.encode(names), id, turn, chain }, false)
  if not done then return nil, store:failed(err) end
  return true
end

local OLD = [[SELECT id FROM (SELECT id,changed,row_number() OVER (ORDER BY changed DESC,number DESC) AS place FROM sessions
  WHERE substr(id,1,length(?1))=?1 AND id>=?1) WHERE place>?2 OR changed<?3 LIMIT 100]]

--- Ids of sessions beyond a number of them, or which nobody has used since: the oldest, a hundred at most.
---@param store stoke.store
---@param q { prefix: string, most: integer, since: number }
---@return string[]|nil
---@return stoke.error|nil err
---
--- Example: `local ids = told.old(store, { prefix = "served/", most = 1000, since = 0 })`
function M.old(store, q)
  local found, err = store.db:query(OLD, { q.prefix, q.most, q.since or null })
  if not found then return nil, store:failed(err) end
  local ids = {}
  for i, r in ipairs(found.rows) do ids[i] = r[1] end
  return ids
end

return M
