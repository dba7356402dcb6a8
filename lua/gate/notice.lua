--- What the pool has to say outside of any call: that a server is wedged, that nothing can be kept, that it has a bug. Each is said
--- once, until it is over.

local M = {}

--- Hook: writes it, fun(level: "info"|"warn"|"error", text: string, fields?: table); set by stoke.config, which knows the log.
function M.write(_, text) io.stderr:write(("stoke: %s\n"):format(text)) end

--- What was said and is not over; bounded, as the names of servers may be many.
local told, count, MOST = {}, 0, 256

--- Say something, unless it was said.
---@param key string what it is about
---@param level "info"|"warn"|"error"
---@param text string
---@param fields? table
---
--- Example: `notice.tell("wedged gpu", "warn", "gpu takes calls and answers none")`
function M.tell(key, level, text, fields)
  if told[key] then return end
  if count >= MOST then told, count = {}, 0 end
  told[key], count = true, count + 1
  pcall(M.write, level, text, fields)
end

--- It is so no more: that is said, too, where it was told before, and the next time it is told again.
---@param key string
---@param text? string
---
--- Example: `notice.over("wedged gpu", "gpu answers again")`
function M.over(key, text)
  if not told[key] then return end
  told[key], count = nil, count - 1
  if text then pcall(M.write, "info", text) end
end

--- Forget what was said, so that a test does not depend on the one before.
function M.forget() told, count = {}, 0 end

return M
