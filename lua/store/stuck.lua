--- A database's log that only grows: a reader that stays open keeps it from being copied to the file.

local scopes = require "core.scope"

local M = {}

local told = setmetatable({}, { __mode = "k" }) -- database -> true

--- Say once that a log has grown, with its size and who may be the cause; once more only after it has shrunk.
---@param db userdata of host.store
---@param path string of its file
function M.look(db, path)
  local bytes, own = db:stuck()
  if not bytes then
    told[db] = nil
  elseif not told[db] then
    told[db] = true
    local cause = own and "an iteration over rows (each) of this script is still open; end it, or leave its scope"
      or "a reader has had it open for long (sqlite3 FILE, a backup, another script); end that"
    scopes.tell(('the file "%s-wal" has %d MB that cannot be moved to "%s", and it grows: %s'):format(path, bytes // 1000000, path,
      cause))
  end
end

return M
