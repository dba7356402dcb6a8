-- Stores for tests: in folders of their own, with runs whose rows look like a journal's.

local stores = require "core.store"

local M = {}

-- A value, or the error raised.
function M.ok(value, err)
  if value == nil and err ~= nil then error(err, 0) end
  return value, err
end

function M.open(path, options) return M.ok(stores.open(path, options)) end

-- A store in memory, with one run and its log.
function M.run(path, id)
  local store = M.open(path or ":memory:")
  local run = M.ok(store:create { id = id or "r1", workflow = "flow", input = { city = "Oslo" } })
  return store, run, M.ok(store:log(run))
end

local DIGEST = ("0123456789abcdef"):rep(4)

-- A row as a journal begins it.
function M.row(number, fields)
  local row = { number = number, key = ("run/task:1/test.ask#%d"):format(number), name = "test.ask", class = "pure",
    digest = DIGEST,
    request = { text = "q" .. number }, where = "bot.lua:7", time = 1767225600.5 }
  for name, value in next, fields or {} do row[name] = value end
  return row
end

-- A row that is begun and has its outcome, as a log hears of it.
function M.record(log, number, outcome, fields)
  local row = M.row(number, fields)
  log:row(row)
  row.outcome, row.seen, row.inline = outcome, number, true
  local err = log:outcome(row)
  return row, err
end

M.value = function(value) return { value = value, facts = { attempts = 1 } } end

-- A store that is closed at the end of a block.
local CLOSED = { __close = function(self) self.store:close() end,
  __index = function(self, name)
    local method = self.store[name]
    return type(method) == "function" and function(_, ...) return method(self.store, ...) end or method
  end }
function M.closing(store) return setmetatable({ store = store }, CLOSED) end

return M
