--- Garbage collection in a journalled run. When the collector frees an object is not deterministic, so a replay could not repeat
--- what a script does in reaction.

local current = require "host.task".current
local errors = require "core.errors"
local schedules = require "core.schedule"
local scopes = require "core.scope"

local M = {}

local raw = collectgarbage

--- Does the current task belong to a journalled run?
local function in_run()
  local task = schedules.any and current()
  return task and task.schedule ~= nil
end

--- Check a metatable that has `__gc` or `__mode`. A journalled run rejects finalizers, which would run at arbitrary moments. It
--- only warns about weak tables: most are caches, whose contents do not change the result.
---@param gc any
---@param mode any
function M.check(gc, mode)
  if not in_run() then return end
  if gc then
    errors.raise("argument", "setmetatable: a journalled run has no finalizers (__gc): a replay could not repeat when they run",
      { hint = "give it a __close and hold it in a `local x <close>`" })
  end
  if mode then
    scopes.tell(("the weak table made at %s forgets by chance; let nothing in this journalled run depend on what it holds")
      :format(errors.site() or "?"))
  end
end

local CHANCE = { count = "how much is held", step = "whether a cycle has ended" }

--- collectgarbage; a journalled run cannot use the options with nondeterministic results.
function M.collectgarbage(what, ...)
  local chance = CHANCE[what]
  if chance and in_run() then
    errors.raise("argument", ("collectgarbage %q: %s is chance, and a replay of this journalled run could not repeat it")
      :format(what, chance), { hint = "look at it outside of the run" })
  end
  return raw(what, ...)
end

return M
