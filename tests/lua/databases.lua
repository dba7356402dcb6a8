-- What the tests of databases (host.store) share.

local stoke = require "stoke"
local store = require "host.store"

local M = {}

function M.open(path, options)
  return assert(store.open(path, options))
end

--- A database in the test's folder, with a table t(n, v); closed with the block.
function M.fresh(t, options)
  local db = M.open(t.tmp() .. "/x.db", options)
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
  return setmetatable({ db = db }, {
    __index = function(_, name) return function(_, ...) return db[name](db, ...) end end,
    __close = function() assert(db:close()) end,
  })
end

--- The first value of the first row.
function M.one(db, sql, params)
  return assert(db:query(sql, params)).rows[1][1]
end

--- The code, or else the kind, of a call that fails.
function M.code_of(value, err)
  if value ~= nil then error("it succeeded", 0) end
  return err.code or err.kind
end

--- Runs f(...) in a task that is cancelled while it waits.
function M.cancelled(t, f, ...)
  local scope <close> = stoke.scope()
  local task = scope:spawn(f, ...)
  stoke.sleep(0.02)
  task:cancel()
  local done, err = stoke.try(task.await, task)
  t.eq(done, nil)
  t.eq(err and err.kind, "cancelled")
end

return M
