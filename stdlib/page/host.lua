--- What a page shows of a host beside its worlds: what it does now, what it did, and what waits for a person's approval.

local approvals = require "stoke.page.approvals"
local now = require "stoke.page.now"
local runs = require "stoke.page.runs"

local M = {}

--- Show the views of this host.
---@param page stoke.page
---@param options? { store?: string, idle?: boolean } store: the file of its durable runs, where it is another one than the host's
---  own; idle: it is the file alone that is shown, and no host
---
--- Example: `host.show(page)`
function M.show(page, options)
  options = options or {}
  if not options.idle then page:add(now.new()) end
  page:add(runs.new { store = options.store })
  page:add(approvals.new { store = options.store, idle = options.idle })
end

return M
