--- The collector in a journalled run: when it finds what nobody holds is chance, and what a script does then could not be repeated.

local current = require "host.task".current
local errors = require "core.errors"
local schedules = require "core.schedule"
local scopes = require "core.scope"

local M = {}

local raw = collectgarbage

--- Whether the running code belongs to a journalled run.
local function in_run()
  local task = schedules.any and current()
  return task and task.schedule ~= nil
end

--- Told of a metatable that has `__gc` or `__mode`. A run refuses the one, whose code would run at any moment; of the other it
--- warns, since most weak tables are caches, which nobody can tell from what they save.
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

--- As collectgarbage; what it tells by chance is not available to a journalled run.
function M.collectgarbage(what, ...)
  local chance = CHANCE[what]
  if chance and in_run() then
    errors.raise("argument", ("collectgarbage %q: %s is chance, and a replay of this journalled run could not repeat it")
      :format(what, chance), { hint = "look at it outside of the run" })
  end
  return raw(what, ...)
end

return M
