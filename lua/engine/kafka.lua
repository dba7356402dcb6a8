--- Kafka carries no queues yet: a URL that names it is told so.

local errors = require "core.errors"

local M = {}

---@return nil
---@return stoke.error err
function M.open()
  return nil, errors.new("argument", "queues over Kafka are not built into this stoke",
    { hint = "use nats:// or postgres:// for several hosts; without a URL a queue is a file of this machine" })
end

return M
