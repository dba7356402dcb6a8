--- The error of a call that the pool has refused: too late for its deadline, or nobody answers where it may go.

local errors = require "core.errors"
local monotonic = require "host.time".monotonic
local words = require "core.pool.words"

local M = {}

local WEDGED <const> = "takes calls and answers none, not even one for a single token"
local RESTART <const> = "restart that server; its lists (stoke ps) may look healthy"

local function server_of(lane) return lane.target and lane.target.endpoint.name or lane.server.url end

local function wedged(lane, ticket)
  return errors.new("timeout", ("the endpoint %s %s; this one waited %s"):format(server_of(lane), WEDGED,
    words.seconds(monotonic() - ticket.arrived)), { retryable = false, hint = RESTART })
end

--- The error of another call, in words of its own: what that one had got is not this one's.
local function own(err, message, model)
  return errors.new(err.kind or "timeout", message, { hint = err.wedged and RESTART or err.hint, status = rawget(err, "status"),
    retryable = false, cause = rawget(err, "cause"), model = model })
end

--- Nobody along a route: each of its servers is told, once. The kind is that of the first.
local function nobody(ticket, errs, model)
  local list, told = {}, {}
  for i, lane in ipairs(ticket.group.lanes) do
    local text = ("%s: %s"):format(server_of(lane), errs[i].wedged and WEDGED or errs[i].message)
    if not told[text] then
      told[text] = true
      list[#list + 1] = text
    end
  end
  if not list[2] then return nil end
  return own(errs[1], ("none of the %d places of its route answers: %s"):format(#list, table.concat(list, "; ")), model)
end

--- The error of a ticket that was refused.
---@param ticket stoke.pool.ticket with `late`, or `errs`
---@return stoke.error
---
--- Example: `return nil, refused.error(ticket)`
function M.error(ticket)
  local errs, target = ticket.errs, ticket.call.target
  local model = target and target.name or nil
  if errs then
    local err = errs[1]
    return nobody(ticket, errs, model) or err.wedged and wedged(ticket.group.lanes[1], ticket) or own(err, err.message, model)
  end
  return errors.new("overloaded", ("%s %s"):format(model or ticket.group.lanes[1].key, words.refused(ticket, monotonic())),
    { seconds = ticket.late,
      hint = "give it more time, a smaller model (a route, a fallback), or another class: only interactive calls are refused" })
end

return M
