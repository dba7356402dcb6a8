--- The hosts that share runs, all in one look: stoke top --all.

local effect = require "core.effect"
local errors = require "core.errors"
local runs = require "core.runs"
local term = require "stoke.term"
local time = require "stoke.time"
require "core.driver.hosts"
require "stoke.workflow"

local M = {}

--- What all of them do now.
---@param engine? string its URL; default: that of the settings
---@return { at: number, hosts: table[], runs: integer, busy: integer, slots: integer, done: integer, gone: integer }
---Raises `usage` where no engine is set; what the engine raises.
function M.look(engine)
  if engine then runs.engine = function() return engine end end
  local now = { at = time.monotonic(), hosts = errors.check(effect.perform("hosts.list", {})), runs = 0, busy = 0, slots = 0,
    done = 0, gone = 0 }
  for _, one in ipairs(now.hosts) do
    if one.gone then
      now.gone = now.gone + 1
    else
      for _, name in ipairs { "runs", "busy", "slots", "done" } do now[name] = now[name] + one[name] end
    end
  end
  return now
end

--- Ends of runs in a second since the look before: of one host, or of all.
local function rate(one, before, passed)
  if not before or passed <= 0 or one.done < before.done then return "-" end
  return ("%.1f"):format((one.done - before.done) / passed)
end

--- A look as lines.
---@param now table
---@param before? table the look before
---@return string[]
function M.lines(now, before)
  local passed, known = before and now.at - before.at or 0, {}
  for _, one in ipairs(before and before.hosts or {}) do known[one.name .. one.id] = one end
  local out = { ("hosts %d%s  runs %d  at work %d of %d slots  ended %d  a second %s"):format(#now.hosts - now.gone,
    now.gone > 0 and (" (%d gone)"):format(now.gone) or "", now.runs, now.busy,
    now.slots, now.done, rate(now, before, passed)) }
  for _, one in ipairs(now.hosts) do
    out[#out + 1] = one.gone and ("%-24s GONE     not heard for %s; was up %s, had %d runs"):format(one.name,
        term.duration(one.seen_ago), term.duration(one.up), one.runs)
      or ("%-24s %-8s up %-8s runs %-6d at work %d/%d  ended %d  a second %s"):format(one.name, one.version,
        term.duration(one.up), one.runs, one.busy, one.slots, one.done, rate(one, known[one.name .. one.id], passed))
  end
  return out
end

return M
