--- Which calls need not wait any longer: nobody will answer them where they may go. Pure.

local chores = require "core.pool.chores"

local M = {}

--- Why is a call that waits since `arrived` not answered on a lane? Its server is down for long, is wedged, or cannot load it.
---@param lane stoke.pool.lane
---@param arrived number -math.huge: is it so for anybody?
---@param now number
---@param class? integer
---@return stoke.error|table|nil err see lua/pool/chores.lua; nil: it may be answered
function M.at(lane, arrived, now, class)
  local verdict = lane.server.verdict
  return verdict and verdict.refuse and verdict.refuse[lane] or chores.refusal(lane, arrived, now, class)
end

--- Why is a call answered at none of its lanes?
---@param ticket stoke.pool.ticket
---@param now number
---@return (stoke.error|table)[]|nil errs of each of its lanes in turn; nil: at one of them it may be
function M.everywhere(ticket, now)
  local errs = {}
  for i, lane in ipairs(ticket.group.lanes) do
    local err = M.at(lane, ticket.arrived, now, ticket.class)
    if not err then return nil end
    errs[i] = err
  end
  return errs
end

return M
