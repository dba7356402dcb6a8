--- After a reload: replaces references to a module's new table by the old table, which the rest of the program holds.
---
--- Walks from the new table and from the objects that the bodies made, through tables and the upvalues of the script's functions.
--- It does not enter other modules, the globals or the runtime.

local env = require "core.env"
local script = require "core.script"

local M = {}

--- Limit of tables and functions visited: a larger graph is data, not code.
local VISITS_MAX = 50000

local Walk = {}
Walk.__index = Walk

function Walk:push(value)
  local kind = type(value)
  if (kind ~= "table" and kind ~= "function") or self.seen[value] then return end
  self.seen[value] = true
  self.count = self.count + 1
  if self.count <= VISITS_MAX then self.list[#self.list + 1] = value end
end

function Walk:through_table(t)
  local rekeyed
  for key, value in next, t do
    local turned = self.turned[value]
    if turned then
      t[key] = turned -- an existing key: safe while we iterate
    else
      self:push(value)
    end
    if self.turned[key] then rekeyed = rekeyed or {} rekeyed[key] = value end
    self:push(key)
  end
  for key, value in next, rekeyed or {} do
    rawset(t, key, nil)
    rawset(t, self.turned[key], value)
  end
  local meta = debug.getmetatable(t)
  if meta and self.turned[meta] then debug.setmetatable(t, self.turned[meta]) elseif meta then self:push(meta) end
end

function Walk:through_function(f)
  if debug.getinfo(f, "S").source:sub(1, 7) == "@stoke:" or debug.getinfo(f, "S").what == "C" then return end
  for i = 1, 255 do
    local name, value = debug.getupvalue(f, i)
    if not name then return end
    local turned = self.turned[value]
    if turned then debug.setupvalue(f, i, turned) else self:push(value) end
  end
end

--- Mark a table that the walk must not enter.
local function skip(seen, t)
  if type(t) ~= "table" then return end
  seen[t] = true
end

--- Replace the new tables of a change by the old ones.
---@param change core.reload.change
function M.replace_tables(change)
  if not next(change.turned) then return end
  local walk = setmetatable({ seen = {}, list = {}, count = 0, turned = {} }, Walk)
  for _, value in next, env.globals.package.loaded do skip(walk.seen, value) end
  for _, value in next, package.loaded do skip(walk.seen, value) end
  for new, old in next, change.turned do
    walk.turned[new] = old
    walk.seen[new], walk.seen[old] = true, nil
    walk:push(old) -- it holds the new fields by now
  end
  for _, job in ipairs(change.jobs) do
    for _, of_kind in next, job.file.made do
      for _, list in next, of_kind do
        for _, object in ipairs(list) do walk:push(object) end
      end
    end
  end
  walk:push(script.main)
  while walk.list[1] do
    local value = table.remove(walk.list)
    if type(value) == "table" then walk:through_table(value) else walk:through_function(value) end
  end
end

return M
