--- Effects of approvals in a journalled run: approval.list -> waiting requests; approval.decide { approval, decision, reason,
--- args } -> whether the request still waited. Both depend on events outside the run. Other code calls lua/approval.lua directly.

local approval = require "core.approval"
local effect = require "core.effect"
local errors = require "core.errors"
local frames = require "core.frame"

local M = {}

effect.define("approval.list", { class = "pure", quiet = true, run = function() return approval.list() end,
  codec = { keep = approval.describe, give = approval.recorded } })

effect.define("approval.decide", { class = "unsafe", quiet = true,
  run = function(q, _, entry) return approval.decide(entry, q) end })

function approval.through(entry, q)
  if not frames.current() then return approval.decide(entry, q) end
  q.approval = entry.key or entry.id
  local in_time = errors.check(effect.perform("approval.decide", q, entry))
  -- an entry made from a recording has to learn the decision too
  if in_time then entry.decision, entry.reason, entry.args = q.decision, q.reason, q.args or entry.args end
  return in_time
end

--- Requests that wait for a person's approval, oldest first: entry:approve(), entry:reject(reason), entry:edit(args).
---@return stoke.pending[]
---
--- Example: `for _, p in ipairs(stoke.pending()) do print(p.what, p.args) p:approve() end`
function M.list()
  if not frames.current() then return approval.list() end
  return errors.check(effect.perform "approval.list")
end

return M
