--- What the failure of an item says: is it the item's own, may it pass, or does it say that nothing will work there now?

local errors = require "core.errors"

local M = {}

--- Of the place and not of the item: each other one would fail the same way.
local PLACE = { refused = true, dns = true, tls = true, unreachable = true, auth = true }

--- The same would happen again.
local FINAL = { argument = true, context_overflow = true, denied = true, usage = true, in_doubt = true, parked = true }

--- Seconds before an item is tried again: the first wait, and the longest.
local FIRST <const>, LONGEST <const> = 1, 60

--- Does it end the work as a whole, whatever the item?
---@param err stoke.error
---@return boolean
function M.ends_all(err) return err.kind == "cancelled" or err.kind == "exit" end

--- Does it say that no item can be done where it happened?
---@param err stoke.error
---@return boolean
function M.of_place(err) return PLACE[err.kind] or rawget(err, "missing") or false end

--- Is it settled by this failure that the item cannot be done?
---@param err stoke.error
---@return boolean
function M.final(err) return FINAL[err.kind] or errors.bug(err) end

--- Seconds to wait after so many tries.
---@param try integer
---@return number
function M.delay(try) return math.min(FIRST * 2 ^ (try - 1), LONGEST) end

--- An error in one line, as the reason of a dead letter; `reason` of the error where it has its own words.
---@param err stoke.error
---@return string
function M.reason(err)
  local text = rawget(err, "reason") or ("%s: %s"):format(err.kind, err.message:match "^[^\n]*")
  return #text > 2000 and text:sub(1, 2000) .. "..." or text
end

return M
